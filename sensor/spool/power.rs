//! Lives of a spool on a disk that does the worst it may, each ended by the power, by a kill or in order, some in the middle of the
//! recovery from the last end. An oracle knows what was promised; and spools with a fault planted show that it would notice.
//!
//! `HAETAE_POWER_SEEDS` says how many lives' worth of seeds; 500 without it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::simulated::{Faults, Random, Simulated};
use super::storage::{Entry, Growing, Storage};
use super::survey::{Finding, Surveyed, verify_on};
use super::{CURSOR, GIVEN_UP, Lane, NotTaken, Options, Position, Range, Spool, Window};

const DIRECTORY: &str = "/spool";

/// Small, so that there are many ends of segments; records are of a sector or so.
const ROOMY: Options = Options { bytes_max: 1 << 20, segment_bytes_max: 3_000, window: Window::NONE, sheds: false };

/// So small that something has to go again and again.
const NARROW: Options = Options { bytes_max: 30_000, sheds: true, ..ROOMY };

/// What must be true of a lane at any time.
#[derive(Default)]
struct Oracle {
    /// Synced, or found after a crash: from then on it is there.
    promised: BTreeMap<u64, Vec<u8>>,
    /// Appended in this life, and no word that it is durable.
    hoped: BTreeMap<u64, Vec<u8>>,
    /// Whatever was ever appended there: what a recovery has cut off may be there again after the next crash, as long as nothing
    /// else was promised in its place; and what was settled is there again when somebody wants it replayed.
    once: BTreeMap<u64, Vec<Vec<u8>>>,
    /// Committed for certain, and what may have been.
    committed: u64,
    asked: u64,
    /// Records of this life that were promised and then given up.
    given_up: u64,
    /// The furthest that was ever asked for, where a process was killed whose disk had failed: of its cursors either may hold.
    either: Option<u64>,
    furthest: u64,
}

impl Oracle {
    /// What a lane that was just opened has to show.
    fn opened(&mut self, spool: &Spool, lane: Lane) -> Result<(), String> {
        let report = spool.recovery_of(lane);
        let ranges = spool.given_up.ranges(lane);
        let watermark = spool.reader(lane).waiting().watermark.0;
        // a full disk may have had no room for a first cursor; then nothing was committed
        let cursor = !report.cursor_lost || self.committed == 0 || self.either.is_some();
        let named = report.foreign.len() + report.misplaced.len() + report.shortened.len();
        let quiet = cursor && named == 0 && report.lost + report.links_broken == 0;
        quiet.then_some(()).ok_or_else(|| format!("nobody damaged anything: {report:?}, {ranges:?}"))?;
        let given_up = ranges.iter().filter(|range| range.after <= self.asked).map(|range| range.through).max();
        let known = self.either.map_or(self.committed..=self.asked, |furthest| 0..=furthest.max(self.asked));
        if watermark < *known.start() || watermark > (*known.end()).max(given_up.unwrap_or(0)) {
            return Err(format!("{} to {} were committed, and it says {watermark}", self.committed, self.asked));
        }
        self.forget(ranges);
        let found = self.look(spool, lane)?;
        (self.committed, self.asked) = (watermark, watermark);
        self.promised.retain(|position, _| *position > watermark);
        // what was written without a promise and came through stays
        self.promised.extend(found);
        self.hoped.clear();
        self.given_up = 0;
        Ok(())
    }

    fn append(&mut self, position: u64, payload: Vec<u8>) {
        self.once.entry(position).or_default().push(payload.clone());
        self.hoped.insert(position, payload);
    }

    /// What was given up was promised no more.
    fn forget(&mut self, ranges: &[Range]) {
        let is_gone = |position: u64| ranges.iter().any(|range| range.after < position && position <= range.through);
        let before = self.promised.len();
        self.promised.retain(|position, _| !is_gone(*position));
        self.given_up += (before - self.promised.len()) as u64;
    }

