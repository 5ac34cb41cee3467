//! The ledger from end to end: a real centre's stand-in signs, the binary shows, verifies and exports, a script that shares no code
//! with it verifies too; writers are killed; a running sensor tells of its life.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use haetae::emit::{Courier, DeadLetters, Https, Secrets, Section, Way, Written};
use haetae::gate::{Gate, Mode, Pulse, Sender, SiteKey};
use haetae::ledger::{Answer, Chain, Keys, Kind, Leaving, Ledger, Options, list, read};
use haetae::spool::{self, Disk, Spool};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary;
use crate::delivery::centre::receipts::Signing;
use crate::delivery::centre::server::{Behaviour, HEARTBEATS};
use crate::delivery::centre::{Running, Setting};

/// Long enough for any machine; only failing tests wait so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn signing(directory: &Path, signing: Signing, port: u16) -> Running {
    Running::start(directory, &Setting { port, behaviour: Behaviour { signing, ..Behaviour::default() } })
}

fn alert(number: u64) -> Value {
    json!({"event_type": "alert", "alert": {"severity": 1, "metadata": {"tlp": ["amber"]},
        "context": {"haetae": {"id": format!("id-{number}"), "revision": 1}}}})
}

/// A site with alerts in its spool, and a centre whose receipts it checks.
struct Site {
    folder: TempDir,
    spool: Spool,
}

impl Site {
    fn with(alerts: u64) -> Site {
        let folder = TempDir::new().expect("a folder");
        let mut spool = Spool::open(&folder.path().join("spool"), spool::Options::default()).expect("a spool");
        for number in 1..=alerts {
            spool.append(spool::Lane::Normal, alert(number).to_string().as_bytes()).expect("there is room");
        }
        spool.sync().expect("there is room");
        Site { folder, spool }
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("spool/ledger")
    }

    fn courier(&self, centre: &Running) -> (Courier, Arc<Ledger>) {
        self.courier_with(centre, Options::default())
    }

    /// A courier that believes the key which the centre has now.
    fn courier_with(&self, centre: &Running, options: Options) -> (Courier, Arc<Ledger>) {
        let written = Written {
            url: centre.url(),
            token: Some(centre.token()),
            authority: Some(centre.authority()),
            receipt_keys: Some(centre.receipt_keys()),
            spool: Some(self.folder.path().join("spool")),
            ..Written::default()
        };
        let section = Section::check(written, Path::new("/"), Secrets::Opened).expect("it is sound");
        let sender = Sender::new("site-0017", "tap-a", Mode::Exercise).expect("names");
        let keys = Keys::read(&centre.receipt_keys()).expect("keys");
        let ledger = Ledger::open(&section.ledger(), options, sender.names(), Some(keys)).expect("a ledger");
        let ledger = Arc::new(ledger);
        let key = SiteKey::open(&section.key()).expect("a key");
        let way = Way {
            gate: Gate::new(section.policy.clone(), key, sender, Arc::new(|_| false)),
            sinks: Https::open(&section).expect("sinks"),
            dead: DeadLetters::beside(&section.spool),
            ledger: Arc::clone(&ledger),
            pulse: Pulse::default(),
        };
        (Courier::new(self.spool.readers(), way), ledger)
    }
}

