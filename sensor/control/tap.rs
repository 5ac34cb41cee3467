//! A worker's thread on a link: its sources, its rings, its ticks.
//!
//! In: frames of the links that it was given, packets that other workers hand it. Out: what its [`Worker`] releases, and its
//! counters on the board. It waits only where nothing is to be done, for frames or for a wake-up, and never for a sink.

use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::clock::{self, Stands, Steady};
use super::pressure::Pressure;
use super::rescue::Rescue;
use super::shared::Shared;
use super::supervise::ProcessorTime;
use crate::capture::live::{Counters, Live};
use crate::capture::watched::{Watched, What};
use crate::limits::{BATCH_FRAMES_MAX, HAND_OFF_PACKETS_MAX};
use crate::sandbox::Role;
use crate::time::{Span, Timestamp};
use crate::worker::Worker;

/// How often flows are ended by time and what there is to say is handed over.
const TICK: Duration = Duration::from_millis(20);

/// Alerts do not wait for that: they go with the batch that raised them, and in a storm as often as this.
const WORD: Duration = Duration::from_millis(1);

/// How often the kernel's counters are asked, and folders looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long what the kernel holds at the end may take.
const LAST_FRAMES: Duration = Duration::from_millis(1_500);

/// A nap, where a link would wake its reader for every single frame (AF_XDP does, and the sender's side pays for it too): so
/// frames come in batches. No longer than this, for somebody waits for alerts;
const NAP_MAX: Duration = Duration::from_millis(1);

/// nor than the ring holds of a link of 10 Gbit/s full of the smallest frames, at 67 ns each: a ring of default size holds as
/// long as the nap.
const NAP_PER_PLACE: Duration = Duration::from_nanos(61);

/// Naps after the last frame; then the link is quiet, and its next frame may well wake somebody.
const NAPS: u32 = 2;

/// What a folder is called where links have their backend.
const FOLDER: &str = "folder";

/// Where a worker's frames come from.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) from: From,
    /// Its place among all sources.
    pub(super) link: usize,
}

/// A link, or a folder into which another program rotates captures.
pub(super) enum From {
    Link(Box<Live>),
    Folder {
        watched: Box<Watched>,
        /// Added to the numbers of its frames.
        before: u64,
        handed: u64,
        /// How many of them were remembered when that was last written down.
        saved: u64,
        /// Whether the last look at it went well.
        open: bool,
    },
}

/// See the head of this file.
pub(super) struct Tap {
    index: usize,
    worker: Worker,
    sources: Vec<Source>,
    shared: Arc<Shared>,
    rescue: Rescue,
    clock: Steady,
    generation: u64,
    round: u64,
    looked: Instant,
    stands: Stands,
    pressure: Pressure,
    /// Artificial work for each frame: a slow machine, to try what happens on one.
    slow_motion: Duration,
    /// Naps left before it waits to be woken.
    naps: u32,
    /// Whether other workers may stop waiting for its packets.
    done: bool,
}

impl Tap {
    pub(super) fn new(worker: Worker, sources: Vec<Source>, rescue: Rescue, slow_motion: Duration) -> Tap {
        let (wall, steady) = clock::both();
        let (index, shared) = (rescue.index, Arc::clone(&rescue.shared));
        let (looked, clock, pressure) = (Instant::now(), Steady::new(wall, steady), Pressure::new());
        Tap {
            generation: shared.generation.load(Ordering::Acquire),
            index,
            worker,
            sources,
            shared,
            rescue,
            clock,
            round: 0,
            looked,
            stands: Stands::new(looked),
            pressure,
            slow_motion,
            naps: 0,
            done: false,
        }
    }

    /// What its thread is for, and the folders that it reads.
    pub(super) fn role(&self) -> (Role, Vec<PathBuf>) {
        let folder = |source: &Source| match &source.from {
            From::Folder { watched, .. } => Some(watched.folder().to_path_buf()),
            From::Link(_) => None,
        };
        let folders: Vec<_> = self.sources.iter().filter_map(folder).collect();
        (if folders.is_empty() { Role::Worker } else { Role::Reader }, folders)
    }

    /// Lets others see how much processor time the calling thread takes; it is to be the worker's own.
    pub(super) fn show_time(&self) {
        let _first = ProcessorTime::of_this_thread().map(|time| self.shared.processor_times[self.index].set(time));
    }

    /// Reads until told to stop; then what is left, and all flows end. Of what is no work of the worker's own it dies for good,
    /// and says so to those who would wait for it.
    pub(super) fn run(mut self) {
        let turned = catch_unwind(AssertUnwindSafe(|| self.turns()));
        if let Err(died) = turned {
            self.shared.dead.fetch_add(1, Ordering::AcqRel);
            if !self.done {
                self.shared.reading.fetch_sub(1, Ordering::AcqRel);
            }
            self.shared.wake_all();
            resume_unwind(died);
        }
        self.finish();
    }

