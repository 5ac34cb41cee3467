//! Recovery: a lane's directory in, its segments and what was lost out. Damage never stops it: torn tails are cut, damaged records
//! are stepped over and counted, files that are not ours are left alone and named. What counts is [chosen](super::chosen) elsewhere.
//!
//! What nobody waits for any more is not read: only its headers are.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::books::Books;
use super::chosen::{Beginnings, Pool, Pooled, choose};
use super::cursor::{Cursor, Place};
use super::listed::{Candidate, Hand, list};
use super::recovery::Recovery;
use super::segment::{Frame, Layout, Written, rubbish_bytes};
use super::shared::{Key, Segment, milliseconds};
use super::{Range, Storage};
use crate::limits::SPOOL_MARKS_MAX;

/// A lane's directory, read.
pub(super) struct Recovered {
    /// The cursor, as far as it is known; `None`: a new spool.
    pub cursor: Option<Cursor>,
    /// Where the next one goes; `None`: there is no file that holds.
    pub place: Option<Place>,
    /// Up to here all is settled, what was given up as well.
    pub watermark: u64,
    /// The last sequence that was ever durable, as far as is known.
    pub last: u64,
    /// The last that need not be written again.
    pub durable: u64,
    /// All segments.
    pub segments: BTreeMap<Key, Segment>,
    /// Prepared files.
    pub spares: VecDeque<PathBuf>,
    /// When the records that wait were appended.
    pub marks: VecDeque<(u64, SystemTime)>,
    /// The last record's checksum; `None`: there is none.
    pub link: Option<u32>,
    /// The last flush, if records of it are missing that nobody was promised; 0: none.
    pub doubted: u64,
    /// Records of the last flush, which nobody may have been promised: a process that was killed has left them in memory of the
    /// system's, and where a flush failed the disk may not have them at all. They are written again, elsewhere.
    pub again: Vec<Again>,
    /// Files to be cut, and where, once the cursor says how far they go.
    pub tails: Vec<(PathBuf, u64)>,
    /// What was found.
    pub report: Recovery,
}

/// A record that is written again.
pub(super) struct Again {
    pub written: Written,
    pub payload: Vec<u8>,
}

/// Reads the directory, and puts in order what is found.
pub(super) fn recover(storage: &dyn Storage, directory: &Path, shed: &[Range]) -> io::Result<Recovered> {
    let mut report = Recovery::default();
    let mut listed = list(storage, directory, Hand::Mending, &mut report)?;
    let cursor = listed.cursor.take();
    let chosen = choose(&mut listed, cursor.as_deref(), shed, &mut report);
    for path in &chosen.given_up {
        let _ = storage.remove(path);
    }
    let known = chosen.cursor.unwrap_or(Cursor::new(super::SpoolId([0; 8]), 0));
    let watermark = chosen.watermark;
    let mut reading = Reading {
        storage,
        cursor: known,
        books: Books::new(watermark, known.last, shed),
        found: Recovered {
            cursor: chosen.cursor,
            place: chosen.place,
            watermark,
            last: watermark,
            durable: watermark,
            segments: BTreeMap::new(),
            spares: listed.spares,
            marks: VecDeque::new(),
            link: None,
            doubted: 0,
            again: Vec::new(),
            tails: Vec::new(),
            report,
        },
    };
    reading.take_all(&chosen.candidates);
    Ok(reading.end())
}

/// The state of reading one segment after the other.
struct Reading<'a> {
    storage: &'a dyn Storage,
    cursor: Cursor,
    books: Books<'a>,
    found: Recovered,
}

