//! Values and observations: canonical forms are their own canonical forms, and an arena holds no more than its input pays for.

use haetae::observable::{Form, KINDS, Kind, Observations};

use super::Allowed;

/// Punycode says up to four bytes of UTF-8 for one of its own; digests and addresses shrink or grow by a constant.
const CANONICAL_BYTES: Allowed = Allowed { per_byte: 8, at_least: 64 };

/// A compressed name of DNS repeats 255 bytes, raw and canonical, for a pointer of two in a record of twelve; everything
/// else says less. The constant is a fingerprint, two digests of a certificate and the line of JA3.
const SAID_BYTES: Allowed = Allowed { per_byte: 64, at_least: 8 << 10 };

/// The shortest thing that is worth an observation has a few bytes; each side can say one at its end for nothing.
const OBSERVATIONS: Allowed = Allowed { per_byte: 1, at_least: 8 };

/// `[kind, value...]`
pub fn canonical(input: &[u8]) -> usize {
    let Some((&first, value)) = input.split_first() else { return 0 };
    let kind = KINDS[usize::from(first) % KINDS.len()];
    let mut out = b"before".to_vec();
    match (kind.canonical)(value, &mut out) {
        Err(_) => {
            assert_eq!(out, b"before", "{}: a refused value leaves something behind", kind.name);
            0
        }
        Ok(()) => {
            let canonical = &out[b"before".len()..];
            CANONICAL_BYTES.hold(kind.name, canonical.len(), value.len());
            is_settled(kind, canonical);
            1
        }
    }
}

/// Asserts that a canonical form, written for a person and read again as the wire's is read, is the same.
pub fn is_settled(kind: &Kind, canonical: &[u8]) {
    let (text, mut again) = ((kind.text)(canonical), Vec::new());
    let read = kind.seen(text.as_bytes(), &mut again);
    assert_eq!(read, Ok(()), "{}: {text:?} is refused, but is how {canonical:?} is written", kind.name);
    assert_eq!(again, canonical, "{}: {text:?} is canonical and has another canonical form", kind.name);
}

/// Asserts what holds of everything that was said of `input_bytes` bytes; gives how many observations that is.
pub fn is_sound(out: &Observations, input_bytes: usize) -> usize {
    let mut bytes = 0;
    for observation in out.list() {
        for seen in out.fields(observation) {
            let canonical = out.canonical(seen);
            bytes += out.raw(seen).len() + canonical.len();
            if let (false, Some(kind), Form::Text) = (canonical.is_empty(), seen.field.kinds.first(), seen.field.form) {
                is_settled(kind, canonical);
            }
        }
    }
    SAID_BYTES.hold("bytes said", bytes, input_bytes);
    OBSERVATIONS.hold("observations", out.len(), input_bytes);
    out.len()
}
