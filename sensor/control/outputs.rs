//! Files and standard output, opened as an order says.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Failure;
use super::bar::Bar;
use crate::alert::screen::Shown;
use crate::capture::file::STANDARD_INPUT;
use crate::config::{Output, Replay};
use crate::report::Findings;

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
    pub(super) report: Option<(Page, Findings)>,
    pub(super) shown: Shown,
    pub(super) bar: Option<Bar>,
    /// The names of captures in a folder of events, one after the other.
    pub(super) cases: std::vec::IntoIter<String>,
}

pub(super) fn open(replay: &Replay, captures: &[Vec<PathBuf>]) -> Result<Opened, Failure> {
    spare_inputs(replay, captures)?;
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
        report: match &replay.report {
            Some(report) => Some((Page::at(&report.output)?, Findings::default())),
            None => None,
        },
        shown: Shown::default(),
        bar: None,
        cases: cases(captures).into_iter(),
    })
}

/// Opening an output empties it: a capture or rule file that is typed in its place must survive that.
fn spare_inputs(replay: &Replay, captures: &[Vec<PathBuf>]) -> Result<(), Failure> {
    let log = replay.log_dir.as_ref().map(|folder| folder.join("eve.json"));
    let report = replay.report.as_ref().map(|report| &report.output);
    let outputs = [&replay.alerts, &replay.events, &replay.stats].into_iter().flatten().chain(report);
    let files = outputs.filter_map(|output| match output {
        Output::File(path) => Some(path.clone()),
        Output::Stdout => None,
    });
    for output in files.chain(log) {
        let Ok(place) = output.canonicalize() else { continue }; // not there yet
        let mut inputs = captures.iter().flatten().chain(&replay.rules);
        if inputs.any(|input| input.canonicalize().is_ok_and(|input| input == place)) {
            let both = io::Error::new(io::ErrorKind::InvalidInput, "is read and would be written over");
            return Err(Failure::Io(output, both));
        }
    }
    Ok(())
}

/// What captures are called, each differently: by its own name, with its folder's where names are alike, with a number
/// where those are too.
fn cases(captures: &[Vec<PathBuf>]) -> Vec<String> {
    let text = |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
    let stem = |path: &PathBuf| match path.extension().and_then(OsStr::to_str) {
        _ if path == Path::new(STANDARD_INPUT) => "stdin".to_string(),
        Some("gz" | "zst") => text(Path::new(path.file_stem().unwrap_or_default()).file_stem()),
        _ => text(path.file_stem()),
    };
    let stems: Vec<_> = captures.iter().map(|pieces| pieces.first().map_or_else(String::new, stem)).collect();
    let mut times = HashMap::new();
    stems.iter().for_each(|stem| *times.entry(stem.as_str()).or_insert(0) += 1);
    let mut taken = HashSet::new();
    let name = |(pieces, stem): (&Vec<PathBuf>, &String)| {
        let folder = text(pieces.first().and_then(|path| path.parent()).and_then(Path::file_name));
        let alike = times.get(stem.as_str()).is_some_and(|times| *times > 1) && !folder.is_empty();
        let name = if alike { format!("{folder}-{stem}") } else { stem.clone() };
        let numbered = (2_u64..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name);
        taken.insert(free.clone());
        free
    };
    captures.iter().zip(&stems).map(name).collect()
}

/// The event file of one capture in a folder: `CASE.eve.json`.
pub(super) fn of_capture(folder: &Path, case: &str) -> Result<Named, Failure> {
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

/// A page that is there as a whole or not at all: it is written beside its place and moved there.
pub(super) struct Page {
    name: PathBuf,
    way: Way,
}

/// How a page gets to its place.
enum Way {
    /// Standard output.
    Stdout,
    /// What is no file (a pipe, a device) cannot be replaced.
    Straight,
    /// The place, its links followed, and the name beside it.
    Beside(PathBuf, PathBuf),
}

impl Page {
    /// Finds out now whether it can be written: a replay may take hours.
    fn at(output: &Output) -> Result<Page, Failure> {
        let Output::File(path) = output else {
            return Ok(Page { name: PathBuf::from("standard output"), way: Way::Stdout });
        };
        let failed = |error| Failure::Io(path.clone(), error);
        let place = path.canonicalize().unwrap_or_else(|_| path.clone()); // not there yet
        if std::fs::metadata(&place).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            File::options().write(true).open(&place).map_err(failed)?;
            return Ok(Page { name: path.clone(), way: Way::Straight });
        }
        let Some(name) = place.file_name().filter(|_| !place.is_dir()) else {
            return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
        };
        let beside = place.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let tried = File::create_new(&beside).and_then(|_| std::fs::remove_file(&beside));
        tried.map_err(failed)?;
        Ok(Page { name: path.clone(), way: Way::Beside(place, beside) })
    }

    /// Writes it; where that fails, what was there before is there still.
    pub(super) fn write(&self, with: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let written = match &self.way {
            Way::Stdout => filled(io::stdout(), with),
            Way::Straight => File::options().write(true).open(&self.name).and_then(|file| filled(file, with)),
            Way::Beside(place, beside) => replaced(place, beside, with),
        };
        written.map_err(|error| Failure::Io(self.name.clone(), error))
    }
}

