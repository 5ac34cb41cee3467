//! How the disk keeps up: how long a sync takes, and how many failed. Any thread may read along, also while one is under way.
//!
//! The disk rests as long as its last sync took before it is asked for the next, up to a bound: what comes meanwhile shares one, so
//! that the slower the disk is, the more records each of its syncs makes durable.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::{SPOOL_REST_TIME_MAX, SPOOL_SYNC_SLOW_TIME_MIN};

/// See the head of this file.
#[derive(Debug)]
pub struct Syncs {
    /// What all moments are counted from, in nanoseconds.
    opened: Instant,
    /// When the one under way began; 0: none is.
    began: AtomicU64,
    /// When the last one ended.
    ended: AtomicU64,
    /// How long it took.
    took: AtomicU64,
    failures: AtomicU64,
    failing: AtomicBool,
    why: Mutex<String>,
}

impl Default for Syncs {
    fn default() -> Self {
        let none = || AtomicU64::new(0);
        Syncs {
            opened: Instant::now(),
            began: none(),
            ended: none(),
            took: none(),
            failures: none(),
            failing: AtomicBool::new(false),
            why: Mutex::default(),
        }
    }
}

impl Syncs {
    /// How long the last sync took, or the one under way has taken where that is longer.
    pub fn time(&self) -> Duration {
        let took = self.took.load(Ordering::Acquire);
        let began = Some(self.began.load(Ordering::Acquire)).filter(|began| *began > 0);
        Duration::from_nanos(began.map_or(took, |began| took.max(self.now().saturating_sub(began))))
    }

    /// Whether that is so long that somebody should look after the disk.
    pub fn is_slow(&self) -> bool {
        self.time() >= SPOOL_SYNC_SLOW_TIME_MIN
    }

    /// Syncs that failed since the spool was opened. Their records are written again, elsewhere.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// Whether the last one did.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// What the disk said when one last failed.
    pub fn failure(&self) -> String {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the disk may be asked for another sync.
    pub(super) fn has_rested(&self) -> bool {
        let rest = self.took.load(Ordering::Acquire).min(SPOOL_REST_TIME_MAX.as_nanos() as u64);
        self.now().saturating_sub(self.ended.load(Ordering::Acquire)) >= rest
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn begin(&self) {
        self.began.store(self.now().max(1), Ordering::Release);
    }

    pub(super) fn end(&self, synced: &io::Result<()>) {
        let now = self.now();
        self.took.store(now.saturating_sub(self.began.load(Ordering::Acquire)), Ordering::Release);
        self.ended.store(now, Ordering::Release);
        self.began.store(0, Ordering::Release);
        if let Err(error) = synced {
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
            self.failures.fetch_add(1, Ordering::AcqRel);
        }
        self.failing.store(synced.is_err(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_under_way_counts_and_the_disk_rests_as_long_as_it_took() {
        let syncs = Syncs::default();
        assert!(syncs.has_rested() && !syncs.is_slow(), "nobody has asked it for anything");
        syncs.begin();
        std::thread::sleep(Duration::from_millis(40));
        assert!(syncs.time() >= Duration::from_millis(40), "{:?}", syncs.time());
        syncs.end(&Ok(()));
        let (ended, took) = (Instant::now(), syncs.time());
        while !syncs.has_rested() {
            std::thread::yield_now();
        }
        assert!(ended.elapsed() >= took - Duration::from_millis(5), "{:?} after one of {took:?}", ended.elapsed());
        assert_eq!((syncs.failures(), syncs.is_failing()), (0, false));
    }

    #[test]
    fn a_disk_rests_no_longer_than_its_bound_and_says_why_it_failed_until_it_does_not() {
        let syncs = Syncs::default();
        syncs.took.store(u64::MAX, Ordering::Release);
        syncs.ended.store(0, Ordering::Release);
        assert!(syncs.is_slow() && !syncs.has_rested());
        std::thread::sleep(SPOOL_REST_TIME_MAX);
        assert!(syncs.has_rested());
        syncs.begin();
        syncs.end(&Err(io::Error::other("it smokes")));
        assert_eq!((syncs.failures(), syncs.is_failing(), syncs.failure()), (1, true, "it smokes".into()));
        syncs.begin();
        syncs.end(&Ok(()));
        assert_eq!((syncs.failures(), syncs.is_failing(), syncs.is_slow()), (1, false, false));
    }
}
