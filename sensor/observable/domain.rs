//! Domain names. In: a name as a feed or the wire spells it, in ASCII or in UTF-8. Out: ASCII (RFC 5890's A-labels), lower
//! case, no final dot, labels checked.
//! Never here: the public suffix list, a resolver.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::{Kind, Refused, Shape};
use crate::limits::NAME_UTF8_BYTES_MAX;

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

/// Underscores, slashes and other printable bytes are let through: services, tunnels and generated names use them. What
/// is ASCII is never interpreted, an `xn--` label that decodes to nothing included: two spellings that a resolver tells
/// apart stay two.
fn canonical(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let start = out.len();
    let result = match push_name(bytes, out) {
        Err(_) if !bytes.is_ascii() => {
            out.truncate(start);
            to_ascii(bytes, AsciiDenyList::EMPTY).and_then(|name| push_name(name.as_bytes(), out))
        }
        result => result,
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// A host as a URL has it: what is ASCII as it is, all else as [`canonical`] writes it.
pub(super) fn host_to_ascii(host: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    if host.is_ascii() {
        return Ok(Cow::Borrowed(host));
    }
    // a fullwidth slash or colon would part the URL elsewhere than its author sees it parted
    to_ascii(host, AsciiDenyList::URL).map(|name| Cow::Owned(name.into_owned().into_bytes()))
}

/// UTS 46, non-transitional: case, width, composition and the ideographic full stop fold; what is left is Punycode.
fn to_ascii(bytes: &[u8], denied: AsciiDenyList) -> Result<Cow<'_, str>, Refused> {
    if bytes.len() > NAME_UTF8_BYTES_MAX {
        return Err(TOO_LONG);
    }
    if std::str::from_utf8(bytes).is_err() {
        return Err(Refused("not UTF-8"));
    }
    let name = Uts46::new().to_ascii(bytes, denied, Hyphens::Allow, DnsLength::Ignore);
    name.map_err(|_| Refused("not a name in any script: IDNA (UTS 46) refuses it"))
}

const TOO_LONG: Refused = Refused("name longer than 253 bytes");

fn push_name(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(Refused("empty name"));
    }
    if bytes.len() > NAME_BYTES_MAX {
        return Err(TOO_LONG);
    }
    let mut label = 0;
    for &byte in bytes {
        match byte {
            b'.' if label == 0 => return Err(Refused("empty label")),
            b'.' => label = 0,
            0..=b' ' | 0x7f => return Err(Refused("control byte or space in a name")),
            0x80.. => return Err(Refused("not ASCII")), // not this way: `canonical` goes the other one
            _ if label == LABEL_BYTES_MAX => return Err(Refused("label longer than 63 bytes")),
            _ => label += 1,
        }
        out.push(byte.to_ascii_lowercase());
    }
    if label == 0 { Err(Refused("empty label")) } else { Ok(()) }
}

/// What stands for labels that no feed may list: itself none (UTS 46 refuses it).
const ODD: &[u8] = "\u{fffd}.".as_bytes();

/// Appends the well-formed labels at the end of a name that is none as a whole, behind a mark for the rest: resolvers and
/// servers take any byte in a label (RFC 2181 section 11), so who asks for `\xff.bad.example` asks at `bad.example`. Whether
/// there are such labels.
pub(super) fn push_tail(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    let mut tail = bytes.len();
    let (mut label, mut length) = (Vec::new(), 0);
    for part in bytes.rsplit(|&byte| byte == b'.') {
        label.clear();
        let is_label = part.len() <= NAME_UTF8_BYTES_MAX && canonical(part, &mut label).is_ok();
        length += label.len() + 1;
        if !is_label || length > NAME_BYTES_MAX {
            break;
        }
        tail = (tail - part.len()).saturating_sub(1);
    }
    let Some(tail) = bytes.get(tail..).map(|tail| tail.strip_prefix(b".").unwrap_or(tail)) else { return false };
    let start = out.len();
    out.extend_from_slice(ODD);
    let whole = !tail.is_empty() && canonical(tail, out).is_ok();
    if !whole {
        out.truncate(start);
    }
    whole
}

