//! Dead letters: records that the centre refuses for what they are go in, a file of JSON lines beside the spool comes
//! out, for a person to look at. Bounded: a centre that refuses everything stops deliveries instead of emptying spools.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::limits::DEAD_LETTER_BYTES_MAX;
use crate::spool::{DEAD_LETTERS, Record};

/// The file of refused records.
pub struct DeadLetters {
    path: PathBuf,
    bytes_max: u64,
}

impl DeadLetters {
    /// In the spool's directory.
    pub fn beside(spool: &Path) -> DeadLetters {
        DeadLetters { path: spool.join(DEAD_LETTERS), bytes_max: DEAD_LETTER_BYTES_MAX }
    }

    /// The same, of what a sink beside the centre refuses.
    pub fn of(spool: &Path, sink: &str) -> DeadLetters {
        DeadLetters { path: spool.join(format!("refused-{sink}.jsonl")), bytes_max: DEAD_LETTER_BYTES_MAX }
    }

    /// Keeps the full local record with the reason; durable on return.
    ///
    /// # Errors
    /// The disk refuses, or the file has reached its bound: the record must stay in the spool.
    pub fn keep(&self, record: &Record, reason: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let text = String::from_utf8_lossy(&record.payload);
        let value = serde_json::from_str::<Value>(&text).unwrap_or_else(|_| text.into());
        let line = json!({"sequence": record.position.0, "reason": reason, "record": value});
        if file.metadata()?.len() + line.to_string().len() as u64 > self.bytes_max {
            return Err(io::Error::other(format!("{} is full", self.path.display())));
        }
        writeln!(file, "{line}")?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Position;

    #[test]
    fn a_refused_record_is_kept_with_its_reason_until_the_file_is_full() {
        let directory = tempfile::TempDir::new().unwrap();
        let letters = DeadLetters { bytes_max: 100, ..DeadLetters::beside(directory.path()) };
        let record = Record { position: Position(4), time: None, payload: br#"{"a":1}"#.to_vec() };
        letters.keep(&record, "no such field").unwrap();
        let text = std::fs::read_to_string(directory.path().join(DEAD_LETTERS)).unwrap();
        assert_eq!(text, "{\"sequence\":4,\"reason\":\"no such field\",\"record\":{\"a\":1}}\n");
        assert!(letters.keep(&record, "no such field").is_err());
    }
}
