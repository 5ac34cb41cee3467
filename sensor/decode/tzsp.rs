//! TZSP, which routers and access points mirror traffic with: a header, tagged fields, a frame.

use super::{Fate, Malformed, Next, Peeling, Tunnel, wifi};
use crate::limits::LINK_OPTIONS_MAX;

const ETHERNET: u16 = 1;
const WIFI: u16 = 18;
const PADDING: u8 = 0;
const END: u8 = 1;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "tzsp", peel };

/// Version 1, a received or sent frame, of a kind that we read.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    matches!(bytes, [1, 0 | 1, high, low, _, ..] if [ETHERNET, WIFI].contains(&u16::from_be_bytes([*high, *low])))
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let head = peeling.take(4, Malformed::TzspShort)?;
    for _ in 0..LINK_OPTIONS_MAX {
        match peeling.take(1, Malformed::TzspShort)?[0] {
            PADDING => {}
            END if u16::from_be_bytes([head[2], head[3]]) == WIFI => return Ok((0, Next::Header(wifi::peel))),
            END => return Ok((0, Next::Ethernet)),
            _ => {
                let length = usize::from(peeling.take(1, Malformed::TzspShort)?[0]);
                peeling.take(length, Malformed::TzspShort)?;
            }
        }
    }
    Err(Malformed::TooManyHeaders.into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, flawed, inner, tunnelled, udp_frame};
    use super::*;

    #[test]
    fn the_frame_lies_behind_the_tagged_fields() {
        let wifi = [&[8, 0][..], &[0; 22], &[0xAA, 0xAA, 3, 0, 0, 0, 8, 0], &inner()].concat();
        for (kind, rest) in [(1, ethernet(0x0800, &inner())), (18, wifi)] {
            tunnelled(&udp_frame(37_008, &[&[1, 0, 0, kind, 10, 1, 0xC4, 0, 1], &rest[..]].concat()), "tzsp", 0);
        }
        assert_eq!(decoded(&udp_frame(37_008, &[1, 0, 0, 119, 1, 0, 0])).expect("a packet").0.tunnel, None);
        flawed(&udp_frame(37_008, &[1, 0, 0, 1, 10, 9, 1]), Malformed::TzspShort);
        flawed(&udp_frame(37_008, &[&[1, 0, 0, 1][..], &[0; 400]].concat()), Malformed::TooManyHeaders);
    }
}
