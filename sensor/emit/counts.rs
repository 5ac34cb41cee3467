//! What a courier has done since it started; anyone may read along.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Delays, Facts};

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The centre has committed something.
    Committed,
    /// It is on its way, and not committed yet.
    Taken,
    /// It refused a record.
    Refused,
    /// It wants it in another form, or less of it.
    Otherwise,
    /// It asks for patience.
    Busy,
    /// It does not take our token.
    Token,
    /// One of the two certificates does not hold.
    Certificate,
    /// No answer in time.
    Slow,
    /// No connection.
    Unreachable,
    /// It claims what cannot be.
    Wrong,
    /// Any other answer.
    Other,
}

impl Attempt {
    /// All of them, in order.
    pub const ALL: [Attempt; 11] = [
        Attempt::Committed,
        Attempt::Taken,
        Attempt::Refused,
        Attempt::Otherwise,
        Attempt::Busy,
        Attempt::Token,
        Attempt::Certificate,
        Attempt::Slow,
        Attempt::Unreachable,
        Attempt::Wrong,
        Attempt::Other,
    ];

    /// As a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Attempt::Committed => "committed",
            Attempt::Taken => "taken",
            Attempt::Refused => "refused",
            Attempt::Otherwise => "otherwise",
            Attempt::Busy => "busy",
            Attempt::Token => "token",
            Attempt::Certificate => "certificate",
            Attempt::Slow => "slow",
            Attempt::Unreachable => "unreachable",
            Attempt::Wrong => "wrong",
            Attempt::Other => "other",
        }
    }
}

/// What a drain came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records that the centre has committed.
    pub delivered: u64,
    /// Records that the gate kept back.
    pub withheld: u64,
    /// Records that the centre refused.
    pub dead: u64,
    /// Records still in the spool.
    pub left: u64,
    /// Why the last attempt failed, if records are left.
    pub reason: Option<String>,
}

/// What the courier has done since it started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Records that the centre has committed.
    pub delivered: AtomicU64,
    /// Records that the gate kept back.
    pub withheld: AtomicU64,
    /// Records that the centre refused; they are among the dead letters.
    pub dead: AtomicU64,
    /// Records that the spool could not read any more.
    pub damaged: AtomicU64,
    /// Records that were settled while somebody had a replay of them begun: they go once more.
    pub again: AtomicU64,
    /// Attempts by what became of them.
    attempts: [AtomicU64; Attempt::ALL.len()],
    /// Attempts that ended with "later".
    pub later: AtomicU64,
    /// Answers that claim what cannot be; nothing was settled by them.
    pub wrong_answers: AtomicU64,
    /// Signs of life that did not arrive.
    pub silent: AtomicU64,
    /// Attempts in a row that failed; 0: the last one reached the centre.
    pub failures: AtomicU64,
    /// The endpoint in use; 0 is the first in the configuration.
    pub endpoint: AtomicU64,
    /// How long records took from the spool to the centre's disk, by lane, the most urgent first.
    pub delays: [Delays; 3],
    /// When the centre last committed something, in seconds since 1970; 0: not since the start.
    pub last_commit: AtomicU64,
    /// Until when our certificate holds, in seconds since 1970; 0: we have none.
    pub own_until: AtomicU64,
    /// Until when the centre's does; 0: none was seen.
    pub centre_until: AtomicU64,
    /// How far our clock is ahead of the centre's, in seconds; 0, too, while it has not told its own.
    pub clock_ahead: AtomicI64,
    /// Why the last attempt failed, if it did.
    reason: Mutex<Option<String>>,
}

impl Counts {
    /// Attempts that came to this.
    pub fn attempts(&self, attempt: Attempt) -> u64 {
        self.attempts[attempt as usize].load(Ordering::Relaxed)
    }

    /// All attempts.
    pub fn attempts_all(&self) -> u64 {
        Attempt::ALL.iter().map(|attempt| self.attempts(*attempt)).sum()
    }

    /// Why the last attempt failed, for a person; `None`: it did not.
    pub fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn failed(&self, reason: Option<String>) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// The centre has these records of a lane, which were appended then; how many.
    pub(super) fn committed(&self, lane: usize, appended: impl Iterator<Item = Option<SystemTime>>) -> u64 {
        let (now, mut count) = (SystemTime::now(), 0);
        for appended in appended {
            count += 1;
            if let (Some(appended), Some(delays)) = (appended, self.delays.get(lane)) {
                // a clock that was set back makes none quicker than quick
                delays.add(now.duration_since(appended).unwrap_or_default());
            }
        }
        self.delivered.fetch_add(count, Ordering::Relaxed);
        if count > 0 {
            let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            self.last_commit.store(now.as_secs(), Ordering::Release);
        }
        count
    }

    pub(super) fn tried(&self, attempt: Attempt) {
        self.attempts[attempt as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn learned(&self, facts: Facts) {
        let keep = |counter: &AtomicU64, now: Option<u64>| {
            now.into_iter().for_each(|now| counter.store(now, Ordering::Release))
        };
        self.own_until.store(facts.own_until.unwrap_or_default(), Ordering::Release);
        keep(&self.centre_until, facts.centre_until);
        facts.clock_ahead.into_iter().for_each(|ahead| self.clock_ahead.store(ahead, Ordering::Release));
    }
}
