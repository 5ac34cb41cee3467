//! IPv4 (RFC 791).

use super::fragment::Cut;
use super::{Address, Fate, Malformed, Next, Peeling};

pub(super) const HEADER_BYTES: usize = 20;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1FFF;

/// Four bytes as ::ffff:a.b.c.d.
pub(super) fn mapped(four: &[u8]) -> Address {
    let mut out = [0; 16];
    out[10] = 0xFF;
    out[11] = 0xFF;
    out[12..].copy_from_slice(&four[..4]);
    out
}

/// A header that makes sense, and bytes enough for it; the rest of the packet may be cut.
pub(super) fn is_likely(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return false };
    let header_len = usize::from(head[0] & 0x0F) * 4;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    head[0] >> 4 == 4 && (HEADER_BYTES..=bytes.len()).contains(&header_len) && total >= header_len
}

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let captured = peeling.bytes.len();
    let head = peeling.take(HEADER_BYTES, Malformed::Ipv4Short)?;
    let header_len = usize::from(head[0] & 0x0F) * 4;
    if head[0] >> 4 != 4 || header_len < HEADER_BYTES {
        return Err(Malformed::Ipv4Header.into());
    }
    let total = match usize::from(u16::from_be_bytes([head[2], head[3]])) {
        0 => captured, // segmentation offload leaves it to the hardware
        total if total < header_len => return Err(Malformed::Ipv4TotalLength.into()),
        total => total,
    };
    peeling.take(header_len - HEADER_BYTES, Malformed::Ipv4Short)?;
    peeling.limit(total - header_len.min(total));
    peeling.packet.source = mapped(&head[12..16]);
    peeling.packet.destination = mapped(&head[16..20]);
    peeling.packet.protocol = head[9];
    let fragment = u16::from_be_bytes([head[6], head[7]]);
    if fragment & (MORE_FRAGMENTS | OFFSET) == 0 {
        return Ok(Next::Transport);
    }
    Ok(Next::Fragment(Cut {
        id: u32::from(u16::from_be_bytes([head[4], head[5]])),
        offset: (fragment & OFFSET) * 8,
        more: fragment & MORE_FRAGMENTS != 0,
    }))
}