    fn turns(&mut self) {
        let mut next_tick = Instant::now();
        let mut next_word = next_tick;
        let mut end_by = None;
        loop {
            let stopping = self.shared.stop.load(Ordering::Acquire);
            if self.shared.generation.load(Ordering::Acquire) != self.generation {
                self.adopt();
            }
            let (wall, steady) = clock::both();
            let time = self.clock.look(wall, steady);
            let busy = self.read(time) + self.take();
            self.work_slowly(busy);
            let now = Instant::now();
            self.spare(now);
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(time, now);
            } else if now >= next_word && self.worker.has_raised() {
                next_word = now + WORD;
                self.rescue.watch(&mut self.worker, None, Worker::tell);
            }
            if stopping && self.is_finished(busy, *end_by.get_or_insert(now + LAST_FRAMES), now) {
                return;
            }
            if busy > 0 {
                self.naps = NAPS;
            } else {
                self.wait(next_tick.saturating_duration_since(now));
            }
        }
    }

    /// One batch of each link; `now` is the time of frames that nobody stamped.
    fn read(&mut self, now: Timestamp) -> usize {
        if self.done {
            return 0;
        }
        let mut frames = 0;
        for source in &mut self.sources {
            let clock = &self.clock;
            let batch = match &mut source.from {
                From::Link(live) => live.poll(BATCH_FRAMES_MAX, now, |stamp| clock.frame(stamp)),
                From::Folder { watched, before, handed, .. } => {
                    let batch = watched.poll(BATCH_FRAMES_MAX).behind(*before);
                    *handed += batch.len() as u64;
                    batch
                }
            };
            let Some(last) = batch.len().checked_sub(1) else { continue };
            frames += self.shared.give(self.index, source.link, batch.len());
            if self.shared.by_frames {
                self.shared.frame_time.fetch_max(batch.frame(last).time.as_nanos(), Ordering::AcqRel);
            }
            self.rescue.watch(&mut self.worker, Some(&batch), |worker| worker.breathe(&batch));
        }
        self.worker.handed_to().for_each(|owner| self.shared.wake(owner));
        frames
    }

    /// Leaves undone what the fullest of its rings asks for.
    fn spare(&mut self, now: Instant) {
        let of_links = self.sources.iter_mut().map(Source::fill).max().unwrap_or_default();
        let of_rings = self.worker.waiting_from().map(|(_, len)| len * 256 / HAND_OFF_PACKETS_MAX).max();
        let fill = of_links.max(of_rings.unwrap_or_default() as u32);
        if let Some(effort) = self.pressure.judge(fill, now) {
            self.worker.spare(effort);
        }
    }

    fn work_slowly(&self, frames: usize) {
        // no clock is asked where nobody wants this
        let until = (!self.slow_motion.is_zero()).then(|| Instant::now() + self.slow_motion * frames as u32);
        while until.is_some_and(|until| Instant::now() < until) {
            std::hint::spin_loop();
        }
    }

    fn take(&mut self) -> usize {
        if !self.worker.is_waited_for() {
            return 0;
        }
        self.rescue.watch(&mut self.worker, None, Worker::breathe_handed)
    }

    fn tick(&mut self, time: Timestamp, now: Instant) {
        self.round += 1;
        let time = self.shared.time(time);
        self.worker.reach(self.stands.passed(time, now));
        self.worker.doubt(self.clock.is_suspect());
        let (time, round) = ((time != Timestamp::default()).then_some(time), self.round);
        self.rescue.watch(&mut self.worker, None, |worker| worker.tick(time, round));
        self.sources.iter_mut().for_each(Source::meet_keeper);
        if now.duration_since(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        self.shared.board.publish(self.index, &self.worker.tally());
        self.worker.waiting_from().for_each(|(from, len)| self.shared.set_ring(from, self.index, len));
        self.shared.clock_suspect.store(self.clock.is_suspect(), Ordering::Release);
        for source in &mut self.sources {
            source.look();
            source.tell(&self.shared, self.index);
        }
    }

    /// A new set, or other networks: from this batch on.
    fn adopt(&mut self) {
        let (generation, orders) = self.shared.orders(self.index);
        self.generation = generation;
        self.worker.adopt(orders);
        let (wall, steady) = clock::both();
        let moved = self.clock.trust(wall, steady);
        if moved != Span::ZERO && !self.shared.by_frames {
            self.worker.shift(moved);
        }
    }

    /// First its links are read empty, then it waits for the others' packets.
    fn is_finished(&mut self, busy: usize, end_by: Instant, now: Instant) -> bool {
        if !self.done && (busy == 0 || now >= end_by) {
            self.done = true;
            self.shared.reading.fetch_sub(1, Ordering::AcqRel);
            self.shared.wake_all();
        }
        self.done && self.shared.all_have_read() && !self.worker.is_waited_for()
    }

    fn wait(&mut self, at_most: Duration) {
        if !self.done && self.sources.iter().any(Source::polls_busily) {
            std::hint::spin_loop();
            return self.worker.waited();
        }
        if self.naps > 0
            && let Some(places) = self.sources.iter().filter_map(Source::wakes_for_each_of).min()
        {
            self.naps -= 1;
            thread::sleep((NAP_PER_PLACE * places).min(NAP_MAX).min(at_most));
            self.worker.waited();
            return;
        }
        self.shared.sleeping[self.index].store(true, Ordering::SeqCst);
        // what was handed over before the flag was seen would wait for the next tick
        if !self.worker.is_waited_for() {
            let bell = self.shared.bell(self.index);
            let mut waited: Vec<PollFd<'_>> = vec![PollFd::from_borrowed_fd(bell, PollFlags::IN)];
            if !self.done {
                let descriptors = self.sources.iter().flat_map(Source::descriptors);
                waited.extend(descriptors.map(|fd: BorrowedFd<'_>| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            }
            let timeout = Timespec { tv_sec: 0, tv_nsec: at_most.as_nanos().min(999_999_999) as i64 };
            let _interrupted = poll(&mut waited, Some(&timeout));
        }
        self.shared.sleeping[self.index].store(false, Ordering::SeqCst);
        self.shared.silence(self.index);
        self.worker.waited();
    }

    fn finish(mut self) {
        for source in &mut self.sources {
            source.save();
            source.tell(&self.shared, self.index);
        }
        let (index, shared) = (self.index, self.shared);
        shared.board.publish(index, &self.worker.finish());
    }
}

impl Source {
    fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let live = match &self.from {
            From::Link(live) => Some(live),
            From::Folder { .. } => None,
        };
        live.into_iter().flat_map(|live| live.descriptors())
    }

    fn fill(&mut self) -> u32 {
        match &mut self.from {
            From::Link(live) => live.fill(),
            // files wait
            From::Folder { .. } => 0,
        }
    }

    fn wakes_for_each_of(&self) -> Option<u32> {
        match &self.from {
            From::Link(live) => live.wakes_for_each_of(),
            From::Folder { .. } => None,
        }
    }

    fn polls_busily(&self) -> bool {
        matches!(&self.from, From::Link(live) if live.polls_busily())
    }

    /// A link that went away goes back to who opened it, and comes from there.
    fn meet_keeper(&mut self) {
        if let From::Link(live) = &mut self.from {
            live.look();
        }
    }

    /// What was counted of it, for others to read.
    fn tell(&mut self, shared: &Shared, worker: usize) {
        match &mut self.from {
            From::Link(live) => shared.set_part(self.link, worker, live.counters(), live.queues()),
            From::Folder { handed, open, .. } => {
                let counters = Counters { offered: *handed, handed: *handed, ..Counters::default() };
                shared.set_part(self.link, worker, counters, &[]);
                shared.set_whole(self.link, FOLDER, *open, Counters::default());
            }
        }
    }

    /// What is done now and then: a folder is looked at.
    fn look(&mut self) {
        let From::Folder { watched, handed, saved, open, .. } = &mut self.from else { return };
        let looked = watched.look();
        if let (Err(error), true) = (&looked, *open) {
            tracing::error!(folder = self.name, %error, "the folder cannot be read; it is tried again");
        }
        *open = looked.is_ok();
        let notes = watched.notes();
        notes.iter().for_each(|(file, what)| tell(file, what));
        // writing it down syncs a disk: not where nothing is new
        if !notes.is_empty() || *handed != *saved {
            *saved = *handed;
            self.save();
        }
    }

    /// What was read of a folder is remembered, so that a restart neither reads it twice nor skips it.
    fn save(&self) {
        if let From::Folder { watched, .. } = &self.from
            && let Err(error) = watched.save()
        {
            tracing::warn!(folder = self.name, %error, "what was read cannot be remembered: a restart reads it again");
        }
    }
}

fn tell(file: &Path, what: &What) {
    let file = file.display();
    match what {
        What::Read(None) => tracing::debug!(%file, "read"),
        What::Read(Some(cut)) => tracing::warn!(%file, bytes = cut.bytes, reason = cut.reason, "not read to its end"),
        What::Skipped(reason) => tracing::warn!(%file, reason, "skipped"),
    }
}
