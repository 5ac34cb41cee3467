//! Workers on a small capture that means no good, in memory: every frame has one fate, everything said has its place.

use crossbeam_channel::unbounded;

use super::*;
use crate::alert::Alert;
use crate::capture::file::Reader;
use crate::indicator::{Builder, Statement};
use crate::observable::{address, domain};
use crate::protocol::Wants;
use crate::time::Timestamp;

const NAME: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01";

fn ethernet(kind: u16, bytes: &[u8]) -> Vec<u8> {
    [&[2; 12], &kind.to_be_bytes()[..], bytes].concat()
}

/// An IPv4 packet from the host 10.0.0.`from` to 203.0.113.66; `place` is the field of flags and fragment offset.
pub(super) fn ipv4(from: u8, protocol: u8, place: u16, bytes: &[u8]) -> Vec<u8> {
    let (length, place) = ((bytes.len() as u16 + 20).to_be_bytes(), place.to_be_bytes());
    let head = [0x45, 0, length[0], length[1], 0, 7, place[0], place[1], 64, protocol, 0, 0, 10, 0, 0, from];
    ethernet(0x0800, &[&head[..], &[203, 0, 113, 66], bytes].concat())
}

pub(super) fn question(from: u8) -> Vec<u8> {
    let length = (NAME.len() as u16 + 8).to_be_bytes();
    [&[0x80, from, 0, 53, length[0], length[1], 0, 0], NAME].concat()
}

/// Questions whole and in pieces, and all kinds of damage, in turns.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for host in 0..=255u8 {
        let asked = question(host);
        frames.push(ipv4(host, 17, 0, &asked));
        frames.push(ipv4(host, 17, 0x2000, &asked[..16]));
        frames.push(match host % 8 {
            0 => ethernet(0x0806, &[0; 28]),
            1 => vec![2; 9],
            2 => ipv4(host, 6, 0, &[0; 12]),
            3 => ipv4(host, 17, 0, &[0, 9, 0, 9, 0, 3, 0, 0]),
            4 => ipv4(host, 17, 0x3FFF, &[0; 200]),
            5 => ipv4(host, 47, 0, &[0, 0, 8, 0, 0x65]),
            6 => ethernet(0x8100, &[0, 1]),
            _ => ipv4(host, 6, 0, &[0; 20]),
        });
        frames.push(ipv4(host, 17, 2, &asked[16..]));
    }
    frames
}

/// A capture with ten seconds between two frames.
pub(super) fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 1, 0, 0, 0];
    for (at, frame) in frames.iter().enumerate() {
        let words = [at as u32 * 10, 0, frame.len() as u32, frame.len() as u32];
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        out.extend_from_slice(frame);
    }
    out
}

pub(super) fn orders(index: usize, workers: usize, set: &Arc<IndicatorSet>) -> Orders {
    let wants = Wants { events: true, ..Wants::default() };
    let settings = Settings { flows_max: 1 << 16, reassembly_bytes_max: 1 << 20, key: (1, 2), wants };
    Orders {
        index,
        workers,
        live: false,
        desk: None,
        waiting: Arc::default(),
        provoke: None,
        settings,
        events: true,
        logged: Vec::new(),
        timeline: true,
        networks: Arc::default(),
        set: Arc::clone(set),
    }
}

/// A set with a name and the address 203.0.113.66.
pub(super) fn listed(name: &[u8]) -> Arc<IndicatorSet> {
    let mut builder = Builder::new([0; 16], 0);
    let said_by = builder.say(Statement { confidence: 90, ..Statement::default() }).expect("room");
    builder.take(&address::IP, b"203.0.113.66", said_by, None, |_| Ok(())).expect("an address");
    builder.take(&domain::DOMAIN, name, said_by, None, |_| Ok(())).expect("a name");
    Arc::new(builder.build())
}

