//! The courier: records from the spool go through the gate to a sink, until the centre has committed them. It owns the
//! waiting, the repeating and the watermark. Never here: a record passed over because of an answer that does not say
//! that it is committed; it is repeated instead, under the same identity.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::counts::{Attempt, Counts, Outcome};
use super::endpoints::Endpoints;
use super::entered::Taken;
use super::lane::{Lane, Run, Verdict};
use super::{Delivery, Trouble, Way};
use crate::gate::{Gate, Health, Projected};
use crate::spool::{Position, Readers};

/// How often a stop is looked for while waiting.
const STOP_EVERY: Duration = Duration::from_millis(100);

/// After so long without anything to send, the disk is asked to keep what came of the last.
const BREATH: Duration = Duration::from_millis(20);

/// How often the sensor says that it lives.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);

/// How long the first sign of life waits for somebody to look how the sensor is.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(5);

/// A sign of life to an endpoint that is not in use: whoever takes longer is not well, and alerts wait meanwhile.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);

/// After so long the centre is asked again about what it refused without naming it, when there was nothing else to send.
const SUSPECTS_AGAIN: Duration = Duration::from_secs(60);

/// A failure is told the first time, and then each time it has come twice as often: the log is not what grows.
fn is_told(failures: u64) -> bool {
    failures.is_power_of_two()
}

/// What one step came to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing waits, or nothing that may be sent now.
    Idle,
    /// Something was settled, or will be tried differently at once.
    Went,
    /// Not now.
    Wait(Duration),
}

/// The courier of one spool and one centre.
pub struct Courier {
    readers: Readers,
    way: Way,
    counts: Arc<Counts>,
    endpoints: Endpoints,
    /// Of each lane, what was learned of its next run.
    lanes: Vec<Lane>,
    /// Whom the suspects were refused by.
    judge: usize,
    /// Until when suspects are left alone.
    left_alone: Option<Duration>,
    /// Attempts in a row that failed.
    failures: u64,
    reason: Option<String>,
    began: Instant,
    told: Option<Duration>,
    heartbeat_every: Duration,
    /// What a sink has taken, and nobody has committed yet.
    taken: Taken,
}

impl Courier {
    /// A courier between a spool and the endpoints of a centre.
    pub fn new(mut readers: Readers, way: Way) -> Courier {
        let lanes = readers.lanes();
        // No two spools have the same number, so no two sensors throw the same dice.
        let seed = lanes.iter().fold(0, |seed: u64, lane| seed.rotate_left(8) ^ u64::from_le_bytes(lane.id().0));
        let lanes: Vec<Lane> = lanes.iter().map(|_| Lane::new()).collect();
        let counts: Arc<Counts> = Arc::default();
        way.sinks.first().into_iter().for_each(|first| counts.learned(first.facts()));
        Courier {
            endpoints: Endpoints::new(way.sinks.len(), seed),
            readers,
            way,
            counts,
            lanes,
            judge: 0,
            left_alone: None,
            failures: 0,
            reason: None,
            began: Instant::now(),
            told: None,
            heartbeat_every: HEARTBEAT_EVERY,
            taken: Taken::default(),
        }
    }

    /// Says that the sensor lives so often instead of once a minute.
    pub fn beating(mut self, every: Duration) -> Courier {
        self.heartbeat_every = every;
        self
    }

