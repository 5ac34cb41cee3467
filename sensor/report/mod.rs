//! The report of a replay: one page that explains itself to whoever has to explain it to others.
//!
//! In: what a replay came to ([`Facts`]), gathered while it ran ([`Findings`]). Out: one HTML file that asks nothing of
//! anybody: style and script stand in it and are the only ones that its own policy lets run, every value is text, both
//! languages are there, and without a script it still says everything. The same input gives the same bytes.
//! Never here: a clock, a file, a count of its own.

mod chart;
mod findings;
mod incidents;
mod summary;
mod tables;
mod text;
mod unseen;
mod words;

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cli::screen::{Delivery, NotSeen};
use crate::indicator::Tlp;
use crate::limits::REPORT_INCIDENTS_SHOWN_MAX;
use crate::metrics::Tally;
use crate::networks::Networks;
use crate::time::Timestamp;
use crate::worker::timeline::Timeline;
use chart::Axis;
pub use findings::Findings;
use text::{Both, both, json, value};

/// How the page looks.
const STYLE: &str = include_str!("page.css");
/// How it moves.
const SCRIPT: &str = include_str!("page.js");

/// What a replay came to.
pub struct Facts<'a> {
    /// The language that the page opens in: `en`, `ko`.
    pub language: &'a str,
    /// The site's name.
    pub site: &'a str,
    /// What makes the same page again: without workers and outputs, on which nothing in it depends.
    pub command: &'a str,
    /// The configuration's name; `None`: there was none.
    pub configuration: Option<&'a str>,
    /// What is inside.
    pub networks: &'a Networks,
    /// The set's version, in full and as alerts have it; `None`: nothing was looked for.
    pub set: Option<(&'a str, u64)>,
    /// Entries of the set.
    pub loaded: u64,
    /// Rules that were refused, by reason.
    pub refused: &'a BTreeMap<String, u64>,
    /// The first of them, with file and line.
    pub refusals: &'a [String],
    /// Captures in their order.
    pub captures: Vec<Capture>,
    /// All counters together.
    pub tally: &'a Tally,
    /// What of it was not seen.
    pub not_seen: NotSeen,
    /// What left; `None`: nothing.
    pub delivered: Option<&'a Delivery>,
    /// Alerts.
    pub findings: &'a Findings,
}

/// One capture, as the page tells of it.
pub struct Capture {
    /// Its path.
    pub name: String,
    /// Frames handed out.
    pub packets: u64,
    /// Their bytes on the link.
    pub bytes: u64,
    /// Alerts.
    pub alerts: u64,
    /// Of its first frame and its last; `None`: it has none.
    pub time: Option<(Timestamp, Timestamp)>,
    /// Where its files end too early.
    pub cuts: Vec<CutShort>,
}

/// A file that ends too early.
pub struct CutShort {
    /// Its path.
    pub file: String,
    /// Bytes that were not read.
    pub bytes: u64,
    /// Why.
    pub reason: &'static str,
}

/// Writes the page.
///
/// # Errors
/// Those of `out`.
pub fn write(facts: &Facts<'_>, out: &mut dyn Write) -> io::Result<()> {
    let incidents = facts.findings.incidents();
    let mut timeline = Timeline::default();
    timeline.add(&facts.tally.timeline);
    timeline.add(&facts.findings.timeline);
    let covered: Vec<_> = facts.captures.iter().filter_map(|capture| capture.time).collect();
    let axis = Axis::new(timeline.bins(), timeline.width_log2(), &covered);
    let marks: Vec<_> = incidents
        .iter()
        .take(REPORT_INCIDENTS_SHOWN_MAX)
        .enumerate()
        .flat_map(|(at, incident)| {
            incident.contacts.iter().map(move |contact| (contact.alert.first, contact.severity as usize, at))
        })
        .collect();
    head(facts, out)?;
    write!(out, "{}", banner(facts))?;
    write!(out, "<main id=\"main\" tabindex=\"-1\">{}", summary::section(facts, &incidents))?;
    write!(out, "{}", summary::timeline(&axis))?;
    write!(out, "{}", incidents::section(facts, &incidents))?;
    write!(out, "{}{}", tables::hosts(facts, &incidents), tables::indicators(&incidents))?;
    write!(out, "{}{}{}", unseen::unseen(facts), tables::captures(facts), summary::made(facts))?;
    write!(out, "</main><footer>{}{}</footer>", tlp_of(facts), summary::closing(facts))?;
    let data = json!({"timeline": axis.json(&marks), "titles": titles(facts), "words": script_words()});
    write!(out, "<script type=\"application/json\" id=\"data\">{}</script>", json(&data))?;
    writeln!(out, "<script>{SCRIPT}</script></body></html>")
}

