//! A worker on a link: packets go to and come from other workers, time passes where nothing comes, orders change, and
//! nobody is waited for.
//!
//! In: what the other workers handed over, the time, new orders. Out: releases as often as the caller ticks. Never here: a
//! clock, a wait.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::addresses::addresses_of;
use super::contact::Asked;
use super::steer::Handed;
use super::{Inbox, Orders, Outbox, Release, Stage, Worker};
use crate::capture::Frame;
use crate::decode::{Fate, Packet};
use crate::flow::{Effort, Ended, Moment, Scene, Shunter, Ticket};
use crate::indicator::Admitted;
use crate::limits::{
    ALERTS_WAITING_MAX, BATCH_FRAMES_MAX, CRITICAL_WAITING_MAX, EPOCH_PACKETS, RELEASE_BYTES_MAX, RELEASE_RECORDS_MAX,
    SHARDS, SHARDS_ASKED_A_TICK, TIME_SAID_EVERY,
};
use crate::time::{Span, Timestamp};
use crate::worker::Record;

impl Worker {
    /// Gives it its ends of the rings: outboxes by owner, inboxes with their writer.
    pub fn with_rings(mut self, outboxes: Vec<Option<Outbox>>, inboxes: Vec<(usize, Inbox)>) -> Self {
        self.outboxes = outboxes;
        self.inboxes = inboxes;
        self
    }

    /// Gives it whoever can count flows in the kernel.
    pub fn with_shunter(mut self, shunter: Arc<dyn Shunter>) -> Self {
        self.flows.shunt_by(shunter);
        self
    }

    /// A packet of another worker's shard goes to its owner; a full ring is a fate.
    pub(super) fn hand_off(&mut self, frame: &Frame<'_>, packet: Packet, ticket: Ticket) -> Fate {
        let payload = packet.payload(frame.bytes, &self.fragments);
        let handed = Handed {
            moment: Moment { packet: frame.number, time: frame.time },
            packet,
            ticket,
            truncated: (frame.length as usize) > frame.bytes.len(),
            len: payload.len() as u32,
        };
        let owner = usize::from(ticket.shard().0) % self.orders.workers;
        let outbox = self.outboxes.get_mut(owner).and_then(Option::as_mut);
        if !outbox.is_some_and(|outbox| outbox.put(handed, payload)) {
            return Fate::HandOffFull;
        }
        self.tally.steered += 1;
        Fate::Elsewhere
    }