fn run(capture: &[u8], orders: Orders, release_to: Sender<Release>) -> Tally {
    let mut worker = Worker::new(orders, release_to, Laps::new(|| 0));
    let mut reader = Reader::new(capture).expect("a capture");
    loop {
        let batch = reader.poll(worker.budget(7)).expect("readable");
        if batch.is_empty() {
            return worker.finish();
        }
        worker.breathe(&batch);
    }
}

/// What so many workers say of a capture, in the order of places, and what they counted.
fn said(capture: &[u8], workers: usize, set: &Arc<IndicatorSet>) -> (Vec<(Place, String)>, Tally) {
    let (send, releases) = unbounded();
    let mut sum = Tally::default();
    for index in 0..workers {
        sum.join(&run(capture, orders(index, workers, set), send.clone()));
    }
    drop(send);
    let mut all = Vec::new();
    for release in releases {
        assert!(release.records.is_sorted_by_key(|(place, _)| *place), "a release is in order");
        for (place, record) in &release.records {
            let text = match record {
                Record::Event(range, _) => String::from_utf8_lossy(&release.lines[range.clone()]).into_owned(),
                Record::Alert(at) => alert_line(&release.alerts[*at as usize]),
            };
            all.push((*place, text));
        }
    }
    all.sort_by_key(|(place, _)| *place);
    (all, sum)
}

#[test]
fn what_happened_in_a_sweep_comes_after_the_packets_of_its_epoch() {
    let place = |phase, packet| Place { phase, packet };
    let order = [place(0, 1), place(0, 2), place(0, 900), place(1, 1), place(1, 3)];
    assert!(order.is_sorted());
}

#[test]
fn every_fate_is_counted_once_whoever_counts() {
    let (capture, set) = (pcap(&frames()), Arc::default());
    let (alone, one) = said(&capture, 1, &set);
    let (together, three) = said(&capture, 3, &set);
    let fates = |tally: &Tally| {
        let mut rows = tally.fates.0;
        rows[Fate::Elsewhere.index()] = 0;
        rows
    };
    assert_eq!((one.handed, one.fates.accounted(), one.fates.of(Fate::Unaccounted)), (1024, 1024, 0));
    assert_eq!(fates(&one), fates(&three));
    assert_eq!((one.unaccounted(), three.unaccounted()), (0, 0));
    assert_eq!(one.fates.0.iter().filter(|&&count| count > 0).count(), 10, "{:?}", one.fates);
    assert_eq!((one.bytes, one.flows, one.fragments), (three.bytes, three.flows, three.fragments));
    assert!(alone.len() > 512);
    assert_eq!(alone, together);
}

#[test]
fn a_worker_whose_collector_is_gone_comes_to_its_end() {
    let (send, releases) = unbounded();
    drop(releases);
    let tally = run(&pcap(&frames()), orders(0, 1, &Arc::default()), send);
    assert_eq!(tally.fates.accounted(), 1024);
}

#[test]
fn an_address_that_becomes_listed_while_its_flow_is_open_is_sighted_at_the_flows_end() {
    let set = listed_from(15);
    let frames = [1, 1, 1, 2].map(|host| ipv4(host, 17, 0, &question(host)));
    for workers in [1, 3] {
        let (all, tally) = said(&pcap(&frames), workers, &set);
        let alerts: Vec<_> = all.iter().filter(|(_, text)| text.starts_with("alert")).collect();
        let place = |phase, packet| Place { phase, packet };
        let expected = [(place(0, 4), "first"), (place(1, 1), "first"), (place(1, 1), "final"), (place(1, 4), "final")];
        assert_eq!(alerts.len(), 4, "{alerts:?}");
        for (alert, (at, which)) in alerts.into_iter().zip(expected) {
            assert_eq!((alert.0, alert.1.as_str()), (at, format!("alert {which}").as_str()));
        }
        assert_eq!((tally.hits, tally.refusals.iter().sum::<u64>(), tally.contacts.raised), (3, 1, 2));
    }
}

