//! HTTP/1 (RFC 9112), both directions of one connection.
//!
//! In: contiguous bytes of either side. Out: an `http` observation at each request's head (everything that is looked up
//! is in it, whether or not an answer ever comes), another at each response's head, a `fileinfo` at each body's end.
//! Never here: a copy of a body, a decoded content coding.

use std::collections::VecDeque;

use super::http_body::{Body, Framing};
use super::http_head::{self, Head, Headers, RequestLine, StatusLine, is_absolute, split_absolute};
use super::{Read, Stream, Verdict, Wants};
use crate::limits::{HTTP_ASKED_MAX, HTTP_HEAD_BYTES_MAX, HTTP_KEPT_BYTES_MAX, HTTP_URL_KEPT_BYTES_MAX};
use crate::observable::{Event, Field, Form, Kind, Observations, Saying, Side, Stage, digest, domain, url};

static HTTP: Event = Event { name: "http", app_proto: None };
static FILEINFO: Event = Event { name: "fileinfo", app_proto: Some("http") };

static HOSTNAME: Field = Field::sought("http.hostname", &domain::KINDS);
/// Another name in the target than in the Host header: looked up, not printed, as EVE has one place for a host.
static HOSTNAME_OF_TARGET: Field = Field::sought("http.hostname", &domain::KINDS).at("");
/// The whole URL is looked up; EVE has a place for its parts only, so it is not printed.
static FULL_URL: Field = Field::sought("http.url", &url::KINDS).at("");
static HOSTNAME_CONTEXT: Field = Field::plain("http.hostname", Form::Text);
static PORT: Field = Field::plain("http.http_port", Form::Number);
static URL: Field = Field::plain("http.url", Form::Text);
static USER_AGENT: Field = Field::plain("http.http_user_agent", Form::Text);
static REFERER: Field = Field::plain("http.http_refer", Form::Text);
static METHOD: Field = Field::plain("http.http_method", Form::Text);
static PROTOCOL: Field = Field::plain("http.protocol", Form::Text);
static CONTENT_TYPE: Field = Field::plain("http.http_content_type", Form::Text);
static STATUS: Field = Field::plain("http.status", Form::Number);
static LENGTH: Field = Field::plain("http.length", Form::Number);

static SHA256_KINDS: [&Kind; 1] = [&digest::SHA256];
static FILENAME: Field = Field::plain("fileinfo.filename", Form::Text);
static GAPS: Field = Field::plain("fileinfo.gaps", Form::Flag);
static STATE: Field = Field::plain("fileinfo.state", Form::Text);
static SHA256: Field = Field::sought("fileinfo.sha256", &SHA256_KINDS);
static SIZE: Field = Field::plain("fileinfo.size", Form::Number);

/// One connection.
#[derive(Default)]
pub struct Conversation {
    halves: [Half; 2],
    /// Requests whose answers have not ended, in order.
    asked: VecDeque<Asked>,
    /// Requests behind those, of which nothing but their number is known.
    asked_more: u32,
    /// The texts of `asked`, one behind the other.
    kept: Vec<u8>,
}

#[derive(Default)]
struct Half {
    /// How much of an unfinished head was searched for its end.
    searched: usize,
    body: Option<Body>,
}

/// A request that waits for its answer. Its text in `kept` is `[http://host[:port]]target method`, its spans count from
/// the beginning of that text.
#[derive(Clone, Copy, Default)]
struct Asked {
    /// Length of the whole text; 0: nothing was kept.
    len: usize,
    host: (usize, usize),
    target: (usize, usize),
    method: (usize, usize),
    port: Option<u16>,
    asks: Asks,
}

/// What a method means for the answer's body.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Asks {
    #[default]
    Content,
    HeadOnly,
    Tunnel,
}

enum Step {
    Took(usize),
    /// What follows in both directions is no HTTP any more.
    Over(usize),
    Done,
    Lost,
}

/// What comes behind a response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    Http,
    /// Another conversation, from its first byte.
    Other,
    /// Another conversation inside frames (RFC 6455 section 5) that nobody here reads.
    Frames,
}

impl Stream for Conversation {
    const NAME: &'static str = "http";

    fn recognise(bytes: &[u8], _ports: (u16, u16)) -> Verdict {
        http_head::recognise(bytes)
    }

