//! Delivery of a replay's alerts to a centre that is told that they are an exercise.
//!
//! In: what the collector spools. Out: what the gate lets through, by a courier on its own thread. What the centre has not
//! committed when time is up stays in the spool and is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::Failure;
use crate::cli::screen;
use crate::config::Config;
use crate::emit::misp::Told;
use crate::emit::{Counts, Courier, DeadLetters, Secrets, Section, Way};
use crate::gate::{Gate, Home, Mode, Pulse, Sender, SiteKey};
use crate::ledger::{Keys, Ledger};
use crate::limits::DRAIN_TIME_MAX;
use crate::networks::Networks;
use crate::spool::{Options, Readers, Recovery, Spool, Window};
#[cfg(feature = "libpcap")]
use crate::spool::{ShedCounts, Syncs};
use crate::time::Span;

/// What a replay is called where the configuration names no site.
const UNNAMED_SITE: &str = "exercise";

/// What the key of alert identities is derived for: it is another than the one that names hosts.
pub(super) const IDENTITIES: &str = "alert";

/// What a replay's sensor is called.
pub(super) const REPLAY: &str = "replay";

/// The key of alert identities that the site's own key gives, where it has one.
pub(super) fn own_key(config: &Config) -> Result<Option<Vec<u8>>, Failure> {
    let read = |path: &std::path::PathBuf| SiteKey::open(path).map_err(|error| Failure::Io(path.clone(), error));
    let own = config.site.key.as_ref().map(read).transpose()?;
    Ok(own.map(|key| key.derive(IDENTITIES).to_vec()))
}

/// A spool, and a courier that has not been set to work: whatever is to be opened is open.
pub(super) struct Prepared {
    url: String,
    spool: Spool,
    merge: Span,
    key: zeroize::Zeroizing<[u8; 32]>,
    courier: Courier,
    /// Of sinks beside the centre.
    others: Vec<(Courier, Beside)>,
    #[cfg_attr(not(feature = "libpcap"), expect(dead_code, reason = "a replay is not looked at while it goes on"))]
    view: (Arc<Ledger>, Pulse),
}

/// A spool with a courier at work behind it.
pub(super) struct Delivery {
    url: String,
    spool: Spool,
    merge: Span,
    stop: Arc<AtomicBool>,
    courier: JoinHandle<Courier>,
    #[cfg_attr(not(feature = "libpcap"), expect(dead_code, reason = "an exercise has none"))]
    others: Vec<JoinHandle<()>>,
    #[cfg(feature = "libpcap")]
    counts: Arc<Counts>,
    /// Records that waited when it began.
    #[cfg(feature = "libpcap")]
    found: u64,
    #[cfg(feature = "libpcap")]
    beside: Vec<Beside>,
    #[cfg(feature = "libpcap")]
    view: (Arc<Ledger>, Pulse),
}

/// What others may know of a sink beside the centre.
#[cfg_attr(not(feature = "libpcap"), expect(dead_code, reason = "an exercise has none"))]
pub(super) struct Beside {
    pub(super) name: &'static str,
    pub(super) readers: Readers,
    pub(super) counts: Arc<Counts>,
    pub(super) told: Option<Arc<Told>>,
}

/// What others may know of a delivery while it goes on.
#[cfg(feature = "libpcap")]
pub(super) struct View {
    pub(super) readers: Readers,
    pub(super) counts: Arc<Counts>,
    pub(super) shed: Arc<ShedCounts>,
    /// How many things were wrong with the spool when it was opened.
    pub(super) damage: u64,
    /// How the spool's disk keeps up.
    pub(super) syncs: Arc<Syncs>,
    pub(super) beside: Vec<Beside>,
    /// The centre's, and those of sinks beside it.
    pub(super) couriers: usize,
    pub(super) ledger: Arc<Ledger>,
    pub(super) pulse: Pulse,
}

