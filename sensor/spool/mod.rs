//! The spool: alerts in, the same alerts out in the same order, until the centre has committed them. What was synced
//! survives a killed process and a power cut; damage on the disk costs the damaged records and is counted.
//!
//! One writer ([`Spool`]) and one reader ([`Reader`]), which may live in another thread; a second process is refused.
//! The writer never writes into a file that was there before it, and after a failed flush writes everything since the
//! last good one again, into a new file: what the kernel kept of the old one is not to be trusted.
//!
//! Never here: what a record means, and what of it may leave.

mod cursor;
mod reader;
mod recover;
mod segment;
mod shared;
mod storage;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use ring::rand::{SecureRandom, SystemRandom};

use crate::limits::{PENDING_BYTES_MAX, RECORD_BYTES_MAX, SEGMENT_BYTES_MAX, SPOOL_BYTES_MAX};
use cursor::Cursor;
use segment::{FRAME_BYTES, Flush, HEADER_BYTES, Header, write_frame};
use shared::{Key, Segment, Shared, State};

pub use reader::{Reader, Readers, Record, Waiting};
pub use recover::Recovery;
pub use storage::{Disk, Entry, Growing, Storage};

/// The cursor's file.
const CURSOR: &str = "cursor";
/// The file whose lock says that the spool is in use.
const LOCK: &str = "lock";
/// Where [`crate::emit`] keeps what the centre refused.
pub const DEAD_LETTERS: &str = "refused.jsonl";

/// A record's place in its spool. Positions rise by one, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The place behind this one.
    pub fn next(self) -> Position {
        Position(self.0.saturating_add(1))
    }
}

/// Which spool: random, so that a spool made anew is not mistaken for its forerunner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpoolId(pub(crate) [u8; 8]);

impl SpoolId {
    /// The one of this number.
    pub fn of(number: u64) -> SpoolId {
        SpoolId(number.to_be_bytes())
    }
}

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// How a spool is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// All segments together; reached, [`Spool::append`] answers [`NotTaken::Full`].
    pub bytes_max: u64,
    /// One segment.
    pub segment_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { bytes_max: SPOOL_BYTES_MAX, segment_bytes_max: SEGMENT_BYTES_MAX }
    }
}

/// Why a record was not taken. The caller counts it; what was taken before is untouched.
#[derive(Debug)]
pub enum NotTaken {
    /// The size cap.
    Full,
    /// Longer than a record may be.
    TooLong,
    /// The disk refused, and what waits for it has reached its bound.
    Disk(io::Error),
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotTaken::Full => f.write_str("the spool is full"),
            NotTaken::TooLong => write!(f, "longer than {RECORD_BYTES_MAX} bytes"),
            NotTaken::Disk(error) => write!(f, "the spool cannot be written: {error}"),
        }
    }
}

impl std::error::Error for NotTaken {}

/// The writer's side.
pub struct Spool {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    options: Options,
    id: SpoolId,
    active: Option<Active>,
    /// Frames since the last good flush.
    pending: Vec<u8>,
    /// Sequence of the first of them.
    pending_first: u64,
    next: u64,
    /// What was found of the last flush before this one has a gap, and no flush was done since.
    doubt: bool,
    recovery: Recovery,
    /// Keeps other processes out.
    _hold: Box<dyn Send>,
}

struct Active {
    key: Key,
    file: Box<dyn Growing>,
    bytes: u64,
}

impl Spool {
    /// Opens the spool in `directory`, made if need be, and recovers what is there.
    ///
    /// # Errors
    /// The directory cannot be read or made, or another process holds it. Never because of damaged records.
    pub fn open(directory: &Path, options: Options) -> io::Result<Spool> {
        Spool::open_on(Arc::new(Disk), directory, options)
    }

