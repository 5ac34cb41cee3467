//! Lives of a ledger on a disk that does the worst it may, each ended by the power. What was entered before a message left is
//! there after any end, in one chain; `HAETAE_POWER_SEEDS` says how many seeds, or which, 500 without it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::tests::{Centre, TO, check, leaving, send};
use super::*;
use crate::spool::simulated::{Faults, Random, Simulated, seeds};
use crate::spool::{Entry as Place, Growing, Storage};

const OPTIONS: Options = Options { bytes_max: 20_000, file_bytes_max: 4_000, time_max: DAY, keep_bytes_max: 0 };

/// What must be true at any time: what was sent, by its digest, and by the sequence under which it was entered.
#[derive(Default)]
struct Oracle(BTreeMap<u64, Digest>);

impl Oracle {
    fn judge(&self, disk: &dyn Storage, keys: &Keys) -> Result<(), String> {
        let report = check(disk, Path::new("/ledger"), Some(keys), &[]);
        if report.wrong > 0 || report.torn {
            return Err(format!("it does not hold: torn {}, {:?}", report.torn, report.findings));
        }
        let mut entered = BTreeMap::new();
        for path in list(disk, Path::new("/ledger")).map_err(|error| error.to_string())? {
            let bytes = read(disk, &path).map_err(|error| error.to_string())?;
            for entry in bytes.split(|byte| *byte == b'\n').filter_map(|line| Entry::read(line).ok()) {
                if let Said::Attempt(attempt) = entry.said {
                    entered.insert(entry.sequence, attempt.sha256);
                }
            }
        }
        let lost = self.0.range(report.unbroken_from..).find(|(sequence, sent)| entered.get(*sequence) != Some(*sent));
        lost.map_or(Ok(()), |(sequence, _)| Err(format!("what left as entry {sequence} is not in the ledger")))
    }
}

/// Works until the power goes or it has had enough.
fn work(ledger: &Ledger, disk: &Simulated, centre: &Centre, oracle: &mut Oracle, random: &mut Random) {
    for _ in 0..random.below(40) {
        let through = 1 + random.below(1_000) as u64;
        match random.below(4) {
            // nobody hears what became of it
            0 => {
                let body = vec![random.next() as u8; 8];
                if let Ok((ticket, sent)) = ledger.enter(&leaving(through), TO, |_| body, |bytes| bytes) {
                    oracle.0.insert(ticket.sequence, Digest::of(&sent));
                }
            }
            _ => {
                let (mut before, mut sent) = (ledger.head(), Vec::new());
                let message = |head: Head| {
                    before = head;
                    format!("{through} {}", head.head).into_bytes()
                };
                if let Ok((ticket, bytes)) = ledger.enter(&leaving(through), TO, message, |bytes| bytes) {
                    sent = bytes;
                    oracle.0.insert(ticket.sequence, Digest::of(&sent));
                    let receipt = centre.sign(before, &sent, through);
                    ledger.settle(ticket, Answer::Committed, Some(through), Some(receipt));
                }
                drop(sent);
            }
        }
        if disk.is_off() {
            return;
        }
    }
}

/// Some lives, from a seed; what is wrong with them.
fn live(seed: u64, is_careless: bool) -> Result<(), String> {
    let (disk, mut random) = (Simulated::new(seed), Random(!seed));
    let storage: Arc<dyn Storage> = match is_careless {
        true => Arc::new(Planted(disk.clone(), Arc::default())),
        false => Arc::new(disk.clone()),
    };
    let (centre, mut oracle) = (Centre::new(3), Oracle::default());
    let (keys, directory) = (centre.keys(), Path::new("/ledger"));
    for life in 0..2 + random.below(6) {
        let faults = match random.below(3) {
            0 => Faults::default(),
            1 => Faults { sync: 6, ..Faults::default() },
            _ => Faults { sync: 12, full: 12, ..Faults::default() },
        };
        let most = if life > 0 && random.once_in(3) { 12 } else { 150 };
        disk.on(Some(1 + random.below(most)), faults);
        match Ledger::open_on(Arc::clone(&storage), directory, OPTIONS, ("site", "tap"), Some(keys.clone())) {
            Ok(ledger) => work(&ledger, &disk, &centre, &mut oracle, &mut random),
            Err(_) if disk.is_off() => {}
            Err(error) => return Err(format!("life {life}: it does not start: {error}")),
        }
        disk.crash();
        disk.on(None, Faults::default());
        // looked at after a start that the power does not meet, now and then
        if random.once_in(2) {
            let opened = Ledger::open_on(Arc::clone(&storage), directory, OPTIONS, ("site", "tap"), Some(keys.clone()));
            let ledger = opened.map_err(|error| format!("life {life}: it does not start: {error}"))?;
            oracle.judge(&disk, &keys).map_err(|wrong| format!("life {life}: {wrong}"))?;
            send(&ledger, 1, Some(&centre)).map_err(|error| format!("life {life}: {error}"))?;
            disk.crash();
        }
    }
    disk.on(None, Faults::default());
    let opened = Ledger::open_on(storage, directory, OPTIONS, ("site", "tap"), Some(keys.clone()));
    drop(opened.map_err(|error| format!("it does not start: {error}"))?);
    oracle.judge(&disk, &keys).map_err(|wrong| format!("at the end: {wrong}"))
}

