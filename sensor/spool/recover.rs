//! Recovery: a spool's directory in, its segments and what was lost out. Damage never stops it: torn tails are cut,
//! damaged records are stepped over and counted, files that are not ours are left alone and named.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::cursor::Cursor;
use super::segment::{HEADER_BYTES, Header, NotAHeader, next_frame};
use super::shared::{Key, Segment};
use super::{CURSOR, DEAD_LETTERS, LOCK, SpoolId};

/// What opening a spool found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records that wait for delivery.
    pub waiting: u64,
    /// Records that were there once and cannot be read any more, by the gaps in their sequence.
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
    /// Segments above the watermark.
    pub segments: BTreeMap<Key, Segment>,
    /// When the oldest of them was last written.
    pub oldest: Option<SystemTime>,
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
pub(super) fn recover(directory: &Path) -> io::Result<Recovered> {
    let mut report = Recovery::default();
    let (candidates, cursor_bytes) = list(directory, &mut report)?;
    let mut cursor = cursor_bytes.as_deref().and_then(Cursor::decode);
    if cursor.is_none() {
        let owner = candidates.iter().find_map(|candidate| candidate.header.ok());
        report.cursor_lost = cursor_bytes.is_some() || !candidates.is_empty();
        cursor = owner.map(|header| Cursor { spool: header.spool, watermark: header.first.saturating_sub(1) });
    }
    let watermark = cursor.map_or(0, |cursor| cursor.watermark);
    let mut found = Recovered { cursor, segments: BTreeMap::new(), oldest: None, report };
    let mut reached = watermark;
    for candidate in candidates {
        reached = take(&mut found, candidate, cursor.map(|cursor| cursor.spool), watermark, reached)?;
    }
    found.report.foreign.sort();
    Ok(found)
}

/// The files that may be segments, in order, and the cursor's bytes.
fn list(directory: &Path, report: &mut Recovery) -> io::Result<(Vec<Candidate>, Option<Vec<u8>>)> {
    let (mut candidates, mut cursor) = (Vec::new(), None);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if name == CURSOR {
            cursor = Some(fs::read(&path).unwrap_or_default());
        } else if let Some(key) = Key::of_name(&name).filter(|_| path.is_file()) {
            // A file that cannot be read now may be readable again: it is left, its gap is counted.
            match fs::read(&path) {
                Ok(bytes) => {
                    let written = entry.metadata().and_then(|metadata| metadata.modified()).ok();
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

/// Takes one segment into the spool, or says why not. `reached` is the last sequence accounted for so far.
fn take(
    found: &mut Recovered,
    candidate: Candidate,
    spool: Option<SpoolId>,
    watermark: u64,
    reached: u64,
) -> io::Result<u64> {
    let Candidate { key, path, bytes, header, written } = candidate;
    match header {
        Ok(header) if Some(header.spool) == spool && header.first == key.first => {}
        Ok(_) | Err(NotAHeader::Version) => {
            found.report.foreign.push(path);
            return Ok(reached);
        }
        Err(NotAHeader::Torn) => {
            found.report.torn_bytes += bytes.len() as u64;
            let _ = fs::remove_file(&path); // the beginning of a header holds no record
            return Ok(reached);
        }
        Err(NotAHeader::Damaged) if next_frame(&bytes, HEADER_BYTES, key.first.saturating_sub(1)).is_some() => {
            found.report.headers_damaged += 1;
        }
        Err(NotAHeader::Damaged) => {
            found.report.foreign.push(path);
            return Ok(reached);
        }
    }
    let walk = walk(&bytes, key.first.saturating_sub(1), reached, &mut found.report);
    cut_tail(&path, &bytes, walk.end, &mut found.report);
    if walk.last <= watermark {
        let _ = fs::remove_file(&path); // nothing of it is needed; if it stays, it is tried again next time
    } else {
        found.oldest = found.oldest.or(written);
        found.segments.insert(key, Segment { path, bytes: walk.end as u64, last: walk.last });
    }
    Ok(walk.reached)
}

struct Walk {
    end: usize,
    last: u64,
    reached: u64,
}

fn walk(bytes: &[u8], before: u64, mut reached: u64, report: &mut Recovery) -> Walk {
    let (mut end, mut last) = (HEADER_BYTES.min(bytes.len()), before);
    while let Some(frame) = next_frame(bytes, end, last) {
        (end, last) = (frame.end, frame.sequence);
        if last > reached {
            report.lost += last - reached - 1;
            report.waiting += 1;
            reached = last;
        }
    }
    Walk { end, last, reached }
}

fn cut_tail(path: &Path, bytes: &[u8], end: usize, report: &mut Recovery) {
    let torn = bytes.len().saturating_sub(end);
    if torn > 0 {
        report.torn_bytes += torn as u64;
        // Readers stop at `end` in any case; a disk that refuses to cut changes nothing.
        let _ = OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(end as u64));
    }
}
