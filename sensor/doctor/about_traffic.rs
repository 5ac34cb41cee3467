//! What is wrong with what was seen: directions, copies, queues, lengths, losses, networks.

use super::codes;
use super::facts::Facts;
use super::judge::{Finding, Question, Severity, percent};
use super::watch::Watched;
use crate::alert::words::size;
use crate::cli::screen::{counted, grouped, quoted};
use crate::limits::{
    DOCTOR_CONVERSATIONS_MIN, DOCTOR_QUEUE_FRAMES_MIN, DOCTOR_RANGES_SHOWN_MAX, DOCTOR_RING_MILLISECONDS_MIN,
};

pub(super) static QUESTIONS: &[Question] = &[
    |facts| with_traffic(facts, silence),
    |facts| with_traffic(facts, losses),
    |facts| with_traffic(facts, overrun),
    |facts| with_traffic(facts, rate),
    |facts| with_traffic(facts, cut),
    |facts| with_traffic(facts, long),
    |facts| with_traffic(facts, mtu),
    |facts| with_traffic(facts, checksums),
    |facts| with_traffic(facts, trunk),
    |facts| with_traffic(facts, directions),
    |facts| with_traffic(facts, copies),
    |facts| with_traffic(facts, split),
    |facts| with_traffic(facts, skew),
    |facts| with_traffic(facts, elsewhere),
    |facts| with_traffic(facts, wide),
    |facts| with_traffic(facts, strangers),
];

/// Nearly all: what is left is chance.
const NEARLY_ALL_PERCENT: u64 = 90;
/// So much that it is no chance.
const HALF_PERCENT: u64 = 50;
/// A quarter of the conversations: what hash functions do by accident is less.
const SPLIT_PERCENT: u64 = 25;
/// Copies: what broadcasts, loops of some hosts and repeated datagrams come to is less.
const COPIES_PERCENT: u64 = 5;
/// Wrong checksums: what damage comes to is far less.
const CHECKSUMS_PERCENT: u64 = 5;
/// Conversations with a private network that is not listed.
const STRANGERS_PERCENT: u64 = 5;
/// Losses that are no accident any more.
const LOST_PERCENT: u64 = 1;

/// What TCP and IPv4 take of a packet beside the segment.
const HEADERS_BYTES: u32 = 40;

fn with_traffic(facts: &Facts, question: fn(&Facts, &Watched, &str) -> Option<Finding>) -> Vec<Finding> {
    let Some(Ok(watched)) = &facts.watched else { return Vec::new() };
    question(facts, watched, &quoted(&facts.wanted.interface)).into_iter().collect()
}

fn silence(facts: &Facts, watched: &Watched, name: &str) -> Option<Finding> {
    let taken = facts.port.as_ref().is_some_and(|port| port.xdp_attached.is_some());
    let no_signal = facts.port.as_ref().is_some_and(|port| port.carrier == Some(false));
    if watched.seen.frames > 0 || taken || no_signal {
        return None;
    }
    let seconds = watched.time.as_secs_f64();
    let seen =
        format!("no frame in {seconds:.0} s; the interface itself counted {}", grouped(watched.counted.received));
    let filter = facts.wanted.capture.filter.as_ref().filter(|_| watched.counted.received > 0);
    let advice = match filter {
        Some(_) => "`filter:` leaves out all that comes: take it out of haetae.yaml, and look again".to_owned(),
        None => format!("check that the switch mirrors to this port; `tcpdump -ni {name} -c 10` shows the same"),
    };
    Some(Finding::new(&codes::NO_TRAFFIC, Severity::Error, seen, [advice]))
}

fn losses(_: &Facts, watched: &Watched, name: &str) -> Option<Finding> {
    let counted = &watched.counted;
    let lost = counted.lost.dropped + counted.lost.missed;
    let share = percent(lost, lost + counted.received);
    let severity = if share >= LOST_PERCENT { Severity::Error } else { Severity::Warning };
    let seen = format!(
        "while it was watched the interface dropped {} frames and missed {}, and received {}",
        grouped(counted.lost.dropped),
        grouped(counted.lost.missed),
        grouped(counted.received)
    );
    let advice = format!(
        "`ethtool -S {name}` tells by which cause; a larger ring is `ethtool -G {name} rx MAX` (`-g` shows MAX)"
    );
    (lost > 0).then(|| Finding::new(&codes::FRAMES_LOST, severity, seen, [advice]))
}

