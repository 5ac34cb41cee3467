//! The body of an HTTP/1 message (RFC 9112 sections 6 and 7): where it ends, how long it is, its digest.
//!
//! In: contiguous bytes, in as long runs as they come. Out: how many belong to the body; its content, chunking undone, to
//! [`Content`]. Never here: a copy of a body.

use super::digests::Digested;
use super::http_coding::{Allowance, Trouble};
use super::http_content::Content;
use crate::limits::HTTP_LINE_BYTES_MAX;

/// How a body says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// This many bytes are still to come.
    Length(u64),
    /// Until the connection closes.
    Close,
    /// A line with a chunk's size comes next.
    ChunkSize,
    /// This many bytes of a chunk are still to come.
    Chunk(u64),
    /// The line end behind a chunk comes next.
    ChunkEnd,
    /// Trailer lines until an empty one.
    Trailer,
    /// It has ended.
    Ended,
}

/// A body being read.
pub(super) struct Body {
    framing: Framing,
    content: Content,
    is_empty: bool,
    gaps: bool,
    damaged: bool,
}

impl Body {
    pub(super) fn new(framing: Framing, content: Content) -> Self {
        Body { framing, content, is_empty: true, gaps: false, damaged: false }
    }

    /// Reads on; gives how many bytes were the body's. Fewer than offered: it has ended, or it needs more to go on.
    pub(super) fn read(&mut self, bytes: &[u8], allowance: &mut Allowance) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.framing {
                Framing::Length(left) => self.run(left, rest, allowance, Framing::Length, Framing::Ended),
                Framing::Chunk(left) => self.run(left, rest, allowance, Framing::Chunk, Framing::ChunkEnd),
                Framing::Close => self.data(rest, allowance),
                Framing::ChunkSize | Framing::ChunkEnd | Framing::Trailer => self.line(rest, allowance),
                Framing::Ended => 0,
            };
            rest = rest.get(taken..).unwrap_or_default();
            if taken == 0 {
                break;
            }
        }
        bytes.len() - rest.len()
    }

    /// Bytes that are missing; whether it knows how to go on behind them.
    pub(super) fn gap(&mut self, len: u64) -> bool {
        self.gaps = true;
        self.is_empty = false;
        self.framing = match self.framing {
            Framing::Close => Framing::Close,
            Framing::Length(left) if 0 < len && len < left => Framing::Length(left - len),
            Framing::Length(left) if len == left => Framing::Ended,
            Framing::Chunk(left) if 0 < len && len < left => Framing::Chunk(left - len),
            Framing::Chunk(left) if 0 < len && len == left => Framing::ChunkEnd,
            _ => {
                self.content.gap(0);
                return false;
            }
        };
        self.content.gap(len);
        true
    }

    pub(super) fn has_ended(&self) -> bool {
        self.framing == Framing::Ended
    }

    /// Bytes of its content; see [`Content::size`].
    pub(super) fn size(&self) -> u64 {
        self.content.size()
    }

    pub(super) fn has_gaps(&self) -> bool {
        self.gaps
    }

    /// Whether all of it was seen; one that ends with the connection has ended whenever nothing more comes, and trailers
    /// are no part of it.
    pub(super) fn is_whole(&self) -> bool {
        let ended = matches!(self.framing, Framing::Ended | Framing::Close | Framing::Trailer);
        ended && !self.gaps && !self.damaged && self.content.trouble().is_none()
    }

    /// The digests of a whole body.
    pub(super) fn digested(&mut self) -> Option<Digested> {
        if self.is_whole() { self.content.digested() } else { None }
    }

    /// See [`Content::held`].
    pub(super) fn held(&self) -> usize {
        self.content.held()
    }

    /// See [`Content::give_up`].
    pub(super) fn give_up(&mut self, trouble: Trouble, allowance: &mut Allowance) {
        self.content.give_up(trouble, allowance);
    }

    fn data(&mut self, bytes: &[u8], allowance: &mut Allowance) -> usize {
        self.is_empty = false;
        self.content.data(bytes, allowance);
        bytes.len()
    }

    /// A run of known length: what is left of it is `on`, behind it comes `then`.
    fn run(
        &mut self,
        left: u64,
        bytes: &[u8],
        allowance: &mut Allowance,
        on: fn(u64) -> Framing,
        then: Framing,
    ) -> usize {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let taken = self.data(&bytes[..len], allowance);
        let left = left - taken as u64;
        self.framing = if left == 0 { then } else { on(left) };
        taken
    }

    /// A line of the chunked coding; 0 if its end is not there yet.
    fn line(&mut self, bytes: &[u8], allowance: &mut Allowance) -> usize {
        if self.framing == Framing::ChunkSize && self.is_empty && !begins_chunk(bytes) {
            // Announced as chunked but is not: clients show it as it is.
            self.framing = Framing::Close;
            return self.data(bytes, allowance);
        }
        let Some(at) = bytes.iter().position(|&byte| byte == b'\n') else {
            if bytes.len() > HTTP_LINE_BYTES_MAX {
                self.damage();
            }
            return 0;
        };
        let line = bytes[..at].trim_ascii();
        match self.framing {
            Framing::Trailer if line.is_empty() => self.framing = Framing::Ended,
            Framing::ChunkEnd if line.is_empty() => self.framing = Framing::ChunkSize,
            Framing::ChunkSize => match chunk_size(line) {
                Some(0) => self.framing = Framing::Trailer,
                Some(size) => self.framing = Framing::Chunk(size),
                None if self.is_empty => {
                    self.framing = Framing::Close;
                    return self.data(bytes, allowance);
                }
                None => {
                    self.damage();
                    return 0;
                }
            },
            // A chunk with no line end behind it: its successor's size stands here already.
            Framing::ChunkEnd => {
                self.framing = Framing::ChunkSize;
                return self.line(bytes, allowance);
            }
            _ => {}
        }
        at + 1
    }

    fn damage(&mut self) {
        self.damaged = true;
        self.framing = Framing::Ended;
    }
}

/// A digit, perhaps behind blanks.
fn begins_chunk(bytes: &[u8]) -> bool {
    bytes.iter().find(|&&byte| byte != b' ' && byte != b'\t').is_none_or(u8::is_ascii_hexdigit)
}

/// Hexadecimal digits, then perhaps blanks and extensions (RFC 9112 section 7.1.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    u64::from_str_radix(std::str::from_utf8(&line[..end]).ok()?, 16).ok()
}
