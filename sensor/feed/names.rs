//! What others call our kinds, and how values under such a name are read.
//!
//! In: the name of a kind as a feed writes it, MISP's and Zeek's types among them. Out: a [`Reading`]. Never here: a value
//! in its canonical form.

use crate::observable::{Kind, address, digest, domain, kind, pattern, plain, url};

/// How the values under a name are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As this kind.
    As(&'static Kind),
    /// As a file's digest, told by its length.
    Digest,
    /// As two values with `|` between them; `None`: a part that is not looked for.
    Two([Option<&'static Kind>; 2]),
}

use Reading::{As, Digest, Two};

/// Names as [`squeezed`] leaves them.
static NAMES: [(Reading, &[&str]); 19] = [
    (
        As(&address::IP),
        &[
            "ip",
            "ipv4",
            "ipv6",
            "ipaddr",
            "ipaddress",
            "ipv4addr",
            "ipv6addr",
            "ipv4address",
            "ipv6address",
            "ipsrc",
            "ipdst",
            "srcip",
            "dstip",
            "destip",
            "address",
            "intel::addr",
            "ip:port",
            "ipv4:port",
            "ipv6:port",
            "ipport",
            "ip|port",
            "ipsrc|port",
            "ipdst|port",
        ],
    ),
    (
        As(&address::CIDR),
        &["cidr", "network", "subnet", "netblock", "ipnetwork", "ipv4cidr", "ipv6cidr", "intel::subnet"],
    ),
    (As(&domain::DOMAIN), &["domain", "hostname", "fqdn", "domainname", "dnsname", "intel::domain"]),
    (As(&domain::DOMAIN_SUFFIX), &["domainsuffix"]),
    (As(&url::URL), &["url", "fullurl", "intel::url"]),
    (As(&digest::SHA256), &["sha256", "filesha256", "hashsha256", "filehashsha256", "sha256hash"]),
    (As(&digest::SHA1), &["sha1", "filesha1", "hashsha1", "filehashsha1", "sha1hash"]),
    (As(&digest::MD5), &["md5", "filemd5", "hashmd5", "filehashmd5", "md5hash"]),
    (Digest, &["hash", "filehash", "digest", "intel::filehash"]),
    (As(&digest::JA3), &["ja3", "ja3hash", "ja3md5", "ja3digest", "ja3fingerprint", "ja3fingerprintmd5", "tlsja3hash"]),
    (As(&plain::JA4), &["ja4", "ja4hash", "ja4fingerprint", "tlsja4"]),
    (
        As(&digest::CERT_SHA1),
        &[
            "certsha1",
            "certificatesha1",
            "x509fingerprintsha1",
            "x509sha1",
            "sslcertfingerprint",
            "sslcertsha1",
            "tlscertsha1",
            "tlsfingerprint",
            "intel::certhash",
        ],
    ),
    (
        As(&digest::CERT_SHA256),
        &["certsha256", "certificatesha256", "x509fingerprintsha256", "x509sha256", "sslcertsha256", "tlscertsha256"],
    ),
    (As(&plain::USER_AGENT), &["useragent", "httpuseragent"]),
    (As(&pattern::PATTERN), &["pattern"]),
    (Two([None, Some(&digest::SHA256)]), &["filename|sha256"]),
    (Two([None, Some(&digest::SHA1)]), &["filename|sha1"]),
    (Two([None, Some(&digest::MD5)]), &["filename|md5"]),
    (Two([Some(&domain::DOMAIN), Some(&address::IP)]), &["domain|ip"]),
];

/// Kinds that feeds speak of and that this version does not look for, as [`squeezed`] leaves them.
static LATER: [&str; 24] = [
    "hostname|port",
    "ja3s",
    "ja3sfingerprintmd5",
    "hassh",
    "hasshmd5",
    "hasshserver",
    "hasshservermd5",
    "x509fingerprintmd5",
    "email",
    "emailsrc",
    "emaildst",
    "intel::email",
    "sha224",
    "sha384",
    "sha512",
    "ssdeep",
    "tlsh",
    "imphash",
    "filename",
    "filepath",
    "mutex",
    "wallet",
    "patterninfile",
    "patternintraffic",
];

/// How values under this name are read.
pub(super) fn reading(name: &str) -> Option<Reading> {
    if let Some(kind) = kind(name) {
        return Some(As(kind));
    }
    let name = squeezed(name);
    NAMES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(reading, _)| *reading)
}

/// Whether a name is one of a kind that is looked for nowhere yet.
pub(super) fn is_later(name: &str) -> bool {
    LATER.contains(&squeezed(name).as_str())
}

/// `User-Agent`, `user_agent` and `user agent` are one name.
fn squeezed(name: &str) -> String {
    name.chars().filter(|letter| !"-_. ".contains(*letter)).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// The digest that a bare one is: the fingerprints of hellos and certificates have these lengths too, but lists of bare
/// digests are lists of files.
pub(super) fn digest_of(value: &[u8]) -> Option<&'static Kind> {
    if !value.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    match value.len() {
        32 => Some(&digest::MD5),
        40 => Some(&digest::SHA1),
        64 => Some(&digest::SHA256),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observable::KINDS;

    #[test]
    fn every_kind_is_known_by_its_own_name_and_by_those_of_others() {
        assert!(KINDS.iter().all(|kind| reading(kind.name) == Some(As(kind))));
        for (name, kind) in [
            ("file-sha1", "sha1"),
            ("FileHash-MD5", "md5"),
            ("sha256_hash", "sha256"),
            ("SHA-256", "sha256"),
            ("x509-fingerprint-sha1", "cert_sha1"),
            ("x509-fingerprint-sha256", "cert_sha256"),
            ("ja3-fingerprint-md5", "ja3"),
            ("JA4", "ja4"),
            ("User-Agent", "user_agent"),
            ("user agent", "user_agent"),
            ("ip-dst|port", "ip"),
            ("ip:port", "ip"),
            ("ipv4-addr", "ip"),
            ("Intel::ADDR", "ip"),
            ("hostname", "domain"),
            ("Domain_Suffix", "domain_suffix"),
            ("subnet", "cidr"),
        ] {
            assert_eq!(reading(name), crate::observable::kind(kind).map(As), "{name}");
        }
        assert_eq!(reading("filename|sha1"), Some(Two([None, Some(&digest::SHA1)])));
        assert_eq!(reading("Intel::FILE_HASH"), Some(Digest));
        assert!(reading("colour").is_none() && !is_later("colour") && is_later("email-src"));
    }

    #[test]
    fn names_are_squeezed_and_each_stands_for_one_thing() {
        let all: Vec<&str> = NAMES.iter().flat_map(|(_, names)| names.iter().copied()).chain(LATER).collect();
        for (at, name) in all.iter().enumerate() {
            assert_eq!(squeezed(name), *name);
            assert!(!all[..at].contains(name), "{name} twice");
        }
    }
}
