//! What the threads of a running sensor have in common.
//!
//! Workers read one atomic a batch; the locks here are taken on a reload, on a tick and at a scrape, never for a packet.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::look::SetFacts;
use super::opening::Sources;
use super::quarantine::QuarantineState;
use super::supervise::ProcessorTime;
use super::tap::From;
use crate::capture::live::{Counters, Queue};
use crate::indicator::IndicatorSet;
use crate::leash::Leash;
use crate::metrics::Board;
use crate::time::Timestamp;
use crate::worker::Orders;

/// So many deaths of workers in [`DEATHS_TIME`] are more than one packet's doing: after two its flow is skipped.
const DEATHS_OFTEN: usize = 3;
const DEATHS_TIME: Duration = Duration::from_secs(60);

/// A link as a scrape sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkState {
    /// What reads it.
    pub(super) backend: &'static str,
    pub(super) open: bool,
    /// Of the whole of it.
    pub(super) counters: Counters,
    /// What came by each of its receive queues, where that is told apart.
    pub(super) queues: Vec<Queue>,
    /// When its last frame came, to the quarter of a second in which it is looked at; `None`: none came yet.
    pub(super) heard: Option<Instant>,
}

/// A link as it is kept: what belongs to the whole, and what each worker counted.
#[derive(Default)]
struct LinkParts {
    whole: LinkState,
    parts: Vec<(Counters, Vec<Queue>)>,
}

/// See the head of this file.
pub(super) struct Shared {
    pub(super) started: Instant,
    /// End: read what is left, then finish.
    pub(super) stop: AtomicBool,
    /// Counts reloads; workers that see another number than their own take the new orders.
    pub(super) generation: AtomicU64,
    /// Workers that still read links.
    pub(super) reading: AtomicUsize,
    /// Whether only frames know the time: some come from captures that were made elsewhere.
    pub(super) by_frames: bool,
    /// The latest of those times, in nanoseconds since 1970.
    pub(super) frame_time: AtomicI64,
    /// A worker does not come to its end: nobody waits for its packets.
    pub(super) left_behind: AtomicBool,
    /// Frames that each worker was given, by link: put up before it looks at them.
    given: Vec<Vec<AtomicU64>>,
    /// A worker has put up no numbers for seconds: it waits for what does not come.
    pub(super) stands_still: AtomicBool,
    /// The wall clock jumped.
    pub(super) clock_suspect: AtomicBool,
    pub(super) board: Board,
    pub(super) sleeping: Vec<AtomicBool>,
    bells: Vec<OwnedFd>,
    /// Packets in each ring, by who writes and who reads.
    pub(super) rings: Vec<(usize, usize, AtomicU64)>,
    /// Reloads that went well, and that did not.
    pub(super) reloads: AtomicU64,
    pub(super) reloads_refused: AtomicU64,
    /// By worker: how it is pulled back.
    pub(super) leashes: Vec<Leash>,
    /// By worker: what its thread has used, once it runs.
    pub(super) processor_times: Vec<OnceLock<ProcessorTime>>,
    pub(super) quarantine: QuarantineState,
    /// Workers that died for good.
    pub(super) dead: AtomicUsize,
    /// When workers died and began again, the last few times.
    deaths: Mutex<VecDeque<Instant>>,
    orders: Mutex<Orders>,
    links: Mutex<Vec<LinkParts>>,
    set: Mutex<SetFacts>,
}

impl Shared {
    pub(super) fn new(started: Instant, orders: Orders, set: SetFacts, sources: &Sources) -> std::io::Result<Shared> {
        let workers = orders.workers;
        let parts = |_| LinkParts { parts: vec![(Counters::default(), Vec::new()); workers], ..LinkParts::default() };
        let links = (0..sources.names.len()).map(parts).collect();
        let by_frames = sources.all().any(|source| matches!(source.from, From::Folder { .. }));
        let readers = (0..workers).filter(|worker| !sources.of_worker[*worker].is_empty());
        let pairs = readers.flat_map(|from| (0..workers).map(move |to| (from, to)));
        let bell = |_| eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        Ok(Shared {
            started,
            stop: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            reading: AtomicUsize::new(workers),
            by_frames,
            frame_time: AtomicI64::new(0),
            left_behind: AtomicBool::new(false),
            given: (0..workers).map(|_| sources.names.iter().map(|_| AtomicU64::new(0)).collect()).collect(),
            stands_still: AtomicBool::new(false),
            clock_suspect: AtomicBool::new(false),
            board: Board::new(workers),
            sleeping: std::iter::repeat_with(AtomicBool::default).take(workers).collect(),
            bells: (0..workers).map(bell).collect::<Result<_, _>>()?,
            rings: pairs.filter(|(from, to)| from != to).map(|(from, to)| (from, to, AtomicU64::new(0))).collect(),
            reloads: AtomicU64::new(0),
            reloads_refused: AtomicU64::new(0),
            leashes: std::iter::repeat_with(Leash::default).take(workers).collect(),
            processor_times: std::iter::repeat_with(OnceLock::new).take(workers).collect(),
            quarantine: QuarantineState::default(),
            dead: AtomicUsize::new(0),
            deaths: Mutex::default(),
            set: Mutex::new(set),
            orders: Mutex::new(orders),
            links: Mutex::new(links),
        })
    }

