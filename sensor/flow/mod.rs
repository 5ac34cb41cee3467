//! Flows: both directions between two endpoints, their bytes in order, all inside a shard.
//!
//! In: packets, in order. Out: a [`Trail`] of what happened (flows that began and ended, observations, each with the flow
//! as it stood). All state is per shard, with its own bound, clock and eviction, so that nothing depends on which worker
//! owns which shards. Never here: an indicator, a clock, a file.

mod beginning;
mod counts;
mod effort;
mod entry;
mod half_open;
mod key;
mod scene;
mod shunted;
pub(crate) mod slab;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod trail;
mod waiting;

pub use crate::decode::protocol;
pub use counts::{Counts, StreamCounts};
pub use effort::Effort;
pub use half_open::Knock;
pub use scene::{Ended, FlowView, Scene, Tunnel};
pub use shunted::{Direction, Shunted, Shunter, Unheard};
pub use trail::{Moment, Step, Trail};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decode::shard::{Shard, shard_of};
use crate::decode::{Address, Fate, Packet, protocol as ip_protocol, tcp_flag};
use crate::limits::{CLOCK_STEP_MAX, DATAGRAMS_OFFERED_MAX, HALF_OPEN_SHARE, IDLE_AHEAD, SHARDS, SWEEP_EPOCHS};
use crate::observable::Side;
use crate::protocol::{DATAGRAMS, Read, Verdict, Wants};
use crate::time::{Span, Timestamp};
use beginning::{anchor, is_over, new_flow};
use entry::{Flow, Talk};
use half_open::HalfOpen;
use key::{Key, key_of};
use stream::{Reading, Streams};
use table::{Found, Room, Table};

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
    /// By which of the ports that can shunt flows it came; 0: none.
    port: u8,
}

impl Ticket {
    /// The same for a packet that came by this port.
    pub fn by(self, port: u8) -> Ticket {
        Ticket { port, ..self }
    }

    /// The shard whose owner follows the packet.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Whether both packets are of one flow.
    pub fn is_of_the_flow_of(&self, other: &Ticket) -> bool {
        (self.hash, self.key) == (other.hash, other.key)
    }
}

struct ShardState {
    table: Table,
    streams: Streams,
    clock: Option<Timestamp>,
    /// What is counted elsewhere, by flow and direction.
    shunted: BTreeMap<(u32, usize), Box<dyn Shunted>>,
}

/// The flows of all shards that a worker owns.
pub struct Flows {
    shards: Vec<ShardState>,
    room: Room,
    settings: Settings,
    per_shard: usize,
    counts: Counts,
    effort: Effort,
    /// Flows that a sweep found idle: (first packet, shard, which).
    idle: Vec<(u64, usize, Found)>,
    /// Who counts flows elsewhere; in a replay nobody.
    shunter: Option<Arc<dyn Shunter>>,
}

impl Flows {
    /// No flows yet.
    pub fn new(settings: Settings) -> Self {
        let held_max = (settings.reassembly_bytes_max / SHARDS).max(1);
        let state = || ShardState {
            table: Table::default(),
            streams: Streams::new(held_max),
            clock: None,
            shunted: BTreeMap::new(),
        };
        let shards = std::iter::repeat_with(state).take(SHARDS).collect();
        let per_shard = (settings.flows_max / SHARDS).max(1);
        let (counts, effort) = (Counts::default(), Effort::default());
        Flows { shards, room: Room::default(), settings, per_shard, counts, effort, idle: Vec::new(), shunter: None }
    }

    /// The shard of an address pair.
    pub fn shard(&self, one: &Address, other: &Address) -> Shard {
        shard_of(self.settings.key, one, other)
    }

    /// The packet's shard, key and hash; the shard may be known already.
    pub fn ticket(&self, packet: &Packet, shard: Option<Shard>) -> Ticket {
        let shard = shard.unwrap_or_else(|| self.shard(&packet.source, &packet.destination));
        let (key, direction) = key_of(packet);
        Ticket { shard, key, direction, hash: key.hash(self.settings.key), port: 0 }
    }

