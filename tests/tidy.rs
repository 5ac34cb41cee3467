//! Style is a test: who may use whom, what a room never calls, lengths, names, complete cases.
//!
//! In: the source tree. Out: one line per finding, `file:line: rule`. Never here: what the compiler or clippy already checks.

pub mod source;

use std::collections::BTreeSet;
use std::fs;

use source::{all_files, functions, has_word, rooms_used, root, sources};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Files that are longer than `FILE_LINES_MAX` before their tests, and why.
static LONG_FILES: &[(&str, &str)] = &[
    ("sensor/limits.rs", "every bound in one place, each with its reason"),
    ("sensor/metrics/families.rs", "every metric in one table, as operators read it"),
    ("sensor/emit/nats.rs", "an attempt over NATS from its connection to the word of the ingest"),
    ("sensor/flow/mod.rs", "a flow from its first packet to its end, read from top to bottom"),
    (
        "sensor/flow/stream.rs",
        "a stream's bookkeeping in one place: whoever changes what is held sees all who count it",
    ),
];

/// Functions that are longer than `FUNCTION_LINES_MAX`, as `file: name`, and why.
static LONG_FUNCTIONS: &[(&str, &str)] = &[];

/// Where `unsafe` may stand; each block gives its reason.
static UNSAFE: &[&str] = &["sensor/af_xdp/", "sensor/pages.rs"];

/// Who may use whom, beside `time` and `limits`, which are for all.
static USES: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("limits", &[]),
    ("pages", &[]),
    ("leash", &[]),
    ("observable", &["leash"]),
    ("networks", &["observable"]),
    ("spool", &[]),
    // Writes to the disk as the spool does, and is tried on the same bad one.
    ("ledger", &["spool"]),
    // Adds up what every room counts, and tells a person of it.
    (
        "metrics",
        &[
            "spool",
            "capture",
            "decode",
            "flow",
            "protocol",
            "observable",
            "indicator",
            "alert",
            "worker",
            "pages",
            "cli",
            "emit",
        ],
    ),
    ("protocol", &["observable"]),
    // What a thread or a process may do is told to them, by whoever reads the configuration.
    ("sandbox", &[]),
    ("broker", &[]),
    ("capture", &["pages"]),
    ("decode", &["capture"]),
    ("flow", &["decode", "protocol", "observable", "pages", "leash"]),
    ("indicator", &["observable", "pages"]),
    ("feed", &["indicator", "observable"]),
    ("alert", &["flow", "indicator", "observable", "networks"]),
    ("merge", &["alert", "indicator", "networks", "observable"]),
    ("gate", &["indicator", "networks", "spool", "ledger"]),
    ("emit", &["spool", "gate", "ledger"]),
    (
        "worker",
        &[
            "leash",
            "capture",
            "decode",
            "flow",
            "observable",
            "protocol",
            "indicator",
            "alert",
            "networks",
            "pages",
            "metrics",
        ],
    ),
    ("collector", &["worker", "alert", "merge", "spool", "metrics"]),
    ("config", &["networks", "emit", "feed", "gate", "ledger", "leash"]),
    // Looks at a port before the path does, and asks the configuration what the port is for.
    ("doctor", &["capture", "decode", "networks", "config", "alert", "cli"]),
    // Tells a person of all of it, in one page.
    ("report", &["alert", "indicator", "networks", "observable", "decode", "worker", "metrics", "cli"]),
];

/// Rooms that may use every other.
static USES_ALL: &[&str] = &["control", "cli"];

