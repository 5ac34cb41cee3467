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

/// What a JA3 line may show; a browser's has 300 bytes. Longer lines keep their digest.
pub const JA3_LINE_BYTES_MAX: usize = 2048;

/// A TLS record is at most 2^14 + 2048 bytes (RFC 5246 section 6.2.3); the longest allowed in any version.
pub const TLS_CIPHERTEXT_BYTES_MAX: usize = (1 << 14) + 2048;

/// A hello that is gathered over several records; post-quantum key shares and tickets stay far below.
pub const TLS_HELLO_BYTES_MAX: usize = 64 * 1024;

/// Protocol names said of one hello; clients offer two or three.
pub const TLS_ALPNS_MAX: usize = 16;

/// A server name that is repeated in the server's line: host names end at 253.
pub const TLS_SNI_BYTES_MAX: usize = 255;

/// A head of an HTTP/1 message; servers refuse more than 8 to 64 KiB.
pub const HTTP_HEAD_BYTES_MAX: usize = 64 * 1024;

/// Header lines of one head that are read; servers refuse more than 100.
pub const HTTP_HEADERS_MAX: usize = 256;

/// A method's name; the registry's longest (`UPDATEREDIRECTREF`) has 17 bytes.
pub const HTTP_METHOD_BYTES_MAX: usize = 32;

/// A line of the chunked coding, with its extensions.
pub const HTTP_LINE_BYTES_MAX: usize = 4096;

/// Requests whose answers are awaited; of more, only their number is known.
pub const HTTP_ASKED_MAX: usize = 64;

/// The text of one request (URL and method) that is kept for its answer's line.
pub const HTTP_URL_KEPT_BYTES_MAX: usize = 4096;

/// The text of all awaited requests of one connection.
pub const HTTP_KEPT_BYTES_MAX: usize = 16 * 1024;
