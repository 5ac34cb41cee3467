//! The flow room as packets find it: frames in, lines out, one a step.

#[path = "floods.rs"]
mod floods;

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::capture::{Frame, Link};
use crate::decode::{Fragments, decode};
use crate::limits::{CONVERSATIONS_AT_ONCE_MAX, SEGMENTS_ODD_MAX, WAITING_SEGMENTS_MAX, WINDOW_BYTES_MAX};
use crate::observable::{Form, Observations};
use crate::protocol::Digests;
use crate::time::Span;

const GET: &str = "GET /a HTTP/1.1\r\nHost: h.test\r\n\r\n";
const ASKED: &str = "http client h.test /a";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Both begin shortly before sequence numbers start again.
const CLIENT_ISN: u32 = u32::MAX - 9;
const SERVER_ISN: u32 = u32::MAX - 19;

type End = (Ipv4Addr, u16);
const CLIENT: End = (Ipv4Addr::new(10, 0, 0, 9), 50_000);
const SERVER: End = (Ipv4Addr::new(10, 0, 0, 2), 80);

/// A packet, as a sentence: `client(1).says(GET)`, `server(0).syn().acks(1)`.
#[derive(Clone, Debug)]
struct Said {
    from: End,
    to: End,
    protocol: u8,
    seq: u32,
    ack: u32,
    flags: u8,
    bytes: Vec<u8>,
    wrap: Wrap,
}

/// What a packet travels in.
#[derive(Clone, Copy, Debug)]
enum Wrap {
    Plain,
    Vlan(u16),
    Vxlan(u8),
    Gre(End, End),
}

fn between(from: End, to: End) -> Said {
    Said { from, to, protocol: 6, seq: 0, ack: 0, flags: 0, bytes: Vec::new(), wrap: Wrap::Plain }
}

/// What the client sends at this place of its stream; 0 is its SYN's.
fn client(at: usize) -> Said {
    Said { seq: CLIENT_ISN.wrapping_add(at as u32), ..between(CLIENT, SERVER) }
}

/// What the server sends.
fn server(at: usize) -> Said {
    Said { seq: SERVER_ISN.wrapping_add(at as u32), ..between(SERVER, CLIENT) }
}

fn udp(from: End, to: End, bytes: &[u8]) -> Said {
    Said { protocol: 17, bytes: bytes.to_vec(), ..between(from, to) }
}

fn icmp(from: End, to: End, kind: u8, code: u8) -> Said {
    Said { protocol: 1, bytes: vec![kind, code, 0, 0, 0, 1, 0, 1], ..between(from, to) }
}

impl Said {
    fn flag(self, flag: u8) -> Said {
        Said { flags: self.flags | flag, ..self }
    }

    fn syn(self) -> Said {
        self.flag(tcp_flag::SYN)
    }

    fn fin(self) -> Said {
        self.flag(tcp_flag::FIN)
    }

    fn rst(self) -> Said {
        self.flag(tcp_flag::RST)
    }

    fn says(self, bytes: impl AsRef<[u8]>) -> Said {
        Said { bytes: bytes.as_ref().to_vec(), ..self }.flag(tcp_flag::ACK)
    }

    /// Has seen all before this place of the other's stream.
    fn acks(self, at: usize) -> Said {
        let isn = if self.from == CLIENT { SERVER_ISN } else { CLIENT_ISN };
        Said { ack: isn.wrapping_add(at as u32), ..self }.flag(tcp_flag::ACK)
    }

    fn on(self, wrap: Wrap) -> Said {
        Said { wrap, ..self }
    }

    /// Numbered as if its sender (and who acknowledges it) had begun this much further on.
    fn moved(self, seq: u32, ack: u32) -> Said {
        Said { seq: self.seq.wrapping_add(seq), ack: self.ack.wrapping_add(ack), ..self }
    }

    fn transport(&self) -> Vec<u8> {
        let ports = [self.from.1.to_be_bytes(), self.to.1.to_be_bytes()].concat();
        let head = match self.protocol {
            6 => [&ports[..], &self.seq.to_be_bytes(), &self.ack.to_be_bytes(), &[0x50, self.flags, 1, 0, 0, 0, 0, 0]]
                .concat(),
            17 => [&ports[..], &(self.bytes.len() as u16 + 8).to_be_bytes(), &[0, 0]].concat(),
            _ => Vec::new(),
        };
        [head, self.bytes.clone()].concat()
    }

    fn frame(&self) -> Vec<u8> {
        let inner = ipv4(self.protocol, self.from.0, self.to.0, &self.transport());
        match self.wrap {
            Wrap::Plain => ethernet(0x0800, &inner),
            Wrap::Vlan(id) => ethernet(0x8100, &[&id.to_be_bytes()[..], &[8, 0], &inner].concat()),
            Wrap::Gre(from, to) => ethernet(0x0800, &ipv4(47, from.0, to.0, &[&[0, 0, 8, 0], &inner[..]].concat())),
            Wrap::Vxlan(network) => {
                let header = [8, 0, 0, 0, 0, 0, network, 0];
                let outer = udp(CLIENT, (SERVER.0, 4789), &[&header[..], &ethernet(0x0800, &inner)].concat());
                outer.frame()
            }
        }
    }
}

fn ethernet(kind: u16, bytes: &[u8]) -> Vec<u8> {
    [&[2; 12], &kind.to_be_bytes()[..], bytes].concat()
}

fn ipv4(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16 + 20).to_be_bytes();
    let head = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0];
    [&head[..], &from.octets(), &to.octets(), bytes].concat()
}

/// A sensor's flows on a link, and what was said of them.
struct Tap {
    flows: Flows,
    fragments: Fragments,
    trail: Trail,
    number: u64,
    now: Timestamp,
    told: Vec<String>,
    views: Vec<FlowView>,
    /// By which port all comes.
    port: u8,
}

impl Tap {
    fn new() -> Tap {
        Tap::with(1 << 20, 64 << 20)
    }

    fn with(flows_max: usize, reassembly_bytes_max: usize) -> Tap {
        let digests = Digests { sha256: true, ..Digests::default() };
        let wants = Wants { digests, events: true, answers: true, ja4: true, certificates: true };
        let settings = Settings { flows_max, reassembly_bytes_max, key: (1, 2), wants };
        Tap {
            flows: Flows::new(settings),
            fragments: Fragments::new((1, 2)),
            trail: Trail::default(),
            number: 0,
            now: Timestamp::from_parts(1_795_262_400, 0),
            told: Vec::new(),
            views: Vec::new(),
            port: 0,
        }
    }

    fn hears(said: impl IntoIterator<Item = Said>) -> Tap {
        let mut tap = Tap::new();
        tap.all(said);
        tap
    }

    fn all(&mut self, said: impl IntoIterator<Item = Said>) {
        said.into_iter().for_each(|one| self.see(&one));
    }

    fn see(&mut self, said: &Said) {
        self.see_only(said, usize::MAX);
    }

