//! The configuration as it is written: one type per section, unknown options refused. Every option here has its line in
//! `deploy/haetae.yaml`; a test compares the two. Never here: a default.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::ledger::WrittenLedger;
use super::quarantine::WrittenQuarantine;
use super::{control, live};
use crate::emit;
use crate::limits::WORKERS_MAX;
use crate::networks;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Who we are.
    #[serde(default)]
    pub(crate) site: Site,
    /// What is inside.
    pub(crate) networks: Option<networks::Written>,
    /// Where packets come from.
    pub(crate) capture: Option<Vec<live::WrittenCapture>>,
    /// What we look for.
    #[serde(default)]
    pub(crate) rules: Rules,
    /// What is written down here.
    #[serde(default)]
    pub(crate) outputs: Outputs,
    /// What events show.
    #[serde(default)]
    pub(crate) events: live::WrittenEvents,
    /// Where alerts go; absent: nothing leaves.
    pub(crate) centre: Option<emit::Written>,
    /// How much of what was sent is kept account of.
    #[serde(default)]
    pub(crate) ledger: WrittenLedger,
    /// Who else hears of alerts; absent: nobody.
    pub(crate) sinks: Option<emit::sinks::Written>,
    /// Where metrics are served; absent: nowhere.
    pub(crate) metrics: Option<live::WrittenMetrics>,
    /// Where the running sensor is asked; absent: nowhere.
    pub(crate) control: Option<control::WrittenControl>,
    /// Where packets are kept that a worker died of; absent: nowhere.
    pub(crate) quarantine: Option<WrittenQuarantine>,
    /// The sensor's own log.
    #[serde(default)]
    pub(crate) logs: live::WrittenLogs,
    /// How much of the machine is ours.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// How much of its own rights the running sensor must have given up.
    pub(crate) sandbox: Option<live::Sandbox>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Site {
    pub(crate) id: Option<String>,
    pub(crate) sectors: Option<Vec<String>>,
    pub(crate) language: Option<Language>,
    pub(crate) key: Option<PathBuf>,
}

/// The language of texts for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Korean.
    Ko,
}

impl Language {
    /// `en`, `ko`: the key of a feed's `next:` text.
    pub const fn name(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Ko => "ko",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    pub(crate) set: Option<PathBuf>,
    pub(crate) local: Option<Vec<PathBuf>>,
    pub(crate) allow: Option<Vec<PathBuf>>,
    pub(crate) confidence_min: Option<u64>,
    pub(crate) tlp_max: Option<String>,
    pub(crate) answers: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outputs {
    pub(crate) eve: Option<Eve>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Eve {
    pub(crate) path: Option<PathBuf>,
    pub(crate) rotate_bytes: Option<Size>,
    pub(crate) rotate_seconds: Option<u64>,
    pub(crate) keep: Option<u32>,
    pub(crate) events: Option<Vec<EventType>>,
}

/// A type of EVE record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// Alerts.
    Alert,
    /// DNS messages.
    Dns,
    /// HTTP requests.
    Http,
    /// TLS hellos.
    Tls,
    /// Files carried by HTTP.
    Fileinfo,
    /// Flows that have ended.
    Flow,
    /// Counters, at the end.
    Stats,
}

impl EventType {
    /// All of them: what is written if nothing else is said.
    pub const ALL: [EventType; 7] = [
        EventType::Alert,
        EventType::Dns,
        EventType::Http,
        EventType::Tls,
        EventType::Fileinfo,
        EventType::Flow,
        EventType::Stats,
    ];

    /// As `event_type` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            EventType::Alert => "alert",
            EventType::Dns => "dns",
            EventType::Http => "http",
            EventType::Tls => "tls",
            EventType::Fileinfo => "fileinfo",
            EventType::Flow => "flow",
            EventType::Stats => "stats",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) workers: Option<Workers>,
    pub(crate) flows_max: Option<u64>,
    pub(crate) reassembly_max: Option<Size>,
    pub(crate) spool: Option<Size>,
    pub(crate) replay_hours: Option<u32>,
    pub(crate) replay_size: Option<Size>,
}

/// How many workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// As many as there are processors.
    #[default]
    Auto,
    /// This many.
    Count(usize),
}

