//! IPv4 and IPv6 fragments, kept until their datagram is whole.
//!
//! In: pieces with their bytes. Out: datagrams, in an arena that lives until the batch ends. What is kept is bounded per
//! shard of the outer address pair, so that what is evicted does not depend on who decodes. Where pieces overlap, the
//! bytes that came first stay, and the overlap is counted.

use super::shard::{Shard, shard_of};
use super::{Address, Fate, Malformed};
use crate::limits::{
    DATAGRAM_BYTES_MAX, FRAGMENT_BYTES_MAX, FRAGMENT_DATAGRAMS_MAX, FRAGMENT_GAP, FRAGMENT_PIECES_MAX, SHARDS,
};
use crate::time::Timestamp;

/// What a fragment has that a whole packet has not; few bytes, for it is a part of what every header answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) id: u32,
    /// Where it begins in the datagram, in bytes.
    pub(super) offset: u16,
    /// Whether more follows.
    pub(super) more: bool,
}

/// A fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) pair: (Address, Address),
    pub(super) id: u32,
    pub(super) protocol: u8,
    pub(super) offset: usize,
    pub(super) more: bool,
    pub(super) missing: u32,
}

/// A datagram that is not whole yet.
struct Waiting {
    pair: (Address, Address),
    id: u32,
    protocol: u8,
    last: Timestamp,
    bytes: Vec<u8>,
    /// Ranges that are there, sorted, never touching.
    have: Vec<(usize, usize)>,
    pieces: usize,
    total: Option<usize>,
}

/// All datagrams that are not whole yet, by shard.
pub struct Fragments {
    shards: Vec<Vec<Waiting>>,
    arena: Vec<u8>,
    key: (u64, u64),
    counts: Counts,
}

impl Counts {
    /// Both together.
    pub fn plus(self, other: Counts) -> Counts {
        Counts {
            whole: self.whole + other.whole,
            overlaps: self.overlaps + other.overlaps,
            evicted: self.evicted + other.evicted,
            timeouts: self.timeouts + other.timeouts,
        }
    }

    /// Of two that counted the same fragments, the one that saw more of them.
    pub fn most(self, other: Counts) -> Counts {
        if other.whole + other.evicted + other.timeouts > self.whole + self.evicted + self.timeouts {
            other
        } else {
            self
        }
    }
}

/// What happened to fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams put together.
    pub whole: u64,
    /// Pieces that said again, perhaps differently, what another had said.
    pub overlaps: u64,
    /// Datagrams given up for want of room.
    pub evicted: u64,
    /// Datagrams given up because nothing more came.
    pub timeouts: u64,
}

impl Fragments {
    /// None yet. The key is that of the shards.
    pub fn new(key: (u64, u64)) -> Self {
        let mut shards = Vec::new();
        shards.resize_with(SHARDS, Vec::new);
        Fragments { shards, arena: Vec::new(), key, counts: Counts::default() }
    }

    /// The bytes of the datagrams put together in this batch.
    pub(super) fn datagrams(&self) -> &[u8] {
        &self.arena
    }

    /// Forgets the datagrams of the batch before.
    pub fn next_batch(&mut self) {
        self.arena.clear();
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a piece. Whole: where its datagram begins in the arena, at whose end it lies.
    pub(super) fn add(&mut self, piece: &Piece, bytes: &[u8], now: Timestamp) -> Result<usize, Fate> {
        // RFC 791: all but the last are a multiple of eight; receivers cut off what is more (Linux)
        let bytes = if piece.more { &bytes[..bytes.len() / 8 * 8] } else { bytes };
        let end = piece.offset + bytes.len();
        if end > DATAGRAM_BYTES_MAX {
            return Err(Malformed::FragmentRange.into());
        }
        // a piece that the capture cut can never be made whole
        if bytes.is_empty() || piece.missing > 0 {
            return Err(Fate::FragmentShed);
        }
        let Shard(shard) = shard_of(self.key, &piece.pair.0, &piece.pair.1);
        let at = self.place(usize::from(shard), piece, end, now)?;
        let Self { shards, arena, counts, .. } = self;
        let waiting = &mut shards[usize::from(shard)];
        waiting[at].insert(piece, bytes, now, counts);
        if !waiting[at].is_whole() {
            return Err(Fate::FragmentKept);
        }
        let whole = waiting.swap_remove(at);
        counts.whole += 1;
        let start = arena.len();
        arena.extend_from_slice(&whole.bytes);
        Ok(start)
    }

    /// The datagram that the piece belongs to, with room for it made.
    fn place(&mut self, shard: usize, piece: &Piece, end: usize, now: Timestamp) -> Result<usize, Fate> {
        let waiting = &mut self.shards[shard];
        let mut found =
            waiting.iter().position(|w| w.id == piece.id && w.protocol == piece.protocol && w.pair == piece.pair);
        if let Some(at) = found
            && now.since(waiting[at].last) > FRAGMENT_GAP
        {
            waiting.swap_remove(at);
            self.counts.timeouts += 1;
            found = None;
        }
        let at = found.unwrap_or_else(|| {
            waiting.push(Waiting::new(piece, now));
            waiting.len() - 1
        });
        if waiting[at].pieces >= FRAGMENT_PIECES_MAX {
            return Err(Fate::FragmentShed);
        }
        let grows = end.saturating_sub(waiting[at].bytes.len());
        self.make_room(shard, at, grows)
    }

    /// Gives up the datagrams that were touched the longest ago until there is room; says where `keep` lies then.
    fn make_room(&mut self, shard: usize, keep: usize, grows: usize) -> Result<usize, Fate> {
        let waiting = &mut self.shards[shard];
        let mut keep = keep;
        loop {
            let held: usize = waiting.iter().map(|w| w.bytes.len()).sum();
            if held + grows <= FRAGMENT_BYTES_MAX && waiting.len() <= FRAGMENT_DATAGRAMS_MAX {
                return Ok(keep);
            }
            let oldest =
                (0..waiting.len()).filter(|&at| at != keep).min_by_key(|&at| (waiting[at].last, waiting[at].id));
            let Some(oldest) = oldest else { return Err(Fate::FragmentShed) };
            waiting.swap_remove(oldest);
            self.counts.evicted += 1;
            if keep == waiting.len() {
                keep = oldest;
            }
        }
    }
}

impl Waiting {
    fn new(piece: &Piece, now: Timestamp) -> Self {
        Waiting {
            pair: piece.pair,
            id: piece.id,
            protocol: piece.protocol,
            last: now,
            bytes: Vec::new(),
            have: Vec::new(),
            pieces: 0,
            total: None,
        }
    }

