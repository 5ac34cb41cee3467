//! EVE lines: events, flows and statistics as Suricata 8's schema allows them.
//!
//! In: what was seen and where. Out: one line each, appended to bytes that the caller keeps. Every event of the wire
//! may come through here, so no tree is built and nothing is allocated once the buffer has grown.
//! As Suricata does it, the source of an event is the flow's client, whoever spoke.

use super::community_id::community_id;
use super::json::{self, Object};
use super::nest::{self, Bounds};
use crate::flow::{Ended, FlowView, Scene, Tunnel};
use crate::limits::PRINTED_BYTES_MAX;
use crate::observable::{Observation, Observations, Side, Stage};
use crate::time::Timestamp;

/// IP protocol numbers as EVE spells them.
pub mod protocol {
    pub use crate::flow::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};

    static NAMES: [(u8, &str); 21] = [
        (TCP, "TCP"),
        (UDP, "UDP"),
        (ICMP, "ICMP"),
        (ICMPV6, "IPv6-ICMP"),
        (SCTP, "SCTP"),
        (0, "HOPOPT"),
        (2, "IGMP"),
        (4, "IPv4"),
        (8, "EGP"),
        (33, "DCCP"),
        (41, "IPv6"),
        (46, "RSVP"),
        (47, "GRE"),
        (50, "ESP"),
        (51, "AH"),
        (88, "EIGRP"),
        (89, "OSPF"),
        (103, "PIM"),
        (112, "VRRP"),
        (115, "L2TP"),
        (136, "UDPLite"),
    ];

    /// Its name, if it has one.
    pub fn name(number: u8) -> Option<&'static str> {
        NAMES.iter().find(|row| row.0 == number).map(|row| row.1)
    }

    /// Whether its packets carry ports.
    pub const fn has_ports(number: u8) -> bool {
        matches!(number, TCP | UDP | SCTP)
    }

    /// Whether a flow's ports are a type and a code.
    pub const fn is_icmp(number: u8) -> bool {
        matches!(number, ICMP | ICMPV6)
    }
}

static EVENT: Bounds = Bounds { value_bytes_max: PRINTED_BYTES_MAX, bytes_max: usize::MAX };

/// Appends one event as a line.
pub fn write_event(out: &mut Vec<u8>, observations: &Observations, observation: &Observation, scene: &Scene) {
    let event = observation.event;
    {
        let mut line = Object::open(out);
        line.time("timestamp", scene.time);
        line.text("event_type", event.name);
        head(&mut line, &scene.flow, Side::Client);
        if let Some(name) = event.app_proto.or(scene.flow.app_proto) {
            line.text("app_proto", name);
        }
        nest::write(&mut line, observations, observation, EVENT);
    }
    out.push(b'\n');
}

/// Appends a flow record as a line.
pub fn write_flow(out: &mut Vec<u8>, flow: &FlowView, ended: Ended) {
    write_flow_record(out, flow, ended, None);
}

/// Appends a flow record that says whether an alert was raised in the flow.
pub fn write_flow_alerted(out: &mut Vec<u8>, flow: &FlowView, ended: Ended, alerted: bool) {
    write_flow_record(out, flow, ended, Some(alerted));
}

fn write_flow_record(out: &mut Vec<u8>, flow: &FlowView, ended: Ended, alerted: Option<bool>) {
    {
        let mut line = Object::open(out);
        line.time("timestamp", flow.last);
        line.text("event_type", "flow");
        head(&mut line, flow, Side::Client);
        if let Some(name) = flow.app_proto {
            line.text("app_proto", name);
        }
        let mut object = line.object("flow");
        counts(&mut object, flow);
        object.time("end", flow.last);
        object.number("age", flow.last.since(flow.start).as_seconds().max(0).unsigned_abs());
        object.text("state", state(flow, ended));
        object.text("reason", ended.name());
        if let Some(alerted) = alerted {
            object.flag("alerted", alerted);
        }
        drop(object);
        if flow.protocol == protocol::TCP {
            tcp(line.object("tcp"), flow);
        }
    }
    out.push(b'\n');
}