    fn read(&mut self, side: Side, bytes: &[u8], wants: Wants, out: &mut Observations) -> Read {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.step(side, rest, wants, out) {
                Step::Took(0) => break,
                Step::Took(taken) => rest = rest.get(taken..).unwrap_or_default(),
                Step::Over(taken) => return Read::Over(bytes.len() - rest.len() + taken),
                Step::Done => return Read::Done,
                Step::Lost => return Read::Lost,
            }
        }
        Read::Took(bytes.len() - rest.len())
    }

    /// Behind a gap that a body cannot count, the next bytes that look like a head are read as one.
    fn gap(&mut self, side: Side, len: u64, wants: Wants, out: &mut Observations) -> Read {
        let half = &mut self.halves[side.index()];
        half.searched = 0;
        if half.body.as_mut().is_some_and(|body| !body.gap(len) || body.has_ended()) {
            self.finish(side, wants, out);
        }
        Read::Took(0)
    }

    fn end(&mut self, side: Side, wants: Wants, out: &mut Observations) {
        self.finish(side, wants, out);
    }

    fn clear(&mut self) {
        let (mut kept, mut asked) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.asked));
        kept.clear();
        asked.clear();
        *self = Conversation { kept, asked, ..Default::default() };
    }
}

impl Conversation {
    fn step(&mut self, side: Side, bytes: &[u8], wants: Wants, out: &mut Observations) -> Step {
        if let Some(body) = &mut self.halves[side.index()].body {
            let taken = body.read(bytes);
            if !body.has_ended() {
                return Step::Took(taken);
            }
            self.finish(side, wants, out);
            if taken > 0 {
                return Step::Took(taken);
            }
        }
        self.head(side, bytes, wants, out)
    }

    fn head(&mut self, side: Side, bytes: &[u8], wants: Wants, out: &mut Observations) -> Step {
        let blank = bytes.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
        if blank > 0 {
            return Step::Took(blank);
        }
        let half = &mut self.halves[side.index()];
        match (http_head::recognise(bytes), side) {
            (Verdict::Later, _) => return Step::Took(0),
            (Verdict::Client, Side::Client) | (Verdict::Server, Side::Server) => {}
            // Who asked for a tunnel and says something else is inside it, whether or not the answer was seen.
            (_, Side::Client) if self.asked.back().is_some_and(|asked| asked.asks == Asks::Tunnel) => {
                return Step::Over(0);
            }
            // Not the beginning of anything: what comes next may be.
            _ => return Step::Took(bytes.len()),
        }
        let Some(end) = http_head::end_of_head(bytes, half.searched.saturating_sub(3)) else {
            half.searched = bytes.len();
            return if bytes.len() > HTTP_HEAD_BYTES_MAX { Step::Lost } else { Step::Took(0) };
        };
        half.searched = 0;
        let head = Head::of(bytes.get(..end).unwrap_or(bytes));
        match side {
            Side::Client => self.request(&head, wants, out),
            Side::Server => match self.response(&head, wants, out) {
                Follows::Http => {}
                Follows::Other => return Step::Over(end),
                Follows::Frames => return Step::Done,
            },
        }
        Step::Took(end)
    }

    fn request(&mut self, head: &Head<'_>, wants: Wants, out: &mut Observations) {
        let Some(line) = head.request() else { return };
        let from = self.kept.len();
        let asked = Asked::keep(&mut self.kept, &line, head.headers.host);
        say_request(out, &line, &head.headers, &asked, self.kept.get(from..).unwrap_or_default());
        self.remember(asked, from, wants);
        let framing = match head.headers {
            Headers { chunked: true, .. } => Framing::ChunkSize,
            Headers { content_length: Some(len @ 1..), .. } => Framing::Length(len),
            _ => return,
        };
        self.halves[Side::Client.index()].body = Some(Body::new(framing, wants.sha256));
    }

    fn remember(&mut self, mut asked: Asked, from: usize, wants: Wants) {
        let is_room = self.asked_more == 0 && self.asked.len() < HTTP_ASKED_MAX;
        let is_short = asked.len <= HTTP_URL_KEPT_BYTES_MAX && from <= HTTP_KEPT_BYTES_MAX;
        if !is_room || !is_short || !(wants.events || wants.sha256) {
            self.kept.truncate(from);
            asked = Asked { asks: asked.asks, ..Asked::default() };
        }
        if is_room {
            self.asked.push_back(asked);
        } else {
            self.asked_more = self.asked_more.saturating_add(1);
        }
    }

