//! Feeds: files of intelligence in, indicators and refusals out. A bad entry never loses its file; a file that is broken
//! as a whole is never passed over, for then everything in it would be gone without a word.
//!
//! A format is a row: the endings of its files, how it is recognised by its first bytes, and how it is read. All hand
//! over to `intake.rs`, so that spelling, poison and refusals are the same in each. `rules/README.md` has the formats.

mod csv;
mod intake;
mod json_lines;
mod lines;
mod list;
mod names;
mod poison;
mod words;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::indicator::{Builder, IndicatorSet};
use crate::limits::FEED_FILE_BYTES_MAX;
use intake::{Intake, Refusals};

pub use crate::indicator::{Pap, Tlp};

/// An entry that was not taken: `rules/apt.csv:17: domain: label longer than 63 bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u64,
    /// What and why.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file.display(), self.line, self.reason)
    }
}

/// Why nothing was loaded.
#[derive(Debug)]
pub enum NotLoaded {
    /// A path that cannot be read.
    Unusable(io::Error),
    /// A file that is broken as a whole: cut short, of another format, too large.
    Broken(Refusal),
    /// Every entry was refused: how many, and the first.
    Nothing(u64, Option<Refusal>),
}

impl From<io::Error> for NotLoaded {
    fn from(error: io::Error) -> Self {
        NotLoaded::Unusable(error)
    }
}

impl fmt::Display for NotLoaded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotLoaded::Unusable(error) => error.fmt(out),
            NotLoaded::Broken(file) => write!(out, "{file}; a file that is broken as a whole loads nothing"),
            NotLoaded::Nothing(refused, first) => {
                write!(out, "no indicator could be loaded, {refused} were refused")?;
                first.as_ref().map_or(Ok(()), |first| write!(out, "; the first: {first}"))
            }
        }
    }
}

/// What loading gave.
pub struct Loaded {
    /// The set, frozen.
    pub set: IndicatorSet,
    /// What was refused, in the order of files and lines; no more than a bound, the rest is only counted.
    pub refusals: Vec<Refusal>,
    /// Everything that was refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Records taken; several may speak of one entry.
    pub taken: usize,
    /// The files read, in their order.
    pub files: Vec<PathBuf>,
}

impl Loaded {
    /// Whether anything was taken of what there was: rules of which none is left must not look like clean traffic.
    ///
    /// # Errors
    /// [`NotLoaded::Nothing`].
    pub fn some_left(&self) -> Result<(), NotLoaded> {
        let refused = self.refused.values().sum();
        if self.set.is_empty() && refused > 0 {
            return Err(NotLoaded::Nothing(refused, self.refusals.first().cloned()));
        }
        Ok(())
    }
}

/// What the site asks of all indicators.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Indicators below this confidence raise nothing.
    pub confidence_min: u8,
    /// Files of values that raise nothing.
    pub allow: Vec<PathBuf>,
    /// The sectors that the site belongs to; empty: it does not say.
    pub sectors: Vec<String>,
    /// Indicators above this TLP raise nothing.
    pub tlp_max: Tlp,
    /// Decides where values lie in the tables: zero in replay, random where strangers send the traffic.
    pub key: [u8; 16],
}

impl Default for Policy {
    fn default() -> Self {
        let (allow, sectors) = (Vec::new(), Vec::new());
        Policy { confidence_min: 0, allow, sectors, tlp_max: Tlp::Red, key: [0; 16] }
    }
}

/// What a rule file says that a capture must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTest {
    /// The rule file.
    pub file: PathBuf,
    /// The line of the test.
    pub line: u64,
    /// The capture; relative paths start at the rule file.
    pub pcap: PathBuf,
    /// Values that must raise an alert, as listed or as seen.
    pub fires: Vec<String>,
    /// Values that must raise none.
    pub silent: Vec<String>,
}

/// One format.
struct Format {
    endings: &'static [&'static str],
    recognise: fn(&[u8]) -> bool,
    read: fn(&mut dyn BufRead, &mut Intake<'_>) -> io::Result<()>,
}

/// Asked in this order where an ending says nothing; the last takes everything.
static FORMATS: [Format; 4] = [
    Format { endings: &["yaml", "yml"], recognise: yaml::recognise, read: yaml::read },
    Format { endings: &["csv"], recognise: csv::recognise, read: csv::read },
    Format { endings: &["jsonl", "ndjson"], recognise: json_lines::recognise, read: json_lines::read },
    Format { endings: &["txt", "list"], recognise: list::recognise, read: list::read },
];

