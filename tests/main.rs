//! All integration tests, in one binary.

mod binary;
mod cases;
mod commands;
mod corpus;
mod crafted;
mod damaged;
mod delivery;
mod eve;
mod killed;
mod replays;
mod support;
mod tidy;
mod wire;
