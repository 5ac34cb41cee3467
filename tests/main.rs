//! All integration tests, in one binary.

mod binary;
mod cases;
mod commands;
mod corpus;
mod crafted;
mod damaged;
mod delivery;
mod eve;
mod explain;
mod killed;
#[cfg(feature = "libpcap")]
mod live;
mod metrics;
mod mistakes;
mod replays;
mod report;
mod support;
mod tidy;
mod wire;
