//! One direction of a TCP connection put in order.
//!
//! In: segments. Out: contiguous bytes and gaps, to the conversation. Bytes in order are never copied; bytes out of order
//! and bytes that a reader left are, into buffers that the shard bounds. Where segments overlap, what came first stays.

use super::counts::StreamCounts;
use super::entry::{Flow, Talk};
use super::table::NONE;
use super::waiting::{Waiting, is_ahead};
use crate::decode::{Segment, tcp_flag};
use crate::limits::{
    CONVERSATIONS_AT_ONCE_MAX, SEGMENT_DISTANCE_MAX, SEGMENTS_ODD_MAX, UNDECIDED_BYTES_MAX, WAITING_ACKNOWLEDGED,
    WAITING_COST_BYTES, WAITING_SEGMENTS_MAX, WINDOW_BYTES_MAX,
};
use crate::observable::{Observations, Side};
use crate::protocol::{self, Conversations, Read, Recognised, Wants};

/// What one direction keeps.
#[derive(Default)]
struct Direction {
    /// Bytes in order that the reader left.
    window: Vec<u8>,
    waiting: Waiting,
}

impl Direction {
    fn held(&self) -> usize {
        self.window.capacity() + self.waiting.held()
    }
}

/// A segment's place and content, wherever it comes from.
#[derive(Clone, Copy)]
struct Part<'a> {
    seq: u32,
    bytes: &'a [u8],
    /// Bytes behind these that the capture does not have (snap length).
    missing: u32,
    fin: bool,
}

/// What one flow keeps.
#[derive(Default)]
struct Buffers([Direction; 2]);

/// The conversations of one shard and what their streams keep.
#[derive(Default)]
pub(super) struct Streams {
    conversations: Conversations,
    buffers: Vec<Buffers>,
    free: Vec<u32>,
    held: usize,
    held_max: usize,
    counts: StreamCounts,
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

    /// What was counted here, and in conversations.
    pub(super) fn counts(&self) -> StreamCounts {
        StreamCounts { bodies: self.conversations.bodies(), ..self.counts }
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
        let seq = segment.seq.wrapping_add(u32::from(syn));
        if !flow.started[direction] {
            flow.started[direction] = true;
            flow.next[direction] = seq;
        }
        if segment.flags & tcp_flag::ACK != 0 {
            flow.acknowledged[1 - direction] = segment.ack;
        }
        let ahead = seq.wrapping_sub(flow.next[direction]);
        if ahead.min(ahead.wrapping_neg()) > SEGMENT_DISTANCE_MAX {
            if !self.believe(flow, direction, seq, reading) {
                return;
            }
        } else {
            flow.odd[direction] = 0;
        }
        let part = Part { seq, bytes: payload, missing, fin: segment.flags & tcp_flag::FIN != 0 };
        if is_ahead(seq, flow.next[direction]) {
            if !part.bytes.is_empty() || part.fin {
                self.counts.out_of_order += 1;
                self.keep(flow, direction, part, reading);
            }
        } else if self.meets_waiting(flow, direction, part) {
            // what waits came first and stays; only what is new goes between
            let old = flow.next[direction].wrapping_sub(seq) as usize;
            let rest = Part { seq: flow.next[direction], bytes: payload.get(old..).unwrap_or_default(), ..part };
            self.keep(flow, direction, rest, reading);
            self.drain(flow, direction, reading);
        } else {
            self.arrive(flow, direction, part, reading);
            self.drain(flow, direction, reading);
        }
        if segment.flags & tcp_flag::ACK != 0 {
            self.acknowledged(flow, 1 - direction, segment.ack, reading);
        }
    }

    /// Whether a segment far away is to be believed after all: several in a row were, and the other side, where it is
    /// seen, has acknowledged bytes near them. Anybody can send far segments to blind a sensor; only who received them
    /// acknowledges.
    fn believe(&mut self, flow: &mut Flow, direction: usize, seq: u32, reading: &mut Reading<'_>) -> bool {
        self.counts.odd += 1;
        flow.odd[direction] = flow.odd[direction].saturating_add(1);
        let from_acknowledged = seq.wrapping_sub(flow.acknowledged[direction]);
        let received = from_acknowledged.min(from_acknowledged.wrapping_neg()) <= SEGMENT_DISTANCE_MAX;
        if flow.odd[direction] < SEGMENTS_ODD_MAX || !(received || flow.packets[1 - direction] == 0) {
            return false;
        }
        flow.odd[direction] = 0;
        self.forget_waiting(flow, direction);
        self.gap(flow, direction, 0, reading);
        flow.next[direction] = seq;
        true
    }

