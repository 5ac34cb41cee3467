//! What cargo-fuzz runs: the target that the binary is named after.
#![no_main]

// How many mutants an ordinary test run gives a target is nothing to the fuzzer.
#[allow(dead_code)]
mod targets;

use std::sync::LazyLock;

use targets::{Target, targets};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = env!("CARGO_BIN_NAME");
    targets().into_iter().find(|target| target.name == name).expect("a binary is named after a target")
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    TARGET.run(input);
});
