//! Which of a centre's endpoints is tried, and when: the first that is well. In: what became of attempts, and the time. Out:
//! the endpoint, or how long to wait. Never here: a clock, a connection.
//!
//! Trouble at one endpoint sends the next attempt to another at once. The first is taken again when it has answered several
//! signs of life in a row; each time it then fails at once it has to answer twice as many.

use std::time::Duration;

/// The first wait after a failure, at most; it doubles.
const WAIT_MIN: Duration = Duration::from_millis(50);

/// The longest wait. A thousand sensors that spread over the hundred seconds below it come ten a second.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// A wait is somewhere between this part of its most and all of it: sensors that fail together do not come back together.
const WAIT_SPREAD: u32 = 6;

/// An attempt is given up after this long: with what it takes to connect elsewhere, ten seconds are not over.
const PATIENCE_MIN: Duration = Duration::from_secs(6);

/// A whole attempt where no endpoint answers sooner: longer than a slow disk at the centre takes.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// Signs of life that an endpoint answers in a row before it is preferred again.
const WELL_MIN: u32 = 2;

/// And where it failed again each time it was.
const WELL_MAX: u32 = 64;

/// An endpoint that has worked for so long after it was taken again has not failed again.
const STEADY_MIN: Duration = Duration::from_secs(600);

/// The endpoints, the first in the configuration first.
#[derive(Debug)]
pub(super) struct Endpoints {
    each: Vec<Endpoint>,
    in_use: usize,
    dice: u64,
}

#[derive(Clone, Debug)]
struct Endpoint {
    /// Failures in a row.
    failures: u32,
    /// It is not tried before.
    not_before: Duration,
    /// How long an attempt may take.
    patience: Duration,
    /// Signs of life answered in a row while another was in use.
    well: u32,
    /// How many it takes.
    well_wanted: u32,
    /// Since when it has been in use again, if it was left once and has not failed since.
    again: Option<Duration>,
}

impl Endpoints {
    /// So many; `seed` is the sensor's own.
    pub(super) fn new(count: usize, seed: u64) -> Endpoints {
        let fresh = Endpoint {
            failures: 0,
            not_before: Duration::ZERO,
            patience: PATIENCE_MIN,
            well: 0,
            well_wanted: WELL_MIN,
            again: None,
        };
        Endpoints { each: vec![fresh; count], in_use: 0, dice: seed }
    }

    /// Which to try now, and how long the attempt may take.
    ///
    /// # Errors
    /// How long until one may be tried.
    pub(super) fn choose(&mut self, now: Duration) -> Result<(usize, Duration), Duration> {
        let due = |endpoint: &Endpoint| endpoint.not_before <= now;
        if !self.each.get(self.in_use).is_some_and(due) {
            let Some(next) = self.each.iter().position(due) else {
                let soonest = self.each.iter().map(|endpoint| endpoint.not_before).min().unwrap_or(WAIT_MAX);
                return Err(soonest.saturating_sub(now));
            };
            (self.in_use, self.each[next].well) = (next, 0);
        }
        Ok((self.in_use, self.each[self.in_use].patience))
    }

    /// An attempt at it ended with an answer, after so long.
    pub(super) fn answered(&mut self, which: usize, took: Duration) {
        let endpoint = &mut self.each[which];
        endpoint.failures = 0;
        endpoint.not_before = Duration::ZERO;
        if took < PATIENCE_MIN / 2 {
            endpoint.patience = PATIENCE_MIN;
        }
    }

    /// An attempt at it failed: it is not tried before a wait is over, and not before `after`, if it asked for that.
    pub(super) fn failed(&mut self, which: usize, now: Duration, after: Option<Duration>) {
        let wait = self.wait(self.each[which].failures);
        let endpoint = &mut self.each[which];
        endpoint.failures = endpoint.failures.saturating_add(1);
        endpoint.not_before = now + after.map_or(wait, |after| after.max(wait));
        endpoint.well = 0;
        if let Some(since) = endpoint.again.take() {
            let steady = now.saturating_sub(since) >= STEADY_MIN;
            endpoint.well_wanted = if steady { WELL_MIN } else { (endpoint.well_wanted * 2).min(WELL_MAX) };
        }
    }

