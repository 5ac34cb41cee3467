//! The whole path in this thread: a capture in memory, a worker, its collector, events and alerts into a sink.

use std::io::{self, Write};
use std::sync::Arc;

use haetae::alert::record::{Desk, Site};
use haetae::capture::file::Reader;
use haetae::collector::{Collector, Outputs};
use haetae::flow::Settings;
use haetae::indicator::{Builder, IndicatorSet, Statement};
use haetae::metrics::{Laps, Tally};
use haetae::networks::Networks;
use haetae::observable::{Kind, domain};
use haetae::protocol::{Digests, Wants};
use haetae::worker::{Orders, Release, Worker};

use crate::traffic;

/// Frames asked of the reader at once, as a replay does.
const BATCH: usize = 64;

/// What events ask of readers. No digests: what hashing costs is a question to the processor, and it would hide the rest.
pub const WANTS: Wants = Wants {
    digests: Digests { md5: false, sha1: false, sha256: false },
    answers: false,
    ja4: true,
    certificates: true,
    events: true,
};

/// Fixed: what a shard evicts and where a value lies are the same each time.
pub const KEY: [u8; 16] = *b"haetae bench 001";

/// Counts what it is given.
#[derive(Default)]
pub struct Sink(pub u64);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A set that lists these values.
pub fn set_of<V: AsRef<[u8]>>(values: impl IntoIterator<Item = (&'static Kind, V)>) -> IndicatorSet {
    let mut builder = Builder::new(KEY, 0);
    let statement = Statement { source: "bench".into(), confidence: 80, ..Statement::default() };
    let said = builder.say(statement).expect("room for one");
    for (kind, value) in values {
        builder.take(kind, value.as_ref(), said, None, |_| Ok(())).expect("a value of its kind");
    }
    builder.build()
}

/// The path over the capture that `make` makes, of about so many packets.
pub fn over(make: fn(usize) -> Vec<u8>, packets: usize) -> Box<dyn FnMut() -> u64> {
    let capture = make(packets);
    let names = (0..1_000).map(|number| (&domain::DOMAIN_SUFFIX, traffic::listed(number)));
    let orders = orders(Arc::new(set_of(names)), 1 << 17);
    let desk = Desk::new(Site { id: "bench".into(), language: "en".into(), key: vec![7; 32], ..Site::default() });
    Box::new(move || run(&capture, &orders, &desk))
}

/// What one worker is told that owns everything.
pub fn orders(set: Arc<IndicatorSet>, flows_max: usize) -> Orders {
    Orders {
        waiting: Arc::default(),
        provoke: None,
        index: 0,
        workers: 1,
        live: false,
        settings: Settings { flows_max, reassembly_bytes_max: 64 << 20, key: (1, 2), wants: WANTS },
        events: true,
        logged: Vec::new(),
        timeline: false,
        networks: Arc::new(Networks::default()),
        set,
        desk: None,
    }
}

/// What a worker makes of a capture: its releases, and how many frames there were.
pub fn releases(capture: &[u8], orders: &Orders) -> (crossbeam_channel::Receiver<Release>, u64) {
    let (send, releases) = crossbeam_channel::unbounded();
    (releases, read(capture, orders, send).handed)
}

/// A worker reads a capture to its end.
pub fn read(capture: &[u8], orders: &Orders, send: crossbeam_channel::Sender<Release>) -> Tally {
    let mut reader = Reader::new(capture).expect("a capture");
    let mut worker = Worker::new(orders.clone(), send, Laps::new(|| 0));
    loop {
        let frames = reader.poll(worker.budget(BATCH)).expect("memory");
        if frames.is_empty() {
            break;
        }
        worker.breathe(&frames);
    }
    let tally = worker.finish();
    assert_eq!(tally.unaccounted(), 0, "frames without a fate");
    tally
}

fn run(capture: &[u8], orders: &Orders, desk: &Desk) -> u64 {
    let (releases, packets) = releases(capture, orders);
    let mut sink = Sink::default();
    let outputs = Outputs { all: Some(&mut sink), ..Outputs::default() };
    let collected = Collector::new(desk, outputs).run(&[releases]).expect("a sink takes everything");
    assert!(collected.events > 0 && sink.0 > 0, "nothing was said");
    packets
}
