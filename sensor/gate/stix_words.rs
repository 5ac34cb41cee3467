//! What STIX 2.1 calls the kinds of values: one row each. In: values. Out: patterns, and observables without their identity: the type
//! and the properties that contribute to it. Never here: a kind that the standard has no word for (JA3, JA4, byte patterns); these are
//! sighted only where their source has a STIX id for them, and nothing is said of what was observed.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Projected;

/// A kind of value.
pub(super) struct Word {
    kind: &'static str,
    /// The listed value in the language of patterns (section 9).
    pub(super) pattern: fn(&str) -> Option<String>,
    /// The seen value as an observable (section 6).
    pub(super) observed: fn(&str) -> Option<Value>,
}

static WORDS: [Word; 11] = [
    Word { kind: "ip", pattern: |value| of_address(value, "="), observed: address },
    Word { kind: "cidr", pattern: |value| of_address(value, "ISSUBSET"), observed: address },
    Word { kind: "domain", pattern: |value| Some(equal("domain-name:value", value)), observed: name },
    Word { kind: "domain_suffix", pattern: at_or_below, observed: name },
    Word { kind: "url", pattern: |value| Some(equal("url:value", value)), observed: url },
    Word { kind: "md5", pattern: |value| hashed("file", "MD5", value), observed: |seen| hash("file", "MD5", seen) },
    Word {
        kind: "sha1",
        pattern: |value| hashed("file", "SHA-1", value),
        observed: |seen| hash("file", "SHA-1", seen),
    },
    Word {
        kind: "sha256",
        pattern: |value| hashed("file", "SHA-256", value),
        observed: |seen| hash("file", "SHA-256", seen),
    },
    Word {
        kind: "cert_sha1",
        pattern: |value| hashed("x509-certificate", "SHA-1", value),
        observed: |seen| hash("x509-certificate", "SHA-1", seen),
    },
    Word {
        kind: "cert_sha256",
        pattern: |value| hashed("x509-certificate", "SHA-256", value),
        observed: |seen| hash("x509-certificate", "SHA-256", seen),
    },
    // An observed one would be a whole request, with its method and what was asked for.
    Word {
        kind: "user_agent",
        pattern: |value| {
            Some(equal("network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'", value))
        },
        observed: |_| None,
    },
];

impl Word {
    /// The row of a kind.
    pub(super) fn of(kind: &str) -> Option<&'static Word> {
        WORDS.iter().find(|word| word.kind == kind)
    }
}

/// A constant: section 9.6.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn equal(path: &str, value: &str) -> String {
    format!("[{path} = {}]", quoted(value))
}

fn of_address(value: &str, by: &str) -> Option<String> {
    let family = family(value.split('/').next()?.parse().ok()?);
    Some(format!("[{family}:value {by} {}]", quoted(value)))
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ipv4-addr" } else { "ipv6-addr" }
}

/// `LIKE` takes `_` for any character: where one stands, a regular expression says it.
fn at_or_below(value: &str) -> Option<String> {
    let name = value.trim_start_matches("*.");
    let below = match name.contains(['_', '%']) {
        false => format!("LIKE {}", quoted(&format!("%.{name}"))),
        true => format!("MATCHES {}", quoted(&format!("\\.{}$", name.replace('.', "\\.")))),
    };
    Some(format!("[domain-name:value = {} OR domain-name:value {below}]", quoted(name)))
}

fn hashed(object: &str, algorithm: &str, value: &str) -> Option<String> {
    Some(equal(&format!("{object}:hashes.'{algorithm}'"), value))
}

fn address(seen: &str) -> Option<Value> {
    let address: IpAddr = seen.parse().ok()?;
    Some(json!({"type": family(address), "value": address.to_string()}))
}

fn name(seen: &str) -> Option<Value> {
    Some(json!({"type": "domain-name", "value": seen}))
}

fn url(seen: &str) -> Option<Value> {
    Some(json!({"type": "url", "value": seen}))
}

fn hash(object: &str, algorithm: &str, seen: &str) -> Option<Value> {
    Some(json!({"type": object, "hashes": {algorithm: seen}}))
}

/// The other side's address, and the traffic with it once that has an id: without the asset's end, which stays here. The traffic is
/// said only where the protocol may leave too.
pub(super) fn traffic(record: &Projected) -> Option<(Value, Option<impl Fn(&Value) -> Value + '_>)> {
    let (peer, port) = record.peer()?;
    let transport = record.text("proto").map(str::to_ascii_lowercase);
    let traffic = transport.map(|transport| {
        let version = if peer.is_ipv4() { "ipv4" } else { "ipv6" };
        let application = record.text("app_proto").map(str::to_ascii_lowercase);
        let inbound = record.text("direction") == Some("inbound");
        move |end: &Value| {
            let mut protocols = vec![version.to_owned(), transport.clone()];
            protocols.extend(application.clone());
            let (of_end, of_port) = if inbound { ("src_ref", "src_port") } else { ("dst_ref", "dst_port") };
            let mut object = json!({"type": "network-traffic", of_end: end, "protocols": protocols});
            if let Some(port) = port {
                object[of_port] = port.into();
            }
            object
        }
    });
    Some((address(&peer.to_string())?, traffic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(kind: &str, value: &str) -> String {
        (Word::of(kind).unwrap().pattern)(value).unwrap()
    }

    #[test]
    fn a_value_is_a_pattern_that_a_person_can_read() {
        assert_eq!(pattern("ip", "198.51.100.1"), "[ipv4-addr:value = '198.51.100.1']");
        assert_eq!(pattern("ip", "2001:db8::1"), "[ipv6-addr:value = '2001:db8::1']");
        assert_eq!(pattern("cidr", "198.51.100.0/24"), "[ipv4-addr:value ISSUBSET '198.51.100.0/24']");
        assert_eq!(
            pattern("domain_suffix", "bad.example"),
            "[domain-name:value = 'bad.example' OR domain-name:value LIKE '%.bad.example']"
        );
        assert_eq!(
            pattern("domain_suffix", "_x.bad.example"),
            "[domain-name:value = '_x.bad.example' OR domain-name:value MATCHES '\\\\._x\\\\.bad\\\\.example$']"
        );
        assert_eq!(pattern("url", "http://a/it's\\"), "[url:value = 'http://a/it\\'s\\\\']");
        assert_eq!(pattern("cert_sha1", "0a"), "[x509-certificate:hashes.'SHA-1' = '0a']");
    }

    #[test]
    fn what_the_standard_has_no_word_for_has_no_row() {
        for kind in ["ja3", "ja4", "pattern", "", "IP"] {
            assert!(Word::of(kind).is_none(), "{kind}");
        }
        assert!((Word::of("ip").unwrap().pattern)("bad.example").is_none());
        assert!((Word::of("cidr").unwrap().observed)("198.51.100.0/24").is_none(), "a network is never seen");
    }
}
