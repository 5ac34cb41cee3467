//! The first thing that is read and the last: what happened in one sentence, the numbers, the timeline, how it was made.
//!
//! In: facts and incidents. Out: HTML. Never here: the story of a single incident.

use std::fmt::Write as _;

use super::chart::Axis;
use super::findings::{Incident, SEVERITIES};
use super::incidents::{at_least, chip};
use super::tables::{hosts_count, open, section as titled};
use super::text::{Both, both, code, fill, from_to, number, size, span, spans, time, value};
use super::{Facts, unseen, words};
use crate::alert::reading::Reading;
use crate::decode::Fate;
use crate::time::Timestamp;

/// Headline and numbers.
pub(super) fn section(facts: &Facts<'_>, incidents: &[&Incident]) -> String {
    let mut out = String::from("<section id=\"summary\" aria-labelledby=\"summary-h\">");
    match incidents.first() {
        Some(worst) => {
            let _ = write!(out, "<p class=\"verdict {}\">{}</p>", worst.severity.name(), chip(worst.severity));
            let _ = write!(out, "<h1 id=\"summary-h\">{}</h1>", headline(facts, worst));
            let _ = write!(out, "<p class=\"lead\">{} {}</p>", of_worst(worst), lead(facts, incidents));
        }
        None => {
            let _ = write!(out, "<h1 id=\"summary-h\">{}</h1>", quiet(facts));
        }
    }
    let _ = write!(out, "<p class=\"trust\">{}</p>", unseen::verdict(facts));
    out.push_str(&numbers(facts, incidents));
    out.push_str("</section>");
    out
}

fn headline(facts: &Facts<'_>, worst: &Incident) -> String {
    let reading = Reading::new(&worst.worst, facts.networks);
    let english = value(&reading.sentence(&worst.worst));
    let korean = value(&words::korean_sentence(&reading, &worst.worst));
    format!("<a href=\"#i0\">{}</a>", spans(&english, &korean))
}

/// The whole incident behind the headline, which speaks of its worst contact.
fn of_worst(worst: &Incident) -> String {
    let text = match worst.alerts {
        1 => Both("In this incident: {} alert, {} sent and {} received.", "이 사건: 경보 {}건, {} 보냄, {} 받음."),
        _ => Both(
            "In this incident: {} alerts, {} sent and {} received in all.",
            "이 사건: 경보 {}건, 모두 {} 보냄, {} 받음.",
        ),
    };
    fill(text, &[&number(worst.alerts), &size(worst.bytes_out), &size(worst.bytes_in)])
}

/// What else there was, in one more sentence.
fn lead(facts: &Facts<'_>, incidents: &[&Incident]) -> String {
    let (alerts, hosts) = (number(facts.findings.total()), at_least(facts, hosts_count(incidents)));
    if incidents.len() == 1 {
        return both(Both("It is the only one.", "유일한 사건입니다."));
    }
    let all = at_least(facts, incidents.len() as u64);
    let text = Both(
        "It is the worst of {} incidents at {} hosts with {} alerts.",
        "사건 {}건, 호스트 {}개, 경보 {}건 가운데 가장 심각합니다.",
    );
    fill(text, &[&all, &hosts, &alerts])
}

fn quiet(facts: &Facts<'_>) -> String {
    let packets = number(facts.tally.handed);
    if facts.set.is_none() || facts.loaded == 0 {
        let text =
            Both("Nothing was looked for: no indicators were loaded.", "찾은 것이 없습니다: 적재된 지표가 없습니다.");
        return both(text);
    }
    let text = Both("No listed indicator was met in {} packets.", "패킷 {}개에서 등록된 지표가 관측되지 않았습니다.");
    fill(text, &[&packets])
}

