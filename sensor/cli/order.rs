//! From what was typed to a replay: what options ask of each other.
//!
//! In: arguments and the checked configuration. Out: a [`Replay`], or why the command line makes no sense.
//! Never here: a file.

use std::path::{Path, PathBuf};

use super::arguments::{Mode, Options, Site};
use super::screen::quoted;
use crate::capture::file::STANDARD_INPUT;
use crate::config::fault::suggest;
use crate::config::{Config, Output, Replay, Report, Workers};
use crate::emit::{Named, Section, check_url};
use crate::limits::{BATCH_FRAMES_MAX, MERGE_DEFAULT, WORKERS_MAX};

/// Frames of a batch if nothing else is said: what `BATCH_FRAMES_MAX` allows, a quarter of it keeps lines in cache.
pub(crate) const BATCH_DEFAULT: usize = BATCH_FRAMES_MAX / 4;

/// The sub-commands, for whoever mistypes one.
pub(crate) const COMMANDS: [&str; 16] = [
    "replay",
    "reveal",
    "run",
    "check",
    "config",
    "doctor",
    "explain",
    "lookup",
    "status",
    "counters",
    "reload",
    "ledger",
    "spool",
    "rules",
    "completions",
    "man",
];

/// The replay that was asked for.
///
/// # Errors
/// Why the options make no sense together.
pub(crate) fn replay(paths: Vec<PathBuf>, site: &Site, options: &Options, config: Config) -> Result<Replay, String> {
    if options.checksums.as_deref() == Some("all") {
        return Err("-k all: checksums are not verified, `-k none` is the only mode".to_string());
    }
    if paths.iter().filter(|path| *path == Path::new(STANDARD_INPUT)).count() > 1 {
        return Err("-r - is given twice: standard input can be read only once".to_string());
    }
    let outputs = [&options.alerts, &options.events, &options.stats];
    distinct(outputs.into_iter().chain([&options.report]))?;
    let folders = [&options.log_dir, &options.events_dir];
    let screen = outputs.iter().all(|output| output.is_none())
        && folders.iter().all(|folder| folder.is_none())
        && options.report != Some(Output::Stdout);
    Ok(Replay {
        report: options.report.clone().map(|output| report(output, &paths, site, options)),
        paths,
        rules: rules(site, &config),
        workers: count(options.workers.unwrap_or(config.limits.workers)),
        batch: options.batch_size.unwrap_or(BATCH_DEFAULT),
        continuous: options.continuous,
        provoke: options.provoke.clone(),
        pace: options.pace,
        log_dir: options.log_dir.clone(),
        alerts: options.alerts.clone(),
        events: options.events.clone(),
        events_dir: options.events_dir.clone(),
        stats: options.stats.clone(),
        centre: centre(options, &config)?,
        strict: options.strict,
        fail_on_match: options.fail_on_match,
        screen,
        progress: false,
        verbose: site.verbose > 0,
        config,
    })
}

/// Where indicators come from: `-S`, or else the configuration's set and local rules.
pub(crate) fn rules(site: &Site, config: &Config) -> Vec<PathBuf> {
    if !site.rules.is_empty() {
        return site.rules.clone();
    }
    config.rules.set.iter().chain(&config.rules.local).cloned().collect()
}

/// Why a word behind the options is not taken.
pub(crate) fn stray(word: &str, commands: &[&str]) -> String {
    let nearest = suggest(word, commands);
    if nearest.starts_with("did you mean") {
        return format!("`{word}` is not a command: {nearest}");
    }
    format!("`{word}`: packet filters (BPF) are not supported when captures are read; every packet is")
}

/// A packet filter as a file has it: `#` begins a comment, lines are one expression.
pub(crate) fn filter_of_file(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The report that was asked for. Its command leaves out workers and outputs, and so what could be a secret's place.
fn report(output: Output, paths: &[PathBuf], site: &Site, options: &Options) -> Report {
    let mut words = vec!["haetae".to_owned(), "-r".to_owned()];
    words.extend(paths.iter().map(|path| quoted(&path.to_string_lossy())));
    let named = site.rules.iter().map(|path| ("-S", path)).chain(site.config.iter().map(|path| ("-c", path)));
    words.extend(named.map(|(flag, path)| format!("{flag} {}", quoted(&path.to_string_lossy()))));
    words.extend(site.set.iter().map(|option| format!("--set {}", quoted(option))));
    words.extend(options.continuous.then(|| "--continuous".to_owned()));
    words.push("--report FILE".to_owned());
    Report { output, command: words.join(" "), configuration: site.config.clone() }
}

/// As many as were asked for, or as there are processors.
pub(crate) fn count(workers: Workers) -> usize {
    match workers {
        Workers::Count(count) => count,
        Workers::Auto => std::thread::available_parallelism().map_or(1, |count| count.get().min(WORKERS_MAX)),
    }
}

fn distinct<'o>(outputs: impl Iterator<Item = &'o Option<Output>>) -> Result<(), String> {
    let given: Vec<&Output> = outputs.flatten().collect();
    for (at, output) in given.iter().enumerate() {
        if given[..at].contains(output) {
            let name = match output {
                Output::Stdout => "standard output".to_string(),
                Output::File(path) => path.display().to_string(),
            };
            return Err(format!("two outputs go to {name}: -l DIR writes one eve.json with all types"));
        }
    }
    Ok(())
}

