//! An alert as the site reads it: whose asset, which way, how far, with whom.
//!
//! In: an alert and the site's networks. Out: a [`Reading`], from which the record and the screen are written, and the
//! one sentence that says it. Never here: JSON, identities.

use std::net::IpAddr;

use super::{Alert, words};
use crate::flow::FlowView;
use crate::indicator::Ioc;
use crate::networks::{Direction, Networks, Role};
use crate::observable::{Shape, Side, Stage, kind};

/// Kinds whose value says who the far end is; all others say what passed between the ends.
static NAMES_THE_FAR_END: [&str; 5] = ["ip", "cidr", "domain", "domain_suffix", "url"];

/// Encrypted protocols, in which the name of the far end can be hidden.
static ENCRYPTED: [&str; 2] = ["tls", "quic"];

/// The site's own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset<'a> {
    /// Its address.
    pub address: IpAddr,
    /// Its part.
    pub role: Role,
    /// The named network it is in.
    pub network: Option<&'a str>,
}

/// An alert as the site reads it.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// Which way.
    pub direction: Direction,
    /// The home end; of two, the one who asked; behind a trusted proxy, whom it spoke for.
    pub asset: Option<Asset<'a>>,
    /// Which end of the flow the asset's is; the client where neither is home.
    pub near: Side,
    /// The proxy that spoke for the asset or to which it spoke.
    pub proxy: Option<IpAddr>,
    /// Whether `forwarded_for` was believed.
    pub forwarded: bool,
    /// How far.
    pub stage: Stage,
    /// Payload bytes that the near end sent.
    pub bytes_out: u64,
    /// Payload bytes that the near end got.
    pub bytes_in: u64,
    /// Who or what was met, as it was seen; the far address where the indicator is of what passed.
    pub target: String,
    /// Whether the target was met as an address.
    pub target_is_address: bool,
    /// The source that makes it worst.
    pub worst: Option<&'a Ioc>,
}

impl<'a> Reading<'a> {
    /// Reads an alert.
    pub fn new(alert: &'a Alert, networks: &'a Networks) -> Reading<'a> {
        let flow = &met(alert);
        let (asked, near, forwarded) = sides(alert, flow, networks);
        let (address, _, far, _) = flow.endpoints(near);
        let asset = match forwarded {
            Some(client) => Some(Asset { address: client, role: Role::Client, network: networks.named(client) }),
            None => asked.map(|_| asset(address, near, flow, networks)),
        };
        let (target, target_is_address) = target(alert, address, far);
        Reading {
            direction: direction(flow, networks),
            asset,
            near,
            proxy: [flow.client, flow.server].into_iter().find(|&end| networks.role(end) == Role::Proxy),
            forwarded: forwarded.is_some(),
            stage: alert.stage(),
            bytes_out: flow.payload[near.index()],
            bytes_in: flow.payload[near.other().index()],
            target,
            target_is_address,
            worst: worst(&alert.iocs),
        }
    }

    /// The first label of the worst source.
    pub fn category(&self) -> &'a str {
        self.worst.and_then(|ioc| ioc.statement.labels.first()).map_or("indicator", String::as_str)
    }

    /// Whether the name of the far end was hidden; `None`: nobody saw the place where it stands.
    pub fn name_hidden(&self, alert: &Alert) -> Option<bool> {
        let spoken = alert.event.app_proto.or(alert.flow.app_proto)?;
        if !ENCRYPTED.contains(&spoken) || !self.target_is_address {
            return Some(false);
        }
        let named = alert.context.windows(7).any(|bytes| bytes == br#""sni":""#);
        ENCRYPTED.contains(&alert.event.name).then_some(!named)
    }

    /// The one sentence: `10.20.4.17 sent 18.4 kB to c2.bad.example (ransomware)`.
    pub fn sentence(&self, alert: &Alert) -> String {
        let (near, _, far, _) = met(alert).endpoints(self.near);
        let near = self.asset.map_or(near, |asset| asset.address);
        let said = match (self.direction, self.near) {
            (Direction::Unknown, _) => self.undirected(near),
            (_, Side::Client) => self.outgoing(near),
            (_, Side::Server) => self.incoming(near, far),
        };
        let category = self.category();
        match self.worst.filter(|ioc| !said.contains(&self.target) || !names_the_far_end(ioc)) {
            Some(ioc) => format!("{said} ({category}; {} {})", ioc.kind, words::printable(ioc.value.as_bytes(), 80)),
            None => format!("{said} ({category})"),
        }
    }

    fn outgoing(&self, near: IpAddr) -> String {
        let target = &self.target;
        match self.stage {
            Stage::Attempted => format!("{near} tried to reach {target}"),
            Stage::Refused => format!("{near} was refused by {target}"),
            Stage::Asked => format!("{near} asked for {target}"),
            Stage::Nxdomain => format!("{near} asked for {target}, which does not exist"),
            Stage::Answered if self.target_is_address => format!("{near} was answered with {target}"),
            Stage::Answered => format!("{near} asked for {target} and was answered"),
            Stage::Established | Stage::Handshake => format!("{near} connected to {target}"),
            Stage::Data if self.bytes_out == 0 => {
                format!("{near} received {} from {target}", words::size(self.bytes_in))
            }
            Stage::Data => format!("{near} sent {} to {target}", words::size(self.bytes_out)),
        }
    }

    /// Somebody came to the asset: not to be read as the asset going anywhere.
    fn incoming(&self, near: IpAddr, far: IpAddr) -> String {
        let target = &self.target;
        match self.stage {
            Stage::Attempted => format!("{far} tried to reach {near}"),
            Stage::Refused => format!("{far} was refused by {near}"),
            Stage::Asked => format!("{far} asked {near} for {target}"),
            Stage::Nxdomain => format!("{far} asked {near} for {target}, which does not exist"),
            Stage::Answered => format!("{far} asked {near} for {target} and was answered"),
            Stage::Established | Stage::Handshake => format!("{far} reached {near}"),
            Stage::Data if self.bytes_out == 0 => format!("{far} sent {} to {near}", words::size(self.bytes_in)),
            Stage::Data => format!("{far} reached {near} and got {}", words::size(self.bytes_out)),
        }
    }

    fn undirected(&self, near: IpAddr) -> String {
        let all = self.bytes_out.saturating_add(self.bytes_in);
        match self.stage {
            Stage::Data => format!("{near} exchanged {} with {}", words::size(all), self.target),
            _ => format!("{near} was in contact with {}", self.target),
        }
    }
}

