//! Frames that the kernel makes itself, for tests and benches: no program that sends is fast enough to fill an AF_XDP port.
//! Behind the feature `flood`, which the sensor is built without: it has no code that can send.
//!
//! In: an interface and a frame. Out: so many copies of it, sent by that interface, each of another of a few flows. How many
//! the other end takes is its own affair. Never here: a pace.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::Error;
use crate::bpf::{Run, instruction, load, map, run};
use crate::interface::Interface;

const KIND_ARRAY: u32 = 2;
/// The frames are sent, where a test of a program would only look at what it says.
const LIVE_FRAMES: u32 = 1 << 1;
/// Back out of the interface by which a frame has come; these come by the one that is named.
const TRANSMIT: i32 = 3;
const HELPER_LOOKUP: i32 = 1;

/// Frames that are made at once; the kernel takes no more.
const BATCH: u32 = 256;

/// Writes the number of the frame, as far as the mask lets it, into two bytes at `offset`, and sends it.
const fn program(counter: i32, offset: i16, mask: i32) -> [u64; 20] {
    [
        instruction(0x61, 7, 1, 0, 0),                 // r7 = context.data
        instruction(0x61, 3, 1, 4, 0),                 // r3 = context.data_end
        instruction(0xbf, 4, 7, 0, 0),                 // r4 = r7,
        instruction(0x07, 4, 0, 0, offset as i32 + 2), //      behind the two bytes
        instruction(0x2d, 4, 3, 13, 0),                // if r4 > r3: send
        instruction(0x62, 10, 0, -4, 0),               // key, on the stack = 0
        instruction(0xbf, 2, 10, 0, 0),                // r2 = the stack,
        instruction(0x07, 2, 0, 0, -4),                //      where the key is
        instruction(0x18, 1, 1, 0, counter),           // r1 = the map with the counter,
        0,                                             //      in two halves
        instruction(0x85, 0, 0, 0, HELPER_LOOKUP),     // r0 = map_lookup(r1, r2)
        instruction(0x15, 0, 0, 6, 0),                 // if r0 == null: send
        instruction(0xb7, 1, 0, 0, 1),                 // r1 = 1
        instruction(0xdb, 0, 1, 0, 1),                 // atomic: r1 = *r0, *r0 += 1
        instruction(0x57, 1, 0, 0, mask),              // r1 &= mask
        instruction(0x07, 1, 0, 0, 1),                 // r1 += 1
        instruction(0xdc, 1, 0, 0, 16),                // in the order of the wire
        instruction(0x6b, 7, 1, offset, 0),            // the two bytes = r1
        instruction(0xb7, 0, 0, 0, TRANSMIT),          // r0 = TRANSMIT
        instruction(0x95, 0, 0, 0, 0),                 // done
    ]
}

/// See the head of this file.
pub struct Flood {
    program: OwnedFd,
    _counter: OwnedFd,
    frame: Vec<u8>,
    interface: u32,
}

impl Flood {
    /// Copies of `frame`, whose two bytes at `offset` (a port, in the order of the wire) go through `flows` numbers, a power of
    /// two up to 32,768, from 1 on.
    ///
    /// # Errors
    /// There is no such interface, or no right to do this.
    pub fn new(interface: &str, frame: &[u8], offset: u16, flows: u16) -> Result<Flood, Error> {
        let counter = map(KIND_ARRAY, size_of::<u64>() as u32, 1, 0)?;
        let mask = i32::from(flows.max(1).next_power_of_two()) - 1;
        let instructions = program(counter.as_raw_fd(), offset as i16, mask);
        let program = load(&instructions, 0)?;
        let interface = Interface::named(interface)?.index();
        Ok(Flood { program, _counter: counter, frame: frame.to_vec(), interface })
    }

    /// Sends so many, as fast as it goes, on the processor that this thread runs on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, frames: u32) -> Result<(), Error> {
        // `struct xdp_md`: data, data_end, data_meta, the interface, its queue, egress
        let context = [0, self.frame.len() as u32, 0, self.interface, 0, 0];
        let how = Run { times: frames, flags: LIVE_FRAMES, batch: BATCH };
        run(self.program.as_fd(), &self.frame, &context, how).map(drop)
    }
}
