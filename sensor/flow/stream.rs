//! One direction of a TCP connection put in order.
//!
//! In: segments. Out: contiguous bytes and gaps, to the conversation. Bytes in order are never copied; bytes out of order
//! and bytes that a reader left are, into buffers that the shard bounds. Where segments overlap, what came first stays.

use std::collections::VecDeque;

use super::entry::{Flow, NONE, Talk};
use crate::decode::{Segment, tcp_flag};
use crate::limits::{
    SEGMENT_DISTANCE_MAX, SEGMENTS_ODD_MAX, UNDECIDED_BYTES_MAX, WAITING_ACKNOWLEDGED, WAITING_SEGMENTS_MAX,
    WINDOW_BYTES_MAX,
};
use crate::observable::{Observations, Side};
use crate::protocol::{self, Conversations, Read, Recognised, Wants};

/// A segment ahead of its time.
struct Waiting {
    seq: u32,
    bytes: Vec<u8>,
    fin: bool,
}

/// What one direction keeps.
#[derive(Default)]
struct Direction {
    /// Bytes in order that the reader left.
    window: Vec<u8>,
    /// Bytes out of order, by sequence number.
    waiting: VecDeque<Waiting>,
}

/// What one flow keeps.
#[derive(Default)]
struct Buffers([Direction; 2]);

/// What happened in streams; each is a bound reached or a byte not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Holes given up: bytes that were never seen.
    pub gaps: u64,
    /// Bytes in those holes, as far as sequence numbers tell.
    pub gap_bytes: u64,
    /// Holes given up because the shard's reassembly bound was reached.
    pub reassembly_full: u64,
    /// Conversations whose reader could make no sense of them any more.
    pub lost: u64,
    /// Segments ignored because they lie far from where they could belong.
    pub odd: u64,
    /// Segments that came ahead of their time.
    pub out_of_order: u64,
}

/// The conversations of one shard and what their streams keep.
#[derive(Default)]
pub(super) struct Streams {
    conversations: Conversations,
    buffers: Vec<Buffers>,
    free: Vec<u32>,
    held: usize,
    held_max: usize,
    pub(super) counts: StreamCounts,
}

/// What goes with every call: what is wanted, and where observations go.
pub(super) struct Reading<'a> {
    pub(super) wants: Wants,
    pub(super) out: &'a mut Observations,
}

impl Streams {
    pub(super) fn new(held_max: usize) -> Self {
        Streams { held_max, ..Streams::default() }
    }

    /// Takes a segment that `direction` sent.
    pub(super) fn segment(
        &mut self,
        flow: &mut Flow,
        direction: usize,
        segment: Segment,
        payload: &[u8],
        missing: u32,
        reading: &mut Reading<'_>,
    ) {
        let syn = segment.flags & tcp_flag::SYN != 0;
        let fin = segment.flags & tcp_flag::FIN != 0;
        let seq = segment.seq.wrapping_add(u32::from(syn));
        if !flow.started[direction] {
            flow.started[direction] = true;
            flow.next[direction] = seq;
        }
        let ahead = seq.wrapping_sub(flow.next[direction]);
        if ahead.min(ahead.wrapping_neg()) > SEGMENT_DISTANCE_MAX {
            if !self.believe(flow, direction, seq, reading) {
                return;
            }
        } else {
            flow.odd[direction] = 0;
        }
        let ahead = seq.wrapping_sub(flow.next[direction]);
        if ahead != 0 && ahead < u32::MAX / 2 {
            self.keep(flow, direction, seq, payload, fin, reading);
        } else {
            self.arrive(flow, direction, seq, payload, fin, reading);
            if missing > 0 {
                self.gap(flow, direction, u64::from(missing), reading);
                flow.next[direction] = flow.next[direction].wrapping_add(missing);
            }
            self.drain(flow, direction, reading);
        }
        if segment.flags & tcp_flag::ACK != 0 {
            self.acknowledged(flow, 1 - direction, segment.ack, reading);
        }
    }

    /// Whether a segment far away is to be believed after all: several in a row were.
    fn believe(&mut self, flow: &mut Flow, direction: usize, seq: u32, reading: &mut Reading<'_>) -> bool {
        self.counts.odd += 1;
        flow.odd[direction] += 1;
        if flow.odd[direction] < SEGMENTS_ODD_MAX {
            return false;
        }
        flow.odd[direction] = 0;
        self.forget_waiting(flow, direction);
        self.gap(flow, direction, 0, reading);
        flow.next[direction] = seq;
        true
    }

    /// Bytes at or before their place: what is new of them is in order now.
    fn arrive(
        &mut self,
        flow: &mut Flow,
        direction: usize,
        seq: u32,
        payload: &[u8],
        fin: bool,
        reading: &mut Reading<'_>,
    ) {
        let old = flow.next[direction].wrapping_sub(seq) as usize;
        if let Some(fresh) = payload.get(old..) {
            flow.next[direction] = flow.next[direction].wrapping_add(fresh.len() as u32);
            if !fresh.is_empty() {
                self.deliver(flow, direction, fresh, reading);
            }
            if fin && !flow.finished[direction] {
                flow.next[direction] = flow.next[direction].wrapping_add(1);
                self.finish(flow, direction, reading);
            }
        }
    }

