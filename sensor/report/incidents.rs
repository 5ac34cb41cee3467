//! The incidents: who met what, why it matters, how far it went, what to do next; the worst first.
//!
//! In: gathered findings. Out: HTML. Never here: an order of its own, a number that was not gathered.

use std::fmt::Write as _;

use super::findings::{Contact, Incident, SEVERITIES};
use super::text::{Both, both, code, fill, from_to, long_value, number, size, spans, time, value};
use super::{Facts, tlp, words};
use crate::alert::community_id::community_id;
use crate::alert::eve::protocol;
use crate::alert::reading::Reading;
use crate::alert::{Place, Places};
use crate::indicator::{Ioc, Severity};
use crate::limits::{REPORT_ADVICE_BYTES_MAX, REPORT_INCIDENTS_SHOWN_MAX, REPORT_SOURCES_SHOWN_MAX};

/// The section.
pub(super) fn section(facts: &Facts<'_>, incidents: &[&Incident]) -> String {
    let mut out = String::from("<section id=\"alerts\" aria-labelledby=\"alerts-h\"><h2 id=\"alerts-h\">");
    out.push_str(&both(Both("Alerts", "경보")));
    out.push_str("</h2>");
    let total = facts.findings.total();
    if total == 0 {
        let _ = write!(out, "<p class=\"none\">{}</p></section>", both(Both("No alerts.", "경보가 없습니다.")));
        return out;
    }
    let note = Both(
        "{} alerts make {} incidents: all contacts of one host with one indicator in one direction. The worst come first.",
        "경보 {}건이 사건 {}건으로 묶였습니다. 한 호스트가 한 지표와 같은 방향으로 접촉한 것이 한 사건입니다. 심각한 것부터 보입니다.",
    );
    let _ = write!(out, "<p>{}</p>", fill(note, &[&number(total), &at_least(facts, incidents.len() as u64)]));
    out.push_str(&sieve());
    for (at, incident) in incidents.iter().take(REPORT_INCIDENTS_SHOWN_MAX).enumerate() {
        article(&mut out, facts, incident, at);
    }
    out.push_str(&remainder(facts, incidents));
    out.push_str("</section>");
    out
}

/// A number of what the incidents show, told as the least that it can be where there was no room for all of them.
pub(super) fn at_least(facts: &Facts<'_>, count: u64) -> String {
    let sign = if facts.findings.crowded > 0 { "≥\u{a0}" } else { "" };
    format!("{sign}{}", number(count))
}

/// What is not shown, in numbers.
fn remainder(facts: &Facts<'_>, incidents: &[&Incident]) -> String {
    let mut out = String::new();
    let hidden = incidents.len().saturating_sub(REPORT_INCIDENTS_SHOWN_MAX);
    if hidden > 0 {
        let alerts: u64 = incidents.iter().skip(REPORT_INCIDENTS_SHOWN_MAX).map(|incident| incident.alerts).sum();
        let note = Both(
            "Not shown: {} further incidents with {} alerts. They are counted above; <code>--alerts FILE</code> writes every one.",
            "표시하지 않음: 나머지 사건 {}건(경보 {}건). 위의 수에는 포함되어 있으며 <code>--alerts FILE</code>이 모두 기록합니다.",
        );
        let text = fill(note, &[&number(hidden as u64), &number(alerts)]);
        let _ = write!(out, "<p class=\"rest\" id=\"rest\">{text}</p>");
    }
    if facts.findings.crowded > 0 {
        let note = Both(
            "{} alerts came when the report's table of incidents was full: they are in the totals and on the timeline, not in the tables.",
            "경보 {}건은 사건 표가 가득 찬 뒤에 나왔습니다. 합계와 타임라인에는 있으나 표에는 없습니다.",
        );
        let _ = write!(out, "<p class=\"rest\">{}</p>", fill(note, &[&number(facts.findings.crowded)]));
    }
    out
}

