//! The built binary as a person types it: help, usage errors, checks of configurations, the person's screen, exit codes.
//!
//! In: words. Out: what is printed, and the exit code. Never here: what is right about an alert; `cases` has that.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// Exit code, standard output, standard error.
fn haetae(words: &[&str]) -> (i32, String, String) {
    in_surroundings(words, &[])
}

fn in_surroundings(words: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haetae"));
    command.args(words).env_remove("HAETAE_CONFIG").env_remove("HAETAE_LOG").envs(environment.iter().copied());
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

fn written(folder: &Path, text: &str) -> String {
    let file = folder.join("haetae.yaml");
    std::fs::write(&file, text).expect("a file");
    file.display().to_string()
}

#[test]
fn nothing_typed_gives_short_help() {
    let (code, out, complaints) = haetae(&[]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(complaints.contains("haetae -r pcaps/ -S rules/") && complaints.lines().count() < 10, "{complaints}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let (code, out, _) = haetae(&["--help"]);
    assert_eq!(code, 0);
    for part in ["-r <PATH>", "--fail-on-match", "--as <exercise>", "Examples:", "Exit codes:", "HAETAE_CONFIG"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!out.contains("--batch-size"));
    assert_eq!(haetae(&["-V"]).1, format!("haetae {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_makes_no_sense_is_a_usage_error_that_says_why() {
    let cases: &[(&[&str], &str)] = &[
        (&["--strict"], "nothing to do"),
        (&["-r"], "a value is required"),
        (&["--nonsense"], "unexpected argument"),
        (&["replay"], "required"),
        (&["completions", "tcsh"], "[possible values: bash, zsh, fish]"),
        (&["man", "reply"], "`reply` is not a command"),
        (&["replya", "a.pcap"], "did you mean `replay`?"),
        (&["-r", "a.pcap", "-S", "r", "tcp", "port", "80"], "packet filters (BPF) are not supported"),
        (&["-r", "a.pcap", "-T"], "give one of them"),
        (&["-T"], "-c FILE"),
        (&["check"], "-c FILE"),
        (&["lookup"], "required"),
        (&["doctor"], "required"),
        (&["doctor", "tap0", "--seconds", "0"], "1 to 3600"),
        (&["doctor", "tap0", "--seconds", "3601"], "1 to 3600"),
        (&["lookup", "bad.example"], "-S RULES"),
        (&["lookup", "bad.example", "-S", "r", "--running"], "either -S or --running"),
        (&["reveal"], "required"),
        (&["reveal", "10.77.0.2"], "no token"),
        (&["reveal", "h-abcdefghijkl"], "of which site?"),
        (&["revael"], "did you mean `reveal`?"),
        (&["statsu"], "did you mean `status`?"),
        (&["rules", "test"], "-S RULES"),
        (&["rules"], "Usage"),
        (&["-r", "a.pcap", "--workers", "0"], "auto"),
        (&["-r", "a.pcap", "--workers", "many"], "auto"),
        (&["-r", "a.pcap", "--batch-size", "257"], "1 to 256"),
        (&["-r", "a.pcap", "--pace", "fast"], "real, or a factor like 10x or 0.5x"),
        (&["-r", "a.pcap", "--pace", "0x"], "0.001x to 1000000x"),
        (&["-r", "a.pcap", "-k", "all"], "checksums are not verified"),
        (&["-r", "a.pcap", "-k", "some"], "invalid value"),
        (&["-r", "a.pcap", "--alerts", "-", "--events", "-"], "two outputs"),
        (&["-r", "a.pcap", "--centre", "https://c/", "--spool", "s"], "--as exercise"),
        (&["-r", "a.pcap", "--centre", "https://c/", "--spool", "s", "--as", "live"], "invalid value"),
        (&["-r", "a.pcap", "--centre", "https://c/", "--as", "exercise"], "--spool"),
        (&["-r", "a.pcap", "--centre", "http://c/", "--as", "exercise", "--spool", "s"], "loopback"),
        (&["-r", "a.pcap", "--as", "exercise"], "where to?"),
        (&["-r", "a.pcap", "--spool", "s"], "--as exercise"),
    ];
    for (words, reason) in cases {
        let (code, out, complaints) = haetae(words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {complaints}");
        assert!(complaints.contains(reason), "{words:?}: {complaints}");
    }
}

#[test]
fn a_sound_configuration_is_said_to_be() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/haetae.yaml");
    for words in [["-T", "-c", example].as_slice(), &["check", "-c", example]] {
        assert_eq!(haetae(words), (0, "the configuration is sound\n".into(), String::new()));
    }
    assert_eq!(in_surroundings(&["-T"], &[("HAETAE_CONFIG", example)]).0, 0);
}

#[test]
fn all_faults_of_a_configuration_are_told_with_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(folder.path(), "site: { id: a, language: fr }\nlimits: { wrokers: 2 }\n");
    let (code, out, complaints) = haetae(&["-T", "-c", &file]);
    assert_eq!((code, out.as_str()), (78, ""));
    assert_eq!(
        complaints,
        format!(
            "error: site.language: `fr` is not known here\n  --> {file}:1:26   help: one of en, ko\n\
             error: limits.wrokers: unknown option\n  --> {file}:2:11   help: did you mean `workers`?\n\
             2 errors; running configuration unchanged (exit 78)\n"
        )
    );
}

#[test]
fn the_environment_and_arguments_reach_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(folder.path(), "site: { id: \"${HAETAE_TEST_SITE}\" }\n");
    assert_eq!(in_surroundings(&["-T", "-c", &file], &[("HAETAE_TEST_SITE", "site-1")]).0, 0);
    let (code, _, complaints) = haetae(&["-T", "-c", &file]);
    assert_eq!(code, 78);
    assert!(complaints.contains(&format!("`HAETAE_TEST_SITE` is not set\n  --> {file}:1:13")), "{complaints}");
    let set = ["-T", "-c", &file, "--set", "site.id=a", "--set", "limits.workers=0"];
    assert!(haetae(&set).2.contains("  --> --set limits.workers=0   help: `auto`, or 1 to 256"));
}

#[test]
fn the_configuration_that_holds_can_be_kept_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("rules.d")).expect("a folder");
    std::fs::write(folder.path().join("rules.d/site.txt"), "203.0.113.66\n").expect("a file");
    let file = written(folder.path(), "rules: { local: [rules.d] }\nlimits: { workers: 3 }\n");
    let log = [("HAETAE_LOG", "debug,json"), ("HAETAE_CONFIG", file.as_str())];
    let (code, dumped, complaints) = in_surroundings(&["config", "dump", "--set", "limits.workers=2"], &log);
    assert_eq!((code, complaints.as_str()), (0, ""));
    let rules = folder.path().join("rules.d");
    let local = format!("  local: [\"{}\"]", rules.display());
    let lines = [
        "  workers: 2  # --set",
        "  format: json  # HAETAE_LOG",
        "  id: \"local\"  # default",
        "  # key: not set",
        &local,
    ];
    for line in lines {
        assert!(dumped.lines().any(|one| one == line), "{line}:\n{dumped}");
    }
    let elsewhere = tempfile::tempdir().expect("a folder");
    let kept = written(elsewhere.path(), &dumped);
    assert_eq!(haetae(&["-T", "-c", &kept]), (0, "the configuration is sound\n".into(), String::new()));
    let bare = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  #").next().unwrap_or_default().to_string()).collect()
    };
    assert_eq!(bare(&haetae(&["config", "dump", "-c", &kept]).1), bare(&dumped));
    assert_eq!(haetae(&["config", "dump", "--set", "limits.workers=0"]).0, 78);
}

