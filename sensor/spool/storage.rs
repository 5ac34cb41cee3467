//! The few things the spool asks of a disk before it calls anything durable. In: bytes. Out: files, synced. Tests put a
//! failing disk behind the same trait. Never here: a format.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A disk.
pub trait Storage: Send + Sync {
    /// A new file, its name durable; [`io::ErrorKind::AlreadyExists`] when there is one.
    ///
    /// # Errors
    /// What the disk says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Growing>>;

    /// Puts `bytes` at `path` so that a reader, after any crash, finds either the old or the new whole.
    ///
    /// # Errors
    /// What the disk says.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
}

/// A file that only grows.
pub trait Growing: Send {
    /// Appends.
    ///
    /// # Errors
    /// What the disk says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Everything appended is durable once this returns.
    ///
    /// # Errors
    /// What the disk says; then nothing since the last success is to be trusted.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk itself. Files are readable by their owner alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        sync_directory(path)?;
        Ok(Box::new(file))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        sync_directory(path)
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

/// A file's name is durable only once its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
