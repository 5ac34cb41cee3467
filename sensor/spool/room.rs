//! Room: who may use how much of the spool, and what goes when there is none. What the centre has committed goes first, then low
//! before normal before critical, in each the oldest, and never what is more urgent than what comes.
//!
//! Of the cap the last tenth is for what is critical alone, and what is low leaves as much again to what is normal.

use std::io;
use std::time::Duration;

use super::given_up::{Cause, Hurry};
use super::shared::{Key, Segment};
use super::{Lane, Range, Spool, Summary, reader};
use crate::limits::{
    DISK_FULL_TIME_MAX, DISK_RETRY_TIME_MIN, SHED_SUMMARY_TIME_MIN, SPOOL_SYNC_RECORDS, SPOOL_SYNC_TIME_MAX,
    SPOOL_WAITING_BYTES_MAX,
};

/// Which part of the cap a lane may fill.
fn share(lane: Lane, bytes_max: u64) -> u64 {
    match lane {
        Lane::Critical => bytes_max,
        Lane::Normal => bytes_max - bytes_max / 10,
        Lane::Low => bytes_max - bytes_max / 5,
    }
}

impl Spool {
    /// Whether so many bytes fit in that lane, making room where that helps.
    pub(super) fn make_room(&mut self, lane: Lane, wanted: u64) -> bool {
        let limit = share(lane, self.options.bytes_max);
        let waiting: usize = self.logs.iter().map(super::Log::pending_bytes).sum();
        let needed = waiting as u64 + wanted;
        while self.used() + needed > limit {
            let made = self.give_up_settled() || self.options.sheds && self.shed_for(lane, Cause::Space);
            if !made {
                return false;
            }
        }
        true
    }

