//! A running sensor: links opened, threads started, signals heard, and at the end an account of everything.
//!
//! In: a checked configuration and how to read it again. Out: what [`Account`] says. SIGTERM and SIGINT end it within
//! seconds; SIGHUP reads configuration and rules again, all or nothing, and opens the log again; SIGUSR1 only the log.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use af_xdp::OwnRights;
use crossbeam_channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::account::Account;
use super::delivery::Delivery;
use super::eve_file::{EveFile, LogState};
use super::keep::Keep;
use super::look::{Look, SetFacts};
use super::opening::{Loaded, Sources, load, open_sources, orders, random, site, taps};
use super::quarantine::Quarantine;
use super::shared::Shared;
use super::supervise::supervise;
use super::tap::Tap;
use super::{Failure, logs, notify, version_of};
use crate::alert::record::{Desk, Site};
use crate::collector::{Collected, Collector, Log, Outputs, Progress};
use crate::config::{self, Config, EventType};
use crate::gate;
use crate::indicator::IndicatorSet;
use crate::leash::Provoke;
use crate::limits::{RELEASES_LIVE_MAX, STOP_TIME_MAX};
use crate::metrics::Server;
use crate::spool::Spool;
use crate::worker::Release;

/// How often signals are looked for.
const HEAR_EVERY: Duration = Duration::from_millis(50);

/// How often the sensor checks its own books.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How often a `stats` record goes into the log.
const STATS_EVERY: Duration = Duration::from_secs(10);

/// What is to be run.
pub struct Service<'a> {
    /// The checked configuration.
    pub config: Config,
    /// Indicator files and folders.
    pub rules: Vec<PathBuf>,
    /// How many workers, 1 to 256.
    pub workers: usize,
    /// Artificial work for each frame.
    pub slow_motion: Duration,
    /// What workers are made to fail at.
    pub provoke: Option<Provoke>,
    /// Whether log lines may have colours.
    pub colours: bool,
    /// Reads configuration and rules again; all that is wrong as one text.
    pub again: &'a dyn Fn() -> Result<(Config, Vec<PathBuf>), String>,
}

/// What the control thread has in hand while the others work.
struct Running<'a> {
    service: &'a Service<'a>,
    config: Config,
    shared: Arc<Shared>,
    log: Arc<LogState>,
    releases: Sender<Release>,
    /// Random, so that nobody outside can aim at a shard or a slot.
    key: (u64, u64),
    site: Site,
    set: Arc<IndicatorSet>,
    refused: u64,
}

/// Runs until it is told to end.
///
/// # Errors
/// What keeps it from starting; and faults of the sensor itself, at its end.
pub fn run(mut service: Service<'_>) -> Result<(), Failure> {
    let started = Instant::now();
    // heard from the beginning: nothing that was begun is left half done
    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).map_err(|error| Failure::Io("the signals".into(), error))?;
    logs::start(service.config.logs, service.colours);
    let config = std::mem::take(&mut service.config);
    let key = (random()?, random()?);
    let loaded = load(&config, &service.rules)?;
    let networks = Arc::new(config.networks.clone().unwrap_or_default());
    let mut rights = Box::new(OwnRights::default());
    let sources = open_sources(&config.capture, service.workers, rights.as_mut())?;
    let open = |centre| Delivery::open(centre, &config, &networks, &sources.sensor_name(), gate::Mode::Live);
    let mut delivery = config.centre.as_ref().map(open).transpose()?;
    let site = site(&config, &networks, delivery.as_ref(), &sources)?;
    let log = Arc::new(LogState::default());
    let mut eve = open_log(&config, &log)?;
    let server = open_server(&config)?;
    let facts = SetFacts::of(&loaded.set, loaded.refused);
    let orders = orders(&config, service.workers, key, &networks, &loaded.set, &site, service.provoke.clone());
    let shared = Shared::new(started, orders, facts, &sources).map_err(|error| Failure::Io("eventfd".into(), error))?;
    let (shared, progress) = (Arc::new(shared), Progress::default());
    let (send, releases) = bounded::<Release>(RELEASES_LIVE_MAX);
    let Sources { names, keepers, of_worker } = sources;
    let (quarantine, poison) = Quarantine::open(&config)?;
    let taps = taps(of_worker, &shared, &send, poison, service.slow_motion);
    let keep = Keep { keepers, rights, shared: Arc::clone(&shared) };
    keep.tell();
    let hands = (taps, keep, quarantine);
    let look = Look {
        shared: Arc::clone(&shared),
        interfaces: names.clone(),
        progress: &progress,
        log: Arc::clone(&log),
        delivery: delivery.as_ref().map(Delivery::view),
        started: SystemTime::now(),
    };
    let refused = loaded.refused;
    let (shared_too, log_too) = (Arc::clone(&shared), Arc::clone(&log));
    let running =
        Running { service: &service, shared, log, releases: send, key, set: loaded.set, refused, site, config };
    running.say_hello(&names);
    let spool = delivery.as_mut().map(Delivery::spool);
    let ended = together(running, &mut signals, hands, releases, (eve.as_mut(), spool), &look, server.as_ref());
    let mut account = Account {
        tallies: shared_too.board.tallies(),
        links: names.into_iter().zip(shared_too.links()).collect(),
        not_spooled: progress.not_spooled.load(Ordering::Acquire),
        seconds: started.elapsed().as_secs_f64(),
        ..Account::default()
    };
    if let Some(eve) = eve.as_mut().filter(|_| ended.stats) {
        say_last_stats(&account, eve);
    }
    account.log_lost = log_too.lost.load(Ordering::Acquire);
    account.delivered = delivery.map(|delivery| delivery.leave(ended.told + STOP_TIME_MAX));
    account.say();
    end(&account, ended)
}