    /// It took longer than it may. Where no other endpoint is better it gets more time from now on: a slow answer is better
    /// than none.
    pub(super) fn too_slow(&mut self, which: usize) {
        let alone = self.each.iter().enumerate().all(|(at, other)| at == which || other.failures > 0);
        let endpoint = &mut self.each[which];
        endpoint.patience = if alone { (endpoint.patience * 2).min(PATIENCE_MAX) } else { PATIENCE_MIN };
    }

    /// All of them asked for patience: none is tried before.
    pub(super) fn all_wait(&mut self, until: Duration) {
        self.each.iter_mut().for_each(|endpoint| endpoint.not_before = endpoint.not_before.max(until));
    }

    /// A sign of life sent to it was answered or not. One that is before the one in use may be taken again.
    pub(super) fn heard(&mut self, which: usize, answered: bool, now: Duration) {
        let endpoint = &mut self.each[which];
        endpoint.well = if answered { endpoint.well.saturating_add(1) } else { 0 };
        if which < self.in_use && endpoint.well >= endpoint.well_wanted {
            (endpoint.failures, endpoint.not_before, endpoint.well) = (0, Duration::ZERO, 0);
            endpoint.again = Some(now);
            self.in_use = which;
        }
    }

    /// The one in use: 0 is the first in the configuration.
    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    /// How long an attempt at it may take.
    pub(super) fn patience(&self, which: usize) -> Duration {
        self.each[which].patience
    }

    /// Whether it may be tried now.
    pub(super) fn is_due(&self, which: usize, now: Duration) -> bool {
        self.each[which].not_before <= now
    }

    /// How long to wait after so many failures: no two sensors wait the same.
    fn wait(&mut self, failures: u32) -> Duration {
        let most = WAIT_MIN.saturating_mul(1 << failures.min(16)).min(WAIT_MAX);
        let least = most / WAIT_SPREAD;
        least + (most - least).mul_f64(self.roll())
    }

    /// From 0 to 1, evenly (SplitMix64).
    fn roll(&mut self) -> f64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn which(endpoints: &mut Endpoints, now: Duration) -> usize {
        endpoints.choose(now).expect("one is due").0
    }

    #[test]
    fn waits_double_up_to_their_bound_and_are_never_much_shorter() {
        let mut endpoints = Endpoints::new(1, 7);
        for (failures, most) in [(0, 50), (1, 100), (2, 200), (11, 102_400), (12, 120_000), (4_000_000, 120_000)] {
            for _ in 0..100 {
                let wait = endpoints.wait(failures).as_millis();
                assert!((most / 6 - 1..=most).contains(&wait), "{failures} failures: {wait} ms of {most}");
            }
        }
    }

    /// A thousand in slots of 100 ms need 100 s at least, and whoever throws dice meets others even then: on average one more
    /// in the same slot. What is asked for is that no crowd comes.
    #[test]
    fn a_thousand_sensors_that_were_cut_off_together_come_back_spread_out() {
        let mut slots = vec![0_u32; 1_200];
        for sensor in 0..1_000_u64 {
            let mut endpoints = Endpoints::new(1, sensor.wrapping_mul(0x2545_f491_4f6c_dd1d));
            (0..20).for_each(|_| endpoints.failed(0, Duration::ZERO, None));
            let wait = endpoints.choose(Duration::ZERO).expect_err("it waits");
            slots[(wait.as_millis() / 100) as usize] += 1;
        }
        let alone = slots.iter().filter(|count| **count == 1).count();
        let most = slots.iter().max().copied().unwrap_or_default();
        let busiest = slots.chunks(10).map(|second| second.iter().sum::<u32>()).max().unwrap_or_default();
        println!("1000 sensors: {alone} alone in their 100 ms, at most {most} in one, at most {busiest} in a second");
        assert!(most <= 8 && busiest <= 30 && alone >= 300, "{most} in 100 ms, {busiest} in a second, {alone} alone");
    }

