//! The courier: records from the spool go through the gate to a sink, until the centre has committed them. It owns the
//! waiting, the repeating and the watermark. Never here: a record passed over because of an answer that does not say
//! that it is committed; it is repeated instead, under the same identity.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Delivery, Way};
use crate::gate::{Gate, Health, Projected};
use crate::limits::{DELIVERY_BYTES_MAX, DELIVERY_RECORDS_MAX};
use crate::spool::{Position, Reader, Readers, Record};

/// The first wait after a failure; it doubles.
const WAIT_MIN: Duration = Duration::from_millis(50);

/// The longest wait. Sites do not fail at the same moment, so their waits need no dice.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How often a stop is looked for while waiting.
const STOP_EVERY: Duration = Duration::from_millis(100);

/// How often the sensor says that it lives.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);

/// How long the first sign of life waits for somebody to look how the sensor is.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(5);

/// What the courier has done since it started; anyone may read along.
#[derive(Debug, Default)]
pub struct Counts {
    /// Records that the centre has committed.
    pub delivered: AtomicU64,
    /// Records that the gate kept back.
    pub withheld: AtomicU64,
    /// Records that the centre refused; they are among the dead letters.
    pub dead: AtomicU64,
    /// Records that the spool could not read any more.
    pub damaged: AtomicU64,
    /// Attempts.
    pub attempts: AtomicU64,
    /// Attempts that ended with "later".
    pub later: AtomicU64,
    /// Answers that claim what cannot be; nothing was settled by them.
    pub wrong_answers: AtomicU64,
    /// Signs of life that did not arrive.
    pub silent: AtomicU64,
    /// Attempts in a row that failed; 0: the last one reached the centre.
    pub failures: AtomicU64,
    /// When the centre last committed something, in seconds since 1970; 0: not since the start.
    pub last_commit: AtomicU64,
}

/// What a drain came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records that the centre has committed.
    pub delivered: u64,
    /// Records that the gate kept back.
    pub withheld: u64,
    /// Records that the centre refused.
    pub dead: u64,
    /// Records still in the spool.
    pub left: u64,
    /// Why the last attempt failed, if records are left.
    pub reason: Option<String>,
}

/// What one step came to.
enum Step {
    /// Nothing waits.
    Idle,
    /// Something was settled, or will be tried differently at once.
    Went,
    /// Not now.
    Wait(Duration),
}

/// The courier of one spool and one sink.
pub struct Courier {
    readers: Readers,
    way: Way,
    counts: Arc<Counts>,
    /// Failures in a row.
    failures: u32,
    /// Of each lane, what was learned of its next run.
    lanes: Vec<Lane>,
    reason: Option<String>,
    told: Option<Instant>,
}

/// What was learned of a lane's next run.
struct Lane {
    /// Records of one attempt, at most.
    records_max: usize,
    /// Records of the current run that the centre refused.
    refused: Vec<Position>,
}

/// A run of a lane: what of it may leave, and what not.
struct Run {
    lane: usize,
    after: Position,
    through: Position,
    records: Vec<Record>,
    projected: Vec<Projected>,
}

impl Courier {
    /// A courier between a spool and a sink.
    pub fn new(mut readers: Readers, way: Way) -> Courier {
        let fresh = |_: &Reader| Lane { records_max: DELIVERY_RECORDS_MAX, refused: Vec::new() };
        let lanes = readers.lanes().iter().map(fresh).collect();
        Courier { readers, way, counts: Arc::default(), failures: 0, lanes, reason: None, told: None }
    }

    /// What it has done; to be read from any thread.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Delivers until told to stop. What waits then stays in the spool.
    pub fn run(&mut self, stop: &AtomicBool) {
        let began = Instant::now();
        while !stop.load(Ordering::Acquire) {
            // the first one says how the sensor is, once anybody has looked
            if self.way.pulse.get().is_some() || began.elapsed() >= FIRST_LOOK_MAX {
                self.tell_of_life();
            }
            match self.step() {
                Step::Went => {}
                Step::Idle => self.readers.wait(STOP_EVERY),
                Step::Wait(time) => pause(time, stop),
            }
        }
    }

    /// Delivers what waits, at most until `deadline`.
    pub fn drain(&mut self, deadline: Instant) -> Outcome {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.step() {
                Step::Went if !left.is_zero() => {}
                Step::Wait(time) if time < left => std::thread::sleep(time),
                _ => break,
            }
        }
        self.told = None;
        if self.reason.is_none() {
            self.tell_of_life();
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Outcome {
            delivered: count(&self.counts.delivered),
            withheld: count(&self.counts.withheld),
            dead: count(&self.counts.dead),
            left: self.readers.waiting().records(),
            reason: self.reason.clone(),
        }
    }

