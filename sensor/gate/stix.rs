//! STIX 2.1: projected alerts in, sightings of the indicators that they met out, with what was observed, as an envelope of TAXII.
//!
//! Whatever has the same identity here has it everywhere: observables by the rule of the standard (section 2.9), our own objects by
//! what they are about. Never here: a random number, a clock, a property of our own.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::form::{Envelope, Message};
use super::stix_words::{self, Word};
use super::uuid::Uuid;
use super::{Met, Mode, Projected};
use crate::indicator::{Pap, Tlp};

/// The namespace of the standard's observables (section 2.9).
const OBSERVABLES: Uuid = Uuid::from_u128(0x00ab_edb4_aa42_466c_9c01_fed2_3315_a9b7);

/// The namespace of our own objects.
const OURS: Uuid = Uuid::from_u128(0x1672_7d66_3762_4b27_9d90_a6b1_c5d5_1b16);

/// When objects that never change were made: identities, markings, indicators of ours. To be raised with their form.
const SINCE: &str = "2026-11-22T00:00:00.000Z";

/// The most that the standard counts (sections 4.14 and 5.2).
const COUNT_MAX: u64 = 999_999_999;

/// TLP 2.0, as the standard's own collection of objects has it.
static MARKINGS: [(Tlp, &str); 5] = [
    (Tlp::Clear, "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"),
    (Tlp::Green, "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"),
    (Tlp::Amber, "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"),
    (Tlp::AmberStrict, "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"),
    (Tlp::Red, "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"),
];

/// Whether it can be said: there is a time, and an indicator that has a STIX id or can be written as a pattern.
pub(super) fn says(record: &Projected) -> bool {
    Times::of(record).is_some() && record.met().any(|met| own_id(met).is_some() || pattern(met).is_some())
}

/// One envelope (TAXII 2.1 section 3.7) with all objects, each once, none before those that it refers to.
pub(super) fn messages(envelope: &Envelope<'_>, records: &[Projected]) -> Vec<Message> {
    let mut objects = Objects::default();
    for record in records {
        if let Some(times) = Times::of(record) {
            Scene { envelope, record, times, id: identity(envelope.sender.site()) }.add(&mut objects);
        }
    }
    let bytes = serde_json::to_vec(&json!({"objects": objects.list})).unwrap_or_default();
    vec![Message::of_all(envelope, records, bytes)]
}

/// The objects of an envelope.
#[derive(Default)]
struct Objects {
    list: Vec<Value>,
    marks: Vec<(Tlp, Pap)>,
}

impl Objects {
    /// Adds one. Of an observable that is there already the strictest marking holds.
    fn add(&mut self, object: Value, mark: (Tlp, Pap)) {
        let same = |there: &Value| there["id"] == object["id"] && there["modified"] == object["modified"];
        match self.list.iter().position(same) {
            None => {
                self.list.push(object);
                self.marks.push(mark);
            }
            Some(at) if self.marks[at] < mark => (self.list[at], self.marks[at]) = (object, mark),
            Some(_) => {}
        }
    }
}

/// When an alert was, and when this revision of it.
struct Times {
    first: Timestamp,
    last: Timestamp,
    modified: Timestamp,
}

impl Times {
    /// `None` where the policy keeps times here: there is no sighting without.
    fn of(record: &Projected) -> Option<Times> {
        let time = |path: &str| record.text(path).and_then(|text| text.parse::<Timestamp>().ok());
        let stamp = time("timestamp")?;
        let first = time("contact.first").unwrap_or(stamp);
        let last = time("contact.last").unwrap_or(first).max(first);
        // The time of a revision may be that of the one before: a later one is later all the same.
        let revision = i64::try_from(record.revision()).ok()?;
        let modified = last.max(stamp).checked_add(SignedDuration::from_millis(revision.saturating_sub(1))).ok()?;
        Some(Times { first, last, modified })
    }
}

/// Section 3.2: exactly three digits of a second.
fn written(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// The site.
fn identity(site: &str) -> String {
    format!("identity--{}", Uuid::v5(OURS, format!("site\n{site}").as_bytes()))
}

/// An alert on its way.
struct Scene<'a> {
    envelope: &'a Envelope<'a>,
    record: &'a Projected,
    times: Times,
    /// Of the site.
    id: String,
}

