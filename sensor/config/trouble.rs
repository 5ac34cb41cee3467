//! A fault on its way up through serde, before it is known where it happened.
//!
//! In: what serde and the sections' types say is wrong. Out: a [`Fault`] in the operator's words. Never here: serde's words.

use std::fmt;

use serde::de::{self, Unexpected};

use super::fault::{Fault, Place, join, suggest};

/// What is wrong, and where as soon as that is known.
#[derive(Debug)]
pub(crate) struct Trouble {
    fault: Box<Fault>,
    placed: bool,
    /// The option that is missing, if that is the fault.
    about: Option<&'static str>,
}

impl Trouble {
    pub(super) fn new(problem: String, help: String) -> Self {
        let fault = Fault { path: String::new(), problem, place: Place::Absent(String::new()), help };
        Trouble { fault: Box::new(fault), placed: false, about: None }
    }

    /// An option or a section behind whose `:` nothing stands: more often forgotten than meant.
    pub(super) fn nothing() -> Self {
        Trouble::new("has no value".into(), "give it one, or take the line away".into())
    }

    pub(super) fn at(mut self, path: &str, place: &Place) -> Self {
        if !self.placed {
            self.fault.path = path.to_string();
            self.fault.place = place.clone();
            self.placed = true;
        }
        self
    }

    /// The section or option that cannot be had because of this.
    pub(super) fn whole(&self) -> &str {
        &self.fault.path
    }

    /// Whether this only says that an option is missing which was told to be faulty or misspelt before.
    pub(super) fn follows_from(&self, before: &[Fault]) -> bool {
        let Some(option) = self.about else { return false };
        let missing = join(&self.fault.path, option);
        let meant = did_you_mean(option);
        let sibling = |fault: &Fault| fault.path.rsplit_once('.').map_or("", |(parent, _)| parent) == self.fault.path;
        before.iter().any(|fault| fault.path == missing || sibling(fault) && fault.help == meant)
    }

    pub(super) fn into_fault(self) -> Fault {
        let Trouble { mut fault, about, .. } = self;
        if let Some(option) = about {
            fault.path = join(&fault.path, option);
        }
        *fault
    }
}

fn did_you_mean(option: &str) -> String {
    format!("did you mean `{option}`?")
}

fn found(what: Unexpected<'_>) -> String {
    match what {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value:?}`"),
        Unexpected::Str(text) => format!("`{text}`"),
        Unexpected::Seq => "a list".to_string(),
        Unexpected::Map => "a section".to_string(),
        other => other.to_string(),
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fault.problem)
    }
}

impl std::error::Error for Trouble {}

impl de::Error for Trouble {
    /// A room's own words, with its way out behind a line break: `not a network: 10.0.0.0/33\nan address with a prefix`.
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        // Serde's own word for a value that is neither the one nor the many.
        if message.starts_with("data did not match") {
            return Trouble::new("is of the wrong type".into(), "a value or a list of values".into());
        }
        match message.split_once('\n') {
            Some((problem, help)) => Trouble::new(problem.to_string(), help.to_string()),
            None => Trouble::new(message, "see deploy/haetae.yaml".to_string()),
        }
    }

    fn invalid_type(what: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Trouble::new(format!("{} is of the wrong type", found(what)), format!("expected {expected}"))
    }

    fn invalid_value(what: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Trouble::new(format!("{} is out of range", found(what)), format!("expected {expected}"))
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        let all = format!("one of {}", known.join(", "));
        let nearest = suggest(word, known);
        let help = if nearest.starts_with("did you mean") { format!("{nearest} {all}") } else { all };
        Trouble::new(format!("`{word}` is not known here"), help)
    }

    fn unknown_field(word: &str, known: &'static [&'static str]) -> Self {
        let help = match word.split_once(':') {
            Some((option, _)) if known.contains(&option) => format!("write `{option}: ` with a space behind the colon"),
            _ => suggest(word, known),
        };
        Trouble::new("unknown option".to_string(), help)
    }

    fn missing_field(option: &'static str) -> Self {
        let mut trouble = Trouble::new("is missing".to_string(), format!("add `{option}:` here"));
        trouble.about = Some(option);
        trouble
    }
}
