//! The timeline: one axis of time, a picture of it that needs no script, and the numbers for the script that zooms.
//!
//! In: bins and the times that captures cover. Out: SVG and JSON. Time that no capture covers is folded away, and so is a
//! silence longer than everything else together; inside what is left, lengths are true. Never here: a date in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::findings::SEVERITIES;
use crate::time::Timestamp;
use crate::worker::timeline::{ALERTS, BYTES, Bin, FLOWS, FRAMES};

/// Units of the picture that needs no script.
const WIDTH: f64 = 960.0;
/// Columns of that picture.
const COLUMNS: usize = 240;
/// Height of its bars.
const BARS: f64 = 90.0;
/// Height of one lane of alerts.
const LANE: f64 = 22.0;
/// A silence between captures is folded from this part of all covered time on.
const FOLD_SHARE: i64 = 50;
/// What a fold takes of the axis, and what all folds together take at most.
const FOLD_WIDTH: (f64, f64) = (0.03, 0.3);

/// Bins on an axis of true lengths with folds.
pub(super) struct Axis {
    width_log2: u32,
    bins: BTreeMap<i64, Bin>,
    /// First bin, the bin behind the last, place of the first on the axis.
    segments: Vec<(i64, i64, f64)>,
    fold: f64,
    length: f64,
    ends: (Timestamp, Timestamp),
}

impl Axis {
    /// An axis for bins of 2^`width_log2` ns; `covered` are first and last moments of captures.
    pub(super) fn new(bins: BTreeMap<i64, Bin>, width_log2: u32, covered: &[(Timestamp, Timestamp)]) -> Axis {
        let number = |at: Timestamp| at.as_nanos() >> width_log2;
        let captures = covered.iter().map(|&(first, last)| (number(first.min(last)), number(first.max(last)) + 1));
        let mut pieces: Vec<(i64, i64)> = captures.chain(bins.keys().map(|&bin| (bin, bin + 1))).collect();
        pieces.sort_unstable();
        let joined = join(&pieces, 0);
        let whole: i64 = joined.iter().map(|(first, end)| end - first).sum();
        let mut segments = join(&joined, (whole / FOLD_SHARE).max(1));
        while let Some((at, cut)) = silence(&segments, &bins) {
            segments.splice(at..=at, cut);
        }
        let whole: f64 = segments.iter().map(|(first, end)| (end - first) as f64).sum();
        let folds = segments.len().saturating_sub(1) as f64;
        let fold = whole * FOLD_WIDTH.0.min(FOLD_WIDTH.1 / folds.max(1.0));
        let mut place = 0.0;
        let placed = segments.iter().map(|&(first, end)| {
            let start = place;
            place += (end - first) as f64 + fold;
            (first, end, start)
        });
        let segments: Vec<_> = placed.collect();
        let ends = ends(&segments, width_log2, covered);
        Axis { width_log2, bins, segments, fold, length: whole + folds * fold, ends }
    }

    /// Whether anything happened.
    pub(super) fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// How many folds there are.
    pub(super) fn folds(&self) -> usize {
        self.segments.len().saturating_sub(1)
    }

    /// Where on the axis a bin begins.
    fn place(&self, bin: i64) -> f64 {
        let after = self.segments.partition_point(|(first, ..)| *first <= bin);
        let (first, end, start) = self.segments[after.saturating_sub(1)];
        start + (bin.clamp(first, end) - first) as f64
    }

    /// First and last moment of the axis.
    pub(super) fn ends(&self) -> (Timestamp, Timestamp) {
        self.ends
    }

    /// For the script: bins as differences of their numbers and their counts, segments, and moments of alerts.
    pub(super) fn json(&self, marks: &[(Timestamp, usize, usize)]) -> Value {
        let mut before = 0;
        let bins: Vec<Value> = self
            .bins
            .iter()
            .map(|(number, bin)| {
                let difference = number - before;
                before = *number;
                let [low, medium, high, critical] = [0, 1, 2, 3].map(|severity| bin[ALERTS + severity]);
                json!([difference, bin[FRAMES], bin[BYTES], bin[FLOWS], low, medium, high, critical])
            })
            .collect();
        let nanos = (1_u64 << self.width_log2) as f64;
        let marks: Vec<Value> = marks
            .iter()
            .map(|(at, severity, incident)| json!([at.as_nanos() as f64 / nanos, severity, incident]))
            .collect();
        json!({
            "ms": nanos / 1e6,
            "ends": [self.ends.0.as_nanos() as f64 / 1e6, self.ends.1.as_nanos() as f64 / 1e6],
            "bins": bins,
            "segments": self.segments,
            "fold": self.fold,
            "length": self.length,
            "marks": marks,
        })
    }

