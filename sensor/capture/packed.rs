//! Compressed captures: gzip (RFC 1952) and Zstandard (RFC 8878), told by their first bytes and never by a name.
//!
//! In: bytes as they lie in a file or come through a pipe. Out: the capture inside them, as a stream: one member after the
//! other, of any number. What can be unpacked is handed out before the damage behind it is spoken of. A bomb is only a long
//! capture: nothing is held but a window, so no bound on what comes out is needed. Never here: a look at the capture.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

use crate::limits::{PACKED_CHUNK_BYTES, ZSTD_WINDOW_LOG_MAX};

/// The bytes that tell a format.
pub(super) const MAGIC_BYTES: usize = 4;

/// How something is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// By the first bytes. Deflate is the one method that gzip ever had (RFC 1952 section 2.3.1).
    pub(super) fn recognise(head: &[u8]) -> Option<Packing> {
        match *head.first_chunk::<MAGIC_BYTES>()? {
            [0x1F, 0x8B, 8, _] => Some(Packing::Gzip),
            // a frame, or a frame to be skipped, with which parallel writers begin (RFC 8878 section 3.1.2)
            [0x28, 0xB5, 0x2F, 0xFD] | [0x50..=0x5F, 0x2A, 0x4D, 0x18] => Some(Packing::Zstd),
            _ => None,
        }
    }

    fn reason(self, error: &io::Error) -> &'static str {
        let ends = error.kind() == ErrorKind::UnexpectedEof;
        match self {
            Packing::Gzip if ends => "the gzip data ends in its middle",
            Packing::Gzip => "the gzip data is damaged",
            Packing::Zstd if ends => "the Zstandard data ends in its middle",
            Packing::Zstd if error.to_string().contains("too much memory") => {
                "the Zstandard window is larger than 128 MiB: unpack it with zstd -d --long=31"
            }
            Packing::Zstd => "the Zstandard data is damaged",
        }
    }
}

/// Compressed data that makes no sense from here on: inside the [`io::Error`] of a read, after everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) reason: &'static str,
    /// What could not be unpacked, as it lies in the file.
    pub(super) bytes: u64,
}

