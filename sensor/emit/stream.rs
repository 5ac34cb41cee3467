//! A connection that ends when its time is up: a host, a port and whom to trust go in, bytes go out and come in. Never here: what
//! they are, a second attempt, a wait without an end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use super::validity;

/// TCP that gives up at a time, however slowly the other side goes on.
pub(super) struct Timed {
    stream: TcpStream,
    end: Instant,
}

/// Over TLS, or without.
pub(super) enum Stream {
    Plain(Timed),
    Secured(Box<StreamOwned<ClientConnection, Timed>>),
}

/// A host as a connection is made to it: without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

impl Timed {
    /// Connects to the first of the host's addresses that answers, before `end`.
    ///
    /// # Errors
    /// None does, or there is none.
    pub(super) fn reach(host: &str, port: u16, end: Instant) -> io::Result<Timed> {
        let mut last = io::Error::new(ErrorKind::NotFound, format!("{host} has no address"));
        for address in addresses(host, port, end)? {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "cannot be reached in time"));
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Timed { stream, end });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// When it gives up from now on.
    pub(super) fn until(&mut self, end: Instant) {
        self.end = end;
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::new(ErrorKind::TimedOut, "took too long")) } else { Ok(left) }
    }
}

/// What the name stands for. The system's own look-up knows no end: a thread is left behind that waits for it.
fn addresses(host: &str, port: u16, end: Instant) -> io::Result<Vec<SocketAddr>> {
    let (told, hear) = mpsc::sync_channel(1);
    let name = (bare(host).to_owned(), port);
    std::thread::spawn(move || {
        let found = name.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody hears it any more when it came too late.
        let _late = told.send(found);
    });
    hear.recv_timeout(end.saturating_duration_since(Instant::now())).map_err(|why| match why {
        RecvTimeoutError::Timeout => io::Error::new(ErrorKind::TimedOut, "its name is not found in time"),
        RecvTimeoutError::Disconnected => io::Error::other("its name cannot be looked up"),
    })?
}

impl Read for Timed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(bytes).map_err(in_time)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What the system calls a wait that has ended is told by one name.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "took too long"),
        _ => error,
    }
}

/// Puts TLS around a connection, and shakes hands: from here on only the host can be on the other side. `until` is told how long
/// its certificate holds, in seconds since 1970.
///
/// # Errors
/// The other side is not who it should be, or gone; of rustls where it is [`ErrorKind::InvalidData`].
pub(super) fn secured<S: Read + Write>(
    config: &Arc<ClientConfig>,
    host: &str,
    under: S,
    until: &AtomicU64,
) -> io::Result<StreamOwned<ClientConnection, S>> {
    let name = ServerName::try_from(bare(host).to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, under);
    stream.conn.complete_io(&mut stream.sock)?;
    let leaf = stream.conn.peer_certificates().and_then(<[_]>::first);
    if let Some(held) = leaf.and_then(|leaf| validity::of(leaf)) {
        until.store(held.end, Ordering::Release);
    }
    Ok(stream)
}

impl Stream {
    /// When it gives up from now on.
    pub(super) fn until(&mut self, end: Instant) {
        match self {
            Stream::Plain(stream) => stream.until(end),
            Stream::Secured(stream) => stream.sock.until(end),
        }
    }

    /// Says that nothing more comes from this side.
    ///
    /// # Errors
    /// It could not be said.
    pub(super) fn end_writing(&mut self) -> io::Result<()> {
        let under = match self {
            Stream::Plain(stream) => stream,
            Stream::Secured(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                &mut stream.sock
            }
        };
        under.stream.shutdown(Shutdown::Write)
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(bytes),
            Stream::Secured(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Secured(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Secured(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Somebody who takes a connection, and says a byte every 20 ms.
    fn dripping() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(b".").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        port
    }

    #[test]
    fn whoever_goes_on_slowly_is_left_when_time_is_up() {
        let began = Instant::now();
        let mut stream = Timed::reach("127.0.0.1", dripping(), began + Duration::from_millis(300)).unwrap();
        let error = std::iter::repeat_with(|| stream.read(&mut [0; 1])).find_map(Result::err).unwrap();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!((300..5_000).contains(&began.elapsed().as_millis()));
        // the whole of what is written, not each piece
        stream.until(Instant::now() + Duration::from_millis(300));
        let error = std::iter::repeat_with(|| stream.write(&[0; 4096])).find_map(Result::err).unwrap();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_host_without_an_address_and_a_port_without_anybody_are_said_at_once() {
        let end = Instant::now() + Duration::from_secs(30);
        assert!(Timed::reach("no-such-host.invalid", 1, end).is_err());
        let port = TcpListener::bind("[::1]:0").map(|here| here.local_addr().unwrap().port());
        if let Ok(port) = port {
            assert_eq!(
                Timed::reach("[::1]", port, end).err().map(|error| error.kind()),
                Some(ErrorKind::ConnectionRefused)
            );
        }
        assert_eq!(
            Timed::reach("127.0.0.1", 9, Instant::now()).err().map(|error| error.kind()),
            Some(ErrorKind::TimedOut)
        );
    }
}
