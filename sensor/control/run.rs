//! A running sensor: links opened, threads started, signals heard, and at the end an account of everything.
//!
//! In: a checked configuration and how to read it again. Out: what [`Account`] says. SIGTERM and SIGINT end it within
//! seconds; SIGHUP reads configuration and rules again, all or nothing, and opens the log again; SIGUSR1 only the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Sender, bounded};
use ring::rand::{SecureRandom, SystemRandom};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::account::Account;
use super::delivery::{self, Delivery};
use super::eve_file::{EveFile, LogState};
use super::logs;
use super::look::{Look, SetFacts};
use super::shared::Shared;
use super::tap::{From, Source, Tap};
use super::{Failure, nanos};
use crate::alert::record::{Desk, Mode, SetVersion, Site};
use crate::capture::live::{self, Live, Refused};
use crate::capture::watched::{Begin, Watched};
use crate::collector::{Collected, Collector, Log, Outputs, Progress};
use crate::config::{self, Capture, Config, EventType};
use crate::feed;
use crate::flow::Settings;
use crate::gate::{self, SiteKey};
use crate::indicator::IndicatorSet;
use crate::limits::{RELEASES_LIVE_MAX, STOP_TIME_MAX};
use crate::metrics::{Laps, Server};
use crate::networks::Networks;
use crate::worker::{Inbox, Orders, Outbox, Release, Worker, ring};

/// How often signals are looked for.
const HEAR_EVERY: Duration = Duration::from_millis(50);

/// How often the sensor checks its own books.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How often a `stats` record goes into the log.
const STATS_EVERY: Duration = Duration::from_secs(10);

/// Numbers of frames of one link: links never share a number, and 2^53 is what every JSON reader keeps exact.
const LINK_NUMBERS: u64 = 1 << 45;

/// What is to be run.
pub struct Service<'a> {
    /// The checked configuration.
    pub config: Config,
    /// Indicator files and folders.
    pub rules: Vec<PathBuf>,
    /// How many workers, 1 to 256.
    pub workers: usize,
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
    let sources = open_links(&config.capture)?;
    let by_frames = sources.iter().any(|source| matches!(source.from, From::Folder { .. }));
    let sensor = sensor_name(&sources);
    let open = |centre| Delivery::open(centre, &config, &networks, &sensor, gate::Mode::Live);
    let mut delivery = config.centre.as_ref().map(open).transpose()?;
    let (site, log) = (site(&config, &networks, &sensor, delivery.as_ref(), &sources)?, Arc::new(LogState::default()));
    let mut eve = match &config.outputs.path {
        Some(path) => {
            let opened = EveFile::open(path, Arc::clone(&log));
            Some(opened.map_err(|error| Failure::Io(path.to_path_buf(), error))?)
        }
        None => None,
    };
    let orders = orders(&config, service.workers, key, &networks, &loaded.set, &site);
    let facts = SetFacts::of(&loaded.set, loaded.refused);
    let shared =
        Shared::new(started, orders, facts, sources.len(), by_frames).map_err(|error| Failure::Io("eventfd".into(), error))?;
    let shared = Arc::new(shared);
    let (send, releases) = bounded::<Release>(RELEASES_LIVE_MAX);
    let progress = Progress::default();
    let server = match config.metrics {
        Some(metrics) => {
            let bound = Server::bind(metrics.listen);
            Some(bound.map_err(|error| Failure::Io(metrics.listen.to_string().into(), error))?)
        }
        None => None,
    };
    let interfaces: Vec<_> = sources.iter().map(|source| source.name.clone()).collect();
    let taps = taps(sources, &shared, &send);
    let mut running = Running {
        service: &service,
        shared: Arc::clone(&shared),
        log: Arc::clone(&log),
        releases: send,
        key,
        set: loaded.set,
        refused: loaded.refused,
        site,
        config,
    };
    running.say_hello(&interfaces);
    let desk = Desk::new(running.site.clone());
    let alerts = running.config.outputs.events.contains(&EventType::Alert);
    let look = Look {
        shared: Arc::clone(&shared),
        interfaces: interfaces.clone(),
        progress: &progress,
        log: Arc::clone(&log),
        delivery: delivery.as_ref().map(Delivery::view),
        started: SystemTime::now(),
    };
    let ended = AtomicBool::new(false);
    let stopped = thread::scope(|scope| {
        if let Some(server) = &server {
            tracing::info!(address = %server.address(), "metrics are served");
            scope.spawn(|| match server.serve(&ended, &|| look.sight()) {
                Ok(()) => {}
                Err(error) => tracing::error!(%error, "metrics are served no more"),
            });
        }
        let collector = {
            let (desk, progress, eve) = (&desk, &progress, eve.as_mut());
            let spool = delivery.as_mut().map(Delivery::spool);
            scope.spawn(move || {
                let log = eve.map(|eve| Log { writer: eve, alerts });
                let outputs = Outputs { log, spool, ..Outputs::default() };
                Collector::new(desk, outputs).run_live(&releases, progress)
            })
        };
        let workers: Vec<_> = taps.into_iter().map(|tap| scope.spawn(move || tap.run())).collect();
        let stopped = running.control(&mut signals);
        shared.stop.store(true, Ordering::Release);
        shared.wake_all();
        let died = workers.into_iter().map(|worker| worker.join()).filter(Result::is_err).count();
        drop(running.releases); // the last sender: the collector comes to its end
        let collected = collector.join().unwrap_or_else(|_| Err(io::Error::other("the collector died")));
        ended.store(true, Ordering::Release);
        (stopped, died, collected)
    });
    let (stopped, died, collected) = stopped;
    let delivered = delivery.map(|delivery| delivery.leave(stopped + STOP_TIME_MAX));
    let account = Account {
        tallies: shared.board.tallies(),
        links: interfaces.into_iter().zip(shared.links()).collect(),
        log_lost: log.lost.load(Ordering::Acquire),
        not_spooled: progress.not_spooled.load(Ordering::Acquire),
        delivered,
        seconds: started.elapsed().as_secs_f64(),
    };
    account.say();
    end(&account, died, collected)
}

