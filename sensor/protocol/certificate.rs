//! A certificate (RFC 5280 section 4.1) as far as a person asks about it: who, by whom, which, and how long.
//!
//! In: DER, as hostile as it comes. Out: borrowed fields, and their texts. Lengths are checked where they are used;
//! nothing is recursive. Never here: a signature, a key, trust.

use std::io::Write;

use super::ja3::hex_digit;
use crate::limits::{DISTINGUISHED_NAME_ATTRIBUTES_MAX, OBJECT_IDENTIFIER_PARTS_MAX, TLS_CERTIFICATE_NAMES_MAX};

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BMP_STRING: u8 = 0x1e;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// Tags of strings whose bytes are ASCII or a superset of it: UTF8, Numeric, Printable, T61, Videotex, IA5, Graphic,
/// Visible and General.
const STRINGS: [u8; 9] = [0x0c, 0x12, 0x13, 0x14, 0x15, 0x16, 0x19, 0x1a, 0x1b];

/// id-ce-subjectAltName, 2.5.29.17.
const SUBJECT_ALTERNATIVE_NAME: [u8; 3] = [0x55, 0x1d, 0x11];

/// Attribute types with a short name, as DER and as EVE readers know them.
static ATTRIBUTES: [(&[u8], &str); 25] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "Email"),
    (&[0x55, 4, 4], "surname"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 9], "streetAddress"),
    (&[0x55, 4, 12], "title"),
    (&[0x55, 4, 13], "description"),
    (&[0x55, 4, 15], "businessCategory"),
    (&[0x55, 4, 17], "postalCode"),
    (&[0x55, 4, 41], "name"),
    (&[0x55, 4, 42], "givenName"),
    (&[0x55, 4, 43], "initials"),
    (&[0x55, 4, 44], "generationQualifier"),
    (&[0x55, 4, 45], "uniqueIdentifier"),
    (&[0x55, 4, 46], "dnQualifier"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "uid"),
    (&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 1], "msJurisdictionLocality"),
    (&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 2], "msJurisdictionStateOrProvince"),
    (&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 3], "msJurisdictionCountry"),
];

/// What is read of a certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certificate<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    validity: [(u8, &'a [u8]); 2],
    names: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// `None`: this is no certificate, or a damaged one.
    pub(super) fn of(der: &'a [u8]) -> Option<Self> {
        let mut outer = expect(&mut { der }, SEQUENCE)?;
        let mut fields = expect(&mut outer, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            element(&mut fields)?;
        }
        let serial = expect(&mut fields, INTEGER)?;
        expect(&mut fields, SEQUENCE)?; // the signature's algorithm
        let issuer = expect(&mut fields, SEQUENCE)?;
        let mut times = expect(&mut fields, SEQUENCE)?;
        let validity = [element(&mut times)?, element(&mut times)?];
        let subject = expect(&mut fields, SEQUENCE)?;
        expect(&mut fields, SEQUENCE)?; // the key
        let names = alternative_names(fields).unwrap_or_default();
        Some(Certificate { serial, issuer, subject, validity, names })
    }

    /// Appends the serial number: `0C:00:93`, a leading zero byte included.
    pub(super) fn serial(&self, out: &mut Vec<u8>) {
        for (at, byte) in self.serial.iter().enumerate() {
            let digits = [hex_digit(byte >> 4), hex_digit(*byte)].map(|digit| digit.to_ascii_uppercase());
            out.extend_from_slice(if at == 0 { &[] } else { b":" });
            out.extend(digits);
        }
    }

    /// Appends who it is for: `C=KR, O=Example, CN=example.kr`.
    pub(super) fn subject(&self, out: &mut Vec<u8>) {
        distinguished_name(self.subject, out);
    }

    /// Appends who says so.
    pub(super) fn issuer(&self, out: &mut Vec<u8>) {
        distinguished_name(self.issuer, out);
    }

    /// When it begins to be valid: `2026-11-22T01:02:03`, in UTC.
    pub(super) fn not_before(&self) -> Option<[u8; 19]> {
        time(self.validity[0])
    }

    /// When it ends to be valid.
    pub(super) fn not_after(&self) -> Option<[u8; 19]> {
        time(self.validity[1])
    }

    /// The names and addresses in its subjectAltName (RFC 5280 section 4.2.1.6), one after the other.
    pub(super) fn each_name(&self, mut say: impl FnMut(&[u8])) {
        let mut rest = self.names;
        for _ in 0..TLS_CERTIFICATE_NAMES_MAX {
            match element(&mut rest) {
                Some((0x81 | 0x82 | 0x86, text)) => say(text), // mail address, host name, URI
                Some((0x87, bytes)) => {
                    if let Some(address) = address(bytes) {
                        say(address.to_string().as_bytes());
                    }
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}

/// Takes one element off the front: its tag and content. Tags of more than a byte and lengths without end are none of DER's
/// in a certificate.
fn element<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    Some((tag, content))
}

/// Takes an element with this tag.
fn expect<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    element(bytes).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// The content of the subjectAltName among what follows the key.
fn alternative_names(mut fields: &[u8]) -> Option<&[u8]> {
    let mut wrapped = loop {
        match element(&mut fields)? {
            (EXTENSIONS, content) => break content,
            _ => continue, // identifiers that nobody uses
        }
    };
    let mut list = expect(&mut wrapped, SEQUENCE)?;
    loop {
        let mut extension = expect(&mut list, SEQUENCE)?;
        if expect(&mut extension, OBJECT_IDENTIFIER)? != SUBJECT_ALTERNATIVE_NAME {
            continue;
        }
        let mut value = element(&mut extension)?;
        if value.0 != OCTET_STRING {
            value = element(&mut extension)?; // behind the word `critical`
        }
        return expect(&mut { value.1 }, SEQUENCE);
    }
}

fn address(bytes: &[u8]) -> Option<std::net::IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from)).ok()
}

