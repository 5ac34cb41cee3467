//! The arena of one batch's observations: what parsers said, with the canonical form of what is looked up beside it.
//!
//! In: fields and their values, as parsers say them. Out: [`Observations`], which borrows nothing, is cleared and never
//! freed. Never here: a protocol, an indicator.

use crate::leash::Leash;

use super::{Event, Field, Form, Hidden, KINDS, Kind, Side, Stage, address};

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

/// A seen value as policy looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// Where it was seen.
    pub field: &'static Field,
    /// As it was on the wire; see [`Observations::raw`].
    pub raw: &'a [u8],
    /// As it is looked up; see [`Observations::canonical`].
    pub canonical: &'a [u8],
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
    unsought: u64, // bit n: nobody looks up values of the kind at n
    /// Of the worker that reads, where somebody holds its other end.
    leash: Option<Leash>,
}

impl Observations {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.seen.clear();
        self.list.clear();
    }

    /// From now on, values are made canonical only where one of their kinds is sought. Unsaid, all kinds are.
    pub fn seek_only(&mut self, sought: impl Fn(&'static Kind) -> bool) {
        self.unsought = KINDS.iter().filter(|kind| !sought(kind)).fold(0, |bits, kind| bits | 1 << kind.index);
    }

    fn seeks(&self, field: &Field) -> bool {
        field.kinds.iter().any(|kind| self.unsought >> kind.index & 1 == 0)
    }

    /// Whoever reads for this is held by that leash.
    pub fn on(&mut self, leash: Leash) {
        self.leash = Some(leash);
    }

    /// Called where a reader spends work: comes back, unless that takes too long.
    #[inline]
    pub fn heed(&self) {
        if let Some(leash) = &self.leash {
            leash.heed();
        }
    }

    /// Begins an observation; what is said next belongs to it.
    pub fn begin(&mut self, event: &'static Event, side: Side) -> Saying<'_> {
        self.heed();
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

    /// The canonical form that is looked up; empty when the value is none of its kind, has none, or is not sought.
    pub fn canonical(&self, seen: &Seen) -> &[u8] {
        self.piece(seen.canonical)
    }

    /// A field's value with its place.
    pub fn value(&self, seen: &Seen) -> Value<'_> {
        Value { field: seen.field, raw: self.raw(seen), canonical: self.canonical(seen) }
    }

    /// Says for all observations from `first` on which scene they belong to.
    pub fn set_scene(&mut self, first: usize, scene: u32) {
        for observation in &mut self.list[first..] {
            observation.scene = scene;
        }
    }

    /// How many sought values were none of their kind, ever.
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
        if let Some(kind) = field.kinds.first().filter(|_| self.out.seeks(field)) {
            let start = self.out.bytes.len() as u32;
            match kind.seen(bytes, &mut self.out.bytes) {
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
        if self.out.seeks(field) {
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
    use super::super::{domain, plain};
    use super::*;

    #[test]
    fn what_nobody_seeks_is_kept_as_it_is_and_not_made_canonical() {
        static EVENT: Event = Event { name: "http", app_proto: None };
        static AGENT: Field = Field::sought("http.http_user_agent", &[&plain::USER_AGENT]);
        static HOST: Field = Field::sought("http.hostname", &domain::KINDS);
        let mut out = Observations::default();
        out.seek_only(|kind| *kind == domain::DOMAIN_SUFFIX);
        out.begin(&EVENT, Side::Client).field(&AGENT, b"").field(&AGENT, b"UA").field(&HOST, b"A.Example");
        let fields = out.fields(&out.list()[0]).to_vec();
        assert_eq!((out.canonical(&fields[1]), out.raw(&fields[1])), (&b""[..], &b"UA"[..]));
        assert_eq!(out.canonical(&fields[2]), b"a.example");
        assert_eq!(out.refused(), 0, "an empty user agent is none, if somebody asks");
        out.seek_only(|_| true);
        out.begin(&EVENT, Side::Client).field(&AGENT, b"").field(&AGENT, b"UA");
        let fields = out.fields(&out.list()[1]);
        assert_eq!((out.canonical(&fields[1]), out.refused()), (&b"UA"[..], 1));
    }
}
