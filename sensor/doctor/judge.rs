//! From facts to findings: pure functions, one for each question, in tables.
//!
//! In: [`Facts`]. Out: [`Finding`]s, the gravest first, each with what was seen and what to type. Never here: a question to the
//! machine.

use super::codes::Code;
use super::facts::Facts;
use super::{about_machine, about_port, about_traffic};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The sensor does not start, or does not see what it should.
    Error,
    /// It sees less than it could, or somebody should look.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// `error`.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub code: &'static Code,
    /// How grave.
    pub severity: Severity,
    /// What was seen, in numbers.
    pub seen: String,
    /// What to do, a line each; what is in backquotes is typed.
    pub advice: Vec<String>,
}

impl Finding {
    pub(super) fn new<const N: usize>(
        code: &'static Code,
        severity: Severity,
        seen: String,
        advice: [String; N],
    ) -> Finding {
        Finding { code, severity, seen, advice: advice.into() }
    }
}

/// A question: what it finds.
pub(super) type Question = fn(&Facts) -> Vec<Finding>;

/// Everything that is wrong, the gravest first; of one severity in the order of the questions.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let questions = about_port::QUESTIONS.iter().chain(about_traffic::QUESTIONS).chain(about_machine::QUESTIONS);
    let mut findings: Vec<Finding> = questions.flat_map(|question: &Question| question(facts)).collect();
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// A share in percent, rounded down; 0 of nothing.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 100).checked_div(u128::from(whole)).unwrap_or_default() as u64
}
