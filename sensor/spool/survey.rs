//! A spool seen from outside: every record of every segment read in order, beside one that writes or without. In: a directory. Out:
//! what lies there, who has come how far, and what is damaged, with file and offset.
//!
//! Never here: a change to anything, a lock.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::books::Books;
use super::chosen::choose;
use super::cursor::Cursor;
use super::given_up::GivenUp;
use super::listed::{Hand, list};
use super::reader::NAMED;
use super::recovery::Recovery;
use super::shared::Key;
use super::walk::Walk;
use super::{CURSOR, Disk, FORMAT, GIVEN_UP, Lane, SpoolId, Storage, takeover};
use crate::limits::SPOOL_LOOKS_MAX;

/// A spool, as far as its files tell.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The most urgent first.
    pub lanes: [Surveyed; 3],
    /// Files in the directory that are not the spool's.
    pub foreign: Vec<PathBuf>,
    /// What is damaged and of no lane.
    pub findings: Vec<Finding>,
}

/// A lane.
#[derive(Clone, Debug, Default)]
pub struct Surveyed {
    /// Which spool; `None`: there is none yet.
    pub id: Option<SpoolId>,
    /// Its files with records.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whole records in them.
    pub records: u64,
    /// The first and the last of these.
    pub range: Option<(u64, u64)>,
    /// Everything up to here is settled.
    pub watermark: u64,
    /// Of the records, those that wait.
    pub waiting: u64,
    /// When the first of them was appended.
    pub oldest: Option<SystemTime>,
    /// Of the records, those that are settled and kept, to be sent again if need be.
    pub kept: u64,
    /// When the first of them was appended.
    pub kept_since: Option<SystemTime>,
    /// Records behind which some are missing that were settled as well: they were taken away once and a crash has brought them back, or
    /// somebody took away what stood between. Nothing of them is sent again.
    pub brought_back: u64,
    /// Who reads beside the centre.
    pub readers: Vec<Stand>,
    /// Records given up that stand behind the first one that is there.
    pub given_up: u64,
    /// Records given up of which nobody was told yet.
    pub untold: u64,
    /// Bytes behind whole records that are none: what a writer at work, or one that was killed, leaves.
    pub torn_bytes: u64,
    /// What is damaged.
    pub findings: Vec<Finding>,
}

impl Surveyed {
    /// Records that were there once and cannot be read any more.
    pub fn lost(&self) -> u64 {
        self.findings.iter().map(|finding| finding.records).sum()
    }
}

/// How far somebody beside the centre has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Who.
    pub name: String,
    /// Everything up to here is settled for it.
    pub watermark: u64,
    /// Records that it has not taken and that are there.
    pub behind: u64,
    /// Records that went before it had read them.
    pub missed: u64,
}

/// Something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which file.
    pub file: PathBuf,
    /// From which byte on.
    pub offset: u64,
    /// What.
    pub what: String,
    /// Records that are gone by it.
    pub records: u64,
}

/// A record that was met.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its lane.
    pub lane: Lane,
    /// Its sequence.
    pub sequence: u64,
    /// When it was appended; the version before did not say.
    pub time: Option<SystemTime>,
    /// Whether it waits for the centre.
    pub waits: bool,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// Who is shown every record that is met; an error ends the reading.
