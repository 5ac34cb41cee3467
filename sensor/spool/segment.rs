//! Segments: a header and then records, as bytes. In: a segment's bytes. Out: its header and its whole records, damage
//! stepped over. Never here: a file.
//!
//! ```text
//! header   magic 8 | version u32 | spool id 8 | first sequence u64 | attempt u32 | prepared bytes u32 | time u64 | link u32 | crc32 u32
//! record   length u32 | crc32 u32 | sequence u64 | time u64 | records before it in its flush u32 | link u32 | payload
//! ```
//! Numbers are little-endian, times milliseconds since 1970. Within a segment sequences rise by one. That a flush begins says that
//! the one before it was done: so a gap before it was promised once, and one in the last flush may never have been. The top bit of
//! the count of records says that the flush before it had such a gap when this program found it.
//!
//! A record's checksum covers the spool's id and all that is behind the checksum; the link is the checksum of the record before it
//! in the lane, and of the first one the spool's id. So a record of another spool is damage, and where one was put in, taken out or
//! is of another time than its neighbours, a link breaks. A header's checksum covers what is before it; `prepared` says how long the
//! file was made before it was written to, 0 if it grew: it has that length until it is full, and then ends with its last record.
//!
//! Version 2 had no attempt, prepared bytes, time and link; its records had no time and no link, and their checksums no id. Version
//! 1 did not tell flushes apart.

use super::SpoolId;
use crate::limits::RECORD_BYTES_MAX;

/// The first bytes of every segment.
const MAGIC: [u8; 8] = *b"haetaeSP";

/// What this program writes.
pub(super) const VERSION: u32 = 3;

/// What it can read beside that; any other is left alone.
const VERSION_BEFORE: u32 = 2;

/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: usize = 52;

/// Bytes of the header of the version before.
const HEADER_BYTES_BEFORE: usize = 32;

/// Bytes of a record before its payload.
pub(super) const FRAME_BYTES: usize = 32;

/// Bytes of a record of the version before, without its payload.
const FRAME_BYTES_BEFORE: usize = 20;

/// The top bit of a count of records.
const BEHIND_DOUBT: u32 = 1 << 31;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The spool it belongs to.
    pub spool: SpoolId,
    /// The sequence of its first record.
    pub first: u64,
    /// How many segments began with that record before it; `None`: it does not say.
    pub attempt: Option<u32>,
    /// How long its file was made before the first record; 0: it grew with them.
    pub prepared: u32,
    /// When it was begun; 0: it does not say.
    pub time: u64,
    /// The checksum of the record before its first; `None`: it does not say.
    pub link: Option<u32>,
}

/// Why bytes are no header of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAHeader {
    /// Shorter than a header, and so far the beginning of one, or nothing but zeroes: its writer was interrupted.
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
        out[28..32].copy_from_slice(&self.attempt.unwrap_or_default().to_le_bytes());
        out[32..36].copy_from_slice(&self.prepared.to_le_bytes());
        out[36..44].copy_from_slice(&self.time.to_le_bytes());
        out[44..48].copy_from_slice(&self.link.unwrap_or_default().to_le_bytes());
        let sum = crc32fast::hash(&out[..48]);
        out[48..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the header at the start of a segment, and how its records are laid out.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Header, Layout), NotAHeader> {
        let known = bytes.len().min(MAGIC.len());
        let start = &bytes[..bytes.len().min(HEADER_BYTES)];
        let torn = bytes[..known] == MAGIC[..known] || start.iter().all(|byte| *byte == 0);
        let short = if torn { NotAHeader::Torn } else { NotAHeader::Damaged };
        let version = number(bytes, 8);
        let length = if version == VERSION_BEFORE { HEADER_BYTES_BEFORE } else { HEADER_BYTES };
        let Some((header, _)) = bytes.split_at_checked(length) else { return Err(short) };
        if header[..8] != MAGIC {
            return Err(short);
        }
        if crc32fast::hash(&header[..length - 4]) != number(header, length - 4) {
            return Err(if is_whole_of_another(bytes) { NotAHeader::Version } else { NotAHeader::Damaged });
        }
        let mut spool = [0; 8];
        spool.copy_from_slice(&header[12..20]);
        let (spool, first) = (SpoolId(spool), long(header, 20));
        match version {
            VERSION => {
                let (attempt, prepared) = (Some(number(header, 28)), number(header, 32));
                let (time, link) = (long(header, 36), Some(number(header, 44)));
                Ok((Header { spool, first, attempt, prepared, time, link }, Layout::of(spool)))
            }
            VERSION_BEFORE => {
                let header = Header { spool, first, attempt: None, prepared: 0, time: 0, link: None };
                Ok((header, Layout { version, seed: 0 }))
            }
            _ => Err(NotAHeader::Version),
        }
    }
}

/// A header whose checksum stands where another version has it: all of them have it behind so many numbers of four bytes.
fn is_whole_of_another(bytes: &[u8]) -> bool {
    let mut ends = (28..=128).step_by(4);
    ends.any(|end| bytes.get(..end).is_some_and(|head| crc32fast::hash(head) == number(bytes, end)))
}

