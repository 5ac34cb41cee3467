//! What leaves and what does not, on one full alert with a marker in every field.

use serde_json::{Value, json};

use super::*;
use crate::indicator::{Pap, Tlp};

fn gate(policy: Policy) -> Gate {
    let home: Home = Arc::new(|address| address.to_string().starts_with("198.51.100."));
    let sender = Sender::new("site-0017", "tap-a", Mode::Live).unwrap();
    Gate::new(policy, SiteKey::fixed(&[9; 32]), sender, home)
}

fn alert() -> Value {
    let text = r#"{
        "timestamp": "2026-11-21T14:02:31.118204+0900", "event_type": "alert", "in_iface": "LEAK-iface",
        "direction": "to_server", "src_ip": "10.20.4.17", "src_port": 51544, "dest_ip": "203.0.113.66",
        "dest_port": 443, "proto": "TCP", "app_proto": "tls", "community_id": "1:LEAKcommunity=",
        "flow_id": 777000111, "vlan": [4094], "ether": {"src_mac": "LEAK:mac", "dest_mac": "LEAK:mac"},
        "tunnel": {"src_ip": "LEAK-tunnel"}, "payload": "LEAKpayload",
        "tls": {"sni": "LEAK-sni.c2.bad.example", "subject": "LEAK-subject"},
        "http": {"hostname": "LEAK-host", "url": "/p?LEAK-query=1", "http_user_agent": "LEAK-agent"},
        "dns": {"queries": [{"rrname": "LEAK-dns"}]}, "fileinfo": {"filename": "LEAK-file"},
        "alert": {"action": "allowed", "gid": 1, "signature_id": 3100000001, "rev": 1, "severity": 1,
            "category": "ransomware", "signature": "LEAK-signature sent 18.4 kB to c2.bad.example",
            "metadata": {"tlp": ["amber"], "confidence": ["85"], "other": ["LEAK-metadata"]},
            "LEAKkey": "LEAK-value",
            "context": {
                "ioc": [{"type": "domain_suffix", "value": "bad.example", "seen_in": "tls.sni",
                    "seen": "c2.bad.example", "id": "indicator--6c0f", "source": "S2W",
                    "valid_until": "2027-01-31T00:00:00Z", "note": "LEAK-note"}],
                "haetae": {"id": "9f2c41d07a3be685", "revision": 3, "final": true, "incident": "b71e90c2",
                    "mode": "live", "sensor": "LEAK-sensor", "set": {"version": 8812, "age_s": 640},
                    "direction": "outbound",
                    "asset": {"ip": "10.20.4.17", "name": "LEAK-PC-ACCT-04", "named_by": "LEAK-dhcp",
                        "role": "client", "network": "LEAK-office", "mac": "LEAK-mac"},
                    "contact": {"stage": "data", "resolver": "10.20.0.53",
                        "answer": ["203.0.113.66", "10.9.9.9", "198.51.100.7", "LEAK-answer"],
                        "sinkhole": false, "bytes_out": 18422, "bytes_in": 912, "count": 3,
                        "first": "2026-11-21T13:40:02.511+0900"},
                    "via": {"proxy": "10.20.0.8", "forwarded_for": "LEAK-forwarded", "nat": false},
                    "coverage": {"both_directions": true, "loss_ppm": 0, "name_hidden": false},
                    "next": "LEAK-next"}}}
    }"#;
    serde_json::from_str(text).unwrap()
}

/// A gate to another sink than the centre.
pub(super) fn of(sink: &'static Sink, policy: &Policy) -> Gate {
    let sender = Sender::new("site-0017", "tap-a", Mode::Live).unwrap();
    Gate::of(sink, policy, SiteKey::fixed(&[9; 32]), sender, Arc::new(|_| false))
}

/// The alert, as all may hear it.
pub(super) fn green() -> Value {
    let mut record = alert();
    record["alert"]["metadata"]["tlp"] = json!(["green"]);
    record
}

fn leaves(gate: &Gate, record: &Value) -> Value {
    gate.project(Position(7), record.to_string().as_bytes()).unwrap().value()
}

