//! The path of a packet on one screen.
//!
//! A worker owns some of the 256 shards and runs each batch to completion in three sweeps: unpack (decode, hash, fetch),
//! follow (per packet, in order: flow, then parser), ask (look-ups of the whole batch, then alerts and events, in order).
//! In: frames; live also packets that other workers received (`live.rs`). Out: one [`Release`] an epoch. Never here: a lock,
//! a clock of its own, an allocation per packet.

mod addresses;
mod again;
mod contact;
mod live;
mod release;
mod restart;
mod specimen;
mod steer;
#[cfg(test)]
mod tests;
pub mod timeline;
mod wary;
mod witness;

use addresses::addresses_of;
use contact::Asked;
pub use release::{Place, Record, Release, Room, Way};
use restart::{Asking, Stage};
pub use restart::{Casualty, Cause, doing};
pub use specimen::Specimen;
pub use steer::{Inbox, Outbox, ring};
use wary::Wary;
pub use witness::{Glimpse, Witness};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crossbeam_channel::{Receiver, Sender};

use crate::alert::record::Desk;
use crate::alert::{Contacts, eve};
use crate::capture::{Batch, Frame};
use crate::decode::shard::Shard;
use crate::decode::{Fate, Fragments, Packet, decode, peek};
use crate::flow::{Effort, Ended, Flows, Moment, Settings, Step, Ticket, Trail};
use crate::indicator::{AddressQuestion, Admitted, Hit, IndicatorSet, Questions};
use crate::leash::{Leash, Provoke};
use crate::limits::{BATCH_FRAMES_MAX, EPOCH_PACKETS, SHARDS};
use crate::metrics::{Laps, Tally};
use crate::networks::Networks;
use crate::observable::Observations;

/// What a worker is told.
#[derive(Clone)]
pub struct Orders {
    /// Which of the workers it is, from 0.
    pub index: usize,
    /// How many there are.
    pub workers: usize,
    /// On a link: what another owns is handed to it, and time passes by itself. Else each worker reads every packet.
    pub live: bool,
    /// Bounds and keys of flows.
    pub settings: Settings,
    /// Whether events of all types are put out.
    pub events: bool,
    /// Types of events that are put out in any case: those that the site's log lists.
    pub logged: Vec<&'static str>,
    /// Whether it is counted when things happened.
    pub timeline: bool,
    /// What is inside, and what is never watched.
    pub networks: Arc<Networks>,
    /// What is looked for.
    pub set: Arc<IndicatorSet>,
    /// Where records of its alerts are written, where that changes with the set; the collector's own otherwise.
    pub desk: Option<Arc<Desk>>,
    /// Alerts on their way from any of the workers to the collector.
    pub waiting: Arc<AtomicU64>,
    /// What it is made to fail at.
    pub provoke: Option<Provoke>,
}

/// One packet between the sweeps.
struct Unpacked {
    at: usize,
    packet: Packet,
    ticket: Ticket,
}

/// See the head of this file.
pub struct Worker {
    orders: Orders,
    /// Which shards it owns: every so many, so that shares stay even.
    owned: [bool; SHARDS],
    fragments: Fragments,
    flows: Flows,
    contacts: Contacts,
    release: Release,
    release_to: Sender<Release>,
    /// Both ends of the way back of what was put out.
    rooms: (Way, Receiver<Room>),
    /// Address hits whose indicators are not valid yet, by flow: asked again when the flow ends.
    early: BTreeMap<u64, Vec<Hit>>,
    /// Shards whose open flows have been asked for what this set lists: all, unless it is new.
    shards_asked: usize,
    /// Whether the machine's clock is in doubt.
    clock_suspect: bool,
    /// How much is read: all, in a replay always.
    effort: Effort,
    /// Live: rings to and from the other workers.
    outboxes: Vec<Option<Outbox>>,
    inboxes: Vec<(usize, Inbox)>,
    /// Releases under orders that hold no more, for which there was no room yet.
    late: Vec<Release>,
    handed: Vec<steer::Handed>,
    payloads: Vec<u8>,
    tally: Tally,
    laps: Laps,
    /// What it works on, for who finds it dead (`restart.rs`), and what it does not trust.
    leash: Leash,
    turn: u64,
    wary: Wary,
    /// What is to be read again of what it had in hand when it died.
    again: again::Again,
    /// What was counted before it last began again.
    before: Tally,
    // room that every batch uses again
    fates: Vec<Fate>,
    unpacked: Vec<Unpacked>,
    trail: Trail,
    questions: Vec<AddressQuestion>,
    room: Questions,
    address_hits: Vec<Hit>,
    hits: Vec<Hit>,
    admitted: Admitted,
    addresses: Observations,
    /// Whoever asks why; nobody on a link.
    witness: Option<Witness>,
}

