//! Where all formats hand over what they read: spelling, kind, poison, refusals with file and line.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::names::{self, Reading};
use super::words::{self, word};
use super::{NotLoaded, Refusal, poison};
use crate::indicator::{Builder, Said, Statement};
use crate::limits::{FEED_WORD_BYTES_MAX, REFUSAL_REASONS_MAX, REFUSALS_KEPT_MAX};
use crate::observable::address::Port;
use crate::observable::{Kind, Shape, address, domain, plain, url};

/// Narrowed statements that are remembered: as many as there are ports, for each of a few sources.
const NARROWED_MAX: usize = 1 << 18;

/// Whether a key names a kind, of this version or another.
pub(super) fn names_kind(key: &str) -> bool {
    names::reading(key).is_some() || names::is_later(key)
}

/// What was refused, so far.
#[derive(Default)]
pub(super) struct Refusals {
    /// The first ones, with file and line.
    pub(super) kept: Vec<Refusal>,
    /// All of them, by reason.
    pub(super) by_reason: BTreeMap<String, u64>,
    /// The first file that is broken as a whole.
    broken: Option<Refusal>,
}

impl Refusals {
    /// Whether every file could be read as a whole.
    pub(super) fn whole(&mut self) -> Result<(), NotLoaded> {
        self.broken.take().map_or(Ok(()), |file| Err(NotLoaded::Broken(file)))
    }

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
    for_all: bool,
    room: Vec<u8>,
    narrowed: HashMap<(Said, Port), Said>,
}

impl<'a> Intake<'a> {
    /// For one file.
    pub(super) fn of(file: &'a Path, builder: &'a mut Builder, refusals: &'a mut Refusals) -> Self {
        Intake { file, builder, refusals, for_all: false, room: Vec::new(), narrowed: HashMap::new() }
    }

    /// The file.
    pub(super) fn file(&self) -> &'a Path {
        self.file
    }

    /// What holds where a file says nothing: its own name as source, amber in both markings, half confident.
    pub(super) fn unsaid(&self) -> Statement {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        Statement { source: name.into_owned(), source_is_file: true, confidence: 50, ..Statement::default() }
    }

    /// Refuses one line.
    pub(super) fn refuse(&mut self, line: u64, reason: impl Into<String>) {
        if self.for_all {
            return self.refuse_file(line, reason);
        }
        self.refusals.note(self.file, line, reason.into());
    }

    /// Reads what holds for all entries of the file: a line that is refused there refuses the file.
    pub(super) fn for_all<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        self.for_all = true;
        let come = read(self);
        self.for_all = false;
        come
    }

    /// Refuses the file: none of its entries can be told from the others.
    pub(super) fn refuse_file(&mut self, line: u64, reason: impl Into<String>) {
        let refusal = Refusal { file: self.file.to_owned(), line, reason: reason.into() };
        self.refusals.broken.get_or_insert(refusal);
    }

    /// Makes a statement known; one that never holds, because it ends before it begins, is a slip.
    pub(super) fn say(&mut self, line: u64, mut statement: Statement) -> Option<Said> {
        if let Err(reason) = words::mark(&mut statement) {
            self.refuse(line, format!("labels: {reason}"));
            return None;
        }
        if let (Some(from), Some(until)) = (statement.valid_from, statement.valid_until)
            && from >= until
        {
            self.refuse(line, "valid_from: not before valid_until");
            return None;
        }
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

    /// Finds how values under a name are read; a refusal if the name is none of a kind.
    pub(super) fn reading(&mut self, line: u64, name: &str) -> Option<Reading> {
        let name = name.trim();
        let found = names::reading(name);
        if found.is_none() {
            let what = if names::is_later(name) { "kind not supported yet: " } else { "unknown kind " };
            self.refuse(line, format!("{what}{}", shown(&name.to_ascii_lowercase())));
        }
        found
    }

    /// Takes what one record says, or refuses it with its kind and reason.
    pub(super) fn take(&mut self, line: u64, reading: Reading, value: &[u8], said: Said, id: Option<&str>) -> bool {
        let id = id.map(str::trim).filter(|id| !id.is_empty());
        if id.is_some_and(|id| id.len() > FEED_WORD_BYTES_MAX) {
            self.refuse(line, "id: longer than 512 bytes");
            return false;
        }
        match parts(reading, value) {
            Ok(parts) => {
                let taken = parts.into_iter().flatten().map(|(kind, value)| self.take_one(line, kind, value, said, id));
                taken.fold(true, |all, one| all & one)
            }
            Err(reason) => {
                self.refuse(line, reason);
                false
            }
        }
    }

    fn take_one(&mut self, line: u64, kind: &'static Kind, value: &[u8], said: Said, id: Option<&str>) -> bool {
        let (kind, value, port) = spelled(kind, value, &mut self.room);
        let said = match port {
            Some(port) => narrowed(&mut self.narrowed, self.builder, said, port),
            None => Ok(said),
        };
        let taken = said.and_then(|said| {
            fits(kind, self.builder.statement(said))?;
            if defanged(kind, value) {
                return Err(format!("{}: {DEFANGED}", kind.name).into());
            }
            let taken = self.builder.take(kind, value, said, id, poison::check(kind));
            taken.map_err(|reason| format!("{}: {reason}", kind.name).into())
        });
        if let Err(reason) = &taken {
            self.refusals.note(self.file, line, reason.to_string());
        }
        taken.is_ok()
    }

    /// Puts what one record says on the allow-list: names with all below them.
    pub(super) fn allow(&mut self, line: u64, reading: Reading, value: &[u8]) {
        let parts = match parts(reading, value) {
            Ok(parts) => parts,
            Err(reason) => return self.refuse(line, reason),
        };
        for (kind, value) in parts.into_iter().flatten() {
            let kind = if *kind == domain::DOMAIN { &domain::DOMAIN_SUFFIX } else { kind };
            let (kind, value, port) = spelled(kind, value, &mut self.room);
            let allowed = match port {
                None if kind.shape == Shape::Contained => Err("what it would allow is said by its field's value"),
                None => self.builder.allow(kind, value).map_err(|refused| refused.0),
                Some(_) => Err("an allow-list has no ports"),
            };
            if let Err(reason) = allowed {
                self.refuse(line, format!("{}: {reason}", kind.name));
            }
        }
    }
}

