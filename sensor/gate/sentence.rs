//! The sentence of an alert, made of what has been let out already. Never here: the record.

use serde_json_borrow::Value;

use super::project::STAGES;
use super::shape::{Out, Said};

/// The sentence, of what has been let out already.
pub(super) fn sentence(out: &Out) -> String {
    if let Some(shed) = out.get("shed") {
        return of_shed(shed);
    }
    let inner = |outer: &str, name: &str| out.get(outer)?.as_object()?.get(name);
    let text = |value: Option<&Said>| value.and_then(Value::as_str).map(str::to_owned);
    let first = out.get("indicators").and_then(Value::as_array).and_then(<[_]>::first);
    let what = ["seen", "value", "id"].iter().find_map(|name| text(first?.as_object()?.get(name)));
    let what = what.unwrap_or_else(|| "an indicator".into());
    let who = text(inner("asset", "token")).unwrap_or_else(|| "a host".into());
    let why = text(out.get("category")).map(|category| format!(" ({category})")).unwrap_or_default();
    if out.get("direction").and_then(Value::as_str) == Some("inbound") {
        return format!("{what} came to {who}{why}");
    }
    let stage = text(inner("contact", "stage")).unwrap_or_default();
    match inner("contact", "bytes_out").and_then(Value::as_u64).filter(|_| stage == "data") {
        Some(bytes) => format!("{who} sent {} to {what}{why}", size(bytes)),
        None => {
            let verb = STAGES.iter().find(|(word, _)| *word == stage).map_or("met", |(_, verb)| verb);
            format!("{who} {verb} {what}{why}")
        }
    }
}

/// What was not delivered because there was no room to keep it.
fn of_shed(shed: &Said) -> String {
    let count = |lane: &'static str| shed.get(lane).as_u64().unwrap_or_default();
    let [critical, normal, low] = ["critical", "normal", "low"].map(count);
    let all = critical.saturating_add(normal).saturating_add(low);
    let (alerts, bytes) = (if all == 1 { "alert" } else { "alerts" }, size(count("bytes")));
    format!("the sensor had no room for {all} {alerts} ({critical} critical, {normal} normal, {low} low; {bytes})")
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=999 => format!("{bytes} B"),
        1_000..=999_999 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
