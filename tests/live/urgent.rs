//! A storm of alerts that hardly matter, and now and then one that does: how long it takes from its packet to the centre's disk. No
//! time is judged here, it is printed; what is judged is that none is missing and that the spool keeps to its limit.
//!
//! `HAETAE_STORM_SECONDS` and `HAETAE_STORM_RATE` make it longer and worse; `HAETAE_BINARY` measures another build of the sensor.

use std::sync::atomic::{AtomicBool, Ordering};

use super::load::{metrics, sum};
use super::sinks::{SANDBOXED, WORDS};
use super::*;
use crate::delivery::centre::ledger::FILE;
use crate::delivery::centre::server::{Behaviour, COMMITS};
use crate::delivery::centre::{Running, Setting};
use crate::storm::disk;
use crate::support::namespaces::sent;

/// How long the storm lasts, if nothing else is said.
const SECONDS: u64 = 3;
/// Packets a second, each an alert of its own.
const RATE: u64 = 20_000;
/// One of these in 100 ms is critical.
const URGENT_RATE: u64 = 10;
/// The smallest spool that may be configured: the storm is more.
const SPOOL_BYTES: u64 = 16 << 20;
/// Where the service says what it counts.
const METRICS_PORT: u16 = 9920;

const RULES: &str = "format: haetae/1\ndefaults: { source: example, tlp: green, pap: green, confidence: 85 }\nindicators:\n  \
    - { ip: 203.0.113.1, severity: critical }\n  - { ip: 203.0.113.3, severity: low }\n";

fn asked_for(name: &str, unsaid: u64) -> u64 {
    std::env::var(name).map_or(unsaid, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A datagram to a listed address, the first of its flow.
fn datagram(number: u64, listed: u8) -> Frame {
    let [.., high, middle, low] = number.to_be_bytes();
    let ends = Ends { from: ([10, high, middle, low].into(), 1_024), to: ([203, 0, 113, listed].into(), 4_444) };
    let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, &[0x78; 22])), Wrap::Plain);
    Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes }
}

fn capture(folder: &Path, name: &str, count: u64, listed: u8) -> PathBuf {
    let frames: Vec<Frame> = (0..count).map(|number| datagram(number, listed)).collect();
    std::fs::write(folder.join(name), wire::pcap(&frames)).expect("a capture");
    folder.join(name)
}

/// Microseconds from its packet until the centre had it on its disk, of each critical alert: its first revision alone.
fn times(home: &Path) -> Vec<i64> {
    let read = |name: &str| std::fs::read_to_string(home.join(name)).expect("the centre's file");
    let (ledger, commits) = (read(FILE), read(COMMITS));
    let mut times = Vec::new();
    for (batch, commit) in ledger.lines().zip(commits.lines()) {
        let batch: Value = serde_json::from_str(batch).expect("a whole line");
        let committed: i64 = commit.parse().expect("a number");
        let urgent = |record: &&Value| record["severity"] == 1 && record["revision"] == 1 && record["shed"].is_null();
        times.extend(batch["records"].as_array().into_iter().flatten().filter(urgent).map(|record| {
            let came = record["timestamp"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            committed - came.expect("a time").as_microsecond()
        }));
    }
    times.sort_unstable();
    times
}

/// What a storm came to.
struct Storm {
    /// Packets sent: of the storm, and critical ones.
    sent: [u64; 2],
    /// The most that the spool's files took, in bytes, and the longest that a critical record was in them, in seconds.
    most: (u64, f64),
    seconds: f64,
}

/// Both senders, and a look at the disk now and then.
fn rages(link: &Link, folder: &Path, spool: &Path) -> Storm {
    let (seconds, rate) = (asked_for("HAETAE_STORM_SECONDS", SECONDS), asked_for("HAETAE_STORM_RATE", RATE));
    let low = capture(folder, "low.pcap", seconds * rate, 3);
    let urgent = capture(folder, "urgent.pcap", seconds * URGENT_RATE, 1);
    let (over, began) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut most: (u64, f64) = (0, 0.0);
            while !over.load(Ordering::Acquire) {
                let age = metrics(METRICS_PORT)["haetae_spool_lane_oldest_age_seconds{lane=\"critical\"}"];
                most = (most.0.max(disk(spool)), most.1.max(age));
                std::thread::sleep(Duration::from_millis(50));
            }
            most
        });
        let senders = [link.sending(&low, 1, Some(rate)), link.sending(&urgent, 1, Some(URGENT_RATE))];
        let sent = senders.map(sent);
        let seconds = began.elapsed().as_secs_f64();
        over.store(true, Ordering::Release);
        Storm { sent, most: looks.join().expect("it looks"), seconds }
    })
}

