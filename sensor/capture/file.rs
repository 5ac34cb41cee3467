//! A capture being read: into one chunk that is used again and again; an input that ends too early is only cut.
//!
//! In: pcap and pcapng, any byte order, from a file, a pipe or an unpacker. Out: batches. An end in the middle of a record,
//! and what else could not be read, is kept as [`Reader::cut`].

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::packed::{Damage, Unpacked};
use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::{Batch, Bytes, Record, foreign};
use crate::limits::{CHUNK_BYTES, DIRECTORY_DEPTH_MAX, FRAME_BYTES_MAX};

/// What a format makes of the bytes at the reading place.
pub(crate) enum Next {
    /// A frame; the reading place moves on by `advance`.
    Frame { advance: usize, record: Record },
    /// Nothing for us; the reading place moves on.
    Skip(usize),
    /// At least this many bytes must be there to go on.
    Need(usize),
    /// So many bytes make no sense, but where they end is certain: reading goes on behind them.
    Lost(usize, &'static str),
    /// What follows makes no sense: reading ends here.
    Damaged(&'static str),
}

/// A capture file format with the state that its headers gave.
enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl Format {
    fn next(&mut self, bytes: &[u8]) -> Next {
        match self {
            Format::Pcap(pcap) => pcap.next(bytes),
            Format::Pcapng(pcapng) => pcapng.next(bytes),
        }
    }

    /// The format whose magic number this is, and the length of its file header.
    fn recognise(head: &[u8]) -> Option<(Format, usize)> {
        if let Some((pcap, header_bytes)) = Pcap::recognise(head) {
            return Some((Format::Pcap(pcap), header_bytes));
        }
        Pcapng::recognise(head).map(|pcapng| (Format::Pcapng(pcapng), 0))
    }

    /// Whether a capture could begin with this, which is all there is.
    fn may_begin(head: &[u8]) -> bool {
        let magic = &head[..head.len().min(4)];
        let pcapng = (head.len() < Pcapng::MAGIC_END).then_some(Pcapng::MAGIC);
        head.is_empty() || Pcap::magics().chain(pcapng).any(|known| known.starts_with(magic))
    }
}

/// The longest file header, IXIA's.
const HEAD_BYTES: usize = 28;

/// What was not read as frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How many bytes of the capture; what could not be unpacked counts as it lies in the file.
    pub bytes: u64,
    /// In words; where there are several, the first.
    pub reason: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// What is left is only counted.
    Draining,
    Ended,
}

/// A capture being read.
pub struct Reader<R> {
    input: R,
    format: Format,
    chunk: Vec<u8>,
    filled: usize,
    at: usize,
    records: Vec<Record>,
    first: u64,
    handed: u64,
    state: State,
    cut: Option<Cut>,
}

impl<R: Read> Reader<R> {
    /// Reads the file header. A capture that has nothing, or only a part of its header, is one that is cut.
    ///
    /// # Errors
    /// What the operating system says; `InvalidData` for a file that is no capture; `WouldBlock` where a header may still
    /// come: a new reader has to begin anew then.
    pub fn new(mut input: R) -> io::Result<Self> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let (filled, damage) = read_head(&mut input, &mut chunk[..HEAD_BYTES])?;
        let head = &chunk[..filled];
        let (format, at, cut) = match (Format::recognise(head), damage) {
            (Some((format, at)), _) => (format, at, None),
            (None, Some(damage)) => (Format::Pcapng(Pcapng::default()), 0, Some(damage.reason)),
            (None, None) if filled == 0 => {
                (Format::Pcapng(Pcapng::default()), 0, Some("nothing came, not even a header"))
            }
            (None, None) if filled < HEAD_BYTES && Format::may_begin(head) => {
                (Format::Pcapng(Pcapng::default()), 0, Some("the file ends inside its header"))
            }
            (None, None) => return Err(io::Error::new(ErrorKind::InvalidData, foreign::refusal(head))),
        };
        let (records, state) = (Vec::new(), State::Reading);
        let mut reader = Reader { input, format, chunk, filled, at, records, first: 1, handed: 0, state, cut: None };
        if let Some(reason) = cut {
            reader.lose(damage.map_or(0, |damage| damage.bytes), reason);
            reader.state = State::Draining;
        }
        Ok(reader)
    }

    /// As [`Reader::new`], of an input that may be packed. For the fuzz targets: captures of the sensor itself come as
    /// [`super::pieces::Piece`]s, which are files.
    ///
    /// # Errors
    /// As [`Reader::new`].
    #[doc(hidden)]
    pub fn unpacking(input: R) -> io::Result<Reader<impl Read>> {
        Reader::new(Unpacked::new(input))
    }

