//! Whether a ledger holds: each entry names the one before it, each outcome an attempt, and each receipt was signed for just that.
//!
//! In: lines in order, with where they stand. Out: findings. What no receipt covers could have been written anew by whoever owns
//! the machine, and a [`Report`] says from where on. Never here: a file.

use std::collections::BTreeMap;

use super::entry::{Attempt, Digest, Entry, Forgotten, Head, Outcome, Said};
use super::receipt::{Checked, Keys};
use crate::limits::{LEDGER_ENTRY_BYTES_MAX, LEDGER_FINDINGS_MAX, LEDGER_OPEN_MAX, LEDGER_TORN_BYTES_MAX};

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, as its reader names it.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
    /// What does not hold, for a person.
    pub what: String,
}

/// What became of receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    /// Signed by a key that was given.
    pub valid: u64,
    /// Not signed so.
    pub wrong: u64,
    /// Not judged: no key was given.
    pub unchecked: u64,
    /// For attempts that are not in the ledger any more.
    pub unpaired: u64,
    /// Answers that were taken for good without one.
    pub missing: u64,
}

/// What a ledger came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Lines that are entries.
    pub entries: u64,
    /// Messages that went on a network.
    pub attempts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were kept, and so compared.
    pub kept: u64,
    /// The first entry that is there, and the last; `None`: there is none.
    pub range: Option<(u64, u64)>,
    /// From which entry on none is missing. Of files that were to go, a crash may bring back one and not the next.
    pub unbroken_from: u64,
    /// The digest of the last line.
    pub head: Option<Digest>,
    /// Receipts by what they are worth.
    pub receipts: Receipts,
    /// The entries up to this one cannot have been changed since the centre signed; `None`: no receipt that holds.
    pub covered: Option<u64>,
    /// The last line was not written whole; the next start cuts it off.
    pub torn: bool,
    /// What does not hold, the first [`LEDGER_FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many findings there are in all.
    pub wrong: u64,
}

/// Where something begins whose forerunner is not there.
struct Gap {
    file: String,
    line: usize,
    sequence: u64,
    previous: Digest,
}

/// A check under way.
pub struct Chain<'a> {
    keys: Option<&'a Keys>,
    /// Heads that somebody else has kept.
    known: &'a [(u64, Digest)],
    /// What was kept of messages.
    kept: &'a dyn Fn(u64) -> Option<Digest>,
    last: Option<(u64, Digest)>,
    gaps: Vec<Gap>,
    forgotten: Vec<Forgotten>,
    open: BTreeMap<u64, (Attempt, Head)>,
    report: Report,
}

