//! Alerts: a hit with its observation, flow, asset and indicator, complete in itself.
//!
//! In: sightings, and flows that end. Out: [`Alert`]s, one per (flow, indicator) at its first sighting and once more at
//! the flow's end. [`record::Desk`] makes the local record of one. Never here: a clock, a file, a look-up of anything
//! that is not in the sighting.

pub mod community_id;
pub mod eve;
pub mod json;
pub mod language;
pub mod nest;
pub mod reading;
pub mod record;
mod repeats;
pub mod screen;
pub mod shed;
pub mod words;

#[cfg(test)]
pub(crate) mod sample;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

pub use repeats::Repeats;

use crate::flow::{Ended, FlowView, Scene};
use crate::indicator::{Entry, Ioc, Severity};
use crate::limits::{
    ANSWERS_MAX, CONTACTS_PER_FLOW_MAX, CONTACTS_PER_SHARD_MAX, CONTEXT_BYTES_MAX, CONTEXT_VALUE_BYTES_MAX,
    SEEN_BYTES_MAX, SEEN_PAIRS_MAX,
};
use crate::observable::{Event, Form, Observation, Observations, Seen, Side, Stage, address};
use crate::time::Timestamp;

/// A confirmed and admitted hit, as the worker has it in hand.
pub struct Sighting<'a> {
    /// What was met.
    pub entry: Entry,
    /// The sources that stand by it.
    pub iocs: Vec<Ioc>,
    /// The batch's observations.
    pub observations: &'a Observations,
    /// The one that met it.
    pub observation: &'a Observation,
    /// Which of its fields, an index into [`Observations::fields`].
    pub field: usize,
    /// When and in which flow.
    pub scene: &'a Scene,
    /// Whether the machine's clock is in doubt.
    pub clock_suspect: bool,
}

/// Where an indicator was met and what stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The field: `tls.sni`.
    pub seen_in: &'static str,
    /// Its value, printable and cut.
    pub seen: String,
}

/// One contact of one flow with one indicator, at one revision.
#[derive(Clone, Debug)]
pub struct Alert {
    /// What was met.
    pub entry: Entry,
    /// The sources that stand by it.
    pub iocs: Vec<Ioc>,
    /// The flow, as it stands at this revision.
    pub flow: FlowView,
    /// Counts from 1.
    pub revision: u32,
    /// Set once the flow has ended: this is the last revision.
    pub ended: Option<Ended>,
    /// There was no room to keep the contact: its first revision is its last, though the flow goes on.
    pub crowded: bool,
    /// The event of its first sighting.
    pub event: &'static Event,
    /// Who spoke at its first sighting.
    pub side: Side,
    /// Number of the packet of its first sighting.
    pub packet: u64,
    /// Where it was met, in order, without repeats; never empty.
    pub places: Vec<Place>,
    /// How far its observations say that it went.
    pub told: Option<Stage>,
    /// The event that went furthest as a JSON object: `{"tls":{...}}`; empty when there is nothing to print.
    pub context: Vec<u8>,
    /// Addresses that were given in answer.
    pub answers: Vec<IpAddr>,
    /// X-Forwarded-For as it was written.
    pub forwarded_for: Option<String>,
    /// Its first sighting.
    pub first: Timestamp,
    /// Its latest sighting.
    pub last: Timestamp,
    /// How many sightings.
    pub count: u64,
    /// Whether the machine's clock was in doubt when it was first sighted: its times are the sensor's own.
    pub clock_suspect: bool,
    /// Set in an update, which stands for other alerts: count, times and bytes are theirs together.
    pub repeats: Option<Repeats>,
}

/// The field in which EVE has X-Forwarded-For.
const FORWARDED_FOR: &str = "http.xff";

impl Alert {
    /// How bad the worst of its sources says it is.
    pub fn severity(&self) -> Severity {
        self.iocs.iter().map(|ioc| ioc.statement.severity).max().unwrap_or_default()
    }

