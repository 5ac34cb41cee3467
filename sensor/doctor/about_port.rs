//! What is wrong with the port itself: there or not, who else uses it, what its card does.

use af_xdp::Use;

use super::codes;
use super::facts::{Facts, Port};
use super::judge::{Finding, Question, Severity};
use crate::capture::live::Refused;
use crate::cli::screen::quoted;

pub(super) static QUESTIONS: &[Question] = &[
    presence,
    opening,
    uses,
    promiscuous,
    |facts| with_port(facts, native_xdp),
    |facts| with_port(facts, attached),
    |facts| with_port(facts, ring),
    |facts| with_port(facts, lro),
    |facts| with_port(facts, gro),
    |facts| with_port(facts, vlan),
    |facts| with_port(facts, queues),
];

fn with_port(facts: &Facts, question: fn(&Facts, &Port, &str) -> Option<Finding>) -> Vec<Finding> {
    let name = quoted(&facts.wanted.interface);
    facts.port.as_ref().and_then(|port| question(facts, port, &name)).into_iter().collect()
}

fn presence(facts: &Facts) -> Vec<Finding> {
    let name = quoted(&facts.wanted.interface);
    let error =
        |code, seen: &str, advice: [String; 1]| vec![Finding::new(code, Severity::Error, seen.to_owned(), advice)];
    match &facts.port {
        None => {
            let advice = "`ip -br link` lists the interfaces of this network namespace".to_owned();
            error(&codes::INTERFACE_ABSENT, "this machine has no interface of that name", [advice])
        }
        Some(port) if !port.up => {
            error(&codes::INTERFACE_DOWN, "it is switched off", [format!("`ip link set {name} up`")])
        }
        Some(port) if port.carrier == Some(false) => {
            let advice = format!("check cable, optics and the switch's mirror port; `ethtool {name}` shows the link");
            error(&codes::NO_CARRIER, "it is switched on, and has no signal", [advice])
        }
        Some(_) => Vec::new(),
    }
}

/// A port that could not be opened; lacking rights, and one that is down, are told elsewhere.
fn opening(facts: &Facts) -> Vec<Finding> {
    let Some(Err(why)) = &facts.watched else { return Vec::new() };
    match why {
        Refused::Permission(_) | Refused::Down(_) => Vec::new(),
        other => {
            let advice = format!("`ip -d link show {}` says what it is", quoted(&facts.wanted.interface));
            vec![Finding::new(&codes::WATCH_FAILED, Severity::Error, other.to_string(), [advice])]
        }
    }
}

fn uses(facts: &Facts) -> Vec<Finding> {
    let uses = facts.port.as_ref().and_then(|port| port.uses.as_deref()).unwrap_or_default();
    if uses.is_empty() {
        return Vec::new();
    }
    let said: Vec<String> = uses
        .iter()
        .map(|one| match one {
            Use::Address(address) => format!("has the address {address}"),
            Use::DefaultRoute => "carries the default route".to_owned(),
            Use::Below(other) => format!("is a part of {other}"),
        })
        .collect();
    let severity = match (facts.wanted.af_xdp, facts.wanted.capture.allow_cut_off) {
        (true, false) => Severity::Error,
        (true, true) => Severity::Warning,
        (false, _) => Severity::Note,
    };
    // whoever reads this may be connected through it: nothing is told that cuts them off
    let advice = [
        "keep `backend: libpcap` for this interface, which takes nothing from anybody".to_owned(),
        "or mirror to a port without addresses, `ip -br addr` shows them; `allow_cut_off: true` says that it is meant"
            .to_owned(),
    ];
    vec![Finding::new(&codes::PORT_IN_USE, severity, format!("it {}", said.join(", ")), advice)]
}

fn promiscuous(facts: &Facts) -> Vec<Finding> {
    let Some(Ok(watched)) = &facts.watched else { return Vec::new() };
    let name = quoted(&facts.wanted.interface);
    match (facts.wanted.capture.promiscuous, watched.promiscuous) {
        (_, Some(true) | None) => Vec::new(),
        (false, Some(false)) => {
            let advice = "set `promiscuous: true` for this interface in haetae.yaml, or leave the line out".to_owned();
            let seen = "the configuration says `promiscuous: false`".to_owned();
            vec![Finding::new(&codes::NOT_PROMISCUOUS, Severity::Warning, seen, [advice])]
        }
        (true, Some(false)) => {
            let advice =
                format!("`ip link set {name} promisc on`; if it stays off, the driver cannot: use another port");
            let seen = "it was asked to take frames for others, and does not".to_owned();
            vec![Finding::new(&codes::NOT_PROMISCUOUS, Severity::Error, seen, [advice])]
        }
    }
}