    /// Up to `budget` frames. An empty batch is the end; or, where the input said `WouldBlock`, all there is now.
    ///
    /// # Errors
    /// What the operating system says while reading.
    pub fn poll(&mut self, budget: usize) -> io::Result<Batch<'_>> {
        self.records.clear();
        while self.records.len() < budget && self.state == State::Reading {
            match self.format.next(&self.chunk[self.at..self.filled]) {
                Next::Frame { advance, mut record } => {
                    record.start += self.at;
                    self.records.push(record);
                    self.at += advance;
                }
                Next::Skip(advance) => self.at += advance,
                // what is indexed must stay where it is: hand it out first
                Next::Need(_) if !self.records.is_empty() => break,
                Next::Need(bytes) => {
                    if !self.fill(bytes)? {
                        break;
                    }
                }
                Next::Lost(advance, reason) => {
                    self.lose(advance as u64, reason);
                    self.at += advance;
                }
                Next::Damaged(reason) => self.end(reason),
            }
        }
        if self.state == State::Draining && self.records.is_empty() {
            self.drain()?;
        }
        self.first = self.handed + 1;
        self.handed += self.records.len() as u64;
        Ok(self.batch())
    }

    /// What the last poll gave.
    pub(super) fn batch(&self) -> Batch<'_> {
        Batch { bytes: Bytes::Chunk(&self.chunk), records: &self.records, first: self.first, port: 0 }
    }

    /// How many frames were handed out.
    pub fn handed(&self) -> u64 {
        self.handed
    }

    /// What was not read, if anything; complete at the end.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// Whether the input is at its end.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether a record is half read.
    pub(super) fn is_inside_record(&self) -> bool {
        self.state == State::Reading && self.at < self.filled
    }

    /// Bytes that came in and are not read as frames yet.
    pub(super) fn waiting_bytes(&self) -> u64 {
        (self.filled - self.at) as u64
    }

    pub(super) fn input(&self) -> &R {
        &self.input
    }

    pub(super) fn input_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// Makes at least `bytes` bytes lie at the reading place, or ends. False: there is nothing now.
    fn fill(&mut self, bytes: usize) -> io::Result<bool> {
        self.chunk.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        while self.filled < bytes {
            // a header may claim anything: the chunk grows with what really comes
            if self.filled == self.chunk.len() {
                let larger = (self.chunk.len() * 2).min(FRAME_BYTES_MAX + CHUNK_BYTES);
                self.chunk.resize(larger, 0);
            }
            match self.input.read(&mut self.chunk[self.filled..]) {
                Ok(0) if self.filled == 0 => {
                    self.state = State::Ended;
                    break;
                }
                Ok(0) => {
                    self.end("the file ends inside a record");
                    break;
                }
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    let damage = Damage::in_error(&error).ok_or(error)?;
                    self.lose(damage.bytes, damage.reason);
                    self.end(damage.reason);
                    break;
                }
            }
        }
        Ok(true)
    }

    fn lose(&mut self, bytes: u64, reason: &'static str) {
        self.cut.get_or_insert(Cut { bytes: 0, reason }).bytes += bytes;
    }

    /// Nothing more is read as frames.
    fn end(&mut self, reason: &'static str) {
        self.lose(0, reason);
        self.state = State::Draining;
    }

    /// Counts what is left.
    fn drain(&mut self) -> io::Result<()> {
        loop {
            self.lose((self.filled - self.at) as u64, "");
            (self.at, self.filled) = (0, 0);
            match self.input.read(&mut self.chunk) {
                Ok(0) => break,
                Ok(read) => self.filled = read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    let damage = Damage::in_error(&error).ok_or(error)?;
                    self.lose(damage.bytes, damage.reason);
                }
            }
        }
        self.state = State::Ended;
        Ok(())
    }
}

/// Reads as much of a header as there is: how much it was, and the damage that ended it.
fn read_head(input: &mut impl Read, into: &mut [u8]) -> io::Result<(usize, Option<Damage>)> {
    let mut filled = 0;
    while filled < into.len() {
        match input.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Ok((filled, Some(Damage::in_error(&error).ok_or(error)?))),
        }
    }
    Ok((filled, None))
}

/// The path that means standard input.
pub const STANDARD_INPUT: &str = "-";

/// The capture files that a path means: itself, or every capture below a directory, by name. Files of a directory that
/// are no captures are passed over; a path that was given by name is not.
///
/// # Errors
/// A path that cannot be read.
pub fn captures(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if path != Path::new(STANDARD_INPUT) && path.is_dir() {
        walk(path, 0, &mut found)?;
    } else {
        found.push(path.to_path_buf());
    }
    Ok(found)
}

fn walk(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries =
        std::fs::read_dir(directory)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() && depth < DIRECTORY_DEPTH_MAX {
            walk(&path, depth + 1, found)?;
        } else if path.is_file() && is_capture(&path)? {
            found.push(path);
        }
    }
    Ok(())
}

