//! What only one may read, handed to every worker: pipes and standard input, which give their bytes once, and packed files,
//! which cost more to unpack than to read.
//!
//! In: pieces. Out: a [`Feeder`] for a thread of its own, and a [`Tap`] for each worker, which gives it all bytes in order.
//! Chunks are shared, not copied, and bounded: the fastest worker waits for the slowest. Whoever goes away early (a worker
//! that died, outputs that are full) stops the feeder, and the feeder's end ends the taps: nobody is left hanging.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::file::STANDARD_INPUT;
use super::packed::{Damage, Unpacked};
use super::pieces::{Access, Piece};
use crate::limits::{CHUNK_BYTES, CHUNKS_WAITING_MAX, STOP_HEARD};

/// What goes through a channel.
enum Part {
    /// The first so many bytes of a chunk.
    Bytes(Arc<[u8]>, usize),
    Damaged(Damage),
    /// The piece is at its end.
    End,
}

/// Ends the feeding from elsewhere.
#[derive(Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Within [`STOP_HEARD`], taps give nothing more.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A feeder for the pieces of which one reads for all, and a tap for each worker; nothing where there is no such piece.
pub fn relay(pieces: &[Piece], workers: usize) -> (Option<Feeder>, Vec<Option<Tap>>) {
    let fed: Vec<Piece> = pieces.iter().filter(|piece| piece.is_fed()).cloned().collect();
    if fed.is_empty() {
        return (None, (0..workers).map(|_| None).collect());
    }
    let stop = Stop(Arc::default());
    let (sends, receives): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(CHUNKS_WAITING_MAX)).unzip();
    let left = fed.len();
    let tap = |parts| Some(Tap { parts, stop: stop.clone(), left, ended: true, chunk: Arc::new([]), len: 0, at: 0 });
    let taps = receives.into_iter().map(tap).collect();
    (Some(Feeder { pieces: fed, sends, stop, chunks: VecDeque::new(), read: Arc::default() }), taps)
}

/// Reads for all workers.
pub struct Feeder {
    pieces: Vec<Piece>,
    sends: Vec<Sender<Part>>,
    stop: Stop,
    /// Chunks that are used again once nobody holds them: as many as the channels hold, and one in each hand.
    chunks: VecDeque<Arc<[u8]>>,
    read: Arc<AtomicU64>,
}

/// Why feeding ended before its time.
enum Ended {
    /// Somebody is gone, or said to stop; they know why.
    Stopped,
    Failed(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Ended::Failed(error)
    }
}

impl Feeder {
    /// The way to end it from elsewhere.
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// Adds the bytes that it reads to this, as they lie in the files.
    pub fn count_into(&mut self, read: &Arc<AtomicU64>) {
        self.read = Arc::clone(read);
    }

    /// Feeds until all is read or nobody wants more.
    ///
    /// # Errors
    /// What the operating system says of opening or reading, with the path. The taps then end as if cut.
    pub fn run(mut self) -> Result<(), (PathBuf, io::Error)> {
        for piece in std::mem::take(&mut self.pieces) {
            match self.feed(&piece) {
                Ok(()) => {}
                Err(Ended::Failed(error)) if !self.stop.is_told() => return Err((piece.path, error)),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn feed(&mut self, piece: &Piece) -> Result<(), Ended> {
        let waits = piece.access == Access::Once;
        let file = if waits { open_pipe(&piece.path) } else { File::open(&piece.path) }?;
        let mut input = Unpacked::new(Patient { file, waits, stop: self.stop.clone(), read: Arc::clone(&self.read) });
        loop {
            let mut chunk = self.chunk();
            let Some(into) = Arc::get_mut(&mut chunk) else { continue };
            // what comes through a pipe goes on at once, however little it is
            let (filled, end) = fill(&mut input, into, waits)?;
            if filled > 0 {
                self.send(|| Part::Bytes(Arc::clone(&chunk), filled))?;
            }
            self.chunks.push_back(chunk);
            match end {
                Some(Part::Damaged(damage)) => self.send(|| Part::Damaged(damage))?,
                Some(_) => return self.send(|| Part::End),
                None => {}
            }
        }
    }

    /// A chunk that nobody else holds.
    fn chunk(&mut self) -> Arc<[u8]> {
        if let Some(oldest) = self.chunks.front_mut()
            && Arc::get_mut(oldest).is_some()
            && let Some(free) = self.chunks.pop_front()
        {
            return free;
        }
        vec![0; CHUNK_BYTES].into()
    }

    /// To every worker, in order: none waits for what another has had.
    fn send(&self, part: impl Fn() -> Part) -> Result<(), Ended> {
        for send in &self.sends {
            if self.stop.is_told() || send.send(part()).is_err() {
                return Err(Ended::Stopped);
            }
        }
        Ok(())
    }
}

/// How much was read, and what ended it.
fn fill(input: &mut impl Read, into: &mut [u8], at_once: bool) -> io::Result<(usize, Option<Part>)> {
    let mut filled = 0;
    while filled < into.len() {
        match input.read(&mut into[filled..]) {
            Ok(0) => return Ok((filled, Some(Part::End))),
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Ok((filled, Some(Part::Damaged(Damage::in_error(&error).ok_or(error)?)))),
        }
        if at_once {
            break;
        }
    }
    Ok((filled, None))
}

/// Opens without waiting for a writer: waiting is done where a stop is heard.
fn open_pipe(path: &Path) -> io::Result<File> {
    if path != Path::new(STANDARD_INPUT) {
        return File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path);
    }
    let input = io::stdin();
    if input.is_terminal() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "standard input is a terminal: pipe a capture into it"));
    }
    Ok(File::from(input.as_fd().try_clone_to_owned()?))
}

