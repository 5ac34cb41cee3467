//! The reader's side of a spool: durable records out, in order; the watermark in. It may live in another thread than
//! the writer. Never here: a record that is not durable, for its sequence could still come to mean another record.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::cursor::Cursor;
use super::segment::{HEADER_BYTES, next_frame};
use super::shared::{Key, Segment, Shared};
use super::storage::replace;
use super::{CURSOR, Position, SpoolId, Storage};

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub position: Position,
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
    /// Bytes on the disk.
    pub bytes: u64,
    /// How long the oldest record has waited.
    pub oldest: Duration,
}

impl Waiting {
    /// Records that wait.
    pub fn records(&self) -> u64 {
        self.last.0.saturating_sub(self.watermark.0)
    }
}

/// The readers of all lanes, the most urgent first.
pub struct Readers {
    lanes: Vec<Reader>,
    /// The last durable record of each lane when somebody last looked.
    seen: Vec<Position>,
}

impl Readers {
    pub(super) fn new(lanes: Vec<Reader>) -> Self {
        let seen = vec![Position::default(); lanes.len()];
        Readers { lanes, seen }
    }

    /// Each lane's reader.
    pub fn lanes(&mut self) -> &mut [Reader] {
        &mut self.lanes
    }

    /// What waits in all lanes: their sum, and the age of the oldest. Watermark and last record are of no one lane, so they
    /// stand for counts.
    pub fn waiting(&self) -> Waiting {
        self.lanes.iter().map(Reader::waiting).fold(Waiting::default(), |all, one| Waiting {
            watermark: Position(all.watermark.0.saturating_add(one.watermark.0)),
            last: Position(all.last.0.saturating_add(one.last.0)),
            bytes: all.bytes + one.bytes,
            oldest: all.oldest.max(one.oldest),
        })
    }

    /// Remembers how far each lane has come: what is durable later ends the next [`Readers::wait`].
    pub fn look(&mut self) {
        for (seen, lane) in self.seen.iter_mut().zip(&self.lanes) {
            *seen = lane.waiting().last;
        }
    }

    /// Waits until something is durable that was not at the last look, at most this long.
    pub fn wait(&self, at_most: Duration) {
        if let (Some(lane), Some(seen)) = (self.lanes.first(), self.seen.first()) {
            lane.wait(*seen, at_most);
        }
    }
}

/// The reader.
pub struct Reader {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    /// The segment last read: every byte is read once.
    held: Option<Held>,
}

struct Held {
    key: Key,
    bytes: Vec<u8>,
    /// Where the record behind `sequence` begins.
    at: usize,
    sequence: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, storage: Arc<dyn Storage>) -> Self {
        Reader { shared, storage, held: None }
    }

    /// Which spool this is.
    pub fn id(&self) -> SpoolId {
        self.shared.state().spool
    }

    /// What waits, now.
    pub fn waiting(&self) -> Waiting {
        let state = self.shared.state();
        let since = state.marks.front().map(|(_, at)| *at);
        Waiting {
            watermark: Position(state.watermark),
            last: Position(state.last),
            bytes: state.bytes(),
            // A clock set back makes a record no younger than new.
            oldest: since.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default(),
        }
    }

    /// Waits until something behind `seen` is durable, at most this long.
    pub fn wait(&self, seen: Position, at_most: Duration) {
        self.shared.wait(seen.0, at_most);
    }

    /// The durable records from `from` on, at most so many records and bytes, but one record whatever its length.
    /// Damaged records are missing: their positions are.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn read(&mut self, from: Position, records_max: usize, bytes_max: usize) -> io::Result<Vec<Record>> {
        let (mut records, mut bytes, mut from) = (Vec::new(), 0, from.0);
        while records.len() < records_max {
            let Some((key, segment)) = self.segment_with(from) else { break };
            let held = match hold(self.storage.as_ref(), &mut self.held, key, &segment, from) {
                Ok(held) => held,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    from = segment.last + 1; // somebody took the file away: that is damage, too
                    continue;
                }
                Err(error) => return Err(error),
            };
            while let Some(frame) = next_frame(&held.bytes, held.at, held.sequence) {
                let wanted = frame.sequence >= from;
                if wanted && records.len() == records_max
                    || !records.is_empty() && bytes + frame.payload.len() > bytes_max
                {
                    return Ok(records);
                }
                (held.at, held.sequence) = (frame.end, frame.sequence);
                if wanted {
                    bytes += frame.payload.len();
                    records.push(Record { position: Position(frame.sequence), payload: frame.payload.to_vec() });
                    from = frame.sequence + 1;
                }
            }
            from = from.max(segment.last + 1); // the rest of this segment, if any, is damage
        }
        Ok(records)
    }

    /// Everything up to `watermark` is settled: that is made durable, then segments wholly below it are deleted.
    ///
    /// # Errors
    /// The cursor cannot be written: nothing was deleted, unless the disk is full. Or `watermark` is behind the last record.
    pub fn commit(&mut self, watermark: Position) -> io::Result<()> {
        {
            let state = self.shared.state();
            if watermark.0 <= state.written {
                return Ok(());
            }
            if watermark.0 > state.last {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a watermark behind the last record"));
            }
        }
        let written = self.write_cursor(watermark.0);
        let full = written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
        if written.is_err() && !full {
            return written;
        }
        let retired = self.shared.state().settle(watermark.0);
        remove(self.storage.as_ref(), &retired);
        // A full disk must not keep what would empty it: the cursor takes the room of the segments. Until it is written
        // a crash costs repeats, never a record.
        if full { self.write_cursor(watermark.0) } else { Ok(()) }
    }

    fn write_cursor(&self, watermark: u64) -> io::Result<()> {
        let (cursor, path) = (Cursor { spool: self.id(), watermark }, self.shared.directory.join(CURSOR));
        let place = self.shared.state().place;
        // a cursor that may have failed half-way is written over first: the other one still holds
        let next = match place {
            Some(place) => self.storage.overwrite(&path, place.offset(), &cursor.encode()).map(|()| place.other())?,
            None => {
                let (file, place) = cursor.file();
                replace(self.storage.as_ref(), &path, &file).map(|()| place)?
            }
        };
        let mut state = self.shared.state();
        (state.written, state.place) = (watermark, Some(next));
        Ok(())
    }

    /// The first segment that reaches `from`.
    fn segment_with(&self, from: u64) -> Option<(Key, Segment)> {
        let state = self.shared.state();
        state.segments.iter().find(|(_, segment)| segment.last >= from).map(|(key, segment)| (*key, segment.clone()))
    }
}

/// Deletes segments. One that stays is found below the watermark at the next opening, and deleted then.
pub(super) fn remove(storage: &dyn Storage, segments: &[Segment]) {
    for segment in segments {
        let _ = storage.remove(&segment.path);
    }
}

/// The segment's durable bytes, with the place set at or before `from`.
fn hold<'a>(
    storage: &dyn Storage,
    held: &'a mut Option<Held>,
    key: Key,
    segment: &Segment,
    from: u64,
) -> io::Result<&'a mut Held> {
    let start = Held { key, bytes: Vec::new(), at: HEADER_BYTES, sequence: key.first.saturating_sub(1) };
    let mut now = held.take().filter(|held| held.key == key).unwrap_or(start);
    if now.sequence >= from {
        (now.at, now.sequence) = (HEADER_BYTES, key.first.saturating_sub(1));
    }
    let known = now.bytes.len() as u64;
    if known < segment.bytes {
        now.bytes.extend(storage.read(&segment.path, known, segment.bytes - known)?);
    }
    Ok(held.insert(now))
}
