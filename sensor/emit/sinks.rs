//! The `sinks:` section: who else hears of alerts, beside the centre. Each is told what its row of the gate's table lets out, and
//! has a cursor of its own; what it does not take holds nobody else up.

use std::path::Path;

use serde::Deserialize;

use super::{Problem, Secrets, Sink, Syslog, syslog};
use crate::gate;

/// The `sinks:` section as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// A collector of syslog, RFC 5424: the alert as JSON behind `@cee:`.
    pub syslog: Option<syslog::Written>,
    /// A collector of CEF over syslog.
    pub cef: Option<syslog::Written>,
}

/// Where one of them is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A collector of lines.
    Syslog(syslog::Section),
}

/// One of them, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its row in the gate's table.
    pub sink: &'static gate::Sink,
    /// Where it is.
    pub place: Place,
}

impl Section {
    /// Checks what is written; paths are relative to `base`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its sink.
    pub fn check(
        written: Written,
        base: &Path,
        secrets: Secrets,
    ) -> Result<Vec<Section>, Vec<(&'static str, Problem)>> {
        let (mut sections, mut problems) = (Vec::new(), Vec::new());
        let mut lines = |sink: &'static gate::Sink, written: Option<syslog::Written>| {
            let Some(written) = written else { return };
            match syslog::Section::check(written, base, secrets) {
                Ok(section) => sections.push(Section { sink, place: Place::Syslog(section) }),
                Err(found) => problems.extend(found.into_iter().map(|problem| (sink.name, problem))),
            }
        };
        lines(&gate::SYSLOG, written.syslog);
        lines(&gate::CEF, written.cef);
        if problems.is_empty() { Ok(sections) } else { Err(problems) }
    }

    /// Where it is, for a person.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Syslog(section) => section.url(),
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        match &self.place {
            Place::Syslog(section) => section.port(),
        }
    }

    /// The file of authorities, if one is named.
    pub fn authority(&self) -> Option<&Path> {
        match &self.place {
            Place::Syslog(section) => section.authority(),
        }
    }

    /// The way out; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with a file, for a person.
    pub fn open(&self) -> Result<Box<dyn Sink>, String> {
        match &self.place {
            Place::Syslog(section) => Ok(Box::new(Syslog::open(section.clone())?)),
        }
    }
}
