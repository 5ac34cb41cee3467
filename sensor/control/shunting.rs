//! Which ports shunt flows, and how: what the flows ask for, said to the kernel.
//!
//! In: the links, each with the payload from which on it shunts, and what holds its flows in the kernel while it is open.
//! Out: a [`Shunter`]. Never here: a flow.

use std::sync::{Arc, PoisonError, RwLock};

use af_xdp::Shunts;

use crate::flow::{Direction, Shunted, Shunter, Unheard};

/// See the head of this file.
#[derive(Default)]
pub(super) struct Ports(Vec<Port>);

struct Port {
    link: usize,
    payload_min: u64,
    /// Written when the link is opened or goes away; whoever reads does not wait for that.
    shunts: RwLock<Option<Arc<Shunts>>>,
}

impl Ports {
    /// The number that the next port gets; 0: there are as many as have a number.
    pub(super) fn next(&self) -> u8 {
        u8::try_from(self.0.len() + 1).unwrap_or_default()
    }

    /// Adds the port of that link.
    pub(super) fn add(&mut self, link: usize, payload_min: u64) {
        self.0.push(Port { link, payload_min, shunts: RwLock::default() });
    }

    /// Where that link's flows are held from now on.
    pub(super) fn set(&self, link: usize, shunts: Option<Arc<Shunts>>) {
        for port in self.0.iter().filter(|port| port.link == link) {
            *port.shunts.write().unwrap_or_else(PoisonError::into_inner) = shunts.clone();
        }
    }

    fn of(&self, port: u8) -> Option<&Port> {
        self.0.get(usize::from(port).checked_sub(1)?)
    }
}

impl Shunter for Ports {
    fn payload_min(&self, port: u8) -> u64 {
        let is_open = |port: &&Port| port.shunts.try_read().is_ok_and(|shunts| shunts.is_some());
        self.of(port).filter(is_open).map_or(u64::MAX, |port| port.payload_min)
    }

    fn shunt(&self, port: u8, of: &Direction) -> Option<Box<dyn Shunted>> {
        let Direction { source, destination, ports, vlans, flags } = *of;
        let direction = af_xdp::Direction { source, destination, ports, vlans, flags };
        let shunted = self.of(port)?.shunts.try_read().ok()?.as_ref()?.shunt(&direction)?;
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
