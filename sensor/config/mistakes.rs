//! Several mistakes at once, and files in which chance has written. Single mistakes, each with its place and hint, are in
//! `tests/config/`.

use std::path::Path;

use proptest::prelude::*;

use super::{Fault, Place, Refused, manual, parse};

fn faults(text: &str) -> Vec<Fault> {
    match parse("h.yaml", text, Path::new(""), &[], &|_| None) {
        Err(Refused::Faulty(faults)) => faults,
        other => panic!("not refused for its faults: {text}{other:?}"),
    }
}

fn paths(text: &str) -> Vec<String> {
    faults(text).into_iter().map(|fault| fault.path).collect()
}

#[test]
fn a_faulty_networks_section_is_not_called_missing() {
    assert_eq!(paths("networks: 10.0.0.0/8\ncentre: { url: \"http://[::1]/\" }\n"), ["networks"]);
}

#[test]
fn all_mistakes_of_a_file_are_told_in_the_order_of_its_lines() {
    let text = "limits: { workers: 0, flows: 1 }\nsite: { id: \"a b\", language: fr }\nnetworks: { home: [x] }\n\
                capture: [{ interface: a, ring: 1 }, {}]\nlogs: { level: loud }\nmetrics: { listen: x }\n";
    assert_eq!(
        paths(text),
        [
            "limits.workers",
            "limits.flows",
            "site.id",
            "site.language",
            "networks.home[0]",
            "capture[0].ring",
            "capture[1]",
            "logs.level",
            "metrics.listen"
        ]
    );
}

#[test]
fn an_argument_that_is_wrong_says_so_itself() {
    let sets = ["limits.workers=0", "nonsense", "site.id=[", "logs.level=yes"].map(str::to_string);
    let Err(Refused::Faulty(faults)) = parse("h.yaml", "", Path::new(""), &sets, &|_| None) else {
        panic!("it is wrong")
    };
    let told: Vec<String> = faults.iter().map(|fault| fault.place.to_string()).collect();
    assert_eq!(told, ["--set nonsense", "--set site.id=[", "--set limits.workers=0", "--set logs.level=yes"]);
}

/// What a hasty hand does to a line.
#[derive(Clone, Debug)]
enum Slip {
    Drop,
    Double,
    SwapWithNext,
    Indent(usize),
    Put(usize, String),
    Cut(usize, usize),
    Comment,
    Uncomment,
}

/// What means something to YAML, or to an option.
static SIGNS: &[&str] = &[
    ":",
    " ",
    "#",
    "-",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "'",
    "&a ",
    "*a",
    "!x ",
    "|",
    ">",
    "%",
    "@",
    "`",
    "\t",
    "~",
    "null",
    "yes",
    "0",
    "-1",
    "9999999999999999999999",
    "1e9",
    ".nan",
    "${X}",
    "${",
    "\u{0}",
    "\u{feff}",
    "\r",
    "\u{85}",
    "\u{2028}",
    "\u{1f47a}",
    "<<: ",
    "? ",
    "---",
    "...",
    "/",
    "\\",
    "0x",
    "10.0.0.0/8",
    "::/0",
    "GiB",
];

fn slip() -> impl Strategy<Value = Slip> {
    let signs = prop::sample::select(SIGNS);
    prop_oneof![
        Just(Slip::Drop),
        Just(Slip::Double),
        Just(Slip::SwapWithNext),
        (0..9usize).prop_map(Slip::Indent),
        (0..80usize, signs.prop_map(str::to_string)).prop_map(|(at, sign)| Slip::Put(at, sign)),
        (0..80usize, ".{1,4}").prop_map(|(at, text)| Slip::Put(at, text)),
        (0..80usize, 1..20usize).prop_map(|(at, count)| Slip::Cut(at, count)),
        Just(Slip::Comment),
        Just(Slip::Uncomment),
    ]
}

fn slipped(text: &str, slips: &[(usize, Slip)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    for (at, slip) in slips {
        let at = at % lines.len();
        let letters: Vec<char> = lines[at].chars().collect();
        let cut = |from: usize, count: usize| {
            let from = from.min(letters.len());
            (String::from_iter(&letters[..from]), String::from_iter(letters.iter().skip(from + count)))
        };
        match slip {
            Slip::Drop => lines[at].clear(),
            Slip::Double => lines.insert(at, lines[at].clone()),
            Slip::SwapWithNext => {
                let next = (at + 1) % lines.len();
                lines.swap(at, next);
            }
            Slip::Indent(by) => lines[at] = " ".repeat(*by) + lines[at].trim_start(),
            Slip::Put(from, text) => {
                let (before, behind) = cut(*from % (letters.len() + 1), 0);
                lines[at] = before + text + &behind;
            }
            Slip::Cut(from, count) => {
                let (before, behind) = cut(*from % (letters.len() + 1), *count);
                lines[at] = before + &behind;
            }
            Slip::Comment => lines[at].insert(0, '#'),
            Slip::Uncomment => lines[at] = lines[at].replacen('#', "", 1),
        }
    }
    lines.join("\n") + "\n"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever is written: it is taken, or refused at a place within it, with words and a way out.
    #[test]
    fn a_hasty_hand_is_told_where_it_slipped(
        slips in prop::collection::vec((any::<usize>(), slip()), 1..6),
        all in any::<bool>(),
    ) {
        let text = if all { manual::switched_on(manual::TEXT) } else { manual::TEXT.to_string() };
        let text = slipped(&text, &slips);
        match parse("h.yaml", &text, Path::new("/nowhere"), &[], &|_| None) {
            Ok(_) => {}
            Err(Refused::Unreadable(..)) => panic!("no file was read"),
            Err(Refused::Faulty(faults)) => {
                prop_assert!(!faults.is_empty());
                for fault in faults {
                    prop_assert!(!fault.problem.is_empty() && !fault.help.is_empty(), "{}", fault);
                    prop_assert_eq!(fault.to_string().lines().count(), 2, "{}", fault);
                    let Place::File { line, column, .. } = fault.place else { panic!("{fault}") };
                    // Some ends of a line are none for `lines`, and the end of the file is a place too.
                    let ends = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() as u64;
                    prop_assert!((1..=ends + 1).contains(&line) && column >= 1, "{}", fault);
                }
            }
        }
    }
}
