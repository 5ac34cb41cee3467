//! JA3 and JA3S: decimal lists of what a hello offers or chooses, and the MD5 over them.
//!
//! In: a hello's parameters, number by number. Out: the line and its digest in hexadecimal. Never here: a heap.

use md5::{Digest, Md5};

use crate::limits::JA3_LINE_BYTES_MAX;

/// The line being written. One that outgrows its room is still digested to its end, but no longer shown.
pub struct Ja3 {
    room: [u8; JA3_LINE_BYTES_MAX],
    len: usize,
    digest: Md5,
    outgrown: bool,
    /// Whether a number of the current list was already written.
    within: bool,
}

impl Ja3 {
    /// An empty line.
    pub fn new() -> Self {
        Ja3 { room: [0; JA3_LINE_BYTES_MAX], len: 0, digest: Md5::new(), outgrown: false, within: false }
    }

    /// One more number of the current list.
    pub fn number(&mut self, value: u16) {
        if self.within {
            self.push(b'-');
        }
        self.within = true;
        let mut divisor = 10_000;
        while divisor > 1 && value < divisor {
            divisor /= 10;
        }
        while divisor > 0 {
            self.push(b'0' + (value / divisor % 10) as u8);
            divisor /= 10;
        }
    }

    /// A list of 16-bit numbers; GREASE (RFC 8701) is left out. An odd last byte is no number.
    pub fn numbers(&mut self, list: &[u8]) {
        for pair in list.chunks_exact(2) {
            if let Ok(pair) = <[u8; 2]>::try_from(pair) {
                self.unless_grease(u16::from_be_bytes(pair));
            }
        }
    }

    /// One more number unless it is GREASE.
    pub fn unless_grease(&mut self, value: u16) {
        if !is_grease(value) {
            self.number(value);
        }
    }

    /// Ends the current list and begins the next.
    pub fn next(&mut self) {
        self.within = false;
        self.push(b',');
    }

    /// The digest in lower-case hexadecimal, and the line if it had room.
    pub fn finish(&mut self, hex: &mut [u8; 32]) -> Option<&[u8]> {
        self.digest.update(&self.room[..self.len]);
        let digest = self.digest.finalize_reset();
        for (pair, byte) in hex.chunks_exact_mut(2).zip(digest.iter()) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        if self.outgrown { None } else { self.room.get(..self.len) }
    }

    fn push(&mut self, byte: u8) {
        if self.len == self.room.len() {
            self.digest.update(self.room);
            self.outgrown = true;
            self.len = 0;
        }
        self.room[self.len] = byte;
        self.len += 1;
    }
}

/// Whether a number is one of those that mean nothing, on purpose (RFC 8701 section 2).
pub(super) fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// One digit of lower-case hexadecimal.
pub(super) fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_joined_and_grease_is_left_out() {
        let mut line = Ja3::new();
        line.number(771);
        line.next();
        line.numbers(&[0x13, 0x01, 0x0a, 0x0a, 0xc0, 0x2b, 0xff]);
        line.next();
        line.numbers(&[0xfa, 0xfa, 0x00, 0x00]);
        line.next();
        line.next();
        let mut hex = [0; 32];
        assert_eq!(line.finish(&mut hex), Some(&b"771,4865-49195,0,,"[..]));
        assert_eq!(&hex, b"4022d423db332728a37c8de677d5c557".as_slice().first_chunk().unwrap());
    }

    #[test]
    fn a_line_that_outgrows_its_room_keeps_its_digest_only() {
        let list = [0x30, 0x39].repeat(5_000);
        let mut line = Ja3::new();
        line.numbers(&list);
        let mut hex = [0; 32];
        assert_eq!(line.finish(&mut hex), None);
        let whole = vec!["12345"; 5_000].join("-");
        let expected: String = Md5::digest(whole).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, *expected.as_bytes());
    }
}
