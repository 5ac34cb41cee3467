//! Where one connection ends and the next begins: what a first packet says, and which of several SYNs counts.

use super::entry::Flow;
use super::{Ended, Moment, Ticket, key};
use crate::decode::{Packet, Segment, protocol, tcp_flag};
use crate::limits::SEGMENT_DISTANCE_MAX;

/// The flow that a packet begins.
pub(super) fn new_flow(moment: Moment, packet: &Packet, ticket: &Ticket) -> Flow {
    let sender_is_client = match packet.protocol {
        protocol::TCP => match packet.segment.flags & (tcp_flag::SYN | tcp_flag::ACK) {
            tcp_flag::SYN => true,
            SYN_ACK => false,
            _ => !is_service(packet.ports),
        },
        protocol::UDP => !is_service(packet.ports),
        protocol::ICMP | protocol::ICMPV6 => key::icmp_asked_by(packet).is_none(),
        _ => true,
    };
    let client_is_low = sender_is_client == (ticket.direction == 0);
    let syn = match packet.segment.flags & (tcp_flag::SYN | tcp_flag::ACK) {
        tcp_flag::SYN => Some(packet.segment.seq),
        SYN_ACK => Some(packet.segment.ack.wrapping_sub(1)),
        _ => None,
    };
    let midstream = packet.protocol == protocol::TCP && packet.segment.flags & tcp_flag::SYN == 0;
    let icmp = match packet.protocol {
        protocol::ICMP | protocol::ICMPV6 => (key::icmp_asked_by(packet).unwrap_or(packet.ports.0), packet.ports.1),
        _ => (0, 0),
    };
    Flow {
        key: ticket.key,
        hash: ticket.hash,
        id: moment.packet,
        start: moment.time,
        last: moment.time,
        tunnel: packet.tunnel.map(Box::new),
        icmp,
        syn,
        midstream,
        client_is_low,
        asker_is_low: client_is_low,
        live: true,
        ..Flow::default()
    }
}

/// The flags of a SYN's answer.
const SYN_ACK: u8 = tcp_flag::SYN | tcp_flag::ACK;

/// Whether the sender's port looks like a service's and the receiver's does not.
fn is_service((source, destination): (u16, u16)) -> bool {
    source < 1_024 && destination >= 1_024
}

/// Whether a flow is over, so that this packet begins another.
pub(super) fn is_over(flow: &mut Flow, moment: Moment, packet: &Packet, direction: usize) -> Option<Ended> {
    if moment.time.since(flow.last) > flow.gap_max() {
        return Some(Ended::Timeout);
    }
    if packet.protocol != protocol::TCP || packet.segment.flags & tcp_flag::RST != 0 {
        return None;
    }
    let segment = packet.segment;
    let is_other = match segment.flags & (tcp_flag::SYN | tcp_flag::ACK) {
        tcp_flag::SYN if flow.syn == Some(segment.seq) => false,
        tcp_flag::SYN if flow.closed() => true,
        tcp_flag::SYN => {
            // one SYN alone could be anybody's: the open connection goes on until the SYN is answered
            flow.other_syn = Some(segment.seq);
            false
        }
        // the answer to a SYN that did not fit: now both sides say that it is a new connection
        SYN_ACK => flow.other_syn == Some(segment.ack.wrapping_sub(1)) && flow.has_data(),
        // where only one side is seen, no answer ever is: the first bytes behind the SYN stand for it
        _ => {
            let is_next = flow.other_syn == Some(segment.seq.wrapping_sub(1)) && !packet.payload.is_empty();
            is_next && flow.packets[1 - direction] == 0 && flow.has_data()
        }
    };
    is_other.then_some(Ended::Reused)
}

/// Several SYNs may be sent before anything is said. The one that counts is the one that is answered, or gone on with.
pub(super) fn anchor(flow: &mut Flow, direction: usize, segment: Segment, payload: u64) {
    // where only the answers were seen, and each had another number: the client has acknowledged the one that counts
    let far = segment.ack.wrapping_sub(flow.next[1 - direction]);
    let is_far = far.min(far.wrapping_neg()) > SEGMENT_DISTANCE_MAX;
    if is_far && segment.flags & SYN_ACK == tcp_flag::ACK && flow.awaits_first(1 - direction) {
        flow.next[1 - direction] = segment.ack;
    }
    let Some(other) = flow.other_syn else { return };
    let first = other.wrapping_add(1);
    match segment.flags & SYN_ACK {
        SYN_ACK if segment.ack == first && !flow.has_data() => {
            flow.next[1 - direction] = first;
            flow.next[direction] = segment.seq.wrapping_add(1);
            flow.started = [true; 2];
        }
        0 | tcp_flag::ACK if segment.seq == first && flow.payload[direction] == payload => {
            flow.next[direction] = first;
        }
        _ => return,
    }
    flow.syn = flow.other_syn.take();
}
