//! `haetae explain`: one alert on one page, from the bytes of its first sighting to the decision.
//!
//! In: what control found in the captures. Out: text for a person, every line printable and bounded, since values come from
//! strangers. Never here: how a capture is read, what policy decides.

use std::io::Write;

use super::exit;
use super::explain_bytes::{self as bytes, Place};
use super::explain_words as words;
use super::screen::{counted, grouped};
use crate::alert::Alert;
use crate::alert::eve::protocol;
use crate::alert::words::{printable, severity, size};
use crate::config::{Config, Replay};
use crate::control::{Answer, Asked, Failure, Found, Said, Sight, explain};
use crate::decode::{Fate, ip};
use crate::flow::FlowView;
use crate::gate::{Gate, Mode, Sender, SiteKey};
use crate::limits::{EXPLAIN_DIGITS_MIN, EXPLAIN_FIELDS_MAX, EXPLAIN_LINE_BYTES_MAX, EXPLAIN_VALUE_BYTES_MAX};
use crate::networks::{Direction, Networks};
use crate::observable::{Form, Side, address};
use crate::spool::Position;

/// Digits of a whole id.
const ID_DIGITS: usize = 16;

/// Stands before what the alert is about.
const MATCHED: &str = ">>";

/// The key behind tokens where the site has none yet: the page says so.
const NO_KEY: [u8; 32] = [0; 32];

/// Checks the digits that were typed.
///
/// # Errors
/// Why they are no id.
pub fn check(id: &str) -> Result<(), String> {
    let hexadecimal = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hexadecimal && (EXPLAIN_DIGITS_MIN..=ID_DIGITS).contains(&id.len()) {
        return Ok(());
    }
    let shown = printable(id.as_bytes(), 40);
    Err(format!(
        "`{shown}` is no alert id: {EXPLAIN_DIGITS_MIN} to {ID_DIGITS} hexadecimal digits (--list prints all ids)"
    ))
}

/// Finds the alert and prints its page; without an id, prints all ids. Gives the exit code.
///
/// # Errors
/// As those of a replay; an output that cannot be written.
pub fn run(replay: &Replay, id: Option<&str>, out: &mut dyn Write, complaints: &mut dyn Write) -> Result<u8, Failure> {
    let asked = id.map_or(Asked::Ids, Asked::Alert);
    let written = |error| Failure::Io("standard output".into(), error);
    match explain(replay, asked, out)? {
        Answer::Listed(alerts) => {
            writeln!(complaints, "{}", counted(alerts, ["alert", "alerts"])).map_err(written)?;
            Ok(exit::SOUND)
        }
        Answer::Found(found) => {
            let lines = Page { found: &found, config: &replay.config, lines: Vec::new() }.written();
            for line in lines {
                writeln!(out, "{}", printable(line.as_bytes(), EXPLAIN_LINE_BYTES_MAX)).map_err(written)?;
            }
            Ok(exit::SOUND)
        }
        Answer::Ambiguous(ids) => {
            let all = ids.join("\n  ");
            writeln!(complaints, "error: several alerts have ids that begin so; give more digits:\n  {all}")
                .map_err(written)?;
            Ok(exit::UNKNOWN)
        }
        Answer::Unknown { near, alerts } => {
            let id = id.unwrap_or_default();
            writeln!(complaints, "{}", unknown(id, &near, alerts)).map_err(written)?;
            Ok(exit::UNKNOWN)
        }
    }
}

fn unknown(id: &str, near: &[String], alerts: u64) -> String {
    let total = counted(alerts, ["alert", "alerts"]);
    let mut text = format!("error: no alert {id} in these captures with these rules ({total})");
    if !near.is_empty() {
        text.push_str(&format!("\nnearest ids:\n  {}", near.join("\n  ")));
    }
    text.push_str(
        "\n--list prints all ids. An id holds for one capture under its own file name and for one site key (-c FILE): the id \
         that a running sensor gave to the same contact is another one.",
    );
    text
}

/// The page as it is written, line by line.
struct Page<'a> {
    found: &'a Found,
    config: &'a Config,
    lines: Vec<String>,
}

