//! GTP's user plane: version 1 (3GPP TS 29.281) and version 0 (GSM 09.60). Tunnel ids differ in both directions, so none is
//! told: the outer pair names the tunnel.

use super::{Fate, Malformed, Next, Peeling, Tunnel, link};
use crate::limits::EXTENSIONS_MAX;

const HEADER_BYTES: usize = 8;
const HEADER_0_BYTES: usize = 20;
const USER_DATA: u8 = 255;
/// One of extension, sequence number and N-PDU number makes room for all three.
const OPTIONAL: u8 = 0x07;
const EXTENSION: u8 = 0x04;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "gtp", peel };
pub(super) static TUNNEL_0: Tunnel = Tunnel { name: "gtp", peel: peel_0 };

/// Version 1, not GTP prime, user data, and a length that fits in `promised` bytes.
pub(super) fn is_header(bytes: &[u8], promised: usize) -> bool {
    bytes.len() >= HEADER_BYTES
        && bytes[0] >> 4 == 3
        && bytes[1] == USER_DATA
        && usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) + HEADER_BYTES <= promised
}

/// Version 0, not GTP prime, user data, and a length that fits in `promised` bytes.
pub(super) fn is_header_0(bytes: &[u8], promised: usize) -> bool {
    bytes.len() >= HEADER_0_BYTES
        && bytes[0] >> 4 == 1
        && bytes[1] == USER_DATA
        && usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) + HEADER_0_BYTES <= promised
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let head = peeling.take(HEADER_BYTES, Malformed::GtpShort)?;
    if head[0] & OPTIONAL != 0 {
        let more = peeling.take(4, Malformed::GtpShort)?;
        if head[0] & EXTENSION != 0 {
            extensions(peeling, more[3])?;
        }
    }
    Ok((0, Next::Header(link::raw)))
}

fn peel_0(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    peeling.take(HEADER_0_BYTES, Malformed::GtpShort)?;
    Ok((0, Next::Header(link::raw)))
}

/// TS 29.281, 5.2: each extension has its length in words of four bytes first, and the next one's type last.
fn extensions(peeling: &mut Peeling<'_>, first: u8) -> Result<(), Fate> {
    let mut kind = first;
    for _ in 0..EXTENSIONS_MAX {
        if kind == 0 {
            return Ok(());
        }
        let words = peeling.bytes.first().copied().filter(|&words| words > 0).ok_or(Malformed::GtpExtension)?;
        let extension = peeling.take(usize::from(words) * 4, Malformed::GtpExtension)?;
        kind = extension[extension.len() - 1];
    }
    Err(Malformed::TooManyHeaders.into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, flawed, inner, ipv6, tunnelled, udp, udp_frame};
    use super::*;

    fn gtp(flags: u8, more: &[u8], rest: &[u8]) -> Vec<u8> {
        let length = ((more.len() + rest.len()) as u16).to_be_bytes();
        [&[flags, 255, length[0], length[1], 0, 0, 0, 7], more, rest].concat()
    }

    #[test]
    fn version_1_is_peeled_with_its_options_and_extensions() {
        let pdu_session = [0, 0, 0, 0x85, 1, 0x10, 9, 0];
        let two = [0, 0, 0, 0xC0, 1, 0, 0, 0x85, 2, 0, 0, 0, 0, 0, 0, 0];
        for (flags, more) in [(0x30, &[][..]), (0x32, &[0, 1, 0, 0]), (0x34, &pdu_session), (0x37, &two)] {
            tunnelled(&udp_frame(2152, &gtp(flags, more, &inner())), "gtp", 0);
            tunnelled(&udp_frame(2152, &gtp(flags, more, &ipv6(17, &udp(53, b"inside")))), "gtp", 0);
        }
    }

    #[test]
    fn version_0_has_a_longer_header() {
        let length = (inner().len() as u16).to_be_bytes();
        let head = [&[0x1E, 255, length[0], length[1]][..], &[0; 16]].concat();
        tunnelled(&udp_frame(3386, &[&head[..], &inner()].concat()), "gtp", 0);
    }

    #[test]
    fn control_and_foreign_datagrams_are_plain_and_broken_extensions_are_counted() {
        let mut echo = gtp(0x32, &[0, 1, 0, 0], &[]);
        echo[1] = 1;
        let mut long = gtp(0x30, &[], &inner());
        long[2] = 9;
        for bytes in [echo, long, gtp(0x20, &[], &inner()), gtp(0x48, &[], &inner()), b"\x30\xFF".to_vec()] {
            let (packet, _) = decoded(&udp_frame(2152, &bytes)).expect("a packet");
            assert_eq!((packet.tunnel, packet.flaw), (None, None));
        }
        let (packet, _) = decoded(&udp_frame(2152, &gtp(0x30, &[], b"\xC0\x21ppp"))).expect("a packet");
        assert_eq!((packet.ports.1, packet.tunnel, packet.flaw), (2152, None, None));
        flawed(&udp_frame(2152, &gtp(0x34, &[0, 0, 0, 0x85, 0], &[])), Malformed::GtpExtension);
        flawed(&udp_frame(2152, &gtp(0x34, &[0, 0, 0, 0x85, 9], &[0; 8])), Malformed::GtpExtension);
        flawed(&udp_frame(2152, &gtp(0x34, &[0, 0, 0, 1], &[1, 0, 0, 1].repeat(40))), Malformed::TooManyHeaders);
    }
}
