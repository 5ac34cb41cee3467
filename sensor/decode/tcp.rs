//! TCP headers (RFC 9293).

use super::{Fate, Malformed, Next, Peeling, Segment};

const HEADER_BYTES: usize = 20;

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(HEADER_BYTES, Malformed::TcpShort)?;
    let header_len = usize::from(head[12] >> 4) * 4;
    let options = header_len.checked_sub(HEADER_BYTES).ok_or(Malformed::TcpOffset)?;
    if options > peeling.bytes.len() {
        // scanners send such; who is asked for which port is known all the same
        peeling.packet.flaw = Some(Malformed::TcpShort).filter(|_| peeling.missing == 0);
    }
    peeling.take(options.min(peeling.bytes.len()), Malformed::TcpShort)?;
    peeling.packet.ports = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
    peeling.packet.segment = Segment {
        seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ack: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        flags: head[13],
    };
    Ok(Next::Done)
}
