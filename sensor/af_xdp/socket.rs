//! One AF_XDP socket: all packets of one receive queue of an interface.
//!
//! In: an interface, a queue, how many frames. Out: packets, and the kernel's counters. The socket has no transmit ring:
//! nothing here can send. Never here: which packets come to it (the program says), a wait.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::Error;
use crate::mapping::Mapping;
use crate::packets::{Packets, Taken, waiting};
use crate::ring::{Consumer, Descriptor, Entry, Offsets, Producer};
use crate::umem::Umem;

/// Nothing is sent, so nothing completes; the kernel insists on the ring.
const COMPLETION_ENTRIES: u32 = 64;

// options of asm-generic/socket.h that libc does not name
const SO_PREFER_BUSY_POLL: libc::c_int = 69;
const SO_BUSY_POLL_BUDGET: libc::c_int = 70;

/// Packets that the driver may fetch at once when it is polled busily: the kernel's own bound for one without rights.
const BUSY_POLL_PACKETS: u32 = 64;

/// What the kernel counted of one socket since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// The receive ring was full.
    pub(crate) ring_full: u64,
    /// No frame was free, or the packet was too large for those that were.
    pub(crate) no_frame: u64,
}

/// See the head of this file.
pub(crate) struct Socket {
    // closed before its memory goes
    fd: OwnedFd,
    reads: Consumer<Descriptor>,
    fill: Producer<u64>,
    taken: Taken,
    umem: Umem,
    received: u64,
    polls_busily: bool,
}

impl Socket {
    /// A socket that listens to nothing yet. Needs CAP_NET_RAW; nothing after it does.
    pub(crate) fn made() -> Result<OwnedFd, Error> {
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(Error::last("socket(AF_XDP)"));
        }
        // SAFETY: the descriptor was just made, and nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Binds a socket to `queue`, with `frames` frames (a power of two) and a receive ring of half as many.
    pub(crate) fn bound(fd: OwnedFd, interface: u32, queue: u32, frames: u32) -> Result<Socket, Error> {
        let umem = Umem::new(frames).map_err(|error| Error::of("mmap", error))?;
        let too_much = |error: Error| match error {
            Error::Call { error, .. } if error.raw_os_error() == Some(libc::ENOBUFS) => {
                Error::Memory { bytes: umem.registration().len }
            }
            other => other,
        };
        set(fd.as_fd(), libc::SOL_XDP, libc::XDP_UMEM_REG, &umem.registration(), "XDP_UMEM_REG").map_err(too_much)?;
        // twice the frames: the kernel says late which entries it has read, and whoever has a frame may give it back at once
        let fill_entries = frames * 2;
        for (option, entries, name) in [
            (libc::XDP_UMEM_FILL_RING, fill_entries, "XDP_UMEM_FILL_RING"),
            (libc::XDP_UMEM_COMPLETION_RING, COMPLETION_ENTRIES, "XDP_UMEM_COMPLETION_RING"),
            (libc::XDP_RX_RING, frames / 2, "XDP_RX_RING"),
        ] {
            set(fd.as_fd(), libc::SOL_XDP, option, &entries, name)?;
        }
        let offsets: libc::xdp_mmap_offsets = get(fd.as_fd(), libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?;
        let (mapping, at) = ring::<Descriptor>(fd.as_fd(), &offsets.rx, libc::XDP_PGOFF_RX_RING, frames / 2)?;
        let reads = Consumer::new(mapping, at, frames / 2).ok_or(Error::Strange)?;
        let place = libc::XDP_UMEM_PGOFF_FILL_RING as libc::off_t;
        let (mapping, at) = ring::<u64>(fd.as_fd(), &offsets.fr, place, fill_entries)?;
        let mut fill = Producer::new(mapping, at, fill_entries).ok_or(Error::Strange)?;
        if !umem.frames().all(|frame| fill.push(frame)) {
            return Err(Error::Strange);
        }
        fill.publish();
        bind(fd.as_fd(), interface, queue)?;
        Ok(Socket { fd, reads, fill, taken: Taken::default(), umem, received: 0, polls_busily: false })
    }

    /// Gives the frames of the batch before back and takes up to `budget` packets; how many there were.
    pub(crate) fn receive(&mut self, budget: usize) -> usize {
        if self.taken.holds_frames() {
            let fill = &mut self.fill;
            self.taken.give_back(|frame| fill.push(frame));
            fill.publish();
        }
        if self.fill.wants_wakeup() || self.polls_busily && self.reads.look() == 0 {
            self.wake();
        }
        self.taken.take(&mut self.reads, &self.umem, budget);
        self.received += self.taken.len() as u64;
        self.taken.len()
    }

    /// The packets that [`Socket::receive`] took last.
    pub(crate) fn packets(&self) -> Packets<'_> {
        self.taken.packets(&self.umem)
    }

    /// Packets taken since it was made.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Packets that wait in the ring.
    pub(crate) fn waiting(&mut self) -> u64 {
        waiting(&mut self.reads)
    }

    /// How full its receive ring is, in 256ths.
    pub(crate) fn fill(&mut self) -> u32 {
        self.reads.look() * 256 / self.reads.len()
    }

    /// From now on it looks for packets at an empty ring too, as [`poll_busily`] has it: whoever reads must not wait then.
    pub(crate) fn looks_busily(&mut self) {
        self.polls_busily = true;
    }