    /// Sees a frame of which the capture keeps so many bytes.
    fn see_only(&mut self, said: &Said, kept: usize) {
        let bytes = said.frame();
        self.number += 1;
        self.now = self.now.moved(Span::nanos(1_000_000));
        let kept = &bytes[..kept.min(bytes.len())];
        let (number, length) = (self.number, bytes.len() as u32);
        let frame = Frame { number, time: self.now, bytes: kept, length, link: Link::ETHERNET };
        let packet = decode(&frame, &mut self.fragments).expect("a packet");
        let ticket = self.flows.ticket(&packet, None).by(self.port);
        let payload = packet.payload(kept, &self.fragments);
        let moment = Moment { packet: number, time: self.now };
        self.flows.follow(moment, &packet, &ticket, payload, &mut self.trail);
        let _books_that_balance = self.kept();
        self.tell();
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self.now.moved(Span::seconds(seconds));
    }

    fn sweep(&mut self) {
        for epoch in 0..SWEEP_EPOCHS {
            self.flows.find_idle(epoch);
            while self.flows.end_idle(2, u64::MAX, Ended::Timeout, &mut self.trail) > 0 {}
        }
        self.tell();
    }

    fn tell(&mut self) {
        let trail = std::mem::take(&mut self.trail);
        for step in &trail.steps {
            match *step {
                Step::Began { .. } | Step::Knocked { .. } => self.told.push("began".into()),
                Step::Observed { first, last } => {
                    self.told.extend((first..last).map(|at| line(&trail.observations, at as usize)));
                }
                Step::Ended { scene, how } => {
                    let flow = trail.scenes[scene as usize].flow;
                    self.told.push(format!("{} {}", how.name(), flow.stage.name()));
                    self.views.push(flow);
                }
                Step::Lapsed { knock, how } => {
                    let flow = trail.knocks[knock as usize].scene().flow;
                    self.told.push(format!("{} {}", how.name(), flow.stage.name()));
                    self.views.push(flow);
                }
            }
        }
    }

    /// The only flow as it stands.
    fn flow(&self) -> FlowView {
        let mut all = (0..SHARDS).flat_map(|shard| self.flows.open_in(shard)).map(|scene| scene.flow);
        let flow = all.next().expect("a flow");
        assert!(all.next().is_none(), "more than one flow");
        flow
    }

    fn counts(&self) -> StreamCounts {
        self.flows.stream_counts()
    }

    fn kept(&self) -> (usize, usize, usize) {
        let kept = self.flows.shards.iter().map(|shard| shard.streams.kept());
        kept.fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2))
    }

    /// The capture ends: nothing may be left.
    fn end(&mut self) -> Vec<String> {
        self.flows.find_all();
        while self.flows.end_idle(3, u64::MAX, Ended::Shutdown, &mut self.trail) > 0 {}
        self.tell();
        assert_eq!((self.kept(), self.flows.open()), ((0, 0, 0), 0), "nothing stays behind");
        std::mem::take(&mut self.told)
    }

    /// What was observed, without beginnings and ends.
    fn seen(&mut self) -> Vec<String> {
        let mut told = self.end();
        told.retain(|line| ["http", "fileinfo", "dns", "tls"].contains(&line.split(' ').next().unwrap_or_default()));
        told
    }
}

/// `http client h.test /a`: the event, who spoke, and what tells it from others.
fn line(out: &Observations, at: usize) -> String {
    let observation = &out.list()[at];
    let mut line = format!("{} {:?}", observation.event.name, observation.side).to_lowercase();
    let names = ["http.hostname", "http.status", "dns.rrname", "fileinfo.state", "fileinfo.sha256"];
    for seen in out.fields(observation) {
        let told = names.contains(&seen.field.name) || (seen.field.name == "http.url" && seen.field.kinds.is_empty());
        let value = match seen.field.form {
            Form::Number | Form::Flag => out.number(seen).to_string(),
            Form::Text | Form::Address => out.raw(seen).escape_ascii().to_string(),
        };
        if told {
            line.push_str(&format!(" {value}"));
        }
    }
    line
}

fn handshake() -> Vec<Said> {
    vec![client(0).syn(), server(0).syn().acks(1), client(1).acks(1)]
}

/// A connection in which all is well.
fn web() -> Vec<Said> {
    let (asked, answered) = (1 + GET.len(), 1 + ANSWER.len());
    let mut all = handshake();
    all.push(client(1).says(GET).acks(1));
    all.push(server(1).says(ANSWER).acks(asked));
    all.push(server(answered).fin().acks(asked));
    all.push(client(asked).fin().acks(answered + 1));
    all
}

fn answered() -> Vec<String> {
    vec![ASKED.into(), "http server h.test /a 200".into(), format!("fileinfo server h.test /a CLOSED {HELLO}")]
}

/// The client's stream in pieces `from..to`, after a handshake.
fn pieces(of: &str, cuts: &[(usize, usize)]) -> Vec<Said> {
    let mut all = handshake();
    all.extend(cuts.iter().map(|&(from, to)| client(1 + from).says(&of[from..to])));
    all
}

// --- bytes in order

#[test]
fn a_whole_connection_is_told_from_its_first_packet_to_its_end() {
    let mut tap = Tap::hears(web());
    let mut told = vec!["began".to_string()];
    told.extend(answered());
    told.push("shutdown data".into());
    let flow = tap.flow();
    assert_eq!((flow.client.to_string(), flow.server_port), ("10.0.0.9".to_string(), 80));
    assert_eq!((flow.packets, flow.payload), ([4, 3], [GET.len() as u64, ANSWER.len() as u64]));
    assert_eq!(tap.end(), told);
}

#[test]
fn bytes_in_order_are_read_where_they_lie() {
    let half = ANSWER.len() - 2;
    let mut tap = Tap::hears(handshake());
    tap.see(&client(1).says(GET));
    tap.see(&server(1).says(&ANSWER[..half]));
    tap.see(&server(1 + half).says(&ANSWER[half..]));
    assert_eq!(tap.kept(), (0, 0, 1), "nothing was copied");
    assert_eq!(tap.counts(), StreamCounts::default());
    assert_eq!(tap.seen(), answered());
}

#[test]
fn what_a_reader_leaves_is_offered_again_with_more_behind_it() {
    let mut tap = Tap::hears(pieces(GET, &[(0, 20)]));
    assert!(tap.kept().0 >= 20 && tap.kept().0 < 80);
    tap.see(&client(21).says(&GET[20..]));
    assert_eq!(tap.kept(), (0, 1, 1));
    assert_eq!(tap.seen(), [ASKED]);
}

#[test]
fn segments_out_of_order_wait_for_their_turn() {
    let mut tap = Tap::hears(pieces(GET, &[(20, 30), (5, 20), (30, GET.len())]));
    assert!(tap.told.len() == 1);
    tap.see(&client(1).says(&GET[..5]));
    assert_eq!(tap.counts(), StreamCounts { out_of_order: 3, ..StreamCounts::default() });
    assert_eq!(tap.kept().0, 0);
    assert_eq!(tap.seen(), [ASKED]);
}