/// What the browser needs to know before it shows anything. The policy lets in this style and this script alone.
fn head(facts: &Facts<'_>, out: &mut dyn Write) -> io::Result<()> {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    let title = titles(facts);
    let title = title[facts.language].as_str().unwrap_or_default();
    write!(
        out,
        "<!DOCTYPE html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"referrer\" content=\"no-referrer\"><meta name=\"color-scheme\" content=\"light dark\">\
         <meta name=\"generator\" content=\"haetae {version}\"><title>{title}</title><style>{STYLE}</style></head><body>",
        language = facts.language,
        version = env!("CARGO_PKG_VERSION"),
        title = value(title),
    )
}

/// The source expression of a text for a policy (CSP level 3 section 2.3.1).
fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    format!("sha256-{}", STANDARD.encode(digest.as_ref()))
}

fn titles(facts: &Facts<'_>) -> Value {
    json!({
        "en": format!("haetae report: {}", facts.site),
        "ko": format!("haetae 보고서: {}", facts.site),
    })
}

/// Handling, where to go, and the switches, which work without a script.
fn banner(facts: &Facts<'_>) -> String {
    let links = [
        ("summary", Both("Summary", "요약")),
        ("timeline", Both("Timeline", "타임라인")),
        ("alerts", Both("Alerts", "경보")),
        ("hosts", Both("Hosts", "호스트")),
        ("indicators", Both("Indicators", "지표")),
        ("unseen", Both("Not seen", "보지 못한 것")),
        ("captures", Both("Captures", "캡처")),
        ("made", Both("How it was made", "만든 방법")),
    ];
    let links: String =
        links.iter().map(|(id, text)| format!("<li><a href=\"#{id}\">{}</a></li>", both(*text))).collect();
    let language = |id: &str, name: &str| {
        let checked = if facts.language == id { " checked" } else { "" };
        format!(
            "<label><input type=\"radio\" name=\"lang\" id=\"{id}\" value=\"{id}\" autocomplete=\"off\"{checked}>\
             <b lang=\"{id}\">{name}</b></label>"
        )
    };
    let theme = |id: &str, text: Both, checked: &str| {
        format!(
            "<label><input type=\"radio\" name=\"theme\" id=\"{id}\" value=\"{id}\" autocomplete=\"off\"{checked}>\
             <b>{}</b></label>",
            both(text)
        )
    };
    format!(
        "<a class=\"skip\" href=\"#main\">{}</a><header class=\"top\"><div class=\"brand\"><strong>haetae</strong> {} {}</div>\
         <div class=\"switches\"><fieldset><legend>{}</legend>{}{}</fieldset><fieldset><legend>{}</legend>{}{}{}</fieldset>\
         </div></header><nav aria-labelledby=\"nav-h\"><h2 id=\"nav-h\" class=\"quiet\">{}</h2><ul>{links}</ul></nav>",
        both(Both("To the content", "본문으로")),
        value(facts.site),
        tlp_of(facts),
        both(Both("Language", "언어")),
        language("en", "English"),
        language("ko", "한국어"),
        both(Both("Colours", "화면")),
        theme("auto", Both("auto", "자동"), " checked"),
        theme("light", Both("light", "밝게"), ""),
        theme("dark", Both("dark", "어둡게"), ""),
        both(Both("Sections", "목차")),
    )
}

/// How the page may be handled: as its strictest indicator.
fn tlp_of(facts: &Facts<'_>) -> String {
    match facts.findings.tlp {
        Some(strictest) => tlp(strictest),
        None => {
            let text = Both("no indicator on this page", "이 문서에 지표 없음");
            format!("<span class=\"tlp none\">{}</span>", both(text))
        }
    }
}

/// A label of the Traffic Light Protocol 2.0, in its own spelling.
fn tlp(of: Tlp) -> String {
    let name = of.name();
    let class = name.split('+').next().unwrap_or_default();
    format!("<span class=\"tlp {class}\">TLP:{}</span>", name.to_uppercase())
}

/// What the script says by itself.
fn script_words() -> Value {
    json!({
        "en": {
            "window": "{from} – {to} UTC: {packets} packets, {bytes}, {flows} flows, {alerts} alerts",
            "column": "{from}, {span}: {packets} packets, {bytes}, {flows} flows, {alerts} alerts",
            "shown": "{shown} of {all} listed incidents shown",
            "narrowed": "in the chosen time",
            "packets": "packets", "flows": "flows", "most": "most {n} in {span}",
            "folded": "{span} without capture",
            "critical": "critical", "high": "high", "medium": "medium", "low": "low",
        },
        "ko": {
            "window": "{from} – {to} UTC: 패킷 {packets}개, {bytes}, 플로우 {flows}개, 경보 {alerts}건",
            "column": "{from}, {span}: 패킷 {packets}개, {bytes}, 플로우 {flows}개, 경보 {alerts}건",
            "shown": "목록의 사건 {all}건 중 {shown}건 표시",
            "narrowed": "선택한 시간 안",
            "packets": "패킷", "flows": "플로우", "most": "{span}에 최대 {n}",
            "folded": "{span} 캡처 없음",
            "critical": "심각", "high": "높음", "medium": "중간", "low": "낮음",
        },
    })
}
