//! haetae: a network sensor for threat-sharing alliances.
//!
//! The rooms, in the order in which a packet walks through them:
//!
//! * [`capture`]: bytes as seen on a link, up to 256 frames at once;
//! * [`decode`]: headers peeled down to the innermost transport payload;
//! * [`flow`]: both directions between two endpoints, segments put in order, all inside a shard;
//! * [`protocol`]: reads one conversation and says what it sees;
//! * [`observable`]: what was seen, in the one canonical form of its kind;
//! * [`indicator`]: everything the alliance looks for, frozen, asked in batches;
//! * [`alert`]: a hit with its observation, flow, asset and indicator, complete in itself.
//!
//! From there on, threads and files: [`collector`] puts everything in one order, [`spool`] keeps what was raised,
//! [`gate`] decides what may leave, [`ledger`] holds what does, [`emit`] delivers it. [`feed`] turns files of intelligence into indicators.
//!
//! Read [`worker`] first: it is the path of a packet on one screen.

pub mod leash;
pub mod limits;
pub mod time;

pub mod alert;
pub mod capture;
pub mod decode;
pub mod emit;
pub mod feed;
pub mod flow;
pub mod gate;
pub mod indicator;
pub mod ledger;
pub mod merge;
pub mod networks;
pub mod observable;
pub mod protocol;
pub mod spool;

#[cfg(feature = "libpcap")]
pub mod broker;
pub mod cli;
pub mod collector;
pub mod config;
pub mod control;
#[cfg(feature = "libpcap")]
pub mod doctor;
pub mod metrics;
pub mod pages;
pub mod report;
#[cfg(feature = "libpcap")]
pub mod sandbox;
pub mod worker;
