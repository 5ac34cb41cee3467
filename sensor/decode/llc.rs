//! IEEE 802.2 logical link control and SNAP (IEEE 802, 9.5; RFC 1042).

use super::{Fate, Malformed, Next, Peeling, ethernet};

/// Unnumbered information: the only frames with something to read.
const UNNUMBERED: u8 = 0x03;
const SNAP: u8 = 0xAA;
/// The number that IP had before SNAP (RFC 948).
const IP: u8 = 0x06;

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(3, Malformed::LlcShort)?;
    // the lowest bit of the second address tells commands from responses
    match (head[0], head[1] & 0xFE, head[2]) {
        (SNAP, SNAP, UNNUMBERED) => snap(peeling),
        (IP, IP, UNNUMBERED) => Ok(Next::Ethertype(ethernet::IPV4)),
        _ => Err(Fate::NotIp),
    }
}

/// Organisation and protocol; of the organisations, three carry packets of other networks.
pub(super) fn snap(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(5, Malformed::LlcShort)?;
    let protocol = u16::from_be_bytes([head[3], head[4]]);
    match (&head[..3], protocol) {
        // encapsulated Ethernet, and what bridges make of it (IEEE 802.1H)
        ([0, 0, 0] | [0, 0, 0xF8], kind) => Ok(Next::Ethertype(kind)),
        // IEEE 802.1: a bridged Ethernet frame; over ATM with two bytes of padding (RFC 2684, 5.2)
        ([0, 0x80, 0xC2], 1 | 7) => {
            if !ethernet::is_likely(peeling.bytes) && peeling.bytes.get(2..).is_some_and(ethernet::is_likely) {
                peeling.take(2, Malformed::LlcShort)?;
            }
            Ok(Next::Ethernet)
        }
        _ => Err(Fate::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, inner, refused};
    use super::*;

    fn framed(llc: &[u8], rest: &[u8]) -> Vec<u8> {
        ethernet((llc.len() + rest.len()) as u16, &[llc, rest].concat())
    }

    #[test]
    fn a_length_in_place_of_a_type_means_llc() {
        let frame = ethernet(0x0800, &inner());
        let heads: [(&[u8], &[u8]); 5] = [
            (&[0xAA, 0xAA, 3, 0, 0, 0, 8, 0], &inner()),
            (&[0xAA, 0xAB, 3, 0, 0, 0xF8, 8, 0], &inner()),
            (&[6, 6, 3], &inner()),
            (&[0xAA, 0xAA, 3, 0, 0x80, 0xC2, 0, 7], &frame),
            (&[0xAA, 0xAA, 3, 0, 0x80, 0xC2, 0, 1, 0, 0], &frame),
        ];
        for (llc, rest) in heads {
            assert_eq!(decoded(&framed(llc, rest)).expect("a packet").1, b"inside", "{llc:02x?}");
        }
    }

    #[test]
    fn other_services_are_not_ip_and_cut_headers_are_counted() {
        for llc in [&[0x42, 0x42, 3][..], &[0xAA, 0xAA, 3, 0, 0, 0x0C, 0x20, 0], &[0xAA, 0xAA, 0, 0]] {
            assert_eq!(decoded(&framed(llc, &[0; 40])), Err(Fate::NotIp), "{llc:02x?}");
        }
        refused(&framed(&[0xAA, 0xAA], &[]), Malformed::LlcShort);
        refused(&framed(&[0xAA, 0xAA, 3, 0, 0, 0, 8], &[]), Malformed::LlcShort);
    }
}