fn filled(to: impl Write, with: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, to);
    with(&mut writer)?;
    writer.flush()
}

fn replaced(place: &Path, beside: &Path, with: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let file = File::create_new(beside)?;
    let written = || {
        // who may read it was decided for the page that it replaces
        if let Ok(before) = std::fs::metadata(place) {
            file.set_permissions(before.permissions())?;
        }
        filled(&file, with)?;
        file.sync_all()?; // a disk may say only now that it is full
        std::fs::rename(beside, place)
    };
    written().inspect_err(|_| {
        let _nothing_is_left_beside = std::fs::remove_file(beside);
    })
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| Failure::Io(path.to_path_buf(), error))
}

impl Write for Named {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes).map_err(|error| named_error(&self.name, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(|error| named_error(&self.name, error))
    }
}

/// Several outputs are written in one place: the error itself has to say which it was.
fn named_error(name: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", name.display()))
}

impl Named {
    pub(super) fn failed(&self, error: io::Error) -> Failure {
        Failure::Io(self.name.clone(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_of_one_name_get_files_of_their_own() {
        let captures = ["a/traffic.pcap", "b/traffic.pcap", "b/traffic.pcap.gz", "c.pcap.zst", "traffic.pcapng", "-"];
        let captures: Vec<_> = captures.iter().map(|path| vec![PathBuf::from(path)]).collect();
        assert_eq!(cases(&captures), ["a-traffic", "b-traffic", "b-traffic-2", "c", "traffic", "stdin"]);
    }

    #[test]
    fn a_file_that_is_read_is_not_opened_for_writing() {
        let folder = tempfile::tempdir().expect("a folder");
        let capture = folder.path().join("in.pcap");
        std::fs::write(&capture, b"evidence").expect("a file");
        let output = folder.path().join(".").join("in.pcap");
        let replay = Replay { alerts: Some(Output::File(output)), ..Replay::default() };
        assert!(open(&replay, &[vec![capture.clone()]]).is_err());
        assert_eq!(std::fs::read(&capture).expect("still there"), b"evidence");
        assert!(open(&replay, &[]).is_ok());
    }

    fn written(page: &Page, text: &str) -> Result<(), String> {
        page.write(|out| out.write_all(text.as_bytes())).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_page_that_cannot_be_written_to_its_end_leaves_what_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("r.html");
        let inside = || std::fs::read_dir(folder.path()).expect("there").count();
        let page = Page::at(&Output::File(path.clone())).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(inside(), 0, "a replay that is killed leaves nothing");
        let full = |out: &mut dyn Write| {
            out.write_all(&[b' '; BUFFER_BYTES + 1])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        let said = page.write(full).expect_err("it is full").to_string();
        assert_eq!((said, inside()), (format!("{}: no storage space", path.display()), 0));
        written(&page, "first").expect("room");
        assert!(page.write(full).is_err());
        assert_eq!((std::fs::read(&path).expect("there"), inside()), (b"first".to_vec(), 1));
    }

    #[test]
    fn a_page_takes_the_place_of_the_old_one_and_keeps_its_readers() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("r.html"), folder.path().join("latest.html"));
        std::fs::write(&path, "old").expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let page = Page::at(&Output::File(link.clone())).unwrap_or_else(|failure| panic!("{failure}"));
        written(&page, "new").expect("room");
        assert_eq!(std::fs::read(&path).expect("there"), b"new");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink());
    }

    #[test]
    fn what_is_no_file_is_written_to_and_never_replaced() {
        let page = Page::at(&Output::File("/dev/full".into())).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(written(&page, "page"), Err("/dev/full: No space left on device".to_owned()));
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Page::at(&Output::File(folder.path().into())).is_err());
        assert!(Page::at(&Output::File(folder.path().join("gone/r.html"))).is_err());
    }
}
