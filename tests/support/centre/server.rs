//! The stand-in's server: HTTP/1.1 over TLS on loopback, one thread per connection. In: messages. Out: answers, each
//! given only after the ledger is on the disk, and a line per alert for whoever watches.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::contract::{Contract, Refusal};
use super::ledger::Ledger;
use super::receipts::{Signer, Signing};

const CONNECTIONS_MAX: u64 = 64;
const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
const IDLE_MAX: Duration = Duration::from_secs(120);

/// The signs of life that were heard, a line each.
pub const HEARTBEATS: &str = "heartbeats.jsonl";

/// When each batch was on the disk, in microseconds since 1970, a line for each of the ledger's; only where that is asked for.
pub const COMMITS: &str = "commits";

/// How the stand-in behaves.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Behaviour {
    /// Kill the process between commit and answer of this batch, counted from 1; 0: never.
    pub fail_after_commit: u64,
    /// Answer 422 for records whose id is one of these.
    pub refuse: Vec<String>,
    /// Answer so many batches with 503 and Retry-After first.
    pub busy: u64,
    /// Answer 413 to batches of more records than this; 0: never.
    pub records_max: usize,
    /// Answer 400 to batches with records whose id is one of these, and name none.
    pub poison: Vec<String>,
    /// Answer 400 to every batch.
    pub refuse_all: bool,
    /// Answer 415 to batches that are packed.
    pub plain: bool,
    /// Answer this instead of what is committed, in turn, to the first batches.
    pub lies: Vec<Value>,
    /// Keep batches as they come, unread: for measuring how fast the other side can be.
    pub unread: bool,
    /// Wait before each answer.
    pub slow: Duration,
    /// What becomes of receipts.
    pub signing: Signing,
    /// Print a line per alert.
    pub print: bool,
    /// Write down when each batch was committed.
    pub timed: bool,
}

/// The centre.
pub struct Server {
    contract: Contract,
    ledger: Mutex<Ledger>,
    signer: Signer,
    token: String,
    directory: PathBuf,
    behaviour: Behaviour,
    batches: AtomicU64,
    connections: AtomicU64,
}

/// A request, read whole.
struct Request {
    line: String,
    authorized: bool,
    packed: bool,
    body: Vec<u8>,
}

struct Answer(u16, Option<Value>);

impl Server {
    /// Opens the ledger in `directory`.
    pub fn open(directory: &PathBuf, token: &str, behaviour: Behaviour) -> io::Result<Server> {
        std::fs::create_dir_all(directory)?;
        Ok(Server {
            contract: Contract::shipped(),
            ledger: Mutex::new(Ledger::open(directory)?),
            signer: Signer::open(directory, behaviour.signing)?,
            token: token.to_owned(),
            directory: directory.clone(),
            behaviour,
            batches: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        })
    }

