//! The ledger's files: numbered, each going on where the one before it ended.
//!
//! In: a disk. Out: what a crash has left of them, and where to go on. Only what is no entry, or was begun anew in a later file,
//! is cut off. Never here: an entry judged by what it says.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::entry::{Digest, Entry, Head, Said};
use crate::limits::{LEDGER_FILE_BYTES_MAX, LEDGER_TORN_BYTES_MAX, LEDGER_UNSYNCED_MAX};
use crate::spool::Storage;

/// What every file's name ends in.
const EXTENSION: &str = "jsonl";

/// A file that holds entries.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Its length.
    pub(super) bytes: u64,
    /// Its first entry.
    pub(super) first: u64,
    /// What that names as the one before it.
    pub(super) previous: Digest,
    /// When that was written.
    pub(super) time: String,
}

/// What is there after a crash or an orderly end.
#[derive(Debug)]
pub(super) struct Found {
    /// The files, by number.
    pub(super) files: BTreeMap<u64, Kept>,
    /// Where the chain goes on.
    pub(super) head: Head,
    /// Attempts of the last file of which nobody heard.
    pub(super) unheard: Vec<u64>,
    /// What was cut off.
    pub(super) cut_bytes: u64,
}

/// A file's place.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}.{EXTENSION}"))
}

fn number(path: &Path) -> Option<u64> {
    let named = path.extension().is_some_and(|extension| extension == EXTENSION);
    path.file_stem().filter(|_| named)?.to_str()?.parse().ok()
}

/// The ledger's files in a directory, in order.
///
/// # Errors
/// What the disk says.
pub fn list(storage: &dyn Storage, directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = storage.list(directory)?;
    let files = entries.into_iter().filter(|entry| entry.is_file);
    let numbered: BTreeMap<u64, PathBuf> = files.filter_map(|file| Some((number(&file.path)?, file.path))).collect();
    Ok(numbered.into_values().collect())
}

/// The whole of a file; what is beyond its bound by more than a line was not written here.
///
/// # Errors
/// What the disk says.
pub fn read(storage: &dyn Storage, path: &Path) -> io::Result<Vec<u8>> {
    storage.read(path, 0, 2 * LEDGER_FILE_BYTES_MAX)
}

/// Finds where to go on, from the last file to the first.
pub(super) fn recover(storage: &dyn Storage, directory: &Path) -> io::Result<Found> {
    let mut found = Found { files: BTreeMap::new(), head: Head::NONE, unheard: Vec::new(), cut_bytes: 0 };
    let (mut before, mut is_last) = (u64::MAX, true);
    for path in list(storage, directory)?.into_iter().rev() {
        let Some(number) = number(&path) else { continue };
        let bytes = read(storage, &path)?;
        let standing = if std::mem::take(&mut is_last) { standing(&bytes) } else { bytes.len() };
        let (length, last) = sound(&bytes[..standing], before);
        // a crash leaves no more behind; what is more was done by somebody, and stays to be seen
        let left = bytes.len() - length;
        if left <= LEDGER_TORN_BYTES_MAX {
            found.cut_bytes += left as u64;
            match last {
                Some(_) if left > 0 => storage.cut(&path, length as u64)?,
                None => storage.remove(&path)?,
                _ => {}
            }
        }
        let Some((last, digest)) = last else { continue };
        if found.files.is_empty() {
            found.head = Head { sequence: last.sequence, head: digest };
            found.unheard = unheard(&bytes[..length]);
        }
        // a file whose first line was spoilt later is kept: who verifies sees it
        let first = bytes.split(|byte| *byte == b'\n').next().and_then(|line| Entry::read(line).ok()).unwrap_or(last);
        before = first.sequence;
        let kept =
            Kept { bytes: bytes.len() as u64, first: first.sequence, previous: first.previous, time: first.time };
        found.files.insert(number, kept);
    }
    Ok(found)
}

/// How much of the last file stands before what power has spoilt. An attempt, or a word that entries go, is durable, with all that is
/// before it, as soon as anything is behind it; of what is behind the last such one each line may be spoilt by itself, and whatever
/// follows a spoilt one goes with it. An attempt of which an outcome speaks was durable: power did not spoil that.
fn standing(bytes: &[u8]) -> usize {
    let (mut standing, mut end) = (bytes.len(), bytes.len());
    let (mut behind, mut spoken_of) = (u64::MAX, 0);
    let mut lines = 0;
    while end > 0 && lines <= LEDGER_UNSYNCED_MAX && bytes.len() - end <= LEDGER_TORN_BYTES_MAX {
        lines += 1;
        let start = bytes[..end - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
        let entry = bytes[start..end].strip_suffix(b"\n").and_then(|line| Entry::read(line).ok());
        behind = entry.as_ref().map_or(behind.saturating_sub(1), |entry| entry.sequence);
        match entry.map(|entry| entry.said) {
            Some(Said::Attempt(_) | Said::Forgotten(_)) if end < bytes.len() => break,
            Some(Said::Outcome(outcome)) => spoken_of = spoken_of.max(outcome.of),
            Some(_) => {}
            None if spoken_of >= behind => break,
            None => standing = start,
        }
        end = start;
    }
    standing
}

/// How much of a file stands, and its last entry: what comes behind the last line that is an entry below `before` does not.
fn sound(bytes: &[u8], before: u64) -> (usize, Option<(Entry, Digest)>) {
    let mut end = bytes.iter().rposition(|byte| *byte == b'\n');
    while let Some(at) = end {
        let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
        let line = &bytes[start..at];
        if let Ok(entry) = Entry::read(line)
            && entry.sequence < before
        {
            return (at + 1, Some((entry, Digest::of(line))));
        }
        end = start.checked_sub(1);
    }
    (0, None)
}

/// Attempts without an outcome.
fn unheard(bytes: &[u8]) -> Vec<u64> {
    let mut open = Vec::new();
    for entry in bytes.split(|byte| *byte == b'\n').filter_map(|line| Entry::read(line).ok()) {
        match entry.said {
            Said::Attempt(_) => open.push(entry.sequence),
            Said::Outcome(outcome) => open.retain(|attempt| *attempt != outcome.of),
            Said::Opened(_) | Said::Forgotten(_) => {}
        }
    }
    open
}
