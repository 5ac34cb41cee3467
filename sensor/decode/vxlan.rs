//! VXLAN (RFC 7348) and its generic extension (draft-ietf-nvo3-vxlan-gpe), which names what it carries.

use super::{Fate, Malformed, Next, Peeling, Tunnel, likely, nsh};

pub(super) const PORT: u16 = 4789;
const HEADER_BYTES: usize = 8;
const HAS_NETWORK: u8 = 0x08;
const NAMES_NEXT: u8 = 0x04;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "vxlan", peel };
pub(super) static EXTENDED: Tunnel = Tunnel { name: "vxlan", peel: peel_extended };

/// The I flag is set. RFC 7348 tells receivers to ignore the reserved bits.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES && bytes[0] & HAS_NETWORK != 0
}

/// On any port: nothing reserved is set, and a frame with a whole IP packet fills what is left.
pub(super) fn is_certain(bytes: &[u8]) -> bool {
    let [HAS_NETWORK, 0, 0, 0, _, _, _, 0, frame @ ..] = bytes else { return false };
    likely::is_frame(frame)
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    header(peeling).map(|(_, network)| (network, Next::Ethernet))
}

/// On the extension's own port. Elsewhere its flag is one of those that are reserved, and ignored.
fn peel_extended(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let (head, network) = header(peeling)?;
    Ok((network, if head[0] & NAMES_NEXT != 0 { nsh::next_of(head[3])? } else { Next::Ethernet }))
}

fn header<'a>(peeling: &mut Peeling<'a>) -> Result<(&'a [u8], u32), Fate> {
    let head = peeling.take(HEADER_BYTES, Malformed::VxlanShort)?;
    Ok((head, u32::from_be_bytes([0, head[4], head[5], head[6]])))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, flawed, inner, tunnelled, udp_frame};
    use super::*;

    #[test]
    fn vxlan_tells_its_network_and_keeps_only_outer_tags() {
        let carried = ethernet(0x8100, &[&[0, 9, 8, 0], &inner()[..]].concat());
        let vxlan = [&[8, 0, 0, 0, 0, 1, 2, 0], &carried[..]].concat();
        let outer = udp_frame(PORT, &vxlan);
        let tagged = [&outer[..12], &[0x81, 0, 0, 5], &outer[12..]].concat();
        let packet = tunnelled(&tagged, "vxlan", 0x0102);
        assert_eq!((packet.vlans, packet.ports.1), ([5, 0], 53));
        let reserved = [&[0xFF, 1, 0xD1, 0xF2, 0, 1, 2, 9], &carried[..]].concat();
        tunnelled(&udp_frame(PORT, &reserved), "vxlan", 0x0102);
        let (packet, _) = decoded(&udp_frame(PORT, b"a datagram without the flag")).expect("a packet");
        assert_eq!((packet.ports.1, packet.tunnel, packet.flaw), (PORT, None, None));
    }

    #[test]
    fn the_extension_names_what_follows() {
        let frame = ethernet(0x0800, &inner());
        for (next, rest) in [(1, inner()), (3, frame.clone())] {
            tunnelled(&udp_frame(4790, &[&[0x0C, 0, 0, next, 0, 0, 7, 0], &rest[..]].concat()), "vxlan", 7);
        }
        tunnelled(
            &udp_frame(4790, &[&[0x0C, 0, 0, 4, 0, 0, 7, 0, 0, 2, 1, 3, 0, 0, 1, 1], &frame[..]].concat()),
            "vxlan",
            7,
        );
    }

    #[test]
    fn a_network_may_speak_on_a_port_of_its_own_but_only_without_doubt() {
        let vxlan = [&[8, 0, 0, 0, 0, 1, 2, 0], &ethernet(0x0800, &inner())[..]].concat();
        tunnelled(&udp_frame(61_616, &vxlan), "vxlan", 0x0102);
        for at in [0, 1, 7, 8 + 12, 8 + 14, 8 + 14 + 3, 8 + 14 + 9] {
            let mut other = vxlan.clone();
            other[at] ^= 0x10;
            assert_eq!(decoded(&udp_frame(61_616, &other)).expect("a packet").0.tunnel, None, "{at}");
        }
    }

    #[test]
    fn a_frame_that_makes_no_sense_leaves_the_tunnels_own_packet_and_is_counted() {
        flawed(&udp_frame(PORT, &[8, 0, 0, 0, 0, 1, 2, 0, 1, 2, 3]), Malformed::EthernetShort);
        let arp = [&[8, 0, 0, 0, 0, 1, 2, 0], &ethernet(0x0806, &[0; 28])[..]].concat();
        let (packet, payload) = decoded(&udp_frame(PORT, &arp)).expect("a packet");
        assert_eq!((packet.ports.1, packet.tunnel, packet.flaw, payload), (PORT, None, None, arp));
    }
}
