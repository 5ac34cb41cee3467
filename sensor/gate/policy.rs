//! The member's policy: `gate.yaml` in, what may leave out, for each sink. Unknown keys and words are refused; what the file
//! does not say is as safe as it can be while an alert still says something. Nothing from the centre writes this file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::sink::{CENTRE, Group, Sink, WrittenSinks};
use crate::indicator::{Pap, Tlp};
use crate::limits::SMALL_FILE_BYTES_MAX;

/// `gate.yaml` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The strictest TLP whose alerts leave: `clear`, `green`, `amber`, `amber+strict`, `red`.
    pub tlp_max: Option<String>,
    /// The strictest PAP whose alerts leave: `clear`, `green`, `amber`.
    pub pap_max: Option<String>,
    /// Whether the names of the site's networks leave.
    pub network_names: Option<bool>,
    /// The groups of fields that leave.
    pub leave: Option<Vec<Group>>,
    /// What holds for one sink instead.
    pub sinks: Option<WrittenSinks>,
    /// The file with the key for tokens.
    pub key: Option<PathBuf>,
}

/// What `gate.yaml` says of one sink.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenSink {
    /// As at the top.
    pub tlp_max: Option<String>,
    /// As at the top, and `red` where the table has it.
    pub pap_max: Option<String>,
    /// As at the top.
    pub leave: Option<Vec<Group>>,
}

/// One thing that is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The option: `sinks.taxii.leave[1]`.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
    /// A way out.
    pub help: String,
}

/// The policy, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Alerts on indicators above this are withheld from the alliance's centre.
    pub tlp_max: Tlp,
    /// The same for what may be done with them.
    pub pap_max: Pap,
    /// Whether the names of the site's networks leave to the alliance's centre.
    pub network_names: bool,
    /// The key's file, if the member names one.
    pub key: Option<PathBuf>,
    pub(super) groups: Vec<Group>,
    pub(super) said: Vec<(&'static Sink, Said)>,
}

/// What the member says of one sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    tlp_max: Option<Tlp>,
    pap_max: Option<Pap>,
    groups: Option<Vec<Group>>,
}

/// What may leave to one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Alerts on indicators above this are withheld.
    pub tlp_max: Tlp,
    /// The same for what may be done with them.
    pub pap_max: Pap,
    /// Whether the names of the site's networks leave.
    pub network_names: bool,
    /// The groups of fields that leave.
    pub groups: Vec<Group>,
}

impl Limits {
    /// Whether a group leaves.
    pub fn lets(&self, group: Group) -> bool {
        self.groups.contains(&group)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            tlp_max: CENTRE.tlp_max,
            pap_max: CENTRE.pap_max,
            network_names: false,
            key: None,
            groups: CENTRE.leaves.to_vec(),
            said: Vec::new(),
        }
    }
}

