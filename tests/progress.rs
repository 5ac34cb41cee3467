//! How far a replay is, on a real terminal: `script` of util-linux makes one for each run. What a person has on the screen
//! is what a small terminal here makes of the bytes.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::wire::{self, Ends, Frame, Wrap};

/// How long the capture takes at its own pace: a bar shows itself after a while only.
const SECONDS: u64 = 2;

/// Names asked for below a listed one, some seconds long.
fn site() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let question = |number: u64| {
        let message = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03bad\x07example\0\0\x01\0\x01";
        let ends = Ends { from: ([10, 77, 0, number as u8].into(), 40_000), to: ([198, 51, 100, 53].into(), 53) };
        let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, message)), Wrap::Plain);
        let micros = 1_795_262_400_000_000 + number * SECONDS * 10_000;
        Frame { micros, wire_bytes: bytes.len() as u32, bytes }
    };
    let frames: Vec<Frame> = (0..=100).map(question).collect();
    std::fs::write(folder.path().join("a.pcap"), wire::pcap(&frames)).expect("a capture");
    let rules = "format: haetae/1\nindicators:\n  - { domain: bad.example, severity: high }\n";
    std::fs::write(folder.path().join("rules.yaml"), rules).expect("rules");
    folder
}

/// What a terminal gets when a shell runs this on it; `None`: nothing here makes terminals.
fn on_terminal(folder: &Path, words: &str, environment: &[(&str, &str)]) -> Option<String> {
    let mut command = Command::new("script");
    command.args(["-qec", words, "/dev/null"]).current_dir(folder).stdin(Stdio::null());
    for name in ["CI", "NO_COLOR", "HAETAE_CONFIG", "HAETAE_LOG"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm").env("HAETAE", env!("CARGO_BIN_EXE_haetae")).envs(environment.iter().copied());
    let Ok(output) = command.output() else {
        assert!(std::env::var_os("CI").is_none(), "needs script of util-linux, and CI has it");
        eprintln!("\n*** progress: NOT TESTED: no script(1) ***\n");
        return None;
    };
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{words}: {text}");
    Some(text)
}

/// What stands on the screen in the end: lines, a cursor that goes back, a line that is cleared.
fn screen(bytes: &str) -> Vec<String> {
    let (mut lines, mut column, mut rest) = (vec![Vec::new()], 0, bytes);
    while let Some(letter) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("\u{1b}[2K") {
            lines.last_mut().expect("a line").clear();
            rest = behind;
            continue;
        }
        rest = &rest[letter.len_utf8()..];
        match letter {
            '\r' => column = 0,
            '\n' => lines.push(Vec::new()),
            '\u{1b}' => panic!("a sequence that nobody knows: {rest:?}"),
            _ => {
                let line = lines.last_mut().expect("a line");
                line.resize(line.len().max(column + 1), ' ');
                line[column] = letter;
                column += 1;
            }
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
}

/// Without the one number that two runs do not share.
fn timeless(text: &str) -> String {
    let digits = |word: &str| word.contains('.') && word.parse::<f64>().is_ok();
    let lines = text.lines().map(|line| line.split(' ').filter(|word| !digits(word)).collect::<Vec<_>>().join(" "));
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

const REPLAY: &str = "\"$HAETAE\" -r a.pcap -S rules.yaml --pace real";

#[test]
fn a_bar_stands_on_the_terminal_and_no_byte_of_it_in_the_output() {
    let folder = site();
    let Some(shown) = on_terminal(folder.path(), &format!("{REPLAY} > out"), &[]) else { return };
    let bars: Vec<&str> = shown.split('\r').filter(|part| part.contains("packets, ")).collect();
    assert!(bars.len() > 3, "it moves: {shown:?}");
    for part in ["[", "%", " packets, ", "/s, ", " alert", "0:01 left"] {
        assert!(bars.iter().any(|bar| bar.contains(part)), "{part}: {bars:?}");
    }
    assert_eq!(screen(&shown), [""], "it is gone in the end: {shown:?}");
    on_terminal(folder.path(), &format!("{REPLAY} --no-progress > plain"), &[]).expect("a terminal");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    assert_eq!(timeless(&read("out")), timeless(&read("plain")));
    let lines = format!("{REPLAY} --alerts alerts --events - > events");
    let (read_bytes, with_bar) = (|name: &str| std::fs::read(folder.path().join(name)).expect(name), lines.as_str());
    assert!(on_terminal(folder.path(), with_bar, &[]).expect("a terminal").contains("packets, "));
    let (events, alerts) = (read_bytes("events"), read_bytes("alerts"));
    on_terminal(folder.path(), &format!("{lines} --no-progress"), &[]).expect("a terminal");
    assert_eq!((events, alerts), (read_bytes("events"), read_bytes("alerts")));
}

#[test]
fn a_person_reads_on_one_terminal_what_a_file_would_hold() {
    let folder = site();
    let Some(shown) = on_terminal(folder.path(), REPLAY, &[]) else { return };
    assert!(shown.contains("packets, ") && shown.contains("left"), "{shown:?}");
    on_terminal(folder.path(), &format!("{REPLAY} --no-progress > plain"), &[]).expect("a terminal");
    let plain = std::fs::read_to_string(folder.path().join("plain")).expect("plain");
    assert!(plain.contains("alert"), "{plain}");
    assert_eq!(timeless(&screen(&shown).join("\n")).trim_end(), timeless(&plain).trim_end());
}

#[test]
fn an_end_that_nobody_knows_has_no_share_and_the_sites_language_is_spoken() {
    let folder = site();
    let words = "cat a.pcap | \"$HAETAE\" -r - -S rules.yaml --pace real --set site.language=ko > out";
    let Some(shown) = on_terminal(folder.path(), words, &[]) else { return };
    for part in ["패킷 ", "초당 ", "경보 "] {
        assert!(shown.contains(part), "{part}: {shown:?}");
    }
    assert!(!shown.contains('%') && !shown.contains("남음"), "{shown:?}");
    let words = "\"$HAETAE\" -r a.pcap -S rules.yaml --pace real --set site.language=ko > out";
    let shown = on_terminal(folder.path(), words, &[]).expect("a terminal");
    assert!(shown.contains('%') && shown.contains("남음"), "{shown:?}");
    assert_eq!(screen(&shown), [""]);
}

#[test]
fn where_nobody_looks_there_is_not_one_byte_of_it() {
    let folder = site();
    let quiet: [(&str, &[(&str, &str)]); 7] = [
        (" --no-progress > out", &[]),
        (" > out", &[("CI", "true")]),
        (" > out", &[("TERM", "dumb")]),
        (" > out", &[("TERM", "")]),
        (" | cat > out", &[]),
        (" 2> err > out", &[]),
        (" 2>&1 > out | cat", &[]),
    ];
    std::thread::scope(|scope| {
        for (at, (words, environment)) in quiet.into_iter().enumerate() {
            let folder = folder.path();
            scope.spawn(move || {
                let own = words.replace("out", &format!("out-{at}"));
                let Some(shown) = on_terminal(folder, &format!("{REPLAY}{own}"), environment) else { return };
                assert_eq!(shown, "", "{words} {environment:?}");
            });
        }
    });
    if let Ok(complaints) = std::fs::read(folder.path().join("err")) {
        assert_eq!(complaints, b"");
    }
    let Some(shown) = on_terminal(folder.path(), &format!("{REPLAY} --alerts -"), &[]) else { return };
    assert!(shown.lines().all(|line| line.starts_with('{')), "lines for a machine have the terminal to themselves");
    let coloured = on_terminal(folder.path(), &format!("{REPLAY} > out"), &[("NO_COLOR", "1")]).expect("a terminal");
    assert!(coloured.contains("packets, ") && !coloured.contains("\u{1b}[3"), "no colour, in any case: {coloured:?}");
}