    /// The whole axis as a picture: bars of packets, and a lane of alerts for each severity.
    pub(super) fn svg(&self) -> String {
        let height = BARS + LANE * SEVERITIES.len() as f64 + 8.0;
        let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"presentation\" focusable=\"false\">");
        let columns = self.columns();
        let most = columns.iter().map(|column| column[FRAMES]).max().unwrap_or(0).max(1) as f64;
        let wide = WIDTH / columns.len() as f64;
        for (at, column) in columns.iter().enumerate() {
            let x = at as f64 * wide;
            if column[FRAMES] > 0 {
                let tall = (column[FRAMES] as f64 / most * BARS).max(1.0);
                let _ = write!(
                    out,
                    "<rect class=\"bar\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"/>",
                    BARS - tall,
                    wide - 0.5
                );
            }
            for (severity, name) in SEVERITIES.iter().enumerate() {
                let count = column[ALERTS + severity];
                if count > 0 {
                    let y = BARS + LANE * (SEVERITIES.len() - severity) as f64 - LANE / 2.0 + 4.0;
                    let radius = 3.0 + (count as f64).log10() * 2.0;
                    let _ = write!(
                        out,
                        "<circle class=\"mark {}\" cx=\"{:.1}\" cy=\"{y}\" r=\"{:.1}\"/>",
                        name.name(),
                        x + wide / 2.0,
                        radius.min(LANE / 2.0)
                    );
                }
            }
        }
        out.push_str("</svg>");
        out
    }

    /// Whole bins to a column, as many in each: where they were not, an even stream would look like a comb.
    fn columns(&self) -> Vec<Bin> {
        let width = (self.length / COLUMNS as f64).ceil().max(1.0);
        let mut columns = vec![Bin::default(); (self.length / width).ceil().max(1.0) as usize];
        let last = columns.len() - 1;
        for (number, bin) in &self.bins {
            let column = &mut columns[((self.place(*number) / width) as usize).min(last)];
            column.iter_mut().zip(bin).for_each(|(sum, more)| *sum += more);
        }
        columns
    }
}

/// First and last moment: those of captures where the first and the last bin hold them, else the bins' own.
fn ends(segments: &[(i64, i64, f64)], width_log2: u32, covered: &[(Timestamp, Timestamp)]) -> (Timestamp, Timestamp) {
    let moment = |bin: i64| Timestamp::from_nanos(bin.saturating_mul(1 << width_log2));
    let first = segments.first().map_or(0, |segment| segment.0);
    let end = segments.last().map_or(0, |segment| segment.1);
    let begin = covered.iter().map(|&(one, other)| one.min(other)).min();
    let last = covered.iter().map(|&(one, other)| one.max(other)).max();
    let begin = begin.filter(|at| at.as_nanos() >> width_log2 == first).unwrap_or(moment(first));
    (begin, last.filter(|at| (at.as_nanos() >> width_log2) + 1 == end).unwrap_or(moment(end)))
}

/// Sorted pieces, joined where no more than `gap` lies between them.
fn join(pieces: &[(i64, i64)], gap: i64) -> Vec<(i64, i64)> {
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for &(first, end) in pieces {
        match joined.last_mut() {
            Some(last) if first - last.1 <= gap => last.1 = last.1.max(end),
            _ => joined.push((first, end)),
        }
    }
    joined
}

/// A silence inside a segment that is longer than everything else on the axis: the segment, and what is left of it. Each
/// cut halves the axis, so there are no more cuts than a moment has bits.
fn silence(segments: &[(i64, i64)], bins: &BTreeMap<i64, Bin>) -> Option<(usize, [(i64, i64); 2])> {
    let whole: i64 = segments.iter().map(|(first, end)| end - first).sum();
    for (at, &(first, end)) in segments.iter().enumerate().filter(|(_, (first, end))| (end - first) > whole / 2) {
        let mut before = first;
        for &bin in bins.range(first..end).map(|(bin, _)| bin).chain(std::iter::once(&end)) {
            if bin - before > whole / 2 && before > first && bin < end {
                return Some((at, [(first, before), (bin, end)]));
            }
            before = bin + 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(bins: &[i64], covered: &[(i64, i64)]) -> Axis {
        let bins = bins.iter().map(|&bin| (bin, [1; 7])).collect();
        let moment = |bin: i64| Timestamp::from_nanos(bin << 20);
        let covered: Vec<_> = covered.iter().map(|&(first, last)| (moment(first), moment(last))).collect();
        Axis::new(bins, 20, &covered)
    }

    #[test]
    fn silence_inside_a_capture_keeps_its_length() {
        let beacon: Vec<i64> = (0..100).map(|n| n * 1_000).collect();
        let axis = axis(&beacon, &[(0, 99_000)]);
        assert_eq!((axis.folds(), axis.place(50_000)), (0, 50_000.0));
    }

    #[test]
    fn time_that_no_capture_covers_is_folded() {
        let axis = axis(&[0, 90, 1_000_000, 1_000_090], &[(0, 90), (1_000_000, 1_000_090)]);
        assert_eq!(axis.folds(), 1);
        assert!(axis.length < 200.0 && axis.place(1_000_000) > axis.place(90));
    }

    #[test]
    fn one_odd_clock_does_not_squeeze_a_capture_into_a_line() {
        let mut bins: Vec<i64> = (1_000_000..1_000_100).collect();
        bins.insert(0, 3);
        let axis = axis(&bins, &[(3, 1_000_099)]);
        assert_eq!(axis.folds(), 1);
        assert!(axis.length < 120.0);
    }

    #[test]
    fn nothing_is_an_axis_too() {
        let axis = axis(&[], &[]);
        assert!(axis.is_empty() && axis.svg().starts_with("<svg"));
    }

    #[test]
    fn the_picture_has_no_more_marks_than_columns() {
        let bins: Vec<i64> = (0..4_096).collect();
        let svg = axis(&bins, &[]).svg();
        assert!(svg.matches("<circle").count() <= COLUMNS * 4 && svg.len() < 200_000);
    }
}
