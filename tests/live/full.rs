//! The spool on a real disk that is full, and on one that stands still: a small file system of its own for each test. What comes is
//! what waits and what was given up, by lane, and all of it is whole when there is room again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use haetae::spool::{Cause, Disk, Entry, Growing, Lane, NotTaken, Options, Spool, Storage, verify};

use super::*;

/// What the file system has.
const DISK_BYTES: u64 = 16 << 20;

/// What the spool may take: more than there is.
const SPOOL_BYTES: u64 = 64 << 20;

/// How long after there is room a record may wait.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// A mounted file system; it goes when this is dropped.
struct Mounted {
    folder: TempDir,
}

impl Mounted {
    /// Of that kind; `None`: this machine does not let us, which is said.
    fn new(kind: &str, test: &str) -> Option<Mounted> {
        let folder = TempDir::new().expect("a folder");
        let (image, place) = (folder.path().join("image"), folder.path().join("disk"));
        std::fs::create_dir(&place).expect("a folder");
        let run = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let size = format!("size={DISK_BYTES}");
        let is_there = match kind {
            "tmpfs" => run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&place)),
            _ => {
                std::fs::File::create(&image).and_then(|file| file.set_len(DISK_BYTES)).expect("an image");
                run(Command::new("mkfs.ext4").arg("-q").arg("-F").arg(&image))
                    && run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&place))
            }
        };
        if !is_there {
            eprintln!("\n*** {test}: NOT TESTED: no {kind} can be mounted here ***\n");
        }
        is_there.then_some(Mounted { folder })
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _gone_already = Command::new("umount").arg("-l").arg(self.place()).output();
    }
}

/// What a writer was told.
#[derive(Default)]
struct Told {
    /// Records offered, by lane.
    offered: [u64; 3],
    refused: [u64; 3],
}

impl Told {
    fn offer(&mut self, spool: &mut Spool, lane: Lane, payload: &[u8]) {
        self.offered[lane.index()] += 1;
        match spool.append(lane, payload) {
            Ok(_) => {}
            Err(NotTaken::Full | NotTaken::Disk(_)) => self.refused[lane.index()] += 1,
            Err(NotTaken::TooLong) => panic!("it is not"),
        }
    }

    /// What came is what waits and what was given up; of what was refused each is counted as that.
    fn adds_up(&self, spool: &Spool, what: &str) {
        let counts = spool.shed_counts();
        for lane in Lane::ALL {
            let shed: u64 = Cause::ALL.into_iter().map(|cause| counts.of(lane, cause)).sum();
            let waiting = spool.reader(lane).waiting().records();
            assert_eq!(
                waiting + shed,
                self.offered[lane.index()],
                "{what}: {lane}: {waiting} wait, {shed} were given up"
            );
            assert!(shed >= self.refused[lane.index()], "{what}: {lane}");
        }
    }
}

