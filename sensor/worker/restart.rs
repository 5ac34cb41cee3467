//! A worker that died in the middle of something: what it had in hand is accounted for, and it begins again with nothing in
//! mind.
//!
//! In: a worker whose state may be half changed. Out: the same worker, new: its orders, rings, counters, and what it had to say
//! are kept; its flows are forgotten, and counted. Never here: a judgement of whether it is dead.

use super::specimen::Specimen;
use super::wary::Whom;
use super::{Unpacked, Worker};
use crate::capture::Batch;
use crate::decode::{Fate, peek};
use crate::flow::Moment;
use crate::leash::Leash;
use crate::limits::{BATCH_FRAMES_MAX, CAUTIOUS_FRAMES};
use crate::metrics::Tally;
use crate::time::Timestamp;

/// Why a worker began again; the order of [`Tally::restarts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It panicked.
    Panic,
    /// It did not come to an end, and was pulled back.
    Hang,
}

/// What a worker does between two marks of its leash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Headers of a frame.
    Unpack = 1,
    /// A packet on its way to its flow and conversation.
    Follow,
    /// The same, of a packet that another worker received.
    Handed,
    /// Look-ups of a batch, and what comes of them.
    Ask,
    /// Flows that end by time.
    Sweep,
}

/// Bits of a mark below its stage: what a batch has, and more.
const AT_BITS: u32 = 20;
/// Bits of a mark below its turn.
const TURN_BITS: u32 = 24;

/// What was lost with a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Casualty {
    /// What it was doing.
    pub doing: &'static str,
    /// Flows that it followed.
    pub flows: u64,
    /// Frames of its batch.
    pub frames: u64,
    /// The packet that it worked on, if it was one.
    pub packet: Option<Specimen>,
}

impl Worker {
    /// Others hold the other end of this leash.
    pub fn on(mut self, leash: Leash) -> Self {
        self.wary = super::wary::Wary::new(self.orders.provoke.clone(), leash.clone());
        self.trail.observations.on(leash.clone());
        self.leash = leash;
        self
    }

    /// Nothing is in hand any more, or something else.
    pub(super) fn turn(&mut self) {
        self.turn += 1;
        self.leash.mark(0);
    }

    /// Marks what is worked on: a store to memory that others hardly ever read.
    #[inline]
    pub(super) fn work(&self, stage: Stage, at: usize) {
        let at = at as u64 & ((1 << AT_BITS) - 1);
        self.leash.mark(self.turn << TURN_BITS | (stage as u64) << AT_BITS | at);
    }

    fn in_hand(&self) -> (Option<Stage>, usize) {
        let mark = self.leash.marked();
        let stages = [Stage::Unpack, Stage::Follow, Stage::Handed, Stage::Ask, Stage::Sweep];
        let stage = (mark >> AT_BITS & 0xF).checked_sub(1).and_then(|at| stages.get(at as usize)).copied();
        (stage, (mark & ((1 << AT_BITS) - 1)) as usize)
    }

    /// The number of the frame of this batch that is worked on, if it is one.
    pub fn in_work(&self, batch: &Batch<'_>) -> Option<u64> {
        let (stage, at) = self.in_hand();
        let one = matches!(stage, Some(Stage::Unpack | Stage::Follow)) && at < batch.len();
        one.then(|| batch.frame(at).number)
    }

    /// How many packets are taken at once: a worker that does not know which packet of a batch it died of goes one by one.
    pub fn most(&self) -> usize {
        if self.cautious > 0 { 1 } else { BATCH_FRAMES_MAX }
    }

