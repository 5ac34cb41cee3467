//! HTTP/1 (RFC 9112), both directions of one connection.
//!
//! In: contiguous bytes of either side. Out: an `http` observation at each request's head (everything that is looked up
//! is in it, whether or not an answer ever comes), another at each response's head, a `fileinfo` at each body's end.
//! Never here: a copy of a body, a decoded content coding.

use std::collections::VecDeque;

use super::http_body::{Body, Framing};
use super::http_head::{self, Head, Headers, RequestLine, StatusLine};
use super::{Read, Stream, Verdict, Wants};
use crate::limits::{HTTP_ASKED_MAX, HTTP_HEAD_BYTES_MAX, HTTP_KEPT_BYTES_MAX, HTTP_URL_KEPT_BYTES_MAX};
use crate::observable::{Event, Field, Form, Kind, Observations, Saying, Side, Stage, digest, domain, url};

static HTTP: Event = Event { name: "http", app_proto: None };
static FILEINFO: Event = Event { name: "fileinfo", app_proto: Some("http") };

static HOSTNAME: Field = Field::sought("http.hostname", &domain::KINDS);
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
    Done,
    Lost,
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
            Side::Server => {
                if self.response(&head, wants, out) {
                    return Step::Done;
                }
            }
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

    /// Reads a response's head; true if what follows is no HTTP any more.
    fn response(&mut self, head: &Head<'_>, wants: Wants, out: &mut Observations) -> bool {
        let Some(line) = head.status() else {
            self.halves[Side::Server.index()].body = Some(Body::new(Framing::Close, false));
            return false;
        };
        let asks = self.asked.front().map_or(Asks::Content, |asked| asked.asks);
        self.say_response(out, &line, &head.headers, wants);
        let has_body = head.headers.chunked || head.headers.content_length.is_some_and(|len| len > 0);
        let framing = match (line.status, asks) {
            (101, _) if head.headers.upgrade => return true,
            // RFC 9110 section 15.2 allows no body here; servers that send one say so.
            (100, _) => return false,
            (101..=199, _) if !has_body => return false,
            (200..=299, Asks::Tunnel) => return true,
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
        false
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
    if asked.host.0 < asked.host.1 {
        saying.field(&HOSTNAME, span(text, asked.host));
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
        let named = match asks {
            Asks::Tunnel => line.target,
            _ if absolute => authority(line.target),
            _ => b"",
        };
        let host = host.filter(|host| !host.is_empty()).unwrap_or(named);
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

fn is_absolute(target: &[u8]) -> bool {
    target.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http://"))
        || target.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https://"))
}

/// Splits an absolute target behind its scheme into authority and path with query.
fn split_absolute(target: &[u8]) -> (&[u8], &[u8]) {
    let behind = target.iter().position(|&byte| byte == b':').map_or(0, |colon| colon + 3);
    let rest = target.get(behind..).unwrap_or_default();
    rest.split_at(rest.iter().position(|&byte| byte == b'/' || byte == b'?').unwrap_or(rest.len()))
}

fn authority(target: &[u8]) -> &[u8] {
    let (authority, _) = split_absolute(target);
    authority.rsplit(|&byte| byte == b'@').next().unwrap_or(authority)
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
