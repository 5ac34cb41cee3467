//! The contacts of open flows: what has met what, and the alert that tells of it.
//!
//! In: sightings, and flows that end. Out: an alert's first revision and its last. Never here: what an alert says of a sighting.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use super::{Alert, Met, Sighting};
use crate::flow::slab::{Blocks, Slab};
use crate::flow::{Ended, Scene};
use crate::limits::{CONTACTS_PER_FLOW_MAX, CONTACTS_PER_SHARD_MAX, SHARDS};
use crate::time::Timestamp;

/// A contact that was raised.
struct Contact {
    indicator: u64,
    /// Where it is kept, or [`REMEMBERED`].
    kept: u32,
}

/// It is not kept, but known, so that it is not raised twice.
const REMEMBERED: u32 = u32::MAX;

/// What the last revision will be made of.
struct Kept {
    met: Met,
    last: Timestamp,
    count: u64,
}

/// Where contacts are kept: on huge pages, for in a storm it is memory that costs, and each page that is touched first.
#[derive(Default)]
struct Shelf {
    blocks: Blocks<Option<Kept>>,
    slab: Slab<Option<Kept>>,
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

/// The contacts of a worker's open flows: one alert per (flow, indicator), later sightings only count. Their bound is one of each
/// shard, so that what it does does not depend on the number of workers.
///
/// Of a shard that has [`CONTACTS_PER_SHARD_MAX`] a new contact is raised once, with its first revision marked final, and then only its
/// (flow, indicator) is remembered, 40 bytes until the flow ends: it is never raised twice. That memory needs no bound of
/// its own, it is at most [`CONTACTS_PER_FLOW_MAX`] for each flow that the shard's flow table holds.
pub struct Contacts {
    flows: HashMap<u64, OfFlow, BuildHasherDefault<PacketNumber>>,
    shelf: Shelf,
    /// Alerts to which more revisions come, by shard.
    open: [usize; SHARDS],
    sightings: Sightings,
}

impl Default for Contacts {
    fn default() -> Self {
        let (flows, shelf, sightings) = (HashMap::default(), Shelf::default(), Sightings::default());
        Contacts { flows, shelf, open: [0; SHARDS], sightings }
    }
}

/// The contacts of one flow, in the order of their first sighting.
enum OfFlow {
    One(Contact),
    Several(Vec<Contact>),
}

impl OfFlow {
    fn list(&self) -> &[Contact] {
        match self {
            OfFlow::One(contact) => std::slice::from_ref(contact),
            OfFlow::Several(list) => list,
        }
    }

    /// The contact with an indicator.
    fn of(&self, indicator: u64) -> Option<&Contact> {
        self.list().iter().find(|contact| contact.indicator == indicator)
    }

    fn push(&mut self, contact: Contact) {
        match self {
            OfFlow::Several(list) => list.push(contact),
            OfFlow::One(first) => {
                let first = Contact { ..*first };
                *self = OfFlow::Several(vec![first, contact]);
            }
        }
    }
}

impl Contacts {
    /// Takes note of a sighting. The first of a (flow, indicator) gives revision 1, to be raised now: it is added to `out`. Whether one was.
    pub fn sight(&mut self, sighting: &Sighting<'_>, out: &mut Vec<Alert>) -> bool {
        let Contacts { flows, shelf, open, sightings } = self;
        let open = &mut open[usize::from(sighting.scene.shard)];
        match flows.entry(sighting.scene.flow.id) {
            Entry::Vacant(new) => {
                new.insert(OfFlow::One(shelf.raise(sighting, open, sightings, out)));
            }
            Entry::Occupied(mut known) => {
                if let Some(contact) = known.get().of(sighting.iocs.number()) {
                    shelf.again(contact, sighting, sightings);
                    return false;
                }
                if known.get().list().len() >= CONTACTS_PER_FLOW_MAX {
                    sightings.shed += 1;
                    return false;
                }
                known.get_mut().push(shelf.raise(sighting, open, sightings, out));
            }
        }
        true
    }

    /// A flow has ended: the last revisions of its alerts, in the order of their first sighting, are added to `out`. Whether it has
    /// met anything.
    #[inline]
    pub fn end(&mut self, scene: &Scene, ended: Ended, out: &mut Vec<Alert>) -> bool {
        !self.flows.is_empty() && self.end_met(scene, ended, out)
    }

    fn end_met(&mut self, scene: &Scene, ended: Ended, out: &mut Vec<Alert>) -> bool {
        self.take(scene, |Kept { met, last, count }| {
            let (flow, ended) = (scene.flow, Some(ended));
            out.push(Alert { met, flow, revision: 2, ended, crowded: false, last, count, repeats: None });
        })
    }

    /// Forgets a flow's contacts: nothing more is said of them.
    pub fn forget(&mut self, scene: &Scene) {
        self.take(scene, |_| ());
    }

    fn take(&mut self, scene: &Scene, mut each: impl FnMut(Kept)) -> bool {
        let Some(taken) = self.flows.remove(&scene.flow.id) else { return false };
        for contact in taken.list().iter().filter(|contact| contact.kept != REMEMBERED) {
            self.open[usize::from(scene.shard)] -= 1;
            self.shelf.slab.take(&mut self.shelf.blocks, contact.kept).into_iter().for_each(&mut each);
        }
        true
    }