/// A disk that forgets to write what it was told to, and counts how often it was.
struct Planted(Simulated, Arc<AtomicU64>);

struct PlantedFile(Box<dyn Growing>, Arc<AtomicU64>);

impl Storage for Planted {
    fn hold(&self, directory: &Path) -> io::Result<Box<dyn Send>> {
        self.0.hold(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Place>> {
        self.0.list(directory)
    }

    fn read(&self, path: &Path, from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
        self.0.read(path, from, bytes_max)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        self.0.create(path).map(|file| Box::new(PlantedFile(file, Arc::clone(&self.1))) as Box<dyn Growing>)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.0.make_directory(path)
    }

    fn refill(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        self.0.refill(path).map(|file| Box::new(PlantedFile(file, Arc::clone(&self.1))) as Box<dyn Growing>)
    }

    fn overwrite(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.overwrite(path, at, bytes)
    }

    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.0.cut(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.0.sync_directory(directory)
    }
}

impl Growing for PlantedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn whatever_the_power_does_what_left_is_in_the_ledger_and_the_ledger_holds() {
    let seeds = seeds();
    let wrong: Vec<_> = seeds.clone().filter_map(|seed| live(seed, false).err().map(|wrong| (seed, wrong))).collect();
    assert!(wrong.is_empty(), "{} of the seeds {seeds:?}, such as {:#?}", wrong.len(), &wrong[..wrong.len().min(8)]);
}

#[test]
fn a_ledger_that_forgets_to_sync_is_found_out() {
    let found = (0..500).filter(|seed| live(*seed, true).is_err()).count();
    assert!(found > 100, "{found} of 500 seeds");
}

#[test]
fn a_message_costs_one_sync_and_one_more_when_nothing_follows_it() {
    let syncs = Arc::new(AtomicU64::new(0));
    let disk = Planted(Simulated::new(1), Arc::clone(&syncs));
    let options = Options { file_bytes_max: 1 << 20, ..OPTIONS };
    let ledger = Ledger::open_on(Arc::new(disk), Path::new("/ledger"), options, ("site", "tap"), None).expect("a disk");
    let mut counted = Vec::new();
    for through in 1..=5 {
        send(&ledger, through, None).expect("room");
        counted.push(syncs.load(Ordering::Relaxed));
    }
    ledger.rest();
    ledger.rest();
    counted.push(syncs.load(Ordering::Relaxed));
    assert_eq!(counted, [1, 2, 3, 4, 5, 6]);
}

/// The centre's answer to the last message, as the next start finds it after the power went.
fn answer_after_power_loss(rests: bool) -> Option<Answer> {
    let (disk, directory) = (Simulated::new(9), Path::new("/ledger"));
    disk.on(None, Faults::default());
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let open = || Ledger::open_on(Arc::clone(&storage), directory, OPTIONS, ("site", "tap"), None).expect("a disk");
    let ledger = open();
    send(&ledger, 1, None).expect("room");
    if rests {
        ledger.rest();
    }
    disk.on(Some(0), Faults::default());
    drop(ledger);
    disk.crash();
    disk.on(None, Faults::default());
    drop(open());
    let bytes: Vec<u8> =
        list(&disk, directory).expect("files").iter().flat_map(|path| read(&disk, path).expect("bytes")).collect();
    let said = bytes.split(|byte| *byte == b'\n').filter_map(|line| Entry::read(line).ok()).map(|entry| entry.said);
    let mut answers =
        said.filter_map(|said| if let Said::Outcome(outcome) = said { Some(outcome.answer) } else { None });
    answers.next_back()
}

#[test]
fn an_answer_is_durable_once_nothing_else_is_to_be_done_and_unknown_to_whom_the_power_left_without_it() {
    assert_eq!(answer_after_power_loss(true), Some(Answer::Committed));
    // a torn disk may have kept it all the same
    assert!(matches!(answer_after_power_loss(false), Some(Answer::Unknown | Answer::Committed)));
}
