//! The packet that a worker died of, as a capture file has it.
//!
//! In: a frame; or a packet that another worker received and decoded, or that came in fragments: of these the headers are
//! written anew, and what they said of tunnels, VLANs and options is not kept. Out: bytes with link type, time and length. Never here: a file.

use crate::capture::{Frame, Link};
use crate::decode::{Packet, ip, protocol};
use crate::flow::Moment;
use crate::time::Timestamp;

/// LINKTYPE_RAW: IP without anything before it.
const RAW: Link = Link(101);

/// Room that 16-bit lengths of IP and UDP leave for the largest header.
const PAYLOAD_BYTES_MAX: usize = 65_535 - 60;

/// One packet to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specimen {
    /// Its number on its link.
    pub number: u64,
    /// When it was seen.
    pub time: Timestamp,
    /// What its first bytes are.
    pub link: Link,
    /// How long it was.
    pub length: u32,
    /// What there is of it.
    pub bytes: Vec<u8>,
    /// Whether its headers were written anew.
    pub rebuilt: bool,
}

impl Specimen {
    pub(super) fn of_frame(frame: &Frame<'_>) -> Specimen {
        let Frame { number, time, link, length, bytes } = *frame;
        Specimen { number, time, link, length, bytes: bytes.to_vec(), rebuilt: false }
    }

    pub(super) fn of_packet(moment: Moment, packet: &Packet, payload: &[u8]) -> Specimen {
        let bytes = headed(packet, &payload[..payload.len().min(PAYLOAD_BYTES_MAX)]);
        let length = bytes.len() as u32;
        Specimen { number: moment.packet, time: moment.time, link: RAW, length, bytes, rebuilt: true }
    }
}

/// IP and transport headers before a payload; no checksums, as nobody here asks for them.
fn headed(packet: &Packet, payload: &[u8]) -> Vec<u8> {
    let (source_port, destination_port) = (packet.ports.0.to_be_bytes(), packet.ports.1.to_be_bytes());
    let ports = [source_port, destination_port].concat();
    let transport = match packet.protocol {
        protocol::TCP => {
            let segment = &packet.segment;
            let numbers = [segment.seq.to_be_bytes(), segment.ack.to_be_bytes()].concat();
            [&ports[..], &numbers, &[0x50, segment.flags, 0xFF, 0xFF, 0, 0, 0, 0]].concat()
        }
        protocol::UDP => [&ports[..], &(payload.len() as u16 + 8).to_be_bytes(), &[0, 0]].concat(),
        protocol::SCTP => [&ports[..], &[0; 8]].concat(),
        protocol::ICMP | protocol::ICMPV6 => vec![source_port[1], destination_port[1], 0, 0, 0, 0, 0, 0],
        _ => Vec::new(),
    };
    let length = (transport.len() + payload.len()) as u16;
    let head = match (ip(&packet.source), ip(&packet.destination)) {
        (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) => {
            let total = (length + 20).to_be_bytes();
            let head = [0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, packet.protocol, 0, 0];
            [&head[..], &source.octets(), &destination.octets()].concat()
        }
        _ => {
            let length = length.to_be_bytes();
            let head = [0x60, 0, 0, 0, length[0], length[1], packet.protocol, 64];
            [&head[..], &packet.source, &packet.destination].concat()
        }
    };
    [&head[..], &transport, payload].concat()
}
