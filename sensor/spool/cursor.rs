//! The cursor: which spool this is, and up to where the centre has committed. In and out: the 28 bytes of its file,
//! always replaced as a whole. A cursor that cannot be read costs repeats, never a record.

use super::SpoolId;

const MAGIC: [u8; 8] = *b"haetaeCU";

/// What the cursor file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Which spool.
    pub spool: SpoolId,
    /// The last sequence that need not be delivered any more; 0: none yet.
    pub watermark: u64,
}

impl Cursor {
    /// The file's bytes.
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(28);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.spool.0);
        out.extend_from_slice(&self.watermark.to_le_bytes());
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the file's bytes; `None` when they are damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Cursor> {
        let bytes: &[u8; 28] = bytes.try_into().ok()?;
        let (body, sum) = bytes.split_at(24);
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
        let bytes = cursor.encode();
        assert_eq!(Cursor::decode(&bytes), Some(cursor));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert_eq!(Cursor::decode(&flipped), None, "byte {at}");
        }
    }
}
