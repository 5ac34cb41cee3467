//! Every reason that `/readyz` gives, with the real service: ready, then not for that reason alone, then ready again where it
//! can be. That frames are unaccounted for is a fault of the sensor itself, and cannot be brought about from outside:
//! `control/look.rs` has that test.

use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;

use super::*;
use crate::metrics::page;

const METRICS: &str = "metrics: { listen: \"127.0.0.1:9920\" }\n";

/// A disk of its own, small enough to be filled; it is gone with the service.
const DISK: &str = "mkdir -p disk && mount -t tmpfs -o size=4m none disk && exec \"$0\" \"$@\"";

/// A log that is a pipe.
const PIPE: &str = "pipe";

/// A service on one side of a link, and the test on the same side.
struct Asked<'a> {
    link: &'a Link,
    service: Service,
    folder: &'a Path,
    questions: u32,
    /// Both ends of the pipe, so that whoever opens one does not wait for the other.
    pipe: Option<File>,
}

impl Asked<'_> {
    fn reasons() -> String {
        page((Ipv4Addr::LOCALHOST, 9920).into(), "/readyz")
    }

    /// Waits until `/readyz` says this, and nothing else.
    fn waits_for(&self, wanted: &str) {
        let until = Instant::now() + PATIENCE;
        while Asked::reasons() != wanted {
            assert!(Instant::now() < until, "{:?} and not {wanted:?}", Asked::reasons());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Another host asks for the listed name: there is something to be written.
    fn alert(&mut self) {
        let capture = self.folder.join("question.pcap");
        let frames = questions(self.questions + 1);
        std::fs::write(&capture, wire::pcap(&frames[self.questions as usize..])).expect("a capture");
        self.questions += 1;
        self.link.send(&capture, 1, None);
    }

    /// The service's own disk, from outside.
    fn disk(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.service.child.id()));
        root.join(self.folder.join("disk").strip_prefix("/").expect("an absolute path"))
    }

    fn fill(&self) -> PathBuf {
        let filler = self.disk().join("filler");
        let filled = std::fs::write(&filler, vec![0; 5 << 20]);
        assert_eq!(filled.map_err(|error| error.kind()), Err(std::io::ErrorKind::StorageFull));
        filler
    }
}