#[test]
fn the_schema_knows_every_section() {
    let (code, out, _) = haetae(&["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_str(&out).expect("it is JSON");
    assert_eq!(code, 0);
    let sections: Vec<_> = schema["properties"].as_object().expect("sections").keys().map(String::as_str).collect();
    let all =
        "site networks capture rules outputs events centre ledger sinks metrics control quarantine logs limits sandbox";
    assert_eq!(sections, all.split(' ').collect::<Vec<_>>());
}

#[test]
fn a_log_that_nobody_knows_and_a_tap_that_is_not_there_are_told() {
    let (code, _, complaints) = in_surroundings(&["config", "dump"], &[("HAETAE_LOG", "loud")]);
    assert_eq!(code, 78);
    assert!(complaints.contains("error: `loud` is no level and no format of a log\n  --> HAETAE_LOG=loud   help: "));
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(folder.path(), "capture: [{ interface: nosuchtap9 }]\n");
    let warning = "warning: capture[0].interface: this machine has no interface `nosuchtap9` now\n";
    assert_eq!(haetae(&["-T", "-c", &file]), (0, "the configuration is sound\n".into(), warning.into()));
}

#[cfg(feature = "libpcap")]
#[test]
fn a_packet_filter_that_is_none_is_told_with_its_place_before_an_interface_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let captures =
        "capture:\n  - interface: lo\n    filter: not port 22\n  - interface: eth9\n    filter: tcp prot 80\n";
    let file = written(folder.path(), captures);
    let (code, out, complaints) = haetae(&["-T", "-c", &file]);
    assert_eq!((code, out.as_str()), (78, ""));
    assert!(complaints.starts_with("error: capture[1].filter: is no packet filter: "), "{complaints}");
    assert!(complaints.contains(&format!("\n  --> {file}:5:13   help: ")), "{complaints}");
    assert!(complaints.ends_with("1 error; running configuration unchanged (exit 78)\n"), "{complaints}");
    let mended = written(folder.path(), &captures.replace("prot", "port"));
    assert_eq!(haetae(&["-T", "-c", &mended]).0, 0);
}

#[test]
fn what_is_not_there_is_named() {
    let (code, _, complaints) = haetae(&["-T", "-c", "/nowhere/haetae.yaml"]);
    assert_eq!(code, 78);
    assert!(complaints.starts_with("error: /nowhere/haetae.yaml: "), "{complaints}");
    let (code, _, complaints) = haetae(&["-r", "/nowhere/a.pcap"]);
    assert_eq!(code, 74);
    assert!(complaints.starts_with("error: /nowhere/a.pcap: "), "{complaints}");
    assert_eq!(haetae(&["lookup", "bad.example", "-S", "/nowhere/rules"]).0, 74);
}

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
const PCAPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pcaps");

fn capture(case: &str) -> String {
    format!("{PCAPS}/{case}/traffic.pcap")
}

#[test]
fn a_centre_whose_files_are_wrong_is_a_fault_of_the_configuration_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gate.yaml"), "leave: [time, everything]\n").expect("a file");
    let centre =
        "networks: { home: [10.0.0.0/8] }\ncentre:\n  url: http://127.0.0.1:1\n  gate: gate.yaml\n  token: none\n";
    let file = written(folder.path(), centre);
    let (code, _, complaints) = haetae(&["-T", "-c", &file]);
    assert_eq!(code, 78, "{complaints}");
    let gate = folder.path().join("gate.yaml");
    let said: Vec<&str> = complaints.lines().collect();
    assert!(said[0].starts_with("error: centre.token: file not found: "), "{complaints}");
    assert!(said[1].starts_with(&format!("  --> {file}:5:10   help: ")), "{complaints}");
    assert_eq!(said[2], "error: gate: leave[1]: `everything` is not known here");
    assert!(said[3].starts_with(&format!("  --> {}:1:15   help: one of time, ", gate.display())), "{complaints}");
    assert_eq!(said[4], "2 errors; running configuration unchanged (exit 78)");
}

