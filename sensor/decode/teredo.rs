//! Teredo (RFC 4380): IPv6 in UDP, perhaps behind an authentication or origin indication.

use super::{Fate, Malformed, Next, Peeling, Tunnel, ethernet, ipv6, likely};

/// 2001::/32, which every Teredo client's address begins with (RFC 4380, 2.6).
const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
const ORIGIN_BYTES: usize = 8;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "teredo", peel };

/// The bytes of both indications (RFC 4380, 5.1.1); origin comes last.
fn indications_bytes(bytes: &[u8]) -> usize {
    let authentication = match *bytes {
        // length of the client's id and of the value; then a nonce of eight bytes and a confirmation
        [0, 1, client, value, ..] => 4 + usize::from(client) + usize::from(value) + 9,
        _ => 0,
    };
    match bytes.get(authentication..) {
        Some([0, 0, ..]) => authentication + ORIGIN_BYTES,
        _ => authentication,
    }
}

/// An IPv6 header whose length fits in what is there; trailers may follow.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    bytes.get(indications_bytes(bytes)..).is_some_and(ipv6::is_likely)
}

/// On any port: a whole IPv6 packet, and one of its ends is a Teredo client.
pub(super) fn is_certain(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<{ ipv6::HEADER_BYTES }>() else { return false };
    head[0] >> 4 == 6 && (head[8..12] == PREFIX || head[24..28] == PREFIX) && likely::is_packet(bytes)
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    peeling.take(indications_bytes(peeling.bytes), Malformed::TeredoShort)?;
    Ok((0, Next::Ethertype(ethernet::IPV6)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ipv6, tunnelled, udp, udp_frame};
    use super::*;

    #[test]
    fn indications_are_taken_off_and_trailers_left() {
        let packet = ipv6(17, &udp(53, b"inside"));
        let authentication = [&[0, 1, 2, 3][..], b"id", b"abc", &[9; 8], &[0]].concat();
        let origin = [0, 0, 0x12, 0x34, 1, 2, 3, 4];
        for head in [vec![], origin.to_vec(), authentication.clone(), [&authentication[..], &origin].concat()] {
            tunnelled(&udp_frame(3544, &[&head[..], &packet, &[4, 4, 0, 0, 0, 1]].concat()), "teredo", 0);
        }
        for other in [&b"\x60"[..], &[0, 1, 200, 200, 0], &packet[..39]] {
            assert_eq!(decoded(&udp_frame(3544, other)).expect("a packet").0.tunnel, None);
        }
    }

    #[test]
    fn on_other_ports_a_teredo_address_and_a_whole_packet_are_asked_for() {
        let mut packet = ipv6(17, &udp(53, b"inside"));
        assert_eq!(decoded(&udp_frame(40_000, &packet)).expect("a packet").0.tunnel, None);
        packet[24..28].copy_from_slice(&PREFIX);
        tunnelled(&udp_frame(40_000, &packet), "teredo", 0);
        packet.push(0);
        assert_eq!(decoded(&udp_frame(40_000, &packet)).expect("a packet").0.tunnel, None);
    }
}
