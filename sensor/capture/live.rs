//! A link, whichever backend reads it: one door for those who poll it, wait on it and ask what it lost.
//!
//! In: an interface and how it is read. Out: batches, empty ones at once where nothing waits; the descriptors that the caller
//! waits on; counters that only grow. A link that went away is said once and opened again by the caller. Never here: a
//! clock, a wait, a thread.

use std::fmt;
use std::os::fd::BorrowedFd;

use super::af_xdp::AfXdp;
use super::libpcap::Libpcap;
pub use super::libpcap::{filter_flaw, missed};
use super::{Batch, Bytes, Record};
use crate::time::Timestamp;

/// How a link is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
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
    /// The kernel's ring; with AF_XDP that of each receive queue.
    pub ring_bytes: usize,
    /// Longer frames are cut.
    pub snap_bytes: u32,
    /// Whether frames for others are taken.
    pub promiscuous: bool,
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

/// What was counted since the link was first opened. Offered is the sum of what was handed out, of what the kernel dropped,
/// and of what waits.
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
    /// Dropped by the interface, where its driver says so. Of libpcap's links [`missed`] tells it, to who may read files.
    pub interface: u64,
    /// Frames that were handed out.
    pub handed: u64,
    /// How often the link was opened again.
    pub reopened: u64,
}

impl Counters {
    /// Frames that the kernel had and could not hand out.
    pub fn kernel_drops(&self) -> u64 {
        self.ring_full + self.no_frame + self.unclaimed
    }

    /// Frames that wait in a ring, or did when it was closed.
    pub fn waiting(&self) -> u64 {
        self.offered.saturating_sub(self.kernel_drops()).saturating_sub(self.handed)
    }
}

enum Opened {
    Libpcap(Libpcap),
    AfXdp(Box<AfXdp>),
}

/// A link being read.
pub struct Live {
    options: Options,
    opened: Option<Opened>,
    /// What read the link that went away, where it can read it again without any right.
    away: Option<Libpcap>,
    counters: Counters,
    chunk: Vec<u8>,
    records: Vec<Record>,
    /// Added to the numbers of its frames, so that no two links use the same.
    first: u64,
}

impl Live {
    /// Opens a link. Its frames are numbered from `first`.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open(options: Options, first: u64) -> Result<Live, Refused> {
        let opened = Some(Opened::new(&options)?);
        let counters = Counters::default();
        Ok(Live { options, opened, away: None, counters, chunk: Vec::new(), records: Vec::new(), first })
    }

    /// What reads it, in a word.
    pub fn backend(&self) -> &'static str {
        match self.options.backend {
            Backend::Libpcap => "libpcap",
            Backend::AfXdp { .. } => "af_xdp",
        }
    }

    /// How it is read, in words for whoever starts it.
    pub fn manner(&self) -> String {
        match &self.opened {
            Some(Opened::AfXdp(port)) => port.manner(),
            Some(Opened::Libpcap(_)) => format!("copied by the kernel, ring of {} bytes", self.options.ring_bytes),
            None => "not open".to_owned(),
        }
    }

    /// Whether whoever waits on its descriptors is woken for every frame; libpcap's ring gathers them.
    pub fn wakes_for_each(&self) -> bool {
        matches!(self.opened, Some(Opened::AfXdp(_)))
    }

    /// Frames handed out by each receive queue, where the backend tells them apart.
    pub fn by_queue(&self) -> Option<Vec<u64>> {
        match &self.opened {
            Some(Opened::AfXdp(port)) => Some(port.by_queue()),
            _ => None,
        }
    }

    /// Whether it is open; a link that went away is not.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// What to wait on for frames.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let (libpcap, port) = match &self.opened {
            Some(Opened::Libpcap(libpcap)) => (Some(libpcap.descriptor()), None),
            Some(Opened::AfXdp(port)) => (None, Some(port.descriptors())),
            None => (None, None),
        };
        libpcap.into_iter().chain(port.into_iter().flatten())
    }

    /// Up to `budget` frames, at once. `now` is the time of frames that nobody stamped; `time` says what a stamp means here.
    ///
    /// # Errors
    /// The link went away; it is closed now, and [`Live::reopen`] may be tried.
    pub fn poll(
        &mut self,
        budget: usize,
        now: Timestamp,
        time: impl Fn(Timestamp) -> Timestamp,
    ) -> Result<Batch<'_>, Refused> {
        self.chunk.clear();
        self.records.clear();
        let snap = self.options.snap_bytes;
        let polled = match &mut self.opened {
            None => return Ok(Batch { bytes: Bytes::Chunk(&[]), records: &[], first: 0 }),
            Some(Opened::Libpcap(libpcap)) => libpcap.poll(budget, time, &mut self.chunk, &mut self.records),
            Some(Opened::AfXdp(port)) => port.poll(budget, now, snap as usize, &mut self.records),
        };
        if let Err(why) = polled {
            self.count();
            if let Some(Opened::Libpcap(libpcap)) = self.opened.take() {
                self.away = Some(libpcap);
            }
            return Err(why);
        }
        let first = self.first + self.counters.handed + 1;
        self.counters.handed += self.records.len() as u64;
        let bytes = match &self.opened {
            Some(Opened::AfXdp(port)) => Bytes::Packets(port.packets()),
            _ => Bytes::Chunk(&self.chunk),
        };
        Ok(Batch { bytes, records: &self.records, first })
    }

    /// Opens it again after it went away.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn reopen(&mut self) -> Result<(), Refused> {
        let opened = match self.away.take() {
            Some(libpcap) => match libpcap.reopen() {
                Ok(()) => Opened::Libpcap(libpcap),
                Err(why) => {
                    self.away = Some(libpcap);
                    return Err(why);
                }
            },
            None => Opened::new(&self.options)?,
        };
        self.opened = Some(opened);
        self.counters.reopened += 1;
        Ok(())
    }

    /// What was counted, asked of the kernel anew.
    pub fn counters(&mut self) -> Counters {
        self.count();
        self.counters
    }

    fn count(&mut self) {
        match &mut self.opened {
            Some(Opened::Libpcap(libpcap)) => libpcap.count(&mut self.counters),
            Some(Opened::AfXdp(port)) => port.count(&mut self.counters),
            None => {}
        }
    }
}

impl Opened {
    fn new(options: &Options) -> Result<Opened, Refused> {
        match options.backend {
            Backend::Libpcap => Libpcap::open(options).map(Opened::Libpcap),
            Backend::AfXdp { allow_cut_off } => {
                AfXdp::open(options, allow_cut_off).map(|port| Opened::AfXdp(Box::new(port)))
            }
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
