//! Which ports shunt flows, and how: what the flows ask for, said to the kernel.
//!
//! In: the ports, each with the payload from which on it shunts. Out: a [`Shunter`]. Never here: a flow.

use std::sync::Arc;

use crate::capture::live::Port;
use crate::flow::{Direction, Shunted, Shunter, Unheard};

/// See the head of this file.
#[derive(Default)]
pub(super) struct Ports(Vec<(u64, Arc<Port>)>);

impl Ports {
    /// The number that the next port gets; 0: there are as many as have a number.
    pub(super) fn next(&self) -> u8 {
        u8::try_from(self.0.len() + 1).unwrap_or_default()
    }

    /// Adds that port.
    pub(super) fn add(&mut self, payload_min: u64, port: Arc<Port>) {
        self.0.push((payload_min, port));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, port: u8) -> Option<&(u64, Arc<Port>)> {
        self.0.get(usize::from(port).checked_sub(1)?)
    }
}

impl Shunter for Ports {
    fn payload_min(&self, port: u8) -> u64 {
        self.of(port).map_or(u64::MAX, |(payload_min, _)| *payload_min)
    }

    fn shunt(&self, port: u8, of: &Direction) -> Option<Box<dyn Shunted>> {
        let Direction { source, destination, ports, vlans, flags } = *of;
        let direction = af_xdp::Direction { source, destination, ports, vlans, flags };
        let shunted = self.of(port)?.1.shunt(&direction)?;
        Some(Box::new(InKernel(shunted)))
    }
}

struct InKernel(af_xdp::Shunted);

impl Shunted for InKernel {
    fn more(&mut self) -> Unheard {
        unheard(self.0.more())
    }

    fn is_over(&self) -> bool {
        self.0.is_over()
    }

    fn withdraw(self: Box<Self>) -> (Unheard, bool) {
        let (last, settled) = self.0.withdraw();
        (unheard(last), settled)
    }
}

fn unheard(of: af_xdp::Counted) -> Unheard {
    Unheard { packets: of.packets, bytes: of.bytes, payload: of.payload }
}
