//! The pcapng format: sections, interfaces with their own link type and clock, and three kinds of packet block.
//! Source: IETF draft-ietf-opsawg-pcapng.

use super::file::Next;
use super::{Link, Record};
use crate::limits::{FRAME_BYTES_MAX, INTERFACES_MAX};
use crate::time::Timestamp;

const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: [u8; 4] = [0x1A, 0x2B, 0x3C, 0x4D];
const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

#[derive(Clone, Copy)]
struct Interface {
    link: Link,
    snap: u32,
    units_per_second: u64,
    offset_seconds: i64,
}

#[derive(Default)]
pub(super) struct Pcapng {
    big_endian: bool,
    interfaces: Vec<Interface>,
}

impl Pcapng {
    /// The first four bytes of a section header: the same in both byte orders.
    pub(super) const MAGIC: [u8; 4] = SECTION.to_be_bytes();

    /// The bytes of a section header by which it is known.
    pub(super) const MAGIC_END: usize = 12;

    /// The format, if a section header block begins here.
    pub(super) fn recognise(head: &[u8]) -> Option<Pcapng> {
        let reversed: Vec<u8> = BYTE_ORDER_MAGIC.iter().rev().copied().collect();
        let magic = head.get(8..12)?;
        (head.get(..4)? == SECTION.to_be_bytes() && (magic == BYTE_ORDER_MAGIC || magic == reversed))
            .then(Pcapng::default)
    }

    pub(super) fn next(&mut self, bytes: &[u8]) -> Next {
        if bytes.len() < 12 {
            return Next::Need(12);
        }
        if bytes[..4] == SECTION.to_be_bytes() {
            self.big_endian = bytes[8..12] == BYTE_ORDER_MAGIC;
            if !self.big_endian && bytes[8..12] != [0x4D, 0x3C, 0x2B, 0x1A] {
                return Next::Damaged("a section has no byte order");
            }
            self.interfaces.clear();
        }
        let (kind, total) = (self.word(bytes, 0), self.word(bytes, 4) as usize);
        if !(12..=FRAME_BYTES_MAX).contains(&total) {
            return Next::Damaged("a block has an impossible length");
        }
        // lengths that are no multiple of four occur; their padding is not counted by those who write them
        let advance = total.next_multiple_of(4);
        if bytes.len() < total {
            return Next::Need(total);
        }
        let body = &bytes[8..total - 4];
        let advance = advance.min(bytes.len());
        let found = match kind {
            INTERFACE => return self.interface(body, advance),
            ENHANCED_PACKET => self.enhanced(body),
            OLD_PACKET => self.old(body),
            SIMPLE_PACKET => self.simple(body),
            _ => return Next::Skip(advance),
        };
        match found {
            Some(mut record) => {
                record.start += 8;
                Next::Frame { advance, record }
            }
            // both of a block's lengths agree: where the next one begins is certain
            None if self.word(bytes, total - 4) as usize == total => {
                Next::Lost(advance, "a packet block does not hold what it claims")
            }
            None => Next::Damaged("a packet block does not hold what it claims"),
        }
    }

    fn interface(&mut self, body: &[u8], advance: usize) -> Next {
        if body.len() < 8 || self.interfaces.len() >= INTERFACES_MAX {
            return Next::Damaged("an interface block is short, or one too many");
        }
        let mut interface = Interface {
            link: Link(self.half(body, 0)),
            snap: self.word(body, 4),
            units_per_second: 1_000_000,
            offset_seconds: 0,
        };
        let mut at = 8;
        while at + 4 <= body.len() {
            let (code, len) = (self.half(body, at), usize::from(self.half(body, at + 2)));
            let Some(value) = body.get(at + 4..at + 4 + len) else { break };
            match (code, value) {
                (OPTION_TIME_RESOLUTION, [resolution, ..]) => {
                    interface.units_per_second = units_per_second(*resolution)
                }
                (OPTION_TIME_OFFSET, value) if value.len() == 8 => {
                    let (high, low) = if self.big_endian { (0, 4) } else { (4, 0) };
                    let seconds = u64::from(self.word(value, high)) << 32 | u64::from(self.word(value, low));
                    interface.offset_seconds = seconds as i64;
                }
                (0, _) => break,
                _ => {}
            }
            at += 4 + len.next_multiple_of(4);
        }
        self.interfaces.push(interface);
        Next::Skip(advance)
    }

    fn enhanced(&self, body: &[u8]) -> Option<Record> {
        if body.len() < 20 {
            return None;
        }
        let interface = self.interfaces.get(self.word(body, 0) as usize)?;
        self.packet(body, 20, interface, 4)
    }

    fn old(&self, body: &[u8]) -> Option<Record> {
        if body.len() < 20 {
            return None;
        }
        let interface = self.interfaces.get(usize::from(self.half(body, 0)))?;
        self.packet(body, 20, interface, 4)
    }

