//! What leaves a worker: one release an epoch, each record with its place in the one order.
//!
//! Never here: what a record says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Worker;
use crate::alert::Alert;
use crate::alert::record::Desk;
use crate::flow::{Effort, Scene};
use crate::indicator::Severity;
use crate::limits::RELEASES_WAITING_MAX;
use crate::pages;
use crate::time::Timestamp;

impl Worker {
    pub(super) fn put_out(&mut self, scene: &Scene, phase: u8, record: Record) {
        self.release.records.push((Place { phase, packet: scene.packet }, record));
    }

    /// The latest so many alerts of the release are to be put out.
    pub(super) fn put_out_alerts(&mut self, scene: &Scene, phase: u8, count: usize) {
        let end = self.release.alerts.len();
        for at in end - count..end {
            self.put_out(scene, phase, Record::Alert(at as u32));
        }
    }

    /// Whether anyone wants events of this type.
    pub(super) fn says(&self, name: &'static str) -> bool {
        self.orders.events || self.orders.logged.contains(&name)
    }

    /// An event line, if anyone wants events of this type.
    pub(super) fn say(&mut self, name: &'static str, scene: &Scene, phase: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let logged = self.orders.logged.contains(&name);
        if (self.orders.events || logged) && self.effort >= Effort::NoEvents {
            self.tally.events_shed += 1;
        } else if self.orders.events || logged {
            let start = self.release.lines.len();
            write(&mut self.release.lines);
            let line = start..self.release.lines.len();
            self.put_out(scene, phase, Record::Event(line, logged));
        }
    }

    /// The epoch is over. In a replay this waits for room; a collector that is gone has said why elsewhere.
    pub(super) fn hand_over(&mut self) {
        let next = self.next_release();
        let release = std::mem::replace(&mut self.release, next);
        self.send(release);
    }

    /// Waits for room. Its alerts are counted before anybody can have put them out.
    pub(super) fn send(&self, release: Release) {
        self.orders.waiting.fetch_add(release.alerts.len() as u64, Ordering::Relaxed);
        let _gone = self.release_to.send(release);
    }

    /// Gives back what there was no room for.
    pub(super) fn try_send(&self, release: Release) -> Option<Release> {
        let alerts = release.alerts.len() as u64;
        self.orders.waiting.fetch_add(alerts, Ordering::Relaxed);
        let refused = self.release_to.try_send(release).err()?;
        self.orders.waiting.fetch_sub(alerts, Ordering::Relaxed);
        Some(refused.into_inner())
    }

    pub(super) fn next_release(&self) -> Release {
        let Release { epoch, reached, ref records, ref alerts, .. } = self.release;
        // what comes is mostly as much as what came; after a storm its room goes
        let is_fit = |room: &Room| room.alerts.capacity() / ROOM_SHARE <= alerts.len();
        let room = self.rooms.1.try_recv().ok().filter(is_fit);
        let new = || Room::of(records.len(), alerts.len());
        let Room { records, alerts } = room.unwrap_or_else(new);
        Release {
            back: Some(self.rooms.0.clone()),
            epoch: epoch + 1,
            reached,
            said: reached,
            desk: self.orders.desk.clone(),
            records,
            alerts,
            ..Release::default()
        }
    }
}

/// Where a record stands in the one order of all output: what happened in sweeps comes after the epoch's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// 0: at a packet; 1: in a sweep.
    pub phase: u8,
    /// The packet's number, or the number of the flow's first packet.
    pub packet: u64,
}

/// Something to be put out.
pub enum Record {
    /// An event line: a range of [`Release::lines`], and whether the site's log lists its type.
    Event(std::ops::Range<usize>, bool),
    /// An alert at one of its revisions: which of [`Release::alerts`].
    Alert(u32),
}

