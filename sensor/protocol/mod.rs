//! Readers of conversations: contiguous bytes in, observations out.
//!
//! A protocol is a row: how it is recognised by its first bytes, on any port, and how it is read. Readers never buffer
//! (what they leave is offered again with more behind it), never log, know no indicator, and are told of gaps.

mod certificate;
mod digests;
pub mod dns;
mod dns_message;
pub mod http;
mod http_asked;
mod http_body;
#[cfg(test)]
mod http_coded;
mod http_coding;
mod http_content;
mod http_head;
mod http_inflate;
mod http_said;
mod ja3;
mod ja4;
pub mod openvpn;
pub mod tls;
mod tls_hello;
mod tls_say;

pub use digests::Digests;

use crate::observable::{Observations, Side};

/// What a reader made of the bytes that it was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// It has used this many; the rest is offered again when more has come. 0: it needs more than this.
    Took(usize),
    /// It has used this many, and what follows in both directions is another conversation (a tunnel, an upgrade): who
    /// speaks in it is found out anew.
    Over(usize),
    /// There is nothing more to learn from this flow: it is shunted.
    Done,
    /// It cannot make sense of this flow any more: it is shunted and counted.
    Lost,
}

/// What first bytes look like to a recogniser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not mine.
    Other,
    /// Could be mine; show me more.
    Later,
    /// Mine, and the speaker is the one who asks.
    Client,
    /// Mine, and the speaker is the one who answers.
    Server,
}

/// What the loaded set and the configuration ask of readers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wants {
    /// Digests of bodies: the set holds some of the kind, or events show them.
    pub digests: Digests,
    /// Look up answered addresses: a listed address that a name resolves to is not yet a contact with it.
    pub answers: bool,
    /// Make JA4 fingerprints: the set holds some, or events show them.
    pub ja4: bool,
    /// Read and digest certificates: the set holds some, or events show them.
    pub certificates: bool,
    /// Produce the events even where no field is sought (the event log is on).
    pub events: bool,
}

/// A protocol over datagrams. It keeps no state: each datagram speaks for itself.
pub struct Datagram {
    /// `dns`: the EVE `app_proto`.
    pub name: &'static str,
    /// Shorter datagrams are not offered.
    pub bytes_min: usize,
    /// Looks at a datagram and the two ports (speaker's first).
    pub recognise: fn(&[u8], (u16, u16)) -> Verdict,
    /// Reads one datagram whole.
    pub read: fn(&[u8], Side, Wants, &mut Observations) -> Read,
}

/// A protocol over a stream of bytes, with state from its first byte to its last.
pub trait Stream: Sized + Default {
    /// `http`: the EVE `app_proto`.
    const NAME: &'static str;
    /// Looks at the first contiguous bytes of one side and the two ports (speaker's first).
    fn recognise(bytes: &[u8], ports: (u16, u16)) -> Verdict;
    /// Reads what is contiguous of one side. It takes as much as it can in one call.
    fn read(&mut self, side: Side, bytes: &[u8], wants: Wants, out: &mut Observations) -> Read;
    /// `len` bytes of one side are missing at the place of its next byte (0: unknown how many). [`Read::Took`] goes on
    /// behind the gap; the default gives up.
    fn gap(&mut self, _side: Side, _len: u64, _wants: Wants, _out: &mut Observations) -> Read {
        Read::Lost
    }
    /// One side says no more (FIN), or the flow has ended: what is still open is said now.
    fn end(&mut self, _side: Side, _wants: Wants, _out: &mut Observations) {}
    /// After each call: what it holds beside itself is entered into the shard's books, and given back where that is too much.
    fn settle(&mut self, _books: &mut Books) {}
    /// As good as new for another conversation; a state that owns memory may keep some of it.
    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What all conversations of one shard hold beside their states, and what they had to give up.
#[derive(Debug, Default)]
pub struct Books {
    /// Bytes that decoders hold.
    decoders_bytes: usize,
    /// See there.
    counts: BodyCounts,
}

/// What became of coded bodies; each is a body without a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyCounts {
    /// Damaged: what came is not what its coding can be.
    pub damaged: u64,
    /// Bombs: they unfold into far more than came.
    pub bombs: u64,
    /// No room: too many codings, or the shard's decoders hold all that they may.
    pub coding_full: u64,
}

