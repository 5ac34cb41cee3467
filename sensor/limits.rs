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

/// A wall clock that moves by more than this between two looks was set, not corrected; NTP steps by 128 ms.
pub const CLOCK_JUMP_MIN: Span = Span::seconds(2);

/// What a full ring may hold: an older frame was stamped by another clock than ours.
pub const RING_TIME_MAX: Span = Span::seconds(60);

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

/// Directions of flows that the kernel counts and drops for a port at once (AF_XDP), less those whose hashes meet: what is
/// worth it are the heavy ones, which are few, and two megabytes of them are looked through ten times a second.
pub const SHUNTS_PORT_MAX: usize = 16_384;

/// Packets of a direction from one attempt to shunt it to the next: where there is no room, asking costs next to nothing.
pub const SHUNT_PACKETS_EVERY: u64 = 64;

/// Flows looked at before one is given up: enough to spare those with data, few enough to cost nothing.
pub const EVICTION_LOOKS: usize = 16;

/// The share of a full shard (one in so many) that connections of which only a SYN was seen keep for themselves: they are
/// given up before any flow, but a new connection must live until its answer comes.
pub const HALF_OPEN_SHARE: usize = 8;

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

/// Shards whose open flows are asked again at one tick after a new set: some milliseconds with a full table, which a link's
/// ring holds.
pub const SHARDS_ASKED_A_TICK: usize = 16;

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

/// How long a record waits for others to share a sync with, where others come: as long as a slow disk takes for one.
pub const SPOOL_SYNC_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(5);

/// Packets on their way from one worker to another: 16 ms at a million a second.
pub const HAND_OFF_PACKETS_MAX: usize = 16_384;

/// Their payloads; touched only as far as it is used.
pub const HAND_OFF_BYTES_MAX: usize = 16 << 20;

/// Event lines that wait in a worker for a collector that is slow; then they are shed.
pub const RELEASE_BYTES_MAX: usize = 16 << 20;

/// Records that wait there; events above it are shed too.
pub const RELEASE_RECORDS_MAX: usize = 65_536;

/// Alerts on their way from all workers to a running collector: it works them off in a second or so, and nothing urgent waits longer
/// behind them. What is beyond is shed, the least severe first.
pub const ALERTS_WAITING_MAX: usize = 32_768;

/// As many more for what is critical, which is shed as the last of all.
pub const CRITICAL_WAITING_MAX: usize = 2 * ALERTS_WAITING_MAX;

/// Releases on their way to a running collector, of all workers together.
pub const RELEASES_LIVE_MAX: usize = 64;

/// From the word to end until the process has ended, at most; what is not delivered by then is in the spool.
pub const STOP_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(3_500);

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

/// Open contacts that are kept in full per shard until their flow ends: some 1.5 KiB each where much was said beside it, so 400 MB
/// in 256 full shards.
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
pub const PENDING_BYTES_MAX: usize = 512 * 1024;

/// The spool when the configuration names no size: weeks of alerts at a busy site, and a small part of a disk.
pub const SPOOL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Flushes whose time is remembered, to tell the age of the oldest waiting record.
pub const SPOOL_MARKS_MAX: usize = 1024;

// ---- merge

/// Contacts whose repeats are merged at a time. A site under attack has thousands; with a waiting alert each takes some 2 KiB.
pub const MERGE_CONTACTS_MAX: usize = 16_384;

/// Open flows whose alert was merged, some 60 bytes each: what they come to in the end is added to their contact.
pub const MERGE_FLOWS_MAX: usize = 262_144;

/// The first update of a contact goes no sooner after what was said; each later one waits twice as long as the one before.
pub const UPDATE_WAIT_MIN: Span = Span::seconds(10);

/// One delivery: large enough to drain quickly, small enough that a repeat after a lost answer costs little.
pub const DELIVERY_RECORDS_MAX: usize = 512;

/// One delivery in bytes of local records; what goes out is smaller.
pub const DELIVERY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Endpoints of one centre: what is beyond is a mistake, and each costs a wait when all are down.
pub const ENDPOINTS_MAX: usize = 8;

