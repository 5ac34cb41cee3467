//! The frames' memory: where the kernel puts packets, cut into frames of one size.
//!
//! In: how many frames. Out: their addresses, and the bytes that a descriptor means. Never here: whose a frame is at a time;
//! that is the rings' affair.

use std::io;

use crate::mapping::Mapping;

/// A frame, the kernel's head room of 256 bytes included: what an Ethernet frame of 1,518 bytes needs, in a power of two.
pub(crate) const FRAME_BYTES: usize = 2048;

/// See the head of this file.
pub(crate) struct Umem {
    mapping: Mapping,
}

impl Umem {
    pub(crate) fn new(frames: u32) -> io::Result<Umem> {
        Ok(Umem { mapping: Mapping::populated(frames as usize * FRAME_BYTES)? })
    }

    /// As `XDP_UMEM_REG` takes it.
    pub(crate) fn registration(&self) -> libc::xdp_umem_reg {
        libc::xdp_umem_reg {
            addr: self.mapping.first().as_ptr().addr() as u64,
            len: self.mapping.len() as u64,
            chunk_size: FRAME_BYTES as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        }
    }

    /// Each frame, by the address of its beginning.
    pub(crate) fn frames(&self) -> impl Iterator<Item = u64> + use<> {
        (0..self.mapping.len() / FRAME_BYTES).map(|frame| (frame * FRAME_BYTES) as u64)
    }

    /// The frame around an address.
    pub(crate) fn frame_of(address: u64) -> u64 {
        address & !(FRAME_BYTES as u64 - 1)
    }

    /// Whether bytes lie inside of one frame.
    pub(crate) fn holds(&self, address: u64, len: u32) -> bool {
        let inside = address % FRAME_BYTES as u64;
        address < self.mapping.len() as u64 && inside + u64::from(len) <= FRAME_BYTES as u64
    }

    /// Bytes of a frame.
    ///
    /// # Safety
    /// The kernel must have handed the frame out through the receive ring, and must not get it back while the bytes are
    /// borrowed.
    ///
    /// # Panics
    /// If the bytes do not lie inside of one frame ([`Umem::holds`]).
    pub(crate) unsafe fn bytes(&self, address: u64, len: u32) -> &[u8] {
        assert!(self.holds(address, len), "bytes outside of a frame");
        // SAFETY: the bytes lie inside of the mapping, which lives as long as `self` and was zeroed by the kernel; the
        // caller holds the frame, so nobody writes to it.
        unsafe { std::slice::from_raw_parts(self.mapping.first().as_ptr().add(address as usize), len as usize) }
    }

    /// What the kernel does when a packet comes.
    #[cfg(test)]
    pub(crate) fn fill(&mut self, address: u64, bytes: &[u8]) {
        assert!(self.holds(address, bytes.len() as u32));
        // SAFETY: the bytes lie inside of the mapping, and `&mut self` means that nobody reads them.
        unsafe { self.mapping.first().as_ptr().add(address as usize).copy_from(bytes.as_ptr(), bytes.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_cut_into_frames() {
        let umem = Umem::new(4).expect("memory");
        assert_eq!(umem.frames().collect::<Vec<_>>(), [0, 2048, 4096, 6144]);
        assert_eq!(Umem::frame_of(4096 + 256), 4096);
        assert_eq!((umem.registration().len, umem.registration().chunk_size), (8192, 2048));
    }

    #[test]
    fn bytes_outside_of_a_frame_are_told() {
        let umem = Umem::new(2).expect("memory");
        assert!(umem.holds(256, 1792) && umem.holds(2048 + 256, 60));
        assert!(!umem.holds(256, 1793), "into the next frame");
        assert!(!umem.holds(4096, 0), "behind the last");
        assert!(!umem.holds(u64::MAX, u32::MAX));
    }
}
