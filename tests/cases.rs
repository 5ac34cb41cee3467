//! `pcaps/<case>/`: own traffic with known truth. Every case is replayed in every schedule and must tell the same story,
//! and that story must be the truth. `UPDATE_CASES=1` writes what was found as the new truth: read the difference before
//! committing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::binary::{self, Replay, Run};

/// Captures are for reading, not for weight.
const CAPTURE_BYTES_MAX: u64 = 200_000;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root).expect("pcaps/").map(|e| e.expect("entry").path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn every_case_tells_its_truth_whatever_the_schedule() {
    let failures: Vec<String> =
        cases().iter().filter_map(|case| check(case).err().map(|why| format!("{}: {why}", case.display()))).collect();
    assert!(failures.is_empty(), "{} cases failed\n\n{}", failures.len(), failures.join("\n\n"));
}

fn check(case: &Path) -> Result<(), String> {
    let replay = prepared(case);
    let first = replay.run(1, 64)?;
    for (workers, batch) in binary::schedules() {
        let run = replay.run(workers, batch)?;
        let schedule = format!("{workers} workers, batches of {batch}");
        same(&first, &run).map_err(|why| format!("{schedule}: {why}"))?;
        if binary::balanced(&run.stats).map_err(|why| format!("{schedule}: {why}"))? == 0 {
            return Err("no accounting in the stats".into());
        }
    }
    let found = reduced(&binary::lines(&first.alerts)?);
    compare(&case.join("alerts.jsonl"), &found)
}

fn prepared(case: &Path) -> Replay<'_> {
    let mut options = Vec::new();
    if case.join("haetae.yaml").exists() {
        options = vec!["-c".to_string(), "haetae.yaml".to_string()];
    }
    Replay { folder: case, captures: vec![capture_of(case).into()], rules: Some("indicators.yaml".into()), options }
}

/// The one capture file of a case; compressed ones are cases of their own.
fn capture_of(case: &Path) -> &'static str {
    let names = ["traffic.pcap", "traffic.pcap.gz", "traffic.pcap.zst"];
    let there: Vec<&str> = names.into_iter().filter(|name| case.join(name).is_file()).collect();
    assert_eq!(there.len(), 1, "{}: one of {names:?}, found {there:?}", case.display());
    there[0]
}

fn same(one: &Run, other: &Run) -> Result<(), String> {
    let alerts = binary::difference("alerts", &one.alerts, &other.alerts);
    alerts.or_else(|| binary::difference("events", &one.events, &other.events)).map_or(Ok(()), Err)
}

fn compare(truth: &Path, found: &[String]) -> Result<(), String> {
    if std::env::var_os("UPDATE_CASES").is_some() {
        let text: String = found.iter().map(|line| format!("{line}\n")).collect();
        return std::fs::write(truth, text).map_err(|e| e.to_string());
    }
    let mut expected: Vec<String> =
        std::fs::read_to_string(truth).map_err(|e| e.to_string())?.lines().map(str::to_string).collect();
    expected.sort();
    if expected == found {
        return Ok(());
    }
    let list = |title: &str, of: &[String], but: &[String]| {
        let lines: Vec<String> = without(of, but).into_iter().map(|l| format!("  {title} {l}")).collect();
        lines.join("\n")
    };
    Err(format!("{}\n{}", list("missing", &expected, found), list("too many", found, &expected)))
}

/// The lines of one multiset that the other does not have.
fn without(of: &[String], but: &[String]) -> Vec<String> {
    let mut rest = but.to_vec();
    let mut left = Vec::new();
    for line in of {
        match rest.iter().position(|other| other == line) {
            Some(at) => drop(rest.swap_remove(at)),
            None => left.push(line.clone()),
        }
    }
    left
}

/// Each alert at its highest revision, cut down to the fields that a truth line has, sorted.
fn reduced(records: &[Value]) -> Vec<String> {
    let mut latest: BTreeMap<String, &Value> = BTreeMap::new();
    for (number, record) in records.iter().enumerate() {
        let key = record.pointer("/alert/context/haetae/id").map_or(format!("line {number}"), Value::to_string);
        let revision = |r: &Value| r.pointer("/alert/context/haetae/revision").and_then(Value::as_u64);
        if latest.get(&key).is_none_or(|known| revision(known) <= revision(record)) {
            latest.insert(key, record);
        }
    }
    let mut lines: Vec<String> = latest.values().map(|record| truth_of(record).to_string()).collect();
    lines.sort();
    lines
}

/// Addresses as the connection has them, not as the packet: `src_ip` is who asked.
fn truth_of(record: &Value) -> Value {
    let backwards = record.get("direction").and_then(Value::as_str) == Some("to_client");
    let (src, dest, port) =
        if backwards { ("/dest_ip", "/src_ip", "/src_port") } else { ("/src_ip", "/dest_ip", "/dest_port") };
    let mut truth = Map::new();
    for (name, place) in [
        ("type", "/alert/context/ioc/0/type"),
        ("value", "/alert/context/ioc/0/value"),
        ("seen_in", "/alert/context/ioc/0/seen_in"),
        ("src_ip", src),
        ("dest_ip", dest),
        ("dest_port", port),
        ("proto", "/proto"),
        ("stage", "/alert/context/haetae/contact/stage"),
        ("direction", "/alert/context/haetae/direction"),
    ] {
        truth.insert(name.into(), record.pointer(place).cloned().unwrap_or(Value::Null));
    }
    Value::Object(truth)
}

#[test]
fn a_case_is_whole_and_small() {
    let all = cases();
    assert!(all.len() >= 8, "only {} cases", all.len());
    for case in all {
        for file in [capture_of(&case), "indicators.yaml", "alerts.jsonl", "NOTE.md"] {
            assert!(case.join(file).is_file(), "{}: no {file}", case.display());
        }
        let bytes = std::fs::metadata(case.join(capture_of(&case))).expect("capture").len();
        assert!(bytes <= CAPTURE_BYTES_MAX, "{}: {bytes} bytes of capture", case.display());
        let truth = std::fs::read(case.join("alerts.jsonl")).expect("alerts.jsonl");
        binary::lines(&truth).unwrap_or_else(|why| panic!("{}: {why}", case.display()));
    }
}

#[test]
fn the_highest_revision_counts_and_the_one_who_asked_is_the_source() {
    let record = |revision: u32, stage: &str| {
        serde_json::json!({"src_ip": "198.51.100.10", "src_port": 80, "dest_ip": "10.77.0.2", "dest_port": 40000,
            "proto": "TCP", "direction": "to_client", "alert": {"context": {
                "ioc": [{"type": "sha256", "value": "00", "seen_in": "fileinfo.sha256"}],
                "haetae": {"id": "a", "revision": revision, "direction": "outbound", "contact": {"stage": stage}}}}})
    };
    assert_eq!(
        reduced(&[record(1, "established"), record(2, "data")]),
        [concat!(
            r#"{"type":"sha256","value":"00","seen_in":"fileinfo.sha256","src_ip":"10.77.0.2","#,
            r#""dest_ip":"198.51.100.10","dest_port":80,"proto":"TCP","stage":"data","direction":"outbound"}"#
        )]
    );
}
