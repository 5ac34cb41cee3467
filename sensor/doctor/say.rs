//! A report as text for a person and as JSON for machines, in English.
//!
//! In: a [`Report`]. Out: lines. Texts from outside (names of interfaces, files, what libraries say) never move the cursor.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Report;
use super::judge::{Finding, Severity};
use crate::alert::words::size;
use crate::cli::screen::{counted, plain};

const SEVERITIES: [Severity; 3] = [Severity::Error, Severity::Warning, Severity::Note];

/// Writes a report for a person.
///
/// # Errors
/// Those of `out`.
pub fn text(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let name = plain(&report.facts.wanted.interface);
    writeln!(out, "{name}: {}", looked(report))?;
    for finding in &report.findings {
        write_finding(finding, out)?;
    }
    let [errors, warnings, notes] = SEVERITIES.map(|severity| report.count(severity) as u64);
    writeln!(
        out,
        "\n{name}: {}, {}, {}",
        counted(errors, ["error", "errors"]),
        counted(warnings, ["warning", "warnings"]),
        counted(notes, ["note", "notes"])
    )
}

fn looked(report: &Report) -> String {
    match &report.facts.watched {
        Some(Ok(watched)) => format!(
            "watched for {:.0} s: {}, {}",
            watched.time.as_secs_f64(),
            counted(watched.seen.frames, ["frame", "frames"]),
            size(watched.seen.bytes)
        ),
        Some(Err(_)) | None => "the traffic could not be watched".to_owned(),
    }
}

fn write_finding(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{}: {}: {}", finding.severity.name(), finding.code.name, plain(&finding.seen))?;
    writeln!(out, "  why:  {}", finding.code.why)?;
    for (at, line) in finding.advice.iter().enumerate() {
        writeln!(out, "  {} {}", if at == 0 { "type:" } else { "     " }, plain(line))?;
    }
    Ok(())
}

/// Writes a report as one JSON object in a line.
///
/// # Errors
/// Those of `out`.
pub fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let finding = |finding: &Finding| {
        json!({
            "code": finding.code.name,
            "severity": finding.severity.name(),
            "seen": plain(&finding.seen),
            "why": finding.code.why,
            "type": finding.advice.iter().map(|line| plain(line)).collect::<Vec<_>>(),
        })
    };
    let watched = report.facts.watched.as_ref().and_then(|watched| watched.as_ref().ok());
    let [errors, warnings, notes] = SEVERITIES.map(|severity| report.count(severity));
    let told = json!({
        "interface": plain(&report.facts.wanted.interface),
        "watched_seconds": watched.map(|watched| watched.time.as_secs_f64()),
        "frames": watched.map(|watched| watched.seen.frames),
        "bytes": watched.map(|watched| watched.seen.bytes),
        "errors": errors,
        "warnings": warnings,
        "notes": notes,
        "findings": report.findings.iter().map(finding).collect::<Vec<Value>>(),
    });
    writeln!(out, "{told}")
}
