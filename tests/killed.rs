//! The binary under `kill -9`, again and again, while it delivers: what it raised is at the centre in the end, once, and
//! what came twice came with the same identity.
//!
//! In: a capture with thousands of alerts, a replay that is begun again each time with the same spool, a centre that is
//! killed now and then between commit and answer. Out: the centre's ledger, held against an uninterrupted run.
//! `HAETAE_KILLS` sets how often; where `CI` is set, 200 times if nothing else is said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haetae::ledger::{Chain, list, read};
use haetae::spool::{DEAD_LETTERS, Disk, found, survey};
use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::delivery::centre::ledger::{FILE, Identity};
use crate::delivery::centre::server::Behaviour;
use crate::delivery::centre::{Running, Setting};
use crate::wire::{self, Ends, Frame, Wrap};

/// Sites at a time.
const SITES: u64 = 4;

/// Names asked for below a listed one, each in a flow of its own: an alert each.
const QUESTIONS: u32 = 2_000;
/// Kills, if nothing else is said.
const KILLS: u64 = 20;
/// And where there is time for it.
const KILLS_IN_CI: u64 = 200;
/// Records of a batch, as the contract has it: only what was on its way when somebody was killed comes twice.
const BATCH_MAX: u64 = 512;
/// A kill comes so long after the start, in milliseconds: in the middle of starting, reading, spooling, delivering.
const KILL_MS: std::ops::RangeInclusive<u64> = 5..=150;
/// After so many kills what waits is delivered, or the spool would only grow.
const EMPTIED_EVERY: u64 = 20;
/// Every so manieth round meets a centre that dies between commit and answer.
const CENTRE_DIES_EVERY: u64 = 5;

const RULES: &str = "format: haetae/1\n\
    defaults: { source: example, tlp: amber, confidence: 85, labels: [crafted] }\n\
    indicators:\n  - { domain: bad.example, reach: subdomains, severity: critical }\n";

fn question(number: u32) -> Frame {
    let message = wire::question(&format!("h{number}.bad.example"), 7);
    let [_, _, high, low] = number.to_be_bytes();
    let ends = Ends { from: ([10, 77, high, low].into(), 40_000), to: ([10, 77, 255, 53].into(), 53) };
    let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, &message)), Wrap::Plain);
    Frame { micros: 1_795_262_400_000_000 + u64::from(number) * 1_000, wire_bytes: bytes.len() as u32, bytes }
}