fn centre(options: &Options, config: &Config) -> Result<Option<Section>, String> {
    let ours = config.centre.as_ref();
    if options.mode != Some(Mode::Exercise) {
        return match (&options.centre, &options.spool, &options.token, &options.authority) {
            (None, None, None, None) => Ok(None),
            (None, ..) => Err("--spool, --token and --authority are for --centre URL --as exercise".to_string()),
            _ => Err("--centre on a replay needs `--as exercise`: what a capture shows is not happening now, and the \
                      centre must not take it for an incident"
                .to_string()),
        };
    }
    let url = options.centre.as_deref().or(ours.map(|centre| &*centre.url));
    let url = url.ok_or("--as exercise: where to? --centre URL, or -c FILE with `centre:`")?.trim_end_matches('/');
    // The configured one, which may be one of NATS; a URL on the command line is always of HTTPS.
    let same = ours.filter(|centre| centre.url == url);
    let nats = same.and_then(|centre| centre.nats.clone());
    if nats.is_none() {
        check_url(url).map_err(|why| format!("--centre: {why}"))?;
    }
    // Not the sensor's own: an exercise must not wait among incidents.
    let spool = options.spool.clone();
    let spool = spool.ok_or("--centre needs --spool DIR: alerts wait there until the centre has committed them")?;
    // Token, authority and certificate belong to the centre that the configuration names; another URL gets neither.
    let known = same.map(|centre| centre.files.clone()).unwrap_or_default();
    Ok(Some(Section {
        files: Named {
            token: options.token.clone().or(known.token),
            authority: options.authority.clone().or(known.authority),
            ..known
        },
        receipt_keys: same.and_then(|centre| centre.receipt_keys.clone()),
        // An exercise is no emergency: it waits for the first.
        fallbacks: Vec::new(),
        policy: ours.map(|centre| centre.policy.clone()).unwrap_or_default(),
        gate: ours.and_then(|centre| centre.gate.clone()),
        url: url.to_owned(),
        nats,
        spool,
        merge: ours.map_or(MERGE_DEFAULT, |centre| centre.merge),
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::arguments::Arguments;
    use super::*;
    use crate::gate::Policy;

    fn ordered(words: &[&str], config: Config) -> Result<Replay, String> {
        let arguments = Arguments::try_parse_from([&["haetae", "-r", "a.pcap"], words].concat()).expect("it parses");
        replay(arguments.read, &arguments.site, &arguments.options, config)
    }

    fn with_centre() -> Config {
        let mut centre = Section {
            url: "https://centre.example".into(),
            nats: None,
            policy: Policy::default(),
            gate: None,
            fallbacks: Vec::new(),
            receipt_keys: None,
            files: Named { token: Some("token".into()), ..Named::default() },
            spool: "the-sensors-own".into(),
            merge: MERGE_DEFAULT,
        };
        centre.policy.network_names = true;
        Config { centre: Some(centre), ..Config::default() }
    }

    #[test]
    fn a_configured_centre_gets_nothing_from_a_replay_by_accident() {
        assert_eq!(ordered(&[], with_centre()).expect("it is sound").centre, None);
    }

    #[test]
    fn an_exercise_takes_what_the_configuration_knows_of_the_same_centre() {
        let delivered =
            |words: &[&str]| ordered(words, with_centre()).expect("it is sound").centre.expect("it delivers");
        let centre = delivered(&["--as", "exercise", "--spool", "s"]);
        assert_eq!((&*centre.url, centre.files.token), ("https://centre.example", Some("token".into())));
        let centre = delivered(&["--as", "exercise", "--spool", "s", "--centre", "http://127.0.0.1:9/"]);
        assert_eq!((centre.files.token, centre.policy.network_names), (None, true), "a token goes to no other centre");
        assert_eq!((&*centre.url, centre.spool), ("http://127.0.0.1:9", "s".into()));
    }

    #[test]
    fn an_exercise_does_not_wait_among_incidents() {
        assert!(ordered(&["--as", "exercise"], with_centre()).expect_err("no spool").contains("--spool"));
    }

    #[test]
    fn a_person_is_printed_for_only_when_nothing_else_was_asked() {
        assert!(ordered(&["--fail-on-match"], Config::default()).expect("it is sound").screen);
        assert!(ordered(&["--report", "r.html"], Config::default()).expect("it is sound").screen);
        for words in
            [["--alerts", "-"], ["--report", "-"], ["-l", "out"], ["--events-dir", "out"], ["--stats", "s.json"]]
        {
            assert!(!ordered(&words, Config::default()).expect("it is sound").screen, "{words:?}");
        }
    }

    #[test]
    fn two_outputs_never_share_a_file() {
        assert!(ordered(&["--alerts", "-", "--stats", "-"], Config::default()).is_err());
        assert!(ordered(&["--alerts", "a", "--report", "a"], Config::default()).is_err());
        assert!(ordered(&["--alerts", "a", "--stats", "-"], Config::default()).is_ok());
    }

    #[test]
    fn a_report_has_the_command_without_what_it_does_not_depend_on() {
        let words =
            ["--report", "r.html", "--workers", "3", "-S", "my rules", "--set", "site.id=it's", "--alerts", "a"];
        let report = ordered(&words, Config::default()).expect("it is sound").report.expect("a report");
        assert_eq!(report.command, r"haetae -r a.pcap -S 'my rules' --set 'site.id=it'\''s' --report FILE");
        assert_eq!((report.output, report.configuration), (Output::File("r.html".into()), None));
    }
}
