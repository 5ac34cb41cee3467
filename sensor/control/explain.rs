//! What `haetae explain` needs of a capture: replayed by one worker, a frame at a time, until the alert is there, and on to
//! its last revision.
//!
//! In: a replay's order and the digits of an id. Out: an [`Exhibit`] (the frame, what was seen in it, what policy said), or
//! the ids that are there instead. Never here: a word for a person.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, unbounded};

use super::replay::{self, Rules};
use super::{Failure, nanos};
use crate::alert::Alert;
use crate::alert::record::Desk;
use crate::alert::words::printable;
use crate::capture::pieces::{Piece, Pieces};
use crate::capture::relay::{Feeder, Stop, Tap, relay};
use crate::capture::{Frame, Link};
use crate::config::Replay;
use crate::decode::{Fate, Layer, Packet, layers};
use crate::flow::Scene;
use crate::indicator::{Circumstances, Entry, IndicatorSet, Refusal};
use crate::limits::{EXPLAIN_LINE_BYTES_MAX, EXPLAIN_MATCHES_MAX, EXPLAIN_NEAR_MAX, EXPLAIN_SIGHTS_MAX};
use crate::metrics::Laps;
use crate::networks::Networks;
use crate::observable::{Event, Field, Side, Stage, Value};
use crate::time::Timestamp;
use crate::worker::{Glimpse, Orders, Release, Worker};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The alert whose id begins with these lower-case digits.
    Alert(&'a str),
    /// Every alert's id, a line each.
    Ids,
}

/// What came of it.
pub enum Answer {
    /// The alert.
    Found(Box<Found>),
    /// Several alerts have ids that begin so.
    Ambiguous(Vec<String>),
    /// None has; these come nearest, of so many.
    Unknown {
        /// Ids.
        near: Vec<String>,
        /// Alerts of all captures.
        alerts: u64,
    },
    /// All ids were printed; so many.
    Listed(u64),
}

/// An alert with everything that explains it.
pub struct Found {
    /// What was seen.
    pub exhibit: Exhibit,
    /// The set that was asked.
    pub set: Arc<IndicatorSet>,
    /// What is inside.
    pub networks: Arc<Networks>,
    /// Where the alert's record is written.
    pub desk: Desk,
}

/// An alert, the frame of its first sighting, and what was seen there.
pub struct Exhibit {
    /// The capture.
    pub capture: PathBuf,
    /// Its id.
    pub id: String,
    /// The frame; `None`: it was met as its flow ended, by no frame of its own.
    pub frame: Option<Kept>,
    /// What met the alert's indicator.
    pub sight: Sight,
    /// What else was met at the same packet, admitted or refused.
    pub beside: Vec<Sight>,
    /// Its first revision.
    pub first: Alert,
    /// Its last.
    pub last: Option<Alert>,
}

/// A frame, kept beyond its batch.
pub struct Kept {
    /// See [`Frame`].
    pub number: u64,
    /// See [`Frame`].
    pub time: Timestamp,
    /// See [`Frame`].
    pub bytes: Vec<u8>,
    /// See [`Frame`].
    pub length: u32,
    /// See [`Frame`].
    pub link: Link,
    /// What became of it.
    pub fate: Fate,
    /// Its headers.
    pub layers: Vec<Layer>,
    /// Its innermost packet, and that packet's payload.
    pub packet: Option<(Packet, Vec<u8>)>,
}

/// A field as it was seen.
pub struct Said {
    /// Its row.
    pub field: &'static Field,
    /// As the wire had it; empty for numbers.
    pub raw: Vec<u8>,
    /// As it was looked up; empty: it was not.
    pub canonical: Vec<u8>,
    /// A number or flag.
    pub number: u64,
}

/// A hit, kept beyond its batch.
pub struct Sight {
    /// What was met.
    pub entry: Entry,
    /// The event, and who spoke.
    pub event: (&'static Event, Side),
    /// How far the event says that the contact went.
    pub stage: Option<Stage>,
    /// All its fields.
    pub said: Vec<Said>,
    /// Which of them met the entry.
    pub field: usize,
    /// When, and in which flow as it stood.
    pub scene: Scene,
    /// What policy was told.
    pub circumstances: Circumstances,
    /// Why it raised nothing.
    pub refused: Option<Refusal>,
    /// Whether it was met as its flow ended in a sweep.
    pub at_end: bool,
    /// The alert that it raised.
    pub alert: Option<Box<Alert>>,
}

impl Sight {
    fn of(glimpse: &Glimpse<'_>) -> Sight {
        let all = glimpse.observations;
        let said = all.fields(glimpse.observation).iter().map(|seen| Said {
            field: seen.field,
            raw: all.raw(seen).to_vec(),
            canonical: all.canonical(seen).to_vec(),
            number: all.number(seen),
        });
        Sight {
            entry: glimpse.hit.entry,
            event: (glimpse.observation.event, glimpse.observation.side),
            stage: glimpse.observation.stage,
            said: said.collect(),
            field: glimpse.hit.field as usize,
            scene: *glimpse.scene,
            circumstances: glimpse.circumstances,
            refused: glimpse.refused,
            at_end: glimpse.phase != 0,
            alert: glimpse.alert.cloned().map(Box::new),
        }
    }

