//! The head of an HTTP/1 message: its first line and the headers that anything is done with.
//!
//! In: contiguous bytes. Out: borrowed views. Lenient as clients and servers are: bare line feeds, folded lines, spaces
//! and tabs where they do not belong (RFC 9112 sections 2.2 and 5). Never here: a body.

use super::Verdict;
use super::http_coding::Codings;
use crate::limits::{EMPTY_LINE_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_HOSTS_MAX, HTTP_METHOD_BYTES_MAX};

/// A target this long without its line's end is taken for HTTP on the strength of a known method.
const LINE_BYTES_SURE: usize = 512;

const KNOWN_METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PATCH", b"PROPFIND"];

/// What first bytes look like: a request line, a status line, or neither.
pub(super) fn recognise(bytes: &[u8]) -> Verdict {
    // RFC 9112, 2.2: empty lines before a request line are to be ignored
    let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = &bytes[empty..];
    if bytes.is_empty() {
        return if empty <= EMPTY_LINE_BYTES_MAX { Verdict::Later } else { Verdict::Other };
    }
    let start = b"HTTP/";
    if bytes.len() <= start.len() && start.starts_with(bytes) {
        return Verdict::Later;
    }
    if bytes.starts_with(start) {
        // Servers have claimed versions that they did not speak; only the digit matters.
        return if bytes.get(start.len()).is_some_and(u8::is_ascii_digit) { Verdict::Server } else { Verdict::Other };
    }
    let line = bytes.iter().position(|&byte| byte == b'\n').and_then(|end| bytes.get(..end));
    match line {
        Some(line) => match RequestLine::of(line) {
            Some(request) if request.is_plausible() => Verdict::Client,
            _ => Verdict::Other,
        },
        None => recognise_beginning(bytes),
    }
}

fn recognise_beginning(bytes: &[u8]) -> Verdict {
    let Some(end) = bytes.iter().position(|&byte| byte == b' ' || byte == b'\t') else {
        return if is_method(bytes) { Verdict::Later } else { Verdict::Other };
    };
    let (method, target) = bytes.split_at(end);
    let early = target.get(..target.len().min(64)).unwrap_or_default();
    if !is_method(method) || early.iter().any(|&byte| byte < b' ' && byte != b'\r' && byte != b'\t') {
        return Verdict::Other;
    }
    match bytes.len() {
        ..=LINE_BYTES_SURE => Verdict::Later,
        _ if KNOWN_METHODS.contains(&method) => Verdict::Client,
        _ => Verdict::Other,
    }
}

/// Letters for the most part; methods have been made of other bytes to see what comes of it.
fn is_method(bytes: &[u8]) -> bool {
    let odd = |&byte: &u8| byte <= b' ' || byte == 0x7f || byte == b':';
    !bytes.is_empty() && bytes.len() <= HTTP_METHOD_BYTES_MAX && !bytes.iter().any(odd)
}

fn is_http(protocol: &[u8]) -> bool {
    protocol.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/"))
}

/// `GET /path HTTP/1.1`
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) protocol: &'a [u8],
}

impl<'a> RequestLine<'a> {
    /// The host and port that the target itself names, if it does (RFC 9112, 3.2.2 and 3.2.3).
    pub(super) fn host_of_target(&self) -> &'a [u8] {
        match self.method {
            b"CONNECT" => self.target,
            _ if is_absolute(self.target) => authority(self.target),
            _ => b"",
        }
    }

    fn of(line: &'a [u8]) -> Option<Self> {
        let line = line.trim_ascii();
        let (method, rest) = split_blank(line)?;
        let rest = rest.trim_ascii();
        let last = rest.iter().rposition(|&byte| byte == b' ' || byte == b'\t');
        let (target, protocol) = match last {
            Some(at) => rest.split_at(at),
            None => (rest, &[][..]),
        };
        let (target, protocol) = (target.trim_ascii_end(), protocol.trim_ascii());
        // Blanks belong to a target as they do for servers, but not to the host and port of a tunnel.
        let target = if method == b"CONNECT" { split_blank(target).map_or(target, |(host, _)| host) } else { target };
        Some(RequestLine { method, target, protocol })
    }

    /// Names the protocol at its end; or, in the manner of HTTP/0.9 and of senders who forget half, names none but has a
    /// known method. The preface of HTTP/2 (RFC 9113 section 3.4) is another protocol's.
    fn is_plausible(&self) -> bool {
        let names = is_http(self.protocol) && self.method != b"PRI" && is_method(self.method);
        let forgets = self.protocol.is_empty() && (self.target.starts_with(b"/") || is_http(self.target));
        names || forgets && KNOWN_METHODS.contains(&self.method)
    }
}

/// `HTTP/1.1 200 OK`
pub(super) struct StatusLine<'a> {
    pub(super) protocol: &'a [u8],
    pub(super) status: u16,
}

impl<'a> StatusLine<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let (protocol, rest) = split_blank(line.trim_ascii())?;
        let rest = rest.trim_ascii_start();
        let digits = rest.get(..rest.len().min(3)).unwrap_or_default();
        let status = leading_number(digits).and_then(|status| u16::try_from(status).ok())?;
        is_http(protocol).then_some(StatusLine { protocol, status })
    }
}

fn split_blank(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == b' ' || byte == b'\t')?;
    bytes.split_at_checked(at)
}

/// Where a head ends, looking from `from` on: the length up to and with the empty line.
pub(super) fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == b'\n')? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

