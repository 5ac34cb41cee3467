//! What tells contacts apart and what an alert stands for when it stands for several, as [`crate::merge`] needs it.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use super::Alert;

/// What an update stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// The identity of the first alert of their contact.
    pub first: String,
    /// Which update of it; counts from 1.
    pub update: u32,
    /// How many alerts; none where it only says what became of some that were counted before.
    pub alerts: u64,
}

impl Alert {
    /// A number of its flow and [`Alert::indicator`]: all its revisions have it.
    pub fn contact(&self, indicator: u64) -> u64 {
        let (flow, mut hasher) = (&self.flow, SipHasher13::new());
        (flow.id, flow.client, flow.client_port, flow.server, flow.server_port, flow.protocol).hash(&mut hasher);
        (flow.start, indicator).hash(&mut hasher);
        hasher.finish()
    }

    /// A number of its indicator, the same in every generation of the set.
    pub fn indicator(&self) -> u64 {
        self.iocs.number()
    }
}