fn numbers(facts: &Facts<'_>, incidents: &[&Incident]) -> String {
    let mut out = String::from("<dl class=\"numbers\">");
    let mut card = |id: &str, name: Both, figure: &str, below: &str| {
        let name = both(name);
        let _ = write!(out, "<div><dt>{name}</dt><dd><strong id=\"n-{id}\">{figure}</strong>");
        let _ = write!(out, "<small>{below}</small></dd></div>");
    };
    let by_severity = SEVERITIES.iter().zip(facts.findings.alerts).rev().filter(|(_, count)| *count > 0);
    let by_severity: Vec<String> = by_severity
        .map(|(severity, count)| {
            let (Both(english, korean), count) = (words::severity(*severity), number(count));
            spans(&format!("{count} {}", english.to_lowercase()), &format!("{korean} {count}"))
        })
        .collect();
    card("alerts", Both("Alerts", "경보"), &number(facts.findings.total()), &by_severity.join(", "));
    let hosts = at_least(facts, hosts_count(incidents));
    let below = fill(Both("at {} hosts", "호스트 {}개"), &[&hosts]);
    card("incidents", Both("Incidents", "사건"), &at_least(facts, incidents.len() as u64), &below);
    let bytes = size(facts.tally.bytes);
    card("packets", Both("Packets", "패킷"), &number(facts.tally.handed), &bytes);
    let flows = fill(Both("{} flows", "플로우 {}개"), &[&number(facts.tally.flows.began)]);
    card("files", Both("Captures", "캡처"), &number(facts.captures.len() as u64), &flows);
    let (length, ends) = time_span(facts);
    card("time", Both("Time captured", "캡처된 시간"), &length, &ends);
    let refused = number(facts.refused.values().sum());
    let refused = fill(Both("{} rules refused", "거부된 규칙 {}개"), &[&refused]);
    card("indicators", Both("Indicators", "지표"), &number(facts.loaded), &refused);
    let version = facts.set.map_or_else(|| both(Both("none", "없음")), |(full, _)| value(full));
    let short = facts.set.map_or_else(String::new, |(_, number)| number.to_string());
    card("set", Both("Set version", "지표 집합 버전"), &version, &short);
    out.push_str("</dl>");
    out
}

/// The time that captures cover, those that overlap counted once, and from when to when.
fn time_span(facts: &Facts<'_>) -> (String, String) {
    let mut pieces: Vec<(Timestamp, Timestamp)> =
        facts.captures.iter().filter_map(|capture| capture.time).map(|(a, b)| (a.min(b), a.max(b))).collect();
    pieces.sort_unstable();
    let (Some(first), Some(last)) = (pieces.first(), pieces.iter().map(|piece| piece.1).max()) else {
        return ("–".to_owned(), String::new());
    };
    let (mut covered, mut until) = (0_u64, first.0);
    for &(from, to) in &pieces {
        let from = from.max(until);
        covered = covered.saturating_add(to.since(from).as_nanos().max(0).unsigned_abs());
        until = until.max(to);
    }
    (span(covered), format!("{} UTC", from_to(first.0, last)))
}

/// The picture, and where the script puts its own.
pub(super) fn timeline(axis: &Axis) -> String {
    let title = Both("Timeline", "타임라인");
    if axis.is_empty() {
        return titled(
            "timeline",
            title,
            &format!("<p class=\"none\">{}</p>", both(Both("No packets.", "패킷 없음."))),
        );
    }
    let tool = |id: &str, sign: &str, text: Both| {
        format!(
            "<button type=\"button\" id=\"{id}\"><i aria-hidden=\"true\">{sign}</i> <span class=\"label\">{}</span></button>",
            both(text)
        )
    };
    let (first, last) = axis.ends();
    let caption = Both(
        "Packets (bars) and alerts by severity (marks), from {} to {} UTC.",
        "패킷(막대)과 심각도별 경보(점), {}부터 {}까지(UTC).",
    );
    let mut caption = fill(caption, &[&time(first), &time(last)]);
    if axis.folds() > 0 {
        let note = Both(
            " Time is not to scale at {} places, where no capture covers it or a long silence is folded.",
            " {}곳에서는 캡처가 없거나 긴 침묵이 있어 시간이 접혀 있습니다.",
        );
        caption.push_str(&fill(note, &[&number(axis.folds() as u64)]));
    }
    let help = Both(
        "Drag to zoom, Shift-drag to move, Ctrl-wheel or pinch; keys: ← → move, + − zoom, 0 everything. \
         The alerts below follow the chosen time.",
        "끌어서 확대, Shift+끌기로 이동, Ctrl+휠 또는 두 손가락; 키: ← → 이동, + − 확대·축소, 0 전체. \
         아래 경보는 선택한 시간을 따릅니다.",
    );
    let body = format!(
        "<figure><div id=\"chart\" role=\"group\" aria-labelledby=\"timeline-h\" aria-describedby=\"chart-c chart-help\">{}</div>\
         <div id=\"strip\" hidden></div><p id=\"window\" role=\"status\"></p><p id=\"column\" hidden></p>\
         <div id=\"chart-tools\" class=\"tools\" hidden>{}{}{}{}{}</div>\
         <p id=\"chart-help\" class=\"help\" hidden>{}</p><figcaption id=\"chart-c\">{caption}</figcaption></figure>",
        axis.svg(),
        tool("zoom-in", "+", Both("zoom in", "확대")),
        tool("zoom-out", "−", Both("zoom out", "축소")),
        tool("move-left", "←", Both("earlier", "이전")),
        tool("move-right", "→", Both("later", "이후")),
        tool("reset", "⟲", Both("everything", "전체")),
        both(help),
    );
    titled("timeline", title, &body)
}

