//! The built binary as a user runs it, and what it left behind.
//!
//! In: captures, rules, options. Out: [`Run`], the bytes of every file that it wrote. Never here: the library's own types;
//! what is checked here is what a site sees.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Worker counts and batch sizes that no output may depend on.
pub fn schedules() -> impl Iterator<Item = (u32, u32)> {
    (1..=4).flat_map(|workers| [1, 7, 64].map(|batch| (workers, batch)))
}

/// A replay that is about to be made.
pub struct Replay<'a> {
    /// Where the command runs; relative paths in a configuration start here.
    pub folder: &'a Path,
    /// The captures.
    pub captures: Vec<PathBuf>,
    /// `-S`.
    pub rules: Option<PathBuf>,
    /// Anything else.
    pub options: Vec<String>,
}

/// What a replay wrote.
pub struct Run {
    /// `--alerts`.
    pub alerts: Vec<u8>,
    /// `--events`.
    pub events: Vec<u8>,
    /// `--stats`.
    pub stats: Value,
}

impl Replay<'_> {
    /// Runs it with so many workers and batches of that size.
    pub fn run(&self, workers: u32, batch: u32) -> Result<Run, String> {
        let out = tempfile::tempdir().map_err(|e| e.to_string())?;
        let file = |name: &str| out.path().join(name);
        let mut command = haetae();
        command.current_dir(self.folder).arg("replay").args(&self.captures).args(&self.options);
        if let Some(rules) = &self.rules {
            command.arg("-S").arg(rules);
        }
        command.arg("--workers").arg(workers.to_string()).arg("--batch-size").arg(batch.to_string());
        command.arg("--alerts").arg(file("alerts")).arg("--events").arg(file("events"));
        command.arg("--stats").arg(file("stats"));
        healthy(&command.output().map_err(|e| e.to_string())?)?;
        let read = |name: &str| std::fs::read(file(name)).map_err(|e| format!("{name}: {e}"));
        let stats = serde_json::from_slice(&read("stats")?).map_err(|e| format!("stats: {e}"))?;
        Ok(Run { alerts: read("alerts")?, events: read("events")?, stats })
    }
}

/// The binary of this build, hearing nothing from the surroundings.
pub fn haetae() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haetae"));
    command.env_remove("HAETAE_CONFIG").env_remove("HAETAE_LOG").env("NO_COLOR", "1");
    command
}

/// An exit of 0 and nothing about a panic.
pub fn healthy(output: &Output) -> Result<(), String> {
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("panicked at") {
        return Err(format!("panic: {said}"));
    }
    if output.status.success() { Ok(()) } else { Err(format!("{}: {said}", output.status)) }
}

/// Checks `handed_out = sum of fates` wherever there is an `accounting` with its `fates` beside it, and says how many there
/// were. The sum is made here, not believed.
pub fn balanced(stats: &Value) -> Result<usize, String> {
    let mut books = Vec::new();
    collect(stats, &mut books);
    for book in &books {
        let accounting = &book["accounting"];
        let handed_out = accounting["handed_out"].as_u64().ok_or(format!("no handed_out in {accounting}"))?;
        let fates = total(&book["fates"]);
        if handed_out != fates {
            return Err(format!("{handed_out} frames handed out, but {fates} fates: {}", book["fates"]));
        }
        if accounting["unaccounted"] != 0 || book.pointer("/fates/unaccounted").is_some() {
            return Err(format!("unaccounted frames: {accounting} {}", book["fates"]));
        }
    }
    Ok(books.len())
}

fn collect<'a>(value: &'a Value, books: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            if members.contains_key("accounting") {
                books.push(value);
            }
            members.values().for_each(|member| collect(member, books));
        }
        Value::Array(list) => list.iter().for_each(|member| collect(member, books)),
        _ => {}
    }
}

/// The sum of all numbers in a value: fates may be grouped by layer and reason.
fn total(value: &Value) -> u64 {
    match value {
        Value::Number(n) => n.as_u64().unwrap_or(0),
        Value::Object(members) => members.values().map(total).sum(),
        Value::Array(list) => list.iter().map(total).sum(),
        _ => 0,
    }
}

/// The lines of a file of JSON lines.
pub fn lines(bytes: &[u8]) -> Result<Vec<Value>, String> {
    bytes
        .split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).map_err(|e| format!("{e}: {}", String::from_utf8_lossy(line))))
        .collect()
}

/// Where two outputs part, for a message that a person can use.
pub fn difference(what: &str, one: &[u8], other: &[u8]) -> Option<String> {
    if one == other {
        return None;
    }
    let (mut a, mut b) = (one.split(|&b| b == b'\n'), other.split(|&b| b == b'\n'));
    let mut line = 1;
    loop {
        match (a.next(), b.next()) {
            (Some(x), Some(y)) if x == y => line += 1,
            (x, y) => {
                let text = |l: Option<&[u8]>| String::from_utf8_lossy(l.unwrap_or(b"(end)")).into_owned();
                return Some(format!("{what} part at line {line}:\n  {}\n  {}", text(x), text(y)));
            }
        }
    }
}

#[test]
fn books_that_do_not_balance_are_found() {
    let book = |fates: Value| {
        let accounting = serde_json::json!({"handed_out": 3, "unaccounted": 0});
        serde_json::json!({"captures": [{"accounting": accounting, "fates": fates}]})
    };
    assert_eq!(balanced(&book(serde_json::json!({"processed": 2, "malformed": {"ipv4_length": 1}}))), Ok(1));
    assert!(balanced(&book(serde_json::json!({"processed": 2}))).is_err());
    assert!(balanced(&book(serde_json::json!({"processed": 2, "unaccounted": 1}))).is_err());
    assert_eq!(balanced(&serde_json::json!({})), Ok(0));
}
