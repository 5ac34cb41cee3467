//! A folder into which somebody writes capture files, one after the other: `tcpdump -G` or `-C`, netsniff-ng, rsync.
//!
//! In: looks at the folder, when the caller says so; it has no clock. Out: batches, numbered on from file to file. Files are
//! read in the order in which they were last changed; files changed at the same moment by name, with numbers as numbers. The
//! file at hand is followed: half a record at its end is waited for. It is finished once it is gone from the folder, or once
//! a newer file is there and it has not changed between two looks (where it ends inside a record: for
//! [`WATCH_LOOKS_PARTIAL`] looks). What is named `X.gz` or `X.zst` is not read where `X` was or is. Hidden files (writers'
//! temporary ones) and folders are passed over.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::Batch;
use super::file::Cut;
use super::followed::AtHand;
use super::remembered::{Identity, Memory, by_number};
use crate::limits::{WATCH_LOOKS_PARTIAL, WATCHED_FILES_MAX, WATCHED_NOTES_MAX};

/// Which packets are wanted of files that are there when watching begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// All.
    All,
    /// None; of the newest file, which may still be written, what comes from now on.
    New,
}

/// What became of a file.
#[derive(Debug)]
pub enum What {
    /// It was read to its end; perhaps something could not be read.
    Read(Option<Cut>),
    /// It was not read, or not further, and why: no capture, not readable, gone.
    Skipped(String),
}

/// Files so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Read to their end.
    pub read: u64,
    /// Of these, with something that could not be read.
    pub cut: u64,
    /// Not read: no capture, not readable, or gone too early.
    pub skipped: u64,
    /// Packed copies of files that were read.
    pub copies: u64,
    /// Notes that nobody took in time.
    pub notes_lost: u64,
}

/// A file of the folder as it was at the last look.
struct Seen {
    name: String,
    bytes: u64,
    changed: i128,
    /// Looks since it last changed.
    quiet: u32,
    /// Whether the last look has found it.
    there: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    AtHand,
    Done,
}

impl Seen {
    /// What this is a packed copy of, by its name.
    fn original(&self) -> Option<&str> {
        self.name.strip_suffix(".gz").or_else(|| self.name.strip_suffix(".zst"))
    }
}

/// See the head of this file.
pub struct Watched {
    folder: PathBuf,
    seen: HashMap<Identity, Seen>,
    /// Files that wait, the next one last.
    queue: Vec<Identity>,
    at_hand: Option<AtHand>,
    memory: Memory,
    handed: u64,
    counts: Counts,
    notes: Vec<(PathBuf, What)>,
}

impl Watched {
    /// Looks at the folder for the first time. With a memory (a file that [`Watched::save`] wrote, or will write) it goes on
    /// where that ended; `begin` is for a memory that is not there yet.
    ///
    /// # Errors
    /// A folder or a memory that cannot be read; `InvalidData` for a memory that is none.
    pub fn open(folder: &Path, begin: Begin, memory: Option<&Path>) -> io::Result<Self> {
        let (memory, begun) = Memory::open(memory)?;
        let mut watched = Watched {
            folder: folder.to_path_buf(),
            seen: HashMap::new(),
            queue: Vec::new(),
            at_hand: None,
            memory,
            handed: 0,
            counts: Counts::default(),
            notes: Vec::new(),
        };
        watched.look()?;
        if begin == Begin::New && !begun {
            watched.pass_present();
        }
        Ok(watched)
    }

    /// What is there is not wanted; the newest file is followed from its present end.
    fn pass_present(&mut self) {
        let newest = self.queue.first().copied();
        self.queue.clear();
        for (identity, seen) in self.seen.iter_mut().filter(|(identity, _)| Some(**identity) != newest) {
            seen.stage = Stage::Done;
            self.memory.pass(*identity, &self.folder.join(&seen.name), seen.bytes);
        }
        if let Some(identity) = newest {
            self.take_up(identity);
            self.at_hand.iter_mut().for_each(|at_hand| at_hand.skip_to_end = true);
        }
    }