/// All that a worker has to say about one epoch, in order of place.
#[derive(Default)]
pub struct Release {
    /// Counted from 0.
    pub epoch: u64,
    /// How far time has come, as packets have it: in a replay the time of the epoch's last frame, whoever owns it; on a link, where
    /// time passes though nothing comes, that of the tick. The default: nobody knows yet.
    pub reached: Timestamp,
    /// How far it had come when the release before this one said so.
    pub said: Timestamp,
    /// In order; records of the same place come from the same worker.
    pub records: Vec<(Place, Record)>,
    /// Alerts, in the order of their records.
    pub alerts: Vec<Alert>,
    /// Event lines.
    pub lines: Vec<u8>,
    /// Where its alerts are written, if not at the collector's own desk.
    pub desk: Option<Arc<Desk>>,
    /// Where its room goes.
    pub back: Option<Way>,
    /// Nothing is waited for after this one, whoever could still say something.
    pub last: bool,
}

/// Room of a release, on its way back to its worker: memory that nobody has touched yet is dear, and so is that which another
/// thread gives to the allocator.
pub struct Room {
    records: Vec<(Place, Record)>,
    alerts: Vec<Alert>,
}

impl Room {
    fn of(records: usize, alerts: usize) -> Room {
        let mut room = Room { records: Vec::with_capacity(records), alerts: Vec::with_capacity(alerts) };
        pages::advise_huge(room.alerts.spare_capacity_mut());
        room
    }
}

/// The way back of what was put out.
#[derive(Clone)]
pub struct Way {
    rooms: Sender<Room>,
    /// Alerts that are not put out yet, of all workers.
    waiting: Arc<AtomicU64>,
}

/// The ends of the way back.
pub(super) fn rooms(waiting: &Arc<AtomicU64>) -> (Way, Receiver<Room>) {
    let (rooms, back) = bounded(RELEASES_WAITING_MAX);
    (Way { rooms, waiting: Arc::clone(waiting) }, back)
}

/// Room of which less than this share is used is given up.
const ROOM_SHARE: usize = 16;

impl Release {
    /// Alerts that have no record are none: their worker died before they were put out.
    pub(super) fn forget_unplaced(&mut self) {
        let place = |(_, record): &(Place, Record)| match record {
            Record::Alert(at) => Some(*at as usize + 1),
            Record::Event(..) => None,
        };
        self.alerts.truncate(self.records.iter().rev().find_map(place).unwrap_or(0));
    }

    /// Everything was put out.
    pub fn spent(self) {
        let Release { mut records, mut alerts, back, .. } = self;
        let Some(back) = back else { return };
        back.waiting.fetch_sub(alerts.len() as u64, Ordering::Relaxed);
        records.clear();
        alerts.clear();
        if alerts.capacity() > 0 {
            let _enough_there = back.rooms.try_send(Room { records, alerts });
        }
    }

    /// Keeps so many alerts, the most severe and of these the first; of what is critical as many as there is room for that alone. Gives
    /// the others.
    pub(super) fn keep_alerts(&mut self, room: usize, critical: usize) -> Vec<Alert> {
        if self.alerts.len() <= room {
            return Vec::new();
        }
        let of = |severity: Severity| self.alerts.iter().filter(move |alert| alert.severity() == severity).count();
        let critical = of(Severity::Critical).min(critical);
        let high = of(Severity::High).min(room.saturating_sub(critical));
        let medium = of(Severity::Medium).min(room.saturating_sub(critical + high));
        let mut left = [room.saturating_sub(critical + high + medium), medium, high, critical];
        let (alerts, mut places) = (std::mem::take(&mut self.alerts), Vec::with_capacity(room));
        let mut shed = Vec::new();
        for alert in alerts {
            let left = &mut left[alert.severity() as usize];
            places.push((*left > 0).then_some(self.alerts.len() as u32));
            if *left > 0 {
                *left -= 1;
                self.alerts.push(alert);
            } else {
                shed.push(alert);
            }
        }
        self.records.retain_mut(|(_, record)| match record {
            Record::Alert(at) => places[*at as usize].inspect(|place| *at = *place).is_some(),
            Record::Event(..) => true,
        });
        shed
    }

