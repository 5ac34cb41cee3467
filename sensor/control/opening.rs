//! What a running sensor begins with, and what a reload makes anew: indicators, sources, who we are, orders, workers.
//!
//! In: the checked configuration. Out: the parts, or why one cannot be had. Never here: a thread that is started, a signal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use af_xdp::Rights;
use crossbeam_channel::Sender;
use ring::rand::{SecureRandom, SystemRandom};

use super::delivery::{self, Prepared};
use super::quarantine::{Chute, Quarantine};
use super::rescue::Rescue;
use super::shared::Shared;
use super::shunting::Ports;
use super::tap::{From, Source, Tap};
use super::{Failure, nanos, version_of};
use crate::alert::record::{Desk, Mode, Site};
use crate::capture::live::{self, Keeper, Live, Refused};
use crate::capture::watched::{Begin, Watched};
use crate::config::{self, Capture, Config};
use crate::feed;
use crate::indicator::IndicatorSet;
use crate::leash::Provoke;
use crate::limits::{QUEUE_FREE_TIME_MAX, READERS_MAX};
use crate::metrics::Laps;
use crate::networks::Networks;
use crate::worker::{Inbox, Orders, Outbox, Release, Worker, ring};

/// Numbers of frames of one source: sources never share a number, and 2^53 is what every JSON reader keeps exact.
const LINK_NUMBERS: u64 = 1 << 45;

/// Indicators with what came of them.
pub(super) struct Loaded {
    pub(super) set: Arc<IndicatorSet>,
    pub(super) refused: u64,
}

/// Reads indicators; each refusal is logged with its place.
pub(super) fn load(config: &Config, rules: &[PathBuf]) -> Result<Loaded, Failure> {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&random()?.to_ne_bytes());
    key[8..].copy_from_slice(&random()?.to_ne_bytes());
    let loaded = feed::load(rules, &config.policy(key)).map_err(Failure::of_rules)?;
    let refused = loaded.refused.values().sum();
    for refusal in &loaded.refusals {
        tracing::warn!(file = %refusal.file.display(), line = refusal.line, reason = %refusal.reason, "indicator refused");
    }
    loaded.some_left().map_err(Failure::of_rules)?;
    Ok(Loaded { set: Arc::new(loaded.set), refused })
}

/// Eight bytes that nobody can guess.
pub(super) fn random() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Failure::Fault("the system has no random numbers".to_string()))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Where packets come from, opened.
pub(super) struct Sources {
    /// What each is called, in the order of the configuration.
    pub(super) names: Vec<String>,
    /// The interfaces among them, with their places.
    pub(super) keepers: Vec<(usize, Keeper)>,
    /// What each worker reads.
    pub(super) of_worker: Vec<Vec<Source>>,
    /// The interfaces of which flows are shunted.
    pub(super) ports: Ports,
}

