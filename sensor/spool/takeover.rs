//! The spool's directory before its lanes are opened: what a version before this one has left is taken over, what a later one has
//! written is refused.
//!
//! A spool of version 2 lay in the directory itself; it becomes the normal lane. Each file is renamed by itself, so a crash in
//! between leaves the rest to the next opening.

use std::io;
use std::path::{Path, PathBuf};

use super::cursor::Cursor;
use super::shared::Key;
use super::{CURSOR, DEAD_LETTERS, Entry, FORMAT, GIVEN_UP, LOCK, Lane, Storage, given_up, storage};

/// The version of the directory's order.
const VERSION: u32 = 3;

/// Makes the directory ready for its lanes; gives the files in it that are not the spool's.
///
/// # Errors
/// What the disk says; [`io::ErrorKind::Unsupported`]: a later version has written it.
pub(super) fn prepare(storage: &dyn Storage, directory: &Path) -> io::Result<Vec<PathBuf>> {
    let (format, known) = (directory.join(FORMAT), known(storage, directory)?);
    let mut entries = storage.list(directory)?;
    set_aside(storage, &mut entries)?;
    for lane in Lane::ALL {
        storage.make_directory(&directory.join(lane.name()))?;
    }
    storage.sync_directory(directory)?;
    let foreign = take_over(storage, directory, entries)?;
    if known != Some(VERSION) {
        // a full disk keeps nobody from delivering; it is tried again then
        let _ = storage::replace(storage, &format, format!("haetae spool {VERSION}\n").as_bytes());
    }
    let _ = given_up::make_file(storage, directory);
    Ok(foreign)
}

/// A file where a lane's folder belongs keeps nobody from starting: it gets another name, under which it is told of.
fn set_aside(storage: &dyn Storage, entries: &mut [Entry]) -> io::Result<()> {
    let taken: Vec<PathBuf> = entries.iter().map(|entry| entry.path.clone()).collect();
    let is_lane = |path: &Path| Lane::ALL.iter().any(|lane| path.ends_with(lane.name()));
    for entry in entries.iter_mut().filter(|entry| entry.is_file && is_lane(&entry.path)) {
        let mut names = (0..=taken.len()).map(|number| entry.path.with_extension(format!("damaged-{number}")));
        if let Some(aside) = names.find(|path| !taken.contains(path)) {
            storage.rename(&entry.path, &aside)?;
            entry.path = aside;
        }
    }
    Ok(())
}

/// The version of the directory's order, as far as it says.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`]: a later version has written it.
pub(super) fn known(storage: &dyn Storage, directory: &Path) -> io::Result<Option<u32>> {
    let known = version(storage, &directory.join(FORMAT));
    if let Some(version) = known.filter(|version| *version > VERSION) {
        let what = format!("written by a later version of this program ({version})");
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    Ok(known)
}

/// Whether a file of that name in the directory is the spool's.
pub(super) fn is_known(name: &str) -> bool {
    let ours = [LOCK, GIVEN_UP, FORMAT, DEAD_LETTERS, "ledger", "cursor.new", "format.new", "given-up.new"];
    let refused = name.starts_with("refused-") && name.ends_with(".jsonl");
    ours.contains(&name) || Lane::ALL.map(Lane::name).contains(&name) || refused
}

/// What the directory says; damage says nothing.
fn version(storage: &dyn Storage, format: &Path) -> Option<u32> {
    let bytes = storage.read(format, 0, 64).ok()?;
    std::str::from_utf8(&bytes).ok()?.strip_prefix("haetae spool ")?.trim_end().parse().ok()
}

fn take_over(storage: &dyn Storage, directory: &Path, entries: Vec<Entry>) -> io::Result<Vec<PathBuf>> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_old =
        |entry: &Entry| entry.is_file && (name(&entry.path) == CURSOR || Key::of_name(&name(&entry.path)).is_some());
    let (mut old, others): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(is_old);
    let mut foreign: Vec<PathBuf> =
        others.into_iter().map(|entry| entry.path).filter(|path| !is_known(&name(path))).collect();
    if old.is_empty() {
        return Ok(foreign);
    }
    let lane = directory.join(Lane::Normal.name());
    let cursor = |path: &Path| Cursor::of_file(&storage.read(path, 0, u64::MAX).ok()?).map(|(cursor, _)| cursor.spool);
    let (here, there) = (cursor(&directory.join(CURSOR)), cursor(&lane.join(CURSOR)));
    if there.is_some() && here.is_some() && here != there {
        // two spools: the lane's goes on, and nothing of the other is touched
        foreign.extend(old.into_iter().map(|entry| entry.path));
        foreign.sort();
        return Ok(foreign);
    }
    // the cursor last: as long as it is there the rest is known to be of it
    old.sort_by_key(|entry| (name(&entry.path) == CURSOR, entry.path.clone()));
    for entry in old {
        storage.rename(&entry.path, &lane.join(name(&entry.path)))?;
    }
    storage.sync_directory(&lane)?;
    storage.sync_directory(directory)?;
    Ok(foreign)
}
