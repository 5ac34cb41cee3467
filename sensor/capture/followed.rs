//! One file of a watched folder, followed while it grows.
//!
//! In: its path, and word that it is complete. Out: frames as they come; half a record, half a header and half a packed member
//! are waited for. Never here: which file is next.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::file::Reader;
use super::packed::Unpacked;
use super::remembered::Identity;
use crate::limits::BATCH_FRAMES_MAX;

/// The file that is being read.
pub(super) struct AtHand {
    pub(super) identity: Identity,
    pub(super) path: PathBuf,
    pub(super) reader: Option<Reader<Unpacked<Following>>>,
    /// The same file, to be asked for its length whatever it is called.
    file: Option<File>,
    /// Its end is the end.
    pub(super) complete: Arc<AtomicBool>,
    /// So many frames were handed out in an earlier life.
    skip: u64,
    /// What is there now is not wanted.
    pub(super) skip_to_end: bool,
    pub(super) frames: u64,
    /// Whether the last read came to the end of what is there.
    at_end: bool,
}

impl AtHand {
    pub(super) fn new(identity: Identity, path: PathBuf, skip: u64) -> Self {
        let complete = Arc::default();
        AtHand {
            identity,
            path,
            reader: None,
            file: None,
            complete,
            skip,
            skip_to_end: false,
            frames: 0,
            at_end: false,
        }
    }

    /// A reader, once there is a whole file header.
    fn open(&mut self) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file.try_clone()?,
            None => self.file.insert(File::open(&self.path)?).try_clone()?,
        };
        let following = Following { file, at: 0, complete: Arc::clone(&self.complete) };
        match Reader::new(Unpacked::new(following)) {
            Ok(reader) => self.reader = Some(reader),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads until there are wanted frames, or nothing more now: how many.
    pub(super) fn advance(&mut self, budget: usize) -> io::Result<usize> {
        if self.reader.is_none() {
            self.open()?;
        }
        self.at_end = true;
        let Some(reader) = &mut self.reader else { return Ok(0) };
        loop {
            let before = self.skip.saturating_sub(self.frames);
            let ask = match (self.skip_to_end, before) {
                (true, _) => BATCH_FRAMES_MAX,
                (false, 0) => budget,
                (false, before) => BATCH_FRAMES_MAX.min(before.try_into().unwrap_or(BATCH_FRAMES_MAX)),
            };
            let len = reader.poll(ask)?.len();
            self.frames += len as u64;
            if len == 0 {
                self.skip_to_end = false;
                return Ok(0);
            }
            if !self.skip_to_end && before == 0 {
                self.at_end = false;
                return Ok(len);
            }
        }
    }

    /// Whether it may end here: no record and no packed member is half read.
    pub(super) fn is_whole(&self) -> bool {
        let whole = |reader: &Reader<Unpacked<Following>>| !reader.is_inside_record() && reader.input().is_whole();
        self.at_end && self.reader.as_ref().is_some_and(whole)
    }

    /// Its length now.
    pub(super) fn bytes(&self) -> Option<u64> {
        Some(self.file.as_ref()?.metadata().ok()?.len())
    }
}

/// A file whose end is no end until it is complete.
pub(super) struct Following {
    file: File,
    at: u64,
    complete: Arc<AtomicBool>,
}

impl Read for Following {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // asked first: what comes after the question is read the next time
        let complete = self.complete.load(Ordering::Relaxed);
        let read = self.file.read_at(into, self.at)?;
        if read == 0 && !complete && !into.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}
