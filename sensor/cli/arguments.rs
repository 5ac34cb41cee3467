//! The command line as it is typed: flags as users of Suricata type them, and sub-commands that spell the same out.
//!
//! In: words. Out: [`Arguments`]. Never here: what an option means together with others.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::ledger_words::LedgerCommand;
use super::reveal;
use super::spool_words::SpoolCommand;
use super::values::{batch, output, seconds, workers};
use crate::config::{Output, Pace, Workers};
use crate::leash::Provoke;

const EXAMPLES: &str = "\
Examples:
  haetae -r pcaps/ -S rules/                       read captures, print for a person
  haetae -r a.pcap b.pcap -S rules/ --alerts -     alerts as EVE lines on standard output
  haetae -r ring.0 ring.1 --continuous -l out/     rotated files as one capture, all types into out/eve.json
  haetae -r a.pcap -c haetae.yaml --fail-on-match  with a site's networks and allow-lists; exit 1 on a match
  haetae run -c /etc/haetae/haetae.yaml            the service: what the configuration says, until SIGTERM
  haetae -r a.pcap -S rules/ --pace 10x            as it happened, ten times as fast
  haetae -i tap0 -S rules/ -l out/ not port 22     an interface, with a packet filter
  haetae -r a.pcap -S rules/ --report a.html       one page that explains what happened
  haetae -T -c haetae.yaml                         check a configuration
  haetae config dump -c haetae.yaml                every option with its value, and where it is from
  haetae lookup c2.bad.example -S rules/           what is known of a value
  haetae status                                    how the running sensor is; also counters, reload
  haetae explain ID -r a.pcap -S rules/            one alert, from its bytes to the decision
  haetae ledger show; haetae ledger verify         what left this machine, and whether its account holds
  haetae spool show; haetae spool verify           what waits for the centre, and whether it is whole
  haetae spool replay --since 2h                   send again what the centre has lost
  haetae reveal h-k3f7q2abcdef -c haetae.yaml      which inside host the centre speaks of
  haetae rules test -S rules/                      run the tests that rule files bring along
  haetae doctor tap0 -c haetae.yaml                what is wrong with a tap, a machine, a configuration, and what to type

Nothing leaves this machine unless --centre and --as exercise are both given.

Exit codes: 0; 1 a match with --fail-on-match, a failing rule test, an error that the doctor found, a token of nobody here, a running sensor that
is not ready or did not reload; 2 usage; 65 damaged capture with --strict, a ledger or spool that does not hold; 69 no running sensor; 70 a fault of the sensor;
71 the sandbox that is required does not hold; 74 input/output; 77 permission; 78 configuration, or no indicator could be loaded.
Environment: HAETAE_CONFIG (as -c), HAETAE_LOG (a level, a format: debug,json), NO_COLOR; ${NAME} in a configuration.
What is said twice: the file, then the environment, then --set has the last word.";

/// A network sensor for threat-sharing alliances.
#[derive(Debug, Parser)]
#[command(
    name = "haetae",
    version,
    about = "Reads every packet, matches the shared indicator set, delivers alerts without losing one.",
    after_help = EXAMPLES,
    override_usage = "haetae -r PATH... [-S RULES]... [-c FILE] [OPTIONS]\n       haetae <COMMAND>",
    disable_help_subcommand = true,
    max_term_width = 120
)]
pub(crate) struct Arguments {
    /// A sub-command.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Capture files (pcap, pcapng; also in gzip or Zstandard), folders of them, - for standard input
    #[arg(short = 'r', value_name = "PATH", num_args = 1.., help_heading = "Input")]
    pub(crate) read: Vec<PathBuf>,

    /// Read a network interface (with -c: instead of the configuration's `capture`); may be repeated
    #[arg(short = 'i', value_name = "IFACE", help_heading = "Input")]
    pub(crate) interfaces: Vec<String>,

    /// File with a packet filter for -i, instead of words behind the options
    #[arg(short = 'F', value_name = "FILE", help_heading = "Input")]
    pub(crate) filter_file: Option<PathBuf>,

    /// Check the configuration and go
    #[arg(short = 'T', help_heading = "Input")]
    pub(crate) test: bool,

    #[command(flatten)]
    pub(crate) site: Site,

    #[command(flatten)]
    pub(crate) options: Options,

    /// Words behind the options: a packet filter for -i (pcap-filter(7)).
    #[arg(value_name = "FILTER", hide = true)]
    pub(crate) words: Vec<String>,
}

