//! An attempt with its entries: one before it is made, one when it is over. What cannot be entered is not attempted.
//!
//! In: how to make a message of the ledger's head. Out: what became of it. Never here: a wait, a second attempt.

use std::io;

use super::{Delivery, Way};
use crate::gate::{Batch, Gate, Health};
use crate::ledger::{Answer, Head, Kind, Leaving, Run};
use crate::spool::{Position, SpoolId};

/// Why an answer without a receipt that holds settles nothing.
const NO_RECEIPT: &str = "the centre's answer has no receipt that one of its keys has signed for what was sent";

impl Way {
    /// One attempt to deliver what lies in `(after, through]`.
    ///
    /// # Errors
    /// The ledger cannot be written: nothing was sent.
    pub(super) fn deliver(
        &mut self,
        (spool, after, through): (SpoolId, Position, Position),
        records: usize,
        message: impl FnOnce(&Gate, Head) -> Batch,
    ) -> io::Result<Delivery> {
        let (site, sensor) = self.gate.speaker();
        let (sink, to) = self.sink.destination(Kind::Alerts);
        let run = Some(Run { spool: spool.to_string(), after: after.0, through: through.0 });
        let leaving = Leaving { site, sensor, sink, to: &to, kind: Kind::Alerts, run, records: records as u64 };
        let (ticket, batch) = self.ledger.enter(&leaving, |head| message(&self.gate, head), Batch::json)?;
        let delivery = self.sink.deliver(&batch);
        let said = match &delivery {
            Delivery::Delivered { committed } => *committed,
            _ => None,
        };
        let answer = match &delivery {
            Delivery::Delivered { .. } if said.is_some_and(|up_to| up_to > after && up_to <= through) => {
                Answer::Committed
            }
            Delivery::Delivered { .. } => Answer::Unbelieved,
            Delivery::Later { .. } => Answer::Later,
            Delivery::Smaller => Answer::TooLarge,
            Delivery::Never { .. } => Answer::Refused,
        };
        let receipt = self.sink.receipt();
        match (answer, self.ledger.settle(ticket, answer, said.map(|up_to| up_to.0), receipt)) {
            (Answer::Committed, Answer::Unbelieved) => {
                Ok(Delivery::Later { reason: NO_RECEIPT.to_owned(), after: None })
            }
            _ => Ok(delivery),
        }
    }

    /// One sign of life.
    ///
    /// # Errors
    /// Why nobody is known to have heard it, for a person.
    pub(super) fn beat(&mut self, health: &Health) -> Result<(), String> {
        let (site, sensor) = self.gate.speaker();
        let (sink, to) = self.sink.destination(Kind::Heartbeat);
        let leaving = Leaving { site, sensor, sink, to: &to, kind: Kind::Heartbeat, run: None, records: 0 };
        let entered =
            self.ledger.enter(&leaving, |head| self.gate.heartbeat(head, health), |heartbeat| heartbeat.json());
        let (ticket, heartbeat) = entered.map_err(|error| format!("the ledger cannot be written: {error}"))?;
        let heard = self.sink.beat(&heartbeat);
        let answer = if heard.is_ok() { Answer::Heard } else { Answer::Later };
        let receipt = self.sink.receipt();
        match (heard, self.ledger.settle(ticket, answer, None, receipt)) {
            (Ok(()), Answer::Heard) => Ok(()),
            (Ok(()), _) => Err(NO_RECEIPT.to_owned()),
            (Err(why), _) => Err(why),
        }
    }
}
