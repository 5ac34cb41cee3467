//! What a parser saw: observations with their fields, each value in the one canonical form of its kind.
//!
//! In: raw bytes from a parser or a feed. Out: [`Observations`], one arena per batch that borrows nothing.
//! Never here: an indicator, a protocol, a clock.

pub mod address;
mod arena;
pub mod digest;
pub mod domain;
mod hidden;
pub mod path;
pub mod pattern;
pub mod places;
pub mod plain;
pub mod url;

use std::fmt;

pub use arena::{Observation, Observations, Saying, Seen, Value};
pub use hidden::Hidden;
use path::Path;

/// Why a value is not of its kind; the text completes "`value`: kind: ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How values of a kind are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The canonical bytes are equal.
    Equal,
    /// An address lies inside a network.
    Prefix,
    /// A name is the listed one or lies below it, on a label boundary.
    AtOrBelow,
    /// The listed bytes occur anywhere in the value.
    Contained,
}

/// A kind of value: one static row.
pub struct Kind {
    /// Its name in feeds and in `alert.context.ioc[].type`.
    pub name: &'static str,
    /// How it is looked up.
    pub shape: Shape,
    /// Appends the canonical form of a text, as a feed writes it or as the wire shows it. Nothing is appended on refusal.
    pub canonical: fn(&[u8], &mut Vec<u8>) -> Result<(), Refused>,
    /// The canonical form as a person reads it; canonical again gives the same bytes.
    pub text: fn(&[u8]) -> String,
    /// Place in [`KINDS`].
    pub index: u8,
}

impl Kind {
    /// Appends the canonical form of what the wire shows. As [`Kind::canonical`], but a name that no feed may list because of
    /// a label keeps what is below it: that may be listed with all above.
    pub fn seen(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        (self.canonical)(bytes, out).or_else(|refused| {
            let is_name = domain::KINDS.contains(&self);
            if is_name && domain::push_tail(bytes, out) { Ok(()) } else { Err(refused) }
        })
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl Eq for Kind {}

/// Every kind; a new one is a file and a row here.
pub static KINDS: [&Kind; 14] = [
    &address::IP,
    &address::CIDR,
    &domain::DOMAIN,
    &domain::DOMAIN_SUFFIX,
    &url::URL,
    &digest::SHA256,
    &digest::JA3,
    &digest::MD5,
    &digest::SHA1,
    &digest::CERT_SHA1,
    &digest::CERT_SHA256,
    &plain::USER_AGENT,
    &plain::JA4,
    &pattern::PATTERN,
];

/// The kind with this name in feeds.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}

/// How a field's value is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Bytes of the wire, printed as a JSON string with escapes for what is not UTF-8.
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// An address: raw bytes are its 4 or 16 bytes.
    Address,
}

/// A named place where values are seen: a static row in the parser's file.
#[derive(Debug)]
pub struct Field {
    /// The name an alert gives as `seen_in`: `dns.rrname`, `tls.sni`.
    pub name: &'static str,
    /// Where EVE puts it: `dns.queries[].rrname`; `[]` is a list of objects, a trailing `[]` a list of values.
    pub path: Path,
    /// How it is printed.
    pub form: Form,
    /// The kinds that its values are looked up as; empty for mere context. All rows here share one canonical form.
    pub kinds: &'static [&'static Kind],
    /// Whether this field begins a new object of the list in its path.
    pub opens: bool,
}

impl Field {
    /// Context: printed, never looked up.
    pub const fn plain(name: &'static str, form: Form) -> Self {
        Field { name, path: Path::of(name), form, kinds: &[], opens: false }
    }

