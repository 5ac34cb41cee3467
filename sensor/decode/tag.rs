//! Headers of fixed length that switches put before another ethertype or another Ethernet header.

use super::{Fate, Malformed, Next, Peeling, ethernet};

/// Takes a tag of `len` bytes, ethertype included, that ends with the next ethertype.
fn before_kind(peeling: &mut Peeling<'_>, len: usize) -> Result<Next, Fate> {
    peeling.take(len - 2, Malformed::TagShort)?;
    ethernet::kind_first(peeling)
}

/// IEEE 802.1BR E-TAG: six bytes, then an ethertype.
pub(super) fn bridge_port_extension(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    before_kind(peeling, 8)
}

/// Cisco VN-Tag: four bytes, then an ethertype.
pub(super) fn vn_tag(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    before_kind(peeling, 6)
}

/// Cisco MetaData (TrustSec): version, length, one option of four bytes, then an ethertype.
pub(super) fn cisco_metadata(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    before_kind(peeling, 8)
}

/// High-availability seamless redundancy (IEC 62439-3): path and length, sequence number, then an ethertype.
pub(super) fn redundancy(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    before_kind(peeling, 6)
}

/// IEEE 802.1ah: the I-TAG's four bytes, then the customer's Ethernet header.
pub(super) fn provider_backbone(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    peeling.take(4, Malformed::TagShort)?;
    Ok(Next::Ethernet)
}

/// Cisco FabricPath: tree and time to live in two bytes, then the frame as it entered the fabric.
pub(super) fn fabric_path(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    peeling.take(2, Malformed::TagShort)?;
    Ok(Next::Ethernet)
}

/// MACsec (IEEE 802.1AE, 9.3) with integrity alone: the rest is in clear. Encrypted frames are not ours to read.
pub(super) fn macsec(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    const SCI_PRESENT: u8 = 0x20;
    const ENCRYPTED_OR_CHANGED: u8 = 0x0C;
    let head = peeling.take(6, Malformed::TagShort)?;
    if head[0] & ENCRYPTED_OR_CHANGED != 0 {
        return Err(Fate::NotIp);
    }
    if head[0] & SCI_PRESENT != 0 {
        peeling.take(8, Malformed::TagShort)?;
    }
    ethernet::kind_first(peeling)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, inner, refused};
    use super::*;

    #[test]
    fn each_tag_stands_before_a_packet() {
        let packet = [&[8, 0][..], &inner()].concat();
        let frame = ethernet(0x0800, &inner());
        let tags: [(u16, usize, &[u8]); 8] = [
            (0x893F, 6, &packet),
            (0x8926, 4, &packet),
            (0x8909, 6, &packet),
            (0x892F, 4, &packet),
            (0x88E7, 4, &frame),
            (0x8903, 2, &frame),
            (0x88E5, 6, &packet),
            (0x9200, 2, &packet),
        ];
        for (kind, len, rest) in tags {
            let bytes = ethernet(kind, &[&vec![0; len][..], rest].concat());
            assert_eq!(decoded(&bytes).expect("a packet").1, b"inside", "{kind:04x}");
            let short = if kind == 0x9200 { Malformed::VlanShort } else { Malformed::TagShort };
            refused(&ethernet(kind, &vec![0; len - 1]), short);
        }
    }

    #[test]
    fn macsec_is_read_where_it_only_signs() {
        let secured = |control: u8, sci: &[u8]| {
            ethernet(0x88E5, &[&[control, 0, 0, 0, 0, 1], sci, &[8, 0], &inner()[..], &[0; 16]].concat())
        };
        assert_eq!(decoded(&secured(0x20, &[7; 8])).expect("a packet").1, b"inside");
        assert_eq!(decoded(&secured(0x2C, &[7; 8])), Err(Fate::NotIp));
    }
}
