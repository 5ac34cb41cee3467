//! Where all formats hand over what they read: spelling, kind, poison, refusals with file and line.

use std::collections::BTreeMap;
use std::path::Path;

use super::Refusal;
use super::poison;
use super::words::word;
use crate::indicator::{Builder, Said, Statement};
use crate::limits::{FEED_WORD_BYTES_MAX, REFUSAL_REASONS_MAX, REFUSALS_KEPT_MAX};
use crate::observable::{Kind, address, domain, kind, url};

/// Kinds that feeds speak of and that this version does not look for.
static LATER: [&str; 14] = [
    "ja4",
    "ja3s",
    "cert_sha1",
    "cert_sha256",
    "hassh",
    "email",
    "user_agent",
    "md5",
    "sha1",
    "sha512",
    "pattern",
    "filename",
    "mutex",
    "wallet",
];

/// Whether a key names a kind, of this version or another.
pub(super) fn names_kind(key: &str) -> bool {
    kind(key).is_some() || LATER.contains(&key)
}

/// What was refused, so far.
#[derive(Default)]
pub(super) struct Refusals {
    /// The first ones, with file and line.
    pub(super) kept: Vec<Refusal>,
    /// All of them, by reason.
    pub(super) by_reason: BTreeMap<String, u64>,
}

impl Refusals {
    fn note(&mut self, file: &Path, line: u64, reason: String) {
        let apart = self.by_reason.len() < REFUSAL_REASONS_MAX || self.by_reason.contains_key(&reason);
        let counted = if apart { reason.clone() } else { "other reasons".to_owned() };
        *self.by_reason.entry(counted).or_default() += 1;
        if self.kept.len() < REFUSALS_KEPT_MAX {
            self.kept.push(Refusal { file: file.to_owned(), line, reason });
        }
    }
}

/// One file's way into the set.
pub(super) struct Intake<'a> {
    file: &'a Path,
    builder: &'a mut Builder,
    refusals: &'a mut Refusals,
    room: Vec<u8>,
}

impl<'a> Intake<'a> {
    /// For one file.
    pub(super) fn of(file: &'a Path, builder: &'a mut Builder, refusals: &'a mut Refusals) -> Self {
        Intake { file, builder, refusals, room: Vec::new() }
    }

    /// The file.
    pub(super) fn file(&self) -> &'a Path {
        self.file
    }

    /// What holds where a file says nothing: its own name as source, amber, half confident.
    pub(super) fn unsaid(&self) -> Statement {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        Statement { source: name.into_owned(), confidence: 50, ..Statement::default() }
    }

    /// Refuses one line.
    pub(super) fn refuse(&mut self, line: u64, reason: impl Into<String>) {
        self.refusals.note(self.file, line, reason.into());
    }

    /// Makes a statement known.
    pub(super) fn say(&mut self, line: u64, statement: Statement) -> Option<Said> {
        match self.builder.say(statement) {
            Ok(said) => Some(said),
            Err(refused) => {
                self.refuse(line, refused.0);
                None
            }
        }
    }

    /// Reads one word into a statement; a refused word refuses its indicator.
    pub(super) fn word(&mut self, line: u64, name: &str, text: &str, into: &mut Statement) -> bool {
        let reason = match word(name) {
            None => format!("unknown key `{}`", shown(name)),
            Some(word) => match (word.read)(into, text) {
                Ok(()) => return true,
                Err(reason) => format!("{name}: {reason}"),
            },
        };
        self.refuse(line, reason);
        false
    }

    /// Finds the kind that a feed names; a refusal if there is none.
    pub(super) fn kind(&mut self, line: u64, name: &str) -> Option<&'static Kind> {
        let name = name.trim();
        let lower;
        let found = match kind(name) {
            Some(kind) => return Some(kind),
            None => {
                lower = name.to_ascii_lowercase();
                kind(&lower)
            }
        };
        if found.is_none() {
            let later = LATER.contains(&lower.as_str());
            let what = if later { "kind not supported yet: " } else { "unknown kind " };
            self.refuse(line, format!("{what}{}", shown(&lower)));
        }
        found
    }

    /// Takes one value, or refuses it with its kind and reason.
    pub(super) fn take(&mut self, line: u64, kind: &'static Kind, value: &[u8], said: Said, id: Option<&str>) -> bool {
        let id = id.map(str::trim).filter(|id| !id.is_empty());
        if id.is_some_and(|id| id.len() > FEED_WORD_BYTES_MAX) {
            self.refuse(line, "id: longer than 512 bytes");
            return false;
        }
        let (kind, value) = spelled(kind, value, &mut self.room);
        let taken = match defanged(value) {
            true => Err("written so that it does not work (hxxp, [.]): write the value itself"),
            false => self.builder.take(kind, value, said, id, poison::check(kind)).map_err(|refused| refused.0),
        };
        if let Err(reason) = taken {
            self.refuse(line, format!("{}: {reason}", kind.name));
        }
        taken.is_ok()
    }

    /// Puts one value on the allow-list: names with all below them.
    pub(super) fn allow(&mut self, line: u64, kind: &'static Kind, value: &[u8]) {
        let kind = if *kind == domain::DOMAIN { &domain::DOMAIN_SUFFIX } else { kind };
        let (kind, value) = spelled(kind, value, &mut self.room);
        if let Err(refused) = self.builder.allow(kind, value) {
            self.refuse(line, format!("{}: {refused}", kind.name));
        }
    }

    /// Whether a narrowing to a port makes sense; a refusal if not.
    pub(super) fn port_fits(&mut self, line: u64, kind: &Kind, statement: &Statement) -> bool {
        let fits = statement.port.is_none() || address::KINDS.contains(&kind);
        if !fits {
            self.refuse(line, "port: only for ip and cidr");
        }
        fits
    }
}

/// What feeds may write differently: spaces around, `*.` or `.` before a name for all below it, a URL without scheme.
fn spelled<'a>(kind: &'static Kind, value: &'a [u8], room: &'a mut Vec<u8>) -> (&'static Kind, &'a [u8]) {
    let value = value.trim_ascii();
    if domain::KINDS.contains(&kind) {
        let below = value.strip_prefix(b"*.").or_else(|| value.strip_prefix(b".").filter(|rest| !rest.is_empty()));
        return below.map_or((kind, value), |below| (&domain::DOMAIN_SUFFIX, below));
    }
    if *kind == url::URL && !value.windows(3).any(|window| window == b"://") {
        room.clear();
        room.extend_from_slice(b"http://");
        room.extend_from_slice(value);
        return (kind, room);
    }
    (kind, value)
}

fn defanged(value: &[u8]) -> bool {
    let start = value.get(..4).unwrap_or_default();
    start.eq_ignore_ascii_case(b"hxxp") || value.contains(&b'[') && value.windows(3).any(|window| window == b"[.]")
}

/// A feed's own word as a message may repeat it: short, and nothing that moves a terminal's cursor.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect()
}