/// How the records of a segment are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    version: u32,
    /// Where checksums begin.
    seed: u32,
}

impl Layout {
    /// Of what is written now.
    pub(super) fn of(spool: SpoolId) -> Layout {
        Layout { version: VERSION, seed: crc32fast::hash(&spool.0) }
    }

    /// What a segment may be whose header does not hold.
    pub(super) fn any(spool: SpoolId) -> [Layout; 2] {
        [Layout::of(spool), Layout { version: VERSION_BEFORE, seed: 0 }]
    }

    /// What the very first record of a spool is linked to.
    pub(super) fn beginning(self) -> u32 {
        self.seed
    }

    pub(super) fn header_bytes(self) -> usize {
        if self.version == VERSION { HEADER_BYTES } else { HEADER_BYTES_BEFORE }
    }

    fn frame_bytes(self) -> usize {
        if self.version == VERSION { FRAME_BYTES } else { FRAME_BYTES_BEFORE }
    }

    fn sum(self, covered: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.seed);
        hasher.update(covered);
        hasher.finalize()
    }

    /// The first whole record at or behind `at` whose sequence is above `after`. What lies between is damage.
    pub(super) fn next_frame(self, bytes: &[u8], at: usize, after: u64) -> Option<Frame<'_>> {
        // Behind damage every offset is tried; a sequence that this segment cannot hold is refused before its checksum is
        // worked out, so that the search stays linear.
        let reach = (bytes.len() / self.frame_bytes()) as u64 + 1;
        (at..bytes.len()).find_map(|start| self.frame_at(bytes, start, after, after.saturating_add(reach)))
    }

    /// All whole records behind `at` whose sequences are above `after`.
    pub(super) fn frames(self, bytes: &[u8], at: usize, after: u64) -> impl Iterator<Item = Frame<'_>> {
        let mut place = (at, after);
        std::iter::from_fn(move || {
            let frame = self.next_frame(bytes, place.0, place.1)?;
            place = (frame.end, frame.sequence);
            Some(frame)
        })
    }

    fn frame_at(self, bytes: &[u8], start: usize, after: u64, last: u64) -> Option<Frame<'_>> {
        let (frame, rest) = bytes.get(start..)?.split_at_checked(self.frame_bytes())?;
        let length = number(frame, 0) as usize;
        let sequence = long(frame, 8);
        if length > RECORD_BYTES_MAX || sequence <= after || sequence > last {
            return None;
        }
        let payload = rest.get(..length)?;
        let (end, sum) = (start + frame.len() + length, number(frame, 4));
        if self.sum(&bytes[start + 8..end]) != sum {
            return None;
        }
        let is_new = self.version == VERSION;
        let (time, link) = (is_new.then(|| long(frame, 16)), is_new.then(|| number(frame, 28)));
        let before = number(frame, if is_new { 24 } else { 16 });
        let first = sequence.saturating_sub(u64::from(before & !BEHIND_DOUBT));
        let flush = Flush { first, behind_doubt: before & BEHIND_DOUBT != 0 };
        Some(Frame { start, sequence, flush, time, link, sum, payload, end })
    }

    /// Appends a record of that flush; gives its checksum.
    pub(super) fn write_frame(self, out: &mut Vec<u8>, written: Written, payload: &[u8]) -> u32 {
        let Written { sequence, flush, time, link } = written;
        let doubt = if flush.behind_doubt { BEHIND_DOUBT } else { 0 };
        let before = sequence.saturating_sub(flush.first) as u32 | doubt;
        let sum = out.len() + 4;
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&time.to_le_bytes());
        out.extend_from_slice(&before.to_le_bytes());
        out.extend_from_slice(&link.to_le_bytes());
        out.extend_from_slice(payload);
        let checked = self.sum(&out[sum + 4..]);
        out[sum..sum + 4].copy_from_slice(&checked.to_le_bytes());
        checked
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

/// What stands before a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub sequence: u64,
    pub flush: Flush,
    /// When it was appended.
    pub time: u64,
    /// The checksum of the record before it.
    pub link: u32,
}

/// A whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Its offset.
    pub start: usize,
    /// Its sequence.
    pub sequence: u64,
    /// Its flush.
    pub flush: Flush,
    /// When it was appended; the version before did not say.
    pub time: Option<u64>,
    /// The checksum of the record before it; the version before did not say.
    pub link: Option<u32>,
    /// Its own checksum.
    pub sum: u32,
    /// Its payload.
    pub payload: &'a [u8],
    /// The offset behind it.
    pub end: usize,
}

/// What is there behind the last record: rubbish up to its last byte that is not zero. A prepared file ends with zeroes.
pub(super) fn rubbish_bytes(tail: &[u8]) -> usize {
    tail.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
}