#[test]
fn the_first_word_on_a_byte_stays() {
    let other = GET.replace("/a", "/b");
    let orders: [&[(&str, usize, usize)]; 4] = [
        &[(GET, 0, 8), (&other, 0, 20), (&other, 20, 33)],
        &[(GET, 2, 9), (&other, 0, 20), (GET, 20, 33)],
        &[(GET, 4, 7), (&other, 2, 33), (&other, 0, 33)],
        &[(GET, 5, 33), (&other, 3, 12), (&other, 0, 4)],
    ];
    assert_eq!(GET.len(), 33);
    for order in orders {
        let mut all = handshake();
        all.extend(order.iter().map(|&(text, from, to)| client(1 + from).says(&text[from..to])));
        assert_eq!(Tap::hears(all).seen(), [ASKED]);
    }
}

#[test]
fn data_in_a_syn_comes_before_the_rest() {
    let first = client(0).syn().says(&GET[..10]);
    let first = Said { flags: tcp_flag::SYN, ..first };
    let mut tap = Tap::hears([first, server(0).syn().acks(11), client(11).says(&GET[10..])]);
    assert_eq!(tap.seen(), [ASKED]);
}

// --- the end of a side

#[test]
fn a_fin_ahead_of_its_data_waits() {
    let mut all = handshake();
    let body = "HTTP/1.1 200 OK\r\n\r\nhello";
    all.extend([client(1).says(GET), server(20).says(&body[19..]).fin(), server(1).says(&body[..19])]);
    let mut tap = Tap::hears(all);
    assert_eq!(tap.told[1..], answered(), "a body without a length ends with its side");
    tap.see(&client(1 + GET.len()).fin());
    tap.wait(11);
    tap.see(&client(1));
    assert_eq!(tap.told[4..], ["closed data", "began"]);
}

#[test]
fn what_comes_again_after_a_fin_changes_nothing() {
    let mut all = web();
    all.extend(web().into_iter().skip(3));
    let mut tap = Tap::hears(all);
    assert_eq!(tap.seen(), answered());
    assert_eq!(tap.counts(), StreamCounts::default());
}

#[test]
fn a_fin_that_its_sender_does_not_keep_to_costs_no_byte() {
    let mut all = handshake();
    all.extend([client(1).fin(), client(1).says(GET), client(1).fin()]);
    assert_eq!(Tap::hears(all).seen(), [ASKED]);
}

// --- holes

#[test]
fn a_hole_is_believed_once_it_is_acknowledged_and_enough_waits_behind_it() {
    let second = GET.replace("/a", "/b");
    let mut tap = Tap::hears(handshake());
    let from = 1 + GET.len(); // the first request is lost
    tap.see(&client(from).says(&second[..10]));
    tap.see(&client(from + 10).says(&second[10..20]));
    tap.see(&server(1).acks(from + 20));
    assert_eq!(tap.counts().gaps, 0, "two segments are not enough");
    tap.see(&client(from + 20).says(&second[20..]));
    assert_eq!(tap.counts().gaps, 0, "the last is not acknowledged together with a hole");
    tap.see(&server(1).acks(from - 1));
    assert_eq!(tap.counts().gaps, 0, "acknowledged up to the hole only");
    tap.see(&server(1).acks(from + second.len()));
    assert_eq!((tap.counts().gaps, tap.counts().gap_bytes), (1, GET.len() as u64));
    assert_eq!(tap.counts().unseen_bytes, GET.len() as u64, "it was received, and did not come past here");
    assert_eq!(tap.flow().missing, [GET.len() as u64, 0]);
    assert_eq!(tap.seen(), ["http client h.test /b"]);
}

#[test]
fn at_a_flows_end_what_waits_is_told_with_its_holes_and_who_asks_is_heard_first() {
    let ends = [(CLIENT, SERVER), (SERVER, CLIENT)];
    for (asks, answers) in ends {
        let turned = |said: Said| {
            if said.from == CLIENT {
                Said { from: asks, to: answers, ..said }
            } else {
                Said { from: answers, to: asks, ..said }
            }
        };
        let all = [client(0).syn(), server(0).syn().acks(1), server(3).says(ANSWER).fin(), client(4).says(GET)];
        let mut tap = Tap::hears(all.map(turned));
        assert_eq!(tap.seen(), answered());
        assert_eq!((tap.counts().gaps, tap.counts().gap_bytes), (2, 2 + 3));
    }
}

#[test]
fn a_fin_behind_a_hole_tells_of_the_hole() {
    let mut all = handshake();
    all.extend([client(1).says(GET), server(101).fin()]);
    let mut tap = Tap::hears(all);
    tap.end();
    assert_eq!(tap.views[0].missing, [0, 100]);
}

#[test]
fn without_room_all_holes_before_a_segment_are_given_up_and_what_waited_is_told() {
    let mut tap = Tap::with(1 << 20, 1 << 20); // 4 KiB a shard
    tap.all(handshake());
    let request = |at: usize| GET.replace("/a", &format!("/{at}"));
    for at in 1..=40 {
        tap.see(&client(1 + at * 100).says(request(at)));
    }
    assert!(tap.counts().reassembly_full > 0);
    tap.see(&client(1).says(GET));
    let told: Vec<String> = (1..=40).map(|at| format!("http client h.test /{at}")).collect();
    assert_eq!(tap.seen(), told, "in order, none lost");
    let sent: u64 = (1..=40).map(|at| request(at).len() as u64).sum();
    assert_eq!(tap.counts().gap_bytes, 4000 + request(40).len() as u64 - sent, "holes and nothing else");
}

#[test]
fn too_many_waiting_segments_open_the_first_hole() {
    let mut tap = Tap::hears(handshake());
    for at in 0..WAITING_SEGMENTS_MAX {
        tap.see(&client(3 + 2 * at).says("x"));
    }
    assert_eq!(tap.counts().gaps, 0);
    tap.see(&client(3 + 2 * WAITING_SEGMENTS_MAX).says("x"));
    assert_eq!((tap.counts().gaps, tap.counts().gap_bytes), (1, 2));
    assert_eq!(tap.counts().unseen_bytes, 0, "nobody says that it was received");
}

#[test]
fn the_same_segment_a_thousand_times_opens_no_hole() {
    let mut tap = Tap::hears(handshake());
    for _ in 0..2 * WAITING_SEGMENTS_MAX {
        tap.see(&client(11).says(&GET[10..]));
        tap.see(&client(99).fin());
    }
    assert_eq!(tap.counts().gaps, 0);
    tap.see(&client(1).says(&GET[..10]));
    assert_eq!(tap.seen(), [ASKED]);
}

