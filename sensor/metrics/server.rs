//! Who may ask how the sensor is: a small HTTP/1.1 server on one thread, which one that asks badly cannot take from the others.
//!
//! In: connections, a few at once, each with a bound on bytes and on time; when all places are taken, who holds one longest gives
//! it up. Out: `/metrics`, `/healthz` (the process answers), `/readyz` (it does its work, or why not). Many askers cost what one
//! costs: one look serves all within a moment, and what is done in a second is bounded; the others wait in the kernel.
//! Never here: a request's body, a file, an answer with a word in it that the asker has sent.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::connection::{Answer, Connection, Page, Request, Status};
use super::door::{Bounds, Door};
use super::{Askers, Sight, exposition};
use crate::limits::{
    METRICS_CONNECTIONS_MAX, METRICS_REASONS_MAX, METRICS_SAFE_TIME, METRICS_SIGHT_TIME_MAX,
    METRICS_TURNS_PER_SECOND_MAX,
};

/// Who may come, and how much is done for them.
const BOUNDS: Bounds = Bounds {
    visitors_max: METRICS_CONNECTIONS_MAX,
    safe: METRICS_SAFE_TIME,
    turns_per_second: METRICS_TURNS_PER_SECOND_MAX,
};

/// What `/metrics` is written in.
const EXPOSITION: &str = prometheus::TEXT_FORMAT;

const PLAIN: &str = "text/plain; charset=utf-8";

