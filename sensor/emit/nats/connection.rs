//! A connection to one NATS server: its address and whom to trust go in, operations go out and come in. Never here: what they
//! are for, a second server, or a wait without an end.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use super::section::Server;
use super::wire::{self, Incoming, Info, Message, Said};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// A server that takes nothing for so long is as good as gone.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// A read waits at least this long: 0 would be for ever.
const READ_MIN: Duration = Duration::from_millis(1);

/// Over TLS, or to loopback without.
enum Stream {
    Secured(Box<StreamOwned<ClientConnection, TcpStream>>),
    Plain(TcpStream),
}

/// An open connection.
pub(super) struct Connection {
    stream: Stream,
    incoming: Incoming,
    /// What the server says of itself.
    info: Info,
    /// What was written and not yet sent.
    out: Vec<u8>,
    /// Messages that came while something else was waited for.
    before: VecDeque<Message>,
}

impl Connection {
    /// Connects, and is known to the server when this returns.
    ///
    /// # Errors
    /// Why not, for a person.
    pub fn open(
        server: &Server,
        tls: Option<&Arc<ClientConfig>>,
        name: &str,
        end: Instant,
    ) -> Result<Connection, String> {
        let (stream, mut incoming) = (reach(server, end)?, Incoming::default());
        let mut plain = Stream::Plain(stream);
        // The first line comes before TLS: nothing is told to anybody yet, and nothing of it is believed but what can only
        // make the connection fail.
        let info = match plain.said(&mut incoming, end)? {
            Some(Said::Info(info)) => info,
            Some(said) => return Err(format!("begins with {said:?}")),
            None => return Err("is connected to and says nothing".to_owned()),
        };
        let stream = match (plain, server.is_secured) {
            (Stream::Plain(stream), true) if incoming.is_empty() => secure(stream, server, tls)?,
            (_, true) => return Err("says more than one line before TLS".to_owned()),
            (_, false) if info.tls_required => return Err("asks for TLS: write tls://".to_owned()),
            (plain, false) => plain,
        };
        let mut connection = Connection { stream, incoming, info, out: Vec::new(), before: VecDeque::new() };
        wire::connect(&mut connection.out, name, server.is_secured);
        connection.confirm(end)?;
        if !connection.info.headers {
            return Err("has no headers (before 2.2)".to_owned());
        }
        Ok(connection)
    }

    /// The longest message that the server takes, with its headers.
    pub fn payload_max(&self) -> usize {
        self.info.max_payload
    }

    /// Where operations are written that [`Connection::flush`] sends.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends what was written.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn flush(&mut self) -> Result<(), String> {
        let sent = match &mut self.stream {
            Stream::Secured(stream) => stream.write_all(&self.out).and_then(|()| stream.flush()),
            Stream::Plain(stream) => stream.write_all(&self.out),
        };
        self.out.clear();
        sent.map_err(|error| error.to_string())
    }

    /// The next message, at most until `end`; `None`: none came.
    ///
    /// # Errors
    /// The server refuses something, or the connection is gone.
    pub fn message(&mut self, end: Instant) -> Result<Option<Message>, String> {
        if let Some(message) = self.before.pop_front() {
            return Ok(Some(message));
        }
        loop {
            match self.stream.said(&mut self.incoming, end)? {
                Some(Said::Message(message)) => return Ok(Some(message)),
                Some(said) => self.heed(said)?,
                None => return Ok(None),
            };
        }
    }

    /// Sends what was written, and waits until the server has heard it. Messages that come meanwhile are kept.
    ///
    /// # Errors
    /// It refuses some of it, is silent, or gone.
    pub fn confirm(&mut self, end: Instant) -> Result<(), String> {
        wire::ping(&mut self.out);
        self.flush()?;
        loop {
            match self.stream.said(&mut self.incoming, end)? {
                Some(Said::Pong) => return Ok(()),
                Some(Said::Message(message)) => self.before.push_back(message),
                Some(said) => self.heed(said)?,
                None => return Err("does not answer".to_owned()),
            }
        }
    }

    fn heed(&mut self, said: Said) -> Result<(), String> {
        match said {
            Said::Ping => {
                wire::pong(&mut self.out);
                self.flush()
            }
            Said::Info(info) => {
                self.info = info;
                Ok(())
            }
            Said::Error(error) => Err(error),
            Said::Pong | Said::Ok | Said::Message(_) => Ok(()),
        }
    }
}

impl Stream {
    /// The next operation; `None`: time is up.
    fn said(&mut self, incoming: &mut Incoming, end: Instant) -> Result<Option<Said>, String> {
        let mut bytes = [0; READ_BYTES];
        loop {
            if let Some(said) = incoming.next()? {
                return Ok(Some(said));
            }
            let left = end.saturating_duration_since(Instant::now());
            let socket = match self {
                Stream::Secured(stream) => &stream.sock,
                Stream::Plain(stream) => stream,
            };
            socket.set_read_timeout(Some(left.max(READ_MIN))).map_err(|error| error.to_string())?;
            let read = match self {
                Stream::Secured(stream) => stream.read(&mut bytes),
                Stream::Plain(stream) => stream.read(&mut bytes),
            };
            match read {
                Ok(0) => return Err("closed the connection".to_owned()),
                Ok(length) => incoming.push(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if left <= READ_MIN {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

fn reach(server: &Server, end: Instant) -> Result<TcpStream, String> {
    let mut last = format!("{} has no address", server.host);
    for address in addresses(server, end)? {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("cannot be reached in time".to_owned());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                let set = stream.set_nodelay(true).and_then(|()| stream.set_write_timeout(Some(WRITE_MAX)));
                return set.map(|()| stream).map_err(|error| error.to_string());
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// What the name stands for. The system's own look-up knows no end: a thread is left behind that waits for it.
fn addresses(server: &Server, end: Instant) -> Result<Vec<SocketAddr>, String> {
    let (told, hear) = mpsc::sync_channel(1);
    let name = (server.host.clone(), server.port);
    std::thread::spawn(move || {
        let found = name.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody hears it any more when it came too late.
        let _late = told.send(found);
    });
    let found = hear.recv_timeout(end.saturating_duration_since(Instant::now()));
    found.map_err(|_| "its name is not found in time".to_owned())?.map_err(|error| error.to_string())
}

fn secure(stream: TcpStream, server: &Server, tls: Option<&Arc<ClientConfig>>) -> Result<Stream, String> {
    let tls = tls.ok_or("needs an authority to be trusted by")?;
    let name = ServerName::try_from(server.host.clone()).map_err(|error| error.to_string())?;
    let connection = ClientConnection::new(Arc::clone(tls), name).map_err(|error| error.to_string())?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.sock.set_read_timeout(Some(WRITE_MAX)).map_err(|error| error.to_string())?;
    stream.conn.complete_io(&mut stream.sock).map_err(|error| error.to_string())?;
    Ok(Stream::Secured(Box::new(stream)))
}
