//! Two sensors as the metrics see them: one to which all goes well, one to which all goes ill. Their counters grow with time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use haetae::alert::Sightings;
use haetae::alert::record::Mode;
use haetae::decode::{Fate, FragmentCounts, Malformed};
use haetae::emit::Delayed;
use haetae::flow::{Counts, StreamCounts};
use haetae::metrics::{
    Board, DeliveryState, Fates, LaneState, LedgerState, Link, MergeState, OutputState, QuarantineState, Queue, Ring,
    STAGES, Server, SetState, Sight, SinkState, SpoolState, Tally,
};
use haetae::observable::KINDS;

/// When both started: seconds since 1970.
const STARTED: f64 = 1_790_000_000.0;

/// A server of the real kind at work on its own thread, until it is dropped.
pub struct Sensor {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Sensor {
    /// Serves what `sight` gives for the seconds since now.
    pub fn start(sight: impl Fn(f64) -> Sight + Send + 'static) -> Sensor {
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port on loopback");
        let (address, stop, began) = (server.address(), Arc::new(AtomicBool::new(false)), Instant::now());
        let told = Arc::clone(&stop);
        let serve = move || server.serve(&told, &|| sight(began.elapsed().as_secs_f64())).expect("to serve");
        Sensor { address, stop, server: Some(thread::spawn(serve)) }
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let ended = self.server.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || thread::panicking(), "the server died");
    }
}

/// Two workers on two links; everything is delivered.
pub fn well(seconds: f64) -> Sight {
    let board = Board::new(2);
    board.publish(0, &well_worker(seconds, 40));
    board.publish(1, &well_worker(seconds, 0));
    let link = |name: &str| Link {
        name: name.to_owned(),
        backend: "af_xdp",
        received: counted(seconds, 10_000),
        queues: vec![Queue { received: counted(seconds, 10_000), ..Queue::default() }],
        up: true,
        ..Link::default()
    };
    Sight {
        version: env!("CARGO_PKG_VERSION"),
        mode: Mode::Live,
        started: STARTED,
        uptime: Duration::from_secs_f64(seconds),
        tallies: board.tallies(),
        links: vec![link("tap0"), link("tap1")],
        rings: vec![Ring { from: 0, to: 1, len: 3, capacity: 1_024 }, Ring { from: 1, to: 0, len: 0, capacity: 1_024 }],
        set: SetState {
            version: 8_812,
            entries: KINDS.iter().map(|kind| (kind.name, 1_000)).collect(),
            loaded: STARTED as u64,
            age: Duration::from_secs_f64(600.0 + seconds),
            reloads_ok: 1,
            ..SetState::default()
        },
        outputs: OutputState { alerts: counted(seconds, 2), events: counted(seconds, 500), ..OutputState::default() },
        spool: Some(well_spool(seconds)),
        merge: Some(well_merge(seconds)),
        sinks: vec![sink("misp", seconds), sink("syslog", seconds)],
        broker: Some(true),
        sandbox: ["capabilities", "landlock", "seccomp"].map(|layer| (layer, true)).to_vec(),
        delivery: Some(DeliveryState {
            delivered: counted(seconds, 2),
            delays: [quick(seconds); 3],
            last_commit: Some((STARTED + seconds) as u64),
            own_until: Some(now() + 100 * 86_400),
            centre_until: Some(now() + 50 * 86_400),
            reachable: true,
            ..DeliveryState::default()
        }),
        ledger: Some(LedgerState {
            entries: counted(seconds, 4),
            bytes: 100_000,
            valid: counted(seconds, 2),
            since_valid: Some(Duration::from_secs(3)),
            ..LedgerState::default()
        }),
        ..Sight::default()
    }
}

/// Nearly all are committed within a tenth of a second.
fn quick(seconds: f64) -> Delayed {
    let mut delayed = Delayed { sum: Duration::from_secs(counted(seconds, 1)), ..Delayed::default() };
    (delayed.classes[1], delayed.classes[4]) = (counted(seconds, 100), counted(seconds, 1));
    delayed
}

