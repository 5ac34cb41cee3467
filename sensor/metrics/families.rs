//! Every metric of the sensor: one row each, in the order in which they are shown.
//!
//! In: a sight. Out: samples. Counters end in `_total`, units are seconds and bytes; what must never be above zero, and what a
//! number means for an operator, stands in the help text. deploy/prometheus/README.md repeats this table (a test compares).

use super::exposition::Grows::{ByTime, Only, OrShrinks};
use super::exposition::Read::{Any, Delivery, Links, Sight, Spool, Sum};
use super::exposition::{Family, Read};
use super::samples;

/// A number that only grows, from 0 at the start of the sensor.
const fn counter(name: &'static str, help: &'static str, read: Read) -> Family {
    Family { name, grows: Only, help, read }
}

/// A number that goes up and down.
const fn gauge(name: &'static str, help: &'static str, read: Read) -> Family {
    Family { name, grows: OrShrinks, help, read }
}

/// See the head of this file.
pub(super) static FAMILIES: &[Family] = &[
    // ---- is it alive
    gauge(
        "haetae_build_info",
        "Always 1; version of the sensor, and what it reads (live, replay, exercise).",
        Any(|seen, out| out.with(&[("version", seen.sight.version), ("mode", seen.sight.mode.name())], 1.0)),
    ),
    gauge(
        "haetae_start_time_seconds",
        "When the sensor started, in seconds since 1970.",
        Sight(|sight| Some(sight.started)),
    ),
    gauge(
        "haetae_uptime_seconds",
        "How long the sensor has been running.",
        Sight(|sight| Some(sight.uptime.as_secs_f64())),
    ),
    gauge(
        "haetae_ready",
        "1 while the sensor does all that it is configured to do. At 0, GET /readyz says why.",
        Sight(|sight| Some(f64::from(sight.not_ready.is_empty()))),
    ),
    gauge(
        "haetae_clock_suspect",
        "1 while the sensor goes by its own time because the machine's clock has jumped; a reload says that it is right now.",
        Sight(|sight| Some(f64::from(sight.clock_suspect))),
    ),
    gauge(
        "haetae_sandbox_enforced",
        "1 if every thread has given up what its role has no need of, by layer. At 0, the log of the start says why.",
        Any(samples::sandbox),
    ),
    gauge(
        "haetae_broker_up",
        "1 while the broker is there, which takes interfaces for AF_XDP and makes packet sockets; missing where none is needed. At 0 capture goes on, a link that goes away stays away, and the sensor is not ready: restart it.",
        Sight(|sight| sight.broker.map(f64::from)),
    ),
    // ---- what it sees
    gauge("haetae_link_up", "1 while the interface can be read.", Any(samples::links)),
    counter(
        "haetae_link_received_frames_total",
        "Frames that the kernel handed to the sensor.",
        Links(|link| link.received),
    ),
    counter(
        "haetae_link_kernel_drops_total",
        "Frames lost because the sensor did not take them in time. Nobody looked at them.",
        Links(|link| link.kernel_drops),
    ),
    counter(
        "haetae_link_unclaimed_frames_total",
        "Those of haetae_link_kernel_drops_total that came by a receive queue the sensor does not read. Anything but 0: the interface has other queues than at the start; restart the sensor.",
        Links(|link| link.unclaimed),
    ),
    counter(
        "haetae_link_interface_drops_total",
        "Frames lost by the interface or its driver before the kernel had them. Nobody looked at them.",
        Links(|link| link.interface_drops),
    ),
    counter(
        "haetae_link_shunted_frames_total",
        "Frames of flows with nothing more to learn that the kernel counted and dropped, as `shunt` has it. No loss: their flows have them.",
        Links(|link| link.shunted),
    ),
    counter("haetae_link_shunted_bytes_total", "Bytes of those frames.", Links(|link| link.shunted_bytes)),
    counter(
        "haetae_queue_received_frames_total",
        "Those of haetae_link_received_frames_total that came by this receive queue (AF_XDP). Queues far apart: the interface does not spread its load.",
        Any(samples::queues),
    ),
    counter(
        "haetae_queue_drops_total",
        "Those of haetae_link_kernel_drops_total that were lost on this receive queue (AF_XDP), by cause.",
        Any(samples::queue_drops),
    ),
    gauge(
        "haetae_shedding_level",
        "What a worker leaves undone because more comes than it can read: 0 nothing, 1 payload of heavy flows, 2 of middling ones too, 3 events too, 4 all payload. Addresses are always checked.",
        Any(samples::efforts),
    ),
    counter("haetae_handed_out_frames_total", "Frames that the capture handed to the workers.", Sum(|sum| sum.handed)),
    counter(
        "haetae_frames_total",
        "What became of each frame; each is counted once. haetae_malformed_frames_total tells malformed ones apart.",
        Any(samples::frames),
    ),
    gauge(
        "haetae_accounting_error",
        "Frames handed out that have no fate. Anything but 0 is a fault of the sensor: please report it.",
        Any(|seen, out| out.one(seen.accounting_error as f64)),
    ),
    counter(
        "haetae_frame_bytes_total",
        "Bytes of all frames with a fate, as long as they were on the link.",
        Sum(|sum| sum.bytes),
    ),
    counter("haetae_flows_began_total", "Flows that began.", Sum(|sum| sum.flows.began)),
    gauge("haetae_flows_open", "Flows followed now.", Sum(|sum| sum.flows_open)),
    counter(
        "haetae_fragmented_datagrams_total",
        "Datagrams that came in fragments: put together (whole), or given up because the rest never came (timeout).",
        Any(samples::datagrams),
    ),
    counter(
        "haetae_observations_total",
        "Protocol events read: DNS messages, requests, hellos, files.",
        Sum(|sum| sum.observations),
    ),
    // ---- what it does not see
    counter(
        "haetae_malformed_frames_total",
        "Frames that were no packet, by the layer and the reason. A tap that cuts frames shows here.",
        Any(samples::malformed),
    ),
    counter(
        "haetae_truncated_frames_total",
        "Frames of which the capture holds only the first part: what stood behind it was not read.",
        Sum(|sum| sum.truncated),
    ),
    counter(
        "haetae_flows_midstream_total",
        "TCP flows whose beginning was not seen: before the start, lost, or on another path.",
        Sum(|sum| sum.flows.midstream),
    ),
    counter(
        "haetae_flows_one_way_total",
        "TCP and UDP flows that ended with packets of one direction only. Many: the tap shows one direction.",
        Sum(|sum| sum.flows.one_way),
    ),
    counter(
        "haetae_flow_shunts_total",
        "Directions of flows that were given to the kernel to count.",
        Sum(|sum| sum.flows.shunted),
    ),
    counter(
        "haetae_flow_shunts_refused_total",
        "Attempts to do so that found another flow in the same place. Many: fewer flows are spared than could be.",
        Sum(|sum| sum.flows.shunts_refused),
    ),
    counter(
        "haetae_flow_shunts_unsettled_total",
        "Those of haetae_flow_shunts_total that ended while a packet was in the middle of being counted: the link has it, the flow may not.",
        Sum(|sum| sum.flows.shunts_unsettled),
    ),
    counter(
        "haetae_stream_gaps_total",
        "Holes in TCP streams that were given up: bytes never seen.",
        Sum(|sum| sum.streams.gaps),
    ),
    counter("haetae_stream_gap_bytes_total", "Bytes in those holes.", Sum(|sum| sum.streams.gap_bytes)),
    counter(
        "haetae_stream_unseen_bytes_total",
        "Those of haetae_stream_gap_bytes_total that their receiver had acknowledged: they passed somewhere, and never came here. While the links' own drops stand still they were lost before the port.",
        Sum(|sum| sum.streams.unseen_bytes),
    ),
    counter(
        "haetae_stream_out_of_order_segments_total",
        "TCP segments that came ahead of their time.",
        Sum(|sum| sum.streams.out_of_order),
    ),
    counter(
        "haetae_stream_odd_segments_total",
        "TCP segments ignored: far from where they could belong.",
        Sum(|sum| sum.streams.odd),
    ),
    counter(
        "haetae_streams_lost_total",
        "Conversations that were recognised and later made no sense to their reader any more.",
        Sum(|sum| sum.streams.lost),
    ),
    counter(
        "haetae_bodies_undecoded_total",
        "HTTP bodies without a digest: damaged, unfolding into far more than came (bomb), or no room for another decoder (full).",
        Any(samples::bodies),
    ),
    counter("haetae_hidden_total", "What TLS keeps from the sensor, by what it is.", Any(samples::hidden)),
    counter(
        "haetae_tls_certificates_damaged_total",
        "Certificates that are none; their digests are looked up nevertheless.",
        Sum(|sum| sum.hidden.certificates_damaged),
    ),
    counter(
        "haetae_fragment_overlaps_total",
        "Fragments that said again, perhaps differently, what another had said: damage, or somebody who hides.",
        Sum(|sum| sum.fragments.overlaps),
    ),
    counter(
        "haetae_bound_reached_total",
        "Times that a table was full and something was given up, by the table. Raise its limit or expect misses.",
        Any(samples::bounds),
    ),
    counter(
        "haetae_steered_frames_total",
        "Frames given to another worker, which owns their shard.",
        Sum(|sum| sum.steered),
    ),
    gauge(
        "haetae_hand_off_frames",
        "Frames waiting in the rings between workers.",
        Sight(|sight| Some(sight.rings.iter().map(|ring| ring.len as f64).sum())),
    ),
    gauge(
        "haetae_hand_off_fill_ratio",
        "How full the fullest ring to this worker is, 0 to 1. At 1 frames are lost (fate hand_off_full).",
        Any(samples::hand_off),
    ),
    // ---- workers that die
    counter(
        "haetae_worker_restarts_total",
        "Times that a worker died of what it read and began again, by cause (panic, hang). The log says of what: please report it.",
        Any(samples::restarts),
    ),
    counter(
        "haetae_flows_lost_total",
        "Flows that were forgotten because their worker died; what comes of them later is taken for new.",
        Sum(|sum| sum.flows_lost),
    ),
    counter(
        "haetae_quarantined_packets_total",
        "Packets that a worker died of: saved in `quarantine.directory`, or lost because there was no room for them.",
        Any(samples::quarantined),
    ),
    // ---- alerts
    counter(
        "haetae_hits_total",
        "Values that are in the set, confirmed, before policy was asked.",
        Sum(|sum| sum.hits),
    ),
    counter(
        "haetae_refusals_total",
        "Hits that raised nothing because policy said no, by its reason.",
        Any(samples::refusals),
    ),
    counter("haetae_alerts_total", "Alerts raised (one per flow and indicator), by severity.", Any(samples::alerts)),
    counter(
        "haetae_sightings_total",
        "Admitted hits by what became of them: raised or crowded (an alert), further (added to one), uncounted, shed.",
        Any(samples::sightings),
    ),
    counter(
        "haetae_values_refused_total",
        "Values on the wire that are none of their kind: never looked up.",
        Sum(|sum| sum.values_refused),
    ),
    counter(
        "haetae_output_records_total",
        "Records written at the site: revisions of alerts, events.",
        Any(samples::outputs),
    ),
    counter(
        "haetae_shed_records_total",
        "Records lost because the outputs could not follow: events where too much waits to be put out, and alerts and later revisions of them where more is raised than goes out, the least severe first. Neither of these should ever be outside a storm.",
        Any(samples::shed),
    ),
    counter(
        "haetae_eve_lost_records_total",
        "Records that the EVE log did not take: its disk is full or gone.",
        Sight(|sight| Some(sight.outputs.eve_lost as f64)),
    ),
    counter(
        "haetae_eve_rotation_failures_total",
        "Times that the sensor could not rotate its EVE log: the file goes on growing.",
        Sight(|sight| Some(sight.outputs.eve_unrotated as f64)),
    ),
    // ---- the set
    gauge(
        "haetae_set_version",
        "Version of the indicator set in use, as alerts name it.",
        Sight(|sight| Some(sight.set.version as f64)),
    ),
    gauge("haetae_set_entries", "Entries of the set in use, by kind.", Any(samples::entries)),
    gauge(
        "haetae_set_loaded_timestamp_seconds",
        "When the set was taken into use, in seconds since 1970.",
        Sight(|sight| Some(sight.set.loaded as f64)),
    ),
    gauge("haetae_set_age_seconds", "How old what the set says is.", Sight(|sight| Some(sight.set.age.as_secs_f64()))),
    counter(
        "haetae_set_reloads_total",
        "Loads of the set, the first included. After a failed one the set before stays in use.",
        Any(samples::reloads),
    ),
    gauge(
        "haetae_set_refused_entries",
        "Entries of the set's files that were refused: nobody looks for them. The log has file, line and reason.",
        Sight(|sight| Some(sight.set.refused as f64)),
    ),
    // ---- delivery
    gauge(
        "haetae_spool_records",
        "Records on disk that the centre has not committed.",
        Spool(|spool| spool.records as f64),
    ),
    gauge("haetae_spool_bytes", "Bytes of the spool on disk.", Spool(|spool| spool.bytes as f64)),
    gauge(
        "haetae_spool_oldest_age_seconds",
        "How long the oldest record has waited; 0: none waits.",
        Spool(|spool| spool.oldest_age.as_secs_f64()),
    ),
    counter("haetae_spool_appended_records_total", "Records put into the spool.", Spool(|spool| spool.appended as f64)),
    counter(
        "haetae_spool_committed_records_total",
        "Records that left the spool because they are settled, for whatever reason.",
        Spool(|spool| spool.committed as f64),
    ),
    counter(
        "haetae_spool_full_total",
        "Records that the spool did not take because it was full: the centre will never see them, the EVE log has them.",
        Spool(|spool| spool.full as f64),
    ),
    gauge(
        "haetae_spool_damage",
        "Things that were wrong with the spool at the start: records that are gone or were exchanged, files that are not its own. The log names them.",
        Spool(|spool| spool.damage as f64),
    ),
    gauge(
        "haetae_spool_kept_bytes",
        "Those of haetae_spool_bytes that the centre has committed: kept for a while, in case it loses them.",
        Spool(|spool| spool.kept_bytes as f64),
    ),
    gauge(
        "haetae_spool_sync_seconds",
        "How long the spool's last sync took, or the one under way has taken where that is longer: a disk that is slow or stands still.",
        Spool(|spool| spool.sync_time.as_secs_f64()),
    ),
    counter(
        "haetae_spool_sync_failures_total",
        "Syncs of the spool that failed. Their records wait in memory and are written again, elsewhere.",
        Spool(|spool| spool.sync_failures as f64),
    ),
    gauge("haetae_spool_lane_records", "Records that wait, by how urgent they are.", Any(samples::lane_records)),
    gauge("haetae_spool_lane_bytes", "Bytes on disk, by how urgent they are.", Any(samples::lane_bytes)),
    gauge(
        "haetae_spool_lane_oldest_age_seconds",
        "How long the oldest record has waited, by how urgent it is; 0: none waits.",
        Any(samples::lane_ages),
    ),
    counter(
        "haetae_spool_shed_records_total",
        "Records given up because there was no room (space) or the disk took none (disk), by how urgent they were. Normal ones go after low ones, critical ones last; the centre is told how many.",
        Any(samples::lane_shed),
    ),
    counter(
        "haetae_merge_alerts_total",
        "Alerts on their way to the spool: gone by themselves, or merged into updates. With haetae_merge_waiting_alerts these are all that were raised and not shed.",
        Any(samples::merged),
    ),
    gauge(
        "haetae_merge_waiting_alerts",
        "Repeats that wait for an update.",
        Sight(|sight| sight.merge.map(|merge| merge.waiting as f64)),
    ),
    counter(
        "haetae_merge_updates_total",
        "Updates put into the spool, each for repeats of a contact.",
        Sight(|sight| sight.merge.map(|merge| merge.updates as f64)),
    ),
    counter(
        "haetae_delivery_records_total",
        "Records by what became of them: delivered, withheld by the gate, dead (refused by the centre).",
        Any(samples::deliveries),
    ),
    counter(
        "haetae_delivery_retries_total",
        "Attempts that have to be repeated.",
        Delivery(|delivery| Some(delivery.retries as f64)),
    ),
    counter(
        "haetae_delivery_attempts_total",
        "Attempts by what became of them: committed, refused, otherwise (another form, or less), busy, token, certificate, slow, unreachable, wrong (it claims what cannot be), other.",
        Any(samples::attempts),
    ),
    gauge(
        "haetae_delivery_endpoint",
        "The endpoint of the centre in use: 0 is `centre.url`, then its fallbacks.",
        Delivery(|delivery| Some(delivery.endpoint as f64)),
    ),
    gauge(
        "haetae_delivery_certificate_expiry_timestamp_seconds",
        "Until when a certificate holds, in seconds since 1970: our own, and the centre's as it was last seen; of sinks beside it by their names, `syslog_own` being what is shown to `syslog`.",
        Any(samples::certificates),
    ),
    gauge(
        "haetae_delivery_clock_ahead_seconds",
        "How far our clock is ahead of the centre's; below 0: behind it.",
        Delivery(|delivery| Some(delivery.clock_ahead as f64)),
    ),
    gauge(
        "haetae_delivery_lag_seconds",
        "How far the centre is behind the sensor.",
        Delivery(|delivery| Some(delivery.lag.as_secs_f64())),
    ),
    Family {
        name: "haetae_delivery_commit_seconds",
        grows: ByTime,
        help: "How long records took from the spool to the centre's disk, by how urgent they are. What a replay sends again counts from when it was raised.",
        read: Any(samples::delays),
    },
    gauge(
        "haetae_delivery_last_commit_timestamp_seconds",
        "When the centre last committed something, in seconds since 1970; missing until it has.",
        Delivery(|delivery| delivery.last_commit.map(|at| at as f64)),
    ),
    gauge(
        "haetae_delivery_reachable",
        "1 if the last attempt reached the centre.",
        Delivery(|delivery| Some(f64::from(delivery.reachable))),
    ),
    // ---- who else hears
    gauge("haetae_sink_records", "Records that wait for a sink beside the centre.", Any(samples::sink_records)),
    gauge(
        "haetae_sink_oldest_age_seconds",
        "How long the oldest of them has waited; 0: none waits.",
        Any(samples::sink_ages),
    ),
    counter(
        "haetae_sink_records_total",
        "Records of a sink by what became of them: delivered, withheld by the gate, dead (it refused them), missed (they went before it had them), unmatched (MISP has no such value).",
        Any(samples::sink_outcomes),
    ),
    counter(
        "haetae_sink_attempts_total",
        "Attempts of a sink by what became of them, as haetae_delivery_attempts_total has them.",
        Any(samples::sink_attempts),
    ),
    // ---- the ledger
    counter(
        "haetae_ledger_entries_total",
        "Entries of the ledger of what leaves: one before each message is sent, one when its outcome is known.",
        Sight(|sight| sight.ledger.map(|ledger| ledger.entries as f64)),
    ),
    gauge(
        "haetae_ledger_bytes",
        "Bytes of the ledger on disk.",
        Sight(|sight| sight.ledger.map(|ledger| ledger.bytes as f64)),
    ),
    counter(
        "haetae_ledger_failures_total",
        "Entries that the disk refused. What cannot be entered is not sent: alerts wait in the spool.",
        Sight(|sight| sight.ledger.map(|ledger| ledger.failures as f64)),
    ),
    gauge(
        "haetae_ledger_failing",
        "1 while the ledger cannot be written: nothing leaves.",
        Sight(|sight| sight.ledger.map(|ledger| f64::from(ledger.failing))),
    ),
    counter(
        "haetae_receipts_total",
        "Receipts of the centre by what they are worth: valid, wrong, missing, or unchecked because there is no `centre.receipt_keys`. After a wrong or a missing one the message is sent again.",
        Any(samples::receipts),
    ),
    gauge(
        "haetae_receipt_age_seconds",
        "How long ago a receipt came that holds, or the sensor started; missing without `centre.receipt_keys`.",
        Sight(|sight| sight.ledger?.since_valid.map(|since| since.as_secs_f64())),
    ),
    // ---- what it costs
    counter(
        "haetae_stage_seconds_total",
        "Time of all workers by stage of the path; waiting for frames is none.",
        Any(samples::stages),
    ),
    counter("haetae_worker_busy_seconds_total", "Time of each worker in all stages.", Any(samples::busy)),
    counter("haetae_worker_frames_total", "Frames that each worker accounts for.", Any(samples::workers)),
    counter(
        "haetae_metrics_askers_total",
        "Who asked this server: requests answered or refused, connections displaced by others or timed_out.",
        Any(samples::askers),
    ),
];