/// What narrows the list; only the script can, so only the script shows it.
fn sieve() -> String {
    let mut out = String::from("<div id=\"sieve\" class=\"tools\" hidden><fieldset><legend>");
    out.push_str(&both(Both("Severity", "심각도")));
    out.push_str("</legend>");
    for severity in SEVERITIES.into_iter().rev() {
        let (name, text) = (severity.name(), both(words::severity(severity)));
        let _ = write!(out, "<label><input type=\"checkbox\" value=\"{name}\" checked>{text}</label>");
    }
    let find = both(Both("Find", "찾기"));
    let _ = write!(
        out,
        "</fieldset><label class=\"find\">{find} <input type=\"search\" id=\"find\" autocomplete=\"off\" spellcheck=\"false\"></label>\
         <p id=\"shown\" role=\"status\"></p></div>"
    );
    out
}

fn article(out: &mut String, facts: &Facts<'_>, incident: &Incident, at: usize) {
    let alert = &incident.worst;
    let reading = Reading::new(alert, facts.networks);
    let severity = incident.severity.name();
    let sentence = spans(&value(&reading.sentence(alert)), &value(&words::korean_sentence(&reading, alert)));
    let _ = write!(
        out,
        "<article class=\"incident {severity}\" id=\"i{at}\" data-at=\"{at}\" data-severity=\"{severity}\" \
         data-first=\"{}\" data-last=\"{}\" data-alerts=\"{}\" aria-labelledby=\"i{at}h\" tabindex=\"-1\">\
         <header>{}<h3 id=\"i{at}h\">{sentence}</h3></header><dl>",
        incident.first.as_nanos() / 1_000_000,
        incident.last.as_nanos() / 1_000_000,
        incident.alerts,
        chip(incident.severity),
    );
    let _ = write!(
        out,
        "<div class=\"next\"><dt>{}</dt><dd>{}</dd></div>",
        both(Both("Next", "조치")),
        next(alert, &reading)
    );
    row(out, Both("When (UTC)", "시각(UTC)"), &when(incident));
    row(out, Both("Host", "호스트"), &host(facts, incident, &reading));
    row(out, Both("Went how far", "진행 정도"), &how_far(incident));
    row(out, Both("Direction", "방향"), &both(words::direction(incident.direction)));
    row(out, Both("Indicator", "지표"), &indicator(alert.iocs.first()));
    row(out, Both("Seen", "관측 위치"), &seen(&alert.places));
    let why = both(Both("Why", "근거"));
    let _ = write!(out, "<div class=\"why\"><dt>{why}</dt><dd>{}</dd></div>", sources(&alert.iocs));
    out.push_str("</dl>");
    contacts(out, facts, incident, at);
    out.push_str("</article>");
}

/// A severity as a coloured word.
pub(super) fn chip(severity: Severity) -> String {
    format!("<span class=\"chip {}\">{}</span>", severity.name(), both(words::severity(severity)))
}

fn row(out: &mut String, name: Both, text: &str) {
    let _ = write!(out, "<div><dt>{}</dt><dd>{text}</dd></div>", both(name));
}

fn when(incident: &Incident) -> String {
    let counts = Both("{} alerts, {} sightings", "경보 {}건, 관측 {}회");
    let one = Both("1 alert, {} sightings", "경보 1건, 관측 {}회");
    let sightings = number(incident.sightings);
    let counts = match incident.alerts {
        1 => fill(one, &[&sightings]),
        more => fill(counts, &[&number(more), &sightings]),
    };
    let (ends, id) = (from_to(incident.first, incident.last), code(&incident.id));
    format!("{ends}<br><small>{counts}, {} {id}</small>", both(Both("incident", "사건")))
}

