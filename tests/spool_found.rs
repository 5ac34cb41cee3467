//! What a start finds in a spool's folder: damage, which the log names, and what somebody else has put there, which nobody waits for
//! and nobody reads to its end.

#[cfg(feature = "libpcap")]
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
#[cfg(feature = "libpcap")]
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use haetae::spool::{Lane, Options, Spool, verify};
#[cfg(feature = "libpcap")]
use serde_json::Value;

#[cfg(feature = "libpcap")]
use crate::binary;
use crate::delivery::alert;
#[cfg(feature = "libpcap")]
use crate::delivery::centre::{Running, Setting};

/// Long enough for any machine; only failing tests wait so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Records of the spool that is there before.
const RECORDS: u64 = 40;

/// Of a flush.
const FLUSH: u64 = 4;

/// Far more than a sensor with nothing to do takes, and far less than is read of a file that has no end.
#[cfg(feature = "libpcap")]
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// What somebody may put where a file is looked for.
#[derive(Clone, Copy, Debug)]
enum Odd {
    Pipe,
    /// A link to a file that has no end.
    Endless,
    /// A link to a device that gives nothing.
    Silent,
    /// A file of a tebibyte, with nothing in it.
    Hollow,
    Folder,
    /// A link to nowhere.
    Dangling,
}

const ODD: [Odd; 6] = [Odd::Pipe, Odd::Endless, Odd::Silent, Odd::Hollow, Odd::Folder, Odd::Dangling];

impl Odd {
    /// In place of what is there.
    fn put(self, path: &Path) {
        let _was_there = std::fs::remove_file(path);
        match self {
            Odd::Pipe => assert!(Command::new("mkfifo").arg(path).status().is_ok_and(|made| made.success())),
            Odd::Endless => symlink("/dev/zero", path).expect("a link"),
            Odd::Silent => symlink("/dev/null", path).expect("a link"),
            Odd::Hollow => std::fs::File::create(path).and_then(|file| file.set_len(1 << 40)).expect("a file"),
            Odd::Folder => std::fs::create_dir(path).expect("a folder"),
            Odd::Dangling => symlink("/nowhere/at/all", path).expect("a link"),
        }
    }
}

/// A spool with records in one lane, a few in each segment.
fn filled(path: &Path) {
    let options = Options { segment_bytes_max: 4 << 10, ..Options::default() };
    let mut spool = Spool::open(path, options).expect("a spool");
    for number in 1..=RECORDS {
        spool.append(Lane::Normal, alert(number).to_string().as_bytes()).expect("room");
        if number.is_multiple_of(FLUSH) {
            spool.sync().expect("a disk");
        }
    }
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path.join("normal")).expect("a lane").map(|entry| entry.expect("it").path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "segment")).collect();
    found.sort();
    found
}

/// The most that a process has had in memory of its own so far, in bytes: with the pages of its binary, which are shared.
#[cfg(feature = "libpcap")]
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Opens it, appends, and ends, on a thread of its own: whoever hangs there is left there. What waits then.
fn opens(path: &Path) -> Option<u64> {
    let (send, came) = channel();
    let path = path.to_owned();
    std::thread::spawn(move || {
        let mut spool = Spool::open(&path, Options::default()).expect("it never refuses to start");
        spool.append(Lane::Normal, b"one more").expect("room");
        spool.append(Lane::Low, b"one more").expect("room");
        spool.sync().expect("a disk");
        let waiting = spool.readers().waiting().records();
        drop(spool);
        let _nobody_waits_any_more = send.send(waiting);
    });
    came.recv_timeout(PATIENCE).ok()
}

#[test]
fn pipes_devices_and_files_without_an_end_hold_up_no_start() {
    for odd in ODD {
        for name in [
            "letter",
            "format",
            "given-up",
            "given-up.new",
            "normal/letter",
            "normal/cursor",
            "normal/cursor.new",
            "normal/cursor-syslog",
            "normal/0009.spare",
            "normal/0009.new",
            "normal/SEGMENT",
            "normal/FIRST",
            "low/cursor",
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("spool");
            filled(&path);
            let (all, mut lost) = (segments(&path), 0);
            let place = match name {
                "normal/SEGMENT" => path.join("normal/00000000000000009999-0001.segment"),
                // what was in it is gone
                "normal/FIRST" => {
                    lost = 1;
                    all[0].clone()
                }
                name => path.join(name),
            };
            odd.put(&place);
            let waiting = opens(&path).unwrap_or_else(|| panic!("{odd:?} as {name}: the start hangs"));
            if lost == 0 {
                assert!(waiting >= RECORDS + 2, "{odd:?} as {name}: {waiting} wait");
            }
            verify(&path).expect("it can be looked at");
            assert!(opens(&path).is_some(), "{odd:?} as {name}: the next start hangs");
        }
    }
}

