//! A sign of life: what a sensor says of itself, and nothing of what it sees.
//!
//! In: what control knows of the sensor ([`Pulse`]) and the courier of its spool. Out: the bytes to send. Names of reasons come
//! from a closed list, so that no interface and no value is in them. Never here: a name of the site's own.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::{Gate, Mode};
use crate::ledger::Head;

/// A sign of life.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    json: Vec<u8>,
}

impl Heartbeat {
    /// The bytes to send.
    pub fn json(&self) -> &[u8] {
        &self.json
    }
}

/// What a sensor says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// What only control knows.
    #[serde(flatten)]
    pub condition: Condition,
    /// Records that wait in the spool.
    pub waiting: u64,
    /// Bytes of the spool.
    pub spool_bytes: u64,
    /// How long the oldest has waited, in seconds.
    pub oldest_s: u64,
    /// Delivered since the start.
    pub delivered: u64,
    /// Withheld by the gate since the start.
    pub withheld: u64,
    /// Refused by the centre since the start.
    pub refused: u64,
}

/// How the sensor is; whatever is not known is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Whether it does all that it is configured to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// The names of the reasons why not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<&'static str>,
    /// Version of the indicator set; 0: unknown.
    pub set_version: u64,
    /// How old what the set says is, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_age_s: Option<u64>,
    /// Frames and records that were lost, since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub losses: Option<Losses>,
    /// Times in which links were not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind: Option<Blind>,
}

/// What came, and what of it was lost where: exact, since the start. A frame is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Losses {
    /// Frames that the kernel handed to the sensor.
    pub received: u64,
    /// Frames that the kernel had no room to keep for the sensor.
    pub kernel: u64,
    /// Frames that interfaces or their drivers lost.
    pub interface: u64,
    /// Frames for which the ring of another worker had no room.
    pub ring_full: u64,
    /// Frames of which only the addresses were read, because more came than can be read.
    pub shed: u64,
    /// Frames that went with a worker that died of one of them.
    pub restart: u64,
    /// Frames that no worker accounts for: a fault of the sensor.
    pub unaccounted: u64,
    /// Events and alerts that the outputs had no room for.
    pub records: u64,
    /// Alerts that the spool did not take.
    pub not_spooled: u64,
}

/// Seconds in which links were not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Blind {
    /// Links that are to be read.
    pub links: u64,
    /// Links that cannot be read now.
    pub now: u64,
    /// Seconds since the start, of all links together.
    pub seconds: u64,
}

/// Where control writes how the sensor is, and whoever tells of it reads. Not for a packet's path.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Condition>>>);

impl Pulse {
    /// How it is now.
    pub fn set(&self, condition: Condition) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(condition);
    }

    /// How it was when it was last looked at; `None`: nobody has looked.
    pub fn get(&self) -> Option<Condition> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gate {
    /// A sign of life. It holds no indicator: no marking limits it. `ledger` is where the ledger stands before it is entered.
    pub fn heartbeat(&self, ledger: Head, health: &Health) -> Heartbeat {
        #[derive(Serialize)]
        struct Wire<'a> {
            site: &'a str,
            sensor: &'a str,
            mode: Mode,
            version: &'a str,
            ledger: Head,
            #[serde(flatten)]
            health: &'a Health,
        }
        let (site, sensor) = self.sender.names();
        let (mode, version) = (self.sender.mode, env!("CARGO_PKG_VERSION"));
        let wire = Wire { site, sensor, mode, version, ledger, health };
        Heartbeat { json: serde_json::to_vec(&wire).unwrap_or_default() }
    }
}
