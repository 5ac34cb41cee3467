//! Receiving through AF_XDP: every packet of an interface, from the driver's hands, with nothing but `libc`.
//!
//! In: an interface's name, [`Rights`] and how much memory a queue may have. Out: a [`Hold`] on the interface, and its queues
//! in [`Part`]s, one for each thread that reads: they give [`Packets`], descriptors to wait on and counters that add up. All
//! `unsafe` of the sensor's capture stands in this crate, each block with its reason. Never
//! here: a clock, a wait, a thread, a byte that is sent.
//!
//! What comes to a port is taken, not copied: neither this machine nor another program on it sees it.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the rings of a socket lie at offsets beyond 32 bits");

mod attempt;
mod bpf;
#[cfg(feature = "flood")]
mod flood;
mod hardware;
mod interface;
mod mapping;
mod packet;
mod packets;
mod passing;
mod rights;
mod ring;
mod shunting;
mod shunts;
mod socket;
mod umem;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

pub use attempt::Call;
#[cfg(feature = "flood")]
pub use flood::Flood;
pub use hardware::{Adjusted, ClockState, Offloads, clock_state, deal_by_queue};
pub use interface::{Interface, Lost, Use};
pub use packet::{Group, bind_again, hardware, is_up, share};
pub use packets::Packets;
pub use passing::{hand_over_packet_sockets, pass_packet_socket};
pub use rights::{OwnRights, Prepared, Rights, State};
pub use shunts::{Counted, Direction, SHUNTS, Shunted, Shunts};
use socket::Socket;

/// The kernel puts packets into frames of this size; larger ones take several.
pub const FRAME_BYTES: usize = umem::FRAME_BYTES;

/// Why an interface cannot be received from.
#[derive(Debug)]
pub enum Error {
    /// There is no such interface.
    Absent,
    /// It is switched off.
    Down,
    /// The process lacks CAP_NET_RAW, CAP_NET_ADMIN or CAP_BPF.
    Permission(&'static str),
    /// Another program has a socket on this queue.
    QueueTaken(u32),
    /// Another XDP program is attached.
    Occupied,
    /// The driver knows XDP not, or the interface has none.
    NotNative,
    /// So much memory may not be locked.
    Memory {
        /// What one queue needs.
        bytes: u64,
    },
    /// The kernel answered what it does not document.
    Strange,
    /// Anything else that a call says.
    Call {
        /// Which.
        what: &'static str,
        /// What it says.
        error: io::Error,
    },
}

impl Error {
    fn of(what: &'static str, error: io::Error) -> Error {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Error::Permission(what),
            Some(libc::ENODEV) => Error::Absent,
            Some(libc::ENETDOWN) => Error::Down,
            _ => Error::Call { what, error },
        }
    }

    fn last(what: &'static str) -> Error {
        Error::of(what, io::Error::last_os_error())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Absent => f.write_str("there is no such interface"),
            Error::Down => f.write_str("the interface is down"),
            Error::Permission(what) => {
                write!(f, "{what} is not permitted: needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF")
            }
            Error::QueueTaken(queue) => write!(f, "another program holds queue {queue}"),
            Error::Occupied => f.write_str("another XDP program is attached"),
            Error::NotNative => f.write_str("its driver has no native XDP"),
            Error::Memory { bytes } => write!(f, "{bytes} bytes may not be locked in memory (RLIMIT_MEMLOCK)"),
            Error::Strange => f.write_str("the kernel answered what it does not document"),
            Error::Call { what, error }
                if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EAFNOSUPPORT | libc::ENOSYS)) =>
            {
                write!(f, "{what}: {error} (Linux 6.6 or later is needed)")
            }
            Error::Call { what, error } => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// How an interface is taken.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Memory for packets of one queue, in bytes; rounded down to a power of two of frames ([`FRAME_BYTES`]).
    pub queue_bytes: usize,
    /// Memory for packets of all queues together; where they are many, each gets less.
    pub port_bytes: usize,
    /// Whether frames for others are taken.
    pub promiscuous: bool,
    /// Whoever reads never waits: each look at an empty ring lets the driver fetch packets for so long (microseconds).
    pub busy_poll: Option<u32>,
    /// Whether conversations can be shunted ([`Hold::shunts`]).
    pub shunts: bool,
}

