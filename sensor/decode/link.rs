//! What a frame begins with, by link type: one row each. Source: the tcpdump project's list of link-layer header types.

use super::{Fate, Malformed, Next, Peel, Peeling, ethernet, hdlc, juniper, llc, nflog, ppp, wifi};
use crate::capture::Link;
use crate::limits::LINK_WRAPPINGS_MAX;

/// What follows a link header of this type.
enum First {
    Ethertype(u16),
    Header(Peel),
    /// This many bytes that say nothing, then a header.
    Skip(usize, Peel),
    /// A header that names the link type of what follows it.
    Names(fn(&mut Peeling<'_>) -> Result<u16, Fate>),
}

static LINKS: [(u16, First); 48] = [
    (113, First::Header(linux_cooked)),
    (276, First::Header(linux_cooked_2)),
    (0, First::Header(loopback)),
    (108, First::Header(loopback)),
    (101, First::Header(raw)),
    (12, First::Header(raw)),
    (14, First::Header(raw)),
    (228, First::Ethertype(ethernet::IPV4)),
    (229, First::Ethertype(ethernet::IPV6)),
    (105, First::Header(wifi::peel)),
    (127, First::Header(wifi::radiotap)),
    (163, First::Header(wifi::avs)),
    (119, First::Header(wifi::prism)),
    (192, First::Names(per_packet_information)),
    (258, First::Names(pktap)),
    (9, First::Header(hdlc::serial)),
    (50, First::Header(hdlc::serial)),
    (51, First::Header(ppp::of_a_link)),
    // one byte says which way
    (166, First::Skip(2, ppp::peel)),
    (204, First::Skip(1, ppp::peel)),
    (205, First::Skip(1, hdlc::cisco)),
    (206, First::Skip(1, hdlc::frame_relay)),
    (104, First::Header(hdlc::cisco)),
    (107, First::Header(hdlc::frame_relay)),
    // SLIP: direction and the compressed header
    (8, First::Skip(16, raw)),
    (239, First::Header(nflog::peel)),
    // frame control and addresses, then LLC
    (10, First::Skip(13, llc::peel)),
    (6, First::Header(token_ring)),
    (122, First::Skip(16, llc::peel)),
    (100, First::Header(llc::peel)),
    (106, First::Header(classical_ip)),
    (123, First::Header(sun_atm)),
    (138, First::Skip(16, ethernet::kind_first)),
    (242, First::Header(infiniband)),
    (219, First::Ethertype(ethernet::MPLS)),
    (109, First::Skip(12, raw)),
    (117, First::Header(packet_filter_log)),
    // Solaris' ipnet: version, family, hook, lengths and zones
    (226, First::Skip(24, raw)),
    // time and port of a network analyser, without and with the preamble
    (240, First::Skip(4, ethernet::peel)),
    (241, First::Skip(12, ethernet::peel)),
    (274, First::Header(ethernet_with_preamble)),
    // tags of switch chips, between the addresses and the type
    (281, First::Skip(16, ethernet::kind_first)),
    (284, First::Skip(16, ethernet::kind_first)),
    (285, First::Skip(20, ethernet::kind_first)),
    (178, First::Header(juniper::ethernet)),
    (179, First::Header(juniper::ppp)),
    (180, First::Header(juniper::frame_relay)),
    (181, First::Header(juniper::cisco)),
];

/// The first header, with anything before it taken off.
pub(super) fn first(peeling: &mut Peeling<'_>, link: Link) -> Result<Next, Fate> {
    if link == Link::ETHERNET {
        return Ok(Next::Ethernet);
    }
    let mut link = link.0;
    for _ in 0..LINK_WRAPPINGS_MAX {
        match LINKS.iter().find(|row| row.0 == link).map(|row| &row.1) {
            None if link == Link::ETHERNET.0 => return Ok(Next::Ethernet),
            None => return Err(Fate::LinkUnknown),
            Some(First::Ethertype(kind)) => return Ok(Next::Ethertype(*kind)),
            Some(First::Header(peel)) => return Ok(Next::Header(*peel)),
            Some(First::Skip(len, peel)) => {
                peeling.take(*len, Malformed::LinkShort)?;
                return Ok(Next::Header(*peel));
            }
            Some(First::Names(named)) => link = named(peeling)?,
        }
    }
    Err(Malformed::TooManyHeaders.into())
}

/// IP of whichever version its first four bits say.
pub(super) fn raw(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    match peeling.bytes.first().map(|byte| byte >> 4) {
        None => Err(Malformed::LinkShort.into()),
        Some(4) => Ok(Next::Ethertype(ethernet::IPV4)),
        Some(6) => Ok(Next::Ethertype(ethernet::IPV6)),
        Some(_) => Err(Fate::NotIp),
    }
}

/// BSD loopback: the address family in the writer's byte order. IPv6 has a number of its own on every system.
fn loopback(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(4, Malformed::LinkShort)?;
    let family = match *head {
        [family, 0, 0, 0] | [0, 0, 0, family] => family,
        _ => 0,
    };
    match family {
        // IPv4; IPv6 of Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS
        2 | 10 | 23 | 24 | 28 | 30 => raw(peeling),
        _ => Err(Fate::NotIp),
    }
}

/// Linux cooked capture v1: the ethertype ends a header of 16 bytes.
fn linux_cooked(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(16, Malformed::LinkShort)?;
    cooked([head[2], head[3]], [head[14], head[15]])
}

/// Linux cooked capture v2: the ethertype begins a header of 20 bytes.
fn linux_cooked_2(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(20, Malformed::LinkShort)?;
    cooked([head[8], head[9]], [head[0], head[1]])
}

/// What an interface of this hardware (Linux `ARPHRD_`) captured; only radios and frame relay do not say it by ethertype.
fn cooked(hardware: [u8; 2], kind: [u8; 2]) -> Result<Next, Fate> {
    match u16::from_be_bytes(hardware) {
        770 => Ok(Next::Header(hdlc::frame_relay)),
        801 => Ok(Next::Header(wifi::peel)),
        802 => Ok(Next::Header(wifi::prism)),
        803 => Ok(Next::Header(wifi::radiotap)),
        824 => Err(Fate::NotIp), // netlink
        _ => Ok(Next::Ethertype(u16::from_be_bytes(kind))),
    }
}

/// PPI: version, flags, length and the link type of what follows, in little-endian order.
fn per_packet_information(peeling: &mut Peeling<'_>) -> Result<u16, Fate> {
    let Some(head) = peeling.bytes.first_chunk::<8>() else { return Err(Malformed::LinkShort.into()) };
    let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
    peeling.take(length.max(head.len()), Malformed::LinkShort)?;
    u16::try_from(u32::from_le_bytes([head[4], head[5], head[6], head[7]])).map_err(|_| Fate::LinkUnknown)
}

/// PKTAP of macOS: length, kind of record, link type, in little-endian order.
fn pktap(peeling: &mut Peeling<'_>) -> Result<u16, Fate> {
    let Some(head) = peeling.bytes.first_chunk::<12>() else { return Err(Malformed::LinkShort.into()) };
    let [length, _, link] =
        [0, 4, 8].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    peeling.take((length as usize).max(head.len()), Malformed::LinkShort)?;
    u16::try_from(link).map_err(|_| Fate::LinkUnknown)
}

/// Token ring (IEEE 802.5): a source address with its first bit set is followed by a route.
fn token_ring(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(14, Malformed::LinkShort)?;
    if head[8] & 0x80 != 0 {
        let route = peeling.bytes.first().map_or(0, |byte| usize::from(byte & 0x1F));
        peeling.take(route, Malformed::LinkShort)?;
    }
    Ok(Next::Header(llc::peel))
}

/// Linux' classical IP over ATM: LLC, or IP alone.
fn classical_ip(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    Ok(Next::Header(if peeling.bytes.first() == Some(&0xAA) { llc::peel } else { raw }))
}

/// SunATM: direction and kind of traffic, channel. Kind 2 is LLC.
fn sun_atm(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    match peeling.take(4, Malformed::LinkShort)?[0] & 0x0F {
        2 => Ok(Next::Header(llc::peel)),
        _ => Err(Fate::NotIp),
    }
}

/// IP over InfiniBand: a global route header of 40 bytes, then ethertype and two reserved bytes (RFC 4391, 6).
fn infiniband(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(44, Malformed::LinkShort)?;
    Ok(Next::Ethertype(u16::from_be_bytes([head[40], head[41]])))
}

/// OpenBSD's pflog: the first byte is the header's length before its padding to four.
fn packet_filter_log(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let length = peeling.bytes.first().map_or(0, |&length| usize::from(length).next_multiple_of(4));
    peeling.take(length.max(4), Malformed::LinkShort)?;
    raw(peeling)
}

/// IEEE 802.3br mPackets: seven bytes of preamble, then what the frame is. Pieces of a frame that gave way are not read.
fn ethernet_with_preamble(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    const WHOLE_FRAME: u8 = 0xD5;
    match peeling.take(8, Malformed::LinkShort)?[7] {
        WHOLE_FRAME => Ok(Next::Ethernet),
        _ => Err(Fate::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::tests::{decoded_on, ethernet, inner, ipv6, refused_on, udp};
    use super::*;

    fn zeros(len: usize) -> Vec<u8> {
        vec![0; len]
    }

    #[test]
    fn no_link_type_has_two_rows() {
        let numbers: HashSet<u16> = LINKS.iter().map(|row| row.0).collect();
        assert_eq!(numbers.len(), LINKS.len());
        assert!(!numbers.contains(&Link::ETHERNET.0));
    }

    #[test]
    fn loopback_is_read_in_either_byte_order_and_with_each_systems_families() {
        let six = ipv6(17, &udp(53, b"inside"));
        for family in [2u32, 10, 23, 24, 28, 30] {
            let packet = if family == 2 { inner() } else { six.clone() };
            for head in [family.to_le_bytes(), family.to_be_bytes()] {
                for link in [0, 108] {
                    let bytes = [&head[..], &packet].concat();
                    assert_eq!(decoded_on(link, &bytes).expect("a packet").1, b"inside", "{head:?}");
                }
            }
        }
        assert_eq!(decoded_on(0, &[&[7, 0, 0, 0][..], &inner()].concat()), Err(Fate::NotIp));
        refused_on(0, &[2, 0, 0], Malformed::LinkShort);
    }

    #[test]
    fn cooked_captures_name_what_follows() {
        let one = |hardware: u16, kind: u16| {
            [&zeros(2)[..], &hardware.to_be_bytes(), &zeros(10), &kind.to_be_bytes()].concat()
        };
        let two = |hardware: u16, kind: u16| {
            [&kind.to_be_bytes()[..], &zeros(6), &hardware.to_be_bytes(), &zeros(10)].concat()
        };
        let llc = [&[0xAA, 0xAA, 3, 0, 0, 0, 8, 0][..], &inner()].concat();
        let wifi = [&[8, 0][..], &zeros(22), &llc].concat();
        let radiotap = [&[0, 0, 8, 0, 0, 0, 0, 0][..], &wifi].concat();
        for (hardware, kind, rest) in [(1, 0x0800, &inner()), (1, 4, &llc), (801, 0, &wifi), (803, 0, &radiotap)] {
            for (link, head) in [(113, one(hardware, kind)), (276, two(hardware, kind))] {
                let bytes = [&head[..], rest].concat();
                assert_eq!(decoded_on(link, &bytes).expect("a packet").1, b"inside", "{link} {hardware}");
            }
        }
        assert_eq!(decoded_on(113, &[&one(824, 0)[..], &inner()].concat()), Err(Fate::NotIp));
        refused_on(113, &zeros(15), Malformed::LinkShort);
        refused_on(276, &zeros(19), Malformed::LinkShort);
    }

    #[test]
    fn headers_that_name_a_link_type_are_followed_but_not_without_end() {
        let ppi = |link: u32, rest: &[u8]| [&[0, 0, 8, 0][..], &link.to_le_bytes(), rest].concat();
        let pktap = [&[12u8, 0, 0, 0, 1, 0, 0, 0, 101, 0, 0, 0][..], &inner()].concat();
        let frame = ethernet(0x0800, &inner());
        for (link, bytes) in
            [(192, ppi(1, &frame)), (192, ppi(101, &inner())), (258, pktap), (192, ppi(192, &ppi(1, &frame)))]
        {
            assert_eq!(decoded_on(link, &bytes).expect("a packet").1, b"inside", "{link}");
        }
        assert_eq!(decoded_on(192, &ppi(70_000, &frame)), Err(Fate::LinkUnknown));
        let endless = (0..9).fold(frame.clone(), |rest, _| ppi(192, &rest));
        refused_on(192, &endless, Malformed::TooManyHeaders);
        refused_on(192, &[0, 0, 9, 0, 1, 0, 0, 0], Malformed::LinkShort);
        refused_on(258, &[0; 11], Malformed::LinkShort);
    }

    #[test]
    fn other_links_have_fixed_places() {
        let llc = [&[0xAA, 0xAA, 3, 0, 0, 0, 8, 0][..], &inner()].concat();
        let kind = [&[8, 0][..], &inner()].concat();
        let frame = ethernet(0x0800, &inner());
        let routed = [&zeros(8)[..], &[0x80], &zeros(5), &[6, 0, 0, 1, 0, 2]].concat();
        let cases: [(u16, Vec<u8>, &[u8]); 25] = [
            (101, vec![], &inner()),
            (228, vec![], &inner()),
            (51, vec![0x11, 0, 0, 1, 0, 60, 0, 0x21], &inner()),
            (166, vec![1, 3, 0, 0x21], &inner()),
            (204, vec![1, 0xFF, 3, 0, 0x21], &inner()),
            (205, vec![1, 0x0F, 0], &kind),
            (206, vec![1, 0x18, 0x41], &kind),
            (8, zeros(16), &inner()),
            (10, zeros(13), &llc),
            (6, zeros(14), &llc),
            (6, routed, &llc),
            (122, zeros(16), &llc),
            (100, vec![], &llc),
            (106, vec![], &llc),
            (106, vec![], &inner()),
            (123, vec![0x82, 0, 0, 5], &llc),
            (138, zeros(16), &kind),
            (242, [&zeros(40)[..], &[8, 0, 0, 0]].concat(), &inner()),
            (219, vec![0, 1, 1, 64], &inner()),
            (109, zeros(12), &inner()),
            (117, [&[61][..], &zeros(63)].concat(), &inner()),
            (226, zeros(24), &inner()),
            (240, zeros(4), &frame),
            (274, vec![0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0xD5], &frame),
            (285, zeros(20), &kind),
        ];
        for (link, head, rest) in cases {
            let bytes = [&head[..], rest].concat();
            assert_eq!(decoded_on(link, &bytes).expect("a packet").1, b"inside", "{link}");
        }
        assert_eq!(decoded_on(274, &[0x55; 80]), Err(Fate::NotIp));
        assert_eq!(decoded_on(123, &[0x81; 80]), Err(Fate::NotIp));
        assert_eq!(decoded_on(147, &frame), Err(Fate::LinkUnknown));
    }
}
