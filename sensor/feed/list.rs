//! Plain lists: one value a line, its kind told from its shape or declared in a comment; `#` begins a comment. Also the
//! form of allow-lists.

use std::io::{self, BufRead};

use super::intake::{Intake, shown};
use super::lines::{Line, Lines};
use super::names::{Reading, digest_of, reading};
use crate::indicator::{Said, Statement};
use crate::observable::{Kind, Shape, address, digest, domain, plain, url};

/// What anything unrecognised is read as.
pub(super) fn recognise(_first: &[u8]) -> bool {
    true
}

/// Reads a list of indicators.
pub(super) fn read(from: &mut dyn BufRead, intake: &mut Intake<'_>) -> io::Result<()> {
    each(from, intake, |number, reading, value, said, intake| {
        intake.take(number, reading, value, said, None);
    })
}

/// Reads an allow-list.
pub(super) fn read_allowed(from: &mut dyn BufRead, intake: &mut Intake<'_>) -> io::Result<()> {
    each(from, intake, |number, reading, value, _, intake| intake.allow(number, reading, value))
}

/// What comments of a list have declared for the lines below them.
#[derive(Default)]
struct Declared {
    /// `# kind: user_agent`; an error is the reason that refuses every line below.
    reading: Option<Result<Reading, String>>,
    /// `# in: http.url` and `# nocase: true`, with the kind that they follow.
    statement: Option<Statement>,
    said: Option<Said>,
}

fn each(
    from: &mut dyn BufRead,
    intake: &mut Intake<'_>,
    mut take: impl FnMut(u64, Reading, &[u8], Said, &mut Intake<'_>),
) -> io::Result<()> {
    let mut lines = Lines::of(from);
    let mut declared = Declared::default();
    while let Some((number, line)) = lines.next()? {
        let Line::Whole(line) = line else {
            intake.refuse(number, "line longer than 64 KiB");
            continue;
        };
        if line.trim_ascii_start().first() == Some(&b'#') {
            declared.hear(number, line, intake);
            continue;
        }
        let value = if declared.is_free_text() { line } else { uncommented(line) }.trim_ascii();
        if value.is_empty() {
            continue;
        }
        match declared.reading(value) {
            Ok(reading) => {
                if let Some(said) = declared.said(number, intake) {
                    take(number, reading, value, said, intake);
                }
            }
            Err(reason) => intake.refuse(number, reason),
        }
    }
    Ok(())
}

impl Declared {
    /// `# kind: NAME`, and behind it what else only some kinds need. Every other comment is for people.
    fn hear(&mut self, number: u64, comment: &[u8], intake: &mut Intake<'_>) {
        let Ok(comment) = std::str::from_utf8(comment.trim_ascii()) else { return };
        let Some((name, text)) = comment.trim_start_matches('#').trim_start().split_once(':') else { return };
        match name {
            "kind" => {
                let found = reading(text.trim());
                self.reading =
                    Some(found.ok_or_else(|| format!("under `kind: {}`, which is none", shown(text.trim()))));
                (self.statement, self.said) = (None, None);
            }
            "in" | "nocase" if self.reading.is_some() => {
                let statement = self.statement.get_or_insert_with(|| intake.unsaid());
                if !intake.word(number, name, text, statement) {
                    self.reading = Some(Err(format!("under a refused `{name}:`")));
                }
                self.said = None;
            }
            _ => {}
        }
    }

    /// Whether a line may hold anything, so that a `#` in it is its own.
    fn is_free_text(&self) -> bool {
        let free = |kind: &Kind| kind.shape == Shape::Contained || *kind == plain::USER_AGENT;
        matches!(self.reading, Some(Ok(Reading::As(kind))) if free(kind))
    }

    fn reading(&self, value: &[u8]) -> Result<Reading, String> {
        match &self.reading {
            Some(declared) => declared.clone(),
            None => shape(value).map(Reading::As).map_err(str::to_owned),
        }
    }

    fn said(&mut self, number: u64, intake: &mut Intake<'_>) -> Option<Said> {
        if self.said.is_none() {
            let statement = self.statement.clone().unwrap_or_else(|| intake.unsaid());
            self.said = intake.say(number, statement);
        }
        self.said
    }
}

/// A comment begins at the line's start or behind a space: URLs have `#` of their own.
fn uncommented(line: &[u8]) -> &[u8] {
    let at = (0..line.len()).find(|&at| line[at] == b'#' && (at == 0 || line[at - 1].is_ascii_whitespace()));
    at.map_or(line, |at| &line[..at])
}

/// The kind that a bare value has.
fn shape(value: &[u8]) -> Result<&'static Kind, &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| "not UTF-8")?;
    let network = text.split_once('/').is_some_and(|(base, _)| base.parse::<std::net::IpAddr>().is_ok());
    let is = |kind: &Kind| (kind.canonical)(value, &mut Vec::new()).is_ok();
    if let Some(digest) = digest_of(value) {
        return Ok(digest);
    }
    match text.len() {
        59 if is(&digest::CERT_SHA1) => Ok(&digest::CERT_SHA1),
        95 if is(&digest::CERT_SHA256) => Ok(&digest::CERT_SHA256),
        36 if is(&plain::JA4) => Ok(&plain::JA4),
        _ if text.contains("://") => Ok(&url::URL),
        _ if network => Ok(&address::CIDR),
        _ if text.parse::<std::net::IpAddr>().is_ok() || address::with_port(value).is_some() => Ok(&address::IP),
        _ if text.contains('/') => Ok(&url::URL),
        _ => Ok(&domain::DOMAIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_value_has_the_kind_of_its_shape() {
        let kinds = [
            ("203.0.113.66", "ip"),
            ("2001:db8::/32", "cidr"),
            ("http://a.example/#x", "url"),
            ("a.example/x", "url"),
            ("*.bad.example", "domain"),
            ("bad.example", "domain"),
            ("203.0.113.66:3333", "ip"),
            ("203.0.113.66:53/udp", "ip"),
            ("[2001:db8::1]:443", "ip"),
            ("203.0.113.66:8080/gate.php", "url"),
            ("203.0.113.66:8080/", "url"),
            ("00112233445566778899aabbccddeeff", "md5"),
            ("00112233445566778899AABBCCDDEEFF00112233", "sha1"),
            ("00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33", "cert_sha1"),
            ("t13d1516h2_8daaf6152771_02713d6af862", "ja4"),
            ("00112233445566778899aabbccddeefg", "domain"),
            ("한국.example", "domain"),
        ];
        for (value, name) in kinds {
            assert_eq!(shape(value.as_bytes()).map(|kind| kind.name), Ok(name));
        }
        assert_eq!(shape(&[b'a'; 64]).map(|kind| kind.name), Ok("sha256"));
        assert!(shape(b"\xff.example").is_err());
    }

    #[test]
    fn a_comment_ends_a_value_but_a_fragment_does_not() {
        assert_eq!(uncommented(b"a.example # seen in May"), b"a.example ");
        assert_eq!(uncommented(b"http://a.example/#x"), b"http://a.example/#x");
        assert_eq!(uncommented(b"# all of it"), b"");
    }
}
