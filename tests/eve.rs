//! Every line that leaves the alert room is valid against Suricata 8's published EVE schema.

use std::net::IpAddr;
use std::sync::Arc;

use haetae::alert::eve::{self, Totals};
use haetae::alert::record::{Desk, Mode, SetVersion, Site};
use haetae::alert::{Alert, Contacts, Sighting};
use haetae::flow::{Ended, FlowView, Scene, Tunnel};
use haetae::indicator::{Entry, Ioc, Iocs, Severity, Statement, Tlp};
use haetae::networks::Networks;
use haetae::observable::{Event, Field, Form, Observations, Saying, Side, Stage};
use haetae::time::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use crate::support::shared;

static DNS: Event = Event { name: "dns", app_proto: None };
static HTTP: Event = Event { name: "http", app_proto: None };
static TLS: Event = Event { name: "tls", app_proto: None };
static FILE: Event = Event { name: "fileinfo", app_proto: Some("http") };
static CONTACT: Event = Event { name: "flow", app_proto: None };

static VERSION: Field = Field::plain("dns.version", Form::Number);
static KIND: Field = Field::plain("dns.type", Form::Text);
static TC: Field = Field::plain("dns.tc", Form::Flag);
static RRNAME: Field = Field::plain("dns.rrname", Form::Text).at("dns.queries[].rrname").opening();
static RRTYPE: Field = Field::plain("dns.rrtype", Form::Text).at("dns.queries[].rrtype");
static ANSWER_NAME: Field = Field::plain("dns.answers.rrname", Form::Text).at("dns.answers[].rrname").opening();
static ANSWER: Field = Field::plain("dns.answers.rdata", Form::Address).at("dns.answers[].rdata");
static HOSTNAME: Field = Field::plain("http.hostname", Form::Text);
static STATUS: Field = Field::plain("http.status", Form::Number);
static XFF: Field = Field::plain("http.xff", Form::Text);
static FULL_URL: Field = Field::plain("http.url", Form::Text).at("");
static SHA256: Field = Field::plain("fileinfo.sha256", Form::Text);
static SIZE: Field = Field::plain("fileinfo.size", Form::Number);
static SNI: Field = Field::plain("tls.sni", Form::Text);
static ALPNS: Field = Field::plain("tls.client_alpns[]", Form::Text);
static JA3: Field = Field::plain("tls.ja3.hash", Form::Text);
static DESTINATION: Field = Field::plain("dest_ip", Form::Address).at("");

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn flow() -> FlowView {
    FlowView {
        id: 1,
        client: ip("10.20.4.17"),
        server: ip("203.0.113.66"),
        client_port: 51_544,
        server_port: 443,
        protocol: 6,
        vlans: [0, 0],
        tunnel: None,
        start: Timestamp::from_parts(1_795_269_751, 118_204_000),
        last: Timestamp::from_parts(1_795_269_760, 0),
        packets: [9, 7],
        bytes: [20_000, 1500],
        payload: [18_422, 912],
        stage: Stage::Data,
        app_proto: Some("tls"),
        midstream: false,
        missing: [0, 7],
        tcp_flags: [0xff, 0x12],
    }
}

/// Flows of every sort that the head of a line tells apart.
fn flows() -> Vec<FlowView> {
    let tunnel = |name| Tunnel { name, source: ip("192.0.2.1"), destination: ip("2001:db8::2"), id: 7, depth: 1 };
    let plain = FlowView { app_proto: None, ..flow() };
    let six = FlowView { client: ip("2001:db8::1"), server: ip("fe80::1"), ..plain };
    let mut all = vec![
        flow(),
        FlowView { vlans: [7, 0], tunnel: Some(tunnel("gre")), ..flow() },
        FlowView { vlans: [7, 4095], tunnel: Some(tunnel("vxlan")), midstream: true, ..six },
        FlowView { client: plain.server, server: plain.client, ..plain },
    ];
    all.extend([1, 17, 47, 50, 58, 89, 132, 253].map(|protocol| FlowView {
        protocol,
        client_port: 8,
        server_port: 0,
        ..six
    }));
    all
}

fn scene(flow: FlowView) -> Scene {
    Scene { packet: 1, time: flow.start, shard: 0, flow }
}

fn say_dns(say: &mut Saying<'_>) {
    say.number(&VERSION, 3).field(&KIND, b"response").flag(&TC, true).stage(Stage::Answered);
    say.field(&RRNAME, b"c2.bad.\xff\"example").field(&RRTYPE, b"A").field(&RRNAME, b"x").field(&RRTYPE, b"AAAA");
    say.field(&ANSWER_NAME, b"c2")
        .address(&ANSWER, &[203, 0, 113, 66])
        .field(&ANSWER_NAME, b"c3")
        .address(&ANSWER, &[1; 16]);
}

