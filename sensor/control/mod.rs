//! Control: the only room that starts threads, opens outputs and reads the clock of the machine.
//!
//! In: a checked order. Out: what became of it. The path itself is in [`crate::worker`].

mod delivery;
mod explanation;
mod outputs;
mod replay;

pub use replay::replay;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

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
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(path, error) => write!(f, "{}: {}", path.display(), plainly(error)),
            Failure::Configuration(reason) | Failure::Fault(reason) => f.write_str(reason),
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

/// Nanoseconds since the first call: the clock that the stages are measured with.
fn nanos() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