impl Policy {
    /// Checks what is written; paths are relative to `base`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(written: Written, base: &Path) -> Result<Policy, Vec<Mistake>> {
        let safe = Policy::default();
        let mut mistakes = Vec::new();
        let top = WrittenSink { tlp_max: written.tlp_max, pap_max: written.pap_max, leave: written.leave };
        let top = checked("", &CENTRE, top, &mut mistakes);
        let sinks = written.sinks.unwrap_or_default().by_row().into_iter();
        let said = sinks.filter_map(|(sink, written)| {
            Some((sink, checked(&format!("sinks.{}.", sink.name), sink, written?, &mut mistakes)))
        });
        let said = said.collect();
        let policy = Policy {
            tlp_max: top.tlp_max.unwrap_or(safe.tlp_max),
            pap_max: top.pap_max.unwrap_or(safe.pap_max),
            network_names: written.network_names.unwrap_or(safe.network_names),
            key: written.key.map(|key| base.join(key)),
            groups: top.groups.unwrap_or(safe.groups),
            said,
        };
        if mistakes.is_empty() { Ok(policy) } else { Err(mistakes) }
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
        Policy::check(written, base).map_err(|mistakes| {
            let lines = mistakes.iter().map(|wrong| format!("{}: {}: {}", path.display(), wrong.key, wrong.problem));
            lines.collect::<Vec<_>>().join("\n")
        })
    }

    /// What may leave to a sink: what the member says of it; else, to the alliance's centre what the file says at its top, and
    /// to others what the table says and the top does not forbid. Never more than the sink's row can carry and may.
    pub fn limits(&self, sink: &'static Sink) -> Limits {
        let unsaid = Said::default();
        let said = self.said.iter().find(|(row, _)| *row == sink).map_or(&unsaid, |(_, said)| said);
        let usual =
            |groups: &'static [Group]| self.groups.iter().copied().filter(|group| groups.contains(group)).collect();
        let (tlp, pap, groups) = if sink.alliance {
            (self.tlp_max, self.pap_max, usual(sink.carries))
        } else {
            (self.tlp_max.min(sink.tlp_max), self.pap_max.min(sink.pap_max), usual(sink.leaves))
        };
        let mut groups: Vec<Group> = said.groups.clone().unwrap_or(groups);
        groups.retain(|group| sink.carries.contains(group));
        Limits {
            tlp_max: said.tlp_max.unwrap_or(tlp).min(sink.tlp_ceiling),
            pap_max: said.pap_max.unwrap_or(pap).min(sink.pap_ceiling),
            network_names: self.network_names && sink.alliance,
            groups,
        }
    }
}

/// Holds what is said of a sink against its row.
fn checked(before: &str, sink: &Sink, written: WrittenSink, mistakes: &mut Vec<Mistake>) -> Said {
    let mut wrong = |key: String, problem: String, help: String| {
        mistakes.push(Mistake { key: format!("{before}{key}"), problem, help });
    };
    let who = sink.name;
    let tlp_max = written.tlp_max.and_then(|word| {
        let may = Tlp::ALL.into_iter().filter(|tlp| *tlp <= sink.tlp_ceiling).map(Tlp::name);
        bounded("tlp_max", &word, (Tlp::from_name(&word), sink.tlp_ceiling), (who, may.collect()), &mut wrong)
    });
    let pap_max = written.pap_max.and_then(|word| {
        let may = Pap::ALL.into_iter().filter(|pap| *pap <= sink.pap_ceiling).map(Pap::name);
        bounded("pap_max", &word, (Pap::from_name(&word), sink.pap_ceiling), (who, may.collect()), &mut wrong)
    });
    for (at, group) in written.leave.iter().flatten().enumerate() {
        let word = format!("{group:?}").to_lowercase();
        if written.leave.iter().flatten().take(at).any(|before| before == group) {
            wrong(format!("leave[{at}]"), format!("is given twice: {word}"), "once is enough".into());
        } else if !sink.carries.contains(group) {
            let carried: Vec<String> = sink.carries.iter().map(|group| format!("{group:?}").to_lowercase()).collect();
            let help = format!("any of {}", carried.join(", "));
            wrong(format!("leave[{at}]"), format!("`{word}` has no place in what goes to {who}"), help);
        }
    }
    Said { tlp_max, pap_max, groups: written.leave }
}

