//! Frames against an independent writer and reader of packets, and frames byte by byte.

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::capture::Link;
use crate::time::Timestamp;

fn frame(bytes: &[u8]) -> Frame<'_> {
    let length = bytes.len() as u32;
    Frame { number: 1, time: Timestamp::default(), bytes, length, link: Link::ETHERNET }
}

pub(super) fn decoded(bytes: &[u8]) -> Result<(Packet, Vec<u8>), Fate> {
    decoded_on(Link::ETHERNET.0, bytes)
}

/// The packet and payload of a frame on a link of this type; who only peeks knows the same pair or none.
pub(super) fn decoded_on(link: u16, bytes: &[u8]) -> Result<(Packet, Vec<u8>), Fate> {
    let mut fragments = Fragments::new((1, 2));
    let frame = Frame { link: Link(link), ..frame(bytes) };
    let packet = decode(&frame, &mut fragments)?;
    if let Some(pair) = peek(&frame) {
        assert_eq!(pair, (packet.source, packet.destination));
    }
    Ok((packet, packet.payload(bytes, &fragments).to_vec()))
}

pub(super) fn ethernet(kind: u16, bytes: &[u8]) -> Vec<u8> {
    [&[2; 12], &kind.to_be_bytes()[..], bytes].concat()
}

pub(super) fn ipv4(protocol: u8, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16 + 20).to_be_bytes();
    let mut head = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    let sum: u32 = head.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    head[10..12].copy_from_slice(&(!((sum & 0xFFFF) + (sum >> 16)) as u16).to_be_bytes());
    [&head[..], bytes].concat()
}

pub(super) fn ipv6(next: u8, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16).to_be_bytes();
    let head = [0x60, 0, 0, 0, length[0], length[1], next, 64];
    [&head[..], &[0xFD; 16], &[0x20; 16], bytes].concat()
}

pub(super) fn udp(port: u16, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16 + 8).to_be_bytes();
    [&[0x30, 0x39], &port.to_be_bytes()[..], &length, &[0, 0], bytes].concat()
}

/// A frame with a datagram to this port.
pub(super) fn udp_frame(port: u16, bytes: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, &udp(port, bytes)))
}

/// A packet whose payload is `inside`.
pub(super) fn inner() -> Vec<u8> {
    ipv4(17, &udp(53, b"inside"))
}

/// The frame gives no packet, for this reason.
pub(super) fn refused(bytes: &[u8], reason: Malformed) {
    refused_on(Link::ETHERNET.0, bytes, reason);
}

pub(super) fn refused_on(link: u16, bytes: &[u8], reason: Malformed) {
    assert_eq!(decoded_on(link, bytes).map(|(_, payload)| payload), Err(Fate::Malformed(reason)));
}

/// The frame gives a tunnel's own packet, because of this flaw in what it carries.
pub(super) fn flawed(bytes: &[u8], flaw: Malformed) {
    let (packet, _) = decoded(bytes).expect("a packet");
    assert_eq!((packet.flaw, packet.tunnel), (Some(flaw), None));
}

/// The frame gives the packet of [`inner`] or its like, out of one tunnel; and one cut short never claims another pair.
pub(super) fn tunnelled(bytes: &[u8], name: &str, id: u32) -> Packet {
    let (packet, payload) = decoded(bytes).expect("a packet");
    let tunnel = packet.tunnel.expect("a tunnel");
    assert_eq!((tunnel.name, tunnel.id, tunnel.depth, packet.flaw), (name, id, 1, None), "{bytes:02x?}");
    assert_eq!(payload, b"inside");
    assert_eq!(peek(&frame(bytes)), None);
    for len in 0..bytes.len() {
        let _cut = decoded(&bytes[..len]);
    }
    packet
}

// --- tunnels

#[test]
fn ip_in_ip_is_peeled_to_the_innermost_packet_and_no_deeper_than_is_sane() {
    let both = ipv4(41, &ipv6(4, &inner()));
    let (packet, payload) = decoded(&ethernet(0x0800, &both)).expect("a packet");
    assert_eq!(packet.tunnel.map(|tunnel| (tunnel.name, tunnel.depth)), Some(("ipip", 2)));
    assert_eq!((packet.source, &payload[..]), (ipv4::mapped(&[10, 0, 0, 1]), &b"inside"[..]));
    let deep = (0..HEADERS_MAX).fold(inner(), |carried, _| ipv4(4, &carried));
    let (packet, _) = decoded(&ethernet(0x0800, &deep)).expect("a packet");
    assert_eq!((packet.protocol, packet.flaw), (4, Some(Malformed::TooManyHeaders)));
}