/// A file of certificates or revocations: the lists of large authorities have some MiB.
pub const CREDENTIAL_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Records of one lane that the centre refused one by one before it was seen to take any: who refuses so many refuses all.
pub const SUSPECTS_MAX: usize = 64;

/// An answer of the centre: a number, or a reason.
pub const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// A line of the NATS protocol: the server's first one names every server of its cluster.
pub const NATS_LINE_BYTES_MAX: usize = 64 * 1024;

/// Servers of one NATS cluster that are tried in turn.
pub const NATS_SERVERS_MAX: usize = 8;

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

// --- what a running sensor is told ---

/// Entries of `capture:`: two directions of a few taps are usual, and each has a ring of its own.
pub const CAPTURES_MAX: usize = 64;

/// An interface's name: the kernel's `IFNAMSIZ` without its closing NUL.
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;

/// The kernel's ring of one interface if nothing else is said: 50 ms of a full 10 Gbit/s link.
pub const RING_BYTES_DEFAULT: u64 = 64 << 20;

/// The kernel's ring, at least: less holds no two batches of jumbo frames.
pub const RING_BYTES_SETTABLE_MIN: u64 = 1 << 20;

/// The kernel's ring, at most: libpcap counts it in a 32-bit signed number.
pub const RING_BYTES_SETTABLE_MAX: u64 = 1 << 30;

/// Bytes taken of a packet if nothing else is said, and at most: what libpcap takes for any frame.
pub const SNAP_BYTES_DEFAULT: u32 = 262_144;

/// Bytes taken of a packet, at least: Ethernet, two tags, IPv6 and TCP with all its options.
pub const SNAP_BYTES_SETTABLE_MIN: u32 = 128;

/// A spool's size, at least: sixteen segments, so that whole ones can be freed while others are written.
pub const SPOOL_BYTES_SETTABLE_MIN: u64 = 16 << 20;

/// A spool's size, at most: no disk of a sensor has more to give.
pub const SPOOL_BYTES_SETTABLE_MAX: u64 = 1 << 40;

// ---- metrics

/// Links shown by name in the metrics; a tap has two, and a label for each of thousands would be a burden for who collects.
pub const LINKS_LABELLED_MAX: usize = 28;

/// Connections to the metrics server at once: some scrapers, a person, a probe; who comes in when all are taken displaces one.
pub const METRICS_CONNECTIONS_MAX: usize = 32;

/// How long a connection is safe from being displaced: a scrape on loopback takes a hundredth of this.
pub const METRICS_SAFE_TIME: std::time::Duration = std::time::Duration::from_millis(250);

/// Connections taken and requests answered in a second, together; the others wait in the kernel. Enough for hundreds of
/// scrapers, and a few hundredths of one processor.
pub const METRICS_TURNS_PER_SECOND_MAX: u32 = 1_000;

/// The head of one request: a scraper sends 300 bytes.
pub const METRICS_HEAD_BYTES_MAX: usize = 8 * 1024;

/// Header lines of one request.
pub const METRICS_HEADERS_MAX: usize = 32;

/// From the first byte of a request to the end of its head.
pub const METRICS_HEAD_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// From the end of a request's head to the last byte of its answer: as long as a scraper waits by default.
pub const METRICS_ANSWER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// A connection without a request: longer than a scrape interval of a minute, so that scrapers keep theirs.
pub const METRICS_IDLE_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(75);

/// One look at the sensor serves all who ask within this time, so that many scrapers cost what one costs.
pub const METRICS_SIGHT_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(100);

/// Reasons that an answer about readiness lists.
pub const METRICS_REASONS_MAX: usize = 64;

// Room: capture, beyond plain files.

/// One read of a packed file: a few tens of Zstandard blocks, small beside what they unpack to.
pub const PACKED_CHUNK_BYTES: usize = 256 << 10;

/// Bits of a Zstandard window: 128 MiB, what the format's own tool unpacks without being asked (RFC 8878 section 3.1.1.1.2
/// leaves the limit to the reader). Larger ones are refused by name.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Chunks that wait for each worker where one reads for all: enough that none idles between two reads, 1 MiB in all, as
/// workers share them.
pub const CHUNKS_WAITING_MAX: usize = 4;