/// A file that is waited for, but not when told to stop.
struct Patient {
    file: File,
    waits: bool,
    stop: Stop,
    /// For whoever wants to know how far it is.
    read: Arc<AtomicU64>,
}

impl Patient {
    /// Whether a read gives something: bytes, the end, or an error.
    fn is_ready(&self) -> io::Result<bool> {
        let patience = Timespec { tv_sec: 0, tv_nsec: STOP_HEARD.as_nanos() as _ };
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&patience)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.is_told() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            if self.waits && !self.is_ready()? {
                continue;
            }
            match self.file.read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                answer => {
                    self.read.fetch_add(*answer.as_ref().unwrap_or(&0) as u64, Ordering::Relaxed);
                    return answer;
                }
            }
        }
    }
}

/// One worker's view of what is fed: piece after piece, each with its own end.
pub struct Tap {
    parts: Receiver<Part>,
    stop: Stop,
    /// Pieces that have not begun here.
    left: usize,
    ended: bool,
    chunk: Arc<[u8]>,
    len: usize,
    at: usize,
}

impl Tap {
    /// The next piece begins. The one before has been read to its end.
    pub(super) fn begin(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.ended = false;
    }
}

impl Read for Tap {
    /// `Ok(0)` at a piece's end; and for good when the feeder is gone, which says itself why.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.len && !self.ended {
            match self.parts.recv() {
                Ok(Part::Bytes(chunk, len)) => (self.chunk, self.len, self.at) = (chunk, len, 0),
                Ok(Part::Damaged(damage)) => return Err(io::Error::new(ErrorKind::InvalidData, damage)),
                Ok(Part::End) | Err(_) => {
                    // the feeder may use it again
                    (self.chunk, self.len, self.at) = (Arc::new([]), 0, 0);
                    self.ended = true;
                }
            }
        }
        let len = into.len().min(self.len - self.at);
        into[..len].copy_from_slice(&self.chunk[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if !self.ended || self.left > 0 {
            self.stop.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A feeder of a named pipe, and its taps.
    fn fed(workers: usize) -> (Feeder, Vec<Tap>, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a fifo");
        let piece = Piece::measured(&path).expect("there");
        assert_eq!(piece.access, Access::Once);
        let (feeder, taps) = relay(&[piece], workers);
        let begun = taps.into_iter().map(|tap| {
            let mut tap = tap.expect("fed");
            tap.begin();
            tap
        });
        (feeder.expect("needed"), begun.collect(), folder)
    }

    #[test]
    fn a_pipe_is_the_same_for_all_and_none_may_run_ahead() {
        let (feeder, taps, folder) = fed(3);
        let bytes: Vec<u8> = (0..CHUNK_BYTES * 20).map(|n| (n / 7) as u8).collect();
        std::thread::scope(|scope| {
            let sent = &bytes;
            scope.spawn(move || {
                let mut pipe = File::options().write(true).open(folder.path().join("fifo")).expect("a reader");
                sent.chunks(10_007).for_each(|part| pipe.write_all(part).expect("read"));
            });
            let feeding = scope.spawn(|| feeder.run());
            let read = |mut tap: Tap| {
                let mut got = Vec::new();
                tap.read_to_end(&mut got).expect("readable");
                got
            };
            let readers: Vec<_> = taps.into_iter().map(|tap| scope.spawn(move || read(tap))).collect();
            assert!(readers.into_iter().all(|reader| reader.join().expect("no panic") == *sent));
            feeding.join().expect("no panic").expect("readable");
        });
    }

    #[test]
    fn a_reader_that_dies_stops_a_feeder_that_waits_for_a_pipe() {
        let (feeder, mut taps, _folder) = fed(2);
        std::thread::scope(|scope| {
            let feeding = scope.spawn(|| feeder.run());
            let mut other = taps.pop().expect("two");
            let reading = scope.spawn(move || other.read(&mut [0; 8]));
            drop(taps);
            assert!(feeding.join().expect("no panic").is_ok());
            assert_eq!(reading.join().expect("no panic").expect("an end"), 0);
        });
    }

    #[test]
    fn a_stop_from_elsewhere_is_heard_while_a_pipe_has_no_writer() {
        let (feeder, mut taps, _folder) = fed(1);
        let stop = feeder.stopper();
        std::thread::scope(|scope| {
            let feeding = scope.spawn(|| feeder.run());
            stop.stop();
            assert!(feeding.join().expect("no panic").is_ok());
            assert_eq!(taps[0].read(&mut [0; 8]).expect("an end"), 0);
        });
    }
}
