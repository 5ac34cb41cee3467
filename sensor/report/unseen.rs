//! What was not seen, and what that means: a number without its meaning misleads whoever has to explain it.
//!
//! In: counters. Out: HTML, a row for each loss that happened, and what cannot be seen by nature. Never here: a guess.

use std::fmt::Write as _;

use super::Facts;
use super::tables::{open, section};
use super::text::{Both, both, code, fill, number, size, value};
use super::words;
use crate::limits::REPORT_REFUSALS_SHOWN_MAX;
use crate::metrics::REFUSALS;

/// One loss: what, how many, what it means.
struct Loss {
    what: String,
    count: u64,
    means: Both,
}

/// The section.
pub(super) fn unseen(facts: &Facts<'_>) -> String {
    let losses = losses(facts);
    let mut body = String::new();
    if losses.is_empty() {
        let text = Both(
            "Nothing was lost: every packet was read to its end.",
            "잃은 것이 없습니다. 모든 패킷을 끝까지 읽었습니다.",
        );
        let _ = write!(body, "<p class=\"none\">{}</p>", both(text));
    } else {
        let heads = [Both("What", "항목"), Both("How many", "수"), Both("What it means", "의미")];
        body.push_str(&open(
            "unseen",
            Both("What was not seen or not followed", "보지 못했거나 추적하지 못한 것"),
            &heads,
        ));
        for loss in losses {
            let Loss { what, count, means } = loss;
            let (count, means) = (number(count), both(means));
            let _ = write!(body, "<tr><th scope=\"row\">{what}</th><td class=\"n\">{count}</td><td>{means}</td></tr>");
        }
        body.push_str("</tbody></table></div>");
    }
    body.push_str(&refused(facts));
    body.push_str(&by_nature());
    section("unseen", Both("What was not seen, and why", "보지 못한 것과 그 이유"), &body)
}

fn losses(facts: &Facts<'_>) -> Vec<Loss> {
    let mut all = Vec::new();
    let mut loss = |what: String, count: u64, means: Both| all.push(Loss { what, count, means });
    for cut in facts.captures.iter().flat_map(|capture| &capture.cuts).take(REPORT_REFUSALS_SHOWN_MAX) {
        let what = fill(Both("Capture cut: {}, bytes left", "잘린 캡처: {}, 남은 바이트"), &[&code(&cut.file)]);
        loss(
            what,
            cut.bytes,
            Both(
                "The file ends in the middle; what came after it is unknown.",
                "파일이 중간에 끝납니다. 이후는 알 수 없습니다.",
            ),
        );
    }
    let not_seen = &facts.not_seen;
    for &(layer, count) in &not_seen.malformed {
        let what = fill(Both("Malformed packets: {}", "잘못된 패킷: {}"), &[&code(layer)]);
        loss(
            what,
            count,
            Both(
                "Headers are cut or make no sense; nothing in them was read.",
                "헤더가 잘렸거나 맞지 않아 내용을 읽지 못했습니다.",
            ),
        );
    }
    for (text, count, means) in of_capture(facts).into_iter().chain(of_flows(facts)) {
        loss(both(text), count, means);
    }
    for (name, count) in &not_seen.other {
        loss(
            value(name),
            *count,
            Both(
                "Lost to a bound of the sensor or of a format; see the counters.",
                "센서나 형식의 한계로 잃었습니다. 카운터를 참고하십시오.",
            ),
        );
    }
    for (reason, &count) in REFUSALS.iter().zip(&facts.tally.refusals) {
        let means = Both(
            "A value was met, but policy says that it raises nothing. <code>haetae lookup VALUE</code> says which rule.",
            "값이 관측되었으나 정책상 경보를 내지 않습니다. <code>haetae lookup 값</code>으로 확인하십시오.",
        );
        loss(both(words::refusal(*reason)), count, means);
    }
    all.retain(|loss| loss.count > 0);
    all
}

