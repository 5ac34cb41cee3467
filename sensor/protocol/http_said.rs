//! What is said of HTTP/1: the fields of requests, answers and files, and which of them are looked up.
//!
//! In: heads and bodies as they were read. Out: observations. Never here: a byte that was not sent.

use std::net::IpAddr;

use super::http_asked::{Asked, Asks, path, span, split_port};
use super::http_body::Body;
use super::http_head::{Headers, RequestLine, StatusLine, is_absolute};
use crate::observable::{Event, Field, Form, Kind, Observations, Saying, Side, Stage, address, domain, plain, url};

static HTTP: Event = Event { name: "http", app_proto: None };
static FILEINFO: Event = Event { name: "fileinfo", app_proto: Some("http") };

static USER_AGENT_KINDS: [&Kind; 1] = [&plain::USER_AGENT];
static HOSTNAME: Field = Field::sought("http.hostname", &domain::KINDS);
/// Another name than the first Host header's: looked up, not printed, as EVE has one place for a host.
static HOSTNAME_MORE: Field = Field::sought("http.hostname", &domain::KINDS).at("");
/// A host that is an address.
static HOST_ADDRESS: Field = Field::sought("http.hostname", &address::KINDS).at("").address();
/// The whole URL is looked up; EVE has a place for its parts only, so it is not printed.
static FULL_URL: Field = Field::sought("http.url", &url::KINDS).at("");
static HOSTNAME_CONTEXT: Field = Field::plain("http.hostname", Form::Text);
static PORT: Field = Field::plain("http.http_port", Form::Number);
static URL: Field = Field::plain("http.url", Form::Text);
static USER_AGENT: Field = Field::sought("http.http_user_agent", &USER_AGENT_KINDS);
static FORWARDED_FOR: Field = Field::plain("http.xff", Form::Text);
static REFERER: Field = Field::plain("http.http_refer", Form::Text);
static METHOD: Field = Field::plain("http.http_method", Form::Text);
static PROTOCOL: Field = Field::plain("http.protocol", Form::Text);
static CONTENT_TYPE: Field = Field::plain("http.http_content_type", Form::Text);
static STATUS: Field = Field::plain("http.status", Form::Number);
static REDIRECT: Field = Field::plain("http.redirect", Form::Text);
static LENGTH: Field = Field::plain("http.length", Form::Number);
static RANGE_RAW: Field = Field::plain("http.content_range.raw", Form::Text);
static RANGE_START: Field = Field::plain("http.content_range.start", Form::Number);
static RANGE_END: Field = Field::plain("http.content_range.end", Form::Number);
static RANGE_SIZE: Field = Field::plain("http.content_range.size", Form::Number);

static FILENAME: Field = Field::plain("fileinfo.filename", Form::Text);
static GAPS: Field = Field::plain("fileinfo.gaps", Form::Flag);
static STATE: Field = Field::plain("fileinfo.state", Form::Text);
static SIZE: Field = Field::plain("fileinfo.size", Form::Number);

/// Says a request whose text is the last in `kept`, from `from` on; behind it other URLs are put together.
pub(super) fn request(
    out: &mut Observations,
    line: &RequestLine<'_>,
    headers: &Headers<'_>,
    asked: &Asked,
    kept: &mut Vec<u8>,
    from: usize,
) {
    let saying = &mut out.begin(&HTTP, Side::Client);
    saying.stage(Stage::Data); // a request is what the connection was for
    let text = kept.get(from..).unwrap_or_default();
    let first = span(text, asked.host);
    if !first.is_empty() {
        say_host(saying, &HOSTNAME, first);
    }
    // whoever obeys RFC 9112, 3.2.2 goes where the target says, whatever the Host header says: both are looked up
    let (of_target, _) = split_port(line.host_of_target());
    if !of_target.is_empty() && !of_target.eq_ignore_ascii_case(first) {
        say_host(saying, &HOSTNAME_MORE, of_target);
    }
    if let Some(port) = asked.port {
        saying.number(&PORT, u64::from(port));
    }
    saying.field(&URL, line.target);
    let is_path = asked.asks != Asks::Tunnel && line.target.starts_with(b"/");
    if is_path && asked.target.0 > 0 || asked.asks != Asks::Tunnel && is_absolute(line.target) {
        saying.field(&FULL_URL, span(text, (0, asked.target.1)));
    }
    for host in headers.other_hosts() {
        say_host(saying, &HOSTNAME_MORE, split_port(host).0);
        if is_path {
            let at = kept.len();
            [&b"http://"[..], host, line.target].iter().for_each(|part| kept.extend_from_slice(part));
            saying.field(&FULL_URL, kept.get(at..).unwrap_or_default());
            kept.truncate(at);
        }
    }
    for (field, value) in
        [(&USER_AGENT, headers.user_agent), (&FORWARDED_FOR, headers.forwarded_for), (&REFERER, headers.referer)]
    {
        if let Some(value) = value {
            saying.field(field, value);
        }
    }
    saying.field(&METHOD, line.method).field(&PROTOCOL, line.protocol);
}

