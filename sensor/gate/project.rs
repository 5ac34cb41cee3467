//! The projection: a full alert's JSON in, a new object out. Every field that leaves is named here, checked for its
//! shape, and put in by hand; whatever else the record holds is not even looked at. The sentence is made anew.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::sentence::sentence;
use super::shape::{
    address_in, below, confidence, filled, flag, is_name, is_printable, is_private, is_reference, is_words, one_of,
    put, request, time, url, within,
};
use super::{Gate, Group, Withheld};
use crate::indicator::{Pap, Tlp};
use crate::limits::{WIRE_ANSWERS_MAX, WIRE_INDICATORS_MAX};
use crate::spool::Position;

/// The words that say how far it went, and how the sentence says it.
pub(super) static STAGES: [(&str, &str); 9] = [
    ("asked", "asked for"),
    ("answered", "was given an address for"),
    ("nxdomain", "asked for a name that is not there:"),
    ("sinkholed", "was led into a sinkhole instead of"),
    ("attempted", "tried to reach"),
    ("refused", "was refused by"),
    ("established", "connected to"),
    ("handshake", "shook hands with"),
    ("data", "exchanged data with"),
];
static DIRECTIONS: [&str; 5] = ["outbound", "inbound", "internal", "external", "unknown"];
static ROLES: [&str; 6] = ["client", "server", "resolver", "proxy", "nat", "unknown"];
static MODES: [&str; 2] = ["live", "exercise"];

/// The lanes of the spool, and the bytes of what was shed.
static SHED: [&str; 4] = ["critical", "normal", "low", "bytes"];

/// Builds what may leave.
pub(super) fn project(gate: &Gate, position: Position, record: &Value) -> Result<Map<String, Value>, Withheld> {
    if !record.is_object() {
        return Err(Withheld::Unreadable);
    }
    if record["event_type"] != "alert" {
        return Err(Withheld::NotAnAlert);
    }
    let (alert, own) = (&record["alert"], &record["alert"]["context"]["haetae"]);
    let id = own["id"].as_str().filter(|id| is_name(id)).ok_or(Withheld::NoIdentity)?;
    let revision = own["revision"].as_u64().filter(|revision| *revision > 0).ok_or(Withheld::NoIdentity)?;
    if own["mode"] == "replay" {
        return Err(Withheld::Replay);
    }
    let (tlp, pap) = marking(alert);
    if tlp > gate.limits.tlp_max {
        return Err(Withheld::AboveTlp);
    }
    if pap > gate.limits.pap_max {
        return Err(Withheld::AbovePap);
    }
    let secret = tlp == Tlp::Red;
    let mut out = Map::new();
    out.insert("sequence".into(), position.0.into());
    out.insert("id".into(), id.into());
    out.insert("revision".into(), revision.into());
    put(&mut out, "final", flag(&own["final"]));
    put(&mut out, "incident", own["incident"].as_str().filter(|text| is_name(text)));
    put(&mut out, "repeats", repeats(&own["repeats"]));
    put(&mut out, "mode", one_of(&own["mode"], &MODES));
    if gate.limits.lets(Group::Time) {
        put(&mut out, "timestamp", time(&record["timestamp"]));
    }
    put(&mut out, "severity", alert["severity"].as_u64().filter(|severity| (1..=4).contains(severity)));
    // Both are what the indicator's source says of it.
    if !secret {
        put(&mut out, "category", alert["category"].as_str().filter(|text| is_words(text)));
    }
    out.insert("tlp".into(), tlp.name().into());
    out.insert("pap".into(), pap.name().into());
    if !secret {
        put(&mut out, "confidence", confidence(&alert["metadata"]["confidence"]));
    }
    let scene = Scene { gate, record, own, iocs: iocs(alert), secret };
    scene.add(&mut out);
    out.insert("signature".into(), sentence(&out).into());
    Ok(out)
}

/// What an update stands for: the first alert of its contact, and how many came since.
fn repeats(repeats: &Value) -> Option<Value> {
    let first = repeats["first"].as_str().filter(|id| is_name(id))?;
    Some(json!({"first": first, "alerts": repeats["alerts"].as_u64()?}))
}

/// Who speaks of what was met; nobody in what the sensor says of itself.
fn iocs(alert: &Value) -> &[Value] {
    match &alert["context"]["ioc"] {
        Value::Null => &[],
        Value::Array(list) => list,
        one => std::slice::from_ref(one),
    }
}

