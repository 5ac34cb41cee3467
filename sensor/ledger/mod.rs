//! The ledger: what leaves this machine, entered before it leaves. What cannot be entered does not leave.
//!
//! In: messages that the gate has made, and what became of them. Out: numbered files of JSON lines, each line holding the
//! digest of the one before it, so that none can be changed, taken away or put in without all later ones being changed too;
//! and the ledger's head in every message, for which the centre gives a signed receipt, so that these cannot be.
//!
//! One writer; anyone may read along. Never here: a byte of a message, a secret, a socket.

mod chain;
mod entry;
mod files;
mod kept;
mod receipt;
mod writer;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::limits::{LEDGER_BYTES_DEFAULT, LEDGER_DAYS_DEFAULT, LEDGER_FILE_BYTES_MAX, LEDGER_TO_LETTERS_MAX};
use crate::spool::{Disk, Storage};
use crate::time::Timestamp;
use kept::Kept;
use writer::Writer;

pub use chain::{Chain, Finding, Receipts, Report};
pub use entry::{Answer, Attempt, Digest, Entry, Forgotten, Head, Kind, Opened, Outcome, Run, Said};
pub use files::{list, read};
pub use kept::{digest, message};
pub use receipt::{Checked, Keys, Receipt, key_id, text};

/// Of 24 hours.
pub const DAY: Duration = Duration::from_secs(86_400);

/// How a ledger is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// All files together; above it the oldest go.
    pub bytes_max: u64,
    /// One file.
    pub file_bytes_max: u64,
    /// Entries older than this may go, whole files at a time.
    pub time_max: Duration,
    /// Messages themselves, kept beside it; 0: none are.
    pub keep_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        let (bytes_max, file_bytes_max) = (LEDGER_BYTES_DEFAULT, LEDGER_FILE_BYTES_MAX);
        Options { bytes_max, file_bytes_max, time_max: DAY * LEDGER_DAYS_DEFAULT, keep_bytes_max: 0 }
    }
}

/// Now, by the machine's clock.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A time as entries spell it: UTC, with microseconds; it sorts as it passes.
fn spelled(since_1970: Duration) -> String {
    let time = Timestamp::from_parts(since_1970.as_secs() as i64, i64::from(since_1970.subsec_nanos()));
    time.eve().replace("+0000", "Z")
}

/// What a ledger has done since it was opened; anyone may read along.
#[derive(Debug, Default)]
pub struct Counts {
    /// Entries written.
    pub entries: AtomicU64,
    /// Bytes of all its files.
    pub bytes: AtomicU64,
    /// Entries that the disk refused.
    pub failures: AtomicU64,
    /// Messages that were to be kept beside it, and could not be.
    pub unkept: AtomicU64,
    /// 1 while the disk's last answer was no: nothing leaves.
    pub failing: AtomicU64,
    /// Receipts that hold.
    pub valid: AtomicU64,
    /// Receipts that do not.
    pub wrong: AtomicU64,
    /// Answers that needed a receipt and had none.
    pub missing: AtomicU64,
    /// Receipts that no key was there for.
    pub unchecked: AtomicU64,
    /// When the last receipt came that holds, in seconds since the opening.
    last_valid_s: AtomicU64,
}

/// What is about to leave.
#[derive(Clone, Debug)]
pub struct Leaving<'a> {
    /// As the message says it.
    pub site: &'a str,
    /// As the message says it.
    pub sensor: &'a str,
    /// What it is.
    pub kind: Kind,
    /// Whether the other side signs for what it takes.
    pub is_receipted: bool,
    /// The run of a spool that it stands for.
    pub run: Option<Run>,
    /// Records in it.
    pub records: u64,
}

/// An attempt that is entered and under way.
#[derive(Debug)]
#[must_use = "an attempt has an outcome"]
pub struct Ticket {
    sequence: u64,
    before: Head,
    attempt: Attempt,
    is_receipted: bool,
}

/// The writer's side. Several ways out share one.
pub struct Ledger {
    writer: Mutex<Writer>,
    keys: Option<Keys>,
    kept: Option<Mutex<Kept>>,
    counts: Arc<Counts>,
    opened: Instant,
    /// The last entry of those who had it before.
    begun: u64,
}

impl Ledger {
    /// Opens the ledger in `directory`, made if need be, and goes on where it ends. What a crash has left of a line is cut off
    /// and said; attempts of which nobody heard get the outcome `unknown`.
    ///
    /// # Errors
    /// The directory cannot be read or made, or another process holds it. A disk that takes no entry now is asked again later.
    pub fn open(directory: &Path, options: Options, who: (&str, &str), keys: Option<Keys>) -> io::Result<Ledger> {
        let mut ledger = Ledger::open_on(Arc::new(Disk), directory, options, who, keys)?;
        ledger.kept = Kept::open(directory, options.keep_bytes_max)?.map(Mutex::new);
        Ok(ledger)
    }

