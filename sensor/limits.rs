//! Every bound of the sensor, with its unit last in its name and the reason why it is what it is.
//! Reaching a bound is always counted by name where it happens.

use crate::time::Span;

/// A batch this long still keeps all headers in the first-level cache.
pub const BATCH_FRAMES_MAX: usize = 256;

/// Shards of all state: a power of two well above any worker count, so that shares stay even.
pub const SHARDS: usize = 256;

/// Packets of one capture between two sweeps and two releases by the collector.
pub const EPOCH_PACKETS: u64 = 16_384;

// Room: alert and networks.

/// Bytes of one value in an event line; the longest names, paths and commands in real captures stay below 5 KiB.
pub const PRINTED_BYTES_MAX: usize = 8 * 1024;

/// Bytes of one value in the context that an alert carries along: it is kept for as long as its flow is open.
pub const CONTEXT_VALUE_BYTES_MAX: usize = 1024;

/// Bytes of an alert's context; no field is begun beyond this.
pub const CONTEXT_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a matched value as an alert repeats it.
pub const SEEN_BYTES_MAX: usize = 512;

/// Distinct (place, value) pairs that an alert names; what comes after is only counted as a sighting.
pub const SEEN_PAIRS_MAX: usize = 8;

/// Answered addresses that an alert about a name lists; a resolver rarely gives more.
pub const ANSWERS_MAX: usize = 16;

/// Different indicators that one flow can meet and be remembered for: a proxy's or a resolver's connection meets many.
pub const CONTACTS_PER_FLOW_MAX: usize = 1024;

/// Open contacts that are kept in full per shard until their flow ends: about 1.5 KiB each, so 400 MB in 256 full shards.
pub const CONTACTS_PER_SHARD_MAX: usize = 1024;

/// Entries in one list of `networks:`; look-ups stay a handful of comparisons.
pub const NETWORKS_MAX: usize = 65_536;