    /// What it has done; to be read from any thread.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Delivers until told to stop. What waits then stays in the spool.
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut is_quiet = false;
        while !stop.load(Ordering::Acquire) {
            // the first one says how the sensor is, once anybody has looked
            if self.way.pulse.get().is_some() || self.began.elapsed() >= FIRST_LOOK_MAX {
                self.tell_of_life(self.began.elapsed());
            }
            let step = self.step(self.began.elapsed());
            let was_quiet = std::mem::replace(&mut is_quiet, step != Step::Went);
            if was_quiet && is_quiet {
                self.way.ledger.rest();
            }
            match step {
                Step::Went => {}
                Step::Idle if was_quiet => self.readers.wait(STOP_EVERY),
                Step::Idle => self.readers.wait(BREATH),
                Step::Wait(time) => std::thread::sleep(time.min(STOP_EVERY)),
            }
        }
    }

    /// Delivers what waits, at most until `deadline`.
    pub fn drain(&mut self, deadline: Instant) -> Outcome {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.step(self.began.elapsed()) {
                Step::Went if !left.is_zero() => {}
                Step::Wait(time) if time < left => std::thread::sleep(time),
                _ => break,
            }
        }
        self.told = None;
        if self.reason.is_none() {
            self.tell_of_life(self.began.elapsed());
        }
        self.way.ledger.rest();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Outcome {
            delivered: count(&self.counts.delivered),
            withheld: count(&self.counts.withheld),
            dead: count(&self.counts.dead),
            left: self.readers.waiting().records(),
            reason: self.reason.clone(),
        }
    }

    /// One run of the most urgent lane that has one, one attempt. `now` is the time since the courier began.
    fn step(&mut self, now: Duration) -> Step {
        let (which, patience) = match self.endpoints.choose(now) {
            Ok(chosen) => chosen,
            Err(wait) => return Step::Wait(wait),
        };
        self.counts.endpoint.store(which as u64, Ordering::Release);
        if which != self.judge {
            self.judge = which;
            self.acquit();
        }
        // Looked before reading: what is appended meanwhile must not be slept upon.
        self.readers.look();
        for (at, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.suspects_all()) {
            match lane.next_run((at, now), &mut self.readers.lanes()[at], &self.way.gate) {
                Ok(Some(run)) => return self.attempt(&run, which, patience, now),
                Ok(None) => {}
                Err(error) => return self.later(which, now, format!("the spool cannot be read: {error}"), None),
            }
        }
        if self.lanes.iter().any(Lane::has_suspects) { self.nobody_else(which, now) } else { Step::Idle }
    }

    fn attempt(&mut self, run: &Run, which: usize, patience: Duration, now: Duration) -> Step {
        let (after, through) = (run.after, run.through);
        if run.projected.is_empty() {
            return self.settle(through, run, now);
        }
        let place = (self.readers.lanes()[run.lane].id(), after, through);
        let message = |gate: &Gate, head| gate.batch(head, place.0, (after, through), &run.projected);
        let began = Instant::now();
        let answer = match self.way.deliver(&mut self.taken, (which, patience), place, run.projected.len(), message) {
            Ok(answer) => answer,
            Err(error) => return self.later(which, now, format!("the ledger cannot be written: {error}"), None),
        };
        let took = began.elapsed();
        let now = now + took;
        self.counts.learned(self.way.sinks[which].facts());
        self.counts.tried(outcome(&answer, run));
        if !matches!(answer, Delivery::Later { .. } | Delivery::Taken) {
            self.endpoints.answered(which, took);
        }
        match answer {
            Delivery::Delivered { committed: Some(up_to) } if run.holds(up_to) => self.taken(up_to, run, now),
            Delivery::Delivered { committed } => {
                add(&self.counts.wrong_answers, 1);
                let said = committed.map_or_else(|| "nothing".to_owned(), |up_to| up_to.0.to_string());
                let (from, to) = (after.0 + 1, through.0);
                let reason = format!("sent records {from} to {to}; the centre says that it committed {said}");
                self.later(which, now, reason, None)
            }
            // The sink has waited, and waits on: other lanes and signs of life have their turn.
            Delivery::Taken => Step::Went,
            Delivery::Later { trouble, reason, after } => {
                if trouble == Trouble::Slow {
                    self.endpoints.too_slow(which);
                }
                if matches!(trouble, Trouble::Slow | Trouble::Full) {
                    self.lanes[run.lane].smaller();
                }
                if let (Trouble::Busy, Some(after)) = (trouble, after) {
                    self.endpoints.all_wait(now + after);
                }
                self.later(which, now, reason, after)
            }
            Delivery::Again { reason } => {
                tracing::info!(reason, "what is delivered takes another form from now on");
                Step::Went
            }
            Delivery::Smaller { reason } | Delivery::Unclear { reason } => self.unclear(run, which, now, &reason),
            Delivery::Never { reason, which: record } => self.refuse(run, record, which, now, &reason),
        }
    }

    /// The centre has committed some of the run.
    fn taken(&mut self, up_to: Position, run: &Run, now: Duration) -> Step {
        let is_record = run.projected.first().is_some_and(|first| first.position() <= up_to);
        if is_record {
            self.lanes.iter_mut().for_each(Lane::others_are_taken);
        }
        // What was sent around a suspect is sent again after it: nothing is settled beyond what may yet be taken.
        if run.around_suspects { Step::Went } else { self.settle(up_to, run, now) }
    }

    /// The run's records up to `up_to` need not be delivered any more.
    fn settle(&mut self, up_to: Position, run: &Run, now: Duration) -> Step {
        let there = run.records.iter().filter(|record| record.position <= up_to).count() as u64;
        add(&self.counts.again, if self.readers.lanes()[run.lane].was_set_back() { there } else { 0 });
        if let Err(error) = self.readers.lanes()[run.lane].commit(up_to) {
            self.lanes[run.lane].owes(up_to, now, &error);
        }
        let delivered = self.counts.committed(run.lane, run.committed(up_to).map(|record| record.time));
        let dead = self.lanes[run.lane].settle(up_to);
        self.lanes[run.lane].larger();
        add(&self.counts.withheld, there.saturating_sub(delivered + dead));
        add(&self.counts.damaged, (up_to.0 - run.after.0).saturating_sub(there));
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "alerts reach the centre again");
            self.counts.failed(None);
        }
        (self.failures, self.reason) = (0, None);
        self.counts.failures.store(0, Ordering::Release);
        Step::Went
    }

    /// The centre refuses the run, or finds it too large, and names no record.
    fn unclear(&mut self, run: &Run, which: usize, now: Duration, reason: &str) -> Step {
        match self.lanes[run.lane].unclear(run) {
            Verdict::Halved => Step::Went,
            Verdict::Dead => self.refuse(run, 0, which, now, reason),
            Verdict::Suspect => {
                self.trouble(which, format!("{reason}; it is tried with others"));
                if self.lanes[run.lane].suspects_all() { self.refuses_all(which, now) } else { Step::Went }
            }
        }
    }

    /// There is nothing to send but suspects: they are left alone for a while, or until something comes.
    fn nobody_else(&mut self, which: usize, now: Duration) -> Step {
        if now < *self.left_alone.get_or_insert(now + SUSPECTS_AGAIN) {
            return Step::Idle;
        }
        if self.way.sinks.len() > 1 {
            return self.refuses_all(which, now);
        }
        self.acquit();
        Step::Went
    }

    /// Another endpoint is asked, or this one again later: from the beginning.
    fn refuses_all(&mut self, which: usize, now: Duration) -> Step {
        self.acquit();
        let reason = self.reason.take().unwrap_or_else(|| "the centre takes nothing".to_owned());
        self.later(which, now, reason, Some(SUSPECTS_AGAIN))
    }

    fn acquit(&mut self) {
        self.lanes.iter_mut().for_each(Lane::acquit);
        self.left_alone = None;
    }

    /// The centre will never take this record: it is kept for a person, and the others go without it.
    fn refuse(&mut self, run: &Run, record: usize, which: usize, now: Duration, reason: &str) -> Step {
        let position = run.projected.get(record).map(Projected::position);
        let Some(record) = run.records.iter().find(|record| Some(record.position) == position) else {
            add(&self.counts.wrong_answers, 1);
            return self.later(which, now, format!("the centre refuses a record that was not sent: {reason}"), None);
        };
        if let Err(error) = self.way.dead.keep(record, reason) {
            return self.later(which, now, format!("a refused record cannot be kept: {error}"), None);
        }
        tracing::warn!(reason, "the centre refuses a record for good: it is kept among the dead letters");
        add(&self.counts.dead, 1);
        self.lanes[run.lane].bury(record.position);
        Step::Went
    }

    /// Not now; somewhere else at once, if there is somebody else.
    fn later(&mut self, which: usize, now: Duration, reason: String, after: Option<Duration>) -> Step {
        add(&self.counts.later, 1);
        self.endpoints.failed(which, now, after);
        self.trouble(which, reason);
        self.endpoints.choose(now).map_or_else(Step::Wait, |_| Step::Went)
    }

    fn trouble(&mut self, which: usize, reason: String) {
        self.failures += 1;
        self.counts.failures.store(self.failures, Ordering::Release);
        if is_told(self.failures) {
            tracing::warn!(
                endpoint = which,
                failures = self.failures,
                reason,
                "alerts do not reach the centre; they wait"
            );
        }
        self.counts.failed(Some(reason.clone()));
        self.reason = Some(reason);
    }

    /// Says that the sensor lives: to the endpoint in use, and to those that were preferred and failed, to see how they are.
    fn tell_of_life(&mut self, now: Duration) {
        if self.told.is_some_and(|told| now.saturating_sub(told) < self.heartbeat_every) {
            return;
        }
        self.told = Some(now);
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
        let in_use = self.endpoints.in_use();
        for before in 0..in_use {
            let answered = self.way.beat(before, &health, LOOK_PATIENCE).is_ok();
            self.endpoints.heard(before, answered, now);
        }
        // Whoever is left alone for now is not told, either.
        let due = self.endpoints.is_due(in_use, now);
        let patience = self.endpoints.patience(in_use);
        if !due || self.way.beat(in_use, &health, patience).is_err() {
            add(&self.counts.silent, 1);
        }
        self.counts.learned(self.way.sinks[in_use].facts());
    }

    /// Why nothing goes out at the moment, if so.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