    /// Fetches the place where the look-up will begin, and whoever has to go if this packet's flow is new.
    pub fn fetch_slot(&self, ticket: &Ticket) {
        let table = &self.shards[usize::from(ticket.shard.0)].table;
        table.fetch_slot(ticket.hash);
        if table.len() >= self.per_shard {
            table.fetch_oldest(&self.room);
        }
    }

    /// Fetches the flow that the look-up will probably end at; its slot should be there by now.
    pub fn fetch_flow(&self, ticket: &Ticket) {
        let table = &self.shards[usize::from(ticket.shard.0)].table;
        table.fetch_flow(&self.room, ticket.hash);
        if table.len() >= self.per_shard {
            table.fetch_around_oldest(&self.room);
        }
    }

    /// Follows one packet: finds or begins its flow, counts it, and lets its conversation be read. What became of it.
    pub fn follow(
        &mut self,
        moment: Moment,
        packet: &Packet,
        ticket: &Ticket,
        payload: &[u8],
        trail: &mut Trail,
    ) -> Fate {
        let fate = packet.flaw.map_or(Fate::Processed, Fate::Malformed);
        let shard = usize::from(ticket.shard.0);
        self.shards[shard].tick(moment.time);
        let found = self.shards[shard].table.find(&self.room, ticket.hash, &ticket.key);
        if let Some(Found::HalfOpen(number)) = found
            && self.is_repeated(shard, number, moment, packet, ticket.direction)
        {
            return fate;
        }
        if shunted::gives_back(packet.segment.flags) {
            self.give_back(shard, found);
        }
        let known = found.and_then(|found| self.go_on(shard, found, moment, packet, ticket.direction, trail));
        let begun = || self.begin(shard, moment, packet, payload.len(), ticket, trail);
        let Some(number) = known.or_else(begun) else { return fate };
        let ShardState { table, streams, clock, .. } = &mut self.shards[shard];
        let flow = table.flow(&mut self.room, number);
        flow.seen = clock.unwrap_or(moment.time);
        if known.is_some() {
            flow.count(packet, payload.len(), ticket.direction, moment.time);
        }
        let before = trail.observations.len();
        let mut reading = Reading { wants: self.settings.wants, out: &mut trail.observations };
        let passed_over = self.effort.passes_over(flow, ticket.direction, payload.len());
        match packet.protocol {
            ip_protocol::TCP if passed_over => {
                // to the stream it is as if the capture had cut it off
                let missing = packet.missing.saturating_add(payload.len() as u32);
                tcp(flow, streams, packet, ticket.direction, (&[], missing), &mut reading);
            }
            ip_protocol::TCP => {
                tcp(flow, streams, packet, ticket.direction, (payload, packet.missing), &mut reading);
            }
            ip_protocol::UDP if !passed_over => datagram(flow, ticket.direction, payload, &mut reading),
            _ => {}
        }
        trail.observed(before, moment, shard, flow);
        if ticket.port != 0 && flow.talk == Talk::Shunted {
            self.shunt(shard, number, ticket);
        }
        match (passed_over, self.effort) {
            (false, _) => fate,
            (true, Effort::Addresses) => Fate::ShedPayload,
            (true, _) => Fate::ShedHeavy,
        }
    }

    /// How much is read from now on.
    pub fn spare(&mut self, effort: Effort) {
        self.effort = effort;
    }

    /// Whether a packet says to a half-open connection only what was said already, and in time.
    fn is_repeated(&mut self, shard: usize, number: u32, moment: Moment, packet: &Packet, direction: usize) -> bool {
        let ShardState { table, clock, .. } = &mut self.shards[shard];
        let seen = clock.unwrap_or(moment.time);
        !table.half_open(&self.room, number).is_over(moment.time)
            && table.repeat_half_open(&mut self.room, number, packet, direction, (moment.time, seen))
    }

    /// The flow that was found, unless it is over and this packet begins another.
    fn go_on(
        &mut self,
        shard: usize,
        found: Found,
        moment: Moment,
        packet: &Packet,
        direction: usize,
        trail: &mut Trail,
    ) -> Option<u32> {
        let table = &mut self.shards[shard].table;
        let (found, number) = match found {
            Found::Flow(number) => (found, number),
            Found::HalfOpen(number) => {
                if table.half_open(&self.room, number).is_over(moment.time) {
                    self.end(shard, found, Ended::Timeout, moment, trail);
                    return None;
                }
                let half_open = table.remove_half_open(&mut self.room, number);
                let number = table.insert(&mut self.room, half_open.flow());
                (Found::Flow(number), number)
            }
        };
        let flow = self.shards[shard].table.flow(&mut self.room, number);
        let Some(how) = is_over(flow, moment, packet, direction) else { return Some(number) };
        self.end(shard, found, how, moment, trail);
        None
    }