#[test]
fn the_examples_pass_the_tests_that_they_carry() {
    let (code, out, complaints) = haetae(&["rules", "test", "-S", RULES]);
    assert_eq!((code, complaints.as_str()), (0, ""), "{out}");
    assert!(out.ends_with(" rule tests, 0 failed\n") && !out.starts_with('0'), "{out}");
}

#[test]
fn a_person_sees_what_was_met_and_nothing_for_near_misses() {
    let (code, out, complaints) = haetae(&["-r", &capture("tls13"), "-S", RULES]);
    assert_eq!((code, complaints.as_str()), (0, ""));
    assert!(out.contains("CRITICAL ransomware   10.77.0.2 -> c2.bad.example (203.0.113.66:443)   data, "), "{out}");
    assert!(out.contains("\n         why: bad.example (+subdomains), source example, amber, valid to "), "{out}");
    assert!(out.ends_with("treated private ranges as inside. Nothing left this machine.\n"), "{out}");
    let (_, out, _) = haetae(&["-r", &capture("near-misses"), "-S", RULES]);
    assert!(out.starts_with("1 file, ") && out.contains(" 0 alerts, "), "{out}");
    let (_, out, _) = haetae(&["-r", PCAPS, "-S", RULES]);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() < 80 && lines.iter().all(|line| line.len() < 140), "{out}");
    assert!(out.contains(" more alerts like these (--alerts FILE has all)\n"), "{out}");
}