/// What overran while AF_XDP is to read the port was the doctor's own ring.
fn overrun(facts: &Facts, watched: &Watched, _: &str) -> Option<Finding> {
    let seen =
        format!("{} frames found no room, and {} were seen", grouped(watched.overrun), grouped(watched.seen.frames));
    let advice =
        "set a larger `ring` for this interface in haetae.yaml (1GiB at most), or use `backend: af_xdp`".to_owned();
    (watched.overrun > 0 && !facts.wanted.af_xdp)
        .then(|| Finding::new(&codes::RING_OVERRUN, Severity::Warning, seen, [advice]))
}

fn rate(facts: &Facts, watched: &Watched, _: &str) -> Option<Finding> {
    let (ring, peak) = (facts.wanted.capture.ring_bytes as u64, watched.seen.bytes_second_max);
    let holds = ring.saturating_mul(1_000).checked_div(peak)?;
    if holds >= DOCTOR_RING_MILLISECONDS_MIN {
        return None;
    }
    let seen = format!("the ring of {} holds {holds} ms of {} a second, the fastest seen", size(ring), size(peak));
    let wanted = (peak / 1_000 * DOCTOR_RING_MILLISECONDS_MIN).div_ceil(1 << 20).next_power_of_two().clamp(1, 1 << 10);
    let advice = format!("set `ring: {wanted}MiB` for this interface in haetae.yaml");
    Some(Finding::new(&codes::RING_SHORT, Severity::Warning, seen, [advice]))
}

fn cut(facts: &Facts, watched: &Watched, _: &str) -> Option<Finding> {
    let seen = format!(
        "{} of {} frames were cut at {} bytes",
        grouped(watched.seen.cut),
        grouped(watched.seen.frames),
        facts.wanted.capture.snap_bytes
    );
    let advice = "set `snaplen: 262144` for this interface in haetae.yaml, or leave the line out".to_owned();
    (watched.seen.cut > 0).then(|| Finding::new(&codes::FRAMES_CUT, Severity::Warning, seen, [advice]))
}

/// What is longer than the port's MTU was joined on the way, by this machine or by the one that sends.
fn long(facts: &Facts, watched: &Watched, name: &str) -> Option<Finding> {
    let mtu = facts.port.as_ref().map(|port| port.mtu).unwrap_or_default();
    let seen = format!(
        "{} packets were longer than the MTU of {mtu}, the longest {} bytes",
        grouped(watched.seen.beyond_mtu),
        watched.seen.packet_bytes_max
    );
    let advice = [
        format!("`ethtool -K {name} gro off lro off`"),
        "between virtual machines and containers also where they are sent: `ethtool -K THERE tso off gso off`"
            .to_owned(),
    ];
    (watched.seen.beyond_mtu > 0).then(|| Finding::new(&codes::SUPER_FRAMES, Severity::Warning, seen, advice))
}

/// Frames that the card refuses are seen by nobody; but ends say how large their segments may be.
fn mtu(facts: &Facts, watched: &Watched, name: &str) -> Option<Finding> {
    let mtu = facts.port.as_ref().map(|port| port.mtu).unwrap_or_default();
    let asked = u32::from(watched.seen.segment_bytes_max) + HEADERS_BYTES;
    let asks = watched.seen.segment_bytes_max > 0 && asked > mtu;
    let lost = watched.counted.lost.dropped + watched.counted.lost.missed;
    if watched.counted.too_long == 0 && !(asks && lost > 0) {
        return None;
    }
    let seen = format!(
        "the MTU is {mtu}; {} frames were refused for their length, {} lost; ends ask for packets of up to {} bytes",
        grouped(watched.counted.too_long),
        grouped(lost),
        if watched.seen.segment_bytes_max > 0 { asked } else { watched.seen.packet_bytes_max }
    );
    let severity = Severity::Error;
    Some(Finding::new(&codes::MTU_SMALL, severity, seen, [format!("`ip link set {name} mtu {}`", asked.max(9_216))]))
}