/// How soon whoever waits for a pipe hears that nobody wants more.
pub const STOP_HEARD: std::time::Duration = std::time::Duration::from_millis(250);

/// Looks at a watched file that ends inside a record before its writer is believed to be gone: ten seconds, if a look is made
/// four times a second. A packer on a busy machine may pause for as long.
pub const WATCH_LOOKS_PARTIAL: u32 = 40;

/// Files of one watched folder: about 200 bytes of memory each, and each look asks for them all.
pub const WATCHED_FILES_MAX: usize = 1 << 20;

/// Notes on watched files that wait for somebody to take them; the counters have all.
pub const WATCHED_NOTES_MAX: usize = 1_024;

/// What is remembered of a watched folder: [`WATCHED_FILES_MAX`] lines with the longest names.
pub const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// Codings on top of each other that are undone; honest servers use one, curl refuses more than five.
pub const HTTP_CODINGS_MAX: usize = 4;

/// Decoded bytes of one connection that need not be in proportion to what came: a page of a megabyte of blanks is honest,
/// and hashing it costs a millisecond, once.
pub const HTTP_DECODED_FREE_BYTES: u64 = 1 << 20;

/// Decoded bytes for each coded byte beyond those: text gives 3 to 30, repetitive logs 60; bombs give 1 000 (deflate) to
/// 100 000 (brotli, zstd). A full packet makes at most 150 KB so.
pub const HTTP_DECODED_RATIO_MAX: u64 = 100;

/// A zstd window of 8 MiB: the largest that clients must take over HTTP (RFC 9659 section 3).
pub const ZSTD_WINDOW_BITS_MAX: u32 = 23;

/// Memory that the decoders of one shard may hold: one of the largest zstd windows, or the bodies of 200 gzip answers at
/// once; over all shards 2.3 GiB, which only an attack touches.
pub const DECODERS_BYTES_MAX: usize = 9 << 20;

/// Different Host headers of one request; honest ones have one, servers refuse two.
pub const HTTP_HOSTS_MAX: usize = 4;

/// A name in UTF-8 before it is folded to ASCII: four bytes for each of the 253 that it may come to.
pub const NAME_UTF8_BYTES_MAX: usize = 4 * 253;

/// A Certificate message that is gathered; of a longer one (post-quantum chains stay below 32 KiB) what comes first is read.
pub const TLS_CERTIFICATES_BYTES_MAX: usize = 96 * 1024;

/// Certificates of one message; chains have two to four.
pub const TLS_CERTIFICATES_MAX: usize = 16;

/// Names of one certificate that are said; shared hosts list a hundred.
pub const TLS_CERTIFICATE_NAMES_MAX: usize = 128;

/// Attributes of one distinguished name that are said; real ones have up to ten.
pub const DISTINGUISHED_NAME_ATTRIBUTES_MAX: usize = 64;

/// Parts of an object identifier that are said; real ones have up to fifteen.
pub const OBJECT_IDENTIFIER_PARTS_MAX: usize = 32;

/// Segments of one side that are looked at for the beginning of a record, behind a gap or before its first.
pub const TLS_SEEKS_MAX: u8 = 24;

/// Conversations that may follow each other in bytes offered at once: a tunnel in a tunnel, and room.
pub const CONVERSATIONS_AT_ONCE_MAX: usize = 8;

/// A pattern; what tells one tool from another is a few words long.
pub const PATTERN_BYTES_MAX: usize = 256;

/// Patterns of one set, counted once for each field that they are looked for in: a hundred times what lists of malicious
/// user agents hold.
pub const PATTERNS_MAX: usize = 8_192;

/// What one more pattern may cost beside its bytes: two rows of transitions for all byte values, and its place.
pub const PATTERN_COST_BYTES: usize = 4_096;

/// What one byte of a pattern may cost: a state with its transitions in both cases and its failure link.
pub const PATTERN_STATE_BYTES: usize = 32;

/// All automata of one set, as the two costs above add them up.
pub const PATTERN_AUTOMATA_BYTES_MAX: usize = 64 << 20;

