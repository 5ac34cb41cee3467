//! A connection of which only a SYN was seen, once or repeated, kept as small as it is: most are a scan's, and never become
//! more.
//!
//! In: a packet without a flow. Out: its flow, once anything else comes; or its view, if nothing does. A scan of
//! millions costs each of them one of these, given up oldest first, and no connection that was answered goes for them.

use std::net::IpAddr;

use super::entry::Flow;
use super::key::Key;
use super::scene::{FlowView, Scene};
use super::table::NONE;
use super::{Moment, Ticket};
use crate::decode::{self, Address, Packet, protocol, tcp_flag};
use crate::limits::FLOW_GAP_TCP_HALF_OPEN;
use crate::observable::Stage;
use crate::time::{Span, Timestamp};

/// See the head of this file. Its client is who sent the SYN.
#[derive(Clone, Copy, Debug)]
pub struct HalfOpen {
    low: Address,
    high: Address,
    ports: (u16, u16),
    vlans: [u16; 2],
    pub(super) hash: u32,
    seq: u32,
    pub(super) id: u64,
    pub(super) start: Timestamp,
    pub(super) last: Timestamp,
    /// Its shard's clock at its latest packet.
    pub(super) seen: Timestamp,
    bytes: u64,
    packets: u32,
    flags: u8,
    direction: u8,
    /// Its neighbours by age in the shard, or [`NONE`].
    pub(super) older: u32,
    pub(super) newer: u32,
}

impl Default for HalfOpen {
    fn default() -> Self {
        HalfOpen {
            low: Address::default(),
            high: Address::default(),
            ports: (0, 0),
            vlans: [0; 2],
            hash: 0,
            seq: 0,
            id: 0,
            start: Timestamp::default(),
            last: Timestamp::default(),
            seen: Timestamp::default(),
            bytes: 0,
            packets: 0,
            flags: 0,
            direction: 0,
            older: NONE,
            newer: NONE,
        }
    }
}

impl HalfOpen {
    /// The half-open connection that a packet begins, if it says no more than SYN and came through no tunnel.
    pub(super) fn of(moment: Moment, packet: &Packet, ticket: &Ticket, seen: Timestamp) -> Option<HalfOpen> {
        if !is_bare_syn(packet) || packet.tunnel.is_some() {
            return None;
        }
        let Key { low, high, ports, vlans, .. } = ticket.key;
        Some(HalfOpen {
            low,
            high,
            ports,
            vlans,
            hash: ticket.hash,
            seq: packet.segment.seq,
            id: moment.packet,
            start: moment.time,
            last: moment.time,
            seen,
            bytes: u64::from(packet.length),
            packets: 1,
            flags: packet.segment.flags,
            direction: ticket.direction as u8,
            ..HalfOpen::default()
        })
    }

    pub(super) fn key(&self) -> Key {
        Key { low: self.low, high: self.high, ports: self.ports, vlans: self.vlans, protocol: protocol::TCP, tunnel: 0 }
    }

    /// How long it may be silent.
    pub(super) fn gap_max() -> Span {
        FLOW_GAP_TCP_HALF_OPEN
    }

    /// Whether a packet of that time comes too late for it.
    pub(super) fn is_over(&self, time: Timestamp) -> bool {
        time.since(self.last) > HalfOpen::gap_max()
    }

    /// The client's end and the server's.
    fn ends(&self) -> ((IpAddr, u16), (IpAddr, u16)) {
        let low = (decode::ip(&self.low), self.ports.0);
        let high = (decode::ip(&self.high), self.ports.1);
        if self.direction == 0 { (low, high) } else { (high, low) }
    }

    /// Takes note of the same SYN once more: senders without an answer repeat it. Whether it was that.
    pub(super) fn repeated(&mut self, packet: &Packet, direction: usize, time: Timestamp, seen: Timestamp) -> bool {
        let same = is_bare_syn(packet) && packet.segment.seq == self.seq && direction == usize::from(self.direction);
        if same && self.packets < u32::MAX {
            self.packets += 1;
            self.bytes += u64::from(packet.length);
            self.flags |= packet.segment.flags;
            (self.last, self.seen) = (time, seen);
            return true;
        }
        false
    }

    /// Moves its times.
    pub(super) fn shift(&mut self, moved: Span) {
        for time in [&mut self.start, &mut self.last, &mut self.seen] {
            *time = time.moved(moved);
        }
    }

    /// The flow of its packets.
    pub(super) fn flow(&self) -> Flow {
        let direction = usize::from(self.direction);
        let only = |value: u64| if direction == 0 { [value, 0] } else { [0, value] };
        let client_is_low = direction == 0;
        let mut flow = Flow {
            key: self.key(),
            hash: self.hash,
            id: self.id,
            start: self.start,
            last: self.last,
            seen: self.seen,
            packets: only(u64::from(self.packets)),
            bytes: only(self.bytes),
            syn: Some(self.seq),
            client_is_low,
            asker_is_low: client_is_low,
            live: true,
            ..Flow::default()
        };
        flow.flags[direction] = self.flags;
        flow.started[direction] = true;
        flow.next[direction] = self.seq.wrapping_add(1);
        flow
    }

    /// What is told of it, as of any flow.
    pub(super) fn view(&self) -> FlowView {
        let ((client, client_port), (server, server_port)) = self.ends();
        FlowView {
            id: self.id,
            client,
            server,
            client_port,
            server_port,
            protocol: protocol::TCP,
            vlans: self.vlans,
            tunnel: None,
            start: self.start,
            last: self.last,
            packets: [u64::from(self.packets), 0],
            bytes: [self.bytes, 0],
            payload: [0; 2],
            stage: Stage::Attempted,
            app_proto: None,
            midstream: false,
            missing: [0; 2],
            tcp_flags: [self.flags, 0],
        }
    }
}

/// Whether a packet asks for a connection and says no more.
fn is_bare_syn(packet: &Packet) -> bool {
    let flags = packet.segment.flags & (tcp_flag::SYN | tcp_flag::ACK | tcp_flag::RST | tcp_flag::FIN);
    let says_nothing = packet.payload.is_empty() && packet.missing == 0;
    packet.protocol == protocol::TCP && flags == tcp_flag::SYN && says_nothing
}

/// A half-open connection that began, or is over. Of most nobody wants to know more than their addresses, so the scene is
/// made only for who asks.
#[derive(Clone, Copy, Debug)]
pub struct Knock {
    pub(super) half_open: HalfOpen,
    pub(super) moment: Moment,
    pub(super) shard: u8,
}

impl Knock {
    /// Its number as a flow.
    pub fn flow(&self) -> u64 {
        self.half_open.id
    }

    /// When it began.
    pub fn start(&self) -> Timestamp {
        self.half_open.start
    }

    /// The client's address and the server's.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        let ((client, _), (server, _)) = self.half_open.ends();
        (client, server)
    }

    /// The shard that it lives in.
    pub fn shard(&self) -> usize {
        usize::from(self.shard)
    }

    /// Where and when that was, and the flow as it stood.
    pub fn scene(&self) -> Scene {
        let Moment { packet, time } = self.moment;
        Scene { packet, time, shard: self.shard, flow: self.half_open.view() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_of_them_take_no_more_room_than_two_flows() {
        assert!(size_of::<HalfOpen>() <= 104, "{}", size_of::<HalfOpen>());
    }
}
