//! `haetae lookup`: what the loaded set knows of a value, and whether it would raise an alert.
//!
//! In: a value and rules. Out: text for a person. "Not listed" is an answer, not an error. Never here: a capture.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use super::screen::{counted, plain};
use crate::config::Config;
use crate::control::Failure;
use crate::feed;
use crate::indicator::{Explained, Word};
use crate::time::Timestamp;

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
    let loaded = loaded(rules, config, verbose, complaints)?;
    write(out, value, loaded.taken, &loaded.set.explain(value, Some(now())), config.site.language.name())
        .map_err(|error| Failure::Io("standard output".into(), error))
}

/// Loads the rules and tells of those that were refused; fails where nothing would start with them.
///
/// # Errors
/// Rules that cannot be read or of which none is left, an output that cannot be written.
pub fn loaded(
    rules: &[PathBuf],
    config: &Config,
    verbose: bool,
    complaints: &mut dyn Write,
) -> Result<feed::Loaded, Failure> {
    let loaded = feed::load(rules, &config.policy([0; 16])).map_err(Failure::of_rules)?;
    let told = refused(&loaded.refusals, loaded.refused.values().sum(), verbose, complaints);
    told.map_err(|error| Failure::Io("standard error".into(), error))?;
    loaded.some_left().map_err(Failure::of_rules)?;
    Ok(loaded)
}

/// Validity is judged as of now: a person asks about today.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Tells of refused rules: each one that was kept, and how many there are in all.
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
    let more = match (verbose, kept.len() as u64) {
        (false, _) => " (-v shows them)".to_string(),
        (true, shown) if shown < total => format!(" (the first {shown} are shown)"),
        (true, _) => String::new(),
    };
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
        said.severity.name().to_string(),
        said.labels.join(", "),
        format!("source {}", said.source),
        format!("TLP:{}", said.tlp.name().to_uppercase()),
        format!("confidence {}", said.confidence),
    ];
    parts.extend(said.valid_from.map(|from| format!("valid from {}", from.rfc3339())));
    parts.extend(said.valid_until.map(|until| format!("valid to {}", until.rfc3339())));
    parts.extend(said.port.map(|port| format!("port {port} only")));
    parts.extend(said.field.map(|field| format!("in {field}")));
    parts.extend(said.nocase.then(|| "in either case".to_owned()));
    if !said.sectors.is_empty() {
        parts.push(format!("for {}", said.sectors.join(", ")));
    }
    parts.extend(word.id.clone());
    parts.retain(|part| !part.is_empty());
    writeln!(out, "  {}", plain(&parts.join("; ")))?;
    match word.verdict {
        Ok(()) => writeln!(out, "  raises an alert")?,
        Err(refusal) => writeln!(out, "  raises nothing: {}", refusal.name().replace('_', " "))?,
    }
    let next = said.next.iter().find(|(known, _)| known == language).or(said.next.first());
    next.map_or(Ok(()), |(_, text)| writeln!(out, "  next: {}", plain(text)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::indicator::{Refusal, Severity, Statement};
    use crate::observable::address::Port;

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
        let known =
            Explained { kind: "domain_suffix", value: "bad.example".into(), signature_id: 1, words: vec![word] };
        assert_eq!(
            text(&[known]),
            "c2.bad.example: domain_suffix bad.example\n  \
             critical; ransomware; source S2W; TLP:AMBER; confidence 85\n  \
             raises nothing: expired\n  next: 격리하십시오.\n"
        );
    }

    #[test]
    fn what_narrows_an_indicator_is_told() {
        let line = |statement: Statement| {
            let word = Word { id: None, statement: Arc::new(statement), verdict: Ok(()) };
            text(&[Explained { kind: "any", value: "v".into(), signature_id: 1, words: vec![word] }])
        };
        let pattern = Statement { field: Some("http.url"), nocase: true, ..Statement::default() };
        assert!(line(pattern).contains("; in http.url; in either case\n"));
        let meant = Statement { port: Port::read("53/udp"), sectors: vec!["energy".into()], ..Statement::default() };
        assert!(line(meant).contains("; port 53/udp only; for energy\n"));
    }
}
