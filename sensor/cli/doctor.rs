//! `haetae doctor IFACE`: what is asked, what is printed, which code it ends with. A configuration that is refused is a
//! finding here and no end: the port and the machine are looked at all the same.

use std::path::PathBuf;

use super::{Desk, Stop};

/// What was typed.
#[cfg_attr(not(feature = "libpcap"), expect(dead_code, reason = "without live capture nothing is looked at"))]
pub(super) struct Question {
    pub(super) interface: String,
    pub(super) config: Option<PathBuf>,
    pub(super) set: Vec<String>,
    pub(super) seconds: u64,
    pub(super) json: bool,
}

#[cfg(not(feature = "libpcap"))]
impl Desk<'_> {
    pub(super) fn doctor(&mut self, _: &Question) -> Result<u8, Stop> {
        self.usage("this build has no live capture, and no doctor: it was made without the feature `libpcap`")
    }
}

#[cfg(feature = "libpcap")]
impl Desk<'_> {
    pub(super) fn doctor(&mut self, question: &Question) -> Result<u8, Stop> {
        use super::{exit, order, screen};
        use crate::config::{Config, Fault, Refused};
        use crate::doctor::judge::Severity;
        use crate::doctor::{Order, examine, facts, say};

        let told = |fault: &Fault| facts::Fault {
            option: fault.path.clone(),
            problem: format!("{} {} ({})", fault.path, fault.problem, fault.place),
            help: fault.help.clone(),
        };
        let file = self.chosen(question.config.clone());
        let given = file.is_some() || !question.set.is_empty();
        let (config, faults) = match crate::config::load(file.as_deref(), &question.set, self.environment) {
            Ok(config) => (config, Vec::new()),
            Err(Refused::Faulty(faults)) => (Config::default(), faults.iter().map(told).collect()),
            Err(refused) => return Ok(self.refused(refused, "nothing was looked at")?),
        };
        let workers = order::count(config.limits.workers);
        let (interface, seconds) = (question.interface.as_str(), question.seconds);
        let complaints = &mut *self.complaints;
        let mut begun = || {
            let time = screen::counted(seconds, ["second", "seconds"]);
            // whoever waits is told why; that nobody reads it is no reason to stop
            let _unread = writeln!(complaints, "{}: watching for {time}", screen::plain(interface));
        };
        let report = examine(Order { interface, seconds, config: &config, given, faults, workers }, &mut begun);
        let say = if question.json { say::json } else { say::text };
        say(&report, self.out)?;
        Ok(if report.count(Severity::Error) > 0 { exit::ILL } else { exit::SOUND })
    }
}
