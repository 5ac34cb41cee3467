//! `haetae ledger`: what left this machine, read, checked and written out by anyone who may read its files.
//!
//! In: a folder, or an export. Out: lines, a judgement, a file. Never here: an entry written.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::ledger_words::{LedgerCommand, LedgerPlace};
use super::screen::{counted, plain};
use super::{Desk, Stop, exit};
use crate::config::{Output, Refused};
use crate::control::Failure;
use crate::emit::Section;
use crate::ledger::{self, Attempt, Chain, Checked, Digest, Entry, Keys, Kind, Outcome, Report, Said, list, read};
use crate::limits::LEDGER_BYTES_SETTABLE_MAX;
use crate::spool::{Disk, Storage};

/// How an export begins.
const EXPORT: &[u8] = b"{\"export\":";

/// What is to be verified, and what with.
struct Verification<'a> {
    file: Option<PathBuf>,
    keys: Option<PathBuf>,
    known: &'a [(u64, Digest)],
    json: bool,
}

impl Desk<'_> {
    pub(super) fn ledger(&mut self, what: LedgerCommand) -> Result<u8, Stop> {
        match what {
            LedgerCommand::Show { message: Some(sequence), place, .. } => {
                let folder = self.folder(&place)?;
                match ledger::message(&folder, sequence) {
                    Ok(bytes) => Ok(self.out.write_all(&bytes).map(|()| exit::SOUND)?),
                    Err(error) => self.failed(&Failure::Io(format!("the message of entry {sequence}").into(), error)),
                }
            }
            LedgerCommand::Show { last, since, json, place, .. } => {
                let files = self.files(&place)?;
                self.show(&files, (last, since.as_deref()), json)
            }
            LedgerCommand::Verify { file, receipt_keys: keys, head, json, place } => {
                self.verify(Verification { file, keys, known: &head, json }, &place)
            }
            LedgerCommand::Export { output, place } => {
                let files = self.files(&place)?;
                self.export(&files, &output)
            }
        }
    }

    /// The section `centre:` of the configuration, if there is one.
    fn centre(&mut self, place: &LedgerPlace) -> Result<Option<Section>, Stop> {
        let Some(file) = self.chosen(place.config.clone()) else { return Ok(None) };
        // its secrets are not opened: whoever reads the ledger need not be able to
        match crate::config::load_again(Some(&file), &[], self.environment) {
            Ok(config) => Ok(config.centre),
            Err(refused @ (Refused::Unreadable(..) | Refused::Faulty(_))) => {
                Err(Stop(self.refused(refused, "nothing was read")?))
            }
        }
    }

    fn folder(&mut self, place: &LedgerPlace) -> Result<PathBuf, Stop> {
        if let Some(folder) = &place.ledger {
            return Ok(folder.clone());
        }
        match self.centre(place)? {
            Some(centre) => Ok(centre.ledger()),
            None => Err(Stop(self.usage("which ledger? --ledger DIR, or -c FILE with a `centre:`")?)),
        }
    }

    /// The ledger's files, in order.
    fn files(&mut self, place: &LedgerPlace) -> Result<Vec<PathBuf>, Stop> {
        let folder = self.folder(place)?;
        match list(&Disk, &folder) {
            Ok(files) => Ok(files),
            Err(error) => Err(Stop(self.failed(&Failure::Io(folder, error))?)),
        }
    }

    fn bytes_of(&mut self, path: &Path) -> Result<Vec<u8>, Stop> {
        match read(&Disk, path) {
            Ok(bytes) => Ok(bytes),
            // the running sensor may have let it go just now
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Stop(self.failed(&Failure::Io(path.to_owned(), error))?)),
        }
    }

    fn show(&mut self, files: &[PathBuf], (last, since): (usize, Option<&str>), json: bool) -> Result<u8, Stop> {
        let mut lines: VecDeque<Vec<u8>> = VecDeque::new();
        for path in files.iter().rev() {
            let bytes = self.bytes_of(path)?;
            let wanted =
                |line: &[u8]| since.is_none_or(|since| Entry::read(line).is_ok_and(|entry| &*entry.time >= since));
            let all = bytes.split(|byte| *byte == b'\n').rev().filter(|line| !line.is_empty());
            let before = lines.len();
            for line in all.filter(|line| wanted(line)) {
                if since.is_none() && lines.len() >= last {
                    break;
                }
                lines.push_front(line.to_vec());
            }
            if since.map_or(lines.len() >= last, |_| lines.len() == before) {
                break;
            }
        }
        for line in lines {
            match Entry::read(&line) {
                Ok(entry) if !json => writeln!(self.out, "{}", said(&entry))?,
                Ok(_) => {
                    self.out.write_all(&line)?;
                    writeln!(self.out)?;
                }
                Err(why) => writeln!(self.complaints, "no entry: {why}")?,
            }
        }
        Ok(exit::SOUND)
    }

    fn verify(&mut self, wanted: Verification<'_>, place: &LedgerPlace) -> Result<u8, Stop> {
        let named = match (wanted.keys, &wanted.file) {
            (Some(keys), _) => Some(keys),
            (None, Some(_)) => None,
            (None, None) => self.centre(place)?.and_then(|centre| centre.receipt_keys),
        };
        let keys = match named.as_deref().map(Keys::read).transpose() {
            Ok(keys) => keys,
            Err(why) => return self.failed(&Failure::Configuration(format!("--receipt-keys: {why}"))),
        };
        let folder = if wanted.file.is_none() { Some(self.folder(place)?) } else { None };
        let kept = |sequence| folder.as_deref().and_then(|folder| ledger::digest(folder, sequence));
        let mut chain = Chain::new(keys.as_ref(), wanted.known).with_kept(&kept);
        match &wanted.file {
            Some(file) => {
                let bytes = match Disk.read(file, 0, LEDGER_BYTES_SETTABLE_MAX) {
                    Ok(bytes) => bytes,
                    Err(error) => return self.failed(&Failure::Io(file.clone(), error)),
                };
                if !bytes.starts_with(EXPORT) {
                    return self.usage(&format!("{}: not what `haetae ledger export` has written", file.display()));
                }
                let head = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
                chain.file(&plain(&file.display().to_string()), 2, &bytes[head..], true);
            }
            None => {
                let files = self.files(place)?;
                for (at, path) in files.iter().enumerate() {
                    let bytes = self.bytes_of(path)?;
                    chain.file(&plain(&path.display().to_string()), 1, &bytes, at + 1 == files.len());
                }
            }
        }
        let report = chain.end();
        match wanted.json {
            true => writeln!(self.out, "{}", in_json(&report))?,
            false => self.tell(&report, keys.is_some())?,
        }
        Ok(if report.wrong == 0 { exit::SOUND } else { exit::BROKEN })
    }

    fn tell(&mut self, report: &Report, has_keys: bool) -> io::Result<()> {
        for finding in &report.findings {
            writeln!(self.complaints, "{}:{}: {}", finding.file, finding.line, finding.what)?;
        }
        let more = report.wrong - report.findings.len() as u64;
        if more > 0 {
            writeln!(self.complaints, "and {more} more")?;
        }
        let (Some((first, last)), Some(head)) = (report.range, report.head) else {
            return writeln!(self.out, "the ledger is empty");
        };
        let messages = counted(report.attempts, ["message", "messages"]);
        writeln!(self.out, "entries {first} to {last}; {messages} of {} bytes were sent", report.bytes)?;
        writeln!(self.out, "the last entry's digest, to be kept elsewhere: {last}:{head}")?;
        if report.kept > 0 {
            writeln!(self.out, "{} kept and compared", counted(report.kept, ["message was", "messages were"]))?;
        }
        let receipts = &report.receipts;
        let (valid, wrong, missing) = (receipts.valid, receipts.wrong, receipts.missing);
        match (has_keys, report.covered) {
            (false, _) => writeln!(
                self.out,
                "{} not checked: no key is given (--receipt-keys). Who owns the machine could have written all of it anew.",
                counted(receipts.unchecked, ["receipt", "receipts"])
            )?,
            (true, covered) => {
                writeln!(
                    self.out,
                    "receipts: {valid} valid, {wrong} wrong, {missing} missing, {} of messages that are gone",
                    receipts.unpaired
                )?;
                match covered {
                    Some(covered) => writeln!(
                        self.out,
                        "no entry up to {covered} was changed since the centre signed; what stands behind it, nobody but this machine vouches for"
                    )?,
                    None => writeln!(self.out, "no receipt holds: nobody but this machine vouches for any of it")?,
                }
            }
        }
        if report.torn {
            writeln!(self.out, "the last line was not written whole: the next start cuts it off and says so")?;
        }
        match report.wrong {
            0 => writeln!(self.out, "it holds"),
            wrong => writeln!(self.out, "it does not hold: {}", counted(wrong, ["finding", "findings"])),
        }
    }

    fn export(&mut self, files: &[PathBuf], output: &Output) -> Result<u8, Stop> {
        let mut file = match output {
            Output::Stdout => None,
            Output::File(path) => match std::fs::File::create(path) {
                Ok(file) => Some(io::BufWriter::new(file)),
                Err(error) => return self.failed(&Failure::Io(path.clone(), error)),
            },
        };
        let head = json!({"export": {"format": "haetae ledger 1", "version": env!("CARGO_PKG_VERSION")}});
        let mut write = |desk: &mut Desk<'_>, bytes: &[u8]| match &mut file {
            Some(file) => file.write_all(bytes),
            None => desk.out.write_all(bytes),
        };
        write(self, format!("{head}\n").as_bytes())?;
        for path in files {
            let bytes = self.bytes_of(path)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            write(self, &bytes[..whole])?;
        }
        file.as_mut().map_or(Ok(()), Write::flush)?;
        Ok(exit::SOUND)
    }
}

