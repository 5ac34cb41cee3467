//! What a report gathers while a replay runs: alerts as incidents, and when they were.
//!
//! In: every alert in its last revision, in the one order. Out: [`Findings`], bounded whatever is said. An incident is all
//! contacts of one host with one indicator in one direction. Never here: HTML, a file.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::alert::reading::Reading;
use crate::alert::record::Desk;
use crate::alert::{Alert, Said};
use crate::indicator::{Iocs, Severity, Tlp};
use crate::limits::{REPORT_CONTACTS_SHOWN_MAX, REPORT_INCIDENTS_PER_SEVERITY_MAX};
use crate::networks::Direction;
use crate::observable::Stage;
use crate::time::Timestamp;
use crate::worker::timeline::{ALERTS, Timeline};

/// How many severities there are; they are indices from low to critical.
pub(super) const SEVERITIES: [Severity; 4] = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

/// What makes two alerts one incident: the near end, kind and value of the indicator, which way.
type Key = (IpAddr, &'static str, String, Direction);

/// Everything that the alerts of a replay came to.
#[derive(Default)]
pub struct Findings {
    /// Which of the replay's captures is being read; whoever reads it says so.
    pub capture: usize,
    /// All alerts, by severity.
    pub(super) alerts: [u64; SEVERITIES.len()],
    /// Alerts of incidents for which there was no room.
    pub(super) crowded: u64,
    /// The strictest word of any source that an alert rests on.
    pub(super) tlp: Option<Tlp>,
    /// When alerts were.
    pub(super) timeline: Timeline,
    incidents: BTreeMap<Key, Incident>,
    /// Incidents by the severity that they began with, and by whether they began with an answer: those in which nobody
    /// answered take no room from those in which somebody did.
    rooms: [[usize; 2]; SEVERITIES.len()],
}

/// All contacts of one host with one indicator in one direction.
pub(super) struct Incident {
    /// Its place among all incidents.
    order: u64,
    /// The host: the site's own end, or who asked where neither is.
    pub(super) host: IpAddr,
    pub(super) severity: Severity,
    /// The identity that its records carry.
    pub(super) id: String,
    pub(super) direction: Direction,
    /// The contact that went furthest.
    pub(super) worst: Alert,
    pub(super) stage: Stage,
    pub(super) alerts: u64,
    pub(super) sightings: u64,
    /// Payload that the host sent; what it asked of resolvers did not go to the indicator.
    pub(super) bytes_out: u64,
    /// Payload that it got.
    pub(super) bytes_in: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// Its first contacts.
    pub(super) contacts: Vec<Contact>,
}

/// One alert of an incident.
pub(super) struct Contact {
    pub(super) id: String,
    pub(super) capture: usize,
    pub(super) alert: Alert,
    pub(super) severity: Severity,
    pub(super) name_hidden: bool,
}

impl Findings {
    /// Takes note of an alert in its last revision.
    pub fn take(&mut self, alert: &Alert, desk: &Desk) {
        let reading = desk.reading(alert);
        let severity = reading.worst.map_or(Severity::default(), |ioc| ioc.statement.severity);
        self.alerts[severity as usize] += 1;
        self.timeline.count(alert.first, ALERTS + severity as usize, 1);
        self.tlp = alert.iocs.iter().map(|ioc| ioc.statement.tlp).chain(self.tlp).max();
        let host = reading.asset.map_or(alert.flow.endpoints(reading.near).0, |asset| asset.address);
        let (kind, value) = alert.iocs.first().map_or(("", ""), |ioc| (ioc.kind, ioc.value.as_str()));
        let key = (host, kind, value.to_owned(), reading.direction);
        if !self.incidents.contains_key(&key) {
            let room = &mut self.rooms[severity as usize][usize::from(reading.stage >= Stage::Answered)];
            if *room >= REPORT_INCIDENTS_PER_SEVERITY_MAX / 2 {
                self.crowded += 1;
                return;
            }
            *room += 1;
            let order = self.incidents.len() as u64;
            let id = desk.incident(alert, host);
            self.incidents.insert(key.clone(), Incident::new(order, host, id, alert, &reading));
        }
        if let Some(incident) = self.incidents.get_mut(&key) {
            incident.add(alert, &reading, severity);
            if incident.contacts.len() < REPORT_CONTACTS_SHOWN_MAX {
                let (id, name_hidden) = (desk.id(alert), reading.name_hidden(alert) == Some(true));
                let mut of_row = slim(alert);
                of_row.met.iocs = Iocs::default();
                incident.contacts.push(Contact { id, capture: self.capture, alert: of_row, severity, name_hidden });
            }
        }
    }

    /// All alerts.
    pub(super) fn total(&self) -> u64 {
        self.alerts.iter().sum()
    }

    /// Incidents, the worst first: by severity, those that the site's own hosts began before those that came to it, by how
    /// far they went, by what was sent.
    pub(super) fn incidents(&self) -> Vec<&Incident> {
        let mut all: Vec<&Incident> = self.incidents.values().collect();
        all.sort_by_key(|incident| {
            let came = incident.direction == Direction::Inbound;
            let worse = (incident.severity, !came, incident.stage, incident.bytes_out);
            (std::cmp::Reverse(worse), incident.order)
        });
        all
    }
}

/// The page shows where an indicator was met, not the whole event: that is in the record.
fn slim(alert: &Alert) -> Alert {
    let mut slim = alert.clone();
    slim.met.said = alert.met.said.as_deref().map(|said| Arc::new(Said { context: Vec::new(), ..said.clone() }));
    slim
}

impl Incident {
    fn new(order: u64, host: IpAddr, id: String, alert: &Alert, reading: &Reading<'_>) -> Incident {
        Incident {
            order,
            host,
            severity: Severity::Low,
            id,
            direction: reading.direction,
            worst: slim(alert),
            stage: reading.stage,
            alerts: 0,
            sightings: 0,
            bytes_out: 0,
            bytes_in: 0,
            first: alert.first,
            last: alert.last,
            contacts: Vec::new(),
        }
    }

    fn add(&mut self, alert: &Alert, reading: &Reading<'_>, severity: Severity) {
        let sent = |of: &Alert| of.flow.payload[0].saturating_add(of.flow.payload[1]);
        if (severity, reading.stage, sent(alert)) > (self.severity, self.stage, sent(&self.worst)) {
            self.worst = slim(alert);
        }
        self.severity = self.severity.max(severity);
        self.stage = self.stage.max(reading.stage);
        self.alerts += 1;
        self.sightings = self.sightings.saturating_add(alert.count);
        if !alert.is_of_a_name() {
            self.bytes_out = self.bytes_out.saturating_add(reading.bytes_out);
            self.bytes_in = self.bytes_in.saturating_add(reading.bytes_in);
        }
        self.first = self.first.min(alert.first);
        self.last = self.last.max(alert.last);
    }
}