impl Scene<'_> {
    fn mark(&self) -> (Tlp, Pap) {
        (self.record.tlp(), self.record.pap())
    }

    fn add(&self, objects: &mut Objects) {
        let mark = self.mark();
        objects.add(permission(self.record.pap()), (Tlp::Clear, Pap::Clear));
        objects.add(self.site(), (Tlp::Clear, Pap::Clear));
        let observed = self.observed(objects);
        for met in self.record.met() {
            let of = match (own_id(met), pattern(met)) {
                (Some(id), _) => id.to_owned(),
                (None, Some(pattern)) => {
                    let indicator = self.indicator(met, &pattern);
                    let id = indicator["id"].as_str().unwrap_or_default().to_owned();
                    objects.add(indicator, mark);
                    id
                }
                (None, None) => continue,
            };
            objects.add(self.sighting(&of, observed.as_deref()), mark);
        }
    }

    /// Section 4.5.
    fn site(&self) -> Value {
        json!({"type": "identity", "spec_version": "2.1", "id": self.id, "created": SINCE, "modified": SINCE,
            "name": self.envelope.sender.site(), "identity_class": "organization"})
    }

    /// What all objects about this alert have in common.
    fn about(&self, kind: &str, name: &str) -> Map<String, Value> {
        let (sender, record) = (self.envelope.sender, self.record);
        let name = format!("{kind}\n{}\n{}\n{name}", sender.site(), record.id());
        let mut object = Map::new();
        object.insert("type".into(), kind.into());
        object.insert("spec_version".into(), "2.1".into());
        object.insert("id".into(), format!("{kind}--{}", Uuid::v5(OURS, name.as_bytes())).into());
        object.insert("created_by_ref".into(), self.id.clone().into());
        object.insert("created".into(), written(self.times.first).into());
        object.insert("modified".into(), written(self.times.modified).into());
        if sender.mode() == Mode::Exercise {
            object.insert("labels".into(), json!(["exercise"]));
        }
        if let Some(confidence) = record.number("confidence") {
            object.insert("confidence".into(), confidence.into());
        }
        object
            .insert("external_references".into(), json!([{"source_name": sender.site(), "external_id": record.id()}]));
        object.insert("object_marking_refs".into(), markings(self.mark()));
        object
    }

    /// Section 5.2.
    fn sighting(&self, of: &str, observed: Option<&str>) -> Value {
        let (times, mut object) = (&self.times, self.about("sighting", of));
        object.insert("description".into(), self.record.sentence().into());
        object.insert("first_seen".into(), written(times.first).into());
        object.insert("last_seen".into(), written(times.last).into());
        if let Some(count) = self.record.number("contact.count") {
            object.insert("count".into(), count.min(COUNT_MAX).into());
        }
        object.insert("sighting_of_ref".into(), of.into());
        if let Some(observed) = observed {
            object.insert("observed_data_refs".into(), json!([observed]));
        }
        object.insert("where_sighted_refs".into(), json!([self.id]));
        Value::Object(object)
    }

    /// Section 4.14: the observables, and what says when and how often; `None` where the standard has no word for what was seen, or
    /// the policy keeps it.
    fn observed(&self, objects: &mut Objects) -> Option<String> {
        let mut refs: Vec<Value> = Vec::new();
        let mut add = |bare: Value| {
            let object = observable(bare, self.mark());
            let id = object["id"].clone();
            objects.add(object, self.mark());
            if !refs.contains(&id) {
                refs.push(id.clone());
            }
            id
        };
        let seen: Vec<Value> = self.record.met().filter_map(|met| (Word::of(met.kind)?.observed)(met.seen?)).collect();
        seen.into_iter().for_each(|bare| drop(add(bare)));
        if let Some((peer, traffic)) = stix_words::traffic(self.record) {
            let end = add(peer);
            traffic.into_iter().for_each(|traffic| drop(add(traffic(&end))));
        }
        if refs.is_empty() {
            return None;
        }
        let (times, mut object) = (&self.times, self.about("observed-data", ""));
        object.insert("first_observed".into(), written(times.first).into());
        object.insert("last_observed".into(), written(times.last).into());
        let count = self.record.number("contact.count").unwrap_or(1).clamp(1, COUNT_MAX);
        object.insert("number_observed".into(), count.into());
        object.insert("object_refs".into(), refs.into());
        let id = object["id"].as_str().map(str::to_owned);
        objects.add(Value::Object(object), self.mark());
        id
    }

    /// Section 4.7, for an indicator that its source gives no STIX id. All that it says makes its id: whatever a source changes in
    /// it is another indicator.
    fn indicator(&self, met: Met<'_>, pattern: &str) -> Value {
        let mut object = Map::new();
        for (name, value) in [
            ("type", "indicator"),
            ("spec_version", "2.1"),
            ("id", ""),
            ("created_by_ref", &self.id),
            ("created", SINCE),
            ("modified", SINCE),
            ("name", &met.value.map_or_else(|| met.kind.to_owned(), |value| format!("{} {value}", met.kind))),
            ("pattern", pattern),
            ("pattern_type", "stix"),
            ("pattern_version", "2.1"),
            ("valid_from", SINCE),
        ] {
            object.insert(name.into(), value.into());
        }
        let until = met.valid_until.and_then(|text| text.parse::<Timestamp>().ok()).map(written);
        if let Some(until) = until.filter(|until| until.as_str() > SINCE) {
            object.insert("valid_until".into(), until.into());
        }
        object.insert(
            "description".into(),
            format!("Listed by {}", met.source.unwrap_or("a source that gives no name")).into(),
        );
        if let Some(id) = met.id {
            let references = json!([{"source_name": met.source.unwrap_or("indicator feed"), "external_id": id}]);
            object.insert("external_references".into(), references);
        }
        object.insert("object_marking_refs".into(), markings(self.mark()));
        let id = Uuid::v5(OURS, canonical(&Value::Object(object.clone())).as_bytes());
        object["id"] = format!("indicator--{id}").into();
        Value::Object(object)
    }
}

