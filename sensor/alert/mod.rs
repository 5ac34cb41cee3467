//! Alerts: a hit with its observation, flow, asset and indicator, complete in itself.

pub mod eve;

use crate::flow::{Ended, FlowView, Scene};
use crate::indicator::{Entry, Ioc};
use crate::observable::{Observation, Observations};

/// A confirmed and admitted hit, as the worker has it in hand.
pub struct Sighting<'a> {
    /// What was met.
    pub entry: Entry,
    /// The sources that stand by it.
    pub iocs: Vec<Ioc>,
    /// The batch's observations.
    pub observations: &'a Observations,
    /// The one that met it.
    pub observation: &'a Observation,
    /// Which of its fields, an index into [`Observations::fields`].
    pub field: usize,
    /// When and in which flow.
    pub scene: &'a Scene,
}

/// One contact of one flow with one indicator, at one revision.
#[derive(Clone, Debug)]
pub struct Alert {
    /// What was met.
    pub entry: Entry,
    /// The sources that stand by it.
    pub iocs: Vec<Ioc>,
    /// The flow, as it stands at this revision.
    pub flow: FlowView,
    /// Counts from 1.
    pub revision: u32,
    /// Set once the flow has ended: this is the last revision.
    pub ended: Option<Ended>,
}

/// The contacts of all open flows of one worker: one alert per (flow, indicator), later sightings only count.
#[derive(Default)]
pub struct Contacts {}

impl Contacts {
    /// Takes note of a sighting. The first of a (flow, indicator) gives revision 1, to be raised now.
    pub fn sight(&mut self, _sighting: Sighting<'_>) -> Option<Alert> {
        None
    }

    /// A flow has ended: the last revisions of its alerts, in the order of their first sighting.
    pub fn end(&mut self, _flow: &FlowView, _ended: Ended) -> Vec<Alert> {
        Vec::new()
    }
}