    /// Bytes at or before their place: what is new of them is in order now. A FIN does not move the place, though it has
    /// a number of its own: if bytes come at that place all the same, it was not the receiver who was told of an end.
    fn arrive(&mut self, flow: &mut Flow, direction: usize, part: Part<'_>, reading: &mut Reading<'_>) {
        let old = flow.next[direction].wrapping_sub(part.seq) as usize;
        let (there, all) = (part.bytes.len(), part.bytes.len() + part.missing as usize);
        if old > all {
            return;
        }
        flow.next[direction] = part.seq.wrapping_add(all as u32);
        if let Some(fresh) = part.bytes.get(old..).filter(|fresh| !fresh.is_empty()) {
            self.deliver(flow, direction, fresh, reading);
        }
        if all > old.max(there) {
            self.gap(flow, direction, (all - old.max(there)) as u64, reading);
        }
        if part.fin {
            self.finish(flow, direction, reading);
        }
    }

    /// Copies a segment that is ahead of its time.
    fn keep(&mut self, flow: &mut Flow, direction: usize, part: Part<'_>, reading: &mut Reading<'_>) {
        if self.held + part.bytes.len() + WAITING_COST_BYTES > self.held_max {
            self.counts.reassembly_full += 1;
            return self.force(flow, direction, part, reading);
        }
        let next = flow.next[direction];
        let waiting = &mut self.direction(flow, direction).waiting;
        let before = waiting.held();
        if part.fin {
            waiting.ends_at(part.seq.wrapping_add(part.bytes.len() as u32).wrapping_add(part.missing));
        }
        if !part.bytes.is_empty() {
            waiting.keep(next, part.seq, part.bytes, part.missing);
        }
        let (more, mut left) = (waiting.held() - before, waiting.len());
        self.held += more;
        while left > WAITING_SEGMENTS_MAX {
            self.skip_hole(flow, direction, reading);
            left = self.waiting(flow, direction).map_or(0, Waiting::len);
        }
    }

    /// Whether a segment reaches into what waits.
    fn meets_waiting(&self, flow: &Flow, direction: usize, part: Part<'_>) -> bool {
        let first = self.waiting(flow, direction).and_then(Waiting::first);
        let end = part.seq.wrapping_add(part.bytes.len() as u32);
        first.is_some_and(|first| is_ahead(end, first))
    }

    /// There is no room for a segment: all holes before it are given up.
    fn force(&mut self, flow: &mut Flow, direction: usize, part: Part<'_>, reading: &mut Reading<'_>) {
        while let Some(first) = self.waiting(flow, direction).and_then(Waiting::first)
            && is_ahead(part.seq, first)
        {
            self.skip_hole(flow, direction, reading);
        }
        self.skip_to(flow, direction, part.seq, reading);
        self.arrive(flow, direction, part, reading);
        self.drain(flow, direction, reading);
    }

    /// The other side has seen all before `ack`: a hole before it will never be filled.
    fn acknowledged(&mut self, flow: &mut Flow, direction: usize, ack: u32, reading: &mut Reading<'_>) {
        let Some(waiting) = self.waiting(flow, direction) else { return };
        let Some(first) = waiting.first() else { return };
        if !is_ahead(first, ack) && waiting.len() >= WAITING_ACKNOWLEDGED {
            self.skip_hole(flow, direction, reading);
        }
    }

    /// Gives up the first hole and goes on behind it.
    fn skip_hole(&mut self, flow: &mut Flow, direction: usize, reading: &mut Reading<'_>) {
        reading.out.heed();
        let Some(first) = self.waiting(flow, direction).and_then(Waiting::first) else { return };
        self.skip_to(flow, direction, first, reading);
        self.drain(flow, direction, reading);
    }

    /// What lies before `seq` and has not come will never come.
    fn skip_to(&mut self, flow: &mut Flow, direction: usize, seq: u32, reading: &mut Reading<'_>) {
        if is_ahead(seq, flow.next[direction]) {
            let hole = seq.wrapping_sub(flow.next[direction]);
            let answered = flow.flags[1 - direction] & tcp_flag::ACK != 0;
            if answered && !is_ahead(seq, flow.acknowledged[direction]) {
                self.counts.unseen_bytes += u64::from(hole);
            }
            flow.next[direction] = seq;
            self.gap(flow, direction, u64::from(hole), reading);
        }
    }

    /// Delivers what waited for the bytes that have just come.
    fn drain(&mut self, flow: &mut Flow, direction: usize, reading: &mut Reading<'_>) {
        while flow.buffers != NONE {
            reading.out.heed();
            let next = flow.next[direction];
            let waiting = &mut self.buffers[flow.buffers as usize].0[direction].waiting;
            let before = waiting.held();
            let Some(due) = waiting.pop_due(next) else {
                if waiting.end() == Some(next) {
                    self.finish(flow, direction, reading);
                }
                return;
            };
            self.held -= before - waiting.held();
            let part = Part { seq: due.seq, bytes: &due.bytes, missing: due.missing, fin: false };
            self.arrive(flow, direction, part, reading);
        }
    }

