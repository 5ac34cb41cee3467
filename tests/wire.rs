//! Packets and capture files, byte by byte: what `crafted` says things with. Checksums are right unless somebody breaks
//! them on purpose. Never here: randomness, names, a story.

use std::net::IpAddr;

/// A frame as a capture holds it.
#[derive(Clone)]
pub struct Frame {
    /// Microseconds since 1970.
    pub micros: u64,
    /// The bytes that were kept.
    pub bytes: Vec<u8>,
    /// How long it was on the wire.
    pub wire_bytes: u32,
}

/// An IP packet without its link header.
pub type Packet = Vec<u8>;

/// TCP flags.
pub const FIN: u8 = 1;
/// TCP flags.
pub const SYN: u8 = 2;
/// TCP flags.
pub const RST: u8 = 4;
/// TCP flags.
pub const PUSH_ACK: u8 = 0x18;
/// TCP flags.
pub const ACK: u8 = 0x10;

/// Two ends, the speaker first.
#[derive(Clone, Copy)]
pub struct Ends {
    /// Who speaks.
    pub from: (IpAddr, u16),
    /// To whom.
    pub to: (IpAddr, u16),
}

impl Ends {
    /// The answer's direction.
    pub fn turned(self) -> Ends {
        Ends { from: self.to, to: self.from }
    }
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | two.get(1).map_or(0, |&low| u32::from(low))).sum()
}

fn folded(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn address(of: IpAddr) -> Vec<u8> {
    match of {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

/// A transport checksum over the pseudo header of RFC 9293 section 3.1 and RFC 8200 section 8.1.
fn transport_checksum(ends: Ends, protocol: u8, segment: &[u8]) -> [u8; 2] {
    let addresses = [address(ends.from.0), address(ends.to.0)].concat();
    folded(sum(&addresses) + u32::from(protocol) + segment.len() as u32 + sum(segment))
}

/// A question for a name's address (RFC 1035 section 4.1), as a datagram carries it.
pub fn question(name: &str, id: u16) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.extend_from_slice(&[0, 0, 1, 0, 1]);
    out
}

/// A UDP datagram.
pub fn udp(ends: Ends, payload: &[u8]) -> Vec<u8> {
    let mut out =
        [ends.from.1.to_be_bytes(), ends.to.1.to_be_bytes(), (payload.len() as u16 + 8).to_be_bytes()].concat();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    let checksum = transport_checksum(ends, 17, &out);
    out[6..8].copy_from_slice(&checksum);
    out
}

/// A TCP segment without options.
pub fn tcp(ends: Ends, sequence: u32, acknowledged: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = [ends.from.1.to_be_bytes(), ends.to.1.to_be_bytes()].concat();
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&acknowledged.to_be_bytes());
    out.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    out.extend_from_slice(payload);
    let checksum = transport_checksum(ends, 6, &out);
    out[16..18].copy_from_slice(&checksum);
    out
}

/// A whole IP packet of either version.
pub fn ip(ends: Ends, protocol: u8, payload: &[u8]) -> Packet {
    match (ends.from.0, ends.to.0) {
        (IpAddr::V4(_), IpAddr::V4(_)) => ipv4(ends, protocol, 0, 0, payload),
        _ => ipv6(ends, protocol, payload),
    }
}

/// `fragment` holds the flags and the offset in units of 8 bytes, as the header does.
fn ipv4(ends: Ends, protocol: u8, id: u16, fragment: u16, payload: &[u8]) -> Packet {
    let mut out = vec![0x45, 0];
    out.extend_from_slice(&(payload.len() as u16 + 20).to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&fragment.to_be_bytes());
    out.extend_from_slice(&[64, protocol, 0, 0]);
    out.extend_from_slice(&address(ends.from.0));
    out.extend_from_slice(&address(ends.to.0));
    let checksum = folded(sum(&out));
    out[10..12].copy_from_slice(&checksum);
    out.extend_from_slice(payload);
    out
}

fn ipv6(ends: Ends, next: u8, payload: &[u8]) -> Packet {
    let mut out = vec![0x60, 0, 0, 0];
    out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    out.extend_from_slice(&[next, 64]);
    out.extend_from_slice(&address(ends.from.0));
    out.extend_from_slice(&address(ends.to.0));
    out.extend_from_slice(payload);
    out
}

/// One piece of a fragmented packet: where it begins (a multiple of 8), whether more follow, its bytes.
pub fn fragment(ends: Ends, protocol: u8, id: u16, start: usize, more: bool, piece: &[u8]) -> Packet {
    let place = start as u16; // offsets in units of 8 bytes, three bits to the left: the byte offset itself
    if ends.from.0.is_ipv4() {
        return ipv4(ends, protocol, id, place >> 3 | u16::from(more) << 13, piece);
    }
    let mut extension = vec![protocol, 0];
    extension.extend_from_slice(&(place | u16::from(more)).to_be_bytes());
    extension.extend_from_slice(&u32::from(id).to_be_bytes());
    extension.extend_from_slice(piece);
    ipv6(ends, 44, &extension)
}

/// What a packet travels in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    /// Ethernet alone.
    Plain,
    /// One 802.1Q tag.
    Vlan(u16),
    /// An 802.1ad tag around an 802.1Q tag.
    QinQ(u16, u16),
    /// GRE (RFC 2784) between two other hosts.
    Gre,
    /// VXLAN (RFC 7348) between two other hosts.
    Vxlan(u32),
}

