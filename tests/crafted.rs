//! Traffic that no honest host sends, made from a seed: fragments that overlap, ports used again, clocks that jump,
//! segments in any order, flows that begin in the middle or speak one way, tunnels, junk. What the sensor says of it must
//! not depend on workers, batches or the container, even when there is room for one flow in fifty.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::binary::{self, Replay};
use crate::dice::Dice;
use crate::wire::{self, ACK, Ends, FIN, Frame, PUSH_ACK, Packet, RST, SYN, Wrap};

/// Conversations in the hard capture: fifty times what [`FLOWS_MAX`] leaves room for.
const CONVERSATIONS: usize = 20_000;
/// The flow cap of the exactness test.
const FLOWS_MAX: usize = CONVERSATIONS / 50;
/// The first conversations begin on 2026-11-21 at noon.
const BEGIN_MICROS: u64 = 1_795_262_400_000_000;
const SECOND: u64 = 1_000_000;
/// Conversations begin within this time.
const SPREAD_SECONDS: u64 = 600;
/// Longer than any flow timeout.
const LONG_SECONDS: u64 = 8_000;

/// Names that the traffic speaks of: indicators, names below them, near-misses, and others.
const NAMES: [&str; 12] = [
    "c2.bad.example",
    "www.example.test",
    "mail.example.test",
    "bad.example",
    "notbad.example",
    "cdn.example.test",
    "exact.example",
    "sub.exact.example",
    "a.example.test",
    "UPPER.bad.EXAMPLE",
    "b.example.test",
    "bad.example.test",
];

/// The body that HTTP servers answer with.
const BODY: &[u8] = b"MZ, but nothing that runs: a body with a known digest.\n";

/// The indicators that are planted in [`hard`].
pub fn indicators() -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, BODY);
    let sha256: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "format: haetae/1\n\
         defaults: {{ source: example, tlp: amber, confidence: 85, labels: [crafted] }}\n\
         indicators:\n\
         \x20 - {{ domain: bad.example, reach: subdomains, severity: critical }}\n\
         \x20 - {{ domain: exact.example, reach: exact }}\n\
         \x20 - {{ ip: 203.0.113.7, severity: high }}\n\
         \x20 - {{ ip: \"2001:db8:66::9\" }}\n\
         \x20 - {{ cidr: 203.0.113.16/29 }}\n\
         \x20 - {{ url: \"http://www.example.test/gate.php?id=7\" }}\n\
         \x20 - {{ sha256: {sha256} }}\n"
    )
}

/// The hard capture as a classic file.
pub fn hard(seed: u64) -> Vec<u8> {
    wire::pcap(&frames(seed))
}

/// The capture while it is being written: frames with the time they were meant for.
struct Story {
    dice: Dice,
    frames: Vec<Frame>,
    wrap: Wrap,
    now: u64,
}

impl Story {
    fn say(&mut self, packet: &Packet) {
        let bytes = wire::framed(packet, self.wrap);
        self.frames.push(Frame { micros: self.now, wire_bytes: bytes.len() as u32, bytes });
        self.now += 1 + self.dice.below(SECOND / 2);
    }

    fn tcp(&mut self, ends: Ends, sequence: u32, acknowledged: u32, flags: u8, payload: &[u8]) {
        self.say(&wire::ip(ends, 6, &wire::tcp(ends, sequence, acknowledged, flags, payload)));
    }

    fn udp(&mut self, ends: Ends, payload: &[u8]) {
        self.say(&wire::ip(ends, 17, &wire::udp(ends, payload)));
    }
}

/// All frames, in the order of the capture.
pub fn frames(seed: u64) -> Vec<Frame> {
    let mut story = Story { dice: Dice(seed), frames: Vec::new(), wrap: Wrap::Plain, now: 0 };
    for _ in 0..CONVERSATIONS {
        story.now = BEGIN_MICROS + story.dice.below(SPREAD_SECONDS * SECOND);
        story.wrap = wrap(&mut story.dice);
        converse(&mut story);
    }
    let mut frames = story.frames;
    frames.sort_by_key(|frame| frame.micros); // stable: equal times stay in the order they were said
    let mut dice = story.dice;
    add_noise(&mut frames, &mut dice);
    bend_time(&mut frames, &mut dice);
    frames
}

fn wrap(dice: &mut Dice) -> Wrap {
    match dice.below(20) {
        0 | 1 => Wrap::Vlan(7),
        2 => Wrap::QinQ(100, 7),
        3 => Wrap::Gre,
        4 | 5 => Wrap::Vxlan(42),
        _ => Wrap::Plain,
    }
}

