//! `cargo run --release --example storm-bench`: what an alert costs where every packet raises or repeats one. The same packets
//! are read in turns against a list of what is in them and against one of as much that is not; each thread's own processor time counts.
//!
//! usage: storm-bench [--rounds N] [--packets N] [FILTER]...

// Whole generators are shared with the tests, and this needs only a part of each.
#[allow(dead_code)]
#[path = "../dice.rs"]
mod dice;
#[allow(dead_code)]
mod path;
#[allow(dead_code)]
mod traffic;
#[allow(dead_code)]
#[path = "../wire.rs"]
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use haetae::alert::record::{Desk, Site};
use haetae::collector::{Collector, Log, Outputs};
use haetae::limits::{MERGE_DEFAULT, RELEASES_WAITING_MAX};
use haetae::observable::{Kind, address, domain};
use haetae::protocol::{Digests, Wants};
use haetae::spool::{Options, Spool};
use haetae::worker::Orders;
use rustix::time::{ClockId, clock_gettime};

/// Of either list, and of what the packets speak of.
const LISTED: u64 = 100;
/// No reader wants anything that is not looked for.
const WANTS: Wants = Wants {
    digests: Digests { md5: false, sha1: false, sha256: false },
    answers: false,
    ja4: false,
    certificates: false,
    events: false,
};

/// A kind of storm: how its packets are made, and what is in them.
struct Storm {
    name: &'static str,
    make: fn(usize) -> Vec<u8>,
    kind: &'static Kind,
    listed: fn(u64) -> String,
    unlisted: fn(u64) -> String,
}

static STORMS: [Storm; 3] = [
    Storm {
        name: "new-datagram",
        make: traffic::met_datagrams,
        kind: &address::IP,
        listed: |number| format!("198.51.100.{number}"),
        unlisted: |number| format!("192.0.2.{number}"),
    },
    Storm {
        name: "new-knock",
        make: traffic::met_knocks,
        kind: &address::IP,
        listed: |number| format!("198.51.100.{number}"),
        unlisted: |number| format!("192.0.2.{number}"),
    },
    Storm {
        name: "known-question",
        make: traffic::met_questions,
        kind: &domain::DOMAIN_SUFFIX,
        listed: traffic::listed,
        unlisted: |number| format!("host{number}.absent.example"),
    },
];

/// Where alerts go.
static WAYS: [&str; 3] = ["nowhere", "spool", "log"];

/// Of one reading, in nanoseconds of the thread's own time.
#[derive(Clone, Copy, Default)]
struct Read {
    worker: f64,
    collector: f64,
    packets: f64,
    /// Packets that raised or repeated an alert.
    met: f64,
    /// Revisions, as the collector gets them.
    records: f64,
}

fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn nanos_since(before: Duration) -> f64 {
    (busy() - before).as_nanos() as f64
}

fn orders(storm: &Storm, value: fn(u64) -> String) -> Orders {
    let set = path::set_of((0..LISTED).map(|number| (storm.kind, value(number))));
    let mut orders = path::orders(Arc::new(set), 1 << 18);
    orders.settings.wants = WANTS;
    orders.events = false;
    orders
}

/// One worker and its collector, each in a thread of its own as in a replay.
fn read(capture: &[u8], orders: &Orders, desk: &Desk, way: &str, folder: &Path) -> Read {
    let (send, releases) = bounded(RELEASES_WAITING_MAX);
    // names, so that a profiler tells them apart
    let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let (worker, collector) = std::thread::scope(|scope| {
        let work = move || {
            let before = busy();
            let tally = path::read(capture, orders, send);
            (nanos_since(before), tally)
        };
        let collect = move || {
            let mut sink = path::Sink::default();
            let mut spool = (way == "spool").then(|| Spool::open(folder, Options::default()).expect("a spool"));
            let before = busy();
            let outputs = Outputs {
                spool: spool.as_mut().map(|spool| (spool, MERGE_DEFAULT)),
                log: (way == "log").then_some(Log { writer: &mut sink, alerts: true }),
                ..Outputs::default()
            };
            let collected = Collector::new(desk, outputs).run(&[releases]).expect("there is room");
            (nanos_since(before), collected)
        };
        let worker = named("worker").spawn_scoped(scope, work).expect("a thread");
        let collector = named("collector").spawn_scoped(scope, collect).expect("a thread");
        (worker.join().expect("it ends"), collector.join().expect("it ends"))
    });
    let ((worker, tally), (collector, collected)) = (worker, collector);
    let met = tally.contacts.raised + tally.contacts.crowded + tally.contacts.further + tally.contacts.uncounted;
    let records = 2 * tally.contacts.raised + tally.contacts.crowded;
    assert_eq!(collected.alerts, tally.contacts.raised + tally.contacts.crowded, "each is put out once");
    Read { worker, collector, packets: tally.handed as f64, met: met as f64, records: records as f64 }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(storm: &Storm, rounds: usize, packets: usize, desk: &Desk) {
    let capture = (storm.make)(packets);
    let [listed, unlisted] = [orders(storm, storm.listed), orders(storm, storm.unlisted)];
    for way in WAYS {
        let turn = |orders: &Orders| {
            let folder = tempfile::tempdir().expect("a folder");
            read(&capture, orders, desk, way, folder.path())
        };
        turn(&listed);
        turn(&unlisted); // one round before the first is not counted
        let turns: Vec<(Read, Read)> = (0..rounds).map(|_| (turn(&listed), turn(&unlisted))).collect();
        let all = |of: &dyn Fn(&(Read, Read)) -> f64| median(turns.iter().map(of).collect());
        let (met, records) = (turns[0].0.met, turns[0].0.records);
        assert!(met > 0.0 && turns[0].1.met == 0.0, "one list is met and the other is not");
        println!(
            "{{\"storm\":\"{}\",\"to\":\"{way}\",\"packets\":{},\"met\":{met},\"records\":{records},\"worker_ns\":{:.0},\
             \"worker_ns_unlisted\":{:.0},\"kept\":{:.3},\"worker_ns_met\":{:.0},\"collector_ns_record\":{:.0},\"rounds\":{rounds}}}",
            storm.name,
            turns[0].0.packets,
            all(&|(listed, _)| listed.worker / listed.packets),
            all(&|(_, unlisted)| unlisted.worker / unlisted.packets),
            all(&|(listed, unlisted)| unlisted.worker / listed.worker),
            all(&|(listed, unlisted)| (listed.worker - unlisted.worker) / met),
            all(&|(listed, _)| listed.collector / records),
        );
    }
}

fn main() {
    let (mut rounds, mut packets, mut filters) = (9, 200_000, Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse::<usize>().ok()).expect("a number").max(1);
        match word.as_str() {
            "--rounds" => rounds = number(),
            "--packets" => packets = number(),
            _ => filters.push(word),
        }
    }
    let desk = Desk::new(Site { id: "bench".into(), language: "en".into(), key: vec![7; 32], ..Site::default() });
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    for storm in STORMS.iter().filter(|storm| wanted(storm.name)) {
        measure(storm, rounds, packets, &desk);
    }
}