/// A sink beside the centre that takes everything.
fn sink(name: &'static str, seconds: f64) -> SinkState {
    let unmatched = (name == "misp").then_some(0);
    SinkState { name, delivered: counted(seconds, 2), unmatched, ..SinkState::default() }
}

/// Nothing waits.
fn well_spool(seconds: f64) -> SpoolState {
    SpoolState {
        bytes: 4_096,
        committed: counted(seconds, 2),
        appended: counted(seconds, 2),
        kept_bytes: 4_096,
        sync_time: Duration::from_millis(2),
        lanes: [LaneState { bytes: 4_096, ..LaneState::default() }; 3],
        ..SpoolState::default()
    }
}

/// Repeats are told of.
fn well_merge(seconds: f64) -> MergeState {
    MergeState {
        gone: counted(seconds, 2),
        merged: counted(seconds, 30),
        waiting: 12,
        updates: counted(seconds, 1),
        ..MergeState::default()
    }
}

/// It is full, and its disk slow where it does not refuse.
fn ill_spool(seconds: f64) -> SpoolState {
    SpoolState {
        records: 2_000 + counted(seconds, 20),
        bytes: 2_000_000,
        oldest_age: Duration::from_secs(20_000),
        full: counted(seconds, 2),
        damage: 3,
        kept_bytes: 0,
        lanes: [LaneState {
            records: 700,
            bytes: 700_000,
            oldest_age: Duration::from_secs(20_000),
            shed: [counted(seconds, 1); 2],
        }; 3],
        sync_time: Duration::from_secs(2),
        sync_failures: counted(seconds, 1),
        ..SpoolState::default()
    }
}

/// There is no room for contacts, and nobody is told of repeats.
fn ill_merge(seconds: f64) -> MergeState {
    MergeState {
        gone: counted(seconds, 1_000),
        crowded: counted(seconds, 1_000),
        forgotten: counted(seconds, 1_000),
        waiting: 100_000,
        ..MergeState::default()
    }
}

/// It takes nothing, and knows nothing.
fn ill_sink(seconds: f64) -> SinkState {
    SinkState {
        name: "misp",
        records: 5_000,
        oldest_age: Duration::from_secs(20_000),
        missed: counted(seconds, 1),
        dead: counted(seconds, 1),
        withheld: counted(seconds, 1),
        unmatched: Some(counted(seconds, 1)),
        ..SinkState::default()
    }
}

/// So many a second.
fn counted(seconds: f64, rate: u64) -> u64 {
    (seconds * rate as f64) as u64
}

/// A worker that accounts for 10 000 frames a second; `steered` more a second are another worker's.
fn well_worker(seconds: f64, steered: u64) -> Tally {
    let steered = counted(seconds, steered);
    let processed = counted(seconds, 10_000);
    let mut fates = Fates::default();
    fates.0[Fate::Processed.index()] = processed;
    Tally {
        handed: processed + steered,
        steered,
        fates,
        bytes: processed * 700,
        flows: Counts { began: counted(seconds, 200), one_way: counted(seconds, 4), ..Counts::default() },
        flows_open: 12_000,
        streams: StreamCounts { out_of_order: counted(seconds, 5), ..StreamCounts::default() },
        fragments: FragmentCounts { whole: counted(seconds, 1), ..FragmentCounts::default() },
        observations: counted(seconds, 500),
        hits: counted(seconds, 3),
        refusals: std::array::from_fn(|row| if row == 1 { counted(seconds, 1) } else { 0 }),
        alerts: counted(seconds, 1),
        severities: [0, counted(seconds, 1), 0, 0],
        contacts: Sightings { raised: counted(seconds, 1), further: counted(seconds, 1), ..Sightings::default() },
        nanos: [counted(seconds, 600_000_000); STAGES.len()].map(|nanos| nanos / STAGES.len() as u64),
        ..Tally::default()
    }
}

