//! The sensor's end: it starts the broker, and asks it where else it would need rights.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use af_xdp::{Error, Lost, Prepared, Rights, State, Use, hand_over_packet_sockets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{Answer, Asked, Beginning, Short, receive, send};
use crate::limits::BROKER_TIME_MAX;

/// Whether the broker is there; to be read from any thread.
pub type Up = Arc<AtomicBool>;

/// See the head of this file.
pub struct Broker {
    socket: OwnedFd,
    child: Child,
    up: Up,
}

impl Broker {
    /// Starts one: this program again, as whoever runs it, with nothing but a socket. What of its sandbox does not hold comes
    /// with it. Before any thread, and before rights are given up: it gets those that this process has.
    ///
    /// # Errors
    /// It cannot be started, or does not answer.
    pub fn start(beginning: Beginning) -> io::Result<(Broker, Vec<Short>)> {
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(BROKER_TIME_MAX))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("broker").env_clear().stdin(Stdio::from(theirs)).stdout(Stdio::null());
        let child = command.spawn()?;
        drop(command); // it has their end of the socket
        let mut broker = Broker { socket, child, up: Arc::new(AtomicBool::new(true)) };
        match broker.ask(&Asked::Begin(beginning)) {
            Ok((Answer::Begun(short), _)) => Ok((broker, short)),
            Ok(_) => Err(io::Error::other("it begins with something else")),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }

    /// Whether it is there, now and later.
    pub fn up(&self) -> Up {
        Arc::clone(&self.up)
    }

    fn ask(&mut self, asked: &Asked) -> Result<(Answer, Vec<OwnedFd>), Error> {
        self.ask_with(asked, &[])
    }

    fn ask_with(&mut self, asked: &Asked, passed: &[BorrowedFd<'_>]) -> Result<(Answer, Vec<OwnedFd>), Error> {
        let gone = |error| Error::Call { what: "the broker", error };
        if !self.up.load(Ordering::Acquire) {
            return Err(gone(io::Error::from(io::ErrorKind::BrokenPipe)));
        }
        let answer = send(self.socket.as_fd(), asked, passed).and_then(|()| receive(self.socket.as_fd()));
        let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
        match answer.and_then(|answer| answer.ok_or_else(ended)) {
            Ok((Answer::Refused(why), _)) => Err(why.into()),
            Ok(answer) => Ok(answer),
            // an answer that comes too late would be taken for that to the next question
            Err(error) => {
                self.miss(&error);
                Err(gone(error))
            }
        }
    }

    fn miss(&mut self, error: &io::Error) {
        self.up.store(false, Ordering::Release);
        let status = self.child.try_wait().ok().flatten().map(|status| status.to_string());
        let status = status.unwrap_or_else(|| "it does not answer".to_owned());
        tracing::error!(
            %error,
            status,
            "the broker is gone: capture goes on, and a link that goes away stays away; restart the sensor"
        );
    }

    /// Whether its end of the socket is closed.
    fn has_ended(&self) -> bool {
        let mut socket = [PollFd::new(&self.socket, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut socket, Some(&at_once)).is_ok() && socket[0].revents().contains(PollFlags::HUP)
    }
}

impl Rights for Broker {
    /// Nothing may be asked of it for days: that it has ended is seen all the same.
    fn are_there(&mut self) -> bool {
        let up = self.up.load(Ordering::Acquire);
        if up && self.has_ended() {
            self.miss(&io::Error::from(io::ErrorKind::UnexpectedEof));
            return false;
        }
        up
    }

    fn prepare(
        &mut self,
        interface: &str,
        promiscuous: bool,
        busy_poll: Option<u32>,
        shunts: bool,
    ) -> Result<Prepared, Error> {
        let asked = Asked::Prepare { interface: interface.to_owned(), promiscuous, busy_poll, shunts };
        let (Answer::Prepared { index, shunts, promiscuous }, descriptors) = self.ask(&asked)? else {
            return Err(Error::Strange);
        };
        let mut descriptors = descriptors.into_iter();
        let unclaimed = descriptors.next().ok_or(Error::Strange)?;
        let shunts = if shunts { Some(descriptors.next().ok_or(Error::Strange)?) } else { None };
        let promiscuous = if promiscuous { Some(descriptors.next().ok_or(Error::Strange)?) } else { None };
        Ok(Prepared { index, sockets: descriptors.collect(), unclaimed, shunts, promiscuous })
    }

    fn attach(&mut self, interface: &str) -> Result<OwnedFd, Error> {
        let (Answer::Attached, descriptors) = self.ask(&Asked::Attach(interface.to_owned()))? else {
            return Err(Error::Strange);
        };
        descriptors.into_iter().next().ok_or(Error::Strange)
    }

    fn uses(&mut self, interface: &str) -> Result<Vec<Use>, Error> {
        match self.ask(&Asked::Uses(interface.to_owned()))? {
            (Answer::Uses(uses), _) => Ok(uses.into_iter().map(Use::from).collect()),
            _ => Err(Error::Strange),
        }
    }

    fn state(&mut self, interface: &str) -> Result<State, Error> {
        match self.ask(&Asked::State(interface.to_owned()))? {
            (Answer::State { index, queues, dropped, missed }, _) => {
                Ok(State { index, queues, lost: Lost { dropped, missed } })
            }
            _ => Err(Error::Strange),
        }
    }

    fn pass_packet_sockets(&mut self) -> Result<(), Error> {
        let listener = hand_over_packet_sockets()?;
        match self.ask_with(&Asked::Listen, &[listener.as_fd()])? {
            (Answer::Listening, _) => Ok(()),
            _ => Err(Error::Strange),
        }
    }
}
