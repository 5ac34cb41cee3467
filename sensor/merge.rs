//! Repeats of a contact, for delivery alone: alerts in, what goes to the centre out. The first alert of a contact goes as it is;
//! those like it within a window become updates, which have identities of their own, name the first, and say how many they stand
//! for. What is worse or goes further than what was said goes at once.
//!
//! A contact is one near host and one indicator, in one direction. Time is the packets'. Never here: the local record, which has
//! every alert; a clock; a disk: what waits when a process is killed was counted at the site alone, and its contact is known.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::alert::record::Desk;
use crate::alert::{Alert, Repeats};
use crate::indicator::Severity;
use crate::limits::{MERGE_CONTACTS_MAX, MERGE_FLOWS_MAX, UPDATE_WAIT_MIN};
use crate::networks::Direction;
use crate::observable::Stage;
use crate::time::{Span, Timestamp};

/// Alerts, not revisions: all that came are those that went, those that updates stand for, and those that wait for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Alerts that came.
    pub taken: u64,
    /// Alerts that went as they were.
    pub gone: u64,
    /// Of these, those that were compared with no others: there was no room to remember them.
    pub crowded: u64,
    /// Alerts that updates stand for.
    pub merged: u64,
    /// Alerts that wait for an update.
    pub waiting: u64,
    /// Updates.
    pub updates: u64,
    /// Flows whose last revision never came, or so late that it goes by itself.
    pub forgotten: u64,
}

impl Counts {
    /// Alerts that came and are nowhere: 0, or a fault of the sensor.
    pub fn unaccounted(&self) -> i64 {
        self.taken as i64 - (self.gone + self.merged + self.waiting) as i64
    }

