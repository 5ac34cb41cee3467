//! Counters of the path: one fate for each frame, one number for each loss, nanoseconds for each stage.
//!
//! A worker owns its counters; sums are made by who asks. Never here: a clock of its own (it is handed in). How they reach
//! whoever watches a running sensor: [`Board`] (workers put their tallies up), [`Sight`] (all that one look shows),
//! [`exposition`] (the same as Prometheus reads it), [`Server`] (who may ask, and how often).

mod board;
mod connection;
pub(crate) mod door;
mod exposition;
mod families;
mod samples;
mod server;
mod sight;

pub use board::Board;
pub use exposition::exposition;
pub use server::Server;
pub use sight::{
    Askers, DeliveryState, LaneState, LedgerState, Link, MergeState, OutputState, QuarantineState, Queue, Ring,
    SetState, Sight, SinkState, SpoolState,
};

use serde_json::{Map, Value, json};

use crate::alert::Sightings;
use crate::cli::screen::NotSeen;
use crate::decode::{Fate, Fragments, Malformed};
use crate::flow;
use crate::indicator::{Refusal, Severity};
use crate::observable::Hidden;
use crate::worker::timeline::Timeline;

/// The stages of the path, in order, as `--stats` names them.
pub const STAGES: [&str; 5] = ["read", "decode", "flow", "look_up", "hand_over"];

/// Nanoseconds spent in each stage.
#[derive(Clone, Copy, Debug)]
pub struct Laps {
    clock: fn() -> u64,
    last: u64,
    /// By stage.
    pub nanos: [u64; STAGES.len()],
}

impl Laps {
    /// Starts with a clock of nanoseconds.
    pub fn new(clock: fn() -> u64) -> Self {
        Laps { clock, last: clock(), nanos: [0; STAGES.len()] }
    }

    /// The same clock, from now on and from zero.
    pub fn begun_again(&self) -> Self {
        Laps::new(self.clock)
    }

    /// All time since the last call belongs to this stage.
    pub fn lap(&mut self, stage: usize) {
        let now = (self.clock)();
        self.nanos[stage] += now.saturating_sub(self.last);
        self.last = now;
    }

    /// The time since the last call belongs to nobody: there was nothing to do.
    pub fn skip(&mut self) {
        self.last = (self.clock)();
    }
}

/// How many fates of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fates(pub [u64; Fate::COUNT]);

impl Default for Fates {
    fn default() -> Self {
        Fates([0; Fate::COUNT])
    }
}

impl Fates {
    /// Counts one.
    pub fn count(&mut self, fate: Fate) {
        self.0[fate.index()] += 1;
    }

    /// Frames that this table accounts for: all but those that another worker accounts for.
    pub fn accounted(&self) -> u64 {
        self.0.iter().sum::<u64>() - self.0[Fate::Elsewhere.index()] - self.0[Fate::Unaccounted.index()]
    }

    /// Frames that were no packet, for any reason.
    pub fn malformed(&self) -> u64 {
        self.0[Fate::PLAIN..].iter().sum()
    }

    /// Frames with this fate.
    pub fn of(&self, fate: Fate) -> u64 {
        self.0[fate.index()]
    }

    fn add(&mut self, other: &Fates) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }
}

/// The order of [`Tally::refusals`].
pub const REFUSALS: [Refusal; 8] = [
    Refusal::NotYetValid,
    Refusal::Expired,
    Refusal::Revoked,
    Refusal::LowConfidence,
    Refusal::Allowed,
    Refusal::OtherPort,
    Refusal::OtherSector,
    Refusal::AboveTlp,
];

/// The order of [`Tally::severities`].
pub const SEVERITIES: [Severity; 4] = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low];

