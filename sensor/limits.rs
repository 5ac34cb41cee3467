//! Every bound of the sensor, with its unit last in its name and the reason why it is what it is.
//! Reaching a bound is always counted by name where it happens.

use crate::time::Span;

/// A batch this long still keeps all headers in the first-level cache.
pub const BATCH_FRAMES_MAX: usize = 256;

/// Shards of all state: a power of two well above any worker count, so that shares stay even.
pub const SHARDS: usize = 256;

/// Packets of one capture between two sweeps and two releases by the collector.
pub const EPOCH_PACKETS: u64 = 16_384;

// --- indicators and feeds ---

/// Questions whose filter lines are asked for before the first is tested: enough to hide a memory's latency, few
/// enough that the lines (64 bytes each) stay in the first-level cache.
pub const QUESTIONS_AHEAD: usize = 256;

/// Records of one set: ten million and room to grow, about 500 MB.
pub const SET_RECORDS_MAX: usize = 16_000_000;

/// Bytes of all values of one kind: places are 32 bits wide.
pub const SET_KIND_BYTES_MAX: usize = u32::MAX as usize - (1 << 16);

/// Bytes of one line of a feed: a URL of 8 KiB with everything that may be said of it.
pub const FEED_LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes of one feed read line by line: ten million names are a tenth of this.
pub const FEED_FILE_BYTES_MAX: u64 = 2 << 30;

/// Bytes of one feed in YAML, which is held in memory as a tree while it is read.
pub const FEED_YAML_BYTES_MAX: u64 = 8 << 20;

/// Refusals kept with file and line; beyond it they are only counted by reason.
pub const REFUSALS_KEPT_MAX: usize = 10_000;

/// Reasons counted apart; beyond it they are counted together.
pub const REFUSAL_REASONS_MAX: usize = 256;

/// Bytes of a source's own name for an indicator, of a source, of a label.
pub const FEED_WORD_BYTES_MAX: usize = 512;

/// Distinct statements of one set: one per combination of source, validity, labels and so on; about 300 bytes each.
pub const SET_STATEMENTS_MAX: usize = 4_000_000;
