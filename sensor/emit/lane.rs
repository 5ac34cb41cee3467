//! What is known of a lane's next run: how much of it goes at once, what the centre refused, and what is under suspicion. In: a
//! lane of the spool, what became of attempts. Out: runs. Never here: a record given up because somebody says no to everything.
//!
//! An answer that refuses a batch and names no record is looked into by halves. What is refused alone is a *suspect*: it is set
//! aside, and others are sent without it, one at a time. When the centre takes one of them, the suspect stands *trial*: it is
//! sent alone once more. Only if it is refused again is it dead. Nothing is settled beyond a suspect meanwhile.

use std::io;
use std::time::Duration;

use crate::gate::{Gate, Projected};
use crate::limits::{DELIVERY_BYTES_MAX, DELIVERY_RECORDS_MAX, SUSPECTS_MAX};
use crate::spool::{Position, Reader, Record};

/// A disk that would not take down what the centre has is asked again after this.
const OWED_AGAIN: Duration = Duration::from_secs(1);

/// A lane.
#[derive(Debug)]
pub(super) struct Lane {
    /// Records of one attempt, at most.
    records_max: usize,
    /// Records behind the watermark that are dead.
    refused: Vec<Position>,
    /// Records behind the watermark that were refused alone.
    suspects: Vec<Position>,
    /// Whether the centre was seen to take another since.
    on_trial: bool,
    /// Up to where the centre has it and the disk does not know, and when that is tried again.
    owed: Option<(Position, Duration)>,
}

/// A run of a lane: what of it may leave, and what not.
pub(super) struct Run {
    pub lane: usize,
    pub after: Position,
    pub through: Position,
    pub records: Vec<Record>,
    pub projected: Vec<Projected>,
    /// Whether there are suspects below its one record.
    pub around_suspects: bool,
}

impl Run {
    /// The records that the centre has with `up_to`; what the gate kept back is not among them.
    pub(super) fn committed(&self, up_to: Position) -> impl Iterator<Item = &Record> {
        let mut sent = self.projected.iter().map(Projected::position).take_while(move |at| *at <= up_to).peekable();
        // both are in order, and what was sent was read
        self.records.iter().filter(move |record| sent.next_if_eq(&record.position).is_some())
    }

    /// Whether the centre may say that it has committed up to there. Around suspects it is all or nothing: what is below the
    /// one record was not sent.
    pub(super) fn holds(&self, up_to: Position) -> bool {
        let from = if self.around_suspects { self.through } else { self.after.next() };
        (from..=self.through).contains(&up_to)
    }
}

/// What it means that a run was refused and no record was named.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Half of it comes next.
    Halved,
    /// It was one record: it is set aside.
    Suspect,
    /// It was one record, and it had its trial.
    Dead,
}

impl Lane {
    pub(super) fn new() -> Lane {
        Lane {
            records_max: DELIVERY_RECORDS_MAX,
            refused: Vec::new(),
            suspects: Vec::new(),
            on_trial: false,
            owed: None,
        }
    }

    /// The centre has it up to there, and the disk would not take that down: until it does nothing of this lane is sent, or the
    /// same would go again and again.
    pub(super) fn owes(&mut self, up_to: Position, now: Duration, error: &io::Error) {
        tracing::error!(%error, "what the centre has committed cannot be written down: this lane waits");
        self.owed = Some((up_to, now + OWED_AGAIN));
    }

    /// Whether the disk knows all that the centre has.
    fn has_settled(&mut self, reader: &mut Reader, now: Duration) -> bool {
        let Some((up_to, again)) = self.owed else { return true };
        if now < again {
            return false;
        }
        let settled = reader.commit(up_to).is_ok();
        self.owed = (!settled).then_some((up_to, now + OWED_AGAIN));
        if settled {
            tracing::info!("what the centre has committed is written down again");
        }
        settled
    }

    /// What stands behind the watermark, projected; `None`: nothing, or nothing but suspects, or what was settled is not on the
    /// disk yet.
    pub(super) fn next_run(
        &mut self,
        (lane, now): (usize, Duration),
        reader: &mut Reader,
        gate: &Gate,
    ) -> io::Result<Option<Run>> {
        if !self.has_settled(reader, now) {
            return Ok(None);
        }
        // Asked before reading: what is appended meanwhile must not be taken for read.
        let waiting = reader.waiting();
        let after = waiting.watermark;
        let around_suspects = self.has_suspects() && !self.on_trial;
        let most = match around_suspects {
            // As far as it takes to find one that may leave, most likely.
            true => self.suspects.len() + SUSPECTS_MAX,
            false if self.on_trial => 1,
            false => self.records_max,
        };
        let mut records = reader.read(after.next(), most, DELIVERY_BYTES_MAX)?;
        // Without a record there may still be positions: of damaged ones, which must not hold up what comes after.
        let mut through = records.last().map_or(waiting.last, |record| record.position);
        let set_aside = |at: &Position| self.refused.contains(at) || around_suspects && self.suspects.contains(at);
        let mut projected: Vec<Projected> = records
            .iter()
            .filter(|record| !set_aside(&record.position))
            .filter_map(|record| gate.project(record.position, &record.payload).ok())
            .take(if around_suspects { 1 } else { most })
            .collect();
        if around_suspects {
            let Some(one) = projected.first_mut() else { return Ok(None) };
            through = one.position();
            records.retain(|record| record.position <= through);
        }
        Ok((through > after).then_some(Run { lane, after, through, records, projected, around_suspects }))
    }

    /// The run was refused, and no record of it was named.
    pub(super) fn unclear(&mut self, run: &Run) -> Verdict {
        let Some(first) = run.projected.first().map(Projected::position) else { return Verdict::Halved };
        if run.projected.len() > 1 {
            self.records_max = (run.records.len() / 2).max(1);
            return Verdict::Halved;
        }
        if self.on_trial && self.suspects.contains(&first) {
            return Verdict::Dead;
        }
        self.suspects.push(first);
        Verdict::Suspect
    }

    /// It is dead: kept elsewhere, and not sent any more. Those that are still suspected need another to be taken, first.
    pub(super) fn bury(&mut self, position: Position) {
        self.suspects.retain(|suspect| *suspect != position);
        self.refused.push(position);
        self.on_trial = false;
    }

    /// The centre took a record: suspects stand trial.
    pub(super) fn others_are_taken(&mut self) {
        self.on_trial = self.has_suspects();
    }

    /// How many of the dead are settled with what is up to here.
    pub(super) fn settle(&mut self, up_to: Position) -> u64 {
        let before = self.refused.len();
        self.refused.retain(|position| *position > up_to);
        self.suspects.retain(|position| *position > up_to);
        self.on_trial &= self.has_suspects();
        (before - self.refused.len()) as u64
    }

    /// An attempt went well: more goes at once.
    pub(super) fn larger(&mut self) {
        self.records_max = self.records_max.saturating_mul(2).min(DELIVERY_RECORDS_MAX);
    }

    /// An attempt took too long: less goes at once.
    pub(super) fn smaller(&mut self) {
        self.records_max = (self.records_max / 2).max(1);
    }

    /// Nobody is suspected any more: the centre may think otherwise by now, or another endpoint is asked.
    pub(super) fn acquit(&mut self) {
        self.suspects.clear();
        self.on_trial = false;
    }

    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Whether so many are suspected that no more is to be learned from sending others.
    pub(super) fn suspects_all(&self) -> bool {
        self.suspects.len() >= SUSPECTS_MAX && !self.on_trial
    }
}
