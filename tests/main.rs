//! All integration tests, in one binary.

mod commands;
mod delivery;
mod eve;
mod support;
mod tidy;