/// What all threads together came to.
struct Over {
    /// When the word to end came.
    told: Instant,
    /// Workers that died.
    died: usize,
    /// Whether the log lists `stats`, as the last reload has it.
    stats: bool,
    collected: io::Result<Collected>,
}

/// All threads, from the first frame to the last record.
fn together(
    mut running: Running<'_>,
    signals: &mut Signals,
    (taps, keep, quarantine): (Vec<Tap>, Keep, Option<Quarantine>),
    releases: Receiver<Release>,
    (eve, spool): (Option<&mut EveFile>, Option<&mut Spool>),
    look: &Look<'_>,
    server: Option<&Server>,
) -> Over {
    let (desk, ended, unkept) = (Desk::new(running.site.clone()), AtomicBool::new(false), AtomicBool::new(false));
    let alerts = running.config.outputs.events.contains(&EventType::Alert);
    thread::scope(|scope| {
        if let Some(server) = server {
            tracing::info!(address = %server.address(), "metrics are served");
            scope.spawn(|| match server.serve(&ended, &|| look.sight()) {
                Ok(()) => {}
                Err(error) => tracing::error!(%error, "metrics are served no more"),
            });
        }
        let (desk, progress) = (&desk, look.progress);
        let collector = scope.spawn(move || {
            let log = eve.map(|eve| Log { writer: eve, alerts });
            let outputs = Outputs { log, spool, ..Outputs::default() };
            Collector::new(desk, outputs).run_live(&releases, progress)
        });
        let shared = Arc::clone(&running.shared);
        quarantine.map(|quarantine| scope.spawn(move || quarantine.run(&shared.quarantine)));
        let named = |index: usize| thread::Builder::new().name(format!("worker {index}"));
        let start = |(index, tap): (usize, Tap)| named(index).spawn_scoped(scope, move || tap.run());
        let workers: Vec<_> = taps.into_iter().enumerate().map(start).collect();
        let (shared, over) = (Arc::clone(&running.shared), &ended);
        let watched = Arc::clone(&shared);
        scope.spawn(move || notify::watch(&watched, over));
        scope.spawn(move || supervise(&shared, over));
        let unkept = &unkept;
        let keep = scope.spawn(move || keep.run(unkept));
        notify::ready(&running.status());
        let told = running.control(signals);
        notify::stopping();
        // first nothing more comes, then what came is read to its end
        unkept.store(true, Ordering::Release);
        let _dead_keeps_nothing = keep.join();
        running.shared.stop.store(true, Ordering::Release);
        running.shared.wake_all();
        let died = workers
            .into_iter()
            .map(|worker| worker.map(|worker| worker.join()))
            .filter(|it| !matches!(it, Ok(Ok(()))))
            .count();
        let stats = running.says_stats();
        drop(running); // it has the last sender: the collector comes to its end
        let collected = collector.join().unwrap_or_else(|_| Err(io::Error::other("the collector died")));
        ended.store(true, Ordering::Release);
        Over { told, died, stats, collected }
    })
}

/// The last line of the log: every worker has finished, so its numbers are those of the account that is printed.
fn say_last_stats(account: &Account, eve: &mut EveFile) {
    let mut line = Vec::new();
    account.write_stats(&mut line, Duration::from_secs_f64(account.seconds));
    // a log that counts what it loses says nothing
    let _counted = eve.write_all(&line).and_then(|()| eve.flush());
}

fn open_log(config: &Config, state: &Arc<LogState>) -> Result<Option<EveFile>, Failure> {
    let Some(path) = &config.outputs.path else { return Ok(None) };
    let opened = EveFile::open(path, Arc::clone(state), config.centre.is_some());
    opened.map(Some).map_err(|error| Failure::Io(path.clone(), error))
}

fn open_server(config: &Config) -> Result<Option<Server>, Failure> {
    let Some(metrics) = &config.metrics else { return Ok(None) };
    let bound = Server::bind(metrics.listen);
    bound.map(Some).map_err(|error| Failure::Io(metrics.listen.to_string().into(), error))
}