impl Page<'_> {
    fn written(mut self) -> Vec<String> {
        let exhibit = &self.found.exhibit;
        let last = exhibit.last.as_ref().unwrap_or(&exhibit.first);
        let sentence = self.found.desk.reading(last).sentence(last);
        self.say(format!("Alert {}: {sentence}", exhibit.id));
        self.frame();
        self.headers();
        self.flow();
        self.observation();
        self.look_up();
        self.decision(last);
        self.leaving(last);
        self.lines
    }

    fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn head(&mut self, title: &str) {
        self.lines.push(String::new());
        self.lines.push(title.to_owned());
    }

    fn frame(&mut self) {
        self.head("1. The frame");
        let exhibit = &self.found.exhibit;
        self.say(format!("   capture     {}", exhibit.capture.display()));
        let Some(kept) = &exhibit.frame else {
            let packet = exhibit.sight.scene.packet;
            self.say(format!(
                "   No frame of its own: this was known only when the flow that began with packet {packet} ended."
            ));
            return;
        };
        self.say(format!("   packet      {}, {}", kept.number, kept.time.eve()));
        let missing = (kept.length as usize).saturating_sub(kept.bytes.len());
        let cut = if missing == 0 { "all captured".to_owned() } else { format!("{missing} of them not captured") };
        self.say(format!("   length      {} bytes on the link, {cut}; link type {}", kept.length, kept.link.0));
        let place = exhibit.sight.met().map(|said| bytes::place(kept, said));
        let marked = match &place {
            Some(Place::Here(at) | Place::Labels(at) | Place::Path(at)) => Some(at.clone()),
            _ => None,
        };
        self.say(format!(
            "   the value   {}",
            place.map_or_else(String::new, |place| bytes::where_it_lies(&place, kept))
        ));
        self.lines.extend(bytes::dump(kept, marked.as_ref()));
    }

    fn headers(&mut self) {
        let Some(kept) = &self.found.exhibit.frame else { return };
        self.head("2. Headers, from the outside in");
        for layer in &kept.layers {
            let (length, told) = (layer.end - layer.start, bytes::header(kept, layer));
            let line = format!("   {:<11} {}..{} ({length} bytes)  {told}", layer.name, layer.start, layer.end);
            self.say(line.trim_end());
        }
        if let Some((packet, payload)) = &kept.packet {
            let ends = format!("{} to {}", ip(&packet.source), ip(&packet.destination));
            let name = protocol_name(packet.protocol);
            self.say(format!("   innermost   {ends}, {name}, {} bytes of payload", payload.len()));
            if let Some(outer) = &packet.tunnel {
                let ends = format!("{} to {}", ip(&outer.pair.0), ip(&outer.pair.1));
                let depth = counted(u64::from(outer.depth), ["tunnel", "tunnels"]);
                self.say(format!("   tunnel      {} from {ends}, network {}; {depth} peeled", outer.name, outer.id));
            }
            if kept.layers.iter().any(|layer| layer.name == "fragment") {
                self.say("               put together from fragments; this frame has the piece that made it whole");
            }
            if packet.missing > 0 {
                self.say(format!("   missing     {} bytes of payload that the capture does not have", packet.missing));
            }
        }
        self.say(format!("   fate        {}", Fate::name(kept.fate.index())));
    }

    fn flow(&mut self) {
        let scene = &self.found.exhibit.sight.scene;
        let flow = &scene.flow;
        let begins = flow.packets == [0, 0];
        self.head(if begins {
            "3. The flow, as it begins with this packet"
        } else {
            "3. The flow, as it stood after this packet"
        });
        self.say(format!("   shard       {} of 256 (by the two addresses)", scene.shard));
        self.say(format!("   client      {}", end(flow, Side::Client)));
        self.say(format!("   server      {}", end(flow, Side::Server)));
        let name = protocol_name(flow.protocol);
        self.say(format!("   began       {}, with packet {}, {name}", flow.start.eve(), flow.id));
        for (side, who) in [(0, "client"), (1, "server")] {
            let packets = counted(flow.packets[side], ["packet", "packets"]);
            let (bytes, payload) = (size(flow.bytes[side]), size(flow.payload[side]));
            self.say(format!("   {who} sent {packets}, {bytes} of frames, {payload} of payload"));
        }
        let begun = if flow.midstream { "its beginning was not seen" } else { "seen from its beginning" };
        let missing = flow.missing[0].saturating_add(flow.missing[1]);
        self.say(format!("   state       {}; {begun}; {} bytes missing", flow.stage.name(), grouped(missing)));
        let spoken = flow.app_proto.map_or_else(
            || "none recognised (so far)".to_owned(),
            |name| format!("{name}, recognised by what its first bytes are"),
        );
        self.say(format!("   protocol    {spoken}"));
    }

    fn observation(&mut self) {
        self.head("4. What was seen");
        let sight = &self.found.exhibit.sight;
        let (event, side) = sight.event;
        let who = if side == Side::Client { "client" } else { "server" };
        let stage = sight.stage.map_or_else(String::new, |stage| format!("; says: {}", stage.name()));
        self.say(format!("   event       {}, said by the {who}{stage}", event.name));
        for (at, said) in sight.said.iter().take(EXPLAIN_FIELDS_MAX).enumerate() {
            let mark = if at == sight.field { MATCHED } else { "  " };
            self.lines.push(format!("{mark} {} = {}", said.field.name, shown(said)));
            self.lines.extend(looked_up(said));
        }
        let more = sight.said.len().saturating_sub(EXPLAIN_FIELDS_MAX);
        if more > 0 {
            self.say(format!("   ... {more} more fields"));
        }
    }

    fn look_up(&mut self) {
        self.head("5. The look-up, and what policy said");
        let exhibit = &self.found.exhibit;
        self.met(&exhibit.sight, MATCHED);
        if !exhibit.beside.is_empty() {
            self.say("   Also met at this packet:");
        }
        for sight in &exhibit.beside {
            self.met(sight, "  ");
        }
    }

    fn met(&mut self, sight: &Sight, mark: &str) {
        let (kind, listed) = self.found.set.value(sight.entry);
        let listed = value((kind.text)(listed).as_bytes());
        let Some(said) = sight.met() else { return };
        let outcome = match sight.refused {
            Some(refusal) => format!("refused: {}", refusal.name()),
            None => "admitted".to_owned(),
        };
        self.say(format!("{mark} {} {listed}  [{outcome}]", kind.name));
        self.say(format!("     {} = {}", said.field.name, shown(said)));
        self.say(format!("     {}", words::shape(kind.shape)));
        for judged in self.found.set.judge(sight.entry, said.value(), sight.circumstances) {
            let source = &judged.word.statement;
            let id = judged.word.id.as_deref().map(|id| format!(", id {}", value(id.as_bytes()))).unwrap_or_default();
            let named = if source.source.is_empty() { "a source without a name" } else { &source.source };
            let labels = value(source.labels.join(", ").as_bytes());
            self.say(format!(
                "     source {}{id}: {} ({labels}), TLP:{}, PAP:{}, confidence {}: {}",
                value(named.as_bytes()),
                source.severity.name(),
                source.tlp.name(),
                source.pap.name(),
                source.confidence,
                words::verdict(&judged)
            ));
            if mark == MATCHED || sight.refused.is_some() {
                let answers = words::questions(&judged, sight.circumstances.at, self.config);
                self.lines.extend(answers.into_iter().map(|answer| format!("       {answer}")));
            }
        }
    }

    fn decision(&mut self, last: &Alert) {
        self.head("6. The decision");
        let found = self.found;
        let reading = found.desk.reading(last);
        let (client, server) = (last.flow.client, last.flow.server);
        let why =
            format!("{client} is {}, {server} is {}", whose(&found.networks, client), whose(&found.networks, server));
        self.say(format!("   direction   {}: {why}", reading.direction.name()));
        if !found.networks.given() {
            self.say("               (no networks given: private ranges are taken for inside)");
        }
        if reading.direction == Direction::Unknown {
            self.say("               (nobody saw who asked)");
        }
        match reading.asset {
            Some(asset) => {
                let network = asset.network.map(|name| format!(", network {}", value(name.as_bytes())));
                let (role, network) = (asset.role.name(), network.unwrap_or_default());
                self.say(format!("   asset       {}, {role}{network}", asset.address));
            }
            None => self.say("   asset       neither end is the site's own"),
        }
        let raised = match last.told {
            Some(told) if told == last.stage() => format!("said by {}", last.event.name),
            _ => "by how far the flow itself went".to_owned(),
        };
        self.say(format!("   stage       {}, {raised}", reading.stage.name()));
        let first = &found.exhibit.first;
        let time = first.time().eve();
        self.say(format!("   revision 1  {time}, packet {}: {}", first.packet, first.stage().name()));
        if let Some(ended) = last.ended {
            let (time, count) = (last.time().eve(), counted(last.count, ["sighting", "sightings"]));
            let (stage, ended) = (last.stage().name(), ended.name());
            self.say(format!("   revision {}  {time}, the flow's end ({ended}): {stage}, {count}", last.revision));
        }
        self.say(format!("   severity    {} ({} in EVE)", severity(last.severity()), last.severity().eve()));
        let next = last.iocs.iter().flat_map(|ioc| &ioc.statement.next);
        for (language, text) in next {
            self.say(format!("   next ({language})   {}", value(text.as_bytes())));
        }
    }

    fn leaving(&mut self, last: &Alert) {
        self.head("7. What would leave the site");
        let Some(centre) = &self.config.centre else {
            self.say("   nothing: no centre is configured");
            return;
        };
        let path = self.config.site.key.clone().unwrap_or_else(|| centre.key());
        // a key that is not there yet is not made here: a page for a person changes nothing at the site
        let key = path.exists().then(|| SiteKey::open(&path).ok()).flatten();
        if key.is_none() {
            self.say(format!("   (no site key at {}: tokens h-... are examples)", path.display()));
        }
        let site = if self.config.site.id.is_empty() { "site" } else { &self.config.site.id };
        let Some(sender) = Sender::new(site, "replay", Mode::Exercise) else { return };
        let networks = self.found.networks.clone();
        let home = std::sync::Arc::new(move |address| networks.is_home(address));
        let gate = Gate::new(centre.policy.clone(), key.unwrap_or_else(|| SiteKey::fixed(&NO_KEY)), sender, home);
        match gate.project(Position(1), &as_exercise(&self.found.desk.record(last))) {
            Ok(projected) => {
                self.say(format!("   to {}, from a replay only with --as exercise:", value(centre.url.as_bytes())));
                self.lines.extend(projected.shown().lines().map(|line| format!("   {line}")));
            }
            Err(withheld) => self.say(format!("   nothing: the gate holds it back ({})", withheld.name())),
        }
    }
}

