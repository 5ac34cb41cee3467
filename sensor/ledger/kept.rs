//! Messages kept beside the ledger, so that whoever owns the site can read exactly what left.
//!
//! In: a message and the sequence of its entry. Out: a file for each, the oldest gone when there is no more room. They are copies:
//! nothing waits for them, and one that cannot be kept is counted. Never here: a message that was not entered.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::entry::Digest;

/// Their folder in the ledger's.
const FOLDER: &str = "sent";

/// See the head of this file.
pub(super) struct Kept {
    folder: PathBuf,
    bytes_max: u64,
    bytes: u64,
    files: VecDeque<(u64, u64)>,
}

fn place(ledger: &Path, sequence: u64) -> PathBuf {
    ledger.join(FOLDER).join(format!("{sequence:012}.json"))
}

/// The message of an entry, if it was kept.
///
/// # Errors
/// What the disk says.
pub fn message(ledger: &Path, sequence: u64) -> io::Result<Vec<u8>> {
    fs::read(place(ledger, sequence))
}

/// The digest of the message of an entry, if it was kept and can be read.
pub fn digest(ledger: &Path, sequence: u64) -> Option<Digest> {
    message(ledger, sequence).ok().map(|bytes| Digest::of(&bytes))
}

impl Kept {
    /// Those of a ledger; `None`: none are to be kept.
    pub(super) fn open(ledger: &Path, bytes_max: u64) -> io::Result<Option<Kept>> {
        if bytes_max == 0 {
            return Ok(None);
        }
        let folder = ledger.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let known = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.ok()?;
            let sequence = entry.path().file_stem()?.to_str()?.parse().ok()?;
            Some((sequence, entry.metadata().ok()?.len()))
        };
        let mut files: Vec<(u64, u64)> = fs::read_dir(&folder)?.filter_map(known).collect();
        files.sort_unstable();
        let bytes = files.iter().map(|(_, bytes)| bytes).sum();
        let mut kept = Kept { folder: ledger.to_owned(), bytes_max, bytes, files: files.into() };
        kept.make_room(0);
        Ok(Some(kept))
    }

    /// Keeps a message; the oldest make room.
    pub(super) fn keep(&mut self, sequence: u64, message: &[u8]) -> io::Result<()> {
        self.make_room(message.len() as u64);
        let path = place(&self.folder, sequence);
        // one of an entry that a crash cut off may be there
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = opened.and_then(|mut file| file.write_all(message));
        match written {
            Ok(()) => {
                self.bytes += message.len() as u64;
                self.files.push_back((sequence, message.len() as u64));
            }
            // half a message would be taken for a changed one
            Err(_) => drop(fs::remove_file(&path)),
        }
        written
    }

    fn make_room(&mut self, wanted: u64) {
        while self.bytes + wanted > self.bytes_max
            && let Some((oldest, bytes)) = self.files.pop_front()
        {
            // one that stays is found by the next start
            let _stays = fs::remove_file(place(&self.folder, oldest));
            self.bytes -= bytes;
        }
    }
}
