//! What is said when a replay is over: the counters, and what its last lines are made of.
//!
//! In: what each capture came to. Out: a document, a [`Closing`], a note. Never here: a counter of its own.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::pace::Shortened;
use super::replay::{Captured, Rules};
use crate::capture::file::Cut;
use crate::cli::screen::{self, Closing};
use crate::merge::Counts;
use crate::metrics::{self, Tally};
use crate::networks::Networks;

/// Silence that a paced replay left out.
pub(super) fn say_shortened(all: &[Captured]) -> io::Result<()> {
    let mut sum = Shortened::default();
    all.iter().for_each(|captured| sum.add(captured.shortened));
    sum.note().map_or(Ok(()), |note| writeln!(io::stderr(), "{note}"))
}

/// What `--stats` writes: all captures together, then each.
pub(super) fn document(all: &[Captured], loaded: &Rules, seconds: f64) -> serde_json::Value {
    let mut sum = Tally::default();
    all.iter().for_each(|captured| sum.append(&captured.tally));
    let captures: Vec<_> = all
        .iter()
        .map(|captured| {
            let mut one = metrics::document(&captured.tally);
            one["capture"] = captured.name.display().to_string().into();
            let cut = |(path, cut): &(PathBuf, Cut)| {
                serde_json::json!({"file": path.display().to_string(), "bytes": cut.bytes, "reason": cut.reason})
            };
            one["cut"] = captured.cuts.iter().map(cut).collect();
            one
        })
        .collect();
    let mut document = metrics::document(&sum);
    let mut merged = Counts::default();
    all.iter().for_each(|captured| merged.add(&captured.collected.merged));
    if merged.taken > 0 {
        let spooled: u64 = all.iter().map(|captured| captured.collected.spooled).sum();
        document["delivery"] = serde_json::json!({
            "alerts": merged.taken, "gone": merged.gone, "merged": merged.merged, "updates": merged.updates,
            "unaccounted": merged.unaccounted() + merged.waiting as i64, "records": spooled,
        });
    }
    document["indicators"] = serde_json::json!({"loaded": loaded.set.len(), "refused": loaded.refused});
    document["seconds"] = seconds.into();
    document["captures"] = captures.into();
    document
}

/// What a person is told at the end.
pub(super) fn closing(
    all: &[Captured],
    loaded: &Rules,
    networks: &Networks,
    delivered: Option<screen::Delivery>,
    seconds: f64,
) -> Closing {
    let mut sum = Tally::default();
    all.iter().for_each(|captured| sum.append(&captured.tally));
    let cut = |captured: &Captured| -> Vec<(String, u64, &'static str)> {
        captured.cuts.iter().map(|(path, cut)| (name_of(path), cut.bytes, cut.reason)).collect()
    };
    Closing {
        language: "",
        files: all.len() as u64,
        packets: sum.handed,
        dropped: 0,
        unaccounted: sum.unaccounted().unsigned_abs(),
        alerts: all.iter().map(|captured| captured.collected.alerts).sum(),
        alike: 0,
        seconds,
        indicators: loaded.given.then_some(loaded.set.len() as u64),
        rules_refused: loaded.refused,
        cut: all.iter().flat_map(cut).collect(),
        not_seen: metrics::not_seen(&sum),
        networks_given: networks.given(),
        delivery: delivered,
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
