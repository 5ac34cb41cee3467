//! The local record of an alert: everything the site knows of it, as one EVE line that Suricata 8's schema takes.
//!
//! In: an [`Alert`] and what the [`Desk`] was given at its making. Out: a line. The same alert gives the same bytes at
//! any number of workers. Never here: what may leave the site, that is the gate's.

use std::net::IpAddr;
use std::sync::Arc;

use ring::hmac;

use super::json::Object;
use super::language::Texts;
use super::reading::{self, Reading};
use super::{Alert, eve, words};
use crate::indicator::{Ioc, Severity, signature_id};
use crate::networks::{Direction, Networks, Role};
use crate::observable::Side;

/// How the sensor was run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// On a link.
    Live,
    /// On capture files.
    #[default]
    Replay,
    /// On capture files, delivered to a centre that is told so.
    Exercise,
}

impl Mode {
    /// The word in an alert.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Live => "live",
            Mode::Replay => "replay",
            Mode::Exercise => "exercise",
        }
    }
}

/// Which set was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetVersion {
    /// Its version.
    pub version: u64,
    /// Seconds since it was made, where that is known.
    pub age_seconds: Option<u64>,
}

/// What a desk is made of. It has no `Debug`: the key must not reach a log.
#[derive(Clone, Default)]
pub struct Site {
    /// `site-0017`.
    pub id: String,
    /// `tap-a`; empty where the site has one sensor.
    pub sensor: String,
    /// The language in which the next steps are said: `en`, `ko`.
    pub language: String,
    /// The site's key: identities give nothing away to whom does not have it.
    pub key: Vec<u8>,
    /// Different for each capture or run, so that flow number 1 of two of them is not one flow.
    pub salt: Vec<u8>,
    /// What is inside.
    pub networks: Arc<Networks>,
    /// How the sensor is run.
    pub mode: Mode,
    /// The set in use.
    pub set: SetVersion,
    /// The link, when it is one and its name is known.
    pub interface: Option<String>,
}

/// Where records are written: made once by control, again when the set or the networks change.
#[derive(Clone)]
pub struct Desk {
    site: Site,
    key: hmac::Key,
}

/// Digits of an alert's identity: 64 bits, so that a site's alerts of many years do not meet.
const ID_BYTES: usize = 8;

/// Digits of an incident's: it is only compared within one site.
const INCIDENT_BYTES: usize = 4;