fn ends(dice: &mut Dice, port: u16) -> Ends {
    let source = 1024 + dice.below(60_000) as u16;
    let (client, server) = (dice.below(2_000) as u16, dice.below(60) as u16);
    let pair: (IpAddr, IpAddr) = if dice.one_in(8) {
        let six = |net: u16, host: u16| Ipv6Addr::new(net, 0xdb8, 0x66, 0, 0, 0, 0, host).into();
        (six(0xfd00, client), six(0x2001, server))
    } else {
        let [high, low] = client.to_be_bytes();
        (Ipv4Addr::new(10, 77, high, low).into(), Ipv4Addr::new(203, 0, 113, server as u8).into())
    };
    Ends { from: (pair.0, source), to: (pair.1, port) }
}

fn converse(story: &mut Story) {
    match story.dice.below(20) {
        0..=4 => name_asked(story),
        5 => name_in_fragments(story),
        6 => names_over_tcp(story),
        7..=9 => web(story, Manner::Whole),
        10 => web(story, Manner::MidStream),
        11 => web(story, Manner::OneWay),
        12 => web(story, Manner::Gap),
        13 | 14 => hello(story),
        15 => knock(story),
        16 => port_used_again(story, 0),
        17 => port_used_again(story, LONG_SECONDS),
        18 => never_whole(story),
        _ => babble(story),
    }
}

// --- names

fn answer(name: &str, id: u16, address: [u8; 4]) -> Vec<u8> {
    let mut out = wire::question(name, id);
    out[2..4].copy_from_slice(&[0x81, 0x80]);
    out[7] = 1;
    out.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    out.extend_from_slice(&address);
    out
}

fn name_asked(story: &mut Story) {
    let (name, id) = (story.dice.pick(&NAMES), story.dice.roll() as u16);
    let ends = ends(&mut story.dice, 53);
    story.udp(ends, &wire::question(name, id));
    if !story.dice.one_in(4) {
        let last = story.dice.below(60) as u8;
        story.udp(ends.turned(), &answer(name, id, [203, 0, 113, last]));
    }
}

/// A datagram in fragments: in order, backwards, or overlapping with other bytes where it overlaps.
fn name_in_fragments(story: &mut Story) {
    let (name, id) = (story.dice.pick(&NAMES), story.dice.roll() as u16);
    let ends = ends(&mut story.dice, 53);
    let mut pieces = pieces_of(ends, &wire::udp(ends, &wire::question(name, id)), id);
    match story.dice.below(3) {
        0 => {}
        1 => pieces.reverse(),
        _ => {
            let other = story.dice.pick(&NAMES);
            let twin = pieces_of(ends, &wire::udp(ends, &wire::question(other, id)), id);
            let at = story.dice.below(pieces.len() as u64) as usize;
            pieces.insert(at, twin[at.min(twin.len() - 1)].clone());
        }
    }
    pieces.iter().for_each(|piece| story.say(piece));
}

fn pieces_of(ends: Ends, datagram: &[u8], id: u16) -> Vec<Packet> {
    let last = datagram.len().div_ceil(16) - 1;
    let piece = |(at, bytes)| wire::fragment(ends, 17, id, at * 16, at < last, bytes);
    datagram.chunks(16).enumerate().map(piece).collect()
}

/// A first fragment without the rest, or a rest without its first.
fn never_whole(story: &mut Story) {
    let ends = ends(&mut story.dice, 53);
    let id = story.dice.roll() as u16;
    let pieces = pieces_of(ends, &wire::udp(ends, &wire::question("c2.bad.example", id)), id);
    let missing = story.dice.below(pieces.len() as u64) as usize;
    for (_, piece) in pieces.iter().enumerate().filter(|(at, _)| *at != missing) {
        story.say(piece);
    }
}

fn names_over_tcp(story: &mut Story) {
    let ends = ends(&mut story.dice, 53);
    let mut asked = Vec::new();
    for _ in 0..1 + story.dice.below(3) {
        let message = wire::question(story.dice.pick(&NAMES), 7);
        asked.extend_from_slice(&(message.len() as u16).to_be_bytes());
        asked.extend_from_slice(&message);
    }
    connect(story, ends, 0);
    stream(story, ends, 1, &asked);
    close(story, ends, 1 + asked.len() as u32);
}

// --- connections

/// Sequence numbers wrap in some flows: the client's first one is near the end of the range.
fn initial(ends: Ends, salt: u32) -> u32 {
    u32::MAX - u32::from(ends.from.1 % 64) - salt
}

fn connect(story: &mut Story, ends: Ends, salt: u32) {
    let first = initial(ends, salt);
    story.tcp(ends, first, 0, SYN, b"");
    story.tcp(ends.turned(), 1_000, first.wrapping_add(1), SYN | ACK, b"");
    story.tcp(ends, first.wrapping_add(1), 1_001, ACK, b"");
}

