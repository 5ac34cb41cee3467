//! Lives of a spool on a disk that does the worst it may, each ended by the power, some in the middle of the recovery from the
//! last end. An oracle knows what was promised; and spools with a fault planted show that it would notice.
//!
//! `HAETAE_POWER_SEEDS` says how many lives' worth of seeds; 500 without it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::simulated::{Faults, Random, Simulated};
use super::storage::{Entry, Growing, Storage};
use super::{Options, Position, Spool};

/// Small, so that there are many ends of segments; records are of a sector or so.
const OPTIONS: Options = Options { bytes_max: 1 << 20, segment_bytes_max: 3_000 };

/// What must be true at any time.
#[derive(Default)]
struct Oracle {
    /// Synced, or found after a crash: from then on it is there.
    promised: BTreeMap<u64, Vec<u8>>,
    /// Appended in this life, and no word that it is durable.
    hoped: BTreeMap<u64, Vec<u8>>,
    /// The same, of earlier lives: what a recovery has cut off may be there again after the next crash, as long as nothing else was
    /// promised in its place.
    once: BTreeMap<u64, Vec<Vec<u8>>>,
    /// Committed for certain, and what may have been.
    committed: u64,
    asked: u64,
}

impl Oracle {
    /// What a spool that was just opened has to show.
    fn opened(&mut self, spool: &Spool) -> Result<(), String> {
        let report = spool.recovery();
        let watermark = spool.reader().waiting().watermark.0;
        // a full disk may have had no room for a first cursor; then nothing was committed
        let cursor = !report.cursor_lost || self.committed == 0;
        let quiet = cursor && report.foreign.is_empty() && report.lost == 0;
        quiet.then_some(()).ok_or_else(|| format!("nobody damaged anything: {report:?}"))?;
        if watermark < self.committed || watermark > self.asked {
            return Err(format!("{} to {} were committed, and it says {watermark}", self.committed, self.asked));
        }
        let found = self.look(spool)?;
        (self.committed, self.asked) = (watermark, watermark);
        self.promised.retain(|position, _| *position > watermark);
        // what was written without a promise and came through stays
        self.promised.extend(found);
        for (position, payload) in std::mem::take(&mut self.hoped) {
            self.once.entry(position).or_default().push(payload);
        }
        Ok(())
    }

    /// All that waits: everything promised, and nothing that was never appended so.
    fn look(&self, spool: &Spool) -> Result<BTreeMap<u64, Vec<u8>>, String> {
        let mut reader = spool.reader();
        let from = reader.waiting().watermark.next();
        let records =
            reader.read(from, usize::MAX, usize::MAX).map_err(|error| format!("it cannot be read: {error}"))?;
        let rising = records.is_sorted_by(|one, other| one.position < other.position);
        rising.then_some(()).ok_or("records come out of order")?;
        let found: BTreeMap<u64, Vec<u8>> =
            records.into_iter().map(|record| (record.position.0, record.payload)).collect();
        let lost = self.promised.range(from.0..).find(|(position, payload)| found.get(position) != Some(payload));
        let appended = |position: &u64, payload: &Vec<u8>| match self.promised.get(position) {
            Some(promised) => promised == payload,
            None => {
                let once = self.once.get(position).into_iter().flatten();
                once.chain(self.hoped.get(position)).any(|one| one == payload)
            }
        };
        let phantom = found.iter().find(|(position, payload)| !appended(position, payload));
        match (lost, phantom) {
            (None, None) => Ok(found),
            (Some((position, _)), _) => Err(format!("record {position} was promised, and is not there")),
            (_, Some((position, _))) => Err(format!("record {position} was never appended so")),
        }
    }
}

/// Works until the power goes or it has had enough.
fn work(spool: &mut Spool, disk: &Simulated, oracle: &mut Oracle, random: &mut Random) -> Result<(), String> {
    for _ in 0..random.below(80) {
        match random.below(8) {
            0..=3 => {
                let length = random.below(700);
                let payload: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
                match spool.append(&payload) {
                    Ok(Position(position)) => drop(oracle.hoped.insert(position, payload)),
                    Err(refused) => return Err(format!("there was room: {refused}")),
                }
            }
            4 | 5 if spool.sync().is_ok() => oracle.promised.append(&mut oracle.hoped),
            6 => {
                let last = oracle.promised.last_key_value().map_or(0, |(last, _)| *last);
                oracle.asked = oracle.asked.max(oracle.committed + (last - oracle.committed.min(last)) / 2);
                if spool.reader().commit(Position(oracle.asked)).is_ok() {
                    oracle.committed = oracle.asked;
                }
            }
            7 if !disk.is_off() => drop(oracle.look(spool)),
            _ => {}
        }
        if disk.is_off() {
            return Ok(());
        }
    }
    Ok(())
}

/// Some lives, from a seed; what is wrong with them.
fn live(seed: u64, careless: Option<Careless>) -> Result<(), String> {
    let (disk, mut random) = (Simulated::new(seed), Random(!seed));
    let storage: Arc<dyn Storage> = match careless {
        Some(what) => Arc::new(Planted { what, disk: disk.clone() }),
        None => Arc::new(disk.clone()),
    };
    let (directory, mut oracle) = (Path::new("/spool"), Oracle::default());
    for life in 0..2 + random.below(6) {
        let last = random.once_in(4);
        let faults = match random.below(3) {
            0 => Faults::default(),
            1 => Faults { sync: 6, full: 0 },
            _ => Faults { sync: 12, full: 12 },
        };
        // the first has to make the spool; recovery itself is met by the power now and then
        let most = if life > 0 && random.once_in(3) { 12 } else { 150 };
        let left = 1 + random.below(most);
        disk.on((!last).then_some(left), faults);
        match Spool::open_on(Arc::clone(&storage), directory, OPTIONS) {
            Ok(mut spool) => match oracle.opened(&spool) {
                Ok(()) => {
                    work(&mut spool, &disk, &mut oracle, &mut random).map_err(|it| format!("life {life}: {it}"))?
                }
                // it went while somebody looked
                Err(_) if disk.is_off() => {}
                Err(wrong) => return Err(format!("life {life}: {wrong}")),
            },
            Err(_) if disk.is_off() => {}
            Err(error) => return Err(format!("life {life}: it does not start: {error}")),
        }
        disk.crash();
    }
    disk.on(None, Faults::default());
    let spool = Spool::open_on(storage, directory, OPTIONS).map_err(|error| format!("it does not start: {error}"))?;
    oracle.opened(&spool).map_err(|wrong| format!("at the end: {wrong}"))
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

    fn overwrite(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
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

#[test]
fn a_spool_that_forgets_a_sync_is_found_out() {
    for what in [Careless::Files, Careless::NewFiles, Careless::Directories, Careless::Failures] {
        let found = (0..500).filter(|seed| live(*seed, Some(what)).is_err()).count();
        println!("{what:?}: found by {found} of 500 seeds");
        assert!(found > 0, "{what:?} goes unnoticed");
    }
}
