//! What sightings say and what they keep, on the alert that has a marker in every field.

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
    let batch = gate.batch(crate::ledger::Head::NONE, SpoolId(*b"12345678"), (Position(6), Position(7)), &projected);
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
