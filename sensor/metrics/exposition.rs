//! A sight of the sensor in the text format that Prometheus reads.
//!
//! In: a [`Sight`]. Out: metric families, made anew for each that asks, so that nothing here costs a packet anything. Label
//! values come from tables of this program and from the names of interfaces. Never here: a value of an indicator.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::families::FAMILIES;
use super::{Link, Sight, Tally};
use crate::alert::record::Mode;
use crate::limits::LINKS_LABELLED_MAX;

/// What links beyond [`LINKS_LABELLED_MAX`] are called together.
const OTHER_LINKS: &str = "other";

/// Whether numbers of a family only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grows {
    /// From 0 at the start of the sensor: a counter.
    Only,
    /// Up and down: a gauge.
    OrShrinks,
}

/// A metric family: one row of [`FAMILIES`].
pub(super) struct Family {
    /// As it is asked for.
    pub name: &'static str,
    /// Whether its numbers only grow.
    pub grows: Grows,
    /// What it tells an operator.
    pub help: &'static str,
    /// Its samples; none: the family is left out.
    pub read: fn(&Seen<'_>, &mut Samples),
}

/// A sight with what several families need of it.
pub(super) struct Seen<'a> {
    /// The sight.
    pub sight: &'a Sight,
    /// All workers together.
    pub sum: Tally,
    /// Frames that no worker accounts for.
    pub accounting_error: i64,
    /// The links by the name that they are shown under.
    pub links: Vec<Link>,
}

impl<'a> Seen<'a> {
    fn new(sight: &'a Sight) -> Self {
        let mut sum = Tally::default();
        let live = sight.mode == Mode::Live;
        sight.tallies.iter().for_each(|tally| if live { sum.append(tally) } else { sum.join(tally) });
        let accounting_error = match live {
            // each by itself: one worker's loss is not made up for by another's surplus
            true => sight.tallies.iter().map(|tally| tally.unaccounted().abs()).sum(),
            false => sum.unaccounted(),
        };
        Seen { sight, sum, accounting_error, links: shown(&sight.links) }
    }
}

/// The links under the names that they are shown under: no name twice, and no more of them than is fit for labels.
fn shown(links: &[Link]) -> Vec<Link> {
    let mut shown: BTreeMap<&str, Link> = BTreeMap::new();
    for link in links {
        let known = shown.contains_key(link.name.as_str()) || shown.len() < LINKS_LABELLED_MAX;
        let name = if known { &link.name[..] } else { OTHER_LINKS };
        let sum = shown.entry(name).or_insert_with(|| Link {
            name: name.to_owned(),
            backend: link.backend,
            up: true,
            ..Link::default()
        });
        sum.received += link.received;
        sum.kernel_drops += link.kernel_drops;
        sum.interface_drops += link.interface_drops;
        sum.up &= link.up;
    }
    shown.into_values().collect()
}

/// The samples of one family.
pub(super) struct Samples {
    grows: Grows,
    metrics: Vec<Metric>,
}

impl Samples {
    /// A sample without labels.
    pub(super) fn one(&mut self, value: f64) {
        self.with(&[], value);
    }

    /// A sample with one label.
    pub(super) fn by(&mut self, name: &'static str, of: &str, value: f64) {
        self.with(&[(name, of)], value);
    }

    /// A sample with labels.
    pub(super) fn with(&mut self, labels: &[(&'static str, &str)], value: f64) {
        let pair = |&(name, of): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(of.to_owned());
            pair
        };
        let mut metric = Metric::from_label(labels.iter().map(pair).collect());
        match self.grows {
            Grows::Only => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Grows::OrShrinks => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.metrics.push(metric);
    }
}

fn collect(family: &Family, seen: &Seen<'_>) -> MetricFamily {
    let mut samples = Samples { grows: family.grows, metrics: Vec::new() };
    (family.read)(seen, &mut samples);
    let mut collected = MetricFamily::default();
    collected.set_name(family.name.to_owned());
    collected.set_help(family.help.to_owned());
    collected.set_field_type(match family.grows {
        Grows::Only => MetricType::COUNTER,
        Grows::OrShrinks => MetricType::GAUGE,
    });
    collected.set_metric(samples.metrics);
    collected
}

/// The sight as Prometheus reads it (text format 0.0.4), in the order of the table of families.
pub fn exposition(sight: &Sight) -> String {
    let seen = Seen::new(sight);
    let families = FAMILIES.iter().map(|family| collect(family, &seen));
    let families: Vec<MetricFamily> = families.filter(|family| !family.get_metric().is_empty()).collect();
    // the encoder refuses families without a name or samples; there is none, and a scrape must not end the sensor
    TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| format!("# {error}\n"))
}
