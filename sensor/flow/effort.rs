//! How much is read of what comes, when more comes than can be read in time.
//!
//! In: how full the rings are, by the caller's judgement. Out: whether a packet's payload is read. Heavy flows give up theirs
//! first: what indicators there are stands at the beginning of a conversation, and the bytes are in the bulk. Addresses,
//! ports and counters are never given up. Never here: in a replay, which can wait.

use super::entry::{Flow, Talk};
use crate::limits::{FLOW_HEAVY_BYTES_MIN, FLOW_MIDDLING_BYTES_MIN};

/// From all to least; each step leaves undone what those before it leave, and more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Everything is read.
    #[default]
    Whole,
    /// The payload of heavy flows is passed over.
    NoHeavyFlows,
    /// So is that of flows of middling size.
    LightFlows,
    /// And events are not put out; alerts are.
    NoEvents,
    /// No payload at all: addresses, ports, and how far contacts went.
    Addresses,
}

impl Effort {
    /// In the order of their rank.
    pub const ALL: [Effort; 5] =
        [Effort::Whole, Effort::NoHeavyFlows, Effort::LightFlows, Effort::NoEvents, Effort::Addresses];

    /// The next step to less, or the same.
    pub fn less(self) -> Effort {
        Effort::ALL[(self as usize + 1).min(Effort::ALL.len() - 1)]
    }

    /// The next step to more, or the same.
    pub fn more(self) -> Effort {
        Effort::ALL[(self as usize).saturating_sub(1)]
    }

    /// Payload that a flow may have carried and still be read, in bytes.
    fn flow_bytes_max(self) -> u64 {
        match self {
            Effort::Whole => u64::MAX,
            Effort::NoHeavyFlows => FLOW_HEAVY_BYTES_MIN,
            Effort::LightFlows | Effort::NoEvents => FLOW_MIDDLING_BYTES_MIN,
            Effort::Addresses => 0,
        }
    }

    /// Whether a packet's payload, counted in its flow already, is passed over though somebody would read it.
    pub(super) fn passes_over(self, flow: &Flow, direction: usize, payload: usize) -> bool {
        self != Effort::Whole
            && payload > 0
            && flow.payload[0] + flow.payload[1] > self.flow_bytes_max()
            && flow.talk != Talk::Shunted
            && !flow.is_foreign(direction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_to_less_and_back_and_stay_at_the_ends() {
        let mut effort = Effort::default();
        for next in Effort::ALL {
            assert_eq!(effort, next);
            effort = effort.less();
        }
        assert_eq!((effort, Effort::Addresses.more(), Effort::Whole.more()), {
            (Effort::Addresses, Effort::NoEvents, Effort::Whole)
        });
    }

    #[test]
    fn the_heaviest_flows_go_first_and_what_nobody_reads_is_not_passed_over() {
        let flow = |payload: u64| Flow { payload: [payload, 0], ..Flow::default() };
        let goes = |effort: Effort| {
            [100, FLOW_MIDDLING_BYTES_MIN + 1, FLOW_HEAVY_BYTES_MIN + 1]
                .map(|bytes| effort.passes_over(&flow(bytes), 0, 60))
        };
        assert_eq!(goes(Effort::Whole), [false, false, false]);
        assert_eq!(goes(Effort::NoHeavyFlows), [false, false, true]);
        assert_eq!(goes(Effort::LightFlows), [false, true, true]);
        assert_eq!(goes(Effort::Addresses), [true, true, true]);
        assert!(!Effort::Addresses.passes_over(&flow(100), 0, 0), "an acknowledgement has nothing to pass over");
        let shunted = Flow { talk: Talk::Shunted, ..flow(100) };
        assert!(!Effort::Addresses.passes_over(&shunted, 0, 60));
    }
}
