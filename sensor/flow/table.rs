//! The flows of one shard: an open table of hashes over a slab of flows.
//!
//! The table holds 8 bytes a slot (hash and number), so that a look-up touches one line of it and one flow. Flows lie in
//! blocks that never move, cut from huge pages that all shards of a worker share: a shard alone is too small for one.
//! Bounded: who asks for more than the bound evicts.

use super::entry::Flow;
use super::key::Key;
use crate::pages;

const BLOCK: usize = 64;

/// Blocks cut from one piece of memory: 16 MiB of addresses, of which only what is used is ever touched.
const CHUNK_BLOCKS: usize = 1_024;
const SLOTS_MIN: usize = 16;

/// Where the flows of all shards of a worker lie.
#[derive(Default)]
pub(super) struct Blocks {
    /// Each has its whole capacity from the beginning, so that nothing in it ever moves.
    chunks: Vec<Vec<Flow>>,
    made: u32,
}

impl Blocks {
    /// A new block's number.
    fn make(&mut self) -> u32 {
        if self.made as usize == self.chunks.len() * CHUNK_BLOCKS {
            let mut chunk = Vec::with_capacity(CHUNK_BLOCKS * BLOCK);
            pages::advise_huge(chunk.spare_capacity_mut());
            self.chunks.push(chunk);
        }
        let chunk = &mut self.chunks[self.made as usize / CHUNK_BLOCKS];
        chunk.resize_with(chunk.len() + BLOCK, Flow::default);
        self.made += 1;
        self.made - 1
    }

    /// The chunk of a block and where in it the block begins.
    fn place(block: u32) -> (usize, usize) {
        (block as usize / CHUNK_BLOCKS, block as usize % CHUNK_BLOCKS * BLOCK)
    }
}

/// The flows of one shard.
#[derive(Default)]
pub(super) struct Table {
    /// Hash in the upper half, number + 1 in the lower; 0: free.
    slots: Vec<u64>,
    /// Numbers of its blocks, in the order of its flows' numbers.
    blocks: Vec<u32>,
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

    pub(super) fn flow<'a>(&self, blocks: &'a mut Blocks, number: u32) -> &'a mut Flow {
        let (chunk, start) = Blocks::place(self.blocks[number as usize / BLOCK]);
        &mut blocks.chunks[chunk][start + number as usize % BLOCK]
    }

    pub(super) fn peek<'a>(&self, blocks: &'a Blocks, number: u32) -> &'a Flow {
        let (chunk, start) = Blocks::place(self.blocks[number as usize / BLOCK]);
        &blocks.chunks[chunk][start + number as usize % BLOCK]
    }

    /// Fetches the slot that a look-up will begin at.
    pub(super) fn fetch_slot(&self, hash: u32) {
        pages::prefetch(&self.slots, hash as usize & self.slots.len().wrapping_sub(1));
    }

    /// Fetches the flow that the first slot of a look-up speaks of.
    pub(super) fn fetch_flow(&self, blocks: &Blocks, hash: u32) {
        let Some(&slot) = self.slots.get(hash as usize & self.slots.len().wrapping_sub(1)) else { return };
        if slot >> 32 == u64::from(hash) && slot != 0 {
            self.fetch(blocks, slot as u32 - 1);
        }
    }

    /// Fetches a flow by its number.
    pub(super) fn fetch(&self, blocks: &Blocks, number: u32) {
        let (chunk, start) = Blocks::place(self.blocks[number as usize / BLOCK]);
        pages::prefetch_whole(&blocks.chunks[chunk], start + number as usize % BLOCK);
    }

    pub(super) fn find(&self, blocks: &Blocks, hash: u32, key: &Key) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == u64::from(hash) && self.peek(blocks, slot as u32 - 1).key == *key {
                return Some(slot as u32 - 1);
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts in a flow whose key is not there.
    pub(super) fn insert(&mut self, blocks: &mut Blocks, hash: u32, flow: Flow) -> u32 {
        if (self.len + 1) * 10 > self.slots.len() * 7 {
            self.grow();
        }
        let number = self.free.pop().unwrap_or_else(|| {
            if self.made as usize == self.blocks.len() * BLOCK {
                self.blocks.push(blocks.make());
            }
            self.made += 1;
            self.made - 1
        });
        *self.flow(blocks, number) = flow;
        self.place(u64::from(hash) << 32 | u64::from(number + 1));
        self.len += 1;
        number
    }

    /// Takes a flow out and closes the gap in the run of slots behind it.
    pub(super) fn remove(&mut self, blocks: &mut Blocks, hash: u32, number: u32) -> Flow {
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
        std::mem::take(self.flow(blocks, number))
    }

    /// The numbers of all flows, in no order that means anything.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().filter(|&&slot| slot != 0).map(|&slot| slot as u32 - 1)
    }

    /// Which flow to give up: of the next few under the hand, the one that matters least.
    pub(super) fn victim(&mut self, blocks: &Blocks, look_at: usize) -> Option<u32> {
        let mut found: Option<u32> = None;
        let mut looked = 0;
        for _ in 0..self.made {
            let number = self.hand;
            self.hand = (self.hand + 1) % self.made;
            if !self.peek(blocks, number).live {
                continue;
            }
            let better = found.is_none_or(|best| self.peek(blocks, number).weight() < self.peek(blocks, best).weight());
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
        let (mut table, mut blocks) = (Table::default(), Blocks::default());
        for n in 0..500 {
            table.insert(&mut blocks, hash(n), flow(n));
        }
        for n in (0..500).step_by(3) {
            let number = table.find(&blocks, hash(n), &flow(n).key).expect("there");
            assert_eq!(table.remove(&mut blocks, hash(n), number).id, u64::from(n));
        }
        for n in 0..500 {
            assert_eq!(table.find(&blocks, hash(n), &flow(n).key).is_some(), n % 3 != 0, "{n}");
        }
        assert_eq!((table.len(), table.numbers().count()), (333, 333));
    }

    #[test]
    fn numbers_are_used_again() {
        let (mut table, mut blocks) = (Table::default(), Blocks::default());
        let first = table.insert(&mut blocks, 1, flow(1));
        table.remove(&mut blocks, 1, first);
        assert_eq!(table.insert(&mut blocks, 2, flow(2)), first);
    }
}
