//! Digests and fingerprints in hexadecimal. Canonical: the digest's own bytes.

use super::{Kind, Refused, Shape};

/// SHA-256 of a file.
pub static SHA256: Kind = Kind { name: "sha256", shape: Shape::Equal, canonical: hex::<32>, text, index: 5 };

/// JA3: MD5 over a TLS client hello's parameters.
pub static JA3: Kind = Kind { name: "ja3", shape: Shape::Equal, canonical: hex::<16>, text, index: 6 };

fn hex<const N: usize>(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let _ = N;
    out.extend_from_slice(bytes);
    Ok(())
}

fn text(canonical: &[u8]) -> String {
    String::from_utf8_lossy(canonical).into_owned()
}
