//! Delivery through a real cluster of NATS into a real database, under every fault between the two: each alert is there exactly
//! once, or counted as dropped by who dropped it.

pub mod receipts;
pub mod wire;
pub mod world;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haetae::emit::nats::Written as Nats;
use haetae::emit::{Attempt, Courier, DeadLetters, Outcome, Secrets, Section, Way, Written};
use haetae::gate::{Gate, Mode, Pulse, Sender, SiteKey};
use haetae::spool::{DEAD_LETTERS, NotTaken, Options, Spool};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::delivery::ledger_in;
use wire::Wire;
use world::{PATIENCE, Wanted, World};

/// The variable that makes this test binary a sensor: the folder of its world.
const SENSOR: &str = "HAETAE_TEST_NATS_SENSOR";

fn alert(number: u64, severity: u64) -> Value {
    json!({"event_type": "alert", "timestamp": "2026-11-21T14:02:31.118204+0000", "proto": "TCP",
        "src_ip": "10.20.4.17", "src_port": 51544, "dest_ip": "203.0.113.66", "dest_port": 443,
        "alert": {"severity": severity, "category": "ransomware", "metadata": {"tlp": ["amber"]},
        "context": {"ioc": [{"type": "domain", "value": "bad.example", "seen_in": "tls.sni", "seen": "bad.example"}],
        "haetae": {"id": id(number), "revision": 1, "direction": "outbound", "mode": "exercise",
        "asset": {"ip": "10.20.4.17", "role": "client"}, "contact": {"stage": "data", "bytes_out": 5}}}}})
}

fn id(number: u64) -> String {
    format!("id-{number:06}")
}

fn ids(numbers: impl Iterator<Item = u64>) -> Vec<String> {
    numbers.map(id).collect()
}

fn spool(folder: &Path, options: Options) -> Spool {
    Spool::open(folder, options).expect("a spool")
}

fn fill(spool: &mut Spool, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        spool.append(haetae::spool::Lane::Normal, alert(number, 1).to_string().as_bytes()).expect("room");
    }
    spool.sync().expect("a disk");
}

/// A courier of a site, with somebody's certificate, to these servers.
fn courier_as(world: &World, spool: &Spool, folder: &Path, site: &str, whose: &str, servers: Vec<String>) -> Courier {
    let written = Written {
        nats: Some(Nats { servers, stream: None }),
        authority: Some(world.path("authority.pem")),
        certificate: Some(world.path(&format!("{whose}.pem"))),
        key: Some(world.path(&format!("{whose}.key"))),
        spool: Some(folder.to_owned()),
        ..Written::default()
    };
    let section = Section::check(written, Path::new("/"), Secrets::Opened).expect("a section");
    let sender = Sender::new(site, "tap-a.example", Mode::Exercise).expect("names");
    let (row, sinks) = section.ways(&sender).expect("ways");
    let key = SiteKey::open(&section.key()).expect("a key");
    let gate = Gate::of(row, &section.policy, key, sender, Arc::new(|_| false));
    let (dead, ledger) = (DeadLetters::beside(folder), ledger_in(folder));
    Courier::new(spool.readers(), Way { gate, sinks, dead, ledger, pulse: Pulse::default() })
}

fn courier(world: &World, spool: &Spool, folder: &Path) -> Courier {
    courier_as(world, spool, folder, "site-0017", "site", world.servers())
}

fn patiently(courier: &mut Courier) -> Outcome {
    courier.drain(Instant::now() + PATIENCE)
}

fn briefly(courier: &mut Courier) -> Outcome {
    courier.drain(Instant::now() + Duration::from_secs(2))
}

fn all(delivered: u64) -> Outcome {
    Outcome { delivered, ..Outcome::default() }
}

