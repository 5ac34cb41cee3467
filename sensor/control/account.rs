//! The account of a running sensor: what was offered, what was lost where, what became of the rest.
//!
//! In: the counters of workers and links. Out: `stats` lines, and the words of the end. Never here: a counter of its own.

use std::time::Duration;

use super::delivery::Left;
use super::shared::LinkState;
use crate::alert::eve;
use crate::decode::Fate;
use crate::merge::Counts;
use crate::metrics::Tally;
use crate::time::Timestamp;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Account {
    pub(super) tallies: Vec<Tally>,
    pub(super) links: Vec<(String, LinkState)>,
    pub(super) log_lost: u64,
    pub(super) not_spooled: u64,
    pub(super) spooled: u64,
    /// Of alerts on their way to the spool.
    pub(super) merged: Counts,
    pub(super) delivered: Option<Left>,
    pub(super) seconds: f64,
}

impl Account {
    pub(super) fn of(tallies: Vec<Tally>, links: &[LinkState]) -> Account {
        let links = links.iter().map(|state| (String::new(), state.clone())).collect();
        Account { tallies, links, ..Account::default() }
    }

    fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        self.tallies.iter().for_each(|tally| sum.append(tally));
        sum
    }

    fn of_links(&self, count: impl Fn(&LinkState) -> u64) -> u64 {
        self.links.iter().map(|(_, state)| count(state)).sum()
    }

    /// Frames that were handed out and have no fate: 0, or a fault of the sensor.
    pub(super) fn unaccounted(&self) -> i64 {
        let sum = self.sum();
        // what went into a ring and was not taken out of it
        let on_its_way = sum.steered as i64 - sum.taken as i64;
        let handed = self.of_links(|state| state.counters.handed) as i64 - sum.handed as i64;
        sum.unaccounted().abs() + on_its_way.abs() + handed.abs()
    }

    fn say_delivered(&self, left: &Left) {
        let merged = &self.merged;
        tracing::info!(
            alerts = merged.taken,
            gone = merged.gone,
            merged = merged.merged,
            updates = merged.updates,
            crowded = merged.crowded,
            forgotten = merged.forgotten,
            // what was raised, and neither came to the spool nor was shed on the way: 0, or a worker died
            unaccounted = self.unmerged(),
            "delivery: alerts that went, and those that updates stand for"
        );
        tracing::info!(
            committed = left.committed,
            waiting = left.waiting,
            held_back = left.held_back,
            shed = left.shed,
            not_durable = left.not_durable,
            found = left.found,
            again = left.again,
            records = self.spooled + self.not_spooled,
            "delivery: what waits is in the spool and goes out at the next start"
        );
        if left.not_durable > 0 {
            let records = left.not_durable;
            tracing::error!(records, "the disk did not take them to the end: the site's log alone has these alerts");
        }
    }

    /// Alerts that were raised, and are neither on their way to the centre nor counted as shed.
    fn unmerged(&self) -> i64 {
        let sum = self.sum();
        let waiting = self.merged.unaccounted().abs() + self.merged.waiting as i64;
        (sum.alerts as i64 - sum.firsts_shed as i64 - self.merged.taken as i64).abs() + waiting
    }

    /// Workers that never came back, and the frames that each was given since it last put up its numbers: these are lost as far
    /// as anybody knows, and so is what lies in their rings.
    pub(super) fn give_up(&mut self, left: &[(usize, u64)]) {
        let sum = self.sum();
        // what one of them had handed over since, others have taken: that is not lost
        let mut on_its_way = sum.steered as i64 - sum.taken as i64;
        for (worker, frames) in left {
            let tally = &mut self.tallies[*worker];
            tally.handed += frames;
            tally.taken += on_its_way.max(0) as u64;
            tally.steered += on_its_way.min(0).unsigned_abs();
            let lost = (*frames as i64 + on_its_way).max(0) as u64;
            tally.fates.0[Fate::LostInRestart.index()] += lost;
            on_its_way = 0;
            tracing::error!(
                worker,
                frames = lost,
                "what the worker was given and did not answer for is counted as lost"
            );
        }
    }

    pub(super) fn write_stats(&self, out: &mut Vec<u8>, uptime: Duration) {
        let sum = self.sum();
        let totals = eve::Totals {
            packets: sum.handed,
            bytes: sum.bytes,
            malformed: sum.fates.malformed(),
            kernel_packets: Some(self.of_links(|state| state.counters.offered)),
            kernel_drops: Some(self.of_links(|state| state.counters.kernel_drops())),
            flows: sum.flows.began,
            gaps: sum.streams.gaps,
            alerts: sum.alerts,
            uptime_seconds: uptime.as_secs(),
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        eve::write_stats(out, Timestamp::from_parts(now.as_secs() as i64, i64::from(now.subsec_nanos())), &totals);
    }

    /// The last words.
    pub(super) fn say(&self) {
        for (interface, LinkState { backend, counters, queues, .. }) in &self.links {
            // whether the receive queues carry alike
            if !queues.is_empty() {
                let received = queues.iter().map(|queue| queue.received.to_string()).collect::<Vec<_>>().join(",");
                tracing::info!(interface, received, "frames by receive queue");
            }
            tracing::info!(
                interface,
                backend,
                offered = counters.offered,
                received = counters.handed,
                kernel_drops = counters.kernel_drops(),
                ring_full = counters.ring_full,
                no_frame = counters.no_frame,
                unclaimed = counters.unclaimed,
                interface_drops = counters.interface,
                shunted = counters.shunted,
                shunted_bytes = counters.shunted_bytes,
                left_in_ring = counters.waiting(),
                reopened = counters.reopened,
                "link"
            );
        }
        let sum = self.sum();
        tracing::info!(
            packets = sum.handed,
            bytes = sum.bytes,
            malformed = sum.fates.malformed(),
            hand_off_full = sum.fates.of(Fate::HandOffFull),
            shed_heavy = sum.fates.of(Fate::ShedHeavy),
            shed_payload = sum.fates.of(Fate::ShedPayload),
            lost_in_restart = sum.fates.of(Fate::LostInRestart),
            skipped_poisonous = sum.fates.of(Fate::SkippedPoisonous),
            restarts = sum.restarts.iter().sum::<u64>(),
            flows = sum.flows.began,
            flows_lost = sum.flows_lost,
            alerts = sum.alerts,
            events_shed = sum.events_shed,
            alerts_shed = sum.alerts_shed,
            log_lines_lost = self.log_lost,
            not_spooled = self.not_spooled,
            unaccounted = self.unaccounted(),
            seconds = self.seconds,
            "ended"
        );
        self.delivered.iter().for_each(|left| self.say_delivered(left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::live::Counters;
    use crate::control::shared::LinkState;

    /// A worker that was handed, took, handed on and processed so many.
    fn worker(handed: u64, taken: u64, steered: u64) -> Tally {
        let mut tally = Tally { handed, taken, steered, ..Tally::default() };
        tally.fates.0[Fate::Processed.index()] = handed + taken - steered;
        tally
    }

    /// What a worker left that never came back, where the links say that so many frames were handed out.
    fn given_up(tallies: Vec<Tally>, handed: u64, left: &[(usize, u64)]) -> (i64, u64) {
        let counters = Counters { offered: handed, handed, ..Counters::default() };
        let mut account = Account::of(tallies, &[LinkState { counters, ..LinkState::default() }]);
        account.give_up(left);
        (account.unaccounted(), account.sum().fates.of(Fate::LostInRestart))
    }

    #[test]
    fn what_a_worker_left_behind_is_lost_and_the_books_balance() {
        // it was given 7 more, and 5 wait for it
        assert_eq!(given_up(vec![worker(100, 0, 10), worker(50, 5, 0)], 157, &[(1, 7)]), (0, 12));
        // of the 7 it had handed on 4, which the other has taken
        assert_eq!(given_up(vec![worker(100, 4, 0), worker(50, 0, 0)], 157, &[(1, 7)]), (0, 3));
        // both: 3 wait for it, and 4 it had handed on
        assert_eq!(given_up(vec![worker(100, 4, 3), worker(50, 0, 0)], 157, &[(1, 7)]), (0, 6));
        assert_eq!(given_up(vec![worker(100, 0, 8), worker(50, 2, 0)], 160, &[(0, 3), (1, 7)]), (0, 16));
    }
}
