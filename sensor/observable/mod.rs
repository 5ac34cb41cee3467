//! What a parser saw: observations with their fields, each value in the one canonical form of its kind.
//!
//! In: raw bytes from a parser or a feed. Out: [`Observations`], one arena per batch that borrows nothing.
//! Never here: an indicator, a protocol, a clock.

pub mod address;
pub mod digest;
pub mod domain;
mod hidden;
pub mod plain;
pub mod url;

pub use hidden::Hidden;
use std::fmt;

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
pub static KINDS: [&Kind; 13] = [
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
    pub path: &'static str,
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
        Field { name, path: name, form, kinds: &[], opens: false }
    }

    /// A text that is looked up as `kinds`.
    pub const fn sought(name: &'static str, kinds: &'static [&'static Kind]) -> Self {
        Field { name, path: name, form: Form::Text, kinds, opens: false }
    }

    /// The same field at another place of the EVE record.
    pub const fn at(mut self, path: &'static str) -> Self {
        self.path = path;
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

#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    start: u32,
    len: u32,
}

/// A field as it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its row.
    pub field: &'static Field,
    raw: Piece,       // of a number: the value's low and high half
    canonical: Piece, // empty: not looked up
}

/// One protocol event.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// Its row.
    pub event: &'static Event,
    /// Who spoke.
    pub side: Side,
    /// How far it says that the contact went, if it says so.
    pub stage: Option<Stage>,
    /// The scene it was seen in, an index that the worker gives meaning to (packet, time, flow).
    pub scene: u32,
    first: u32,
    last: u32,
}

/// All observations of one batch: an arena that is cleared, never freed.
#[derive(Debug, Default)]
pub struct Observations {
    bytes: Vec<u8>,
    seen: Vec<Seen>,
    list: Vec<Observation>,
    refused: u64,
    /// What could not be read; never cleared.
    pub hidden: Hidden,
}

impl Observations {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.seen.clear();
        self.list.clear();
    }

    /// Begins an observation; what is said next belongs to it.
    pub fn begin(&mut self, event: &'static Event, side: Side) -> Saying<'_> {
        let at = self.seen.len() as u32;
        self.list.push(Observation { event, side, stage: None, scene: u32::MAX, first: at, last: at });
        Saying { out: self }
    }

    /// How many observations there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The observations, in the order in which they were made.
    pub fn list(&self) -> &[Observation] {
        &self.list
    }

    /// The fields of an observation.
    pub fn fields(&self, of: &Observation) -> &[Seen] {
        &self.seen[of.first as usize..of.last as usize]
    }

    /// A field's bytes as they were on the wire; empty for numbers and flags.
    pub fn raw(&self, seen: &Seen) -> &[u8] {
        match seen.field.form {
            Form::Number | Form::Flag => &[],
            Form::Text | Form::Address => self.piece(seen.raw),
        }
    }

    /// A number or flag.
    pub fn number(&self, seen: &Seen) -> u64 {
        u64::from(seen.raw.start) | u64::from(seen.raw.len) << 32
    }

    /// The canonical form that is looked up; empty when the value is none of its kind or has none.
    pub fn canonical(&self, seen: &Seen) -> &[u8] {
        self.piece(seen.canonical)
    }

    /// Says for all observations from `first` on which scene they belong to.
    pub fn set_scene(&mut self, first: usize, scene: u32) {
        for observation in &mut self.list[first..] {
            observation.scene = scene;
        }
    }

    /// How many values were none of their kind, ever.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn piece(&self, piece: Piece) -> &[u8] {
        &self.bytes[piece.start as usize..(piece.start + piece.len) as usize]
    }

    fn keep(&mut self, bytes: &[u8]) -> Piece {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        Piece { start, len: bytes.len() as u32 }
    }

    fn push(&mut self, seen: Seen) {
        self.seen.push(seen);
        if let Some(observation) = self.list.last_mut() {
            observation.last = self.seen.len() as u32;
        }
    }
}

/// An observation being made: `out.begin(&DNS, side).field(&RRNAME, bytes).number(&ID, 7)`.
pub struct Saying<'a> {
    out: &'a mut Observations,
}

impl Saying<'_> {
    /// A value as the wire spelled it; if its field is sought, its canonical form is made and kept beside it.
    pub fn field(&mut self, field: &'static Field, bytes: &[u8]) -> &mut Self {
        let raw = self.out.keep(bytes);
        let mut canonical = Piece::default();
        if let Some(kind) = field.kinds.first() {
            let start = self.out.bytes.len() as u32;
            match (kind.canonical)(bytes, &mut self.out.bytes) {
                Ok(()) => canonical = Piece { start, len: self.out.bytes.len() as u32 - start },
                Err(_) => self.out.refused += 1,
            }
        }
        self.out.push(Seen { field, raw, canonical });
        self
    }

    /// An address of 4 or 16 bytes; other lengths are left out.
    pub fn address(&mut self, field: &'static Field, bytes: &[u8]) -> &mut Self {
        let Some(address) = address::from_bytes(bytes) else { return self };
        let raw = self.out.keep(bytes);
        let mut canonical = Piece::default();
        if !field.kinds.is_empty() {
            canonical = self.out.keep(&address::canonical_of(address));
        }
        self.out.push(Seen { field, raw, canonical });
        self
    }

    /// How far the contact went, by this event.
    pub fn stage(&mut self, stage: Stage) -> &mut Self {
        if let Some(observation) = self.out.list.last_mut() {
            observation.stage = Some(stage);
        }
        self
    }

    /// A number.
    pub fn number(&mut self, field: &'static Field, value: u64) -> &mut Self {
        let raw = Piece { start: value as u32, len: (value >> 32) as u32 };
        self.out.push(Seen { field, raw, canonical: Piece::default() });
        self
    }

    /// A flag.
    pub fn flag(&mut self, field: &'static Field, value: bool) -> &mut Self {
        self.number(field, u64::from(value))
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
