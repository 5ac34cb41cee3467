//! The hot part of a table: a blocked Bloom filter, then keyed fingerprints in cache lines.
//!
//! In: keyed 64-bit hashes at building. Out: candidates, each to be confirmed elsewhere. Never here: a value.

use crate::pages::{Line, Pages, prefetch};

/// Bits of filter per key: 0.5 % of absent values pass and cost a second line.
const FILTER_BITS_PER_KEY: usize = 12;

/// Keys per line of eight when lines are first shared out: load 0.75 keeps overflow into the next line rare.
const KEYS_PER_LINE: usize = 6;

/// Eight words of which a key sets one bit each; two blocks share a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Block([u32; 8]);

/// Filter and fingerprints of one table.
#[derive(Default)]
pub(super) struct Hot {
    filter: Pages<Block>,
    lines: Pages<Line>,
}

impl Hot {
    /// Room for `keys` keys, none of them in yet.
    pub(super) fn with_room(keys: usize) -> Self {
        if keys == 0 {
            return Hot::default();
        }
        let blocks = (keys * FILTER_BITS_PER_KEY).div_ceil(256);
        let lines = keys.div_ceil(KEYS_PER_LINE) + 1; // one more: a search ends at an empty slot, so there is always one
        Hot { filter: Pages::filled(blocks, Block([0; 8])), lines: Pages::filled(lines, Line::default()) }
    }

    /// Puts a key in. The caller keeps to the room that it asked for.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        let block = self.block(hash);
        for (word, bit) in self.filter[block].0.iter_mut().zip(bits(hash)) {
            *word |= bit;
        }
        let mut at = self.line(hash);
        loop {
            if let Some(slot) = self.lines[at].0.iter_mut().find(|slot| **slot == 0) {
                *slot = (hash << 32) | (u64::from(number) + 1);
                return;
            }
            at = self.next(at);
        }
    }

    /// Asks for the filter's line.
    #[inline]
    pub(super) fn prefetch_filter(&self, hash: u64) {
        prefetch(&self.filter, self.block(hash));
    }

    /// Asks for the fingerprints' line.
    #[inline]
    pub(super) fn prefetch_line(&self, hash: u64) {
        prefetch(&self.lines, self.line(hash));
    }

    /// `false`: surely absent.
    #[inline]
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let Some(block) = self.filter.get(self.block(hash)) else { return false };
        let missing = block.0.iter().zip(bits(hash)).fold(0, |missing, (word, bit)| missing | (!word & bit));
        missing == 0
    }

    /// Every number whose fingerprint is this hash's.
    #[inline]
    pub(super) fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.line(hash);
        let mut slot = 0;
        std::iter::from_fn(move || {
            loop {
                let found = *self.lines.get(at)?.0.get(slot)?;
                if found == 0 {
                    return None;
                }
                slot += 1;
                if slot == 8 {
                    (at, slot) = (self.next(at), 0);
                }
                if (found >> 32) as u32 == hash as u32 {
                    return Some(found as u32 - 1);
                }
            }
        })
    }

    #[inline]
    fn block(&self, hash: u64) -> usize {
        share(hash, self.filter.len())
    }

    #[inline]
    fn line(&self, hash: u64) -> usize {
        share(hash, self.lines.len())
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 < self.lines.len() { at + 1 } else { 0 }
    }
}

/// The upper half of a hash as a share of `len` places, without a division.
#[inline]
fn share(hash: u64, len: usize) -> usize {
    (((hash >> 32) * len as u64) >> 32) as usize
}

/// One bit per word of a block, from the lower 40 bits of a hash.
#[inline]
fn bits(hash: u64) -> [u32; 8] {
    std::array::from_fn(|word| 1 << (hash >> (5 * word) & 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scatter(n: u64) -> u64 {
        let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn what_was_put_in_is_found_and_hardly_anything_else_passes() {
        let mut hot = Hot::with_room(10_000);
        (0..10_000).for_each(|n| hot.insert(scatter(n), n as u32));
        for n in 0..10_000 {
            assert!(hot.may_hold(scatter(n)));
            assert!(hot.candidates(scatter(n)).any(|number| u64::from(number) == n));
        }
        let passed = (10_000..110_000).filter(|&n| hot.may_hold(scatter(n))).count();
        assert!(passed < 1_500, "{passed} of 100 000 absent keys passed");
        assert!((10_000..110_000).all(|n| hot.candidates(scatter(n)).next().is_none()));
    }

    #[test]
    fn keys_that_share_a_line_overflow_into_the_next() {
        let mut hot = Hot::with_room(50);
        (0..50).for_each(|n| hot.insert(u64::MAX << 32 | u64::from(n), n));
        assert!((0..50).all(|n| hot.candidates(u64::MAX << 32 | u64::from(n)).eq([n])));
    }

    #[test]
    fn an_empty_table_holds_nothing() {
        let hot = Hot::with_room(0);
        hot.prefetch_filter(7);
        hot.prefetch_line(7);
        assert!(!hot.may_hold(7) && hot.candidates(7).next().is_none());
    }
}
