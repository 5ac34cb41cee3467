//! Places that a configuration names and the running sensor writes to, judged before any of them is opened or made.
//!
//! In: the checked configuration. Out: why a place cannot be had, in the words of the start, which asks here as well. Never
//! here: a file or a folder that is made.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::{Failure, groups};
use crate::config::{Config, Fault, Place};

/// What of a configuration would be refused, or not be obeyed, when the sensor starts.
pub fn unusable(config: &Config, place: impl Fn(&str) -> Place) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut tell = |option: &str, problem: String, help: &str| {
        found.push(Fault { path: option.to_owned(), problem, place: place(option), help: help.to_owned() });
    };
    if let Some(Err(failure)) = config.outputs.path.as_deref().map(|path| log(path, config.outputs.rotation.is_some()))
    {
        let help = "its folder must be there, and the sensor's user must be able to write there";
        tell("outputs.eve.path", failure.to_string(), help);
    }
    if let Some(Err(failure)) = config.quarantine.as_ref().map(|quarantine| quarantine_at(&quarantine.directory)) {
        let help = "a folder that the sensor's user can write to, or that can be made";
        tell("quarantine.directory", failure.to_string(), help);
    }
    let group = config.control.as_ref().and_then(|control| control.group.as_deref());
    if let Some(Err(why)) = group.map(group_number) {
        let help = "`getent group` lists them; a number needs no name";
        tell("control.group", why, help);
    }
    found
}

/// Whether a log can be opened there: it is one already, or can be made. Whoever rotates it makes files beside it.
pub(super) fn log(path: &Path, rotates: bool) -> Result<(), Failure> {
    let judged = match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(Errno::ISDIR.into()),
        Ok(_) => may(path, Access::WRITE_OK).and_then(|()| if rotates { within(above(path)) } else { Ok(()) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => within(above(path)),
        Err(error) => Err(error),
    };
    judged.map_err(|error| Failure::Io(path.to_path_buf(), error))
}

/// Whether packets can be kept there: it is a folder, or can be made with all that lead to it.
pub(super) fn quarantine_at(folder: &Path) -> Result<(), Failure> {
    let judged = match folder.ancestors().find_map(|place| Some((place, fs::metadata(place).ok()?))) {
        Some((place, there)) if !there.is_dir() => {
            Err(if place == folder { Errno::EXIST } else { Errno::NOTDIR }.into())
        }
        Some((place, _)) => within(place),
        // a relative path, of which not even the first part is there
        None => within(Path::new(".")),
    };
    judged.map_err(|error| Failure::Io(folder.to_path_buf(), error))
}

/// The number of the group whose members may ask.
pub(super) fn group_number(group: &str) -> Result<u32, String> {
    groups::number(group).ok_or_else(|| format!("there is no group `{group}` here"))
}

fn above(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether files can be made in a folder.
fn within(folder: &Path) -> io::Result<()> {
    match fs::metadata(folder)?.is_dir() {
        true => may(folder, Access::WRITE_OK | Access::EXEC_OK),
        false => Err(Errno::NOTDIR.into()),
    }
}

fn may(path: &Path, access: Access) -> io::Result<()> {
    accessat(CWD, path, access, AtFlags::EACCESS).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_judged_as_the_system_would_and_nothing_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").expect("a file");
        let told = |judged: Result<(), Failure>| judged.err().map(|failure| failure.to_string());
        let refused = |name: &str, why: &str| Some(format!("{}: {why}", path(name).display()));
        assert_eq!(told(log(&path("eve.json"), false)), None);
        assert_eq!(told(log(&path("file"), false)), None);
        assert_eq!(told(log(&path("no/eve.json"), false)), refused("no/eve.json", "No such file or directory"));
        assert_eq!(told(log(&path("file/eve.json"), false)), refused("file/eve.json", "Not a directory"));
        assert_eq!(told(log(folder.path(), false)), Some(format!("{}: Is a directory", folder.path().display())));
        assert_eq!(told(log(Path::new("/dev/null"), false)), None);
        assert_eq!(told(quarantine_at(&path("deep/er"))), None);
        assert_eq!(told(quarantine_at(folder.path())), None);
        assert_eq!(told(quarantine_at(&path("file"))), refused("file", "File exists"));
        assert_eq!(told(quarantine_at(&path("file/q"))), refused("file/q", "Not a directory"));
        // where nobody writes, whoever asks
        assert!(log(Path::new("/proc/sys/eve.json"), false).is_err() || !rustix::process::geteuid().is_root());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        // as the start says it
        let made = fs::OpenOptions::new().append(true).create(true).open(path("no/eve.json"));
        let said = Failure::Io(path("no/eve.json"), made.expect_err("no folder")).to_string();
        assert_eq!(told(log(&path("no/eve.json"), false)), Some(said));
        let made = fs::create_dir_all(path("file")).expect_err("a file");
        assert_eq!(told(quarantine_at(&path("file"))), Some(Failure::Io(path("file"), made).to_string()));
    }

    #[test]
    fn a_group_has_a_number_or_is_none() {
        assert_eq!((group_number("971"), group_number("root")), (Ok(971), Ok(0)));
        assert_eq!(group_number("no-such-group-here"), Err("there is no group `no-such-group-here` here".to_owned()));
    }
}
