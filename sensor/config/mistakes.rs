//! Mistakes that people make, each with the place and the hint that they get.

use std::path::Path;

use super::{Fault, Place, Refused, parse};

const HOME: &str = "networks: { home: [10.0.0.0/8] }\n";

/// What is written, and of the only fault: the option, line and column, a part of the problem, a part of the help.
type Mistake = (&'static str, &'static str, (u64, u64), &'static str, &'static str);

static MISTAKES: &[Mistake] = &[
    // Names.
    ("sites: { id: a }\n", "sites", (1, 1), "unknown option", "did you mean `site`?"),
    ("site: { ident: a }\n", "site.ident", (1, 9), "unknown option", "one of id, sectors"),
    ("site:\n  Id: a\n", "site.Id", (2, 3), "unknown option", "did you mean `id`?"),
    ("tracing: { listen: \"127.0.0.1:9920\" }\n", "tracing", (1, 1), "unknown option", "one of site"),
    ("limits: { memory: 1GiB }\n", "limits.memory", (1, 11), "unknown option", "one of workers"),
    ("limits: { flow_max: 5000 }\n", "limits.flow_max", (1, 11), "unknown option", "did you mean `flows_max`?"),
    ("outputs: { eve: { file: a } }\n", "outputs.eve.file", (1, 19), "unknown option", "one of path, events"),
    ("outputs: { syslog: {} }\n", "outputs.syslog", (1, 12), "unknown option", "eve"),
    ("networks:\n  home: [10.0.0.0/8]\n  proxy: []\n", "networks.proxy", (3, 3), "unknown option", "proxies"),
    // Types.
    ("site: a\n", "site", (1, 7), "must be a section", "id, sectors, language, key"),
    ("site: { id: [a] }\n", "site.id", (1, 13), "wrong type", "expected a string"),
    ("site: { id: yes }\n", "site.id", (1, 13), "must be a text", "quotes"),
    ("site: { id: 1.0 }\n", "site.id", (1, 13), "must be a text", "quotes"),
    ("site: { sectors: finance }\n", "site.sectors", (1, 18), "must be a list", "[a, b]"),
    ("rules: { local: /etc/rules.d }\n", "rules.local", (1, 17), "must be a list", "[a, b]"),
    ("rules: { confidence_min: high }\n", "rules.confidence_min", (1, 26), "wrong type", "expected u8"),
    ("limits: { flows_max: many }\n", "limits.flows_max", (1, 22), "wrong type", "expected u64"),
    ("- site\n", "", (1, 1), "must be a section", "with site, networks"),
    ("outputs: { eve: { events: alert } }\n", "outputs.eve.events", (1, 27), "must be a list", "[a, b]"),
    ("outputs: { eve: { events: [[alert]] } }\n", "outputs.eve.events[0]", (1, 28), "must be a word", "one of alert"),
    // Values.
    ("site: { id: \"a b\" }\n", "site.id", (1, 13), "not an identifier", "letters"),
    ("site: { id: \"\" }\n", "site.id", (1, 13), "not an identifier", "1 to 64"),
    ("site: { language: fr }\n", "site.language", (1, 19), "`fr` is not known here", "one of en, ko"),
    ("site: { sectors: [finance, finance] }\n", "site.sectors[1]", (1, 28), "given twice", "once"),
    ("rules: { confidence_min: 101 }\n", "rules.confidence_min", (1, 26), "out of range", "0 to 100"),
    ("rules: { confidence_min: -1 }\n", "rules.confidence_min", (1, 26), "out of range", "expected u8"),
    ("outputs: { eve: { events: [alerts] } }\n", "outputs.eve.events[0]", (1, 28), "`alerts`", "one of alert, dns"),
    ("outputs: { eve: { events: [dns, dns] } }\n", "outputs.eve.events[1]", (1, 33), "given twice", "once"),
    ("outputs: { eve: { events: [] } }\n", "outputs.eve.events", (1, 27), "is empty", "leave it out"),
    ("outputs: { eve: { path: / } }\n", "outputs.eve.path", (1, 25), "is a folder", "eve.json"),
    ("limits: { workers: 0 }\n", "limits.workers", (1, 20), "no number of workers", "1 to 256"),
    ("limits: { workers: 257 }\n", "limits.workers", (1, 20), "no number of workers", "1 to 256"),
    ("limits: { workers: all }\n", "limits.workers", (1, 20), "no number of workers", "`auto`"),
    ("limits: { flows_max: 255 }\n", "limits.flows_max", (1, 22), "out of range", "256"),
    ("limits: { reassembly_max: 1MB }\n", "limits.reassembly_max", (1, 27), "`1MB` is no size", "MiB"),
    ("limits: { reassembly_max: 4KiB }\n", "limits.reassembly_max", (1, 27), "out of range", "1MiB to 1TiB"),
    ("limits: { reassembly_max: 99999999TiB }\n", "limits.reassembly_max", (1, 27), "no size", "256MiB"),
    // Addresses.
    ("networks: {}\n", "networks.home", (1, 11), "is empty", "10.20.0.0/16"),
    ("networks: { home: [] }\n", "networks.home", (1, 19), "is empty", "10.20.0.0/16"),
    ("networks: { home: [10.0.0.1] }\n", "networks.home[0]", (1, 20), "not a network", "with its prefix"),
    ("networks: { home: [10.0.0.0/33] }\n", "networks.home[0]", (1, 20), "not a network", "0 to 32"),
    ("networks: { home: [10.0.0.0/x] }\n", "networks.home[0]", (1, 20), "not a network", "0 to 32"),
    ("networks: { home: [10.0.0.1/8] }\n", "networks.home[0]", (1, 20), "bits set", "first address"),
    ("networks: { home: [\"2001:db8::/129\"] }\n", "networks.home[0]", (1, 20), "not a network", "0 to 128"),
    ("networks: { home: [office/8] }\n", "networks.home[0]", (1, 20), "not a network", "like 10.20.0.0/16"),
    (
        "networks:\n  home: [10.0.0.0/8]\n  named: { office: 10.1.0.9/16 }\n",
        "networks.named.office",
        (3, 20),
        "bits set",
        "first address",
    ),
    (
        "networks:\n  home: [10.0.0.0/8]\n  nat: [\"10.0.0\"]\n",
        "networks.nat[0]",
        (3, 9),
        "not an address",
        "10.20.0.53",
    ),
    (
        "networks:\n  home: [10.0.0.0/8]\n  proxies: [{ trust_forwarded_for: true }]\n",
        "networks.proxies[0].address",
        (3, 13),
        "is missing",
        "add `address:`",
    ),
    (
        "networks:\n  home: [10.0.0.0/8]\n  proxies: [{ address: 10.0.0.8, trust_forwarded_for: 1 }]\n",
        "networks.proxies[0].trust_forwarded_for",
        (3, 55),
        "must be `true` or `false`",
        "true, false",
    ),
    // Files.
    ("rules: { set: /nowhere/set }\n", "rules.set", (1, 15), "file not found: /nowhere/set", "leave it out"),
    ("rules: { local: [/nowhere/a] }\n", "rules.local[0]", (1, 18), "file not found", "a file or a folder"),
    ("rules: { allow: [/nowhere/a] }\n", "rules.allow[0]", (1, 18), "file not found", "a file or a folder"),
    ("site: { key: /nowhere/key }\n", "site.key", (1, 14), "file not found", "/dev/urandom"),
    ("site: { key: /dev/null }\n", "site.key", (1, 14), "everyone may read", "/dev/urandom"),
    // The environment.
    ("site: { id: \"${NOT_SET}\" }\n", "site.id", (1, 13), "`NOT_SET` is not set", "in the environment"),
    ("site: { id: \"${OPEN\" }\n", "site.id", (1, 13), "without `}`", "${NAME}"),
    // YAML itself.
    ("site: { id: a }\nsite: { id: b }\n", "", (2, 1), "site", "given once"),
    ("site:\n\tid: a\n", "", (2, 2), "tabs", "indent with spaces"),
    ("site: { id: *gone }\n", "", (1, 13), "", "YAML"),
];

