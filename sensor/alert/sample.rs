//! Small flows and sightings for the tests of this room.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Alert, Contacts, Sighting};
use crate::flow::{Ended, FlowView, Scene};
use crate::indicator::{Entry, Ioc, Iocs, Severity, Statement};
use crate::observable::{Event, Field, Form, Observations, Side, Stage};
use crate::time::Timestamp;

pub static DNS: Event = Event { name: "dns", app_proto: None };
pub static TLS: Event = Event { name: "tls", app_proto: None };
pub static HTTP: Event = Event { name: "http", app_proto: None };
pub static FLOW: Event = Event { name: "flow", app_proto: None };
pub static RRNAME: Field = Field::plain("dns.rrname", Form::Text).at("dns.queries[].rrname").opening();
pub static RESPONSE: Field = Field::plain("dns.answers.rdata", Form::Address).at("dns.answers[].rdata").opening();
pub static TLS_SNI: Field = Field::plain("tls.sni", Form::Text);
pub static USER_AGENT: Field = Field::plain("http.http_user_agent", Form::Text);
pub static FORWARDED_FOR: Field = Field::plain("http.xff", Form::Text);
pub static DESTINATION: Field = Field::plain("dest_ip", Form::Address).at("");

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// 10.77.0.2 sent 18 422 bytes to 203.0.113.66:443.
pub fn flow(id: u64) -> FlowView {
    FlowView {
        id,
        client: ip("10.77.0.2"),
        server: ip("203.0.113.66"),
        client_port: 51_544,
        server_port: 443,
        protocol: 6,
        vlans: [0, 0],
        tunnel: None,
        start: Timestamp::from_nanos(1),
        last: Timestamp::from_parts(1, 20),
        packets: [9, 7],
        bytes: [20_000, 1_500],
        payload: [18_422, 912],
        stage: Stage::Data,
        app_proto: Some("tls"),
        midstream: false,
        missing: [0, 0],
        tcp_flags: [0x1b, 0x12],
    }
}

/// 10.77.0.2 asks 10.77.0.53.
pub fn resolver_flow(id: u64) -> FlowView {
    let (server, stage, app_proto) = (ip("10.77.0.53"), Stage::Established, Some("dns"));
    FlowView { server, server_port: 53, protocol: 17, stage, app_proto, payload: [40, 60], ..flow(id) }
}

/// The scene of a packet whose number is its time.
pub fn scene(flow: FlowView, packet: u64) -> Scene {
    Scene { packet, time: Timestamp::from_nanos(packet as i64), shard: 0, flow }
}

pub fn ioc(kind: &'static str, value: &str) -> Ioc {
    let statement = Statement {
        source: "example".to_owned(),
        confidence: 85,
        severity: Severity::Critical,
        labels: vec!["ransomware".to_owned()],
        valid_until: Some(Timestamp::from_parts(1_801_353_600, 0)),
        next: vec![("ko".to_owned(), "호스트를 격리하십시오.".to_owned()), ("en".to_owned(), "Isolate.".to_owned())],
        ..Statement::default()
    };
    Ioc { kind, value: value.to_owned(), id: Some("indicator--6c0f".to_owned()), statement: Arc::new(statement) }
}

/// A sighting of the first field of what `say` says.
pub fn sighted(
    contacts: &mut Contacts,
    (entry, ioc): (u32, Ioc),
    scene: &Scene,
    event: &'static Event,
    say: impl FnOnce(&mut crate::observable::Saying<'_>),
) -> Option<Alert> {
    let mut observations = Observations::default();
    say(&mut observations.begin(event, Side::Client));
    let observation = &observations.list()[0];
    let sighting = Sighting {
        entry: Entry(entry),
        iocs: &Iocs::new(Entry(entry), vec![ioc]),
        observations: &observations,
        observation,
        field: 0,
        scene,
        clock_suspect: false,
    };
    let mut raised = Vec::new();
    assert_eq!(contacts.sight(&sighting, &mut raised), !raised.is_empty());
    raised.pop()
}

/// The last revisions of a flow's alerts.
pub fn ended(contacts: &mut Contacts, flow: FlowView, how: Ended) -> std::vec::IntoIter<Alert> {
    let mut last = Vec::new();
    contacts.end(&scene(flow, 0), how, &mut last);
    last.into_iter()
}

pub fn met(contacts: &mut Contacts, entry: u32, scene: &Scene, name: &[u8]) -> Option<Alert> {
    let value = if entry == 1 { "bad.example".to_owned() } else { format!("bad{entry}.example") };
    sighted(contacts, (entry, ioc("domain_suffix", &value)), scene, &TLS, |say| {
        say.field(&TLS_SNI, name).stage(Stage::Handshake);
    })
}

pub fn tls_met(contacts: &mut Contacts, scene: &Scene) -> Option<Alert> {
    met(contacts, 1, scene, b"c2.bad.example")
}
