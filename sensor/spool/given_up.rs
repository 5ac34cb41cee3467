//! What was given up: sequences of each lane, so that recovery does not take them for lost, and numbers that nobody was told yet.
//! They are in a file of two places, as a cursor is, and survive a crash.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::shared::Segment;
use super::{GIVEN_UP, Lane, Range, SpoolId, Storage, storage};
use crate::limits::SHED_RANGES_MAX;

const MAGIC: [u8; 8] = *b"haetaeG1";

/// From one place to the other.
const PLACE_BYTES: usize = 4096;

/// Numbers before the ranges: generation, summaries, when the last one was made, what nobody was told, whether some are told, these.
const NUMBERS: usize = 4 + 2 * SHED_NUMBERS;

/// Numbers of a [`Shed`].
const SHED_NUMBERS: usize = 6;

/// Bytes of what is written at a place.
const WRITTEN_BYTES: usize = 8 + 8 * (NUMBERS + 3 * (1 + 2 * SHED_RANGES_MAX)) + 4;

const _: () = assert!(WRITTEN_BYTES <= PLACE_BYTES, "a place takes what is written there");

/// Why records were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The spool's size cap.
    Space,
    /// The disk is full or fails, and memory for what waits has its bound.
    Disk,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 2] = [Cause::Space, Cause::Disk];

    /// Its word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Space => "space",
            Cause::Disk => "disk",
        }
    }
}

/// Records given up since the spool was opened, by lane and cause.
#[derive(Debug, Default)]
pub struct ShedCounts([[AtomicU64; 2]; 3]);

impl ShedCounts {
    /// Of that lane, for that cause.
    pub fn of(&self, lane: Lane, cause: Cause) -> u64 {
        self.0[lane.index()][cause as usize].load(Ordering::Acquire)
    }

    /// All.
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().map(|count| count.load(Ordering::Acquire)).sum()
    }

    fn add(&self, lane: Lane, cause: Cause, records: u64) {
        self.0[lane.index()][cause as usize].fetch_add(records, Ordering::AcqRel);
    }
}

/// What was given up in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    /// By lane.
    pub records: [u64; 3],
    /// Of their lanes' files.
    pub bytes: u64,
    /// When the first of them was appended, in milliseconds since 1970.
    pub first: u64,
    /// And the last.
    pub last: u64,
}

impl Shed {
    fn is_empty(&self) -> bool {
        self.records == [0; 3]
    }

    fn add(&mut self, lane: Lane, (records, bytes): (u64, u64), (first, last): (u64, u64)) {
        self.first = if self.is_empty() { first } else { self.first.min(first) };
        self.last = self.last.max(last);
        self.records[lane.index()] += records;
        self.bytes += bytes;
    }

    fn numbers(&self) -> [u64; SHED_NUMBERS] {
        let [critical, normal, low] = self.records;
        [critical, normal, low, self.bytes, self.first, self.last]
    }

    fn of(numbers: [u64; SHED_NUMBERS]) -> Shed {
        let [critical, normal, low, bytes, first, last] = numbers;
        Shed { records: [critical, normal, low], bytes, first, last }
    }
}

/// What is told of it; the same number of the same spool always says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The spool of the critical lane, where it is told.
    pub spool: SpoolId,
    /// Counts from 1.
    pub number: u64,
    /// When it was made, in milliseconds since 1970.
    pub time: u64,
    /// What was given up since the one before.
    pub shed: Shed,
}

/// How soon something has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hurry {
    /// Before anything else is done.
    Now,
    /// With the next flush; only numbers are at stake.
    None,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    generation: u64,
    /// Where it is written next; `None`: there is no file.
    next: Option<bool>,
    /// Summaries made so far.
    number: u64,
    /// When the last one was.
    time: u64,
    untold: Shed,
    telling: Option<Shed>,
    ranges: [Vec<Range>; 3],
    counts: Arc<ShedCounts>,
    is_written: bool,
}

