//! The XDP program: which packets go to a socket. Two maps, 17 instructions, one link, and `bpf(2)`; and, where it was asked
//! for, a third map and what `shunting.rs` puts before them.
//!
//! In: sockets by queue. Out: a program that hands every packet of a queue to its socket, drops what has none, and counts
//! what it dropped; and a link that ties it to an interface for as long as it is open. Nothing is pinned: when the process
//! ends, however it does, the kernel closes the link and the interface is as it was. Never here: a packet.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;
use crate::mapping::Mapping;
use crate::shunting::{SLOT_BYTES, shunting};
use crate::shunts;

#[cfg(target_endian = "big")]
compile_error!("instructions are encoded for little-endian machines alone");

// commands, kinds and flags of linux/bpf.h
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const PROGRAM_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const KIND_ARRAY: u32 = 2;
const KIND_SOCKETS: u32 = 17;
const PROGRAM_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// The program takes packets of several pieces; without it an interface with a large MTU refuses it.
const HAS_FRAGMENTS: u32 = 1 << 5;
/// The map can be seen as memory: who reads it needs no right to call `bpf(2)`.
const IS_MEMORY: u32 = 1 << 10;
/// In the driver, before the kernel makes a packet of its own of the frame; never the generic mode.
const IN_DRIVER: u32 = 1 << 2;

/// What the program says of a packet.
const DROP: i32 = 1;

const HELPER_LOOKUP: i32 = 1;
const HELPER_REDIRECT: i32 = 51;

const NAME: [u8; 16] = *b"haetae\0\0\0\0\0\0\0\0\0\0";

/// The helpers used are open to every licence; the kernel wants the word.
const LICENCE: &[u8] = b"Dual MIT/GPL\0";

/// One instruction: `code | registers << 8 | offset << 16 | immediate << 32`.
pub(crate) const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> u64 {
    code as u64 | ((to | from << 4) as u64) << 8 | (offset as u16 as u64) << 16 | (immediate as u32 as u64) << 32
}

/// Every packet to the socket of its queue; what has none is counted and dropped.
const fn program(sockets: i32, unclaimed: i32) -> [u64; 17] {
    [
        instruction(0x61, 2, 1, 16, 0),              // r2 = context.rx_queue_index
        instruction(0x18, 1, 1, 0, sockets),         // r1 = the map of sockets,
        0,                                           //      in two halves
        instruction(0xb7, 3, 0, 0, DROP),            // r3 = what is done where there is no socket
        instruction(0x85, 0, 0, 0, HELPER_REDIRECT), // r0 = redirect_map(r1, r2, r3)
        instruction(0x55, 0, 0, 10, DROP),           // if r0 != DROP: done
        instruction(0x62, 10, 0, -4, 0),             // key, on the stack = 0
        instruction(0xbf, 2, 10, 0, 0),              // r2 = the stack,
        instruction(0x07, 2, 0, 0, -4),              //      where the key is
        instruction(0x18, 1, 1, 0, unclaimed),       // r1 = the map with the counter,
        0,                                           //      in two halves
        instruction(0x85, 0, 0, 0, HELPER_LOOKUP),   // r0 = map_lookup(r1, r2)
        instruction(0x15, 0, 0, 2, 0),               // if r0 == null: not counted (it is always there)
        instruction(0xb7, 1, 0, 0, 1),               // r1 = 1
        instruction(0xdb, 0, 1, 0, 0),               // atomic: *r0 += r1
        instruction(0xb7, 0, 0, 0, DROP),            // r0 = DROP
        instruction(0x95, 0, 0, 0, 0),               // done
    ]
}

#[repr(C)]
struct MapCreate {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries_max: u32,
    flags: u32,
    inner: u32,
    node: u32,
    name: [u8; 16],
}

#[repr(C)]
struct MapElement {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instructions: u32,
    first: u64,
    licence: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach: u32,
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach: u32,
    flags: u32,
}

/// `bpf(2)`; the answer is a descriptor or 0.
///
/// # Safety
/// `request` must be laid out as the kernel's for this command, and addresses in it must be those of memory that is valid
/// for it, long enough, for the time of the call.
pub(crate) unsafe fn bpf<T>(command: libc::c_int, request: &mut T, what: &'static str) -> Result<libc::c_int, Error> {
    // SAFETY: the pointer and the size are those of `request`; the caller answers for what is in it.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(request), size_of::<T>()) };
    if answer < 0 { Err(Error::last(what)) } else { Ok(answer as libc::c_int) }
}

