//! The syslog sink: lines go out over TCP or TLS, each behind its length (RFC 6587 section 3.4.1, RFC 5425). Syslog has no
//! answers, and what was written to a socket may be lost with it. So each batch has a connection of its own, which this side
//! ends first: only a collector that has read everything ends its side then without an error.
//!
//! Never here: a certificate not verified, a datagram.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::credentials::{Credentials, Named, Of};
use super::stream::{Stream, Timed, bare, secured};
use super::{Delivery, Facts, Problem, Secrets, Sink, Trouble};
use crate::gate::{Batch, Heartbeat};
use crate::ledger::Kind;

/// A collector that does not take the connection by then is down.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The port that `tcp://` means (as rsyslog's documentation has it), and that of RFC 5425.
const PORTS: [(&str, u16); 2] = [("tcp://", 601), ("tls://", 6514)];

/// A section of a syslog collector as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// `tcp://host:port` or `tls://host:port`.
    pub to: String,
    /// A PEM file of authorities to trust instead of the system's.
    pub authority: Option<PathBuf>,
    /// A PEM file with the sensor's own certificate, for mutual TLS.
    pub certificate: Option<PathBuf>,
    /// A PEM file with its key; not readable by everyone.
    pub key: Option<PathBuf>,
    /// A PEM file of lists of revoked certificates, one for every authority of the collector's chain.
    pub revocations: Option<PathBuf>,
}

/// A collector, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    tls: bool,
    host: String,
    port: u16,
    /// Whom to trust, and who we are.
    pub files: Named,
}

impl Section {
    /// Checks what is written; paths are relative to `base`.
    ///
    /// # Errors
    /// The keys and what is wrong with them.
    pub fn check(written: Written, base: &Path, secrets: Secrets) -> Result<Section, Vec<Problem>> {
        let (tls, host, port) = place(&written.to).map_err(|why| vec![("to", why)])?;
        let at = |path: PathBuf| base.join(path);
        let files = Named {
            token: None,
            authority: written.authority.map(at),
            certificate: written.certificate.map(at),
            key: written.key.map(at),
            revocations: written.revocations.map(at),
        };
        let named = [
            ("authority", &files.authority),
            ("certificate", &files.certificate),
            ("key", &files.key),
            ("revocations", &files.revocations),
        ];
        let first = named.into_iter().find(|(_, file)| file.is_some());
        if let (false, Some((key, _))) = (tls, first) {
            return Err(vec![(key, "is for tls:// alone".to_owned())]);
        }
        if secrets == Secrets::Opened {
            files.read(tls)?;
        }
        Ok(Section { tls, host, port, files })
    }

    /// Where it is, for a person.
    pub fn url(&self) -> String {
        format!("{}{}:{}", if self.tls { "tls://" } else { "tcp://" }, self.host, self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Scheme, host and port.
fn place(to: &str) -> Result<(bool, String, u16), String> {
    let scheme = PORTS.iter().find_map(|(scheme, port)| Some((*scheme, *port, to.strip_prefix(scheme)?)));
    let (scheme, usual, rest) = scheme.ok_or_else(|| format!("`{to}` begins with neither tcp:// nor tls://"))?;
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let number = port.parse().ok().filter(|port| *port != 0);
            (host, number.ok_or_else(|| format!("`{port}` is no port"))?)
        }
        _ => (rest, usual),
    };
    let bare = bare(host);
    let named = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte));
    if !named || bare.contains(':') != host.starts_with('[') {
        return Err(format!("`{to}` names no host"));
    }
    Ok((scheme == "tls://", host.to_owned(), port))
}

/// See the head of this file.
pub struct Syslog {
    section: Section,
    name: &'static str,
    credentials: Credentials,
    /// Until when the collector's certificate holds, in seconds since 1970; 0: none was seen.
    until: AtomicU64,
}