    /// Reads a response's head.
    fn response(&mut self, head: &Head<'_>, wants: Wants, out: &mut Observations) -> Follows {
        let Some(line) = head.status() else {
            self.halves[Side::Server.index()].body = Some(Body::new(Framing::Close, false));
            return Follows::Http;
        };
        let asks = self.asked.front().map_or(Asks::Content, |asked| asked.asks);
        self.say_response(out, &line, &head.headers, wants);
        let has_body = head.headers.chunked || head.headers.content_length.is_some_and(|len| len > 0);
        let framing = match (line.status, asks) {
            (101, _) if head.headers.websocket => return Follows::Frames,
            (101, _) if head.headers.upgrade => return Follows::Other,
            // RFC 9110 section 15.2 allows no body here; servers that send one say so.
            (100, _) => return Follows::Http,
            (101..=199, _) if !has_body => return Follows::Http,
            (200..=299, Asks::Tunnel) => return Follows::Other,
            (204 | 304, _) | (_, Asks::HeadOnly) => Framing::Ended,
            _ => match head.headers {
                Headers { chunked: true, .. } => Framing::ChunkSize,
                Headers { content_length: Some(0), .. } => Framing::Ended,
                Headers { content_length: Some(len), .. } => Framing::Length(len),
                _ => Framing::Close,
            },
        };
        self.halves[Side::Server.index()].body = Some(Body::new(framing, wants.sha256));
        if framing == Framing::Ended {
            self.finish(Side::Server, wants, out);
        }
        Follows::Http
    }

    fn say_response(&self, out: &mut Observations, line: &StatusLine<'_>, headers: &Headers<'_>, wants: Wants) {
        let saying = &mut out.begin(&HTTP, Side::Server);
        saying.stage(Stage::Data);
        if wants.events {
            self.say_context(saying, self.asked.front());
        }
        saying.field(&PROTOCOL, line.protocol).number(&STATUS, u64::from(line.status));
        if let Some(kind) = headers.content_type.and_then(|kind| kind.split(|&byte| byte == b';').next()) {
            saying.field(&CONTENT_TYPE, kind.trim_ascii_end());
        }
        if let Some(len) = headers.content_length {
            saying.number(&LENGTH, len);
        }
    }

    /// What was asked, where it was kept. Only the first and the last of the requests are ever told of.
    fn say_context(&self, saying: &mut Saying<'_>, asked: Option<&Asked>) {
        let Some((asked, text)) = asked.and_then(|asked| Some((asked, self.text(asked)?))) else { return };
        if asked.host.0 < asked.host.1 {
            saying.field(&HOSTNAME_CONTEXT, span(text, asked.host));
        }
        if let Some(port) = asked.port {
            saying.number(&PORT, u64::from(port));
        }
        saying.field(&URL, span(text, asked.target)).field(&METHOD, span(text, asked.method));
    }

    fn text(&self, asked: &Asked) -> Option<&[u8]> {
        let is_first = self.asked.front().is_some_and(|first| std::ptr::eq(first, asked));
        let from = if is_first { 0 } else { self.kept.len().checked_sub(asked.len)? };
        self.kept.get(from..from + asked.len).filter(|text| !text.is_empty())
    }

    /// Says a side's body, if it has one open, and turns to its next head.
    fn finish(&mut self, side: Side, wants: Wants, out: &mut Observations) {
        let Some(mut body) = self.halves[side.index()].body.take() else { return };
        let asked = if side == Side::Client { self.asked.back() } else { self.asked.front() };
        let sha256 = body.sha256();
        if body.size() > 0 && (wants.events || sha256.is_some()) {
            let saying = &mut out.begin(&FILEINFO, side);
            if side == Side::Server {
                saying.stage(Stage::Data);
            }
            self.say_context(saying, asked);
            if let Some((asked, text)) = asked.and_then(|asked| Some((asked, self.text(asked)?))) {
                saying.field(&FILENAME, path(span(text, asked.target)));
            }
            saying.flag(&GAPS, body.has_gaps());
            saying.field(&STATE, if body.is_whole() { b"CLOSED" } else { b"TRUNCATED" });
            if let Some(hex) = sha256 {
                saying.field(&SHA256, &hex);
            }
            saying.number(&SIZE, body.size());
        }
        if side == Side::Server {
            self.answered();
        }
    }

    /// The first request has its answer.
    fn answered(&mut self) {
        match self.asked.pop_front() {
            Some(asked) => drop(self.kept.drain(..asked.len.min(self.kept.len()))),
            None => self.asked_more = self.asked_more.saturating_sub(1),
        }
    }
}

