//! What an interface is, before it is taken: its number, its queues, and who uses it.
//!
//! In: a name. Out: [`Interface`]; and who else lives by it ([`Use`]), since nothing that comes to a port with a native XDP
//! socket reaches this machine any more. Never here: whether that is allowed.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use crate::Error;
use crate::socket::set;

/// A network interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    name: String,
    index: u32,
}

/// What this machine has an interface for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// It has an address, other than those that it gave itself.
    Address(IpAddr),
    /// The way to everywhere leads through it.
    DefaultRoute,
    /// Another interface stands on it: a bridge, a bond, a VLAN.
    Below(String),
}

/// Frames that an interface lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Dropped by the driver. Some drivers (veth) count here too what a socket had no room for.
    pub dropped: u64,
    /// Not taken from the device in time.
    pub missed: u64,
}

impl Interface {
    /// The interface of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Interface, Error> {
        let text = CString::new(name).map_err(|_| Error::Absent)?;
        // SAFETY: the text ends with a NUL and outlives the call.
        match unsafe { libc::if_nametoindex(text.as_ptr()) } {
            0 => Err(Error::Absent),
            index => Ok(Interface { name: name.to_owned(), index }),
        }
    }

    /// Its number.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from("/sys/class/net").join(&self.name)
    }

    fn entries(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.folder().join(folder))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// How many queues it receives by.
    ///
    /// # Errors
    /// `/sys` does not say.
    pub fn queues(&self) -> io::Result<u32> {
        let queues = self.entries("queues")?;
        Ok(queues.iter().filter(|queue| queue.starts_with("rx-")).count() as u32)
    }

    /// Whether it is switched on.
    pub fn is_up(&self) -> bool {
        let flags = fs::read_to_string(self.folder().join("flags")).unwrap_or_default();
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or_default();
        flags & libc::IFF_UP as u32 != 0
    }

    /// What else this machine has it for.
    ///
    /// # Errors
    /// The system does not say: whoever takes it then may cut the machine off.
    pub fn uses(&self) -> io::Result<Vec<Use>> {
        let mut uses: Vec<Use> = addresses(&self.name)?.into_iter().map(Use::Address).collect();
        let routes = |file: &str| match fs::read_to_string(file) {
            Ok(text) => Ok(text),
            // a kernel without IPv6 has no such table
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        };
        let (four, six) = (routes("/proc/self/net/route")?, routes("/proc/self/net/ipv6_route")?);
        if is_default_of_four(&four, &self.name) || is_default_of_six(&six, &self.name) {
            uses.push(Use::DefaultRoute);
        }
        let above = self.entries("")?;
        uses.extend(above.iter().filter_map(|entry| Some(Use::Below(entry.strip_prefix("upper_")?.to_owned()))));
        Ok(uses)
    }

    /// What the interface lost since it was made.
    ///
    /// # Errors
    /// `/sys` does not say; it may have been removed.
    pub fn lost(&self) -> io::Result<Lost> {
        let count = |name: &str| -> io::Result<u64> {
            let text = fs::read_to_string(self.folder().join("statistics").join(name))?;
            text.trim().parse().map_err(io::Error::other)
        };
        Ok(Lost { dropped: count("rx_dropped")?, missed: count("rx_missed_errors")? })
    }

    /// Takes frames for others too, until what is returned is dropped.
    pub(crate) fn promiscuous(&self) -> Result<OwnedFd, Error> {
        // protocol 0: the socket itself receives nothing
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(Error::last("socket(AF_PACKET)"));
        }
        // SAFETY: the descriptor was just made, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        take_for_others(fd.as_fd(), self.index)?;
        Ok(fd)
    }
}

/// As long as the socket lives, the interface takes frames for others too.
pub(crate) fn take_for_others(socket: BorrowedFd<'_>, interface: u32) -> Result<(), Error> {
    let membership = libc::packet_mreq {
        mr_ifindex: interface as libc::c_int,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership, "PACKET_ADD_MEMBERSHIP")
}

/// Addresses of an interface, without those that IPv6 gives to every interface.
fn addresses(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the pointer is valid for being written.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (mut next, mut found) = (first, Vec::new());
    // SAFETY: the pointer is null or that of an entry of the list, which is freed below, when nothing points into it.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: every entry has a name that ends with a NUL.
        if unsafe { CStr::from_ptr(entry.ifa_name) }.to_bytes() == name.as_bytes() {
            // SAFETY: the pointer is null or that of an address as long as its family says.
            found.extend(unsafe { address(entry.ifa_addr) });
        }
        next = entry.ifa_next;
    }
    // SAFETY: the list is one that `getifaddrs` made, and it is freed once.
    unsafe { libc::freeifaddrs(first) };
    found.retain(|address| !matches!(address, IpAddr::V6(six) if six.is_unicast_link_local()));
    Ok(found)
}

/// # Safety
/// The pointer must be null or that of an address that is as long as its family says, aligned for it.
unsafe fn address(of: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller's promise; every address begins with its family.
    match i32::from(unsafe { of.as_ref() }?.sa_family) {
        libc::AF_INET => {
            // SAFETY: the caller's promise, for this family.
            let address = unsafe { of.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the caller's promise, for this family.
            let address = unsafe { of.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Whether `/proc/net/route` has a default route through an interface: its name, destination and, eighth, mask.
fn is_default_of_four(table: &str, name: &str) -> bool {
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|words| {
        words.first() == Some(&name) && words.get(1) == Some(&"00000000") && words.get(7) == Some(&"00000000")
    })
}

/// The same of `/proc/net/ipv6_route`: destination, length of its prefix, and last the name. Without a default route the
/// kernel shows one to `lo` that refuses.
fn is_default_of_six(table: &str, name: &str) -> bool {
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|words| {
        words.last() == Some(&name) && words.get(1) == Some(&"00") && words[0].bytes().all(|digit| digit == b'0')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_is_told_from_others() {
        let four = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth1\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n";
        assert!(is_default_of_four(four, "eth0"));
        assert!(!is_default_of_four(four, "eth1") && !is_default_of_four(four, "tun0") && !is_default_of_four("", "a"));
        let zero = "0".repeat(32);
        let six = format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n\
             fe80{} 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth1\n",
            "0".repeat(28)
        );
        assert!(is_default_of_six(&six, "eth0") && !is_default_of_six(&six, "eth1") && !is_default_of_six("", "a"));
    }

    #[test]
    fn loopback_has_an_address_and_a_name_that_is_none_has_nothing() {
        let loopback = Interface::named("lo").expect("every machine has one");
        if loopback.is_up() {
            let uses = loopback.uses().expect("the system says");
            assert!(uses.contains(&Use::Address(Ipv4Addr::LOCALHOST.into())), "{uses:?}");
        }
        assert_eq!(loopback.queues().expect("it says"), 1);
        assert!(loopback.lost().is_ok());
        assert!(matches!(Interface::named("nosuchtap9"), Err(Error::Absent)));
        assert!(matches!(Interface::named("a\0b"), Err(Error::Absent)));
    }
}