/// An entry for a person, on one line.
fn said(entry: &Entry) -> String {
    let what = match &entry.said {
        Said::Opened(opened) => {
            let cut = match opened.cut_bytes {
                0 => String::new(),
                bytes => format!("; {bytes} bytes of a line that was not written whole were cut off"),
            };
            format!("opened by {} of {}, version {}{cut}", opened.sensor, opened.site, opened.version)
        }
        Said::Attempt(attempt) => sent(attempt),
        Said::Outcome(outcome) => heard(outcome),
        Said::Forgotten(forgotten) => {
            format!("entries up to {} went: the ledger is full, or they are old", forgotten.through)
        }
    };
    format!("{:>8}  {}  {}", entry.sequence, plain(&entry.time), plain(&what))
}

fn sent(attempt: &Attempt) -> String {
    let what = match (attempt.kind, &attempt.run) {
        (Kind::Alerts, Some(run)) => {
            let records = counted(attempt.records, ["record", "records"]);
            format!("{records} ({} to {} of spool {})", run.after + 1, run.through, run.spool)
        }
        (Kind::Alerts, None) => counted(attempt.records, ["record", "records"]),
        (Kind::Heartbeat, _) => "heartbeat".to_owned(),
    };
    format!("sent to {}: {what}, {} bytes, sha256 {}", attempt.to, attempt.bytes, attempt.sha256)
}

