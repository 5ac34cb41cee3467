//! All that a sensor sends, as the wire has it before TLS: a relay in front of the stand-in centre that writes down every byte.
//!
//! In: connections of a sensor. Out: what each of them sent, and the messages in it, unpacked. Never here: an answer of its own.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::delivery::centre::running::TOKEN;
use crate::delivery::centre::server::{Behaviour, Server};

/// A centre behind a relay.
pub struct Uplink {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    _folder: TempDir,
}

/// One request.
pub struct Message {
    /// Its first line.
    pub line: String,
    /// Its body, unpacked.
    pub body: Vec<u8>,
}

impl Uplink {
    /// Starts both, in the calling thread's network.
    pub fn start() -> Uplink {
        let folder = TempDir::new().expect("a folder");
        let server = Server::open(&folder.path().to_owned(), TOKEN, Behaviour::default()).expect("a centre");
        let (centre, to) = bound();
        thread::spawn(move || server.serve(centre, None));
        let (front, address) = bound();
        let sent: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&sent);
        thread::spawn(move || {
            for client in front.incoming().flatten() {
                let centre = TcpStream::connect(to).expect("the centre listens");
                let place = {
                    let mut kept = kept.lock().expect("no one died");
                    kept.push(Vec::new());
                    kept.len() - 1
                };
                let (mut back, mut forth) =
                    (centre.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
                thread::spawn(move || {
                    let _the_client_may_go_first = io::copy(&mut back, &mut forth);
                    let _gone = forth.shutdown(Shutdown::Write);
                });
                let kept = Arc::clone(&kept);
                thread::spawn(move || {
                    passed(client, centre, |bytes| kept.lock().expect("no one died")[place].extend(bytes))
                });
            }
        });
        Uplink { address, sent, _folder: folder }
    }

    /// What to put under `centre.url`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every byte that was sent, but for the token that the centre asks for, and every body unpacked.
    pub fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for connection in self.sent.lock().expect("no one died").iter() {
            all.extend(without_token(connection));
        }
        self.messages().iter().for_each(|message| all.extend(&message.body));
        all
    }

    /// What was sent, request by request.
    pub fn messages(&self) -> Vec<Message> {
        self.sent.lock().expect("no one died").iter().flat_map(|connection| requests(connection)).collect()
    }

    /// The alerts among it, each as it was sent.
    pub fn records(&self) -> Vec<Value> {
        let alerts = self.messages().into_iter().filter(|message| message.line.contains("/alerts"));
        let batches = alerts.map(|message| serde_json::from_slice::<Value>(&message.body).expect("JSON"));
        batches.flat_map(|batch| batch["records"].as_array().expect("records").clone()).collect()
    }
}

fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn passed(mut from: TcpStream, mut to: TcpStream, keep: impl Fn(&[u8])) {
    let mut room = [0; 4096];
    while let Ok(size @ 1..) = from.read(&mut room) {
        keep(&room[..size]);
        if to.write_all(&room[..size]).is_err() {
            break;
        }
    }
    let _gone = to.shutdown(Shutdown::Write);
}

/// The head of the first request in these bytes, and how long it is.
fn head(bytes: &[u8]) -> Option<(String, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some((String::from_utf8_lossy(&bytes[..end]).into_owned(), end))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let found = head.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then_some(value)
    });
    found.map(str::trim)
}

fn requests(mut bytes: &[u8]) -> Vec<Message> {
    let mut all = Vec::new();
    while let Some((head, end)) = head(bytes) {
        let length: usize = field(&head, "content-length").map_or(0, |length| length.parse().expect("a length"));
        assert!(
            field(&head, "transfer-encoding").is_none(),
            "a body whose length is not said is not read here: {head}"
        );
        let Some(body) = bytes.get(end..end + length) else { break };
        let body = match field(&head, "content-encoding") {
            None => body.to_vec(),
            Some("zstd") => zstd::decode_all(body).expect("what was packed can be unpacked"),
            Some(other) => panic!("packed as {other}: nobody would see what is in it"),
        };
        all.push(Message { line: head.lines().next().unwrap_or_default().to_owned(), body });
        bytes = &bytes[end + length..];
    }
    all
}

/// The one place where the token belongs is taken out; anywhere else it stays and is found.
fn without_token(bytes: &[u8]) -> Vec<u8> {
    let header = format!("Bearer {TOKEN}");
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(header.as_bytes()) {
            at += header.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}