impl Worker {
    /// A worker before its first batch.
    pub fn new(orders: Orders, release_to: Sender<Release>, laps: Laps) -> Self {
        let mut trail = Trail::default();
        trail.observations.seek_only(|kind| orders.set.seeks(kind));
        let (wary, rooms) = (Wary::new(orders.provoke.clone(), Leash::default()), release::rooms(&orders.waiting));
        Worker {
            owned: std::array::from_fn(|shard| shard % orders.workers == orders.index),
            fragments: Fragments::new(orders.settings.key),
            flows: Flows::new(orders.settings),
            contacts: Contacts::default(),
            release: Release { desk: orders.desk.clone(), back: Some(rooms.0.clone()), ..Release::default() },
            orders,
            release_to,
            rooms,
            early: BTreeMap::new(),
            shards_asked: SHARDS,
            clock_suspect: false,
            effort: Effort::default(),
            late: Vec::new(),
            outboxes: Vec::new(),
            inboxes: Vec::new(),
            handed: Vec::new(),
            payloads: Vec::new(),
            tally: Tally::default(),
            laps,
            leash: Leash::default(),
            turn: 1,
            wary,
            again: again::Again::default(),
            before: Tally::default(),
            fates: Vec::with_capacity(BATCH_FRAMES_MAX),
            unpacked: Vec::with_capacity(BATCH_FRAMES_MAX),
            trail,
            questions: Vec::new(),
            room: Questions::default(),
            address_hits: Vec::new(),
            hits: Vec::new(),
            admitted: Admitted::default(),
            addresses: Observations::default(),
            witness: None,
        }
    }

    /// How many frames the next batch may have: batches end where epochs do.
    pub fn budget(&self, batch: usize) -> usize {
        batch.min((EPOCH_PACKETS - self.tally.handed % EPOCH_PACKETS) as usize)
    }

    /// A batch, from frames to records.
    pub fn breathe(&mut self, batch: &Batch<'_>) {
        self.laps.lap(0);
        self.unpack(batch);
        self.laps.lap(1);
        self.follow(batch);
        self.laps.lap(2);
        self.ask(0);
        self.account(batch);
        self.laps.lap(3);
        self.turn();
        if let Some(last) = batch.len().checked_sub(1).filter(|_| !self.orders.live) {
            self.release.reached = batch.frame(last).time;
        }
        if !self.orders.live && self.tally.handed.is_multiple_of(EPOCH_PACKETS) {
            self.flows.find_idle(self.release.epoch);
            self.end_found(u64::MAX, Ended::Timeout);
            self.hand_over();
        }
        self.laps.lap(4);
    }

