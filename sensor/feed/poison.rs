//! Values that no alliance means to share: they would match half the traffic of a site, or none that is an enemy's.

use std::net::IpAddr;

use crate::observable::{Kind, Refused, address, digest, domain, pattern};

/// Looks at a canonical value.
pub(super) type Check = fn(&[u8]) -> Result<(), Refused>;

/// What is checked beyond the canonical form.
static CHECKS: [(&Kind, Check); 8] = [
    (&address::IP, check_address),
    (&address::CIDR, check_network),
    (&domain::DOMAIN, check_name),
    (&domain::DOMAIN_SUFFIX, check_suffix),
    (&digest::SHA256, check_digest),
    (&digest::SHA1, check_digest),
    (&digest::MD5, check_digest),
    (&pattern::PATTERN, check_pattern),
];

/// Networks wider than these hold whole countries.
const IPV4_PREFIX_MIN: u8 = 8;
const IPV6_PREFIX_MIN: u8 = 16;

/// Registries sell names below these; sorted. Not the whole public suffix list: the ones that feeds do get wrong.
static REGISTRIES: [&[u8]; 48] = [
    b"ac.jp", b"ac.kr", b"ac.uk", b"co.id", b"co.il", b"co.in", b"co.jp", b"co.kr", b"co.nz", b"co.th", b"co.uk",
    b"co.za", b"com.ar", b"com.au", b"com.br", b"com.cn", b"com.co", b"com.hk", b"com.mx", b"com.my", b"com.ph",
    b"com.pl", b"com.ru", b"com.sg", b"com.tr", b"com.tw", b"com.ua", b"com.vn", b"edu.au", b"edu.cn", b"go.jp",
    b"go.kr", b"gov.au", b"gov.br", b"gov.cn", b"gov.in", b"gov.uk", b"ne.jp", b"ne.kr", b"net.au", b"net.br",
    b"net.cn", b"or.jp", b"or.kr", b"org.au", b"org.cn", b"org.uk", b"re.kr",
];

/// SHA-256, SHA-1 and MD5 of nothing.
static EMPTY_FILE: [&[u8]; 3] = [
    b"\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9\x24\
      \x27\xae\x41\xe4\x64\x9b\x93\x4c\xa4\x95\x99\x1b\x78\x52\xb8\x55",
    b"\xda\x39\xa3\xee\x5e\x6b\x4b\x0d\x32\x55\xbf\xef\x95\x60\x18\x90\xaf\xd8\x07\x09",
    b"\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\x09\x98\xec\xf8\x42\x7e",
];

/// The check for a kind.
pub(super) fn check(kind: &Kind) -> Check {
    CHECKS.iter().find(|(of, _)| *of == kind).map_or(|_| Ok(()), |&(_, check)| check)
}

fn check_address(value: &[u8]) -> Result<(), Refused> {
    match address::parts(value) {
        Some((address, _)) if address.is_unspecified() => Err(Refused("the unspecified address")),
        Some((address, _)) if address.is_loopback() => Err(Refused("a loopback address")),
        _ => Ok(()),
    }
}

fn check_network(value: &[u8]) -> Result<(), Refused> {
    let Some((address, length)) = address::parts(value) else { return Ok(()) };
    let (least, width) = if address.is_ipv4() { (IPV4_PREFIX_MIN, 32) } else { (IPV6_PREFIX_MIN, 128) };
    match address {
        _ if length < least && width == 32 => Err(Refused("network wider than /8")),
        _ if length < least => Err(Refused("network wider than /16")),
        IpAddr::V4(four) if four.octets()[0] == 0 => Err(Refused("the unspecified network")),
        _ => check_address(value),
    }
}

/// A name whose last label is a number is an address (WHATWG URL, "ends in a number").
///
/// What has a port, a list or a pattern in it would be taken and never match anything: its author must hear of it.
fn check_name(value: &[u8]) -> Result<(), Refused> {
    let last = value.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    match value.iter().find(|byte| b":[],;\"*".contains(byte)) {
        Some(b':' | b'[' | b']') => Err(Refused("a name has no port: write the value alone")),
        Some(b'*') => Err(Refused("a pattern: only `*.` at the beginning is understood")),
        Some(_) => Err(Refused("more than one value, or quotes: write one value alone")),
        None if last.iter().all(u8::is_ascii_digit) => Err(Refused("an address, not a name")),
        None => Ok(()),
    }
}

