//! What may be said of an indicator: one row per word, the same in every format.

use std::borrow::Cow;

use crate::indicator::{Pap, Severity, Statement, Tlp};
use crate::limits::FEED_WORD_BYTES_MAX;
use crate::observable::address::Port;
use crate::observable::places;
use crate::time::Timestamp;

/// Why a word is refused.
pub(super) type Reason = Cow<'static, str>;

/// One word: its name in feeds, and how its text changes a statement.
pub(super) struct Word {
    /// Key or column.
    pub(super) name: &'static str,
    /// Fails with a reason that completes "`name`: ...".
    pub(super) read: fn(&mut Statement, &str) -> Result<(), Reason>,
}

/// Every word. `id` is none: it is said of one indicator only.
pub(super) static WORDS: [Word; 15] = [
    Word { name: "source", read: source },
    Word { name: "tlp", read: |said, text| found(Tlp::from_name(text), &mut said.tlp, NO_TLP) },
    Word { name: "pap", read: |said, text| found(Pap::from_name(text), &mut said.pap, NO_PAP) },
    Word { name: "confidence", read: confidence },
    Word { name: "severity", read: |said, text| found(Severity::from_name(text), &mut said.severity, SEVERITIES) },
    Word { name: "labels", read: |said, text| put(parted(text), &mut said.labels) },
    Word { name: "sectors", read: sectors },
    Word { name: "valid_from", read: |said, text| put(moment(text).map(Some), &mut said.valid_from) },
    Word { name: "valid_until", read: |said, text| put(moment(text).map(Some), &mut said.valid_until) },
    Word { name: "revoked", read: |said, text| found(yes_or_no(text), &mut said.revoked, "true or false") },
    Word { name: "port", read: |said, text| found(Port::read(text.trim()).map(Some), &mut said.port, PORT) },
    Word { name: "in", read: field },
    Word { name: "nocase", read: |said, text| found(yes_or_no(text), &mut said.nocase, "true or false") },
    Word { name: "next_en", read: |said, text| Ok(next(said, "en", text)?) },
    Word { name: "next_ko", read: |said, text| Ok(next(said, "ko", text)?) },
];

const PORT: &str = "a port and its protocol (3333/tcp), or a port alone";

const NO_TLP: &str = "no TLP of version 2";

const NO_PAP: &str = "one of clear, green, amber, red";

const SEVERITIES: &str = "one of low, medium, high, critical";

/// The word with this name.
pub(super) fn word(name: &str) -> Option<&'static Word> {
    WORDS.iter().find(|word| word.name == name)
}

fn bounded(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.len() > FEED_WORD_BYTES_MAX { Err("longer than 512 bytes") } else { Ok(text.to_owned()) }
}

fn source(said: &mut Statement, text: &str) -> Result<(), Reason> {
    said.source_is_file = false;
    put(bounded(text), &mut said.source)
}

fn put<T>(value: Result<T, &'static str>, place: &mut T) -> Result<(), Reason> {
    *place = value?;
    Ok(())
}

fn found<T>(value: Option<T>, place: &mut T, reason: &'static str) -> Result<(), Reason> {
    *place = value.ok_or(reason)?;
    Ok(())
}

fn confidence(said: &mut Statement, text: &str) -> Result<(), Reason> {
    let number = text.trim().parse().ok().filter(|&number: &u8| number <= 100);
    found(number, &mut said.confidence, "a number from 0 to 100")
}

/// In one column or text, labels and sectors are parted by `;` or `|`.
fn parted(text: &str) -> Result<Vec<String>, &'static str> {
    text.split([';', '|']).map(bounded).filter(|part| part.as_ref() != Ok(&String::new())).collect()
}