    /// Begins again after a death in `batch`, or in what other workers had handed over, or in a tick.
    pub fn restart(&mut self, cause: Cause, batch: Option<&Batch<'_>>) -> Casualty {
        let (stage, at) = self.in_hand();
        let found = stage.and_then(|stage| self.culprit(stage, at, batch));
        let lost = self.tally.fates.of(Fate::LostInRestart);
        batch.into_iter().for_each(|batch| self.give_up(batch));
        self.give_up_handed();
        let frames = self.tally.fates.of(Fate::LostInRestart) - lost;
        let flows = self.flows.open() as u64;
        self.tally.flows_lost += flows;
        self.tally.restarts[cause as usize] += 1;
        if let Some((whom, time, _)) = &found {
            whom.iter().for_each(|whom| self.wary.blame(*whom, *time));
        }
        let packet = found.map(|(_, _, packet)| packet);
        let cautious =
            if stage == Some(Stage::Ask) && packet.is_none() && frames > 1 { CAUTIOUS_FRAMES } else { self.cautious };
        self.begin_again(cautious);
        Casualty { doing: stage.map_or("nothing", Stage::name), flows, frames, packet }
    }

    /// Whose packet it was, if that is known, and the packet.
    fn culprit(
        &self,
        stage: Stage,
        at: usize,
        batch: Option<&Batch<'_>>,
    ) -> Option<(Option<Whom>, Timestamp, Specimen)> {
        let alone = |count: usize| (stage == Stage::Ask && count == 1).then_some(0);
        if let Some(batch) = batch.filter(|batch| !batch.is_empty()) {
            let at = if stage == Stage::Ask { alone(batch.len())? } else { at };
            let frame = (at < batch.len()).then(|| batch.frame(at))?;
            let Some(Unpacked { packet, ticket, .. }) = self.unpacked.iter().find(|unpacked| unpacked.at == at) else {
                let whom = peek(&frame).map(|(one, other)| Whom::Pair(one, other));
                return Some((whom, frame.time, Specimen::of_frame(&frame)));
            };
            let moment = Moment { packet: frame.number, time: frame.time };
            let payload = packet.payload(frame.bytes, &self.fragments);
            let packet = match packet.payload.is_of_fragments() {
                true => Specimen::of_packet(moment, packet, payload),
                false => Specimen::of_frame(&frame),
            };
            return Some((Some(Whom::Flow(*ticket)), frame.time, packet));
        }
        let at = if stage == Stage::Ask { alone(self.handed.len())? } else { at };
        let one = self.handed.get(at)?;
        let start: usize = self.handed[..at].iter().map(|one| one.len as usize).sum();
        let payload = self.payloads.get(start..start + one.len as usize).unwrap_or_default();
        let packet = Specimen::of_packet(one.moment, &one.packet, payload);
        Some((Some(Whom::Flow(one.ticket)), one.moment.time, packet))
    }

    /// Frames that were on their way are lost; what was found to be none, or was handed over, keeps its fate.
    fn give_up(&mut self, batch: &Batch<'_>) {
        self.fates.resize(batch.len(), Fate::Unaccounted);
        for unpacked in &self.unpacked {
            self.fates[unpacked.at] = Fate::LostInRestart;
        }
        self.fates.iter_mut().filter(|fate| **fate == Fate::Unaccounted).for_each(|fate| *fate = Fate::LostInRestart);
        self.account(batch);
    }

    fn give_up_handed(&mut self) {
        self.fates.clear();
        self.fates.resize(self.handed.len(), Fate::LostInRestart);
        self.account_handed();
    }

    /// What may be half changed goes; what is only ever added to is whole, and stays.
    fn begin_again(&mut self, cautious: u32) {
        let counted = Tally { flows_open: 0, effort: 0, ..self.tally() };
        let mut new = Worker::new(self.orders.clone(), self.release_to.clone(), self.laps.begun_again());
        new = new.on(self.leash.clone());
        // what the dead one had shunted is heard again when its flows go
        new.flows.shunt_like(&self.flows);
        new.wary.remember(&mut self.wary);
        (new.turn, new.cautious) = (self.turn, cautious);
        (new.before, new.clock_suspect) = (counted, self.clock_suspect);
        new.outboxes = std::mem::take(&mut self.outboxes);
        new.inboxes = std::mem::take(&mut self.inboxes);
        // a record is put in when it and its line are complete
        new.release = std::mem::take(&mut self.release);
        new.late = std::mem::take(&mut self.late);
        new.spare(self.effort);
        *self = new;
        self.turn();
    }
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Stage::Unpack => "headers",
            Stage::Follow | Stage::Handed => "a packet",
            Stage::Ask => "look-ups",
            Stage::Sweep => "ends of flows",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use crossbeam_channel::{Receiver, unbounded};

