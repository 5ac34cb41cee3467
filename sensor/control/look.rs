//! A look at the running sensor: what a scrape shows, and whether it is ready.
//!
//! In: what its threads keep for others to read. Out: a [`Sight`]. Never here: a question to a worker; nobody is asked, all
//! of it lies ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::delivery::{Beside, View};
use super::eve_file::LogState;
use super::shared::{LinkState, Shared};
use crate::alert::record::Mode;
use crate::broker::Up;
use crate::capture;
use crate::collector::Progress;
use crate::emit::{Attempt, Delays};
use crate::indicator::{Entry, IndicatorSet};
use crate::limits::HAND_OFF_PACKETS_MAX;
use crate::merge::Counts;
use crate::metrics::{
    DeliveryState, LaneState, LedgerState, Link, MergeState, OutputState, QuarantineState, Queue, Ring, SetState,
    Sight, SinkState, SpoolState, Tally,
};
use crate::observable::KINDS;
use crate::sandbox::{Layer, Sandbox};
use crate::spool::{Cause, Lane};

/// See the head of this file.
pub(super) struct Look<'a> {
    pub(super) shared: Arc<Shared>,
    pub(super) interfaces: Vec<String>,
    pub(super) progress: &'a Progress,
    pub(super) log: Arc<LogState>,
    pub(super) delivery: Option<View>,
    pub(super) sandbox: &'a Sandbox,
    pub(super) broker: Option<Up>,
    pub(super) started: SystemTime,
}

/// The set in use, as far as others may know; made once a load.
#[derive(Clone, Debug)]
pub(super) struct SetFacts {
    version: u64,
    entries: Vec<(&'static str, u64)>,
    red: u64,
    loaded: SystemTime,
    since: Instant,
    refused: u64,
}

impl SetFacts {
    pub(super) fn of(set: &IndicatorSet, refused: u64) -> SetFacts {
        let mut entries: Vec<_> = KINDS.iter().map(|kind| (kind.name, 0)).collect();
        for entry in 0..set.len() as u32 {
            entries[usize::from(set.value(Entry(entry)).0.index)].1 += 1;
        }
        let version = super::number_of(set.version());
        SetFacts {
            version,
            entries,
            red: set.held_as_red() as u64,
            loaded: SystemTime::now(),
            since: Instant::now(),
            refused,
        }
    }

    fn is_empty(&self) -> bool {
        self.entries.iter().all(|(_, count)| *count == 0)
    }
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Acquire)
}