/// Labels that are tags of markings (`TLP:RED`, `PAP:AMBER`) mark and are labels no longer. They make a statement stricter and
/// never laxer, whatever else is said of it and in whatever order.
pub(super) fn mark(said: &mut Statement) -> Result<(), Reason> {
    let (mut tlp, mut pap, mut wrong) = (said.tlp, said.pap, None);
    said.labels.retain(|label| {
        let scheme = label.get(..4).map(str::to_ascii_lowercase);
        let known = match scheme.as_deref() {
            Some("tlp:") => Tlp::from_name(label).map(|level| tlp = tlp.max(level)).ok_or(NO_TLP),
            Some("pap:") => Pap::from_name(label).map(|level| pap = pap.max(level)).ok_or(NO_PAP),
            _ => return true,
        };
        wrong = wrong.or(known.err());
        false
    });
    (said.tlp, said.pap) = (tlp, pap);
    wrong.map_or(Ok(()), |wrong| Err(wrong.into()))
}

/// A set: neither order nor case nor repetition makes another statement.
fn sectors(said: &mut Statement, text: &str) -> Result<(), Reason> {
    said.sectors = parted(&text.to_lowercase())?;
    said.sectors.sort();
    said.sectors.dedup();
    Ok(())
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" | "" => Some(false),
        _ => None,
    }
}

/// A field that parsers know; a wrong name is answered with those that are near.
fn field(said: &mut Statement, text: &str) -> Result<(), Reason> {
    let name = text.trim();
    said.field = places::text_field(name);
    if said.field.is_some() {
        return Ok(());
    }
    Err(match places::near(name).as_slice() {
        [] => "no field of this name holds text".into(),
        near => format!("no field of this name holds text; near it: {}", near.join(", ")).into(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, text: &str) -> Result<Statement, String> {
        let mut said = Statement::default();
        (word(name).unwrap().read)(&mut said, text).map(|()| said).map_err(Cow::into_owned)
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
        assert_eq!(said("port", "3333/TCP").unwrap().port, Some(Port::of(3333, 6)));
        assert_eq!(said("port", " 3333").unwrap().port, Port::read("3333"));
        assert_eq!(said("port", "3333/icmp"), Err(PORT.to_owned()));
        assert_eq!(said("port", "65536"), Err(PORT.to_owned()));
        assert_eq!(said("tlp", "TLP:AMBER+STRICT").unwrap().tlp, Tlp::AmberStrict);
        assert_eq!(said("pap", "PAP:RED").unwrap().pap, Pap::Red);
        assert_eq!(said("pap", "amber+strict"), Err(NO_PAP.to_owned()));
        assert_eq!(said("tlp", "white").unwrap().tlp, Tlp::Clear);
        assert_eq!(said("tlp", "purple"), Err("no TLP of version 2".to_owned()));
        assert_eq!(said("sectors", "Health; finance;health"), said("sectors", "finance|HEALTH"));
        assert_eq!(said("sectors", "Health; finance").unwrap().sectors, ["finance", "health"]);
        assert_eq!(said("nocase", "yes").map(|said| said.nocase), Ok(true));
        assert_eq!(said("labels", "ransomware; c2").unwrap().labels, ["ransomware", "c2"]);
        assert_eq!(said("confidence", "101"), Err("a number from 0 to 100".to_owned()));
        assert_eq!(said("severity", "Critical").unwrap().severity, Severity::Critical);
    }

    #[test]
    fn tags_of_markings_among_the_labels_make_stricter_and_never_laxer() {
        let marked = |text: &str| {
            let mut said = said("labels", text).unwrap();
            mark(&mut said).map(|()| (said.labels, said.tlp, said.pap)).map_err(Cow::into_owned)
        };
        assert_eq!(marked("c2; PAP:RED; tlp:red").unwrap(), (vec!["c2".to_owned()], Tlp::Red, Pap::Red));
        assert_eq!(marked("tlp:white|pap:clear").unwrap(), (vec![], Tlp::Amber, Pap::Amber));
        assert_eq!(marked("pap:purple; c2"), Err(NO_PAP.to_owned()));
    }

    #[test]
    fn a_pattern_is_looked_for_in_a_field_that_parsers_know() {
        assert_eq!(said("in", "http.http_user_agent").unwrap().field, Some("http.http_user_agent"));
        let reason = said("in", "http.user_agent").unwrap_err();
        assert!(reason.starts_with("no field of this name holds text; near it: http.http_user_agent"), "{reason}");
        assert!(said("in", "dns.id").is_err(), "a number");
        assert_eq!(said("in", ""), Err("no field of this name holds text".to_owned()));
    }
}
