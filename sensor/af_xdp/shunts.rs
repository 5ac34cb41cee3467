//! Conversations whose packets the XDP program counts and drops: the map of them, seen as memory.
//!
//! In: one direction of a conversation. Out: a [`Shunted`] that holds it in the kernel until it is dropped, and what was
//! counted there. `shunting.rs` says how a packet is counted exactly once. Never here: `bpf(2)`; whoever has no rights
//! shunts by writing to memory.

use std::hint;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::Error;
use crate::mapping::Mapping;
use crate::shunting::{KEY_WORDS, PROTOCOL_SHIFT, SLOT_BITS, SLOT_BYTES, TCP, VLAN_SHIFTS};

/// Directions of conversations that a port can shunt at once, less those whose hashes meet.
pub const SHUNTS: usize = 1 << SLOT_BITS;

/// Behind the slots lies one that holds what their hash is keyed with.
pub(crate) const ENTRIES: u32 = SHUNTS as u32 + 1;

/// In a slot's first word, above the number of packets that entered it: they are counted and dropped.
const LIVE: u64 = 1 << 63;

/// How often it is looked whether a packet has left a slot that was withdrawn. It takes some hundred nanoseconds unless its
/// processor was taken away meanwhile.
const LOOKS_MAX: u32 = 20_000;

/// As the program has it; all of it are words that both sides change by atomic operations alone.
#[repr(C, align(128))]
struct Slot {
    word: AtomicU64,
    key: [AtomicU64; KEY_WORDS],
    forbidden: AtomicU64,
    done: AtomicU64,
    bytes: AtomicU64,
    payload: AtomicU64,
}

const _: () = assert!(size_of::<Slot>() == SLOT_BYTES as usize);

/// The first bytes of what describes the map: what the hash is keyed with.
pub(crate) fn keyed(seed: u64, factor: u64) -> [u8; SLOT_BYTES as usize] {
    let mut value = [0; SLOT_BYTES as usize];
    value[..8].copy_from_slice(&seed.to_ne_bytes());
    value[8..16].copy_from_slice(&factor.to_ne_bytes());
    value
}

/// One direction of a TCP conversation: its packets come plain, not in a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// Who sends; IPv4 as ::ffff:a.b.c.d.
    pub source: [u8; 16],
    /// Who is sent to.
    pub destination: [u8; 16],
    /// Both ports, the sender's first.
    pub ports: (u16, u16),
    /// VLANs, the outermost first; 0: none.
    pub vlans: [u16; 2],
    /// TCP flags that it has shown; a packet with another one is not dropped, nor is one with SYN, FIN or RST.
    pub flags: u8,
}

/// SYN, FIN and RST: what they say, the sensor hears itself.
const ALWAYS_PASSED: u8 = 0x07;

impl Direction {
    fn words(&self) -> [u64; KEY_WORDS] {
        let half = |address: &[u8; 16], at: usize| u64::from_le_bytes(*address[at..].first_chunk().unwrap_or(&[0; 8]));
        let [source, destination] = [self.ports.0, self.ports.1].map(u16::to_be_bytes);
        let ports = u32::from_le_bytes([source[0], source[1], destination[0], destination[1]]);
        let vlans = self.vlans.iter().zip(VLAN_SHIFTS).fold(0, |all, (vlan, shift)| all | u64::from(*vlan) << shift);
        [
            half(&self.source, 0),
            half(&self.source, 8),
            half(&self.destination, 0),
            half(&self.destination, 8),
            u64::from(ports) | vlans | (TCP as u64) << PROTOCOL_SHIFT,
        ]
    }
}

/// What was counted in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Bytes behind their TCP headers.
    pub payload: u64,
}

impl Counted {
    fn since(self, before: Counted) -> Counted {
        Counted {
            packets: self.packets.wrapping_sub(before.packets),
            bytes: self.bytes.wrapping_sub(before.bytes),
            payload: self.payload.wrapping_sub(before.payload),
        }
    }
}

impl Slot {
    fn counted(&self) -> Counted {
        Counted {
            packets: self.done.load(Ordering::SeqCst),
            bytes: self.bytes.load(Ordering::SeqCst),
            payload: self.payload.load(Ordering::SeqCst),
        }
    }

    /// Whether no packet is between entering and having been counted. The order matters: what has entered is never less
    /// than what is done, so both equal means that they were when the second was read.
    fn is_settled(&self) -> bool {
        let done = self.done.load(Ordering::SeqCst);
        self.word.load(Ordering::SeqCst) & !LIVE == done
    }
}

