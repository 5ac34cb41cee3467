//! A replay as the user has asked for it, checked: what control needs to begin.
//!
//! In: the command line and the configuration. Out: plain values. Never here: a default that control would have to know.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::check::Config;
use crate::emit::Section;
use crate::leash::Provoke;
use crate::limits::{PACE_FACTOR_MAX, PACE_FACTOR_MIN};

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To a file, which is made anew.
    File(PathBuf),
    /// To standard output.
    Stdout,
}

/// A report for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where the page goes.
    pub output: Output,
    /// The command as it was typed, without what the page does not depend on.
    pub command: String,
    /// The configuration's file.
    pub configuration: Option<PathBuf>,
}

/// How fast the time of a capture passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    factor: f64,
}

impl Pace {
    /// How long to wait for what took so long in the capture.
    pub fn wait(self, gap: Duration) -> Duration {
        Duration::try_from_secs_f64(gap.as_secs_f64() / self.factor).unwrap_or(Duration::MAX)
    }
}

impl FromStr for Pace {
    type Err = String;

    /// `real`, or a factor: `10x`, `0.5x`.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |number: &&str| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let factor = match text {
            "real" => Some(1.0),
            _ => text.strip_suffix('x').filter(plain).and_then(|number| number.parse().ok()),
        };
        match factor.filter(|factor| (PACE_FACTOR_MIN..=PACE_FACTOR_MAX).contains(factor)) {
            Some(factor) => Ok(Pace { factor }),
            None => Err(format!("real, or a factor like 10x or 0.5x, {PACE_FACTOR_MIN}x to {PACE_FACTOR_MAX}x")),
        }
    }
}

/// One or more captures to be read.
#[derive(Debug, Default)]
pub struct Replay {
    /// Capture files and folders of them, in the order given.
    pub paths: Vec<PathBuf>,
    /// Indicator files and folders: `-S`, or else the configuration's set and local rules.
    pub rules: Vec<PathBuf>,
    /// The checked configuration; bounds are in its `limits`.
    pub config: Config,
    /// How many workers, 1 to 256.
    pub workers: usize,
    /// Frames of a batch, 1 to 256.
    pub batch: usize,
    /// Whether the paths are rotated pieces of one capture.
    pub continuous: bool,
    /// What its workers are made to fail at.
    pub provoke: Option<Provoke>,
    /// How fast frames come; `None`: as fast as they are read.
    pub pace: Option<Pace>,
    /// A folder for one `eve.json` with all types that the configuration lists.
    pub log_dir: Option<PathBuf>,
    /// Alerts alone.
    pub alerts: Option<Output>,
    /// Events of all types.
    pub events: Option<Output>,
    /// A folder for one `CASE.eve.json` per capture.
    pub events_dir: Option<PathBuf>,
    /// Counters.
    pub stats: Option<Output>,
    /// One page that explains what happened.
    pub report: Option<Report>,
    /// Where alerts are delivered, as an exercise: a replay is never anything else. `None`: nothing leaves.
    pub centre: Option<Section>,
    /// Whether a damaged capture is an error.
    pub strict: bool,
    /// Whether a match is told by the exit code.
    pub fail_on_match: bool,
    /// Whether to print for a person.
    pub screen: bool,
    /// Whether to show on standard error, which is a terminal, how far it is.
    pub progress: bool,
    /// Whether to print every refused rule and not only their number.
    pub verbose: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_real_or_a_factor_and_nothing_else() {
        let second = Duration::from_secs(1);
        for (text, wait) in [("real", 1_000), ("1x", 1_000), ("10x", 100), ("0.5x", 2_000), ("1000x", 1)] {
            let pace: Pace = text.parse().expect("a pace");
            assert_eq!(pace.wait(second).as_millis(), wait, "{text}");
        }
        for text in
            ["", "x", "10", "0x", "-1x", "+1x", "1e3x", "nanx", "infx", "0.0001x", "9999999x", "1.2.3x", "Real", "fast"]
        {
            let problem = text.parse::<Pace>().expect_err(text);
            assert_eq!(problem, "real, or a factor like 10x or 0.5x, 0.001x to 1000000x", "{text}");
        }
    }

    #[test]
    fn no_gap_is_too_long_to_be_divided() {
        let pace: Pace = "0.001x".parse().expect("a pace");
        assert!(pace.wait(Duration::MAX) == Duration::MAX);
    }
}
