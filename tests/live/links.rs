//! Links as they are in a rack: which way they are read, several workers for one of them, and their comings and goings.

use super::*;

/// How the service says that it reads its link, as it starts so.
fn capturing(link: &Link, folder: &Path, words: &[&str]) -> (Service, String, String) {
    let service = Service::start(link, folder, words);
    let line = service.heard.iter().find(|line| line["message"] == "capturing").expect("it says").clone();
    let text = |name: &str| line[name].as_str().expect("words").to_owned();
    (service, text("backend"), text("manner"))
}

#[test]
fn the_best_way_is_taken_that_cuts_nobody_off_and_the_reason_is_said() {
    if !possible("the_best_way_is_taken_that_cuts_nobody_off_and_the_reason_is_said") {
        return;
    }
    let (link, folder) = (Link::of_queues(2), site(BAD_EXAMPLE, ""));
    let asked = |set: &str| {
        let (service, backend, manner) = capturing(&link, folder.path(), &["--workers", "2", "--set", set]);
        service.end();
        (backend, manner)
    };
    let (backend, manner) = asked("capture=[{interface: b0}]");
    assert!(backend == "af_xdp" && manner.starts_with("native, copy, promiscuous, receive queues: 2"), "{manner}");
    let (backend, manner) = asked("capture=[{interface: b0, filter: udp}]");
    assert!(
        backend == "libpcap" && manner.contains("shared by 2 workers") && !manner.contains("not AF_XDP"),
        "{manner}"
    );
    let (backend, manner) = asked("capture=[{interface: any}]");
    assert_eq!((&*backend, manner.contains("shared")), ("libpcap", false), "{manner}");
    link.ip_at_sensor(&["addr", "add", "192.0.2.9/24", "dev", "b0"]);
    let (backend, manner) = asked("capture=[{interface: b0}]");
    assert!(backend == "libpcap" && manner.contains("not AF_XDP: the interface has the address 192.0.2.9"), "{manner}");
    link.ip_at_sensor(&["link", "add", "d0", "type", "ifb"]);
    link.ip_at_sensor(&["link", "set", "d0", "up"]);
    let (backend, manner) = asked("capture=[{interface: d0}]");
    assert!(backend == "libpcap" && manner.contains("not AF_XDP: its driver has no native XDP"), "{manner}");
    // polled busily nobody waits, and all is read as ever
    link.ip_at_sensor(&["addr", "flush", "dev", "b0"]);
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&questions(500))).expect("a capture");
    let words = ["--workers", "1", "--set", "capture=[{interface: b0, backend: af_xdp, busy_poll: 20}]"];
    let (service, _, manner) = capturing(&link, folder.path(), &words);
    assert!(manner.ends_with("polled busily for 20 us"), "{manner}");
    let sent = link.send(&capture, 1, Some(5_000));
    let (kernel, account, ..) = service.end();
    assert_eq!((number(&kernel, "received"), number(&account, "alerts")), (sent, sent), "{kernel}");
}

/// Somebody who asks for the listed name, each time from another host, until the sensor has said so.
pub(super) struct Asking<'a> {
    link: &'a Link,
    folder: &'a Path,
    asked: u32,
    /// Bytes of the log that were read.
    read: usize,
}

impl<'a> Asking<'a> {
    pub(super) fn new(link: &'a Link, folder: &'a Path) -> Asking<'a> {
        Asking { link, folder, asked: 0, read: 0 }
    }

    /// Asks until one of the questions that are asked from now on is an alert, for two seconds; how long that took. What is
    /// said of older ones does not count: they end half a minute later, and are said once more.
    pub(super) fn until_heard(&mut self, when: &str) -> Duration {
        let (began, first) = (Instant::now(), self.asked);
        while !self.heard_since(first) {
            assert!(began.elapsed() < Duration::from_secs(2), "{when}: not back after two seconds");
            let question = self.folder.join("question.pcap");
            let frames = questions(self.asked + 1);
            std::fs::write(&question, wire::pcap(&frames[self.asked as usize..])).expect("a capture");
            self.link.send(&question, 1, None);
            self.asked += 1;
            std::thread::sleep(Duration::from_millis(30));
        }
        began.elapsed()
    }

    fn heard_since(&mut self, first: u32) -> bool {
        let log = std::fs::read(self.folder.join("eve.json")).expect("a log");
        let whole = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = binary::lines(&log[self.read..whole]).expect("whole lines");
        self.read = whole;
        let host = |line: &Value| line["src_ip"].as_str()?.parse::<std::net::Ipv4Addr>().ok();
        lines.iter().filter_map(host).any(|host| host.to_bits() & 0xff_ffff >= first)
    }
}

/// How often a link comes and goes: a thousand times where somebody has the time.
fn cycles() -> u32 {
    std::env::var("HAETAE_CYCLES").map_or(30, |text| text.parse().expect("a number of cycles"))
}

