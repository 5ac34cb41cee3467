//! Rings that the kernel and the sensor share: one writes, the other reads, and nobody locks.
//!
//! In: a mapping and where the parts of a ring lie in it. Out: [`Consumer`] and [`Producer`], one end each. The indices run
//! on for ever and wrap at 2^32; an entry lies at its index modulo the length. Who wrote an entry publishes it by storing
//! the producer's index with Release, who reads has loaded it with Acquire; the same holds the other way for the consumer's.
//! Never here: a socket, what an entry means.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::mapping::Mapping;

/// Where the parts of a ring lie in its mapping, in bytes (`struct xdp_ring_offset`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offsets {
    pub(crate) producer: usize,
    pub(crate) consumer: usize,
    pub(crate) entries: usize,
    pub(crate) flags: usize,
}

/// A frame, or a piece of one, that the kernel has filled (`struct xdp_desc`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Descriptor {
    /// Where its bytes begin, from the beginning of the frames' memory.
    pub(crate) address: u64,
    pub(crate) len: u32,
    pub(crate) options: u32,
}

impl Descriptor {
    /// Whether the next descriptor belongs to the same packet.
    pub(crate) fn continues(self) -> bool {
        self.options & libc::XDP_PKT_CONTD != 0
    }
}

/// What may lie in a ring: any bytes are a value.
///
/// # Safety
/// Every bit pattern of the type must be valid, and it must have no destructor.
pub(crate) unsafe trait Entry: Copy {}

// SAFETY: integers take every bit pattern.
unsafe impl Entry for u64 {}
// SAFETY: integers without padding between them take every bit pattern.
unsafe impl Entry for Descriptor {}

/// What both ends know of a ring.
struct Ring<T> {
    mapping: Mapping,
    offsets: Offsets,
    len: u32,
    entry: PhantomData<T>,
}

impl<T: Entry> Ring<T> {
    /// `None`: the length is no power of two, or a part lies outside of the mapping or across its alignment.
    fn new(mapping: Mapping, offsets: Offsets, len: u32) -> Option<Ring<T>> {
        let entries = (len as usize).checked_mul(size_of::<T>())?;
        let fits = |at: usize, bytes: usize, align: usize| {
            at.is_multiple_of(align) && at.checked_add(bytes).is_some_and(|end| end <= mapping.len())
        };
        let words = [offsets.producer, offsets.consumer, offsets.flags];
        let sound = len.is_power_of_two()
            && words.iter().all(|at| fits(*at, size_of::<AtomicU32>(), align_of::<AtomicU32>()))
            && fits(offsets.entries, entries, align_of::<T>());
        sound.then_some(Ring { mapping, offsets, len, entry: PhantomData })
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: `new` has checked that a word at each of the three offsets lies inside of the mapping and is aligned (a
        // mapping begins on a page); both sides access it by atomic operations alone, and it lives as long as `self`.
        unsafe { self.mapping.first().add(at).cast::<AtomicU32>().as_ref() }
    }

    fn producer(&self) -> &AtomicU32 {
        self.word(self.offsets.producer)
    }

    fn consumer(&self) -> &AtomicU32 {
        self.word(self.offsets.consumer)
    }

    /// The place of an index. In bounds, whatever the index is.
    fn place(&self, index: u32) -> *mut T {
        let at = (index & (self.len - 1)) as usize;
        // SAFETY: `at` is below the length, and `new` has checked that so many entries lie inside of the mapping, aligned.
        unsafe { self.mapping.first().add(self.offsets.entries).cast::<T>().add(at).as_ptr() }
    }
}

/// The end that reads.
pub(crate) struct Consumer<T> {
    ring: Ring<T>,
    /// The next entry to be read.
    next: u32,
    /// How many are there, as of the last look.
    seen: u32,
}

impl<T: Entry> Consumer<T> {
    /// `None`: see [`Ring::new`].
    pub(crate) fn new(mapping: Mapping, offsets: Offsets, len: u32) -> Option<Consumer<T>> {
        let ring = Ring::new(mapping, offsets, len)?;
        let next = ring.consumer().load(Ordering::Relaxed);
        Some(Consumer { ring, next, seen: 0 })
    }

    /// How many entries there is room for.
    pub(crate) fn len(&self) -> u32 {
        self.ring.len
    }

