//! The spool: alerts in, the same alerts out, in three lanes by urgency and in each in the order in which they came, until the
//! centre has committed them and for a while after. What was synced survives a killed process and a power cut; damage on the disk
//! costs the damaged records and is counted; where there is no room what matters least is given up, counted and told.
//!
//! One writer ([`Spool`]), readers ([`Readers`]) and whoever prepares files ([`Tender`]), which may live in other threads; a second
//! process is refused. Each lane is a directory with a cursor and segments of its own.
//!
//! Never here: what a record means, and what of it may leave.

mod books;
mod chosen;
mod cursor;
mod given_up;
mod lane;
mod listed;
mod log;
mod reader;
mod readers;
mod recover;
mod recovery;
mod room;
mod segment;
mod shared;
mod storage;
mod survey;
mod syncs;
mod takeover;
mod tender;
mod walk;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};

use crate::limits::{
    PENDING_BYTES_MAX, RECORD_BYTES_MAX, REPLAY_WINDOW_BYTES_MAX, REPLAY_WINDOW_TIME, SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN, SEGMENTS_OF_A_SPOOL_MIN, SPOOL_BYTES_MAX, SPOOL_WAITING_BYTES_MAX,
};
use given_up::GivenUp;
use log::Log;
use shared::Room;

pub use given_up::{Cause, Shed, ShedCounts, Summary};
pub use lane::Lane;
pub use reader::{Reader, Record, Waiting};
pub use readers::Readers;
pub use recovery::Recovery;
pub use storage::{Disk, Entry, Growing, Storage};
pub use survey::{Finding, Seen, Stand, Survey, Surveyed, found, survey, verify};
pub use syncs::Syncs;
pub use tender::{Rewound, Short, Tender};

/// A lane's cursor.
const CURSOR: &str = "cursor";
/// The directory whose lock says that the spool is in use.
const LOCK: &str = "lock";
/// That lock.
const HELD: &str = "held";
/// What was given up.
const GIVEN_UP: &str = "given-up";
/// Says which version of this program's spools it is.
const FORMAT: &str = "format";
/// Where [`crate::emit`] keeps what the centre refused.
pub const DEAD_LETTERS: &str = "refused.jsonl";

/// A record's place in its lane. Positions rise by one, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The place behind this one.
    pub fn next(self) -> Position {
        Position(self.0.saturating_add(1))
    }
}

/// Sequences of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Range {
    /// The one before the first.
    after: u64,
    /// The last.
    through: u64,
}

impl Range {
    /// Up to where all is settled, if all up to `reached` is and these were given up.
    fn passed(ranges: &[Range], reached: u64) -> u64 {
        let passed =
            |reached: u64, range: &Range| if range.after <= reached { reached.max(range.through) } else { reached };
        ranges.iter().fold(reached, passed)
    }
}

/// Which spool, of one lane: random, so that a spool made anew is not mistaken for its forerunner.
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

/// How long what the centre has committed stays, whichever ends first; room that is needed ends it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Since it was appended.
    pub age: Duration,
    /// Of the disk.
    pub bytes: u64,
}

impl Default for Window {
    fn default() -> Self {
        Window { age: REPLAY_WINDOW_TIME, bytes: REPLAY_WINDOW_BYTES_MAX }
    }
}

impl Window {
    /// What is committed goes at once.
    pub const NONE: Window = Window { age: Duration::ZERO, bytes: 0 };
}

/// How a spool is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// All segments of all lanes together.
    pub bytes_max: u64,
    /// One segment.
    pub segment_bytes_max: u64,
    /// How long what is committed stays.
    pub window: Window,
    /// Whether what matters least is given up where there is no room; else [`Spool::append`] answers [`NotTaken::Full`].
    pub sheds: bool,
}

impl Options {
    /// A spool of so many bytes, which gives nothing up.
    pub fn sized(bytes_max: u64) -> Options {
        let segment = (bytes_max / SEGMENTS_OF_A_SPOOL_MIN).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        Options { bytes_max, segment_bytes_max: segment, window: Window::default(), sheds: false }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options::sized(SPOOL_BYTES_MAX)
    }
}

/// Why a record was not taken. What was taken before is untouched.
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
    logs: [Log; 3],
    room: Arc<Room>,
    storage: Arc<dyn Storage>,
    directory: PathBuf,
    options: Options,
    given_up: GivenUp,
    /// Of each lane, since when the disk refuses it, and when that was last tried.
    refused: [Option<(SystemTime, SystemTime)>; 3],
    /// When the oldest record was appended that is not synced, and how many there are.
    unsynced: Option<(SystemTime, usize)>,
    syncs: Arc<Syncs>,
    recovery: Recovery,
    /// Keeps other processes out.
    _hold: Box<dyn Send>,
}

impl Spool {
    /// Opens the spool in `directory`, made if need be, and recovers what is there.
    ///
    /// # Errors
    /// The directory cannot be read or made, another process holds it, or a later version of this program has written it. Never
    /// because of damaged records.
    pub fn open(directory: &Path, options: Options) -> io::Result<Spool> {
        Spool::open_on(Arc::new(Disk), directory, options)
    }

