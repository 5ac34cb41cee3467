//! Forms: what a sink puts on the wire at once. In: projected alerts and whose they are. Out: messages, in order. Never here: a
//! field that was not projected.

use serde::Serialize;

use super::shape::Said;
use super::{Mode, Projected, Sender};
use crate::ledger::Head;
use crate::spool::{Position, SpoolId};

/// A run of the spool, and who speaks of it.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Who speaks.
    pub sender: &'a Sender,
    /// Where the ledger stands before the run is entered.
    pub ledger: Head,
    /// Which spool the positions count in.
    pub spool: SpoolId,
    /// Everything up to here was settled before.
    pub after: Position,
    /// Everything up to here is settled once this is.
    pub through: Position,
}

/// What goes on the wire at once: of a batch, or of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    positions: Vec<Position>,
    id: String,
    bytes: Vec<u8>,
}

impl Message {
    /// Of one record.
    pub(super) fn of(envelope: &Envelope<'_>, record: &Projected, bytes: Vec<u8>) -> Message {
        let id = format!("{}.{}.{}", envelope.sender.site(), record.id(), record.revision());
        Message { positions: vec![record.position()], id, bytes }
    }

    /// Of several records.
    pub(super) fn of_all(envelope: &Envelope<'_>, records: &[Projected], bytes: Vec<u8>) -> Message {
        let positions = records.iter().map(Projected::position).collect();
        let id = format!("{}.{}.{}", envelope.sender.site(), envelope.spool, envelope.through.0);
        Message { positions, id, bytes }
    }

    /// The places of its records, in order.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// What a receiver knows a repeat by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The bytes to send.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// How a sink is told.
pub type Form = fn(&Envelope<'_>, &[Projected]) -> Vec<Message>;

/// The centre's: one message, as `deploy/ingest.yaml` says.
pub(super) fn ingest(envelope: &Envelope<'_>, records: &[Projected]) -> Vec<Message> {
    #[derive(Serialize)]
    struct Wire<'a> {
        site: &'a str,
        sensor: &'a str,
        mode: Mode,
        spool: String,
        after: u64,
        through: u64,
        ledger: Head,
        records: Vec<&'a Said>,
    }
    let wire = Wire {
        site: envelope.sender.site(),
        sensor: envelope.sender.sensor(),
        mode: envelope.sender.mode(),
        spool: envelope.spool.to_string(),
        after: envelope.after.0,
        through: envelope.through.0,
        ledger: envelope.ledger,
        records: records.iter().map(Projected::said).collect(),
    };
    vec![Message::of_all(envelope, records, serde_json::to_vec(&wire).unwrap_or_default())]
}
