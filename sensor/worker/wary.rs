//! What a worker is wary of: flows and pairs of hosts whose packets have killed it.
//!
//! In: packets on their way to their flow. Out: their fates. A flow that did it twice is followed without its payload, so its
//! addresses are still checked; one that did it again is not followed at all. Nearly always there is none, and that is one test.

use crate::capture::Frame;
use crate::decode::{Address, Fate, Packet, peek};
use crate::flow::{Flows, Moment, Ticket, Trail};
use crate::leash::{Leash, Provoke, Provoked};
use crate::limits::{POISONED_MAX, POISONED_TIME};
use crate::time::Timestamp;

/// Deaths before a flow is skipped.
const DEATHS: u32 = 2;

/// Whose packet it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whom {
    Flow(Ticket),
    /// The headers were not read to their end: who sent it to whom, as far as fixed places tell.
    Pair(Address, Address),
}

impl Whom {
    fn is(&self, other: &Whom) -> bool {
        match (self, other) {
            (Whom::Flow(one), Whom::Flow(other)) => one.is_of_the_flow_of(other),
            (Whom::Pair(one, other), Whom::Pair(this, that)) => {
                (one, other) == (this, that) || (one, other) == (that, this)
            }
            _ => false,
        }
    }
}

struct Poisonous {
    whom: Whom,
    deaths: u32,
    last: Timestamp,
}

/// See the head of this file.
pub(super) struct Wary {
    /// Whether there is nothing to be wary of.
    calm: bool,
    of: Vec<Poisonous>,
    provoke: Option<Provoke>,
    leash: Leash,
    /// The batch has what is provoked at its look-ups.
    armed: bool,
}

impl Wary {
    pub(super) fn new(provoke: Option<Provoke>, leash: Leash) -> Wary {
        Wary { calm: provoke.is_none(), of: Vec::new(), provoke, leash, armed: false }
    }

    /// Who was blamed before the worker began again, and still is.
    pub(super) fn remember(&mut self, before: &mut Wary) {
        self.of = std::mem::take(&mut before.of);
        self.calm = self.of.is_empty() && self.provoke.is_none();
    }

    /// A packet has killed the worker.
    pub(super) fn blame(&mut self, whom: Whom, time: Timestamp) {
        self.calm = false;
        if let Some(known) = self.of.iter_mut().find(|one| one.whom.is(&whom)) {
            known.deaths += 1;
            known.last = time;
            return;
        }
        if self.of.len() == POISONED_MAX {
            let oldest = self.of.iter().enumerate().min_by_key(|(_, one)| one.last);
            let _forgotten = oldest.map(|(at, _)| at).map(|at| self.of.swap_remove(at));
        }
        self.of.push(Poisonous { whom, deaths: 1, last: time });
    }

    /// Deaths that are laid to its charge; after a while they are forgotten.
    fn deaths(&mut self, whom: &Whom, time: Timestamp) -> u32 {
        let Some(at) = self.of.iter().position(|one| one.whom.is(whom)) else { return 0 };
        if time.since(self.of[at].last).as_nanos() > POISONED_TIME.as_nanos() {
            self.of.swap_remove(at);
            return 0;
        }
        self.of[at].deaths
    }

    /// Before a frame's headers are read: the fate of one that is better left alone.
    #[inline]
    pub(super) fn meet(&mut self, frame: &Frame<'_>) -> Result<(), Fate> {
        if self.calm { Ok(()) } else { self.meet_warily(frame) }
    }

    fn meet_warily(&mut self, frame: &Frame<'_>) -> Result<(), Fate> {
        let pair = peek(frame).filter(|_| self.of.iter().any(|one| matches!(one.whom, Whom::Pair(..))));
        if pair.is_some_and(|(one, other)| self.deaths(&Whom::Pair(one, other), frame.time) >= DEATHS) {
            return Err(Fate::SkippedPoisonous);
        }
        self.provoked(&[Provoked::Decode], frame.bytes);
        Ok(())
    }

    /// Follows one packet: see [`Flows::follow`].
    #[inline]
    pub(super) fn follow(
        &mut self,
        flows: &mut Flows,
        moment: Moment,
        (packet, ticket, payload): (&Packet, &Ticket, &[u8]),
        trail: &mut Trail,
    ) -> Fate {
        if self.calm || !self.is_poisonous(flows, moment, (packet, ticket, payload), trail) {
            return flows.follow(moment, packet, ticket, payload, trail);
        }
        Fate::SkippedPoisonous
    }

    fn is_poisonous(
        &mut self,
        flows: &mut Flows,
        moment: Moment,
        (packet, ticket, payload): (&Packet, &Ticket, &[u8]),
        trail: &mut Trail,
    ) -> bool {
        let deaths = self.deaths(&Whom::Flow(*ticket), moment.time);
        if deaths == DEATHS {
            // to its flow it is as if the capture had cut it off
            let missing = packet.missing.saturating_add(payload.len() as u32);
            flows.follow(moment, &Packet { missing, ..*packet }, ticket, &[], trail);
        } else if deaths < DEATHS {
            self.provoked(&[Provoked::Panic, Provoked::Hang, Provoked::Stop, Provoked::Wait], payload);
            self.armed |= self.has(&[Provoked::Ask], payload);
        }
        deaths >= DEATHS
    }

    fn has(&self, ways: &[Provoked], bytes: &[u8]) -> bool {
        self.provoke.as_ref().is_some_and(|provoke| ways.contains(&provoke.what) && provoke.is_in(bytes))
    }

    fn provoked(&self, ways: &[Provoked], bytes: &[u8]) {
        if self.has(ways, bytes) {
            self.provoke.iter().for_each(|provoke| provoke.happen(&self.leash));
        }
    }

    /// The batch is looked up.
    #[inline]
    pub(super) fn ask(&mut self) {
        if self.armed {
            self.provoke.iter().for_each(|provoke| provoke.happen(&self.leash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    fn pair(host: u8) -> Whom {
        Whom::Pair([host; 16], [99; 16])
    }

    #[test]
    fn blame_is_bounded_and_forgotten_after_a_while() {
        let (mut wary, start) = (Wary::new(None, Leash::default()), Timestamp::from_parts(1_000, 0));
        let later = |seconds| start.moved(Span::seconds(seconds));
        wary.blame(pair(0), start);
        wary.blame(pair(0), later(1));
        assert_eq!((wary.deaths(&pair(0), later(2)), wary.deaths(&pair(1), later(2))), (2, 0));
        assert_eq!(wary.deaths(&Whom::Pair([99; 16], [0; 16]), later(2)), 2, "whoever of the two sends");
        for host in 1..=POISONED_MAX as u8 {
            wary.blame(pair(host), later(10 + i64::from(host)));
        }
        assert_eq!((wary.of.len(), wary.deaths(&pair(0), later(90))), (POISONED_MAX, 0), "the oldest went");
        assert_eq!(wary.deaths(&pair(9), later(90)), 1);
        assert_eq!(wary.deaths(&pair(9), later(4_000)), 0, "an hour and more");
    }
}