impl GivenUp {
    /// What the spool's directory says. A file that cannot be read is none: what it knew is counted as lost, not as given up.
    pub(super) fn open(storage: &dyn Storage, directory: &Path) -> GivenUp {
        let bytes = storage.read(&directory.join(GIVEN_UP), 0, 2 * PLACE_BYTES as u64).unwrap_or_default();
        let at = |place: bool| {
            let from = if place { PLACE_BYTES } else { 0 };
            let read = GivenUp::decode(bytes.get(from..from + WRITTEN_BYTES)?)?;
            Some(GivenUp { next: Some(!place), is_written: true, ..read })
        };
        let found = [at(false), at(true)].into_iter().flatten().max_by_key(|one| one.generation);
        // a file of nothing but its two places was made ahead: a full disk has no room for another
        let next = (bytes.len() == 2 * PLACE_BYTES).then_some(false);
        found.unwrap_or(GivenUp { next, is_written: true, ..GivenUp::default() })
    }

    /// Whether the file holds: at one place at least is what was written there, or nothing yet.
    pub(super) fn is_whole(storage: &dyn Storage, directory: &Path) -> bool {
        let bytes = storage.read(&directory.join(GIVEN_UP), 0, 2 * PLACE_BYTES as u64 + 1).unwrap_or_default();
        let holds = |place: &[u8]| GivenUp::decode(&place[..WRITTEN_BYTES]).is_some();
        let is_unused = |place: &[u8]| place.iter().all(|byte| *byte == 0);
        bytes.len() == 2 * PLACE_BYTES && bytes.chunks(PLACE_BYTES).any(|place| is_unused(place) || holds(place))
    }

    pub(super) fn counts(&self) -> Arc<ShedCounts> {
        Arc::clone(&self.counts)
    }

    /// What was given up of a lane, in order.
    pub(super) fn ranges(&self, lane: Lane) -> &[Range] {
        &self.ranges[lane.index()]
    }

    /// By lane, what nobody was told yet.
    pub(super) fn untold(&self) -> [u64; 3] {
        let told = self.telling.unwrap_or_default();
        std::array::from_fn(|lane| self.untold.records[lane] + told.records[lane])
    }

    /// A segment goes.
    pub(super) fn shed(&mut self, lane: Lane, range: Range, (records, of): (u64, &Segment), cause: Cause) {
        let ranges = &mut self.ranges[lane.index()];
        match ranges.last_mut() {
            Some(last) if last.through >= range.after => last.through = range.through,
            _ => ranges.push(range),
        }
        if ranges.len() > SHED_RANGES_MAX {
            ranges.remove(0);
        }
        self.untold.add(lane, (records, of.disk), (of.oldest, of.newest));
        self.counts.add(lane, cause, records);
        self.is_written = false;
    }

    /// It could not be written down, and so it does not go.
    pub(super) fn take_back(&mut self, lane: Lane, range: Range, (records, of): (u64, &Segment), cause: Cause) {
        let ranges = &mut self.ranges[lane.index()];
        if let Some(last) = ranges.last_mut() {
            last.through = range.after;
        }
        ranges.retain(|range| range.through > range.after);
        self.untold.records[lane.index()] = self.untold.records[lane.index()].saturating_sub(records);
        self.untold.bytes = self.untold.bytes.saturating_sub(of.disk);
        self.counts.0[lane.index()][cause as usize].fetch_sub(records, Ordering::AcqRel);
    }

    /// A record was not taken.
    pub(super) fn refuse(&mut self, lane: Lane, bytes: u64, now: u64, cause: Cause) {
        self.untold.add(lane, (1, bytes), (now, now));
        self.counts.add(lane, cause, 1);
        self.is_written = false;
    }

    /// Nothing before that sequence is there any more.
    pub(super) fn forget(&mut self, lane: Lane, before: u64) {
        self.ranges[lane.index()].retain(|range| range.through >= before);
    }

    /// Whether something is to be told: what was begun, or what has gathered for long enough.
    pub(super) fn is_due(&self, now: u64, every: Duration) -> bool {
        let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        // a clock that was set back keeps nobody waiting
        let rested = now.checked_sub(self.time).is_none_or(|since| since >= every);
        self.telling.is_some() || !self.untold.is_empty() && rested
    }

