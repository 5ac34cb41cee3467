//! How much a worker may leave undone: judged by how full what waits for it is.
//!
//! In: the fill of its rings, and the time. Out: an [`Effort`]. It falls at once and rises a step at a time, when the rings
//! have been nearly empty for a while: who goes up and down with every batch reads no conversation to its end. Never here: a
//! replay, which waits.

use std::time::{Duration, Instant};

use crate::flow::Effort;

/// Fill, in 256ths, from which on each step to less is taken.
const FILLS: [u32; 4] = [128, 160, 192, 224];

/// Below this fill there is room for more.
const CALM: u32 = 32;

/// How long it must have been calm.
const CALM_TIME: Duration = Duration::from_millis(100);

/// See the head of this file.
pub(super) struct Pressure {
    effort: Effort,
    calm_since: Option<Instant>,
}

impl Pressure {
    pub(super) fn new() -> Pressure {
        Pressure { effort: Effort::default(), calm_since: None }
    }

    /// What to do now; `None`: as before.
    pub(super) fn judge(&mut self, fill: u32, now: Instant) -> Option<Effort> {
        let wanted = Effort::ALL[FILLS.iter().filter(|from| fill >= **from).count()];
        let next = if wanted > self.effort {
            self.calm_since = None;
            wanted
        } else if self.effort > Effort::default() && fill < CALM {
            let since = *self.calm_since.get_or_insert(now);
            if now.duration_since(since) < CALM_TIME {
                return None;
            }
            self.calm_since = Some(now);
            self.effort.more()
        } else {
            self.calm_since = None;
            return None;
        };
        self.effort = next;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effort_falls_at_once_and_rises_a_step_at_a_time() {
        let (mut pressure, start) = (Pressure::new(), Instant::now());
        let mut at = |milliseconds, fill| pressure.judge(fill, start + Duration::from_millis(milliseconds));
        assert_eq!(at(0, 100), None, "half full is a burst");
        assert_eq!(at(1, 130), Some(Effort::NoHeavyFlows));
        assert_eq!(at(2, 256), Some(Effort::Addresses));
        assert_eq!(at(3, 140), None, "not yet");
        assert_eq!((at(4, 10), at(100, 10)), (None, None));
        assert_eq!(at(105, 10), Some(Effort::NoEvents));
        assert_eq!((at(150, 10), at(205, 100)), (None, None), "no longer calm");
        assert_eq!((at(206, 0), at(310, 0)), (None, Some(Effort::LightFlows)));
        assert_eq!((at(411, 0), at(512, 0)), (Some(Effort::NoHeavyFlows), Some(Effort::Whole)));
        assert_eq!(at(1_000, 0), None);
    }
}