impl Desk {
    /// A desk for a site.
    pub fn new(site: Site) -> Desk {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &site.key);
        Desk { site, key }
    }

    /// The same desk for another capture.
    pub fn salted(&self, salt: &[u8]) -> Desk {
        let mut desk = self.clone();
        desk.site.salt = salt.to_vec();
        desk
    }

    /// The same desk with another set.
    pub fn with_set(&self, set: SetVersion) -> Desk {
        let mut desk = self.clone();
        desk.site.set = set;
        desk
    }

    /// What is inside.
    pub fn networks(&self) -> &Networks {
        &self.site.networks
    }

    /// What is said to a person, in the site's language.
    pub fn texts(&self) -> &'static Texts {
        Texts::of(&self.site.language)
    }

    /// An alert as the site reads it.
    pub fn reading<'a>(&'a self, alert: &'a Alert) -> Reading<'a> {
        Reading::new(alert, &self.site.networks)
    }

    /// Whose contact it is, and which way: all that merging asks of a reading.
    pub fn contact(&self, alert: &Alert) -> (IpAddr, Direction) {
        reading::contact(alert, &self.site.networks)
    }

    /// The identity of a contact: 16 hexadecimal digits, the same in all its revisions.
    pub fn id(&self, alert: &Alert) -> String {
        if let Some(repeats) = &alert.repeats {
            return self.sign("update", &[repeats.first.as_bytes(), &repeats.update.to_be_bytes()], ID_BYTES);
        }
        let flow = &alert.flow;
        let (kind, value) = indicator(alert);
        let ends = format!(
            "{} {} {} {} {} {} {}",
            flow.id,
            flow.client,
            flow.client_port,
            flow.server,
            flow.server_port,
            flow.protocol,
            flow.start.as_nanos()
        );
        self.sign("alert", &[&self.site.salt, ends.as_bytes(), kind.as_bytes(), value.as_bytes()], ID_BYTES)
    }

    /// What contacts of one asset with one indicator have in common: 8 hexadecimal digits.
    pub fn incident(&self, alert: &Alert, asset: IpAddr) -> String {
        let (kind, value) = indicator(alert);
        self.sign("incident", &[asset.to_string().as_bytes(), kind.as_bytes(), value.as_bytes()], INCIDENT_BYTES)
    }

    /// The identity of what is told of alerts that were given up: the same in every run.
    pub(super) fn id_of_shed(&self, name: &[u8]) -> String {
        self.sign("shed", &[name], ID_BYTES)
    }

    /// `site-0017/tap-a`, or the site alone where it has one sensor.
    pub(super) fn sensor(&self) -> String {
        let slash = if self.site.sensor.is_empty() { "" } else { "/" };
        format!("{}{slash}{}", self.site.id, self.site.sensor)
    }

    /// How grave an alert is, as EVE counts: 1 is the worst.
    pub fn severity(&self, alert: &Alert) -> u8 {
        alert.severity().eve()
    }

    /// Every part goes in behind its length, so that no two lists of parts are the same bytes.
    fn sign(&self, purpose: &str, parts: &[&[u8]], bytes: usize) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        words::hexadecimal(context.sign().as_ref(), bytes)
    }

    /// The local record: one line, with its end.
    pub fn record(&self, alert: &Alert) -> Vec<u8> {
        let reading = self.reading(alert);
        let mut out = Vec::with_capacity(1536 + alert.context.len());
        {
            let mut line = Object::open(&mut out);
            line.time("timestamp", alert.time());
            line.text("event_type", "alert");
            if let Some(interface) = self.site.interface.as_deref().filter(|_| self.site.mode == Mode::Live) {
                line.text("in_iface", interface);
            }
            line.text("direction", if alert.side == Side::Client { "to_server" } else { "to_client" });
            eve::head(&mut line, &alert.flow, alert.side);
            if let Some(name) = alert.event.app_proto.or(alert.flow.app_proto) {
                line.text("app_proto", name);
            }
            line.members_of(&alert.context);
            eve::counts(&mut line.object("flow"), &alert.flow);
            self.alert(line.object("alert"), alert, &reading);
        }
        out.push(b'\n');
        out
    }

    fn alert(&self, mut object: Object<'_>, alert: &Alert, reading: &Reading<'_>) {
        let (kind, value) = indicator(alert);
        let severity = severity(reading);
        object.text("action", "allowed");
        object.number("gid", 1);
        object.number("signature_id", signature_id(kind, value));
        object.number("rev", 1);
        object.number("severity", u64::from(severity.eve()));
        object.text("category", reading.category());
        object.text("signature", &reading.sentence(alert));
        metadata(object.object("metadata"), alert);
        let mut context = object.object("context");
        context.objects("ioc", alert.iocs.iter(), |object, ioc| write_ioc(object, ioc, alert));
        let mut own = context.object("haetae");
        if alert.clock_suspect {
            own.flag("clock_suspect", true);
        }
        self.haetae(own, alert, reading);
    }

    fn haetae(&self, mut object: Object<'_>, alert: &Alert, reading: &Reading<'_>) {
        let site = &self.site;
        let (near, _) = self.contact(alert);
        object.text("id", &self.id(alert));
        object.number("revision", u64::from(alert.revision));
        object.flag("final", alert.is_final());
        object.text("incident", &self.incident(alert, near));
        if let Some(repeats) = &alert.repeats {
            let mut object = object.object("repeats");
            object.text("first", &repeats.first);
            object.number("alerts", repeats.alerts);
        }
        object.text("mode", site.mode.name());
        object.text("sensor", &self.sensor());
        let mut set = object.object("set");
        set.number("version", site.set.version);
        if let Some(age) = site.set.age_seconds {
            set.number("age_s", age);
        }
        drop(set);
        object.text("direction", reading.direction.name());
        if let Some(asset) = reading.asset {
            write_asset(object.object("asset"), asset);
        }
        contact(object.object("contact"), alert, reading);
        via(object.object("via"), alert, reading);
        coverage(object.object("coverage"), alert, reading);
        if let Some(next) = next(alert, &site.language) {
            object.text("next", next);
        }
    }
}

/// The gravest that any source says.
fn severity(reading: &Reading<'_>) -> Severity {
    reading.worst.map_or(Severity::default(), |ioc| ioc.statement.severity)
}

/// All sources speak of one value: kind and value of the first are those of the entry.
fn indicator(alert: &Alert) -> (&str, &str) {
    alert.iocs.first().map_or(("", ""), |ioc| (ioc.kind, ioc.value.as_str()))
}

/// How the alert may be handled is what the strictest source says; how sure it is, what the surest says.
fn metadata(mut object: Object<'_>, alert: &Alert) {
    let statements = || alert.iocs.iter().map(|ioc| &ioc.statement);
    if let Some(tlp) = statements().map(|statement| statement.tlp).max() {
        object.texts("tlp", [tlp.name()]);
    }
    if let Some(pap) = statements().map(|statement| statement.pap).max() {
        object.texts("pap", [pap.name()]);
    }
    if let Some(confidence) = statements().map(|statement| statement.confidence).max() {
        object.texts("confidence", [confidence.to_string().as_str()]);
    }
}

