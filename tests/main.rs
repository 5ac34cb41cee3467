//! All integration tests, in one binary.

mod binary;
mod cases;
mod commands;
mod corpus;
mod crafted;
mod delivery;
mod eve;
mod killed;
mod mistakes;
mod replays;
mod support;
mod tidy;
mod wire;
