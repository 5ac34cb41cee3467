//! GRE (RFC 2784, 2890), its old source routes (RFC 1701), and PPTP's version 1 (RFC 2637). ERSPAN is in a file of its own.

use super::{Fate, Malformed, Next, Peeling, Tunnel, ethernet, ipv4, link, wifi};
use crate::limits::EXTENSIONS_MAX;

pub(super) const PROTOCOL: u8 = 47;
const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
pub(super) const SEQUENCE: u16 = 0x1000;
const ACKNOWLEDGMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;
/// Cisco's cache redirection (WCCP).
const REDIRECTED: u16 = 0x883E;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "gre", peel };

/// GRE in UDP (RFC 8086): a header without source route or reserved bits, with something inside that we read.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<4>() else { return false };
    let flags = u16::from_be_bytes([head[0], head[1]]);
    flags & !(CHECKSUM | KEY | SEQUENCE) == 0 && ethernet::is_known(u16::from_be_bytes([head[2], head[3]]))
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let (flags, carried, key) = header(peeling)?;
    match carried {
        // NVGRE (RFC 7637, 3.2): the key's upper 24 bits are the network
        ethernet::BRIDGED => Ok((if flags == KEY { key >> 8 } else { 0 }, Next::Ethernet)),
        // frames of access points, one number for each of their queues
        0x8200..=0x82FF | 0x9000..=0x90FF => Ok((0, Next::Header(wifi::peel_either))),
        REDIRECTED => {
            // version 2 of the protocol has a header of four bytes before the packet
            if !ipv4::is_likely(peeling.bytes) {
                peeling.take(4, Malformed::GreShort)?;
            }
            Ok((0, Next::Header(link::raw)))
        }
        // a keep-alive, or a number that is no ethertype
        ..=ethernet::LENGTH_MAX => Err(Fate::NotIp),
        kind => Ok((0, Next::Ethertype(kind))),
    }
}

/// Takes the header; says its flags, what it carries and its key.
pub(super) fn header(peeling: &mut Peeling<'_>) -> Result<(u16, u16, u32), Fate> {
    let head = peeling.take(4, Malformed::GreShort)?;
    let flags = u16::from_be_bytes([head[0], head[1]]);
    let carried = u16::from_be_bytes([head[2], head[3]]);
    match flags & VERSION {
        0 => {}
        1 => return point_to_point(peeling, flags).map(|()| (flags, ethernet::PPP, 0)),
        _ => return Err(Malformed::GreVersion.into()),
    }
    // a source route needs the checksum's word too
    if flags & (CHECKSUM | ROUTING) != 0 {
        peeling.take(4, Malformed::GreShort)?;
    }
    let key = match flags & KEY {
        0 => &[0; 4],
        _ => peeling.take(4, Malformed::GreShort)?,
    };
    let key = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
    if flags & SEQUENCE != 0 {
        peeling.take(4, Malformed::GreShort)?;
    }
    if flags & ROUTING != 0 {
        routes(peeling)?;
    }
    Ok((flags, carried, key))
}

/// RFC 1701: entries of family, offset and length, until one without a length.
fn routes(peeling: &mut Peeling<'_>) -> Result<(), Fate> {
    for _ in 0..EXTENSIONS_MAX {
        let head = peeling.take(4, Malformed::GreShort)?;
        if head[3] == 0 {
            return Ok(());
        }
        peeling.take(usize::from(head[3]), Malformed::GreShort)?;
    }
    Err(Malformed::TooManyHeaders.into())
}

