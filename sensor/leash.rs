//! The leash of a worker: a mark of what it works on, which others may read, and a pull that makes it give that up.
//!
//! A thread cannot be killed. Whoever spends work in a loop heeds the leash there; pulled, it unwinds as from a panic. Never
//! here: a clock, and a judgement of how long is too long.

use std::panic::{panic_any, resume_unwind};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

/// What a worker unwinds with that was pulled back: no panic, and no hook is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hung;

/// See the head of this file; clones are of the same worker.
#[derive(Clone, Debug, Default)]
pub struct Leash(Arc<Ends>);

#[derive(Debug, Default)]
struct Ends {
    /// What is worked on; 0: nothing.
    mark: AtomicU64,
    /// The mark at which it was pulled; 0: not.
    pulled: AtomicU64,
}

impl Leash {
    /// The worker begins with something else; no two marks are alike, and 0 says that it has nothing in hand.
    #[inline]
    pub fn mark(&self, mark: u64) {
        self.0.mark.store(mark, Ordering::Relaxed);
    }

    /// What the worker marked last.
    pub fn marked(&self) -> u64 {
        self.0.mark.load(Ordering::Relaxed)
    }

    /// Tells the worker to give up what it marked so; if it has gone on, nothing happens.
    pub fn pull(&self, mark: u64) {
        self.0.pulled.store(mark, Ordering::Relaxed);
    }

    /// Called where work is spent: comes back, unless the leash was pulled.
    #[inline]
    pub fn heed(&self) {
        if self.0.pulled.load(Ordering::Relaxed) != 0 {
            self.give_up();
        }
    }

    #[cold]
    fn give_up(&self) {
        if self.0.pulled.swap(0, Ordering::Relaxed) == self.marked() {
            resume_unwind(Box::new(Hung));
        }
    }
}

/// What a worker is made to do at a payload with a text in it: for those who try what happens then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provoke {
    /// What.
    pub what: Provoked,
    text: Vec<u8>,
}

/// Ways to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provoked {
    /// A panic as the packet's headers are read.
    Decode,
    /// A panic as its flow is followed.
    Panic,
    /// A panic as the batch that it is in is looked up.
    Ask,
    /// A loop that heeds the leash.
    Hang,
    /// A loop that heeds nothing.
    Stop,
    /// Waiting for what never comes.
    Wait,
}

impl Provoke {
    /// Whether these bytes have the text in them.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(self.text.len()).any(|window| window == self.text)
    }

    /// Does it.
    pub fn happen(&self, leash: &Leash) {
        match self.what {
            Provoked::Decode | Provoked::Panic | Provoked::Ask => panic_any("provoked"),
            Provoked::Hang => loop {
                leash.heed();
                std::hint::spin_loop();
            },
            Provoked::Stop => loop {
                std::hint::spin_loop();
            },
            Provoked::Wait => {
                let (_kept, never) = channel::<()>();
                let _nobody_sends = never.recv();
            }
        }
    }
}

impl FromStr for Provoke {
    type Err = String;

    /// `panic=TEXT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let told = || "one of decode, panic, ask, hang, stop, wait; then = and the text of a payload".to_owned();
        let (what, text) = text.split_once('=').filter(|(_, text)| !text.is_empty()).ok_or_else(told)?;
        let what = match what {
            "decode" => Provoked::Decode,
            "panic" => Provoked::Panic,
            "ask" => Provoked::Ask,
            "hang" => Provoked::Hang,
            "stop" => Provoked::Stop,
            "wait" => Provoked::Wait,
            _ => return Err(told()),
        };
        Ok(Provoke { what, text: text.as_bytes().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_pull_stops_what_was_marked_and_nothing_else() {
        let leash = Leash::default();
        leash.mark(7);
        leash.heed();
        leash.pull(6);
        leash.heed();
        leash.pull(7);
        leash.mark(8);
        leash.heed();
        leash.pull(8);
        let unwound = catch_unwind(AssertUnwindSafe(|| leash.heed())).expect_err("it was pulled");
        assert_eq!(unwound.downcast_ref(), Some(&Hung));
        leash.heed();
    }

    #[test]
    fn what_is_provoked_is_named_with_a_text() {
        let hang: Provoke = "hang=a=b".parse().expect("it is one");
        assert!(hang.what == Provoked::Hang && hang.is_in(b"xa=by") && !hang.is_in(b"a=") && !hang.is_in(b""));
        for odd in ["", "panic", "panic=", "burn=x"] {
            assert!(odd.parse::<Provoke>().is_err(), "{odd}");
        }
    }
}