/// How the page was made, and the sum that has to come out even.
pub(super) fn made(facts: &Facts<'_>) -> String {
    let mut out = String::from("<dl class=\"made\">");
    let mut row = |name: Both, text: &str| {
        let _ = write!(out, "<div><dt>{}</dt><dd>{text}</dd></div>", both(name));
    };
    row(
        Both("Command", "명령"),
        &format!("<code>{}</code>", super::text::long_value(facts.command, COMMAND_BYTES_MAX)),
    );
    row(Both("Sensor", "센서"), concat!("haetae ", env!("CARGO_PKG_VERSION")));
    let set =
        facts.set.map_or_else(|| both(Both("none", "없음")), |(full, number)| format!("{} ({number})", code(full)));
    row(Both("Set version", "지표 집합 버전"), &set);
    let configuration = facts.configuration.map_or_else(|| both(Both("none", "없음")), code);
    row(Both("Configuration", "설정"), &configuration);
    let inside = if facts.networks.given() {
        both(Both("as the configuration says", "설정에 따름"))
    } else {
        both(Both("not given: private ranges were taken for inside", "설정 없음: 사설 대역을 내부로 간주함"))
    };
    row(Both("What is inside", "내부 네트워크"), &inside);
    let left = match facts.delivered {
        None => both(Both("Nothing left this machine.", "이 장비에서 나간 것이 없습니다.")),
        Some(delivery) => {
            let counts = [delivery.committed, delivery.waiting, delivery.held_back].map(number);
            let text =
                Both("{}: {} revisions committed, {} waiting, {} held back", "{}: 확정 {}건, 대기 {}건, 보류 {}건");
            fill(text, &[&code(&delivery.url), &counts[0], &counts[1], &counts[2]])
        }
    };
    row(Both("What left", "외부 전송"), &left);
    out.push_str("</dl>");
    out.push_str(&identity(facts));
    titled("made", Both("How it was made", "만든 방법"), &out)
}

/// A command names every capture; a shell's own bound would be longer than anybody reads.
const COMMAND_BYTES_MAX: usize = 4_000;

/// Handed out = sum of fates, line by line.
fn identity(facts: &Facts<'_>) -> String {
    let tally = facts.tally;
    let heads = [Both("Fate", "처리 결과"), Both("Packets", "패킷"), Both("Meaning", "의미")];
    let caption = Both("Every packet has exactly one fate", "모든 패킷은 정확히 한 가지로 처리됩니다");
    let mut out = open("fates", caption, &heads);
    for row in (0..Fate::COUNT).filter(|&row| row != Fate::Elsewhere.index() && tally.fates.0[row] > 0) {
        let (name, count) = (Fate::name(row), number(tally.fates.0[row]));
        let meaning = both(words::fate(&name));
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{count}</td><td>{meaning}</td></tr>",
            code(&name)
        );
    }
    let sum = number(tally.fates.accounted());
    let even = match tally.unaccounted() {
        0 => Both("equals the packets that the captures handed out", "캡처가 내놓은 패킷 수와 같음"),
        _ => Both(
            "does not equal the packets handed out: a fault of the sensor",
            "캡처가 내놓은 패킷 수와 다름: 센서 결함",
        ),
    };
    let even = format!("{}: <strong>{} = {sum}</strong>", both(even), number(tally.handed));
    let name = both(Both("Sum", "합계"));
    let _ = write!(
        out,
        "</tbody><tfoot><tr><th scope=\"row\">{name}</th><td class=\"n\" id=\"accounted\">{sum}</td><td>{even}</td></tr></tfoot></table></div>"
    );
    out
}

/// The last line.
pub(super) fn closing(facts: &Facts<'_>) -> String {
    let text = Both(
        "This page is a local record of {}. It holds addresses of the site and asks nothing of the network. All times are UTC, \
         as the captures have them.",
        "이 문서는 {}의 내부 기록입니다. 기관의 주소를 담고 있으며 네트워크를 전혀 쓰지 않습니다. 모든 시각은 캡처에 기록된 UTC입니다.",
    );
    format!("<p>{}</p>", fill(text, &[&value(facts.site)]))
}
