//! IPv6 with its extension headers (RFC 8200).

use super::fragment::Cut;
use super::{Fate, Malformed, Next, Peeling};
use crate::limits::EXTENSIONS_MAX;

pub(super) const HEADER_BYTES: usize = 40;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
pub(super) const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;

/// A header whose length fits in what is there.
pub(super) fn is_likely(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return false };
    head[0] >> 4 == 6 && usize::from(u16::from_be_bytes([head[4], head[5]])) <= bytes.len() - HEADER_BYTES
}

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(HEADER_BYTES, Malformed::Ipv6Short)?;
    if head[0] >> 4 != 6 {
        return Err(Malformed::Ipv6Version.into());
    }
    match usize::from(u16::from_be_bytes([head[4], head[5]])) {
        0 => {} // a jumbogram (RFC 2675) or offload: all that is there
        len => peeling.limit(len),
    }
    peeling.packet.source.copy_from_slice(&head[8..24]);
    peeling.packet.destination.copy_from_slice(&head[24..40]);
    extensions(peeling, head[6])
}

/// Walks the extension headers to the transport, or to a fragment.
fn extensions(peeling: &mut Peeling<'_>, first: u8) -> Result<Next, Fate> {
    let mut kind = first;
    for _ in 0..EXTENSIONS_MAX {
        let short = Malformed::Ipv6Extension;
        match kind {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY => {
                let head = peeling.take(8, short)?;
                peeling.take(usize::from(head[1]) * 8, short)?;
                kind = head[0];
            }
            AUTHENTICATION => {
                kind = authenticated(peeling)?;
            }
            FRAGMENT => {
                let head = peeling.take(8, short)?;
                let field = u16::from_be_bytes([head[2], head[3]]);
                kind = head[0];
                // RFC 6946: an atomic fragment is whole in itself
                if field & 0xFFF9 != 0 {
                    return Ok(Next::Fragment(cut(peeling, head, field)));
                }
            }
            _ => {
                peeling.packet.protocol = kind;
                return Ok(Next::Transport);
            }
        }
    }
    Err(Malformed::TooManyHeaders.into())
}

/// Takes an authentication header (RFC 4302, 2); says what it protects.
pub(super) fn authenticated(peeling: &mut Peeling<'_>) -> Result<u8, Fate> {
    let short = Malformed::AuthenticationShort;
    let head = peeling.take(8, short)?; // counted in words of 4 bytes, less two
    peeling.take(usize::from(head[1]) * 4, short)?;
    Ok(head[0])
}

fn cut(peeling: &mut Peeling<'_>, head: &[u8], field: u16) -> Cut {
    peeling.packet.protocol = head[0];
    let id = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    Cut { id, offset: field & 0xFFF8, more: field & 1 != 0 }
}
