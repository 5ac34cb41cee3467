//! Headers of any link type: a packet's payload lies where it says, and what is known of a frame early is what is known late.

use haetae::capture::{Frame, Link};
use haetae::decode::{Fragments, decode, peek};
use haetae::limits::{DATAGRAM_BYTES_MAX, HEADERS_MAX};
use haetae::time::Timestamp;

use super::{number, piece};

/// Frames of one input; they share their fragments.
const FRAMES_MAX: u64 = 64;

/// `[link type, length, frame...]` with length and frame again and again.
pub fn decoded(mut input: &[u8]) -> usize {
    let Some(link) = number(&mut input) else { return 0 };
    let mut fragments = Fragments::new((1, 2));
    let (mut number, mut pieces) = (0, 0);
    while let Some(bytes) = piece(&mut input).filter(|_| number < FRAMES_MAX) {
        number += 1;
        let time = Timestamp::from_nanos(number as i64 * 1_000_000);
        let frame = Frame { number, time, bytes, length: bytes.len() as u32, link: Link(link) };
        if number % 8 == 0 {
            fragments.next_batch();
        }
        let peeked = peek(&frame);
        let Ok(packet) = decode(&frame, &mut fragments) else {
            pieces += 1;
            continue;
        };
        let payload = packet.payload(bytes, &fragments).len();
        assert_eq!(payload, packet.payload.len(), "a payload that lies outside of its frame");
        assert!(payload <= bytes.len().max(DATAGRAM_BYTES_MAX), "a payload longer than what it came in");
        assert!(packet.tunnel.is_none_or(|tunnel| usize::from(tunnel.depth) <= HEADERS_MAX));
        if let Some(pair) = peeked {
            assert_eq!(pair, (packet.source, packet.destination), "peek and decode see different pairs");
        }
    }
    let counts = fragments.counts();
    let fates = counts.whole + counts.evicted + counts.timeouts;
    assert!(fates <= number, "{fates} datagrams of {number} frames, {pieces} of them no packet");
    (number - pieces) as usize
}
