//! What is told of a flow to those who come after it: a copy, complete in itself.

use std::net::IpAddr;

use crate::decode::{self, Peeled};
use crate::observable::{Side, Stage};
use crate::time::Timestamp;

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// FIN from both sides, or RST.
    Closed,
    /// Its own gap was longer than its timeout.
    Timeout,
    /// A new connection took its key.
    Reused,
    /// Its shard was full.
    Evicted,
    /// The capture ended.
    Shutdown,
}

impl Ended {
    /// The word in an EVE flow record's `reason`.
    pub const fn name(self) -> &'static str {
        match self {
            Ended::Closed => "closed",
            Ended::Timeout => "timeout",
            Ended::Reused => "reused",
            Ended::Evicted => "forced",
            Ended::Shutdown => "shutdown",
        }
    }
}

/// The outermost tunnel that a packet came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// `gre`, `vxlan`.
    pub name: &'static str,
    /// Outer source.
    pub source: IpAddr,
    /// Outer destination.
    pub destination: IpAddr,
    /// VNI of VXLAN; 0 where there is none.
    pub id: u32,
    /// How many tunnels were peeled.
    pub depth: u8,
}

impl Tunnel {
    pub(super) fn from_peeled(peeled: &Peeled) -> Self {
        Tunnel {
            name: peeled.name,
            source: decode::ip(&peeled.pair.0),
            destination: decode::ip(&peeled.pair.1),
            id: peeled.id,
            depth: peeled.depth,
        }
    }
}

/// A flow as it stands at one of its packets. Pairs are indexed by [`Side`]: what the client sent, what the server sent.
#[derive(Clone, Copy, Debug)]
pub struct FlowView {
    /// Number of its first packet in the capture: unique.
    pub id: u64,
    /// Who asked (or spoke first).
    pub client: IpAddr,
    /// Who was asked.
    pub server: IpAddr,
    /// The client's port; ICMP: type.
    pub client_port: u16,
    /// The server's port; ICMP: code.
    pub server_port: u16,
    /// IP protocol number of the innermost packet.
    pub protocol: u8,
    /// Up to two VLAN ids, outermost first; 0: none.
    pub vlans: [u16; 2],
    /// The tunnel it came through.
    pub tunnel: Option<Tunnel>,
    /// Time of its first packet.
    pub start: Timestamp,
    /// Time of its latest packet.
    pub last: Timestamp,
    /// Packets by side.
    pub packets: [u64; 2],
    /// Frame bytes by side.
    pub bytes: [u64; 2],
    /// Transport payload bytes by side.
    pub payload: [u64; 2],
    /// How far it went.
    pub stage: Stage,
    /// The application protocol, once recognised.
    pub app_proto: Option<&'static str>,
    /// Whether its beginning was not seen (TCP without SYN).
    pub midstream: bool,
    /// Bytes known to be missing, by side.
    pub missing: [u64; 2],
    /// TCP flags seen by side.
    pub tcp_flags: [u8; 2],
}

impl FlowView {
    /// Source address and port, destination address and port of what `side` sends.
    pub fn endpoints(&self, side: Side) -> (IpAddr, u16, IpAddr, u16) {
        match side {
            Side::Client => (self.client, self.client_port, self.server, self.server_port),
            Side::Server => (self.server, self.server_port, self.client, self.client_port),
        }
    }

    /// Whether packets of both directions were seen.
    pub fn both_directions(&self) -> bool {
        self.packets[0] > 0 && self.packets[1] > 0
    }
}

/// Where and when something was seen.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Number of the packet in the capture, from 1.
    pub packet: u64,
    /// Its time.
    pub time: Timestamp,
    /// The shard that the flow lives in.
    pub shard: u8,
    /// The flow as it stood after that packet.
    pub flow: FlowView,
}
