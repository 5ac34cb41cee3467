//! Who tends the spool beside its writer: fills files with zeroes before they are used, so that a flush changes nothing but bytes
//! that the disk has already; takes away what the replay window does not keep any more; sets watermarks back for a replay.
//!
//! Never here: a record written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use super::reader::{self, write_cursor};
use super::shared::{Key, Segment, Shared, milliseconds, moment};
use super::{Lane, Options, Position, Range, Storage};
use crate::limits::{SPARES_OF_A_LANE, SPOOL_TEND_TIME};

/// See the head of this file.
#[derive(Clone)]
pub struct Tender {
    lanes: Vec<Arc<Shared>>,
    storage: Arc<dyn Storage>,
    options: Options,
}

/// What is sent again, by lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewound {
    /// Records that were settled and wait again.
    pub records: [u64; 3],
    /// Where what is kept begins, if it may not reach back so far.
    pub short: [Option<Short>; 3],
}

/// What is kept of a lane may not reach back as far as somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// The last record that is not kept any more.
    pub through: Position,
    /// When the first one was appended that is; `None`: there is none, or it does not say.
    pub from: Option<SystemTime>,
}

/// What a lane has of some time.
#[derive(Debug, Default)]
struct Kept {
    /// Its first sequence.
    first: Option<u64>,
    /// Behind it, what is not there: given up, or damage.
    gaps: Vec<Range>,
    short: Option<Short>,
}

impl Kept {
    /// One segment more, before the one that begins with `next`.
    fn take(&mut self, first: u64, next: Option<u64>, sequences: impl Iterator<Item = u64>) {
        let mut reached = first - 1;
        let mut pass = |sequence: u64| {
            let gap = Range { after: reached, through: sequence - 1 };
            self.gaps.extend((gap.through > gap.after).then_some(gap));
            reached = sequence;
        };
        sequences.chain(next).for_each(&mut pass);
        self.first = Some(first);
    }

    /// How many of those are there.
    fn records(&self, of: Range) -> u64 {
        let overlap = |gap: &Range| gap.through.min(of.through).saturating_sub(gap.after.max(of.after));
        of.through.saturating_sub(of.after).saturating_sub(self.gaps.iter().map(overlap).sum())
    }
}

/// Nothing up to there is kept; `None`: there never was anything.
fn none_kept(through: u64) -> Option<Short> {
    (through > 0).then_some(Short { through: Position(through), from: None })
}

impl Tender {
    pub(super) fn new(lanes: Vec<Arc<Shared>>, storage: Arc<dyn Storage>, options: Options) -> Tender {
        Tender { lanes, storage, options }
    }

    /// Tends until told to stop; it is looked for that often, and what else there is to do is done in between.
    pub fn run(&self, stop: &AtomicBool, mut besides: impl FnMut(&Tender)) {
        while !stop.load(Ordering::Acquire) {
            besides(self);
            // a disk that refuses is asked again later
            if !self.tend().unwrap_or(false) {
                std::thread::sleep(SPOOL_TEND_TIME);
            }
        }
    }

    /// Takes away what is over, and fills one file, the most urgent lane's first; whether there was one to be filled.
    ///
    /// # Errors
    /// What the disk says.
    pub fn tend(&self) -> io::Result<bool> {
        for shared in &self.lanes {
            reader::remove(self.storage.as_ref(), &shared.retire(self.storage.now()));
        }
        for (lane, shared) in Lane::ALL.into_iter().zip(&self.lanes) {
            if shared.state().spares.len() < self.spares(lane) && self.has_room(shared) {
                return self.fill(shared).map(|()| true);
            }
        }
        Ok(false)
    }

    /// What is critical has a real reserve: the tenth of the cap that is its own lies ready for it on the disk.
    fn spares(&self, lane: Lane) -> usize {
        let reserve = (self.options.bytes_max / 10).div_ceil(self.options.segment_bytes_max);
        if lane == Lane::Critical { (reserve as usize).max(SPARES_OF_A_LANE) } else { SPARES_OF_A_LANE }
    }

    fn has_room(&self, shared: &Shared) -> bool {
        let (used, spare) = (shared.room.used.load(Ordering::Acquire), shared.room.spare.load(Ordering::Acquire));
        used + spare + self.options.segment_bytes_max <= self.options.bytes_max
    }

    fn fill(&self, shared: &Shared) -> io::Result<()> {
        let (storage, directory) = (self.storage.as_ref(), &shared.directory);
        let (new, spare) = self.free_name(directory)?;
        let mut file = storage.create(&new)?;
        let zeroes = vec![0; self.options.segment_bytes_max as usize];
        let filled = file.append(&zeroes).and_then(|()| file.sync());
        if let Err(error) = filled.and_then(|()| storage.rename(&new, &spare)) {
            let _ = storage.remove(&new);
            return Err(error);
        }
        shared.room.spare.fetch_add(self.options.segment_bytes_max, Ordering::AcqRel);
        shared.state().spares.push_back(spare);
        Ok(())
    }

    fn free_name(&self, directory: &Path) -> io::Result<(std::path::PathBuf, std::path::PathBuf)> {
        let taken: Vec<_> = self.storage.list(directory)?.into_iter().map(|entry| entry.path).collect();
        let names = (0..taken.len() + 1).map(|number| {
            let name = directory.join(format!("{number:04}"));
            (name.with_extension("new"), name.with_extension("spare"))
        });
        let mut free = names.filter(|(new, spare)| !taken.contains(new) && !taken.contains(spare));
        free.next().ok_or_else(|| io::ErrorKind::AlreadyExists.into())
    }