/// The strictest markings that the record speaks of. An unknown word is taken for red, none for amber; of a record about no
/// indicator none is to be kept.
fn marking(alert: &Value) -> (Tlp, Pap) {
    let iocs = iocs(alert);
    let words = |name: &str| -> Vec<Option<&str>> {
        let whole = alert["metadata"][name].as_array().map_or(&[][..], Vec::as_slice);
        let all = whole.iter().chain(iocs.iter().map(|ioc| &ioc[name])).filter(|word| !word.is_null());
        all.map(Value::as_str).collect()
    };
    let tlp = words("tlp").into_iter().map(|word| word.and_then(Tlp::from_name).unwrap_or(Tlp::Red)).max();
    let pap = words("pap").into_iter().map(|word| word.and_then(Pap::from_name).unwrap_or(Pap::Red)).max();
    let unsaid = if iocs.is_empty() { (Tlp::Clear, Pap::Clear) } else { (Tlp::Amber, Pap::Amber) };
    (tlp.unwrap_or(unsaid.0), pap.unwrap_or(unsaid.1))
}

/// A record as the groups of the policy look at it.
struct Scene<'a> {
    gate: &'a Gate,
    record: &'a Value,
    own: &'a Value,
    iocs: &'a [Value],
    /// Of the indicators nothing but their ids may leave, nor what would tell them.
    secret: bool,
}

