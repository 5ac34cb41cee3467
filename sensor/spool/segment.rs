//! Segments: a header and then records, as bytes. In: a segment's bytes. Out: its header and its whole records, damage
//! stepped over. Never here: a file.
//!
//! ```text
//! header   magic 8 | version u32 | spool id 8 | first sequence u64 | crc32 of what is before it u32
//! record   length u32 | crc32 of what is behind it u32 | sequence u64 | records before it in its flush u32 | payload
//! ```
//! Numbers are little-endian. Within a segment sequences rise by one. That a flush begins says that the one before it was done:
//! so a gap before it was promised once, and one in the last flush may never have been. The top bit of the fourth number says that
//! the flush before it had such a gap when this program found it.

use super::SpoolId;
use crate::limits::RECORD_BYTES_MAX;

/// The first bytes of every segment.
const MAGIC: [u8; 8] = *b"haetaeSP";

/// What this program writes; any other is left alone. 1 did not tell flushes apart.
const VERSION: u32 = 2;

/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: usize = 32;

/// Bytes of a record before its payload.
pub(super) const FRAME_BYTES: usize = 20;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The spool it belongs to.
    pub spool: SpoolId,
    /// The sequence of its first record.
    pub first: u64,
}

/// Why bytes are no header of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAHeader {
    /// Shorter than a header, and so far the beginning of one: its writer was interrupted.
    Torn,
    /// Its checksum does not hold.
    Damaged,
    /// Whole, but of a version that this program does not know.
    Version,
}

impl Header {
    /// The header as it stands in the file.
    pub(super) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..20].copy_from_slice(&self.spool.0);
        out[20..28].copy_from_slice(&self.first.to_le_bytes());
        let sum = crc32fast::hash(&out[..28]);
        out[28..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the header at the start of a segment.
    pub(super) fn decode(bytes: &[u8]) -> Result<Header, NotAHeader> {
        let Some((header, _)) = bytes.split_at_checked(HEADER_BYTES) else {
            let known = bytes.len().min(MAGIC.len());
            return Err(if bytes[..known] == MAGIC[..known] { NotAHeader::Torn } else { NotAHeader::Damaged });
        };
        if header[..8] != MAGIC || crc32fast::hash(&header[..28]) != number(header, 28) {
            return Err(NotAHeader::Damaged);
        }
        if number(header, 8) != VERSION {
            return Err(NotAHeader::Version);
        }
        let mut spool = [0; 8];
        spool.copy_from_slice(&header[12..20]);
        Ok(Header { spool: SpoolId(spool), first: sequence(header, 20) })
    }
}

/// Records that are made durable together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flush {
    /// The sequence of the first of them.
    pub first: u64,
    /// Whether the flush before may never have been done.
    pub behind_doubt: bool,
}

/// The top bit of a count of records.
const BEHIND_DOUBT: u32 = 1 << 31;

/// A whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Its sequence.
    pub sequence: u64,
    /// Its flush.
    pub flush: Flush,
    /// Its payload.
    pub payload: &'a [u8],
    /// The offset behind it.
    pub end: usize,
}

/// Appends a record of that flush.
pub(super) fn write_frame(out: &mut Vec<u8>, sequence: u64, flush: Flush, payload: &[u8]) {
    let doubt = if flush.behind_doubt { BEHIND_DOUBT } else { 0 };
    let before = sequence.saturating_sub(flush.first) as u32 | doubt;
    let sum = out.len() + 4;
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&before.to_le_bytes());
    out.extend_from_slice(payload);
    let checked = crc32fast::hash(&out[sum + 4..]).to_le_bytes();
    out[sum..sum + 4].copy_from_slice(&checked);
}

/// The first whole record at or behind `at` whose sequence is above `after`. What lies between is damage.
pub(super) fn next_frame(bytes: &[u8], at: usize, after: u64) -> Option<Frame<'_>> {
    // Behind damage every offset is tried; a sequence that this segment cannot hold is refused before its checksum is
    // worked out, so that the search stays linear.
    let reach = (bytes.len() / FRAME_BYTES) as u64 + 1;
    (at..bytes.len()).find_map(|start| frame_at(bytes, start, after, after.saturating_add(reach)))
}

fn frame_at(bytes: &[u8], start: usize, after: u64, last: u64) -> Option<Frame<'_>> {
    let (frame, rest) = bytes.get(start..)?.split_at_checked(FRAME_BYTES)?;
    let length = number(frame, 0) as usize;
    let sequence = sequence(frame, 8);
    if length > RECORD_BYTES_MAX || sequence <= after || sequence > last {
        return None;
    }
    let payload = rest.get(..length)?;
    let end = start + FRAME_BYTES + length;
    let whole = crc32fast::hash(&bytes[start + 8..end]) == number(frame, 4);
    let before = number(frame, 16);
    let first = sequence.saturating_sub(u64::from(before & !BEHIND_DOUBT));
    let flush = Flush { first, behind_doubt: before & BEHIND_DOUBT != 0 };
    whole.then_some(Frame { sequence, flush, payload, end })
}

/// Four bytes of a header whose length was checked.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Eight bytes of a header whose length was checked.
fn sequence(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { spool: SpoolId(*b"abcdefgh"), first: 7 };

    fn three() -> Vec<u8> {
        let mut out = Vec::new();
        for (sequence, payload) in [(7, "one"), (8, "two"), (9, "three")] {
            write_frame(&mut out, sequence, Flush { first: sequence, behind_doubt: false }, payload.as_bytes());
        }
        out
    }

    fn sequences(bytes: &[u8]) -> Vec<u64> {
        let (mut at, mut after, mut found) = (0, 6, Vec::new());
        while let Some(frame) = next_frame(bytes, at, after) {
            (at, after) = (frame.end, frame.sequence);
            found.push(frame.sequence);
        }
        found
    }

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_shows() {
        let bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes), Ok(HEADER));
        for at in 0..bytes.len() {
            let mut flipped = bytes;
            flipped[at] ^= 1;
            assert_eq!(Header::decode(&flipped), Err(NotAHeader::Damaged), "byte {at}");
        }
        assert_eq!(Header::decode(&bytes[..20]), Err(NotAHeader::Torn));
        assert_eq!(Header::decode(b"MZ"), Err(NotAHeader::Damaged));
    }

    #[test]
    fn records_read_back_in_order() {
        assert_eq!(sequences(&three()), [7, 8, 9]);
    }

    #[test]
    fn one_flipped_byte_costs_one_record() {
        for at in 0..three().len() {
            let mut bytes = three();
            bytes[at] ^= 0x10;
            assert_eq!(sequences(&bytes).len(), 2, "byte {at}");
        }
    }

    #[test]
    fn a_cut_costs_only_what_it_touches() {
        let bytes = three();
        for cut in 0..bytes.len() {
            let whole = [FRAME_BYTES + 3, 2 * (FRAME_BYTES + 3)].iter().filter(|end| cut >= **end).count();
            assert_eq!(sequences(&bytes[..cut]).len(), whole, "cut at {cut}");
        }
    }
}
