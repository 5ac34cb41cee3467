//! One connection to the control socket: bytes in, a question a line; an answer a line, bytes out. It never waits.
//!
//! In: what a socket has right now. Out: a line, or that it is none. Never here: what a question means.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError};

use super::reloading::Reloaded;
use super::replaying::Replayed;
use crate::limits::{
    CONTROL_ANSWER_TIME_MAX, CONTROL_IDLE_TIME_MAX, CONTROL_QUESTION_BYTES_MAX, CONTROL_QUESTION_TIME_MAX,
    CONTROL_RELOAD_TIME_MAX,
};
use crate::metrics::door::{Awaits, Visitor};

/// What a connection does.
enum Doing {
    /// It asks, or will.
    Asking,
    /// Its answer is on its way, so far of it; the connection ends with it or goes on.
    Telling { line: Vec<u8>, sent: usize, last: bool },
    /// What it asked for is going on.
    Waiting(Awaited),
}

/// What somebody asked for that others do.
pub(super) enum Awaited {
    Reload(Receiver<Reloaded>),
    Replay(Receiver<Replayed>),
}

/// What came of it; an error: nobody will say.
pub(super) enum Came {
    Reload(Result<Reloaded, ()>),
    Replay(Result<Replayed, ()>),
}

/// What came; `None`: it must still be waited for.
fn came<T>(receiver: &Receiver<T>, is_late: bool) -> Option<Result<T, ()>> {
    match receiver.try_recv() {
        Ok(came) => Some(Ok(came)),
        Err(TryRecvError::Disconnected) => Some(Err(())),
        Err(TryRecvError::Empty) => is_late.then_some(Err(())),
    }
}

/// See the head of this file.
pub(super) struct Caller {
    stream: UnixStream,
    /// What was received and is not answered.
    held: Vec<u8>,
    doing: Doing,
    since: Instant,
    /// It has said that no more comes from it.
    ended: bool,
    over: bool,
}

impl Caller {
    /// Takes a stream; `None` if it is gone already.
    pub(super) fn new(stream: UnixStream, now: Instant) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        Some(Caller { stream, held: Vec::new(), doing: Doing::Asking, since: now, ended: false, over: false })
    }

    /// The next question without its line's end, if the one before it has been answered; an error where the line is too long.
    /// The last one of who says no more needs no end.
    pub(super) fn question(&mut self) -> Option<Result<Vec<u8>, ()>> {
        if self.over || !matches!(self.doing, Doing::Asking) {
            return None;
        }
        let end = self.held.iter().position(|byte| *byte == b'\n');
        match end.filter(|end| *end < CONTROL_QUESTION_BYTES_MAX) {
            Some(end) => {
                let line = self.held[..end].to_vec();
                self.held.drain(..=end);
                Some(Ok(line))
            }
            None if self.held.len() >= CONTROL_QUESTION_BYTES_MAX => Some(Err(())),
            None if self.ended && !self.held.is_empty() => Some(Ok(std::mem::take(&mut self.held))),
            None => None,
        }
    }

    /// Sends an answer, a line, as much of it as goes now; after the last one the connection ends.
    pub(super) fn tell(&mut self, line: Vec<u8>, last: bool, now: Instant) {
        (self.doing, self.since) = (Doing::Telling { line, sent: 0, last }, now);
        self.go_on(now);
    }

    /// It is told what comes of it.
    pub(super) fn wait_for(&mut self, awaited: Awaited, now: Instant) {
        (self.doing, self.since) = (Doing::Waiting(awaited), now);
    }

    /// What came of what it waits for; `None`: it waits for nothing, or must still wait.
    pub(super) fn waited_for(&mut self, now: Instant) -> Option<Came> {
        let Doing::Waiting(awaited) = &self.doing else { return None };
        let is_late = now - self.since >= CONTROL_RELOAD_TIME_MAX;
        match awaited {
            Awaited::Reload(reloaded) => came(reloaded, is_late).map(Came::Reload),
            Awaited::Replay(replayed) => came(replayed, is_late).map(Came::Replay),
        }
    }

    fn read(&mut self, now: Instant) -> io::Result<()> {
        let mut chunk = [0; 1024];
        let room = CONTROL_QUESTION_BYTES_MAX.saturating_sub(self.held.len());
        let count = self.stream.read(&mut chunk[..room.min(1024)])?;
        self.ended = count == 0;
        self.over = self.ended && self.held.is_empty();
        if self.held.is_empty() {
            self.since = now;
        }
        self.held.extend_from_slice(&chunk[..count]);
        Ok(())
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        while let Doing::Telling { line, sent, last } = &mut self.doing {
            if *sent == line.len() {
                self.over = *last || self.ended && self.held.is_empty();
                (self.doing, self.since) = (Doing::Asking, now);
                break;
            }
            match self.stream.write(&line[*sent..])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => *sent += count,
            }
        }
        Ok(())
    }
}

impl Visitor for Caller {
    fn socket(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn awaits(&self) -> Awaits {
        match self.doing {
            Doing::Asking => Awaits::Question,
            Doing::Telling { .. } => Awaits::Taking,
            Doing::Waiting(_) => Awaits::Others,
        }
    }

    fn since(&self) -> Instant {
        self.since
    }

    fn deadline(&self) -> Instant {
        self.since
            + match (&self.doing, self.held.is_empty()) {
                (Doing::Asking, true) => CONTROL_IDLE_TIME_MAX,
                (Doing::Asking, false) => CONTROL_QUESTION_TIME_MAX,
                (Doing::Telling { .. }, _) => CONTROL_ANSWER_TIME_MAX,
                // it is told that time is up, and has time to hear it
                (Doing::Waiting(_), _) => CONTROL_RELOAD_TIME_MAX + Duration::from_secs(1),
            }
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn go_on(&mut self, now: Instant) {
        let went = match self.doing {
            Doing::Asking => self.read(now),
            Doing::Telling { .. } => self.write(now),
            // it waits for no byte: the socket has nothing to say but that the other end is gone
            Doing::Waiting(_) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match went {
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind()) => {}
            Err(_) => self.over = true,
            Ok(()) => {}
        }
    }
}
