//! One binary for all integration tests.

mod eve;
mod support;