#[test]
fn in_a_storm_what_is_critical_goes_ahead_and_the_disk_keeps_to_its_limit() {
    if !possible("in_a_storm_what_is_critical_goes_ahead_and_the_disk_keeps_to_its_limit") {
        return;
    }
    let link = Link::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            link.enter();
            storm(&link);
        });
    });
}

fn storm(link: &Link) {
    let home = tempfile::tempdir().expect("a folder");
    let timed = Behaviour { timed: true, ..Behaviour::default() };
    let centre = Running::start(home.path(), &Setting { port: 0, behaviour: timed });
    let spool = home.path().join("spool");
    // each alert goes by itself: what merging takes away is no storm any more
    let more = format!(
        "{SANDBOXED}metrics: {{ listen: \"127.0.0.1:{METRICS_PORT}\" }}\nlimits: {{ spool: {SPOOL_BYTES} }}\n\
         centre: {{ url: {:?}, token: {:?}, authority: {:?}, spool: {spool:?}, merge_seconds: 0 }}\n",
        centre.url(),
        centre.token(),
        centre.authority(),
    );
    let folder = site(RULES, &more);
    let command = std::env::var_os("HAETAE_BINARY").map_or_else(binary::haetae, Command::new);
    let mut service = Service::start_by(link, folder.path(), command, &WORDS);
    assert_eq!(service.hear("sandboxed")["findings"], 0);
    let storm = rages(link, folder.path(), &spool);
    let until = Instant::now() + PATIENCE;
    let waiting = |seen: &BTreeMap<String, f64>| seen["haetae_spool_lane_records{lane=\"critical\"}"];
    let mut seen = metrics(METRICS_PORT);
    // what is low may wait on
    while sum(&seen, "haetae_alerts_total") == 0 || waiting(&seen) > 0.0 {
        assert!(Instant::now() < until, "what is critical waits: {seen:?}");
        std::thread::sleep(Duration::from_millis(100));
        seen = metrics(METRICS_PORT);
    }
    let (kernel, account, status, _) = service.end();
    assert!(status.success() && account["unaccounted"] == 0, "{account}");
    told(&storm, (&kernel, &account), &seen, times(home.path()));
}

fn told(storm: &Storm, (kernel, account): (&Value, &Value), seen: &BTreeMap<String, f64>, times: Vec<i64>) {
    let [low, urgent] = storm.sent;
    let (dropped, shed_before) = (number(kernel, "kernel_drops"), number(account, "alerts_shed"));
    let (came, lost) = (times.len() as u64, dropped + shed_before);
    assert!(0 < came && came <= urgent && urgent <= came + dropped, "{came} of {urgent} critical ones: {account}");
    assert!(number(account, "alerts") + number(kernel, "kernel_drops") >= low + urgent, "{account} {kernel}");
    let shed = |lane: &str| {
        let of = |name: &str| name.starts_with(&format!("haetae_spool_shed_records_total{{lane=\"{lane}\""));
        seen.iter().filter(|(name, _)| of(name)).map(|(_, count)| *count as u64).sum::<u64>()
    };
    assert_eq!(shed("critical"), 0, "what is low goes first: {seen:?}");
    assert!(storm.most.0 <= SPOOL_BYTES, "{} bytes", storm.most.0);
    // what is committed is kept as long as there is room
    assert!(low < RATE || storm.most.0 >= SPOOL_BYTES / 2, "{} bytes", storm.most.0);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
    println!(
        "{:.0} alerts a second for {:.1} s, {lost} lost before the spool, {} given up by it ({} bytes of disk at most); of {urgent} \
         critical ones {came} came, packet to commit: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms; in the spool {:.0} ms at most",
        number(account, "alerts") as f64 / storm.seconds,
        storm.seconds,
        shed("low"),
        storm.most.0,
        at(0.5),
        at(0.99),
        at(1.0),
        storm.most.1 * 1e3,
    );
}