/// The near end's address and the direction, as a [`Reading`] has them, without the texts that make one dear.
pub(super) fn contact(alert: &Alert, networks: &Networks) -> (IpAddr, Direction) {
    let flow = met(alert);
    let (asked, near, forwarded) = sides(alert, &flow, networks);
    let end = if asked.is_some() { flow.endpoints(near).0 } else { alert.flow.endpoints(near).0 };
    (forwarded.unwrap_or(end), direction(&flow, networks))
}

/// Whether the asset asked (`None`: neither end is home), which end is near, and for whom a proxy there spoke.
fn sides(alert: &Alert, flow: &FlowView, networks: &Networks) -> (Option<bool>, Side, Option<IpAddr>) {
    let asked = networks.asset_asked(flow.client, flow.server);
    let near = if asked == Some(false) { Side::Server } else { Side::Client };
    (asked, near, forwarded_client(alert, networks).filter(|_| near == Side::Client))
}

/// Nobody saw who asked when a flow's beginning is missing and no reader told the ends apart either.
fn direction(flow: &FlowView, networks: &Networks) -> Direction {
    match networks.direction(flow.client, flow.server) {
        Direction::Outbound | Direction::Inbound if is_undirected(flow) => Direction::Unknown,
        known => known,
    }
}

fn is_undirected(flow: &FlowView) -> bool {
    flow.midstream && flow.app_proto.is_none()
}

fn asset<'a>(address: IpAddr, near: Side, flow: &FlowView, networks: &'a Networks) -> Asset<'a> {
    let role = match (networks.role(address), near) {
        (Role::Unknown, _) if is_undirected(flow) => Role::Unknown,
        (Role::Unknown, Side::Client) => Role::Client,
        (Role::Unknown, Side::Server) => Role::Server,
        (told, _) => told,
    };
    Asset { address, role, network: networks.named(address) }
}

/// Whom a trusted proxy spoke for: the last address of its X-Forwarded-For is the one it added itself.
fn forwarded_client(alert: &Alert, networks: &Networks) -> Option<IpAddr> {
    let text = alert.forwarded_for.as_deref().filter(|_| networks.trusts_forwarded_for(alert.flow.client))?;
    let last = text.rsplit(',').next()?.trim();
    last.parse().ok().filter(|&client| networks.is_home(client))
}

/// The first of the worst.
fn worst(iocs: &[Ioc]) -> Option<&Ioc> {
    iocs.iter().rev().max_by_key(|ioc| ioc.statement.severity)
}

/// Whether an indicator says who the far end is; all others say what passed between the ends.
pub fn names_the_far_end(ioc: &Ioc) -> bool {
    NAMES_THE_FAR_END.contains(&ioc.kind)
}

/// The flow that met the indicator: where the end of a tunnel was met, the tunnel itself. Who speaks inside it has not
/// spoken to that address.
pub fn met(alert: &Alert) -> FlowView {
    let of_tunnel = alert.places.first().is_some_and(|place| place.seen_in.starts_with("tunnel."));
    match alert.flow.tunnel.filter(|_| of_tunnel) {
        Some(outer) => {
            FlowView { client: outer.source, server: outer.destination, client_port: 0, server_port: 0, ..alert.flow }
        }
        None => alert.flow,
    }
}

