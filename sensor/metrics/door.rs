//! Who stands before a socket of ours: a few at once, each with a bound on time; when all places are taken, who holds one longest
//! gives it up. What is done in a second is bounded, and goes round: newcomers first, then a question of each in turn; the
//! others wait in the kernel.
//!
//! In: a listener, and what a connection says of itself. Out: connections that can go on, on one thread and by one poll(2).
//! Never here: a byte of theirs.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A portion of a second: how evenly a flood is answered, and how soon a stop is seen.
const PORTION: Duration = Duration::from_millis(100);

/// One connection, which never waits by itself.
pub(crate) trait Visitor {
    /// To be waited for.
    fn socket(&self) -> BorrowedFd<'_>;
    /// What it waits for. Without turns nobody's questions are heard.
    fn awaits(&self) -> Awaits;
    /// Since when it holds its place for what it does now.
    fn since(&self) -> Instant;
    /// When its time is up.
    fn deadline(&self) -> Instant;
    /// Whether nothing more will happen here.
    fn is_over(&self) -> bool;
    /// Reads or writes what is possible now.
    fn go_on(&mut self, now: Instant);
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// A question, or the rest of one.
    Question,
    /// That its answer is taken.
    Taking,
    /// Something that others do; it keeps its place meanwhile.
    Others,
}

/// How many, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at once.
    pub visitors_max: usize,
    /// How long a connection is safe from being displaced.
    pub safe: Duration,
    /// Connections taken and questions answered in a second, together.
    pub turns_per_second: u32,
}

/// See the head of this file.
pub(crate) struct Door<V> {
    visitors: Vec<V>,
    bounds: Bounds,
    /// When the current portion of a second began.
    portion: Instant,
    /// What may still be done in it: taking a connection is a turn, so is an answer, and so is each millisecond that one takes.
    /// Below zero it was more than that, and the next portions pay for it.
    turns: i64,
    /// Whether connections cannot be taken for the rest of it.
    shut: bool,
    /// Connections that had to give up their place to another.
    pub displaced: u64,
    /// Connections whose time was up.
    pub timed_out: u64,
}

impl<V: Visitor> Door<V> {
    /// Nobody stands there yet.
    pub(crate) fn new(bounds: Bounds) -> Self {
        let visitors = Vec::with_capacity(bounds.visitors_max);
        Door {
            visitors,
            bounds,
            portion: Instant::now(),
            turns: turns(bounds),
            shut: false,
            displaced: 0,
            timed_out: 0,
        }
    }

    /// Waits for something to happen, a tenth of a second at most. `take` accepts a connection; `None`: it is gone already.
    /// `answer` answers one question of a connection; what it gives says whether there was one.
    ///
    /// # Errors
    /// The system cannot wait for sockets any more. What goes wrong with one connection ends that connection alone.
    pub(crate) fn round(
        &mut self,
        listener: BorrowedFd<'_>,
        take: &mut dyn FnMut(Instant) -> io::Result<Option<V>>,
        answer: &mut dyn FnMut(&mut V, Instant) -> bool,
    ) -> io::Result<()> {
        let now = Instant::now();
        let portions = now.duration_since(self.portion).as_millis() / PORTION.as_millis();
        if portions > 0 {
            let (most, earned) = (turns(self.bounds), i64::try_from(portions).unwrap_or(i64::MAX));
            self.shut = false;
            (self.portion, self.turns) = (now, most.min(self.turns.saturating_add(most.saturating_mul(earned))));
        }
        let ready = self.wait(listener, now)?;
        let now = Instant::now();
        for (visitor, ready) in self.visitors.iter_mut().zip(ready) {
            if ready {
                visitor.go_on(now);
            }
        }
        let before = self.visitors.len();
        self.visitors.retain(|visitor| visitor.is_over() || now < visitor.deadline());
        self.timed_out += (before - self.visitors.len()) as u64;
        self.visitors.retain(|visitor| !visitor.is_over());
        // before any answer: who has questions without end would leave no turn for who comes in
        self.let_in(take, now);
        self.answer_in_turn(answer, now);
        self.visitors.retain(|visitor| !visitor.is_over());
        Ok(())
    }

    /// One question of each, again and again while there are any; where the turns end the next ones begin.
    fn answer_in_turn(&mut self, answer: &mut dyn FnMut(&mut V, Instant) -> bool, now: Instant) {
        let mut asked = true;
        while std::mem::take(&mut asked) {
            for at in 0..self.visitors.len() {
                if self.turns <= 0 {
                    return self.visitors.rotate_left(at);
                }
                let began = Instant::now();
                if answer(&mut self.visitors[at], now) {
                    self.turns -= 1 + began.elapsed().as_millis() as i64;
                    asked = true;
                }
            }
        }
    }

    /// Waits for a socket, or for the next portion; says which connections can go on. Without turns only answers do.
    fn wait(&self, listener: BorrowedFd<'_>, now: Instant) -> io::Result<Vec<bool>> {
        let rest = PORTION.saturating_sub(now.duration_since(self.portion)).max(Duration::from_millis(1));
        let timeout = Timespec { tv_sec: 0, tv_nsec: rest.as_nanos() as i64 };
        let taking = self.visitors.len() < self.bounds.visitors_max || self.longest(now).is_some();
        let listening = if taking && self.turns > 0 && !self.shut { PollFlags::IN } else { PollFlags::empty() };
        let mut sockets = vec![PollFd::from_borrowed_fd(listener, listening)];
        sockets.extend(self.visitors.iter().map(|visitor| {
            let wanted = match visitor.awaits() {
                Awaits::Taking => PollFlags::OUT,
                Awaits::Question if self.turns > 0 => PollFlags::IN,
                Awaits::Question | Awaits::Others => PollFlags::empty(),
            };
            PollFd::from_borrowed_fd(visitor.socket(), wanted)
        }));
        match poll(&mut sockets, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(sockets[1..].iter().map(|socket| !socket.revents().is_empty()).collect()),
            Err(error) => Err(error.into()),
        }
    }

