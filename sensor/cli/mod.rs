//! The command line: words in, an exit code out.
//!
//! Everything that a command needs is checked here, before anything is read. What went wrong is said on standard error,
//! in the operator's words. Never here: a thread, a packet.

mod arguments;
mod doctor;
pub mod exit;
pub mod explain;
mod explain_bytes;
mod explain_words;
#[cfg(feature = "libpcap")]
mod filters;
mod ledger;
mod ledger_words;
pub mod lookup;
mod manual;
mod order;
mod progress;
mod reveal;
pub mod rules;
pub mod running;
pub mod screen;
pub mod spool;
mod spool_words;
mod values;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::capture::file::STANDARD_INPUT;
use crate::config::{Capture, Config, Refused, Replay, Workers, interfaces_absent};
use crate::control::{self, Failure};
use arguments::{Arguments, Command, ConfigCommand, RulesCommand, Site, Trial};
use running::Question;

const SHORT_HELP: &str = "\
haetae: a network sensor for threat-sharing alliances

  haetae -r pcaps/ -S rules/       read captures, print what was met
  haetae -T -c haetae.yaml         check a configuration
  haetae lookup VALUE -S rules/    what is known of a value
  haetae --help                    everything
";

const NOTHING_TO_DO: &str =
    "nothing to do: -r PATH reads captures, -i IFACE an interface, -T checks a configuration, `run` is the service";

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
        if !arguments.interfaces.is_empty() {
            return self.read_interfaces(&arguments);
        }
        if let Some(word) = arguments.words.first() {
            return self.usage(&order::stray(word, &order::COMMANDS));
        }
        match (arguments.test, arguments.read.is_empty()) {
            (true, true) => self.check(&arguments.site),
            (true, false) => self.usage("-T checks a configuration and -r reads captures: give one of them"),
            (false, true) => self.usage(NOTHING_TO_DO),
            (false, false) => self.replay(arguments.read, &arguments.site, &arguments.options),
        }
    }

    fn command(&mut self, command: Command) -> Result<u8, Stop> {
        match command {
            Command::Replay { paths, site, options } => self.replay(paths, &site, &options),
            Command::Run { site, workers, trial } => self.run_service(&site, (workers, trial), None),
            Command::Broker => self.broker(),
            Command::Check { site } => self.check(&site),
            Command::Config { what: ConfigCommand::Dump { config, set } } => self.dump(config, &set),
            Command::Config { what: ConfigCommand::Schema } => {
                self.out.write_all(crate::config::schema().as_bytes())?;
                Ok(exit::SOUND)
            }
            Command::Status { running } => self.ask(running, Question::Status),
            Command::Counters { running } => self.ask(running, Question::Counters),
            Command::Reload { running } => self.ask(running, Question::Reload),
            Command::Lookup { value, running: false, socket: None, json, site } => self.lookup(&value, json, &site),
            Command::Lookup { site, .. } if !site.rules.is_empty() => {
                self.usage("the running sensor has rules of its own: give either -S or --running")
            }
            Command::Lookup { value, socket, json, site, .. } => {
                self.ask(arguments::Running { socket, config: site.config, json }, Question::Lookup(&value))
            }
            Command::Explain { id, paths, site, .. } => self.explain(id.as_deref(), paths, &site),
            Command::Reveal(typed) => reveal::obey(self, typed),
            Command::Doctor { interface, config, set, seconds, json } => {
                self.doctor(&doctor::Question { interface, config, set, seconds, json })
            }
            Command::Ledger { what } => self.ledger(what),
            Command::Spool { what } => self.spool(what),
            Command::Rules { what: RulesCommand::Test { site } } => self.test_rules(&site),
            Command::Completions { shell } => Ok(manual::completions(shell, self.out).map(|()| exit::SOUND)?),
            Command::Man { words } => match manual::page(&words, self.out) {
                Some(written) => Ok(written.map(|()| exit::SOUND)?),
                None => self.usage(&format!("`{}` is not a command", words.join(" "))),
            },
        }
    }

    fn replay(&mut self, paths: Vec<PathBuf>, site: &Site, options: &arguments::Options) -> Result<u8, Stop> {
        let config = self.config(site, "nothing was read")?;
        let site = &Site { config: self.chosen(site.config.clone()), ..site.clone() };
        let replay = match order::replay(paths, site, options, config) {
            Ok(replay) => replay,
            Err(problem) => return self.usage(&problem),
        };
        let progress = !options.no_progress && progress::Surroundings::of_process(self.environment).fit(&replay);
        let replay = Replay { progress, ..replay };
        self.all_there(replay.paths.iter().chain(&replay.rules))?;
        match control::replay(&replay, self.out) {
            Ok(outcome) if outcome.damaged && replay.strict => Ok(exit::DAMAGED),
            Ok(outcome) if outcome.matched && replay.fail_on_match => Ok(exit::MATCHED),
            Ok(_) => Ok(exit::SOUND),
            Err(failure) => self.failed(&failure),
        }
    }

    #[cfg(not(feature = "libpcap"))]
    fn run_service(&mut self, _: &Site, _: (Option<Workers>, Trial), _: Option<Vec<Capture>>) -> Result<u8, Stop> {
        self.usage("this build has no live capture: it was made without the feature `libpcap`")
    }

    #[cfg(not(feature = "libpcap"))]
    fn broker(&mut self) -> Result<u8, Stop> {
        self.usage("this build has no live capture: it was made without the feature `libpcap`")
    }

    #[cfg(feature = "libpcap")]
    fn broker(&mut self) -> Result<u8, Stop> {
        match control::broker() {
            Ok(()) => Ok(exit::SOUND),
            Err(failure) => self.failed(&failure),
        }
    }

    /// Runs as the configuration says, or on the interfaces that the command line names.
    #[cfg(feature = "libpcap")]
    fn run_service(
        &mut self,
        site: &Site,
        (workers, trial): (Option<Workers>, Trial),
        captures: Option<Vec<Capture>>,
    ) -> Result<u8, Stop> {
        let mut config = self.config(site, "nothing was started")?;
        let over = |config: &mut Config| {
            if let Some(captures) = &captures {
                config.capture.clone_from(captures);
            }
        };
        over(&mut config);
        let rules = order::rules(site, &config);
        self.all_there(&rules)?;
        let file = self.chosen(site.config.clone());
        let environment = self.environment;
        let again = || {
            let mut config =
                crate::config::load_again(file.as_deref(), &site.set, environment).map_err(|why| why.to_string())?;
            over(&mut config);
            let rules = order::rules(site, &config);
            Ok((config, rules))
        };
        let workers = order::count(workers.unwrap_or(config.limits.workers));
        let colours = (self.environment)("NO_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
        let slow_motion = std::time::Duration::from_nanos(trial.slow_motion.into());
        let (file, provoke) = (file.clone(), trial.provoke);
        let service = control::Service { config, file, rules, workers, slow_motion, provoke, colours, again: &again };
        match control::run(service) {
            Ok(()) => Ok(exit::SOUND),
            Err(failure) => self.failed(&failure),
        }
    }

    /// `-i`: interfaces of the command line, with the filter that stands behind it or in a file.
    fn read_interfaces(&mut self, arguments: &Arguments) -> Result<u8, Stop> {
        if arguments.test || !arguments.read.is_empty() {
            return self.usage("-i reads interfaces: give neither -r nor -T with it");
        }
        let filter = match (&arguments.filter_file, arguments.words.is_empty()) {
            (Some(_), false) => {
                return self.usage("a packet filter from -F and one behind the options: give one of them");
            }
            (Some(path), true) => match std::fs::read_to_string(path) {
                Ok(text) => Some(order::filter_of_file(&text)),
                Err(error) => return Err(Stop(self.failed(&Failure::Io(path.clone(), error))?)),
            },
            (None, false) => Some(arguments.words.join(" ")),
            (None, true) => None,
        };
        let captures = arguments.interfaces.iter().map(|name| Capture::of_interface(name, filter.as_deref()));
        let captures = captures.collect();
        let mut site = arguments.site.clone();
        if let Some(folder) = &arguments.options.log_dir {
            if let Err(error) = std::fs::create_dir_all(folder) {
                return Err(Stop(self.failed(&Failure::Io(folder.clone(), error))?));
            }
            site.set.push(format!("outputs.eve.path={}", folder.join("eve.json").display()));
        }
        self.run_service(&site, (arguments.options.workers, Trial::default()), Some(captures))
    }

    fn check(&mut self, site: &Site) -> Result<u8, Stop> {
        let Some(file) = self.chosen(site.config.clone()) else {
            return self.usage("which configuration? -c FILE, or HAETAE_CONFIG");
        };
        let consequence = "running configuration unchanged";
        let (config, place) = match crate::config::load_placed(Some(&file), &site.set, self.environment) {
            Ok(placed) => placed,
            Err(refused) => return Ok(self.refused(refused, consequence)?),
        };
        #[cfg(feature = "libpcap")]
        let mut faults = filters::faults(&config.capture, &place);
        #[cfg(not(feature = "libpcap"))]
        let mut faults = Vec::new();
        faults.extend(control::unusable(&config, &place));
        if !faults.is_empty() {
            return Ok(self.refused(Refused::Faulty(faults), consequence)?);
        }
        let rules = order::rules(site, &config);
        self.all_there(&rules)?;
        if let Err(failure) = lookup::loaded(&rules, &config, true, self.complaints) {
            return self.failed(&failure);
        }
        for (option, name) in interfaces_absent(&config.capture) {
            writeln!(self.complaints, "warning: {option}: this machine has no interface `{name}` now")?;
        }
        writeln!(self.out, "the configuration is sound")?;
        Ok(exit::SOUND)
    }

    fn dump(&mut self, config: Option<PathBuf>, sets: &[String]) -> Result<u8, Stop> {
        match crate::config::dump(self.chosen(config).as_deref(), sets, self.environment) {
            Ok(text) => {
                self.out.write_all(text.as_bytes())?;
                Ok(exit::SOUND)
            }
            Err(refused) => Ok(self.refused(refused, "nothing was shown")?),
        }
    }

    /// Explains the alert with this id; without one, lists all.
    fn explain(&mut self, id: Option<&str>, paths: Vec<PathBuf>, site: &Site) -> Result<u8, Stop> {
        let id = id.map(str::to_ascii_lowercase);
        if let Some(Err(problem)) = id.as_deref().map(explain::check) {
            return self.usage(&problem);
        }
        if paths.iter().any(|path| path == std::path::Path::new(STANDARD_INPUT)) {
            return self.usage("explain reads files: ids depend on the capture's name, and standard input has none");
        }
        let config = self.config(site, "nothing was read")?;
        let rules = order::rules(site, &config);
        if rules.is_empty() {
            return self.usage("explain it by which rules? -S RULES, or -c FILE with `rules:`");
        }
        self.all_there(paths.iter().chain(&rules))?;
        let verbose = site.verbose > 0;
        let replay = Replay { paths, rules, config, workers: 1, batch: 1, verbose, ..Replay::default() };
        match explain::run(&replay, id.as_deref(), self.out, self.complaints) {
            Ok(code) => Ok(code),
            Err(failure) => self.failed(&failure),
        }
    }

    /// Stops at the first path that cannot be used, before anything is begun.
    fn all_there<'p>(&mut self, paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<(), Stop> {
        for path in paths.into_iter().filter(|path| *path != std::path::Path::new(STANDARD_INPUT)) {
            if let Err(error) = std::fs::metadata(path) {
                return Err(Stop(self.failed(&Failure::Io(path.clone(), error))?));
            }
        }
        Ok(())
    }

    /// The checked configuration; if it is faulty, all faults are told, and `consequence`.
    fn config(&mut self, site: &Site, consequence: &str) -> Result<Config, Stop> {
        let file = self.chosen(site.config.clone());
        match crate::config::load(file.as_deref(), &site.set, self.environment) {
            Ok(config) => Ok(config),
            Err(refused) => Err(Stop(self.refused(refused, consequence)?)),
        }
    }

    /// `-c`, or else what the environment names.
    fn chosen(&self, file: Option<PathBuf>) -> Option<PathBuf> {
        let named = || (self.environment)("HAETAE_CONFIG").filter(|name| !name.is_empty());
        file.or_else(|| named().map(Into::into))
    }

    /// Tells why there is no configuration, and gives the exit code.
    fn refused(&mut self, refused: Refused, consequence: &str) -> std::io::Result<u8> {
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
        Ok(code)
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