    /// How many entries wait now.
    pub(crate) fn look(&mut self) -> u32 {
        let written = self.ring.producer().load(Ordering::Acquire);
        self.seen = written.wrapping_sub(self.next).min(self.ring.len);
        self.seen
    }

    /// One of those that were there at the last look, the oldest at 0.
    pub(crate) fn entry(&self, ahead: u32) -> Option<T> {
        // SAFETY: the place is in bounds and aligned. The entry was published before `look` loaded the producer's index, and
        // the other side writes it again only when this one has given it free.
        (ahead < self.seen).then(|| unsafe { self.ring.place(self.next.wrapping_add(ahead)).read() })
    }

    /// Gives the oldest `count` of those seen free.
    pub(crate) fn release(&mut self, count: u32) {
        let count = count.min(self.seen);
        self.next = self.next.wrapping_add(count);
        self.seen -= count;
        self.ring.consumer().store(self.next, Ordering::Release);
    }
}

/// The end that writes.
pub(crate) struct Producer<T> {
    ring: Ring<T>,
    /// The next entry to be written.
    next: u32,
    /// Room, as of the last look.
    room: u32,
}

impl<T: Entry> Producer<T> {
    /// `None`: see [`Ring::new`].
    pub(crate) fn new(mapping: Mapping, offsets: Offsets, len: u32) -> Option<Producer<T>> {
        let ring = Ring::new(mapping, offsets, len)?;
        let next = ring.producer().load(Ordering::Relaxed);
        Some(Producer { ring, next, room: 0 })
    }

    /// Writes an entry that the other side sees after [`Producer::publish`]. `false`: the ring is full.
    pub(crate) fn push(&mut self, entry: T) -> bool {
        if self.room == 0 {
            let read = self.ring.consumer().load(Ordering::Acquire);
            self.room = self.ring.len.saturating_sub(self.next.wrapping_sub(read));
        }
        let Some(room) = self.room.checked_sub(1) else { return false };
        // SAFETY: the place is in bounds and aligned. The other side has given this entry free before the consumer's index
        // was loaded, and reads it again only when it is published.
        unsafe { self.ring.place(self.next).write(entry) };
        (self.next, self.room) = (self.next.wrapping_add(1), room);
        true
    }