    fn used(&self) -> u64 {
        self.room.used.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Gives up the oldest segment that nobody waits for.
    fn give_up_settled(&mut self) -> bool {
        let oldest = |lane: &Lane| self.logs[lane.index()].shared.oldest_settled();
        let lane = Lane::ALL.into_iter().filter(|lane| oldest(lane).is_some()).min_by_key(oldest);
        let Some(lane) = lane else { return self.close_settled() };
        let gone = self.logs[lane.index()].shared.give_up_settled();
        reader::remove(self.storage.as_ref(), gone.as_slice());
        gone.is_some()
    }

    /// A segment that is still written may have nothing that anybody waits for.
    fn close_settled(&mut self) -> bool {
        let is_settled = |log: &&mut super::Log| {
            let state = log.shared.state();
            let active = state.active.and_then(|key| state.segments.get(&key));
            active.is_some_and(|segment| segment.last <= state.watermark)
        };
        let mut settled = self.logs.iter_mut().filter(is_settled);
        settled.next().map(super::Log::close_segment).is_some()
    }

    /// Gives up the oldest segment of the least urgent lane that has one, and is not more urgent than `lane`.
    fn shed_for(&mut self, lane: Lane, cause: Cause) -> bool {
        Lane::ALL.into_iter().rev().filter(|victim| *victim >= lane).any(|victim| self.shed_oldest(victim, cause))
    }

    fn shed_oldest(&mut self, lane: Lane, cause: Cause) -> bool {
        let log = &mut self.logs[lane.index()];
        let (key, segment, is_active) = {
            let state = log.shared.state();
            let free = |(key, segment): &(&Key, &Segment)| {
                segment.last > state.watermark && key.first > state.lent && !state.may_be_needed(**key)
            };
            let Some((key, segment)) = state.segments.iter().find(free) else { return false };
            (*key, segment.clone(), state.active == Some(*key))
        };
        if is_active {
            log.close_segment();
        }
        let range = {
            let state = log.shared.state();
            let before = state.segments.range(..key).next_back().map_or(0, |(_, before)| before.last);
            Range { after: state.watermark.max(before).max(key.first - 1), through: segment.last }
        };
        // whoever wrote nothing of the gap before it was damage, and is counted as that when it is opened
        let records = range.through - range.after;
        self.given_up.shed(lane, range, (records, &segment), cause);
        // first it is written down: a crash in between gives up what is written, and nothing is given up unsaid
        if !self.given_up.keep(self.storage.as_ref(), &self.directory, Hurry::Now) {
            self.given_up.take_back(lane, range, (records, &segment), cause);
            return false;
        }
        let Some(gone) = self.take_out(lane, key) else {
            self.given_up.take_back(lane, range, (records, &segment), cause);
            let _said_with_the_next = self.given_up.keep(self.storage.as_ref(), &self.directory, Hurry::Now);
            return self.shed_oldest(lane, cause);
        };
        reader::remove(self.storage.as_ref(), gone.as_slice());
        self.forget_ranges(lane);
        true
    }

    /// What is written down as given up goes; not if a reader has taken it into its hands meanwhile, for it may be on its way.
    fn take_out(&self, lane: Lane, key: Key) -> Option<Option<Segment>> {
        let log = &self.logs[lane.index()];
        let mut state = log.shared.state();
        if key.first <= state.lent {
            return None;
        }
        state.shed = self.given_up.ranges(lane).to_vec();
        let watermark = state.watermark;
        state.settle(watermark);
        Some(log.shared.take(&mut state, key))
    }

    /// What was given up needs no telling apart any more once nothing is left before it.
    fn forget_ranges(&mut self, lane: Lane) {
        let state = self.logs[lane.index()].shared.state();
        let first = state.segments.keys().next().map_or(u64::MAX, |key| key.first);
        let needed = state.written.min(first);
        drop(state);
        self.given_up.forget(lane, needed);
    }

    /// A record that was never taken.
    pub(super) fn count_refused(&mut self, lane: Lane, bytes: u64, cause: Cause) {
        if self.options.sheds {
            self.given_up.refuse(lane, bytes, super::shared::milliseconds(self.storage.now()), cause);
        }
    }

    /// Flushes a lane because much of it waits. A disk that refuses is not asked with every record, and what it refuses is held in
    /// memory up to a bound.
    pub(super) fn flush_for(&mut self, lane: Lane, wanted: usize) -> io::Result<()> {
        let now = self.storage.now();
        let waits = |(_, tried): &(_, std::time::SystemTime)| age(now, *tried) < DISK_RETRY_TIME_MIN;
        let synced = match self.refused[lane.index()].as_ref().filter(|refused| waits(refused)) {
            Some(_) => Err(io::Error::other("the disk refuses, and has just been asked")),
            None => self.timed(|spool| spool.sync_lane(lane)),
        };
        let waiting = self.logs[lane.index()].pending_bytes() + wanted;
        match synced {
            Err(error) if waiting > SPOOL_WAITING_BYTES_MAX => {
                self.count_refused(lane, wanted as u64, Cause::Disk);
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Flushes a lane. Where the disk is full what nobody waits for goes at once, and more when it stays full.
    pub(super) fn sync_lane(&mut self, lane: Lane) -> io::Result<()> {
        loop {
            let synced = self.logs[lane.index()].sync();
            let now = self.storage.now();
            let Err(error) = synced else {
                self.refused[lane.index()] = None;
                return Ok(());
            };
            let since = self.refused[lane.index()].map_or(now, |(since, _)| since);
            self.refused[lane.index()] = Some((since, now));
            let stays = self.refused.iter().flatten().any(|(since, _)| age(now, *since) >= DISK_FULL_TIME_MAX);
            let made = error.kind() == io::ErrorKind::StorageFull
                && (self.give_up_settled() || self.options.sheds && stays && self.shed_for(lane, Cause::Disk));
            if !made {
                return Err(error);
            }
        }
    }

    /// Whether what was appended should not wait for more: enough of it does, or long enough, and the disk has rested.
    pub fn is_due(&self) -> bool {
        let due = |(since, records): &(_, usize)| {
            *records >= SPOOL_SYNC_RECORDS || age(self.storage.now(), *since) >= SPOOL_SYNC_TIME_MAX
        };
        self.unsynced.as_ref().is_some_and(due) && self.syncs.has_rested()
    }

    /// Whether something was appended that is not durable.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced.is_some()
    }

    /// Records appended that are not durable.
    pub fn unsynced(&self) -> u64 {
        self.logs.iter().map(super::Log::pending_records).sum()
    }

    /// Counts how long it takes, if there is anything to be done.
    pub(super) fn timed(&mut self, work: impl FnOnce(&mut Spool) -> io::Result<()>) -> io::Result<()> {
        if self.logs.iter().all(|log| log.pending_bytes() == 0) {
            return work(self);
        }
        self.syncs.begin();
        let synced = work(self);
        self.syncs.end(&synced);
        synced
    }

    /// What was given up and is to be told now: once a minute while it goes on, and once when it has ended. The same until
    /// [`Spool::told`], also after a crash.
    pub fn summary(&mut self) -> Option<Summary> {
        let now = super::shared::milliseconds(self.storage.now());
        if !self.options.sheds || !self.given_up.is_due(now, SHED_SUMMARY_TIME_MIN) {
            return None;
        }
        let spool = self.logs[0].id();
        let summary = self.given_up.begin(spool, now)?;
        // what is not written down would be told under another name after a crash
        self.given_up.keep(self.storage.as_ref(), &self.directory, Hurry::Now).then_some(summary)
    }

    /// The summary is durable in its lane.
    pub fn told(&mut self) {
        self.given_up.end();
        self.given_up.keep(self.storage.as_ref(), &self.directory, Hurry::Now);
    }
}

/// How long ago; nothing on a clock that was set back.
fn age(now: std::time::SystemTime, then: std::time::SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}
