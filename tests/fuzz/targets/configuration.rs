//! The configuration: taken, or refused with places that are in the text.

use std::path::Path;

use haetae::config::{self, Place, Refused};

use super::Allowed;

/// One fault for a word of one letter and what parts it from the next; and what a file as a whole can lack.
const FAULTS: Allowed = Allowed { per_byte: 1, at_least: 16 };

/// A configuration file's text; what is not UTF-8 is refused before anybody reads it, so it is made so here.
pub fn read(input: &[u8]) -> usize {
    let text = String::from_utf8_lossy(input);
    let folder = Path::new("/nonexistent");
    let Err(refused) = config::parse("f", &text, folder, &[], &|_| None) else { return 1 };
    let Refused::Faulty(faults) = refused else { return 0 };
    assert!(!faults.is_empty(), "refused for no reason");
    FAULTS.hold("faults", faults.len(), input.len());
    let lines = lines(&text);
    for fault in faults {
        assert!(!fault.problem.is_empty(), "a fault that says nothing");
        if let Place::File { line, column, file } = &fault.place {
            assert!(*column > 0 && (1..=lines).contains(line) || file != "f", "{fault}: {lines} lines");
        }
    }
    0
}

/// Lines as YAML parts them (1.2.2, section 5.4): a carriage return ends one by itself too.
fn lines(text: &str) -> u64 {
    let breaks = text.replace("\r\n", "\n").bytes().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
    breaks as u64 + 1
}
