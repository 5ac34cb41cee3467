//! What was handed to JetStream and is not committed yet, spool by spool: acknowledgements and watermarks go in, what is still to
//! be sent, asked and waited for comes out. Never here: a connection, or a clock.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::nats_answers::{Complaint, Received, Watermark};
use crate::ledger::{Head, Receipt};
use crate::limits::DELIVERY_RECORDS_MAX;
use crate::spool::{Position, SpoolId};

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// JetStream's, about one record.
    Record(SpoolId, Position),
    /// The ingest's.
    Watermark,
    /// The ingest's, to a sign of life.
    Life,
}

/// All spools of a sensor.
#[derive(Debug)]
pub(super) struct Handed {
    /// Subjects of answers begin with it.
    prefix: String,
    next: u64,
    /// Answers that are waited for, by the number that ends their subject.
    answers: HashMap<u64, Answer>,
    spools: HashMap<SpoolId, Spool>,
}

/// One of them.
#[derive(Debug, Default)]
struct Spool {
    /// As the ingest says, of what this process has sent.
    committed: Position,
    /// The last that this process has sent.
    highest: Position,
    /// When the batch was begun that is being sent.
    began: Option<Instant>,
    /// Of that batch: when each was handed over, and whether that was acknowledged.
    handed: BTreeMap<Position, (Instant, bool)>,
    /// What the ingest will never take, and why.
    refused: BTreeMap<Position, String>,
    complaint: Option<(Position, Complaint)>,
    asked: Option<Instant>,
    /// When the watermark last moved.
    moved: Option<Instant>,
    /// What the ingest last signed for.
    received: Option<Received>,
}

impl Handed {
    pub fn new(prefix: String) -> Handed {
        Handed { prefix, next: 0, answers: HashMap::new(), spools: HashMap::new() }
    }

    fn spool(&mut self, spool: SpoolId) -> &mut Spool {
        self.spools.entry(spool).or_default()
    }

    fn reply(&mut self, answer: Answer) -> String {
        self.next += 1;
        self.answers.insert(self.next, answer);
        format!("{}{}", self.prefix, self.next)
    }

    /// A batch is to be sent, all of it: what was sent of another says another head of the ledger, and is none of this one.
    pub fn begin(&mut self, spool: SpoolId, now: Instant) {
        self.answers.retain(|_, answer| !matches!(answer, Answer::Record(of, _) if *of == spool));
        let known = self.spool(spool);
        known.handed.clear();
        known.complaint = None;
        known.began = Some(now);
    }

    /// A record of it is to be sent: where its acknowledgement is to go.
    pub fn hand(&mut self, spool: SpoolId, position: Position, now: Instant) -> String {
        let known = self.spool(spool);
        known.handed.insert(position, (now, false));
        known.highest = known.highest.max(position);
        self.reply(Answer::Record(spool, position))
    }

    /// The ingest is to be asked: where its answer is to go.
    pub fn ask(&mut self, spool: SpoolId, now: Instant) -> String {
        self.spool(spool).asked = Some(now);
        // An earlier answer would say the same.
        self.answers.retain(|_, answer| *answer != Answer::Watermark);
        self.reply(Answer::Watermark)
    }

    /// A sign of life is to be sent: where the answer is to go.
    pub fn live(&mut self) -> String {
        self.reply(Answer::Life)
    }

    /// Whether the ingest was asked and has not answered.
    pub fn is_asked(&self) -> bool {
        self.answers.values().any(|answer| *answer == Answer::Watermark)
    }

    /// How long ago it was asked.
    pub fn asked_since(&mut self, spool: SpoolId, now: Instant) -> Option<Duration> {
        self.spool(spool).asked.map(|asked| now.saturating_duration_since(asked))
    }

    /// Whose answer came at `subject`; each comes once.
    pub fn answered(&mut self, subject: &str) -> Option<Answer> {
        let number = self.number(subject)?;
        self.answers.remove(&number)
    }

    /// Whether none came there yet.
    pub fn is_waited_for(&self, subject: &str) -> bool {
        self.number(subject).is_some_and(|number| self.answers.contains_key(&number))
    }

    fn number(&self, subject: &str) -> Option<u64> {
        subject.strip_prefix(&self.prefix)?.parse().ok()
    }

    /// JetStream has taken a record, or has not: then its batch is to be sent again.
    pub fn acknowledged(&mut self, spool: SpoolId, position: Position, said: Result<(), Complaint>) {
        let known = self.spool(spool);
        match said {
            Ok(()) => {
                if let Some((_, acknowledged)) = known.handed.get_mut(&position) {
                    *acknowledged = true;
                }
            }
            Err(complaint) => {
                known.handed.remove(&position);
                known.complaint.get_or_insert((position, complaint));
            }
        }
    }

