//! The spool against kills, power cuts, full and failing disks, and every single flipped or missing byte.

use std::path::PathBuf;

use tempfile::TempDir;

use super::simulated::{Faults, Simulated};
use super::*;

const SMALL: Options = Options { bytes_max: 1 << 20, segment_bytes_max: 128 };

fn all(spool: &Spool) -> Vec<(u64, Vec<u8>)> {
    let mut reader = spool.reader();
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
        assert_eq!(spool.append(format!("record {number}").as_bytes()).unwrap(), Position(number));
        spool.sync().unwrap();
    }
    spool
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "segment")).collect();
    found.sort();
    found
}

#[test]
fn what_was_synced_is_there_after_reopening() {
    let directory = TempDir::new().unwrap();
    let id = filled(directory.path(), 1..=9).id();
    let spool = filled(directory.path(), 10..=12);
    assert_eq!(spool.id(), id);
    assert_eq!(positions(&spool), (1..=12).collect::<Vec<_>>());
    assert_eq!(spool.recovery(), &Recovery { waiting: 9, ..Recovery::default() });
}

#[test]
fn what_was_not_synced_is_neither_read_nor_kept() {
    let directory = TempDir::new().unwrap();
    let mut spool = filled(directory.path(), 1..=2);
    spool.append(b"never synced").unwrap();
    assert_eq!(positions(&spool), [1, 2]);
    drop(spool);
    assert_eq!(positions(&filled(directory.path(), 3..=3)), [1, 2, 3]);
}

#[test]
fn a_commit_survives_and_deletes_whole_segments() {
    let directory = TempDir::new().unwrap();
    let spool = filled(directory.path(), 1..=20);
    let before = segments(directory.path()).len();
    spool.reader().commit(Position(13)).unwrap();
    assert!(segments(directory.path()).len() < before);
    assert_eq!(positions(&spool), (14..=20).collect::<Vec<_>>());
    drop(spool);
    let spool = Spool::open(directory.path(), SMALL).unwrap();
    assert_eq!(positions(&spool), (14..=20).collect::<Vec<_>>());
    assert_eq!(spool.recovery().lost, 0);
    assert!(spool.reader().commit(Position(21)).is_err(), "a watermark behind the last record is refused");
    spool.reader().commit(Position(20)).unwrap();
    drop(spool);
    let mut spool = Spool::open(directory.path(), SMALL).unwrap();
    assert_eq!(spool.append(b"x").unwrap(), Position(21), "an empty spool does not begin anew");
}

#[test]
fn reading_stops_at_records_and_bytes_and_goes_on_there() {
    let directory = TempDir::new().unwrap();
    let spool = filled(directory.path(), 1..=12);
    let mut reader = spool.reader();
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
    let mut spool = Spool::open(directory.path(), Options { bytes_max: 200, segment_bytes_max: 1000 }).unwrap();
    let mut taken = 0;
    while spool.append(b"0123456789").is_ok() {
        spool.sync().unwrap();
        taken += 1;
    }
    assert!(matches!(spool.append(b"0123456789"), Err(NotTaken::Full)));
    assert_eq!(positions(&spool), (1..=taken).collect::<Vec<_>>());
    spool.reader().commit(Position(taken)).unwrap();
    assert_eq!(spool.append(b"0123456789").unwrap(), Position(taken + 1), "a settled spool has room again");
    assert!(spool.reader().waiting().bytes <= 200);
}

