//! What policy was asked and answered, in words.
//!
//! In: judged words of sources. Out: lines. Never here: a judgement.

use super::screen::counted;
use crate::config::Config;
use crate::indicator::{Judged, Refusal};
use crate::observable::Shape;
use crate::time::Timestamp;

/// How a kind's values are met.
pub(super) const fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Equal => "equal: the seen value is the listed one, byte by byte",
        Shape::Prefix => "prefix: the seen address lies in the listed network",
        Shape::AtOrBelow => "at or below: the seen name is the listed one or ends with it, at a dot",
        Shape::Contained => "contained: the listed bytes occur in the seen value",
    }
}

/// Every question of policy, in the order in which they are asked, with its answer for one source's word.
pub(super) fn questions(judged: &Judged, at: Timestamp, config: &Config) -> Vec<String> {
    let said = &*judged.word.statement;
    let time = |limit: Option<Timestamp>| limit.map_or("no limit".to_owned(), Timestamp::rfc3339);
    let floor = config.rules.confidence_min;
    let sectors = if said.sectors.is_empty() { "all".to_owned() } else { said.sectors.join(", ") };
    let ours = if config.site.sectors.is_empty() { "unsaid".to_owned() } else { config.site.sectors.join(", ") };
    let port = said.port.map_or("any".to_owned(), |port| port.to_string());
    let lists = counted(config.rules.allow.len() as u64, ["list", "lists"]);
    [
        (Refusal::Revoked, "not withdrawn by its source", String::new()),
        (Refusal::Expired, "not expired at packet time", format!("{}; until {}", at.rfc3339(), time(said.valid_until))),
        (Refusal::NotYetValid, "valid already at packet time", format!("from {}", time(said.valid_from))),
        (Refusal::LowConfidence, "sure enough", format!("confidence {}; floor {floor}", said.confidence)),
        (Refusal::OtherPort, "on its port", format!("listed for {port}")),
        (Refusal::OtherSector, "meant for this site", format!("for sectors: {sectors}; ours: {ours}")),
        (
            Refusal::AboveTlp,
            "may be used here",
            format!("TLP:{}; up to TLP:{}", said.tlp.name(), config.rules.tlp_max.name()),
        ),
        (Refusal::Allowed, "on no allow-list of the site", lists),
    ]
    .into_iter()
    .map(|(refusal, question, why)| {
        let answer = if judged.against.contains(&refusal) { "NO " } else { "yes" };
        let why = if why.is_empty() { why } else { format!(" ({why})") };
        format!("{answer} {question}{why}")
    })
    .collect()
}

/// What becomes of a word.
pub(super) fn verdict(judged: &Judged) -> String {
    match judged.against.iter().min() {
        None => "stands by it".to_owned(),
        Some(refusal) => format!("raises nothing: {}", refusal.name().replace('_', " ")),
    }
}
