//! One capture in one file, or in rotated pieces that are read as one, as each worker of a replay opens it.
//!
//! In: paths. Out: batches, numbered on from piece to piece. A plain file is read by every worker itself; a pipe, which can be
//! read only once, and a packed file, which costs more to unpack than to read, come through a [`Tap`].

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Batch;
use super::file::{Cut, Reader, STANDARD_INPUT};
use super::packed::{MAGIC_BYTES, Packing};
use super::relay::Tap;

/// How a piece is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// By everybody, up to the length that all agree on: one that still grows must end at the same frame for each worker.
    Each { bytes: u64 },
    /// A file, by one for all.
    Shared,
    /// A pipe, by one for all, as it comes.
    Once,
}

/// A file or a pipe, and how it is read.
#[derive(Clone, Debug)]
pub struct Piece {
    pub(super) path: PathBuf,
    pub(super) access: Access,
}

impl Piece {
    /// The file as it is now. A pipe is not opened.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn measured(path: &Path) -> io::Result<Piece> {
        let piece = |access| Piece { path: path.to_path_buf(), access };
        if path == Path::new(STANDARD_INPUT) {
            return Ok(piece(Access::Once));
        }
        let now = std::fs::metadata(path)?;
        if !now.is_file() {
            return Ok(piece(Access::Once));
        }
        let mut head = Vec::with_capacity(MAGIC_BYTES);
        File::open(path)?.take(MAGIC_BYTES as u64).read_to_end(&mut head)?;
        Ok(piece(Packing::recognise(&head).map_or(Access::Each { bytes: now.len() }, |_| Access::Shared)))
    }

    /// How long it is, where only this sensor reads it and it has an end. The packed length, where it is packed.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn length(path: &Path) -> io::Result<Option<u64>> {
        if path == Path::new(STANDARD_INPUT) {
            return Ok(None);
        }
        let now = std::fs::metadata(path)?;
        Ok(now.is_file().then_some(now.len()))
    }

    /// Whether one reads it for all.
    pub(super) fn is_fed(&self) -> bool {
        !matches!(self.access, Access::Each { .. })
    }
}

/// Where a worker's bytes come from.
enum Input {
    Own {
        file: io::Take<File>,
        bytes: u64,
    },
    Fed(Tap),
    /// Between two pieces.
    Nothing,
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Input::Own { file, .. } => file.read(into),
            Input::Fed(tap) => tap.read(into),
            Input::Nothing => Ok(0),
        }
    }
}

/// See the head of this file.
pub struct Pieces {
    rest: VecDeque<Piece>,
    path: PathBuf,
    reader: Reader<Input>,
    /// While another piece is read that needs none.
    tap: Option<Tap>,
    before: u64,
    /// Bytes of the pieces before this one that this worker has read by itself.
    taken: u64,
    cuts: Vec<(PathBuf, Cut)>,
}

impl Pieces {
    /// Opens the first piece. The tap is this worker's of [`super::relay::relay`] for the same pieces.
    ///
    /// # Errors
    /// See [`Reader::new`], with the path; an empty list is `InvalidInput`.
    pub fn open(pieces: &[Piece], mut tap: Option<Tap>) -> Result<Self, (PathBuf, io::Error)> {
        let mut rest: VecDeque<Piece> = pieces.iter().cloned().collect();
        let first = rest.pop_front().ok_or_else(|| (PathBuf::new(), io::ErrorKind::InvalidInput.into()))?;
        let reader = open(&first, &mut tap)?;
        Ok(Pieces { rest, path: first.path, reader, tap, before: 0, taken: 0, cuts: Vec::new() })
    }