/// RFC 5280 section 4.1.2.4: sets of attributes in a sequence, joined as `A=a, B=b + C=c`. What is damaged ends it.
fn distinguished_name(mut sets: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut left = DISTINGUISHED_NAME_ATTRIBUTES_MAX;
    while let Some(mut set) = expect(&mut sets, SET) {
        let mut joint: &[u8] = b", ";
        while let Some(mut attribute) = expect(&mut set, SEQUENCE) {
            let Some(kind) = expect(&mut attribute, OBJECT_IDENTIFIER) else { return };
            let Some((tag, value)) = element(&mut attribute) else { return };
            if left == 0 {
                return;
            }
            left -= 1;
            out.extend_from_slice(if out.len() == start { b"" } else { joint });
            joint = b" + ";
            attribute_type(kind, out);
            out.push(b'=');
            attribute_value(tag, value, out);
        }
    }
}

fn attribute_type(kind: &[u8], out: &mut Vec<u8>) {
    match ATTRIBUTES.iter().find(|(der, _)| *der == kind) {
        Some((_, name)) => out.extend_from_slice(name.as_bytes()),
        None => {
            out.extend_from_slice(b"OID(");
            object_identifier(kind, out);
            out.push(b')');
        }
    }
}

/// `1.3.6.1`; ITU-T X.690 section 8.19: the first two parts share a number.
fn object_identifier(der: &[u8], out: &mut Vec<u8>) {
    let mut value: u64 = 0;
    let mut parts = 0;
    for byte in der {
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        // a vector takes what is written to it
        let _ = match parts {
            0 => write!(out, "{}.{}", (value / 40).min(2), value - 40 * (value / 40).min(2)),
            _ => write!(out, ".{value}"),
        };
        parts += 1;
        value = 0;
        if parts == OBJECT_IDENTIFIER_PARTS_MAX {
            return;
        }
    }
}

/// Text as it is, UTF-16 as UTF-8, anything else in hexadecimal.
fn attribute_value(tag: u8, value: &[u8], out: &mut Vec<u8>) {
    match tag {
        BMP_STRING => {
            let units = value.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair));
            let letters = char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER));
            letters.for_each(|letter| out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()));
        }
        _ if STRINGS.contains(&tag) => out.extend_from_slice(value),
        _ => {
            let digits = value.iter().flat_map(|byte| [hex_digit(byte >> 4), hex_digit(*byte)]);
            out.extend(digits.map(|digit| digit.to_ascii_uppercase()));
        }
    }
}

