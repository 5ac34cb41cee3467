//! The cursor: which spool this is, and up to where the centre has committed.
//!
//! In and out: the bytes of its file. It has two places, each in a block of its own, and the one that is older is written over: so
//! a crash in the middle leaves the other, and a full disk has room for it. A cursor that cannot be read costs repeats, never a
//! record.

use super::SpoolId;

const MAGIC: [u8; 8] = *b"haetaeCU";

/// Bytes of what is written at a place.
const WRITTEN_BYTES: usize = 28;

/// From one place to the other: what a disk or a file system writes at once is not longer.
const PLACE_BYTES: usize = 4096;

/// What the cursor file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Which spool.
    pub spool: SpoolId,
    /// The last sequence that need not be delivered any more; 0: none yet.
    pub watermark: u64,
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
        out[16..24].copy_from_slice(&self.watermark.to_le_bytes());
        let sum = crc32fast::hash(&out[..24]);
        out[24..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a file: the furthest of its cursors, and where the next one goes; `None` when both are damaged.
    pub(super) fn of_file(bytes: &[u8]) -> Option<(Cursor, Place)> {
        // a file that is shorter has no room for the second
        let at = |place: Place| Cursor::decode(bytes.get(place.offset() as usize..)?.get(..PLACE_BYTES)?);
        let found = [Place(false), Place(true)].map(|place| at(place).map(|cursor| (cursor, place.other())));
        found.into_iter().flatten().max_by_key(|(cursor, _)| cursor.watermark)
    }

    fn decode(bytes: &[u8]) -> Option<Cursor> {
        let (body, sum) = bytes.get(..WRITTEN_BYTES)?.split_at(24);
        if body[..8] != MAGIC || crc32fast::hash(body).to_le_bytes() != *sum {
            return None;
        }
        let spool = SpoolId(body[8..16].try_into().ok()?);
        Some(Cursor { spool, watermark: u64::from_le_bytes(body[16..].try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_any_flipped_byte_shows() {
        let cursor = Cursor { spool: SpoolId(*b"12345678"), watermark: 99 };
        let (file, next) = cursor.file();
        assert_eq!(Cursor::of_file(&file), Some((cursor, next)));
        for at in 0..WRITTEN_BYTES {
            let mut flipped = file.clone();
            flipped[at] ^= 4;
            assert_eq!(Cursor::of_file(&flipped), None, "byte {at}");
        }
    }

    #[test]
    fn a_cursor_that_is_written_in_part_leaves_the_one_before() {
        let cursor = |watermark| Cursor { spool: SpoolId(*b"12345678"), watermark };
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
