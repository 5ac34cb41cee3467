//! A wire that can be cut, between a sensor and a server. Never here: who speaks over it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A wire that can be cut: what connects to it is passed on to a server.
pub struct Wire {
    /// Where it listens.
    pub address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Wire {
    /// To a server.
    pub fn to(server: SocketAddr) -> Wire {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let is_cut = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_cut);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(server) else { continue };
                for (from, into) in [(&near, &far), (&far, &near)] {
                    let pair = (from.try_clone().expect("a socket"), into.try_clone().expect("a socket"));
                    let told = Arc::clone(&told);
                    thread::spawn(move || pass(pair.0, pair.1, &told));
                }
            }
        });
        Wire { address, is_cut }
    }

    /// From now on nothing goes through, and nobody is told.
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Release);
    }
}

/// What comes while the wire is cut is lost, and then the connection is: it has a gap.
fn pass(mut from: TcpStream, mut into: TcpStream, is_cut: &AtomicBool) {
    let (mut bytes, mut has_gap) = ([0; 4096], false);
    let _ = from.set_read_timeout(Some(Duration::from_millis(20)));
    loop {
        has_gap |= is_cut.load(Ordering::Acquire);
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(_) if has_gap => {}
            Ok(length) => {
                if into.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        if has_gap && !is_cut.load(Ordering::Acquire) {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}
