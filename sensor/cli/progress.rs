//! Whether a replay shows how far it is: only to somebody who looks, and never where it would disturb what is put out.
//!
//! In: what surrounds the process. Out: yes or no. Never here: what is shown.

use std::io::{IsTerminal, Stdout};

use rustix::fs::{FileType, fstat};

use crate::config::{Output, Replay};

/// Where standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    Terminal,
    /// Whoever reads it may draw on the same terminal (a pager).
    Pipe,
    File,
}

/// See the head of this file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    complaints_are_seen: bool,
    /// The terminal can go back to the beginning of a line.
    can_redraw: bool,
    /// Nobody looks, though there may be a terminal.
    automated: bool,
    out: Out,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_process(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        Surroundings {
            complaints_are_seen: std::io::stderr().is_terminal(),
            can_redraw: set("TERM").is_some_and(|term| term != "dumb"),
            automated: set("CI").is_some_and(|value| value != "false"),
            out: out(&std::io::stdout()),
        }
    }

    /// Whether progress may be shown while this is read.
    pub(super) fn fit(self, replay: &Replay) -> bool {
        let report = replay.report.as_ref().map(|report| &report.output);
        let outputs = [replay.alerts.as_ref(), replay.events.as_ref(), replay.stats.as_ref(), report];
        let undisturbed = match self.out {
            // alerts for a person make room for it; lines for a machine do not
            Out::Terminal => !outputs.contains(&Some(&Output::Stdout)),
            Out::Pipe => false,
            Out::File => true,
        };
        self.complaints_are_seen && self.can_redraw && !self.automated && undisturbed
    }
}

fn out(stdout: &Stdout) -> Out {
    if stdout.is_terminal() {
        return Out::Terminal;
    }
    match fstat(stdout).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::RegularFile | FileType::CharacterDevice) => Out::File,
        _ => Out::Pipe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Surroundings =
        Surroundings { complaints_are_seen: true, can_redraw: true, automated: false, out: Out::Terminal };

    #[test]
    fn progress_is_shown_to_somebody_who_looks_and_to_nobody_else() {
        let replay = Replay::default();
        assert!(SEEN.fit(&replay));
        assert!(Surroundings { out: Out::File, ..SEEN }.fit(&replay));
        for nobody in [
            Surroundings { complaints_are_seen: false, ..SEEN },
            Surroundings { can_redraw: false, ..SEEN },
            Surroundings { automated: true, ..SEEN },
            Surroundings { out: Out::Pipe, ..SEEN },
        ] {
            assert!(!nobody.fit(&replay), "{nobody:?}");
        }
    }

    #[test]
    fn lines_for_a_machine_are_not_disturbed_on_a_terminal() {
        let lines = Replay { alerts: Some(Output::Stdout), ..Replay::default() };
        assert!(!SEEN.fit(&lines));
        assert!(Surroundings { out: Out::File, ..SEEN }.fit(&lines), "they go elsewhere");
        assert!(SEEN.fit(&Replay { alerts: Some(Output::File("a".into())), ..Replay::default() }));
    }

    #[test]
    fn the_environment_is_obeyed_as_other_programs_obey_it() {
        let of = |set: &'static [(&str, &str)]| {
            let environment =
                move |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            let it = Surroundings::of_process(&environment);
            (it.can_redraw, it.automated)
        };
        assert_eq!(of(&[("TERM", "xterm")]), (true, false));
        assert_eq!(of(&[("TERM", "dumb"), ("CI", "true")]), (false, true));
        assert_eq!(of(&[]), (false, false));
        assert_eq!(of(&[("TERM", "xterm"), ("CI", "false")]), (true, false));
    }
}