    /// The capture has ended: so have all flows.
    pub fn finish(mut self) -> Tally {
        self.flows.find_all();
        if self.orders.live {
            self.finish_live();
        }
        // all flows at once could be more than memory should hold: an epoch's worth of them is handed over at a time
        for before in (0..=self.tally.handed).step_by(EPOCH_PACKETS as usize) {
            self.end_found(before.saturating_add(EPOCH_PACKETS), Ended::Shutdown);
            self.hand_over();
        }
        self.laps.lap(4);
        self.tally()
    }

    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        tally.flows = self.flows.counts();
        tally.flows_open = self.flows.open() as u64;
        tally.effort = self.effort as u64;
        tally.streams = self.flows.stream_counts();
        tally.take_fragments(&self.fragments);
        tally.contacts.add(self.contacts.sightings());
        tally.values_refused = self.trail.observations.refused();
        tally.patterns_shed = self.room.shed();
        tally.hidden = self.trail.observations.hidden;
        tally.nanos = self.laps.nanos;
        tally.append(&self.before);
        tally
    }

    /// First sweep: headers off, shards and hashes known, memory on its way.
    fn unpack(&mut self, batch: &Batch<'_>) {
        self.fates.clear();
        self.fates.resize(batch.len(), Fate::Unaccounted);
        self.unpacked.clear();
        self.fragments.next_batch();
        for (at, frame) in batch.frames().enumerate() {
            self.work(Stage::Unpack, at);
            self.fates[at] = match self.unpack_one(at, &frame, batch.port()) {
                Ok(fate) | Err(fate) => fate,
            };
        }
        for unpacked in &self.unpacked {
            self.flows.fetch_flow(&unpacked.ticket);
        }
    }

    fn unpack_one(&mut self, at: usize, frame: &Frame<'_>, port: u8) -> Result<Fate, Fate> {
        self.wary.meet(frame)?;
        let all_read_all = self.orders.workers > 1 && !self.orders.live;
        let peeked = if all_read_all { peek(frame) } else { None }.map(|(one, other)| self.flows.shard(&one, &other));
        if peeked.is_some_and(|shard| !self.owns(shard)) {
            return Ok(Fate::Elsewhere);
        }
        // what gives no packet and no pair: its number says who accounts for it
        let odd_owner = peeked.unwrap_or(Shard(frame.number as u8));
        let decoded = decode(frame, &mut self.fragments);
        let is_mine = !all_read_all || self.owns(odd_owner);
        let packet = decoded.map_err(|fate| if is_mine { fate } else { Fate::Elsewhere })?;
        let ticket = self.flows.ticket(&packet, peeked).by(port);
        if all_read_all && !self.owns(ticket.shard()) {
            return Ok(Fate::Elsewhere);
        }
        if !self.orders.networks.watches_everything() && self.is_never_watched(&packet) {
            return Ok(Fate::NeverWatched);
        }
        if !self.owns(ticket.shard()) {
            return Ok(self.hand_off(frame, packet, ticket));
        }
        self.flows.fetch_slot(&ticket);
        self.unpacked.push(Unpacked { at, packet, ticket });
        Ok(Fate::Unaccounted) // until it has been followed
    }

    /// Second sweep: each packet in order to its flow, its bytes to the flow's conversation.
    fn follow(&mut self, batch: &Batch<'_>) {
        self.trail.clear();
        for Unpacked { at, packet, ticket } in &self.unpacked {
            self.work(Stage::Follow, *at);
            let frame = batch.frame(*at);
            let payload = packet.payload(frame.bytes, &self.fragments);
            let moment = Moment { packet: frame.number, time: frame.time };
            self.fates[*at] = self.wary.follow(&mut self.flows, moment, (packet, ticket, payload), &mut self.trail);
        }
    }

    fn account(&mut self, batch: &Batch<'_>) {
        self.tally.handed += batch.len() as u64;
        for (fate, frame) in self.fates.iter().zip(batch.frames()).filter(|(fate, _)| **fate != Fate::Elsewhere) {
            self.tally.fates.count(*fate);
            self.tally.bytes += u64::from(frame.length);
            self.tally.truncated += u64::from((frame.length as usize) > frame.bytes.len());
            if self.orders.timeline {
                self.tally.timeline.count(frame.time, timeline::FRAMES, 1);
                self.tally.timeline.count(frame.time, timeline::BYTES, u64::from(frame.length));
            }
        }
    }

    /// Third sweep: all values of the batch to the set at once; then, in order, what comes of it.
    fn ask(&mut self, phase: u8) {
        self.work(Stage::LookUp, 0);
        self.look_up();
        let mut asking = Asking::of(self);
        let Asking { worker, trail } = &mut asking;
        let (mut address_hit, mut hit) = (0, 0);
        for (at, step) in trail.steps.iter().enumerate() {
            worker.work(Stage::Ask, at);
            match *step {
                Step::Began { scene } => {
                    worker.began(at as u32, &trail.scenes[scene as usize], phase, &mut address_hit);
                }
                Step::Observed { first, last } => worker.observed(trail, first, last, phase, &mut hit),
                Step::Ended { scene, how } => worker.ended(&trail.scenes[scene as usize], how, phase),
                Step::Knocked { knock } => {
                    worker.knocked(at as u32, &trail.knocks[knock as usize], phase, &mut address_hit);
                }
                Step::Lapsed { knock, how } => worker.lapsed(&trail.knocks[knock as usize], how, phase),
            }
        }
        worker.tally.observations += trail.observations.len() as u64;
        trail.steps.clear();
    }

    fn look_up(&mut self) {
        self.wary.ask();
        self.hits.clear();
        self.address_hits.clear();
        self.questions.clear();
        if self.orders.set.is_empty() {
            return;
        }
        for at in 0..self.trail.steps.len() {
            match self.trail.steps[at] {
                Step::Began { scene } => self.question(at as u32, addresses_of(&self.trail.scenes[scene as usize])),
                Step::Knocked { knock } => {
                    let (client, server) = self.trail.knocks[knock as usize].ends();
                    self.question(at as u32, [Some(client), Some(server)]);
                }
                _ => {}
            }
        }
        self.orders.set.look_up_addresses(&self.questions, &mut self.room, &mut self.address_hits);
        self.orders.set.look_up(&self.trail.observations, &mut self.room, &mut self.hits);
        self.tally.hits += (self.address_hits.len() + self.hits.len()) as u64;
    }

    fn observed(&mut self, trail: &Trail, first: u32, last: u32, phase: u8, next: &mut usize) {
        for at in first..last {
            let observation = &trail.observations.list()[at as usize];
            let scene = &trail.scenes[observation.scene as usize];
            // without a field it only says how far the contact went: no event for anyone to read
            if !trail.observations.fields(observation).is_empty() {
                self.say(observation.event.name, scene, phase, |out| {
                    eve::write_event(out, &trail.observations, observation, scene);
                });
            }
            while let Some(&hit) = self.hits.get(*next).filter(|hit| hit.asked == at) {
                *next += 1;
                let _counted = self.sight(&trail.observations, at as usize, hit, scene, (phase, Asked::First));
            }
        }
    }

    /// Ends the flows that a sweep found and that began before that packet, a batch at a time.
    fn end_found(&mut self, before: u64, how: Ended) {
        loop {
            self.trail.clear();
            if self.flows.end_idle(BATCH_FRAMES_MAX, before, how, &mut self.trail) == 0 {
                return;
            }
            self.ask(1);
        }
    }

    fn owns(&self, shard: Shard) -> bool {
        self.owned[usize::from(shard.0)]
    }
}
