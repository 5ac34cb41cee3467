//! `centre.nats:` as it is written, and checked. Never here: a connection.

use std::net::IpAddr;

use serde::Deserialize;
use ureq::http::Uri;

use crate::emit::{self, Problem};
use crate::limits::NATS_SERVERS_MAX;

/// The key of all that can be wrong here.
const KEY: &str = "nats";

/// What a stream is called where nothing is said.
const STREAM: &str = "ALERTS";

/// Where NATS listens where nothing is said.
const PORT: u16 = 4222;

/// The section as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Servers of the centre's cluster, tried in turn: `tls://host:port`; `nats://` for loopback only.
    pub servers: Vec<String>,
    /// The stream that keeps alerts. Absent: `ALERTS`.
    pub stream: Option<String>,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Whether over TLS.
    pub is_secured: bool,
}

/// The section, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub(super) servers: Vec<Server>,
    pub(super) stream: String,
}

impl Section {
    /// Checks what is written, and what is beside it in `centre:`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn check(written: &Written, beside: &emit::Written) -> Result<Section, Vec<Problem>> {
        let mut problems = Vec::new();
        if !beside.url.is_empty() {
            problems.push((KEY, "is there beside `url`: one of the two is the way to the centre".to_owned()));
        }
        if beside.fallbacks.is_some() {
            problems.push(("fallbacks", "is for `url`; NATS has all its servers in `nats.servers`".to_owned()));
        }
        if beside.token.is_some() {
            problems.push(("token", "is for `url`; NATS knows a site by its certificate".to_owned()));
        }
        let mut servers: Vec<Server> = Vec::new();
        for url in &written.servers {
            match server(url) {
                Ok(server) if servers.contains(&server) => problems.push((KEY, format!("`{url}` is given twice"))),
                Ok(server) => servers.push(server),
                Err(why) => problems.push((KEY, why)),
            }
        }
        if !(1..=NATS_SERVERS_MAX).contains(&written.servers.len()) {
            problems.push((KEY, format!("{} servers; 1 to {NATS_SERVERS_MAX} can be named", written.servers.len())));
        }
        let stream = written.stream.clone().unwrap_or_else(|| STREAM.to_owned());
        if !is_token(&stream) {
            problems.push((KEY, format!("`{stream}` is no name of a stream")));
        }
        // its servers take nobody without one (`deploy/nats/servers.conf`), and every message would wait for ever
        if servers.iter().any(|server| server.is_secured) && beside.certificate.is_none() {
            let why = "a `tls://` server knows a site by its certificate, and `certificate` is missing";
            problems.push((KEY, why.to_owned()));
        }
        if problems.is_empty() { Ok(Section { servers, stream }) } else { Err(problems) }
    }

    /// The ports of its servers.
    pub fn ports(&self) -> Vec<u16> {
        self.servers.iter().map(|server| server.port).collect()
    }

    /// Whether a certificate is needed, and an authority.
    pub fn is_secured(&self) -> bool {
        self.servers.iter().any(|server| server.is_secured)
    }
}

/// One token of a subject: no dot, no wildcard, no blank.
pub(super) fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn server(url: &str) -> Result<Server, String> {
    let uri: Uri = url.parse().map_err(|error| format!("`{url}` is no URL: {error}"))?;
    let named = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| format!("`{url}` names no host"))?;
    let host = named.trim_start_matches('[').trim_end_matches(']').to_owned();
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    if authority.contains('@') {
        return Err("no user or password in the URL; the certificate says who this is".to_owned());
    }
    let rest = authority.strip_prefix(named).unwrap_or_default();
    let port = match (uri.port_u16(), rest) {
        (Some(port), _) if port != 0 => port,
        (Some(port), _) => return Err(format!("`{port}` is no port")),
        (None, "") => PORT,
        (None, other) => return Err(format!("`{}` is no port", other.trim_start_matches(':'))),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(format!("`{url}`: nothing stands behind the port"));
    }
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_secured = match uri.scheme_str() {
        Some("tls") => true,
        Some("nats") if loopback => false,
        Some("nats") => return Err(format!("`{url}`: nats:// is for loopback only; use tls://")),
        _ => return Err(format!("`{url}` begins with neither tls:// nor nats://")),
    };
    Ok(Server { host, port, is_secured })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(servers: &[&str], stream: Option<&str>) -> Result<Section, Vec<Problem>> {
        let servers = servers.iter().map(|server| (*server).to_owned()).collect();
        let beside = emit::Written { certificate: Some("sensor.pem".into()), ..emit::Written::default() };
        Section::check(&Written { servers, stream: stream.map(str::to_owned) }, &beside)
    }

    #[test]
    fn servers_are_reached_over_tls_or_at_loopback() {
        let section = check(&["tls://n1.example:4443", "tls://[2001:db8::1]/", "nats://127.0.0.1:1"], None).unwrap();
        assert_eq!(section.ports(), [4443, 4222, 1]);
        assert_eq!((&*section.servers[1].host, &*section.stream), ("2001:db8::1", "ALERTS"));
        assert!(section.is_secured());
        for url in [
            "nats://n1.example:4222",
            "https://n1.example",
            "n1.example:4222",
            "tls://",
            "tls://a:b@n1.example",
            "tls://n1.example:99999",
            "tls://n1.example/alerts",
        ] {
            assert_eq!(check(&[url], None).unwrap_err()[0].0, "nats", "{url}");
        }
    }

    #[test]
    fn there_is_one_way_to_the_centre() {
        let written = Written { servers: vec!["tls://n1.example".to_owned()], stream: None };
        let beside = emit::Written {
            url: "https://centre.example".to_owned(),
            token: Some("token".into()),
            certificate: Some("sensor.pem".into()),
            ..emit::Written::default()
        };
        let problems = Section::check(&written, &beside).unwrap_err();
        assert_eq!(problems.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["nats", "token"]);
    }

    #[test]
    fn a_site_has_a_certificate_wherever_one_is_asked_for() {
        let servers =
            |urls: &[&str]| Written { servers: urls.iter().map(|url| (*url).to_owned()).collect(), stream: None };
        let check = |urls: &[&str]| Section::check(&servers(urls), &emit::Written::default());
        let problems = check(&["nats://127.0.0.1", "tls://n1.example"]).unwrap_err();
        assert!(problems.len() == 1 && problems[0].1.contains("`certificate` is missing"), "{problems:?}");
        assert!(
            check(&["nats://127.0.0.1", "nats://localhost:4223"]).is_ok(),
            "a broker on this machine asks for none"
        );
    }

    #[test]
    fn there_are_servers_and_a_stream() {
        assert!(check(&[], None).is_err());
        let nine: Vec<String> = (1..=9).map(|number| format!("tls://n{number}.example")).collect();
        let nine: Vec<&str> = nine.iter().map(String::as_str).collect();
        assert!(check(&nine[..8], None).is_ok() && check(&nine, None).is_err());
        assert!(check(&["tls://n1.example", "tls://n1.example:4222"], None).is_err());
        for stream in ["", "a.b", "a b", ">"] {
            assert!(check(&["tls://n1.example"], Some(stream)).is_err(), "{stream}");
        }
    }
}
