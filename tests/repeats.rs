//! Repeats of a contact through the real binary: what is delivered stands for all that was raised, and is the same however the
//! work was shared.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use haetae::spool::{Options, Position, Spool};
use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::delivery::centre::{Running, Setting};
use crate::wire::{self, Ends, Frame, Wrap};

/// Inside hosts that ask, in turn.
const HOSTS: u32 = 8;
/// Questions, each in a flow of its own: an alert each.
const QUESTIONS: u32 = 40_000;
/// Between two of them; all take 25 minutes.
const MICROS_APART: u64 = 37_000;
/// Every so manieth is answered (there is no such name), which goes further than to ask.
const ANSWERED_EVERY: u32 = 1_000;
/// `centre.merge_seconds`.
const WINDOW: u64 = 60;

const RULES: &str = "format: haetae/1\n\
    defaults: { source: example, tlp: green, confidence: 85, labels: [crafted] }\n\
    indicators:\n  - { domain: bad.example, severity: critical }\n  - { domain: poor.example, severity: medium }\n";

/// A question for `name`, or its answer that there is none.
pub fn asked(number: u32, micros: u64, name: [&str; 2], answered: bool) -> Frame {
    let flags = if answered { [0x81, 0x83] } else { [1, 0] };
    let mut message = [&[0, 7][..], &flags, &[0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    let host = [10, 77, 0, (1 + number % HOSTS) as u8].into();
    let port = 10_000 + (number / HOSTS % 50_000) as u16;
    let ends = Ends { from: (host, port), to: ([10, 77, 255, 53].into(), 53) };
    let ends = if answered { ends.turned() } else { ends };
    let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, &message)), Wrap::Plain);
    Frame { micros, wire_bytes: bytes.len() as u32, bytes }
}

fn traffic(questions: u32) -> Vec<Frame> {
    let mut frames = Vec::new();
    for number in 0..questions {
        let at = 1_795_262_400_000_000 + u64::from(number) * MICROS_APART;
        let name = if (number / HOSTS).is_multiple_of(3) { ["poor", "example"] } else { ["bad", "example"] };
        frames.push(asked(number, at, name, false));
        if number.is_multiple_of(ANSWERED_EVERY) {
            frames.push(asked(number, at + 9_000, name, true));
        }
    }
    frames
}

struct Site(TempDir);

/// What a run came to.
struct Run {
    /// The records of the spool, by lane.
    spooled: Vec<Vec<Vec<u8>>>,
    /// What the centre has.
    delivered: Vec<Value>,
    /// The local records, an alert each.
    local: Vec<Value>,
    stats: Value,
}

impl Site {
    fn new(questions: u32) -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("traffic.pcap"), wire::pcap(&traffic(questions))).expect("a capture");
        std::fs::write(folder.path().join("rules.yaml"), RULES).expect("rules");
        let key = folder.path().join("site.key");
        std::fs::write(&key, [7; 32]).expect("a key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("its rights");
        Site(folder)
    }

    fn run(&self, merge_seconds: u64, workers: u32, batch: u32) -> Run {
        let out = tempfile::tempdir().expect("a folder");
        let centre = Running::start(out.path(), &Setting::default());
        let text = format!(
            "site: {{ id: site-0017, key: {0}/site.key }}\nnetworks: {{ home: [10.77.0.0/16] }}\ncentre:\n  url: {1}\n  \
             token: {2}\n  authority: {3}\n  merge_seconds: {merge_seconds}\n",
            self.0.path().display(),
            centre.url(),
            centre.token().display(),
            centre.authority().display()
        );
        let file = |name: &str| out.path().join(name);
        std::fs::write(file("haetae.yaml"), text).expect("a configuration");
        let mut command = binary::haetae();
        command.current_dir(self.0.path()).args(["-r", "traffic.pcap", "-S", "rules.yaml", "--as", "exercise"]);
        command.arg("-c").arg(file("haetae.yaml")).arg("--spool").arg(file("spool"));
        command.args(["--workers", &workers.to_string(), "--batch-size", &batch.to_string()]);
        command.arg("--alerts").arg(file("alerts")).arg("--stats").arg(file("stats"));
        binary::healthy(&command.output().expect("the binary runs")).expect("a sound end");
        let read = |name: &str| std::fs::read(file(name)).expect(name);
        Run {
            spooled: spooled(&file("spool")),
            delivered: centre.book().records,
            local: binary::lines(&read("alerts")).expect("whole lines"),
            stats: serde_json::from_slice(&read("stats")).expect("a document"),
        }
    }
}