/// The client's bytes from `offset` on, in segments of any length, out of order and doubled now and then.
fn stream(story: &mut Story, ends: Ends, offset: u32, bytes: &[u8]) {
    let mut segments = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let to = (at + 1 + story.dice.below(60) as usize).min(bytes.len());
        segments.push((at, &bytes[at..to]));
        at = if story.dice.one_in(6) { at + (to - at).div_ceil(2) } else { to }; // half of it comes again
    }
    if story.dice.one_in(3) {
        story.dice.shuffle(&mut segments);
    }
    if story.dice.one_in(4) {
        let again = story.dice.pick(&segments);
        segments.push(again);
    }
    let base = initial(ends, 0).wrapping_add(offset);
    for (at, piece) in segments {
        story.tcp(ends, base.wrapping_add(at as u32), 1_001, PUSH_ACK, piece);
    }
}

fn close(story: &mut Story, ends: Ends, sent: u32) {
    let sequence = initial(ends, 0).wrapping_add(sent);
    match story.dice.below(4) {
        0 => story.tcp(ends, sequence, 1_001, RST, b""),
        1 => {} // left open
        _ => {
            story.tcp(ends, sequence, 1_001, FIN | ACK, b"");
            story.tcp(ends.turned(), 1_001, sequence.wrapping_add(1), FIN | ACK, b"");
        }
    }
}

#[derive(PartialEq, Eq)]
enum Manner {
    Whole,
    MidStream,
    OneWay,
    Gap,
}

fn web(story: &mut Story, manner: Manner) {
    let ends = ends(&mut story.dice, 80);
    let target = story.dice.pick(&["/", "/gate.php?id=7", "/gate.php?id=70", "/drop.exe"]);
    let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: crafted\r\n\r\n", story.dice.pick(&NAMES));
    if manner != Manner::MidStream {
        connect(story, ends, 0);
    }
    let lost = if manner == Manner::Gap { story.dice.below(40) as usize } else { 0 };
    stream(story, ends, 1 + lost as u32, &request.as_bytes()[lost..]);
    if manner != Manner::OneWay {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY.len());
        let acknowledged = initial(ends, 0).wrapping_add(1 + request.len() as u32);
        let reply = [head.as_bytes(), BODY].concat();
        let (one, two) = reply.split_at(20 + story.dice.below(40) as usize);
        story.tcp(ends.turned(), 1_001, acknowledged, PUSH_ACK, one);
        story.tcp(ends.turned(), 1_001 + one.len() as u32, acknowledged, PUSH_ACK, two);
    }
    close(story, ends, 1 + request.len() as u32);
}

/// A TLS 1.2 hello with a server name (RFC 6066 section 3), sometimes over two records.
fn client_hello(name: &str, records: usize) -> Vec<u8> {
    let length = |n: usize| (n as u16).to_be_bytes();
    let list = [&[0][..], &length(name.len()), name.as_bytes()].concat();
    let server_name = [&[0, 0][..], &length(list.len() + 2), &length(list.len()), &list].concat();
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    let extensions = [&server_name[..], &groups].concat();
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    body.extend_from_slice(&length(extensions.len()));
    body.extend_from_slice(&extensions);
    let message = [&[1, 0][..], &length(body.len()), &body].concat();
    let per_record = message.len().div_ceil(records);
    message.chunks(per_record).flat_map(|piece| [&[22, 3, 1][..], &length(piece.len()), piece].concat()).collect()
}

fn hello(story: &mut Story) {
    let ends = ends(&mut story.dice, 443);
    let records = 1 + story.dice.below(2) as usize;
    let said = client_hello(story.dice.pick(&NAMES), records);
    connect(story, ends, 0);
    stream(story, ends, 1, &said);
    close(story, ends, 1 + said.len() as u32);
}

fn knock(story: &mut Story) {
    let port = story.dice.below(1_024) as u16;
    let ends = ends(&mut story.dice, port);
    story.tcp(ends, 1, 0, SYN, b"");
    if story.dice.one_in(2) {
        story.tcp(ends.turned(), 0, 2, RST | ACK, b"");
    }
}

/// The same ends twice, `pause` seconds apart, with other sequence numbers and another name.
fn port_used_again(story: &mut Story, pause: u64) {
    let ends = ends(&mut story.dice, 443);
    let first = client_hello(story.dice.pick(&NAMES), 1);
    connect(story, ends, 0);
    stream(story, ends, 1, &first);
    if story.dice.one_in(2) {
        close(story, ends, 1 + first.len() as u32);
    }
    story.now += pause * SECOND;
    let second = client_hello(story.dice.pick(&NAMES), 1);
    let base = initial(ends, 1_000_000);
    connect(story, ends, 1_000_000);
    story.tcp(ends, base.wrapping_add(1), 1_001, PUSH_ACK, &second);
}

