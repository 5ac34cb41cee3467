//! Whether workers come to an end with what they have in hand. One that does not is pulled back, and begins again as after a
//! panic; one that does not heed that, either, takes the process with it, and the service manager starts that again.
//!
//! In: what each worker marks, and the processor time of its thread. Time alone says nothing: a process that was stopped, a
//! machine whose processors others have, and a worker that waits all stand still, and none of them hangs. Never here: a packet.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::shared::Shared;
use crate::cli::exit::FAULT;
use crate::limits::{HANG_TIME_MAX, STUCK_TIME_MAX};
use crate::worker::doing;

/// How often workers are looked at: a small part of what they may take.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What the kernel counts processor time in, for programs (`times(2)`): hundredths of a second on every Linux.
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// How long the collector has to write what was raised, before the process ends.
const LAST_RECORDS: Duration = Duration::from_millis(250);

/// The processor time of a thread, for others to read: opened by the thread itself.
pub(super) struct ProcessorTime(File);

impl ProcessorTime {
    /// That of the calling thread; `None`: this system does not tell.
    pub(super) fn of_this_thread() -> Option<ProcessorTime> {
        File::open("/proc/thread-self/stat").ok().map(ProcessorTime)
    }

    /// What it has used so far; `None`: it has ended.
    fn used(&self) -> Option<Duration> {
        let mut bytes = [0; 512];
        let length = self.0.read_at(&mut bytes, 0).ok()?;
        used(str::from_utf8(&bytes[..length]).ok()?)
    }
}

/// `utime` and `stime` of a line of proc_pid_stat(5). The name before them may have spaces and brackets.
fn used(line: &str) -> Option<Duration> {
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(CLOCK_TICK * ticks()?.checked_add(ticks()?)?)
}

/// What a worker had in hand when that was new, and what its thread had used when that was first seen again.
#[derive(Clone, Copy, Default)]
struct InHand {
    mark: u64,
    used: Option<Duration>,
    pulled: bool,
}

/// Looks without news after which a worker stands still: five seconds, in which it should have put up its numbers twenty
/// times.
const LOOKS_WITHOUT_NEWS_MAX: u32 = 200;

/// What each worker had put up when that was new, and how many looks ago that was. Looks and not seconds: who was stopped together
/// with a worker does not blame it.
pub(super) struct Still {
    looks_max: u32,
    seen: Vec<(u64, u32)>,
}

impl Still {
    /// A worker stands still after so many looks without news.
    pub(super) fn after(looks_max: u32) -> Still {
        Still { looks_max, seen: Vec::new() }
    }

