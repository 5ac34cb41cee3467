//! Memory that is shared with the kernel.
//!
//! In: a length, or a descriptor with an offset. Out: a [`Mapping`] that stays where it is until it is dropped. Never here:
//! what lies in it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// What the kernel backs by one translation entry on x86-64 and 64-bit ARM with 4 KiB base pages.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// To be read and written.
const BOTH: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

/// Pages of memory, zero at first, writable.
pub(crate) struct Mapping {
    first: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process and not to a thread, and only its owner unmaps it. What is read and written
// through its pointer is the business of the types that own one, and they say how.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Private memory, on reserved huge pages where there are any; else the kernel is asked to use them when it can. All of
    /// it is there when this returns, so that no packet pays for the first touch.
    pub(crate) fn populated(len: usize) -> io::Result<Mapping> {
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        if len.is_multiple_of(HUGE_PAGE_BYTES)
            && let Ok(huge) = Mapping::new(len, BOTH, private | libc::MAP_HUGETLB | libc::MAP_POPULATE, -1, 0)
        {
            return Ok(huge);
        }
        let mapping = Mapping::new(len, BOTH, private, -1, 0)?;
        for advice in [libc::MADV_HUGEPAGE, libc::MADV_POPULATE_WRITE] {
            // SAFETY: the range is the mapping just made; neither advice changes what memory holds. A kernel that knows
            // one of them not serves small pages, or serves them late: slower, never wrong.
            let _advised = unsafe { libc::madvise(mapping.first.as_ptr().cast(), len, advice) };
        }
        Ok(mapping)
    }

    /// What a socket shares at `offset`.
    pub(crate) fn of_socket(socket: BorrowedFd<'_>, offset: libc::off_t, len: usize) -> io::Result<Mapping> {
        Mapping::new(len, BOTH, libc::MAP_SHARED | libc::MAP_POPULATE, socket.as_raw_fd(), offset)
    }

    /// The first `len` bytes of a map of `bpf(2)` that was made to be seen as memory; they can be read and not written.
    pub(crate) fn of_map(map: BorrowedFd<'_>, len: usize) -> io::Result<Mapping> {
        Mapping::new(len, libc::PROT_READ, libc::MAP_SHARED, map.as_raw_fd(), 0)
    }

    /// As [`Mapping::of_map`]; they can be written too.
    pub(crate) fn of_map_to_write(map: BorrowedFd<'_>, len: usize) -> io::Result<Mapping> {
        Mapping::new(len, BOTH, libc::MAP_SHARED | libc::MAP_POPULATE, map.as_raw_fd(), 0)
    }

    fn new(
        len: usize,
        rights: libc::c_int,
        flags: libc::c_int,
        fd: libc::c_int,
        offset: libc::off_t,
    ) -> io::Result<Mapping> {
        // SAFETY: without MAP_FIXED and with no address wished for, the kernel takes room that nobody uses.
        let first = unsafe { libc::mmap(std::ptr::null_mut(), len, rights, flags, fd, offset) };
        if first == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(first.cast::<u8>()) {
            Some(first) => Ok(Mapping { first, len }),
            None => Err(io::Error::other("memory at address 0")),
        }
    }

    /// Its first byte, at the beginning of a page.
    pub(crate) fn first(&self) -> NonNull<u8> {
        self.first
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is one that `mmap` gave and that nobody else unmaps; whoever points into it holds the mapping.
        let _unmapped = unsafe { libc::munmap(self.first.as_ptr().cast(), self.len) };
    }
}
