//! Recovery: a lane's directory in, its segments and what was lost out. Damage never stops it: torn tails are cut, damaged records
//! are stepped over and counted, files that are not ours are left alone and named.
//!
//! What nobody waits for any more is not read: only its headers are.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::books::Books;
use super::cursor::{Cursor, Place};
use super::listed::{Candidate, is_theirs, list, owner};
use super::recovery::Recovery;
use super::segment::{Frame, Layout, NotAHeader, Written, rubbish_bytes};
use super::shared::{Key, Segment, milliseconds};
use super::{Range, Storage};
use crate::limits::SPOOL_MARKS_MAX;

/// Whether what is found may be put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hand {
    /// Whoever opens it.
    Mending,
    /// Whoever only looks, beside one that writes.
    Looking,
}

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

/// Reads the directory.
pub(super) fn recover(storage: &dyn Storage, directory: &Path, shed: &[Range], hand: Hand) -> io::Result<Recovered> {
    let mut report = Recovery::default();
    let listed = list(storage, directory, hand, &mut report)?;
    let mut candidates = listed.candidates;
    let owner = owner(&candidates);
    let read = listed.cursor.as_deref().and_then(Cursor::of_file);
    // one of another lane's is written anew: where it stands it would be the later one
    let (mut cursor, place) = read.filter(|(cursor, _)| is_theirs(*cursor, &candidates)).unzip();
    if cursor.is_none() {
        report.cursor_lost = listed.cursor.is_some() || !candidates.is_empty();
        cursor = owner.map(|header| Cursor::new(header.spool, header.first.saturating_sub(1)));
    }
    candidates.retain_mut(|candidate| is_ours(candidate, cursor, &mut report));
    candidates.retain(|candidate| !was_given_up(storage, candidate, (shed, hand)));
    candidates.sort_by_key(|candidate| candidate.key);
    let known = cursor.unwrap_or(Cursor::new(super::SpoolId([0; 8]), 0));
    let watermark = Range::passed(shed, known.watermark);
    let mut reading = Reading {
        storage,
        hand,
        cursor: known,
        books: Books::new(watermark, known.last, shed),
        found: Recovered {
            cursor,
            place,
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
    reading.take_all(&candidates);
    Ok(reading.end())
}

/// Whether a file is a segment of this spool; its header's word counts for more than its name. Else it is named.
pub(super) fn is_ours(candidate: &mut Candidate, cursor: Option<Cursor>, report: &mut Recovery) -> bool {
    match candidate.header {
        Ok((header, _)) if cursor.is_some_and(|cursor| cursor.spool == header.spool) => {
            let attempt = header.attempt.unwrap_or(candidate.key.attempt);
            let key = Key { first: header.first, attempt };
            if key != candidate.key {
                report.misplaced.push(candidate.path.clone());
                candidate.key = key;
            }
            true
        }
        Ok(_) | Err(NotAHeader::Version) => {
            report.foreign.push(candidate.path.clone());
            false
        }
        Err(NotAHeader::Torn | NotAHeader::Damaged) => true,
    }
}

/// A segment in memory.
struct Buffer {
    layout: Layout,
    key: Key,
    bytes: Vec<u8>,
}

/// What was given up is counted as that, and a crash may have brought it back.
pub(super) fn was_given_up(storage: &dyn Storage, candidate: &Candidate, (shed, hand): (&[Range], Hand)) -> bool {
    let first = candidate.key.first;
    let is_gone = shed.iter().any(|range| range.after < first && first <= range.through);
    if is_gone && hand == Hand::Mending {
        let _ = storage.remove(&candidate.path);
    }
    is_gone
}

/// The state of reading one segment after the other.
struct Reading<'a> {
    storage: &'a dyn Storage,
    hand: Hand,
    cursor: Cursor,
    books: Books<'a>,
    found: Recovered,
}

impl Reading<'_> {
    /// Takes all segments. Those that begin with the last first record may be several beginnings of one flush, each of which may have
    /// been cut off by the power, or forgotten by a disk that failed: as long as none of them shows that this flush was done,
    /// what any of them has of it counts, and what the segment before has of it too.
    fn take_all(&mut self, candidates: &[Candidate]) {
        let Some(first) = candidates.last().map(|last| last.key.first) else { return };
        let group = candidates.partition_point(|candidate| candidate.key.first < first);
        let from = group.saturating_sub(1);
        let buffers: Vec<Buffer> = candidates[from..].iter().filter_map(|candidate| self.buffer(candidate)).collect();
        let mut pool: BTreeMap<u64, (usize, Frame<'_>)> = BTreeMap::new();
        for (at, Buffer { layout, key, bytes }) in buffers.iter().enumerate() {
            let frames = layout.frames(bytes, layout.header_bytes(), key.first.saturating_sub(1));
            let wanted =
                |frame: &Frame<'_>| frame.sequence >= first && frame.sequence < self.books.given_up_from(first);
            pool.extend(frames.filter(wanted).map(|frame| (frame.sequence, (at, frame))));
        }
        let last = pool.last_key_value().map_or(0, |(last, _)| *last);
        let is_done = self.cursor.sealed >= last || pool.values().any(|(_, frame)| frame.flush.first > first);
        let is_wanted = self.hand == Hand::Mending && last > self.found.watermark;
        let whole = if is_done || !is_wanted { candidates.len() } else { group };
        for (at, candidate) in candidates[..whole].iter().enumerate() {
            self.take(candidate, candidates.get(at + 1));
        }
        self.found.durable = self.books.reached().max(self.found.watermark);
        if whole < candidates.len() {
            self.take_beginnings(&candidates[group..], &pool);
        } else if is_wanted && self.cursor.sealed < last {
            self.take_out();
        }
    }

    fn buffer(&self, candidate: &Candidate) -> Option<Buffer> {
        let bytes = self.storage.read(&candidate.path, 0, u64::MAX).ok()?;
        let before = candidate.key.first.saturating_sub(1);
        let any = Layout::any(self.cursor.spool);
        let known = candidate.header.ok().map(|(_, layout)| layout);
        let layout = known.or_else(|| any.into_iter().find(|layout| layout.next_frame(&bytes, 0, before).is_some()))?;
        Some(Buffer { layout, key: candidate.key, bytes })
    }

    fn take_beginnings(&mut self, candidates: &[Candidate], pool: &BTreeMap<u64, (usize, Frame<'_>)>) {
        let last = pool.last_key_value().map_or(0, |(last, _)| *last);
        for (at, candidate) in candidates.iter().enumerate() {
            let Some(Buffer { layout, key, bytes }) = self.buffer(candidate) else {
                self.found.report.torn_bytes += candidate.bytes.min(1);
                let _ = self.storage.remove(&candidate.path);
                continue;
            };
            self.found.report.headers_damaged += u64::from(candidate.header.is_err());
            let (start, before) = (layout.header_bytes().min(bytes.len()), key.first.saturating_sub(1));
            let end = layout.frames(&bytes, start, before).last().map_or(start, |frame| frame.end);
            self.found.report.torn_bytes += rubbish_bytes(&bytes[end..]) as u64;
            if at + 1 == candidates.len() {
                self.check_end(candidate, bytes.len() as u64, last);
            }
            self.found.tails.push((candidate.path.clone(), 0));
        }
        for (_, frame) in pool.values() {
            let link = frame.link.or_else(|| self.link());
            self.books.enter(frame, &mut self.found.report);
            self.mark(frame.sequence, frame.time);
            self.write_again(frame, link, candidates.last().and_then(|last| last.written));
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
        if self.found.segments.contains_key(&candidate.key) {
            self.found.report.foreign.push(candidate.path.clone()); // a copy
            return;
        }
        // what one began to write anew counts there alone: behind a flush that failed nothing of it is to be trusted
        let end = next.map_or(u64::MAX, |next| next.key.first).min(self.books.given_up_from(candidate.key.first));
        if end <= self.found.watermark.saturating_add(1) {
            return self.keep_settled(candidate, next, end - 1);
        }
        match self.storage.read(&candidate.path, 0, u64::MAX) {
            Ok(bytes) => self.walk(candidate, &bytes, (end, next.is_none())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.hand == Hand::Looking => {}
            Err(_) => self.found.report.foreign.push(candidate.path.clone()),
        }
    }

    /// Nobody waits for it any more: it is there for the window alone.
    fn keep_settled(&mut self, candidate: &Candidate, next: Option<&Candidate>, last: u64) {
        let Ok((header, layout)) = candidate.header else {
            // nothing of it is needed
            if self.hand == Hand::Mending {
                let _ = self.storage.remove(&candidate.path);
            }
            return;
        };
        if last < candidate.key.first {
            // it was begun anew at its first record
            if self.hand == Hand::Mending {
                let _ = self.storage.remove(&candidate.path);
            }
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
        if let Ok((_, layout)) = candidate.header {
            return Some(layout);
        }
        let before = candidate.key.first.saturating_sub(1);
        let mut any = Layout::any(self.cursor.spool).into_iter();
        let found = any.find(|layout| layout.next_frame(bytes, 0, before).is_some());
        if found.is_some() {
            self.found.report.headers_damaged += 1;
        } else {
            // It has one of our names, no header and no record: power that goes before the first sync leaves that.
            self.found.report.torn_bytes += rubbish_bytes(bytes) as u64;
            if self.hand == Hand::Mending {
                let _ = self.storage.remove(&candidate.path);
            }
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
            if self.hand == Hand::Mending {
                let _ = self.storage.remove(&candidate.path);
            }
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
