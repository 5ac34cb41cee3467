//! Serial links that are not PPP: Cisco's HDLC and frame relay (RFC 2427).

use super::{Fate, Malformed, Next, Peeling, ethernet, llc, ppp};

/// Cisco HDLC: address, control, ethertype. A link may be PPP in HDLC framing instead (RFC 1662, 3.1).
pub(super) fn cisco(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    if peeling.bytes.starts_with(&[0xFF, 0x03]) {
        return ppp::peel(peeling);
    }
    peeling.take(2, Malformed::HdlcShort)?;
    ethernet::kind_first(peeling)
}

/// PPP on a serial line, where the address tells whether it is Cisco's HDLC after all (unicast or multicast).
pub(super) fn serial(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    match peeling.bytes {
        [0x0F | 0x8F, 0, ..] => cisco(peeling),
        _ => ppp::peel(peeling),
    }
}

/// Frame relay: an address of two to four bytes, then RFC 2427's control and protocol, or an ethertype as Cisco writes it.
pub(super) fn frame_relay(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    const ADDRESS_BYTES_MAX: usize = 4;
    const UNNUMBERED: u8 = 0x03;
    let address = peeling.bytes.iter().take(ADDRESS_BYTES_MAX).position(|byte| byte & 1 != 0);
    let address = address.filter(|&last| last > 0).ok_or(Malformed::FrameRelayAddress)?;
    peeling.take(address + 1, Malformed::HdlcShort)?;
    if peeling.bytes.first() != Some(&UNNUMBERED) {
        return ethernet::kind_first(peeling);
    }
    peeling.take(1, Malformed::HdlcShort)?;
    if peeling.bytes.first() == Some(&0) {
        peeling.take(1, Malformed::HdlcShort)?; // a pad that aligns what follows
    }
    match peeling.take(1, Malformed::HdlcShort)?[0] {
        0xCC => Ok(Next::Ethertype(ethernet::IPV4)),
        0x8E => Ok(Next::Ethertype(ethernet::IPV6)),
        0xCF => Ok(Next::Header(ppp::peel)),
        0x80 => llc::snap(peeling),
        _ => Err(Fate::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded_on, ethernet, inner, refused_on};
    use super::*;

    const CISCO: u16 = 104;
    const PPP_HDLC: u16 = 50;
    const FRAME_RELAY: u16 = 107;

    #[test]
    fn serial_links_carry_packets_behind_each_of_their_headers() {
        let frame = ethernet(0x0800, &inner());
        let heads: [(u16, &[u8], &[u8]); 10] = [
            (CISCO, &[0x0F, 0, 8, 0], &inner()),
            (CISCO, &[0xFF, 3, 0, 0x21], &inner()),
            (PPP_HDLC, &[0x8F, 0, 8, 0], &inner()),
            (PPP_HDLC, &[0xFF, 3, 0, 0x21], &inner()),
            (FRAME_RELAY, &[0x18, 0x41, 3, 0xCC], &inner()),
            (FRAME_RELAY, &[0x18, 0x40, 0x41, 8, 0], &inner()),
            (FRAME_RELAY, &[0x18, 0x41, 8, 0], &inner()),
            (FRAME_RELAY, &[0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0], &inner()),
            (FRAME_RELAY, &[0x18, 0x41, 3, 0xCF, 0, 0x21], &inner()),
            (FRAME_RELAY, &[0x18, 0x41, 3, 0, 0x80, 0, 0x80, 0xC2, 0, 7], &frame),
        ];
        for (link, head, rest) in heads {
            let bytes = [head, rest].concat();
            assert_eq!(decoded_on(link, &bytes).expect("a packet").1, b"inside", "{link}: {head:02x?}");
        }
    }

    #[test]
    fn keep_alives_are_not_ip_and_addresses_end_somewhere() {
        assert_eq!(decoded_on(CISCO, &[0x8F, 0, 0x80, 0x35, 0, 0, 0, 2]), Err(Fate::NotIp));
        assert_eq!(decoded_on(FRAME_RELAY, &[0x18, 0x41, 3, 0x81, 0x82]), Err(Fate::NotIp));
        refused_on(CISCO, &[0x0F], Malformed::HdlcShort);
        for address in [&[0u8; 9][..], &[0x19, 3, 0xCC], &[]] {
            refused_on(FRAME_RELAY, address, Malformed::FrameRelayAddress);
        }
    }
}