fn with_ioc(kind: &str, value: &str, seen: &str) -> Value {
    let mut record = alert();
    record["alert"]["context"]["ioc"] = json!([{"type": kind, "value": value, "seen_in": "x", "seen": seen}]);
    leaves(&gate(Policy::default()), &record)["indicators"][0]["seen"].clone()
}

#[test]
fn nothing_that_must_not_leave_is_in_the_bytes() {
    let gate = gate(Policy::default());
    let projected = gate.project(Position(7), alert().to_string().as_bytes()).unwrap();
    let batch = gate.batch(Head::NONE, SpoolId(*b"12345678"), (Position(6), Position(7)), &[projected]);
    let text = String::from_utf8(batch.json().to_vec()).unwrap();
    for marker in ["LEAK", "10.20.", "10.9.9.9", "198.51.100.", "51544", "777000111", "4094", "forwarded"] {
        assert!(!text.contains(marker), "{marker} left: {text}");
    }
}

#[test]
fn what_may_leave_is_whole() {
    let out = leaves(&gate(Policy::default()), &alert());
    let token = out["asset"]["token"].as_str().unwrap();
    let (name, network) = (&out["asset"]["name"], &out["asset"]["network"]);
    assert!([name, network].iter().all(|text| text.as_str().and_then(Token::parse).is_some()) && name != network);
    let resolver = out["contact"]["resolver"].as_str().unwrap();
    assert_ne!(token, resolver);
    let expected = json!({
        "sequence": 7, "id": "9f2c41d07a3be685", "revision": 3, "final": true, "incident": "b71e90c2", "mode": "live",
        "timestamp": "2026-11-21T14:02:31.118204+0900", "severity": 1, "category": "ransomware", "tlp": "amber",
        "pap": "amber", "confidence": 85, "proto": "TCP", "app_proto": "tls", "direction": "outbound",
        "indicators": [{"type": "domain_suffix", "id": "indicator--6c0f", "source": "S2W",
            "valid_until": "2027-01-31T00:00:00Z", "value": "bad.example", "seen_in": "tls.sni",
            "seen": "c2.bad.example"}],
        "peer": {"ip": "203.0.113.66", "port": 443}, "asset": {"token": token, "name": name, "role": "client", "network": network},
        "contact": {"stage": "data", "sinkhole": false, "bytes_out": 18422, "bytes_in": 912, "count": 3,
            "first": "2026-11-21T13:40:02.511+0900", "resolver": resolver, "answer": ["203.0.113.66"]},
        "via": {"proxy": true, "nat": false},
        "coverage": {"both_directions": true, "loss_ppm": 0, "name_hidden": false},
        "set": {"version": 8812, "age_s": 640},
        "signature": format!("{token} sent 18.4 kB to c2.bad.example (ransomware)"),
    });
    assert_eq!(out, expected);
}

#[test]
fn the_policy_takes_groups_away_and_lets_network_names_out() {
    let mut record = alert();
    record["alert"]["context"]["haetae"]["asset"]["network"] = "office".into();
    let policy = Policy { network_names: true, ..Policy::default() };
    assert_eq!(leaves(&gate(policy), &record)["asset"]["network"], "office");
    let written = Written { leave: Some(Vec::new()), ..Written::default() };
    let out = leaves(&gate(Policy::check(written, std::path::Path::new("/")).unwrap()), &record);
    let names: Vec<&String> = out.as_object().unwrap().keys().collect();
    let first =
        ["sequence", "id", "revision", "final", "incident", "mode", "severity", "category", "tlp", "pap", "confidence"];
    assert_eq!(names[..11], first);
    assert_eq!(names[11..], ["indicators", "signature"]);
}

#[test]
fn an_alert_above_the_tlp_is_withheld_and_an_unknown_marking_is_red() {
    for word in ["amber+strict", "red", "purple"] {
        let mut record = alert();
        record["alert"]["metadata"]["tlp"] = json!(["green", word]);
        let answer = gate(Policy::default()).project(Position(1), record.to_string().as_bytes());
        assert_eq!(answer.err(), Some(Withheld::AboveTlp), "{word}");
    }
}