    /// What JetStream complained of since this was last asked.
    pub fn complaint(&mut self, spool: SpoolId) -> Option<(Position, Complaint)> {
        self.spool(spool).complaint.take()
    }

    /// The ingest says up to where it has committed everything of what was sent, but for what it refuses.
    pub fn committed(&mut self, said: Watermark, now: Instant) {
        let Some((_, known)) = self.spools.iter_mut().find(|(id, _)| id.to_string() == said.spool) else { return };
        let refused = said.refused.into_iter().map(|one| (Position(one.sequence), one.error));
        known.refused = refused.take(DELIVERY_RECORDS_MAX).collect();
        // Words may overtake each other.
        let older = |had: &Received| said.received.as_ref().is_none_or(|new| new.ledger.sequence < had.ledger.sequence);
        if !known.received.as_ref().is_some_and(older) {
            known.received = said.received;
        }
        let up_to = Position(said.committed);
        if up_to > known.committed {
            known.committed = up_to;
            known.handed = known.handed.split_off(&up_to.next());
            known.moved = Some(now);
        }
    }

    /// Up to where.
    pub fn committed_up_to(&mut self, spool: SpoolId) -> Position {
        self.spool(spool).committed
    }

    /// What the ingest has signed for the batch that says this head, if it has.
    pub fn receipt(&self, spool: SpoolId, ledger: Head) -> Option<Receipt> {
        let received = self.spools.get(&spool)?.received.as_ref();
        received.filter(|received| received.ledger == ledger).map(|received| received.receipt.clone())
    }

    /// The last record that this process has sent.
    pub fn highest(&mut self, spool: SpoolId) -> Position {
        self.spool(spool).highest
    }

    /// Why the ingest will never take a record, if so.
    pub fn refused(&self, spool: SpoolId, position: Position) -> Option<&str> {
        self.spools.get(&spool)?.refused.get(&position).map(String::as_str)
    }

    /// How long the oldest record has waited that JetStream has not acknowledged.
    pub fn unacknowledged(&mut self, spool: SpoolId, now: Instant) -> Duration {
        let handed = self.spool(spool).handed.values();
        let oldest = handed.filter(|(_, acknowledged)| !acknowledged).map(|(at, _)| *at).min();
        oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }

    /// How long nothing has moved since the batch was begun.
    pub fn stands_still(&mut self, spool: SpoolId, now: Instant) -> Duration {
        let known = self.spool(spool);
        let last = known.began.max(known.moved);
        last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last))
    }

    /// The connection is gone: what was handed over on it and not committed may be lost.
    pub fn forget_connection(&mut self) {
        self.answers.clear();
        for known in self.spools.values_mut() {
            known.handed.clear();
            known.complaint = None;
        }
    }

    /// Nothing that was said of a spool is believed any more: all is to be sent again.
    pub fn forget(&mut self, spool: SpoolId) {
        self.answers.retain(|_, answer| !matches!(answer, Answer::Record(of, _) if *of == spool));
        let highest = self.highest(spool);
        self.spools.insert(spool, Spool { highest, ..Spool::default() });
    }
}

#[cfg(test)]
mod tests {
    use super::super::nats_answers::Refused;
    use super::*;
    use crate::ledger::Digest;

    const SPOOL: SpoolId = SpoolId([7; 8]);

    fn handed(positions: &[u64], now: Instant) -> (Handed, Vec<String>) {
        let mut handed = Handed::new("in.".to_owned());
        handed.begin(SPOOL, now);
        let replies = positions.iter().map(|at| handed.hand(SPOOL, Position(*at), now)).collect();
        (handed, replies)
    }

    fn commit(handed: &mut Handed, up_to: u64, refused: &[u64], now: Instant) {
        handed.committed(watermark(up_to, refused), now);
    }

    fn watermark(committed: u64, refused: &[u64]) -> Watermark {
        let refused = refused.iter().map(|at| Refused { sequence: *at, error: "why".to_owned() }).collect();
        Watermark { spool: SPOOL.to_string(), run: String::new(), committed, refused, received: None }
    }

    #[test]
    fn another_batch_is_sent_whole_and_answers_to_the_one_before_are_no_answers_to_it() {
        let now = Instant::now();
        let (mut handed, replies) = handed(&[1, 2, 4], now);
        assert_eq!(replies, ["in.1", "in.2", "in.3"]);
        handed.acknowledged(SPOOL, Position(1), Err((10_077, "full".to_owned())));
        handed.begin(SPOOL, now);
        assert_eq!(handed.hand(SPOOL, Position(2), now), "in.4");
        assert_eq!(handed.answered("in.2"), None, "nobody waits for it");
        assert_eq!(handed.answered("in.4"), Some(Answer::Record(SPOOL, Position(2))));
        assert_eq!((handed.complaint(SPOOL), handed.highest(SPOOL)), (None, Position(4)));
    }