/// Patterns that one value may meet: an honest one meets one or two.
pub const PATTERN_HITS_MAX: usize = 64;

/// Places of one value that are looked at because some pattern ends there: every byte of the longest head of a request.
pub const PATTERN_PLACES_MAX: usize = 64 << 10;

/// A network's name is repeated in every alert of its hosts.
pub const NETWORK_NAME_BYTES_MAX: usize = 64;

// decode: links and tunnels

/// Labels of one MPLS stack; networks use two to five, load balancers add two.
pub const MPLS_LABELS_MAX: usize = 16;

/// Options of one link or mirror header before its packet; NFLOG knows about twenty, TZSP a dozen.
pub const LINK_OPTIONS_MAX: usize = 64;

/// Link headers that name another link type, one inside the other; real ones occur alone.
pub const LINK_WRAPPINGS_MAX: usize = 4;

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

// the pace of a replay

/// The slowest pace: a second of the capture takes a quarter of an hour.
pub const PACE_FACTOR_MIN: f64 = 0.001;

/// The fastest pace: a day of the capture takes a tenth of a second, and no pace at all is faster.
pub const PACE_FACTOR_MAX: f64 = 1_000_000.0;

/// Nobody waits longer than this for the next frame of a file; longer silence is shortened, counted and said.
pub const PACE_GAP_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// A frame that waits looks this often whether anybody still wants it.
pub const PACE_NAP_MAX: std::time::Duration = std::time::Duration::from_millis(50);

/// Hits of one packet that an explanation keeps beside the alert's own.
pub const EXPLAIN_SIGHTS_MAX: usize = 32;

/// Alerts whose id begins with the digits given that are looked at before the question is called ambiguous.
pub const EXPLAIN_MATCHES_MAX: usize = 8;

/// Ids that are named when the one asked for is not there.
pub const EXPLAIN_NEAR_MAX: usize = 5;

/// Digits of an id that are taken for the whole: fewer would meet several alerts of any busy capture.
pub const EXPLAIN_DIGITS_MIN: usize = 4;

/// Lines of 16 bytes that are shown of one layer of a frame.
pub const EXPLAIN_DUMP_LINES_MAX: usize = 12;

/// Fields of an observation that are shown.
pub const EXPLAIN_FIELDS_MAX: usize = 40;

/// Any one value in an explanation: longer ones are cut.
pub const EXPLAIN_VALUE_BYTES_MAX: usize = 200;

/// Any one line of an explanation.
pub const EXPLAIN_LINE_BYTES_MAX: usize = 1_000;

/// Descriptors that the broker passes at once: the kernel takes 253, and an interface with more queues than these is refused.
pub const BROKER_DESCRIPTORS_MAX: usize = 250;

/// One message between the sensor and its broker: the longest is the list of interfaces.
pub const BROKER_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// How long the sensor waits for its broker: taking an interface of many queues takes the kernel well below a second.
pub const BROKER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// How long a start waits for its threads to enter the sandbox: each takes some milliseconds, and a thread that died never does.
pub const SANDBOX_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// How long a start waits for a receive queue that another program holds: the kernel frees those of a program that has died
/// within some milliseconds, and one that lives keeps them.
pub const QUEUE_FREE_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// Memory for packets of all receive queues of one AF_XDP port, unless one queue alone is given more: a card with 128 queues
/// must not take the machine's.
pub const PORT_BYTES_MAX: usize = 1 << 30;

/// Workers and links, multiplied: each reader of a link numbers its frames on its own, and together they keep below 2^53.
pub const READERS_MAX: usize = 255;

/// How long a look at an empty ring may keep the driver busy, at most, in microseconds: a batch of the slowest link.
pub const BUSY_POLL_MICROSECONDS_SETTABLE_MAX: u64 = 1_000;

/// A flow that has carried so much payload is heavy: what can be matched stands at its beginning, and when more comes than
/// can be read its payload is given up first.
pub const FLOW_HEAVY_BYTES_MIN: u64 = 1 << 20;

