//! Packet sockets for a thread that has no right to them and whose library insists on making them itself: its calls are
//! answered by another process (seccomp_unotify(2)).
//!
//! In: a thread; and, in the other process, its calls. Out: sockets of AF_PACKET and nothing else. Linux 5.14 or later.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::Error;

/// Where a filter finds the number of the call, and the lower half of its first argument: `struct seccomp_data`.
const NUMBER: u32 = 0;
const DOMAIN: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };

/// What a type of socket may hold beside its type.
const TYPE: libc::c_int = 0xf;

/// From now on each packet socket that the calling thread asks for is made, or refused, by whoever has what is returned. The
/// thread must have given up new rights before (`no_new_privs`).
///
/// # Errors
/// The kernel does not know how.
pub fn hand_over_packet_sockets() -> Result<OwnedFd, Error> {
    let step = |code: u32, k: u32, jf: u8| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let (load, is) = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    let mut steps = [
        step(load, NUMBER, 0),
        step(is, libc::SYS_socket as u32, 3),
        step(load, DOMAIN, 0),
        step(is, libc::AF_PACKET as u32, 1),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF, 0),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    let (set, listen) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // SAFETY: the kernel copies the program, which lies in `steps`, and keeps no pointer.
    let fd = unsafe { libc::syscall(libc::SYS_seccomp, set, listen, &raw const program) };
    if fd < 0 {
        return Err(Error::last("seccomp"));
    }
    // SAFETY: the descriptor was just made, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Answers the one call that waits: with a socket, if it is for packets.
///
/// # Errors
/// Nobody calls any more.
pub fn pass_packet_socket(listener: BorrowedFd<'_>) -> io::Result<()> {
    let mut call = MaybeUninit::<libc::seccomp_notif>::zeroed();
    // SAFETY: the kernel asks that what it writes to is zero, and writes no more than the structure.
    if unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, call.as_mut_ptr()) } != 0 {
        return unless_interrupted();
    }
    // SAFETY: integers, zeroed and then written by the kernel.
    let call = unsafe { call.assume_init() };
    let [domain, kind, protocol, ..] = call.data.args.map(|argument| argument as libc::c_int);
    let asked = call.data.nr == libc::SYS_socket as libc::c_int && domain == libc::AF_PACKET;
    let made = if asked { made(kind, protocol) } else { Err(libc::EPERM) };
    match made {
        Ok(socket) => {
            let mut passed = libc::seccomp_notif_addfd {
                id: call.id,
                flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
                srcfd: socket.as_raw_fd() as u32,
                newfd: 0,
                newfd_flags: libc::O_CLOEXEC as u32,
            };
            // SAFETY: the kernel reads the structure, and keeps no pointer.
            match unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD as _, &raw mut passed) } {
                -1 => unless_interrupted(),
                _ => Ok(()),
            }
        }
        Err(code) => {
            let mut answer = libc::seccomp_notif_resp { id: call.id, val: 0, error: -code, flags: 0 };
            // SAFETY: as above.
            match unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw mut answer) } {
                -1 => unless_interrupted(),
                _ => Ok(()),
            }
        }
    }
}

fn made(kind: libc::c_int, protocol: libc::c_int) -> Result<OwnedFd, libc::c_int> {
    if ![libc::SOCK_RAW, libc::SOCK_DGRAM].contains(&(kind & TYPE)) {
        return Err(libc::EPERM);
    }
    // SAFETY: the call takes no pointer.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EPERM));
    }
    // SAFETY: the descriptor was just made, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A call that was given up, or taken back by a signal, is nobody's fault.
fn unless_interrupted() -> io::Result<()> {
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EINTR | libc::EINPROGRESS) => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_thread_gets_packet_sockets_from_elsewhere_or_a_reason() {
        let (send, listeners) = channel();
        let thread = std::thread::spawn(move || {
            // SAFETY: the call takes no pointer.
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
            send.send(hand_over_packet_sockets()).expect("somebody listens");
            let of = |kind| made(kind, 0).map(drop);
            (of(libc::SOCK_RAW), of(libc::SOCK_DGRAM), std::net::UdpSocket::bind("127.0.0.1:0").is_ok())
        });
        let listener = listeners.recv().expect("it is sent").expect("Linux 5.14");
        (0..2).for_each(|_| pass_packet_socket(listener.as_fd()).expect("it calls"));
        let (raw, cooked, other) = thread.join().expect("it ends");
        // who may make them here gives them to it; who may not says so
        let own = made(libc::SOCK_RAW, 0).map(drop);
        assert_eq!((raw, cooked, other), (own, own, true), "other sockets are its own");
    }
}
