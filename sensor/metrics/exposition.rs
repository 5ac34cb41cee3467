//! A sight of the sensor in the text format that Prometheus reads.
//!
//! In: a [`Sight`]. Out: metric families, made anew for each that asks, so that nothing here costs a packet anything. Label
//! values come from tables of this program and from the names of interfaces. Never here: a value of an indicator.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::families::FAMILIES;
use super::{DeliveryState, Link, Sight, SpoolState, Tally};
use crate::alert::record::Mode;
use crate::emit::{CLASSES_MS, Delayed};
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
    /// From 0 at the start of the sensor, by how long something took: a histogram.
    ByTime,
}

/// A metric family: one row of [`FAMILIES`].
pub(super) struct Family {
    /// As it is asked for.
    pub name: &'static str,
    /// Whether its numbers only grow.
    pub grows: Grows,
    /// What it tells an operator.
    pub help: &'static str,
    /// Its samples.
    pub read: Read,
}

/// Where a family's samples come from. None at all: the family is left out.
pub(super) enum Read {
    /// One number of all workers together.
    Sum(fn(&Tally) -> u64),
    /// One number of each link.
    Links(fn(&Link) -> u64),
    /// One number of the sensor.
    Sight(fn(&Sight) -> Option<f64>),
    /// One number of the spool, if there is one.
    Spool(fn(&SpoolState) -> f64),
    /// One number of the delivery, if there is one.
    Delivery(fn(&DeliveryState) -> Option<f64>),
    /// Whatever it likes.
    Any(fn(&Seen<'_>, &mut Samples)),
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
        sum.unclaimed += link.unclaimed;
        sum.interface_drops += link.interface_drops;
        sum.shunted += link.shunted;
        sum.shunted_bytes += link.shunted_bytes;
        sum.queues.extend(link.queues.iter().filter(|_| known));
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

    /// The classes of a histogram, with one label.
    pub(super) fn times(&mut self, name: &'static str, of: &str, delayed: &Delayed) {
        let mut histogram = Histogram::default();
        let mut count = 0;
        let buckets = delayed.classes.iter().zip(CLASSES_MS.map(|up_to| up_to as f64 / 1e3)).map(|(records, up_to)| {
            count += records;
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(count);
            bucket.set_upper_bound(up_to);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(delayed.classes.iter().sum());
        histogram.set_sample_sum(delayed.sum.as_secs_f64());
        let mut metric = Metric::from_label(vec![pair(&(name, of))]);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    /// A sample with labels.
    pub(super) fn with(&mut self, labels: &[(&'static str, &str)], value: f64) {
        let mut metric = Metric::from_label(labels.iter().map(pair).collect());
        match self.grows {
            Grows::Only => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Grows::OrShrinks | Grows::ByTime => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.metrics.push(metric);
    }
}

fn pair(&(name, of): &(&'static str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(of.to_owned());
    pair
}

fn collect(family: &Family, seen: &Seen<'_>) -> MetricFamily {
    let mut samples = Samples { grows: family.grows, metrics: Vec::new() };
    match family.read {
        Read::Sum(read) => samples.one(read(&seen.sum) as f64),
        Read::Links(read) => seen.links.iter().for_each(|link| samples.by("interface", &link.name, read(link) as f64)),
        Read::Sight(read) => read(seen.sight).iter().for_each(|value| samples.one(*value)),
        Read::Spool(read) => seen.sight.spool.iter().for_each(|spool| samples.one(read(spool))),
        Read::Delivery(read) => {
            let value = seen.sight.delivery.as_ref().and_then(read);
            value.iter().for_each(|value| samples.one(*value));
        }
        Read::Any(read) => read(seen, &mut samples),
    }
    let mut collected = MetricFamily::default();
    collected.set_name(family.name.to_owned());
    collected.set_help(family.help.to_owned());
    collected.set_field_type(match family.grows {
        Grows::Only => MetricType::COUNTER,
        Grows::OrShrinks => MetricType::GAUGE,
        Grows::ByTime => MetricType::HISTOGRAM,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::decode::{Fate, Malformed};
    use crate::metrics::board::counters;
    use crate::metrics::{Fates, Ring};
    use crate::observable::KINDS;

    /// Samples by series: what stands before and behind the blank.
    fn samples(text: &str) -> Vec<(&str, f64)> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').map(|(series, value)| (series, value.parse().unwrap())).unwrap())
            .collect()
    }

    fn value(text: &str, series: &str) -> f64 {
        let found: Vec<f64> =
            samples(text).iter().filter(|(name, _)| *name == series).map(|(_, value)| *value).collect();
        assert_eq!(found.len(), 1, "{series} in\n{text}");
        found[0]
    }

    fn live(tallies: Vec<Tally>) -> Sight {
        Sight { mode: Mode::Live, tallies, ..Sight::default() }
    }

    fn fates(of: &[(Fate, u64)]) -> Fates {
        let mut fates = Fates::default();
        of.iter().for_each(|(fate, count)| fates.0[fate.index()] = *count);
        fates
    }

    #[test]
    fn every_counter_of_a_tally_is_shown() {
        // the frames of other workers are theirs to show; alerts are shown by severity
        let plain = exposition(&live(vec![Tally::default()]));
        let all = counters(&mut Tally::default()).count();
        let shown = |at: usize| {
            let mut tally = Tally::default();
            counters(&mut tally).nth(at).map(|counter| *counter = 3).unwrap();
            let expected = tally.alerts == 0 && tally.fates.of(Fate::Elsewhere) == 0;
            ((exposition(&live(vec![tally])) != plain) == expected, at)
        };
        let wrong: Vec<usize> = (0..all).map(shown).filter(|(right, _)| !right).map(|(_, at)| at).collect();
        assert_eq!(wrong, [0; 0], "counters by their place on the board");
    }

    #[test]
    fn every_frame_is_in_exactly_one_sample_of_its_fate() {
        let counted = [(Fate::Processed, 5), (Fate::NotIp, 2), (Malformed::TcpShort.into(), 4), (Fate::HandOffFull, 1)];
        let first = Tally { handed: 20, steered: 8, fates: fates(&counted), ..Tally::default() };
        let second = Tally { taken: 6, fates: fates(&[(Fate::Processed, 6)]), ..Tally::default() };
        let ring = Ring { from: 0, to: 1, len: 2, capacity: 8 };
        let text = exposition(&Sight { rings: vec![ring], ..live(vec![first, second]) });
        let all = samples(&text);
        let fates: f64 = all.iter().filter(|(name, _)| name.starts_with("haetae_frames_total{")).map(|(_, n)| n).sum();
        assert_eq!(fates + value(&text, "haetae_hand_off_frames"), value(&text, "haetae_handed_out_frames_total"));
        assert_eq!(value(&text, "haetae_malformed_frames_total{layer=\"tcp\",reason=\"short\"}"), 4.0);
        assert_eq!(value(&text, "haetae_hand_off_fill_ratio{worker=\"1\"}"), 0.25);
        assert_eq!(value(&text, "haetae_accounting_error"), 0.0);
    }

    #[test]
    fn one_workers_loss_is_not_made_up_for_by_anothers_surplus() {
        let less = Tally { handed: 3, fates: fates(&[(Fate::Processed, 2)]), ..Tally::default() };
        let more = Tally { handed: 2, fates: fates(&[(Fate::Processed, 3)]), ..Tally::default() };
        assert_eq!(value(&exposition(&live(vec![less, more])), "haetae_accounting_error"), 2.0);
    }

    #[test]
    fn workers_of_a_replay_share_their_frames() {
        let share = |count| Tally { handed: 5, fates: fates(&[(Fate::Processed, count)]), ..Tally::default() };
        let text = exposition(&Sight { tallies: vec![share(2), share(3)], ..Sight::default() });
        assert_eq!(value(&text, "haetae_handed_out_frames_total"), 5.0);
        assert_eq!(value(&text, "haetae_accounting_error"), 0.0);
    }

    #[test]
    fn series_are_few_and_each_stands_once_however_large_the_sensor_is() {
        let link =
            |at: usize| Link { name: format!("tap{}", at / 2), backend: "libpcap", received: 1, ..Link::default() };
        let ring = |from| (0..256).map(move |to| Ring { from, to, len: 1, capacity: 2 });
        let mut sight = live(vec![Tally::default(); 256]);
        sight.links = (0..4_000).map(link).collect();
        sight.rings = (0..256).flat_map(ring).collect();
        sight.set.entries = KINDS.iter().map(|kind| (kind.name, 1)).collect();
        (sight.spool, sight.delivery) = (Some(SpoolState::default()), Some(DeliveryState::default()));
        let text = exposition(&sight);
        let all = samples(&text);
        let names: BTreeSet<&str> = all.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.len() <= 2_000, "{} series", all.len());
        assert_eq!(value(&text, "haetae_link_received_frames_total{interface=\"tap0\"}"), 2.0);
        assert_eq!(
            value(&text, "haetae_link_received_frames_total{interface=\"other\"}"),
            4_000.0 - 2.0 * LINKS_LABELLED_MAX as f64
        );
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        let link = Link { name: "t\"} 1\nhaetae_ready 0\\".into(), backend: "libpcap", ..Link::default() };
        let text = exposition(&Sight { links: vec![link], ..Sight::default() });
        assert_eq!(value(&text, "haetae_ready"), 1.0);
        assert!(text.contains(r#"{interface="t\"} 1\nhaetae_ready 0\\"} 0"#), "{text}");
    }

    #[test]
    fn what_the_site_has_not_is_not_shown() {
        let without = exposition(&Sight::default());
        assert!(!without.contains("haetae_spool_") && !without.contains("haetae_delivery_"));
        assert!(!without.contains("# HELP haetae_link_up"), "a family without samples has no head either");
    }

    #[test]
    fn a_histogram_counts_each_record_up_to_its_class_and_all_beyond() {
        let mut delivery = DeliveryState::default();
        (delivery.delays[0].classes[0], delivery.delays[0].classes[5], delivery.delays[0].classes[12]) = (3, 2, 1);
        delivery.delays[0].sum = std::time::Duration::from_millis(90_000_500);
        let text = exposition(&Sight { delivery: Some(delivery), ..Sight::default() });
        let bucket = |up_to: &str| {
            value(&text, &format!("haetae_delivery_commit_seconds_bucket{{lane=\"critical\",le=\"{up_to}\"}}"))
        };
        assert_eq!(["0.05", "1", "2", "86400", "+Inf"].map(bucket), [3.0, 3.0, 5.0, 5.0, 6.0]);
        assert_eq!(value(&text, "haetae_delivery_commit_seconds_count{lane=\"critical\"}"), 6.0);
        assert_eq!(value(&text, "haetae_delivery_commit_seconds_sum{lane=\"critical\"}"), 90_000.5);
        assert_eq!(value(&text, "haetae_delivery_commit_seconds_count{lane=\"low\"}"), 0.0);
    }

    #[test]
    fn names_say_what_a_number_is() {
        let mut names = BTreeSet::new();
        for family in FAMILIES {
            assert_eq!(family.name.ends_with("_total"), family.grows == Grows::Only, "{}", family.name);
            assert!(family.name.starts_with("haetae_") && family.help.ends_with('.'), "{}", family.name);
            assert!(names.insert(family.name), "{} twice", family.name);
        }
    }
}
