//! A port watched for some seconds through libpcap: what passes is looked at and let go.
//!
//! In: an interface and how the configuration reads it. Out: [`Watched`]: what was seen, what was lost meanwhile, how the clocks
//! went. One socket for each receive queue, among which the kernel deals frames, shows by which queue each came. Never here:
//! AF_XDP (it takes frames from whoever has them now), an indicator, a byte that is sent.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant, SystemTime};

use af_xdp::OwnRights;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::facts::{Counted, Wanted, counted, is_promiscuous};
use super::seen::{Seen, Watcher};
use crate::capture::live::{Backend, Keeper, Live, Options, Refused, Seen as Looked};
use crate::limits::{BATCH_FRAMES_MAX, DOCTOR_QUEUES_MAX, DOCTOR_RING_BYTES_MAX, DOCTOR_SETTLE_TIME};
use crate::networks::Networks;
use crate::time::{Span, Timestamp};

/// The least that libpcap's ring may have.
const RING_BYTES_MIN: usize = 1 << 20;

/// How long the wait for frames is at most: so long may the end be late.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// The traffic.
    pub seen: Seen,
    /// How long it was looked at.
    pub time: Duration,
    /// Whether the interface took frames for others meanwhile.
    pub promiscuous: Option<bool>,
    /// Frames that the kernel had no room for, of those that came to the watching sockets.
    pub overrun: u64,
    /// What the interface counted meanwhile.
    pub counted: Counted,
    /// How far the wall clock moved against a steady one.
    pub clock_moved: Span,
    /// How far the stamps of frames were from the wall clock, at their nearest.
    pub stamps_off: Option<Span>,
}

/// Sockets of a port, open.
pub(super) struct Watch {
    /// One for each of the links: they hold them open.
    keepers: Vec<Keeper>,
    links: Vec<Live>,
    interface: String,
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

impl Watch {
    /// Opens a port of so many receive queues, and lets go what came meanwhile.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn open(wanted: &Wanted, queues: u32) -> Result<Watch, Refused> {
        let queues = if queues as usize > DOCTOR_QUEUES_MAX { 1 } else { queues.max(1) as usize };
        // rings of AF_XDP are others than the one that is watched by
        let as_configured = if wanted.af_xdp { DOCTOR_RING_BYTES_MAX } else { wanted.capture.ring_bytes };
        let ring = as_configured.min(DOCTOR_RING_BYTES_MAX / queues).max(RING_BYTES_MIN);
        let options = Options {
            interface: wanted.interface.clone(),
            backend: Backend::Libpcap,
            filter: wanted.capture.filter.clone(),
            ring_bytes: ring,
            snap_bytes: wanted.capture.snap_bytes,
            promiscuous: wanted.capture.promiscuous,
            busy_poll: None,
            shunt_port: 0,
        };
        let (mut keepers, mut links) = (Vec::new(), Vec::new());
        for _ in 0..queues {
            let (keeper, reader) = Keeper::open(options.clone(), 1, |_| 0, &mut OwnRights::default())?;
            keepers.push(keeper);
            links.extend(reader);
        }
        let dealt = {
            let sockets: Vec<BorrowedFd<'_>> = links.iter().flat_map(Live::descriptors).collect();
            af_xdp::deal_by_queue(&sockets)
        };
        if dealt.is_err() {
            links.truncate(1); // each would see every frame
        }
        let mut watch = Watch { keepers, links, interface: wanted.interface.clone() };
        watch.settle()?;
        Ok(watch)
    }

    /// Looks for so long.
    ///
    /// # Errors
    /// The interface went away.
    pub(super) fn run(mut self, time: Duration, networks: &Networks, mtu: u32) -> Result<Watched, Refused> {
        let random = std::collections::hash_map::RandomState::new();
        let key = |word: u64| std::hash::BuildHasher::hash_one(&random, word);
        let mut watcher = Watcher::new(networks, mtu, self.links.len(), (key(1), key(2)));
        let mut watched = Watched { promiscuous: is_promiscuous(&self.interface), ..Watched::default() };
        let (overrun, before) = (self.overrun(), counted(&self.interface));
        let (began, wall_began) = (Instant::now(), wall());
        loop {
            let passed = began.elapsed();
            let steady = wall_began.moved(Span::nanos(passed.as_nanos() as i64));
            let moved = wall().since(steady);
            if moved.as_nanos().abs() > watched.clock_moved.as_nanos().abs() {
                watched.clock_moved = moved;
            }
            if passed >= time {
                break;
            }
            if !self.read(&mut watcher, passed.as_secs(), &mut watched.stamps_off)? {
                self.wait(WAIT_MAX.min(time - passed));
            }
        }
        watched.time = began.elapsed();
        watched.overrun = self.overrun().saturating_sub(overrun);
        watched.counted = counted(&self.interface).less(before);
        watched.seen = watcher.seen();
        Ok(watched)
    }

    /// Lets go what came while the sockets were set up one after the other: frames of that time came by any of them.
    fn settle(&mut self) -> Result<(), Refused> {
        let began = Instant::now();
        while began.elapsed() < DOCTOR_SETTLE_TIME {
            let mut frames = 0;
            for link in &mut self.links {
                frames += link.poll(BATCH_FRAMES_MAX, Timestamp::default(), |stamp| stamp).len();
            }
            self.complaint()?;
            if frames == 0 {
                self.wait(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// A batch of each socket; whether there was any frame.
    fn read(&mut self, watcher: &mut Watcher<'_>, second: u64, off: &mut Option<Span>) -> Result<bool, Refused> {
        let mut some = false;
        for (queue, link) in self.links.iter_mut().enumerate() {
            let batch = link.poll(BATCH_FRAMES_MAX, Timestamp::default(), |stamp| stamp);
            watcher.next_batch();
            for frame in batch.frames() {
                watcher.frame(&frame, queue, second);
            }
            if let Some(last) = batch.len().checked_sub(1) {
                let away = wall().since(batch.frame(last).time);
                let nearest = off.is_none_or(|nearest| away.as_nanos().abs() < nearest.as_nanos().abs());
                *off = if nearest { Some(away) } else { *off };
                some = true;
            }
        }
        self.complaint()?;
        Ok(some)
    }

    /// Why a link cannot be read any more.
    fn complaint(&mut self) -> Result<(), Refused> {
        let Some(at) = self.links.iter().position(|link| !link.is_open()) else { return Ok(()) };
        match self.keepers[at].look(&mut OwnRights::default()) {
            Looked::Gone(why) => Err(why),
            Looked::Same | Looked::Back(_) => Ok(()),
        }
    }

    fn wait(&self, at_most: Duration) {
        let descriptors = self.links.iter().flat_map(Live::descriptors);
        let mut waited: Vec<_> = descriptors.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: at_most.as_nanos().min(999_999_999) as i64 };
        let _interrupted = poll(&mut waited, Some(&timeout));
    }

    fn overrun(&mut self) -> u64 {
        self.links.iter_mut().map(|link| link.counters().kernel_drops()).sum()
    }
}

impl Counted {
    fn less(self, before: Counted) -> Counted {
        Counted {
            received: self.received.saturating_sub(before.received),
            lost: af_xdp::Lost {
                dropped: self.lost.dropped.saturating_sub(before.lost.dropped),
                missed: self.lost.missed.saturating_sub(before.lost.missed),
            },
            too_long: self.too_long.saturating_sub(before.too_long),
        }
    }
}