/// Packets, bytes and the beginning of a flow: what its records and its alerts both say.
pub(super) fn counts(object: &mut Object<'_>, flow: &FlowView) {
    object.number("pkts_toserver", flow.packets[Side::Client.index()]);
    object.number("pkts_toclient", flow.packets[Side::Server.index()]);
    object.number("bytes_toserver", flow.bytes[Side::Client.index()]);
    object.number("bytes_toclient", flow.bytes[Side::Server.index()]);
    object.time("start", flow.start);
}

fn state(flow: &FlowView, ended: Ended) -> &'static str {
    if ended == Ended::Closed {
        "closed"
    } else if flow.stage >= Stage::Answered {
        "established"
    } else {
        "new"
    }
}

fn tcp(mut object: Object<'_>, flow: &FlowView) {
    let [to_server, to_client] = flow.tcp_flags;
    for (name, flags) in
        [("tcp_flags", to_server | to_client), ("tcp_flags_ts", to_server), ("tcp_flags_tc", to_client)]
    {
        let out = object.member(name);
        out.push(b'"');
        json::hex(out, flags);
        out.push(b'"');
    }
    for (at, name) in ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"].into_iter().enumerate() {
        if (to_server | to_client) >> at & 1 == 1 {
            object.flag(name, true);
        }
    }
    for (name, missing) in [("ts_gap", flow.missing[0]), ("tc_gap", flow.missing[1])] {
        if missing > 0 {
            object.flag(name, true);
        }
    }
}

/// Who and over what, with `from` as the source.
pub(super) fn head(line: &mut Object<'_>, flow: &FlowView, from: Side) {
    let (source, source_port, destination, destination_port) = flow.endpoints(from);
    let ports = protocol::has_ports(flow.protocol);
    vlans(line, flow.vlans);
    line.address("src_ip", source);
    if ports {
        line.number("src_port", u64::from(source_port));
    }
    line.address("dest_ip", destination);
    if ports {
        line.number("dest_port", u64::from(destination_port));
    }
    proto(line, flow.protocol);
    if protocol::is_icmp(flow.protocol) {
        line.number("icmp_type", u64::from(flow.client_port));
        line.number("icmp_code", u64::from(flow.server_port));
    }
    line.number("ip_v", if flow.client.is_ipv4() { 4 } else { 6 });
    // Always from the client's end: of a message that has no answer the identifier depends on the direction.
    let id = community_id((flow.client, flow.client_port), (flow.server, flow.server_port), flow.protocol);
    json::string(line.member("community_id"), &id, usize::MAX);
    if let Some(tunnel) = &flow.tunnel {
        outer(line.object("tunnel"), tunnel);
    }
}

fn vlans(line: &mut Object<'_>, vlans: [u16; 2]) {
    if vlans == [0, 0] {
        return;
    }
    let out = line.member("vlan");
    let before = out.len();
    for vlan in vlans.into_iter().filter(|&vlan| vlan != 0) {
        out.push(if out.len() == before { b'[' } else { b',' });
        json::number(out, u64::from(vlan));
    }
    out.push(b']');
}

fn proto(line: &mut Object<'_>, number: u8) {
    match protocol::name(number) {
        Some(name) => line.text("proto", name),
        None => {
            let out = line.member("proto");
            out.push(b'"');
            json::number(out, u64::from(number));
            out.push(b'"');
        }
    }
}

/// The outermost tunnel; `proto` is what it is, in capitals as all of EVE's.
fn outer(mut object: Object<'_>, tunnel: &Tunnel) {
    object.address("src_ip", tunnel.source);
    object.address("dest_ip", tunnel.destination);
    let out = object.member("proto");
    out.push(b'"');
    out.extend(tunnel.name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_uppercase()));
    out.push(b'"');
    object.number("depth", u64::from(tunnel.depth));
}

/// What a capture came to, for its last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames handed out by the source.
    pub packets: u64,
    /// Their bytes on the link.
    pub bytes: u64,
    /// Frames whose headers made no sense.
    pub malformed: u64,
    /// Frames that the kernel counted, where a kernel was asked.
    pub kernel_packets: Option<u64>,
    /// Frames that the kernel lost.
    pub kernel_drops: Option<u64>,
    /// Flows seen.
    pub flows: u64,
    /// Gaps in TCP streams.
    pub gaps: u64,
    /// Alerts raised (first revisions).
    pub alerts: u64,
    /// Seconds from the first frame to the last.
    pub uptime_seconds: u64,
}

