//! From what is written to what holds: defaults, ranges, files that must be there, and what one section asks of another.
//!
//! In: [`Written`] and the places of its options. Out: [`Config`] and faults. Never here: a guess; what is wrong is said.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::fault::{Fault, Place};
use super::live::{Capture, Events, Logs, Metrics};
use super::tree::Tree;
use super::written::{self, EventType, Language, Size, Workers, Written};
use crate::emit;
use crate::gate::SiteKey;
use crate::limits::{
    CONFIDENCE_MAX, FLOWS_DEFAULT, FLOWS_SETTABLE_MAX, REASSEMBLY_BYTES_DEFAULT, REASSEMBLY_BYTES_SETTABLE_MAX,
    REASSEMBLY_BYTES_SETTABLE_MIN, SHARDS, SITE_ID_BYTES_MAX, SPOOL_BYTES_MAX, SPOOL_BYTES_SETTABLE_MAX,
    SPOOL_BYTES_SETTABLE_MIN,
};
use crate::networks::{self, Networks, OneOrMany};

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
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<Metrics>,
    /// The sensor's own log.
    pub logs: Logs,
    /// How much of the machine is ours.
    pub limits: Limits,
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// The alliance's set; `None`: only local indicators.
    pub set: Option<PathBuf>,
    /// Files and folders of the site's own indicators.
    pub local: Vec<PathBuf>,
    /// Files and folders of values that raise nothing.
    pub allow: Vec<PathBuf>,
    /// Indicators below this confidence raise nothing.
    pub confidence_min: u8,
    /// Whether an address in a DNS answer counts as a sighting of it.
    pub answers: bool,
}

/// The local EVE log.
#[derive(Clone, Debug, PartialEq)]
pub struct Eve {
    /// Its file; `None`: none is written.
    pub path: Option<PathBuf>,
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
}

/// Sections that hold from the start to the end of a run, and in which the two differ: a reload cannot change them.
pub fn fixed_differences(before: &Config, after: &Config) -> Vec<&'static str> {
    let fixed = [
        ("site", before.site == after.site),
        ("capture", before.capture == after.capture),
        ("outputs.eve.path", before.outputs.path == after.outputs.path),
        ("centre", before.centre == after.centre),
        ("metrics", before.metrics == after.metrics),
        ("logs", before.logs == after.logs),
        ("limits", before.limits == after.limits),
    ];
    fixed.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

impl Default for Site {
    fn default() -> Self {
        Site { id: "local".to_string(), sectors: Vec::new(), language: Language::En, key: None }
    }
}

impl Default for Eve {
    fn default() -> Self {
        Eve { path: None, events: EventType::ALL.to_vec() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            workers: Workers::Auto,
            flows_max: FLOWS_DEFAULT as usize,
            reassembly_bytes_max: REASSEMBLY_BYTES_DEFAULT as usize,
            spool_bytes_max: SPOOL_BYTES_MAX,
        }
    }
}

/// Checks every section. The result is worth something only if no fault was added.
pub(crate) fn check(
    written: Written,
    tree: &Tree,
    left_out: &BTreeSet<String>,
    folder: &Path,
    faults: &mut Vec<Fault>,
) -> Config {
    let mut desk = Desk { tree, left_out, folder, faults };
    if written.centre.is_some() && written.networks.is_none() && !left_out.contains("networks") {
        let help = "without `networks: { home: [...] }` nothing says what is inside and must not leave";
        desk.fault("networks", "is missing, and `centre` needs it".to_string(), help);
    }
    Config {
        site: desk.site(written.site),
        networks: written.networks.map(|networks| desk.networks(networks)),
        capture: desk.captures(written.capture.unwrap_or_default()),
        rules: desk.rules(written.rules),
        outputs: desk.eve(written.outputs.eve),
        events: desk.events(written.events),
        centre: written.centre.and_then(|centre| desk.centre(centre)),
        metrics: written.metrics.and_then(|metrics| desk.metrics(metrics)),
        logs: written.logs.into(),
        limits: desk.limits(&written.limits),
    }
}

/// How to make a site's key.
const KEY_HELP: &str = "head -c 32 /dev/urandom > site.key; chmod 600 site.key";

/// Where sections are checked.
pub(super) struct Desk<'a> {
    tree: &'a Tree,
    left_out: &'a BTreeSet<String>,
    folder: &'a Path,
    faults: &'a mut Vec<Fault>,
}