/// What, how many, what it means.
type Row = (Both, u64, Both);

/// What the capture does not have, or not in the clear.
fn of_capture(facts: &Facts<'_>) -> [Row; 5] {
    let not_seen = &facts.not_seen;
    [
        (
            Both("Packets kept only in part (snap length)", "일부만 저장된 패킷(snaplen)"),
            not_seen.truncated,
            Both("What lies behind the cut was never in the capture.", "잘린 뒷부분은 캡처에 없습니다."),
        ),
        (
            Both("Gaps in TCP streams", "TCP 스트림의 빈 구간"),
            not_seen.gaps,
            Both(
                "Bytes are missing from the capture; an indicator inside them was not met.",
                "캡처에 없는 바이트입니다. 그 안의 지표는 찾을 수 없습니다.",
            ),
        ),
        (
            Both("Flows seen in one direction only", "한 방향만 보인 플로우"),
            not_seen.one_way,
            Both(
                "Nobody answered, or the tap sees one direction: then answers are missing everywhere.",
                "응답이 없었거나 탭이 한 방향만 봅니다. 후자라면 응답이 전부 빠져 있습니다.",
            ),
        ),
        (
            Both("TLS names hidden or not given", "숨겨졌거나 없는 TLS 이름"),
            not_seen.names_hidden,
            Both(
                "Indicators for names cannot be met there; addresses can.",
                "이름 지표는 찾을 수 없고 주소 지표만 찾을 수 있습니다.",
            ),
        ),
        (
            Both("TLS certificates encrypted (TLS 1.3)", "암호화된 TLS 인증서(TLS 1.3)"),
            not_seen.certificates_encrypted,
            Both("Indicators for certificates cannot be met there.", "인증서 지표는 찾을 수 없습니다."),
        ),
    ]
}

/// What policy leaves out and what bounds gave up.
fn of_flows(facts: &Facts<'_>) -> [Row; 5] {
    let (not_seen, tally) = (&facts.not_seen, facts.tally);
    [
        (
            Both("Flows whose beginning is missing", "시작이 없는 플로우"),
            tally.flows.midstream,
            Both(
                "They began before the capture; who asked may be unknown.",
                "캡처 이전에 시작되어 누가 요청했는지 모를 수 있습니다.",
            ),
        ),
        (
            Both("Packets of networks that are never watched", "감시 제외 네트워크의 패킷"),
            not_seen.never_watched,
            Both("The site's configuration says so: counted and nothing else.", "기관 설정에 따라 수만 세었습니다."),
        ),
        (
            Both("Values in no form of their kind", "형식에 맞지 않는 값"),
            tally.values_refused,
            Both(
                "Names, URLs or the like that nobody could resolve; they were not looked up.",
                "해석할 수 없는 이름이나 URL 등이어서 조회하지 않았습니다.",
            ),
        ),
        (
            Both(
                "Indicators met in a flow that had met many others: no alert",
                "이미 많은 지표를 만난 플로우의 추가 지표: 경보 없음",
            ),
            tally.contacts.shed,
            Both(
                "A flow raises alerts for a bounded number of indicators; those that came first have theirs.",
                "한 플로우가 내는 경보의 수에는 한도가 있습니다. 먼저 만난 지표는 경보가 있습니다.",
            ),
        ),
        (
            Both("Alerts that end with their first sighting", "첫 관측으로 끝난 경보"),
            tally.contacts.crowded,
            Both(
                "The table of open contacts was full: how far these went in the end is not known.",
                "접촉 표가 가득 차 이후 어디까지 진행되었는지 알 수 없습니다.",
            ),
        ),
    ]
}