    /// Adds another capture's.
    pub fn add(&mut self, other: &Counts) {
        self.taken += other.taken;
        self.gone += other.gone;
        self.crowded += other.crowded;
        self.merged += other.merged;
        self.waiting += other.waiting;
        self.updates += other.updates;
        self.forgotten += other.forgotten;
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Merge {
    window: Span,
    contacts: HashMap<Key, Contact>,
    /// When something is to be done for a contact: an update, or its end. Each has one.
    alarms: BTreeSet<(Timestamp, Key)>,
    /// Alerts that were counted and whose flows are open, by their number.
    open: HashMap<u64, Open>,
    /// How many there have been.
    opened: u64,
    /// Updates of contacts whose window was over.
    late: u32,
    now: Timestamp,
    counts: Counts,
}

/// A flow whose alert was counted.
#[derive(Debug)]
struct Open {
    /// The identity of the first alert of its contact.
    first: Arc<str>,
    /// Of all of them, the how manieth.
    number: u64,
}

/// Which contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    near: IpAddr,
    direction: Direction,
    indicator: u64,
}

#[derive(Debug)]
struct Contact {
    /// The identity of its first alert.
    first: Arc<str>,
    /// When its window is over.
    ends: Timestamp,
    /// The worst and the furthest that was said.
    severity: Severity,
    stage: Stage,
    /// Updates so far.
    updates: u32,
    /// When the next may go, and how long the one after it waits.
    next: Timestamp,
    wait: Span,
    alarm: Timestamp,
    waiting: Option<Box<Waiting>>,
}

/// Repeats that nobody was told of.
#[derive(Debug)]
struct Waiting {
    /// The first of those that went furthest, in its latest revision, and its number.
    alert: Alert,
    number: u64,
    alerts: u64,
    sightings: u64,
    payload: [u64; 2],
    first: Timestamp,
    last: Timestamp,
}

impl Merge {
    /// Merges within a window; one of no length merges nothing.
    pub fn new(window: Span) -> Merge {
        Merge {
            window,
            contacts: HashMap::new(),
            alarms: BTreeSet::new(),
            open: HashMap::new(),
            opened: 0,
            late: 0,
            now: Timestamp::default(),
            counts: Counts::default(),
        }
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a revision: whether it goes itself. Updates that go before it are added to `updates`.
    pub fn take(&mut self, alert: &Alert, desk: &Desk, updates: &mut Vec<Alert>) -> bool {
        self.counts.taken += u64::from(alert.revision == 1);
        if self.window <= Span::default() {
            return self.goes(alert);
        }
        self.pass(alert.time(), updates);
        let key = key(alert, desk);
        let number = alert.contact(key.indicator);
        if alert.revision > 1 {
            return self.again(alert, key, number, updates);
        }
        match self.contacts.get(&key) {
            Some(contact) => {
                let first = Arc::clone(&contact.first);
                if !alert.is_final() {
                    self.open(number, first);
                }
                self.counts.waiting += 1;
                self.count(alert, key, (number, 1), updates);
                false
            }
            None if self.contacts.len() < MERGE_CONTACTS_MAX => {
                let contact = Contact::new(desk.id(alert).into(), alert, self.now, self.window);
                self.alarms.insert((contact.alarm, key));
                self.contacts.insert(key, contact);
                self.goes(alert)
            }
            None => {
                self.counts.crowded += 1;
                self.goes(alert)
            }
        }
    }

    /// Remembers a flow. Those whose last revision never comes (its worker died, or shed it) would fill the table: of a full one the
    /// older half goes, and what comes of those yet goes by itself.
    fn open(&mut self, number: u64, first: Arc<str>) {
        if self.open.len() >= MERGE_FLOWS_MAX {
            let kept = self.opened - MERGE_FLOWS_MAX as u64 / 2;
            self.open.retain(|_, open| open.number > kept);
            self.counts.forgotten += (MERGE_FLOWS_MAX - self.open.len()) as u64;
        }
        self.opened += 1;
        self.open.insert(number, Open { first, number: self.opened });
    }

    fn goes(&mut self, alert: &Alert) -> bool {
        self.counts.gone += u64::from(alert.revision == 1);
        true
    }

    /// A later revision: of a repeat it counts with the others; of an alert that went it goes, too.
    fn again(&mut self, alert: &Alert, key: Key, number: u64, updates: &mut Vec<Alert>) -> bool {
        let Some(Open { first, .. }) = self.open.remove(&number) else {
            if let Some(contact) = self.contacts.get_mut(&key) {
                contact.said(alert);
            }
            return true;
        };
        if self.contacts.contains_key(&key) {
            self.count(alert, key, (number, 0), updates);
        } else {
            // its contact is over: what it came to is said of that, by itself
            let mut contact = Contact::new(first, alert, self.now, self.window);
            self.late = self.late.saturating_add(1);
            contact.updates = LATE.saturating_add(self.late);
            contact.count(alert, (number, 0));
            updates.extend(contact.update(self.now, self.window, &mut self.counts));
        }
        false
    }

    /// Counts a revision of a repeat. If it says more than was said, the update goes at once.
    fn count(&mut self, alert: &Alert, key: Key, numbers: (u64, u64), updates: &mut Vec<Alert>) {
        let Some(contact) = self.contacts.get_mut(&key) else { return };
        contact.count(alert, numbers);
        if alert.severity() > contact.severity || alert.stage() > contact.stage {
            updates.extend(contact.update(self.now, self.window, &mut self.counts));
        }
        self.set_alarm(key);
    }

    fn set_alarm(&mut self, key: Key) {
        let Some(contact) = self.contacts.get_mut(&key) else { return };
        let at = if contact.waiting.is_some() { contact.next.min(contact.ends) } else { contact.ends };
        if at != contact.alarm {
            self.alarms.remove(&(contact.alarm, key));
            self.alarms.insert((at, key));
            contact.alarm = at;
        }
    }

    /// The time is `now`: adds the updates that are due, oldest first. Where it lies further back than a window (a clock was set, one
    /// odd frame came from the future), all that waits goes, and what comes then begins anew: else it would wait until that time.
    pub fn due(&mut self, now: Timestamp, updates: &mut Vec<Alert>) {
        if self.now.since(now) > self.window {
            self.end(updates);
            self.now = now;
        }
        self.pass(now, updates);
    }

    /// An alert may speak of a time long ago (its flow ended by silence): by alerts time only goes on.
    fn pass(&mut self, now: Timestamp, updates: &mut Vec<Alert>) {
        self.now = self.now.max(now);
        while self.alarms.first().is_some_and(|(at, _)| *at <= self.now)
            && let Some((at, key)) = self.alarms.pop_first()
            && let Some(mut contact) = self.contacts.remove(&key)
        {
            updates.extend(contact.update(at, self.window, &mut self.counts));
            if contact.ends > at {
                contact.alarm = contact.ends;
                self.alarms.insert((contact.alarm, key));
                self.contacts.insert(key, contact);
            }
        }
    }

    /// Adds an update for each contact of which something waits: nothing comes any more.
    pub fn end(&mut self, updates: &mut Vec<Alert>) {
        while let Some((at, key)) = self.alarms.pop_first() {
            let contact = self.contacts.remove(&key);
            updates.extend(contact.and_then(|mut contact| contact.update(at, self.window, &mut self.counts)));
        }
    }
}

/// Updates of contacts whose window was over count from here: their numbers are no others'.
const LATE: u32 = 1 << 31;

impl Contact {
    fn new(first: Arc<str>, alert: &Alert, now: Timestamp, window: Span) -> Contact {
        let ends = now.moved(window);
        Contact {
            first,
            ends,
            severity: alert.severity(),
            stage: alert.stage(),
            updates: 0,
            next: now.moved(UPDATE_WAIT_MIN),
            wait: UPDATE_WAIT_MIN,
            alarm: ends,
            waiting: None,
        }
    }

