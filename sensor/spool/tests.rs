//! The spool against kills, power cuts, full and failing disks, and every single flipped or missing byte.

use std::path::PathBuf;

use tempfile::TempDir;

use super::segment::{FRAME_BYTES, Flush, HEADER_BYTES, Layout, Written, of_the_version_before};
use super::shared::Key;
use super::simulated::{Faults, Simulated};
use super::*;

const SMALL: Options = Options { bytes_max: 1 << 20, segment_bytes_max: 256, window: Window::NONE, sheds: false };

/// Where most tests work.
const LANE: Lane = Lane::Normal;

fn all(spool: &Spool) -> Vec<(u64, Vec<u8>)> {
    let mut reader = spool.reader(LANE);
    let from = reader.waiting().watermark.next();
    let records = reader.read(from, usize::MAX, usize::MAX).unwrap();
    records.into_iter().map(|record| (record.position.0, record.payload)).collect()
}

fn positions(spool: &Spool) -> Vec<u64> {
    all(spool).into_iter().map(|(position, _)| position).collect()
}

fn filled(directory: &Path, records: std::ops::RangeInclusive<u64>) -> Spool {
    let mut spool = Spool::open(directory, SMALL).unwrap();
    for number in records {
        assert_eq!(spool.append(LANE, format!("record {number}").as_bytes()).unwrap(), Position(number));
        spool.sync().unwrap();
    }
    spool
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join(LANE.name())).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "segment")).collect();
    found.sort();
    found
}

#[test]
fn what_was_synced_is_there_after_reopening() {
    let directory = TempDir::new().unwrap();
    let id = filled(directory.path(), 1..=9).id(LANE);
    let spool = filled(directory.path(), 10..=12);
    assert_eq!(spool.id(LANE), id);
    assert_eq!(positions(&spool), (1..=12).collect::<Vec<_>>());
    assert_eq!(spool.recovery(), &Recovery { waiting: 9, ..Recovery::default() });
}

#[test]
fn what_was_not_synced_is_neither_read_nor_kept() {
    let directory = TempDir::new().unwrap();
    let mut spool = filled(directory.path(), 1..=2);
    spool.append(LANE, b"never synced").unwrap();
    assert_eq!(positions(&spool), [1, 2]);
    drop(spool);
    assert_eq!(positions(&filled(directory.path(), 3..=3)), [1, 2, 3]);
}

#[test]
fn a_commit_survives_and_deletes_whole_segments() {
    let directory = TempDir::new().unwrap();
    let spool = filled(directory.path(), 1..=20);
    let before = segments(directory.path()).len();
    spool.reader(LANE).commit(Position(13)).unwrap();
    assert!(segments(directory.path()).len() < before);
    assert_eq!(positions(&spool), (14..=20).collect::<Vec<_>>());
    drop(spool);
    let spool = Spool::open(directory.path(), SMALL).unwrap();
    assert_eq!(positions(&spool), (14..=20).collect::<Vec<_>>());
    assert_eq!(spool.recovery().lost, 0);
    assert!(spool.reader(LANE).commit(Position(21)).is_err(), "a watermark behind the last record is refused");
    spool.reader(LANE).commit(Position(20)).unwrap();
    drop(spool);
    let mut spool = Spool::open(directory.path(), SMALL).unwrap();
    assert_eq!(spool.append(LANE, b"x").unwrap(), Position(21), "an empty spool does not begin anew");
}

#[test]
fn reading_stops_at_records_and_bytes_and_goes_on_there() {
    let directory = TempDir::new().unwrap();
    let spool = filled(directory.path(), 1..=12);
    let mut reader = spool.reader(LANE);
    let mut take = |from, records, bytes| reader.read(Position(from), records, bytes).unwrap();
    assert_eq!(take(1, 5, 1000).last().unwrap().position, Position(5));
    assert_eq!(take(6, 5, 17).len(), 2, "two records of eight bytes");
    assert_eq!(take(8, 5, 1).len(), 1, "one record, however long");
    assert_eq!(take(2, 3, 1000)[0].position, Position(2), "reading again from before");
    assert_eq!(take(13, 5, 1000), []);
}

#[test]
fn a_full_spool_says_so_and_drops_nothing() {
    let directory = TempDir::new().unwrap();
    let mut spool = Spool::open(directory.path(), Options { bytes_max: 600, ..SMALL }).unwrap();
    let mut taken = 0;
    while spool.append(LANE, b"0123456789").is_ok() {
        spool.sync().unwrap();
        taken += 1;
    }
    assert!(matches!(spool.append(LANE, b"0123456789"), Err(NotTaken::Full)));
    assert_eq!(positions(&spool), (1..=taken).collect::<Vec<_>>());
    spool.reader(LANE).commit(Position(taken)).unwrap();
    assert_eq!(spool.append(LANE, b"0123456789").unwrap(), Position(taken + 1), "a settled spool has room again");
    assert!(spool.reader(LANE).waiting().bytes <= 600);
}

