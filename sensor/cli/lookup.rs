//! `haetae lookup`: what the loaded set knows of a value, and whether it would raise an alert.
//!
//! In: a value and rules. Out: text for a person. "Not listed" is an answer, not an error. Never here: a capture.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::arguments::Site;
use super::screen::{counted, plain};
use super::{Desk, Stop, exit, order};
use crate::config::Config;
use crate::control::Failure;
use crate::feed;
use crate::indicator::Explained;
use crate::time::Timestamp;

impl Desk<'_> {
    pub(super) fn lookup(&mut self, value: &str, json: bool, site: &Site) -> Result<u8, Stop> {
        let config = self.config(site, "nothing was looked up")?;
        let rules = order::rules(site, &config);
        if rules.is_empty() {
            return self
                .usage("look it up where? -S RULES, -c FILE with `rules:`, or --running for the running sensor");
        }
        self.all_there(&rules)?;
        match run(value, &rules, &config, (site.verbose > 0, json), self.out, self.complaints) {
            Ok(()) => Ok(exit::SOUND),
            Err(failure) => self.failed(&failure),
        }
    }
}

/// Loads the rules, looks the value up, prints what is known.
///
/// # Errors
/// Rules that cannot be read, an output that cannot be written.
pub fn run(
    value: &str,
    rules: &[PathBuf],
    config: &Config,
    (verbose, json): (bool, bool),
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> Result<(), Failure> {
    let loaded = loaded(rules, config, verbose, complaints)?;
    let known: Vec<Value> = loaded.set.explain(value, Some(now())).iter().map(record).collect();
    let told = match json {
        true => writeln!(out, "{}", json!({ "searched": loaded.taken, "listed": known })),
        false => write(out, value, loaded.taken as u64, &known, config.site.language.name()),
    };
    told.map_err(|error| Failure::Io("standard output".into(), error))
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
pub fn now() -> Timestamp {
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

/// What is known of an entry, as `--json` prints it and the control socket tells it.
pub fn record(entry: &Explained) -> Value {
    let words = entry.words.iter().map(|word| {
        let said = &*word.statement;
        json!({
            "id": word.id,
            "source": said.source,
            "tlp": said.tlp.name(),
            "pap": said.pap.name(),
            "severity": said.severity.name(),
            "confidence": said.confidence,
            "labels": said.labels,
            "valid_from": said.valid_from.map(|from| from.rfc3339()),
            "valid_until": said.valid_until.map(|until| until.rfc3339()),
            "port": said.port.map(|port| port.to_string()),
            "field": said.field,
            "nocase": said.nocase,
            "sectors": said.sectors,
            "raises": word.verdict.is_ok(),
            "refusal": word.verdict.err().map(|refusal| refusal.name()),
            "next": said.next.iter().map(|(language, text)| (language.clone(), text.as_str().into())).collect::<Map<_, _>>(),
        })
    });
    json!({
        "kind": entry.kind,
        "value": entry.value,
        "signature_id": entry.signature_id,
        "words": words.collect::<Vec<_>>(),
    })
}

/// Prints records of what is known.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, value: &str, searched: u64, known: &[Value], language: &str) -> io::Result<()> {
    if known.is_empty() {
        let among = counted(searched, ["indicator", "indicators"]);
        return writeln!(out, "{}: not listed ({among} searched)", plain(value));
    }
    for entry in known {
        writeln!(out, "{}: {} {}", plain(value), text(&entry["kind"]), text(&entry["value"]))?;
        for word in entry["words"].as_array().into_iter().flatten() {
            write_word(out, word, language)?;
        }
    }
    Ok(())
}

/// A text of a record, harmless.
fn text(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default())
}

fn write_word(out: &mut dyn Write, word: &Value, language: &str) -> io::Result<()> {
    let listed = |name: &str| word[name].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ");
    let with = |name: &str, form: &dyn Fn(String) -> String| word[name].as_str().map(|value| form(plain(value)));
    let mut parts = vec![
        text(&word["severity"]),
        listed("labels"),
        format!("source {}", text(&word["source"])),
        format!("TLP:{}", text(&word["tlp"]).to_uppercase()),
        format!("PAP:{}", text(&word["pap"]).to_uppercase()),
        format!("confidence {}", word["confidence"].as_u64().unwrap_or_default()),
    ];
    parts.extend(with("valid_from", &|from| format!("valid from {from}")));
    parts.extend(with("valid_until", &|until| format!("valid to {until}")));
    parts.extend(with("port", &|port| format!("port {port} only")));
    parts.extend(with("field", &|field| format!("in {field}")));
    parts.extend((word["nocase"] == true).then(|| "in either case".to_owned()));
    let sectors = listed("sectors");
    if !sectors.is_empty() {
        parts.push(format!("for {sectors}"));
    }
    parts.extend(with("id", &|id| id));
    parts.retain(|part| !part.is_empty());
    writeln!(out, "  {}", parts.join("; "))?;
    match word["refusal"].as_str() {
        None => writeln!(out, "  raises an alert")?,
        Some(refusal) => writeln!(out, "  raises nothing: {}", plain(refusal).replace('_', " "))?,
    }
    let next = word["next"].as_object();
    let next = next.and_then(|next| next.get(language).or_else(|| next.values().next()));
    next.map_or(Ok(()), |advice| writeln!(out, "  next: {}", text(advice)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::indicator::{Refusal, Severity, Statement, Word};
    use crate::observable::address::Port;

    fn text(known: &[Explained]) -> String {
        let mut out = Vec::new();
        let known: Vec<Value> = known.iter().map(record).collect();
        write(&mut out, "c2.bad.example", 2, &known, "ko").expect("a vector takes it");
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
             critical; ransomware; source S2W; TLP:AMBER; PAP:AMBER; confidence 85\n  \
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
