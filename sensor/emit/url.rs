//! URLs of those that alerts go to: which may be written, and their ports. Never here: a connection.

use std::net::IpAddr;

use ureq::http::Uri;

/// The port of a URL.
pub(super) fn port_of(url: &str) -> u16 {
    let otherwise = if url.starts_with("https:") { 443 } else { 80 };
    url.parse::<Uri>().ok().and_then(|uri| uri.port_u16()).unwrap_or(otherwise)
}

/// Whether alerts may go there: over TLS, or to a loopback address.
///
/// # Errors
/// Why not.
pub fn check_url(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|error| format!("`{url}` is no URL: {error}"))?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| format!("`{url}` names no host"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("no user or password in the URL; name a `token` file".to_owned());
    }
    if uri.scheme().is_some()
        && uri.port_u16().is_none()
        && let Some((_, port)) =
            uri.authority().and_then(|authority| authority.as_str().strip_prefix(host)?.split_once(':'))
    {
        return Err(format!("`{port}` is no port"));
    }
    if uri.query().is_some() {
        return Err("no query in the URL".to_owned());
    }
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if loopback => Ok(()),
        Some("http") => Err(format!("`{url}`: http is for loopback only; use https")),
        _ => Err(format!("`{url}` begins with neither https:// nor http://")),
    }
}
