//! A stand-in for the collaboration centre: it keeps `deploy/ingest.yaml` to the letter, commits before it answers, and
//! can be told to fail. For trying haetae on one machine, and for tests.
//!
//! Tests start one as a child process with [`Running::start`] and read its ledger with [`Running::book`].

pub mod certificates;
pub mod contract;
#[cfg(test)]
pub mod issuer;
pub mod ledger;
#[cfg(test)]
pub mod proxy;
pub mod receipts;
#[cfg(test)]
pub mod running;
pub mod server;

#[cfg(test)]
pub use running::{Running, Setting};
