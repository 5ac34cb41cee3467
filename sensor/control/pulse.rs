//! How the sensor is, in numbers and names alone: what a sign of life says of it.
//!
//! In: a look at the sensor, once a second. Out: a [`Condition`]. Never here: the name of an interface, a sentence of the log.

use std::time::{Duration, Instant};

use super::look::Look;
use crate::decode::Fate;
use crate::gate::{Blind, Condition, Losses};
use crate::metrics::Tally;

/// How long links were not read, all together.
pub(super) struct Blindness {
    looked: Instant,
    time: Duration,
}

impl Blindness {
    pub(super) fn since(now: Instant) -> Blindness {
        Blindness { looked: now, time: Duration::ZERO }
    }

    /// So many links are shut at this look, and were since the last one.
    fn look(&mut self, shut: u64, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.looked);
        self.time += passed.saturating_mul(u32::try_from(shut).unwrap_or(u32::MAX));
        self.looked = now;
        self.time.as_secs()
    }
}

/// How the sensor is now, told to whoever sends signs of life, if anybody does.
pub(super) fn tell(look: &Look<'_>, blindness: &mut Blindness) {
    let Some(view) = &look.delivery else { return };
    let (sight, reasons) = look.with_reasons();
    let links = sight.links.len() as u64;
    let shut = sight.links.iter().filter(|link| !link.up).count() as u64;
    let blind = Blind { links, now: shut, seconds: blindness.look(shut, Instant::now()) };
    let mut sum = Tally::default();
    sight.tallies.iter().for_each(|tally| sum.append(tally));
    let fate = |fate: Fate| sum.fates.0[fate.index()];
    let losses = Losses {
        received: sight.links.iter().map(|link| link.received).sum(),
        kernel: sight.links.iter().map(|link| link.kernel_drops).sum(),
        interface: sight.links.iter().map(|link| link.interface_drops).sum(),
        ring_full: fate(Fate::HandOffFull),
        shed: fate(Fate::ShedHeavy) + fate(Fate::ShedPayload),
        restart: fate(Fate::LostInRestart),
        unaccounted: sight.tallies.iter().map(|tally| tally.unaccounted().unsigned_abs()).sum(),
        records: sum.events_shed + sum.alerts_shed,
        not_spooled: sight.spool.map_or(0, |spool| spool.full),
    };
    view.pulse.set(Condition {
        uptime_s: sight.uptime.as_secs(),
        ready: Some(reasons.is_empty()),
        reasons,
        set_version: sight.set.version,
        set_age_s: Some(sight.set.age.as_secs()),
        losses: Some(losses),
        blind: Some(blind),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_links_that_are_shut_are_twice_as_blind_as_one() {
        let began = Instant::now();
        let mut blindness = Blindness::since(began);
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(blindness.look(0, at(10)), 0);
        assert_eq!(blindness.look(1, at(13)), 3);
        assert_eq!(blindness.look(2, at(14)), 5);
        assert_eq!(blindness.look(0, at(100)), 5);
    }
}
