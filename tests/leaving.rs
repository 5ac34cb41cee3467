//! What may leave, to whom: every row of the sink table with every TLP and every PAP, as the table and `deploy/ingest.yaml` have it.
//!
//! In: the table itself, so that a new row, group or field is tested by being there. Out: findings. Never here: a list of sinks or
//! of fields of this file's own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use haetae::gate::{
    ALWAYS, CENTRE, GROUPS, Gate, Group, Mode, OF_RED, Policy, Projected, SINKS, Sender, Sink, SiteKey, Withheld,
};
use haetae::indicator::{Pap, Tlp};
use haetae::ledger::Head;
use haetae::spool::{Options, Position, Spool, SpoolId};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::delivery::centre::contract::{Contract, INGEST};
use crate::taint::searcher;

/// An alert with something in every field, two indicators, and what must never leave.
fn alert(tlp: Tlp, pap: Pap) -> Value {
    let ioc = |kind: &str, value: &str, seen: &str, tlp: Tlp, pap: Pap| {
        json!({"type": kind, "value": value, "seen_in": "http.url", "seen": seen, "id": "indicator--6c0f", "source": "S2W",
            "valid_until": "2027-01-31T00:00:00Z", "tlp": tlp.name(), "pap": pap.name(), "LEAK": "LEAK"})
    };
    let own = json!({"id": "9f2c41d07a3be685", "revision": 1, "final": true, "incident": "b71e90c2", "mode": "live",
        "repeats": {"first": "0f2c41d07a3be685", "alerts": 3, "LEAK": "LEAK"},
        "set": {"version": 8812, "age_s": 640}, "direction": "outbound", "next": "LEAK",
        "asset": {"ip": "10.20.4.17", "name": "LEAK-PC", "role": "client", "network": "LEAK-office"},
        "contact": {"stage": "data", "resolver": "10.20.0.53", "answer": ["203.0.113.66"], "sinkhole": false,
            "bytes_out": 18422, "bytes_in": 912, "count": 3, "first": "2026-11-21T13:40:02.511+0900",
            "last": "2026-11-21T13:41:02.511+0900", "also_seen": [{"seen": "LEAK"}]},
        "via": {"proxy": "10.20.0.8", "forwarded_for": "LEAK", "nat": false},
        "coverage": {"both_directions": true, "loss_ppm": 0, "name_hidden": false, "midstream": false, "missing_bytes": 0}});
    let iocs = [
        ioc("url", "http://drop.example/gate.php", "http://LEAK:LEAK@drop.example/gate.php?typed=kim", tlp, Pap::Clear),
        ioc("domain", "bad.example", "bad.example", Tlp::Clear, pap),
    ];
    json!({"event_type": "alert", "timestamp": "2026-11-21T14:02:31.118204+0900", "proto": "TCP", "app_proto": "http",
        "src_ip": "10.20.4.17", "src_port": 51544, "dest_ip": "203.0.113.66", "dest_port": 443, "direction": "to_server",
        "community_id": "1:LEAK", "vlan": [4094], "payload": "LEAK", "http": {"url": "/p?LEAK"}, "email": {"to": ["LEAK"]},
        "alert": {"severity": 1, "category": "ransomware", "signature": "LEAK", "metadata": {"confidence": ["85"]},
            "context": {"ioc": iocs, "haetae": own}}})
}

/// Whatever of [`alert`] tells the indicators or what would tell them.
const OF_INDICATORS: [&str; 6] = ["drop.example", "bad.example", "203.0.113.66", "ransomware", "http.url", "typed"];

fn policy(text: &str) -> Policy {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("gate.yaml");
    std::fs::write(&path, text).expect("a file");
    Policy::read(&path).expect("a policy")
}

/// What a member may say at the most of a row.
fn widest(sink: &Sink) -> String {
    let groups: Vec<String> = sink.carries.iter().map(|group| format!("{group:?}").to_lowercase()).collect();
    format!(
        "sinks: {{ {}: {{ tlp_max: {}, pap_max: {}, leave: [{}] }} }}\n",
        sink.name,
        sink.tlp_ceiling.name(),
        sink.pap_ceiling.name(),
        groups.join(", ")
    )
}

