//! Plain lists: one value a line, its kind told from its shape; `#` begins a comment. Also the form of allow-lists.

use std::io::{self, BufRead};

use super::intake::Intake;
use super::lines::{Line, Lines};
use crate::observable::{Kind, address, digest, domain, url};

/// What anything unrecognised is read as.
pub(super) fn recognise(_first: &[u8]) -> bool {
    true
}

/// Reads a list of indicators.
pub(super) fn read(from: &mut dyn BufRead, intake: &mut Intake<'_>) -> io::Result<()> {
    let mut said = None;
    each(from, intake, |number, kind, value, intake| {
        if said.is_none() {
            said = intake.say(number, intake.unsaid());
        }
        if let Some(said) = said {
            intake.take(number, kind, value, said, None);
        }
    })
}

/// Reads an allow-list.
pub(super) fn read_allowed(from: &mut dyn BufRead, intake: &mut Intake<'_>) -> io::Result<()> {
    each(from, intake, |number, kind, value, intake| intake.allow(number, kind, value))
}

fn each(
    from: &mut dyn BufRead,
    intake: &mut Intake<'_>,
    mut take: impl FnMut(u64, &'static Kind, &[u8], &mut Intake<'_>),
) -> io::Result<()> {
    let mut lines = Lines::of(from);
    while let Some((number, line)) = lines.next()? {
        let Line::Whole(line) = line else {
            intake.refuse(number, "line longer than 64 KiB");
            continue;
        };
        let value = uncommented(line).trim_ascii();
        if value.is_empty() {
            continue;
        }
        match shape(value) {
            Ok(kind) => take(number, kind, value, intake),
            Err(reason) => intake.refuse(number, reason),
        }
    }
    Ok(())
}

/// A comment begins at the line's start or behind a space: URLs have `#` of their own.
fn uncommented(line: &[u8]) -> &[u8] {
    let at = (0..line.len()).find(|&at| line[at] == b'#' && (at == 0 || line[at - 1].is_ascii_whitespace()));
    at.map_or(line, |at| &line[..at])
}

/// The kind that a bare value has.
fn shape(value: &[u8]) -> Result<&'static Kind, &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| "not UTF-8")?;
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let network = text.split_once('/').is_some_and(|(base, _)| base.parse::<std::net::IpAddr>().is_ok());
    match text.len() {
        32 if hexadecimal => Err("32 hexadecimal digits could be md5 or ja3: say which in a table"),
        40 if hexadecimal => Err("kind not supported yet: sha1"),
        64 if hexadecimal => Ok(&digest::SHA256),
        _ if text.contains("://") => Ok(&url::URL),
        _ if network => Ok(&address::CIDR),
        _ if text.parse::<std::net::IpAddr>().is_ok() => Ok(&address::IP),
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
        ];
        for (value, name) in kinds {
            assert_eq!(shape(value.as_bytes()).map(|kind| kind.name), Ok(name));
        }
        assert_eq!(shape(&[b'a'; 64]).map(|kind| kind.name), Ok("sha256"));
        assert!(shape(&[b'a'; 32]).is_err());
    }

    #[test]
    fn a_comment_ends_a_value_but_a_fragment_does_not() {
        assert_eq!(uncommented(b"a.example # seen in May"), b"a.example ");
        assert_eq!(uncommented(b"http://a.example/#x"), b"http://a.example/#x");
        assert_eq!(uncommented(b"# all of it"), b"");
    }
}
