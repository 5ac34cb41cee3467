//! One binary for all integration tests.

mod eve;
mod support;

//! Everything that needs the built binary or the source tree as a whole.

mod commands;
mod tidy;

mod delivery;