/// As `bpf`, where the answer is a descriptor.
///
/// # Safety
/// As `bpf`, and the command must be one that answers with a new descriptor.
unsafe fn opened<T>(command: libc::c_int, request: &mut T, what: &'static str) -> Result<OwnedFd, Error> {
    // SAFETY: the caller's promises are the same; the descriptor is new, and nobody else has it.
    unsafe { Ok(OwnedFd::from_raw_fd(bpf(command, request, what)?)) }
}

pub(crate) fn address_of<T: ?Sized>(of: &T) -> u64 {
    std::ptr::from_ref(of).cast::<u8>().expose_provenance() as u64
}

pub(crate) fn map(kind: u32, value_bytes: u32, entries_max: u32, flags: u32) -> Result<OwnedFd, Error> {
    let mut request = MapCreate { kind, key_bytes: 4, value_bytes, entries_max, flags, inner: 0, node: 0, name: NAME };
    // SAFETY: the layout is that of BPF_MAP_CREATE, which has no address in it and answers with a descriptor.
    unsafe { opened(MAP_CREATE, &mut request, "BPF_MAP_CREATE") }
}

/// Loads a program for XDP.
pub(crate) fn load(instructions: &[u64], flags: u32) -> Result<OwnedFd, Error> {
    let mut request = ProgramLoad {
        kind: PROGRAM_XDP,
        instructions: instructions.len() as u32,
        first: address_of(instructions),
        licence: address_of(LICENCE),
        log_level: 0,
        log_bytes: 0,
        log: 0,
        kernel: 0,
        flags,
        name: NAME,
        interface: 0,
        attach: ATTACH_XDP,
    };
    // SAFETY: the layout is that of BPF_PROG_LOAD, which answers with a descriptor; the instructions and the licence with its
    // closing NUL outlive the call, and so many instructions there are.
    unsafe { opened(PROGRAM_LOAD, &mut request, "BPF_PROG_LOAD") }
}

/// Sets an entry of a map whose values are so long.
fn update(map: BorrowedFd<'_>, key: u32, value: &[u8]) -> Result<(), Error> {
    let mut request = MapElement {
        map: map.as_raw_fd() as u32,
        padding: 0,
        key: address_of(&key),
        value: address_of(value),
        flags: 0,
    };
    // SAFETY: the layout is that of BPF_MAP_UPDATE_ELEM; the key has four bytes, the value as many as the map was made for,
    // and both outlive the call.
    unsafe { bpf(MAP_UPDATE, &mut request, "BPF_MAP_UPDATE_ELEM") }.map(drop)
}

fn random() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    // SAFETY: the kernel writes at most so many bytes to where they are.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == bytes.len() as isize { Ok(u64::from_ne_bytes(bytes)) } else { Err(Error::last("getrandom")) }
}

/// The program with its maps, in the kernel, not attached.
pub(crate) struct Program {
    fd: OwnedFd,
    sockets: OwnedFd,
    unclaimed: OwnedFd,
    shunts: Option<OwnedFd>,
}

impl Program {
    /// For `queues` queues, none of which has a socket yet. `shunts`: whether conversations can be shunted.
    pub(crate) fn load(queues: u32, shunts: bool) -> Result<Program, Error> {
        let sockets = map(KIND_SOCKETS, size_of::<u32>() as u32, queues, 0)?;
        let unclaimed = map(KIND_ARRAY, size_of::<u64>() as u32, 1, IS_MEMORY)?;
        let (shunts, mut instructions) = if shunts { Program::shunts()? } else { (None, Vec::new()) };
        instructions.extend(program(sockets.as_raw_fd(), unclaimed.as_raw_fd()));
        let fd = load(&instructions, HAS_FRAGMENTS)?;
        Ok(Program { fd, sockets, unclaimed, shunts })
    }

