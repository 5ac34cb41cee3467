//! ICMP and ICMPv6 headers (RFC 792, RFC 4443). The packet quoted in an error is not followed: nobody sent it here.

use super::{Fate, Malformed, Next, Peeling};

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(4, Malformed::IcmpShort)?;
    peeling.packet.ports = (u16::from(head[0]), u16::from(head[1]));
    Ok(Next::Done)
}
