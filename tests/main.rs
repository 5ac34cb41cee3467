//! All integration tests, in one binary.

mod commands;
mod delivery;
mod eve;
mod support;
mod tidy;

//! Everything that needs the built binary or the source tree as a whole.

mod binary;
mod cases;
mod corpus;
mod crafted;
mod wire;
