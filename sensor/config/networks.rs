//! The `networks:` section: what each address and network must look like, and what they ask of each other.
//!
//! In: the section as it is written. Out: [`Networks`], or faults, each with its place. Never here: what a network means.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::check::Desk;
use crate::limits::NETWORK_NAME_BYTES_MAX;
use crate::networks::{Networks, OneOrMany, Written};

impl Desk<'_> {
    pub(super) fn networks(&mut self, networks: Written) -> Networks {
        let before = self.faults.len();
        // `hmoe: [...]` has been told already.
        let slip = self.left_out.iter().any(|option| option.starts_with("networks."));
        if networks.home.is_empty() && !slip {
            self.fault("networks.home", "is empty".to_string(), "name your networks: [10.20.0.0/16]");
        }
        for (list, values) in [("home", &networks.home), ("never_watch", &networks.never_watch)] {
            for (at, value) in values.iter().enumerate() {
                self.network(&format!("networks.{list}[{at}]"), value);
            }
            self.each_once(&format!("networks.{list}"), values);
            self.apart(&format!("networks.{list}"), values);
        }
        for (name, value) in &networks.named {
            let path = format!("networks.named.{name}");
            match value {
                OneOrMany::One(value) => self.network(&path, value),
                OneOrMany::Many(list) => {
                    list.iter().enumerate().for_each(|(at, value)| self.network(&format!("{path}[{at}]"), value));
                }
            }
        }
        self.names_apart(&networks);
        for (list, values) in [("resolvers", &networks.resolvers), ("nat", &networks.nat)] {
            for (at, value) in values.iter().enumerate() {
                self.address(&format!("networks.{list}[{at}]"), value);
            }
            self.each_once(&format!("networks.{list}"), values);
        }
        let mut proxies = HashSet::new();
        for (at, proxy) in networks.proxies.iter().enumerate() {
            let path = format!("networks.proxies[{at}].address");
            self.address(&path, &proxy.address);
            if !proxies.insert(&proxy.address) {
                self.fault(&path, "is given twice".to_string(), "once is enough");
            }
        }
        Networks::check(networks).unwrap_or_else(|problem| {
            if self.faults.len() == before {
                self.fault("networks", problem, "see deploy/haetae.yaml for what may stand here");
            }
            Networks::default()
        })
    }

    /// Networks of one list do not overlap: the narrower one says nothing, or somebody meant another.
    fn apart(&mut self, path: &str, values: &[String]) {
        let ranges = values.iter().enumerate().filter_map(|(at, value)| range(value).map(|range| (range, at)));
        let mut ranges: Vec<(Range, usize)> = ranges.collect();
        // The wider one of two that begin alike comes first.
        ranges.sort_by_key(|&((four, first, last), at)| (four, first, Reverse(last), at));
        let mut around: Option<(Range, usize)> = None;
        for (range, at) in ranges {
            match around {
                Some((wide, by)) if wide.0 == range.0 && range.2 <= wide.2 => {
                    if values[at] != values[by] {
                        let problem = format!("`{}` lies within `{}`", values[at], values[by]);
                        self.fault(&format!("{path}[{at}]"), problem, "leave it out; parts get their names in `named`");
                    }
                }
                _ => around = Some((range, at)),
            }
        }
    }

    /// A network has one name.
    fn names_apart(&mut self, networks: &Written) {
        let mut names: HashMap<Range, &str> = HashMap::new();
        for (name, value) in &networks.named {
            if name.is_empty() || name.len() > NETWORK_NAME_BYTES_MAX || name.chars().any(char::is_control) {
                let help = format!("1 to {NETWORK_NAME_BYTES_MAX} printable bytes");
                self.fault("networks.named", format!("`{name}` is not a network's name"), &help);
            }
            for value in value.as_slice() {
                let Some(range) = range(value) else { continue };
                if let Some(other) = names.insert(range, name) {
                    let problem = format!("`{value}` is `{other}` already");
                    self.fault(&format!("networks.named.{name}"), problem, "a network has one name");
                }
            }
        }
    }

    fn network(&mut self, path: &str, value: &str) {
        let Some((address, prefix)) = value.split_once('/') else {
            return self.fault(path, format!("`{value}` is not a network"), "with its prefix, like 10.20.0.0/16");
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return self.fault(path, format!("`{value}` is not a network"), "like 10.20.0.0/16 or \"2001:db8::/32\"");
        };
        let (bits, value_bits) = match address {
            IpAddr::V4(address) => (32, u128::from(u32::from(address)) << 96),
            IpAddr::V6(address) => (128, u128::from(address)),
        };
        match prefix.parse::<u32>() {
            Ok(prefix) if prefix <= bits => {
                if value_bits.checked_shl(prefix).unwrap_or(0) != 0 {
                    let help = "write the network's first address";
                    self.fault(path, format!("`{value}` has bits set behind its prefix"), help);
                }
            }
            _ => self.fault(path, format!("`{value}` is not a network"), &format!("the prefix is 0 to {bits}")),
        }
    }

    fn address(&mut self, path: &str, value: &str) {
        if value.parse::<IpAddr>().is_err() {
            self.fault(path, format!("`{value}` is not an address"), "one address, like 10.20.0.53");
        }
    }
}

/// Whether it is IPv4, the first and the last address.
type Range = (bool, u128, u128);

fn range(network: &str) -> Option<Range> {
    let (address, prefix) = network.split_once('/')?;
    let (four, bits, first) = match address.parse().ok()? {
        IpAddr::V4(address) => (true, 32, u128::from(u32::from(address))),
        IpAddr::V6(address) => (false, 128, u128::from(address)),
    };
    let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= bits)?;
    let hosts = u128::MAX.checked_shr(128 - bits + prefix).unwrap_or(0);
    Some((four, first, first | hosts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_range() {
        assert_eq!(range("10.0.0.0/8"), Some((true, 10 << 24, (11 << 24) - 1)));
        assert_eq!(range("0.0.0.0/0"), Some((true, 0, u128::from(u32::MAX))));
        assert_eq!(range("::/0"), Some((false, 0, u128::MAX)));
        assert_eq!(range("::1/128"), Some((false, 1, 1)));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/4294967295", "x/8", "::/129"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
