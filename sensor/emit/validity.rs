//! From when until when a certificate holds (RFC 5280 section 4.1.2.5). In: DER. Out: seconds since 1970. Never here: trust;
//! whether a certificate is good is for those to say who verify it.

use std::ops::Range;

use jiff::civil;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate holds, in seconds since 1970; `None`: this is no certificate, or a damaged one.
pub(super) fn of(der: &[u8]) -> Option<Range<u64>> {
    let mut certificate = der;
    let mut certificate = expect(&mut certificate, SEQUENCE)?;
    let mut fields = expect(&mut certificate, SEQUENCE)?;
    // serial number, signature algorithm and issuer come before; a version only where it is not the first
    let before = if fields.first() == Some(&VERSION) { 4 } else { 3 };
    for _ in 0..before {
        element(&mut fields)?;
    }
    let mut times = expect(&mut fields, SEQUENCE)?;
    Some(time(element(&mut times)?)?..time(element(&mut times)?)?)
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from 2050 on: both always with seconds and in UTC.
fn time((tag, text): (u8, &[u8])) -> Option<u64> {
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => (number(&digits[..2]).map(|year| if year < 50 { 2000 + year } else { 1900 + year })?, 2),
        (GENERALIZED_TIME, 14) => (number(&digits[..4])?, 4),
        _ => return None,
    };
    let part = |at: usize| number(&digits[rest + 2 * at..][..2]).and_then(|part| i8::try_from(part).ok());
    let moment = civil::DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
    // the last second of 9999, which stands for no end (section 4.1.2.5.2), is none of jiff's timestamps
    let since = moment.duration_since(civil::date(1970, 1, 1).at(0, 0, 0, 0));
    // before 1970 is as good as at its beginning
    Some(u64::try_from(since.as_secs()).unwrap_or_default())
}

fn number(digits: &[u8]) -> Option<i16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The content of an element that has to have this tag.
fn expect<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    element(bytes).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// Tag and content of the next element (X.690 section 8.1); lengths of more than four bytes are in no certificate.
fn element<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..0x80 => (short, rest),
        long => {
            let (length, rest) = rest.split_at_checked(long & 0x7f).filter(|(length, _)| length.len() <= 4)?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some((*tag, content))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut wanted = CertificateParams::new(vec!["centre.example".to_owned()]).unwrap();
        wanted.not_before = date_time_ymd(from, 2, 28);
        wanted.not_after = date_time_ymd(until, 12, 31);
        wanted.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn it_is_what_another_reader_says_on_both_sides_of_2050() {
        for (from, until) in [(1975, 1999), (2026, 2049), (2026, 2050), (2051, 9999)] {
            let der = certificate(from, until);
            let (_, other) = X509Certificate::from_der(&der).unwrap();
            let told = other.validity();
            let told = told.not_before.timestamp() as u64..told.not_after.timestamp() as u64;
            assert_eq!(of(&der), Some(told), "{from} to {until}");
        }
    }

    #[test]
    fn what_is_cut_anywhere_says_nothing_and_what_is_flipped_panics_nowhere() {
        let der = certificate(2026, 2027);
        assert!((0..der.len()).all(|length| of(&der[..length]).is_none()));
        for at in 0..der.len() {
            let mut flipped = der.clone();
            for bit in 0..8 {
                flipped[at] ^= 1 << bit;
                let _ = of(&flipped);
            }
        }
    }
}
