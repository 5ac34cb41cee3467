//! All integration tests, in one binary.

mod bench_names;
mod binary;
mod cases;
mod commands;
mod corpus;
mod crafted;
mod damaged;
mod delivery;
mod delivery_faults;
mod delivery_tls;
mod deployed;
mod dice;
mod eve;
mod explain;
mod fuzz_seeds;
mod injection;
mod killed;
mod leaving;
mod ledger;
#[cfg(feature = "libpcap")]
mod live;
mod metrics;
mod misp;
mod mistakes;
mod nats;
mod packages;
mod progress;
mod repeats;
mod replays;
mod report;
mod sinks;
mod spool;
mod spool_found;
#[cfg(feature = "libpcap")]
mod storm;
mod support;
mod taint;
mod taxii;
mod tidy;
mod wire;
