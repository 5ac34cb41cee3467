//! The service under `kill -9`, again and again, on a link with traffic, while it merges and delivers: it begins again each time, and
//! what was in its spool arrives, as it was, and nothing else.
//!
//! In: questions for listed names, far more than there are contacts; a centre that is killed now and then between commit and answer.
//! Out: after each kill, and in the end, the spool as it is seen from outside, and the centre's ledger, held against each other and
//! against what was asked. `HAETAE_KILLS` sets how often.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::Child;

use haetae::spool::{DEAD_LETTERS, Seen, found, survey};

use super::sinks::{SANDBOXED, WORDS};
use super::*;
use crate::delivery::centre::ledger::FILE;
use crate::delivery::centre::server::Behaviour;
use crate::delivery::centre::{Running, Setting};
use crate::killed::{ledger_holds, roll};
use crate::support::namespaces::sent;

/// Sites at a time, each with a link, a spool and a centre of its own.
const SITES: u64 = 2;
/// Kills, if nothing else is said.
const KILLS: u64 = 20;
/// From its launch, in milliseconds, where one does not wait for its start: it reads, opens, mends.
const EARLY_MS: u64 = 400;
/// From its start, in milliseconds: it raises, merges, spools, delivers.
const LATE_MS: u64 = 3_000;
/// Of so many kills one comes early.
const EARLY_EVERY: u64 = 4;
/// Every so manieth round meets a centre that dies between commit and answer.
const CENTRE_DIES_EVERY: u64 = 3;
/// Lives until all that waits has gone.
const LAST_LIVES_MAX: usize = 10;

/// Who asks: with three names, three times as many contacts.
const HOSTS: u32 = 64;
/// Questions a second.
const RATE: u64 = 1_500;
/// Questions of a round: more than a life can take.
const QUESTIONS: u32 = 6_000;
/// Records of a batch, as the contract has it: only what was on its way when somebody was killed comes twice.
const BATCH_MAX: u64 = 512;

/// A contact's window: what repeats it within a second is an update after that.
const MERGE: &str = "merge_seconds: 1";

const RULES: &str = "format: haetae/1\ndefaults: { source: example, tlp: green, pap: green, confidence: 85 }\nindicators:\n  \
    - { domain: bad.example, reach: subdomains, severity: critical }\n  - { domain: odd.example, reach: subdomains, severity: medium }\n  \
    - { domain: dull.example, reach: subdomains, severity: low }\n";

/// What the question with this number asks, and who does.
fn asked(number: u32) -> (String, IpAddr, u16) {
    let name = ["bad", "odd", "dull"][(number / HOSTS) as usize % 3];
    let port = 1_024 + (number / HOSTS) as u16;
    (format!("h{number}.{name}.example"), [10, 77, 1, (number % HOSTS) as u8].into(), port)
}

fn question(number: u32) -> Frame {
    let (name, host, port) = asked(number);
    let message = wire::question(&name, 7);
    let ends = Ends { from: (host, port), to: ([10, 77, 255, 53].into(), 53) };
    let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, &message)), Wrap::Plain);
    Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes }
}

/// Identity and revision of a record.
type Own = (String, u64);

/// A record of the spool.
#[derive(Debug, PartialEq)]
struct Spooled {
    lane: &'static str,
    sequence: u64,
    waits: bool,
    payload: Vec<u8>,
}

impl Spooled {
    fn record(&self) -> Value {
        serde_json::from_slice(&self.payload).expect("a whole record")
    }

    /// The same place and the same bytes, whether or not it waits any more.
    fn is(&self, other: &Spooled) -> bool {
        (self.lane, self.sequence, &self.payload) == (other.lane, other.sequence, &other.payload)
    }
}

/// All that a spool holds: nothing of it was given up, and what was settled is kept for a day.
type Held = BTreeMap<Own, Spooled>;

/// A record of the centre, and how often it came.
struct Arrived {
    record: Value,
    often: u64,
}

struct Site {
    link: Link,
    folder: TempDir,
    home: TempDir,
    centre: Running,
    /// Questions that may have been put on the link.
    asked: u32,
    /// Kills of the service, and deaths of the centre.
    kills: u64,
    deaths: u64,
}

impl Site {
    /// On a thread of its own, which is on the sensor's side from then on.
    fn new() -> Site {
        let (link, home) = (Link::new(), tempfile::tempdir().expect("a folder"));
        link.enter();
        let centre = Running::start(home.path(), &Setting::default());
        let more = format!(
            "{SANDBOXED}centre: {{ url: {:?}, token: {:?}, authority: {:?}, spool: {:?}, {MERGE} }}\n",
            centre.url(),
            centre.token(),
            centre.authority(),
            home.path().join("spool"),
        );
        let folder = site(RULES, &more);
        Site { link, folder, home, centre, asked: 0, kills: 0, deaths: 0 }
    }

    fn spool(&self) -> PathBuf {
        self.home.path().join("spool")
    }