    /// Copies a segment that is ahead of its time.
    fn keep(
        &mut self,
        flow: &mut Flow,
        direction: usize,
        seq: u32,
        payload: &[u8],
        fin: bool,
        reading: &mut Reading<'_>,
    ) {
        if (payload.is_empty() && !fin) || flow.talk == Talk::Shunted {
            return;
        }
        self.counts.out_of_order += 1;
        if self.held + payload.len() > self.held_max {
            self.counts.reassembly_full += 1;
            self.skip_hole(flow, direction, reading);
            let ahead = seq.wrapping_sub(flow.next[direction]);
            if ahead != 0 && ahead < u32::MAX / 2 {
                self.gap(flow, direction, u64::from(ahead), reading);
                flow.next[direction] = seq;
            }
            return self.arrive(flow, direction, seq, payload, fin, reading);
        }
        let next = flow.next[direction];
        let waiting = &mut self.direction(flow, direction).waiting;
        let place = waiting.partition_point(|w| w.seq.wrapping_sub(next) <= seq.wrapping_sub(next));
        waiting.insert(place, Waiting { seq, bytes: payload.to_vec(), fin });
        let full = waiting.len() > WAITING_SEGMENTS_MAX;
        self.held += payload.len();
        if full {
            self.skip_hole(flow, direction, reading);
        }
    }

    /// The other side has seen all before `ack`: a hole before it will never be filled.
    fn acknowledged(&mut self, flow: &mut Flow, direction: usize, ack: u32, reading: &mut Reading<'_>) {
        if flow.buffers == NONE {
            return;
        }
        let waiting = &self.buffers[flow.buffers as usize].0[direction].waiting;
        let Some(first) = waiting.front() else { return };
        let beyond = ack.wrapping_sub(first.seq);
        if beyond < u32::MAX / 2 && waiting.len() >= WAITING_ACKNOWLEDGED {
            self.skip_hole(flow, direction, reading);
        }
    }

    /// Gives up the first hole and goes on behind it.
    fn skip_hole(&mut self, flow: &mut Flow, direction: usize, reading: &mut Reading<'_>) {
        if flow.buffers == NONE {
            return;
        }
        let Some(first) = self.buffers[flow.buffers as usize].0[direction].waiting.front() else { return };
        let seq = first.seq;
        let hole = seq.wrapping_sub(flow.next[direction]);
        if hole != 0 && hole < u32::MAX / 2 {
            self.gap(flow, direction, u64::from(hole), reading);
            flow.next[direction] = seq;
        }
        self.drain(flow, direction, reading);
    }

    /// Delivers what waited for the bytes that have just come.
    fn drain(&mut self, flow: &mut Flow, direction: usize, reading: &mut Reading<'_>) {
        while flow.buffers != NONE {
            let next = flow.next[direction];
            let waiting = &mut self.buffers[flow.buffers as usize].0[direction].waiting;
            let due = waiting.front().is_some_and(|first| next.wrapping_sub(first.seq) < u32::MAX / 2);
            let Some(first) = due.then(|| waiting.pop_front()).flatten() else { return };
            self.held -= first.bytes.len();
            self.arrive(flow, direction, first.seq, &first.bytes, first.fin, reading);
        }
    }

    /// Contiguous bytes for the conversation. They are offered as they lie, or behind what the reader left.
    fn deliver(&mut self, flow: &mut Flow, direction: usize, bytes: &[u8], reading: &mut Reading<'_>) {
        if flow.talk == Talk::Shunted || flow.is_foreign(direction) {
            return;
        }
        let mut window = self.take_window(flow, direction);
        if window.is_empty() {
            let used = self.offer(flow, direction, bytes, reading).min(bytes.len());
            window.extend_from_slice(&bytes[used..]);
        } else {
            window.extend_from_slice(bytes);
            let used = self.offer(flow, direction, &window, reading).min(window.len());
            window.drain(..used);
        }
        self.leave_window(flow, direction, window);
        self.offer_other(flow, direction, reading);
    }

    /// Once one side is recognised, what the other side said before is read too.
    fn offer_other(&mut self, flow: &mut Flow, direction: usize, reading: &mut Reading<'_>) {
        let other = 1 - direction;
        if flow.buffers == NONE || !matches!(flow.talk, Talk::Stream(..)) || flow.is_foreign(other) {
            return;
        }
        let mut window = self.take_window(flow, other);
        if !window.is_empty() {
            let used = self.offer(flow, other, &window, reading).min(window.len());
            window.drain(..used);
            self.leave_window(flow, other, window);
        }
    }

    fn take_window(&mut self, flow: &Flow, direction: usize) -> Vec<u8> {
        if flow.buffers == NONE {
            return Vec::new();
        }
        let window = std::mem::take(&mut self.buffers[flow.buffers as usize].0[direction].window);
        self.held -= window.len();
        window
    }

