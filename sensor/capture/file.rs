//! Capture files, read into one chunk that is used again and again; a file that shrinks while it is read is only cut.
//!
//! In: pcap and pcapng, any byte order. Out: batches. A file's end in the middle of a record is kept as [`Reader::cut`].

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::{Batch, Record};
use crate::limits::{CHUNK_BYTES, DIRECTORY_DEPTH_MAX, FRAME_BYTES_MAX};

/// What a format makes of the bytes at the reading place.
pub(crate) enum Next {
    /// A frame; the reading place moves on by `advance`.
    Frame { advance: usize, record: Record },
    /// Nothing for us; the reading place moves on.
    Skip(usize),
    /// At least this many bytes must be there to go on.
    Need(usize),
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
    fn recognise(head: &[u8; HEAD_BYTES], len: usize) -> Option<(Format, usize)> {
        if len >= Pcap::HEADER_BYTES
            && let Some(pcap) = Pcap::recognise(head)
        {
            return Some((Format::Pcap(pcap), Pcap::HEADER_BYTES));
        }
        Pcapng::recognise(head).map(|pcapng| (Format::Pcapng(pcapng), 0))
    }
}

const HEAD_BYTES: usize = 24;

/// Why reading ended before the file's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How many bytes of the file were not read as frames.
    pub bytes: u64,
    /// In words.
    pub reason: &'static str,
}

/// A capture being read.
pub struct Reader<R> {
    input: R,
    format: Format,
    chunk: Vec<u8>,
    filled: usize,
    at: usize,
    records: Vec<Record>,
    handed: u64,
    ended: bool,
    cut: Option<Cut>,
}

impl<R: Read> Reader<R> {
    /// Reads the file header.
    ///
    /// # Errors
    /// What the operating system says; `InvalidData` for a file that is no capture.
    pub fn new(mut input: R) -> io::Result<Self> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let filled = read_full(&mut input, &mut chunk[..HEAD_BYTES])?;
        let mut head = [0; HEAD_BYTES];
        head.copy_from_slice(&chunk[..HEAD_BYTES]);
        let (format, at) = Format::recognise(&head, filled)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a capture file (pcap or pcapng)"))?;
        Ok(Reader { input, format, chunk, filled, at, records: Vec::new(), handed: 0, ended: false, cut: None })
    }

    /// Up to `budget` frames; an empty batch is the end.
    ///
    /// # Errors
    /// What the operating system says while reading.
    pub fn poll(&mut self, budget: usize) -> io::Result<Batch<'_>> {
        self.records.clear();
        while self.records.len() < budget && !self.ended {
            match self.format.next(&self.chunk[self.at..self.filled]) {
                Next::Frame { advance, mut record } => {
                    record.start += self.at;
                    self.records.push(record);
                    self.at += advance;
                }
                Next::Skip(advance) => self.at += advance,
                // what is indexed must stay where it is: hand it out first
                Next::Need(_) if !self.records.is_empty() => break,
                Next::Need(bytes) => self.fill(bytes)?,
                Next::Damaged(reason) => self.end(reason)?,
            }
        }
        let first = self.handed + 1;
        self.handed += self.records.len() as u64;
        Ok(Batch { chunk: &self.chunk, records: &self.records, first })
    }

    /// How many frames were handed out.
    pub fn handed(&self) -> u64 {
        self.handed
    }

    /// Why reading ended early, if it did.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// Makes at least `bytes` bytes lie at the reading place, or ends.
    fn fill(&mut self, bytes: usize) -> io::Result<()> {
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
                    self.ended = true;
                    return Ok(());
                }
                Ok(0) => return self.end("the file ends inside a record"),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn end(&mut self, reason: &'static str) -> io::Result<()> {
        let rest = io::copy(&mut self.input, &mut io::sink())?;
        self.cut = Some(Cut { bytes: (self.filled - self.at) as u64 + rest, reason });
        self.ended = true;
        Ok(())
    }
}

/// A file with the length that all who read it agree on: one that still grows must end at the same frame for each worker.
#[derive(Clone, Debug)]
pub struct Piece {
    path: PathBuf,
    bytes: u64,
}

impl Piece {
    /// The file as long as it is now; what has no length (a pipe) as long as it will be.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn measured(path: &Path) -> io::Result<Piece> {
        let now = std::fs::metadata(path)?;
        Ok(Piece { path: path.to_path_buf(), bytes: if now.is_file() { now.len() } else { u64::MAX } })
    }

    fn open(&self) -> Result<Reader<io::Take<File>>, (PathBuf, io::Error)> {
        let reader = File::open(&self.path).and_then(|file| Reader::new(file.take(self.bytes)));
        reader.map_err(|error| (self.path.clone(), error))
    }
}

/// One capture in one file, or in rotated pieces that are read as one.
pub struct Pieces {
    rest: VecDeque<Piece>,
    path: PathBuf,
    reader: Reader<io::Take<File>>,
    before: u64,
    cuts: Vec<(PathBuf, Cut)>,
}