/// As [`MISTAKES`], behind a `networks:` section on the first line.
static CENTRE_MISTAKES: &[Mistake] = &[
    ("centre: {}\n", "centre.url", (2, 9), "is missing", "add `url:`"),
    ("centre: { url: \"http://centre.example/\" }\n", "centre.url", (2, 16), "loopback only", "https://"),
    ("centre: { url: \"https://a:b@centre.example/\" }\n", "centre.url", (2, 16), "no user", "`token`"),
    ("centre: { url: centre.example }\n", "centre.url", (2, 16), "neither https://", "https://"),
    ("centre: { url: \"http://[::1]/\", gate: /nowhere/g }\n", "centre.gate", (2, 39), "file not found", "gate.yaml"),
    ("centre: { url: \"http://[::1]/\", gate: /dev }\n", "centre.gate", (2, 39), "/dev: ", "gate.yaml"),
    ("centre: { url: \"http://[::1]/\", token: /nowhere/t }\n", "centre.token", (2, 40), "file not found", "centre"),
    ("centre: { url: \"http://[::1]/\", token: /dev/null }\n", "centre.token", (2, 40), "everyone may read", "file"),
    ("centre: { url: \"http://[::1]/\", authority: /x.pem }\n", "centre.authority", (2, 44), "not found", "PEM"),
    (
        "centre: { url: \"http://[::1]/\", authority: /dev/null }\n",
        "centre.authority",
        (2, 44),
        "no certificate",
        "PEM",
    ),
    ("centre: { url: \"http://[::1]/\", spool: /etc/passwd }\n", "centre.spool", (2, 40), "is a file", "a folder"),
    ("centre: { url: \"http://[::1]/\", spool: /none/s, gat: /x }\n", "centre.gat", (2, 49), "unknown", "`gate`"),
];

