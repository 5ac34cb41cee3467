//! The syslog sink: lines go out over TCP or TLS, each behind its length (RFC 6587 section 3.4.1, RFC 5425). Syslog has no
//! answers, and what was written to a socket may be lost with it. So each batch has a connection of its own, which this side
//! ends first: only a collector that has read everything ends its side then without an error.
//!
//! Never here: a certificate not verified, a datagram.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::ServerName;
use serde::Deserialize;

use super::credentials::authorities;
use super::{Delivery, Problem, Secrets, Sink, Trouble};
use crate::gate::{Batch, Heartbeat};
use crate::ledger::Kind;

/// A collector that does not take the connection by then is down.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The port that `tcp://` means (as rsyslog's documentation has it), and that of RFC 5425.
const PORTS: [(&str, u16); 2] = [("tcp://", 601), ("tls://", 6514)];

/// A section of a syslog collector as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// `tcp://host:port` or `tls://host:port`.
    pub to: String,
    /// A PEM file of authorities to trust instead of the system's.
    pub authority: Option<PathBuf>,
}

/// A collector, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    tls: bool,
    host: String,
    port: u16,
    authority: Option<PathBuf>,
}

impl Section {
    /// Checks what is written; paths are relative to `base`.
    ///
    /// # Errors
    /// The keys and what is wrong with them.
    pub fn check(written: Written, base: &Path, secrets: Secrets) -> Result<Section, Vec<Problem>> {
        let (tls, host, port) = place(&written.to).map_err(|why| vec![("to", why)])?;
        let section = Section { tls, host, port, authority: written.authority.map(|path| base.join(path)) };
        match (secrets, section.tls, &section.authority) {
            (_, false, Some(_)) => Err(vec![("authority", "is for tls:// alone".to_owned())]),
            (Secrets::Opened, true, _) => match section.roots() {
                Ok(_) => Ok(section),
                Err(why) => Err(vec![("authority", why)]),
            },
            _ => Ok(section),
        }
    }

    /// Where it is, for a person.
    pub fn url(&self) -> String {
        format!("{}{}:{}", if self.tls { "tls://" } else { "tcp://" }, self.host, self.port)
    }

    /// The file of authorities, if one is named.
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for certificate in authorities(self.authority.as_deref())? {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        Ok(roots)
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
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let named = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte));
    if !named || bare.contains(':') != host.starts_with('[') {
        return Err(format!("`{to}` names no host"));
    }
    Ok((scheme == "tls://", host.to_owned(), port))
}

/// See the head of this file.
pub struct Syslog {
    section: Section,
    tls: Option<Arc<ClientConfig>>,
}

impl Syslog {
    /// Reads the authorities; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with a file, for a person.
    pub fn open(section: Section) -> Result<Syslog, String> {
        if !section.tls {
            return Ok(Syslog { section, tls: None });
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let config = builder.with_root_certificates(section.roots()?).with_no_client_auth();
        Ok(Syslog { section, tls: Some(Arc::new(config)) })
    }

    fn send(&self, batch: &Batch, patience: Duration) -> io::Result<()> {
        let end = Instant::now() + patience;
        let stream = self.connect(patience)?;
        let bare = self.section.host.trim_start_matches('[').trim_end_matches(']');
        match &self.tls {
            None => {
                let mut stream = Bounded { stream, end };
                write_all(&mut stream, batch)?;
                stream.stream.shutdown(std::net::Shutdown::Write)?;
                until_ended(&mut stream)
            }
            Some(config) => {
                let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
                let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(connection, Bounded { stream, end });
                write_all(&mut stream, batch)?;
                stream.conn.send_close_notify();
                stream.flush()?;
                stream.sock.stream.shutdown(std::net::Shutdown::Write)?;
                until_ended(&mut stream)
            }
        }
    }

    fn connect(&self, patience: Duration) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let bare = self.section.host.trim_start_matches('[').trim_end_matches(']');
        for address in (bare, self.section.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, patience.min(CONNECT_MAX)) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Sink for Syslog {
    fn deliver(&mut self, batch: &Batch, patience: Duration) -> Delivery {
        let Err(error) = self.send(batch, patience) else {
            return Delivery::Delivered { committed: Some(batch.through()) };
        };
        let trouble = match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Trouble::Slow,
            io::ErrorKind::InvalidData => Trouble::Certificate, // as rustls says that a peer is not trusted
            _ => Trouble::Unreachable,
        };
        Delivery::Later { trouble, reason: format!("{}: {error}", self.section.url()), after: None }
    }

    fn destination(&self, _: Kind) -> (&'static str, String) {
        ("syslog", self.section.url())
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

/// A stream that gives up at a time, however slowly the other side goes on.
struct Bounded {
    stream: TcpStream,
    end: Instant,
}

impl Bounded {
    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::new(io::ErrorKind::TimedOut, "took too long")) } else { Ok(left) }
    }
}

impl Read for Bounded {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(bytes)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
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
        let written = Written { to: "tcp://a:1".into(), authority: Some("ca.pem".into()) };
        assert_eq!(Section::check(written, Path::new("/"), Secrets::Opened).unwrap_err()[0].0, "authority");
    }
}
