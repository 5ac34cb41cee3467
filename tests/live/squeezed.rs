//! A service that gets less than it wants: it is stopped for a while, given a part of a processor, or less memory. What it
//! cannot read is counted to the frame, nobody takes it for dead, and it is well again when it has what it wants.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::load::{balanced, floods, metrics, sum};
use super::notify::Manager;
use super::xdp::adds_up;
use super::*;
use crate::support::group::Group;
use crate::support::namespaces::sent;

const METRICS: &str = "metrics: { listen: \"127.0.0.1:9920\" }\n";

/// What the unit gives it to say that it lives (`deploy/haetae.service`), for a manager that has less patience.
const WATCHDOG: Duration = Duration::from_secs(5);

/// Says so where no control group can be made: that is the machine's affair, and no fault.
fn group(test: &str, controller: &str) -> Option<Group> {
    let group = Group::new(controller);
    if group.is_none() {
        eprintln!("\n*** {test}: NOT TESTED: no control group with `{controller}` can be made here ***\n");
    }
    group
}

/// A shell that waits until it was taken in, and becomes the service.
const TAKEN_IN: &str = "echo $$ > asks && mv asks pid; until [ -e taken ]; do sleep 0.02; done; exec \"$0\" \"$@\"";

/// A service that is in a group from its first byte on.
fn start_in(group: &Group, link: &Link, folder: &Path, words: &[&str], environment: &[(&str, &str)]) -> Service {
    let mut command = Command::new("sh");
    command.args(["-c", TAKEN_IN, env!("CARGO_BIN_EXE_haetae")]).envs(environment.iter().copied());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let until = Instant::now() + PATIENCE;
            while !folder.join("pid").exists() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(10));
            }
            group.take_in(std::fs::read_to_string(folder.join("pid")).expect("it says").trim());
            std::fs::write(folder.join("taken"), "").expect("a file");
        });
        Service::start_by(link, folder, command, words)
    })
}

#[test]
fn ten_seconds_of_standstill_are_counted_and_nothing_bursts_when_it_goes_on() {
    if !possible("ten_seconds_of_standstill_are_counted_and_nothing_bursts_when_it_goes_on") {
        return;
    }
    const FLOWS: u64 = 5_000;
    let (link, folder) = (Link::of_queues(2), site(BAD_EXAMPLE, ""));
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&questions(FLOWS as u32))).expect("a capture");
    let path = folder.path().join("notify");
    let mut manager = Manager::new(&path);
    let period = WATCHDOG.as_micros().to_string();
    let environment = [("NOTIFY_SOCKET", path.to_str().expect("text")), ("WATCHDOG_USEC", &period)];
    let words = ["--workers", "2", "--set", "capture=[{interface: b0, backend: af_xdp, ring: 16MiB}]"];
    let more = ["--set", "outputs.eve.events=[alert, stats]"];
    let (service, began) =
        (Service::start_among(&link, folder.path(), &[&words[..], &more].concat(), &environment), Instant::now());
    manager.hear("WATCHDOG=1");
    // the same hosts ask every second, before, in the meantime and afterwards
    let sender = link.sending(&capture, 13, Some(FLOWS));
    std::thread::sleep(Duration::from_millis(1_500));
    service.signal("STOP");
    std::thread::sleep(Duration::from_secs(10));
    manager.hear_out(Duration::from_millis(1));
    service.signal("CONT");
    let fed = manager.count_for(Duration::from_secs(1));
    let sent = sent(sender);
    std::thread::sleep(Duration::from_millis(500));
    assert!(service.said.try_iter().all(|line| line["level"] != "ERROR"), "nobody is blamed for what all were");
    let (kernel, account, status, _) = service.end();
    assert!(status.success(), "{account}");
    adds_up(&kernel, sent);
    let count = |name| number(&account, name);
    assert!(number(&kernel, "kernel_drops") > sent / 3, "nobody read for most of the time: {kernel}");
    let wanted = [number(&kernel, "received"), 0, 0, 0, FLOWS, FLOWS];
    let names = ["packets", "restarts", "unaccounted", "lost_in_restart", "flows", "alerts"];
    assert_eq!(names.map(count), wanted, "no flow ended in the meantime, and none began anew: {account}");
    assert_eq!(number(&kernel, "reopened"), 0, "{kernel}");
    let lines = binary::lines(&std::fs::read(folder.path().join("eve.json")).expect("a log")).expect("whole lines");
    let stats = lines.iter().filter(|line| line["event_type"] == "stats").count() as u64;
    // one every ten seconds, and the last
    assert!(stats <= began.elapsed().as_secs() / 10 + 1, "{stats} records in {:?}", began.elapsed());
    assert!(fed <= 2, "what was missed is not made up for: {fed} signs of life in a second, one is due in two");
    eprintln!("stopped for 10 s: {kernel}; {stats} records of stats, {fed} signs of life in the second after");
}

/// Frames a second that a whole processor of the slow machine can just read, and nanoseconds that it works on each.
const TOO_MANY: u64 = 150_000;
const SLOW: &str = "5000";

