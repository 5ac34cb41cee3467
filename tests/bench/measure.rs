//! Measuring: rounds in turns, medians, one line of JSON for each bench.
//!
//! The only clock of the benches is here. Instructions are not counted here but by valgrind, from outside, in
//! [`counted`]: a counter of the processor would need a system call that the house has no safe door to.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

/// A bench that is ready: each call does the same work and gives the number of its operations.
pub struct Ready {
    /// See [`super::names::Row`].
    pub name: &'static str,
    /// See [`super::names::Row`].
    pub unit: &'static str,
    /// The work.
    pub work: Box<dyn FnMut() -> u64>,
}

/// Measures a group in turns, so that what else the machine does falls on all of them alike. One round before the first is
/// not counted.
///
/// # Errors
/// What the output says.
pub fn in_turns(group: &mut [Ready], rounds: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut operations: Vec<u64> = group.iter_mut().map(|bench| counted(&mut bench.work)).collect();
    let mut nanos = vec![Vec::with_capacity(rounds); group.len()];
    for _ in 0..rounds {
        for ((bench, nanos), before) in group.iter_mut().zip(&mut nanos).zip(&mut operations) {
            let began = Instant::now();
            let now = counted(&mut bench.work);
            nanos.push(began.elapsed().as_nanos() as f64 / now as f64);
            assert_eq!(*before, now, "{}: another number of operations than the round before", bench.name);
        }
    }
    for ((bench, nanos), operations) in group.iter().zip(&mut nanos).zip(operations) {
        nanos.sort_unstable_by(f64::total_cmp);
        let (median, low, high) = (at(nanos, 50), at(nanos, 25), at(nanos, 75));
        let spread = (high - low) / median;
        writeln!(
            out,
            "{{\"bench\":\"{}\",\"unit\":\"{}\",\"ns\":{median:.2},\"spread\":{spread:.4},\"rounds\":{rounds},\"ops\":{operations}}}",
            bench.name, bench.unit
        )?;
        out.flush()?;
    }
    Ok(())
}

fn at(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// The work once: what valgrind counts is what happens inside this function.
#[inline(never)]
pub fn counted(work: &mut dyn FnMut() -> u64) -> u64 {
    let operations = black_box(work());
    assert!(operations > 0, "nothing was done");
    operations
}
