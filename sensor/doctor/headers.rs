//! The outer headers of a frame, where `decode` goes past what matters here: the tag, the length on the wire, options and
//! checksums of TCP and UDP.
//!
//! In: frames of an Ethernet, packets of IP. Out: numbers, `None` where there is nothing to say. Never here: a fragment's
//! checksum, a tunnel's inside.

use crate::capture::{Frame, Link};

const ETHERNET_BYTES: usize = 14;
const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
const TCP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Tags before the packet; real frames have one or two.
const TAGS_MAX: usize = 4;

/// What stands before the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Headers {
    /// Offset of the IP packet.
    pub(super) network: usize,
    /// The outermost VLAN.
    pub(super) vlan: Option<u16>,
}

impl Headers {
    /// Those of a frame that carries IP.
    pub(super) fn of(frame: &Frame<'_>) -> Option<Headers> {
        if frame.link != Link::ETHERNET {
            return None;
        }
        let (mut at, mut vlan) = (ETHERNET_BYTES, None);
        for _ in 0..TAGS_MAX {
            match half(frame.bytes, at - 2)? {
                0x8100 | 0x88a8 | 0x9100 => {
                    vlan = vlan.or(Some(half(frame.bytes, at)? & 0xfff));
                    at += 4;
                }
                0x0800 | 0x86dd => return Some(Headers { network: at, vlan }),
                _ => return None,
            }
        }
        None
    }

    /// How long the packet says that it is; frames of 60 bytes have padding. 0 in a super-frame: then the frame says.
    pub(super) fn packet_bytes(self, packet: &[u8]) -> u32 {
        let told = match packet.first().map(|first| first >> 4) {
            Some(4) => half(packet, 2).map(u32::from),
            Some(6) => half(packet, 4).map(|len| if len == 0 { 0 } else { u32::from(len) + IPV6_BYTES as u32 }),
            _ => None,
        };
        told.filter(|told| *told > 0).unwrap_or(u32::MAX)
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// A whole transport segment: addresses, protocol, bytes as far as they are there, and how many there should be.
struct Segment<'a> {
    addresses: &'a [u8],
    protocol: u8,
    bytes: &'a [u8],
    promised: usize,
}

/// The segment of a packet that is no fragment and has no extension headers.
fn segment(packet: &[u8]) -> Option<Segment<'_>> {
    match packet.first()? >> 4 {
        4 => {
            let head = usize::from(packet[0] & 15) * 4;
            let fragment = half(packet, 6)? & 0x3fff != 0;
            let promised = usize::from(half(packet, 2)?).checked_sub(head)?;
            let bytes = packet.get(head..)?;
            let bytes = &bytes[..promised.min(bytes.len())];
            let addresses = packet.get(12..IPV4_BYTES)?;
            (!fragment && head >= IPV4_BYTES).then_some(Segment { addresses, protocol: packet[9], bytes, promised })
        }
        6 => {
            let promised = usize::from(half(packet, 4)?);
            let bytes = packet.get(IPV6_BYTES..)?;
            let bytes = &bytes[..promised.min(bytes.len())];
            let (addresses, protocol) = (packet.get(8..IPV6_BYTES)?, packet[6]);
            (promised > 0).then_some(Segment { addresses, protocol, bytes, promised })
        }
        _ => None,
    }
}

/// Whether the checksum of a TCP segment or UDP datagram is right (RFC 9293 section 3.1, RFC 768); `None`: it has none, or
/// not all of it is there.
pub(super) fn is_checksum_right(packet: &[u8]) -> Option<bool> {
    let segment = segment(packet)?;
    let at = match segment.protocol {
        TCP => 16,
        UDP => 6,
        _ => return None,
    };
    if segment.bytes.len() < segment.promised || (segment.protocol == UDP && half(segment.bytes, at)? == 0) {
        return None;
    }
    half(segment.bytes, at)?;
    let sum = sum(segment.addresses) + sum(segment.bytes) + u64::from(segment.protocol) + segment.promised as u64;
    Some(folded(sum) == 0xffff)
}