    /// Puts back what the reader left, unless that is more than a reader may leave.
    fn leave_window(&mut self, flow: &mut Flow, direction: usize, window: Vec<u8>) {
        if window.is_empty() || flow.talk == Talk::Shunted {
            return;
        }
        if window.len() > WINDOW_BYTES_MAX || self.held + window.len() > self.held_max {
            self.counts.lost += 1;
            return self.shunt(flow);
        }
        self.held += window.len();
        self.direction(flow, direction).window = window;
    }

    /// Shows bytes to the reader, or to the recognisers while there is none. Returns how many are done with.
    fn offer(&mut self, flow: &mut Flow, direction: usize, bytes: &[u8], reading: &mut Reading<'_>) -> usize {
        if flow.talk == Talk::Unknown {
            match protocol::recognise(bytes, flow.ports(direction)) {
                Recognised::As(spoken, side) => {
                    flow.talk = Talk::Stream(spoken, self.conversations.open(spoken));
                    flow.app_proto = Some(spoken.name());
                    flow.asker_is_low = (direction == 0) == (side == Side::Client);
                    if flow.midstream {
                        flow.client_is_low = flow.asker_is_low;
                    }
                }
                Recognised::Later if bytes.len() < UNDECIDED_BYTES_MAX => return 0,
                Recognised::Later | Recognised::Nothing => {
                    flow.shown[direction] += 1;
                    if flow.is_foreign(direction) && flow.is_foreign(1 - direction) {
                        self.shunt(flow);
                    }
                    return bytes.len();
                }
            }
        }
        let Talk::Stream(spoken, handle) = flow.talk else { return bytes.len() };
        let read = self.conversations.read(spoken, handle, flow.asker(direction), bytes, reading.wants, reading.out);
        self.heed(flow, read, bytes.len())
    }

    fn heed(&mut self, flow: &mut Flow, read: Read, offered: usize) -> usize {
        match read {
            Read::Took(used) => used,
            Read::Done => {
                self.shunt(flow);
                offered
            }
            Read::Lost => {
                self.counts.lost += 1;
                self.shunt(flow);
                offered
            }
        }
    }

    /// Bytes that will never come.
    fn gap(&mut self, flow: &mut Flow, direction: usize, len: u64, reading: &mut Reading<'_>) {
        self.counts.gaps += 1;
        self.counts.gap_bytes += len;
        flow.missing[direction] += len;
        match flow.talk {
            Talk::Stream(spoken, handle) => {
                // what the reader left ends at the hole: it can never be completed
                drop(self.take_window(flow, direction));
                let asker = flow.asker(direction);
                let read = self.conversations.gap(spoken, handle, asker, len, reading.wants, reading.out);
                self.heed(flow, read, 0);
            }
            Talk::Unknown => drop(self.take_window(flow, direction)),
            Talk::Datagrams(_) | Talk::Shunted => {}
        }
    }

    /// One side says no more.
    fn finish(&mut self, flow: &mut Flow, direction: usize, reading: &mut Reading<'_>) {
        flow.finished[direction] = true;
        if let Talk::Stream(spoken, handle) = flow.talk {
            self.conversations.end(spoken, handle, flow.asker(direction), reading.wants, reading.out);
        }
    }

    /// The flow has ended: what waits is delivered with its gaps, and both sides say no more.
    pub(super) fn end(&mut self, flow: &mut Flow, reading: &mut Reading<'_>) {
        for direction in [0, 1] {
            while flow.buffers != NONE && !self.buffers[flow.buffers as usize].0[direction].waiting.is_empty() {
                self.skip_hole(flow, direction, reading);
            }
        }
        for direction in [0, 1] {
            if !flow.finished[direction] {
                self.finish(flow, direction, reading);
            }
        }
        self.shunt(flow);
    }

    /// Nothing more is learnt from this flow: its state and buffers go back.
    pub(super) fn shunt(&mut self, flow: &mut Flow) {
        if let Talk::Stream(spoken, handle) = flow.talk {
            self.conversations.close(spoken, handle);
        }
        flow.talk = Talk::Shunted;
        if flow.buffers != NONE {
            let Buffers(directions) = std::mem::take(&mut self.buffers[flow.buffers as usize]);
            let bytes = |d: &Direction| d.window.len() + d.waiting.iter().map(|w| w.bytes.len()).sum::<usize>();
            self.held -= directions.iter().map(bytes).sum::<usize>();
            self.free.push(flow.buffers);
            flow.buffers = NONE;
        }
    }

    fn forget_waiting(&mut self, flow: &Flow, direction: usize) {
        if flow.buffers != NONE {
            let waiting = std::mem::take(&mut self.buffers[flow.buffers as usize].0[direction].waiting);
            self.held -= waiting.iter().map(|w| w.bytes.len()).sum::<usize>();
        }
    }

    fn direction(&mut self, flow: &mut Flow, direction: usize) -> &mut Direction {
        if flow.buffers == NONE {
            flow.buffers = self.free.pop().unwrap_or_else(|| {
                self.buffers.push(Buffers::default());
                self.buffers.len() as u32 - 1
            });
        }
        &mut self.buffers[flow.buffers as usize].0[direction]
    }
}