    /// The field that met the entry.
    pub fn met(&self) -> Option<&Said> {
        self.said.get(self.field)
    }
}

impl Said {
    /// As policy looks at it.
    pub fn value(&self) -> Value<'_> {
        Value { field: self.field, raw: &self.raw, canonical: &self.canonical }
    }
}

/// What the worker's witness has seen since the frame before.
#[derive(Default)]
struct Seen {
    sights: Vec<Sight>,
    /// The ids that begin as asked, each with its place in `sights`.
    wanted: Vec<(String, usize)>,
}

/// Looks for the alert; prints ids to `out` where they are asked for.
///
/// # Errors
/// As those of a replay.
pub fn explain(replay: &Replay, asked: Asked<'_>, out: &mut dyn Write) -> Result<Answer, Failure> {
    let captures = replay::captures(replay)?;
    let loaded = replay::load(replay)?;
    let networks = Arc::new(replay.config.networks.clone().unwrap_or_default());
    let desk = replay::desk(replay, &networks, &loaded, None)?;
    let orders = replay::orders(replay, &networks, &loaded);
    let mut search = Search { asked, out, alerts: 0, near: Vec::new(), ids: Vec::new(), found: Vec::new() };
    for pieces in &captures {
        let name = pieces.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
        let desk = desk.salted(name.file_name().unwrap_or_default().as_encoded_bytes());
        let before = search.found.len();
        search.capture(pieces, &orders, &desk)?;
        search.found[before..].iter_mut().for_each(|exhibit| exhibit.capture = name.to_path_buf());
        if search.found.iter().any(|exhibit| asked == Asked::Alert(&exhibit.id)) {
            break; // the whole id: no other capture can have a better one
        }
    }
    Ok(search.answer(&loaded, networks, &desk))
}

/// What is looked for, and what was found so far.
struct Search<'a> {
    asked: Asked<'a>,
    out: &'a mut dyn Write,
    alerts: u64,
    /// The ids that share most digits with the one asked for, the nearest first.
    near: Vec<String>,
    /// The ids that begin as asked.
    ids: Vec<String>,
    found: Vec<Exhibit>,
}

