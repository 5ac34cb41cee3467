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
use super::shared::{Key, Segment, Shared, milliseconds};
use super::{Lane, Options, Storage};
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
    /// Records between the watermark that is and the one that was.
    pub records: [u64; 3],
}

impl Tender {
    pub(super) fn new(lanes: Vec<Arc<Shared>>, storage: Arc<dyn Storage>, options: Options) -> Tender {
        Tender { lanes, storage, options }
    }

    /// Tends until told to stop; it is looked for that often.
    pub fn run(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
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

    /// What the centre has committed and was appended since then is sent again, under the same identities.
    ///
    /// # Errors
    /// What the disk says; lanes that were set back stay so.
    pub fn rewind(&self, since: SystemTime) -> io::Result<Rewound> {
        let mut rewound = Rewound::default();
        for (records, shared) in rewound.records.iter_mut().zip(&self.lanes) {
            *records = self.rewind_lane(shared, milliseconds(since))?;
        }
        Ok(rewound)
    }

    fn rewind_lane(&self, shared: &Shared, since: u64) -> io::Result<u64> {
        let first = self.first_since(shared, since);
        let before = {
            let mut state = shared.state();
            let Some(to) = first.map(|first| first - 1).filter(|to| *to < state.watermark) else { return Ok(0) };
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
        Ok(before.saturating_sub(to))
    }

    /// The sequence of the first record that was appended then or later, of what is there without a gap up to the last one: of what a
    /// crash has brought back from behind a gap nothing is sent again.
    fn first_since(&self, shared: &Shared, since: u64) -> Option<u64> {
        let (kept, shed): (Vec<(Key, Segment)>, _) = {
            let state = shared.state();
            let known = state.segments.iter().rev().take_while(|(_, segment)| segment.newest >= since);
            (known.map(|(key, segment)| (*key, segment.clone())).collect(), state.shed.clone())
        };
        let (mut first, mut from) = (None, None);
        for (key, segment) in kept {
            let Ok(bytes) = self.storage.read(&segment.path, 0, segment.bytes) else { break };
            let (start, before) = (segment.layout.header_bytes(), key.first.saturating_sub(1));
            let last = segment.layout.frames(&bytes, start, before).last().map_or(before, |frame| frame.sequence);
            let given_up = |from: u64| shed.iter().any(|range| range.after <= last && range.through + 1 >= from);
            if from.is_some_and(|from| last + 1 < from && !given_up(from)) {
                break;
            }
            // the version before did not say when: then all of it
            let is_since = |time: Option<u64>| time.is_none_or(|time| time >= since);
            let mut frames = segment.layout.frames(&bytes, start, before);
            let Some(found) = frames.find(|frame| is_since(frame.time)) else { break };
            first = Some(found.sequence);
            from = Some(key.first);
            if found.sequence > key.first {
                break;
            }
        }
        first
    }

    /// How long until it is looked again whether there is something to do.
    pub const EVERY: Duration = SPOOL_TEND_TIME;
}
