//! Headers peeled through VLANs, fragments and tunnels down to the innermost transport payload.
//!
//! In: a frame. Out: a [`Packet`], or the [`Fate`] of a frame that is none. Never allocates for a whole packet, never logs,
//! knows no flow. Checksums are not verified: a tap sees packets before the hardware fills them in.

mod ayiya;
mod capwap;
mod erspan;
mod esp;
mod ethernet;
mod fate;
mod fragment;
mod geneve;
mod gre;
mod gtp;
mod hdlc;
mod icmp;
mod ipv4;
mod ipv6;
mod juniper;
mod l2tp;
mod layers;
mod likely;
mod link;
mod lisp;
mod llc;
mod mpls;
mod nflog;
mod nsh;
mod peek;
mod ppp;
pub mod shard;
mod tag;
mod tcp;
mod teredo;
#[cfg(test)]
mod tests;
mod trill;
mod tzsp;
mod udp;
mod vxlan;
mod wifi;

pub use fate::{Fate, Malformed};
pub use fragment::{Counts as FragmentCounts, Fragments};
pub use layers::{Layer, layers};
pub use peek::peek;

use std::net::{IpAddr, Ipv6Addr};

use crate::capture::Frame;
use crate::limits::HEADERS_MAX;
use fragment::{Cut, Piece};

/// IP protocol numbers that this room names.
pub mod protocol {
    /// RFC 792.
    pub const ICMP: u8 = 1;
    /// RFC 9293.
    pub const TCP: u8 = 6;
    /// RFC 768.
    pub const UDP: u8 = 17;
    /// RFC 4443.
    pub const ICMPV6: u8 = 58;
    /// RFC 9260.
    pub const SCTP: u8 = 132;
}

/// An address as 16 bytes, IPv4 as ::ffff:a.b.c.d: one width for every table.
pub type Address = [u8; 16];

/// An [`Address`] as the standard library has it.
pub fn ip(address: &Address) -> IpAddr {
    let six = Ipv6Addr::from(*address);
    six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4)
}

/// The outermost tunnel, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peeled {
    /// `gre`, `vxlan`, `ipip`, `gtp`, ...
    pub name: &'static str,
    /// Outer source and destination.
    pub pair: (Address, Address),
    /// VNI, or 0 where there is none or each direction has its own.
    pub id: u32,
    /// How many were peeled.
    pub depth: u8,
}

/// What TCP adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number; meaningful with [`tcp_flag::ACK`].
    pub ack: u32,
    /// The eight flags.
    pub flags: u8,
}

/// Bits of [`Segment::flags`].
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Acknowledgement field significant.
    pub const ACK: u8 = 0x10;
}

/// Where a packet's payload lies: in its frame, or in a datagram put together from fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    whole: bool,
    start: u32,
    len: u32,
}

impl Payload {
    /// How many bytes of it are there.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it was put together from fragments, and is in no frame.
    pub fn is_of_fragments(&self) -> bool {
        self.whole
    }

    /// Whether none is there.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A frame's innermost packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Innermost source.
    pub source: Address,
    /// Innermost destination.
    pub destination: Address,
    /// Innermost IP protocol.
    pub protocol: u8,
    /// Source and destination port; ICMP: type and code; else 0.
    pub ports: (u16, u16),
    /// Up to two VLAN ids, outermost first.
    pub vlans: [u16; 2],
    /// The tunnel it came through.
    pub tunnel: Option<Peeled>,
    /// TCP only.
    pub segment: Segment,
    /// Transport payload.
    pub payload: Payload,
    /// Payload bytes that the headers promise and the capture does not have (snap length).
    pub missing: u32,
    /// Length of the frame on the link.
    pub length: u32,
    /// What could not be read: the rest of its transport header, or, of a tunnel's own packet, what the tunnel carries.
    pub flaw: Option<Malformed>,
}