    /// Makes one record of the site's log of all its lines.
    pub fn log_all(&mut self) {
        let place = Place { phase: 0, packet: 0 };
        self.records = vec![(place, Record::Event(0..self.lines.len(), true))];
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ipv4, listed_from, orders, pcap, question};
    use super::super::{Laps, Orders};
    use super::*;
    use crate::alert::Contacts;
    use crate::alert::sample::{DNS, RRNAME, flow, ioc, scene, sighted};
    use crate::capture::file::Reader;
    use crate::indicator::Statement;

    #[test]
    fn room_of_what_was_put_out_is_used_again_and_after_a_storm_it_goes() {
        let (send, releases) = crossbeam_channel::unbounded();
        let live = Orders { live: true, events: false, ..orders(0, 1, &listed_from(0)) };
        let waiting = Arc::clone(&live.waiting);
        let mut worker = Worker::new(live, send, Laps::new(|| 0));
        let frames: Vec<_> = (0..=255).map(|host| ipv4(host, 17, 0, &question(1))).collect();
        let capture = pcap(&frames);
        let mut reader = Reader::new(&capture[..]).expect("a capture");
        let mut raise = |count: usize| {
            worker.breathe(&reader.poll(count).expect("readable"));
            worker.tick(None, 0);
            let release = releases.try_recv().expect("a release");
            assert_eq!(release.alerts.len(), count);
            release
        };
        // the room of a release is chosen when the one before it goes
        let storm = raise(100);
        let room = storm.alerts.as_ptr();
        storm.spent();
        raise(50).spent();
        let again = raise(1);
        assert!(again.alerts.as_ptr() == room && again.alerts.capacity() >= 100, "half as many: it was kept");
        assert_eq!(waiting.load(Ordering::Relaxed), 1);
        again.spent();
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
        drop(raise(1));
        assert!(raise(1).alerts.capacity() < 100, "one alert needs no room of a hundred");
    }

    fn release(severities: &[Severity]) -> Release {
        let (mut release, mut contacts) = (Release::default(), Contacts::default());
        for (at, severity) in (0_u32..).zip(severities) {
            let mut ioc = ioc("domain", "a.example");
            ioc.statement = Arc::new(Statement { severity: *severity, ..Statement::default() });
            let scene = scene(flow(u64::from(at) + 1), u64::from(at));
            let alert = sighted(&mut contacts, (at, ioc), &scene, &DNS, |say| {
                say.field(&RRNAME, b"a.example");
            });
            release.alerts.push(alert.expect("the first of its flow"));
            let place = Place { phase: 0, packet: u64::from(at) };
            release.records.push((place, Record::Event(0..0, false)));
            release.records.push((place, Record::Alert(at)));
        }
        release
    }

    /// The packets of the alerts that are left, each through its record.
    fn left(release: &Release) -> Vec<u64> {
        let of = |(place, record): &(Place, Record)| match record {
            Record::Alert(at) => {
                assert_eq!(release.alerts[*at as usize].packet, place.packet);
                Some(place.packet)
            }
            Record::Event(..) => None,
        };
        release.records.iter().filter_map(of).collect()
    }

    #[test]
    fn where_there_is_little_room_the_severe_stay_and_of_each_the_first_and_all_that_is_critical() {
        let all =
            [Severity::Low, Severity::Critical, Severity::Medium, Severity::High, Severity::Medium, Severity::Critical];
        for (room, kept) in
            [(6, vec![0, 1, 2, 3, 4, 5]), (5, vec![1, 2, 3, 4, 5]), (4, vec![1, 2, 3, 5]), (1, vec![1, 5])]
        {
            let mut release = release(&all);
            assert_eq!(release.keep_alerts(room, 2).len(), all.len() - kept.len(), "{room}");
            assert_eq!(left(&release), kept, "{room}");
            assert_eq!(release.records.len(), all.len() + kept.len(), "events stay");
        }
        let mut release = release(&all);
        release.keep_alerts(0, 1);
        assert_eq!(left(&release), [1], "what is critical goes as the last of all");
    }
}
