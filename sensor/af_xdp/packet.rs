//! What is asked of the descriptor of an AF_PACKET socket that somebody else made: to share what comes with others, or to
//! read another interface.
//!
//! In: a bound socket. Out: the number of its group; a socket that is bound again. Never here: a packet.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::Error;
use crate::interface::take_for_others;
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

/// What kind of device a packet socket is bound to (`ARPHRD_` of the kernel); 0: to none any more.
///
/// # Errors
/// It is no packet socket.
pub fn hardware(packet_socket: BorrowedFd<'_>) -> io::Result<u16> {
    let (mut address, mut len) = (nowhere(), size_of::<libc::sockaddr_ll>() as libc::socklen_t);
    let at = std::ptr::from_mut(&mut address).cast();
    // SAFETY: the kernel writes at most `len` bytes, the size of `address`, of which every bit pattern is one.
    match unsafe { libc::getsockname(packet_socket.as_raw_fd(), at, std::ptr::from_mut(&mut len)) } {
        0 if i32::from(address.sll_family) == libc::AF_PACKET => Ok(address.sll_hatype),
        0 => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the interface of this name is switched on, asked through any socket: `/sys` may be out of reach.
///
/// # Errors
/// There is none.
pub fn is_up(socket: BorrowedFd<'_>, name: &str) -> Result<bool, Error> {
    // SAFETY: integers and bytes, of which zero is one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Error::Absent); // its last byte is NUL
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the kernel reads the name, which ends with a NUL, and writes the flags; both lie in `request`.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) } {
        // SAFETY: the kernel has just written the flags.
        0 => Ok(i32::from(unsafe { request.ifr_ifru.ifru_flags }) & libc::IFF_UP != 0),
        _ => Err(Error::last("SIOCGIFFLAGS")),
    }
}

/// Binds a packet socket, with its rings and its filter, to another interface: that of its old name after it was made again.
/// To make such a socket takes CAP_NET_RAW; to bind one that is there takes nothing.
///
/// # Errors
/// What the kernel says: the interface may be gone again; EINVAL for a socket that shares with others.
pub fn bind_again(packet_socket: BorrowedFd<'_>, interface: u32, promiscuous: bool) -> Result<(), Error> {
    let address = libc::sockaddr_ll {
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: interface as libc::c_int,
        ..nowhere()
    };
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `address`, which outlives the call.
    if unsafe { libc::bind(packet_socket.as_raw_fd(), std::ptr::from_ref(&address).cast(), len) } != 0 {
        return Err(Error::last("bind"));
    }
    // the membership that it had went with the interface
    if promiscuous { take_for_others(packet_socket, interface) } else { Ok(()) }
}

/// An address of no interface.
fn nowhere() -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::os::fd::AsFd;

    use super::*;
    use crate::Interface;

    #[test]
    fn an_interface_is_asked_of_through_any_socket() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let loopback = Interface::named("lo").expect("every machine has one");
        assert_eq!(is_up(socket.as_fd(), "lo").expect("there"), loopback.is_up());
        assert!(matches!(is_up(socket.as_fd(), "nosuchtap9"), Err(Error::Absent)));
        assert!(matches!(is_up(socket.as_fd(), "a-name-of-sixteen"), Err(Error::Absent)));
        assert!(hardware(socket.as_fd()).is_err(), "it is no packet socket");
    }
}
