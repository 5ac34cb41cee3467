//! An entry of the ledger: one line of JSON, in one spelling alone, so that the line's own bytes are what is hashed.
//!
//! In: what happened. Out: a line, and back. Never here: a file, a clock, a key.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::receipt::{Checked, Receipt};
use crate::limits::LEDGER_ENTRY_BYTES_MAX;

/// A SHA-256 (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// What the first entry of all names as the one before it.
    pub const NONE: Digest = Digest([0; 32]);

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Digest(out)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 32 bytes of hexadecimal digits in lower case; another spelling is none.
impl FromStr for Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Digest, &'static str> {
        unhex(text).map(Digest).ok_or("not 64 hexadecimal digits in lower case")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Bytes of exactly so many pairs of hexadecimal digits in lower case.
pub(super) fn unhex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; BYTES];
    if text.len() != 2 * BYTES {
        return None;
    }
    for (to, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *to = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

/// Where a ledger stands: what a message says of it, before it is entered itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of its last entry; 0: there is none.
    pub sequence: u64,
    /// That entry's digest; zeros: there is none.
    pub head: Digest,
}

impl Head {
    /// Of a ledger without an entry.
    pub const NONE: Head = Head { sequence: 0, head: Digest::NONE };
}

/// What leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Records of the spool.
    Alerts,
    /// A sign of life.
    Heartbeat,
}

/// What came of an attempt. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is on the other side's disk.
    Committed,
    /// A sign of life was heard.
    Heard,
    /// Handed over, and not committed yet as far as is known.
    Taken,
    /// Not now, or no answer came: it may have arrived or not.
    Later,
    /// A record of it will never be taken; none was.
    Refused,
    /// More than the other side takes at once; nothing was taken.
    TooLarge,
    /// An answer that cannot be right, or that lacks the receipt it must have: it counts for nothing.
    Unbelieved,
    /// The sensor ended before it heard: it may have arrived or not.
    Unknown,
}

impl Answer {
    /// As the line says it.
    pub fn name(self) -> &'static str {
        match self {
            Answer::Committed => "committed",
            Answer::Heard => "heard",
            Answer::Taken => "taken",
            Answer::Later => "later",
            Answer::Refused => "refused",
            Answer::TooLarge => "too_large",
            Answer::Unbelieved => "unbelieved",
            Answer::Unknown => "unknown",
        }
    }
}

/// A writer began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Whose ledger this is.
    pub site: String,
    /// Which sensor of the site.
    pub sensor: String,
    /// The program's version.
    pub version: String,
    /// Bytes at the end of the ledger that were no entry and were cut off: what a crash leaves of a line.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_bytes: u64,
}

/// Bytes are about to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// As the message itself says it.
    pub site: String,
    /// As the message itself says it.
    pub sensor: String,
    /// Which of the ways out.
    pub sink: String,
    /// To whom; never a password, a token or a query.
    pub to: String,
    /// What it is.
    pub kind: Kind,
    /// The run of a spool that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Records in it.
    pub records: u64,
    /// Bytes of the message as the gate made it, before any coding for the way.
    pub bytes: u64,
    /// The digest of these bytes.
    pub sha256: Digest,
}

/// A run of a spool: all that lies in `(after, through]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which spool, as the message says it.
    pub spool: String,
    /// The position before it.
    pub after: u64,
    /// Its last position.
    pub through: u64,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The sequence of the attempt.
    pub of: u64,
    /// In a word.
    pub answer: Answer,
    /// The position up to which the other side says that it has all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<u64>,
    /// What the other side signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// What the sensor made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
}

/// Entries went because the ledger is bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// The last of them.
    pub through: u64,
    /// Its digest, which the oldest entry that is kept names as the one before it.
    pub head: Digest,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// See [`Opened`].
    Opened(Opened),
    /// See [`Attempt`].
    Attempt(Attempt),
    /// See [`Outcome`].
    Outcome(Outcome),
    /// See [`Forgotten`].
    Forgotten(Forgotten),
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, rising by one.
    pub sequence: u64,
    /// When it was written, by the machine's clock: UTC, with microseconds.
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub said: Said,
    /// The SHA-256 of the line before, without its line feed; zeros for the first.
    pub previous: Digest,
}

impl Entry {
    /// Its only spelling, without a line feed: no spaces, its fields in this order.
    pub fn line(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The entry of a line without its line feed.
    ///
    /// # Errors
    /// Why it is none, for a person.
    pub fn read(line: &[u8]) -> Result<Entry, String> {
        if line.len() > LEDGER_ENTRY_BYTES_MAX {
            return Err(format!("longer than {LEDGER_ENTRY_BYTES_MAX} bytes"));
        }
        let entry: Entry = serde_json::from_slice(line).map_err(|error| format!("not an entry: {error}"))?;
        match entry.line() == line {
            true => Ok(entry),
            false => Err("not spelled as an entry is".to_owned()),
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented spelling, by hand.
    const LINE: &str = concat!(
        r#"{"sequence":12,"time":"2026-11-22T14:06:09.123456Z","attempt":{"site":"site-0017","sensor":"tap-a","#,
        r#""sink":"https","to":"https://ingest.centre.example/v1/alerts","kind":"alerts","#,
        r#""run":{"spool":"9b1c33a0d4e5f607","after":41,"through":43},"records":1,"bytes":1804,"#,
        r#""sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"#,
        r#""previous":"0000000000000000000000000000000000000000000000000000000000000000"}"#
    );

    #[test]
    fn an_entry_has_one_spelling() {
        let entry = Entry::read(LINE.as_bytes()).expect("it is one");
        assert_eq!(String::from_utf8(entry.line()).expect("text"), LINE);
        assert!(matches!(&entry.said, Said::Attempt(attempt) if attempt.sha256 == Digest::of(b"")));
        let others = [
            LINE.replace(":12,", ": 12,"),
            LINE.replace("\"records\":1,\"bytes\":1804", "\"bytes\":1804,\"records\":1"),
            LINE.replace("\"kind\":\"alerts\"", "\"kind\":\"alerts\",\"more\":1"),
            LINE.replace("\"bytes\":1804", "\"bytes\":1804,\"bytes\":1804"),
            LINE.replace("site-0017", "site\\u002d0017"),
            LINE.replace("e3b0c4", "E3B0C4"),
            LINE.replace("alerts\",\"run", "other\",\"run"),
            format!("{LINE} "),
        ];
        for other in others {
            assert!(Entry::read(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn no_byte_of_a_line_can_be_another_without_being_seen_by_the_next() {
        for at in 0..LINE.len() {
            let mut bytes = LINE.as_bytes().to_vec();
            bytes[at] ^= 1;
            assert_ne!(Digest::of(&bytes), Digest::of(LINE.as_bytes()));
        }
    }
}
