//! Texts that are compared as they are: user agents and JA4 fingerprints. Canonical: the bytes themselves, as UTF-8.

use super::{Kind, Refused, Shape};
use crate::limits::USER_AGENT_BYTES_MAX;

/// A user agent, whole and exactly as it is sent.
pub static USER_AGENT: Kind = Kind { name: "user_agent", shape: Shape::Equal, canonical: agent, text, index: 11 };

/// JA4: the TLS client's fingerprint (FoxIO's specification; only the client's is free).
pub static JA4: Kind = Kind { name: "ja4", shape: Shape::Equal, canonical: ja4, text, index: 12 };

fn agent(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    const TOO_LONG: Refused = Refused("longer than 4096 bytes");
    if bytes.is_empty() {
        return Err(Refused("empty"));
    }
    if bytes.len() > USER_AGENT_BYTES_MAX {
        return Err(TOO_LONG);
    }
    // what is not UTF-8 has no spelling in a feed: both sides take its replacement, which is longer
    let spelled = String::from_utf8_lossy(bytes);
    if spelled.len() > USER_AGENT_BYTES_MAX {
        return Err(TOO_LONG);
    }
    out.extend_from_slice(spelled.as_bytes());
    Ok(())
}

/// `t13d1516h2_8daaf6152771_02713d6af862`: transport, version, SNI or not, counts, ALPN; two truncated digests.
fn ja4(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let digest = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let sound = bytes.len() == 36
        && b"tqd".contains(&bytes[0])
        && bytes[1..3].iter().all(u8::is_ascii_alphanumeric)
        && b"di".contains(&bytes[3])
        && digits(&bytes[4..8])
        && bytes[8..10].iter().all(u8::is_ascii_graphic)
        && (bytes[10], bytes[23]) == (b'_', b'_')
        && digest(&bytes[11..23])
        && digest(&bytes[24..]);
    if !sound {
        return Err(Refused("not a JA4 fingerprint, which looks like t13d1516h2_8daaf6152771_02713d6af862"));
    }
    out.extend_from_slice(bytes);
    Ok(())
}

fn text(canonical: &[u8]) -> String {
    String::from_utf8_lossy(canonical).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_taken_and_what_is_not_quite_one_is_refused() {
        let mut out = Vec::new();
        assert_eq!((JA4.canonical)(b"t13d1516h2_8daaf6152771_02713d6af862", &mut out), Ok(()));
        for wrong in ["t13d1516h2_8daaf6152771_02713d6af86", "x13d1516h2_8daaf6152771_02713d6af862", "t13d1516h2"] {
            assert!((JA4.canonical)(wrong.as_bytes(), &mut out).is_err(), "{wrong}");
        }
        assert_eq!(out.len(), 36);
    }

    #[test]
    fn a_user_agent_is_every_byte_of_it() {
        let mut out = Vec::new();
        assert_eq!((USER_AGENT.canonical)(b"EvilUA/1.0 ", &mut out), Ok(()));
        assert_eq!(out, b"EvilUA/1.0 ");
        assert!((USER_AGENT.canonical)(b"", &mut out).is_err());
    }

    #[test]
    fn a_user_agent_that_is_no_text_is_as_long_as_it_is_spelled() {
        let (most, mut out) = (USER_AGENT_BYTES_MAX / 3, Vec::new());
        assert_eq!((USER_AGENT.canonical)(&vec![0xff; most + 1], &mut out), Err(Refused("longer than 4096 bytes")));
        assert!(out.is_empty());
        assert_eq!((USER_AGENT.canonical)(&vec![0xff; most], &mut out), Ok(()));
        let mut again = Vec::new();
        assert_eq!((USER_AGENT.canonical)(text(&out).as_bytes(), &mut again), Ok(()));
        assert_eq!(again, out);
    }
}
