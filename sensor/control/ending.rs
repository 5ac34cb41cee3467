//! The end of the workers: whoever shows no sign of life for a while is not waited for.
//!
//! In: their threads, told to end. Out: who died, and who is left behind. Looks and not seconds decide, so that who was stopped
//! together with the whole process is not blamed. Never here: an end of the process; what the others raised is still written.

use std::io;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::shared::Shared;
use crate::limits::SILENT_AT_END_TIME_MAX;
use crate::worker::doing;

/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks without a sign of life, after which a worker is left behind.
const LOOKS_MAX: u32 = (SILENT_AT_END_TIME_MAX.as_millis() / LOOK_EVERY.as_millis()) as u32;

/// A worker's thread; what kept it from starting otherwise.
pub(super) type Thread = io::Result<JoinHandle<()>>;

/// What became of all workers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// How many died.
    pub(super) died: usize,
    /// Those that did not come to an end.
    pub(super) left: Vec<usize>,
}

/// What a worker showed when that was new, and how many looks ago that was: what it works on, and how often it put up numbers.
#[derive(Default)]
struct Sign {
    seen: (u64, u64),
    looks: u32,
}

impl Sign {
    fn look(&mut self, now: (u64, u64), is_held_up: bool) -> bool {
        if self.seen != now {
            *self = Sign { seen: now, looks: 0 };
        } else if !is_held_up {
            self.looks += 1;
        }
        self.looks >= LOOKS_MAX
    }
}

/// Waits for the workers. `held_up`: whether they may be waiting for whoever takes what they say, which is no fault of theirs.
pub(super) fn wait_for(workers: Vec<Thread>, shared: &Shared, held_up: impl Fn() -> bool) -> Gone {
    let has_ended = |worker: &Thread| worker.as_ref().map_or(true, JoinHandle::is_finished);
    let mut signs: Vec<Sign> = workers.iter().map(|_| Sign::default()).collect();
    let mut gone = Gone::default();
    loop {
        let (published, held_up) = (shared.board.published(), held_up());
        let mut waits = false;
        for at in (0..workers.len()).filter(|at| !has_ended(&workers[*at])) {
            let mark = shared.leashes[at].marked();
            if !signs[at].look((mark, published[at]), held_up) {
                waits = true;
            } else if !gone.left.contains(&at) {
                let doing = doing(mark);
                tracing::error!(
                    worker = at,
                    doing,
                    "the worker does not end and is left behind, with what came by its links since: please report this"
                );
                gone.left.push(at);
                // the others wait for its packets
                shared.left_behind.store(true, Ordering::Release);
                shared.wake_all();
            }
        }
        if !waits {
            break;
        }
        thread::sleep(LOOK_EVERY);
    }
    // one that came to its end after all is not left
    gone.left.retain(|at| !has_ended(&workers[*at]));
    let ended = workers.into_iter().enumerate().filter(|(at, _)| !gone.left.contains(at));
    let joined = ended.map(|(_, worker)| worker.map(JoinHandle::join));
    gone.died = joined.filter(|it| !matches!(it, Ok(Ok(())))).count();
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shows_no_sign_of_life_is_left_behind_unless_it_is_held_up() {
        let mut sign = Sign::default();
        assert!((1..LOOKS_MAX).all(|_| !sign.look((7, 1), false)), "not yet");
        assert!(!sign.look((7, 2), false), "it put up numbers");
        assert!((0..9 * LOOKS_MAX).all(|_| !sign.look((7, 2), true)), "nobody takes what it says");
        assert!(!sign.look((8, 2), false), "it works on something else");
        assert!((1..LOOKS_MAX).all(|_| !sign.look((8, 2), false)));
        assert!(sign.look((8, 2), false));
    }
}
