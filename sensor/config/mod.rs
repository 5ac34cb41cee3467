//! The configuration, read twice: [`Written`] mirrors the file and refuses what it does not know, [`Config`] is checked
//! and has no `Option` that means "default".
//!
//! In: one YAML file, `--set` arguments, the environment for `${NAME}`. Out: a [`Config`], or *all* faults with file, line,
//! column and a way out. Never here: an option that nobody obeys.

mod check;
pub mod fault;
mod read;
pub mod replay;
mod tree;
mod written;

#[cfg(test)]
mod mistakes;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::limits::CONFIGURATION_BYTES_MAX;

pub use check::{Config, Eve, Limits, Rules, Site};
pub use fault::{Fault, Place};
pub use replay::{Output, Replay, Report};
pub use written::{EventType, Language, Size, Workers, Written};

/// Why there is no configuration.
#[derive(Debug)]
pub enum Refused {
    /// The file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// The file can be read, but this is wrong with it.
    Faulty(Vec<Fault>),
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
    let Some(file) = file else { return parse("(no file)", "", Path::new(""), sets, environment) };
    let text = text(file).map_err(|error| Refused::Unreadable(file.to_path_buf(), error))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    parse(&file.display().to_string(), &text, folder, sets, environment)
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
    let mut tree = tree::Tree::parse(name, text).map_err(|fault| Refused::Faulty(vec![fault]))?;
    let mut faults = Vec::new();
    for argument in sets {
        if let Err(fault) = tree.set(argument) {
            faults.push(fault);
        }
    }
    tree.expand(environment, &mut faults);
    let unset = faults.len();
    let read = read::read::<Written>(&tree.root, &mut faults);
    let config = read.value.map(|written| check::check(written, &tree, &read.left_out, folder, &mut faults));
    // A text whose `${NAME}` is unset is wrong for that reason alone, whatever it looks like.
    let first: Vec<String> = faults[..unset].iter().map(|fault| fault.path.clone()).collect();
    let mut at = 0;
    faults.retain(|fault| {
        at += 1;
        at <= unset || fault.path.is_empty() || !first.contains(&fault.path)
    });
    match config {
        Some(config) if faults.is_empty() => Ok(config),
        _ => Err(Refused::Faulty(sorted(faults))),
    }
}

fn sorted(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by_key(|fault| match fault.place {
        Place::File { line, column, .. } => (1, line, column),
        Place::Absent(_) => (0, 0, 0),
        Place::Set(_) => (2, 0, 0),
    });
    faults
}

fn text(file: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(CONFIGURATION_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CONFIGURATION_BYTES_MAX {
        return Err(std::io::Error::other("larger than any configuration is"));
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("not UTF-8 text"))
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
