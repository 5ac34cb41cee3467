//! What opening a spool found, in numbers and names.

use std::path::PathBuf;

/// What opening a spool found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records that wait for delivery.
    pub waiting: u64,
    /// Records that were durable once and cannot be read any more, by the gaps in their sequence. What is missing of the last
    /// flush is not among them: power that goes in the middle of it leaves the same.
    pub lost: u64,
    /// Bytes at the ends of segments that were no whole record; they have been cut.
    pub torn_bytes: u64,
    /// Bytes between records that are none.
    pub damaged_bytes: u64,
    /// Segment headers that did not hold; their records were read all the same.
    pub headers_damaged: u64,
    /// Records that do not follow the one before them, though their numbers do.
    pub links_broken: u64,
    /// The cursor could not be read: records may be delivered again, under the same identity.
    pub cursor_lost: bool,
    /// Segments under another's name; they were read all the same.
    pub misplaced: Vec<PathBuf>,
    /// Segments that were cut by somebody else: of what is missing of them nobody knows how much it was.
    pub shortened: Vec<PathBuf>,
    /// Files in the directory that are not this spool's.
    pub foreign: Vec<PathBuf>,
}

impl Recovery {
    /// Whether something is there that no power cut leaves.
    pub fn is_damaged(&self) -> bool {
        self.damage() > 0
    }

    /// How many things are wrong that no power cut leaves: records that are gone or do not follow, files, cursors.
    pub fn damage(&self) -> u64 {
        let named = self.misplaced.len() + self.shortened.len() + self.foreign.len();
        self.lost + self.links_broken + named as u64 + u64::from(self.cursor_lost)
    }

    /// Adds up.
    pub(super) fn add(&mut self, other: &Recovery) {
        self.waiting += other.waiting;
        self.lost += other.lost;
        self.torn_bytes += other.torn_bytes;
        self.damaged_bytes += other.damaged_bytes;
        self.headers_damaged += other.headers_damaged;
        self.links_broken += other.links_broken;
        self.cursor_lost |= other.cursor_lost;
        self.misplaced.extend_from_slice(&other.misplaced);
        self.shortened.extend_from_slice(&other.shortened);
        self.foreign.extend_from_slice(&other.foreign);
    }
}