impl<'a> Chain<'a> {
    /// A check with a centre's public keys, if there are any, and with heads that were kept elsewhere.
    pub fn new(keys: Option<&'a Keys>, known: &'a [(u64, Digest)]) -> Chain<'a> {
        Chain {
            keys,
            known,
            kept: &|_| None,
            last: None,
            gaps: Vec::new(),
            forgotten: Vec::new(),
            open: BTreeMap::new(),
            report: Report::default(),
        }
    }

    /// Compares messages that were kept as well: `kept` gives the digest of an entry's.
    pub fn with_kept(self, kept: &'a dyn Fn(u64) -> Option<Digest>) -> Chain<'a> {
        Chain { kept, ..self }
    }

    /// All lines of a file, counted from `first`. Only the last line of the last file may be torn.
    pub fn file(&mut self, name: &str, first: usize, bytes: &[u8], is_last: bool) {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for (at, line) in bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
            self.line(name, first + at, &line[..line.len() - 1]);
        }
        let torn = bytes.len() - whole;
        match is_last && torn <= LEDGER_ENTRY_BYTES_MAX {
            true => self.report.torn |= torn > 0,
            false if torn > 0 => {
                let line = bytes[..whole].iter().filter(|byte| **byte == b'\n').count() + first;
                self.find(name, line, "a line that was not written whole".to_owned());
            }
            _ => {}
        }
    }

    /// The next line, without its line feed.
    pub fn line(&mut self, file: &str, line: usize, bytes: &[u8]) {
        let entry = match Entry::read(bytes) {
            Ok(entry) => entry,
            Err(why) => {
                return self.find(file, line, why);
            }
        };
        let digest = Digest::of(bytes);
        self.follows(file, line, &entry);
        self.last = Some((entry.sequence, digest));
        if self.known.iter().any(|(sequence, head)| *sequence == entry.sequence && *head != digest) {
            self.find(
                file,
                line,
                format!("entry {} is not what its digest that was kept elsewhere says", entry.sequence),
            );
        }
        self.report.entries += 1;
        let first = self.report.range.map_or(entry.sequence, |(first, _)| first);
        self.report.range = Some((first, entry.sequence));
        match &entry.said {
            Said::Attempt(attempt) => self.attempt(file, line, &entry, attempt),
            Said::Outcome(outcome) => self.outcome(file, line, outcome),
            Said::Forgotten(forgotten) => self.forgotten.push(forgotten.clone()),
            Said::Opened(opened) if opened.cut_bytes > LEDGER_TORN_BYTES_MAX as u64 => {
                self.find(file, line, format!("{} bytes were cut off: a crash leaves less", opened.cut_bytes));
            }
            Said::Opened(_) => {}
        }
    }

    /// Whether an entry names the one before it.
    fn follows(&mut self, file: &str, line: usize, entry: &Entry) {
        let (sequence, previous) = (entry.sequence, entry.previous);
        match self.last {
            Some((last, head)) if sequence == last + 1 => {
                if previous != head {
                    self.find(
                        file,
                        line,
                        format!("entry {sequence} does not follow entry {last}: one of them was changed"),
                    );
                }
            }
            None if sequence == 1 && previous == Digest::NONE => {}
            Some((last, _)) if sequence <= last => {
                self.find(file, line, format!("entry {sequence} stands behind entry {last}"));
            }
            // it may have been said that they go
            _ => {
                self.gaps.push(Gap { file: file.to_owned(), line, sequence, previous });
                self.report.unbroken_from = sequence;
            }
        }
        if self.report.unbroken_from == 0 {
            self.report.unbroken_from = sequence;
        }
    }

    fn attempt(&mut self, file: &str, line: usize, entry: &Entry, attempt: &Attempt) {
        self.report.attempts += 1;
        self.report.bytes += attempt.bytes;
        if let Some(kept) = (self.kept)(entry.sequence) {
            self.report.kept += 1;
            if kept != attempt.sha256 {
                self.find(file, line, format!("the message that was kept of entry {} is another", entry.sequence));
            }
        }
        let before = Head { sequence: entry.sequence.saturating_sub(1), head: entry.previous };
        self.open.insert(entry.sequence, (attempt.clone(), before));
        if self.open.len() > LEDGER_OPEN_MAX {
            self.open.pop_first();
        }
    }

    fn outcome(&mut self, file: &str, line: usize, outcome: &Outcome) {
        let attempt = self.open.remove(&outcome.of);
        if attempt.is_none() && outcome.of >= self.report.unbroken_from {
            self.find(file, line, format!("an outcome of {}, which is no attempt that waits for one", outcome.of));
        }
        let is_taken = matches!(outcome.answer, super::Answer::Committed | super::Answer::Heard);
        let Some(receipt) = &outcome.receipt else {
            self.report.receipts.missing += u64::from(is_taken);
            return;
        };
        let (Some((attempt, before)), Some(keys)) = (attempt, self.keys) else {
            let counter = match self.keys {
                Some(_) => &mut self.report.receipts.unpaired,
                None => &mut self.report.receipts.unchecked,
            };
            *counter += 1;
            return;
        };
        if keys.signed(&attempt, before, outcome.committed.unwrap_or_default(), receipt) {
            self.report.receipts.valid += 1;
            self.report.covered = self.report.covered.max(Some(before.sequence));
            return;
        }
        self.report.receipts.wrong += 1;
        // whoever writes entries anew can also write that the sensor knew
        let knew = if outcome.checked == Some(Checked::Wrong) {
            "; the sensor says so too, and did not believe it"
        } else {
            ""
        };
        self.find(
            file,
            line,
            format!("the receipt for entry {} was not signed for what stands there{knew}", outcome.of),
        );
    }

    fn find(&mut self, file: &str, line: usize, what: String) {
        self.report.wrong += 1;
        if self.report.findings.len() < LEDGER_FINDINGS_MAX {
            self.report.findings.push(Finding { file: file.to_owned(), line, what });
        }
    }

    /// What it came to.
    pub fn end(mut self) -> Report {
        for Gap { file, line, sequence, previous } in std::mem::take(&mut self.gaps) {
            // of files that were to go a crash may bring back any
            let said = |forgotten: &Forgotten| {
                sequence <= forgotten.through || forgotten.through + 1 == sequence && forgotten.head == previous
            };
            if !self.forgotten.iter().any(said) {
                self.find(
                    &file,
                    line,
                    format!("what stood before entry {sequence} is gone, and nothing says that it went"),
                );
            }
        }
        if let (Some((_, last)), Some((sequence, _))) = (self.report.range, self.known.iter().max())
            && *sequence > last
        {
            let what = format!("entry {sequence} is known elsewhere, and the ledger ends with entry {last}");
            self.find("the ledger", 0, what);
        }
        self.report.head = self.last.map(|(_, head)| head);
        self.report
    }
}
