//! Damage from a seed: bits, lengths, pieces taken out, said twice, or put in from elsewhere. In: a file and a donor.
//! Out: another file. Never here: what the bytes mean, or a number that is not the seed's.

use crate::dice::Dice;

/// No mutant is longer: what is found in a long input is found in a short one, and sooner.
const MUTANT_BYTES_MAX: usize = 64 << 10;

/// Mutations of one input; most often one or two, so that most of it stays what it was.
const MUTATIONS_MAX: u64 = 6;

/// Numbers at which readers change their mind.
const EDGES: [u64; 14] = [0, 1, 2, 3, 4, 7, 0x3F, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0xFFFF_FFFF];

/// Words at which readers of text do.
const WORDS: [&[u8]; 12] =
    [b"\r\n", b"\n", b"\0", b"%00", b"..", b":", b"-1", b"18446744073709551616", b"\xEF\xBB\xBF", b"\xFF", b"{", b"\""];

/// One mutant of `seed`; pieces that it takes from elsewhere are `donor`'s.
pub fn mutant(dice: &mut Dice, seed: &[u8], donor: &[u8]) -> Vec<u8> {
    let mut bytes = seed[..seed.len().min(MUTANT_BYTES_MAX)].to_vec();
    let rounds = 1 + dice.below(MUTATIONS_MAX).min(dice.below(MUTATIONS_MAX));
    for _ in 0..rounds {
        mutate(dice, &mut bytes, donor);
        bytes.truncate(MUTANT_BYTES_MAX);
    }
    bytes
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, donor: &[u8]) {
    if bytes.is_empty() {
        return bytes.extend_from_slice(some(dice, donor));
    }
    let at = dice.below(bytes.len() as u64) as usize;
    match dice.below(10) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => bytes[at] = dice.roll() as u8,
        3 | 4 => edit_number(dice, bytes, at),
        5 => bytes.truncate(at),
        6 => drop(bytes.drain(at..at + length(dice, bytes.len() - at))),
        7 => {
            let again = some(dice, &bytes[at..]).to_vec();
            bytes.splice(at..at, again);
        }
        8 => drop(bytes.splice(at..at, dice.pick(&WORDS).iter().copied())),
        _ => {
            let end = at + length(dice, bytes.len() - at);
            bytes.splice(at..end, some(dice, donor).iter().copied());
        }
    }
}

/// A piece, more often short than long.
fn some<'a>(dice: &mut Dice, from: &'a [u8]) -> &'a [u8] {
    if from.is_empty() {
        return from;
    }
    let at = dice.below(from.len() as u64) as usize;
    &from[at..at + length(dice, from.len() - at)]
}

fn length(dice: &mut Dice, most: usize) -> usize {
    let bound = if dice.one_in(3) { most as u64 } else { (most as u64).min(16) };
    dice.below(bound + 1) as usize
}

/// What may be a length: one to four bytes in either order become an edge, or go up or down by a little.
fn edit_number(dice: &mut Dice, bytes: &mut [u8], at: usize) {
    let wide = dice.pick(&[1, 2, 2, 3, 4]);
    let Some(field) = bytes.get_mut(at..at + wide) else { return };
    let big = dice.one_in(2);
    if !big {
        field.reverse();
    }
    let old = field.iter().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
    let new = match dice.below(4) {
        0 | 1 => dice.pick(&EDGES),
        2 => old.wrapping_add(1 + dice.below(4)),
        _ => old.wrapping_sub(1 + dice.below(4)),
    };
    field.iter_mut().rev().enumerate().for_each(|(place, byte)| *byte = (new >> (8 * place)) as u8);
    if !big {
        field.reverse();
    }
}
