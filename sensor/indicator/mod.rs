//! The indicator set: frozen, asked in batches, every hit confirmed against the indicator's own canonical bytes.
//!
//! In: indicators from feeds. Out: [`IndicatorSet`] and [`Hit`]s. Never here: a protocol, a clock, a file.
//!
//! `build.rs` sorts what feeds say; `index.rs` finds values, in a hot part (`hot.rs`: filter and fingerprints, in huge
//! pages) and a cold one (`cold.rs`: sorted values and records) that confirms; `pattern.rs` has the automata that find
//! patterns; `marking.rs` has TLP and PAP; `policy.rs` asks after a hit whether it may raise an alert;
//! `admitted.rs` has what alerts then share.

mod admitted;
mod build;
mod cold;
mod hot;
mod index;
mod marking;
mod pattern;
mod policy;

#[cfg(test)]
mod oracle;

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::observable::address::{self, Port, canonical_of};
use crate::observable::{Kind, Observations};
use crate::time::Timestamp;

pub use admitted::{Admitted, Iocs};
pub use build::{Builder, Said};
pub use index::Questions;
pub use marking::{Pap, Tlp};
pub use policy::{Explained, Judged, Word};

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
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Statement {
    /// Who says it.
    pub source: String,
    /// Whether nobody said who, and it is the file's name.
    pub source_is_file: bool,
    /// How far it may be passed on.
    pub tlp: Tlp,
    /// What may be done with it.
    pub pap: Pap,
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
    /// Narrowing of an address; `None`: any.
    pub port: Option<Port>,
    /// The field that a pattern is looked for in; `None` for all other kinds.
    pub field: Option<&'static str>,
    /// Whether a pattern takes ASCII letters in either case.
    pub nocase: bool,
    /// The sectors that it is meant for, in lower case; empty: all.
    pub sectors: Vec<String>,
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
pub struct IndicatorSet {
    index: index::Index,
    records: cold::Records,
    automata: pattern::Automata,
    allow: index::Index,
    site: policy::Site,
    version: String,
}

impl IndicatorSet {
    /// Whether the set has entries of this kind.
    pub fn holds(&self, kind: &Kind) -> bool {
        self.index.holds(kind)
    }

    /// Whether values of this kind are worth a canonical form: the set has entries of it, or what a pattern meets may be
    /// on the allow-list by it.
    pub fn seeks(&self, kind: &Kind) -> bool {
        self.holds(kind) || !self.automata.is_empty() && self.allow.holds(kind)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// 16 hexadecimal digits over all entries and what is said of them: equal sets have equal versions, whatever the
    /// order of their files.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Kind and canonical value of an entry.
    pub fn value(&self, entry: Entry) -> (&'static Kind, &[u8]) {
        self.index.value(entry)
    }

    /// Looks up every sought field of every observation, and every field that patterns name; hits come in the order (observation, field, entry).
    pub fn look_up(&self, observations: &Observations, room: &mut Questions, hits: &mut Vec<Hit>) {
        if self.is_empty() {
            return;
        }
        let seen = |question: &index::Question| {
            let of = &observations.list()[question.asked as usize];
            observations.canonical(&observations.fields(of)[question.field as usize])
        };
        room.clear();
        let patterns = !self.automata.is_empty();
        let mut value = 0;
        for (asked, observation) in (0..).zip(observations.list()) {
            for (field, sought) in (0..).zip(observations.fields(observation)) {
                let asker = index::Asker { value, asked, field };
                value += 1;
                if patterns {
                    self.automata.ask(&self.index, sought.field, observations.raw(sought), asker, room);
                }
                let canonical = observations.canonical(sought);
                if sought.field.kinds.is_empty() || canonical.is_empty() {
                    continue;
                }
                self.index.ask(sought.field.kinds, canonical, asker, room);
                self.index.settle_when_full(room, seen);
            }
        }
        room.finish(&self.index, seen, hits);
    }

    /// Looks up addresses; hits come in the order of the questions, then by entry.
    pub fn look_up_addresses(&self, questions: &[AddressQuestion], room: &mut Questions, hits: &mut Vec<Hit>) {
        if address::KINDS.iter().all(|kind| !self.holds(kind)) {
            return;
        }
        room.clear();
        for question in questions {
            let canonical = canonical_of(question.address);
            self.index.prefetch_near(&canonical);
            room.addresses.push(canonical);
        }
        for (value, &AddressQuestion { asked, field, .. }) in (0..).zip(questions) {
            let canonical = room.addresses[value as usize];
            self.index.ask(&address::KINDS, &canonical, index::Asker { value, asked, field }, room);
            room.settle_addresses(&self.index);
        }
        room.finish_addresses(&self.index, hits);
    }
}

/// The number that stands for an indicator where EVE wants a signature: the same in every set and at every site.
pub fn signature_id(kind: &str, value: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(kind.as_bytes());
    hasher.write(&[0]);
    hasher.write(value.as_bytes());
    3_000_000_000 + hasher.finish() % 1_000_000_000
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
    /// Meant for sectors that the site does not belong to.
    OtherSector,
    /// Above the TLP that may raise an alert at this site.
    AboveTlp,
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
    pub statement: Arc<Statement>,
}

impl Severity {
    /// Its name in feeds.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// Reads a feed's spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        all.into_iter().find(|severity| severity.name().eq_ignore_ascii_case(name.trim()))
    }

    /// EVE counts from 1, the worst.
    pub const fn eve(self) -> u8 {
        4 - self as u8
    }
}

impl Refusal {
    /// The word in metrics and in `haetae lookup`.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::NotYetValid => "not_yet_valid",
            Refusal::Expired => "expired",
            Refusal::Revoked => "revoked",
            Refusal::LowConfidence => "low_confidence",
            Refusal::Allowed => "allowed",
            Refusal::OtherPort => "other_port",
            Refusal::OtherSector => "other_sector",
            Refusal::AboveTlp => "above_tlp",
        }
    }
}