/// Rules that were not taken, by reason, and the first of them.
fn refused(facts: &Facts<'_>) -> String {
    let total: u64 = facts.refused.values().sum();
    if total == 0 {
        return String::new();
    }
    let heads = [Both("Reason", "이유"), Both("How many", "수")];
    let caption = fill(
        Both("{} rules were refused and are not looked for", "규칙 {}개가 거부되어 찾지 않았습니다"),
        &[&number(total)],
    );
    let mut out = format!("<h3>{caption}</h3>");
    out.push_str(&open("refused", Both("Refused rules by reason", "거부된 규칙, 이유별"), &heads));
    for (reason, count) in facts.refused.iter().take(REPORT_REFUSALS_SHOWN_MAX) {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td></tr>", value(reason), number(*count));
    }
    out.push_str("</tbody></table></div><ol class=\"refusals\">");
    for refusal in facts.refusals.iter().take(REPORT_REFUSALS_SHOWN_MAX) {
        let _ = write!(out, "<li>{}</li>", code(refusal));
    }
    out.push_str("</ol>");
    if total > facts.refusals.len().min(REPORT_REFUSALS_SHOWN_MAX) as u64 {
        let rest = total - facts.refusals.len().min(REPORT_REFUSALS_SHOWN_MAX) as u64;
        let note =
            Both("And {} more; <code>-v</code> prints them.", "그 밖에 {}개. <code>-v</code>로 모두 볼 수 있습니다.");
        let _ = write!(out, "<p class=\"rest\">{}</p>", fill(note, &[&number(rest)]));
    }
    out
}

/// What no sensor on a link sees.
fn by_nature() -> String {
    let text = Both(
        "By nature, a sensor on a link does not see: what is inside encrypted connections (TLS 1.3 encrypts the server's \
         certificate too), what never crossed this link, and what was captured by nobody. No alert is no proof of health.",
        "네트워크 센서가 본래 볼 수 없는 것: 암호화된 연결의 내용(TLS 1.3은 서버 인증서도 암호화), 이 링크를 지나지 않은 통신, \
         아무도 캡처하지 않은 통신. 경보가 없다고 안전하다는 증거는 아닙니다.",
    );
    format!("<p class=\"nature\">{}</p>", both(text))
}

/// The one line under the headline: whether the capture can be trusted to show everything.
pub(super) fn verdict(facts: &Facts<'_>) -> String {
    let accounted = number(facts.tally.handed);
    let mut out = match facts.tally.unaccounted() {
        0 => fill(
            Both("Every one of {} packets is accounted for.", "패킷 {}개 모두 처리 결과가 확인됩니다."),
            &[&accounted],
        ),
        odd => {
            let odd = number(odd.unsigned_abs());
            fill(
                Both(
                    "{} packets are unaccounted for: a fault of the sensor.",
                    "패킷 {}개의 처리 결과를 알 수 없습니다. 센서 결함입니다.",
                ),
                &[&odd],
            )
        }
    };
    let not_seen = &facts.not_seen;
    let malformed: u64 = not_seen.malformed.iter().map(|(_, count)| count).sum();
    let cuts: u64 = facts.captures.iter().flat_map(|capture| &capture.cuts).map(|cut| cut.bytes).sum();
    let mut parts = Vec::new();
    let counts = [
        (not_seen.gaps, Both("{} gaps", "빈 구간 {}개")),
        (not_seen.truncated, Both("{} packets cut", "잘린 패킷 {}개")),
        (malformed, Both("{} malformed", "잘못된 패킷 {}개")),
        (not_seen.one_way, Both("{} flows one way only", "한 방향 플로우 {}개")),
    ];
    parts.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, text)| fill(*text, &[&number(*count)])));
    if cuts > 0 {
        parts.push(fill(Both("{} of captures not readable", "캡처 {} 읽지 못함"), &[&size(cuts)]));
    }
    let losses = if parts.is_empty() { both(Both("nothing lost", "손실 없음")) } else { parts.join(", ") };
    let _ = write!(out, " <a href=\"#unseen\">{}: {losses}</a>", both(Both("Not seen", "보지 못한 것")));
    out
}
