//! The `sinks:` section: who else hears of alerts.
//!
//! In: the section as it is written. Out: those that are sound, and faults. Never here: what a sink is told; `crate::gate` says
//! that.

use std::path::PathBuf;

use super::check::Desk;
use crate::emit::sinks::{Section, Written};

impl Desk<'_> {
    pub(super) fn sinks(&mut self, mut written: Written, has_centre: bool) -> Vec<Section> {
        for (sink, files) in files(&mut written) {
            if !has_centre && !self.left_out.contains("centre") {
                let help = "alerts wait in the centre's spool, and its gate file says what may leave";
                self.fault(&format!("sinks.{sink}"), "there is no `centre`".to_string(), help);
            }
            for (key, file) in files {
                let path = format!("sinks.{sink}.{key}");
                if let Some(named) = file.clone() {
                    self.plain_file(&path, named, help(key));
                }
                // what cannot be read has been told
                if self.told(&path) {
                    *file = None;
                }
            }
        }
        // One without the other would be told as well, and it is the other that is wrong.
        for (sink, lines) in [("syslog", &mut written.syslog), ("cef", &mut written.cef)] {
            let told = |key: &str| self.told(&format!("sinks.{sink}.{key}"));
            if let (Some(lines), true) = (lines, told("certificate") || told("key")) {
                (lines.certificate, lines.key) = (None, None);
            }
        }
        if let Some(taxii) = &mut written.taxii {
            if self.told("sinks.taxii.secret") {
                taxii.user = None;
            }
            if self.told("sinks.taxii.certificate") || self.told("sinks.taxii.key") {
                (taxii.certificate, taxii.key) = (None, None);
            }
        }
        let problems = match Section::check(written, self.folder, self.secrets) {
            Ok(sections) => return sections,
            Err(problems) => problems,
        };
        for (sink, (key, why)) in problems {
            let path = format!("sinks.{sink}.{key}");
            if !self.told(&path) {
                self.fault(&path, why, help(key));
            }
        }
        Vec::new()
    }
}

/// A sink, and the files that its section names, each by its key.
type Files<'a> = (&'static str, Vec<(&'static str, &'a mut Option<PathBuf>)>);

fn files(written: &mut Written) -> Vec<Files<'_>> {
    let mut all = Vec::new();
    for (sink, lines) in [("syslog", &mut written.syslog), ("cef", &mut written.cef)] {
        all.extend(lines.as_mut().map(|lines| {
            let files = vec![
                ("authority", &mut lines.authority),
                ("certificate", &mut lines.certificate),
                ("key", &mut lines.key),
                ("revocations", &mut lines.revocations),
            ];
            (sink, files)
        }));
    }
    if let Some(taxii) = &mut written.taxii {
        let files = vec![
            ("secret", &mut taxii.secret),
            ("authority", &mut taxii.authority),
            ("certificate", &mut taxii.certificate),
            ("key", &mut taxii.key),
        ];
        all.push(("taxii", files));
    }
    if let Some(misp) = &mut written.misp {
        all.push(("misp", vec![("key", &mut misp.key), ("authority", &mut misp.authority)]));
    }
    all
}

fn help(key: &str) -> &'static str {
    match key {
        "to" => "tcp://host:port, or tls://host:port; without a port 601 or 6514",
        "url" => "write https://host/path; http:// goes to loopback alone, and a password into a file",
        "collection" => "its id, as the server lists it: a UUID as a rule",
        "user" => "with a `secret` beside it: its password; without a user the secret is a bearer token",
        "secret" | "key" => "one line (or a PEM key beside `certificate`) in a file that not everyone may read",
        "revocations" => "a PEM file of lists of revoked certificates (X509 CRL), one for each authority of the chain",
        "certificate" => "a PEM file with the sensor's own certificate first; `key` is its key",
        _ => "a PEM file with at least one certificate",
    }
}
