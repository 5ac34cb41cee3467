//! Geneve (RFC 8926): options, then what an ethertype names.

use super::{Fate, Malformed, Next, Peeling, Tunnel, ethernet, likely};

const HEADER_BYTES: usize = 8;
const OPTION_WORDS: u8 = 0x3F;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "geneve", peel };

fn options_bytes(head: &[u8; HEADER_BYTES]) -> usize {
    usize::from(head[0] & OPTION_WORDS) * 4
}

/// Version 0, and all options are there.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return false };
    head[0] >> 6 == 0 && bytes.len() >= HEADER_BYTES + options_bytes(head)
}

/// On any port: nothing reserved is set, and a whole IP packet or a frame with one fills what is left.
pub(super) fn is_certain(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return false };
    if head[0] >> 6 != 0 || head[1] & 0x3F != 0 || head[7] != 0 {
        return false;
    }
    let carried = bytes.get(HEADER_BYTES + options_bytes(head)..).unwrap_or_default();
    match u16::from_be_bytes([head[2], head[3]]) {
        ethernet::BRIDGED => likely::is_frame(carried),
        ethernet::IPV4 | ethernet::IPV6 => likely::is_packet(carried),
        _ => false,
    }
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let Some(head) = peeling.bytes.first_chunk::<HEADER_BYTES>() else { return Err(Malformed::GeneveShort.into()) };
    peeling.take(HEADER_BYTES + options_bytes(head), Malformed::GeneveShort)?;
    let network = u32::from_be_bytes([0, head[4], head[5], head[6]]);
    Ok((network, Next::Ethertype(u16::from_be_bytes([head[2], head[3]]))))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, inner, ipv6, tunnelled, udp, udp_frame};

    fn geneve(words: u8, kind: u16, rest: &[u8]) -> Vec<u8> {
        [&[words, 0][..], &kind.to_be_bytes(), &[0, 1, 2, 0], &vec![0xEE; usize::from(words) * 4], rest].concat()
    }

    #[test]
    fn what_it_carries_is_found_behind_its_options_on_any_port() {
        let six = ipv6(17, &udp(53, b"inside"));
        for (kind, rest) in [(0x6558, ethernet(0x0800, &inner())), (0x0800, inner()), (0x86DD, six)] {
            for words in [0, 5, 63] {
                for port in [6081, 47_101] {
                    tunnelled(&udp_frame(port, &geneve(words, kind, &rest)), "geneve", 0x0102);
                }
            }
        }
    }

    #[test]
    fn other_versions_lengths_and_payloads_are_plain_datagrams() {
        let mut second = geneve(0, 0x0800, &inner());
        second[0] = 0x40;
        let mut long = geneve(0, 0x0800, &inner());
        long[0] = 63;
        let other = geneve(0, 0x0806, &[0; 28]);
        let short = geneve(0, 0x0800, &inner()[..30]);
        for (port, bytes) in [(6081, second), (6081, long), (6081, other), (47_101, short)] {
            assert_eq!(decoded(&udp_frame(port, &bytes)).expect("a packet").0.tunnel, None);
        }
    }
}
