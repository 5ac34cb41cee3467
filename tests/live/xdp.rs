//! The service on AF_XDP, on veth pairs in the driver's own mode: every packet is received or counted, whatever its size and
//! whichever queue it comes by; and an interface is left as it was found.

use super::*;

const AF_XDP: &str = "capture=[{interface: b0, backend: af_xdp}]";

/// Large enough for the batches of a test that is not about losses, small enough for any machine.
const RING: &str = "16MiB";

pub(super) fn on_af_xdp(link: &Link, folder: &Path, workers: &str, more: &str) -> Service {
    let capture = format!("capture=[{{interface: b0, backend: af_xdp, ring: {RING}{more}}}]");
    Service::start(link, folder, &["--workers", workers, "--set", &capture])
}

/// Ends it; what each queue gave, and the rest of its account.
pub(super) fn ended(mut service: Service) -> (Vec<u64>, Value, Value) {
    service.signal("TERM");
    let queues = service.hear("by receive queue");
    let queues = queues["received"].as_str().expect("numbers").split(',').map(|count| count.parse().expect("one"));
    let (queues, link, account) = (queues.collect(), service.hear("link"), service.hear("ended"));
    let status = service.child.wait().expect("it ends");
    assert!(status.success(), "{account}");
    assert_eq!(account["unaccounted"], 0, "{account}");
    (queues, link, account)
}

/// Every cause has its number, and they add up.
pub(super) fn adds_up(link: &Value, sent: u64) {
    let count = |name| number(link, name);
    assert_eq!(link["backend"], "af_xdp", "{link}");
    assert_eq!(count("kernel_drops"), count("ring_full") + count("no_frame") + count("unclaimed"), "{link}");
    assert_eq!(
        count("offered"),
        count("received") + count("shunted") + count("kernel_drops") + count("left_in_ring"),
        "{link}"
    );
    assert_eq!(sent, count("offered") + count("interface_drops"), "{link}");
}

pub(super) fn lost_nothing(link: &Value, sent: u64) {
    adds_up(link, sent);
    let counts = ["received", "kernel_drops", "interface_drops", "left_in_ring"].map(|count| number(link, count));
    assert_eq!(counts, [sent, 0, 0, 0], "{link}");
}

#[test]
fn af_xdp_tells_what_a_replay_of_its_packets_tells() {
    if !possible("af_xdp_tells_what_a_replay_of_its_packets_tells") {
        return;
    }
    tells_as_replayed(
        || Link::of_queues(2),
        |link, folder, workers| on_af_xdp(link, folder, workers, ""),
        |service, sent| {
            let (_, counted, account) = ended(service);
            lost_nothing(&counted, sent);
            account
        },
    );
}

#[test]
fn every_queue_is_read_and_each_question_is_an_alert() {
    if !possible("every_queue_is_read_and_each_question_is_an_alert") {
        return;
    }
    let (link, folder) = (Link::of_queues(2), site(BAD_EXAMPLE, ""));
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&questions(2_000))).expect("a capture");
    let service = on_af_xdp(&link, folder.path(), "2", "");
    let sent = link.send(&capture, 1, Some(4_000));
    let (queues, counted, account) = ended(service);
    lost_nothing(&counted, sent);
    assert!(queues.len() == 2 && queues.iter().all(|received| *received > sent / 10), "{queues:?}");
    assert_eq!((queues.iter().sum::<u64>(), number(&account, "alerts")), (sent, sent), "{account}");
}

/// Requests in one segment of 8,700 bytes, whose host is behind the first frames of the kernel's memory.
pub(super) fn large_requests(count: u16) -> Vec<Frame> {
    let head = format!("GET /{} HTTP/1.1\r\n", "a".repeat(200));
    let cookie = format!("Cookie: {}\r\n", "b".repeat(8_400));
    let request = format!("{head}{cookie}Host: bad.example\r\n\r\n").into_bytes();
    let frames = (0..count).flat_map(|number| {
        let ends = Ends { from: ([10, 0, 9, 9].into(), 20_000 + number), to: ([10, 77, 255, 80].into(), 80) };
        let (client, server) = (1_000, 5_000);
        let after = client + 1 + request.len() as u32;
        [
            (ends, wire::tcp(ends, client, 0, wire::SYN, &[])),
            (ends.turned(), wire::tcp(ends.turned(), server, client + 1, wire::SYN | wire::ACK, &[])),
            (ends, wire::tcp(ends, client + 1, server + 1, wire::PUSH_ACK, &request)),
            (ends.turned(), wire::tcp(ends.turned(), server + 1, after, wire::ACK, &[])),
        ]
    });
    let framed = frames.map(|(ends, segment)| {
        let bytes = wire::framed(&wire::ip(ends, 6, &segment), Wrap::Plain);
        Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes }
    });
    framed.collect()
}