    /// A text that is looked up as `kinds`.
    pub const fn sought(name: &'static str, kinds: &'static [&'static Kind]) -> Self {
        Field { name, path: Path::of(name), form: Form::Text, kinds, opens: false }
    }

    /// The same field at another place of the EVE record.
    pub const fn at(mut self, path: &'static str) -> Self {
        self.path = Path::of(path);
        self
    }

    /// The same field, beginning a new object of its list.
    pub const fn opening(mut self) -> Self {
        self.opens = true;
        self
    }

    /// The same field with addresses for values.
    pub const fn address(mut self) -> Self {
        self.form = Form::Address;
        self
    }
}

/// A kind of protocol event: the EVE `event_type` and, where they differ, the `app_proto`.
#[derive(Debug)]
pub struct Event {
    /// `dns`, `http`, `tls`, `fileinfo`, `flow`.
    pub name: &'static str,
    /// What EVE calls the protocol that it was seen in; `None`: the flow says.
    pub app_proto: Option<&'static str>,
}

/// Which end of a conversation spoke: the one that asks is the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Towards the server.
    Client,
    /// Towards the client.
    Server,
}

impl Side {
    /// The other end.
    pub const fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    /// 0 for the client, 1 for the server: an index into per-direction pairs.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How far a contact went. Later stages are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A packet that asks for nothing yet (datagrams one way, a first SYN).
    #[default]
    Attempted,
    /// RST in answer.
    Refused,
    /// A name was asked for.
    Asked,
    /// The name does not exist.
    Nxdomain,
    /// The question was answered.
    Answered,
    /// Both sides shook hands, or answered each other's datagrams.
    Established,
    /// An application handshake was seen (TLS).
    Handshake,
    /// Application bytes flowed.
    Data,
}

impl Stage {
    /// The word in an alert.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Attempted => "attempted",
            Stage::Refused => "refused",
            Stage::Asked => "asked",
            Stage::Nxdomain => "nxdomain",
            Stage::Answered => "answered",
            Stage::Established => "established",
            Stage::Handshake => "handshake",
            Stage::Data => "data",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts that look like values: every kind gets some that it takes.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "[A-Za-z0-9_-]{1,9}(\\.[a-zA-Z0-9]{1,5}){0,4}\\.?",
            "[hH]ttps?://([a-z]{1,3}@)?[A-Za-z.:\\[\\]0-9]{1,12}(:[0-9]{0,5})?[/?#]?[ -~]{0,12}",
            "([a-z가-힣éßＡ-Ｚ]{1,6}[.。]){1,3}[a-z한국]{2,5}",
            "https?://[a-z가-힣üＡ-Ｚ]{1,6}[.。．]{1,2}[a-z]{2}(:[0-9]{1,4})?/[a-z가-힣]{0,4}",
            "(hex:)?[0-9a-f ]{1,8}",
            "[ -~가-힣]{0,6}(\\\\x[0-9a-f]{2}){0,3}",
            "[0-9a-fA-F]{32}",
            "[0-9a-fA-F]{64}",
            "[0-9a-f:.]{2,20}(/[0-9]{1,3})?",
            any::<u32>().prop_map(|bits| std::net::Ipv4Addr::from(bits).to_string()),
            any::<u8>().prop_map(|bits| format!("{}.0.0.0/8", bits)),
            any::<u16>().prop_map(|bits| format!("2001:{bits:X}::/32")),
        ]
        .prop_map(String::into_bytes)
        .boxed()
        .prop_union(prop::collection::vec(any::<u8>(), 0..80).boxed())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_canonical_form_of_every_kind_is_its_own_canonical_form(text in texts()) {
            for kind in KINDS {
                let mut once = b"kept".to_vec();
                if (kind.canonical)(&text, &mut once).is_err() {
                    prop_assert_eq!(&once, b"kept", "{} left something behind", kind.name);
                    continue;
                }
                let mut twice = b"kept".to_vec();
                let spelled = (kind.text)(&once[4..]);
                prop_assert_eq!((kind.canonical)(spelled.as_bytes(), &mut twice), Ok(()), "{} {}", kind.name, spelled);
                prop_assert_eq!(once, twice, "{} {}", kind.name, spelled);
            }
        }
    }

    #[test]
    fn kinds_stand_at_their_index_and_have_names_of_their_own() {
        for (at, row) in KINDS.iter().enumerate() {
            assert_eq!(usize::from(row.index), at);
            assert_eq!(kind(row.name), Some(*row));
        }
    }
}
