//! Everything that needs the built binary or the source tree as a whole.

mod commands;
mod eve;
mod support;
mod tidy;
