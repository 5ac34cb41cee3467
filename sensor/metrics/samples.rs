//! Samples of the families that are more than one number.
//!
//! In: a sight. Out: samples with their labels. Never here: a name or a help text; those are in the table of families.

use super::exposition::{Samples, Seen};
use super::{LaneState, REFUSALS, SEVERITIES, STAGES};
use crate::alert::words;
use crate::decode::{Fate, Malformed};
use crate::emit::Attempt;
use crate::spool::{Cause, Lane};

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

pub(super) fn frames(seen: &Seen<'_>, out: &mut Samples) {
    for index in (0..Fate::PLAIN).filter(|index| *index != Fate::Elsewhere.index()) {
        out.by("fate", &Fate::name(index), seen.sum.fates.0[index] as f64);
    }
    out.by("fate", "malformed", seen.sum.fates.malformed() as f64);
}

pub(super) fn malformed(seen: &Seen<'_>, out: &mut Samples) {
    for reason in Malformed::ALL {
        // `ipv4_total_length` is the layer `ipv4` and the reason `total_length`
        let (layer, why) = match reason {
            Malformed::TooManyHeaders => ("any", reason.name()), // no layer's fault
            _ => reason.name().split_once('_').unwrap_or(("any", reason.name())),
        };
        out.with(&[("layer", layer), ("reason", why)], seen.sum.fates.of(reason.into()) as f64);
    }
}

pub(super) fn bounds(seen: &Seen<'_>, out: &mut Samples) {
    let sum = &seen.sum;
    out.by("bound", "flows", sum.flows.evicted as f64);
    out.by("bound", "reassembly", sum.streams.reassembly_full as f64);
    out.by("bound", "fragments", sum.fragments.evicted as f64);
    out.by("bound", "contacts_per_shard", sum.contacts.crowded as f64);
    out.by("bound", "contacts_per_flow", sum.contacts.shed as f64);
    out.by("bound", "patterns_per_value", sum.patterns_shed as f64);
    if let Some(merge) = seen.sight.merge {
        out.by("bound", "merge_contacts", merge.crowded as f64);
        out.by("bound", "merge_flows", merge.forgotten as f64);
    }
}

pub(super) fn bodies(seen: &Seen<'_>, out: &mut Samples) {
    let bodies = &seen.sum.streams.bodies;
    out.by("reason", "damaged", bodies.damaged as f64);
    out.by("reason", "bomb", bodies.bombs as f64);
    out.by("reason", "full", bodies.coding_full as f64);
}

pub(super) fn hidden(seen: &Seen<'_>, out: &mut Samples) {
    out.by("what", "names", seen.sum.hidden.names as f64);
    out.by("what", "certificates", seen.sum.hidden.certificates as f64);
}

pub(super) fn hand_off(seen: &Seen<'_>, out: &mut Samples) {
    let mut fullest: Vec<Option<f64>> = vec![None; seen.sight.tallies.len()];
    for ring in seen.sight.rings.iter().filter(|ring| ring.capacity > 0) {
        if let Some(ratio) = fullest.get_mut(ring.to) {
            *ratio = Some(ratio.unwrap_or_default().max(ring.len as f64 / ring.capacity as f64));
        }
    }
    for (worker, ratio) in fullest.iter().enumerate() {
        ratio.iter().for_each(|ratio| out.by("worker", &worker.to_string(), *ratio));
    }
}

pub(super) fn sightings(seen: &Seen<'_>, out: &mut Samples) {
    let contacts = &seen.sum.contacts;
    out.by("outcome", "raised", contacts.raised as f64);
    out.by("outcome", "further", contacts.further as f64);
    out.by("outcome", "crowded", contacts.crowded as f64);
    out.by("outcome", "uncounted", contacts.uncounted as f64);
    out.by("outcome", "shed", contacts.shed as f64);
}

pub(super) fn askers(seen: &Seen<'_>, out: &mut Samples) {
    let askers = &seen.sight.askers;
    out.by("outcome", "answered", askers.answered as f64);
    out.by("outcome", "refused", askers.refused as f64);
    out.by("outcome", "displaced", askers.displaced as f64);
    out.by("outcome", "timed_out", askers.timed_out as f64);
}

pub(super) fn sandbox(seen: &Seen<'_>, out: &mut Samples) {
    for (layer, holds) in &seen.sight.sandbox {
        out.by("layer", layer, f64::from(*holds));
    }
}

pub(super) fn refusals(seen: &Seen<'_>, out: &mut Samples) {
    for (reason, count) in REFUSALS.iter().zip(seen.sum.refusals) {
        out.by("reason", reason.name(), count as f64);
    }
}