fn end(account: &Account, over: Over) -> Result<(), Failure> {
    over.collected.map_err(|error| Failure::Io("the outputs".into(), error))?;
    if over.died > 0 {
        return Err(Failure::Fault(format!("{} of the workers died: please report this", over.died)));
    }
    match account.unaccounted() {
        0 => Ok(()),
        frames => Err(Failure::Fault(format!("{frames} frames unaccounted for: please report this"))),
    }
}

impl Running<'_> {
    fn say_hello(&self, interfaces: &[String]) {
        let config = &self.config;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            site = %config.site.id,
            interfaces = interfaces.join(","),
            workers = self.service.workers,
            indicators = self.set.len(),
            refused = self.refused,
            set = self.set.version(),
            "started"
        );
        if config.networks.is_none() {
            tracing::warn!("no networks given: private ranges are taken for inside");
        }
        match &config.centre {
            Some(centre) => {
                tracing::info!(url = %centre.url, "alerts are delivered to the centre, as the gate lets them")
            }
            None => tracing::info!("no centre is configured: nothing leaves this machine"),
        }
        if config.outputs.path.is_none() && config.centre.is_none() {
            tracing::warn!("neither outputs.eve.path nor centre is configured: alerts are counted and go nowhere");
        }
    }

    /// Hears signals and checks the books, until it is told to end; when that was.
    fn control(&mut self, signals: &mut Signals) -> Instant {
        let (mut checked, mut said) = (Instant::now(), Instant::now());
        loop {
            for signal in signals.pending() {
                match signal {
                    SIGHUP => self.reload(),
                    SIGUSR1 => self.reopen(),
                    _ => {
                        tracing::info!(signal, "told to end");
                        return Instant::now();
                    }
                }
            }
            if self.shared.dead.load(Ordering::Acquire) > 0 {
                tracing::error!("a worker died of what is not its work: the sensor ends, to be started again");
                return Instant::now();
            }
            if checked.elapsed() >= CHECK_EVERY {
                checked = Instant::now();
                self.check_books();
            }
            if said.elapsed() >= STATS_EVERY {
                said = Instant::now();
                self.say_stats();
            }
            thread::sleep(HEAR_EVERY);
        }
    }

    /// What an operator sees who asks the service manager.
    fn status(&self) -> String {
        format!("{} indicators, {} workers", self.set.len(), self.service.workers)
    }

    fn reopen(&self) {
        self.log.reopen.store(true, Ordering::Release);
        tracing::info!("the log is opened again");
    }

    fn check_books(&self) {
        for (worker, tally) in self.shared.board.tallies().iter().enumerate() {
            if tally.unaccounted() != 0 {
                tracing::error!(worker, frames = tally.unaccounted(), "frames unaccounted for: please report this");
            }
        }
    }

    fn says_stats(&self) -> bool {
        self.config.outputs.events.contains(&EventType::Stats)
    }

    fn say_stats(&self) {
        if !self.says_stats() {
            return;
        }
        let account = Account::of(self.shared.board.tallies(), &self.shared.links());
        let mut release = Release::default();
        account.write_stats(&mut release.lines, self.shared.started.elapsed());
        release.log_all();
        let _next_time = self.releases.try_send(release);
    }

    /// Reads everything again. Only if all of it is sound does any of it hold.
    fn reload(&mut self) {
        self.reopen();
        notify::reloading();
        match self.read_again() {
            Ok((config, loaded)) => {
                let networks = Arc::new(config.networks.clone().unwrap_or_default());
                self.site.networks = Arc::clone(&networks);
                self.site.set = version_of(&loaded.set);
                let workers = self.service.workers;
                let orders = orders(
                    &config,
                    workers,
                    self.key,
                    &networks,
                    &loaded.set,
                    &self.site,
                    self.service.provoke.clone(),
                );
                self.shared.publish(orders, SetFacts::of(&loaded.set, loaded.refused));
                (self.set, self.refused, self.config) = (loaded.set, loaded.refused, config);
                self.shared.reloads.fetch_add(1, Ordering::AcqRel);
                let (indicators, refused) = (self.set.len(), self.refused);
                tracing::info!(indicators, refused, set = self.set.version(), "reloaded");
            }
            Err(reason) => {
                self.shared.reloads_refused.fetch_add(1, Ordering::AcqRel);
                tracing::error!(%reason, "not reloaded; everything goes on as before");
            }
        }
        notify::ready(&self.status());
    }

    fn read_again(&self) -> Result<(Config, Loaded), String> {
        let (config, rules) = (self.service.again)()?;
        let fixed = config::fixed_differences(&self.config, &config);
        if !fixed.is_empty() {
            return Err(format!("{} changed, which needs a restart", fixed.join(", ")));
        }
        let loaded = load(&config, &rules).map_err(|failure| failure.to_string())?;
        Ok((config, loaded))
    }
}
