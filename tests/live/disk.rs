//! The whole sensor on a disk of which every sync takes two seconds, or fails: capture goes on, every alert reaches the spool and the
//! centre, and it is said while it lasts.
//!
//! The disk is this machine's; between it and the service stands a library of a few lines, built here, that makes `fsync` and
//! `fdatasync` wait or refuse for as long as a page of memory says so.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;

use haetae::spool::{Lane, Options, Spool, verify};

use super::load::metrics;
use super::*;
use crate::delivery::centre::{Running, Setting};
use crate::support::namespaces::sent;

/// What stands between. The first byte of the page: tenths of a second that each sync takes; the second: whether it fails.
const BETWEEN: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned char *page;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_PAGE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = file < 0 ? MAP_FAILED : mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    if (at != MAP_FAILED) page = at;
}

static int ask(long call, int file) {
    if (page && page[0]) {
        struct timespec time = { page[0] / 10, page[0] % 10 * 100000000L };
        nanosleep(&time, 0);
    }
    if (page && page[1]) {
        errno = EIO;
        return -1;
    }
    return syscall(call, file);
}

int fsync(int file) { return ask(SYS_fsync, file); }
int fdatasync(int file) { return ask(SYS_fdatasync, file); }
"#;

/// Alerts on the slow disk, and how many come in a second.
const ALERTS: u32 = 2_000;
const A_SECOND: u64 = 500;

/// What the unit gives the service for its end, before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// From the beginning of a sync that is slow, or the end of one that failed, to the word of it.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// A disk that can be made slow, and made to fail.
struct Disk {
    folder: TempDir,
    page: std::fs::File,
}

impl Disk {
    /// `None`: there is no compiler here, which is said.
    fn new(test: &str) -> Option<Disk> {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("between.c"), BETWEEN).expect("a source");
        let words = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", "between.so", "between.c"];
        let Ok(built) = Command::new("cc").args(words).current_dir(folder.path()).output() else {
            assert!(std::env::var_os("CI").is_none(), "{test}: no cc");
            eprintln!("\n*** {test}: NOT TESTED: no cc here (deploy/needs build installs it) ***\n");
            return None;
        };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        std::fs::write(folder.path().join("page"), [0; 4096]).expect("a page");
        let page = std::fs::OpenOptions::new().write(true).open(folder.path().join("page")).expect("a page");
        Some(Disk { folder, page })
    }

    fn environment(&self) -> [(&'static str, String); 2] {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        [("LD_PRELOAD", at("between.so")), ("DISK_PAGE", at("page"))]
    }

    fn takes(&self, tenths: u8, fails: bool) {
        self.page.write_all_at(&[tenths, u8::from(fails)], 0).expect("a page");
    }
}

/// Identities of alerts that the centre has.
fn arrived(centre: &Running) -> BTreeSet<String> {
    centre.book().latest().into_keys().collect()
}

fn waits_for(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_disk_that_is_slow_and_then_fails_costs_neither_a_packet_nor_an_alert_and_is_told() {
    let test = "a_disk_that_is_slow_and_then_fails_costs_neither_a_packet_nor_an_alert_and_is_told";
    if !possible(test) {
        return;
    }
    let Some(disk) = Disk::new(test) else { return };
    let link = Link::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            link.enter();
            suffers(&link, &disk);
        });
    });
}