/// The source's own STIX id of an indicator, if it has one.
fn own_id(met: Met<'_>) -> Option<&str> {
    met.id.filter(|id| id.strip_prefix("indicator--").is_some_and(Uuid::is_written))
}

/// What an indicator is in the language of patterns.
fn pattern(met: Met<'_>) -> Option<String> {
    (Word::of(met.kind)?.pattern)(met.value?)
}

fn markings((tlp, pap): (Tlp, Pap)) -> Value {
    let tlp = MARKINGS.iter().find(|(named, _)| *named == tlp).map(|(_, id)| *id);
    json!([tlp, permission(pap)["id"]])
}

/// What may be done with it (PAP): the standard has no marking of its own for that.
fn permission(pap: Pap) -> Value {
    let statement = format!("PAP:{}", pap.name().to_uppercase());
    let id = format!("marking-definition--{}", Uuid::v5(OURS, statement.as_bytes()));
    json!({"type": "marking-definition", "spec_version": "2.1", "id": id, "created": SINCE,
        "definition_type": "statement", "definition": {"statement": statement}})
}

/// An observable with its identity: of the properties that contribute to it (section 2.9). `bare` has these and its type alone.
fn observable(mut bare: Value, mark: (Tlp, Pap)) -> Value {
    let kind = bare["type"].take();
    let Value::Object(mut properties) = bare else { return bare };
    properties.shift_remove("type");
    let id = Uuid::v5(OBSERVABLES, canonical(&Value::Object(properties.clone())).as_bytes());
    let mut object = Map::new();
    object.insert("id".into(), format!("{}--{id}", kind.as_str().unwrap_or_default()).into());
    object.insert("type".into(), kind);
    object.insert("spec_version".into(), "2.1".into());
    object.append(&mut properties);
    object.insert("object_marking_refs".into(), markings(mark));
    Value::Object(object)
}

/// RFC 8785, of values without fractions and with names in ASCII.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut members: Vec<(&String, &Value)> = object.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            let written = |(name, value): (&String, &Value)| format!("{}:{}", json!(name), canonical(value));
            format!("{{{}}}", members.into_iter().map(written).collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
