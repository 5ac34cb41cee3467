//! A replay: each capture with fresh state, its workers, its collector, and what it came to.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use crossbeam_channel::{Sender, bounded};

use super::bar::{Bar, Gauge, Share};
use super::closing::{closing, document, say_shortened};
use super::delivery::{self, Delivery, Prepared};
use super::outputs::{self, Named, Opened};
use super::pace::{Pacer, Shortened, Start};
use super::{Failure, Outcome, explanation, nanos};
use crate::alert::Alert;
use crate::alert::eve;
use crate::alert::record::{Desk, Mode, Site};
use crate::capture::Batch;
use crate::capture::file::{self, Cut};
use crate::capture::pieces::{Piece, Pieces};
use crate::capture::relay::{Feeder, Stop, Tap, relay};
use crate::cli::screen::Closing;
use crate::collector::{Collected, Collector, Each, Log, Outputs, Screen};
use crate::config::{EventType, Replay};
use crate::feed;
use crate::gate;
use crate::indicator::IndicatorSet;
use crate::limits::{RELEASES_WAITING_MAX, REPORT_REFUSALS_SHOWN_MAX};
use crate::metrics::{Laps, Tally};
use crate::networks::Networks;
use crate::report::Findings;
use crate::time::Timestamp;
use crate::worker::{Orders, Release, Worker};

/// The key of shards and tables in replays: fixed, so that what a full table evicts is the same everywhere.
const REPLAY_KEY: (u64, u64) = (0x6861_6574_6165_0001, 0x6861_6574_6165_0002);

/// The key of the set's look-ups in replays, fixed as the other.
const REPLAY_SET_KEY: [u8; 16] = *b"haetae replay 01";

/// The indicators of a replay.
pub(super) struct Rules {
    pub(super) set: Arc<IndicatorSet>,
    /// Whether any were asked for.
    pub(super) given: bool,
    pub(super) refused: u64,
    /// Of these, how many for each reason.
    pub(super) reasons: BTreeMap<String, u64>,
    /// The first of them, with file and line.
    pub(super) refusals: Vec<String>,
}

/// What one capture came to.
pub(super) struct Captured {
    pub(super) name: PathBuf,
    pub(super) tally: Tally,
    pub(super) cuts: Vec<(PathBuf, Cut)>,
    pub(super) collected: Collected,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Timestamp,
    pub(super) shortened: Shortened,
}

/// What a worker brings home.
struct Read {
    tally: Tally,
    cuts: Vec<(PathBuf, Cut)>,
    first: Option<Timestamp>,
    last: Timestamp,
    shortened: Shortened,
}

/// Reads captures; prints for a person to `person` where the order asks for it.
///
/// # Errors
/// Files that cannot be used, what the configuration does not allow, and faults of the sensor itself.
pub fn replay(replay: &Replay, person: &mut dyn Write) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let captures = captures(replay)?;
    let loaded = load(replay)?;
    let mut opened = outputs::open(replay, &captures)?;
    let networks = Arc::new(replay.config.networks.clone().unwrap_or_default());
    let open = |centre| Prepared::open(centre, &replay.config, &networks, delivery::REPLAY, gate::Mode::Exercise);
    let prepared = replay.centre.as_ref().map(open).transpose()?;
    let desk = desk(replay, &networks, &loaded, prepared.as_ref())?;
    let mut delivery = prepared.map(|prepared| prepared.start(|| {}));
    let orders = orders(replay, &networks, &loaded);
    let mut all = Vec::new();
    opened.bar = Bar::begin(replay, &captures);
    let mut beside = Bar::beside(opened.bar.as_ref(), person);
    for pieces in &captures {
        if let Some((_, findings)) = &mut opened.report {
            findings.capture = all.len();
        }
        all.push(capture(replay, pieces, &orders, &desk, &mut opened, delivery.as_mut(), &mut beside)?);
    }
    drop(opened.bar.take());
    let delivered = delivery.map(Delivery::drain).transpose()?;
    let seconds = started.elapsed().as_secs_f64();
    say_shortened(&all).map_err(|error| Failure::Io("standard error".into(), error))?;
    if let Some(stats) = &mut opened.stats {
        let document = document(&all, &loaded, seconds);
        let written = writeln!(stats.writer, "{document:#}").and_then(|()| stats.writer.flush());
        written.map_err(|error| stats.failed(error))?;
    }
    if let Some((page, findings)) = &opened.report {
        let come =
            explanation::Come { replay, all: &all, loaded: &loaded, networks: &networks, left: delivered.as_ref() };
        page.write(|out| come.write(findings, out))?;
    }
    if replay.screen {
        let closing = Closing {
            language: replay.config.site.language.name(),
            alike: opened.shown.more,
            ..closing(&all, &loaded, &networks, delivered, seconds)
        };
        closing.write(person).map_err(|error| Failure::Io("the screen".into(), error))?;
    }
    outcome(&all)
}

