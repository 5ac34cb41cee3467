//! The projection: a full alert's JSON in, a new object out. Every field that leaves is named here, checked for its
//! shape, and put in by hand; whatever else the record holds is not even looked at. The sentence is made anew.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::policy::tlp;
use super::{Gate, Group, Withheld};
use crate::indicator::Tlp;
use crate::limits::{WIRE_ANSWERS_MAX, WIRE_INDICATORS_MAX};
use crate::spool::Position;

/// The words that say how far it went, and how the sentence says it.
static STAGES: [(&str, &str); 9] = [
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
    let marking = marking(alert);
    if marking > gate.policy.tlp_max {
        return Err(Withheld::AboveTlp);
    }
    let mut out = Map::new();
    out.insert("sequence".into(), position.0.into());
    out.insert("id".into(), id.into());
    out.insert("revision".into(), revision.into());
    put(&mut out, "final", flag(&own["final"]));
    put(&mut out, "incident", own["incident"].as_str().filter(|text| is_name(text)));
    put(&mut out, "mode", one_of(&own["mode"], &MODES));
    if gate.policy.lets(Group::Time) {
        put(&mut out, "timestamp", time(&record["timestamp"]));
    }
    put(&mut out, "severity", alert["severity"].as_u64().filter(|severity| (1..=4).contains(severity)));
    put(&mut out, "category", alert["category"].as_str().filter(|text| is_words(text)));
    out.insert("tlp".into(), spelled(marking).into());
    put(&mut out, "confidence", confidence(&alert["metadata"]["confidence"]));
    let scene = Scene { gate, record, own, secret: marking == Tlp::Red };
    scene.add(&mut out);
    out.insert("signature".into(), sentence(&out).into());
    Ok(out)
}

/// A record as the groups of the policy look at it.
struct Scene<'a> {
    gate: &'a Gate,
    record: &'a Value,
    own: &'a Value,
    /// Of the indicators nothing but their ids may leave, nor what would tell them.
    secret: bool,
}

impl Scene<'_> {
    fn lets(&self, group: Group) -> bool {
        self.gate.policy.lets(group)
    }

    fn add(&self, out: &mut Map<String, Value>) {
        if self.lets(Group::Protocol) {
            put(out, "proto", self.record["proto"].as_str().filter(|text| is_name(text)));
            put(out, "app_proto", self.record["app_proto"].as_str().filter(|text| is_name(text)));
            put(out, "direction", one_of(&self.own["direction"], &DIRECTIONS));
        }
        out.insert("indicators".into(), self.indicators());
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
        let ioc = &self.record["alert"]["context"]["ioc"];
        let list = ioc.as_array().map_or_else(|| std::slice::from_ref(ioc), Vec::as_slice);
        list.iter().take(WIRE_INDICATORS_MAX).filter_map(|ioc| self.indicator(ioc)).map(Value::Object).collect()
    }

    fn indicator(&self, ioc: &Value) -> Option<Map<String, Value>> {
        let kind = ioc["type"].as_str().filter(|kind| is_name(kind))?;
        let mut new = Map::new();
        new.insert("type".into(), kind.into());
        put(&mut new, "id", ioc["id"].as_str().filter(|text| is_reference(text)));
        put(&mut new, "source", ioc["source"].as_str().filter(|text| is_words(text)));
        put(&mut new, "valid_until", time(&ioc["valid_until"]));
        let value = ioc["value"].as_str().filter(|text| is_printable(text));
        if let Some(value) = value.filter(|_| !self.secret) {
            new.insert("value".into(), value.into());
            if self.lets(Group::Seen) {
                put(&mut new, "seen_in", ioc["seen_in"].as_str().filter(|text| is_name(text)));
                put(&mut new, "seen", ioc["seen"].as_str().and_then(|seen| self.seen(kind, value, seen)));
            }
        }
        Some(new)
    }

    /// What was seen, if it says no more about the site than the indicator does.
    fn seen(&self, kind: &str, value: &str, seen: &str) -> Option<String> {
        if seen == value {
            return Some(seen.to_owned());
        }
        match kind {
            "domain" | "domain_suffix" => below(value, seen).then(|| seen.to_ascii_lowercase()),
            "ip" => (seen.parse::<IpAddr>().ok()? == value.parse::<IpAddr>().ok()?).then(|| seen.to_owned()),
            "cidr" => {
                let address = seen.parse().ok().filter(|address| within(value, *address))?;
                (!self.inside(address)).then(|| address.to_string())
            }
            "url" => {
                let bare = bare_url(seen)?;
                (bare_url(value)?.split('/').nth(2) == bare.split('/').nth(2)).then_some(bare)
            }
            _ => None,
        }
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
        let mut new = Map::new();
        put(&mut new, "token", self.token(&asset["ip"]));
        put(&mut new, "role", one_of(&asset["role"], &ROLES));
        if self.gate.policy.network_names {
            put(&mut new, "network", asset["network"].as_str().filter(|text| is_name(text)));
        }
        filled(new)
    }

    fn token(&self, address: &Value) -> Option<String> {
        Some(self.gate.key.host(self.address(address)?))
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

/// The strictest marking that the record speaks of. An unknown word is taken for red, none for amber.
fn marking(alert: &Value) -> Tlp {
    let ioc = &alert["context"]["ioc"];
    let list = ioc.as_array().map_or_else(|| std::slice::from_ref(ioc), Vec::as_slice);
    let whole = alert["metadata"]["tlp"].as_array().map_or(&[][..], Vec::as_slice);
    let words = whole.iter().chain(list.iter().map(|ioc| &ioc["tlp"])).filter(|word| !word.is_null());
    words.map(|word| word.as_str().and_then(tlp).unwrap_or(Tlp::Red)).max().unwrap_or(Tlp::Amber)
}

fn spelled(marking: Tlp) -> &'static str {
    match marking {
        Tlp::Clear => "clear",
        Tlp::Green => "green",
        Tlp::Amber => "amber",
        Tlp::AmberStrict => "amber+strict",
        Tlp::Red => "red",
    }
}

