//! The reader's side of a lane: durable records out, in order; a watermark in. It may live in another thread than the writer. Never
//! here: a record that is not durable, for its sequence could still come to mean another record.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use super::cursor::{Cursor, Place};
use super::segment::Frame;
use super::shared::{Key, Other, Segment, Shared, moment};
use super::storage::replace;
use super::{CURSOR, Position, SpoolId, Storage};

/// How the cursors of readers beside the centre's begin.
pub(super) const NAMED: &str = "cursor-";

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub position: Position,
    /// When it was appended; the version before did not say.
    pub time: Option<SystemTime>,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Everything up to here is settled.
    pub watermark: Position,
    /// The last durable record.
    pub last: Position,
    /// Records between the two that were given up.
    pub shed: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// How long the oldest record has waited.
    pub oldest: Duration,
    /// Records that went before this reader had read them.
    pub missed: u64,
}

impl Waiting {
    /// Records that wait.
    pub fn records(&self) -> u64 {
        self.last.0.saturating_sub(self.watermark.0).saturating_sub(self.shed)
    }
}

/// The reader of one lane.
pub struct Reader {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    /// Which of the others it is; `None`: the centre's.
    other: Option<usize>,
    /// The segment last read: every byte is read once.
    held: Option<Held>,
    /// How often the watermark had been set back when something was last read.
    rewinds: u64,
}

