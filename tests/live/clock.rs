//! A wall clock that somebody sets while the service runs: libfaketime stands between it and the machine's. Flows go on,
//! alerts are raised, the doubt is shown, and an operator's word ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::metrics::page;

const METRICS: &str = "metrics: { listen: \"127.0.0.1:9920\" }\n";

/// Connections that stay open all the time.
const OPEN: u32 = 40;

/// How long a step of the clock may go unnoticed on a machine that has other things to do.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);

const HOUR: i64 = 3_600;
const DECADE: i64 = 87_600 * HOUR;

/// The library that answers for the clock, if it is there.
pub(super) fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let name = Path::new("faketime/libfaketimeMT.so.1");
    let found = folders.chain([PathBuf::from("/usr/lib")]).map(|folder| folder.join(name)).find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "needs libfaketime, and CI has it");
        eprintln!("\n*** clock: NOT TESTED: no libfaketime ***\n");
    }
    found
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

/// A segment of each open connection, the `round`th: 0 is all that opens it.
fn segments(round: u32) -> Vec<Frame> {
    let mut frames = Vec::new();
    for number in 0..OPEN {
        let ends = Ends { from: ([10, 77, 1, number as u8].into(), 50_000), to: ([203, 0, 113, 9].into(), 9_999) };
        let mut say = |packet: Vec<u8>| {
            let bytes = wire::framed(&packet, Wrap::Plain);
            frames.push(Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes });
        };
        if round == 0 {
            say(wire::ip(ends, 6, &wire::tcp(ends, 100, 0, wire::SYN, b"")));
            let turned = ends.turned();
            say(wire::ip(turned, 6, &wire::tcp(turned, 500, 101, wire::SYN | wire::ACK, b"")));
        }
        say(wire::ip(ends, 6, &wire::tcp(ends, 101 + round * 4, 501, wire::PUSH_ACK, b"\x01\x02\x03\x04")));
    }
    frames
}

/// A running service, its clock in our hand, and those who put frames before it.
struct Set<'a> {
    link: &'a Link,
    service: &'a mut Service,
    folder: &'a Path,
    asked: u32,
}

