//! All threads of a running sensor, from the first frame to the last record: each in its role before it does anything.
//!
//! In: what each of them works on, opened. Out: what they came to together.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::Receiver;
use signal_hook::iterator::Signals;

use super::answers::Answers;
use super::ending::{Gone, Thread, wait_for};
use super::eve_file::EveFile;
use super::keep::Keep;
use super::look::Look;
use super::quarantine::{Chute, Quarantine};
use super::run::{Doors, Running};
use super::shared::Shared;
use super::socket::ControlSocket;
use super::supervise::supervise;
use super::tap::Tap;
use super::{Failure, reloading, replaying};
use crate::alert::record::Desk;
use crate::collector::{Collected, Collector, Log, Outputs};
use crate::config::EventType;
use crate::metrics::Server;
use crate::sandbox::{Role, Sandbox};
use crate::spool::{Spool, Tender};
use crate::time::Span;
use crate::worker::Release;

/// What all threads together came to.
pub(super) struct Over {
    /// When the word to end came.
    pub(super) told: Instant,
    /// Workers that died.
    pub(super) died: usize,
    /// Workers that did not come to an end, and still have threads.
    pub(super) left: Vec<usize>,
    /// Whether the log lists `stats`, as the last reload has it.
    pub(super) stats: bool,
    /// Whether the sandbox holds as much as it must.
    pub(super) settled: Result<(), Failure>,
    pub(super) collected: io::Result<Collected>,
}

/// See the head of this file.
pub(super) fn together(
    mut running: Running<'_>,
    signals: &mut Signals,
    (taps, keep, quarantine): (Vec<Tap>, Keep, Option<(Quarantine, Chute)>),
    releases: Receiver<Release>,
    (eve, spool): (Option<&mut EveFile>, Option<(&mut Spool, Span)>),
    look: &Look<'_>,
    doors: Doors<'_>,
) -> Over {
    let (bell, wishes) = reloading::bell();
    let (replays, wanted) = replaying::bell(spool.is_some());
    let (desk, ended, unkept) = (Desk::new(running.site.clone()), AtomicBool::new(false), AtomicBool::new(false));
    let alerts = running.config.outputs.events.contains(&EventType::Alert);
    thread::scope(|scope| {
        let (desk, ended, unkept) = (&desk, &ended, &unkept);
        if let Some(server) = doors.metrics {
            tracing::info!(address = %server.address(), "metrics are served");
            scope.spawn(move || serve(server, ended, look));
        }
        if let Some(socket) = doors.control {
            tracing::info!(path = %socket.path().display(), "the control socket answers");
            let tells = running.config.control.as_ref().is_some_and(|it| it.tell_withheld);
            scope.spawn(move || attend(socket, ended, look, Answers::new(look, (bell, replays), tells)));
        }
        let tender = spool.as_ref().map(|(spool, _)| spool.tender());
        tender.map(|tender| scope.spawn(move || tend(&tender, &wanted, ended, look)));
        let collector = scope.spawn(move || {
            look.sandbox.enter(Role::Collector, &[]);
            collect(desk, alerts, releases, (eve, spool), look)
        });
        let shared = Arc::clone(&running.shared);
        let (quarantine, chute) = quarantine.unzip();
        quarantine.map(|quarantine| scope.spawn(move || store(&quarantine, &shared, look)));
        let workers = start(taps, &running.sandbox());
        let (shared, manager) = (Arc::clone(&running.shared), running.manager.clone());
        scope.spawn(move || watch(&shared, ended, look, supervise));
        let shared = Arc::clone(&running.shared);
        scope.spawn(move || watch(&shared, ended, look, |shared, ended| manager.watch(shared, ended)));
        let keep = scope.spawn(move || look_after(keep, unkept, look));
        let threads = workers.len() + others(&doors, look, chute.is_some());
        let settled = running.settle(threads);
        let told = if settled.is_ok() { running.control(signals, &wishes, look) } else { Instant::now() };
        running.manager.stopping();
        // first nothing more comes, then what came is read to its end
        unkept.store(true, Ordering::Release);
        keep.thread().unpark();
        let _dead_keeps_nothing = keep.join();
        running.shared.stop.store(true, Ordering::Release);
        running.shared.wake_all();
        let Gone { died, left } = wait_for(workers, &running.shared, || running.holds_workers_up());
        let stats = running.says_stats();
        if !left.is_empty() {
            running.end_releases();
            chute.iter().for_each(Chute::close);
        }
        drop((running, chute)); // they have the last senders: collector and quarantine come to their ends
        let collected = collector.join().unwrap_or_else(|_| Err(io::Error::other("the collector died")));
        ended.store(true, Ordering::Release);
        Over { told, died, left, stats, settled, collected }
    })
}