    /// Up to `budget` frames; an empty batch: nothing now. Then the caller waits a little, and [looks](Watched::look).
    pub fn poll(&mut self, budget: usize) -> Batch<'_> {
        let mut len = 0;
        while len == 0 && (self.at_hand.is_some() || self.take_up_next()) {
            len = self.advance(budget);
            if len == 0 && !self.leave_if_over() && !self.complete_if_so() {
                break;
            }
        }
        let first = self.handed + 1;
        self.handed += len as u64;
        let reader = self.at_hand.as_ref().and_then(|at_hand| at_hand.reader.as_ref()).filter(|_| len > 0);
        reader.map_or(Batch { first, ..Batch::NONE }, |reader| Batch { first, ..reader.batch() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks at the folder: what is new, what has grown, what is gone. A few times a second while nothing comes; less often
    /// than once a second does no harm.
    ///
    /// # Errors
    /// A folder that cannot be read, or that has more than [`WATCHED_FILES_MAX`] files.
    pub fn look(&mut self) -> io::Result<()> {
        self.seen.values_mut().for_each(|seen| seen.there = false);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // one that is gone again is none, and a link names a file of elsewhere
            let (Ok(now), Ok(name)) = (entry.metadata(), entry.file_name().into_string()) else { continue };
            if now.is_file() && !name.starts_with('.') && !name.contains('\n') {
                self.see(name, &now);
            }
            if self.seen.len() > WATCHED_FILES_MAX {
                let many = format!("more than {WATCHED_FILES_MAX} files: move old ones elsewhere");
                return Err(io::Error::other(many));
            }
        }
        let names: HashSet<String> =
            self.seen.values().filter(|seen| seen.there).map(|seen| seen.name.clone()).collect();
        self.pass_copies();
        self.forget_gone(&names);
        self.line_up(&names);
        self.complete_if_so();
        Ok(())
    }

    fn see(&mut self, name: String, now: &fs::Metadata) {
        let identity = now.ino();
        let (bytes, changed) = (now.len(), i128::from(now.mtime()) * 1_000_000_000 + i128::from(now.mtime_nsec()));
        let path = self.folder.join(&name);
        let Some(seen) = self.seen.get_mut(&identity) else {
            let done = self.memory.is_done(identity, &path, bytes);
            let stage = if done { Stage::Done } else { Stage::Waiting };
            self.seen.insert(identity, Seen { name, bytes, changed, quiet: 0, there: true, stage });
            return;
        };
        let same = (seen.bytes, seen.changed) == (bytes, changed);
        let shrunk = bytes < seen.bytes;
        seen.quiet = if same { seen.quiet.saturating_add(1) } else { 0 };
        (seen.name, seen.bytes, seen.changed, seen.there) = (name, bytes, changed, true);
        match seen.stage {
            // written over (a ring of files), or written on after a newer one had begun
            Stage::Done if !same && !self.memory.is_done(identity, &path, bytes) => seen.stage = Stage::Waiting,
            Stage::AtHand if shrunk => self.start_again(identity),
            Stage::AtHand => self.memory.look_again(identity, &path),
            _ => {}
        }
    }

    /// The file at hand was written over while it was read: what follows is another capture.
    fn start_again(&mut self, identity: Identity) {
        self.leave(What::Read(Some(Cut { bytes: 0, reason: "written over while it was read" })));
        self.memory.forget(identity);
        self.seen.entry(identity).and_modify(|seen| seen.stage = Stage::Waiting);
    }

    /// A packed copy of what is or was read is done.
    fn pass_copies(&mut self) {
        let begun = |seen: &&Seen| seen.stage != Stage::Waiting;
        let begun: HashSet<String> = self.seen.values().filter(begun).map(|seen| seen.name.clone()).collect();
        for (identity, seen) in &mut self.seen {
            if seen.stage == Stage::Waiting && seen.original().is_some_and(|name| begun.contains(name)) {
                seen.stage = Stage::Done;
                self.counts.copies += 1;
                self.memory.pass(*identity, &self.folder.join(&seen.name), seen.bytes);
            }
        }
    }

    fn forget_gone(&mut self, names: &HashSet<String>) {
        let mut lost = Vec::new();
        self.seen.retain(|_, seen| {
            let packed =
                || names.contains(&format!("{}.gz", seen.name)) || names.contains(&format!("{}.zst", seen.name));
            if !seen.there && seen.stage == Stage::Waiting && !packed() {
                lost.push(self.folder.join(&seen.name));
            }
            seen.there || seen.stage == Stage::AtHand
        });
        self.memory.keep(|identity| self.seen.contains_key(identity));
        for path in lost {
            self.counts.skipped += 1;
            self.note(path, What::Skipped("gone before it was read".to_string()));
        }
    }

    /// Who waits, in order. A packed copy of a file that waits itself is none of them.
    fn line_up(&mut self, names: &HashSet<String>) {
        let waits =
            |seen: &Seen| seen.stage == Stage::Waiting && !seen.original().is_some_and(|name| names.contains(name));
        let mut waiting: Vec<_> = self.seen.iter().filter(|(_, seen)| waits(seen)).collect();
        waiting.sort_by(|(_, one), (_, other)| {
            other.changed.cmp(&one.changed).then_with(|| by_number(&other.name, &one.name))
        });
        self.queue = waiting.into_iter().map(|(identity, _)| *identity).collect();
    }

    fn take_up_next(&mut self) -> bool {
        self.queue.pop().is_some_and(|identity| self.take_up(identity))
    }

    fn take_up(&mut self, identity: Identity) -> bool {
        let Some(seen) = self.seen.get_mut(&identity) else { return false };
        seen.stage = Stage::AtHand;
        let path = self.folder.join(&seen.name);
        let skip = self.memory.take_up(identity, &path);
        self.at_hand = Some(AtHand::new(identity, path, skip));
        true
    }

    /// Reads on in the file at hand: how many wanted frames its reader holds.
    fn advance(&mut self, budget: usize) -> usize {
        let Some(at_hand) = &mut self.at_hand else { return 0 };
        match at_hand.advance(budget) {
            Ok(len) => {
                self.memory.go_on(at_hand.identity, at_hand.frames);
                len
            }
            Err(error) => {
                self.leave(What::Skipped(error.to_string()));
                0
            }
        }
    }

    /// Leaves the file at hand where it is at its end. False: it is followed, and there is nothing now.
    fn leave_if_over(&mut self) -> bool {
        let Some(at_hand) = &self.at_hand else { return true };
        let Some(reader) = at_hand.reader.as_ref().filter(|reader| reader.is_over()) else { return false };
        let cut = reader.cut().cloned();
        self.leave(What::Read(cut));
        true
    }

    fn leave(&mut self, what: What) {
        let Some(at_hand) = self.at_hand.take() else { return };
        if let Some(seen) = self.seen.get_mut(&at_hand.identity) {
            seen.stage = Stage::Done;
            let (path, bytes) = (self.folder.join(&seen.name), at_hand.bytes().unwrap_or(seen.bytes));
            self.memory.finish(at_hand.identity, &path, at_hand.frames, bytes);
        }
        match &what {
            What::Read(cut) => {
                self.counts.read += 1;
                self.counts.cut += u64::from(cut.is_some());
            }
            What::Skipped(_) => self.counts.skipped += 1,
        }
        self.note(at_hand.path, what);
    }

    fn note(&mut self, path: PathBuf, what: What) {
        if self.notes.len() < WATCHED_NOTES_MAX {
            self.notes.push((path, what));
        } else {
            self.counts.notes_lost += 1;
        }
    }

    /// Tells the file at hand that it is complete, if it is; true where that is news.
    fn complete_if_so(&mut self) -> bool {
        let Some(at_hand) = &self.at_hand else { return false };
        let Some(seen) = self.seen.get(&at_hand.identity) else { return false };
        let looks = if at_hand.is_whole() || seen.bytes == 0 { 1 } else { WATCH_LOOKS_PARTIAL };
        let settled = || seen.quiet >= looks && at_hand.bytes().is_none_or(|bytes| bytes == seen.bytes);
        let complete = !seen.there || (!self.queue.is_empty() && settled());
        complete && !at_hand.complete.swap(true, Ordering::Relaxed)
    }

    /// Writes what was handed out so far, so that the next start goes on behind it: to be called once what was handed out
    /// cannot be lost any more. Written beside and renamed: it is the old memory or the new one, never half of one.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn save(&self) -> io::Result<()> {
        self.memory.save()
    }

