//! Every metric of the sensor: one row each, in the order in which they are shown.
//!
//! In: a sight. Out: samples. Counters end in `_total`, units are seconds and bytes; what must never be above zero, and what a
//! number means for an operator, stands in the help text. deploy/prometheus/README.md repeats this table (a test compares).

use super::exposition::Grows::{Only, OrShrinks};
use super::exposition::{Family, Grows, Samples, Seen};
use super::{REFUSALS, SEVERITIES, STAGES};
use crate::alert::words;
use crate::decode::{Fate, Malformed};

/// The stage that waits for frames; all others are work.
const STAGE_THAT_WAITS: usize = 0;

const fn row(name: &'static str, grows: Grows, help: &'static str, read: fn(&Seen<'_>, &mut Samples)) -> Family {
    Family { name, grows, help, read }
}

/// See the head of this file.
pub(super) static FAMILIES: &[Family] = &[
    // ---- is it alive
    row(
        "haetae_build_info",
        OrShrinks,
        "Always 1; version of the sensor, and what it reads (live, replay, exercise).",
        |seen, out| out.with(&[("version", seen.sight.version), ("mode", seen.sight.mode.name())], 1.0),
    ),
    row("haetae_start_time_seconds", OrShrinks, "When the sensor started, in seconds since 1970.", |seen, out| {
        out.one(seen.sight.started)
    }),
    row("haetae_uptime_seconds", OrShrinks, "How long the sensor has been running.", |seen, out| {
        out.one(seen.sight.uptime.as_secs_f64())
    }),
    row(
        "haetae_ready",
        OrShrinks,
        "1 while the sensor does all that it is configured to do. At 0, GET /readyz says why.",
        |seen, out| out.one(f64::from(seen.sight.not_ready.is_empty())),
    ),
    row(
        "haetae_clock_suspect",
        OrShrinks,
        "1 while the times of frames and the machine's clock do not fit together: validity of indicators is in doubt.",
        |seen, out| out.one(f64::from(seen.sight.clock_suspect)),
    ),
    // ---- what it sees
    row("haetae_link_up", OrShrinks, "1 while the interface can be read.", |seen, out| {
        for link in &seen.links {
            out.with(&[("interface", &link.name), ("backend", link.backend)], f64::from(link.up));
        }
    }),
    row("haetae_link_received_frames_total", Only, "Frames that the kernel handed to the sensor.", |seen, out| {
        seen.links.iter().for_each(|link| out.by("interface", &link.name, link.received as f64))
    }),
    row(
        "haetae_link_kernel_drops_total",
        Only,
        "Frames lost because the sensor did not take them in time. Nobody looked at them.",
        |seen, out| seen.links.iter().for_each(|link| out.by("interface", &link.name, link.kernel_drops as f64)),
    ),
    row(
        "haetae_link_interface_drops_total",
        Only,
        "Frames lost by the interface or its driver before the kernel had them. Nobody looked at them.",
        |seen, out| seen.links.iter().for_each(|link| out.by("interface", &link.name, link.interface_drops as f64)),
    ),
    row("haetae_handed_out_frames_total", Only, "Frames that the capture handed to the workers.", |seen, out| {
        out.one(seen.sum.handed as f64)
    }),
    row(
        "haetae_frames_total",
        Only,
        "What became of each frame; each is counted once. malformed is told apart in haetae_malformed_frames_total.",
        frames,
    ),
    row(
        "haetae_accounting_error",
        OrShrinks,
        "Frames handed out that have no fate. Anything but 0 is a fault of the sensor: please report it.",
        |seen, out| out.one(seen.accounting_error as f64),
    ),
    row(
        "haetae_frame_bytes_total",
        Only,
        "Bytes of all frames with a fate, as long as they were on the link.",
        |seen, out| out.one(seen.sum.bytes as f64),
    ),
    row("haetae_flows_began_total", Only, "Flows that began.", |seen, out| out.one(seen.sum.flows.began as f64)),
    row("haetae_flows_open", OrShrinks, "Flows followed now.", |seen, out| out.one(seen.sum.flows_open as f64)),
    row(
        "haetae_fragmented_datagrams_total",
        Only,
        "Datagrams that came in fragments: put together (whole), or given up because the rest never came (timeout).",
        |seen, out| {
            out.by("outcome", "whole", seen.sum.fragments.whole as f64);
            out.by("outcome", "timeout", seen.sum.fragments.timeouts as f64);
        },
    ),
    row(
        "haetae_observations_total",
        Only,
        "Protocol events read: DNS messages, requests, hellos, files.",
        |seen, out| out.one(seen.sum.observations as f64),
    ),
    // ---- what it does not see
    row(
        "haetae_malformed_frames_total",
        Only,
        "Frames that were no packet, by the layer and the reason. A tap that cuts frames shows here.",
        malformed,
    ),
    row(
        "haetae_truncated_frames_total",
        Only,
        "Frames of which the capture holds only the first part: what stood behind it was not read.",
        |seen, out| out.one(seen.sum.truncated as f64),
    ),
    row(
        "haetae_flows_midstream_total",
        Only,
        "TCP flows whose beginning was not seen: before the start, lost, or another path.",
        |seen, out| out.one(seen.sum.flows.midstream as f64),
    ),
    row(
        "haetae_flows_one_way_total",
        Only,
        "TCP and UDP flows that ended with packets of one direction only. Many: the tap shows one direction.",
        |seen, out| out.one(seen.sum.flows.one_way as f64),
    ),
    row("haetae_stream_gaps_total", Only, "Holes in TCP streams that were given up: bytes never seen.", |seen, out| {
        out.one(seen.sum.streams.gaps as f64)
    }),
    row("haetae_stream_gap_bytes_total", Only, "Bytes in those holes.", |seen, out| {
        out.one(seen.sum.streams.gap_bytes as f64)
    }),
    row(
        "haetae_stream_out_of_order_segments_total",
        Only,
        "TCP segments that came ahead of their time.",
        |seen, out| out.one(seen.sum.streams.out_of_order as f64),
    ),
    row(
        "haetae_stream_odd_segments_total",
        Only,
        "TCP segments ignored: far from where they could belong.",
        |seen, out| out.one(seen.sum.streams.odd as f64),
    ),
    row(
        "haetae_streams_lost_total",
        Only,
        "Conversations that were recognised and later made no sense to their reader any more.",
        |seen, out| out.one(seen.sum.streams.lost as f64),
    ),
    row(
        "haetae_bodies_undecoded_total",
        Only,
        "HTTP bodies without a digest: their coding was damaged, they unfold into far more than came (bomb), or there was no \
         room for another decoder (full).",
        |seen, out| {
            let bodies = seen.sum.streams.bodies;
            for (reason, count) in [("damaged", bodies.damaged), ("bomb", bodies.bombs), ("full", bodies.coding_full)] {
                out.by("reason", reason, count as f64);
            }
        },
    ),
    row("haetae_hidden_total", Only, "What TLS keeps from the sensor, by what it is.", |seen, out| {
        let hidden = seen.sum.hidden;
        for (what, count) in [("names", hidden.names), ("certificates", hidden.certificates)] {
            out.by("what", what, count as f64);
        }
    }),
    row(
        "haetae_tls_certificates_damaged_total",
        Only,
        "Certificates that are none; their digests are looked up nevertheless.",
        |seen, out| out.one(seen.sum.hidden.certificates_damaged as f64),
    ),
    row(
        "haetae_fragment_overlaps_total",
        Only,
        "Fragments that said again, perhaps differently, what another had said: damage, or somebody who hides.",
        |seen, out| out.one(seen.sum.fragments.overlaps as f64),
    ),
    row(
        "haetae_bound_reached_total",
        Only,
        "Times that a table was full and something was given up, by the table. Raise its limit or expect misses.",
        bounds,
    ),
    row("haetae_steered_frames_total", Only, "Frames given to another worker, which owns their shard.", |seen, out| {
        if !seen.sight.rings.is_empty() {
            out.one(seen.sum.steered as f64);
        }
    }),
    row("haetae_hand_off_frames", OrShrinks, "Frames waiting in the rings between workers.", |seen, out| {
        if !seen.sight.rings.is_empty() {
            out.one(seen.sight.rings.iter().map(|ring| ring.len as f64).sum());
        }
    }),
    row(
        "haetae_hand_off_fill_ratio",
        OrShrinks,
        "How full the fullest ring to this worker is, 0 to 1. At 1 frames are lost (fate hand_off_full).",
        hand_off,
    ),
    // ---- alerts
    row("haetae_hits_total", Only, "Values that are in the set, confirmed, before policy was asked.", |seen, out| {
        out.one(seen.sum.hits as f64)
    }),
    row(
        "haetae_refusals_total",
        Only,
        "Hits that raised nothing because policy said no, by its reason.",
        |seen, out| {
            for (reason, count) in REFUSALS.iter().zip(seen.sum.refusals) {
                out.by("reason", reason.name(), count as f64);
            }
        },
    ),
    row("haetae_alerts_total", Only, "Alerts raised (one per flow and indicator), by severity.", |seen, out| {
        for (severity, count) in SEVERITIES.iter().zip(seen.sum.severities) {
            out.by("severity", &words::severity(*severity).to_lowercase(), count as f64);
        }
    }),
    row(
        "haetae_sightings_total",
        Only,
        "Admitted hits by what became of them: raised or crowded (an alert), further (added to one), uncounted, shed.",
        |seen, out| {
            let contacts = &seen.sum.contacts;
            out.by("outcome", "raised", contacts.raised as f64);
            out.by("outcome", "further", contacts.further as f64);
            out.by("outcome", "crowded", contacts.crowded as f64);
            out.by("outcome", "uncounted", contacts.uncounted as f64);
            out.by("outcome", "shed", contacts.shed as f64);
        },
    ),
    row(
        "haetae_values_refused_total",
        Only,
        "Values on the wire that are none of their kind: never looked up.",
        |seen, out| out.one(seen.sum.values_refused as f64),
    ),
    row(
        "haetae_output_records_total",
        Only,
        "Records written at the site: revisions of alerts, events.",
        |seen, out| {
            out.by("record", "alert", seen.sight.outputs.alerts as f64);
            out.by("record", "event", seen.sight.outputs.events as f64);
        },
    ),
    row(
        "haetae_shed_records_total",
        Only,
        "Records lost because outputs could not follow. Events go first; an alert among them is a fault of the site's disk.",
        |seen, out| {
            out.by("record", "alert", seen.sight.outputs.shed_alerts as f64);
            out.by("record", "event", seen.sight.outputs.shed_events as f64);
        },
    ),
    row("haetae_eve_errors_total", Only, "Times that the EVE log could not be written.", |seen, out| {
        out.one(seen.sight.outputs.eve_errors as f64)
    }),
    // ---- the set
    row("haetae_set_version", OrShrinks, "Version of the indicator set in use, as alerts name it.", |seen, out| {
        out.one(seen.sight.set.version as f64)
    }),
    row("haetae_set_entries", OrShrinks, "Entries of the set in use, by kind.", |seen, out| {
        seen.sight.set.entries.iter().for_each(|(kind, count)| out.by("kind", kind, *count as f64))
    }),
    row(
        "haetae_set_loaded_timestamp_seconds",
        OrShrinks,
        "When the set was taken into use, in seconds since 1970.",
        |seen, out| out.one(seen.sight.set.loaded as f64),
    ),
    row("haetae_set_age_seconds", OrShrinks, "How old what the set says is.", |seen, out| {
        out.one(seen.sight.set.age.as_secs_f64())
    }),
    row(
        "haetae_set_reloads_total",
        Only,
        "Loads of the set, the first included. After a failed one the set before stays in use.",
        |seen, out| {
            out.by("outcome", "ok", seen.sight.set.reloads_ok as f64);
            out.by("outcome", "failed", seen.sight.set.reloads_failed as f64);
        },
    ),
    row(
        "haetae_set_refused_entries",
        OrShrinks,
        "Entries of the set's files that were refused: nobody looks for them. The log has file, line and reason.",
        |seen, out| out.one(seen.sight.set.refused as f64),
    ),
    // ---- delivery
    row("haetae_spool_records", OrShrinks, "Records on disk that the centre has not committed.", |seen, out| {
        seen.sight.spool.iter().for_each(|spool| out.one(spool.records as f64))
    }),
    row("haetae_spool_bytes", OrShrinks, "Bytes of the spool on disk.", |seen, out| {
        seen.sight.spool.iter().for_each(|spool| out.one(spool.bytes as f64))
    }),
    row(
        "haetae_spool_oldest_age_seconds",
        OrShrinks,
        "How long the oldest record has waited; 0: none waits.",
        |seen, out| seen.sight.spool.iter().for_each(|spool| out.one(spool.oldest_age.as_secs_f64())),
    ),
    row("haetae_spool_appended_records_total", Only, "Records put into the spool.", |seen, out| {
        seen.sight.spool.iter().for_each(|spool| out.one(spool.appended as f64))
    }),
    row(
        "haetae_spool_committed_records_total",
        Only,
        "Records that left the spool: settled, for whatever reason.",
        |seen, out| seen.sight.spool.iter().for_each(|spool| out.one(spool.committed as f64)),
    ),
    row(
        "haetae_spool_full_total",
        Only,
        "Records that the spool did not take because it was full: the centre will never see them. The EVE log has them.",
        |seen, out| seen.sight.spool.iter().for_each(|spool| out.one(spool.full as f64)),
    ),
    row(
        "haetae_delivery_records_total",
        Only,
        "Records by what became of them: delivered, withheld by the gate, dead (refused by the centre).",
        |seen, out| {
            if let Some(delivery) = &seen.sight.delivery {
                out.by("outcome", "delivered", delivery.delivered as f64);
                out.by("outcome", "withheld", delivery.withheld as f64);
                out.by("outcome", "dead", delivery.dead as f64);
            }
        },
    ),
    row("haetae_delivery_retries_total", Only, "Attempts that have to be repeated.", |seen, out| {
        seen.sight.delivery.iter().for_each(|delivery| out.one(delivery.retries as f64))
    }),
    row("haetae_delivery_lag_seconds", OrShrinks, "How far the centre is behind the sensor.", |seen, out| {
        seen.sight.delivery.iter().for_each(|delivery| out.one(delivery.lag.as_secs_f64()))
    }),
    row(
        "haetae_delivery_last_commit_timestamp_seconds",
        OrShrinks,
        "When the centre last committed something, in seconds since 1970; missing until it has.",
        |seen, out| {
            let last = seen.sight.delivery.and_then(|delivery| delivery.last_commit);
            last.iter().for_each(|at| out.one(*at as f64));
        },
    ),
    row("haetae_delivery_reachable", OrShrinks, "1 if the last attempt reached the centre.", |seen, out| {
        seen.sight.delivery.iter().for_each(|delivery| out.one(f64::from(delivery.reachable)))
    }),
    // ---- what it costs
    row(
        "haetae_stage_seconds_total",
        Only,
        "Time of all workers by stage of the path; read includes waiting for frames.",
        |seen, out| {
            for (stage, nanos) in STAGES.iter().zip(seen.sum.nanos) {
                out.by("stage", stage, seconds(nanos));
            }
        },
    ),
    row("haetae_worker_busy_seconds_total", Only, "Time of each worker in all stages but read.", |seen, out| {
        for (worker, tally) in seen.sight.tallies.iter().enumerate() {
            let all: u64 = tally.nanos.iter().sum();
            out.by("worker", &worker.to_string(), seconds(all - tally.nanos[STAGE_THAT_WAITS]));
        }
    }),
    row("haetae_worker_frames_total", Only, "Frames that each worker accounts for.", |seen, out| {
        for (worker, tally) in seen.sight.tallies.iter().enumerate() {
            out.by("worker", &worker.to_string(), tally.fates.accounted() as f64);
        }
    }),
    row(
        "haetae_metrics_askers_total",
        Only,
        "Who asked this server: requests answered or refused, connections displaced by others or timed_out.",
        |seen, out| {
            let askers = &seen.sight.askers;
            out.by("outcome", "answered", askers.answered as f64);
            out.by("outcome", "refused", askers.refused as f64);
            out.by("outcome", "displaced", askers.displaced as f64);
            out.by("outcome", "timed_out", askers.timed_out as f64);
        },
    ),
];

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn frames(seen: &Seen<'_>, out: &mut Samples) {
    for index in (0..Fate::PLAIN).filter(|index| *index != Fate::Elsewhere.index()) {
        out.by("fate", &Fate::name(index), seen.sum.fates.0[index] as f64);
    }
    out.by("fate", "malformed", seen.sum.fates.malformed() as f64);
}

fn malformed(seen: &Seen<'_>, out: &mut Samples) {
    for reason in Malformed::ALL {
        let (layer, why) = layer_and_reason(reason.name());
        out.with(&[("layer", layer), ("reason", why)], seen.sum.fates.of(reason.into()) as f64);
    }
}

/// `ipv4_total_length` is the layer `ipv4` and the reason `total_length`.
fn layer_and_reason(name: &'static str) -> (&'static str, &'static str) {
    match name.split_once('_') {
        Some(("too", _)) | None => ("any", name), // too many headers: no layer's fault
        Some(split) => split,
    }
}

fn bounds(seen: &Seen<'_>, out: &mut Samples) {
    let sum = &seen.sum;
    let reached = [
        ("flows", sum.flows.evicted),
        ("reassembly", sum.streams.reassembly_full),
        ("fragments", sum.fragments.evicted),
        ("contacts_per_shard", sum.contacts.crowded),
        ("contacts_per_flow", sum.contacts.shed),
        ("patterns_per_value", sum.patterns_shed),
    ];
    reached.iter().for_each(|(bound, count)| out.by("bound", bound, *count as f64));
}

fn hand_off(seen: &Seen<'_>, out: &mut Samples) {
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