    /// Tells the kernel that there are frames to be filled, or lets the driver fetch packets.
    fn wake(&self) {
        let (none, flags) = (std::ptr::null_mut(), libc::MSG_DONTWAIT);
        // SAFETY: no byte is asked for, so none is written; there is no address to be told.
        let _told =
            unsafe { libc::recvfrom(self.fd.as_raw_fd(), none, 0, flags, std::ptr::null_mut(), std::ptr::null_mut()) };
    }

    pub(crate) fn losses(&self) -> Result<Losses, Error> {
        losses(self.fd.as_fd())
    }

    /// What the socket has to complain of, told once: an interface that was removed shows nowhere else.
    pub(crate) fn complaint(&self) -> Option<io::Error> {
        let code: libc::c_int = get(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR).ok()?;
        (code != 0).then(|| io::Error::from_raw_os_error(code))
    }

    /// Whether the driver writes into our frames itself.
    pub(crate) fn is_zero_copy(&self) -> bool {
        let options = get::<libc::xdp_options>(self.fd.as_fd(), libc::SOL_XDP, libc::XDP_OPTIONS);
        options.is_ok_and(|options| options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// From now on a look at an empty ring lets the driver fetch packets for so long. It takes CAP_NET_ADMIN.
pub(crate) fn poll_busily(socket: BorrowedFd<'_>, microseconds: u32) -> Result<(), Error> {
    for (option, value, name) in [
        (SO_PREFER_BUSY_POLL, 1, "SO_PREFER_BUSY_POLL"),
        (libc::SO_BUSY_POLL, microseconds, "SO_BUSY_POLL"),
        (SO_BUSY_POLL_BUDGET, BUSY_POLL_PACKETS, "SO_BUSY_POLL_BUDGET"),
    ] {
        set(socket, libc::SOL_SOCKET, option, &value, name)?;
    }
    Ok(())
}

/// What the kernel counted of a socket.
pub(crate) fn losses(socket: BorrowedFd<'_>) -> Result<Losses, Error> {
    let counted: libc::xdp_statistics = get(socket, libc::SOL_XDP, libc::XDP_STATISTICS)?;
    Ok(Losses { ring_full: counted.rx_ring_full, no_frame: counted.rx_dropped })
}

/// A ring of a socket, and where its parts lie.
fn ring<T: Entry>(
    socket: BorrowedFd<'_>,
    at: &libc::xdp_ring_offset,
    place: libc::off_t,
    entries: u32,
) -> Result<(Mapping, Offsets), Error> {
    let offsets = Offsets {
        producer: at.producer as usize,
        consumer: at.consumer as usize,
        entries: at.desc as usize,
        flags: at.flags as usize,
    };
    let len = offsets.entries + entries as usize * size_of::<T>();
    let mapping = Mapping::of_socket(socket, place, len).map_err(|error| Error::of("mmap of a ring", error))?;
    Ok((mapping, offsets))
}

/// Without XDP_COPY and XDP_ZEROCOPY the kernel takes the better of both that the driver has. XDP_USE_SG: without it jumbo
/// frames are dropped.
fn bind(socket: BorrowedFd<'_>, interface: u32, queue: u32) -> Result<(), Error> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: libc::XDP_USE_NEED_WAKEUP | libc::XDP_USE_SG,
        sxdp_ifindex: interface,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `address`, which outlives the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&address).cast(), len) };
    if bound == 0 {
        return Ok(());
    }
    match Error::last("bind") {
        Error::Call { error, .. } if error.raw_os_error() == Some(libc::EBUSY) => Err(Error::QueueTaken(queue)),
        other => Err(other),
    }
}

/// Options of sockets: every bit pattern is one, and there is no padding.
///
/// # Safety
/// As it says.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: integers, and structures of the kernel that are made of nothing else, without padding.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for libc::c_int {}
// SAFETY: as above.
unsafe impl Plain for libc::xdp_umem_reg {}
// SAFETY: as above.
unsafe impl Plain for libc::xdp_mmap_offsets {}
// SAFETY: as above.
unsafe impl Plain for libc::xdp_statistics {}
// SAFETY: as above.
unsafe impl Plain for libc::xdp_options {}
// SAFETY: two integers of four bytes and two of two, then eight bytes.
unsafe impl Plain for libc::packet_mreq {}

pub(crate) fn set<T: Plain>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
    name: &'static str,
) -> Result<(), Error> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `value`; the kernel reads so many bytes and keeps no pointer.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), len) };
    if set == 0 { Ok(()) } else { Err(Error::last(name)) }
}

pub(crate) fn get<T: Plain>(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int) -> Result<T, Error> {
    let (mut value, mut len) = (MaybeUninit::<T>::zeroed(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `len` bytes, the size of `value`.
    let got = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, value.as_mut_ptr().cast(), std::ptr::from_mut(&mut len))
    };
    if got != 0 {
        return Err(Error::last("getsockopt"));
    }
    if len as usize != size_of::<T>() {
        return Err(Error::Strange); // a kernel before 5.9 knows less
    }
    // SAFETY: it was zeroed, then written by the kernel; every bit pattern is a value.
    Ok(unsafe { value.assume_init() })
}