impl Set<'_> {
    /// Sets the service's wall clock so far from the machine's. Whoever reads never finds half a file.
    fn clock(&self, seconds: i64) {
        let (whole, part) = (self.folder.join("clock"), self.folder.join("clock.part"));
        std::fs::write(&part, format!("{seconds:+}\n")).and_then(|()| std::fs::rename(part, whole)).expect("a file");
    }

    fn metric(&self, name: &str) -> f64 {
        let exposition = page((Ipv4Addr::LOCALHOST, 9920).into(), "/metrics");
        let of = |line: &str| line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{'])).map(str::to_owned);
        let values = exposition.lines().filter_map(of).filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    fn waits_for(&self, name: &str, value: f64, within: Duration) {
        let until = Instant::now() + within;
        while self.metric(name) != value {
            assert!(Instant::now() < until, "{name} is {}, not {value}", self.metric(name));
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    fn send(&self, frames: &[Frame]) {
        let capture = self.folder.join("frames.pcap");
        std::fs::write(&capture, wire::pcap(frames)).expect("a capture");
        self.link.send(&capture, 1, None);
    }

    /// Another host asks for the listed name.
    fn ask(&mut self) {
        self.send(&questions(self.asked + 1)[self.asked as usize..]);
        self.asked += 1;
    }

    /// The operator says that the clock is right.
    fn trust(&mut self) {
        self.service.signal("HUP");
        self.service.hear("reloaded");
        self.waits_for("haetae_clock_suspect", 0.0, NOTICED_WITHIN);
    }
}

/// Times of first revisions of alerts, in seconds since 1970, and whether they say that the clock is suspect.
fn alerted(folder: &Path) -> Vec<(i64, bool)> {
    let lines = binary::lines(&std::fs::read(folder.join("eve.json")).expect("a log")).expect("whole lines");
    let first = lines.iter().filter(|line| line.pointer("/alert/context/haetae/revision") == Some(&1.into()));
    let seconds = |line: &Value| {
        let text = line["timestamp"].as_str().expect("a time").replace("+0000", "Z");
        let suspect = line.pointer("/alert/context/haetae/clock_suspect") == Some(&true.into());
        (text.parse::<jiff::Timestamp>().expect("a time").as_second(), suspect)
    };
    first.map(seconds).collect()
}

#[test]
fn a_wall_clock_that_is_set_moves_nothing_until_an_operator_says_that_it_is_right() {
    let name = "a_wall_clock_that_is_set_moves_nothing_until_an_operator_says_that_it_is_right";
    let Some(library) = library().filter(|_| possible(name)) else { return };
    let tomorrow = jiff::Timestamp::from_second(now() + 24 * HOUR).expect("a time");
    let rules = format!("format: haetae/1\nindicators:\n  - {{ domain: bad.example, valid_until: \"{tomorrow}\" }}\n");
    let (link, folder) = (Link::new(), site(&rules, METRICS));
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "+0\n").expect("a file");
    let text = |path: &Path| path.display().to_string();
    let (library, clock) = (text(&library), text(&clock));
    let faked = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.as_str()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
    ];
    // the library that fakes the clock reads a file, on whatever thread asks for the time
    let mut service = Service::start_among(&link, folder.path(), &["--workers", "2", "--set", "sandbox=off"], &faked);
    service.hear("metrics are served");
    let began = now();
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            link.enter();
            step_by_step(&mut Set { link: &link, service: &mut service, folder: folder.path(), asked: 0 }, began);
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let (_, account, status, _) = service.end();
    assert!(status.success() && account["unaccounted"] == 0, "{account}");
    let mut marks: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for line in binary::lines(&std::fs::read(folder.path().join("eve.json")).expect("a log")).expect("whole lines") {
        let haetae = &line["alert"]["context"]["haetae"];
        marks.entry(haetae["id"].to_string()).or_default().insert(haetae["clock_suspect"] == true);
    }
    assert!(marks.values().all(|marks| marks.len() == 1), "the doubt of a contact's first revision stays: {marks:?}");
}

fn step_by_step(set: &mut Set<'_>, began: i64) {
    set.send(&segments(0));
    set.ask();
    set.waits_for("haetae_flows_began_total", f64::from(OPEN + 1), NOTICED_WITHIN);
    assert_eq!((set.metric("haetae_clock_suspect"), set.metric("haetae_ready")), (0.0, 1.0));
    let steps = [HOUR, -HOUR, DECADE, -DECADE, 24 * HOUR - began];
    for (round, seconds) in (1..).zip(steps) {
        set.clock(seconds);
        set.waits_for("haetae_clock_suspect", 1.0, NOTICED_WITHIN);
        std::thread::sleep(Duration::from_millis(300)); // a sweep, and another look at the clocks
        set.send(&segments(round));
        set.ask();
        let flows = f64::from(OPEN + round + 1);
        set.waits_for("haetae_alerts_total", f64::from(round + 1), NOTICED_WITHIN);
        assert_eq!(set.metric("haetae_flows_began_total"), flows, "connections ended at {seconds} s, and began again");
        assert_eq!(set.metric("haetae_flows_open"), flows, "{seconds} s");
        assert_eq!(set.metric("haetae_ready"), 1.0, "a doubtful clock is no reason to be taken out of service");
    }
    for (round, (time, suspect)) in alerted(set.folder).into_iter().enumerate() {
        assert_eq!(suspect, round > 0, "the alert of round {round} says whether its time is in doubt");
        assert!((began - 2..=now() + 2).contains(&time), "an alert of {time}, between {began} and {}", now());
    }
    // in ten years the indicator holds no longer: a service that follows raises nothing
    set.clock(DECADE);
    set.waits_for("haetae_clock_suspect", 1.0, NOTICED_WITHIN);
    let open = set.metric("haetae_flows_open");
    set.trust();
    std::thread::sleep(Duration::from_millis(700)); // every shard is swept, and the counters are put up
    assert_eq!(set.metric("haetae_flows_open"), open, "ten years on, and no connection ended by it");
    let raised = set.metric("haetae_alerts_total");
    set.ask();
    set.waits_for("haetae_refusals_total", 1.0, NOTICED_WITHIN);
    assert_eq!(set.metric("haetae_alerts_total"), raised);
    set.clock(HOUR);
    set.waits_for("haetae_clock_suspect", 1.0, NOTICED_WITHIN);
    set.trust();
    set.ask();
    set.waits_for("haetae_alerts_total", raised + 1.0, NOTICED_WITHIN);
    let (last, suspect) = alerted(set.folder).pop().expect("an alert");
    assert!((now() + HOUR - 3..=now() + HOUR + 3).contains(&last) && !suspect, "{last} is the new time");
}
