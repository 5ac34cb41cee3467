//! What a worker is wary of: flows and pairs of hosts whose packets have killed it.
//!
//! In: packets on their way to their flow. Out: their fates. A flow that did it twice is followed without its payload, so its
//! addresses are still checked; one that did it again is not followed at all. So it is with two hosts of which several flows did
//! it. Nearly always there is none, and that is one test.

use crate::capture::Frame;
use crate::decode::{Address, Fate, Packet, peek};
use crate::flow::{Flows, Moment, Ticket, Trail};
use crate::leash::{Leash, Provoke, Provoked};
use crate::limits::{POISONED_FLOWS_MAX, POISONED_MAX, POISONED_TIME};
use crate::time::Timestamp;

/// Deaths before a flow is skipped.
const DEATHS: u32 = 2;

/// Whose packet it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whom {
    Flow(Ticket),
    /// Two hosts, by the innermost addresses of their packets. Not one host: it may be everybody's resolver, and who sends in its
    /// name would blind the sensor to it.
    Hosts(Address, Address),
    /// The headers were not read to their end: who sent it to whom, as far as fixed places tell.
    Pair(Address, Address),
}

impl Whom {
    fn is(&self, other: &Whom) -> bool {
        match (self, other) {
            (Whom::Flow(one), Whom::Flow(other)) => one.is_of_the_flow_of(other),
            (Whom::Pair(one, other), Whom::Pair(this, that)) | (Whom::Hosts(one, other), Whom::Hosts(this, that)) => {
                (one, other) == (this, that) || (one, other) == (that, this)
            }
            _ => false,
        }
    }
}

struct Poisonous {
    whom: Whom,
    /// Of hosts: different flows that killed.
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
    /// Whether no payload is read, whoever sends it.
    shuns_payloads: bool,
}

impl Wary {
    pub(super) fn new(provoke: Option<Provoke>, leash: Leash) -> Wary {
        Wary { calm: provoke.is_none(), of: Vec::new(), provoke, leash, armed: false, shuns_payloads: false }
    }

    /// Who was blamed before the worker began again, and still is.
    pub(super) fn remember(&mut self, before: &mut Wary) {
        self.of = std::mem::take(&mut before.of);
        self.shun_payloads(before.shuns_payloads);
    }

    /// For a while no payload is read, or all are again.
    pub(super) fn shun_payloads(&mut self, shuns_payloads: bool) {
        self.shuns_payloads = shuns_payloads;
        self.calm = self.of.is_empty() && self.provoke.is_none() && !shuns_payloads;
    }

    /// A packet has killed the worker: its flow is blamed, and for each flow that is new in this its two hosts.
    pub(super) fn blame(&mut self, whom: Whom, hosts: Option<(Address, Address)>, time: Timestamp) {
        self.calm = false;
        if let (true, Some((one, other))) = (self.charge(whom, time), hosts) {
            self.charge(Whom::Hosts(one, other), time);
        }
    }

    /// One more death is laid to its charge; whether it is the first.
    fn charge(&mut self, whom: Whom, time: Timestamp) -> bool {
        if let Some(known) = self.of.iter_mut().find(|one| one.whom.is(&whom)) {
            known.deaths += 1;
            known.last = time;
            return false;
        }
        if self.of.len() == POISONED_MAX {
            let oldest = self.of.iter().enumerate().min_by_key(|(_, one)| one.last);
            let _forgotten = oldest.map(|(at, _)| at).map(|at| self.of.swap_remove(at));
        }
        self.of.push(Poisonous { whom, deaths: 1, last: time });
        true
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
        let hosts = self.deaths(&Whom::Hosts(packet.source, packet.destination), moment.time);
        let shunned = self.shuns_payloads && !payload.is_empty();
        let is_unread = deaths >= DEATHS || hosts >= POISONED_FLOWS_MAX || shunned;
        let is_left = deaths > DEATHS || hosts >= 2 * POISONED_FLOWS_MAX;
        if is_unread && !is_left {
            // to its flow it is as if the capture had cut it off
            let missing = packet.missing.saturating_add(payload.len() as u32);
            flows.follow(moment, &Packet { missing, ..*packet }, ticket, &[], trail);
        } else if !is_unread {
            self.provoked(&[Provoked::Panic, Provoked::Hang, Provoked::Stop, Provoked::Wait], payload);
            self.armed |= self.has(&[Provoked::Ask], payload);
        }
        is_unread
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
        wary.blame(pair(0), None, start);
        wary.blame(pair(0), None, later(1));
        assert_eq!((wary.deaths(&pair(0), later(2)), wary.deaths(&pair(1), later(2))), (2, 0));
        assert_eq!(wary.deaths(&Whom::Pair([99; 16], [0; 16]), later(2)), 2, "whoever of the two sends");
        for host in 1..=POISONED_MAX as u8 {
            wary.blame(pair(host), None, later(10 + i64::from(host)));
        }
        assert_eq!((wary.of.len(), wary.deaths(&pair(0), later(90))), (POISONED_MAX, 0), "the oldest went");
        assert_eq!(wary.deaths(&pair(9), later(90)), 1);
        assert_eq!(wary.deaths(&pair(9), later(4_000)), 0, "an hour and more");
    }
}
