//! Alerts: a hit with its observation, flow, asset and indicator, complete in itself.
//!
//! In: sightings, and flows that end. Out: [`Alert`]s, one per (flow, indicator) at its first sighting and once more at
//! the flow's end. [`record::Desk`] makes the local record of one. Never here: a clock, a file, a look-up of anything
//! that is not in the sighting.

pub mod community_id;
mod contacts;
pub mod eve;
pub mod json;
pub mod language;
pub mod nest;
pub mod places;
pub mod reading;
pub mod record;
mod repeats;
pub mod screen;
pub mod shed;
pub mod words;

#[cfg(test)]
pub(crate) mod sample;

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

pub use contacts::{Contacts, Sightings};
pub use places::{Place, Places, Printed};
pub use repeats::Repeats;

use crate::flow::{Ended, FlowView, Scene};
use crate::indicator::{Entry, Iocs, Severity};
use crate::limits::{ANSWERS_MAX, CONTEXT_BYTES_MAX, CONTEXT_ROOM_BYTES, CONTEXT_VALUE_BYTES_MAX};
use crate::observable::{Event, Form, Observation, Observations, Seen, Side, Stage, address};
use crate::time::Timestamp;

/// A confirmed and admitted hit, as the worker has it in hand.
pub struct Sighting<'a> {
    /// What was met.
    pub entry: Entry,
    /// The sources that stand by it.
    pub iocs: &'a Iocs,
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

/// One contact of one flow with one indicator, at one revision.
#[derive(Clone, Debug)]
pub struct Alert {
    /// What was met, and where.
    pub met: Met,
    /// The flow, as it stands at this revision.
    pub flow: FlowView,
    /// Counts from 1.
    pub revision: u32,
    /// Set once the flow has ended: this is the last revision.
    pub ended: Option<Ended>,
    /// There was no room to keep the contact: its first revision is its last, though the flow goes on.
    pub crowded: bool,
    /// Its latest sighting.
    pub last: Timestamp,
    /// How many sightings.
    pub count: u64,
    /// Set in an update, which stands for other alerts: count, times and bytes are theirs together.
    pub repeats: Option<Box<Repeats>>,
}

/// What sightings said of a contact. Most say nothing new: then it stays as the first left it, however many there are.
#[derive(Clone, Debug)]
pub struct Met {
    /// What was met.
    pub entry: Entry,
    /// The sources that stand by it.
    pub iocs: Iocs,
    /// The event of its first sighting.
    pub event: &'static Event,
    /// Who spoke at its first sighting.
    pub side: Side,
    /// Number of the packet of its first sighting.
    pub packet: u64,
    /// Its first sighting.
    pub first: Timestamp,
    /// Where it was met.
    pub places: Places,
    /// How far its observations say that it went.
    pub told: Option<Stage>,
    /// Whether the machine's clock was in doubt when it was first sighted: its times are the sensor's own.
    pub clock_suspect: bool,
    /// What an event said beside the indicator; of an address nothing. Revisions share it.
    pub said: Option<Arc<Said>>,
}

/// What an event said beside the indicator.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The event that went furthest as a JSON object: `{"tls":{...}}`; empty when there is nothing to print.
    pub context: Vec<u8>,
    /// Addresses that were given in answer.
    pub answers: Vec<IpAddr>,
    /// X-Forwarded-For as it was written.
    pub forwarded_for: Option<String>,
}

static NOTHING_SAID: Said = Said { context: Vec::new(), answers: Vec::new(), forwarded_for: None };

/// The field in which EVE has X-Forwarded-For.
const FORWARDED_FOR: &str = "http.xff";

impl Deref for Alert {
    type Target = Met;

    fn deref(&self) -> &Met {
        &self.met
    }
}

impl Deref for Met {
    type Target = Said;

    fn deref(&self) -> &Said {
        self.said.as_deref().unwrap_or(&NOTHING_SAID)
    }
}