    /// Who of them stands still, if anybody does.
    pub(super) fn look(&mut self, published: &[u64]) -> Option<usize> {
        self.seen.resize(published.len(), (0, 0));
        for (seen, now) in self.seen.iter_mut().zip(published) {
            *seen = if seen.0 == *now { (*now, seen.1.saturating_add(1)) } else { (*now, 0) };
        }
        self.seen.iter().position(|(_, looks)| *looks >= self.looks_max)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Well,
    Hangs,
    Stuck,
}

impl InHand {
    /// `used` asks the system: only of a worker that has in hand what it had at the last look.
    fn judge(&mut self, mark: u64, used: impl Fn() -> Option<Duration>) -> Judged {
        if mark == 0 || mark != self.mark {
            *self = InHand { mark, used: None, pulled: false };
            return Judged::Well;
        }
        let Some(used) = used() else { return Judged::Well };
        match used.saturating_sub(*self.used.get_or_insert(used)) {
            spent if spent >= STUCK_TIME_MAX => Judged::Stuck,
            spent if spent >= HANG_TIME_MAX && !self.pulled => {
                self.pulled = true;
                Judged::Hangs
            }
            _ => Judged::Well,
        }
    }
}

/// Looks after the workers until all is over.
pub(super) fn supervise(shared: &Shared, over: &AtomicBool) {
    let mut in_hand = vec![InHand::default(); shared.leashes.len()];
    let mut still = Still::after(LOOKS_WITHOUT_NEWS_MAX);
    while !over.load(Ordering::Acquire) {
        thread::sleep(LOOK_EVERY);
        let standing = still.look(&shared.board.published());
        if let (Some(worker), false) = (standing, shared.stands_still.load(Ordering::Acquire)) {
            tracing::error!(worker, "the worker stands still, and what it is to read is not read: restart the sensor");
        }
        shared.stands_still.store(standing.is_some(), Ordering::Release);
        for (worker, (leash, in_hand)) in shared.leashes.iter().zip(&mut in_hand).enumerate() {
            let mark = leash.marked();
            let used = || shared.processor_times[worker].get().and_then(ProcessorTime::used);
            match in_hand.judge(mark, used) {
                Judged::Well => {}
                Judged::Hangs => leash.pull(mark),
                Judged::Stuck => end_of_all(worker, mark),
            }
        }
    }
}

/// A loop in which nobody looks up cannot be interrupted, and a thread cannot be killed.
fn end_of_all(worker: usize, mark: u64) {
    let doing = doing(mark);
    tracing::error!(
        worker,
        doing,
        "the worker hangs where it cannot be pulled back: the process ends, to be started again"
    );
    thread::sleep(LAST_RECORDS);
    exit(i32::from(FAULT));
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn who_works_without_end_on_one_thing_hangs_and_nobody_else() {
        let mut hand = InHand::default();
        let (hang, stuck) = (HANG_TIME_MAX, STUCK_TIME_MAX);
        let mut look = |mark, used| hand.judge(mark, || Some(used));
        assert_eq!(look(7, millis(50)), Judged::Well);
        assert_eq!(look(7, millis(100)), Judged::Well, "since when is known from here on");
        assert_eq!(look(7, millis(100) + hang - millis(10)), Judged::Well);
        assert_eq!(look(8, millis(200) + hang), Judged::Well, "it went on");
        assert_eq!(look(8, millis(200) + hang), Judged::Well);
        assert_eq!(look(8, millis(200) + hang * 2), Judged::Hangs);
        assert_eq!(look(8, millis(210) + hang * 2), Judged::Well, "once");
        assert_eq!(look(8, millis(200) + hang + stuck), Judged::Stuck);
        assert_eq!(look(0, millis(9_000)), Judged::Well);
        assert_eq!(look(0, millis(99_000)), Judged::Well, "nothing in hand");
        assert_eq!((0..1_000).filter(|_| look(9, millis(99_000)) != Judged::Well).count(), 0, "it stands still");
        assert_eq!(hand.judge(9, || None), Judged::Well, "it has ended");
    }

    #[test]
    fn a_worker_without_news_stands_still_until_it_has_some() {
        let mut still = Still::after(LOOKS_WITHOUT_NEWS_MAX);
        assert!((0..LOOKS_WITHOUT_NEWS_MAX).all(|look| still.look(&[u64::from(look), 7]).is_none()), "not yet");
        assert_eq!(still.look(&[1_000, 7]), Some(1), "the second");
        assert_eq!(still.look(&[1_000, 8]), None);
    }

    #[test]
    fn processor_time_is_what_a_thread_has_used_and_not_what_has_passed() {
        assert_eq!(used("7 (a) b) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n"), Some(CLOCK_TICK * 23));
        assert_eq!(used("7 (a) R 1 2"), None);
        let Some(time) = ProcessorTime::of_this_thread() else { return };
        let before = time.used().expect("it lives");
        thread::sleep(millis(60));
        assert!(time.used().expect("it lives") - before < millis(50));
        let began = Instant::now();
        while time.used().expect("it lives") - before < millis(60) {
            assert!(began.elapsed() < Duration::from_secs(30), "it works");
        }
    }
}
