//! A hit as a worker shows it to whoever asks why: admitted or refused, raised or counted.
//!
//! Nobody asks on a link or in a plain replay; then this is one test per confirmed hit.

use super::Worker;
use crate::alert::Alert;
use crate::capture::Frame;
use crate::decode::{Fate, Packet};
use crate::flow::Scene;
use crate::indicator::{Circumstances, Hit, Refusal};
use crate::observable::{Observation, Observations};

/// One confirmed hit and what came of it.
#[derive(Clone, Copy)]
pub struct Glimpse<'a> {
    /// 0: at a packet; 1: as its flow ended in a sweep.
    pub phase: u8,
    /// What was met, and in which field of the observation.
    pub hit: Hit,
    /// The arena that the observation is in.
    pub observations: &'a Observations,
    /// The event that was seen.
    pub observation: &'a Observation,
    /// When, and in which flow.
    pub scene: &'a Scene,
    /// What policy was told of it.
    pub circumstances: Circumstances,
    /// Why it raised nothing.
    pub refused: Option<Refusal>,
    /// The alert that it raised; a further sighting raises none.
    pub alert: Option<&'a Alert>,
}

/// Sees every hit, in order.
pub type Witness = Box<dyn FnMut(&Glimpse<'_>) + Send>;

impl Worker {
    /// Shows every hit from now on.
    pub fn shown_to(mut self, witness: Witness) -> Self {
        self.witness = Some(witness);
        self
    }

    /// What became of the frame at this place of the latest batch.
    pub fn fate(&self, at: usize) -> Fate {
        self.fates.get(at).copied().unwrap_or_default()
    }

    /// The packet in the frame at this place of the latest batch, and its payload.
    pub fn packet<'a>(&'a self, at: usize, frame: &Frame<'a>) -> Option<(&'a Packet, &'a [u8])> {
        let packet = &self.unpacked.iter().find(|unpacked| unpacked.at == at)?.packet;
        Some((packet, packet.payload(frame.bytes, &self.fragments)))
    }
}