    /// Files so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What became of files since the last call.
    pub fn notes(&mut self) -> Vec<(PathBuf, What)> {
        std::mem::take(&mut self.notes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::samples::{gzip, pcap, zstd};
    use super::*;

    const MAGIC: [u8; 4] = [0xD4, 0xC3, 0xB2, 0xA1];

    const NOTHING: [u32; 0] = [];

    /// A capture of frames that hold a number each.
    fn capture(numbers: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let frames: Vec<[u8; 4]> = numbers.into_iter().map(u32::to_be_bytes).collect();
        let frames: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
        pcap(MAGIC, false, &frames)
    }

    fn append(path: &Path, bytes: &[u8]) {
        let file = File::options().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(bytes)).expect("written");
    }

    /// All that is there now; each frame's own number.
    fn now(watched: &mut Watched) -> Vec<u32> {
        let mut got = Vec::new();
        loop {
            let batch = watched.poll(3);
            if batch.is_empty() {
                return got;
            }
            got.extend(batch.frames().map(|frame| u32::from_be_bytes(frame.bytes.try_into().expect("four bytes"))));
        }
    }

    /// What so many looks find.
    fn looked(watched: &mut Watched, looks: u32) -> Vec<u32> {
        let look = |_| {
            watched.look().expect("a folder");
            now(watched)
        };
        (0..looks).flat_map(look).collect()
    }

    fn opened(folder: &Path) -> Watched {
        Watched::open(folder, Begin::All, None).expect("a folder")
    }

    /// Watches until the writer is done and all is read: the numbers that the frames hold, which must be their own.
    fn watch_while(folder: &Path, frames: u32, writer: impl FnOnce(&Path) + Send) -> Watched {
        let mut watched = opened(folder);
        thread::scope(|scope| {
            let began = Instant::now();
            scope.spawn(move || writer(folder));
            let mut next = 1;
            while next <= u64::from(frames) && began.elapsed() < Duration::from_secs(60) {
                let batch = watched.poll(7);
                for frame in batch.frames() {
                    assert_eq!((frame.number, frame.bytes), (next, &(next as u32).to_be_bytes()[..]));
                    next += 1;
                }
                if batch.is_empty() {
                    thread::sleep(Duration::from_millis(3));
                    watched.look().expect("a folder");
                }
            }
            assert_eq!(next, u64::from(frames) + 1, "{:?}", watched.notes());
        });
        watched
    }

    #[test]
    fn rotated_files_are_read_once_and_in_order_while_they_are_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let watched = watch_while(folder.path(), 1_200, |folder| {
            for file in 0..12_u32 {
                let path = folder.join(format!("a.pcap{file}"));
                // never a whole record, but at the end
                for part in capture(file * 100 + 1..=file * 100 + 100).chunks(77) {
                    append(&path, part);
                    thread::sleep(Duration::from_micros(200));
                }
            }
        });
        assert_eq!((watched.counts().read, watched.counts().cut), (11, 0), "the last is followed still");
    }