    /// A flow begins. Its number, unless the packet has told all that is kept of it: the flow is half-open.
    fn begin(
        &mut self,
        shard: usize,
        moment: Moment,
        packet: &Packet,
        payload: usize,
        ticket: &Ticket,
        trail: &mut Trail,
    ) -> Option<u32> {
        let spared = self.per_shard / HALF_OPEN_SHARE;
        while self.shards[shard].table.len() >= self.per_shard {
            let Some(victim) = self.shards[shard].table.victim(&self.room, spared) else { break };
            self.counts.evicted += 1;
            self.end(shard, victim, Ended::Evicted, moment, trail);
        }
        self.counts.began += 1;
        let ShardState { table, clock, .. } = &mut self.shards[shard];
        if let Some(half_open) = HalfOpen::of(moment, packet, ticket, clock.unwrap_or(moment.time)) {
            let knock = trail.knock(moment, shard, half_open);
            trail.steps.push(Step::Knocked { knock });
            table.insert_half_open(&mut self.room, half_open);
            return None;
        }
        let mut flow = new_flow(moment, packet, ticket);
        flow.count(packet, payload, ticket.direction, moment.time);
        self.counts.midstream += u64::from(flow.midstream);
        let scene = trail.scene(moment, shard, flow.view());
        trail.steps.push(Step::Began { scene });
        Some(table.insert(&mut self.room, flow))
    }

    fn end(&mut self, shard: usize, found: Found, how: Ended, moment: Moment, trail: &mut Trail) {
        self.give_back(shard, Some(found));
        let ShardState { table, streams, .. } = &mut self.shards[shard];
        let number = match found {
            Found::Flow(number) => number,
            Found::HalfOpen(number) => {
                let half_open = table.remove_half_open(&mut self.room, number);
                self.counts.one_way += 1;
                let knock = trail.knock(moment, shard, half_open);
                return trail.steps.push(Step::Lapsed { knock, how });
            }
        };
        let mut flow = table.remove(&mut self.room, number);
        let how = if how == Ended::Timeout && flow.closed() { Ended::Closed } else { how };
        let before = trail.observations.len();
        let mut reading = Reading { wants: self.settings.wants, out: &mut trail.observations };
        if matches!(flow.talk, Talk::Stream(..) | Talk::Unknown) {
            streams.end(&mut flow, &mut reading);
        }
        trail.observed(before, moment, shard, &mut flow);
        let two_way_protocol = matches!(flow.key.protocol, ip_protocol::TCP | ip_protocol::UDP);
        self.counts.one_way += u64::from(two_way_protocol && flow.packets.contains(&0));
        let scene = trail.scene(moment, shard, flow.view());
        trail.steps.push(Step::Ended { scene, how });
    }

    /// Time has passed though nothing may have come: moves the clocks of all shards towards it, a step at most.
    pub fn pass(&mut self, now: Timestamp) {
        self.shards.iter_mut().filter(|shard| shard.clock.is_some()).for_each(|shard| shard.tick(now));
    }

    /// Moves the times of all flows, and the clocks.
    pub fn shift(&mut self, moved: Span) {
        for ShardState { table, clock, .. } in &mut self.shards {
            *clock = clock.map(|clock| clock.moved(moved));
            table.shift(&mut self.room, moved);
        }
    }

    /// What readers are asked for from now on.
    pub fn want(&mut self, wants: Wants) {
        self.settings.wants = wants;
    }

