//! Digests of a file that is read piece by piece.
//!
//! In: which digests are wanted, then the file's bytes in runs of any length. Out: lower-case hexadecimal, in the fields
//! that every protocol with files says them in. Never here: a copy of a byte.

use md5::Digest;
use ring::digest::{Context, SHA256 as RING_SHA256};

use super::ja3::hex_digit;
use crate::observable::{Field, Kind, Saying, digest};

static MD5_KINDS: [&Kind; 1] = [&digest::MD5];
static SHA1_KINDS: [&Kind; 1] = [&digest::SHA1];
static SHA256_KINDS: [&Kind; 1] = [&digest::SHA256];
static MD5: Field = Field::sought("fileinfo.md5", &MD5_KINDS);
static SHA1: Field = Field::sought("fileinfo.sha1", &SHA1_KINDS);
static SHA256: Field = Field::sought("fileinfo.sha256", &SHA256_KINDS);

/// Digests that are wanted: the loaded set holds some of the kind, or events show them. Each costs its own pass over
/// every body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// MD5, 128 bits.
    pub md5: bool,
    /// SHA-1, 160 bits.
    pub sha1: bool,
    /// SHA-256.
    pub sha256: bool,
}

impl Digests {
    /// Whether files need to be read at all.
    pub fn any(self) -> bool {
        self.md5 || self.sha1 || self.sha256
    }
}

/// Digests being made.
pub(super) struct Digesting {
    md5: Option<md5::Md5>,
    sha1: Option<sha1::Sha1>,
    sha256: Option<Context>,
}

impl Digesting {
    pub(super) fn new(wanted: Digests) -> Self {
        Digesting {
            md5: wanted.md5.then(md5::Md5::new),
            sha1: wanted.sha1.then(sha1::Sha1::new),
            sha256: wanted.sha256.then(|| Context::new(&RING_SHA256)),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    pub(super) fn finish(self) -> Digested {
        Digested {
            md5: self.md5.map(|md5| hexadecimal(&md5.finalize())),
            sha1: self.sha1.map(|sha1| hexadecimal(&sha1.finalize())),
            sha256: self.sha256.map(|sha256| hexadecimal(sha256.finish().as_ref())),
        }
    }
}

/// Finished digests in lower-case hexadecimal.
pub(super) struct Digested {
    md5: Option<[u8; 32]>,
    sha1: Option<[u8; 40]>,
    sha256: Option<[u8; 64]>,
}

impl Digested {
    /// Says each that was made.
    pub(super) fn say(&self, saying: &mut Saying<'_>) {
        if let Some(md5) = &self.md5 {
            saying.field(&MD5, md5);
        }
        if let Some(sha1) = &self.sha1 {
            saying.field(&SHA1, sha1);
        }
        if let Some(sha256) = &self.sha256 {
            saying.field(&SHA256, sha256);
        }
    }
}

fn hexadecimal<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut hex = [0; N];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observable::{Event, Observations, Side};

    static FILE: Event = Event { name: "fileinfo", app_proto: None };

    fn said(wanted: Digests, pieces: &[&str]) -> Vec<String> {
        let mut digesting = Digesting::new(wanted);
        pieces.iter().for_each(|piece| digesting.update(piece.as_bytes()));
        let mut out = Observations::default();
        digesting.finish().say(&mut out.begin(&FILE, Side::Server));
        let fields = out.fields(&out.list()[0]);
        fields.iter().map(|seen| format!("{} {}", seen.field.name, out.raw(seen).escape_ascii())).collect()
    }

    /// RFC 1321 section A.5, FIPS 180-2 appendices A.1 and B.1.
    #[test]
    fn abc_has_the_digests_that_the_standards_print() {
        let all = Digests { md5: true, sha1: true, sha256: true };
        let expected = [
            "fileinfo.md5 900150983cd24fb0d6963f7d28e17f72",
            "fileinfo.sha1 a9993e364706816aba3e25717850c26c9cd0d89d",
            "fileinfo.sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ];
        assert_eq!(said(all, &["a", "", "bc"]), expected);
    }

    #[test]
    fn what_is_not_wanted_is_not_made() {
        assert!(said(Digests::default(), &["abc"]).is_empty());
        assert_eq!(said(Digests { sha1: true, ..Digests::default() }, &["abc"]).len(), 1);
        assert!(!Digests::default().any() && Digests { md5: true, ..Digests::default() }.any());
    }
}
