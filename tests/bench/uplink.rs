//! `cargo run --release --example uplink-bench`: from the spool to a centre on this machine, over TLS, with a ledger that is
//! synced before each answer. How many alerts a second, what the courier's own thread costs, and how long a fresh alert takes.
//!
//! The centre is a process of its own (this program again) that keeps what comes unread: what is measured is the sensor.

#[allow(dead_code)]
#[path = "../support/centre/mod.rs"]
mod centre;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use centre::server::{Behaviour, Server, announce};
use haetae::emit::{Courier, DeadLetters, Https, Secrets, Section, Way, Written};
use haetae::gate::{Gate, Mode, Pulse, Sender, SiteKey};
use haetae::ledger::Ledger;
use haetae::spool::{Options, Spool};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// Alerts that wait when the draining begins.
const WAITING: u64 = 200_000;
/// Fresh alerts, one by one.
const FRESH: u64 = 2_000;
/// How often it is looked whether an alert is there; looking without a pause would take the processor from those who deliver it.
const LOOK_EVERY: Duration = Duration::from_micros(20);
/// Alerts of the spool that is opened again.
const REOPENED_BYTES: u64 = 1 << 30;
/// Between two of them.
const FRESH_EVERY: Duration = Duration::from_millis(2);

fn alert(number: u64) -> Vec<u8> {
    let name = format!("c{number}.bad.example");
    json!({"event_type": "alert", "timestamp": "2026-11-21T14:02:31.118204+0000", "proto": "TCP", "flow_id": number,
        "src_ip": "10.20.4.17", "src_port": 51544, "dest_ip": "203.0.113.66", "dest_port": 443, "in_iface": "tap0",
        "community_id": "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "app_proto": "tls", "direction": "to_server",
        "tls": {"sni": name, "version": "TLS 1.3", "ja4": "t13d1516h2_8daaf6152771_b186095e22b6"},
        "alert": {"action": "allowed", "severity": 1, "signature": format!("10.20.4.17 sent 18.4 kB to {name} (ransomware)"),
        "category": "ransomware", "metadata": {"tlp": ["amber"], "confidence": ["85"]},
        "context": {"ioc": [{"type": "domain_suffix", "value": "bad.example", "id": "indicator--6c0f", "source": "S2W",
            "seen_in": "tls.sni", "seen": name, "valid_until": "2027-01-31T00:00:00Z"}],
        "haetae": {"id": format!("{number:016x}"), "revision": 1, "direction": "outbound", "mode": "exercise",
        "asset": {"ip": "10.20.4.17", "name": "PC-ACCT-04", "role": "client", "network": "office"},
        "contact": {"stage": "data", "bytes_out": 18422, "bytes_in": 912, "resolver": "10.20.0.53", "answer": ["203.0.113.66"]},
        "coverage": {"both_directions": true, "loss_ppm": 0}, "set": {"version": 8812, "age_s": 640}}}}})
    .to_string()
    .into_bytes()
}

fn serve(directory: &Path) -> ! {
    let behaviour = Behaviour { unread: true, ..Behaviour::default() };
    let server = Server::open(&directory.to_owned(), "a-token", behaviour).expect("a ledger");
    let tls = centre::certificates::server(directory).expect("certificates");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    announce(listener.local_addr().expect("its address"));
    let ended = server.serve(listener, Some(tls));
    panic!("{ended:?}");
}

fn courier(spool: &Spool, directory: &Path, url: String) -> Courier {
    let token = directory.join("token");
    std::fs::write(&token, "a-token").expect("a file");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
    let authority = Some(directory.join("centre").join(centre::certificates::AUTHORITY));
    let written = Written { url, token: Some(token), authority, ..Written::default() };
    let section = Section::check(written, Path::new("/"), Secrets::Opened).expect("a section");
    let sender = Sender::new("site-0017", "tap-a", Mode::Exercise).expect("names");
    let gate = Gate::new(section.policy.clone(), SiteKey::fixed(&[1; 32]), sender, Arc::new(|_| false));
    let sinks = Https::open(&section).expect("a sink");
    let ledger = Ledger::open(&directory.join("ledger"), Default::default(), ("site", "tap"), None).expect("a ledger");
    let (dead, ledger) = (DeadLetters::beside(directory), Arc::new(ledger));
    Courier::new(spool.readers(), Way { gate, sinks, dead, ledger, pulse: Pulse::default() })
}