fn checksums(_: &Facts, watched: &Watched, _: &str) -> Option<Finding> {
    let (wrong, all) = (watched.seen.checksums_wrong, watched.seen.checksums);
    let share = percent(wrong, all);
    let seen = format!("{} of {} checksums of TCP and UDP were wrong ({share} %)", grouped(wrong), grouped(all));
    let advice =
        "nothing for the sensor; where the frames are sent, `ethtool -K THERE tx off` finishes them".to_owned();
    (share >= CHECKSUMS_PERCENT).then(|| Finding::new(&codes::CHECKSUMS_UNFINISHED, Severity::Note, seen, [advice]))
}

fn trunk(_: &Facts, watched: &Watched, _: &str) -> Option<Finding> {
    let seen = format!(
        "{} frames with a tag, of {}",
        grouped(watched.seen.tagged),
        counted(watched.seen.vlans, ["VLAN", "VLANs"])
    );
    let advice = "nothing, if that is meant; flows and alerts are told apart by VLAN".to_owned();
    (watched.seen.vlans > 0).then(|| Finding::new(&codes::VLAN_TRUNK, Severity::Note, seen, [advice]))
}

fn directions(facts: &Facts, watched: &Watched, _: &str) -> Option<Finding> {
    let (one, all) = (watched.seen.one_way, watched.seen.answered);
    let share = percent(one, all);
    if all < DOCTOR_CONVERSATIONS_MIN || share < HALF_PERCENT {
        return None;
    }
    let seen = format!("{} of {} TCP conversations showed one direction alone ({share} %)", grouped(one), grouped(all));
    if facts.wanted.interfaces > 1 {
        // a passive tap gives each direction on a port of its own
        let advice =
            "fine on a passive tap, if its other port is in `capture:` too; run the doctor there as well".to_owned();
        return Some(Finding::new(&codes::ONE_WAY_MIRROR, Severity::Note, seen, [advice]));
    }
    let severity = if share >= NEARLY_ALL_PERCENT { Severity::Error } else { Severity::Warning };
    let advice = [
        "on a switch mirror both: `monitor session 1 source interface ... both`".to_owned(),
        "of a passive tap name both ports in haetae.yaml: `capture: [{ interface: A }, { interface: B }]`".to_owned(),
        "where routes differ by direction, mirror the other path as well".to_owned(),
    ];
    Some(Finding::new(&codes::ONE_WAY_MIRROR, severity, seen, advice))
}

fn copies(_: &Facts, watched: &Watched, _: &str) -> Option<Finding> {
    let (copies, all) = (watched.seen.copies, watched.seen.comparable);
    let share = percent(copies, all);
    let seen = format!("{} of {} packets with data came a second time ({share} %)", grouped(copies), grouped(all));
    let advice = "mirror each path once: only `rx` of all ports, or `both` of the uplink alone".to_owned();
    (share >= COPIES_PERCENT).then(|| Finding::new(&codes::DUPLICATE_FRAMES, Severity::Warning, seen, [advice]))
}

fn split(_: &Facts, watched: &Watched, name: &str) -> Option<Finding> {
    let (split, all) = (watched.seen.split, watched.seen.paired);
    let share = percent(split, all);
    if all < DOCTOR_CONVERSATIONS_MIN || share < SPLIT_PERCENT {
        return None;
    }
    let seen = format!("{} of {} conversations came by two queues ({share} %)", grouped(split), grouped(all));
    let key = vec!["6d:5a"; 20].join(":");
    let advice = [
        format!("`ethtool -X {name} xfrm symmetric-xor` (Linux 6.8 and a driver that can)"),
        format!("or a key that is symmetric: `ethtool -X {name} hkey {key}`"),
        format!("or one queue: `ethtool -L {name} combined 1`"),
    ];
    Some(Finding::new(&codes::QUEUES_ASYMMETRIC, Severity::Warning, seen, advice))
}