    /// Serves for ever.
    pub fn serve(self, listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
        let server = Arc::new(self);
        for stream in listener.incoming() {
            let (stream, server, tls) = (stream?, Arc::clone(&server), tls.clone());
            if server.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                server.connections.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            std::thread::spawn(move || {
                let _ = server.connection(stream, tls); // a client that goes away in the middle is no event
                server.connections.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Ok(())
    }

    fn connection(&self, stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE_MAX))?;
        stream.set_write_timeout(Some(IDLE_MAX))?;
        stream.set_nodelay(true)?;
        match tls {
            Some(config) => {
                let connection = ServerConnection::new(config).map_err(io::Error::other)?;
                self.talk(StreamOwned::new(connection, stream))
            }
            None => self.talk(stream),
        }
    }

    fn talk(&self, mut stream: impl Read + Write) -> io::Result<()> {
        let mut held = Vec::new();
        while let Some(request) = self.read(&mut stream, &mut held)? {
            let Answer(status, body) = match request {
                Ok(request) => self.answer(&request)?,
                Err(answer) => answer,
            };
            std::thread::sleep(self.behaviour.slow);
            let body = body.map(|body| body.to_string()).unwrap_or_default();
            let retry = if matches!(status, 429 | 503) { "Retry-After: 1\r\n" } else { "" };
            let (length, date) = (body.len(), date());
            let head = format!(
                "HTTP/1.1 {status} \r\nDate: {date}\r\nContent-Type: application/json\r\n\
                 {retry}Content-Length: {length}\r\n\r\n"
            );
            stream.write_all((head + &body).as_bytes())?;
            stream.flush()?;
        }
        Ok(())
    }

    /// One request; `None` at the end of the connection.
    fn read(&self, stream: &mut impl Read, held: &mut Vec<u8>) -> io::Result<Option<Result<Request, Answer>>> {
        let (mut request, start, length) = loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut parsed = httparse::Request::new(&mut headers);
            match parsed.parse(held).map_err(io::Error::other)? {
                httparse::Status::Complete(start) => break self.head(&parsed, start)?,
                httparse::Status::Partial if held.len() > HEAD_BYTES_MAX => return Err(io::Error::other("long head")),
                httparse::Status::Partial if fill(stream, held)? == 0 => return Ok(None),
                httparse::Status::Partial => {}
            }
        };
        if length > BODY_BYTES_MAX {
            return Err(io::Error::other("long body"));
        }
        while held.len() < start + length {
            if fill(stream, held)? == 0 {
                return Ok(None);
            }
        }
        request.body = held[start..start + length].to_vec();
        held.drain(..start + length);
        Ok(Some(Ok(request)))
    }

    fn head(&self, parsed: &httparse::Request<'_, '_>, start: usize) -> io::Result<(Request, usize, usize)> {
        let find = |name: &str| {
            let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| String::from_utf8_lossy(header.value).into_owned())
        };
        let line = format!("{} {}", parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
        let length = find("content-length").and_then(|text| text.parse().ok()).unwrap_or_default();
        let authorized = find("authorization") == Some(format!("Bearer {}", self.token));
        let packed = find("content-encoding").is_some_and(|form| form == "zstd");
        Ok((Request { line, authorized, packed, body: Vec::new() }, start, length))
    }