    /// Shows the other side all that was written.
    pub(crate) fn publish(&mut self) {
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// Whether the kernel waits to be told of new entries.
    pub(crate) fn wants_wakeup(&self) -> bool {
        self.ring.word(self.ring.offsets.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// Rings over memory of this process, for tests here and of the socket's reader.
#[cfg(test)]
pub(crate) mod plain {
    use super::*;

    pub(crate) const OFFSETS: Offsets = Offsets { producer: 0, consumer: 64, entries: 192, flags: 128 };

    /// The two ends of one ring, its indices as they are after `turned` entries.
    pub(crate) fn ends<T: Entry>(len: u32, turned: u32) -> (Producer<T>, Consumer<T>) {
        let file = memory(192 + len as usize * size_of::<T>());
        let map = || Mapping::of_socket(std::os::fd::AsFd::as_fd(&file), 0, 192 + len as usize * size_of::<T>());
        let ring = Ring::<T>::new(map().expect("memory"), OFFSETS, len).expect("a ring");
        ring.producer().store(turned, Ordering::Relaxed);
        ring.consumer().store(turned, Ordering::Relaxed);
        let writes = Producer::new(map().expect("memory"), OFFSETS, len).expect("a ring");
        (writes, Consumer::new(map().expect("memory"), OFFSETS, len).expect("a ring"))
    }

    /// Memory with a descriptor, so that two mappings can show the same.
    fn memory(len: usize) -> std::fs::File {
        use std::os::fd::FromRawFd;
        // SAFETY: the name is a string with its closing NUL.
        let fd = unsafe { libc::memfd_create(c"ring".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the descriptor was just made, and nobody else has it.
        let file = unsafe { std::fs::File::from_raw_fd(fd) };
        file.set_len(len as u64).expect("room");
        file
    }
}

#[cfg(test)]
mod tests {
    use super::plain::{OFFSETS, ends};
    use super::*;

    /// All that waits, in order.
    fn drained(reads: &mut Consumer<u64>) -> Vec<u64> {
        let waiting = reads.look();
        let entries = (0..waiting).map(|ahead| reads.entry(ahead).expect("it was seen")).collect();
        reads.release(waiting);
        entries
    }

    #[test]
    fn what_is_published_is_read_once_and_in_order() {
        let (mut writes, mut reads) = ends::<u64>(4, 0);
        assert!(writes.push(7) && writes.push(8));
        assert_eq!(reads.look(), 0, "not published yet");
        writes.publish();
        assert_eq!(drained(&mut reads), [7, 8]);
        assert_eq!(reads.look(), 0);
        assert_eq!(reads.entry(0), None, "nothing that was not seen is read");
    }

    #[test]
    fn a_full_ring_takes_nothing_until_something_is_given_free() {
        let (mut writes, mut reads) = ends::<u64>(4, 0);
        assert!((0..4).all(|entry| writes.push(entry)) && !writes.push(4));
        writes.publish();
        assert_eq!(reads.look(), 4);
        assert!(!writes.push(4), "seen is not free");
        reads.release(1);
        assert!(writes.push(4) && !writes.push(5));
        writes.publish();
        assert_eq!(drained(&mut reads), [1, 2, 3, 4]);
    }

    #[test]
    fn indices_wrap_at_two_to_the_thirty_two() {
        let (mut writes, mut reads) = ends::<u64>(8, u32::MAX - 10);
        let (mut wrote, mut read) = (0, Vec::new());
        for round in 0..10 {
            for _ in 0..=round % 8 {
                wrote += u64::from(writes.push(wrote));
            }
            writes.publish();
            read.extend(drained(&mut reads));
        }
        assert!(wrote > 30, "it went round: {wrote}");
        assert_eq!(read, (0..wrote).collect::<Vec<_>>());
        assert_eq!(reads.ring.consumer().load(Ordering::Relaxed), (u32::MAX - 10).wrapping_add(wrote as u32));
    }

    #[test]
    fn a_ring_is_full_across_the_wrap_too() {
        let (mut writes, mut reads) = ends::<u64>(4, u32::MAX - 1);
        assert!((0..4).all(|entry| writes.push(entry)) && !writes.push(4));
        writes.publish();
        assert_eq!(drained(&mut reads), [0, 1, 2, 3]);
        assert!(writes.push(4));
    }

    #[test]
    fn more_is_not_given_free_than_was_seen() {
        let (mut writes, mut reads) = ends::<u64>(4, 0);
        assert!(writes.push(1));
        writes.publish();
        reads.look();
        reads.release(3);
        assert_eq!(reads.ring.consumer().load(Ordering::Relaxed), 1);
    }

    #[test]
    fn two_threads_lose_nothing() {
        let (mut writes, mut reads) = ends::<u64>(64, u32::MAX - 1_000);
        let count = 200_000;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for entry in 0..count {
                    while !writes.push(entry) {
                        std::thread::yield_now();
                    }
                    writes.publish();
                }
            });
            let mut next = 0;
            while next < count {
                for entry in drained(&mut reads) {
                    assert_eq!(entry, next);
                    next += 1;
                }
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn the_kernel_says_when_it_sleeps() {
        let (writes, _) = ends::<u64>(4, 0);
        assert!(!writes.wants_wakeup());
        writes.ring.word(OFFSETS.flags).store(libc::XDP_RING_NEED_WAKEUP, Ordering::Relaxed);
        assert!(writes.wants_wakeup());
    }

    #[test]
    fn a_ring_that_does_not_fit_its_memory_is_none() {
        let memory = || Mapping::populated(4096).expect("memory");
        let of = |offsets, len| Ring::<Descriptor>::new(memory(), offsets, len).is_some();
        assert!(of(OFFSETS, 128));
        assert!(!of(OFFSETS, 256), "its entries end outside");
        assert!(!of(OFFSETS, 100), "no power of two");
        assert!(!of(OFFSETS, 0));
        assert!(!of(Offsets { producer: 4094, ..OFFSETS }, 16));
        assert!(!of(Offsets { consumer: 2, ..OFFSETS }, 16), "across its alignment");
        assert!(!of(Offsets { flags: usize::MAX - 3, ..OFFSETS }, 16));
    }
}