#[cfg(feature = "libpcap")]
#[test]
fn a_sensor_that_finds_its_spool_damaged_says_so_in_a_line_and_goes_on() {
    let (folder, centres) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut centre = Running::start(centres.path(), &Setting::default());
    centre.kill(); // what is found waits
    let spool = folder.path().join("spool");
    filled(&spool);
    // one record of what waits, and what is nobody's
    let broken = &segments(&spool)[1];
    let mut bytes = std::fs::read(broken).expect("a segment");
    let at = bytes.windows(10).position(|window| window == b"event_type").expect("a record");
    bytes[at + 2] ^= 1;
    std::fs::write(broken, bytes).expect("to write");
    let put = ["normal/pipe", "low/endless", "critical/hollow"].map(|it| spool.join(it));
    for (odd, path) in [Odd::Pipe, Odd::Endless, Odd::Hollow].into_iter().zip(&put) {
        odd.put(path);
    }
    let (mut sensor, mut lines) = started(folder.path(), &centre);
    let damaged = lines.find(|line| line["message"].to_string().contains("the spool is damaged"));
    let damaged = damaged.expect("it says so");
    assert_eq!((&damaged["level"], &damaged["lost"]), (&"ERROR".into(), &1.into()), "{damaged}");
    for path in &put {
        let named = path.strip_prefix(folder.path()).expect("a place in it").display().to_string();
        assert!(damaged["files"].to_string().contains(&named), "{named}: {damaged}");
    }
    assert!(lines.any(|line| line["message"] == "started"), "it goes on");
    let took = memory(sensor.id());
    assert!(took < MEMORY_BYTES_MAX, "{took} bytes");
    let pid = rustix::process::Pid::from_child(&sensor);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it can be told to end");
    let closing = lines.find(|line| line["message"].to_string().contains("what waits is in the spool"));
    let waiting = closing.expect("a last word")["waiting"].as_u64();
    assert!(sensor.wait().expect("it ends").success());
    assert_eq!(waiting, Some(RECORDS), "what is lost has its place among what waits");
    // and says nothing of a sound one
    std::fs::remove_dir_all(&spool).expect("to remove");
    let (mut sensor, mut lines) = started(folder.path(), &centre);
    let first = lines.find(|line| line["message"] == "started" || line["message"].to_string().contains("damaged"));
    assert_eq!(first.expect("a line")["message"], "started");
    sensor.kill().and_then(|()| sensor.wait()).expect("its end");
}

/// A sensor that waits for captures, and its log.
#[cfg(feature = "libpcap")]
fn started(folder: &Path, centre: &Running) -> (Child, impl Iterator<Item = Value>) {
    let captures = folder.join("captures");
    std::fs::create_dir_all(&captures).expect("a folder");
    std::fs::write(folder.join("rules.yaml"), "format: haetae/1\nindicators:\n  - { domain: bad.example }\n")
        .expect("rules");
    let text = format!(
        "site: {{ id: site-0017 }}\nnetworks: {{ home: [10.0.0.0/8] }}\ncapture: [{{ directory: captures }}]\n\
         rules: {{ local: [rules.yaml] }}\ncentre: {{ url: {:?}, token: {:?}, authority: {:?}, spool: spool }}\n",
        centre.url(),
        centre.token(),
        centre.authority(),
    );
    std::fs::write(folder.join("haetae.yaml"), text).expect("a configuration");
    let mut command = binary::haetae();
    command.args(["run", "--workers", "1", "-c", "haetae.yaml"]).env("HAETAE_LOG", "json").current_dir(folder);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it runs");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    (child, lines.filter_map(|line| serde_json::from_str(&line).ok()))
}