/// RFC 5280 section 4.1.2.5: `YYMMDDHHMMSSZ` up to 2049, `YYYYMMDDHHMMSSZ`; seconds were optional once.
fn time((tag, text): (u8, &[u8])) -> Option<[u8; 19]> {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let (century, text): (&[u8], &[u8]) = match (tag, text.first()?) {
        (UTC_TIME, b'5'..=b'9') => (b"19", text),
        (UTC_TIME, _) => (b"20", text),
        (GENERALIZED_TIME, _) => text.split_at_checked(2)?,
        _ => return None,
    };
    let seconds: &[u8] = match text.len() {
        12 => text.get(10..)?,
        10 => b"00",
        _ => return None,
    };
    let parts = [century, text.get(..2)?, text.get(2..4)?, text.get(4..6)?, text.get(6..8)?, text.get(8..10)?, seconds];
    let mut out = *b"....-..-..T..:..:..";
    let places = [0, 2, 5, 8, 11, 14, 17];
    let most: [&[u8]; 7] = [b"99", b"99", b"12", b"31", b"23", b"59", b"60"];
    for ((part, place), most) in parts.into_iter().zip(places).zip(most) {
        if !part.iter().all(u8::is_ascii_digit) || part > most {
            return None;
        }
        out[place..place + 2].copy_from_slice(part);
    }
    Some(out)
}

