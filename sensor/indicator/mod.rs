//! The indicator set: frozen, asked in batches, every hit confirmed against the indicator's own canonical bytes.
//!
//! In: indicators from feeds. Out: [`IndicatorSet`] and [`Hit`]s. Never here: a protocol, a clock, a file.

use std::net::IpAddr;

use crate::observable::{Kind, Observations};
use crate::time::Timestamp;

/// Traffic Light Protocol 2.0, with strict amber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tlp {
    /// No limit.
    Clear,
    /// The community.
    Green,
    /// The organisation and its clients.
    #[default]
    Amber,
    /// The organisation only.
    AmberStrict,
    /// The recipients only.
    Red,
}

/// How bad a hit is. EVE counts from 1, the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// EVE 4.
    Low,
    /// EVE 3.
    #[default]
    Medium,
    /// EVE 2.
    High,
    /// EVE 1.
    Critical,
}

/// What one source says about one value; shared by all entries that say the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Statement {
    /// Who says it.
    pub source: String,
    /// How far it may be passed on.
    pub tlp: Tlp,
    /// 0 to 100.
    pub confidence: u8,
    /// How bad.
    pub severity: Severity,
    /// Labels, the first is the category.
    pub labels: Vec<String>,
    /// Not before this.
    pub valid_from: Option<Timestamp>,
    /// Not at or after this.
    pub valid_until: Option<Timestamp>,
    /// Withdrawn by its source.
    pub revoked: bool,
    /// What to do next, by language (`en`, `ko`).
    pub next: Vec<(String, String)>,
    /// `port/protocol` narrowing of an address; `None`: any.
    pub port: Option<(u16, u8)>,
}

/// One entry of a feed: a value and what is said of it.
#[derive(Clone, Debug)]
pub struct Indicator {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its canonical value.
    pub value: Vec<u8>,
    /// The source's own name for it (`indicator--...`), if it has one.
    pub id: Option<String>,
    /// What is said.
    pub statement: std::sync::Arc<Statement>,
}

/// A (kind, value) of the set: one number however many sources speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry(pub u32);

/// A confirmed match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Index of the observation (or of the address question).
    pub asked: u32,
    /// Index of the field within the observation.
    pub field: u32,
    /// What it met.
    pub entry: Entry,
}

/// An address of a new flow.
#[derive(Clone, Copy, Debug)]
pub struct AddressQuestion {
    /// The asker's number.
    pub asked: u32,
    /// 0 source, 1 destination, and so on: given back as [`Hit::field`].
    pub field: u32,
    /// The address.
    pub address: IpAddr,
}

/// Everything the alliance looks for.
#[derive(Default)]
pub struct IndicatorSet {}

/// Room for the questions of one batch, used again.
#[derive(Default)]
pub struct Questions {}

impl IndicatorSet {
    /// Whether the set has entries of this kind.
    pub fn holds(&self, _kind: &Kind) -> bool {
        false
    }

    /// Looks up every sought field of every observation; hits come in the order (observation, field, entry).
    pub fn look_up(&self, _observations: &Observations, _room: &mut Questions, _hits: &mut Vec<Hit>) {}

    /// Looks up addresses; hits come in the order of the questions, then by entry.
    pub fn look_up_addresses(&self, _questions: &[AddressQuestion], _room: &mut Questions, _hits: &mut Vec<Hit>) {}
}

/// What policy needs to know of a hit, beside its entry.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Packet time.
    pub at: Timestamp,
    /// The matched end's port and the IP protocol, where the matched value is an address of the flow.
    pub port: Option<(u16, u8)>,
}

/// Why a hit raised nothing, by name; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// Packet time is before `valid_from`: asked again later.
    NotYetValid,
    /// Packet time is at or after `valid_until`.
    Expired,
    /// Withdrawn by its source.
    Revoked,
    /// Below the site's confidence floor.
    LowConfidence,
    /// An allow-list of the site has the seen value.
    Allowed,
    /// Another port or protocol than the indicator says.
    OtherPort,
}

/// One source's admitted word on an entry: complete in itself.
#[derive(Clone, Debug)]
pub struct Ioc {
    /// The kind's name.
    pub kind: &'static str,
    /// The value as a person reads it.
    pub value: String,
    /// The source's own name for it.
    pub id: Option<String>,
    /// What is said.
    pub statement: std::sync::Arc<Statement>,
}

impl IndicatorSet {
    /// Policy, asked after a hit: the sources that stand by the entry under these circumstances, or why none does.
    /// `seen` is the canonical value that matched (for the allow-list).
    pub fn admit(&self, _entry: Entry, _seen: &[u8], _at: Circumstances) -> Result<Vec<Ioc>, Refusal> {
        Err(Refusal::Revoked)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
