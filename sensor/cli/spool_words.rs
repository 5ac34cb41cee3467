//! How `haetae spool` is typed.
//!
//! In: words. Out: [`SpoolCommand`]. Never here: a file.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueEnum};

use crate::spool::Lane;
use crate::time::Timestamp;

/// See what waits for the centre, check it, send again what the centre has lost.
#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// Print of each lane what is in it, what waits and since when, what is kept to be sent again, and what was given up
    Show {
        /// Print the records themselves, a line each: alerts as they were raised, which nobody outside the site may see
        #[arg(long)]
        records: bool,
        /// One lane alone
        #[arg(long, value_name = "LANE")]
        lane: Option<LaneWord>,
        /// Print JSON, an object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: SpoolPlace,
    },
    /// Read every record and say what is damaged, where, and how many records are gone; changes nothing; exit 65 if something is
    Verify {
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: SpoolPlace,
    },
    /// Send again what the centre has committed and was raised since a time, under the same identities: it has lost it
    Replay {
        /// Since when: a time in UTC (2026-11-22, or 2026-11-22T14:00), or how long ago (90s, 30m, 2h, 1d)
        #[arg(long, value_name = "TIME", value_parser = Since::read)]
        since: Since,
        /// The running sensor's control socket (default: the configuration's)
        #[arg(long, value_name = "PATH", conflicts_with = "spool")]
        socket: Option<PathBuf>,
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: SpoolPlace,
    },
}

/// Where the spool is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SpoolPlace {
    /// Configuration that says where the spool is (default: HAETAE_CONFIG)
    #[arg(short = 'c', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The spool's folder itself
    #[arg(long, value_name = "DIR")]
    pub(crate) spool: Option<PathBuf>,
}

/// A lane's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum LaneWord {
    /// Severity 1, and what the sensor says of itself.
    Critical,
    /// What is neither.
    Normal,
    /// The least urgent.
    Low,
}

impl LaneWord {
    pub(crate) fn lane(self) -> Lane {
        match self {
            LaneWord::Critical => Lane::Critical,
            LaneWord::Normal => Lane::Normal,
            LaneWord::Low => Lane::Low,
        }
    }
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(SystemTime),
}

impl Since {
    fn read(text: &str) -> Result<Since, String> {
        Since::read_at(text, SystemTime::now())
    }

    /// Nothing was raised after `now`: who says so has mistaken the zone or the year.
    fn read_at(text: &str, now: SystemTime) -> Result<Since, String> {
        let wrong = || "a time in UTC (2026-11-22, or 2026-11-22T14:00), or how long ago (90s, 30m, 2h, 1d)".to_owned();
        if let Some((count, seconds)) = ago(text) {
            return count.checked_mul(seconds).map(|all| Since::Ago(Duration::from_secs(all))).ok_or_else(wrong);
        }
        let at = Timestamp::of_rfc3339(text).and_then(|at| u64::try_from(at.as_nanos()).ok()).ok_or_else(wrong)?;
        let moment = SystemTime::UNIX_EPOCH + Duration::from_nanos(at);
        if moment > now {
            return Err("that time has not come yet; a time in UTC, or how long ago (90s, 30m, 2h, 1d)".to_owned());
        }
        Ok(Since::At(moment))
    }

    /// As a time.
    pub(crate) fn moment(self, now: SystemTime) -> SystemTime {
        match self {
            Since::Ago(time) => now.checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH),
            Since::At(moment) => moment,
        }
    }
}

/// A count, and the seconds of its unit.
fn ago(text: &str) -> Option<(u64, u64)> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let (unit, seconds) = units.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
    let count = text.strip_suffix(unit)?;
    let is_number = count.bytes().all(|byte| byte.is_ascii_digit());
    Some((count.parse().ok().filter(|_| is_number)?, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_353_000);
        let ago =
            |text: &str| now.duration_since(Since::read_at(text, now).expect(text).moment(now)).expect("before now");
        assert_eq!(["90s", "30m", "2h", "1d"].map(ago), [90, 1_800, 7_200, 86_400].map(Duration::from_secs));
        let at = |text: &str| Since::read_at(text, now).map(|since| since.moment(now));
        let noon = Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_305_600));
        assert_eq!(at("2026-11-22"), noon);
        assert_eq!(at("2026-11-22T00:00"), noon);
        assert_eq!(at("2026-11-22T00:00:00Z"), noon);
        for odd in [
            "",
            "h",
            "-2h",
            "+2h",
            "2w",
            "22.11.2026",
            "2026-02-30",
            "1969-01-01",
            "99999999999999999999d",
            "2026-11-22T24:00",
        ] {
            assert!(Since::read_at(odd, now).is_err(), "{odd}");
        }
        assert!(at("2026-11-22T13:10:00Z").is_ok(), "it is now");
        assert!(at("2026-11-22T13:10:01Z").is_err_and(|why| why.contains("has not come yet")));
        assert_eq!(Since::Ago(Duration::MAX).moment(now), SystemTime::UNIX_EPOCH);
    }
}