    fn answer(&self, request: &Request) -> io::Result<Answer> {
        if !request.authorized {
            return Ok(refuse(401, "the token is missing or wrong"));
        }
        if request.packed && self.behaviour.plain {
            return Ok(refuse(415, "nothing packed"));
        }
        let unpacked = request.packed.then(|| zstd::bulk::decompress(&request.body, BODY_BYTES_MAX));
        let Ok(unpacked) = unpacked.transpose() else {
            return Ok(refuse(400, "not zstd"));
        };
        let bytes = unpacked.as_ref().unwrap_or(&request.body);
        if self.behaviour.unread && request.line == "POST /v1/alerts" {
            return self.keep_unread(bytes);
        }
        let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
            return Ok(refuse(400, "not JSON"));
        };
        match request.line.as_str() {
            "POST /v1/alerts" => self.alerts(&body, bytes),
            "POST /v1/heartbeat" => Ok(match self.contract.heartbeat(&body).map(|()| self.keep(bytes)) {
                Ok(()) if self.behaviour.signing == Signing::None => Answer(204, None),
                Ok(()) => Answer(200, Some(self.signer.sign(&body, bytes, json!({})))),
                Err(refusal) => refuse(400, &refusal.error),
            }),
            _ => Ok(refuse(404, "no such place")),
        }
    }

    fn alerts(&self, batch: &Value, bytes: &[u8]) -> io::Result<Answer> {
        let number = self.batches.fetch_add(1, Ordering::SeqCst) + 1;
        if number <= self.behaviour.busy {
            return Ok(refuse(503, "busy"));
        }
        let records = batch["records"].as_array().map_or(0, Vec::len);
        if self.behaviour.records_max > 0 && records > self.behaviour.records_max {
            return Ok(refuse(413, "too many records"));
        }
        if self.behaviour.refuse_all || self.holds(batch, &self.behaviour.poison).is_some() {
            return Ok(refuse(400, "something is wrong"));
        }
        if let Some(lie) = self.behaviour.lies.get(number as usize - 1) {
            return Ok(Answer(200, Some(lie.clone())));
        }
        if let Err(Refusal { error, index }) = self.contract.batch(batch).and_then(|()| self.refused(batch)) {
            let status = if index.is_some() { 422 } else { 400 };
            return Ok(Answer(status, Some(json!({"error": error, "index": index}))));
        }
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let new = ledger.commit(batch)?;
        if number == self.behaviour.fail_after_commit {
            die();
        }
        let committed = ledger.committed(batch);
        if self.behaviour.timed {
            self.append(COMMITS, jiff::Timestamp::now().as_microsecond().to_string().as_bytes());
        }
        drop(ledger);
        self.show(batch, &new);
        Ok(Answer(200, Some(self.signer.sign(batch, bytes, json!({"committed": committed})))))
    }

    /// Commits a batch of which only the head is looked at.
    fn keep_unread(&self, batch: &[u8]) -> io::Result<Answer> {
        #[derive(Deserialize, Serialize)]
        struct Head {
            site: String,
            sensor: String,
            ledger: Value,
            through: u64,
        }
        let head: Head = serde_json::from_slice(batch)?;
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).keep(batch)?;
        let committed = json!({"committed": head.through});
        Ok(Answer(200, Some(self.signer.sign(&serde_json::to_value(head)?, batch, committed))))
    }

    /// Keeps a sign of life for whoever tests.
    fn keep(&self, heartbeat: &[u8]) {
        self.append(HEARTBEATS, heartbeat);
    }

    /// A line more, for whoever tests.
    fn append(&self, name: &str, line: &[u8]) {
        let kept = std::fs::OpenOptions::new().append(true).create(true).open(self.directory.join(name));
        let _ = kept.and_then(|mut file| file.write_all(&[line, b"\n"].concat()));
    }

    /// The records that it was told to refuse.
    fn refused(&self, batch: &Value) -> Result<(), Refusal> {
        match self.holds(batch, &self.behaviour.refuse) {
            Some(index) => Err(Refusal { error: "told to refuse this one".to_owned(), index: Some(index) }),
            None => Ok(()),
        }
    }

    /// Which record has one of these ids.
    fn holds(&self, batch: &Value, ids: &[String]) -> Option<usize> {
        let records = batch["records"].as_array().map_or(&[][..], Vec::as_slice);
        records.iter().position(|record| ids.iter().any(|id| record["id"] == id.as_str()))
    }

    fn show(&self, batch: &Value, new: &[Value]) {
        if !self.behaviour.print {
            return;
        }
        let mut out = io::stdout().lock();
        for record in new {
            let text = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
            let (site, mode) = (batch["site"].as_str().unwrap_or("-"), batch["mode"].as_str().unwrap_or("-"));
            let (time, tlp, id) = (text("timestamp"), text("tlp"), text("id"));
            let line =
                format!("{time}  {site}  {mode}  TLP:{tlp}  {}  [{id} rev {}]", text("signature"), record["revision"]);
            let _ = writeln!(out, "{line}");
        }
    }
}

fn fill(stream: &mut impl Read, held: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 16 * 1024];
    let count = stream.read(&mut chunk)?;
    held.extend_from_slice(&chunk[..count]);
    Ok(count)
}

/// As RFC 9110 section 5.6.7 wants it.
fn date() -> String {
    let now = jiff::Timestamp::now();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap_or_default()
}

fn refuse(status: u16, error: &str) -> Answer {
    Answer(status, Some(json!({"error": error})))
}

/// As a power cut would: nothing is flushed, nobody is told.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// Where a listener ended up, told to whoever started the process.
pub fn announce(address: SocketAddr) {
    println!("listening on {address}");
    let _ = io::stdout().flush();
}
