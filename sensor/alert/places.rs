//! Where an indicator was met and what stood there. Most are met in one place, and what stood there is short: both lie in the
//! alert itself, for in a storm memory costs more than all else that an alert is made of.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;

use super::{json, words};
use crate::limits::{SEEN_BYTES_MAX, SEEN_PAIRS_MAX};
use crate::observable::{Form, Seen};

/// Bytes of a text that lie in place: any address as it is written, and most names.
const SHORT_BYTES_MAX: usize = 46;

/// A text that a person can be shown.
#[derive(Clone)]
pub struct Printed(Text);

#[derive(Clone)]
struct Short {
    length: u8,
    bytes: [u8; SHORT_BYTES_MAX],
}

impl Short {
    /// Of a text that is short enough.
    fn of(text: &[u8]) -> Short {
        let mut bytes = [0; SHORT_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Short { length: text.len() as u8, bytes }
    }
}

#[derive(Clone)]
enum Text {
    /// The text of the wire itself: it needed no escapes.
    Plain(Short),
    Short(Short),
    Long(Box<str>),
}

impl Printed {
    /// At most [`SEEN_BYTES_MAX`] bytes of a value as harmless text, see [`words::printable`].
    pub fn of_text(bytes: &[u8]) -> Printed {
        let is_plain = bytes.len() <= SHORT_BYTES_MAX && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if is_plain { Printed(Text::Plain(Short::of(bytes))) } else { words::printable(bytes, SEEN_BYTES_MAX).into() }
    }

    /// An address in its own family: the IPv6 form of an IPv4 address is that address.
    pub fn of_address(address: IpAddr) -> Printed {
        match address.to_canonical() {
            IpAddr::V4(four) => {
                let (text, length) = json::dotted(four.octets());
                Printed(Text::Short(Short::of(&text[..length])))
            }
            IpAddr::V6(six) => six.to_string().into(),
        }
    }

    /// Whether a text of the wire is printed like this; in doubt not.
    fn is_of_text(&self, bytes: &[u8]) -> bool {
        matches!(&self.0, Text::Plain(plain) if plain.bytes[..usize::from(plain.length)] == *bytes)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // it was text when it was put there
            Text::Plain(_) | Text::Short(_) => std::str::from_utf8(self.bytes()).unwrap_or_default(),
            Text::Long(text) => text,
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Plain(short) | Text::Short(short) => &short.bytes[..usize::from(short.length)],
            Text::Long(text) => text.as_bytes(),
        }
    }
}

impl From<String> for Printed {
    fn from(text: String) -> Printed {
        let is_short = text.len() <= SHORT_BYTES_MAX;
        Printed(if is_short { Text::Short(Short::of(text.as_bytes())) } else { Text::Long(text.into()) })
    }
}

impl Deref for Printed {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Printed {
    fn eq(&self, other: &Printed) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Printed {}

impl fmt::Debug for Printed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(out)
    }
}

/// Where an indicator was met and what stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The field: `tls.sni`.
    pub seen_in: &'static str,
    /// Its value, printable and cut.
    pub seen: Printed,
}

/// All places of an alert, in order, without repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    first: Option<Place>,
    // a box of a vector: of most there is none, and what is kept of a contact is to be small
    #[allow(clippy::box_collection)]
    more: Option<Box<Vec<Place>>>,
}

impl Places {
    /// Where it was met first.
    pub fn first(&self) -> Option<&Place> {
        self.first.as_ref()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Place> {
        self.first.iter().chain(self.more.iter().flat_map(|more| more.iter()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.as_ref().map_or(0, |more| more.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds one that is not there yet, up to [`SEEN_PAIRS_MAX`].
    pub(super) fn note(&mut self, place: Place) {
        if self.first.is_none() {
            self.first = Some(place);
        } else if self.len() < SEEN_PAIRS_MAX && self.iter().all(|known| *known != place) {
            self.more.get_or_insert_default().push(place);
        }
    }

    /// Whether [`Places::note`] would change nothing, by what the wire had; in doubt it would.
    pub(super) fn know(&self, seen: &Seen, raw: &[u8]) -> bool {
        let is_it = |place: &Place| place.seen_in == seen.field.name && place.seen.is_of_text(raw);
        self.len() >= SEEN_PAIRS_MAX || seen.field.form == Form::Text && self.iter().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_spelled_in_its_own_family() {
        for (at, spelled) in [
            ("203.0.113.66", "203.0.113.66"),
            ("::ffff:203.0.113.66", "203.0.113.66"),
            ("0.10.100.255", "0.10.100.255"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(&*Printed::of_address(at.parse().expect("an address")), spelled);
        }
    }

    #[test]
    fn the_longest_address_lies_in_place() {
        let longest: IpAddr = "2001:1db8:1111:2222:3333:4444:5555:6666".parse().expect("an address");
        assert!(matches!(Printed::of_address(longest).0, Text::Short(_)));
    }

    proptest! {
        #[test]
        fn a_text_is_the_same_wherever_it_lies(bytes in prop::collection::vec(any::<u8>(), 0..80), plain in "[ -~]{40,52}") {
            for bytes in [&bytes[..], plain.as_bytes()] {
                prop_assert_eq!(&*Printed::of_text(bytes), words::printable(bytes, SEEN_BYTES_MAX));
            }
        }
    }
}
