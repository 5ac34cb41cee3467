//! Delivery from spool to centre, over TLS on loopback, with the centre in a process of its own that is killed, down,
//! busy, picky or a stranger; and the spool under a writer that is killed.

#[allow(dead_code)]
#[path = "support/centre/mod.rs"]
pub mod centre;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use haetae::emit::{Courier, DeadLetters, Https, Outcome, Secrets, Section, Way, Written};
use haetae::gate::{Gate, Mode, Policy, Pulse, Sender, SiteKey};
use haetae::ledger::{Head, Ledger};
use haetae::spool::{DEAD_LETTERS, Lane, Options, Position, Spool};
use serde_json::{Value, json};
use tempfile::TempDir;

use centre::contract::{Contract, INGEST};
use centre::ledger::Identity;
use centre::running::write_token;
use centre::server::Behaviour;
use centre::{Running, Setting};

/// Long enough for any machine; only failing tests wait so long.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn alert(number: u64) -> Value {
    json!({"event_type": "alert", "timestamp": "2026-11-21T14:02:31.118204+0000", "proto": "TCP",
        "src_ip": "10.20.4.17", "src_port": 51544, "dest_ip": "203.0.113.66", "dest_port": 443,
        "community_id": "1:abc=", "alert": {"severity": 1, "category": "ransomware", "metadata": {"tlp": ["amber"]},
        "context": {"ioc": [{"type": "domain", "value": "bad.example", "seen_in": "tls.sni", "seen": "bad.example"}],
        "haetae": {"id": id(number), "revision": 1, "direction": "outbound", "mode": "exercise",
        "asset": {"ip": "10.20.4.17", "name": "PC-ACCT-04", "role": "client"},
        "contact": {"stage": "data", "bytes_out": 5, "resolver": "10.20.0.53"}}}}})
}

pub fn id(number: u64) -> String {
    format!("id-{number:06}")
}

pub fn identities(numbers: impl Iterator<Item = u64>) -> BTreeSet<Identity> {
    numbers.map(|number| ("site-0017".to_owned(), id(number), 1)).collect()
}

/// A site: its spool holds `count` alerts.
pub struct Site {
    pub directory: TempDir,
    pub spool: Spool,
}

impl Site {
    pub fn with(count: u64) -> Site {
        let mut site = Site::bounded(Options::default().bytes_max);
        site.append(1..=count);
        site
    }

    /// Nothing in its spool yet, which may grow so large.
    pub fn bounded(bytes_max: u64) -> Site {
        let directory = TempDir::new().unwrap();
        let options = Options { bytes_max, ..Options::default() };
        let spool = Spool::open(&directory.path().join("spool"), options).unwrap();
        Site { directory, spool }
    }

    /// Whose spool is there already.
    pub fn reopened(spool: &Path) -> Site {
        Site { directory: TempDir::new().unwrap(), spool: Spool::open(spool, Options::default()).unwrap() }
    }

    pub fn courier_to(&self, url: &str, token: &Path, authority: &Path) -> Courier {
        let written = Written {
            url: url.to_owned(),
            token: Some(token.to_owned()),
            authority: Some(authority.to_owned()),
            spool: Some(self.directory.path().join("spool")),
            ..Written::default()
        };
        self.courier_as(written)
    }

    pub fn courier_as(&self, written: Written) -> Courier {
        let section = Section::check(written, Path::new("/"), Secrets::Opened).unwrap();
        let key = SiteKey::open(&section.key()).unwrap();
        let sender = Sender::new("site-0017", "tap-a", Mode::Exercise).unwrap();
        let gate = Gate::new(section.policy.clone(), key, sender, Arc::new(|_| false));
        let sinks = Https::open(&section).unwrap();
        let ledger = Ledger::open(&section.ledger(), Default::default(), gate.sender().names(), None).unwrap();
        let (dead, ledger) = (DeadLetters::beside(&section.spool), Arc::new(ledger));
        Courier::new(self.spool.readers(), Way { gate, sinks, dead, ledger, pulse: Pulse::default() })
    }

    /// More alerts, from this number on.
    pub fn append(&mut self, numbers: impl Iterator<Item = u64>) {
        self.append_to(Lane::Normal, numbers);
    }

    pub fn append_to(&mut self, lane: Lane, numbers: impl Iterator<Item = u64>) {
        for number in numbers {
            self.spool.append(lane, alert(number).to_string().as_bytes()).unwrap();
        }
        self.spool.sync().unwrap();
    }

    pub fn courier(&self, centre: &Running) -> Courier {
        self.courier_to(&centre.url(), &centre.token(), &centre.authority())
    }
}

/// A ledger of its own for a courier that is put together by hand.
pub fn ledger_in(folder: &Path) -> Arc<Ledger> {
    let opened = Ledger::open(&folder.join("ledger"), Default::default(), ("site-0017", "tap-a"), None);
    Arc::new(opened.expect("a ledger"))
}

pub fn patiently(mut courier: Courier) -> Outcome {
    courier.drain(Instant::now() + PATIENCE)
}

