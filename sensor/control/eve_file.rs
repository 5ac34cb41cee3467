//! The EVE log of a running sensor: one file that is opened again when it was rotated, or rotated here, and that never holds
//! half a line.
//!
//! In: lines. Out: a file. A disk that is full costs lines, which are counted, and nothing else: what was written in part
//! is cut off again, and writing goes on as soon as there is room. A rotation that fails costs a longer file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::older;
use crate::config::Rotation;
use crate::limits::EVE_ROTATE_AGAIN_TIME;

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
    /// Rotations of our own that failed.
    pub(super) unrotated: AtomicU64,
}

/// See the head of this file.
pub(super) struct EveFile {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    state: Arc<LogState>,
    /// Whether alerts go to a centre too.
    delivered: bool,
    rotation: Option<Rotating>,
}

/// When the log is rotated here.
struct Rotating {
    rotation: Rotation,
    /// When it was last written to, in seconds since 1970.
    written: u64,
    /// When it last could not be.
    failed: Option<Instant>,
}

impl Rotating {
    /// Whether a log of this length is to be rotated before so many bytes are added to it.
    fn is_due(&self, length: u64, more: usize, now: u64) -> bool {
        let is_full = |bytes_max: u64| length + more as u64 > bytes_max;
        let is_old = |every: u64| now / every != self.written / every;
        let again = self.failed.is_none_or(|failed| failed.elapsed() >= EVE_ROTATE_AGAIN_TIME);
        let due = self.rotation.bytes_max.is_some_and(is_full) || self.rotation.every_seconds.is_some_and(is_old);
        length > 0 && again && due
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Lines are gathered up to this size, so that one costs a copy and not a system call.
const BUFFER_BYTES: usize = 256 << 10;

impl EveFile {
    pub(super) fn open(path: &Path, state: Arc<LogState>, delivered: bool) -> io::Result<EveFile> {
        let file = opened(path)?;
        Ok(EveFile { path: path.to_path_buf(), file, buffer: Vec::new(), state, delivered, rotation: None })
    }

    /// The same, rotated here from now on, if it is.
    pub(super) fn rotating(mut self, rotation: Option<Rotation>) -> EveFile {
        // an earlier run's last line: what it left is rotated if its time is over
        let written = self.file.metadata().and_then(|there| there.modified()).map_or(0, seconds);
        self.rotation = rotation.map(|rotation| Rotating { rotation, written, failed: None });
        self
    }

    /// Nothing is opened or renamed from here on: whoever writes what is still to come may not.
    pub(super) fn settle(&mut self) {
        self.renew();
        self.rotation = None;
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

    /// Rotates it, if it is time for that.
    fn rotate(&mut self, length: u64) {
        // what could not be opened again has its new name already
        let is_renamed = self.state.reopen.load(Ordering::Acquire);
        let (Some(rotating), false) = (&mut self.rotation, is_renamed) else { return };
        let now = seconds(SystemTime::now());
        if rotating.is_due(length, self.buffer.len(), now) {
            match older::rotate(&self.path, rotating.rotation.keep) {
                Ok(()) => {
                    rotating.failed = None;
                    // as often as the site has configured: no news to whoever reads the log
                    tracing::debug!(path = %self.path.display(), "the EVE log was rotated");
                    self.state.reopen.store(true, Ordering::Release);
                }
                Err(error) => {
                    self.state.unrotated.fetch_add(1, Ordering::AcqRel);
                    if rotating.failed.replace(Instant::now()).is_none() {
                        tracing::error!(path = %self.path.display(), %error, "the EVE log cannot be rotated; it goes on as it is");
                    }
                }
            }
        }
        rotating.written = now;
    }

    fn put(&mut self) -> io::Result<()> {
        self.renew();
        self.rotate(self.file.metadata()?.len());
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

    fn rotating(folder: &Path, rotation: Rotation) -> (EveFile, Arc<LogState>) {
        let state = Arc::new(LogState::default());
        let log = EveFile::open(&folder.join("eve.json"), Arc::clone(&state), false).expect("a file");
        (log.rotating(Some(rotation)), state)
    }

    const BY_SIZE: Rotation = Rotation { bytes_max: Some(1 << 20), every_seconds: None, keep: 3 };

    fn lines_of(folder: &Path, name: &str) -> Vec<u64> {
        let text = std::fs::read_to_string(folder.join(name)).expect("there");
        assert!(text.is_empty() || text.ends_with('\n'), "{name} ends with half a line");
        text.lines()
            .map(|line| line.split(' ').next().and_then(|first| first.parse().ok()).expect("a number"))
            .collect()
    }

    #[test]
    fn a_log_that_is_rotated_by_size_is_never_longer_and_has_every_line_whole_and_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut log, state) = rotating(folder.path(), BY_SIZE);
        for number in 0..40_000_u64 {
            let line = format!("{number} {}\n", "x".repeat((number % 150) as usize));
            log.write_all(line.as_bytes()).expect("room");
        }
        log.flush().expect("room");
        let names = ["eve.json.3", "eve.json.2", "eve.json.1", "eve.json"];
        let lines: Vec<u64> = names.iter().flat_map(|name| lines_of(folder.path(), name)).collect();
        // what is missing is what was rotated out
        assert_eq!(lines, (lines[0]..40_000).collect::<Vec<_>>());
        assert!(lines.len() > 20_000);
        for name in names {
            let length = std::fs::metadata(folder.path().join(name)).expect("there").len();
            assert!(length <= 1 << 20 && (name == "eve.json" || length > (1 << 20) - (300 << 10)), "{name}: {length}");
        }
        assert!(!folder.path().join("eve.json.4").exists());
        assert_eq!((state.written.load(Ordering::Acquire), state.lost.load(Ordering::Acquire)), (40_000, 0));
    }

    #[test]
    fn a_log_whose_time_is_over_is_rotated_at_its_next_line_even_over_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let hourly = Rotation { bytes_max: None, every_seconds: Some(3_600), keep: 3 };
        let path = folder.path().join("eve.json");
        let write = |line: &str| {
            let (mut log, _) = rotating(folder.path(), hourly);
            log.write_all(line.as_bytes()).and_then(|()| log.flush()).expect("room");
            log
        };
        write("1\n");
        write("2\n");
        assert_eq!(lines_of(folder.path(), "eve.json"), [1, 2], "an hour is not over");
        let before = SystemTime::now() - std::time::Duration::from_secs(7_200);
        File::options().append(true).open(&path).and_then(|file| file.set_modified(before)).expect("its time");
        let mut log = write("3\n");
        assert_eq!((lines_of(folder.path(), "eve.json.1"), lines_of(folder.path(), "eve.json")), (vec![1, 2], vec![3]));
        // as time goes on while it is open
        log.rotation.as_mut().expect("it rotates").written -= 3_600;
        log.write_all(b"4\n").and_then(|()| log.flush()).expect("room");
        assert_eq!((lines_of(folder.path(), "eve.json.2"), lines_of(folder.path(), "eve.json")), (vec![1, 2], vec![4]));
    }

    #[test]
    fn a_rotation_that_fails_is_counted_once_and_costs_no_line() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("eve.json.1/full")).expect("a folder in the way");
        let (mut log, state) = rotating(folder.path(), Rotation { keep: 1, ..BY_SIZE });
        for number in 0..30_000_u64 {
            log.write_all(format!("{number} {}\n", "x".repeat(90)).as_bytes()).expect("room");
        }
        log.flush().expect("room");
        assert_eq!(lines_of(folder.path(), "eve.json").len(), 30_000);
        // tried again after a while, and not at each line
        assert_eq!((state.unrotated.load(Ordering::Acquire), state.lost.load(Ordering::Acquire)), (1, 0));
        std::fs::remove_dir_all(folder.path().join("eve.json.1")).expect("out of the way");
        log.rotation.as_mut().expect("it rotates").failed = None;
        log.write_all(b"30000\n").and_then(|()| log.flush()).expect("room");
        assert_eq!(
            (lines_of(folder.path(), "eve.json.1").len(), lines_of(folder.path(), "eve.json")),
            (30_000, vec![30_000])
        );
    }

    #[test]
    fn whoever_writes_the_last_line_rotates_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut log, _) = rotating(folder.path(), BY_SIZE);
        log.write_all(&vec![b'\n'; 1 << 20]).and_then(|()| log.flush()).expect("room");
        log.settle();
        log.write_all(b"last\n").and_then(|()| log.flush()).expect("room");
        assert!(!folder.path().join("eve.json.1").exists());
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
