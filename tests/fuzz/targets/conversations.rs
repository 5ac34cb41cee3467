//! Readers of protocols: whatever is said to them, they take no more than they are offered and say no more than it pays for.

use haetae::limits::{HTTP_DECODED_FREE_BYTES, HTTP_DECODED_RATIO_MAX, WINDOW_BYTES_MAX};
use haetae::observable::{Observations, Side};
use haetae::protocol::{Conversations, Datagram, Digests, Read, Spoken, Verdict, Wants};

use super::{Allowed, arena, number, piece};

/// Everything that anybody can ask of a reader.
pub const ALL: Wants = Wants {
    digests: Digests { md5: true, sha1: true, sha256: true },
    answers: true,
    ja4: true,
    certificates: true,
    events: true,
};

/// Times that a conversation is carried on by another in the same bytes (tunnels in tunnels).
const CONVERSATIONS_MAX: usize = 8;

/// A body is decoded as far as [`HTTP_DECODED_FREE_BYTES`] for nothing and its ratio beyond; a decoder may be one buffer further.
const DECODED_BYTES: Allowed =
    Allowed { per_byte: HTTP_DECODED_RATIO_MAX as usize, at_least: HTTP_DECODED_FREE_BYTES as usize + (256 << 10) };

/// `[port, port, datagram...]`
pub fn datagram(row: &Datagram, mut input: &[u8]) -> usize {
    let (Some(from), Some(to)) = (number(&mut input), number(&mut input)) else { return 0 };
    if input.len() < row.bytes_min {
        return 0;
    }
    let mut out = Observations::default();
    let side = match (row.recognise)(input, (from, to)) {
        Verdict::Server => Side::Server,
        // what is not its own may still be offered to it: the flow was recognised by another datagram
        Verdict::Client | Verdict::Later | Verdict::Other => Side::Client,
    };
    took(row.name, (row.read)(input, side, ALL, &mut out), input.len());
    arena::is_sound(&out, input.len())
}

/// `[what, length, bytes...]` again and again. Bit 0 of `what` is the side; the next two: 0 and 1 bytes, 2 a gap of that
/// many, 3 the side's end.
pub fn stream(spoken: Spoken, mut input: &[u8]) -> usize {
    let (whole, mut all, mut out) = (input.len(), Conversations::default(), Observations::default());
    let mut handle = all.open(spoken);
    let (mut held, mut restarts, mut gap) = ([Vec::new(), Vec::new()], 0, false);
    while let Some((&what, rest)) = input.split_first() {
        input = rest;
        let side = if what & 1 == 0 { Side::Client } else { Side::Server };
        let window: &mut Vec<u8> = &mut held[side.index()];
        let read = match what >> 1 & 3 {
            0 | 1 => {
                let Some(bytes) = piece(&mut input) else { break };
                window.extend_from_slice(bytes);
                offer(&mut all, spoken, handle, side, window, &mut out)
            }
            2 => {
                gap = true;
                window.clear();
                let missing = number(&mut input).map_or(0, u64::from);
                all.gap(spoken, handle, side, missing, ALL, &mut out)
            }
            _ => {
                all.end(spoken, handle, side, ALL, &mut out);
                Read::Took(0)
            }
        };
        match read {
            Read::Took(_) if held[side.index()].len() < WINDOW_BYTES_MAX => {}
            Read::Over(_) if restarts < CONVERSATIONS_MAX => {
                restarts += 1;
                all.close(spoken, handle);
                handle = all.open(spoken);
                held = Default::default();
            }
            _ => break,
        }
    }
    all.end(spoken, handle, Side::Client, ALL, &mut out);
    all.end(spoken, handle, Side::Server, ALL, &mut out);
    all.close(spoken, handle);
    arena::is_sound(&out, whole);
    if !gap {
        bodies_are_bounded(&out, whole);
    }
    // a conversation that was closed is as good as new: nothing of this one may be said of the next
    let before = out.len();
    let next = all.open(spoken);
    all.end(spoken, next, Side::Client, ALL, &mut out);
    all.end(spoken, next, Side::Server, ALL, &mut out);
    assert_eq!(out.len(), before, "{}: something of a closed conversation is said of the next", spoken.name());
    before
}

/// Offers what is held of a side once, as the flow does for each segment, and keeps what was not taken.
fn offer(
    all: &mut Conversations,
    spoken: Spoken,
    handle: u32,
    side: Side,
    window: &mut Vec<u8>,
    out: &mut Observations,
) -> Read {
    let read = all.read(spoken, handle, side, window, ALL, out);
    window.drain(..took(spoken.name(), read, window.len()));
    read
}

/// How much was taken, which is no more than was offered.
fn took(name: &str, read: Read, offered: usize) -> usize {
    let taken = match read {
        Read::Took(taken) | Read::Over(taken) => taken,
        Read::Done | Read::Lost => 0,
    };
    assert!(taken <= offered, "{name}: took {taken} of {offered} bytes");
    taken
}

fn bodies_are_bounded(out: &Observations, input_bytes: usize) {
    for observation in out.list() {
        for seen in out.fields(observation).iter().filter(|seen| seen.field.name == "fileinfo.size") {
            DECODED_BYTES.hold("bytes of a body", out.number(seen) as usize, input_bytes);
        }
    }
}