    /// Remembers what the centre knows.
    fn said(&mut self, alert: &Alert) {
        self.severity = self.severity.max(alert.severity());
        self.stage = self.stage.max(alert.stage());
    }

    /// A first revision counts an alert; what it came to is known with its last. The alert's number, and how many alerts it counts.
    fn count(&mut self, alert: &Alert, (number, alerts): (u64, u64)) {
        let waiting = self.waiting.get_or_insert_with(|| Box::new(Waiting::new(alert, number)));
        waiting.alerts += alerts;
        waiting.first = waiting.first.min(alert.first);
        waiting.last = waiting.last.max(alert.last);
        if alert.is_final() {
            waiting.sightings = waiting.sightings.saturating_add(alert.count);
            for (sum, bytes) in waiting.payload.iter_mut().zip(alert.flow.payload) {
                *sum = sum.saturating_add(bytes);
            }
        }
        // a copy is dear: of those that went as far the first does for all
        let (here, there) = ((alert.severity(), alert.stage()), (waiting.alert.severity(), waiting.alert.stage()));
        if here > there || here == there && number == waiting.number && alert.revision > waiting.alert.revision {
            (waiting.alert, waiting.number) = (alert.clone(), number);
        }
    }

    /// What waits, as an update. The next one waits twice as long.
    fn update(&mut self, now: Timestamp, window: Span, counts: &mut Counts) -> Option<Alert> {
        let Waiting { mut alert, alerts, sightings, payload, first, last, .. } = *self.waiting.take()?;
        self.said(&alert);
        self.updates = self.updates.saturating_add(1);
        self.next = now.moved(self.wait);
        self.wait = Span::nanos(self.wait.as_nanos().saturating_mul(2)).min(window);
        counts.updates += 1;
        counts.merged += alerts;
        counts.waiting = counts.waiting.saturating_sub(alerts);
        (alert.revision, alert.crowded, alert.count) = (1, true, sightings);
        (alert.met.first, alert.last, alert.flow.payload) = (first, last, payload);
        alert.repeats = Some(Box::new(Repeats { first: self.first.to_string(), update: self.updates, alerts }));
        Some(alert)
    }
}

impl Waiting {
    fn new(alert: &Alert, number: u64) -> Waiting {
        let (first, last) = (alert.first, alert.last);
        Waiting { alert: alert.clone(), number, alerts: 0, sightings: 0, payload: [0, 0], first, last }
    }
}

fn key(alert: &Alert, desk: &Desk) -> Key {
    let (near, direction) = desk.contact(alert);
    Key { near, direction, indicator: alert.indicator() }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::alert::Contacts;
    use crate::alert::record::Site;
    use crate::alert::sample::{ended, flow, ip, scene, tls_met};
    use crate::flow::{Ended, FlowView, Scene};

    const WINDOW: Span = Span::seconds(600);

    fn desk() -> Desk {
        let networks = crate::networks::Networks::default();
        Desk::new(Site { key: b"key".to_vec(), networks: std::sync::Arc::new(networks), ..Site::default() })
    }

    /// What goes, in short: the revision of an alert that went itself, or what an update stands for.
    #[derive(Debug, PartialEq, Eq)]
    enum Gone {
        Itself(u32),
        Update { first: String, alerts: u64, sightings: u64, bytes: u64, stage: Stage },
    }
    use Gone::{Itself, Update};

    struct Line {
        desk: Desk,
        merge: Merge,
        contacts: Contacts,
        gone: Vec<Gone>,
    }

    impl Line {
        fn new() -> Line {
            Line { desk: desk(), merge: Merge::new(WINDOW), contacts: Contacts::default(), gone: Vec::new() }
        }

        fn take(&mut self, alert: &Alert) {
            let mut updates = Vec::new();
            let goes = self.merge.take(alert, &self.desk, &mut updates);
            self.note(updates);
            self.gone.extend(goes.then_some(Itself(alert.revision)));
        }

        fn note(&mut self, updates: Vec<Alert>) {
            self.gone.extend(updates.into_iter().map(|update| {
                let (stage, sightings, bytes) = (update.stage(), update.count, update.flow.payload[0]);
                let Repeats { first, alerts, .. } = *update.repeats.expect("an update");
                Update { first, alerts, sightings, bytes, stage }
            }));
        }

        /// The first sighting in a flow, and the flow's end.
        fn meets(&mut self, flow: FlowView, seconds: i64) -> Alert {
            let time = Timestamp::from_parts(seconds, 0);
            let flow = FlowView { last: time, ..flow };
            let alert = tls_met(&mut self.contacts, &Scene { time, ..scene(flow, flow.id) }).expect("an alert");
            self.take(&alert);
            alert
        }

        fn ends(&mut self, flow: FlowView, seconds: i64) {
            let flow = FlowView { last: Timestamp::from_parts(seconds, 0), ..flow };
            for alert in ended(&mut self.contacts, flow, Ended::Closed) {
                self.take(&alert);
            }
        }

        fn due(&mut self, seconds: i64) {
            let mut updates = Vec::new();
            self.merge.due(Timestamp::from_parts(seconds, 0), &mut updates);
            self.note(updates);
        }

        fn end(&mut self) {
            let mut updates = Vec::new();
            self.merge.end(&mut updates);
            self.note(updates);
        }
    }

    fn handshake(id: u64) -> FlowView {
        FlowView { stage: Stage::Handshake, payload: [100, 0], ..flow(id) }
    }

    #[test]
    fn repeats_wait_and_become_an_update_that_names_the_first() {
        let mut line = Line::new();
        let first = line.meets(handshake(1), 0);
        line.meets(handshake(2), 1);
        line.meets(handshake(3), 2);
        line.ends(handshake(2), 3);
        assert_eq!(line.gone, [Itself(1)]);
        line.due(10);
        let first = line.desk.id(&first);
        assert_eq!(
            line.gone[1..],
            [Update { first: first.clone(), alerts: 2, sightings: 1, bytes: 100, stage: Stage::Handshake }]
        );
        line.ends(handshake(3), 40);
        line.end();
        assert_eq!(line.gone[2..], [Update { first, alerts: 0, sightings: 1, bytes: 100, stage: Stage::Handshake }]);
        assert_eq!(line.merge.counts(), Counts { taken: 3, gone: 1, merged: 2, updates: 2, ..Counts::default() });
    }

    #[test]
    fn what_goes_further_goes_at_once_and_what_goes_as_far_again_waits() {
        let mut line = Line::new();
        line.meets(handshake(1), 0);
        line.meets(handshake(2), 1);
        line.ends(FlowView { stage: Stage::Data, ..handshake(2) }, 2);
        assert!(matches!(line.gone[..], [Itself(1), Update { alerts: 1, stage: Stage::Data, .. }]), "{:?}", line.gone);
        line.meets(handshake(3), 3);
        line.ends(FlowView { stage: Stage::Data, ..handshake(3) }, 4);
        assert_eq!(line.gone.len(), 2);
    }

    #[test]
    fn the_last_revision_of_what_went_itself_goes_too_and_tells_how_far_the_contact_is() {
        let mut line = Line::new();
        line.meets(handshake(1), 0);
        line.ends(FlowView { stage: Stage::Data, ..handshake(1) }, 1);
        line.meets(handshake(2), 2);
        line.ends(FlowView { stage: Stage::Data, ..handshake(2) }, 3);
        assert_eq!(line.gone, [Itself(1), Itself(2)]);
    }

    #[test]
    fn behind_the_window_a_contact_begins_anew_and_what_is_late_is_said_of_the_old_one() {
        let mut line = Line::new();
        let first = line.meets(handshake(1), 0);
        line.meets(handshake(2), 1);
        line.due(700);
        assert!(matches!(line.gone[1..], [Update { alerts: 1, .. }]));
        line.ends(handshake(2), 701);
        let late = Update { first: line.desk.id(&first), alerts: 0, sightings: 1, bytes: 100, stage: Stage::Handshake };
        assert_eq!(line.gone[2..], [late]);
        line.meets(handshake(3), 702);
        assert_eq!(line.gone[3..], [Itself(1)]);
    }

    #[test]
    fn updates_of_one_contact_have_identities_of_their_own_and_come_ever_more_seldom() {
        let mut line = Line::new();
        line.meets(handshake(1), 0);
        let (mut updates, mut times) = (Vec::new(), Vec::new());
        for second in 1..600 {
            line.meets(handshake(1 + second), second as i64);
            let before = updates.len();
            line.merge.due(Timestamp::from_parts(second as i64, 0), &mut updates);
            times.extend((updates.len() > before).then_some(second));
        }
        let said = line.gone.iter().filter(|gone| matches!(gone, Update { .. })).count();
        assert!(times.is_empty(), "an alert brings its own time");
        assert_eq!(said, 6, "after 10, 20, 40, 80, 160 and 320 seconds");
    }

    #[test]
    fn other_hosts_and_other_directions_are_other_contacts() {
        let mut line = Line::new();
        line.meets(handshake(1), 0);
        line.meets(FlowView { client: ip("10.77.0.3"), ..handshake(2) }, 1);
        line.meets(FlowView { client: ip("203.0.113.66"), server: ip("10.77.0.2"), ..handshake(3) }, 2);
        assert_eq!(line.gone, [Itself(1), Itself(1), Itself(1)]);
    }

    #[test]
    fn when_time_goes_back_by_more_than_a_window_nothing_waits_for_it_to_come_again() {
        let mut line = Line::new();
        line.meets(handshake(1), 10_000);
        line.meets(handshake(2), 10_001);
        line.due(9_500);
        assert_eq!(line.gone, [Itself(1)], "by less it only stands still");
        line.due(5_000);
        assert!(matches!(line.gone[1..], [Update { alerts: 1, .. }]), "{:?}", line.gone);
        line.meets(handshake(3), 5_001);
        line.meets(handshake(4), 5_002);
        line.due(5_011);
        assert!(matches!(line.gone[2..], [Itself(1), Update { alerts: 1, .. }]), "{:?}", line.gone);
    }

    #[test]
    fn a_repeat_of_a_flow_that_was_idle_for_hours_is_told_with_the_others() {
        let mut line = Line::new();
        line.meets(handshake(1), 10_000);
        line.meets(handshake(2), 10_001);
        line.due(17_000);
        line.ends(handshake(2), 10_002);
        assert!(matches!(line.gone[..], [Itself(1), Update { alerts: 1, .. }, Update { alerts: 0, .. }]));
    }

    #[test]
    fn flows_that_never_end_are_forgotten_before_repeats_are_no_longer_merged() {
        let mut line = Line::new();
        line.meets(handshake(1), 0);
        let (key, first) =
            line.merge.contacts.iter().map(|(key, contact)| (*key, contact.first.clone())).next().unwrap();
        (0..MERGE_FLOWS_MAX as u64).for_each(|number| line.merge.open(number, first.clone()));
        line.meets(handshake(2), 1);
        assert_eq!((line.gone.len(), line.merge.contacts[&key].waiting.is_some()), (1, true));
        assert_eq!(line.merge.counts().forgotten, MERGE_FLOWS_MAX as u64 / 2);
        line.ends(handshake(2), 2);
        assert_eq!(line.gone.len(), 1, "the newest are remembered");
    }

    #[test]
    fn a_window_of_no_length_merges_nothing() {
        let mut line = Line { merge: Merge::new(Span::default()), ..Line::new() };
        line.meets(handshake(1), 0);
        line.meets(handshake(2), 0);
        assert_eq!((line.gone.len(), line.merge.counts().gone), (2, 2));
    }

    proptest! {
        /// Whatever comes in whatever order: each alert is said once, and sightings and bytes add up.
        #[test]
        fn counts_always_add_up(steps in proptest::collection::vec((0u32..4, 0u64..900, 0usize..3, any::<bool>()), 1..200)) {
            let mut line = Line::new();
            let (mut open, mut raised, mut now): (Vec<FlowView>, u64, i64) = (Vec::new(), 0, 0);
            for (id, (host, gap, stage, ends)) in steps.into_iter().enumerate() {
                now += (gap / 30) as i64 * i64::from(gap % 7 == 0);
                if ends && !open.is_empty() {
                    let mut flow = open.remove(gap as usize % open.len());
                    flow.stage = [Stage::Handshake, Stage::Handshake, Stage::Data][stage];
                    line.ends(flow, now);
                } else {
                    let client = Ipv4Addr::from(0x0a4d_0000 + host).into();
                    let flow = FlowView { client, ..handshake(id as u64 + 1) };
                    line.meets(flow, now);
                    open.push(flow);
                    raised += 1;
                }
            }
            for flow in open {
                line.ends(flow, now);
            }
            line.end();
            let (mut alerts, mut sightings, mut bytes) = (0, 0, 0);
            for gone in &line.gone {
                match gone {
                    Itself(1) => alerts += 1,
                    Itself(_) => (sightings, bytes) = (sightings + 1, bytes + 100),
                    Update { alerts: more, sightings: seen, bytes: sent, .. } => {
                        (alerts, sightings, bytes) = (alerts + more, sightings + seen, bytes + sent);
                    }
                }
            }
            prop_assert_eq!((alerts, sightings, bytes), (raised, raised, raised * 100));
            let counts = line.merge.counts();
            prop_assert_eq!((counts.gone + counts.merged, counts.waiting, counts.crowded), (raised, 0, 0));
            prop_assert_eq!((counts.taken, counts.unaccounted()), (raised, 0));
            prop_assert!(line.merge.contacts.is_empty() && line.merge.alarms.is_empty() && line.merge.open.is_empty());
        }
    }
}