fn heard(outcome: &Outcome) -> String {
    let committed = outcome.committed.map(|up_to| format!(" up to {up_to}")).unwrap_or_default();
    let receipt = match (outcome.checked, &outcome.receipt) {
        (Some(Checked::Missing), _) => ", receipt missing".to_owned(),
        (Some(checked), Some(receipt)) => format!(", receipt {} (key {})", checked.name(), receipt.key),
        _ => String::new(),
    };
    format!("  of {}: {}{committed}{receipt}", outcome.of, outcome.answer.name())
}

fn in_json(report: &Report) -> serde_json::Value {
    let findings = report.findings.iter();
    let findings: Vec<_> =
        findings.map(|finding| json!({"file": finding.file, "line": finding.line, "what": finding.what})).collect();
    let receipts = &report.receipts;
    json!({
        "holds": report.wrong == 0,
        "first": report.range.map(|(first, _)| first),
        "last": report.range.map(|(_, last)| last),
        "head": report.head,
        "entries": report.entries,
        "messages": report.attempts,
        "kept": report.kept,
        "bytes": report.bytes,
        "receipts": {"valid": receipts.valid, "wrong": receipts.wrong, "missing": receipts.missing,
            "unchecked": receipts.unchecked, "unpaired": receipts.unpaired},
        "covered": report.covered,
        "torn": report.torn,
        "wrong": report.wrong,
        "findings": findings,
    })
}
