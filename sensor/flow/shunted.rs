//! Flows that need not be heard: whoever captures may count and drop the packets of a direction in the kernel, until it is
//! told to give them back.
//!
//! In: a flow with nothing more to learn, large enough, by a port that can do so. Out: its counters, to the last packet:
//! they are fetched at every sweep of its shard, before it is taken for idle, and before it ends. Never here: how it is
//! done; a flow that is followed: SYN, FIN and RST are heard in any case, and give all back.

use std::sync::Arc;

use super::entry::{Flow, Talk};
use super::table::{Found, Room};
use super::{Flows, ShardState, Ticket};
use crate::decode::{Address, protocol, tcp_flag};
use crate::limits::SHUNT_PACKETS_EVERY;
use crate::time::Timestamp;

/// One direction of a TCP flow that travels in no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// Who sends.
    pub source: Address,
    /// Who is sent to.
    pub destination: Address,
    /// Both ports, the sender's first.
    pub ports: (u16, u16),
    /// VLANs, the outermost first; 0: none.
    pub vlans: [u16; 2],
    /// Flags that it has shown. Packets with others are to be heard, and those with SYN, FIN or RST.
    pub flags: u8,
}

/// What was counted elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unheard {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Bytes of their payload.
    pub payload: u64,
}

/// Who can count and drop packets in the kernel.
pub trait Shunter: Send + Sync {
    /// How much payload a flow must have carried before this port shunts it.
    fn payload_min(&self, port: u8) -> u64;

    /// From now on the packets of this direction that come by this port are counted there; `None`: there is no room.
    fn shunt(&self, port: u8, direction: &Direction) -> Option<Box<dyn Shunted>>;
}

/// A direction whose packets are counted elsewhere, until this is dropped.
pub trait Shunted: Send {
    /// What was counted since it was last asked.
    fn more(&mut self) -> Unheard;

    /// Whether nothing more comes, because the port was given up.
    fn is_over(&self) -> bool;

    /// Its packets come again: what was counted to the last of them, and whether that is certain.
    fn withdraw(self: Box<Self>) -> (Unheard, bool);
}

/// Whatever begins or ends a connection is for the flow itself.
const ENDS: u8 = tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST;

/// Whether these flags give back what was shunted.
pub(super) fn gives_back(flags: u8) -> bool {
    flags & ENDS != 0
}

impl Flow {
    /// Whether nothing but its size is still to be learned.
    fn only_counts(&self) -> bool {
        self.key.protocol == protocol::TCP
            && self.talk == Talk::Shunted
            && self.tunnel.is_none()
            && self.other_syn.is_none()
            && !(self.reset || self.finished[0] || self.finished[1])
    }

    fn direction(&self, direction: usize) -> Direction {
        let (low, high) = (self.key.low, self.key.high);
        let (source, destination) = if direction == 0 { (low, high) } else { (high, low) };
        let (ports, flags) = (self.ports(direction), self.flags[direction] & !ENDS);
        Direction { source, destination, ports, vlans: self.key.vlans, flags }
    }

    fn add(&mut self, direction: usize, unheard: Unheard, now: Option<Timestamp>) {
        if unheard.packets == 0 {
            return;
        }
        self.packets[direction] += unheard.packets;
        self.bytes[direction] += unheard.bytes;
        self.payload[direction] += unheard.payload;
        // when each of them came nobody knows: since the last look
        let now = now.unwrap_or(self.last);
        (self.last, self.seen) = (self.last.max(now), self.seen.max(now));
    }
}

impl ShardState {
    /// Fetches what was counted elsewhere of the flows of this shard.
    pub(super) fn fetch_unheard(&mut self, room: &mut Room) {
        let ShardState { table, clock, shunted, .. } = self;
        shunted.retain(|(number, direction), one| {
            table.flow(room, *number).add(*direction, one.more(), *clock);
            !one.is_over()
        });
    }
}

impl Flows {
    /// From now on flows with nothing more to learn may be counted elsewhere.
    pub fn shunt_by(&mut self, shunter: Arc<dyn Shunter>) {
        self.shunter = Some(shunter);
    }

    /// Shunts as another does.
    pub fn shunt_like(&mut self, other: &Flows) {
        self.shunter.clone_from(&other.shunter);
    }

    /// A packet has come that adds nothing to what is known of its flow: perhaps its direction need not be heard.
    pub(super) fn shunt(&mut self, shard: usize, number: u32, ticket: &Ticket) {
        let Some(shunter) = &self.shunter else { return };
        let ShardState { table, shunted, .. } = &mut self.shards[shard];
        let (flow, direction) = (table.peek(&self.room, number), ticket.direction);
        if !flow.packets[direction].is_multiple_of(SHUNT_PACKETS_EVERY)
            || flow.payload[0] + flow.payload[1] < shunter.payload_min(ticket.port)
            || !flow.only_counts()
            || shunted.contains_key(&(number, direction))
        {
            return;
        }
        match shunter.shunt(ticket.port, &flow.direction(direction)) {
            Some(one) => {
                shunted.insert((number, direction), one);
                self.counts.shunted += 1;
            }
            None => self.counts.shunts_refused += 1,
        }
    }

    /// Its packets are heard again, both ways.
    pub(super) fn give_back(&mut self, shard: usize, found: Option<Found>) {
        let ShardState { table, clock, shunted, .. } = &mut self.shards[shard];
        let Some(Found::Flow(number)) = found.filter(|_| !shunted.is_empty()) else { return };
        for direction in 0..2 {
            let Some(one) = shunted.remove(&(number, direction)) else { continue };
            let (last, settled) = one.withdraw();
            table.flow(&mut self.room, number).add(direction, last, *clock);
            self.counts.shunts_unsettled += u64::from(!settled);
        }
    }
}