/// The sentence, of what has been let out already.
fn sentence(out: &Map<String, Value>) -> String {
    let inner = |outer: &str, name: &str| out.get(outer).and_then(|value| value.get(name));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let first = out.get("indicators").and_then(|list| list.get(0));
    let what = ["seen", "value", "id"].iter().find_map(|name| text(first?.get(*name)));
    let what = what.unwrap_or_else(|| "an indicator".into());
    let who = text(inner("asset", "token")).unwrap_or_else(|| "a host".into());
    let why = text(out.get("category")).map(|category| format!(" ({category})")).unwrap_or_default();
    if out.get("direction").is_some_and(|direction| direction == "inbound") {
        return format!("{what} came to {who}{why}");
    }
    let stage = text(inner("contact", "stage")).unwrap_or_default();
    match inner("contact", "bytes_out").and_then(Value::as_u64).filter(|_| stage == "data") {
        Some(bytes) => format!("{who} sent {} to {what}{why}", size(bytes)),
        None => {
            let verb = STAGES.iter().find(|(word, _)| *word == stage).map_or("met", |(_, verb)| verb);
            format!("{who} {verb} {what}{why}")
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=999 => format!("{bytes} B"),
        1_000..=999_999 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn put(out: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        out.insert(name.to_owned(), value.into());
    }
}

fn filled(map: Map<String, Value>) -> Option<Value> {
    (!map.is_empty()).then_some(Value::Object(map))
}

fn flag(value: &Value) -> Option<bool> {
    value.as_bool()
}

fn one_of(value: &Value, words: &[&'static str]) -> Option<&'static str> {
    words.iter().find(|word| value == **word).copied()
}

/// EVE writes metadata as lists of strings.
fn confidence(value: &Value) -> Option<u64> {
    let one = value.get(0).unwrap_or(value);
    one.as_u64().or_else(|| one.as_str()?.parse().ok()).filter(|confidence| *confidence <= 100)
}

fn time(value: &Value) -> Option<&str> {
    let shaped = |text: &&str| {
        (10..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b"-:.+TZ".contains(&b))
    };
    value.as_str().filter(shaped)
}

/// 1 to 64 of `A-Z a-z 0-9 . _ -`.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A source's or category's words: letters and digits of any script, spaces, and `. _ - : / + &`.
fn is_words(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_alphanumeric() || " ._-:/+&".contains(c))
}

/// A source's own name for an indicator.
fn is_reference(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_printable(text: &str) -> bool {
    (1..=4096).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether `seen` is a host name at or below `value`.
fn below(value: &str, seen: &str) -> bool {
    let (value, seen) = (value.trim_start_matches("*.").to_ascii_lowercase(), seen.to_ascii_lowercase());
    let host = seen.len() <= 255 && seen.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    host && seen.strip_suffix(&value).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// Scheme, host and path; no user, query or fragment.
fn bare_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let rest = rest.split(['?', '#']).next()?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit('@').next()?;
    let clean = is_name(scheme) && !host.is_empty() && is_printable(host) && (path.is_empty() || is_printable(path));
    clean.then(|| format!("{}://{}{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase()))
}

fn within(network: &str, address: IpAddr) -> bool {
    let Some((base, length)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) if length <= 32 => {
            u32::from(base).checked_shr(32 - length) == u32::from(address).checked_shr(32 - length)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) if length <= 128 => {
            u128::from(base).checked_shr(128 - length) == u128::from(address).checked_shr(128 - length)
        }
        _ => false,
    }
}

/// Addresses that belong to some inside: RFC 1918, RFC 6598, RFC 4193, loopback and link-local.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            v6.is_loopback() || v6.is_unspecified() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    }
}
