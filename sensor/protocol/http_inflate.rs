//! `gzip` and `deflate` undone: RFC 1951 within the frames of RFC 1952, RFC 1950, or none.
//!
//! In: coded bytes in pieces of any length. Out: decoded bytes. Several members of gzip, one behind the other, are one
//! body. Never here: a checksum verified.

use flate2::{Decompress, FlushDecompress, Status};

use super::http_coding::{Progress, Trouble};

/// A window of 32 KiB and tables of three codes (miniz_oxide's `InflateState`).
const INFLATE_BYTES: usize = 44 << 10;

/// RFC 1952 section 2.3: CRC-32 and length behind a member.
const GZIP_TRAILER_BYTES: u8 = 8;

/// RFC 1952 section 2.3.1: which parts a gzip header has.
mod flag {
    pub(super) const CRC: u8 = 2;
    pub(super) const EXTRA: u8 = 4;
    pub(super) const NAME: u8 = 8;
    pub(super) const COMMENT: u8 = 16;
}

/// RFC 1950 section 2.2: the header's bit that asks for a dictionary, which HTTP has no way to agree on.
const ZLIB_DICTIONARY: u8 = 0x20;

/// The parts of a gzip header behind its first ten bytes, in their order.
const OPTIONAL_PARTS: [(u8, Place); 4] = [
    (flag::EXTRA, Place::ExtraLen(0, 0)),
    (flag::NAME, Place::Text(flag::NAME)),
    (flag::COMMENT, Place::Text(flag::COMMENT)),
    (flag::CRC, Place::Crc(2)),
];

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// This one of a gzip header's first ten.
    Fixed(u8),
    /// The first or second byte of a length, and what the first said.
    ExtraLen(u8, u8),
    /// One of so many.
    Extra(u16),
    /// A name's or comment's, up to a NUL.
    Text(u8),
    /// One of so many of the header's own checksum.
    Crc(u8),
    /// The first of a `deflate` body.
    ZlibFirst,
    /// Its second, and what the first was.
    ZlibSecond(u8),
    /// Compressed.
    Body,
    /// One of so many behind a member.
    Trailer(u8),
    /// Nothing any more: clients ignore it.
    Ended,
}

/// One decoder.
pub(super) struct Inflate {
    inflate: Decompress,
    place: Place,
    /// What the header at hand says is in it.
    flags: u8,
    /// Members that have ended.
    members: u32,
    gzip: bool,
}

impl Inflate {
    pub(super) fn gzip() -> Self {
        Inflate { inflate: Decompress::new(false), place: Place::Fixed(0), flags: 0, members: 0, gzip: true }
    }

    /// Within zlib's frame as the RFC has it, or without one as some servers send it (RFC 9110 section 8.4.1.2).
    pub(super) fn deflate() -> Self {
        Inflate { place: Place::ZlibFirst, gzip: false, ..Inflate::gzip() }
    }

    pub(super) fn held(&self) -> usize {
        INFLATE_BYTES
    }

    /// Reads on up to the end of `bytes`, of a member, or of the room.
    pub(super) fn step(&mut self, bytes: &[u8], out: &mut [u8]) -> Progress {
        let mut used = 0;
        loop {
            match self.place {
                Place::Ended => return Progress::of(bytes.len(), 0),
                Place::Body => {
                    let body = self.body(bytes.get(used..).unwrap_or_default(), out);
                    return Progress { used: used + body.used, ..body };
                }
                Place::ZlibSecond(first) => {
                    let Some(&second) = bytes.get(used) else { return Progress::of(used, 0) };
                    used += 1;
                    self.place = Place::Body;
                    if !is_zlib(first, second) {
                        return Progress { used, ..self.body(&[first, second], out) };
                    }
                    if second & ZLIB_DICTIONARY != 0 {
                        return Progress::damaged(0);
                    }
                }
                _ => {
                    let Some(&byte) = bytes.get(used) else { return Progress::of(used, 0) };
                    used += 1;
                    if self.frame(byte).is_err() {
                        return Progress::damaged(0);
                    }
                }
            }
        }
    }

    fn body(&mut self, bytes: &[u8], out: &mut [u8]) -> Progress {
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(bytes, out, FlushDecompress::None);
        let used = (self.inflate.total_in() - before_in) as usize;
        let made = (self.inflate.total_out() - before_out) as usize;
        match status {
            Err(_) => return Progress::damaged(made),
            Ok(Status::StreamEnd) => {
                self.members = self.members.saturating_add(1);
                self.place = if self.gzip { Place::Trailer(GZIP_TRAILER_BYTES) } else { Place::Ended };
            }
            Ok(Status::Ok | Status::BufError) => {}
        }
        Progress::of(used, made)
    }

    /// One byte of what stands around compressed bytes.
    fn frame(&mut self, byte: u8) -> Result<(), Trouble> {
        self.place = match self.place {
            Place::Fixed(at) => self.fixed(at, byte)?,
            Place::ExtraLen(0, _) => Place::ExtraLen(1, byte),
            Place::ExtraLen(_, low) => match u16::from_le_bytes([low, byte]) {
                0 => self.behind(flag::EXTRA),
                len => Place::Extra(len),
            },
            Place::Extra(..=1) => self.behind(flag::EXTRA),
            Place::Extra(left) => Place::Extra(left - 1),
            Place::Text(which) if byte == 0 => self.behind(which),
            Place::Crc(..=1) => Place::Body,
            Place::Crc(left) => Place::Crc(left - 1),
            Place::ZlibFirst => Place::ZlibSecond(byte),
            Place::Trailer(..=1) => {
                self.inflate.reset(false);
                Place::Fixed(0)
            }
            Place::Trailer(left) => Place::Trailer(left - 1),
            same => same,
        };
        Ok(())
    }

    /// RFC 1952 section 2.3: two bytes that say gzip, 8 for deflate, flags; the other six say nothing about the body.
    fn fixed(&mut self, at: u8, byte: u8) -> Result<Place, Trouble> {
        let good = match at {
            0 => byte == 0x1f,
            1 => byte == 0x8b,
            2 => byte == 8,
            _ => true,
        };
        match at {
            // padding or another file behind a whole member
            _ if !good && self.members > 0 => return Ok(Place::Ended),
            _ if !good => return Err(Trouble::Damaged),
            3 => self.flags = byte,
            9 => return Ok(self.behind(0)),
            _ => {}
        }
        Ok(Place::Fixed(at + 1))
    }

    /// The header's next part behind this one.
    fn behind(&self, which: u8) -> Place {
        let from = OPTIONAL_PARTS.iter().position(|(part, _)| *part == which).map_or(0, |at| at + 1);
        let next = OPTIONAL_PARTS.iter().skip(from).find(|(part, _)| self.flags & part != 0);
        next.map_or(Place::Body, |(_, place)| *place)
    }
}

/// RFC 1950 section 2.2: method 8, and both bytes together a multiple of 31.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 15 == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}
