//! UDP headers (RFC 768), the tunnels that are carried in it, and the ports of SCTP, which lie at the same place.

use super::{
    Fate, Malformed, Next, Peeling, Tunnel, ayiya, capwap, esp, geneve, gre, gtp, l2tp, lisp, mpls, protocol, teredo,
    tzsp, vxlan,
};

const HEADER_BYTES: usize = 8;

/// What a datagram to or from a port may carry.
struct Row {
    port: u16,
    /// Whether it may be the source's too.
    both: bool,
    /// Whether the payload begins like it. Takes the bytes that are there and how many were promised.
    claims: fn(&[u8], usize) -> bool,
    carries: fn() -> Next,
}

/// A row for datagrams to this port: their source port is drawn from the flow inside.
const fn to(port: u16, claims: fn(&[u8], usize) -> bool, carries: fn() -> Next) -> Row {
    Row { port, both: false, claims, carries }
}

/// A row for datagrams to or from this port.
const fn at(port: u16, claims: fn(&[u8], usize) -> bool, carries: fn() -> Next) -> Row {
    Row { port, both: true, claims, carries }
}

const ROWS: [Row; 18] = [
    to(vxlan::PORT, |bytes, _| vxlan::is_header(bytes), || Next::Enter(&vxlan::TUNNEL)),
    to(8472, |bytes, _| vxlan::is_header(bytes), || Next::Enter(&vxlan::TUNNEL)),
    to(4790, |bytes, _| vxlan::is_header(bytes), || Next::Enter(&vxlan::EXTENDED)),
    to(6081, |bytes, _| geneve::is_header(bytes), || Next::Enter(&geneve::TUNNEL)),
    at(2152, gtp::is_header, || Next::Enter(&gtp::TUNNEL)),
    at(2123, gtp::is_header, || Next::Enter(&gtp::TUNNEL)),
    at(3386, gtp::is_header_0, || Next::Enter(&gtp::TUNNEL_0)),
    at(3544, |bytes, _| teredo::is_header(bytes), || Next::Enter(&teredo::TUNNEL)),
    at(5072, |bytes, _| ayiya::is_header(bytes), || Next::Enter(&ayiya::TUNNEL)),
    at(1701, |bytes, _| l2tp::is_header(bytes), || Next::Enter(&l2tp::TUNNEL)),
    at(1701, |bytes, _| l2tp::is_header_3(bytes), || Next::Enter(&l2tp::TUNNEL_3)),
    to(4754, |bytes, _| gre::is_header(bytes), || Next::Enter(&gre::TUNNEL)),
    to(6635, |bytes, _| mpls::is_stack(bytes), || Next::Enter(&mpls::TUNNEL)),
    at(5247, |bytes, _| capwap::is_header(bytes), || Next::Enter(&capwap::TUNNEL)),
    at(4500, |bytes, _| esp::is_certain(bytes), || Next::Enter(&esp::TUNNEL)),
    at(4341, |bytes, _| lisp::is_header(bytes), || Next::Enter(&lisp::TUNNEL)),
    to(37_008, |bytes, _| tzsp::is_header(bytes), || Next::Enter(&tzsp::TUNNEL)),
    at(9899, |bytes, _| is_sctp(bytes), || Next::Header(sctp)),
];

static TABLE: [Row; ROWS.len()] = ROWS;

/// The low bytes of all ports in the table, a bit each: most datagrams need no look at the rows.
const LOW_BYTES: [u64; 4] = {
    let mut bits = [0; 4];
    let mut at = 0;
    while at < ROWS.len() {
        let low = ROWS[at].port as u8;
        bits[(low >> 6) as usize] |= 1 << (low & 63);
        at += 1;
    }
    bits
};

fn may_have_row(port: u16) -> bool {
    let low = port as u8;
    LOW_BYTES[usize::from(low >> 6)] >> (low & 63) & 1 != 0
}

/// What is believed on any port, because every field that can be checked agrees.
struct Certain {
    is_certain: fn(&[u8]) -> bool,
    tunnel: &'static Tunnel,
}

static CERTAIN: [Certain; 3] = [
    Certain { is_certain: geneve::is_certain, tunnel: &geneve::TUNNEL },
    Certain { is_certain: vxlan::is_certain, tunnel: &vxlan::TUNNEL },
    Certain { is_certain: teredo::is_certain, tunnel: &teredo::TUNNEL },
];

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(HEADER_BYTES, Malformed::UdpShort)?;
    let ports = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
    peeling.packet.ports = ports;
    match usize::from(u16::from_be_bytes([head[4], head[5]])) {
        0 => {} // RFC 2675: a jumbogram, where the IP length stands
        len if len < HEADER_BYTES => {
            peeling.packet.flaw = Some(Malformed::UdpLength);
            peeling.limit(0);
        }
        // padding after the datagram is not part of it
        len if len - HEADER_BYTES < peeling.bytes.len() => peeling.limit(len - HEADER_BYTES),
        _ => {}
    }
    Ok(carried(ports, peeling.bytes, peeling.bytes.len() + peeling.missing as usize).unwrap_or(Next::Done))
}

