//! The readers of all lanes, for one who takes records to one place.
//!
//! Never here: an order between lanes but that of urgency.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Position;
use super::reader::{Reader, Waiting};
use super::shared::Room;

/// The readers of all lanes, the most urgent first.
pub struct Readers {
    lanes: Vec<Reader>,
    room: Arc<Room>,
    /// How often something had become durable when somebody last looked.
    seen: u64,
}

impl Readers {
    pub(super) fn new(lanes: Vec<Reader>, room: Arc<Room>) -> Self {
        Readers { lanes, room, seen: 0 }
    }

    /// Each lane's reader.
    pub fn lanes(&mut self) -> &mut [Reader] {
        &mut self.lanes
    }

    /// Others on the same cursors, for who only looks.
    pub fn again(&self) -> Readers {
        Readers::new(self.lanes.iter().map(Reader::again).collect(), Arc::clone(&self.room))
    }

    /// Bytes of whole segments that are settled and kept for a while, in all lanes.
    pub fn kept_bytes(&self) -> u64 {
        self.room.settled.load(Ordering::Acquire)
    }

    /// Records that somebody has set the centre's watermark back over since the spool was opened, in all lanes: each is sent again.
    pub fn rewound(&self) -> u64 {
        self.lanes.iter().map(Reader::rewound).sum()
    }

    /// What waits in each lane.
    pub fn each(&self) -> impl Iterator<Item = Waiting> + '_ {
        self.lanes.iter().map(Reader::waiting)
    }

    /// What waits in all lanes: their sum, and the age of the oldest. Watermark and last record are of no one lane, so they
    /// stand for counts.
    pub fn waiting(&self) -> Waiting {
        self.each().fold(Waiting::default(), |all, one| Waiting {
            watermark: Position(all.watermark.0.saturating_add(one.watermark.0)),
            last: Position(all.last.0.saturating_add(one.last.0)),
            shed: all.shed.saturating_add(one.shed),
            bytes: all.bytes + one.bytes,
            oldest: all.oldest.max(one.oldest),
            missed: all.missed.saturating_add(one.missed),
        })
    }

    /// Remembers how far the lanes have come: what is durable later ends the next [`Readers::wait`].
    pub fn look(&mut self) {
        self.seen = self.room.grown();
    }

    /// Waits until something is durable that was not at the last look, at most this long.
    pub fn wait(&self, at_most: Duration) {
        self.room.wait(self.seen, at_most);
    }
}
