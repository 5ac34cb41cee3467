//! The board: what each worker counted, where whoever asks may read it while the worker goes on.
//!
//! In: a worker's tally, a few times a second. Out: the same tally, whole: never one half of it from before and the other from
//! after, so that accounts which balance in the worker balance here. Never here: a lock, or a wait of the writer.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::{Fates, Tally};
use crate::alert::Sightings;
use crate::decode::FragmentCounts;
use crate::flow::{Counts, StreamCounts};
use crate::observable::Hidden;
use crate::protocol::BodyCounts;
use crate::worker::timeline::Timeline;

/// Counters of a tally: beside the timeline, which only a replay's report asks for, it consists of nothing else (a test
/// holds it to that).
const COUNTERS: usize = (size_of::<Tally>() - size_of::<Timeline>()) / size_of::<u64>();

/// One worker's place. Padded to two cache lines, which processors fetch together: neighbours never share one.
#[repr(align(128))]
struct Block {
    /// Publications so far; the last one is in the copy of this number's lowest bit.
    published: AtomicU64,
    /// Two copies: the writer fills the one that nobody is sent to, so a reader never waits for a writer that was put to sleep.
    copies: [[AtomicU64; COUNTERS]; 2],
}

impl Block {
    fn new() -> Self {
        let copy = || std::array::from_fn(|_| AtomicU64::new(0));
        Block { published: AtomicU64::new(0), copies: [copy(), copy()] }
    }

    fn publish(&self, tally: &Tally) {
        let next = self.published.load(Ordering::Relaxed) + 1;
        // a reader that sees one of the stores below also sees that the copy before this one was announced
        fence(Ordering::Release);
        let mut tally = tally.clone();
        for (place, counter) in self.copies[next as usize % 2].iter().zip(counters(&mut tally)) {
            place.store(*counter, Ordering::Relaxed);
        }
        self.published.store(next, Ordering::Release);
    }

    fn read(&self) -> Tally {
        let mut tally = Tally::default();
        loop {
            let published = self.published.load(Ordering::Acquire);
            for (place, counter) in self.copies[published as usize % 2].iter().zip(counters(&mut tally)) {
                *counter = place.load(Ordering::Relaxed);
            }
            fence(Ordering::Acquire);
            // a copy is written again only after the other was announced: a few times a second, against microseconds here
            if self.published.load(Ordering::Relaxed) == published {
                return tally;
            }
        }
    }
}

/// What all workers counted.
pub struct Board(Box<[Block]>);

impl Board {
    /// A board for so many workers, all zero.
    pub fn new(workers: usize) -> Self {
        Board(std::iter::repeat_with(Block::new).take(workers).collect())
    }

    /// Puts up what a worker has counted so far; well below a microsecond. Called by that worker alone, between batches (only
    /// there do its accounts balance), at most a few times a second and once at its end.
    pub fn publish(&self, worker: usize, tally: &Tally) {
        self.0[worker].publish(tally);
    }

    /// How often each worker has put something up: who stands still has stopped.
    pub fn published(&self) -> Vec<u64> {
        self.0.iter().map(|block| block.published.load(Ordering::Acquire)).collect()
    }

    /// What each worker last put up, by worker.
    pub fn tallies(&self) -> Vec<Tally> {
        self.0.iter().map(Block::read).collect()
    }
}

/// Every counter of a tally, each once, always in the same order. Each struct is taken apart by name: a new counter that is
/// missing here does not compile.
pub(super) fn counters(tally: &mut Tally) -> impl Iterator<Item = &mut u64> {
    #[rustfmt::skip] // a column of twenty names says no more than these lines
    let Tally {
        handed, steered, taken, fates, truncated, bytes, flows, flows_open, effort, streams, fragments, observations,
        values_refused, hidden, patterns_shed, hits, refusals, alerts, events_shed, alerts_shed, firsts_shed, restarts, flows_lost, severities, contacts, nanos,
        timeline: _,
    } = tally;
    let Fates(fates) = fates;
    let Counts { began, evicted, midstream, one_way, shunted, shunts_refused, shunts_unsettled } = flows;
    let StreamCounts { gaps, gap_bytes, unseen_bytes, reassembly_full, lost, odd, out_of_order, bodies } = streams;
    let BodyCounts { damaged, bombs, coding_full } = bodies;
    let FragmentCounts { whole, overlaps, evicted: given_up, timeouts } = fragments;
    let Sightings { raised, further, crowded, uncounted, shed } = contacts;
    let Hidden { names, certificates, certificates_damaged } = hidden;
    let plain = [
        handed,
        steered,
        taken,
        truncated,
        bytes,
        flows_open,
        effort,
        observations,
        values_refused,
        patterns_shed,
        hits,
    ];
    plain
        .into_iter()
        .chain([alerts, events_shed, alerts_shed, firsts_shed, flows_lost])
        .chain(restarts)
        .chain([began, evicted, midstream, one_way, shunted, shunts_refused, shunts_unsettled])
        .chain([gaps, gap_bytes, unseen_bytes, reassembly_full, lost, odd, out_of_order])
        .chain([whole, overlaps, given_up, timeouts])
        .chain([damaged, bombs, coding_full])
        .chain([names, certificates, certificates_damaged])
        .chain([raised, further, crowded, uncounted, shed])
        .chain(fates)
        .chain(refusals)
        .chain(severities)
        .chain(nanos)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn numbered(from: u64) -> Tally {
        let mut tally = Tally::default();
        counters(&mut tally).zip(from..).for_each(|(counter, number)| *counter = number);
        tally
    }

    fn values(tally: &mut Tally) -> Vec<u64> {
        counters(tally).map(|counter| *counter).collect()
    }

    #[test]
    fn a_tally_consists_of_its_counters() {
        assert_eq!(counters(&mut Tally::default()).count(), COUNTERS);
    }

    #[test]
    fn every_counter_survives_the_way_and_stays_with_its_worker() {
        let board = Board::new(3);
        board.publish(1, &numbered(1));
        board.publish(2, &numbered(1_000));
        board.publish(2, &numbered(u64::MAX - COUNTERS as u64));
        let all = board.tallies();
        let told: Vec<String> = all.iter().map(|tally| format!("{tally:?}")).collect();
        let put = [Tally::default(), numbered(1), numbered(u64::MAX - COUNTERS as u64)];
        assert_eq!(told, put.map(|tally| format!("{tally:?}")));
    }

    #[test]
    fn a_tally_is_read_whole_while_its_worker_goes_on() {
        let board = Board::new(1);
        const ROUNDS: u64 = 20_000;
        thread::scope(|scope| {
            scope.spawn(|| (1..=ROUNDS).for_each(|round| board.publish(0, &numbered(round << 20))));
            let mut last = 0;
            while last < ROUNDS << 20 {
                let counted = values(&mut board.tallies()[0]);
                if counted[0] > 0 {
                    assert!(counted.iter().zip(counted[0]..).all(|(have, want)| *have == want), "{counted:?}");
                }
                assert!(counted[0] >= last, "time went back");
                last = counted[0];
            }
        });
    }

    #[test]
    fn workers_share_no_cache_line() {
        assert_eq!((align_of::<Block>(), size_of::<Block>() % 128), (128, 0));
    }
}
