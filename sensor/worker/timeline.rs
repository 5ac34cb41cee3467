//! When things happened: counts in bins of time, as fine as a bound on their number allows.
//!
//! In: moments. Out: bins, which depend on the moments alone and not on who counted them or in which order: they lie at
//! multiples of a power of two of nanoseconds, and their width doubles only when there are more of them than the bound.
//! Empty bins take no room, so one odd clock costs one bin. Never here: a clock.

use std::collections::BTreeMap;

use crate::limits::{TIMELINE_BIN_NANOS_MIN_LOG2, TIMELINE_BINS_MAX};
use crate::time::Timestamp;

/// Row of frames.
pub const FRAMES: usize = 0;
/// Row of their bytes on the link.
pub const BYTES: usize = 1;
/// Row of flows that began.
pub const FLOWS: usize = 2;
/// First of the rows of alerts, one for each severity from low to critical.
pub const ALERTS: usize = 3;
/// How many rows a bin has.
pub const ROWS: usize = 7;

/// Counts by row.
pub type Bin = [u64; ROWS];

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Doublings of the finest width.
    doublings: u32,
    bins: BTreeMap<i64, Bin>,
    /// The bin of the latest moment: packets of one moment come together, and a bin is looked for once for all of them.
    open: Option<(i64, Bin)>,
}

impl Timeline {
    /// Counts `by` at that moment.
    #[inline]
    pub fn count(&mut self, at: Timestamp, row: usize, by: u64) {
        let number = at.as_nanos() >> self.shift();
        match &mut self.open {
            Some((open, bin)) if *open == number => bin[row] += by,
            _ => {
                self.close();
                let mut bin = Bin::default();
                bin[row] = by;
                self.open = Some((at.as_nanos() >> self.shift(), bin));
            }
        }
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Timeline) {
        self.close();
        while self.doublings < other.doublings {
            self.double();
        }
        let narrower = self.doublings - other.doublings;
        for (number, bin) in other.bins.iter().map(|(number, bin)| (*number, bin)).chain(other.opened()) {
            self.merge(number >> narrower, bin);
        }
        self.bound();
    }

    /// The bins that are not empty, from first to last: number and counts. A bin begins at its number times its width.
    pub fn bins(&self) -> BTreeMap<i64, Bin> {
        let mut whole = Timeline::default();
        whole.add(self);
        whole.bins
    }

    /// Nanoseconds of a bin, as a power of two, in the answer of [`Timeline::bins`].
    pub fn width_log2(&self) -> u32 {
        let mut whole = Timeline::default();
        whole.add(self);
        whole.shift()
    }

    fn shift(&self) -> u32 {
        TIMELINE_BIN_NANOS_MIN_LOG2 + self.doublings
    }

    fn opened(&self) -> Option<(i64, &Bin)> {
        self.open.as_ref().map(|(number, bin)| (*number, bin))
    }

    fn close(&mut self) {
        if let Some((number, bin)) = self.open.take() {
            self.merge(number, &bin);
            self.bound();
        }
    }

    fn merge(&mut self, number: i64, bin: &Bin) {
        let sums = self.bins.entry(number).or_default();
        sums.iter_mut().zip(bin).for_each(|(sum, more)| *sum += more);
    }

    fn bound(&mut self) {
        while self.bins.len() > TIMELINE_BINS_MAX {
            self.double();
        }
    }

    fn double(&mut self) {
        self.doublings += 1;
        for (number, bin) in std::mem::take(&mut self.bins) {
            self.merge(number >> 1, &bin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(moments: impl Iterator<Item = i64>) -> Timeline {
        let mut timeline = Timeline::default();
        moments.for_each(|nanos| timeline.count(Timestamp::from_nanos(nanos), FRAMES, 1));
        timeline
    }

    /// Moments all over the range of 64 bits and close together, in no order.
    fn moments() -> impl Iterator<Item = i64> + Clone {
        let far = (0..3_000_i64).map(|n| n.wrapping_mul(0x61c8_8646_80b5_83eb));
        far.chain((0..30_000).map(|n| 1_795_262_400_000_000_000 + n % 977 * 3_000_000))
    }

    #[test]
    fn bins_do_not_depend_on_who_counted_and_in_which_order() {
        let whole = counted(moments());
        for parts in 2..=5 {
            let mut sum = Timeline::default();
            for part in (0..parts).rev() {
                sum.add(&counted(moments().skip(part).step_by(parts)));
            }
            assert_eq!((sum.bins(), sum.width_log2()), (whole.bins(), whole.width_log2()), "{parts} parts");
        }
        let backwards: Vec<i64> = moments().collect();
        assert_eq!(counted(backwards.into_iter().rev()).bins(), whole.bins());
    }

    #[test]
    fn bins_are_bounded_and_nothing_is_lost() {
        let timeline = counted(moments());
        assert!(timeline.bins().len() <= TIMELINE_BINS_MAX);
        assert_eq!(timeline.bins().values().map(|bin| bin[FRAMES]).sum::<u64>(), 33_000);
    }

    #[test]
    fn one_odd_clock_costs_one_bin_and_no_resolution() {
        let timeline = counted([0, i64::MIN, i64::MAX, 1].into_iter());
        assert_eq!((timeline.bins().len(), timeline.width_log2()), (3, TIMELINE_BIN_NANOS_MIN_LOG2));
    }
}
