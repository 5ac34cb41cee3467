//! An attempt with its entries: one before it is made, one when it is over. What cannot be entered is not attempted.
//!
//! In: how to make a message of the ledger's head. Out: what became of it. Never here: a wait, a second attempt.

use std::io;
use std::time::Duration;

use super::{Delivery, Trouble, Way};
use crate::gate::{Batch, Gate, Health};
use crate::ledger::{Answer, Head, Kind, Leaving, Run, Ticket};
use crate::spool::{Position, SpoolId};

/// Batches that a sink has taken and nobody has committed yet: at most one of each spool. They are asked after, and what is asked is
/// no message with records: nothing is entered for it.
#[derive(Default)]
pub(super) struct Taken(Vec<Held>);

/// One of them, and its entry.
struct Held {
    which: usize,
    ticket: Ticket,
    batch: Batch,
}

impl Taken {
    /// That of a spool, which is not held any more.
    fn take(&mut self, spool: SpoolId) -> Option<Held> {
        let at = self.0.iter().position(|held| held.batch.spool() == spool)?;
        Some(self.0.swap_remove(at))
    }
}

/// Why an answer without a receipt that holds settles nothing.
const NO_RECEIPT: &str = "the centre's answer has no receipt that one of its keys has signed for what was sent";

impl Way {
    /// One attempt to deliver what lies in `(after, through]`, to one of the endpoints; or, where it has taken what begins there,
    /// the question what became of that.
    ///
    /// # Errors
    /// The ledger cannot be written: nothing was sent.
    pub(super) fn deliver(
        &mut self,
        taken: &mut Taken,
        (which, patience): (usize, Duration),
        (spool, after, through): (SpoolId, Position, Position),
        records: usize,
        message: impl FnOnce(&Gate, Head) -> Batch,
    ) -> io::Result<Delivery> {
        if let Some(held) = taken.take(spool) {
            let same = held.which == which && held.batch.after() == after && held.batch.through() <= through;
            let answer = if same { self.sinks[which].poll(&held.batch, patience) } else { None };
            match answer {
                Some(Delivery::Taken) => {
                    taken.0.push(held);
                    return Ok(Delivery::Taken);
                }
                Some(answer) => return Ok(self.settled(which, held.ticket, &held.batch, answer)),
                None => {
                    self.ledger.settle(held.ticket, Answer::Taken, None, None);
                }
            }
        }
        let sink = &mut self.sinks[which];
        let leaving = Leaving {
            run: Some(Run { spool: spool.to_string(), after: after.0, through: through.0 }),
            records: records as u64,
            ..leaving(&self.gate, Kind::Alerts, sink.gives_receipts())
        };
        let (name, to) = sink.destination(Kind::Alerts);
        let (ticket, batch) =
            self.ledger.enter(&leaving, (name, &to), |head| message(&self.gate, head), Batch::bytes)?;
        match sink.deliver(&batch, patience) {
            Delivery::Taken => {
                taken.0.push(Held { which, ticket, batch });
                Ok(Delivery::Taken)
            }
            answer => Ok(self.settled(which, ticket, &batch, answer)),
        }
    }

    /// What an attempt came to is entered; and what it comes to, where nobody has signed for it who should have.
    fn settled(&mut self, which: usize, ticket: Ticket, batch: &Batch, delivery: Delivery) -> Delivery {
        let (sink, after, through) = (&mut self.sinks[which], batch.after(), batch.through());
        let said = match &delivery {
            Delivery::Delivered { committed } => *committed,
            _ => None,
        };
        let answer = match &delivery {
            Delivery::Delivered { .. } if said.is_some_and(|up_to| up_to > after && up_to <= through) => {
                Answer::Committed
            }
            Delivery::Delivered { .. } => Answer::Unbelieved,
            Delivery::Taken => Answer::Taken,
            Delivery::Later { .. } | Delivery::Again { .. } => Answer::Later,
            Delivery::Smaller { .. } => Answer::TooLarge,
            Delivery::Unclear { .. } | Delivery::Never { .. } => Answer::Refused,
        };
        let receipt = sink.receipt();
        match (answer, self.ledger.settle(ticket, answer, said.map(|up_to| up_to.0), receipt)) {
            (Answer::Committed, Answer::Unbelieved) => {
                Delivery::Later { trouble: Trouble::Other, reason: NO_RECEIPT.to_owned(), after: None }
            }
            _ => delivery,
        }
    }

    /// One sign of life, to one of the endpoints.
    ///
    /// # Errors
    /// Why nobody is known to have heard it, for a person.
    pub(super) fn beat(&mut self, which: usize, health: &Health, patience: Duration) -> Result<(), String> {
        let sink = &mut self.sinks[which];
        if !sink.is_told_of_life() {
            return Ok(());
        }
        let leaving = leaving(&self.gate, Kind::Heartbeat, sink.gives_receipts());
        let (name, to) = sink.destination(Kind::Heartbeat);
        let message = |head| self.gate.heartbeat(head, health);
        let entered = self.ledger.enter(&leaving, (name, &to), message, |heartbeat| heartbeat.json());
        let (ticket, heartbeat) = entered.map_err(|error| format!("the ledger cannot be written: {error}"))?;
        let heard = sink.beat(&heartbeat, patience);
        let answer = if heard.is_ok() { Answer::Heard } else { Answer::Later };
        let receipt = sink.receipt();
        match (heard, self.ledger.settle(ticket, answer, None, receipt)) {
            (Ok(()), Answer::Heard) => Ok(()),
            (Ok(()), _) => Err(NO_RECEIPT.to_owned()),
            (Err(why), _) => Err(why),
        }
    }
}

fn leaving(gate: &Gate, kind: Kind, is_receipted: bool) -> Leaving<'_> {
    let (site, sensor) = gate.sender().names();
    Leaving { site, sensor, kind, is_receipted, run: None, records: 0 }
}
