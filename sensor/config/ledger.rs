//! The section `ledger:`: how much of what was sent is kept account of.
//!
//! In: the section as it is written. Out: checked values, or faults. Never here: a file.

use std::time::Duration;

use serde::Deserialize;

use super::check::Desk;
use super::written::Size;
use crate::ledger::{DAY, Options};
use crate::limits::{
    LEDGER_BYTES_DEFAULT, LEDGER_BYTES_SETTABLE_MAX, LEDGER_BYTES_SETTABLE_MIN, LEDGER_DAYS_DEFAULT, LEDGER_DAYS_MAX,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenLedger {
    pub(crate) size: Option<Size>,
    pub(crate) days: Option<u32>,
    pub(crate) keep: Option<Size>,
}

impl Desk<'_> {
    pub(super) fn ledger(&mut self, written: &WrittenLedger) -> Options {
        let Size(bytes_max) = written.size.unwrap_or(Size(LEDGER_BYTES_DEFAULT));
        if !(LEDGER_BYTES_SETTABLE_MIN..=LEDGER_BYTES_SETTABLE_MAX).contains(&bytes_max) {
            self.fault("ledger.size", format!("{bytes_max} bytes are out of range"), "16MiB to 64GiB");
        }
        let days = written.days.unwrap_or(LEDGER_DAYS_DEFAULT);
        if !(1..=LEDGER_DAYS_MAX).contains(&days) {
            self.fault("ledger.days", format!("{days} is out of range"), &format!("1 to {LEDGER_DAYS_MAX}"));
        }
        let Size(keep_bytes_max) = written.keep.unwrap_or(Size(0));
        if keep_bytes_max > LEDGER_BYTES_SETTABLE_MAX {
            self.fault("ledger.keep", format!("{keep_bytes_max} bytes are out of range"), "0 (none) to 64GiB");
        }
        let time_max: Duration = DAY.saturating_mul(days);
        Options { bytes_max, time_max, keep_bytes_max, ..Options::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Refused, parse};
    use super::*;

    #[test]
    fn the_ledger_has_a_size_and_a_time_even_if_nobody_says_so() {
        let read = |text: &str| parse("f", text, std::path::Path::new("/etc"), &[], &|_| None);
        assert_eq!(read("").expect("it is sound").ledger, Options::default());
        let kept = read("ledger: { size: 16MiB, days: 1 }\n").expect("it is sound").ledger;
        assert_eq!((kept.bytes_max, kept.time_max), (16 << 20, DAY));
        for odd in ["{ size: 15MiB }", "{ size: 65GiB }", "{ days: 0 }", "{ keep: 65GiB }", "{ days: 36501 }"] {
            let refused = read(&format!("ledger: {odd}\n"));
            assert!(matches!(&refused, Err(Refused::Faulty(faults)) if faults.len() == 1), "{odd}: {refused:?}");
        }
    }
}
