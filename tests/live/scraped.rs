//! Everybody asks for metrics at once, while packets come: those who ask without end, those who never read what they asked
//! for, and those who would make series of what they send. No packet is lost for it, and an honest scraper gets its page.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::load::{metrics, sum};
use super::*;
use crate::metrics::{flood, page};
use crate::support::namespaces::sent;

const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 9920);

/// Series of one sensor, whatever comes.
const SERIES_MAX: usize = 2_000;

/// Requests that are written at once, and by how many clients.
const PIPELINED: usize = 64;
const CLIENTS: usize = 6;

/// What an honest scraper waits at most: its own time-out (Prometheus: 10 s) is far from it.
const PAGE_WITHIN: Duration = Duration::from_secs(5);

/// Names that would end a label, or a line, and begin a series of their own; each below a listed one.
fn hostile(count: u32) -> Vec<Frame> {
    let question = |number: u32| {
        let label = format!("\"}} 1\n{number:06}{{fate=\"");
        let head = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0";
        let message = [&head[..], &[label.len() as u8], label.as_bytes(), b"\x03bad\x07example\0\0\x01\0\x01"].concat();
        let [_, high, middle, low] = number.to_be_bytes();
        let ends = Ends { from: ([10, high, middle, low].into(), 40_000), to: ([10, 77, 255, 53].into(), 53) };
        let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, &message)), Wrap::Plain);
        Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes }
    };
    (0..count).map(question).collect()
}

/// Offers as many requests as the server's side takes, and reads what comes; how many were offered.
fn offers(stop: &AtomicBool, offered: &AtomicU64) {
    let requests = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(PIPELINED);
    let mut answer = vec![0; 1 << 20];
    while !stop.load(Ordering::Acquire) {
        let Ok(mut stream) = TcpStream::connect(SocketAddr::from(SERVER)) else { continue };
        let short = Some(Duration::from_millis(2));
        stream.set_read_timeout(short).and_then(|()| stream.set_write_timeout(short)).expect("a socket");
        while !stop.load(Ordering::Acquire) {
            match stream.write(&requests) {
                Ok(bytes) => drop(offered.fetch_add((bytes * PIPELINED / requests.len()) as u64, Ordering::AcqRel)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            match stream.read(&mut answer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    }
}

/// What came of it: the longest that an honest scraper waited, how many requests were offered, and answers to those who ask
/// once each.
struct Abused {
    longest: Duration,
    offered: u64,
    answers: u64,
}

fn abuse(time: Duration) -> Abused {
    let (stop, offered, began) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    // they ask, and never read; more of them than may be connected
    let mut readers: Vec<TcpStream> =
        (0..100).filter_map(|_| TcpStream::connect(SocketAddr::from(SERVER)).ok()).collect();
    readers.iter_mut().for_each(|stream| drop(stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")));
    std::thread::scope(|scope| {
        (0..CLIENTS).for_each(|_| drop(scope.spawn(|| offers(&stop, &offered))));
        let once: Vec<_> = (0..2).map(|_| scope.spawn(|| flood(SERVER.into(), &stop))).collect();
        let honest = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while began.elapsed() < time {
                let asked = Instant::now();
                assert!(page(SERVER.into(), "/metrics").contains("haetae_ready 1"));
                longest = longest.max(asked.elapsed());
                std::thread::sleep(Duration::from_millis(250));
            }
            longest
        });
        let longest = honest.join();
        stop.store(true, Ordering::Release);
        let answers = once.into_iter().map(|one| one.join().expect("a flood")).sum();
        let longest = longest.expect("it got its page each time");
        Abused { longest, offered: offered.load(Ordering::Acquire), answers }
    })
}

#[test]
fn whoever_asks_however_often_costs_no_packet() {
    if !possible("whoever_asks_however_often_costs_no_packet") {
        return;
    }
    const NAMES: u32 = 5_000;
    let time = Duration::from_secs(6);
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, "metrics: { listen: \"127.0.0.1:9920\" }\n"));
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&hostile(NAMES))).expect("a capture");
    let words = ["--workers", "1", "--set", "capture=[{interface: b0, backend: af_xdp, ring: 32MiB}]"];
    let mut service = Service::start(&link, folder.path(), &words);
    service.hear("metrics are served");
    let process = service.child.id();
    // the first round makes what stays
    let first = link.send(&capture, 1, Some(5_000));
    let sender = link.sending(&capture, 7, Some(5_000));
    let (abused, memory, lines) = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            link.enter();
            let before = page(SERVER.into(), "/metrics");
            // connections are made once, as well
            abuse(Duration::from_secs(1));
            let then = resident(process);
            let abused = abuse(time);
            let after = page(SERVER.into(), "/metrics");
            assert!(!after.contains("bad.example") && !after.contains("flood"), "{after}");
            let series = |page: &str| page.lines().filter(|line| !line.starts_with('#')).count();
            assert_eq!(sum(&metrics(9920), "haetae_accounting_error"), 0);
            (abused, [then, resident(process)], [series(&before), series(&after)])
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let sent = first + sent(sender);
    std::thread::sleep(Duration::from_millis(300));
    let (kernel, account, status, _) = service.end();
    let [then, now] = memory;
    eprintln!(
        "{:.0} requests a second were offered, {} connections answered; an honest scraper waited {:?} at most; {then} bytes \
         became {now}; {lines:?} series; {kernel}",
        abused.offered as f64 / time.as_secs_f64(),
        abused.answers,
        abused.longest
    );
    assert!(status.success(), "{account}");
    let counts = ["received", "kernel_drops", "interface_drops", "left_in_ring"].map(|name| number(&kernel, name));
    assert_eq!(counts, [sent, 0, 0, 0], "{kernel}");
    assert_eq!((number(&account, "packets"), number(&account, "unaccounted")), (sent, 0), "{account}");
    assert!(abused.longest < PAGE_WITHIN, "an honest scraper waited {:?}", abused.longest);
    assert!(abused.offered as f64 / time.as_secs_f64() > 10_000.0, "{} were offered", abused.offered);
    assert!(now < then + (4 << 20), "{then} bytes became {now}");
    assert!(lines[0] == lines[1] && lines[1] <= SERIES_MAX, "{lines:?}");
}
