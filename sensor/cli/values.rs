//! How values of options are read, where their type alone does not say it.
//!
//! In: one word. Out: a value, or what would have been one. Never here: an option's name.

use std::path::PathBuf;

use crate::config::{Output, Workers};
use crate::limits::{BATCH_FRAMES_MAX, DOCTOR_SECONDS_MAX};

pub(super) fn output(text: &str) -> Result<Output, String> {
    match text {
        "" => Err("a file name, or - for standard output".to_string()),
        "-" => Ok(Output::Stdout),
        _ => Ok(Output::File(PathBuf::from(text))),
    }
}

pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=DOCTOR_SECONDS_MAX).contains(seconds));
    seconds.ok_or(format!("1 to {DOCTOR_SECONDS_MAX}"))
}

pub(super) fn workers(text: &str) -> Result<Workers, String> {
    text.parse().map_err(|problem: String| problem.replace('\n', ": "))
}

pub(super) fn batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(frames) if (1..=BATCH_FRAMES_MAX).contains(&frames) => Ok(frames),
        _ => Err(format!("1 to {BATCH_FRAMES_MAX}")),
    }
}