pub fn once(courier: &mut Courier) -> Outcome {
    courier.drain(Instant::now())
}

pub fn all(delivered: u64) -> Outcome {
    Outcome { delivered, ..Outcome::default() }
}

pub fn behaving(behaviour: Behaviour) -> Setting {
    Setting { behaviour, ..Setting::default() }
}

#[test]
fn a_centre_killed_between_commit_and_answer_gets_repeats_but_no_second_identity() {
    let (directory, site) = (TempDir::new().unwrap(), Site::with(600));
    let failing = behaving(Behaviour { fail_after_commit: 2, ..Behaviour::default() });
    let mut centre = Running::start(directory.path(), &failing);
    let courier = site.courier(&centre);
    let courier = std::thread::spawn(move || patiently(courier));
    centre.ended();
    let again = Setting { port: centre.address.port(), ..Setting::default() };
    let centre = Running::start(directory.path(), &again);
    assert_eq!(courier.join().unwrap(), all(600));
    let book = centre.book();
    assert_eq!(book.identities, identities(1..=600));
    assert_eq!(book.records.len(), 600);
    assert_eq!(book.repeats, 88, "the batch whose answer was lost");
}

#[test]
fn a_centre_that_is_down_gets_everything_when_it_is_up_again() {
    let (directory, site) = (TempDir::new().unwrap(), Site::with(3));
    let mut centre = Running::start(directory.path(), &Setting::default());
    let courier = site.courier(&centre);
    centre.kill();
    let counts = courier.counts();
    let courier = std::thread::spawn(move || patiently(courier));
    while counts.later.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let again = Setting { port: centre.address.port(), ..Setting::default() };
    let centre = Running::start(directory.path(), &again);
    assert_eq!(courier.join().unwrap(), all(3));
    assert_eq!(centre.book().identities, identities(1..=3));
}

#[test]
fn a_wrong_token_delivers_nothing_and_the_right_one_needs_no_restart() {
    let (directory, site) = (TempDir::new().unwrap(), Site::with(2));
    let centre = Running::start(directory.path(), &Setting::default());
    let token = site.directory.path().join("token");
    write_token(&token, "not-the-token");
    let mut courier = site.courier_to(&centre.url(), &token, &centre.authority());
    let outcome = once(&mut courier);
    assert_eq!((outcome.delivered, outcome.left), (0, 2));
    assert!(outcome.reason.unwrap().contains("token"));
    write_token(&token, centre::running::TOKEN);
    assert_eq!(patiently(courier), all(2));
}

#[test]
fn a_centre_with_a_strangers_certificate_gets_nothing() {
    let (directory, strangers, site) = (TempDir::new().unwrap(), TempDir::new().unwrap(), Site::with(1));
    let centre = Running::start(directory.path(), &Setting::default());
    let stranger = Running::start(strangers.path(), &Setting::default());
    let mut courier = site.courier_to(&stranger.url(), &stranger.token(), &centre.authority());
    let outcome = once(&mut courier);
    assert_eq!((outcome.delivered, outcome.left), (0, 1));
    assert_eq!(stranger.book().records.len(), 0);
}