/// Takes a header off the front; says what comes next.
type Peel = fn(&mut Peeling<'_>) -> Result<Next, Fate>;

/// What comes next while peeling. Two words: every header answers with one of these.
enum Next {
    Ethernet,
    Ethertype(u16),
    Header(Peel),
    Transport,
    Enter(&'static Tunnel),
    Fragment(Cut),
    Done,
}

const _: () = assert!(size_of::<Result<Next, Fate>>() <= 16, "an answer stays in registers");

/// A header between an IP packet and another.
struct Tunnel {
    name: &'static str,
    /// Takes the header off; says the network's number, if both directions share one, and what comes next.
    peel: fn(&mut Peeling<'_>) -> Result<(u32, Next), Fate>,
}

/// A frame being peeled: the bytes that are left and what is known so far.
#[derive(Clone, Copy)]
struct Peeling<'a> {
    bytes: &'a [u8],
    /// Offset of `bytes` in the frame or in the datagram put together.
    at: usize,
    whole: bool,
    /// Bytes of the present IP payload that the header promised beyond `bytes`.
    missing: u32,
    packet: Packet,
}

impl<'a> Peeling<'a> {
    /// Takes `len` bytes off the front; short frames have a reason of their own.
    fn take(&mut self, len: usize, short: Malformed) -> Result<&'a [u8], Fate> {
        let Some((head, rest)) = self.bytes.split_at_checked(len) else { return Err(short.into()) };
        self.bytes = rest;
        self.at += len;
        Ok(head)
    }

    /// Keeps only the first `len` bytes; what is not there is missing.
    fn limit(&mut self, len: usize) {
        self.missing = len.saturating_sub(self.bytes.len()).min(u32::MAX as usize) as u32;
        self.bytes = &self.bytes[..len.min(self.bytes.len())];
    }

    fn enter_tunnel(&mut self, name: &'static str, id: u32) {
        match &mut self.packet.tunnel {
            Some(outer) => outer.depth = outer.depth.saturating_add(1),
            none => *none = Some(Peeled { name, pair: (self.packet.source, self.packet.destination), id, depth: 1 }),
        }
    }

    fn piece(&self, Cut { id, offset, more }: Cut) -> Piece {
        let Packet { source, destination, protocol, .. } = self.packet;
        Piece { pair: (source, destination), id, protocol, offset: offset.into(), more, missing: self.missing }
    }

    fn finish(mut self) -> Packet {
        self.packet.payload = Payload { whole: self.whole, start: self.at as u32, len: self.bytes.len() as u32 };
        self.packet.missing = self.missing;
        self.packet
    }
}

impl Packet {
    const NONE: Packet = Packet {
        source: [0; 16],
        destination: [0; 16],
        protocol: 0,
        ports: (0, 0),
        vlans: [0; 2],
        tunnel: None,
        segment: Segment { seq: 0, ack: 0, flags: 0 },
        payload: Payload { whole: false, start: 0, len: 0 },
        missing: 0,
        length: 0,
        flaw: None,
    };

    /// The payload's bytes, from the frame it came in or the fragments that it was made of.
    pub fn payload<'a>(&self, frame: &'a [u8], fragments: &'a Fragments) -> &'a [u8] {
        let from = if self.payload.whole { fragments.datagrams() } else { frame };
        from.get(self.payload.start as usize..(self.payload.start + self.payload.len) as usize).unwrap_or(&[])
    }
}

/// Peels a frame down to its innermost packet. Fragments are kept in `fragments` until the datagram is whole; the last one
/// then gives the packet.
///
/// # Errors
/// The fate of a frame that gives no packet.
#[inline(always)]
pub fn decode(frame: &Frame<'_>, fragments: &mut Fragments) -> Result<Packet, Fate> {
    let packet = Packet { length: frame.length, ..Packet::NONE };
    let mut peeling = Peeling { bytes: frame.bytes, at: 0, whole: false, missing: 0, packet };
    let first = link::first(&mut peeling, frame.link)?;
    let Some(cut) = peel(&mut peeling, first, unseen)? else { return Ok(peeling.finish()) };
    let start = fragments.add(&peeling.piece(cut), peeling.bytes, frame.time)?;
    let bytes = &fragments.datagrams()[start..];
    let mut inner = Peeling { bytes, at: start, whole: true, missing: 0, packet: peeling.packet };
    peel(&mut inner, Next::Transport, unseen)?.map_or(Ok(()), |_| Err(Malformed::FragmentNested))?;
    Ok(inner.finish())
}

/// Follows the headers to the payload, or to a fragment's piece. Where a tunnel carries no packet, or none that can be
/// read, the tunnel's own packet is the innermost: its ends have met, whatever they said.
fn peel(peeling: &mut Peeling<'_>, first: Next, seen: impl FnMut(&Next, &Peeling<'_>)) -> Result<Option<Cut>, Fate> {
    let mut outer = None;
    let peeled = follow(peeling, first, &mut outer, seen);
    let (Err(fate @ (Fate::NotIp | Fate::Malformed(_))), Some(outer)) = (&peeled, outer) else { return peeled };
    *peeling = outer;
    if let Fate::Malformed(flaw) = fate {
        peeling.packet.flaw = Some(*flaw);
    }
    Ok(None)
}

