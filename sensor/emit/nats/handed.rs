//! What was handed to JetStream and is not committed yet, spool by spool: acknowledgements and watermarks go in, what is still to
//! be sent, asked and waited for comes out. Never here: a connection, or a clock.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::limits::DELIVERY_RECORDS_MAX;
use crate::spool::{Position, SpoolId};

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// JetStream's, about one record.
    Record(SpoolId, Position),
    /// The ingest's.
    Watermark,
}

/// JetStream's code, and why a record is not taken, for a person.
pub(super) type Complaint = (u64, String);

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
    /// When each was handed over, and whether that was acknowledged.
    handed: BTreeMap<Position, (Instant, bool)>,
    /// What the ingest will never take, and why.
    refused: BTreeMap<Position, String>,
    complaint: Option<(Position, Complaint)>,
    asked: Option<Instant>,
    /// When the watermark last moved.
    moved: Option<Instant>,
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

    /// A record is to be sent: where its acknowledgement is to go; `None`: it was sent already.
    pub fn hand(&mut self, spool: SpoolId, position: Position, now: Instant) -> Option<String> {
        let known = self.spool(spool);
        if position <= known.committed || known.handed.contains_key(&position) {
            return None;
        }
        known.handed.insert(position, (now, false));
        known.highest = known.highest.max(position);
        Some(self.reply(Answer::Record(spool, position)))
    }

    /// The ingest is to be asked: where its answer is to go.
    pub fn ask(&mut self, spool: SpoolId, now: Instant) -> String {
        self.spool(spool).asked = Some(now);
        // An earlier answer would say the same.
        self.answers.retain(|_, answer| *answer != Answer::Watermark);
        self.reply(Answer::Watermark)
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
        self.answers.remove(&subject.strip_prefix(&self.prefix)?.parse().ok()?)
    }

    /// JetStream has taken a record, or has not: then it is to be sent again.
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

    /// The ingest has committed everything up to `up_to` of what was sent, but for what it refuses.
    pub fn committed(
        &mut self,
        spool: &str,
        up_to: Position,
        refused: impl Iterator<Item = (Position, String)>,
        now: Instant,
    ) {
        let Some((_, known)) = self.spools.iter_mut().find(|(id, _)| id.to_string() == spool) else { return };
        known.refused = refused.take(DELIVERY_RECORDS_MAX).collect();
        // Words may overtake each other.
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

    /// How long the ingest has committed nothing of what is there to be committed.
    pub fn uncommitted(&mut self, spool: SpoolId, now: Instant) -> Duration {
        let known = self.spool(spool);
        let oldest = known.handed.values().map(|(at, _)| *at).min();
        oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(known.moved.map_or(at, |moved| at.max(moved))))
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
    use super::*;

    const SPOOL: SpoolId = SpoolId([7; 8]);

    fn handed(positions: &[u64], now: Instant) -> (Handed, Vec<String>) {
        let mut handed = Handed::new("in.".to_owned());
        let replies = positions.iter().filter_map(|at| handed.hand(SPOOL, Position(*at), now)).collect();
        (handed, replies)
    }

    fn commit(handed: &mut Handed, up_to: u64, refused: &[u64], now: Instant) {
        let refused = refused.iter().map(|at| (Position(*at), "why".to_owned()));
        handed.committed(&SPOOL.to_string(), Position(up_to), refused, now);
    }

    #[test]
    fn what_was_handed_over_is_not_handed_over_again_until_its_connection_is_gone() {
        let now = Instant::now();
        let (mut handed, replies) = handed(&[1, 2, 4], now);
        assert_eq!(replies, ["in.1", "in.2", "in.3"]);
        assert_eq!(handed.hand(SPOOL, Position(2), now), None);
        commit(&mut handed, 2, &[], now);
        handed.forget_connection();
        assert_eq!(handed.hand(SPOOL, Position(2), now), None, "it is committed");
        assert_eq!(handed.hand(SPOOL, Position(4), now).as_deref(), Some("in.4"));
        assert_eq!(handed.answered("in.3"), None, "nobody waits for it");
        assert_eq!(handed.highest(SPOOL), Position(4));
    }

    #[test]
    fn an_acknowledgement_settles_nothing_and_a_complaint_is_sent_again() {
        let now = Instant::now();
        let (mut handed, replies) = handed(&[1, 2], now);
        assert_eq!(handed.answered(&replies[0]), Some(Answer::Record(SPOOL, Position(1))));
        assert_eq!(handed.answered(&replies[0]), None);
        handed.acknowledged(SPOOL, Position(1), Ok(()));
        assert_eq!(handed.committed_up_to(SPOOL), Position(0));
        handed.acknowledged(SPOOL, Position(2), Err((10_077, "full".to_owned())));
        assert_eq!(handed.complaint(SPOOL), Some((Position(2), (10_077, "full".to_owned()))));
        assert_eq!(handed.complaint(SPOOL), None);
        assert!(handed.hand(SPOOL, Position(2), now).is_some());
    }

    #[test]
    fn the_watermark_goes_up_only_and_brings_what_is_refused() {
        let now = Instant::now();
        let (mut handed, _) = handed(&[1, 2, 3], now);
        commit(&mut handed, 3, &[2], now);
        commit(&mut handed, 1, &[2], now);
        handed.committed("another", Position(9), std::iter::empty(), now);
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
        assert_eq!(handed.uncommitted(SPOOL, after(25)), Duration::from_secs(5));
        commit(&mut handed, 2, &[], after(26));
        assert_eq!(handed.uncommitted(SPOOL, after(99)), Duration::ZERO);
    }

    #[test]
    fn who_is_not_believed_is_sent_everything_again() {
        let now = Instant::now();
        let (mut handed, replies) = handed(&[1, 2], now);
        commit(&mut handed, 9, &[], now);
        handed.forget(SPOOL);
        assert_eq!((handed.committed_up_to(SPOOL), handed.highest(SPOOL)), (Position(0), Position(2)));
        assert_eq!(handed.answered(&replies[1]), None);
        assert!(handed.hand(SPOOL, Position(1), now).is_some());
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
