//! Time as it arrives with a frame. Nothing here reads a clock.

use std::fmt;

/// A moment: nanoseconds since 1970-01-01T00:00:00Z, as the capture gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A signed length of time in nanoseconds; capture clocks run backwards too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A span of whole seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Span(seconds * 1_000_000_000)
    }

    /// A span of nanoseconds.
    pub const fn nanos(nanos: i64) -> Self {
        Span(nanos)
    }

    /// The length in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The length in whole seconds, rounded towards zero.
    pub const fn as_seconds(self) -> i64 {
        self.0 / 1_000_000_000
    }

    /// This span, kept between `-bound` and `bound`.
    pub fn within(self, bound: Span) -> Self {
        Span(self.0.clamp(-bound.0, bound.0))
    }
}

impl Timestamp {
    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Timestamp(nanos)
    }

    /// From seconds and nanoseconds; a file may claim seconds that do not fit, they saturate.
    pub const fn from_parts(seconds: i64, nanos: i64) -> Self {
        Timestamp(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// How much later this is than `earlier`; negative when it is not later at all.
    pub const fn since(self, earlier: Timestamp) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// This moment moved by `span`.
    pub const fn moved(self, span: Span) -> Self {
        Timestamp(self.0.saturating_add(span.0))
    }

    /// Appends the EVE spelling, microseconds and a numeric zone: `2026-11-21T14:02:31.118204+0000`.
    pub fn write_eve(self, out: &mut Vec<u8>) {
        let mut text = *b"0000-00-00T00:00:00.000000+0000";
        let (to_seconds, rest) = text.split_at_mut(TO_SECONDS_BYTES);
        self.write_to_seconds(to_seconds);
        let micros = self.0.rem_euclid(1_000_000_000) / 1_000;
        write_digits(&mut rest[1..7], micros as u32);
        out.extend_from_slice(&text);
    }

    /// The EVE spelling as a string.
    pub fn eve(self) -> String {
        let mut out = Vec::with_capacity(31);
        self.write_eve(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// The RFC 3339 spelling in whole seconds: `2026-11-21T14:02:31Z`.
    pub fn rfc3339(self) -> String {
        let mut text = *b"0000-00-00T00:00:00Z";
        self.write_to_seconds(&mut text[..TO_SECONDS_BYTES]);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Reads that spelling, in UTC; seconds, minutes and hours may be missing at the end, and the `Z`. `None`: it is no such time.
    pub fn of_rfc3339(text: &str) -> Option<Timestamp> {
        let (given, form) = (text.strip_suffix('Z').unwrap_or(text), "0000-00-00T00:00:00");
        let fits = |(letter, of): (char, char)| if of == '0' { letter.is_ascii_digit() } else { letter == of };
        if ![10, 13, 16, TO_SECONDS_BYTES].contains(&given.len()) || !given.chars().zip(form.chars()).all(fits) {
            return None;
        }
        let number =
            |at: usize, digits: usize| given.get(at..at + digits).map_or(Some(0), |text| text.parse::<i64>().ok());
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        let days = days(year, month, day);
        let is_day = (1678..2262).contains(&year) && civil(days) == (year as u64, month as u64, day as u64);
        let is_time = hour < 24 && minute < 60 && second < 60;
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
        (is_day && is_time).then(|| Timestamp::from_parts(seconds, 0))
    }

    /// Fills in the digits of `0000-00-00T00:00:00`.
    fn write_to_seconds(self, text: &mut [u8]) {
        let seconds = self.0.div_euclid(1_000_000_000);
        let (year, month, day) = civil(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400) as u32;
        write_digits(&mut text[..4], year as u32);
        write_digits(&mut text[5..7], month as u32);
        write_digits(&mut text[8..10], day as u32);
        write_digits(&mut text[11..13], of_day / 3600);
        write_digits(&mut text[14..16], of_day / 60 % 60);
        write_digits(&mut text[17..19], of_day % 60);
    }
}

/// Length of `2026-11-21T14:02:31`.
const TO_SECONDS_BYTES: usize = 19;

/// Days since 1970-01-01 as year, month, day of the Gregorian calendar (years 1677 to 2262: what 64 bits of
/// nanoseconds can say).
fn civil(days: i64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days since 0000-03-01, so that the leap day is a year's last
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as u64, month as u64, day as u64)
}

/// Days since 1970-01-01 of a day of the Gregorian calendar, or of what would be one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) }; // March is a year's first
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Fills `text` with the last digits of `value`.
#[inline]
fn write_digits(text: &mut [u8], value: u32) {
    let mut rest = value;
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.eve())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_spelled_as_eve_spells_it() {
        let at = Timestamp::from_parts(1_795_269_751, 118_204_999);
        assert_eq!(at.eve(), "2026-11-21T14:02:31.118204+0000");
        assert_eq!(at.rfc3339(), "2026-11-21T14:02:31Z");
    }

    #[test]
    fn moments_before_1970_and_leap_days_have_a_spelling() {
        assert_eq!(Timestamp::from_nanos(-1).eve(), "1969-12-31T23:59:59.999999+0000");
        assert_eq!(Timestamp::from_parts(951_782_400, 0).rfc3339(), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn hostile_seconds_saturate() {
        assert_eq!(Timestamp::from_parts(i64::MAX, 999).as_nanos(), i64::MAX);
        assert!(Timestamp::from_nanos(i64::MIN).since(Timestamp::from_nanos(i64::MAX)).as_nanos() < 0);
    }
}
