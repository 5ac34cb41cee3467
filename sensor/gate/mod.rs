//! The gate: full alerts in, what may leave out. It builds new objects from a list of known fields and never copies an
//! unknown one; `deploy/gate.yaml` says in words what leaves, `deploy/ingest.yaml` as a schema.
//!
//! A sink takes a [`Batch`] or a [`Heartbeat`], and only the gate makes these: what does not come through here cannot
//! be sent. Never here: a socket.

mod heartbeat;
mod policy;
mod project;
mod secret;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::ledger::Head;
use crate::spool::{Position, SpoolId};

pub use heartbeat::{Blind, Condition, Health, Heartbeat, Losses, Pulse};
pub use policy::{Group, Policy, Written};
pub use secret::{SiteKey, read_secret};

/// Says whether an address is the site's own.
pub type Home = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Why a record stays here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// Not a JSON object.
    Unreadable,
    /// A record of another kind than an alert.
    NotAnAlert,
    /// An alert without identity and revision.
    NoIdentity,
    /// Of a replay that was not meant as an exercise: it must not reach anyone by accident.
    Replay,
    /// On an indicator above the policy's TLP.
    AboveTlp,
}

impl Withheld {
    /// Its name in counters.
    pub fn name(self) -> &'static str {
        match self {
            Withheld::Unreadable => "unreadable",
            Withheld::NotAnAlert => "not_an_alert",
            Withheld::NoIdentity => "no_identity",
            Withheld::Replay => "replay",
            Withheld::AboveTlp => "above_tlp",
        }
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether what is delivered is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Traffic of this site, now.
    Live,
    /// A replay: nobody is to be woken.
    Exercise,
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    site: String,
    sensor: String,
    mode: Mode,
}

impl Sender {
    /// A site, a sensor of it, and how it is meant. `None` when a name is not 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub fn new(site: &str, sensor: &str, mode: Mode) -> Option<Sender> {
        let named = project::is_name(site) && project::is_name(sensor);
        named.then(|| Sender { site: site.to_owned(), sensor: sensor.to_owned(), mode })
    }

    /// Site and sensor.
    pub fn names(&self) -> (&str, &str) {
        (&self.site, &self.sensor)
    }
}

/// What may leave of one alert.
#[derive(Clone, Debug)]
pub struct Projected {
    position: Position,
    value: Value,
}

impl Projected {
    /// The record's place in the spool.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The record for a person at the site, one field a line: what a centre would be told.
    pub fn shown(&self) -> String {
        format!("{:#}", self.value)
    }
}

/// What may leave of a run of the spool: one delivery.
#[derive(Clone, Debug)]
pub struct Batch {
    after: Position,
    through: Position,
    positions: Vec<Position>,
    json: Vec<u8>,
}

impl Batch {
    /// Everything up to here was settled before.
    pub fn after(&self) -> Position {
        self.after
    }

    /// Everything up to here is settled once this is committed; positions that are not among the records stay here.
    pub fn through(&self) -> Position {
        self.through
    }

    /// The places of the records, in order.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// The bytes to send.
    pub fn json(&self) -> &[u8] {
        &self.json
    }
}

/// The gate of one sender.
pub struct Gate {
    policy: Policy,
    key: SiteKey,
    sender: Sender,
    home: Home,
}

impl Gate {
    /// A gate that obeys `policy`, names hosts under `key` and holds back what is at `home`.
    pub fn new(policy: Policy, key: SiteKey, sender: Sender, home: Home) -> Gate {
        Gate { policy, key, sender, home }
    }

    /// What may leave of a record.
    ///
    /// # Errors
    /// Why nothing may.
    pub fn project(&self, position: Position, record: &[u8]) -> Result<Projected, Withheld> {
        let record: Value = serde_json::from_slice(record).map_err(|_| Withheld::Unreadable)?;
        let value = project::project(self, position, &record)?;
        Ok(Projected { position, value: Value::Object(value) })
    }

    /// Who speaks: site and sensor.
    pub fn speaker(&self) -> (&str, &str) {
        self.sender.names()
    }

    /// One delivery: everything in `(after, through]` that may leave; `ledger` is where the ledger stands before it is entered.
    pub fn batch(
        &self,
        ledger: Head,
        spool: SpoolId,
        (after, through): (Position, Position),
        records: &[Projected],
    ) -> Batch {
        #[derive(Serialize)]
        struct Wire<'a> {
            site: &'a str,
            sensor: &'a str,
            mode: Mode,
            spool: String,
            after: u64,
            through: u64,
            ledger: Head,
            records: Vec<&'a Value>,
        }
        let wire = Wire {
            site: &self.sender.site,
            sensor: &self.sender.sensor,
            mode: self.sender.mode,
            spool: spool.to_string(),
            after: after.0,
            through: through.0,
            ledger,
            records: records.iter().map(|record| &record.value).collect(),
        };
        let positions = records.iter().map(Projected::position).collect();
        Batch { after, through, positions, json: serde_json::to_vec(&wire).unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests;
