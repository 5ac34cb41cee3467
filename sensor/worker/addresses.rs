//! Addresses of flows: looked up in a width of their own, and an observation only on a hit.
//!
//! In: scenes of flows that began. Out: questions, and sightings of those that hit. Never here: what a parser said.

use std::net::IpAddr;

use super::contact::Asked;
use super::{Worker, timeline};
use crate::decode::Packet;
use crate::flow::{Knock, Scene};
use crate::indicator::{AddressQuestion, Hit, Refusal};
use crate::observable::{Event, Field, Side, address};
use crate::time::Timestamp;

impl Worker {
    /// A flow began: its addresses become an observation only if one of them hit.
    pub(super) fn began(&mut self, step: u32, scene: &Scene, phase: u8, next: &mut usize) {
        self.count_flow(scene.flow.start);
        self.meet(step, scene, phase, next);
    }

    /// As [`Worker::began`], for one of which there may be millions.
    pub(super) fn knocked(&mut self, step: u32, knock: &Knock, phase: u8, next: &mut usize) {
        self.count_flow(knock.start());
        if self.address_hits.get(*next).is_some_and(|hit| hit.asked == step) {
            self.meet(step, &knock.scene(), phase, next);
        }
    }

    fn count_flow(&mut self, start: Timestamp) {
        if self.orders.timeline {
            self.tally.timeline.count(start, timeline::FLOWS, 1);
        }
    }

    fn meet(&mut self, step: u32, scene: &Scene, phase: u8, next: &mut usize) {
        while let Some(&hit) = self.address_hits.get(*next).filter(|hit| hit.asked == step) {
            *next += 1;
            self.meet_one(scene, hit, (phase, Asked::First));
        }
    }

    /// A hit that is not valid yet is asked again when the flow ends.
    pub(super) fn meet_one(&mut self, scene: &Scene, hit: Hit, how: (u8, Asked)) {
        if self.address_sighted(scene, hit, how) == Err(Refusal::NotYetValid) {
            self.early.entry(scene.flow.id).or_default().push(hit);
        }
    }

    pub(super) fn address_sighted(&mut self, scene: &Scene, hit: Hit, how: (u8, Asked)) -> Result<(), Refusal> {
        self.addresses.clear();
        let mut saying = self.addresses.begin(&FLOW, Side::Client);
        for (field, end) in ADDRESS_FIELDS.iter().zip(addresses_of(scene)) {
            if let Some(address) = end {
                saying.address(field, &address::canonical_of(address)[..16]);
            }
        }
        let observations = std::mem::take(&mut self.addresses);
        let outcome = self.sight(&observations, 0, hit, scene, how);
        self.addresses = observations;
        outcome
    }

    pub(super) fn question<const ENDS: usize>(&mut self, asked: u32, ends: [Option<IpAddr>; ENDS]) {
        let ends = ends.into_iter().enumerate();
        self.questions.extend(
            ends.filter_map(|(field, end)| Some(AddressQuestion { asked, field: field as u32, address: end? })),
        );
    }

    /// Whether one of a flow's ends is never watched: since the last reload, or it would be no flow.
    pub(super) fn is_unwatched(&self, scene: &Scene) -> bool {
        let networks = &self.orders.networks;
        !networks.watches_everything() && addresses_of(scene).into_iter().flatten().any(|end| networks.never_watch(end))
    }

    /// Whether one of its ends, tunnels included, is never watched.
    pub(super) fn is_never_watched(&self, packet: &Packet) -> bool {
        let outer = packet.tunnel.map(|tunnel| [tunnel.pair.0, tunnel.pair.1]);
        let ends = [packet.source, packet.destination].into_iter().chain(outer.into_iter().flatten());
        ends.map(|end| crate::decode::ip(&end)).any(|end| self.orders.networks.never_watch(end))
    }
}

/// Addresses of a new flow as an event of its own.
pub(super) static FLOW: Event = Event { name: "flow", app_proto: None };

/// What the addresses of a flow are called, in the order of [`addresses_of`].
pub(super) static ADDRESS_FIELDS: [Field; 4] = [
    Field::sought("src_ip", &address::KINDS).address().at(""),
    Field::sought("dest_ip", &address::KINDS).address().at(""),
    Field::sought("tunnel.src_ip", &address::KINDS).address().at(""),
    Field::sought("tunnel.dest_ip", &address::KINDS).address().at(""),
];

pub(super) fn addresses_of(scene: &Scene) -> [Option<IpAddr>; 4] {
    let (flow, outer) = (&scene.flow, scene.flow.tunnel.as_ref());
    [Some(flow.client), Some(flow.server), outer.map(|outer| outer.source), outer.map(|outer| outer.destination)]
}