#[test]
fn of_a_red_indicator_no_more_leaves_than_the_contract_says() {
    let mut record = alert();
    record["alert"]["context"]["ioc"][0]["tlp"] = "red".into();
    let gate = gate(Policy { tlp_max: Tlp::Red, ..Policy::default() });
    let out = leaves(&gate, &record);
    let fields: Vec<&String> = out["indicators"][0].as_object().unwrap().keys().collect();
    assert_eq!(fields, OF_RED);
    for marker in ["bad.example", "203.0.113.66", "ransomware", "confidence"] {
        assert!(!out.to_string().contains(marker), "{marker}: {out}");
    }
    record["alert"]["context"]["ioc"][0]["id"] = "x-BAD.example".into();
    record["alert"]["context"]["ioc"][0]["source"] = "list of bad.example".into();
    let out = leaves(&gate, &record);
    assert_eq!(out["indicators"][0], json!({"type": "domain_suffix", "valid_until": "2027-01-31T00:00:00Z"}));
}

#[test]
fn what_is_to_be_used_on_the_sites_machines_alone_stays_and_an_unknown_word_is_that() {
    for word in ["red", "PAP:RED", "purple"] {
        let mut record = alert();
        record["alert"]["context"]["ioc"][0]["pap"] = word.into();
        let answer = gate(Policy::default()).project(Position(1), record.to_string().as_bytes());
        assert_eq!(answer.err(), Some(Withheld::AbovePap), "{word}");
    }
}

#[test]
fn the_name_of_a_rule_file_is_no_source() {
    let mut record = alert();
    record["alert"]["context"]["ioc"][0]["source"] = "customers-of-acme.csv".into();
    record["alert"]["context"]["ioc"][0]["source_is_file"] = true.into();
    assert!(!leaves(&gate(Policy::default()), &record).to_string().contains("acme"));
}

#[test]
fn a_host_that_an_indicator_names_has_no_token_there() {
    for (kind, value, seen) in [
        ("ip", "10.20.4.17", "10.20.4.17"),
        ("cidr", "10.20.4.0/22", "10.20.4.17"),
        ("url", "http://10.20.4.17:8080/a", "http://10.20.4.17:8080/a"),
    ] {
        let mut record = alert();
        record["alert"]["context"]["ioc"] = json!([{"type": kind, "value": value, "seen": seen}]);
        let out = leaves(&gate(Policy::default()), &record);
        assert_eq!(out["asset"]["token"], Value::Null, "{kind}");
        assert!(out["contact"]["resolver"].is_string(), "{kind}: another host's stays");
    }
}

#[test]
fn queries_leave_only_if_the_member_lets_them_and_users_never() {
    let opened = Policy::check(
        Written { leave: Some(vec![Group::Seen, Group::Query]), ..Written::default() },
        std::path::Path::new("/"),
    );
    let (open, shut) = (gate(opened.unwrap()), gate(Policy::default()));
    let seen = |gate: &Gate, kind: &str, value: &str, seen: &str| {
        let mut record = alert();
        record["alert"]["context"]["ioc"] =
            json!([{"type": kind, "value": value, "seen_in": "http.url", "seen": seen}]);
        leaves(gate, &record)["indicators"][0]["seen"].clone()
    };
    let url = "http://me:pw@drop.example/gate.php?user=kim#there";
    assert_eq!(seen(&open, "url", "http://drop.example/gate.php", url), "http://drop.example/gate.php?user=kim");
    assert_eq!(seen(&shut, "url", "http://drop.example/gate.php", url), "http://drop.example/gate.php");
    assert_eq!(seen(&open, "pattern", "gate.php", url), "/gate.php?user=kim");
    assert_eq!(seen(&open, "pattern", "gate.php", "/gate.php?user=kim"), "/gate.php?user=kim");
    assert_eq!(seen(&shut, "pattern", "gate.php", url), Value::Null);
}

