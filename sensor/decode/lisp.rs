//! LISP data (RFC 9300, 5): eight bytes, then IP of either version.

use super::{Fate, Malformed, Next, Peeling, Tunnel, ipv4, ipv6, link};

const HEADER_BYTES: usize = 8;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "lisp", peel };

/// The reserved flags are not set, and IP follows.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    const RESERVED: u8 = 0x03;
    let inner = bytes.get(HEADER_BYTES..).unwrap_or_default();
    bytes.first().is_some_and(|flags| flags & RESERVED == 0) && (ipv4::is_likely(inner) || ipv6::is_likely(inner))
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    peeling.take(HEADER_BYTES, Malformed::LispShort)?;
    Ok((0, Next::Header(link::raw)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, inner, tunnelled, udp_frame};

    #[test]
    fn ip_follows_eight_bytes() {
        let within = |first: u8, rest: &[u8]| udp_frame(4341, &[&[first, 1, 2, 3, 0, 0, 0, 1], rest].concat());
        tunnelled(&within(0xC0, &inner()), "lisp", 0);
        for other in [within(0xC1, &inner()), within(0xC0, &inner()[..19]), within(0xC0, &[])] {
            assert_eq!(decoded(&other).expect("a packet").0.tunnel, None);
        }
    }
}
