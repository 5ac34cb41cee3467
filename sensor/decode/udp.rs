//! UDP headers (RFC 768), and the ports of SCTP, which lie at the same place.

use super::{Fate, Malformed, Next, Peeling, vxlan};

const HEADER_BYTES: usize = 8;

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(HEADER_BYTES, Malformed::UdpShort)?;
    let ports = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
    peeling.packet.ports = ports;
    let len = usize::from(u16::from_be_bytes([head[4], head[5]]));
    // RFC 2675: 0 in a jumbogram, where the IP length stands; padding after the datagram is not part of it
    if len != 0 {
        let len = len.checked_sub(HEADER_BYTES).ok_or(Malformed::UdpLength)?;
        if len < peeling.bytes.len() {
            peeling.limit(len);
        }
    }
    if ports.1 == vxlan::PORT && vxlan::is_header(peeling.bytes) {
        return vxlan::peel(peeling);
    }
    Ok(Next::Done)
}

pub(super) fn ports(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(4, Malformed::UdpShort)?;
    peeling.packet.ports = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
    Ok(Next::Done)
}
