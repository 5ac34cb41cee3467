//! Frames as seen on a link, up to 256 at once, with time, true length and link type.
//!
//! In: capture files, packed or plain, pipes, and links. Out: [`Batch`]es of [`Frame`]s that borrow the source's chunk. Never here: a header is looked at.

#[cfg(feature = "libpcap")]
mod af_xdp;
pub mod file;
mod followed;
mod foreign;
#[cfg(feature = "libpcap")]
mod keeper;
#[cfg(feature = "libpcap")]
mod libpcap;
#[cfg(feature = "libpcap")]
pub mod live;
mod packed;
mod pcap;
mod pcapng;
pub mod pieces;
pub mod relay;
mod remembered;
#[cfg(test)]
mod samples;
pub mod watched;

use crate::time::Timestamp;

/// What the first bytes of a frame are: the `LINKTYPE_` number of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link(pub u16);

impl Link {
    /// IEEE 802.3.
    pub const ETHERNET: Link = Link(1);

    /// The number that files use for what libpcap calls this on a link: they differ for raw IP alone.
    pub const fn of_datalink(datalink: i32) -> Link {
        match datalink {
            12 | 14 => Link(101),
            other => Link(other as u16),
        }
    }
}

/// Bytes as seen on a link.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its number in the capture, from 1.
    pub number: u64,
    /// When it was seen.
    pub time: Timestamp,
    /// What was kept of it.
    pub bytes: &'a [u8],
    /// How long it was on the link.
    pub length: u32,
    /// What its first bytes are.
    pub link: Link,
}

/// Where a frame lies in the source's chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) length: u32,
    pub(crate) time: Timestamp,
    pub(crate) link: Link,
}

/// Where the bytes of a batch lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bytes<'a> {
    /// Together, each record where it says.
    Chunk(&'a [u8]),
    /// In the frames into which the kernel put them; records say how much of each is kept.
    #[cfg(feature = "libpcap")]
    Packets(::af_xdp::Packets<'a>),
}

/// Frames handed out together; none outlives the next poll.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    bytes: Bytes<'a>,
    records: &'a [Record],
    first: u64,
    /// By which of the ports that can shunt flows they came; 0: none.
    port: u8,
}

impl<'a> Batch<'a> {
    /// Nothing.
    pub(crate) const NONE: Batch<'static> = Batch { bytes: Bytes::Chunk(&[]), records: &[], first: 0, port: 0 };

    /// By which of the ports that can shunt flows they came; 0: none.
    pub fn port(&self) -> u8 {
        self.port
    }

    /// The same frames, numbered on from `before`: sources that are read side by side share no number.
    pub fn behind(self, before: u64) -> Self {
        Batch { first: self.first + before, ..self }
    }

    /// How many frames.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether the source has nothing more.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The frame at this place of the batch.
    #[inline]
    pub fn frame(&self, at: usize) -> Frame<'a> {
        let record = &self.records[at];
        Frame {
            number: self.first + at as u64,
            time: record.time,
            bytes: match self.bytes {
                Bytes::Chunk(chunk) => &chunk[record.start..record.start + record.len],
                #[cfg(feature = "libpcap")]
                Bytes::Packets(packets) => &packets.get(at)[..record.len],
            },
            length: record.length,
            link: record.link,
        }
    }

    /// The frame at this place as a batch of its own.
    pub fn alone(&self, at: usize) -> Batch<'a> {
        let bytes = match self.bytes {
            Bytes::Chunk(chunk) => Bytes::Chunk(chunk),
            // its record says that it begins where it begins
            #[cfg(feature = "libpcap")]
            Bytes::Packets(packets) => Bytes::Chunk(packets.get(at)),
        };
        Batch { bytes, records: &self.records[at..=at], first: self.first + at as u64, port: self.port }
    }

    /// All frames, in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'a>> + use<'a> {
        let batch = *self;
        (0..batch.len()).map(move |at| batch.frame(at))
    }
}