/// The same, where giving up heavy flows was not enough: several requests of a conversation still fit.
pub const FLOW_MIDDLING_BYTES_MIN: u64 = 64 << 10;
// the doctor

/// How long the doctor watches at most: an hour shows a busy time of day.
pub const DOCTOR_SECONDS_MAX: u64 = 3_600;

/// Conversations that the doctor tells apart, 4 MiB; those beyond are not judged, and judgements are shares.
pub const DOCTOR_CONVERSATIONS_MAX: usize = 65_536;

/// Conversations, at least, of which a share means something.
pub const DOCTOR_CONVERSATIONS_MIN: u64 = 20;

/// Packets of a conversation before it is judged: one that was only just begun, or only just ended, shows one side.
pub const DOCTOR_CONVERSATION_PACKETS_MIN: u32 = 3;

/// Frames, at least, of which a share by receive queue means something.
pub const DOCTOR_QUEUE_FRAMES_MIN: u64 = 1_000;

/// Frames that the doctor remembers to know their likes: half a million frames a second within the time below.
pub const DOCTOR_FRAMES_REMEMBERED_MAX: usize = 16_384;

/// A frame that was repeated within this was copied: TCP sends again after 200 ms at least (RFC 6298 says a second).
pub const DOCTOR_DUPLICATE_TIME_MAX: Span = Span::nanos(30_000_000);

/// Frames whose checksums the doctor works out: enough for a share.
pub const DOCTOR_CHECKSUMS_MAX: u64 = 10_000;

/// Private networks that the doctor tells apart when they are missing in the configuration.
pub const DOCTOR_RANGES_MAX: usize = 256;

/// Private networks that a finding names.
pub const DOCTOR_RANGES_SHOWN_MAX: usize = 4;

/// Receive queues that are watched one by one: each takes a socket and a ring. Of more they are not told apart.
pub const DOCTOR_QUEUES_MAX: usize = 16;

/// What the watching rings of all queues together may take.
pub const DOCTOR_RING_BYTES_MAX: usize = 64 << 20;

/// After the sockets were set up, how long what they give is not looked at: frames from before come by any of them.
pub const DOCTOR_SETTLE_TIME: std::time::Duration = std::time::Duration::from_millis(60);

/// An answer by netlink; the largest, of an interface with many virtual functions, has some ten KiB.
pub const DOCTOR_ANSWER_BYTES_MAX: usize = 64 << 10;

/// Attributes of one netlink answer; an interface has about sixty.
pub const DOCTOR_ATTRIBUTES_MAX: usize = 512;

/// A clock that moved by more than this against a steady one while it was watched was set: NTP slews half a millisecond a
/// second, and steps by 128 ms at least.
pub const DOCTOR_CLOCK_JUMP_MIN: Span = Span::nanos(100_000_000);

/// Frames wait some milliseconds before they are read, on a busy machine some hundred; what is further off has another clock.
pub const DOCTOR_STAMP_MAX: Span = Span::seconds(2);

/// What a ring must hold of the fastest second, in milliseconds: a sensor on a shared machine may be kept from running so long.
pub const DOCTOR_RING_MILLISECONDS_MIN: u64 = 50;

/// Room for a log, at least: some days of alerts.
pub const DOCTOR_LOG_BYTES_MIN: u64 = 256 << 20;

/// Room on a disk below which it is as good as full.
pub const DOCTOR_DISK_BYTES_MIN: u64 = 16 << 20;

// the control socket

/// Connections to the control socket at once: some people and scripts of one machine.
pub const CONTROL_CONNECTIONS_MAX: usize = 16;

/// Of these, how many may wait for a reload: the others still get an answer meanwhile.
pub const CONTROL_RELOADS_WAITING_MAX: usize = 8;

/// How long a connection is safe from being displaced: a local question takes a hundredth of this.
pub const CONTROL_SAFE_TIME: std::time::Duration = std::time::Duration::from_millis(250);

/// Connections taken, questions answered and milliseconds taken by answers in a second, together: more than any script asks,
/// and a fifth of one processor.
pub const CONTROL_TURNS_PER_SECOND_MAX: u32 = 200;