fn say_http(say: &mut Saying<'_>) {
    say.field(&HOSTNAME, b"drop.example")
        .number(&STATUS, 200)
        .field(&XFF, b"10.20.4.99")
        .field(&FULL_URL, b"http://x/");
}

fn say_tls(say: &mut Saying<'_>) {
    say.field(&SNI, b"c2.bad.example").field(&ALPNS, b"h2").field(&ALPNS, b"http/1.1").field(&JA3, &[b'0'; 32]);
}

fn say_file(say: &mut Saying<'_>) {
    say.field(&SHA256, &[b'a'; 64]).number(&SIZE, u64::from(u32::MAX)).field(&HOSTNAME, b"drop.example");
}

fn say_contact(say: &mut Saying<'_>) {
    say.address(&DESTINATION, &[203, 0, 113, 66]);
}

/// Every event, and which kind of indicator may meet its first sought field.
type Said = (&'static Event, fn(&mut Saying<'_>), usize, &'static str);
static SAID: [Said; 5] = [
    (&DNS, say_dns, 3, "domain_suffix"),
    (&HTTP, say_http, 3, "url"),
    (&TLS, say_tls, 3, "ja3"),
    (&FILE, say_file, 0, "sha256"),
    (&CONTACT, say_contact, 0, "ip"),
];

fn ioc(kind: &'static str, bare: bool) -> Ioc {
    let full = Statement {
        source: "S2W".to_owned(),
        tlp: Tlp::AmberStrict,
        confidence: 85,
        severity: Severity::Critical,
        labels: vec!["ransomware \"x\"".to_owned()],
        valid_until: Some(Timestamp::from_parts(1_801_353_600, 0)),
        next: vec![("ko".to_owned(), "호스트를 격리하십시오.".to_owned())],
        ..Statement::default()
    };
    let statement = Arc::new(if bare { Statement::default() } else { full });
    Ioc { kind, value: "bad.example\n".to_owned(), id: (!bare).then(|| "indicator--6c0f".to_owned()), statement }
}

fn alerts(of: FlowView, (event, say, field, kind): &Said, bare: bool) -> Vec<Alert> {
    let mut observations = Observations::default();
    for side in [Side::Client, Side::Server] {
        say(&mut observations.begin(event, side));
    }
    let mut contacts = Contacts::default();
    let scene = scene(of);
    let mut raised: Vec<Alert> = Vec::new();
    for observation in observations.list() {
        let iocs = &Iocs::new(Entry(3), vec![ioc(kind, bare), ioc(kind, true)]);
        let observations = &observations;
        let sighting = Sighting {
            entry: Entry(3),
            iocs,
            observations,
            observation,
            field: *field,
            scene: &scene,
            clock_suspect: false,
        };
        contacts.sight(&sighting, &mut raised);
    }
    contacts.end(&scene, Ended::Evicted, &mut raised);
    assert_eq!(raised.len(), 2, "a first and a last revision");
    raised
}

fn desks() -> Vec<Desk> {
    let yaml = "home: [10.20.0.0/16]\nnamed: { office: 10.20.4.0/22 }\nproxies: [{ address: 10.20.4.17, trust_forwarded_for: true }]";
    let networks = Networks::check(serde_yaml::from_str(yaml).expect("yaml")).expect("networks");
    let site = Site {
        id: "site-0017".to_owned(),
        sensor: "tap-a".to_owned(),
        language: "ko".to_owned(),
        key: b"key".to_vec(),
        networks: Arc::new(networks),
        mode: Mode::Live,
        set: SetVersion { version: 8812, age_seconds: Some(640) },
        interface: Some("tap0".to_owned()),
        ..Site::default()
    };
    vec![Desk::new(site), Desk::new(Site::default())]
}

/// Every line that the room can write, of every flow, event and alert above.
fn lines() -> Vec<u8> {
    let mut out = Vec::new();
    for flow in flows() {
        for ended in [Ended::Closed, Ended::Timeout, Ended::Reused, Ended::Evicted, Ended::Shutdown] {
            eve::write_flow(&mut out, &flow, ended);
            eve::write_flow_alerted(&mut out, &flow, ended, true);
        }
        for said in &SAID {
            event_line(&mut out, flow, said);
            for (desk, bare) in desks().into_iter().zip([false, true]) {
                alerts(flow, said, bare).iter().for_each(|alert| out.extend(desk.record(alert)));
            }
        }
    }
    let time = Timestamp::from_nanos(-1);
    eve::write_stats(&mut out, time, &Totals { packets: 1114, bytes: 9, ..Totals::default() });
    eve::write_stats(&mut out, time, &Totals { kernel_packets: Some(9), kernel_drops: Some(1), ..Totals::default() });
    out
}

