//! What is wrong with a configuration, for the operator who has to mend it: the option, the reason, the place, a way out.
//!
//! In: findings from the reader and the checks. Out: lines of text. Never here: a file, an environment variable.

use std::fmt;

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file: line and column, from 1.
    File {
        /// The file, as it was named.
        file: String,
        /// Line.
        line: u64,
        /// Column, in characters.
        column: u64,
    },
    /// In the environment: the variable with its value.
    Environment(String),
    /// On the command line: the argument behind `--set`.
    Set(String),
    /// Nowhere: an option that is absent and should not be.
    Absent(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Place::Environment(variable) => f.write_str(variable),
            Place::Set(argument) => write!(f, "--set {argument}"),
            Place::Absent(file) => f.write_str(file),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The option: `outputs.eve.events[1]`; empty when the file as a whole is meant.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
    /// Where it is written.
    pub place: Place,
    /// A way out.
    pub help: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}\n  --> {}", self.problem, self.place)?;
        if !self.help.is_empty() {
            write!(f, "   help: {}", self.help)?;
        }
        Ok(())
    }
}

/// `outputs` and `eve` as `outputs.eve`.
pub(crate) fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_string() } else { format!("{parent}.{key}") }
}

/// A help text for a word that is none of `known`: the nearest one if it looks like a slip, else all of them.
pub(crate) fn suggest(word: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|one| (distance(word, one), *one)).min();
    match nearest {
        None => "nothing can be set here".to_string(),
        Some((apart, one)) if apart <= 1 + word.chars().count() / 4 => format!("did you mean `{one}`?"),
        Some(_) => format!("one of {}", known.join(", ")),
    }
}

/// How many letters must be added, dropped, changed or swapped with their neighbour to turn one word into the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    let mut last = None;
    for (row, letter) in one.chars().enumerate() {
        let mut here = vec![row + 1];
        for (column, &against) in other.iter().enumerate() {
            let change = above[column] + usize::from(letter != against);
            let mut best = change.min(above[column + 1] + 1).min(here[column] + 1);
            if column > 0 && last == Some(against) && letter == other[column - 1] {
                best = best.min(before[column - 1] + 1);
            }
            here.push(best);
        }
        before = std::mem::replace(&mut above, here);
        last = Some(letter);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_the_option_the_place_and_a_way_out() {
        let place = Place::File { file: "/etc/haetae/haetae.yaml".into(), line: 21, column: 9 };
        let fault = Fault {
            path: "centre.gate".into(),
            problem: "file not found: gate.yaml".into(),
            place,
            help: "create it".into(),
        };
        assert_eq!(
            fault.to_string(),
            "error: centre.gate: file not found: gate.yaml\n  --> /etc/haetae/haetae.yaml:21:9   help: create it"
        );
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(suggest("wrokers", &["flows_max", "workers"]), "did you mean `workers`?");
        assert_eq!(suggest("kafka", &["flows_max", "workers"]), "one of flows_max, workers");
        assert_eq!(suggest("x", &[]), "nothing can be set here");
    }
}