/// Everything goes ill at once.
pub fn ill(seconds: f64) -> Sight {
    let board = Board::new(2);
    board.publish(0, &ill_worker(seconds));
    board.publish(1, &ill_worker(seconds));
    let link = |name: &str, up, rate| Link {
        name: name.to_owned(),
        backend: "af_xdp",
        received: counted(seconds, rate),
        kernel_drops: counted(seconds, rate / 10),
        unclaimed: counted(seconds, rate / 1_000),
        interface_drops: counted(seconds, rate / 100),
        shunted: counted(seconds, rate),
        shunted_bytes: counted(seconds, rate * 1_500),
        queues: vec![Queue {
            number: 0,
            received: counted(seconds, rate),
            ring_full: counted(seconds, rate / 10),
            no_frame: 0,
        }],
        up,
    };
    Sight {
        started: STARTED + seconds, // it has just restarted, again and again
        tallies: board.tallies(),
        links: vec![link("tap0", true, 10_000), link("tap1", false, 0), link("tap2", true, 0)],
        rings: vec![Ring { from: 0, to: 1, len: 1_024, capacity: 1_024 }],
        set: SetState {
            entries: KINDS.iter().map(|kind| (kind.name, 0)).collect(),
            age: Duration::from_secs(200_000),
            reloads_failed: counted(seconds, 1),
            refused: 12,
            ..SetState::default()
        },
        outputs: OutputState {
            eve_lost: counted(seconds, 1),
            eve_unrotated: counted(seconds, 1),
            ..OutputState::default()
        },
        quarantine: QuarantineState { saved: counted(seconds, 1), lost: counted(seconds, 1) },
        spool: Some(ill_spool(seconds)),
        merge: Some(ill_merge(seconds)),
        sinks: vec![ill_sink(seconds)],
        delivery: Some(DeliveryState {
            dead: counted(seconds, 1),
            withheld: counted(seconds, 1),
            retries: counted(seconds, 1),
            lag: Duration::from_secs(20_000),
            own_until: Some(now() + 3_600),
            endpoint: 1,
            clock_ahead: -1_000,
            ..DeliveryState::default()
        }),
        ledger: Some(ill_ledger(seconds)),
        not_ready: vec!["tap1 cannot be read".to_owned(), "no indicator is loaded".to_owned()],
        clock_suspect: true,
        ..well(seconds)
    }
}

/// Nothing is entered, and nobody signs.
fn ill_ledger(seconds: f64) -> LedgerState {
    LedgerState {
        failures: counted(seconds, 1),
        failing: true,
        wrong: counted(seconds, 1),
        missing: counted(seconds, 1),
        unchecked: counted(seconds, 1),
        since_valid: Some(Duration::from_secs(20_000)),
        ..LedgerState::default()
    }
}

fn ill_worker(seconds: f64) -> Tally {
    let mut fates = Fates::default();
    let ill = [
        Fate::Processed,
        Malformed::TcpShort.into(),
        Fate::LinkUnknown,
        Fate::HandOffFull,
        Fate::FragmentShed,
        Fate::ShedHeavy,
    ];
    ill.iter().for_each(|fate| fates.0[fate.index()] = counted(seconds, 1_000));
    let each = counted(seconds, 100);
    Tally {
        handed: fates.accounted() + 7, // seven frames are missing in its books
        fates,
        restarts: [each, each],
        flows_lost: 100 * each,
        truncated: counted(seconds, 1_000),
        flows: Counts {
            evicted: each,
            midstream: each,
            one_way: 9 * each,
            began: 10 * each,
            shunted: each,
            shunts_refused: each,
            shunts_unsettled: each,
        },
        streams: StreamCounts {
            gaps: each,
            gap_bytes: 100_000 * each,
            unseen_bytes: 100_000 * each,
            reassembly_full: each,
            lost: each,
            odd: each,
            out_of_order: each,
            ..StreamCounts::default()
        },
        fragments: FragmentCounts { whole: 0, overlaps: each, evicted: each, timeouts: each },
        values_refused: each,
        events_shed: each,
        alerts_shed: each,
        firsts_shed: each / 2,
        contacts: Sightings { crowded: each, uncounted: each, shed: each, ..Sightings::default() },
        // no worker works for a hundred seconds in one: a rate over minutes is to show it after a few
        nanos: [counted(seconds, 100_000_000_000); STAGES.len()],
        ..well_worker(seconds, 0)
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