/// Takes the link down and up, or away and back, in turns; after each, a question must be heard within two seconds.
fn comes_and_goes(name: &str, capture: &str) {
    if !possible(name) {
        return;
    }
    let (link, folder) = (Link::of_queues(2), site(BAD_EXAMPLE, ""));
    let service = Service::start(&link, folder.path(), &["--workers", "2", "--set", capture]);
    let process = service.child.id();
    let mut asking = Asking::new(&link, folder.path());
    let (mut longest, mut after) = (Duration::ZERO, None);
    for cycle in 0..cycles() {
        if cycle % 2 == 0 {
            link.ip_at_sensor(&["link", "set", "b0", "down"]);
            link.ip_at_sensor(&["link", "set", "b0", "up"]);
        } else {
            link.unplug();
            link.plug();
        }
        longest = longest.max(asking.until_heard(&format!("cycle {cycle}")));
        // the first rounds fill what is used again later
        if cycle == 5 {
            after = Some((held(process), resident(process)));
        }
    }
    let ((held_then, resident_then), held_now) = (after.expect("there were enough"), held(process));
    let grown = resident(process).saturating_sub(resident_then);
    eprintln!(
        "{name}: back after at most {longest:?}; {grown} bytes more after {} cycles; holds {held_now:?}",
        cycles()
    );
    // mappings come and go with the allocator's; one that each other cycle left behind would be a leak
    let spare = [2, 2 + cycles() as usize / 4, 2];
    let alike = |((now, then), spare): ((&usize, usize), usize)| *now <= then + spare;
    assert!(held_now.iter().zip(held_then).zip(spare).all(alike), "{held_then:?} became {held_now:?}");
    assert!(grown < 8 << 20, "{grown} bytes more");
    let (kernel, account, status, _) = service.end();
    assert!(status.success() && account["unaccounted"] == 0, "{account}");
    assert!(number(&kernel, "reopened") >= u64::from(cycles() / 2), "{kernel}");
}

#[test]
fn a_link_by_af_xdp_comes_and_goes_and_nothing_leaks() {
    comes_and_goes(
        "a_link_by_af_xdp_comes_and_goes_and_nothing_leaks",
        "capture=[{interface: b0, backend: af_xdp, ring: 4MiB}]",
    );
}

#[test]
fn a_link_by_libpcap_comes_and_goes_and_nothing_leaks() {
    comes_and_goes(
        "a_link_by_libpcap_comes_and_goes_and_nothing_leaks",
        "capture=[{interface: b0, backend: libpcap, ring: 4MiB}]",
    );
}

/// A service with two links, one of which is not there when it starts; afterwards that comes.
fn comes_late(words: &[&str], capture: &str, is_down: bool) {
    let (link, folder) =
        (Link::new(), site(BAD_EXAMPLE, "metrics: { listen: \"127.0.0.1:9920\" }\nsandbox: required\n"));
    let question = folder.path().join("question.pcap");
    std::fs::write(&question, wire::pcap(&questions(1))).expect("a capture");
    link.ip_at_sensor(&["link", "add", "d0", "type", "ifb"]);
    link.ip_at_sensor(&["link", "set", "d0", "up"]);
    let there = |there: bool| match (is_down, there) {
        (true, _) => drop(link.ip_at_sensor(&["link", "set", "b0", if there { "up" } else { "down" }])),
        (false, true) => link.plug(),
        (false, false) => link.unplug(),
    };
    there(false);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all,+net_raw,+net_admin,+bpf,+setpcap", env!("CARGO_BIN_EXE_haetae")]);
    let mut service = Service::start_by(&link, folder.path(), command, &[words, &["--set", capture]].concat());
    let said = service.heard.iter().find(|line| line["message"] == "the link cannot be read; it is tried again");
    let said = said.unwrap_or_else(|| panic!("{:?}", service.heard));
    assert_eq!((&said["level"], &said["interface"]), (&"ERROR".into(), &"b0".into()), "{said}");
    let why = if is_down { "is down" } else { "no such interface" };
    assert!(said["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{said}");
    assert_eq!(service.hear("sandboxed")["findings"], 0);
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            link.enter();
            let waits_for = |wanted: &str| {
                let until = Instant::now() + PATIENCE;
                while crate::metrics::page(([127, 0, 0, 1], 9920).into(), "/readyz") != wanted {
                    assert!(Instant::now() < until, "never {wanted:?}");
                    std::thread::sleep(Duration::from_millis(50));
                }
            };
            waits_for("b0: the link cannot be read\n");
            there(true);
            waits_for("ready\n");
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    service.hear("read again");
    link.send(&question, 1, None);
    std::thread::sleep(Duration::from_millis(300));
    service.signal("TERM");
    let account = service.hear("ended");
    assert!(service.child.wait().expect("it ends").success(), "{account}");
    assert_eq!((number(&account, "alerts"), &account["unaccounted"]), (1, &0.into()), "{account}");
}

#[test]
fn a_link_that_is_missing_at_the_start_keeps_no_other_from_being_read_and_is_taken_when_it_comes() {
    if !possible("a_link_that_is_missing_at_the_start_keeps_no_other_from_being_read_and_is_taken_when_it_comes") {
        return;
    }
    let beside = |backend: &str| {
        format!("capture=[{{interface: d0, backend: libpcap}}, {{interface: b0, backend: {backend}, ring: 1MiB}}]")
    };
    comes_late(&["--workers", "1"], &beside("libpcap"), false);
    comes_late(&["--workers", "2"], &beside("libpcap"), true);
    comes_late(&["--workers", "2"], &beside("af_xdp"), false);
    comes_late(&["--workers", "2"], &beside("auto"), true);
}