/// What an attempt is counted as.
fn outcome(answer: &Delivery, run: &Run) -> Attempt {
    match answer {
        Delivery::Delivered { committed: Some(up_to) } if run.holds(*up_to) => Attempt::Committed,
        Delivery::Delivered { .. } => Attempt::Wrong,
        Delivery::Taken => Attempt::Taken,
        Delivery::Again { .. } | Delivery::Smaller { .. } => Attempt::Otherwise,
        Delivery::Unclear { .. } | Delivery::Never { .. } => Attempt::Refused,
        Delivery::Later { trouble, .. } => match trouble {
            Trouble::Unreachable => Attempt::Unreachable,
            Trouble::Certificate => Attempt::Certificate,
            Trouble::Slow => Attempt::Slow,
            Trouble::Token => Attempt::Token,
            Trouble::Busy | Trouble::Down | Trouble::Full => Attempt::Busy,
            Trouble::Other => Attempt::Other,
        },
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;
    use crate::emit::{DeadLetters, Sink};
    use crate::gate::{Batch, Heartbeat, Mode, Policy, Pulse, Sender, SiteKey};
    use crate::ledger::{self, Kind, Ledger};
    use crate::spool::simulated::Simulated;
    use crate::spool::{DEAD_LETTERS, Lane as SpoolLane, Options, Spool};

    /// Answers in turn what it was told to, then as it thinks of each batch; remembers the sequences of every attempt.
    #[derive(Clone)]
    struct Centre(Arc<Mutex<Talk>>);

    type Thinks = fn(&[u64]) -> Option<Delivery>;

    struct Talk {
        answers: Vec<Delivery>,
        thinks: Thinks,
        attempts: Vec<Vec<u64>>,
        committed: Vec<u64>,
    }

    impl Sink for Centre {
        fn deliver(&mut self, batch: &Batch, _: Duration) -> Delivery {
            let mut state = self.0.lock().unwrap();
            let sent: Vec<u64> = batch.positions().iter().map(|position| position.0).collect();
            state.attempts.push(sent.clone());
            let told = (!state.answers.is_empty()).then(|| state.answers.remove(0));
            told.or_else(|| (state.thinks)(&sent)).unwrap_or_else(|| {
                state.committed.extend(sent);
                Delivery::Delivered { committed: Some(batch.through()) }
            })
        }

        fn is_told_of_life(&self) -> bool {
            true
        }

        fn destination(&self, _: Kind) -> (&'static str, String) {
            ("memory", "nowhere".to_owned())
        }

        fn beat(&mut self, _: &Heartbeat, _: Duration) -> Result<(), String> {
            Ok(())
        }
    }

    struct Scene {
        directory: TempDir,
        spool: Spool,
        centres: Vec<Centre>,
        courier: Courier,
    }

    fn alert(number: u64, marking: &str) -> Value {
        json!({"event_type": "alert", "alert": {"metadata": {"tlp": [marking]},
            "context": {"haetae": {"id": format!("id-{number}"), "revision": 1}}}})
    }

    /// A site with these records, and a centre with an endpoint for each that thinks.
    fn scene_of(records: &[Value], answers: Vec<Delivery>, endpoints: &[Thinks]) -> Scene {
        let directory = TempDir::new().unwrap();
        let mut spool = Spool::open(directory.path(), Options::default()).unwrap();
        for record in records {
            spool.append(SpoolLane::Normal, record.to_string().as_bytes()).unwrap();
        }
        spool.sync().unwrap();
        let talk = |thinks: &Thinks| Talk {
            answers: answers.clone(),
            thinks: *thinks,
            attempts: Vec::new(),
            committed: Vec::new(),
        };
        let centres: Vec<Centre> = endpoints.iter().map(|thinks| Centre(Arc::new(Mutex::new(talk(thinks))))).collect();
        let sender = Sender::new("site", "tap", Mode::Exercise).unwrap();
        let gate = Gate::new(Policy::default(), SiteKey::fixed(&[1; 32]), sender, Arc::new(|_| false));
        let sinks = centres.iter().map(|centre| Box::new(centre.clone()) as Box<dyn Sink>).collect();
        // a day of attempts is entered, on a disk that takes no time
        let (disk, small) =
            (Arc::new(Simulated::new(1)), ledger::Options { file_bytes_max: 1 << 15, ..Default::default() });
        let ledger = Ledger::open_on(disk, Path::new("/ledger"), small, ("site", "tap"), None).unwrap();
        let (dead, ledger) = (DeadLetters::beside(directory.path()), Arc::new(ledger));
        let way = Way { gate, sinks, dead, ledger, pulse: Pulse::default() };
        let courier = Courier::new(spool.readers(), way);
        Scene { directory, spool, centres, courier }
    }

    fn scene(records: &[Value], answers: Vec<Delivery>) -> Scene {
        scene_of(records, answers, &[|_| None])
    }

    fn alerts(count: u64) -> Vec<Value> {
        (1..=count).map(|number| alert(number, "green")).collect()
    }

    impl Scene {
        fn drain(&mut self) -> Outcome {
            self.courier.drain(Instant::now() + Duration::from_secs(60))
        }

        fn attempts(&self) -> Vec<Vec<u64>> {
            self.centres[0].0.lock().unwrap().attempts.clone()
        }

        fn think(&self, thinks: Thinks) {
            self.centres[0].0.lock().unwrap().thinks = thinks;
        }

        fn append(&mut self, number: u64) {
            self.spool.append(SpoolLane::Normal, alert(number, "green").to_string().as_bytes()).unwrap();
            self.spool.sync().unwrap();
        }

        fn waiting(&self) -> u64 {
            self.spool.readers().waiting().records()
        }

        fn count(&self, pick: fn(&Counts) -> &AtomicU64) -> u64 {
            pick(&self.courier.counts).load(Ordering::Relaxed)
        }

        /// Goes on from `now` until nothing goes any more, waits included, at most until `end`; gives the time then.
        fn go_on(&mut self, mut now: Duration, end: Duration) -> Duration {
            while now < end {
                match self.courier.step(now) {
                    Step::Went => {}
                    Step::Idle => return now,
                    Step::Wait(time) => now += time.max(Duration::from_millis(1)),
                }
            }
            now
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn delivered(up_to: u64) -> Delivery {
        Delivery::Delivered { committed: Some(Position(up_to)) }
    }

    fn busy(after: Option<Duration>) -> Delivery {
        Delivery::Later { trouble: Trouble::Busy, reason: "busy".into(), after }
    }

    fn unclear() -> Option<Delivery> {
        Some(Delivery::Unclear { reason: "400".into() })
    }

    fn down() -> Option<Delivery> {
        Some(Delivery::Later { trouble: Trouble::Unreachable, reason: "down".into(), after: None })
    }

    #[test]
    fn everything_arrives_and_the_spool_is_empty() {
        let mut scene = scene(&alerts(3), Vec::new());
        assert_eq!(scene.drain(), Outcome { delivered: 3, ..Outcome::default() });
        assert_eq!(scene.attempts(), [[1, 2, 3]]);
        assert_eq!(scene.waiting(), 0);
    }

    #[test]
    fn only_what_is_committed_is_settled() {
        let mut scene = scene(&alerts(3), vec![delivered(2), busy(None)]);
        assert_eq!(scene.drain().delivered, 3);
        assert_eq!(scene.attempts(), [vec![1, 2, 3], vec![3], vec![3]]);
    }

    #[test]
    fn an_answer_that_cannot_be_settles_nothing() {
        let mut scene = scene(&alerts(2), vec![delivered(0), delivered(99), Delivery::Delivered { committed: None }]);
        assert_eq!(scene.drain().delivered, 2);
        assert_eq!(scene.count(|counts| &counts.wrong_answers), 3);
        assert_eq!(scene.courier.counts.attempts(Attempt::Wrong), 3);
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
    fn poison_that_nobody_names_is_found_wherever_it_is_and_the_rest_is_delivered() {
        for poison in [&[1][..], &[100], &[1, 2, 3], &[7, 300, 301], &[64, 65, 599]] {
            let mut scene = scene(&alerts(600), Vec::new());
            scene.think(match poison {
                [1] => |sent| sent.contains(&1).then(unclear)?,
                [100] => |sent| sent.contains(&100).then(unclear)?,
                [1, 2, 3] => |sent| sent.iter().any(|one| *one <= 3).then(unclear)?,
                [7, 300, 301] => |sent| sent.iter().any(|one| [7, 300, 301].contains(one)).then(unclear)?,
                _ => |sent| sent.iter().any(|one| [64, 65, 599].contains(one)).then(unclear)?,
            });
            let dead = poison.len() as u64;
            assert_eq!(scene.drain(), Outcome { delivered: 600 - dead, dead, ..Outcome::default() }, "{poison:?}");
            let letters = std::fs::read_to_string(scene.directory.path().join(DEAD_LETTERS)).unwrap();
            let kept: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let kept: Vec<u64> = kept.iter().map(|letter| letter["sequence"].as_u64().unwrap()).collect();
            assert_eq!(kept, poison);
            let mut committed = scene.centres[0].0.lock().unwrap().committed.clone();
            let sent_again = committed.len() as u64 + dead - 600;
            committed.sort_unstable();
            committed.dedup();
            assert!(!committed.iter().any(|one| poison.contains(one)));
            assert!(sent_again <= dead, "{poison:?}: {sent_again} repeats: one to see whether others are taken");
            assert!(scene.attempts().len() <= 40 * poison.len(), "{poison:?}: {} attempts", scene.attempts().len());
        }
    }

    #[test]
    fn a_centre_that_refuses_everything_empties_no_spool() {
        for count in [1, 5, 300] {
            let mut scene = scene(&alerts(count), Vec::new());
            scene.think(|_| unclear());
            let mut now = Duration::ZERO;
            while now < 24 * HOUR {
                now = scene.go_on(now, 24 * HOUR) + Duration::from_secs(1);
            }
            assert_eq!((scene.waiting(), scene.count(|counts| &counts.dead)), (count, 0));
            assert!(!scene.directory.path().join(DEAD_LETTERS).exists());
            assert!(scene.attempts().len() < 24 * 60 * 80, "{} attempts in a day", scene.attempts().len());
            scene.think(|_| None);
            scene.go_on(now + HOUR, now + 2 * HOUR);
            assert_eq!((scene.waiting(), scene.count(|counts| &counts.dead)), (0, 0), "it has come to its senses");
        }
    }

    #[test]
    fn a_suspect_that_is_alone_holds_up_nobody_who_comes_later() {
        let mut scene = scene(&alerts(1), Vec::new());
        scene.think(|sent| sent.contains(&1).then(unclear)?);
        let now = scene.go_on(Duration::ZERO, HOUR);
        assert_eq!((scene.waiting(), scene.count(|counts| &counts.dead)), (1, 0), "nobody else was taken yet");
        scene.append(2);
        scene.go_on(now, HOUR);
        assert_eq!((scene.waiting(), scene.count(|counts| &counts.dead)), (0, 1));
        assert_eq!(scene.count(|counts| &counts.delivered), 1);
    }

    #[test]
    fn a_centre_that_commits_less_than_the_one_record_sent_around_a_suspect_has_taken_nothing() {
        let answers = vec![unclear().unwrap(), unclear().unwrap(), delivered(1)];
        let mut scene = scene(&alerts(2), answers);
        assert_eq!(scene.drain(), Outcome { delivered: 2, ..Outcome::default() });
        assert_eq!(scene.attempts()[..4], [vec![1, 2], vec![1], vec![2], vec![2]]);
        assert_eq!(scene.count(|counts| &counts.wrong_answers), 1);
    }

    #[test]
    fn an_endpoint_that_refuses_everything_is_left_for_one_that_does_not() {
        let mut scene = scene_of(&alerts(3), Vec::new(), &[|_| unclear(), |_| None]);
        let mut now = Duration::ZERO;
        while scene.waiting() > 0 && now < HOUR {
            now = scene.go_on(now, HOUR) + Duration::from_secs(1);
        }
        assert_eq!((scene.waiting(), scene.count(|counts| &counts.dead)), (0, 0));
        assert!(now < 2 * SUSPECTS_AGAIN, "{now:?}");
        assert_eq!(scene.centres[1].0.lock().unwrap().committed, [1, 2, 3]);
    }

    #[test]
    fn too_much_at_once_is_halved_down_to_the_one_record_that_is_too_large() {
        let mut scene = scene(&alerts(4), Vec::new());
        scene.think(|sent| sent.contains(&1).then(|| Delivery::Smaller { reason: "too large".into() }));
        assert_eq!(scene.drain(), Outcome { delivered: 3, dead: 1, ..Outcome::default() });
        assert_eq!(scene.attempts()[..5], [vec![1, 2, 3, 4], vec![1, 2], vec![1], vec![2], vec![1]]);
    }

    #[test]
    fn trouble_at_one_endpoint_costs_no_wait_where_there_is_another() {
        let mut scene = scene_of(&alerts(3), Vec::new(), &[|_| down(), |_| down(), |_| None]);
        assert_eq!(scene.go_on(Duration::ZERO, HOUR), Duration::ZERO);
        assert_eq!(scene.waiting(), 0);
        assert_eq!(scene.count(|counts| &counts.endpoint), 2);
        assert_eq!(scene.courier.counts.attempts(Attempt::Unreachable), 2);
    }

    #[test]
    fn who_asks_for_patience_is_not_passed_by() {
        let after = Some(Duration::from_secs(100));
        let mut scene = scene_of(&alerts(1), vec![busy(after)], &[|_| None, |_| None]);
        let now = scene.go_on(Duration::ZERO, HOUR);
        assert!(now >= Duration::from_secs(100), "{now:?}");
        assert_eq!(scene.waiting(), 0);
        let attempts: usize = scene.centres.iter().map(|centre| centre.0.lock().unwrap().attempts.len()).sum();
        assert_eq!(attempts, 2);
    }

    /// A working night of eight hours in which nobody answers: few attempts, and an end within the longest wait.
    #[test]
    fn a_centre_that_is_down_for_eight_hours_is_asked_seldom_and_has_all_soon_after() {
        let mut scene = scene(&alerts(3), Vec::new());
        scene.think(|_| down());
        let end = scene.go_on(Duration::ZERO, 8 * HOUR);
        assert!((200..2_000).contains(&scene.attempts().len()), "{} attempts", scene.attempts().len());
        scene.think(|_| None);
        let there = scene.go_on(end, 9 * HOUR);
        assert_eq!(scene.waiting(), 0);
        assert!(there - end <= Duration::from_secs(120), "{:?}", there - end);
    }

    #[test]
    fn what_the_disk_does_not_take_down_is_not_sent_again_and_again_and_holds_no_other_lane_up() {
        let mut scene = scene(&alerts(3), Vec::new());
        let cursor = scene.directory.path().join(SpoolLane::Normal.name()).join("cursor");
        let _none_yet = std::fs::remove_file(&cursor);
        std::fs::create_dir(&cursor).unwrap();
        let minute = Duration::from_secs(60);
        scene.go_on(Duration::ZERO, minute);
        scene.spool.append(SpoolLane::Low, alert(9, "green").to_string().as_bytes()).unwrap();
        scene.append(4);
        for second in 1..60 {
            scene.go_on(Duration::from_secs(second), minute);
        }
        assert_eq!(scene.attempts(), [vec![1, 2, 3], vec![1]], "the one lane once, and the other");
        assert_eq!((scene.waiting(), scene.count(|counts| &counts.delivered)), (4, 4));
        std::fs::remove_dir(&cursor).unwrap();
        scene.go_on(2 * minute, 3 * minute);
        assert_eq!(scene.attempts()[2..], [[4]]);
        assert_eq!(scene.waiting(), 0);
    }

    #[test]
    fn a_deadline_leaves_the_rest_in_the_spool() {
        let mut scene = scene(&alerts(2), vec![busy(Some(HOUR))]);
        let outcome = scene.drain();
        assert_eq!(outcome, Outcome { left: 2, reason: Some("busy".into()), ..Outcome::default() });
    }

    #[test]
    fn a_stop_is_obeyed() {
        let mut scene = scene(&alerts(1), Vec::new());
        scene.courier.run(&AtomicBool::new(true));
        assert!(scene.attempts().is_empty());
    }
}
