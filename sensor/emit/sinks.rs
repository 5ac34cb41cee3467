//! The `sinks:` section: who else hears of alerts, beside the centre. Each is told what its row of the gate's table lets out, and
//! has a cursor of its own; what it does not take holds nobody else up.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::url::port_of;
use super::{Misp, Problem, Secrets, Sink, Syslog, Taxii, misp, syslog, taxii};
use crate::gate;

/// The `sinks:` section as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// A collector of syslog, RFC 5424: the alert as JSON behind `@cee:`.
    pub syslog: Option<syslog::Written>,
    /// A collector of CEF over syslog.
    pub cef: Option<syslog::Written>,
    /// A collection of a TAXII 2.1 server: sightings in STIX 2.1.
    pub taxii: Option<taxii::Written>,
    /// A MISP instance: sightings of its attributes.
    pub misp: Option<misp::Written>,
}

/// Where one of them is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A collector of lines.
    Syslog(syslog::Section),
    /// A collection.
    Taxii(taxii::Section),
    /// An instance.
    Misp(misp::Section),
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
        let lines = |written| syslog::Section::check(written, base, secrets).map(Place::Syslog);
        let collection = |written| taxii::Section::check(written, base, secrets).map(Place::Taxii);
        let instance = |written| misp::Section::check(written, base, secrets).map(Place::Misp);
        for (sink, place) in [
            (&gate::SYSLOG, written.syslog.map(lines)),
            (&gate::CEF, written.cef.map(lines)),
            (&gate::TAXII, written.taxii.map(collection)),
            (&gate::MISP, written.misp.map(instance)),
        ] {
            match place {
                None => {}
                Some(Ok(place)) => sections.push(Section { sink, place }),
                Some(Err(found)) => problems.extend(found.into_iter().map(|problem| (sink.name, problem))),
            }
        }
        if problems.is_empty() { Ok(sections) } else { Err(problems) }
    }

    /// Where it is, for a person.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Syslog(section) => section.url(),
            Place::Taxii(section) => section.url.clone(),
            Place::Misp(section) => section.url.clone(),
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        match &self.place {
            Place::Syslog(section) => section.port(),
            Place::Taxii(section) => port_of(&section.url),
            Place::Misp(section) => port_of(&section.url),
        }
    }

    /// The files that it is read from.
    pub fn files(&self) -> Vec<PathBuf> {
        match &self.place {
            Place::Syslog(section) => section.files.all().cloned().collect(),
            Place::Taxii(section) => section.files.all().cloned().collect(),
            Place::Misp(section) => section.files.all().cloned().collect(),
        }
    }

    /// Those of them that not everyone may read.
    pub fn secrets(&self) -> Vec<PathBuf> {
        match &self.place {
            Place::Syslog(section) => section.files.secrets().cloned().collect(),
            Place::Taxii(section) => section.files.secrets().cloned().collect(),
            Place::Misp(section) => section.files.secrets().cloned().collect(),
        }
    }

    /// The way out; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with a file, for a person.
    pub fn open(&self) -> Result<Box<dyn Sink>, String> {
        match &self.place {
            Place::Syslog(section) => {
                let called = if self.sink.name == gate::CEF.name { "sinks.cef" } else { "sinks.syslog" };
                Ok(Box::new(Syslog::open((self.sink.name, called), section.clone())?))
            }
            Place::Taxii(section) => Ok(Box::new(Taxii::open(section.clone())?)),
            Place::Misp(section) => Ok(Box::new(Misp::open(section)?)),
        }
    }
}
