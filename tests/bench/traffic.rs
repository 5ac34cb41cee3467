//! Captures for the benches, made from a seed: one kind of traffic each. In: how many packets, at least. Out: a capture file
//! in memory. Never here: damage; what that costs is another question.

use std::net::Ipv4Addr;

use crate::dice::Dice;
use crate::wire::{self, ACK, Ends, FIN, Frame, PUSH_ACK, SYN};

const BEGIN_MICROS: u64 = 1_795_262_400_000_000;

/// Flows of the capture of known flows: few enough to stay near, as those that carry most of a link's packets do.
const KNOWN_FLOWS: u64 = 64;

/// Payload of a full segment.
const SEGMENT_BYTES: usize = 1_400;

/// Addresses that a storm is about.
const MET: u64 = 100;

/// Hosts that are in it: each is a contact with one address.
const HOSTS: u64 = 4_096;

/// Flows of the storm in flows that are known.
const ASKING_FLOWS: usize = 1_000;

/// A listed name among this many.
const LISTED_ONE_IN: u64 = 100;

struct Link {
    dice: Dice,
    frames: Vec<Frame>,
}

impl Link {
    fn say(&mut self, packet: &wire::Packet) {
        let bytes = wire::framed(packet, wire::Wrap::Plain);
        let micros = BEGIN_MICROS + self.frames.len() as u64 * 20;
        self.frames.push(Frame { micros, wire_bytes: bytes.len() as u32, bytes });
    }

    fn tcp(&mut self, ends: Ends, sequence: u32, acknowledged: u32, flags: u8, payload: &[u8]) {
        self.say(&wire::ip(ends, 6, &wire::tcp(ends, sequence, acknowledged, flags, payload)));
    }

    fn udp(&mut self, ends: Ends, payload: &[u8]) {
        self.say(&wire::ip(ends, 17, &wire::udp(ends, payload)));
    }

    fn ends(&mut self, port: u16) -> Ends {
        let [a, b, c, _] = (self.dice.roll() as u32).to_be_bytes();
        let client = Ipv4Addr::new(10, a, b, c);
        let server = Ipv4Addr::from(0xC633_6400 | self.dice.below(256) as u32); // 198.51.100.0/24, RFC 5737
        Ends { from: (client.into(), 1024 + self.dice.below(60_000) as u16), to: (server.into(), port) }
    }

    /// One of a site's hosts, and the one of [`MET`] servers that it speaks to.
    fn met_ends(&mut self, port: u16) -> Ends {
        let host = self.dice.below(HOSTS) as u32;
        let server = Ipv4Addr::from(0xC633_6400 | (host % MET as u32)); // 198.51.100.0/24, RFC 5737
        let client = Ipv4Addr::from(0x0A4D_0000 | host);
        Ends { from: (client.into(), 1024 + self.dice.below(60_000) as u16), to: (server.into(), port) }
    }

    fn name(&mut self) -> String {
        let number = self.dice.below(1_000_000);
        if self.dice.one_in(LISTED_ONE_IN) { listed(number % 100) } else { format!("host{number}.seen.example") }
    }

    /// A connection in which each side says one thing, in full segments.
    fn converse(&mut self, port: u16, asked: &[u8], answered: &[u8]) {
        let ends = self.ends(port);
        self.tcp(ends, 0, 0, SYN, b"");
        self.tcp(ends.turned(), 0, 1, SYN | ACK, b"");
        self.tcp(ends, 1, 1, ACK, b"");
        self.all(ends, 1, 1, asked);
        let heard = 1 + asked.len() as u32;
        self.all(ends.turned(), 1, heard, answered);
        let said = 1 + answered.len() as u32;
        self.tcp(ends, heard, said, FIN | ACK, b"");
        self.tcp(ends.turned(), said, heard + 1, FIN | ACK, b"");
        self.tcp(ends, heard + 1, said + 1, ACK, b"");
    }

    fn all(&mut self, ends: Ends, first: u32, acknowledged: u32, bytes: &[u8]) {
        for (at, piece) in bytes.chunks(SEGMENT_BYTES).enumerate() {
            self.tcp(ends, first + (at * SEGMENT_BYTES) as u32, acknowledged, PUSH_ACK, piece);
        }
    }
}

/// A name that the sets of the benches list.
pub fn listed(number: u64) -> String {
    format!("host{number}.listed.example")
}

fn made(seed: u64, packets: usize, mut one: impl FnMut(&mut Link)) -> Vec<u8> {
    let mut link = Link { dice: Dice(seed), frames: Vec::new() };
    while link.frames.len() < packets {
        one(&mut link);
    }
    wire::pcap(&link.frames)
}