    /// The centre that is there from now on; that it dies of a batch, if it is to, is counted.
    fn another_centre(&mut self, fail_after_commit: u64) {
        self.deaths += u64::from(self.centre.has_ended());
        self.centre.kill();
        let behaviour = Behaviour { fail_after_commit, ..Behaviour::default() };
        self.centre = Running::start(self.home.path(), &Setting { port: self.centre.address.port(), behaviour });
    }

    fn launch(&self) -> Service {
        let mut command = binary::haetae();
        Service::runs(&mut command, self.folder.path(), &WORDS);
        Service::launched(&self.link, &command)
    }

    /// Questions that nobody has asked yet, on their way.
    fn ask(&mut self, count: u32) -> Child {
        let capture = self.folder.path().join("questions.pcap");
        let frames: Vec<Frame> = (self.asked..self.asked + count).map(question).collect();
        std::fs::write(&capture, wire::pcap(&frames)).expect("a capture");
        self.asked += count;
        self.link.sending(&capture, 1, Some(RATE))
    }

    /// A life, and its end by a kill; what the spool held a moment before.
    fn round(&mut self, dice: &mut u64) -> Held {
        if roll(dice).is_multiple_of(CENTRE_DIES_EVERY) {
            self.another_centre(1 + roll(dice) % 3);
        }
        let mut service = self.launch();
        let sender = match roll(dice).is_multiple_of(EARLY_EVERY) {
            true => {
                std::thread::sleep(Duration::from_millis(roll(dice) % EARLY_MS));
                None
            }
            false => {
                service.hear("started");
                let sender = self.ask(QUESTIONS);
                std::thread::sleep(Duration::from_millis(roll(dice) % LATE_MS));
                Some(sender)
            }
        };
        let before = self.held();
        let ended = service.child.try_wait().expect("it can be asked");
        assert!(ended.is_none(), "it ended by itself: {ended:?}: {:?}", service.said.try_iter().collect::<Vec<_>>());
        drop(service);
        if let Some(mut sender) = sender {
            sender.kill().and_then(|()| sender.wait()).expect("the sender");
        }
        self.kills += 1;
        before
    }

