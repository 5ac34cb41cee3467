//! Mistakes that people make in a configuration, each with the place and the hint that they get; and what is odd but sound.
//!
//! In: `tests/config/*.txt`, whose `▶` marks the place that must be told. Out: what `haetae -T` says. Never here: a second
//! fault where one mistake was made.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

const MARK: char = '▶';

/// A headline and the text below it.
fn cases(corpus: &str) -> Vec<(&str, &str)> {
    let cases: Vec<_> =
        corpus.split("\n### ").skip(1).map(|case| case.split_once('\n').unwrap_or((case, ""))).collect();
    assert!(cases.len() > 20, "a corpus was read");
    cases
}

/// Files for the cases to name.
fn filled() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, bytes: &[u8], mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
    };
    write("key", &[7; 32], 0o600);
    write("key.open", &[7; 32], 0o644);
    write("key.short", &[7; 5], 0o600);
    write("token", b"secret\n", 0o600);
    write("token.open", b"secret\n", 0o644);
    write("file", b"nothing.in.particular\n", 0o644);
    fs::create_dir(folder.path().join("folder")).expect("a folder");
    let pipe = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status();
    assert!(pipe.is_ok_and(|status| status.success()), "a pipe");
    folder
}

fn environment(name: &str) -> Option<String> {
    match name {
        "EMPTY" => Some(String::new()),
        "NUMBER" => Some("17".into()),
        "WORD" => Some("ko".into()),
        "DEEP" => Some("${NUMBER}".into()),
        _ => None,
    }
}

/// Exit code, standard output, standard error of `haetae -T`.
fn checked(file: &Path, bytes: &[u8]) -> (u8, String, String) {
    fs::write(file, bytes).expect("a file");
    let words = ["haetae".into(), "-T".into(), "-c".into(), OsString::from(file)];
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let code = haetae::cli::run(words.into(), &environment, &mut out, &mut complaints);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (code, text(out), text(complaints))
}

/// What is wrong with how `text`, marked, is refused; headline: the option, a part of the problem, a part of the help.
fn wrongly_refused(folder: &Path, headline: &str, text: &str) -> Option<String> {
    let parts: Vec<String> =
        headline.split('|').map(|part| part.trim().replace("DIR", &folder.display().to_string())).collect();
    let [option, problem, help] = parts.as_slice() else { return Some(format!("no headline: {headline}")) };
    let Some((before, _)) = text.split_once(MARK) else { return Some(format!("no mark: {headline}")) };
    let line = before.matches('\n').count() + 1;
    let lead = before.rsplit('\n').next().unwrap_or_default().replace("DIR", &folder.display().to_string());
    let file = folder.join("haetae.yaml");
    let text = text.replace(MARK, "").replace("DIR", &folder.display().to_string());
    let (code, out, complaints) = checked(&file, text.as_bytes());
    let said: Vec<&str> = complaints.lines().collect();
    let begin = if option.is_empty() { "error: ".to_string() } else { format!("error: {option}: ") };
    let place = format!("  --> {}:{line}:{}   help: ", file.display(), lead.chars().count() + 1);
    let sound = code == 78
        && out.is_empty()
        && said.len() == 3
        && said[0].strip_prefix(&begin).is_some_and(|rest| rest.contains(problem.as_str()))
        && said[1].strip_prefix(&place).is_some_and(|rest| rest.contains(help.as_str()))
        && said[2] == "1 error; running configuration unchanged (exit 78)";
    (!sound).then(|| format!("--- {headline}\n{text}... {place}\n{complaints}exit {code}\n"))
}

#[test]
fn every_mistake_is_told_once_with_its_place_and_a_hint() {
    let folder = filled();
    let corpora = [
        include_str!("config/names.txt"),
        include_str!("config/types.txt"),
        include_str!("config/values.txt"),
        include_str!("config/addresses.txt"),
        include_str!("config/files.txt"),
        include_str!("config/yaml.txt"),
    ];
    let all: Vec<_> = corpora.into_iter().flat_map(cases).collect();
    let wrong: Vec<String> =
        all.iter().filter_map(|(headline, text)| wrongly_refused(folder.path(), headline, text)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.concat());
    assert!(all.len() >= 350);
}

#[test]
fn what_is_odd_and_sound_is_taken() {
    let folder = filled();
    for (headline, text) in cases(include_str!("config/sound.txt")) {
        let text = text.replace("DIR", &folder.path().display().to_string());
        let (code, out, complaints) = checked(&folder.path().join("haetae.yaml"), text.as_bytes());
        let warned = complaints.lines().all(|line| line.starts_with("warning: "));
        assert!(code == 0 && out == "the configuration is sound\n" && warned, "{headline}:\n{text}\n{complaints}");
    }
}

