//! The table of benches, what README says of them, and what is counted in CI agree.

#[path = "bench/names.rs"]
mod names;

use std::collections::BTreeSet;
use std::fs;

use crate::tidy::source::root;
use names::{BENCHES, Row};

fn text(file: &str) -> String {
    fs::read_to_string(root().join("tests/bench").join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn named(rows: impl Iterator<Item = &'static Row>) -> BTreeSet<String> {
    rows.map(|row| row.name.to_string()).collect()
}

#[test]
fn readme_has_a_line_for_each_bench_with_its_unit_and_for_nothing_else() {
    let readme = text("README.md");
    let cells = readme.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((name.to_string(), rest.split(" | ").next()?.to_string()))
    });
    let said: BTreeSet<(String, String)> = cells.collect();
    let rows: BTreeSet<(String, String)> =
        BENCHES.iter().map(|row| (row.name.to_string(), row.unit.to_string())).collect();
    assert_eq!(said, rows, "tests/bench/README.md and tests/bench/names.rs");
}

#[test]
fn instructions_are_counted_of_the_benches_that_say_so() {
    let counted: serde_json::Value = serde_json::from_str(&text("instructions.json")).expect("JSON");
    for key in ["rustc", "machine", "profile"] {
        assert!(counted[key].as_str().is_some_and(|said| !said.is_empty()), "instructions.json says no {key}");
    }
    let counts = counted["instructions"].as_object().expect("counts by name");
    let names: BTreeSet<String> = counts.keys().cloned().collect();
    assert_eq!(names, named(BENCHES.iter().filter(|row| row.counted)), "instructions.json and tests/bench/names.rs");
    for (name, count) in counts {
        let count = count.as_u64().unwrap_or_default();
        assert!(
            (100_000..1_000_000_000).contains(&count),
            "{name}: {count} instructions are too few or too many to gate"
        );
    }
}

#[test]
fn a_bench_is_named_once_and_groups_lie_together() {
    assert_eq!(named(BENCHES.iter()).len(), BENCHES.len(), "a name stands twice");
    let group = |row: &Row| row.name.split('-').next().unwrap_or_default().to_string();
    let groups: Vec<String> =
        BENCHES.chunk_by(|one, other| group(one) == group(other)).map(|rows| group(&rows[0])).collect();
    assert_eq!(groups, ["path", "stages", "lookups", "build"]);
}