/// What one record holds, as values of a kind.
type Parts<'v> = [Option<(&'static Kind, &'v [u8])>; 2];

fn parts(reading: Reading, value: &[u8]) -> Result<Parts<'_>, &'static str> {
    match reading {
        Reading::As(kind) => Ok([Some((kind, value)), None]),
        Reading::Digest => {
            let kind = names::digest_of(value.trim_ascii());
            kind.map(|kind| [Some((kind, value)), None]).ok_or("no digest: 32, 40 or 64 hexadecimal digits")
        }
        // names of files may have the sign that parts them from the digest
        Reading::Two(kinds) => {
            let at = value.iter().rposition(|&byte| byte == b'|').ok_or("two values with `|` between them")?;
            let [first, second] = kinds;
            Ok([first.map(|kind| (kind, &value[..at])), second.map(|kind| (kind, &value[at + 1..]))])
        }
    }
}

/// The same statement for one port only.
fn narrowed(
    known: &mut HashMap<(Said, Port), Said>,
    builder: &mut Builder,
    said: Said,
    port: Port,
) -> Result<Said, Cow<'static, str>> {
    if let Some(known) = known.get(&(said, port)) {
        return Ok(*known);
    }
    let statement = builder.statement(said);
    if statement.port.is_some_and(|before| before != port) {
        return Err("port: another one than the value has".into());
    }
    let statement = Statement { port: Some(port), ..statement.clone() };
    let narrower = builder.say(statement).map_err(|refused| refused.0)?;
    if known.len() >= NARROWED_MAX {
        known.clear();
    }
    known.insert((said, port), narrower);
    Ok(narrower)
}

/// Whether what narrows an indicator makes sense for its kind.
fn fits(kind: &Kind, statement: &Statement) -> Result<(), Cow<'static, str>> {
    let is_pattern = kind.shape == Shape::Contained;
    match statement {
        Statement { port: Some(_), .. } if !address::KINDS.contains(&kind) => Err("port: only for ip and cidr".into()),
        Statement { field: Some(_), .. } | Statement { nocase: true, .. } if !is_pattern => {
            Err("in and nocase: only for a pattern".into())
        }
        Statement { field: None, .. } if is_pattern => {
            Err("pattern: no `in`, the field that it is looked for in".into())
        }
        _ => Ok(()),
    }
}

/// What feeds may write differently: spaces around, `*.` or `.` before a name for all below it, a network or a port in an
/// address, a URL without scheme.
fn spelled<'a>(kind: &'static Kind, value: &'a [u8], room: &'a mut Vec<u8>) -> (&'static Kind, &'a [u8], Option<Port>) {
    let value = value.trim_ascii();
    if domain::KINDS.contains(&kind) {
        let below = value.strip_prefix(b"*.").or_else(|| value.strip_prefix(b".").filter(|rest| !rest.is_empty()));
        return below.map_or((kind, value, None), |below| (&domain::DOMAIN_SUFFIX, below, None));
    }
    if *kind == address::IP && value.iter().any(|byte| b":|/".contains(byte)) {
        return match address::with_port(value) {
            Some((address, port)) => (kind, address, Some(port)),
            None if value.contains(&b'/') => (&address::CIDR, value, None),
            None => (kind, value, None),
        };
    }
    if *kind == url::URL && !value.windows(3).any(|window| window == b"://") {
        room.clear();
        room.extend_from_slice(b"http://");
        room.extend_from_slice(value);
        return (kind, room, None);
    }
    (kind, value, None)
}

const DEFANGED: &str = "written so that it does not work (hxxp, [.]): write the value itself";

/// User agents and patterns may hold anything.
fn defanged(kind: &Kind, value: &[u8]) -> bool {
    let start = value.get(..4).unwrap_or_default();
    let dead =
        start.eq_ignore_ascii_case(b"hxxp") || value.contains(&b'[') && value.windows(3).any(|part| part == b"[.]");
    dead && kind.shape != Shape::Contained && *kind != plain::USER_AGENT
}

/// A feed's own word as a message may repeat it: short, and nothing that moves a terminal's cursor.
pub(super) fn shown(text: &str) -> String {
    bounded(text, 40)
}

/// As [`shown`], of this many letters at most.
pub(super) fn bounded(text: &str, letters_max: usize) -> String {
    text.chars().take(letters_max).map(|c| if c.is_control() { '?' } else { c }).collect()
}
