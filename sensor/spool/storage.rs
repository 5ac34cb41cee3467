//! What the spool asks of a disk, one thing at a time, and in which order it asks before it calls anything durable.
//!
//! In: paths and bytes. Out: files, synced. Tests put a disk behind the same trait that loses power, tears and reorders what was
//! not synced, fails and is full: so the order itself is what they try. Never here: a format.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{HELD, LOCK};
use crate::limits::STORED_FILE_BYTES_MAX;

/// A disk. What each of these did is durable only where it says so.
pub trait Storage: Send + Sync {
    /// Makes the directory if need be, and keeps other processes out of it for as long as what it gives lives.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::WouldBlock`]: another process has it.
    fn hold(&self, directory: &Path) -> io::Result<Box<dyn Send>>;

    /// What is in the directory, in any order.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>>;

    /// A directory in one that is there, if there is none yet; its name is not durable.
    ///
    /// # Errors
    /// What the disk says.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// The file's bytes from that one on, at most so many.
    ///
    /// # Errors
    /// What the disk says.
    fn read(&self, path: &Path, from: u64, bytes_max: u64) -> io::Result<Vec<u8>>;

    /// A new file; neither it nor its name is durable.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::AlreadyExists`]: there is one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Growing>>;

    /// A file that is there, to be written over from its beginning: it has its bytes already, so that nothing but they change.
    ///
    /// # Errors
    /// What the disk says.
    fn refill(&self, path: &Path) -> io::Result<Box<dyn Growing>>;

    /// Writes over bytes that are there, and makes that durable; what a crash in the middle leaves there is anybody's guess.
    ///
    /// # Errors
    /// What the disk says.
    fn overwrite(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Keeps only the first so many bytes of a file.
    ///
    /// # Errors
    /// What the disk says.
    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()>;

    /// Gives a file another name, whoever had that; after a crash one of the two has it, whole.
    ///
    /// # Errors
    /// What the disk says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file away; after a crash it may be there again.
    ///
    /// # Errors
    /// What the disk says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// All names in the directory are durable once this returns.
    ///
    /// # Errors
    /// What the disk says.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// The time that records are marked with.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// What lies in a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where.
    pub path: PathBuf,
    /// Whether it is a file.
    pub is_file: bool,
    /// Its length.
    pub bytes: u64,
    /// When it was last written, as far as the disk tells.
    pub written: Option<SystemTime>,
}

/// A file that is written from its beginning to its end, once.
pub trait Growing: Send {
    /// Writes behind what was written last.
    ///
    /// # Errors
    /// What the disk says; a part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Everything appended is durable once this returns, if the file's name is.
    ///
    /// # Errors
    /// What the disk says; then nothing since the last success is to be trusted.
    fn sync(&mut self) -> io::Result<()>;
}

/// A new file whose name survives: what is synced in it later would else be synced in vain.
pub(super) fn create_named(storage: &dyn Storage, path: &Path) -> io::Result<Box<dyn Growing>> {
    let file = storage.create(path)?;
    sync_name(storage, path)?;
    Ok(file)
}

/// Puts `bytes` at `path` so that a reader, after any crash, finds either the old or the new whole.
pub(super) fn replace(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    // what a crash has left of the last time
    match storage.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = storage.create(&new)?;
    file.append(bytes)?;
    file.sync()?;
    storage.rename(&new, path)?;
    sync_name(storage, path)
}

fn sync_name(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| storage.sync_directory(directory))
}

/// The disk itself. Files are readable by their owner alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    /// Versions before the third lock a file where this one has a directory: they cannot open that, and so they keep off.
    fn hold(&self, directory: &Path) -> io::Result<Box<dyn Send>> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let place = directory.join(LOCK);
        let before = fs::symlink_metadata(&place).is_ok_and(|there| there.is_file());
        let _old = before.then(|| lock(&place)).transpose()?;
        if before {
            // a directory by now: somebody else was faster
            fs::remove_file(&place).map_err(|_| in_use())?;
        }
        self.make_directory(&place)?;
        lock(&place.join(HELD)).map(|file| Box::new(file) as Box<dyn Send>)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let path = entry?.path();
            let metadata = fs::metadata(&path).ok();
            let is_file = metadata.as_ref().is_some_and(fs::Metadata::is_file);
            let bytes = metadata.as_ref().map_or(0, fs::Metadata::len);
            Ok(Entry { path, is_file, bytes, written: metadata.and_then(|metadata| metadata.modified().ok()) })
        };
        fs::read_dir(directory)?.map(entry).collect()
    }

    fn read(&self, path: &Path, from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
        // who put a pipe or a device there is not waited for, and no file of ours is longer
        let mut file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        if from > 0 {
            file.seek(SeekFrom::Start(from))?;
        }
        let mut bytes = Vec::new();
        file.take(bytes_max.min(STORED_FILE_BYTES_MAX)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        Ok(Box::new(OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?))
    }

    fn refill(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        Ok(Box::new(OpenOptions::new().write(true).open(path)?))
    }

    fn overwrite(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.write_all_at(bytes, at)?;
        file.sync_data()
    }

    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.set_len(bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "the spool is in use by another process")
}

fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(in_use()),
        Err(error) => Err(error.into()),
    }
}

impl Growing for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
