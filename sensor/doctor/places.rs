//! Where the sensor will write, and files that only it should read.
//!
//! In: paths of the configuration. Out: what the file system says of them. Nothing is written to find out: rights are asked,
//! and a folder is synced, not a file. Never here: what is in a file.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags, access, statfs, statvfs};
use rustix::io::Errno;

use crate::config::Config;
use crate::limits::DOCTOR_LOG_BYTES_MIN;

/// A folder that is written into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What is written there.
    pub what: &'static str,
    /// The folder.
    pub folder: PathBuf,
    /// Whether the sensor makes it where it is missing.
    pub made: bool,
    /// Whether it is there.
    pub exists: bool,
    /// Whether this process may write there; where the folder is missing and made: into what is above it.
    pub writable: bool,
    /// Whether its file system is read-only.
    pub read_only: bool,
    /// Bytes that are free, and those that the sensor's own files there hold already.
    pub free_bytes: u64,
    /// Bytes that should be.
    pub wanted_bytes: u64,
    /// What kind of file system forgets what is synced to it.
    pub forgets: Option<&'static str>,
}

/// A file with a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// The option that names it.
    pub option: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

/// Numbers of file systems that live in memory (linux/magic.h).
static IN_MEMORY: [(u64, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

impl Place {
    /// All places of a configuration.
    pub(super) fn all(config: &Config) -> Vec<Place> {
        let log = config.outputs.path.as_deref().and_then(Path::parent);
        let log = log.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        let log = log.map(|folder| Place::look("the EVE log", folder, false, DOCTOR_LOG_BYTES_MIN));
        let spool = config.centre.as_ref().map(|centre| {
            let wanted = config.limits.spool_bytes_max;
            Place::look("the spool", &centre.spool, true, wanted)
        });
        log.into_iter().chain(spool).collect()
    }

    fn look(what: &'static str, folder: &Path, made: bool, wanted_bytes: u64) -> Place {
        let exists = folder.is_dir();
        let asked = if exists || !made { Some(folder) } else { folder.ancestors().find(|above| above.is_dir()) };
        let mut place = Place { what, folder: folder.to_path_buf(), made, exists, wanted_bytes, ..Place::default() };
        let Some(asked) = asked.filter(|asked| asked.is_dir()) else { return place };
        let allowed = access(asked, Access::WRITE_OK | Access::EXEC_OK);
        place.writable = allowed.is_ok();
        if let Ok(system) = statvfs(asked) {
            place.read_only = system.f_flag.contains(StatVfsMountFlags::RDONLY) || allowed == Err(Errno::ROFS);
            place.free_bytes = system.f_bavail.saturating_mul(system.f_frsize).saturating_add(held(folder));
        }
        let kind = statfs(asked).map(|system| system.f_type as u64).unwrap_or_default();
        place.forgets = IN_MEMORY.iter().find(|row| row.0 == kind).map(|row| row.1);
        if place.forgets.is_none() && exists && !syncs(folder) {
            place.forgets = Some("a file system that cannot sync");
        }
        place
    }
}

/// Bytes that files of a folder hold on the disk; 0 for what cannot be read.
fn held(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.metadata().ok()).filter(|one| one.is_file()).map(|one| one.blocks() * 512).sum()
}

/// Whether a folder can be synced. One that may not be opened is not complained of twice.
fn syncs(folder: &Path) -> bool {
    File::open(folder).map_or(true, |folder| folder.sync_all().is_ok())
}

impl Key {
    /// All secrets of a configuration that are there.
    pub(super) fn all(config: &Config) -> Vec<Key> {
        let site = config.site.key.clone().map(|path| ("site.key", path));
        let centre = config.centre.iter().flat_map(|centre| {
            let named = [("centre.token", &centre.files.token), ("centre.key", &centre.files.key)];
            let named = named.into_iter().filter_map(|(option, path)| Some((option, path.clone()?)));
            named.chain([("the site's key", centre.key())])
        });
        let files = site.into_iter().chain(centre);
        let mode = |path: &Path| fs::metadata(path).ok().map(|file| file.mode() & 0o777);
        files.filter_map(|(option, path)| mode(&path).map(|mode| Key { option, path, mode })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_made_is_asked_of_what_is_above_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("not/there");
        let made = Place::look("the spool", &below, true, 1);
        assert!(!made.exists && made.writable && !made.read_only && made.free_bytes > 0, "{made:?}");
        let not_made = Place::look("the EVE log", &below, false, 1);
        assert!(!not_made.exists && !not_made.writable, "{not_made:?}");
        assert!(fs::read_dir(folder.path()).expect("it is there").next().is_none(), "looking makes nothing");
    }

    #[test]
    fn what_is_in_memory_is_told() {
        if Path::new("/dev/shm").is_dir() {
            assert_eq!(Place::look("the spool", Path::new("/dev/shm"), true, 1).forgets, Some("tmpfs"));
        }
    }

    #[test]
    fn what_the_sensor_holds_already_counts_as_room() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("segment"), vec![7; 1 << 20]).expect("a file");
        assert!(held(folder.path()) >= 1 << 20);
        assert_eq!(held(&folder.path().join("nothing")), 0);
    }
}
