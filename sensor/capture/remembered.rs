//! What was read of a watched folder, in memory and, where asked for, in a small file that outlives a restart.
//!
//! In: files by their inode number. Out: how many frames of each were handed out. A file is known again by the beginning of
//! its bytes, as inode numbers and names are used again. One line a file:
//! `inode frames bytes state head-bytes head-checksum name`; numbers are decimal. Never here: a look at the folder.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::limits::MEMORY_BYTES_MAX;

const FIRST_LINE: &str = "haetae watched/1";

/// A file of the folder, whatever it is called: its inode number.
pub(super) type Identity = u64;

/// The beginning of a file, as much of it as there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    bytes: usize,
    checksum: u32,
}

impl Head {
    /// Headers of captures are alike; the first packets behind them are not.
    const BYTES_MAX: usize = 4_096;

    /// Of a file as it is now.
    pub(super) fn of(path: &Path) -> io::Result<Head> {
        Head::first(path, Head::BYTES_MAX)
    }

    fn first(path: &Path, bytes: usize) -> io::Result<Head> {
        let mut head = Vec::new();
        File::open(path)?.take(bytes as u64).read_to_end(&mut head)?;
        Ok(Head { bytes: head.len(), checksum: crc32fast::hash(&head) })
    }

    /// Whether a file still begins like this.
    fn is_of(&self, path: &Path) -> bool {
        Head::first(path, self.bytes).is_ok_and(|now| now == *self)
    }
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// So far, and more may come.
    Begun,
    /// To its end; if it grows, more has come.
    Read,
    /// Not at all, and it never will be, however it grows.
    Passed,
}

const EXTENTS: [(Extent, &str); 3] = [(Extent::Begun, "begun"), (Extent::Read, "read"), (Extent::Passed, "passed")];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    frames: u64,
    bytes: u64,
    extent: Extent,
    head: Head,
}

/// See the head of this file.
pub(super) struct Memory {
    path: Option<PathBuf>,
    entries: HashMap<Identity, Entry>,
}

impl Memory {
    /// What the file remembers; and whether there was one.
    pub(super) fn open(path: Option<&Path>) -> io::Result<(Memory, bool)> {
        let mut memory = Memory { path: path.map(Path::to_path_buf), entries: HashMap::new() };
        let Some(path) = path else { return Ok((memory, false)) };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((memory, false)),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(MEMORY_BYTES_MAX).read_to_string(&mut text)?;
        let mut lines = text.lines();
        let none = |line: usize| {
            let text = format!("{}:{line}: not what was read of a folder", path.display());
            io::Error::new(ErrorKind::InvalidData, text)
        };
        if lines.next() != Some(FIRST_LINE) {
            return Err(none(1));
        }
        for (at, line) in lines.enumerate() {
            let (identity, entry) = parsed(line).ok_or_else(|| none(at + 2))?;
            memory.entries.insert(identity, entry);
        }
        Ok((memory, true))
    }

    /// Whether nothing of this file is wanted.
    pub(super) fn is_done(&self, identity: Identity, path: &Path, bytes: u64) -> bool {
        self.entries.get(&identity).is_some_and(|entry| match entry.extent {
            Extent::Begun => false,
            Extent::Read => entry.bytes == bytes && entry.head.is_of(path),
            Extent::Passed => entry.bytes <= bytes && entry.head.is_of(path),
        })
    }

    /// A file is taken up: how many of its frames were handed out before.
    pub(super) fn take_up(&mut self, identity: Identity, path: &Path) -> u64 {
        let known =
            self.entries.get(&identity).filter(|entry| entry.extent != Extent::Passed && entry.head.is_of(path));
        let frames = known.map_or(0, |entry| entry.frames);
        self.set(identity, path, Extent::Begun, frames, 0);
        frames
    }

    /// So many frames were handed out.
    pub(super) fn go_on(&mut self, identity: Identity, frames: u64) {
        if let Some(entry) = self.entries.get_mut(&identity) {
            entry.frames = entry.frames.max(frames);
        }
    }

    /// It was short when it was taken up, or is called otherwise now.
    pub(super) fn look_again(&mut self, identity: Identity, path: &Path) {
        if let Some(entry) = self.entries.get_mut(&identity).filter(|entry| entry.head.bytes < Head::BYTES_MAX) {
            entry.head = Head::of(path).unwrap_or(entry.head);
        }
    }

    /// It was read to its end.
    pub(super) fn finish(&mut self, identity: Identity, path: &Path, frames: u64, bytes: u64) {
        self.set(identity, path, Extent::Read, frames, bytes);
    }

    /// It is not wanted.
    pub(super) fn pass(&mut self, identity: Identity, path: &Path, bytes: u64) {
        self.set(identity, path, Extent::Passed, 0, bytes);
    }