impl BodyCounts {
    /// Both together.
    pub fn plus(self, other: BodyCounts) -> BodyCounts {
        BodyCounts {
            damaged: self.damaged + other.damaged,
            bombs: self.bombs + other.bombs,
            coding_full: self.coding_full + other.coding_full,
        }
    }
}

/// Protocols over datagrams, asked in this order.
pub static DATAGRAMS: [&Datagram; 1] = [&dns::DATAGRAM];

/// Makes the table of stream protocols: one typed slab each, so that a flow's state costs no allocation of its own and
/// no indirection through a vtable.
macro_rules! streams {
    ($($room:ident: $state:ty),+ $(,)?) => {
        /// Which protocol a stream speaks.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Spoken { $(#[doc = stringify!($room)] $room),+ }

        impl Spoken {
            /// All of them, in the order in which they are asked; the fuzz targets are made over this table.
            pub const ALL: &'static [Spoken] = &[$(Spoken::$room),+];

            /// Its EVE `app_proto`.
            pub fn name(self) -> &'static str {
                match self { $(Spoken::$room => <$state as Stream>::NAME),+ }
            }

            /// Whether these first bytes, or what may come behind them, are not its own.
            pub fn is_excluded(self, bytes: &[u8], ports: (u16, u16)) -> bool {
                self.verdict(bytes, ports) == Verdict::Other
            }

            fn verdict(self, bytes: &[u8], ports: (u16, u16)) -> Verdict {
                match self { $(Spoken::$room => <$state as Stream>::recognise(bytes, ports)),+ }
            }
        }

        /// The states of all conversations of one shard.
        #[derive(Default)]
        pub struct Conversations { books: Books, $($room: Slab<$state>),+ }

        impl Conversations {
            /// A new conversation; its handle is given back with [`Conversations::close`].
            pub fn open(&mut self, spoken: Spoken) -> u32 {
                match spoken { $(Spoken::$room => self.$room.insert()),+ }
            }

            /// Ends a conversation.
            pub fn close(&mut self, spoken: Spoken, handle: u32) {
                match spoken { $(Spoken::$room => self.$room.remove(handle, &mut self.books)),+ }
            }

            /// What became of coded bodies.
            pub fn bodies(&self) -> BodyCounts {
                self.books.counts
            }

            /// See [`Stream::read`].
            pub fn read(&mut self, spoken: Spoken, handle: u32, side: Side, bytes: &[u8], wants: Wants, out: &mut Observations) -> Read {
                match spoken {
                    $(Spoken::$room => self.$room.with(handle, &mut self.books, |state| state.read(side, bytes, wants, out))),+
                }
            }

            /// See [`Stream::gap`].
            pub fn gap(&mut self, spoken: Spoken, handle: u32, side: Side, len: u64, wants: Wants, out: &mut Observations) -> Read {
                match spoken {
                    $(Spoken::$room => self.$room.with(handle, &mut self.books, |state| state.gap(side, len, wants, out))),+
                }
            }

            /// See [`Stream::end`].
            pub fn end(&mut self, spoken: Spoken, handle: u32, side: Side, wants: Wants, out: &mut Observations) {
                match spoken {
                    $(Spoken::$room => self.$room.with(handle, &mut self.books, |state| state.end(side, wants, out))),+
                }
            }

            /// How many are open.
            #[cfg(test)]
            pub(crate) fn open_now(&self) -> usize {
                0 $(+ self.$room.states.len() - self.$room.free.len())+
            }

            /// Bytes that their decoders hold.
            #[cfg(test)]
            pub(crate) fn decoders_bytes(&self) -> usize {
                self.books.decoders_bytes
            }
        }
    };
}

streams! {
    dns: dns::Conversation,
    http: http::Conversation,
    tls: tls::Conversation,
    openvpn: openvpn::Conversation,
}

