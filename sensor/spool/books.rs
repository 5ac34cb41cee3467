//! Which sequences of a lane were there: gaps in, what was lost of what was promised out.

use super::Range;
use super::recovery::Recovery;
use super::segment::Frame;

/// See the head of this file.
pub(super) struct Books<'a> {
    /// Up to here all is accounted for.
    reached: u64,
    /// Up to here all was durable once, as the cursor says.
    promised: u64,
    /// What was given up, in order.
    shed: &'a [Range],
    /// A flush, and how many of its records are missing: whether anybody was promised them shows only behind it.
    doubted: Option<(u64, u64)>,
    /// Sequence and checksum of the last record that was seen.
    before: Option<(u64, u32)>,
    /// The last flush that was seen; 0: none.
    flush: u64,
}

/// How the books ended.
pub(super) struct Closed {
    /// Up to here all is accounted for.
    pub reached: u64,
    /// The last flush, if records of it are missing that nobody was promised; 0: none.
    pub doubted: u64,
}

impl<'a> Books<'a> {
    /// Books from behind `watermark` on.
    pub(super) fn new(watermark: u64, promised: u64, shed: &'a [Range]) -> Self {
        Books { reached: watermark, promised, shed, doubted: None, before: None, flush: 0 }
    }

    /// Up to here all is accounted for.
    pub(super) fn reached(&self) -> u64 {
        self.reached
    }

    /// The checksum of the last record that was seen.
    pub(super) fn link(&self) -> Option<u32> {
        self.before.map(|(_, sum)| sum)
    }

    /// What stands up to there is no part of what follows.
    pub(super) fn begin_behind(&mut self, sequence: u64) {
        (self.reached, self.doubted, self.before) = (self.reached.max(sequence), None, None);
    }

    /// Records that should stand before that one and behind all others, and do not.
    pub(super) fn missing_before(&self, sequence: u64) -> u64 {
        let through = sequence.saturating_sub(1);
        through.saturating_sub(self.reached).saturating_sub(self.given_up(self.reached, through))
    }

    /// A record that is there.
    pub(super) fn enter(&mut self, frame: &Frame<'_>, report: &mut Recovery) {
        let broken = match (self.before, frame.link) {
            (Some((sequence, sum)), Some(link)) => sequence + 1 == frame.sequence && sum != link,
            _ => false,
        };
        report.links_broken += u64::from(broken);
        self.before = Some((frame.sequence, frame.sum));
        self.flush = frame.flush.first;
        if frame.sequence <= self.reached {
            return;
        }
        if let Some((_, records)) = self.doubted.take_if(|(flush, _)| *flush < frame.flush.first)
            && !frame.flush.behind_doubt
        {
            report.lost += records;
        }
        let (lost, doubted) = self.gap(frame.sequence, frame.flush.first.saturating_sub(1));
        report.lost += lost;
        if doubted > 0 {
            let (_, records) = self.doubted.get_or_insert((frame.flush.first, 0));
            *records += doubted;
        }
        report.waiting += 1;
        self.reached = frame.sequence;
    }

    /// What is missing before `sequence`: how much of it was promised, how much may not have been.
    fn gap(&self, sequence: u64, promised: u64) -> (u64, u64) {
        let missing =
            |from: u64, to: u64| to.saturating_sub(from + 1).saturating_sub(self.given_up(from, to.saturating_sub(1)));
        let all = missing(self.reached, sequence);
        let known = if promised > self.reached { missing(self.reached, sequence.min(promised + 1)) } else { 0 };
        (known, all - known)
    }

    /// The first sequence behind that one that was given up: what an earlier writing of it has left counts no more than it does.
    pub(super) fn given_up_from(&self, sequence: u64) -> u64 {
        let firsts = self.shed.iter().map(|range| range.after + 1);
        firsts.filter(|first| *first > sequence).min().unwrap_or(u64::MAX)
    }

    /// Whether something behind that record was given up.
    pub(super) fn is_given_up_behind(&self, sequence: u64) -> bool {
        self.shed.iter().any(|range| range.through > sequence)
    }

    /// Records of `(after, through]` that were given up.
    fn given_up(&self, after: u64, through: u64) -> u64 {
        let overlap = |range: &Range| range.through.min(through).saturating_sub(range.after.max(after));
        self.shed.iter().map(overlap).sum()
    }

    /// All is read. `known` is the flush that the cursor knows to have had a gap when it was found.
    pub(super) fn close(&mut self, known: u64, report: &mut Recovery) -> Closed {
        // the last flush was done before the cursor was written: what is missing of it now was there
        if let Some((_, records)) = self.doubted.take_if(|(flush, _)| self.promised >= self.reached && *flush != known)
        {
            report.lost += records;
        }
        let (lost, _) = self.gap(self.promised + 1, self.promised);
        report.lost += lost;
        self.reached = self.reached.max(self.promised);
        // where nobody waits for it any more it was not read, and has its gap all the same
        let known = if self.flush > known { 0 } else { known };
        let doubted = self.doubted.map_or(known, |(flush, _)| flush);
        Closed { reached: self.reached, doubted }
    }
}