    /// Lays the piece's bytes where none lie yet.
    fn insert(&mut self, piece: &Piece, bytes: &[u8], now: Timestamp, counts: &mut Counts) {
        let (start, end) = (piece.offset, piece.offset + bytes.len());
        self.last = now;
        self.pieces += 1;
        if !piece.more && self.total.is_none() {
            self.total = Some(end);
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let mut at = start;
        for &(have_start, have_end) in self.have.iter().filter(|(s, e)| *s < end && *e > start) {
            counts.overlaps += 1;
            if at < have_start {
                self.bytes[at..have_start].copy_from_slice(&bytes[at - start..have_start - start]);
            }
            at = at.max(have_end);
        }
        if at < end {
            self.bytes[at..end].copy_from_slice(&bytes[at - start..]);
        }
        self.cover(start, end);
    }

    /// Marks a range as there and joins it with those it touches.
    fn cover(&mut self, start: usize, end: usize) {
        let first = self.have.partition_point(|&(_, e)| e < start);
        let last = self.have.partition_point(|&(s, _)| s <= end);
        let joined = self.have[first..last].iter().fold((start, end), |(s, e), &(hs, he)| (s.min(hs), e.max(he)));
        self.have.splice(first..last, [joined]);
    }

    fn is_whole(&mut self) -> bool {
        let Some(total) = self.total else { return false };
        let whole = self.have.first().is_some_and(|&(start, end)| start == 0 && end >= total);
        if whole {
            self.bytes.truncate(total);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(offset: usize, more: bool) -> Piece {
        Piece { pair: ([1; 16], [2; 16]), id: 7, protocol: 17, offset, more, missing: 0 }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(seconds, 0)
    }

    #[test]
    fn pieces_in_any_order_make_the_datagram() {
        let text = b"sixteen bytes...and the rest";
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut fragments = Fragments::new((1, 2));
            let mut whole = None;
            for part in order {
                let (start, end) = [(0, 8), (8, 16), (16, text.len())][part];
                whole = fragments.add(&piece(start, part != 2), &text[start..end], at(0)).ok();
            }
            assert_eq!(&fragments.datagrams()[whole.expect("whole")..], text, "{order:?}");
        }
    }

    #[test]
    fn the_first_word_on_a_byte_stays() {
        let mut fragments = Fragments::new((1, 2));
        assert_eq!(fragments.add(&piece(0, true), b"AAAAAAAA", at(0)), Err(Fate::FragmentKept));
        assert_eq!(fragments.add(&piece(0, true), b"BBBBBBBBBBBBBBBB", at(0)), Err(Fate::FragmentKept));
        let start = fragments.add(&piece(16, false), b"CC", at(0)).expect("whole");
        assert_eq!(&fragments.datagrams()[start..], b"AAAAAAAABBBBBBBBCC");
        assert_eq!(fragments.counts().overlaps, 1);
    }

    #[test]
    fn an_old_piece_is_not_mixed_with_a_new_datagram() {
        let mut fragments = Fragments::new((1, 2));
        assert_eq!(fragments.add(&piece(0, true), b"AAAAAAAA", at(0)), Err(Fate::FragmentKept));
        assert_eq!(fragments.add(&piece(8, false), b"BB", at(31)), Err(Fate::FragmentKept));
        assert_eq!(fragments.counts().timeouts, 1);
    }

    #[test]
    fn a_flood_stays_within_its_bounds() {
        let mut fragments = Fragments::new((1, 2));
        for id in 0..10_000 {
            let one = Piece { id, offset: 60_000, ..piece(0, true) };
            assert!(fragments.add(&one, &[0; 8], at(0)).is_err());
        }
        let held: usize = fragments.shards.iter().flatten().map(|w| w.bytes.len()).sum();
        assert!(held <= FRAGMENT_BYTES_MAX);
        assert_eq!(fragments.counts().evicted, 10_000 - 2);
    }

    #[test]
    fn pieces_that_reach_too_far_are_malformed() {
        let mut fragments = Fragments::new((1, 2));
        let far = fragments.add(&piece(65_528, false), &[0; 9], at(0));
        assert_eq!(far, Err(Fate::Malformed(Malformed::FragmentRange)));
    }
}
