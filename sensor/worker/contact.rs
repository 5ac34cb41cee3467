//! What a hit and a flow's end make of a contact.
//!
//! In: hits that the set confirmed, flows that are over. Out: alerts and their revisions. Never here: a look-up.

use super::addresses::{ADDRESS_FIELDS, FLOW};
use super::{Glimpse, Worker};
use crate::alert::{Sighting, eve};
use crate::flow::{Ended, Knock, Scene};
use crate::indicator::{Circumstances, Hit, Refusal};
use crate::observable::{Observations, Side};

/// Whether a flow is asked for the first time, or again because the set or the time is another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    First,
    Again,
}

impl Worker {
    /// A confirmed hit: policy is asked, and the first sighting of an indicator in a flow raises an alert.
    pub(super) fn sight(
        &mut self,
        all: &Observations,
        at: usize,
        hit: Hit,
        scene: &Scene,
        (phase, asked): (u8, Asked),
    ) -> Result<(), Refusal> {
        let observation = &all.list()[at];
        let seen = all.fields(observation)[hit.field as usize];
        let (_, source_port, _, destination_port) = scene.flow.endpoints(Side::Client);
        let port = match seen.field.name {
            name if name == ADDRESS_FIELDS[0].name => Some((source_port, scene.flow.protocol)),
            name if name == ADDRESS_FIELDS[1].name => Some((destination_port, scene.flow.protocol)),
            _ => None,
        };
        let circumstances = Circumstances { at: scene.time, port };
        let glimpse =
            Glimpse { phase, hit, observations: all, observation, scene, circumstances, refused: None, alert: None };
        let again = u64::from(asked == Asked::Again);
        let admitted = self.orders.set.admit(hit.entry, all.value(&seen), circumstances, &mut self.admitted);
        let iocs = admitted.inspect_err(|refusal| {
            self.tally.hits += again;
            self.tally.refuse(*refusal);
            self.witness.iter_mut().for_each(|witness| witness(&Glimpse { refused: Some(*refusal), ..glimpse }));
        })?;
        let field = hit.field as usize;
        let clock_suspect = self.clock_suspect;
        let sighting = Sighting { entry: hit.entry, iocs, observations: all, observation, field, scene, clock_suspect };
        if asked == Asked::Again && self.contacts.knows(&sighting) {
            return Ok(()); // to ask is not to see
        }
        self.tally.hits += again;
        let raised = self.contacts.sight(&sighting, &mut self.release.alerts);
        let alert = self.release.alerts.last().filter(|_| raised);
        self.witness.iter_mut().for_each(|witness| witness(&Glimpse { alert, ..glimpse }));
        if let Some(alert) = alert {
            self.tally.raise(alert.severity());
            self.put_out_alerts(scene, phase, 1);
        }
        Ok(())
    }

    /// A flow is over: indicators that were not valid yet are asked again, and its alerts get their last revision.
    pub(super) fn ended(&mut self, scene: &Scene, how: Ended, phase: u8) {
        if self.is_unwatched(scene) {
            self.early.remove(&scene.flow.id);
            return self.contacts.forget(scene);
        }
        if usize::from(scene.shard) >= self.shards_asked {
            self.ask_again(&[Scene { time: scene.flow.last, ..*scene }], phase);
        }
        for hit in self.early.remove(&scene.flow.id).unwrap_or_default() {
            let _counted = self.address_sighted(&Scene { time: scene.flow.last, ..*scene }, hit, (phase, Asked::Again));
        }
        let before = self.release.alerts.len();
        let alerted = self.contacts.end(scene, how, &mut self.release.alerts);
        if alerted {
            self.put_out_alerts(scene, phase, self.release.alerts.len() - before);
        }
        self.say(FLOW.name, scene, phase, |out| eve::write_flow_alerted(out, &scene.flow, how, alerted));
    }

    /// As [`Worker::ended`], for one of which there may be millions: nobody asks of most.
    pub(super) fn lapsed(&mut self, knock: &Knock, how: Ended, phase: u8) {
        let flow = knock.flow();
        let awaited = self.early.contains_key(&flow) || knock.shard() >= self.shards_asked;
        if awaited || self.says(FLOW.name) || self.contacts.has_met(flow) {
            self.ended(&knock.scene(), how, phase);
        }
    }
}