/// The headers that anything is done with, as they were sent; the first of each name but for hosts and codings.
#[derive(Default)]
pub(super) struct Headers<'a> {
    hosts: [&'a [u8]; HTTP_HOSTS_MAX],
    pub(super) user_agent: Option<&'a [u8]>,
    pub(super) referer: Option<&'a [u8]>,
    pub(super) forwarded_for: Option<&'a [u8]>,
    pub(super) location: Option<&'a [u8]>,
    pub(super) content_type: Option<&'a [u8]>,
    pub(super) content_range: Option<&'a [u8]>,
    pub(super) content_codings: Codings,
    pub(super) transfer_codings: Codings,
    pub(super) content_length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) upgrade: bool,
    /// The upgrade is to frames of RFC 6455.
    pub(super) websocket: bool,
}

/// A whole head: its first line and the headers behind it.
pub(super) struct Head<'a> {
    line: &'a [u8],
    pub(super) headers: Headers<'a>,
}

impl<'a> Head<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let (line, mut rest) = split_line(bytes);
        let mut headers = Headers::default();
        for _ in 0..HTTP_HEADERS_MAX {
            let (line, behind) = split_folded(rest);
            if line.is_empty() {
                break;
            }
            headers.take(line);
            rest = behind;
        }
        Head { line, headers }
    }

    pub(super) fn request(&self) -> Option<RequestLine<'a>> {
        RequestLine::of(self.line)
    }

    pub(super) fn status(&self) -> Option<StatusLine<'a>> {
        StatusLine::of(self.line)
    }
}

impl<'a> Headers<'a> {
    /// The first Host header that is not empty.
    pub(super) fn host(&self) -> Option<&'a [u8]> {
        self.hosts.first().copied().filter(|host| !host.is_empty())
    }

    /// The others that say something else: whom a server takes a request for is its own choice.
    pub(super) fn other_hosts(&self) -> impl Iterator<Item = &'a [u8]> {
        self.hosts.into_iter().skip(1).filter(|host| !host.is_empty())
    }

    fn take_host(&mut self, value: &'a [u8]) {
        if self.hosts.iter().any(|host| host.eq_ignore_ascii_case(value)) {
            return;
        }
        if let Some(place) = self.hosts.iter_mut().find(|host| host.is_empty()) {
            *place = value;
        }
    }

    fn take(&mut self, line: &'a [u8]) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        let (name, value) = line.split_at(colon);
        let (name, value) = (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii());
        // The length decides first: most headers are none of these.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.take_host(value),
            7 if name.eq_ignore_ascii_case(b"referer") => self.referer = self.referer.or(Some(value)),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade = true;
                self.websocket = value.eq_ignore_ascii_case(b"websocket");
            }
            8 if name.eq_ignore_ascii_case(b"location") => self.location = self.location.or(Some(value)),
            10 if name.eq_ignore_ascii_case(b"user-agent") => self.user_agent = self.user_agent.or(Some(value)),
            12 if name.eq_ignore_ascii_case(b"content-type") => self.content_type = self.content_type.or(Some(value)),
            13 if name.eq_ignore_ascii_case(b"content-range") => {
                self.content_range = self.content_range.or(Some(value))
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.content_length = self.content_length.or(whole_number(value));
            }
            15 if name.eq_ignore_ascii_case(b"x-forwarded-for") => {
                self.forwarded_for = self.forwarded_for.or(Some(value));
            }
            16 if name.eq_ignore_ascii_case(b"content-encoding") => self.content_codings.take(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.chunked |= contains(value, b"chunked");
                self.transfer_codings.take(value);
            }
            _ => {}
        }
    }
}

/// A length; one with anything else in its value, or beyond what a signed counter holds, is ignored by most readers.
fn whole_number(value: &[u8]) -> Option<u64> {
    let all_digits = value.iter().all(u8::is_ascii_digit);
    leading_number(value).filter(|&number| all_digits && number <= i64::MAX as u64)
}

/// The decimal number at the beginning of a value.
fn leading_number(value: &[u8]) -> Option<u64> {
    let digits = value.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn contains(value: &[u8], word: &[u8]) -> bool {
    value.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// A line without its end, and what follows.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(at) = bytes.iter().position(|&byte| byte == b'\n') else { return (bytes, &[]) };
    let (line, rest) = bytes.split_at(at);
    (line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..).unwrap_or_default())
}

/// A line with the lines that continue it (RFC 9112 section 5.2), and what follows.
fn split_folded(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (mut line, mut rest) = split_line(bytes);
    while !line.is_empty() && matches!(rest.first(), Some(b' ' | b'\t')) {
        rest = split_line(rest).1;
        line = bytes.get(..bytes.len() - rest.len()).unwrap_or(bytes);
    }
    (line, rest)
}

pub(super) fn is_absolute(target: &[u8]) -> bool {
    target.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http://"))
        || target.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https://"))
}

/// Splits an absolute target behind its scheme into authority and path with query.
pub(super) fn split_absolute(target: &[u8]) -> (&[u8], &[u8]) {
    let behind = target.iter().position(|&byte| byte == b':').map_or(0, |colon| colon + 3);
    let rest = target.get(behind..).unwrap_or_default();
    rest.split_at(rest.iter().position(|&byte| byte == b'/' || byte == b'?').unwrap_or(rest.len()))
}

/// Host and port of an absolute target, without the user before them.
fn authority(target: &[u8]) -> &[u8] {
    let (authority, _) = split_absolute(target);
    authority.rsplit(|&byte| byte == b'@').next().unwrap_or(authority)
}
