//! The projection: a full alert's JSON in, a new object out. Every field that leaves is named here, checked for its
//! shape, and put in by hand; whatever else the record holds is not even looked at. The sentence is made anew.

use std::net::IpAddr;

use serde_json_borrow::Value;

use super::sentence::sentence;
use super::shape::{
    Out, Said, address_in, below, confidence, filled, flag, is_name, is_printable, is_private, is_reference, is_words,
    one_of, put, put_text, request, time, url, within,
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
pub(super) fn project(gate: &Gate, position: Position, record: &Value<'_>) -> Result<Out, Withheld> {
    if !record.is_object() {
        return Err(Withheld::Unreadable);
    }
    if record.get("event_type").as_str() != Some("alert") {
        return Err(Withheld::NotAnAlert);
    }
    let alert = record.get("alert");
    let own = alert.get("context").get("haetae");
    let id = own.get("id").as_str().filter(|id| is_name(id)).ok_or(Withheld::NoIdentity)?;
    let revision = own.get("revision").as_u64().filter(|revision| *revision > 0).ok_or(Withheld::NoIdentity)?;
    if own.get("mode").as_str() == Some("replay") {
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
    let mut out = Out::default();
    out.insert("sequence", position.0.into());
    out.insert("id", id.to_owned().into());
    out.insert("revision", revision.into());
    put(&mut out, "final", flag(own.get("final")));
    put_text(&mut out, "incident", own.get("incident").as_str().filter(|text| is_name(text)));
    put(&mut out, "repeats", repeats(own.get("repeats")));
    put(&mut out, "mode", one_of(own.get("mode"), &MODES));
    if gate.limits.lets(Group::Time) {
        put_text(&mut out, "timestamp", time(record.get("timestamp")));
    }
    put(&mut out, "severity", alert.get("severity").as_u64().filter(|severity| (1..=4).contains(severity)));
    // Both are what the indicator's source says of it.
    if !secret {
        put_text(&mut out, "category", alert.get("category").as_str().filter(|text| is_words(text)));
    }
    out.insert("tlp", tlp.name().into());
    out.insert("pap", pap.name().into());
    if !secret {
        put(&mut out, "confidence", confidence(alert.get("metadata").get("confidence")));
    }
    let scene = Scene { gate, record, own, iocs: iocs(alert), secret };
    scene.add(&mut out);
    out.insert("signature", sentence(&out).into());
    Ok(out)
}

/// What an update stands for: the first alert of its contact, and how many came since.
fn repeats(repeats: &Value<'_>) -> Option<Said> {
    let mut new = Out::default();
    new.insert("first", repeats.get("first").as_str().filter(|id| is_name(id))?.to_owned().into());
    new.insert("alerts", repeats.get("alerts").as_u64()?.into());
    filled(new)
}

/// Who speaks of what was met; nobody in what the sensor says of itself.
fn iocs<'a>(alert: &'a Value<'a>) -> &'a [Value<'a>] {
    match alert.get("context").get("ioc") {
        Value::Null => &[],
        Value::Array(list) => list,
        one => std::slice::from_ref(one),
    }
}

/// The strictest markings that the record speaks of. An unknown word is taken for red, none for amber; of a record about no
/// indicator none is to be kept.
fn marking(alert: &Value<'_>) -> (Tlp, Pap) {
    let iocs = iocs(alert);
    let words = |name: &'static str| {
        let whole = alert.get("metadata").get(name).as_array().unwrap_or_default();
        let all = whole.iter().chain(iocs.iter().map(move |ioc| ioc.get(name))).filter(|word| !word.is_null());
        all.map(Value::as_str)
    };
    let tlp = words("tlp").map(|word| word.and_then(Tlp::from_name).unwrap_or(Tlp::Red)).max();
    let pap = words("pap").map(|word| word.and_then(Pap::from_name).unwrap_or(Pap::Red)).max();
    let unsaid = if iocs.is_empty() { (Tlp::Clear, Pap::Clear) } else { (Tlp::Amber, Pap::Amber) };
    (tlp.unwrap_or(unsaid.0), pap.unwrap_or(unsaid.1))
}

/// A record as the groups of the policy look at it.
struct Scene<'a> {
    gate: &'a Gate,
    record: &'a Value<'a>,
    own: &'a Value<'a>,
    iocs: &'a [Value<'a>],
    /// Of the indicators nothing but their ids may leave, nor what would tell them.
    secret: bool,
}