#[test]
fn a_record_that_is_too_long_is_refused_and_a_writer_that_never_syncs_is_flushed() {
    let directory = TempDir::new().unwrap();
    let mut spool = Spool::open(directory.path(), Options::default()).unwrap();
    assert!(matches!(spool.append(LANE, &vec![0; RECORD_BYTES_MAX + 1]), Err(NotTaken::TooLong)));
    for _ in 0..8 {
        spool.append(LANE, &vec![b'x'; RECORD_BYTES_MAX]).unwrap();
    }
    assert!(spool.logs[LANE.index()].pending_bytes() <= SPOOL_WAITING_BYTES_MAX);
    while !spool.syncs.has_rested() {
        std::thread::yield_now();
    }
    spool.append(LANE, &vec![b'x'; RECORD_BYTES_MAX]).unwrap();
    assert!(spool.logs[LANE.index()].pending_bytes() <= PENDING_BYTES_MAX);
}

#[test]
fn two_at_once_are_refused() {
    let directory = TempDir::new().unwrap();
    let first = Spool::open(directory.path(), SMALL).unwrap();
    let error = Spool::open(directory.path(), SMALL).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    drop(first);
    Spool::open(directory.path(), SMALL).unwrap();
}

#[test]
fn a_foreign_file_is_left_alone_and_named() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path(), 1..=1));
    let other = TempDir::new().unwrap();
    drop(filled(other.path(), 1..=9));
    let stranger = directory.path().join(LANE.name()).join(segments(other.path())[1].file_name().unwrap());
    std::fs::copy(&segments(other.path())[1], &stranger).unwrap();
    let letter = directory.path().join("letter.txt");
    std::fs::write(&letter, "dear spool").unwrap();
    let spool = Spool::open(directory.path(), SMALL).unwrap();
    let mut expected = vec![letter, stranger];
    expected.sort();
    assert_eq!(spool.recovery().foreign, expected);
    assert!(expected.iter().all(|path| path.exists()));
    assert_eq!(positions(&spool), [1]);
}

#[test]
fn every_byte_flipped_once_is_noticed_and_costs_one_record_at_most() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path(), 1..=8));
    let paths = segments(directory.path());
    let bytes = std::fs::read(&paths[0]).unwrap();
    let cursor = std::fs::read(directory.path().join(LANE.name()).join(CURSOR)).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x41;
        std::fs::write(&paths[0], &flipped).unwrap();
        std::fs::write(directory.path().join(LANE.name()).join(CURSOR), &cursor).unwrap();
        let spool = Spool::open(directory.path(), SMALL).unwrap();
        let (found, lost) = (spool.recovery(), u64::from(at >= HEADER_BYTES));
        assert!(found.is_damaged() || found.headers_damaged > 0, "byte {at} went unnoticed");
        assert_eq!((found.lost, positions(&spool).len() as u64), (lost, 8 - lost), "byte {at}: {found:?}");
    }
}

#[test]
fn cut_at_every_offset_only_what_is_cut_is_missing() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path(), 1..=3));
    let path = &segments(directory.path())[0];
    let bytes = std::fs::read(path).unwrap();
    let cursor = directory.path().join(LANE.name()).join(CURSOR);
    let known = std::fs::read(&cursor).unwrap();
    for cut in (0..bytes.len()).rev() {
        std::fs::write(path, &bytes[..cut]).unwrap();
        std::fs::write(&cursor, &known).unwrap();
        let mut spool = Spool::open(directory.path(), SMALL).unwrap();
        let whole = (cut.saturating_sub(HEADER_BYTES) / (FRAME_BYTES + 8)) as u64;
        assert_eq!(positions(&spool).len() as u64, whole, "cut at {cut}");
        assert_eq!(spool.recovery().lost, 3 - whole, "cut at {cut}: the cursor knows how many there were");
        assert_eq!(spool.append(LANE, b"next").unwrap(), Position(4), "no number is given twice");
    }
}

#[test]
fn a_missing_segment_and_a_damaged_cursor_cost_no_more_than_themselves() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path(), 1..=12));
    std::fs::remove_file(&segments(directory.path())[1]).unwrap();
    std::fs::write(directory.path().join(LANE.name()).join(CURSOR), "not a cursor").unwrap();
    let spool = Spool::open(directory.path(), SMALL).unwrap();
    assert!(spool.recovery().cursor_lost);
    assert_eq!(spool.recovery().lost + positions(&spool).len() as u64, 12);
}

