//! Every bound of the sensor, with its unit last in its name and the reason why it is what it is.
//! Reaching a bound is always counted by name where it happens.

use crate::time::Span;

/// A batch this long still keeps all headers in the first-level cache.
pub const BATCH_FRAMES_MAX: usize = 256;

/// Shards of all state: a power of two well above any worker count, so that shares stay even.
pub const SHARDS: usize = 256;

/// Packets of one capture between two sweeps and two releases by the collector.
pub const EPOCH_PACKETS: u64 = 16_384;

// protocol

/// A name of 255 octets on the wire (RFC 1035 section 2.3.4) is shorter than this when its labels are joined by dots.
pub const DNS_NAME_BYTES_MAX: usize = 256;

/// Names that one message may unfold into; compression lets 64 KiB of records repeat a long name without end.
pub const DNS_NAMES_BYTES_MAX: usize = 128 * 1024;

/// Pointers followed within one name; writers need one or two, a loop needs no end.
pub const DNS_POINTERS_MAX: usize = 16;

/// Questions of one message; resolvers ask one.
pub const DNS_QUESTIONS_MAX: usize = 32;

/// Records of one message that are read: as many as the shortest address records fill 64 KiB.
pub const DNS_RECORDS_MAX: usize = 4096;
