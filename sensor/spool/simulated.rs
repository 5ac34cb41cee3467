//! A disk in memory that does the worst that a real one may: when the power goes, of what was not synced any sector may be
//! there, be empty, be torn or be rubbish, and any name may have come or not, in whatever order it was given. A sync that failed
//! once has forgotten what it should have written, and the next one says that all is well.
//!
//! In: a seed. Out: always the same disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::storage::{Entry, Growing, Storage};

/// The number that a directory has instead of a file's.
const DIRECTORY: usize = usize::MAX;

/// What a disk writes whole or not at all, mostly.
const SECTOR_BYTES: usize = 512;

/// The seeds that are tried: so many, or from one to before another.
pub(crate) fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("HAETAE_POWER_SEEDS") else { return 0..500 };
    let number = |text: &str| text.parse().expect("a number of seeds, or one..another");
    text.split_once("..").map_or_else(|| 0..number(&text), |(first, end)| number(first)..number(end))
}

/// Numbers from a seed: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        times > 0 && self.below(times) == 0
    }
}

/// How often something goes wrong, as one of so many times; 0: never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// A sync fails.
    pub(crate) sync: usize,
    /// The disk is full, after a part was written.
    pub(crate) full: usize,
    /// It has room for so many bytes in all; 0: for any.
    pub(crate) room: usize,
    /// Nothing can be written.
    pub(crate) broken: bool,
    /// How long a sync of a file takes.
    pub(crate) slow: Duration,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// As whoever reads now sees it.
    bytes: Vec<u8>,
    /// What is there after any crash.
    durable: Vec<u8>,
    /// From where to where a failed sync has forgotten to write.
    forgotten: Vec<(usize, usize)>,
    /// Where bytes were written over that may not have come through, and with what.
    over: Vec<(usize, Vec<u8>)>,
    /// It was cut to so many bytes, and that may not have come through.
    cut: Option<usize>,
}

#[derive(Clone, Debug)]
enum Named {
    As(PathBuf, usize),
    From(PathBuf, PathBuf, usize),
    Gone(PathBuf),
}

#[derive(Clone, Debug)]
struct World {
    random: Random,
    faults: Faults,
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Since the directory was synced.
    changes: Vec<Named>,
    /// What may be asked before the power goes; `None`: it stays.
    left: Option<usize>,
    off: bool,
    now: SystemTime,
}

/// See the head of this file.
#[derive(Clone)]
pub(crate) struct Simulated(Arc<Mutex<World>>);

struct Handle {
    disk: Simulated,
    file: usize,
    /// Where it is written next, over what is there; `None`: at its end.
    over: Option<usize>,
}