    use super::super::tests::{ipv4, listed, orders, pcap, question};
    use super::super::{Orders, Record, Release, ring};
    use super::*;
    use crate::capture::file::Reader;
    use crate::flow::Settings;
    use crate::leash::Hung;
    use crate::metrics::Laps;

    /// A worker on a link that fails at payloads with POISON in them.
    fn failing(way: &str, index: usize, workers: usize) -> (Worker, Receiver<Release>) {
        let (send, releases) = unbounded();
        let provoke = Some(format!("{way}=POISON").parse().expect("a way to fail"));
        let orders = Orders { live: true, events: false, provoke, ..orders(index, workers, &listed(b"a.test")) };
        (Worker::new(orders, send, Laps::new(|| 0)), releases)
    }

    /// A datagram of that host; all go to a listed address.
    fn datagram(from: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16 + 8).to_be_bytes();
        ipv4(from, 17, 0, &[&[0x80, from, 0, 9, length[0], length[1], 0, 0], payload].concat())
    }

    fn poison(from: u8) -> Vec<u8> {
        datagram(from, b"this is POISON to it")
    }

    /// Lets a worker breathe these frames at once; what it died of, if it did.
    fn breathe(worker: &mut Worker, frames: &[Vec<u8>]) -> Option<Casualty> {
        let capture = pcap(frames);
        let mut reader = Reader::new(&capture[..]).expect("a capture");
        let batch = reader.poll(256).expect("readable").behind(worker.tally().handed);
        let died = catch_unwind(AssertUnwindSafe(|| worker.breathe(&batch))).err();
        let cause = |hung: bool| if hung { Cause::Hang } else { Cause::Panic };
        let casualty = died.map(|died| worker.restart(cause(died.is::<Hung>()), Some(&batch)));
        assert_eq!(worker.tally().unaccounted(), 0);
        casualty
    }

    fn fates(worker: &Worker, fates: [Fate; 3]) -> [u64; 3] {
        fates.map(|fate| worker.tally().fates.of(fate))
    }

    const FATES: [Fate; 3] = [Fate::Processed, Fate::LostInRestart, Fate::SkippedPoisonous];

    fn alerts(releases: &Receiver<Release>) -> usize {
        let records = releases.try_iter().flat_map(|release| release.records);
        records.filter(|(_, record)| matches!(record, Record::Alert(alert) if !alert.is_final())).count()
    }

    #[test]
    fn a_worker_that_panics_loses_the_batch_in_hand_and_its_flows_and_nothing_else() {
        let (mut worker, releases) = failing("panic", 0, 1);
        assert_eq!(breathe(&mut worker, &[datagram(1, b"a"), datagram(2, b"b")]), None);
        let (before, arp) = (worker.tally(), vec![2; 9]);
        let batch = [datagram(1, b"c"), arp, poison(3), datagram(4, b"d")];
        let Casualty { doing, flows, frames, packet } = breathe(&mut worker, &batch).expect("it dies");
        // the flow that began in the same batch is among them
        assert_eq!((doing, frames), ("a packet", 3));
        assert!((2..=3).contains(&flows), "{flows}");
        let packet = packet.expect("it is known");
        assert_eq!((packet.number, &packet.bytes, packet.rebuilt), (5, &batch[2], false));
        assert_eq!(breathe(&mut worker, &[datagram(5, b"e")]), None);
        let after = worker.tally();
        assert_eq!(fates(&worker, FATES), [3, 3, 0]);
        assert_eq!((after.handed, after.fates.malformed(), after.restarts, after.flows_lost), (7, 1, [1, 0], flows));
        assert!(after.flows.began > before.flows.began && after.bytes > before.bytes && after.alerts >= 3);
        worker.tick(None, 1);
        assert_eq!(alerts(&releases) as u64, after.alerts, "what was raised before is delivered too");
    }

    #[test]
    fn the_third_time_a_flow_is_skipped_and_its_addresses_are_still_checked() {
        let (mut worker, releases) = failing("panic", 0, 1);
        assert!((0..2).all(|_| breathe(&mut worker, &[poison(3)]).is_some()));
        assert_eq!(breathe(&mut worker, &[poison(3), datagram(4, b"well")]), None);
        assert_eq!(fates(&worker, FATES), [1, 2, 1]);
        worker.tick(None, 1);
        assert_eq!(alerts(&releases), 2, "both speak to a listed address");
        let dies = breathe(&mut worker, &[poison(5)]);
        assert!(dies.is_some(), "another flow is another matter");
    }

    #[test]
    fn hosts_whose_headers_kill_are_skipped_the_third_time() {
        let (mut worker, _releases) = failing("decode", 0, 1);
        for _ in 0..2 {
            let casualty = breathe(&mut worker, &[datagram(4, b"well"), poison(3)]).expect("it dies");
            assert_eq!((casualty.doing, casualty.frames), ("headers", 2));
        }
        assert_eq!(breathe(&mut worker, &[poison(3), datagram(4, b"well"), datagram(3, b"well")]), None);
        assert_eq!(fates(&worker, FATES), [1, 4, 2]);
    }

    #[test]
    fn who_does_not_know_the_packet_of_a_batch_reads_one_by_one_until_it_does() {
        let (mut worker, _releases) = failing("ask", 0, 1);
        assert_eq!(worker.most(), BATCH_FRAMES_MAX);
        let casualty = breathe(&mut worker, &[datagram(4, b"well"), poison(3)]).expect("it dies");
        assert_eq!((casualty.doing, casualty.packet), ("look-ups", None));
        assert_eq!(worker.most(), 1);
        let casualty = breathe(&mut worker, &[poison(3)]).expect("it dies");
        assert_eq!(casualty.packet.map(|packet| packet.bytes), Some(poison(3)));
        assert!(breathe(&mut worker, &[poison(3)]).is_some());
        assert_eq!(breathe(&mut worker, &[poison(3)]), None);
        assert_eq!(fates(&worker, FATES), [0, 4, 1]);
        let well = vec![datagram(4, b"well"); 250];
        assert!((0..40).all(|_| breathe(&mut worker, &well).is_none()));
        assert_eq!(worker.most(), BATCH_FRAMES_MAX, "after a while all is as before");
    }

    #[test]
    fn a_packet_of_another_worker_kills_its_owner_alone_and_is_kept_with_new_headers() {
        let (mut reader, _) = failing("panic", 0, 2);
        let (mut owner, releases) = failing("panic", 1, 2);
        let (outbox, inbox) = ring();
        reader = reader.with_rings(vec![None, Some(outbox)], Vec::new());
        owner = owner.with_rings(Vec::new(), vec![(0, inbox)]);
        // hosts of the other worker alone: payloads without poison do nothing to who hands them over
        let hosts: Vec<u8> = (0..=255).collect();
        let mut theirs = Vec::new();
        for host in hosts {
            let before = reader.tally().steered;
            assert_eq!(breathe(&mut reader, &[datagram(host, b"well")]), None);
            theirs.extend((reader.tally().steered > before).then_some(host));
        }
        while owner.breathe_handed() > 0 {}
        assert_eq!(
            breathe(&mut reader, &[datagram(theirs[0], b"x"), poison(theirs[1]), datagram(theirs[2], b"y")]),
            None
        );
        assert!(catch_unwind(AssertUnwindSafe(|| owner.breathe_handed())).is_err());
        let casualty = owner.restart(Cause::Panic, None);
        let packet = casualty.packet.expect("it is known");
        assert_eq!((casualty.frames, packet.rebuilt, packet.link.0), (3, true, 101));
        assert!(packet.bytes.ends_with(b"this is POISON to it"));
        // whoever reads it finds the same flow, and dies the same way
        let frame = [&[2; 12], &[8, 0][..], &packet.bytes].concat();
        assert_eq!(&frame[14..], &packet.bytes[..]);
        let (mut again, _) = failing("panic", 0, 1);
        assert_eq!(breathe(&mut again, &[frame]).expect("it dies").doing, "a packet");
        let (tally, taken) = (owner.tally(), theirs.len() as u64 + 3);
        assert_eq!((tally.taken, tally.unaccounted(), reader.tally().restarts), (taken, 0, [0, 0]));
        // the ring goes on
        assert_eq!(breathe(&mut reader, &[datagram(theirs[0], b"z")]), None);
        assert_eq!(owner.breathe_handed(), 1);
        owner.tick(None, 1);
        assert_eq!(alerts(&releases), theirs.len() + 1);
    }

    #[test]
    fn what_came_in_fragments_is_kept_whole() {
        let (mut worker, _releases) = failing("panic", 0, 1);
        let whole = &poison(3)[34..];
        let pieces = [ipv4(3, 17, 0x2000, &whole[..16]), ipv4(3, 17, 2, &whole[16..])];
        let packet = breathe(&mut worker, &pieces).expect("it dies").packet.expect("it is known");
        assert!(packet.rebuilt && packet.bytes.ends_with(b"this is POISON to it"), "{packet:?}");
    }

    #[test]
    fn a_worker_that_hangs_is_pulled_back_from_that_packet() {
        let (worker, _releases) = failing("hang", 0, 1);
        let leash = Leash::default();
        let mut worker = worker.on(leash.clone());
        let back = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&back);
        let puller = thread::spawn(move || {
            while !seen.load(Ordering::Acquire) {
                leash.pull(leash.marked());
                thread::sleep(Duration::from_millis(1));
            }
        });
        let casualty = breathe(&mut worker, &[poison(3)]).expect("it hangs");
        assert_eq!((casualty.doing, casualty.frames), ("a packet", 1));
        assert_eq!(worker.tally().restarts, [0, 1]);
        back.store(true, Ordering::Release);
        puller.join().expect("it ends");
    }

    #[test]
    fn a_worker_with_many_flows_is_back_within_a_second() {
        let (send, _releases) = unbounded();
        let many = Orders { live: true, events: false, timeline: false, ..orders(0, 1, &Arc::default()) };
        let settings = Settings { flows_max: 1 << 20, ..many.settings };
        let mut worker = Worker::new(Orders { settings, ..many }, send, Laps::new(|| 0));
        for port in 0..2_000u16 {
            let [high, low] = port.to_be_bytes();
            let frames: Vec<_> =
                (0..=255).map(|host| ipv4(host, 17, 0, &[high, low, 0, 9, 0, 9, 0, 0, b'x'])).collect();
            assert_eq!(breathe(&mut worker, &frames), None);
        }
        let began = Instant::now();
        let flows = worker.restart(Cause::Panic, None).flows;
        let took = began.elapsed();
        assert!(flows > 200_000 && took < Duration::from_secs(1), "{flows} flows, {took:?}");
        eprintln!("{flows} flows were forgotten in {took:?}");
        assert_eq!((worker.tally().flows_open, worker.tally().flows_lost), (0, flows));
    }

    #[test]
    fn what_was_asked_of_a_question_that_was_lost_can_be_asked_again() {
        let (mut worker, releases) = failing("panic", 0, 1);
        assert!(breathe(&mut worker, &[ipv4(1, 17, 0, &question(1)), poison(3)]).is_some());
        assert_eq!(breathe(&mut worker, &[ipv4(1, 17, 0, &question(1))]), None);
        worker.tick(None, 1);
        assert_eq!(alerts(&releases), 2, "the name and the address");
    }
}