fn outcome(all: &[Captured]) -> Result<Outcome, Failure> {
    for captured in all {
        if captured.tally.unaccounted() != 0 {
            let (path, frames) = (captured.name.display(), captured.tally.unaccounted());
            return Err(Failure::Fault(format!("{path}: {frames} frames unaccounted for: please report this")));
        }
    }
    let matched = all.iter().any(|captured| captured.collected.alerts > 0);
    Ok(Outcome { matched, damaged: all.iter().any(|captured| !captured.cuts.is_empty()) })
}

/// The captures, each as its pieces.
pub(super) fn captures(replay: &Replay) -> Result<Vec<Vec<PathBuf>>, Failure> {
    let mut found = Vec::new();
    for path in &replay.paths {
        let captures = file::captures(path).map_err(|error| Failure::Io(path.clone(), error))?;
        if captures.is_empty() {
            let none = io::Error::new(io::ErrorKind::NotFound, "no capture in this folder");
            return Err(Failure::Io(path.clone(), none));
        }
        found.extend(captures);
    }
    if replay.continuous {
        return Ok(vec![found]);
    }
    Ok(found.into_iter().map(|path| vec![path]).collect())
}

pub(super) fn load(replay: &Replay) -> Result<Rules, Failure> {
    let policy = replay.config.policy(REPLAY_SET_KEY);
    let loaded = feed::load(&replay.rules, &policy).map_err(Failure::of_rules)?;
    let refused = loaded.refused.values().sum();
    let told = crate::cli::lookup::refused(&loaded.refusals, refused, replay.verbose, &mut io::stderr());
    told.map_err(|error| Failure::Io("standard error".into(), error))?;
    loaded.some_left().map_err(Failure::of_rules)?;
    let refusals = loaded.refusals.iter().take(REPORT_REFUSALS_SHOWN_MAX).map(ToString::to_string).collect();
    let (set, given) = (Arc::new(loaded.set), !replay.rules.is_empty());
    Ok(Rules { set, given, refused, reasons: loaded.refused, refusals })
}

pub(super) fn desk(
    replay: &Replay,
    networks: &Arc<Networks>,
    loaded: &Rules,
    delivery: Option<&Prepared>,
) -> Result<Desk, Failure> {
    let site = &replay.config.site;
    let own = delivery::own_key(&replay.config)?;
    let key = match delivery {
        Some(delivery) => delivery.key().to_vec(),
        // nothing leaves: identities only tell alerts of one replay apart, and are the same each time
        None => own.unwrap_or_else(|| REPLAY_KEY.0.to_be_bytes().to_vec()),
    };
    Ok(Desk::new(Site {
        id: site.id.clone(),
        sensor: delivery::REPLAY.to_string(),
        language: site.language.name().to_string(),
        key,
        networks: Arc::clone(networks),
        mode: if delivery.is_some() { Mode::Exercise } else { Mode::Replay },
        set: super::version_of(&loaded.set),
        ..Site::default()
    }))
}

pub(super) fn orders(replay: &Replay, networks: &Arc<Networks>, loaded: &Rules) -> Orders {
    let events = replay.events.is_some() || replay.events_dir.is_some();
    let listed = if replay.log_dir.is_some() { &replay.config.outputs.events[..] } else { &[] };
    let logged = super::logged(listed);
    let set = Arc::clone(&loaded.set);
    let wants = super::wants(&replay.config, &set, &logged, events);
    let settings = super::settings(&replay.config, REPLAY_KEY, wants);
    Orders {
        index: 0,
        workers: replay.workers,
        live: false,
        settings,
        events,
        logged,
        timeline: replay.report.is_some(),
        networks: Arc::clone(networks),
        set,
        desk: None,
        waiting: Arc::default(),
        provoke: replay.provoke.clone(),
    }
}

