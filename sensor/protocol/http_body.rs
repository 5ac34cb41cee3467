//! The body of an HTTP/1 message (RFC 9112 sections 6 and 7): where it ends, how long it is, its digest.
//!
//! In: contiguous bytes, in as long runs as they come. Out: how many belong to the body; its size and SHA-256 at its
//! end. Content codings stay as sent. Never here: a copy of a body.

use ring::digest::{Context, SHA256};

use super::ja3::hex_digit;
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
    digest: Option<Context>,
    size: u64,
    gaps: bool,
    damaged: bool,
}

impl Body {
    pub(super) fn new(framing: Framing, digested: bool) -> Self {
        let digest = digested.then(|| Context::new(&SHA256));
        Body { framing, digest, size: 0, gaps: false, damaged: false }
    }

    /// Reads on; gives how many bytes were the body's. Fewer than offered: it has ended, or it needs more to go on.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.framing {
                Framing::Length(left) => self.run(left, rest, Framing::Length, Framing::Ended),
                Framing::Chunk(left) => self.run(left, rest, Framing::Chunk, Framing::ChunkEnd),
                Framing::Close => self.data(rest),
                Framing::ChunkSize | Framing::ChunkEnd | Framing::Trailer => self.line(rest),
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
        self.digest = None;
        self.framing = match self.framing {
            Framing::Close => Framing::Close,
            Framing::Length(left) if 0 < len && len < left => Framing::Length(left - len),
            Framing::Length(left) if len == left => Framing::Ended,
            Framing::Chunk(left) if 0 < len && len < left => Framing::Chunk(left - len),
            Framing::Chunk(left) if 0 < len && len == left => Framing::ChunkEnd,
            _ => return false,
        };
        self.size = self.size.saturating_add(len);
        true
    }

    pub(super) fn has_ended(&self) -> bool {
        self.framing == Framing::Ended
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn has_gaps(&self) -> bool {
        self.gaps
    }

    /// Whether all of it was seen; one that ends with the connection has ended whenever nothing more comes, and trailers
    /// are no part of it.
    pub(super) fn is_whole(&self) -> bool {
        !self.gaps && !self.damaged && matches!(self.framing, Framing::Ended | Framing::Close | Framing::Trailer)
    }

    /// The digest of a whole body in lower-case hexadecimal.
    pub(super) fn sha256(&mut self) -> Option<[u8; 64]> {
        let whole = self.is_whole();
        let digest = self.digest.take().filter(|_| whole)?.finish();
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(digest.as_ref()) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        Some(hex)
    }

    fn data(&mut self, bytes: &[u8]) -> usize {
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        self.size = self.size.saturating_add(bytes.len() as u64);
        bytes.len()
    }

    /// A run of known length: what is left of it is `on`, behind it comes `then`.
    fn run(&mut self, left: u64, bytes: &[u8], on: fn(u64) -> Framing, then: Framing) -> usize {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let taken = self.data(&bytes[..len]);
        let left = left - taken as u64;
        self.framing = if left == 0 { then } else { on(left) };
        taken
    }

    /// A line of the chunked coding; 0 if its end is not there yet.
    fn line(&mut self, bytes: &[u8]) -> usize {
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
                // Announced as chunked but is not: clients show it as it is.
                None if self.size == 0 => {
                    self.framing = Framing::Close;
                    return self.data(bytes);
                }
                None => {
                    self.damage();
                    return 0;
                }
            },
            // A chunk with no line end behind it: its successor's size stands here already.
            Framing::ChunkEnd => {
                self.framing = Framing::ChunkSize;
                return self.line(bytes);
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

/// Hexadecimal digits, then perhaps blanks and extensions (RFC 9112 section 7.1.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    u64::from_str_radix(std::str::from_utf8(&line[..end]).ok()?, 16).ok()
}