pub fn ledger(words: &[&str]) -> Output {
    binary::haetae().arg("ledger").args(words).output().expect("the binary runs")
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub fn by_others(export: &Path, keys: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/verify_ledger.py");
    Command::new("python3").arg(script).arg(export).arg(keys).output().expect("python3 runs")
}

#[test]
fn what_was_delivered_is_in_a_ledger_that_others_can_check() {
    let (directory, site) = (TempDir::new().expect("a folder"), Site::with(600));
    let centre = signing(directory.path(), Signing::Every, 0);
    let (mut courier, open) = site.courier(&centre);
    assert_eq!(courier.drain(Instant::now() + PATIENCE).delivered, 600);
    drop((courier, open));
    let (folder, keys) = (site.ledger(), centre.receipt_keys());
    let verified = ledger(&["verify", "--ledger", text(&folder), "--receipt-keys", text(&keys)]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    // two batches and a sign of life: opened, three attempts, three outcomes
    assert!(said(&verified).contains("receipts: 3 valid, 0 wrong, 0 missing"), "{}", said(&verified));
    assert!(said(&verified).contains("no entry up to 5 was changed"), "{}", said(&verified));
    let shown = ledger(&["show", "--last", "2", "--ledger", text(&folder)]);
    assert!(
        said(&shown).contains("/v1/heartbeat: heartbeat, ") && said(&shown).lines().count() == 2,
        "{}",
        said(&shown)
    );
    assert!(said(&shown).contains("of 6: heard, receipt valid (key "), "{}", said(&shown));
    let export = site.folder.path().join("export.jsonl");
    assert_eq!(ledger(&["export", "--ledger", text(&folder), "-o", text(&export)]).status.code(), Some(0));
    let checked = by_others(&export, &keys);
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(said(&checked).contains("7 entries, 3 receipts hold, covered up to entry 5"), "{}", said(&checked));
    // root writes another time into an entry and makes all later ones anew
    let sound = std::fs::read_to_string(&export).expect("an export");
    std::fs::write(&export, anew(&sound, 3)).expect("to write");
    assert!(!by_others(&export, &keys).status.success());
    let found = ledger(&["verify", text(&export), "--receipt-keys", text(&keys)]);
    assert_eq!(found.status.code(), Some(65), "{}", said(&found));
    assert!(said(&found).contains(&format!("{}:6: the receipt for entry 4", export.display())), "{}", said(&found));
    // without the centre's key nobody can tell, and it says so
    let unkeyed = ledger(&["verify", text(&export)]);
    assert_eq!(unkeyed.status.code(), Some(0));
    assert!(said(&unkeyed).contains("could have written all of it anew"), "{}", said(&unkeyed));
}

/// An export with one line changed, and digests that fit again.
pub fn anew(export: &str, victim: usize) -> String {
    let (mut out, mut previous) = (String::new(), None::<String>);
    for (at, line) in export.lines().enumerate() {
        let mut line = line.to_owned();
        if let (Some(previous), Some(at)) = (&previous, line.find("\"previous\":\"")) {
            line = format!("{}\"previous\":\"{previous}\"}}", &line[..at]);
        }
        if at == victim {
            line = line.replacen("T", "T0", 1).replacen("T00", "T0", 1).replacen("\"time\":\"20", "\"time\":\"19", 1);
        }
        previous = (at > 0).then(|| haetae::ledger::Digest::of(line.as_bytes()).to_string());
        out += &line;
        out.push('\n');
    }
    out
}

#[test]
fn a_centre_that_signs_nothing_or_something_else_settles_nothing() {
    let (directory, site) = (TempDir::new().expect("a folder"), Site::with(3));
    for wrong in [Signing::None, Signing::Wrong] {
        let centre = signing(directory.path(), wrong, 0);
        let (mut courier, open) = site.courier(&centre);
        let outcome = courier.drain(Instant::now());
        assert_eq!((outcome.delivered, outcome.left), (0, 3));
        assert!(outcome.reason.expect("a reason").contains("receipt"), "{wrong:?}");
        let counts = open.counts();
        let count = if wrong == Signing::None { &counts.missing } else { &counts.wrong };
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
    let centre = signing(directory.path(), Signing::Every, 0);
    let (mut courier, _) = site.courier(&centre);
    assert_eq!(courier.drain(Instant::now() + PATIENCE).delivered, 3);
    assert_eq!((centre.book().records.len(), centre.book().repeats), (3, 6), "it had them all the time");
    let verified =
        ledger(&["verify", "--ledger", text(&site.ledger()), "--receipt-keys", text(&centre.receipt_keys())]);
    assert_eq!(verified.status.code(), Some(65), "a receipt for something else is told: {}", said(&verified));
    assert!(said(&verified).contains("the sensor says so too, and did not believe it"), "{}", said(&verified));
}

#[test]
fn what_cannot_be_entered_does_not_leave() {
    let (directory, site) = (TempDir::new().expect("a folder"), Site::with(3));
    let centre = signing(directory.path(), Signing::Every, 0);
    let one_a_file = Options { file_bytes_max: 1, ..Options::default() };
    let (mut courier, open) = site.courier_with(&centre, one_a_file);
    // no file can be made where its folder is gone
    std::fs::remove_dir_all(site.ledger()).expect("to remove");
    let outcome = courier.drain(Instant::now());
    assert_eq!((outcome.delivered, outcome.left, centre.book().records.len()), (0, 3, 0));
    assert!(outcome.reason.expect("a reason").starts_with("the ledger cannot be written: "));
    assert!(open.counts().failures.load(Ordering::Relaxed) > 0);
    std::fs::create_dir(site.ledger()).expect("to make");
    assert_eq!(courier.drain(Instant::now() + PATIENCE).delivered, 3, "it goes on as soon as the disk does");
}

/// The variable that makes this test binary a writer of the ledger it names.
const WRITER: &str = "HAETAE_TEST_LEDGER";

/// The child's whole life: enter, say so, settle, until it is killed. Without the variable it is a test of nothing.
#[test]
fn the_ledger_writer_that_is_killed() {
    let Ok(directory) = std::env::var(WRITER) else { return };
    let options = Options { file_bytes_max: 20_000, bytes_max: 1 << 20, ..Options::default() };
    let ledger = Ledger::open(Path::new(&directory), options, ("site", "tap"), None).expect("it opens");
    for number in 0u64.. {
        let leaving =
            Leaving { site: "site", sensor: "tap", kind: Kind::Alerts, is_receipted: false, run: None, records: 1 };
        let (ticket, sent) = ledger
            .enter(
                &leaving,
                ("https", "https://c/"),
                |head| format!("{number} {}", head.head).into_bytes(),
                |bytes| bytes,
            )
            .expect("there is room");
        println!("sent {}", haetae::ledger::Digest::of(&sent));
        ledger.settle(ticket, Answer::Committed, Some(number), None);
    }
}

#[test]
fn a_ledger_whose_writer_is_killed_at_any_moment_holds_and_has_all_that_left() {
    let kills = std::env::var("HAETAE_LEDGER_KILLS").map_or(40, |text| text.parse().expect("a number of kills"));
    let directory = TempDir::new().expect("a folder");
    let mut sent: Vec<String> = Vec::new();
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "ledger::the_ledger_writer_that_is_killed", "--nocapture"])
            .env(WRITER, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs again");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let mut told = lines.filter_map(|line| line.split_once("sent ").map(|(_, digest)| digest.to_owned()));
        sent.extend(told.by_ref().take(1 + kill * 7 % 23));
        child.kill().expect("to kill");
        sent.extend(told.filter(|digest| digest.len() == 64));
        child.wait().expect("its end");
        let files = list(&Disk, directory.path()).expect("files");
        let mut chain = Chain::new(None, &[]);
        let mut all = String::new();
        for (at, path) in files.iter().enumerate() {
            let bytes = read(&Disk, path).expect("a file");
            chain.file(text(path), 1, &bytes, at + 1 == files.len());
            all += &String::from_utf8_lossy(&bytes);
        }
        let report = chain.end();
        assert_eq!(report.wrong, 0, "kill {kill}: {:?}", report.findings);
        if report.range.is_some_and(|(first, _)| first == 1) {
            let unseen = sent.iter().find(|digest| !all.contains(digest.as_str()));
            assert_eq!(unseen, None, "kill {kill}: it left unseen");
        }
    }
}

#[cfg(feature = "libpcap")]
#[test]
fn a_running_sensor_tells_of_its_life_as_the_contract_says() {
    let (directory, folder) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let centre = signing(directory.path(), Signing::Every, 0);
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("captures")).expect("a folder");
    std::fs::write(path("rules.yaml"), "format: haetae/1\ndefaults: { source: s, tlp: amber, confidence: 85 }\nindicators:\n  - { domain: bad.example }\n")
        .expect("rules");
    let configuration = format!(
        "site: {{ id: site-0017 }}\nnetworks: {{ home: [10.0.0.0/8] }}\ncapture: [{{ directory: captures }}]\n\
         rules: {{ local: [rules.yaml] }}\n\
         centre: {{ url: {:?}, token: {:?}, authority: {:?}, receipt_keys: {:?}, spool: spool }}\n",
        centre.url(),
        centre.token(),
        centre.authority(),
        centre.receipt_keys(),
    );
    std::fs::write(path("haetae.yaml"), configuration).expect("a configuration");
    let mut sensor = binary::haetae();
    sensor.args(["run", "--workers", "1", "-c"]).arg(path("haetae.yaml"));
    let mut sensor = sensor.stderr(Stdio::null()).spawn().expect("it runs");
    let heard = || std::fs::read_to_string(directory.path().join(HEARTBEATS)).unwrap_or_default();
    let began = Instant::now();
    while !heard().contains('\n') && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    let alive = sensor.try_wait().expect("it can be asked").is_none();
    rustix::process::kill_process(rustix::process::Pid::from_child(&sensor), rustix::process::Signal::TERM)
        .expect("it can be told to end");
    sensor.wait().expect("it ends");
    // the centre keeps only what its contract allows
    let line = heard();
    let heartbeat: Value = serde_json::from_str(line.lines().next().expect("a sign of life")).expect("JSON");
    assert!(alive && heartbeat["ready"] == true && heartbeat.get("reasons").is_none(), "{heartbeat}");
    assert_eq!(heartbeat["ledger"]["sequence"], 1, "{heartbeat}");
    assert_eq!(heartbeat["losses"]["received"], 0, "{heartbeat}");
    assert_eq!(heartbeat["blind"], json!({"links": 1, "now": 0, "seconds": 0}), "{heartbeat}");
    let verified = ledger(&["verify", "-c", text(&path("haetae.yaml"))]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    assert!(said(&verified).contains("receipts: 1 valid"), "{}", said(&verified));
}