    /// [`Spool::open`] on a disk of the caller's.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_on(storage: Arc<dyn Storage>, directory: &Path, options: Options) -> io::Result<Spool> {
        let hold = storage.hold(directory)?;
        let found = recover::recover(storage.as_ref(), directory)?;
        let cursor = found.cursor.map_or_else(|| new_id().map(|spool| Cursor { spool, watermark: 0 }), Ok)?;
        let place = found.place.or_else(|| {
            let (file, place) = cursor.file();
            // a disk that has no room for it does not keep what is there from being delivered: it is tried again then
            storage::replace(storage.as_ref(), &directory.join(CURSOR), &file).ok().map(|()| place)
        });
        let last = found.segments.values().map(|segment| segment.last).fold(cursor.watermark, u64::max);
        let mut state = State {
            spool: cursor.spool,
            watermark: cursor.watermark,
            written: cursor.watermark,
            place,
            last,
            segments: found.segments,
            active: None,
            marks: Default::default(),
        };
        if let Some(oldest) = found.oldest {
            state.mark(last, oldest);
        }
        Ok(Spool {
            shared: Arc::new(Shared::new(directory, state)),
            storage,
            options,
            id: cursor.spool,
            active: None,
            pending: Vec::new(),
            pending_first: last + 1,
            next: last + 1,
            doubt: found.doubt,
            recovery: found.report,
            _hold: hold,
        })
    }

    /// What opening found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Which spool this is.
    pub fn id(&self) -> SpoolId {
        self.id
    }

    /// The reader's side.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared), Arc::clone(&self.storage))
    }

    /// The readers of all lanes.
    pub fn readers(&self) -> Readers {
        Readers::new(vec![self.reader()])
    }

    /// Takes a record. It is durable, and visible to the reader, only after the next [`Spool::sync`] that succeeds.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn append(&mut self, payload: &[u8]) -> Result<Position, NotTaken> {
        if payload.len() > RECORD_BYTES_MAX {
            return Err(NotTaken::TooLong);
        }
        let wanted = FRAME_BYTES + payload.len();
        if self.pending.len() + wanted > PENDING_BYTES_MAX {
            self.sync().map_err(NotTaken::Disk)?;
        }
        if !self.fits(wanted) {
            return Err(NotTaken::Full);
        }
        let position = Position(self.next);
        let flush = Flush { first: self.pending_first, behind_doubt: self.doubt };
        write_frame(&mut self.pending, self.next, flush, payload);
        self.next += 1;
        Ok(position)
    }

    /// Makes everything appended durable. How many records share one flush is the caller's choice.
    ///
    /// # Errors
    /// What the disk says. The records stay in memory and the next call writes them again, elsewhere.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut active = self.segment_for_pending()?;
        // From here to success there is no active segment: an error drops it, and its file is never written again.
        active.file.append(&self.pending)?;
        active.file.sync()?;
        active.bytes += self.pending.len() as u64;
        self.publish(&active);
        self.active = Some(active);
        self.pending.clear();
        (self.pending_first, self.doubt) = (self.next, false);
        Ok(())
    }

    /// The segment being written if the pending records fit, else a new one.
    fn segment_for_pending(&mut self) -> io::Result<Active> {
        let wanted = self.pending.len() as u64;
        if let Some(active) =
            self.active.take().filter(|active| active.bytes + wanted <= self.options.segment_bytes_max)
        {
            return Ok(active);
        }
        self.shared.state().active = None;
        let header = Header { spool: self.id, first: self.pending_first }.encode();
        for attempt in 0..10_000 {
            let key = Key { first: self.pending_first, attempt };
            let path = self.shared.directory.join(key.name());
            match storage::create_named(self.storage.as_ref(), &path) {
                Ok(mut file) => {
                    file.append(&header)?;
                    return Ok(Active { key, file, bytes: header.len() as u64 });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("ten thousand segments begin at the same record"))
    }

    fn publish(&self, active: &Active) {
        let (key, last) = (active.key, self.next - 1);
        let segment = Segment { path: self.shared.directory.join(key.name()), bytes: active.bytes, last };
        let mut state = self.shared.state();
        state.segments.insert(key, segment);
        state.active = Some(key);
        state.last = last;
        state.mark(last, SystemTime::now());
        drop(state);
        self.shared.tell();
    }

    /// Whether `wanted` more bytes keep the spool below its cap, giving up settled segments first.
    fn fits(&mut self, wanted: usize) -> bool {
        let needed = (self.pending.len() + wanted + HEADER_BYTES) as u64;
        let mut state = self.shared.state();
        if state.bytes() + needed <= self.options.bytes_max {
            return true;
        }
        if state.last > state.watermark {
            return false;
        }
        state.active = None;
        let retired = state.retire();
        drop(state);
        self.active = None;
        reader::remove(self.storage.as_ref(), &retired);
        needed <= self.options.bytes_max
    }
}

fn new_id() -> io::Result<SpoolId> {
    let mut id = [0; 8];
    SystemRandom::new().fill(&mut id).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(SpoolId(id))
}

#[cfg(test)]
mod power;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