#[test]
fn ethernet_in_ip_and_authenticated_packets_are_peeled() {
    tunnelled(&ethernet(0x0800, &ipv4(97, &[&[0x30, 0], &ethernet(0x0800, &inner())[..]].concat())), "etherip", 0);
    let authentication = [&[17, 4][..], &[0; 22], &udp(53, b"inside")].concat();
    let (packet, payload) = decoded(&ethernet(0x0800, &ipv4(51, &authentication))).expect("a packet");
    assert_eq!((packet.protocol, packet.ports.1, &payload[..]), (17, 53, &b"inside"[..]));
    refused(&ethernet(0x0800, &ipv4(51, &[17, 9, 0, 0, 0, 0, 0, 0])), Malformed::AuthenticationShort);
}

#[test]
fn a_tunnel_in_a_tunnel_leaves_the_inner_tunnels_packet_where_it_carries_nothing() {
    let broken = ipv4(47, &[0, 0, 8, 0, 0x99]);
    let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0], &ethernet(0x0800, &broken)[..]].concat();
    let (packet, payload) = decoded(&udp_frame(4789, &vxlan)).expect("a packet");
    assert_eq!((packet.protocol, packet.tunnel.map(|tunnel| tunnel.id)), (47, Some(7)));
    assert_eq!((packet.flaw, &payload[..]), (Some(Malformed::Ipv4Short), &[0, 0, 8, 0, 0x99][..]));
}

// --- IPv6

#[test]
fn extension_headers_are_walked_in_any_order() {
    let hop = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let authentication = |next: u8| [vec![next, 4], vec![0; 22]].concat();
    let chain = [hop(43), [vec![60, 1], vec![0; 14]].concat(), hop(51), authentication(17), udp(53, b"far")].concat();
    let (packet, payload) = decoded(&ethernet(0x86DD, &ipv6(0, &chain))).expect("a packet");
    assert_eq!((packet.protocol, packet.ports.1, &payload[..]), (17, 53, &b"far"[..]));
    let endless: Vec<u8> = (0..50).flat_map(|_| hop(60)).collect();
    refused(&ethernet(0x86DD, &ipv6(60, &endless)), Malformed::TooManyHeaders);
    refused(&ethernet(0x86DD, &ipv6(0, &[17, 9, 0, 0, 0, 0, 0, 0])), Malformed::Ipv6Extension);
}

#[test]
fn an_atomic_fragment_is_whole_and_others_wait() {
    let piece = |field: u8, bytes: &[u8]| ipv6(44, &[&[17, 0, 0, field, 0, 0, 0, 7], bytes].concat());
    let (packet, payload) = decoded(&ethernet(0x86DD, &piece(0, &udp(53, b"whole")))).expect("a packet");
    assert_eq!((packet.ports.1, &payload[..]), (53, &b"whole"[..]));
    let datagram = udp(53, b"in two pieces");
    let mut fragments = Fragments::new((1, 2));
    let frames = [piece(1, &datagram[..8]), piece(8, &datagram[8..])].map(|bytes| ethernet(0x86DD, &bytes));
    assert_eq!(decode(&frame(&frames[0]), &mut fragments), Err(Fate::FragmentKept));
    let packet = decode(&frame(&frames[1]), &mut fragments).expect("a packet");
    assert_eq!(packet.payload(&frames[1], &fragments), b"in two pieces");
}

#[test]
fn a_first_fragment_that_the_capture_cut_is_read_as_far_as_it_goes() {
    let mut packet = ipv4(17, &udp(53, &[b'x'; 400]));
    packet[6] = 0x20;
    let bytes = ethernet(0x0800, &packet);
    let (packet, payload) = decoded(&bytes[..100]).expect("a packet");
    assert_eq!((packet.ports.1, payload.len(), packet.missing), (53, 100 - 42, 342));
    let later = [&bytes[..20], &[0x20, 9], &bytes[22..100]].concat();
    assert_eq!(decoded(&later), Err(Fate::FragmentShed));
}

#[test]
fn a_fragment_inside_a_datagram_of_fragments_is_refused() {
    let nested = ipv4(17, &[0; 16]);
    let nested = [&nested[..6], &[0x20, 0], &nested[8..]].concat();
    let mut fragments = Fragments::new((1, 2));
    let piece = |field: u8, bytes: &[u8]| ethernet(0x86DD, &ipv6(44, &[&[4, 0, 0, field, 0, 0, 0, 7], bytes].concat()));
    assert_eq!(decode(&frame(&piece(1, &nested[..32])), &mut fragments), Err(Fate::FragmentKept));
    let last = decode(&frame(&piece(32, &nested[32..])), &mut fragments).expect("the tunnel's packet");
    assert_eq!((last.protocol, last.tunnel, last.flaw), (4, None, Some(Malformed::FragmentNested)));
}

