//! The gate: full alerts in, what may leave out. It builds new objects from a list of known fields and never copies an
//! unknown one; `deploy/gate.yaml` says in words what leaves, `deploy/ingest.yaml` as a schema.
//!
//! A sink takes a [`Batch`] or a [`Heartbeat`], and only the gate makes these: what does not come through here cannot
//! be sent. Never here: a socket.

mod form;
mod heartbeat;
mod misp;
mod nats;
mod policy;
mod project;
mod reveal;
mod secret;
mod sentence;
mod shape;
mod sink;
mod stix;
mod stix_words;
mod syslog;
mod token;
mod uuid;
mod view;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde_json_borrow::Value;

use crate::ledger::Head;
use crate::spool::{Position, SpoolId};

pub use form::{Envelope, Message};
pub use heartbeat::{Blind, Condition, Health, Heartbeat, Losses, Pulse};
pub use policy::{Limits, Mistake, Policy, Written, WrittenSink};
pub use reveal::Question;
pub use secret::{SiteKey, read_secret};
pub use sink::{ALWAYS, CEF, CENTRE, GROUPS, Group, MISP, NATS, OF_RED, SINKS, SYSLOG, Sink, TAXII, WrittenSinks};
pub use token::{Of, Token};
pub use view::{Met, Shed};

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
    /// On an indicator above the TLP that may leave to this sink.
    AboveTlp,
    /// On an indicator above the PAP that may leave to this sink.
    AbovePap,
    /// The sink's form has no words for it, or none are left of what it needs.
    Unsayable,
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
            Withheld::AbovePap => "above_pap",
            Withheld::Unsayable => "unsayable",
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
        let named = shape::is_name(site) && shape::is_name(sensor);
        named.then(|| Sender { site: site.to_owned(), sensor: sensor.to_owned(), mode })
    }

    /// The site's name.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The sensor's name.
    pub fn sensor(&self) -> &str {
        &self.sensor
    }

    /// Site and sensor.
    pub fn names(&self) -> (&str, &str) {
        (&self.site, &self.sensor)
    }

    /// How it is meant.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// What may leave of one alert to one sink. A dialect is made of this and of nothing else; `view.rs` has its fields.
#[derive(Clone, Debug)]
pub struct Projected {
    position: Position,
    value: shape::Said,
}

impl Projected {
    /// The record's place in the spool.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The record for a person at the site, one field a line: what a centre would be told.
    pub fn shown(&self) -> String {
        format!("{:#}", self.value())
    }
}

/// What may leave of a run of the spool: one delivery.
#[derive(Clone, Debug)]
pub struct Batch {
    ledger: Head,
    spool: SpoolId,
    after: Position,
    through: Position,
    positions: Vec<Position>,
    messages: Vec<Message>,
    all: OnceLock<Vec<u8>>,
}

impl Batch {
    /// The bytes of all messages, one behind the other: what the ledger's digest is of.
    pub fn bytes(&self) -> &[u8] {
        match &self.messages[..] {
            [one] => one.bytes(),
            several => self.all.get_or_init(|| several.iter().flat_map(Message::bytes).copied().collect()),
        }
    }

    /// Where the ledger stood before it was entered: what its messages say.
    pub fn ledger(&self) -> Head {
        self.ledger
    }

    /// Which spool the positions count in.
    pub fn spool(&self) -> SpoolId {
        self.spool
    }

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

    /// What to send, in order.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The bytes to send, where all go at once.
    pub fn json(&self) -> &[u8] {
        self.messages.first().map_or(&[], Message::bytes)
    }
}

/// The gate between one sender and one sink.
pub struct Gate {
    sink: &'static Sink,
    limits: Limits,
    key: SiteKey,
    sender: Sender,
    home: Home,
}

impl Gate {
    /// The gate to the alliance's ingest endpoint: it obeys `policy`, names hosts under `key` and holds back what is at `home`.
    pub fn new(policy: Policy, key: SiteKey, sender: Sender, home: Home) -> Gate {
        Gate::of(&CENTRE, &policy, key, sender, home)
    }

    /// The gate to a sink of the table.
    pub fn of(sink: &'static Sink, policy: &Policy, key: SiteKey, sender: Sender, home: Home) -> Gate {
        Gate { sink, limits: policy.limits(sink), key, sender, home }
    }

    /// To whom.
    pub fn sink(&self) -> &'static Sink {
        self.sink
    }

    /// Who speaks through it.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// What may leave of a record.
    ///
    /// # Errors
    /// Why nothing may.
    pub fn project(&self, position: Position, record: &[u8]) -> Result<Projected, Withheld> {
        let record: Value<'_> = serde_json::from_slice(record).map_err(|_| Withheld::Unreadable)?;
        let value = project::project(self, position, &record)?;
        let projected = Projected { position, value: Value::Object(value) };
        if (self.sink.says)(&projected) { Ok(projected) } else { Err(Withheld::Unsayable) }
    }

    /// One delivery: everything in `(after, through]` that may leave, in the sink's form.
    /// `ledger` is where the ledger stands before it is entered.
    pub fn batch(
        &self,
        ledger: Head,
        spool: SpoolId,
        (after, through): (Position, Position),
        records: &[Projected],
    ) -> Batch {
        let envelope = Envelope { sender: &self.sender, ledger, spool, after, through };
        let positions = records.iter().map(Projected::position).collect();
        let messages = (self.sink.form)(&envelope, records);
        Batch { ledger, spool, after, through, positions, messages, all: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests;
