//! VXLAN (RFC 7348).

use super::{Fate, Inner, Malformed, Next, Peeling};

pub(super) const PORT: u16 = 4789;
const HEADER_BYTES: usize = 8;

/// The I flag is set. RFC 7348 tells receivers to ignore the reserved bits.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES && bytes[0] & 0x08 != 0
}

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(HEADER_BYTES, Malformed::VxlanShort)?;
    let network = u32::from_be_bytes([0, head[4], head[5], head[6]]);
    Ok(Next::Tunnel("vxlan", network, Inner::Ethernet))
}