// --- lengths

#[test]
fn what_the_headers_promise_and_the_capture_lacks_is_missing() {
    let tcp = [vec![0, 1, 0, 2], vec![0; 8], vec![0x50, 0x10], vec![0; 6], vec![b'x'; 1000]].concat();
    let whole = ethernet(0x0800, &ipv4(6, &tcp));
    for kept in [54, 60, 500, whole.len()] {
        let (packet, payload) = decoded(&whole[..kept]).expect("a packet");
        assert_eq!((payload.len(), packet.missing as usize), (kept - 54, whole.len() - kept));
    }
    refused(&whole[..53], Malformed::TcpShort);
    let mut long = whole[..54].to_vec();
    long[16..18].copy_from_slice(&[0, 40]);
    long[46] = 0x60;
    let (packet, payload) = decoded(&long).expect("a packet");
    assert_eq!((packet.ports, payload.len(), packet.flaw), ((1, 2), 0, Some(Malformed::TcpShort)));
    let six = ethernet(0x86DD, &ipv6(6, &tcp));
    assert_eq!(decoded(&six[..100]).expect("a packet").0.missing as usize, six.len() - 100);
}

#[test]
fn padding_behind_a_packet_is_not_its_payload() {
    for packet in [ipv4(17, &udp(53, b"short")), ipv4(17, &[&udp(53, b"short")[..], b"behind the datagram"].concat())] {
        let (packet, payload) = decoded(&[&ethernet(0x0800, &packet)[..], &[0; 20]].concat()).expect("a packet");
        assert_eq!((&payload[..], packet.missing), (&b"short"[..], 0));
    }
}

#[test]
fn a_length_left_to_the_hardware_is_all_that_is_there() {
    let mut four = ipv4(17, &udp(53, b"offload"));
    four[2..4].fill(0);
    let mut six = ipv6(17, &udp(53, b"offload"));
    six[4..6].fill(0);
    for bytes in [ethernet(0x0800, &four), ethernet(0x86DD, &six)] {
        assert_eq!(decoded(&bytes).expect("a packet").1, b"offload");
    }
}

// --- against another reader

/// A packet as etherparse writes it, with what it should be read as.
#[derive(Clone, Debug)]
struct Written {
    vlans: Vec<u16>,
    pair: (Address, Address),
    carried: Carried,
    payload: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Carried {
    Tcp((u16, u16), u32, u32, u8),
    Udp((u16, u16)),
    Icmp(u16, u16),
}

impl Written {
    fn is_four(&self) -> bool {
        self.pair.0.starts_with(&ipv4::mapped(&[0; 4])[..12])
    }