#[test]
fn a_full_disk_without_a_cursor_is_emptied_all_the_same() {
    let (disk, directory) = (Simulated::new(1), Path::new("/spool"));
    let open = || Spool::open_on(Arc::new(disk.clone()), directory, SMALL).unwrap();
    drop(written(open(), 14));
    disk.remove(&directory.join(LANE.name()).join(CURSOR)).unwrap();
    disk.on(None, Faults { full: 1, ..Faults::default() });
    let (spool, before) = (open(), disk.names().len());
    let refused = spool.reader(LANE).commit(Position(10)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert!(disk.names().len() < before, "room was made all the same");
    disk.on(None, Faults::default());
    spool.reader(LANE).commit(Position(10)).unwrap();
    drop(spool);
    let spool = open();
    assert_eq!((positions(&spool), spool.recovery().lost), (vec![11, 12, 13, 14], 0));
}

fn written(mut spool: Spool, records: u64) -> Spool {
    for number in 1..=records {
        spool.append(LANE, format!("record {number}").as_bytes()).unwrap();
        spool.sync().unwrap();
    }
    spool
}

#[test]
fn a_full_disk_does_not_keep_what_would_empty_it() {
    let (disk, directory) = (Simulated::new(1), Path::new("/spool"));
    let open = || Spool::open_on(Arc::new(disk.clone()), directory, SMALL).unwrap();
    let mut spool = written(open(), 12);
    let before = disk.names().len();
    disk.on(None, Faults { full: 1, ..Faults::default() });
    spool.reader(LANE).commit(Position(10)).unwrap();
    assert!(disk.names().len() < before, "the cursor has its room, and its segments make more");
    assert!(spool.append(LANE, b"13").is_ok() && spool.sync().is_err(), "it is full");
    disk.on(None, Faults::default());
    drop(spool);
    let spool = open();
    assert_eq!((positions(&spool), spool.recovery().lost), (vec![11, 12], 0));
}

#[test]
fn a_spool_of_the_version_before_becomes_the_normal_lane_and_goes_on() {
    let directory = TempDir::new().unwrap();
    let id = SpoolId(*b"abcdefgh");
    let bytes = of_the_version_before(id, 1, &[b"one", b"two", b"three"]);
    std::fs::write(directory.path().join(Key { first: 1, attempt: 0 }.name()), bytes).unwrap();
    std::fs::write(directory.path().join("lock"), "").unwrap();
    for again in 0..2 {
        let mut spool = Spool::open(directory.path(), SMALL).unwrap();
        assert_eq!((spool.id(LANE), spool.recovery().lost), (id, 0));
        let expected = [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
        let found: Vec<_> = all(&spool).into_iter().map(|(_, payload)| payload).collect();
        assert_eq!(found[..3], expected, "opening {again}");
        assert_eq!(spool.append(LANE, b"new").unwrap(), Position(4 + again));
        spool.sync().unwrap();
    }
    // the first thing that the version before does
    let refused =
        std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(directory.path().join("lock"));
    assert!(refused.is_err(), "it keeps off");
}

#[test]
fn a_spool_of_a_later_version_is_refused_and_untouched() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path(), 1..=3));
    std::fs::write(directory.path().join(FORMAT), "haetae spool 4\n").unwrap();
    let refused = Spool::open(directory.path(), SMALL).err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    std::fs::write(directory.path().join(FORMAT), "haetae spool 3\n").unwrap();
    assert_eq!(positions(&Spool::open(directory.path(), SMALL).unwrap()), [1, 2, 3]);
}

/// Eight kilobytes in segments of one; something goes when more comes.
const NARROW: Options = Options { bytes_max: 16_384, segment_bytes_max: 1024, window: Window::NONE, sheds: true };

#[test]
fn low_goes_first_then_normal_and_critical_last_and_each_is_counted() {
    let (disk, directory) = (Simulated::new(1), Path::new("/spool"));
    let mut spool = Spool::open_on(Arc::new(disk), directory, NARROW).unwrap();
    for round in 0..600_u64 {
        let lane = Lane::ALL[(round % 3) as usize];
        let _counted = spool.append(lane, &[7; 100]);
        spool.sync().unwrap();
        let (counts, of) = (spool.shed_counts(), |lane| spool.shed_counts().of(lane, Cause::Space));
        if of(Lane::Normal) > 0 {
            assert_eq!(spool.reader(Lane::Low).waiting().records(), 0, "round {round}: low before normal");
        }
        if of(Lane::Critical) > 0 {
            assert_eq!(spool.reader(Lane::Normal).waiting().records(), 0, "round {round}: normal before critical");
        }
        let waiting: u64 = Lane::ALL.into_iter().map(|lane| spool.reader(lane).waiting().records()).sum();
        assert_eq!(waiting + counts.total(), round + 1, "generated = waiting + given up");
    }
    assert!(spool.shed_counts().of(Lane::Critical, Cause::Space) > 0, "only what is critical is left, and more comes");
}