/// One question with its line's end: a URL to look up, and the words around it.
pub const CONTROL_QUESTION_BYTES_MAX: usize = 8 * 1024;

/// A value to look up: URLs beyond this are in no feed, and every pattern of the set is tried on all of it.
pub const CONTROL_VALUE_BYTES_MAX: usize = 4 * 1024;

/// One answer with its line's end: the counters of 256 workers and their rings fit many times.
pub const CONTROL_ANSWER_BYTES_MAX: usize = 32 << 20;

/// Entries of an answer to a look-up: a value meets a handful, and of a text full of patterns the rest is counted.
pub const CONTROL_ENTRIES_MAX: usize = 64;

/// From the first byte of a question to its line's end.
pub const CONTROL_QUESTION_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// From an answer's first byte to its last.
pub const CONTROL_ANSWER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// A connection without a question: a person types none by hand.
pub const CONTROL_IDLE_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// How long one who asked for a reload is kept waiting: a million indicators take seconds; the reload itself goes on.
pub const CONTROL_RELOAD_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(120);

/// A reason that a reload gives for its refusal: a screen full of faults of a configuration, each with its place.
pub const CONTROL_REASON_BYTES_MAX: usize = 16 * 1024;

/// How long a start waits for another one that makes its own socket in the same folder.
pub const CONTROL_BIND_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// The path of a socket: `sun_path` of `sockaddr_un` has 108 bytes, the last of them zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The name of a group: `LOGIN_NAME_MAX` less the zero byte, in Linux.
pub const GROUP_NAME_BYTES_MAX: usize = 255;

// ---- a worker that dies

/// Flows and pairs of hosts that a worker is wary of, because it died of their packets: looked through for every packet while
/// there is one. A hundred different ones that kill are a fault to be mended, not to be lived with.
pub const POISONED_MAX: usize = 64;

/// How long after its last death a flow is skipped; its ports may belong to others by then.
pub const POISONED_TIME: Span = Span::seconds(3_600);

/// Different flows of two hosts that may kill before nothing is read any more that the two say to each other: who takes another
/// port each time is one fault and not many.
pub const POISONED_FLOWS_MAX: u32 = 3;

/// Deaths in the reading again of one batch, after which the rest of it is read without its payloads; and as many more, after
/// which the rest is given up. Where each of them is a hang this takes below three seconds, less than who stands still may take.
pub const READ_AGAIN_DEATHS_MAX: u32 = 4;

/// Packets on their way to the quarantine. A worker begins again within a millisecond or two, and a disk may take twenty for each
/// file: this is what workers can die of while a disk writes a dozen.
pub const QUARANTINE_WAITING_MAX: usize = 256;

/// Their bytes: packets of usual size all find room, and of the largest that there are as many as before.
pub const QUARANTINE_WAITING_BYTES_MAX: usize = 4 << 20;

/// Packets kept in quarantine, if nothing else is said: enough to tell one fault from many.
pub const QUARANTINE_FILES_DEFAULT: u64 = 32;

/// The most that may be kept; each look for the oldest asks the disk about all of them.
pub const QUARANTINE_FILES_MAX: u64 = 1_000;

/// Processor time that a worker may spend on one packet, or on one step of a batch; more is a loop that does not end. A packet
/// takes microseconds. On a machine that gives the thread a third of a processor it is still over within a second.
pub const HANG_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(300);

/// The same, where it does not heed that it is pulled back; below the time after which the service manager takes it for dead.
pub const STUCK_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(2_500);

/// How long a worker that was told to end may go without a sign of life: it gives one a quarter of a second apart, and with every
/// batch. With what is done after it the process still ends within five seconds.
pub const SILENT_AT_END_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(2_000);

// ---- the spool

/// Segments that a small spool has at least: what goes when there is no room is a segment at a time.
pub const SEGMENTS_OF_A_SPOOL_MIN: u64 = 64;

/// A segment of a small spool: some records of the largest size that is usual.
pub const SEGMENT_BYTES_MIN: u64 = 256 << 10;

