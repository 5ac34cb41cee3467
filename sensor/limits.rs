//! Every bound of the sensor, with its unit last in its name and the reason why it is what it is.
//! Reaching a bound is always counted by name where it happens.

use crate::time::Span;

/// A batch this long still keeps all headers in the first-level cache.
pub const BATCH_FRAMES_MAX: usize = 256;

/// Shards of all state: a power of two well above any worker count, so that shares stay even.
pub const SHARDS: usize = 256;

/// Packets of one capture between two sweeps and two releases by the collector.
pub const EPOCH_PACKETS: u64 = 16_384;

// Room: config and cli.

/// A worker owns at least one shard.
pub const WORKERS_MAX: usize = SHARDS;

/// A configuration is written by hand; more than this is the wrong file.
pub const CONFIGURATION_BYTES_MAX: u64 = 1 << 20;

/// A site's identifier is repeated in every alert.
pub const SITE_ID_BYTES_MAX: usize = 64;

/// Below 128 bits a key can be searched for.
pub const SITE_KEY_BYTES_MIN: u64 = 16;

/// Confidence is a percentage.
pub const CONFIDENCE_MAX: u8 = 100;

/// Flows followed at once if nothing else is said: a busy site's ten minutes in a few hundred megabytes.
pub const FLOWS_DEFAULT: u64 = 1_000_000;

/// Flows followed at once, at most: they are numbered with 32 bits, with room for flags.
pub const FLOWS_SETTABLE_MAX: u64 = 1_000_000_000;

/// Bytes kept out of order if nothing else is said: a second of loss on some thousand connections.
pub const REASSEMBLY_BYTES_DEFAULT: u64 = 256 << 20;

/// Bytes kept out of order, at least: 4 KiB for each shard, two full segments.
pub const REASSEMBLY_BYTES_SETTABLE_MIN: u64 = 1 << 20;

/// Bytes kept out of order, at most: no machine has more to give.
pub const REASSEMBLY_BYTES_SETTABLE_MAX: u64 = 1 << 40;