pub(super) fn alerts(seen: &Seen<'_>, out: &mut Samples) {
    for (severity, count) in SEVERITIES.iter().zip(seen.sum.severities) {
        out.by("severity", &words::severity(*severity).to_lowercase(), count as f64);
    }
}

pub(super) fn stages(seen: &Seen<'_>, out: &mut Samples) {
    for (stage, nanos) in STAGES.iter().zip(seen.sum.nanos) {
        out.by("stage", stage, seconds(nanos));
    }
}

pub(super) fn busy(seen: &Seen<'_>, out: &mut Samples) {
    for (worker, tally) in seen.sight.tallies.iter().enumerate() {
        out.by("worker", &worker.to_string(), seconds(tally.nanos.iter().sum()));
    }
}

pub(super) fn workers(seen: &Seen<'_>, out: &mut Samples) {
    for (worker, tally) in seen.sight.tallies.iter().enumerate() {
        out.by("worker", &worker.to_string(), tally.fates.accounted() as f64);
    }
}

pub(super) fn deliveries(seen: &Seen<'_>, out: &mut Samples) {
    if let Some(delivery) = &seen.sight.delivery {
        out.by("outcome", "delivered", delivery.delivered as f64);
        out.by("outcome", "withheld", delivery.withheld as f64);
        out.by("outcome", "dead", delivery.dead as f64);
    }
}

pub(super) fn attempts(seen: &Seen<'_>, out: &mut Samples) {
    if let Some(delivery) = &seen.sight.delivery {
        for (attempt, count) in Attempt::ALL.iter().zip(delivery.attempts) {
            out.by("outcome", attempt.name(), count as f64);
        }
    }
}

pub(super) fn certificates(seen: &Seen<'_>, out: &mut Samples) {
    if let Some(delivery) = &seen.sight.delivery {
        let ends = [("own", delivery.own_until), ("centre", delivery.centre_until)];
        let mut say = |whose: &str, end: Option<u64>| {
            end.into_iter().for_each(|end| out.by("certificate", whose, end as f64));
        };
        ends.into_iter().for_each(|(whose, end)| say(whose, end));
        for sink in &seen.sight.sinks {
            say(&format!("{}_own", sink.name), sink.own_until);
            say(sink.name, sink.its_until);
        }
    }
}

pub(super) fn links(seen: &Seen<'_>, out: &mut Samples) {
    for link in &seen.links {
        out.with(&[("interface", &link.name), ("backend", link.backend)], f64::from(link.up));
    }
}

pub(super) fn queues(seen: &Seen<'_>, out: &mut Samples) {
    for (link, queue) in seen.links.iter().flat_map(|link| link.queues.iter().map(move |queue| (link, queue))) {
        out.with(&[("interface", &link.name), ("queue", &queue.number.to_string())], queue.received as f64);
    }
}

pub(super) fn queue_drops(seen: &Seen<'_>, out: &mut Samples) {
    for (link, queue) in seen.links.iter().flat_map(|link| link.queues.iter().map(move |queue| (link, queue))) {
        for (cause, count) in [("ring_full", queue.ring_full), ("no_frame", queue.no_frame)] {
            let labels = [("interface", &*link.name), ("queue", &queue.number.to_string()), ("cause", cause)];
            out.with(&labels, count as f64);
        }
    }
}

pub(super) fn efforts(seen: &Seen<'_>, out: &mut Samples) {
    for (worker, tally) in seen.sight.tallies.iter().enumerate() {
        out.by("worker", &worker.to_string(), tally.effort as f64);
    }
}

pub(super) fn restarts(seen: &Seen<'_>, out: &mut Samples) {
    for (worker, tally) in seen.sight.tallies.iter().enumerate() {
        for (cause, count) in ["panic", "hang"].into_iter().zip(tally.restarts) {
            out.with(&[("worker", &worker.to_string()), ("cause", cause)], count as f64);
        }
    }
}

pub(super) fn quarantined(seen: &Seen<'_>, out: &mut Samples) {
    out.by("outcome", "saved", seen.sight.quarantine.saved as f64);
    out.by("outcome", "lost", seen.sight.quarantine.lost as f64);
}

pub(super) fn datagrams(seen: &Seen<'_>, out: &mut Samples) {
    out.by("outcome", "whole", seen.sum.fragments.whole as f64);
    out.by("outcome", "timeout", seen.sum.fragments.timeouts as f64);
}

