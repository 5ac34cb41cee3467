//! What is inside: the site's own networks, and the hosts that speak for others.
//!
//! In: the `networks:` section as it is written. Out: [`Networks`], checked and frozen: is this address ours, what is
//! its part, which way does a contact go. Never here: a name look-up, an interface, a guess from traffic.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;

use crate::limits::{NETWORK_NAME_BYTES_MAX, NETWORKS_MAX};
use crate::observable::address;

/// The `networks:` section as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    /// Networks that are inside.
    pub home: Vec<String>,
    /// Networks by name, one or several each.
    pub named: BTreeMap<String, OneOrMany>,
    /// Resolvers: a hit there means that somebody asked them.
    pub resolvers: Vec<String>,
    /// Proxies.
    pub proxies: Vec<WrittenProxy>,
    /// Addresses behind which others hide.
    pub nat: Vec<String>,
    /// Not parsed, not logged, only counted.
    pub never_watch: Vec<String>,
}

/// `10.20.4.0/22` or a list of such.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// A single network.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// A proxy as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenProxy {
    /// Its address.
    pub address: String,
    /// Whether its X-Forwarded-For is believed.
    #[serde(default)]
    pub trust_forwarded_for: bool,
}

/// Which way a contact goes, from the one who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From inside to outside.
    Outbound,
    /// From outside to inside.
    Inbound,
    /// Both inside.
    Internal,
    /// Both outside.
    External,
    /// Nobody saw who asked.
    Unknown,
}

impl Direction {
    /// The word in an alert.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Outbound => "outbound",
            Direction::Inbound => "inbound",
            Direction::Internal => "internal",
            Direction::External => "external",
            Direction::Unknown => "unknown",
        }
    }
}

/// The part that a host plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It asks.
    Client,
    /// It is asked.
    Server,
    /// It asks for names on behalf of others.
    Resolver,
    /// It fetches on behalf of others.
    Proxy,
    /// Others hide behind it.
    Nat,
    /// Not known.
    Unknown,
}

impl Role {
    /// The word in an alert.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Client => "client",
            Role::Server => "server",
            Role::Resolver => "resolver",
            Role::Proxy => "proxy",
            Role::Nat => "nat",
            Role::Unknown => "unknown",
        }
    }
}

/// The checked section.
#[derive(Clone, Debug)]
pub struct Networks {
    given: bool,
    home: Ranges,
    named: Vec<(Network, String)>, // longest prefix first
    resolvers: Ranges,
    proxies: Ranges,
    trusted: Ranges,
    nat: Ranges,
    never_watch: Ranges,
}

/// What is inside when nobody says: RFC 1918, RFC 6598, RFC 4193, link-local and loopback.
static PRIVATE: [&str; 9] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1",
];

impl Default for Networks {
    /// Nothing given: private ranges are inside.
    fn default() -> Self {
        let private: Vec<String> = PRIVATE.iter().map(ToString::to_string).collect();
        Networks {
            given: false,
            home: ranges("home", &private).unwrap_or_default(),
            named: Vec::new(),
            resolvers: Ranges::default(),
            proxies: Ranges::default(),
            trusted: Ranges::default(),
            nat: Ranges::default(),
            never_watch: Ranges::default(),
        }
    }
}

impl Networks {
    /// Checks what is written.
    ///
    /// # Errors
    /// The option, the offending value and why: ``home[1]: `10.20.0.0/33`: prefix length out of range``.
    pub fn check(written: Written) -> Result<Networks, String> {
        let mut checked = Networks::default();
        if !written.home.is_empty() {
            checked.home = ranges("home", &written.home)?;
            checked.given = true;
        }
        checked.named = named(&written.named)?;
        checked.resolvers = ranges("resolvers", &written.resolvers)?;
        checked.nat = ranges("nat", &written.nat)?;
        checked.never_watch = ranges("never_watch", &written.never_watch)?;
        let addresses: Vec<String> = written.proxies.iter().map(|proxy| proxy.address.clone()).collect();
        checked.proxies = ranges("proxies", &addresses)?;
        let trusted: Vec<String> =
            written.proxies.into_iter().filter(|proxy| proxy.trust_forwarded_for).map(|proxy| proxy.address).collect();
        checked.trusted = ranges("proxies", &trusted)?;
        Ok(checked)
    }

    /// Whether the site said what is inside; without it private ranges are.
    pub fn given(&self) -> bool {
        self.given
    }

    /// Whether an address belongs to the site.
    pub fn is_home(&self, address: IpAddr) -> bool {
        self.home.hold(address)
    }

