//! The member's policy: `gate.yaml` in, what may leave out. Unknown keys and words are refused; what the file does not
//! say is as safe as it can be while an alert still says something. Nothing from the centre writes this file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::indicator::Tlp;
use crate::limits::SMALL_FILE_BYTES_MAX;

/// `gate.yaml` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The strictest TLP whose alerts leave: `clear`, `green`, `amber`, `amber+strict`, `red`.
    pub tlp_max: Option<String>,
    /// Whether the names of the site's networks leave.
    pub network_names: Option<bool>,
    /// The groups of fields that leave.
    pub leave: Option<Vec<Group>>,
    /// The file with the key for tokens.
    pub key: Option<PathBuf>,
}

/// A group of fields. Identity, revision and severity always leave: without them there is no alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// `timestamp`, and `contact.first`, `contact.last`.
    Time,
    /// `proto`, `app_proto`, `direction`.
    Protocol,
    /// `peer`: the other side's address if it is not the site's, and the port it serves.
    Peer,
    /// `indicators[].seen_in` and `.seen`: where and as what it was seen.
    Seen,
    /// `asset`: a token and a role; the network's name only with `network_names`.
    Asset,
    /// `contact`: stage, bytes, count, sinkhole.
    Contact,
    /// `contact.answer`: outside addresses that a resolver answered.
    Answers,
    /// `contact.resolver`: a token.
    Resolver,
    /// `via`: whether a proxy or a translation lies between.
    Via,
    /// `coverage`: what the sensor could not see.
    Coverage,
    /// `set`: which indicators were loaded, and how old.
    Set,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 11] = [
        Group::Time,
        Group::Protocol,
        Group::Peer,
        Group::Seen,
        Group::Asset,
        Group::Contact,
        Group::Answers,
        Group::Resolver,
        Group::Via,
        Group::Coverage,
        Group::Set,
    ];
}

/// The policy, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Alerts on indicators above this are withheld.
    pub tlp_max: Tlp,
    /// Whether the names of the site's networks leave.
    pub network_names: bool,
    /// The key's file, if the member names one.
    pub key: Option<PathBuf>,
    pub(super) groups: Vec<Group>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { tlp_max: Tlp::Amber, network_names: false, key: None, groups: Group::ALL.to_vec() }
    }
}

impl Policy {
    /// Checks what is written; paths are relative to `base`.
    ///
    /// # Errors
    /// The key in the file, and what is wrong with it.
    pub fn check(written: Written, base: &Path) -> Result<Policy, (&'static str, String)> {
        let safe = Policy::default();
        let tlp_max = match written.tlp_max {
            None => safe.tlp_max,
            Some(word) => tlp(&word)
                .ok_or_else(|| ("tlp_max", format!("`{word}` is not one of clear, green, amber, amber+strict, red")))?,
        };
        Ok(Policy {
            tlp_max,
            network_names: written.network_names.unwrap_or(safe.network_names),
            key: written.key.map(|key| base.join(key)),
            groups: written.leave.unwrap_or(safe.groups),
        })
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(path: &Path) -> Result<Policy, String> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(SMALL_FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let written = if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            Written::default()
        } else {
            serde_yaml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
        };
        let base = path.parent().unwrap_or(Path::new("."));
        Policy::check(written, base).map_err(|(key, why)| format!("{}: {key}: {why}", path.display()))
    }

    /// Whether a group leaves.
    pub fn lets(&self, group: Group) -> bool {
        self.groups.contains(&group)
    }
}

/// A TLP word as files and records spell it.
pub(super) fn tlp(word: &str) -> Option<Tlp> {
    let word = word.trim().to_ascii_lowercase();
    match word.strip_prefix("tlp:").unwrap_or(&word) {
        "clear" | "white" => Some(Tlp::Clear),
        "green" => Some(Tlp::Green),
        "amber" => Some(Tlp::Amber),
        "amber+strict" | "amber-strict" | "amber_strict" => Some(Tlp::AmberStrict),
        "red" => Some(Tlp::Red),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Policy, String> {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("gate.yaml");
        std::fs::write(&path, text).unwrap();
        Policy::read(&path)
    }

    #[test]
    fn a_file_that_says_nothing_is_safe() {
        assert_eq!(read("# nothing\n"), Ok(Policy::default()));
        assert!(!Policy::default().network_names);
        assert_eq!(Policy::default().tlp_max, Tlp::Amber);
    }

    #[test]
    fn a_file_says_what_leaves() {
        let policy = read("tlp_max: green\nnetwork_names: true\nleave: [time, asset]\n").unwrap();
        assert_eq!((policy.tlp_max, policy.network_names), (Tlp::Green, true));
        assert!(policy.lets(Group::Asset) && !policy.lets(Group::Peer));
    }

    #[test]
    fn unknown_keys_and_words_are_refused() {
        assert!(read("tlp_maximum: green\n").unwrap_err().contains("tlp_maximum"));
        assert!(read("leave: [src_ip]\n").unwrap_err().contains("src_ip"));
        assert!(read("tlp_max: purple\n").unwrap_err().contains("tlp_max: `purple`"));
    }

    #[test]
    fn the_file_that_is_shipped_says_the_defaults() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/gate.yaml");
        assert_eq!(Policy::read(&shipped), Ok(Policy::default()));
    }
}