/// Loads files and directories (every known file in them, by name) into one set. A list whose name begins with
/// `allow` is an allow-list.
///
/// # Errors
/// A path that cannot be read, a file that is broken as a whole.
pub fn load(paths: &[PathBuf], policy: &Policy) -> Result<Loaded, NotLoaded> {
    let mut builder = Builder::new(policy.key, policy.confidence_min);
    builder.site(&policy.sectors, policy.tlp_max);
    let mut refusals = Refusals::default();
    let files = some_files(paths)?;
    for file in &files {
        let mut intake = Intake::of(file, &mut builder, &mut refusals);
        read_file(file, &mut intake, if is_allow_list(file) { Some(list::read_allowed) } else { None })?;
    }
    for file in &self::files(&policy.allow)? {
        let mut intake = Intake::of(file, &mut builder, &mut refusals);
        read_file(file, &mut intake, Some(list::read_allowed))?;
    }
    refusals.whole()?;
    let taken = builder.taken();
    Ok(Loaded { set: builder.build(), refusals: refusals.kept, refused: refusals.by_reason, taken, files })
}

/// The tests that rule files carry, in the order of files and lines.
///
/// # Errors
/// A path that cannot be read, a file that is broken as a whole: its tests would not be missed.
pub fn tests(paths: &[PathBuf]) -> Result<Vec<RuleTest>, NotLoaded> {
    let mut tests = Vec::new();
    for file in some_files(paths)? {
        let mut from = open(&file)?;
        if std::ptr::eq(format_of(&file, from.fill_buf()?), &FORMATS[0]) {
            tests.extend(yaml::read_tests(&mut from, &file)?);
        }
    }
    Ok(tests)
}

/// One file's content from memory, in the format that its name's ending says. For the fuzz targets, which have no files.
///
/// # Errors
/// A content that is broken as a whole.
#[doc(hidden)]
pub fn read(name: &Path, mut content: &[u8], policy: &Policy) -> Result<Loaded, NotLoaded> {
    let mut builder = Builder::new(policy.key, policy.confidence_min);
    let mut refusals = Refusals::default();
    let format = format_of(name, content);
    (format.read)(&mut content, &mut Intake::of(name, &mut builder, &mut refusals))?;
    refusals.whole()?;
    let taken = builder.taken();
    let files = vec![name.to_path_buf()];
    Ok(Loaded { set: builder.build(), refusals: refusals.kept, refused: refusals.by_reason, taken, files })
}

/// The first ending of each format: what the fuzz targets are made over.
#[doc(hidden)]
pub fn endings() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|format| format.endings[0])
}

type Reader = fn(&mut dyn BufRead, &mut Intake<'_>) -> io::Result<()>;

fn read_file(file: &Path, intake: &mut Intake<'_>, reader: Option<Reader>) -> io::Result<()> {
    let mut from = open(file)?;
    if from.get_ref().limit() > FEED_FILE_BYTES_MAX {
        intake.refuse_file(1, "file larger than 2 GiB");
        return Ok(());
    }
    let read = match reader {
        Some(read) => read,
        None => format_of(file, from.fill_buf().map_err(|error| named(file, error))?).read,
    };
    read(&mut from, intake).map_err(|error| named(file, error))
}

/// The error with the path that it is of.
fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Opens a file, bounded by the length that it has now: one that grows while it is read ends all the same.
fn open(file: &Path) -> io::Result<BufReader<io::Take<File>>> {
    const BUFFER_BYTES: usize = 1 << 18;
    let from = File::open(file).map_err(|error| named(file, error))?;
    let length = from.metadata().map_err(|error| named(file, error))?.len();
    Ok(BufReader::with_capacity(BUFFER_BYTES, from.take(length)))
}

fn format_of(file: &Path, first: &[u8]) -> &'static Format {
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    let recognised = FORMATS.iter().find(|format| (format.recognise)(first)).unwrap_or(&FORMATS[3]);
    by_ending(file).unwrap_or(recognised)
}

fn by_ending(file: &Path) -> Option<&'static Format> {
    let ending = file.extension()?.to_str()?.to_ascii_lowercase();
    FORMATS.iter().find(|format| format.endings.contains(&ending.as_str()))
}

fn is_allow_list(file: &Path) -> bool {
    let list = by_ending(file).is_some_and(|format| std::ptr::eq(format, &FORMATS[3]));
    list && file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("allow"))
}

/// As [`files`]; paths that come to no file at all are a slip.
fn some_files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let files = files(paths)?;
    if files.is_empty() && !paths.is_empty() {
        let folders: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let endings: Vec<&str> = FORMATS.iter().flat_map(|format| format.endings).copied().collect();
        let why = format!("{}: no indicator file in it (known endings: {})", folders.join(", "), endings.join(", "));
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    Ok(files)
}

/// Files as given; of directories, every file in them whose ending is known, by name.
fn files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !fs::metadata(path).map_err(|error| named(path, error))?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(|error| named(path, error))? {
            let file = entry.map_err(|error| named(path, error))?.path();
            let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && by_ending(&file).is_some() && file.is_file() {
                inside.push(file);
            }
        }
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

#[cfg(test)]
mod trials;
