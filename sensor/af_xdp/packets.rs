//! Descriptors become packets: most are one frame, larger ones are joined from several.
//!
//! In: the receive ring and the frames' memory. Out: [`Packets`], and the frames that lie with us until the batch is over.
//! Never here: a system call.

use crate::ring::{Consumer, Descriptor};
use crate::umem::Umem;

/// A packet of the batch: in its frame, or joined.
#[derive(Clone, Copy, Debug)]
enum Packet {
    Frame { address: u64, len: u32 },
    Joined { start: usize, len: usize },
}

/// What was taken of a ring and not given back.
#[derive(Default)]
pub(crate) struct Taken {
    packets: Vec<Packet>,
    joined: Vec<u8>,
    /// Addresses of all frames of these packets.
    held: Vec<u64>,
}

impl Taken {
    /// Hands the frames of the batch before to `back`; its packets are gone. What `back` has no room for stays here until the
    /// next time: a frame that is lost is lost for as long as the socket lives.
    pub(crate) fn give_back(&mut self, mut back: impl FnMut(u64) -> bool) {
        self.packets.clear();
        self.joined.clear();
        self.held.retain(|frame| !back(*frame));
    }

    /// Whether there is anything to give back.
    pub(crate) fn holds_frames(&self) -> bool {
        !(self.held.is_empty() && self.packets.is_empty())
    }

    /// Takes up to `budget` whole packets. One whose last piece is not there yet stays in the ring.
    pub(crate) fn take(&mut self, reads: &mut Consumer<Descriptor>, umem: &Umem, budget: usize) {
        let waiting = reads.look();
        let mut done = 0;
        while done < waiting && self.packets.len() < budget {
            let Some(last) = (done..waiting).find(|at| reads.entry(*at).is_some_and(|piece| !piece.continues())) else {
                break;
            };
            self.packet(reads, umem, done..last + 1);
            done = last + 1;
        }
        reads.release(done);
    }

    fn packet(&mut self, reads: &Consumer<Descriptor>, umem: &Umem, pieces: std::ops::Range<u32>) {
        let (single, start) = (pieces.len() == 1, self.joined.len());
        for piece in pieces.filter_map(|at| reads.entry(at)) {
            let Descriptor { address, len, .. } = piece;
            // of a driver at fault: a packet of which nothing is known, counted as any that is malformed
            if !umem.holds(address, len) {
                continue;
            }
            self.held.push(Umem::frame_of(address));
            if single {
                self.packets.push(Packet::Frame { address, len });
                return;
            }
            // SAFETY: the kernel has handed this frame out, and it gets it back in `give_back`, not before.
            self.joined.extend_from_slice(unsafe { umem.bytes(address, len) });
        }
        self.packets.push(Packet::Joined { start, len: self.joined.len() - start });
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// The packets, for as long as nobody takes or gives back.
    pub(crate) fn packets<'a>(&'a self, umem: &'a Umem) -> Packets<'a> {
        Packets { taken: self, umem }
    }
}

/// Packets that wait in a ring.
pub(crate) fn waiting(reads: &mut Consumer<Descriptor>) -> u64 {
    (0..reads.look()).filter_map(|at| reads.entry(at)).filter(|piece| !piece.continues()).count() as u64
}

/// Packets received together; their frames go back to the kernel when the next are asked for.
#[derive(Clone, Copy)]
pub struct Packets<'a> {
    taken: &'a Taken,
    umem: &'a Umem,
}

impl<'a> Packets<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of one, in the order of their coming.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn get(&self, at: usize) -> &'a [u8] {
        match self.taken.packets[at] {
            // SAFETY: the frame was handed out by the kernel and is in `held`; it goes back through `give_back`, which
            // needs `Taken` for itself, and `self` borrows it.
            Packet::Frame { address, len } => unsafe { self.umem.bytes(address, len) },
            Packet::Joined { start, len } => &self.taken.joined[start..start + len],
        }
    }
}