/// A set with the address 203.0.113.66 in it, valid from that second.
pub(super) fn listed_from(from: i64) -> Arc<IndicatorSet> {
    let mut builder = Builder::new([0; 16], 0);
    let valid_from = Some(Timestamp::from_parts(from, 0));
    let said_by = builder.say(Statement { confidence: 90, valid_from, ..Statement::default() }).expect("room");
    builder.take(&address::IP, b"203.0.113.66", said_by, None, |_| Ok(())).expect("an address");
    Arc::new(builder.build())
}

#[test]
fn who_talks_to_an_address_when_a_new_set_lists_it_is_told_at_once_and_once() {
    let syn = [&[0x80, 1, 1, 0xBB, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2][..], &[0; 6]].concat();
    let half = |host| if host < 20 { ipv4(host, 17, 0, &question(host)) } else { ipv4(host, 6, 0, &syn) };
    let frames: Vec<_> = (0..40).map(half).collect();
    let (send, releases) = unbounded();
    let old = Orders { live: true, events: false, ..orders(0, 1, &Arc::default()) };
    let mut worker = Worker::new(old.clone(), send, Laps::new(|| 0));
    let capture = pcap(&frames);
    worker.breathe(&Reader::new(&capture[..]).expect("a capture").poll(256).expect("readable"));
    let raised = |releases: &crossbeam_channel::Receiver<Release>| {
        releases.try_iter().flat_map(|release| release.alerts).filter(|alert| !alert.is_final()).count()
    };
    worker.tick(None, 0);
    assert_eq!(raised(&releases), 0);
    // first a set by which it is too early for all but one flow, then the same indicator without that, then again
    for (valid_from, told) in [(381, 1), (0, 39), (0, 0)] {
        worker.adopt(Orders { set: listed_from(valid_from), ..old.clone() });
        (0..SHARDS as u64 / 16).for_each(|_| worker.tick(None, 0));
        assert_eq!(raised(&releases), told, "valid from {valid_from}");
    }
    let tally = worker.finish();
    // each hit has one outcome; to be asked again is no sighting
    assert_eq!((tally.hits, tally.refusals.iter().sum::<u64>(), tally.contacts.raised), (79, 39, 40));
    assert_eq!((tally.contacts.further, tally.unaccounted()), (0, 0));
}

#[test]
fn who_is_never_watched_since_a_reload_is_not_asked_and_not_logged() {
    let (send, releases) = unbounded();
    let old = Orders { live: true, ..orders(0, 1, &Arc::default()) };
    let mut worker = Worker::new(old.clone(), send, Laps::new(|| 0));
    let frames = [ipv4(1, 17, 0, &question(1)), ipv4(2, 17, 0, &question(2))];
    worker.breathe(&Reader::new(&pcap(&frames)[..]).expect("a capture").poll(256).expect("readable"));
    worker.tick(None, 0);
    let _before = releases.try_iter().count();
    let written = crate::networks::Written { never_watch: vec!["10.0.0.1".to_owned()], ..Default::default() };
    let networks = Arc::new(Networks::check(written).expect("networks"));
    worker.adopt(Orders { set: listed_from(0), networks, ..old });
    (0..SHARDS as u64 / 16).for_each(|_| worker.tick(None, 0));
    let tally = worker.finish();
    assert_eq!(tally.contacts.raised, 1);
    let releases: Vec<Release> = releases.try_iter().collect();
    let lines: String = releases.iter().map(|release| String::from_utf8_lossy(&release.lines)).collect();
    assert!(lines.contains("10.0.0.2") && !lines.contains("10.0.0.1\""), "{lines}");
}

#[test]
fn a_flow_that_ends_before_its_turn_is_asked_at_its_end() {
    let (send, releases) = unbounded();
    let old = Orders { live: true, ..orders(0, 1, &Arc::default()) };
    let mut worker = Worker::new(old.clone(), send, Laps::new(|| 0));
    let capture = pcap(&[ipv4(1, 17, 0, &question(1))]);
    worker.breathe(&Reader::new(&capture[..]).expect("a capture").poll(256).expect("readable"));
    worker.adopt(Orders { set: listed_from(0), ..old });
    let _tally = worker.finish();
    assert_eq!(releases.try_iter().map(|release| release.alerts.len()).sum::<usize>(), 2);
}