#[cfg(test)]
pub(super) use tests::crafted;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, KeyPair, SanType, string};
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    /// A certificate with about everything in it.
    pub(in crate::protocol) fn crafted() -> &'static [u8] {
        static DER: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        DER.get_or_init(|| {
            let mut params = CertificateParams::new(vec!["c2.example.kr".into(), "*.example.kr".into()]).unwrap();
            params.subject_alt_names.extend([
                SanType::IpAddress([192, 0, 2, 7].into()),
                SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()),
                SanType::Rfc822Name("a@example.kr".try_into().unwrap()),
                SanType::URI("https://example.kr/".try_into().unwrap()),
            ]);
            let name = &mut params.distinguished_name;
            *name = rcgen::DistinguishedName::new();
            name.push(DnType::CountryName, "KR");
            name.push(DnType::OrganizationName, DnValue::BmpString(string::BmpString::try_from("해태").unwrap()));
            name.push(
                DnType::OrganizationalUnitName,
                DnValue::TeletexString(string::TeletexString::try_from("gate").unwrap()),
            );
            name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), "42");
            name.push(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 300]), "odd");
            name.push(DnType::CommonName, "c2, the \"example\"");
            params.serial_number = Some(vec![0, 0x9a, 1, 0xff].into());
            params.not_before = rcgen::date_time_ymd(1999, 12, 31);
            params.not_after = rcgen::date_time_ymd(2051, 1, 2);
            params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3], vec![4, 0]));
            let key = KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().der().to_vec()
        })
    }

    fn text(part: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        part(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_certificate_says_who_by_whom_which_and_how_long() {
        let leaf = Certificate::of(crafted()).unwrap();
        let who = "C=KR, O=해태, OU=gate, serialNumber=42, OID(1.3.6.1.4.1.311.60.2.1.300)=odd, CN=c2, the \"example\"";
        assert_eq!(text(|out| leaf.subject(out)), who);
        assert_eq!(text(|out| leaf.issuer(out)), who);
        assert_eq!(text(|out| leaf.serial(out)), "00:9A:01:FF");
        assert_eq!(leaf.not_before(), Some(*b"1999-12-31T00:00:00"));
        assert_eq!(leaf.not_after(), Some(*b"2051-01-02T00:00:00"));
        let mut names = Vec::new();
        leaf.each_name(|name| names.push(String::from_utf8(name.to_vec()).unwrap()));
        let expected = ["c2.example.kr", "*.example.kr", "192.0.2.7", "::1", "a@example.kr", "https://example.kr/"];
        assert_eq!(names, expected);
    }

    #[test]
    fn several_attributes_may_share_a_place() {
        let attribute = |last: u8, text: &[u8]| {
            let kind = [OBJECT_IDENTIFIER, 3, 0x55, 4, last];
            let value = [&[0x0c, text.len() as u8][..], text].concat();
            [&[SEQUENCE, (kind.len() + value.len()) as u8][..], &kind, &value].concat()
        };
        let set = |content: Vec<u8>| [&[SET, content.len() as u8][..], &content].concat();
        let name = [set([attribute(3, b"a"), attribute(11, b"b")].concat()), set(attribute(6, b"KR"))].concat();
        assert_eq!(text(|out| distinguished_name(&name, out)), "CN=a + OU=b, C=KR");
    }

    #[test]
    fn times_of_both_centuries_are_read_and_odd_ones_are_not() {
        assert_eq!(time((UTC_TIME, b"500102030405Z")), Some(*b"1950-01-02T03:04:05"));
        assert_eq!(time((UTC_TIME, b"4912312359Z")), Some(*b"2049-12-31T23:59:00"));
        assert_eq!(time((GENERALIZED_TIME, b"20500101000000Z")), Some(*b"2050-01-01T00:00:00"));
        for odd in [&b""[..], b"Z", b"501302030405Z", b"5001020304x5Z", b"500102030405+0900"] {
            assert_eq!(time((UTC_TIME, odd)), None, "{odd:?}");
        }
    }

    #[test]
    fn a_certificate_that_is_cut_is_none_or_lacks_its_names() {
        for end in 0..crafted().len() {
            assert!(Certificate::of(&crafted()[..end]).is_none(), "{end}");
        }
    }

    /// What the other reader says, unless it finds a name in it that it cannot show.
    fn others(der: &[u8]) -> Option<[String; 3]> {
        let (_, found) = X509Certificate::from_der(der).ok()?;
        let serial: Vec<String> = found.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect();
        let texts = [found.subject().to_string(), found.issuer().to_string(), serial.join(":")];
        (!texts.iter().any(|text| text.contains("X509Error"))).then_some(texts)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            distinguished_name(&bytes, &mut out);
            object_identifier(&bytes, &mut out);
            let _ = alternative_names(&bytes);
            if let Some(found) = Certificate::of(&bytes) {
                found.each_name(|name| out.extend_from_slice(name));
            }
        }

        #[test]
        fn what_both_readers_take_has_one_serial_number(changes in prop::collection::vec((0..700usize, any::<u8>()), 0..3)) {
            let mut der = crafted().to_vec();
            for (at, byte) in changes {
                let at = at % der.len();
                der[at] = byte;
            }
            if let (Some(expected), Some(found)) = (others(&der), Certificate::of(&der)) {
                prop_assert_eq!(&text(|out| found.serial(out)), &expected[2]);
            }
        }
    }

    proptest! {
        #[test]
        fn names_are_spelled_as_another_reader_spells_them(texts in prop::collection::vec("\\PC{0,12}", 26)) {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            let kinds = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 41, 42, 43, 44, 45, 46, 99].map(|last| vec![2, 5, 4, last]);
            let directory = [1, 25].map(|last| vec![0, 9, 2342, 19_200_300, 100, 1, last]);
            let places = [1, 2, 3].map(|last| vec![1, 3, 6, 1, 4, 1, 311, 60, 2, 1, last]);
            let kinds = kinds.into_iter().chain(directory).chain(places).chain([vec![1, 2, 840, 113_549, 1, 9, 1]]);
            for (text, kind) in texts.iter().zip(kinds) {
                params.distinguished_name.push(DnType::CustomDnType(kind), text.as_str());
            }
            static KEY: std::sync::LazyLock<KeyPair> = std::sync::LazyLock::new(|| KeyPair::generate().unwrap());
            let der = params.self_signed(&*KEY).unwrap().der().to_vec();
            let found = Certificate::of(&der).unwrap();
            let expected = others(&der).unwrap();
            prop_assert_eq!(text(|out| found.subject(out)), expected[0].as_str());
        }
    }

    #[test]
    fn an_unchanged_certificate_is_spelled_as_the_other_reader_spells_it() {
        let found = Certificate::of(crafted()).unwrap();
        let expected = others(crafted()).unwrap();
        assert_eq!(
            [text(|out| found.subject(out)), text(|out| found.issuer(out)), text(|out| found.serial(out))],
            expected
        );
    }
}
