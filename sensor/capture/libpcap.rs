//! A link through libpcap: frames are copied out of the kernel's ring into one chunk that is used again and again.
//!
//! In: an interface. Out: frames with the kernel's stamps; the descriptor to wait on; the kernel's counters as differences.
//! An interface that went away and came back is read through the same socket: to make another takes a right that is gone.
//! Never here: a clock, a wait (libpcap blocks for ever on a quiet link whatever its timeout says), a thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use ::af_xdp::{bind_again, hardware, is_up};
use pcap::{Active, Capture, Precision};
use rustix::net::netdevice::name_to_index;

use super::live::{Counters, Options, Refused};
use super::{Link, Record};
use crate::limits::RING_BYTES_SETTABLE_MIN;
use crate::time::Timestamp;

/// How long the kernel may keep a block of its ring that is not full, in milliseconds: what a packet on a quiet link waits.
const BLOCK_MILLISECONDS: i32 = 2;

/// What a first drop says, and how much another look changes that, in 256ths.
const STRAIN_FIRST: u32 = 128;
const STRAIN_STEP: u32 = 32;

/// libpcap's word for all interfaces; a group of sockets must be on one.
pub(super) const ANY: &str = "any";

impl From<pcap::Error> for Refused {
    fn from(error: pcap::Error) -> Self {
        let text = error.to_string();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["permission", "Operation not permitted"]) {
            Refused::Permission("cap_net_raw")
        } else if says(&["No such device", "disappeared", "No such interface", "doesn't exist"]) {
            Refused::Absent(text)
        } else if says(&["not up", "is down", "went down", "Network is down"]) {
            Refused::Down(text)
        } else {
            Refused::Other(text)
        }
    }
}

/// See the head of this file.
pub(super) struct Libpcap {
    capture: Capture<Active>,
    link: Link,
    interface: String,
    promiscuous: bool,
    /// What kind of device it was opened on: [`Libpcap::link`] hangs on it.
    hardware: u16,
    /// Its 32-bit counters when they were last asked: only differences mean anything.
    seen: (u32, u32),
    /// Grows with each look that finds drops, and shrinks with each that does not.
    strain: u32,
}

impl Libpcap {
    /// Handles for so many workers, each with its share of the ring; each flow and each datagram reaches one of them.
    pub(super) fn open(options: &Options, members: usize) -> Result<Vec<Libpcap>, Refused> {
        let members = if options.interface == ANY { 1 } else { members.max(1) };
        let ring_bytes = (options.ring_bytes / members).max(RING_BYTES_SETTABLE_MIN as usize);
        let mut opened: Vec<Libpcap> = Vec::new();
        let mut group = None;
        for _ in 0..members {
            let one = Libpcap::open_one(options, ring_bytes)?;
            if members > 1 {
                let joined = ::af_xdp::share(one.descriptor(), group);
                group = Some(joined.map_err(|error| Refused::Other(format!("sharing it among workers: {error}")))?);
            }
            opened.push(one);
        }
        Ok(opened)
    }

    fn open_one(options: &Options, ring_bytes: usize) -> Result<Libpcap, Refused> {
        let capture = Capture::from_device(options.interface.as_str())?
            .promisc(options.promiscuous)
            .snaplen(options.snap_bytes as i32)
            .buffer_size(ring_bytes.min(i32::MAX as usize) as i32)
            .timeout(BLOCK_MILLISECONDS)
            .precision(Precision::Nano)
            .open()?;
        let mut capture = capture.setnonblock()?;
        if let Some(filter) = &options.filter {
            capture.filter(filter, true).map_err(|error| Refused::Filter(error.to_string()))?;
        }
        let link = Link::of_datalink(capture.get_datalink().0);
        // what has no such socket (`any` has none of one device) never goes away
        let hardware = hardware(capture.as_fd()).unwrap_or_default();
        let (interface, promiscuous) = (options.interface.clone(), options.promiscuous);
        Ok(Libpcap { capture, link, interface, promiscuous, hardware, seen: (0, 0), strain: 0 })
    }

    /// Reads the interface of the same name again, after it went and came back. The socket stays, with its ring and its
    /// filter: a new one would need CAP_NET_RAW, which is given up after the start.
    pub(super) fn reopen(&self) -> Result<(), Refused> {
        let socket = self.capture.as_fd();
        let absent = |why: &dyn std::fmt::Display| Refused::Absent(why.to_string());
        if !is_up(socket, &self.interface).map_err(|error| absent(&error))? {
            return Err(Refused::Down(self.interface.clone()));
        }
        let index = name_to_index(socket, &self.interface).map_err(|error| absent(&error))?;
        bind_again(socket, index, self.promiscuous).map_err(|error| absent(&error))?;
        match hardware(socket) {
            Ok(hardware) if hardware == self.hardware => Ok(()),
            Ok(0) => Err(Refused::Absent(self.interface.clone())),
            Ok(_) => Err(Refused::Other(format!("{} came back as another kind of link: restart", self.interface))),
            Err(error) => Err(Refused::Other(error.to_string())),
        }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }

    /// Up to `budget` frames, at once.
    pub(super) fn poll(
        &mut self,
        budget: usize,
        time: impl Fn(Timestamp) -> Timestamp,
        chunk: &mut Vec<u8>,
        records: &mut Vec<Record>,
    ) -> Result<(), Refused> {
        let link = self.link;
        let polled = self.capture.dispatch(Some(budget), |packet| {
            let (start, len) = (chunk.len(), packet.data.len());
            chunk.extend_from_slice(packet.data);
            let stamp = packet.header.ts;
            // with nanosecond precision the field for microseconds holds nanoseconds
            let time = time(Timestamp::from_parts(stamp.tv_sec, stamp.tv_usec));
            records.push(Record { start, len, length: packet.header.len.max(len as u32), time, link });
        });
        polled.map(drop).map_err(Refused::from)
    }

    /// How much is lost, as if it were the fill of a ring in 256ths: libpcap does not tell how full its ring is.
    pub(super) fn strain(&self) -> u32 {
        self.strain
    }

    /// Adds what the kernel counted since it was last asked.
    pub(super) fn count(&mut self, counters: &mut Counters) {
        let Ok(now) = self.capture.stats() else { return };
        let before = std::mem::replace(&mut self.seen, (now.received, now.dropped));
        self.strain = match now.dropped != before.1 {
            true => (self.strain + STRAIN_STEP).clamp(STRAIN_FIRST, 255),
            false => self.strain.saturating_sub(STRAIN_STEP),
        };
        counters.offered += u64::from(now.received.wrapping_sub(before.0));
        counters.ring_full += u64::from(now.dropped.wrapping_sub(before.1));
    }
}

/// Frames that an interface had no room for since it was made, as libpcap adds them up; `None`: nobody says. libpcap itself is
/// not asked: it opens the files anew each time, which its thread may not do, and takes what it cannot open for none.
pub(super) fn missed(interface: &str) -> Option<u64> {
    let folder = Path::new("/sys/class/net").join(interface).join("statistics");
    let count = |name: &str| std::fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    Some(count("rx_missed_errors")? + count("rx_fifo_errors")?)
}

/// The number of an interface; `None`: there is none of this name.
///
/// # Errors
/// Nobody says.
pub(super) fn number(interface: &str) -> io::Result<Option<u32>> {
    match std::fs::read_to_string(Path::new("/sys/class/net").join(interface).join("ifindex")) {
        Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
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