impl Reading<'_> {
    /// Takes all segments. As long as none of the last beginnings shows that their flush was done, what they have of it is taken
    /// together and written anew.
    fn take_all(&mut self, candidates: &[Candidate]) {
        let Some(beginnings) =
            Beginnings::of(self.storage, candidates, (self.cursor, self.found.watermark), &self.books)
        else {
            return;
        };
        let pool = beginnings.pool(self.books.given_up_from(beginnings.first));
        let is_wanted = pool.last() > self.found.watermark;
        let is_again = is_wanted && !pool.is_done(&beginnings, self.cursor.sealed);
        let whole = if is_again { beginnings.group } else { candidates.len() };
        for (at, candidate) in candidates[..whole].iter().enumerate() {
            self.take(candidate, candidates.get(at + 1));
        }
        self.found.durable = self.books.reached().max(self.found.watermark);
        if is_again {
            self.take_beginnings(candidates, &beginnings, &pool);
        } else if is_wanted && self.cursor.sealed < pool.last() {
            self.take_out();
        }
    }

    fn take_beginnings(&mut self, candidates: &[Candidate], beginnings: &Beginnings, pool: &Pool<'_>) {
        for (at, candidate) in candidates.iter().enumerate().skip(beginnings.group) {
            let Some(buffer) = beginnings.buffer(at) else {
                if self.storage.read(&candidate.path, 0, 1).is_err() {
                    self.found.report.foreign.push(candidate.path.clone());
                    continue;
                }
                self.found.report.torn_bytes += candidate.bytes.min(1);
                let _ = self.storage.remove(&candidate.path);
                continue;
            };
            self.found.report.headers_damaged += u64::from(candidate.header.is_err());
            let end = buffer.frames().last().map_or(buffer.start(), |frame| frame.end);
            self.found.report.torn_bytes += rubbish_bytes(&buffer.bytes[end..]) as u64;
            if at + 1 == candidates.len() {
                self.check_end(candidate, buffer.bytes.len() as u64, pool.last());
            }
            self.found.tails.push((candidate.path.clone(), 0));
        }
        let written = candidates.last().and_then(|last| last.written);
        for Pooled { frame, .. } in pool.0.values() {
            let link = frame.link.or_else(|| self.link());
            self.books.enter(frame, &mut self.found.report);
            self.mark(frame.sequence, frame.time);
            self.write_again(frame, link, written);
        }
    }

    fn write_again(&mut self, frame: &Frame<'_>, link: Option<u32>, written: Option<SystemTime>) {
        let time = frame.time.unwrap_or(written.map_or(0, milliseconds));
        let link = link.unwrap_or(Layout::of(self.cursor.spool).beginning());
        let written = Written { sequence: frame.sequence, flush: frame.flush, time, link };
        self.found.again.push(Again { written, payload: frame.payload.to_vec() });
    }

    /// The last flush is taken out of the last segment.
    fn take_out(&mut self) {
        let last = self.found.segments.iter().next_back().map(|(key, one)| (*key, one.clone()));
        let Some((key, segment)) = last else { return };
        let Ok(bytes) = self.storage.read(&segment.path, 0, segment.bytes) else { return };
        let (start, before) = (segment.layout.header_bytes(), key.first.saturating_sub(1));
        let all: Vec<Frame<'_>> = segment.layout.frames(&bytes, start, before).collect();
        let Some(flush) = all.last().map(|frame| frame.flush.first) else { return };
        // there is one: the last flush is not the first
        let Some(kept) = all.iter().take_while(|frame| frame.flush.first < flush).last() else { return };
        for frame in all.iter().filter(|frame| frame.flush.first >= flush) {
            self.write_again(frame, frame.link.or(Some(kept.sum)), None);
        }
        self.found.tails.retain(|(path, _)| *path != segment.path);
        self.found.tails.push((segment.path.clone(), kept.end as u64));
        self.found.durable = kept.sequence.max(self.found.watermark);
        self.found.segments.insert(key, Segment { bytes: kept.end as u64, last: kept.sequence, ..segment });
    }

    /// Takes one segment into the spool, up to where another begins.
    fn take(&mut self, candidate: &Candidate, next: Option<&Candidate>) {
        // what one began to write anew counts there alone: behind a flush that failed nothing of it is to be trusted
        let end = next.map_or(u64::MAX, |next| next.key.first).min(self.books.given_up_from(candidate.key.first));
        if end <= self.found.watermark.saturating_add(1) {
            return self.keep_settled(candidate, next, end - 1);
        }
        match self.storage.read(&candidate.path, 0, u64::MAX) {
            Ok(bytes) => self.walk(candidate, &bytes, (end, next.is_none())),
            Err(_) => self.found.report.foreign.push(candidate.path.clone()),
        }
    }

    /// Nobody waits for it any more: it is there for the window alone.
    fn keep_settled(&mut self, candidate: &Candidate, next: Option<&Candidate>, last: u64) {
        let Ok((header, layout)) = candidate.header else {
            // nothing of it is needed
            let _ = self.storage.remove(&candidate.path);
            return;
        };
        if last < candidate.key.first {
            // it was begun anew at its first record
            let _ = self.storage.remove(&candidate.path);
            return;
        }
        let begun = next.and_then(|next| next.header.ok()).map_or(0, |(header, _)| header.time);
        let newest = if begun > 0 { begun } else { candidate.written.map_or(0, milliseconds) };
        let oldest = if header.time > 0 { header.time } else { newest };
        let (path, bytes) = (candidate.path.clone(), candidate.bytes);
        let segment = Segment { path, layout, bytes, disk: bytes, last, oldest, newest };
        self.found.segments.insert(candidate.key, segment);
    }

    /// How its records are laid out, where its header tells nothing: as what the first one is found.
    fn layout(&mut self, candidate: &Candidate, bytes: &[u8]) -> Option<Layout> {
        let found = candidate.layout(bytes, self.cursor.spool);
        if found.is_none() {
            // It has one of our names, no header and no record: power that goes before the first sync leaves that.
            self.found.report.torn_bytes += rubbish_bytes(bytes) as u64;
            let _ = self.storage.remove(&candidate.path);
        } else {
            self.found.report.headers_damaged += u64::from(candidate.header.is_err());
        }
        found
    }

    fn walk(&mut self, candidate: &Candidate, bytes: &[u8], (end, is_last): (u64, bool)) {
        let Some(layout) = self.layout(candidate, bytes) else { return };
        let key = candidate.key;
        let start = layout.header_bytes().min(bytes.len());
        let (mut cut, mut last) = (start, key.first.saturating_sub(1));
        let (mut oldest, mut newest) = (None, None);
        while let Some(frame) = layout.next_frame(bytes, cut, last).filter(|frame| frame.sequence < end) {
            self.found.report.damaged_bytes += (frame.start - cut) as u64;
            (cut, last) = (frame.end, frame.sequence);
            oldest = oldest.or(frame.time);
            newest = frame.time.or(newest);
            self.books.enter(&frame, &mut self.found.report);
            self.mark(frame.sequence, frame.time);
        }
        self.found.report.torn_bytes += rubbish_bytes(&bytes[cut..]) as u64;
        if last < key.first {
            // nothing of it is needed; if it stays, it is tried again next time
            let _ = self.storage.remove(&candidate.path);
            return;
        }
        if is_last {
            self.check_end(candidate, bytes.len() as u64, last);
        }
        if cut < bytes.len() {
            self.found.tails.push((candidate.path.clone(), cut as u64));
        }
        let written = candidate.written.map_or(0, milliseconds);
        let segment = Segment {
            path: candidate.path.clone(),
            layout,
            bytes: cut as u64,
            disk: cut as u64,
            last,
            oldest: oldest.unwrap_or(written),
            newest: newest.unwrap_or(written),
        };
        self.found.segments.insert(key, segment);
    }

    /// The last segment of a life that ended without notice has its whole length; a shorter one was cut by somebody.
    fn check_end(&mut self, candidate: &Candidate, length: u64, last: u64) {
        let prepared = candidate.header.map_or(0, |(header, _)| u64::from(header.prepared));
        // one that was given up may have stood behind it
        let had_another = self.books.is_given_up_behind(last);
        if length < prepared && last > self.cursor.sealed && !had_another {
            self.found.report.shortened.push(candidate.path.clone());
        }
    }

    fn mark(&mut self, sequence: u64, time: Option<u64>) {
        if sequence > self.found.watermark && self.found.marks.len() < SPOOL_MARKS_MAX {
            self.found.marks.extend(time.map(|time| (sequence, UNIX_EPOCH + Duration::from_millis(time))));
        }
    }

    /// The checksum of the last record so far. Where all that is there is settled, and what was begun behind it has no record, none
    /// was read: yet what comes next follows the last of what is kept.
    fn link(&self) -> Option<u32> {
        self.books.link().or_else(|| {
            let (key, kept) = self.found.segments.iter().next_back()?;
            let bytes = self.storage.read(&kept.path, 0, u64::MAX).ok()?;
            let (start, before) = (kept.layout.header_bytes(), key.first.saturating_sub(1));
            let frames = kept.layout.frames(&bytes, start, before);
            frames.take_while(|frame| frame.sequence <= kept.last).last().map(|frame| frame.sum)
        })
    }

    fn end(mut self) -> Recovered {
        let closed = self.books.close(self.cursor.doubted, &mut self.found.report);
        self.found.link = self.link();
        self.found.doubted = closed.doubted;
        self.found.last = closed.reached.max(self.found.watermark).max(self.cursor.last);
        self.found.report.foreign.sort();
        self.found.report.misplaced.sort();
        self.found
    }
}
