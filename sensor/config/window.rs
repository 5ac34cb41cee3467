//! `limits.replay_hours` and `limits.replay_size`: how long what the centre has committed stays, to be sent again.
//!
//! In: the two as they are written. Out: checked values, or faults. Never here: a file.

use std::time::Duration;

use super::check::Desk;
use super::written::{Limits, Size};
use crate::limits::{REPLAY_HOURS_MAX, REPLAY_WINDOW_BYTES_MAX, REPLAY_WINDOW_TIME, SPOOL_BYTES_SETTABLE_MAX};

const HOUR: Duration = Duration::from_secs(3_600);

impl Desk<'_> {
    /// How long, and how many bytes.
    pub(super) fn replay_window(&mut self, written: &Limits) -> (Duration, u64) {
        if let Some(hours) = written.replay_hours.filter(|hours| *hours > REPLAY_HOURS_MAX) {
            let help = format!("0 (none) to {REPLAY_HOURS_MAX}");
            self.fault("limits.replay_hours", format!("{hours} is out of range"), &help);
        }
        let Size(bytes) = written.replay_size.unwrap_or(Size(REPLAY_WINDOW_BYTES_MAX));
        if bytes > SPOOL_BYTES_SETTABLE_MAX {
            self.fault("limits.replay_size", format!("{bytes} bytes are out of range"), "0 (none) to 1TiB");
        }
        (written.replay_hours.map_or(REPLAY_WINDOW_TIME, |hours| HOUR.saturating_mul(hours)), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Refused, parse};
    use super::*;

    #[test]
    fn the_window_is_a_day_or_a_gibibyte_unless_somebody_says_otherwise() {
        let read = |text: &str| parse("f", text, std::path::Path::new("/etc"), &[], &|_| None);
        let window = |text: &str| read(text).map(|config| (config.limits.replay_time, config.limits.replay_bytes_max));
        assert_eq!(window("").expect("it is sound"), (24 * HOUR, 1 << 30));
        let some = "limits: { replay_hours: 2, replay_size: 64MiB }\n";
        assert_eq!(window(some).expect("it is sound"), (2 * HOUR, 64 << 20));
        assert_eq!(window("limits: { replay_hours: 0, replay_size: 0 }\n").expect("none"), (Duration::ZERO, 0));
        for odd in ["{ replay_hours: 745 }", "{ replay_size: 1025GiB }"] {
            let refused = read(&format!("limits: {odd}\n"));
            assert!(matches!(&refused, Err(Refused::Faulty(faults)) if faults.len() == 1), "{odd}: {refused:?}");
        }
    }
}
