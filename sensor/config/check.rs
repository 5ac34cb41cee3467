//! From what is written to what holds: defaults, ranges, files that must be there, and what one section asks of another.
//!
//! In: [`Written`] and the places of its options. Out: [`Config`] and faults. Never here: a guess; what is wrong is said.

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::control::Control;
use super::fault::{Fault, Place};
use super::gate;
use super::live::{Capture, Events, Logs, Metrics, Sandbox};
use super::quarantine::Quarantine;
use super::rotation::Rotation;
use super::tree::Tree;
use super::written::{self, EventType, Language, Size, Workers, Written};
use crate::emit::{self, Secrets};
use crate::feed::{Policy, Tlp};
use crate::gate::SiteKey;
use crate::limits::{
    CONFIDENCE_MAX, FLOWS_DEFAULT, FLOWS_SETTABLE_MAX, REASSEMBLY_BYTES_DEFAULT, REASSEMBLY_BYTES_SETTABLE_MAX,
    REASSEMBLY_BYTES_SETTABLE_MIN, REPLAY_WINDOW_BYTES_MAX, REPLAY_WINDOW_TIME, SHARDS, SITE_ID_BYTES_MAX,
    SPOOL_BYTES_MAX, SPOOL_BYTES_SETTABLE_MAX, SPOOL_BYTES_SETTABLE_MIN,
};
use crate::networks::Networks;

/// The checked configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Who we are.
    pub site: Site,
    /// What is inside; `None`: private ranges are taken for it, and every output says so.
    pub networks: Option<Networks>,
    /// Where packets come from; empty: nowhere, a running sensor needs one.
    pub capture: Vec<Capture>,
    /// What we look for.
    pub rules: Rules,
    /// What is written down here.
    pub outputs: Eve,
    /// What events show.
    pub events: Events,
    /// Where alerts go; `None`: nothing leaves.
    pub centre: Option<emit::Section>,
    /// How much of what was sent is kept account of.
    pub ledger: crate::ledger::Options,
    /// Who else hears of alerts.
    pub sinks: Vec<emit::sinks::Section>,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<Metrics>,
    /// Where the running sensor is asked; `None`: nowhere.
    pub control: Option<Control>,
    /// Where packets are kept that a worker died of; `None`: nowhere.
    pub quarantine: Option<Quarantine>,
    /// The sensor's own log.
    pub logs: Logs,
    /// How much of the machine is ours.
    pub limits: Limits,
    /// How much of its own rights the running sensor must have given up.
    pub sandbox: Sandbox,
}

/// Who we are.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// The member's identifier; `local` where none is given.
    pub id: String,
    /// The sectors that the site belongs to.
    pub sectors: Vec<String>,
    /// The language of texts for people.
    pub language: Language,
    /// The file with the site's secret key; `None`: the fixed key of replays.
    pub key: Option<PathBuf>,
}

/// What we look for.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The alliance's set; `None`: only local indicators.
    pub set: Option<PathBuf>,
    /// Files and folders of the site's own indicators.
    pub local: Vec<PathBuf>,
    /// Files and folders of values that raise nothing.
    pub allow: Vec<PathBuf>,
    /// Indicators below this confidence raise nothing.
    pub confidence_min: u8,
    /// Indicators above this TLP raise nothing.
    pub tlp_max: Tlp,
    /// Whether an address in a DNS answer counts as a sighting of it.
    pub answers: bool,
}

/// The local EVE log.
#[derive(Clone, Debug, PartialEq)]
pub struct Eve {
    /// Its file; `None`: none is written.
    pub path: Option<PathBuf>,
    /// When the sensor rotates it itself; `None`: never.
    pub rotation: Option<Rotation>,
    /// Which records it has.
    pub events: Vec<EventType>,
}

/// How much of the machine is ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// How many workers.
    pub workers: Workers,
    /// Flows followed at once, all shards together.
    pub flows_max: usize,
    /// Bytes of segments and fragments out of order, all shards together.
    pub reassembly_bytes_max: usize,
    /// Bytes of alerts that wait on disk for the centre.
    pub spool_bytes_max: u64,
    /// How long what the centre has committed stays there, to be sent again.
    pub replay_time: Duration,
    /// And how much of it.
    pub replay_bytes_max: u64,
}