/// The lines of the ledger beside a spool, in order.
fn entries(spool: &Path) -> Vec<String> {
    let files = std::fs::read_dir(spool.join("ledger")).expect("a ledger").map(|entry| entry.expect("a file").path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let text = |path: &std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    files.iter().flat_map(|path| text(path).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// How often alerts were about to leave.
fn attempts(spool: &Path) -> usize {
    entries(spool).iter().filter(|line| line.contains("\"attempt\"") && line.contains("\"kind\":\"alerts\"")).count()
}

/// Each head that the centre keeps is that of a line of the ledger, and each sequence has one.
fn heads_agree(world: &World, spool: &Path) {
    let lines = entries(spool);
    let digest = |line: &String| haetae::ledger::Digest::of(line.as_bytes()).to_string();
    let heads = world.asked("select sequence, head from ledger where site = 'site-0017' order by sequence");
    assert!(heads.len() > 3, "{heads:?}");
    for row in &heads {
        let (sequence, head) = row.split_once('|').expect("two columns");
        let sequence: usize = sequence.parse().expect("a number");
        assert_eq!(head, digest(&lines[sequence - 1]), "{sequence} of {}", lines.len());
    }
    let sequences = world.asked("select count(distinct sequence) from ledger");
    assert_eq!(sequences, [heads.len().to_string()]);
}

#[test]
fn alerts_are_in_the_database_once_and_an_acknowledgement_of_the_broker_settles_none() {
    let Some(mut world) = World::start(Wanted { severity_min: 1, ..Wanted::default() }) else { return };
    let folder = TempDir::new().expect("a folder");
    let mut spool = spool(&folder.path().join("spool"), Options::default());
    fill(&mut spool, 1..=300);
    let mut courier = courier(&world, &spool, &folder.path().join("spool"));
    assert_eq!(briefly(&mut courier).delivered, 0, "there is no stream");
    world.start_ingest(false);
    world.wait_for_ingest(1);
    assert_eq!(patiently(&mut courier), all(300));
    assert_eq!(world.alerts(), ids(1..=300));
    // Nobody takes alerts out of the stream: they are on three disks, and they are not settled.
    world.kill_ingest();
    fill(&mut spool, 301..=400);
    let at = folder.path().join("spool");
    let before = attempts(&at);
    let outcome = briefly(&mut courier);
    assert_eq!((outcome.delivered, outcome.left), (300, 100));
    assert_eq!(attempts(&at), before + 1, "they went once, and were asked after since");
    assert!(courier.counts().attempts(Attempt::Taken) > 0);
    assert_eq!(world.asked("select count(*) from alert"), ["300"]);
    world.start_ingest(false);
    assert_eq!(patiently(&mut courier), all(400));
    assert_eq!(world.alerts(), ids(1..=400));
    assert_eq!(world.asked("select said ->> 'sensor' from sensor where site = 'site-0017'"), ["tap-a.example"]);
    let (began, count) = (Instant::now(), 10_000);
    fill(&mut spool, 401..=400 + count);
    let filled = began.elapsed();
    assert_eq!(patiently(&mut courier).delivered, 400 + count);
    let took = (began.elapsed() - filled).as_secs_f64();
    eprintln!("through the cluster into the database: {:.0} alerts/s", count as f64 / took);
    let mut waits = Vec::new();
    for number in 1..=50 {
        fill(&mut spool, std::iter::once(400 + count + number));
        let began = Instant::now();
        assert_eq!(patiently(&mut courier).left, 0);
        waits.push(began.elapsed());
    }
    waits.sort_unstable();
    eprintln!("from the spool to the watermark: p50 {:?}, worst of 50 {:?}", waits[25], waits[49]);
    let once = "select count(*), count(distinct id) from alert";
    assert_eq!(world.asked(once), [format!("{0}|{0}", 450 + count)]);
    heads_agree(&world, &at);
}

#[test]
fn a_site_speaks_for_itself_alone_and_a_stranger_not_at_all() {
    let Some(mut world) = World::start(Wanted { severity_min: 2, ..Wanted::default() }) else { return };
    world.start_ingest(false);
    world.wait_for_ingest(1);
    let folder = TempDir::new().expect("a folder");
    let at = folder.path().join("spool");
    let mut spool = spool(&at, Options::default());
    fill(&mut spool, 1..=1);
    for (site, whose, why) in [("site-0018", "site", "ermissions"), ("site-9999", "stranger", "uthorization")] {
        let mut other = courier_as(&world, &spool, &at, site, whose, world.servers());
        let outcome = briefly(&mut other);
        assert_eq!((outcome.delivered, outcome.left), (0, 1), "{site}");
        let reason = outcome.reason.expect("a reason");
        assert!(reason.contains(why), "{site}: {reason}");
    }
    assert_eq!(world.asked("select count(*) from alert"), ["0"]);
    // Of severity 1, which this centre's contract has no place for: kept here, and the others go.
    for number in 2..=20 {
        spool
            .append(haetae::spool::Lane::Normal, alert(number, if number == 9 { 1 } else { 2 }).to_string().as_bytes())
            .expect("room");
    }
    spool.sync().expect("a disk");
    let outcome = patiently(&mut courier(&world, &spool, &at));
    assert_eq!((outcome.delivered, outcome.dead, outcome.left), (18, 2, 0), "{outcome:?}");
    assert_eq!(world.alerts(), ids((2..=20).filter(|number| *number != 9)));
    let letters = std::fs::read_to_string(at.join(DEAD_LETTERS)).expect("dead letters");
    assert_eq!(letters.lines().count(), 2);
    assert!(letters.contains("severity"), "{letters}");
}

#[test]
fn whoever_is_killed_between_two_steps_takes_them_again() {
    let Some(mut world) = World::start(Wanted::default()) else { return };
    let folder = TempDir::new().expect("a folder");
    let at = folder.path().join("spool");
    // The ingest, between its commit and saying so.
    world.start_ingest(true);
    let mut written = 0;
    // The sensor, at any moment of writing and sending.
    for round in 0..4 {
        let mut child = sensor(&world, &at, written + 1);
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut last = 0;
        while let Some(Ok(line)) = lines.next() {
            last = line.strip_prefix("synced ").map_or(last, |number| number.parse().expect("a number"));
            if last >= written + 200 * (round + 1) {
                break;
            }
        }
        if round == 0 {
            world.ingest_ended();
            world.start_ingest(false);
        }
        child.kill().expect("a child");
        let rest = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("synced ")?.parse().ok());
        written = rest.last().unwrap_or(last);
        child.wait().expect("its end");
    }
    // What was being written when it was killed may be there or not: nobody was told.
    let mut spool = spool(&at, Options::default());
    let outcome = patiently(&mut courier(&world, &spool, &at));
    assert_eq!(outcome.left, 0, "{outcome:?}");
    let there = world.alerts();
    let phantom = there.iter().filter(|one| one.as_str() > id(written).as_str()).count();
    assert_eq!(there[..there.len() - phantom], ids(1..=written)[..]);
    fill(&mut spool, written + 1_000..written + 1_010);
    assert_eq!(patiently(&mut courier(&world, &spool, &at)).left, 0);
    assert_eq!(world.alerts().len(), there.len() + 10);
    eprintln!("{written} alerts of four sensors that were killed, {phantom} more that were on the disk");
}

#[test]
fn a_cluster_that_loses_its_quorum_its_stores_or_its_room_loses_no_alert() {
    let Some(mut world) = World::start(Wanted { bytes_max: 600_000, window: 2, ..Wanted::default() }) else { return };
    world.start_ingest(false);
    world.wait_for_ingest(1);
    let folder = TempDir::new().expect("a folder");
    let at = folder.path().join("spool");
    let mut spool = spool(&at, Options::default());
    let mut courier = courier(&world, &spool, &at);
    fill(&mut spool, 1..=100);
    assert_eq!(patiently(&mut courier), all(100));
    // One of three: it goes on. Two of three: nothing is taken, and nothing is lost.
    world.kill_server(0);
    fill(&mut spool, 101..=200);
    assert_eq!(patiently(&mut courier), all(200));
    world.kill_server(1);
    fill(&mut spool, 201..=300);
    let outcome = courier.drain(Instant::now() + Duration::from_secs(8));
    assert_eq!((outcome.delivered, outcome.left), (200, 100));
    (0..2).for_each(|which| world.start_server(which));
    assert_eq!(patiently(&mut courier), all(300));
    // Taken by the broker, not by the ingest, and then the stores burn.
    world.kill_ingest();
    fill(&mut spool, 301..=400);
    let outcome = briefly(&mut courier);
    assert_eq!((outcome.delivered, outcome.left), (300, 100));
    world.wipe();
    world.start_ingest(false);
    world.wait_for_ingest(2);
    assert_eq!(patiently(&mut courier), all(400));
    assert_eq!(world.alerts(), ids(1..=400));
    // A stream that is full takes nothing more; what it has is not lost, and the rest waits here.
    world.kill_ingest();
    fill(&mut spool, 401..=2_400);
    let outcome = briefly(&mut courier);
    assert_eq!(outcome.left, 2_000);
    assert!(fills(&world, &folder), "the stream has more room than it was given");
    world.start_ingest(false);
    assert_eq!(patiently(&mut courier).left, 0);
    assert_eq!(world.asked("select count(*) from alert where id < 'id-100000'"), ["2400"]);
}

/// Other sensors of the site hand over until the stream is full: each waits for its watermark when its batch is handed over.
fn fills(world: &World, folder: &TempDir) -> bool {
    (100..120).any(|which| {
        let at = folder.path().join(format!("other-{which}"));
        let mut spool = spool(&at, Options::default());
        fill(&mut spool, which * 1_000..which * 1_000 + 256);
        let outcome = courier(world, &spool, &at).drain(Instant::now() + Duration::from_secs(1));
        outcome.reason.is_some_and(|reason| reason.contains("10077"))
    })
}

#[test]
fn a_cut_longer_than_the_broker_remembers_and_a_full_spool_are_counted_and_no_more() {
    let Some(mut world) = World::start(Wanted { window: 1, ..Wanted::default() }) else { return };
    world.start_ingest(false);
    world.wait_for_ingest(1);
    let folder = TempDir::new().expect("a folder");
    let at = folder.path().join("spool");
    let small = Options { bytes_max: 200_000, segment_bytes_max: 50_000, ..Options::default() };
    let mut spool = spool(&at, small);
    let wire = Wire::to(world.address(0));
    let servers = vec![format!("tls://{}", wire.address)];
    let mut courier = courier_as(&world, &spool, &at, "site-0017", "site", servers);
    fill(&mut spool, 1..=20);
    assert_eq!(patiently(&mut courier), all(20));
    let (stop, counts) = (Arc::new(AtomicBool::new(false)), courier.counts());
    let told = Arc::clone(&stop);
    let running = std::thread::spawn(move || {
        courier.run(&told);
        courier
    });
    // Alerts go on coming while the wire is cut, until there is no room.
    let mut dropped = Vec::new();
    for number in 21..=400 {
        if number == 60 {
            wire.cut(true);
        }
        match spool.append(haetae::spool::Lane::Normal, alert(number, 1).to_string().as_bytes()) {
            Ok(_) => spool.sync().expect("a disk"),
            Err(NotTaken::Full) => dropped.push(number),
            Err(other) => panic!("{other}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!dropped.is_empty());
    assert!(counts.delivered.load(Ordering::Relaxed) < 100);
    wire.cut(false);
    world.wait_for(|_| spool.readers().waiting().records() == 0);
    stop.store(true, Ordering::Release);
    running.join().expect("the courier");
    assert_eq!(world.alerts(), ids((1..=400).filter(|number| !dropped.contains(number))));
    assert_eq!(counts.delivered.load(Ordering::Relaxed) + dropped.len() as u64, 400);
}

/// A sensor in a process of its own, which writes alerts and delivers them until it is killed.
fn sensor(world: &World, spool: &Path, first: u64) -> std::process::Child {
    let module = module_path!().split_once("::").map_or("", |(_, rest)| rest);
    let told = json!({"servers": world.servers(), "tls": world.path(""), "spool": spool, "first": first});
    Command::new(std::env::current_exe().expect("its path"))
        .args(["--exact", &format!("{module}::the_sensor_of_other_tests"), "--nocapture"])
        .env(SENSOR, told.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary can be run again")
}

/// The child's whole life. Without the variable it is a test of nothing.
#[test]
fn the_sensor_of_other_tests() {
    let Ok(told) = std::env::var(SENSOR) else { return };
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let at = Path::new(told["spool"].as_str().expect("a folder"));
    let tls = |name: &str| Some(Path::new(told["tls"].as_str().expect("a folder")).join(name));
    let servers = told["servers"].as_array().expect("servers").iter();
    let written = Written {
        nats: Some(Nats {
            servers: servers.map(|one| one.as_str().expect("a URL").to_owned()).collect(),
            stream: None,
        }),
        authority: tls("authority.pem"),
        certificate: tls("site.pem"),
        key: tls("site.key"),
        spool: Some(at.to_owned()),
        ..Written::default()
    };
    let section = Section::check(written, Path::new("/"), Secrets::Opened).expect("a section");
    let sender = Sender::new("site-0017", "tap-a", Mode::Exercise).expect("names");
    let (row, sinks) = section.ways(&sender).expect("ways");
    let key = SiteKey::open(&section.key()).expect("a key");
    let gate = Gate::of(row, &section.policy, key, sender, Arc::new(|_| false));
    let mut spool = spool(at, Options::default());
    let (dead, ledger) = (DeadLetters::beside(at), ledger_in(at));
    let mut courier = Courier::new(spool.readers(), Way { gate, sinks, dead, ledger, pulse: Pulse::default() });
    std::thread::spawn(move || courier.run(&AtomicBool::new(false)));
    for number in told["first"].as_u64().expect("a number").. {
        fill(&mut spool, std::iter::once(number));
        println!("synced {number}");
        std::io::stdout().flush().expect("a reader");
        std::thread::sleep(Duration::from_millis(1));
    }
}