    /// The connection that has held its place longest, if long enough to lose it.
    fn longest(&self, now: Instant) -> Option<usize> {
        let held = |at: &usize| now.duration_since(self.visitors[*at].since());
        let may_go = |at: &usize| self.visitors[*at].awaits() != Awaits::Others && held(at) >= self.bounds.safe;
        (0..self.visitors.len()).filter(may_go).max_by_key(held)
    }

    fn let_in(&mut self, take: &mut dyn FnMut(Instant) -> io::Result<Option<V>>, now: Instant) {
        while self.turns > 0 && !self.shut {
            let full = self.visitors.len() >= self.bounds.visitors_max;
            let longest = self.longest(now);
            if full && longest.is_none() {
                return;
            }
            let visitor = match take(now) {
                Ok(visitor) => visitor,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(_) => {
                    self.shut = true; // out of descriptors, for one: it would be so again at once
                    return;
                }
            };
            self.turns -= 1;
            if let (true, Some(longest)) = (full, longest) {
                self.visitors.swap_remove(longest);
                self.displaced += 1;
            }
            self.visitors.extend(visitor);
        }
    }
}

/// Turns of one portion.
fn turns(bounds: Bounds) -> i64 {
    i64::from(bounds.turns_per_second) / (1_000 / PORTION.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread;

    use super::*;

    /// Somebody who has questions without end.
    struct Asker(UnixStream);

    impl Visitor for Asker {
        fn socket(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        fn awaits(&self) -> Awaits {
            Awaits::Question
        }

        fn since(&self) -> Instant {
            Instant::now()
        }

        fn deadline(&self) -> Instant {
            Instant::now() + Duration::from_secs(60)
        }

        fn is_over(&self) -> bool {
            false
        }

        fn go_on(&mut self, _: Instant) {}
    }

    /// How many answers of this length somebody gets in so long.
    fn answers(each: Duration, within: Duration) -> u32 {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("s")).expect("a socket");
        listener.set_nonblocking(true).expect("it waits for nobody");
        let _asker = UnixStream::connect(folder.path().join("s")).expect("somebody listens");
        let bounds = Bounds { visitors_max: 2, safe: Duration::from_secs(1), turns_per_second: 200 };
        let (mut door, mut answered, began) = (Door::new(bounds), 0, Instant::now());
        while began.elapsed() < within {
            let mut take = |_| listener.accept().map(|(stream, _)| Some(Asker(stream)));
            let mut answer = |_: &mut Asker, _| {
                answered += 1;
                thread::sleep(each);
                true
            };
            door.round(listener.as_fd(), &mut take, &mut answer).expect("it goes on");
        }
        answered
    }

    #[test]
    fn who_asks_without_end_leaves_turns_for_who_comes_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("s")).expect("a socket");
        listener.set_nonblocking(true).expect("it waits for nobody");
        let come = || UnixStream::connect(folder.path().join("s")).expect("somebody listens");
        let bounds = Bounds { visitors_max: 4, safe: Duration::from_secs(1), turns_per_second: 200 };
        let mut door = Door::new(bounds);
        let mut there = vec![come(), come()];
        let (mut taken, mut answered) = (0, [0_u32; 3]);
        for round in 0..8 {
            if round == 4 {
                there.push(come());
            }
            let mut take = |_| {
                let (stream, _) = listener.accept()?;
                taken += 1;
                Ok(Some(Numbered(Asker(stream), taken - 1)))
            };
            // more than its share of the turns
            let mut answer = |asker: &mut Numbered, _| {
                answered[asker.1] += 1;
                thread::sleep(Duration::from_millis(7));
                true
            };
            door.round(listener.as_fd(), &mut take, &mut answer).expect("it goes on");
        }
        assert!(answered[2] > 0, "{answered:?}");
        assert!(answered[0].abs_diff(answered[1]) <= 1, "{answered:?}");
    }

    /// One of several.
    struct Numbered(Asker, usize);

    impl Visitor for Numbered {
        fn socket(&self) -> BorrowedFd<'_> {
            self.0.socket()
        }

        fn awaits(&self) -> Awaits {
            self.0.awaits()
        }

        fn since(&self) -> Instant {
            self.0.since()
        }

        fn deadline(&self) -> Instant {
            self.0.deadline()
        }

        fn is_over(&self) -> bool {
            false
        }

        fn go_on(&mut self, _: Instant) {}
    }

    #[test]
    fn short_answers_are_bounded_by_their_number_and_long_ones_by_their_time() {
        let second = Duration::from_secs(1);
        let short = answers(Duration::ZERO, second);
        assert!((100..=240).contains(&short), "{short}");
        // 20 ms of each 100, and one answer more than that
        let long = answers(Duration::from_millis(60), second);
        assert!((2..=6).contains(&long), "{long}");
    }
}