impl Scene<'_> {
    fn lets(&self, group: Group) -> bool {
        self.gate.limits.lets(group)
    }

    fn add(&self, out: &mut Map<String, Value>) {
        if self.lets(Group::Protocol) {
            put(out, "proto", self.record["proto"].as_str().filter(|text| is_name(text)));
            put(out, "app_proto", self.record["app_proto"].as_str().filter(|text| is_name(text)));
            put(out, "direction", one_of(&self.own["direction"], &DIRECTIONS));
        }
        out.insert("indicators".into(), self.indicators());
        put(out, "shed", self.shed());
        if self.lets(Group::Peer) && !self.secret {
            put(out, "peer", self.peer());
        }
        if self.lets(Group::Asset) {
            put(out, "asset", self.asset());
        }
        put(out, "contact", self.contact());
        if self.lets(Group::Via) {
            put(out, "via", self.via());
        }
        if self.lets(Group::Coverage) {
            let coverage = &self.own["coverage"];
            let mut new = Map::new();
            put(&mut new, "both_directions", flag(&coverage["both_directions"]));
            put(&mut new, "missing_bytes", coverage["missing_bytes"].as_u64());
            put(&mut new, "loss_ppm", coverage["loss_ppm"].as_u64());
            put(&mut new, "midstream", flag(&coverage["midstream"]));
            put(&mut new, "name_hidden", flag(&coverage["name_hidden"]));
            put(out, "coverage", filled(new));
        }
        if self.lets(Group::Set) {
            let mut new = Map::new();
            put(&mut new, "version", self.own["set"]["version"].as_u64());
            put(&mut new, "age_s", self.own["set"]["age_s"].as_u64());
            put(out, "set", filled(new));
        }
    }

    fn indicators(&self) -> Value {
        let list = self.iocs.iter().take(WIRE_INDICATORS_MAX);
        list.filter_map(|ioc| self.indicator(ioc)).map(Value::Object).collect()
    }

    fn indicator(&self, ioc: &Value) -> Option<Map<String, Value>> {
        let kind = ioc["type"].as_str().filter(|kind| is_name(kind))?;
        let value = ioc["value"].as_str().filter(|text| is_printable(text));
        let mut new = Map::new();
        new.insert("type".into(), kind.into());
        // A source may name an indicator by its value.
        let told =
            |text: &&str| self.secret && value.is_none_or(|value| text.to_lowercase().contains(&value.to_lowercase()));
        put(&mut new, "id", ioc["id"].as_str().filter(|text| is_reference(text) && !told(text)));
        // A file's name is the site's, and no source's.
        let named =
            ioc["source"].as_str().filter(|text| ioc["source_is_file"] != true && is_words(text) && !told(text));
        put(&mut new, "source", named);
        put(&mut new, "valid_until", time(&ioc["valid_until"]));
        if let Some(value) = value.filter(|_| !self.secret) {
            new.insert("value".into(), value.into());
            if self.lets(Group::Seen) {
                let place = ioc["seen_in"].as_str().filter(|text| is_name(text));
                put(&mut new, "seen_in", place);
                put(&mut new, "seen", ioc["seen"].as_str().and_then(|seen| self.seen((kind, value), place, seen)));
            }
        }
        Some(new)
    }

    /// What was seen, if it says no more about the site than the indicator does, or as the policy lets it.
    fn seen(&self, (kind, value): (&str, &str), place: Option<&str>, seen: &str) -> Option<String> {
        match kind {
            _ if seen == value => Some(seen.to_owned()),
            "domain" | "domain_suffix" => below(value, seen),
            "ip" => (seen.parse::<IpAddr>().ok()? == value.parse::<IpAddr>().ok()?).then(|| seen.to_owned()),
            "cidr" => {
                let address = seen.parse().ok().filter(|address| within(value, *address))?;
                (!self.inside(address)).then(|| address.to_string())
            }
            "url" => url(value, seen, self.lets(Group::Query)),
            "pattern" if place == Some("http.url") && self.lets(Group::Query) => request(seen),
            _ => None,
        }
    }

    /// What the sensor says of alerts that it had no room for; nothing but numbers and times.
    fn shed(&self) -> Option<Value> {
        let shed = self.own["shed"].as_object().filter(|_| self.iocs.is_empty())?;
        let mut new = Map::new();
        for name in SHED {
            new.insert(name.into(), shed.get(name).and_then(Value::as_u64).unwrap_or_default().into());
        }
        for name in ["first", "last"].into_iter().filter(|_| self.lets(Group::Time)) {
            put(&mut new, name, shed.get(name).and_then(time));
        }
        filled(new)
    }

    /// Whether an address may be the site's own. Private ones count: they tell about some inside, whosever it is.
    fn inside(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_private(address) || (self.gate.home)(address)
    }

    fn address(&self, value: &Value) -> Option<IpAddr> {
        Some(value.as_str()?.parse::<IpAddr>().ok()?.to_canonical())
    }

    /// The other side, when one side is the asset and the other is surely not the site's.
    fn peer(&self) -> Option<Value> {
        let asset = self.address(&self.own["asset"]["ip"])?;
        let (source, target) = (self.address(&self.record["src_ip"])?, self.address(&self.record["dest_ip"])?);
        let (peer, port) = match asset {
            asset if asset == source => (target, "dest_port"),
            asset if asset == target => (source, "src_port"),
            _ => return None,
        };
        let crossing = matches!(self.own["direction"].as_str(), Some("outbound" | "inbound"));
        if !crossing || self.inside(peer) {
            return None;
        }
        let mut new = Map::new();
        new.insert("ip".into(), peer.to_string().into());
        // EVE's ends are those of the message that met the indicator; `direction` says which of them is the server's.
        // A client's port says nothing about an attacker and much about an address translation.
        let server = if self.record["direction"] == "to_client" { "src_port" } else { "dest_port" };
        let served = self.record[port].as_u64().filter(|number| port == server && *number <= 65_535);
        put(&mut new, "port", served);
        filled(new)
    }

    fn asset(&self) -> Option<Value> {
        let asset = &self.own["asset"];
        let (key, mut new) = (&self.gate.key, Map::new());
        put(&mut new, "token", self.token(&asset["ip"]));
        put(&mut new, "name", asset["name"].as_str().map(|name| key.name(name).to_string()));
        put(&mut new, "role", one_of(&asset["role"], &ROLES));
        let network = asset["network"].as_str().map(|network| match is_name(network) {
            true if self.gate.limits.network_names => network.to_owned(),
            _ => key.name(network).to_string(),
        });
        put(&mut new, "network", network);
        filled(new)
    }

    /// An inside host's token; none for one that an indicator of the alert names in clear, or that alert would tell whose token
    /// it is in all others.
    fn token(&self, address: &Value) -> Option<String> {
        let address = self.address(address)?;
        let names = |text: &Value| text.as_str().and_then(address_in) == Some(address);
        let named = |ioc: &Value| names(&ioc["seen"]) || names(&ioc["value"]);
        (!self.iocs.iter().any(named)).then(|| self.gate.key.host(address).to_string())
    }

    fn contact(&self) -> Option<Value> {
        let contact = &self.own["contact"];
        let mut new = Map::new();
        if self.lets(Group::Contact) {
            put(&mut new, "stage", STAGES.iter().map(|(word, _)| *word).find(|word| contact["stage"] == *word));
            put(&mut new, "sinkhole", flag(&contact["sinkhole"]));
            for name in ["bytes_out", "bytes_in", "count"] {
                put(&mut new, name, contact[name].as_u64());
            }
        }
        if self.lets(Group::Time) {
            put(&mut new, "first", time(&contact["first"]));
            put(&mut new, "last", time(&contact["last"]));
        }
        if self.lets(Group::Resolver) {
            put(&mut new, "resolver", self.token(&contact["resolver"]));
        }
        if self.lets(Group::Answers) && !self.secret {
            let answers = contact["answer"].as_array().map_or(&[][..], Vec::as_slice);
            let outside = answers.iter().filter_map(|answer| self.address(answer)).filter(|at| !self.inside(*at));
            let list: Vec<Value> = outside.take(WIRE_ANSWERS_MAX).map(|at| at.to_string().into()).collect();
            put(&mut new, "answer", (!list.is_empty()).then_some(list));
        }
        filled(new)
    }

    fn via(&self) -> Option<Value> {
        let via = &self.own["via"];
        let nat = flag(&via["nat"]);
        let known = via.is_object();
        known.then(|| json!({"proxy": !via["proxy"].is_null(), "nat": nat.unwrap_or(false)}))
    }
}