impl Met {
    fn first(sighting: &Sighting<'_>) -> Met {
        let mut met = Met {
            entry: sighting.entry,
            iocs: sighting.iocs.clone(),
            event: sighting.observation.event,
            side: sighting.observation.side,
            packet: sighting.scene.packet,
            first: sighting.scene.time,
            places: Places::default(),
            told: None,
            clock_suspect: sighting.clock_suspect,
            said: None,
        };
        met.note(sighting);
        met
    }

    /// Takes note of what one more sighting in the same flow says.
    fn note(&mut self, sighting: &Sighting<'_>) {
        let Sighting { observations, observation, .. } = sighting;
        if let Some(seen) = sighting.seen() {
            self.places.note(Place { seen_in: seen.field.name, seen: printable(observations, seen) });
        }
        if self.context.is_empty() || observation.stage > self.told {
            let context = context(sighting);
            if !(context.is_empty() && self.context.is_empty()) {
                self.said().context = context;
            }
        }
        self.told = self.told.max(observation.stage);
        for seen in observations.fields(observation) {
            self.note_beside(observations, seen);
        }
    }

    /// What stands beside the matched field and belongs in the alert whatever the indicator is.
    fn note_beside(&mut self, observations: &Observations, seen: &Seen) {
        if self.wants_answer(seen) {
            let answer = address::from_bytes(observations.raw(seen));
            let new = answer.filter(|answer| !self.answers.contains(answer));
            new.into_iter().for_each(|answer| self.said().answers.push(answer));
        }
        if self.wants_forwarded_for(seen) {
            self.said().forwarded_for = Some(printable(observations, seen).to_string());
        }
    }

    /// To be added to: a copy, where an earlier revision has it too.
    fn said(&mut self) -> &mut Said {
        Arc::make_mut(self.said.get_or_insert_default())
    }

    fn wants_answer(&self, seen: &Seen) -> bool {
        seen.field.form == Form::Address && !seen.field.path.is_empty() && self.answers.len() < ANSWERS_MAX
    }

    fn wants_forwarded_for(&self, seen: &Seen) -> bool {
        self.forwarded_for.is_none() && seen.field.name == FORWARDED_FOR
    }

    /// Whether [`Met::note`] would change nothing; in doubt it would. Nothing is printed for this.
    fn knows(&self, sighting: &Sighting<'_>) -> bool {
        let Sighting { observations, observation, .. } = sighting;
        let fields = observations.fields(observation);
        let is_answered = |seen: &Seen| {
            let answer = address::from_bytes(observations.raw(seen));
            answer.is_none_or(|answer| self.answers.contains(&answer))
        };
        observation.stage <= self.told
            && sighting.seen().is_none_or(|seen| self.places.know(seen, observations.raw(seen)))
            && (!self.context.is_empty() || fields.iter().all(|seen| seen.field.path.is_empty()))
            && fields
                .iter()
                .all(|seen| (!self.wants_answer(seen) || is_answered(seen)) && !self.wants_forwarded_for(seen))
    }
}

impl Sighting<'_> {
    /// The field that met it.
    fn seen(&self) -> Option<&Seen> {
        self.observations.fields(self.observation).get(self.field)
    }
}

