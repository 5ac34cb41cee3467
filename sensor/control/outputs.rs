//! Files and standard output, opened as an order says.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::alert::screen::Shown;
use crate::config::{Output, Replay};

/// Large enough that an event line costs a copy and not a system call.
const BUFFER_BYTES: usize = 256 << 10;

/// An output with the name that errors speak of.
pub(super) struct Named {
    pub(super) name: PathBuf,
    pub(super) writer: Box<dyn Write>,
}

/// The outputs of all captures of a replay together.
pub(super) struct Opened {
    pub(super) alerts: Option<Named>,
    pub(super) events: Option<Named>,
    pub(super) log: Option<Named>,
    pub(super) stats: Option<Named>,
    pub(super) shown: Shown,
}

pub(super) fn open(replay: &Replay) -> Result<Opened, Failure> {
    let given = |output: &Option<Output>| output.as_ref().map(named).transpose();
    let log = match &replay.log_dir {
        Some(folder) => {
            make_folder(folder)?;
            Some(create(&folder.join("eve.json"))?)
        }
        None => None,
    };
    if let Some(folder) = &replay.events_dir {
        make_folder(folder)?;
    }
    Ok(Opened {
        alerts: given(&replay.alerts)?,
        events: given(&replay.events)?,
        log,
        stats: given(&replay.stats)?,
        shown: Shown::default(),
    })
}

/// The event file of one capture in a folder: `CASE.eve.json`.
pub(super) fn of_capture(folder: &Path, capture: &Path) -> Result<Named, Failure> {
    let case = capture.file_stem().unwrap_or_default().to_string_lossy();
    create(&folder.join(format!("{case}.eve.json")))
}

fn named(output: &Output) -> Result<Named, Failure> {
    match output {
        Output::Stdout => {
            let writer = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
            Ok(Named { name: PathBuf::from("standard output"), writer: Box::new(writer) })
        }
        Output::File(path) => create(path),
    }
}

fn create(path: &Path) -> Result<Named, Failure> {
    let file = File::create(path).map_err(|error| Failure::Io(path.to_path_buf(), error))?;
    Ok(Named { name: path.to_path_buf(), writer: Box::new(BufWriter::with_capacity(BUFFER_BYTES, file)) })
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| Failure::Io(path.to_path_buf(), error))
}

impl Named {
    pub(super) fn failed(&self, error: io::Error) -> Failure {
        Failure::Io(self.name.clone(), error)
    }
}