fn host(facts: &Facts<'_>, incident: &Incident, reading: &Reading<'_>) -> String {
    let mut out = code(&incident.host.to_string());
    let role = reading.asset.map(|asset| asset.role).unwrap_or(crate::networks::Role::Unknown);
    let _ = write!(out, " {}", both(words::role(role)));
    if let Some(network) = facts.networks.named(incident.host) {
        let _ = write!(out, ", {}", value(network));
    }
    out
}

fn how_far(incident: &Incident) -> String {
    let bytes = Both("{} sent, {} received", "보냄 {}, 받음 {}");
    let bytes = fill(bytes, &[&size(incident.bytes_out), &size(incident.bytes_in)]);
    format!("<strong>{}</strong><br><small>{bytes}</small>", both(words::stage(incident.stage)))
}

/// Kind and value.
pub(super) fn indicator(ioc: Option<&Ioc>) -> String {
    ioc.map_or_else(String::new, |ioc| format!("<small>{}</small> {}", value(ioc.kind), code(&ioc.value)))
}

fn seen(places: &Places) -> String {
    let one = |place: &Place| format!("<small>{}</small> {}", value(place.seen_in), code(&place.seen));
    let places: Vec<String> = places.iter().map(one).collect();
    places.join("<br>")
}

fn sources(iocs: &[Ioc]) -> String {
    let mut said: Vec<String> = iocs.iter().take(REPORT_SOURCES_SHOWN_MAX).map(source).collect();
    if iocs.len() > REPORT_SOURCES_SHOWN_MAX {
        let more = number((iocs.len() - REPORT_SOURCES_SHOWN_MAX) as u64);
        said.push(fill(Both("and {} more sources", "그 밖의 출처 {}곳"), &[&more]));
    }
    said.join("<br>")
}

fn source(ioc: &Ioc) -> String {
    let statement = &ioc.statement;
    let mut out = match statement.source.as_str() {
        "" => both(Both("source not named", "출처 없음")),
        name => format!("<strong>{}</strong>", value(name)),
    };
    let confidence = statement.confidence.to_string();
    let _ = write!(out, " {} {}", tlp(statement.tlp), fill(Both("confidence {}", "신뢰도 {}"), &[&confidence]));
    let labels: Vec<String> =
        statement.labels.iter().take(REPORT_SOURCES_SHOWN_MAX).map(|label| value(label)).collect();
    if !labels.is_empty() {
        let _ = write!(out, " · {}", labels.join(", "));
    }
    let day = |at: crate::time::Timestamp| at.rfc3339().split('T').next().unwrap_or_default().to_owned();
    let validity = match (statement.valid_from, statement.valid_until) {
        (None, None) => both(Both("no end of validity", "유효 기한 없음")),
        (Some(from), None) => fill(Both("valid from {}", "{}부터 유효"), &[&day(from)]),
        (None, Some(until)) => fill(Both("valid until {}", "{}까지 유효"), &[&day(until)]),
        (Some(from), Some(until)) => fill(Both("valid {} to {}", "{}부터 {}까지 유효"), &[&day(from), &day(until)]),
    };
    let _ = write!(out, " · {validity}");
    if let Some(id) = &ioc.id {
        let _ = write!(out, " · {}", code(id));
    }
    out
}

/// What the source says, in each language as far as it has it; else what holds in general.
fn next(alert: &crate::alert::Alert, reading: &Reading<'_>) -> String {
    let all = || alert.iocs.iter().flat_map(|ioc| &ioc.statement.next);
    let find = |language: &str| {
        let own = all().find(|(of, _)| of == language).or_else(|| all().find(|(of, _)| of == "en"));
        own.or_else(|| all().next()).map(|(_, text)| long_value(text, REPORT_ADVICE_BYTES_MAX))
    };
    match (find("en"), find("ko")) {
        (Some(english), Some(korean)) => {
            let by = both(Both("as its source says", "출처의 안내"));
            format!("{} <small>({by})</small>", spans(&english, &korean))
        }
        _ => {
            let by = both(Both("general advice", "일반 안내"));
            format!("{} <small>({by})</small>", both(words::advice(reading, alert)))
        }
    }
}

