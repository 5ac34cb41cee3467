//! What the writer and the reader of a spool both know: segments, watermark, ages. A lock is held around these numbers
//! only, never while the disk works. Off the packet path.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::SpoolId;
use super::cursor::Place;
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

/// A segment, as far as it is durable.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Its file.
    pub path: PathBuf,
    /// Durable bytes.
    pub bytes: u64,
    /// Its last durable sequence.
    pub last: u64,
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
    /// Where the next cursor goes; `None`: there is no file yet.
    pub place: Option<Place>,
    /// The last durable sequence.
    pub last: u64,
    /// All segments.
    pub segments: BTreeMap<Key, Segment>,
    /// The one being written.
    pub active: Option<Key>,
    /// When flushes ended: (last sequence, time), for the age of the oldest waiting record.
    pub marks: VecDeque<(u64, SystemTime)>,
}

impl State {
    /// Durable bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    /// Remembers when `last` became durable.
    pub(super) fn mark(&mut self, last: u64, now: SystemTime) {
        if self.marks.len() < SPOOL_MARKS_MAX {
            self.marks.push_back((last, now));
        }
    }

    /// Moves the watermark; gives the segments that are not needed any more.
    pub(super) fn settle(&mut self, watermark: u64) -> Vec<Segment> {
        self.watermark = self.watermark.max(watermark);
        while self.marks.front().is_some_and(|(last, _)| *last <= self.watermark) {
            self.marks.pop_front();
        }
        self.retire()
    }

    /// Takes out the segments wholly at or below the watermark, except the one being written.
    pub(super) fn retire(&mut self) -> Vec<Segment> {
        let (watermark, active) = (self.watermark, self.active);
        let done = |key: &Key, segment: &Segment| segment.last <= watermark && Some(*key) != active;
        let keys: Vec<Key> =
            self.segments.iter().filter(|(key, segment)| done(key, segment)).map(|(key, _)| *key).collect();
        keys.iter().filter_map(|key| self.segments.remove(key)).collect()
    }
}

/// The numbers behind their lock.
pub(super) struct Shared {
    /// The spool's directory.
    pub directory: PathBuf,
    state: Mutex<State>,
    grown: Condvar,
}

impl Shared {
    pub(super) fn new(directory: &Path, state: State) -> Self {
        Shared { directory: directory.to_owned(), state: Mutex::new(state), grown: Condvar::new() }
    }

    /// The numbers. A panic elsewhere leaves them usable: every change is a plain assignment.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a waiting reader that there is more.
    pub(super) fn tell(&self) {
        self.grown.notify_all();
    }

    /// Waits until something above `seen` is durable, or until `at_most` is over.
    pub(super) fn wait(&self, seen: u64, at_most: Duration) {
        let state = self.state();
        let _ = self.grown.wait_timeout_while(state, at_most, |state| state.last <= seen);
    }
}
