//! One connection of the metrics server: bytes in, a request, an answer, bytes out; it never waits.
//!
//! In: what a socket has right now. Out: which page is asked for, or why there is none (RFC 9112). Never here: what a page says.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use httparse::{EMPTY_HEADER, Header};
use jiff::fmt::rfc2822;

use super::door::{Awaits, Visitor};
use crate::limits::{
    METRICS_ANSWER_TIME_MAX, METRICS_HEAD_BYTES_MAX, METRICS_HEAD_TIME_MAX, METRICS_HEADERS_MAX, METRICS_IDLE_TIME_MAX,
};

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// All numbers.
    Metrics,
    /// Whether the process answers.
    Health,
    /// Whether the sensor does its work.
    Readiness,
}

/// Every page, by its path.
static PAGES: [(&str, Page); 3] =
    [("/metrics", Page::Metrics), ("/healthz", Page::Health), ("/readyz", Page::Readiness)];

/// How an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Here it is.
    Ok,
    /// No request, or one with a body.
    Bad,
    /// No such page.
    NotFound,
    /// Neither GET nor HEAD.
    Method,
    /// A head without end.
    TooLong,
    /// The sensor does not do its work.
    NotReady,
}

impl Status {
    /// Code and reason of the status line.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::Bad => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::Method => "405 Method Not Allowed",
            Status::TooLong => "431 Request Header Fields Too Large",
            Status::NotReady => "503 Service Unavailable",
        }
    }
}

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// What is asked for, or why it is refused.
    pub page: Result<Page, Status>,
    /// HEAD.
    pub without_body: bool,
    /// The connection ends with the answer.
    pub close: bool,
}

/// An answer.
pub(super) struct Answer {
    /// How it begins.
    pub status: Status,
    /// The media type.
    pub kind: &'static str,
    /// Shared by all who get the same.
    pub body: Arc<[u8]>,
    /// Only its length is told.
    pub without_body: bool,
    /// The connection ends with it.
    pub close: bool,
}

/// An answer on its way.
struct Sending {
    head: Vec<u8>,
    body: Arc<[u8]>,
    /// Of both together.
    sent: usize,
    close: bool,
}

/// See the head of this file.
pub(super) struct Connection {
    stream: TcpStream,
    /// What was received and is not answered.
    held: Vec<u8>,
    sending: Option<Sending>,
    /// Since when it waits for a request, for the rest of one, or for its answer to be taken.
    since: Instant,
    over: bool,
}

impl Connection {
    /// Takes a stream; `None` if it is gone already.
    pub(super) fn new(stream: TcpStream, now: Instant) -> Option<Self> {
        stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).ok()?;
        Some(Connection { stream, held: Vec::new(), sending: None, since: now, over: false })
    }

    fn read(&mut self, now: Instant) -> io::Result<()> {
        // one byte more than is allowed tells a head that is too long from one that just fits
        let room = (METRICS_HEAD_BYTES_MAX + 1).saturating_sub(self.held.len());
        let mut chunk = [0; 1024];
        let count = self.stream.read(&mut chunk[..room.min(1024)])?;
        self.over = count == 0; // the end, or a head that is too long at a time when none is answered
        if self.held.is_empty() {
            self.since = now;
        }
        self.held.extend_from_slice(&chunk[..count]);
        Ok(())
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        while let Some(sending) = &mut self.sending {
            let (head, body) = (sending.head.len(), sending.body.len());
            if sending.sent == head + body {
                self.over = sending.close;
                (self.sending, self.since) = (None, now);
                break;
            }
            let rest = [&sending.head[sending.sent.min(head)..], &sending.body[sending.sent.saturating_sub(head)..]];
            match self.stream.write_vectored(&rest.map(IoSlice::new))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => sending.sent += count,
            }
        }
        Ok(())
    }

    /// The next request, if one is there and the one before it has been answered.
    pub(super) fn request(&mut self) -> Option<Request> {
        if self.over || self.sending.is_some() || self.held.is_empty() {
            return None;
        }
        let (request, length) = parse(&self.held)?;
        self.held.drain(..length);
        Some(request)
    }

    /// Sends an answer, as much of it as goes now.
    pub(super) fn answer(&mut self, answer: Answer, now: Instant) {
        let body = if answer.without_body { [][..].into() } else { Arc::clone(&answer.body) };
        self.sending = Some(Sending { head: head(&answer), body, sent: 0, close: answer.close });
        self.since = now;
        self.go_on(now);
    }
}

impl Visitor for Connection {
    fn socket(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn awaits(&self) -> Awaits {
        if self.sending.is_some() { Awaits::Taking } else { Awaits::Question }
    }

    fn since(&self) -> Instant {
        self.since
    }

    fn deadline(&self) -> Instant {
        self.since
            + match (&self.sending, self.held.is_empty()) {
                (Some(_), _) => METRICS_ANSWER_TIME_MAX,
                (None, false) => METRICS_HEAD_TIME_MAX,
                (None, true) => METRICS_IDLE_TIME_MAX,
            }
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn go_on(&mut self, now: Instant) {
        let went = if self.sending.is_some() { self.write(now) } else { self.read(now) };
        match went {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.over = true,
            Ok(()) => {}
        }
    }
}

fn head(answer: &Answer) -> Vec<u8> {
    let date = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap_or_default();
    let (status, kind, length) = (answer.status.words(), answer.kind, answer.body.len());
    let allow = if answer.status == Status::Method { "Allow: GET, HEAD\r\n" } else { "" };
    let close = if answer.close { "Connection: close\r\n" } else { "" };
    let fixed = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff";
    format!(
        "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{fixed}\r\n{allow}{close}\r\n"
    )
    .into_bytes()
}

/// A request and its length; `None` while there may be more of it.
fn parse(held: &[u8]) -> Option<(Request, usize)> {
    let refuse = |status| Some((Request { page: Err(status), without_body: false, close: true }, held.len()));
    let mut headers = [EMPTY_HEADER; METRICS_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(held) {
        Ok(httparse::Status::Complete(length)) => Some((understand(&request), length)),
        Ok(httparse::Status::Partial) if held.len() <= METRICS_HEAD_BYTES_MAX => None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => refuse(Status::TooLong),
        Err(_) => refuse(Status::Bad),
    }
}

fn understand(request: &httparse::Request<'_, '_>) -> Request {
    let has = |name, value: &str| request.headers.iter().any(|header| says(header, name, value));
    let named = |name: &str| request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    // RFC 9112 section 6.3: a request has a body if one of these says so; what is never read cannot be told from the next request
    let body =
        named("transfer-encoding").is_some() || named("content-length").is_some_and(|length| length.value != b"0");
    let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
    let method = request.method.unwrap_or_default();
    let page = match PAGES.iter().find(|(name, _)| *name == path) {
        _ if body => Err(Status::Bad),
        _ if !["GET", "HEAD"].contains(&method) => Err(Status::Method),
        Some((_, page)) => Ok(*page),
        None => Err(Status::NotFound),
    };
    Request {
        page,
        without_body: method == "HEAD",
        close: body || request.version == Some(0) || has("connection", "close"),
    }
}

/// Whether a header is `name` and lists `value`.
fn says(header: &Header<'_>, name: &str, value: &str) -> bool {
    let listed = |list: &str| list.split(',').any(|one| one.trim().eq_ignore_ascii_case(value));
    header.name.eq_ignore_ascii_case(name) && std::str::from_utf8(header.value).is_ok_and(listed)
}
