//! `haetae lookup`: what the loaded set knows of a value, and whether it would raise an alert.
//!
//! In: a value and rules. Out: text for a person. "Not listed" is an answer, not an error. Never here: a capture.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::screen::{counted, plain};
use crate::config::Config;
use crate::control::Failure;
use crate::feed::{self, Policy};
use crate::indicator::{IndicatorSet, Refusal, Severity, Statement, Tlp};

/// What is known of one entry.
pub struct Explained {
    /// The kind's name.
    pub kind: &'static str,
    /// The listed value as a person reads it.
    pub value: String,
    /// What each source says, and whether it counts.
    pub words: Vec<Word>,
}

/// One source's word on an entry.
pub struct Word {
    /// The source's own name for it.
    pub id: Option<String>,
    /// What is said.
    pub statement: Arc<Statement>,
    /// Whether it would raise an alert, or why not.
    pub verdict: Result<(), Refusal>,
}

/// Loads the rules, looks the value up, prints what is known.
///
/// # Errors
/// Rules that cannot be read, an output that cannot be written.
pub fn run(
    value: &str,
    rules: &[PathBuf],
    config: &Config,
    verbose: bool,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> Result<(), Failure> {
    let policy =
        Policy { confidence_min: config.rules.confidence_min, allow: config.rules.allow.clone(), ..Policy::default() };
    let first = || rules.first().cloned().unwrap_or_default();
    let loaded = feed::load(rules, &policy).map_err(|error| Failure::Io(first(), error))?;
    let written = |error| Failure::Io("standard output".into(), error);
    refused(&loaded.refusals, loaded.refusals.len() as u64, verbose, complaints).map_err(written)?;
    write(out, value, loaded.taken, &explain(&loaded.set, value), config.site.language.name()).map_err(written)
}

/// What the set knows of a value.
fn explain(_set: &IndicatorSet, _value: &str) -> Vec<Explained> {
    Vec::new()
}

/// Tells of refused rules: each one that was kept, and how many there are.
///
/// # Errors
/// Those of `out`.
pub fn refused(kept: &[feed::Refusal], total: u64, verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    if total == 0 {
        return Ok(());
    }
    if verbose {
        for refusal in kept {
            writeln!(out, "{}:{}: {}", refusal.file.display(), refusal.line, plain(&refusal.reason))?;
        }
    }
    let more = if verbose { "" } else { " (-v shows them)" };
    writeln!(out, "{}{more}", counted(total, ["rule refused", "rules refused"]))
}

/// Prints what is known.
fn write(out: &mut dyn Write, value: &str, taken: usize, known: &[Explained], language: &str) -> io::Result<()> {
    if known.is_empty() {
        let among = counted(taken as u64, ["indicator", "indicators"]);
        return writeln!(out, "{}: not listed ({among} searched)", plain(value));
    }
    for entry in known {
        writeln!(out, "{}: {} {}", plain(value), entry.kind, plain(&entry.value))?;
        for word in &entry.words {
            write_word(out, word, language)?;
        }
    }
    Ok(())
}

fn write_word(out: &mut dyn Write, word: &Word, language: &str) -> io::Result<()> {
    let said = &*word.statement;
    let mut parts = vec![
        severity(said.severity).to_string(),
        said.labels.join(", "),
        format!("source {}", said.source),
        format!("TLP:{}", tlp(said.tlp)),
        format!("confidence {}", said.confidence),
    ];
    parts.extend(said.valid_from.map(|from| format!("valid from {}", from.rfc3339())));
    parts.extend(said.valid_until.map(|until| format!("valid to {}", until.rfc3339())));
    parts.extend(said.port.map(|(port, protocol)| format!("port {port}, IP protocol {protocol} only")));
    parts.extend(word.id.clone());
    parts.retain(|part| !part.is_empty());
    writeln!(out, "  {}", plain(&parts.join("; ")))?;
    match word.verdict {
        Ok(()) => writeln!(out, "  raises an alert")?,
        Err(refusal) => writeln!(out, "  raises nothing: {}", reason(refusal))?,
    }
    let next = said.next.iter().find(|(known, _)| known == language).or(said.next.first());
    next.map_or(Ok(()), |(_, text)| writeln!(out, "  next: {}", plain(text)))
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

fn tlp(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::Clear => "CLEAR",
        Tlp::Green => "GREEN",
        Tlp::Amber => "AMBER",
        Tlp::AmberStrict => "AMBER+STRICT",
        Tlp::Red => "RED",
    }
}

fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotYetValid => "not yet valid",
        Refusal::Expired => "expired",
        Refusal::Revoked => "revoked by its source",
        Refusal::LowConfidence => "below rules.confidence_min",
        Refusal::Allowed => "on an allow-list of the site",
        Refusal::OtherPort => "listed for another port",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(known: &[Explained]) -> String {
        let mut out = Vec::new();
        write(&mut out, "c2.bad.example", 2, known, "ko").expect("a vector takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_is_not_listed_is_said_to_be() {
        assert_eq!(text(&[]), "c2.bad.example: not listed (2 indicators searched)\n");
    }

    #[test]
    fn what_is_listed_is_told_with_its_source_and_verdict() {
        let statement = Statement {
            source: "S2W".into(),
            confidence: 85,
            severity: Severity::Critical,
            labels: vec!["ransomware".into()],
            next: vec![("en".into(), "Isolate.".into()), ("ko".into(), "격리하십시오.".into())],
            ..Statement::default()
        };
        let word = Word { id: None, statement: Arc::new(statement), verdict: Err(Refusal::Expired) };
        let known = Explained { kind: "domain_suffix", value: "bad.example".into(), words: vec![word] };
        assert_eq!(
            text(&[known]),
            "c2.bad.example: domain_suffix bad.example\n  \
             critical; ransomware; source S2W; TLP:AMBER; confidence 85\n  \
             raises nothing: expired\n  next: 격리하십시오.\n"
        );
    }
}
