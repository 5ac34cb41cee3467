//! The pace of a replay: frames wait until their own time has come.
//!
//! In: times of frames, in the order of the capture. Out: a delay, and how much of the capture's own silence was left out.
//! Every worker counts for itself from one common start, so all let the same frame go at the same moment. Never here: a
//! frame's content; what is put out does not depend on when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::screen::counted;
use crate::config::Pace;
use crate::limits::{PACE_GAP_MAX, PACE_NAP_MAX};
use crate::time::Timestamp;

/// When a capture began to be replayed, and whether anybody still waits for it.
pub(super) struct Start {
    at: Instant,
    hurried: AtomicBool,
}

impl Start {
    pub(super) fn now() -> Start {
        Start { at: Instant::now(), hurried: AtomicBool::new(false) }
    }

    /// From now on no frame waits: what reads the output is gone.
    pub(super) fn hurry(&self) {
        self.hurried.store(true, Ordering::Relaxed);
    }
}

/// Gaps of a capture that were longer than anybody waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shortened {
    /// How many.
    pub(super) gaps: u64,
    /// How much shorter they were made, as waiting time.
    pub(super) by: Duration,
}

impl Shortened {
    pub(super) fn add(&mut self, other: Shortened) {
        self.gaps += other.gaps;
        self.by = self.by.saturating_add(other.by);
    }

    /// What a person is told of it; `None`: nothing was shortened.
    pub(super) fn note(self) -> Option<String> {
        let (gaps, bound, by) = (self.gaps, PACE_GAP_MAX.as_secs(), self.by.as_secs_f64());
        let gaps = counted(gaps, ["gap", "gaps"]);
        (self.gaps > 0).then(|| format!("note: --pace: {gaps} shortened to {bound} s, by {by:.1} s in all"))
    }
}

/// One worker's place in the capture's time.
pub(super) struct Pacer<'a> {
    pace: Pace,
    start: &'a Start,
    /// The latest time of any frame so far.
    latest: Option<Timestamp>,
    due: Duration,
    shortened: Shortened,
}

impl<'a> Pacer<'a> {
    pub(super) fn new(pace: Pace, start: &'a Start) -> Self {
        Pacer { pace, start, latest: None, due: Duration::ZERO, shortened: Shortened::default() }
    }

    /// Waits until a frame of that time may go.
    pub(super) fn await_turn(&mut self, time: Timestamp) {
        let due = self.due(time);
        while !self.start.hurried.load(Ordering::Relaxed) {
            let left = due.saturating_sub(self.start.at.elapsed());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(PACE_NAP_MAX));
        }
    }

    pub(super) fn shortened(&self) -> Shortened {
        self.shortened
    }

    /// How long after the start. A frame that is older than one before it goes with that one.
    fn due(&mut self, time: Timestamp) -> Duration {
        let gap = self.latest.map_or(0, |latest| time.since(latest).as_nanos().max(0));
        self.latest = self.latest.max(Some(time));
        let wait = self.pace.wait(Duration::from_nanos(gap.unsigned_abs()));
        if wait > PACE_GAP_MAX {
            self.shortened.add(Shortened { gaps: 1, by: wait - PACE_GAP_MAX });
        }
        self.due = self.due.saturating_add(wait.min(PACE_GAP_MAX));
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn dues(pace: &str, times: &[i64]) -> (Vec<u64>, Shortened) {
        let start = Start::now();
        let mut pacer = Pacer::new(pace.parse().expect("a pace"), &start);
        let due = times.iter().map(|&millis| pacer.due(at(millis)).as_millis() as u64).collect();
        (due, pacer.shortened())
    }

    #[test]
    fn frames_are_due_at_their_own_times_divided_by_the_factor() {
        assert_eq!(dues("real", &[5_000, 5_000, 6_000, 8_000]).0, [0, 0, 1_000, 3_000]);
        assert_eq!(dues("10x", &[5_000, 6_000, 8_000]).0, [0, 100, 300]);
        assert_eq!(dues("0.5x", &[5_000, 6_000]).0, [0, 2_000]);
    }

    #[test]
    fn a_clock_that_goes_back_delays_nothing_twice() {
        assert_eq!(dues("real", &[5_000, 6_000, 1_000, 6_000, 6_500]).0, [0, 1_000, 1_000, 1_000, 1_500]);
    }

    #[test]
    fn a_gap_that_nobody_waits_for_is_shortened_and_counted() {
        let (due, shortened) = dues("real", &[0, 3_600_000, 3_601_000]);
        assert_eq!(due, [0, 10_000, 11_000]);
        assert_eq!(shortened, Shortened { gaps: 1, by: Duration::from_secs(3_590) });
        let note = shortened.note().expect("it is said");
        assert_eq!(note, "note: --pace: 1 gap shortened to 10 s, by 3590.0 s in all");
        assert_eq!(dues("1000x", &[0, 3_600_000]), (vec![0, 3_600], Shortened::default()));
        let (_, shortened) = dues("0.001x", &[i64::MIN / 1_000_000, i64::MAX / 1_000_000]);
        assert_eq!(shortened.gaps, 1, "times as far apart as can be");
    }

    #[test]
    fn nobody_waits_for_an_output_that_is_gone() {
        let start = Start::now();
        start.hurry();
        let mut pacer = Pacer::new("real".parse().expect("a pace"), &start);
        for millis in [0, 5_000, 10_000] {
            pacer.await_turn(at(millis));
        }
        assert!(start.at.elapsed() < Duration::from_secs(5));
    }
}
