//! Every bound of the sensor, with its unit last in its name and the reason why it is what it is.
//! Reaching a bound is always counted by name where it happens.

use crate::time::Span;

/// A batch this long still keeps all headers in the first-level cache.
pub const BATCH_FRAMES_MAX: usize = 256;

/// Shards of all state: a power of two well above any worker count, so that shares stay even.
pub const SHARDS: usize = 256;

/// Packets of one capture between two sweeps and two releases by the collector.
pub const EPOCH_PACKETS: u64 = 16_384;

// ---- capture

/// One read of a capture file: large enough for full speed, small enough for the second-level cache.
pub const CHUNK_BYTES: usize = 256 << 10;

/// No link has frames like this; what claims more is damage.
pub const FRAME_BYTES_MAX: usize = 256 << 20;

/// Interfaces of one pcapng section; real ones have a handful.
pub const INTERFACES_MAX: usize = 4_096;

/// Folders below a folder that was given; a loop of links ends here.
pub const DIRECTORY_DEPTH_MAX: usize = 16;

// ---- decode

/// Headers of one frame, tunnels included: eight tunnels deep with Ethernet, IP and transport each would be an attack.
pub const HEADERS_MAX: usize = 24;

/// IPv6 extension headers of one packet; RFC 8200 knows six kinds, and each should occur once.
pub const EXTENSIONS_MAX: usize = 12;

/// The largest IP datagram.
pub const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Fragments waiting in one shard; over all shards 32 MiB, what a flood of fragments may cost.
pub const FRAGMENT_BYTES_MAX: usize = 128 << 10;

/// Datagrams waiting in one shard: looked through one by one.
pub const FRAGMENT_DATAGRAMS_MAX: usize = 64;

/// Pieces of one datagram; smaller pieces than 64 bytes of a whole datagram are an attack.
pub const FRAGMENT_PIECES_MAX: usize = 1_024;

/// RFC 791 advises 15 s, RFC 8200 says 60 s; Linux keeps 30 s.
pub const FRAGMENT_GAP: Span = Span::seconds(30);

// ---- flow

/// Flows looked at before one is given up: enough to spare those with data, few enough to cost nothing.
pub const EVICTION_LOOKS: usize = 16;

/// A TCP connection that has not been answered (Suricata: 60 s).
pub const FLOW_GAP_TCP_HALF_OPEN: Span = Span::seconds(60);

/// A TCP connection that is open (Suricata: 600 s).
pub const FLOW_GAP_TCP: Span = Span::seconds(600);

/// A TCP connection after both FINs or a RST: late copies still belong to it.
pub const FLOW_GAP_CLOSED: Span = Span::seconds(10);

/// Datagrams in one direction (Suricata: 30 s).
pub const FLOW_GAP_DATAGRAM_ONE_WAY: Span = Span::seconds(30);

/// Datagrams in both directions (Suricata: 300 s).
pub const FLOW_GAP_DATAGRAM_ANSWERED: Span = Span::seconds(300);

/// How far one frame may move its shard's clock: less than the shortest gap, so that one odd time ends nobody's flow.
pub const CLOCK_STEP_MAX: Span = Span::seconds(5);

/// A shard is swept once in this many epochs, so that a sweep costs each packet little.
pub const SWEEP_EPOCHS: u64 = 16;

/// Flows ahead of the one that is ended whose memory is fetched: far enough to be there in time, few enough to stay.
pub const IDLE_AHEAD: usize = 8;

/// Datagrams of a flow that are shown to recognisers before it is none of ours.
pub const DATAGRAMS_OFFERED_MAX: u8 = 4;

/// First bytes of one side that may stay undecided.
pub const UNDECIDED_BYTES_MAX: usize = 4 << 10;

/// Bytes of one side that a reader may leave for later: a DNS message over TCP, a header block, a certificate chain.
pub const WINDOW_BYTES_MAX: usize = 128 << 10;

/// Segments of one side waiting for one that is missing; a window of 1 MiB in full segments has 700.
pub const WAITING_SEGMENTS_MAX: usize = 1_024;

/// What a segment that waits costs beside its bytes: its place in a queue that doubles, and an allocation of its own.
pub const WAITING_COST_BYTES: usize = 96;

/// Segments behind a hole that the other side has acknowledged, before the hole is believed: captures reorder a little.
pub const WAITING_ACKNOWLEDGED: usize = 3;