    /// What is in the spool; it is only looked at.
    fn held(&self) -> Held {
        let (mut held, folder) = (Held::new(), self.spool());
        if found(&folder).is_err() {
            return held; // killed before it had one
        }
        let mut meet = |seen: Seen<'_>| {
            let spooled = Spooled {
                lane: seen.lane.name(),
                sequence: seen.sequence,
                waits: seen.waits,
                payload: seen.payload.to_vec(),
            };
            let own = own(&spooled.record()["alert"]["context"]["haetae"]);
            let twice = held.insert(own.clone(), spooled);
            assert!(twice.is_none(), "{own:?} is in the spool twice: {twice:?}");
            Ok(())
        };
        // a file may go between its listing and its reading while the service runs
        if let Err(error) = survey(&folder, &mut meet) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
            held.clear();
        }
        held
    }

    /// The same while nobody writes: it is whole.
    fn held_at_rest(&self) -> Held {
        if found(&self.spool()).is_ok() {
            let looked = survey(&self.spool(), &mut |_| Ok(())).expect("it can be read");
            let whole = looked.lanes.iter().all(|lane| lane.findings.is_empty() && lane.given_up + lane.untold == 0);
            assert!(whole && looked.findings.is_empty() && looked.foreign.is_empty(), "{looked:?}");
        }
        self.held()
    }

    /// What the centre has. What comes again says the same, from the same place of the same spool.
    fn arrived(&self) -> BTreeMap<Own, Arrived> {
        let text = std::fs::read_to_string(self.home.path().join(FILE)).unwrap_or_default();
        let mut arrived: BTreeMap<Own, Arrived> = BTreeMap::new();
        // of a line that is being written the end is not there
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let batch: Value = serde_json::from_str(line).expect("a whole line");
            assert_eq!(batch["site"], "site-0017");
            for record in batch["records"].as_array().expect("records") {
                let mut said = record.clone();
                said["spool"] = batch["spool"].clone();
                let there = arrived.entry(own(record)).or_insert_with(|| Arrived { record: said.clone(), often: 0 });
                assert_eq!(there.record.to_string(), said.to_string(), "the second time it says something else");
                there.often += 1;
            }
        }
        arrived
    }

    /// What must hold whenever it was killed.
    fn holds(&self, before: &Held) -> Held {
        let held = self.held_at_rest();
        for (own, was) in before {
            let is = held.get(own).unwrap_or_else(|| panic!("{own:?} was in the spool and is gone: {was:?}"));
            assert!(is.is(was) && (was.waits || !is.waits), "{own:?}: {was:?} became {is:?}");
        }
        let arrived = self.arrived();
        for own in arrived.keys() {
            assert!(held.contains_key(own), "{own:?} is at the centre and was never in the spool");
        }
        for (own, settled) in held.iter().filter(|(_, spooled)| !spooled.waits) {
            assert!(arrived.contains_key(own), "{own:?} is settled and not at the centre: {settled:?}");
        }
        was_asked(&held, self.asked);
        ledger_holds(&self.spool());
        held
    }

    /// It runs until nothing waits, and ends in order; what comes of its end goes with the next.
    fn runs_out(&mut self) -> Held {
        self.another_centre(0);
        for life in 0..LAST_LIVES_MAX {
            let mut service = self.launch();
            service.hear("started");
            if life == 0 {
                assert_eq!(service.hear("sandboxed")["findings"], 0);
                // it still sees, merges and delivers
                sent(self.ask(6 * HOSTS));
            }
            let until = Instant::now() + PATIENCE;
            while self.held().is_empty() || self.held().values().any(|spooled| spooled.waits) {
                if Instant::now() > until {
                    let waits = self.held().values().filter(|spooled| spooled.waits).count();
                    let said: Vec<Value> = service.said.try_iter().collect();
                    panic!("{waits} of {} records still wait: {:?} {said:?}", self.held().len(), service.heard);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let (_, account, status, _) = service.end();
            assert!(status.success() && account["unaccounted"] == 0, "{account}");
            let held = self.held_at_rest();
            if held.values().all(|spooled| !spooled.waits) {
                return held;
            }
        }
        panic!("something waits after {LAST_LIVES_MAX} lives");
    }
}

fn own(of: &Value) -> Own {
    (of["id"].as_str().expect("an id").to_owned(), of["revision"].as_u64().expect("a revision"))
}

/// Every record of the spool speaks of questions that were asked, of each at most once; every update names a first that is there.
fn was_asked(held: &Held, asked_so_far: u32) {
    let mut told = 0;
    for (own, spooled) in held {
        let record = spooled.record();
        let context = &record["alert"]["context"];
        let seen = context["ioc"][0]["seen"].as_str().expect("a name");
        let number = seen.strip_prefix('h').and_then(|rest| rest.split('.').next()?.parse().ok());
        let number: u32 = number.unwrap_or_else(|| panic!("{seen} was never asked for"));
        let (name, host, port) = asked(number);
        let ends = (record["src_ip"].as_str(), record["src_port"].as_u64());
        assert_eq!((seen, ends), (&*name, (Some(&*host.to_string()), Some(port.into()))), "{own:?}");
        assert!(number < asked_so_far, "{seen} was not asked for yet");
        let repeats = &context["haetae"]["repeats"];
        match repeats["first"].as_str() {
            Some(first) => {
                assert!(held.contains_key(&(first.to_owned(), 1)), "{own:?} is an update of {first}, which is nowhere");
                told += repeats["alerts"].as_u64().expect("a number");
            }
            None => told += u64::from(own.1 == 1),
        }
    }
    assert!(told <= asked_so_far.into(), "{told} alerts of {asked_so_far} questions");
}

#[test]
fn what_the_service_spooled_arrives_as_it_was_and_nothing_else_whenever_it_is_killed() {
    if !possible("what_the_service_spooled_arrives_as_it_was_and_nothing_else_whenever_it_is_killed") {
        return;
    }
    let kills = std::env::var("HAETAE_KILLS").map_or(KILLS, |text| text.parse().expect("HAETAE_KILLS is a number"));
    // side by side: most of the time one waits for the moment of its kill
    std::thread::scope(|scope| {
        for site in 0..SITES {
            scope.spawn(move || at_a_site(kills.div_ceil(SITES), 0x6861_6574_6165_0041 + site));
        }
    });
}

fn at_a_site(kills: u64, mut dice: u64) {
    let (began, mut site) = (Instant::now(), Site::new());
    let (mut raised, mut merging) = (Held::new(), 0);
    while site.kills < kills {
        let before = site.round(&mut dice);
        let held = site.holds(&before);
        // what was there after one kill is there after all others
        for (own, was) in &raised {
            assert!(held.get(own).is_some_and(|is| is.is(was)), "{own:?} is gone: {was:?}");
        }
        merging += u64::from(updates(&held) > updates(&raised));
        raised = held;
    }
    let held = site.runs_out();
    let arrived = site.holds(&raised).into_keys().collect::<BTreeSet<_>>();
    assert_eq!(arrived, site.arrived().into_keys().collect(), "all of it, and nothing else");
    assert!(!site.spool().join(DEAD_LETTERS).exists(), "nothing was refused");
    let arrived = site.arrived();
    let again: u64 = arrived.values().map(|one| one.often - 1).sum();
    assert!(again <= BATCH_MAX * (site.kills + site.deaths), "{again} records were sent again");
    assert!(kills < EARLY_EVERY || merging > 0, "no life was long enough for an update");
    println!(
        "{} kills, the centre died {} times between commit and answer: of {} questions came {} records, {} of them updates \
         (in {merging} killed lives); 0 lost, 0 that nobody raised, {again} came again as they were; {:?}",
        site.kills,
        site.deaths,
        site.asked,
        arrived.len(),
        updates(&held),
        began.elapsed(),
    );
}

/// How many of these are updates.
fn updates(held: &Held) -> usize {
    let is_update = |one: &&Spooled| one.record().pointer("/alert/context/haetae/repeats").is_some();
    held.values().filter(is_update).count()
}
