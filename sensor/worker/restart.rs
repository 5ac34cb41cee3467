//! A worker that died in the middle of something: what it had in hand is accounted for, and it begins again with nothing in
//! mind.
//!
//! In: a worker whose state may be half changed. Out: the same worker, new: its orders, rings, counters, and what it had to say
//! are kept; its flows are forgotten, and counted. Never here: a judgement of whether it is dead.

use super::specimen::Specimen;
use super::wary::Whom;
use super::{Unpacked, Worker};
use crate::capture::Batch;
use crate::decode::{Address, Fate, Packet, peek};
use crate::flow::{Moment, Ticket, Trail};
use crate::leash::Leash;
use crate::metrics::Tally;

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
    /// All look-ups of a batch.
    LookUp,
    /// What comes of them, step by step.
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
    /// Packets that are lost.
    pub frames: u64,
    /// Packets that are read again.
    pub left: usize,
    /// The packet that it worked on, if it was one.
    pub packet: Option<Specimen>,
}

struct Culprit {
    whom: Option<Whom>,
    /// Who speaks to whom, where the headers were read to their end.
    hosts: Option<(Address, Address)>,
    packet: Specimen,
}

impl Culprit {
    fn of(ticket: &Ticket, packet: &Packet, kept: Specimen) -> Culprit {
        let hosts = Some((packet.source, packet.destination));
        Culprit { whom: Some(Whom::Flow(*ticket)), hosts, packet: kept }
    }
}

/// A batch that is asked: its trail goes back to its worker even when that dies, and then shows how far it came.
pub(super) struct Asking<'a> {
    pub(super) worker: &'a mut Worker,
    pub(super) trail: Trail,
}

impl<'a> Asking<'a> {
    pub(super) fn of(worker: &'a mut Worker) -> Asking<'a> {
        let trail = std::mem::take(&mut worker.trail);
        Asking { worker, trail }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        std::mem::swap(&mut self.worker.trail, &mut self.trail);
    }
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
        (Stage::of(mark), (mark & ((1 << AT_BITS) - 1)) as usize)
    }

    /// The number of the frame of this batch that is worked on, if it is one.
    pub fn in_work(&self, batch: &Batch<'_>) -> Option<u64> {
        let (stage, at) = self.in_hand();
        let one = matches!(stage, Some(Stage::Unpack | Stage::Follow)) && at < batch.len();
        one.then(|| batch.frame(at).number)
    }

    /// Begins again after a death in `batch`, or in what other workers had handed over, or in a tick. What can be read again of
    /// it is read by [`Worker::read_again`].
    pub fn restart(&mut self, cause: Cause, batch: Option<&Batch<'_>>) -> Casualty {
        let (stage, at) = self.in_hand();
        if stage.is_none() {
            // what there is of these is of another batch
            self.unpacked.clear();
            self.fates.clear();
        }
        let in_hand = self.again.in_hand(batch);
        let place = self.place(stage, at, in_hand.as_ref());
        let culprit = place.and_then(|place| self.culprit(place, in_hand.as_ref()));
        if stage == Some(Stage::Ask) {
            self.count_asked(at);
        }
        let lost = self.tally.fates.of(Fate::LostInRestart);
        match &in_hand {
            Some(in_hand) => self.settle(in_hand, stage, place),
            None => self.settle_handed(stage, place),
        }
        self.die_again(batch);
        let frames = self.tally.fates.of(Fate::LostInRestart) - lost;
        let flows = self.flows.open() as u64;
        self.tally.flows_lost += flows;
        self.tally.restarts[cause as usize] += 1;
        if let Some(Culprit { whom: Some(whom), hosts, packet }) = &culprit {
            self.wary.blame(*whom, *hosts, packet.time);
        }
        let packet = culprit.map(|culprit| culprit.packet);
        self.begin_again();
        Casualty { doing: stage.map_or(IDLE, Stage::name), flows, frames, left: self.again.len(), packet }
    }

    /// The place of what it died of in what it had in hand, if that is known. Who was alone did it, whatever was done with it.
    fn place(&self, stage: Option<Stage>, at: usize, batch: Option<&Batch<'_>>) -> Option<usize> {
        let count = batch.map_or(self.handed.len(), Batch::len);
        let place = match stage {
            _ if count == 1 => Some(0),
            Some(Stage::Unpack | Stage::Follow | Stage::Handed) => Some(at),
            Some(Stage::Ask) => {
                let number = self.trail.packet_of(at)?;
                match batch {
                    Some(batch) => batch.frames().position(|frame| frame.number == number),
                    None => self.handed.iter().position(|one| one.moment.packet == number),
                }
            }
            Some(Stage::LookUp | Stage::Sweep) | None => None,
        };
        place.filter(|place| *place < count)
    }

