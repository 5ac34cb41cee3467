//! What the centre's answers mean, as `deploy/ingest.yaml` says. In: status, headers, body. Out: what becomes of the batch.
//! Never here: a record given up for an answer that could come from a proxy on the way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::fmt::rfc2822;
use serde::Deserialize;
use ureq::http::HeaderMap;

use super::{Delivery, Trouble};
use crate::ledger::Receipt;
use crate::spool::Position;

/// The centre may ask for patience, but not for ever.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Words of the centre that are kept: a sentence or two.
const REASON_CHARACTERS_MAX: usize = 200;

/// What the centre answers.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// What its body says.
#[derive(Deserialize)]
struct Said {
    committed: Option<u64>,
    index: Option<usize>,
    error: Option<String>,
    receipt: Option<Receipt>,
}

impl Answer {
    /// What it means for a batch of so many records.
    pub(super) fn understood(&self, records: usize) -> Delivery {
        let said: Option<Said> = serde_json::from_slice(&self.body).ok();
        let later = |trouble, reason| Delivery::Later { trouble, reason, after: self.retry_after() };
        let error = said.as_ref().and_then(|said| said.error.as_deref()).map(plain);
        let reason = match &error {
            Some(error) => format!("the centre answers {}: {error}", self.status),
            None => format!("the centre answers {}", self.status),
        };
        match (self.status, said) {
            (200, Some(said)) => Delivery::Delivered { committed: said.committed.map(Position) },
            (413, _) => Delivery::Smaller { reason },
            (400 | 422, Some(Said { index: Some(which), .. })) if which < records => {
                Delivery::Never { reason: error.unwrap_or_else(|| "refused by the centre".to_owned()), which }
            }
            (400 | 422, _) => Delivery::Unclear { reason },
            (401 | 403, _) => later(Trouble::Token, format!("the centre refuses the token ({})", self.status)),
            (429, _) => later(Trouble::Busy, reason),
            (503, _) => later(Trouble::Down, reason),
            _ => later(Trouble::Other, reason),
        }
    }

    /// The receipt in it, if there is one that is spelled as receipts are.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        serde_json::from_slice::<Said>(&self.body).ok()?.receipt
    }

    /// How far our clock is ahead of the centre's, in seconds, if it says what time it has.
    pub(super) fn clock_ahead(&self) -> Option<i64> {
        Some(now() - self.date("date")?)
    }

    /// RFC 9110 section 10.2.3, in both its forms. A date is held against the centre's own clock where it tells it: two
    /// clocks need not agree.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get("retry-after")?.to_str().ok()?.trim();
        let seconds = text.parse().ok().or_else(|| {
            let at = self.date("retry-after")?;
            u64::try_from(at - self.date("date").unwrap_or_else(now)).ok()
        })?;
        Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
    }

    /// A date in a header, in seconds since 1970.
    fn date(&self, header: &str) -> Option<i64> {
        let text = self.headers.get(header)?.to_str().ok()?;
        Some(rfc2822::parse(text.trim()).ok()?.timestamp().as_second())
    }
}

/// The centre's words as they may stand in a log or on a terminal: nothing that moves a cursor or turns the direction.
fn plain(words: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    words.chars().map(|c| if c.is_control() || turns(c) { '?' } else { c }).take(REASON_CHARACTERS_MAX).collect()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status, headers, body: body.as_bytes().to_vec() }
    }

    fn means(status: u16, body: &str) -> Delivery {
        answer(status, &[], body).understood(2)
    }

    #[test]
    fn only_a_number_settles_anything() {
        assert_eq!(means(200, r#"{"committed":7}"#), Delivery::Delivered { committed: Some(Position(7)) });
        assert_eq!(means(200, "{}"), Delivery::Delivered { committed: None });
        for (status, body) in [(200, ""), (200, "<html>"), (204, ""), (302, ""), (404, ""), (405, "{}"), (500, "")] {
            assert!(matches!(means(status, body), Delivery::Later { .. }), "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_counts_only_if_it_names_a_record_of_the_batch() {
        let never = Delivery::Never { reason: "src_ip".into(), which: 1 };
        for status in [400, 422] {
            assert_eq!(means(status, r#"{"error":"src_ip","index":1}"#), never);
            for body in [r#"{"error":"src_ip","index":2}"#, r#"{"index":-1}"#, "", "<html>"] {
                assert!(matches!(means(status, body), Delivery::Unclear { .. }), "{status} {body}");
            }
        }
        assert!(matches!(means(413, ""), Delivery::Smaller { .. }));
    }

    #[test]
    fn the_centre_says_when_to_come_again_in_seconds_or_as_a_date_by_its_own_clock() {
        let after = |headers: &[(&'static str, &str)]| match answer(503, headers, "").understood(1) {
            Delivery::Later { after, .. } => after,
            _ => panic!("503 means later"),
        };
        assert_eq!(after(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(after(&[("retry-after", "99999999")]), Some(RETRY_AFTER_MAX));
        let (date, later) = ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:09 GMT");
        assert_eq!(after(&[("date", date), ("retry-after", later)]), Some(Duration::from_secs(9)));
        assert_eq!(after(&[("date", later), ("retry-after", date)]), None, "it is over");
        assert_eq!(after(&[("retry-after", later)]), None, "by our clock, long over");
        assert_eq!(after(&[("retry-after", "Mon, 21 Oct 2999 07:28:00 GMT")]), Some(RETRY_AFTER_MAX));
        for odd in ["soon", "-1", "1.5", ""] {
            assert_eq!(after(&[("retry-after", odd)]), None, "{odd}");
        }
    }

    #[test]
    fn what_the_centre_says_moves_no_cursor() {
        let said = |body: &str| match means(500, body) {
            Delivery::Later { reason, .. } => reason,
            _ => panic!("500 means later"),
        };
        assert_eq!(
            said("{\"error\":\"a\\u001b[2Jb\\n\u{202e}c \u{ac00}\"}"),
            "the centre answers 500: a?[2Jb??c \u{ac00}"
        );
        assert!(said(&format!("{{\"error\":\"{}\"}}", "x".repeat(60_000))).len() < 300);
    }

    #[test]
    fn clocks_are_compared_when_the_centre_tells_its_own() {
        assert_eq!(answer(200, &[], "").clock_ahead(), None);
        let ahead = answer(200, &[("date", "Wed, 21 Oct 2015 07:28:00 GMT")], "").clock_ahead().unwrap();
        assert!(ahead > 300_000_000, "{ahead}");
    }
}
