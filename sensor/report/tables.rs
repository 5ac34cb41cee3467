//! Who and what, by weight, and capture by capture.
//!
//! In: incidents and captures. Out: HTML tables of bounded length whose last line says what is left out.
//! Never here: an incident's own story.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::Facts;
use super::findings::Incident;
use super::incidents::{chip, indicator};
use super::text::{Both, both, code, fill, from_to, number, size, value};
use super::words;
use crate::alert::reading::Reading;
use crate::indicator::Severity;
use crate::limits::REPORT_ROWS_SHOWN_MAX;
use crate::observable::Stage;
use crate::time::Timestamp;

/// Incidents that have something in common, added up.
struct Weight<'a> {
    severity: Severity,
    stage: Stage,
    incidents: u64,
    alerts: u64,
    bytes_out: u64,
    bytes_in: u64,
    first: Timestamp,
    last: Timestamp,
    /// The place of its worst incident in the list.
    at: usize,
    worst: &'a Incident,
}

/// Incidents by what they have in common, the weightiest first. They come sorted, so each group begins with its worst.
fn weigh<'a, K: Ord>(incidents: &[&'a Incident], key: impl Fn(&'a Incident) -> K) -> Vec<Weight<'a>> {
    let mut groups: BTreeMap<K, Weight<'a>> = BTreeMap::new();
    for (at, &incident) in incidents.iter().enumerate() {
        let group = groups.entry(key(incident)).or_insert(Weight {
            severity: incident.severity,
            stage: incident.stage,
            incidents: 0,
            alerts: 0,
            bytes_out: 0,
            bytes_in: 0,
            first: incident.first,
            last: incident.last,
            at,
            worst: incident,
        });
        group.incidents += 1;
        group.alerts += incident.alerts;
        group.bytes_out = group.bytes_out.saturating_add(incident.bytes_out);
        group.bytes_in = group.bytes_in.saturating_add(incident.bytes_in);
        group.stage = group.stage.max(incident.stage);
        group.first = group.first.min(incident.first);
        group.last = group.last.max(incident.last);
    }
    let mut groups: Vec<Weight<'a>> = groups.into_values().collect();
    groups.sort_by_key(|group| group.at);
    groups
}

fn host_of(incident: &Incident) -> IpAddr {
    incident.host
}

fn value_of(incident: &Incident) -> (&'static str, String) {
    incident.worst.iocs.first().map_or(("", String::new()), |ioc| (ioc.kind, ioc.value.clone()))
}

/// How many hosts there are among the incidents.
pub(super) fn hosts_count(incidents: &[&Incident]) -> u64 {
    let hosts: std::collections::BTreeSet<IpAddr> = incidents.iter().map(|incident| incident.host).collect();
    hosts.len() as u64
}

/// Hosts by weight.
pub(super) fn hosts(facts: &Facts<'_>, incidents: &[&Incident]) -> String {
    let groups = weigh(incidents, host_of);
    let heads = [
        Both("Host", "호스트"),
        Both("Part", "역할"),
        Both("Worst", "최고 심각도"),
        Both("Went how far", "진행 정도"),
        Both("Indicators", "지표"),
        Both("Alerts", "경보"),
        Both("Sent", "보냄"),
        Both("Received", "받음"),
        Both("First – last (UTC)", "처음 – 마지막(UTC)"),
    ];
    let row = |group: &Weight<'_>| {
        let reading = Reading::new(&group.worst.worst, facts.networks);
        let role = reading.asset.map_or(crate::networks::Role::Unknown, |asset| asset.role);
        let network = facts.networks.named(group.worst.host).map(|name| format!("<br><small>{}</small>", value(name)));
        format!(
            "<tr><th scope=\"row\"><a href=\"#i{}\">{}</a></th><td>{}{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            group.at,
            code(&group.worst.host.to_string()),
            both(words::role(role)),
            network.unwrap_or_default(),
            chip(group.severity),
            both(words::stage(group.stage)),
            number(group.incidents),
            number(group.alerts),
            size(group.bytes_out),
            size(group.bytes_in),
            from_to(group.first, group.last),
        )
    };
    let title = Both("Hosts by weight", "호스트별 정리");
    let caption = Both("Hosts that met indicators, the worst first", "지표와 접촉한 호스트, 심각한 순");
    section("hosts", title, &table("hosts", caption, &heads, &groups, row))
}