/// All that a worker counted, or several together: nothing but `u64`s, see [`Board`].
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Frames that the source handed out; each worker of a replay reads them all.
    pub handed: u64,
    /// Frames put into another worker's ring, to be accounted for there; none in a replay.
    pub steered: u64,
    /// Frames taken from such rings.
    pub taken: u64,
    /// Their fates.
    pub fates: Fates,
    /// Frames that the capture holds only in part.
    pub truncated: u64,
    /// Bytes of all accounted frames on the link.
    pub bytes: u64,
    /// Flows.
    pub flows: flow::Counts,
    /// Flows followed now: a level, not a count.
    pub flows_open: u64,
    /// How much is left undone ([`flow::Effort`]): a level, not a count; the most of all.
    pub effort: u64,
    /// TCP streams.
    pub streams: flow::StreamCounts,
    /// Fragments: every worker sees them all, so these are one worker's.
    pub fragments: FragmentCounts,
    /// Observations made.
    pub observations: u64,
    /// Sought values that are none of their kind.
    pub values_refused: u64,
    /// What readers could not read.
    pub hidden: Hidden,
    /// Values that met more patterns than are kept of one.
    pub patterns_shed: u64,
    /// Confirmed hits.
    pub hits: u64,
    /// Hits that raised nothing, by reason.
    pub refusals: [u64; REFUSALS.len()],
    /// Alerts raised (first revisions).
    pub alerts: u64,
    /// Event lines and alerts that found no room on their way to a slow collector (live).
    pub events_shed: u64,
    /// See `events_shed`.
    pub alerts_shed: u64,
    /// Those of them that were first revisions.
    pub firsts_shed: u64,
    /// How often a worker died and began again, by [`crate::worker::Cause`].
    pub restarts: [u64; 2],
    /// Flows that were forgotten thereby.
    pub flows_lost: u64,
    /// The same by severity.
    pub severities: [u64; SEVERITIES.len()],
    /// What became of sightings.
    pub contacts: Sightings,
    /// When frames came and flows began, where that was asked for.
    pub timeline: Timeline,
    /// Nanoseconds by stage, over all workers.
    pub nanos: [u64; STAGES.len()],
}

/// See [`crate::decode::Fragments::counts`].
pub type FragmentCounts = crate::decode::FragmentCounts;

impl Tally {
    /// Counts a refused hit.
    pub fn refuse(&mut self, refusal: Refusal) {
        if let Some(row) = REFUSALS.iter().position(|reason| *reason == refusal) {
            self.refusals[row] += 1;
        }
    }

    /// Counts an alert's first revision.
    pub fn raise(&mut self, severity: Severity) {
        self.alerts += 1;
        if let Some(row) = SEVERITIES.iter().position(|one| *one == severity) {
            self.severities[row] += 1;
        }
    }

    /// Takes over what fragments count.
    pub fn take_fragments(&mut self, fragments: &Fragments) {
        self.fragments = fragments.counts();
    }

    /// Adds another worker of the same capture.
    pub fn join(&mut self, other: &Tally) {
        self.handed = self.handed.max(other.handed);
        self.fragments = self.fragments.most(other.fragments);
        self.add_own(other);
    }

    /// Adds another capture.
    pub fn append(&mut self, other: &Tally) {
        self.handed += other.handed;
        self.fragments = self.fragments.plus(other.fragments);
        self.add_own(other);
    }

    fn add_own(&mut self, other: &Tally) {
        self.steered += other.steered;
        self.taken += other.taken;
        self.events_shed += other.events_shed;
        self.alerts_shed += other.alerts_shed;
        self.firsts_shed += other.firsts_shed;
        self.restarts.iter_mut().zip(other.restarts).for_each(|(sum, more)| *sum += more);
        self.flows_lost += other.flows_lost;
        self.fates.add(&other.fates);
        self.truncated += other.truncated;
        self.bytes += other.bytes;
        self.flows.add(other.flows);
        self.flows_open += other.flows_open;
        self.effort = self.effort.max(other.effort);
        self.streams = self.streams.plus(&other.streams);
        self.observations += other.observations;
        self.values_refused += other.values_refused;
        self.hidden.add(other.hidden);
        self.patterns_shed += other.patterns_shed;
        self.hits += other.hits;
        self.alerts += other.alerts;
        self.contacts.add(other.contacts);
        self.severities.iter_mut().zip(other.severities).for_each(|(sum, more)| *sum += more);
        self.timeline.add(&other.timeline);
        self.refusals.iter_mut().zip(other.refusals).for_each(|(sum, more)| *sum += more);
        self.nanos.iter_mut().zip(other.nanos).for_each(|(sum, more)| *sum += more);
    }

    /// Frames handed out that nobody accounts for: anything but 0 is a fault of the sensor. With hand-off rings this holds for
    /// each worker by itself between any two batches, so it can be checked while others go on.
    pub fn unaccounted(&self) -> i64 {
        (self.handed + self.taken) as i64 - (self.fates.accounted() + self.steered) as i64
    }
}

