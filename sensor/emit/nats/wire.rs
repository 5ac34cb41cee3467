//! The NATS client protocol, as far as a publisher needs it: bytes of a connection in, operations out, and back. Never here: a
//! socket, or what an operation is for.
//!
//! Text lines, each ended by CRLF; a message's bytes follow its line. What another server version adds to a line's JSON is passed
//! over; a line that is none of these, or too long, is a fault of the connection.

use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::limits::{ANSWER_BYTES_MAX, NATS_LINE_BYTES_MAX};

/// What the server says of itself, of its first line.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct Info {
    /// Whether messages may have headers.
    pub headers: bool,
    /// The longest message, headers included, in bytes.
    pub max_payload: usize,
    /// Whether it goes on over TLS alone.
    pub tls_required: bool,
}

/// A message to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Where it was sent.
    pub subject: String,
    /// The status in its headers' first line: 503 when nobody hears what was asked.
    pub status: Option<u16>,
    /// Without headers.
    pub payload: Vec<u8>,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Info(Info),
    Ping,
    Pong,
    Ok,
    Error(String),
    Message(Message),
}

/// What was read and not yet understood.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    /// Where the next operation begins.
    at: usize,
}

impl Incoming {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether all of it was understood.
    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next operation; `None`: it is not whole yet.
    ///
    /// # Errors
    /// What is there is not the protocol: nothing behind it can be understood either.
    pub fn next(&mut self) -> Result<Option<Said>, String> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().take(NATS_LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
            return match rest.len() < NATS_LINE_BYTES_MAX {
                true => Ok(None),
                false => Err(format!("a line of more than {NATS_LINE_BYTES_MAX} bytes")),
            };
        };
        let line = String::from_utf8_lossy(&rest[..end]);
        let (verb, words) = line.trim_end().split_once([' ', '\t']).unwrap_or((line.trim_end(), ""));
        let (said, taken) = match verb.to_ascii_uppercase().as_str() {
            "PING" => (Said::Ping, end + 1),
            "PONG" => (Said::Pong, end + 1),
            "+OK" => (Said::Ok, end + 1),
            "-ERR" => (Said::Error(words.trim().trim_matches('\'').to_owned()), end + 1),
            "INFO" => {
                let info = serde_json::from_str(words).map_err(|error| format!("INFO that is none: {error}"))?;
                (Said::Info(info), end + 1)
            }
            "MSG" | "HMSG" => match message(verb, words, &rest[end + 1..])? {
                Some((message, taken)) => (Said::Message(message), end + 1 + taken),
                None => return Ok(None),
            },
            _ => return Err("what comes is not the NATS protocol".to_owned()),
        };
        self.at += taken;
        Ok(Some(said))
    }
}

/// A message whose line has been read: `subject sid [reply] [bytes of headers] bytes`; and how many bytes it took.
fn message(verb: &str, words: &str, rest: &[u8]) -> Result<Option<(Message, usize)>, String> {
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    let number = |back: usize| {
        let word = words.len().checked_sub(back).and_then(|at| words.get(at));
        word.and_then(|word| word.parse::<usize>().ok()).ok_or_else(|| "a message without its length".to_owned())
    };
    let has_headers = verb.eq_ignore_ascii_case("HMSG");
    let (total, headers) = (number(1)?, if has_headers { number(2)? } else { 0 });
    if total as u64 > ANSWER_BYTES_MAX || headers > total || words.len() < 3 + usize::from(has_headers) {
        return Err(format!("a message of {total} bytes, {headers} of them headers"));
    }
    let Some(whole) = rest.get(..total + 2) else { return Ok(None) };
    if &whole[total..] != b"\r\n" {
        return Err("a message that does not end where it says".to_owned());
    }
    let first = whole[..headers].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let status = String::from_utf8_lossy(first).split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok());
    let payload = whole[headers..total].to_vec();
    Ok(Some((Message { subject: words[0].to_owned(), status, payload }, total + 2)))
}

/// The client's first line.
pub(super) fn connect(out: &mut Vec<u8>, name: &str, is_secured: bool) {
    #[derive(Serialize)]
    struct Connect<'a> {
        verbose: bool,
        pedantic: bool,
        tls_required: bool,
        lang: &'a str,
        version: &'a str,
        protocol: u8,
        name: &'a str,
        echo: bool,
        headers: bool,
        no_responders: bool,
    }
    let said = Connect {
        verbose: false,
        pedantic: false,
        tls_required: is_secured,
        lang: "rust",
        version: env!("CARGO_PKG_VERSION"),
        protocol: 1,
        name,
        echo: false,
        headers: true,
        no_responders: true,
    };
    put(out, format_args!("CONNECT {}\r\n", serde_json::to_string(&said).unwrap_or_default()));
}