impl Alert {
    /// How bad the worst of its sources says it is.
    pub fn severity(&self) -> Severity {
        self.iocs.severity()
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

fn printable(observations: &Observations, seen: &Seen) -> Printed {
    let raw = observations.raw(seen);
    match seen.field.form {
        // people and the centre read one spelling
        Form::Address => address::from_bytes(raw).map_or_else(|| String::new().into(), Printed::of_address),
        Form::Text => Printed::of_text(raw),
        Form::Number | Form::Flag => observations.number(seen).to_string().into(),
    }
}

/// Empty while there is nothing to show: the next sighting may have more.
fn context(sighting: &Sighting<'_>) -> Vec<u8> {
    let fields = sighting.observations.fields(sighting.observation);
    if fields.iter().all(|seen| seen.field.path.is_empty()) {
        return Vec::new();
    }
    let bounds = nest::Bounds { value_bytes_max: CONTEXT_VALUE_BYTES_MAX, bytes_max: CONTEXT_BYTES_MAX };
    let mut out = Vec::with_capacity(CONTEXT_ROOM_BYTES);
    nest::write(&mut json::Object::open(&mut out), sighting.observations, sighting.observation, bounds);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::sample::{
        DNS, FORWARDED_FOR, RESPONSE, RRNAME, TLS_SNI, ended, flow, ioc, met, resolver_flow, scene, tls_met,
    };
    use super::*;
    use crate::limits::SEEN_PAIRS_MAX;

    #[test]
    fn places_are_bounded_and_do_not_repeat() {
        let mut contacts = Contacts::default();
        for number in 0..40_u8 {
            met(&mut contacts, 1, &scene(flow(7), 10), &[b'a' + number / 2, b'.', b'x']);
        }
        let last = ended(&mut contacts, flow(7), Ended::Closed).last().expect("a last revision");
        assert_eq!((last.places.len(), last.count), (SEEN_PAIRS_MAX, 40));
    }

    proptest! {
        #[test]
        fn what_is_known_would_change_nothing(
            sightings in prop::collection::vec((0..3_u8, any::<bool>(), prop::collection::vec(0..3_u8, 0..3), any::<bool>()), 2..12)
        ) {
            let (scene, iocs) = (scene(resolver_flow(7), 10), Iocs::new(Entry(1), vec![ioc("domain_suffix", "bad.example")]));
            let mut kept: Option<Met> = None;
            for (name, is_answer, answers, forwarded) in &sightings {
                let mut observations = Observations::default();
                let mut say = observations.begin(&DNS, Side::Client);
                say.stage(if *is_answer { Stage::Answered } else { Stage::Asked });
                // one is printed with an escape, one is too long to lie in place
                say.field(&RRNAME, [&b"a.example"[..], b"\x01.example", &[b'x'; 50]][usize::from(*name)]);
                answers.iter().for_each(|last| { say.address(&RESPONSE, &[203, 0, 113, *last]); });
                if *forwarded {
                    say.field(&FORWARDED_FOR, b"192.0.2.1");
                }
                let (observations, observation, scene) = (&observations, &observations.list()[0], &scene);
                let (entry, iocs) = (Entry(1), &iocs);
                let sighting = Sighting { entry, iocs, observations, observation, field: 0, scene, clock_suspect: false };
                let Some(met) = &mut kept else {
                    kept = Some(Met::first(&sighting));
                    continue;
                };
                let (known, before) = (met.knows(&sighting), format!("{met:?}"));
                met.note(&sighting);
                prop_assert!(!known || before == format!("{met:?}"), "{before} {met:?}");
                prop_assert!(*name != 0 || met.knows(&sighting), "what was just said in plain text is known");
            }
        }
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
            let iocs = &Iocs::new(Entry(1), vec![ioc("domain_suffix", "bad.example")]);
            let sighting = Sighting {
                entry: Entry(1),
                iocs,
                observations,
                observation,
                field: 0,
                scene: &scene,
                clock_suspect: false,
            };
            contacts.sight(&sighting, &mut Vec::new());
        }
        let last = ended(&mut contacts, resolver_flow(7), Ended::Timeout).last().expect("a last revision");
        assert_eq!(last.flow.stage, Stage::Established);
        assert_eq!((last.stage(), last.is_of_a_name(), last.answers.len()), (Stage::Answered, true, 1));
        assert!(String::from_utf8_lossy(&last.context).contains("203.0.113.66"), "the context is the answer");
    }

    #[test]
    fn a_contact_goes_as_far_as_its_flow_goes() {
        let mut contacts = Contacts::default();
        let alert = tls_met(&mut contacts, &scene(flow(7), 10)).expect("an alert");
        assert_eq!((alert.stage(), alert.places.first().map(|place| place.seen_in)), (Stage::Data, Some(TLS_SNI.name)));
    }
}