    /// The name of the narrowest named network around an address.
    pub fn named(&self, address: IpAddr) -> Option<&str> {
        if self.named.is_empty() {
            return None;
        }
        let wide = wide(address);
        self.named.iter().find(|(network, _)| network.holds(wide)).map(|(_, name)| name.as_str())
    }

    /// Whether an address is to be counted and nothing else. Asked per flow, on the packet path.
    #[inline]
    pub fn never_watch(&self, address: IpAddr) -> bool {
        !self.never_watch.is_empty() && self.never_watch.hold(address)
    }

    /// Whether any address is to be counted and nothing else.
    #[inline]
    pub fn watches_everything(&self) -> bool {
        self.never_watch.is_empty()
    }

    /// The part that the site says a host plays; [`Role::Unknown`] when it does not say.
    pub fn role(&self, address: IpAddr) -> Role {
        if self.resolvers.hold(address) {
            Role::Resolver
        } else if self.proxies.hold(address) {
            Role::Proxy
        } else if self.nat.hold(address) {
            Role::Nat
        } else {
            Role::Unknown
        }
    }

    /// Whether a proxy's X-Forwarded-For is believed.
    pub fn trusts_forwarded_for(&self, proxy: IpAddr) -> bool {
        self.trusted.hold(proxy)
    }

    /// Which way a contact goes, from who asked to who was asked.
    pub fn direction(&self, source: IpAddr, destination: IpAddr) -> Direction {
        match (self.is_inside(source), self.is_inside(destination)) {
            (true, false) => Direction::Outbound,
            (false, true) => Direction::Inbound,
            (true, true) => Direction::Internal,
            (false, false) => Direction::External,
        }
    }

    /// Whether the one who asked is the asset (`Some(true)`), the one who was asked is (`Some(false)`), or neither:
    /// the home end; of two home ends the one who asked.
    pub fn asset_asked(&self, source: IpAddr, destination: IpAddr) -> Option<bool> {
        if self.is_home(source) {
            return Some(true);
        }
        self.is_home(destination).then_some(false)
    }

    /// The IPv4 addresses that the section speaks of, as ranges of first and last: home first, then those who speak for others.
    pub fn fours(&self) -> Vec<(Ipv4Addr, Ipv4Addr)> {
        let four = |number: u128| Ipv4Addr::from(number as u32);
        let all = [&self.home, &self.resolvers, &self.proxies, &self.nat].into_iter().flat_map(|ranges| &ranges.four);
        all.map(|(first, last)| (four(*first), four(*last))).collect()
    }

    /// The IPv6 addresses that the section names one by one; whole networks of them are too many to be counted.
    pub fn sixes(&self) -> Vec<Ipv6Addr> {
        let named =
            self.named.iter().filter(|(network, _)| !network.four).map(|(network, _)| (network.first, network.last));
        let all = [&self.home, &self.resolvers, &self.proxies, &self.nat].into_iter().flat_map(|ranges| &ranges.six);
        let single = all.copied().chain(named).filter(|(first, last)| first == last);
        single.map(|(first, _)| Ipv6Addr::from(first)).collect()
    }

    /// The names of networks.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(|(_, name)| name.as_str())
    }

    /// Home, or an address that means nothing beyond its own link: a broadcast never goes outside.
    fn is_inside(&self, address: IpAddr) -> bool {
        self.is_home(address) || stays_on_link(address)
    }
}

fn stays_on_link(address: IpAddr) -> bool {
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
        return true;
    }
    match address {
        IpAddr::V4(four) => four.is_broadcast() || four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    }
}

