//! The steps of taking an interface that need rights, behind one door: sockets, the XDP program with its maps, the link,
//! promiscuous mode; and what is asked of the interface where files of the system say it.
//!
//! In: an interface's name. Out: descriptors, with which whoever has no rights does the rest: memory, rings, binding,
//! receiving. [`OwnRights`] are those of this process; a broker may have kept them instead. Never here: a packet.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::Error;
use crate::bpf::Program;
use crate::interface::{Interface, Lost, Use};
use crate::socket::{Socket, poll_busily};

/// An interface about to be taken: what the kernel has for it, by descriptors. When all are closed, nothing is left.
#[derive(Debug)]
pub struct Prepared {
    /// Its number.
    pub index: u32,
    /// A socket for each of its receive queues, in their order, bound to nothing.
    pub sockets: Vec<OwnedFd>,
    /// The counter of what comes by a queue without a socket: a map that can be seen as memory.
    pub unclaimed: OwnedFd,
    /// The conversations that are shunted, if that was asked for: a map that can be seen as memory, and written.
    pub shunts: Option<OwnedFd>,
    /// Held open, it keeps the interface promiscuous.
    pub promiscuous: Option<OwnedFd>,
}

/// An interface as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Its number; another one means that it was made anew.
    pub index: u32,
    /// Queues that it receives by.
    pub queues: u32,
    /// Frames that it lost since it was made.
    pub lost: Lost,
}

/// Who may take an interface.
pub trait Rights: Send {
    /// Everything up to the moment before packets are taken. `busy_poll`: for so long (microseconds) a look at an empty ring
    /// lets the driver fetch packets. `shunts`: whether conversations are to be shunted.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn prepare(
        &mut self,
        interface: &str,
        promiscuous: bool,
        busy_poll: Option<u32>,
        shunts: bool,
    ) -> Result<Prepared, Error>;

    /// From now on every packet goes to the sockets of the last [`Rights::prepare`] of this interface, which by now are
    /// bound; until what is returned is closed.
    ///
    /// # Errors
    /// Why not.
    fn attach(&mut self, interface: &str) -> Result<OwnedFd, Error>;

    /// What else this machine has the interface for.
    ///
    /// # Errors
    /// The system does not say: whoever takes it then may cut the machine off.
    fn uses(&mut self, interface: &str) -> Result<Vec<Use>, Error>;

    /// How the interface is now.
    ///
    /// # Errors
    /// It is gone, or down.
    fn state(&mut self, interface: &str) -> Result<State, Error>;

    /// Whether whoever has the rights is there to be asked.
    fn are_there(&mut self) -> bool {
        true
    }

    /// From now on the calling thread gets packet sockets from whoever has the rights, without any right of its own.
    ///
    /// # Errors
    /// It has to keep the right to make them.
    fn pass_packet_sockets(&mut self) -> Result<(), Error> {
        Err(Error::Permission("passing packet sockets"))
    }
}

/// The rights of this process: CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF.
#[derive(Default)]
pub struct OwnRights {
    /// Programs that wait to be attached, by interface.
    programs: Vec<(String, u32, Program)>,
}

impl Rights for OwnRights {
    fn prepare(
        &mut self,
        interface: &str,
        promiscuous: bool,
        busy_poll: Option<u32>,
        shunts: bool,
    ) -> Result<Prepared, Error> {
        let found = Interface::named(interface)?;
        if !found.is_up() {
            return Err(Error::Down);
        }
        let queues = queues(&found)?;
        let program = Program::load(queues, shunts)?;
        let mut sockets = Vec::new();
        for queue in 0..queues {
            let socket = Socket::made()?;
            if let Some(microseconds) = busy_poll {
                poll_busily(socket.as_fd(), microseconds)?;
            }
            program.give(queue, socket.as_fd())?;
            sockets.push(socket);
        }
        let promiscuous = promiscuous.then(|| found.promiscuous()).transpose()?;
        let (unclaimed, shunts) = (program.counter()?, program.slots()?);
        let prepared = Prepared { index: found.index(), sockets, unclaimed, shunts, promiscuous };
        self.programs.retain(|(name, ..)| name != interface);
        self.programs.push((interface.to_owned(), found.index(), program));
        Ok(prepared)
    }

    fn attach(&mut self, interface: &str) -> Result<OwnedFd, Error> {
        let at = self.programs.iter().position(|(name, ..)| name == interface).ok_or(Error::Strange)?;
        // the link keeps the program; without a link nobody wants it
        let (_, index, program) = self.programs.swap_remove(at);
        program.attach(index)
    }

    fn uses(&mut self, interface: &str) -> Result<Vec<Use>, Error> {
        Interface::named(interface)?.uses().map_err(asked)
    }

    fn state(&mut self, interface: &str) -> Result<State, Error> {
        let found = Interface::named(interface)?;
        Ok(State { index: found.index(), queues: queues(&found)?, lost: found.lost().map_err(asked)? })
    }
}

fn queues(of: &Interface) -> Result<u32, Error> {
    match of.queues().map_err(asked)? {
        0 => Err(Error::Strange),
        queues => Ok(queues),
    }
}

/// What the system says of an interface lies in files; one that is missing was there a moment ago.
fn asked(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::Absent,
        _ => Error::Call { what: "what the system says of it", error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_absent_whatever_is_asked() {
        let mut rights = OwnRights::default();
        assert!(matches!(rights.prepare("nosuchtap9", true, None, false), Err(Error::Absent)));
        assert!(matches!(rights.uses("nosuchtap9"), Err(Error::Absent)));
        assert!(matches!(rights.state("nosuchtap9"), Err(Error::Absent)));
        assert!(matches!(rights.attach("nosuchtap9"), Err(Error::Strange)), "nothing was prepared");
    }

    #[test]
    fn loopback_is_as_the_system_says() {
        let mut rights = OwnRights::default();
        let state = rights.state("lo").expect("every machine has one");
        assert_eq!((state.index, state.queues), (1, 1));
    }
}
