//! A replay as the user has asked for it, checked: what control needs to begin.
//!
//! In: the command line and the configuration. Out: plain values. Never here: a default that control would have to know.

use std::path::PathBuf;

use super::check::Config;
use crate::emit::Section;

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
    /// Whether to print every refused rule and not only their number.
    pub verbose: bool,
}