/// What was counted of a queue since it was opened. What came to it is the sum of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets handed out.
    pub received: u64,
    /// Packets that wait to be.
    pub waiting: u64,
    /// Packets dropped because a receive ring was full.
    pub ring_full: u64,
    /// Packets dropped because no frame was free, or too few for so large a packet.
    pub no_frame: u64,
}

impl Counters {
    /// Packets that came to it.
    pub fn came(&self) -> u64 {
        self.received + self.waiting + self.ring_full + self.no_frame
    }
}

/// An interface that is taken, for as long as this is there.
pub struct Hold {
    // in this order: first the packets go their old way
    attached: Option<OwnedFd>,
    _promiscuous: Option<OwnedFd>,
    unclaimed: bpf::Unclaimed,
    shunts: Option<Arc<Shunts>>,
    /// The sockets once more, to be asked for what they dropped.
    sockets: Vec<OwnedFd>,
    index: u32,
    frames: u32,
    zero_copy: bool,
}

impl Hold {
    /// Takes an interface: a socket on each of its queues, then the program, so that no packet comes in between. The queues
    /// are dealt out to at most `parts` parts, none of which is empty.
    ///
    /// # Errors
    /// Why it cannot be had. Nothing of it is left then.
    pub fn take(
        rights: &mut dyn Rights,
        interface: &str,
        options: Options,
        parts: usize,
    ) -> Result<(Hold, Vec<Part>), Error> {
        let prepared = rights.prepare(interface, options.promiscuous, options.busy_poll, options.shunts)?;
        let unclaimed = bpf::Unclaimed::of(prepared.unclaimed.as_fd())?;
        let shunts = prepared.shunts.as_ref().map(|map| Shunts::of(map.as_fd()).map(Arc::new)).transpose()?;
        let queues = prepared.sockets.len();
        let frames = frames_in(options.queue_bytes.min(options.port_bytes / queues.max(1)));
        let count = parts.clamp(1, queues.max(1));
        let mut parts: Vec<Part> = std::iter::repeat_with(Part::default).take(count).collect();
        let again = |fd: &OwnedFd| fd.try_clone().map_err(|error| Error::of("dup", error));
        let sockets = prepared.sockets.iter().map(again).collect::<Result<_, _>>()?;
        for (queue, fd) in prepared.sockets.into_iter().enumerate() {
            let mut socket = Socket::bound(fd, prepared.index, queue as u32, frames)?;
            if options.busy_poll.is_some() {
                socket.looks_busily();
            }
            parts[queue % count].sockets.push((queue as u32, socket));
        }
        let zero_copy = parts.iter().flat_map(|part| &part.sockets).all(|(_, socket)| socket.is_zero_copy());
        let hold = Hold {
            attached: Some(rights.attach(interface)?),
            _promiscuous: prepared.promiscuous,
            unclaimed,
            shunts,
            sockets,
            index: prepared.index,
            frames,
            zero_copy,
        };
        Ok((hold, parts))
    }

    /// From now on packets go their old way, and nothing more is counted: what was, is final.
    pub fn release(&mut self) {
        // the kernel lets nobody wait in vain: when the link is closed, no packet is in the program
        self.attached = None;
        self.shunts.iter().for_each(|shunts| shunts.end());
    }

    /// Where its conversations are shunted, if they can be.
    pub fn shunts(&self) -> Option<&Arc<Shunts>> {
        self.shunts.as_ref()
    }

    /// Packets dropped because they came by a queue without a socket.
    pub fn unclaimed(&self) -> u64 {
        self.unclaimed.count()
    }