struct Held {
    key: Key,
    bytes: Vec<u8>,
    /// Where the record behind `sequence` begins.
    at: usize,
    sequence: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, storage: Arc<dyn Storage>, other: Option<usize>) -> Self {
        let rewinds = shared.state().rewinds;
        Reader { shared, storage, other, held: None, rewinds }
    }

    /// Another pair of eyes on the same lane and cursor, for who only looks.
    pub(super) fn again(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared), Arc::clone(&self.storage), self.other)
    }

    /// Which spool this is.
    pub fn id(&self) -> SpoolId {
        self.shared.state().spool
    }

    /// What waits, now.
    pub fn waiting(&self) -> Waiting {
        let state = self.shared.state();
        let other = self.other.and_then(|other| state.others.get(other));
        // A clock set back makes a record no younger than new.
        let age = |at| self.storage.now().duration_since(at).ok();
        Waiting {
            watermark: Position(other.map_or(state.watermark, |other| other.watermark)),
            last: Position(state.last),
            shed: if other.is_some() { 0 } else { state.shed_behind() },
            bytes: state.bytes(),
            oldest: state.oldest_behind(other.map(|other| other.watermark)).and_then(age).unwrap_or_default(),
            missed: other.map_or(0, |other| other.missed),
        }
    }

    /// Records that its watermark was set back over, in this life.
    pub(super) fn rewound(&self) -> u64 {
        self.shared.state().rewound
    }

    /// Whether the watermark was set back since something was last read: what was read is sent again, whatever becomes of it.
    pub fn was_set_back(&self) -> bool {
        self.other.is_none() && self.shared.state().rewinds != self.rewinds
    }

    /// The durable records from `from` on, at most so many records and bytes, but one record whatever its length.
    /// Damaged records are missing: their positions are. What is read stays until the next reading, whatever is given up.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn read(&mut self, from: Position, records_max: usize, bytes_max: usize) -> io::Result<Vec<Record>> {
        let (mut records, mut bytes, mut from) = (Vec::new(), 0, from.0);
        self.rewinds = self.shared.state().rewinds;
        while records.len() < records_max {
            let Some((key, segment)) = self.segment_with(from, records.is_empty()) else { break };
            let held = match hold(self.storage.as_ref(), &mut self.held, key, &segment, from) {
                Ok(held) => held,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    from = segment.last + 1; // somebody took the file away: that is damage, too
                    continue;
                }
                Err(error) => return Err(error),
            };
            while let Some(frame) = next(&segment, (&held.bytes, held.at, held.sequence)) {
                let wanted = frame.sequence >= from;
                if wanted && records.len() == records_max
                    || !records.is_empty() && bytes + frame.payload.len() > bytes_max
                {
                    return Ok(records);
                }
                (held.at, held.sequence) = (frame.end, frame.sequence);
                if wanted {
                    bytes += frame.payload.len();
                    let (position, time) = (Position(frame.sequence), frame.time.map(moment));
                    records.push(Record { position, time, payload: frame.payload.to_vec() });
                    from = frame.sequence + 1;
                }
            }
            from = from.max(segment.last + 1); // the rest of this segment, if any, is damage
        }
        Ok(records)
    }

    /// The first segment that reaches `from`; it is in this reader's hands from now on. Between records there is none behind what
    /// was given up: what was is no part of a run.
    fn segment_with(&self, from: u64, is_first: bool) -> Option<(Key, Segment)> {
        let mut state = self.shared.state();
        if !is_first && state.shed.iter().any(|range| range.after < from && range.through >= from) {
            return None;
        }
        let found = state.segments.iter().find(|(_, segment)| segment.last >= from);
        let found = found.map(|(key, segment)| (*key, segment.clone()));
        if let (Some((_, segment)), None) = (&found, self.other) {
            state.lent = segment.last;
        }
        found
    }

    /// Everything up to `watermark` is settled for this reader: that is made durable. Segments that nobody waits for go when the
    /// window has passed as well.
    ///
    /// # Errors
    /// The cursor cannot be written: nothing was deleted, unless the disk is full. Or `watermark` is behind the last record.
    pub fn commit(&mut self, watermark: Position) -> io::Result<()> {
        {
            let state = self.shared.state();
            let other = self.other.and_then(|other| state.others.get(other));
            let set_back = other.is_none() && state.rewinds != self.rewinds;
            // what was read before somebody set it back is sent again
            let is_written = other.is_none_or(|other| other.place.is_some());
            if set_back || is_written && watermark.0 <= other.map_or(state.written, |other| other.watermark) {
                return Ok(());
            }
            if watermark.0 > state.last {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a watermark behind the last record"));
            }
        }
        if let Some(other) = self.other {
            return write_named(self.storage.as_ref(), &self.shared, other, watermark.0);
        }
        let written = write_cursor(self.storage.as_ref(), &self.shared, watermark.0);
        let full = written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
        if written.is_err() && !full {
            return written;
        }
        self.shared.state().settle(watermark.0);
        let retired = self.shared.retire(self.storage.now());
        remove(self.storage.as_ref(), &retired);
        if !full {
            return Ok(());
        }
        // A full disk must not keep what would empty it: the cursor takes the room of the segments. Until it is written
        // a crash costs repeats, never a record.
        while let Some(gone) = self.shared.give_up_settled() {
            remove(self.storage.as_ref(), &[gone]);
        }
        write_cursor(self.storage.as_ref(), &self.shared, watermark.0)
    }
}

/// Puts a watermark on the disk.
pub(super) fn write_cursor(storage: &dyn Storage, shared: &Shared, watermark: u64) -> io::Result<()> {
    let _one = shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let (cursor, place) = {
        let state = shared.state();
        let (spool, last, sealed, doubted) = (state.spool, state.last, state.sealed, state.doubted);
        let generation = state.generation + 1;
        (Cursor { spool, watermark, last, sealed, doubted, generation }, state.place)
    };
    let next = put(storage, &shared.directory.join(CURSOR), place, cursor)?;
    let mut state = shared.state();
    (state.written, state.generation, state.place) = (watermark, cursor.generation, Some(next));
    Ok(())
}

/// Writes a cursor at its place, or a new file of it; where the next one goes.
fn put(storage: &dyn Storage, path: &Path, place: Option<Place>, cursor: Cursor) -> io::Result<Place> {
    if let Some(place) = place {
        // a cursor that may have failed half-way is written over first: the other one still holds
        match storage.overwrite(path, place.offset(), &cursor.encode()) {
            // somebody took it away
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            written => return written.map(|()| place.other()),
        }
    }
    let (file, place) = cursor.file();
    replace(storage, path, &file).map(|()| place)
}