#[test]
fn a_side_that_never_ends_its_line_is_given_up_and_counted() {
    let mut tap = Tap::hears(pieces(GET, &[(0, 20)]));
    for at in 0..WINDOW_BYTES_MAX / 1000 + 2 {
        tap.see(&client(21 + at * 1000).says([b'x'; 1000]));
    }
    assert_eq!((tap.counts().lost, tap.kept()), (1, (0, 0, 0)));
}

// --- bytes that the capture did not keep

#[test]
fn bytes_beyond_the_snap_length_are_missing_once() {
    let mut all = handshake();
    all.push(client(1).says(GET));
    let mut tap = Tap::hears(all);
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}", "x".repeat(500));
    for _ in 0..3 {
        tap.see_only(&server(1).says(&long).fin(), 54 + 100);
    }
    let left = long.len() as u64 - 100;
    assert_eq!((tap.counts().gaps, tap.counts().gap_bytes), (1, left));
    assert_eq!(tap.flow().missing, [0, left]);
    let told = tap.end();
    assert!(told[3].starts_with("fileinfo server h.test /a TRUNCATED"), "{told:?}");
}

#[test]
fn a_cut_segment_that_waits_keeps_its_place() {
    let mut tap = Tap::hears(handshake());
    tap.see_only(&client(1 + GET.len()).says(format!("{GET}{}", "x".repeat(60))), 54 + GET.len());
    tap.see(&client(1).says(GET));
    tap.see(&client(1 + 2 * GET.len() + 60).says(GET));
    assert_eq!(tap.seen(), [ASKED; 3]);
    assert_eq!(tap.counts().gap_bytes, 60);
}

// --- segments from elsewhere

#[test]
fn a_segment_far_away_is_ignored_until_several_say_the_same() {
    let far = 1 << 30;
    let mut tap = Tap::hears(handshake());
    tap.see(&client(far).says(GET));
    tap.see(&client(1).says(GET));
    assert_eq!((tap.counts().odd, tap.counts().gaps), (1, 0));
    tap.see(&server(1).acks(far));
    for at in 0..usize::from(SEGMENTS_ODD_MAX) {
        tap.see(&client(far + at * GET.len()).says(GET.replace("/a", &format!("/{at}"))));
    }
    assert_eq!((tap.counts().odd, tap.counts().gaps), (4, 1));
    assert_eq!(tap.seen(), [ASKED, "http client h.test /2"]);
}

#[test]
fn far_segments_that_nobody_acknowledges_blind_no_one() {
    let mut tap = Tap::hears(handshake());
    for at in 0..100 {
        tap.see(&client((1 << 30) + at).says("noise"));
    }
    tap.see(&client(1).says(GET));
    assert_eq!((tap.counts().odd, tap.counts().gaps), (100, 0));
    assert_eq!(tap.seen(), [ASKED]);
}

#[test]
fn what_waited_before_a_stream_jumped_is_forgotten() {
    let mut tap = Tap::hears(handshake());
    tap.see(&client(50).says("never to be heard"));
    tap.see(&server(1).acks(1 << 30));
    for _ in 0..SEGMENTS_ODD_MAX {
        tap.see(&client(1 << 30).says(GET));
    }
    assert_eq!(tap.kept().0, 0);
    assert_eq!(tap.seen(), [ASKED]);
}

// --- who is who

#[test]
fn in_the_middle_of_a_connection_the_content_says_who_asks() {
    let mut tap = Tap::hears([server(1).says(ANSWER), client(1).says(GET)]);
    let flow = tap.flow();
    assert_eq!((flow.client_port, flow.server_port, flow.midstream), (50_000, 80, true));
    assert_eq!(tap.flows.counts(), Counts { began: 1, midstream: 1, ..Counts::default() });
    assert_eq!(tap.seen().len(), 3);

    let (one, other) = ((CLIENT.0, 40_000), (SERVER.0, 50_000)); // no port says who serves
    let mut tap = Tap::hears([Said { from: one, to: other, ..client(1).says(ANSWER) }]);
    assert_eq!(tap.flow().client_port, 50_000);
    tap.end();
    assert_eq!(tap.flows.counts().one_way, 1);
}

#[test]
fn the_answer_to_a_syn_is_no_first_word() {
    let mut tap = Tap::hears([server(0).syn().acks(1), client(1).says(GET)]);
    assert_eq!((tap.flow().client_port, tap.flow().midstream), (50_000, false));
    assert_eq!(tap.seen(), [ASKED]);
}

#[test]
fn another_protocol_behind_a_greeting_is_recognised() {
    let mut all = handshake();
    all.extend([client(1).says([5, 1, 0]), server(1).says([5, 0]), client(4).says([5, 1, 0, 1, 9, 9, 9, 9, 0, 80])]);
    all.extend([server(3).says([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]), client(14).says(GET), server(13).says(ANSWER)]);
    assert_eq!(Tap::hears(all).seen(), answered());
}

#[test]
fn what_no_reader_knows_is_shunted_after_a_while() {
    let mut tap = Tap::hears(handshake());
    for at in 0..300 {
        tap.see(&client(1 + at * 4).says("\0\0\0\0"));
        tap.see(&server(1 + at * 4).says("\0\0\0\0"));
    }
    assert_eq!(tap.flow().payload, [1200, 1200]);
    assert_eq!((tap.counts(), tap.kept()), (StreamCounts::default(), (0, 0, 0)));
    assert_eq!(tap.end(), ["began", "shutdown data"]);
}

fn name_question() -> Vec<u8> {
    b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01".to_vec()
}

#[test]
fn a_name_first_seen_by_its_answer_was_asked_by_who_gets_it() {
    let resolver = (SERVER.0, 5300);
    let mut answer = name_question();
    answer[2] = 0x81;
    let mut tap = Tap::hears([udp(resolver, CLIENT, &answer), udp(CLIENT, resolver, &name_question())]);
    assert_eq!((tap.flow().client_port, tap.flow().server_port), (50_000, 5300));
    assert_eq!(tap.seen(), ["dns server a.test", "dns client a.test"]);
}

#[test]
fn datagrams_that_nobody_knows_are_shown_a_few_times_only() {
    let (one, other) = ((CLIENT.0, 4000), (SERVER.0, 5000));
    let mut tap = Tap::hears((0..DATAGRAMS_OFFERED_MAX).map(|_| udp(one, other, &[0xFF; 40])));
    tap.see(&udp(one, other, &name_question()));
    assert_eq!(tap.end(), ["began", "shutdown attempted"]);
}

// --- how far it went

fn stage_of(said: impl IntoIterator<Item = Said>) -> &'static str {
    Tap::hears(said).flow().stage.name()
}

