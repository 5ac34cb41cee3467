//! Every fuzz target as an ordinary test: its seeds, and so many mutants of them, the same ones each time.
//!
//! `HAETAE_FUZZ_RUNS` says how many mutants each target gets instead, `HAETAE_FUZZ_SEED` which ones, `HAETAE_FUZZ_TARGET`
//! what the name of a target must contain. An input that breaks an invariant is kept and named, with how to run it again.

#[path = "fuzz/mutator.rs"]
mod mutator;
#[path = "fuzz/targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::dice::Dice;
use crate::tidy::source::root;
use targets::{Target, targets};

/// The mutants of an ordinary run.
const SEED: u64 = 7;

/// A seed is small: what it shows, few bytes show.
const SEED_BYTES_MAX: usize = 64 << 10;

fn folder(target: &str) -> PathBuf {
    root().join("tests/fuzz/seeds").join(target)
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder(target)).map(|found| found.map(|entry| entry.expect("an entry").path()));
    let mut paths: Vec<PathBuf> = entries.map(Iterator::collect).unwrap_or_default();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a seed")).collect()
}

fn set<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

/// Runs one input; one that breaks an invariant is kept, and the answer says where.
fn broken(target: &Target, input: &[u8], what: &str) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| target.run(input))).err()?;
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let kept = std::env::temp_dir().join(format!("haetae-fuzz-{}-{what}", target.name));
    fs::write(&kept, input).expect("a file");
    let (name, said, kept) = (&target.name, said.unwrap_or("no reason given"), kept.display());
    Some(format!("{name}, {what}: {said}\n  the input: {kept}; to run it again: put it into tests/fuzz/seeds/{name}"))
}

/// The seeds and the mutants of one target; the first input that breaks something ends it.
fn tried(target: &Target) -> Result<u32, String> {
    let seeds = seeds(&target.name);
    assert!(!seeds.is_empty(), "tests/fuzz/seeds/{} has no seed", target.name);
    for (at, seed) in seeds.iter().enumerate() {
        broken(target, seed, &format!("seed-{at}")).map_or(Ok(()), Err)?;
    }
    let executions = set("HAETAE_FUZZ_RUNS").unwrap_or(target.executions);
    let first = set("HAETAE_FUZZ_SEED").unwrap_or(SEED);
    for run in 0..u64::from(executions) {
        let mut dice = Dice(first << 32 ^ run);
        let (seed, donor) = (dice.below(seeds.len() as u64) as usize, dice.below(seeds.len() as u64) as usize);
        let mutant = mutator::mutant(&mut dice, &seeds[seed], &seeds[donor]);
        broken(target, &mutant, &format!("mutant-{first}-{run}")).map_or(Ok(()), Err)?;
    }
    Ok(executions + seeds.len() as u32)
}

#[test]
fn no_seed_and_no_mutant_breaks_an_invariant() {
    let wanted: String = set("HAETAE_FUZZ_TARGET").unwrap_or_default();
    let mut targets = targets();
    targets.retain(|target| target.name.contains(&wanted));
    assert!(!targets.is_empty(), "no target has {wanted:?} in its name");
    let (next, findings, executions) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match tried(target) {
                        Ok(count) => {
                            executions.fetch_add(count as usize, Ordering::Relaxed);
                        }
                        Err(finding) => findings.lock().expect("nobody panics here").push(finding),
                    }
                }
            });
        }
    });
    let findings = findings.into_inner().expect("nobody panics here");
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
    println!("{} targets, {} executions", targets.len(), executions.into_inner());
}

#[test]
fn every_row_has_a_target_with_seeds_and_a_binary() {
    let rows: BTreeSet<String> = targets().into_iter().map(|target| target.name).collect();
    let found = fs::read_dir(root().join("tests/fuzz/seeds")).expect("the seeds");
    let folders: BTreeSet<String> =
        found.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(rows, folders, "targets and folders of tests/fuzz/seeds (tests/fuzz/make-seeds makes them)");
    let manifest = fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).expect("the package of the fuzzer");
    let bins: BTreeSet<String> = manifest
        .split("[[bin]]")
        .skip(1)
        .filter_map(|row| row.split_once("name = \"")?.1.split_once('"').map(|(name, _)| name.to_string()))
        .collect();
    assert_eq!(rows, bins, "targets and [[bin]] rows of tests/fuzz/Cargo.toml");
}

#[test]
fn seeds_are_small_and_something_comes_of_them() {
    for target in targets() {
        let seeds_come_to = seeds(&target.name).iter().filter(|seed| target.run(seed) > 0).count();
        assert!(seeds_come_to > 0, "{}: nothing comes of any seed: its mutants show nothing either", target.name);
        let large = seeds(&target.name).iter().map(Vec::len).find(|bytes| *bytes > SEED_BYTES_MAX);
        assert_eq!(large, None, "{}: a seed of so many bytes, {SEED_BYTES_MAX} at most", target.name);
    }
}

#[test]
fn a_mutant_is_the_same_again_and_most_are_not_their_seed() {
    let (seed, donor) = (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00");
    let made = |run| mutator::mutant(&mut Dice(run), seed, donor);
    assert!((0..500).all(|run| made(run) == made(run)));
    let mutants: BTreeSet<Vec<u8>> = (0..500).map(made).collect();
    assert!(mutants.len() > 400, "{} of 500 differ", mutants.len());
}

#[test]
fn an_invariant_that_does_not_hold_is_found_and_its_input_kept() {
    let name = "finds-nothing-to-like";
    let target = targets::Target::of_test(name, |input| {
        assert!(input.len() < 4, "too long");
        0
    });
    assert_eq!(broken(&target, b"abc", "short"), None);
    let said = broken(&target, b"abcd", "long").expect("it is broken");
    let kept = std::env::temp_dir().join(format!("haetae-fuzz-{name}-long"));
    assert!(said.contains("too long") && said.contains(&kept.display().to_string()), "{said}");
    assert_eq!(fs::read(&kept).expect("it is kept"), b"abcd");
    fs::remove_file(kept).expect("a file");
}
