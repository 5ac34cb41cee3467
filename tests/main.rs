//! Everything that needs the built binary or the source tree as a whole.

mod binary;
mod cases;
mod corpus;
mod crafted;
mod wire;