fn watch(shared: &Shared, ended: &AtomicBool, look: &Look<'_>, work: impl FnOnce(&Shared, &AtomicBool)) {
    look.sandbox.enter(Role::Watchdog, &[]);
    work(shared, ended);
}

/// Collector, watchdog, supervisor, keeper and control, and those that are not always there.
fn others(doors: &Doors<'_>, look: &Look<'_>, keeps_packets: bool) -> usize {
    let some = [keeps_packets, doors.metrics.is_some(), doors.control.is_some()];
    // with a delivery the couriers, and whoever tends the spool
    let delivery = look.delivery.as_ref().map_or(0, |view| view.couriers + 1);
    5 + some.into_iter().filter(|one| *one).count() + delivery
}

fn tend(tender: &Tender, wanted: &replaying::Wishes, ended: &AtomicBool, look: &Look<'_>) {
    look.sandbox.enter(Role::Tender, &[]);
    tender.run(ended, |tender| wanted.grant(tender));
}

fn look_after(mut keep: Keep, unkept: &AtomicBool, look: &Look<'_>) {
    let role = keep.role(look.sandbox);
    look.sandbox.enter(role, &[]);
    keep.run(unkept);
}

fn serve(server: &Server, ended: &AtomicBool, look: &Look<'_>) {
    look.sandbox.enter(Role::Metrics, &[]);
    if let Err(error) = server.serve(ended, &|| look.sight()) {
        tracing::error!(%error, "metrics are served no more");
    }
}

fn attend(socket: &ControlSocket, ended: &AtomicBool, look: &Look<'_>, answers: Answers<'_>) {
    look.sandbox.enter(Role::Answers, &[]);
    if let Err(error) = socket.serve(ended, answers) {
        tracing::error!(%error, "the control socket answers no more");
    }
    // nobody else may take it away
    socket.remove();
}

fn collect(
    desk: &Desk,
    alerts: bool,
    releases: Receiver<Release>,
    (mut eve, spool): (Option<&mut EveFile>, Option<(&mut Spool, Span)>),
    look: &Look<'_>,
) -> io::Result<Collected> {
    let log = eve.as_deref_mut().map(|eve| Log { writer: eve, alerts });
    let outputs = Outputs { log, spool, ..Outputs::default() };
    let collected = Collector::new(desk, outputs).run_live(&releases, look.progress);
    // whoever writes the last line may not open it
    eve.into_iter().for_each(EveFile::settle);
    collected
}

fn store(quarantine: &Quarantine, shared: &Shared, look: &Look<'_>) {
    look.sandbox.enter(Role::Quarantine, &[quarantine.folder().to_path_buf()]);
    quarantine.run(&shared.quarantine);
}

/// Workers are the only threads that may outlive all this: nobody can end one that waits for ever.
fn start(taps: Vec<Tap>, sandbox: &Arc<Sandbox>) -> Vec<Thread> {
    let named = |index: usize| thread::Builder::new().name(format!("worker {index}"));
    let start = |(index, tap): (usize, Tap)| {
        let sandbox = Arc::clone(sandbox);
        named(index).spawn(move || work(tap, &sandbox))
    };
    taps.into_iter().enumerate().map(start).collect()
}

fn work(tap: Tap, sandbox: &Sandbox) {
    tap.show_time();
    let (role, folders) = tap.role();
    sandbox.enter(role, &folders);
    tap.run();
}