fn event_line(out: &mut Vec<u8>, flow: FlowView, (event, say, ..): &Said) {
    if event.name == "flow" {
        return; // a contact's addresses are no event of their own: the flow record says them
    }
    let mut observations = Observations::default();
    say(&mut observations.begin(event, Side::Client));
    eve::write_event(out, &observations, &observations.list()[0], &scene(flow));
}

fn parsed(lines: &[u8]) -> impl Iterator<Item = Value> {
    lines.split_inclusive(|&byte| byte == b'\n').map(|line| {
        assert!(line.ends_with(b"\n"));
        serde_json::from_slice(line).unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(line)))
    })
}

#[test]
fn every_line_is_valid_against_suricatas_schema() {
    let Some(path) = shared("reference/contracts/eve-suricata-8.0.6.schema.json") else { return };
    let schema: Value = serde_json::from_slice(&std::fs::read(path).expect("the schema")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut count = 0;
    for line in parsed(&lines()) {
        if let Err(error) = validator.validate(&line) {
            panic!("{error} at {}\n{line}", error.instance_path());
        }
        count += 1;
    }
    assert!(count > 300, "only {count} lines");
}

#[test]
fn names_are_those_that_readers_of_eve_look_for() {
    let all: Vec<Value> = parsed(&lines()).collect();
    let of = |name: &str| all.iter().find(|line| line["event_type"] == name).expect("an event");
    assert_eq!(of("dns")["dns"]["queries"][1]["rrname"], "x");
    assert_eq!(of("dns")["dns"]["answers"][0]["rdata"], "203.0.113.66");
    assert_eq!(of("dns")["dns"]["queries"][0]["rrname"], r#"c2.bad.\xff"example"#);
    assert_eq!(
        (&of("fileinfo")["app_proto"], &of("fileinfo")["src_port"]),
        (&Value::from("http"), &Value::from(51_544))
    );
    assert_eq!(of("tls")["tls"]["client_alpns"][1], "http/1.1");
    assert_eq!(of("flow")["flow"]["pkts_toclient"], 7);
    assert_eq!(of("flow")["tcp"]["tcp_flags"], "ff");
    assert_eq!(of("stats")["stats"]["decoder"]["pkts"], 1114);
    let ioc = &of("alert")["alert"]["context"]["ioc"][0];
    assert_eq!((&ioc["type"], &ioc["seen_in"]), (&Value::from("domain_suffix"), &Value::from("dns.rrname")));
}

#[test]
fn a_trusted_proxys_client_is_the_asset() {
    let desk = &desks()[0];
    let of_http = alerts(flow(), &SAID[1], false);
    let line = desk.record(&of_http[0]);
    let haetae = parsed(&line).next().expect("a line")["alert"]["context"]["haetae"].clone();
    assert_eq!(
        (&haetae["asset"]["ip"], &haetae["asset"]["network"]),
        (&Value::from("10.20.4.99"), &Value::from("office"))
    );
    assert_eq!((&haetae["via"]["proxy"], &haetae["mode"]), (&Value::from("10.20.4.17"), &Value::from("live")));
}

proptest! {
    #[test]
    fn any_bytes_in_any_field_are_still_a_line(
        bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 6), numbers in any::<[u16; 4]>(),
    ) {
        static ROWS: [&Field; 6] = [&RRNAME, &RRTYPE, &ANSWER_NAME, &HOSTNAME, &ALPNS, &SNI];
        let flow = FlowView { client_port: numbers[0], protocol: numbers[1] as u8, vlans: [numbers[2], numbers[3]], ..flow() };
        let mut observations = Observations::default();
        let mut say = observations.begin(&DNS, Side::Client);
        for (row, bytes) in ROWS.iter().zip(&bytes) {
            say.field(row, bytes);
        }
        let (mut out, scene) = (Vec::new(), scene(flow));
        eve::write_event(&mut out, &observations, &observations.list()[0], &scene);
        let observation = &observations.list()[0];
        for field in 0..7 {
            let iocs = &Iocs::new(Entry(0), vec![ioc("domain", false)]);
            let sighting = Sighting { entry: Entry(0), iocs, observations: &observations, observation, field, scene: &scene, clock_suspect: false };
            let mut raised = Vec::new();
            Contacts::default().sight(&sighting, &mut raised);
            let alert = raised.pop().expect("an alert");
            for desk in desks() {
                out.extend(desk.record(&alert));
                prop_assert_eq!(haetae::alert::screen::line(&alert, &desk).lines().count(), 2);
            }
        }
        prop_assert_eq!(parsed(&out).count(), 15);
    }
}