/// The same thing spelled out.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read captures (as -r)
    Replay {
        /// Capture files (pcap, pcapng; also in gzip or Zstandard), folders of them, - for standard input
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        site: Site,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Run as a service: read the interfaces that the configuration names (as -i)
    Run {
        #[command(flatten)]
        site: Site,
        /// Worker threads: auto, or a number
        #[arg(long, value_name = "N", value_parser = workers, help_heading = "Input")]
        workers: Option<Workers>,
        #[command(flatten)]
        trial: Trial,
    },
    /// Take interfaces for a sensor that has no right to: `run` starts it by itself
    #[command(hide = true)]
    Broker,
    /// Check a configuration (as -T)
    Check {
        #[command(flatten)]
        site: Site,
    },
    /// Show the configuration that holds, or what one may say
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Ask the running sensor how it is; exit 1 if it is not ready
    Status {
        #[command(flatten)]
        running: Running,
    },
    /// Ask the running sensor for all that it counted
    Counters {
        #[command(flatten)]
        running: Running,
    },
    /// Let the running sensor read its configuration and rules again (as SIGHUP), and say what came of it
    Reload {
        #[command(flatten)]
        running: Running,
    },
    /// Say what is known of a value: an address, a name, a URL, a digest
    Lookup {
        /// The value
        value: String,
        /// Ask the running sensor instead of reading rules; what is TLP:RED it tells nobody
        #[arg(long, help_heading = "Input")]
        running: bool,
        /// Ask the running sensor at this control socket (implies --running)
        #[arg(long, value_name = "PATH", help_heading = "Input")]
        socket: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        site: Site,
    },
    /// Explain one alert of a capture: its bytes, what was read from them, what policy said (--list prints all ids)
    Explain {
        /// The alert's id as a replay prints it (alert.context.haetae.id), or its first digits, 4 at least
        #[arg(value_name = "ALERT-ID", required_unless_present = "list")]
        id: Option<String>,
        /// Capture files and folders of them; the one that has the alert is found
        #[arg(short = 'r', value_name = "PATH", num_args = 1.., required = true)]
        paths: Vec<PathBuf>,
        /// Print the id of every alert instead, a line each
        #[arg(long, conflicts_with = "id")]
        list: bool,
        #[command(flatten)]
        site: Site,
    },
    /// Say which inside host or name a token of this site stands for; takes the site's key, on this machine
    #[command(after_help = reveal::HELP)]
    Reveal(reveal::Typed),
    /// Look at an interface, this machine and some seconds of traffic: what is wrong, and what to type
    Doctor {
        /// The interface that the sensor reads, or is to read
        #[arg(value_name = "IFACE")]
        interface: String,
        /// Configuration; without it the defaults are judged
        #[arg(short = 'c', value_name = "FILE")]
        config: Option<PathBuf>,
        /// Override an option of the configuration: --set limits.workers=2
        #[arg(long, value_name = "A.B=C")]
        set: Vec<String>,
        /// How long the traffic is watched
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = seconds)]
        seconds: u64,
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Read and check the ledger of all that left this machine
    Ledger {
        #[command(subcommand)]
        what: LedgerCommand,
    },
    /// See what waits for the centre, check it, send again what the centre has lost
    Spool {
        #[command(subcommand)]
        what: SpoolCommand,
    },
    /// Work on rule files
    Rules {
        #[command(subcommand)]
        what: RulesCommand,
    },
    /// Print a script that completes options in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of haetae, or of one of its commands (man -l reads it)
    Man {
        /// Words of a command: haetae man config dump
        #[arg(value_name = "COMMAND")]
        words: Vec<String>,
    },
}

/// Shells whose completions are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Shell {
    /// GNU Bash, with bash-completion.
    Bash,
    /// The Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// Show the configuration that holds, or what one may say.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every option with its value, defaults marked, as YAML; no secret is in it, only the paths of files
    Dump {
        /// Configuration (default: HAETAE_CONFIG; without either, the defaults)
        #[arg(short = 'c', value_name = "FILE")]
        config: Option<PathBuf>,
        /// Override an option: --set limits.flows_max=50000
        #[arg(long, value_name = "A.B=C")]
        set: Vec<String>,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}

/// Work on rule files.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Run the tests that rule files bring along
    Test {
        #[command(flatten)]
        site: Site,
    },
}

/// Which running sensor is asked.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Running {
    /// Its control socket (default: the configuration's, else /run/haetae/control.sock)
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Configuration that says where the socket is (default: HAETAE_CONFIG)
    #[arg(short = 'c', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the site is and looks for.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Site {
    /// Indicator file or folder, instead of the configuration's; may be repeated
    #[arg(short = 'S', value_name = "RULES", help_heading = "Input")]
    pub(crate) rules: Vec<PathBuf>,

    /// Configuration; every option is in deploy/haetae.yaml
    #[arg(short = 'c', value_name = "FILE", help_heading = "Input")]
    pub(crate) config: Option<PathBuf>,

    /// Override an option of the configuration: --set limits.flows_max=50000
    #[arg(long, value_name = "A.B=C", help_heading = "Input")]
    pub(crate) set: Vec<String>,

    /// Say more: every refused rule, not only how many
    #[arg(short = 'v', action = ArgAction::Count, help_heading = "Input")]
    pub(crate) verbose: u8,
}

