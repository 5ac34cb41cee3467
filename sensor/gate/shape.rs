//! The shapes of what may leave: a value of a record in, the same value out if it has the shape of its field. Never here: a
//! policy, and a value bent into shape.

use std::net::IpAddr;

use serde_json_borrow::{ObjectAsVec, Value};

use crate::limits::WIRE_NAME_FRONT_BYTES_MAX;

/// What leaves: of the record it holds copies, and names that are written here.
pub(super) type Said = Value<'static>;

/// An object of it.
pub(super) type Out = ObjectAsVec<'static>;

/// Puts a value in if there is one.
pub(super) fn put(out: &mut Out, name: &'static str, value: Option<impl Into<Said>>) {
    if let Some(value) = value {
        out.insert(name, value.into());
    }
}

/// Puts a text of the record in if there is one.
pub(super) fn put_text(out: &mut Out, name: &'static str, text: Option<&str>) {
    put(out, name, text.map(str::to_owned));
}

/// An object, if anything is in it.
pub(super) fn filled(map: Out) -> Option<Said> {
    (!map.is_empty()).then_some(Value::Object(map))
}

/// Yes or no.
pub(super) fn flag(value: &Value<'_>) -> Option<bool> {
    value.as_bool()
}

/// One of the words of a list.
pub(super) fn one_of(value: &Value<'_>, words: &[&'static str]) -> Option<&'static str> {
    words.iter().find(|word| value.as_str() == Some(**word)).copied()
}

/// EVE writes metadata as lists of strings.
pub(super) fn confidence(value: &Value<'_>) -> Option<u64> {
    let one = value.as_array().and_then(<[_]>::first).unwrap_or(value);
    one.as_u64().or_else(|| one.as_str()?.parse().ok()).filter(|confidence| *confidence <= 100)
}

/// A time as EVE or RFC 3339 writes it.
pub(super) fn time<'a>(value: &'a Value<'_>) -> Option<&'a str> {
    let shaped = |text: &&str| {
        (10..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b"-:.+TZ".contains(&b))
    };
    value.as_str().filter(shaped)
}

/// 1 to 64 of `A-Z a-z 0-9 . _ -`.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A source's or category's words: letters and digits of any script, spaces, and `. _ - : / + &`.
pub(super) fn is_words(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_alphanumeric() || " ._-:/+&".contains(c))
}

/// A source's own name for an indicator.
pub(super) fn is_reference(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An indicator's value.
pub(super) fn is_printable(text: &str) -> bool {
    (1..=4096).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A host name at or below `value`. Names of services are short; where much stands before the listed name it is data that
/// somebody sends through a resolver, and stays.
pub(super) fn below(value: &str, seen: &str) -> Option<String> {
    let (value, seen) = (value.trim_start_matches("*.").to_ascii_lowercase(), seen.to_ascii_lowercase());
    let host = seen.len() <= 255 && seen.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let front = seen.strip_suffix(&value).filter(|_| host)?;
    let fits = front.is_empty() || front.ends_with('.') && front.len() <= WIRE_NAME_FRONT_BYTES_MAX;
    fits.then_some(seen)
}

/// A URL in parts: scheme and host in lower case, without a user; path; query with its mark. The fragment is gone.
struct Parts<'a> {
    origin: String,
    path: &'a str,
    query: &'a str,
}

fn parts(url: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let rest = rest.split('#').next()?;
    let (host, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let host = host.rsplit('@').next()?;
    let clean = is_name(scheme) && !host.is_empty() && is_printable(host);
    let origin = format!("{}://{}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    clean.then_some(Parts { origin, path, query })
}

/// The address that a value is, or that its URL goes to.
pub(super) fn address_in(text: &str) -> Option<IpAddr> {
    let host = parts(text).map_or_else(|| text.to_owned(), |parts| parts.origin.split("://").skip(1).collect());
    let bare = host.trim_start_matches('[').split(']').next().unwrap_or_default();
    let without_port = || host.rsplit_once(':').and_then(|(host, _)| host.parse().ok());
    let address: IpAddr = host.parse().or_else(|_| bare.parse()).ok().or_else(without_port)?;
    Some(address.to_canonical())
}

/// Of a URL that was seen what the listed one says already: its host, its path, its query; another path stays, and another
/// query unless `query` lets it out.
pub(super) fn url(value: &str, seen: &str, query: bool) -> Option<String> {
    let (listed, found) = (parts(value)?, parts(seen)?);
    if listed.origin != found.origin {
        return None;
    }
    if listed.path != found.path {
        return Some(found.origin);
    }
    let query = if query || listed.query == found.query { found.query } else { "" };
    Some(format!("{}{}{query}", found.origin, found.path)).filter(|url| is_printable(url))
}

/// What a request asked for, without host and user: path and query.
pub(super) fn request(seen: &str) -> Option<String> {
    let target = match parts(seen) {
        Some(parts) => format!("{}{}", parts.path, parts.query),
        None => seen.split('#').next()?.to_owned(),
    };
    (target.starts_with('/') && is_printable(&target)).then_some(target)
}

/// Whether a network holds an address.
pub(super) fn within(network: &str, address: IpAddr) -> bool {
    let Some((base, length)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) if length <= 32 => {
            u32::from(base).checked_shr(32 - length) == u32::from(address).checked_shr(32 - length)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) if length <= 128 => {
            u128::from(base).checked_shr(128 - length) == u128::from(address).checked_shr(128 - length)
        }
        _ => false,
    }
}

/// Addresses that belong to some inside: RFC 1918, RFC 6598, RFC 4193, loopback and link-local.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            v6.is_loopback() || v6.is_unspecified() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    }
}
