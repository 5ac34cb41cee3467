//! Lanes: how urgent a record is. Each has its own order, its own watermark and its own share of the disk.

use std::fmt;

/// A lane; the most urgent is the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Goes first, and is given up last.
    Critical,
    /// What is neither.
    Normal,
    /// Goes last, and is given up first.
    Low,
}

impl Lane {
    /// All of them, the most urgent first.
    pub const ALL: [Lane; 3] = [Lane::Critical, Lane::Normal, Lane::Low];

    /// Its word in metrics, and its directory.
    pub const fn name(self) -> &'static str {
        match self {
            Lane::Critical => "critical",
            Lane::Normal => "normal",
            Lane::Low => "low",
        }
    }

    /// Its place in [`Lane::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