const CLOCK: &[&str] = &["Instant", "SystemTime", "clock_gettime", "jiff::Timestamp::now"];
const FILES: &[&str] = &["std::fs", "File::open", "OpenOptions", "rustix::fs"];
const SOCKETS: &[&str] = &["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "ToSocketAddrs", "ureq::"];
const THREADS: &[&str] = &["std::thread", "thread::spawn", "Mutex", "RwLock"];
const ENVIRONMENT: &[&str] = &["std::env", "env::var", "process::exit", "process::Command"];
const PRINTING: &[&str] = &["println!", "print!", "eprintln!", "eprint!", "dbg!", "io::stdout", "io::stderr"];

/// What a room never calls (invariants 1, 2 and 10).
static NEVER: &[(&str, &[&[&str]])] = &[
    ("time", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("limits", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("leash", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("capture", &[CLOCK, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("sandbox", &[CLOCK, PRINTING]),
    ("broker", &[CLOCK, FILES, PRINTING]),
    ("decode", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("flow", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("protocol", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("observable", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("indicator", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("alert", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("merge", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("networks", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    // The worker may time its stages for the counters; no time of its own reaches an alert or event.
    ("worker", &[FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("collector", &[CLOCK, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("feed", &[CLOCK, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("gate", &[CLOCK, SOCKETS, ENVIRONMENT, PRINTING]),
    ("spool", &[SOCKETS, ENVIRONMENT, PRINTING]),
    ("ledger", &[SOCKETS, ENVIRONMENT, PRINTING]),
    ("emit", &[ENVIRONMENT, PRINTING]),
    ("config", &[CLOCK, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("report", &[CLOCK, FILES, SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("metrics", &[FILES, ENVIRONMENT, PRINTING]),
    ("doctor", &[SOCKETS, THREADS, ENVIRONMENT, PRINTING]),
    ("pages", &[CLOCK, FILES, SOCKETS, ENVIRONMENT, PRINTING]),
];

fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn rooms_use_only_whom_they_may() {
    let mut findings = Vec::new();
    for source in sources("sensor/") {
        let room = source.room();
        if USES_ALL.contains(&room) || ["lib", "af_xdp"].contains(&room) {
            continue;
        }
        let allowed = USES.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed).unwrap_or_default();
        let code: String = source.lines().map(|(_, line)| format!("{line}\n")).collect();
        for (line, used) in rooms_used(&code) {
            let fine = used == room || ["time", "limits"].contains(&used.as_str()) || allowed.contains(&used.as_str());
            if !fine {
                findings.push(format!("{}:{line}: {room} may not use {used} (USES in tests/tidy.rs)", source.path));
            }
        }
    }
    none(findings);
}

#[test]
fn rooms_never_call_what_is_not_theirs() {
    let mut findings = Vec::new();
    for source in sources("sensor/") {
        let never = NEVER.iter().filter(|(room, _)| *room == source.room()).flat_map(|(_, lists)| lists.iter());
        let words: Vec<&str> = never.flat_map(|list| list.iter().copied()).chain([".unwrap()", "panic!"]).collect();
        for (at, line) in source.lines() {
            for word in words.iter().filter(|word| has_word(line, word)) {
                findings.push(format!("{}:{at}: `{word}` is not called in {}", source.path, source.room()));
            }
        }
    }
    none(findings);
}

#[test]
fn unsafe_stands_only_behind_its_walls() {
    let mut findings = Vec::new();
    for source in sources("sensor/").into_iter().chain(sources("tests/")) {
        let walled = UNSAFE.iter().any(|wall| source.path.starts_with(wall));
        let lines = source.code.lines().enumerate().filter(|(_, line)| !walled && has_word(line, "unsafe"));
        findings.extend(lines.map(|(at, _)| format!("{}:{}: unsafe outside its walls", source.path, at + 1)));
    }
    none(findings);
}

#[test]
fn files_and_functions_are_short() {
    let mut findings = Vec::new();
    for source in sources("sensor/").into_iter().chain(sources("tests/")) {
        let lines = if source.path.starts_with("sensor/") { source.tests } else { 0 };
        if lines > FILE_LINES_MAX && !LONG_FILES.iter().any(|(path, _)| *path == source.path) {
            findings.push(format!("{}:{lines}: more than {FILE_LINES_MAX} lines before tests", source.path));
        }
        for (name, at, length) in functions(&source.code) {
            let known = LONG_FUNCTIONS.iter().any(|(long, _)| *long == format!("{}: {name}", source.path));
            if length > FUNCTION_LINES_MAX && !known {
                findings.push(format!("{}:{at}: {name}: {length} lines, {FUNCTION_LINES_MAX} at most", source.path));
            }
        }
    }
    none(findings);
}

#[test]
fn every_source_file_says_what_it_is() {
    let sources = sources("sensor/").into_iter().chain(sources("tests/"));
    none(sources.filter(|one| !one.text.starts_with("//! ")).map(|one| format!("{}:1: no `//!`", one.path)).collect());
}

#[test]
fn nothing_is_unfinished_and_no_machine_is_named() {
    // Written in two halves, so that this file is not its own first finding.
    let words = ["TO\u{44}O", "FIX\u{4d}E", "st\u{75}b", "ha\u{63}k", "#[ign\u{6f}re"];
    let paths = ["/wo\u{72}k/", "/ho\u{6d}e/", "/ro\u{6f}t/", "/Us\u{65}rs/"];
    let kinds = [".rs", ".yaml", ".md", ".sh", ".py"];
    let mut findings = Vec::new();
    for (path, _) in all_files().into_iter().filter(|(path, _)| kinds.iter().any(|kind| path.ends_with(kind))) {
        let text = fs::read_to_string(root().join(&path)).unwrap_or_default();
        for (at, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            let word = words.iter().find(|word| has_word(&lower, &word.to_lowercase()));
            let place = paths.iter().find(|place| line.contains(**place));
            findings.extend(word.map(|word| format!("{path}:{}: the word {word}", at + 1)));
            findings.extend(place.map(|place| format!("{path}:{}: a path of one machine ({place})", at + 1)));
        }
    }
    none(findings);
}

#[test]
fn names_say_what_they_hold_and_folders_stay_flat() {
    let vague = ["util", "utils", "common", "core", "types", "manager", "helper", "helpers", "misc"];
    let mut findings = Vec::new();
    for (path, _) in all_files().into_iter().filter(|(path, _)| path.starts_with("sensor/")) {
        let parts: Vec<&str> = path.split('/').collect();
        if parts.iter().any(|part| vague.contains(&part.trim_end_matches(".rs"))) {
            findings.push(format!("{path}:1: a name that says nothing"));
        }
        if parts.len() > 3 && !path.starts_with("sensor/af_xdp/") {
            findings.push(format!("{path}:1: more than two folder levels"));
        }
    }
    none(findings);
}

#[test]
fn every_case_is_complete() {
    let files: BTreeSet<String> = all_files().into_iter().map(|(path, _)| path).collect();
    let case = |path: &String| path.strip_prefix("pcaps/")?.split_once('/').map(|(case, _)| case.to_string());
    let cases: BTreeSet<String> = files.iter().filter_map(case).collect();
    let mut findings = Vec::new();
    for case in cases {
        let has = |name: &str| files.contains(&format!("pcaps/{case}/{name}"));
        if !["traffic.pcap", "traffic.pcapng", "traffic.pcap.gz", "traffic.pcap.zst"].into_iter().any(has) {
            findings.push(format!("pcaps/{case}:1: no traffic.pcap (.gz, .zst) or traffic.pcapng"));
        }
        let missing = ["indicators.yaml", "alerts.jsonl", "NOTE.md"].into_iter().filter(|name| !has(name));
        findings.extend(missing.map(|name| format!("pcaps/{case}:1: no {name}")));
    }
    none(findings);
}

#[test]
fn no_file_is_large_outside_pcaps() {
    let large = all_files().into_iter().filter(|(path, size)| *size > FILE_BYTES_MAX && !path.starts_with("pcaps/"));
    none(large.map(|(path, size)| format!("{path}:1: {size} bytes, {FILE_BYTES_MAX} at most")).collect());
}