    #[test]
    fn a_receipt_is_for_the_batch_that_says_its_head_and_a_later_one_is_not_overtaken() {
        let now = Instant::now();
        let (mut handed, _) = handed(&[1], now);
        let head = |sequence| Head { sequence, head: Digest::of(b"line") };
        let mut sign = |sequence: Option<u64>| {
            let receipt = r#"{"key":"k","time":"t","signature":"s"}"#;
            let receipt: Receipt = serde_json::from_str(receipt).unwrap();
            let received = sequence.map(|at| Received { ledger: head(at), receipt });
            handed.committed(Watermark { received, ..watermark(1, &[]) }, now);
            [11, 12].map(|at| handed.receipt(SPOOL, head(at)).is_some())
        };
        assert_eq!(sign(None), [false, false]);
        assert_eq!(sign(Some(11)), [true, false]);
        assert_eq!(sign(Some(12)), [false, true]);
        assert_eq!(sign(Some(11)), [false, true], "it came late");
        assert_eq!(sign(None), [false, true]);
        assert!(handed.receipt(SPOOL, Head { head: Digest::NONE, ..head(12) }).is_none());
    }

    #[test]
    fn an_acknowledgement_settles_nothing_and_a_complaint_is_told_once() {
        let now = Instant::now();
        let (mut handed, replies) = handed(&[1, 2], now);
        assert_eq!(handed.answered(&replies[0]), Some(Answer::Record(SPOOL, Position(1))));
        assert_eq!(handed.answered(&replies[0]), None);
        handed.acknowledged(SPOOL, Position(1), Ok(()));
        assert_eq!(handed.committed_up_to(SPOOL), Position(0));
        handed.acknowledged(SPOOL, Position(2), Err((10_077, "full".to_owned())));
        assert_eq!(handed.complaint(SPOOL), Some((Position(2), (10_077, "full".to_owned()))));
        assert_eq!(handed.complaint(SPOOL), None);
    }

    #[test]
    fn the_watermark_goes_up_only_and_brings_what_is_refused() {
        let now = Instant::now();
        let (mut handed, _) = handed(&[1, 2, 3], now);
        commit(&mut handed, 3, &[2], now);
        commit(&mut handed, 1, &[2], now);
        handed.committed(Watermark { spool: "another".to_owned(), ..watermark(9, &[]) }, now);
        assert_eq!(handed.committed_up_to(SPOOL), Position(3));
        assert_eq!(handed.refused(SPOOL, Position(2)), Some("why"));
        assert_eq!(handed.refused(SPOOL, Position(1)), None);
    }

    #[test]
    fn waiting_begins_anew_when_something_moves() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let (mut handed, _) = handed(&[1, 2], began);
        handed.acknowledged(SPOOL, Position(1), Ok(()));
        assert_eq!(handed.unacknowledged(SPOOL, after(4)), Duration::from_secs(4));
        handed.acknowledged(SPOOL, Position(2), Ok(()));
        assert_eq!(handed.unacknowledged(SPOOL, after(4)), Duration::ZERO);
        commit(&mut handed, 1, &[], after(20));
        assert_eq!(handed.stands_still(SPOOL, after(25)), Duration::from_secs(5));
        commit(&mut handed, 1, &[], after(26));
        assert_eq!(handed.stands_still(SPOOL, after(27)), Duration::from_secs(7), "it did not move");
        handed.begin(SPOOL, after(30));
        assert_eq!(handed.stands_still(SPOOL, after(31)), Duration::from_secs(1));
    }

    #[test]
    fn who_is_not_believed_is_sent_everything_again() {
        let now = Instant::now();
        let (mut handed, replies) = handed(&[1, 2], now);
        commit(&mut handed, 9, &[], now);
        handed.forget(SPOOL);
        assert_eq!((handed.committed_up_to(SPOOL), handed.highest(SPOOL)), (Position(0), Position(2)));
        assert_eq!(handed.answered(&replies[1]), None);
    }

    #[test]
    fn the_ingest_is_waited_for_once() {
        let now = Instant::now();
        let (mut handed, _) = handed(&[1], now);
        let (first, second) = (handed.ask(SPOOL, now), handed.ask(SPOOL, now));
        assert_eq!(handed.answered(&first), None);
        assert!(handed.is_asked());
        assert_eq!(handed.answered(&second), Some(Answer::Watermark));
        assert!(!handed.is_asked());
        assert_eq!(handed.asked_since(SPOOL, now), Some(Duration::ZERO));
    }
}