fn faults(text: &str) -> Vec<Fault> {
    match parse("h.yaml", text, Path::new(""), &[], &|_| None) {
        Err(Refused::Faulty(faults)) => faults,
        other => panic!("not refused for its faults: {text}{other:?}"),
    }
}

fn agrees(text: &str, mistake: &Mistake) {
    let (_, path, (line, column), problem, help) = mistake;
    let faults = faults(text);
    let [fault] = faults.as_slice() else { panic!("one fault was expected: {text}{faults:?}") };
    let place = Place::File { file: "h.yaml".into(), line: *line, column: *column };
    assert_eq!((fault.path.as_str(), &fault.place), (*path, &place), "{text}{fault}");
    assert!(fault.problem.contains(problem) && fault.help.contains(help), "{text}{fault}");
    assert!(!fault.problem.is_empty() && !fault.help.is_empty(), "{text}{fault}");
}

#[test]
fn every_mistake_is_told_once_with_its_place_and_a_hint() {
    for mistake in MISTAKES {
        agrees(mistake.0, mistake);
    }
    for mistake in CENTRE_MISTAKES {
        agrees(&format!("{HOME}{}", mistake.0), mistake);
    }
}

#[test]
fn a_centre_needs_to_know_what_is_inside() {
    let faults = faults("centre: { url: \"http://[::1]/\" }\n");
    assert_eq!(faults.len(), 1);
    assert_eq!(
        (faults[0].path.as_str(), faults[0].problem.as_str()),
        ("networks", "is missing, and `centre` needs it")
    );
}

#[test]
fn a_faulty_networks_section_is_not_called_missing() {
    let faults = faults("networks: 10.0.0.0/8\ncentre: { url: \"http://[::1]/\" }\n");
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn all_mistakes_of_a_file_are_told_in_the_order_of_its_lines() {
    let text = "limits: { workers: 0, flows: 1 }\nsite: { id: \"a b\", language: fr }\nnetworks: { home: [x] }\n";
    let paths: Vec<String> = faults(text).into_iter().map(|fault| fault.path).collect();
    assert_eq!(paths, ["limits.workers", "limits.flows", "site.id", "site.language", "networks.home[0]"]);
}

#[test]
fn an_argument_that_is_wrong_says_so_itself() {
    let sets = ["limits.workers=0".to_string(), "nonsense".to_string()];
    let Err(Refused::Faulty(faults)) = parse("h.yaml", "", Path::new(""), &sets, &|_| None) else {
        panic!("it is wrong")
    };
    let told: Vec<String> = faults.iter().map(|fault| fault.place.to_string()).collect();
    assert_eq!(told, ["--set nonsense", "--set limits.workers=0"]);
}
