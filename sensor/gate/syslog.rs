//! Syslog (RFC 5424) and CEF in it: projected alerts in, one line each out, without what a transport puts around it. What a
//! line's parts would take for their own ends is escaped, so that no value can begin another.

use std::fmt::Write;

use super::form::{Envelope, Message};
use super::{Met, Mode, Projected};

/// RFC 5424 section 6.2.1: local5, where other sensors are, too.
const FACILITY: u64 = 21;

/// Section 6.2.1 by severity, of which 1 is the worst: critical, error, warning, notice.
static PRIORITIES: [u64; 4] = [2, 3, 4, 5];

/// What CEF calls severity, 0 to 10, by ours.
static CEF_SEVERITIES: [u64; 4] = [10, 8, 5, 3];

/// The number that RFC 5612 keeps for examples: the project has none of its own.
const ENTERPRISE: u32 = 32_473;

/// RFC 5424 lines whose message is the projected alert as JSON, behind the cookie by which collectors know it (`@cee:`).
pub(super) fn messages(envelope: &Envelope<'_>, records: &[Projected]) -> Vec<Message> {
    let line = |record: &Projected| {
        let mut line = header(envelope, record);
        let _infallible = write!(line, "[alert@{ENTERPRISE}");
        let repeats = record.number("repeats.alerts").map(|alerts| alerts.to_string());
        for (name, value) in [
            ("id", Some(record.id())),
            ("tlp", record.text("tlp")),
            ("category", record.text("category")),
            ("stage", record.text("contact.stage")),
            ("asset", record.asset()),
            ("first", record.text("repeats.first")),
            ("repeats", repeats.as_deref()),
        ] {
            if let Some(value) = value {
                let _infallible = write!(line, " {name}=\"{}\"", escaped(value, &['"', '\\', ']']));
            }
        }
        let _infallible = write!(line, "] @cee:{}", record.value());
        Message::of(envelope, record, line.into_bytes())
    };
    records.iter().map(line).collect()
}

/// RFC 5424 lines whose message is CEF, version 0.
pub(super) fn cef_messages(envelope: &Envelope<'_>, records: &[Projected]) -> Vec<Message> {
    let line = |record: &Projected| {
        let mut line = header(envelope, record);
        line.push_str("- ");
        cef(&mut line, envelope, record);
        Message::of(envelope, record, line.into_bytes())
    };
    records.iter().map(line).collect()
}

/// Section 6.2: up to the structured data. The host is the site: what the machine is called stays here.
fn header(envelope: &Envelope<'_>, record: &Projected) -> String {
    let priority = FACILITY * 8 + by_severity(&PRIORITIES, record);
    let time = record.text("timestamp").and_then(with_colon).unwrap_or_else(|| "-".to_owned());
    let (site, sensor) = (envelope.sender.site(), envelope.sender.sensor());
    format!("<{priority}>1 {time} {site} haetae {sensor} alert ")
}

fn by_severity(table: &[u64; 4], record: &Projected) -> u64 {
    let severity = record.severity().map_or(2, |severity| severity.clamp(1, 4) - 1);
    table[severity as usize]
}

/// EVE's `+0900` is RFC 3339's `+09:00`.
fn with_colon(time: &str) -> Option<String> {
    let zone = time.len().checked_sub(5)?;
    match (time.get(..zone)?, time.get(zone..)?) {
        (moment, offset) if offset.starts_with(['+', '-']) && !offset.contains(':') => {
            Some(format!("{moment}{}:{}", &offset[..3], &offset[3..]))
        }
        _ => Some(time.to_owned()),
    }
}

