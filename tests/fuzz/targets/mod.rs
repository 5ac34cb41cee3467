//! The bodies of all fuzz targets: bytes in, and nothing out but a panic where an invariant does not hold.
//!
//! They know no fuzzer: `tests/fuzz_seeds.rs` runs them as ordinary tests, the package in this folder under cargo-fuzz.
//! Targets of tables (protocols, feed formats) are made over those tables, so that a new row is a new target by itself.
//! Work is bounded by counts and sizes, never by a clock: what is said of an input is no more than [`Allowed`] of it.

mod arena;
mod captures;
mod configuration;
mod conversations;
mod feeds;
mod frames;
mod sets;
mod spools;

use haetae::feed;
use haetae::protocol::{DATAGRAMS, Spoken};

/// What a target does with an input; see [`Target::run`].
type Body = dyn Fn(&[u8]) -> usize + Send + Sync;

/// One target.
pub struct Target {
    /// Its name: the folder of its seeds, and its binary under cargo-fuzz.
    pub name: String,
    /// How many mutants an ordinary test run gives it: fewer where one costs more.
    pub executions: u32,
    run: Box<Body>,
}

impl Target {
    fn new(name: impl Into<String>, executions: u32, run: impl Fn(&[u8]) -> usize + Send + Sync + 'static) -> Self {
        Target { name: name.into(), executions, run: Box::new(run) }
    }

    /// One that is no row of any table, for the test of those who run targets.
    #[cfg(test)]
    pub fn of_test(name: &str, run: fn(&[u8]) -> usize) -> Self {
        Target::new(name, 0, run)
    }

    /// Runs it once; says how much came of the input (observations, frames, entries, ...): 0 is a seed that shows nothing.
    ///
    /// # Panics
    /// An invariant does not hold for this input.
    pub fn run(&self, input: &[u8]) -> usize {
        (self.run)(input)
    }
}

/// All targets: the fixed ones, then one for each row of the tables.
pub fn targets() -> Vec<Target> {
    let mut all = vec![
        Target::new("canonical", 60_000, arena::canonical),
        Target::new("capture-packed", 1_500, captures::read),
        Target::new("capture-pcap", 3_000, captures::read),
        Target::new("capture-pcapng", 3_000, captures::read),
        Target::new("configuration", 1_500, configuration::read),
        Target::new("frames", 60_000, frames::decoded),
        Target::new("path", 200, captures::followed),
        Target::new("set", 3_000, sets::asked),
        Target::new("spool", 500, spools::recovered),
    ];
    all.extend(DATAGRAMS.iter().map(|&row| {
        let name = format!("datagram-{}", row.name);
        Target::new(name, 40_000, move |input| conversations::datagram(row, input))
    }));
    all.extend(Spoken::ALL.iter().map(|&spoken| {
        let name = format!("stream-{}", spoken.name());
        Target::new(name, 20_000, move |input| conversations::stream(spoken, input))
    }));
    all.extend(feed::endings().map(|ending| {
        let name = format!("feed-{ending}");
        Target::new(name, 2_000, move |input| feeds::read(ending, input))
    }));
    all
}

/// What may come of an input: so much for each of its bytes, and so much for none.
#[derive(Clone, Copy)]
pub struct Allowed {
    per_byte: usize,
    at_least: usize,
}

impl Allowed {
    /// Asserts that `came`, whatever `what` counts, is no more than this input allows.
    pub fn hold(self, what: &str, came: usize, input_bytes: usize) {
        let most = self.per_byte.saturating_mul(input_bytes).saturating_add(self.at_least);
        assert!(came <= most, "{what}: {came} of {input_bytes} bytes, {most} at most");
    }
}

/// Takes two bytes off the front as a big-endian number.
fn number(input: &mut &[u8]) -> Option<u16> {
    let (two, rest) = input.split_first_chunk::<2>()?;
    *input = rest;
    Some(u16::from_be_bytes(*two))
}

/// Takes a length and so many bytes off the front; what is not there any more is left out.
fn piece<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(number(input)?);
    let (piece, rest) = input.split_at(length.min(input.len()));
    *input = rest;
    Some(piece)
}
