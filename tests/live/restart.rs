//! A worker that dies of a packet: it alone begins again, the others lose nothing, the packet is kept, and the third time its
//! flow is skipped. What is provoked is a payload with a text in it, on real links, by both backends.

use super::load::{metrics, sum};
use super::*;

/// Seconds until a worker is back: alone on a machine half of one, but its own processor time decides, which others may have.
const BACK_WITHIN: f64 = 4.0;

/// Datagrams that kill, all of one flow.
fn poison() -> Frame {
    poison_of(6)
}

/// The same, of another host.
fn poison_of(host: u8) -> Frame {
    poison_by(host, 6_666)
}

/// The same, from another port.
fn poison_by(host: u8, port: u16) -> Frame {
    let ends = Ends { from: ([10, 66, 6, host].into(), port), to: ([10, 77, 255, 9].into(), 9_999) };
    let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, b"this is POISON to whoever reads it")), Wrap::Plain);
    Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes }
}

/// So many questions, each an alert, with one poisonous datagram in their midst.
fn poisoned(questions: Vec<Frame>) -> Vec<Frame> {
    let mut frames = questions;
    frames.insert(frames.len() / 2, poison());
    frames
}

/// What a service is started with, so that its workers fail this way.
fn start(link: &Link, folder: &Path, backend: &str, way: &str, more: &[&str]) -> Service {
    // room for what comes while a worker hangs
    let ring = if backend == "libpcap" { "512MiB" } else { "32MiB" };
    let capture = format!("capture=[{{interface: b0, backend: {backend}, ring: {ring}, snaplen: 1600}}]");
    let provoke = format!("{way}=POISON");
    let words = ["--workers", "2", "--set", &capture, "--provoke", &provoke];
    Service::start(link, folder, &[&words[..], more].concat())
}

/// What the service shows of itself, asked on its own side of the link.
fn shown(link: &Link) -> BTreeMap<String, f64> {
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            link.enter();
            metrics(9920)
        });
        asked.join().expect("it answers")
    })
}

const KEPT: &str = "metrics: { listen: \"127.0.0.1:9920\" }\nquarantine: { directory: kept, files: 4 }\n";

/// Sends poison among questions, twice, and a third time; whatever way the workers fail, and whoever reads the link.
fn dies_twice_and_is_wary(backend: &str, way: &str, cause: &str) {
    const QUESTIONS: u32 = 2_000;
    let (link, folder) = (Link::of_queues(2), site(BAD_EXAMPLE, KEPT));
    let mut service = start(&link, folder.path(), backend, way, &[]);
    let all = questions(3 * QUESTIONS);
    let capture = folder.path().join("part.pcap");
    let mut sent = 0;
    for (round, part) in all.chunks(QUESTIONS as usize).enumerate() {
        std::fs::write(&capture, wire::pcap(&poisoned(part.to_vec()))).expect("a capture");
        sent += link.send(&capture, 1, Some(4_000));
        if round == 2 {
            break;
        }
        let said = service.hear("has begun again");
        assert_eq!((&said["cause"], &said["doing"]), (&cause.into(), &"a packet".into()), "{said}");
        let kept = service.hear("is kept");
        let away = away(&said, &folder.path().join(kept["file"].as_str().expect("a file")));
        assert!(away < BACK_WITHIN, "{away} s: {said}");
        eprintln!("{backend} {way}: back after {away:.6} s: {said}");
    }
    std::thread::sleep(Duration::from_millis(700));
    let seen = shown(&link);
    let deaths =
        |worker: usize| seen[&format!("haetae_worker_restarts_total{{worker=\"{worker}\",cause=\"{cause}\"}}")] as u64;
    let (a, b) = (deaths(0).max(deaths(1)), deaths(0).min(deaths(1)));
    assert_eq!((a, b, sum(&seen, "haetae_worker_restarts_total")), (2, 0, 2), "one of them died: {seen:?}");
    assert_eq!((sum(&seen, "haetae_ready"), sum(&seen, "haetae_accounting_error")), (1, 0), "{seen:?}");
    assert_eq!(seen["haetae_quarantined_packets_total{outcome=\"saved\"}"] as u64, 2, "{seen:?}");
    let (kernel, account, status, _) = service.end();
    assert!(status.success(), "{account}");
    let count = |name| number(&account, name);
    assert_eq!((number(&kernel, "received"), count("packets"), count("unaccounted")), (sent, sent, 0), "{account}");
    assert_eq!((count("restarts"), count("skipped_poisonous")), (2, 1), "{account}");
    // every question is an alert, and once: the other worker lost none, and this one read again what it had in hand
    assert_eq!(number(&kernel, "kernel_drops"), 0, "{kernel}");
    assert_eq!((count("alerts"), count("lost_in_restart")), (u64::from(3 * QUESTIONS), 2), "{account}");
    assert_eq!((count("alerts_shed"), count("hand_off_full")), (0, 0), "{account}");
    let lines = binary::lines(&std::fs::read(folder.path().join("eve.json")).expect("a log")).expect("whole lines");
    let first = lines.iter().filter(|line| line.pointer("/alert/context/haetae/revision") == Some(&1.into()));
    assert_eq!(first.count() as u64, count("alerts"), "what was raised was delivered");
    what_is_kept_shows_it_again(folder.path(), 2);
}