    /// The time of what is read: what was captured elsewhere knows its own alone.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        let by_frames = self.by_frames.then(|| Timestamp::from_nanos(self.frame_time.load(Ordering::Acquire)));
        by_frames.unwrap_or(now)
    }

    /// Takes note of frames that a worker is given, by that worker alone: one store a batch. How many there are.
    pub(super) fn give(&self, worker: usize, link: usize, frames: usize) -> usize {
        let given = &self.given[worker][link];
        given.store(given.load(Ordering::Relaxed) + frames as u64, Ordering::Release);
        frames
    }

    /// Whether no packet comes from other workers any more.
    pub(super) fn all_have_read(&self) -> bool {
        self.reading.load(Ordering::Acquire) == 0 || self.left_behind.load(Ordering::Acquire)
    }

    /// Brings the links' counters of a worker that was left behind up to what it was given; how much that is.
    pub(super) fn settle_parts(&self, worker: usize) -> u64 {
        let mut links = held(&self.links);
        let parts = links.iter_mut().zip(&self.given[worker]).map(|(link, given)| {
            let part = &mut link.parts[worker].0;
            let more = given.load(Ordering::Acquire).saturating_sub(part.handed);
            part.handed += more;
            // of what the kernel was not asked since, this much is known
            part.offered = part.offered.max(part.handed + part.kernel_drops() + part.shunted);
            more
        });
        parts.sum()
    }

    /// A worker died, and has begun again.
    pub(super) fn died(&self, at: Instant) {
        let mut deaths = held(&self.deaths);
        deaths.push_back(at);
        if deaths.len() > DEATHS_OFTEN {
            deaths.pop_front();
        }
    }

    /// Whether workers die again and again: what they see has holes.
    pub(super) fn die_often(&self) -> bool {
        let deaths = held(&self.deaths);
        deaths.len() == DEATHS_OFTEN && deaths.front().is_some_and(|first| first.elapsed() < DEATHS_TIME)
    }

    /// The orders in force, for one of the workers, and their generation.
    pub(super) fn orders(&self, index: usize) -> (u64, Orders) {
        let orders = held(&self.orders);
        (self.generation.load(Ordering::Acquire), Orders { index, ..orders.clone() })
    }

    /// The set in use.
    pub(super) fn set(&self) -> Arc<IndicatorSet> {
        Arc::clone(&held(&self.orders).set)
    }

    /// What others may know of the set in use.
    pub(super) fn set_facts(&self) -> SetFacts {
        held(&self.set).clone()
    }

    /// Packets that wait for a worker in the ring of another.
    pub(super) fn set_ring(&self, from: usize, to: usize, len: usize) {
        let ring = self.rings.iter().find(|ring| (ring.0, ring.1) == (from, to));
        ring.inspect(|ring| ring.2.store(len as u64, Ordering::Release));
    }

    /// New orders for all workers, with the set that they speak of.
    pub(super) fn publish(&self, orders: Orders, set: SetFacts) {
        *held(&self.set) = set;
        let mut held = held(&self.orders);
        *held = orders;
        self.generation.fetch_add(1, Ordering::AcqRel);
        drop(held);
        self.wake_all();
    }

    /// What a worker counted of a link.
    pub(super) fn set_part(&self, link: usize, worker: usize, counters: Counters, queues: &[Queue]) {
        let mut links = held(&self.links);
        let LinkParts { whole, parts } = &mut links[link];
        let part = &mut parts[worker];
        if counters.handed > part.0.handed {
            whole.heard = Some(Instant::now());
        }
        part.0 = counters;
        part.1.clear();
        part.1.extend_from_slice(queues);
    }

    /// What belongs to the whole of a link.
    pub(super) fn set_whole(&self, link: usize, backend: &'static str, open: bool, counters: Counters) {
        let mut links = held(&self.links);
        let whole = &mut links[link].whole;
        (whole.backend, whole.open, whole.counters) = (backend, open, counters);
    }

    /// Each link, all its parts together.
    pub(super) fn links(&self) -> Vec<LinkState> {
        let sum = |link: &LinkParts| {
            let counters = link.parts.iter().fold(link.whole.counters, |sum, (part, _)| sum.and(*part));
            let mut queues: Vec<Queue> = link.parts.iter().flat_map(|(_, queues)| queues).copied().collect();
            queues.sort_unstable_by_key(|queue| queue.number);
            LinkState { counters, queues, ..link.whole }
        };
        held(&self.links).iter().map(sum).collect()
    }

    /// Wakes a worker that sleeps; one that works looks by itself.
    pub(super) fn wake(&self, worker: usize) {
        if self.sleeping[worker].swap(false, Ordering::SeqCst) {
            let _full_is_rung = rustix::io::write(&self.bells[worker], &1u64.to_ne_bytes());
        }
    }

    pub(super) fn wake_all(&self) {
        (0..self.bells.len()).for_each(|worker| self.wake(worker));
    }

    pub(super) fn bell(&self, worker: usize) -> BorrowedFd<'_> {
        self.bells[worker].as_fd()
    }

    /// Takes note of having been woken.
    pub(super) fn silence(&self, worker: usize) {
        let _not_rung = rustix::io::read(&self.bells[worker], &mut [0; 8]);
    }
}

/// A thread that died holding this has not left it half written: it holds one value.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