    /// Contiguous bytes for the conversation. They are offered as they lie, or behind what the reader left.
    fn deliver(&mut self, flow: &mut Flow, direction: usize, bytes: &[u8], reading: &mut Reading<'_>) {
        if flow.talk == Talk::Shunted || flow.is_foreign(direction) {
            return;
        }
        let before = flow.talk;
        let mut window = self.take_window(flow, direction);
        if window.is_empty() {
            let used = self.offer(flow, direction, bytes, 0, reading).min(bytes.len());
            window.extend_from_slice(&bytes[used..]);
        } else {
            let fresh = window.len();
            window.extend_from_slice(bytes);
            let used = self.offer(flow, direction, &window, fresh, reading).min(window.len());
            window.drain(..used);
        }
        self.leave_window(flow, direction, window);
        if matches!(flow.talk, Talk::Stream(..)) || flow.talk != before {
            self.offer_other(flow, direction, reading);
        }
    }

    /// Once one side is recognised, or a conversation is over, what the other side said before is read too.
    fn offer_other(&mut self, flow: &mut Flow, direction: usize, reading: &mut Reading<'_>) {
        let other = 1 - direction;
        if flow.buffers == NONE || flow.is_foreign(other) {
            return;
        }
        let mut window = self.take_window(flow, other);
        if !window.is_empty() {
            let used = self.offer(flow, other, &window, 0, reading).min(window.len());
            window.drain(..used);
            self.leave_window(flow, other, window);
        }
    }

    fn take_window(&mut self, flow: &Flow, direction: usize) -> Vec<u8> {
        if flow.buffers == NONE {
            return Vec::new();
        }
        let window = std::mem::take(&mut self.buffers[flow.buffers as usize].0[direction].window);
        self.held -= window.capacity();
        window
    }

    /// Puts back what the reader left, unless that is more than a reader may leave.
    fn leave_window(&mut self, flow: &mut Flow, direction: usize, mut window: Vec<u8>) {
        if window.is_empty() || flow.talk == Talk::Shunted {
            return;
        }
        if window.capacity() > 2 * window.len() {
            window.shrink_to_fit(); // what one byte keeps is one byte
        }
        if window.len() > WINDOW_BYTES_MAX {
            self.counts.lost += 1;
            return self.shunt(flow);
        }
        if self.held + window.capacity() > self.held_max {
            self.counts.reassembly_full += 1;
            return self.shunt(flow);
        }
        self.held += window.capacity();
        self.direction(flow, direction).window = window;
    }

    /// Shows bytes to the reader, or to the recognisers while there is none; the newest begin at `fresh`. Returns how many
    /// are done with. Where a conversation is over, the next is looked for in what follows.
    fn offer(
        &mut self,
        flow: &mut Flow,
        direction: usize,
        bytes: &[u8],
        fresh: usize,
        reading: &mut Reading<'_>,
    ) -> usize {
        let (mut done, mut fresh) = (0, fresh);
        for _ in 0..CONVERSATIONS_AT_ONCE_MAX {
            reading.out.heed();
            if flow.talk == Talk::Unknown {
                done += self.recognise(flow, direction, &bytes[done..], fresh);
            }
            let rest = &bytes[done..];
            let Talk::Stream(spoken, handle) = flow.talk else { return done };
            let asker = flow.asker(direction);
            match self.conversations.read(spoken, handle, asker, rest, reading.wants, reading.out) {
                Read::Took(used) => return done + used,
                Read::Done => self.shunt(flow),
                Read::Lost => {
                    self.counts.lost += 1;
                    self.shunt(flow);
                }
                Read::Over(used) => {
                    self.conversations.close(spoken, handle);
                    (flow.talk, flow.shown) = (Talk::Unknown, [0; 2]);
                    (done, fresh) = (bytes.len().min(done + used), 0);
                    if done < bytes.len() {
                        continue;
                    }
                }
            }
            return bytes.len();
        }
        self.counts.lost += 1;
        self.shunt(flow);
        bytes.len()
    }