impl Damage {
    /// The damage that an error speaks of, if it is one.
    pub(super) fn in_error(error: &io::Error) -> Option<Damage> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Damage {}

/// What lies in a file, unpacked if it is packed. An input that has nothing now (`WouldBlock`) can be asked again.
pub(super) struct Unpacked<R> {
    member: Member<R>,
}

enum Member<R> {
    /// Before the first byte.
    Fresh(Window<R>),
    /// Not compressed.
    Plain(Window<R>),
    Gzip(Box<GzDecoder<Window<R>>>),
    Zstd(zstd::Decoder<'static, Window<R>>),
    /// A member is whole, and another may follow.
    Between(Window<R>),
    /// The rest is only counted.
    Damaged(Window<R>, Damage),
    /// All is said.
    Over,
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(input: R) -> Self {
        Unpacked { member: Member::Fresh(Window::new(input)) }
    }

    /// Whether what has been read could be all: no member is half read.
    pub(super) fn is_whole(&self) -> bool {
        match &self.member {
            Member::Plain(_) | Member::Over => true,
            Member::Fresh(window) | Member::Between(window) => window.rest().is_empty(),
            Member::Gzip(_) | Member::Zstd(_) | Member::Damaged(..) => false,
        }
    }

    /// Looks at what begins here. False: nothing does, the input is at its end.
    fn begin(&mut self) -> io::Result<bool> {
        let (window, fresh) = match &mut self.member {
            Member::Fresh(window) => (window, true),
            Member::Between(window) => (window, false),
            _ => return Ok(true),
        };
        let head = window.at_least(MAGIC_BYTES)?;
        let (empty, packing) = (head.is_empty(), Packing::recognise(head));
        if empty {
            return Ok(false);
        }
        let window = self.take_window();
        self.member = match packing {
            Some(Packing::Gzip) => Member::Gzip(Box::new(GzDecoder::new(window))),
            Some(Packing::Zstd) => {
                let mut decoder = zstd::Decoder::with_buffer(window)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Member::Zstd(decoder)
            }
            None if fresh => Member::Plain(window),
            None => Member::Damaged(window, Damage { reason: "what follows the compressed data is none", bytes: 0 }),
        };
        Ok(true)
    }

    fn take_window(&mut self) -> Window<R> {
        match std::mem::replace(&mut self.member, Member::Over) {
            Member::Fresh(window) | Member::Plain(window) | Member::Between(window) | Member::Damaged(window, _) => {
                window
            }
            Member::Gzip(decoder) => decoder.into_inner(),
            Member::Zstd(decoder) => decoder.finish(),
            Member::Over => unreachable!("a window is taken from a member that has one"),
        }
    }

    /// What a decoder's answer means: a member's end, damage, or only an answer.
    fn judge(&mut self, packing: Packing, answer: io::Result<usize>) -> io::Result<Option<usize>> {
        match answer {
            Ok(0) => self.member = Member::Between(self.take_window()),
            Ok(read) => return Ok(Some(read)),
            Err(error) if error.raw_os_error().is_some() || passes(&error) => return Err(error),
            Err(error) => {
                let damage = Damage { reason: packing.reason(&error), bytes: 0 };
                self.member = Member::Damaged(self.take_window(), damage);
            }
        }
        Ok(None)
    }
}

/// An error that says nothing about the data: there is none now, or the reader was told to stop.
fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let judged = match &mut self.member {
                Member::Fresh(_) | Member::Between(_) => {
                    if !self.begin()? {
                        return Ok(0);
                    }
                    None
                }
                Member::Plain(window) => return window.read(into),
                Member::Gzip(decoder) => {
                    let answer = decoder.read(into);
                    self.judge(Packing::Gzip, answer)?
                }
                Member::Zstd(decoder) => {
                    let answer = decoder.read(into);
                    self.judge(Packing::Zstd, answer)?
                }
                Member::Damaged(window, damage) => {
                    damage.bytes += window.skip()?;
                    let damage = *damage;
                    self.member = Member::Over;
                    return Err(io::Error::new(ErrorKind::InvalidData, damage));
                }
                Member::Over => return Ok(0),
            };
            if let Some(read) = judged {
                return Ok(read);
            }
        }
    }
}

/// A buffer that can be asked for some bytes in one piece, which `BufReader` cannot.
struct Window<R> {
    input: R,
    bytes: Box<[u8]>,
    at: usize,
    filled: usize,
    /// Bytes skipped so far by an unfinished [`Window::skip`].
    skipped: u64,
}

impl<R: Read> Window<R> {
    fn new(input: R) -> Self {
        Window { input, bytes: vec![0; PACKED_CHUNK_BYTES].into(), at: 0, filled: 0, skipped: 0 }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..self.filled]
    }

    /// The next bytes: so many, or fewer at the end.
    fn at_least(&mut self, bytes: usize) -> io::Result<&[u8]> {
        if self.rest().len() < bytes {
            self.bytes.copy_within(self.at..self.filled, 0);
            (self.at, self.filled) = (0, self.filled - self.at);
        }
        while self.rest().len() < bytes {
            match self.input.read(&mut self.bytes[self.filled..]) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.rest())
    }

    /// Counts what is left. An input that has nothing now can be asked again.
    fn skip(&mut self) -> io::Result<u64> {
        loop {
            let here = self.fill_buf()?.len();
            if here == 0 {
                return Ok(std::mem::take(&mut self.skipped));
            }
            self.skipped += here as u64;
            self.consume(here);
        }
    }
}

