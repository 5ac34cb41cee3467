//! Stages of the path alone: headers, flows with their parsers, look-ups of what was seen, the hand-over behind them.

use std::sync::Arc;

use haetae::alert::record::{Desk, Site};
use haetae::capture::{Frame, Link};
use haetae::collector::{Collector, Outputs};
use haetae::decode::{Fragments, Packet, decode};
use haetae::flow::{Flows, Moment, Settings, Trail};
use haetae::indicator::Questions;
use haetae::observable::{Observations, domain};
use haetae::time::Timestamp;

use crate::{path, traffic};

/// Packets between two clearings of what they gave.
const BATCH: usize = 256;

/// Frames of a capture of our own, as their times and bytes.
type Frames = Vec<(Timestamp, Vec<u8>)>;

fn frames(capture: &[u8]) -> Frames {
    let mut reader = haetae::capture::file::Reader::new(capture).expect("a capture");
    let mut frames = Frames::new();
    loop {
        let batch = reader.poll(BATCH).expect("memory");
        if batch.is_empty() {
            return frames;
        }
        frames.extend(batch.frames().map(|frame| (frame.time, frame.bytes.to_vec())));
    }
}

fn mixed(packets: usize) -> Frames {
    let parts = [traffic::known, traffic::new, traffic::http, traffic::tls, traffic::dns];
    parts.iter().flat_map(|make| frames(&make(packets / parts.len()))).collect()
}

fn unpacked(frames: &Frames, fragments: &mut Fragments) -> Vec<Packet> {
    (1..)
        .zip(frames)
        .map(|(number, (time, bytes))| decode(&frame(number, *time, bytes), fragments).expect("a packet"))
        .collect()
}

fn frame(number: u64, time: Timestamp, bytes: &[u8]) -> Frame<'_> {
    Frame { number, time, bytes, length: bytes.len() as u32, link: Link::ETHERNET }
}

/// Headers off, for frames of all kinds of traffic.
pub fn decoding(packets: usize) -> Box<dyn FnMut() -> u64> {
    let frames = mixed(packets);
    let mut fragments = Fragments::new((1, 2));
    Box::new(move || {
        let mut payload = 0;
        for (number, (time, bytes)) in (1..).zip(&frames) {
            payload += decode(&frame(number, *time, bytes), &mut fragments).map_or(0, |packet| packet.payload.len());
        }
        std::hint::black_box(payload);
        frames.len() as u64
    })
}

fn settings() -> Settings {
    Settings { flows_max: 1 << 17, reassembly_bytes_max: 64 << 20, key: (1, 2), wants: path::WANTS }
}

/// Follows packets a batch at a time; what the batch gave is for `each`.
fn follow(frames: &Frames, packets: &[Packet], fragments: &Fragments, mut each: impl FnMut(&mut Trail)) {
    let (mut flows, mut trail) = (Flows::new(settings()), Trail::default());
    for (at, (packet, (time, bytes))) in packets.iter().zip(frames).enumerate() {
        let ticket = flows.ticket(packet, None);
        let moment = Moment { packet: at as u64 + 1, time: *time };
        flows.follow(moment, packet, &ticket, packet.payload(bytes, fragments), &mut trail);
        if at % BATCH == BATCH - 1 {
            each(&mut trail);
            trail.clear();
        }
    }
    each(&mut trail);
}

/// Flows and their parsers, for packets that are unpacked.
pub fn following(packets: usize) -> Box<dyn FnMut() -> u64> {
    let frames = mixed(packets);
    let mut fragments = Fragments::new((1, 2));
    let packets = unpacked(&frames, &mut fragments);
    Box::new(move || {
        let mut seen = 0;
        follow(&frames, &packets, &fragments, |trail| seen += trail.observations.len());
        assert!(seen > 0, "nothing was seen");
        packets.len() as u64
    })
}

/// Look-ups of everything that was seen in traffic that is read, batch by batch, in a set of a million names.
pub fn looking_up(packets: usize) -> Box<dyn FnMut() -> u64> {
    let frames: Frames =
        [traffic::http, traffic::tls, traffic::dns].iter().flat_map(|make| self::frames(&make(packets / 3))).collect();
    let mut fragments = Fragments::new((1, 2));
    let unpacked = unpacked(&frames, &mut fragments);
    let mut batches: Vec<Observations> = Vec::new();
    follow(&frames, &unpacked, &fragments, |trail| batches.push(std::mem::take(&mut trail.observations)));
    let values = |batch: &Observations| {
        batch.list().iter().flat_map(|one| batch.fields(one)).filter(|seen| !batch.canonical(seen).is_empty()).count()
    };
    let values: usize = batches.iter().map(values).sum();
    let set = path::set_of((0..1_000_000).map(|number| (&domain::DOMAIN_SUFFIX, traffic::listed(number))));
    let (mut room, mut hits) = (Questions::default(), Vec::new());
    Box::new(move || {
        hits.clear();
        batches.iter().for_each(|batch| set.look_up(batch, &mut room, &mut hits));
        assert!(!hits.is_empty(), "nothing was found");
        values as u64
    })
}

/// Records of workers through the collector into a sink.
pub fn handing_over(packets: usize) -> Box<dyn FnMut() -> u64> {
    let capture = traffic::dns(packets);
    let names = (0..1_000).map(|number| (&domain::DOMAIN_SUFFIX, traffic::listed(number)));
    let orders = path::orders(Arc::new(path::set_of(names)), 1 << 17);
    let desk = Desk::new(Site { id: "bench".into(), language: "en".into(), key: vec![7; 32], ..Site::default() });
    let (given, _) = path::releases(&capture, &orders);
    let given: Vec<_> = given.iter().collect();
    Box::new(move || {
        let (send, releases) = crossbeam_channel::unbounded();
        for one in &given {
            // a copy: the collector keeps nothing, but takes what it is given
            let copy = haetae::worker::Release {
                epoch: one.epoch,
                lines: one.lines.clone(),
                records: one.records.iter().map(|(place, record)| (*place, copied(record))).collect(),
                alerts: one.alerts.clone(),
                ..Default::default()
            };
            send.send(copy).expect("the other end is here");
        }
        drop(send);
        let mut sink = path::Sink::default();
        let outputs = Outputs { all: Some(&mut sink), ..Outputs::default() };
        let collected = Collector::new(&desk, outputs).run(&[releases]).expect("a sink takes everything");
        collected.events + collected.alerts
    })
}

fn copied(record: &haetae::worker::Record) -> haetae::worker::Record {
    match record {
        haetae::worker::Record::Event(line, logged) => haetae::worker::Record::Event(line.clone(), *logged),
        haetae::worker::Record::Alert(at) => haetae::worker::Record::Alert(*at),
    }
}