fn seconds(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Look<'_> {
    /// What the sensor is like now.
    pub(super) fn sight(&self) -> Sight {
        let tallies = self.shared.board.tallies();
        let links = self.shared.links();
        let facts = self.shared.set_facts();
        Sight {
            version: env!("CARGO_PKG_VERSION"),
            mode: Mode::Live,
            started: seconds(self.started).as_secs_f64(),
            uptime: self.shared.started.elapsed(),
            not_ready: self.not_ready(&tallies, &links, &facts),
            links: self.interfaces.iter().zip(&links).map(|(name, state)| link(name, state)).collect(),
            rings: self.rings(),
            set: SetState {
                version: facts.version,
                loaded: seconds(facts.loaded).as_secs(),
                age: facts.since.elapsed(),
                // the first load is one too
                reloads_ok: count(&self.shared.reloads) + 1,
                reloads_failed: count(&self.shared.reloads_refused),
                refused: facts.refused,
                entries: facts.entries,
                red: facts.red,
            },
            outputs: self.outputs(),
            quarantine: QuarantineState {
                saved: count(&self.shared.quarantine.saved),
                lost: count(&self.shared.quarantine.lost),
            },
            spool: self.delivery.as_ref().map(|view| self.spool(view)),
            merge: self.delivery.as_ref().map(|_| self.merged()),
            sinks: self.delivery.iter().flat_map(|view| &view.beside).map(Beside::state).collect(),
            delivery: self.delivery.as_ref().map(View::state),
            ledger: self.delivery.as_ref().map(View::ledger),
            sandbox: Layer::ALL.map(|layer| (layer.name(), self.sandbox.holds(layer))).to_vec(),
            broker: self.broker.as_ref().map(|up| up.load(Ordering::Acquire)),
            clock_suspect: self.shared.clock_suspect.load(Ordering::Acquire),
            tallies,
            ..Sight::default()
        }
    }

    /// What the sensor is like now, and the names of the reasons why it is not ready.
    pub(super) fn with_reasons(&self) -> (Sight, Vec<&'static str>) {
        let sight = self.sight();
        let mut names: Vec<_> = self
            .reasons(&sight.tallies, &self.shared.links(), &self.shared.set_facts())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        names.dedup();
        (sight, names)
    }

    /// Why nobody should rely on it now; what delivery waits for is no such reason, nothing is lost by it.
    fn not_ready(&self, tallies: &[Tally], links: &[LinkState], facts: &SetFacts) -> Vec<String> {
        self.reasons(tallies, links, facts).into_iter().map(|(_, reason)| reason).collect()
    }

    /// The same, with the name of each; `deploy/ingest.yaml` lists them.
    fn reasons(&self, tallies: &[Tally], links: &[LinkState], facts: &SetFacts) -> Vec<(&'static str, String)> {
        let mut reasons = Vec::new();
        // whoever ends closes the links as well, and that is no fault of theirs
        let is_ending = self.shared.stop.load(Ordering::Acquire);
        for (name, _) in self.interfaces.iter().zip(links).filter(|(_, state)| !state.open && !is_ending) {
            reasons.push(("link", format!("{name}: the link cannot be read")));
        }
        let mut tell = |is_so: bool, name, reason: &str| {
            if is_so {
                reasons.push((name, reason.to_owned()));
            }
        };
        tell(facts.is_empty(), "no_indicators", "no indicator is loaded: nothing can be met");
        tell(self.log.failing.load(Ordering::Acquire), "log", "the EVE log cannot be written");
        let spool = self.progress.failing.load(Ordering::Acquire);
        tell(spool, "spool", "the spool takes no records: alerts are in the log alone");
        tell(unbalanced(tallies), "unaccounted", "frames are unaccounted for: please report this");
        let stands = self.shared.stands_still.load(Ordering::Acquire) && !is_ending;
        tell(stands, "standstill", "a worker stands still: what comes to it is not read; restart the sensor");
        let often = "workers die and begin again, three times in a minute: the log says of what";
        tell(self.shared.die_often(), "restarts", often);
        // it ends with the sensor
        let gone = self.broker.as_ref().is_some_and(|up| !up.load(Ordering::Acquire)) && !is_ending;
        tell(gone, "broker", "the broker is gone: a link that goes away stays away; restart the sensor");
        tell(is_ending, "ending", "it is ending");
        reasons
    }

    fn rings(&self) -> Vec<Ring> {
        let rings = self.shared.rings.iter();
        let ring = |(from, to, len): &(usize, usize, AtomicU64)| Ring {
            from: *from,
            to: *to,
            len: count(len) as usize,
            capacity: HAND_OFF_PACKETS_MAX,
        };
        rings.map(ring).collect()
    }

    fn outputs(&self) -> OutputState {
        OutputState {
            alerts: count(&self.progress.alerts),
            events: count(&self.progress.events),
            eve_lost: count(&self.log.lost),
            eve_unrotated: count(&self.log.unrotated),
        }
    }

    fn spool(&self, view: &View) -> SpoolState {
        let waiting = view.readers.waiting();
        SpoolState {
            records: waiting.records(),
            bytes: waiting.bytes,
            oldest_age: waiting.oldest,
            committed: count(&view.counts.delivered) + count(&view.counts.withheld) + count(&view.counts.dead),
            appended: count(&self.progress.spooled),
            full: count(&self.progress.not_spooled),
            kept_bytes: view.readers.kept_bytes(),
            damage: view.damage,
            sync_time: view.syncs.time(),
            sync_failures: view.syncs.failures(),
            lanes: view.lanes(),
        }
    }

    fn merged(&self) -> MergeState {
        let Counts { gone, crowded, merged, waiting, updates, forgotten, .. } = self.progress.merged();
        MergeState { gone, merged, waiting, updates, crowded, forgotten }
    }
}