    /// What is told now.
    pub(super) fn begin(&mut self, spool: SpoolId, now: u64) -> Option<Summary> {
        if self.telling.is_none() {
            self.telling = Some(std::mem::take(&mut self.untold)).filter(|shed| !shed.is_empty());
            (self.number, self.time) = (self.number + 1, now);
            self.is_written = false;
        }
        self.telling.map(|shed| Summary { spool, number: self.number, time: self.time, shed })
    }

    /// It was told.
    pub(super) fn end(&mut self) {
        self.telling = None;
        self.is_written = false;
    }

    /// Writes it down, if there is something new; whether what is there holds.
    pub(super) fn keep(&mut self, storage: &dyn Storage, directory: &Path, hurry: Hurry) -> bool {
        if self.is_written {
            return true;
        }
        self.generation += 1;
        let (path, bytes) = (directory.join(GIVEN_UP), self.encode());
        let written = match self.next {
            Some(place) => {
                let at = if place { PLACE_BYTES as u64 } else { 0 };
                storage.overwrite(&path, at, &bytes).map(|()| !place)
            }
            None => {
                let mut file = vec![0; 2 * PLACE_BYTES];
                file[..bytes.len()].copy_from_slice(&bytes);
                storage::replace(storage, &path, &file).map(|()| true)
            }
        };
        if let Ok(next) = written {
            (self.next, self.is_written) = (Some(next), true);
        }
        self.is_written || hurry == Hurry::None
    }

    fn encode(&self) -> Vec<u8> {
        let told = self.telling.unwrap_or_default();
        let mut numbers = vec![self.generation, self.number, self.time];
        numbers.extend(self.untold.numbers());
        numbers.push(u64::from(self.telling.is_some()));
        numbers.extend(told.numbers());
        for ranges in &self.ranges {
            numbers.push(ranges.len() as u64);
            numbers.extend(ranges.iter().flat_map(|range| [range.after, range.through]));
            numbers.resize(numbers.len() + 2 * (SHED_RANGES_MAX - ranges.len()), 0);
        }
        let mut out = MAGIC.to_vec();
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<GivenUp> {
        let (body, sum) = bytes.split_at_checked(WRITTEN_BYTES - 4)?;
        if body[..8] != MAGIC || crc32fast::hash(body).to_le_bytes() != *sum {
            return None;
        }
        let mut numbers = body[8..].chunks_exact(8).map(|eight| eight.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || numbers.next().unwrap_or_default();
        let (generation, number, time) = (next(), next(), next());
        let untold = Shed::of([(); SHED_NUMBERS].map(|()| next()));
        let is_telling = next() == 1;
        let telling = Some(Shed::of([(); SHED_NUMBERS].map(|()| next()))).filter(|_| is_telling);
        let ranges = [(); 3].map(|()| {
            let count = next().min(SHED_RANGES_MAX as u64) as usize;
            let all = [(); SHED_RANGES_MAX].map(|()| Range { after: next(), through: next() });
            all[..count].to_vec()
        });
        Some(GivenUp { generation, number, time, untold, telling, ranges, ..GivenUp::default() })
    }
}

/// The file is there before it is needed: a full disk has no room for a new one.
pub(super) fn make_file(storage: &dyn Storage, directory: &Path) -> io::Result<()> {
    let path = directory.join(GIVEN_UP);
    match storage.read(&path, 0, 1) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            storage::replace(storage, &path, &vec![0; 2 * PLACE_BYTES])
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_reads_back_and_any_flipped_byte_shows() {
        let mut one = GivenUp { generation: 7, number: 3, time: 9, ..GivenUp::default() };
        one.ranges[2] = vec![Range { after: 4, through: 9 }, Range { after: 11, through: 12 }];
        one.untold.add(Lane::Low, (5, 100), (1, 2));
        one.telling = Some(Shed { records: [1, 2, 3], bytes: 4, first: 5, last: 6 });
        let bytes = one.encode();
        assert_eq!(bytes.len(), WRITTEN_BYTES);
        let read = GivenUp::decode(&bytes).unwrap();
        assert_eq!((&read.ranges, read.untold, read.telling), (&one.ranges, one.untold, one.telling));
        assert_eq!((read.generation, read.number, read.time), (7, 3, 9));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(GivenUp::decode(&flipped).is_none(), "byte {at}");
        }
    }
}