impl Default for Rules {
    fn default() -> Self {
        let (local, allow) = (Vec::new(), Vec::new());
        Rules { set: None, local, allow, confidence_min: 0, tlp_max: Tlp::Red, answers: false }
    }
}

impl Config {
    /// What the site asks of all indicators.
    pub fn policy(&self, key: [u8; 16]) -> Policy {
        Policy {
            confidence_min: self.rules.confidence_min,
            tlp_max: self.rules.tlp_max,
            allow: self.rules.allow.clone(),
            sectors: self.site.sectors.clone(),
            key,
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        Site { id: "local".to_string(), sectors: Vec::new(), language: Language::En, key: None }
    }
}

impl Default for Eve {
    fn default() -> Self {
        Eve { path: None, rotation: None, events: EventType::ALL.to_vec() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            workers: Workers::Auto,
            flows_max: FLOWS_DEFAULT as usize,
            reassembly_bytes_max: REASSEMBLY_BYTES_DEFAULT as usize,
            spool_bytes_max: SPOOL_BYTES_MAX,
            replay_time: REPLAY_WINDOW_TIME,
            replay_bytes_max: REPLAY_WINDOW_BYTES_MAX,
        }
    }
}

/// Checks every section. The result is worth something only if no fault was added.
pub(crate) fn check(
    written: Written,
    (tree, left_out): (&Tree, &BTreeSet<String>),
    folder: &Path,
    secrets: Secrets,
    faults: &mut Vec<Fault>,
) -> Config {
    let mut desk = Desk { tree, left_out, folder, secrets, faults };
    if written.centre.is_some() && written.networks.is_none() && !left_out.contains("networks") {
        let help = "without `networks: { home: [...] }` nothing says what is inside and must not leave";
        desk.fault("networks", "is missing, and `centre` needs it".to_string(), help);
    }
    let has_centre = written.centre.is_some();
    if written.centre.as_ref().is_some_and(|centre| centre.nats.is_some())
        && written.site.id.as_ref().is_some_and(|id| id.contains('.'))
    {
        let help = "letters, digits, `-` and `_`: what is behind a dot would be another site's";
        desk.fault("site.id", "has a dot in it, and is part of `centre.nats`'s subjects".to_string(), help);
    }
    Config {
        site: desk.site(written.site),
        networks: written.networks.map(|networks| desk.networks(networks)),
        capture: desk.captures(written.capture.unwrap_or_default()),
        rules: desk.rules(written.rules),
        outputs: desk.eve(written.outputs.eve),
        events: desk.events(written.events),
        sinks: desk.sinks(written.sinks.unwrap_or_default(), has_centre),
        centre: written.centre.and_then(|centre| desk.centre(centre)),
        ledger: desk.ledger(&written.ledger),
        metrics: written.metrics.and_then(|metrics| desk.metrics(metrics)),
        control: written.control.map(|control| desk.control(control)),
        quarantine: written.quarantine.map(|quarantine| desk.quarantine(quarantine)),
        logs: written.logs.into(),
        limits: desk.limits(&written.limits),
        sandbox: written.sandbox.unwrap_or_default(),
    }
}

/// How to make a site's key.
pub(super) const KEY_HELP: &str = "head -c 32 /dev/urandom > site.key; chmod 600 site.key";

/// Where sections are checked.
pub(super) struct Desk<'a> {
    tree: &'a Tree,
    pub(super) left_out: &'a BTreeSet<String>,
    pub(super) folder: &'a Path,
    pub(super) secrets: Secrets,
    pub(super) faults: &'a mut Vec<Fault>,
}

