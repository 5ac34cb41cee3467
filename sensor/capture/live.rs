//! What one worker reads of a link, whichever backend reads it: one door for those who poll it, wait on it and ask what it
//! lost.
//!
//! In: an interface and how it is read. Out: batches, empty ones at once where nothing waits; the descriptors that the caller
//! waits on; counters that only grow. What went away is handed back to the link's [`Keeper`], who opens links. Never here: a
//! clock, a wait, a thread, a right.

use std::fmt;
use std::os::fd::BorrowedFd;

use super::af_xdp::Part;
use super::keeper::Ends;
pub use super::keeper::{Keeper, Seen};
use super::libpcap::Libpcap;
pub use super::libpcap::filter_flaw;
use super::{Batch, Bytes, Record};
use crate::time::Timestamp;

/// How a link is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// AF_XDP where the driver has it and nobody else needs the interface; else libpcap.
    Auto,
    /// The kernel copies what passes into a ring.
    Libpcap,
    /// The driver hands everything that comes to the sensor, and to nobody else.
    AfXdp {
        /// Whether that may be an interface that this machine lives by.
        allow_cut_off: bool,
    },
}

/// How a link is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `tap0`.
    pub interface: String,
    /// How it is read.
    pub backend: Backend,
    /// A filter in libpcap's language; what it refuses is not offered to us, and not counted. AF_XDP has none.
    pub filter: Option<String>,
    /// The kernel's ring; with AF_XDP that of each receive queue, with libpcap that of all workers together.
    pub ring_bytes: usize,
    /// Longer frames are cut.
    pub snap_bytes: u32,
    /// Whether frames for others are taken.
    pub promiscuous: bool,
    /// Its number among the ports of which flows can be shunted: with AF_XDP the kernel counts and drops their packets where
    /// it is told to. 0: it is none.
    pub shunt_port: u8,
    /// AF_XDP alone: nobody waits for frames; a look at an empty ring lets the driver fetch some for so long (microseconds).
    pub busy_poll: Option<u32>,
}

/// Why a link cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The process may not capture: it lacks these capabilities.
    Permission(&'static str),
    /// There is no such interface, or it went away.
    Absent(String),
    /// It is there and down.
    Down(String),
    /// The filter is none.
    Filter(String),
    /// This machine lives by it, and nobody said that it may be cut off.
    InUse(String),
    /// Another program reads it; or one did, that has just ended.
    Busy(String),
    /// Anything else that the backend says.
    Other(String),
}

impl Refused {
    /// Whether it comes and goes with the wire and whoever plugs it: nothing in the configuration is wrong.
    pub fn may_pass(&self) -> bool {
        matches!(self, Refused::Absent(_) | Refused::Down(_))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Permission(lacks) => {
                let names = lacks.to_uppercase();
                write!(f, "capturing needs {names}: run as root, or setcap {lacks}+ep")
            }
            Refused::Absent(_) => f.write_str("there is no such interface (`ip link` lists them)"),
            Refused::Down(_) => f.write_str("the interface is down (`ip link set NAME up`)"),
            Refused::Filter(why) => write!(f, "the filter is none: {why}"),
            Refused::InUse(why) | Refused::Busy(why) | Refused::Other(why) => f.write_str(why),
        }
    }
}

/// What came by one receive queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Its number on the interface.
    pub number: u32,
    /// Frames that were handed out.
    pub received: u64,
    /// Dropped because its ring was full.
    pub ring_full: u64,
    /// Dropped because no memory for them was free.
    pub no_frame: u64,
}

/// What was counted since the link was first opened. Offered is the sum of what was handed out, of what the kernel dropped,
/// of what was shunted, and of what waits. Who reads a part of a link counts frames, its keeper counts what belongs to the whole of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that came to the kernel (and passed the filter), dropped ones included.
    pub offered: u64,
    /// Dropped because the ring was full.
    pub ring_full: u64,
    /// Dropped because no memory for them was free: AF_XDP alone.
    pub no_frame: u64,
    /// Dropped because they came by a queue that nobody reads: AF_XDP alone, and never while its queues stay as they are.
    pub unclaimed: u64,
    /// Dropped by the interface, where its driver says so.
    pub interface: u64,
    /// Frames that were handed out.
    pub handed: u64,
    /// Counted and dropped by the kernel because their flows have nothing more to tell: no loss.
    pub shunted: u64,
    /// Their bytes.
    pub shunted_bytes: u64,
    /// How often the link was opened after it could not be read.
    pub reopened: u64,
}

impl Counters {
    /// Both together.
    pub fn and(self, other: Counters) -> Counters {
        Counters {
            offered: self.offered + other.offered,
            ring_full: self.ring_full + other.ring_full,
            no_frame: self.no_frame + other.no_frame,
            unclaimed: self.unclaimed + other.unclaimed,
            interface: self.interface + other.interface,
            handed: self.handed + other.handed,
            shunted: self.shunted + other.shunted,
            shunted_bytes: self.shunted_bytes + other.shunted_bytes,
            reopened: self.reopened + other.reopened,
        }
    }

    /// Frames that the kernel had and could not hand out.
    pub fn kernel_drops(&self) -> u64 {
        self.ring_full + self.no_frame + self.unclaimed
    }

