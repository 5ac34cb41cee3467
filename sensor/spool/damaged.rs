//! A real segment of a mebibyte, cut at every offset and with every byte flipped.
//!
//! Two readings share the work. The one of records alone sees *every* damage, in the records around it: what lies further away is
//! read as before, by the same loop. The whole way, a look from outside and then an opening, sees every so many of them:
//! `HAETAE_DAMAGE_STRIDE` says how many, 16 381 without it. Strides are prime, so that they
//! fall on every part of a record.

use std::path::PathBuf;

use tempfile::TempDir;

use super::segment::{Frame, HEADER_BYTES, Layout};
use super::*;

const LANE: Lane = Lane::Normal;

/// Every so many bytes the record reading flips one, where nobody asks for all of them.
const FLIPS_STRIDE: usize = 61;

/// A segment that is full, in a spool that was closed in order.
struct Scene {
    folder: TempDir,
    segment: PathBuf,
    sound: Vec<u8>,
    layout: Layout,
    /// Where each record begins and ends.
    records: Vec<(usize, usize)>,
}

impl Scene {
    fn new() -> Scene {
        let folder = TempDir::new().unwrap();
        let mut spool = Spool::open(folder.path(), Options::default()).unwrap();
        let mut bytes = HEADER_BYTES;
        for number in 0_usize.. {
            let payload: Vec<u8> = (0..300 + number * 37 % 400).map(|at| (at * 31 + number * 7) as u8).collect();
            bytes += Log::bytes_of(&payload);
            if bytes > SEGMENT_BYTES_MAX as usize {
                break;
            }
            spool.append(LANE, &payload).unwrap();
            if number % 10 == 9 {
                spool.sync().unwrap();
            }
        }
        spool.sync().unwrap();
        let layout = Layout::of(spool.id(LANE));
        drop(spool);
        let segment = folder.path().join(LANE.name()).join(shared::Key { first: 1, attempt: 0 }.name());
        let sound = std::fs::read(&segment).unwrap();
        assert!(sound.len() > SEGMENT_BYTES_MAX as usize - 1000, "{} bytes", sound.len());
        let records = layout.frames(&sound, HEADER_BYTES, 0).map(|frame| (frame.start, frame.end)).collect();
        Scene { folder, segment, sound, layout, records }
    }

    /// How many records end at or before that offset.
    fn whole(&self, cut: usize) -> u64 {
        self.records.partition_point(|(_, end)| *end <= cut) as u64
    }

    /// Which record has that byte; `None`: the header.
    fn record(&self, at: usize) -> Option<usize> {
        (at >= HEADER_BYTES).then(|| self.records.partition_point(|(_, end)| *end <= at))
    }

    /// From outside, then opened; the spool is as before when it returns.
    fn read(&self, damaged: &[u8]) -> (Survey, Recovery) {
        let cursor = self.folder.path().join(LANE.name()).join(CURSOR);
        let before = std::fs::read(&cursor).unwrap();
        std::fs::write(&self.segment, damaged).unwrap();
        let survey = verify(self.folder.path()).unwrap();
        let recovery = Spool::open(self.folder.path(), Options::default()).unwrap().recovery().clone();
        std::fs::write(&self.segment, &self.sound).unwrap();
        std::fs::write(&cursor, before).unwrap();
        (survey, recovery)
    }
}

fn stride() -> usize {
    std::env::var("HAETAE_DAMAGE_STRIDE").map_or(16_381, |text| text.parse().expect("a number of bytes"))
}

fn is_whole() -> bool {
    std::env::var("HAETAE_DAMAGE_STRIDE").is_ok()
}

#[test]
fn a_mebibyte_cut_at_every_offset_loses_what_is_cut_and_nothing_else() {
    let scene = Scene::new();
    let all = scene.records.len() as u64;
    // what is left of the record that was cut is none, wherever it was cut
    for (at, (start, end)) in scene.records.iter().enumerate() {
        for cut in *start..*end {
            let rest = scene.layout.next_frame(&scene.sound[..cut], *start, at as u64);
            assert_eq!(rest, None, "cut at {cut}");
        }
    }
    let mut cuts = 0;
    for cut in (0..scene.sound.len()).rev().step_by(stride()) {
        let (survey, recovery) = scene.read(&scene.sound[..cut]);
        let (lane, whole) = (&survey.lanes[LANE.index()], scene.whole(cut));
        assert_eq!((lane.records, lane.lost()), (whole, all - whole), "cut at {cut}: {:?}", lane.findings);
        assert_eq!((recovery.waiting, recovery.lost), (whole, all - whole), "cut at {cut}: {recovery:?}");
        cuts += 1;
    }
    println!("{all} records in {} bytes: each cut read record by record, {cuts} the whole way", scene.sound.len());
}

#[test]
fn a_mebibyte_with_any_byte_flipped_loses_that_record_and_nothing_else() {
    let scene = Scene::new();
    let all = scene.records.len() as u64;
    let mut damaged = scene.sound.clone();
    let step = if is_whole() { 1 } else { FLIPS_STRIDE };
    // the record is none any more, and the one behind it is found where it is
    for at in (HEADER_BYTES..damaged.len()).step_by(step) {
        let number = scene.record(at).expect("behind the header");
        let (start, _) = scene.records[number];
        damaged[at] ^= 0x41;
        let until = scene.records.get(number + 1).map_or(damaged.len(), |(_, end)| *end);
        let next = scene.layout.next_frame(&damaged[..until], start, number as u64);
        let found = next.map(|Frame { start, end, sequence, .. }| ((start, end), sequence));
        let expected = scene.records.get(number + 1).map(|place| (*place, number as u64 + 2));
        assert_eq!(found, expected, "byte {at}");
        damaged[at] ^= 0x41;
    }
    let mut flips = 0;
    for at in (0..damaged.len()).rev().step_by(stride()) {
        damaged[at] ^= 0x41;
        let (survey, recovery) = scene.read(&damaged);
        let (lane, lost) = (&survey.lanes[LANE.index()], u64::from(scene.record(at).is_some()));
        assert_eq!((lane.findings.len(), lane.lost()), (1, lost), "byte {at}: {:?}", lane.findings);
        let place = scene.record(at).map_or(0, |number| scene.records[number].0 as u64);
        assert_eq!((&lane.findings[0].file, lane.findings[0].offset), (&scene.segment, place), "byte {at}");
        assert_eq!((recovery.waiting, recovery.lost), (all - lost, lost), "byte {at}: {recovery:?}");
        assert_eq!(recovery.headers_damaged, 1 - lost, "byte {at}");
        damaged[at] ^= 0x41;
        flips += 1;
    }
    println!(
        "{all} records in {} bytes: one in {step} flips read record by record, {flips} the whole way",
        damaged.len()
    );
}