#[test]
fn a_person_is_told_in_the_language_of_the_site() {
    let korean = haetae(&["-r", &capture("tls13"), "-S", RULES, "--set", "site.language=ko"]);
    assert_eq!((korean.0, korean.2.as_str()), (0, ""));
    let out = korean.1;
    assert!(out.contains("심각     ransomware   10.77.0.2 -> c2.bad.example (203.0.113.66:443)   데이터 "), "{out}");
    assert!(out.contains("\n         근거: bad.example (하위 도메인 포함), 출처 example, amber, "), "{out}");
    assert!(out.contains("\n파일 1개, 패킷 ") && out.contains("\n보지 못한 것: "), "{out}");
    assert!(out.ends_with("내부로 간주했습니다. 이 장비 밖으로 나간 것은 없습니다.\n"), "{out}");
    let lines = |set: &str| haetae(&["-r", PCAPS, "-S", RULES, "--set", set]).1.lines().count();
    assert_eq!(lines("site.language=ko"), lines("site.language=en"), "the same is said");
}

#[test]
fn rules_that_are_no_rules_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().display().to_string();
    for words in [["-r", &capture("tls13"), "-S", &empty].as_slice(), &["lookup", "a.example", "-S", &empty]] {
        let (code, out, complaints) = haetae(words);
        assert_eq!((code, out.as_str()), (74, ""), "{complaints}");
        assert!(complaints.contains(&format!("{empty}: no indicator file in it (known endings: yaml")), "{complaints}");
    }
    let (code, _, complaints) = haetae(&["-r", &capture("tls13"), "-S", "/nowhere"]);
    assert_eq!((code, complaints.as_str()), (74, "error: /nowhere: No such file or directory\n"));
    let (code, out, _) = haetae(&["-r", &capture("tls13")]);
    assert!(code == 0 && out.contains("No indicators given: nothing was looked for (-S RULES).\n"), "{out}");
    std::fs::write(folder.path().join("bad.txt"), "*.com\n0.0.0.0\n").expect("a file");
    let (code, out, complaints) = haetae(&["-r", &capture("tls13"), "-S", &empty]);
    assert_eq!((code, out.as_str()), (78, ""), "rules of which none is left must not look like a clean capture");
    assert!(complaints.contains("no indicator could be loaded, 2 were refused; the first: "), "{complaints}");
}

#[test]
fn a_rule_file_that_is_cut_short_is_never_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let (rules, cut) = (folder.path().display().to_string(), folder.path().join("cut.yaml"));
    std::fs::write(folder.path().join("whole.txt"), "203.0.113.66\n").expect("a file");
    std::fs::write(&cut, "format: haetae/1\nindicators:\n  - { ip: 203.0.113.67 }\n  - { ip: 203.0.1").expect("a file");
    let words: [&[&str]; 4] = [
        &["-r", &capture("tls13"), "-S", &rules],
        &["lookup", "203.0.113.66", "-S", &rules],
        &["rules", "test", "-S", &rules],
        &["explain", "-r", &capture("tls13"), "-S", &rules, "--list"],
    ];
    for words in words {
        let (code, out, complaints) = haetae(words);
        assert_eq!((code, out.as_str()), (78, ""), "{words:?}: {complaints}");
        assert!(complaints.starts_with(&format!("error: {}:4: YAML: ", cut.display())), "{complaints}");
    }
    std::fs::write(&cut, "format: haetae/1\nindicators: [{ ip: 203.0.113.999 }]\n").expect("a file");
    let (code, out, _) = haetae(&["lookup", "203.0.113.67", "-S", &rules]);
    assert_eq!((code, out.as_str()), (0, "203.0.113.67: not listed (1 indicator searched)\n"), "an entry loses itself");
    std::fs::remove_file(folder.path().join("whole.txt")).expect("it was there");
    let (code, out, complaints) = haetae(&["lookup", "203.0.113.67", "-S", &rules]);
    assert_eq!((code, out.as_str()), (78, ""), "what was not searched is not said to be not listed");
    assert!(complaints.contains("no indicator could be loaded, 1 were refused; the first: "), "{complaints}");
}