/// A spool of 1 GiB that waits: how long until it is open again, with its pages in memory as a killed process leaves them, and
/// read from the disk as after a power cut.
fn reopen() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options::sized(2 * REOPENED_BYTES);
    let mut spool = Spool::open(folder.path(), options).expect("a spool");
    let (mut number, mut bytes) = (0, 0);
    while bytes < REOPENED_BYTES {
        let record = alert(number);
        spool.append(haetae::spool::Lane::Normal, &record).expect("room");
        (number, bytes) = (number + 1, bytes + record.len() as u64);
        if number % 4096 == 0 {
            spool.sync().expect("a disk");
        }
    }
    spool.sync().expect("a disk");
    drop(spool);
    for cold in [false, true, false, true] {
        if cold {
            forget_pages(folder.path());
        }
        let began = Instant::now();
        let spool = Spool::open(folder.path(), options).expect("a spool");
        let took = began.elapsed();
        assert_eq!(spool.readers().waiting().records(), number);
        println!(
            "{number} records, 1 GiB, open again {}: {took:?}",
            if cold { "from the disk" } else { "from memory" }
        );
    }
}

/// The system keeps no page of what lies in the folder.
fn forget_pages(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        match entry.file_type().expect("a type").is_dir() {
            true => forget_pages(&entry.path()),
            false => {
                let file = std::fs::File::open(entry.path()).expect("a file");
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice");
            }
        }
    }
}

fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Alerts that come one by one, and how long each takes.
fn fresh(spool: &mut Spool, mut courier: Courier) {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let running = std::thread::spawn(move || courier.run(&told));
    let reader = spool.readers();
    let mut times: Vec<Duration> = (0..FRESH)
        .map(|number| {
            std::thread::sleep(FRESH_EVERY);
            let began = Instant::now();
            spool.append(haetae::spool::Lane::Normal, &alert(WAITING + number)).expect("room");
            spool.sync().expect("a disk");
            while reader.waiting().records() > 0 {
                std::thread::sleep(LOOK_EVERY);
            }
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("append to committed and settled: p50 {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0));
    stop.store(true, Ordering::Release);
    running.join().expect("it ends");
}

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("centre") {
        serve(Path::new(&words.next().expect("a folder")));
    }
    if std::env::args().nth(1).as_deref() == Some("reopen") {
        return reopen();
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .arg("centre")
        .arg(folder.path().join("centre"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the centre");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.split_once("listening on ")?.1.to_owned())).expect("it listens");
    let mut spool = Spool::open(&folder.path().join("spool"), Options::default()).expect("a spool");

    let began = Instant::now();
    for number in 0..WAITING {
        spool.append(haetae::spool::Lane::Normal, &alert(number)).expect("room");
    }
    spool.sync().expect("a disk");
    println!("{WAITING} alerts into the spool: {:.0} a second", WAITING as f64 / began.elapsed().as_secs_f64());

    let mut courier = courier(&spool, folder.path(), format!("https://{address}/v1"));
    let (began, busy_before) = (Instant::now(), busy());
    let outcome = courier.drain(began + Duration::from_secs(600));
    let (took, worked) = (began.elapsed().as_secs_f64(), (busy() - busy_before).as_secs_f64());
    assert_eq!((outcome.delivered, outcome.left), (WAITING, 0), "{outcome:?}");
    let rate = |seconds: f64| WAITING as f64 / seconds;
    println!(
        "drained: {:.0} a second; the courier's thread alone: {:.0} a second of its time",
        rate(took),
        rate(worked)
    );

    fresh(&mut spool, courier);
    let _ = child.kill();
    let _ = child.wait();
}
