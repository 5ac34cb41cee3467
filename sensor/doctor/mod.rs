//! The doctor: looks at a port, the machine and some seconds of traffic, and says what is wrong and what to type.
//!
//! In: an interface and the configuration. Out: a [`Report`] of findings, each under a code that stays as it is. Facts are
//! gathered in one place and judged in another, so that what no machine here has (a card that strips tags, an old kernel) is
//! judged as well. Nothing is matched, nothing leaves, and nothing on the machine is changed: what is to be done is said.

mod about_machine;
mod about_port;
mod about_traffic;
pub mod codes;
mod copies;
pub mod facts;
mod headers;
pub mod judge;
mod netlink;
pub mod places;
pub mod say;
pub mod seen;
#[cfg(test)]
mod tests;
pub mod watch;

use std::time::Duration;

use crate::config::Config;
use facts::{Facts, Fault, Wanted};
use judge::{Finding, Severity};
use watch::Watch;

/// What the doctor is asked.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The port.
    pub interface: &'a str,
    /// How long it is watched.
    pub seconds: u64,
    /// The configuration; the defaults where there is none, or it was refused.
    pub config: &'a Config,
    /// Whether one was given.
    pub given: bool,
    /// Why it was refused.
    pub faults: Vec<Fault>,
    /// Worker threads that the sensor would have.
    pub workers: usize,
}

/// What the doctor found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it is based on.
    pub facts: Facts,
    /// The gravest first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Looks. `begun` is called when the port is watched from then on.
pub fn examine(order: Order<'_>, begun: &mut dyn FnMut()) -> Report {
    let Order { interface, seconds, config, given, faults, workers } = order;
    let mut facts = Facts::gather(Wanted::of(interface, config, given, workers), config, faults);
    let networks = config.networks.clone().unwrap_or_default();
    if let Some(port) = facts.port.as_ref().filter(|port| port.up) {
        let watched = Watch::open(&facts.wanted, port.queues).and_then(|watch| {
            begun();
            watch.run(Duration::from_secs(seconds), &networks, port.mtu)
        });
        facts.watched = Some(watched);
    }
    let findings = judge::judge(&facts);
    Report { facts, findings }
}
