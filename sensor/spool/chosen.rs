//! What of a lane's directory counts: which cursor, which files, and of a flush that was begun more than once which records. It is the
//! same for whoever opens the lane and for whoever looks.
//!
//! In: what lies there. Out: the cursor, the segments in order, and the last of them in memory. Never here: a change to anything.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::books::Books;
use super::cursor::{Cursor, Place};
use super::listed::{Candidate, Listed};
use super::recovery::Recovery;
use super::segment::{Flush, Frame, Header, Layout, NotAHeader};
use super::shared::Key;
use super::{Range, SpoolId, Storage};

/// See the head of this file.
pub(super) struct Chosen {
    /// What the cursor says, or what can be known without one; `None`: a new spool.
    pub cursor: Option<Cursor>,
    /// Where the next one goes; `None`: there is no file that holds.
    pub place: Option<Place>,
    /// Up to here all is settled, what was given up as well.
    pub watermark: u64,
    /// The segments, in order.
    pub candidates: Vec<Candidate>,
    /// Those that were given up, and that a crash has brought back.
    pub given_up: Vec<PathBuf>,
}

/// Chooses; `cursor` has the bytes of its file, and `shed` is what was given up. Files that are not this lane's are named in `report`.
pub(super) fn choose(listed: &mut Listed, cursor: Option<&[u8]>, shed: &[Range], report: &mut Recovery) -> Chosen {
    let mut candidates = std::mem::take(&mut listed.candidates);
    let read = cursor.and_then(Cursor::of_file);
    // one of another lane's is written anew: where it stands it would be the later one
    let (mut known, place) = read.filter(|(cursor, _)| is_theirs(*cursor, &candidates)).unzip();
    if known.is_none() {
        report.cursor_lost = cursor.is_some() || !candidates.is_empty();
        known = owner(&candidates).map(|header| Cursor::new(header.spool, header.first.saturating_sub(1)));
    }
    candidates.retain_mut(|candidate| is_ours(candidate, known, report));
    candidates.sort_by_key(|candidate| candidate.key);
    candidates.dedup_by(|copy, one| {
        let is_copy = copy.key == one.key;
        report.foreign.extend(is_copy.then(|| copy.path.clone()));
        is_copy
    });
    let mut given_up = Vec::new();
    candidates.retain(|Candidate { key, path, .. }| {
        let is_gone = shed.iter().any(|range| range.after < key.first && key.first <= range.through);
        given_up.extend(is_gone.then(|| path.clone()));
        !is_gone
    });
    let watermark = Range::passed(shed, known.map_or(0, |cursor| cursor.watermark));
    Chosen { cursor: known, place, watermark, candidates, given_up }
}

/// The first segment of the spool that most of them are of.
fn owner(candidates: &[Candidate]) -> Option<Header> {
    let mut counts: Vec<(Header, usize)> = Vec::new();
    for (header, _) in candidates.iter().filter_map(|candidate| candidate.header.ok()) {
        match counts.iter_mut().find(|(one, _)| one.spool == header.spool) {
            Some((_, count)) => *count += 1,
            None => counts.push((header, 1)),
        }
    }
    // of as many the first
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(header, _)| header)
}

/// Whether a cursor is these segments': one that none of them knows is another lane's.
fn is_theirs(cursor: Cursor, candidates: &[Candidate]) -> bool {
    let mut spools = candidates.iter().filter_map(|candidate| candidate.header.ok()).map(|(header, _)| header.spool);
    spools.clone().next().is_none() || spools.any(|spool| spool == cursor.spool)
}

/// Whether a file is a segment of this spool; its header's word counts for more than its name. Else it is named.
fn is_ours(candidate: &mut Candidate, cursor: Option<Cursor>, report: &mut Recovery) -> bool {
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

/// The segments that begin with the last first record, and the one before them, in memory. These may be several beginnings of one
/// flush, each of which may have been cut off by the power, or forgotten by a disk that failed, or not yet have taken what the segment
/// before has of it. Where what comes before them was begun more than once, too, and none of it shows that it was done, it is one of
/// them: what failed there may have been taken away and have come back.
pub(super) struct Beginnings {
    /// The record that the first of them begins with.
    pub first: u64,
    /// Which of all segments is the first of them.
    pub group: usize,
    /// Of the segment before and of each of them, as far as a layout was found.
    buffers: Vec<Option<Buffer>>,
    /// Whether they begin with more than one record.
    is_many: bool,
}

/// A segment in memory.
pub(super) struct Buffer {
    pub layout: Layout,
    pub key: Key,
    pub bytes: Vec<u8>,
}

/// The records of the last beginnings, each once.
pub(super) struct Pool<'a>(pub BTreeMap<u64, Pooled<'a>>);

