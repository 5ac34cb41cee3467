//! Every bound of the sensor, with its unit last in its name and the reason why it is what it is.
//! Reaching a bound is always counted by name where it happens.

use crate::time::Span;

/// A batch this long still keeps all headers in the first-level cache.
pub const BATCH_FRAMES_MAX: usize = 256;

/// Shards of all state: a power of two well above any worker count, so that shares stay even.
pub const SHARDS: usize = 256;

/// Packets of one capture between two sweeps and two releases by the collector.
pub const EPOCH_PACKETS: u64 = 16_384;

// Spool, gate and emit.

/// One record: an alert with all its context is a few kB; a hundred times that is a fault of its maker.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// A segment of the spool: small enough that the reader keeps one in memory, and that deleting whole segments follows
/// the watermark closely.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024;

/// Records appended but not yet flushed: reaching this flushes them, so that a caller who never does cannot fill memory.
pub const PENDING_BYTES_MAX: usize = 1024 * 1024;

/// The spool when the configuration names no size: weeks of alerts at a busy site, and a small part of a disk.
pub const SPOOL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Flushes whose time is remembered, to tell the age of the oldest waiting record.
pub const SPOOL_MARKS_MAX: usize = 1024;

/// One delivery: large enough to drain quickly, small enough that a repeat after a lost answer costs little.
pub const DELIVERY_RECORDS_MAX: usize = 256;

/// One delivery in bytes of local records; what goes out is smaller.
pub const DELIVERY_BYTES_MAX: usize = 1024 * 1024;

/// An answer of the centre: a number, or a reason.
pub const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Refused records kept for a person to look at. At this size deliveries stop instead of losing more.
pub const DEAD_LETTER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A policy, a token, a key or a bundle of authorities read into memory.
pub const SMALL_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Indicators named in one delivered alert; more sources than that add nothing.
pub const WIRE_INDICATORS_MAX: usize = 16;

/// Answers of a resolver named in one delivered alert.
pub const WIRE_ANSWERS_MAX: usize = 16;
