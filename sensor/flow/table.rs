//! The flows of one shard: an open table of hashes over flows and half-open connections.
//!
//! The table holds 8 bytes a slot (hash and number), so that a look-up touches one line of it and what it finds. Half-open
//! connections lie apart, small and in a queue by age, so that a flood of them is given up in order and touches no flow.
//! Bounded: who asks for more than the bound evicts.

use super::entry::Flow;
use super::half_open::HalfOpen;
use super::key::Key;
use super::slab::{Blocks, Slab};
use crate::decode::Packet;
use crate::limits::EVICTION_LOOKS;
use crate::pages;
use crate::time::{Span, Timestamp};

/// No number.
pub(super) const NONE: u32 = u32::MAX;

const SLOTS_MIN: usize = 16;

/// In a slot: what it speaks of is half-open.
const HALF_OPEN: u32 = 1 << 31;

/// Where the flows of all shards of a worker lie.
#[derive(Default)]
pub(super) struct Room {
    flows: Blocks<Flow>,
    half_open: Blocks<HalfOpen>,
}

/// What lies behind a key, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// A flow.
    Flow(u32),
    /// A connection of which only a SYN was seen.
    HalfOpen(u32),
}

impl Found {
    /// As a slot has it: never 0.
    fn code(self) -> u32 {
        match self {
            Found::Flow(number) => number + 1,
            Found::HalfOpen(number) => (number + 1) | HALF_OPEN,
        }
    }

    /// What a slot in use speaks of.
    fn of(slot: u64) -> Found {
        let code = slot as u32;
        if code & HALF_OPEN == 0 { Found::Flow(code - 1) } else { Found::HalfOpen((code & !HALF_OPEN) - 1) }
    }
}

/// The flows of one shard.
pub(super) struct Table {
    /// Hash in the upper half, what is there in the lower; 0: free.
    slots: Vec<u64>,
    flows: Slab<Flow>,
    half_open: Slab<HalfOpen>,
    /// The ends of the queue of half-open connections, or [`NONE`].
    oldest: u32,
    newest: u32,
    hand: u32,
}

impl Default for Table {
    fn default() -> Self {
        let (flows, half_open) = (Slab::default(), Slab::default());
        Table { slots: Vec::new(), flows, half_open, oldest: NONE, newest: NONE, hand: 0 }
    }
}

impl Table {
    /// Flows and half-open connections.
    pub(super) fn len(&self) -> usize {
        self.flows.len() + self.half_open.len()
    }

