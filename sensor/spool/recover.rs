//! Recovery: a spool's directory in, its segments and what was lost out. Damage never stops it: torn tails are cut,
//! damaged records are stepped over and counted, files that are not ours are left alone and named.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::cursor::{Cursor, Place};
use super::segment::{Frame, HEADER_BYTES, Header, NotAHeader, next_frame};
use super::shared::{Key, Segment};
use super::{CURSOR, DEAD_LETTERS, Entry, LOCK, SpoolId, Storage};

/// What opening a spool found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records that wait for delivery.
    pub waiting: u64,
    /// Records that were durable once and cannot be read any more, by the gaps in their sequence. What is missing of the last
    /// flush is not among them: power that goes in the middle of it leaves the same.
    pub lost: u64,
    /// Bytes at the ends of segments that were no whole record; they have been cut.
    pub torn_bytes: u64,
    /// Segment headers that did not hold; their records were read all the same.
    pub headers_damaged: u64,
    /// The cursor could not be read: records may be delivered again, under the same identity.
    pub cursor_lost: bool,
    /// Files in the directory that are not this spool's.
    pub foreign: Vec<PathBuf>,
}

/// A spool's directory, read.
pub(super) struct Recovered {
    /// The cursor, as far as it is known; `None`: a new spool.
    pub cursor: Option<Cursor>,
    /// Where the next one goes; `None`: there is no file that holds.
    pub place: Option<Place>,
    /// Segments above the watermark.
    pub segments: BTreeMap<Key, Segment>,
    /// When the oldest of them was last written.
    pub oldest: Option<SystemTime>,
    /// Whether records are missing in the last flush.
    pub doubt: bool,
    /// What was found.
    pub report: Recovery,
}

struct Candidate {
    key: Key,
    path: PathBuf,
    bytes: Vec<u8>,
    header: Result<Header, NotAHeader>,
    written: Option<SystemTime>,
}

/// Reads the directory.
pub(super) fn recover(storage: &dyn Storage, directory: &Path) -> io::Result<Recovered> {
    let mut report = Recovery::default();
    let (candidates, cursor_bytes) = list(storage, directory, &mut report)?;
    let (mut cursor, place) = cursor_bytes.as_deref().and_then(Cursor::of_file).unzip();
    if cursor.is_none() {
        let owner = candidates.iter().find_map(|candidate| candidate.header.ok());
        report.cursor_lost = cursor_bytes.is_some() || !candidates.is_empty();
        cursor = owner.map(|header| Cursor { spool: header.spool, watermark: header.first.saturating_sub(1) });
    }
    let spool = cursor.map(|cursor| cursor.spool);
    let ours = candidates.into_iter().filter(|candidate| is_ours(storage, candidate, spool, &mut report));
    let ours: Vec<Candidate> = ours.collect();
    let watermark = cursor.map_or(0, |cursor| cursor.watermark);
    let mut found = Recovered { cursor, place, segments: BTreeMap::new(), oldest: None, doubt: false, report };
    let mut books = Books { reached: watermark, doubted: None };
    for (at, candidate) in ours.iter().enumerate() {
        // what one began to write anew counts there alone: behind a flush that failed nothing of it is to be trusted
        let end = ours.get(at + 1).map_or(u64::MAX, |next| next.key.first);
        take(storage, &mut found, candidate, (watermark, end), &mut books);
    }
    found.doubt = books.doubted.is_some();
    found.report.foreign.sort();
    Ok(found)
}