/// How long the spool leaves a slow disk alone between two syncs: more comes meanwhile than one of them is worth.
pub const SPOOL_REST_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// A sync that takes so long is one that somebody should know of: disks of sensors take milliseconds, loaded ones tens of them.
pub const SPOOL_SYNC_SLOW_TIME_MIN: std::time::Duration = std::time::Duration::from_millis(500);

/// How often what is appended is synced at the end, where the disk refuses; then it is counted as not taken.
pub const SPOOL_SYNCS_AT_END_MAX: u32 = 3;

/// How long what the centre has committed stays, to be sent again if the centre loses it: a day, in which somebody notices.
pub const REPLAY_WINDOW_TIME: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// The same, in bytes of the disk.
pub const REPLAY_WINDOW_BYTES_MAX: u64 = 1 << 30;

/// Files of a lane that are filled before they are used: one that is used, and one until it is filled anew.
pub const SPARES_OF_A_LANE: usize = 2;

/// How often it is looked whether files are to be filled or the window has passed: a file lasts longer at a busy site.
pub const SPOOL_TEND_TIME: std::time::Duration = std::time::Duration::from_millis(50);

/// Bytes of a lane that wait in memory for a disk that refuses them: some thousand alerts, more than come in the two seconds that a
/// disk may stand still.
pub const SPOOL_WAITING_BYTES_MAX: usize = 8 << 20;

/// How long a disk may be full before something is given up for it: somebody may be tidying up.
pub const DISK_FULL_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// How long a disk that refuses is left alone.
pub const DISK_RETRY_TIME_MIN: std::time::Duration = std::time::Duration::from_millis(100);

/// How often the centre is told of what was given up, while that goes on.
pub const SHED_SUMMARY_TIME_MIN: std::time::Duration = std::time::Duration::from_secs(60);

/// Gaps of a lane that are known as given up: there are as many as readers that hold something in front of them, and they meet.
pub const SHED_RANGES_MAX: usize = 16;

/// How often the collector wakes where nothing comes: what a disk refused is tried again, and what was given up is told.
pub const SPOOL_WAKE_TIME: std::time::Duration = std::time::Duration::from_millis(250);

/// How often a spool is looked at until two looks agree: a writer at work seldom disturbs one, and hardly ever two.
pub const SPOOL_LOOKS_MAX: usize = 5;

/// The replay window in time, at most: a month, after which nobody wants it from a sensor.
pub const REPLAY_HOURS_MAX: u32 = 31 * 24;

/// Replays that wait for whoever tends the spool: more than one operator asks for at once.
pub const REPLAYS_WAITING_MAX: usize = 4;

// ---- the ledger

/// One entry of the ledger: an attempt has some 500 bytes, an outcome with its receipt as many, and names have their bounds.
pub const LEDGER_ENTRY_BYTES_MAX: usize = 4 * 1024;

/// Entries that are not durable yet and wait for the one that has to be: with many couriers a few answers come between two messages.
pub const LEDGER_UNSYNCED_MAX: usize = 4;

/// What a crash leaves of such at the end of the ledger, at most, and of the one behind them: each may be spoilt by itself.
pub const LEDGER_TORN_BYTES_MAX: usize = (LEDGER_UNSYNCED_MAX + 1) * (LEDGER_ENTRY_BYTES_MAX + 1);

/// One file of the ledger: a start reads the last of them whole, in some milliseconds.
pub const LEDGER_FILE_BYTES_MAX: u64 = 4 << 20;

/// The ledger when the configuration names no size: a quarter of a million attempts.
pub const LEDGER_BYTES_DEFAULT: u64 = 256 << 20;

/// A ledger's size, at least: some files, so that a whole one can go while others stay.
pub const LEDGER_BYTES_SETTABLE_MIN: u64 = 16 << 20;

/// A ledger's size, at most: who verifies it reads all of it.
pub const LEDGER_BYTES_SETTABLE_MAX: u64 = 64 << 30;

/// How many days entries are kept when the configuration says nothing: a year, and time to look at it.
pub const LEDGER_DAYS_DEFAULT: u32 = 400;

/// The most days that may be said.
pub const LEDGER_DAYS_MAX: u32 = 36_500;