fn fills(kind: &str) {
    let Some(disk) = Mounted::new(kind, "a_real_disk_that_is_full") else { return };
    let path = disk.place().join("spool");
    // others have filled a part of it, and will go
    std::fs::write(disk.place().join("others"), vec![1; 4 << 20]).expect("room");
    let options = Options { sheds: true, ..Options::sized(SPOOL_BYTES) };
    let mut spool = Spool::open(&path, options).expect("a spool");
    // the reserve of what is critical is made as the sensor starts
    let (tender, mut told) = (spool.tender(), Told::default());
    while tender.tend().unwrap_or(false) {}
    let spares = |lane: Lane| {
        let entries = std::fs::read_dir(path.join(lane.name())).expect("a lane").map(|entry| entry.expect("it").path());
        entries.filter(|path| path.extension().is_some_and(|it| it == "spare")).count() as u64
    };
    let reserve = spares(Lane::Critical) * options.segment_bytes_max;
    assert!(reserve >= SPOOL_BYTES / 10, "{kind}: {reserve} bytes are kept ready for what is critical");
    let (began, mut full_since) = (Instant::now(), None);
    for round in 0_u64.. {
        for lane in [Lane::Normal, Lane::Low] {
            told.offer(&mut spool, lane, &vec![b'x'; 2_000 + round as usize % 4_000]);
        }
        if spool.sync().is_err() && full_since.is_none() {
            full_since = Some(Instant::now());
        }
        if full_since.is_some_and(|since| since.elapsed() > Duration::from_secs(3)) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{kind}: it is never full");
        if full_since.is_some() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let counts = spool.shed_counts();
    assert!(counts.of(Lane::Low, Cause::Disk) > 0, "{kind}: what is low made room");
    // what is critical has its reserve while the disk is full
    let mut grave = 0;
    while grave < SPOOL_BYTES / 10 {
        told.offer(&mut spool, Lane::Critical, &[b'!'; 8_000]);
        spool.sync().unwrap_or_default();
        grave += 8_000;
    }
    assert_eq!(counts.of(Lane::Critical, Cause::Disk) + counts.of(Lane::Critical, Cause::Space), 0, "{kind}");
    assert_eq!(spool.reader(Lane::Critical).waiting().records(), told.offered[0], "{kind}: a tenth of the cap");
    std::fs::remove_file(disk.place().join("others")).expect("it is there");
    let back = Instant::now();
    told.offer(&mut spool, Lane::Normal, b"there is room");
    while spool.sync().is_err() {
        assert!(back.elapsed() < BACK_WITHIN, "{kind}: it does not go on");
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = back.elapsed();
    told.adds_up(&spool, kind);
    let waiting = Lane::ALL.map(|lane| spool.reader(lane).waiting().records());
    drop(spool);
    let looked = verify(&path).expect("a spool");
    assert!(looked.lanes.iter().all(|lane| lane.findings.is_empty() && lane.torn_bytes == 0), "{kind}: {looked:?}");
    let spool = Spool::open(&path, options).expect("a spool");
    assert_eq!(
        Lane::ALL.map(|lane| spool.reader(lane).waiting().records()),
        waiting,
        "{kind}: all that waited is there"
    );
    println!(
        "{kind}: {:?} offered, {waiting:?} wait, the rest was given up and counted; on again after {took:?}",
        told.offered
    );
}

#[test]
fn a_real_disk_that_is_full_costs_what_matters_least_and_each_is_counted() {
    if possible("a_real_disk_that_is_full_costs_what_matters_least_and_each_is_counted") {
        fills("ext4");
        fills("tmpfs");
    }
}

/// A real disk of which every sync takes so long.
struct Slow(Duration, Arc<AtomicBool>);

struct SlowFile(Duration, Arc<AtomicBool>, Box<dyn Growing>);

impl Growing for SlowFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.2.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.1.load(Ordering::Acquire) {
            std::thread::sleep(self.0);
        }
        self.2.sync()
    }
}

impl Slow {
    fn file(&self, file: Box<dyn Growing>) -> Box<dyn Growing> {
        Box::new(SlowFile(self.0, Arc::clone(&self.1), file))
    }
}

