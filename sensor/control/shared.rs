//! What the threads of a running sensor have in common.
//!
//! Workers read one atomic a batch; the locks here are taken on a reload, on a tick and at a scrape, never for a packet.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};

use super::look::SetFacts;
use super::tap::{From, Source};
use crate::capture::live::Counters;
use crate::indicator::IndicatorSet;
use crate::metrics::Board;
use crate::worker::Orders;

/// A link as a scrape sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkState {
    /// What reads it.
    pub(super) backend: &'static str,
    pub(super) open: bool,
    pub(super) counters: Counters,
    /// When its last frame came, to the quarter of a second in which it is looked at; `None`: none came yet.
    pub(super) heard: Option<Instant>,
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
    orders: Mutex<Orders>,
    links: Mutex<Vec<LinkState>>,
    set: Mutex<SetFacts>,
}

impl Shared {
    pub(super) fn new(started: Instant, orders: Orders, set: SetFacts, sources: &[Source]) -> std::io::Result<Shared> {
        // what could not be opened has no source: until a worker looks at it, it is as it was found
        let state = |source: &Source| LinkState { backend: source.backend(), open: true, ..LinkState::default() };
        let links: Vec<LinkState> = sources.iter().map(state).collect();
        let by_frames = sources.iter().any(|source| matches!(source.from, From::Folder { .. }));
        let workers = orders.workers;
        let readers = workers.min(links.len());
        let pairs = (0..readers).flat_map(|from| (0..workers).map(move |to| (from, to)));
        let bell = |_| eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        Ok(Shared {
            started,
            stop: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            reading: AtomicUsize::new(workers),
            by_frames,
            frame_time: AtomicI64::new(0),
            clock_suspect: AtomicBool::new(false),
            board: Board::new(workers),
            sleeping: std::iter::repeat_with(AtomicBool::default).take(workers).collect(),
            bells: (0..workers).map(bell).collect::<Result<_, _>>()?,
            rings: pairs.filter(|(from, to)| from != to).map(|(from, to)| (from, to, AtomicU64::new(0))).collect(),
            reloads: AtomicU64::new(0),
            reloads_refused: AtomicU64::new(0),
            set: Mutex::new(set),
            orders: Mutex::new(orders),
            links: Mutex::new(links),
        })
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

    pub(super) fn set_link(&self, at: usize, state: LinkState) {
        let before = &mut held(&self.links)[at];
        let heard = if state.counters.handed > before.counters.handed { Some(Instant::now()) } else { before.heard };
        *before = LinkState { heard, ..state };
    }

    pub(super) fn link(&self, at: usize) -> LinkState {
        held(&self.links)[at]
    }

    pub(super) fn links(&self) -> Vec<LinkState> {
        held(&self.links).clone()
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