    /// All that waits: everything promised, and nothing that was never appended so.
    fn look(&self, spool: &Spool, lane: Lane) -> Result<BTreeMap<u64, Vec<u8>>, String> {
        let mut reader = spool.reader(lane);
        let (mut found, mut from) = (BTreeMap::new(), reader.waiting().watermark.next());
        let first = from;
        loop {
            // a run ends before what was given up
            let run =
                reader.read(from, usize::MAX, usize::MAX).map_err(|error| format!("it cannot be read: {error}"))?;
            let rising = run.is_sorted_by(|one, other| one.position < other.position);
            rising.then_some(()).ok_or("records come out of order")?;
            let Some(last) = run.last() else { break };
            from = last.position.next();
            found.extend(run.into_iter().map(|record| (record.position.0, record.payload)));
        }
        // nobody has it in their hands any more
        spool.logs[lane.index()].shared.state().lent = 0;
        // what was found and could not be written again waits in memory, for a disk that takes it
        let waits = if spool.is_unsynced() { spool.reader(lane).waiting().last.0 + 1 } else { u64::MAX };
        let lost = self
            .promised
            .range(first.0..waits.max(first.0))
            .find(|(position, payload)| found.get(position) != Some(payload));
        let appended = |position: &u64, payload: &Vec<u8>| match self.promised.get(position) {
            Some(promised) => promised == payload,
            None => self.once.get(position).into_iter().flatten().any(|one| one == payload),
        };
        let phantom = found.iter().find(|(position, payload)| !appended(position, payload));
        match (lost, phantom) {
            (None, None) => Ok(found),
            (Some((position, _)), _) => Err(format!("record {position} was promised, and is not there")),
            (_, Some((position, _))) => Err(format!("record {position} was never appended so")),
        }
    }
}

/// Every so manieth seed commits all that is there, and not half of it: then what comes next follows what nobody waits for.
const COMMITS_ALL: u64 = 4;

/// A disk, and what is known of the spool on it.
struct Scene {
    commits_all: bool,
    disk: Simulated,
    random: Random,
    lanes: [Oracle; 3],
    options: Options,
}

impl Scene {
    fn opened(&mut self, spool: &Spool) -> Result<(), String> {
        let each = |lane: Lane| self.lanes[lane.index()].opened(spool, lane).map_err(|it| format!("{lane}: {it}"));
        Lane::ALL.into_iter().try_for_each(each)?;
        self.looked_at()
    }

    /// From outside nothing is damaged either. It begins before the watermark, and knows less of what was promised there.
    fn looked_at(&self) -> Result<(), String> {
        let survey = verify_on(&self.disk.twin(), Path::new(DIRECTORY)).map_err(|it| format!("from outside: {it}"))?;
        // a full disk may have had no room for a first cursor; then nothing was committed
        let is_known = |finding: &&Finding, oracle: &Oracle| {
            finding.file.ends_with(CURSOR) && (oracle.committed == 0 || oracle.either.is_some())
        };
        let of_lane = |(lane, oracle): (&'_ Surveyed, &Oracle)| {
            lane.findings.iter().filter(|finding| !is_known(finding, oracle)).cloned().collect::<Vec<_>>()
        };
        let found: Vec<_> = survey.lanes.iter().zip(&self.lanes).flat_map(of_lane).collect();
        found.is_empty().then_some(()).ok_or_else(|| format!("nobody damaged anything, and from outside: {found:?}"))
    }

    /// Works until the power goes or it has had enough.
    fn work(&mut self, spool: &mut Spool) -> Result<(), String> {
        for _ in 0..self.random.below(100) {
            let lane = Lane::ALL[self.random.below(3)];
            match self.random.below(12) {
                0..=4 => self.append(spool, lane)?,
                5 | 6 if spool.sync().is_ok() => self.synced(spool),
                7 => self.commit(spool, lane),
                8 => drop(spool.tender().tend()),
                9 => {
                    self.disk.pass(Duration::from_millis(self.random.below(90_000) as u64));
                    if spool.summary().is_some() {
                        spool.told();
                    }
                }
                10 => self.rewind(spool)?,
                11 if !self.disk.is_off() => {
                    self.synced_by_itself(spool);
                    let looked = self.lanes[lane.index()].look(spool, lane);
                    looked.map(drop).or_else(|wrong| if self.disk.is_off() { Ok(()) } else { Err(wrong) })?;
                }
                _ => {}
            }
            self.books(spool);
            if self.disk.is_off() {
                return Ok(());
            }
        }
        self.count(spool)
    }

    fn append(&mut self, spool: &mut Spool, lane: Lane) -> Result<(), String> {
        let length = self.random.below(700);
        let payload: Vec<u8> = (0..length).map(|_| self.random.next() as u8).collect();
        match spool.append(lane, &payload) {
            Ok(Position(position)) => self.lanes[lane.index()].append(position, payload),
            Err(NotTaken::Full) if self.options.sheds => {}
            Err(refused) => return Err(format!("there was room: {refused}")),
        }
        Ok(())
    }