/// The slots of a port.
pub struct Shunts {
    mapping: Mapping,
    /// Who has which slot: known to this process alone.
    taken: Box<[AtomicBool]>,
    seed: u64,
    factor: u64,
    over: AtomicBool,
}

// SAFETY: what lies in the mapping is read and changed by atomic operations alone, by whatever thread.
unsafe impl Sync for Shunts {}

impl Shunts {
    /// Of the descriptor that was prepared.
    pub(crate) fn of(map: BorrowedFd<'_>) -> Result<Shunts, Error> {
        let bytes = ENTRIES as usize * size_of::<Slot>();
        let mapping = Mapping::of_map_to_write(map, bytes).map_err(|error| Error::of("mmap of a map", error))?;
        let taken = std::iter::repeat_with(AtomicBool::default).take(SHUNTS).collect();
        let mut shunts = Shunts { mapping, taken, seed: 0, factor: 0, over: AtomicBool::new(false) };
        let keyed = shunts.slot(SHUNTS);
        (shunts.seed, shunts.factor) = (keyed.word.load(Ordering::Relaxed), keyed.key[0].load(Ordering::Relaxed));
        Ok(shunts)
    }

    fn slot(&self, number: usize) -> &Slot {
        assert!(number < ENTRIES as usize, "slots and one more");
        // SAFETY: the mapping is so many slots long and begins on a page; every bit pattern is a slot, and whoever else
        // changes it (the program, by atomic additions) does so under the rules of atomics.
        unsafe { self.mapping.first().cast::<Slot>().add(number).as_ref() }
    }

    fn place(&self, words: &[u64; KEY_WORDS]) -> usize {
        let mixed = words.iter().fold(self.seed, |hash, word| {
            let hash = (hash ^ word).wrapping_mul(self.factor);
            hash ^ hash >> 32
        });
        (mixed >> (64 - SLOT_BITS)) as usize
    }

    /// From now on the kernel counts and drops the packets of this direction; `None`: its slot is taken.
    pub fn shunt(self: &Arc<Self>, direction: &Direction) -> Option<Shunted> {
        let words = direction.words();
        let number = self.place(&words);
        let taken = self.taken[number].compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed);
        if self.is_over() || taken.is_err() {
            return None;
        }
        let slot = self.slot(number);
        if !slot.is_settled() {
            // a packet of the conversation before is still in it: what it adds belongs to none
            self.taken[number].store(false, Ordering::Release);
            return None;
        }
        let seen = slot.counted();
        // first what it is, then that it is: whoever finds it live finds all of it
        slot.key.iter().zip(words).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
        slot.forbidden.store(u64::from(!direction.flags | ALWAYS_PASSED), Ordering::Relaxed);
        slot.word.fetch_or(LIVE, Ordering::SeqCst);
        Some(Shunted { shunts: Arc::clone(self), number, seen })
    }

    /// All that was counted and dropped since the port was taken.
    pub fn total(&self) -> Counted {
        (0..SHUNTS).map(|number| self.slot(number).counted()).fold(Counted::default(), |sum, one| Counted {
            packets: sum.packets + one.packets,
            bytes: sum.bytes + one.bytes,
            payload: sum.payload + one.payload,
        })
    }

    /// Whether its program is gone: nothing more is counted.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }
}

/// One direction of a conversation, held in the kernel until this is dropped.
pub struct Shunted {
    shunts: Arc<Shunts>,
    number: usize,
    /// What was counted up to the last look; a slot counts on from one to the next.
    seen: Counted,
}

impl Shunted {
    /// What was counted since it was last asked.
    pub fn more(&mut self) -> Counted {
        let now = self.shunts.slot(self.number).counted();
        now.since(std::mem::replace(&mut self.seen, now))
    }

    /// Its packets come again; what was counted since it was last asked, to the last of them, and whether that is certain:
    /// a processor that was taken away in the middle of a packet is not waited for.
    pub fn withdraw(mut self) -> (Counted, bool) {
        let settled = self.close();
        (self.more(), settled)
    }

    /// Whether the program that counts for it is gone.
    pub fn is_over(&self) -> bool {
        self.shunts.is_over()
    }

    fn close(&self) -> bool {
        let slot = self.shunts.slot(self.number);
        slot.word.fetch_and(!LIVE, Ordering::SeqCst);
        for _ in 0..LOOKS_MAX {
            if slot.is_settled() {
                return true;
            }
            hint::spin_loop();
        }
        false
    }
}

