//! What may be said of an indicator: one row per word, the same in every format.

use crate::indicator::{Severity, Statement, Tlp};
use crate::limits::FEED_WORD_BYTES_MAX;
use crate::time::Timestamp;

/// One word: its name in feeds, and how its text changes a statement.
pub(super) struct Word {
    /// Key or column.
    pub(super) name: &'static str,
    /// Fails with a reason that completes "`name`: ...".
    pub(super) read: fn(&mut Statement, &str) -> Result<(), &'static str>,
}

/// Every word. `id` is none: it is said of one indicator only.
pub(super) static WORDS: [Word; 11] = [
    Word { name: "source", read: |said, text| bounded(text).map(|text| said.source = text) },
    Word { name: "tlp", read: |said, text| found(Tlp::from_name(text), &mut said.tlp, "no TLP of version 2") },
    Word { name: "confidence", read: confidence },
    Word { name: "severity", read: |said, text| found(Severity::from_name(text), &mut said.severity, SEVERITIES) },
    Word { name: "labels", read: labels },
    Word { name: "valid_from", read: |said, text| moment(text).map(|at| said.valid_from = Some(at)) },
    Word { name: "valid_until", read: |said, text| moment(text).map(|at| said.valid_until = Some(at)) },
    Word { name: "revoked", read: revoked },
    Word { name: "port", read: |said, text| port(text).map(|port| said.port = Some(port)) },
    Word { name: "next_en", read: |said, text| next(said, "en", text) },
    Word { name: "next_ko", read: |said, text| next(said, "ko", text) },
];

const SEVERITIES: &str = "one of low, medium, high, critical";

/// The word with this name.
pub(super) fn word(name: &str) -> Option<&'static Word> {
    WORDS.iter().find(|word| word.name == name)
}

fn bounded(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.len() > FEED_WORD_BYTES_MAX { Err("longer than 512 bytes") } else { Ok(text.to_owned()) }
}

fn found<T>(value: Option<T>, place: &mut T, reason: &'static str) -> Result<(), &'static str> {
    *place = value.ok_or(reason)?;
    Ok(())
}

fn confidence(said: &mut Statement, text: &str) -> Result<(), &'static str> {
    let number = text.trim().parse().ok().filter(|&number: &u8| number <= 100);
    found(number, &mut said.confidence, "a number from 0 to 100")
}

/// In one column or text, labels are parted by `;` or `|`.
fn labels(said: &mut Statement, text: &str) -> Result<(), &'static str> {
    let labels = text.split([';', '|']).map(bounded).filter(|label| label.as_ref() != Ok(&String::new()));
    said.labels = labels.collect::<Result<_, _>>()?;
    Ok(())
}

fn revoked(said: &mut Statement, text: &str) -> Result<(), &'static str> {
    let value = match text.trim() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" | "" => Some(false),
        _ => None,
    };
    found(value, &mut said.revoked, "true or false")
}

/// Sets or replaces one language's advice.
pub(super) fn next(said: &mut Statement, language: &str, text: &str) -> Result<(), &'static str> {
    if text.len() > 4 * FEED_WORD_BYTES_MAX {
        return Err("longer than 2048 bytes");
    }
    said.next.retain(|(of, _)| of != language);
    said.next.push((language.to_owned(), text.trim().to_owned()));
    said.next.sort();
    Ok(())
}

/// A date is the start of that day in UTC; everything else is RFC 3339.
pub(super) fn moment(text: &str) -> Result<Timestamp, &'static str> {
    const REASON: &str = "a date (2027-01-31) or a time as RFC 3339 has it";
    let text = text.trim();
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(saturated(at.as_nanosecond()));
    }
    let date: jiff::civil::Date = text.get(..10).and_then(|date| date.parse().ok()).ok_or(REASON)?;
    let start = date.duration_since(jiff::civil::date(1970, 1, 1)).as_nanos();
    // Feeds say "never" as the last moment of the year 9999, which the library's clock cannot.
    if text.len() == 10 || date.year() == 9999 { Ok(saturated(start)) } else { Err(REASON) }
}

/// What a capture's clock cannot say is before or after everything that it can.
fn saturated(nanos: i128) -> Timestamp {
    Timestamp::from_nanos(nanos.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

fn port(text: &str) -> Result<(u16, u8), &'static str> {
    const PROTOCOLS: [(&str, u8); 3] = [("tcp", 6), ("udp", 17), ("sctp", 132)];
    const REASON: &str = "a port and its protocol (3333/tcp)";
    let (number, protocol) = text.trim().split_once('/').ok_or(REASON)?;
    let protocol = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(protocol)).ok_or(REASON)?.1;
    Ok((number.parse().map_err(|_| REASON)?, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, text: &str) -> Result<Statement, &'static str> {
        let mut said = Statement::default();
        (word(name).unwrap().read)(&mut said, text).map(|()| said)
    }

    #[test]
    fn a_date_is_the_start_of_its_day_in_utc() {
        let day = moment("2027-01-31").unwrap();
        assert_eq!(day.rfc3339(), "2027-01-31T00:00:00Z");
        assert_eq!(moment("2027-01-31T09:00:00+09:00"), Ok(day));
        assert!(moment("31.01.2027").is_err() && moment("2027-02-30").is_err() && moment("").is_err());
        assert_eq!(moment("9999-12-31"), Ok(Timestamp::from_nanos(i64::MAX)));
        assert_eq!(moment("9999-12-31T23:59:59Z"), Ok(Timestamp::from_nanos(i64::MAX)));
    }

    #[test]
    fn words_are_read_or_say_what_they_want() {
        assert_eq!(said("port", "3333/TCP").unwrap().port, Some((3333, 6)));
        assert_eq!(said("port", "3333"), Err("a port and its protocol (3333/tcp)"));
        assert_eq!(said("tlp", "TLP:AMBER+STRICT").unwrap().tlp, Tlp::AmberStrict);
        assert_eq!(said("tlp", "white").unwrap().tlp, Tlp::Clear);
        assert_eq!(said("tlp", "purple"), Err("no TLP of version 2"));
        assert_eq!(said("labels", "ransomware; c2").unwrap().labels, ["ransomware", "c2"]);
        assert_eq!(said("confidence", "101"), Err("a number from 0 to 100"));
        assert_eq!(said("severity", "Critical").unwrap().severity, Severity::Critical);
    }
}
