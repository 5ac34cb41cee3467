//! Recovery of a spool from a damaged segment: what can be read is read, what cannot is counted, and a second opening finds
//! what the first one left.

use std::fs;
use std::path::Path;

use haetae::spool::{Lane, Options, Recovery, Spool};

use super::Allowed;

/// A record is twenty bytes and its payload.
const RECORDS: Allowed = Allowed { per_byte: 1, at_least: 0 };

/// Records read at a time.
const RECORDS_AT_ONCE: usize = 8;

/// The bytes of the first segment.
pub fn recovered(input: &[u8]) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("cursor"), cursor()).expect("a cursor");
    fs::write(folder.path().join(SEGMENT), input).expect("a segment");
    let (first, records) = opened(folder.path());
    RECORDS.hold("records", records.len(), input.len());
    let bytes: usize = records.iter().map(|(_, payload)| payload.len()).sum();
    RECORDS.hold("bytes of records", bytes + first.torn_bytes as usize, input.len());
    assert_eq!(first.waiting, records.len() as u64, "what waits can be read, and nothing else");
    assert!(records.windows(2).all(|pair| pair[0].0 < pair[1].0), "positions rise");
    let (second, again) = opened(folder.path());
    assert!(records == again, "a second opening reads something else");
    assert_eq!((second.waiting, second.lost, second.torn_bytes), (first.waiting, first.lost, 0), "and counts it alike");
    records.len()
}

type Records = Vec<(u64, Vec<u8>)>;

fn opened(folder: &Path) -> (Recovery, Records) {
    let spool = Spool::open(folder, Options::default()).expect("damage is no error");
    let (mut reader, mut records, mut from) = (spool.reader(Lane::Normal), Records::new(), haetae::spool::Position(1));
    loop {
        let read = reader.read(from, RECORDS_AT_ONCE, 1 << 16).expect("a segment");
        let Some(last) = read.last().map(|record| record.position) else { break };
        from = last.next();
        records.extend(read.into_iter().map(|record| (record.position.0, record.payload)));
    }
    (spool.recovery().clone(), records)
}

/// The first segment's name.
const SEGMENT: &str = "00000000000000000001-0000.segment";

/// The cursor of the spool that the seeds are from: nothing committed yet.
fn cursor() -> Vec<u8> {
    let mut out = b"haetaeCUfuzzseed".to_vec();
    out.extend_from_slice(&0_u64.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    // two places, of which the second was never written
    out.resize(8192, 0);
    out
}
