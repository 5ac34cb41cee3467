//! GRE (RFC 2784, 2890) version 0 with IP or Ethernet inside; what it carries otherwise ends the way here.

use super::{Fate, Inner, Malformed, Next, Peeling, ethernet};

pub(super) const PROTOCOL: u8 = 47;
const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const VERSION: u16 = 0x0007;
const ETHERNET_BRIDGED: u16 = 0x6558;

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let Some(head) = peeling.bytes.first_chunk::<4>() else { return Err(Malformed::GreShort.into()) };
    let flags = u16::from_be_bytes([head[0], head[1]]);
    let carried = u16::from_be_bytes([head[2], head[3]]);
    let inner = match carried {
        ethernet::IPV4 | ethernet::IPV6 => Inner::Ethertype(carried),
        ETHERNET_BRIDGED => Inner::Ethernet,
        _ => return Ok(Next::Done),
    };
    // source routing (deprecated) has a length of its own; version 1 is PPTP's
    if flags & (ROUTING | VERSION) != 0 {
        return Ok(Next::Done);
    }
    let options = [CHECKSUM, KEY, SEQUENCE].iter().filter(|&&bit| flags & bit != 0).count() * 4;
    peeling.take(4 + options, Malformed::GreShort)?;
    Ok(Next::Tunnel("gre", 0, inner))
}
