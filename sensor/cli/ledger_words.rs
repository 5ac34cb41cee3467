//! How `haetae ledger` is typed.
//!
//! In: words. Out: [`LedgerCommand`]. Never here: a file.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::output;
use crate::config::Output;
use crate::ledger::Digest;

/// Read and check the ledger of all that left this machine.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Print entries, a line each: what was sent, when, to whom, and what came of it
    Show {
        /// How many, from the end
        #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "since")]
        last: usize,
        /// All from a time on, in UTC: 2026-11-22, or 2026-11-22T14:00
        #[arg(long, value_name = "TIME", value_parser = moment)]
        since: Option<String>,
        /// Print them as they are in the ledger
        #[arg(long)]
        json: bool,
        /// Print the message of an entry instead, byte for byte as it left (`ledger.keep` says how many are kept)
        #[arg(long, value_name = "SEQUENCE", conflicts_with_all = ["since", "json"])]
        message: Option<u64>,
        #[command(flatten)]
        place: LedgerPlace,
    },
    /// Check that no entry was changed, taken away or put in, and the centre's receipts; exit 65 if something does not hold
    Verify {
        /// What `ledger export` has written, instead of the sensor's ledger
        #[arg(value_name = "FILE", conflicts_with_all = ["config", "ledger"])]
        file: Option<PathBuf>,
        /// The public keys of the centre's receipts (default: the configuration's `centre.receipt_keys`)
        #[arg(long, value_name = "FILE")]
        receipt_keys: Option<PathBuf>,
        /// An entry's digest that somebody else has kept: the centre, or who verified before; may be repeated
        #[arg(long, value_name = "SEQUENCE:SHA256", value_parser = known)]
        head: Vec<(u64, Digest)>,
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: LedgerPlace,
    },
    /// Write all of it into one file, which a third person can check
    Export {
        /// Where to
        #[arg(short = 'o', long = "output", value_name = "FILE|-", value_parser = output, default_value = "-")]
        output: Output,
        #[command(flatten)]
        place: LedgerPlace,
    },
}

/// Where the ledger is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LedgerPlace {
    /// Configuration that says where the spool is; the ledger lies in it (default: HAETAE_CONFIG)
    #[arg(short = 'c', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The ledger's folder itself
    #[arg(long, value_name = "DIR")]
    pub(crate) ledger: Option<PathBuf>,
}

/// The beginning of a time as the ledger spells it.
fn moment(text: &str) -> Result<String, String> {
    let form = "0000-00-00T00:00:00.000000Z";
    let fits = |(letter, of): (char, char)| if of == '0' { letter.is_ascii_digit() } else { letter == of };
    let is_time = (10..=form.len()).contains(&text.len()) && text.chars().zip(form.chars()).all(fits);
    is_time.then(|| text.to_owned()).ok_or_else(|| "a time in UTC: 2026-11-22, or 2026-11-22T14:00".to_owned())
}

fn known(text: &str) -> Result<(u64, Digest), String> {
    let wrong = || "an entry's number, a colon and its SHA-256".to_owned();
    let (sequence, digest) = text.split_once(':').ok_or_else(wrong)?;
    Ok((sequence.parse().map_err(|_| wrong())?, digest.parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_beginning_of_how_the_ledger_spells_it() {
        for sound in ["2026-11-22", "2026-11-22T14:06", "2026-11-22T14:06:09.123456Z"] {
            assert_eq!(moment(sound).as_deref(), Ok(sound));
        }
        for odd in ["2026", "22.11.2026", "2026-11-22 14:06", "2026-11-22T14:06:09.123456Z0"] {
            assert!(moment(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_head_is_a_number_and_a_digest() {
        let zeros = "0".repeat(64);
        assert_eq!(known(&format!("7:{zeros}")), Ok((7, Digest::NONE)));
        for odd in [zeros.clone(), format!("x:{zeros}"), format!("7:{}", &zeros[1..])] {
            assert!(known(&odd).is_err(), "{odd}");
        }
    }
}
