//! A link through libpcap: frames are copied out of the kernel's ring into one chunk that is used again and again.
//!
//! In: an interface. Out: batches, empty ones at once where nothing waits; the descriptor that the caller waits on; the
//! kernel's counters as differences. A link that went away is said once and opened again by the caller. Never here: a
//! clock, a wait (libpcap blocks for ever on a quiet link whatever its timeout says), a thread.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use pcap::{Active, Capture, Precision};

use super::{Batch, Link, Record};
use crate::time::Timestamp;

/// How long the kernel may keep a block of its ring that is not full, in milliseconds: what a packet on a quiet link waits.
const BLOCK_MILLISECONDS: i32 = 2;

/// How a link is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `tap0`.
    pub interface: String,
    /// A filter in libpcap's language; what it refuses is not offered to us, and not counted.
    pub filter: Option<String>,
    /// The kernel's ring.
    pub ring_bytes: usize,
    /// Longer frames are cut.
    pub snap_bytes: u32,
    /// Whether frames for others are taken.
    pub promiscuous: bool,
}

/// Why a link cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The process may not capture.
    Permission(String),
    /// There is no such interface, or it went away.
    Absent(String),
    /// It is there and down.
    Down(String),
    /// The filter is none.
    Filter(String),
    /// Anything else that libpcap says.
    Other(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Permission(_) => f.write_str("capturing needs CAP_NET_RAW: run as root, or setcap cap_net_raw+ep"),
            Refused::Absent(_) => f.write_str("there is no such interface (`ip link` lists them)"),
            Refused::Down(_) => f.write_str("the interface is down (`ip link set NAME up`)"),
            Refused::Filter(why) => write!(f, "the filter is none: {why}"),
            Refused::Other(why) => f.write_str(why),
        }
    }
}

impl From<pcap::Error> for Refused {
    fn from(error: pcap::Error) -> Self {
        let text = error.to_string();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["permission", "Operation not permitted"]) {
            Refused::Permission(text)
        } else if says(&["No such device", "disappeared", "No such interface", "doesn't exist"]) {
            Refused::Absent(text)
        } else if says(&["not up", "is down", "went down", "Network is down"]) {
            Refused::Down(text)
        } else {
            Refused::Other(text)
        }
    }
}

/// What the kernel counted, since the link was first opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that passed the filter, dropped ones included.
    pub offered: u64,
    /// Dropped because the ring was full.
    pub ring_full: u64,
    /// Dropped by the interface, where its driver says so.
    pub interface: u64,
    /// Frames that were handed out.
    pub handed: u64,
    /// How often the link was opened again.
    pub reopened: u64,
}

struct Opened {
    capture: Capture<Active>,
    link: Link,
    /// Its 32-bit counters when they were last asked: only differences mean anything.
    seen: (u32, u32, u32),
}

/// A link being read.
pub struct Live {
    options: Options,
    opened: Option<Opened>,
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
        Ok(Live { options, opened, counters, chunk: Vec::new(), records: Vec::new(), first })
    }

    /// The interface's name.
    pub fn interface(&self) -> &str {
        &self.options.interface
    }

    /// Whether it is open; a link that went away is not.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// What to wait on for frames.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.opened.as_ref().map(|opened| opened.capture.as_fd())
    }

    /// Up to `budget` frames, at once; `time` says what a frame's time means here.
    ///
    /// # Errors
    /// The link went away; it is closed now, and [`Live::reopen`] may be tried.
    pub fn poll(&mut self, budget: usize, time: impl Fn(Timestamp) -> Timestamp) -> Result<Batch<'_>, Refused> {
        self.chunk.clear();
        self.records.clear();
        let Some(opened) = &mut self.opened else { return Ok(Batch { chunk: &[], records: &[], first: 0 }) };
        let (chunk, records, link) = (&mut self.chunk, &mut self.records, opened.link);
        let polled = opened.capture.dispatch(Some(budget), |packet| {
            let (start, len) = (chunk.len(), packet.data.len());
            chunk.extend_from_slice(packet.data);
            let stamp = packet.header.ts;
            // with nanosecond precision the field for microseconds holds nanoseconds
            let time = time(Timestamp::from_parts(stamp.tv_sec, stamp.tv_usec));
            records.push(Record { start, len, length: packet.header.len.max(len as u32), time, link });
        });
        if let Err(error) = polled {
            self.count();
            self.opened = None;
            return Err(error.into());
        }
        let first = self.first + self.counters.handed + 1;
        self.counters.handed += self.records.len() as u64;
        Ok(Batch { chunk: &self.chunk, records: &self.records, first })
    }

    /// Opens it again after it went away.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn reopen(&mut self) -> Result<(), Refused> {
        self.opened = Some(Opened::new(&self.options)?);
        self.counters.reopened += 1;
        Ok(())
    }

    /// What was counted, asked of the kernel anew.
    pub fn counters(&mut self) -> Counters {
        self.count();
        self.counters
    }

    fn count(&mut self) {
        let Some(opened) = &mut self.opened else { return };
        let Ok(now) = opened.capture.stats() else { return };
        let before = std::mem::replace(&mut opened.seen, (now.received, now.dropped, now.if_dropped));
        self.counters.offered += u64::from(now.received.wrapping_sub(before.0));
        self.counters.ring_full += u64::from(now.dropped.wrapping_sub(before.1));
        self.counters.interface += u64::from(now.if_dropped.wrapping_sub(before.2));
    }
}

/// Links that a filter may be meant for: its words depend on them (`wlan`, `ether`), and which one an interface has shows
/// only when it is opened.
const FILTER_LINKS: [pcap::Linktype; 4] =
    [pcap::Linktype::ETHERNET, pcap::Linktype::RAW, pcap::Linktype::IEEE802_11_RADIOTAP, pcap::Linktype::LINUX_SLL2];

/// Why a text is a packet filter on no link; `None`: it is one.
pub fn filter_flaw(filter: &str) -> Option<String> {
    let mut first = None;
    for link in FILTER_LINKS {
        let compiled = Capture::dead(link).and_then(|dead| dead.compile(filter, true).map(drop));
        match compiled {
            Ok(()) => return None,
            Err(error) => first = first.or(Some(error.to_string())),
        }
    }
    first
}

impl Opened {
    fn new(options: &Options) -> Result<Opened, Refused> {
        let capture = Capture::from_device(options.interface.as_str())?
            .promisc(options.promiscuous)
            .snaplen(options.snap_bytes as i32)
            .buffer_size(options.ring_bytes.min(i32::MAX as usize) as i32)
            .timeout(BLOCK_MILLISECONDS)
            .precision(Precision::Nano)
            .open()?;
        let mut capture = capture.setnonblock()?;
        if let Some(filter) = &options.filter {
            capture.filter(filter, true).map_err(|error| Refused::Filter(error.to_string()))?;
        }
        let link = Link::of_datalink(capture.get_datalink().0);
        Ok(Opened { capture, link, seen: (0, 0, 0) })
    }
}