fn shed() -> Value {
    json!({"event_type": "alert", "timestamp": "2026-11-21T14:02:31.118204+0900", "alert": {"severity": 2,
        "category": "sensor", "signature": "LEAK", "metadata": {"tlp": ["clear"]}, "context": {"haetae": {"id": "0a",
        "revision": 1, "mode": "live", "shed": {"critical": 0, "normal": 2, "low": 5, "bytes": 9214, "LEAK": "LEAK",
        "first": "2026-11-21T14:02:31.118204+0900", "last": "2026-11-21T14:02:33.118204+0900"}}}}})
}

#[test]
fn what_the_sensor_says_of_alerts_that_it_had_no_room_for_leaves_to_everybody_who_has_words_for_it() {
    for sink in SINKS {
        let gate = of(sink, &Policy::default());
        if [&TAXII, &MISP].contains(sink) {
            let stays = gate.project(Position(7), shed().to_string().as_bytes()).unwrap_err();
            assert_eq!(stays, Withheld::Unsayable, "a sighting is one of an indicator");
            continue;
        }
        let projected = gate.project(Position(7), shed().to_string().as_bytes()).unwrap();
        let shed = projected.shed().unwrap();
        assert_eq!((shed.critical, shed.normal, shed.low, shed.bytes), (0, 2, 5, 9214));
        assert_eq!(shed.last, Some("2026-11-21T14:02:33.118204+0900"));
        assert_eq!(projected.sentence(), "the sensor had no room for 7 alerts (0 critical, 2 normal, 5 low; 9.2 kB)");
        assert_eq!((projected.severity(), projected.tlp(), projected.pap()), (Some(2), Tlp::Clear, Pap::Clear));
        assert!(!projected.shown().contains("LEAK") && projected.met().next().is_none());
    }
    let mut lie = alert();
    lie["alert"]["context"]["haetae"]["shed"] = shed()["alert"]["context"]["haetae"]["shed"].clone();
    assert_eq!(
        leaves(&gate(Policy::default()), &lie)["shed"],
        Value::Null,
        "an alert on an indicator is none of these"
    );
}

#[test]
fn a_dialect_is_made_of_what_the_sink_may_hear_and_of_nothing_else() {
    let projected = |sink| of(sink, &Policy::default()).project(Position(7), green().to_string().as_bytes()).unwrap();
    let centre = projected(&CENTRE);
    assert_eq!((centre.id(), centre.revision(), centre.tlp()), ("9f2c41d07a3be685", 3, Tlp::Green));
    assert_eq!(centre.peer(), Some(("203.0.113.66".parse().unwrap(), Some(443))));
    assert_eq!(centre.asset().and_then(Token::parse).map(Token::stands_for), Some(Of::Host));
    assert_eq!(centre.number("contact.count"), Some(3));
    let met: Vec<Met<'_>> = centre.met().collect();
    assert_eq!((met.len(), met[0].value, met[0].seen), (1, Some("bad.example"), Some("c2.bad.example")));
    let taxii = projected(&TAXII);
    assert_eq!((taxii.peer(), taxii.asset(), taxii.text("app_proto")), (None, None, None));
    assert_eq!(taxii.met().next().unwrap().seen, Some("c2.bad.example"));
    let mut first = green();
    first["alert"]["context"]["haetae"]["revision"] = 1.into();
    let misp = of(&MISP, &Policy::default()).project(Position(7), first.to_string().as_bytes()).unwrap();
    assert_eq!((misp.met().next().unwrap().seen, misp.text("timestamp").is_some()), (None, true));
}

