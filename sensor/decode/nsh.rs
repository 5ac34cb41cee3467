//! Network service header (RFC 8300): a length in words of four bytes, and what follows it.

use super::{Fate, Malformed, Next, Peeling, ethernet};

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let Some(head) = peeling.bytes.first_chunk::<4>() else { return Err(Malformed::NshShort.into()) };
    let (version, words, carried) = (head[0] >> 6, head[1] & 0x3F, head[3]);
    if version != 0 || words < 2 {
        return Err(Fate::NotIp);
    }
    peeling.take(usize::from(words) * 4, Malformed::NshShort)?;
    next_of(carried)
}

/// What a number of "next protocol" names; NSH and VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe) share the first of them.
pub(super) fn next_of(carried: u8) -> Result<Next, Fate> {
    match carried {
        1 => Ok(Next::Ethertype(ethernet::IPV4)),
        2 => Ok(Next::Ethertype(ethernet::IPV6)),
        3 => Ok(Next::Ethernet),
        4 => Ok(Next::Header(peel)),
        5 => Ok(Next::Ethertype(ethernet::MPLS)),
        _ => Err(Fate::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, inner, refused};
    use super::*;

    #[test]
    fn a_service_header_is_as_long_as_it_says_and_names_what_follows() {
        let head = |words: u8, next: u8| [vec![0, words, 1, next], vec![0; usize::from(words) * 4 - 4]].concat();
        let within = |head: Vec<u8>, rest: &[u8]| ethernet(0x894F, &[&head[..], rest].concat());
        assert_eq!(decoded(&within(head(2, 1), &inner())).expect("a packet").1, b"inside");
        assert_eq!(decoded(&within(head(6, 3), &ethernet(0x0800, &inner()))).expect("a packet").1, b"inside");
        refused(&within(vec![0, 6, 1, 1], &[]), Malformed::NshShort);
        assert_eq!(decoded(&within(head(2, 77), &inner())), Err(Fate::NotIp));
    }
}
