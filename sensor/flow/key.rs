//! What makes packets one flow: family, addresses, ports, protocol, VLANs and the tunnel, the same for both directions.

use siphasher::sip::SipHasher13;

use crate::decode::shard::{V4_PREFIX, sip};
use crate::decode::{Address, Packet, Peeled, protocol};

/// A flow's key: its two ends in order, so that both directions make the same key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) low: Address,
    pub(super) high: Address,
    pub(super) ports: (u16, u16),
    pub(super) vlans: [u16; 2],
    pub(super) tunnel: u64,
    pub(super) protocol: u8,
}

/// A packet's key and which end sent it: 0 the low one, 1 the high one.
pub(super) fn key_of(packet: &Packet) -> (Key, usize) {
    let ports = match packet.protocol {
        protocol::ICMP => icmp_conversation(packet.ports, &ICMP_PAIRS),
        protocol::ICMPV6 => icmp_conversation(packet.ports, &ICMPV6_PAIRS),
        _ => packet.ports,
    };
    let (source, destination) = ((packet.source, ports.0), (packet.destination, ports.1));
    let order = |end: &(Address, u16)| (u128::from_be_bytes(end.0), end.1);
    let direction = usize::from(order(&source) > order(&destination));
    let (low, high) = if direction == 0 { (source, destination) } else { (destination, source) };
    let key = Key {
        low: low.0,
        high: high.0,
        ports: (low.1, high.1),
        vlans: packet.vlans,
        tunnel: packet.tunnel.as_ref().map_or(0, tunnel_key),
        protocol: packet.protocol,
    };
    (key, direction)
}

/// The tunnel in a form without direction: the VNI where there is one, else the unordered outer pair.
fn tunnel_key(tunnel: &Peeled) -> u64 {
    if tunnel.id != 0 {
        return 1 << 32 | u64::from(tunnel.id);
    }
    let (one, other) = tunnel.pair;
    // sums of halves do not depend on the order; both halves of both addresses take part
    let half = |address: &Address, at: usize| u64::from_be_bytes(*address[at..].first_chunk::<8>().unwrap_or(&[0; 8]));
    let mix = |address: &Address| half(address, 0).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ half(address, 8);
    mix(&one).wrapping_add(mix(&other)) | 1 << 63
}

/// Types of ICMP that ask and those that answer them: one conversation (Community ID v1 has the same pairs).
const ICMP_PAIRS: [(u16, u16); 5] = [(8, 0), (13, 14), (15, 16), (10, 9), (17, 18)];
const ICMPV6_PAIRS: [(u16, u16); 5] = [(128, 129), (133, 134), (135, 136), (130, 131), (144, 145)];

/// Type and code as two equal ports for both directions: the asking type, and the code of what has no answer.
fn icmp_conversation((kind, code): (u16, u16), pairs: &[(u16, u16)]) -> (u16, u16) {
    match pairs.iter().find(|(ask, answer)| kind == *ask || kind == *answer) {
        Some(&(ask, _)) => (ask, ask),
        None => (kind << 8 | code, kind << 8 | code),
    }
}

/// Whether an ICMP type answers another, and which it answers.
pub(super) fn icmp_asked_by(packet: &Packet) -> Option<u16> {
    let pairs = if packet.protocol == protocol::ICMP { &ICMP_PAIRS } else { &ICMPV6_PAIRS };
    pairs.iter().find(|(_, answer)| packet.ports.0 == *answer).map(|&(ask, _)| ask)
}

impl Key {
    /// A keyed hash: who does not know the key cannot make keys collide.
    pub(super) fn hash(&self, secret: (u64, u64)) -> u32 {
        // most of what is seen fits two words: of an IPv4 address the first twelve bytes say nothing
        let (low, high) = (u128::from_be_bytes(self.low), u128::from_be_bytes(self.high));
        if low >> 32 == V4_PREFIX && high >> 32 == V4_PREFIX && self.tunnel == 0 {
            let pair = u64::from(low as u32) << 32 | u64::from(high as u32);
            let ports = u64::from(self.ports.0) << 48 | u64::from(self.ports.1) << 32;
            let vlans = u64::from(self.vlans[0]) << 20 | u64::from(self.vlans[1]) << 8;
            return sip(secret, [pair, ports ^ vlans ^ u64::from(self.protocol)]) as u32;
        }
        let mut bytes = [0; 52];
        bytes[..16].copy_from_slice(&self.low);
        bytes[16..32].copy_from_slice(&self.high);
        bytes[32..34].copy_from_slice(&self.ports.0.to_ne_bytes());
        bytes[34..36].copy_from_slice(&self.ports.1.to_ne_bytes());
        bytes[36..38].copy_from_slice(&self.vlans[0].to_ne_bytes());
        bytes[38..40].copy_from_slice(&self.vlans[1].to_ne_bytes());
        bytes[40..48].copy_from_slice(&self.tunnel.to_ne_bytes());
        bytes[48] = self.protocol;
        SipHasher13::new_with_keys(secret.0, secret.1).hash(&bytes) as u32
    }
}
