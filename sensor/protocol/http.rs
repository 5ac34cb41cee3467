//! HTTP/1 (RFC 9112), both directions of one connection.
//!
//! In: contiguous bytes of either side. Out: an `http` observation at each request's head (everything that is looked up
//! is in it, whether or not an answer ever comes), another at each response's head, a `fileinfo` at each body's end.
//! Never here: a copy of a body.

use std::collections::VecDeque;

use super::http_asked::{Asked, Asks};
use super::http_body::{Body, Framing};
use super::http_coding::{Allowance, Trouble};
use super::http_content::Content;
use super::http_head::{self, Head, Headers};
use super::{Books, Read, Stream, Verdict, Wants, http_said};
use crate::limits::{
    DECODERS_BYTES_MAX, HTTP_ASKED_MAX, HTTP_HEAD_BYTES_MAX, HTTP_KEPT_BYTES_MAX, HTTP_URL_KEPT_BYTES_MAX,
};
use crate::observable::{Observations, Side};

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
    /// What decoders may make.
    allowance: Allowance,
    /// What they hold, as the shard's books have it.
    held: usize,
}

#[derive(Default)]
struct Half {
    /// How much of an unfinished head was searched for its end.
    searched: usize,
    body: Option<Body>,
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
            out.heed();
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

    fn settle(&mut self, books: &mut Books) {
        let mut held: usize = self.bodies().map(|body| body.held()).sum();
        books.decoders_bytes = books.decoders_bytes + held - self.held;
        if held > self.held && books.decoders_bytes > DECODERS_BYTES_MAX {
            for body in self.halves.iter_mut().filter_map(|half| half.body.as_mut()).filter(|body| body.held() > 0) {
                body.give_up(Trouble::Full, &mut self.allowance);
            }
            books.decoders_bytes -= std::mem::take(&mut held);
        }
        self.held = held;
        books.counts = books.counts.plus(std::mem::take(&mut self.allowance.lost));
    }

    /// What the books say of it stays until they are written again.
    fn clear(&mut self) {
        let (mut kept, mut asked) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.asked));
        kept.clear();
        asked.clear();
        let allowance = std::mem::take(&mut self.allowance).fresh();
        *self = Conversation { kept, asked, allowance, held: self.held, ..Default::default() };
    }
}

