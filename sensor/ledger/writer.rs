//! The one who writes: what is about to leave is on the disk before its caller goes on; what came of it is on the disk with the
//! next, or when nothing else is to be done, so that a message costs one sync.
//!
//! In: what happened. Out: files that a crash can only cut at their end. A file is given up after any failure and the next one
//! begins where the last durable entry ended: what a disk kept of a failed write is not to be trusted.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{Digest, Entry, Forgotten, Head, Said};
use super::files::{Kept, path, recover};
use super::{Options, since_1970, spelled};
use crate::limits::{LEDGER_ENTRY_BYTES_MAX, LEDGER_UNSYNCED_MAX};
use crate::spool::{Growing, Storage};

/// See the head of this file.
pub(super) struct Writer {
    storage: Arc<dyn Storage>,
    directory: PathBuf,
    options: Options,
    files: BTreeMap<u64, Kept>,
    active: Option<(u64, Box<dyn Growing>)>,
    /// A file given up, with the length of what is good in it: the rest is cut before anything is written elsewhere.
    spoilt: Option<(u64, u64)>,
    head: Head,
    /// Where the last sync left it, and the bytes that are durable of the file being written.
    durable: (Head, u64),
    /// Entered since.
    unsynced: Vec<Said>,
    /// What is to be entered before anything else: the disk refused it, or a new writer has to say it.
    waiting: VecDeque<Said>,
    /// How many of these the last failure gave back.
    given_back: usize,
    /// Keeps other processes out.
    _hold: Box<dyn Send>,
}

impl Writer {
    /// Goes on where the files in `directory` end; gives what was cut off and which attempts nobody heard of.
    pub(super) fn open(
        storage: Arc<dyn Storage>,
        directory: &Path,
        options: Options,
    ) -> io::Result<(Writer, u64, Vec<u64>)> {
        let hold = storage.hold(directory)?;
        // a directory whose name is not durable takes all with it that is in it
        if let Some(above) = directory.parent().filter(|above| !above.as_os_str().is_empty()) {
            storage.sync_directory(above)?;
        }
        let found = recover(storage.as_ref(), directory)?;
        let writer = Writer {
            storage,
            directory: directory.to_owned(),
            options,
            files: found.files,
            active: None,
            spoilt: None,
            head: found.head,
            durable: (found.head, 0),
            unsynced: Vec::new(),
            waiting: VecDeque::new(),
            given_back: 0,
            _hold: hold,
        };
        Ok((writer, found.cut_bytes, found.unheard))
    }

    /// Where the ledger stands.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }

    /// To be entered as soon as the disk takes it, before anything else.
    pub(super) fn put_off(&mut self, said: Said) {
        self.waiting.push_back(said);
    }

