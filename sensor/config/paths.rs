//! Files and folders that options name: those that must be there, and those that need not be yet.
//!
//! In: a path as it is written. Out: the path from the configuration's folder, or faults. Never here: what is in a file.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use super::check::Desk;

impl Desk<'_> {
    pub(super) fn files(&mut self, path: &str, written: Option<Vec<PathBuf>>) -> Vec<PathBuf> {
        let list = written.unwrap_or_default().into_iter().enumerate();
        list.map(|(at, file)| self.file(&format!("{path}[{at}]"), file, "a file or a folder that is there")).collect()
    }

    /// A file or folder that must be there.
    pub(super) fn file(&mut self, path: &str, file: PathBuf, help: &str) -> PathBuf {
        if file.as_os_str().is_empty() {
            self.fault(path, "is empty".to_string(), help);
            return file;
        }
        let file = self.folder.join(file);
        let problem = match std::fs::metadata(&file).map(|what| what.file_type()) {
            // Whoever opens a pipe waits until somebody writes.
            Ok(what) if what.is_fifo() || what.is_socket() => "a pipe or a socket is no file",
            Ok(_) => return file,
            Err(error) => match error.kind() {
                ErrorKind::NotFound => "file not found",
                ErrorKind::PermissionDenied => "no permission to read",
                ErrorKind::NotADirectory => "it lies in a file, not in a folder",
                _ => "cannot be read",
            },
        };
        self.fault(path, format!("{problem}: {}", file.display()), help);
        file
    }

    /// A file that must be there and is no folder.
    pub(super) fn plain_file(&mut self, path: &str, file: PathBuf, help: &str) -> PathBuf {
        let file = self.file(path, file, help);
        if file.is_dir() && !self.told(path) {
            self.fault(path, format!("is a folder: {}", file.display()), help);
        }
        file
    }

    /// A file or folder that need not be there yet.
    pub(super) fn makeable(&mut self, path: &str, file: PathBuf, help: &str) -> PathBuf {
        if file.as_os_str().is_empty() {
            self.fault(path, "is empty".to_string(), help);
            return file;
        }
        let file = self.folder.join(file);
        let above = file.ancestors().skip(1).find(|above| above.exists());
        if let Some(above) = above.filter(|above| !above.is_dir()) {
            self.fault(path, format!("{} is not a folder", above.display()), help);
        }
        file
    }
}