fn skew(_: &Facts, watched: &Watched, name: &str) -> Option<Finding> {
    let queues = &watched.seen.queues;
    let (all, most) = (queues.iter().sum::<u64>(), queues.iter().copied().max().unwrap_or_default());
    let share = percent(most, all);
    // few conversations may well fall into one queue
    let many = watched.seen.inside + watched.seen.outside + watched.seen.crossing >= DOCTOR_CONVERSATIONS_MIN;
    if queues.len() < 2 || all < DOCTOR_QUEUE_FRAMES_MIN || !many || share < NEARLY_ALL_PERCENT {
        return None;
    }
    let seen =
        format!("one of {} receive queues got {} of {} frames ({share} %)", queues.len(), grouped(most), grouped(all));
    let advice = [
        format!("`ethtool -X {name} equal {}` spreads them evenly", queues.len()),
        format!("of tunnels and VLANs: `ethtool -N {name} rx-flow-hash udp4 sdfn`"),
    ];
    Some(Finding::new(&codes::QUEUE_SKEW, Severity::Warning, seen, advice))
}

/// Conversations whose ends say something about networks.
fn placed(watched: &Watched) -> u64 {
    watched.seen.inside + watched.seen.outside + watched.seen.crossing
}

const NETWORKS_ADVICE: &str = "in haetae.yaml: `networks: { home: [YOUR-NETWORKS] }`, all of them and no others";

fn elsewhere(facts: &Facts, watched: &Watched, _: &str) -> Option<Finding> {
    let (all, outside) = (placed(watched), watched.seen.outside);
    let share = percent(outside, all);
    if all < DOCTOR_CONVERSATIONS_MIN || share < HALF_PERCENT {
        return None;
    }
    let seen = format!("{} of {} conversations had no end inside ({share} %)", grouped(outside), grouped(all));
    let severity = match facts.wanted.networks_given {
        true if share >= NEARLY_ALL_PERCENT => Severity::Error,
        _ => Severity::Warning,
    };
    Some(Finding::new(&codes::NETWORKS_ELSEWHERE, severity, seen, [NETWORKS_ADVICE.to_owned()]))
}

fn wide(facts: &Facts, watched: &Watched, _: &str) -> Option<Finding> {
    let (all, inside) = (placed(watched), watched.seen.inside);
    let share = percent(inside, all);
    if !facts.wanted.networks_given || all < DOCTOR_CONVERSATIONS_MIN || share < NEARLY_ALL_PERCENT {
        return None;
    }
    let seen = format!("{} of {} conversations had both ends inside ({share} %)", grouped(inside), grouped(all));
    let advice = [
        NETWORKS_ADVICE.to_owned(),
        "fine where the port shows an inner segment alone; the way out of the site shows more".to_owned(),
    ];
    Some(Finding::new(&codes::NETWORKS_TOO_WIDE, Severity::Warning, seen, advice))
}

fn strangers(facts: &Facts, watched: &Watched, _: &str) -> Option<Finding> {
    let all = placed(watched);
    let often = |count: u64| percent(count, all) >= STRANGERS_PERCENT;
    let strangers = watched.seen.strangers.iter().filter(|(_, count)| often(*count));
    let shown: Vec<_> = strangers.take(DOCTOR_RANGES_SHOWN_MAX).collect();
    if !facts.wanted.networks_given || all < DOCTOR_CONVERSATIONS_MIN || shown.is_empty() {
        return None;
    }
    let told: Vec<String> = shown.iter().map(|(range, count)| format!("{range} in {}", grouped(*count))).collect();
    let seen = format!("of {} conversations private networks that are not inside: {}", grouped(all), told.join(", "));
    let ranges: Vec<&str> = shown.iter().map(|(range, _)| range.as_str()).collect();
    let advice = format!("if they are yours, add to `networks.home` in haetae.yaml: `{}`", ranges.join(", "));
    Some(Finding::new(&codes::NETWORKS_INCOMPLETE, Severity::Warning, seen, [advice]))
}
