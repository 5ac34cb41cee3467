//! Addresses and networks. Canonical: 16 bytes (IPv4 as ::ffff:a.b.c.d) and one byte prefix length out of 128.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Kind, Refused, Shape};

/// Length of a canonical address or network.
pub const CANONICAL_BYTES: usize = 17;

/// One address.
pub static IP: Kind = Kind { name: "ip", shape: Shape::Equal, canonical: canonical_address, text, index: 0 };

/// A network in CIDR notation; host bits must be zero.
pub static CIDR: Kind =
    Kind { name: "cidr", shape: Shape::Prefix, canonical: canonical_network, text: network_text, index: 1 };

/// What an address field is looked up as.
pub static KINDS: [&Kind; 2] = [&IP, &CIDR];

/// An address from 4 or 16 bytes of a packet.
pub fn from_bytes(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::V4(Ipv4Addr::from(four)));
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| IpAddr::V6(Ipv6Addr::from(sixteen)))
}

/// The canonical form of an address off the wire.
pub fn canonical_of(address: IpAddr) -> [u8; CANONICAL_BYTES] {
    canonical_prefix(address, 128)
}

fn canonical_prefix(address: IpAddr, length: u8) -> [u8; CANONICAL_BYTES] {
    let sixteen = match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
        IpAddr::V6(six) => six.octets(),
    };
    let mut out = [0; CANONICAL_BYTES];
    out[..16].copy_from_slice(&sixteen);
    out[16] = length;
    out
}

fn canonical_address(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    out.extend_from_slice(&canonical_of(parse(bytes)?));
    Ok(())
}

fn canonical_network(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let text = std::str::from_utf8(bytes).map_err(|_| NOT_AN_ADDRESS)?;
    let (address, length) = text.split_once('/').ok_or(Refused("not a network: no prefix length"))?;
    let address = parse(address.as_bytes())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let digits = length.bytes().all(|b| b.is_ascii_digit());
    let length: u8 =
        length.parse().ok().filter(|&n| digits && n <= width).ok_or(Refused("prefix length out of range"))?;
    let network = canonical_prefix(address, length + (128 - width));
    if masked(&network) != network {
        return Err(Refused("host bits are set"));
    }
    out.extend_from_slice(&network);
    Ok(())
}

const NOT_AN_ADDRESS: Refused = Refused("not an address");

fn parse(bytes: &[u8]) -> Result<IpAddr, Refused> {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or(NOT_AN_ADDRESS)
}

/// A port, and which protocol's it is where that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    number: u16,
    protocol: Option<u8>,
}

/// Transports with ports, by their IP protocol number.
const TRANSPORTS: [(&str, u8); 3] = [("tcp", 6), ("udp", 17), ("sctp", 132)];

impl Port {
    /// A port of this IP protocol.
    pub fn of(number: u16, protocol: u8) -> Port {
        Port { number, protocol: Some(protocol) }
    }

    /// Reads `3333/tcp`, `53/udp`, or `3333` for any protocol.
    pub fn read(text: &str) -> Option<Port> {
        let (number, protocol) = match text.split_once('/') {
            Some((number, name)) => {
                (number, Some(TRANSPORTS.iter().find(|(of, _)| of.eq_ignore_ascii_case(name.trim()))?.1))
            }
            None => (text, None),
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|_| digits).map(|number| Port { number, protocol })
    }

    /// Whether both can be one: the numbers agree, and the protocols where both say one.
    pub fn agrees(self, other: Port) -> bool {
        self.number == other.number && self.protocol.zip(other.protocol).is_none_or(|(one, other)| one == other)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol.map(|number| (number, TRANSPORTS.iter().find(|(_, of)| *of == number))) {
            None => write!(out, "{}", self.number),
            Some((_, Some((name, _)))) => write!(out, "{}/{name}", self.number),
            Some((number, None)) => write!(out, "{}/{number}", self.number),
        }
    }
}

/// Parts an address from the port behind it: `203.0.113.66:3333`, `203.0.113.66:53/udp`, `[2001:db8::1]:443`, or with
/// `|` between them. The address is given back as it was written; `None`: it is not written like that.
pub fn with_port(value: &[u8]) -> Option<(&[u8], Port)> {
    value.last().filter(|last| last.is_ascii_digit() || b"pP".contains(last))?; // most names end otherwise
    let text = std::str::from_utf8(value).ok()?;
    let (address, port) = match text.strip_prefix('[') {
        Some(inside) => {
            let (address, port) = inside.split_once(']')?;
            (address, port.strip_prefix([':', '|'])?)
        }
        // without brackets, several colons are an address of IPv6
        None => text.split_once('|').or_else(|| text.split_once(':').filter(|(_, port)| !port.contains(':')))?,
    };
    parse(address.as_bytes()).ok()?;
    Some((address.as_bytes(), Port::read(port)?))
}

