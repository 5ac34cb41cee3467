//! One flow: counters, TCP's place in both directions, and what is known of the conversation in it.

use super::key::Key;
use super::scene::FlowView;
use super::table::NONE;
use crate::decode::{self, Packet, Peeled, protocol, tcp_flag};
use crate::limits::{
    FLOW_GAP_CLOSED, FLOW_GAP_DATAGRAM_ANSWERED, FLOW_GAP_DATAGRAM_ONE_WAY, FLOW_GAP_TCP, FLOW_GAP_TCP_HALF_OPEN,
    RECOGNITIONS_MAX,
};
use crate::observable::{Side, Stage};
use crate::protocol::Spoken;
use crate::time::{Span, Timestamp};

/// What is known of the conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Talk {
    /// Not recognised yet; which directions have shown bytes that are none of ours.
    #[default]
    Unknown,
    /// A stream conversation with its state's handle.
    Stream(Spoken, u32),
    /// A datagram protocol, by its row.
    Datagrams(u8),
    /// Nothing more to learn: counted, no longer read.
    Shunted,
}

/// One flow. Pairs are indexed by direction: 0 what the low end of the key sends, 1 what the high end sends.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) key: Key,
    pub(super) hash: u32,
    pub(super) id: u64,
    pub(super) start: Timestamp,
    pub(super) last: Timestamp,
    /// Its shard's clock at its latest packet.
    pub(super) seen: Timestamp,
    pub(super) packets: [u64; 2],
    pub(super) bytes: [u64; 2],
    pub(super) payload: [u64; 2],
    pub(super) missing: [u64; 2],
    /// Next expected sequence number.
    pub(super) next: [u32; 2],
    /// What the other side has acknowledged last.
    pub(super) acknowledged: [u32; 2],
    /// The sequence number of the SYN that began it, if that is known.
    pub(super) syn: Option<u32>,
    /// The sequence number of a SYN that may begin another connection.
    pub(super) other_syn: Option<u32>,
    /// Number of its buffers in the shard, or [`NONE`].
    pub(super) buffers: u32,
    pub(super) talk: Talk,
    pub(super) app_proto: Option<&'static str>,
    pub(super) said: Option<Stage>,
    /// The outermost tunnel, if any.
    pub(super) tunnel: Option<Box<Peeled>>,
    /// ICMP type and code of the first packet.
    pub(super) icmp: (u16, u16),
    pub(super) flags: [u8; 2],
    pub(super) started: [bool; 2],
    pub(super) finished: [bool; 2],
    /// How often this direction's bytes were shown to recognisers in vain.
    pub(super) shown: [u8; 2],
    /// Consecutive segments far outside the window.
    pub(super) odd: [u8; 2],
    pub(super) reset: bool,
    pub(super) refused: bool,
    pub(super) midstream: bool,
    /// Datagrams offered to recognisers so far.
    pub(super) offered: u8,
    /// Whether the low end of the key is the client.
    pub(super) client_is_low: bool,
    /// Whether the low end plays the client in the conversation; may differ from who connected.
    pub(super) asker_is_low: bool,
    pub(super) live: bool,
}

impl Default for Flow {
    fn default() -> Self {
        let key = Key::default();
        Flow {
            key,
            hash: 0,
            id: 0,
            start: Timestamp::default(),
            last: Timestamp::default(),
            seen: Timestamp::default(),
            packets: [0; 2],
            bytes: [0; 2],
            payload: [0; 2],
            missing: [0; 2],
            next: [0; 2],
            acknowledged: [0; 2],
            syn: None,
            other_syn: None,
            buffers: NONE,
            talk: Talk::Unknown,
            app_proto: None,
            said: None,
            tunnel: None,
            icmp: (0, 0),
            flags: [0; 2],
            started: [false; 2],
            finished: [false; 2],
            shown: [0; 2],
            odd: [0; 2],
            reset: false,
            refused: false,
            midstream: false,
            offered: 0,
            client_is_low: false,
            asker_is_low: false,
            live: false,
        }
    }
}

impl Flow {
    /// Counts a packet that `direction` sent.
    pub(super) fn count(&mut self, packet: &Packet, payload: usize, direction: usize, time: Timestamp) {
        self.last = time;
        self.packets[direction] += 1;
        self.bytes[direction] += u64::from(packet.length);
        // a reset's payload is a message for people, not data (RFC 9293, 3.5.3)
        if packet.segment.flags & tcp_flag::RST == 0 {
            self.payload[direction] += payload as u64;
        }
        self.flags[direction] |= packet.segment.flags;
    }

    /// Whether the conversation is over: both sides finished, or one reset.
    pub(super) fn closed(&self) -> bool {
        self.reset || (self.finished[0] && self.finished[1])
    }