/// Paths of all values that are neither maps nor lists of maps.
fn leaves(at: &str, value: &Value, found: &mut BTreeSet<String>) {
    let inner = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| leaves(&inner(name), value, found)),
        Value::Array(list) if list.iter().all(Value::is_object) => list.iter().for_each(|one| leaves(at, one, found)),
        _ => drop(found.insert(at.to_owned())),
    }
}

fn allowed(groups: &[Group]) -> BTreeSet<String> {
    let of_groups = GROUPS.iter().filter(|(group, _)| groups.contains(group)).flat_map(|(_, fields)| fields.iter());
    of_groups.chain(ALWAYS).map(ToString::to_string).collect()
}

fn spool() -> SpoolId {
    Spool::open(TempDir::new().expect("a folder").path(), Options::default())
        .expect("a spool")
        .id(haetae::spool::Lane::Normal)
}

/// Looks through the bytes themselves, in the sink's own form.
fn said(gate: &Gate, spool: SpoolId, (tlp, who): (Tlp, &str), projected: &Projected) {
    let told: &[&str] = if tlp == Tlp::Red { &OF_INDICATORS } else { &[] };
    let never = ["LEAK", "10.20.4.17", "10.20.0.53"].iter().chain(told);
    let never: Vec<_> = never.map(|text| ("it", text.as_bytes().to_vec())).collect();
    let batch = gate.batch(Head::NONE, spool, (Position(6), Position(7)), std::slice::from_ref(projected));
    assert!(!batch.messages().is_empty(), "{who}");
    for message in batch.messages() {
        let text = String::from_utf8_lossy(message.bytes());
        assert_eq!(searcher::found(&never, message.bytes()), Vec::<String>::new(), "{who}: {text}");
    }
}

/// Tries a policy on one row with every marking; gives how many alerts left.
fn tried(sink: &'static Sink, policy: &Policy, (tlp_max, pap_max): (Tlp, Pap), groups: &[Group]) -> usize {
    let (contract, spool) = (Contract::shipped(), spool());
    let sender = Sender::new("site-0017", "tap-a", Mode::Live).expect("names");
    let gate = |sink| Gate::of(sink, policy, SiteKey::fixed(&[3; 32]), sender.clone(), Arc::new(|_| false));
    let (gate, centre) = (gate(sink), gate(&CENTRE));
    let mut left = 0;
    for (tlp, pap) in Tlp::ALL.into_iter().flat_map(|tlp| Pap::ALL.map(|pap| (tlp, pap))) {
        let who = format!("{} TLP:{} PAP:{}", sink.name, tlp.name(), pap.name());
        let projected = gate.project(Position(7), alert(tlp, pap).to_string().as_bytes());
        let above = tlp > tlp_max || pap > pap_max;
        let projected = match projected {
            Err(Withheld::AboveTlp | Withheld::AbovePap) if above => continue,
            // without the groups that were taken away a form may have no words left for it
            Err(Withheld::Unsayable) if !above && groups != sink.carries && groups != sink.leaves => continue,
            Ok(projected) if !above => projected,
            other => panic!("{who}: {other:?}"),
        };
        left += 1;
        let value = projected.value();
        let mut found = BTreeSet::new();
        leaves("", &value, &mut found);
        let beyond: Vec<String> = found.difference(&allowed(groups)).cloned().collect();
        assert_eq!(beyond, Vec::<String>::new(), "{who}");
        let text = value.to_string();
        for marker in ["LEAK", "10.20.", "51544", "4094"] {
            assert!(!text.contains(marker), "{who}: {marker} in {text}");
        }
        assert_eq!(
            text.contains("typed"),
            tlp < Tlp::Red && [Group::Seen, Group::Query].iter().all(|g| groups.contains(g)),
            "{who}"
        );
        assert_eq!((projected.tlp(), projected.pap()), (tlp, pap), "{who}: the strictest of both indicators");
        if tlp == Tlp::Red {
            OF_INDICATORS.iter().for_each(|marker| assert!(!text.contains(marker), "{who}: {marker} in {text}"));
            for one in value["indicators"].as_array().expect("a list") {
                assert!(
                    one.as_object().expect("a map").keys().all(|name| OF_RED.contains(&name.as_str())),
                    "{who}: {one}"
                );
            }
        }
        said(&gate, spool, (tlp, &who), &projected);
        if sink.alliance {
            // other ways to the centre have a frame of their own around the same record
            let batch = centre.batch(Head::NONE, spool, (Position(6), Position(7)), &[projected]);
            let batch = serde_json::from_slice(batch.json()).expect("JSON");
            assert_eq!(contract.batch(&batch), Ok(()), "{who}");
        }
    }
    left
}