/// An address in one space for both families (IPv4 as ::ffff:a.b.c.d), and whether it is IPv4.
fn wide(address: IpAddr) -> (bool, u128) {
    match address.to_canonical() {
        IpAddr::V4(four) => (true, u128::from(four.to_ipv6_mapped())),
        IpAddr::V6(six) => (false, u128::from(six)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    four: bool,
    first: u128,
    last: u128,
}

impl Network {
    /// `::/0` holds no IPv4 address, though its number does.
    fn holds(&self, (four, address): (bool, u128)) -> bool {
        self.four == four && (self.first..=self.last).contains(&address)
    }
}

/// Networks as disjoint ranges in order, so that asking costs a few comparisons.
#[derive(Clone, Debug, Default)]
struct Ranges {
    four: Vec<(u128, u128)>,
    six: Vec<(u128, u128)>,
}

impl Ranges {
    fn from_networks(networks: &[Network]) -> Ranges {
        let of = |four: bool| {
            let mut list: Vec<_> = networks.iter().filter(|n| n.four == four).map(|n| (n.first, n.last)).collect();
            list.sort_unstable();
            list.dedup_by(|next, kept| {
                let joined = next.0 <= kept.1;
                if joined {
                    kept.1 = kept.1.max(next.1);
                }
                joined
            });
            list
        };
        Ranges { four: of(true), six: of(false) }
    }

    fn is_empty(&self) -> bool {
        self.four.is_empty() && self.six.is_empty()
    }

    fn hold(&self, address: IpAddr) -> bool {
        if self.is_empty() {
            return false;
        }
        let (four, address) = wide(address);
        let list = if four { &self.four } else { &self.six };
        let behind = list.partition_point(|range| range.0 <= address);
        behind.checked_sub(1).and_then(|at| list.get(at)).is_some_and(|range| address <= range.1)
    }
}

fn ranges(option: &str, texts: &[String]) -> Result<Ranges, String> {
    if texts.len() > NETWORKS_MAX {
        return Err(format!("{option}: more than {NETWORKS_MAX} entries"));
    }
    let networks: Result<Vec<Network>, String> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| network(text).map_err(|why| format!("{option}[{at}]: `{text}`: {why}")))
        .collect();
    Ok(Ranges::from_networks(&networks?))
}

fn named(written: &BTreeMap<String, OneOrMany>) -> Result<Vec<(Network, String)>, String> {
    let mut list = Vec::new();
    for (name, texts) in written {
        if name.is_empty() || name.len() > NETWORK_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(format!(
                "named: `{}`: a name has 1 to {NETWORK_NAME_BYTES_MAX} printable bytes",
                name.escape_default()
            ));
        }
        for text in texts.as_slice() {
            let network = network(text).map_err(|why| format!("named.{name}: `{text}`: {why}"))?;
            list.push((network, name.clone()));
        }
    }
    if list.len() > NETWORKS_MAX {
        return Err(format!("named: more than {NETWORKS_MAX} entries"));
    }
    list.sort_by_key(|(network, _)| network.last - network.first);
    Ok(list)
}

