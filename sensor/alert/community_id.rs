//! Community ID v1: one short name for a conversation that all tools agree on.
//!
//! In: addresses, protocol, ports. Out: `1:` and the base64 of a SHA-1. Seed 0.
//! Source: <https://github.com/corelight/community-id-spec>. SHA-1 is the specification's choice; nothing is proved
//! by it.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::eve::protocol;

/// Length of a Community ID.
pub const COMMUNITY_ID_BYTES: usize = 30;

/// ICMP types that answer each other: such a conversation has two directions (RFC 792, RFC 950, RFC 1256).
static ICMP_PAIRS: [(u16, u16); 5] = [(0, 8), (9, 10), (13, 14), (15, 16), (17, 18)];

/// The same for ICMPv6 (RFC 4443, RFC 2710, RFC 4861, RFC 4620, RFC 6275).
static ICMPV6_PAIRS: [(u16, u16); 6] = [(128, 129), (130, 131), (133, 134), (135, 136), (139, 140), (144, 145)];

/// The Community ID of what goes from `source` to `destination`; ports of ICMP are its type and code.
pub fn community_id(
    (source, source_port): (IpAddr, u16),
    (destination, destination_port): (IpAddr, u16),
    number: u8,
) -> [u8; COMMUNITY_ID_BYTES] {
    let (from, to) = (octets(source), octets(destination));
    let (from_port, to_port, one_way) = match number {
        protocol::ICMP => counterpart(&ICMP_PAIRS, source_port, destination_port),
        protocol::ICMPV6 => counterpart(&ICMPV6_PAIRS, source_port, destination_port),
        _ => (source_port, destination_port, false),
    };
    let in_order = one_way || (from.as_ref(), from_port) < (to.as_ref(), to_port);
    let (first, second) =
        if in_order { ((&from, from_port), (&to, to_port)) } else { ((&to, to_port), (&from, from_port)) };
    let [[a, b], [c, d]] = [first.1, second.1].map(u16::to_be_bytes);
    let ports = [a, b, c, d];
    let ports = if protocol::has_ports(number) || protocol::is_icmp(number) { &ports[..] } else { &[] };
    // one buffer, so that the digest is told once; it begins with the seed
    let mut told = [0; 2 + 2 * 16 + 2 + 4];
    let mut used = 2;
    for part in [first.0.as_ref(), second.0.as_ref(), &[number, 0], ports] {
        told[used..used + part.len()].copy_from_slice(part);
        used += part.len();
    }
    let mut out = *b"1:                            ";
    let (_, text) = out.split_at_mut(2);
    // 20 bytes are 28 in base64: it always fits.
    let _ = STANDARD.encode_slice(Sha1::digest(&told[..used]), text);
    out
}

/// The type that answers in place of the code; a type without an answer goes one way and keeps its code.
fn counterpart(pairs: &[(u16, u16)], kind: u16, code: u16) -> (u16, u16, bool) {
    pairs
        .iter()
        .find_map(|&(a, b)| match kind {
            _ if kind == a => Some((kind, b, false)),
            _ if kind == b => Some((kind, a, false)),
            _ => None,
        })
        .unwrap_or((kind, code, true))
}

enum Octets {
    Four([u8; 4]),
    Sixteen([u8; 16]),
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        match self {
            Octets::Four(four) => four,
            Octets::Sixteen(sixteen) => sixteen,
        }
    }
}

fn octets(address: IpAddr) -> Octets {
    match address {
        IpAddr::V4(four) => Octets::Four(four.octets()),
        IpAddr::V6(six) => Octets::Sixteen(six.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(source: &str, source_port: u16, destination: &str, destination_port: u16, number: u8) -> String {
        let ends = [source, destination].map(|text| text.parse::<IpAddr>().expect("an address"));
        let [from, to] = ends;
        String::from_utf8_lossy(&community_id((from, source_port), (to, destination_port), number)).into_owned()
    }

    #[test]
    fn tcp_udp_and_sctp_have_the_published_ids_in_both_directions() {
        for (a, b, number, want) in [
            (("128.232.110.120", 34855), ("66.35.250.204", 80), 6, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (("192.168.1.52", 54585), ("8.8.8.8", 53), 17, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
            (("192.168.170.8", 7), ("192.168.170.56", 7), 132, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="),
            (
                ("2001:470:e5bf:dead:4957:2174:e82c:4887", 63943),
                ("2607:f8b0:400c:c03::1a", 25),
                6,
                "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
            ),
        ] {
            assert_eq!(id(a.0, a.1, b.0, b.1, number), want);
            assert_eq!(id(b.0, b.1, a.0, a.1, number), want);
        }
    }

    #[test]
    fn an_echo_and_its_reply_are_one_conversation() {
        let want = "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=";
        assert_eq!(id("192.168.0.89", 8, "192.168.0.1", 0, 1), want);
        assert_eq!(id("192.168.0.1", 0, "192.168.0.89", 0, 1), want);
        let want = "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=";
        assert_eq!(id("3ffe:507:0:1:200:86ff:fe05:80da", 128, "3ffe:501:0:1001::2", 0, 58), want);
        assert_eq!(id("3ffe:501:0:1001::2", 129, "3ffe:507:0:1:200:86ff:fe05:80da", 0, 58), want);
    }

    #[test]
    fn neighbour_discovery_has_the_published_ids() {
        let (a, b) = ("fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea");
        let want = "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=";
        assert_eq!([id(a, 135, b, 0, 58), id(b, 136, a, 0, 58)], [want, want]);
        let want = "1:zavyT/cezQr1fmImYCwYnMXbgck=";
        assert_eq!([id(b, 135, a, 0, 58), id(a, 136, b, 0, 58)], [want, want]);
        assert_eq!(id(a, 133, "ff02::2", 0, 58), "1:hO+sN4H+MG5MY/8hIrXPqc4ZQz0=");
        assert_eq!(id(b, 134, "ff02::1", 0, 58), "1:pkvHqCL88/tg1k4cPigmZXUtL00=");
    }

    #[test]
    fn a_message_without_an_answer_keeps_its_direction_and_code() {
        let to = "3ffe:507:0:1:200:86ff:fe05:80da";
        assert_eq!(id("3ffe:501:410:0:2c0:dfff:fe47:33e", 1, to, 4, 58), "1:hLZd0XGWojozrvxqE0dWB1iM6R0=");
        assert_eq!(id("3ffe:501:1800:2345::2", 3, to, 0, 58), "1:2ObVBgIn28oZvibYZhZMBgh7WdQ=");
        assert_eq!(id("10.0.0.1", 11, "10.0.0.2", 0, 1), "1:YHxtAirCG//0OzkcVAukqKQN9xM=");
        assert_ne!(id("10.0.0.1", 11, "10.0.0.2", 0, 1), id("10.0.0.2", 11, "10.0.0.1", 0, 1));
    }

    #[test]
    fn a_protocol_without_ports_is_named_by_its_addresses() {
        assert_eq!(id("10.1.12.1", 0, "10.1.12.2", 0, 46), "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=");
        assert_eq!(id("10.1.12.2", 9, "10.1.12.1", 9, 46), "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=");
    }
}
