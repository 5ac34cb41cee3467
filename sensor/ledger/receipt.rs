//! What a centre signs for a message that it has taken, and whether it did.
//!
//! In: a receipt, the attempt that it is for, public keys. Out: a judgement. Never here: a private key.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ring::signature::{ED25519, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use super::entry::{Attempt, Digest, Head, unhex};
use crate::limits::{RECEIPT_KEYS_MAX, SMALL_FILE_BYTES_MAX};

/// An Ed25519 public key as X.509 wraps it (RFC 8410 section 4): this, then its 32 bytes.
const WRAPPING: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A receipt as the centre gives it. The text under the signature is [`text`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Which key: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes.
    pub key: Word<16>,
    /// When, as the centre's clock has it.
    pub time: Word<40>,
    /// Ed25519 (RFC 8032), 128 hexadecimal digits.
    pub signature: Word<128>,
}

/// Letters, digits and `-:.+`, one to so many: nothing that ends a line or a string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Word<const MAX: usize>(String);

impl<const MAX: usize> TryFrom<String> for Word<MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-:.+".contains(&byte);
        let fits = (1..=MAX).contains(&text.len()) && text.bytes().all(fine);
        fits.then_some(Word(text)).ok_or_else(|| format!("not a word of at most {MAX} letters"))
    }
}

impl<const MAX: usize> From<Word<MAX>> for String {
    fn from(word: Word<MAX>) -> String {
        word.0
    }
}

impl<const MAX: usize> fmt::Display for Word<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> fmt::Debug for Word<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was made of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checked {
    /// One of the keys signed it, and exactly this.
    Valid,
    /// None of the keys signed this.
    Wrong,
    /// There was none, though there are keys.
    Missing,
    /// There is no key to check it with.
    Unchecked,
}

impl Checked {
    /// As the line says it.
    pub fn name(self) -> &'static str {
        match self {
            Checked::Valid => "valid",
            Checked::Wrong => "wrong",
            Checked::Missing => "missing",
            Checked::Unchecked => "unchecked",
        }
    }

    /// Whether what the other side says may be believed.
    pub fn is_believed(self) -> bool {
        matches!(self, Checked::Valid | Checked::Unchecked)
    }
}

/// The text under the signature: nine lines, each ended by a line feed. `before` is the ledger's head that the message says,
/// `sha256` the digest of the message as it was received, after any coding of the way was taken off; `committed` is what the
/// answer says, 0 where it says none.
pub fn text(
    (site, sensor): (&str, &str),
    before: Head,
    sha256: Digest,
    committed: u64,
    (time, key): (&str, &str),
) -> String {
    let Head { sequence, head } = before;
    format!(
        "haetae receipt 1\nsite={site}\nsensor={sensor}\nsequence={sequence}\nhead={head}\nsha256={sha256}\n\
         committed={committed}\ntime={time}\nkey={key}\n"
    )
}

/// A key's name: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes.
pub fn key_id(public: &[u8]) -> String {
    Digest::of(public).to_string()[..16].to_owned()
}

/// Public keys of a centre.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// The keys in a file: PEM blocks (`BEGIN PUBLIC KEY`), or 64 hexadecimal digits a line with `#` before remarks.
    ///
    /// # Errors
    /// It cannot be read, or holds what is no Ed25519 key, or none; for a person.
    pub fn read(path: &Path) -> Result<Keys, String> {
        let said = |why: &dyn fmt::Display| format!("{}: {why}", path.display());
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(SMALL_FILE_BYTES_MAX).read_to_string(&mut text));
        read.map_err(|error: io::Error| said(&error))?;
        Keys::parse(&text).map_err(|(line, why)| format!("{}:{line}: {why}", path.display()))
    }

    fn parse(text: &str) -> Result<Keys, (usize, String)> {
        let mut keys = Vec::new();
        if text.contains("-----BEGIN") {
            for block in SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes()) {
                let block = block.map_err(|error| (1, error.to_string()))?;
                let raw = block.strip_prefix(&WRAPPING[..]).and_then(|raw| raw.try_into().ok());
                keys.push(raw.ok_or((1, "not an Ed25519 key".to_owned()))?);
            }
        } else {
            for (at, line) in text.lines().enumerate() {
                let bare = line.split('#').next().unwrap_or_default().trim();
                if !bare.is_empty() {
                    keys.push(unhex(bare).ok_or((at + 1, "not 64 hexadecimal digits in lower case".to_owned()))?);
                }
            }
        }
        match keys.len() {
            0 => Err((1, "no key in it".to_owned())),
            1..=RECEIPT_KEYS_MAX => Ok(Keys(keys)),
            _ => Err((1, format!("more than {RECEIPT_KEYS_MAX} keys"))),
        }
    }

    /// Whether one of the keys signed that this attempt was received, when `before` was the ledger's head.
    pub fn signed(&self, attempt: &Attempt, before: Head, committed: u64, receipt: &Receipt) -> bool {
        let (key, time) = (&receipt.key.0, &receipt.time.0);
        let Some(signature) = unhex::<64>(&receipt.signature.0) else { return false };
        let text = text((&attempt.site, &attempt.sensor), before, attempt.sha256, committed, (time, key));
        let named = self.0.iter().filter(|public| key_id(&public[..]) == *key);
        named
            .into_iter()
            .any(|public| UnparsedPublicKey::new(&ED25519, &public[..]).verify(text.as_bytes(), &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 section 7.1, TEST 1: the public key.
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn keys_come_as_pem_or_as_digits() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                   -----END PUBLIC KEY-----\n";
        let keys = Keys::parse(PUBLIC).expect("a key");
        assert_eq!(Keys::parse(pem).expect("the same"), keys);
        assert_eq!(Keys::parse(&format!("# old\n{PUBLIC} # of 2026\n\n{PUBLIC}\n")).expect("two").0.len(), 2);
        assert_eq!(Keys::parse("# none\n").unwrap_err(), (1, "no key in it".to_owned()));
        assert_eq!(Keys::parse(&format!("{PUBLIC}\n{}\n", &PUBLIC[1..])).unwrap_err().0, 2);
        let other = pem.replace("MCowBQYDK2Vw", "MCowBQYDK2Vu");
        assert!(Keys::parse(&other).unwrap_err().1.contains("Ed25519"), "X25519 signs nothing");
    }

    #[test]
    fn the_text_is_as_the_contract_spells_it() {
        let before = Head { sequence: 41, head: Digest::NONE };
        let text = text(("s", "t"), before, Digest::of(b""), 43, ("2026-11-22T00:00:00Z", "0123456789abcdef"));
        let (zeros, empty) = ("0".repeat(64), Digest::of(b""));
        let lines = format!(
            "haetae receipt 1|site=s|sensor=t|sequence=41|head={zeros}|sha256={empty}|committed=43|\
             time=2026-11-22T00:00:00Z|key=0123456789abcdef|"
        );
        assert_eq!(text.replace('\n', "|"), lines);
    }

    #[test]
    fn nothing_in_a_receipt_can_end_a_line() {
        for odd in [r#"{"key":"a\nb","time":"t","signature":"s"}"#, r#"{"key":"a","time":"","signature":"s"}"#] {
            assert!(serde_json::from_str::<Receipt>(odd).is_err(), "{odd}");
        }
    }
}