impl Desk<'_> {
    pub(super) fn fault(&mut self, path: &str, problem: String, help: &str) {
        // What was left out has been told already; and behind it the items of a list have lost their numbers.
        let list = path.rfind('[').map_or(path, |at| &path[..at]);
        let below = |option: &String| {
            option.strip_prefix(list).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
        };
        if self.left_out.iter().any(below) {
            return;
        }
        let place: Place = self.tree.place(path);
        self.faults.push(Fault { path: path.to_string(), problem, place, help: help.to_string() });
    }

    fn site(&mut self, written: written::Site) -> Site {
        let default = Site::default();
        let id = written.id.unwrap_or(default.id);
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if id.is_empty() || id.len() > SITE_ID_BYTES_MAX || !id.bytes().all(letter) {
            self.fault("site.id", format!("`{id}` is not an identifier"), "1 to 64 letters, digits, `-`, `_`, `.`");
        }
        let key = written.key.map(|path| self.plain_file("site.key", path, KEY_HELP));
        if let Some(path) = key.as_deref().filter(|path| path.exists() && !self.told("site.key"))
            && self.secrets == Secrets::Opened
            && let Err(error) = SiteKey::open(path)
        {
            self.fault("site.key", error.to_string(), KEY_HELP);
        }
        let sectors = written.sectors.unwrap_or_default();
        for (at, sector) in sectors.iter().enumerate() {
            if sector.trim().is_empty() || sector.len() > SITE_ID_BYTES_MAX || sector.chars().any(char::is_control) {
                let problem = format!("`{}` is not a sector's name", sector.escape_default());
                self.fault(&format!("site.sectors[{at}]"), problem, "1 to 64 printable bytes");
            }
        }
        self.each_once("site.sectors", &sectors);
        Site { id, sectors, language: written.language.unwrap_or_default(), key }
    }

    fn rules(&mut self, written: written::Rules) -> Rules {
        let confidence_min = written.confidence_min.unwrap_or(0);
        if confidence_min > CONFIDENCE_MAX.into() {
            self.fault("rules.confidence_min", format!("{confidence_min} is out of range"), "0 to 100");
        }
        let tlp_max = written.tlp_max.as_deref().map_or(Some(Tlp::Red), Tlp::from_name);
        if tlp_max.is_none() {
            let word = written.tlp_max.unwrap_or_default();
            self.fault("rules.tlp_max", format!("`{word}` is no TLP"), "clear, green, amber, amber+strict or red");
        }
        Rules {
            set: written.set.map(|path| self.file("rules.set", path, "leave it out to use local indicators alone")),
            local: self.files("rules.local", written.local),
            allow: self.files("rules.allow", written.allow),
            confidence_min: confidence_min as u8,
            tlp_max: tlp_max.unwrap_or(Tlp::Clear),
            answers: written.answers.unwrap_or(false),
        }
    }

    fn eve(&mut self, written: Option<written::Eve>) -> Eve {
        let written = written.unwrap_or_default();
        let path = written.path.clone();
        let path = path.map(|path| self.makeable("outputs.eve.path", path, "name the file: .../eve.json"));
        if path.as_ref().is_some_and(|path| path.is_dir()) {
            self.fault("outputs.eve.path", "is a folder".to_string(), "name the file: .../eve.json");
        }
        let rotation = self.rotation(&written, path.as_deref());
        let events = written.events.unwrap_or_else(|| EventType::ALL.to_vec());
        self.each_once("outputs.eve.events", &events);
        if events.is_empty() {
            self.fault("outputs.eve.events", "is empty".to_string(), "leave it out to get all types");
        }
        Eve { path, rotation, events }
    }

    fn centre(&mut self, mut written: emit::Written) -> Option<emit::Section> {
        let before = self.faults.len();
        let emit::Written { gate, token, authority, certificate, key, revocations, receipt_keys, .. } = &mut written;
        let files = [
            ("gate", gate),
            ("token", token),
            ("authority", authority),
            ("certificate", certificate),
            ("key", key),
            ("revocations", revocations),
            ("receipt_keys", receipt_keys),
        ];
        for (key, file) in files {
            let path = format!("centre.{key}");
            if let Some(named) = file.clone() {
                self.plain_file(&path, named, centre_help(key));
            }
            // What cannot be read has been told, and is not opened: a pipe would hold up whoever does.
            if self.told(&path) {
                *file = None;
            }
        }
        // One without the other would be told as well, and it is the other that is wrong.
        if self.told("centre.certificate") || self.told("centre.key") {
            (written.certificate, written.key) = (None, None);
        }
        if let Some(spool) = &written.spool {
            self.makeable("centre.spool", spool.clone(), centre_help("spool"));
        }
        if let Some(gate) = &written.gate {
            self.gate(&self.folder.join(gate));
        }
        let problems = match emit::Section::check(written, self.folder, self.secrets) {
            Ok(section) => return Some(section),
            Err(problems) => problems,
        };
        let within_centre = |fault: &Fault| fault.path.starts_with("centre.");
        for (key, why) in problems {
            let path = format!("centre.{key}");
            // A file that is not there has been told already.
            let told = |fault: &Fault| fault.path == path || key == "gate" && fault.path.starts_with(gate::NAME);
            // Who wrote something else meant that: it is not missing, too.
            let meant = key == "url" && why.starts_with("is missing") && self.faults.iter().any(within_centre);
            if !meant && !self.faults[before..].iter().any(told) {
                self.fault(&path, why, centre_help(key));
            }
        }
        None
    }

    fn limits(&mut self, written: &written::Limits) -> Limits {
        let flows = written.flows_max.unwrap_or(FLOWS_DEFAULT);
        if !(SHARDS as u64..=FLOWS_SETTABLE_MAX).contains(&flows) {
            let help = format!("{SHARDS} (one for each shard) to {FLOWS_SETTABLE_MAX}");
            self.fault("limits.flows_max", format!("{flows} is out of range"), &help);
        }
        let Size(reassembly) = written.reassembly_max.unwrap_or(Size(REASSEMBLY_BYTES_DEFAULT));
        if !(REASSEMBLY_BYTES_SETTABLE_MIN..=REASSEMBLY_BYTES_SETTABLE_MAX).contains(&reassembly) {
            self.fault("limits.reassembly_max", format!("{reassembly} bytes are out of range"), "1MiB to 1TiB");
        }
        let Size(spool) = written.spool.unwrap_or(Size(SPOOL_BYTES_MAX));
        if !(SPOOL_BYTES_SETTABLE_MIN..=SPOOL_BYTES_SETTABLE_MAX).contains(&spool) {
            self.fault("limits.spool", format!("{spool} bytes are out of range"), "16MiB to 1TiB");
        }
        let (replay_time, replay_bytes_max) = self.replay_window(written);
        Limits {
            workers: written.workers.unwrap_or_default(),
            flows_max: flows as usize,
            reassembly_bytes_max: reassembly as usize,
            spool_bytes_max: spool,
            replay_time,
            replay_bytes_max,
        }
    }

    pub(super) fn told(&self, path: &str) -> bool {
        self.faults.iter().any(|fault| fault.path == path)
    }

    pub(super) fn each_once<T: Eq + Hash>(&mut self, path: &str, list: &[T]) {
        let mut before = HashSet::new();
        for (at, one) in list.iter().enumerate() {
            if !before.insert(one) {
                self.fault(&format!("{path}[{at}]"), "is given twice".to_string(), "once is enough");
            }
        }
    }
}

/// A way out for each key of `centre:`.
fn centre_help(key: &str) -> &'static str {
    match key {
        "url" => "write https://host/path; http:// goes to loopback alone, and a password into a `token` file",
        "nats" => "`servers: [tls://host:port]`, or `url` instead; a site is known by `certificate` and `key`",
        "gate" => "deploy/gate.yaml is one to start from",
        "token" => "one line, as the centre has handed it out, in a file that not everyone may read",
        "fallbacks" => "other endpoints of the same centre, written as `url` is",
        "authority" => "a PEM file with at least one certificate",
        "receipt_keys" => "PEM blocks `BEGIN PUBLIC KEY` (Ed25519), or 64 hexadecimal digits a line",
        "certificate" => "a PEM file with the sensor's own certificate first; `key` is its key",
        "key" => "a PEM file with the key of `certificate`, which not everyone may read",
        "revocations" => {
            "a PEM file of lists of revoked certificates (X509 CRL), one for each authority of the centre's chain"
        }
        "merge_seconds" => "0 (each alert is delivered) to 86400",
        _ => "name a folder; it is made if it is not there",
    }
}