    fn first(sighting: Sighting<'_>) -> Alert {
        let mut alert = Alert {
            entry: sighting.entry,
            iocs: Vec::new(),
            flow: sighting.scene.flow,
            revision: 1,
            ended: None,
            crowded: false,
            event: sighting.observation.event,
            side: sighting.observation.side,
            packet: sighting.scene.packet,
            places: Vec::with_capacity(1),
            told: None,
            context: Vec::new(),
            answers: Vec::new(),
            forwarded_for: None,
            first: sighting.scene.time,
            last: sighting.scene.time,
            count: 0,
            clock_suspect: sighting.clock_suspect,
            repeats: None,
        };
        alert.again(&sighting);
        alert.iocs = sighting.iocs;
        alert
    }

    /// Takes note of one more sighting in the same flow.
    fn again(&mut self, sighting: &Sighting<'_>) {
        self.count = self.count.saturating_add(1);
        self.last = self.last.max(sighting.scene.time);
        self.flow = sighting.scene.flow;
        let fields = sighting.observations.fields(sighting.observation);
        if let Some(seen) = fields.get(sighting.field) {
            self.note(seen.field.name, printable(sighting.observations, seen));
        }
        if self.context.is_empty() || sighting.observation.stage > self.told {
            self.context = context(sighting);
        }
        self.told = self.told.max(sighting.observation.stage);
        for seen in fields {
            self.note_beside(sighting.observations, seen);
        }
    }

    fn note(&mut self, seen_in: &'static str, seen: String) {
        let place = Place { seen_in, seen };
        if self.places.len() < SEEN_PAIRS_MAX && !self.places.contains(&place) {
            self.places.push(place);
        }
    }

    /// What stands beside the matched field and belongs in the alert whatever the indicator is.
    fn note_beside(&mut self, observations: &Observations, seen: &Seen) {
        if seen.field.form == Form::Address && !seen.field.path.is_empty() && self.answers.len() < ANSWERS_MAX {
            let answer = address::from_bytes(observations.raw(seen));
            self.answers.extend(answer.filter(|answer| !self.answers.contains(answer)));
        }
        if seen.field.name == FORWARDED_FOR && self.forwarded_for.is_none() {
            self.forwarded_for = Some(printable(observations, seen));
        }
    }

    /// How far the contact went. A flow that asks for a name is a flow with the resolver: how far *that* went is no
    /// measure of the contact, only what was said in it is.
    pub fn stage(&self) -> Stage {
        match self.told {
            Some(told) if self.is_of_a_name() => told,
            Some(told) => told.max(self.flow.stage),
            None => self.flow.stage,
        }
    }

    /// Whether the flow is one that asks for names, so that its server is a resolver and not the indicator's host.
    pub fn is_of_a_name(&self) -> bool {
        self.told.is_some_and(|told| (Stage::Asked..=Stage::Answered).contains(&told))
    }

    /// Whether no further revision comes.
    pub fn is_final(&self) -> bool {
        self.ended.is_some() || self.crowded
    }

    /// The moment that this revision speaks of.
    pub fn time(&self) -> Timestamp {
        match self.ended {
            Some(_) => self.last.max(self.flow.last),
            None => self.last,
        }
    }
}

fn printable(observations: &Observations, seen: &Seen) -> String {
    let raw = observations.raw(seen);
    match seen.field.form {
        // the IPv6 form of an IPv4 address is that address: people and the centre read one spelling
        Form::Address => address::from_bytes(raw).map(|at| at.to_canonical().to_string()).unwrap_or_default(),
        Form::Text => words::printable(raw, SEEN_BYTES_MAX),
        Form::Number | Form::Flag => observations.number(seen).to_string(),
    }
}

fn context(sighting: &Sighting<'_>) -> Vec<u8> {
    let bounds = nest::Bounds { value_bytes_max: CONTEXT_VALUE_BYTES_MAX, bytes_max: CONTEXT_BYTES_MAX };
    let mut out = Vec::new();
    nest::write(&mut json::Object::open(&mut out), sighting.observations, sighting.observation, bounds);
    if out == b"{}" {
        out.clear(); // nothing to show yet: the next sighting may have more
    }
    out
}

/// A contact that was raised; without an alert it is only remembered, so that it is not raised twice.
struct Contact {
    indicator: u64,
    /// Shared with whoever puts it out: a copy is made only if it changes before that is done.
    alert: Option<Arc<Alert>>,
}

