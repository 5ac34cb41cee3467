//! The time of a running sensor: the wall clock, as long as it goes as a clock does.
//!
//! A wall clock can be set: an hour on, ten years back. Flows must not all end by it, and indicators must not all expire.
//! So the time here runs with a steady clock; small corrections of the wall clock (NTP slews it, and steps it by
//! less) are followed, a jump is not, until an operator says that it is right (a reload). Frames are stamped by the
//! kernel with the wall clock and are moved by the same amount.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::limits::{CLOCK_JUMP_MIN, RING_TIME_MAX};
use crate::time::{Span, Timestamp};

/// See the head of this file.
#[derive(Clone, Debug)]
pub(super) struct Steady {
    /// Wall clock less monotonic clock, as last seen.
    offset: i64,
    /// What jumps add up to: wall clock less steady time.
    jumped: Span,
    jumps: u64,
    now: Timestamp,
}

impl Steady {
    pub(super) fn new(wall: SystemTime, steady: Duration) -> Steady {
        let (wall, steady) = (nanos_of(wall), steady.as_nanos() as i64);
        Steady { offset: wall - steady, jumped: Span::ZERO, jumps: 0, now: Timestamp::from_nanos(wall) }
    }

    /// Takes note of both clocks.
    pub(super) fn look(&mut self, wall: SystemTime, steady: Duration) -> Timestamp {
        let (wall, steady) = (nanos_of(wall), steady.as_nanos() as i64);
        let moved = wall.saturating_sub(steady).saturating_sub(self.offset);
        self.offset = self.offset.saturating_add(moved);
        if moved.saturating_abs() >= CLOCK_JUMP_MIN.as_nanos() {
            self.jumped = Span::nanos(self.jumped.as_nanos().saturating_add(moved));
            self.jumps += 1;
        }
        self.now = Timestamp::from_nanos(wall.saturating_sub(self.jumped.as_nanos()));
        self.now
    }

    /// The steady time of a frame that the kernel stamped. A frame of now cannot be of tomorrow, nor older than the ring:
    /// one that was stamped on the other side of a jump is of now.
    pub(super) fn frame(&self, stamp: Timestamp) -> Timestamp {
        let time = stamp.moved(Span::nanos(-self.jumped.as_nanos()));
        let age = self.now.since(time);
        if age < Span::nanos(-RING_TIME_MAX.as_nanos()) || age > RING_TIME_MAX { self.now } else { time }
    }

    /// Whether the wall clock says something else than this one.
    pub(super) fn is_suspect(&self) -> bool {
        self.jumped != Span::ZERO
    }

    /// The wall clock is right as it is now: an operator says so. It may have been set a moment ago, and nobody have looked.
    /// By how much the time moves by that.
    pub(super) fn trust(&mut self, wall: SystemTime, steady: Duration) -> Span {
        self.look(wall, steady);
        std::mem::replace(&mut self.jumped, Span::ZERO)
    }

    /// How often it jumped.
    #[cfg(test)]
    fn jumps(&self) -> u64 {
        self.jumps
    }
}

fn nanos_of(wall: SystemTime) -> i64 {
    match wall.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
    }
}

/// Both clocks of this machine. The steady one counts the time that the machine slept, or it would wake in doubt.
pub(super) fn both() -> (SystemTime, Duration) {
    #[cfg(target_os = "linux")]
    const STEADY: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const STEADY: ClockId = ClockId::Monotonic;
    let steady = clock_gettime(STEADY);
    (SystemTime::now(), Duration::new(steady.tv_sec as u64, steady.tv_nsec as u32))
}

/// The latest time that anybody knows, and since when it stands.
pub(super) struct Stands(Timestamp, Instant);

impl Stands {
    /// No time is known.
    pub(super) fn new(now: Instant) -> Stands {
        Stands(Timestamp::default(), now)
    }

    /// How late it is for what waits to be delivered. Time of frames from elsewhere stands until there are more of them, and for that
    /// nobody should wait: it goes on from there as fast as any.
    pub(super) fn passed(&mut self, time: Timestamp, now: Instant) -> Timestamp {
        if self.0 != time {
            *self = Stands(time, now);
        }
        let since = i64::try_from(now.duration_since(self.1).as_nanos()).unwrap_or(i64::MAX);
        if time == Timestamp::default() { time } else { time.moved(Span::nanos(since)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn wall(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
    }

    fn seconds(time: Timestamp) -> i64 {
        time.as_nanos() / 1_000_000_000 - 1_700_000_000
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(1_700_000_000 + seconds, 0)
    }

    #[test]
    fn a_clock_that_is_set_does_not_move_the_time() {
        for set in [wall(10) + HOUR, wall(10) - HOUR, wall(10) + 87_600 * HOUR, wall(10) - 87_600 * HOUR, UNIX_EPOCH] {
            let mut clock = Steady::new(wall(0), Duration::ZERO);
            assert_eq!(seconds(clock.look(wall(9), Duration::from_secs(9))), 9);
            assert_eq!(seconds(clock.look(set, Duration::from_secs(10))), 10, "{set:?}");
            assert!(clock.is_suspect());
            // a frame stamped by the new clock, and one that was still in the ring
            assert_eq!(seconds(clock.frame(Timestamp::from_nanos(nanos_of(set)))), 10);
            assert_eq!(seconds(clock.frame(at(9))), if set == UNIX_EPOCH { 10 } else { seconds(clock.frame(at(9))) });
            assert!((9..=10).contains(&seconds(clock.frame(at(9)))), "{set:?}");
            assert_eq!((seconds(clock.look(set + HOUR, Duration::from_secs(3610))), clock.jumps()), (3610, 1));
        }
    }

    #[test]
    fn a_clock_that_is_slewed_is_followed() {
        let mut clock = Steady::new(wall(0), Duration::ZERO);
        for second in 1..100 {
            let slewed = wall(second) + Duration::from_millis(second * 50);
            clock.look(slewed, Duration::from_secs(second));
        }
        assert!(!clock.is_suspect());
        assert_eq!(seconds(clock.look(wall(105), Duration::from_secs(100))), 105);
    }

    #[test]
    fn a_clock_that_is_set_and_vouched_for_before_anybody_looked_is_right() {
        let mut clock = Steady::new(wall(0), Duration::ZERO);
        clock.trust(wall(1) + HOUR, Duration::from_secs(1));
        assert_eq!(seconds(clock.look(wall(2) + HOUR, Duration::from_secs(2))), 3602);
        assert!(!clock.is_suspect());
    }

    #[test]
    fn an_operators_word_makes_the_wall_clock_right() {
        let mut clock = Steady::new(wall(0), Duration::ZERO);
        clock.look(wall(1) + HOUR, Duration::from_secs(1));
        clock.trust(wall(1) + HOUR, Duration::from_secs(1));
        assert_eq!(seconds(clock.look(wall(2) + HOUR, Duration::from_secs(2))), 3602);
        assert!(!clock.is_suspect());
    }
}
