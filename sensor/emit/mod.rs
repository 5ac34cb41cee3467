//! Sinks: each tries once and answers delivered, later or never.

use std::path::PathBuf;

use serde::Deserialize;

/// The `centre:` section as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Where alerts go: `https://...`; `http://` for loopback only.
    pub url: String,
    /// The member's gate file.
    pub gate: Option<PathBuf>,
    /// A file with the bearer token.
    pub token: Option<PathBuf>,
    /// A PEM file of authorities to trust instead of the system's.
    pub authority: Option<PathBuf>,
    /// The spool's directory.
    pub spool: Option<PathBuf>,
}