    /// Whether bytes were sent to somebody who may have taken them: those in a SYN that nobody answers were not.
    pub(super) fn has_data(&self) -> bool {
        let answered = self.key.protocol != protocol::TCP || (self.flags[0] | self.flags[1]) & tcp_flag::ACK != 0;
        answered && self.payload != [0, 0]
    }

    /// How long it may be silent.
    pub(super) fn gap_max(&self) -> Span {
        let answered = self.packets[0] > 0 && self.packets[1] > 0;
        match self.key.protocol {
            protocol::TCP if self.closed() => FLOW_GAP_CLOSED,
            protocol::TCP if !(self.has_data() || answered && self.flags[0] & self.flags[1] & tcp_flag::ACK != 0) => {
                FLOW_GAP_TCP_HALF_OPEN
            }
            protocol::TCP => FLOW_GAP_TCP,
            _ if answered => FLOW_GAP_DATAGRAM_ANSWERED,
            _ => FLOW_GAP_DATAGRAM_ONE_WAY,
        }
    }

    /// What giving it up would cost; the least goes first. What one side says, anybody can say to nobody: an answer weighs
    /// more, and bytes behind an ACK stand for one where only one side is seen.
    pub(super) fn weight(&self) -> (u8, Timestamp, u64) {
        let answered = self.packets[0] > 0 && self.packets[1] > 0;
        let rank = match (self.key.protocol, answered, self.has_data()) {
            _ if self.closed() => 0,
            (_, true, true) => 3,
            (_, true, false) | (protocol::TCP, false, true) => 2,
            _ => 1,
        };
        (rank, self.last, self.id)
    }

    /// Whether a direction has answered a SYN and said nothing yet.
    pub(super) fn awaits_first(&self, direction: usize) -> bool {
        self.started[direction] && self.payload[direction] == 0 && self.flags[direction] & tcp_flag::SYN != 0
    }

    /// Whether a direction has shown enough that no stream protocol knows.
    pub(super) fn is_foreign(&self, direction: usize) -> bool {
        self.talk == Talk::Unknown && self.shown[direction] >= RECOGNITIONS_MAX
    }

    /// Who speaks in `direction`, as the connection has it.
    pub(super) fn side(&self, direction: usize) -> Side {
        if (direction == 0) == self.client_is_low { Side::Client } else { Side::Server }
    }

    /// Who speaks in `direction`, as the conversation has it.
    pub(super) fn asker(&self, direction: usize) -> Side {
        if (direction == 0) == self.asker_is_low { Side::Client } else { Side::Server }
    }

    /// The direction's ports, the speaker's first.
    pub(super) fn ports(&self, direction: usize) -> (u16, u16) {
        let (low, high) = self.key.ports;
        if direction == 0 { (low, high) } else { (high, low) }
    }

    fn stage(&self) -> Stage {
        if let Some(said) = self.said {
            return said;
        }
        let answered = self.packets[0] > 0 && self.packets[1] > 0;
        let data = self.has_data();
        match self.key.protocol {
            _ if self.refused => Stage::Refused,
            protocol::TCP if data && self.app_proto.is_none() => Stage::Data,
            protocol::TCP if data => Stage::Established,
            protocol::TCP if answered && (self.flags[0] | self.flags[1]) & tcp_flag::RST == 0 => Stage::Established,
            // reset, but only after both had said SYN and ACK
            protocol::TCP if self.flags[0] & self.flags[1] & 0x12 == 0x12 => Stage::Established,
            protocol::TCP => Stage::Attempted,
            _ if answered => Stage::Established,
            _ => Stage::Attempted,
        }
    }

    /// A copy for those who come after, with pairs by side.
    pub(super) fn view(&self) -> FlowView {
        let by_side = |pair: [u64; 2]| if self.client_is_low { pair } else { [pair[1], pair[0]] };
        let (low, high) = (decode::ip(&self.key.low), decode::ip(&self.key.high));
        let (client, server) = if self.client_is_low { (low, high) } else { (high, low) };
        let (mut client_port, mut server_port) = self.ports(usize::from(!self.client_is_low));
        if matches!(self.key.protocol, protocol::ICMP | protocol::ICMPV6) {
            (client_port, server_port) = self.icmp;
        }
        let flags = if self.client_is_low { self.flags } else { [self.flags[1], self.flags[0]] };
        FlowView {
            id: self.id,
            client,
            server,
            client_port,
            server_port,
            protocol: self.key.protocol,
            vlans: self.key.vlans,
            tunnel: self.tunnel.as_deref().map(super::scene::Tunnel::from_peeled),
            start: self.start,
            last: self.last,
            packets: by_side(self.packets),
            bytes: by_side(self.bytes),
            payload: by_side(self.payload),
            stage: self.stage(),
            app_proto: self.app_proto,
            midstream: self.midstream,
            missing: by_side(self.missing),
            tcp_flags: flags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_no_longer_than_four_lines_of_cache() {
        assert!(size_of::<Flow>() <= 256, "{}", size_of::<Flow>());
    }
}