fn ready(rules: &str, log: &str, more: &str, test: impl FnOnce(&mut Asked<'_>) + Send) {
    let (link, folder) = (Link::new(), site(rules, &format!("{METRICS}{more}")));
    let path = folder.path().join("haetae.yaml");
    let text = std::fs::read_to_string(&path).expect("there").replace("path: eve.json", &format!("path: {log}"));
    std::fs::write(&path, text).expect("a configuration");
    let pipe = (log == PIPE).then(|| {
        let path = folder.path().join(PIPE);
        assert!(Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success()));
        File::options().read(true).write(true).open(path).expect("a pipe")
    });
    let mut command = Command::new("sh");
    command.args(["-c", DISK, env!("CARGO_BIN_EXE_haetae"), "run", "-c", "haetae.yaml", "--workers", "2"]);
    command.env("HAETAE_LOG", "json").current_dir(folder.path());
    let mut service = Service::of(&link, &command);
    service.hear("metrics are served");
    let mut asked = Asked { link: &link, service, folder: folder.path(), questions: 0, pipe };
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            link.enter();
            test(&mut asked);
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn a_link_that_goes_is_a_reason_until_it_comes_back() {
    if !possible("a_link_that_goes_is_a_reason_until_it_comes_back") {
        return;
    }
    ready(BAD_EXAMPLE, "eve.json", "", |asked| {
        asked.waits_for("ready\n");
        asked.link.unplug();
        asked.waits_for("b0: the link cannot be read\n");
        asked.link.plug();
        asked.waits_for("ready\n");
    });
}

#[test]
fn an_empty_set_is_a_reason_until_one_with_indicators_is_loaded() {
    if !possible("an_empty_set_is_a_reason_until_one_with_indicators_is_loaded") {
        return;
    }
    ready("format: haetae/1\nindicators: []\n", "eve.json", "", |asked| {
        asked.waits_for("no indicator is loaded: nothing can be met\n");
        std::fs::write(asked.folder.join("rules.yaml"), BAD_EXAMPLE).expect("rules");
        asked.service.signal("HUP");
        asked.service.hear("reloaded");
        asked.waits_for("ready\n");
    });
}

#[test]
fn a_log_that_cannot_be_written_is_a_reason_until_it_can() {
    if !possible("a_log_that_cannot_be_written_is_a_reason_until_it_can") {
        return;
    }
    ready(BAD_EXAMPLE, "disk/eve.json", "", |asked| {
        asked.alert();
        asked.waits_for("ready\n");
        let filler = asked.fill();
        // what is left of the log's last page is used up first
        (0..8).for_each(|_| asked.alert());
        asked.waits_for("the EVE log cannot be written\n");
        std::fs::remove_file(filler).expect("it is there");
        asked.alert();
        asked.waits_for("ready\n");
    });
}

#[test]
fn a_spool_that_takes_nothing_is_a_reason_until_it_does() {
    if !possible("a_spool_that_takes_nothing_is_a_reason_until_it_does") {
        return;
    }
    let centre = "networks: { home: [10.0.0.0/8] }\ncentre: { url: \"http://127.0.0.1:9\", spool: disk/spool }\n";
    ready(BAD_EXAMPLE, "eve.json", centre, |asked| {
        asked.alert();
        asked.waits_for("ready\n");
        let filler = asked.fill();
        (0..8).for_each(|_| asked.alert());
        asked.waits_for("the spool takes no records: alerts are in the log alone\n");
        std::fs::remove_file(filler).expect("it is there");
        asked.alert();
        asked.waits_for("ready\n");
    });
}

#[test]
fn a_broker_that_is_gone_is_a_reason_until_the_restart_and_what_is_open_is_read() {
    if !possible("a_broker_that_is_gone_is_a_reason_until_the_restart_and_what_is_open_is_read") {
        return;
    }
    // two workers share a link: it makes their sockets, and is asked nothing until the link comes back
    ready(BAD_EXAMPLE, "eve.json", "", |asked| {
        asked.waits_for("ready\n");
        let broker = super::sandbox::broker(&asked.service).to_string();
        assert!(Command::new("kill").args(["-9", &broker]).status().is_ok_and(|status| status.success()));
        asked.waits_for("the broker is gone: a link that goes away stays away; restart the sensor\n");
        // its end of the line goes a moment before the process is known to have ended
        let status = asked.service.hear("the broker is gone")["status"].clone();
        assert!(status == "signal: 9 (SIGKILL)" || status == "it does not answer", "{status}");
        asked.alert();
        let until = Instant::now() + PATIENCE;
        while std::fs::metadata(asked.folder.join("eve.json")).map_or(0, |log| log.len()) == 0 {
            assert!(Instant::now() < until, "what is open is not read any more");
            std::thread::sleep(Duration::from_millis(50));
        }
        asked.service.signal("TERM");
        assert!(asked.service.child.wait().expect("it ends").success());
    });
}

#[test]
fn a_service_that_is_told_to_end_is_not_ready() {
    if !possible("a_service_that_is_told_to_end_is_not_ready") {
        return;
    }
    ready(BAD_EXAMPLE, PIPE, "", |asked| {
        asked.waits_for("ready\n");
        // more than a pipe holds, and nobody reads it: the last records are waited for
        let capture = asked.folder.join("load.pcap");
        std::fs::write(&capture, wire::pcap(&questions(1_000))).expect("a capture");
        asked.link.send(&capture, 1, None);
        asked.service.signal("TERM");
        asked.waits_for("it is ending\n");
        let mut reader = File::open(asked.folder.join(PIPE)).expect("the pipe");
        asked.pipe = None;
        let mut log = Vec::new();
        reader.read_to_end(&mut log).expect("to its end");
        assert!(asked.service.child.wait().expect("it ends").success());
        assert!(log.ends_with(b"}\n"), "the last line is whole");
    });
}