    /// Packets that its sockets dropped, whatever the cause.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn dropped(&self) -> Result<u64, Error> {
        let of = |fd: &OwnedFd| socket::losses(fd.as_fd()).map(|losses| losses.ring_full + losses.no_frame);
        self.sockets.iter().map(of).sum()
    }

    /// Whether the interface is still the one that was taken, with the same queues.
    pub fn is_of(&self, state: &State) -> bool {
        (self.index, self.queues()) == (state.index, state.queues)
    }

    /// Queues that are read.
    pub fn queues(&self) -> u32 {
        self.sockets.len() as u32
    }

    /// Frames of one queue; its receive ring has half as many places.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Whether the driver writes into our frames itself, on every queue.
    pub fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

/// Some queues of an interface, for one thread.
#[derive(Default)]
pub struct Part {
    sockets: Vec<(u32, Socket)>,
    /// The queue that is asked first.
    next: usize,
    /// The queue that gave the last packets.
    last: usize,
}

impl Part {
    /// Up to `budget` packets of one queue, at once; the queues take turns. Frames of the packets before go back.
    pub fn receive(&mut self, budget: usize) -> Packets<'_> {
        let count = self.sockets.len();
        let turns = (0..count).map(|turn| (self.next + turn) % count);
        for queue in turns {
            self.last = queue;
            if self.sockets[queue].1.receive(budget) > 0 {
                break;
            }
        }
        self.next = (self.last + 1) % count.max(1);
        self.packets()
    }

    /// The packets that [`Part::receive`] gave last.
    ///
    /// # Panics
    /// If it has no queue; [`Hold::take`] gives none such.
    pub fn packets(&self) -> Packets<'_> {
        self.sockets[self.last].1.packets()
    }

    /// What to wait on: one descriptor for each queue.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(|(_, socket)| socket.as_fd())
    }

    /// What was counted, by the number of the queue.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn counters(&mut self) -> Result<Vec<(u32, Counters)>, Error> {
        let of = |(queue, socket): &mut (u32, Socket)| {
            let losses = socket.losses()?;
            let counters = Counters {
                received: socket.received(),
                waiting: socket.waiting(),
                ring_full: losses.ring_full,
                no_frame: losses.no_frame,
            };
            Ok((*queue, counters))
        };
        self.sockets.iter_mut().map(of).collect()
    }

    /// How full the fullest of its rings is, in 256ths.
    pub fn fill(&mut self) -> u32 {
        self.sockets.iter_mut().map(|(_, socket)| socket.fill()).max().unwrap_or_default()
    }

    /// What a socket has to complain of, told once. An interface that was removed shows nowhere else.
    pub fn complaint(&self) -> Option<Error> {
        let told = self.sockets.iter().find_map(|(_, socket)| socket.complaint())?;
        Some(Error::of("the socket", told))
    }
}

/// Frames of a queue: a power of two, so that all of them fit the fill ring, and half of them the receive ring.
fn frames_in(bytes: usize) -> u32 {
    let frames = (bytes / FRAME_BYTES).clamp(FRAMES_MIN, FRAMES_MAX) as u32;
    1 << frames.ilog2()
}

/// The least that holds one packet of 64 KiB twice over.
const FRAMES_MIN: usize = 128;

/// As much as the kernel takes entries of a ring, with room to spare: 2 GiB.
const FRAMES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_has_a_power_of_two_of_frames() {
        assert_eq!(frames_in(64 << 20), 32_768);
        assert_eq!(frames_in((64 << 20) - 1), 16_384);
        assert_eq!(frames_in(0), 128);
        assert_eq!(frames_in(usize::MAX), 1 << 20);
    }

    #[test]
    fn errors_tell_what_to_do_about_them() {
        let of = |code| Error::of("bind", io::Error::from_raw_os_error(code));
        assert!(matches!(of(libc::EPERM), Error::Permission("bind")));
        assert!(matches!(of(libc::ENODEV), Error::Absent));
        assert!(matches!(of(libc::ENETDOWN), Error::Down));
        assert!(of(libc::EIO).to_string().starts_with("bind: "));
        assert!(of(libc::EINVAL).to_string().ends_with("(Linux 6.6 or later is needed)"), "packets of several pieces");
        assert!(Error::Memory { bytes: 7 }.to_string().contains("RLIMIT_MEMLOCK"));
        assert_eq!(Error::QueueTaken(3).to_string(), "another program holds queue 3");
    }
}
