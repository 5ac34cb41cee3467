//! A connection of which only the first SYN was seen, kept as small as it is: most are a scan's, and never become more.
//!
//! In: a packet without a flow. Out: that packet's flow, once a second packet comes; or its view, if none does. A scan of
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
    pub(super) time: Timestamp,
    /// Its shard's clock at its packet.
    pub(super) seen: Timestamp,
    length: u32,
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
            time: Timestamp::default(),
            seen: Timestamp::default(),
            length: 0,
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
        let flags = packet.segment.flags;
        let asks = flags & (tcp_flag::SYN | tcp_flag::ACK | tcp_flag::RST | tcp_flag::FIN) == tcp_flag::SYN;
        let says_nothing = packet.payload.is_empty() && packet.missing == 0;
        if packet.protocol != protocol::TCP || !asks || !says_nothing || packet.tunnel.is_some() {
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
            time: moment.time,
            seen,
            length: packet.length,
            flags,
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

    /// The flow of its one packet.
    pub(super) fn flow(&self) -> Flow {
        let direction = usize::from(self.direction);
        let only = |value: u64| if direction == 0 { [value, 0] } else { [0, value] };
        let client_is_low = direction == 0;
        let mut flow = Flow {
            key: self.key(),
            hash: self.hash,
            id: self.id,
            start: self.time,
            last: self.time,
            seen: self.seen,
            packets: only(1),
            bytes: only(u64::from(self.length)),
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
        let (low, high) = (decode::ip(&self.low), decode::ip(&self.high));
        let ((client, client_port), (server, server_port)) = match self.direction {
            0 => ((low, self.ports.0), (high, self.ports.1)),
            _ => ((high, self.ports.1), (low, self.ports.0)),
        };
        FlowView {
            id: self.id,
            client,
            server,
            client_port,
            server_port,
            protocol: protocol::TCP,
            vlans: self.vlans,
            tunnel: None,
            start: self.time,
            last: self.time,
            packets: [1, 0],
            bytes: [u64::from(self.length), 0],
            payload: [0; 2],
            stage: Stage::Attempted,
            app_proto: None,
            midstream: false,
            missing: [0; 2],
            tcp_flags: [self.flags, 0],
        }
    }
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
        self.half_open.time
    }

    /// The client's address and the server's.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        let (low, high) = (decode::ip(&self.half_open.low), decode::ip(&self.half_open.high));
        if self.half_open.direction == 0 { (low, high) } else { (high, low) }
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
    fn three_of_them_take_less_room_than_two_flows() {
        assert!(size_of::<HalfOpen>() <= 88, "{}", size_of::<HalfOpen>());
    }
}
