//! What lies in a lane's directory: files that may be segments, with their headers; the cursor; prepared files. Never here: a record.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::recovery::Recovery;
use super::segment::{HEADER_BYTES, Header, Layout, NotAHeader};
use super::shared::Key;
use super::{CURSOR, Entry, Storage};

/// Whether what only a crash leaves may be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hand {
    /// Whoever opens it.
    Mending,
    /// Whoever only looks, beside one that writes.
    Looking,
}

/// A file that may be a segment.
pub(super) struct Candidate {
    pub key: Key,
    pub path: PathBuf,
    pub bytes: u64,
    pub header: Result<(Header, Layout), NotAHeader>,
    pub written: Option<SystemTime>,
}

/// What a lane's directory has.
#[derive(Default)]
pub(super) struct Listed {
    pub candidates: Vec<Candidate>,
    pub cursor: Option<Vec<u8>>,
    pub spares: VecDeque<PathBuf>,
}

/// The files that may be segments, the cursor's bytes, and what is prepared. What only a crash leaves is taken away.
pub(super) fn list(storage: &dyn Storage, directory: &Path, hand: Hand, report: &mut Recovery) -> io::Result<Listed> {
    let mut listed = Listed::default();
    for Entry { path, is_file, bytes, written } in storage.list(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if name == CURSOR {
            listed.cursor = Some(storage.read(&path, 0, u64::MAX).unwrap_or_default());
        } else if let Some(key) = Key::of_name(&name).filter(|_| is_file) {
            // A file that cannot be read now may be readable again: it is left, its gap is counted.
            match storage.read(&path, 0, HEADER_BYTES as u64) {
                Ok(head) => {
                    let header = Header::decode(&head);
                    listed.candidates.push(Candidate { key, path, bytes, header, written });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && hand == Hand::Looking => {}
                Err(_) => report.foreign.push(path),
            }
        } else if extension == Some("spare") && is_file {
            listed.spares.push_back(path);
        } else if extension == Some("new") && is_file {
            if hand == Hand::Mending {
                let _ = storage.remove(&path);
            }
        } else if !(name.starts_with(super::reader::NAMED) && is_file) {
            report.foreign.push(path);
        }
    }
    // by name, whatever the disk's order
    listed.spares.make_contiguous().sort();
    listed.candidates.sort_by_key(|candidate| candidate.key);
    Ok(listed)
}