fn text(canonical: &[u8]) -> String {
    String::from_utf8_lossy(canonical).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        assert_eq!(form("한국 .example"), Err("control byte or space in a name"));
        assert_eq!(form("\u{200d}.example"), Err("not a name in any script: IDNA (UTS 46) refuses it"));
        assert_eq!(form("한。。국"), Err("empty label"));
        assert_eq!(form(&format!("{}.example", "국".repeat(63))), Err("label longer than 63 bytes"));
        assert_eq!(form(&"국".repeat(400)), Err("name longer than 253 bytes"));
        assert_eq!(form(&format!("{}.example", "a".repeat(64))), Err("label longer than 63 bytes"));
        assert_eq!(form(&"a.".repeat(127)[..253]), Ok("a.".repeat(127)[..253].to_owned()));
        assert_eq!(form(&"a.".repeat(128)), Err("name longer than 253 bytes"));
    }

    #[test]
    fn a_name_is_one_in_every_script_and_width() {
        let composed = form("사이트.한국");
        assert_eq!(composed, Ok("xn--vf4b27jhrk.xn--3e0b707e".into()));
        assert_eq!(form("사이트。한국。"), composed, "ideographic full stops");
        assert_eq!(form("\u{1109}\u{1161}\u{110b}\u{1175}\u{1110}\u{1173}.한국"), composed, "decomposed syllables");
        assert_eq!(composed.clone().and_then(|name| form(&name)), composed, "its own xn-- form");
        assert_eq!(form("ＢＡＤ．ｅｘａｍｐｌｅ"), Ok("bad.example".into()));
        assert_eq!(form("BÜCHER.Example"), Ok("xn--bcher-kva.example".into()));
        assert_eq!(form("bu\u{308}cher.example"), Ok("xn--bcher-kva.example".into()));
        assert_eq!(form("_dmarc.bücher.example"), Ok("_dmarc.xn--bcher-kva.example".into()));
        assert_eq!(
            form("straße.example"),
            Ok("xn--strae-oqa.example".into()),
            "not what transitional mapping made of it"
        );
    }

    #[test]
    fn punycode_that_decodes_to_nothing_stays_as_it_is() {
        assert_eq!(form("XN--A-\u{7e}.example"), Ok("xn--a-~.example".into()));
        assert_eq!(form("xn--99999999.example"), Ok("xn--99999999.example".into()));
        assert_eq!(form("xn--.example"), Ok("xn--.example".into()));
    }

    fn tail(name: &[u8]) -> Option<String> {
        let mut out = b"before".to_vec();
        let found = push_tail(name, &mut out);
        assert!(found || out == b"before");
        found.then(|| text(&out[b"before".len()..]))
    }

    #[test]
    fn a_label_that_is_none_does_not_hide_what_it_stands_before() {
        let below = Some("\u{fffd}.evil.test".to_owned());
        let names: [&[u8]; 7] = [
            b"\xff\xfe.Evil.test",
            b"a b.evil.test.",
            b"a\0b.evil.TEST",
            b" .evil.test",
            b"x..evil.test",
            b"ok.\x01.evil.test",
            &[&[b'a'; 64][..], b".evil.test"].concat(),
        ];
        for name in names {
            assert_eq!(tail(name), below, "{}", name.escape_ascii());
        }
        assert_eq!(
            tail(&[&b"a.".repeat(200)[..], b"evil.test"].concat()).map(|name| name.ends_with(".evil.test")),
            Some(true)
        );
        assert_eq!(tail("\u{200d}.사이트.한국".as_bytes()), Some("\u{fffd}.xn--vf4b27jhrk.xn--3e0b707e".to_owned()));
        for name in [&b"evil.te st"[..], b"", b".", b"a..", b"\xff"] {
            assert_eq!(tail(name), None, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn nobody_can_list_the_mark_of_an_odd_label() {
        assert!(form("\u{fffd}.evil.test").is_err());
    }

    #[test]
    fn bytes_that_are_no_text_are_no_name() {
        let mut out = b"before".to_vec();
        assert_eq!(canonical(b"caf\xe9.example", &mut out), Err(Refused("not UTF-8")));
        assert_eq!(out, b"before");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_name_and_its_ascii_form_are_one(
            name in "([a-z가-힣àéüßαβжя中文Ａ-Ｚ\u{1100}-\u{1112}\u{1161}-\u{1175}\u{300}\u{308}_-]{1,8}[.。．]){1,3}[a-z한국]{2,5}[.。]?",
        ) {
            if let Ok(ascii) = form(&name) {
                prop_assert!(ascii.is_ascii());
                prop_assert_eq!(form(&ascii), Ok(ascii.clone()));
                prop_assert_eq!(form(&ascii.to_uppercase()), Ok(ascii.clone()));
                let shown = Uts46::new().to_unicode(ascii.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow).0;
                prop_assert_eq!(form(&shown), Ok(ascii.clone()), "{}", shown);
            }
        }
    }

    #[test]
    fn a_refused_name_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        assert!(canonical(b"good.bad..example", &mut out).is_err());
        assert_eq!(out, b"before");
    }
}
