//! The flows of one shard: an open table of hashes over a slab of flows.
//!
//! The table holds 8 bytes a slot (hash and number), so that a look-up touches one line of it and one flow. Flows lie in
//! blocks that never move. Bounded: who asks for more than the bound evicts.

use super::entry::Flow;
use super::key::Key;
use crate::pages;

const BLOCK: usize = 64;
const SLOTS_MIN: usize = 16;

/// The flows of one shard.
#[derive(Default)]
pub(super) struct Table {
    /// Hash in the upper half, number + 1 in the lower; 0: free.
    slots: Vec<u64>,
    blocks: Vec<Box<[Flow]>>,
    free: Vec<u32>,
    /// How many numbers were ever given out.
    made: u32,
    len: usize,
    hand: u32,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn flow(&mut self, number: u32) -> &mut Flow {
        &mut self.blocks[number as usize / BLOCK][number as usize % BLOCK]
    }

    pub(super) fn peek(&self, number: u32) -> &Flow {
        &self.blocks[number as usize / BLOCK][number as usize % BLOCK]
    }

    /// Fetches the slot that a look-up will begin at.
    pub(super) fn fetch_slot(&self, hash: u32) {
        pages::prefetch(&self.slots, hash as usize & self.slots.len().wrapping_sub(1));
    }

    /// Fetches the flow that the first slot of a look-up speaks of.
    pub(super) fn fetch_flow(&self, hash: u32) {
        let Some(&slot) = self.slots.get(hash as usize & self.slots.len().wrapping_sub(1)) else { return };
        if slot >> 32 == u64::from(hash) && slot != 0 {
            let number = slot as u32 as usize - 1;
            pages::prefetch_whole(&self.blocks[number / BLOCK], number % BLOCK);
        }
    }

    pub(super) fn find(&self, hash: u32, key: &Key) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == u64::from(hash) && self.peek(slot as u32 - 1).key == *key {
                return Some(slot as u32 - 1);
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts in a flow whose key is not there.
    pub(super) fn insert(&mut self, hash: u32, flow: Flow) -> u32 {
        if (self.len + 1) * 10 > self.slots.len() * 7 {
            self.grow();
        }
        let number = self.free.pop().unwrap_or_else(|| {
            if self.made as usize == self.blocks.len() * BLOCK {
                self.blocks.push(vec![Flow::default(); BLOCK].into_boxed_slice());
            }
            self.made += 1;
            self.made - 1
        });
        *self.flow(number) = flow;
        self.place(u64::from(hash) << 32 | u64::from(number + 1));
        self.len += 1;
        number
    }

    /// Takes a flow out and closes the gap in the run of slots behind it.
    pub(super) fn remove(&mut self, hash: u32, number: u32) -> Flow {
        let mask = self.slots.len() - 1;
        let wanted = u64::from(hash) << 32 | u64::from(number + 1);
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
        self.len -= 1;
        self.free.push(number);
        std::mem::take(self.flow(number))
    }

    /// The numbers of all flows, in no order that means anything.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().filter(|&&slot| slot != 0).map(|&slot| slot as u32 - 1)
    }

    /// Which flow to give up: of the next few under the hand, the one that matters least.
    pub(super) fn victim(&mut self, look_at: usize) -> Option<u32> {
        let mut found: Option<u32> = None;
        let mut looked = 0;
        for _ in 0..self.made {
            let number = self.hand;
            self.hand = (self.hand + 1) % self.made;
            if !self.peek(number).live {
                continue;
            }
            let better = found.is_none_or(|best| self.peek(number).weight() < self.peek(best).weight());
            found = if better { Some(number) } else { found };
            looked += 1;
            if looked == look_at {
                break;
            }
        }
        found
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(n: u32) -> Flow {
        let mut flow = Flow { live: true, id: u64::from(n), ..Flow::default() };
        flow.key.low[..4].copy_from_slice(&n.to_be_bytes());
        flow
    }

    /// A poor hash on purpose: long runs, many equal hashes.
    fn hash(n: u32) -> u32 {
        n / 7 * 3
    }

    #[test]
    fn what_was_put_in_and_not_taken_out_is_found() {
        let mut table = Table::default();
        for n in 0..500 {
            table.insert(hash(n), flow(n));
        }
        for n in (0..500).step_by(3) {
            let number = table.find(hash(n), &flow(n).key).expect("there");
            assert_eq!(table.remove(hash(n), number).id, u64::from(n));
        }
        for n in 0..500 {
            assert_eq!(table.find(hash(n), &flow(n).key).is_some(), n % 3 != 0, "{n}");
        }
        assert_eq!((table.len(), table.numbers().count()), (333, 333));
    }

    #[test]
    fn numbers_are_used_again() {
        let mut table = Table::default();
        let first = table.insert(1, flow(1));
        table.remove(1, first);
        assert_eq!(table.insert(2, flow(2)), first);
    }
}
