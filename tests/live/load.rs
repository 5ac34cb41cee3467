//! More than can be read: frames that the kernel makes itself, on a sensor that works in slow motion. What is lost has its
//! cause and its number, what is accepted is looked up, and nobody slows down because others come faster.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::*;

/// Ethernet, IPv4, UDP, 64 bytes; the two low bytes of the source address are at 28.
fn frame() -> Vec<u8> {
    let ends = Ends { from: ([10, 9, 0, 0].into(), 7_000), to: ([10, 77, 255, 80].into(), 9_099) };
    wire::framed(&wire::ip(ends, 17, &wire::udp(ends, &[0x61; 22])), Wrap::Plain)
}

/// Sends from the other end, so many frames a second, until told to stop; how many it sent. `floods` may be set anew.
pub(super) fn floods(link: &Link, per_second: &AtomicU64, sent: &AtomicU64, stop: &AtomicBool) {
    link.enter_sender();
    let flood = af_xdp::Flood::new("a0", &frame(), 28, 1_024).expect("root may");
    let (mut due, every) = (Instant::now(), Duration::from_millis(50));
    while !stop.load(std::sync::atomic::Ordering::Acquire) {
        let frames = per_second.load(std::sync::atomic::Ordering::Acquire) / 20;
        if frames > 0 {
            flood.send(frames as u32).expect("it is sent");
            sent.fetch_add(frames, std::sync::atomic::Ordering::AcqRel);
        }
        due += every;
        // who is late does not make up for it by a burst
        due = due.max(Instant::now().checked_sub(every).unwrap_or(due));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// A page of the service's own server.
pub(super) fn metrics(port: u16) -> BTreeMap<String, f64> {
    let page = crate::metrics::page(SocketAddr::from(([127, 0, 0, 1], port)), "/metrics");
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let pairs = samples.filter_map(|line| line.rsplit_once(' '));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
}

/// All samples of a family together.
pub(super) fn sum(samples: &BTreeMap<String, f64>, family: &str) -> u64 {
    let of = |name: &str| name == family || name.starts_with(&format!("{family}{{"));
    samples.iter().filter(|(name, _)| of(name)).map(|(_, value)| *value as u64).sum()
}

/// One number of the service's second: what it was handed, and what became of it.
pub(super) fn balanced(samples: &BTreeMap<String, f64>) -> u64 {
    let (handed, fates) = (sum(samples, "haetae_handed_out_frames_total"), sum(samples, "haetae_frames_total"));
    let on_its_way = sum(samples, "haetae_hand_off_frames");
    assert_eq!((handed, sum(samples, "haetae_accounting_error")), (fates + on_its_way, 0), "{samples:?}");
    handed
}

/// Nanoseconds that the slow machine works on each frame: it can do some forty thousand a second.
const SLOW: &str = "20000";

/// What a machine that slow can do, if nothing else cost anything.
const CAPACITY: u64 = 50_000;

#[test]
fn whatever_comes_beyond_what_can_be_read_is_counted_and_slows_nothing() {
    if !possible("whatever_comes_beyond_what_can_be_read_is_counted_and_slows_nothing") {
        return;
    }
    // what else the machine does moves these numbers by a fifth; a sensor that thrashes halves them
    let [one, two, five, ten] = overload();
    assert!([two, five, ten].iter().all(|more| more * 100 >= one * 60), "{one} became {two}, {five}, {ten}");
}

/// Frames a second that it reads at 1, 2, 5 and 10 times what it can do.
fn overload() -> [u64; 4] {
    use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
    let planted: String = (1..=64).map(|number| format!("  - {{ ip: 10.9.0.{number} }}\n")).collect();
    let folder =
        site(&format!("format: haetae/1\nindicators:\n{planted}"), "metrics: { listen: \"127.0.0.1:9920\" }\n");
    let link = Link::new();
    let capture = "capture=[{interface: b0, backend: af_xdp, ring: 32MiB}]";
    let words = ["--workers", "1", "--slow-motion", SLOW, "--set", capture];
    let service = Service::start(&link, folder.path(), &words);
    let (per_second, sent, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let goodput = std::thread::scope(|scope| {
        scope.spawn(|| floods(&link, &per_second, &sent, &stop));
        let measured = scope.spawn(|| {
            link.enter();
            let goodput = [1, 2, 5, 10].map(|times| {
                per_second.store(CAPACITY * times, Release);
                // until the rings are as full as they become
                std::thread::sleep(Duration::from_millis(700));
                let (began, before) = (Instant::now(), balanced(&metrics(9920)));
                for _ in 0..2 {
                    std::thread::sleep(Duration::from_secs(1));
                    balanced(&metrics(9920));
                }
                let read = balanced(&metrics(9920)) - before;
                (read as f64 / began.elapsed().as_secs_f64()) as u64
            });
            let at_worst = metrics(9920);
            assert!(sum(&at_worst, "haetae_shedding_level") == 4, "{at_worst:?}");
            goodput
        });
        let goodput = measured.join();
        stop.fetch_or(true, AcqRel);
        goodput.expect("its books balance every second")
    });
    std::thread::sleep(Duration::from_millis(500));
    let (kernel, account, ..) = service.end();
    let count = |name| number(&kernel, name);
    assert_eq!(sent.load(Acquire), count("offered") + count("interface_drops"), "{kernel}");
    assert_eq!(count("offered"), count("received") + count("ring_full") + count("no_frame"), "{kernel}");
    assert_eq!((number(&account, "packets"), number(&account, "unaccounted")), (count("received"), 0), "{account}");
    assert!(count("ring_full") > count("received"), "there was far too much: {kernel}");
    // every address that was planted has a frame among those that were accepted
    assert_eq!(number(&account, "alerts"), 64, "{account}");
    eprintln!("goodput at 1, 2, 5 and 10 times what it can do: {goodput:?} frames a second; {kernel}");
    goodput
}