/// Whether `-l` writes records of this type.
fn logs(replay: &Replay, event: EventType) -> bool {
    replay.config.outputs.events.contains(&event)
}

/// One capture, from its first frame to its last revision.
fn capture(
    replay: &Replay,
    pieces: &[PathBuf],
    orders: &Orders,
    desk: &Desk,
    opened: &mut Opened,
    delivery: Option<&mut Delivery>,
    person: &mut dyn Write,
) -> Result<Captured, Failure> {
    let name = pieces.first().cloned().unwrap_or_default();
    let measured = |path: &PathBuf| Piece::measured(path).map_err(|error| Failure::Io(path.clone(), error));
    let pieces: Vec<Piece> = pieces.iter().map(measured).collect::<Result<_, _>>()?;
    let case = opened.cases.next().unwrap_or_default();
    let mut own = replay.events_dir.as_deref().map(|folder| outputs::of_capture(folder, &case)).transpose()?;
    let desk = desk.salted(name.file_name().unwrap_or_default().as_encoded_bytes());
    let gauge = opened.bar.as_ref().map(|bar| Arc::clone(&bar.gauge));
    let mut note = noted(opened.report.as_mut().map(|(_, findings)| findings), gauge.as_deref());
    let channels = (0..replay.workers).map(|_| bounded::<Release>(RELEASES_WAITING_MAX));
    let (sends, releases): (Vec<_>, Vec<_>) = channels.unzip();
    let pieces = &pieces[..];
    let (mut feeder, taps) = relay(pieces, replay.workers);
    if let (Some(feeder), Some(gauge)) = (&mut feeder, &gauge) {
        feeder.count_into(&gauge.fed);
    }
    let begun = Start::now();
    let (fed, reads, collected) = thread::scope(|scope| {
        let start = |((index, send), tap)| {
            let orders = Orders { index, ..orders.clone() };
            let pacer = replay.pace.map(|pace| Pacer::new(pace, &begun));
            let share = gauge.as_deref().filter(|_| index == 0).map(Gauge::share);
            scope.spawn(move || work(pieces, tap, orders, (send, replay.batch), pacer, share))
        };
        let workers: Vec<_> = sends.into_iter().enumerate().zip(taps).map(start).collect();
        let stop = feeder.as_ref().map(Feeder::stopper);
        let feeding = feeder.map(|feeder| scope.spawn(move || feeder.run().map_err(Failure::from)));
        let outputs = Outputs {
            alerts: opened.alerts.as_mut().map(|output| output as &mut dyn Write),
            events: opened.events.as_mut().map(|output| output as &mut dyn Write),
            all: own.as_mut().map(|output| output as &mut dyn Write),
            log: opened.log.as_mut().map(|output| Log { writer: output, alerts: logs(replay, EventType::Alert) }),
            each: note.as_deref_mut().map(|note| note as Each<'_>),
            screen: replay.screen.then_some(Screen { out: person, shown: &mut opened.shown }),
            spool: delivery.map(Delivery::spool),
        };
        let collected = Collector::new(&desk, outputs).run(&releases);
        drop(releases); // a collector that failed leaves nobody waiting
        if collected.is_err() {
            begun.hurry();
            stop.iter().for_each(Stop::stop);
        }
        let reads = workers.into_iter().map(join).collect::<Result<Vec<_>, _>>();
        (feeding.map_or(Ok(()), join), reads, collected)
    });
    fed?;
    let collected = collected.map_err(|error| Failure::Io("the outputs".into(), error));
    let captured = together(name, reads?, collected?);
    let log = opened.log.as_mut().filter(|_| logs(replay, EventType::Stats));
    let outputs = log.into_iter().chain(&mut opened.events).chain(&mut own);
    say_stats(&captured, outputs).map(|()| captured)
}

fn say_stats<'a>(captured: &Captured, outputs: impl Iterator<Item = &'a mut Named>) -> Result<(), Failure> {
    for output in outputs {
        let written = output.writer.write_all(&stats_line(captured)).and_then(|()| output.writer.flush());
        written.map_err(|error| output.failed(error))?;
    }
    Ok(())
}

