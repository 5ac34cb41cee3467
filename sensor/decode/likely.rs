//! Whether bytes are a whole IP packet or a frame with one, for tunnels that no port or number names.
//!
//! Everything that can be checked is: bytes drawn at random pass once in a hundred million times at the most.

use super::{ethernet, ipv4, ipv6, protocol};

/// The smallest Ethernet frame without its check sequence; shorter packets are padded to it.
const FRAME_BYTES_MIN: usize = 60;

/// A whole IP packet: version, header checksum or known next header, and a length that is all there is.
pub(super) fn is_packet(bytes: &[u8]) -> bool {
    packet_bytes(bytes) == Some(bytes.len())
}

/// An IPv4 header with its checksum, or an IPv6 header with a length that is there and a known next header.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    match bytes.first().map(|byte| byte >> 4) {
        Some(4) => ipv4::is_likely(bytes) && sums_up(&bytes[..usize::from(bytes[0] & 0x0F) * 4]),
        Some(6) => ipv6::is_likely(bytes) && is_known(bytes[6]),
        _ => false,
    }
}

/// How long the whole IP packet is that these bytes begin with.
pub(super) fn packet_bytes(bytes: &[u8]) -> Option<usize> {
    if !is_header(bytes) {
        return None;
    }
    let half = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let length = if bytes[0] >> 4 == 4 { half(2) } else { ipv6::HEADER_BYTES + half(4) };
    (length <= bytes.len()).then_some(length)
}

/// An Ethernet frame, perhaps with VLAN tags, with a whole IP packet in it, padded no more than it must be.
pub(super) fn is_frame(bytes: &[u8]) -> bool {
    let mut at = ethernet::HEADER_BYTES;
    for _ in 0..3 {
        let Some(kind) = bytes.get(at - 2..at) else { return false };
        match u16::from_be_bytes([kind[0], kind[1]]) {
            ethernet::IPV4 | ethernet::IPV6 => {
                let end = packet_bytes(&bytes[at..]).map(|length| at + length);
                return end.is_some_and(|end| bytes.len() == end.max(FRAME_BYTES_MIN) || bytes.len() == end);
            }
            tag if ethernet::is_vlan(tag) => at += 4,
            _ => return false,
        }
    }
    false
}

/// RFC 1071: with its checksum, a header sums up to all ones.
fn sums_up(header: &[u8]) -> bool {
    let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    (sum & 0xFFFF) + (sum >> 16) == 0xFFFF
}

/// Next headers that packets in tunnels have.
fn is_known(next: u8) -> bool {
    const NEXT: [u8; 10] = [0, 41, 43, 44, 47, 50, 51, 59, 60, 4];
    matches!(next, protocol::TCP | protocol::UDP | protocol::ICMPV6 | protocol::SCTP) || NEXT.contains(&next)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ethernet, inner, ipv6, udp};
    use super::*;

    #[test]
    fn a_packet_is_whole_or_it_is_none() {
        for packet in [inner(), ipv6(17, &udp(53, b"inside"))] {
            assert!(is_packet(&packet));
            assert!(!is_packet(&packet[..packet.len() - 1]));
            assert!(!is_packet(&[&packet[..], &[0]].concat()));
            for at in [0, 2, 3, 4, 5, 6] {
                let mut other = packet.clone();
                other[at] ^= 0x80;
                assert!(!is_packet(&other) || packet[0] >> 4 == 6 && at < 4, "{at}");
            }
        }
    }

    #[test]
    fn a_frame_may_be_padded_to_the_smallest_there_is() {
        let frame = ethernet(0x0800, &inner());
        assert!(frame.len() < FRAME_BYTES_MIN && is_frame(&frame));
        let padded = |len: usize| [&frame[..], &vec![0; len - frame.len()]].concat();
        assert!(is_frame(&padded(FRAME_BYTES_MIN)) && !is_frame(&padded(FRAME_BYTES_MIN + 1)));
        assert!(is_frame(&ethernet(0x8100, &[&[0, 9, 8, 0], &inner()[..]].concat())));
        assert!(!is_frame(&ethernet(0x0806, &inner())));
        assert!(!is_frame(&frame[..12]));
    }
}