fn alert_line(alert: &Alert) -> String {
    format!("alert {}", if alert.is_final() { "final" } else { "first" })
}

/// Workers on a link that one of them reads: in turns on one thread, so that nothing hangs on scheduling. Frames of other
/// shards cross rings; `slow` of them are taken only at the end.
fn on_a_link(capture: &[u8], workers: usize, set: &Arc<IndicatorSet>, slow: bool) -> (Vec<String>, Vec<Tally>) {
    let (send, releases) = unbounded();
    let mut inboxes: Vec<Vec<(usize, Inbox)>> = (0..workers).map(|_| Vec::new()).collect();
    let mut outboxes = vec![None];
    for owner in inboxes.iter_mut().skip(1) {
        let (outbox, inbox) = ring();
        outboxes.push(Some(outbox));
        owner.push((0, inbox));
    }
    let mut team: Vec<Worker> = Vec::new();
    for (index, inboxes) in inboxes.into_iter().enumerate() {
        let orders = Orders { live: true, ..orders(index, workers, set) };
        let outboxes = if index == 0 { std::mem::take(&mut outboxes) } else { Vec::new() };
        team.push(Worker::new(orders, send.clone(), Laps::new(|| 0)).with_rings(outboxes, inboxes));
    }
    let mut reader = Reader::new(capture).expect("a capture");
    let mut round = 0;
    loop {
        let batch = reader.poll(7).expect("readable");
        if batch.is_empty() {
            break;
        }
        team[0].breathe(&batch);
        round += 1;
        let told: Vec<usize> = team[0].handed_to().collect();
        for owner in told.into_iter().filter(|_| !slow) {
            assert!(team[owner].is_waited_for());
            while team[owner].breathe_handed() > 0 {}
        }
        team.iter_mut().for_each(|worker| worker.tick(None, round));
    }
    team.iter_mut().for_each(|worker| while worker.breathe_handed() > 0 {});
    let tallies = team.into_iter().map(Worker::finish).collect();
    drop(send);
    let mut said = Vec::new();
    for release in releases {
        said.extend(release.records.iter().map(|(_, record)| match record {
            Record::Event(range, _) => String::from_utf8_lossy(&release.lines[range.clone()]).into_owned(),
            Record::Alert(at) => alert_line(&release.alerts[*at as usize]),
        }));
    }
    said.sort();
    (said, tallies)
}

#[test]
fn workers_on_a_link_say_what_the_workers_of_its_replay_say() {
    let (capture, set) = (pcap(&frames()), Arc::default());
    let (replayed, _) = said(&capture, 1, &set);
    let mut replayed: Vec<String> = replayed.into_iter().map(|(_, text)| text).collect();
    replayed.sort();
    for (workers, slow) in [(1, false), (2, false), (3, false), (4, true)] {
        let (live, tallies) = on_a_link(&capture, workers, &set, slow);
        assert_eq!(live.len(), replayed.len());
        assert!(live == replayed, "{workers} workers");
        assert!(tallies.iter().all(|tally| tally.unaccounted() == 0));
        let (steered, taken) = tallies.iter().fold((0, 0), |sum, tally| (sum.0 + tally.steered, sum.1 + tally.taken));
        assert_eq!((steered, tallies[0].handed), (taken, 1024));
        assert_eq!(steered > 0, workers > 1, "fragments and tunnels among them");
    }
}