    /// [`Spool::open`] on a disk of the caller's.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_on(storage: Arc<dyn Storage>, directory: &Path, options: Options) -> io::Result<Spool> {
        let hold = storage.hold(directory)?;
        let foreign = takeover::prepare(storage.as_ref(), directory)?;
        let (given_up, room) = (GivenUp::open(storage.as_ref(), directory), Arc::new(Room::default()));
        let open = |lane: Lane| {
            let (path, own) = (directory.join(lane.name()), (options, &room));
            Log::open(Arc::clone(&storage), &path, own, given_up.ranges(lane))
        };
        let logs = [open(Lane::Critical)?, open(Lane::Normal)?, open(Lane::Low)?];
        let mut recovery = Recovery { foreign, ..Recovery::default() };
        logs.iter().for_each(|log| recovery.add(&log.recovery));
        let unsynced = logs.iter().any(|log| log.pending_bytes() > 0).then(|| (storage.now(), 0));
        Ok(Spool {
            logs,
            room,
            storage,
            directory: directory.to_owned(),
            options,
            given_up,
            refused: [None; 3],
            unsynced,
            syncs: Arc::default(),
            recovery,
            _hold: hold,
        })
    }

    /// What opening found, in all lanes.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// What it found in one.
    pub fn recovery_of(&self, lane: Lane) -> &Recovery {
        &self.logs[lane.index()].recovery
    }

    /// Which spool a lane is.
    pub fn id(&self, lane: Lane) -> SpoolId {
        self.logs[lane.index()].id()
    }

    /// The centre's reader of a lane.
    pub fn reader(&self, lane: Lane) -> Reader {
        Reader::new(Arc::clone(&self.logs[lane.index()].shared), Arc::clone(&self.storage), None)
    }

    /// The centre's readers of all lanes: theirs are the watermarks.
    pub fn readers(&self) -> Readers {
        Readers::new(Lane::ALL.map(|lane| self.reader(lane)).into(), Arc::clone(&self.room))
    }

    /// The readers of somebody beside the centre, with cursors of their own under this name. What they have not taken stays as
    /// long as there is room, and no longer; what goes before is counted as missed. Once for each name.
    pub fn readers_of(&self, name: &str) -> Readers {
        let lane = |log: &Log| {
            let other = reader::named(self.storage.as_ref(), &log.shared, name);
            Reader::new(Arc::clone(&log.shared), Arc::clone(&self.storage), Some(other))
        };
        Readers::new(self.logs.iter().map(lane).collect(), Arc::clone(&self.room))
    }

    /// Whoever prepares files, ends what the window has kept, and sets watermarks back.
    pub fn tender(&self) -> Tender {
        let lanes = self.logs.iter().map(|log| Arc::clone(&log.shared)).collect();
        Tender::new(lanes, Arc::clone(&self.storage), self.options)
    }

    /// What was given up since it was opened; to be read from any thread.
    pub fn shed_counts(&self) -> Arc<ShedCounts> {
        self.given_up.counts()
    }

    /// How the disk keeps up; to be read from any thread.
    pub fn syncs(&self) -> Arc<Syncs> {
        Arc::clone(&self.syncs)
    }

    /// Takes a record. It is durable, and visible to readers, only after the next [`Spool::sync`] that succeeds.
    ///
    /// # Errors
    /// [`NotTaken`]; where the spool gives up what it has no room for, that is counted.
    pub fn append(&mut self, lane: Lane, payload: &[u8]) -> Result<Position, NotTaken> {
        if payload.len() > RECORD_BYTES_MAX {
            return Err(NotTaken::TooLong);
        }
        let wanted = Log::bytes_of(payload);
        // of a slow disk more waits, to share its next sync
        let waits_max = if self.syncs.has_rested() { PENDING_BYTES_MAX } else { SPOOL_WAITING_BYTES_MAX };
        if self.logs[lane.index()].pending_bytes() + wanted > waits_max {
            self.flush_for(lane, wanted).map_err(NotTaken::Disk)?;
        }
        if !self.make_room(lane, wanted as u64) {
            self.count_refused(lane, wanted as u64, Cause::Space);
            return Err(NotTaken::Full);
        }
        let (since, records) = self.unsynced.unwrap_or_else(|| (self.storage.now(), 0));
        self.unsynced = Some((since, records + 1));
        Ok(self.logs[lane.index()].append(payload))
    }

    /// Makes everything appended durable, the most urgent first. How many records share one flush is the caller's choice.
    ///
    /// # Errors
    /// What the disk says, of the most urgent lane that it refuses. The records stay in memory and the next call writes them again,
    /// elsewhere.
    pub fn sync(&mut self) -> io::Result<()> {
        let synced = self.timed(|spool| Lane::ALL.map(|lane| spool.sync_lane(lane)).into_iter().collect());
        self.given_up.keep(self.storage.as_ref(), &self.directory, given_up::Hurry::None);
        if synced.is_ok() {
            self.unsynced = None;
        }
        synced
    }
}

impl Drop for Spool {
    /// A disk that is slow is not asked for what spares the next opening some work: that finds it as after a kill.
    fn drop(&mut self) {
        if self.syncs.is_slow() {
            self.logs.iter_mut().for_each(Log::leave);
        }
    }
}

fn new_id() -> io::Result<SpoolId> {
    let mut id = [0; 8];
    SystemRandom::new().fill(&mut id).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(SpoolId(id))
}

#[cfg(test)]
mod damaged;
#[cfg(test)]
mod power;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
