//! The sensor's own log, on standard error: lines for a person, or a JSON object each.

use tracing::level_filters::LevelFilter;

use crate::config::{Level, LogFormat, Logs};

/// Sets it up for the whole process; a second call changes nothing. Panics are lines of it too.
pub(super) fn start(logs: Logs, colours: bool) {
    let level = match logs.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).with_target(false);
    let _already = match logs.format {
        LogFormat::Human => tracing::subscriber::set_global_default(lines.with_ansi(colours).finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
    };
    super::rescue::log_panics();
}