fn is_capture(path: &Path) -> io::Result<bool> {
    let mut head = [0; HEAD_BYTES];
    let (len, _) = read_head(&mut Unpacked::new(File::open(path)?), &mut head)?;
    Ok(Format::recognise(&head[..len]).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{gzip, pcap, zstd};
    use super::*;

    /// Number, time, bytes.
    type Seen = (u64, i64, Vec<u8>);

    fn read(bytes: impl io::Read, budget: usize) -> (Vec<Seen>, Option<Cut>) {
        let mut reader = Reader::new(bytes).expect("a capture");
        let mut frames = Vec::new();
        loop {
            let batch = reader.poll(budget).expect("readable");
            if batch.is_empty() {
                return (frames, reader.cut().cloned());
            }
            frames.extend(batch.frames().map(|f| (f.number, f.time.as_nanos(), f.bytes.to_vec())));
        }
    }

    #[test]
    fn both_byte_orders_and_both_clocks_say_the_same() {
        let frames: [&[u8]; 3] = [b"one", b"two", b"three"];
        for (magic, big, unit) in [
            ([0xD4, 0xC3, 0xB2, 0xA1], false, 1_000),
            ([0xA1, 0xB2, 0xC3, 0xD4], true, 1_000),
            ([0x4D, 0x3C, 0xB2, 0xA1], false, 1),
            ([0xA1, 0xB2, 0x3C, 0x4D], true, 1),
        ] {
            let (got, cut) = read(&pcap(magic, big, &frames)[..], 2);
            assert_eq!(cut, None);
            assert_eq!(got.len(), 3);
            assert_eq!(got[2], (3, 2_000_000_000 + 7 * unit, b"three".to_vec()));
        }
    }

    #[test]
    fn a_capture_cut_anywhere_gives_every_whole_frame_and_says_so() {
        let whole = pcap([0xD4, 0xC3, 0xB2, 0xA1], false, &[b"one", b"two", b"three"]);
        for end in 24..whole.len() {
            let (got, cut) = read(&whole[..end], 64);
            let full = [24 + 19, 24 + 38].iter().filter(|&&edge| end >= edge).count();
            assert_eq!(got.len(), full, "cut at {end}");
            assert_eq!(cut.is_some(), ![24, 24 + 19, 24 + 38].contains(&end), "cut at {end}");
        }
    }

    #[test]
    fn a_record_larger_than_the_chunk_is_read() {
        let large = vec![7; CHUNK_BYTES * 3];
        let (got, cut) = read(&pcap([0xD4, 0xC3, 0xB2, 0xA1], false, &[b"a", &large, b"b"])[..], 64);
        assert_eq!((got.len(), got[1].2.len(), cut), (3, large.len(), None));
    }

    #[test]
    fn a_hostile_length_ends_the_reading_without_the_memory_it_claims() {
        let mut bytes = pcap([0xD4, 0xC3, 0xB2, 0xA1], false, &[b"a"]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 1, 2, 3]);
        let (got, cut) = read(&bytes[..], 64);
        assert_eq!(got.len(), 1);
        assert_eq!(cut.map(|c| c.bytes), Some(19));
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        assert!(Reader::new(&b"format: haetae/1\nindicators: []\n"[..]).is_err());
        assert!(Reader::new(&b"\x0A\x0D\x0D\x0A\x1C\0\0\0twelve"[..]).is_err());
        let gzip_inside = Reader::new(&b"\x1F\x8B\x08\0"[..]).err().expect("refused");
        assert!(gzip_inside.to_string().contains("compressed twice"), "{gzip_inside}");
    }

    #[test]
    fn a_capture_that_ends_before_its_first_frame_is_no_error() {
        let whole = pcap([0xD4, 0xC3, 0xB2, 0xA1], false, &[]);
        for end in 0..whole.len() {
            let (got, cut) = read(&whole[..end], 64);
            assert_eq!((got.len(), cut.map(|cut| cut.bytes)), (0, Some(end as u64)), "cut at {end}");
        }
        assert_eq!(read(&whole[..], 64), (Vec::new(), None), "a header and nothing behind it is a whole capture");
    }

    #[test]
    fn a_packed_capture_says_what_the_plain_one_says_and_where_it_is_damaged() {
        let frames: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n; 100 + usize::from(n)]).collect();
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let plain = pcap([0xD4, 0xC3, 0xB2, 0xA1], false, &frames);
        for packed in [gzip(&plain), zstd(&plain)] {
            assert!(read(Unpacked::new(&packed[..]), 7) == read(&plain[..], 64));
            let (got, cut) = read(Unpacked::new(&packed[..packed.len() / 2]), 64);
            let (all, _) = read(&plain[..], 64);
            assert!(got.len() < all.len() && got[..] == all[..got.len()]);
            assert!(cut.expect("cut").reason.ends_with("ends in its middle"));
        }
        let mut flipped = gzip(&plain);
        let checksum = flipped.len() - 8;
        flipped[checksum] ^= 1;
        let (got, cut) = read(Unpacked::new(&flipped[..]), 64);
        assert_eq!((got.len(), cut), (200, Some(Cut { bytes: 0, reason: "the gzip data is damaged" })));
        let twice = gzip(&zstd(&plain));
        let refused = Reader::new(Unpacked::new(&twice[..])).err().expect("refused");
        assert_eq!(refused.to_string(), "compressed twice (Zstandard inside): unpack it once");
    }
}
