//! Digests and fingerprints in hexadecimal. Canonical: the digest's own bytes.
//! Never here: the making of a digest.

use super::{Kind, Refused, Shape};

/// SHA-256 of a file.
pub static SHA256: Kind = Kind { name: "sha256", shape: Shape::Equal, canonical: hex::<32>, text, index: 5 };

/// JA3: MD5 over a TLS client hello's parameters.
pub static JA3: Kind = Kind { name: "ja3", shape: Shape::Equal, canonical: hex::<16>, text, index: 6 };

/// MD5 of a file.
pub static MD5: Kind = Kind { name: "md5", shape: Shape::Equal, canonical: hex::<16>, text, index: 7 };

/// SHA-1 of a file.
pub static SHA1: Kind = Kind { name: "sha1", shape: Shape::Equal, canonical: hex::<20>, text, index: 8 };

/// SHA-1 of a certificate's DER bytes: the fingerprint that most lists give.
pub static CERT_SHA1: Kind =
    Kind { name: "cert_sha1", shape: Shape::Equal, canonical: fingerprint::<20>, text, index: 9 };

/// SHA-256 of a certificate's DER bytes.
pub static CERT_SHA256: Kind =
    Kind { name: "cert_sha256", shape: Shape::Equal, canonical: fingerprint::<32>, text, index: 10 };

/// A fingerprint is often written with colons between its bytes.
fn fingerprint<const N: usize>(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    if bytes.len() != 3 * N - 1 {
        return hex::<N>(bytes, out);
    }
    let mut digits = [0; 64];
    for (pair, three) in digits.chunks_exact_mut(2).zip(bytes.chunks(3)) {
        if three.len() == 3 && three[2] != b':' {
            return Err(Refused("not hexadecimal"));
        }
        pair.copy_from_slice(&three[..2]);
    }
    hex::<N>(&digits[..2 * N], out)
}

fn hex<const N: usize>(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    if bytes.len() != 2 * N {
        return Err(Refused("wrong number of hexadecimal digits"));
    }
    let mut digest = [0; N];
    for (byte, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    out.extend_from_slice(&digest);
    Ok(())
}

pub(super) fn nibble(digit: u8) -> Result<u8, Refused> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Refused("not hexadecimal")),
    }
}

fn text(canonical: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    canonical.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_its_bytes_whatever_the_case() {
        let mut out = Vec::new();
        (JA3.canonical)(b"00FFab01000000000000000000000000", &mut out).unwrap();
        assert_eq!(out[..4], [0, 255, 0xab, 1]);
        assert_eq!((JA3.text)(&out), "00ffab01000000000000000000000000");
    }

    #[test]
    fn a_fingerprint_may_have_colons() {
        let (mut plain, mut colons) = (Vec::new(), Vec::new());
        let text = "00ffab0100000000000000000000000000000042";
        let spelled: Vec<&str> = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
        (CERT_SHA1.canonical)(text.as_bytes(), &mut plain).unwrap();
        (CERT_SHA1.canonical)(spelled.join(":").to_uppercase().as_bytes(), &mut colons).unwrap();
        assert_eq!(plain, colons);
        assert!((CERT_SHA1.canonical)(spelled.join("-").as_bytes(), &mut colons).is_err());
    }

    #[test]
    fn another_length_or_letter_is_refused() {
        let mut out = Vec::new();
        assert_eq!((SHA256.canonical)(b"00ff", &mut out), Err(Refused("wrong number of hexadecimal digits")));
        assert_eq!((JA3.canonical)(b"zz000000000000000000000000000000", &mut out), Err(Refused("not hexadecimal")));
        assert!(out.is_empty());
    }
}
