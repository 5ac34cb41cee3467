//! A port of which flows can be shunted: where the kernel is told to count and drop their packets.
//!
//! In: the directions of flows. Out: what holds each of them in the kernel. It outlives the interface: while that is away
//! nothing is shunted. Never here: which flows; a wait, for whoever asks has packets to read.

use std::sync::{Arc, PoisonError, RwLock};

use ::af_xdp::{Direction, Shunted, Shunts};

/// See the head of this file.
#[derive(Default)]
pub struct Port(RwLock<Option<Arc<Shunts>>>);

impl Port {
    /// The interface was taken, or went away.
    pub(super) fn set(&self, shunts: Option<Arc<Shunts>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = shunts;
    }

    /// From now on the kernel counts and drops the packets of this direction; `None`: there is no room, or no interface.
    pub fn shunt(&self, direction: &Direction) -> Option<Shunted> {
        self.0.try_read().ok()?.as_ref()?.shunt(direction)
    }
}
