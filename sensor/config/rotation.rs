//! The options of `outputs.eve` by which the sensor rotates its log itself.
//!
//! In: the options as they are written. Out: checked values, or faults. Never here: a file that is renamed.

use std::fs;
use std::path::Path;

use super::check::Desk;
use super::written::{self, Size};
use crate::limits::{
    EVE_KEEP_DEFAULT, EVE_KEEP_MAX, EVE_ROTATE_BYTES_MAX, EVE_ROTATE_BYTES_MIN, EVE_ROTATE_SECONDS_MAX,
    EVE_ROTATE_SECONDS_MIN,
};

/// When the sensor rotates its log, and how many older files it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Before the log would be longer; `None`: its size does not matter.
    pub bytes_max: Option<u64>,
    /// At whole multiples of this since 1970, in seconds; `None`: time does not matter.
    pub every_seconds: Option<u64>,
    /// Older files that are kept.
    pub keep: u32,
}

impl Desk<'_> {
    /// `None`: somebody else rotates it, or nobody.
    pub(super) fn rotation(&mut self, written: &written::Eve, path: Option<&Path>) -> Option<Rotation> {
        let bytes_max = written.rotate_bytes.map(|Size(bytes)| bytes);
        if bytes_max.is_some_and(|bytes| !(EVE_ROTATE_BYTES_MIN..=EVE_ROTATE_BYTES_MAX).contains(&bytes)) {
            let problem = format!("{} bytes are out of range", bytes_max.unwrap_or_default());
            self.fault("outputs.eve.rotate_bytes", problem, "1MiB to 1TiB");
        }
        let every_seconds = written.rotate_seconds;
        if every_seconds.is_some_and(|every| !(EVE_ROTATE_SECONDS_MIN..=EVE_ROTATE_SECONDS_MAX).contains(&every)) {
            let help = format!("{EVE_ROTATE_SECONDS_MIN} to {EVE_ROTATE_SECONDS_MAX}; 3600 is an hour, 86400 a day");
            let problem = format!("{} is out of range", every_seconds.unwrap_or_default());
            self.fault("outputs.eve.rotate_seconds", problem, &help);
        }
        let keep = written.keep.unwrap_or(EVE_KEEP_DEFAULT);
        if !(1..=EVE_KEEP_MAX).contains(&keep) {
            self.fault("outputs.eve.keep", format!("{keep} is out of range"), &format!("1 to {EVE_KEEP_MAX} files"));
        }
        let asked = match (bytes_max, every_seconds) {
            (Some(_), _) => "outputs.eve.rotate_bytes",
            (None, Some(_)) => "outputs.eve.rotate_seconds",
            (None, None) if written.keep.is_some() && !self.told("outputs.eve.keep") => {
                let help = "`rotate_bytes` or `rotate_seconds` says when the log is rotated";
                self.fault("outputs.eve.keep", "there is no rotation".to_string(), help);
                return None;
            }
            (None, None) => return None,
        };
        match path {
            None => self.fault(asked, "there is no `path`".to_string(), "name the file that is to be rotated"),
            // Through a link the data would stay where it is, and a pipe has no older files.
            Some(path) if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) => {
                let help = "only a file is rotated: name the file itself, or leave the rotation to whoever reads the other end";
                self.fault(asked, format!("{} is a link, a pipe or a device", path.display()), help);
            }
            Some(_) => {}
        }
        Some(Rotation { bytes_max, every_seconds, keep })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Refused, parse};
    use super::*;

    #[test]
    fn a_log_is_rotated_by_size_or_time_and_not_at_all_if_nobody_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |options: &str| {
            let text = format!("outputs: {{ eve: {{ path: eve.json{options} }} }}\n");
            parse("f", &text, folder.path(), &[], &|_| None)
        };
        let rotation = |options| read(options).expect("it is sound").outputs.rotation;
        assert_eq!(rotation(""), None);
        let both = Rotation { bytes_max: Some(1 << 30), every_seconds: Some(86_400), keep: 7 };
        assert_eq!(rotation(", rotate_bytes: 1GiB, rotate_seconds: 86400, keep: 7"), Some(both));
        let by_size = Rotation { every_seconds: None, keep: EVE_KEEP_DEFAULT, ..both };
        assert_eq!(rotation(", rotate_bytes: 1GiB"), Some(by_size));
        for odd in
            ["rotate_bytes: 1MB", "rotate_bytes: 1", "rotate_seconds: 59", "keep: 7", "rotate_seconds: 60, keep: 0"]
        {
            let refused = read(&format!(", {odd}"));
            assert!(matches!(&refused, Err(Refused::Faulty(faults)) if faults.len() == 1), "{odd}: {refused:?}");
        }
    }
}