fn write_ioc(object: &mut Object<'_>, ioc: &Ioc, alert: &Alert) {
    object.text("type", ioc.kind);
    object.text("value", &ioc.value);
    if let Some(place) = alert.places.first() {
        object.text("seen_in", place.seen_in);
        object.text("seen", &place.seen);
    }
    if let Some(id) = &ioc.id {
        object.text("id", id);
    }
    if !ioc.statement.source.is_empty() {
        object.text("source", &ioc.statement.source);
    }
    if ioc.statement.source_is_file {
        object.flag("source_is_file", true);
    }
    object.text("tlp", ioc.statement.tlp.name());
    object.text("pap", ioc.statement.pap.name());
    object.number("confidence", u64::from(ioc.statement.confidence));
    if let Some(until) = ioc.statement.valid_until {
        object.text("valid_until", &until.rfc3339());
    }
}

fn write_asset(mut object: Object<'_>, asset: reading::Asset<'_>) {
    object.address("ip", asset.address);
    object.text("role", asset.role.name());
    if let Some(network) = asset.network {
        object.text("network", network);
    }
}

fn contact(mut object: Object<'_>, alert: &Alert, reading: &Reading<'_>) {
    object.text("stage", reading.stage.name());
    if alert.is_of_a_name() {
        object.address("resolver", alert.flow.server);
        if !alert.answers.is_empty() {
            let answers: Vec<String> = alert.answers.iter().map(ToString::to_string).collect();
            object.texts("answer", answers.iter().map(String::as_str));
        }
    }
    object.number("bytes_out", reading.bytes_out);
    object.number("bytes_in", reading.bytes_in);
    object.number("count", alert.count);
    object.time("first", alert.first);
    object.time("last", alert.last);
    if alert.places.len() > 1 {
        object.objects("also_seen", alert.places.iter().skip(1), |object, place| {
            object.text("seen_in", place.seen_in);
            object.text("seen", &place.seen);
        });
    }
    if let Some(ended) = alert.ended {
        object.text("ended", ended.name());
    }
}

fn via(mut object: Object<'_>, alert: &Alert, reading: &Reading<'_>) {
    if let Some(proxy) = reading.proxy {
        object.address("proxy", proxy);
    }
    if let Some(forwarded_for) = &alert.forwarded_for {
        object.text("forwarded_for", forwarded_for);
        object.flag("forwarded_for_trusted", reading.forwarded);
    }
    object.flag("nat", reading.asset.is_some_and(|asset| asset.role == Role::Nat));
}

fn coverage(mut object: Object<'_>, alert: &Alert, reading: &Reading<'_>) {
    let flow = &alert.flow;
    object.flag("both_directions", flow.both_directions());
    object.number("missing_bytes", flow.missing[0].saturating_add(flow.missing[1]));
    object.flag("midstream", flow.midstream);
    if let Some(hidden) = reading.name_hidden(alert) {
        object.flag("name_hidden", hidden);
    }
}