/// A site with its capture, rules and spool, and the centre's folder beside it.
struct Site(TempDir);

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        let frames: Vec<Frame> = (0..QUESTIONS).map(question).collect();
        std::fs::write(folder.path().join("traffic.pcap"), wire::pcap(&frames)).expect("a capture");
        std::fs::write(folder.path().join("rules.yaml"), RULES).expect("rules");
        std::fs::write(folder.path().join("quiet.pcap"), wire::pcap(&[])).expect("a capture of nothing");
        std::fs::write(folder.path().join("fresh.pcap"), wire::pcap(&[question(QUESTIONS)])).expect("a capture");
        std::fs::create_dir(folder.path().join("centre")).expect("a folder");
        Site(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn centre(&self, port: u16, fail_after_commit: u64) -> Running {
        let behaviour = Behaviour { fail_after_commit, ..Behaviour::default() };
        Running::start(&self.path("centre"), &Setting { port, behaviour })
    }

    fn replay(&self, capture: &str, centre: &Running) -> Command {
        let mut command = binary::haetae();
        command.arg("-r").arg(self.path(capture)).arg("-S").arg(self.path("rules.yaml"));
        command.args(["--centre", &centre.url(), "--as", "exercise", "--spool"]).arg(self.path("spool"));
        command.arg("--token").arg(centre.token()).arg("--authority").arg(centre.authority());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end; on a slow machine the last of it leaves with a replay of nothing.
    fn run_through(&self, capture: &str, centre: &Running) {
        let mut said = String::new();
        for capture in std::iter::once(capture).chain(["quiet.pcap"; 10]) {
            let output = self.replay(capture, centre).output().expect("the binary runs");
            binary::healthy(&output).expect("a sound end");
            said = String::from_utf8_lossy(&output.stdout).into_owned();
            if !said.contains("waiting in the spool") {
                return;
            }
        }
        panic!("it never comes to an end: {said}");
    }

    /// Identities that the spool still holds. It is read without its lock: the other sites begin processes meanwhile, which would
    /// hold that for a moment as well.
    fn waiting(&self) -> BTreeSet<(String, u64)> {
        let (mut waiting, folder) = (BTreeSet::new(), self.path("spool"));
        if found(&folder).is_err() {
            return waiting; // killed before it had one
        }
        let survey = survey(&folder, &mut |seen| {
            waiting.extend(seen.waits.then(|| identity_of_local(seen.payload)));
            Ok(())
        });
        let survey = survey.expect("it can be read");
        assert!(survey.lanes.iter().all(|lane| lane.findings.is_empty()), "{survey:?}");
        waiting
    }
}

/// What left is entered, in one chain, whenever the sensor was killed.
pub fn ledger_holds(spool: &Path) {
    let mut chain = Chain::new(None, &[]);
    let files = list(&Disk, &spool.join("ledger")).unwrap_or_default();
    for (at, path) in files.iter().enumerate() {
        let bytes = read(&Disk, path).expect("it can be read");
        chain.file(&path.to_string_lossy(), 1, &bytes, at + 1 == files.len());
    }
    let report = chain.end();
    assert_eq!(report.wrong, 0, "{:?}", report.findings);
}

fn identity_of_local(record: &[u8]) -> (String, u64) {
    let record: Value = serde_json::from_slice(record).expect("a whole record");
    let own = &record["alert"]["context"]["haetae"];
    (own["id"].as_str().expect("an id").to_owned(), own["revision"].as_u64().expect("a revision"))
}

/// The same numbers everywhere, from one word of state (SplitMix64).
pub fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Kills it after so long, unless it came to its end before; says whether it was killed.
fn kill_after(mut child: Child, time: Duration) -> bool {
    std::thread::sleep(time);
    let ended = child.try_wait().expect("it can be asked").is_some();
    child.kill().expect("it can be killed");
    let output = child.wait_with_output().expect("it can be waited for");
    if ended {
        binary::healthy(&output).expect("an end before the kill is a sound one");
    }
    !ended
}

/// How often each identity is in the ledger, and whether its repeats say the same.
fn ledger(centre: &Path) -> BTreeMap<Identity, (u64, Value)> {
    let text = std::fs::read_to_string(centre.join(FILE)).expect("a ledger");
    let mut seen: BTreeMap<Identity, (u64, Value)> = BTreeMap::new();
    for line in text.lines() {
        let batch: Value = serde_json::from_str(line).expect("a whole line");
        for record in batch["records"].as_array().expect("records") {
            let word = |value: &Value| value.as_str().expect("a text").to_owned();
            let revision = record["revision"].as_u64().expect("a revision");
            let identity = (word(&batch["site"]), word(&record["id"]), revision);
            let mut said = record.clone();
            said.as_object_mut().expect("an object").remove("sequence"); // its place in the spool, not what it says
            let entry = seen.entry(identity.clone()).or_insert_with(|| (0, said.clone()));
            assert_eq!(entry.1, said, "{identity:?} says something else the second time");
            entry.0 += 1;
        }
    }
    seen
}

/// Without the site's name.
fn identities(ledger: &BTreeMap<Identity, (u64, Value)>) -> BTreeSet<(String, u64)> {
    ledger.keys().map(|(_, id, revision)| (id.clone(), *revision)).collect()
}

/// How many records came again from the same place of the same spool: not raised again, but sent again.
fn sent_again(centre: &Path) -> u64 {
    let text = std::fs::read_to_string(centre.join(FILE)).expect("a ledger");
    let (mut places, mut again) = (BTreeSet::new(), 0);
    for line in text.lines() {
        let batch: Value = serde_json::from_str(line).expect("a whole line");
        for record in batch["records"].as_array().expect("records") {
            let place = (batch["spool"].to_string(), record["sequence"].as_u64().expect("a sequence"));
            again += u64::from(!places.insert(place));
        }
    }
    again
}

#[test]
fn nothing_raised_is_lost_and_repeats_have_the_same_identity_whenever_the_sensor_is_killed() {
    let unsaid = if std::env::var_os("CI").is_some() { KILLS_IN_CI } else { KILLS };
    let kills = std::env::var("HAETAE_KILLS").map_or(unsaid, |text| text.parse().expect("HAETAE_KILLS is a number"));
    // sites of their own, side by side: most of the time one waits for the moment of its kill
    std::thread::scope(|scope| {
        for site in 0..SITES {
            scope.spawn(move || at_a_site(kills.div_ceil(SITES), 0x6861_6574_6165_0009 + site));
        }
    });
}

fn at_a_site(kills: u64, mut dice: u64) {
    let site = Site::new();
    let mut centre = site.centre(0, 0);
    let port = centre.address.port();
    let (mut killed, mut early, mut centre_died) = (0, 0, 0);
    let mut raised = BTreeSet::new();
    while killed < kills {
        if roll(&mut dice).is_multiple_of(CENTRE_DIES_EVERY) {
            centre.kill();
            centre = site.centre(port, 1 + roll(&mut dice) % 4);
        }
        let child = site.replay("traffic.pcap", &centre).spawn().expect("the binary runs");
        let span = KILL_MS.end() - KILL_MS.start() + 1;
        let was_killed = kill_after(child, Duration::from_millis(KILL_MS.start() + roll(&mut dice) % span));
        (killed, early) = (killed + u64::from(was_killed), early + u64::from(!was_killed));
        raised.extend(site.waiting());
        ledger_holds(&site.path("spool"));
        if centre.has_ended() {
            centre_died += 1;
            centre = site.centre(port, 0);
        }
        if was_killed && killed.is_multiple_of(EMPTIED_EVERY) {
            centre.kill();
            centre = site.centre(port, 0);
            site.run_through("quiet.pcap", &centre);
        }
    }
    centre.kill();
    let centre = site.centre(port, 0);
    // nothing is raised anew before it is looked at what arrived of what had been
    site.run_through("quiet.pcap", &centre);
    let drained = identities(&ledger(&site.path("centre")));
    assert!(raised.is_subset(&drained), "{} raised records are lost", raised.difference(&drained).count());
    site.run_through("traffic.pcap", &centre);
    assert_eq!(site.waiting(), BTreeSet::new());
    assert!(!site.path("spool").join(DEAD_LETTERS).exists(), "nothing was refused");

    let arrived = ledger(&site.path("centre"));
    let ids = identities(&arrived);
    let again = sent_again(&site.path("centre"));
    assert!(again <= BATCH_MAX * (killed + centre_died), "{again} records were sent again");
    site.run_through("fresh.pcap", &centre);
    assert!(ledger(&site.path("centre")).len() > arrived.len(), "what is new comes through");
    drop(centre);
    assert_eq!(ids, uninterrupted(&site), "what an uninterrupted run delivers");
    let (alerts, repeats) = (arrived.len(), arrived.values().map(|(count, _)| count - 1).sum::<u64>());
    println!(
        "{killed} kills ({early} replays ended before theirs), the centre died {centre_died} times between commit and \
         answer: {alerts} records arrived, 0 lost, {repeats} repeats with the same identity, {again} of them sent again"
    );
}

/// What arrives when nobody is killed: the same key, another spool, another centre.
fn uninterrupted(site: &Site) -> BTreeSet<(String, u64)> {
    for name in ["spool", "centre"] {
        std::fs::remove_dir_all(site.path(name)).expect("it was there");
    }
    std::fs::create_dir(site.path("centre")).expect("a folder");
    let centre = site.centre(0, 0);
    site.run_through("traffic.pcap", &centre);
    let arrived = ledger(&site.path("centre"));
    assert!(arrived.len() >= QUESTIONS as usize && arrived.values().all(|(count, _)| *count == 1));
    arrived.into_keys().map(|(_, id, revision)| (id, revision)).collect()
}