/// What a delivery came to that was told to end.
#[cfg(feature = "libpcap")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) committed: u64,
    pub(super) waiting: u64,
    pub(super) held_back: u64,
    /// Records that the spool gave up or did not take.
    pub(super) shed: u64,
    /// Records that the spool took and the disk never had: they are in the site's log alone.
    pub(super) not_durable: u64,
    /// Records that waited when it began.
    pub(super) found: u64,
    /// Records that somebody had sent again (`haetae spool replay`): each is counted once more where it ended.
    pub(super) again: u64,
}

/// What is wrong with a spool is told when it is opened: afterwards it is only known as what never came.
fn say(found: &Recovery) {
    if !found.is_damaged() {
        return;
    }
    let files: Vec<_> = [&found.misplaced, &found.shortened, &found.foreign].into_iter().flatten().collect();
    tracing::error!(
        lost = found.lost,
        exchanged = found.links_broken,
        damaged_bytes = found.damaged_bytes,
        cursor_lost = found.cursor_lost,
        ?files,
        "the spool is damaged: what can be read of it is delivered; `haetae spool verify` says where"
    );
}

/// How the spool is kept: a full one is an error of a replay, which a person sees; on a link something has to go.
fn options(config: &Config, mode: Mode) -> Options {
    let limits = &config.limits;
    let window = Window { age: limits.replay_time, bytes: limits.replay_bytes_max };
    Options { sheds: mode == Mode::Live, window, ..Options::sized(limits.spool_bytes_max) }
}

impl Prepared {
    /// Opens the spool.
    pub(super) fn open(
        section: &Section,
        config: &Config,
        networks: &Arc<Networks>,
        sensor: &str,
        mode: Mode,
    ) -> Result<Prepared, Failure> {
        let problems: Vec<String> =
            section.problems(Secrets::Opened).iter().map(|(key, why)| format!("--{key}: {why}")).collect();
        if !problems.is_empty() {
            return Err(Failure::Configuration(problems.join("\nerror: ")));
        }
        let spool = Spool::open(&section.spool, options(config, mode))
            .map_err(|error| Failure::Io(section.spool.clone(), error))?;
        say(spool.recovery());
        // from here on keys and the centre's token are in memory
        #[cfg(feature = "libpcap")]
        let _as_far_as_it_goes = crate::sandbox::hide();
        let key = config.site.key.clone().unwrap_or_else(|| section.key());
        let key = SiteKey::open(&key).map_err(|error| Failure::Io(key, error))?;
        let site = if config.site.id.is_empty() { UNNAMED_SITE } else { &config.site.id };
        let sender = Sender::new(site, sensor, mode).ok_or_else(|| {
            Failure::Configuration(format!("site.id: `{site}` or `{sensor}` is no name that a centre takes"))
        })?;
        let home: Home = {
            let networks = Arc::clone(networks);
            Arc::new(move |address| networks.is_home(address))
        };
        let (row, sinks) = section.ways(&sender).map_err(Failure::Configuration)?;
        let keys = section.receipt_keys.as_deref().map(Keys::read).transpose().map_err(Failure::Configuration)?;
        let ledger = Ledger::open(&section.ledger(), config.ledger, sender.names(), keys);
        let ledger = Arc::new(ledger.map_err(|error| Failure::Io(section.ledger(), error))?);
        let pulse = Pulse::default();
        let way = Way {
            gate: Gate::of(row, &section.policy, key.clone(), sender.clone(), Arc::clone(&home)),
            sinks,
            dead: DeadLetters::beside(&section.spool),
            ledger: Arc::clone(&ledger),
            pulse: pulse.clone(),
        };
        let courier = Courier::new(spool.readers(), way);
        // an exercise is between a site and its centre
        let others = config.sinks.iter().filter(|_| mode == Mode::Live);
        let others = others.map(|other| {
            let gate = Gate::of(other.sink, &section.policy, key.clone(), sender.clone(), Arc::clone(&home));
            let sink = other.open().map_err(Failure::Configuration)?;
            let dead = DeadLetters::of(&section.spool, other.sink.name);
            let (told, readers) = (sink.told(), spool.readers_of(other.sink.name));
            let seen = readers.again();
            let way = Way { gate, sinks: vec![sink], dead, ledger: Arc::clone(&ledger), pulse: pulse.clone() };
            let courier = Courier::new(readers, way);
            let counts = courier.counts();
            Ok((courier, Beside { name: other.sink.name, readers: seen, counts, told }))
        });
        let others = others.collect::<Result<_, Failure>>()?;
        let view = (ledger, pulse);
        let merge = section.merge;
        Ok(Prepared { url: section.url.clone(), spool, merge, key: key.derive(IDENTITIES), courier, others, view })
    }

