//! What stands between a sensor and a server and does not always do as it should: it passes requests on, and keeps answers to itself
//! or takes its time. In: connections. Out: connections. Never here: an answer of its own, but where a script says all of them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A request's head and body.
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

/// What becomes of a request: the answer's bytes, or none and the connection ends.
type Answer = dyn Fn(&Request) -> Option<Vec<u8>> + Send + Sync;

/// Somebody on loopback who is asked by HTTP.
pub struct Relay {
    /// The port.
    pub port: u16,
    /// Requests so far.
    pub requests: Arc<AtomicU64>,
}

impl Relay {
    /// Answers as it is told.
    pub fn scripted(answer: impl Fn(&Request) -> Option<Vec<u8>> + Send + Sync + 'static) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (requests, answer): (Arc<AtomicU64>, Arc<Answer>) = (Arc::default(), Arc::new(answer));
        let count = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                thread::spawn(move || serve(stream, &*answer, &count));
            }
        });
        Relay { port, requests }
    }

    /// Passes on to this port; of the first `lost` POSTs the answers are lost, and every answer takes `pause`.
    pub fn to(port: u16, lost: u64, pause: Duration) -> Relay {
        let left = AtomicU64::new(lost);
        Relay::scripted(move |request| {
            let answer = passed_on(port, request);
            thread::sleep(pause);
            let one_less = |left: u64| left.checked_sub(1);
            let loses = request.head.starts_with("POST ")
                && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
            answer.filter(|_| !loses)
        })
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, count: &AtomicU64) {
    let Some(request) = read(&mut stream) else { return };
    count.fetch_add(1, Ordering::SeqCst);
    if let Some(bytes) = answer(&request) {
        let _ = stream.write_all(&bytes);
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16_384]);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
            let wanted: usize = head.lines().find_map(length).unwrap_or(0);
            if bytes.len() >= end + 4 + wanted {
                return Some(Request { head, body: bytes[end + 4..].to_vec() });
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Asks the real one; its answer whole, which ends with the connection.
fn passed_on(port: u16, request: &Request) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(request.head.as_bytes()).ok()?;
    stream.write_all(b"\r\nConnection: close\r\n\r\n").ok()?;
    stream.write_all(&request.body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer).filter(|answer| !answer.is_empty())
}

/// An answer of TAXII.
pub fn taxii(status: &str, body: &str) -> Option<Vec<u8>> {
    let kind = "application/taxii+json;version=2.1";
    Some(
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}