/// Is shown each alert in its last revision.
type Note<'a> = Box<dyn FnMut(&Alert, &Desk) + 'a>;

/// Whoever wants to see alerts, together.
fn noted<'a>(mut findings: Option<&'a mut Findings>, gauge: Option<&'a Gauge>) -> Option<Note<'a>> {
    if findings.is_none() && gauge.is_none() {
        return None;
    }
    Some(Box::new(move |alert, desk| {
        gauge.inspect(|gauge| gauge.alerted());
        if let Some(findings) = &mut findings {
            findings.take(alert, desk);
        }
    }))
}

/// A worker's thread: read, breathe, and at the end finish. Frames that wait for their time come one by one: a batch would
/// hold the first until the last is due.
fn work(
    pieces: &[Piece],
    tap: Option<Tap>,
    orders: Orders,
    (send, batch): (Sender<Release>, usize),
    mut pacer: Option<Pacer<'_>>,
    mut share: Option<Share<'_>>,
) -> Result<Read, Failure> {
    let batch = if pacer.is_some() { 1 } else { batch };
    let mut source = Pieces::open(pieces, tap)?;
    let mut worker = Worker::new(orders, send, Laps::new(nanos));
    let (mut first, mut last) = (None, Timestamp::default());
    loop {
        let frames = source.poll(worker.budget(batch))?;
        if let Some(end) = frames.len().checked_sub(1) {
            first = first.or(Some(frames.frame(0).time));
            last = frames.frame(end).time;
            if let Some(pacer) = &mut pacer {
                pacer.await_turn(last);
            }
            alive(&mut worker, &frames)?;
            if let Some(share) = &mut share {
                share.done(source.own_bytes(), end + 1);
            }
        } else if !source.advance()? {
            let shortened = pacer.map(|pacer| pacer.shortened()).unwrap_or_default();
            return Ok(Read { tally: worker.finish(), cuts: source.into_cuts(), first, last, shortened });
        }
    }
}

/// A batch; a worker that dies of it is a fault of ours, which says of which frame, so that it can be mended.
fn alive(worker: &mut Worker, frames: &Batch<'_>) -> Result<(), Failure> {
    let breathed = catch_unwind(AssertUnwindSafe(|| worker.breathe(frames)));
    breathed.map_err(|died| {
        let of = match worker.in_work(frames) {
            Some(number) => format!("frame {number}"),
            None => format!("frames {} to {}", frames.frame(0).number, frames.frame(frames.len() - 1).number),
        };
        Failure::Fault(format!("a thread died of {of}: {}: please report this", said(died.as_ref())))
    })
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason given")
}

pub(super) fn join<T>(thread: ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|panic| {
        Err(Failure::Fault(format!("a thread died: {}: please report this", said(panic.as_ref()))))
    })
}

fn together(name: PathBuf, reads: Vec<Read>, collected: Collected) -> Captured {
    let mut captured = Captured {
        name,
        tally: Tally::default(),
        cuts: Vec::new(),
        collected,
        first: None,
        last: Timestamp::default(),
        shortened: Shortened::default(),
    };
    for read in reads {
        captured.tally.join(&read.tally);
        captured.cuts = read.cuts; // every worker has read the same
        captured.first = read.first;
        captured.last = read.last;
        captured.shortened = read.shortened;
    }
    captured
}

fn stats_line(captured: &Captured) -> Vec<u8> {
    let tally = &captured.tally;
    let seconds = captured.first.map_or(0, |first| captured.last.since(first).as_seconds().max(0));
    let totals = eve::Totals {
        packets: tally.handed,
        bytes: tally.bytes,
        malformed: tally.fates.malformed(),
        kernel_packets: None,
        kernel_drops: None,
        flows: tally.flows.began,
        gaps: tally.streams.gaps,
        alerts: tally.alerts,
        uptime_seconds: seconds as u64,
    };
    let mut line = Vec::new();
    eve::write_stats(&mut line, captured.last, &totals);
    line
}