    /// The map of what is shunted, its hash keyed so that nobody outside can make conversations collide; and what looks
    /// into it.
    fn shunts() -> Result<(Option<OwnedFd>, Vec<u64>), Error> {
        let slots = map(KIND_ARRAY, SLOT_BYTES, shunts::ENTRIES, IS_MEMORY)?;
        let (seed, factor) = (random()?, random()? | 1);
        update(slots.as_fd(), shunts::ENTRIES - 1, &shunts::keyed(seed, factor))?;
        let instructions = shunting(slots.as_raw_fd(), seed, factor);
        Ok((Some(slots), instructions))
    }

    /// From now on the packets of `queue` go to `socket`.
    pub(crate) fn give(&self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), Error> {
        update(self.sockets.as_fd(), queue, &(socket.as_raw_fd() as u32).to_ne_bytes())
    }

    /// The map of what is shunted, where that was asked for.
    pub(crate) fn slots(&self) -> Result<Option<OwnedFd>, Error> {
        self.shunts.as_ref().map(OwnedFd::try_clone).transpose().map_err(|error| Error::of("dup", error))
    }

    /// The map that counts packets of queues without a socket: [`Unclaimed`] reads it.
    pub(crate) fn counter(&self) -> Result<OwnedFd, Error> {
        self.unclaimed.try_clone().map_err(|error| Error::of("dup", error))
    }

    /// Ties it to an interface until what is returned is dropped.
    pub(crate) fn attach(&self, interface: u32) -> Result<OwnedFd, Error> {
        let program = self.fd.as_fd().as_raw_fd() as u32;
        let mut request = LinkCreate { program, interface, attach: ATTACH_XDP, flags: IN_DRIVER };
        // SAFETY: the layout is that of BPF_LINK_CREATE, which has no address in it and answers with a descriptor.
        let link = unsafe { opened(LINK_CREATE, &mut request, "BPF_LINK_CREATE") };
        link.map_err(|error| match error {
            Error::Call { error, .. } if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Error::NotNative,
            Error::Call { error, .. } if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST)) => {
                Error::Occupied
            }
            other => other,
        })
    }
}

/// The number of packets that came by a queue without a socket, as long as the program runs.
pub(crate) struct Unclaimed(Mapping);

impl Unclaimed {
    /// Of the descriptor that [`Program::counter`] gives.
    pub(crate) fn of(counter: BorrowedFd<'_>) -> Result<Unclaimed, Error> {
        Mapping::of_map(counter, size_of::<u64>()).map(Unclaimed).map_err(|error| Error::of("mmap of a map", error))
    }

    pub(crate) fn count(&self) -> u64 {
        // SAFETY: the mapping is at least eight bytes long and begins on a page; the program changes them by atomic
        // additions alone, and nobody else writes to them.
        unsafe { self.0.first().cast::<AtomicU64>().as_ref() }.load(Ordering::Relaxed)
    }
}

/// How a program is run on a packet that no interface has seen.
#[cfg(any(test, feature = "flood"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// How often.
    pub(crate) times: u32,
    /// Flags of `BPF_PROG_TEST_RUN`.
    pub(crate) flags: u32,
    /// Packets at once, where they are sent; else 0.
    pub(crate) batch: u32,
}

