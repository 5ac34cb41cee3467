//! What happened to flows and streams, in numbers; each is a bound reached, or something that was not seen.

use crate::protocol::BodyCounts;

/// What happened to flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Flows that began.
    pub began: u64,
    /// Flows given up because their shard was full.
    pub evicted: u64,
    /// TCP flows whose beginning was not seen.
    pub midstream: u64,
    /// TCP and UDP flows that ended with packets of one direction only.
    pub one_way: u64,
    /// Directions of flows that were given to the kernel to count.
    pub shunted: u64,
    /// How often one could not be, for another had its place.
    pub shunts_refused: u64,
    /// Those of which a last packet may have been counted for the link alone.
    pub shunts_unsettled: u64,
}

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: Counts) {
        self.began += other.began;
        self.evicted += other.evicted;
        self.midstream += other.midstream;
        self.one_way += other.one_way;
        self.shunted += other.shunted;
        self.shunts_refused += other.shunts_refused;
        self.shunts_unsettled += other.shunts_unsettled;
    }
}

/// What happened in streams; each is a bound reached or a byte not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Holes given up: bytes that were never seen.
    pub gaps: u64,
    /// Bytes in those holes, as far as sequence numbers tell.
    pub gap_bytes: u64,
    /// Bytes in holes that the other side had acknowledged: it received them, and they never came here. Lost on the way to the
    /// sensor, or by it.
    pub unseen_bytes: u64,
    /// Holes and conversations given up because the shard's reassembly bound was reached.
    pub reassembly_full: u64,
    /// Conversations whose reader could make no sense of them any more.
    pub lost: u64,
    /// Segments ignored because they lie far from where they could belong.
    pub odd: u64,
    /// Segments that came ahead of their time.
    pub out_of_order: u64,
    /// Bodies that have no digest for their coding's sake.
    pub bodies: BodyCounts,
}

impl StreamCounts {
    /// Both together.
    pub fn plus(self, other: &StreamCounts) -> StreamCounts {
        StreamCounts {
            gaps: self.gaps + other.gaps,
            gap_bytes: self.gap_bytes + other.gap_bytes,
            unseen_bytes: self.unseen_bytes + other.unseen_bytes,
            reassembly_full: self.reassembly_full + other.reassembly_full,
            lost: self.lost + other.lost,
            odd: self.odd + other.odd,
            out_of_order: self.out_of_order + other.out_of_order,
            bodies: self.bodies.plus(other.bodies),
        }
    }
}
