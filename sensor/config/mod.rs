//! The configuration, read twice: [`Written`] mirrors the file and refuses what it does not know, [`Config`] is checked
//! and has no `Option` that means "default".
//!
//! In: one YAML file, `--set` arguments, the environment for `${NAME}`. Out: a [`Config`], or *all* faults with file, line,
//! column and a way out. Never here: an option that nobody obeys.

mod backend;
mod check;
mod control;
mod dump;
pub mod fault;
mod fixed;
mod gate;
mod ledger;
mod live;
mod manual;
mod networks;
mod paths;
mod quarantine;
mod read;
pub mod replay;
mod rotation;
mod schema;
mod shape;
mod sinks;
mod tree;
mod trouble;
mod window;
mod written;

#[cfg(test)]
mod mistakes;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::limits::CONFIGURATION_BYTES_MAX;

pub use backend::Backend;
pub use check::{Config, Eve, Limits, Rules, Site};
pub use control::Control;
pub use fault::{Fault, Place};
pub use fixed::fixed_differences;
pub use live::{Capture, Digest, Events, Level, LogFormat, Logs, Metrics, Sandbox, Source, interfaces_absent};
pub use quarantine::Quarantine;
pub use replay::{Output, Pace, Replay, Report};
pub use rotation::Rotation;
pub use schema::schema;
pub use written::{EventType, Language, Size, Workers, Written};

use crate::emit::Secrets;

/// Why there is no configuration.
#[derive(Debug)]
pub enum Refused {
    /// The file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// The file can be read, but this is wrong with it.
    Faulty(Vec<Fault>),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Refused::Faulty(faults) => {
                let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
                f.write_str(&told.join("; "))
            }
        }
    }
}