impl Search<'_> {
    fn answer(mut self, loaded: &Rules, networks: Arc<Networks>, desk: &Desk) -> Answer {
        if self.asked == Asked::Ids {
            return Answer::Listed(self.alerts);
        }
        self.ids.sort();
        self.ids.dedup();
        if self.ids.len() > 1 {
            return Answer::Ambiguous(self.ids);
        }
        if self.found.is_empty() {
            return Answer::Unknown { near: self.near, alerts: self.alerts };
        }
        let exhibit = self.found.swap_remove(0);
        let desk = desk.salted(exhibit.capture.file_name().unwrap_or_default().as_encoded_bytes());
        Answer::Found(Box::new(Found { exhibit, set: Arc::clone(&loaded.set), networks, desk }))
    }

    /// One capture, with fresh state.
    fn capture(&mut self, paths: &[PathBuf], orders: &Orders, desk: &Desk) -> Result<(), Failure> {
        let measured = |path: &PathBuf| Piece::measured(path).map_err(|error| Failure::Io(path.clone(), error));
        let pieces: Vec<Piece> = paths.iter().map(measured).collect::<Result<_, _>>()?;
        let (feeder, mut taps) = relay(&pieces, 1);
        thread::scope(|scope| {
            let stop = feeder.as_ref().map(Feeder::stopper);
            let feeding = feeder.map(|feeder| scope.spawn(move || feeder.run().map_err(Failure::from)));
            let read = self.read(&pieces, taps.pop().flatten(), orders, desk);
            if read.is_err() {
                stop.iter().for_each(Stop::stop);
            }
            feeding.map_or(Ok(()), replay::join)?;
            read
        })
    }

    fn read(&mut self, pieces: &[Piece], tap: Option<Tap>, orders: &Orders, desk: &Desk) -> Result<(), Failure> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        // emptied after every frame; what the end of a capture leaves is bounded as all open contacts are
        let (send, releases) = unbounded();
        let witness = witness(self.asked, desk, Arc::clone(&seen));
        let mut worker = Worker::new(orders.clone(), send, Laps::new(nanos)).shown_to(witness);
        let mut source = Pieces::open(pieces, tap)?;
        loop {
            let frames = source.poll(worker.budget(1))?;
            let Some(frame) = frames.frames().next() else {
                if source.advance()? {
                    continue;
                }
                break;
            };
            worker.breathe(&frames);
            self.take(&seen, Some((&worker, &frame)));
            self.drain(&releases, desk)?;
        }
        worker.finish();
        self.take(&seen, None);
        self.drain(&releases, desk)
    }

    /// Takes what was seen at a frame, or as the capture ended.
    fn take(&mut self, seen: &Mutex<Seen>, at: Option<(&Worker, &Frame<'_>)>) {
        let Seen { sights, wanted } = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        let room = EXPLAIN_MATCHES_MAX.saturating_sub(self.ids.len());
        self.ids.extend(wanted.iter().take(room).map(|(id, _)| id.clone()));
        let Some((id, place)) = wanted.into_iter().next().filter(|_| room > 0) else { return };
        let mut beside = sights;
        let mut sight = beside.remove(place);
        let Some(first) = sight.alert.take() else { return };
        beside.retain(|other| other.scene.packet == sight.scene.packet && other.at_end == sight.at_end);
        let frame = at.filter(|_| !sight.at_end).map(|(worker, frame)| Kept::of(worker, frame));
        self.found.push(Exhibit { capture: PathBuf::new(), id, frame, sight, beside, first: *first, last: None });
    }

    /// Takes the last revisions of alerts.
    fn drain(&mut self, releases: &Receiver<Release>, desk: &Desk) -> Result<(), Failure> {
        for alert in releases.try_iter().flat_map(|release| release.alerts) {
            if !alert.is_final() {
                continue;
            }
            self.alerts += 1;
            let id = desk.id(&alert);
            match self.asked {
                Asked::Ids => self.list(&id, &alert, desk)?,
                Asked::Alert(digits) if id.starts_with(digits) => {
                    let found = self.found.iter_mut().filter(|exhibit| exhibit.id == id && exhibit.last.is_none());
                    found.for_each(|exhibit| exhibit.last = Some(alert.clone()));
                }
                Asked::Alert(digits) => self.note_near(id, digits),
            }
        }
        Ok(())
    }

    fn list(&mut self, id: &str, alert: &Alert, desk: &Desk) -> Result<(), Failure> {
        let sentence = desk.reading(alert).sentence(alert);
        let line = format!("{id}  {}  packet {}  {sentence}", alert.first.eve(), alert.packet);
        let written = writeln!(self.out, "{}", printable(line.as_bytes(), EXPLAIN_LINE_BYTES_MAX));
        written.map_err(|error| Failure::Io("standard output".into(), error))
    }

    fn note_near(&mut self, id: String, digits: &str) {
        let alike = |id: &str| id.bytes().zip(digits.bytes()).filter(|(one, other)| one == other).count();
        let at = self.near.partition_point(|known| alike(known) >= alike(&id));
        self.near.insert(at, id);
        self.near.truncate(EXPLAIN_NEAR_MAX);
    }
}

impl Kept {
    fn of(worker: &Worker, frame: &Frame<'_>) -> Kept {
        Kept {
            number: frame.number,
            time: frame.time,
            bytes: frame.bytes.to_vec(),
            length: frame.length,
            link: frame.link,
            fate: worker.fate(0),
            layers: layers(frame),
            packet: worker.packet(0, frame).map(|(packet, payload)| (*packet, payload.to_vec())),
        }
    }
}

/// Keeps the hits of a packet, so many, and the alert that is asked for in any case.
fn witness(asked: Asked<'_>, desk: &Desk, seen: Arc<Mutex<Seen>>) -> crate::worker::Witness {
    let digits = match asked {
        Asked::Alert(digits) => digits.to_owned(),
        Asked::Ids => return Box::new(|_| ()),
    };
    let desk = desk.clone();
    Box::new(move |glimpse| {
        let id = glimpse.alert.map(|alert| desk.id(alert)).filter(|id| id.starts_with(&digits));
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if id.is_none() && seen.sights.len() >= EXPLAIN_SIGHTS_MAX || seen.wanted.len() >= EXPLAIN_MATCHES_MAX {
            return;
        }
        let place = seen.sights.len();
        seen.wanted.extend(id.map(|id| (id, place)));
        seen.sights.push(Sight::of(glimpse));
    })
}