#[test]
fn bytes_that_no_editor_shows_have_a_place_too() {
    let folder = filled();
    let file = folder.path().join("haetae.yaml");
    let refused: &[(&[u8], &str, &str)] = &[
        (b"site: { id: \xff }\n", "1:13", "not UTF-8"),
        (b"# \xed\x95\x9c\nsite:\n  id: \xc3\xa9\xc3( }\n", "3:8", "not UTF-8"),
        (b"\xff\xfes\0i\0t\0e\0:\0", "1:1", "not UTF-8"),
        (b"site: { id: a\0 }\n", "1:14", "unexpected character"),
        (b"site: { id: \"a\x07\" }\n", "1:15", "unexpected character"),
        (b"\x1f\x8b\x08\0\0\0", "1:2", "not UTF-8"),
    ];
    for (bytes, place, problem) in refused {
        let (code, _, complaints) = checked(&file, bytes);
        let at = format!("--> {}:{place}   help: ", file.display());
        assert!(code == 78 && complaints.contains(&at) && complaints.contains(problem), "{bytes:?}: {complaints}");
    }
    for bytes in
        [&b"\xef\xbb\xbfsite: { id: a }\n"[..], b"site:\r\n  id: a\r\n", b"\xef\xbb\xbf# nothing\n", b"site: { id: a }"]
    {
        assert_eq!(checked(&file, bytes).0, 0, "{bytes:?}");
    }
}

#[test]
fn a_file_that_no_person_wrote_is_refused_at_once() {
    let folder = filled();
    let file = folder.path().join("haetae.yaml");
    let nested = |open: &str, close: &str| format!("site: {}{}\n", open.repeat(5_000), close.repeat(5_000));
    let steps: String = (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let aliases = format!("site: &a {{ id: b }}\nnetworks: {{ home: [{}] }}\n", "*a, ".repeat(100_000));
    let large = format!("site: {{ id: a }}\n{}", "# a line\n".repeat(200_000));
    for text in [nested("[", "]"), nested("{ a: ", "}"), steps, aliases, large] {
        let begun = std::time::Instant::now();
        let (code, _, complaints) = checked(&file, text.as_bytes());
        assert_eq!(code, 78, "{complaints}");
        assert!(complaints.contains("haetae.yaml:") && complaints.lines().count() == 3, "{complaints}");
        assert!(begun.elapsed().as_secs() < 10, "it took {:?}", begun.elapsed());
    }
}

/// What a member may get wrong in the gate file: its text; place, beginning and help of what is said.
static GATE: &[(&str, &str, &str, &str)] = &[
    ("# one\ntlp_maximum: green\n", "2:1", "error: gate: tlp_maximum: unknown option", "tlp_max"),
    ("tlp_max: purple\n", "1:10", "error: gate: tlp_max: `purple` is not one of", "clear, green"),
    ("leave: [time, src_ip]\n", "1:15", "error: gate: leave[1]: `src_ip` is not known here", "one of time"),
    ("leave: time\n", "1:8", "error: gate: leave: must be a list", "[a, b]"),
    ("network_names: yes\n", "1:16", "error: gate: network_names: must be `true` or `false`", "true, false"),
    ("network_names: true\nnetwork_names: false\n", "2:1", "error: gate: duplicate", "given once"),
    ("tlp_max:\n\tgreen\n", "2:2", "error: gate: ", "spaces"),
    ("key: key.open\n", "1:6", "error: gate: key: ", "chmod 600"),
    (
        "pap_max: red\n",
        "1:10",
        "error: gate: pap_max: `red`: what is marked so never leaves to centre",
        "clear, green, amber",
    ),
    ("pap_max: amber+strict\n", "1:10", "error: gate: pap_max: `amber+strict` is not one of", "clear, green, amber"),
    ("sinks: { pigeon: {} }\n", "1:10", "error: gate: sinks.pigeon: unknown option", "misp"),
    ("sinks:\n  taxii:\n    tlp: red\n", "3:5", "error: gate: sinks.taxii.tlp: unknown option", "tlp_max"),
    (
        "sinks: { misp: { tlp_max: red } }\n",
        "1:27",
        "error: gate: sinks.misp.tlp_max: `red`: what is marked so never",
        "clear",
    ),
    (
        "sinks:\n  taxii:\n    leave: [time, asset]\n",
        "3:19",
        "error: gate: sinks.taxii.leave[1]: `asset` has no place",
        "any of time",
    ),
    (
        "sinks: { cef: { leave: [payload] } }\n",
        "1:25",
        "error: gate: sinks.cef.leave[0]: `payload` is not known here",
        "one of time",
    ),
    ("leave: [time, time]\n", "1:15", "error: gate: leave[1]: is given twice", "once"),
];

#[test]
fn what_is_wrong_with_the_gate_file_is_told_with_its_place_there() {
    let folder = filled();
    let gate = folder.path().join("gate.yaml");
    let config = "networks: { home: [10.0.0.0/8] }\ncentre: { url: \"http://[::1]/\", gate: gate.yaml }\n";
    for (text, place, begin, help) in GATE {
        fs::write(&gate, text).expect("a file");
        let (code, _, complaints) = checked(&folder.path().join("haetae.yaml"), config.as_bytes());
        let said: Vec<&str> = complaints.lines().collect();
        let at = format!("  --> {}:{place}   help: ", gate.display());
        let sound = code == 78 && said.len() == 3 && said[0].starts_with(begin) && said[1].starts_with(&at);
        assert!(sound && said[1].contains(help), "{text}{complaints}");
    }
    for text in [
        "",
        "# nothing\n",
        "tlp_max: red\nleave: []\n",
        "sinks: { syslog: { pap_max: red, leave: [query] }, misp: {} }\n",
        "key: not.yet\n",
    ] {
        fs::write(&gate, text).expect("a file");
        assert_eq!(checked(&folder.path().join("haetae.yaml"), config.as_bytes()).0, 0, "{text}");
    }
}