/// A host is looked up as a name, and as an address if it is one.
fn say_host(saying: &mut Saying<'_>, field: &'static Field, host: &[u8]) {
    saying.field(field, host);
    let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
    match std::str::from_utf8(bare).ok().and_then(|text| text.parse().ok()) {
        Some(IpAddr::V4(four)) => saying.address(&HOST_ADDRESS, &four.octets()),
        Some(IpAddr::V6(six)) => saying.address(&HOST_ADDRESS, &six.octets()),
        None => saying,
    };
}

/// What was asked, with its text, where it was kept.
pub(super) type Context<'a> = Option<(&'a Asked, &'a [u8])>;

/// Says an answer's head.
pub(super) fn response(out: &mut Observations, context: Context<'_>, line: &StatusLine<'_>, headers: &Headers<'_>) {
    let saying = &mut out.begin(&HTTP, Side::Server);
    saying.stage(Stage::Data);
    say_context(saying, context);
    saying.field(&PROTOCOL, line.protocol).number(&STATUS, u64::from(line.status));
    if let Some(kind) = headers.content_type.and_then(|kind| kind.split(|&byte| byte == b';').next()) {
        saying.field(&CONTENT_TYPE, kind.trim_ascii_end());
    }
    if let Some(location) = headers.location {
        saying.field(&REDIRECT, location);
    }
    if let Some(range) = headers.content_range {
        say_range(saying, range);
    }
    if let Some(len) = headers.content_length {
        saying.number(&LENGTH, len);
    }
}

/// `bytes 0-499/1234`; a `*` says nothing (RFC 9110 section 14.4).
fn say_range(saying: &mut Saying<'_>, range: &[u8]) {
    saying.field(&RANGE_RAW, range);
    let numbers = range.split(|byte| !(byte.is_ascii_digit() || *byte == b'*')).filter(|number| !number.is_empty());
    for (field, number) in [&RANGE_START, &RANGE_END, &RANGE_SIZE].into_iter().zip(numbers) {
        if let Some(value) = std::str::from_utf8(number).ok().and_then(|digits| digits.parse().ok()) {
            saying.number(field, value);
        }
    }
}

/// Says a body that has ended, if events are wanted or it has digests.
pub(super) fn file(out: &mut Observations, side: Side, context: Context<'_>, mut body: Body, events: bool) {
    let digested = body.digested();
    if body.size() == 0 || !events && digested.is_none() {
        return;
    }
    let saying = &mut out.begin(&FILEINFO, side);
    if side == Side::Server {
        saying.stage(Stage::Data);
    }
    say_context(saying, context);
    if let Some((asked, text)) = context {
        saying.field(&FILENAME, path(span(text, asked.target)));
    }
    saying.flag(&GAPS, body.has_gaps());
    saying.field(&STATE, if body.is_whole() { b"CLOSED" } else { b"TRUNCATED" });
    if let Some(digested) = digested {
        digested.say(saying);
    }
    saying.number(&SIZE, body.size());
}

fn say_context(saying: &mut Saying<'_>, context: Context<'_>) {
    let Some((asked, text)) = context else { return };
    if asked.host.0 < asked.host.1 {
        saying.field(&HOSTNAME_CONTEXT, span(text, asked.host));
    }
    if let Some(port) = asked.port {
        saying.number(&PORT, u64::from(port));
    }
    saying.field(&URL, span(text, asked.target)).field(&METHOD, span(text, asked.method));
}