/// Version 1: the key is a length and a call; without a sequence number there is no payload.
fn point_to_point(peeling: &mut Peeling<'_>, flags: u16) -> Result<(), Fate> {
    let key = peeling.take(4, Malformed::GreShort)?;
    if flags & SEQUENCE == 0 {
        return Err(Fate::NotIp);
    }
    peeling.take(4, Malformed::GreShort)?;
    if flags & ACKNOWLEDGMENT != 0 {
        peeling.take(4, Malformed::GreShort)?;
    }
    let length = usize::from(u16::from_be_bytes([key[0], key[1]]));
    if length > peeling.bytes.len() + peeling.missing as usize {
        return Err(Malformed::GreLength.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, flawed, inner, ipv4, tunnelled};
    use super::*;

    fn within(gre: &[u8]) -> Vec<u8> {
        ethernet(0x0800, &ipv4(PROTOCOL, gre))
    }

    #[test]
    fn gre_is_peeled_with_any_of_its_options() {
        for flags in 0..8u8 {
            let options = vec![0xEE; flags.count_ones() as usize * 4];
            let bits = (flags & 1) << 7 | (flags >> 1 & 1) << 5 | (flags >> 2 & 1) << 4;
            let gre = [&[bits, 0, 8, 0][..], &options, &inner()].concat();
            tunnelled(&within(&gre), "gre", 0);
            let cut = [&[bits, 0, 8, 0][..], options.get(..3).unwrap_or_default()].concat();
            flawed(&within(&cut), if flags == 0 { Malformed::Ipv4Short } else { Malformed::GreShort });
        }
    }

    #[test]
    fn what_gre_carries_is_named_by_ethertype() {
        let frame = ethernet(0x0800, &inner());
        let wifi = [&[8, 0][..], &[0; 22], &[0xAA, 0xAA, 3, 0, 0, 0, 8, 0], &inner()].concat();
        let swapped = [&[0, 8][..], &wifi[2..]].concat();
        let cases: [(u16, &[u8], &[u8]); 7] = [
            (0x6558, &[], &frame),
            (0x8847, &[0, 1, 1, 64], &inner()),
            (0x880B, &[0xFF, 3, 0, 0x21], &inner()),
            (0x8200, &[], &wifi),
            (0x82F0, &[], &swapped),
            (0x883E, &[], &inner()),
            (0x883E, &[0, 1, 0, 0], &inner()),
        ];
        for (kind, head, rest) in cases {
            tunnelled(&within(&[&[0, 0][..], &kind.to_be_bytes(), head, rest].concat()), "gre", 0);
        }
    }

    #[test]
    fn the_network_of_nvgre_is_the_keys_and_not_its_flow() {
        let gre = [&[0x20, 0, 0x65, 0x58, 0, 1, 2, 0xFF][..], &ethernet(0x0800, &inner())].concat();
        tunnelled(&within(&gre), "gre", 0x0102);
    }

    #[test]
    fn pptp_is_ppp_behind_its_numbers() {
        let length = inner().len() as u8 + 2;
        for (flags, numbers) in [([0x30, 0x01], 4), ([0x30, 0x81], 8)] {
            let head = [&flags[..], &[0x88, 0x0B, 0, length, 0, 7], &vec![0; numbers], &[0, 0x21]].concat();
            tunnelled(&within(&[&head[..], &inner()].concat()), "gre", 0);
        }
        let (packet, _) = decoded(&within(&[0x20, 0x81, 0x88, 0x0B, 0, 0, 0, 7, 0, 0, 0, 1])).expect("a packet");
        assert_eq!((packet.protocol, packet.tunnel, packet.flaw), (PROTOCOL, None, None));
        flawed(&within(&[0x30, 1, 0x88, 0x0B, 0, 99, 0, 7, 0, 0, 0, 1, 0, 0x21]), Malformed::GreLength);
    }

    #[test]
    fn a_source_route_is_walked_to_its_end() {
        let routed = |routes: &[u8]| within(&[&[0x40, 0, 8, 0, 0, 0, 0, 0][..], routes, &inner()].concat());
        tunnelled(&routed(&[8, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0]), "gre", 0);
        flawed(&routed(&[8, 0, 0, 200]), Malformed::GreShort);
    }

    #[test]
    fn gre_that_carries_something_else_is_a_packet_of_its_own() {
        for (head, flaw) in [([0, 2, 8, 0], Some(Malformed::GreVersion)), ([0, 0, 0x20, 0], None), ([0; 4], None)] {
            let (packet, payload) = decoded(&within(&head)).expect("a packet");
            assert_eq!((packet.protocol, packet.tunnel, payload.len(), packet.flaw), (47, None, 4, flaw));
        }
    }
}