    /// [`Ledger::open`] on a disk of the caller's; `who`: site and sensor.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_on(
        storage: Arc<dyn Storage>,
        directory: &Path,
        options: Options,
        (site, sensor): (&str, &str),
        keys: Option<Keys>,
    ) -> io::Result<Ledger> {
        let (mut writer, cut_bytes, unheard) = Writer::open(storage, directory, options)?;
        let (version, begun) = (env!("CARGO_PKG_VERSION").to_owned(), writer.head().sequence);
        writer.put_off(Said::Opened(Opened { site: site.to_owned(), sensor: sensor.to_owned(), version, cut_bytes }));
        for of in unheard {
            let answer = Answer::Unknown;
            writer.put_off(Said::Outcome(Outcome { of, answer, committed: None, receipt: None, checked: None }));
        }
        let ledger = Ledger {
            writer: Mutex::new(writer),
            keys,
            kept: None,
            counts: Arc::default(),
            opened: Instant::now(),
            begun,
        };
        let mut writer = ledger.writer();
        // if the disk has no room now, that is said when something is to leave
        let _later = ledger.done(&mut writer, Writer::settle);
        drop(writer);
        Ok(ledger)
    }

    /// What it has done.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Where it stands.
    pub fn head(&self) -> Head {
        self.writer().head()
    }

    /// How long ago a receipt came that holds, or the ledger was opened; `None`: no key is there to check any.
    pub fn since_valid(&self) -> Option<Duration> {
        let last = Duration::from_secs(self.counts.last_valid_s.load(Ordering::Acquire));
        self.keys.as_ref().map(|_| self.opened.elapsed().saturating_sub(last))
    }

    /// Enters what is about to leave by a way out (its name, and to whom, without a secret). `message` is made of the head that it says; its bytes are those that `bytes` shows. Only
    /// what this returns may be sent, once, and [`Ledger::settle`] is told what came of it.
    ///
    /// # Errors
    /// What the disk says: the message must not leave.
    pub fn enter<M>(
        &self,
        leaving: &Leaving<'_>,
        (sink, to): (&str, &str),
        message: impl FnOnce(Head) -> M,
        bytes: impl Fn(&M) -> &[u8],
    ) -> io::Result<(Ticket, M)> {
        let mut writer = self.writer();
        self.done(&mut writer, Writer::settle)?;
        let before = writer.head();
        let message = message(before);
        let sent = bytes(&message);
        let attempt = Attempt {
            site: leaving.site.to_owned(),
            sensor: leaving.sensor.to_owned(),
            sink: sink.to_owned(),
            to: to.chars().take(LEDGER_TO_LETTERS_MAX).collect(),
            kind: leaving.kind,
            run: leaving.run.clone(),
            records: leaving.records,
            bytes: sent.len() as u64,
            sha256: Digest::of(sent),
        };
        let said = Said::Attempt(attempt.clone());
        let sequence = self.done(&mut writer, |writer| writer.write(said))?;
        self.keep(sequence, bytes(&message));
        Ok((Ticket { sequence, before, attempt, is_receipted: leaving.is_receipted }, message))
    }

    /// Enters what came of an attempt, with the receipt if there is one; it is durable with the next that is entered, or with
    /// [`Ledger::rest`]. What is entered, and so holds: where keys are known, a message is committed or heard only with a receipt
    /// that one of them signed.
    pub fn settle(&self, ticket: Ticket, answer: Answer, committed: Option<u64>, receipt: Option<Receipt>) -> Answer {
        let is_taken = matches!(answer, Answer::Committed | Answer::Heard);
        let checked = self.check(&ticket, committed, receipt.as_ref()).filter(|_| is_taken || receipt.is_some());
        let answer = match checked {
            Some(checked) if is_taken && !checked.is_believed() => Answer::Unbelieved,
            _ => answer,
        };
        self.count(checked);
        let outcome = Outcome { of: ticket.sequence, answer, committed, receipt, checked };
        let mut writer = self.writer();
        writer.put_off(Said::Outcome(outcome));
        // what the disk refuses now is entered before anything else leaves
        let _later = self.done(&mut writer, Writer::settle);
        answer
    }

    /// Nothing is to leave for now: what was entered is made durable.
    pub fn rest(&self) {
        // what the disk refuses now is entered before anything else leaves
        let _later = self.done(&mut self.writer(), Writer::sync);
    }

    fn keep(&self, sequence: u64, message: &[u8]) {
        let Some(kept) = &self.kept else { return };
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner).keep(sequence, message);
        self.counts.unkept.fetch_add(u64::from(kept.is_err()), Ordering::Relaxed);
    }

    fn check(&self, ticket: &Ticket, committed: Option<u64>, receipt: Option<&Receipt>) -> Option<Checked> {
        Some(match (&self.keys, receipt) {
            (_, None) if !ticket.is_receipted => return None,
            (None, None) => return None,
            (None, Some(_)) => Checked::Unchecked,
            (Some(_), None) => Checked::Missing,
            (Some(keys), Some(receipt)) => {
                match keys.signed(&ticket.attempt, ticket.before, committed.unwrap_or_default(), receipt) {
                    true => Checked::Valid,
                    false => Checked::Wrong,
                }
            }
        })
    }

    fn count(&self, checked: Option<Checked>) {
        let counts = &self.counts;
        let counter = match checked {
            None => return,
            Some(Checked::Valid) => {
                counts.last_valid_s.store(self.opened.elapsed().as_secs(), Ordering::Release);
                &counts.valid
            }
            Some(Checked::Wrong) => &counts.wrong,
            Some(Checked::Missing) => &counts.missing,
            Some(Checked::Unchecked) => &counts.unchecked,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets the writer do something, and counts what came of it.
    fn done<T>(&self, writer: &mut Writer, work: impl FnOnce(&mut Writer) -> io::Result<T>) -> io::Result<T> {
        let done = work(writer);
        let counts = &self.counts;
        counts.entries.store(writer.head().sequence - self.begun, Ordering::Relaxed);
        counts.bytes.store(writer.bytes(), Ordering::Release);
        counts.failures.fetch_add(u64::from(done.is_err()), Ordering::Relaxed);
        counts.failing.store(u64::from(done.is_err()), Ordering::Release);
        done
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;
