//! What happened to flows in one batch, for those who come after.

use super::entry::Flow;
use super::half_open::HalfOpen;
use super::{Ended, FlowView, Knock, Scene};
use crate::observable::Observations;
use crate::time::Timestamp;

/// Something that happened, in the order in which it did; `scene` says when and in which flow.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A flow's first packet.
    Began {
        /// Index into [`Trail::scenes`].
        scene: u32,
    },
    /// Observations `first..last` of [`Trail::observations`].
    Observed {
        /// The first of them.
        first: u32,
        /// Behind the last.
        last: u32,
    },
    /// A flow is over.
    Ended {
        /// Index into [`Trail::scenes`].
        scene: u32,
        /// Why.
        how: Ended,
    },
    /// A TCP flow's first SYN.
    Knocked {
        /// Index into [`Trail::knocks`].
        knock: u32,
    },
    /// A flow is over of which only the first SYN was ever seen.
    Lapsed {
        /// Index into [`Trail::knocks`].
        knock: u32,
        /// Why.
        how: Ended,
    },
}

/// What happened in one batch.
#[derive(Default)]
pub struct Trail {
    /// In order.
    pub steps: Vec<Step>,
    /// Copies of flows as they stood.
    pub scenes: Vec<Scene>,
    /// Half-open connections that began or are over.
    pub knocks: Vec<Knock>,
    /// What parsers saw.
    pub observations: Observations,
}

impl Trail {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.scenes.clear();
        self.knocks.clear();
        self.observations.clear();
    }

    /// The number of the packet of which a step comes, by the step's place; `None`: there is none.
    pub fn packet_of(&self, step: usize) -> Option<u64> {
        let of_scene = |scene: u32| self.scenes.get(scene as usize).map(|scene| scene.packet);
        match *self.steps.get(step)? {
            Step::Began { scene } | Step::Ended { scene, .. } => of_scene(scene),
            Step::Observed { first, .. } => of_scene(self.observations.list().get(first as usize)?.scene),
            Step::Knocked { knock } | Step::Lapsed { knock, .. } => {
                self.knocks.get(knock as usize).map(|knock| knock.moment.packet)
            }
        }
    }

    pub(super) fn scene(&mut self, moment: Moment, shard: usize, flow: FlowView) -> u32 {
        self.scenes.push(Scene { packet: moment.packet, time: moment.time, shard: shard as u8, flow });
        self.scenes.len() as u32 - 1
    }

    pub(super) fn knock(&mut self, moment: Moment, shard: usize, half_open: HalfOpen) -> u32 {
        self.knocks.push(Knock { half_open, moment, shard: shard as u8 });
        self.knocks.len() as u32 - 1
    }

    /// Stamps what was observed since there were `before` observations.
    pub(super) fn observed(&mut self, before: usize, moment: Moment, shard: usize, flow: &mut Flow) {
        if self.observations.len() == before {
            return;
        }
        let said = self.observations.list()[before..].iter().filter_map(|observation| observation.stage).max();
        flow.said = flow.said.max(said);
        let scene = self.scene(moment, shard, flow.view());
        self.observations.set_scene(before, scene);
        self.steps.push(Step::Observed { first: before as u32, last: self.observations.len() as u32 });
    }
}

/// A packet's place and time in the capture.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Its number, from 1.
    pub packet: u64,
    /// Its time.
    pub time: Timestamp,
}