fn say_request(out: &mut Observations, line: &RequestLine<'_>, headers: &Headers<'_>, asked: &Asked, text: &[u8]) {
    let saying = &mut out.begin(&HTTP, Side::Client);
    saying.stage(Stage::Data); // a request is what the connection was for
    if asked.host.0 < asked.host.1 {
        saying.field(&HOSTNAME, span(text, asked.host));
    }
    // whoever obeys RFC 9112, 3.2.2 goes where the target says, whatever the Host header says: both are looked up
    let (target_host, _) = split_port(line.host_of_target());
    if !target_host.is_empty() && !target_host.eq_ignore_ascii_case(span(text, asked.host)) {
        saying.field(&HOSTNAME_OF_TARGET, target_host);
    }
    if let Some(port) = asked.port {
        saying.number(&PORT, u64::from(port));
    }
    saying.field(&URL, line.target);
    if asked.asks != Asks::Tunnel && (line.target.starts_with(b"/") && asked.target.0 > 0 || is_absolute(line.target)) {
        saying.field(&FULL_URL, span(text, (0, asked.target.1)));
    }
    for (field, value) in [(&USER_AGENT, headers.user_agent), (&REFERER, headers.referer)] {
        if let Some(value) = value {
            saying.field(field, value);
        }
    }
    saying.field(&METHOD, line.method).field(&PROTOCOL, line.protocol);
}

impl Asked {
    fn keep(kept: &mut Vec<u8>, line: &RequestLine<'_>, host: Option<&[u8]>) -> Self {
        let from = kept.len();
        let absolute = is_absolute(line.target);
        let asks = match line.method {
            b"HEAD" => Asks::HeadOnly,
            b"CONNECT" => Asks::Tunnel,
            _ => Asks::Content,
        };
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| line.host_of_target());
        let (name, port) = split_port(host);
        let mut asked = Asked { port, asks, ..Asked::default() };
        if !host.is_empty() {
            kept.extend_from_slice(b"http://");
            asked.host = (kept.len() - from, kept.len() - from + name.len());
            kept.extend_from_slice(host);
        }
        if absolute {
            // The target is the URL; the host, if another, stands behind it.
            kept.truncate(from);
            kept.extend_from_slice(line.target);
            asked.target = (0, line.target.len());
            asked.host = (line.target.len(), line.target.len() + name.len());
            kept.extend_from_slice(name);
        } else {
            asked.target = (kept.len() - from, kept.len() - from + line.target.len());
            kept.extend_from_slice(line.target);
        }
        asked.method = (kept.len() - from, kept.len() - from + line.method.len());
        kept.extend_from_slice(line.method);
        asked.len = kept.len() - from;
        asked
    }
}

fn span(text: &[u8], (start, end): (usize, usize)) -> &[u8] {
    text.get(start..end).unwrap_or_default()
}

/// The path of a target, for a file's name.
fn path(target: &[u8]) -> &[u8] {
    let path = if is_absolute(target) { split_absolute(target).1 } else { target };
    path.split(|&byte| byte == b'?').next().unwrap_or(path)
}

/// A host without its port; a bare IPv6 address is left whole.
fn split_port(host: &[u8]) -> (&[u8], Option<u16>) {
    let from = host.iter().position(|&byte| byte == b']').unwrap_or(0);
    let mut colons = host.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b':');
    let (Some((at, _)), None) = (colons.next(), colons.next()) else { return (host, None) };
    let (name, port) = host.split_at(at);
    let port = port.get(1..).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    (name, port)
}

#[cfg(test)]
mod tests {
    use super::super::told::{self, Part, client, server};
    use super::*;
    use proptest::prelude::*;

    const GET: &str =
        "GET /a?b=c HTTP/1.1\r\nHost: Lure.example.kr:8080\r\nUser-Agent: x/1\r\nReferer: http://r/\r\n\r\n";
    const ASKED: &str = "http client data http.hostname=Lure.example.kr http.http_port=8080 http.url=/a?b=c \
                         http.url=http://Lure.example.kr:8080/a?b=c http.http_user_agent=x/1 http.http_refer=http://r/ \
                         http.http_method=GET http.protocol=HTTP/1.1";
    const CONTEXT: &str = "http.hostname=Lure.example.kr http.http_port=8080 http.url=/a?b=c http.http_method=GET";
    /// SHA-256 of `hello`.
    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn file(lines: &[String]) -> &str {
        lines.iter().find(|line| line.starts_with("fileinfo")).map_or("", |line| line)
    }