    /// The key of alert identities.
    pub(super) fn key(&self) -> &[u8] {
        &self.key[..]
    }

    /// Sets the courier to work: what an earlier run left is delivered too. `first` is what its thread does first.
    pub(super) fn start(self, first: impl Fn() + Clone + Send + 'static) -> Delivery {
        let Prepared { url, spool, merge, mut courier, others, .. } = self;
        #[cfg(feature = "libpcap")]
        let (counts, view, found) = (courier.counts(), self.view, spool.readers().waiting().records());
        let stop = Arc::new(AtomicBool::new(false));
        let (others, _beside): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        let others = others.into_iter().map(|mut courier| {
            let (told, first) = (Arc::clone(&stop), first.clone());
            thread::spawn(move || {
                first();
                courier.run(&told);
            })
        });
        let others = others.collect();
        let told = Arc::clone(&stop);
        let courier = thread::spawn(move || {
            first();
            courier.run(&told);
            courier
        });
        Delivery {
            url,
            spool,
            merge,
            stop,
            courier,
            others,
            #[cfg(feature = "libpcap")]
            counts,
            #[cfg(feature = "libpcap")]
            found,
            #[cfg(feature = "libpcap")]
            beside: _beside,
            #[cfg(feature = "libpcap")]
            view,
        }
    }
}

impl Delivery {
    #[cfg(feature = "libpcap")]
    pub(super) fn view(&mut self) -> View {
        let (ledger, pulse) = (Arc::clone(&self.view.0), self.view.1.clone());
        let (readers, counts) = (self.spool.readers(), Arc::clone(&self.counts));
        let (shed, beside) = (self.spool.shed_counts(), std::mem::take(&mut self.beside));
        let (syncs, damage) = (self.spool.syncs(), self.spool.recovery().damage());
        let couriers = 1 + self.others.len();
        View { readers, counts, shed, damage, syncs, beside, couriers, ledger, pulse }
    }

    /// Where the collector puts alerts, and within what time it merges repeats.
    pub(super) fn spool(&mut self) -> (&mut Spool, Span) {
        (&mut self.spool, self.merge)
    }

    /// Ends it: what waits stays in the spool. A courier that is in the middle of an attempt when time is up is left behind;
    /// what it was sending is sent again, under the same identity.
    #[cfg(feature = "libpcap")]
    pub(super) fn leave(self, end_by: Instant) -> Left {
        self.stop.store(true, Ordering::Release);
        let busy = || !self.courier.is_finished() || self.others.iter().any(|other| !other.is_finished());
        while busy() && Instant::now() < end_by {
            thread::sleep(std::time::Duration::from_millis(5));
        }
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Left {
            committed: count(&self.counts.delivered),
            waiting: self.spool.readers().waiting().records(),
            held_back: count(&self.counts.withheld) + count(&self.counts.dead),
            shed: self.spool.shed_counts().total(),
            not_durable: self.spool.unsynced(),
            found: self.found,
            again: self.spool.readers().rewound() + count(&self.counts.again),
        }
    }

    /// Delivers what waits, for as long as a person waits for a replay to end.
    pub(super) fn drain(self) -> Result<screen::Delivery, Failure> {
        self.stop.store(true, Ordering::Release);
        let died = |_| Failure::Fault("the courier died: please report this".to_string());
        let mut courier = self.courier.join().map_err(died)?;
        let outcome = courier.drain(Instant::now() + DRAIN_TIME_MAX);
        Ok(screen::Delivery {
            url: self.url,
            committed: outcome.delivered,
            waiting: outcome.left,
            held_back: outcome.withheld + outcome.dead,
        })
    }
}