#[test]
fn what_was_given_up_is_told_once_a_minute_and_survives_a_restart_until_it_was_told() {
    let (disk, directory) = (Simulated::new(1), Path::new("/spool"));
    let open = || Spool::open_on(Arc::new(disk.clone()), directory, NARROW).unwrap();
    let mut spool = open();
    for _ in 0..300 {
        spool.append(Lane::Low, &[7; 100]).unwrap();
        spool.sync().unwrap();
    }
    let first = spool.summary().unwrap();
    drop(spool);
    let mut spool = open();
    assert_eq!(spool.summary(), Some(first), "nobody has been told");
    spool.told();
    assert_eq!(spool.summary(), None);
    for _ in 0..100 {
        spool.append(Lane::Low, &[7; 100]).unwrap();
        spool.sync().unwrap();
    }
    assert_eq!(spool.summary(), None, "not within a minute");
    disk.pass(std::time::Duration::from_secs(60));
    let second = spool.summary().unwrap();
    spool.told();
    assert_eq!(second.number, 2);
    let told: u64 = [first, second].iter().flat_map(|summary| summary.shed.records).sum();
    let waiting = spool.reader(Lane::Low).waiting().records();
    assert_eq!(told + waiting, 400, "no more, no less");
}

#[test]
fn what_is_committed_stays_for_the_window_and_is_sent_again_from_then_on() {
    let (disk, directory) = (Simulated::new(1), Path::new("/spool"));
    let options = Options { window: Window::default(), ..SMALL };
    let mut spool = Spool::open_on(Arc::new(disk.clone()), directory, options).unwrap();
    for number in 1..=40 {
        spool.append(LANE, format!("record {number}").as_bytes()).unwrap();
        spool.sync().unwrap();
        disk.pass(std::time::Duration::from_secs(60));
    }
    let mut reader = spool.reader(LANE);
    reader.read(Position(1), 100, usize::MAX).unwrap();
    reader.commit(Position(40)).unwrap();
    assert_eq!(reader.waiting().records(), 0);
    let rewound = spool.tender().rewind(disk.now() - std::time::Duration::from_secs(600)).unwrap();
    assert_eq!(rewound.records, [0, 10, 0]);
    assert_eq!(positions(&spool), (31..=40).collect::<Vec<_>>());
    reader.commit(Position(40)).unwrap();
    assert_eq!(reader.waiting().records(), 10, "what was on its way before is no answer to what is sent again");
    drop((reader, spool));
    let spool = Spool::open_on(Arc::new(disk.clone()), directory, options).unwrap();
    assert_eq!(positions(&spool), (31..=40).collect::<Vec<_>>(), "also after a restart");
    disk.pass(Window::default().age);
    spool.reader(LANE).commit(Position(40)).unwrap();
    spool.tender().tend().unwrap();
    assert_eq!(spool.tender().rewind(std::time::UNIX_EPOCH).unwrap().records[1], 0, "the window has passed");
}

#[test]
fn a_full_disk_holds_what_comes_and_goes_on_when_there_is_room() {
    let (disk, directory) = (Simulated::new(1), Path::new("/spool"));
    let mut spool = Spool::open_on(Arc::new(disk.clone()), directory, Options { sheds: true, ..SMALL }).unwrap();
    disk.on(None, Faults { room: 40_000, ..Faults::default() });
    let mut promised = 0;
    for _ in 0..400 {
        spool.append(Lane::Low, &[7; 100]).unwrap();
        if spool.sync().is_err() {
            break;
        }
        promised += 1;
    }
    assert!(promised > 10 && spool.sync().is_err(), "it is full");
    assert_eq!(spool.shed_counts().total(), 0, "somebody may be tidying up");
    disk.pass(std::time::Duration::from_secs(1));
    spool.append(Lane::Critical, b"grave").unwrap();
    spool.sync().unwrap();
    let given_up = spool.shed_counts().of(Lane::Low, Cause::Disk);
    assert!(given_up > 0, "what is low makes room");
    let waiting = spool.reader(Lane::Low).waiting().records();
    assert_eq!(waiting + given_up, promised + 1);
    disk.on(None, Faults::default());
    spool.append(Lane::Low, b"more").unwrap();
    spool.sync().unwrap();
    assert_eq!(spool.reader(Lane::Critical).waiting().records(), 1);
}

