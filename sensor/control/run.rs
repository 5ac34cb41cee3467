//! A running sensor: links opened, threads started, signals heard, and at the end an account of everything.
//!
//! In: a checked configuration and how to read it again. Out: what [`Account`] says. SIGTERM and SIGINT end it within
//! seconds; SIGHUP reads configuration and rules again, all or nothing, and opens the log again; SIGUSR1 only the log.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::account::Account;
use super::brokering::{Taker, taken};
use super::delivery::{Delivery, Prepared};
use super::eve_file::{EveFile, LogState};
use super::keep::Keep;
use super::look::{Look, SetFacts};
use super::notify::Manager;
use super::opening::{Loaded, Sources, load, orders, random, site, taps};
use super::pulse::{self, Blindness};
use super::quarantine::Quarantine;
use super::reloading::{self, Reloaded, Wishes};
use super::shared::Shared;
use super::socket::ControlSocket;
use super::threads::{Over, together};
use super::{Failure, bounds, disk, logs, places, version_of};
use crate::alert::record::Site;
use crate::collector::Progress;
use crate::config::{self, Config, EventType};
use crate::gate;
use crate::leash::Provoke;
use crate::limits::{RELEASES_LIVE_MAX, STOP_TIME_MAX};
use crate::metrics::Server;
use crate::sandbox::{Role, Sandbox};
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
    /// Its file; `None`: there is none.
    pub file: Option<PathBuf>,
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

/// Where others may ask.
#[derive(Clone, Copy)]
pub(super) struct Doors<'a> {
    pub(super) metrics: Option<&'a Server>,
    pub(super) control: Option<&'a ControlSocket>,
}

/// What the control thread has in hand while the others work.
pub(super) struct Running<'a> {
    service: &'a Service<'a>,
    pub(super) config: Config,
    pub(super) shared: Arc<Shared>,
    log: Arc<LogState>,
    releases: Sender<Release>,
    /// Random, so that nobody outside can aim at a shard or a slot.
    key: (u64, u64),
    pub(super) site: Site,
    loaded: Loaded,
    sandbox: Arc<Sandbox>,
    pub(super) manager: Manager,
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
    let (Taker { rights, broker, short }, sources) = taken(&config, service.workers)?;
    let open = |centre| Prepared::open(centre, &config, &networks, &sources.sensor_name(), gate::Mode::Live);
    let prepared = config.centre.as_ref().map(open).transpose()?;
    let site = site(&config, &networks, prepared.as_ref(), &sources)?;
    let (log, mut eve, server, socket) = open_outputs(&config)?;
    let facts = SetFacts::of(&loaded.set, loaded.refused);
    let orders = orders(&config, service.workers, key, &networks, &loaded.set, &site, service.provoke.clone());
    let shared = Shared::new(started, orders, facts, &sources).map_err(|error| Failure::Io("eventfd".into(), error))?;
    let (shared, progress) = (Arc::new(shared), Progress::default());
    let (send, releases) = bounded::<Release>(RELEASES_LIVE_MAX);
    let rights_kept = bounds::rights(&sources, broker.is_some());
    let Sources { names, keepers, of_worker, ports } = sources;
    let ports = Arc::new(ports);
    let quarantine = Quarantine::open(&config)?;
    let taps = taps((of_worker, &ports), &shared, &send, quarantine.as_ref(), service.slow_motion);
    let keep = Keep { keepers, rights, ports, shared: Arc::clone(&shared) };
    keep.tell();
    let hands = (taps, keep, quarantine);
    let (manager, sandbox) = (Manager::find(), Arc::new(bounds::sandbox(&service, &config, rights_kept)));
    sandbox.hear(broker.as_ref().map(|_| Role::Broker), short);
    // all is open, and no thread has started
    sandbox.give_up();
    let mut delivery = prepared.map(|prepared| prepared.start(bounds::uplink(&sandbox)));
    let look = Look {
        shared: Arc::clone(&shared),
        interfaces: names.clone(),
        progress: &progress,
        log: Arc::clone(&log),
        delivery: delivery.as_mut().map(Delivery::view),
        sandbox: &sandbox,
        broker,
        started: SystemTime::now(),
    };
    let (shared, log, sandbox) = (Arc::clone(&shared), Arc::clone(&log), Arc::clone(&sandbox));
    let running =
        Running { service: &service, config, shared, log, releases: send, key, site, loaded, sandbox, manager };
    let doors = Doors { metrics: server.as_ref(), control: socket.as_ref() };
    running.say_hello(&names);
    let spool = delivery.as_mut().map(Delivery::spool);
    let ended = together(running, &mut signals, hands, releases, (eve.as_mut(), spool), &look, doors);
    let mut account = account(names, &look, &ended.left);
    if let Some(eve) = eve.as_mut().filter(|_| ended.stats) {
        say_last_stats(&account, eve);
    }
    account.log_lost = look.log.lost.load(Ordering::Acquire);
    account.delivered = delivery.map(|delivery| delivery.leave(ended.told + STOP_TIME_MAX));
    account.say();
    end(&account, ended)
}

