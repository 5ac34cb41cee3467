//! L2TP: version 2 carries PPP (RFC 2661, 3.1); version 3 carries whatever was agreed on, over UDP or IP (RFC 3931, 4.1).

use super::{Fate, Malformed, Next, Peeling, Tunnel, likely, link, ppp};

pub(super) const PROTOCOL: u8 = 115;
const CONTROL: u16 = 0x8000;
const LENGTH: u16 = 0x4000;
const SEQUENCE: u16 = 0x0800;
const OFFSET: u16 = 0x0200;
const VERSION: u16 = 0x000F;
const RESERVED: u16 = 0x34F0;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "l2tp", peel: peel_2 };
pub(super) static TUNNEL_3: Tunnel = Tunnel { name: "l2tp", peel: peel_3 };

fn flags(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.first_chunk()?))
}

/// Data of version 2 with no reserved bit set.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    flags(bytes).is_some_and(|flags| flags & (CONTROL | RESERVED | VERSION) == 2)
}

/// Data of version 3 in UDP: flags and version, two reserved bytes, the session.
pub(super) fn is_header_3(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 3, 0, 0]) && is_carried(&bytes[4..])
}

/// Data of version 3: a session that is not 0, and a packet or frame that fills what is left behind a cookie.
pub(super) fn is_carried(bytes: &[u8]) -> bool {
    bytes.first_chunk::<4>().is_some_and(|session| *session != [0; 4]) && carried_at(&bytes[4..]).is_some()
}

/// A cookie of zero, four or eight bytes and a sublayer of zero or four: nothing in the packet says which.
fn carried_at(bytes: &[u8]) -> Option<usize> {
    let behind = |at: &usize| bytes.get(*at..).is_some_and(|rest| likely::is_frame(rest) || likely::is_packet(rest));
    [0, 4, 8, 12].into_iter().find(behind)
}

fn peel_2(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let Some(flags) = flags(peeling.bytes) else { return Err(Malformed::L2tpShort.into()) };
    let optional = [(LENGTH, 2), (SEQUENCE, 4)].iter().filter(|(bit, _)| flags & bit != 0).map(|(_, len)| len);
    peeling.take(2 + 4 + optional.sum::<usize>(), Malformed::L2tpShort)?;
    if flags & OFFSET != 0 {
        let offset = peeling.take(2, Malformed::L2tpShort)?;
        peeling.take(usize::from(u16::from_be_bytes([offset[0], offset[1]])), Malformed::L2tpShort)?;
    }
    Ok((0, Next::Header(ppp::peel)))
}

/// Behind the four bytes of UDP's version, if any, and the session.
fn peel_3(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let over_udp = peeling.bytes.starts_with(&[0, 3, 0, 0]) && is_header_3(peeling.bytes);
    peeling.take(if over_udp { 8 } else { 4 }, Malformed::L2tpShort)?;
    let at = carried_at(peeling.bytes).ok_or(Fate::NotIp)?;
    peeling.take(at, Malformed::L2tpShort)?;
    Ok((0, if likely::is_frame(peeling.bytes) { Next::Ethernet } else { Next::Header(link::raw) }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, flawed, inner, ipv4, tunnelled, udp_frame};
    use super::*;

    #[test]
    fn version_2_is_ppp_behind_what_its_flags_say() {
        let heads: [&[u8]; 4] = [
            &[0, 2, 0, 1, 0, 2],
            &[0x40, 2, 0, 60, 0, 1, 0, 2],
            &[0x48, 2, 0, 60, 0, 1, 0, 2, 0, 9, 0, 9],
            &[0x02, 2, 0, 1, 0, 2, 0, 3, 0xEE, 0xEE, 0xEE],
        ];
        for head in heads {
            tunnelled(&udp_frame(1701, &[head, &[0xFF, 3, 0, 0x21], &inner()].concat()), "l2tp", 0);
        }
        flawed(&udp_frame(1701, &[0x48, 2, 0, 60, 0, 1, 0, 2, 0]), Malformed::L2tpShort);
        for other in [&[0xC8, 2, 0, 12, 0, 1, 0, 0][..], &[0, 0x12, 0, 1, 0, 2], &[0]] {
            let (packet, _) = decoded(&udp_frame(1701, other)).expect("a packet");
            assert_eq!((packet.tunnel, packet.flaw), (None, None));
        }
    }

    #[test]
    fn version_3_is_believed_where_a_frame_or_packet_fills_it() {
        for cookie in [0, 4, 8, 12] {
            for rest in [ethernet(0x0800, &inner()), inner()] {
                let data = [&[0, 0, 0, 7][..], &vec![0xC0; cookie], &rest].concat();
                tunnelled(&udp_frame(1701, &[&[0, 3, 0, 0], &data[..]].concat()), "l2tp", 0);
                tunnelled(&ethernet(0x0800, &ipv4(PROTOCOL, &data)), "l2tp", 0);
            }
        }
        for other in [&[0, 0, 0, 0, 0x80][..], &[0, 0, 0, 7, 1, 2, 3], &[0, 0]] {
            let (packet, _) = decoded(&ethernet(0x0800, &ipv4(PROTOCOL, other))).expect("a packet");
            assert_eq!((packet.tunnel, packet.flaw), (None, None));
        }
    }
}