    /// Whether the sighting's flow has met its indicator before.
    pub fn knows(&self, sighting: &Sighting<'_>) -> bool {
        let of_flow = self.flows.get(&sighting.scene.flow.id);
        of_flow.is_some_and(|of_flow| of_flow.of(sighting.iocs.number()).is_some())
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

impl Shelf {
    /// A first sighting: what is kept of it, and the alert to be put out.
    fn raise(
        &mut self,
        sighting: &Sighting<'_>,
        open: &mut usize,
        counts: &mut Sightings,
        out: &mut Vec<Alert>,
    ) -> Contact {
        let crowded = *open >= CONTACTS_PER_SHARD_MAX;
        let met = Met::first(sighting);
        let (indicator, last) = (met.iocs.number(), met.first);
        let kept = if crowded {
            counts.crowded += 1;
            REMEMBERED
        } else {
            counts.raised += 1;
            *open += 1;
            self.slab.put(&mut self.blocks, Some(Kept { met: met.clone(), last, count: 1 }))
        };
        let (flow, ended, repeats) = (sighting.scene.flow, None, None);
        out.push(Alert { met, flow, revision: 1, ended, crowded, last, count: 1, repeats });
        Contact { indicator, kept }
    }

    fn again(&mut self, contact: &Contact, sighting: &Sighting<'_>, counts: &mut Sightings) {
        if contact.kept == REMEMBERED {
            counts.uncounted += 1;
            return;
        }
        if let Some(kept) = self.slab.get_mut(&mut self.blocks, contact.kept) {
            kept.count = kept.count.saturating_add(1);
            kept.last = kept.last.max(sighting.scene.time);
            if !kept.met.knows(sighting) {
                kept.met.note(sighting);
            }
        }
        counts.further += 1;
    }
}

/// Packet numbers are unique and given by us: spreading their bits is all the hashing they need. Those of one block stay side by side,
/// for flows that begin together end together: in a storm it is memory that costs.
#[derive(Default)]
struct PacketNumber(u64);

/// Bits of a packet number below its block.
const BLOCK_BITS: u32 = 6;

impl Hasher for PacketNumber {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let spread = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15); // 2^64 over the golden ratio
        let within = (1 << BLOCK_BITS) - 1;
        // the table takes the place from the low bits, and tells those of one place apart by the seven highest
        let place = spread(number >> BLOCK_BITS) >> 32 << BLOCK_BITS | number & within;
        self.0 = place & !(0x7f << 57) | spread(number) & 0x7f << 57;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{DNS, RRNAME, ended, flow, ioc, met, scene, sighted};
    use super::*;

    #[test]
    fn a_first_sighting_raises_and_a_further_one_counts() {
        let mut contacts = Contacts::default();
        let first = met(&mut contacts, 1, &scene(flow(7), 10), b"c2.bad.example").expect("an alert");
        assert_eq!((first.revision, first.count, first.is_final()), (1, 1, false));
        assert!(met(&mut contacts, 1, &scene(flow(7), 12), b"c3.bad.example").is_none());
        let last = ended(&mut contacts, flow(7), Ended::Closed).last().expect("a last revision");
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
        let last = ended(&mut contacts, flow(7), Ended::Timeout);
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
    fn packets_of_a_block_lie_side_by_side_and_blocks_do_not() {
        let hash = |number: u64| {
            let mut hasher = PacketNumber::default();
            hasher.write_u64(number);
            hasher.finish()
        };
        let places = |block: u64| (0..64).map(|at| hash(block * 64 + at) & 0xffff).collect::<Vec<_>>();
        for block in [0, 1, 5, 1 << 30] {
            assert!(places(block).windows(2).all(|pair| pair[0] + 1 == pair[1]), "{block}");
        }
        let blocks: std::collections::HashSet<u64> = (0..512).map(|block| places(block)[0]).collect();
        assert!(blocks.len() > 256, "{} of 1024 for 512", blocks.len());
        let tags: std::collections::HashSet<u64> = (0..64).map(|at| hash(at) >> 57).collect();
        assert!(tags.len() > 32, "{} tags of one block", tags.len());
    }

    #[test]
    fn an_ended_flow_leaves_nothing_behind() {
        let mut contacts = Contacts::default();
        assert_eq!(ended(&mut contacts, flow(7), Ended::Closed).count(), 0);
        met(&mut contacts, 1, &scene(flow(7), 10), b"bad.example");
        assert_eq!(ended(&mut contacts, flow(7), Ended::Closed).count(), 1);
        assert_eq!(ended(&mut contacts, flow(7), Ended::Closed).count(), 0);
        assert!(contacts.flows.is_empty() && contacts.shelf.slab.len() == 0 && contacts.open == [0; SHARDS]);
    }

    #[test]
    fn a_full_shard_raises_once_and_says_that_this_is_final() {
        let mut contacts = Contacts { open: [CONTACTS_PER_SHARD_MAX; SHARDS], ..Contacts::default() };
        let alert = met(&mut contacts, 1, &scene(flow(7), 10), b"bad.example").expect("an alert");
        assert!(alert.is_final() && alert.revision == 1 && alert.ended.is_none());
        assert!(met(&mut contacts, 1, &scene(flow(7), 11), b"bad.example").is_none(), "not raised twice");
        assert_eq!(ended(&mut contacts, flow(7), Ended::Closed).count(), 0);
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
