//! Frames that came before, a moment ago: how copies are told from frames that are only alike.
//!
//! In: IP packets with their times. Out: whether the same one was seen within [`DOCTOR_DUPLICATE_TIME_MAX`]. What a switch or a
//! router changes on the way (addresses of the link, tag, time to live, header checksum) makes no difference. Never here: a
//! byte that is kept; a keyed digest is.

use std::collections::VecDeque;
use std::collections::hash_map::{HashMap, RandomState};
use std::hash::{BuildHasher, Hasher};

use crate::limits::{DOCTOR_DUPLICATE_TIME_MAX, DOCTOR_FRAMES_REMEMBERED_MAX};
use crate::time::Timestamp;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Copies {
    key: RandomState,
    last: HashMap<u64, Timestamp>,
    order: VecDeque<(u64, Timestamp)>,
}

impl Copies {
    /// Whether a packet's like came a moment ago; it is remembered in its place.
    pub(super) fn knows(&mut self, packet: &[u8], time: Timestamp) -> bool {
        while let Some((digest, seen)) = self.order.front().copied() {
            let old = time.since(seen) > DOCTOR_DUPLICATE_TIME_MAX;
            if !old && self.order.len() < DOCTOR_FRAMES_REMEMBERED_MAX {
                break;
            }
            self.order.pop_front();
            if self.last.get(&digest) == Some(&seen) {
                self.last.remove(&digest);
            }
        }
        let digest = self.digest(packet);
        self.order.push_back((digest, time));
        let before = self.last.insert(digest, time);
        before.is_some_and(|before| time.since(before) <= DOCTOR_DUPLICATE_TIME_MAX)
    }

    fn digest(&self, packet: &[u8]) -> u64 {
        let mut hasher = self.key.build_hasher();
        // IPv4: time to live, then protocol, then checksum; IPv6: hop limit
        let skipped: &[usize] = if packet.first().is_some_and(|first| first >> 4 == 4) { &[8, 10, 11] } else { &[7] };
        let head = packet.len().min(12);
        let kept = packet[..head].iter().enumerate().filter(|(at, _)| !skipped.contains(at));
        kept.for_each(|(_, byte)| hasher.write_u8(*byte));
        hasher.write(&packet[head..]);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(ttl: u8, id: u8) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 40, 0, id, 0, 0, ttl, 17, 7, ttl];
        bytes.resize(40, 3);
        bytes
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    #[test]
    fn a_copy_is_known_whatever_a_router_changed() {
        let mut copies = Copies::default();
        assert!(!copies.knows(&packet(64, 1), at(0)));
        assert!(copies.knows(&packet(64, 1), at(1)));
        assert!(copies.knows(&packet(63, 1), at(2)));
        assert!(!copies.knows(&packet(64, 2), at(2)), "another identification is another packet");
    }

    #[test]
    fn what_comes_again_later_was_sent_again() {
        let mut copies = Copies::default();
        assert!(!copies.knows(&packet(64, 1), at(0)));
        assert!(!copies.knows(&packet(64, 1), at(200)));
        assert_eq!((copies.last.len(), copies.order.len()), (1, 1));
    }

    #[test]
    fn no_more_is_remembered_than_the_bound() {
        let mut copies = Copies::default();
        for number in 0..3 * DOCTOR_FRAMES_REMEMBERED_MAX as u32 {
            let mut packet = packet(64, 1);
            packet[20..24].copy_from_slice(&number.to_be_bytes());
            assert!(!copies.knows(&packet, at(0)));
        }
        assert!(
            copies.last.len() <= DOCTOR_FRAMES_REMEMBERED_MAX && copies.order.len() <= DOCTOR_FRAMES_REMEMBERED_MAX
        );
    }
}