impl Sources {
    /// Nothing yet, for so many workers.
    pub(super) fn none(workers: usize) -> Sources {
        let of_worker = (0..workers).map(|_| Vec::new()).collect();
        Sources { names: Vec::new(), keepers: Vec::new(), of_worker, ports: Ports::default() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Source> {
        self.of_worker.iter().flatten()
    }

    /// The interface, if nothing else is read.
    fn only_interface(&self) -> Option<String> {
        (self.names.len() == 1 && self.keepers.len() == 1).then(|| self.names[0].clone())
    }

    /// Whether an interface is yet to come.
    pub(super) fn lack_some(&self) -> bool {
        self.keepers.iter().any(|(_, keeper)| !keeper.is_open())
    }

    /// What this sensor is called among the site's: its first interface.
    pub(super) fn sensor_name(&self) -> String {
        self.keepers.first().map_or_else(|| "folder".to_owned(), |(_, keeper)| keeper.name().to_owned())
    }
}

/// Opens what the configuration names, in its order, and deals it out: parts of an interface to as many workers as it has
/// parts, beginning with another one each time. Beside one that can be read others may be missing; who keeps them takes them
/// when they come.
///
/// # Errors
/// Nothing can be read; or something for a reason that does not pass by itself.
pub(super) fn open_sources(captures: &[Capture], workers: usize, rights: &mut dyn Rights) -> Result<Sources, Failure> {
    let mut sources = Sources::none(workers);
    let readers_max = (READERS_MAX / captures.len().max(1)).min(workers);
    let mut readers = 0;
    let mut missing: Vec<(String, Refused)> = Vec::new();
    for (link, capture) in captures.iter().enumerate() {
        let before = readers as u64 * LINK_NUMBERS;
        match &capture.source {
            config::Source::Directory(folder) => {
                sources.names.push(folder.display().to_string());
                sources.of_worker[link % workers].push(watch(folder, link, before)?);
                readers += 1;
            }
            config::Source::Interface { name, backend } => {
                let shunt_port = capture.shunt.map_or(0, |_| sources.ports.next());
                let options = live::Options { shunt_port, ..options(name, *backend, capture) };
                let first = |part: usize| before + part as u64 * LINK_NUMBERS;
                let (keeper, lives) = match open_link(&options, readers_max, first, rights) {
                    Ok((keeper, lives)) => {
                        let (backend, manner) = (keeper.backend(), keeper.manner());
                        tracing::info!(interface = name, backend, manner, "capturing");
                        (keeper, lives)
                    }
                    Err(refused) if refused.may_pass() => {
                        missing.push((name.clone(), refused.clone()));
                        Keeper::awaiting(options, readers_max, first, refused)
                    }
                    Err(refused) => return Err(not_opened(name, &refused)),
                };
                if let Some(payload_min) = capture.shunt.filter(|_| shunt_port != 0) {
                    sources.ports.add(link, payload_min);
                }
                readers += lives.len();
                for (part, live) in lives.into_iter().enumerate() {
                    let source = Source { name: name.clone(), from: From::Link(Box::new(live)), link };
                    sources.of_worker[(link + part) % workers].push(source);
                }
                sources.names.push(name.clone());
                sources.keepers.push((link, keeper));
            }
        }
    }
    if sources.names.is_empty() {
        let what = "nothing to read: `capture:` names no interface and no directory, and neither does -i".to_string();
        return Err(Failure::Configuration(what));
    }
    match missing.first() {
        Some((name, refused)) if missing.len() == sources.names.len() => return Err(not_opened(name, refused)),
        _ => {}
    }
    for (interface, reason) in missing {
        tracing::error!(interface, %reason, "the link cannot be read; it is tried again");
    }
    Ok(sources)
}

fn options(name: &str, backend: config::Backend, capture: &Capture) -> live::Options {
    live::Options {
        interface: name.to_owned(),
        backend: match backend {
            config::Backend::Auto => live::Backend::Auto,
            config::Backend::Libpcap => live::Backend::Libpcap,
            config::Backend::AfXdp => live::Backend::AfXdp { allow_cut_off: capture.allow_cut_off },
        },
        filter: capture.filter.clone(),
        ring_bytes: capture.ring_bytes,
        snap_bytes: capture.snap_bytes,
        promiscuous: capture.promiscuous,
        busy_poll: capture.busy_poll,
        shunt_port: 0,
    }
}

/// How often it is looked whether a queue has become free.
const FREE_EVERY: Duration = Duration::from_millis(20);

/// A restart follows a death closely, and the kernel frees the queues of the dead a moment after.
fn open_link(
    options: &live::Options,
    workers: usize,
    first: impl Fn(usize) -> u64 + Copy,
    rights: &mut dyn Rights,
) -> Result<(Keeper, Vec<Live>), Refused> {
    let began = Instant::now();
    loop {
        match Keeper::open(options.clone(), workers, first, rights) {
            Err(Refused::Busy(_)) if began.elapsed() < QUEUE_FREE_TIME_MAX => thread::sleep(FREE_EVERY),
            other => return other,
        }
    }
}

/// What was read of a watched folder is remembered in it; writers of captures pass over hidden files, and so do we.
const MEMORY: &str = ".haetae-read";

fn watch(folder: &Path, link: usize, before: u64) -> Result<Source, Failure> {
    let watched = Watched::open(folder, Begin::All, Some(&folder.join(MEMORY)));
    let watched = watched.map_err(|error| Failure::Io(folder.to_path_buf(), error))?;
    let from = From::Folder { watched: Box::new(watched), before, handed: 0, saved: 0, open: true };
    Ok(Source { name: folder.display().to_string(), from, link })
}

fn not_opened(interface: &str, refused: &Refused) -> Failure {
    let kind = match refused {
        Refused::Permission(_) => io::ErrorKind::PermissionDenied,
        Refused::Filter(_) | Refused::InUse(_) => return Failure::Configuration(format!("{interface}: {refused}")),
        Refused::Busy(_) => io::ErrorKind::ResourceBusy,
        Refused::Absent(_) | Refused::Down(_) | Refused::Other(_) => io::ErrorKind::NotFound,
    };
    Failure::Io(interface.into(), io::Error::new(kind, refused.to_string()))
}

/// Who we are.
pub(super) fn site(
    config: &Config,
    networks: &Arc<Networks>,
    delivery: Option<&Prepared>,
    sources: &Sources,
) -> Result<Site, Failure> {
    let key = match (delivery, delivery::own_key(config)?) {
        (Some(delivery), _) => delivery.key().to_vec(),
        (None, Some(own)) => own,
        // nothing leaves: identities only tell the alerts of this run apart
        (None, None) => random()?.to_be_bytes().to_vec(),
    };
    Ok(Site {
        id: config.site.id.clone(),
        sensor: sources.sensor_name(),
        language: config.site.language.name().to_owned(),
        key,
        salt: random()?.to_be_bytes().to_vec(),
        networks: Arc::clone(networks),
        mode: Mode::Live,
        interface: sources.only_interface(),
        ..Site::default()
    })
}

/// What workers are told.
pub(super) fn orders(
    config: &Config,
    workers: usize,
    key: (u64, u64),
    networks: &Arc<Networks>,
    set: &Arc<IndicatorSet>,
    site: &Site,
    provoke: Option<Provoke>,
) -> Orders {
    let logs = config.outputs.path.is_some();
    let logged = if logs { super::logged(&config.outputs.events) } else { Vec::new() };
    let wants = super::wants(config, set, &logged, false);
    let settings = super::settings(config, key, wants);
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
        waiting: Arc::default(),
        provoke,
    }
}

/// Workers with their links and the rings between them: a ring from each that reads links to every other.
pub(super) fn taps(
    (of_worker, ports): (Vec<Vec<Source>>, &Arc<Ports>),
    shared: &Arc<Shared>,
    send: &Sender<Release>,
    quarantine: Option<&(Quarantine, Chute)>,
    slow_motion: Duration,
) -> Vec<Tap> {
    let workers = of_worker.len();
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
            let worker = worker.on(shared.leashes[index].clone()).with_shunter(Arc::clone(ports) as _);
            let quarantine = quarantine.map(|(_, chute)| chute.clone());
            let rescue = Rescue { index, shared: Arc::clone(shared), quarantine };
            Tap::new(worker, sources, rescue, slow_motion)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_folder_is_read_by_no_library() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = watch(folder.path(), 0, 0).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(matches!(source.from, From::Folder { open: true, .. }));
    }
}