/// Seconds from the packet's own time, as it was kept, to the line that says that the worker is back.
fn away(said: &Value, kept: &Path) -> f64 {
    let kept = std::fs::read(kept).expect("a capture");
    let word = |at: usize| u32::from_le_bytes(kept[at..at + 4].try_into().expect("four bytes"));
    let came = f64::from(word(24) % 86_400) + f64::from(word(28)) / 1e9;
    let (_, clock) = said["timestamp"].as_str().and_then(|text| text.split_once('T')).expect("a time");
    let parts = clock.trim_end_matches('Z').split(':').map(|part| part.parse::<f64>().expect("a number"));
    let back = parts.fold(0.0, |sum, part| sum * 60.0 + part);
    (back - came).rem_euclid(86_400.0)
}

/// A replay of each packet that was kept dies the same way, and says of which frame; without provocation it does not.
fn what_is_kept_shows_it_again(folder: &Path, files: usize) {
    let kept: Vec<PathBuf> = std::fs::read_dir(folder.join("kept"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(kept.len(), files, "{kept:?}");
    for packet in kept {
        let mut command = binary::haetae();
        let provoked = command.arg("-r").arg(&packet).args(["--provoke", "panic=POISON"]).output().expect("it runs");
        let said = String::from_utf8_lossy(&provoked.stderr);
        assert!(said.contains("a thread died of frame 1: provoked"), "{said}");
        assert_eq!(provoked.status.code(), Some(70), "{said}");
        let sound = binary::haetae().arg("-r").arg(&packet).output().expect("it runs");
        assert!(sound.status.success());
    }
}

#[test]
fn a_worker_that_panics_begins_again_and_the_other_does_not_notice() {
    if !possible("a_worker_that_panics_begins_again_and_the_other_does_not_notice") {
        return;
    }
    dies_twice_and_is_wary("libpcap", "panic", "panic");
    dies_twice_and_is_wary("af_xdp", "panic", "panic");
}

#[test]
fn a_worker_that_hangs_is_pulled_back_and_begins_again() {
    if !possible("a_worker_that_hangs_is_pulled_back_and_begins_again") {
        return;
    }
    dies_twice_and_is_wary("libpcap", "hang", "hang");
    dies_twice_and_is_wary("af_xdp", "hang", "hang");
}

#[test]
fn a_worker_that_heeds_nothing_ends_the_process_with_the_reason() {
    if !possible("a_worker_that_heeds_nothing_ends_the_process_with_the_reason") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let mut service = start(&link, folder.path(), "libpcap", "stop", &[]);
    let capture = folder.path().join("part.pcap");
    std::fs::write(&capture, wire::pcap(&[questions(20), vec![poison()]].concat())).expect("a capture");
    let sent = Instant::now();
    link.send(&capture, 1, Some(1_000));
    service.hear("cannot be pulled back");
    let status = service.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(70));
    assert!(sent.elapsed() < Duration::from_secs(10), "{:?}", sent.elapsed());
    let lines = binary::lines(&std::fs::read(folder.path().join("eve.json")).expect("a log")).expect("whole lines");
    assert!(!lines.is_empty(), "what was raised before was delivered");
}

#[test]
fn a_process_that_is_stopped_and_a_slow_machine_do_not_hang() {
    if !possible("a_process_that_is_stopped_and_a_slow_machine_do_not_hang") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    // 256 frames take five seconds
    let service = start(&link, folder.path(), "libpcap", "panic", &["--slow-motion", "20000000"]);
    let capture = folder.path().join("part.pcap");
    std::fs::write(&capture, wire::pcap(&questions(200))).expect("a capture");
    let sent = link.send(&capture, 1, None);
    service.signal("STOP");
    std::thread::sleep(Duration::from_secs(4));
    service.signal("CONT");
    std::thread::sleep(Duration::from_secs(5));
    let (_, account, status, _) = service.end();
    assert!(status.success(), "{account}");
    let counts = ["alerts", "packets", "restarts", "unaccounted"].map(|name| number(&account, name));
    assert_eq!(counts, [sent, sent, 0, 0], "{account}");
}

#[test]
fn workers_that_die_again_and_again_are_a_reason_not_to_rely_on_it() {
    if !possible("workers_that_die_again_and_again_are_a_reason_not_to_rely_on_it") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, KEPT));
    let mut service = start(&link, folder.path(), "libpcap", "panic", &[]);
    let capture = folder.path().join("part.pcap");
    for host in 1..=3 {
        assert_eq!(sum(&shown(&link), "haetae_ready"), 1, "{} deaths", host - 1);
        std::fs::write(&capture, wire::pcap(&[poison_of(host)])).expect("a capture");
        link.send(&capture, 1, None);
        service.hear("has begun again");
    }
    // the server shows a page for a moment before it looks again
    let until = Instant::now() + PATIENCE;
    while sum(&shown(&link), "haetae_ready") > 0 {
        assert!(Instant::now() < until, "it is ready after three deaths");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (_, account, status, _) = service.end();
    assert!(status.success() && number(&account, "lost_in_restart") == 3, "{account}");
}