    fn synced(&mut self, spool: &Spool) {
        self.lanes.iter_mut().for_each(|oracle| oracle.promised.append(&mut oracle.hoped));
        self.books(spool);
    }

    /// A sync that failed for one lane may have been done for another.
    fn synced_by_itself(&mut self, spool: &Spool) {
        for lane in Lane::ALL {
            let (last, oracle) = (spool.reader(lane).waiting().last.0, &mut self.lanes[lane.index()]);
            let rest = oracle.hoped.split_off(&(last + 1));
            oracle.promised.append(&mut oracle.hoped);
            oracle.hoped = rest;
        }
    }

    /// What is given up is known before anything else is done.
    fn books(&mut self, spool: &Spool) {
        self.synced_by_itself(spool);
        for lane in Lane::ALL {
            self.lanes[lane.index()].forget(spool.given_up.ranges(lane));
        }
    }

    /// What was given up is what was counted.
    fn count(&self, spool: &Spool) -> Result<(), String> {
        let counts = spool.shed_counts();
        for (lane, oracle) in Lane::ALL.into_iter().zip(&self.lanes) {
            let counted: u64 = super::Cause::ALL.into_iter().map(|cause| counts.of(lane, cause)).sum();
            // what was never taken is counted beside it
            if counted < oracle.given_up || !self.options.sheds && counted > 0 {
                return Err(format!("{lane}: {} were given up, and {counted} are counted", oracle.given_up));
            }
        }
        Ok(())
    }

    fn commit(&mut self, spool: &Spool, lane: Lane) {
        let (reader, oracle) = (&mut spool.reader(lane), &mut self.lanes[lane.index()]);
        let last = oracle.promised.last_key_value().map_or(0, |(last, _)| *last);
        let part = if self.commits_all { 1 } else { 2 };
        oracle.asked = oracle.asked.max(oracle.committed + (last - oracle.committed.min(last)) / part);
        oracle.furthest = oracle.furthest.max(oracle.asked);
        if reader.commit(Position(oracle.asked)).is_ok() {
            oracle.committed = oracle.asked;
        }
    }

    /// What the window has is there again.
    fn rewind(&mut self, spool: &Spool) -> Result<(), String> {
        let since = self.disk.now() - Duration::from_secs(self.random.below(200) as u64);
        let rewound = spool.tender().rewind(since);
        for lane in Lane::ALL {
            let (watermark, oracle) = (spool.reader(lane).waiting().watermark.0, &mut self.lanes[lane.index()]);
            if watermark >= oracle.committed {
                continue;
            }
            oracle.committed = watermark;
            if rewound.is_ok() && !self.disk.is_off() {
                oracle.asked = watermark;
                let found = oracle.look(spool, lane);
                oracle
                    .promised
                    .extend(found.or_else(|it| if self.disk.is_off() { Ok(BTreeMap::new()) } else { Err(it) })?);
            }
        }
        Ok(())
    }

    /// The process ends, somehow.
    fn end(&mut self, spool: Option<Spool>, faults: Faults) -> Result<(), String> {
        match self.random.below(4) {
            // in order; and then the power goes
            0 => drop(spool),
            1 if !self.disk.is_off() => {
                for oracle in self.lanes.iter_mut().filter(|_| faults.sync > 0) {
                    oracle.either = Some(oracle.either.unwrap_or(0).max(oracle.furthest));
                }
                self.disk.kill();
                return self.looked_at();
            }
            _ => self.disk.kill(),
        }
        self.disk.crash();
        Ok(())
    }
}