#[test]
fn a_look_up_prints_the_same_for_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("r.yaml");
    let text =
        "format: haetae/1\nindicators: [{ domain: bad.example, source: S2W, tlp: red, valid_until: 2020-01-01 }]\n";
    std::fs::write(&rules, text).expect("rules");
    let rules = rules.display().to_string();
    let (code, out, _) = haetae(&["lookup", "bad.example", "-S", &rules, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let word = &told["listed"][0]["words"][0];
    assert_eq!((code, &word["tlp"], &word["refusal"]), (0, &"red".into(), &"expired".into()), "{out}");
    assert_eq!(word["valid_until"], "2020-01-01T00:00:00Z");
}

#[test]
fn who_asks_a_sensor_that_is_not_there_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = written(folder.path(), "control: { socket: here.sock }\n");
    let socket = folder.path().join("here.sock").display().to_string();
    for words in [["status"].as_slice(), &["counters"], &["reload"], &["lookup", "a.example"]] {
        for place in [["-c", &config], ["--socket", &socket]] {
            if words == ["lookup", "a.example"] && place[0] == "-c" {
                continue; // that reads the rules of the configuration
            }
            let (code, out, complaints) = haetae(&[words, &place].concat());
            let sound = code == 69 && out.is_empty() && complaints.starts_with(&format!("error: {socket}: no sensor"));
            assert!(sound, "{words:?} {place:?}: {code} {out}{complaints}");
        }
    }
    let (code, _, complaints) = haetae(&["status", "-c", &written(folder.path(), "site: { id: a }\n")]);
    assert!(code == 2 && complaints.contains("has no `control:`"), "{code} {complaints}");
}

#[test]
fn a_configuration_is_not_sound_whose_rules_would_keep_the_sensor_from_starting() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(folder.path(), "rules: { local: [a.yaml, b.txt] }\n");
    let rules = |yaml: &str, list: &str| {
        std::fs::write(folder.path().join("a.yaml"), yaml).expect("a file");
        std::fs::write(folder.path().join("b.txt"), list).expect("a file");
    };
    let place = folder.path().display();
    let sound = "format: haetae/1\nindicators: [{ ip: 203.0.113.66 }]\n";
    rules(&sound[..sound.len() - 4], "203.0.113.67\n");
    let (code, out, complaints) = haetae(&["-T", "-c", &file]);
    assert_eq!((code, out.as_str()), (78, ""), "{complaints}");
    assert!(complaints.starts_with(&format!("error: {place}/a.yaml:2: YAML: ")), "{complaints}");
    rules("format: haetae/1\n", "0.0.0.0\n");
    let (code, out, complaints) = haetae(&["-T", "-c", &file]);
    assert_eq!((code, out.as_str()), (78, ""), "{complaints}");
    assert!(complaints.contains("error: no indicator could be loaded, 1 were refused"), "{complaints}");
    rules(sound, "0.0.0.0\n");
    let (code, out, complaints) = haetae(&["-T", "-c", &file]);
    assert_eq!((code, out.as_str()), (0, "the configuration is sound\n"), "{complaints}");
    assert!(complaints.starts_with(&format!("{place}/b.txt:1: ip: ")), "{complaints}");
    assert!(complaints.ends_with("\n1 rule refused\n"), "{complaints}");
    std::fs::remove_file(folder.path().join("b.txt")).expect("it was there");
    assert_eq!(haetae(&["-T", "-c", &file, "-S", &folder.path().join("b.txt").display().to_string()]).0, 78);
}

/// Event types in the log that `-l` wrote.
fn logged(events: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let config = written(folder.path(), &format!("outputs: {{ eve: {{ events: [{events}] }} }}\n"));
    let log = folder.path().join("log").display().to_string();
    let other = folder.path().join("other.json").display().to_string();
    let words = ["-r", &capture("http1"), "-S", RULES, "-c", &config, "-l", &log, "--events", &other];
    assert_eq!(haetae(&words).0, 0);
    let types = |file: &Path| -> BTreeSet<String> {
        let text = std::fs::read_to_string(file).expect("a log");
        let record = |line| serde_json::from_str::<serde_json::Value>(line).expect("a record");
        text.lines().map(|line| record(line)["event_type"].as_str().expect("a type").to_owned()).collect()
    };
    assert!(types(Path::new(&other)).is_superset(&["flow", "http", "stats"].map(str::to_owned).into()));
    types(&folder.path().join("log/eve.json"))
}

