//! `haetae rules test`: runs the tests that rule files bring along, by replaying their captures.
//!
//! In: `tests:` of rule files. Out: a line per failing test, and how many there are. Never here: how a capture is read.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use super::arguments::Site;
use super::screen::{counted, plain};
use super::{Desk, Stop, exit, order};
use crate::config::{Output, Replay};
use crate::control::{self, Failure};
use crate::feed::{self, RuleTest};

impl Desk<'_> {
    pub(super) fn test_rules(&mut self, site: &Site) -> Result<u8, Stop> {
        let config = self.config(site, "no rule was tested")?;
        let paths = order::rules(site, &config);
        if paths.is_empty() {
            return self.usage("which rules? -S RULES, or -c FILE with `rules:`");
        }
        self.all_there(&paths)?;
        let replay = Replay { rules: paths, config, workers: 1, batch: order::BATCH_DEFAULT, ..Replay::default() };
        match run(replay, self.out, self.complaints) {
            Ok(true) => Ok(exit::SOUND),
            Ok(false) => Ok(exit::MATCHED),
            Err(failure) => self.failed(&failure),
        }
    }
}

/// Runs all tests of the replay's rules; whether all passed.
///
/// # Errors
/// Captures and rules that cannot be read, an output that cannot be written.
pub fn run(mut replay: Replay, out: &mut dyn Write, complaints: &mut dyn Write) -> Result<bool, Failure> {
    let tests = feed::tests(&replay.rules).map_err(Failure::of_rules)?;
    let folder = std::env::temp_dir().join(format!("haetae-rules-test-{}", std::process::id()));
    // Not `create_dir_all`: a folder that somebody else has put there is not ours to write into.
    std::fs::create_dir(&folder).map_err(|error| Failure::Io(folder.clone(), error))?;
    let alerts = folder.join("alerts.json");
    replay.alerts = Some(Output::File(alerts.clone()));
    let mut fired = |capture: &Path| {
        replay.paths = vec![capture.to_path_buf()];
        control::replay(&replay, &mut io::sink())?;
        let lines = std::fs::read_to_string(&alerts).map_err(|error| Failure::Io(alerts.clone(), error))?;
        Ok(values(&lines))
    };
    let result = judge_all(&tests, &mut fired, out, complaints);
    // What is left behind in a folder for temporary files hurts nobody.
    let _ = std::fs::remove_dir_all(&folder);
    result
}

fn judge_all(
    tests: &[RuleTest],
    fired: &mut dyn FnMut(&Path) -> Result<BTreeSet<String>, Failure>,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> Result<bool, Failure> {
    let written = |error| Failure::Io("standard output".into(), error);
    let mut failed = 0;
    for test in tests {
        let wrong = match fired(&test.pcap) {
            // A capture that is not there fails its own test and no other.
            Err(Failure::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => vec![error.to_string()],
            result => judge(test, &result?),
        };
        failed += u64::from(!wrong.is_empty());
        for problem in wrong {
            let (file, pcap) = (test.file.display(), test.pcap.display());
            writeln!(complaints, "{file}:{}: {pcap}: {problem}", test.line).map_err(written)?;
        }
    }
    let total = counted(tests.len() as u64, ["rule test", "rule tests"]);
    writeln!(out, "{total}, {failed} failed").map_err(written)?;
    Ok(failed == 0)
}

/// What is wrong with the outcome of a test.
fn judge(test: &RuleTest, fired: &BTreeSet<String>) -> Vec<String> {
    let has = |value: &String| fired.contains(&value.to_lowercase());
    let missing = test.fires.iter().filter(|value| !has(value)).map(|value| format!("{} did not fire", plain(value)));
    let extra = test.silent.iter().filter(|value| has(value)).map(|value| format!("{} fired", plain(value)));
    missing.chain(extra).collect()
}

/// All values of the alerts' indicators, as they are listed and as they were seen.
fn values(lines: &str) -> BTreeSet<String> {
    let records = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut values = BTreeSet::new();
    for record in records {
        let iocs = record.pointer("/alert/context/ioc").and_then(|list| list.as_array()).cloned().unwrap_or_default();
        for (ioc, key) in iocs.iter().flat_map(|ioc| [(ioc, "value"), (ioc, "seen")]) {
            values.extend(ioc.get(key).and_then(|value| value.as_str()).map(str::to_lowercase));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(fires: &[&str], silent: &[&str]) -> RuleTest {
        let owned = |list: &[&str]| list.iter().map(|one| one.to_string()).collect();
        let (file, pcap) = ("rules/apt.yaml".into(), "a.pcap".into());
        RuleTest { file, line: 9, pcap, fires: owned(fires), silent: owned(silent) }
    }

    fn judged(list: &[RuleTest]) -> (bool, String) {
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let mut fired = |capture: &Path| {
            assert_eq!(capture, Path::new("a.pcap"));
            Ok(BTreeSet::from(["bad.example".to_string(), "c2.bad.example".to_string()]))
        };
        let sound = judge_all(list, &mut fired, &mut out, &mut complaints).expect("it can be written");
        (sound, String::from_utf8([complaints, out].concat()).expect("text"))
    }

    #[test]
    fn a_test_passes_when_what_must_fires_and_nothing_else() {
        assert_eq!(judged(&[test(&["BAD.example"], &["www.example.test"])]), (true, "1 rule test, 0 failed\n".into()));
    }

    #[test]
    fn a_failing_test_names_its_line_and_what_went_wrong() {
        let (sound, text) = judged(&[test(&["worse.example"], &["c2.bad.example"])]);
        assert!(!sound);
        assert_eq!(
            text,
            "rules/apt.yaml:9: a.pcap: worse.example did not fire\nrules/apt.yaml:9: a.pcap: c2.bad.example fired\n\
             1 rule test, 1 failed\n"
        );
    }

    #[test]
    fn listed_and_seen_values_are_read_from_alerts() {
        let line = r#"{"alert":{"context":{"ioc":[{"value":"bad.example","seen":"C2.bad.example"}]}}}"#;
        let values = values(&format!("{line}\nnot json\n"));
        assert_eq!(values.into_iter().collect::<Vec<_>>(), ["bad.example", "c2.bad.example"]);
    }
}