    /// Whose packet it was, and the packet.
    fn culprit(&self, place: usize, batch: Option<&Batch<'_>>) -> Option<Culprit> {
        if let Some(batch) = batch {
            let frame = batch.frame(place);
            let Some(Unpacked { packet, ticket, .. }) = self.unpacked.iter().find(|unpacked| unpacked.at == place)
            else {
                let whom = peek(&frame).map(|(one, other)| Whom::Pair(one, other));
                return Some(Culprit { whom, hosts: None, packet: Specimen::of_frame(&frame) });
            };
            let moment = Moment { packet: frame.number, time: frame.time };
            let payload = packet.payload(frame.bytes, &self.fragments);
            let kept = match packet.payload.is_of_fragments() {
                true => Specimen::of_packet(moment, packet, payload),
                false => Specimen::of_frame(&frame),
            };
            return Some(Culprit::of(ticket, packet, kept));
        }
        let one = self.handed.get(place)?;
        let start: usize = self.handed[..place].iter().map(|one| one.len as usize).sum();
        let payload = self.payloads.get(start..start + one.len as usize).unwrap_or_default();
        Some(Culprit::of(&one.ticket, &one.packet, Specimen::of_packet(one.moment, &one.packet, payload)))
    }

    /// What may be half changed goes; what is only ever added to is whole, and stays.
    fn begin_again(&mut self) {
        let counted = Tally { flows_open: 0, effort: 0, ..self.tally() };
        let mut new = Worker::new(self.orders.clone(), self.release_to.clone(), self.laps.begun_again());
        new = new.on(self.leash.clone());
        // what the dead one had shunted is heard again when its flows go
        new.flows.shunt_like(&self.flows);
        new.wary.remember(&mut self.wary);
        new.turn = self.turn;
        new.again = std::mem::take(&mut self.again);
        (new.before, new.clock_suspect) = (counted, self.clock_suspect);
        new.outboxes = std::mem::take(&mut self.outboxes);
        new.inboxes = std::mem::take(&mut self.inboxes);
        // a record is put in when it and its line are complete
        new.release = std::mem::take(&mut self.release);
        new.release.forget_unplaced();
        new.late = std::mem::take(&mut self.late);
        new.spare(self.effort);
        *self = new;
        self.turn();
    }
}

/// What a worker does that has marked nothing.
const IDLE: &str = "nothing";

/// What a worker does that marked this on its leash.
pub fn doing(mark: u64) -> &'static str {
    Stage::of(mark).map_or(IDLE, Stage::name)
}

impl Stage {
    fn of(mark: u64) -> Option<Stage> {
        let stages = [Stage::Unpack, Stage::Follow, Stage::Handed, Stage::LookUp, Stage::Ask, Stage::Sweep];
        (mark >> AT_BITS & 0xF).checked_sub(1).and_then(|at| stages.get(at as usize)).copied()
    }

    const fn name(self) -> &'static str {
        match self {
            Stage::Unpack => "headers",
            Stage::Follow | Stage::Handed => "a packet",
            Stage::LookUp => "look-ups",
            Stage::Ask => "what was found",
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
    use super::super::{Orders, Release, ring};
    use super::*;
    use crate::capture::file::Reader;
    use crate::flow::Settings;
    use crate::leash::Hung;
    use crate::limits::{POISONED_FLOWS_MAX, READ_AGAIN_DEATHS_MAX};
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
        datagram_by(from, from, payload)
    }

