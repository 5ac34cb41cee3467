//! ESP (RFC 4303) that only signs (RFC 2410): a packet in clear between its numbers and its trailer. Whether a security
//! association encrypts is agreed on elsewhere, so it is believed only where packet, padding and next header all agree.

use super::{Fate, Malformed, Next, Peeling, Tunnel, likely, link};

pub(super) const PROTOCOL: u8 = 50;
const HEADER_BYTES: usize = 8;
/// The longest integrity check values are SHA-512's half.
const CHECK_BYTES_MAX: usize = 32;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "esp", peel };

/// A whole IP packet, padding 1, 2, 3, ..., its length, the packet's number, and no more than a check value.
pub(super) fn is_certain(bytes: &[u8]) -> bool {
    let Some(carried) = bytes.get(HEADER_BYTES..) else { return false };
    let Some(length) = likely::packet_bytes(carried) else { return false };
    let next = if carried[0] >> 4 == 4 { 4 } else { 41 };
    let trailer = &carried[length..];
    let padding = trailer.iter().zip(1u8..).take_while(|(byte, at)| **byte == *at).count();
    // the length may itself look like one more byte of padding
    let ends = |count: usize| {
        let rest = trailer.get(count..);
        matches!(rest, Some([len, number, check @ ..]) if usize::from(*len) == count && *number == next && check.len() <= CHECK_BYTES_MAX)
    };
    (0..=padding).any(ends)
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    peeling.take(HEADER_BYTES, Malformed::EspShort)?;
    Ok((0, Next::Header(link::raw)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, inner, ipv4, ipv6, tunnelled, udp, udp_frame};
    use super::*;

    #[test]
    fn a_packet_in_clear_is_read_and_anything_else_is_opaque() {
        let esp =
            |packet: &[u8], trailer: &[u8]| [&[0, 0, 1, 2, 0, 0, 0, 9][..], packet, trailer, &[0xEE; 12]].concat();
        let six = ipv6(17, &udp(53, b"inside"));
        for good in [esp(&inner(), &[1, 2, 2, 4]), esp(&inner(), &[0, 4]), esp(&six, &[1, 2, 3, 3, 41])] {
            tunnelled(&ethernet(0x0800, &ipv4(PROTOCOL, &good)), "esp", 0);
            tunnelled(&udp_frame(4500, &good), "esp", 0);
        }
        for bad in [
            esp(&inner(), &[1, 2, 3, 4]),
            esp(&inner(), &[2, 2, 2, 4]),
            esp(&six, &[0, 4]),
            esp(&inner()[..20], &[0, 4]),
        ] {
            assert_eq!(decoded(&ethernet(0x0800, &ipv4(PROTOCOL, &bad))).expect("a packet").0.tunnel, None);
        }
    }
}