/// Whoever peels for the packet alone looks at no header on the way: this costs nothing.
#[inline(always)]
fn unseen(_: &Next, _: &Peeling<'_>) {}

/// Follows the headers, and lets each be seen before it is taken off; in `outer` stays the latest packet that is a
/// tunnel's, as it was before the tunnel's header.
#[inline]
fn follow<'a>(
    peeling: &mut Peeling<'a>,
    first: Next,
    outer: &mut Option<Peeling<'a>>,
    mut seen: impl FnMut(&Next, &Peeling<'_>),
) -> Result<Option<Cut>, Fate> {
    let mut next = first;
    for _ in 0..HEADERS_MAX {
        seen(&next, peeling);
        next = match next {
            Next::Ethernet => ethernet::peel(peeling)?,
            Next::Ethertype(ethernet::IPV4) => ipv4::peel(peeling)?,
            Next::Ethertype(ethernet::IPV6) => ipv6::peel(peeling)?,
            Next::Ethertype(kind) => ethernet::other(peeling, kind)?,
            Next::Header(peel) => peel(peeling)?,
            Next::Transport => transport(peeling)?,
            Next::Enter(tunnel) => {
                *outer = Some(*peeling);
                let (id, next) = (tunnel.peel)(peeling)?;
                peeling.enter_tunnel(tunnel.name, id);
                next
            }
            // the capture cut the first piece, so it never becomes whole: what is there is read
            Next::Fragment(cut) if cut.offset == 0 && peeling.missing > 0 => Next::Transport,
            // a fragment inside a datagram of fragments is a trick, not traffic
            Next::Fragment(_) if peeling.whole => return Err(Malformed::FragmentNested.into()),
            Next::Fragment(cut) => return Ok(Some(cut)),
            Next::Done => return Ok(None),
        };
    }
    Err(Malformed::TooManyHeaders.into())
}

fn transport(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    match peeling.packet.protocol {
        protocol::TCP => tcp::peel(peeling),
        protocol::UDP => udp::peel(peeling),
        protocol::SCTP => udp::ports(peeling),
        protocol::ICMP | protocol::ICMPV6 => icmp::peel(peeling),
        gre::PROTOCOL if erspan::is_carried(peeling.bytes) => Ok(Next::Enter(&erspan::TUNNEL)),
        gre::PROTOCOL => Ok(Next::Enter(&gre::TUNNEL)),
        4 => Ok(Next::Enter(&IPV4_IN_IP)),
        41 => Ok(Next::Enter(&IPV6_IN_IP)),
        97 => Ok(Next::Enter(&ETHERNET_IN_IP)),
        mpls::PROTOCOL => Ok(Next::Enter(&mpls::TUNNEL)),
        ipv6::AUTHENTICATION => {
            peeling.packet.protocol = ipv6::authenticated(peeling)?;
            Ok(Next::Transport)
        }
        esp::PROTOCOL if esp::is_certain(peeling.bytes) => Ok(Next::Enter(&esp::TUNNEL)),
        l2tp::PROTOCOL if l2tp::is_carried(peeling.bytes) => Ok(Next::Enter(&l2tp::TUNNEL_3)),
        _ => Ok(Next::Done),
    }
}

/// RFC 2003.
static IPV4_IN_IP: Tunnel = Tunnel { name: "ipip", peel: |_| Ok((0, Next::Ethertype(ethernet::IPV4))) };
/// RFC 2473, RFC 4213.
static IPV6_IN_IP: Tunnel = Tunnel { name: "ipip", peel: |_| Ok((0, Next::Ethertype(ethernet::IPV6))) };
/// RFC 3378: two bytes of version and reserved bits.
static ETHERNET_IN_IP: Tunnel =
    Tunnel { name: "etherip", peel: |peeling| peeling.take(2, Malformed::EthernetShort).map(|_| (0, Next::Ethernet)) };
