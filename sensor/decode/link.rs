//! What a frame begins with, by link type. Source: the tcpdump project's list of link-layer header types.

use super::{Fate, Malformed, Next, Peeling, ethernet};
use crate::capture::Link;

/// The first header, with anything before it taken off.
pub(super) fn first(peeling: &mut Peeling<'_>, link: Link) -> Result<Next, Fate> {
    match link.0 {
        1 => Ok(Next::Ethernet),
        // BSD loopback: the address family in the writer's byte order; the IP version says the same without the riddle
        0 | 108 => {
            peeling.take(4, Malformed::LinkShort)?;
            raw(peeling)
        }
        12 | 14 | 101 => raw(peeling),
        228 => Ok(Next::Ethertype(ethernet::IPV4)),
        229 => Ok(Next::Ethertype(ethernet::IPV6)),
        // Linux cooked capture v1: the ethertype ends a header of 16 bytes
        113 => {
            let head = peeling.take(16, Malformed::LinkShort)?;
            Ok(Next::Ethertype(u16::from_be_bytes([head[14], head[15]])))
        }
        // Linux cooked capture v2: the ethertype begins a header of 20 bytes
        276 => {
            let head = peeling.take(20, Malformed::LinkShort)?;
            Ok(Next::Ethertype(u16::from_be_bytes([head[0], head[1]])))
        }
        _ => Err(Fate::LinkUnknown),
    }
}

fn raw(peeling: &Peeling<'_>) -> Result<Next, Fate> {
    match peeling.bytes.first().map(|byte| byte >> 4) {
        None => Err(Malformed::LinkShort.into()),
        Some(4) => Ok(Next::Ethertype(ethernet::IPV4)),
        Some(6) => Ok(Next::Ethertype(ethernet::IPV6)),
        Some(_) => Err(Fate::NotIp),
    }
}
