//! What Juniper routers capture: a header of their own before the link's (libpcap's description of the link types).

use super::{Fate, Malformed, Next, Peel, Peeling, hdlc, link, ppp};

const MAGIC: [u8; 3] = *b"MGC";
const NO_LINK_HEADER: u8 = 0x02;
const EXTENSIONS: u8 = 0x80;

pub(super) fn ethernet(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    behind(peeling, super::ethernet::peel)
}

pub(super) fn ppp(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    behind(peeling, ppp::peel)
}

pub(super) fn frame_relay(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    behind(peeling, hdlc::frame_relay)
}

pub(super) fn cisco(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    behind(peeling, hdlc::cisco)
}

fn behind(peeling: &mut Peeling<'_>, carried: Peel) -> Result<Next, Fate> {
    let head = peeling.take(4, Malformed::JuniperShort)?;
    if head[..3] != MAGIC {
        return Err(Malformed::JuniperMagic.into());
    }
    if head[3] & EXTENSIONS != 0 {
        let length = peeling.take(2, Malformed::JuniperShort)?;
        peeling.take(usize::from(u16::from_be_bytes([length[0], length[1]])), Malformed::JuniperShort)?;
    }
    if head[3] & NO_LINK_HEADER != 0 {
        peeling.take(4, Malformed::JuniperShort)?; // the address family
        return link::raw(peeling);
    }
    Ok(Next::Header(carried))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded_on, ethernet, inner, refused_on};
    use super::*;

    #[test]
    fn a_routers_header_stands_before_the_links_or_before_ip() {
        let frame = ethernet(0x0800, &inner());
        let cases: [(u16, &[u8], &[u8]); 5] = [
            (178, b"MGC\x00", &frame),
            (178, b"MGC\x80\x00\x03abc", &frame),
            (178, b"MGC\x02\x00\x00\x00\x02", &inner()),
            (179, b"MGC\x00\x00\x21", &inner()),
            (181, b"MGC\x00\x0F\x00\x08\x00", &inner()),
        ];
        for (link, head, rest) in cases {
            assert_eq!(decoded_on(link, &[head, rest].concat()).expect("a packet").1, b"inside", "{link} {head:02x?}");
        }
        refused_on(178, b"MGC\x80\x00\x09abc", Malformed::JuniperShort);
        refused_on(178, b"XYZ\x80\x00\x09abc", Malformed::JuniperMagic);
    }
}