#[test]
fn a_stage_says_how_far_a_connection_went() {
    let shaken = |last: Said| handshake().into_iter().chain([last]);
    assert_eq!(stage_of([client(0).syn()]), "attempted");
    assert_eq!(stage_of([client(0).syn(), server(0).rst().acks(1)]), "refused");
    assert_eq!(stage_of([client(0).syn(), server(0).syn().acks(1), client(1).rst()]), "attempted", "a scan");
    assert_eq!(stage_of(handshake()), "established");
    assert_eq!(stage_of(shaken(server(1).rst().acks(1))), "established", "accepted, then thrown out");
    assert_eq!(stage_of(shaken(client(1).says("\0\0"))), "data");
}

#[test]
fn a_reset_with_a_message_and_a_syn_with_bytes_are_no_data() {
    let message = server(0).says("go away").rst();
    assert_eq!(stage_of([client(0).syn(), message]), "refused");
    let bytes = Said { bytes: vec![0; 9], ..client(0).syn() };
    assert_eq!(stage_of([bytes]), "attempted");
}

#[test]
fn a_late_reset_of_a_connection_not_seen_refuses_nothing() {
    assert_eq!(stage_of([server(77).rst()]), "attempted");
}

// --- one connection after another

#[test]
fn after_a_close_another_syn_begins_another_flow() {
    let again = |said: Said| said.moved(70_000, 0);
    let mut all = web();
    all.push(client(0).syn()); // a late copy of the first
    all.push(again(client(0).syn()));
    all.push(again(client(1).says(GET.replace("/a", "/b"))));
    let told = Tap::hears(all).end();
    assert_eq!(told[4..], ["reused data", "began", "http client h.test /b", "shutdown data"]);
}

#[test]
fn a_syn_alone_ends_no_open_connection_but_an_answered_one_does() {
    let mut all = handshake();
    all.extend([client(1).says(&GET[..20]), client(0).syn().moved(1 << 29, 0), client(21).says(&GET[20..])]);
    let mut tap = Tap::hears(all);
    assert_eq!(tap.told, ["began", ASKED]);
    tap.see(&server(0).syn().acks(1).moved(5, 1 << 29));
    tap.see(&client(1).says(GET).moved(1 << 29, 5));
    assert_eq!(tap.end()[2..], ["reused data", "began", ASKED, "shutdown data"]);
}

#[test]
fn copies_of_a_handshake_end_no_open_connection() {
    let mut all = handshake();
    all.push(client(1).says(&GET[..20]));
    all.extend(handshake());
    all.push(client(21).says(&GET[20..]));
    assert_eq!(Tap::hears(all).end(), ["began", ASKED, "shutdown data"]);
}

#[test]
fn of_several_syns_the_one_that_is_answered_counts() {
    let other = |said: Said| said.moved(1 << 30, 0);
    let answer = |first: bool| if first { server(0).syn().acks(1) } else { server(0).syn().acks(1).moved(0, 1 << 30) };
    for first in [true, false] {
        let data = if first { client(1).says(GET) } else { other(client(1).says(GET)) };
        let all = [client(0).syn(), other(client(0).syn()), answer(first), data];
        assert_eq!(Tap::hears(all).end(), ["began", ASKED, "shutdown data"]);
    }
    let answered_twice = server(0).syn().acks(1).moved(99, 1 << 30);
    let mut all = vec![client(0).syn(), server(0).syn().acks(1), other(client(0).syn()), answered_twice];
    all.extend([other(client(1).says(GET)), server(1).says(ANSWER).moved(99, 0)]);
    assert_eq!(Tap::hears(all).seen(), answered());
}

#[test]
fn where_one_side_is_seen_the_bytes_behind_a_syn_stand_for_its_answer() {
    let other = |said: Said| said.moved(1 << 30, 0);
    let silent = [client(0).syn(), other(client(0).syn()), other(client(1).says(GET))];
    assert_eq!(Tap::hears(silent).end(), ["began", ASKED, "shutdown data"]);
    let spoken = [client(0).syn(), client(1).says(GET), other(client(0).syn()), other(client(1).says(GET))];
    assert_eq!(Tap::hears(spoken).end(), ["began", ASKED, "reused data", "began", ASKED, "shutdown data"]);
}

// --- time

#[test]
fn a_flow_ends_by_its_own_gap() {
    let open = || handshake().into_iter().chain([client(1).says("\0\0")]).collect::<Vec<_>>();
    let closed = || handshake().into_iter().chain([server(1).rst()]).collect();
    let asked = || vec![udp(CLIENT, SERVER, &[0; 9])];
    let answered = || vec![udp(CLIENT, SERVER, &[0; 9]), udp(SERVER, CLIENT, &[0; 9])];
    let rows: [(Vec<Said>, i64); 5] =
        [(vec![client(0).syn()], 60), (open(), 600), (closed(), 10), (asked(), 30), (answered(), 300)];
    for (all, seconds) in rows {
        for (silent, flows) in [(seconds - 1, 1), (seconds + 1, 2)] {
            let mut tap = Tap::hears(all.clone());
            tap.wait(silent);
            tap.see(&all[0]);
            assert_eq!(tap.flows.counts().began, flows, "{seconds} s, silent for {silent} s");
        }
    }
}

#[test]
fn one_odd_time_ends_nobody_elses_flow() {
    for jump in [-86_400, 40 * 365 * 86_400, i64::MAX / 2_000_000_000] {
        let mut tap = Tap::hears(pieces(GET, &[(0, 20)]));
        let before = tap.now;
        tap.wait(jump);
        tap.see(&udp((CLIENT.0, 7), (SERVER.0, 9), b"odd")); // the same pair, so the same shard
        tap.now = before;
        tap.sweep();
        tap.see(&client(21).says(&GET[20..]));
        assert_eq!(tap.end()[..3], ["began", "began", ASKED], "{jump} s");
    }
}

#[test]
fn a_connection_goes_on_when_the_clock_falls_back_by_a_day() {
    let mut tap = Tap::hears(pieces(GET, &[(0, 20)]));
    tap.wait(-86_400);
    tap.see(&client(21).says(&GET[20..]));
    tap.sweep();
    assert_eq!(tap.end(), ["began", ASKED, "shutdown data"]);
}

#[test]
fn sweeps_change_when_a_flow_is_told_to_be_over_and_nothing_else() {
    let run = |sweep_each: usize| {
        let mut tap = Tap::new();
        for at in 0..400 {
            let port = 1000 + (at * 7 % 40) as u16;
            let far = 60_000 * (at as u32 / 40);
            let said = between((CLIENT.0, port), SERVER);
            tap.see(&Said { seq: far, ..said.clone() }.syn());
            tap.see(&Said { seq: far + 1, ..said }.says(GET));
            tap.wait([1, 3, 20][at % 3]);
            if at % sweep_each == 0 {
                tap.sweep();
            }
        }
        let mut told = tap.seen();
        told.sort();
        let mut views: Vec<_> = tap.views.iter().map(|flow| format!("{flow:?}")).collect();
        views.sort();
        (told, views, tap.flows.counts())
    };
    let never = run(1000);
    assert_eq!(never, run(1));
    assert_eq!(never, run(17));
}

// --- room