    /// Looks for flows whose gap is over, in the shards whose turn it is at the end of this epoch; to be given to
    /// [`Flows::end_idle`]. Which shards and which flows does not depend on the owner.
    pub fn find_idle(&mut self, epoch: u64) {
        self.idle.clear();
        for (at, shard) in self.shards.iter_mut().enumerate() {
            let Some(clock) = shard.clock.filter(|_| at as u64 % SWEEP_EPOCHS == epoch % SWEEP_EPOCHS) else {
                continue;
            };
            // who is heard nowhere else may well be talking
            shard.fetch_unheard(&mut self.room);
            let is_silent = |since: Timestamp, gap: Span| {
                clock.since(since).as_nanos() > gap.as_nanos() + CLOCK_STEP_MAX.as_nanos()
            };
            // a frame's time may be odd, and the clock may lag behind: silent is who is so by both
            let flows = shard.table.flows(&self.room);
            let silent = flows.filter(|(_, flow)| is_silent(flow.last.max(flow.seen), flow.gap_max()));
            self.idle.extend(silent.map(|(number, flow)| (flow.id, at, Found::Flow(number))));
            let lapsed = shard.table.by_age(&self.room).take_while(|(_, one)| is_silent(one.seen, HalfOpen::gap_max()));
            let lapsed = lapsed.filter(|(_, one)| is_silent(one.last, HalfOpen::gap_max()));
            self.idle.extend(lapsed.map(|(number, one)| (one.id, at, Found::HalfOpen(number))));
        }
        self.idle.sort_unstable_by(|one, other| other.cmp(one)); // taken from the end
    }

    /// Takes all flows for idle: the capture has ended.
    pub fn find_all(&mut self) {
        self.idle.clear();
        for (at, shard) in self.shards.iter().enumerate() {
            let flows = shard.table.flows(&self.room).map(|(number, flow)| (flow.id, at, Found::Flow(number)));
            self.idle.extend(flows);
            let half_open = shard.table.by_age(&self.room).map(|(number, one)| (one.id, at, Found::HalfOpen(number)));
            self.idle.extend(half_open);
        }
        self.idle.sort_unstable_by(|one, other| other.cmp(one)); // taken from the end
    }

    /// The open flows of a shard, as they stand.
    pub fn open_in(&self, shard: usize) -> impl Iterator<Item = Scene> + '_ {
        let table = &self.shards[shard].table;
        let half_open = table.by_age(&self.room).map(|(_, one)| one.view());
        let views = table.flows(&self.room).map(|(_, flow)| flow.view()).chain(half_open);
        views.map(move |flow| Scene { packet: flow.id, time: flow.last, shard: shard as u8, flow })
    }

    /// Fetches what the flows that end next will touch: first the flow, and once that is there, its slot.
    fn fetch_idle(&self) {
        let ahead = |distance: usize| self.idle.len().checked_sub(distance).map(|at| &self.idle[at]);
        if let Some(&(_, shard, found)) = ahead(IDLE_AHEAD) {
            self.shards[shard].table.fetch(&self.room, found);
        }
        if let Some(&(_, shard, found)) = ahead(IDLE_AHEAD / 2) {
            self.shards[shard].table.fetch_slot_of(&self.room, found);
        }
    }

    /// Ends up to `budget` of the flows that were found, in the order of their first packets, as long as those come before
    /// packet `before`. Returns how many.
    pub fn end_idle(&mut self, budget: usize, before: u64, how: Ended, trail: &mut Trail) -> usize {
        let mut ended = 0;
        while ended < budget
            && let Some((_, shard, found)) = self.idle.pop_if(|(id, ..)| *id < before)
        {
            self.fetch_idle();
            self.end(shard, found, how, first(&self.shards[shard].table, &self.room, found), trail);
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
        self.shards.iter().fold(StreamCounts::default(), |sum, shard| sum.plus(&shard.streams.counts()))
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

/// The number of a flow's first packet, and the time of its latest.
fn first(table: &Table, room: &Room, found: Found) -> Moment {
    let (packet, time) = match found {
        Found::Flow(number) => {
            let flow = table.peek(room, number);
            (flow.id, flow.last)
        }
        Found::HalfOpen(number) => {
            let one = table.half_open(room, number);
            (one.id, one.last)
        }
    };
    Moment { packet, time }
}

fn tcp(
    flow: &mut Flow,
    streams: &mut Streams,
    packet: &Packet,
    direction: usize,
    (payload, missing): (&[u8], u32),
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
    streams.segment(flow, direction, packet.segment, payload, missing, reading);
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
