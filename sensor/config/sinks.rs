//! The `sinks:` section: who else hears of alerts.
//!
//! In: the section as it is written. Out: those that are sound, and faults. Never here: what a sink is told; `crate::gate` says
//! that.

use super::check::Desk;
use crate::emit::sinks::{Section, Written};

impl Desk<'_> {
    pub(super) fn sinks(&mut self, mut written: Written, has_centre: bool) -> Vec<Section> {
        for (sink, lines) in [("syslog", &mut written.syslog), ("cef", &mut written.cef)] {
            let Some(lines) = lines else { continue };
            let path = format!("sinks.{sink}");
            if !has_centre && !self.left_out.contains("centre") {
                let help = "alerts wait in the centre's spool, and its gate file says what may leave";
                self.fault(&path, "there is no `centre`".to_string(), help);
            }
            let path = format!("{path}.authority");
            if let Some(file) = lines.authority.clone() {
                self.plain_file(&path, file, help("authority"));
            }
            // what cannot be read has been told
            if self.told(&path) {
                lines.authority = None;
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

fn help(key: &str) -> &'static str {
    match key {
        "to" => "tcp://host:port, or tls://host:port; without a port 601 or 6514",
        _ => "a PEM file with at least one certificate",
    }
}
