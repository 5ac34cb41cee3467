//! What the writer, the readers and whoever prepares files of one lane all know: segments, watermarks, ages. A lock is held around
//! these numbers only, never while the disk works. Off the packet path.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cursor::Place;
use super::segment::Layout;
use super::{Range, SpoolId, Window};
use crate::limits::SPOOL_MARKS_MAX;

/// A segment's place: by its first sequence; a rewrite after a failed flush comes behind what it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Sequence of the first record.
    pub first: u64,
    /// Counts from 0.
    pub attempt: u32,
}

impl Key {
    /// The segment's file name.
    pub(super) fn name(self) -> String {
        format!("{:020}-{:04}.segment", self.first, self.attempt)
    }

    /// Reads a file name; only exactly what [`Key::name`] writes counts.
    pub(super) fn of_name(name: &str) -> Option<Key> {
        let (first, attempt) = name.strip_suffix(".segment")?.split_once('-')?;
        let key = Key { first: first.parse().ok()?, attempt: attempt.parse().ok()? };
        (key.name() == name).then_some(key)
    }
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn moment(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds)
}

/// A segment, as far as it is durable.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Its file.
    pub path: PathBuf,
    /// How its records are laid out.
    pub layout: Layout,
    /// Durable bytes.
    pub bytes: u64,
    /// Bytes that its file takes.
    pub disk: u64,
    /// Its last durable sequence.
    pub last: u64,
    /// When its first record was appended, in milliseconds since 1970.
    pub oldest: u64,
    /// And its last.
    pub newest: u64,
}

/// What all lanes of a spool know of each other.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Bytes that segments take.
    pub used: AtomicU64,
    /// Of these, segments that nobody waits for any more.
    pub settled: AtomicU64,
    /// Bytes of prepared files.
    pub spare: AtomicU64,
    /// How often something became durable; readers wait for it.
    grown: Mutex<u64>,
    bell: Condvar,
}

impl Room {
    /// How often something became durable.
    pub(super) fn grown(&self) -> u64 {
        *self.grown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells waiting readers that there is more.
    pub(super) fn tell(&self) {
        *self.grown.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.bell.notify_all();
    }

    /// Waits until there is more than at that count, or until `at_most` is over.
    pub(super) fn wait(&self, seen: u64, at_most: Duration) {
        let grown = self.grown.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.bell.wait_timeout_while(grown, at_most, |grown| *grown == seen);
    }
}

/// A reader with a cursor of its own, which holds nothing up.
#[derive(Debug)]
pub(super) struct Other {
    /// Its cursor's file is called after it.
    pub name: String,
    /// Everything up to here is settled for it.
    pub watermark: u64,
    /// Where its next cursor goes; `None`: there is no file yet.
    pub place: Option<Place>,
    /// Of its cursor.
    pub generation: u64,
    /// Records that went before it had read them.
    pub missed: u64,
}

/// The numbers.
#[derive(Debug)]
pub(super) struct State {
    /// Which spool.
    pub spool: SpoolId,
    /// Everything up to here is settled.
    pub watermark: u64,
    /// What the cursor's file says of that; it lags behind where the disk was full.
    pub written: u64,
    /// Up to where segments were closed in order when this life began.
    pub sealed: u64,
    /// The last flush, if records of it were missing when this life began; 0: none, or it is not the last any more.
    pub doubted: u64,
    /// Of the cursor's file.
    pub generation: u64,
    /// Where the next cursor goes; `None`: there is no file yet.
    pub place: Option<Place>,
    /// The last durable sequence.
    pub last: u64,
    /// All segments.
    pub segments: BTreeMap<Key, Segment>,
    /// The one being written.
    pub active: Option<Key>,
    /// Something that was found waits in memory to be written again: until then the last segment stays, which may have it.
    pub is_found_pending: bool,
    /// Prepared files.
    pub spares: VecDeque<PathBuf>,
    /// When flushes ended: (last sequence, time), for the age of the oldest waiting record.
    pub marks: VecDeque<(u64, SystemTime)>,
    /// What was given up, in order.
    pub shed: Vec<Range>,
    /// Up to here a reader has records in its hands that may be on their way.
    pub lent: u64,
    /// How often the watermark was set back: what was read before must not set it forth again.
    pub rewinds: u64,
    /// Records that the watermark was set back over, in this life.
    pub rewound: u64,
    /// Readers beside the centre's.
    pub others: Vec<Other>,
    /// What its segments have added to the room's account of what nobody waits for.
    pub settled: u64,
}

impl State {
    /// Bytes of all segments on the disk.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.disk).sum()
    }

    /// Remembers when `last` became durable.
    pub(super) fn mark(&mut self, last: u64, now: SystemTime) {
        if self.marks.len() < SPOOL_MARKS_MAX {
            self.marks.push_back((last, now));
        }
    }

    /// When the oldest record that waits was appended.
    pub(super) fn oldest(&self) -> Option<SystemTime> {
        if self.last <= self.watermark {
            return None;
        }
        let marked = self.marks.front().map(|(_, at)| *at);
        let first = self.segments.values().find(|segment| segment.last > self.watermark);
        marked.or_else(|| first.map(|segment| UNIX_EPOCH + Duration::from_millis(segment.oldest)))
    }

