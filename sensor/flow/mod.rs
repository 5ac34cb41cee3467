//! Flows: both directions between two endpoints, their bytes in order, all inside a shard.
//!
//! In: packets, in order. Out: a [`Trail`] of what happened (flows that began and ended, observations, each with the flow
//! as it stood). All state is per shard, with its own bound, clock and eviction, so that nothing depends on which worker
//! owns which shards. Never here: an indicator, a clock, a file.

mod counts;
mod entry;
mod key;
mod scene;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod waiting;

pub use crate::decode::protocol;
pub use counts::{Counts, StreamCounts};
pub use scene::{Ended, FlowView, Scene, Tunnel};

use crate::decode::shard::{Shard, shard_of};
use crate::decode::{Address, Packet, Segment, protocol as ip_protocol, tcp_flag};
use crate::limits::{CLOCK_STEP_MAX, DATAGRAMS_OFFERED_MAX, EVICTION_LOOKS, IDLE_AHEAD, SHARDS, SWEEP_EPOCHS};
use crate::observable::{Observations, Side};
use crate::protocol::{DATAGRAMS, Read, Verdict, Wants};
use crate::time::Timestamp;
use entry::{Flow, Talk};
use key::{Key, key_of};
use stream::{Reading, Streams};
use table::{Blocks, Table};

/// Something that happened, in the order in which it did; `scene` says when and in which flow.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A flow's first packet.
    Began {
        /// Index into [`Trail::scenes`].
        scene: u32,
    },
    /// Observations `first..last` of [`Trail::observations`].
    Observed {
        /// The first of them.
        first: u32,
        /// Behind the last.
        last: u32,
    },
    /// A flow is over.
    Ended {
        /// Index into [`Trail::scenes`].
        scene: u32,
        /// Why.
        how: Ended,
    },
}

/// What happened in one batch.
#[derive(Default)]
pub struct Trail {
    /// In order.
    pub steps: Vec<Step>,
    /// Copies of flows as they stood.
    pub scenes: Vec<Scene>,
    /// What parsers saw.
    pub observations: Observations,
}

impl Trail {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.scenes.clear();
        self.observations.clear();
    }

    fn scene(&mut self, moment: Moment, shard: usize, flow: &Flow) -> u32 {
        let scene = Scene { packet: moment.packet, time: moment.time, shard: shard as u8, flow: flow.view() };
        self.scenes.push(scene);
        self.scenes.len() as u32 - 1
    }

    /// Stamps what was observed since there were `before` observations.
    fn observed(&mut self, before: usize, moment: Moment, shard: usize, flow: &mut Flow) {
        if self.observations.len() == before {
            return;
        }
        let said = self.observations.list()[before..].iter().filter_map(|observation| observation.stage).max();
        flow.said = flow.said.max(said);
        let scene = self.scene(moment, shard, flow);
        self.observations.set_scene(before, scene);
        self.steps.push(Step::Observed { first: before as u32, last: self.observations.len() as u32 });
    }
}

/// A packet's place and time in the capture.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Its number, from 1.
    pub packet: u64,
    /// Its time.
    pub time: Timestamp,
}

/// Bounds and keys.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Flows of all shards together.
    pub flows_max: usize,
    /// Bytes kept for reassembly by all shards together.
    pub reassembly_bytes_max: usize,
    /// Key of the shards and tables: fixed in replay, random live.
    pub key: (u64, u64),
    /// What readers are asked for.
    pub wants: Wants,
}

/// What a look-up needs, computed early so that memory can be fetched before it is touched.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    shard: Shard,
    key: Key,
    direction: usize,
    hash: u32,
}

impl Ticket {
    /// The shard whose owner follows the packet.
    pub fn shard(&self) -> Shard {
        self.shard
    }
}

struct ShardState {
    table: Table,
    streams: Streams,
    clock: Option<Timestamp>,
}

/// The flows of all shards that a worker owns.
pub struct Flows {
    shards: Vec<ShardState>,
    blocks: Blocks,
    settings: Settings,
    per_shard: usize,
    counts: Counts,
    /// Flows that a sweep found idle: (first packet, shard, number).
    idle: Vec<(u64, usize, u32)>,
}