/// What became of sightings; each sighting is in exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    /// Raised an alert.
    pub raised: u64,
    /// Added to one.
    pub further: u64,
    /// Raised an alert for which no last revision will come: the shard's contacts were full.
    pub crowded: u64,
    /// Came after that, and were not counted in the alert.
    pub uncounted: u64,
    /// Raised nothing: the flow had met [`CONTACTS_PER_FLOW_MAX`] other indicators.
    pub shed: u64,
}

impl Sightings {
    /// Adds others.
    pub fn add(&mut self, other: Sightings) {
        self.raised += other.raised;
        self.further += other.further;
        self.crowded += other.crowded;
        self.uncounted += other.uncounted;
        self.shed += other.shed;
    }
}

/// The contacts of all open flows of one *shard*: one alert per (flow, indicator), later sightings only count. Keep one
/// per shard and not one per worker, so that what its bounds do does not depend on the number of workers.
///
/// At [`CONTACTS_PER_SHARD_MAX`] a new contact is raised once, with its first revision marked final, and then only its
/// (flow, indicator) is remembered, 16 bytes until the flow ends: it is never raised twice. That memory needs no bound of
/// its own, it is at most [`CONTACTS_PER_FLOW_MAX`] for each flow that the shard's flow table holds.
#[derive(Default)]
pub struct Contacts {
    flows: HashMap<u64, Vec<Contact>, BuildHasherDefault<PacketNumber>>,
    open: usize,
    sightings: Sightings,
}

impl Contacts {
    /// Takes note of a sighting. The first of a (flow, indicator) gives revision 1, to be raised now.
    pub fn sight(&mut self, sighting: Sighting<'_>) -> Option<Arc<Alert>> {
        let indicator = indicator(&sighting);
        let contacts = self.flows.entry(sighting.scene.flow.id).or_default();
        if let Some(known) = contacts.iter_mut().find(|contact| contact.indicator == indicator) {
            match &mut known.alert {
                Some(alert) => {
                    Arc::make_mut(alert).again(&sighting);
                    self.sightings.further += 1;
                }
                None => self.sightings.uncounted += 1,
            }
            return None;
        }
        if contacts.len() >= CONTACTS_PER_FLOW_MAX {
            self.sightings.shed += 1;
            return None;
        }
        let mut alert = Alert::first(sighting);
        alert.crowded = self.open >= CONTACTS_PER_SHARD_MAX;
        let alert = Arc::new(alert);
        let kept = if alert.crowded {
            self.sightings.crowded += 1;
            None
        } else {
            self.sightings.raised += 1;
            self.open += 1;
            Some(Arc::clone(&alert))
        };
        contacts.push(Contact { indicator, alert: kept });
        Some(alert)
    }

    /// A flow has ended: the last revisions of its alerts, in the order of their first sighting.
    #[inline]
    pub fn end(&mut self, flow: &FlowView, ended: Ended) -> Vec<Arc<Alert>> {
        if self.flows.is_empty() {
            return Vec::new();
        }
        self.close(flow, ended)
    }

    fn close(&mut self, flow: &FlowView, ended: Ended) -> Vec<Arc<Alert>> {
        let contacts = self.flows.remove(&flow.id).unwrap_or_default();
        let mut last: Vec<Arc<Alert>> = contacts.into_iter().filter_map(|contact| contact.alert).collect();
        for alert in last.iter_mut().map(Arc::make_mut) {
            (alert.flow, alert.revision, alert.ended) = (*flow, 2, Some(ended));
        }
        self.open -= last.len();
        last
    }

    /// Whether the sighting's flow has met its indicator before.
    pub fn knows(&self, sighting: &Sighting<'_>) -> bool {
        let contacts = self.flows.get(&sighting.scene.flow.id);
        contacts.is_some_and(|all| all.iter().any(|contact| contact.indicator == indicator(sighting)))
    }

    /// Forgets a flow's contacts: nothing more is said of them.
    pub fn forget(&mut self, flow: u64) {
        let contacts = self.flows.remove(&flow).unwrap_or_default();
        self.open -= contacts.iter().filter(|contact| contact.alert.is_some()).count();
    }

