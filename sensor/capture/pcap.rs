//! The classic pcap format: micro- or nanoseconds, both byte orders, and the "modified" record header of old Linux tools.

use super::file::Next;
use super::{Link, Record};
use crate::limits::FRAME_BYTES_MAX;
use crate::time::Timestamp;

pub(super) struct Pcap {
    big_endian: bool,
    nanos_per_unit: i64,
    record_header: usize,
    link: Link,
}

impl Pcap {
    pub(super) const HEADER_BYTES: usize = 24;

    /// The format, if this is its file header.
    pub(super) fn recognise(head: &[u8; Self::HEADER_BYTES]) -> Option<Pcap> {
        let magic = [head[0], head[1], head[2], head[3]];
        let (big_endian, nanos_per_unit, record_header) = match magic {
            [0xD4, 0xC3, 0xB2, 0xA1] => (false, 1_000, 16),
            [0xA1, 0xB2, 0xC3, 0xD4] => (true, 1_000, 16),
            [0x4D, 0x3C, 0xB2, 0xA1] => (false, 1, 16),
            [0xA1, 0xB2, 0x3C, 0x4D] => (true, 1, 16),
            // Kuznetzov's patch: eight more bytes in each record header
            [0x34, 0xCD, 0xB2, 0xA1] => (false, 1_000, 24),
            [0xA1, 0xB2, 0xCD, 0x34] => (true, 1_000, 24),
            _ => return None,
        };
        let link = word(head, 20, big_endian);
        // the upper bits say whether frames end with a checksum
        Some(Pcap { big_endian, nanos_per_unit, record_header, link: Link(link as u16) })
    }

    pub(super) fn next(&mut self, bytes: &[u8]) -> Next {
        if bytes.len() < self.record_header {
            return Next::Need(self.record_header);
        }
        let field = |at| word(bytes, at, self.big_endian);
        let len = field(8) as usize;
        if len > FRAME_BYTES_MAX {
            return Next::Damaged("a record claims more than a frame can be");
        }
        let advance = self.record_header + len;
        if bytes.len() < advance {
            return Next::Need(advance);
        }
        let time = Timestamp::from_parts(i64::from(field(0)), i64::from(field(4)) * self.nanos_per_unit);
        let record =
            Record { start: self.record_header, len, length: field(12).max(len as u32), time, link: self.link };
        Next::Frame { advance, record }
    }
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
}
