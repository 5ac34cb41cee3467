//! A log's older files, which its own writer names: `eve.json.1` is the one before, `eve.json.2` the one before that.
//!
//! In: a log and how many older files are kept. Out: a log that is not there any more, under the first of these names. A rename
//! is whole or not at all: whoever is killed in between leaves a gap in the row, which the next rotation fills.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::limits::EVE_KEEP_MAX;

/// The older file of this number.
pub(super) fn older(log: &Path, number: u32) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Renames the log, and before it the older files that stand in its way; what is beyond `keep` goes.
///
/// # Errors
/// What could not be renamed stays where it is, the log too.
pub(super) fn rotate(log: &Path, keep: u32) -> io::Result<()> {
    let is_free = |number: &u32| fs::symlink_metadata(older(log, *number)).is_err();
    // nothing beyond a gap has to move; without one, the last is written over
    let free = (1..keep).find(is_free).unwrap_or(keep);
    for number in (1..free).rev() {
        fs::rename(older(log, number), older(log, number + 1))?;
    }
    match fs::rename(log, older(log, 1)) {
        // somebody else was faster
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        renamed => renamed?,
    }
    // once there were more of them
    let beyond = (keep + 1..=keep + EVE_KEEP_MAX).take_while(|number| fs::remove_file(older(log, *number)).is_ok());
    let _all_removed = beyond.count();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        names.iter().for_each(|name| fs::write(folder.path().join(name), name).expect("room"));
        folder
    }

    /// Names, each with what is in it.
    fn there(folder: &tempfile::TempDir) -> Vec<(String, String)> {
        let entries = fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let named = |path: PathBuf| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("text"))
        };
        let mut all: Vec<_> = entries.map(named).collect();
        all.sort();
        all
    }

    fn rotated(names: &[&str], keep: u32) -> Vec<(String, String)> {
        let folder = filled(names);
        rotate(&folder.path().join("log"), keep).expect("renamed");
        there(&folder)
    }

    fn row(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, was)| ((*name).to_owned(), (*was).to_owned())).collect()
    }

    #[test]
    fn the_newest_is_the_first_and_the_oldest_goes() {
        assert_eq!(rotated(&["log"], 2), row(&[("log.1", "log")]));
        assert_eq!(rotated(&["log", "log.1"], 2), row(&[("log.1", "log"), ("log.2", "log.1")]));
        assert_eq!(rotated(&["log", "log.1", "log.2"], 2), row(&[("log.1", "log"), ("log.2", "log.1")]));
        assert_eq!(rotated(&["log", "log.1"], 1), row(&[("log.1", "log")]));
    }

    #[test]
    fn a_gap_is_filled_and_nothing_beyond_it_moves() {
        let names = ["log", "log.1", "log.3"];
        assert_eq!(rotated(&names, 5), row(&[("log.1", "log"), ("log.2", "log.1"), ("log.3", "log.3")]));
    }

    #[test]
    fn what_is_beyond_a_row_that_became_shorter_goes_and_strangers_stay() {
        let names = ["log", "log.1", "log.2", "log.3", "log.4", "log.gz", "log.10"];
        let left = row(&[("log.1", "log"), ("log.10", "log.10"), ("log.2", "log.1"), ("log.gz", "log.gz")]);
        assert_eq!(rotated(&names, 2), left);
    }

    #[test]
    fn what_cannot_be_renamed_stays() {
        let folder = filled(&["log", "log.1"]);
        fs::create_dir(folder.path().join("log.2"))
            .and_then(|()| fs::write(folder.path().join("log.2/a"), ""))
            .expect("");
        rotate(&folder.path().join("log"), 2).expect_err("a folder stands there");
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("there");
        assert_eq!((read("log"), read("log.1")), ("log".to_owned(), "log.1".to_owned()));
    }
}