    /// Finds out who speaks, and returns how many bytes are done with. What could have become something is given up when
    /// it became nothing, and when the segment behind it is by itself something else (TLS behind a greeting).
    fn recognise(&mut self, flow: &mut Flow, direction: usize, bytes: &[u8], fresh: usize) -> usize {
        let ports = flow.ports(direction);
        let mut from = 0;
        let mut found = protocol::recognise(bytes, ports);
        if fresh > 0 && !matches!(found, Recognised::As(..)) {
            let alone = protocol::recognise(&bytes[fresh..], ports);
            if found == Recognised::Nothing || matches!(alone, Recognised::As(it, _) if it.is_excluded(bytes, ports)) {
                (from, found) = (fresh, alone);
            }
        }
        match found {
            Recognised::As(spoken, side) => {
                flow.talk = Talk::Stream(spoken, self.conversations.open(spoken));
                flow.app_proto = Some(spoken.name());
                flow.asker_is_low = (direction == 0) == (side == Side::Client);
                if flow.midstream {
                    flow.client_is_low = flow.asker_is_low;
                }
                from
            }
            Recognised::Later if bytes.len() - from < UNDECIDED_BYTES_MAX => from,
            Recognised::Later | Recognised::Nothing => {
                flow.shown[direction] = flow.shown[direction].saturating_add(1);
                if flow.is_foreign(direction) && flow.is_foreign(1 - direction) {
                    self.shunt(flow);
                }
                bytes.len()
            }
        }
    }

    /// Does what a reader says of a gap.
    fn heed(&mut self, flow: &mut Flow, read: Read) {
        match read {
            Read::Took(_) => {}
            Read::Over(_) => {
                if let Talk::Stream(spoken, handle) = flow.talk {
                    self.conversations.close(spoken, handle);
                }
                (flow.talk, flow.shown) = (Talk::Unknown, [0; 2]);
            }
            Read::Done => self.shunt(flow),
            Read::Lost => {
                self.counts.lost += 1;
                self.shunt(flow);
            }
        }
    }

    /// Bytes that will never come.
    fn gap(&mut self, flow: &mut Flow, direction: usize, len: u64, reading: &mut Reading<'_>) {
        if flow.talk == Talk::Shunted {
            return;
        }
        self.counts.gaps += 1;
        self.counts.gap_bytes += len;
        flow.missing[direction] += len;
        match flow.talk {
            Talk::Stream(spoken, handle) => {
                // what the reader left ends at the hole: it can never be completed
                drop(self.take_window(flow, direction));
                let asker = flow.asker(direction);
                let read = self.conversations.gap(spoken, handle, asker, len, reading.wants, reading.out);
                self.heed(flow, read);
            }
            Talk::Unknown => drop(self.take_window(flow, direction)),
            Talk::Datagrams(_) | Talk::Shunted => {}
        }
    }

    /// One side says no more.
    fn finish(&mut self, flow: &mut Flow, direction: usize, reading: &mut Reading<'_>) {
        if std::mem::replace(&mut flow.finished[direction], true) {
            return;
        }
        if let Talk::Stream(spoken, handle) = flow.talk {
            self.conversations.end(spoken, handle, flow.asker(direction), reading.wants, reading.out);
        }
    }

    /// The flow has ended: what waits is delivered with its gaps, and both sides say no more. Who asks is heard first, so
    /// that an answer finds its question.
    pub(super) fn end(&mut self, flow: &mut Flow, reading: &mut Reading<'_>) {
        let first = usize::from(!flow.asker_is_low);
        for direction in [first, 1 - first] {
            while self.waiting(flow, direction).is_some_and(|waiting| waiting.len() > 0) {
                self.skip_hole(flow, direction, reading);
            }
            if let Some(end) = self.waiting(flow, direction).and_then(Waiting::end) {
                self.skip_to(flow, direction, end, reading);
            }
        }
        for direction in [first, 1 - first] {
            self.finish(flow, direction, reading);
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
            self.held -= directions.iter().map(Direction::held).sum::<usize>();
            self.free.push(flow.buffers);
            flow.buffers = NONE;
        }
    }

    fn forget_waiting(&mut self, flow: &Flow, direction: usize) {
        if flow.buffers != NONE {
            let waiting = std::mem::take(&mut self.buffers[flow.buffers as usize].0[direction].waiting);
            self.held -= waiting.held();
        }
    }

    fn waiting(&self, flow: &Flow, direction: usize) -> Option<&Waiting> {
        (flow.buffers != NONE).then(|| &self.buffers[flow.buffers as usize].0[direction].waiting)
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

/// What tests ask: nothing may stay behind, and nothing may be counted that is not there.
#[cfg(test)]
mod kept {
    use super::*;

    impl Streams {
        /// Bytes held, buffers in use, conversations open.
        pub(in crate::flow) fn kept(&self) -> (usize, usize, usize) {
            let held: usize = self.buffers.iter().flat_map(|Buffers(both)| both).map(Direction::held).sum();
            assert_eq!(held, self.held, "what is counted is what is there");
            assert!(self.held <= self.held_max);
            (self.held, self.buffers.len() - self.free.len(), self.conversations.open_now())
        }
    }
}