/// A canonical network with its host bits cleared.
pub fn masked(network: &[u8; CANONICAL_BYTES]) -> [u8; CANONICAL_BYTES] {
    let mut out = *network;
    let mut sixteen = [0; 16];
    sixteen.copy_from_slice(&network[..16]);
    let length = u32::from(network[16]);
    let mask = if length == 0 { 0 } else { u128::MAX << (128 - length.min(128)) };
    out[..16].copy_from_slice(&(u128::from_be_bytes(sixteen) & mask).to_be_bytes());
    out
}

/// Address and prefix length of a canonical form, in the family that a person writes.
pub fn parts(canonical: &[u8]) -> Option<(IpAddr, u8)> {
    let (sixteen, [length]) = canonical.split_first_chunk::<16>()? else { return None };
    let six = Ipv6Addr::from(*sixteen);
    match six.to_ipv4_mapped() {
        Some(four) if *length >= 96 => Some((IpAddr::V4(four), length - 96)),
        _ => Some((IpAddr::V6(six), *length)),
    }
}

fn text(canonical: &[u8]) -> String {
    parts(canonical).map(|(address, _)| address.to_string()).unwrap_or_default()
}

fn network_text(canonical: &[u8]) -> String {
    parts(canonical).map(|(address, width)| format!("{address}/{width}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Result<String, &'static str> {
        let mut out = Vec::new();
        (CIDR.canonical)(text.as_bytes(), &mut out).map(|()| (CIDR.text)(&out)).map_err(|refused| refused.0)
    }

    #[test]
    fn a_network_is_spelled_with_its_length_in_its_own_family() {
        assert_eq!(network("203.0.113.0/24"), Ok("203.0.113.0/24".into()));
        assert_eq!(network("203.0.113.66/32"), Ok("203.0.113.66/32".into()));
        assert_eq!(network("2001:DB8::/32"), Ok("2001:db8::/32".into()));
        assert_eq!(network("203.0.113.1/24"), Err("host bits are set"));
        assert_eq!(network("203.0.113.0/33"), Err("prefix length out of range"));
        assert_eq!(network("203.0.113.0/+8"), Err("prefix length out of range"));
    }

    #[test]
    fn an_address_may_have_its_port_behind_it() {
        let parted = |text: &'static str| {
            with_port(text.as_bytes())
                .map(|(address, port)| (String::from_utf8_lossy(address).into_owned(), port.to_string()))
        };
        let both = |address: &str, port: &str| Some((address.to_owned(), port.to_owned()));
        assert_eq!(parted("203.0.113.66:3333"), both("203.0.113.66", "3333"));
        assert_eq!(parted("203.0.113.66:53/UDP"), both("203.0.113.66", "53/udp"));
        assert_eq!(parted("203.0.113.66|8080"), both("203.0.113.66", "8080"));
        assert_eq!(parted("[2001:db8::1]:443"), both("2001:db8::1", "443"));
        assert_eq!(parted("2001:db8::1|443/tcp"), both("2001:db8::1", "443/tcp"));
        for none in [
            "203.0.113.66",
            "2001:db8::1",
            "2001:db8::1:443",
            "[2001:db8::1]",
            "203.0.113.66:",
            "203.0.113.66:65536",
            "203.0.113.66:+80",
            "203.0.113.66:80/gate.php",
            "203.0.113.66:80/",
            "bad.example:80",
            ":80",
            "",
        ] {
            assert_eq!(parted(none), None, "{none}");
        }
    }

    #[test]
    fn ports_agree_where_both_say_the_same() {
        let port = |text: &str| Port::read(text).unwrap();
        assert!(port("53").agrees(Port::of(53, 17)) && port("53/udp").agrees(Port::of(53, 17)));
        assert!(!port("53/tcp").agrees(Port::of(53, 17)) && !port("54").agrees(Port::of(53, 17)));
        assert_eq!(Port::of(7, 33).to_string(), "7/33");
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mut mapped = Vec::new();
        (IP.canonical)(b"::ffff:203.0.113.66", &mut mapped).unwrap();
        assert_eq!(mapped, canonical_of("203.0.113.66".parse().unwrap()));
        assert_eq!((IP.text)(&mapped), "203.0.113.66");
    }
}
