//! What a replay came to, put together for its report.
//!
//! In: captures, rules and what left. Out: the page, written. Never here: HTML.

use std::io::{self, Write};

use super::number_of;
use super::replay::{Captured, Rules};
use crate::cli::screen::Delivery;
use crate::config::Replay;
use crate::metrics::{self, Tally};
use crate::networks::Networks;
use crate::report::{self, Capture, CutShort, Facts, Findings};

/// What a replay came to.
pub(super) struct Come<'a> {
    pub(super) replay: &'a Replay,
    pub(super) all: &'a [Captured],
    pub(super) loaded: &'a Rules,
    pub(super) networks: &'a Networks,
    /// What left this machine.
    pub(super) left: Option<&'a Delivery>,
}

impl Come<'_> {
    /// Writes the report that was asked for.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write(&self, findings: &Findings, out: &mut dyn Write) -> io::Result<()> {
        let Some(order) = &self.replay.report else { return Ok(()) };
        let mut sum = Tally::default();
        self.all.iter().for_each(|captured| sum.append(&captured.tally));
        let version = self.loaded.set.version();
        let configuration = order.configuration.as_ref().map(|path| path.display().to_string());
        let facts = Facts {
            language: self.replay.config.site.language.name(),
            site: &self.replay.config.site.id,
            command: &order.command,
            configuration: configuration.as_deref(),
            networks: self.networks,
            set: self.loaded.given.then(|| (version, number_of(version))),
            loaded: self.loaded.set.len() as u64,
            refused: &self.loaded.reasons,
            refusals: &self.loaded.refusals,
            captures: self.all.iter().map(capture).collect(),
            not_seen: metrics::not_seen(&sum),
            tally: &sum,
            delivered: self.left,
            findings,
        };
        report::write(&facts, out)?;
        out.flush()
    }
}

fn capture(captured: &Captured) -> Capture {
    let cuts = captured.cuts.iter().map(|(path, cut)| CutShort {
        file: path.display().to_string(),
        bytes: cut.bytes,
        reason: cut.reason,
    });
    Capture {
        name: captured.name.display().to_string(),
        packets: captured.tally.handed,
        bytes: captured.tally.bytes,
        alerts: captured.collected.alerts,
        time: captured.first.map(|first| (first, captured.last)),
        cuts: cuts.collect(),
    }
}
