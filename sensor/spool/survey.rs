//! A spool seen from outside: every record of every segment read in order, beside one that writes or without. In: a directory. Out:
//! what lies there, who has come how far, and what is damaged, with file and offset.
//!
//! Never here: a change to anything, a lock.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::books::Books;
use super::cursor::Cursor;
use super::given_up::GivenUp;
use super::listed::{Candidate, Listed, list};
use super::reader::NAMED;
use super::recover::{Hand, is_ours, was_given_up};
use super::recovery::Recovery;
use super::segment::{Frame, Layout, NotAHeader, rubbish_bytes};
use super::{CURSOR, Disk, Lane, Range, SpoolId, Storage, takeover};
use crate::limits::SPOOL_LOOKS_MAX;

/// A spool, as far as its files tell.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The most urgent first.
    pub lanes: [Surveyed; 3],
    /// Files in the directory that are not the spool's.
    pub foreign: Vec<PathBuf>,
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
type Each<'a> = &'a mut dyn FnMut(Seen<'_>) -> io::Result<()>;

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
        if survey.lanes.iter().all(|lane| lane.findings.is_empty()) {
            break;
        }
        let mut again = look(storage, directory, &mut |_| Ok(()))?;
        let mut agreed = true;
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
    let mut survey = Survey { foreign, ..Survey::default() };
    for lane in there {
        survey.lanes[lane.index()] = of_lane(storage, directory, lane, each)?;
    }
    Ok(survey)
}

fn of_lane(storage: &dyn Storage, directory: &Path, lane: Lane, each: Each<'_>) -> io::Result<Surveyed> {
    let folder = directory.join(lane.name());
    // read before what it speaks of: it may say less than is there, and never more
    let before = storage.read(&folder.join(CURSOR), 0, u64::MAX).ok();
    let mut report = Recovery::default();
    let listed = list(storage, &folder, Hand::Looking, &mut report)?;
    // it is written down before what is given up goes
    let given_up = GivenUp::open(storage, directory);
    let shed = given_up.ranges(lane);
    let Listed { mut candidates, .. } = listed;
    let cursor = before.as_deref().and_then(Cursor::of_file).map(|(cursor, _)| cursor);
    let owner = candidates.iter().find_map(|candidate| candidate.header.ok()).map(|(header, _)| header);
    let known = cursor.or_else(|| owner.map(|header| Cursor::new(header.spool, header.first.saturating_sub(1))));
    candidates.retain_mut(|candidate| is_ours(candidate, known, &mut report));
    candidates.retain(|candidate| !was_given_up(storage, candidate, (shed, Hand::Looking)));
    candidates.sort_by_key(|candidate| candidate.key);
    candidates.dedup_by(|copy, one| {
        let is_copy = copy.key == one.key;
        report.foreign.extend(is_copy.then(|| copy.path.clone()));
        is_copy
    });
    let mut out = Surveyed {
        id: known.map(|cursor| cursor.spool),
        untold: given_up.untold()[lane.index()],
        ..Surveyed::default()
    };
    let find =
        |file: &Path, what: &str| Finding { file: file.to_owned(), offset: 0, what: what.to_owned(), records: 0 };
    if cursor.is_none() && (before.is_some() || owner.is_some()) {
        out.findings.push(find(&folder.join(CURSOR), "no cursor that holds: what the centre has may be sent again"));
    }
    out.findings.extend(report.misplaced.iter().map(|path| find(path, "lies under another segment's name")));
    out.findings.extend(report.foreign.iter().map(|path| find(path, "is not this spool's, or a copy")));
    let Some(cursor) = known else { return Ok(out) };
    let passed =
        |reached: u64, range: &Range| if range.after <= reached { reached.max(range.through) } else { reached };
    out.watermark = shed.iter().fold(cursor.watermark, passed);
    let first = candidates.first().map_or(out.watermark, |first| first.key.first.saturating_sub(1));
    let start = first.min(out.watermark);
    out.given_up = shed.iter().map(|range| range.through.saturating_sub(range.after.max(start))).sum();
    out.readers = readers(storage, &folder, cursor.spool, &mut out.findings)?;
    let books = Books::new(start, cursor.last, shed);
    let report = Recovery::default();
    let end = (folder.join(CURSOR), 0);
    let mut walk =
        Walk { storage, lane, cursor, each, books, report, out, end, opens: true, gaps: Vec::new(), flush: 0 };
    for (at, candidate) in candidates.iter().enumerate() {
        walk.segment(candidate, candidates.get(at + 1))?;
    }
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

/// The state of reading one segment after the other.
struct Walk<'a> {
    storage: &'a dyn Storage,
    lane: Lane,
    cursor: Cursor,
    each: Each<'a>,
    books: Books<'a>,
    report: Recovery,
    out: Surveyed,
    /// Behind the last whole record.
    end: (PathBuf, u64),
    /// Whether the next record is the first of its file.
    opens: bool,
    /// Where records are missing of which nobody may have been promised any, and how many; in the flush of this first sequence.
    gaps: Vec<((PathBuf, u64), u64)>,
    flush: u64,
}