    pub(super) fn flow<'a>(&self, room: &'a mut Room, number: u32) -> &'a mut Flow {
        self.flows.get_mut(&mut room.flows, number)
    }

    pub(super) fn peek<'a>(&self, room: &'a Room, number: u32) -> &'a Flow {
        self.flows.get(&room.flows, number)
    }

    pub(super) fn half_open<'a>(&self, room: &'a Room, number: u32) -> &'a HalfOpen {
        self.half_open.get(&room.half_open, number)
    }

    /// Half-open connections, the oldest first.
    pub(super) fn by_age<'a>(&'a self, room: &'a Room) -> impl Iterator<Item = (u32, &'a HalfOpen)> {
        let there = |number: u32| (number != NONE).then(|| (number, self.half_open(room, number)));
        std::iter::successors(there(self.oldest), move |(_, half_open)| there(half_open.newer))
    }

    /// Moves the times of all.
    pub(super) fn shift(&self, room: &mut Room, moved: Span) {
        for number in 0..self.flows.made() {
            let flow = self.flows.get_mut(&mut room.flows, number);
            for time in [&mut flow.start, &mut flow.last, &mut flow.seen] {
                *time = time.moved(moved);
            }
        }
        for number in 0..self.half_open.made() {
            let one = self.half_open.get_mut(&mut room.half_open, number);
            one.shift(moved);
        }
    }

    /// Fetches the slot that a look-up will begin at.
    pub(super) fn fetch_slot(&self, hash: u32) {
        pages::prefetch(&self.slots, hash as usize & self.slots.len().wrapping_sub(1));
    }

    /// Fetches what the first slot of a look-up speaks of.
    pub(super) fn fetch_flow(&self, room: &Room, hash: u32) {
        let Some(&slot) = self.slots.get(hash as usize & self.slots.len().wrapping_sub(1)) else { return };
        if slot >> 32 == u64::from(hash) && slot != 0 {
            self.fetch(room, Found::of(slot));
        }
    }

    /// Fetches what has that number.
    pub(super) fn fetch(&self, room: &Room, found: Found) {
        match found {
            Found::Flow(number) => self.flows.fetch(&room.flows, number),
            Found::HalfOpen(number) => self.half_open.fetch(&room.half_open, number),
        }
    }

    /// Fetches the half-open connection that is given up next.
    pub(super) fn fetch_oldest(&self, room: &Room) {
        if self.oldest != NONE {
            self.half_open.fetch(&room.half_open, self.oldest);
        }
    }

    /// Fetches what giving it up will touch: its slot and its neighbour; itself should be there by now.
    pub(super) fn fetch_around_oldest(&self, room: &Room) {
        if self.oldest != NONE {
            let HalfOpen { hash, newer, .. } = *self.half_open(room, self.oldest);
            self.fetch_slot(hash);
            if newer != NONE {
                self.half_open.fetch(&room.half_open, newer);
            }
        }
    }

    /// Fetches the slot of what has that number; that itself should be there by now.
    pub(super) fn fetch_slot_of(&self, room: &Room, found: Found) {
        self.fetch_slot(match found {
            Found::Flow(number) => self.peek(room, number).hash,
            Found::HalfOpen(number) => self.half_open(room, number).hash,
        });
    }

    pub(super) fn find(&self, room: &Room, hash: u32, key: &Key) -> Option<Found> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == u64::from(hash) {
                let found = Found::of(slot);
                let is_it = match found {
                    Found::Flow(number) => self.peek(room, number).key == *key,
                    Found::HalfOpen(number) => self.half_open(room, number).key() == *key,
                };
                if is_it {
                    return Some(found);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts in a flow whose key is not there.
    pub(super) fn insert(&mut self, room: &mut Room, flow: Flow) -> u32 {
        let hash = flow.hash;
        let number = self.flows.put(&mut room.flows, flow);
        self.enter(hash, Found::Flow(number));
        number
    }

    /// Puts in a half-open connection whose key is not there: the newest now.
    pub(super) fn insert_half_open(&mut self, room: &mut Room, half_open: HalfOpen) {
        let hash = half_open.hash;
        let number = self.half_open.put(&mut room.half_open, half_open);
        self.append(room, number);
        self.enter(hash, Found::HalfOpen(number));
    }

    /// Takes note of a SYN that repeats the one that began it, which makes it the newest. Whether it was that.
    pub(super) fn repeat_half_open(
        &mut self,
        room: &mut Room,
        number: u32,
        packet: &Packet,
        direction: usize,
        (time, seen): (Timestamp, Timestamp),
    ) -> bool {
        let one = self.half_open.get_mut(&mut room.half_open, number);
        let repeated = one.repeated(packet, direction, time, seen);
        if repeated && number != self.newest {
            self.part(room, number);
            self.append(room, number);
        }
        repeated
    }

    /// Takes a flow out.
    pub(super) fn remove(&mut self, room: &mut Room, number: u32) -> Flow {
        let flow = self.flows.take(&mut room.flows, number);
        self.leave(flow.hash, Found::Flow(number));
        flow
    }

    /// Takes a half-open connection out.
    pub(super) fn remove_half_open(&mut self, room: &mut Room, number: u32) -> HalfOpen {
        self.part(room, number);
        let half_open = self.half_open.take(&mut room.half_open, number);
        self.leave(half_open.hash, Found::HalfOpen(number));
        half_open
    }

    /// Puts it at the new end of the queue.
    fn append(&mut self, room: &mut Room, number: u32) {
        let one = self.half_open.get_mut(&mut room.half_open, number);
        (one.older, one.newer) = (self.newest, NONE);
        match self.newest {
            NONE => self.oldest = number,
            before => self.half_open.get_mut(&mut room.half_open, before).newer = number,
        }
        self.newest = number;
    }

    /// Takes it out of the queue.
    fn part(&mut self, room: &mut Room, number: u32) {
        let HalfOpen { older, newer, .. } = *self.half_open(room, number);
        match older {
            NONE => self.oldest = newer,
            older => self.half_open.get_mut(&mut room.half_open, older).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.half_open.get_mut(&mut room.half_open, newer).older = older,
        }
    }

    /// Flows that are no longer or not yet half-open, as they lie in memory.
    pub(super) fn flows<'a>(&'a self, room: &'a Room) -> impl Iterator<Item = (u32, &'a Flow)> {
        let all = (0..self.flows.made()).map(|number| (number, self.peek(room, number)));
        all.filter(|(_, flow)| flow.live)
    }

    /// Whom to give up: the oldest half-open connection if those are more than `spared`, else of the next few flows under
    /// the hand the one that matters least.
    pub(super) fn victim(&mut self, room: &Room, spared: usize) -> Option<Found> {
        let oldest = (self.oldest != NONE).then_some(Found::HalfOpen(self.oldest));
        if self.half_open.len() > spared {
            return oldest;
        }
        self.flow_victim(room).or(oldest)
    }

    fn flow_victim(&mut self, room: &Room) -> Option<Found> {
        let mut found: Option<u32> = None;
        let mut looked = 0;
        for _ in 0..self.flows.made() {
            let number = self.hand;
            self.hand = (self.hand + 1) % self.flows.made();
            if !self.peek(room, number).live {
                continue;
            }
            let better = found.is_none_or(|best| self.peek(room, number).weight() < self.peek(room, best).weight());
            found = if better { Some(number) } else { found };
            looked += 1;
            if looked == EVICTION_LOOKS {
                break;
            }
        }
        found.map(Found::Flow)
    }

    fn enter(&mut self, hash: u32, found: Found) {
        if self.len() * 10 > self.slots.len() * 7 {
            self.grow();
        }
        self.place(u64::from(hash) << 32 | u64::from(found.code()));
    }

    /// Frees a slot and closes the gap in the run of slots behind it.
    fn leave(&mut self, hash: u32, found: Found) {
        let mask = self.slots.len() - 1;
        let wanted = u64::from(hash) << 32 | u64::from(found.code());
        let mut at = hash as usize & mask;
        while self.slots[at] != wanted {
            at = (at + 1) & mask;
        }
        self.slots[at] = 0;
        let mut next = (at + 1) & mask;
        while self.slots[next] != 0 {
            let home = (self.slots[next] >> 32) as usize & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(at) & mask {
                self.slots[at] = self.slots[next];
                self.slots[next] = 0;
                at = next;
            }
            next = (next + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let larger = (self.slots.len() * 2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![0; larger]);
        for slot in old.into_iter().filter(|&slot| slot != 0) {
            self.place(slot);
        }
    }

    fn place(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = (slot >> 32) as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    /// How many slots a look-up for each of these hashes touches.
    #[cfg(test)]
    pub(super) fn touched(&self, hashes: impl Iterator<Item = u32>) -> Vec<usize> {
        let mask = self.slots.len() - 1;
        let touch = |hash: u32| {
            let at = |step: usize| self.slots[(hash as usize + step) & mask];
            let over = |step: &usize| at(*step) == 0 || at(*step) >> 32 == u64::from(hash);
            (0..).find(over).map_or(0, |steps| steps + 1)
        };
        hashes.map(touch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(n: u32) -> Flow {
        let mut flow = Flow { live: true, id: u64::from(n), hash: hash(n), ..Flow::default() };
        flow.key.low[..4].copy_from_slice(&n.to_be_bytes());
        flow
    }

    /// A poor hash on purpose: long runs, many equal hashes.
    fn hash(n: u32) -> u32 {
        n / 7 * 3
    }

    #[test]
    fn what_was_put_in_and_not_taken_out_is_found() {
        let (mut table, mut room) = (Table::default(), Room::default());
        for n in 0..500 {
            table.insert(&mut room, flow(n));
        }
        for n in (0..500).step_by(3) {
            let Some(Found::Flow(number)) = table.find(&room, hash(n), &flow(n).key) else {
                panic!("{n} is not there")
            };
            assert_eq!(table.remove(&mut room, number).id, u64::from(n));
        }
        for n in 0..500 {
            assert_eq!(table.find(&room, hash(n), &flow(n).key).is_some(), n % 3 != 0, "{n}");
        }
        assert_eq!((table.len(), table.flows(&room).count()), (333, 333));
    }

    #[test]
    fn numbers_are_used_again() {
        let (mut table, mut room) = (Table::default(), Room::default());
        let first = table.insert(&mut room, flow(1));
        table.remove(&mut room, first);
        assert_eq!(table.insert(&mut room, flow(2)), first);
    }

    #[test]
    fn the_queue_of_the_half_open_keeps_its_order_whoever_leaves() {
        let (mut table, mut room) = (Table::default(), Room::default());
        for n in 0..50 {
            let mut one = HalfOpen::default();
            (one.id, one.hash) = (u64::from(n), hash(n));
            table.insert_half_open(&mut room, one);
        }
        let ids = |table: &Table, room: &Room| table.by_age(room).map(|(_, one)| one.id).collect::<Vec<_>>();
        let leave: Vec<u32> = table.by_age(&room).filter(|(_, one)| one.id % 7 < 3).map(|(number, _)| number).collect();
        for number in leave {
            table.remove_half_open(&mut room, number);
        }
        let left: Vec<u64> = (0..50).filter(|id| id % 7 >= 3).collect();
        assert_eq!(ids(&table, &room), left);
        for (at, id) in left.iter().enumerate() {
            let Some(Found::HalfOpen(oldest)) = table.victim(&room, 0) else { panic!("{id} is not there") };
            assert_eq!(table.remove_half_open(&mut room, oldest).id, *id);
            assert_eq!(ids(&table, &room), left[at + 1..]);
        }
        assert_eq!((table.len(), table.victim(&room, 0)), (0, None));
    }
}
