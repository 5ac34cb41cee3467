//! What a reload cannot change: sections of which sockets, files and threads are made at the start.
//!
//! In: a configuration before and after. Out: the sections that hold from start to end and in which the two differ.

use super::check::Config;
use super::rotation::Rotation;

/// Sections that hold from the start to the end of a run, and in which the two differ: a reload cannot change them.
pub fn fixed_differences(before: &Config, after: &Config) -> Vec<&'static str> {
    let fixed = [
        ("site", before.site == after.site),
        ("capture", before.capture == after.capture),
        ("outputs.eve.path", before.outputs.path == after.outputs.path),
        ("outputs.eve.rotate_bytes", rotation(before).0 == rotation(after).0),
        ("outputs.eve.rotate_seconds", rotation(before).1 == rotation(after).1),
        ("outputs.eve.keep", rotation(before).2 == rotation(after).2),
        ("centre", before.centre == after.centre),
        ("ledger", before.ledger == after.ledger),
        ("sinks", before.sinks == after.sinks),
        ("metrics", before.metrics == after.metrics),
        ("control", before.control == after.control),
        ("quarantine", before.quarantine == after.quarantine),
        ("logs", before.logs == after.logs),
        ("limits", before.limits == after.limits),
        ("sandbox", before.sandbox == after.sandbox),
    ];
    fixed.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

fn rotation(config: &Config) -> (Option<u64>, Option<u64>, Option<u32>) {
    let rotation = config.outputs.rotation;
    let by = |rotation: Rotation| (rotation.bytes_max, rotation.every_seconds, Some(rotation.keep));
    rotation.map_or((None, None, None), by)
}
