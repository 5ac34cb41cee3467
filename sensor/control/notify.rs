//! What a service manager is told: that the sensor reads, that it reads its configuration again, that it ends, and, as long as
//! every worker goes on, that it lives (`sd_notify(3)`). Where no manager asks, nothing is said.
//!
//! A worker that hangs says nothing any more on the board; then the watchdog is not fed, and the manager starts the sensor
//! again. What was raised is in the spool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::shared::Shared;

/// How often the end of all is looked for between two feeds.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A worker puts up its counters four times a second; one that has not for so long hangs.
const WORKER_SILENT_MAX: Duration = Duration::from_secs(5);

/// Workers read, and metrics are served.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Configuration and rules are read again; [`ready`] says that it is over.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Told to end.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Feeds the manager's watchdog, if there is one, three times in its period until all is over, as long as every worker puts
/// up its counters. Once the end has begun there is a deadline of its own for it.
pub(super) fn watch(shared: &Shared, over: &AtomicBool) {
    let Some(period) = sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) else { return };
    let mut pulses: Vec<Pulse> = Vec::new();
    let mut fed = Instant::now();
    while !over.load(Ordering::Acquire) {
        thread::sleep(LOOK_EVERY.min(period / 3));
        let (now, published) = (Instant::now(), shared.board.published());
        pulses.resize(published.len(), Pulse { published: 0, at: now });
        for (pulse, published) in pulses.iter_mut().zip(published) {
            if pulse.published != published {
                *pulse = Pulse { published, at: now };
            }
        }
        if now - fed < period / 3 {
            continue;
        }
        fed = now;
        let stopped = pulses.iter().position(|pulse| now - pulse.at > WORKER_SILENT_MAX);
        match stopped.filter(|_| !shared.stop.load(Ordering::Acquire)) {
            Some(worker) => tracing::error!(worker, "the worker has stopped: the watchdog is not fed"),
            None => tell(&[NotifyState::Watchdog]),
        }
    }
}

/// When a worker last put up something new.
#[derive(Clone, Copy)]
struct Pulse {
    published: u64,
    at: Instant,
}