#[test]
fn a_failing_disk_is_waited_for_in_bounded_memory_and_everything_beyond_is_counted() {
    let (disk, directory) = (Simulated::new(1), Path::new("/spool"));
    let mut spool =
        Spool::open_on(Arc::new(disk.clone()), directory, Options { sheds: true, ..Options::default() }).unwrap();
    disk.on(None, Faults { broken: true, ..Faults::default() });
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..100 {
        match spool.append(Lane::Normal, &vec![7; RECORD_BYTES_MAX / 2]) {
            Ok(_) => taken += 1,
            Err(NotTaken::Disk(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(spool.sync().is_err());
    assert!(spool.logs[LANE.index()].pending_bytes() <= crate::limits::SPOOL_WAITING_BYTES_MAX);
    assert_eq!((taken + refused, spool.shed_counts().of(Lane::Normal, Cause::Disk)), (100, refused));
    disk.on(None, Faults::default());
    spool.sync().unwrap();
    assert_eq!(spool.reader(LANE).waiting().records(), taken, "the disk is back");
}

#[test]
fn prepared_files_are_used_and_what_was_cut_of_one_shows() {
    let directory = TempDir::new().unwrap();
    let mut spool = Spool::open(directory.path(), Options { segment_bytes_max: 4096, ..SMALL }).unwrap();
    while spool.tender().tend().unwrap() {}
    written_some(&mut spool, 5);
    let path = segments(directory.path()).remove(0);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096, "it has its whole length");
    std::mem::forget(spool); // killed: nothing is closed in order
    std::fs::remove_dir_all(directory.path().join(LOCK)).unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(HEADER_BYTES as u64 + 3 * (FRAME_BYTES as u64 + 8))
        .unwrap();
    let spool = Spool::open(directory.path(), SMALL).unwrap();
    assert_eq!((spool.recovery().shortened.as_slice(), positions(&spool)), (&[path][..], vec![1, 2, 3]));
}

fn written_some(spool: &mut Spool, records: u64) -> Vec<u64> {
    let append = |number: u64| {
        let position = spool.append(LANE, format!("record {number}").as_bytes()).unwrap();
        spool.sync().unwrap();
        position.0
    };
    (1..=records).map(append).collect()
}

#[test]
fn swapped_segments_are_read_in_their_places_and_named() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path(), 1..=15));
    let paths = segments(directory.path());
    let between = directory.path().join("between");
    std::fs::rename(&paths[0], &between).unwrap();
    std::fs::rename(&paths[1], &paths[0]).unwrap();
    std::fs::rename(&between, &paths[1]).unwrap();
    let spool = Spool::open(directory.path(), SMALL).unwrap();
    assert_eq!((positions(&spool), spool.recovery().lost), ((1..=15).collect(), 0));
    assert_eq!(spool.recovery().misplaced, paths[..2]);
}

#[test]
fn a_record_that_was_exchanged_for_one_of_another_time_breaks_a_link() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path(), 1..=5));
    let path = &segments(directory.path())[0];
    let mut bytes = std::fs::read(path).unwrap();
    let id = Spool::open(directory.path(), SMALL).unwrap().id(LANE);
    let layout = segment::Layout::of(id);
    let third = layout.frames(&bytes, HEADER_BYTES, 0).nth(2).unwrap();
    let (range, sequence, flush) = (third.start..third.end, third.sequence, third.flush);
    let (time, link) = (third.time.unwrap(), third.link.unwrap());
    let mut other = Vec::new();
    layout.write_frame(&mut other, segment::Written { sequence, flush, time, link }, b"record X");
    bytes[range].copy_from_slice(&other);
    std::fs::write(path, bytes).unwrap();
    assert_eq!(Spool::open(directory.path(), SMALL).unwrap().recovery().links_broken, 1);
}

/// With one that takes 100 ms for each sync, 64 records a sync would take half a minute.
#[test]
fn the_slower_a_disk_is_the_more_records_share_one_of_its_syncs() {
    const RECORDS: u64 = 20_000;
    let disk = Simulated::new(7);
    disk.on(None, Faults { slow: Duration::from_millis(100), ..Faults::default() });
    let mut spool = Spool::open_on(Arc::new(disk), Path::new("/spool"), Options::default()).unwrap();
    let (began, mut syncs) = (std::time::Instant::now(), 0);
    for number in 0..RECORDS {
        spool.append(LANE, &number.to_be_bytes()).unwrap();
        if spool.is_due() {
            spool.sync().unwrap();
            syncs += 1;
        }
        assert!(spool.logs[LANE.index()].pending_bytes() <= SPOOL_WAITING_BYTES_MAX);
    }
    spool.sync().unwrap();
    assert_eq!((spool.unsynced(), spool.reader(LANE).waiting().last), (0, Position(RECORDS)));
    assert!(began.elapsed() < Duration::from_secs(10), "{syncs} syncs in {:?}", began.elapsed());
    assert!(syncs >= 1, "the disk is not left alone for longer than it needs");
    assert!(spool.syncs().time() >= Duration::from_millis(100), "{:?}", spool.syncs());
}