    /// What the centre has committed and was appended since then is sent again, under the same identities. Durable when it returns.
    ///
    /// # Errors
    /// What the disk says; lanes that were set back stay so.
    pub fn rewind(&self, since: SystemTime) -> io::Result<Rewound> {
        let mut rewound = Rewound::default();
        for (lane, shared) in Lane::ALL.into_iter().zip(&self.lanes) {
            let mut kept = self.kept_since(shared, milliseconds(since));
            let records = self.rewind_lane(shared, &mut kept);
            rewound.short[lane.index()] = kept.short;
            rewound.records[lane.index()] = records?;
        }
        Ok(rewound)
    }

    fn rewind_lane(&self, shared: &Shared, kept: &mut Kept) -> io::Result<u64> {
        let before = {
            let mut state = shared.state();
            // while it was read the oldest may have gone, for want of room
            let oldest =
                state.segments.iter().next().map(|(key, segment)| (key.first.saturating_sub(1), segment.oldest));
            if let (Some(first), Some((through, from))) = (kept.first, oldest)
                && first <= through
            {
                kept.first = Some(through + 1);
                kept.short = Some(Short { through: Position(through), from: Some(moment(from)) });
            }
            let to = kept.first.filter(|_| oldest.is_some()).map(|first| first - 1).filter(|to| *to < state.watermark);
            let Some(to) = to else { return Ok(0) };
            let before = std::mem::replace(&mut state.watermark, to);
            state.written = state.written.min(to);
            state.rewinds += 1;
            state.marks.clear();
            let watermark = state.watermark;
            state.settle(watermark);
            before
        };
        let to = shared.state().watermark;
        write_cursor(self.storage.as_ref(), shared, to)?;
        shared.recount();
        shared.room.tell();
        let records = kept.records(Range { after: to, through: before });
        shared.state().rewound += records;
        Ok(records)
    }

    /// What is there of what was appended then or later, without a gap up to the last one: of what a crash has brought back from
    /// behind a gap nothing is sent again.
    fn kept_since(&self, shared: &Shared, since: u64) -> Kept {
        let (segments, shed, watermark): (Vec<(Key, Segment)>, _, _) = {
            let state = shared.state();
            let all = state.segments.iter().rev().map(|(key, segment)| (*key, segment.clone()));
            (all.collect(), state.shed.clone(), state.watermark)
        };
        // of a lane that has nothing any more nobody can tell when it was
        let mut kept = Kept { short: none_kept(watermark), ..Kept::default() };
        let mut from: Option<u64> = None;
        let is_all_settled = segments.first().is_none_or(|(_, last)| last.last <= watermark);
        for (key, segment) in segments {
            if segment.newest < since {
                kept.short = None;
                break;
            }
            let Ok(bytes) = self.storage.read(&segment.path, 0, segment.bytes) else { break };
            let (start, before) = (segment.layout.header_bytes(), key.first.saturating_sub(1));
            let frames =
                segment.layout.frames(&bytes, start, before).take_while(|frame| frame.sequence <= segment.last);
            let frames: Vec<(u64, Option<u64>)> = frames.map(|frame| (frame.sequence, frame.time)).collect();
            let last = frames.last().map_or(before, |(sequence, _)| *sequence);
            let given_up = |from: u64| shed.iter().any(|range| range.after <= last && range.through + 1 >= from);
            // the last of what is kept may be what a crash has brought back, too
            let next = from.or_else(|| is_all_settled.then_some(watermark.saturating_add(1)));
            if next.is_some_and(|next| last + 1 < next && !given_up(next)) {
                break;
            }
            // the version before did not say when: then all of it
            let is_since = |time: Option<u64>| time.is_none_or(|time| time >= since);
            let found = frames.iter().position(|(_, time)| is_since(*time));
            let Some(((first, time), at)) = found.and_then(|at| Some((*frames.get(at)?, at))) else {
                kept.short = None;
                break;
            };
            kept.take(first, from, frames[at..].iter().map(|(sequence, _)| *sequence));
            kept.short = none_kept(first - 1).map(|short| Short { from: time.map(moment), ..short });
            from = Some(key.first);
            if first > key.first {
                kept.short = None;
                break;
            }
        }
        kept
    }

    /// How long until it is looked again whether there is something to do.
    pub const EVERY: Duration = SPOOL_TEND_TIME;
}

#[cfg(test)]
mod tests {
    use super::super::simulated::Simulated;
    use super::super::{Spool, Window};
    use super::*;

    #[test]
    fn what_goes_for_want_of_room_while_somebody_goes_back_is_said_and_not_waited_for() {
        let window = Window::default();
        let options = Options { bytes_max: 1 << 20, segment_bytes_max: 256, window, sheds: true };
        let mut spool = Spool::open_on(Arc::new(Simulated::new(1)), Path::new("/spool"), options).unwrap();
        for number in 1..=40 {
            spool.append(Lane::Normal, format!("record {number}").as_bytes()).unwrap();
            spool.sync().unwrap();
        }
        spool.reader(Lane::Normal).commit(Position(40)).unwrap();
        let tender = spool.tender();
        let shared = &tender.lanes[Lane::Normal.index()];
        let mut kept = tender.kept_since(shared, 0);
        assert_eq!((kept.first, kept.short), (Some(1), None));
        let gone = [shared.give_up_settled().unwrap(), shared.give_up_settled().unwrap()];
        let records = tender.rewind_lane(shared, &mut kept).unwrap();
        assert_eq!(records, 40 - gone[1].last);
        assert_eq!(kept.short.map(|short| short.through), Some(Position(gone[1].last)));
        assert_eq!(spool.reader(Lane::Normal).waiting().records(), records);
        let read = spool.reader(Lane::Normal).read(Position(1), 100, usize::MAX).unwrap();
        assert_eq!(read.len() as u64, records);
    }
}