/// What is known when all threads have ended but those of workers that were `left` behind.
fn account(names: Vec<String>, look: &Look<'_>, left: &[usize]) -> Account {
    let left: Vec<_> = left.iter().map(|worker| (*worker, look.shared.settle_parts(*worker))).collect();
    let mut account = Account {
        tallies: look.shared.board.tallies(),
        links: names.into_iter().zip(look.shared.links()).collect(),
        not_spooled: look.progress.not_spooled.load(Ordering::Acquire),
        spooled: look.progress.spooled.load(Ordering::Acquire),
        merged: look.progress.merged(),
        seconds: look.shared.started.elapsed().as_secs_f64(),
        ..Account::default()
    };
    account.give_up(&left);
    account
}

/// The last line of the log: every worker has finished, so its numbers are those of the account that is printed.
fn say_last_stats(account: &Account, eve: &mut EveFile) {
    let mut line = Vec::new();
    account.write_stats(&mut line, Duration::from_secs_f64(account.seconds));
    // a log that counts what it loses says nothing
    let _counted = eve.write_all(&line).and_then(|()| eve.flush());
}

type Outputs = (Arc<LogState>, Option<EveFile>, Option<Server>, Option<ControlSocket>);

fn open_outputs(config: &Config) -> Result<Outputs, Failure> {
    let log = Arc::new(LogState::default());
    let eve = open_log(config, &log)?;
    Ok((log, eve, open_server(config)?, open_socket(config)?))
}

fn open_log(config: &Config, state: &Arc<LogState>) -> Result<Option<EveFile>, Failure> {
    let Some(path) = &config.outputs.path else { return Ok(None) };
    places::log(path, config.outputs.rotation.is_some())?;
    let opened = EveFile::open(path, Arc::clone(state), config.centre.is_some());
    let opened = opened.map(|log| Some(log.rotating(config.outputs.rotation)));
    opened.map_err(|error| Failure::Io(path.clone(), error))
}

fn open_server(config: &Config) -> Result<Option<Server>, Failure> {
    let Some(metrics) = &config.metrics else { return Ok(None) };
    let bound = Server::bind(metrics.listen);
    bound.map(Some).map_err(|error| Failure::Io(metrics.listen.to_string().into(), error))
}

fn open_socket(config: &Config) -> Result<Option<ControlSocket>, Failure> {
    let Some(control) = &config.control else { return Ok(None) };
    let opened = ControlSocket::open(control);
    opened.map(Some).map_err(|error| Failure::Io(control.socket.clone(), error))
}

