//! The broker: a small process that keeps the rights to take interfaces, so that the one that reads strangers' bytes has
//! none.
//!
//! In: its socket, and once, before anything else, the interfaces that the configuration names. Out: descriptors of theirs
//! and of no others ([`af_xdp::Rights`], asked across the socket). It ends when its peer does. Never here: a packet, a file
//! other than those in which the system describes interfaces.

mod asking;
mod serving;

use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use af_xdp::{Error, Use};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use asking::{Broker, Up};
pub use serving::serve;

use crate::limits::{BROKER_DESCRIPTORS_MAX, BROKER_MESSAGE_BYTES_MAX};

/// What is said first, and once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// The interfaces that may be asked for; no other ever is.
    pub interfaces: Vec<String>,
    /// Whether the log has an object a line.
    pub json: bool,
}

/// A layer of the broker's sandbox, and why it does not hold; without a layer, what was tried and not refused.
pub type Short = (String, String);

/// What is asked of the broker.
#[derive(Debug, Serialize, Deserialize)]
enum Asked {
    Begin(Beginning),
    Prepare {
        interface: String,
        promiscuous: bool,
        busy_poll: Option<u32>,
        shunts: bool,
    },
    Attach(String),
    Uses(String),
    State(String),
    /// With the descriptor by which calls for packet sockets are answered from now on.
    Listen,
}

impl Asked {
    /// The interface of which something is asked.
    fn interface(&self) -> Option<&str> {
        match self {
            Asked::Begin(_) | Asked::Listen => None,
            Asked::Prepare { interface, .. } => Some(interface),
            Asked::Attach(interface) | Asked::Uses(interface) | Asked::State(interface) => Some(interface),
        }
    }
}

/// What it answers; descriptors come beside.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// It has begun, in a sandbox of its own; what of that does not hold.
    Begun(Vec<Short>),
    /// The counter, then the map of what is shunted and what holds the interface promiscuous, if that was asked for, then a
    /// socket for each queue.
    Prepared {
        index: u32,
        shunts: bool,
        promiscuous: bool,
    },
    Attached,
    Listening,
    Uses(Vec<Used>),
    State {
        index: u32,
        queues: u32,
        dropped: u64,
        missed: u64,
    },
    Refused(Why),
}

#[derive(Debug, Serialize, Deserialize)]
enum Used {
    Address(IpAddr),
    DefaultRoute,
    Below(String),
}

impl From<Use> for Used {
    fn from(by: Use) -> Used {
        match by {
            Use::Address(address) => Used::Address(address),
            Use::DefaultRoute => Used::DefaultRoute,
            Use::Below(other) => Used::Below(other),
        }
    }
}

impl From<Used> for Use {
    fn from(by: Used) -> Use {
        match by {
            Used::Address(address) => Use::Address(address),
            Used::DefaultRoute => Use::DefaultRoute,
            Used::Below(other) => Use::Below(other),
        }
    }
}

/// Why something is not answered.
#[derive(Debug, Serialize, Deserialize)]
enum Why {
    Absent,
    Down,
    Permission,
    QueueTaken(u32),
    Occupied,
    NotNative,
    Memory(u64),
    Strange,
    /// What the kernel says, by its number.
    Call(Option<i32>),
    /// It is no interface of the configuration.
    Foreign,
}

impl From<&Error> for Why {
    fn from(error: &Error) -> Why {
        match error {
            Error::Absent => Why::Absent,
            Error::Down => Why::Down,
            Error::Permission(_) => Why::Permission,
            Error::QueueTaken(queue) => Why::QueueTaken(*queue),
            Error::Occupied => Why::Occupied,
            Error::NotNative => Why::NotNative,
            Error::Memory { bytes } => Why::Memory(*bytes),
            Error::Strange => Why::Strange,
            Error::Call { error, .. } => Why::Call(error.raw_os_error()),
        }
    }
}

impl From<Why> for Error {
    fn from(why: Why) -> Error {
        let what = "what the broker was asked for";
        match why {
            Why::Absent => Error::Absent,
            Why::Down => Error::Down,
            Why::Permission => Error::Permission(what),
            Why::QueueTaken(queue) => Error::QueueTaken(queue),
            Why::Occupied => Error::Occupied,
            Why::NotNative => Error::NotNative,
            Why::Memory(bytes) => Error::Memory { bytes },
            Why::Strange => Error::Strange,
            Why::Call(code) => {
                let other = || io::Error::other("it says no more");
                Error::Call { what, error: code.map_or_else(other, io::Error::from_raw_os_error) }
            }
            Why::Foreign => Error::Call { what, error: io::Error::other("refused: no interface of the configuration") },
        }
    }
}

fn send(to: BorrowedFd<'_>, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BROKER_DESCRIPTORS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if bytes.len() > BROKER_MESSAGE_BYTES_MAX
        || !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors))
    {
        return Err(io::Error::other("too much for one message"));
    }
    // whoever is gone must not end us by a signal
    rustix::io::retry_on_intr(|| sendmsg(to, &[io::IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// `None`: the peer has ended.
fn receive<T: DeserializeOwned>(from: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; BROKER_MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BROKER_DESCRIPTORS_MAX))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        match recvmsg(from, &mut [io::IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("a message was cut off"));
    }
    Ok(Some((serde_json::from_slice(&bytes[..got.bytes])?, descriptors)))
}

fn all(of: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    of.iter().map(AsFd::as_fd).collect()
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn a_message_brings_its_descriptors_and_an_end_is_one() {
        let (here, there) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a pair");
        let passed: Vec<OwnedFd> = (0..3).map(|_| here.try_clone().expect("one more")).collect();
        send(here.as_fd(), &Answer::Prepared { index: 7, shunts: false, promiscuous: true }, &all(&passed))
            .expect("it is sent");
        let (answer, descriptors): (Answer, _) = receive(there.as_fd()).expect("it came").expect("a message");
        assert!(
            matches!(answer, Answer::Prepared { index: 7, shunts: false, promiscuous: true }) && descriptors.len() == 3
        );
        rustix::net::send(&here, b"{\"Reboot\":1}", SendFlags::empty()).expect("it is sent");
        assert!(receive::<Asked>(there.as_fd()).is_err(), "what is no question is refused");
        drop((here, passed, descriptors));
        assert!(receive::<Asked>(there.as_fd()).expect("it is no error").is_none());
    }

    #[test]
    fn a_reason_is_the_same_on_both_sides() {
        for error in
            [Error::Absent, Error::Down, Error::Occupied, Error::NotNative, Error::QueueTaken(3), Error::Strange]
        {
            let text = serde_json::to_string(&Why::from(&error)).expect("JSON");
            let why: Why = serde_json::from_str(&text).expect("the same");
            assert_eq!(Error::from(why).to_string(), error.to_string());
        }
        let busy = Error::Call { what: "bind", error: io::Error::from_raw_os_error(16) };
        assert!(Error::from(Why::from(&busy)).to_string().contains("os error 16"));
    }
}