    /// A block with the time in two words at `times`, then captured and true length.
    fn packet(&self, body: &[u8], start: usize, interface: &Interface, times: usize) -> Option<Record> {
        let units = u64::from(self.word(body, times)) << 32 | u64::from(self.word(body, times + 4));
        let (len, length) = (self.word(body, times + 8) as usize, self.word(body, times + 12));
        if start.checked_add(len)? > body.len() {
            return None;
        }
        Some(Record { start, len, length: length.max(len as u32), time: interface.time(units), link: interface.link })
    }

    /// A block without a time: it takes the epoch, as no clock may be read for it.
    fn simple(&self, body: &[u8]) -> Option<Record> {
        let interface = self.interfaces.first()?;
        if body.len() < 4 {
            return None;
        }
        let length = self.word(body, 0);
        let snap = if interface.snap == 0 { u32::MAX } else { interface.snap };
        let len = (length.min(snap) as usize).min(body.len() - 4);
        Some(Record { start: 4, len, length, time: Timestamp::default(), link: interface.link })
    }

    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }

    fn half(&self, bytes: &[u8], at: usize) -> u16 {
        let two = [bytes[at], bytes[at + 1]];
        if self.big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) }
    }
}

impl Interface {
    fn time(&self, units: u64) -> Timestamp {
        let seconds = (units / self.units_per_second) as i64;
        let rest = u128::from(units % self.units_per_second) * 1_000_000_000 / u128::from(self.units_per_second);
        Timestamp::from_parts(seconds.saturating_add(self.offset_seconds), rest as i64)
    }
}

/// `if_tsresol`: a power of ten, or of two if the highest bit is set; what 64 bits cannot hold is the finest they can.
fn units_per_second(resolution: u8) -> u64 {
    let power = u32::from(resolution & 0x7F);
    if resolution & 0x80 == 0 { 10u64.checked_pow(power) } else { 2u64.checked_pow(power) }.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::file::Reader;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let mut out = kind.to_le_bytes().to_vec();
        let padded = body.len().next_multiple_of(4);
        let total = (12 + padded) as u32;
        out.extend_from_slice(&total.to_le_bytes());
        out.extend_from_slice(body);
        out.resize(8 + padded, 0);
        out.extend_from_slice(&total.to_le_bytes());
        out
    }

    fn section() -> Vec<u8> {
        block(SECTION, &[0x4D, 0x3C, 0x2B, 0x1A, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255])
    }

    fn words(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn packets_take_link_type_and_clock_of_their_interface() {
        let mut file = section();
        file.extend(block(INTERFACE, &words(&[1, 0])));
        let mut nanos = words(&[101, 0]);
        nanos.extend_from_slice(&[9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(block(INTERFACE, &nanos));
        for interface in [0, 1] {
            let mut body = words(&[interface, 0, 1_000_001, 3, 60]);
            body.extend_from_slice(b"abc");
            file.extend(block(ENHANCED_PACKET, &body));
        }
        let mut reader = Reader::new(&file[..]).expect("pcapng");
        let batch = reader.poll(64).expect("readable");
        let got: Vec<_> = batch.frames().map(|f| (f.link.0, f.time.as_nanos(), f.bytes, f.length)).collect();
        assert_eq!(got, [(1, 1_000_001_000, &b"abc"[..], 60), (101, 1_000_001, &b"abc"[..], 60)]);
    }

    #[test]
    fn a_packet_of_an_unknown_interface_is_lost_and_those_behind_it_are_not() {
        let mut file = section();
        file.extend(block(INTERFACE, &words(&[1, 0])));
        let lost = block(ENHANCED_PACKET, &words(&[3, 0, 0, 0, 0]));
        file.extend(&lost);
        file.extend(block(ENHANCED_PACKET, &words(&[0, 0, 0, 0, 0])));
        let mut reader = Reader::new(&file[..]).expect("pcapng");
        assert_eq!(reader.poll(64).expect("readable").len(), 1);
        assert!(reader.poll(64).expect("readable").is_empty());
        assert_eq!(reader.cut().map(|cut| cut.bytes), Some(lost.len() as u64));
    }

    #[test]
    fn a_block_whose_two_lengths_differ_and_a_section_of_no_byte_order_end_the_reading() {
        let mut lost = block(ENHANCED_PACKET, &words(&[3, 0, 0, 0, 0]));
        let last = lost.len() - 1;
        lost[last] = 1;
        let mut odd = section();
        odd[8] ^= 1;
        for damage in [lost, odd] {
            let file = [section(), block(INTERFACE, &words(&[1, 0])), damage.clone(), section()].concat();
            let mut reader = Reader::new(&file[..]).expect("pcapng");
            assert!(reader.poll(64).expect("readable").is_empty());
            assert_eq!(reader.cut().map(|cut| cut.bytes), Some((damage.len() + section().len()) as u64));
        }
    }

    #[test]
    fn resolutions_are_powers_of_ten_or_two() {
        assert_eq!((units_per_second(6), units_per_second(0x80 | 10)), (1_000_000, 1_024));
        assert_eq!(units_per_second(127), u64::MAX);
    }
}