#[test]
fn jumbo_frames_arrive_whole() {
    if !possible("jumbo_frames_arrive_whole") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let capture = folder.path().join("large.pcap");
    let frames = large_requests(100);
    let bytes: u64 = frames.iter().map(|frame| u64::from(frame.wire_bytes)).sum();
    assert!(frames.iter().any(|frame| frame.bytes.len() > 8_700 && frame.bytes.len() <= 9_014), "they are jumbo");
    std::fs::write(&capture, wire::pcap(&frames)).expect("a capture");
    let service = on_af_xdp(&link, folder.path(), "2", "");
    let sent = link.send(&capture, 1, Some(1_000));
    let (_, counted, account) = ended(service);
    lost_nothing(&counted, sent);
    assert_eq!((number(&account, "bytes"), number(&account, "malformed")), (bytes, 0), "{account}");
    assert_eq!(number(&account, "alerts"), 100, "each host was behind the first pieces: {account}");
}

#[test]
fn a_service_that_is_killed_leaves_the_interface_as_it_was() {
    if !possible("a_service_that_is_killed_leaves_the_interface_as_it_was") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let state = || link.ip_at_sensor(&["-d", "link", "show", "b0"]);
    let before = state();
    assert!(before.contains("promiscuity 0") && !before.contains("xdp"), "{before}");
    for _ in 0..3 {
        let mut service = on_af_xdp(&link, folder.path(), "2", "");
        let during = state();
        assert!(during.contains("prog/xdp") && during.contains("promiscuity 1"), "{during}");
        assert!(!during.contains("xdpgeneric"), "{during}");
        service.child.kill().and_then(|()| service.child.wait()).expect("it is gone");
        let until = Instant::now() + END_WITHIN;
        while state() != before {
            assert!(Instant::now() < until, "{}", state());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn an_interface_that_cannot_be_taken_is_refused_with_the_reason() {
    if !possible("an_interface_that_cannot_be_taken_is_refused_with_the_reason") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let refused = |set: &str, said: &str, code: i32| {
        let mut command = binary::haetae();
        command.args(["run", "-c"]).arg(folder.path().join("haetae.yaml")).args(["--set", set]);
        let output = link.at_sensor(&command).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{set}: {stderr}");
        assert!(stderr.contains(said), "{set}: {stderr}");
    };
    refused("capture=[{interface: b7, backend: af_xdp}]", "no such interface", 74);
    refused("capture=[{interface: lo, backend: af_xdp}]", "has the address 127.0.0.1", 78);
    refused(
        "capture=[{interface: lo, backend: af_xdp, allow_cut_off: true}]",
        "no native XDP: set `backend: libpcap`",
        74,
    );
    link.ip_at_sensor(&["route", "add", "default", "dev", "b0"]);
    refused(AF_XDP, "carries the default route", 78);
    link.ip_at_sensor(&["route", "del", "default", "dev", "b0"]);
    link.ip_at_sensor(&["link", "add", "br0", "type", "bridge"]);
    link.ip_at_sensor(&["link", "set", "b0", "master", "br0"]);
    refused(AF_XDP, "is a part of br0", 78);
    link.ip_at_sensor(&["link", "del", "br0"]);
    let holder = on_af_xdp(&link, folder.path(), "1", "");
    refused(AF_XDP, "another program holds queue 0", 74);
    ended(holder);
    link.ip_at_sensor(&["link", "set", "b0", "down"]);
    refused(AF_XDP, "is down", 74);
    link.ip_at_sensor(&["link", "set", "b0", "up"]);
    link.ip_at_sensor(&["addr", "add", "10.9.9.1/24", "dev", "b0"]);
    refused(AF_XDP, "has the address 10.9.9.1", 78);
    refused(AF_XDP, "`allow_cut_off: true`", 78);
    ended(on_af_xdp(&link, folder.path(), "1", ", allow_cut_off: true"));
}

#[test]
fn without_the_rights_it_is_said_which() {
    if !possible("without_the_rights_it_is_said_which") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let program = env!("CARGO_BIN_EXE_haetae");
    let sets =
        ["-all,+net_raw,+net_admin,+bpf", "-all,+net_raw,+net_admin", "-all,+net_raw,+bpf", "-all,+net_admin,+bpf"];
    for (at, rights) in sets.iter().enumerate() {
        let (bounding, inherited) = (format!("--bounding-set={rights}"), format!("--inh-caps={rights}"));
        let mut command = Command::new("setpriv");
        // all rights and no memory: the other thing that a service is denied
        let limit = ["prlimit", "--memlock=1048576", program];
        command.args([&bounding, &inherited]).args(limit).args(["run", "-c"]).arg(folder.path().join("haetae.yaml"));
        let output = link.at_sensor(command.args(["--set", AF_XDP])).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let (said, code) = if at == 0 { ("RLIMIT_MEMLOCK", 74) } else { ("CAP_NET_RAW,CAP_NET_ADMIN,CAP_BPF", 77) };
        assert!(stderr.contains(said) && output.status.code() == Some(code), "{rights}: {} {stderr}", output.status);
    }
}

#[test]
fn what_comes_while_nobody_reads_is_counted_to_the_frame() {
    if !possible("what_comes_while_nobody_reads_is_counted_to_the_frame") {
        return;
    }
    let (link, folder) = (Link::of_queues(2), site(BAD_EXAMPLE, ""));
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("load.pcap"), wire::pcap(&questions(5_000))).expect("a capture");
    std::fs::write(path("large.pcap"), wire::pcap(&large_requests(500))).expect("a capture");
    let service = on_af_xdp(&link, folder.path(), "2", "");
    let mut sent = link.send(&path("load.pcap"), 1, Some(5_000));
    service.signal("STOP");
    // more than fits the rings; large ones first, of which each takes five frames
    sent += link.send(&path("large.pcap"), 3, None);
    sent += link.send(&path("load.pcap"), 4, None);
    service.signal("CONT");
    std::thread::sleep(Duration::from_millis(500));
    let after = link.send(&path("load.pcap"), 1, Some(5_000));
    let (_, counted, account) = ended(service);
    adds_up(&counted, sent + after);
    let count = |name| number(&counted, name);
    assert!(count("kernel_drops") > 5_000 && count("received") >= 5_000 + after, "{counted}");
    assert_eq!((count("unclaimed"), count("left_in_ring")), (0, 0), "{counted}");
    assert_eq!(number(&account, "packets"), count("received"), "{account}");
}

#[test]
fn an_interface_that_goes_and_comes_back_is_taken_again() {
    if !possible("an_interface_that_goes_and_comes_back_is_taken_again") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let capture = folder.path().join("question.pcap");
    let mut service = on_af_xdp(&link, folder.path(), "2", "");
    for round in 0..3 {
        std::fs::write(&capture, wire::pcap(&questions(round + 1)[round as usize..])).expect("a capture");
        link.send(&capture, 1, None);
        std::thread::sleep(Duration::from_millis(300));
        link.unplug();
        service.hear("cannot be read");
        link.plug();
        service.hear("read again");
    }
    link.ip_at_sensor(&["link", "set", "b0", "down"]);
    link.ip_at_sensor(&["link", "set", "b0", "up"]);
    std::fs::write(&capture, wire::pcap(&questions(4)[3..])).expect("a capture");
    link.send(&capture, 1, None);
    std::thread::sleep(Duration::from_millis(300));
    let (_, counted, account) = ended(service);
    assert_eq!((number(&counted, "reopened"), number(&account, "alerts")), (3, 4), "{counted} {account}");
    adds_up(&counted, 4);
}

/// How often the threads of a process have gone to sleep.
fn sleeps(process: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let statuses = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
    let line = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    statuses.filter_map(line).sum()
}

#[test]
fn frames_come_in_batches_though_each_could_wake_somebody() {
    if !possible("frames_come_in_batches_though_each_could_wake_somebody") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&questions(10_000))).expect("a capture");
    let service = on_af_xdp(&link, folder.path(), "1", "");
    let (before, began) = (sleeps(service.child.id()), Instant::now());
    let sent = link.send(&capture, 2, Some(20_000));
    let (slept, took) = (sleeps(service.child.id()) - before, began.elapsed());
    let (_, counted, _) = ended(service);
    lost_nothing(&counted, sent);
    // a nap is a quarter of a millisecond, and the other threads sleep as well
    let most = took.as_millis() as u64 * 5;
    assert!(slept < most, "{slept} sleeps for {sent} frames in {took:?}");
}
