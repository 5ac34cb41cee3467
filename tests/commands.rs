//! The built binary as a person types it: help, usage errors, checks of configurations, exit codes.
//!
//! In: words. Out: what is printed, and the exit code. Never here: a capture that is read.

use std::path::Path;
use std::process::Command;

/// Exit code, standard output, standard error.
fn haetae(words: &[&str]) -> (i32, String, String) {
    in_surroundings(words, &[])
}

fn in_surroundings(words: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haetae"));
    command.args(words).env_remove("HAETAE_CONFIG").envs(environment.iter().copied());
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
        (&["replya", "a.pcap"], "did you mean `replay`?"),
        (&["-r", "a.pcap", "-S", "r", "tcp", "port", "80"], "packet filters (BPF) are not supported"),
        (&["-r", "a.pcap", "-T"], "give one of them"),
        (&["-T"], "-c FILE"),
        (&["check"], "-c FILE"),
        (&["lookup"], "required"),
        (&["lookup", "bad.example"], "-S RULES"),
        (&["rules", "test"], "-S RULES"),
        (&["rules"], "Usage"),
        (&["-r", "a.pcap", "--workers", "0"], "auto"),
        (&["-r", "a.pcap", "--workers", "many"], "auto"),
        (&["-r", "a.pcap", "--batch-size", "257"], "1 to 256"),
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
fn what_is_not_there_is_named() {
    let (code, _, complaints) = haetae(&["-T", "-c", "/nowhere/haetae.yaml"]);
    assert_eq!(code, 78);
    assert!(complaints.starts_with("error: /nowhere/haetae.yaml: "), "{complaints}");
    let (code, _, complaints) = haetae(&["-r", "/nowhere/a.pcap"]);
    assert_eq!(code, 74);
    assert!(complaints.starts_with("error: /nowhere/a.pcap: "), "{complaints}");
    assert_eq!(haetae(&["lookup", "bad.example", "-S", "/nowhere/rules"]).0, 74);
}