    fn bytes(&self) -> Vec<u8> {
        let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let id = |at: usize| etherparse::VlanId::try_new(self.vlans[at]).expect("twelve bits");
        let tail = |address: &Address| <[u8; 4]>::try_from(&address[12..]).expect("four bytes");
        let ip = |step: PacketBuilderStepAny| match (step, self.is_four()) {
            (PacketBuilderStepAny::Plain(step), true) => step.ipv4(tail(&self.pair.0), tail(&self.pair.1), 9),
            (PacketBuilderStepAny::Plain(step), false) => step.ipv6(self.pair.0, self.pair.1, 9),
            (PacketBuilderStepAny::Tagged(step), true) => step.ipv4(tail(&self.pair.0), tail(&self.pair.1), 9),
            (PacketBuilderStepAny::Tagged(step), false) => step.ipv6(self.pair.0, self.pair.1, 9),
        };
        let step = ip(match self.vlans.len() {
            0 => PacketBuilderStepAny::Plain(link),
            1 => PacketBuilderStepAny::Tagged(link.single_vlan(id(0))),
            _ => PacketBuilderStepAny::Tagged(link.double_vlan(id(0), id(1))),
        });
        let mut out = Vec::new();
        match self.carried {
            Carried::Udp((from, to)) => step.udp(from, to).write(&mut out, &self.payload),
            Carried::Icmp(kind, code) if self.is_four() => {
                step.icmpv4_raw(kind as u8, code as u8, [0; 4]).write(&mut out, &self.payload)
            }
            Carried::Icmp(kind, code) => step.icmpv6_raw(kind as u8, code as u8, [0; 4]).write(&mut out, &self.payload),
            Carried::Tcp((from, to), seq, ack, flags) => {
                let mut header = etherparse::TcpHeader::new(from, to, seq, 512);
                header.acknowledgment_number = ack;
                header.fin = flags & tcp_flag::FIN != 0;
                header.syn = flags & tcp_flag::SYN != 0;
                header.rst = flags & tcp_flag::RST != 0;
                header.psh = flags & 0x08 != 0;
                header.ack = flags & tcp_flag::ACK != 0;
                header.urg = flags & 0x20 != 0;
                header.set_options_raw(&vec![1; usize::from(flags % 4) * 4]).expect("short options");
                step.tcp_header(header).write(&mut out, &self.payload)
            }
        }
        .expect("a packet");
        out
    }
}

/// A builder behind its link header, with or without tags.
enum PacketBuilderStepAny {
    Plain(etherparse::PacketBuilderStep<etherparse::Ethernet2Header>),
    Tagged(etherparse::PacketBuilderStep<etherparse::VlanHeader>),
}

fn written() -> impl Strategy<Value = Written> {
    let four = any::<([u8; 4], [u8; 4])>().prop_map(|(one, other)| (ipv4::mapped(&one), ipv4::mapped(&other)));
    let six = any::<([u8; 15], [u8; 16])>().prop_map(|(one, other)| {
        let mut source = [0x20; 16];
        source[1..].copy_from_slice(&one);
        (source, other)
    });
    // no tunnel has a port of its own there
    let ports = (10_000..30_000u16, 10_000..30_000u16);
    let carried = prop_oneof![
        (ports.clone(), any::<(u32, u32)>(), 0..64u8)
            .prop_map(|(ports, (seq, ack), flags)| Carried::Tcp(ports, seq, ack, flags)),
        ports.prop_map(Carried::Udp),
        any::<(u8, u8)>().prop_map(|(kind, code)| Carried::Icmp(kind.into(), code.into())),
    ];
    let vlans = proptest::collection::vec(1..4096u16, 0..3);
    let payload = proptest::collection::vec(any::<u8>(), 0..200);
    (vlans, prop_oneof![four, six], carried, payload).prop_map(|(vlans, pair, carried, payload)| Written {
        vlans,
        pair,
        carried,
        payload,
    })
}

/// Decodes and peeks; wherever both know the pair, it is the same.
fn agreed(bytes: &[u8]) -> Result<(), TestCaseError> {
    let peeked = peek(&frame(bytes));
    if let (Some(pair), Ok((packet, _))) = (peeked, decoded(bytes)) {
        prop_assert_eq!(pair, (packet.source, packet.destination));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_packet_is_read_as_it_was_written(written in written(), padding in 0..30usize) {
        let mut bytes = written.bytes();
        bytes.extend(vec![0; padding]);
        let (packet, payload) = decoded(&bytes).expect("a packet");
        prop_assert_eq!((packet.source, packet.destination), written.pair);
        prop_assert_eq!(peek(&frame(&bytes)), Some(written.pair));
        let vlans = [0, 1].map(|at| written.vlans.get(at).copied().unwrap_or(0));
        prop_assert_eq!((packet.vlans, packet.missing, packet.tunnel), (vlans, 0, None));
        match written.carried {
            Carried::Tcp(ports, seq, ack, flags) => {
                prop_assert_eq!(packet.ports, ports);
                prop_assert_eq!(packet.segment, Segment { seq, ack, flags });
                prop_assert_eq!(payload, written.payload);
            }
            Carried::Udp(ports) => {
                prop_assert_eq!(packet.ports, ports);
                prop_assert_eq!(payload, written.payload);
            }
            Carried::Icmp(kind, code) => {
                prop_assert_eq!(packet.ports, (kind, code));
                prop_assert_eq!(&payload[4..], &written.payload);
            }
        }
    }

    #[test]
    fn damaged_packets_never_divide_those_who_peek_from_those_who_decode(
        written in written(),
        changes in proptest::collection::vec((0..120usize, any::<u8>()), 0..5),
        kept in 0..200usize,
    ) {
        let mut bytes = written.bytes();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        agreed(&bytes)?;
        bytes.truncate(kept);
        agreed(&bytes)?;
    }

    #[test]
    fn any_bytes_are_a_packet_or_have_a_fate(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..4usize) {
        let kinds = [0x0800, 0x86DD, 0x8100, 0x88A8];
        agreed(&bytes)?;
        agreed(&ethernet(kinds[kind], &bytes))?;
        agreed(&ethernet(0x0800, &ipv4(bytes.first().copied().unwrap_or(0), &bytes)))?;
        agreed(&ethernet(0x86DD, &ipv6(bytes.first().copied().unwrap_or(0), &bytes)))?;
    }
}