impl Storage for Slow {
    fn hold(&self, directory: &Path) -> io::Result<Box<dyn Send>> {
        Disk.hold(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        Disk.list(directory)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        Disk.make_directory(path)
    }

    fn read(&self, path: &Path, from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
        Disk.read(path, from, bytes_max)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        Disk.create(path).map(|file| self.file(file))
    }

    fn refill(&self, path: &Path) -> io::Result<Box<dyn Growing>> {
        Disk.refill(path).map(|file| self.file(file))
    }

    fn overwrite(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        Disk.overwrite(path, at, bytes)
    }

    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()> {
        Disk.cut(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        Disk.sync_directory(directory)
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Whoever writes waits for the disk, and whoever reads does not.
#[test]
fn a_disk_of_which_each_sync_takes_two_seconds_holds_up_no_reader_and_loses_nothing() {
    let (folder, slow) = (TempDir::new().expect("a folder"), Arc::new(AtomicBool::new(false)));
    let storage = Arc::new(Slow(Duration::from_secs(2), Arc::clone(&slow)));
    let path = folder.path().join("spool");
    let mut spool = Spool::open_on(storage, &path, Options { sheds: true, ..Options::default() }).expect("a spool");
    let mut told = Told::default();
    (0..500).for_each(|_| told.offer(&mut spool, Lane::Normal, &[b'x'; 600]));
    spool.sync().expect("a disk");
    slow.store(true, Ordering::Release);
    let (stop, mut readers, longest) = (AtomicBool::new(false), spool.readers(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                let began = Instant::now();
                let lane = &mut readers.lanes()[Lane::Normal.index()];
                let (from, last) = (lane.waiting().watermark.next(), lane.waiting().last);
                let read = lane.read(from, 10, usize::MAX).expect("to read");
                lane.commit(read.last().map_or(last, |record| record.position)).expect("a disk");
                longest.fetch_max(began.elapsed().as_millis() as u64, Ordering::AcqRel);
            }
        });
        for _ in 0..3 {
            (0..500).for_each(|_| told.offer(&mut spool, Lane::Normal, &[b'x'; 600]));
            spool.sync().expect("it is slow, and well");
        }
        stop.store(true, Ordering::Release);
    });
    let longest = Duration::from_millis(longest.load(Ordering::Acquire));
    println!("syncs of 2 s: a reader waited for {longest:?} at most");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert_eq!(spool.shed_counts().total(), 0);
    assert_eq!(spool.reader(Lane::Normal).waiting().last.0, told.offered[Lane::Normal.index()]);
}

/// What makes a sensor's disk slow, once it has started: each sync of it takes two seconds.
const SLOW_SYNC: &str = r"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static struct timespec began;
__attribute__((constructor)) static void begin(void) { clock_gettime(CLOCK_MONOTONIC, &began); }
static void slowly(void) {
    struct timespec now, two = {2, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - began.tv_sec >= 5) nanosleep(&two, 0);
}
int fdatasync(int file) { slowly(); return syscall(SYS_fdatasync, file); }
int fsync(int file) { slowly(); return syscall(SYS_fsync, file); }
";

#[test]
fn a_sensor_whose_disk_takes_two_seconds_for_each_sync_reads_every_packet() {
    let test = "a_sensor_whose_disk_takes_two_seconds_for_each_sync_reads_every_packet";
    if !possible(test) {
        return;
    }
    const QUESTIONS: u64 = 4_000;
    let more = "site: { id: site-1 }\nnetworks: { home: [10.0.0.0/8] }\ncentre: { url: \"http://127.0.0.1:1\", spool: spool }\n";
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, more));
    let (source, slow) = (folder.path().join("slow.c"), folder.path().join("slow.so"));
    std::fs::write(&source, SLOW_SYNC).expect("a file");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&slow).arg(&source).status();
    if !made.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "{test}: needs cc, and CI has it");
        eprintln!("\n*** {test}: NOT TESTED: there is no cc ***\n");
        return;
    }
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&questions(QUESTIONS as u32))).expect("a capture");
    let preload = [("LD_PRELOAD", slow.to_str().expect("text"))];
    let service = Service::start_among(&link, folder.path(), &["--workers", "1"], &preload);
    // it was loaded before it said that it has started
    std::thread::sleep(Duration::from_secs(6));
    let sent = link.send(&capture, 1, Some(500));
    let (kernel, account, status, took) = service.end();
    println!("syncs of 2 s: {sent} sent, {kernel}, {account}, ended after {took:?}");
    assert!(status.success(), "{account}");
    let counts = ["offered", "received", "kernel_drops", "left_in_ring"].map(|count| number(&kernel, count));
    assert_eq!(counts, [sent, sent, 0, 0], "{kernel}");
    let counts = ["packets", "unaccounted", "alerts", "alerts_shed"].map(|count| number(&account, count));
    assert_eq!(counts, [sent, 0, QUESTIONS, 0], "{account}");
    let looked = verify(&folder.path().join("spool")).expect("a spool");
    assert!(looked.lanes.iter().all(|lane| lane.findings.is_empty()), "{looked:?}");
    let waiting: u64 = looked.lanes.iter().map(|lane| lane.waiting).sum();
    let log = binary::lines(&std::fs::read(folder.path().join("eve.json")).expect("a log")).expect("whole lines");
    assert_eq!(waiting, log.len() as u64, "what the log has waits for the centre");
}
