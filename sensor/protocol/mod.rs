//! Readers of conversations: contiguous bytes in, observations out.
//!
//! A protocol is a row: how it is recognised by its first bytes, on any port, and how it is read. Readers never buffer
//! (what they leave is offered again with more behind it), never log, know no indicator, and are told of gaps.

pub mod dns;
pub mod http;
mod http_body;
mod http_head;
mod ja3;
pub mod tls;

use crate::observable::{Observations, Side};

/// What a reader made of the bytes that it was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// It has used this many; the rest is offered again when more has come. 0: it needs more than this.
    Took(usize),
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
    /// Digest bodies with SHA-256: the set holds some, or events show them.
    pub sha256: bool,
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
    /// As good as new for another conversation; a state that owns memory may keep some of it.
    fn clear(&mut self) {
        *self = Self::default();
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
            const ALL: &'static [Spoken] = &[$(Spoken::$room),+];

            /// Its EVE `app_proto`.
            pub fn name(self) -> &'static str {
                match self { $(Spoken::$room => <$state as Stream>::NAME),+ }
            }

            fn verdict(self, bytes: &[u8], ports: (u16, u16)) -> Verdict {
                match self { $(Spoken::$room => <$state as Stream>::recognise(bytes, ports)),+ }
            }
        }

        /// The states of all conversations of one shard.
        #[derive(Default)]
        pub struct Conversations { $($room: Slab<$state>),+ }

        impl Conversations {
            /// A new conversation; its handle is given back with [`Conversations::close`].
            pub fn open(&mut self, spoken: Spoken) -> u32 {
                match spoken { $(Spoken::$room => self.$room.insert()),+ }
            }

            /// Ends a conversation.
            pub fn close(&mut self, spoken: Spoken, handle: u32) {
                match spoken { $(Spoken::$room => self.$room.remove(handle)),+ }
            }

            /// See [`Stream::read`].
            pub fn read(&mut self, spoken: Spoken, handle: u32, side: Side, bytes: &[u8], wants: Wants, out: &mut Observations) -> Read {
                match spoken { $(Spoken::$room => self.$room.at(handle).read(side, bytes, wants, out)),+ }
            }

            /// See [`Stream::gap`].
            pub fn gap(&mut self, spoken: Spoken, handle: u32, side: Side, len: u64, wants: Wants, out: &mut Observations) -> Read {
                match spoken { $(Spoken::$room => self.$room.at(handle).gap(side, len, wants, out)),+ }
            }

            /// See [`Stream::end`].
            pub fn end(&mut self, spoken: Spoken, handle: u32, side: Side, wants: Wants, out: &mut Observations) {
                match spoken { $(Spoken::$room => self.$room.at(handle).end(side, wants, out)),+ }
            }
        }
    };
}

streams! {
    dns: dns::Conversation,
    http: http::Conversation,
    tls: tls::Conversation,
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

    fn remove(&mut self, handle: u32) {
        self.states[handle as usize].clear();
        self.free.push(handle);
    }

    fn at(&mut self, handle: u32) -> &mut T {
        &mut self.states[handle as usize]
    }
}
