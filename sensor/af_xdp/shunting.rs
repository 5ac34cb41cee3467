//! The part of the XDP program that counts and drops the packets of shunted conversations, as instructions.
//!
//! In: the map of slots, the key of their hash. Out: instructions that stand before the rest of the program. A packet is
//! dropped if it is a plain one (Ethernet, up to two VLAN tags, IPv4 without options and whole, or IPv6 without extension
//! headers, TCP), if its direction of its conversation holds the slot of its hash, and if it shows no flag that the slot
//! forbids; every other packet goes on. Never here: a packet that is changed.
//!
//! Exactly once: a packet first *enters* its slot (an atomic addition to the slot's first word), then looks again whether
//! the slot is live and its own. If so it is counted, and says so by an addition to `DONE`; if not it takes its entry back
//! and goes on to the socket. Whoever withdraws a slot clears `LIVE` and waits until entries and `DONE` are equal: from then
//! on its numbers stand still, and no packet is in between.

use crate::bpf::instruction;

/// Slots of a port, as a power of two.
pub(crate) const SLOT_BITS: u32 = 14;

/// Words of a key: two addresses, then ports, VLANs and protocol.
pub(crate) const KEY_WORDS: usize = 5;

// where the parts of a slot lie, in bytes; what is read for every packet lies in one line of the cache
const WORD: i16 = 0;
const KEY: i16 = 8;
const FORBIDDEN: i16 = 48;
const DONE: i16 = 56;
const BYTES: i16 = 64;
const PAYLOAD: i16 = 72;

/// A slot's length.
pub(crate) const SLOT_BYTES: u32 = 128;

/// An IPv4 address's word of a key is this below it: ::ffff:a.b.c.d.
const MAPPED: i32 = 0xFFFF_0000_u32 as i32;

/// Where VLANs and protocol lie in the last word of a key, above the ports.
pub(crate) const VLAN_SHIFTS: [u32; 2] = [32, 44];
pub(crate) const PROTOCOL_SHIFT: u32 = 56;

pub(crate) const TCP: i32 = 6;

// ethertypes as a load of two bytes gives them, which is not the network's order
const IPV4: i32 = 0x0008;
const IPV6: i32 = 0xDD86;
const TAGS: [i32; 3] = [0x0081, 0xA888, 0x0091];

// of the context of a program
const DATA: i16 = 0;
const DATA_END: i16 = 4;

const HELPER_LOOKUP: i32 = 1;
const HELPER_BYTES: i32 = 188;
const DROP: i32 = 1;

// the stack: the packet's key, its flags, its payload, where it ends by its headers, and the number of its slot
const STACK_KEY: i16 = -40;
const STACK_FLAGS: i16 = -48;
const STACK_PAYLOAD: i16 = -56;
const STACK_END: i16 = -64;
const STACK_SLOT: i16 = -72;

// instructions' codes, and what differs between those of one code
const LOAD_1: u8 = 0x71;
const LOAD_2: u8 = 0x69;
const LOAD_4: u8 = 0x61;
const LOAD_8: u8 = 0x79;
const STORE_4: u8 = 0x63;
const STORE_8: u8 = 0x7B;
const CONSTANT_8: u8 = 0x18;
const SET: u8 = 0xB7;
const COPY: u8 = 0xBF;
const ADD: u8 = 0x07;
const ADD_OF: u8 = 0x0F;
const SUBTRACT: u8 = 0x17;
const SUBTRACT_OF: u8 = 0x1F;
const MULTIPLY_OF: u8 = 0x2F;
const OR_OF: u8 = 0x4F;
const AND: u8 = 0x57;
const AND_OF: u8 = 0x5F;
const LEFT: u8 = 0x67;
const RIGHT: u8 = 0x77;
const XOR_OF: u8 = 0xAF;
const FROM_NETWORK: u8 = 0xDC;
const ATOMIC: u8 = 0xDB;
const ATOMIC_ADD: i32 = 0x00;
/// As ATOMIC_ADD, with the old value, and in order with everything before and behind it.
const ATOMIC_FETCH_ADD: i32 = 0x01;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const IF_EQUAL: u8 = 0x15;
const UNLESS_EQUAL: u8 = 0x55;
const UNLESS_EQUAL_TO: u8 = 0x5D;
const IF_GREATER_THAN: u8 = 0x2D;
const IF_LESS: u8 = 0xA5;
const IF_NOT_NEGATIVE: u8 = 0x75;