/// Every site transfers empty files.
fn check_digest(value: &[u8]) -> Result<(), Refused> {
    if EMPTY_FILE.contains(&value) { Err(Refused("the digest of the empty file")) } else { Ok(()) }
}

/// One byte is in every value, whatever byte it is.
fn check_pattern(value: &[u8]) -> Result<(), Refused> {
    if value.len() < 2 { Err(Refused("one byte alone is everywhere")) } else { Ok(()) }
}

fn check_suffix(value: &[u8]) -> Result<(), Refused> {
    match value.iter().filter(|&&byte| byte == b'.').count() {
        0 => Err(Refused("a whole top-level domain")),
        1 if REGISTRIES.binary_search(&value).is_ok() => {
            Err(Refused("a registry's domain, everybody's names are below it"))
        }
        _ => check_name(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(kind: &Kind, text: &str) -> Result<(), &'static str> {
        let mut value = Vec::new();
        (kind.canonical)(text.as_bytes(), &mut value).unwrap();
        check(kind)(&value).map_err(|refused| refused.0)
    }

    #[test]
    fn what_would_match_everything_is_poison() {
        assert_eq!(checked(&domain::DOMAIN_SUFFIX, "com"), Err("a whole top-level domain"));
        assert!(checked(&domain::DOMAIN_SUFFIX, "co.uk").is_err());
        assert_eq!(checked(&domain::DOMAIN_SUFFIX, "bad.co.uk"), Ok(()));
        assert_eq!(checked(&address::CIDR, "0.0.0.0/0"), Err("network wider than /8"));
        assert_eq!(checked(&address::CIDR, "2000::/3"), Err("network wider than /16"));
        assert_eq!(checked(&address::CIDR, "10.0.0.0/8"), Ok(()));
        assert!(REGISTRIES.is_sorted());
    }

    #[test]
    fn nothing_at_all_is_no_indicator() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(checked(&digest::SHA256, empty), Err("the digest of the empty file"));
        assert!(checked(&digest::SHA1, "da39a3ee5e6b4b0d3255bfef95601890afd80709").is_err());
        assert!(checked(&digest::MD5, "d41d8cd98f00b204e9800998ecf8427e").is_err());
        assert_eq!(checked(&pattern::PATTERN, "a"), Err("one byte alone is everywhere"));
        assert_eq!(checked(&pattern::PATTERN, r"\x00"), Err("one byte alone is everywhere"));
        assert_eq!(checked(&pattern::PATTERN, "ab"), Ok(()));
        assert_eq!(checked(&digest::SHA256, &"0".repeat(64)), Ok(()));
    }

    #[test]
    fn what_could_never_match_is_refused_and_not_kept_in_silence() {
        for text in
            ["203.0.113.66:80", "bad.example:443", "[2001:db8::1]", "fe80::1%eth0", "203.0.113.256", "203.0.113"]
        {
            assert!(checked(&domain::DOMAIN, text).is_err(), "{text}");
        }
        for text in ["a.example,b.example", "\"a.example\"", "a.*.example"] {
            assert!(
                checked(&domain::DOMAIN, text).is_err() && checked(&domain::DOMAIN_SUFFIX, text).is_err(),
                "{text}"
            );
        }
        // names of tunnels, as they are really seen
        assert_eq!(checked(&domain::DOMAIN, "db9o+5tq/1nf_b8.srv.tunnel.example"), Ok(()));
    }

    #[test]
    fn addresses_that_are_nobodys_are_poison() {
        for text in ["0.0.0.0", "::", "127.0.0.1", "::1"] {
            assert!(checked(&address::IP, text).is_err(), "{text}");
        }
        assert!(checked(&address::CIDR, "127.0.0.0/8").is_err());
        assert!(checked(&address::CIDR, "0.0.0.0/8").is_err());
        assert_eq!(checked(&domain::DOMAIN, "203.0.113.66"), Err("an address, not a name"));
        assert_eq!(checked(&domain::DOMAIN, "localhost"), Ok(()));
    }
}