impl Syslog {
    /// Reads the files; connects to nothing yet. `name`: how the collector is called among the sinks, `section` in the
    /// configuration.
    ///
    /// # Errors
    /// What is wrong with a file, for a person.
    pub fn open((name, called): (&'static str, &'static str), section: Section) -> Result<Syslog, String> {
        let of = Of { section: called, token: "" };
        let credentials = Credentials::open(of, section.files.clone(), section.tls)?;
        Ok(Syslog { section, name, credentials, until: AtomicU64::new(0) })
    }

    fn send(&mut self, batch: &Batch, end: Instant) -> io::Result<()> {
        let mut stream = self.connect(end)?;
        write_all(&mut stream, batch)?;
        stream.end_writing()?;
        until_ended(&mut stream)
    }

    fn connect(&mut self, end: Instant) -> io::Result<Stream> {
        self.credentials.refresh(false);
        let mut stream = Timed::reach(&self.section.host, self.section.port, end.min(Instant::now() + CONNECT_MAX))?;
        stream.until(end);
        let tls = self.credentials.held().0.tls.as_ref().filter(|_| self.section.tls);
        Ok(match tls {
            Some(config) => Stream::Secured(Box::new(secured(config, &self.section.host, stream, &self.until)?)),
            None => Stream::Plain(stream),
        })
    }
}

impl Sink for Syslog {
    fn deliver(&mut self, batch: &Batch, patience: Duration) -> Delivery {
        let Err(error) = self.send(batch, Instant::now() + patience) else {
            return Delivery::Delivered { committed: Some(batch.through()) };
        };
        let trouble = match error.kind() {
            io::ErrorKind::TimedOut => Trouble::Slow,
            io::ErrorKind::InvalidData => Trouble::Certificate, // as rustls says that a peer is not trusted
            _ => Trouble::Unreachable,
        };
        if trouble == Trouble::Certificate {
            // What was renewed on the disk meanwhile is taken with the next attempt.
            self.credentials.refresh(true);
        }
        let also = self.credentials.trouble().map(|trouble| format!(" (and {trouble})")).unwrap_or_default();
        Delivery::Later { trouble, reason: format!("{}: {error}{also}", self.section.url()), after: None }
    }

    fn destination(&self, _: Kind) -> (&'static str, String) {
        (self.name, self.section.url())
    }

    fn facts(&self) -> Facts {
        let centre_until = Some(self.until.load(Ordering::Acquire)).filter(|until| *until > 0);
        Facts { own_until: self.credentials.held().0.until, centre_until, ..Facts::default() }
    }

    /// Nobody asks a collector of lines for signs of life.
    fn beat(&mut self, _: &Heartbeat, _: Duration) -> Result<(), String> {
        Ok(())
    }
}

/// Every line behind its length.
fn write_all(out: &mut impl Write, batch: &Batch) -> io::Result<()> {
    let mut framed = Vec::new();
    for message in batch.messages() {
        write!(framed, "{} ", message.bytes().len())?;
        framed.extend_from_slice(message.bytes());
    }
    out.write_all(&framed)?;
    out.flush()
}

/// Until the other side has ended, having said nothing that matters.
fn until_ended(from: &mut impl Read) -> io::Result<()> {
    let mut bytes = [0; 512];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // collectors end TLS as they end TCP: all that matters was that no reset came
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_scheme_a_host_and_a_port() {
        assert_eq!(place("tcp://log.example:514"), Ok((false, "log.example".to_owned(), 514)));
        assert_eq!(place("tls://[2001:db8::1]"), Ok((true, "[2001:db8::1]".to_owned(), 6514)));
        for wrong in ["udp://a:1", "tcp://", "tcp://a:0", "tcp://a:99999", "tcp://2001:db8::1:514", "tcp://a b:1", ""] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_authority_without_tls_is_a_mistake() {
        let written = Written { to: "tcp://a:1".into(), authority: Some("ca.pem".into()), ..Written::default() };
        assert_eq!(Section::check(written, Path::new("/"), Secrets::Opened).unwrap_err()[0].0, "authority");
    }
}