    /// One run of the most urgent lane that has one, one attempt.
    fn step(&mut self) -> Step {
        // Looked before reading: what is appended meanwhile must not be slept upon.
        self.readers.look();
        for lane in 0..self.lanes.len() {
            match self.next_run(lane) {
                Ok(Some(run)) => return self.attempt(&run),
                Ok(None) => {}
                Err(error) => return self.later(format!("the spool cannot be read: {error}"), None),
            }
        }
        Step::Idle
    }

    fn attempt(&mut self, run: &Run) -> Step {
        let (after, through) = (run.after, run.through);
        if run.projected.is_empty() {
            return self.settle(through, run);
        }
        let place = (self.readers.lanes()[run.lane].id(), after, through);
        let message = |gate: &Gate, head| gate.batch(head, place.0, (after, through), &run.projected);
        add(&self.counts.attempts, 1);
        let delivery = match self.way.deliver(place, run.projected.len(), message) {
            Ok(delivery) => delivery,
            Err(error) => return self.later(format!("the ledger cannot be written: {error}"), None),
        };
        match delivery {
            Delivery::Delivered { committed: Some(up_to) } if up_to > after && up_to <= through => {
                self.settle(up_to, run)
            }
            Delivery::Delivered { committed } => {
                add(&self.counts.wrong_answers, 1);
                let said = committed.map_or_else(|| "nothing".to_owned(), |up_to| up_to.0.to_string());
                let (from, to) = (after.0 + 1, through.0);
                self.later(format!("sent records {from} to {to}; the centre says that it committed {said}"), None)
            }
            Delivery::Later { reason, after } => self.later(reason, after),
            Delivery::Smaller if run.projected.len() > 1 => {
                self.lanes[run.lane].records_max = (run.records.len() / 2).max(1);
                Step::Went
            }
            Delivery::Smaller => self.refuse(run, 0, "too large for the centre"),
            Delivery::Never { reason, which } => self.refuse(run, which, &reason),
        }
    }

    /// What stands behind the lane's watermark, projected.
    fn next_run(&mut self, lane: usize) -> std::io::Result<Option<Run>> {
        let (reader, learned) = (&mut self.readers.lanes()[lane], &self.lanes[lane]);
        // Asked before reading: what is appended meanwhile must not be taken for read.
        let waiting = reader.waiting();
        let after = waiting.watermark;
        let records = reader.read(after.next(), learned.records_max, DELIVERY_BYTES_MAX)?;
        // Without a record there may still be positions: of damaged ones, which must not hold up what comes after.
        let through = records.last().map_or(waiting.last, |record| record.position);
        let projected = records
            .iter()
            .filter(|record| !learned.refused.contains(&record.position))
            .filter_map(|record| self.way.gate.project(record.position, &record.payload).ok())
            .collect();
        Ok((through > after).then_some(Run { lane, after, through, records, projected }))
    }

