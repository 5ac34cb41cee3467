//! Where a frame's headers begin and end, for a person who looks at its bytes.
//!
//! In: a frame. Out: its layers, as [`super::decode`] takes them off: the same loop, looked at. Never on the packet path.

use super::{Next, Packet, Peeling, ethernet, gre, link, peel, protocol};
use crate::capture::Frame;

/// One header, or what is behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// `ethernet`, `vlan tag`, `ipv4`, `vxlan`, `tcp`, `payload`.
    pub name: &'static str,
    /// Offset of its first byte in the frame.
    pub start: usize,
    /// Offset behind its last.
    pub end: usize,
}

/// A frame's headers in order, then its payload if it has one. Where a header could not be read, what is left of the frame
/// is that header's. Of a fragment, what is behind the IP header is `fragment`.
pub fn layers(frame: &Frame<'_>) -> Vec<Layer> {
    let packet = Packet { length: frame.length, ..Packet::NONE };
    let mut peeling = Peeling { bytes: frame.bytes, at: 0, whole: false, missing: 0, packet };
    let mut begun: Vec<(&'static str, usize)> = vec![("link", 0)];
    let mut end = frame.bytes.len();
    if let Ok(first) = link::first(&mut peeling, frame.link) {
        let peeled = peel(&mut peeling, first, |next, at| {
            end = at.at + at.bytes.len();
            begun.extend(name(next, at).map(|name| (name, at.at)));
        });
        if matches!(peeled, Ok(None)) && !begun.contains(&("payload", peeling.at)) {
            begun.push(("payload", peeling.at));
        }
    }
    let ends = begun.iter().skip(1).map(|(_, start)| *start).chain([end]).collect::<Vec<_>>();
    let spans = begun.iter().zip(ends).map(|((name, start), end)| Layer { name, start: *start, end });
    let mut all: Vec<Layer> = spans.filter(|layer| layer.end > layer.start).collect();
    if end < frame.bytes.len() {
        all.push(Layer { name: "padding", start: end, end: frame.bytes.len() });
    }
    all
}

/// What a person calls the header that comes next; `None`: it has no bytes of its own.
fn name(next: &Next, at: &Peeling<'_>) -> Option<&'static str> {
    match next {
        Next::Ethernet => Some("ethernet"),
        Next::Ethertype(ethernet::IPV4) => Some("ipv4"),
        Next::Ethertype(ethernet::IPV6) => Some("ipv6"),
        Next::Ethertype(kind) if ethernet::is_vlan(*kind) => Some("vlan tag"),
        Next::Ethertype(_) => Some("link layer"),
        Next::Header(_) => Some("link header"),
        Next::Enter(tunnel) => Some(tunnel.name),
        Next::Fragment(_) => Some("fragment"),
        Next::Done => Some("payload"),
        Next::Transport => match at.packet.protocol {
            protocol::TCP => Some("tcp"),
            protocol::UDP => Some("udp"),
            protocol::SCTP => Some("sctp"),
            protocol::ICMP | protocol::ICMPV6 => Some("icmp"),
            gre::PROTOCOL => None,
            _ => Some("transport"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ethernet as framed, inner, udp_frame};
    use super::*;
    use crate::capture::Link;
    use crate::time::Timestamp;

    fn named(bytes: &[u8]) -> Vec<(&'static str, usize, usize)> {
        let length = bytes.len() as u32;
        let frame = Frame { number: 1, time: Timestamp::default(), bytes, length, link: Link::ETHERNET };
        layers(&frame).iter().map(|layer| (layer.name, layer.start, layer.end)).collect()
    }

    #[test]
    fn headers_stand_where_they_begin_and_end() {
        let bytes = udp_frame(4444, b"hello");
        let outer = [("ethernet", 0, 14), ("ipv4", 14, 34), ("udp", 34, 42)];
        assert_eq!(named(&bytes), [&outer[..], &[("payload", 42, 47)]].concat());
        let vxlan = [&[8, 0, 0, 0, 0, 1, 2, 0], &framed(0x0800, &inner())[..]].concat();
        let told = named(&udp_frame(4789, &vxlan));
        assert_eq!(told[..3], outer);
        assert_eq!(told[3..6], [("vxlan", 42, 50), ("ethernet", 50, 64), ("ipv4", 64, 84)]);
    }

    #[test]
    fn a_cut_frame_and_its_padding_have_a_place_too() {
        assert_eq!(named(&[0; 9]), [("ethernet", 0, 9)]);
        let padded = [&udp_frame(4444, b"hello")[..], &[0; 13]].concat();
        assert_eq!(named(&padded).last(), Some(&("padding", 47, 60)));
    }
}
