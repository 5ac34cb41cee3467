//! Captures that nobody here made: each is read to its end, nothing panics, and the books balance.
//!
//! The corpus lies beside the repository, not in it. Without it these tests say so and pass; where `CI` is set they fail.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::binary;

/// Many captures in one command: starting a process costs more than reading a small file.
const CAPTURES_PER_COMMAND: usize = 100;

/// Captures whose `packets` count custom blocks, which hold no packets (pcapng draft, section 4.9), and how many packets
/// there are.
const CUSTOM_BLOCKS_COUNTED: [(&str, u64); 4] = [
    ("pcap-parser__test017-be", 0),
    ("pcap-parser__test017-le", 0),
    ("gopacket__be_test102", 5),
    ("gopacket__le_test018", 4),
];

/// The folder that holds `corpus/`, or `None` with a loud word.
pub fn shared() -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("HAETAE_SHARED").map(PathBuf::from);
    let places = named.into_iter().chain([manifest.join("../shared"), manifest.join("../../shared")]);
    let found = places.into_iter().find(|place| place.join("corpus/cases.jsonl").is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "no corpus found: set HAETAE_SHARED to the folder that holds it");
        eprintln!("\n*** NO CORPUS: NOTHING WAS TESTED. Set HAETAE_SHARED to the folder that holds corpus/. ***\n");
    }
    found
}

struct Capture {
    path: PathBuf,
    packets: Option<u64>,
}

fn captures(corpus: &Path) -> Vec<Capture> {
    let mut packets = HashMap::new();
    let cases = std::fs::read(corpus.join("cases.jsonl")).expect("cases.jsonl");
    for case in binary::lines(&cases).expect("cases.jsonl") {
        if let Some(file) = case["file"].as_str() {
            packets.insert(corpus.join(file), case["packets"].as_u64());
        }
    }
    let mut all = Vec::new();
    for folder in ["pcap", "robust"] {
        for entry in std::fs::read_dir(corpus.join(folder)).expect(folder) {
            let path = entry.expect(folder).path();
            all.push(Capture { packets: packets.get(&path).copied().flatten(), path });
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

#[test]
fn every_capture_is_read_to_its_end_and_accounted_for() {
    let Some(shared) = shared() else { return };
    let all = captures(&shared.join("corpus"));
    let mut failures: Vec<String> = all.chunks(CAPTURES_PER_COMMAND).flat_map(read_together).collect();
    failures.sort();
    assert!(failures.is_empty(), "{} of {} captures failed\n{}", failures.len(), all.len(), failures.join("\n"));
}

/// Reads a group in one command; when that fails, each alone, so that the message names the capture.
fn read_together(group: &[Capture]) -> Vec<String> {
    match read(group) {
        Ok(wrong) => wrong,
        Err(why) if group.len() == 1 => vec![format!("{}: {why}", group[0].path.display())],
        Err(_) => group.chunks(1).flat_map(read_together).collect(),
    }
}

fn read(group: &[Capture]) -> Result<Vec<String>, String> {
    let out = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (events, stats) = (out.path().join("events"), out.path().join("stats.json"));
    std::fs::create_dir(&events).map_err(|e| e.to_string())?;
    let mut command = binary::haetae();
    command.arg("replay").args(group.iter().map(|capture| &capture.path));
    command.arg("--events-dir").arg(&events).arg("--stats").arg(&stats);
    binary::healthy(&command.output().map_err(|e| e.to_string())?)?;
    let stats: Value = serde_json::from_slice(&std::fs::read(&stats).map_err(|e| e.to_string())?)
        .map_err(|e| format!("stats: {e}"))?;
    binary::balanced(&stats)?;
    let accounts = stats["captures"].as_array().map_or(0, Vec::len);
    if accounts != group.len() {
        return Err(format!("{accounts} accounts for {} captures", group.len()));
    }
    Ok(group.iter().filter_map(|capture| miscounted(capture, &events)).collect())
}

/// The complaint about a capture whose number of packets is known and was not found.
fn miscounted(capture: &Capture, events: &Path) -> Option<String> {
    let name = capture.path.file_stem()?.to_string_lossy();
    let known = CUSTOM_BLOCKS_COUNTED.iter().find(|(stem, _)| *stem == name);
    let expected = known.map_or(capture.packets, |(_, packets)| Some(*packets))?;
    let found = std::fs::read(events.join(format!("{name}.eve.json"))).ok().and_then(|bytes| packets_in(&bytes));
    (found != Some(expected)).then(|| format!("{}: {found:?} packets, not {expected}", capture.path.display()))
}

/// What the final `stats` event says.
fn packets_in(events: &[u8]) -> Option<u64> {
    let last = events.split(|&b| b == b'\n').rfind(|line| !line.is_empty())?;
    let event: Value = serde_json::from_slice(last).ok()?;
    event.pointer("/stats/decoder/pkts")?.as_u64()
}