#[test]
fn what_was_seen_leaves_only_if_it_says_no_more_than_the_indicator() {
    assert_eq!(with_ioc("domain_suffix", "bad.example", "C2.bad.example"), "c2.bad.example");
    assert_eq!(with_ioc("domain", "bad.example", "notbad.example"), Value::Null);
    assert_eq!(with_ioc("cert_sha1", "0a1b", "0a:1b"), "0a:1b", "as EVE writes it");
    assert_eq!(with_ioc("cert_sha1", "0a1b", "0a:1c"), Value::Null);
    let data = format!("{}.bad.example", "kim.pc-acct-04.".repeat(3));
    assert_eq!(with_ioc("domain_suffix", "bad.example", &data), Value::Null, "what a tunnel carries");
    assert_eq!(with_ioc("domain", "bad.example", "http://bad.example/?q=1"), Value::Null);
    assert_eq!(with_ioc("cidr", "203.0.113.0/24", "203.0.113.9"), "203.0.113.9");
    assert_eq!(with_ioc("cidr", "198.51.100.0/24", "198.51.100.9"), Value::Null, "a home address");
    assert_eq!(with_ioc("cidr", "0.0.0.0/0", "10.1.2.3"), Value::Null, "a private address");
    let url = "http://drop.example/gate.php?id=7";
    assert_eq!(with_ioc("url", url, url), url, "the indicator itself");
    let seen = |seen: &str| with_ioc("url", url, seen);
    assert_eq!(seen("http://me:pw@drop.example/gate.php?id=8&user=kim"), "http://drop.example/gate.php");
    assert_eq!(seen("HTTP://me:pw@DROP.example/gate.php?id=7#kim"), url, "the indicator's own query");
    assert_eq!(seen("http://drop.example/users/kim?id=7"), "http://drop.example");
    assert_eq!(with_ioc("url", url, "http://intra.example/gate.php"), Value::Null);
    assert_eq!(with_ioc("pattern", "EvilUA/", "EvilUA/1.0 (host PC-ACCT-04)"), Value::Null);
}

#[test]
fn a_peer_is_named_only_when_it_is_surely_not_the_sites() {
    let peer = |change: &dyn Fn(&mut Value)| {
        let mut record = alert();
        change(&mut record);
        leaves(&gate(Policy::default()), &record)["peer"].clone()
    };
    assert_eq!(peer(&|record| record["dest_ip"] = "198.51.100.7".into()), Value::Null);
    assert_eq!(peer(&|record| record["dest_ip"] = "100.64.1.1".into()), Value::Null);
    assert_eq!(peer(&|record| record["alert"]["context"]["haetae"]["direction"] = "external".into()), Value::Null);
    let inbound = peer(&|record| {
        (record["src_ip"], record["dest_ip"]) = ("203.0.113.66".into(), "10.20.4.17".into());
        record["alert"]["context"]["haetae"]["direction"] = "inbound".into();
    });
    assert_eq!(inbound, json!({"ip": "203.0.113.66"}), "a client's port stays");
    let answered = peer(&|record| {
        let flipped = json!(["203.0.113.66", "10.20.4.17", 443, 51544, "to_client"]);
        for (name, value) in ["src_ip", "dest_ip", "src_port", "dest_port", "direction"].iter().zip(0..) {
            record[*name] = flipped[value as usize].clone();
        }
    });
    assert_eq!(answered, json!({"ip": "203.0.113.66", "port": 443}), "seen in what the server said");
}

#[test]
fn a_replay_that_is_no_exercise_stays() {
    let mut record = alert();
    record["alert"]["context"]["haetae"]["mode"] = "replay".into();
    let answer = gate(Policy::default()).project(Position(1), record.to_string().as_bytes());
    assert_eq!(answer.err(), Some(Withheld::Replay));
}

#[test]
fn what_is_no_alert_stays() {
    let gate = gate(Policy::default());
    let withheld = |bytes: &[u8]| gate.project(Position(1), bytes).err();
    assert_eq!(withheld(b"\xff{"), Some(Withheld::Unreadable));
    assert_eq!(withheld(b"[1]"), Some(Withheld::Unreadable));
    assert_eq!(withheld(br#"{"event_type":"dns"}"#), Some(Withheld::NotAnAlert));
    assert_eq!(withheld(br#"{"event_type":"alert"}"#), Some(Withheld::NoIdentity));
}

#[test]
fn a_sender_has_plain_names() {
    assert!(Sender::new("site-0017", "tap-a", Mode::Live).is_some());
    assert!(Sender::new("site/17", "tap", Mode::Live).is_none());
    assert!(Sender::new("", "tap", Mode::Live).is_none());
}
