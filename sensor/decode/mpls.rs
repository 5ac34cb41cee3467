//! MPLS (RFC 3032): a stack of labels, and then what no field names: IP, or Ethernet with or without a control word.

use super::{Fate, Malformed, Next, Peeling, Tunnel, ethernet, likely};
use crate::limits::MPLS_LABELS_MAX;

/// MPLS in IP (RFC 4023, 3) and in UDP (RFC 7510).
pub(super) const PROTOCOL: u8 = 137;
pub(super) static TUNNEL: Tunnel = Tunnel { name: "mpls", peel: |_| Ok((0, Next::Header(peel))) };

/// Whether a stack of labels ends, and something follows it.
pub(super) fn is_stack(bytes: &[u8]) -> bool {
    bytes
        .chunks_exact(4)
        .take(MPLS_LABELS_MAX)
        .position(|label| label[2] & 1 != 0)
        .is_some_and(|at| at * 4 + 4 < bytes.len())
}

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    for _ in 0..MPLS_LABELS_MAX {
        let label = peeling.take(4, Malformed::MplsShort)?;
        if label[2] & 1 != 0 {
            return below(peeling);
        }
    }
    Err(Malformed::TooManyHeaders.into())
}

/// What is below the last label. The first four bits tell (RFC 4928, 3), where an Ethernet address does not imitate them.
fn below(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let bytes = peeling.bytes;
    let word = bytes.get(4..).is_some_and(ethernet::is_likely);
    let plain = ethernet::is_likely(bytes);
    match bytes.first().map(|byte| byte >> 4) {
        None => Err(Malformed::MplsShort.into()),
        Some(4) if !plain || likely::is_header(bytes) => Ok(Next::Ethertype(ethernet::IPV4)),
        Some(6) if !plain || likely::is_header(bytes) => Ok(Next::Ethertype(ethernet::IPV6)),
        // RFC 4385, 3: the control word of a pseudo-wire begins with four zeros
        Some(0) if word => {
            peeling.take(4, Malformed::MplsShort)?;
            Ok(Next::Ethernet)
        }
        Some(_) if plain => Ok(Next::Ethernet),
        Some(_) => Err(Fate::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{
        decoded, ethernet, inner, ipv4 as in_ipv4, ipv6 as in_ipv6, refused, tunnelled, udp, udp_frame,
    };
    use super::*;

    fn labelled(labels: usize, rest: &[u8]) -> Vec<u8> {
        let stack: Vec<u8> = (1..=labels).flat_map(|at| [0, 1, u8::from(at == labels), 64]).collect();
        ethernet(0x8847, &[&stack[..], rest].concat())
    }

    #[test]
    fn what_is_below_the_labels_is_told_by_its_first_bits() {
        let frame = ethernet(0x0800, &inner());
        let like_four = [&[0x45; 12], &frame[12..]].concat();
        let like_zero = [&[0; 12], &frame[12..]].concat();
        let with_word = [&[0; 4], &frame[..]].concat();
        for rest in [inner(), in_ipv6(17, &udp(53, b"inside")), frame, like_four, like_zero, with_word] {
            for labels in [1, 3] {
                assert_eq!(decoded(&labelled(labels, &rest)).expect("a packet").1, b"inside", "{rest:02x?}");
            }
        }
    }

    #[test]
    fn labels_may_lie_in_ip_or_udp() {
        let stack = [&[0, 1, 1, 64][..], &inner()].concat();
        tunnelled(&ethernet(0x0800, &in_ipv4(PROTOCOL, &stack)), "mpls", 0);
        tunnelled(&udp_frame(6635, &stack), "mpls", 0);
        assert_eq!(decoded(&udp_frame(6635, &[0; 80])).expect("a packet").0.tunnel, None);
    }

    #[test]
    fn a_stack_without_an_end_is_refused_and_other_payloads_are_not_ip() {
        refused(&ethernet(0x8847, &[0; 200]), Malformed::TooManyHeaders);
        refused(&ethernet(0x8847, &[0; 6]), Malformed::MplsShort);
        refused(&labelled(2, &[]), Malformed::MplsShort);
        assert_eq!(decoded(&labelled(1, &[0x10, 0, 0, 0x21, 0, 0])), Err(Fate::NotIp));
    }
}