/// Finds the cursor of a reader that holds nothing up, or begins one where the centre's stands; which of them it is. Where it begins
/// is written down at once: after a crash the centre's may stand elsewhere.
pub(super) fn named(storage: &dyn Storage, shared: &Shared, name: &str) -> usize {
    let bytes = storage.read(&shared.directory.join(format!("{NAMED}{name}")), 0, u64::MAX);
    let mut state = shared.state();
    let found = bytes.ok().and_then(|bytes| Cursor::of_file(&bytes)).filter(|(cursor, _)| cursor.spool == state.spool);
    let (cursor, place) = found.unzip();
    let stands = cursor.map_or(state.watermark, |cursor| cursor.watermark).min(state.last);
    // what went while nobody read under this name
    let oldest = state.segments.keys().next().map_or(state.last, |key| key.first.saturating_sub(1));
    state.others.push(Other {
        name: name.to_owned(),
        watermark: stands.max(oldest),
        place,
        generation: cursor.map_or(0, |cursor| cursor.generation),
        missed: cursor.map_or(0, |cursor| cursor.doubted) + oldest.saturating_sub(stands),
    });
    let (other, stands) = (state.others.len() - 1, stands.max(oldest));
    drop(state);
    if place.is_none() {
        // a disk that refuses is asked again with the first commit
        let _ = write_named(storage, shared, other, stands);
    }
    other
}

/// The same, for one that holds nothing up.
fn write_named(storage: &dyn Storage, shared: &Shared, other: usize, watermark: u64) -> io::Result<()> {
    let _one = shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let (cursor, place, name) = {
        let state = shared.state();
        let Some(of) = state.others.get(other) else { return Ok(()) };
        let generation = of.generation + 1;
        let cursor =
            Cursor { spool: state.spool, watermark, last: state.last, sealed: 0, doubted: of.missed, generation };
        (cursor, of.place, of.name.clone())
    };
    let next = put(storage, &shared.directory.join(format!("{NAMED}{name}")), place, cursor)?;
    if let Some(of) = shared.state().others.get_mut(other) {
        (of.watermark, of.generation, of.place) = (of.watermark.max(watermark), cursor.generation, Some(next));
    }
    Ok(())
}

/// Deletes segments. One that stays is found below the watermark at the next opening, and deleted then.
pub(super) fn remove(storage: &dyn Storage, segments: &[Segment]) {
    for segment in segments {
        let _ = storage.remove(&segment.path);
    }
}

/// The next record behind a place and a sequence. What a crash has brought back of a segment behind its last record was given up, or
/// written again elsewhere.
fn next<'a>(segment: &Segment, (bytes, at, after): (&'a [u8], usize, u64)) -> Option<Frame<'a>> {
    segment.layout.next_frame(bytes, at, after).filter(|frame| frame.sequence <= segment.last)
}

/// The segment's durable bytes, with the place set at or before `from`.
fn hold<'a>(
    storage: &dyn Storage,
    held: &'a mut Option<Held>,
    key: Key,
    segment: &Segment,
    from: u64,
) -> io::Result<&'a mut Held> {
    let (start, before) = (segment.layout.header_bytes(), key.first.saturating_sub(1));
    let fresh = Held { key, bytes: Vec::new(), at: start, sequence: before };
    let mut now = held.take().filter(|held| held.key == key).unwrap_or(fresh);
    if now.sequence >= from {
        (now.at, now.sequence) = (start, before);
    }
    let known = now.bytes.len() as u64;
    if known < segment.bytes {
        now.bytes.extend(storage.read(&segment.path, known, segment.bytes - known)?);
    }
    Ok(held.insert(now))
}