impl Desk<'_> {
    pub(super) fn fault(&mut self, path: &str, problem: String, help: &str) {
        // What was left out has been told already; and behind it the items of a list have lost their numbers.
        let list = path.rfind('[').map_or(path, |at| &path[..at]);
        let below = |option: &String| option.strip_prefix(list).is_some_and(|rest| rest.starts_with(['[', '.']));
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
        let key = written.key.map(|path| self.file("site.key", path, KEY_HELP));
        if let Some(path) = key.as_deref().filter(|path| path.exists())
            && let Err(error) = SiteKey::open(path)
        {
            self.fault("site.key", error.to_string(), KEY_HELP);
        }
        let sectors = written.sectors.unwrap_or_default();
        self.each_once("site.sectors", &sectors);
        Site { id, sectors, language: written.language.unwrap_or_default(), key }
    }

    fn networks(&mut self, networks: networks::Written) -> Networks {
        let before = self.faults.len();
        if networks.home.is_empty() {
            self.fault("networks.home", "is empty".to_string(), "name your networks: [10.20.0.0/16]");
        }
        for (list, values) in [("home", &networks.home), ("never_watch", &networks.never_watch)] {
            for (at, value) in values.iter().enumerate() {
                self.network(&format!("networks.{list}[{at}]"), value);
            }
            self.each_once(&format!("networks.{list}"), values);
        }
        for (name, value) in &networks.named {
            let path = format!("networks.named.{name}");
            match value {
                OneOrMany::One(value) => self.network(&path, value),
                OneOrMany::Many(list) => {
                    list.iter().enumerate().for_each(|(at, value)| self.network(&format!("{path}[{at}]"), value));
                }
            }
        }
        for (list, values) in [("resolvers", &networks.resolvers), ("nat", &networks.nat)] {
            for (at, value) in values.iter().enumerate() {
                self.address(&format!("networks.{list}[{at}]"), value);
            }
        }
        for (at, proxy) in networks.proxies.iter().enumerate() {
            self.address(&format!("networks.proxies[{at}].address"), &proxy.address);
        }
        Networks::check(networks).unwrap_or_else(|problem| {
            if self.faults.len() == before {
                self.fault("networks", problem, "see deploy/haetae.yaml for what may stand here");
            }
            Networks::default()
        })
    }

    fn network(&mut self, path: &str, value: &str) {
        let Some((address, prefix)) = value.split_once('/') else {
            return self.fault(path, format!("`{value}` is not a network"), "with its prefix, like 10.20.0.0/16");
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return self.fault(path, format!("`{value}` is not a network"), "like 10.20.0.0/16 or \"2001:db8::/32\"");
        };
        let (bits, value_bits) = match address {
            IpAddr::V4(address) => (32, u128::from(u32::from(address)) << 96),
            IpAddr::V6(address) => (128, u128::from(address)),
        };
        match prefix.parse::<u32>() {
            Ok(prefix) if prefix <= bits => {
                if value_bits.checked_shl(prefix).unwrap_or(0) != 0 {
                    let help = "write the network's first address";
                    self.fault(path, format!("`{value}` has bits set behind its prefix"), help);
                }
            }
            _ => self.fault(path, format!("`{value}` is not a network"), &format!("the prefix is 0 to {bits}")),
        }
    }

    fn address(&mut self, path: &str, value: &str) {
        if value.parse::<IpAddr>().is_err() {
            self.fault(path, format!("`{value}` is not an address"), "one address, like 10.20.0.53");
        }
    }

    fn rules(&mut self, written: written::Rules) -> Rules {
        let confidence_min = written.confidence_min.unwrap_or(0);
        if confidence_min > CONFIDENCE_MAX {
            self.fault("rules.confidence_min", format!("{confidence_min} is out of range"), "0 to 100");
        }
        Rules {
            set: written.set.map(|path| self.file("rules.set", path, "leave it out to use local indicators alone")),
            local: self.files("rules.local", written.local),
            allow: self.files("rules.allow", written.allow),
            confidence_min,
            answers: written.answers.unwrap_or(false),
        }
    }

    fn eve(&mut self, written: Option<written::Eve>) -> Eve {
        let written = written.unwrap_or_default();
        let path = written.path.map(|path| self.folder.join(path));
        if path.as_ref().is_some_and(|path| path.is_dir()) {
            self.fault("outputs.eve.path", "is a folder".to_string(), "name the file: .../eve.json");
        }
        let events = written.events.unwrap_or_else(|| EventType::ALL.to_vec());
        self.each_once("outputs.eve.events", &events);
        if events.is_empty() {
            self.fault("outputs.eve.events", "is empty".to_string(), "leave it out to get all types");
        }
        Eve { path, events }
    }

    fn centre(&mut self, written: emit::Written) -> Option<emit::Section> {
        let before = self.faults.len();
        for (key, file) in [("gate", &written.gate), ("token", &written.token), ("authority", &written.authority)] {
            if let Some(file) = file {
                self.file(&format!("centre.{key}"), file.clone(), centre_help(key));
            }
        }
        let problems = match emit::Section::check(written, self.folder) {
            Ok(section) => return Some(section),
            Err(problems) => problems,
        };
        for (key, why) in problems {
            let path = format!("centre.{key}");
            // A file that is not there has been told already.
            if !self.faults[before..].iter().any(|fault| fault.path == path) {
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
        Limits {
            workers: written.workers.unwrap_or_default(),
            flows_max: flows as usize,
            reassembly_bytes_max: reassembly as usize,
            spool_bytes_max: spool,
        }
    }

    fn files(&mut self, path: &str, written: Option<Vec<PathBuf>>) -> Vec<PathBuf> {
        let list = written.unwrap_or_default().into_iter().enumerate();
        list.map(|(at, file)| self.file(&format!("{path}[{at}]"), file, "a file or a folder that is there")).collect()
    }

    /// A file or folder that must be there.
    pub(super) fn file(&mut self, path: &str, file: PathBuf, help: &str) -> PathBuf {
        let file = self.folder.join(file);
        if let Err(error) = std::fs::metadata(&file) {
            let problem = match error.kind() {
                std::io::ErrorKind::NotFound => "file not found",
                std::io::ErrorKind::PermissionDenied => "no permission to read",
                _ => "cannot be read",
            };
            self.fault(path, format!("{problem}: {}", file.display()), help);
        }
        file
    }

    pub(super) fn each_once<T: PartialEq>(&mut self, path: &str, list: &[T]) {
        for (at, one) in list.iter().enumerate() {
            if list[..at].contains(one) {
                self.fault(&format!("{path}[{at}]"), "is given twice".to_string(), "once is enough");
            }
        }
    }
}

/// A way out for each key of `centre:`.
fn centre_help(key: &str) -> &'static str {
    match key {
        "url" => "write https://host/path; http:// goes to loopback alone, and a password into a `token` file",
        "gate" => "deploy/gate.yaml is one to start from",
        "token" => "one line, as the centre has handed it out, in a file that not everyone may read",
        "authority" => "a PEM file with at least one certificate",
        _ => "name a folder; it is made if it is not there",
    }
}