/// What was seen if that says who the far end is, else the far address: of an indicator for one of the site's own
/// addresses the far end is still the other one.
fn target(alert: &Alert, near: IpAddr, far: IpAddr) -> (String, bool) {
    let place = alert.places.first().filter(|_| alert.iocs.first().is_some_and(names_the_far_end));
    match place.map(|place| place.seen.as_str()).filter(|seen| !seen.is_empty()) {
        Some(seen) if seen != near.to_string() => (seen.to_owned(), seen.parse::<IpAddr>().is_ok()),
        _ => (far.to_string(), true),
    }
}

/// Whether an indicator takes in the names below its own.
pub(super) fn takes_in_subdomains(ioc: &Ioc) -> bool {
    kind(ioc.kind).is_some_and(|kind| kind.shape == Shape::AtOrBelow)
}

#[cfg(test)]
mod tests {
    use super::super::Contacts;
    use super::super::sample::{
        DESTINATION, DNS, FLOW, FORWARDED_FOR, HTTP, RESPONSE, RRNAME, TLS, TLS_SNI, USER_AGENT, flow, ioc, ip,
        resolver_flow, scene, sighted,
    };
    use super::*;
    use crate::flow::Tunnel;
    use crate::networks::Written;
    use crate::observable::{Event, Field, Form, Saying};