/// Reads and checks a configuration. Without a file it is the defaults and what `sets` (`a.b=c`) say.
///
/// # Errors
/// An unreadable file, or everything that is wrong with it.
pub fn load(
    file: Option<&Path>,
    sets: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Refused> {
    let (name, text, folder) = source(file)?;
    parse(&name, &text, &folder, sets, environment)
}

/// As [`load`], for a sensor that runs: files with secrets are not opened. What is in them holds from the start to the end
/// of a run, and who reads a configuration again has not the right to them.
///
/// # Errors
/// As [`load`].
pub fn load_again(
    file: Option<&Path>,
    sets: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Refused> {
    let (name, text, folder) = source(file)?;
    settled(&name, &text, &folder, sets, environment, Secrets::Unopened).map(|(config, _)| config)
}

/// As [`load`], with the place of each option, by its path (`capture[0].filter`).
///
/// # Errors
/// As [`load`].
pub fn load_placed(
    file: Option<&Path>,
    sets: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Config, impl Fn(&str) -> Place), Refused> {
    let (name, text, folder) = source(file)?;
    let (config, tree) = settled(&name, &text, &folder, sets, environment, Secrets::Opened)?;
    Ok((config, move |path: &str| tree.place(path)))
}

/// Checks a configuration's text. Relative paths in it start at `folder`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(
    name: &str,
    text: &str,
    folder: &Path,
    sets: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Refused> {
    settled(name, text, folder, sets, environment, Secrets::Opened).map(|(config, _)| config)
}

/// The effective configuration as YAML that loads to the same [`Config`]: every option with its value, and where it is from
/// if no file says it. No option holds a secret: keys and tokens are files, and a configuration has their paths.
///
/// # Errors
/// As [`load`].
pub fn dump(
    file: Option<&Path>,
    sets: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Refused> {
    let (name, text, folder) = source(file)?;
    let (_, tree) = settled(&name, &text, &folder, sets, environment, Secrets::Opened)?;
    // The text may be read again from another folder.
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    Ok(dump::dump(&tree, &folder))
}

/// Checks a configuration's text; the tree has what was obeyed, and where it was written.
fn settled(
    name: &str,
    text: &str,
    folder: &Path,
    sets: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
    secrets: Secrets,
) -> Result<(Config, tree::Tree), Refused> {
    let mut tree = tree::Tree::parse(name, text).map_err(|fault| Refused::Faulty(vec![fault]))?;
    let mut faults = Vec::new();
    log_from_environment(&mut tree, environment, &mut faults);
    for argument in sets {
        if let Err(fault) = tree.set(argument) {
            faults.push(fault);
        }
    }
    tree.expand(environment, &mut faults);
    let unset = faults.len();
    let read = read::read::<Written>(&tree.root, &mut faults);
    let config = read.value.map(|written| check::check(written, (&tree, &read.left_out), folder, secrets, &mut faults));
    // A text whose `${NAME}` is unset is wrong for that reason alone, whatever it looks like.
    let first: Vec<String> = faults[..unset].iter().map(|fault| fault.path.clone()).collect();
    let mut at = 0;
    faults.retain(|fault| {
        at += 1;
        at <= unset || fault.path.is_empty() || !first.contains(&fault.path)
    });
    match config {
        Some(config) if faults.is_empty() => Ok((config, tree)),
        _ => Err(Refused::Faulty(sorted(faults, name))),
    }
}

/// `HAETAE_LOG` stands above the file and below `--set`.
fn log_from_environment(tree: &mut tree::Tree, environment: &dyn Fn(&str) -> Option<String>, faults: &mut Vec<Fault>) {
    let Some(text) = environment("HAETAE_LOG").filter(|text| !text.is_empty()) else { return };
    let place = Place::Environment(format!("HAETAE_LOG={text}"));
    match live::log_options(&text) {
        Ok(options) => options.into_iter().for_each(|(option, word)| tree.put(option, word, &place)),
        Err(problem) => {
            let help = "one of error, warn, info, debug; with human or json behind a comma".to_string();
            faults.push(Fault { path: String::new(), problem, place, help });
        }
    }
}

/// As they stand in the file called `name`; then what stands in others, in the environment, on the command line.
fn sorted(mut faults: Vec<Fault>, name: &str) -> Vec<Fault> {
    faults.sort_by_key(|fault| match &fault.place {
        Place::File { file, line, column } => (if file == name { 1 } else { 2 }, *line, *column),
        Place::Absent(_) => (0, 0, 0),
        Place::Environment(_) => (3, 0, 0),
        Place::Set(_) => (4, 0, 0),
    });
    faults
}

/// A file's name, its text, and the folder that it lies in.
fn source(file: Option<&Path>) -> Result<(String, String, PathBuf), Refused> {
    let Some(file) = file else { return Ok(("(no file)".to_string(), String::new(), PathBuf::new())) };
    let bytes = bytes(file).map_err(|error| Refused::Unreadable(file.to_path_buf(), error))?;
    let name = file.display().to_string();
    let text = text(&name, bytes).map_err(|fault| Refused::Faulty(vec![fault]))?;
    Ok((name, text, file.parent().unwrap_or(Path::new("")).to_path_buf()))
}

/// A file's bytes, and at most one more than a configuration has.
fn bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(CONFIGURATION_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file's text, if it can be a configuration at all.
fn text(name: &str, bytes: Vec<u8>) -> Result<String, Fault> {
    let fault = |before: &[u8], problem: String, help: &str| {
        let lines = before.split(|byte| *byte == b'\n');
        let (line, last) = lines.enumerate().last().unwrap_or_default();
        let column = String::from_utf8_lossy(last).chars().count() as u64 + 1;
        let place = Place::File { file: name.to_string(), line: line as u64 + 1, column };
        Fault { path: String::new(), problem, place, help: help.to_string() }
    };
    if bytes.len() as u64 > CONFIGURATION_BYTES_MAX {
        let problem = format!("is larger than {CONFIGURATION_BYTES_MAX} bytes, as no configuration is");
        return Err(fault(&[], problem, "is it the right file?"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        fault(&error.as_bytes()[..at], "is not UTF-8 text".to_string(), "iconv -t UTF-8 makes it so")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Config {
        parse("f", text, Path::new(""), &[], &|_| None).expect("it is sound")
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        let config = parsed("# nothing\n\n");
        assert_eq!(config.limits.flows_max, 1 << 20);
        assert_eq!(config.limits.reassembly_bytes_max, 256 << 20);
        assert_eq!(config.outputs.events.len(), EventType::ALL.len());
        assert!(config.networks.is_none() && config.centre.is_none());
    }

    #[test]
    fn what_is_written_is_obeyed() {
        let config = parsed(
            "site: { id: site-0017, sectors: [finance], language: ko }\n\
             networks:\n  home: [10.20.0.0/16, \"2001:db8:17::/48\"]\n  named: { office: 10.20.4.0/22 }\n\
             rules: { confidence_min: 40 }\n\
             outputs: { eve: { path: /tmp/eve.json, events: [alert, dns] } }\n\
             limits: { workers: 3, flows_max: 50_000, reassembly_max: 1MiB }\n",
        );
        assert_eq!((config.site.id.as_str(), config.site.language), ("site-0017", Language::Ko));
        assert_eq!(config.outputs.events, [EventType::Alert, EventType::Dns]);
        assert_eq!((config.limits.workers, config.limits.flows_max), (Workers::Count(3), 50_000));
        assert_eq!(config.limits.reassembly_bytes_max, 1 << 20);
        assert_eq!(config.rules.confidence_min, 40);
    }

    #[test]
    fn relative_paths_start_at_the_files_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("rules.d")).expect("a folder");
        let file = folder.path().join("haetae.yaml");
        std::fs::write(&file, "rules: { local: [rules.d] }\n").expect("a file");
        let config = load(Some(&file), &[], &|_| None).expect("it is sound");
        assert_eq!(config.rules.local, [folder.path().join("rules.d")]);
    }

    #[test]
    fn an_argument_has_the_last_word() {
        let sets = ["limits.workers=2".to_string(), "site.id=b".to_string()];
        let config = parse("f", "limits: { workers: 4 }\n", Path::new(""), &sets, &|_| None).expect("it is sound");
        assert_eq!((config.limits.workers, config.site.id.as_str()), (Workers::Count(2), "b"));
    }

    #[test]
    fn a_missing_file_is_unreadable_and_not_faulty() {
        let refused = load(Some(Path::new("/nowhere/haetae.yaml")), &[], &|_| None).expect_err("it is missing");
        assert!(matches!(refused, Refused::Unreadable(..)));
    }
}