fn babble(story: &mut Story) {
    let port = story.dice.below(65_536) as u16;
    let ends = ends(&mut story.dice, port);
    for _ in 0..1 + story.dice.below(3) {
        let bytes: Vec<u8> = (0..story.dice.below(90)).map(|_| story.dice.roll() as u8).collect();
        story.udp(ends, &bytes);
    }
}

// --- what happens to a capture as a whole

/// ARP, random bytes, frames cut by the snap length, bits that flipped.
fn add_noise(frames: &mut Vec<Frame>, dice: &mut Dice) {
    let mut noisy = Vec::with_capacity(frames.len() + frames.len() / 50);
    for mut frame in frames.drain(..) {
        match dice.below(200) {
            0 => noisy.push(Frame { micros: frame.micros, bytes: arp(), wire_bytes: 42 }),
            1 => {
                let bytes: Vec<u8> = (0..dice.below(80)).map(|_| dice.roll() as u8).collect();
                noisy.push(Frame { micros: frame.micros, wire_bytes: bytes.len() as u32, bytes });
            }
            2 => frame.bytes.truncate(dice.below(frame.bytes.len() as u64) as usize),
            3 => {
                let at = dice.below(frame.bytes.len() as u64) as usize;
                frame.bytes[at] ^= 1 << dice.below(8);
            }
            _ => {}
        }
        noisy.push(frame);
    }
    *frames = noisy;
}

fn arp() -> Vec<u8> {
    let mut out = vec![0xff; 6];
    out.extend_from_slice(&[2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    out.resize(42, 0);
    out
}

/// The clock falls back by five seconds, then by a day, recovers, and single frames come from other decades.
fn bend_time(frames: &mut [Frame], dice: &mut Dice) {
    let count = frames.len();
    for (at, frame) in frames.iter_mut().enumerate() {
        frame.micros -= match at * 10 / count {
            3 => 5 * SECOND,
            5 | 6 => 86_400 * SECOND,
            _ => 0,
        };
        match dice.below(20_000) {
            0 => frame.micros = 2_840_140_800 * SECOND, // 2060
            1 => frame.micros = 31_536_000 * SECOND,    // 1971
            _ => {}
        }
    }
}

// --- tests

fn replay<'a>(folder: &'a Path, capture: &[u8], format: &str) -> Replay<'a> {
    let place = folder.join(format);
    std::fs::create_dir_all(&place).expect("a folder");
    std::fs::write(place.join("hard.pcap"), capture).expect("a capture");
    std::fs::write(folder.join("indicators.yaml"), indicators()).expect("indicators");
    let limits = [format!("limits.flows_max={FLOWS_MAX}"), "limits.reassembly_max=1MiB".to_string()];
    let options = limits.into_iter().flat_map(|limit| ["--set".to_string(), limit]).collect();
    Replay { folder, captures: vec![place.join("hard.pcap")], rules: Some("indicators.yaml".into()), options }
}

#[test]
fn what_is_said_of_hard_traffic_depends_on_nothing_but_the_traffic() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames = frames(2);
    let hard = replay(folder.path(), &wire::pcap(&frames), "pcap");
    let first = hard.run(1, 64).expect("a replay");
    assert!(binary::lines(&first.alerts).expect("alerts").len() > 500, "too few alerts to prove anything");
    assert_ne!(binary::balanced(&first.stats), Ok(0));
    for (workers, batch) in binary::schedules() {
        let run = hard.run(workers, batch).expect("a replay");
        binary::balanced(&run.stats).expect("books that balance");
        for (what, one, other) in [("alerts", &first.alerts, &run.alerts), ("events", &first.events, &run.events)] {
            let difference = binary::difference(what, one, other);
            assert!(difference.is_none(), "{workers} workers, batches of {batch}: {}", difference.unwrap_or_default());
        }
    }
    for (format, bytes) in
        [("pcapng", wire::pcapng(&frames)), ("big-endian", wire::pcap_big_endian_nanoseconds(&frames))]
    {
        let run = replay(folder.path(), &bytes, format).run(2, 64).expect(format);
        let difference = binary::difference("alerts", &first.alerts, &run.alerts);
        assert!(difference.is_none(), "{format}: {}", difference.unwrap_or_default());
    }
}

#[test]
fn a_seed_gives_the_same_capture_again_and_another_seed_another() {
    assert!(hard(2) == hard(2));
    assert!(hard(2) != hard(3));
}

#[test]
fn crafted_packets_are_packets_to_an_independent_reader() {
    let frames = frames(2);
    let read = |frame: &&Frame| etherparse::SlicedPacket::from_ethernet(&frame.bytes).is_ok();
    let readable = frames.iter().filter(read).count();
    assert!(readable * 100 > frames.len() * 98, "{readable} of {}", frames.len());
    assert!(readable < frames.len(), "nothing is broken");
}