    /// The same behind the watermark of one who holds nothing up: of flushes that the centre has settled nobody remembers the time, so
    /// it is that of the segment's oldest record.
    pub(super) fn oldest_behind(&self, watermark: Option<u64>) -> Option<SystemTime> {
        let Some(watermark) = watermark.filter(|watermark| *watermark != self.watermark) else { return self.oldest() };
        let first = self.segments.values().find(|segment| segment.last > watermark).filter(|_| self.last > watermark);
        first.map(|segment| UNIX_EPOCH + Duration::from_millis(segment.oldest))
    }

    /// Records given up that stand behind the watermark.
    pub(super) fn shed_behind(&self) -> u64 {
        self.shed.iter().map(|range| range.through.saturating_sub(range.after.max(self.watermark))).sum()
    }

    /// Moves the watermark, over what was given up as well.
    pub(super) fn settle(&mut self, watermark: u64) {
        self.watermark = Range::passed(&self.shed, self.watermark.max(watermark));
        while self.marks.front().is_some_and(|(last, _)| *last <= self.watermark) {
            self.marks.pop_front();
        }
    }

    /// Whether what waits to be written again may be in it, and nowhere else on the disk.
    pub(super) fn may_be_needed(&self, key: Key) -> bool {
        self.is_found_pending && self.segments.keys().next_back() == Some(&key)
    }

    fn is_settled(&self, key: Key, segment: &Segment) -> bool {
        segment.last <= self.watermark && Some(key) != self.active
    }

    /// Whether a reader beside the centre's still wants something of it.
    fn is_wanted(&self, segment: &Segment) -> bool {
        self.others.iter().any(|other| other.watermark < segment.last)
    }
}

/// The numbers behind their lock.
pub(super) struct Shared {
    /// The lane's directory.
    pub directory: PathBuf,
    /// What the lanes share.
    pub room: Arc<Room>,
    /// How long what is settled stays.
    pub window: Window,
    /// Whoever writes a cursor has it.
    pub writing: Mutex<()>,
    state: Mutex<State>,
}

impl Shared {
    pub(super) fn new(directory: &Path, room: Arc<Room>, window: Window, state: State) -> Self {
        room.used.fetch_add(state.bytes(), Ordering::AcqRel);
        let shared =
            Shared { directory: directory.to_owned(), room, window, writing: Mutex::new(()), state: Mutex::new(state) };
        shared.count_settled(&mut shared.state());
        shared
    }

    /// The numbers. A panic elsewhere leaves them usable: every change is a plain assignment.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a segment in, or says how it is now.
    pub(super) fn put(&self, state: &mut State, key: Key, segment: Segment) {
        let now = segment.disk;
        let before = state.segments.insert(key, segment).map_or(0, |before| before.disk);
        self.room.used.fetch_add(now, Ordering::AcqRel);
        self.room.used.fetch_sub(before, Ordering::AcqRel);
    }

    /// Takes a segment out; what others miss by it is counted.
    pub(super) fn take(&self, state: &mut State, key: Key) -> Option<Segment> {
        let segment = state.segments.remove(&key)?;
        self.room.used.fetch_sub(segment.disk, Ordering::AcqRel);
        for other in &mut state.others {
            let from = other.watermark.max(key.first.saturating_sub(1));
            other.missed += segment.last.saturating_sub(from);
            if other.watermark >= key.first.saturating_sub(1) {
                other.watermark = other.watermark.max(segment.last);
            }
        }
        Some(segment)
    }

    /// The watermark was set back.
    pub(super) fn recount(&self) {
        self.count_settled(&mut self.state());
    }

    fn count_settled(&self, state: &mut State) {
        let settled = state.segments.iter().filter(|(key, segment)| state.is_settled(**key, segment));
        let now: u64 = settled.map(|(_, segment)| segment.disk).sum();
        let before = std::mem::replace(&mut state.settled, now);
        self.room.settled.fetch_add(now, Ordering::AcqRel);
        self.room.settled.fetch_sub(before, Ordering::AcqRel);
    }

    /// Takes out what nobody waits for any more and the window does not keep, the oldest first.
    pub(super) fn retire(&self, now: SystemTime) -> Vec<Segment> {
        let state = &mut *self.state();
        self.count_settled(state);
        let since = milliseconds(now).saturating_sub(u64::try_from(self.window.age.as_millis()).unwrap_or(u64::MAX));
        let mut gone = Vec::new();
        while let Some((key, segment)) = oldest_settled(state) {
            let too_much = self.room.settled.load(Ordering::Acquire) > self.window.bytes;
            if state.is_wanted(segment) || !too_much && segment.newest >= since {
                break;
            }
            gone.extend(self.take(state, key));
            self.count_settled(state);
        }
        gone
    }

    /// Takes out the oldest segment that nobody waits for, whatever the window says: its room is needed.
    pub(super) fn give_up_settled(&self) -> Option<Segment> {
        let state = &mut *self.state();
        let key = oldest_settled(state)?.0;
        let gone = self.take(state, key);
        self.count_settled(state);
        gone
    }

    /// When the oldest segment was begun that nobody waits for.
    pub(super) fn oldest_settled(&self) -> Option<u64> {
        oldest_settled(&self.state()).map(|(_, segment)| segment.oldest)
    }
}

fn oldest_settled(state: &State) -> Option<(Key, &Segment)> {
    let free = |key: Key, segment: &Segment| state.is_settled(key, segment) && !state.may_be_needed(key);
    let found = state.segments.iter().find(|(key, segment)| free(**key, segment));
    found.map(|(key, segment)| (*key, segment))
}