fn contacts(out: &mut String, facts: &Facts<'_>, incident: &Incident, at: usize) {
    let (shown, all) = (incident.contacts.len() as u64, incident.alerts);
    let title = match (number(shown), number(all)) {
        _ if all == 1 => both(Both("The flow", "플로우")),
        (_, all) if shown == incident.alerts => fill(Both("All {} flows", "전체 플로우 {}개"), &[&all]),
        (shown, all) => {
            spans(&format!("The first {shown} of {all} flows"), &format!("플로우 {all}개 중 처음 {shown}개"))
        }
    };
    let heads = [
        Both("Time (UTC)", "시각(UTC)"),
        Both("From", "출발"),
        Both("To", "도착"),
        Both("Protocol", "프로토콜"),
        Both("Seen", "관측"),
        Both("Stage", "단계"),
        Both("Sent", "보냄"),
        Both("Received", "받음"),
        Both("Missing", "누락"),
        Both("Alert, Community ID, capture", "경보, Community ID, 캡처"),
    ];
    let _ = write!(
        out,
        "<details><summary>{title}</summary><div class=\"wide\" role=\"region\" tabindex=\"0\" aria-labelledby=\"i{at}c\">\
         <table><caption id=\"i{at}c\">{}</caption><thead><tr>",
        both(Both("Flows of this incident", "이 사건의 플로우"))
    );
    for head in heads {
        let _ = write!(out, "<th scope=\"col\">{}</th>", both(head));
    }
    out.push_str("</tr></thead><tbody>");
    for contact in &incident.contacts {
        flow(out, facts, contact);
    }
    out.push_str("</tbody></table></div></details>");
}

fn flow(out: &mut String, facts: &Facts<'_>, contact: &Contact) {
    let alert = &contact.alert;
    let flow = &alert.flow;
    let end = |address: std::net::IpAddr, port: u16| match protocol::has_ports(flow.protocol) {
        true => std::net::SocketAddr::new(address, port).to_string(),
        false => address.to_string(),
    };
    let transport = protocol::name(flow.protocol).map_or_else(|| flow.protocol.to_string(), str::to_owned);
    let spoken = alert.event.app_proto.or(flow.app_proto).map(|name| format!(" {name}")).unwrap_or_default();
    let reading = Reading::new(alert, facts.networks);
    let community = community_id((flow.client, flow.client_port), (flow.server, flow.server_port), flow.protocol);
    let capture = facts.captures.get(contact.capture).map(|capture| value(&capture.name)).unwrap_or_default();
    let _ = write!(
        out,
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{transport}{spoken}</td><td>{}</td><td>{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td>{}<br>{}<br>{capture}</td></tr>",
        time(alert.first),
        code(&end(flow.client, flow.client_port)),
        code(&end(flow.server, flow.server_port)),
        seen(&alert.places),
        both(words::stage(reading.stage)),
        size(reading.bytes_out),
        size(reading.bytes_in),
        missing(contact),
        code(&contact.id),
        code(&String::from_utf8_lossy(&community)),
    );
}

/// What of a flow was not seen.
fn missing(contact: &Contact) -> String {
    let flow = &contact.alert.flow;
    let bytes = flow.missing[0].saturating_add(flow.missing[1]);
    let mut said = Vec::new();
    if !flow.both_directions() {
        said.push(both(Both("one direction", "한 방향")));
    }
    if bytes > 0 {
        said.push(fill(Both("{} in gaps", "빈 구간 {}"), &[&size(bytes)]));
    }
    if flow.midstream {
        said.push(both(Both("its beginning", "시작 부분")));
    }
    if contact.name_hidden {
        said.push(both(Both("the name (encrypted or not given)", "이름(암호화되었거나 없음)")));
    }
    if said.is_empty() { both(Both("nothing", "없음")) } else { said.join("<br>") }
}
