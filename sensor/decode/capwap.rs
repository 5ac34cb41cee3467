//! CAPWAP data (RFC 5415, 4.3): what an access point and its controller carry for each other, where it is not encrypted.

use super::{Fate, Malformed, Next, Peeling, Tunnel, wifi};

const WIFI: u8 = 1;
const NATIVE: u8 = 0x01;
const FRAGMENT: u8 = 0x80;
const KEEP_ALIVE: u8 = 0x08;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "capwap", peel };

/// Words of four bytes.
fn header_bytes(head: &[u8; 8]) -> usize {
    usize::from(head[1] >> 3) * 4
}

/// Version 0 in clear, with a header of at least its own length; no fragment, no sign of life.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<8>() else { return false };
    let length = header_bytes(head);
    head[0] == 0 && (head.len()..=bytes.len()).contains(&length) && head[3] & (FRAGMENT | KEEP_ALIVE) == 0
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let Some(head) = peeling.bytes.first_chunk::<8>() else { return Err(Malformed::CapwapShort.into()) };
    peeling.take(header_bytes(head), Malformed::CapwapShort)?;
    let binding = head[2] >> 1 & 0x1F;
    match head[2] & NATIVE {
        0 => Ok((0, Next::Ethernet)),
        _ if binding == WIFI => Ok((0, Next::Header(wifi::peel_either))),
        _ => Err(Fate::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, inner, tunnelled, udp_frame};

    #[test]
    fn frames_of_either_kind_are_read() {
        let wifi = [&[8, 0][..], &[0; 22], &[0xAA, 0xAA, 3, 0, 0, 0, 8, 0], &inner()].concat();
        let swapped = [&[0, 8][..], &wifi[2..]].concat();
        let long = [&[0, 0x20, 0x43, 0x10][..], &[0; 12]].concat();
        for (head, rest) in [
            (vec![0, 0x10, 0x42, 0, 0, 0, 0, 0], ethernet(0x0800, &inner())),
            (vec![0, 0x10, 0x43, 0, 0, 0, 0, 0], wifi.clone()),
            (long, swapped),
        ] {
            tunnelled(&udp_frame(5247, &[&head[..], &rest].concat()), "capwap", 0);
        }
        for head in [[1, 0, 0, 0], [0, 0x10, 0x42, 0x80], [0, 0x10, 0x42, 8], [0, 0, 0x42, 0], [0, 0xF8, 0x42, 0]] {
            let bytes = [&head[..], &[0; 4], &ethernet(0x0800, &inner())].concat();
            assert_eq!(decoded(&udp_frame(5247, &bytes)).expect("a packet").0.tunnel, None, "{head:02x?}");
        }
    }
}