impl Pieces {
    /// Opens the first piece.
    ///
    /// # Errors
    /// See [`Reader::new`], with the path; an empty list is `InvalidInput`.
    pub fn open(pieces: &[Piece]) -> Result<Self, (PathBuf, io::Error)> {
        let mut rest: VecDeque<Piece> = pieces.iter().cloned().collect();
        let first = rest.pop_front().ok_or_else(|| (PathBuf::new(), io::ErrorKind::InvalidInput.into()))?;
        let reader = first.open()?;
        Ok(Pieces { rest, path: first.path, reader, before: 0, cuts: Vec::new() })
    }

    /// Goes on to the next piece where one is at its end. False: all are read.
    ///
    /// # Errors
    /// The piece that cannot be opened.
    pub fn advance(&mut self) -> Result<bool, (PathBuf, io::Error)> {
        self.cuts.extend(self.reader.cut().map(|cut| (self.path.clone(), cut.clone())));
        let Some(next) = self.rest.pop_front() else { return Ok(false) };
        self.before += self.reader.handed();
        self.reader = next.open()?;
        self.path = next.path;
        Ok(true)
    }

    /// See [`Reader::poll`]; an empty batch is the end of this piece.
    ///
    /// # Errors
    /// What the operating system says, with the path.
    pub fn poll(&mut self, budget: usize) -> Result<Batch<'_>, (PathBuf, io::Error)> {
        let (before, path) = (self.before, &self.path);
        let batch = self.reader.poll(budget).map_err(|error| (path.clone(), error))?;
        Ok(Batch { first: batch.first + before, ..batch })
    }

    /// Where reading ended early, piece by piece; complete once all is read.
    pub fn into_cuts(self) -> Vec<(PathBuf, Cut)> {
        self.cuts
    }
}

fn read_full(input: &mut impl Read, mut into: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while !into.is_empty() {
        match input.read(into) {
            Ok(0) => break,
            Ok(n) => {
                read += n;
                into = &mut into[n..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The capture files that a path means: itself, or every capture below a directory, by name. Files of a directory that
/// are no captures are passed over; a path that was given by name is not.
///
/// # Errors
/// A path that cannot be read.
pub fn captures(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if path.is_dir() {
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
    let len = read_full(&mut File::open(path)?, &mut head)?;
    Ok(Format::recognise(&head, len).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcap(magic: [u8; 4], big: bool, frames: &[&[u8]]) -> Vec<u8> {
        let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut out = magic.to_vec();
        for value in [if big { 0x0002_0004 } else { 0x0004_0002 }, 0, 0, 65_535, 1] {
            out.extend_from_slice(&word(value));
        }
        for (second, frame) in frames.iter().enumerate() {
            for value in [second as u32, 7, frame.len() as u32, frame.len() as u32] {
                out.extend_from_slice(&word(value));
            }
            out.extend_from_slice(frame);
        }
        out
    }

    /// Number, time, bytes.
    type Read = (u64, i64, Vec<u8>);

    fn read(bytes: &[u8], budget: usize) -> (Vec<Read>, Option<Cut>) {
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
            let (got, cut) = read(&pcap(magic, big, &frames), 2);
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
        let (got, cut) = read(&pcap([0xD4, 0xC3, 0xB2, 0xA1], false, &[b"a", &large, b"b"]), 64);
        assert_eq!((got.len(), got[1].2.len(), cut), (3, large.len(), None));
    }

    #[test]
    fn a_hostile_length_ends_the_reading_without_the_memory_it_claims() {
        let mut bytes = pcap([0xD4, 0xC3, 0xB2, 0xA1], false, &[b"a"]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 1, 2, 3]);
        let (got, cut) = read(&bytes, 64);
        assert_eq!(got.len(), 1);
        assert_eq!(cut.map(|c| c.bytes), Some(19));
    }

    #[test]
    fn a_file_that_grows_ends_where_it_was_measured() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.pcap");
        std::fs::write(&path, pcap([0xD4, 0xC3, 0xB2, 0xA1], false, &[b"one", b"two"])).expect("a file");
        let measured = [Piece::measured(&path).expect("there")];
        std::fs::write(&path, pcap([0xD4, 0xC3, 0xB2, 0xA1], false, &[b"one", b"two", b"three"])).expect("a file");
        let mut pieces = Pieces::open(&measured).expect("a capture");
        assert_eq!(pieces.poll(64).expect("readable").len(), 2);
        assert!(pieces.poll(64).expect("readable").is_empty() && !pieces.advance().expect("the end"));
        assert_eq!(pieces.into_cuts(), []);
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        assert!(Reader::new(&b"format: haetae/1\nindicators: []\n"[..]).is_err());
        assert!(Reader::new(&b""[..]).is_err());
    }
}