fn end(account: &Account, over: Over) -> Result<(), Failure> {
    over.settled?;
    over.collected.map_err(|error| Failure::Io("the outputs".into(), error))?;
    if over.died > 0 {
        return Err(Failure::Fault(format!("{} of the workers died: please report this", over.died)));
    }
    if !over.left.is_empty() {
        return Err(Failure::Fault(format!("{} of the workers did not end: please report this", over.left.len())));
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
            indicators = self.loaded.set.len(),
            refused = self.loaded.refused,
            set = self.loaded.set.version(),
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
        for sink in &config.sinks {
            tracing::info!(sink = sink.sink.name, url = %sink.url(), "alerts go here too, as the gate lets them");
        }
        if config.outputs.path.is_none() && config.centre.is_none() {
            tracing::warn!("neither outputs.eve.path nor centre is configured: alerts are counted and go nowhere");
        }
    }

    /// This thread enters its role like all others; then the sensor is ready.
    pub(super) fn settle(&self, threads: usize) -> Result<(), Failure> {
        self.sandbox.enter(Role::Control, &[]);
        bounds::settle(&self.sandbox, threads)?;
        self.manager.ready(&self.status());
        Ok(())
    }

    /// Hears signals and checks the books, until it is told to end; when that was.
    pub(super) fn control(&mut self, signals: &mut Signals, wishes: &Wishes, look: &Look<'_>) -> Instant {
        let (mut checked, mut said) = (Instant::now(), Instant::now());
        let (mut blindness, mut disk) = (Blindness::since(self.shared.started), disk::Watch::default());
        loop {
            for signal in signals.pending() {
                match signal {
                    SIGHUP => drop(self.reload()),
                    SIGUSR1 => self.reopen(),
                    _ => {
                        tracing::info!(signal, "told to end");
                        return Instant::now();
                    }
                }
            }
            wishes.grant(|| self.reload());
            if self.shared.dead.load(Ordering::Acquire) > 0 {
                tracing::error!("a worker died of what is not its work: the sensor ends, to be started again");
                return Instant::now();
            }
            if checked.elapsed() >= CHECK_EVERY {
                checked = Instant::now();
                self.check_books();
                pulse::tell(look, &mut blindness);
            }
            if said.elapsed() >= STATS_EVERY {
                said = Instant::now();
                self.say_stats();
            }
            disk.look(look);
            thread::sleep(HEAR_EVERY);
        }
    }

    /// What an operator sees who asks the service manager.
    fn status(&self) -> String {
        format!("{} indicators, {} workers", self.loaded.set.len(), self.service.workers)
    }

    /// Nothing more is said by workers.
    pub(super) fn end_releases(&self) {
        let _collector_died = self.releases.send(Release { last: true, ..Release::default() });
    }

    /// Whether workers find no room for what they say.
    pub(super) fn holds_workers_up(&self) -> bool {
        self.releases.is_full()
    }

    /// How its threads enter their roles, for those that may outlive all others.
    pub(super) fn sandbox(&self) -> Arc<Sandbox> {
        Arc::clone(&self.sandbox)
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

    pub(super) fn says_stats(&self) -> bool {
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
    fn reload(&mut self) -> Reloaded {
        self.reopen();
        self.manager.reloading();
        let reloaded = match self.read_again() {
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
                (self.loaded, self.config) = (loaded, config);
                self.shared.reloads.fetch_add(1, Ordering::AcqRel);
                let (indicators, refused) = (self.loaded.set.len(), self.loaded.refused);
                tracing::info!(indicators, refused, set = self.loaded.set.version(), "reloaded");
                let set = super::number_of(self.loaded.set.version());
                Reloaded::Taken { indicators: indicators as u64, refused, set }
            }
            Err((reason, told)) => {
                self.shared.reloads_refused.fetch_add(1, Ordering::AcqRel);
                tracing::error!(%reason, "not reloaded; everything goes on as before");
                Reloaded::Refused(told)
            }
        };
        self.manager.ready(&self.status());
        reloaded
    }

    /// Configuration and rules anew; or why not, and what of that whoever asked may be told.
    fn read_again(&self) -> Result<(Config, Loaded), (String, String)> {
        let openly = |reason: String| (reason.clone(), reason);
        let (config, rules) = (self.service.again)().map_err(openly)?;
        let fixed = config::fixed_differences(&self.config, &config);
        if !fixed.is_empty() {
            return Err(openly(format!("{} changed, which needs a restart", fixed.join(", "))));
        }
        if let Some(path) = bounds::out_of_reach(&self.sandbox, &config, &rules) {
            let why = "outside of what the sensor has been able to read since its start, which needs a restart";
            return Err(openly(format!("{}: {why}", path.display())));
        }
        let loaded = load(&config, &rules).map_err(|failure| {
            let reason = failure.to_string();
            let told = reloading::unquoted(&reason);
            (reason, told)
        })?;
        Ok((config, loaded))
    }
}