#[test]
fn a_record_that_is_too_long_is_refused_and_a_writer_that_never_syncs_is_flushed() {
    let directory = TempDir::new().unwrap();
    let mut spool = Spool::open(directory.path(), Options::default()).unwrap();
    assert!(matches!(spool.append(&vec![0; RECORD_BYTES_MAX + 1]), Err(NotTaken::TooLong)));
    for _ in 0..8 {
        spool.append(&vec![b'x'; RECORD_BYTES_MAX]).unwrap();
    }
    assert!(spool.pending.len() <= PENDING_BYTES_MAX);
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
    let stranger = directory.path().join(segments(other.path())[1].file_name().unwrap());
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
    let original = TempDir::new().unwrap();
    drop(filled(original.path(), 1..=3));
    let bytes = std::fs::read(&segments(original.path())[0]).unwrap();
    for at in 0..bytes.len() {
        let directory = TempDir::new().unwrap();
        drop(filled(directory.path(), 1..=3));
        let mut flipped = bytes.clone();
        let path = &segments(directory.path())[0];
        flipped[12..20].copy_from_slice(&std::fs::read(path).unwrap()[12..20]);
        let header = Header { spool: SpoolId(flipped[12..20].try_into().unwrap()), first: 1 }.encode();
        flipped[..HEADER_BYTES].copy_from_slice(&header);
        flipped[at] ^= 0x41;
        std::fs::write(path, &flipped).unwrap();
        let spool = Spool::open(directory.path(), SMALL).unwrap();
        let found = spool.recovery();
        assert!(found.lost + found.torn_bytes + found.headers_damaged > 0, "byte {at} went unnoticed");
        assert!(positions(&spool).len() >= if at < HEADER_BYTES { 3 } else { 2 }, "byte {at}");
    }
}

#[test]
fn cut_at_every_offset_only_what_is_cut_is_missing() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path(), 1..=3));
    let path = &segments(directory.path())[0];
    let bytes = std::fs::read(path).unwrap();
    for cut in (0..bytes.len()).rev() {
        std::fs::write(path, &bytes[..cut]).unwrap();
        let mut spool = Spool::open(directory.path(), SMALL).unwrap();
        let whole = cut.saturating_sub(HEADER_BYTES) / (FRAME_BYTES + 8);
        assert_eq!(positions(&spool).len(), whole, "cut at {cut}");
        assert_eq!(spool.append(b"next").unwrap(), Position(whole as u64 + 1));
    }
}

#[test]
fn a_missing_segment_and_a_damaged_cursor_cost_no_more_than_themselves() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path(), 1..=12));
    std::fs::remove_file(&segments(directory.path())[1]).unwrap();
    std::fs::write(directory.path().join(CURSOR), "not a cursor").unwrap();
    let spool = Spool::open(directory.path(), SMALL).unwrap();
    assert!(spool.recovery().cursor_lost);
    assert_eq!(spool.recovery().lost + positions(&spool).len() as u64, 12);
}

#[test]
fn a_full_disk_without_a_cursor_is_emptied_all_the_same() {
    let (disk, directory) = (Simulated::new(1), Path::new("/spool"));
    let open = || Spool::open_on(Arc::new(disk.clone()), directory, SMALL).unwrap();
    drop(written(open(), 12));
    disk.remove(&directory.join(CURSOR)).unwrap();
    disk.on(None, Faults { full: 1, sync: 0 });
    let (spool, before) = (open(), disk.names().len());
    let refused = spool.reader().commit(Position(10)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert!(disk.names().len() < before, "room was made all the same");
    disk.on(None, Faults::default());
    spool.reader().commit(Position(10)).unwrap();
    drop(spool);
    let spool = open();
    assert_eq!((positions(&spool), spool.recovery().lost), (vec![11, 12], 0));
}

fn written(mut spool: Spool, records: u64) -> Spool {
    for number in 1..=records {
        spool.append(format!("record {number}").as_bytes()).unwrap();
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
    disk.on(None, Faults { full: 1, sync: 0 });
    spool.reader().commit(Position(10)).unwrap();
    assert!(disk.names().len() < before, "the cursor has its room, and its segments make more");
    assert!(spool.append(b"13").is_ok() && spool.sync().is_err(), "it is full");
    disk.on(None, Faults::default());
    drop(spool);
    let spool = open();
    assert_eq!((positions(&spool), spool.recovery().lost), (vec![11, 12], 0));
}
