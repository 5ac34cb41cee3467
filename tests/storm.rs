//! A storm: every packet raises an alert, far more than the spool has room for, while the centre is away. The real service, the real
//! spool, a stand-in centre that comes late: whatever was raised is delivered, merged or counted as given up, to the last one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary;
use crate::delivery::centre::{Running, Setting};
use crate::wire::{self, Ends, Frame, Wrap};

/// Long enough for any machine; only failing tests wait so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Packets, each the first of a flow with a listed address.
const PACKETS: u32 = 60_000;
/// Inside hosts; each is a contact with one address in all.
const HOSTS: u32 = 12_000;
/// Of the smallest spool that may be configured.
const SPOOL_MIB: u64 = 16;
/// Records of a batch, as the contract has it.
const BATCH_MAX: u64 = 512;
/// Every so manieth host speaks to the address that is critical, the next to one of medium severity, all others to a low one.
const URGENT_EVERY: u32 = 60;

const RULES: &str = "format: haetae/1\ndefaults: { source: example, tlp: green, confidence: 85, labels: [crafted] }\n\
    indicators:\n  - { ip: 203.0.113.1, severity: critical }\n  - { ip: 203.0.113.2, severity: high }\n  \
    - { ip: 203.0.113.3, severity: low }\n";

fn packet(number: u32) -> Frame {
    let host = number % HOSTS;
    let [_, _, high, low] = (0x100 + host).to_be_bytes();
    let listed = match host % URGENT_EVERY {
        0 => 1,
        1 => 2,
        _ => 3,
    };
    let port = 1_024 + (number / HOSTS) as u16;
    let ends = Ends { from: ([10, 77, high, low].into(), port), to: ([203, 0, 113, listed].into(), 4_444) };
    let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, &[0x78; 32])), Wrap::Plain);
    Frame { micros: 1_795_262_400_000_000 + u64::from(number), wire_bytes: bytes.len() as u32, bytes }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

struct Service {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Service {
    fn start(folder: &Path) -> Service {
        let mut command: Command = binary::haetae();
        command.args(["run", "--workers", "2", "-c", "haetae.yaml"]).env("HAETAE_LOG", "json").current_dir(folder);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it runs");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        Service { child, lines }
    }

    /// Ends it: its last words, by message.
    fn end(mut self) -> BTreeMap<String, Value> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it can be told to end");
        let lines = self.lines.by_ref().map_while(Result::ok);
        let said: Vec<Value> = lines.filter_map(|line| serde_json::from_str(&line).ok()).collect();
        assert!(self.child.wait().expect("it ends").success(), "{said:?}");
        said.into_iter().map(|line| (line["message"].as_str().unwrap_or_default().to_owned(), line)).collect()
    }
}

/// The numbers of a page of metrics whose names begin so.
fn shown(page: &str, name: &str) -> f64 {
    let of = |line: &str| line.starts_with(name).then(|| line.rsplit(' ').next()?.parse::<f64>().ok()).flatten();
    page.lines().filter_map(of).sum()
}

fn wait_until(what: &str, page: impl Fn() -> String, holds: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let now = page();
        if holds(&now) {
            return now;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {now}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Alerts that went by themselves, wait, stand in an update, or were shed before that.
fn accounted(page: &str) -> f64 {
    let shed = shown(page, "haetae_shed_records_total{record=\"alert\"");
    shown(page, "haetae_merge_alerts_total") + shown(page, "haetae_merge_waiting_alerts") + shed
}

fn configuration(centre: &Running, metrics: u16) -> String {
    format!(
        "site: {{ id: site-0017 }}\nnetworks: {{ home: [10.77.0.0/16] }}\ncapture: [{{ directory: captures }}]\n\
         rules: {{ local: [rules.yaml] }}\nlimits: {{ spool: {SPOOL_MIB}MiB }}\nsandbox: best-effort\n\
         metrics: {{ listen: \"127.0.0.1:{metrics}\" }}\n\
         centre: {{ url: {:?}, token: {:?}, authority: {:?}, spool: spool }}\n",
        centre.url(),
        centre.token(),
        centre.authority(),
    )
}

/// Bytes of a spool's files, without the ledger beside them.
pub fn disk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() && entry.file_name() != "ledger" => disk(&entry.path()),
            Ok(about) if about.is_file() => about.len(),
            _ => 0,
        })
        .sum()
}

