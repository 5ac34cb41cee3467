//! What is asked of the descriptor of an AF_PACKET socket that somebody else made: to share what comes with others.
//!
//! In: a bound socket. Out: the number of its group. Never here: a packet.

use std::os::fd::BorrowedFd;

use crate::Error;
use crate::socket::{get, set};

/// By a hash that is the same for both directions of a flow: `PACKET_FANOUT_HASH`.
const BY_HASH: u32 = 0;

/// The kernel finds a number that nobody uses.
const UNIQUE: u32 = 0x2000;

/// A group of sockets on one interface, of which each packet reaches one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(u16);

/// Makes a socket share what comes to its interface with the others of `group`, or be the first of a new one. Both
/// directions of a flow, and all fragments of a datagram, reach the same socket.
///
/// # Errors
/// What the kernel says: EINVAL where the sockets of a group are not on the same interface.
pub fn share(socket: BorrowedFd<'_>, group: Option<Group>) -> Result<Group, Error> {
    let wanted = match group {
        Some(Group(number)) => u32::from(number) | BY_HASH << 16,
        None => (BY_HASH | UNIQUE) << 16,
    };
    set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &wanted, "PACKET_FANOUT")?;
    let got: u32 = get(socket, libc::SOL_PACKET, libc::PACKET_FANOUT)?;
    Ok(Group(got as u16))
}