fn suffers(link: &Link, disk: &Disk) {
    let home = tempfile::tempdir().expect("a folder");
    let (centre, spool) = (Running::start(home.path(), &Setting::default()), home.path().join("spool"));
    let more = format!(
        "networks: {{ home: [10.0.0.0/8] }}\nmetrics: {{ listen: \"127.0.0.1:9920\" }}\n\
         centre: {{ url: \"{}\", token: {}, authority: {}, spool: {} }}\n",
        centre.url(),
        centre.token().display(),
        centre.authority().display(),
        spool.display(),
    );
    let folder = site(BAD_EXAMPLE, &more);
    let environment = disk.environment();
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut service = Service::start_among(link, folder.path(), &["--workers", "2"], &environment);
    assert_eq!(service.hear("sandboxed")["findings"], 0);
    let send = |range: std::ops::Range<u32>| {
        let capture = folder.path().join("questions.pcap");
        std::fs::write(&capture, wire::pcap(&questions(range.end)[range.start as usize..])).expect("a capture");
        link.sending(&capture, 1, Some(A_SECOND))
    };

    let mut packets = is_slow(&mut service, disk, &send, &centre);
    packets += fails(&mut service, disk, &send, &centre);

    // the end is slow as well, and in order
    disk.takes(20, false);
    packets += sent(send(ALERTS + 100..ALERTS + 200));
    let began = Instant::now();
    service.signal("TERM");
    let kernel = service.hear_exactly("link");
    let (account, left) = (service.hear("ended"), service.hear("what waits is in the spool"));
    let (status, took) = (service.child.wait().expect("it ends"), began.elapsed());
    println!("ended after {took:?}: {account}");
    assert!(status.success() && took < STOP_WITHIN, "{status} after {took:?}");
    let counts = ["offered", "received", "kernel_drops", "left_in_ring"].map(|count| number(&kernel, count));
    assert_eq!(counts, [packets, packets, 0, 0], "{kernel}");
    let lost = ["alerts_shed", "events_shed", "not_spooled"].map(|count| number(&account, count));
    assert_eq!((lost, number(&account, "alerts")), ([0; 3], u64::from(ALERTS) + 200), "{account}");
    holds_all(&spool, number(&left, "records"), &arrived(&centre));
}

/// Puts questions with these numbers on the link.
type Send<'a> = &'a dyn Fn(std::ops::Range<u32>) -> std::process::Child;

/// One of the service's numbers.
fn gone(name: &str) -> f64 {
    metrics(9920).get(name).copied().unwrap_or_else(|| panic!("no {name}"))
}

/// Every sync takes two seconds; how many packets were sent.
fn is_slow(service: &mut Service, disk: &Disk, send: Send<'_>, centre: &Running) -> u64 {
    disk.takes(20, false);
    let sender = send(0..ALERTS);
    // of the very sync that is slow
    let told = service.hear("the spool's disk is slow");
    let late = told["seconds"].as_f64().map(Duration::from_secs_f64).expect("how long it has taken");
    assert!(late < TOLD_WITHIN, "{told}");
    assert!(gone("haetae_spool_sync_seconds") >= 0.5);
    let packets = sent(sender);
    let began = Instant::now();
    waits_for("all in the spool", || gone("haetae_spool_appended_records_total") >= f64::from(ALERTS));
    let spooled = began.elapsed();
    waits_for("all at the centre", || arrived(centre).len() >= ALERTS as usize);
    println!(
        "told after {late:?}; the last of {ALERTS} spooled after {spooled:?}, at the centre after {:?}",
        began.elapsed()
    );
    packets
}

/// Then every sync fails, and at last none does; how many packets were sent.
fn fails(service: &mut Service, disk: &Disk, send: Send<'_>, centre: &Running) -> u64 {
    disk.takes(0, true);
    let sender = send(ALERTS..ALERTS + 100);
    waits_for("a failure", || gone("haetae_spool_sync_failures_total") > 0.0);
    let began = Instant::now();
    service.hear("refuses a sync");
    assert!(began.elapsed() < TOLD_WITHIN, "{:?}", began.elapsed());
    let packets = sent(sender);
    disk.takes(0, false);
    service.hear("keeps up again");
    waits_for("all at the centre", || arrived(centre).len() >= ALERTS as usize + 100);
    assert_eq!(gone("haetae_spool_full_total"), 0.0);
    packets
}

/// What the service counted as spooled is in the spool, whole, and what is not at the centre waits.
fn holds_all(path: &Path, spooled: u64, arrived: &BTreeSet<String>) {
    let looked = verify(path).expect("a spool");
    assert!(looked.lanes.iter().all(|lane| lane.findings.is_empty()), "{looked:?}");
    let spool = Spool::open(path, Options::default()).expect("a spool");
    assert_eq!(spool.recovery().lost, 0, "{:?}", spool.recovery());
    let (mut last, mut known) = (0, arrived.clone());
    for lane in Lane::ALL {
        let mut reader = spool.reader(lane);
        let waiting = reader.waiting();
        last += waiting.last.0;
        for record in reader.read(waiting.watermark.next(), usize::MAX, usize::MAX).expect("it can be read") {
            let record: Value = serde_json::from_slice(&record.payload).expect("a whole record");
            known.extend(record["alert"]["context"]["haetae"]["id"].as_str().map(str::to_owned));
        }
    }
    assert_eq!(last, spooled, "what was counted is there");
    assert!(known.len() >= ALERTS as usize + 200, "{} of {}", known.len(), ALERTS + 200);
}