#[test]
fn nothing_above_its_row_leaves_to_any_sink_at_any_marking() {
    for sink in SINKS {
        let unsaid = tried(sink, &Policy::default(), (sink.tlp_max, sink.pap_max), sink.leaves);
        let widest = policy(&widest(sink));
        let most = tried(sink, &widest, (sink.tlp_ceiling, sink.pap_ceiling), sink.carries);
        assert!(0 < unsaid && unsaid <= most, "{}: {unsaid} and {most}", sink.name);
        let narrow = format!("sinks: {{ {}: {{ tlp_max: clear, pap_max: clear, leave: [] }} }}\n", sink.name);
        assert!(tried(sink, &policy(&narrow), (Tlp::Clear, Pap::Clear), &[]) <= 1, "{}", sink.name);
        // what is said of one row widens no other
        for other in SINKS.iter().filter(|other| *other != sink) {
            assert_eq!(widest.limits(other), Policy::default().limits(other), "{} by {}", other.name, sink.name);
        }
    }
}

#[test]
fn every_field_of_the_contract_belongs_to_one_group_or_always_leaves_and_all_of_them_are_tried() {
    let whole: Value = serde_yaml::from_str(INGEST).expect("YAML");
    let schemas = &whole["components"]["schemas"];
    let mut contract = BTreeSet::new();
    fields("", &schemas["Alert"], schemas, &mut contract);
    let groups: Vec<Group> = GROUPS.iter().map(|(group, _)| *group).collect();
    assert_eq!(contract, allowed(&groups));
    let mut tried = BTreeSet::new();
    let sender = Sender::new("site-0017", "tap-a", Mode::Live).expect("names");
    let gate = Gate::new(Policy::default(), SiteKey::fixed(&[3; 32]), sender, Arc::new(|_| false));
    let shed = json!({"event_type": "alert", "alert": {"context": {"haetae": {"id": "0a", "revision": 1, "shed":
        {"critical": 1, "normal": 2, "low": 3, "bytes": 4, "first": "2026-11-21T13:40:02", "last": "2026-11-21T13:40:02"}}}}});
    for record in [alert(Tlp::Clear, Pap::Clear), shed] {
        let projected = gate.project(Position(7), record.to_string().as_bytes()).expect("it leaves");
        leaves("", &projected.value(), &mut tried);
        let batch = gate.batch(Head::NONE, spool(), (Position(6), Position(7)), &[projected]);
        let batch = serde_json::from_slice(batch.json()).expect("JSON");
        assert_eq!(Contract::shipped().batch(&batch), Ok(()));
    }
    tried.retain(|path| path != "indicators"); // an empty list
    assert_eq!(tried, contract, "a field that this test does not fill is a field that it does not try");
}

/// Paths of all fields that a schema has a place for; fails where one is open.
fn fields(at: &str, schema: &Value, schemas: &Value, found: &mut BTreeSet<String>) {
    let inner = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    if let Some(name) = schema["$ref"].as_str() {
        let name = Path::new(name).file_name().and_then(|name| name.to_str()).expect("a name");
        return fields(at, &schemas[name], schemas, found);
    }
    match (schema["type"].as_str(), schema["properties"].as_object()) {
        (Some("object"), Some(properties)) => {
            assert_eq!(schema["additionalProperties"], false, "{at} is open");
            properties.iter().for_each(|(name, schema)| fields(&inner(name), schema, schemas, found));
        }
        (Some("array"), _) => fields(at, &schema["items"], schemas, found),
        _ => drop(found.insert(at.to_owned())),
    }
}