/// Four bytes, 0 where there are none.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Eight bytes, 0 where there are none.
fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// A segment as the version before wrote it; tests of reading it need some.
#[cfg(test)]
pub(super) fn of_the_version_before(spool: SpoolId, first: u64, payloads: &[&[u8]]) -> Vec<u8> {
    let mut out = [&MAGIC[..], &VERSION_BEFORE.to_le_bytes(), &spool.0, &first.to_le_bytes()].concat();
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    for (sequence, payload) in (first..).zip(payloads) {
        let covered = [&sequence.to_le_bytes()[..], &0_u32.to_le_bytes(), payload].concat();
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&covered).to_le_bytes());
        out.extend_from_slice(&covered);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOOL: SpoolId = SpoolId(*b"abcdefgh");
    const HEADER: Header =
        Header { spool: SPOOL, first: 7, attempt: Some(1), prepared: 4096, time: 1_795_000_000_000, link: Some(99) };

    fn three(spool: SpoolId) -> Vec<u8> {
        let (mut out, layout, mut link) = (Vec::new(), Layout::of(spool), 5);
        for (sequence, payload) in [(7, "one"), (8, "two"), (9, "three")] {
            let flush = Flush { first: sequence, behind_doubt: false };
            link = layout.write_frame(&mut out, Written { sequence, flush, time: 3, link }, payload.as_bytes());
        }
        out
    }

    fn frames(bytes: &[u8]) -> Vec<Frame<'_>> {
        let (mut at, mut after, mut found) = (0, 6, Vec::new());
        while let Some(frame) = Layout::of(SPOOL).next_frame(bytes, at, after) {
            (at, after) = (frame.end, frame.sequence);
            found.push(frame);
        }
        found
    }

    fn sequences(bytes: &[u8]) -> Vec<u64> {
        frames(bytes).iter().map(|frame| frame.sequence).collect()
    }

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_shows() {
        let bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes), Ok((HEADER, Layout::of(SPOOL))));
        for at in 0..bytes.len() {
            let mut flipped = bytes;
            flipped[at] ^= 1;
            assert_eq!(Header::decode(&flipped), Err(NotAHeader::Damaged), "byte {at}");
        }
        assert_eq!(Header::decode(&bytes[..20]), Err(NotAHeader::Torn));
        assert_eq!(Header::decode(&[0; 60]), Err(NotAHeader::Torn), "prepared, and never written to");
        assert_eq!(Header::decode(b"MZ"), Err(NotAHeader::Damaged));
    }

    #[test]
    fn a_whole_header_of_another_version_is_known_as_one_wherever_its_checksum_stands() {
        for (version, length) in [(1_u32, 32), (4, 52), (4, 64), (9, 88)] {
            let mut bytes = vec![7; length + 40];
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let sum = crc32fast::hash(&bytes[..length - 4]).to_le_bytes();
            bytes[length - 4..length].copy_from_slice(&sum);
            assert_eq!(Header::decode(&bytes), Err(NotAHeader::Version), "version {version}, {length} bytes");
        }
    }

    #[test]
    fn a_segment_of_the_version_before_is_read() {
        let bytes = of_the_version_before(SPOOL, 7, &[b"one", b"two"]);
        let (header, layout) = Header::decode(&bytes).unwrap();
        assert_eq!((header.spool, header.first, header.link), (SPOOL, 7, None));
        let one = layout.next_frame(&bytes, layout.header_bytes(), 6).unwrap();
        let two = layout.next_frame(&bytes, one.end, 7).unwrap();
        assert_eq!((one.payload, two.payload, two.sequence), (&b"one"[..], &b"two"[..], 8));
        assert_eq!((two.time, two.link, two.end), (None, None, bytes.len()));
    }

    #[test]
    fn records_read_back_in_order_each_linked_to_the_one_before() {
        let bytes = three(SPOOL);
        let found = frames(&bytes);
        assert_eq!(sequences(&bytes), [7, 8, 9]);
        let links: Vec<_> = found.iter().map(|frame| frame.link.unwrap()).collect();
        assert_eq!(links, [5, found[0].sum, found[1].sum]);
    }

    #[test]
    fn a_record_of_another_spool_is_none() {
        assert!(sequences(&three(SpoolId(*b"another1"))).is_empty());
    }

    #[test]
    fn one_flipped_byte_costs_one_record() {
        for at in 0..three(SPOOL).len() {
            let mut bytes = three(SPOOL);
            bytes[at] ^= 0x10;
            assert_eq!(sequences(&bytes).len(), 2, "byte {at}");
        }
    }

    #[test]
    fn a_cut_costs_only_what_it_touches() {
        let bytes = three(SPOOL);
        for cut in 0..bytes.len() {
            let whole = [FRAME_BYTES + 3, 2 * (FRAME_BYTES + 3)].iter().filter(|end| cut >= **end).count();
            assert_eq!(sequences(&bytes[..cut]).len(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn zeroes_behind_the_last_record_are_no_rubbish() {
        assert_eq!([&b""[..], &[0; 9], &[0, 3, 0, 0]].map(rubbish_bytes), [0, 0, 2]);
    }
}
