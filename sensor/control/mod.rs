//! Control: the only room that starts threads, opens outputs and reads the clock of the machine.
//!
//! In: a checked order. Out: what became of it. The path itself is in [`crate::worker`].

#[cfg(feature = "libpcap")]
mod account;
#[cfg(feature = "libpcap")]
mod answers;
mod bar;
#[cfg(feature = "libpcap")]
mod bounds;
#[cfg(feature = "libpcap")]
mod brokering;
#[cfg(feature = "libpcap")]
mod caller;
#[cfg(feature = "libpcap")]
mod clock;
mod closing;
#[cfg(feature = "libpcap")]
mod confined;
mod delivery;
#[cfg(feature = "libpcap")]
mod disk;
#[cfg(feature = "libpcap")]
mod ending;
#[cfg(feature = "libpcap")]
mod eve_file;
mod explain;
mod explanation;
pub(crate) mod groups;
#[cfg(feature = "libpcap")]
mod keep;
#[cfg(feature = "libpcap")]
mod logs;
#[cfg(feature = "libpcap")]
mod look;
#[cfg(feature = "libpcap")]
mod notify;
#[cfg(feature = "libpcap")]
mod older;
#[cfg(feature = "libpcap")]
mod opening;
mod outputs;
mod pace;
mod places;
#[cfg(feature = "libpcap")]
mod pressure;
#[cfg(feature = "libpcap")]
mod pulse;
#[cfg(feature = "libpcap")]
mod quarantine;
#[cfg(feature = "libpcap")]
mod reloading;
mod replay;
#[cfg(feature = "libpcap")]
mod replaying;
#[cfg(feature = "libpcap")]
mod rescue;
#[cfg(feature = "libpcap")]
mod run;
#[cfg(feature = "libpcap")]
mod shared;
#[cfg(feature = "libpcap")]
mod shunting;
#[cfg(feature = "libpcap")]
mod socket;
#[cfg(feature = "libpcap")]
mod supervise;
#[cfg(feature = "libpcap")]
mod tap;
#[cfg(feature = "libpcap")]
mod threads;

#[cfg(feature = "libpcap")]
pub use brokering::broker;
pub use explain::{Answer, Asked, Exhibit, Found, Kept, Said, Sight, explain};
pub use places::unusable;
pub use replay::replay;
#[cfg(feature = "libpcap")]
pub use run::{Service, run};

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use crate::alert::record::SetVersion;
use crate::config::{Config, Digest, EventType};
use crate::feed::NotLoaded;
use crate::flow::Settings;
use crate::indicator::IndicatorSet;
use crate::observable::{Kind, digest, plain};
use crate::protocol::{Digests, Wants};

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether any indicator was met.
    pub matched: bool,
    /// Whether a capture was damaged or cut short.
    pub damaged: bool,
}

/// Why a replay could not be done.
#[derive(Debug)]
pub enum Failure {
    /// A file, folder or stream could not be used.
    Io(PathBuf, io::Error),
    /// The configuration or the rules do not allow it.
    Configuration(String),
    /// The sensor is at fault: a thread died or frames are unaccounted for.
    Fault(String),
    /// More rights would have to be given up than this machine lets anybody give up.
    Sandbox(String),
}

impl Failure {
    /// Rules that were not loaded.
    pub fn of_rules(reason: NotLoaded) -> Failure {
        match reason {
            // it names the file itself
            NotLoaded::Unusable(error) => Failure::Io("the rules".into(), error),
            NotLoaded::Broken(_) | NotLoaded::Nothing(..) => Failure::Configuration(reason.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(path, error) => {
                let (path, text) = (path.display().to_string(), plainly(error));
                // some name it themselves
                let why = text.strip_prefix(&path).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text);
                write!(f, "{path}: {why}")
            }
            Failure::Configuration(reason) | Failure::Fault(reason) | Failure::Sandbox(reason) => f.write_str(reason),
        }
    }
}

/// The system's words without its numbers.
fn plainly(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) if error.raw_os_error().is_some() => text[..end].to_owned(),
        _ => text,
    }
}

impl From<(PathBuf, io::Error)> for Failure {
    fn from((path, error): (PathBuf, io::Error)) -> Self {
        Failure::Io(path, error)
    }
}

/// A set's version as a number that every JSON reader keeps exact: its first 52 bits.
fn number_of(version: &str) -> u64 {
    version.get(..13).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// Which set alerts say that they are of.
fn version_of(set: &IndicatorSet) -> SetVersion {
    SetVersion { version: number_of(set.version()), age_seconds: None }
}

/// Bounds and keys of flows, as the configuration has them.
fn settings(config: &Config, key: (u64, u64), wants: Wants) -> Settings {
    let limits = &config.limits;
    Settings { flows_max: limits.flows_max, reassembly_bytes_max: limits.reassembly_bytes_max, key, wants }
}

/// Types of events of the wire that a log lists; alerts and stats are none, control and collector see to them.
fn logged(listed: &[EventType]) -> Vec<&'static str> {
    let names = listed.iter().map(|event| event.name());
    names.filter(|name| !["alert", "stats"].contains(name)).collect()
}

/// What readers are asked for; `events`: all types are written somewhere.
fn wants(config: &Config, set: &IndicatorSet, logged: &[&str], events: bool) -> Wants {
    let shown = events || logged.contains(&"fileinfo");
    let wanted = |row: &'static Kind, kind| shown && config.events.digests.contains(&kind) || set.holds(row);
    let digests = Digests {
        md5: wanted(&digest::MD5, Digest::Md5),
        sha1: wanted(&digest::SHA1, Digest::Sha1),
        sha256: wanted(&digest::SHA256, Digest::Sha256),
    };
    let logs_tls = events || logged.contains(&"tls");
    Wants {
        answers: config.rules.answers,
        digests,
        ja4: logs_tls || set.holds(&plain::JA4),
        certificates: logs_tls || set.holds(&digest::CERT_SHA1) || set.holds(&digest::CERT_SHA256),
        events: events || !logged.is_empty(),
    }
}

/// Nanoseconds since the first call: the clock that the stages are measured with.
fn nanos() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
