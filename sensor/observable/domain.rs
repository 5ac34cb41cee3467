//! Domain names. In: a name as a feed or the wire spells it. Out: lower case, no final dot, labels checked.
//! Never here: the public suffix list, IDNA (a name is written in its `xn--` form), a resolver.

use super::{Kind, Refused, Shape};

/// Exactly this name.
pub static DOMAIN: Kind = Kind { name: "domain", shape: Shape::Equal, canonical, text, index: 2 };

/// This name and all below it.
pub static DOMAIN_SUFFIX: Kind = Kind { name: "domain_suffix", shape: Shape::AtOrBelow, canonical, text, index: 3 };

/// What a name field is looked up as.
pub static KINDS: [&Kind; 2] = [&DOMAIN, &DOMAIN_SUFFIX];

/// RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters with dots and without the final one.
const NAME_BYTES_MAX: usize = 253;

/// RFC 1035 section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Underscores, slashes and other printable bytes are let through: services, tunnels and generated names use them.
fn canonical(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(Refused("empty name"));
    }
    if bytes.len() > NAME_BYTES_MAX {
        return Err(Refused("name longer than 253 bytes"));
    }
    let start = out.len();
    let result = push_labels(bytes, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn push_labels(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let mut label = 0;
    for &byte in bytes {
        match byte {
            b'.' if label == 0 => return Err(Refused("empty label")),
            b'.' => label = 0,
            0..=b' ' | 0x7f => return Err(Refused("control byte or space in a name")),
            0x80.. => return Err(Refused("not ASCII: write the name in its xn-- form")),
            _ if label == LABEL_BYTES_MAX => return Err(Refused("label longer than 63 bytes")),
            _ => label += 1,
        }
        out.push(byte.to_ascii_lowercase());
    }
    if label == 0 { Err(Refused("empty label")) } else { Ok(()) }
}

fn text(canonical: &[u8]) -> String {
    String::from_utf8_lossy(canonical).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(name: &str) -> Result<String, &'static str> {
        let mut out = Vec::new();
        canonical(name.as_bytes(), &mut out).map(|()| text(&out)).map_err(|refused| refused.0)
    }

    #[test]
    fn case_and_the_final_dot_make_no_difference() {
        assert_eq!(form("C2.BaD.Example."), Ok("c2.bad.example".into()));
        assert_eq!(form("_dmarc.bad.example"), Ok("_dmarc.bad.example".into()));
        assert_eq!(form("localhost"), Ok("localhost".into()));
    }

    #[test]
    fn names_that_are_none_say_why() {
        assert_eq!(form(""), Err("empty name"));
        assert_eq!(form("."), Err("empty name"));
        assert_eq!(form("a..b"), Err("empty label"));
        assert_eq!(form("a.."), Err("empty label"));
        assert_eq!(form("a b.example"), Err("control byte or space in a name"));
        assert_eq!(form("한국.example"), Err("not ASCII: write the name in its xn-- form"));
        assert_eq!(form(&format!("{}.example", "a".repeat(64))), Err("label longer than 63 bytes"));
        assert_eq!(form(&"a.".repeat(127)[..253]), Ok("a.".repeat(127)[..253].to_owned()));
        assert_eq!(form(&"a.".repeat(128)), Err("name longer than 253 bytes"));
    }

    #[test]
    fn a_refused_name_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        assert!(canonical(b"good.bad..example", &mut out).is_err());
        assert_eq!(out, b"before");
    }
}