    pub(super) fn forget(&mut self, identity: Identity) {
        self.entries.remove(&identity);
    }

    /// Forgets what is no longer there.
    pub(super) fn keep(&mut self, is_there: impl Fn(&Identity) -> bool) {
        self.entries.retain(|identity, _| is_there(identity));
    }

    fn set(&mut self, identity: Identity, path: &Path, extent: Extent, frames: u64, bytes: u64) {
        let before = self.entries.get(&identity).map(|entry| entry.head);
        let head = Head::of(path).ok().or(before).unwrap_or_default(); // gone: what it was
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.entries.insert(identity, Entry { name, frames, bytes, extent, head });
    }

    /// See [`super::watched::Watched::save`].
    pub(super) fn save(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut text = format!("{FIRST_LINE}\n");
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(identity, _)| **identity);
        entries.into_iter().for_each(|(identity, entry)| text.push_str(&line(*identity, entry)));
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

fn line(identity: Identity, entry: &Entry) -> String {
    let Entry { name, frames, bytes, extent, head } = entry;
    let word = EXTENTS.iter().find(|(one, _)| one == extent).map_or("", |(_, word)| word);
    format!("{identity} {frames} {bytes} {word} {} {} {name}\n", head.bytes, head.checksum)
}

fn parsed(line: &str) -> Option<(Identity, Entry)> {
    let mut words = line.splitn(7, ' ');
    let identity = words.next()?.parse().ok()?;
    let (frames, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let word = words.next()?;
    let extent = EXTENTS.iter().find(|(_, known)| *known == word)?.0;
    let head = Head { bytes: words.next()?.parse().ok()?, checksum: words.next()?.parse().ok()? };
    let name = words.next()?.to_string();
    (head.bytes <= Head::BYTES_MAX).then_some((identity, Entry { name, frames, bytes, extent, head }))
}

/// Names in the order in which a person counts: runs of digits by their value.
pub(super) fn by_number(one: &str, other: &str) -> Ordering {
    let (mut one_rest, mut other_rest) = (one, other);
    loop {
        let (a, b) = (digits(one_rest), digits(other_rest));
        let order = if a.is_empty() || b.is_empty() {
            let (x, y) = (one_rest.chars().next(), other_rest.chars().next());
            let Some(letter) = x.filter(|_| x == y) else { return x.cmp(&y).then_with(|| one.cmp(other)) };
            (one_rest, other_rest) = (&one_rest[letter.len_utf8()..], &other_rest[letter.len_utf8()..]);
            continue;
        } else {
            let (x, y) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        };
        if order != Ordering::Equal {
            return order;
        }
        (one_rest, other_rest) = (&one_rest[a.len()..], &other_rest[b.len()..]);
    }
}

fn digits(text: &str) -> &str {
    &text[..text.bytes().take_while(u8::is_ascii_digit).count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_in_which_a_person_counts() {
        let mut names = ["a.pcap10", "b", "a.pcap9", "a.pcap", "a.pcap010", "a-2.pcap", "a.pcap1"];
        names.sort_by(|one, other| by_number(one, other));
        assert_eq!(names, ["a-2.pcap", "a.pcap", "a.pcap1", "a.pcap9", "a.pcap010", "a.pcap10", "b"]);
        assert_eq!(by_number("x99999999999999999999999", "x99999999999999999999998"), Ordering::Greater);
    }

    #[test]
    fn a_memory_is_read_as_it_was_written_and_what_is_none_is_refused_with_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, file) = (folder.path().join("memory"), folder.path().join("a b.pcap"));
        fs::write(&file, "twelve bytes").expect("a file");
        let (mut memory, begun) = Memory::open(Some(&path)).expect("none yet");
        assert!(!begun && memory.take_up(7, &file) == 0);
        memory.go_on(7, 3);
        memory.finish(8, &file, 5, 12);
        memory.pass(9, &file, 12);
        memory.save().expect("written");
        let (again, begun) = Memory::open(Some(&path)).expect("readable");
        assert!(begun && again.entries == memory.entries);
        assert!(again.is_done(8, &file, 12) && !again.is_done(8, &file, 13) && !again.is_done(7, &file, 12));
        fs::write(&file, "twelve bytes and more").expect("a file");
        assert!(again.is_done(9, &file, 21), "what is passed may grow");
        fs::write(&file, "another file").expect("a file");
        assert!(!again.is_done(8, &file, 12) && !again.is_done(9, &file, 12), "another file under its number");
        fs::write(&path, "haetae watched/1\n1 2 3 read 4 5 a\n1 2 3 eaten 4 5 b\n").expect("a file");
        let refused = Memory::open(Some(&path)).err().expect("no memory");
        assert!(refused.to_string().contains("memory:3: "), "{refused}");
    }
}