impl Conversation {
    fn step(&mut self, side: Side, bytes: &[u8], wants: Wants, out: &mut Observations) -> Step {
        if let Some(body) = &mut self.halves[side.index()].body {
            let taken = body.read(bytes, &mut self.allowance);
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
        let asked = Asked::keep(&mut self.kept, &line, head.headers.host());
        http_said::request(out, &line, &head.headers, &asked, &mut self.kept, from);
        self.remember(asked, from, wants);
        let framing = match head.headers {
            Headers { chunked: true, .. } => Framing::ChunkSize,
            Headers { content_length: Some(len @ 1..), .. } => Framing::Length(len),
            _ => return,
        };
        self.open_body(Side::Client, framing, &head.headers, wants);
    }

    fn open_body(&mut self, side: Side, framing: Framing, headers: &Headers<'_>, wants: Wants) {
        let (content, transfer) = (&headers.content_codings, &headers.transfer_codings);
        let content = Content::new(content, transfer, wants.digests, &mut self.allowance);
        self.halves[side.index()].body = Some(Body::new(framing, content));
    }

    /// The bodies that are open.
    fn bodies(&mut self) -> impl Iterator<Item = &mut Body> {
        self.halves.iter_mut().filter_map(|half| half.body.as_mut())
    }

    fn remember(&mut self, mut asked: Asked, from: usize, wants: Wants) {
        let is_room = self.asked_more == 0 && self.asked.len() < HTTP_ASKED_MAX;
        let is_short = asked.len <= HTTP_URL_KEPT_BYTES_MAX && from <= HTTP_KEPT_BYTES_MAX;
        if !is_room || !is_short || !(wants.events || wants.digests.any()) {
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
            self.halves[Side::Server.index()].body = Some(Body::new(Framing::Close, Content::default()));
            return Follows::Http;
        };
        let asks = self.asked.front().map_or(Asks::Content, |asked| asked.asks);
        http_said::response(out, self.context(self.asked.front(), wants.events), &line, &head.headers);
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
        self.open_body(Side::Server, framing, &head.headers, wants);
        if framing == Framing::Ended {
            self.finish(Side::Server, wants, out);
        }
        Follows::Http
    }

    /// What was asked, where it was kept. Only the first and the last of the requests are ever told of.
    fn context<'a>(&'a self, asked: Option<&'a Asked>, wanted: bool) -> http_said::Context<'a> {
        asked.filter(|_| wanted).and_then(|asked| Some((asked, self.text(asked)?)))
    }

    fn text(&self, asked: &Asked) -> Option<&[u8]> {
        let is_first = self.asked.front().is_some_and(|first| std::ptr::eq(first, asked));
        let from = if is_first { 0 } else { self.kept.len().checked_sub(asked.len)? };
        self.kept.get(from..from + asked.len).filter(|text| !text.is_empty())
    }

    /// Says a side's body, if it has one open, and turns to its next head.
    fn finish(&mut self, side: Side, wants: Wants, out: &mut Observations) {
        let Some(body) = self.halves[side.index()].body.take() else { return };
        let asked = if side == Side::Client { self.asked.back() } else { self.asked.front() };
        http_said::file(out, side, self.context(asked, true), body, wants.events);
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

#[cfg(test)]
mod tests {
    use super::super::http_coded::{gzip, zstd};
    use super::super::told::{self, Part, client, server};
    use super::super::{BodyCounts, Conversations, Digests, Spoken};
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

    fn answer_coded(head: &str, body: &[u8]) -> Vec<String> {
        let head = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n", body.len());
        told::of::<Conversation>(&[client(GET), server([head.as_bytes(), body].concat())])
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
    fn a_body_that_is_not_chunked_as_its_head_says_is_taken_as_sent() {
        let line = file(&answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello")).to_owned();
        assert!(line.ends_with(&format!("state=CLOSED fileinfo.sha256={HELLO} fileinfo.size=5")), "{line}");
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
        let parts = [client(connect), server("HTTP/1.1 200 OK\r\n\r\n"), client("\x16\x03\x01\x02\x00\x01")];
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
    fn a_coded_body_is_digested_as_it_decodes() {
        for (head, body) in [
            ("Content-Encoding: gzip\r\n", gzip(b"hello")),
            ("Content-Encoding: gzip\r\nContent-Encoding: zstd\r\n", zstd(&gzip(b"hello"))),
            ("Transfer-Encoding: gzip\r\n", gzip(b"hello")),
            ("Content-Encoding: identity\r\n", b"hello".to_vec()),
        ] {
            let line = file(&answer_coded(head, &body)).to_owned();
            assert!(line.ends_with(&format!("state=CLOSED fileinfo.sha256={HELLO} fileinfo.size=5")), "{head}: {line}");
        }
    }

    #[test]
    fn a_body_that_is_not_coded_as_its_head_says_is_taken_as_sent() {
        for coding in ["gzip", "deflate", "br", "zstd", "gzip, br"] {
            let line = file(&answer_coded(&format!("Content-Encoding: {coding}\r\n"), b"hello")).to_owned();
            assert!(
                line.ends_with(&format!("state=CLOSED fileinfo.sha256={HELLO} fileinfo.size=5")),
                "{coding}: {line}"
            );
        }
    }

    #[test]
    fn chunked_and_coded_with_trailers_cut_at_every_byte_gives_the_same_digest() {
        let coded = gzip(b"hello");
        let (before, behind) = coded.split_at(9);
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n9\r\n";
        let rest = format!("\r\n{:x}\r\n", behind.len());
        let end = b"\r\n0\r\nX-Sum: 1\r\n\r\n";
        let answer = [head.as_bytes(), before, rest.as_bytes(), behind, end].concat();
        let whole = told::of::<Conversation>(&[client(GET), server(&answer)]);
        assert!(file(&whole).contains(HELLO), "{whole:?}");
        for at in 1..answer.len() {
            let parts = [client(GET), server(&answer[..at]), server(&answer[at..])];
            assert_eq!(
                told::conversation::<Conversation>(&parts, &[GET.len(), at, answer.len()], told::ALL).0,
                whole,
                "{at}"
            );
        }
    }

    #[test]
    fn answers_without_bodies_open_no_decoder() {
        let coded = "Content-Encoding: gzip\r\nContent-Length: 50\r\n\r\n";
        let parts = [
            client(["HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", GET, GET].concat()),
            server(format!("HTTP/1.1 200 OK\r\n{coded}HTTP/1.1 304 No\r\n{coded}HTTP/1.1 204 No\r\n{coded}")),
        ];
        let lines = told::of::<Conversation>(&parts);
        assert_eq!(lines.iter().filter(|line| line.starts_with("http server")).count(), 3);
        assert_eq!(file(&lines), "");
    }

    #[test]
    fn the_digests_that_are_wanted_are_said() {
        let digests = Digests { md5: true, sha1: true, sha256: false };
        let parts = [client(GET), server("HTTP/1.1 206 P\r\nContent-Range: bytes 0-4/9\r\n\r\nhello")];
        let lines = told::conversation::<Conversation>(&parts, &[], Wants { digests, ..Wants::default() }).0;
        let expected = "fileinfo.md5=5d41402abc4b2a76b9719d911017c592 \
                        fileinfo.sha1=aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d fileinfo.size=5";
        assert!(file(&lines).ends_with(expected), "{lines:?}");
        let range = "http.content_range.raw=bytes 0-4/9 http.content_range.start=0 http.content_range.end=4 \
                     http.content_range.size=9";
        assert!(lines[1].contains(range), "{lines:?}");
    }

    /// What the books of a shard say after an answer whose body is cut off or whole.
    fn booked(head: &str, body: &[u8]) -> (BodyCounts, usize, String) {
        let (mut all, mut out) = (Conversations::default(), Observations::default());
        let handle = all.open(Spoken::http);
        let head = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n", body.len());
        all.read(Spoken::http, handle, Side::Server, &[head.as_bytes(), body].concat(), told::ALL, &mut out);
        let held = all.decoders_bytes();
        all.end(Spoken::http, handle, Side::Server, told::ALL, &mut out);
        all.close(Spoken::http, handle);
        assert_eq!(all.decoders_bytes(), 0);
        (all.bodies(), held, file(&told::lines(&out)).to_owned())
    }

    #[test]
    fn a_bomb_has_no_digest_and_is_counted() {
        let bomb = gzip(&vec![0; 4 << 20]);
        let (counts, held, line) = booked("Content-Encoding: gzip\r\n", &bomb);
        assert_eq!((counts, held), (BodyCounts { bombs: 1, ..BodyCounts::default() }, 0));
        assert!(line.contains("fileinfo.state=TRUNCATED fileinfo.size="), "{line}");
    }

    #[test]
    fn a_body_damaged_in_its_middle_has_no_digest_and_is_counted() {
        // a stored block of five bytes, then a block of the type that RFC 1951 section 3.2.3 has no meaning for
        let coded = [&gzip(b"")[..10], b"\x00\x05\x00\xfa\xffhello\x07more"].concat();
        let (counts, _, line) = booked("Content-Encoding: gzip\r\n", &coded);
        assert_eq!(counts, BodyCounts { damaged: 1, ..BodyCounts::default() });
        assert!(line.contains("fileinfo.state=TRUNCATED fileinfo.size=25"), "{line}");
    }

    #[test]
    fn decoders_of_a_shard_hold_no_more_than_they_may() {
        let (mut all, mut out) = (Conversations::default(), Observations::default());
        let answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b";
        let handles: Vec<u32> = (0..400)
            .map(|_| {
                let handle = all.open(Spoken::http);
                all.read(Spoken::http, handle, Side::Server, answer, told::ALL, &mut out);
                assert!(all.decoders_bytes() <= DECODERS_BYTES_MAX);
                handle
            })
            .collect();
        assert!(all.bodies().coding_full > 100 && all.bodies().coding_full < 250, "{:?}", all.bodies());
        handles.into_iter().for_each(|handle| all.close(Spoken::http, handle));
        assert_eq!(all.decoders_bytes(), 0);
    }

    #[test]
    fn of_several_host_headers_each_is_looked_up() {
        let request = "GET /p HTTP/1.1\r\nHost: good.kr\r\nhost: GOOD.kr\r\nHost: bad.kr:81\r\n\r\n";
        let lines = told::of::<Conversation>(&[client(request)]);
        let expected = "http client data http.hostname=good.kr http.url=/p http.url=http://good.kr/p \
                        http.hostname=bad.kr http.url=http://bad.kr:81/p http.http_method=GET http.protocol=HTTP/1.1";
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn a_host_that_is_an_address_is_looked_up_as_one() {
        for (host, address) in
            [("203.0.113.5", "203.0.113.5"), ("203.0.113.5:81", "203.0.113.5"), ("[2001:DB8::5]:81", "2001:db8::5")]
        {
            for request in [
                format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
                format!("GET http://{host}/ HTTP/1.1\r\nHost: good.kr\r\n\r\n"),
                format!("CONNECT {host} HTTP/1.1\r\n\r\n"),
            ] {
                let (mut state, mut out) = (Conversation::default(), Observations::default());
                state.read(Side::Client, request.as_bytes(), told::ALL, &mut out);
                let fields = out.fields(&out.list()[0]);
                let found = fields.iter().find(|seen| seen.field.kinds == crate::observable::address::KINDS);
                let found = found.and_then(|seen| crate::observable::address::from_bytes(out.raw(seen)));
                assert_eq!(found.map(|found| found.to_string()).as_deref(), Some(address), "{request}");
            }
        }
    }

    #[test]
    fn a_user_agent_is_looked_up_as_it_is_sent() {
        let (mut state, mut out) = (Conversation::default(), Observations::default());
        state.read(Side::Client, GET.as_bytes(), told::ALL, &mut out);
        let seen = out.fields(&out.list()[0]).iter().find(|seen| seen.field.name == "http.http_user_agent").unwrap();
        assert_eq!((seen.field.kinds[0].name, out.canonical(seen)), ("user_agent", &b"x/1"[..]));
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
        fn any_coded_body_is_survived(
            coding in 0..4_usize,
            body in proptest::collection::vec(any::<u8>(), 0..400),
            cuts in proptest::collection::vec(1..90usize, 1..8),
        ) {
            let coding = ["gzip", "deflate", "br", "zstd, gzip"][coding];
            let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n");
            let parts = [client(GET), server([head.as_bytes(), &body].concat())];
            let whole = told::conversation::<Conversation>(&parts, &[], told::ALL);
            prop_assert_eq!(told::conversation::<Conversation>(&parts, &cuts, told::ALL), whole);
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