#[test]
fn a_sync_that_fails_is_counted_with_what_the_disk_says_and_done_elsewhere() {
    let disk = Simulated::new(7);
    let mut spool = Spool::open_on(Arc::new(disk.clone()), Path::new("/spool"), Options::default()).unwrap();
    spool.append(LANE, b"before").unwrap();
    spool.sync().unwrap();
    disk.on(None, Faults { sync: 1, ..Faults::default() });
    spool.append(LANE, b"in the middle").unwrap();
    assert!(spool.sync().is_err());
    let syncs = spool.syncs();
    assert_eq!((syncs.failures(), syncs.is_failing(), spool.unsynced()), (1, true, 1));
    disk.on(None, Faults::default());
    spool.sync().unwrap();
    assert_eq!((syncs.failures(), syncs.is_failing(), spool.unsynced()), (1, false, 0));
    assert_eq!(syncs.failure(), "the disk failed");
    assert_eq!(positions(&spool), [1, 2]);
    let files = disk.names().iter().filter(|path| path.extension().is_some_and(|it| it == "segment")).count();
    assert_eq!(files, 2, "what may be in the first file is not trusted");
}

#[test]
fn a_write_that_finds_no_room_leaves_nothing_behind_the_last_record() {
    let disk = Simulated::new(3);
    let mut spool = Spool::open_on(Arc::new(disk.clone()), Path::new("/spool"), Options::default()).unwrap();
    spool.append(LANE, &[b'x'; 600]).unwrap();
    spool.sync().unwrap();
    let segment = spool.logs[LANE.index()].shared.state().segments.values().next().cloned().unwrap();
    for seed in 0..20 {
        disk.on(None, Faults { full: 1, ..Faults::default() });
        spool.append(LANE, &vec![b'y'; 600 + seed]).unwrap();
        assert!(spool.sync().is_err());
        let there = disk.read(&segment.path, 0, u64::MAX).unwrap();
        assert_eq!(there.len() as u64, segment.bytes, "after {seed} tries");
    }
    disk.on(None, Faults::default());
    spool.sync().unwrap();
    assert_eq!(positions(&spool), (1..=21).collect::<Vec<_>>());
}

#[test]
fn a_reader_beside_the_centre_begins_where_it_first_stood_though_it_was_killed_before_it_took_anything() {
    let disk = Simulated::new(5);
    let open = || Spool::open_on(Arc::new(disk.clone()), Path::new("/spool"), Options::default()).unwrap();
    let mut spool = open();
    for number in 1..=6_u64 {
        spool.append(LANE, &number.to_be_bytes()).unwrap();
        spool.sync().unwrap();
        if number == 2 {
            spool.reader(LANE).commit(Position(2)).unwrap();
            drop(spool.readers_of("syslog"));
        }
    }
    spool.reader(LANE).commit(Position(6)).unwrap();
    disk.crash();
    drop(spool);
    disk.on(None, Faults::default());
    let spool = open();
    let mut readers = spool.readers_of("syslog");
    let lane = &mut readers.lanes()[LANE.index()];
    let waiting = lane.waiting();
    assert_eq!((waiting.watermark, waiting.last, waiting.missed), (Position(2), Position(6), 0));
    assert_eq!(lane.read(Position(3), 9, usize::MAX).unwrap().len(), 4);
}

/// Two records that are settled and kept, one flush behind them that never was, and a third; as what comes next it is linked.
#[test]
fn what_follows_a_segment_that_was_begun_and_no_more_is_linked_to_what_is_settled() {
    let (directory, options) = (TempDir::new().unwrap(), Options { window: Window::default(), ..SMALL });
    let open = || Spool::open(directory.path(), options).unwrap();
    let mut spool = filled(directory.path(), 1..=2);
    spool.reader(LANE).commit(Position(2)).unwrap();
    drop(spool);
    // killed between the file's name and its first byte
    std::fs::write(directory.path().join(LANE.name()).join(Key { first: 3, attempt: 0 }.name()), b"").unwrap();
    spool = open();
    assert_eq!(spool.append(LANE, b"record 3").unwrap(), Position(3));
    spool.sync().unwrap();
    drop(spool);
    let survey = verify(directory.path()).unwrap();
    let lane = &survey.lanes[LANE.index()];
    assert_eq!((lane.kept, lane.waiting, &lane.findings[..]), (2, 1, &[][..]));
    // and when somebody wants them again
    open().tender().rewind(std::time::UNIX_EPOCH).unwrap();
    let found = open();
    assert_eq!((positions(&found), found.recovery().links_broken), (vec![1, 2, 3], 0));
}