    fn answer(bytes: &str) -> Vec<String> {
        told::of::<Conversation>(&[client(GET), server(bytes)])
    }

    fn long_conversation() -> Vec<Part> {
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nT: 1\r\n\r\n";
        vec![
            client([GET, "HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n", GET].concat()),
            server([chunked, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"].concat()),
            server("HTTP/1.1 404 No\r\nContent-Length: 5\r\nContent-Type: text/html; charset=x\r\n\r\nhello"),
            client("POST /up HTTP/1.1\nHost: h\nContent-Length: 5\nExpect: 100-continue\n\n"),
            server("HTTP/1.1 100 Continue\r\n\r\n"),
            client("hello"),
            server("HTTP/1.1 200 OK\r\n\r\nhello"),
        ]
    }

    #[test]
    fn empty_lines_before_a_request_hide_nothing() {
        assert_eq!(told::of::<Conversation>(&[client(format!("\r\n\r\n{GET}"))]), [ASKED]);
        assert_eq!(http_head::recognise(b"\r\n"), Verdict::Later);
        assert_eq!(http_head::recognise(format!("\n{GET}").as_bytes()), Verdict::Client);
    }

    #[test]
    fn a_request_is_said_before_any_answer() {
        assert_eq!(told::of::<Conversation>(&[client(GET)]), [ASKED]);
    }

    #[test]
    fn an_answer_repeats_what_was_asked() {
        let lines = answer("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(lines[1], format!("http server data {CONTEXT} http.protocol=HTTP/1.1 http.status=204"));
    }

    #[test]
    fn an_answer_alone_is_said() {
        let lines = told::of::<Conversation>(&[server("HTTP/1.0 200 OK\r\n\r\nhello")]);
        assert_eq!(lines[0], "http server data http.protocol=HTTP/1.0 http.status=200");
        assert!(lines[1].contains(HELLO));
    }

    #[test]
    fn a_body_ends_by_length_by_chunks_or_with_its_connection() {
        for head in [
            "Content-Length: 5\r\n\r\nhello",
            "Transfer-Encoding:\r\n chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "\r\nhello",
        ] {
            let expected = format!(
                "fileinfo server data {CONTEXT} fileinfo.filename=/a fileinfo.gaps=0 fileinfo.state=CLOSED \
                 fileinfo.sha256={HELLO} fileinfo.size=5"
            );
            assert_eq!(file(&answer(&format!("HTTP/1.1 200 OK\r\n{head}"))), expected, "{head}");
        }
    }

    #[test]
    fn a_body_that_stays_short_has_no_digest() {
        let line = file(&answer("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")).to_owned();
        assert!(line.ends_with("fileinfo.gaps=0 fileinfo.state=TRUNCATED fileinfo.size=5"), "{line}");
    }

    #[test]
    fn pipelined_answers_find_their_requests() {
        let lines = told::of::<Conversation>(&long_conversation());
        let answers: Vec<_> = lines.iter().filter(|line| line.starts_with("http server")).collect();
        let expected = [
            "GET http.protocol=HTTP/1.1 http.status=200",
            "HEAD http.protocol=HTTP/1.1 http.status=200",
            "GET http.protocol=HTTP/1.1 http.status=404",
            "POST http.protocol=HTTP/1.1 http.status=100",
            "POST http.protocol=HTTP/1.1 http.status=200",
        ];
        assert_eq!(answers.len(), expected.len());
        for (line, part) in answers.iter().zip(expected) {
            assert!(line.contains(part), "{line}\n{part}");
        }
        assert_eq!(lines.iter().filter(|line| line.contains(HELLO)).count(), 4);
        assert!(lines.iter().any(|line| line.contains("http_content_type=text/html http.length=5")));
    }

    #[test]
    fn more_requests_than_are_kept_are_still_counted() {
        let count = HTTP_ASKED_MAX + 3;
        let head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(count);
        let lines = told::of::<Conversation>(&[
            client(head),
            server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(count)),
            client(GET),
            server("HTTP/1.1 200 OK\r\n\r\n"),
        ]);
        assert!(lines.last().is_some_and(|line| line.contains(CONTEXT)));
    }

    #[test]
    fn a_gap_in_a_body_is_counted_off() {
        let parts = [
            client([GET, GET].concat()),
            server("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"),
            Part::Gap(Side::Server, 40),
            server("worldHTTP/1.1 404 No\r\n\r\n"),
        ];
        let lines = told::of::<Conversation>(&parts);
        assert!(file(&lines).ends_with("fileinfo.gaps=1 fileinfo.state=TRUNCATED fileinfo.size=50"));
        assert!(lines.last().is_some_and(|line| line.contains("http.status=404")));
    }

    #[test]
    fn behind_a_gap_between_messages_the_next_head_is_found() {
        let parts = [client(&GET[..30]), Part::Gap(Side::Client, 700), client("x: y\r\n\r\n"), client(GET)];
        assert_eq!(told::of::<Conversation>(&parts), [ASKED]);
    }

    #[test]
    fn behind_tunnels_and_upgrades_something_else_begins() {
        let connect = "CONNECT h.kr:443 HTTP/1.1\r\nHost: h.kr:443\r\n\r\n";
        let parts = [client(connect), server("HTTP/1.1 200 OK\r\n\r\n")];
        let (lines, last) = told::conversation::<Conversation>(&parts, &[], told::ALL);
        assert_eq!(last, Read::Over(19));
        assert!(lines[0].contains("http.hostname=h.kr http.http_port=443 http.url=h.kr:443 http.http_method=CONNECT"));
        let parts = [client(GET), server("HTTP/1.1 101 x\r\nUpgrade: TLS/1.2\r\n\r\n")];
        assert_eq!(told::conversation::<Conversation>(&parts, &[], told::ALL).1, Read::Over(36));
        let parts = [client(GET), server("HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\n\r\n")];
        assert_eq!(told::conversation::<Conversation>(&parts, &[], told::ALL).1, Read::Done);
        let parts = [client(connect), client("\x16\x03\x01")];
        assert_eq!(told::conversation::<Conversation>(&parts, &[], told::ALL).1, Read::Over(0));
    }

    #[test]
    fn an_absolute_target_is_the_url() {
        let lines = told::of::<Conversation>(&[client("GET http://u@a.kr:81/p?q HTTP/1.0\r\n\r\n")]);
        let expected = "http client data http.hostname=a.kr http.http_port=81 http.url=http://u@a.kr:81/p?q \
                        http.url=http://u@a.kr:81/p?q http.http_method=GET http.protocol=HTTP/1.0";
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn a_target_with_another_host_than_the_host_header_is_looked_up_as_well() {
        for request in [
            "GET http://bad.kr/p HTTP/1.1\r\nHost: good.kr\r\n\r\n",
            "CONNECT bad.kr:443 HTTP/1.1\r\nHost: good.kr\r\n\r\n",
        ] {
            let lines = told::of::<Conversation>(&[client(request)]);
            assert!(lines[0].contains("http.hostname=good.kr http.hostname=bad.kr "), "{}", lines[0]);
        }
    }

    #[test]
    fn ports_are_cut_off_hosts() {
        assert_eq!(split_port(b"a.kr:80"), (&b"a.kr"[..], Some(80)));
        assert_eq!(split_port(b"[2001:db8::1]:80"), (&b"[2001:db8::1]"[..], Some(80)));
        assert_eq!(split_port(b"2001:db8::1"), (&b"2001:db8::1"[..], None));
        assert_eq!(split_port(b"a.kr:"), (&b"a.kr"[..], None));
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let endless = "GET / HTTP/1.1\r\n".to_owned() + &"a: b\r\n".repeat(20_000);
        assert_eq!(told::conversation::<Conversation>(&[client(endless)], &[], told::ALL).1, Read::Lost);
    }

    #[test]
    fn without_a_want_for_files_bodies_are_passed_over() {
        let wants = Wants::default();
        let lines = told::conversation::<Conversation>(&long_conversation(), &[], wants).0;
        assert!(lines.iter().all(|line| line.starts_with("http ")));
    }

    proptest! {
        #[test]
        fn any_stream_is_survived(parts in told::any_parts(
            b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"
        )) {
            told::conversation::<Conversation>(&parts, &[13, 1], told::ALL);
        }

        #[test]
        fn cutting_a_stream_changes_nothing(cuts in proptest::collection::vec(1..90usize, 1..8)) {
            prop_assert_eq!(
                told::conversation::<Conversation>(&long_conversation(), &cuts, told::ALL),
                told::conversation::<Conversation>(&long_conversation(), &[], told::ALL)
            );
        }
    }
}
