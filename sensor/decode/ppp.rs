//! PPP (RFC 1661) as it comes over PPPoE, PPTP, L2TP and serial lines.

use super::{Fate, Malformed, Next, Peeling, ethernet};

const IPV4: u16 = 0x0021;
const IPV6: u16 = 0x0057;
const BRIDGED: u16 = 0x0031;
const MULTILINK: u16 = 0x003D;
const MPLS: [u16; 2] = [0x0281, 0x0283];

/// PPP with or without address and control (RFC 1662, 3.1), the protocol in one byte or two (RFC 1661, 6.5).
pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    if peeling.bytes.starts_with(&[0xFF, 0x03]) {
        peeling.take(2, Malformed::PppShort)?;
    }
    let first = peeling.take(1, Malformed::PppShort)?[0];
    let protocol = match first & 1 {
        0 => u16::from_be_bytes([first, peeling.take(1, Malformed::PppShort)?[0]]),
        _ => u16::from(first),
    };
    match protocol {
        IPV4 => Ok(Next::Ethertype(ethernet::IPV4)),
        IPV6 => Ok(Next::Ethertype(ethernet::IPV6)),
        BRIDGED => bridged(peeling),
        MULTILINK => multilink(peeling),
        _ if MPLS.contains(&protocol) => Ok(Next::Ethertype(ethernet::MPLS)),
        _ => Err(Fate::NotIp),
    }
}

/// A PPPoE session (RFC 2516, 4).
pub(super) fn session(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(6, Malformed::PppoeShort)?;
    if head[..2] != [0x11, 0] {
        return Err(Malformed::PppoeHeader.into());
    }
    Ok(Next::Header(peel))
}

/// The other ethertype of PPPoE is discovery, which carries no packet; on a link that is PPPoE alone the code tells.
pub(super) fn of_a_link(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    match peeling.bytes.get(1) {
        Some(0) | None => session(peeling),
        Some(_) => Err(Fate::NotIp),
    }
}

/// An Ethernet frame (RFC 3518, 4.2): flags, then what kind of frame.
fn bridged(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    match peeling.take(2, Malformed::PppShort)?[1] {
        1 => Ok(Next::Ethernet),
        _ => Err(Fate::NotIp),
    }
}

/// A packet that fits one fragment of multilink PPP (RFC 1990, 3); pieces of larger ones are not put together.
fn multilink(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    const BEGINNING_AND_END: u8 = 0xC0;
    let head = peeling.take(2, Malformed::PppShort)?;
    if head[0] & BEGINNING_AND_END != BEGINNING_AND_END {
        return Err(Fate::NotIp);
    }
    // the long form has 24 bits of number behind six reserved ones; which form was agreed on is not in the packet
    let names_ip = |at: usize| matches!(peeling.bytes.get(at..), Some([0x21 | 0x57, ..] | [0, 0x21 | 0x57, ..]));
    if head[0] & 0x3F == 0 && names_ip(2) && !names_ip(0) {
        peeling.take(2, Malformed::PppShort)?;
    }
    Ok(Next::Header(peel))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, inner, ipv6, refused, udp};
    use super::*;

    fn over_ethernet(rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        ethernet(0x8864, &[&[0x11, 0, 0, 7, length[0], length[1]], rest].concat())
    }

    #[test]
    fn a_packet_is_found_however_its_protocol_is_written() {
        let heads: [&[u8]; 7] = [
            &[0, 0x21],
            &[0x21],
            &[0xFF, 3, 0, 0x21],
            &[0, 0x3D, 0xC0, 0, 0, 1, 0, 0x21],
            &[0, 0x3D, 0xC0, 1, 0, 0x21],
            &[0x02, 0x81, 0, 1, 1, 64],
            &[0, 0x31, 0, 1, 2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 0],
        ];
        for head in heads {
            let bytes = over_ethernet(&[head, &inner()].concat());
            assert_eq!(decoded(&bytes).expect("a packet").1, b"inside", "{head:02x?}");
        }
        let six = over_ethernet(&[&[0, 0x57][..], &ipv6(17, &udp(53, b"inside"))].concat());
        assert_eq!(decoded(&six).expect("a packet").1, b"inside");
    }

    #[test]
    fn control_protocols_discovery_and_pieces_are_not_ip() {
        for rest in [&[0xC0, 0x21, 1, 1][..], &[0, 0xFD, 0x90], &[0, 0x3D, 0x80, 0, 0, 1, 0, 0x21], &[0, 0x31, 0, 3]] {
            assert_eq!(decoded(&over_ethernet(rest)), Err(Fate::NotIp), "{rest:02x?}");
        }
        assert_eq!(decoded(&ethernet(0x8863, &[0x11, 9, 0, 0, 0, 4])), Err(Fate::NotIp));
        refused(&over_ethernet(&[]), Malformed::PppShort);
        refused(&ethernet(0x8864, &[0x11, 0, 0]), Malformed::PppoeShort);
        refused(&ethernet(0x8864, &[0x12, 0, 0, 7, 0, 2, 0, 0x21]), Malformed::PppoeHeader);
    }
}