fn end(account: &Account, died: usize, collected: io::Result<Collected>) -> Result<(), Failure> {
    collected.map_err(|error| Failure::Io("the outputs".into(), error))?;
    if died > 0 {
        return Err(Failure::Fault(format!("{died} of the workers died: please report this")));
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

    fn say_stats(&self) {
        if !self.config.outputs.events.contains(&EventType::Stats) {
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
        match self.read_again() {
            Ok((config, loaded)) => {
                let networks = Arc::new(config.networks.clone().unwrap_or_default());
                self.site.networks = Arc::clone(&networks);
                self.site.set = version_of(&loaded.set);
                let workers = self.service.workers;
                let orders = orders(&config, workers, self.key, &networks, &loaded.set, &self.site);
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

/// Indicators with what came of them.
struct Loaded {
    set: Arc<IndicatorSet>,
    refused: u64,
}

fn load(config: &Config, rules: &[PathBuf]) -> Result<Loaded, Failure> {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&random()?.to_ne_bytes());
    key[8..].copy_from_slice(&random()?.to_ne_bytes());
    let loaded = feed::load(rules, &config.policy(key)).map_err(|error| Failure::Io("the rules".into(), error))?;
    let refused = loaded.refused.values().sum();
    for refusal in &loaded.refusals {
        tracing::warn!(file = %refusal.file.display(), line = refusal.line, reason = %refusal.reason, "indicator refused");
    }
    if loaded.set.is_empty() && refused > 0 {
        return Err(Failure::Configuration(format!("no indicator could be loaded, {refused} were refused")));
    }
    Ok(Loaded { set: Arc::new(loaded.set), refused })
}

fn random() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Failure::Fault("the system has no random numbers".to_string()))?;
    Ok(u64::from_ne_bytes(bytes))
}

fn open_links(captures: &[Capture]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for (link, capture) in captures.iter().enumerate() {
        let before = link as u64 * LINK_NUMBERS;
        let name = match &capture.source {
            config::Source::Interface { name, .. } => name,
            config::Source::Directory(folder) => {
                sources.push(watch(folder, link, before)?);
                continue;
            }
        };
        let options = live::Options {
            interface: name.clone(),
            filter: capture.filter.clone(),
            ring_bytes: capture.ring_bytes,
            snap_bytes: capture.snap_bytes,
            promiscuous: capture.promiscuous,
        };
        let live = Live::open(options, before).map_err(|refused| not_opened(name, &refused))?;
        sources.push(Source { name: name.clone(), from: From::Link(live), link });
    }
    if sources.is_empty() {
        let what = "nothing to read: `capture:` names no interface and no directory, and neither does -i".to_string();
        return Err(Failure::Configuration(what));
    }
    Ok(sources)
}

/// What was read of a watched folder is remembered in it; writers of captures pass over hidden files, and so do we.
const MEMORY: &str = ".haetae-read";

fn watch(folder: &Path, link: usize, before: u64) -> Result<Source, Failure> {
    let watched = Watched::open(folder, Begin::All, Some(&folder.join(MEMORY)));
    let watched = watched.map_err(|error| Failure::Io(folder.to_path_buf(), error))?;
    let from = From::Folder { watched, before, handed: 0, open: true };
    Ok(Source { name: folder.display().to_string(), from, link })
}

/// What this sensor is called among the site's: its first link.
fn sensor_name(sources: &[Source]) -> String {
    let link = sources.iter().find(|source| matches!(source.from, From::Link(_)));
    link.map_or_else(|| "folder".to_owned(), |source| source.name.clone())
}

fn not_opened(interface: &str, refused: &Refused) -> Failure {
    let kind = match refused {
        Refused::Permission(_) => io::ErrorKind::PermissionDenied,
        Refused::Filter(_) => return Failure::Configuration(format!("{interface}: {refused}")),
        Refused::Absent(_) | Refused::Down(_) | Refused::Other(_) => io::ErrorKind::NotFound,
    };
    Failure::Io(interface.into(), io::Error::new(kind, refused.to_string()))
}

fn site(
    config: &Config,
    networks: &Arc<Networks>,
    sensor: &str,
    delivery: Option<&Delivery>,
    sources: &[Source],
) -> Result<Site, Failure> {
    let read = |path: &PathBuf| SiteKey::open(path).map_err(|error| Failure::Io(path.clone(), error));
    let own = config.site.key.as_ref().map(read).transpose()?.map(|key| key.derive(delivery::IDENTITIES).to_vec());
    let key = match (delivery, own) {
        (Some(delivery), _) => delivery.key().to_vec(),
        (None, Some(own)) => own,
        // nothing leaves: identities only tell the alerts of this run apart
        (None, None) => random()?.to_be_bytes().to_vec(),
    };
    Ok(Site {
        id: config.site.id.clone(),
        sensor: sensor.to_owned(),
        language: config.site.language.name().to_owned(),
        key,
        salt: random()?.to_be_bytes().to_vec(),
        networks: Arc::clone(networks),
        mode: Mode::Live,
        interface: if let [Source { name, from: From::Link(_), .. }] = sources { Some(name.clone()) } else { None },
        ..Site::default()
    })
}

fn version_of(set: &IndicatorSet) -> SetVersion {
    SetVersion { version: super::number_of(set.version()), age_seconds: None }
}

fn orders(
    config: &Config,
    workers: usize,
    key: (u64, u64),
    networks: &Arc<Networks>,
    set: &Arc<IndicatorSet>,
    site: &Site,
) -> Orders {
    let logs = config.outputs.path.is_some();
    let logged = if logs { super::logged(&config.outputs.events) } else { Vec::new() };
    let wants = super::wants(config, set, &logged, false);
    let settings = Settings {
        flows_max: config.limits.flows_max,
        reassembly_bytes_max: config.limits.reassembly_bytes_max,
        key,
        wants,
    };
    let desk = Desk::new(Site { set: version_of(set), ..site.clone() });
    Orders {
        index: 0,
        workers,
        live: true,
        settings,
        events: false,
        logged,
        timeline: false,
        networks: Arc::clone(networks),
        set: Arc::clone(set),
        desk: Some(Arc::new(desk)),
    }
}

/// Workers with their links and the rings between them: a ring from each that reads links to every other.
fn taps(sources: Vec<Source>, shared: &Arc<Shared>, send: &Sender<Release>) -> Vec<Tap> {
    let workers = shared.sleeping.len();
    let mut of_worker: Vec<Vec<Source>> = (0..workers).map(|_| Vec::new()).collect();
    sources.into_iter().enumerate().for_each(|(at, source)| of_worker[at % workers].push(source));
    let mut inboxes: Vec<Vec<(usize, Inbox)>> = (0..workers).map(|_| Vec::new()).collect();
    let mut outboxes: Vec<Vec<Option<Outbox>>> = Vec::new();
    for (reader, sources) in of_worker.iter().enumerate() {
        let to = |owner: usize| {
            let (outbox, inbox) = (!sources.is_empty() && owner != reader).then(ring)?;
            inboxes[owner].push((reader, inbox));
            Some(outbox)
        };
        outboxes.push((0..workers).map(to).collect());
    }
    let parts = of_worker.into_iter().zip(outboxes).zip(inboxes).enumerate();
    parts
        .map(|(index, ((sources, outboxes), inboxes))| {
            let (_, orders) = shared.orders(index);
            let worker = Worker::new(orders, send.clone(), Laps::new(nanos)).with_rings(outboxes, inboxes);
            Tap::new(index, worker, sources, Arc::clone(shared))
        })
        .collect()
}