    #[test]
    fn trouble_at_the_first_sends_the_next_attempt_to_the_second_at_once() {
        let mut endpoints = Endpoints::new(2, 1);
        assert_eq!(which(&mut endpoints, SECOND), 0);
        endpoints.failed(0, SECOND, None);
        assert_eq!(which(&mut endpoints, SECOND), 1);
        endpoints.answered(1, SECOND);
        assert_eq!(which(&mut endpoints, 500 * SECOND), 1, "it is not left while it works");
        endpoints.failed(1, 500 * SECOND, None);
        assert_eq!(which(&mut endpoints, 500 * SECOND), 0);
    }

    #[test]
    fn the_first_is_taken_again_when_it_answers_signs_of_life() {
        let mut endpoints = Endpoints::new(2, 1);
        endpoints.failed(0, SECOND, None);
        assert_eq!(which(&mut endpoints, SECOND), 1);
        for (answered, in_use) in [(true, 1), (false, 1), (true, 1), (true, 0)] {
            endpoints.heard(0, answered, 60 * SECOND);
            assert_eq!(endpoints.in_use(), in_use);
        }
        endpoints.failed(0, 70 * SECOND, None);
        assert_eq!(which(&mut endpoints, 70 * SECOND), 1);
        for in_use in [1, 1, 1, 0] {
            endpoints.heard(0, true, 600 * SECOND); // it failed at once: now it takes four
            assert_eq!(endpoints.in_use(), in_use);
        }
    }

    /// Up and down every five seconds for a day, with a batch every second: each change of endpoint may repeat one batch.
    #[test]
    fn a_first_endpoint_that_flaps_for_a_day_is_left_alone_ever_longer() {
        let (mut endpoints, mut repeats, mut flaps) = (Endpoints::new(3, 3), 0, 0);
        for second in 0..86_400_u32 {
            let (now, up) = (second * SECOND, second / 5 % 2 == 0);
            flaps += u32::from(second % 10 == 5);
            while let Ok((chosen, _)) = endpoints.choose(now) {
                if chosen > 0 || up {
                    endpoints.answered(chosen, Duration::ZERO);
                    break;
                }
                repeats += 1; // the attempt broke off: it may have been committed
                endpoints.failed(chosen, now, None);
            }
            // at odd times: the sensor's minute and the flapping are not in step
            if second % 61 == 0 {
                (0..endpoints.in_use()).for_each(|before| endpoints.heard(before, up || before > 0, now));
            }
        }
        println!("{flaps} flaps in a day: {repeats} batches repeated");
        assert!(repeats * 20 <= flaps, "{repeats} of {flaps}");
    }

    #[test]
    fn whoever_is_alone_and_slow_gets_more_time_and_loses_it_when_it_is_fast() {
        let mut endpoints = Endpoints::new(1, 1);
        let patience = |endpoints: &mut Endpoints| endpoints.choose(SECOND).unwrap().1.as_secs();
        assert_eq!(patience(&mut endpoints), 6);
        for expected in [12, 24, 48, 60, 60] {
            endpoints.too_slow(0);
            assert_eq!(patience(&mut endpoints), expected);
        }
        endpoints.answered(0, 10 * SECOND);
        assert_eq!(patience(&mut endpoints), 60);
        endpoints.answered(0, SECOND);
        assert_eq!(patience(&mut endpoints), 6);
    }

    #[test]
    fn whoever_is_slow_beside_one_that_works_gets_no_more_time() {
        let mut endpoints = Endpoints::new(2, 1);
        endpoints.too_slow(0);
        endpoints.failed(0, SECOND, None);
        assert_eq!(endpoints.choose(SECOND), Ok((1, PATIENCE_MIN)));
        endpoints.too_slow(1);
        assert_eq!(endpoints.each[1].patience, 2 * PATIENCE_MIN, "the other one failed as well");
    }

    #[test]
    fn who_asks_for_patience_gets_it() {
        let mut endpoints = Endpoints::new(1, 1);
        endpoints.failed(0, SECOND, Some(7 * SECOND));
        assert_eq!(endpoints.choose(SECOND), Err(7 * SECOND));
        assert!(endpoints.choose(8 * SECOND).is_ok());
    }
}
