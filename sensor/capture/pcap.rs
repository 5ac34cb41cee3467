//! The classic pcap format: micro- or nanoseconds, both byte orders, the
//! "modified" record header of old Linux tools, IXIA's longer file header, and lengths in the order of old versions.

use super::file::Next;
use super::{Link, Record};
use crate::limits::FRAME_BYTES_MAX;
use crate::time::Timestamp;

/// Where a record header has the length that was kept, beside the length on the link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    First,
    /// Versions before 2.3, and DG/UX's 543.0.
    Last,
    /// Writers of version 2.3 did both; what was kept is never the longer.
    Shorter,
}

pub(super) struct Pcap {
    big_endian: bool,
    nanos_per_unit: i64,
    record_header: usize,
    lengths: Lengths,
    link: Link,
}

/// A magic number as a big-endian writer puts it, and what it says.
struct Variant {
    magic: u32,
    nanos_per_unit: i64,
    file_header: usize,
    record_header: usize,
}

const fn variant(magic: u32, nanos_per_unit: i64, file_header: usize, record_header: usize) -> Variant {
    Variant { magic, nanos_per_unit, file_header, record_header }
}

static VARIANTS: &[Variant] = &[
    variant(0xA1B2_C3D4, 1_000, 24, 16),
    variant(0xA1B2_3C4D, 1, 24, 16),
    // Kuznetzov's patch: eight more bytes in each record header
    variant(0xA1B2_CD34, 1_000, 24, 24),
    // IXIA's lcap, captured by hardware and by software: the length of all records ends the file header
    variant(0x1C00_01AC, 1, 28, 16),
    variant(0x1C00_01AB, 1_000, 28, 16),
];

impl Pcap {
    /// The first four bytes of all variants, in both byte orders.
    pub(super) fn magics() -> impl Iterator<Item = [u8; 4]> {
        VARIANTS.iter().flat_map(|variant| [variant.magic.to_be_bytes(), variant.magic.to_le_bytes()])
    }

    /// The format and the length of its file header, if one begins here and is all there.
    pub(super) fn recognise(head: &[u8]) -> Option<(Pcap, usize)> {
        let magic = *head.first_chunk::<4>()?;
        let of = |read: fn([u8; 4]) -> u32| VARIANTS.iter().find(|variant| variant.magic == read(magic));
        let (big_endian, variant) =
            of(u32::from_be_bytes).map(|big| (true, big)).or_else(|| Some((false, of(u32::from_le_bytes)?)))?;
        if head.len() < variant.file_header {
            return None;
        }
        let version = match word(head, 4, big_endian) {
            both if big_endian => (both >> 16, both & 0xFFFF),
            both => (both & 0xFFFF, both >> 16),
        };
        let lengths = match version {
            (2, 0..=2) | (543, _) => Lengths::Last,
            (2, 3) => Lengths::Shorter,
            _ => Lengths::First,
        };
        let Variant { nanos_per_unit, record_header, file_header, .. } = *variant;
        // the upper bits say whether frames end with a checksum
        let link = Link(word(head, 20, big_endian) as u16);
        Some((Pcap { big_endian, nanos_per_unit, record_header, lengths, link }, file_header))
    }

    pub(super) fn next(&mut self, bytes: &[u8]) -> Next {
        if bytes.len() < self.record_header {
            return Next::Need(self.record_header);
        }
        let field = |at| word(bytes, at, self.big_endian);
        let (len, length) = match (self.lengths, field(8), field(12)) {
            (Lengths::First, len, length) => (len as usize, length),
            (Lengths::Last, length, len) => (len as usize, length),
            (Lengths::Shorter, one, other) => (one.min(other) as usize, one.max(other)),
        };
        if len > FRAME_BYTES_MAX {
            return Next::Damaged("a record claims more than a frame can be");
        }
        let advance = self.record_header + len;
        if bytes.len() < advance {
            return Next::Need(advance);
        }
        let time = Timestamp::from_parts(i64::from(field(0)), i64::from(field(4)) * self.nanos_per_unit);
        let record = Record { start: self.record_header, len, length: length.max(len as u32), time, link: self.link };
        Next::Frame { advance, record }
    }
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
}

#[cfg(test)]
mod tests {
    use crate::capture::file::Reader;

    fn words(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    fn seen(file: &[u8]) -> (usize, u32, i64) {
        let mut reader = Reader::new(file).expect("a capture");
        let batch = reader.poll(8).expect("readable");
        let frame = batch.frames().next().expect("a frame");
        (frame.bytes.len(), frame.length, frame.time.as_nanos())
    }

    #[test]
    fn ixia_files_have_a_longer_header() {
        for (magic, unit) in [(0x1C00_01AC, 1), (0x1C00_01AB, 1_000)] {
            let mut file = words(&[magic, 2 << 16 | 4, 0, 0, 65_535, 1, 19, 0, 7, 3, 60]);
            file.extend_from_slice(b"abc");
            assert_eq!(seen(&file), (3, 60, 7 * unit));
        }
    }

    #[test]
    fn old_versions_have_the_true_length_first() {
        for (version, lengths) in
            [(2 << 16 | 2, [60, 3]), (543 << 16, [60, 3]), (2 << 16 | 3, [60, 3]), (2 << 16 | 3, [3, 60])]
        {
            let mut file = words(&[0xA1B2_C3D4, version, 0, 0, 65_535, 1, 0, 0, lengths[0], lengths[1]]);
            file.extend_from_slice(b"abc");
            assert_eq!(seen(&file), (3, 60, 0), "version {version:x}");
        }
    }
}