/// The record as an exercise would have it: a plain replay's never passes the gate.
fn as_exercise(record: &[u8]) -> Vec<u8> {
    let mut record: serde_json::Value = serde_json::from_slice(record).unwrap_or_default();
    if let Some(mode) = record.pointer_mut("/alert/context/haetae/mode") {
        *mode = "exercise".into();
    }
    record.to_string().into_bytes()
}

/// What a field's value was looked up as.
fn looked_up(said: &Said) -> Vec<String> {
    if said.field.kinds.is_empty() {
        return Vec::new();
    }
    let kinds: Vec<&str> = said.field.kinds.iter().map(|kind| kind.name).collect();
    let kinds = kinds.join(", ");
    if said.canonical.is_empty() {
        return vec![format!("     {kinds}: not looked up as these (not of the kind, or none is listed)")];
    }
    let spelled = said.field.kinds.first().map(|kind| (kind.text)(&said.canonical)).unwrap_or_default();
    vec![format!("     looked up as {kinds}: {}", value(spelled.as_bytes()))]
}

/// A value from the wire, harmless and bounded.
fn value(bytes: &[u8]) -> String {
    printable(bytes, EXPLAIN_VALUE_BYTES_MAX)
}

fn shown(said: &Said) -> String {
    match said.field.form {
        Form::Text => value(&said.raw),
        Form::Address => address::from_bytes(&said.raw).map(|at| at.to_canonical().to_string()).unwrap_or_default(),
        Form::Number => said.number.to_string(),
        Form::Flag => (said.number != 0).to_string(),
    }
}