pub(super) type Each<'a> = &'a mut dyn FnMut(Seen<'_>) -> io::Result<()>;

/// Reads the spool in `directory`, and shows every record.
///
/// # Errors
/// No spool is there, or it is of another version; it may not be read; what `each` says.
pub fn survey(directory: &Path, each: Each<'_>) -> io::Result<Survey> {
    look(&Disk, directory, each)
}

/// Reads it until two looks agree about what is damaged: a writer at work is met in the middle of something, and never twice in
/// the same place.
///
/// # Errors
/// As [`survey`].
pub fn verify(directory: &Path) -> io::Result<Survey> {
    verify_on(&Disk, directory)
}

/// [`verify`] on a disk of the caller's.
pub(super) fn verify_on(storage: &dyn Storage, directory: &Path) -> io::Result<Survey> {
    let mut survey = look(storage, directory, &mut |_| Ok(()))?;
    for _ in 1..SPOOL_LOOKS_MAX {
        if survey.findings.is_empty() && survey.lanes.iter().all(|lane| lane.findings.is_empty()) {
            break;
        }
        let mut again = look(storage, directory, &mut |_| Ok(()))?;
        let mut agreed = again.findings == survey.findings;
        again.findings.retain(|finding| survey.findings.contains(finding));
        for (lane, before) in again.lanes.iter_mut().zip(&survey.lanes) {
            agreed &= lane.findings == before.findings;
            lane.findings.retain(|finding| before.findings.contains(finding));
        }
        survey = again;
        if agreed {
            break;
        }
    }
    Ok(survey)
}

/// Whether a spool of this version lies in `directory`.
///
/// # Errors
/// Why not.
pub fn found(directory: &Path) -> io::Result<()> {
    there(&Disk, directory).map(drop)
}

/// Its lanes, and the files that are not its own.
fn there(storage: &dyn Storage, directory: &Path) -> io::Result<(Vec<Lane>, Vec<PathBuf>)> {
    let known = takeover::known(storage, directory)?;
    let entries = storage.list(directory)?;
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let has = |lane: &Lane| entries.iter().any(|entry| !entry.is_file && name(&entry.path) == lane.name());
    let there: Vec<Lane> = Lane::ALL.into_iter().filter(has).collect();
    if known.is_none() && there.is_empty() {
        let what = format!("{}: no spool of this version of the program", directory.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    let mut foreign: Vec<PathBuf> =
        entries.into_iter().map(|entry| entry.path).filter(|path| !takeover::is_known(&name(path))).collect();
    foreign.sort();
    Ok((there, foreign))
}

fn look(storage: &dyn Storage, directory: &Path, each: Each<'_>) -> io::Result<Survey> {
    let (there, foreign) = there(storage, directory)?;
    let findings = of_none(storage, directory, &there)?;
    let mut survey = Survey { foreign, findings, ..Survey::default() };
    for lane in there {
        survey.lanes[lane.index()] = of_lane(storage, directory, lane, each)?;
    }
    Ok(survey)
}

/// What is damaged and of no lane: what is made whole before anything else is, and then never is none.
fn of_none(storage: &dyn Storage, directory: &Path, there: &[Lane]) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut find = |name: &str, what: &str| {
        findings.push(Finding { file: directory.join(name), offset: 0, what: what.to_owned(), records: 0 });
    };
    let is_missing = |name: &str| {
        let read = storage.read(&directory.join(name), 0, 1);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::NotFound)
    };
    // a full disk may have had no room for either
    if takeover::known(storage, directory)?.is_none() && !is_missing(FORMAT) {
        find(FORMAT, "does not say of which version the spool is");
    }
    if !GivenUp::is_whole(storage, directory) && !is_missing(GIVEN_UP) {
        find(GIVEN_UP, "cannot be read: what was given up is counted as gone");
    }
    // they are made, durably, before it is said that they are
    if !is_missing(FORMAT) {
        for lane in Lane::ALL.into_iter().filter(|lane| !there.contains(lane)) {
            find(lane.name(), "is no folder: what the lane had is not there");
        }
    }
    Ok(findings)
}

fn of_lane(storage: &dyn Storage, directory: &Path, lane: Lane, each: Each<'_>) -> io::Result<Surveyed> {
    let folder = directory.join(lane.name());
    // read before what it speaks of: it may say less than is there, and never more
    let before = storage.read(&folder.join(CURSOR), 0, u64::MAX).ok();
    let mut report = Recovery::default();
    let mut listed = list(storage, &folder, Hand::Looking, &mut report)?;
    // it is written down before what is given up goes
    let given_up = GivenUp::open(storage, directory);
    let shed = given_up.ranges(lane);
    let chosen = choose(&mut listed, before.as_deref(), shed, &mut report);
    let candidates = chosen.candidates;
    let mut out = Surveyed {
        id: chosen.cursor.map(|cursor| cursor.spool),
        watermark: chosen.watermark,
        untold: given_up.untold()[lane.index()],
        ..Surveyed::default()
    };
    let find =
        |file: &Path, what: &str| Finding { file: file.to_owned(), offset: 0, what: what.to_owned(), records: 0 };
    if report.cursor_lost {
        out.findings.push(find(&folder.join(CURSOR), "no cursor that holds: what the centre has may be sent again"));
    }
    out.findings.extend(report.misplaced.iter().map(|path| find(path, "lies under another segment's name")));
    for path in &report.foreign {
        let is_segment = path.file_name().is_some_and(|name| Key::of_name(&name.to_string_lossy()).is_some());
        let what = match storage.read(path, 0, 1) {
            Err(error) if is_segment => format!("cannot be read: {error}"),
            _ => "is not this spool's, or a copy".to_owned(),
        };
        out.findings.push(find(path, &what));
    }
    let Some(cursor) = chosen.cursor else { return Ok(out) };
    let first = candidates.first().map_or(out.watermark, |first| first.key.first.saturating_sub(1));
    let start = first.min(out.watermark);
    out.given_up = shed.iter().map(|range| range.through.saturating_sub(range.after.max(start))).sum();
    out.readers = readers(storage, &folder, cursor.spool, &mut out.findings)?;
    let books = Books::new(start, cursor.last, shed);
    let report = Recovery::default();
    let end = (folder.join(CURSOR), 0);
    let mut walk = Walk {
        storage,
        lane,
        cursor,
        each,
        books,
        report,
        out,
        end,
        opens: true,
        ends_whole: false,
        gaps: Vec::new(),
        flush: 0,
    };
    walk.all(&candidates)?;
    Ok(walk.end())
}

/// Who reads beside the centre, and where they stand; what they are behind is not known yet.
fn readers(
    storage: &dyn Storage,
    folder: &Path,
    spool: SpoolId,
    findings: &mut Vec<Finding>,
) -> io::Result<Vec<Stand>> {
    let mut readers = Vec::new();
    for entry in storage.list(folder)?.into_iter().filter(|entry| entry.is_file) {
        let name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_prefix(NAMED).filter(|name| !name.contains('.')) else { continue };
        let bytes = storage.read(&entry.path, 0, u64::MAX).unwrap_or_default();
        let cursor = Cursor::of_file(&bytes).map(|(cursor, _)| cursor).filter(|cursor| cursor.spool == spool);
        if cursor.is_none() {
            let what = "no cursor that holds: its reader begins again where the centre stands".to_owned();
            findings.push(Finding { file: entry.path, offset: 0, what, records: 0 });
        }
        let (watermark, missed) = cursor.map_or((0, 0), |cursor| (cursor.watermark, cursor.doubted));
        readers.push(Stand { name: name.to_owned(), watermark, behind: 0, missed });
    }
    readers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(readers)
}
