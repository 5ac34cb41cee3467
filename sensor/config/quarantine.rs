//! The section `quarantine:`: where packets are kept that a worker died of.
//!
//! In: the section as it is written. Out: checked values, or faults. Never here: a folder that is made.

use std::path::PathBuf;

use serde::Deserialize;

use super::check::Desk;
use crate::limits::{QUARANTINE_FILES_DEFAULT, QUARANTINE_FILES_MAX};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenQuarantine {
    pub(crate) directory: PathBuf,
    pub(crate) files: Option<u64>,
}

/// Where packets are kept that a worker died of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// The folder; made where it is not there.
    pub directory: PathBuf,
    /// How many; then the oldest gives way.
    pub files: usize,
}

impl Desk<'_> {
    pub(super) fn quarantine(&mut self, written: WrittenQuarantine) -> Quarantine {
        let files = written.files.unwrap_or(QUARANTINE_FILES_DEFAULT);
        if !(1..=QUARANTINE_FILES_MAX).contains(&files) {
            let help = format!("1 to {QUARANTINE_FILES_MAX}; leave the section out to keep none");
            self.fault("quarantine.files", format!("{files} is out of range"), &help);
        }
        let directory = self.makeable("quarantine.directory", written.directory, "name a folder for packets");
        Quarantine { directory, files: files as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Refused, parse};
    use super::*;

    #[test]
    fn packets_are_kept_where_somebody_says_so() {
        let read = |text: &str| parse("f", text, std::path::Path::new("/etc"), &[], &|_| None);
        assert_eq!(read("").expect("it is sound").quarantine, None);
        let kept = read("quarantine: { directory: kept }\n").expect("it is sound").quarantine;
        assert_eq!(kept, Some(Quarantine { directory: "/etc/kept".into(), files: 32 }));
        for odd in
            ["{ directory: a, files: 0 }", "{ directory: a, files: 1001 }", "{ files: 3 }", "{ directory: \"\" }"]
        {
            let refused = read(&format!("quarantine: {odd}\n"));
            assert!(matches!(&refused, Err(Refused::Faulty(faults)) if faults.len() == 1), "{odd}: {refused:?}");
        }
    }
}
