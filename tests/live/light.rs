//! More than can be read, for real: packed bodies of which each packet is a tenth of a millisecond of work, and among them
//! small conversations that begin anew. The heavy ones are given up first; the small ones are read.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::load::{metrics, sum};
use super::*;
use crate::support::namespaces::sent;

/// A listed digest is what makes bodies worth unpacking.
const LISTED: &str = "format: haetae/1\nindicators: [{ domain: bad.example, severity: high },\
  { sha256: e2d2933bc94ac9c43f83b60903401e200c35d2a5d7f2c6d3b0ecf2fda7011958 }]\n";

/// Answers on their way at the same time, and one after the other in each place.
const AT_ONCE: u16 = 8;
const IN_TURN: u16 = 5;

/// Segments of one answer, and their bytes: two megabytes, of which each byte is many unpacked ones.
const SEGMENTS: u32 = 1_500;
const SEGMENT_BYTES: usize = 1_400;

/// Frames a second of the heavy conversations: several times what can be read of them.
const HEAVY_PER_SECOND: u64 = 20_000;

/// Nanoseconds of work for each frame, so that a fast machine has too much as well: two thirds of its time at that rate, and what
/// payload costs is more than the rest.
const SLOW: &str = "30000";

fn framed(ends: Ends, sequence: u32, acknowledged: u32, flags: u8, payload: &[u8]) -> Frame {
    let bytes = wire::framed(&wire::ip(ends, 6, &wire::tcp(ends, sequence, acknowledged, flags, payload)), Wrap::Plain);
    Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes }
}

/// An answer's head, and its body, packed; no honest proportion is exceeded.
fn answer() -> Vec<u8> {
    let wanted = SEGMENTS as usize * SEGMENT_BYTES;
    let mut packed = GzEncoder::new(Vec::new(), Compression::new(4));
    for line in 0_u64.. {
        // all but the number is as in the line before
        let number = line.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        writeln!(packed, "{number:016x} {}", "the same words again and again, ".repeat(20)).expect("memory");
        if packed.get_ref().len() > wanted {
            break;
        }
    }
    let body = packed.finish().expect("memory");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut whole = [head.as_bytes(), &body].concat();
    whole.truncate(wanted);
    whole
}

/// All of the heavy conversations, as they come.
fn heavy() -> Vec<Frame> {
    let (answer, request) = (answer(), b"GET /large HTTP/1.1\r\nHost: h.example\r\n\r\n");
    let after = 1_001 + request.len() as u32;
    let mut frames = Vec::new();
    for turn in 0..IN_TURN {
        let clients: Vec<Ends> = (0..AT_ONCE)
            .map(|place| Ends {
                from: ([10, 1, 1, place as u8 + 1].into(), 30_000 + turn),
                to: ([10, 77, 255, 80].into(), 80),
            })
            .collect();
        for client in &clients {
            frames.push(framed(*client, 1_000, 0, wire::SYN, &[]));
            frames.push(framed(client.turned(), 5_000, 1_001, wire::SYN | wire::ACK, &[]));
            frames.push(framed(*client, 1_001, 5_001, wire::PUSH_ACK, request));
        }
        for (at, segment) in answer.chunks(SEGMENT_BYTES).enumerate() {
            let sequence = 5_001 + (at * SEGMENT_BYTES) as u32;
            frames.extend(clients.iter().map(|client| framed(client.turned(), sequence, after, wire::ACK, segment)));
        }
    }
    frames
}

/// Small conversations, one half questions for a listed name, the other requests to it.
fn light(count: u32) -> Vec<Frame> {
    let mut asked = questions(count).into_iter();
    let request = b"GET / HTTP/1.1\r\nHost: bad.example\r\n\r\n";
    let mut frames = Vec::new();
    for number in 0..count / 2 {
        frames.extend(asked.next());
        let [_, _, high, low] = number.to_be_bytes();
        let ends = Ends { from: ([10, 2, high, low].into(), 20_000), to: ([10, 77, 255, 81].into(), 80) };
        let answered = 1_001 + request.len() as u32;
        frames.push(framed(ends, 1_000, 0, wire::SYN, &[]));
        frames.push(framed(ends.turned(), 5_000, 1_001, wire::SYN | wire::ACK, &[]));
        frames.push(framed(ends, 1_001, 5_001, wire::PUSH_ACK, request));
        frames.push(framed(ends.turned(), 5_001, answered, wire::ACK, &[]));
    }
    frames
}

#[test]
fn small_conversations_are_read_while_heavy_ones_are_more_than_can_be() {
    if !possible("small_conversations_are_read_while_heavy_ones_are_more_than_can_be") {
        return;
    }
    const LIGHT: u32 = 2_000;
    let link = Link::new();
    let folder = site(LISTED, "metrics: { listen: \"127.0.0.1:9920\" }\n");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("heavy.pcap"), wire::pcap(&heavy())).expect("a capture");
    std::fs::write(path("light.pcap"), wire::pcap(&light(LIGHT))).expect("a capture");
    let capture = "capture=[{interface: b0, backend: af_xdp, ring: 64MiB}]";
    let service = Service::start(&link, folder.path(), &["--workers", "1", "--slow-motion", SLOW, "--set", capture]);
    let began = Instant::now();
    let heavy = link.sending(&path("heavy.pcap"), 1, Some(HEAVY_PER_SECOND));
    // so that there is too much when the first of them comes
    std::thread::sleep(Duration::from_millis(500));
    let light = link.sending(&path("light.pcap"), 1, Some(2_500));
    let level = std::thread::scope(|scope| {
        let highest = scope.spawn(|| {
            link.enter();
            let seen = std::iter::from_fn(|| {
                std::thread::sleep(Duration::from_millis(100));
                (began.elapsed() < Duration::from_secs(4)).then(|| sum(&metrics(9920), "haetae_shedding_level"))
            });
            seen.fold([0; 5], |mut counts, level| {
                counts[level.min(4) as usize] += 1;
                counts
            })
        });
        highest.join().expect("it is asked")
    });
    let sent = sent(heavy) + sent(light);
    std::thread::sleep(Duration::from_millis(500));
    let (kernel, account, ..) = service.end();
    let count = |name| number(&account, name);
    let (read, shed) = (count("alerts"), count("shed_heavy") + count("shed_payload"));
    eprintln!(
        "{read} of {LIGHT} small conversations were read, while the payload of {shed} of {} frames was given up, {} lost; \
         looks at each level: {level:?}; {kernel} {account}",
        count("packets"),
        number(&kernel, "kernel_drops")
    );
    assert_eq!((count("unaccounted"), count("packets")), (0, number(&kernel, "received")), "{account}");
    assert_eq!(sent, number(&kernel, "offered") + number(&kernel, "interface_drops"), "{kernel}");
    assert!(shed * 20 > count("packets"), "there was too much: {account}");
    assert!(read * 100 >= u64::from(LIGHT) * 95, "{read} of {LIGHT}: {account}");
}