    /// Whom this worker has handed packets since it was last asked.
    pub fn handed_to(&mut self) -> impl Iterator<Item = usize> + '_ {
        let boxes = self.outboxes.iter_mut().enumerate();
        boxes.filter_map(|(owner, outbox)| outbox.as_mut().is_some_and(Outbox::take_fresh).then_some(owner))
    }

    /// From whom packets wait, and how many.
    pub fn waiting_from(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.inboxes.iter().map(|(from, inbox)| (*from, inbox.len()))
    }

    /// Whether packets of other workers wait.
    pub fn is_waited_for(&self) -> bool {
        self.inboxes.iter().any(|(_, inbox)| !inbox.is_empty())
    }

    /// Takes a batch of packets that other workers received, from headers to records. How many there were.
    pub fn breathe_handed(&mut self) -> usize {
        self.laps.lap(0);
        self.payloads.clear();
        for (_, inbox) in &mut self.inboxes {
            inbox.take(BATCH_FRAMES_MAX - self.handed.len(), &mut self.handed, &mut self.payloads);
        }
        self.breathe_taken()
    }

    /// The same, of what was taken already.
    pub(super) fn breathe_taken(&mut self) -> usize {
        let handed = &self.handed;
        handed.iter().for_each(|one| self.flows.fetch_slot(&one.ticket));
        handed.iter().for_each(|one| self.flows.fetch_flow(&one.ticket));
        self.laps.lap(1);
        self.trail.clear();
        self.fates.clear();
        let mut rest = &self.payloads[..];
        for (at, one) in self.handed.iter().enumerate() {
            self.work(Stage::Handed, at);
            let (payload, behind) = rest.split_at(one.len as usize);
            rest = behind;
            let packet = (&one.packet, &one.ticket, payload);
            self.fates.push(self.wary.follow(&mut self.flows, one.moment, packet, &mut self.trail));
        }
        self.laps.lap(2);
        self.ask(0);
        self.laps.lap(3);
        self.turn();
        self.account_handed()
    }

    /// Counts what was handed over, by the fates that it came to; how many there were.
    pub(super) fn account_handed(&mut self) -> usize {
        for (fate, one) in self.fates.iter().zip(&self.handed) {
            self.tally.taken += 1;
            self.tally.fates.count(*fate);
            self.tally.bytes += u64::from(one.packet.length);
            self.tally.truncated += u64::from(one.truncated);
        }
        let count = self.handed.len();
        self.handed.clear();
        count
    }

    /// Its caller has waited: that is no stage's time.
    pub fn waited(&mut self) {
        self.laps.skip();
    }

    /// Time has passed, whether or not anything came: flows end by it, and what there is to say is handed over. `now` is
    /// `None` where only frames know the time; `round` counts the ticks.
    pub fn tick(&mut self, now: Option<Timestamp>, round: u64) {
        self.laps.lap(0);
        self.work(Stage::Sweep, 0);
        if let Some(now) = now {
            self.flows.pass(now);
        }
        self.ask_open(now);
        self.flows.find_idle(round);
        self.end_found(u64::MAX, Ended::Timeout);
        self.offer();
        self.turn();
        self.laps.lap(4);
    }

    /// Whether alerts wait in it to be handed over.
    pub fn has_raised(&self) -> bool {
        !self.release.alerts.is_empty()
    }

    /// What it has to say is handed over.
    pub fn tell(&mut self) {
        self.offer();
    }

    /// How much it reads from now on.
    pub fn spare(&mut self, effort: Effort) {
        self.effort = effort;
        self.flows.spare(effort);
    }

    /// Whether the machine's clock is in doubt: alerts say so from now on.
    pub fn doubt(&mut self, clock_suspect: bool) {
        self.clock_suspect = clock_suspect;
    }

    /// How late it is for those who wait for what it says: by the links' clock, also where frames bring a time of their own.
    pub fn reach(&mut self, now: Timestamp) {
        self.release.reached = now;
    }

    /// Hands over if there is room. Else it waits here, up to a bound; then events are shed, and alerts where so many are on their way
    /// that what is urgent would wait.
    fn offer(&mut self) {
        self.shed_alerts();
        while let Some(late) = self.late.pop() {
            if let Some(refused) = self.try_send(late) {
                self.late.push(refused);
                return self.shed_events();
            }
        }
        // with nothing to say, it is said now and then how late it is: somebody may wait for that
        let since = self.release.reached.since(self.release.said).as_nanos().saturating_abs();
        if self.release.records.is_empty() && since < TIME_SAID_EVERY.as_nanos() {
            return;
        }
        let next = self.next_release();
        let release = mem::replace(&mut self.release, next);
        if let Some(refused) = self.try_send(release) {
            mem::replace(&mut self.release, refused).spent();
            self.shed_events();
        }
    }

    fn shed_alerts(&mut self) {
        let late: usize = self.late.iter().map(|late| late.alerts.len()).sum();
        let waiting = self.orders.waiting.load(Ordering::Relaxed) as usize + late;
        let [room, critical] = [ALERTS_WAITING_MAX, CRITICAL_WAITING_MAX].map(|most| most.saturating_sub(waiting));
        for alert in self.release.keep_alerts(room, critical) {
            self.tally.alerts_shed += 1;
            self.tally.firsts_shed += u64::from(alert.revision == 1);
        }
    }

    fn shed_events(&mut self) {
        let Release { records, lines, .. } = &mut self.release;
        if lines.len() < RELEASE_BYTES_MAX && records.len() < RELEASE_RECORDS_MAX {
            return;
        }
        let before = records.len();
        records.retain(|(_, record)| matches!(record, Record::Alert(_)));
        lines.clear();
        self.tally.events_shed += (before - records.len()) as u64;
    }

    /// The clock has been vouched for, and was moved: so are the times of all flows, that none ends by it.
    pub fn shift(&mut self, moved: Span) {
        self.flows.shift(moved);
    }

    /// Works by these orders from now on; what was raised before goes out under the old ones.
    pub fn adopt(&mut self, orders: Orders) {
        self.offer();
        self.flows.want(orders.settings.wants);
        self.trail.observations.seek_only(|kind| orders.set.seeks(kind));
        self.orders = orders;
        self.admitted = Admitted::default();
        let next = self.next_release();
        let before = mem::replace(&mut self.release, next);
        if !before.records.is_empty() {
            self.late.insert(0, before);
        }
        // hits of the old set say nothing in the new one: all open flows are asked
        self.early.clear();
        self.shards_asked = 0;
    }

    /// Asks the open flows of the next few shards for what the set lists since it is another. Whoever is talking to an
    /// address when it becomes listed is told now, not when that ends.
    fn ask_open(&mut self, now: Option<Timestamp>) {
        let upto = (self.shards_asked + SHARDS_ASKED_A_TICK).min(SHARDS);
        for shard in mem::replace(&mut self.shards_asked, upto)..upto {
            // what is valid now counts, whenever the flow was last heard
            let at_now = |scene: Scene| Scene { time: now.map_or(scene.time, |now| scene.time.max(now)), ..scene };
            let open: Vec<Scene> =
                self.flows.open_in(shard).map(at_now).filter(|scene| !self.is_unwatched(scene)).collect();
            for scenes in open.chunks(BATCH_FRAMES_MAX) {
                self.ask_again(scenes, 1);
            }
        }
    }

    /// The addresses of flows are asked anew: the set is another by now.
    pub(super) fn ask_again(&mut self, scenes: &[Scene], phase: u8) {
        let mut hits = Vec::new();
        self.questions.clear();
        for (at, scene) in scenes.iter().enumerate() {
            self.question(at as u32, addresses_of(scene));
        }
        self.orders.set.look_up_addresses(&self.questions, &mut self.room, &mut hits);
        for hit in hits {
            self.meet_one(&scenes[hit.asked as usize], hit, (phase, Asked::Again));
        }
    }

    /// All flows end; now there is time to wait for the collector.
    pub(super) fn finish_live(&mut self) {
        for late in mem::take(&mut self.late) {
            self.send(late);
        }
        loop {
            self.hand_over();
            self.turn();
            for _ in 0..EPOCH_PACKETS / BATCH_FRAMES_MAX as u64 {
                self.trail.clear();
                if self.flows.end_idle(BATCH_FRAMES_MAX, u64::MAX, Ended::Shutdown, &mut self.trail) == 0 {
                    return;
                }
                self.ask(1);
            }
        }
    }
}