/// A tally as `--stats` writes it. `balanced`: every frame handed out has exactly one fate.
pub fn document(tally: &Tally) -> Value {
    let fates: Map<String, Value> = (0..Fate::COUNT)
        .filter(|&row| row != Fate::Elsewhere.index() && tally.fates.0[row] > 0)
        .map(|row| (Fate::name(row), tally.fates.0[row].into()))
        .collect();
    let refusals: Map<String, Value> =
        REFUSALS.iter().zip(tally.refusals).map(|(reason, count)| (reason.name().to_owned(), count.into())).collect();
    let nanos: Map<String, Value> =
        STAGES.iter().zip(tally.nanos).map(|(name, ns)| ((*name).to_owned(), ns.into())).collect();
    let per_packet: Map<String, Value> = STAGES
        .iter()
        .zip(tally.nanos)
        .map(|(name, ns)| ((*name).to_owned(), (ns as f64 / tally.handed.max(1) as f64).into()))
        .collect();
    json!({
        "packets": tally.handed,
        "bytes": tally.bytes,
        "accounting": {
            "handed_out": tally.handed,
            "accounted": tally.fates.accounted(),
            "unaccounted": tally.unaccounted(),
            "balanced": tally.unaccounted() == 0,
        },
        "fates": fates,
        "truncated": tally.truncated,
        "fragments": {
            "datagrams": tally.fragments.whole,
            "overlaps": tally.fragments.overlaps,
            "evicted": tally.fragments.evicted,
            "timeouts": tally.fragments.timeouts,
        },
        "flows": {
            "began": tally.flows.began,
            "evicted": tally.flows.evicted,
            "midstream": tally.flows.midstream,
            "one_way": tally.flows.one_way,
        },
        "streams": streams(&tally.streams),
        "observations": tally.observations,
        "values_refused": tally.values_refused,
        "hidden": hidden(&tally.hidden),
        "patterns_shed": tally.patterns_shed,
        "hits": tally.hits,
        "refusals": refusals,
        "alerts": tally.alerts,
        "contacts_crowded": tally.contacts.crowded,
        "contacts_shed": tally.contacts.shed,
        "nanoseconds": nanos,
        "nanoseconds_per_packet": per_packet,
    })
}

fn streams(streams: &flow::StreamCounts) -> Value {
    json!({
        "gaps": streams.gaps,
        "gap_bytes": streams.gap_bytes,
        "unseen_bytes": streams.unseen_bytes,
        "out_of_order": streams.out_of_order,
        "reassembly_full": streams.reassembly_full,
        "lost": streams.lost,
        "odd": streams.odd,
        "bodies_damaged": streams.bodies.damaged,
        "bodies_bombs": streams.bodies.bombs,
        "bodies_coding_full": streams.bodies.coding_full,
    })
}

fn hidden(hidden: &Hidden) -> Value {
    json!({
        "tls_names": hidden.names,
        "tls_certificates": hidden.certificates,
        "tls_certificates_damaged": hidden.certificates_damaged,
    })
}

/// What a person should know was not seen.
pub fn not_seen(tally: &Tally) -> NotSeen {
    let malformed = Malformed::ALL
        .into_iter()
        .map(|reason| (reason.name(), tally.fates.of(reason.into())))
        .filter(|(_, count)| *count > 0)
        .collect();
    let others = [
        ("frames of link types that are not read", tally.fates.of(Fate::LinkUnknown)),
        ("fragments without room", tally.fates.of(Fate::FragmentShed)),
        ("frames that another worker had no room for", tally.fates.of(Fate::HandOffFull)),
        ("flows given up for want of room", tally.flows.evicted),
        ("streams given up", tally.streams.lost),
        ("damaged TLS certificates", tally.hidden.certificates_damaged),
    ];
    NotSeen {
        gaps: tally.streams.gaps,
        truncated: tally.truncated,
        malformed,
        one_way: tally.flows.one_way,
        names_hidden: tally.hidden.names,
        certificates_encrypted: tally.hidden.certificates,
        never_watched: tally.fates.of(Fate::NeverWatched),
        other: others.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn time_in_which_there_was_nothing_to_do_belongs_to_no_stage() {
        // each look at the clock is a nanosecond later
        static NOW: AtomicU64 = AtomicU64::new(0);
        let mut laps = Laps::new(|| NOW.fetch_add(1, Ordering::Relaxed));
        laps.lap(1);
        laps.skip();
        laps.lap(0);
        assert_eq!(laps.nanos[..2], [1, 1]);
    }
}