impl Drop for Shunted {
    fn drop(&mut self) {
        self.shunts.slot(self.number).word.fetch_and(!LIVE, Ordering::SeqCst);
        self.shunts.taken[self.number].store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::bpf::tests::{asked, loaded};
    use crate::bpf::{Program, Unclaimed};

    const ACK: u8 = 0x10;
    const PUSH: u8 = 0x08;

    fn four(a: u8, b: u8, c: u8, d: u8) -> [u8; 16] {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d]
    }

    fn six(last: u8) -> [u8; 16] {
        [0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, last]
    }

    fn direction(source: [u8; 16], destination: [u8; 16]) -> Direction {
        Direction { source, destination, ports: (40_001, 443), vlans: [0; 2], flags: ACK | PUSH }
    }

    /// A frame of that direction, with as many bytes of payload and of padding.
    fn frame(of: &Direction, flags: u8, payload: usize, padding: usize) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for vlan in of.vlans.iter().filter(|vlan| **vlan != 0) {
            frame.extend([0x81, 0x00]);
            frame.extend((vlan | 0xE000).to_be_bytes()); // of some priority
        }
        let is_four = of.source[..12] == four(0, 0, 0, 0)[..12];
        let bytes = 20 + payload as u16;
        if is_four {
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend((bytes + 20).to_be_bytes());
            frame.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
            frame.extend([&of.source[12..], &of.destination[12..]].concat());
        } else {
            frame.extend([0x86, 0xDD, 0x60, 0, 0, 0]);
            frame.extend(bytes.to_be_bytes());
            frame.extend([6, 64]);
            frame.extend([of.source, of.destination].concat());
        }
        frame.extend([of.ports.0.to_be_bytes(), of.ports.1.to_be_bytes()].concat());
        frame.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        frame.extend(vec![7; payload + padding]);
        frame
    }

    struct Port {
        program: Program,
        unclaimed: Unclaimed,
        shunts: Arc<Shunts>,
    }

    impl Port {
        fn new(test: &str) -> Option<Port> {
            let program = loaded(test, true)?;
            let unclaimed = Unclaimed::of(program.counter().expect("a descriptor").as_fd()).expect("memory");
            let slots = program.slots().expect("a descriptor").expect("it was asked for");
            let shunts = Arc::new(Shunts::of(slots.as_fd()).expect("memory"));
            Some(Port { program, unclaimed, shunts })
        }

        /// Whether the frame is passed on to where a socket would be.
        fn passes(&self, frame: &[u8]) -> bool {
            let before = (self.unclaimed.count(), self.shunts.total().packets);
            asked(&self.program, frame, 1);
            let (passed, shunted) = (self.unclaimed.count() - before.0, self.shunts.total().packets - before.1);
            assert_eq!(passed + shunted, 1, "one of them, and once");
            passed == 1
        }
    }

    #[test]
    fn the_kernel_counts_and_drops_what_is_shunted_and_nothing_else() {
        let Some(port) = Port::new("the_kernel_counts_and_drops_what_is_shunted_and_nothing_else") else { return };
        for vlans in [[0; 2], [7, 0], [100, 4_094]] {
            for (source, destination) in [(four(10, 0, 0, 1), four(192, 0, 2, 9)), (six(1), six(2))] {
                let one = Direction { vlans, ..direction(source, destination) };
                let bulk = frame(&one, ACK, 1_000, 0);
                assert!(port.passes(&bulk), "nothing is shunted yet");
                let mut shunted = port.shunts.shunt(&one).expect("its slot is free");
                assert!(!port.passes(&bulk) && !port.passes(&frame(&one, ACK | PUSH, 1, 5)));
                let length = bulk.len() as u64;
                let both = Counted { packets: 2, bytes: length + length - 999 + 5, payload: 1_001 };
                assert_eq!(shunted.more(), both, "padding is no payload: {vlans:?}");
                for flag in [0x01, 0x02, 0x04, 0x20, 0x40, 0x80] {
                    assert!(port.passes(&frame(&one, ACK | flag, 10, 0)), "flag {flag:#x}");
                }
                let others = [
                    Direction { ports: (40_001, 80), ..one },
                    Direction { ports: (443, 40_001), ..one },
                    Direction { vlans: [vlans[0] + 1, vlans[1]], ..one },
                    Direction { source: destination, destination: source, ..one },
                    Direction { destination: source, ..one },
                ];
                assert!(others.iter().all(|other| port.passes(&frame(other, ACK, 10, 0))), "other conversations");
                assert_eq!(shunted.more(), Counted::default());
                asked(&port.program, &bulk, 1_000);
                let (last, settled) = shunted.withdraw();
                assert!(settled && last == Counted { packets: 1_000, bytes: 1_000 * length, payload: 1_000_000 });
                assert!(port.passes(&bulk), "it was withdrawn");
            }
        }
    }

    #[test]
    fn what_is_cut_or_has_more_headers_is_passed() {
        let Some(port) = Port::new("what_is_cut_or_has_more_headers_is_passed") else { return };
        for one in [direction(four(10, 0, 0, 1), four(10, 0, 0, 2)), direction(six(1), six(2))] {
            let _shunted = port.shunts.shunt(&one).expect("its slot is free");
            let whole = frame(&one, ACK, 100, 0);
            let ip = 14;
            let tcp = whole.len() - 120;
            let with = |changes: &[(usize, u8)]| {
                let mut other = whole.clone();
                changes.iter().for_each(|(at, byte)| other[*at] = *byte);
                other
            };
            assert!(!port.passes(&whole));
            for end in [14, ip + 1, ip + 19, tcp, tcp + 19, whole.len() - 1] {
                assert!(port.passes(&whole[..end]), "only {end} bytes");
            }
            assert!(port.passes(&with(&[(12, 0x88), (13, 0x47)])), "MPLS");
            assert!(port.passes(&with(&[(ip, whole[ip] ^ 0xF0)])), "another version");
            assert!(port.passes(&with(&[(tcp + 12, 0x40)])), "a header of 16 bytes");
            assert!(!port.passes(&with(&[(tcp + 12, 0xF0)])), "one with options");
            assert!(port.passes(&with(&[(tcp + 12, 0x00)])));
            if one.source[0] == 0 {
                assert!(port.passes(&with(&[(ip, 0x46)])), "options");
                assert!(port.passes(&with(&[(ip + 6, 0x20)])), "a first fragment");
                assert!(port.passes(&with(&[(ip + 7, 1)])), "a later one");
                assert!(port.passes(&with(&[(ip + 9, 17)])), "UDP");
                assert!(port.passes(&with(&[(ip + 2, 0), (ip + 3, 0)])), "a length that hardware fills in");
                assert!(port.passes(&with(&[(ip + 2, 0), (ip + 3, 39)])), "a length without room for TCP");
            } else {
                assert!(port.passes(&with(&[(ip + 6, 0)])), "an extension header");
                assert!(port.passes(&with(&[(ip + 4, 0), (ip + 5, 0)])), "a jumbogram");
            }
        }
    }

    #[test]
    fn both_sides_find_the_same_slot_for_whatever_comes() {
        let Some(port) = Port::new("both_sides_find_the_same_slot_for_whatever_comes") else { return };
        let mut state = port.shunts.seed | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut slots = std::collections::BTreeSet::new();
        for _ in 0..4_000 {
            let mut address = |is_four: bool| {
                let mut address: [u8; 16] = std::array::from_fn(|_| random() as u8);
                address[..12].copy_from_slice(if is_four {
                    &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
                } else {
                    &[9; 12]
                });
                address
            };
            let is_four = address(false)[15] & 1 == 0;
            let (source, destination) = (address(is_four), address(is_four));
            let vlans =
                [[0; 2], [1 + random() as u16 % 4_095, 0], [1 + random() as u16 % 4_095, 9]][random() as usize % 3];
            let ports = (random() as u16, random() as u16);
            let one = Direction { source, destination, ports, vlans, flags: ACK };
            let mut shunted = port.shunts.shunt(&one).expect("only one is held at a time");
            slots.insert(shunted.number);
            assert!(!port.passes(&frame(&one, ACK, 0, 0)), "{one:?}");
            assert_eq!(shunted.more().packets, 1);
        }
        // 4,000 into 16,384 leaves about 3,550 different ones
        assert!(slots.len() > 3_400, "{}", slots.len());
    }

    #[test]
    fn a_slot_has_one_holder_and_goes_on_to_the_next_without_its_numbers() {
        let Some(port) = Port::new("a_slot_has_one_holder_and_goes_on_to_the_next_without_its_numbers") else { return };
        let one = direction(four(10, 0, 0, 1), four(10, 0, 0, 2));
        let shunted = port.shunts.shunt(&one).expect("its slot is free");
        assert!(port.shunts.shunt(&one).is_none(), "it is taken");
        asked(&port.program, &frame(&one, ACK, 9, 0), 7);
        drop(shunted);
        assert!(port.passes(&frame(&one, ACK, 9, 0)), "whoever forgets it withdraws it");
        let mut again = port.shunts.shunt(&one).expect("it is free again");
        assert_eq!(again.more(), Counted::default());
        asked(&port.program, &frame(&one, ACK, 9, 0), 3);
        assert_eq!((again.more().packets, port.shunts.total().packets), (3, 10));
        port.shunts.end();
        assert!(again.is_over() && port.shunts.shunt(&direction(six(1), six(2))).is_none());
    }

    #[test]
    fn each_packet_is_counted_once_while_its_conversation_comes_and_goes() {
        let Some(port) = Port::new("each_packet_is_counted_once_while_its_conversation_comes_and_goes") else { return };
        // both meet in one slot: what is in the program for one must not be counted for the other
        let one = direction(four(10, 0, 0, 1), four(10, 0, 0, 2));
        let place = |of: &Direction| port.shunts.place(&of.words());
        let others = (0..u16::MAX).map(|at| Direction { ports: (at, 443), ..one });
        let other = others.filter(|other| *other != one).find(|other| place(other) == place(&one)).expect("they meet");
        let (times, rounds) = (20_000, 20);
        let sends = [frame(&one, ACK, 100, 0), frame(&other, ACK, 900, 0)];
        let busy = std::sync::atomic::AtomicUsize::new(sends.len());
        let (mut counted, mut exact) = ([Counted::default(); 2], false);
        std::thread::scope(|scope| {
            for bytes in &sends {
                let (program, busy) = (&port.program, &busy);
                scope.spawn(move || {
                    (0..rounds).for_each(|_| assert_eq!(asked(program, bytes, times), 1, "dropped in either way"));
                    busy.fetch_sub(1, Ordering::SeqCst);
                });
            }
            let (mut turn, mut unsettled) = (0, 0);
            while busy.load(Ordering::SeqCst) > 0 {
                turn = 1 - turn;
                let Some(shunted) = port.shunts.shunt([&one, &other][turn]) else { continue };
                (0..500).for_each(|_| hint::spin_loop());
                let (last, settled) = shunted.withdraw();
                unsettled += u32::from(!settled);
                let sum = &mut counted[turn];
                (sum.packets, sum.bytes) = (sum.packets + last.packets, sum.bytes + last.bytes);
                sum.payload += last.payload;
            }
            assert!(unsettled < 50, "as often as a processor may be taken away: {unsettled}");
            exact = unsettled == 0;
        });
        let (all, shunted) = (port.shunts.total().packets, counted[0].packets + counted[1].packets);
        assert!(all > 0 && port.unclaimed.count() > 0, "{counted:?}");
        assert_eq!(all + port.unclaimed.count(), u64::from(times * rounds * 2), "{counted:?}");
        if !exact {
            return;
        }
        assert_eq!(all, shunted, "{counted:?}");
        for (sum, (bytes, payload)) in counted.iter().zip(sends.iter().zip([100, 900])) {
            assert_eq!((sum.bytes, sum.payload), (sum.packets * bytes.len() as u64, sum.packets * payload));
        }
    }

    /// What a packet in the middle of the program has done to its slot.
    #[test]
    fn a_packet_that_has_entered_is_waited_for_and_its_slot_goes_to_nobody() {
        let Some(port) = Port::new("a_packet_that_has_entered_is_waited_for_and_its_slot_goes_to_nobody") else {
            return;
        };
        let one = direction(four(10, 0, 0, 1), four(10, 0, 0, 2));
        let shunted = port.shunts.shunt(&one).expect("its slot is free");
        let slot = port.shunts.slot(shunted.number);
        slot.word.fetch_add(1, Ordering::SeqCst);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                slot.bytes.fetch_add(74, Ordering::SeqCst);
                slot.done.fetch_add(1, Ordering::SeqCst);
            });
            let (last, settled) = shunted.withdraw();
            assert!(!settled || (last.packets, last.bytes) == (1, 74), "{last:?}");
        });
        slot.word.fetch_add(1, Ordering::SeqCst);
        assert!(port.shunts.shunt(&one).is_none(), "somebody is still in it");
        slot.word.fetch_sub(1, Ordering::SeqCst); // it was not live any more: the entry is taken back
        assert!(port.shunts.shunt(&one).is_some());
    }
}