impl Flows {
    /// No flows yet.
    pub fn new(settings: Settings) -> Self {
        let held_max = (settings.reassembly_bytes_max / SHARDS).max(1);
        let state = || ShardState { table: Table::default(), streams: Streams::new(held_max), clock: None };
        let shards = std::iter::repeat_with(state).take(SHARDS).collect();
        let per_shard = (settings.flows_max / SHARDS).max(1);
        Flows { shards, blocks: Blocks::default(), settings, per_shard, counts: Counts::default(), idle: Vec::new() }
    }

    /// The shard of an address pair.
    pub fn shard(&self, one: &Address, other: &Address) -> Shard {
        shard_of(self.settings.key, one, other)
    }

    /// The packet's shard, key and hash; the shard may be known already.
    pub fn ticket(&self, packet: &Packet, shard: Option<Shard>) -> Ticket {
        let shard = shard.unwrap_or_else(|| self.shard(&packet.source, &packet.destination));
        let (key, direction) = key_of(packet);
        Ticket { shard, key, direction, hash: key.hash(self.settings.key) }
    }

    /// Fetches the place where the look-up will begin.
    pub fn fetch_slot(&self, ticket: &Ticket) {
        self.shards[usize::from(ticket.shard.0)].table.fetch_slot(ticket.hash);
    }

    /// Fetches the flow that the look-up will probably end at; its slot should be there by now.
    pub fn fetch_flow(&self, ticket: &Ticket) {
        self.shards[usize::from(ticket.shard.0)].table.fetch_flow(&self.blocks, ticket.hash);
    }

    /// Follows one packet: finds or begins its flow, counts it, and lets its conversation be read.
    pub fn follow(&mut self, moment: Moment, packet: &Packet, ticket: &Ticket, payload: &[u8], trail: &mut Trail) {
        let shard = usize::from(ticket.shard.0);
        self.shards[shard].tick(moment.time);
        let found = self.shards[shard].table.find(&self.blocks, ticket.hash, &ticket.key);
        let still = found.filter(|&number| match self.is_over(shard, number, moment, packet, ticket.direction) {
            Some(how) => {
                self.end(shard, number, how, moment, trail);
                false
            }
            None => true,
        });
        let number = still.unwrap_or_else(|| self.begin(shard, moment, packet, ticket, trail));
        let ShardState { table, streams, clock } = &mut self.shards[shard];
        let flow = table.flow(&mut self.blocks, number);
        flow.seen = clock.unwrap_or(moment.time);
        flow.count(packet, payload.len(), ticket.direction, moment.time);
        let before = trail.observations.len();
        let mut reading = Reading { wants: self.settings.wants, out: &mut trail.observations };
        match packet.protocol {
            ip_protocol::TCP => tcp(flow, streams, packet, ticket.direction, payload, &mut reading),
            ip_protocol::UDP => datagram(flow, ticket.direction, payload, &mut reading),
            _ => {}
        }
        trail.observed(before, moment, shard, flow);
    }