    /// The run's records up to `up_to` need not be delivered any more.
    fn settle(&mut self, up_to: Position, run: &Run) -> Step {
        if let Err(error) = self.readers.lanes()[run.lane].commit(up_to) {
            return self.later(format!("the watermark cannot be written: {error}"), None);
        }
        let learned = &mut self.lanes[run.lane];
        let there = run.records.iter().filter(|record| record.position <= up_to).count() as u64;
        let delivered = run.projected.iter().filter(|record| record.position() <= up_to).count() as u64;
        let dead = learned.refused.iter().filter(|position| **position <= up_to).count() as u64;
        learned.refused.retain(|position| *position > up_to);
        learned.records_max = (learned.records_max * 2).min(DELIVERY_RECORDS_MAX);
        add(&self.counts.delivered, delivered);
        if delivered > 0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.counts.last_commit.store(now.as_secs(), Ordering::Release);
        }
        add(&self.counts.withheld, there.saturating_sub(delivered + dead));
        add(&self.counts.damaged, (up_to.0 - run.after.0).saturating_sub(there));
        (self.failures, self.reason) = (0, None);
        self.counts.failures.store(0, Ordering::Release);
        Step::Went
    }

    /// The centre will never take this record: it is kept for a person, and the others go without it.
    fn refuse(&mut self, run: &Run, which: usize, reason: &str) -> Step {
        let position = run.projected.get(which).map(Projected::position);
        let Some(record) = run.records.iter().find(|record| Some(record.position) == position) else {
            add(&self.counts.wrong_answers, 1);
            return self.later(format!("the centre refuses a record that was not sent: {reason}"), None);
        };
        if let Err(error) = self.way.dead.keep(record, reason) {
            return self.later(format!("a refused record cannot be kept: {error}"), None);
        }
        add(&self.counts.dead, 1);
        self.lanes[run.lane].refused.push(record.position);
        Step::Went
    }

    fn later(&mut self, reason: String, after: Option<Duration>) -> Step {
        add(&self.counts.later, 1);
        let wait = wait_after(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.counts.failures.store(u64::from(self.failures), Ordering::Release);
        self.reason = Some(reason);
        Step::Wait(after.map_or(wait, |after| after.max(wait)))
    }

    fn tell_of_life(&mut self) {
        if self.told.is_some_and(|told| told.elapsed() < HEARTBEAT_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        let (waiting, count) = (self.readers.waiting(), |counter: &AtomicU64| counter.load(Ordering::Relaxed));
        let health = Health {
            condition: self.way.pulse.get().unwrap_or_default(),
            waiting: waiting.records(),
            spool_bytes: waiting.bytes,
            oldest_s: waiting.oldest.as_secs(),
            delivered: count(&self.counts.delivered),
            withheld: count(&self.counts.withheld),
            refused: count(&self.counts.dead),
        };
        if self.way.beat(&health).is_err() {
            add(&self.counts.silent, 1);
        }
    }

    /// Why nothing goes out at the moment, if so.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn wait_after(failures: u32) -> Duration {
    WAIT_MIN.saturating_mul(1 << failures.min(16)).min(WAIT_MAX)
}

/// Waits, but not longer than until a stop.
fn pause(time: Duration, stop: &AtomicBool) {
    let end = Instant::now() + time;
    while !stop.load(Ordering::Acquire) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(STOP_EVERY));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;
    use crate::emit::{DeadLetters, Sink};
    use crate::gate::{Batch, Heartbeat, Mode, Policy, Pulse, Sender, SiteKey};
    use crate::ledger::{Kind, Ledger, Receipt};
    use crate::spool::{DEAD_LETTERS, Options, Spool};

    /// Answers in turn what it was told to, then commits; remembers the sequences of every attempt.
    #[derive(Clone, Default)]
    struct Centre(Arc<Mutex<Talk>>);

    /// Answers still to give, and attempts made.
    type Talk = (Vec<Delivery>, Vec<Vec<u64>>);

    impl Sink for Centre {
        fn deliver(&mut self, batch: &Batch) -> Delivery {
            let mut state = self.0.lock().unwrap();
            state.1.push(batch.positions().iter().map(|position| position.0).collect());
            let told = (!state.0.is_empty()).then(|| state.0.remove(0));
            told.unwrap_or(Delivery::Delivered { committed: Some(batch.through()) })
        }

        fn beat(&mut self, _: &Heartbeat) -> Result<(), String> {
            Ok(())
        }

        fn destination(&self, _: Kind) -> (&'static str, String) {
            ("memory", "nowhere".to_owned())
        }

        fn receipt(&mut self) -> Option<Receipt> {
            None
        }
    }

    struct Scene {
        directory: TempDir,
        spool: Spool,
        centre: Centre,
        courier: Courier,
    }

    fn alert(number: u64, marking: &str) -> Value {
        json!({"event_type": "alert", "alert": {"metadata": {"tlp": [marking]},
            "context": {"haetae": {"id": format!("id-{number}"), "revision": 1}}}})
    }

    fn scene(records: &[Value], answers: Vec<Delivery>) -> Scene {
        let directory = TempDir::new().unwrap();
        let mut spool = Spool::open(directory.path(), Options::default()).unwrap();
        for record in records {
            spool.append(record.to_string().as_bytes()).unwrap();
        }
        spool.sync().unwrap();
        let centre = Centre::default();
        centre.0.lock().unwrap().0 = answers;
        let sender = Sender::new("site", "tap", Mode::Exercise).unwrap();
        let gate = Gate::new(Policy::default(), SiteKey::fixed(&[1; 32]), sender, Arc::new(|_| false));
        let ledger = Ledger::open(&directory.path().join("ledger"), Default::default(), ("site", "tap"), None).unwrap();
        let way = Way {
            gate,
            sink: Box::new(centre.clone()),
            dead: DeadLetters::beside(directory.path()),
            ledger: Arc::new(ledger),
            pulse: Pulse::default(),
        };
        let courier = Courier::new(spool.readers(), way);
        Scene { directory, spool, centre, courier }
    }

    fn alerts(count: u64) -> Vec<Value> {
        (1..=count).map(|number| alert(number, "green")).collect()
    }

    impl Scene {
        fn drain(&mut self) -> Outcome {
            self.courier.drain(Instant::now() + Duration::from_secs(60))
        }

        fn attempts(&self) -> Vec<Vec<u64>> {
            self.centre.0.lock().unwrap().1.clone()
        }

        fn count(&self, pick: fn(&Counts) -> &AtomicU64) -> u64 {
            pick(&self.courier.counts).load(Ordering::Relaxed)
        }
    }

    fn delivered(up_to: u64) -> Delivery {
        Delivery::Delivered { committed: Some(Position(up_to)) }
    }

    fn later() -> Delivery {
        Delivery::Later { reason: "busy".into(), after: None }
    }

    #[test]
    fn everything_arrives_and_the_spool_is_empty() {
        let mut scene = scene(&alerts(3), Vec::new());
        assert_eq!(scene.drain(), Outcome { delivered: 3, ..Outcome::default() });
        assert_eq!(scene.attempts(), [[1, 2, 3]]);
        assert_eq!(scene.spool.readers().waiting().records(), 0);
    }

    #[test]
    fn only_what_is_committed_is_settled() {
        let mut scene = scene(&alerts(3), vec![delivered(2), later()]);
        assert_eq!(scene.drain().delivered, 3);
        assert_eq!(scene.attempts(), [vec![1, 2, 3], vec![3], vec![3]]);
    }

    #[test]
    fn an_answer_that_cannot_be_settles_nothing() {
        let mut scene = scene(&alerts(2), vec![delivered(0), delivered(99), Delivery::Delivered { committed: None }]);
        assert_eq!(scene.drain().delivered, 2);
        assert_eq!(scene.count(|counts| &counts.wrong_answers), 3);
        assert_eq!(scene.attempts(), [[1, 2], [1, 2], [1, 2], [1, 2]]);
    }

    #[test]
    fn a_withheld_record_is_counted_and_holds_nothing_up() {
        let mut scene = scene(&[alert(1, "red"), alert(2, "green"), alert(3, "red")], Vec::new());
        assert_eq!(scene.drain(), Outcome { delivered: 1, withheld: 2, ..Outcome::default() });
        assert_eq!(scene.attempts(), [[2]]);
    }

    #[test]
    fn nothing_is_sent_when_all_is_withheld() {
        let mut scene = scene(&[alert(1, "red")], Vec::new());
        assert_eq!(scene.drain(), Outcome { withheld: 1, ..Outcome::default() });
        assert!(scene.attempts().is_empty());
    }

    #[test]
    fn a_refused_record_becomes_a_dead_letter_and_the_rest_goes() {
        let mut scene = scene(&alerts(3), vec![Delivery::Never { reason: "poison".into(), which: 1 }]);
        assert_eq!(scene.drain(), Outcome { delivered: 2, dead: 1, ..Outcome::default() });
        assert_eq!(scene.attempts(), [vec![1, 2, 3], vec![1, 3]]);
        let letters = std::fs::read_to_string(scene.directory.path().join(DEAD_LETTERS)).unwrap();
        assert!(letters.contains("id-2") && letters.contains("poison"));
    }

    #[test]
    fn too_much_at_once_is_halved_down_to_the_one_record_that_is_too_large() {
        let mut scene = scene(&alerts(4), vec![Delivery::Smaller, Delivery::Smaller, Delivery::Smaller]);
        assert_eq!(scene.drain(), Outcome { delivered: 3, dead: 1, ..Outcome::default() });
        assert_eq!(scene.attempts()[..3], [vec![1, 2, 3, 4], vec![1, 2], vec![1]]);
    }

    #[test]
    fn a_deadline_leaves_the_rest_in_the_spool() {
        let busy = Delivery::Later { reason: "busy".into(), after: Some(Duration::from_secs(3600)) };
        let mut scene = scene(&alerts(2), vec![busy]);
        let outcome = scene.drain();
        assert_eq!(outcome, Outcome { left: 2, reason: Some("busy".into()), ..Outcome::default() });
    }

    #[test]
    fn a_stop_is_obeyed() {
        let mut scene = scene(&alerts(1), Vec::new());
        scene.courier.run(&AtomicBool::new(true));
        assert!(scene.attempts().is_empty());
    }

    #[test]
    fn waits_double_up_to_their_bound() {
        let waits: Vec<u128> = [0, 1, 2, 9, 10, 4_000_000].iter().map(|n| wait_after(*n).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 25_600, 30_000, 30_000]);
    }
}
