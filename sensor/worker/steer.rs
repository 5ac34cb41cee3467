//! Steering: a packet that another worker owns, decoded and copied into that worker's bounded ring.
//!
//! In: a packet as `decode` left it, with its payload. Out: the same at its owner. What crosses is decoded already, so that
//! a datagram that was put together from fragments, or that lay in a tunnel, goes where its *innermost* pair belongs
//! without being looked at twice. One ring a pair of workers: neither side takes a lock. Never here: a fate; the caller
//! counts what found no room.

use rtrb::{Consumer, Producer, RingBuffer};

use crate::decode::Packet;
use crate::flow::{Moment, Ticket};
use crate::limits::{HAND_OFF_BYTES_MAX, HAND_OFF_PACKETS_MAX};

/// A packet on its way to its owner; its payload travels beside it.
#[derive(Clone, Copy)]
pub(super) struct Handed {
    pub(super) moment: Moment,
    pub(super) packet: Packet,
    pub(super) ticket: Ticket,
    /// Whether the frame was cut by the capture.
    pub(super) truncated: bool,
    /// Payload bytes.
    pub(super) len: u32,
}

/// The end at the worker that received the packet.
pub struct Outbox {
    packets: Producer<Handed>,
    bytes: Producer<u8>,
    /// Whether something was put in since the owner was last told.
    fresh: bool,
}

/// The end at the worker that owns its shard.
pub struct Inbox {
    packets: Consumer<Handed>,
    bytes: Consumer<u8>,
}

/// A ring between two workers.
pub fn ring() -> (Outbox, Inbox) {
    let (packets_in, packets_out) = RingBuffer::new(HAND_OFF_PACKETS_MAX);
    let (bytes_in, bytes_out) = RingBuffer::new(HAND_OFF_BYTES_MAX);
    let outbox = Outbox { packets: packets_in, bytes: bytes_in, fresh: false };
    (outbox, Inbox { packets: packets_out, bytes: bytes_out })
}

impl Outbox {
    /// False: there is no room.
    pub(super) fn put(&mut self, handed: Handed, payload: &[u8]) -> bool {
        // the bytes first: whoever finds the packet finds them too
        if self.packets.is_full() || self.bytes.push_entire_slice(payload).is_err() {
            return false;
        }
        self.fresh = true;
        self.packets.push(handed).is_ok()
    }

    /// Whether the owner should be told; asking clears it.
    pub(super) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }
}

impl Inbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.packets.slots()
    }

    /// Takes up to `most` packets, their payloads one behind the other.
    pub(super) fn take(&mut self, most: usize, packets: &mut Vec<Handed>, bytes: &mut Vec<u8>) {
        for _ in 0..most {
            let Ok(handed) = self.packets.pop() else { return };
            if let Ok(chunk) = self.bytes.read_chunk(handed.len as usize) {
                let (one, other) = chunk.as_slices();
                bytes.extend_from_slice(one);
                bytes.extend_from_slice(other);
                chunk.commit_all();
            }
            packets.push(handed);
        }
    }
}
