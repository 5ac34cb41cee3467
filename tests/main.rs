//! All integration tests, in one binary.

mod binary;
mod cases;
mod commands;
mod corpus;
mod crafted;
mod delivery;
mod eve;
mod killed;
mod replays;
mod report;
mod support;
mod tidy;
mod wire;