/// What all rows together say of first bytes: the protocol and who spoke, or whether more could change it.
pub fn recognise(bytes: &[u8], ports: (u16, u16)) -> Recognised {
    let mut later = false;
    for &spoken in Spoken::ALL {
        match spoken.verdict(bytes, ports) {
            Verdict::Client => return Recognised::As(spoken, Side::Client),
            Verdict::Server => return Recognised::As(spoken, Side::Server),
            Verdict::Later => later = true,
            Verdict::Other => {}
        }
    }
    if later { Recognised::Later } else { Recognised::Nothing }
}

/// See [`recognise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// This protocol, spoken by this side.
    As(Spoken, Side),
    /// Undecided until more has come.
    Later,
    /// None of ours.
    Nothing,
}

/// States of one type, handed out by number and used again.
struct Slab<T> {
    states: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { states: Vec::new(), free: Vec::new() }
    }
}

impl<T: Stream> Slab<T> {
    fn insert(&mut self) -> u32 {
        if let Some(handle) = self.free.pop() {
            return handle;
        }
        self.states.push(T::default());
        self.states.len() as u32 - 1
    }

    fn remove(&mut self, handle: u32, books: &mut Books) {
        self.with(handle, books, T::clear);
        self.free.push(handle);
    }

    fn with<R>(&mut self, handle: u32, books: &mut Books, act: impl FnOnce(&mut T) -> R) -> R {
        let state = &mut self.states[handle as usize];
        let result = act(state);
        state.settle(books);
        result
    }
}

/// What the tests of all readers share: a conversation in, what was said of it out, one line per observation.
#[cfg(test)]
mod told {
    use super::*;
    use crate::observable::Form;

    pub(super) const ALL: Wants = Wants {
        digests: Digests { md5: false, sha1: false, sha256: true },
        events: true,
        answers: true,
        ja4: true,
        certificates: true,
    };

    /// One event of a stream.
    #[derive(Clone, Debug)]
    pub(super) enum Part {
        Bytes(Side, Vec<u8>),
        Gap(Side, u64),
    }

    pub(super) fn client(bytes: impl AsRef<[u8]>) -> Part {
        Part::Bytes(Side::Client, bytes.as_ref().to_vec())
    }

    pub(super) fn server(bytes: impl AsRef<[u8]>) -> Part {
        Part::Bytes(Side::Server, bytes.as_ref().to_vec())
    }

    /// `http server data http.status=200 ...`
    pub(super) fn lines(out: &Observations) -> Vec<String> {
        out.list()
            .iter()
            .map(|observation| {
                let side = format!("{:?}", observation.side).to_lowercase();
                let stage = observation.stage.map_or("-", |stage| stage.name());
                let mut line = format!("{} {side} {stage}", observation.event.name);
                for seen in out.fields(observation) {
                    let value = match seen.field.form {
                        Form::Number | Form::Flag => out.number(seen).to_string(),
                        Form::Address => crate::observable::address::from_bytes(out.raw(seen)).unwrap().to_string(),
                        Form::Text => out.raw(seen).escape_ascii().to_string(),
                    };
                    line.push_str(&format!(" {}={value}", seen.field.name));
                }
                line
            })
            .collect()
    }