/// The files that may be segments, in order, and the cursor's bytes.
fn list(
    storage: &dyn Storage,
    directory: &Path,
    report: &mut Recovery,
) -> io::Result<(Vec<Candidate>, Option<Vec<u8>>)> {
    let (mut candidates, mut cursor) = (Vec::new(), None);
    for Entry { path, is_file, written } in storage.list(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == CURSOR {
            cursor = Some(storage.read(&path, 0, u64::MAX).unwrap_or_default());
        } else if let Some(key) = Key::of_name(&name).filter(|_| is_file) {
            // A file that cannot be read now may be readable again: it is left, its gap is counted.
            match storage.read(&path, 0, u64::MAX) {
                Ok(bytes) => {
                    let header = Header::decode(&bytes);
                    candidates.push(Candidate { key, path, bytes, header, written });
                }
                Err(_) => report.foreign.push(path),
            }
        } else if name != LOCK && name != DEAD_LETTERS && name != "cursor.new" {
            report.foreign.push(path);
        }
    }
    candidates.sort_by_key(|candidate| candidate.key);
    Ok((candidates, cursor))
}

/// Whether a file is a segment of this spool that holds something; else it is named, or removed if power that went left it.
fn is_ours(storage: &dyn Storage, candidate: &Candidate, spool: Option<SpoolId>, report: &mut Recovery) -> bool {
    let Candidate { key, path, bytes, header, .. } = candidate;
    match header {
        Ok(header) if Some(header.spool) == spool && header.first == key.first => true,
        Ok(_) | Err(NotAHeader::Version) => {
            report.foreign.push(path.clone());
            false
        }
        Err(NotAHeader::Damaged) if next_frame(bytes, HEADER_BYTES, key.first.saturating_sub(1)).is_some() => {
            report.headers_damaged += 1;
            true
        }
        // It has one of our names, no header and no record: power that goes before the first sync leaves that.
        Err(NotAHeader::Torn | NotAHeader::Damaged) => {
            report.torn_bytes += bytes.len() as u64;
            let _ = storage.remove(path);
            false
        }
    }
}

/// Takes one segment into the spool, up to the sequence `end`, which is another's.
fn take(
    storage: &dyn Storage,
    found: &mut Recovered,
    Candidate { key, path, bytes, written, .. }: &Candidate,
    (watermark, end): (u64, u64),
    books: &mut Books,
) {
    let (mut cut, mut last) = (HEADER_BYTES.min(bytes.len()), key.first.saturating_sub(1));
    while let Some(frame) = next_frame(bytes, cut, last).filter(|frame| frame.sequence < end) {
        (cut, last) = (frame.end, frame.sequence);
        books.enter(&frame, &mut found.report);
    }
    if last <= watermark || last < key.first {
        let _ = storage.remove(path); // nothing of it is needed; if it stays, it is tried again next time
    } else {
        cut_tail(storage, path, bytes, cut, &mut found.report);
        found.oldest = found.oldest.or(*written);
        found.segments.insert(*key, Segment { path: path.clone(), bytes: cut as u64, last });
    }
}

/// Which sequences were there.
struct Books {
    /// Up to here all is accounted for.
    reached: u64,
    /// A flush, and how many of its records are missing: whether anybody was promised them shows only behind it.
    doubted: Option<(u64, u64)>,
}

impl Books {
    fn enter(&mut self, frame: &Frame<'_>, report: &mut Recovery) {
        if frame.sequence <= self.reached {
            return;
        }
        if let Some((_, records)) = self.doubted.take_if(|(flush, _)| *flush < frame.flush.first)
            && !frame.flush.behind_doubt
        {
            report.lost += records;
        }
        let promised = frame.flush.first.saturating_sub(self.reached + 1);
        let missing = frame.sequence - self.reached - 1;
        report.lost += promised.min(missing);
        if missing > promised {
            let (_, records) = self.doubted.get_or_insert((frame.flush.first, 0));
            *records += missing - promised;
        }
        report.waiting += 1;
        self.reached = frame.sequence;
    }
}

fn cut_tail(storage: &dyn Storage, path: &Path, bytes: &[u8], end: usize, report: &mut Recovery) {
    let torn = bytes.len().saturating_sub(end);
    if torn > 0 {
        report.torn_bytes += torn as u64;
        // Readers stop at `end` in any case; a disk that refuses to cut changes nothing.
        let _ = storage.cut(path, end as u64);
    }
}