#[cfg(feature = "libpcap")]
#[test]
fn of_a_storm_each_alert_is_delivered_merged_or_counted_as_given_up() {
    let (folder, centres) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let path = |name: &str| folder.path().join(name);
    // its certificates and its token, and a port where nobody listens yet
    let mut centre = Running::start(centres.path(), &Setting::default());
    let (port, metrics) = (centre.address.port(), free_port());
    centre.kill();
    std::fs::create_dir(path("captures")).expect("a folder");
    std::fs::write(path("rules.yaml"), RULES).expect("rules");
    std::fs::write(path("haetae.yaml"), configuration(&centre, metrics)).expect("a configuration");
    let service = Service::start(folder.path());
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], metrics));
    let listens = || std::net::TcpStream::connect(at).is_ok();
    let began = Instant::now();
    while !listens() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    let page = || crate::metrics::page(at, "/metrics");
    let frames: Vec<Frame> = (0..PACKETS).map(packet).collect();
    std::fs::write(path("captures/storm.pcap"), wire::pcap(&frames)).expect("a capture");
    let told = |page: &str| {
        assert!(accounted(page) <= f64::from(PACKETS), "{page}");
        shown(page, "haetae_alerts_total") == f64::from(PACKETS) && accounted(page) == f64::from(PACKETS)
    };
    wait_until("all are raised, and none is nowhere", page, told);
    let shed = wait_until("some are given up", page, |page| shown(page, "haetae_spool_shed_records_total") > 0.0);
    assert_eq!(shown(&shed, "haetae_spool_shed_records_total{lane=\"critical\""), 0.0, "the low ones go first");
    let used = disk(&path("spool"));
    assert!(used <= SPOOL_MIB << 20, "{used} bytes");
    let centre = Running::start(centres.path(), &Setting { port, ..Setting::default() });
    wait_until("the centre has all", page, |page| shown(page, "haetae_spool_records ") == 0.0);
    let said = service.end();
    let ended = &said["ended"];
    let merge = &said["delivery: alerts that went, and those that updates stand for"];
    let left = &said["delivery: what waits is in the spool and goes out at the next start"];
    let number = |line: &Value, name: &str| line[name].as_u64().unwrap_or_else(|| panic!("{name}: {line}"));
    assert_eq!(number(ended, "alerts"), u64::from(PACKETS));
    assert_eq!((merge["unaccounted"].as_i64(), ended["unaccounted"].as_i64()), (Some(0), Some(0)), "{merge}");
    assert_eq!(number(merge, "alerts"), number(merge, "gone") + number(merge, "merged"));
    let [committed, waiting, held_back, shed] =
        ["committed", "waiting", "held_back", "shed"].map(|it| number(left, it));
    assert_eq!(number(left, "records"), committed + waiting + held_back + shed, "{left}");
    assert!(shed > 0 && number(merge, "merged") > 0, "{left} {merge}");
    // what the centre has of critical ones is all that there are
    let records = centre.book().records;
    let critical = records.iter().filter(|record| record["severity"] == 1 && record["shed"].is_null());
    let first = critical.filter(|record| record["revision"] == 1 && record["repeats"].is_null()).count() as u32;
    assert_eq!(first, HOSTS / URGENT_EVERY, "no critical contact is missing");
    // who is told to end in the middle of an attempt does not wait for the answer
    let behind = records.len() as u64 - committed;
    assert!(behind <= BATCH_MAX, "{} records at the centre, {committed} committed", records.len());
    let gave_up = records.iter().filter(|record| record["shed"].is_object()).count();
    assert!(gave_up > 0, "the centre is told of what it will not get");
    println!("{PACKETS} alerts: {merge}\n{left}\n{used} bytes of disk");
}