    #[test]
    fn files_that_a_rotation_packs_are_read_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let watched = watch_while(folder.path(), 1_000, |folder| {
            for file in 0..10_u32 {
                let path = folder.join(format!("a{file}.pcap"));
                let bytes = capture(file * 100 + 1..=file * 100 + 100);
                append(&path, &bytes);
                for part in gzip(&bytes).chunks(99) {
                    append(&path.with_extension("pcap.gz"), part);
                    thread::sleep(Duration::from_millis(1));
                }
                fs::remove_file(path).expect("there");
            }
        });
        assert_eq!(watched.counts().cut, 0);
    }

    #[test]
    fn a_packed_file_is_followed_while_it_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        for (at, packed) in [gzip(&capture(1..=3)), zstd(&capture(1..=3))].into_iter().enumerate() {
            let path = folder.path().join(format!("{at}"));
            let mut watched = opened(folder.path());
            looked(&mut watched, 2);
            let mut got = Vec::new();
            for part in packed.chunks(5) {
                append(&path, part);
                got.extend(looked(&mut watched, 2));
            }
            assert!(got.ends_with(&[1, 2, 3]), "{got:?}");
        }
    }

    #[test]
    fn half_a_record_is_waited_for_and_given_up_when_its_writer_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, two) = (capture(1..=3), capture(4..=5));
        append(&folder.path().join("a"), &one[..one.len() - 2]);
        let mut watched = opened(folder.path());
        assert_eq!(now(&mut watched), [1, 2]);
        thread::sleep(Duration::from_millis(20)); // times of change have steps
        append(&folder.path().join("b"), &two);
        assert_eq!(looked(&mut watched, WATCH_LOOKS_PARTIAL - 1), NOTHING);
        append(&folder.path().join("a"), &one[one.len() - 2..]);
        assert_eq!(looked(&mut watched, 3), [3, 4, 5]);
        append(&folder.path().join("b"), &capture(6..=6)[24..30]);
        append(&folder.path().join("c"), &capture(7..=7));
        assert_eq!(looked(&mut watched, WATCH_LOOKS_PARTIAL + 2), [7]);
        let notes = watched.notes();
        assert!(matches!(&notes[1].1, What::Read(Some(Cut { bytes: 6, .. }))), "{notes:?}");
    }

    #[test]
    fn what_is_no_capture_is_skipped_with_its_reason_and_a_backlog_takes_one_look() {
        let folder = tempfile::tempdir().expect("a folder");
        // before the others: what is newest may still be written, and is not called empty yet
        append(&folder.path().join("20-notes.txt"), b"not a capture, but longer than a header");
        append(&folder.path().join("30-empty.pcap"), b"");
        append(&folder.path().join(".40.pcap.tmp"), &capture([99]));
        for at in 0..50 {
            append(&folder.path().join(format!("{at:02}.pcap")), &capture([at]));
        }
        let mut watched = opened(folder.path());
        let mut got = now(&mut watched);
        got.extend(looked(&mut watched, 1));
        assert_eq!(got, Vec::from_iter(0..50));
        let notes = watched.notes();
        let skipped: Vec<_> = notes.iter().filter(|(_, what)| matches!(what, What::Skipped(_))).collect();
        assert_eq!((skipped.len(), watched.counts().skipped, watched.counts().cut), (1, 1, 1), "{notes:?}");
        assert!(skipped[0].0.ends_with("20-notes.txt") && format!("{skipped:?}").contains("not a capture file"));
    }

    #[test]
    fn a_file_that_is_renamed_goes_on_and_one_that_is_gone_is_read_to_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        append(&a, &capture(1..=2));
        let mut watched = opened(folder.path());
        assert_eq!(now(&mut watched), [1, 2]);
        fs::rename(&a, &b).expect("there");
        append(&b, &capture([3])[24..]);
        assert_eq!(looked(&mut watched, 2), [3]);
        append(&b, &capture([4])[24..]);
        fs::remove_file(&b).expect("there");
        assert_eq!(looked(&mut watched, 1), [4]);
        assert_eq!((watched.counts().read, watched.seen.len()), (1, 1));
        watched.look().expect("a folder");
        assert!(watched.seen.is_empty() && watched.at_hand.is_none());
    }

    #[test]
    fn a_ring_that_writes_over_its_files_is_read_on_and_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut watched = opened(folder.path());
        let mut got = Vec::new();
        for round in 0..6_u32 {
            let path = folder.path().join(format!("a.pcap{}", round % 2));
            // written over: the same file, from its beginning
            fs::write(&path, capture(round * 10..round * 10 + 3)).expect("written");
            thread::sleep(Duration::from_millis(20)); // times of change have steps
            got.extend(looked(&mut watched, 2));
        }
        assert_eq!(got, Vec::from_iter((0..6).flat_map(|round| round * 10..round * 10 + 3)));
    }

    #[test]
    fn a_start_with_a_memory_reads_nothing_twice_and_skips_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = folder.path().join(".memory");
        let path = |name: &str| folder.path().join(name);
        append(&path("a"), &capture(1..=5));
        let first = Watched::open(folder.path(), Begin::All, Some(&memory));
        let mut first = first.expect("a folder");
        assert_eq!(first.poll(3).len(), 3);
        first.save().expect("saved");
        assert_eq!(now(&mut first), [4, 5], "handed out, but not saved");
        drop(first);
        append(&path("a"), &capture([6])[24..]);
        thread::sleep(Duration::from_millis(20)); // times of change have steps
        append(&path("b"), &gzip(&capture(7..=8)));
        let mut second = Watched::open(folder.path(), Begin::New, Some(&memory)).expect("a folder");
        assert_eq!([now(&mut second), looked(&mut second, 2)].concat(), [4, 5, 6, 7, 8]);
        second.save().expect("saved");
        drop(second);
        let mut third = Watched::open(folder.path(), Begin::All, Some(&memory)).expect("a folder");
        assert_eq!(looked(&mut third, 3), NOTHING);
        append(&path("a"), &capture([9])[24..]);
        assert_eq!(looked(&mut third, WATCH_LOOKS_PARTIAL + 2), [9], "written on after it was done");
    }

    #[test]
    fn only_what_is_new_is_what_comes_after_the_first_look() {
        let folder = tempfile::tempdir().expect("a folder");
        append(&folder.path().join("a"), &capture(1..=2));
        thread::sleep(Duration::from_millis(20)); // times of change have steps
        append(&folder.path().join("b"), &capture(3..=4));
        let mut watched = Watched::open(folder.path(), Begin::New, None).expect("a folder");
        assert_eq!(looked(&mut watched, 2), NOTHING);
        append(&folder.path().join("b"), &capture([5])[24..]);
        append(&folder.path().join("c"), &capture([6]));
        assert_eq!(looked(&mut watched, 3), [5, 6]);
    }
}