#[test]
fn a_worker_that_waits_for_ever_is_left_to_the_watchdog() {
    if !possible("a_worker_that_waits_for_ever_is_left_to_the_watchdog") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let path = folder.path().join("notify");
    let mut manager = super::notify::Manager::new(&path);
    let environment = [("NOTIFY_SOCKET", path.to_str().expect("text")), ("WATCHDOG_USEC", "600000")];
    let words = ["--workers", "2", "--provoke", "wait=POISON"];
    let mut service = Service::start_among(&link, folder.path(), &words, &environment);
    manager.hear("WATCHDOG=1");
    let capture = folder.path().join("part.pcap");
    std::fs::write(&capture, wire::pcap(&[poison()])).expect("a capture");
    link.send(&capture, 1, None);
    // five times the period: a manager would have ended it, and started it again
    manager.hear_out(Duration::from_secs(3));
    // whoever has no manager has the log and /readyz
    service.hear("the worker stands still");
    service.hear("the watchdog is not fed");
    std::thread::sleep(Duration::from_secs(1));
    service.signal("HUP");
    service.hear("reloaded");
    let often = service.heard.iter().filter(|line| line["message"].to_string().contains("is not fed")).count();
    assert_eq!(often, 1, "it is said once");
    assert!(service.heard.iter().all(|line| line["message"] != "the worker died and has begun again"));
}

#[test]
fn hosts_that_kill_from_port_to_port_cost_a_few_deaths() {
    if !possible("hosts_that_kill_from_port_to_port_cost_a_few_deaths") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, KEPT));
    let mut service = start(&link, folder.path(), "libpcap", "panic", &[]);
    let poison: Vec<Frame> = (1..=40).map(|port| poison_by(7, port)).collect();
    let capture = folder.path().join("part.pcap");
    std::fs::write(&capture, wire::pcap(&[questions(20), poison, questions(40).split_off(20)].concat())).expect("one");
    let sent = link.send(&capture, 1, None);
    service.hear("has begun again");
    std::thread::sleep(Duration::from_millis(700));
    let (_, account, status, _) = service.end();
    assert!(status.success(), "{account}");
    let names = ["packets", "restarts", "lost_in_restart", "skipped_poisonous", "unaccounted", "alerts"];
    assert_eq!(names.map(|name| number(&account, name)), [sent, 3, 3, 37, 0, 40], "{account}");
    what_is_kept_shows_it_again(folder.path(), 3);
}

/// A worker waits for what never comes, and packets wait for it, as the word to end comes.
fn is_left_behind(backend: &str) {
    const QUESTIONS: u32 = 400;
    let (link, folder) = (Link::of_queues(2), site(BAD_EXAMPLE, ""));
    let mut service = start(&link, folder.path(), backend, "wait", &[]);
    let (capture, all) = (folder.path().join("part.pcap"), questions(2 * QUESTIONS));
    let (before, after) = all.split_at(QUESTIONS as usize);
    let send = |frames: &[Frame]| {
        std::fs::write(&capture, wire::pcap(frames)).expect("a capture");
        let sent = link.send(&capture, 1, Some(20_000));
        std::thread::sleep(Duration::from_millis(500));
        sent
    };
    let sent = send(before) + send(&[poison()]) + send(after);
    let told = Instant::now();
    service.signal("TERM");
    let left = service.hear("left behind");
    assert_eq!(left["doing"], "a packet", "{left}");
    let link = loop {
        let line = service.hear("link");
        if line["message"] == "link" {
            break line;
        }
    };
    let account = service.hear("ended");
    let status = service.child.wait().expect("it ends");
    let took = told.elapsed();
    eprintln!("{backend}: ended {took:?} after the word: {account}");
    assert_eq!(status.code(), Some(70), "{account}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let count = |name| number(&account, name);
    assert_eq!((count("unaccounted"), count("packets")), (0, number(&link, "received")), "{account} {link}");
    assert!(count("packets") > u64::from(QUESTIONS) && count("packets") <= sent, "{account}");
    let lost = count("lost_in_restart");
    assert!((1..=u64::from(QUESTIONS)).contains(&lost), "{account}");
    // all that was asked before, and what the other worker had of what was asked then
    let lines = binary::lines(&std::fs::read(folder.path().join("eve.json")).expect("a log")).expect("whole lines");
    let first = lines.iter().filter(|line| line.pointer("/alert/context/haetae/revision") == Some(&1.into())).count();
    assert!(first as u64 > u64::from(QUESTIONS), "{first} alerts");
    assert_eq!((first as u64, first as u64 + lost), (count("alerts"), count("packets")), "{account}");
}

#[test]
fn a_worker_that_waits_for_ever_does_not_hold_up_the_end() {
    if !possible("a_worker_that_waits_for_ever_does_not_hold_up_the_end") {
        return;
    }
    is_left_behind("libpcap");
    is_left_behind("af_xdp");
}