/// Hears a subject.
pub(super) fn subscribe(out: &mut Vec<u8>, subject: &str, number: u8) {
    put(out, format_args!("SUB {subject} {number}\r\n"));
}

/// Asks for a sign that all before it was heard.
pub(super) fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PING\r\n");
}

/// Answers.
pub(super) fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\r\n");
}

/// Publishes; `reply` is where an answer is to be sent.
pub(super) fn publish(out: &mut Vec<u8>, subject: &str, reply: Option<&str>, headers: &[(&str, &str)], payload: &[u8]) {
    let mut head = Vec::new();
    if !headers.is_empty() {
        head.extend_from_slice(b"NATS/1.0\r\n");
        for (name, value) in headers {
            put(&mut head, format_args!("{name}: {value}\r\n"));
        }
        head.extend_from_slice(b"\r\n");
    }
    let (reply, total) = (reply.map(|reply| format!("{reply} ")).unwrap_or_default(), head.len() + payload.len());
    match head.len() {
        0 => put(out, format_args!("PUB {subject} {reply}{total}\r\n")),
        length => put(out, format_args!("HPUB {subject} {reply}{length} {total}\r\n")),
    }
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    let _infallible = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALK: &[u8] = b"INFO {\"headers\":true,\"max_payload\":1048576,\"new\":[1]}\r\n+OK\r\nPING\r\nPONG\r\n\
        -ERR 'Permissions Violation for Publish to \"x\"'\r\nMSG a.b 1 5\r\nhe\r\no\r\n\
        MSG a.b 1 re.ply 0\r\n\r\nHMSG c 2 16 18\r\nNATS/1.0 503\r\n\r\nxy\r\n";

    fn all(incoming: &mut Incoming) -> Result<Vec<Said>, String> {
        std::iter::from_fn(|| incoming.next().transpose()).collect()
    }

    fn expected() -> Vec<Said> {
        let message = |subject: &str, status, payload: &[u8]| {
            Said::Message(Message { subject: subject.to_owned(), status, payload: payload.to_vec() })
        };
        vec![
            Said::Info(Info { headers: true, max_payload: 1_048_576, tls_required: false }),
            Said::Ok,
            Said::Ping,
            Said::Pong,
            Said::Error("Permissions Violation for Publish to \"x\"".to_owned()),
            message("a.b", None, b"he\r\no"),
            message("a.b", None, b""),
            message("c", Some(503), b"xy"),
        ]
    }

    #[test]
    fn operations_are_the_same_however_their_bytes_come() {
        for piece in 1..TALK.len() {
            let mut incoming = Incoming::default();
            let said: Vec<Said> = TALK
                .chunks(piece)
                .flat_map(|bytes| {
                    incoming.push(bytes);
                    all(&mut incoming).unwrap()
                })
                .collect();
            assert_eq!(said, expected(), "{piece} bytes at a time");
            assert!(incoming.is_empty());
        }
    }

    #[test]
    fn what_is_not_the_protocol_is_a_fault_and_nothing_else() {
        let mut long = vec![b'x'; NATS_LINE_BYTES_MAX];
        long.push(b'\n');
        let wrong: [&[u8]; 9] = [
            b"HTTP/1.1 400 Bad Request\r\n",
            b"MSG a 1\r\n",
            b"MSG a 1 99999999999\r\n",
            b"MSG a 1 -1\r\n",
            b"HMSG a 1 9 3\r\nabc\r\n",
            b"MSG a 1 1\r\nabc\r\n",
            b"INFO {\r\n",
            b"MSG 1 1\r\nx\r\n",
            &long,
        ];
        for bytes in wrong {
            let mut incoming = Incoming::default();
            incoming.push(bytes);
            assert!(incoming.next().is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn no_cut_and_no_changed_byte_makes_it_panic() {
        for at in 0..TALK.len() {
            for byte in [0, b' ', b'\n', b'9', 0xff] {
                let mut bytes = TALK.to_vec();
                bytes[at] = byte;
                let mut incoming = Incoming::default();
                incoming.push(&bytes);
                let _any = all(&mut incoming);
            }
        }
    }

    #[test]
    fn what_is_published_says_its_lengths() {
        let mut out = Vec::new();
        publish(&mut out, "alert.a", Some("in.1"), &[("Nats-Msg-Id", "x"), ("B", "y")], b"{}");
        publish(&mut out, "beat.a", None, &[], b"{}");
        let text = "HPUB alert.a in.1 36 38\r\nNATS/1.0\r\nNats-Msg-Id: x\r\nB: y\r\n\r\n{}\r\nPUB beat.a 2\r\n{}\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}
