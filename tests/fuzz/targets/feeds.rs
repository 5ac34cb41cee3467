//! Files of intelligence: what was not taken is refused with its line, and what was taken is what it says it is.

use std::path::PathBuf;

use haetae::feed::{self, Policy};
use haetae::indicator::Entry;

use super::{Allowed, arena};

/// The shortest entry of a list is two bytes with the end of its line, and one entry can be two values.
const RECORDS: Allowed = Allowed { per_byte: 1, at_least: 2 };

/// A file of the format with this ending.
pub fn read(ending: &str, input: &[u8]) -> usize {
    let name = PathBuf::from(format!("fuzz.{ending}"));
    let Ok(loaded) = feed::read(&name, input, &Policy::default()) else { return 0 };
    let refused: u64 = loaded.refused.values().sum();
    RECORDS.hold("records taken", loaded.taken, input.len());
    RECORDS.hold("records refused", refused as usize, input.len());
    assert!(loaded.refusals.len() as u64 <= refused, "more refusals are kept than were counted");
    assert!(loaded.set.len() <= loaded.taken, "more entries than records");
    // YAML takes a lone carriage return for the end of a line, too
    let lines = input.split(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
    for refusal in &loaded.refusals {
        assert!((1..=lines).contains(&refusal.line), "{refusal}: {lines} lines");
        assert!(!refusal.reason.contains('\n') && !refusal.reason.is_empty(), "{refusal}: not one line");
    }
    for at in 0..loaded.set.len() {
        let (kind, value) = loaded.set.value(Entry(at as u32));
        arena::is_settled(kind, value);
    }
    loaded.set.len()
}