impl Workers {
    /// What the reader calls it.
    pub(super) const NAME: &'static str = "Workers";
    const EXPECTED: &'static str = "`auto`, or a whole number from 1 to 256";
}

impl std::str::FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Workers::Auto),
            (_, Ok(count)) if (1..=WORKERS_MAX).contains(&count) => Ok(Workers::Count(count)),
            _ => Err(format!("`{text}` is no number of workers\n`auto`, or 1 to {WORKERS_MAX}")),
        }
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(Workers::NAME, Word { read: str::parse, expected: Workers::EXPECTED })
    }
}

/// A size in bytes, written `256MiB` or as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// What the reader calls it.
    pub(super) const NAME: &'static str = "Size";
    const EXPECTED: &'static str = "a size like 256MiB, or a whole number of bytes";
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == ' ');
        let shift = match text[digits.len()..].trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err(format!("`{text}` is no size\nwrite it like 256MiB; units are KiB, MiB, GiB, TiB")),
        };
        let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        number.map(Size).ok_or_else(|| format!("`{text}` is no size\nwrite it like 256MiB"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(Size::NAME, Word { read: str::parse, expected: Size::EXPECTED })
    }
}

/// A number or a word, both read from their text.
struct Word<T> {
    read: fn(&str) -> Result<T, String>,
    expected: &'static str,
}

impl<'de, T> Visitor<'de> for Word<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::manual;
    use super::super::read::read;
    use super::super::tree::{Key, Node, Tree, Value};
    use super::*;

    #[test]
    fn sizes_have_units() {
        let sizes = ["7", "256MiB", "1 GiB", "3KiB"].map(|text| text.parse());
        assert_eq!(sizes, [Ok(Size(7)), Ok(Size(256 << 20)), Ok(Size(1 << 30)), Ok(Size(3 << 10))]);
        for wrong in ["", "MiB", "1MB", "-1", "1.5GiB", "99999999TiB", "1 Gi B"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    fn entries<'a>(root: &'a Node, path: &str) -> &'a [(Key, Node)] {
        let mut node = root;
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            node = match &node.value {
                Value::Map(entries) => &entries.iter().find(|(key, _)| key.name == step).expect("it was visited").1,
                Value::List(items) => &items[step.trim_end_matches(']').parse::<usize>().expect("a number")],
                _ => node,
            };
        }
        if let Value::Map(entries) = &node.value { entries } else { &[] }
    }

    #[test]
    fn every_option_has_its_line_in_the_example_file() {
        let example = include_str!("../../deploy/haetae.yaml");
        let tree =
            Tree::parse("deploy/haetae.yaml", &manual::switched_on(example)).expect("it is YAML when switched on");
        let mut faults = Vec::new();
        let outcome = read::<Written>(&tree.root, &mut faults);
        assert!(faults.is_empty(), "deploy/haetae.yaml: {faults:?}");
        // The entries of a list may share the options among themselves.
        let list = |path: &str| path.split('[').next().expect("a first part").to_string();
        for (path, options) in &outcome.visited {
            let alike = outcome.visited.iter().filter(|(other, _)| list(other) == list(path));
            let given: Vec<_> = alike.flat_map(|(other, _)| entries(&tree.root, other)).collect();
            for option in *options {
                let there = given.iter().any(|(key, _)| key.name == *option);
                assert!(there, "deploy/haetae.yaml: the option {path}.{option} has no line");
            }
        }
        assert!(outcome.visited.len() >= 14, "all sections were visited");
    }

    #[test]
    fn the_example_file_is_sound_as_it_is() {
        let example = include_str!("../../deploy/haetae.yaml");
        let config = super::super::parse("deploy/haetae.yaml", example, std::path::Path::new(""), &[], &|_| None);
        assert!(config.is_ok(), "{config:?}");
    }
}