/// Indicators by weight.
pub(super) fn indicators(incidents: &[&Incident]) -> String {
    let mut hosts: BTreeMap<(&str, String), std::collections::BTreeSet<IpAddr>> = BTreeMap::new();
    for incident in incidents {
        hosts.entry(value_of(incident)).or_default().insert(incident.host);
    }
    let groups = weigh(incidents, value_of);
    let heads = [
        Both("Indicator", "지표"),
        Both("Worst", "최고 심각도"),
        Both("Hosts", "호스트"),
        Both("Alerts", "경보"),
        Both("Went how far", "진행 정도"),
        Both("First – last (UTC)", "처음 – 마지막(UTC)"),
    ];
    let row = |group: &Weight<'_>| {
        let met = hosts.get(&value_of(group.worst)).map_or(0, |hosts| hosts.len() as u64);
        format!(
            "<tr><th scope=\"row\"><a href=\"#i{}\">{}</a></th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td>{}</td><td>{}</td></tr>",
            group.at,
            indicator(group.worst.worst.iocs.first()),
            chip(group.severity),
            number(met),
            number(group.alerts),
            both(words::stage(group.stage)),
            from_to(group.first, group.last),
        )
    };
    let title = Both("Indicators by weight", "지표별 정리");
    let caption = Both("Indicators that were met, the worst first", "관측된 지표, 심각한 순");
    section("indicators", title, &table("indicators", caption, &heads, &groups, row))
}

/// Captures, those with alerts first where there are too many.
pub(super) fn captures(facts: &Facts<'_>) -> String {
    let mut order: Vec<usize> = (0..facts.captures.len()).collect();
    if order.len() > REPORT_ROWS_SHOWN_MAX {
        order.sort_by_key(|&at| {
            let capture = &facts.captures[at];
            (std::cmp::Reverse((capture.alerts, !capture.cuts.is_empty(), capture.packets)), at)
        });
    }
    let heads = [
        Both("Capture", "캡처"),
        Both("Packets", "패킷"),
        Both("Bytes", "바이트"),
        Both("First – last (UTC)", "처음 – 마지막(UTC)"),
        Both("Alerts", "경보"),
        Both("Read", "읽음"),
    ];
    let row = |at: &usize| {
        let capture = &facts.captures[*at];
        let time = capture.time.map(|(first, last)| from_to(first, last)).unwrap_or_default();
        let cuts = capture.cuts.iter().map(|cut| {
            let left = fill(Both("cut: {} left ({})", "잘림: {} 남음({})"), &[&size(cut.bytes), &value(cut.reason)]);
            format!("{} {left}", code(&cut.file))
        });
        let cuts: Vec<String> = cuts.collect();
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{time}</td><td class=\"n\">{}</td>\
             <td>{}</td></tr>",
            code(&capture.name),
            number(capture.packets),
            size(capture.bytes),
            number(capture.alerts),
            if cuts.is_empty() { both(Both("whole", "전체")) } else { cuts.join("<br>") },
        )
    };
    let caption = Both("Captures that were read", "읽은 캡처");
    section("captures", Both("Captures", "캡처"), &table("captures", caption, &heads, &order, row))
}

/// A section with a heading.
pub(super) fn section(id: &str, title: Both, body: &str) -> String {
    let title = both(title);
    format!("<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{title}</h2>{body}</section>")
}

fn table<T>(id: &str, caption: Both, heads: &[Both], rows: &[T], row: impl Fn(&T) -> String) -> String {
    if rows.is_empty() {
        return format!("<p class=\"none\">{}</p>", both(Both("None.", "없음.")));
    }
    let body: String = rows.iter().take(REPORT_ROWS_SHOWN_MAX).map(row).collect();
    let mut out = open(id, caption, heads);
    let _ = write!(out, "{body}</tbody></table></div>");
    if rows.len() > REPORT_ROWS_SHOWN_MAX {
        let rest = number((rows.len() - REPORT_ROWS_SHOWN_MAX) as u64);
        let _ = write!(out, "<p class=\"rest\">{}</p>", fill(Both("And {} more.", "그 밖에 {}개."), &[&rest]));
    }
    out
}

/// A table up to its first row.
pub(super) fn open(id: &str, caption: Both, heads: &[Both]) -> String {
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{}</th>", both(*head))).collect();
    format!(
        "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{id}-c\"><table>\
         <caption id=\"{id}-c\">{}</caption><thead><tr>{heads}</tr></thead><tbody>",
        both(caption)
    )
}
