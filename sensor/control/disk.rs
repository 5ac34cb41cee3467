//! The spool's disk, as the log has it: that a sync failed, that one takes long, and that all is well again, each once.
//!
//! In: how the disk keeps up, also while a sync is under way. Out: log lines. Never here: a question to the disk.

use super::look::Look;
use crate::spool::Syncs;

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Watch {
    failures: u64,
    is_failing: bool,
    is_slow: bool,
}

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Fails(String),
    Slow,
    Well,
}

impl Watch {
    /// Looks at it, and says what is new.
    pub(super) fn look(&mut self, look: &Look<'_>) {
        let Some(view) = &look.delivery else { return };
        let seconds = view.syncs.time().as_secs_f64();
        for said in self.news(&view.syncs) {
            match said {
                Said::Fails(error) => tracing::error!(
                    error,
                    failures = self.failures,
                    "the spool's disk refuses a sync: its records wait in memory and are written again, elsewhere"
                ),
                Said::Slow => tracing::warn!(
                    seconds,
                    "the spool's disk is slow: records wait in memory for its next sync, and capture goes on"
                ),
                Said::Well => tracing::info!(seconds, "the spool's disk keeps up again"),
            }
        }
    }

    fn news(&mut self, syncs: &Syncs) -> Vec<Said> {
        let (failures, is_failing, is_slow) = (syncs.failures(), syncs.is_failing(), syncs.is_slow());
        // one that failed between two looks is told too
        let has_failed = failures > self.failures;
        let (was_ill, is_ill) = (has_failed || self.is_failing || self.is_slow, is_failing || is_slow);
        let mut news = Vec::new();
        if has_failed && !self.is_failing {
            news.push(Said::Fails(syncs.failure()));
        }
        if is_slow && !self.is_slow {
            news.push(Said::Slow);
        }
        if was_ill && !is_ill {
            news.push(Said::Well);
        }
        *self = Watch { failures, is_failing, is_slow };
        news
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::limits::SPOOL_SYNC_SLOW_TIME_MIN;
    use crate::spool::simulated::{Faults, Simulated};
    use crate::spool::{Lane, Options, Spool};

    #[test]
    fn what_ails_the_disk_is_said_once_and_that_it_is_well_again_too() {
        let disk = Simulated::new(1);
        let mut spool = Spool::open_on(Arc::new(disk.clone()), Path::new("/spool"), Options::default()).expect("it");
        let (syncs, mut watch) = (spool.syncs(), Watch::default());
        let mut news = |faults: Faults| {
            disk.on(None, faults);
            spool.append(Lane::Normal, b"a record").expect("memory takes it");
            let _may_fail = spool.sync();
            watch.news(&syncs)
        };
        let fails = || Faults { sync: 1, ..Faults::default() };
        assert_eq!(news(Faults::default()), []);
        assert_eq!(news(fails()), [Said::Fails("the disk failed".into())]);
        assert_eq!(news(fails()), [], "it was said");
        assert_eq!(news(Faults::default()), [Said::Well]);
        assert_eq!(news(Faults { slow: SPOOL_SYNC_SLOW_TIME_MIN, ..fails() }).len(), 2, "both");
        assert_eq!(news(Faults { slow: SPOOL_SYNC_SLOW_TIME_MIN, ..Faults::default() }), []);
        assert_eq!(news(Faults { slow: Duration::from_millis(1), ..Faults::default() }), [Said::Well]);
    }
}