pub(super) fn outputs(seen: &Seen<'_>, out: &mut Samples) {
    out.by("record", "alert", seen.sight.outputs.alerts as f64);
    out.by("record", "event", seen.sight.outputs.events as f64);
}

pub(super) fn shed(seen: &Seen<'_>, out: &mut Samples) {
    out.by("record", "alert", seen.sum.firsts_shed as f64);
    out.by("record", "revision", seen.sum.alerts_shed.saturating_sub(seen.sum.firsts_shed) as f64);
    out.by("record", "event", seen.sum.events_shed as f64);
}

pub(super) fn entries(seen: &Seen<'_>, out: &mut Samples) {
    for (kind, count) in &seen.sight.set.entries {
        out.by("kind", kind, *count as f64);
    }
}

pub(super) fn reloads(seen: &Seen<'_>, out: &mut Samples) {
    out.by("outcome", "ok", seen.sight.set.reloads_ok as f64);
    out.by("outcome", "failed", seen.sight.set.reloads_failed as f64);
}

fn by_lane(seen: &Seen<'_>, out: &mut Samples, of: impl Fn(&LaneState) -> f64) {
    for (lane, state) in Lane::ALL.iter().zip(seen.sight.spool.iter().flat_map(|spool| &spool.lanes)) {
        out.by("lane", lane.name(), of(state));
    }
}

pub(super) fn lane_records(seen: &Seen<'_>, out: &mut Samples) {
    by_lane(seen, out, |lane| lane.records as f64);
}

pub(super) fn lane_bytes(seen: &Seen<'_>, out: &mut Samples) {
    by_lane(seen, out, |lane| lane.bytes as f64);
}

pub(super) fn lane_ages(seen: &Seen<'_>, out: &mut Samples) {
    by_lane(seen, out, |lane| lane.oldest_age.as_secs_f64());
}

pub(super) fn delays(seen: &Seen<'_>, out: &mut Samples) {
    for (lane, delayed) in Lane::ALL.iter().zip(seen.sight.delivery.iter().flat_map(|delivery| &delivery.delays)) {
        out.times("lane", lane.name(), delayed);
    }
}

pub(super) fn lane_shed(seen: &Seen<'_>, out: &mut Samples) {
    for (lane, state) in Lane::ALL.iter().zip(seen.sight.spool.iter().flat_map(|spool| &spool.lanes)) {
        for (cause, records) in Cause::ALL.iter().zip(state.shed) {
            out.with(&[("lane", lane.name()), ("cause", cause.name())], records as f64);
        }
    }
}

pub(super) fn merged(seen: &Seen<'_>, out: &mut Samples) {
    if let Some(merge) = seen.sight.merge {
        out.by("outcome", "gone", merge.gone as f64);
        out.by("outcome", "merged", merge.merged as f64);
    }
}

pub(super) fn sink_records(seen: &Seen<'_>, out: &mut Samples) {
    seen.sight.sinks.iter().for_each(|sink| out.by("sink", sink.name, sink.records as f64));
}

pub(super) fn sink_ages(seen: &Seen<'_>, out: &mut Samples) {
    seen.sight.sinks.iter().for_each(|sink| out.by("sink", sink.name, sink.oldest_age.as_secs_f64()));
}

pub(super) fn sink_outcomes(seen: &Seen<'_>, out: &mut Samples) {
    for sink in &seen.sight.sinks {
        let known = [
            ("delivered", Some(sink.delivered)),
            ("withheld", Some(sink.withheld)),
            ("dead", Some(sink.dead)),
            ("missed", Some(sink.missed)),
            ("unmatched", sink.unmatched),
        ];
        for (outcome, count) in known.into_iter().filter_map(|(outcome, count)| Some((outcome, count?))) {
            out.with(&[("sink", sink.name), ("outcome", outcome)], count as f64);
        }
    }
}

pub(super) fn sink_attempts(seen: &Seen<'_>, out: &mut Samples) {
    for sink in &seen.sight.sinks {
        for (attempt, count) in Attempt::ALL.iter().zip(sink.attempts) {
            out.with(&[("sink", sink.name), ("outcome", attempt.name())], count as f64);
        }
    }
}

pub(super) fn receipts(seen: &Seen<'_>, out: &mut Samples) {
    let Some(ledger) = seen.sight.ledger else { return };
    out.by("outcome", "valid", ledger.valid as f64);
    out.by("outcome", "wrong", ledger.wrong as f64);
    out.by("outcome", "missing", ledger.missing as f64);
    out.by("outcome", "unchecked", ledger.unchecked as f64);
}