fn end(flow: &FlowView, side: Side) -> String {
    let (address, port, ..) = flow.endpoints(side);
    let named = if protocol::has_ports(flow.protocol) { format!(" port {port}") } else { String::new() };
    format!("{address}{named}")
}

fn protocol_name(number: u8) -> String {
    protocol::name(number).map_or_else(|| format!("protocol {number}"), str::to_owned)
}

fn whose(networks: &Networks, address: std::net::IpAddr) -> String {
    let side = if networks.is_home(address) { "inside" } else { "outside" };
    match networks.named(address) {
        Some(name) => format!("{side} ({})", value(name.as_bytes())),
        None => side.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observable::Field;

    #[test]
    fn an_id_is_so_many_hexadecimal_digits() {
        for id in ["0123", "0123456789abcdef"] {
            assert_eq!(check(id), Ok(()));
        }
        for id in ["", "012", "0123456789abcdef0", "xyzw", "01 23"] {
            assert!(check(id).is_err(), "{id}");
        }
    }

    #[test]
    fn an_unknown_id_says_what_is_there_and_why_a_live_one_is_not() {
        let text = unknown("0123456789abcdef", &["0124aaaaaaaaaaaa".to_owned()], 7);
        for part in ["0123456789abcdef", "7 alerts", "0124aaaaaaaaaaaa", "--list", "running sensor"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn hostile_values_are_shown_harmless_and_cut() {
        static AGENT: Field = Field::plain("http.http_user_agent", Form::Text);
        let said = |raw: &[u8]| Said { field: &AGENT, raw: raw.to_vec(), canonical: Vec::new(), number: 0 };
        assert_eq!(shown(&said(b"a\x1b[2J\r\n\xff\xe2\x80\xae")), r"a\u{1b}[2J\r\n\xff\u{202e}");
        assert_eq!(shown(&said(&[b'a'; 5_000])).len(), EXPLAIN_VALUE_BYTES_MAX);
    }
}