impl Scene<'_> {
    fn lets(&self, group: Group) -> bool {
        self.gate.limits.lets(group)
    }

    fn add(&self, out: &mut Out) {
        if self.lets(Group::Protocol) {
            put_text(out, "proto", self.record.get("proto").as_str().filter(|text| is_name(text)));
            put_text(out, "app_proto", self.record.get("app_proto").as_str().filter(|text| is_name(text)));
            put(out, "direction", one_of(self.own.get("direction"), &DIRECTIONS));
        }
        out.insert("indicators", self.indicators());
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
            let coverage = self.own.get("coverage");
            let mut new = Out::default();
            put(&mut new, "both_directions", flag(coverage.get("both_directions")));
            put(&mut new, "missing_bytes", coverage.get("missing_bytes").as_u64());
            put(&mut new, "loss_ppm", coverage.get("loss_ppm").as_u64());
            put(&mut new, "midstream", flag(coverage.get("midstream")));
            put(&mut new, "name_hidden", flag(coverage.get("name_hidden")));
            put(out, "coverage", filled(new));
        }
        if self.lets(Group::Set) {
            let mut new = Out::default();
            put(&mut new, "version", self.own.get("set").get("version").as_u64());
            put(&mut new, "age_s", self.own.get("set").get("age_s").as_u64());
            put(out, "set", filled(new));
        }
    }

    fn indicators(&self) -> Said {
        let list = self.iocs.iter().take(WIRE_INDICATORS_MAX);
        Value::Array(list.filter_map(|ioc| self.indicator(ioc)).map(Value::Object).collect())
    }

    fn indicator(&self, ioc: &Value<'_>) -> Option<Out> {
        let kind = ioc.get("type").as_str().filter(|kind| is_name(kind))?;
        let value = ioc.get("value").as_str().filter(|text| is_printable(text));
        let mut new = Out::default();
        new.insert("type", kind.to_owned().into());
        // A source may name an indicator by its value.
        let told =
            |text: &&str| self.secret && value.is_none_or(|value| text.to_lowercase().contains(&value.to_lowercase()));
        put_text(&mut new, "id", ioc.get("id").as_str().filter(|text| is_reference(text) && !told(text)));
        // A file's name is the site's, and no source's.
        let named = ioc
            .get("source")
            .as_str()
            .filter(|text| ioc.get("source_is_file").as_bool() != Some(true) && is_words(text) && !told(text));
        put_text(&mut new, "source", named);
        put_text(&mut new, "valid_until", time(ioc.get("valid_until")));
        if let Some(value) = value.filter(|_| !self.secret) {
            new.insert("value", value.to_owned().into());
            if self.lets(Group::Seen) {
                let place = ioc.get("seen_in").as_str().filter(|text| is_name(text));
                put_text(&mut new, "seen_in", place);
                put(&mut new, "seen", ioc.get("seen").as_str().and_then(|seen| self.seen((kind, value), place, seen)));
            }
        }
        Some(new)
    }

    /// What was seen, if it says no more about the site than the indicator does, or as the policy lets it.
    fn seen(&self, (kind, value): (&str, &str), place: Option<&str>, seen: &str) -> Option<String> {
        match kind {
            _ if seen == value => Some(seen.to_owned()),
            // EVE writes these in pairs.
            "cert_sha1" | "cert_sha256" => (seen.replace(':', "") == value).then(|| seen.to_owned()),
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
    fn shed(&self) -> Option<Said> {
        let shed = self.own.get("shed").as_object().filter(|_| self.iocs.is_empty())?;
        let mut new = Out::default();
        for name in SHED {
            new.insert(name, shed.get(name).and_then(Value::as_u64).unwrap_or_default().into());
        }
        for name in ["first", "last"].into_iter().filter(|_| self.lets(Group::Time)) {
            put_text(&mut new, name, shed.get(name).and_then(time));
        }
        filled(new)
    }

    /// Whether an address may be the site's own. Private ones count: they tell about some inside, whosever it is.
    fn inside(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_private(address) || (self.gate.home)(address)
    }

    fn address(&self, value: &Value<'_>) -> Option<IpAddr> {
        Some(value.as_str()?.parse::<IpAddr>().ok()?.to_canonical())
    }

    /// The other side, when one side is the asset and the other is surely not the site's.
    fn peer(&self) -> Option<Said> {
        let asset = self.address(self.own.get("asset").get("ip"))?;
        let (source, target) = (self.address(self.record.get("src_ip"))?, self.address(self.record.get("dest_ip"))?);
        let (peer, port) = match asset {
            asset if asset == source => (target, "dest_port"),
            asset if asset == target => (source, "src_port"),
            _ => return None,
        };
        let crossing = matches!(self.own.get("direction").as_str(), Some("outbound" | "inbound"));
        if !crossing || self.inside(peer) {
            return None;
        }
        let mut new = Out::default();
        new.insert("ip", peer.to_string().into());
        // EVE's ends are those of the message that met the indicator; `direction` says which of them is the server's.
        // A client's port says nothing about an attacker and much about an address translation.
        let server = if self.record.get("direction").as_str() == Some("to_client") { "src_port" } else { "dest_port" };
        let served = self.record.get(port).as_u64().filter(|number| port == server && *number <= 65_535);
        put(&mut new, "port", served);
        filled(new)
    }

    fn asset(&self) -> Option<Said> {
        let asset = self.own.get("asset");
        let (key, mut new) = (&self.gate.key, Out::default());
        put(&mut new, "token", self.token(asset.get("ip")));
        put(&mut new, "name", asset.get("name").as_str().map(|name| key.name(name).to_string()));
        put(&mut new, "role", one_of(asset.get("role"), &ROLES));
        let network = asset.get("network").as_str().map(|network| match is_name(network) {
            true if self.gate.limits.network_names => network.to_owned(),
            _ => key.name(network).to_string(),
        });
        put(&mut new, "network", network);
        filled(new)
    }

    /// An inside host's token; none for one that an indicator of the alert names in clear, or that alert would tell whose token
    /// it is in all others.
    fn token(&self, address: &Value<'_>) -> Option<String> {
        let address = self.address(address)?;
        let names = |text: &Value<'_>| text.as_str().and_then(address_in) == Some(address);
        let named = |ioc: &Value<'_>| names(ioc.get("seen")) || names(ioc.get("value"));
        (!self.iocs.iter().any(named)).then(|| self.gate.key.host(address).to_string())
    }

    fn contact(&self) -> Option<Said> {
        let contact = self.own.get("contact");
        let mut new = Out::default();
        if self.lets(Group::Contact) {
            put(
                &mut new,
                "stage",
                STAGES.iter().map(|(word, _)| *word).find(|word| contact.get("stage").as_str() == Some(*word)),
            );
            put(&mut new, "sinkhole", flag(contact.get("sinkhole")));
            for name in ["bytes_out", "bytes_in", "count"] {
                put(&mut new, name, contact.get(name).as_u64());
            }
        }
        if self.lets(Group::Time) {
            put_text(&mut new, "first", time(contact.get("first")));
            put_text(&mut new, "last", time(contact.get("last")));
        }
        if self.lets(Group::Resolver) {
            put(&mut new, "resolver", self.token(contact.get("resolver")));
        }
        if self.lets(Group::Answers) && !self.secret {
            let answers = contact.get("answer").as_array().unwrap_or_default();
            let outside = answers.iter().filter_map(|answer| self.address(answer)).filter(|at| !self.inside(*at));
            let list: Vec<String> = outside.take(WIRE_ANSWERS_MAX).map(|at| at.to_string()).collect();
            put(&mut new, "answer", (!list.is_empty()).then_some(list));
        }
        filled(new)
    }

    fn via(&self) -> Option<Said> {
        let via = self.own.get("via");
        let nat = flag(via.get("nat"));
        let known = via.is_object();
        known
            .then(|| {
                Out::from(vec![("proxy", (!via.get("proxy").is_null()).into()), ("nat", nat.unwrap_or(false).into())])
            })
            .map(Value::Object)
    }
}