fn queue(of: &capture::live::Queue) -> Queue {
    Queue { number: of.number, received: of.received, ring_full: of.ring_full, no_frame: of.no_frame }
}

/// Books that do not balance are a fault of the sensor itself; workers' errors do not make up for each other.
fn unbalanced(tallies: &[Tally]) -> bool {
    tallies.iter().any(|tally| tally.unaccounted() != 0)
}

fn link(name: &str, state: &LinkState) -> Link {
    Link {
        name: name.to_owned(),
        backend: state.backend,
        received: state.counters.handed,
        kernel_drops: state.counters.kernel_drops(),
        unclaimed: state.counters.unclaimed,
        interface_drops: state.counters.interface,
        shunted: state.counters.shunted,
        shunted_bytes: state.counters.shunted_bytes,
        queues: state.queues.iter().map(queue).collect(),
        up: state.open,
    }
}

impl Beside {
    fn state(&self) -> SinkState {
        let waiting = self.readers.waiting();
        SinkState {
            name: self.name,
            records: waiting.records(),
            oldest_age: waiting.oldest,
            missed: waiting.missed,
            delivered: count(&self.counts.delivered),
            withheld: count(&self.counts.withheld),
            dead: count(&self.counts.dead),
            attempts: Attempt::ALL.map(|attempt| self.counts.attempts(attempt)),
            unmatched: self.told.as_ref().map(|told| count(&told.unmatched)),
            own_until: until(&self.counts.own_until),
            its_until: until(&self.counts.centre_until),
        }
    }
}

impl View {
    fn lanes(&self) -> [LaneState; Lane::ALL.len()] {
        let mut lanes = [LaneState::default(); Lane::ALL.len()];
        for ((lane, waiting), state) in Lane::ALL.into_iter().zip(self.readers.each()).zip(&mut lanes) {
            *state = LaneState {
                records: waiting.records(),
                bytes: waiting.bytes,
                oldest_age: waiting.oldest,
                shed: Cause::ALL.map(|cause| self.shed.of(lane, cause)),
            };
        }
        lanes
    }

    fn ledger(&self) -> LedgerState {
        let counts = self.ledger.counts();
        LedgerState {
            entries: count(&counts.entries),
            bytes: count(&counts.bytes),
            failures: count(&counts.failures),
            failing: count(&counts.failing) > 0,
            valid: count(&counts.valid),
            wrong: count(&counts.wrong),
            missing: count(&counts.missing),
            unchecked: count(&counts.unchecked),
            since_valid: self.ledger.since_valid(),
        }
    }

    fn state(&self) -> DeliveryState {
        let waiting = self.readers.waiting();
        DeliveryState {
            delivered: count(&self.counts.delivered),
            retries: count(&self.counts.later),
            attempts: Attempt::ALL.map(|attempt| self.counts.attempts(attempt)),
            endpoint: count(&self.counts.endpoint),
            own_until: until(&self.counts.own_until),
            centre_until: until(&self.counts.centre_until),
            clock_ahead: self.counts.clock_ahead.load(Ordering::Acquire),
            withheld: count(&self.counts.withheld),
            dead: count(&self.counts.dead),
            delays: self.counts.delays.each_ref().map(Delays::seen),
            last_commit: Some(count(&self.counts.last_commit)).filter(|at| *at > 0),
            lag: if waiting.records() > 0 { waiting.oldest } else { Duration::ZERO },
            reachable: count(&self.counts.failures) == 0,
            reason: self.counts.reason(),
        }
    }
}

/// Until when something holds, if that is known.
fn until(counter: &AtomicU64) -> Option<u64> {
    Some(count(counter)).filter(|until| *until > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_that_do_not_balance_are_a_reason_even_if_their_sum_does() {
        let balanced = Tally { handed: 7, steered: 7, ..Tally::default() };
        assert!(!unbalanced(&[balanced.clone(), Tally::default()]));
        let (more, less) = (Tally { handed: 1, ..Tally::default() }, Tally { steered: 1, ..Tally::default() });
        assert!(unbalanced(&[more, balanced, less]));
    }
}
