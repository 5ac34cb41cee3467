//! All benches by name: what one operation of each is, and whether its instructions are counted in CI.
//!
//! `main.rs` fills these rows with work; `tests/bench_names.rs` holds README and `instructions.json` to them.

/// One bench.
pub struct Row {
    /// `path-http`: the group, a hyphen, and what of it.
    pub name: &'static str,
    /// What is counted as one operation.
    pub unit: &'static str,
    /// Whether `.ci/bench` counts its instructions.
    pub counted: bool,
}

const fn counted(name: &'static str, unit: &'static str) -> Row {
    Row { name, unit, counted: true }
}

const fn timed(name: &'static str, unit: &'static str) -> Row {
    Row { name, unit, counted: false }
}

/// In the order in which they are run; a group is measured together, in turns.
pub static BENCHES: [Row; 27] = [
    counted("path-known", "packet"),
    counted("path-new", "packet"),
    counted("path-http", "packet"),
    counted("path-tls", "packet"),
    counted("path-dns", "packet"),
    timed("stages-decode", "packet"),
    timed("stages-flow", "packet"),
    timed("stages-look-up", "value"),
    timed("stages-hand-over", "record"),
    timed("lookups-names-hit-1k", "value"),
    timed("lookups-names-miss-1k", "value"),
    timed("lookups-names-hit-1m", "value"),
    timed("lookups-names-miss-1m", "value"),
    timed("lookups-addresses-hit-1k", "value"),
    timed("lookups-addresses-miss-1k", "value"),
    timed("lookups-addresses-hit-1m", "value"),
    timed("lookups-addresses-miss-1m", "value"),
    timed("lookups-digests-hit-1k", "value"),
    timed("lookups-digests-miss-1k", "value"),
    timed("lookups-digests-hit-1m", "value"),
    timed("lookups-digests-miss-1m", "value"),
    timed("lookups-urls-hit-1k", "value"),
    timed("lookups-urls-miss-1k", "value"),
    timed("lookups-urls-hit-1m", "value"),
    timed("lookups-urls-miss-1m", "value"),
    timed("build-names-1m", "entry"),
    timed("build-mixed-1m", "entry"),
];