#[test]
fn half_and_a_tenth_of_a_processor_cost_frames_and_nothing_else() {
    const TEST: &str = "half_and_a_tenth_of_a_processor_cost_frames_and_nothing_else";
    if !possible(TEST) {
        return;
    }
    let Some(group) = group(TEST, "cpu") else { return };
    let rules = "format: haetae/1\nindicators:\n  - { ip: 10.9.0.7 }\n";
    let (link, folder) = (Link::new(), site(rules, METRICS));
    let path = folder.path().join("notify");
    let mut manager = Manager::new(&path);
    let period = WATCHDOG.as_micros().to_string();
    let environment = [("NOTIFY_SOCKET", path.to_str().expect("text")), ("WATCHDOG_USEC", &period)];
    // what two workers put up is not of the same moment
    let capture = "capture=[{interface: b0, backend: af_xdp, ring: 16MiB}]";
    let words = ["--workers", "1", "--slow-motion", SLOW, "--set", capture];
    let mut service = start_in(&group, &link, folder.path(), &words, &environment);
    service.hear("metrics are served");
    manager.hear("WATCHDOG=1");
    let (per_second, sent, stop) = (AtomicU64::new(TOO_MANY), AtomicU64::new(0), AtomicBool::new(false));
    let silent = std::thread::scope(|scope| {
        scope.spawn(|| floods(&link, &per_second, &sent, &stop));
        let silent = scope.spawn(|| manager.longest_silence(&stop));
        let looked = scope.spawn(|| {
            link.enter();
            for percent in [Some(50), Some(10), None] {
                group.processor(percent);
                let (began, before) = (Instant::now(), balanced(&metrics(9920)));
                let mut looks = 0;
                while began.elapsed() < Duration::from_millis(2_500) {
                    std::thread::sleep(Duration::from_millis(300));
                    balanced(&metrics(9920));
                    looks += 1;
                }
                let read = (balanced(&metrics(9920)) - before) as f64 / began.elapsed().as_secs_f64();
                let share = percent.map_or("all".to_owned(), |percent| format!("{percent} %"));
                eprintln!("{share} of a processor: {read:.0} frames a second, {looks} looks; {}", group.throttled());
            }
            per_second.store(0, Ordering::Release);
            let until = Instant::now() + Duration::from_secs(15);
            while sum(&metrics(9920), "haetae_ready") == 0 {
                assert!(Instant::now() < until, "not ready again");
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let looked = looked.join();
        stop.store(true, Ordering::Release);
        looked.expect("its books balance at each look");
        silent.join().expect("it listens")
    });
    std::thread::sleep(Duration::from_millis(300));
    let (kernel, account, status, _) = service.end();
    assert!(status.success(), "{account}");
    adds_up(&kernel, sent.load(Ordering::Acquire));
    let counts = ["packets", "restarts", "unaccounted", "alerts"].map(|name| number(&account, name));
    assert_eq!(counts, [number(&kernel, "received"), 0, 0, 1], "{account}");
    assert!(number(&kernel, "kernel_drops") * 5 > number(&kernel, "received"), "a tenth was too little: {kernel}");
    assert!(!group.throttled().contains("nr_throttled 0"), "the quota was met: {}", group.throttled());
    assert!(silent < WATCHDOG, "a manager would have ended it after {silent:?}");
    eprintln!("the longest silence towards the service manager: {silent:?}; {kernel}");
}

/// Frames of so many hosts that nobody listed: each begins a flow.
fn strangers(count: u32) -> Vec<Frame> {
    let stranger = |number: u32| {
        let [_, high, middle, low] = number.to_be_bytes();
        let ends = Ends { from: ([11, high, middle, low].into(), 40_000), to: ([10, 77, 255, 99].into(), 9_099) };
        let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, &[0x61; 40])), Wrap::Plain);
        Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes }
    };
    (0..count).map(stranger).collect()
}

/// How many of them: `HAETAE_HOSTS` says otherwise.
fn hosts() -> u32 {
    std::env::var("HAETAE_HOSTS").map_or(400_000, |text| text.parse().expect("a number of hosts"))
}

#[test]
fn less_memory_under_load_ends_nobody_whose_bounds_fit() {
    const TEST: &str = "less_memory_under_load_ends_nobody_whose_bounds_fit";
    if !possible(TEST) {
        return;
    }
    let Some(group) = group(TEST, "memory") else { return };
    let listed: String = (0..200_000).map(|number| format!("  - {{ domain: n{number}.bad.example }}\n")).collect();
    let (link, folder) = (Link::new(), site(&format!("format: haetae/1\nindicators:\n{listed}"), METRICS));
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&strangers(hosts()))).expect("a capture");
    let words = ["--workers", "2", "--set", "capture=[{interface: b0, backend: af_xdp, ring: 32MiB}]"];
    let mut service = start_in(&group, &link, folder.path(), &words, &[]);
    service.hear("metrics are served");
    let process = service.child.id();
    let mib = |bytes: u64| bytes >> 20;
    eprintln!("at its start: {} MiB in the group, {} MiB resident", mib(group.memory()), mib(resident(process)));
    let sender = link.sending(&capture, 1, Some(80_000));
    std::thread::sleep(Duration::from_secs(1));
    let half = group.memory_max(512 << 20);
    std::thread::sleep(Duration::from_secs(2));
    eprintln!("bounded to 512 MiB ({half:?}): {} MiB; {}", mib(group.memory()), group.memory_events());
    let quarter = group.memory_max(256 << 20);
    let sent = sent(sender);
    std::thread::sleep(Duration::from_millis(500));
    let open = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            link.enter();
            sum(&metrics(9920), "haetae_flows_open")
        });
        asked.join().expect("it answers")
    });
    eprintln!(
        "bounded to 256 MiB ({quarter:?}): {} MiB in the group, {} MiB resident, {open} flows; {}",
        mib(group.memory()),
        mib(resident(process)),
        group.memory_events()
    );
    let (kernel, account, status, _) = service.end();
    assert!(status.success() && group.killed() == 0, "{account}");
    adds_up(&kernel, sent);
    assert_eq!((number(&account, "packets"), number(&account, "unaccounted")), (number(&kernel, "received"), 0));
}
