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
        // of an update whose flows go on it is not known yet, and 0 would say that it was not seen
        if let Some(count) = self.record.number("contact.count").filter(|count| *count > 0) {
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
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{green, of};
    use super::super::{Gate, Policy, Position, SpoolId, TAXII, Withheld, Written};
    use super::*;

    fn gate() -> Gate {
        of(&TAXII, &Policy::default())
    }

    /// A gate that lets out everything that the form has a place for.
    fn open() -> Gate {
        let text = "sinks: { taxii: { leave: [time, protocol, peer, seen, contact] } }";
        let written: Written = serde_yaml::from_str(text).unwrap();
        of(&TAXII, &Policy::check(written, std::path::Path::new("/")).unwrap())
    }

    fn envelope(gate: &Gate, records: &[Value]) -> Vec<Value> {
        let project = |record: &Value| gate.project(Position(7), record.to_string().as_bytes()).unwrap();
        let projected: Vec<_> = records.iter().map(project).collect();
        let batch =
            gate.batch(crate::ledger::Head::NONE, SpoolId(*b"12345678"), (Position(6), Position(7)), &projected);
        let envelope: Value = serde_json::from_slice(batch.json()).unwrap();
        envelope["objects"].as_array().unwrap().clone()
    }

    fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
        let mut of_kind = objects.iter().filter(|object| object["type"] == kind);
        let found = of_kind.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(of_kind.next().is_none(), "one {kind}");
        found
    }

    fn with(change: impl FnOnce(&mut Value)) -> Value {
        let mut record = green();
        change(&mut record);
        record
    }

    fn met(kind: &str, value: &str) -> Value {
        let ioc = json!([{"type": kind, "value": value, "seen_in": "x", "seen": value}]);
        with(|record| record["alert"]["context"]["ioc"] = ioc)
    }

    #[test]
    fn an_alert_is_a_sighting_of_an_indicator_with_what_was_observed() {
        let objects = envelope(&gate(), &[green()]);
        let kinds: Vec<&str> = objects.iter().filter_map(|object| object["type"].as_str()).collect();
        let order = ["marking-definition", "identity", "domain-name", "observed-data", "indicator", "sighting"];
        assert_eq!(kinds, order, "none before those that it refers to");
        let [marking, site, name, observed, indicator, sighting] = &objects[..] else { panic!("six") };
        let marks = json!(["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb", marking["id"]]);
        assert_eq!(marking["definition"]["statement"], "PAP:AMBER");
        let expected = json!({
            "type": "sighting", "spec_version": "2.1", "id": "sighting--0", "created_by_ref": site["id"],
            "created": "2026-11-21T04:40:02.511Z", "modified": "2026-11-21T05:02:31.120Z", "confidence": 85,
            "external_references": [{"source_name": "site-0017", "external_id": "9f2c41d07a3be685"}],
            "object_marking_refs": marks, "description": "a host sent 18.4 kB to c2.bad.example (ransomware)",
            "first_seen": "2026-11-21T04:40:02.511Z", "last_seen": "2026-11-21T04:40:02.511Z", "count": 3,
            "sighting_of_ref": indicator["id"], "observed_data_refs": [observed["id"]], "where_sighted_refs": [site["id"]],
        });
        let mut without_id = sighting.clone();
        without_id["id"] = "sighting--0".into();
        assert_eq!(without_id, expected);
        assert_eq!((&name["value"], &name["object_marking_refs"]), (&json!("c2.bad.example"), &marks));
        assert_eq!(observed["object_refs"], json!([name["id"]]));
        assert_eq!(observed["number_observed"], 3);
        let pattern = "[domain-name:value = 'bad.example' OR domain-name:value LIKE '%.bad.example']";
        assert_eq!((&indicator["pattern"], &indicator["object_marking_refs"]), (&json!(pattern), &marks));
        let references = json!([{"source_name": "S2W", "external_id": "indicator--6c0f"}]);
        assert_eq!(
            (&indicator["external_references"], &indicator["valid_until"]),
            (&references, &json!("2027-01-31T00:00:00.000Z"))
        );
    }

    #[test]
    fn the_sources_own_stix_id_is_what_was_sighted() {
        let id = "indicator--0f5b1a3c-7e0e-4c39-9a54-1f1c6b7d2e01";
        let objects = envelope(&gate(), &[with(|record| record["alert"]["context"]["ioc"][0]["id"] = id.into())]);
        assert_eq!(one(&objects, "sighting")["sighting_of_ref"], id);
        assert!(objects.iter().all(|object| object["type"] != "indicator"), "it is theirs to say");
    }

    #[test]
    fn observables_have_the_identity_that_the_standard_gives_them() {
        for (kind, value, id) in [
            ("ip", "198.51.100.1", "ipv4-addr--2b3e2c17-3144-5591-9c88-a605220f8c0c"),
            ("sha256", &"a".repeat(64), "file--75cb38d5-2055-5354-b75a-8299a2d670b5"),
            ("cert_sha1", &"a".repeat(40), "x509-certificate--1e901a93-d663-59b6-88a6-edc0114b78c9"),
        ] {
            let objects = envelope(&gate(), &[met(kind, value)]);
            assert!(objects.iter().any(|object| object["id"] == id), "{kind}");
        }
        // As the standard's own library has them, of characters that JSON escapes and of those that it does not.
        for (bare, id) in [
            (name("ex\u{e9}.example"), "domain-name--2c2aa36f-81c2-5104-bc3f-3a7341cf1209"),
            (url("http://a/\"b\u{20ac}"), "url--ccca3827-dc54-538a-a1eb-e87a75e4f5a0"),
        ] {
            assert_eq!(observable(bare, (Tlp::Clear, Pap::Clear))["id"], id);
        }
    }

    fn name(value: &str) -> Value {
        (Word::of("domain").unwrap().observed)(value).unwrap()
    }

    fn url(value: &str) -> Value {
        (Word::of("url").unwrap().observed)(value).unwrap()
    }

    #[test]
    fn a_later_revision_is_a_later_version_of_the_same_sighting() {
        let revision = |number: u64| with(|record| record["alert"]["context"]["haetae"]["revision"] = number.into());
        let objects = envelope(&gate(), &[revision(1), revision(2)]);
        let sightings: Vec<&Value> = objects.iter().filter(|object| object["type"] == "sighting").collect();
        let [one, two] = sightings[..] else { panic!("two") };
        assert_eq!((&one["id"], &one["created"]), (&two["id"], &two["created"]));
        assert!(one["modified"].as_str() < two["modified"].as_str());
        assert_eq!(objects.iter().filter(|object| object["type"] == "identity").count(), 1);
    }

    #[test]
    fn an_update_is_a_sighting_of_its_own_that_counts_what_it_stands_for() {
        let update = |id: &str, count: u64| {
            with(|record| {
                let own = &mut record["alert"]["context"]["haetae"];
                own["id"] = id.into();
                own["revision"] = 1.into();
                own["repeats"] = json!({"first": "00aa", "alerts": 41});
                own["contact"]["count"] = count.into();
            })
        };
        let objects = envelope(&gate(), &[green(), update("00bb", 43), update("00cc", 0)]);
        let sightings: Vec<&Value> = objects.iter().filter(|object| object["type"] == "sighting").collect();
        let [first, update, open] = sightings[..] else { panic!("three") };
        assert_eq!(first["sighting_of_ref"], update["sighting_of_ref"]);
        assert_ne!(first["id"], update["id"], "the first stays what it was");
        assert_eq!((&update["count"], &open["count"]), (&json!(43), &Value::Null), "0 would be: not seen");
    }

    #[test]
    fn of_an_observable_in_two_alerts_the_stricter_marking_holds() {
        let clear = with(|record| record["alert"]["metadata"]["tlp"] = json!(["clear"]));
        let mark = |records: &[Value]| one(&envelope(&gate(), records), "domain-name")["object_marking_refs"].clone();
        assert_eq!(mark(&[clear.clone(), green()]), mark(&[green()]));
        assert_eq!(mark(&[green(), clear]), mark(&[green()]));
    }

    #[test]
    fn the_other_side_and_the_traffic_with_it_are_said_only_when_asked_for() {
        let shut = envelope(&gate(), &[green()]);
        assert!(shut.iter().all(|object| object["type"] != "network-traffic" && object["type"] != "ipv4-addr"));
        let objects = envelope(&open(), &[green()]);
        let (peer, traffic) = (one(&objects, "ipv4-addr"), one(&objects, "network-traffic"));
        assert_eq!((&traffic["dst_ref"], &traffic["dst_port"]), (&peer["id"], &json!(443)));
        assert_eq!(traffic["protocols"], json!(["ipv4", "tcp", "tls"]));
        assert_eq!(one(&objects, "observed-data")["object_refs"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn nothing_that_must_not_leave_is_in_the_bytes() {
        for gate in [gate(), open()] {
            let text = json!(envelope(&gate, &[green()])).to_string();
            for marker in ["LEAK", "10.20.", "10.9.9.9", "51544", "777000111", "4094", "forwarded", "h-", "n-"] {
                assert!(!text.contains(marker) || marker == "n-" && !text.contains("\"n-"), "{marker} left: {text}");
            }
        }
    }

    #[test]
    fn what_the_form_has_no_words_for_stays_here() {
        let stays = |gate: &Gate, record: &Value| gate.project(Position(7), record.to_string().as_bytes()).unwrap_err();
        for kind in ["ja3", "ja4", "pattern"] {
            assert_eq!(stays(&gate(), &met(kind, "00")), Withheld::Unsayable, "{kind}");
        }
        let written: Written = serde_yaml::from_str("sinks: { taxii: { leave: [seen] } }").unwrap();
        let timeless = of(&TAXII, &Policy::check(written, std::path::Path::new("/")).unwrap());
        assert_eq!(stays(&timeless, &green()), Withheld::Unsayable, "a sighting has a time");
        let named = with(|record| {
            record["alert"]["context"]["ioc"] = json!([{"type": "ja4", "value": "t13d1516h2_8daaf6152771_b186095e22b6",
                "id": "indicator--0f5b1a3c-7e0e-4c39-9a54-1f1c6b7d2e01"}]);
        });
        let objects = envelope(&gate(), &[named]);
        assert_eq!(
            one(&objects, "sighting")["observed_data_refs"],
            Value::Null,
            "sighted by its name, with no word for what was seen"
        );
    }

    #[test]
    fn an_exercise_says_so() {
        let policy = Policy::default();
        let sender = super::super::Sender::new("site-0017", "tap-a", Mode::Exercise).unwrap();
        let key = super::super::SiteKey::fixed(&[9; 32]);
        let gate = Gate::of(&TAXII, &policy, key, sender, std::sync::Arc::new(|_| false));
        assert_eq!(one(&envelope(&gate, &[green()]), "sighting")["labels"], json!(["exercise"]));
    }

    proptest! {
        #[test]
        fn the_same_words_have_the_same_identities_and_others_have_others(
            value in "[a-z]{1,8}\\.example", other in "[a-z]{1,8}\\.test", revision in 1u64..1000
        ) {
            let ids = |value: &str, revision: u64| {
                let mut record = met("domain", value);
                record["alert"]["context"]["haetae"]["revision"] = revision.into();
                let objects = envelope(&gate(), &[record]);
                objects.iter().map(|object| object["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            prop_assert_eq!(ids(&value, revision), ids(&value, 1));
            let (these, those) = (ids(&value, 1), ids(&other, 1));
            for kind in ["domain-name--", "indicator--", "sighting--"] {
                let of = |ids: &[String]| ids.iter().find(|id| id.starts_with(kind)).cloned();
                prop_assert!(of(&these).is_some() && of(&these) != of(&those));
            }
            prop_assert!(these.iter().all(|id| id.split_once("--").is_some_and(|(_, uuid)| Uuid::is_written(uuid))));
        }

        #[test]
        fn canonical_json_is_the_same_in_whatever_order_its_members_come(texts in proptest::collection::vec(".{0,12}", 3)) {
            let [a, b, c] = &texts[..] else { unreachable!() };
            let one = json!({"value": a, "b": [b, {"y": 1, "x": c}]});
            let two = json!({"b": [b, {"x": c, "y": 1}], "value": a});
            prop_assert_eq!(canonical(&one), canonical(&two));
            prop_assert_eq!(serde_json::from_str::<Value>(&canonical(&one)).unwrap(), one);
        }
    }
}
