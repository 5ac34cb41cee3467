//! All that one look at the sensor shows. Control makes it when somebody asks; everything else here only reads it.
//!
//! Names of interfaces and rooms, numbers, ages. Never here: a value of an indicator, an address, a host.

use std::time::Duration;

use super::Tally;
use crate::alert::record::Mode;
use crate::emit::{Attempt, Delayed};
use crate::spool::{Cause, Lane};

/// What the sensor is like at one moment. Counters count from its start.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// The sensor's own version.
    pub version: &'static str,
    /// What it reads. Live, each worker has frames of its own; in a replay each reads them all.
    pub mode: Mode,
    /// When it started: seconds since 1970, by the machine's clock then.
    pub started: f64,
    /// How long ago that was, by a clock that nobody sets.
    pub uptime: Duration,
    /// What each worker last put up on the board, by worker.
    pub tallies: Vec<Tally>,
    /// The links, in the order of the configuration.
    pub links: Vec<Link>,
    /// The rings between workers.
    pub rings: Vec<Ring>,
    /// What is looked for.
    pub set: SetState,
    /// What was written at the site.
    pub outputs: OutputState,
    /// What became of packets that workers died of.
    pub quarantine: QuarantineState,
    /// What waits for the centre; `None` without a centre.
    pub spool: Option<SpoolState>,
    /// What became of alerts on their way to it; `None` without a centre.
    pub merge: Option<MergeState>,
    /// Who else hears of alerts.
    pub sinks: Vec<SinkState>,
    /// How delivery goes; `None` without a centre.
    pub delivery: Option<DeliveryState>,
    /// What was entered of what left; `None` without a centre.
    pub ledger: Option<LedgerState>,
    /// Why the sensor is not ready, a sentence each; empty: it is.
    pub not_ready: Vec<String>,
    /// The layers of the sandbox, and whether each holds for every thread.
    pub sandbox: Vec<(&'static str, bool)>,
    /// Whether the process that takes interfaces is there; `None`: none is needed.
    pub broker: Option<bool>,
    /// Whether the machine's clock has jumped and nobody has said yet that it is right.
    pub clock_suspect: bool,
    /// Who asked; the server fills this in.
    pub askers: Askers,
}

/// What became of those who asked the metrics server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Askers {
    /// Requests answered.
    pub answered: u64,
    /// Requests for what is not there, or that were none.
    pub refused: u64,
    /// Connections that had to give up their place to another.
    pub displaced: u64,
    /// Connections whose time was up.
    pub timed_out: u64,
}

/// A receive queue of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Its number on the interface.
    pub number: u32,
    /// Frames that the kernel has handed to the sensor.
    pub received: u64,
    /// Frames for which its ring had no room.
    pub ring_full: u64,
    /// Frames for which no memory was free.
    pub no_frame: u64,
}

/// A link that is listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The interface's name.
    pub name: String,
    /// What reads it: `libpcap`, ...
    pub backend: &'static str,
    /// Frames that the kernel has handed to the sensor.
    pub received: u64,
    /// Frames that the kernel had no room to keep for the sensor.
    pub kernel_drops: u64,
    /// Those of them that came by a receive queue that the sensor does not read.
    pub unclaimed: u64,
    /// Frames that the interface or its driver lost.
    pub interface_drops: u64,
    /// Frames that the kernel counted and dropped because their flows have nothing more to tell.
    pub shunted: u64,
    /// Their bytes.
    pub shunted_bytes: u64,
    /// What came by each receive queue, where that is told apart.
    pub queues: Vec<Queue>,
    /// Whether it can be read.
    pub up: bool,
}

/// A ring through which one worker hands frames to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// Who writes.
    pub from: usize,
    /// Who reads.
    pub to: usize,
    /// Frames in it.
    pub len: usize,
    /// Frames that it has room for.
    pub capacity: usize,
}

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetState {
    /// As alerts name it.
    pub version: u64,
    /// Entries by the kind's name.
    pub entries: Vec<(&'static str, u64)>,
    /// Entries that a source holds as TLP:RED.
    pub red: u64,
    /// When it was taken into use: seconds since 1970.
    pub loaded: u64,
    /// How old what it says is: since it was made, or read from texts.
    pub age: Duration,
    /// Loads that went well, the first included.
    pub reloads_ok: u64,
    /// Loads that failed; the set before stayed.
    pub reloads_failed: u64,
    /// Entries of its files that were refused.
    pub refused: u64,
}

/// What was written at the site, and what was not; what never came so far is in the tallies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputState {
    /// Revisions of alerts written.
    pub alerts: u64,
    /// Events written.
    pub events: u64,
    /// Records that the EVE log did not take.
    pub eve_lost: u64,
    /// Rotations of the EVE log that failed.
    pub eve_unrotated: u64,
}

