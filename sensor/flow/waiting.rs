//! Segments of one direction ahead of their time.
//!
//! In: segments ahead of their place. Out: their bytes, once their place is reached. No two parts overlap: of bytes that
//! were sent twice, those that came first are kept. Never here: a bound (who keeps, asks first), a reader.

use std::collections::VecDeque;

use crate::limits::WAITING_COST_BYTES;

/// Bytes that wait for those before them.
pub(super) struct Part {
    pub(super) seq: u32,
    pub(super) bytes: Vec<u8>,
    /// Bytes behind these that the capture does not have (snap length).
    pub(super) missing: u32,
}

/// What of one direction is ahead of its time.
#[derive(Default)]
pub(super) struct Waiting {
    /// By sequence number, none overlapping another.
    parts: VecDeque<Part>,
    /// Where the sender says that it ends.
    end: Option<u32>,
    held: usize,
}

/// Whether `seq` lies behind `next`, as sequence numbers go (RFC 9293, section 3.4).
pub(super) fn is_ahead(seq: u32, next: u32) -> bool {
    (1..1 << 31).contains(&seq.wrapping_sub(next))
}

impl Waiting {
    /// Memory that waits here, with what it costs to keep it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Where the first part begins.
    pub(super) fn first(&self) -> Option<u32> {
        self.parts.front().map(|part| part.seq)
    }

    /// Where the sender says that it ends, if that is not reached yet.
    pub(super) fn end(&self) -> Option<u32> {
        self.end
    }

    /// The sender ends at `seq`, which is ahead.
    pub(super) fn ends_at(&mut self, seq: u32) {
        self.end = Some(seq);
    }

    /// Keeps what is new of a segment; `next` is the place that the direction has reached.
    pub(super) fn keep(&mut self, next: u32, seq: u32, bytes: &[u8], missing: u32) {
        let from = seq.wrapping_sub(next);
        let to = from.wrapping_add(bytes.len() as u32);
        let place = self.parts.partition_point(|part| part.seq.wrapping_sub(next) <= from);
        let before = place.checked_sub(1).and_then(|at| self.parts.get(at));
        let is_apart = before.is_none_or(|part| part.range(next).1 <= from)
            && self.parts.get(place).is_none_or(|part| part.range(next).0 >= to);
        if is_apart {
            self.held += bytes.len() + WAITING_COST_BYTES;
            return self.parts.insert(place, Part { seq, bytes: bytes.to_vec(), missing });
        }
        let mut at = from;
        for part in self.parts.split_off(place.saturating_sub(1)) {
            let (start, end) = part.range(next);
            self.push_between(next, from, bytes, missing, (at, start));
            at = at.max(end);
            self.parts.push_back(part);
        }
        self.push_between(next, from, bytes, missing, (at, to));
    }

    /// Adds what a segment at `from` has between two places.
    fn push_between(&mut self, next: u32, from: u32, bytes: &[u8], missing: u32, (start, end): (u32, u32)) {
        let len = bytes.len() as u32;
        let (start, end) = (start.saturating_sub(from), end.saturating_sub(from).min(len));
        let Some(new) = bytes.get(start as usize..end as usize).filter(|new| !new.is_empty()) else { return };
        let seq = next.wrapping_add(from).wrapping_add(start);
        let missing = if end == len { missing } else { 0 };
        self.held += new.len() + WAITING_COST_BYTES;
        self.parts.push_back(Part { seq, bytes: new.to_vec(), missing });
    }

    /// The first part, if its place is reached.
    pub(super) fn pop_due(&mut self, next: u32) -> Option<Part> {
        self.first().filter(|&first| !is_ahead(first, next))?;
        let part = self.parts.pop_front()?;
        self.held -= part.bytes.len() + WAITING_COST_BYTES;
        if self.parts.is_empty() {
            self.parts = VecDeque::new(); // its memory is not counted any more
        }
        Some(part)
    }
}

impl Part {
    /// Where it begins and ends, counted from `next`.
    fn range(&self, next: u32) -> (u32, u32) {
        let start = self.seq.wrapping_sub(next);
        (start, start.wrapping_add(self.bytes.len() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts as text with their places, as seen from `next`.
    fn told(waiting: &Waiting, next: u32) -> Vec<(u32, String)> {
        let text = |part: &Part| (part.seq.wrapping_sub(next), String::from_utf8_lossy(&part.bytes).into_owned());
        waiting.parts.iter().map(text).collect()
    }

    #[test]
    fn of_bytes_sent_twice_those_that_came_first_are_kept() {
        for next in [1000, u32::MAX - 7] {
            let mut waiting = Waiting::default();
            for (at, bytes) in [(10, "AAAA"), (20, "BB"), (8, "ccccccccccccccccc"), (8, "dddd")] {
                waiting.keep(next, next.wrapping_add(at), bytes.as_bytes(), 0);
            }
            let parts = [(8, "cc"), (10, "AAAA"), (14, "cccccc"), (20, "BB"), (22, "ccc")];
            assert_eq!(told(&waiting, next), parts.map(|(at, text)| (at, text.to_string())));
            assert_eq!(waiting.held(), 17 + 5 * WAITING_COST_BYTES);
        }
    }

    #[test]
    fn the_same_segment_again_costs_nothing() {
        let mut waiting = Waiting::default();
        for _ in 0..5_000 {
            waiting.keep(0, 5, b"again", 3);
            waiting.keep(0, 6, b"gai", 0);
        }
        assert_eq!((waiting.len(), waiting.held()), (1, 5 + WAITING_COST_BYTES));
    }

    #[test]
    fn what_is_taken_out_is_no_longer_counted() {
        let mut waiting = Waiting::default();
        waiting.keep(u32::MAX, 3, b"later", 0);
        waiting.keep(u32::MAX, 0, b"now", 7);
        assert!(waiting.pop_due(u32::MAX).is_none());
        assert_eq!(waiting.pop_due(0).map(|part| (part.bytes, part.missing)), Some((b"now".to_vec(), 7)));
        assert_eq!(waiting.pop_due(9).map(|part| part.bytes), Some(b"later".to_vec()));
        assert_eq!((waiting.len(), waiting.held()), (0, 0));
    }

    #[test]
    fn half_the_circle_is_ahead_and_half_is_not() {
        assert!(is_ahead(1, 0) && is_ahead(0x7FFF_FFFF, 0) && is_ahead(3, u32::MAX));
        assert!(!is_ahead(0, 0) && !is_ahead(0x8000_0000, 0) && !is_ahead(u32::MAX, 3));
    }
}
