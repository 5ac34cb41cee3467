//! The command line: words in, an exit code out.
//!
//! Everything that a command needs is checked here, before anything is read. What went wrong is said on standard error,
//! in the operator's words. Never here: a thread, a packet.

mod arguments;
pub mod exit;
pub mod lookup;
mod order;
pub mod rules;
pub mod screen;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{Config, Refused, Replay};
use crate::control::{self, Failure};
use arguments::{Arguments, Command, RulesCommand, Site};

const SHORT_HELP: &str = "\
haetae: a network sensor for threat-sharing alliances

  haetae -r pcaps/ -S rules/       read captures, print what was met
  haetae -T -c haetae.yaml         check a configuration
  haetae lookup VALUE -S rules/    what is known of a value
  haetae --help                    everything
";

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let environment = |name: &str| std::env::var(name).ok();
    // Not locked: an output thread may write there too.
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let mut complaints = std::io::stderr();
    let code = run(std::env::args_os().collect(), &environment, &mut out, &mut complaints);
    ExitCode::from(out.flush().map_or_else(|error| exit::of_io(&error), |()| code))
}

/// What a command works with: its surroundings, replaced in tests.
struct Desk<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    out: &'a mut dyn Write,
    complaints: &'a mut dyn Write,
}

/// A command that came to its end early: its message is out, this is the code.
struct Stop(u8);

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Stop(exit::of_io(&error))
    }
}

/// Runs a command line and gives the exit code.
pub fn run(
    words: Vec<OsString>,
    environment: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> u8 {
    if words.len() <= 1 {
        // Nobody is left to tell if standard error is gone.
        let _ = complaints.write_all(SHORT_HELP.as_bytes());
        return exit::USAGE;
    }
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no error.
            let _ = if error.use_stderr() { write!(complaints, "{error}") } else { write!(out, "{error}") };
            return u8::try_from(error.exit_code()).unwrap_or(exit::USAGE);
        }
    };
    let mut desk = Desk { environment, out, complaints };
    match desk.obey(arguments) {
        Ok(code) | Err(Stop(code)) => code,
    }
}

impl Desk<'_> {
    fn obey(&mut self, arguments: Arguments) -> Result<u8, Stop> {
        if let Some(command) = arguments.command {
            return self.command(command);
        }
        if let Some(word) = arguments.words.first() {
            return self.usage(&order::stray(word, &["replay", "check", "lookup", "rules"]));
        }
        match (arguments.test, arguments.read.is_empty()) {
            (true, true) => self.check(&arguments.site),
            (true, false) => self.usage("-T checks a configuration and -r reads captures: give one of them"),
            (false, true) => self.usage("nothing to do: -r PATH reads captures, -T checks a configuration"),
            (false, false) => self.replay(arguments.read, &arguments.site, &arguments.options),
        }
    }

    fn command(&mut self, command: Command) -> Result<u8, Stop> {
        match command {
            Command::Replay { paths, site, options } => self.replay(paths, &site, &options),
            Command::Check { site } => self.check(&site),
            Command::Lookup { value, site } => self.lookup(&value, &site),
            Command::Rules { what: RulesCommand::Test { site } } => self.test_rules(&site),
        }
    }

    fn replay(
        &mut self,
        paths: Vec<std::path::PathBuf>,
        site: &Site,
        options: &arguments::Options,
    ) -> Result<u8, Stop> {
        let config = self.config(site, "nothing was read")?;
        let site = &Site { config: self.configured(site), ..site.clone() };
        let replay = match order::replay(paths, site, options, config) {
            Ok(replay) => replay,
            Err(problem) => return self.usage(&problem),
        };
        self.all_there(replay.paths.iter().chain(&replay.rules))?;
        match control::replay(&replay, self.out) {
            Ok(outcome) if outcome.damaged && replay.strict => Ok(exit::DAMAGED),
            Ok(outcome) if outcome.matched && replay.fail_on_match => Ok(exit::MATCHED),
            Ok(_) => Ok(exit::SOUND),
            Err(failure) => self.failed(&failure),
        }
    }

    fn check(&mut self, site: &Site) -> Result<u8, Stop> {
        if site.config.is_none() && (self.environment)("HAETAE_CONFIG").is_none() {
            return self.usage("which configuration? -c FILE, or HAETAE_CONFIG");
        }
        self.config(site, "running configuration unchanged")?;
        writeln!(self.out, "the configuration is sound")?;
        Ok(exit::SOUND)
    }

    fn lookup(&mut self, value: &str, site: &Site) -> Result<u8, Stop> {
        let config = self.config(site, "nothing was looked up")?;
        let rules = order::rules(site, &config);
        if rules.is_empty() {
            return self.usage("look it up where? -S RULES, or -c FILE with `rules:`");
        }
        self.all_there(&rules)?;
        match lookup::run(value, &rules, &config, site.verbose > 0, self.out, self.complaints) {
            Ok(()) => Ok(exit::SOUND),
            Err(failure) => self.failed(&failure),
        }
    }

    fn test_rules(&mut self, site: &Site) -> Result<u8, Stop> {
        let config = self.config(site, "no rule was tested")?;
        let paths = order::rules(site, &config);
        if paths.is_empty() {
            return self.usage("which rules? -S RULES, or -c FILE with `rules:`");
        }
        self.all_there(&paths)?;
        let replay = Replay { rules: paths, config, workers: 1, batch: order::BATCH_DEFAULT, ..Replay::default() };
        match rules::run(replay, self.out, self.complaints) {
            Ok(true) => Ok(exit::SOUND),
            Ok(false) => Ok(exit::MATCHED),
            Err(failure) => self.failed(&failure),
        }
    }

    /// Stops at the first path that cannot be used, before anything is begun.
    fn all_there<'p>(&mut self, paths: impl IntoIterator<Item = &'p std::path::PathBuf>) -> Result<(), Stop> {
        for path in paths {
            if let Err(error) = std::fs::metadata(path) {
                return Err(Stop(self.failed(&Failure::Io(path.clone(), error))?));
            }
        }
        Ok(())
    }

    /// The configuration's file: as typed, or as the environment says.
    fn configured(&self, site: &Site) -> Option<std::path::PathBuf> {
        site.config.clone().or_else(|| (self.environment)("HAETAE_CONFIG").map(Into::into))
    }

    /// The checked configuration; if it is faulty, all faults are told, and `consequence`.
    fn config(&mut self, site: &Site, consequence: &str) -> Result<Config, Stop> {
        let file = self.configured(site);
        let refused = match crate::config::load(file.as_deref(), &site.set, self.environment) {
            Ok(config) => return Ok(config),
            Err(refused) => refused,
        };
        let code = exit::of_refused(&refused);
        match refused {
            Refused::Unreadable(path, error) => writeln!(self.complaints, "error: {}: {error}", path.display())?,
            Refused::Faulty(faults) => {
                for fault in &faults {
                    writeln!(self.complaints, "{fault}")?;
                }
                let count = screen::counted(faults.len() as u64, ["error", "errors"]);
                writeln!(self.complaints, "{count}; {consequence} (exit {code})")?;
            }
        }
        Err(Stop(code))
    }

    fn usage(&mut self, problem: &str) -> Result<u8, Stop> {
        writeln!(self.complaints, "error: {problem}\n\nFor more information, try 'haetae --help'.")?;
        Ok(exit::USAGE)
    }

    fn failed(&mut self, failure: &Failure) -> Result<u8, Stop> {
        let code = exit::of_failure(failure);
        if code != exit::SOUND {
            writeln!(self.complaints, "error: {failure}")?;
        }
        Ok(code)
    }
}
