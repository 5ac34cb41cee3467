//! Receiving through AF_XDP: every packet of an interface, from the driver's hands, with nothing but `libc`.
//!
//! In: an [`Interface`] and how much memory a queue may have. Out: a [`Port`] that gives [`Packets`], descriptors to wait on
//! and counters that add up. All `unsafe` of the sensor's capture stands in this crate, each block with its reason. Never
//! here: a clock, a wait, a thread, a byte that is sent.
//!
//! What comes to a port is taken, not copied: neither this machine nor another program on it sees it.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the rings of a socket lie at offsets beyond 32 bits");

mod bpf;
mod hardware;
mod interface;
mod mapping;
mod packets;
mod ring;
mod socket;
mod umem;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub use hardware::{Adjusted, ClockState, Offloads, clock_state, deal_by_queue};
pub use interface::{Interface, Lost, Use};
pub use packets::Packets;
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

/// How a port is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Memory for packets of one queue, in bytes; rounded down to a power of two of frames ([`FRAME_BYTES`]).
    pub queue_bytes: usize,
    /// Whether frames for others are taken.
    pub promiscuous: bool,
}

/// What was counted of a port since it was opened. What came to it is the sum of all.
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
    /// Packets dropped because they came by a queue without a socket.
    pub unclaimed: u64,
}

impl Counters {
    /// Packets that came to the port.
    pub fn came(&self) -> u64 {
        self.received + self.waiting + self.ring_full + self.no_frame + self.unclaimed
    }
}

/// An interface of which every packet comes here.
pub struct Port {
    // in this order: first the packets go their old way, then the sockets close
    _attached: OwnedFd,
    program: bpf::Program,
    sockets: Vec<Socket>,
    _promiscuous: Option<OwnedFd>,
    frames: u32,
    /// The queue that is asked first.
    next: usize,
    /// The queue that gave the last packets.
    last: usize,
}

impl Port {
    /// Takes an interface: a socket on each of its queues, then the program, so that no packet comes in between.
    ///
    /// # Errors
    /// Why it cannot be had. Nothing of it is left then.
    pub fn open(interface: &Interface, options: Options) -> Result<Port, Error> {
        if !interface.is_up() {
            return Err(Error::Down);
        }
        let queues = interface.queues().map_err(|error| Error::of("its queues", error))?;
        if queues == 0 {
            return Err(Error::Strange);
        }
        let frames = frames_in(options.queue_bytes);
        let program = bpf::Program::load(queues)?;
        let mut sockets = Vec::new();
        for queue in 0..queues {
            let socket = Socket::bound(interface.index(), queue, frames)?;
            program.give(queue, socket.as_fd())?;
            sockets.push(socket);
        }
        let promiscuous = options.promiscuous.then(|| interface.promiscuous()).transpose()?;
        let attached = program.attach(interface.index())?;
        Ok(Port { _attached: attached, program, sockets, _promiscuous: promiscuous, frames, next: 0, last: 0 })
    }

    /// Up to `budget` packets of one queue, at once; the queues take turns. Frames of the packets before go back.
    pub fn receive(&mut self, budget: usize) -> Packets<'_> {
        let count = self.sockets.len();
        let turns = (0..count).map(|turn| (self.next + turn) % count);
        for queue in turns {
            self.last = queue;
            if self.sockets[queue].receive(budget) > 0 {
                break;
            }
        }
        self.next = (self.last + 1) % count;
        self.packets()
    }

    /// The packets that [`Port::receive`] gave last.
    pub fn packets(&self) -> Packets<'_> {
        self.sockets[self.last].packets()
    }

    /// What to wait on: one descriptor for each queue.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(Socket::as_fd)
    }

    /// What was counted.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn counters(&mut self) -> Result<Counters, Error> {
        let mut sum = Counters { unclaimed: self.program.unclaimed()?, ..Counters::default() };
        for socket in &mut self.sockets {
            let losses = socket.losses()?;
            sum.received += socket.received();
            sum.waiting += socket.waiting();
            sum.ring_full += losses.ring_full;
            sum.no_frame += losses.no_frame;
        }
        Ok(sum)
    }

    /// Packets handed out, by queue.
    pub fn received_by_queue(&self) -> impl Iterator<Item = u64> {
        self.sockets.iter().map(Socket::received)
    }

    /// What a socket has to complain of, told once. An interface that was removed shows nowhere else.
    pub fn complaint(&self) -> Option<Error> {
        let told = self.sockets.iter().find_map(Socket::complaint)?;
        Some(Error::of("the socket", told))
    }

    /// Frames of one queue; its receive ring has half as many places.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Whether the driver writes into our frames itself, on every queue.
    pub fn is_zero_copy(&self) -> bool {
        self.sockets.iter().all(Socket::is_zero_copy)
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