/// Segments of few long connections that speak nothing that is read.
pub fn known(packets: usize) -> Vec<u8> {
    let mut sequences = [1_u32; KNOWN_FLOWS as usize];
    let mut flows = Vec::new();
    made(1, packets, |link| {
        if flows.len() < KNOWN_FLOWS as usize {
            let ends = link.ends(9_000);
            flows.push(ends);
            link.tcp(ends, 0, 0, SYN, b"");
            return link.tcp(ends.turned(), 0, 1, SYN | ACK, b"");
        }
        let at = link.dice.below(KNOWN_FLOWS) as usize;
        link.tcp(flows[at], sequences[at], 1, PUSH_ACK, &[0xEE; SEGMENT_BYTES]);
        sequences[at] += SEGMENT_BYTES as u32;
    })
}

/// Connections that are asked for and not answered: every packet is a flow.
pub fn new(packets: usize) -> Vec<u8> {
    made(2, packets, |link| {
        let ends = link.ends(443);
        link.tcp(ends, 0, 0, SYN, b"");
    })
}

/// Datagrams that are not answered, each the first of a flow, to 100 addresses.
pub fn met_datagrams(packets: usize) -> Vec<u8> {
    made(6, packets, |link| {
        let ends = link.met_ends(4_444);
        link.udp(ends, &[0x78; 32]);
    })
}

/// Connections that are asked for and not answered, of the same 100 addresses.
pub fn met_knocks(packets: usize) -> Vec<u8> {
    made(7, packets, |link| {
        let ends = link.met_ends(443);
        link.tcp(ends, 0, 0, SYN, b"");
    })
}

/// Questions in flows that are known, each for one of the 100 names that [`listed`] names first.
pub fn met_questions(packets: usize) -> Vec<u8> {
    let mut flows = Vec::new();
    made(8, packets, |link| {
        if flows.len() < ASKING_FLOWS {
            flows.push(link.met_ends(53));
        }
        let (at, id) = (link.frames.len() % ASKING_FLOWS, link.dice.roll() as u16);
        // a flow asks for one name
        link.udp(flows[at], &wire::question(&listed(at as u64 % MET), id));
    })
}

/// Requests, and answers of a few segments.
pub fn http(packets: usize) -> Vec<u8> {
    let body = vec![b'b'; 4 * SEGMENT_BYTES];
    made(3, packets, |link| {
        let (name, page) = (link.name(), link.dice.below(10_000));
        let asked = format!(
            "GET /page/{page}?q=1 HTTP/1.1\r\nHost: {name}\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nReferer: http://{name}/\r\n\r\n"
        );
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n", body.len());
        link.converse(80, asked.as_bytes(), &[head.as_bytes(), &body].concat());
    })
}

/// Greetings of TLS 1.2 and a few records of what nobody reads.
pub fn tls(packets: usize) -> Vec<u8> {
    let sealed: Vec<u8> = [&[23, 3, 3][..], &[0x10, 0], &[0x5A; 0x1000]].concat();
    made(4, packets, |link| {
        let name = link.name();
        let answered = [&server_hello()[..], &sealed, &sealed].concat();
        link.converse(443, &client_hello(&name), &answered);
    })
}

/// Questions and their answers.
pub fn dns(packets: usize) -> Vec<u8> {
    made(5, packets, |link| {
        let (name, id) = (link.name(), link.dice.roll() as u16);
        let ends = link.ends(53);
        let mut message = wire::question(&name, id);
        link.udp(ends, &message);
        message[2..4].copy_from_slice(&[0x81, 0x80]);
        message[7] = 1;
        message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 9]);
        link.udp(ends.turned(), &message);
    })
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &counted(body)].concat()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let message = [&[kind, 0][..], &counted(body)].concat();
    [&[22, 3, 1][..], &counted(&message)].concat()
}

fn client_hello(name: &str) -> Vec<u8> {
    let server_name = counted(&[&[0][..], &counted(name.as_bytes())].concat());
    let extensions = [
        extension(0, &server_name),
        extension(10, &counted(&[0, 29, 0, 23, 0, 24])),
        extension(11, &[1, 0]),
        extension(13, &counted(&[4, 3, 8, 4, 4, 1, 5, 3])),
        extension(16, &counted(b"\x02h2\x08http/1.1")),
        extension(43, &[4, 3, 4, 3, 3]),
    ]
    .concat();
    let suites = counted(&[0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30, 0xcc, 0xa9]);
    handshake(1, &[&[3, 3][..], &[7; 32], &[0], &suites, &[1, 0], &counted(&extensions)].concat())
}

fn server_hello() -> Vec<u8> {
    let extensions = extension(16, &counted(b"\x02h2"));
    handshake(2, &[&[3, 3][..], &[9; 32], &[0], &[0xc0, 0x2f, 0], &counted(&extensions)].concat())
}
