//! The EVE log of a running sensor: one file that is opened again when it was rotated, and that never holds half a line.
//!
//! In: lines. Out: a file. A disk that is full costs lines, which are counted, and nothing else: what was written in part
//! is cut off again, and writing goes on as soon as there is room.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What others may know of the log while it is written.
#[derive(Debug, Default)]
pub(super) struct LogState {
    /// It was rotated: open it again at the next line.
    pub(super) reopen: AtomicBool,
    /// Lines that could not be written.
    pub(super) lost: AtomicU64,
    /// Lines that could.
    pub(super) written: AtomicU64,
    /// Whether the last write failed.
    pub(super) failing: AtomicBool,
}

/// See the head of this file.
pub(super) struct EveFile {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    state: Arc<LogState>,
    /// Whether alerts go to a centre too.
    delivered: bool,
}

/// Lines are gathered up to this size, so that one costs a copy and not a system call.
const BUFFER_BYTES: usize = 256 << 10;

impl EveFile {
    pub(super) fn open(path: &Path, state: Arc<LogState>, delivered: bool) -> io::Result<EveFile> {
        Ok(EveFile { path: path.to_path_buf(), file: opened(path)?, buffer: Vec::new(), state, delivered })
    }

    /// What its failure costs: a log that is the only place for alerts loses them.
    fn cost(&self) -> &'static str {
        match self.delivered {
            true => "the EVE log cannot be written; alerts are still delivered",
            false => "the EVE log cannot be written; its lines, alerts too, are lost and counted",
        }
    }

    /// Opens it again, if it was rotated.
    pub(super) fn renew(&mut self) {
        if self.state.reopen.swap(false, Ordering::AcqRel) {
            // the old one may be gone with its folder: then it is written to as long as it is open
            match opened(&self.path) {
                Ok(file) => self.file = file,
                Err(error) => {
                    self.state.reopen.store(true, Ordering::Release);
                    tracing::error!(path = %self.path.display(), %error, "the EVE log cannot be opened again");
                }
            }
        }
    }

    fn put(&mut self) -> io::Result<()> {
        self.renew();
        let before = self.file.metadata()?.len();
        self.file.write_all(&self.buffer).inspect_err(|_| {
            // nobody else writes here: what follows must not stick to half a line
            let _as_good_as_it_gets = self.file.set_len(before);
        })
    }
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for EveFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // lines come whole, and leave whole
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Never fails: what could not be written is counted.
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let lines = self.buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        let outcome = self.put();
        self.buffer.clear();
        let failed = self.state.failing.swap(outcome.is_err(), Ordering::AcqRel);
        match outcome {
            Ok(()) => {
                self.state.written.fetch_add(lines, Ordering::AcqRel);
                if failed {
                    let lost = self.state.lost.load(Ordering::Acquire);
                    tracing::info!(path = %self.path.display(), lost, "the EVE log can be written again");
                }
            }
            Err(error) => {
                self.state.lost.fetch_add(lines, Ordering::AcqRel);
                if !failed {
                    tracing::error!(path = %self.path.display(), %error, "{}", self.cost());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_rotated_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("eve.json"), folder.path().join("eve.json.1"));
        let state = Arc::new(LogState::default());
        let mut log = EveFile::open(&path, Arc::clone(&state), false).expect("a file");
        log.write_all(b"one\n").and_then(|()| log.flush()).expect("room");
        std::fs::rename(&path, &old).expect("rotated");
        log.write_all(b"two\n").and_then(|()| log.flush()).expect("room");
        state.reopen.store(true, Ordering::Release);
        log.write_all(b"three\n").and_then(|()| log.flush()).expect("room");
        assert_eq!(std::fs::read(&old).expect("there"), b"one\ntwo\n");
        assert_eq!(std::fs::read(&path).expect("there"), b"three\n");
        assert_eq!(state.written.load(Ordering::Acquire), 3);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_next_is_tried() {
        let state = Arc::new(LogState::default());
        let mut log =
            EveFile::open(Path::new("/dev/full"), Arc::clone(&state), true).expect("a device that is always full");
        log.write_all(b"one\ntwo\n").and_then(|()| log.flush()).expect("it is no error");
        assert_eq!((state.lost.load(Ordering::Acquire), state.failing.load(Ordering::Acquire)), (2, true));
        let folder = tempfile::tempdir().expect("a folder");
        log.path = folder.path().join("eve.json");
        state.reopen.store(true, Ordering::Release);
        log.write_all(b"three\n").and_then(|()| log.flush()).expect("room");
        assert_eq!((state.written.load(Ordering::Acquire), state.failing.load(Ordering::Acquire)), (1, false));
    }

    #[test]
    fn alerts_are_said_to_be_delivered_only_where_a_centre_is() {
        let said = |centre| {
            let log = EveFile::open(Path::new("/dev/full"), Arc::default(), centre).expect("a device");
            log.cost().contains("delivered")
        };
        assert!(said(true) && !said(false));
    }
}