/// At most 64 KiB of halves: nothing overflows.
fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|two| u64::from(two[0]) << 8 | u64::from(two.get(1).copied().unwrap_or_default())).sum()
}

fn folded(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// Whether a packet carries more than headers: acknowledgements without data are alike without being copies.
pub(super) fn has_payload(packet: &[u8]) -> bool {
    let Some(segment) = segment(packet) else { return false };
    match segment.protocol {
        TCP => segment.promised > segment.bytes.get(12).map_or(usize::MAX, |byte| usize::from(byte >> 4) * 4),
        UDP => segment.promised > UDP_BYTES,
        _ => false,
    }
}

/// The largest segment that the sender of a SYN takes (RFC 9293 section 3.2, kind 2).
pub(super) fn segment_bytes_max(packet: &[u8]) -> Option<u16> {
    let segment = segment(packet).filter(|segment| segment.protocol == TCP)?;
    let (head, flags) = (usize::from(segment.bytes.get(12)? >> 4) * 4, segment.bytes.get(13)?);
    if flags & crate::decode::tcp_flag::SYN == 0 {
        return None;
    }
    let mut options = segment.bytes.get(TCP_BYTES..head)?;
    // each turn takes a byte at least, of forty
    while let Some(kind) = options.first() {
        let len = match kind {
            0 => return None,
            1 => 1,
            2 => return half(options, 2),
            _ => usize::from(*options.get(1)?).max(2),
        };
        options = options.get(len..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn headers(kinds: &[u8]) -> Option<Headers> {
        let bytes = [&[2; 12][..], kinds, &[0x45]].concat();
        let (time, length) = (Timestamp::default(), bytes.len() as u32);
        Headers::of(&Frame { number: 1, time, bytes: &bytes, length, link: Link::ETHERNET })
    }

    #[test]
    fn tags_stand_before_the_packet_and_the_outermost_counts() {
        assert_eq!(headers(&[8, 0]), Some(Headers { network: 14, vlan: None }));
        assert_eq!(headers(&[0x81, 0, 0xe0, 7, 8, 0]), Some(Headers { network: 18, vlan: Some(7) }));
        let two = [0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 0x86, 0xdd];
        assert_eq!(headers(&two), Some(Headers { network: 22, vlan: Some(9) }));
        assert_eq!((headers(&[8, 6]), headers(&[0x81, 0, 0, 1].repeat(5))), (None, None));
    }

    /// A SYN with an option that says 8 960, and its right checksum.
    fn syn() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 44, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend([2, 4, 0x23, 0]);
        let all = sum(&packet[12..20]) + sum(&packet[20..]) + 6 + 24;
        let checksum = !(folded(all) as u16);
        packet[36..38].copy_from_slice(&checksum.to_be_bytes());
        packet
    }

    #[test]
    fn checksums_are_worked_out_where_all_of_a_segment_is_there() {
        let mut packet = syn();
        assert_eq!(is_checksum_right(&packet), Some(true));
        assert_eq!(is_checksum_right(&packet[..43]), None, "cut");
        packet[40] ^= 1;
        assert_eq!(is_checksum_right(&packet), Some(false));
        packet[6] = 0x20;
        assert_eq!(is_checksum_right(&packet), None, "a fragment");
    }

    #[test]
    fn a_syn_says_how_large_segments_may_be() {
        let mut packet = syn();
        assert_eq!((segment_bytes_max(&packet), has_payload(&packet)), (Some(8_960), false));
        packet[33] = 0x10;
        assert_eq!(segment_bytes_max(&packet), None, "no SYN");
    }

    #[test]
    fn nothing_is_read_beyond_what_is_there() {
        let packet = syn();
        for end in 0..packet.len() {
            let cut = &packet[..end];
            let _ = (segment_bytes_max(cut), is_checksum_right(cut), has_payload(cut));
            let headers = Headers { network: 14, vlan: None };
            assert!(headers.packet_bytes(cut) >= 44);
        }
    }
}