#[test]
fn a_ring_without_room_is_a_fate() {
    let question = question(1);
    let frames: Vec<Vec<u8>> = (0..=255).map(|host| ipv4(host, 17, 0, &question)).collect();
    let (send, releases) = unbounded();
    let set = Arc::default();
    let (outbox, inbox) = ring();
    let mut worker = Worker::new(Orders { live: true, ..orders(0, 2, &set) }, send, Laps::new(|| 0))
        .with_rings(vec![None, Some(outbox)], Vec::new());
    let capture = pcap(&frames);
    for _ in 0..256 {
        let mut reader = Reader::new(&capture[..]).expect("a capture");
        worker.breathe(&reader.poll(256).expect("readable"));
    }
    assert_eq!(inbox.len(), crate::limits::HAND_OFF_PACKETS_MAX);
    let tally = worker.finish();
    assert!(tally.fates.of(Fate::HandOffFull) > 0);
    assert_eq!((tally.steered as usize, tally.unaccounted()), (crate::limits::HAND_OFF_PACKETS_MAX, 0));
    drop(releases);
}

/// An upload of a megabyte and more, in segments of 1,400 bytes, with the name of a server at its beginning.
fn upload() -> Vec<Vec<u8>> {
    let head = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9999999\r\n\r\n";
    let mut stream = head.to_vec();
    stream.resize(1_600_000, b'x');
    let segments = stream.chunks(1_400).enumerate().map(|(at, bytes)| {
        let seq = (7 + at as u32 * 1_400).to_be_bytes();
        let ports = [0x9c, 0x40, 0, 80];
        ipv4(9, 6, 0, &[&ports[..], &seq, &[0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0], bytes].concat())
    });
    segments.collect()
}

#[test]
fn under_load_heavy_flows_give_up_their_payload_first_and_addresses_are_always_looked_up() {
    let set = listed(b"a.test");
    for (effort, heavy, all, names) in [
        (Effort::Whole, false, false, true),
        (Effort::NoHeavyFlows, true, false, true),
        (Effort::LightFlows, true, false, true),
        (Effort::Addresses, false, true, false),
    ] {
        let (send, releases) = unbounded();
        let mut worker = Worker::new(Orders { live: true, ..orders(0, 1, &set) }, send, Laps::new(|| 0));
        worker.spare(effort);
        let mut frames = upload();
        frames.extend((0..50).map(|host| ipv4(host, 17, 0, &question(host))));
        let capture = pcap(&frames);
        let mut reader = Reader::new(&capture[..]).expect("a capture");
        loop {
            let batch = reader.poll(64).expect("readable");
            if batch.is_empty() {
                break;
            }
            worker.breathe(&batch);
        }
        let tally = worker.finish();
        drop(releases);
        assert_eq!((tally.handed as usize, tally.unaccounted()), (frames.len(), 0));
        assert_eq!(tally.fates.of(Fate::ShedHeavy) > 0, heavy, "{effort:?}: {:?}", tally.fates);
        assert_eq!(tally.fates.of(Fate::ShedPayload) > 0, all, "{effort:?}");
        // 51 flows meet the address; 51 say the name, where anybody reads
        assert_eq!(tally.alerts, if names { 102 } else { 51 }, "{effort:?}: {:?}", tally.fates);
        assert_eq!(tally.events_shed > 0, effort >= Effort::NoEvents, "{effort:?}");
    }
}

#[test]
fn a_slow_collector_costs_events_before_alerts_and_both_are_counted() {
    let (send, releases) = crossbeam_channel::bounded(1);
    let set = Arc::default();
    let mut worker = Worker::new(Orders { live: true, ..orders(0, 1, &set) }, send, Laps::new(|| 0));
    let capture = pcap(&frames());
    for round in 0..200 {
        let mut reader = Reader::new(&capture[..]).expect("a capture");
        loop {
            let batch = reader.poll(64).expect("readable");
            if batch.is_empty() {
                break;
            }
            worker.breathe(&batch);
        }
        worker.tick(None, round);
    }
    let tally = worker.tally();
    assert!(tally.events_shed > 0 && tally.alerts_shed == 0, "{}", tally.events_shed);
    assert_eq!(tally.unaccounted(), 0);
    let first = releases.recv().expect("the first release was taken");
    assert!(!first.records.is_empty());
}
