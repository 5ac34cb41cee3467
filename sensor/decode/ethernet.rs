//! Ethernet and VLAN tags (IEEE 802.3, 802.1Q, 802.1ad).

use super::{Fate, Malformed, Next, Peeling};

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86DD;
pub(super) const HEADER_BYTES: usize = 14;

/// Whether an ethertype is a VLAN tag: 802.1Q, 802.1ad and the number that QinQ had before its standard.
pub(super) const fn is_vlan(kind: u16) -> bool {
    matches!(kind, 0x8100 | 0x88A8 | 0x9100)
}

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(HEADER_BYTES, Malformed::EthernetShort)?;
    Ok(Next::Ethertype(u16::from_be_bytes([head[12], head[13]])))
}

/// An ethertype that is not IP: a VLAN tag, or nothing for us.
pub(super) fn other(peeling: &mut Peeling<'_>, kind: u16) -> Result<Next, Fate> {
    if !is_vlan(kind) {
        return Err(Fate::NotIp);
    }
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