/// A record, and where it was taken from.
pub(super) struct Pooled<'a> {
    /// Which of all segments.
    pub at: usize,
    /// Where the record before it ends there, or the header.
    pub cut: usize,
    pub frame: Frame<'a>,
}

impl Beginnings {
    /// Reads them; `None`: there is no segment. Of what stands up to `settled` nothing is needed, and what was given up parts them.
    pub(super) fn of(
        storage: &dyn Storage,
        candidates: &[Candidate],
        (cursor, settled): (Cursor, u64),
        books: &Books<'_>,
    ) -> Option<Beginnings> {
        let first_of = |first: u64| candidates.partition_point(|candidate| candidate.key.first < first);
        let last = candidates.last()?.key.first;
        let (mut first, mut group) = (last, first_of(last));
        while first > settled.saturating_add(1) && group >= 2 {
            let before = candidates[group - 1].key.first;
            let of = first_of(before);
            let is_open = before > cursor.sealed && books.given_up_from(before) >= last && group - of > 1;
            // one that cannot be read now may be readable again
            let shows = |candidate: &Candidate, first: u64| match Buffer::of(storage, candidate, cursor.spool) {
                Ok(buffer) => buffer.iter().flat_map(Buffer::frames).any(|frame| frame.flush.first > first),
                Err(_) => true,
            };
            if !is_open
                || shows(&candidates[group - 1], before)
                || candidates[group..].iter().any(|one| shows(one, first))
            {
                break;
            }
            (first, group) = (before, of);
        }
        let from = group.saturating_sub(1);
        let buffer = |candidate| Buffer::of(storage, candidate, cursor.spool).ok().flatten();
        let buffers = candidates[from..].iter().map(buffer).collect();
        Some(Beginnings { first, group, buffers, is_many: first < last })
    }

    /// Of that segment of all; `None`: nothing of it can be read, or it is none of these.
    pub(super) fn buffer(&self, at: usize) -> Option<&Buffer> {
        self.buffers.get(at.checked_sub(self.group.saturating_sub(1))?)?.as_ref()
    }

    /// What any of them has counts, up to what was given up.
    pub(super) fn pool(&self, given_up_from: u64) -> Pool<'_> {
        let mut pool = BTreeMap::new();
        for (at, buffer) in (self.group.saturating_sub(1)..).zip(&self.buffers) {
            let Some(buffer) = buffer else { continue };
            let mut end = buffer.start();
            for frame in buffer.frames() {
                let cut = std::mem::replace(&mut end, frame.end);
                if frame.sequence >= self.first && frame.sequence < given_up_from {
                    // all of them are one flush: none of it was done before the rest
                    let first = if self.is_many { frame.flush.first.min(self.first) } else { frame.flush.first };
                    let frame = Frame { flush: Flush { first, ..frame.flush }, ..frame };
                    pool.insert(frame.sequence, Pooled { at, cut, frame });
                }
            }
        }
        Pool(pool)
    }
}

impl Candidate {
    /// How its records are laid out; where its header does not hold, as what the first one is found. `None`: it has neither.
    pub(super) fn layout(&self, bytes: &[u8], spool: SpoolId) -> Option<Layout> {
        let before = self.key.first.saturating_sub(1);
        let known = self.header.ok().map(|(_, layout)| layout);
        known.or_else(|| Layout::any(spool).into_iter().find(|layout| layout.next_frame(bytes, 0, before).is_some()))
    }
}

impl Buffer {
    /// `None`: it has neither a header nor a record.
    fn of(storage: &dyn Storage, candidate: &Candidate, spool: SpoolId) -> io::Result<Option<Buffer>> {
        let bytes = storage.read(&candidate.path, 0, u64::MAX)?;
        let layout = candidate.layout(&bytes, spool);
        Ok(layout.map(|layout| Buffer { layout, key: candidate.key, bytes }))
    }

    /// Where its records begin.
    pub(super) fn start(&self) -> usize {
        self.layout.header_bytes().min(self.bytes.len())
    }

    /// All its records.
    pub(super) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.layout.frames(&self.bytes, self.start(), self.key.first.saturating_sub(1))
    }
}

impl Pool<'_> {
    /// The last record; 0: there is none.
    pub(super) fn last(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(last, _)| *last)
    }

    /// Whether it shows that the flush was done: then what the last of them has is what there is. `sealed` is what the cursor says of
    /// segments that were closed in order.
    pub(super) fn is_done(&self, beginnings: &Beginnings, sealed: u64) -> bool {
        let last = beginnings.group.saturating_sub(1) + beginnings.buffers.len() - 1;
        let has_last = self.0.values().any(|one| one.at == last);
        !beginnings.is_many
            && has_last
            && (sealed >= self.last() || self.0.values().any(|one| one.frame.flush.first > beginnings.first))
    }
}
