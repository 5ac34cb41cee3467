//! How long records took to be committed, in classes: what is asked of a delivery is that nearly all of them are quick.
//!
//! In: times. Out: counts; anyone may read along. Never here: a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Up to how many milliseconds each class goes; the last, behind them, has no end. A commit takes some, a centre that was away for a
/// night costs hours.
pub const CLASSES_MS: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 60_000, 600_000, 3_600_000, 86_400_000];

/// Counts by class.
#[derive(Debug, Default)]
pub struct Delays {
    classes: [AtomicU64; CLASSES_MS.len() + 1],
    /// All times together, in milliseconds.
    sum: AtomicU64,
}

/// What they are at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delayed {
    /// Records of each class of [`CLASSES_MS`], and those beyond.
    pub classes: [u64; CLASSES_MS.len() + 1],
    /// All their times together.
    pub sum: Duration,
}

impl Delays {
    /// One record more.
    pub(super) fn add(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let class = CLASSES_MS.partition_point(|up_to| *up_to < took);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(took, Ordering::Relaxed);
    }

    /// As of now.
    pub fn seen(&self) -> Delayed {
        let mut seen = Delayed { sum: Duration::from_millis(self.sum.load(Ordering::Relaxed)), ..Delayed::default() };
        for (seen, class) in seen.classes.iter_mut().zip(&self.classes) {
            *seen = class.load(Ordering::Relaxed);
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_first_class_that_reaches_it() {
        let delays = Delays::default();
        for milliseconds in [0, 50, 51, 2_000, 2_001, 86_400_000, 86_400_001] {
            delays.add(Duration::from_millis(milliseconds));
        }
        let seen = delays.seen();
        assert_eq!(seen.classes, [2, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1]);
        assert_eq!(seen.sum, Duration::from_millis(2 * 86_400_000 + 1 + 50 + 51 + 2_000 + 2_001));
    }
}