/// A level that a word names, if the row allows it.
fn bounded<Level: Ord>(
    key: &str,
    word: &str,
    (level, ceiling): (Option<Level>, Level),
    (who, may): (&str, Vec<&str>),
    wrong: &mut impl FnMut(String, String, String),
) -> Option<Level> {
    let may = may.join(", ");
    match level {
        None => wrong(key.into(), format!("`{word}` is not one of {may}"), may),
        Some(level) if level > ceiling => {
            wrong(key.into(), format!("`{word}`: what is marked so never leaves to {who}"), may);
        }
        fine => return fine,
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::sink::{CEF, MISP, NATS, SINKS, SYSLOG, TAXII};
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
        let safe = Policy::default().limits(&CENTRE);
        assert_eq!((safe.tlp_max, safe.pap_max, safe.network_names), (Tlp::Amber, Pap::Amber, false));
        for sink in SINKS {
            let limits = Policy::default().limits(sink);
            assert_eq!((limits.tlp_max, limits.pap_max), (sink.tlp_max, sink.pap_max));
            assert_eq!(limits.groups, sink.leaves);
        }
    }

    #[test]
    fn a_file_says_what_leaves() {
        let policy = read("tlp_max: green\npap_max: clear\nnetwork_names: true\nleave: [time, asset]\n").unwrap();
        let limits = policy.limits(&CENTRE);
        assert_eq!((limits.tlp_max, limits.pap_max, limits.network_names), (Tlp::Green, Pap::Clear, true));
        assert_eq!(limits.groups, [Group::Time, Group::Asset]);
        assert_eq!(policy.limits(&NATS), limits, "the alliance hears the same by either way");
        let others = policy.limits(&TAXII);
        assert_eq!((others.tlp_max, others.pap_max, others.network_names), (Tlp::Green, Pap::Clear, false));
        assert_eq!(others.groups, [Group::Time], "what the top takes away nobody hears");
    }

    #[test]
    fn what_is_said_of_a_sink_holds_for_it_alone() {
        let policy = read("sinks: { taxii: { tlp_max: amber, leave: [peer] }, syslog: { pap_max: red } }\n").unwrap();
        assert_eq!((policy.limits(&TAXII).tlp_max, policy.limits(&MISP).tlp_max), (Tlp::Amber, Tlp::Green));
        assert_eq!(policy.limits(&TAXII).groups, [Group::Peer]);
        assert_eq!((policy.limits(&SYSLOG).pap_max, policy.limits(&CEF).pap_max), (Pap::Red, Pap::Amber));
        assert_eq!(policy.limits(&CENTRE), Policy::default().limits(&CENTRE));
        let open = read("tlp_max: red\nleave: [query, resolver, time]\n").unwrap();
        assert_eq!(open.limits(&CENTRE).tlp_max, Tlp::Red);
        let limits = open.limits(&SYSLOG);
        assert_eq!((limits.tlp_max, limits.groups), (Tlp::Green, vec![Group::Time]), "the top widens nobody else");
    }

    #[test]
    fn no_row_is_widened_beyond_its_ceiling() {
        for sink in SINKS {
            for tlp in Tlp::ALL {
                let read = read(&format!("sinks: {{ {}: {{ tlp_max: {} }} }}\n", sink.name, tlp.name()));
                assert_eq!(read.is_ok(), tlp <= sink.tlp_ceiling, "{} {tlp:?}: {read:?}", sink.name);
            }
            for pap in Pap::ALL {
                let read = read(&format!("sinks: {{ {}: {{ pap_max: {} }} }}\n", sink.name, pap.name()));
                assert_eq!(read.is_ok(), pap <= sink.pap_ceiling, "{} {pap:?}: {read:?}", sink.name);
            }
        }
        assert!(read("pap_max: red\n").unwrap_err().contains("never leaves to centre"));
        assert!(read("sinks: { misp: { leave: [time, asset] } }\n").unwrap_err().contains("sinks.misp.leave[1]"));
    }

    #[test]
    fn unknown_keys_and_words_are_refused() {
        assert!(read("tlp_maximum: green\n").unwrap_err().contains("tlp_maximum"));
        assert!(read("leave: [src_ip]\n").unwrap_err().contains("src_ip"));
        assert!(read("tlp_max: purple\n").unwrap_err().contains("tlp_max: `purple`"));
        assert!(read("sinks: { pigeon: {} }\n").unwrap_err().contains("pigeon"));
        assert!(read("sinks: { cef: { tlp: red } }\n").unwrap_err().contains("tlp"));
    }

    #[test]
    fn the_file_that_is_shipped_says_the_defaults() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/gate.yaml");
        let policy = Policy::read(&shipped).unwrap();
        for sink in SINKS {
            assert_eq!(policy.limits(sink), Policy::default().limits(sink), "{}", sink.name);
        }
        assert_eq!(policy.key, None);
    }
}
