//! What a network card and its driver say of an interface: rings, queues, offloads; nothing of it is changed.
//!
//! In: an [`Interface`]. Out: numbers, each `None` where the driver does not say. The old ioctl is asked and not its netlink
//! successor: every kernel has it, and its answers are structures of fixed size. Never here: a command that sets something.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::Error;
use crate::interface::Interface;
use crate::socket::{Plain, get, set};

/// How much of something there is, and how much there could be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adjusted {
    /// As it is set.
    pub now: u32,
    /// The most that can be set.
    pub max: u32,
}

/// What the card or the kernel does to frames before anybody sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Segments of a stream are joined by the kernel.
    pub gro: Option<bool>,
    /// The same, by the card: what was joined cannot be told any more.
    pub lro: Option<bool>,
    /// Frames that this machine sends are cut up late: what a veth's other end sends comes whole.
    pub gso: Option<bool>,
    /// VLAN tags are taken off frames and told beside them.
    pub rx_vlan: Option<bool>,
}

/// Commands that only ask (linux/ethtool.h).
mod command {
    pub(super) const DRIVER: u32 = 0x03;
    pub(super) const RING: u32 = 0x10;
    pub(super) const GSO: u32 = 0x23;
    pub(super) const FLAGS: u32 = 0x25;
    pub(super) const GRO: u32 = 0x2b;
    pub(super) const CHANNELS: u32 = 0x3c;
}

/// Bits of the answer to [`command::FLAGS`].
const FLAG_RX_VLAN: u32 = 1 << 8;
const FLAG_LRO: u32 = 1 << 15;

/// `struct ethtool_value`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Value([u32; 2]);

/// `struct ethtool_ringparam`: after the command the most, then what is set, each for receiving, mini, jumbo, sending.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ring([u32; 9]);

/// `struct ethtool_channels`: after the command the most, then what is set, each for receiving, sending, other, combined.
#[repr(C)]
#[derive(Clone, Copy)]
struct Channels([u32; 9]);

/// `struct ethtool_drvinfo`: the name follows the command.
#[repr(C)]
#[derive(Clone, Copy)]
struct Driver {
    command: u32,
    name: [u8; 32],
    rest: [u8; 160],
}

// SAFETY: integers alone, without padding.
unsafe impl Plain for Value {}
// SAFETY: as above.
unsafe impl Plain for Ring {}
// SAFETY: as above.
unsafe impl Plain for Channels {}
// SAFETY: as above: 4, 32 and 160 bytes, aligned to 4.
unsafe impl Plain for Driver {}

impl Interface {
    /// What its driver is called.
    pub fn driver(&self) -> Option<String> {
        let asked = Driver { command: command::DRIVER, name: [0; 32], rest: [0; 160] };
        let answer = self.ask(asked).ok()?;
        let name: Vec<u8> = answer.name.into_iter().take_while(|byte| *byte != 0).collect();
        Some(String::from_utf8_lossy(&name).into_owned()).filter(|name| !name.is_empty())
    }

    /// Frames that its receive ring holds.
    pub fn receive_ring(&self) -> Option<Adjusted> {
        let mut asked = Ring([0; 9]);
        asked.0[0] = command::RING;
        let Ring(answer) = self.ask(asked).ok()?;
        Some(Adjusted { now: answer[5], max: answer[1] }).filter(|ring| ring.max > 0)
    }

    /// Queues that it receives by: those for receiving alone, and those for both ways.
    pub fn channels(&self) -> Option<Adjusted> {
        let mut asked = Channels([0; 9]);
        asked.0[0] = command::CHANNELS;
        let Channels(answer) = self.ask(asked).ok()?;
        let both = |receiving: u32, combined: u32| receiving.saturating_add(combined);
        Some(Adjusted { now: both(answer[5], answer[8]), max: both(answer[1], answer[4]) }).filter(|one| one.max > 0)
    }

    /// What is done to frames on their way in.
    pub fn offloads(&self) -> Offloads {
        let value = |command| Some(self.ask(Value([command, 0])).ok()?.0[1]);
        let flags = value(command::FLAGS);
        Offloads {
            gro: value(command::GRO).map(|value| value != 0),
            gso: value(command::GSO).map(|value| value != 0),
            lro: flags.map(|flags| flags & FLAG_LRO != 0),
            rx_vlan: flags.map(|flags| flags & FLAG_RX_VLAN != 0),
        }
    }

    /// Asks the driver; `question` begins with a command that only asks, and has room for its answer.
    fn ask<T: Plain>(&self, question: T) -> io::Result<T> {
        let mut answer = question;
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut name = [0; libc::IFNAMSIZ];
        let letters = self.name().bytes().take(libc::IFNAMSIZ - 1);
        name.iter_mut().zip(letters).for_each(|(to, letter)| *to = letter as libc::c_char);
        let data = std::ptr::from_mut(&mut answer).cast();
        let mut request = libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data } };
        // SAFETY: the request has a name that ends with a NUL and a pointer to `answer`; both outlive the call. To each of
        // the commands above the kernel answers with the structure that the question is, and writes no more.
        let asked = unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
        if asked == 0 { Ok(answer) } else { Err(io::Error::last_os_error()) }
    }
}

/// Deals what comes to packet sockets among them: each gets what came by the receive queues of one number, counted over all
/// of them; and none what this machine sends. They must be bound to the same interface.
///
/// # Errors
/// The kernel refuses.
pub fn deal_by_queue(sockets: &[BorrowedFd<'_>]) -> Result<(), Error> {
    let kind = libc::PACKET_FANOUT_QM | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
    let mut group = 0;
    for (at, socket) in sockets.iter().enumerate() {
        // the first asks for a number that nobody has, the others join it
        let unique = if at == 0 { libc::PACKET_FANOUT_FLAG_UNIQUEID } else { 0 };
        let wanted: u32 = group | (kind | unique) << 16;
        set(*socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &wanted, "PACKET_FANOUT")?;
        if at == 0 {
            group = get::<u32>(*socket, libc::SOL_PACKET, libc::PACKET_FANOUT)? & 0xffff;
        }
    }
    Ok(())
}

/// What the kernel says of the machine's wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockState {
    /// Whether somebody keeps it right.
    pub synchronised: bool,
    /// How far off it may be, as whoever keeps it says.
    pub error_max_micros: u64,
}

/// Asks how the wall clock is kept.
///
/// # Errors
/// The kernel does not say.
pub fn clock_state() -> io::Result<ClockState> {
    // SAFETY: integers alone, for which zero is a value; `modes` zero: nothing is set.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is one that the call writes whole, and it outlives it.
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let synchronised = answer != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0;
    Ok(ClockState { synchronised, error_max_micros: u64::try_from(state.maxerror).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_large_as_the_kernels() {
        let sizes = [size_of::<Value>(), size_of::<Ring>(), size_of::<Channels>(), size_of::<Driver>()];
        assert_eq!(sizes, [8, 36, 36, 196]);
    }

    #[test]
    fn loopback_has_no_rings_and_strips_nothing() {
        let loopback = Interface::named("lo").expect("every machine has one");
        assert_eq!((loopback.receive_ring(), loopback.channels()), (None, None));
        let offloads = loopback.offloads();
        assert_eq!((offloads.lro, offloads.rx_vlan), (Some(false), Some(false)), "{offloads:?}");
        assert!(offloads.gro.is_some() && offloads.gso.is_some(), "{offloads:?}");
    }

    #[test]
    fn the_kernel_says_how_the_clock_is_kept() {
        assert!(clock_state().is_ok());
    }
}
