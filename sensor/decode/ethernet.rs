//! Ethernet (IEEE 802.3) and what its types name: IP, VLAN tags (802.1Q, 802.1ad), and the rows of other rooms' headers.

use super::{Fate, Malformed, Next, Peel, Peeling, llc, mpls, nsh, ppp, tag, trill};

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86DD;
pub(super) const ARP: u16 = 0x0806;
/// Ethernet in something that numbers what it carries by ethertype: NVGRE, Geneve.
pub(super) const BRIDGED: u16 = 0x6558;
pub(super) const MPLS: u16 = 0x8847;
pub(super) const PPP: u16 = 0x880B;
pub(super) const PPPOE: u16 = 0x8864;
pub(super) const HEADER_BYTES: usize = 14;
/// Up to here the field is a length, and LLC follows (IEEE 802.3, 3.2.6).
pub(super) const LENGTH_MAX: u16 = 1500;

/// Whether an ethertype is a VLAN tag: 802.1Q, 802.1ad and the number that QinQ had before its standard.
pub(super) const fn is_vlan(kind: u16) -> bool {
    matches!(kind, 0x8100 | 0x88A8 | 0x9100)
}

/// What stands behind an ethertype that is neither IP nor a VLAN tag.
static KINDS: [(u16, Peel); 17] = [
    (MPLS, mpls::peel),
    (0x8848, mpls::peel),
    (PPPOE, ppp::session),
    (PPP, ppp::peel),
    (BRIDGED, peel),
    (0x8870, llc::peel), // a frame too long for a length
    (0x88E7, tag::provider_backbone),
    (0x893F, tag::bridge_port_extension),
    (0x8926, tag::vn_tag),
    (0x8903, tag::fabric_path),
    (0x8909, tag::cisco_metadata),
    (0x88E5, tag::macsec),
    (0x892F, tag::redundancy),
    (0x22F3, trill::peel),
    (0x894F, nsh::peel),
    (0x9200, vlan),
    (0x9300, vlan),
];

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(HEADER_BYTES, Malformed::EthernetShort)?;
    Ok(Next::Ethertype(u16::from_be_bytes([head[12], head[13]])))
}

/// Where the next two bytes are an ethertype.
pub(super) fn kind_first(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let kind = peeling.take(2, Malformed::EthernetShort)?;
    Ok(Next::Ethertype(u16::from_be_bytes([kind[0], kind[1]])))
}

/// An ethertype that is not IP: a VLAN tag, the row of another header, or nothing for us.
pub(super) fn other(peeling: &mut Peeling<'_>, kind: u16) -> Result<Next, Fate> {
    if is_vlan(kind) {
        return vlan(peeling);
    }
    if kind <= LENGTH_MAX {
        return llc::peel(peeling);
    }
    KINDS.iter().find(|row| row.0 == kind).map_or(Err(Fate::NotIp), |row| row.1(peeling))
}

/// Whether something that we read may stand behind this ethertype, or what real links carry beside it.
pub(super) fn is_known(kind: u16) -> bool {
    matches!(kind, IPV4 | IPV6 | ARP) || is_vlan(kind) || KINDS.iter().any(|row| row.0 == kind)
}

/// Whether these bytes begin with an Ethernet header whose type makes sense; a length must fit what is there.
pub(super) fn is_likely(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return false };
    match u16::from_be_bytes([head[12], head[13]]) {
        length if length <= LENGTH_MAX => length > 0 && usize::from(length) <= bytes.len() - HEADER_BYTES,
        kind => is_known(kind),
    }
}

fn vlan(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let tag = peeling.take(4, Malformed::VlanShort)?;
    let id = u16::from_be_bytes([tag[0], tag[1]]) & 0x0FFF;
    // only the outermost packet's tags tell networks apart; those inside a tunnel belong to someone else's
    if peeling.packet.tunnel.is_none()
        && let Some(free) = peeling.packet.vlans.iter_mut().find(|vlan| **vlan == 0)
    {
        *free = id;
    }
    Ok(Next::Ethertype(u16::from_be_bytes([tag[2], tag[3]])))
}
