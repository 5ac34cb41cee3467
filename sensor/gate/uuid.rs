//! UUIDs that anyone can make again from the same words (RFC 9562, version 5). Never here: a random one.

use std::fmt;

use sha1::{Digest, Sha1};

/// A UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Uuid(u128);

impl Uuid {
    /// From its number.
    pub(super) const fn from_u128(number: u128) -> Uuid {
        Uuid(number)
    }

    /// RFC 9562 section 5.5.
    pub(super) fn v5(namespace: Uuid, name: &[u8]) -> Uuid {
        let digest = Sha1::new().chain_update(namespace.0.to_be_bytes()).chain_update(name).finalize();
        let number = digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte));
        let (version, variant) = (0xf << 76, 0b11 << 62);
        Uuid(number & !version & !variant | 5 << 76 | 0b10 << 62)
    }

    /// Whether a text is one, in lower case (section 4), of this standard's variant.
    pub(super) fn is_written(text: &str) -> bool {
        let digits = text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            14 => (b'1'..=b'8').contains(&byte),
            19 => b"89ab".contains(&byte),
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        });
        text.len() == 36 && digits
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |shift: u32, bits: u32| self.0 >> shift & ((1 << bits) - 1);
        let parts = (part(96, 32), part(80, 16), part(64, 16), part(48, 16), part(0, 48));
        write!(out, "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", parts.0, parts.1, parts.2, parts.3, parts.4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_the_uuid_of_the_standards_own_example() {
        // RFC 9562 appendix A.4
        let dns = Uuid::from_u128(0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8);
        let uuid = Uuid::v5(dns, b"www.example.com").to_string();
        assert_eq!(uuid, "2ed6657d-e927-568b-95e1-2665a8aea6a2");
        assert!(Uuid::is_written(&uuid));
    }

    #[test]
    fn what_is_no_uuid_in_lower_case_is_none() {
        for text in [
            "",
            "2ed6657d-e927-568b-95e1-2665a8aea6a",
            "2ed6657d-e927-568b-95e1-2665a8aea6a22",
            "2ED6657D-e927-568b-95e1-2665a8aea6a2",
            "2ed6657d-e927-068b-95e1-2665a8aea6a2",
            "2ed6657d-e927-568b-c5e1-2665a8aea6a2",
            "2ed6657de-927-568b-95e1-2665a8aea6a2",
        ] {
            assert!(!Uuid::is_written(text), "{text}");
        }
    }
}