    /// Frames that wait in a ring, or did when it was closed.
    pub fn waiting(&self) -> u64 {
        self.offered.saturating_sub(self.kernel_drops() + self.shunted).saturating_sub(self.handed)
    }
}

pub(super) enum Opened {
    Libpcap(Libpcap),
    AfXdp(Part),
}

/// What a worker reads of a link.
pub struct Live {
    keeper: Ends,
    opened: Option<Opened>,
    counters: Counters,
    queues: Vec<Queue>,
    snap_bytes: usize,
    chunk: Vec<u8>,
    records: Vec<Record>,
    /// Added to the numbers of its frames, so that no two readers use the same.
    first: u64,
    /// As [`Options::shunt_port`].
    port: u8,
}

impl Live {
    pub(super) fn new(keeper: Ends, snap_bytes: u32, first: u64, port: u8) -> Live {
        let (counters, chunk, records) = (Counters::default(), Vec::new(), Vec::new());
        let (opened, snap_bytes) = (keeper.take(), snap_bytes as usize);
        Live { keeper, opened, counters, queues: Vec::new(), snap_bytes, chunk, records, first, port }
    }

    /// How many frames its ring holds, where whoever waits on its descriptors is woken for every single one; libpcap's ring
    /// gathers them.
    pub fn wakes_for_each_of(&self) -> Option<u32> {
        match &self.opened {
            Some(Opened::AfXdp(part)) => Some(part.places()),
            _ => None,
        }
    }

    /// Whether nobody may wait for its frames: looking for them is what makes the driver fetch them.
    pub fn polls_busily(&self) -> bool {
        matches!(&self.opened, Some(Opened::AfXdp(part)) if part.polls_busily())
    }

    /// What came by each receive queue, where the backend tells them apart; as of the last [`Live::counters`].
    pub fn queues(&self) -> &[Queue] {
        &self.queues
    }

    /// How full the kernel's ring is, in 256ths; libpcap tells only that frames were dropped, and this grows while it does.
    pub fn fill(&mut self) -> u32 {
        match &mut self.opened {
            Some(Opened::AfXdp(part)) => part.fill(),
            Some(Opened::Libpcap(libpcap)) => libpcap.strain(),
            None => 0,
        }
    }

    /// Whether it is open; a link that went away is not.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// What to wait on for frames.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let (libpcap, part) = match &self.opened {
            Some(Opened::Libpcap(libpcap)) => (Some(libpcap.descriptor()), None),
            Some(Opened::AfXdp(part)) => (None, Some(part.descriptors())),
            None => (None, None),
        };
        libpcap.into_iter().chain(part.into_iter().flatten())
    }

    /// Up to `budget` frames, at once. `now` is the time of frames that nobody stamped; `time` says what a stamp means here.
    /// Where the link went away nothing comes, and its keeper knows why.
    pub fn poll(&mut self, budget: usize, now: Timestamp, time: impl Fn(Timestamp) -> Timestamp) -> Batch<'_> {
        self.chunk.clear();
        self.records.clear();
        let polled = match &mut self.opened {
            None => return Batch::NONE,
            Some(Opened::Libpcap(libpcap)) => libpcap.poll(budget, time, &mut self.chunk, &mut self.records),
            Some(Opened::AfXdp(part)) => part.poll(budget, now, self.snap_bytes, &mut self.records),
        };
        if let Err(why) = polled {
            self.hand_back(Some(why));
            return Batch::NONE;
        }
        let first = self.first + self.counters.handed + 1;
        self.counters.handed += self.records.len() as u64;
        let bytes = match &self.opened {
            Some(Opened::AfXdp(part)) => Bytes::Packets(part.packets()),
            _ => Bytes::Chunk(&self.chunk),
        };
        Batch { bytes, records: &self.records, first, port: self.port }
    }

    /// Does what the link's keeper wants: hands back what it reads, or takes what was opened for it.
    pub fn look(&mut self) {
        if self.opened.is_some() && self.keeper.is_recalled() {
            self.hand_back(None);
        }
        if self.opened.is_none() {
            self.opened = self.keeper.take();
        }
    }

    fn hand_back(&mut self, why: Option<Refused>) {
        self.count();
        if let Some(opened) = self.opened.take() {
            self.keeper.hand_back(opened, why);
        }
    }

    /// What was counted, asked of the kernel anew.
    pub fn counters(&mut self) -> Counters {
        self.count();
        self.counters
    }

    fn count(&mut self) {
        match &mut self.opened {
            Some(Opened::Libpcap(libpcap)) => libpcap.count(&mut self.counters),
            Some(Opened::AfXdp(part)) => part.count(&mut self.counters, &mut self.queues),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_what_is_left_of_what_was_offered() {
        let counters =
            Counters { offered: 100, ring_full: 7, no_frame: 5, unclaimed: 3, handed: 80, ..Counters::default() };
        assert_eq!((counters.kernel_drops(), counters.waiting()), (15, 5));
    }

    #[test]
    fn a_refusal_says_what_to_type() {
        let said = Refused::Permission("cap_net_raw,cap_bpf").to_string();
        assert_eq!(said, "capturing needs CAP_NET_RAW,CAP_BPF: run as root, or setcap cap_net_raw,cap_bpf+ep");
    }
}