/// Some lives, from a seed; what is wrong with them.
fn live(seed: u64, careless: Option<Careless>) -> Result<(), String> {
    let (disk, mut random) = (Simulated::new(seed), Random(!seed));
    let storage: Arc<dyn Storage> = match careless {
        Some(what) => Arc::new(Planted { what, disk: disk.clone() }),
        None => Arc::new(disk.clone()),
    };
    let window = if random.once_in(2) { Window::default() } else { Window::NONE };
    let options = Options { window, ..if random.once_in(2) { NARROW } else { ROOMY } };
    let (directory, lanes) = (Path::new(DIRECTORY), Default::default());
    let commits_all = seed.is_multiple_of(COMMITS_ALL);
    let mut scene = Scene { commits_all, disk: disk.clone(), random, lanes, options };
    for life in 0..2 + scene.random.below(6) {
        let last = scene.random.once_in(4);
        let faults = match scene.random.below(3) {
            0 => Faults::default(),
            1 => Faults { sync: 6, ..Faults::default() },
            _ => Faults { sync: 12, full: 12, ..Faults::default() },
        };
        // the first has to make the spool; recovery itself is met by the power now and then
        let most = if life > 0 && scene.random.once_in(3) { 20 } else { 250 };
        let left = 1 + scene.random.below(most);
        disk.on((!last).then_some(left), faults);
        let opened = Spool::open_on(Arc::clone(&storage), directory, options);
        let ended = match opened {
            Ok(mut spool) => match scene.opened(&spool) {
                Ok(()) => {
                    scene.work(&mut spool).map_err(|it| format!("life {life}: {it}"))?;
                    Some(spool)
                }
                // it went while somebody looked
                Err(_) if disk.is_off() => None,
                Err(wrong) => return Err(format!("life {life}: {wrong}")),
            },
            Err(_) if disk.is_off() => None,
            Err(error) => return Err(format!("life {life}: it does not start: {error}")),
        };
        scene.end(ended, faults).map_err(|it| format!("life {life}, killed: {it}"))?;
    }
    disk.on(None, Faults::default());
    let spool = Spool::open_on(storage, directory, options).map_err(|error| format!("it does not start: {error}"))?;
    scene.opened(&spool).map_err(|wrong| format!("at the end: {wrong}"))
}

/// What somebody could forget.
#[derive(Clone, Copy, Debug)]
enum Careless {
    /// To sync files.
    Files,
    /// To sync a file before it gets its name.
    NewFiles,
    /// To sync directories.
    Directories,
    /// That a sync failed.
    Failures,
    /// To write down what is given up.
    GivenUp,
}

struct Planted {
    what: Careless,
    disk: Simulated,
}

struct PlantedFile {
    what: Careless,
    is_new: bool,
    file: Box<dyn Growing>,
}

impl Storage for Planted {
    fn hold(&self, directory: &Path) -> io::Result<Box<dyn Send>> {
        self.disk.hold(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(directory)
    }

    fn read(&self, path: &Path, from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
        self.disk.read(path, from, bytes_max)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        let is_new = path.extension().is_some_and(|extension| extension == "new");
        self.disk.create(path).map(|file| Box::new(PlantedFile { what: self.what, is_new, file }) as Box<dyn Growing>)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.make_directory(path)
    }

    fn refill(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        let planted = |file| Box::new(PlantedFile { what: self.what, is_new: false, file }) as Box<dyn Growing>;
        self.disk.refill(path).map(planted)
    }

    fn now(&self) -> std::time::SystemTime {
        self.disk.now()
    }

    fn overwrite(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        if matches!(self.what, Careless::GivenUp) && path.ends_with(GIVEN_UP) {
            return Ok(());
        }
        self.disk.overwrite(path, at, bytes)
    }

    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.disk.cut(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if matches!(self.what, Careless::Directories) { Ok(()) } else { self.disk.sync_directory(directory) }
    }
}

impl Growing for PlantedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.what {
            Careless::Files => Ok(()),
            Careless::NewFiles if self.is_new => Ok(()),
            Careless::Failures => self.file.sync().or(Ok(())),
            _ => self.file.sync(),
        }
    }
}

#[test]
fn whatever_the_power_does_nothing_promised_is_lost_and_nothing_appears() {
    let seeds = std::env::var("HAETAE_POWER_SEEDS").map_or(500, |text| text.parse().expect("a number of seeds"));
    let wrong: Vec<_> = (0..seeds).filter_map(|seed| live(seed, None).err().map(|wrong| (seed, wrong))).collect();
    assert!(wrong.is_empty(), "{} of {seeds} seeds, such as {:#?}", wrong.len(), &wrong[..wrong.len().min(8)]);
}

/// Lives in which what was given up was read again once.
#[test]
fn what_was_given_up_is_not_there_again_when_somebody_goes_back() {
    for seed in [2019, 6021] {
        assert_eq!(live(seed, None), Ok(()), "seed {seed}");
    }
}

#[test]
fn a_spool_that_forgets_a_sync_is_found_out() {
    for what in [Careless::Files, Careless::NewFiles, Careless::Directories, Careless::Failures, Careless::GivenUp] {
        let found = (0..500).filter(|seed| live(*seed, Some(what)).is_err()).count();
        println!("{what:?}: found by {found} of 500 seeds");
        assert!(found > 0, "{what:?} goes unnoticed");
    }
}