/// What to do, in the site's language, else in English, else in whatever the first source has.
fn next<'a>(alert: &'a Alert, language: &str) -> Option<&'a str> {
    let all = || alert.iocs.iter().flat_map(|ioc| &ioc.statement.next);
    all()
        .find(|(of, _)| of == language)
        .or_else(|| all().find(|(of, _)| of == "en"))
        .or_else(|| all().next())
        .map(|(_, text)| text.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Contacts;
    use super::super::sample::{ended, flow, ip, scene, tls_met};
    use super::*;
    use crate::flow::{Ended, FlowView};
    use crate::indicator::{Iocs, Pap, Statement, Tlp};

    fn desk() -> Desk {
        let (id, sensor, language) = ("site-0017".to_owned(), "tap-a".to_owned(), "ko".to_owned());
        let set = SetVersion { version: 8812, age_seconds: Some(640) };
        Desk::new(Site { id, sensor, language, key: b"key".to_vec(), salt: b"salt".to_vec(), set, ..Site::default() })
    }

    fn first_and_last(of: FlowView) -> (Alert, Alert) {
        let mut contacts = Contacts::default();
        let first = tls_met(&mut contacts, &scene(of, 10)).expect("an alert");
        (first, ended(&mut contacts, of, Ended::Closed).last().expect("a last revision"))
    }

    fn parsed(alert: &Alert) -> Value {
        let line = desk().record(alert);
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
        serde_json::from_slice(&line).expect("JSON")
    }

    #[test]
    fn of_several_words_the_strictest_marking_holds() {
        let (_, mut last) = first_and_last(flow(7));
        let mut iocs = last.iocs.to_vec();
        for (tlp, pap) in [(Tlp::Green, Pap::Red), (Tlp::Red, Pap::Clear)] {
            let mut ioc = iocs[0].clone();
            ioc.statement = Arc::new(Statement { tlp, pap, ..Statement::clone(&ioc.statement) });
            iocs.push(ioc);
        }
        last.met.iocs = Iocs::new(last.entry, iocs);
        let record = parsed(&last);
        let metadata = &record["alert"]["metadata"];
        assert_eq!((&metadata["tlp"], &metadata["pap"]), (&json!(["red"]), &json!(["red"])));
        assert_eq!(record["alert"]["context"]["ioc"][1]["pap"], "red");
    }

    #[test]
    fn the_record_says_who_which_way_how_far_and_why() {
        let (_, last) = first_and_last(flow(7));
        let record = parsed(&last);
        assert_eq!(record["alert"]["signature"], "10.77.0.2 sent 18.4 kB to c2.bad.example (ransomware)");
        assert_eq!(record["alert"]["severity"], 1);
        assert_eq!(record["alert"]["metadata"], json!({"tlp": ["amber"], "pap": ["amber"], "confidence": ["85"]}));
        assert_eq!(record["tls"], json!({"sni": "c2.bad.example"}));
        let ioc = &record["alert"]["context"]["ioc"][0];
        assert_eq!((&ioc["type"], &ioc["value"]), (&json!("domain_suffix"), &json!("bad.example")));
        assert_eq!((&ioc["seen_in"], &ioc["seen"]), (&json!("tls.sni"), &json!("c2.bad.example")));
        assert_eq!(ioc["valid_until"], "2027-01-31T00:00:00Z");
        let haetae = &record["alert"]["context"]["haetae"];
        assert_eq!((&haetae["revision"], &haetae["final"]), (&json!(2), &json!(true)));
        assert_eq!(haetae["sensor"], "site-0017/tap-a");
        assert_eq!(haetae["set"], json!({"version": 8812, "age_s": 640}));
        assert_eq!((&haetae["direction"], &haetae["contact"]["stage"]), (&json!("outbound"), &json!("data")));
        assert_eq!(haetae["asset"], json!({"ip": "10.77.0.2", "role": "client"}));
        assert_eq!(haetae["next"], "호스트를 격리하십시오.");
    }

    #[test]
    fn a_time_that_the_machines_clock_does_not_bear_out_is_marked() {
        let (first, _) = first_and_last(flow(7));
        let mut doubted = first.clone();
        doubted.met.clock_suspect = true;
        let mark = |line: &[u8]| {
            let record: Value = serde_json::from_slice(line).expect("JSON");
            record.pointer("/alert/context/haetae/clock_suspect").cloned()
        };
        assert_eq!([desk().record(&doubted), desk().record(&first)].map(|line| mark(&line)), [Some(json!(true)), None]);
    }

    #[test]
    fn revisions_of_one_contact_share_its_identity_and_other_flows_do_not() {
        let (first, last) = first_and_last(flow(7));
        let (other, _) = first_and_last(flow(8));
        let desk = desk();
        assert_eq!(desk.id(&first), desk.id(&last));
        assert_eq!(desk.id(&first).len(), 16);
        assert_ne!(desk.id(&first), desk.id(&other));
        assert_eq!(desk.incident(&first, ip("10.77.0.2")), desk.incident(&other, ip("10.77.0.2")));
        assert_ne!(desk.id(&first), desk.salted(b"another capture").id(&first));
    }

    #[test]
    fn an_identity_needs_the_sites_key() {
        let (first, _) = first_and_last(flow(7));
        let stranger = Desk::new(Site { key: b"other".to_vec(), salt: b"salt".to_vec(), ..Site::default() });
        assert_ne!(desk().id(&first), stranger.id(&first));
        assert_ne!(desk().incident(&first, ip("10.77.0.2")), stranger.incident(&first, ip("10.77.0.2")));
    }

    #[test]
    fn an_interface_is_named_only_when_there_is_one() {
        let (first, _) = first_and_last(flow(7));
        let named =
            |mode| Desk::new(Site { mode, interface: Some("tap0".to_owned()), ..Site::default() }).record(&first);
        let has = |line: Vec<u8>| String::from_utf8_lossy(&line).contains("in_iface");
        assert!(has(named(Mode::Live)) && !has(named(Mode::Replay)));
    }

    #[test]
    fn what_is_missing_is_said() {
        let (_, last) = first_and_last(FlowView { missing: [3, 4], packets: [9, 0], midstream: true, ..flow(7) });
        let coverage = &parsed(&last)["alert"]["context"]["haetae"]["coverage"];
        let want = json!({"both_directions": false, "missing_bytes": 7, "midstream": true, "name_hidden": false});
        assert_eq!(coverage, &want);
    }
}