/// Appends a `stats` record as a line.
pub fn write_stats(out: &mut Vec<u8>, time: Timestamp, totals: &Totals) {
    {
        let mut line = Object::open(out);
        line.time("timestamp", time);
        line.text("event_type", "stats");
        let mut stats = line.object("stats");
        stats.number("uptime", totals.uptime_seconds);
        if let Some(packets) = totals.kernel_packets {
            let mut capture = stats.object("capture");
            capture.number("kernel_packets", packets);
            capture.number("kernel_drops", totals.kernel_drops.unwrap_or_default());
        }
        let mut decoder = stats.object("decoder");
        decoder.number("pkts", totals.packets);
        decoder.number("bytes", totals.bytes);
        decoder.number("invalid", totals.malformed);
        drop(decoder);
        stats.object("flow").number("total", totals.flows);
        stats.object("tcp").number("reassembly_gap", totals.gaps);
        stats.object("detect").number("alert", totals.alerts);
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::sample::{DNS, RRNAME, flow, resolver_flow, scene};
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    fn of_question(flow: FlowView) -> String {
        let mut observations = Observations::default();
        observations.begin(&DNS, Side::Server).field(&RRNAME, b"a.example");
        written(|out| write_event(out, &observations, &observations.list()[0], &scene(flow, 5_000)))
    }

    #[test]
    fn an_event_is_a_line_with_the_client_as_its_source() {
        let want = concat!(
            r#"{"timestamp":"1970-01-01T00:00:00.000005+0000","event_type":"dns","src_ip":"10.77.0.2","src_port":51544,"#,
            r#""dest_ip":"10.77.0.53","dest_port":53,"proto":"UDP","ip_v":4,"community_id":"1:"#,
        );
        let line = of_question(resolver_flow(7));
        assert!(line.starts_with(want), "{line}");
        assert!(
            line.ends_with("\"app_proto\":\"dns\",\"dns\":{\"queries\":[{\"rrname\":\"a.example\"}]}}\n"),
            "{line}"
        );
    }

    #[test]
    fn icmp_has_a_type_and_no_ports_and_the_nameless_has_its_number() {
        let line = of_question(FlowView { protocol: 1, client_port: 3, server_port: 1, ..flow(7) });
        assert!(line.contains(r#""proto":"ICMP","icmp_type":3,"icmp_code":1"#) && !line.contains("src_port"), "{line}");
        let line = of_question(FlowView { protocol: 253, ..flow(7) });
        assert!(line.contains(r#""proto":"253""#) && !line.contains("src_port"), "{line}");
    }

    #[test]
    fn vlans_and_the_outermost_tunnel_are_shown() {
        let tunnel = Tunnel { name: "vxlan", source: flow(7).server, destination: flow(7).client, id: 9, depth: 1 };
        let line = of_question(FlowView { vlans: [7, 12], tunnel: Some(tunnel), ..flow(7) });
        assert!(line.contains(r#""vlan":[7,12]"#), "{line}");
        let want = r#""tunnel":{"src_ip":"203.0.113.66","dest_ip":"10.77.0.2","proto":"VXLAN","depth":1}"#;
        assert!(line.contains(want), "{line}");
    }

    #[test]
    fn a_flow_says_what_became_of_it() {
        let line = written(|out| write_flow_alerted(out, &flow(7), Ended::Timeout, true));
        assert!(line.contains(r#""age":1,"state":"established","reason":"timeout","alerted":true"#), "{line}");
        assert!(
            line.contains(r#""tcp_flags":"1b","tcp_flags_ts":"1b","tcp_flags_tc":"12","fin":true,"syn":true"#),
            "{line}"
        );
        let line = written(|out| write_flow(out, &FlowView { stage: Stage::Attempted, ..flow(7) }, Ended::Evicted));
        assert!(line.contains(r#""state":"new","reason":"forced"}"#), "{line}");
    }

    #[test]
    fn statistics_are_a_line_too() {
        let line = written(|out| write_stats(out, Timestamp::default(), &Totals { packets: 17, ..Totals::default() }));
        assert!(line.contains(r#""decoder":{"pkts":17,"bytes":0,"invalid":0}"#) && !line.contains("capture"), "{line}");
    }
}
