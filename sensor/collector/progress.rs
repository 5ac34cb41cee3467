//! What the collector has done so far, for whoever looks while it goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Collected;
use crate::merge::Counts;
use crate::metrics::Latest;

/// What a running collector has put out; anyone may read along.
#[derive(Debug, Default)]
pub struct Progress {
    /// Alerts, once each.
    pub alerts: AtomicU64,
    /// Event lines.
    pub events: AtomicU64,
    /// Records that the spool took.
    pub spooled: AtomicU64,
    /// Records that it did not take; they are in the log alone.
    pub not_spooled: AtomicU64,
    /// Whether the spool's last answer was no.
    pub failing: AtomicBool,
    /// What became of alerts on their way to it, as of the last release: all at one moment.
    merged: Latest<Counts>,
}

impl Progress {
    pub(super) fn show(&self, collected: &Collected) {
        let Collected { alerts, events, spooled, merged } = *collected;
        self.alerts.store(alerts, Ordering::Release);
        self.events.store(events, Ordering::Release);
        self.spooled.store(spooled, Ordering::Release);
        self.merged.say(merged);
    }

    /// What became of alerts on their way to the spool.
    pub fn merged(&self) -> Counts {
        self.merged.get()
    }
}
