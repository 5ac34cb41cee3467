//! What a worker had in hand when it died, read again one by one: only what it died of is lost.
//!
//! In: the batch, and which of its frames are to be read again; or packets of other workers. Out: what comes of them, as of any
//! others. Of each it dies once at most; then that one is lost too. Never here: what was put out already, or handed over.

use super::Worker;
use super::restart::Stage;
use super::steer::Handed;
use crate::capture::Batch;
use crate::decode::Fate;
use crate::flow::Step;
use crate::limits::READ_AGAIN_DEATHS_MAX;

/// See the head of this file; the next one lies last.
#[derive(Default)]
pub(super) struct Again {
    frames: Vec<usize>,
    handed: Vec<(Handed, Vec<u8>)>,
    /// Which frame of the batch is in hand, alone.
    alone: Option<usize>,
    /// Whether it has begun, and how often the worker died since.
    deaths: Option<u32>,
}

impl Again {
    /// How many are to be read again.
    pub(super) fn len(&self) -> usize {
        self.frames.len() + self.handed.len()
    }

    /// What of a batch is in hand: all of it, or one frame.
    pub(super) fn in_hand<'a>(&self, batch: Option<&Batch<'a>>) -> Option<Batch<'a>> {
        batch.map(|batch| self.alone.map_or(*batch, |at| batch.alone(at)))
    }
}

impl Worker {
    /// Reads the next of what it had in hand when it died; false: there is no more. Whoever finds it dead of that calls
    /// [`Worker::restart`] and goes on.
    pub fn read_again(&mut self, batch: Option<&Batch<'_>>) -> bool {
        let deaths = *self.again.deaths.get_or_insert(0);
        self.wary.shun_payloads(deaths >= READ_AGAIN_DEATHS_MAX);
        if let Some((batch, at)) = batch.zip(self.again.frames.pop()) {
            self.again.alone = Some(at);
            self.breathe(&batch.alone(at));
            return true;
        }
        if let Some((one, payload)) = self.again.handed.pop() {
            self.payloads.clear();
            self.payloads.extend_from_slice(&payload);
            self.handed.push(one);
            self.breathe_taken();
            return true;
        }
        self.again = Again::default();
        self.wary.shun_payloads(false);
        false
    }

    /// The fates of a batch that it died in, or of the one frame of it that was in hand. `culprit`: whom it died of.
    pub(super) fn settle(&mut self, batch: &Batch<'_>, stage: Option<Stage>, culprit: Option<usize>) {
        let asked = asked_before(stage, culprit);
        let mut fates = std::mem::take(&mut self.fates);
        fates.resize(batch.len(), Fate::Unaccounted);
        for unpacked in self.unpacked.iter().filter(|unpacked| unpacked.at >= asked) {
            fates[unpacked.at] = Fate::Unaccounted;
        }
        let mut again = Vec::new();
        for (at, fate) in fates.into_iter().enumerate() {
            // a datagram that came whole in this batch has lost its first pieces
            let is_open = matches!(fate, Fate::Unaccounted | Fate::FragmentKept);
            match Some(at) == culprit {
                true if is_open => self.settle_one(&batch.alone(at), Fate::LostInRestart),
                false if is_open => again.push(at),
                _ => self.settle_one(&batch.alone(at), fate),
            }
        }
        if self.again.deaths.is_none() {
            again.reverse();
            self.again.frames = again;
        }
    }

    fn settle_one(&mut self, batch: &Batch<'_>, fate: Fate) {
        self.fates.clear();
        self.fates.push(fate);
        self.account(batch);
    }

    /// The same for packets of other workers.
    pub(super) fn settle_handed(&mut self, stage: Option<Stage>, culprit: Option<usize>) {
        let asked = asked_before(stage, culprit);
        let (fates, handed) = (std::mem::take(&mut self.fates), std::mem::take(&mut self.handed));
        let payloads = std::mem::take(&mut self.payloads);
        let (mut rest, mut again) = (&payloads[..], Vec::new());
        for (at, one) in handed.into_iter().enumerate() {
            let (payload, behind) = rest.split_at(rest.len().min(one.len as usize));
            rest = behind;
            match fates.get(at).filter(|_| at < asked) {
                _ if Some(at) == culprit => self.settle_one_handed(one, Fate::LostInRestart),
                Some(fate) => self.settle_one_handed(one, *fate),
                None => again.push((one, payload.to_vec())),
            }
        }
        if self.again.deaths.is_none() {
            again.reverse();
            self.again.handed = again;
        }
    }

    fn settle_one_handed(&mut self, one: Handed, fate: Fate) {
        self.fates.clear();
        self.fates.push(fate);
        self.handed.push(one);
        self.account_handed();
    }

    /// One more death while it read again: too many, and the rest of `batch`, all that was polled, is given up.
    pub(super) fn die_again(&mut self, batch: Option<&Batch<'_>>) {
        let Some(deaths) = &mut self.again.deaths else { return };
        *deaths += 1;
        if *deaths < 2 * READ_AGAIN_DEATHS_MAX {
            return;
        }
        for at in std::mem::take(&mut self.again.frames) {
            batch.iter().for_each(|batch| self.settle_one(&batch.alone(at), Fate::LostInRestart));
        }
        for (one, _) in std::mem::take(&mut self.again.handed) {
            self.settle_one_handed(one, Fate::LostInRestart);
        }
    }

    /// It died as it asked at a step: what was found of later packets is not counted twice, what was seen in others is counted.
    pub(super) fn count_asked(&mut self, step: usize) {
        let (steps, culprit) = (self.trail.steps.len(), self.trail.packet_of(step));
        let next = (step..steps).find(|step| self.trail.packet_of(*step) != culprit).unwrap_or(steps);
        let observed = self.trail.steps[next..].iter().find_map(|step| match step {
            Step::Observed { first, .. } => Some(*first),
            _ => None,
        });
        let observed = observed.unwrap_or(self.trail.observations.len() as u32);
        let addresses = self.address_hits.iter().filter(|hit| hit.asked >= next as u32).count();
        let values = self.hits.iter().filter(|hit| hit.asked >= observed).count();
        self.tally.observations += u64::from(observed);
        self.tally.hits -= (addresses + values) as u64;
    }
}

/// Before which place of what is in hand all was asked: what came of it is put out.
fn asked_before(stage: Option<Stage>, culprit: Option<usize>) -> usize {
    culprit.filter(|_| stage == Some(Stage::Ask)).unwrap_or(0)
}