#[test]
fn a_full_shard_gives_up_flows_without_data_first() {
    let mut tap = Tap::with(16 * SHARDS, 1 << 20);
    tap.all(pieces(GET, &[(0, 20)]));
    for port in 1..=2000 {
        let syn = Said { bytes: vec![1; 5], ..between((CLIENT.0, port), SERVER) };
        tap.see(&syn.syn());
    }
    assert_eq!((tap.flows.open(), tap.flows.counts().evicted), (16, 2001 - 16));
    tap.see(&client(21).says(&GET[20..]));
    assert_eq!(tap.seen(), [ASKED]);
}

// --- what makes a flow

#[test]
fn an_echo_and_its_reply_are_one_flow_whichever_is_seen_first() {
    let (ask, reply) = (icmp(CLIENT, SERVER, 8, 0), icmp(SERVER, CLIENT, 0, 0));
    for order in [[ask.clone(), reply.clone()], [reply, ask]] {
        let flow = Tap::hears(order).flow();
        assert_eq!(flow.packets, [1, 1]);
        let (source, kind, destination, code) = flow.endpoints(Side::Client);
        assert_eq!((source.to_string(), kind), ("10.0.0.9".to_string(), 8));
        assert_eq!((destination.to_string(), code), ("10.0.0.2".to_string(), 0));
    }
    assert_eq!(Tap::hears([icmp(CLIENT, SERVER, 8, 0), icmp(SERVER, CLIENT, 3, 1)]).flows.open(), 2);
}

#[test]
fn networks_that_use_the_same_addresses_are_told_apart() {
    let wraps = [Wrap::Plain, Wrap::Vlan(1), Wrap::Vlan(2), Wrap::Vxlan(1), Wrap::Vxlan(2)];
    let mut tap = Tap::new();
    for wrap in wraps {
        tap.all(web().into_iter().map(|said| said.on(wrap)));
    }
    assert_eq!(tap.flows.open(), wraps.len());
    assert_eq!(tap.seen().len(), wraps.len() * 3);
}

#[test]
fn both_directions_of_a_tunnel_are_one_flow() {
    let (here, there) = ((Ipv4Addr::new(192, 0, 2, 1), 0), (Ipv4Addr::new(192, 0, 2, 9), 0));
    let wrap = |said: Said| {
        if said.from == CLIENT { said.on(Wrap::Gre(here, there)) } else { said.on(Wrap::Gre(there, here)) }
    };
    let mut tap = Tap::hears(web().into_iter().map(wrap));
    assert_eq!(tap.flow().tunnel.map(|tunnel| (tunnel.name, tunnel.depth)), Some(("gre", 1)));
    tap.all(web().into_iter().map(|said| said.on(Wrap::Gre(here, (Ipv4Addr::new(192, 0, 2, 10), 0)))));
    assert_eq!(tap.flows.open(), 2);
}

// --- what begins behind something else

/// A client's hello that names nobody, in its record.
fn hello() -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, message.len() as u8][..], &message].concat()
}

/// Who says what: `(client, b"..")`.
type Turn<'a> = (fn(usize) -> Said, &'a [u8]);