fn cef(out: &mut String, envelope: &Envelope<'_>, record: &Projected) {
    let met = record.met().next();
    let class = met.map_or("sensor", |met| met.kind);
    let (version, severity) = (env!("CARGO_PKG_VERSION"), by_severity(&CEF_SEVERITIES, record));
    let name = escaped(record.sentence(), &['\\', '|']);
    let _infallible = write!(out, "CEF:0|haetae|haetae|{version}|{class}|{name}|{severity}|");
    let mut extension = Extension { out, first: true };
    extension.text("externalId", Some(record.id()));
    extension.text("cat", record.text("category"));
    let (site, sensor) = (envelope.sender.site(), envelope.sender.sensor());
    extension.text("deviceExternalId", Some(&format!("{site}/{sensor}")));
    extension.text("rt", record.text("timestamp").and_then(milliseconds).as_deref());
    extension.text("start", record.text("contact.first").and_then(milliseconds).as_deref());
    extension.text("end", record.text("contact.last").and_then(milliseconds).as_deref());
    ends(&mut extension, record);
    for (name, path) in [("in", "contact.bytes_in"), ("out", "contact.bytes_out"), ("cnt", "contact.count")] {
        extension.text(name, record.number(path).map(|number| number.to_string()).as_deref());
    }
    let value = |pick: fn(Met<'_>) -> Option<&str>| met.and_then(pick).map(str::to_owned);
    let revision = record.revision().to_string();
    for (at, label, value) in [
        (1, "indicator", value(|met| met.value)),
        (2, "indicatorId", value(|met| met.id)),
        (3, "seen", value(|met| met.seen)),
        (4, "asset", record.asset().map(str::to_owned)),
        (5, "stage", record.text("contact.stage").map(str::to_owned)),
        (6, "tlp", record.text("tlp").map(str::to_owned)),
    ] {
        if value.is_some() {
            extension.text(&format!("cs{at}Label"), Some(label));
            extension.text(&format!("cs{at}"), value.as_deref());
        }
    }
    extension.text("cn1Label", Some("revision"));
    extension.text("cn1", Some(&revision));
    if let Some(alerts) = record.number("repeats.alerts") {
        extension.text("cn2Label", Some("repeats"));
        extension.text("cn2", Some(&alerts.to_string()));
        extension.text("flexString1Label", Some("first"));
        extension.text("flexString1", record.text("repeats.first"));
    }
    if envelope.sender.mode() == Mode::Exercise {
        extension.text("reason", Some("exercise"));
    }
}

/// The other side, as the end that it was: who asks is the source.
fn ends(extension: &mut Extension<'_>, record: &Projected) {
    extension.text("proto", record.text("proto"));
    extension.text("app", record.text("app_proto"));
    let inbound = record.text("direction") == Some("inbound");
    let direction = record.text("direction").filter(|word| ["inbound", "outbound"].contains(word));
    extension.text("deviceDirection", direction.map(|_| if inbound { "0" } else { "1" }));
    if let Some((address, port)) = record.peer() {
        let (name, of_port) = if inbound { ("src", "spt") } else { ("dst", "dpt") };
        let versioned = if address.is_ipv4() { name.to_owned() } else { format!("c6a{}", if inbound { 2 } else { 3 }) };
        if address.is_ipv6() {
            let label = if inbound { "Source IPv6 Address" } else { "Destination IPv6 Address" };
            extension.text(&format!("{versioned}Label"), Some(label));
        }
        extension.text(&versioned, Some(&address.to_string()));
        extension.text(of_port, port.map(|port| port.to_string()).as_deref());
    }
}

/// Since 1970; what CEF takes without a word about zones.
fn milliseconds(time: &str) -> Option<String> {
    let time: jiff::Timestamp = with_colon(time)?.parse().ok()?;
    Some(time.as_millisecond().to_string())
}

/// Key and value pairs.
struct Extension<'a> {
    out: &'a mut String,
    first: bool,
}

impl Extension<'_> {
    fn text(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        let between = if std::mem::take(&mut self.first) { "" } else { " " };
        let _infallible = write!(self.out, "{between}{name}={}", escaped(value, &['\\', '=']));
    }
}

/// With a backslash before each of these; what would end a line is a space.
fn escaped(text: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if special.contains(&character) {
            out.push('\\');
        }
        out.push(if character.is_control() || ['\u{2028}', '\u{2029}'].contains(&character) { ' ' } else { character });
    }
    out
}