    fn alert_of(flow: FlowView, ioc: Ioc, event: &'static Event, say: impl FnOnce(&mut Saying<'_>)) -> Alert {
        sighted(&mut Contacts::default(), (1, ioc), &scene(flow, 5), event, say).expect("an alert")
    }

    fn of_sni(flow: FlowView) -> Alert {
        alert_of(flow, ioc("domain_suffix", "bad.example"), &TLS, |say| {
            say.field(&TLS_SNI, b"c2.bad.example").stage(Stage::Attempted);
        })
    }

    fn of_question(stage: Stage) -> Alert {
        alert_of(resolver_flow(7), ioc("domain", "bad.example"), &DNS, |say| {
            say.field(&RRNAME, b"bad.example").stage(stage);
        })
    }

    fn of_address(flow: FlowView) -> Alert {
        alert_of(flow, ioc("ip", "203.0.113.66"), &FLOW, |say| {
            say.address(&DESTINATION, &[203, 0, 113, 66]);
        })
    }

    fn said(alert: &Alert) -> String {
        Reading::new(alert, &Networks::default()).sentence(alert)
    }

    fn turned(flow: FlowView) -> FlowView {
        FlowView { client: flow.server, server: flow.client, server_port: 22, ..flow }
    }

    #[test]
    fn the_sentence_says_how_far_it_went() {
        for (stage, want) in [
            (Stage::Attempted, "10.77.0.2 tried to reach c2.bad.example (ransomware)"),
            (Stage::Refused, "10.77.0.2 was refused by c2.bad.example (ransomware)"),
            (Stage::Handshake, "10.77.0.2 connected to c2.bad.example (ransomware)"),
            (Stage::Data, "10.77.0.2 sent 18.4 kB to c2.bad.example (ransomware)"),
        ] {
            assert_eq!(said(&of_sni(FlowView { stage, ..flow(7) })), want);
        }
        let silent = FlowView { payload: [0, 912], ..flow(7) };
        assert_eq!(said(&of_sni(silent)), "10.77.0.2 received 912 B from c2.bad.example (ransomware)");
    }

    #[test]
    fn a_question_is_told_as_a_question() {
        assert_eq!(said(&of_question(Stage::Asked)), "10.77.0.2 asked for bad.example (ransomware)");
        assert_eq!(
            said(&of_question(Stage::Nxdomain)),
            "10.77.0.2 asked for bad.example, which does not exist (ransomware)"
        );
        assert_eq!(
            said(&of_question(Stage::Answered)),
            "10.77.0.2 asked for bad.example and was answered (ransomware)"
        );
        let answer = alert_of(resolver_flow(7), ioc("cidr", "203.0.113.0/24"), &DNS, |say| {
            say.address(&RESPONSE, &[203, 0, 113, 66]).stage(Stage::Answered);
        });
        assert_eq!(said(&answer), "10.77.0.2 was answered with 203.0.113.66 (ransomware)");
    }

    #[test]
    fn the_end_of_a_tunnel_was_met_by_the_other_end_and_not_by_who_speaks_inside() {
        static OUTER: Field = Field::plain("tunnel.dest_ip", Form::Address).at("");
        let tunnel = Tunnel { name: "gre", source: ip("10.77.0.1"), destination: ip("203.0.113.66"), id: 0, depth: 1 };
        let inside = FlowView { client: ip("10.1.0.1"), server: ip("10.1.0.2"), tunnel: Some(tunnel), ..flow(7) };
        let alert = alert_of(inside, ioc("ip", "203.0.113.66"), &FLOW, |say| {
            say.address(&OUTER, &[203, 0, 113, 66]);
        });
        let networks = Networks::default();
        let reading = Reading::new(&alert, &networks);
        assert_eq!(reading.direction, Direction::Outbound);
        assert_eq!(reading.asset.map(|asset| asset.address), Some(ip("10.77.0.1")));
        assert_eq!(reading.sentence(&alert), "10.77.0.1 sent 18.4 kB to 203.0.113.66 (ransomware)");
    }

    #[test]
    fn a_scan_from_outside_does_not_look_like_an_infection() {
        let scan = of_address(FlowView { stage: Stage::Refused, app_proto: None, ..turned(flow(7)) });
        let networks = Networks::default();
        let reading = Reading::new(&scan, &networks);
        assert_eq!((reading.direction, reading.near), (Direction::Inbound, Side::Server));
        assert_eq!(reading.asset.map(|asset| (asset.address, asset.role)), Some((ip("10.77.0.2"), Role::Server)));
        assert_eq!((reading.bytes_out, reading.bytes_in), (912, 18_422));
        assert_eq!(reading.sentence(&scan), "203.0.113.66 was refused by 10.77.0.2 (ransomware)");
        assert_eq!(said(&of_address(turned(flow(7)))), "203.0.113.66 reached 10.77.0.2 and got 912 B (ransomware)");
    }

    #[test]
    fn an_indicator_of_what_passed_names_the_far_end_and_itself() {
        let agent = alert_of(flow(7), ioc("user_agent", "EvilUA/1"), &HTTP, |say| {
            say.field(&USER_AGENT, b"EvilUA/1");
        });
        assert_eq!(said(&agent), "10.77.0.2 sent 18.4 kB to 203.0.113.66 (ransomware; user_agent EvilUA/1)");
    }

    #[test]
    fn nobody_knows_who_asked_when_the_beginning_is_missing() {
        let middle = of_address(FlowView { midstream: true, app_proto: None, ..flow(7) });
        let networks = Networks::default();
        let reading = Reading::new(&middle, &networks);
        assert_eq!(
            (reading.direction, reading.asset.map(|asset| asset.role)),
            (Direction::Unknown, Some(Role::Unknown))
        );
        assert_eq!(reading.sentence(&middle), "10.77.0.2 exchanged 19.3 kB with 203.0.113.66 (ransomware)");
        let told = of_address(FlowView { midstream: true, ..flow(7) });
        assert_eq!(Reading::new(&told, &networks).direction, Direction::Outbound, "a reader told the ends apart");
    }

    #[test]
    fn only_a_listed_proxy_is_believed_and_only_its_own_word() {
        let networks = |trust: bool| {
            let yaml = format!("proxies: [{{ address: 10.77.0.2, trust_forwarded_for: {trust} }}]");
            Networks::check(serde_yaml::from_str::<Written>(&yaml).expect("yaml")).expect("networks")
        };
        let alert = alert_of(flow(7), ioc("user_agent", "EvilUA/1"), &HTTP, |say| {
            say.field(&USER_AGENT, b"EvilUA/1").field(&FORWARDED_FOR, b"192.168.9.9, 10.77.0.40");
        });
        let (trusting, wary) = (networks(true), networks(false));
        let reading = Reading::new(&alert, &trusting);
        assert_eq!(reading.asset.map(|asset| (asset.address, asset.role)), Some((ip("10.77.0.40"), Role::Client)));
        assert_eq!((reading.proxy, reading.forwarded), (Some(ip("10.77.0.2")), true));
        let reading = Reading::new(&alert, &wary);
        assert_eq!(reading.asset.map(|asset| (asset.address, asset.role)), Some((ip("10.77.0.2"), Role::Proxy)));
        assert!(!reading.forwarded);
    }

    #[test]
    fn a_name_is_hidden_only_where_it_was_looked_for() {
        let networks = Networks::default();
        let hidden = |alert: &Alert| Reading::new(alert, &networks).name_hidden(alert);
        assert_eq!(hidden(&of_sni(flow(7))), Some(false));
        assert_eq!(hidden(&of_address(flow(7))), None, "the hello was not in this observation");
        let hello = alert_of(flow(7), ioc("ja3", "00"), &TLS, |say| {
            say.field(&USER_AGENT, b"x");
        });
        assert_eq!(hidden(&hello), Some(true));
        assert_eq!(hidden(&of_address(FlowView { app_proto: Some("http"), ..flow(7) })), Some(false));
    }
}
