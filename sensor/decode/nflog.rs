//! NFLOG: what Linux' packet filter logs, as options of which one is the packet (libpcap's description of the link type).

use super::{Fate, Malformed, Next, Peeling, link};
use crate::limits::LINK_OPTIONS_MAX;

const PAYLOAD: u16 = 9;

/// Family, version, resource; then options, each with length and type in the order of the machine that captured.
pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    peeling.take(4, Malformed::NflogShort)?;
    for _ in 0..LINK_OPTIONS_MAX {
        let head = peeling.take(4, Malformed::NflogShort)?;
        let (length, kind) = option([head[0], head[1]], [head[2], head[3]]);
        let length = usize::from(length).checked_sub(4).ok_or(Malformed::NflogOption)?;
        if kind == PAYLOAD {
            // what pads the packet to a multiple of four is not part of it
            peeling.limit(length);
            return link::raw(peeling);
        }
        peeling.take(length.next_multiple_of(4), Malformed::NflogShort)?;
    }
    Err(Malformed::TooManyHeaders.into())
}

/// Types are small numbers: which byte is zero shows the order.
fn option(length: [u8; 2], kind: [u8; 2]) -> (u16, u16) {
    match kind {
        [_, 0] => (u16::from_le_bytes(length), u16::from_le_bytes(kind)),
        _ => (u16::from_be_bytes(length), u16::from_be_bytes(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded_on, inner, refused_on};
    use super::*;

    const NFLOG: u16 = 239;

    #[test]
    fn the_packet_is_one_of_the_options_in_either_order() {
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let option = |kind: u16, rest: &[u8]| {
                let padding = vec![0; rest.len().next_multiple_of(4) - rest.len()];
                [&order(rest.len() as u16 + 4)[..], &order(kind), rest, &padding].concat()
            };
            let bytes = [&[2, 0, 0, 5][..], &option(1, &[8, 0, 3, 0]), &option(10, b"prefix\0"), &option(9, &inner())];
            assert_eq!(decoded_on(NFLOG, &bytes.concat()).expect("a packet").1, b"inside");
        }
    }

    #[test]
    fn options_that_lie_about_their_length_are_counted() {
        refused_on(NFLOG, &[2, 0, 0, 5, 3, 0, 1, 0], Malformed::NflogOption);
        refused_on(NFLOG, &[2, 0, 0, 5, 40, 0, 1, 0, 1, 2], Malformed::NflogShort);
        refused_on(NFLOG, &[2, 0, 0], Malformed::NflogShort);
        refused_on(NFLOG, &[&[2, 0, 0, 5][..], &[4, 0, 1, 0].repeat(500)].concat(), Malformed::TooManyHeaders);
    }
}
