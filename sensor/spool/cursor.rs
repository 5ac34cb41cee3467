//! The cursor: which lane's spool this is, and up to where the centre has committed.
//!
//! In and out: the bytes of its file. It has two places, each in a block of its own, and the one that is older is written over: so
//! a crash in the middle leaves the other, and a full disk has room for it. A cursor that cannot be read costs repeats, never a
//! record.

use super::SpoolId;

const MAGIC: [u8; 8] = *b"haetaeC3";

/// The version before: it had neither a generation nor a last record.
const MAGIC_BEFORE: [u8; 8] = *b"haetaeCU";

/// Bytes of what is written at a place.
const WRITTEN_BYTES: usize = 60;

/// Bytes of the version before.
const WRITTEN_BYTES_BEFORE: usize = 28;

/// From one place to the other: what a disk or a file system writes at once is not longer.
const PLACE_BYTES: usize = 4096;

/// What the cursor file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Which spool.
    pub spool: SpoolId,
    /// The last sequence that need not be delivered any more; 0: none yet.
    pub watermark: u64,
    /// The last sequence that was durable when this was written: what is missing of it is damage.
    pub last: u64,
    /// All segments up to here were closed in order when this was written: those behind it may end anywhere.
    pub sealed: u64,
    /// The first sequence of a flush in which records were missing when this program found it: nobody was promised them. 0: none.
    pub doubted: u64,
    /// Rises with each writing: a watermark may be set back.
    pub generation: u64,
}

/// Where the next cursor goes: not over the one that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(bool);

impl Place {
    /// Offset in the file.
    pub(super) fn offset(self) -> u64 {
        if self.0 { PLACE_BYTES as u64 } else { 0 }
    }

    /// The other one.
    pub(super) fn other(self) -> Place {
        Place(!self.0)
    }
}

impl Cursor {
    /// The first of a spool.
    pub(super) fn new(spool: SpoolId, watermark: u64) -> Cursor {
        Cursor { spool, watermark, last: watermark, sealed: 0, doubted: 0, generation: 0 }
    }

    /// A file with nothing else: it is at the first place.
    pub(super) fn file(self) -> (Vec<u8>, Place) {
        let mut out = vec![0; 2 * PLACE_BYTES];
        out[..WRITTEN_BYTES].copy_from_slice(&self.encode());
        (out, Place(true))
    }

    /// What is written at a place.
    pub(super) fn encode(self) -> [u8; WRITTEN_BYTES] {
        let mut out = [0; WRITTEN_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..16].copy_from_slice(&self.spool.0);
        let numbers = [self.watermark, self.last, self.sealed, self.doubted, self.generation];
        for (place, number) in out[16..56].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let sum = crc32fast::hash(&out[..56]);
        out[56..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a file: the latest of its cursors, and where the next one goes; `None` when both are damaged.
    pub(super) fn of_file(bytes: &[u8]) -> Option<(Cursor, Place)> {
        // a file that is shorter has no room for the second
        let at = |place: Place| Cursor::decode(bytes.get(place.offset() as usize..)?.get(..PLACE_BYTES)?);
        let found = [Place(false), Place(true)].map(|place| at(place).map(|cursor| (cursor, place.other())));
        found.into_iter().flatten().max_by_key(|(cursor, _)| (cursor.generation, cursor.watermark))
    }

    fn decode(bytes: &[u8]) -> Option<Cursor> {
        let is_before = bytes.starts_with(&MAGIC_BEFORE);
        let length = if is_before { WRITTEN_BYTES_BEFORE } else { WRITTEN_BYTES };
        let (body, sum) = bytes.get(..length)?.split_at(length - 4);
        if !is_before && body[..8] != MAGIC || crc32fast::hash(body).to_le_bytes() != *sum {
            return None;
        }
        let spool = SpoolId(body[8..16].try_into().ok()?);
        let number = |at: usize| body.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let watermark = number(16)?;
        if is_before {
            return Some(Cursor::new(spool, watermark));
        }
        let (last, sealed, doubted, generation) = (number(24)?, number(32)?, number(40)?, number(48)?);
        Some(Cursor { spool, watermark, last, sealed, doubted, generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(watermark: u64) -> Cursor {
        Cursor {
            spool: SpoolId(*b"12345678"),
            watermark,
            last: watermark + 3,
            sealed: 2,
            doubted: 1,
            generation: watermark,
        }
    }

    #[test]
    fn a_cursor_reads_back_and_any_flipped_byte_shows() {
        let (file, next) = cursor(99).file();
        assert_eq!(Cursor::of_file(&file), Some((cursor(99), next)));
        for at in 0..WRITTEN_BYTES {
            let mut flipped = file.clone();
            flipped[at] ^= 4;
            assert_eq!(Cursor::of_file(&flipped), None, "byte {at}");
        }
    }

    #[test]
    fn a_cursor_that_was_set_back_is_the_later_one_and_one_of_the_version_before_is_read() {
        let mut before = [0; WRITTEN_BYTES_BEFORE];
        before[..8].copy_from_slice(&MAGIC_BEFORE);
        before[8..16].copy_from_slice(b"12345678");
        before[16..24].copy_from_slice(&40_u64.to_le_bytes());
        let sum = crc32fast::hash(&before[..24]).to_le_bytes();
        before[24..].copy_from_slice(&sum);
        let mut file = vec![0; 2 * PLACE_BYTES];
        file[..WRITTEN_BYTES_BEFORE].copy_from_slice(&before);
        let (read, next) = Cursor::of_file(&file).unwrap();
        assert_eq!(read, Cursor::new(SpoolId(*b"12345678"), 40));
        let back = Cursor { watermark: 12, last: 44, generation: 1, ..read };
        file[next.offset() as usize..][..WRITTEN_BYTES].copy_from_slice(&back.encode());
        assert_eq!(Cursor::of_file(&file), Some((back, next.other())));
    }

    #[test]
    fn a_cursor_that_is_written_in_part_leaves_the_one_before() {
        let (mut file, mut next) = cursor(1).file();
        for watermark in 2..6 {
            let (before, at, new) = (file.clone(), next.offset() as usize, cursor(watermark).encode());
            for written in 0..new.len() {
                file[at..at + written].copy_from_slice(&new[..written]);
                assert_eq!(
                    Cursor::of_file(&file),
                    Some((cursor(watermark - 1), next)),
                    "{written} bytes of {watermark}"
                );
                file.clone_from(&before);
            }
            file[at..at + new.len()].copy_from_slice(&new);
            next = next.other();
            assert_eq!(Cursor::of_file(&file), Some((cursor(watermark), next)));
        }
    }
}
