//! The contacts of open flows: what has met what, and the alert that tells of it.
//!
//! In: sightings, and flows that end. Out: an alert's first revision and its last. Never here: what an alert says of a sighting.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::{Alert, Sighting};
use crate::flow::{Ended, FlowView};
use crate::limits::{CONTACTS_PER_FLOW_MAX, CONTACTS_PER_SHARD_MAX};

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
/// (flow, indicator) is remembered, 48 bytes until the flow ends: it is never raised twice. That memory needs no bound of
/// its own, it is at most [`CONTACTS_PER_FLOW_MAX`] for each flow that the shard's flow table holds.
#[derive(Default)]
pub struct Contacts {
    flows: HashMap<u64, Met, BuildHasherDefault<PacketNumber>>,
    open: usize,
    sightings: Sightings,
}

/// The contacts of one flow, in the order of their first sighting: mostly one.
struct Met {
    first: Contact,
    more: Vec<Contact>,
}

impl Met {
    fn iter(&self) -> impl Iterator<Item = &Contact> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// How many alerts are kept.
    fn open(&self) -> usize {
        self.iter().filter(|contact| contact.alert.is_some()).count()
    }

    /// The contact with an indicator.
    fn of(&mut self, indicator: u64) -> Option<&mut Contact> {
        std::iter::once(&mut self.first).chain(&mut self.more).find(|contact| contact.indicator == indicator)
    }
}

impl Contacts {
    /// Takes note of a sighting. The first of a (flow, indicator) gives revision 1, to be raised now.
    pub fn sight(&mut self, sighting: &Sighting<'_>) -> Option<Arc<Alert>> {
        let Contacts { flows, open, sightings } = self;
        match flows.entry(sighting.scene.flow.id) {
            Entry::Vacant(new) => {
                let (contact, alert) = raise(sighting, open, sightings);
                new.insert(Met { first: contact, more: Vec::new() });
                Some(alert)
            }
            Entry::Occupied(known) => {
                let met = known.into_mut();
                if let Some(contact) = met.of(sighting.iocs.number()) {
                    contact.again(sighting, sightings);
                    return None;
                }
                if met.more.len() + 1 >= CONTACTS_PER_FLOW_MAX {
                    sightings.shed += 1;
                    return None;
                }
                let (contact, alert) = raise(sighting, open, sightings);
                met.more.push(contact);
                Some(alert)
            }
        }
    }

    /// A flow has ended: the last revisions of its alerts, in the order of their first sighting.
    #[inline]
    pub fn end(&mut self, flow: &FlowView, ended: Ended) -> impl Iterator<Item = Arc<Alert>> + use<> {
        let met = if self.flows.is_empty() { None } else { self.flows.remove(&flow.id) };
        self.open -= met.as_ref().map_or(0, Met::open);
        let flow = *flow;
        let contacts = met.into_iter().flat_map(|Met { first, more }| std::iter::once(first).chain(more));
        contacts.filter_map(|contact| contact.alert).map(move |mut alert| {
            let last = Arc::make_mut(&mut alert);
            (last.flow, last.revision, last.ended) = (flow, 2, Some(ended));
            alert
        })
    }

    /// Whether the sighting's flow has met its indicator before.
    pub fn knows(&self, sighting: &Sighting<'_>) -> bool {
        let indicator = sighting.iocs.number();
        let met = self.flows.get(&sighting.scene.flow.id);
        met.is_some_and(|met| met.iter().any(|contact| contact.indicator == indicator))
    }

    /// Forgets a flow's contacts: nothing more is said of them.
    pub fn forget(&mut self, flow: u64) {
        self.open -= self.flows.remove(&flow).as_ref().map_or(0, Met::open);
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

/// A first sighting: what is kept of it, and the alert to be put out.
fn raise(sighting: &Sighting<'_>, open: &mut usize, counts: &mut Sightings) -> (Contact, Arc<Alert>) {
    let mut alert = Alert::first(sighting);
    alert.crowded = *open >= CONTACTS_PER_SHARD_MAX;
    let alert = Arc::new(alert);
    let kept = if alert.crowded {
        counts.crowded += 1;
        None
    } else {
        counts.raised += 1;
        *open += 1;
        Some(Arc::clone(&alert))
    };
    (Contact { indicator: sighting.iocs.number(), alert: kept }, alert)
}

impl Contact {
    fn again(&mut self, sighting: &Sighting<'_>, counts: &mut Sightings) {
        match &mut self.alert {
            Some(alert) => {
                Arc::make_mut(alert).again(sighting);
                counts.further += 1;
            }
            None => counts.uncounted += 1,
        }
    }
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
    use super::super::sample::{DNS, RRNAME, flow, ioc, met, scene, sighted};
    use super::*;

    #[test]
    fn a_first_sighting_raises_and_a_further_one_counts() {
        let mut contacts = Contacts::default();
        let first = met(&mut contacts, 1, &scene(flow(7), 10), b"c2.bad.example").expect("an alert");
        assert_eq!((first.revision, first.count, first.is_final()), (1, 1, false));
        assert!(met(&mut contacts, 1, &scene(flow(7), 12), b"c3.bad.example").is_none());
        let last = contacts.end(&flow(7), Ended::Closed).last().expect("a last revision");
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
        assert_eq!(last.map(|alert| alert.entry.0).collect::<Vec<_>>(), [1, 2]);
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
        assert_eq!(contacts.end(&flow(7), Ended::Closed).count(), 0);
        met(&mut contacts, 1, &scene(flow(7), 10), b"bad.example");
        assert_eq!(contacts.end(&flow(7), Ended::Closed).count(), 1);
        assert_eq!(contacts.end(&flow(7), Ended::Closed).count(), 0);
        assert!(contacts.flows.is_empty() && contacts.open == 0);
    }

    #[test]
    fn a_full_shard_raises_once_and_says_that_this_is_final() {
        let mut contacts = Contacts { open: CONTACTS_PER_SHARD_MAX, ..Contacts::default() };
        let alert = met(&mut contacts, 1, &scene(flow(7), 10), b"bad.example").expect("an alert");
        assert!(alert.is_final() && alert.revision == 1 && alert.ended.is_none());
        assert!(met(&mut contacts, 1, &scene(flow(7), 11), b"bad.example").is_none(), "not raised twice");
        assert_eq!(contacts.end(&flow(7), Ended::Closed).count(), 0);
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
}