/// What a datagram with these ports and this payload carries beside its own; `promised` bytes were sent.
fn carried(ports: (u16, u16), payload: &[u8], promised: usize) -> Option<Next> {
    let by_port = |row: &&Row| row.port == ports.1 || (row.both && row.port == ports.0);
    if (may_have_row(ports.0) || may_have_row(ports.1))
        && let Some(row) = TABLE.iter().filter(by_port).find(|row| (row.claims)(payload, promised))
    {
        return Some((row.carries)());
    }
    // all of these begin with two zero bits, or as IPv6 does
    if payload.first().is_none_or(|first| *first > 0x3F && *first >> 4 != 6) || promised != payload.len() {
        return None;
    }
    CERTAIN.iter().find(|row| (row.is_certain)(payload)).map(|row| Next::Enter(row.tunnel))
}

/// Whether a UDP datagram holds nothing but its own payload. `missing` bytes of it were promised and are not there.
pub(super) fn is_plain(datagram: &[u8], missing: usize) -> bool {
    let Some((head, payload)) = datagram.split_first_chunk::<HEADER_BYTES>() else { return false };
    let ports = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
    let (payload, promised) = match usize::from(u16::from_be_bytes([head[4], head[5]])) {
        len if len >= HEADER_BYTES && len - HEADER_BYTES < payload.len() => {
            (&payload[..len - HEADER_BYTES], len - HEADER_BYTES)
        }
        _ => (payload, payload.len() + missing),
    };
    carried(ports, payload, promised).is_none()
}

/// SCTP in UDP (RFC 6951): ports, a tag, and a first chunk whose length makes sense.
fn is_sctp(bytes: &[u8]) -> bool {
    const CHUNK_KINDS: u8 = 15;
    let Some(head) = bytes.first_chunk::<16>() else { return false };
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    head[12] < CHUNK_KINDS && (4..=bytes.len() - 12).contains(&length)
}

fn sctp(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    peeling.packet.protocol = protocol::SCTP;
    ports(peeling)
}

pub(super) fn ports(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(4, Malformed::UdpShort)?;
    peeling.packet.ports = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
    Ok(Next::Done)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{decoded, ethernet, ipv4, udp_frame};
    use super::*;

    #[test]
    fn sctp_in_udp_is_sctp_between_the_same_ends() {
        let init = [&[0x0B, 0x59, 0x0B, 0x5A][..], &[0; 8], &[1, 0, 0, 20], &[7; 16]].concat();
        let (packet, _) = decoded(&udp_frame(9899, &init)).expect("a packet");
        assert_eq!((packet.protocol, packet.ports, packet.tunnel), (protocol::SCTP, (0x0B59, 0x0B5A), None));
        let (packet, _) = decoded(&udp_frame(9899, &init[..30])).expect("a packet");
        assert_eq!((packet.protocol, packet.ports.1), (protocol::UDP, 9899));
    }

    #[test]
    fn a_length_that_makes_no_sense_leaves_the_ports_and_is_counted() {
        let bytes = ethernet(0x0800, &ipv4(17, &[0, 7, 0, 53, 0, 5, 0, 0, 1, 2, 3]));
        let (packet, payload) = decoded(&bytes).expect("a packet");
        assert_eq!((packet.ports, payload.len(), packet.flaw), ((7, 53), 0, Some(Malformed::UdpLength)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// What precedes the random bytes is what the recognisers look at first, so that they do not all stop there.
        #[test]
        fn random_datagrams_on_ports_without_a_row_are_plain(
            head in prop_oneof![
                Just(vec![]),
                Just(vec![0, 0, 0x08, 0]),
                Just(vec![0, 0, 0x65, 0x58, 0, 0, 0, 0]),
                Just(vec![8, 0, 0, 0, 0, 0, 1, 0, 2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 0, 0x45]),
                Just(vec![0x60, 0, 0, 0, 0, 40, 17, 64]),
            ],
            ports in any::<(u16, u16)>(),
            rest in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            prop_assume!(ROWS.iter().all(|row| row.port != ports.0 && row.port != ports.1));
            let payload = [head, rest].concat();
            prop_assert!(carried(ports, &payload, payload.len()).is_none());
        }

        /// `decoded` compares what it found with what a glance tells.
        #[test]
        fn whoever_peeks_at_a_port_with_a_row_knows_the_same_pair_or_none(
            row in 0..ROWS.len(),
            swapped in any::<bool>(),
            first in prop_oneof![Just(0x00u8), Just(0x08), Just(0x30), Just(0x32), Just(0x60), any::<u8>()],
            rest in proptest::collection::vec(prop_oneof![Just(0u8), Just(0xFF), Just(0x45), Just(8), any::<u8>()], 0..120),
            padding in 0..40usize,
            kept in 0..250usize,
        ) {
            let mut bytes = udp_frame(TABLE[row].port, &[&[first], &rest[..]].concat());
            if swapped {
                let (source, destination) = bytes[34..38].split_at_mut(2);
                source.swap_with_slice(destination);
            }
            bytes.extend(vec![0; padding]);
            let _whole = decoded(&bytes);
            bytes.truncate(kept);
            let _cut = decoded(&bytes);
        }
    }
}
