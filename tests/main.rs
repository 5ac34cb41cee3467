//! All integration tests, in one binary.

mod bench_names;
mod binary;
mod cases;
mod commands;
mod corpus;
mod crafted;
mod damaged;
mod delivery;
mod deployed;
mod dice;
mod eve;
mod explain;
mod fuzz_seeds;
mod injection;
mod killed;
mod ledger;
#[cfg(feature = "libpcap")]
mod live;
mod metrics;
mod mistakes;
mod packages;
mod progress;
mod replays;
mod report;
mod support;
mod tidy;
mod wire;