/// All that was put into a spool, by lane.
fn spooled(spool: &Path) -> Vec<Vec<Vec<u8>>> {
    let spool = Spool::open(spool, Options::default()).expect("a spool");
    let mut readers = spool.readers();
    let all = readers.lanes().iter_mut().map(|lane| lane.read(Position(1), usize::MAX, usize::MAX).expect("records"));
    all.map(|records| records.into_iter().map(|record| record.payload.to_vec()).collect()).collect()
}

/// For each incident, how many alerts and sightings.
type Sums = BTreeMap<String, (u64, u64)>;

fn add(sums: &mut Sums, incident: &Value, alerts: u64, sightings: u64) {
    let sum = sums.entry(incident.as_str().expect("an incident").to_owned()).or_default();
    *sum = (sum.0 + alerts, sum.1 + sightings);
}

/// What the site's own records say: each alert once, in its last revision.
fn raised(local: &[Value]) -> Sums {
    let mut sums = Sums::new();
    for record in local {
        let own = &record["alert"]["context"]["haetae"];
        add(&mut sums, &own["incident"], 1, own["contact"]["count"].as_u64().expect("a count"));
    }
    sums
}

/// What delivered records say, in whatever order they came.
fn told(delivered: &[Value]) -> Sums {
    let mut sums = Sums::new();
    for record in delivered {
        let sightings = record["contact"]["count"].as_u64().expect("a count");
        match record["repeats"]["alerts"].as_u64() {
            Some(alerts) => add(&mut sums, &record["incident"], alerts, sightings),
            None => {
                let last = if record["final"] == true { sightings } else { 0 };
                add(&mut sums, &record["incident"], u64::from(record["revision"] == 1), last);
            }
        }
    }
    sums
}

#[test]
fn updates_are_the_same_at_any_number_of_workers_and_stand_for_all_that_was_raised() {
    let site = Site::new(QUESTIONS);
    let run = site.run(WINDOW, 1, 64);
    assert_eq!(run.local.len() as u32, QUESTIONS);
    assert_eq!(told(&run.delivered), raised(&run.local), "alerts and sightings of each incident");
    let account = &run.stats["delivery"];
    let number = |name: &str| account[name].as_u64().unwrap_or_else(|| panic!("{name}: {account}"));
    assert_eq!((number("alerts"), account["unaccounted"].as_i64()), (u64::from(QUESTIONS), Some(0)));
    assert_eq!(number("alerts"), number("gone") + number("merged"));
    assert_eq!(number("records") as usize, run.delivered.len());
    let updates = run.delivered.iter().filter(|record| record["repeats"].is_object()).count();
    assert_eq!(number("updates") as usize, updates);
    assert_eq!(run.spooled.iter().map(Vec::len).sum::<usize>(), run.delivered.len(), "all of it can still be read");
    assert!(
        run.delivered.len() * 10 < run.local.len(),
        "{} records of {} alerts",
        run.delivered.len(),
        run.local.len()
    );
    for (workers, batch) in [(2, 7), (4, 1)] {
        let other = site.run(WINDOW, workers, batch);
        for (lane, (one, two)) in run.spooled.iter().zip(&other.spooled).enumerate() {
            let said = binary::difference("spooled", &one.concat(), &two.concat());
            assert!(said.is_none(), "lane {lane}, {workers} workers: {}", said.unwrap_or_default());
        }
        assert_eq!(run.delivered.len(), other.delivered.len());
    }
}

#[test]
fn without_a_window_each_alert_is_delivered_and_no_update_is_made() {
    let site = Site::new(500);
    let run = site.run(0, 2, 64);
    assert_eq!(told(&run.delivered), raised(&run.local));
    assert!(run.delivered.iter().all(|record| record["repeats"].is_null()));
    assert_eq!(run.stats["delivery"]["gone"].as_u64(), Some(500));
    assert_eq!(run.delivered.len(), 2 * 500, "a first and a last revision each");
}