fn ethernet(tags: &[(u16, u16)], packet: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for (kind, id) in tags {
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&id.to_be_bytes());
    }
    out.extend_from_slice(&ether_type(packet).to_be_bytes());
    out.extend_from_slice(packet);
    out
}

fn ether_type(packet: &[u8]) -> u16 {
    if packet.first().is_some_and(|first| first >> 4 == 6) { 0x86dd } else { 0x0800 }
}

/// A packet as a link shows it.
pub fn framed(packet: &[u8], wrap: Wrap) -> Vec<u8> {
    let outer = Ends { from: ([172, 16, 0, 1].into(), 50_000), to: ([172, 16, 0, 2].into(), 4789) };
    match wrap {
        Wrap::Plain => ethernet(&[], packet),
        Wrap::Vlan(id) => ethernet(&[(0x8100, id)], packet),
        Wrap::QinQ(service, customer) => ethernet(&[(0x88a8, service), (0x8100, customer)], packet),
        Wrap::Gre => {
            let header = [&[0, 0][..], &ether_type(packet).to_be_bytes(), packet].concat();
            ethernet(&[], &ip(outer, 47, &header))
        }
        Wrap::Vxlan(vni) => {
            let header = [&[8, 0, 0, 0][..], &(vni << 8).to_be_bytes(), &ethernet(&[], packet)].concat();
            ethernet(&[], &ip(outer, 17, &udp(outer, &header)))
        }
    }
}

/// A classic capture file: little endian, microseconds.
pub fn pcap(frames: &[Frame]) -> Vec<u8> {
    let mut out = [0xa1b2_c3d4_u32.to_le_bytes(), 0x0004_0002_u32.to_le_bytes()].concat();
    for word in [0, 0, 65_535, 1_u32] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for frame in frames {
        let words = [(frame.micros / 1_000_000) as u32, (frame.micros % 1_000_000) as u32, frame.bytes.len() as u32];
        words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        out.extend_from_slice(&frame.wire_bytes.to_le_bytes());
        out.extend_from_slice(&frame.bytes);
    }
    out
}

/// The same in big endian and nanoseconds.
pub fn pcap_big_endian_nanoseconds(frames: &[Frame]) -> Vec<u8> {
    let mut out = [0xa1b2_3c4d_u32.to_be_bytes(), 0x0002_0004_u32.to_be_bytes()].concat();
    for word in [0, 0, 65_535, 1_u32] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    for frame in frames {
        let nanos = (frame.micros % 1_000_000) as u32 * 1_000;
        let words = [(frame.micros / 1_000_000) as u32, nanos, frame.bytes.len() as u32];
        words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
        out.extend_from_slice(&frame.wire_bytes.to_be_bytes());
        out.extend_from_slice(&frame.bytes);
    }
    out
}

/// The same as pcapng: one section, one interface, enhanced packet blocks.
pub fn pcapng(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    let header = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &u64::MAX.to_le_bytes()].concat();
    block(&mut out, 0x0a0d_0d0a, &header);
    block(&mut out, 1, &[1, 0, 0, 0, 0xff, 0xff, 0, 0]);
    for frame in frames {
        let words = [0, (frame.micros >> 32) as u32, frame.micros as u32, frame.bytes.len() as u32, frame.wire_bytes];
        let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        body.extend_from_slice(&frame.bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        block(&mut out, 6, &body);
    }
    out
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(body);
    out.extend_from_slice(&length);
}
