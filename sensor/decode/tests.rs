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

fn decoded(bytes: &[u8]) -> Result<(Packet, Vec<u8>), Fate> {
    let mut fragments = Fragments::new((1, 2));
    let packet = decode(&frame(bytes), &mut fragments)?;
    Ok((packet, packet.payload(bytes, &fragments).to_vec()))
}

fn ethernet(kind: u16, bytes: &[u8]) -> Vec<u8> {
    [&[2; 12], &kind.to_be_bytes()[..], bytes].concat()
}

fn ipv4(protocol: u8, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16 + 20).to_be_bytes();
    let head = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    [&head[..], bytes].concat()
}

fn ipv6(next: u8, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16).to_be_bytes();
    let head = [0x60, 0, 0, 0, length[0], length[1], next, 64];
    [&head[..], &[0xFD; 16], &[0x20; 16], bytes].concat()
}

fn udp(port: u16, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16 + 8).to_be_bytes();
    [&[0x30, 0x39], &port.to_be_bytes()[..], &length, &[0, 0], bytes].concat()
}

fn inner() -> Vec<u8> {
    ipv4(17, &udp(53, b"inside"))
}

fn refused(bytes: &[u8], reason: Malformed) {
    assert_eq!(decoded(bytes).map(|(_, payload)| payload), Err(Fate::Malformed(reason)));
}

// --- tunnels

#[test]
fn gre_is_peeled_with_any_of_its_options() {
    for flags in 0..8u8 {
        let options = vec![0xEE; flags.count_ones() as usize * 4];
        let bits = (flags & 1) << 7 | (flags >> 1 & 1) << 5 | (flags >> 2 & 1) << 4;
        let gre = [&[bits, 0, 8, 0][..], &options, &inner()].concat();
        let (packet, payload) = decoded(&ethernet(0x0800, &ipv4(47, &gre))).expect("a packet");
        assert_eq!((packet.tunnel.map(|tunnel| tunnel.name), &payload[..]), (Some("gre"), &b"inside"[..]));
        let cut = [&[bits, 0, 8, 0][..], options.get(..3).unwrap_or_default()].concat();
        let reason = if flags == 0 { Malformed::Ipv4Short } else { Malformed::GreShort };
        refused(&ethernet(0x0800, &ipv4(47, &cut)), reason);
    }
}

#[test]
fn gre_that_carries_something_else_is_a_packet_of_its_own() {
    for head in [[0x40, 0, 8, 0], [0, 1, 8, 0], [0, 0, 0x88, 0x0B]] {
        let (packet, payload) = decoded(&ethernet(0x0800, &ipv4(47, &head))).expect("a packet");
        assert_eq!((packet.protocol, packet.tunnel, payload.len()), (47, None, 4));
    }
}

#[test]
fn vxlan_tells_its_network_and_keeps_only_outer_tags() {
    let carried = ethernet(0x8100, &[&[0, 9, 8, 0], &inner()[..]].concat());
    let outer = ipv4(17, &udp(4789, &[&[8, 0, 0, 0, 0, 1, 2, 0], &carried[..]].concat()));
    let (packet, payload) = decoded(&ethernet(0x8100, &[&[0, 5, 8, 0], &outer[..]].concat())).expect("a packet");
    let tunnel = packet.tunnel.expect("a tunnel");
    assert_eq!((tunnel.name, tunnel.id, tunnel.depth, packet.vlans), ("vxlan", 0x0102, 1, [5, 0]));
    assert_eq!((packet.ports.1, &payload[..]), (53, &b"inside"[..]));
    let (packet, _) =
        decoded(&ethernet(0x0800, &ipv4(17, &udp(4789, b"a datagram without the flag")))).expect("a packet");
    assert_eq!((packet.ports.1, packet.tunnel), (4789, None));
}

#[test]
fn ip_in_ip_is_peeled_to_the_innermost_packet_and_no_deeper_than_is_sane() {
    let both = ipv4(41, &ipv6(4, &inner()));
    let (packet, payload) = decoded(&ethernet(0x0800, &both)).expect("a packet");
    assert_eq!(packet.tunnel.map(|tunnel| (tunnel.name, tunnel.depth)), Some(("ipip", 2)));
    assert_eq!((packet.source, &payload[..]), (ipv4::mapped(&[10, 0, 0, 1]), &b"inside"[..]));
    let deep = (0..HEADERS_MAX).fold(inner(), |carried, _| ipv4(4, &carried));
    refused(&ethernet(0x0800, &deep), Malformed::TooManyHeaders);
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
fn a_fragment_inside_a_datagram_of_fragments_is_refused() {
    let nested = ipv4(17, &[0; 16]);
    let nested = [&nested[..6], &[0x20, 0], &nested[8..]].concat();
    let mut fragments = Fragments::new((1, 2));
    let piece = |field: u8, bytes: &[u8]| ethernet(0x86DD, &ipv6(44, &[&[4, 0, 0, field, 0, 0, 0, 7], bytes].concat()));
    assert_eq!(decode(&frame(&piece(1, &nested[..32])), &mut fragments), Err(Fate::FragmentKept));
    let last = decode(&frame(&piece(32, &nested[32..])), &mut fragments);
    assert_eq!(last, Err(Fate::Malformed(Malformed::FragmentNested)));
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
    let ports = any::<(u16, u16)>().prop_map(|(from, to)| (from, if to == vxlan::PORT { 1 } else { to }));
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
