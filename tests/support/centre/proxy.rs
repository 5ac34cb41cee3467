//! A bad line between sensor and centre: connections go in, and come out at the centre slowly, in part, or not at all. What it
//! does can be changed while it runs, for connections that are there, too.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What the line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Everything comes through.
    Good,
    /// So many bytes a second, each way.
    Slow(u64),
    /// Nothing comes through any more, and nobody is told: half open.
    Silent,
    /// Nothing of what the centre says comes through.
    Mute,
    /// Connections are broken off, and new ones as well.
    Cut,
}

/// A line that is there until the test ends.
pub struct Proxy {
    /// Where it takes connections.
    pub address: SocketAddr,
    line: Arc<Mutex<Line>>,
    /// Connections that were taken.
    pub taken: Arc<AtomicU64>,
}

/// What is passed on at once.
const CHUNK_BYTES: usize = 4096;

impl Proxy {
    /// A good line to this address.
    pub fn to(centre: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (line, taken) = (Arc::new(Mutex::new(Line::Good)), Arc::new(AtomicU64::new(0)));
        let (shared, count) = (Arc::clone(&line), Arc::clone(&taken));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                if now(&shared) != Line::Cut {
                    connect(stream, centre, &shared);
                }
            }
        });
        Proxy { address, line, taken }
    }

    /// What to put under `centre.url`.
    pub fn url(&self) -> String {
        format!("https://{}/v1", self.address)
    }

    /// From now on the line is like this.
    pub fn becomes(&self, line: Line) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

fn now(line: &Mutex<Line>) -> Line {
    *line.lock().unwrap_or_else(PoisonError::into_inner)
}

fn holds_back(line: Line, from_centre: bool) -> bool {
    line == Line::Silent || line == Line::Mute && from_centre
}

fn connect(near: TcpStream, centre: SocketAddr, line: &Arc<Mutex<Line>>) {
    let Ok(far) = TcpStream::connect(centre) else { return };
    let pair = |stream: &TcpStream| stream.try_clone().expect("a second handle");
    let ways = [(pair(&near), pair(&far), false), (far, near, true)];
    for (from, to, from_centre) in ways {
        let line = Arc::clone(line);
        std::thread::spawn(move || carry(from, to, from_centre, &line));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, from_centre: bool, line: &Mutex<Line>) {
    let _ = from.set_nodelay(true);
    let _ = to.set_nodelay(true);
    let _ = from.set_read_timeout(Some(Duration::from_millis(20)));
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        match now(line) {
            Line::Cut => break,
            held if holds_back(held, from_centre) => std::thread::sleep(Duration::from_millis(5)),
            _ => match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => {
                    // the line may have changed while this waited
                    if let Line::Slow(rate) = now(line) {
                        std::thread::sleep(Duration::from_secs_f64(count as f64 / rate as f64));
                    }
                    // What was read when the line changed does not come through, either.
                    while holds_back(now(line), from_centre) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    if now(line) == Line::Cut || to.write_all(&chunk[..count]).is_err() {
                        break;
                    }
                }
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(_) => break,
            },
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
