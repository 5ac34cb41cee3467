//! Counters of the path: one fate for each frame, one number for each loss, nanoseconds for each stage.
//!
//! A worker owns its counters; sums are made by who asks. Never here: a clock of its own (it is handed in).

use serde_json::{Map, Value, json};

use crate::alert::Sightings;
use crate::cli::screen::NotSeen;
use crate::decode::{Fate, Fragments, Malformed};
use crate::flow;
use crate::indicator::Refusal;
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

    /// All time since the last call belongs to this stage.
    pub fn lap(&mut self, stage: usize) {
        let now = (self.clock)();
        self.nanos[stage] += now.saturating_sub(self.last);
        self.last = now;
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
pub const REFUSALS: [Refusal; 6] = [
    Refusal::NotYetValid,
    Refusal::Expired,
    Refusal::Revoked,
    Refusal::LowConfidence,
    Refusal::Allowed,
    Refusal::OtherPort,
];

/// All that a worker counted, or several together.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Frames that the source handed out; each worker of a replay reads them all.
    pub handed: u64,
    /// Their fates.
    pub fates: Fates,
    /// Frames that the capture holds only in part.
    pub truncated: u64,
    /// Bytes of all accounted frames on the link.
    pub bytes: u64,
    /// Flows.
    pub flows: flow::Counts,
    /// TCP streams.
    pub streams: flow::StreamCounts,
    /// Fragments: every worker sees them all, so these are one worker's.
    pub fragments: FragmentCounts,
    /// Observations made.
    pub observations: u64,
    /// Values that are none of their kind.
    pub values_refused: u64,
    /// Confirmed hits.
    pub hits: u64,
    /// Hits that raised nothing, by reason.
    pub refusals: [u64; REFUSALS.len()],
    /// Alerts raised (first revisions).
    pub alerts: u64,
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
        self.fates.add(&other.fates);
        self.truncated += other.truncated;
        self.bytes += other.bytes;
        self.flows.add(other.flows);
        self.streams = self.streams.plus(&other.streams);
        self.observations += other.observations;
        self.values_refused += other.values_refused;
        self.hits += other.hits;
        self.alerts += other.alerts;
        self.contacts.add(other.contacts);
        self.timeline.add(&other.timeline);
        self.refusals.iter_mut().zip(other.refusals).for_each(|(sum, more)| *sum += more);
        self.nanos.iter_mut().zip(other.nanos).for_each(|(sum, more)| *sum += more);
    }

    /// Frames handed out that nobody accounts for: anything but 0 is a fault of the sensor.
    pub fn unaccounted(&self) -> i64 {
        self.handed as i64 - self.fates.accounted() as i64
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
        "streams": {
            "gaps": tally.streams.gaps,
            "gap_bytes": tally.streams.gap_bytes,
            "out_of_order": tally.streams.out_of_order,
            "reassembly_full": tally.streams.reassembly_full,
            "lost": tally.streams.lost,
            "odd": tally.streams.odd,
        },
        "observations": tally.observations,
        "values_refused": tally.values_refused,
        "hits": tally.hits,
        "refusals": refusals,
        "alerts": tally.alerts,
        "contacts_crowded": tally.contacts.crowded,
        "contacts_shed": tally.contacts.shed,
        "nanoseconds": nanos,
        "nanoseconds_per_packet": per_packet,
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
        ("flows given up for want of room", tally.flows.evicted),
        ("streams given up", tally.streams.lost),
    ];
    NotSeen {
        gaps: tally.streams.gaps,
        truncated: tally.truncated,
        malformed,
        one_way: tally.flows.one_way,
        never_watched: tally.fates.of(Fate::NeverWatched),
        other: others.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect(),
        ..NotSeen::default()
    }
}