    /// Whether the flow that was found is over, so that this packet begins another.
    fn is_over(
        &mut self,
        shard: usize,
        number: u32,
        moment: Moment,
        packet: &Packet,
        direction: usize,
    ) -> Option<Ended> {
        let flow = self.shards[shard].table.flow(&mut self.blocks, number);
        if moment.time.since(flow.last) > flow.gap_max() {
            return Some(Ended::Timeout);
        }
        if packet.protocol != ip_protocol::TCP || packet.segment.flags & tcp_flag::RST != 0 {
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

    fn begin(&mut self, shard: usize, moment: Moment, packet: &Packet, ticket: &Ticket, trail: &mut Trail) -> u32 {
        while self.shards[shard].table.len() >= self.per_shard {
            let Some(victim) = self.shards[shard].table.victim(&self.blocks, EVICTION_LOOKS) else { break };
            self.counts.evicted += 1;
            self.end(shard, victim, Ended::Evicted, moment, trail);
        }
        self.counts.began += 1;
        let flow = new_flow(moment, packet, ticket);
        self.counts.midstream += u64::from(flow.midstream);
        let table = &mut self.shards[shard].table;
        let number = table.insert(&mut self.blocks, ticket.hash, flow);
        let scene = trail.scene(moment, shard, table.peek(&self.blocks, number));
        trail.steps.push(Step::Began { scene });
        number
    }

    fn end(&mut self, shard: usize, number: u32, how: Ended, moment: Moment, trail: &mut Trail) {
        let ShardState { table, streams, .. } = &mut self.shards[shard];
        let hash = table.peek(&self.blocks, number).hash;
        let mut flow = table.remove(&mut self.blocks, hash, number);
        let how = if how == Ended::Timeout && flow.closed() { Ended::Closed } else { how };
        let before = trail.observations.len();
        let mut reading = Reading { wants: self.settings.wants, out: &mut trail.observations };
        if matches!(flow.talk, Talk::Stream(..) | Talk::Unknown) {
            streams.end(&mut flow, &mut reading);
        }
        trail.observed(before, moment, shard, &mut flow);
        let two_way_protocol = matches!(flow.key.protocol, ip_protocol::TCP | ip_protocol::UDP);
        self.counts.one_way += u64::from(two_way_protocol && flow.packets.contains(&0));
        let scene = trail.scene(moment, shard, &flow);
        trail.steps.push(Step::Ended { scene, how });
    }

    /// Time has passed though nothing may have come: moves the clocks of all shards towards it, a step at most.
    pub fn pass(&mut self, now: Timestamp) {
        self.shards.iter_mut().filter(|shard| shard.clock.is_some()).for_each(|shard| shard.tick(now));
    }

    /// What readers are asked for from now on.
    pub fn want(&mut self, wants: Wants) {
        self.settings.wants = wants;
    }

    /// Looks for flows whose gap is over, in the shards whose turn it is at the end of this epoch; to be given to
    /// [`Flows::end_idle`]. Which shards and which flows does not depend on the owner.
    pub fn find_idle(&mut self, epoch: u64) {
        self.idle.clear();
        for (at, shard) in self.shards.iter().enumerate() {
            let Some(clock) = shard.clock.filter(|_| at as u64 % SWEEP_EPOCHS == epoch % SWEEP_EPOCHS) else {
                continue;
            };
            for number in shard.table.numbers() {
                let flow = shard.table.peek(&self.blocks, number);
                // a frame's time may be odd, and the clock may lag behind: silent is who is so by both
                let silent = clock.since(flow.last.max(flow.seen)).as_nanos();
                if silent > flow.gap_max().as_nanos() + CLOCK_STEP_MAX.as_nanos() {
                    self.idle.push((flow.id, at, number));
                }
            }
        }
        self.idle.sort_unstable_by(|one, other| other.cmp(one)); // taken from the end
    }

    /// Takes all flows for idle: the capture has ended.
    pub fn find_all(&mut self) {
        self.idle.clear();
        for (at, shard) in self.shards.iter().enumerate() {
            self.idle
                .extend(shard.table.numbers().map(|number| (shard.table.peek(&self.blocks, number).id, at, number)));
        }
        self.idle.sort_unstable_by(|one, other| other.cmp(one)); // taken from the end
    }

    /// Fetches what the flows that end next will touch: first the flow, and once that is there, its slot.
    fn fetch_idle(&self) {
        let ahead = |distance: usize| self.idle.len().checked_sub(distance).map(|at| &self.idle[at]);
        if let Some(&(_, shard, number)) = ahead(IDLE_AHEAD) {
            self.shards[shard].table.fetch(&self.blocks, number);
        }
        if let Some(&(_, shard, number)) = ahead(IDLE_AHEAD / 2) {
            let table = &self.shards[shard].table;
            table.fetch_slot(table.peek(&self.blocks, number).hash);
        }
    }

    /// Ends up to `budget` of the flows that were found, in the order of their first packets, as long as those come before
    /// packet `before`. Returns how many.
    pub fn end_idle(&mut self, budget: usize, before: u64, how: Ended, trail: &mut Trail) -> usize {
        let mut ended = 0;
        while ended < budget
            && let Some((id, shard, number)) = self.idle.pop_if(|(id, ..)| *id < before)
        {
            self.fetch_idle();
            let time = self.shards[shard].table.peek(&self.blocks, number).last;
            self.end(shard, number, how, Moment { packet: id, time }, trail);
            ended += 1;
        }
        ended
    }

    /// What happened to flows so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What happened in streams so far.
    pub fn stream_counts(&self) -> StreamCounts {
        self.shards.iter().fold(StreamCounts::default(), |sum, shard| sum.plus(&shard.streams.counts))
    }

    /// Flows that are open now.
    pub fn open(&self) -> usize {
        self.shards.iter().map(|shard| shard.table.len()).sum()
    }
}

impl ShardState {
    /// Moves the shard's clock towards a packet's time, by no more than a step in either direction.
    fn tick(&mut self, time: Timestamp) {
        let clock = self.clock.get_or_insert(time);
        *clock = clock.moved(time.since(*clock).within(CLOCK_STEP_MAX));
    }
}

fn new_flow(moment: Moment, packet: &Packet, ticket: &Ticket) -> Flow {
    let sender_is_client = match packet.protocol {
        ip_protocol::TCP => match packet.segment.flags & (tcp_flag::SYN | tcp_flag::ACK) {
            tcp_flag::SYN => true,
            SYN_ACK => false,
            _ => !is_service(packet.ports),
        },
        ip_protocol::UDP => !is_service(packet.ports),
        ip_protocol::ICMP | ip_protocol::ICMPV6 => key::icmp_asked_by(packet).is_none(),
        _ => true,
    };
    let client_is_low = sender_is_client == (ticket.direction == 0);
    let syn = match packet.segment.flags & (tcp_flag::SYN | tcp_flag::ACK) {
        tcp_flag::SYN => Some(packet.segment.seq),
        SYN_ACK => Some(packet.segment.ack.wrapping_sub(1)),
        _ => None,
    };
    let midstream = packet.protocol == ip_protocol::TCP && packet.segment.flags & tcp_flag::SYN == 0;
    Flow {
        key: ticket.key,
        hash: ticket.hash,
        id: moment.packet,
        start: moment.time,
        last: moment.time,
        tunnel: packet.tunnel.map(Box::new),
        icmp: (key::icmp_asked_by(packet).unwrap_or(packet.ports.0), packet.ports.1),
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

fn tcp(
    flow: &mut Flow,
    streams: &mut Streams,
    packet: &Packet,
    direction: usize,
    payload: &[u8],
    reading: &mut Reading<'_>,
) {
    let flags = packet.segment.flags;
    if flags & tcp_flag::RST != 0 {
        let said_nothing = flow.payload == [0, 0] && flow.flags[direction] & tcp_flag::SYN == 0;
        flow.refused |= said_nothing && !flow.midstream && flow.side(direction) == Side::Server;
        flow.reset = true;
        return; // a reset's payload is a message for people, not for the stream (RFC 9293, 3.5.3)
    }
    if flow.talk == Talk::Shunted {
        flow.finished[direction] |= flags & tcp_flag::FIN != 0;
        return;
    }
    anchor(flow, direction, packet.segment, payload.len() as u64);
    streams.segment(flow, direction, packet.segment, payload, packet.missing, reading);
}

/// Several SYNs may be sent before anything is said. The one that counts is the one that is answered, or gone on with.
fn anchor(flow: &mut Flow, direction: usize, segment: Segment, payload: u64) {
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

fn datagram(flow: &mut Flow, direction: usize, payload: &[u8], reading: &mut Reading<'_>) {
    let ports = flow.ports(direction);
    let row = match flow.talk {
        Talk::Datagrams(row) => usize::from(row)..usize::from(row) + 1,
        Talk::Unknown => 0..DATAGRAMS.len(),
        Talk::Stream(..) | Talk::Shunted => return,
    };
    for at in row {
        let protocol = DATAGRAMS[at];
        if payload.len() < protocol.bytes_min {
            continue;
        }
        let side = match (protocol.recognise)(payload, ports) {
            Verdict::Client => Side::Client,
            Verdict::Server => Side::Server,
            Verdict::Later | Verdict::Other => continue,
        };
        if flow.talk == Talk::Unknown {
            flow.talk = Talk::Datagrams(at as u8);
            flow.app_proto = Some(protocol.name);
            flow.client_is_low = (direction == 0) == (side == Side::Client);
            flow.asker_is_low = flow.client_is_low;
        }
        if (protocol.read)(payload, side, reading.wants, reading.out) == Read::Done {
            flow.talk = Talk::Shunted;
        }
        return;
    }
    flow.offered = flow.offered.saturating_add(1);
    if flow.talk == Talk::Unknown && flow.offered >= DATAGRAMS_OFFERED_MAX {
        flow.talk = Talk::Shunted;
    }
}