/// A listener, bound.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens. Port 0: one that is free.
    ///
    /// # Errors
    /// The address is taken, is not this machine's, or may not be listened to.
    pub fn bind(address: SocketAddr) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Server { address: listener.local_addr()?, listener })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`, on the caller's thread; returns at most a tenth of a second after it. `sight` is called at most
    /// ten times a second, however many ask.
    ///
    /// # Errors
    /// The system cannot wait for sockets any more. What goes wrong with one connection ends that connection alone.
    pub fn serve(&self, stop: &AtomicBool, sight: &dyn Fn() -> Sight) -> io::Result<()> {
        let mut desk = Desk { sight, fresh: None, askers: Askers::default() };
        let mut door: Door<Connection> = Door::new(BOUNDS);
        while !stop.load(Ordering::Acquire) {
            (desk.askers.displaced, desk.askers.timed_out) = (door.displaced, door.timed_out);
            let mut take = |now| self.listener.accept().map(|(stream, _)| Connection::new(stream, now));
            door.round(self.listener.as_fd(), &mut take, &mut |connection, now| desk.attend(connection, now))?;
        }
        Ok(())
    }
}

/// What one look gave.
struct Fresh {
    at: Instant,
    metrics: Arc<[u8]>,
    /// One reason a line; empty: ready.
    reasons: Arc<[u8]>,
}

/// A server at work.
struct Desk<'a> {
    sight: &'a dyn Fn() -> Sight,
    fresh: Option<Fresh>,
    askers: Askers,
}

impl Desk<'_> {
    /// Answers a connection's next request; whether there was one.
    fn attend(&mut self, connection: &mut Connection, now: Instant) -> bool {
        let Some(request) = connection.request() else { return false };
        let answer = self.answer(request, now);
        connection.answer(answer, now);
        true
    }

    fn answer(&mut self, request: Request, now: Instant) -> Answer {
        let counter = if request.page.is_ok() { &mut self.askers.answered } else { &mut self.askers.refused };
        *counter += 1;
        let (status, kind, body) = match request.page {
            Ok(Page::Health) => (Status::Ok, PLAIN, b"alive\n"[..].into()),
            Ok(Page::Metrics) => (Status::Ok, EXPOSITION, Arc::clone(&self.look(now).metrics)),
            Ok(Page::Readiness) => match &self.look(now).reasons {
                none if none.is_empty() => (Status::Ok, PLAIN, b"ready\n"[..].into()),
                reasons => (Status::NotReady, PLAIN, Arc::clone(reasons)),
            },
            Err(status) => (status, PLAIN, format!("{}\n", status.words()).into_bytes().into()),
        };
        Answer { status, kind, body, without_body: request.without_body, close: request.close }
    }

    /// What the sensor is like, at most [`METRICS_SIGHT_TIME_MAX`] ago.
    fn look(&mut self, now: Instant) -> &Fresh {
        let old = self.fresh.take().filter(|fresh| now.duration_since(fresh.at) < METRICS_SIGHT_TIME_MAX);
        let (sight, askers) = (self.sight, self.askers);
        self.fresh.insert(old.unwrap_or_else(|| Fresh::of(&Sight { askers, ..sight() }, now)))
    }
}

impl Fresh {
    fn of(sight: &Sight, at: Instant) -> Fresh {
        let mut reasons = String::new();
        for reason in sight.not_ready.iter().take(METRICS_REASONS_MAX) {
            reasons.extend(reason.chars().map(|one| if one.is_control() { ' ' } else { one }));
            reasons.push('\n');
        }
        Fresh { at, metrics: exposition(sight).into_bytes().into(), reasons: reasons.into_bytes().into() }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Shutdown, TcpStream};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::limits::METRICS_HEAD_BYTES_MAX;

    /// A server at work while `ask` asks it; gives how often it looked.
    fn while_serving(not_ready: &'static [&'static str], ask: impl FnOnce(SocketAddr) + Send) -> u32 {
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let (address, stop, looks) = (server.address(), AtomicBool::new(false), Cell::new(0));
        let sight = || {
            looks.set(looks.get() + 1);
            Sight { not_ready: not_ready.iter().map(|reason| (*reason).to_owned()).collect(), ..Sight::default() }
        };
        thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(address)));
                stop.store(true, Ordering::Release);
                asked
            });
            server.serve(&stop, &sight).unwrap();
            asking.join().unwrap().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        looks.get()
    }

    /// Sends bytes, says that no more will come, and reads to the end.
    fn ask(address: SocketAddr, bytes: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer); // a refusal may end with a reset: the rest of the request is not read
        String::from_utf8(answer).unwrap()
    }

    fn get(address: SocketAddr, path: &str) -> String {
        ask(address, &format!("GET {path} HTTP/1.1\r\nHost: haetae\r\nConnection: close\r\n\r\n"))
    }

    fn status(answer: &str) -> &str {
        answer.split(' ').nth(1).unwrap_or_default()
    }

    #[test]
    fn pages_are_where_they_are_looked_for() {
        while_serving(&[], |address| {
            let metrics = get(address, "/metrics?x=1");
            assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.contains("\nhaetae_ready 1\n"), "{metrics}");
            assert!(metrics.contains("Content-Type: text/plain; version=0.0.4"), "{metrics}");
            assert!(get(address, "/healthz").ends_with("\r\n\r\nalive\n"));
            assert!(get(address, "/readyz").ends_with("\r\n\r\nready\n"));
        });
    }

    #[test]
    fn what_is_not_ready_says_why_a_reason_a_line() {
        while_serving(&["tap0: no such\ninterface", "no indicator is loaded"], |address| {
            let answer = get(address, "/readyz");
            assert_eq!(status(&answer), "503");
            assert!(answer.ends_with("\r\n\r\ntap0: no such interface\nno indicator is loaded\n"), "{answer}");
            assert_eq!(status(&get(address, "/healthz")), "200", "the process is alive all the same");
        });
    }

    #[test]
    fn head_tells_the_length_and_nothing_else() {
        while_serving(&[], |address| {
            let answer = ask(address, "HEAD /healthz HTTP/1.1\r\n\r\n");
            assert!(answer.contains("Content-Length: 6\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        });
    }

    #[test]
    fn what_is_no_question_is_refused_and_nothing_of_it_comes_back() {
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n", "x".repeat(METRICS_HEAD_BYTES_MAX));
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
        let cases = [
            ("GET /marker HTTP/1.1\r\n\r\n", "404"),
            ("GET /metrics/ HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("DELETE /marker HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
            ("GET /metrics HTTP/1.1\r\nContent-Length: 6\r\n\r\nmarker", "400"),
            ("POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
            ("marker\r\n\r\n", "400"),
            ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0marker", "400"),
            (&long[..], "431"),
            (&many[..], "431"),
        ];
        while_serving(&[], |address| {
            for (bytes, wanted) in cases {
                let answer = ask(address, bytes);
                assert_eq!(status(&answer), wanted, "{bytes} gave {answer}");
                assert!(!answer.contains("marker"), "{answer}");
            }
            assert!(ask(address, "PUT / HTTP/1.1\r\n\r\n").contains("Allow: GET, HEAD\r\n"));
            assert_eq!(ask(address, "GET /metrics HTTP/1.1\r\nHo"), "", "half a request has no answer");
        });
    }

    #[test]
    fn a_connection_is_kept_and_requests_may_come_together() {
        while_serving(&[], |address| {
            let two = "GET /healthz HTTP/1.1\r\n\r\nGET /readyz HTTP/1.1\r\n\r\n";
            let answer = ask(address, two);
            assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
            let old = ask(address, "GET /healthz HTTP/1.0\r\n\r\nGET /readyz HTTP/1.0\r\n\r\n");
            assert_eq!(old.matches("HTTP/1.1 200 OK").count(), 1, "HTTP/1.0 ends with its answer: {old}");
        });
    }

    #[test]
    fn many_askers_cost_what_one_costs() {
        let began = Instant::now();
        let looks = while_serving(&[], |address| {
            (0..200).for_each(|_| assert_eq!(status(&get(address, "/metrics")), "200"));
        });
        let allowed = began.elapsed().as_millis() / METRICS_SIGHT_TIME_MAX.as_millis() + 1;
        assert!(u128::from(looks) <= allowed && looks < 200, "{looks} looks for 200 requests, {allowed} allowed");
    }

    #[test]
    fn who_sends_nothing_or_reads_nothing_keeps_nobody_out() {
        while_serving(&[], |address| {
            let mut idle = Vec::new();
            for at in 0..3 * METRICS_CONNECTIONS_MAX {
                let mut stream = TcpStream::connect(address).unwrap();
                let begun = if at % 2 == 0 { "GET /metr" } else { "GET /metrics HTTP/1.1\r\n\r\n" };
                let _ = stream.write_all(begun.as_bytes());
                idle.push(stream);
            }
            let began = Instant::now();
            let answer = get(address, "/metrics");
            assert_eq!(status(&answer), "200");
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            let shown = answer.lines().find(|line| line.contains("displaced")).unwrap();
            assert!(!shown.ends_with(" 0"), "{shown}");
        });
    }
}