/// Instructions that jump forward to places that have names.
#[derive(Default)]
struct Assembly {
    code: Vec<u64>,
    jumps: Vec<(usize, &'static str)>,
    places: Vec<(&'static str, usize)>,
}

impl Assembly {
    fn put(&mut self, code: u8, to: u8, from: u8, offset: i16, immediate: i32) {
        self.code.push(instruction(code, to, from, offset, immediate));
    }

    fn jump(&mut self, code: u8, to: u8, from: u8, immediate: i32, place: &'static str) {
        self.jumps.push((self.code.len(), place));
        self.put(code, to, from, 0, immediate);
    }

    fn constant(&mut self, to: u8, value: u64) {
        self.put(CONSTANT_8, to, 0, 0, value as i32);
        self.put(0, 0, 0, 0, (value >> 32) as i32);
    }

    fn place(&mut self, name: &'static str) {
        self.places.push((name, self.code.len()));
    }

    fn done(mut self) -> Vec<u64> {
        for (at, name) in self.jumps {
            let place = self.places.iter().find(|place| place.0 == name).map_or(at, |place| place.1);
            self.code[at] |= ((place - at - 1) as u64 & 0xFFFF) << 16;
        }
        self.code
    }
}

/// What stands before the rest: afterwards the context is in r1 again, as at a program's beginning.
pub(crate) fn shunting(slots: i32, seed: u64, factor: u64) -> Vec<u64> {
    let mut to = Assembly::default();
    to.put(COPY, 9, 1, 0, 0); // r9 = the context
    to.put(LOAD_4, 6, 1, DATA, 0); // r6 = the packet
    to.put(LOAD_4, 7, 1, DATA_END, 0); // r7 = its end, or that of its first piece
    ethernet(&mut to);
    addresses(&mut to);
    segment(&mut to);
    slot(&mut to, slots, seed, factor);
    count(&mut to);
    to.place("leave");
    to.put(SET, 1, 0, 0, -1);
    to.put(ATOMIC, 8, 1, WORD, ATOMIC_FETCH_ADD);
    to.place("pass");
    to.put(COPY, 1, 9, 0, 0);
    to.done()
}

/// Unless so many bytes of the packet are there behind r3, it is passed. Leaves their end in r2.
fn need(to: &mut Assembly, bytes: i32) {
    to.put(COPY, 2, 3, 0, 0);
    to.put(ADD, 2, 0, 0, bytes);
    to.jump(IF_GREATER_THAN, 2, 7, 0, "pass");
}

/// Ethernet and its tags: r3 = the IP header, r4 = its ethertype, r5 = where it begins, r8 = the VLANs in their places.
fn ethernet(to: &mut Assembly) {
    to.put(COPY, 3, 6, 0, 0);
    need(to, 14);
    to.put(LOAD_2, 4, 6, 12, 0);
    to.put(COPY, 3, 2, 0, 0);
    to.put(SET, 5, 0, 0, 14);
    to.put(SET, 8, 0, 0, 0);
    for (tag, shift) in ["first tag", "second tag"].into_iter().zip(VLAN_SHIFTS) {
        TAGS.iter().for_each(|kind| to.jump(IF_EQUAL, 4, 0, *kind, tag));
        to.jump(0x05, 0, 0, 0, "no tag");
        to.place(tag);
        need(to, 4);
        to.put(LOAD_2, 1, 3, 0, 0);
        to.put(FROM_NETWORK, 1, 0, 0, 16);
        to.put(AND, 1, 0, 0, 0x0FFF);
        to.put(LEFT, 1, 0, 0, shift as i32);
        to.put(OR_OF, 8, 1, 0, 0);
        to.put(LOAD_2, 4, 3, 2, 0);
        to.put(COPY, 3, 2, 0, 0);
        to.put(ADD, 5, 0, 0, 4);
    }
    to.place("no tag");
}

/// IP: the addresses are on the stack, r3 = the segment, r4 = its bytes, r5 = where it begins, r1 = the protocol.
fn addresses(to: &mut Assembly) {
    to.jump(IF_EQUAL, 4, 0, IPV4, "IPv4");
    to.jump(UNLESS_EQUAL, 4, 0, IPV6, "pass");
    need(to, 40 + 20);
    to.put(LOAD_1, 1, 3, 0, 0);
    to.put(RIGHT, 1, 0, 0, 4);
    to.jump(UNLESS_EQUAL, 1, 0, 6, "pass");
    for word in 0..4 {
        to.put(LOAD_8, 1, 3, 8 + word * 8, 0);
        to.put(STORE_8, 10, 1, STACK_KEY + word * 8, 0);
    }
    to.put(LOAD_1, 1, 3, 6, 0);
    to.put(LOAD_2, 4, 3, 4, 0);
    to.put(FROM_NETWORK, 4, 0, 0, 16);
    to.put(ADD, 3, 0, 0, 40);
    to.put(ADD, 5, 0, 0, 40);
    to.jump(0x05, 0, 0, 0, "TCP");
    to.place("IPv4");
    need(to, 20 + 20);
    to.put(LOAD_1, 1, 3, 0, 0);
    to.jump(UNLESS_EQUAL, 1, 0, 0x45, "pass");
    to.put(LOAD_2, 1, 3, 6, 0);
    to.put(AND, 1, 0, 0, 0xFFBF); // all but "do not fragment"
    to.jump(UNLESS_EQUAL, 1, 0, 0, "pass");
    to.put(SET, 1, 0, 0, 0);
    to.put(STORE_8, 10, 1, STACK_KEY, 0);
    to.put(STORE_8, 10, 1, STACK_KEY + 16, 0);
    for (from, word) in [(12, 8), (16, 24)] {
        to.put(LOAD_4, 1, 3, from, 0);
        to.put(LEFT, 1, 0, 0, 32);
        to.constant(2, u64::from(MAPPED as u32));
        to.put(OR_OF, 1, 2, 0, 0);
        to.put(STORE_8, 10, 1, STACK_KEY + word, 0);
    }
    to.put(LOAD_1, 1, 3, 9, 0);
    to.put(LOAD_2, 4, 3, 2, 0);
    to.put(FROM_NETWORK, 4, 0, 0, 16);
    to.jump(IF_LESS, 4, 0, 20, "pass");
    to.put(SUBTRACT, 4, 0, 0, 20);
    to.put(ADD, 3, 0, 0, 20);
    to.put(ADD, 5, 0, 0, 20);
    to.place("TCP");
}

/// TCP: the rest of the key, the flags, the payload and the packet's end are on the stack.
fn segment(to: &mut Assembly) {
    to.jump(UNLESS_EQUAL, 1, 0, TCP, "pass");
    to.put(LEFT, 1, 0, 0, PROTOCOL_SHIFT as i32);
    to.put(OR_OF, 8, 1, 0, 0);
    to.put(LOAD_4, 1, 3, 0, 0); // both ports
    to.put(OR_OF, 8, 1, 0, 0);
    to.put(STORE_8, 10, 8, STACK_KEY + 32, 0);
    to.put(LOAD_1, 1, 3, 13, 0);
    to.put(STORE_8, 10, 1, STACK_FLAGS, 0);
    to.put(ADD_OF, 5, 4, 0, 0);
    to.put(STORE_8, 10, 5, STACK_END, 0);
    to.put(LOAD_1, 1, 3, 12, 0);
    to.put(RIGHT, 1, 0, 0, 4);
    to.put(LEFT, 1, 0, 0, 2);
    to.jump(IF_LESS, 1, 0, 20, "pass");
    to.jump(IF_GREATER_THAN, 1, 4, 0, "pass");
    to.put(SUBTRACT_OF, 4, 1, 0, 0);
    to.put(STORE_8, 10, 4, STACK_PAYLOAD, 0);
}

/// r8 = the slot of the packet's hash; if it is not this packet's, the packet is passed.
fn slot(to: &mut Assembly, slots: i32, seed: u64, factor: u64) {
    to.constant(2, seed);
    to.constant(4, factor);
    for word in 0..KEY_WORDS as i16 {
        to.put(LOAD_8, 3, 10, STACK_KEY + word * 8, 0);
        to.put(XOR_OF, 2, 3, 0, 0);
        to.put(MULTIPLY_OF, 2, 4, 0, 0);
        to.put(COPY, 3, 2, 0, 0);
        to.put(RIGHT, 3, 0, 0, 32);
        to.put(XOR_OF, 2, 3, 0, 0);
    }
    to.put(RIGHT, 2, 0, 0, 64 - SLOT_BITS as i32);
    to.put(STORE_4, 10, 2, STACK_SLOT, 0);
    to.put(COPY, 2, 10, 0, 0);
    to.put(ADD, 2, 0, 0, i32::from(STACK_SLOT));
    to.put(CONSTANT_8, 1, 1, 0, slots);
    to.put(0, 0, 0, 0, 0);
    to.put(CALL, 0, 0, 0, HELPER_LOOKUP);
    to.jump(IF_EQUAL, 0, 0, 0, "pass");
    to.put(COPY, 8, 0, 0, 0);
    to.put(LOAD_8, 1, 8, WORD, 0);
    to.jump(IF_NOT_NEGATIVE, 1, 0, 0, "pass");
    compare(to, "pass");
}

/// Whether the slot's key is the packet's, and no flag is one that it forbids; else to `other`.
fn compare(to: &mut Assembly, other: &'static str) {
    for word in 0..KEY_WORDS as i16 {
        to.put(LOAD_8, 1, 8, KEY + word * 8, 0);
        to.put(LOAD_8, 2, 10, STACK_KEY + word * 8, 0);
        to.jump(UNLESS_EQUAL_TO, 1, 2, 0, other);
    }
    to.put(LOAD_8, 1, 8, FORBIDDEN, 0);
    to.put(LOAD_8, 2, 10, STACK_FLAGS, 0);
    to.put(AND_OF, 1, 2, 0, 0);
    to.jump(UNLESS_EQUAL, 1, 0, 0, other);
}

/// Enters the slot, counts the packet and drops it. What promises more than came is passed: it is cut.
fn count(to: &mut Assembly) {
    to.put(COPY, 1, 9, 0, 0);
    to.put(CALL, 0, 0, 0, HELPER_BYTES);
    to.put(LOAD_8, 1, 10, STACK_END, 0);
    to.jump(IF_GREATER_THAN, 1, 0, 0, "pass");
    to.put(COPY, 6, 0, 0, 0);
    to.put(SET, 7, 0, 0, 1);
    to.put(ATOMIC, 8, 7, WORD, ATOMIC_FETCH_ADD);
    to.jump(IF_NOT_NEGATIVE, 7, 0, 0, "leave");
    compare(to, "leave");
    to.put(ATOMIC, 8, 6, BYTES, ATOMIC_ADD);
    to.put(LOAD_8, 1, 10, STACK_PAYLOAD, 0);
    to.put(ATOMIC, 8, 1, PAYLOAD, ATOMIC_ADD);
    to.put(SET, 1, 0, 0, 1);
    to.put(ATOMIC, 8, 1, DONE, ATOMIC_FETCH_ADD);
    to.put(SET, 0, 0, 0, DROP);
    to.put(EXIT, 0, 0, 0, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jump_goes_forward_to_a_place_that_there_is() {
        let code = shunting(7, 1, 3);
        let mut jumps = 0;
        for (at, instruction) in code.iter().enumerate() {
            let bytes = instruction.to_le_bytes();
            // jumps, and neither the call nor the end
            if bytes[0] & 0x07 == 0x05 && !matches!(bytes[0], CALL | EXIT) {
                let target = at + 1 + usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
                assert!(target > at + 1 && target < code.len(), "{at} to {target} of {}", code.len());
                jumps += 1;
            }
        }
        assert!(jumps > 30, "{jumps}");
        assert_eq!(code.last(), Some(&instruction(COPY, 1, 9, 0, 0)), "the context, for what follows");
    }

    #[test]
    fn long_constants_are_in_two_halves() {
        let mut to = Assembly::default();
        to.constant(2, 0x1122_3344_8899_AABB);
        assert_eq!(to.code[0].to_le_bytes(), [0x18, 2, 0, 0, 0xBB, 0xAA, 0x99, 0x88]);
        assert_eq!(to.code[1].to_le_bytes(), [0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11]);
    }
}
