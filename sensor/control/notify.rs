//! What a service manager is told: that the sensor reads, that it reads its configuration again, that it ends, and, as long as
//! every worker goes on, that it lives (`sd_notify(3)`). Where no manager asks, nothing is said.
//!
//! A worker that hangs says nothing any more on the board; then the watchdog is not fed, and the manager starts the sensor
//! again. What was raised is in the spool. The socket is connected once, at the start: who tells may open no other.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::shared::Shared;
use super::supervise::Still;

/// How often the end of all is looked for between two feeds.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A worker puts up its counters four times a second; one that has not for so long hangs.
const WORKER_SILENT_MAX: Duration = Duration::from_secs(5);

/// Where the manager listens, as it says itself.
const PLACE: &str = "NOTIFY_SOCKET";

/// Who started the sensor and wants to know how it is; or nobody.
#[derive(Clone)]
pub(super) struct Manager {
    socket: Option<Arc<UnixDatagram>>,
    /// How long it waits for a sign of life.
    period: Option<Duration>,
}

impl Manager {
    /// The one that the environment names.
    pub(super) fn find() -> Manager {
        let socket = std::env::var_os(PLACE).and_then(|place| {
            let connected = connect(&place);
            connected
                .inspect_err(|error| tracing::warn!(%error, "the service manager cannot be told"))
                .ok()
                .map(Arc::new)
        });
        Manager { socket, period: sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) }
    }

    /// Workers read, and metrics are served.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Configuration and rules are read again; [`Manager::ready`] says that it is over.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(_) => self.tell(&[NotifyState::Reloading]),
        }
    }

    /// Told to end.
    pub(super) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// One assignment a line.
    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let text: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = socket.send(text.as_bytes()) {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }

    /// Feeds the manager's watchdog, if there is one, three times in its period until all is over, as long as every worker
    /// puts up its counters. Once the end has begun there is a deadline of its own for it.
    pub(super) fn watch(&self, shared: &Shared, over: &AtomicBool) {
        let Some(period) = self.period else { return };
        let nap = LOOK_EVERY.min(period / 3);
        let looks = WORKER_SILENT_MAX.as_nanos() / nap.as_nanos().max(1) + 1;
        let mut still = Still::after(looks.try_into().unwrap_or(u32::MAX));
        let (mut fed, mut told) = (Instant::now(), None);
        while !over.load(Ordering::Acquire) {
            thread::sleep(nap);
            let (now, stopped) = (Instant::now(), still.look(&shared.board.published()));
            if now - fed < period / 3 {
                continue;
            }
            fed = now;
            let stopped = stopped.filter(|_| !shared.stop.load(Ordering::Acquire));
            match stopped {
                // once: who has no manager that ends it for that would fill a disk with it
                Some(worker) if told != stopped => {
                    tracing::error!(worker, "the worker has stopped: the watchdog is not fed");
                }
                Some(_) => {}
                None => self.tell(&[NotifyState::Watchdog]),
            }
            told = stopped;
        }
    }
}

/// A path, or behind an `@` a name of the abstract namespace.
fn connect(place: &OsStr) -> io::Result<UnixDatagram> {
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(place)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