/// A network in CIDR notation or a single address, in the canonical form that indicators have too.
fn network(text: &str) -> Result<Network, String> {
    let kind = if text.contains('/') { &address::CIDR } else { &address::IP };
    let mut canonical = Vec::with_capacity(address::CANONICAL_BYTES);
    (kind.canonical)(text.trim().as_bytes(), &mut canonical).map_err(|refused| refused.to_string())?;
    let Some((sixteen, [length])) = canonical.split_first_chunk::<16>() else {
        return Err("not a network".to_owned());
    };
    let first = u128::from_be_bytes(*sixteen);
    let host = u128::MAX.checked_shr(u32::from(*length)).unwrap_or(0);
    let four = *length >= 96 && first >> 32 == 0xffff;
    Ok(Network { four, first, last: first | host })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn checked(yaml: &str) -> Networks {
        Networks::check(serde_yaml::from_str(yaml).expect("yaml")).expect("networks")
    }

    const SITE: &str = r#"
home: [10.20.0.0/16, 198.51.100.0/26, "2001:db8:17::/48"]
named: { office: 10.20.4.0/22, floor: [10.20.4.0/24, 10.20.9.0/24], servers: 198.51.100.0/26 }
resolvers: [10.20.0.53]
proxies: [{ address: 10.20.0.8, trust_forwarded_for: true }, { address: 10.20.0.9 }]
nat: [198.51.100.1]
never_watch: [10.20.77.0/24]
"#;

    #[test]
    fn without_a_word_private_ranges_are_inside() {
        let networks = Networks::default();
        assert!(!networks.given());
        for inside in
            ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1", "fd00::1", "fe80::1", "::1"]
        {
            assert!(networks.is_home(ip(inside)), "{inside}");
        }
        for outside in ["172.32.0.1", "100.128.0.1", "8.8.8.8", "2001:db8::1", "9.255.255.255", "11.0.0.0"] {
            assert!(!networks.is_home(ip(outside)), "{outside}");
        }
    }

    #[test]
    fn a_site_that_says_what_is_inside_means_nothing_else() {
        let networks = checked(SITE);
        assert!(networks.given());
        assert!(networks.is_home(ip("10.20.255.255")) && networks.is_home(ip("2001:db8:17:ffff::1")));
        assert!(!networks.is_home(ip("10.21.0.0")) && !networks.is_home(ip("192.168.1.1")));
        assert!(networks.is_home(ip("::ffff:10.20.0.1")), "an IPv4 address in IPv6 clothes");
    }

    #[test]
    fn the_narrowest_named_network_gives_the_name() {
        let networks = checked(SITE);
        assert_eq!(networks.named(ip("10.20.4.9")), Some("floor"));
        assert_eq!(networks.named(ip("10.20.5.9")), Some("office"));
        assert_eq!(networks.named(ip("10.20.9.1")), Some("floor"));
        assert_eq!(networks.named(ip("10.20.99.9")), None);
    }

    #[test]
    fn the_site_says_who_speaks_for_others() {
        let networks = checked(SITE);
        assert_eq!(networks.role(ip("10.20.0.53")), Role::Resolver);
        assert_eq!(networks.role(ip("10.20.0.8")), Role::Proxy);
        assert_eq!(networks.role(ip("198.51.100.1")), Role::Nat);
        assert_eq!(networks.role(ip("10.20.4.17")), Role::Unknown);
        assert!(networks.trusts_forwarded_for(ip("10.20.0.8")));
        assert!(!networks.trusts_forwarded_for(ip("10.20.0.9")), "trust is said, not assumed");
    }

    #[test]
    fn a_network_never_watched_is_known_without_a_search_when_there_is_none() {
        assert!(checked(SITE).never_watch(ip("10.20.77.9")));
        assert!(!checked(SITE).never_watch(ip("10.20.78.0")));
        assert!(Networks::default().watches_everything());
        assert!(!checked(SITE).watches_everything());
    }

    #[test]
    fn direction_is_that_of_the_one_who_asked() {
        let networks = checked(SITE);
        let way = |from: &str, to: &str| networks.direction(ip(from), ip(to)).name();
        assert_eq!(way("10.20.4.17", "203.0.113.66"), "outbound");
        assert_eq!(way("203.0.113.66", "198.51.100.7"), "inbound");
        assert_eq!(way("10.20.4.17", "10.20.0.53"), "internal");
        assert_eq!(way("192.0.2.1", "203.0.113.66"), "external");
        assert_eq!(way("10.20.4.17", "255.255.255.255"), "internal");
        assert_eq!(way("0.0.0.0", "255.255.255.255"), "internal");
    }

    #[test]
    fn the_asset_is_the_home_end_and_of_two_the_one_who_asked() {
        let networks = checked(SITE);
        assert_eq!(networks.asset_asked(ip("10.20.4.17"), ip("203.0.113.66")), Some(true));
        assert_eq!(networks.asset_asked(ip("203.0.113.66"), ip("10.20.4.17")), Some(false));
        assert_eq!(networks.asset_asked(ip("10.20.4.17"), ip("10.20.0.53")), Some(true));
        assert_eq!(networks.asset_asked(ip("192.0.2.1"), ip("203.0.113.66")), None);
    }

    #[test]
    fn a_refusal_names_the_option_and_the_value() {
        let refused = |yaml: &str| Networks::check(serde_yaml::from_str(yaml).expect("yaml")).expect_err("refused");
        assert_eq!(refused("home: [10.0.0.0/8, 10.0.0.0/33]"), "home[1]: `10.0.0.0/33`: prefix length out of range");
        assert_eq!(refused("nat: [nowhere]"), "nat[0]: `nowhere`: not an address");
        assert_eq!(refused("never_watch: [10.0.0.1/8]"), "never_watch[0]: `10.0.0.1/8`: host bits are set");
        assert!(refused("named: { office: [10.0.0.0] , plant: x/8 }").starts_with("named.plant: `x/8`"));
    }

    #[test]
    fn unknown_words_are_refused() {
        assert!(serde_yaml::from_str::<Written>("hoem: [10.0.0.0/8]").is_err());
        assert!(serde_yaml::from_str::<Written>("proxies: [{ address: 10.0.0.1, trust: true }]").is_err());
    }

    #[test]
    fn all_of_ipv6_holds_no_ipv4() {
        let networks = checked("home: [\"::/0\"]");
        assert!(networks.is_home(ip("2001:db8::1")) && !networks.is_home(ip("10.0.0.1")));
        let networks = checked("home: [0.0.0.0/0]");
        assert!(networks.is_home(ip("10.0.0.1")) && !networks.is_home(ip("2001:db8::1")));
    }

    proptest! {
        #[test]
        fn ranges_agree_with_asking_every_network(
            list in prop::collection::vec((any::<u32>(), 0u8..=32), 0..12), asked in any::<u32>(),
        ) {
            let mask = |length: u8| u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            let texts: Vec<String> =
                list.iter().map(|&(a, n)| format!("{}/{n}", std::net::Ipv4Addr::from(a & mask(n)))).collect();
            let holds = list.iter().any(|&(a, n)| a & mask(n) == asked & mask(n));
            let ranges = ranges("home", &texts).expect("ranges");
            prop_assert_eq!(ranges.hold(IpAddr::V4(asked.into())), holds);
        }
    }
}
