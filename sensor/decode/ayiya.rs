//! AYIYA (draft-massar-v6ops-ayiya): a packet behind an identity and a signature.

use super::{Fate, Malformed, Next, Peeling, Tunnel, ethernet};

const FORWARD: u8 = 1;
const IPV4: u8 = 4;
const IPV6: u8 = 41;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "ayiya", peel };

/// Eight bytes, an identity of a power of two, a signature in words of four bytes.
fn header_bytes(head: &[u8; 8]) -> usize {
    head.len() + (1 << (head[0] >> 4)) + usize::from(head[1] >> 4) * 4
}

/// To be forwarded, IP, and the whole header is there.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<8>() else { return false };
    head[2] & 0x0F == FORWARD && [IPV4, IPV6].contains(&head[3]) && header_bytes(head) <= bytes.len()
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let Some(head) = peeling.bytes.first_chunk::<8>() else { return Err(Malformed::AyiyaShort.into()) };
    peeling.take(header_bytes(head), Malformed::AyiyaShort)?;
    Ok((0, Next::Ethertype(if head[3] == IPV4 { ethernet::IPV4 } else { ethernet::IPV6 })))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, inner, ipv6, tunnelled, udp, udp_frame};

    #[test]
    fn the_packet_lies_behind_identity_and_signature() {
        let head = |next: u8| [&[0x41, 0x52, 0x11, next, 0, 0, 0, 9][..], &[7; 16], &[8; 20]].concat();
        tunnelled(&udp_frame(5072, &[&head(41)[..], &ipv6(17, &udp(53, b"inside"))].concat()), "ayiya", 0);
        tunnelled(&udp_frame(5072, &[&head(4)[..], &inner()].concat()), "ayiya", 0);
        let mut heartbeat = head(41);
        heartbeat[2] = 0x10;
        for other in [heartbeat, head(59), head(41)[..43].to_vec()] {
            assert_eq!(decoded(&udp_frame(5072, &other)).expect("a packet").0.tunnel, None);
        }
    }
}