    /// Whether an open flow has met an indicator.
    pub fn has_met(&self, flow: u64) -> bool {
        !self.flows.is_empty() && self.flows.contains_key(&flow)
    }

    /// What became of all sightings so far.
    pub fn sightings(&self) -> Sightings {
        self.sightings
    }
}

/// The same number for the same indicator in every generation of the set, which an [`Entry`] is not: a flow that lives
/// through a reload does not raise twice, nor hides behind another indicator's number.
fn indicator(sighting: &Sighting<'_>) -> u64 {
    number(&sighting.iocs, sighting.entry)
}

fn number(iocs: &[Ioc], entry: Entry) -> u64 {
    let Some(ioc) = iocs.first() else { return u64::from(entry.0) };
    let mut hasher = SipHasher13::new();
    hasher.write(ioc.kind.as_bytes());
    hasher.write_u8(0);
    hasher.write(ioc.value.as_bytes());
    hasher.finish()
}

/// Packet numbers are unique and given by us: spreading their bits is all the hashing they need.
#[derive(Default)]
struct PacketNumber(u64);

impl Hasher for PacketNumber {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15); // 2^64 over the golden ratio
        self.0 = spread ^ spread >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{DNS, RESPONSE, RRNAME, TLS_SNI, flow, ioc, met, resolver_flow, scene, sighted, tls_met};
    use super::*;
    use crate::observable::Field;

    #[test]
    fn an_address_is_spelled_in_its_own_family() {
        static FAR: Field = Field::sought("dest_ip", &address::KINDS).address();
        for (at, spelled) in [("203.0.113.66", "203.0.113.66"), ("2001:db8::1", "2001:db8::1")] {
            let mut all = Observations::default();
            let canonical = address::canonical_of(at.parse().expect("an address"));
            all.begin(&DNS, Side::Client).address(&FAR, &canonical[..16]);
            assert_eq!(printable(&all, &all.fields(&all.list()[0])[0]), spelled);
        }
    }

    #[test]
    fn a_first_sighting_raises_and_a_further_one_counts() {
        let mut contacts = Contacts::default();
        let first = met(&mut contacts, 1, &scene(flow(7), 10), b"c2.bad.example").expect("an alert");
        assert_eq!((first.revision, first.count, first.is_final()), (1, 1, false));
        assert!(met(&mut contacts, 1, &scene(flow(7), 12), b"c3.bad.example").is_none());
        let last = contacts.end(&flow(7), Ended::Closed).pop().expect("a last revision");
        assert_eq!((last.revision, last.count, last.is_final()), (2, 2, true));
        assert_eq!((last.first.as_nanos(), last.last.as_nanos(), last.packet), (10, 12, 10));
        let seen: Vec<&str> = last.places.iter().map(|place| place.seen.as_str()).collect();
        assert_eq!(seen, ["c2.bad.example", "c3.bad.example"]);
        let counted = Sightings { raised: 1, further: 1, ..Sightings::default() };
        assert_eq!(contacts.sightings(), counted);
    }

    #[test]
    fn each_flow_and_each_indicator_is_a_contact_of_its_own() {
        let mut contacts = Contacts::default();
        for (entry, id) in [(1, 7), (2, 7), (1, 8)] {
            assert!(met(&mut contacts, entry, &scene(flow(id), 10), b"bad.example").is_some());
        }
        let last = contacts.end(&flow(7), Ended::Timeout);
        assert_eq!(last.iter().map(|alert| alert.entry.0).collect::<Vec<_>>(), [1, 2]);
        assert!(contacts.has_met(8) && !contacts.has_met(7));
    }

    #[test]
    fn a_reload_that_numbers_entries_anew_raises_nothing_twice() {
        let mut contacts = Contacts::default();
        let of = scene(flow(7), 10);
        let value = |value| ioc("domain", value);
        let mut sight = |number, ioc| {
            sighted(&mut contacts, (number, ioc), &of, &DNS, |say| {
                say.field(&RRNAME, b"a.example");
            })
        };
        assert!(sight(1, value("a.example")).is_some());
        assert!(sight(2, value("a.example")).is_none(), "the same indicator under another number");
        assert!(sight(1, value("b.example")).is_some(), "another indicator under the same number");
    }

    #[test]
    fn an_ended_flow_leaves_nothing_behind() {
        let mut contacts = Contacts::default();
        assert!(contacts.end(&flow(7), Ended::Closed).is_empty());
        met(&mut contacts, 1, &scene(flow(7), 10), b"bad.example");
        assert_eq!(contacts.end(&flow(7), Ended::Closed).len(), 1);
        assert!(contacts.end(&flow(7), Ended::Closed).is_empty());
        assert!(contacts.flows.is_empty() && contacts.open == 0);
    }

    #[test]
    fn a_full_shard_raises_once_and_says_that_this_is_final() {
        let mut contacts = Contacts { open: CONTACTS_PER_SHARD_MAX, ..Contacts::default() };
        let alert = met(&mut contacts, 1, &scene(flow(7), 10), b"bad.example").expect("an alert");
        assert!(alert.is_final() && alert.revision == 1 && alert.ended.is_none());
        assert!(met(&mut contacts, 1, &scene(flow(7), 11), b"bad.example").is_none(), "not raised twice");
        assert!(contacts.end(&flow(7), Ended::Closed).is_empty());
        assert_eq!(contacts.sightings(), Sightings { crowded: 1, uncounted: 1, ..Sightings::default() });
    }

    #[test]
    fn one_flow_is_remembered_for_so_many_indicators_and_the_rest_is_counted() {
        let mut contacts = Contacts::default();
        for entry in 0..=CONTACTS_PER_FLOW_MAX as u32 {
            met(&mut contacts, entry, &scene(flow(7), 10), b"bad.example");
        }
        let counted = Sightings { raised: CONTACTS_PER_FLOW_MAX as u64, shed: 1, ..Sightings::default() };
        assert_eq!(contacts.sightings(), counted);
    }

    #[test]
    fn places_are_bounded_and_do_not_repeat() {
        let mut contacts = Contacts::default();
        for number in 0..40_u8 {
            met(&mut contacts, 1, &scene(flow(7), 10), &[b'a' + number / 2, b'.', b'x']);
        }
        let last = contacts.end(&flow(7), Ended::Closed).pop().expect("a last revision");
        assert_eq!((last.places.len(), last.count), (SEEN_PAIRS_MAX, 40));
    }

    #[test]
    fn how_far_a_question_went_is_not_how_far_its_flow_went() {
        let mut contacts = Contacts::default();
        let mut observations = Observations::default();
        observations.begin(&DNS, Side::Client).stage(Stage::Asked).field(&RRNAME, b"c2.bad.example");
        let mut answer = observations.begin(&DNS, Side::Server);
        answer.stage(Stage::Answered).field(&RRNAME, b"c2.bad.example");
        answer.address(&RESPONSE, &[203, 0, 113, 66]).address(&RESPONSE, &[203, 0, 113, 66]);
        let scene = scene(resolver_flow(7), 10);
        for observation in observations.list() {
            let observations = &observations;
            let iocs = vec![ioc("domain_suffix", "bad.example")];
            contacts.sight(Sighting {
                entry: Entry(1),
                iocs,
                observations,
                observation,
                field: 0,
                scene: &scene,
                clock_suspect: false,
            });
        }
        let last = contacts.end(&resolver_flow(7), Ended::Timeout).pop().expect("a last revision");
        assert_eq!(last.flow.stage, Stage::Established);
        assert_eq!((last.stage(), last.is_of_a_name(), last.answers.len()), (Stage::Answered, true, 1));
        assert!(String::from_utf8_lossy(&last.context).contains("203.0.113.66"), "the context is the answer");
    }

    #[test]
    fn a_contact_goes_as_far_as_its_flow_goes() {
        let mut contacts = Contacts::default();
        let alert = tls_met(&mut contacts, &scene(flow(7), 10)).expect("an alert");
        assert_eq!((alert.stage(), alert.places[0].seen_in), (Stage::Data, TLS_SNI.name));
    }
}
