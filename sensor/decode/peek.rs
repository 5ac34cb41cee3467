//! The address pair of a plain packet without decoding it: who does not own its shard need not look closer.

use super::{Address, ethernet, ipv4, ipv6, protocol, udp};
use crate::capture::{Frame, Link};

/// The pair that [`super::decode`] would end at, where three fixed places tell it; `None` for tunnels, fragments,
/// extension headers, other links and whatever is odd.
pub fn peek(frame: &Frame<'_>) -> Option<(Address, Address)> {
    if frame.link != Link::ETHERNET {
        return None;
    }
    let bytes = frame.bytes;
    let mut at = ethernet::HEADER_BYTES;
    let mut kind = half(bytes, at - 2)?;
    for _ in 0..2 {
        if ethernet::is_vlan(kind) {
            at += 4;
            kind = half(bytes, at - 2)?;
        }
    }
    let packet = bytes.get(at..)?;
    match kind {
        ethernet::IPV4 => of_ipv4(packet),
        ethernet::IPV6 => of_ipv6(packet),
        _ => None,
    }
}

fn of_ipv4(packet: &[u8]) -> Option<(Address, Address)> {
    let (head, rest) = packet.split_first_chunk::<{ ipv4::HEADER_BYTES }>()?;
    if head[0] != 0x45 || (head[6] & 0x3F, head[7]) != (0, 0) {
        return None;
    }
    let promised = match usize::from(u16::from_be_bytes([head[2], head[3]])) {
        0 => rest.len(),
        total => total.saturating_sub(ipv4::HEADER_BYTES),
    };
    plain(head[9], rest, promised).then(|| (ipv4::mapped(&head[12..16]), ipv4::mapped(&head[16..20])))
}

fn of_ipv6(packet: &[u8]) -> Option<(Address, Address)> {
    let (head, rest) = packet.split_first_chunk::<{ ipv6::HEADER_BYTES }>()?;
    let promised = match usize::from(u16::from_be_bytes([head[4], head[5]])) {
        0 => rest.len(),
        len => len,
    };
    if head[0] >> 4 != 6 || !plain(head[6], rest, promised) {
        return None;
    }
    let (mut source, mut destination) = ([0; 16], [0; 16]);
    source.copy_from_slice(&head[8..24]);
    destination.copy_from_slice(&head[24..40]);
    Some((source, destination))
}

/// Whether nothing that this protocol carries can hold another packet. Of the payload, `promised` bytes were sent; what
/// else is there is padding.
fn plain(kind: u8, payload: &[u8], promised: usize) -> bool {
    match kind {
        protocol::TCP | protocol::ICMP | protocol::ICMPV6 => true,
        protocol::UDP => {
            let payload = &payload[..promised.min(payload.len())];
            udp::is_plain(payload, promised - payload.len())
        }
        _ => false,
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}