    /// Enters what waits, and drops what must not be kept any longer. What is entered is durable with the next sync.
    ///
    /// # Errors
    /// What the disk says; what waits goes on waiting.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        while let Some(said) = self.waiting.front() {
            let said = said.clone();
            self.append(said)?;
            self.waiting.pop_front();
        }
        self.forget()
    }

    /// Enters one thing; on return it is durable, and all before it. Its sequence.
    ///
    /// # Errors
    /// What the disk says; it is not entered.
    pub(super) fn write(&mut self, said: Said) -> io::Result<u64> {
        let sequence = self.append(said)?;
        let synced = self.sync();
        if synced.is_err() {
            // the last of those that were to be entered again: its caller gives it up
            self.waiting.remove(self.given_back - 1);
        }
        synced.map(|()| sequence)
    }

    /// Makes durable what was entered.
    ///
    /// # Errors
    /// What the disk says; what was not durable waits to be entered again.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let Some((number, mut file)) = self.active.take() else { return Ok(()) };
        if let Err(error) = file.sync() {
            self.give_up(number);
            return Err(error);
        }
        self.active = Some((number, file));
        self.durable = (self.head, self.files.get(&number).map_or(0, |kept| kept.bytes));
        self.unsynced.clear();
        Ok(())
    }

    fn append(&mut self, said: Said) -> io::Result<u64> {
        if self.unsynced.len() >= LEDGER_UNSYNCED_MAX {
            self.sync()?;
        }
        let Head { sequence, head } = self.head;
        let entry = Entry { sequence: sequence + 1, time: spelled(since_1970()), said, previous: head };
        let mut line = entry.line();
        if line.is_empty() || line.len() > LEDGER_ENTRY_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an entry longer than entries may be"));
        }
        let digest = Digest::of(&line);
        line.push(b'\n');
        let (number, mut file) = self.file_for(line.len() as u64)?;
        if let Err(error) = file.append(&line) {
            self.give_up(number);
            return Err(error);
        }
        let begun = || Kept { bytes: 0, first: entry.sequence, previous: entry.previous, time: entry.time.clone() };
        self.files.entry(number).or_insert_with(begun).bytes += line.len() as u64;
        self.active = Some((number, file));
        self.head = Head { sequence: entry.sequence, head: digest };
        self.unsynced.push(entry.said);
        Ok(entry.sequence)
    }

    /// Of the file only what is durable counts; the rest is entered again, elsewhere.
    fn give_up(&mut self, number: u64) {
        let (head, good) = self.durable;
        (self.head, self.spoilt) = (head, Some((number, good)));
        match self.files.get_mut(&number).filter(|_| good > 0) {
            Some(kept) => kept.bytes = good,
            None => drop(self.files.remove(&number)),
        }
        self.given_back = self.unsynced.len();
        self.unsynced.drain(..).rev().for_each(|said| self.waiting.push_front(said));
    }

    /// The file being written if the line fits, else the next one: what is in a file is durable before another begins.
    fn file_for(&mut self, wanted: u64) -> io::Result<(u64, Box<dyn Growing>)> {
        self.mend()?;
        let bytes = self.active.as_ref().and_then(|(number, _)| self.files.get(number)).map_or(0, |kept| kept.bytes);
        if bytes + wanted > self.options.file_bytes_max {
            self.sync()?;
            self.active = None;
        }
        if let Some(active) = self.active.take() {
            return Ok(active);
        }
        self.durable.1 = 0;
        let mut number = self.files.last_key_value().map_or(1, |(last, _)| last + 1);
        loop {
            let place = path(&self.directory, number);
            match self.storage.create(&place) {
                Ok(file) => {
                    if let Err(error) = self.storage.sync_directory(&self.directory) {
                        self.spoilt = Some((number, 0));
                        return Err(error);
                    }
                    return Ok((number, file));
                }
                // made, and perhaps never named durably, in an attempt that failed
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => {
                    self.spoilt = Some((number, 0));
                    return Err(error);
                }
            }
        }
    }

    /// Cuts off what a failed write has left.
    fn mend(&mut self) -> io::Result<()> {
        let Some((number, good)) = self.spoilt else { return Ok(()) };
        let place = path(&self.directory, number);
        let mended = match good {
            0 => self.storage.remove(&place),
            _ => self.storage.cut(&place, good),
        };
        match mended {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.spoilt = None;
        Ok(())
    }

    /// Says that the oldest files go, then lets them go.
    fn forget(&mut self) -> io::Result<()> {
        let oldest_time = spelled(since_1970().saturating_sub(self.options.time_max));
        let (mut bytes, mut going) = (self.bytes(), Vec::new());
        let mut files = self.files.iter().peekable();
        while let (Some((number, kept)), Some((_, next))) = (files.next(), files.peek()) {
            // all of it is older than what the next one begins with; times are spelled so that they sort
            if bytes <= self.options.bytes_max && next.time >= oldest_time {
                break;
            }
            bytes -= kept.bytes;
            going.push((*number, next.first - 1, next.previous));
        }
        let Some((_, through, head)) = going.last().copied() else { return Ok(()) };
        self.write(Said::Forgotten(Forgotten { through, head }))?;
        for (number, ..) in going {
            // one that stays is found by the next start, and goes then
            let _stays = self.storage.remove(&path(&self.directory, number));
            self.files.remove(&number);
        }
        self.storage.sync_directory(&self.directory)
    }
}

impl Drop for Writer {
    /// Whoever opens it next hears what became of everything; a disk that refuses has left that unknown.
    fn drop(&mut self) {
        let _unknown = self.sync();
    }
}