#[test]
fn a_poison_record_goes_to_the_dead_letters_and_the_rest_is_delivered() {
    let (directory, site) = (TempDir::new().unwrap(), Site::with(5));
    let picky = behaving(Behaviour { refuse: vec![id(2), id(4)], ..Behaviour::default() });
    let centre = Running::start(directory.path(), &picky);
    assert_eq!(patiently(site.courier(&centre)), Outcome { dead: 2, ..all(3) });
    assert_eq!(centre.book().identities, identities([1, 3, 5].into_iter()));
    let letters = std::fs::read_to_string(site.directory.path().join("spool").join(DEAD_LETTERS)).unwrap();
    let kept: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.iter().map(|letter| letter["sequence"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(kept[0]["record"], alert(2));
}

#[test]
fn a_busy_centre_is_asked_again_when_it_says_so() {
    let (directory, site) = (TempDir::new().unwrap(), Site::with(2));
    let centre = Running::start(directory.path(), &behaving(Behaviour { busy: 2, ..Behaviour::default() }));
    let courier = site.courier(&centre);
    let counts = courier.counts();
    assert_eq!(patiently(courier), all(2));
    assert_eq!(counts.attempts_all(), 3);
    assert_eq!(centre.book().repeats, 0);
}

#[test]
fn a_centre_with_small_hands_gets_small_batches() {
    let (directory, site) = (TempDir::new().unwrap(), Site::with(40));
    let centre = Running::start(directory.path(), &behaving(Behaviour { records_max: 7, ..Behaviour::default() }));
    assert_eq!(patiently(site.courier(&centre)), all(40));
    assert_eq!(centre.book().records.len(), 40);
}

#[test]
fn a_restarted_centre_goes_on_from_its_ledger_even_if_its_last_line_is_torn() {
    let (directory, site) = (TempDir::new().unwrap(), Site::with(3));
    let mut centre = Running::start(directory.path(), &Setting::default());
    assert_eq!(patiently(site.courier(&centre)), all(3));
    centre.kill();
    let path = directory.path().join(centre::ledger::FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(br#"{"site":"site-0017","rec"#);
    std::fs::write(&path, bytes).unwrap();
    let centre = Running::start(directory.path(), &Setting::default());
    assert_eq!(patiently(Site::with(4).courier(&centre)), all(4));
    assert_eq!(centre.book().identities, identities(1..=4));
    assert_eq!(centre.book().repeats, 3);
}

#[test]
fn signs_of_life_are_as_the_contract_says() {
    let (directory, site) = (TempDir::new().unwrap(), Site::with(1));
    let centre = Running::start(directory.path(), &Setting::default());
    let courier = site.courier(&centre);
    let counts = courier.counts();
    patiently(courier);
    assert_eq!(counts.silent.load(Ordering::Relaxed), 0);
}

fn batch_of(policy: Policy) -> Value {
    let sender = Sender::new("site-0017", "tap-a", Mode::Exercise).unwrap();
    let gate = Gate::new(policy, SiteKey::fixed(&[3; 32]), sender, Arc::new(|_| false));
    let projected = gate.project(Position(1), alert(1).to_string().as_bytes()).unwrap();
    let id = Spool::open(TempDir::new().unwrap().path(), Options::default()).unwrap().id(Lane::Normal);
    serde_json::from_slice(gate.batch(Head::NONE, id, (Position(0), Position(1)), &[projected]).json()).unwrap()
}

#[test]
fn the_contract_takes_what_the_gate_lets_out_and_its_own_examples() {
    let contract = Contract::shipped();
    assert_eq!(contract.batch(&batch_of(Policy::default())), Ok(()));
    let whole: Value = serde_yaml::from_str(INGEST).unwrap();
    let example = |path: &str| &whole["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"];
    assert_eq!(contract.batch(example("/alerts")), Ok(()));
    assert_eq!(contract.heartbeat(example("/heartbeat")), Ok(()));
}

#[test]
fn the_contract_refuses_every_field_that_must_not_leave_wherever_it_is() {
    let contract = Contract::shipped();
    let leaks = ["src_ip", "dest_ip", "community_id", "flow_id", "in_iface", "vlan", "name", "src_port", "mac"];
    for place in ["", "/peer", "/asset", "/contact", "/indicators/0"] {
        for leak in leaks {
            let mut batch = batch_of(Policy::default());
            let record = batch["records"][0].pointer_mut(place).unwrap_or_else(|| panic!("{place} is there"));
            record[leak] = "10.20.4.17".into();
            assert_eq!(contract.batch(&batch).unwrap_err().index, Some(0), "{place}/{leak}");
        }
    }
}

/// The variable that makes this test binary a writer of the spool it names.
const WRITER: &str = "HAETAE_TEST_WRITER";

/// The child's whole life: append, sync, say so, until it is killed. Without the variable it is a test of nothing.
#[test]
fn the_writer_that_is_killed() {
    let Ok(directory) = std::env::var(WRITER) else { return };
    let mut spool =
        Spool::open(Path::new(&directory), Options { segment_bytes_max: 600, ..Options::default() }).unwrap();
    let mut reader = spool.reader(Lane::Normal);
    for round in 0u64.. {
        let mut last = Position(0);
        for _ in 0..=round % 3 {
            last = spool.append(Lane::Normal, format!("record {}", spool_next(last, &reader)).as_bytes()).unwrap();
        }
        spool.sync().unwrap();
        println!("synced {}", last.0);
        if round % 8 == 7 {
            reader.commit(Position(last.0 - 5)).unwrap();
        }
        reader.read(last, 1, 1).unwrap();
    }
}

fn spool_next(last: Position, reader: &haetae::spool::Reader) -> u64 {
    last.max(reader.waiting().last).next().0
}

/// Runs the writer until it has said `count` times that it synced, kills it, gives the last position it spoke of.
fn kill_a_writer(directory: &Path, count: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "delivery::the_writer_that_is_killed", "--nocapture"])
        .env(WRITER, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = lines.filter_map(|line| line.split_once("synced ")?.1.parse::<u64>().ok());
    let before = said.by_ref().take(count).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said while it was being killed counts, too.
    said.last().unwrap_or(before)
}

#[test]
fn a_writer_killed_at_any_moment_loses_nothing_that_it_synced() {
    let directory = TempDir::new().unwrap();
    for round in 0..20 {
        let promised = kill_a_writer(directory.path(), 1 + round * 7 % 23);
        let spool = Spool::open(directory.path(), Options::default()).unwrap();
        assert_eq!(spool.recovery().lost, 0);
        let mut reader = spool.reader(Lane::Normal);
        let waiting = reader.waiting();
        assert!(waiting.last.0 >= promised, "round {round}: {promised} was promised");
        let records = reader.read(waiting.watermark.next(), usize::MAX, usize::MAX).unwrap();
        assert_eq!(records.len() as u64, waiting.records());
        for record in records {
            assert_eq!(record.payload, format!("record {}", record.position.0).into_bytes());
        }
    }
}