impl Simulated {
    pub(crate) fn new(seed: u64) -> Simulated {
        Simulated(Arc::new(Mutex::new(World {
            random: Random(seed),
            faults: Faults::default(),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            left: None,
            off: false,
            now: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power is on, until so many things have been asked.
    pub(crate) fn on(&self, left: Option<usize>, faults: Faults) {
        let mut world = self.world();
        (world.left, world.faults, world.off) = (left, faults, false);
    }

    pub(crate) fn is_off(&self) -> bool {
        self.world().off
    }

    /// The same disk as it is read now, its power on, in other hands: nothing that is done to it is done to this one.
    pub(super) fn twin(&self) -> Simulated {
        let twin = World { left: None, off: false, faults: Faults::default(), ..self.world().clone() };
        Simulated(Arc::new(Mutex::new(twin)))
    }

    /// Time goes by.
    pub(super) fn pass(&self, time: Duration) {
        self.world().now += time;
    }

    /// The process goes, and the power stays.
    pub(super) fn kill(&self) {
        self.world().off = true;
    }

    /// The power goes, if it is not gone: what is left is what a disk may have kept.
    pub(crate) fn crash(&self) {
        let mut world = self.world();
        let world = &mut *world;
        for change in std::mem::take(&mut world.changes) {
            if world.random.once_in(2) {
                apply(&mut world.durable_names, change);
            }
        }
        world.names = world.durable_names.clone();
        for file in &mut world.files {
            file.crash(&mut world.random);
        }
        world.off = true;
    }

    /// Where files lie, as whoever looks now sees it.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.world().names.keys().cloned().collect()
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: Named) {
    match change {
        Named::As(path, file) => {
            names.insert(path, file);
        }
        Named::From(from, to, file) => {
            names.remove(&from);
            names.insert(to, file);
        }
        Named::Gone(path) => {
            names.remove(&path);
        }
    }
}

/// Whether it is about a name in that directory.
fn is_in(change: &Named, directory: &Path) -> bool {
    let (Named::As(path, _) | Named::From(_, path, _) | Named::Gone(path)) = change;
    let other = match change {
        Named::From(from, ..) => Some(from),
        _ => None,
    };
    std::iter::once(path).chain(other).any(|path| path.parent() == Some(directory))
}

fn power() -> io::Error {
    io::Error::other("the power is gone")
}

impl World {
    /// Something is asked of the disk; whether it is the last thing.
    fn ask(&mut self) -> io::Result<bool> {
        if self.off {
            return Err(power());
        }
        let Some(left) = &mut self.left else { return Ok(false) };
        *left = left.saturating_sub(1);
        self.off = *left == 0;
        Ok(self.off)
    }

    /// The same, of what is done whole or not at all.
    fn ask_whole(&mut self) -> io::Result<()> {
        if self.ask()? { Err(power()) } else { Ok(()) }
    }

    fn number(&self, path: &Path) -> io::Result<usize> {
        let found = self.names.get(path).copied().filter(|number| *number != DIRECTORY);
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// How many bytes more the disk takes.
    fn free(&self) -> usize {
        let files = self.names.values().filter(|number| **number != DIRECTORY);
        let used: usize = files.map(|number| self.files[*number].bytes.len()).sum();
        if self.faults.room == 0 { usize::MAX } else { self.faults.room.saturating_sub(used) }
    }

    fn is_broken(&self) -> io::Result<()> {
        if self.faults.broken { Err(io::Error::other("the disk fails")) } else { Ok(()) }
    }

    fn change(&mut self, change: Named) {
        apply(&mut self.names, change.clone());
        self.changes.push(change);
    }
}

impl File {
    fn sync(&mut self, random: &mut Random) {
        let before = std::mem::replace(&mut self.durable, self.bytes.clone());
        for (from, to) in std::mem::take(&mut self.forgotten) {
            let known = before.len().clamp(from, to.max(from)).min(self.durable.len());
            // what was there before it was written over is there still
            if from < known && random.once_in(2) {
                self.durable[from..known].copy_from_slice(&before[from..known]);
            }
            spoil(&mut self.durable, known, to, random);
        }
        self.over.clear();
        self.cut = None;
    }

    fn crash(&mut self, random: &mut Random) {
        if let Some(cut) = self.cut.take().filter(|_| random.once_in(2)) {
            self.durable.truncate(cut);
        }
        for (at, new) in std::mem::take(&mut self.over) {
            if !random.once_in(3) {
                put(&mut self.durable, at, &new);
                spoil(&mut self.durable, at, at + new.len(), random);
            }
        }
        let (known, tail) = (self.durable.len(), self.bytes.len().saturating_sub(self.durable.len()));
        let kept = known + random.below(tail + 1);
        let mut bytes = std::mem::take(&mut self.durable);
        bytes.extend_from_slice(self.bytes.get(known..kept).unwrap_or_default());
        spoil(&mut bytes, known, kept, random);
        self.forgotten.clear();
        (self.bytes, self.durable) = (bytes.clone(), bytes);
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    bytes.resize(bytes.len().max(at + new.len()), 0);
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// What becomes of bytes that were on their way: each sector by itself.
fn spoil(bytes: &mut [u8], from: usize, to: usize, random: &mut Random) {
    let mut at = from;
    while at < to.min(bytes.len()) {
        let end = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(to).min(bytes.len());
        let sector = &mut bytes[at..end];
        match random.below(4) {
            0 => {}
            1 => sector.fill(0),
            2 => sector.iter_mut().for_each(|byte| *byte = random.next() as u8),
            _ => {
                let kept = random.below(sector.len());
                sector[kept..].fill(0);
            }
        }
        at = end;
    }
}

impl Storage for Simulated {
    fn hold(&self, _directory: &Path) -> io::Result<Box<dyn Send>> {
        self.world().ask_whole().map(|()| Box::new(()) as Box<dyn Send>)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        let mut world = self.world();
        world.ask_whole()?;
        let entry = |(path, number): (&PathBuf, &usize)| {
            let bytes = world.files.get(*number).map_or(0, |file| file.bytes.len() as u64);
            Entry { path: path.clone(), is_file: *number != DIRECTORY, bytes, written: None }
        };
        Ok(world.names.iter().filter(|(path, _)| path.parent() == Some(directory)).map(entry).collect())
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        if world.names.get(path) == Some(&DIRECTORY) {
            return Ok(());
        }
        world.ask_whole()?;
        world.change(Named::As(path.to_owned(), DIRECTORY));
        Ok(())
    }

    fn read(&self, path: &Path, from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut world = self.world();
        world.ask_whole()?;
        let number = world.number(path)?;
        let bytes = world.files[number].bytes.get(from as usize..).unwrap_or_default();
        Ok(bytes[..bytes.len().min(usize::try_from(bytes_max).unwrap_or(usize::MAX))].to_vec())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        let mut world = self.world();
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.is_broken()?;
        let last = world.ask()?;
        let file = world.files.len();
        world.files.push(File::default());
        world.change(Named::As(path.to_owned(), file));
        if last { Err(power()) } else { Ok(Box::new(Handle { disk: self.clone(), file, over: None })) }
    }

    fn refill(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        let mut world = self.world();
        world.ask_whole()?;
        let file = world.number(path)?;
        Ok(Box::new(Handle { disk: self.clone(), file, over: Some(0) }))
    }

    fn overwrite(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.world();
        let world = &mut *world;
        world.is_broken()?;
        let (last, number) = (world.ask()?, world.number(path)?);
        let fails = world.random.once_in(world.faults.sync);
        let file = &mut world.files[number];
        if bytes.is_empty() && !last && !fails {
            // a sync of what is there
            for (at, new) in std::mem::take(&mut file.over) {
                put(&mut file.durable, at, &new);
            }
        }
        put(&mut file.bytes, at as usize, bytes);
        if last || fails {
            file.over.extend((!bytes.is_empty()).then(|| (at as usize, bytes.to_vec())));
            return Err(if last { power() } else { io::Error::other("the disk failed") });
        }
        file.over.retain(|(place, _)| *place != at as usize);
        put(&mut file.durable, at as usize, bytes);
        Ok(())
    }

    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut world = self.world();
        world.ask_whole()?;
        let number = world.number(path)?;
        let file = &mut world.files[number];
        file.bytes.truncate(bytes as usize);
        file.cut = Some(bytes as usize);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        let number = world.number(from)?;
        let last = world.ask()?;
        world.change(Named::From(from.to_owned(), to.to_owned(), number));
        if last { Err(power()) } else { Ok(()) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.number(path)?;
        let last = world.ask()?;
        world.change(Named::Gone(path.to_owned()));
        if last { Err(power()) } else { Ok(()) }
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.ask_whole()?;
        let (here, elsewhere) =
            std::mem::take(&mut world.changes).into_iter().partition(|change| is_in(change, directory));
        world.changes = elsewhere;
        let here: Vec<Named> = here;
        here.into_iter().for_each(|change| apply(&mut world.durable_names, change));
        Ok(())
    }

    fn now(&self) -> SystemTime {
        self.world().now
    }
}

impl Growing for Handle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.disk.world();
        let world = &mut *world;
        world.is_broken()?;
        let last = world.ask()?;
        if let Some(at) = self.over {
            let kept = if last { world.random.below(bytes.len() + 1) } else { bytes.len() };
            let file = &mut world.files[self.file];
            put(&mut file.bytes, at, &bytes[..kept]);
            file.over.push((at, bytes[..kept].to_vec()));
            self.over = Some(at + kept);
            return if last { Err(power()) } else { Ok(()) };
        }
        let free = world.free();
        let full = world.random.once_in(world.faults.full) || free < bytes.len();
        let kept = if last || full { world.random.below(bytes.len() + 1).min(free) } else { bytes.len() };
        world.files[self.file].bytes.extend_from_slice(&bytes[..kept]);
        match (last, full) {
            (true, _) => Err(power()),
            (false, true) => Err(io::ErrorKind::StorageFull.into()),
            (false, false) => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let slow = self.disk.world().faults.slow;
        std::thread::sleep(slow);
        let mut world = self.disk.world();
        let world = &mut *world;
        world.is_broken()?;
        world.ask_whole()?;
        let file = &mut world.files[self.file];
        if world.random.once_in(world.faults.sync) {
            file.forgotten.push((file.durable.len(), file.bytes.len()));
            let over = std::mem::take(&mut file.over);
            file.forgotten.extend(over.into_iter().map(|(at, bytes)| (at, at + bytes.len())));
            return Err(io::Error::other("the disk failed"));
        }
        file.sync(&mut world.random);
        Ok(())
    }
}
