//! Which shard a packet belongs to: a keyed hash of its unordered innermost address pair, so that both directions,
//! fragments and side channels between the same two hosts meet.

use siphasher::sip::SipHasher13;

use crate::limits::SHARDS;

/// SipHash-1-3 of a few whole words, as `siphasher` has it of their bytes, the low one first. That one is told how
/// many there are when it runs, and is called; this one stays in registers, and every packet asks it twice.
#[inline(always)]
pub(crate) fn sip<const WORDS: usize>(key: (u64, u64), words: [u64; WORDS]) -> u64 {
    let mut v = [
        key.0 ^ 0x736f_6d65_7073_6575,
        key.1 ^ 0x646f_7261_6e64_6f6d,
        key.0 ^ 0x6c79_6765_6e65_7261,
        key.1 ^ 0x7465_6462_7974_6573,
    ];
    for word in words {
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    let last = (WORDS as u64 * 8) << 56;
    v[3] ^= last;
    round(&mut v);
    v[0] ^= last;
    v[2] ^= 0xFF;
    round(&mut v);
    round(&mut v);
    round(&mut v);
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

/// SipRound (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2.1).
#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

/// One of the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard(pub u8);

const _: () = assert!(SHARDS == 256, "a shard's number is a byte");

/// The shard of an address pair, whichever of the two sends.
pub fn shard_of(key: (u64, u64), one: &[u8; 16], other: &[u8; 16]) -> Shard {
    let (one, other) = (u128::from_be_bytes(*one), u128::from_be_bytes(*other));
    let (low, high) = (one.min(other), one.max(other));
    // of two IPv4 addresses the first twelve bytes say nothing
    if low >> 32 == V4_PREFIX && high >> 32 == V4_PREFIX {
        let eight = u64::from(low as u32) << 32 | u64::from(high as u32);
        return Shard(sip(key, [eight.swap_bytes()]) as u8);
    }
    let mut both = [0; 32];
    both[..16].copy_from_slice(&low.to_be_bytes());
    both[16..].copy_from_slice(&high.to_be_bytes());
    Shard(SipHasher13::new_with_keys(key.0, key.1).hash(&both) as u8)
}

/// What an IPv4 address has before its own four bytes (RFC 4291, 2.5.5.2).
pub(crate) const V4_PREFIX: u128 = 0xFFFF;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_registers_give_what_their_bytes_give() {
        let mut seed = 7_u64;
        let mut draw = || {
            seed = seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            seed ^ seed >> 29
        };
        for _ in 0..100 {
            let (key, words) = ((draw(), draw()), [draw(), draw()]);
            let library = SipHasher13::new_with_keys(key.0, key.1);
            assert_eq!(sip(key, words), library.hash(words.map(u64::to_le_bytes).as_flattened()));
            assert_eq!(sip(key, [words[0]]), library.hash(&words[0].to_le_bytes()));
        }
    }

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