/// The address of whom something is sent to, as the ledger has it; longer ones are cut.
pub const LEDGER_TO_LETTERS_MAX: usize = 512;

/// What does not hold in a ledger is told one by one up to here, then counted.
pub const LEDGER_FINDINGS_MAX: usize = 100;

/// Attempts that a verification holds until their outcome comes: ways out, and those that a crash left, many times over.
pub const LEDGER_OPEN_MAX: usize = 10_000;

/// Public keys of one centre at once: the one in use, the next, and old ones whose receipts are still to be checked.
pub const RECEIPT_KEYS_MAX: usize = 64;
/// What may stand before a listed name in what was seen of it: names of services are shorter, and what is longer is how data
/// goes through a resolver.
pub const WIRE_NAME_FRONT_BYTES_MAX: usize = 32;

/// Roots of a TAXII server that are looked at for a collection. Servers have a handful; each costs two requests within one attempt.
pub const TAXII_ROOTS_MAX: usize = 8;

/// Objects that are asked for by name at once: fifty ids fit into the 4 KiB that servers take for a request's first line.
pub const TAXII_IDS_MAX: usize = 50;

/// Pages of the answer: a server that pages fifty objects further than this does not end.
pub const TAXII_PAGES_MAX: usize = 10;

/// Envelopes that a TAXII server may be at work on: one for each lane of the spool, and some that have grown since.
pub const TAXII_PENDING_MAX: usize = 8;

/// How long a TAXII server may be at work on one: after that it is given it again.
pub const TAXII_PENDING_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(300);

/// A name that `haetae reveal` looks for in what the site has written down; names have up to 255 bytes (RFC 1035 section 2.3.4).
pub const REVEAL_TEXT_BYTES_MAX: usize = 255;

/// What it reads of a file at once.
pub const REVEAL_READ_BYTES: usize = 1 << 20;

/// Texts that it remembers having tried: logs say the same thing again and again.
pub const REVEAL_REMEMBERED_MAX: usize = 1 << 18;

/// How often a worker without anything else to say says how late it is: an update waits that much longer than it has to.
pub const TIME_SAID_EVERY: Span = Span::seconds(1);

/// Repeats of a contact within this time become updates, where the configuration names none: of one that goes on for ten minutes the
/// centre has then heard seven times, and eight when they are over.
pub const MERGE_DEFAULT: Span = Span::seconds(600);

/// And where it does: beyond a day it is not one contact.
pub const MERGE_SECONDS_MAX: u64 = 86_400;

/// A log that the sensor rotates itself is at least this long before it is: several of the collector's buffers, so that lines are
/// what costs time, and not names of files.
pub const EVE_ROTATE_BYTES_MIN: u64 = 1 << 20;

/// And at most this long: what a tool that reads it whole may still have room for.
pub const EVE_ROTATE_BYTES_MAX: u64 = 1 << 40;

/// The shortest time between two rotations by the clock: a file for each minute is as many as anybody can name.
pub const EVE_ROTATE_SECONDS_MIN: u64 = 60;

/// And the longest: a year.
pub const EVE_ROTATE_SECONDS_MAX: u64 = 366 * 86_400;

/// Older logs that are kept where the configuration does not say: a week of days.
pub const EVE_KEEP_DEFAULT: u32 = 7;

/// And at most: each rotation may rename as many.
pub const EVE_KEEP_MAX: u32 = 1_000;

/// After a rotation that failed the next is tried so much later: a disk that takes no names is not asked for each line.
pub const EVE_ROTATE_AGAIN_TIME: std::time::Duration = std::time::Duration::from_secs(10);

/// What is read of a file of the spool or the ledger at once: none that they write is half as long, and what somebody else has put there
/// must not fill the memory.
pub const STORED_FILE_BYTES_MAX: u64 = 16 << 20;

/// Lists of admitted words that a worker keeps for alerts to share, some 300 bytes each; in a storm few indicators are met by most packets.
pub const ADMITTED_LISTS_MAX: usize = 1024;

/// Room for an alert's context when it is begun: that of a question or a greeting needs no second.
pub const CONTEXT_ROOM_BYTES: usize = 256;
