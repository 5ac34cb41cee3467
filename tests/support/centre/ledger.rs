//! The ledger: accepted batches in, a file of JSON lines out, on the disk before anything is answered. On a restart it
//! goes on from what the file holds; a line cut short by a kill is cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

/// The file within the centre's directory.
pub const FILE: &str = "ledger.jsonl";

/// (site, id, revision).
pub type Identity = (String, String, u64);

/// What the file says.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Every alert, once, in the order of arrival, as it was sent.
    pub records: Vec<Value>,
    /// The identities of these.
    pub identities: BTreeSet<Identity>,
    /// How often an identity came that was there already.
    pub repeats: u64,
    /// Committed up to where, by (site, sensor, spool).
    pub committed: BTreeMap<(String, String, String), u64>,
}

/// The open ledger.
pub struct Ledger {
    file: File,
    /// What it holds.
    pub book: Book,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn identity(site: &str, record: &Value) -> Identity {
    (site.to_owned(), text(&record["id"]), record["revision"].as_u64().unwrap_or_default())
}

impl Book {
    /// Reads a ledger; a line cut short does not count.
    pub fn read(directory: &Path) -> io::Result<Book> {
        let bytes = std::fs::read(path(directory)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(Vec::new()),
            _ => Err(error),
        })?;
        let mut book = Book::default();
        for line in bytes[..whole(&bytes)].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            book.enter(&serde_json::from_slice(line)?);
        }
        Ok(book)
    }

    /// Of each (site, id), the record with the highest revision.
    pub fn latest(&self) -> BTreeMap<String, &Value> {
        let mut latest: BTreeMap<String, &Value> = BTreeMap::new();
        for record in &self.records {
            let kept = latest.entry(text(&record["id"])).or_insert(record);
            if record["revision"].as_u64() > kept["revision"].as_u64() {
                *kept = record;
            }
        }
        latest
    }

    /// Enters one line; gives the records that are new.
    fn enter(&mut self, line: &Value) -> Vec<Value> {
        let site = text(&line["site"]);
        let mut new = Vec::new();
        for record in line["records"].as_array().map_or(&[][..], Vec::as_slice) {
            if self.identities.insert(identity(&site, record)) {
                new.push(record.clone());
            } else {
                self.repeats += 1;
            }
        }
        self.records.extend(new.iter().cloned());
        let spool = (site, text(&line["sensor"]), text(&line["spool"]));
        let committed = self.committed.entry(spool).or_default();
        *committed = (*committed).max(line["through"].as_u64().unwrap_or_default());
        new
    }
}

impl Ledger {
    /// Opens the ledger in a directory.
    pub fn open(directory: &Path) -> io::Result<Ledger> {
        let book = Book::read(directory)?;
        let file = OpenOptions::new().append(true).create(true).open(path(directory))?;
        let bytes = std::fs::read(path(directory))?;
        file.set_len(whole(&bytes) as u64)?;
        Ok(Ledger { file, book })
    }

    /// Commits a batch; on return it is on the disk. Gives the records that were new.
    pub fn commit(&mut self, batch: &Value) -> io::Result<Vec<Value>> {
        let line = json!({"site": batch["site"], "sensor": batch["sensor"], "spool": batch["spool"],
            "through": batch["through"], "records": batch["records"]});
        self.keep(line.to_string().as_bytes())?;
        Ok(self.book.enter(&line))
    }

    /// A line more, in one piece; on return it is on the disk.
    pub fn keep(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(&[line, b"\n"].concat())?;
        self.file.sync_data()
    }

    /// Up to where this batch's spool is committed, but not beyond the batch.
    pub fn committed(&self, batch: &Value) -> u64 {
        let spool = (text(&batch["site"]), text(&batch["sensor"]), text(&batch["spool"]));
        let committed = self.book.committed.get(&spool).copied().unwrap_or_default();
        committed.min(batch["through"].as_u64().unwrap_or_default())
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Bytes up to the end of the last whole line.
fn whole(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// The identities in a ledger of any length, and how many came again: its alerts are not kept in memory.
pub fn identities(directory: &Path) -> io::Result<(BTreeSet<Identity>, u64)> {
    #[derive(Deserialize)]
    struct Line {
        site: String,
        records: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        id: String,
        revision: u64,
    }
    let (mut found, mut repeats) = (BTreeSet::new(), 0);
    for line in BufReader::new(File::open(path(directory))?).split(b'\n') {
        let Line { site, records } = serde_json::from_slice(&line?)?;
        for Named { id, revision } in records {
            repeats += u64::from(!found.insert((site.clone(), id, revision)));
        }
    }
    Ok((found, repeats))
}

/// Takes the last batches of a ledger away, as a centre does that acknowledged what was on no disk. Gives the identities that
/// are gone.
pub fn forget(directory: &Path, batches: usize) -> io::Result<BTreeSet<Identity>> {
    let before = Book::read(directory)?.identities;
    let text = std::fs::read_to_string(path(directory))?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(path(directory), lines[..lines.len().saturating_sub(batches)].concat())?;
    let after = Book::read(directory)?.identities;
    Ok(before.difference(&after).cloned().collect())
}