    /// The same from another port.
    fn datagram_by(from: u8, port: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16 + 8).to_be_bytes();
        ipv4(from, 17, 0, &[&[0x80, port, 0, 9, length[0], length[1], 0, 0], payload].concat())
    }

    fn poison(from: u8) -> Vec<u8> {
        datagram(from, b"this is POISON to it")
    }

    /// Lets a worker breathe these frames at once; what it died of first, if it did.
    fn breathe(worker: &mut Worker, frames: &[Vec<u8>]) -> Option<Casualty> {
        deaths(worker, frames).into_iter().next()
    }

    /// The same, and what it died of as it read again what it had in hand.
    fn deaths(worker: &mut Worker, frames: &[Vec<u8>]) -> Vec<Casualty> {
        let capture = pcap(frames);
        let mut reader = Reader::new(&capture[..]).expect("a capture");
        let (batch, before) =
            (reader.poll(256).expect("readable").behind(worker.tally().handed), worker.tally().handed);
        let died = catch_unwind(AssertUnwindSafe(|| worker.breathe(&batch))).err();
        let casualties = died.map(|died| again(worker, died.is::<Hung>(), Some(&batch))).unwrap_or_default();
        assert_eq!((worker.tally().unaccounted(), worker.tally().handed - before), (0, frames.len() as u64));
        casualties
    }

    /// What whoever finds it dead does.
    fn again(worker: &mut Worker, hung: bool, batch: Option<&Batch<'_>>) -> Vec<Casualty> {
        let cause = |hung: bool| if hung { Cause::Hang } else { Cause::Panic };
        let mut casualties = vec![worker.restart(cause(hung), batch)];
        loop {
            assert_eq!(worker.tally().unaccounted(), 0);
            match catch_unwind(AssertUnwindSafe(|| worker.read_again(batch))) {
                Ok(true) => {}
                Ok(false) => return casualties,
                Err(died) => casualties.push(worker.restart(cause(died.is::<Hung>()), batch)),
            }
        }
    }

    fn fates(worker: &Worker, fates: [Fate; 3]) -> [u64; 3] {
        fates.map(|fate| worker.tally().fates.of(fate))
    }

    const FATES: [Fate; 3] = [Fate::Processed, Fate::LostInRestart, Fate::SkippedPoisonous];

    fn alerts(releases: &Receiver<Release>) -> usize {
        packets_of(releases).len()
    }

    /// The packets that alerts were raised at.
    fn packets_of(releases: &Receiver<Release>) -> Vec<u64> {
        let alerts = releases.try_iter().flat_map(|release| release.alerts);
        alerts.filter(|alert| !alert.is_final()).map(|alert| alert.packet).collect()
    }

    #[test]
    fn a_worker_that_panics_loses_that_packet_and_its_flows_and_nothing_else() {
        let (mut worker, releases) = failing("panic", 0, 1);
        assert_eq!(breathe(&mut worker, &[datagram(1, b"a"), datagram(2, b"b")]), None);
        let (before, arp) = (worker.tally(), vec![2; 9]);
        let batch = [datagram(1, b"c"), arp, poison(3), datagram(4, b"d")];
        let Casualty { doing, flows, frames, left, packet } = breathe(&mut worker, &batch).expect("it dies");
        // the flow that began in the same batch is among them
        assert_eq!((doing, frames, left), ("a packet", 1, 2));
        assert!((2..=3).contains(&flows), "{flows}");
        let packet = packet.expect("it is known");
        assert_eq!((packet.number, &packet.bytes, packet.rebuilt), (5, &batch[2], false));
        assert_eq!(breathe(&mut worker, &[datagram(5, b"e")]), None);
        let after = worker.tally();
        assert_eq!(fates(&worker, FATES), [5, 1, 0]);
        assert_eq!((after.handed, after.fates.malformed(), after.restarts, after.flows_lost), (7, 1, [1, 0], flows));
        assert!(after.flows.began > before.flows.began && after.bytes > before.bytes);
        // of 1 and 2; again of 1, whose flow was forgotten; of 4 and 5
        assert_eq!((after.alerts, after.hits), (5, 5));
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
            assert_eq!((casualty.doing, casualty.frames, casualty.left), ("headers", 1, 1));
        }
        assert_eq!(breathe(&mut worker, &[poison(3), datagram(4, b"well"), datagram(3, b"well")]), None);
        assert_eq!(fates(&worker, FATES), [3, 2, 2]);
    }

    #[test]
    fn who_does_not_know_the_packet_of_a_batch_finds_it_as_it_reads_again() {
        let (mut worker, releases) = failing("ask", 0, 1);
        let [looked_up, found] = &deaths(&mut worker, &[datagram(4, b"well"), poison(3), datagram(5, b"well")])[..]
        else {
            panic!("twice")
        };
        assert_eq!((looked_up.doing, looked_up.frames, looked_up.left, &looked_up.packet), ("look-ups", 0, 3, &None));
        assert_eq!((found.frames, found.left), (1, 1));
        assert_eq!(found.packet.as_ref().map(|packet| &packet.bytes), Some(&poison(3)));
        assert_eq!(fates(&worker, FATES), [2, 1, 0]);
        assert!(breathe(&mut worker, &[poison(3)]).is_some());
        assert_eq!(breathe(&mut worker, &[poison(3)]), None);
        assert_eq!(fates(&worker, FATES), [2, 2, 1]);
        worker.tick(None, 1);
        assert_eq!((alerts(&releases), worker.tally().alerts), (3, 3), "each once, the skipped one by its address");
    }

    #[test]
    fn what_was_raised_before_a_death_among_the_hits_is_not_raised_again() {
        let (worker, releases) = failing("panic", 0, 1);
        // whoever is shown the third hit dies of it
        let mut shown = 0;
        let mut worker = worker.shown_to(Box::new(move |_| {
            shown += 1;
            assert!(shown != 3, "the third");
        }));
        let batch: Vec<_> = [1, 2, 3, 4, 5].map(|host| datagram(host, b"well")).into();
        let casualty = breathe(&mut worker, &batch).expect("it dies");
        assert_eq!((casualty.doing, casualty.frames, casualty.left), ("what was found", 1, 2));
        assert_eq!(casualty.packet.map(|packet| packet.bytes), Some(batch[2].clone()));
        assert_eq!(fates(&worker, FATES), [4, 1, 0]);
        worker.tick(None, 1);
        let raised: Vec<u64> = packets_of(&releases);
        let tally = worker.tally();
        // the third was found, and it died before that was an alert
        assert_eq!((raised, tally.alerts, tally.hits), (vec![1, 2, 4, 5], 4, 5));
    }

    #[test]
    fn a_batch_full_of_poison_costs_a_few_deaths_and_every_address_is_still_checked() {
        let (mut worker, releases) = failing("panic", 0, 1);
        let batch: Vec<_> = (0..=255).map(poison).collect();
        let died = deaths(&mut worker, &batch).len() as u32;
        assert_eq!(died, 1 + READ_AGAIN_DEATHS_MAX);
        assert_eq!(fates(&worker, FATES), [0, u64::from(died), 256 - u64::from(died)]);
        worker.tick(None, 1);
        assert_eq!(alerts(&releases), 256 - died as usize);
        assert!(breathe(&mut worker, &[poison(200)]).is_some(), "then payloads are read again");
    }

    #[test]
    fn a_batch_full_of_headers_that_kill_is_given_up_in_the_end() {
        let (mut worker, _releases) = failing("decode", 0, 1);
        let batch: Vec<_> = (0..=255).map(poison).collect();
        assert_eq!(deaths(&mut worker, &batch).len() as u32, 1 + 2 * READ_AGAIN_DEATHS_MAX);
        assert_eq!(fates(&worker, FATES), [0, 256, 0]);
        assert_eq!(breathe(&mut worker, &[datagram(1, b"well")]), None);
    }

    #[test]
    fn hosts_that_kill_from_port_to_port_are_read_no_more_and_their_addresses_are_still_checked() {
        let (mut worker, releases) = failing("panic", 0, 1);
        let by = |port: u32| datagram_by(3, port as u8, b"POISON");
        assert!((0..POISONED_FLOWS_MAX).all(|port| breathe(&mut worker, &[by(port)]).is_some()));
        let batch: Vec<_> = (100..200).map(by).chain([datagram(4, b"well")]).collect();
        assert_eq!(breathe(&mut worker, &batch), None);
        assert_eq!(fates(&worker, FATES), [1, u64::from(POISONED_FLOWS_MAX), 100]);
        worker.tick(None, 1);
        assert_eq!(alerts(&releases), 101, "all speak to a listed address");
        assert!(breathe(&mut worker, &[poison(5)]).is_some(), "another host is another matter");
    }

    #[test]
    fn a_datagram_that_came_whole_in_the_batch_is_put_together_again() {
        let (mut worker, releases) = failing("panic", 0, 1);
        let whole = &datagram(7, b"this is well, and long enough")[34..];
        let pieces = [ipv4(7, 17, 0x2000, &whole[..16]), ipv4(7, 17, 2, &whole[16..])];
        assert!(breathe(&mut worker, &[pieces[0].clone(), pieces[1].clone(), poison(3)]).is_some());
        assert_eq!(fates(&worker, [Fate::Processed, Fate::LostInRestart, Fate::FragmentKept]), [1, 1, 1]);
        worker.tick(None, 1);
        assert_eq!(alerts(&releases), 1);
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
        let casualty = again(&mut owner, false, None).remove(0);
        let packet = casualty.packet.expect("it is known");
        assert_eq!((casualty.frames, casualty.left, packet.rebuilt, packet.link.0), (1, 2, true, 101));
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
        assert_eq!(alerts(&releases), theirs.len() + 2, "two flows were read again, and began again");
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
    fn a_question_beside_a_packet_that_kills_is_read() {
        let (mut worker, releases) = failing("panic", 0, 1);
        assert!(breathe(&mut worker, &[ipv4(1, 17, 0, &question(1)), poison(3)]).is_some());
        assert_eq!(breathe(&mut worker, &[ipv4(1, 17, 0, &question(1))]), None);
        worker.tick(None, 1);
        assert_eq!(alerts(&releases), 2, "the name and the address, once each");
    }
}