#[test]
fn the_log_has_the_types_that_the_configuration_lists() {
    let set = |types: &[&str]| -> BTreeSet<String> { types.iter().map(|one| one.to_string()).collect() };
    assert_eq!(logged("alert"), set(&["alert"]));
    assert_eq!(logged("stats, http"), set(&["http", "stats"]));
    assert_eq!(logged("flow, fileinfo"), set(&["fileinfo", "flow"]));
    assert_eq!(
        logged("alert, dns, http, tls, fileinfo, flow, stats"),
        set(&["alert", "fileinfo", "flow", "http", "stats"])
    );
}

#[test]
fn exit_codes_tell_what_happened() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = std::fs::read(capture("tls13")).expect("a capture");
    let cut = folder.path().join("cut.pcap").display().to_string();
    std::fs::write(&cut, &whole[..whole.len() - 7]).expect("a file");
    assert_eq!(haetae(&["-r", &cut]).0, 0);
    assert_eq!(haetae(&["-r", &cut, "--strict"]).0, 65);
    assert!(haetae(&["-r", &cut]).1.contains("Cut short: cut.pcap ("));
    assert_eq!(haetae(&["-r", &capture("tls13"), "--strict"]).0, 0);
    assert_eq!(haetae(&["-r", &capture("tls13"), "-S", RULES, "--fail-on-match"]).0, 1);
    assert_eq!(haetae(&["-r", &capture("near-misses"), "-S", RULES, "--fail-on-match"]).0, 0);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let (code, _, complaints) = haetae(&["-r", &empty.display().to_string()]);
    assert!(code == 74 && complaints.contains("no capture in this folder"), "{complaints}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haetae"));
    command.env_remove("HAETAE_CONFIG").args(["-r", PCAPS, "--events", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut first = [0; 10];
    child.stdout.take().expect("its output").read_exact(&mut first).expect("it says something");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

/// A capture with the frames of another, evenly over so many milliseconds.
fn spread(capture: &[u8], millis: u64) -> Vec<u8> {
    let mut records = Vec::new();
    let mut rest = &capture[24..];
    while rest.len() >= 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().expect("four bytes")) as usize;
        records.push(&rest[8..16 + length]);
        rest = &rest[16 + length..];
    }
    assert!(rest.is_empty() && records.len() > 2, "a little-endian capture with frames");
    let nanoseconds = capture[..4] == 0xa1b2_3c4d_u32.to_le_bytes();
    let unit = if nanoseconds { 1_000_000_000 } else { 1_000_000 };
    let (mut out, last) = (capture[..24].to_vec(), records.len() as u64 - 1);
    for (at, record) in records.into_iter().enumerate() {
        let time = at as u64 * millis * unit / 1_000 / last;
        out.extend(((1_700_000_000 + time / unit) as u32).to_le_bytes());
        out.extend(((time % unit) as u32).to_le_bytes());
        out.extend(record);
    }
    out
}

#[test]
fn a_paced_replay_takes_its_time_and_says_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("three-seconds.pcap");
    let whole = std::fs::read(capture("http1")).expect("a capture");
    std::fs::write(&file, spread(&whole, 3_000)).expect("a file");
    let file = file.display().to_string();
    let replayed = |more: &[&str]| {
        let started = std::time::Instant::now();
        let (code, out, complaints) = haetae(&[&["-r", &file, "-S", RULES], more].concat());
        assert_eq!((code, complaints.as_str()), (0, ""));
        (out, started.elapsed().as_secs_f64())
    };
    let (events, _) = replayed(&["--events", "-", "--workers", "1"]);
    assert!(events.lines().count() > 2, "{events}");
    for workers in ["1", "3"] {
        let (paced, seconds) = replayed(&["--events", "-", "--pace", "10x", "--workers", workers]);
        assert_eq!(paced, events);
        assert!((0.3..30.0).contains(&seconds), "{seconds} s");
    }
    let (alerts, _) = replayed(&["--alerts", "-"]);
    assert!(!alerts.is_empty());
    assert_eq!(replayed(&["--alerts", "-", "--pace", "100x"]).0, alerts);
}