/// The version before wrote no links: its last flush, written again, is linked to the record before it as that is read.
#[test]
fn the_last_flush_of_the_version_before_is_written_again_with_a_link() {
    let directory = TempDir::new().unwrap();
    let id = filled(directory.path(), 1..=1).id(LANE);
    let lane = directory.path().join(LANE.name());
    std::fs::remove_file(&segments(directory.path())[0]).unwrap();
    std::fs::remove_file(lane.join(CURSOR)).unwrap();
    for (first, payloads) in [(1, [&b"one"[..], b"two"]), (3, [b"three", b"four"])] {
        let bytes = of_the_version_before(id, first, &payloads);
        std::fs::write(lane.join(Key { first, attempt: 0 }.name()), bytes).unwrap();
    }
    let spool = Spool::open(directory.path(), SMALL).unwrap();
    assert_eq!((positions(&spool), spool.recovery().links_broken), ((1..=4).collect(), 0));
    drop(spool);
    assert_eq!(Spool::open(directory.path(), SMALL).unwrap().recovery().links_broken, 0);
}

#[test]
fn a_cursor_of_another_lane_is_a_lost_one_where_all_segments_agree() {
    let directory = TempDir::new().unwrap();
    let mut spool = filled(directory.path(), 1..=12);
    let id = spool.id(LANE);
    spool.append(Lane::Low, b"another lane's").unwrap();
    spool.sync().unwrap();
    drop(spool);
    let cursor = |lane: Lane| directory.path().join(lane.name()).join(CURSOR);
    std::fs::copy(cursor(Lane::Low), cursor(LANE)).unwrap();
    let survey = verify(directory.path()).unwrap();
    let lane = &survey.lanes[LANE.index()];
    assert_eq!((lane.id, lane.records, lane.findings.len()), (Some(id), 12, 1), "{:?}", lane.findings);
    let spool = Spool::open(directory.path(), SMALL).unwrap();
    assert_eq!((spool.id(LANE), positions(&spool)), (id, (1..=12).collect()));
    assert!(spool.recovery_of(LANE).cursor_lost && spool.recovery_of(LANE).foreign.is_empty());
    drop(spool);
    let spool = Spool::open(directory.path(), SMALL).unwrap();
    assert_eq!((spool.id(LANE), spool.recovery()), (id, &Recovery { waiting: 13, ..Recovery::default() }));
}

#[test]
fn what_says_nothing_of_the_spool_is_a_finding_and_keeps_nobody_from_starting() {
    for name in [FORMAT, GIVEN_UP, LANE.name()] {
        for is_folder in [false, true] {
            let directory = TempDir::new().unwrap();
            drop(filled(directory.path(), 1..=2));
            assert_eq!(verify(directory.path()).unwrap().findings, []);
            let path = directory.path().join(name);
            match name == LANE.name() {
                true => std::fs::remove_dir_all(&path).unwrap(),
                false => std::fs::remove_file(&path).unwrap(),
            }
            match is_folder {
                true if name == LANE.name() => {} // it is missing
                true => std::fs::create_dir(&path).unwrap(),
                false => std::fs::write(&path, [7; 9000]).unwrap(),
            }
            let found = verify(directory.path()).unwrap().findings;
            assert!(found.len() == 1 && found[0].file == path, "{name}: {found:?}");
            let spool = Spool::open(directory.path(), SMALL).unwrap();
            let aside = directory.path().join(format!("{}.damaged-0", LANE.name()));
            let is_aside = name == LANE.name() && !is_folder;
            assert_eq!(spool.recovery().foreign, if is_aside { vec![aside] } else { Vec::new() }, "{name}");
        }
    }
}

/// As a process leaves it that is killed while it writes the last flush again.
#[test]
fn a_flush_that_was_begun_again_and_no_more_is_seen_from_outside_as_it_is() {
    let directory = TempDir::new().unwrap();
    let mut spool = Spool::open(directory.path(), Options::default()).unwrap();
    for number in 1..=5_u64 {
        spool.append(LANE, &number.to_be_bytes()).unwrap();
    }
    spool.sync().unwrap();
    drop(spool);
    let again = Key { first: 1, attempt: 1 };
    std::fs::write(directory.path().join(LANE.name()).join(again.name()), b"").unwrap();
    let seen = super::verify(directory.path()).unwrap();
    let lane = &seen.lanes[LANE.index()];
    assert_eq!((lane.waiting, lane.lost(), &lane.findings[..]), (5, 0, &[][..]));
}