    /// Goes on to the next piece where one is at its end. False: all are read.
    ///
    /// # Errors
    /// The piece that cannot be opened.
    pub fn advance(&mut self) -> Result<bool, (PathBuf, io::Error)> {
        self.cuts.extend(self.reader.cut().map(|cut| (self.path.clone(), cut.clone())));
        let Some(next) = self.rest.pop_front() else { return Ok(false) };
        self.before += self.reader.handed();
        self.taken = self.own_bytes();
        if let Input::Fed(tap) = std::mem::replace(self.reader.input_mut(), Input::Nothing) {
            self.tap = Some(tap);
        }
        self.reader = open(&next, &mut self.tap)?;
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

    /// Bytes of plain files of which the frames were handed out. What comes through a tap, its feeder counts.
    pub fn own_bytes(&self) -> u64 {
        let here = match self.reader.input() {
            Input::Own { file, bytes } => (bytes - file.limit()).saturating_sub(self.reader.waiting_bytes()),
            Input::Fed(_) | Input::Nothing => 0,
        };
        self.taken + here
    }

    /// Where something was not read, piece by piece; complete once all is read.
    pub fn into_cuts(self) -> Vec<(PathBuf, Cut)> {
        self.cuts
    }
}

fn open(piece: &Piece, tap: &mut Option<Tap>) -> Result<Reader<Input>, (PathBuf, io::Error)> {
    let input = match piece.access {
        Access::Each { bytes } => File::open(&piece.path).map(|file| Input::Own { file: file.take(bytes), bytes }),
        Access::Shared | Access::Once => match tap.take() {
            Some(mut tap) => {
                tap.begin();
                Ok(Input::Fed(tap))
            }
            None => Err(io::Error::new(io::ErrorKind::InvalidInput, "nobody reads it")),
        },
    };
    input.and_then(Reader::new).map_err(|error| (piece.path.clone(), error))
}

#[cfg(test)]
mod tests {
    use super::super::relay::relay;
    use super::super::samples::{gzip, pcap, zstd};
    use super::*;

    const MAGIC: [u8; 4] = [0xD4, 0xC3, 0xB2, 0xA1];

    fn written(folder: &Path, name: &str, bytes: &[u8]) -> Piece {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("a file");
        Piece::measured(&path).expect("there")
    }

    /// Everything: number and bytes of each frame, and the cuts.
    type Seen = (Vec<(u64, Vec<u8>)>, Vec<(PathBuf, Cut)>);

    fn read(pieces: &[Piece], tap: Option<Tap>) -> Seen {
        let (mut pieces, mut seen) = (Pieces::open(pieces, tap).expect("a capture"), Vec::new());
        loop {
            let batch = pieces.poll(3).expect("readable");
            seen.extend(batch.frames().map(|frame| (frame.number, frame.bytes.to_vec())));
            if batch.is_empty() && !pieces.advance().expect("the next") {
                return (seen, pieces.into_cuts());
            }
        }
    }

    #[test]
    fn a_file_that_grows_ends_where_it_was_measured() {
        let folder = tempfile::tempdir().expect("a folder");
        let measured = [written(folder.path(), "a.pcap", &pcap(MAGIC, false, &[b"one", b"two"]))];
        written(folder.path(), "a.pcap", &pcap(MAGIC, false, &[b"one", b"two", b"three"]));
        let (seen, cuts) = read(&measured, None);
        assert_eq!((seen.len(), cuts), (2, Vec::new()));
    }

    #[test]
    fn plain_and_packed_pieces_are_one_capture_to_every_worker() {
        let folder = tempfile::tempdir().expect("a folder");
        let large: Vec<u8> = (0..1_000_000_u32).map(|n| n.wrapping_mul(n) as u8).collect();
        let parts = [
            written(folder.path(), "a", &gzip(&pcap(MAGIC, false, &[b"one", &large]))),
            written(folder.path(), "b", &pcap(MAGIC, false, &[b"two"])),
            written(folder.path(), "c", &zstd(&pcap(MAGIC, false, &[b"three", b"four"]))[..40]),
            written(folder.path(), "d", &gzip(&pcap([0xA1, 0xB2, 0xC3, 0xD4], true, &[b"five"]))),
        ];
        assert_eq!(parts.each_ref().map(Piece::is_fed), [true, false, true, true]);
        for workers in [1, 3] {
            let (feeder, taps) = relay(&parts, workers);
            let feeder = feeder.expect("needed");
            let all: Vec<Seen> = std::thread::scope(|scope| {
                let parts = &parts;
                let readers: Vec<_> = taps.into_iter().map(|tap| scope.spawn(move || read(parts, tap))).collect();
                feeder.run().expect("readable");
                readers.into_iter().map(|reader| reader.join().expect("no panic")).collect()
            });
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
            let (seen, cuts) = &all[0];
            let last = seen.last().expect("frames");
            assert_eq!((seen[1].1.len(), &last.1[..]), (large.len(), &b"five"[..]));
            assert_eq!(last.0, seen.len() as u64);
            assert_eq!((cuts.len(), cuts[0].0.file_name()), (1, Some("c".as_ref())));
        }
    }
}