impl std::fmt::Debug for Packets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries((0..self.len()).map(|at| self.get(at).len())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Producer;
    use crate::ring::plain::ends;

    const MORE: u32 = libc::XDP_PKT_CONTD;

    /// Puts pieces into frames and their descriptors into the ring, as the kernel does.
    fn arrive(umem: &mut Umem, writes: &mut Producer<Descriptor>, pieces: &[(u64, &[u8], u32)]) {
        for (frame, bytes, options) in pieces {
            let address = frame * 2048 + 256;
            umem.fill(address, bytes);
            assert!(writes.push(Descriptor { address, len: bytes.len() as u32, options: *options }));
        }
        writes.publish();
    }

    fn texts(taken: &Taken, umem: &Umem) -> Vec<String> {
        let packets = taken.packets(umem);
        (0..packets.len()).map(|at| String::from_utf8_lossy(packets.get(at)).into_owned()).collect()
    }

    fn given_back(taken: &mut Taken) -> Vec<u64> {
        let mut frames = Vec::new();
        taken.give_back(|frame| {
            frames.push(frame);
            true
        });
        frames
    }

    #[test]
    fn pieces_become_one_packet_between_others() {
        let ((mut writes, mut reads), mut umem) = (ends(8, u32::MAX - 2), Umem::new(8).expect("memory"));
        let pieces: [(u64, &[u8], u32); 5] =
            [(5, b"one", 0), (2, b"tw", MORE), (7, b"o a", MORE), (1, b"nd", 0), (3, b"three", 0)];
        arrive(&mut umem, &mut writes, &pieces);
        let mut taken = Taken::default();
        assert_eq!(waiting(&mut reads), 3);
        taken.take(&mut reads, &umem, 64);
        assert_eq!(texts(&taken, &umem), ["one", "two and", "three"]);
        assert_eq!(waiting(&mut reads), 0);
        assert_eq!(given_back(&mut taken), [5, 2, 7, 1, 3].map(|frame| frame * 2048), "each frame, from its beginning");
        assert_eq!(taken.len(), 0);
    }

    #[test]
    fn a_frame_for_which_there_is_no_room_is_given_back_later() {
        let ((mut writes, mut reads), mut umem) = (ends(8, 0), Umem::new(8).expect("memory"));
        arrive(&mut umem, &mut writes, &[(3, b"one", 0), (4, b"two", 0), (5, b"three", 0)]);
        let mut taken = Taken::default();
        taken.take(&mut reads, &umem, 64);
        taken.give_back(|frame| frame == 4 * 2048);
        assert!(taken.len() == 0 && taken.holds_frames());
        assert_eq!(given_back(&mut taken), [3, 5].map(|frame| frame * 2048));
        assert!(!taken.holds_frames());
    }

    #[test]
    fn a_packet_whose_end_is_not_there_yet_waits() {
        let ((mut writes, mut reads), mut umem) = (ends(8, 0), Umem::new(8).expect("memory"));
        arrive(&mut umem, &mut writes, &[(0, b"whole", 0), (1, b"half ", MORE)]);
        let mut taken = Taken::default();
        taken.take(&mut reads, &umem, 64);
        assert_eq!(texts(&taken, &umem), ["whole"]);
        assert_eq!(given_back(&mut taken), [0]);
        taken.take(&mut reads, &umem, 64);
        assert_eq!(taken.len(), 0);
        arrive(&mut umem, &mut writes, &[(2, b"and half", 0)]);
        taken.take(&mut reads, &umem, 64);
        assert_eq!(texts(&taken, &umem), ["half and half"]);
    }

    #[test]
    fn a_budget_counts_packets_and_not_pieces() {
        let ((mut writes, mut reads), mut umem) = (ends(8, 0), Umem::new(8).expect("memory"));
        arrive(&mut umem, &mut writes, &[(0, b"a", MORE), (1, b"b", 0), (2, b"c", MORE), (3, b"d", 0), (4, b"e", 0)]);
        let mut taken = Taken::default();
        taken.take(&mut reads, &umem, 2);
        assert_eq!(texts(&taken, &umem), ["ab", "cd"]);
        given_back(&mut taken);
        taken.take(&mut reads, &umem, 2);
        assert_eq!(texts(&taken, &umem), ["e"]);
    }

    #[test]
    fn a_descriptor_of_no_frame_is_an_empty_packet_and_touches_nothing() {
        let ((mut writes, mut reads), umem) = (ends(8, 0), Umem::new(2).expect("memory"));
        for (address, len) in [(2 * 2048, 1), (2000, 100), (u64::MAX - 1, 7)] {
            assert!(writes.push(Descriptor { address, len, options: 0 }));
        }
        writes.publish();
        let mut taken = Taken::default();
        taken.take(&mut reads, &umem, 64);
        assert_eq!(texts(&taken, &umem), ["", "", ""], "three packets, of which nothing is known");
        assert_eq!(given_back(&mut taken), [0; 0]);
    }
}
