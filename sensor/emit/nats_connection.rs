//! A connection to one NATS server: its address and whom to trust go in, operations go out and come in. Never here: what they
//! are for, a second server, or a wait without an end.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::nats_section::Server;
use super::nats_wire::{self as wire, Incoming, Info, Message, Said};
use super::stream::{Stream, Timed, secured};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// A server that takes nothing for so long is as good as gone.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// A read waits at least this long: 0 would be for ever.
const READ_MIN: Duration = Duration::from_millis(1);

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
    /// Connects, and is known to the server when this returns. `until` is told how long its certificate holds.
    ///
    /// # Errors
    /// Why not, for a person.
    pub fn open(
        server: &Server,
        (tls, until): (Option<&Arc<ClientConfig>>, &AtomicU64),
        name: &str,
        end: Instant,
    ) -> Result<Connection, String> {
        let stream = Timed::reach(&server.host, server.port, end).map_err(|error| error.to_string())?;
        let (mut plain, mut incoming) = (Stream::Plain(stream), Incoming::default());
        // The first line comes before TLS: nothing is told to anybody yet, and nothing of it is believed but what can only
        // make the connection fail.
        let info = match said(&mut plain, &mut incoming, end)? {
            Some(Said::Info(info)) => info,
            Some(said) => return Err(format!("begins with {said:?}")),
            None => return Err("is connected to and says nothing".to_owned()),
        };
        let stream = match (plain, server.is_secured) {
            (Stream::Plain(mut stream), true) if incoming.is_empty() => {
                stream.until(end);
                let tls = tls.ok_or("needs an authority to be trusted by")?;
                let secured = secured(tls, &server.host, stream, until).map_err(|error| error.to_string())?;
                Stream::Secured(Box::new(secured))
            }
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
        self.stream.until(Instant::now() + WRITE_MAX);
        let sent = self.stream.write_all(&self.out).and_then(|()| self.stream.flush());
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
            match said(&mut self.stream, &mut self.incoming, end)? {
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
            match said(&mut self.stream, &mut self.incoming, end)? {
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

/// The next operation; `None`: time is up.
fn said(stream: &mut Stream, incoming: &mut Incoming, end: Instant) -> Result<Option<Said>, String> {
    let mut bytes = [0; READ_BYTES];
    stream.until(end.max(Instant::now() + READ_MIN));
    loop {
        if let Some(said) = incoming.next()? {
            return Ok(Some(said));
        }
        match stream.read(&mut bytes) {
            Ok(0) => return Err("closed the connection".to_owned()),
            Ok(length) => incoming.push(&bytes[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(None),
            Err(error) => return Err(error.to_string()),
        }
    }
}