/// As a process leaves it that is killed when it has begun to write the last flush again, which stands behind others in its segment.
#[test]
fn a_flush_that_is_taken_out_of_its_segment_and_not_yet_written_again_waits_where_it_is() {
    let directory = TempDir::new().unwrap();
    let mut spool = Spool::open(directory.path(), Options::default()).unwrap();
    for number in 1..=5_u64 {
        spool.append(LANE, &number.to_be_bytes()).unwrap();
        if number == 3 {
            spool.sync().unwrap();
        }
    }
    spool.sync().unwrap();
    spool.reader(LANE).commit(Position(1)).unwrap();
    std::mem::forget(spool); // killed: nothing is closed in order
    let again = Key { first: 4, attempt: 0 };
    std::fs::write(directory.path().join(LANE.name()).join(again.name()), [0; 4096]).unwrap();
    let seen = super::verify(directory.path()).unwrap();
    let lane = &seen.lanes[LANE.index()];
    assert_eq!((lane.waiting, lane.lost(), lane.torn_bytes, &lane.findings[..]), (4, 0, 0, &[][..]));
}

/// Forty records in several segments, all of them committed and in the window.
fn settled_and_kept(directory: &Path) -> Options {
    let options = Options { window: Window::default(), ..SMALL };
    let mut spool = Spool::open(directory, options).unwrap();
    for number in 1..=40_u64 {
        spool.append(LANE, &number.to_be_bytes()).unwrap();
        spool.sync().unwrap();
    }
    spool.reader(LANE).commit(Position(40)).unwrap();
    options
}

#[test]
fn what_a_crash_brings_back_of_what_was_taken_away_is_no_damage_and_is_not_kept() {
    let directory = TempDir::new().unwrap();
    let options = settled_and_kept(directory.path());
    let files = segments(directory.path());
    assert!(files.len() > 3, "{files:?}");
    let before = verify(directory.path()).unwrap().lanes[LANE.index()].clone();
    std::fs::remove_file(&files[1]).unwrap();
    let lane = verify(directory.path()).unwrap().lanes[LANE.index()].clone();
    assert_eq!(lane.findings, []);
    assert!(lane.brought_back > 0 && lane.kept > 0, "{lane:?}");
    assert!(lane.kept + lane.brought_back < before.kept, "{lane:?}");
    // whoever reads it again begins behind the gap as well
    let spool = Spool::open(directory.path(), options).unwrap();
    assert!(!spool.recovery().is_damaged());
    let rewound = spool.tender().rewind(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(rewound.records[LANE.index()], lane.kept);
}

#[test]
fn what_a_crash_brings_back_without_what_stood_behind_it_is_not_sent_again() {
    let directory = TempDir::new().unwrap();
    let options = settled_and_kept(directory.path());
    std::fs::remove_file(segments(directory.path()).last().unwrap()).unwrap();
    let lane = verify(directory.path()).unwrap().lanes[LANE.index()].clone();
    assert_eq!((lane.kept, &lane.findings[..]), (0, &[][..]));
    let spool = Spool::open(directory.path(), options).unwrap();
    let rewound = spool.tender().rewind(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(rewound.records, [0; 3]);
}

/// As a failed flush, a kill and then power in the middle of the recovery leave it: what was begun again in vain, and behind it what was
/// taken away and has come back.
#[test]
fn what_was_promised_stays_where_it_is_begun_again_in_vain_and_what_failed_behind_it_comes_back() {
    let directory = TempDir::new().unwrap();
    let mut spool = Spool::open(directory.path(), Options::default()).unwrap();
    spool.append(LANE, b"one").unwrap();
    spool.append(LANE, b"two").unwrap();
    spool.sync().unwrap();
    let layout = Layout::of(spool.id(LANE));
    spool.logs.iter_mut().for_each(Log::leave); // killed: nothing is closed in order
    drop(spool);
    let lane = directory.path().join(LANE.name());
    std::fs::write(lane.join(Key { first: 1, attempt: 1 }.name()), b"").unwrap();
    let mut torn = vec![0; HEADER_BYTES + 300];
    let flush = Flush { first: 3, behind_doubt: false };
    layout.write_frame(&mut torn, Written { sequence: 5, flush, time: 0, link: 7 }, b"five");
    std::fs::write(lane.join(Key { first: 3, attempt: 0 }.name()), torn).unwrap();
    let seen = verify(directory.path()).unwrap().lanes[LANE.index()].clone();
    assert_eq!((seen.waiting, &seen.findings[..]), (3, &[][..]));
    for _ in 0..2 {
        let spool = Spool::open(directory.path(), Options::default()).unwrap();
        assert!(!spool.recovery().is_damaged(), "{:?}", spool.recovery());
        let found: Vec<(u64, Vec<u8>)> = [(1, "one"), (2, "two"), (5, "five")].map(|(at, it)| (at, it.into())).into();
        assert_eq!(all(&spool), found);
    }
    assert_eq!(verify(directory.path()).unwrap().lanes[LANE.index()].findings, []);
}