/// A segment further from its place than this (RFC 7323 allows windows of 1 GiB, nobody uses them) is odd.
pub const SEGMENT_DISTANCE_MAX: u32 = 16 << 20;

/// Odd segments in a row before they are believed.
pub const SEGMENTS_ODD_MAX: u8 = 3;

// ---- hand-over

/// Records that wait for one sync of the spool: 64 share the cost of one.
pub const SPOOL_SYNC_RECORDS: usize = 64;

/// Epochs that a worker may be ahead of the collector.
pub const RELEASES_WAITING_MAX: usize = 4;

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

// Room: config and cli.

/// A worker owns at least one shard.
pub const WORKERS_MAX: usize = SHARDS;

/// A configuration is written by hand; more than this is the wrong file.
pub const CONFIGURATION_BYTES_MAX: u64 = 1 << 20;

/// A site's identifier is repeated in every alert.
pub const SITE_ID_BYTES_MAX: usize = 64;

/// Confidence is a percentage.
pub const CONFIDENCE_MAX: u8 = 100;

/// Flows followed at once if nothing else is said: a busy site's ten minutes in a few hundred megabytes; 4 096 for each
/// shard, so that a million flows find room however unevenly they fall.
pub const FLOWS_DEFAULT: u64 = 1 << 20;

/// Flows followed at once, at most: they are numbered with 32 bits, with room for flags.
pub const FLOWS_SETTABLE_MAX: u64 = 1_000_000_000;

/// Bytes kept out of order if nothing else is said: a second of loss on some thousand connections.
pub const REASSEMBLY_BYTES_DEFAULT: u64 = 256 << 20;

/// Bytes kept out of order, at least: 4 KiB for each shard, two full segments.
pub const REASSEMBLY_BYTES_SETTABLE_MIN: u64 = 1 << 20;

/// Bytes kept out of order, at most: no machine has more to give.
pub const REASSEMBLY_BYTES_SETTABLE_MAX: u64 = 1 << 40;

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

/// A replay waits this long for its last alerts to be committed; what is left stays in the spool.
pub const DRAIN_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// Segments of one direction whose bytes are shown to recognisers: a protocol may begin behind a greeting of another
/// (SOCKS, STARTTLS), but not deep inside one.
pub const RECOGNITIONS_MAX: u8 = 24;

// the person's screen

/// Alerts that a person's screen tells apart; nobody reads as many.
pub const SCREEN_ALERTS_MAX: usize = 10_000;

/// Line ends before a request line; clients that send any send one empty line.
pub const EMPTY_LINE_BYTES_MAX: usize = 16;

/// A user agent that is listed or looked up; browsers send 150 bytes, servers refuse lines above 8 KiB.
pub const USER_AGENT_BYTES_MAX: usize = 4_096;

// the report

/// Bins of time in a report, empty ones not counted: four to a pixel of a wide screen, so that zooming in shows more.
pub const TIMELINE_BINS_MAX: usize = 4_096;

/// The finest bin: 2^20 ns, 1.05 ms; below that a capture's own clock is not to be trusted.
pub const TIMELINE_BIN_NANOS_MIN_LOG2: u32 = 20;

/// Incidents of one severity that a report tells apart while it is gathered, half of them for those that went beyond a
/// question: a flood of slight ones takes no room from the grave, and all four together stay below 64 MiB.
pub const REPORT_INCIDENTS_PER_SEVERITY_MAX: usize = 2_000;

/// Incidents that a report shows, the worst first; what nobody scrolls through is a number.
pub const REPORT_INCIDENTS_SHOWN_MAX: usize = 200;

/// Contacts of one incident that a report shows one by one.
pub const REPORT_CONTACTS_SHOWN_MAX: usize = 5;

/// Sources of one incident that a report shows one by one.
pub const REPORT_SOURCES_SHOWN_MAX: usize = 4;

/// Rows of a report's tables of hosts, indicators and captures.
pub const REPORT_ROWS_SHOWN_MAX: usize = 100;

/// Refused rules that a report shows with file and line.
pub const REPORT_REFUSALS_SHOWN_MAX: usize = 20;

/// Any one value in a report: longer ones are cut and say so.
pub const REPORT_VALUE_BYTES_MAX: usize = 300;

/// A text of advice in a report: a paragraph.
pub const REPORT_ADVICE_BYTES_MAX: usize = 1_000;
