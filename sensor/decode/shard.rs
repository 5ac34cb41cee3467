//! Which shard a packet belongs to: a keyed hash of its unordered innermost address pair, so that both directions,
//! fragments and side channels between the same two hosts meet.

use siphasher::sip::SipHasher13;

use crate::limits::SHARDS;

/// One of the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard(pub u8);

const _: () = assert!(SHARDS == 256, "a shard's number is a byte");

/// The shard of an address pair, whichever of the two sends.
pub fn shard_of(key: (u64, u64), one: &[u8; 16], other: &[u8; 16]) -> Shard {
    let (one, other) = (u128::from_be_bytes(*one), u128::from_be_bytes(*other));
    let (low, high) = (one.min(other), one.max(other));
    let hasher = SipHasher13::new_with_keys(key.0, key.1);
    // of two IPv4 addresses the first twelve bytes say nothing
    if low >> 32 == V4_PREFIX && high >> 32 == V4_PREFIX {
        let eight = u64::from(low as u32) << 32 | u64::from(high as u32);
        return Shard(hasher.hash(&eight.to_be_bytes()) as u8);
    }
    let mut both = [0; 32];
    both[..16].copy_from_slice(&low.to_be_bytes());
    both[16..].copy_from_slice(&high.to_be_bytes());
    Shard(hasher.hash(&both) as u8)
}

/// What an IPv4 address has before its own four bytes (RFC 4291, 2.5.5.2).
pub(crate) const V4_PREFIX: u128 = 0xFFFF;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_meet_and_shards_are_used_evenly() {
        let mut counts = [0; SHARDS];
        for n in 0..25_600u32 {
            let (mut one, other) = ([0; 16], [9; 16]);
            one[..4].copy_from_slice(&n.to_be_bytes());
            let shard = shard_of((1, 2), &one, &other);
            assert_eq!(shard, shard_of((1, 2), &other, &one));
            counts[usize::from(shard.0)] += 1;
        }
        assert!(counts.iter().all(|&count| (50..200).contains(&count)));
    }
}
