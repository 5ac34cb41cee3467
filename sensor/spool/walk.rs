//! One segment of a lane after the other, read record by record for who only looks: what is there is shown and counted, what is not is
//! told with its place.
//!
//! Never here: a change to anything.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::books::Books;
use super::chosen::{Beginnings, Pool, Pooled};
use super::cursor::Cursor;
use super::listed::Candidate;
use super::recovery::Recovery;
use super::segment::{Frame, Layout, NotAHeader, rubbish_bytes};
use super::survey::{Each, Finding, Seen, Surveyed};
use super::{Lane, Storage};

/// The state of reading one segment after the other.
pub(super) struct Walk<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) lane: Lane,
    pub(super) cursor: Cursor,
    pub(super) each: Each<'a>,
    pub(super) books: Books<'a>,
    pub(super) report: Recovery,
    pub(super) out: Surveyed,
    /// Behind the last whole record.
    pub(super) end: (PathBuf, u64),
    /// Whether the next record is the first of its file.
    pub(super) opens: bool,
    /// Where records are missing of which nobody may have been promised any, and how many; in the flush of this first sequence.
    pub(super) gaps: Vec<((PathBuf, u64), u64)>,
    pub(super) flush: u64,
}

impl Walk<'_> {
    fn find(&mut self, (file, offset): (PathBuf, u64), what: String, records: u64) {
        self.out.findings.push(Finding { file, offset, what, records });
    }

    /// All segments.
    pub(super) fn all(&mut self, candidates: &[Candidate]) -> io::Result<()> {
        let Some(beginnings) = Beginnings::of(self.storage, candidates, (self.cursor, self.out.watermark), &self.books)
        else {
            return Ok(());
        };
        let pool = beginnings.pool(self.books.given_up_from(beginnings.first));
        let is_done = pool.is_done(&beginnings, self.cursor.sealed);
        let whole = if is_done { candidates.len() } else { beginnings.group };
        for (at, candidate) in candidates[..whole].iter().enumerate() {
            self.segment(candidate, candidates.get(at + 1))?;
        }
        if is_done { Ok(()) } else { self.beginnings(candidates, &beginnings, &pool) }
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
        }
        self.count_file(&bytes, layout, (cut, last));
        if next.is_none() {
            self.check_end(candidate, bytes.len() as u64, last);
        }
        Ok(())
    }

    /// Counts a file whose last record that counts is of that end and sequence.
    fn count_file(&mut self, bytes: &[u8], layout: Layout, (cut, last): (usize, u64)) {
        let end = layout.frames(bytes, cut, last).last().map_or(cut, |frame| frame.end);
        (self.out.segments, self.out.bytes) = (self.out.segments + 1, self.out.bytes + bytes.len() as u64);
        self.out.torn_bytes += rubbish_bytes(&bytes[end..]) as u64;
    }

    /// The last segment of a life that ended without notice has its whole length; a shorter one was cut by somebody.
    fn check_end(&mut self, candidate: &Candidate, length: u64, last: u64) {
        let prepared = candidate.header.map_or(0, |(header, _)| u64::from(header.prepared));
        let was_closed = last <= self.cursor.sealed || self.books.is_given_up_behind(last);
        if length < prepared && !was_closed {
            let what = "was cut by somebody: how much is missing behind nobody knows".to_owned();
            self.find((candidate.path.clone(), length), what, 0);
        }
    }

    /// The last flush, as far as any of its beginnings has it.
    fn beginnings(&mut self, candidates: &[Candidate], beginnings: &Beginnings, pool: &Pool<'_>) -> io::Result<()> {
        let mut of = None;
        for Pooled { at, cut, frame } in pool.0.values() {
            self.opens |= of.replace(*at) != Some(*at);
            self.record(frame, &candidates[*at].path, *cut)?;
        }
        for (at, candidate) in candidates.iter().enumerate().skip(beginnings.group) {
            let Some(buffer) = beginnings.buffer(at) else {
                self.segment(candidate, candidates.get(at + 1))?;
                continue;
            };
            // where its header does not hold the power went before anybody was promised anything of it
            let last = buffer.frames().last().map_or((buffer.start(), 0), |frame| (frame.end, frame.sequence));
            self.count_file(&buffer.bytes, buffer.layout, last);
            if at + 1 == candidates.len() {
                self.check_end(candidate, buffer.bytes.len() as u64, pool.last());
            }
        }
        Ok(())
    }

    /// How its records are laid out; what is wrong with its header is told.
    fn layout(&mut self, candidate: &Candidate, bytes: &[u8]) -> Option<Layout> {
        let found = candidate.layout(bytes, self.cursor.spool);
        let Err(why) = candidate.header else { return found };
        let at = (candidate.path.clone(), 0);
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
        if self.is_behind_what_was_taken_away(frame, cut) {
            self.begin(frame.sequence);
        }
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
        self.end = (path.to_owned(), frame.end as u64);
        self.count(frame)
    }

    /// What is settled goes file by file, the oldest first, and a crash may bring back some of it: what stands before such a gap is not
    /// kept any more.
    fn is_behind_what_was_taken_away(&self, frame: &Frame<'_>, cut: usize) -> bool {
        let is_between_files = self.opens && cut == frame.start && self.out.records > 0;
        is_between_files
            && frame.sequence.saturating_sub(1) <= self.out.watermark
            && self.books.missing_before(frame.sequence) > 0
    }

    /// All that was seen so far was taken away once.
    fn begin(&mut self, sequence: u64) {
        let out = &mut self.out;
        out.brought_back = out.records;
        (out.kept, out.kept_since, out.range) = (0, None, None);
        out.readers.iter_mut().for_each(|reader| reader.behind = 0);
        self.gaps.clear();
        self.books.begin_behind(sequence - 1);
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

    pub(super) fn end(mut self) -> Surveyed {
        let settled = self.out.watermark;
        if self.out.records > 0
            && self.books.reached() < settled
            && self.books.missing_before(settled.saturating_add(1)) > 0
        {
            self.begin(settled.saturating_add(1));
        }
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