    /// Feeds a conversation in pieces whose lengths `cuts` gives over and over (none: whole parts) and ends it.
    pub(super) fn conversation<S: Stream>(parts: &[Part], cuts: &[usize], wants: Wants) -> (Vec<String>, Read) {
        let (mut state, mut out) = (S::default(), Observations::default());
        let mut held = [Vec::new(), Vec::new()];
        let mut cuts = cuts.iter().copied().cycle();
        for part in parts {
            let (side, mut rest) = match part {
                Part::Bytes(side, bytes) => (*side, &bytes[..]),
                Part::Gap(side, len) => {
                    held[side.index()].clear();
                    match state.gap(*side, *len, wants, &mut out) {
                        Read::Took(_) => continue,
                        ended => return (lines(&out), ended),
                    }
                }
            };
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(cuts.next().unwrap_or(rest.len()).clamp(1, rest.len()));
                rest = behind;
                let held = &mut held[side.index()];
                held.extend_from_slice(piece);
                match state.read(side, held, wants, &mut out) {
                    Read::Took(taken) => drop(held.drain(..taken)),
                    ended => return (lines(&out), ended),
                }
            }
        }
        state.end(Side::Client, wants, &mut out);
        state.end(Side::Server, wants, &mut out);
        (lines(&out), Read::Took(0))
    }

    /// What is said of a conversation in whole parts.
    pub(super) fn of<S: Stream>(parts: &[Part]) -> Vec<String> {
        conversation::<S>(parts, &[], ALL).0
    }

    /// Any bytes at all, near enough to `seed` now and then to get past the first line.
    pub(super) fn any_parts(seed: &'static [u8]) -> impl proptest::strategy::Strategy<Value = Vec<Part>> {
        use proptest::prelude::*;
        let side = prop_oneof![Just(Side::Client), Just(Side::Server)];
        let noise = proptest::collection::vec(any::<u8>(), 0..300);
        let damaged = (proptest::collection::vec((0..seed.len(), any::<u8>()), 0..6), 0..=seed.len()).prop_map(
            move |(changes, end)| {
                let mut bytes = seed.to_vec();
                changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
                bytes.truncate(end);
                bytes
            },
        );
        let bytes = prop_oneof![noise, damaged.clone(), damaged];
        let part = prop_oneof![
            9 => (side.clone(), bytes).prop_map(|(side, bytes)| Part::Bytes(side, bytes)),
            1 => (side, prop_oneof![0..200u64, any::<u64>()]).prop_map(|(side, len)| Part::Gap(side, len)),
        ];
        proptest::collection::vec(part, 0..8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_decide_on_any_port() {
        assert_eq!(recognise(b"GET / HTTP/1.1\r\n", (50_000, 4444)), Recognised::As(Spoken::http, Side::Client));
        assert_eq!(recognise(b"HTTP/1.1 200 OK\r\n", (22, 50_000)), Recognised::As(Spoken::http, Side::Server));
        assert_eq!(recognise(b"\x16\x03\x01\x02\x00\x01\x00", (1, 2)), Recognised::As(Spoken::tls, Side::Client));
        assert_eq!(recognise(b"\x16\x03\x03\x00\x7a\x02\x00", (443, 2)), Recognised::As(Spoken::tls, Side::Server));
        assert_eq!(recognise(b"SSH-2.0-OpenSSH_9.6\r\n", (22, 50_000)), Recognised::Nothing);
        assert_eq!(recognise(b"\x16\x03", (1, 2)), Recognised::Later);
        assert_eq!(recognise(b"GET /a", (1, 2)), Recognised::Later);
    }

    #[test]
    fn what_only_looks_like_a_request_is_none() {
        for line in
            ["OPTIONS rtsp://h/ RTSP/1.0\r\n", "OPTIONS sip:a@h SIP/2.0\r\n", "PRI * HTTP/2.0\r\n", "EHLO a\r\n"]
        {
            assert_eq!(recognise(line.as_bytes(), (50_000, 5060)), Recognised::Nothing, "{line}");
        }
    }

    #[test]
    fn a_closed_conversation_is_as_good_as_new() {
        let (mut all, mut out) = (Conversations::default(), Observations::default());
        let first = all.open(Spoken::http);
        all.read(Spoken::http, first, Side::Client, b"GET /old HTTP/1.1\r\nHost: a.b\r\n\r\n", told::ALL, &mut out);
        all.close(Spoken::http, first);
        out.clear();
        let second = all.open(Spoken::http);
        assert_eq!(first, second);
        all.read(Spoken::http, second, Side::Server, b"HTTP/1.1 204 x\r\n\r\n", told::ALL, &mut out);
        assert_eq!(told::lines(&out), ["http server data http.protocol=HTTP/1.1 http.status=204"]);
    }
}