fn native_xdp(facts: &Facts, port: &Port, _: &str) -> Option<Finding> {
    if port.xdp_native != Some(false) {
        return None;
    }
    let severity = if facts.wanted.af_xdp { Severity::Error } else { Severity::Note };
    let driver = port.driver.as_deref().unwrap_or("of this interface");
    let seen = format!("the driver {driver} has no native XDP with redirection");
    let advice = "set `backend: libpcap` for this interface in haetae.yaml".to_owned();
    Some(Finding::new(&codes::NO_NATIVE_XDP, severity, seen, [advice]))
}

fn attached(_: &Facts, port: &Port, name: &str) -> Option<Finding> {
    let program = port.xdp_attached?;
    let advice = [
        format!("`bpftool prog show id {program}` says whose it is; a running haetae with AF_XDP is one of them"),
        format!("stop it and look again; one that was left behind goes with `ip link set {name} xdp off`"),
    ];
    let seen = format!("the XDP program {program} is attached");
    Some(Finding::new(&codes::XDP_ATTACHED, Severity::Warning, seen, advice))
}

fn ring(_: &Facts, port: &Port, name: &str) -> Option<Finding> {
    let ring = port.ring.filter(|ring| ring.now < ring.max)?;
    let seen = format!("the card's receive ring holds {} frames, and could hold {}", ring.now, ring.max);
    let advice = format!("`ethtool -G {name} rx {}`", ring.max);
    Some(Finding::new(&codes::NIC_RING_SMALL, Severity::Warning, seen, [advice]))
}

fn lro(_: &Facts, port: &Port, name: &str) -> Option<Finding> {
    (port.offloads.lro == Some(true)).then(|| {
        let seen = "large receive offload is on".to_owned();
        Finding::new(&codes::LRO_ON, Severity::Warning, seen, [format!("`ethtool -K {name} lro off`")])
    })
}

/// AF_XDP sees frames before the kernel joins them.
fn gro(facts: &Facts, port: &Port, name: &str) -> Option<Finding> {
    let joined = matches!(&facts.watched, Some(Ok(watched)) if watched.seen.beyond_mtu > 0);
    (port.offloads.gro == Some(true) && !facts.wanted.af_xdp && !joined).then(|| {
        let seen = "generic receive offload is on".to_owned();
        Finding::new(&codes::GRO_ON, Severity::Note, seen, [format!("`ethtool -K {name} gro off`")])
    })
}

/// Whether tags are in the traffic shows through libpcap, which puts them back. Where none were seen it matters only if there is
/// a card that would take them off, and a reader that would not see them.
fn vlan(facts: &Facts, port: &Port, name: &str) -> Option<Finding> {
    let tagged = match &facts.watched {
        Some(Ok(watched)) => watched.seen.tagged,
        _ => 0,
    };
    let would_matter = facts.wanted.af_xdp && port.card;
    if port.offloads.rx_vlan != Some(true) || tagged == 0 && !would_matter {
        return None;
    }
    let severity = match (facts.wanted.af_xdp, tagged) {
        (true, 1..) => Severity::Error,
        (true, 0) => Severity::Warning,
        (false, _) => Severity::Note,
    };
    let seen = format!("`rxvlan` is on, and {tagged} frames with a tag were seen");
    Some(Finding::new(&codes::VLAN_STRIPPED, severity, seen, [format!("`ethtool -K {name} rxvlan off`")]))
}

fn queues(facts: &Facts, port: &Port, name: &str) -> Option<Finding> {
    let workers = facts.wanted.workers;
    if port.queues as usize <= workers {
        return None;
    }
    let seen = format!("{} receive queues, {workers} workers", port.queues);
    let advice = format!("`ethtool -L {name} combined {workers}`, or raise `limits.workers` in haetae.yaml");
    Some(Finding::new(&codes::QUEUES_OVER_WORKERS, Severity::Note, seen, [advice]))
}
