//! Who brings a worker back that died of its work: it alone begins again, within milliseconds, and the others do not notice.
//!
//! In: a worker, and what it is to do. Out: the same worker, alive; a line in the log; the packet, to whoever keeps it. Never
//! here: a file, a wait. What is no work of the worker's own (a source that panics) is not rescued: then the sensor ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use super::quarantine::Chute;
use super::shared::Shared;
use crate::capture::Batch;
use crate::leash::Hung;
use crate::worker::{Casualty, Cause, Worker};

/// See the head of this file.
pub(super) struct Rescue {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    /// Who keeps the packets that workers died of, if the site wants them kept.
    pub(super) quarantine: Option<Chute>,
}

impl Rescue {
    /// Lets a worker work, on `batch` if it is that; what comes of it, or nothing if it died of it.
    pub(super) fn watch<Done: Default>(
        &self,
        worker: &mut Worker,
        batch: Option<&Batch<'_>>,
        work: impl FnOnce(&mut Worker) -> Done,
    ) -> Done {
        match catch_unwind(AssertUnwindSafe(|| work(worker))) {
            Ok(done) => done,
            Err(died) => {
                self.bring_back(worker, batch, died.as_ref());
                Done::default()
            }
        }
    }

    /// It begins again, and reads again what it can of what it had in hand: each packet once more at most.
    fn bring_back(&self, worker: &mut Worker, batch: Option<&Batch<'_>>, died: &(dyn Any + Send)) {
        let mut known = u32::from(self.revive(worker, batch, died));
        loop {
            match catch_unwind(AssertUnwindSafe(|| worker.read_again(batch))) {
                Ok(true) => {}
                Ok(false) => break,
                Err(died) => known += u32::from(self.revive(worker, batch, died.as_ref())),
            }
        }
        // who was looked for in a batch and found has killed once
        (0..known.max(1)).for_each(|_| self.shared.died(Instant::now()));
    }

    /// Whether it is known of which packet it died.
    fn revive(&self, worker: &mut Worker, batch: Option<&Batch<'_>>, died: &(dyn Any + Send)) -> bool {
        let began = Instant::now();
        let (cause, name) = if died.is::<Hung>() { (Cause::Hang, "hang") } else { (Cause::Panic, "panic") };
        let Casualty { doing, flows, frames, left, packet } = worker.restart(cause, batch);
        let number = packet.as_ref().map_or(0, |packet| packet.number);
        let took = began.elapsed().as_secs_f64();
        tracing::error!(
            worker = self.index,
            cause = name,
            doing,
            packet = number,
            frames,
            again = left,
            flows,
            seconds = took,
            "the worker died and has begun again: please report this"
        );
        let Some(packet) = packet else { return false };
        if self.quarantine.as_ref().is_some_and(|quarantine| !quarantine.send(packet)) {
            self.shared.quarantine.lost.fetch_add(1, Ordering::AcqRel);
        }
        true
    }
}

/// From now on a panic is one line of the log: which thread, where in the source, and why, unless that could show what a packet
/// had in it.
pub(super) fn log_panics() {
    set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        tracing::error!(thread = thread.name().unwrap_or("?"), place, reason = reason(panic.payload()), "panicked");
    }));
}

/// What the library says with nothing but numbers in it.
const NUMBERS_ALONE: [&str; 6] =
    ["index out of bounds", "range end index", "range start index", "slice index starts at", "attempt to", "mid >"];

fn reason(payload: &(dyn Any + Send)) -> &str {
    let formatted = payload.downcast_ref::<String>().map(String::as_str);
    let shown = formatted.filter(|text| NUMBERS_ALONE.iter().any(|known| text.starts_with(known)));
    payload.downcast_ref::<&str>().copied().or(shown).unwrap_or("not shown: it could be of a packet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_shows_nothing_of_a_packet() {
        let said = |work: fn()| {
            let payload = catch_unwind(work).expect_err("it panics");
            reason(payload.as_ref()).to_owned()
        };
        let far = |at: usize| [1, 2, 3][at.max(std::hint::black_box(7))];
        assert_eq!(said(|| panic!("plain words")), "plain words");
        assert!(catch_unwind(|| far(3)).is_err_and(|it| reason(it.as_ref()).starts_with("index out of bounds")));
        let hidden = "not shown: it could be of a packet";
        assert_eq!(said(|| assert!("s\u{e9}cret"[..std::hint::black_box(2)].is_empty())), hidden);
        assert_eq!(said(|| panic!("{} was said", std::hint::black_box("secret"))), hidden);
    }
}