/// What is seen when client and server say these, one after the other.
fn said_in_turn(parts: &[Turn<'_>]) -> Vec<String> {
    let (mut tap, mut places) = (Tap::hears(handshake()), [1, 1]);
    for (side, bytes) in parts {
        let who = usize::from(side(0).from == SERVER);
        tap.see(&side(places[who]).says(bytes).acks(places[1 - who]));
        places[who] += bytes.len();
    }
    tap.seen()
}

#[test]
fn tls_is_found_behind_the_greetings_of_others() {
    let hello = hello();
    let greetings: [&[Turn<'_>]; 6] = [
        &[
            (server, b"220 m ESMTP\r\n"),
            (client, b"EHLO a\r\n"),
            (server, b"250 STARTTLS\r\n"),
            (client, b"STARTTLS\r\n"),
        ],
        &[(client, b"<?xml version='1.0'?>"), (server, b"<stream>"), (client, b"<starttls/>"), (server, b"<proceed/>")],
        &[(client, b"\0\0\0\x08\x04\xd2\x16\x2f"), (server, b"S")],
        &[
            (client, b"\x05\x01\0"),
            (server, b"\x05\0"),
            (client, b"\x05\x01\0\x01\x01\x02\x03\x04\x01\xbb"),
            (server, b"\x05\0"),
        ],
        &[(client, b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0")],
        &[(client, b"G"), (client, b"ET")],
    ];
    for greeting in greetings {
        let all: Vec<_> = greeting.iter().copied().chain([(client as fn(usize) -> Said, &hello[..])]).collect();
        assert_eq!(said_in_turn(&all), ["tls client"], "{greeting:?}");
    }
}

#[test]
fn tls_is_found_in_a_tunnel_whether_or_not_its_opening_was_answered() {
    let (ask, hello) = (&b"CONNECT h.test:443 HTTP/1.1\r\n\r\n"[..], &hello()[..]);
    let seen = said_in_turn(&[(client, ask), (server, b"HTTP/1.1 200 OK\r\n\r\n"), (client, hello)]);
    assert_eq!(seen, ["http client h.test h.test:443", "http server h.test h.test:443 200", "tls client"]);
    assert_eq!(said_in_turn(&[(client, ask), (client, hello)]), ["http client h.test h.test:443", "tls client"]);
    let both = [ask, hello].concat();
    assert_eq!(said_in_turn(&[(client, &both)]), ["http client h.test h.test:443", "tls client"]);
}

#[test]
fn a_tunnel_in_a_tunnel_has_an_end() {
    let ask = b"CONNECT h.test:443 HTTP/1.1\r\n\r\n";
    let many = ask.repeat(3 * CONVERSATIONS_AT_ONCE_MAX);
    let answers = b"HTTP/1.1 200 OK\r\n\r\n".repeat(3 * CONVERSATIONS_AT_ONCE_MAX);
    let seen = said_in_turn(&[(client, &many), (server, &answers)]);
    assert!(seen.len() > CONVERSATIONS_AT_ONCE_MAX, "{seen:?}");
}

#[test]
fn of_several_answers_to_a_syn_the_acknowledged_one_counts() {
    let far = 1 << 30;
    let mut all: Vec<Said> = [0, 2 * far, far].map(|isn| server(0).syn().acks(1).moved(isn, 0)).into();
    all.push(client(1).says(GET).acks(1).moved(0, far));
    all.push(server(1).says(ANSWER).acks(1 + GET.len()).moved(far, 0));
    assert_eq!(Tap::hears(all).seen(), answered());
}

// --- any order

/// A stream's bytes as `(start, end)`, covering it, in any order, with repeats and overlaps.
fn segments(len: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    let cuts = proptest::collection::btree_set(1..len, 0..12);
    let repeats = proptest::collection::vec((0..len, 1..40usize), 0..8);
    (cuts, repeats)
        .prop_map(move |(cuts, repeats)| {
            let starts: Vec<usize> = [0].into_iter().chain(cuts).collect();
            let ends = starts[1..].iter().copied().chain([len]);
            let mut all: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
            all.extend(repeats.into_iter().map(|(from, count)| (from, (from + count).min(len))));
            all
        })
        .prop_shuffle()
}

fn requests() -> String {
    let post = "POST /up HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\n\r\nhello";
    format!("{GET}{post}{}", GET.replace("/a", "/b"))
}

fn answers() -> String {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    format!("{ANSWER}{chunked}HTTP/1.1 404 No\r\n\r\nhello")
}

/// What is seen of a conversation whose sides send these segments, one side after the other.
fn exchange(isn: u32, asked: &[(usize, usize)], answered: &[(usize, usize)]) -> (Vec<String>, StreamCounts) {
    let (requests, answers) = (requests(), answers());
    let mut tap = Tap::hears(handshake().into_iter().map(|said| said.moved(isn, isn)));
    for (side, text, ranges) in [(client as fn(usize) -> Said, &requests, asked), (server, &answers, answered)] {
        for &(from, to) in ranges {
            let said = side(1 + from).says(&text[from..to]).moved(isn, isn);
            tap.see(&if to == text.len() { said.fin() } else { said });
        }
    }
    assert_eq!(tap.kept().0, 0, "all is in order, so nothing waits");
    (tap.seen(), tap.counts())
}

/// Anything that may befall a connection.
fn anything() -> impl Strategy<Value = Said> {
    let place = prop_oneof![4 => 0..200usize, 1 => 0..20_000_000usize, 1 => Just(1 << 31), 1 => any::<u32>().prop_map(|at| at as usize)];
    let bytes = prop_oneof![Just(GET.to_string()), Just(ANSWER.to_string()), "[ -~]{0,60}", Just("x".repeat(1400))];
    let flags = prop_oneof![4 => Just(0x10u8), 1 => any::<u8>()];
    (any::<bool>(), place.clone(), place, bytes, flags).prop_map(|(asks, at, acked, bytes, flags)| {
        let said = if asks { client(at) } else { server(at) };
        Said { flags, ..said.says(bytes).acks(acked) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_order_and_size_of_segments_do_not_show(
        asked in segments(requests().len()),
        answered in segments(answers().len()),
        isn in any::<u32>(),
    ) {
        let (whole, _) = exchange(0, &[(0, requests().len())], &[(0, answers().len())]);
        prop_assert_eq!(whole.len(), 3 + 3 + 4);
        let (seen, counts) = exchange(isn, &asked, &answered);
        prop_assert_eq!(seen, whole);
        prop_assert_eq!(StreamCounts { out_of_order: 0, ..counts }, StreamCounts::default());
    }

    #[test]
    fn whatever_befalls_a_connection_nothing_stays_behind(
        all in proptest::collection::vec((anything(), 40..2000usize), 0..60),
        small in any::<bool>(),
    ) {
        let mut tap = if small { Tap::with(256, 1 << 20) } else { Tap::new() };
        for (said, kept) in all {
            tap.see_only(&said, kept.max(54));
        }
        tap.end();
    }
}

/// Flows of which a kernel counts what nobody hears: when they are given to it, and what comes back.
mod unheard {
    use std::sync::Mutex;

    use super::*;
    use crate::flow::{Direction, Shunted, Shunter, Unheard};

    const PORT: u8 = 3;
    const PAYLOAD_MIN: u64 = 50_000;
    const BULK: usize = 1_000;
    /// Behind these nothing is read any more (RFC 6455).
    const UPGRADE: &str = "GET /abcdef HTTP/1.1\r\nHost: h.test\r\n\r\n";
    const UPGRADED: &str = "HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\n\r\n";
    /// Where both streams are then.
    const AFTER: usize = 1 + UPGRADE.len();
    /// Packets up to there.
    const BEFORE: u64 = 5;

    /// What the kernel would know: who is shunted, and what has come of him since.
    #[derive(Default)]
    struct Kernel {
        slots: Mutex<Vec<(Direction, Unheard)>>,
        is_over: std::sync::atomic::AtomicBool,
        asked: Mutex<Vec<u8>>,
        full: bool,
    }

    struct Held(Arc<Kernel>, Direction);

    impl Kernel {
        fn shunted(&self) -> usize {
            self.slots.lock().expect("nobody panicked").len()
        }

        /// A packet on the wire: whether the kernel keeps it.
        fn takes(&self, said: &Said) -> bool {
            let mut slots = self.slots.lock().expect("nobody panicked");
            let is_his = |of: &Direction| {
                of.ports == (said.from.1, said.to.1)
                    && of.source[12..] == said.from.0.octets()
                    && said.flags & !of.flags == 0
            };
            let Some((_, unheard)) = slots.iter_mut().find(|(of, _)| is_his(of)) else { return false };
            unheard.packets += 1;
            unheard.bytes += said.frame().len() as u64;
            unheard.payload += said.bytes.len() as u64;
            true
        }
    }

    struct Site(Arc<Kernel>);

    impl Shunter for Site {
        fn payload_min(&self, port: u8) -> u64 {
            self.0.asked.lock().expect("nobody panicked").push(port);
            PAYLOAD_MIN
        }

        fn shunt(&self, port: u8, direction: &Direction) -> Option<Box<dyn Shunted>> {
            assert_eq!(port, PORT);
            if self.0.full {
                return None;
            }
            let mut slots = self.0.slots.lock().expect("nobody panicked");
            assert!(slots.iter().all(|(of, _)| of != direction), "nobody asks twice");
            slots.push((*direction, Unheard::default()));
            Some(Box::new(Held(Arc::clone(&self.0), *direction)))
        }
    }

    impl Shunted for Held {
        fn more(&mut self) -> Unheard {
            let mut slots = self.0.slots.lock().expect("nobody panicked");
            let slot = slots.iter_mut().find(|(of, _)| *of == self.1).expect("it is held");
            std::mem::take(&mut slot.1)
        }

        fn is_over(&self) -> bool {
            self.0.is_over.load(std::sync::atomic::Ordering::Acquire)
        }

        fn withdraw(mut self: Box<Self>) -> (Unheard, bool) {
            (self.more(), true)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.slots.lock().expect("nobody panicked").retain(|(of, _)| *of != self.1);
        }
    }

    /// A connection of which nothing more is to be learned.
    fn upgraded(wrap: Wrap) -> Vec<Said> {
        let mut all = handshake();
        all.push(client(1).says(UPGRADE).acks(1));
        all.push(server(1).says(UPGRADED).acks(AFTER));
        assert_eq!(UPGRADE.len(), UPGRADED.len());
        all.into_iter().map(|said| said.on(wrap)).collect()
    }

    /// What the server sends next, so many segments.
    fn bulk(from: usize, count: usize) -> impl Iterator<Item = Said> {
        (from..from + count).map(|at| server(AFTER + at * BULK).says([0xF3; BULK]).acks(AFTER))
    }

    /// A tap on a wire whose kernel may take packets first.
    struct Wire {
        tap: Tap,
        kernel: Arc<Kernel>,
        heard: u64,
    }

    impl Wire {
        fn new(kernel: Kernel) -> Wire {
            let kernel = Arc::new(kernel);
            let mut tap = Tap::new();
            tap.port = PORT;
            tap.flows.shunt_by(Arc::new(Site(Arc::clone(&kernel))));
            Wire { tap, kernel, heard: 0 }
        }

        fn carries(&mut self, said: impl IntoIterator<Item = Said>) {
            for one in said {
                if !self.kernel.takes(&one) {
                    self.tap.see(&one);
                    self.heard += 1;
                }
            }
        }
    }

    fn numbers(flow: &FlowView) -> ([u64; 2], [u64; 2], [u64; 2], [u8; 2]) {
        (flow.packets, flow.bytes, flow.payload, flow.tcp_flags)
    }

    #[test]
    fn a_flow_that_is_not_heard_counts_as_one_that_is() {
        let all = || {
            let end =
                [server(AFTER + 2_000 * BULK).fin().acks(AFTER), client(AFTER).fin().acks(1 + AFTER + 2_000 * BULK)];
            upgraded(Wrap::Plain).into_iter().chain(bulk(0, 2_000)).chain(end)
        };
        let mut heard = Tap::hears(all());
        let told = heard.end();
        let mut wire = Wire::new(Kernel::default());
        wire.carries(all());
        assert!(wire.heard < 200, "{} ", wire.heard);
        assert_eq!(wire.kernel.shunted(), 0, "the first FIN gave it back");
        assert_eq!((wire.tap.end(), wire.tap.flows.counts().shunted), (told, 1));
        assert_eq!(numbers(&wire.tap.views[0]), numbers(&heard.views[0]));
    }

    #[test]
    fn whoever_talks_to_the_kernel_alone_is_not_idle() {
        let mut wire = Wire::new(Kernel::default());
        wire.carries(upgraded(Wrap::Plain));
        wire.carries(bulk(0, 200));
        assert_eq!(wire.kernel.shunted(), 1);
        for round in 1..10 {
            wire.tap.wait(400);
            wire.carries(bulk(round * 200, 1));
            wire.tap.flows.pass(wire.tap.now);
            for _ in 0..100 {
                wire.tap.flows.pass(wire.tap.now); // a step at a time
            }
            wire.tap.sweep();
            assert_eq!(wire.tap.flow().packets.iter().sum::<u64>(), BEFORE + 200 + round as u64);
        }
        assert_eq!((wire.kernel.shunted(), wire.tap.views.len()), (1, 0));
        wire.tap.wait(700);
        for _ in 0..200 {
            wire.tap.flows.pass(wire.tap.now);
        }
        wire.tap.sweep();
        assert_eq!((wire.kernel.shunted(), wire.tap.views.len()), (0, 1), "and who falls silent is");
        assert_eq!(wire.tap.views[0].packets.iter().sum::<u64>(), BEFORE + 209);
    }

    #[test]
    fn what_is_still_to_be_learned_or_travels_otherwise_is_heard() {
        let mut wire = Wire::new(Kernel::default());
        wire.carries(handshake());
        wire.carries((0..200).map(|at| server(1 + at * BULK).says([b'H'; BULK]).acks(1)));
        assert_eq!(wire.kernel.shunted(), 0, "one side has not spoken");
        for wrap in [Wrap::Vxlan(7), Wrap::Gre(CLIENT, SERVER)] {
            let mut wire = Wire::new(Kernel::default());
            wire.carries(upgraded(wrap));
            wire.carries(bulk(0, 200).map(|said| said.on(wrap)));
            assert_eq!(wire.kernel.shunted(), 0, "in a tunnel");
        }
        let mut wire = Wire::new(Kernel::default());
        wire.tap.port = 0;
        wire.carries(upgraded(Wrap::Plain));
        wire.carries(bulk(0, 200));
        assert_eq!((wire.kernel.shunted(), wire.kernel.asked.lock().expect("sound").len()), (0, 0), "another port");
        let mut wire = Wire::new(Kernel::default());
        wire.carries(upgraded(Wrap::Plain));
        wire.carries(bulk(0, 40));
        wire.carries((0..100).map(|_| client(AFTER).acks(AFTER + 40 * BULK)));
        assert_eq!(wire.kernel.shunted(), 0, "too small");
    }

    #[test]
    fn a_syn_or_a_reset_gives_both_directions_back() {
        for (said, again) in [(client(0).syn(), 1), (client(7_000).syn(), 0), (client(AFTER).rst(), 0)] {
            let mut wire = Wire::new(Kernel::default());
            wire.carries(upgraded(Wrap::Plain));
            wire.carries(bulk(0, 300));
            wire.carries((0..300).map(|_| client(AFTER).acks(AFTER + 300 * BULK)));
            assert_eq!(wire.kernel.shunted(), 2, "acknowledgements too");
            wire.carries([said.clone()]);
            assert_eq!(wire.kernel.shunted(), 0, "{said:?}");
            wire.carries(bulk(300, 200));
            assert_eq!(wire.kernel.shunted(), again, "only what goes on as before is taken again: {said:?}");
            wire.tap.sweep();
            assert_eq!(wire.tap.flow().packets.iter().sum::<u64>(), BEFORE + 801);
        }
    }

    #[test]
    fn a_kernel_without_room_is_asked_again_now_and_then() {
        let mut wire = Wire::new(Kernel { full: true, ..Kernel::default() });
        wire.carries(upgraded(Wrap::Plain));
        wire.carries(bulk(0, 1_000));
        let counts = wire.tap.flows.counts();
        assert_eq!((counts.shunted, wire.heard), (0, BEFORE + 1_000));
        assert!((10..=16).contains(&counts.shunts_refused), "{counts:?}");
    }

    #[test]
    fn a_port_that_is_given_up_gives_back_what_it_counted() {
        let mut wire = Wire::new(Kernel::default());
        wire.carries(upgraded(Wrap::Plain));
        wire.carries(bulk(0, 200));
        wire.kernel.is_over.store(true, std::sync::atomic::Ordering::Release);
        wire.tap.sweep();
        assert_eq!(wire.kernel.shunted(), 0);
        assert_eq!(wire.tap.flow().packets.iter().sum::<u64>(), BEFORE + 200);
        drop(wire.tap);
    }

    #[test]
    fn whoever_gives_up_its_flows_gives_back_what_is_shunted() {
        let mut wire = Wire::new(Kernel::default());
        wire.carries(upgraded(Wrap::Plain));
        wire.carries(bulk(0, 200));
        assert_eq!(wire.kernel.shunted(), 1);
        drop(wire.tap);
        assert_eq!(wire.kernel.shunted(), 0);
    }
}