/// Runs a program on a packet, with `struct xdp_md` as words or without; what it says of it last.
#[cfg(any(test, feature = "flood"))]
pub(crate) fn run(program: BorrowedFd<'_>, packet: &[u8], context: &[u32], how: Run) -> Result<u32, Error> {
    const PROGRAM_RUN: libc::c_int = 10;

    #[repr(C)]
    struct ProgramRun {
        program: u32,
        answer: u32,
        bytes_in: u32,
        bytes_out: u32,
        data_in: u64,
        data_out: u64,
        times: u32,
        nanoseconds: u32,
        context_in_bytes: u32,
        context_out_bytes: u32,
        context_in: u64,
        context_out: u64,
        flags: u32,
        processor: u32,
        batch: u32,
        padding: u32,
    }
    let mut request = ProgramRun {
        program: program.as_raw_fd() as u32,
        answer: 0,
        bytes_in: packet.len() as u32,
        bytes_out: 0,
        data_in: address_of(packet),
        data_out: 0,
        times: how.times,
        nanoseconds: 0,
        context_in_bytes: size_of_val(context) as u32,
        context_out_bytes: 0,
        // to the kernel an address is a context, however short
        context_in: if context.is_empty() { 0 } else { address_of(context) },
        context_out: 0,
        flags: how.flags,
        processor: 0,
        batch: how.batch,
        padding: 0,
    };
    // SAFETY: the layout is that of BPF_PROG_TEST_RUN; packet and context outlive the call, with the lengths given, and
    // nothing is to be written out.
    unsafe { bpf(PROGRAM_RUN, &mut request, "BPF_PROG_TEST_RUN") }?;
    Ok(request.answer)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn instructions_are_encoded_as_the_kernel_reads_them() {
        // code, registers (the second in the high half), offset, immediate, each in little-endian order
        assert_eq!(instruction(0x61, 2, 1, 16, 0).to_le_bytes(), [0x61, 0x12, 16, 0, 0, 0, 0, 0]);
        assert_eq!(instruction(0x62, 10, 0, -4, 0).to_le_bytes(), [0x62, 0x0a, 0xfc, 0xff, 0, 0, 0, 0]);
        assert_eq!(instruction(0x07, 2, 0, 0, -4).to_le_bytes(), [0x07, 0x02, 0, 0, 0xfc, 0xff, 0xff, 0xff]);
        assert_eq!(instruction(0x85, 0, 0, 0, 51).to_le_bytes(), [0x85, 0, 0, 0, 51, 0, 0, 0]);
    }

    #[test]
    fn the_program_names_its_maps_and_jumps_to_where_it_means() {
        let program = program(7, 9);
        let at = |place: usize| program[place].to_le_bytes();
        assert_eq!((at(1)[0], at(1)[1] >> 4, at(1)[4]), (0x18, 1, 7), "the map of sockets, by its descriptor");
        assert_eq!((at(9)[0], at(9)[1] >> 4, at(9)[4]), (0x18, 1, 9), "the counter's map");
        assert_eq!((program[2], program[10]), (0, 0), "second halves");
        let target = |place: usize| place + 1 + usize::from(at(place)[2]);
        assert_eq!(at(target(5))[0], 0x95, "what has a socket: done");
        assert_eq!(program[target(12)], program[15], "what cannot be counted is dropped like the rest");
        assert_eq!(program[16], 0x95);
    }

    #[test]
    fn requests_are_as_long_as_the_kernel_has_them() {
        // offsets of linux/bpf.h: map_name ends at 44, expected_attach_type at 72, link_create.flags at 16
        assert_eq!((size_of::<MapCreate>(), size_of::<MapElement>()), (44, 32));
        assert_eq!((size_of::<ProgramLoad>(), std::mem::offset_of!(ProgramLoad, attach)), (72, 68));
        assert_eq!(size_of::<LinkCreate>(), 16);
    }

    /// What the program says of a packet that no interface has seen, `times` over.
    pub(crate) fn asked(program: &Program, packet: &[u8], times: u32) -> u32 {
        run(program.fd.as_fd(), packet, &[], Run { times, flags: 0, batch: 0 }).expect("it runs")
    }

    /// The program in the kernel; `None`, said aloud, where that is not permitted.
    pub(crate) fn loaded(test: &str, shunts: bool) -> Option<Program> {
        match Program::load(4, shunts) {
            Err(Error::Permission(_)) => {
                assert!(std::env::var_os("CI").is_none(), "needs root, and CI has it");
                eprintln!("\n*** {test}: NOT TESTED: loading an XDP program needs root ***\n");
                None
            }
            other => Some(other.expect("the verifier finds nothing")),
        }
    }

    #[test]
    fn the_kernel_takes_the_program_and_it_counts_what_no_socket_claims() {
        for shunts in [false, true] {
            let Some(program) = loaded("the_kernel_takes_the_program_and_it_counts_what_no_socket_claims", shunts)
            else {
                return;
            };
            let counter = program.counter().expect("a descriptor");
            let unclaimed = Unclaimed::of(counter.as_fd()).expect("memory");
            assert_eq!(unclaimed.count(), 0);
            assert_eq!(asked(&program, &[0; 64], 1), DROP as u32);
            assert_eq!(asked(&program, &[0; 64], 1_000), DROP as u32);
            assert_eq!(unclaimed.count(), 1_001);
        }
    }
}