impl<R: Read> Read for Window<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.rest().is_empty() {
            return self.input.read(into);
        }
        let len = into.len().min(self.rest().len());
        into[..len].copy_from_slice(&self.rest()[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<R: Read> BufRead for Window<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.at_least(1)
    }

    fn consume(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.filled);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::samples::{gzip, zstd};
    use super::*;

    /// Text that compresses a little, so that blocks are neither raw nor one run.
    fn text(bytes: usize) -> Vec<u8> {
        let line = |n: usize| format!("{n} {}\n", n.wrapping_mul(2_654_435_761) % 1_000_003);
        (0..).flat_map(|n| line(n).into_bytes()).take(bytes).collect()
    }

    fn unpacked(bytes: &[u8]) -> (Vec<u8>, Option<Damage>) {
        let (mut out, mut unpacked) = (Vec::new(), Unpacked::new(bytes));
        let damage = unpacked.read_to_end(&mut out).err().map(|error| Damage::in_error(&error).expect("damage"));
        assert_eq!(unpacked.read(&mut [0; 8]).expect("the end"), 0);
        (out, damage)
    }

    #[test]
    fn members_of_both_kinds_follow_each_other() {
        let (one, two) = (text(100_000), text(300_000));
        let skipped = [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let packed = [zstd(&one), gzip(&two), skipped.to_vec(), gzip(b""), zstd(b"end")].concat();
        assert!(unpacked(&packed) == ([one, two, b"end".to_vec()].concat(), None));
        assert_eq!(unpacked(b"plain bytes"), (b"plain bytes".to_vec(), None));
        assert_eq!(unpacked(b""), (Vec::new(), None));
        assert_eq!(unpacked(b"\x1F\x8B"), (b"\x1F\x8B".to_vec(), None), "too short to be told");
    }

    #[test]
    fn what_is_cut_anywhere_gives_all_before_the_cut_and_says_so() {
        let whole = text(20_000);
        for packed in [gzip(&whole), zstd(&whole)] {
            for end in MAGIC_BYTES..packed.len() {
                let (got, damage) = unpacked(&packed[..end]);
                assert!(whole.starts_with(&got), "cut at {end}");
                assert!(damage.expect("a cut is said").reason.ends_with("ends in its middle"), "cut at {end}");
            }
        }
    }

    #[test]
    fn what_is_damaged_anywhere_is_told_and_what_could_not_be_unpacked_is_counted() {
        let whole = text(20_000);
        for (at_first, packed) in [(10, gzip(&whole)), (6, zstd(&whole))] {
            for at in at_first..packed.len() {
                let mut damaged = packed.clone();
                damaged[at] ^= 0x10;
                let (got, damage) = unpacked(&damaged);
                let told = damage.is_some_and(|damage| damage.bytes <= packed.len() as u64);
                // a few bits behind the last code of deflate stand for nothing
                assert!(told || got == whole, "byte {at}");
            }
        }
        let (got, damage) = unpacked(&[gzip(b"a capture"), b"and more".to_vec()].concat());
        assert_eq!((got, damage.map(|damage| damage.bytes)), (b"a capture".to_vec(), Some(8)));
    }

    #[test]
    fn a_window_that_would_fill_memory_is_refused_by_name() {
        // a frame header that asks for 2^31 bytes (RFC 8878 section 3.1.1.1.2), and one raw block
        let (got, damage) = unpacked(&[0x28, 0xB5, 0x2F, 0xFD, 0, 21 << 3, 9, 0, 0, 1]);
        assert_eq!(got, b"");
        assert!(damage.expect("refused").reason.contains("128 MiB"));
    }

    /// Bytes that come in pieces, with nothing between them.
    struct Dripping(VecDeque<Vec<u8>>);

    impl Read for Dripping {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(mut piece) = self.0.pop_front() else { return Ok(0) };
            if piece.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let len = piece.len().min(into.len());
            into[..len].copy_from_slice(&piece[..len]);
            if len < piece.len() {
                self.0.push_front(piece.split_off(len));
            }
            Ok(len)
        }
    }

    #[test]
    fn an_input_that_has_nothing_now_is_asked_again_and_loses_nothing() {
        let whole = text(5_000);
        for packed in [[gzip(&whole), gzip(b"end")].concat(), [zstd(&whole), zstd(b"end")].concat()] {
            let pieces = packed.chunks(7).flat_map(|piece| [piece.to_vec(), Vec::new()]).collect();
            let (mut unpacked, mut got, mut waits) = (Unpacked::new(Dripping(pieces)), Vec::new(), 0);
            loop {
                match unpacked.read_to_end(&mut got) {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
                waits += 1;
            }
            assert!(got == [&whole[..], b"end"].concat() && waits > 100);
        }
    }
}
