//! EVE lines: events, flows and alerts as Suricata 8's schema allows them.

use crate::flow::{Ended, FlowView, Scene};
use crate::observable::{Observation, Observations};

/// Appends one event as a line.
pub fn write_event(_out: &mut Vec<u8>, _observations: &Observations, _observation: &Observation, _scene: &Scene) {}

/// Appends a flow record as a line.
pub fn write_flow(_out: &mut Vec<u8>, _flow: &FlowView, _ended: Ended) {}