/// Packets that workers died of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarantineState {
    /// Kept on disk.
    pub saved: u64,
    /// Not kept, though the site wants them: no room, or no disk.
    pub lost: u64,
}

/// What waits for the centre.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolState {
    /// Records that wait.
    pub records: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// How long the oldest of them has waited.
    pub oldest_age: Duration,
    /// Records that the centre has committed or that need not go, since the start.
    pub committed: u64,
    /// Records appended since the start.
    pub appended: u64,
    /// Records not taken because the spool was full.
    pub full: u64,
    /// Bytes of what the centre has committed and is kept for a while.
    pub kept_bytes: u64,
    /// Things that were wrong with it at the start.
    pub damage: u64,
    /// How long the last sync took, or the one under way has taken where that is longer.
    pub sync_time: Duration,
    /// Syncs that failed since the start.
    pub sync_failures: u64,
    /// Its lanes, in the order of [`Lane::ALL`].
    pub lanes: [LaneState; Lane::ALL.len()],
}

/// One lane of the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneState {
    /// Records that wait.
    pub records: u64,
    /// Bytes on the disk, kept ones too.
    pub bytes: u64,
    /// How long the oldest of those that wait has waited.
    pub oldest_age: Duration,
    /// Records given up since the start, in the order of [`Cause::ALL`].
    pub shed: [u64; Cause::ALL.len()],
}

/// What became of alerts on their way to the spool: all that came went, wait, or are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeState {
    /// Went as they were.
    pub gone: u64,
    /// Updates stand for them.
    pub merged: u64,
    /// Wait for an update.
    pub waiting: u64,
    /// Updates.
    pub updates: u64,
    /// Of those that went: there was no room to remember their contact.
    pub crowded: u64,
    /// Flows of merged alerts that were forgotten.
    pub forgotten: u64,
}

/// A sink beside the centre.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkState {
    /// As the configuration names it.
    pub name: &'static str,
    /// Records that wait for it.
    pub records: u64,
    /// How long the oldest of them has waited.
    pub oldest_age: Duration,
    /// Records that went before it had them.
    pub missed: u64,
    /// Records that it took.
    pub delivered: u64,
    /// Records that the gate kept back.
    pub withheld: u64,
    /// Records that it refused.
    pub dead: u64,
    /// As [`DeliveryState::attempts`].
    pub attempts: [u64; Attempt::ALL.len()],
    /// Values that it knows nothing of (MISP); `None`: it does not say.
    pub unmatched: Option<u64>,
    /// Until when our certificate for it holds: seconds since 1970; `None`: we have none.
    pub own_until: Option<u64>,
    /// Until when its own holds, as it was last seen.
    pub its_until: Option<u64>,
}

/// How delivery goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryState {
    /// Records that the centre has committed.
    pub delivered: u64,
    /// Attempts that have to be repeated.
    pub retries: u64,
    /// Attempts by what became of them, in the order of [`Attempt::ALL`].
    pub attempts: [u64; Attempt::ALL.len()],
    /// The endpoint in use; 0 is the first in the configuration.
    pub endpoint: u64,
    /// Until when our certificate holds: seconds since 1970; `None`: we have none.
    pub own_until: Option<u64>,
    /// Until when the centre's holds, as it was last seen.
    pub centre_until: Option<u64>,
    /// How far our clock is ahead of the centre's, in seconds.
    pub clock_ahead: i64,
    /// Records that the gate kept back.
    pub withheld: u64,
    /// Records that the centre refused; they are among the dead letters.
    pub dead: u64,
    /// How long records took from the spool to the centre's disk, by lane, the most urgent first.
    pub delays: [Delayed; 3],
    /// When the centre last committed something: seconds since 1970; `None`: not since the start.
    pub last_commit: Option<u64>,
    /// How far the centre is behind the sensor: the age of the oldest record that it has not committed; zero when none waits.
    pub lag: Duration,
    /// Whether the last attempt reached the centre.
    pub reachable: bool,
    /// Why not, for a person.
    pub reason: Option<String>,
}

/// What was entered of what left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerState {
    /// Entries written since the start.
    pub entries: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Entries that the disk refused.
    pub failures: u64,
    /// Whether the disk's last answer was no: nothing leaves.
    pub failing: bool,
    /// Receipts that hold.
    pub valid: u64,
    /// Receipts that do not.
    pub wrong: u64,
    /// Answers that needed a receipt and had none.
    pub missing: u64,
    /// Receipts that no key was there for.
    pub unchecked: u64,
    /// How long ago a receipt came that holds, or the sensor started; `None`: there are no keys.
    pub since_valid: Option<Duration>,
}
