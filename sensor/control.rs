//! Control: a replay in, its outcome out.

use std::io::Write;
use std::path::PathBuf;

use crate::config::Replay;

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default)]
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
    Io(PathBuf, std::io::Error),
    /// The configuration or the rules do not allow it.
    Configuration(String),
}

/// Reads captures; prints for a person to `screen` where the replay asks for it.
///
/// # Errors
/// Files that cannot be used, and what the configuration does not allow.
pub fn replay(_replay: &Replay, _screen: &mut dyn Write) -> Result<Outcome, Failure> {
    Err(Failure::Configuration("captures are not read yet".to_string()))
}