/// For those who try what becomes of a service in trouble.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Trial {
    /// Work artificially for so many nanoseconds on each frame: what a slow machine would lose
    #[arg(long, value_name = "NANOSECONDS", hide = true, default_value_t = 0)]
    pub(crate) slow_motion: u32,

    /// Fail at a payload with a text in it: what becomes of a worker that does
    #[arg(long, value_name = "WAY=TEXT", hide = true)]
    pub(crate) provoke: Option<Provoke>,
}

/// How captures are read, and where things go.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Paths are rotated pieces of one capture; else each has a fresh start
    #[arg(long, help_heading = "Input")]
    pub(crate) continuous: bool,

    /// Worker threads: auto, or a number; results do not depend on it
    #[arg(long, value_name = "N", value_parser = workers, help_heading = "Input")]
    pub(crate) workers: Option<Workers>,

    /// Let frames come at their own times: real, or a factor; results do not depend on it
    #[arg(long, value_name = "real|10x|0.5x", help_heading = "Input")]
    pub(crate) pace: Option<Pace>,

    /// Fail at a payload with a text in it
    #[arg(long, value_name = "WAY=TEXT", hide = true)]
    pub(crate) provoke: Option<Provoke>,

    /// Checksums: not verified (`none` is the only mode)
    #[arg(short = 'k', value_name = "none", value_parser = ["all", "none"], hide_possible_values = true, help_heading = "Input")]
    pub(crate) checksums: Option<String>,

    /// A damaged or cut capture is an error (exit 65); all of them are read nevertheless
    #[arg(long, help_heading = "Input")]
    pub(crate) strict: bool,

    /// Frames of a batch; no output depends on it
    #[arg(long, value_name = "N", value_parser = batch, hide = true)]
    pub(crate) batch_size: Option<usize>,

    /// Write one eve.json with all types into a folder
    #[arg(short = 'l', value_name = "DIR", help_heading = "Output (none: print for a person)")]
    pub(crate) log_dir: Option<PathBuf>,

    /// Write alerts as EVE lines
    #[arg(long, value_name = "FILE|-", value_parser = output, help_heading = "Output (none: print for a person)")]
    pub(crate) alerts: Option<Output>,

    /// Write an EVE line per observation (dns, http, tls, fileinfo, flow), and stats at the end
    #[arg(long, value_name = "FILE|-", value_parser = output, help_heading = "Output (none: print for a person)")]
    pub(crate) events: Option<Output>,

    /// Write one CASE.eve.json per capture into a folder
    #[arg(long, value_name = "DIR", help_heading = "Output (none: print for a person)")]
    pub(crate) events_dir: Option<PathBuf>,

    /// Write counters: every frame has a fate
    #[arg(long, value_name = "FILE|-", value_parser = output, help_heading = "Output (none: print for a person)")]
    pub(crate) stats: Option<Output>,

    /// Write one HTML page that explains what happened, besides whatever else is put out
    #[arg(long, value_name = "FILE|-", value_parser = output, help_heading = "Output (none: print for a person)")]
    pub(crate) report: Option<Output>,

    /// Exit 1 if any indicator was met
    #[arg(long, help_heading = "Output (none: print for a person)")]
    pub(crate) fail_on_match: bool,

    /// Show no progress bar; there is none anyway without a terminal, with CI set, or where a pipe reads the output
    #[arg(long, help_heading = "Output (none: print for a person)")]
    pub(crate) no_progress: bool,

    /// Deliver alerts to a centre's ingest endpoint; needs --as exercise
    #[arg(long, value_name = "URL", help_heading = "Delivery")]
    pub(crate) centre: Option<String>,

    /// Say what delivered alerts are: a replay is an exercise
    #[arg(long = "as", value_name = "exercise", help_heading = "Delivery")]
    pub(crate) mode: Option<Mode>,

    /// Folder in which alerts wait until the centre has committed them
    #[arg(long, value_name = "DIR", help_heading = "Delivery")]
    pub(crate) spool: Option<PathBuf>,

    /// File with the centre's bearer token
    #[arg(long, value_name = "FILE", help_heading = "Delivery")]
    pub(crate) token: Option<PathBuf>,

    /// PEM file of authorities to trust instead of the system's
    #[arg(long, value_name = "PEM", help_heading = "Delivery")]
    pub(crate) authority: Option<PathBuf>,
}

/// What delivered alerts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Mode {
    /// Not an incident: the alerts say `mode: exercise`.
    Exercise,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_table_of_options_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn paths_and_rules_are_told_apart() {
        let arguments = Arguments::try_parse_from(["haetae", "-r", "a", "b", "-S", "r", "-S", "s", "tcp", "port"]);
        let arguments = arguments.expect("it is sound");
        assert_eq!(arguments.read, ["a", "b"].map(PathBuf::from));
        assert_eq!(arguments.site.rules, ["r", "s"].map(PathBuf::from));
        assert_eq!(arguments.words, ["tcp", "port"]);
    }
}