impl Walk<'_> {
    fn find(&mut self, (file, offset): (PathBuf, u64), what: String, records: u64) {
        self.out.findings.push(Finding { file, offset, what, records });
    }

    /// All records of a segment that count: up to where another begins, or to what was given up.
    fn segment(&mut self, candidate: &Candidate, next: Option<&Candidate>) -> io::Result<()> {
        let bytes = match self.storage.read(&candidate.path, 0, u64::MAX) {
            Ok(bytes) => bytes,
            // nobody waits for it any more
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                self.find((candidate.path.clone(), 0), format!("cannot be read: {error}"), 0);
                return Ok(());
            }
        };
        let Some(layout) = self.layout(candidate, &bytes) else { return Ok(()) };
        self.opens = true;
        let key = candidate.key;
        let until = next.map_or(u64::MAX, |next| next.key.first).min(self.books.given_up_from(key.first));
        let (mut cut, mut last) = (layout.header_bytes().min(bytes.len()), key.first.saturating_sub(1));
        while let Some(frame) = layout.next_frame(&bytes, cut, last).filter(|frame| frame.sequence < until) {
            self.record(&frame, &candidate.path, cut)?;
            (cut, last) = (frame.end, frame.sequence);
            self.end = (candidate.path.clone(), cut as u64);
        }
        (self.out.segments, self.out.bytes) = (self.out.segments + 1, self.out.bytes + bytes.len() as u64);
        self.out.torn_bytes += rubbish_bytes(&bytes[cut..]) as u64;
        let prepared = candidate.header.map_or(0, |(header, _)| u64::from(header.prepared));
        let was_closed = last <= self.cursor.sealed || self.books.is_given_up_behind(last);
        if next.is_none() && (bytes.len() as u64) < prepared && !was_closed {
            let what = "was cut by somebody: how much is missing behind nobody knows".to_owned();
            self.find((candidate.path.clone(), bytes.len() as u64), what, 0);
        }
        Ok(())
    }

    /// How its records are laid out, where its header tells nothing: as what the first one is found.
    fn layout(&mut self, candidate: &Candidate, bytes: &[u8]) -> Option<Layout> {
        let at = (candidate.path.clone(), 0);
        let why = match candidate.header {
            Ok((_, layout)) => return Some(layout),
            Err(why) => why,
        };
        let before = candidate.key.first.saturating_sub(1);
        let mut any = Layout::any(self.cursor.spool).into_iter();
        let found = any.find(|layout| layout.next_frame(bytes, 0, before).is_some());
        if found.is_some() {
            self.find(at, "the header does not hold; the records were read all the same".to_owned(), 0);
        } else if why == NotAHeader::Torn {
            // it was begun, and no more
            self.out.torn_bytes += rubbish_bytes(bytes) as u64;
        } else {
            self.find(at, "neither a header nor a record".to_owned(), 0);
        }
        found
    }

    /// A whole record; `cut` is where the one before it ends, or the header.
    fn record(&mut self, frame: &Frame<'_>, path: &Path, cut: usize) -> io::Result<()> {
        let before = (self.report.lost, self.report.links_broken);
        let missing = frame.sequence.saturating_sub(self.books.reached() + 1);
        // what is missing before the first record of a file is missing behind the last one of the file before
        let is_behind = std::mem::take(&mut self.opens) && cut == frame.start && self.out.records > 0;
        let here = if is_behind { self.end.clone() } else { (path.to_owned(), cut as u64) };
        self.books.enter(frame, &mut self.report);
        let mut lost = self.report.lost - before.0;
        if frame.flush.first > self.flush {
            // a flush behind it says whether all of it was there
            let known = if frame.flush.behind_doubt { 0 } else { lost };
            lost -= self.settle(known);
        }
        if lost > 0 {
            self.find(here, gone(lost), lost);
        } else if missing > 0 {
            self.gaps.push((here, missing));
            self.flush = frame.flush.first;
        } else if frame.start > cut {
            let bytes = frame.start - cut;
            self.find((path.to_owned(), cut as u64), format!("{bytes} bytes between records are none"), 0);
        }
        if self.report.links_broken > before.1 {
            let what =
                format!("record {} does not follow the one before it: one of the two was exchanged", frame.sequence);
            self.find((path.to_owned(), frame.start as u64), what, 0);
        }
        self.count(frame)
    }

    /// So many of the records that were missing were promised; how many of these had a place.
    fn settle(&mut self, lost: u64) -> u64 {
        let mut left = lost;
        for (place, missing) in std::mem::take(&mut self.gaps) {
            let here = missing.min(left);
            left -= here;
            if here > 0 {
                self.find(place, gone(here), here);
            }
        }
        lost - left
    }

    fn count(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        let (sequence, out) = (frame.sequence, &mut self.out);
        let time = frame.time.map(|time| UNIX_EPOCH + Duration::from_millis(time));
        let waits = sequence > out.watermark;
        out.records += 1;
        out.range = Some((out.range.map_or(sequence, |(first, _)| first), sequence));
        let (count, since) = match waits {
            true => (&mut out.waiting, &mut out.oldest),
            false => (&mut out.kept, &mut out.kept_since),
        };
        *count += 1;
        *since = since.or(time);
        for reader in out.readers.iter_mut().filter(|reader| reader.watermark < sequence) {
            reader.behind += 1;
        }
        (self.each)(Seen { lane: self.lane, sequence, time, waits, payload: frame.payload })
    }

    fn end(mut self) -> Surveyed {
        let before = self.report.lost;
        self.books.close(self.cursor.doubted, &mut self.report);
        let lost = self.report.lost - before;
        let lost = lost - self.settle(lost);
        if lost > 0 {
            self.find(self.end.clone(), gone(lost), lost);
        }
        self.out
    }
}

fn gone(records: u64) -> String {
    if records == 1 { "1 record is gone".to_owned() } else { format!("{records} records are gone") }
}
