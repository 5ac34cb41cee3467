//! What can be asked of this machine and of the port, without a frame: the one place that asks.
//!
//! In: an interface's name and what the configuration wants of it. Out: [`Facts`], each absent where the machine does not say.
//! Everything is read; nothing is written, made or set. Never here: what is wrong with it.

use std::fs;
use std::path::Path;

pub use af_xdp::{Adjusted, ClockState, Lost, Offloads, Use};

use af_xdp::Interface;
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use super::netlink;
use super::places::{Key, Place};
use super::watch::Watched;
use crate::capture::live::Refused;
use crate::config::{Backend, Capture, Config, Source};

/// Everything that is judged.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the port is to do.
    pub wanted: Wanted,
    /// What is wrong with the configuration.
    pub faults: Vec<Fault>,
    /// The port; `None`: there is none of that name.
    pub port: Option<Port>,
    /// The machine.
    pub machine: Machine,
    /// Where something will be written.
    pub places: Vec<Place>,
    /// Files with secrets.
    pub keys: Vec<Key>,
    /// What was seen of traffic; `None`: nobody looked, because there was nothing to look at.
    pub watched: Option<Result<Watched, Refused>>,
}

/// What the configuration wants of the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub interface: String,
    /// Whether a configuration was given, and whether it names the port.
    pub configured: Option<bool>,
    /// Whether AF_XDP reads it.
    pub af_xdp: bool,
    /// How it is to be read.
    pub capture: Capture,
    /// Worker threads.
    pub workers: usize,
    /// Interfaces that are read, this one included.
    pub interfaces: usize,
    /// Whether the site says what is inside.
    pub networks_given: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted::of("", &Config::default(), false, 1)
    }
}

impl Wanted {
    /// What `config` wants of an interface; `given`: whether there is a configuration at all.
    pub fn of(interface: &str, config: &Config, given: bool, workers: usize) -> Wanted {
        let links = || {
            config.capture.iter().filter_map(|capture| match &capture.source {
                Source::Interface { name, backend } => Some((capture, name, *backend)),
                Source::Directory(_) => None,
            })
        };
        let ours = links().find(|(_, name, _)| *name == interface);
        let default = || (Capture::of_interface(interface, None), Backend::default());
        let (capture, backend) = ours.map_or_else(default, |(capture, _, backend)| (capture.clone(), backend));
        Wanted {
            interface: interface.to_owned(),
            configured: given.then_some(ours.is_some()),
            af_xdp: backend == Backend::AfXdp,
            capture,
            workers,
            interfaces: links().count(),
            networks_given: config.networks.as_ref().is_some_and(|networks| networks.given()),
        }
    }
}

/// One fault of a refused configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// The option.
    pub option: String,
    /// What is wrong, with its place.
    pub problem: String,
    /// The way out.
    pub help: String,
}

/// What is known of the port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Whether it is switched on.
    pub up: bool,
    /// Whether there is a signal on it.
    pub carrier: Option<bool>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Queues that it receives by.
    pub queues: u32,
    /// What else this machine has it for; `None`: the machine does not say.
    pub uses: Option<Vec<Use>>,
    /// Whether there is a card behind it, which may do something to frames before the machine has them.
    pub card: bool,
    /// Its driver.
    pub driver: Option<String>,
    /// The card's receive ring.
    pub ring: Option<Adjusted>,
    /// The card's queues.
    pub channels: Option<Adjusted>,
    /// What is done to frames.
    pub offloads: Offloads,
    /// Whether the driver runs XDP itself.
    pub xdp_native: Option<bool>,
    /// The XDP program that is attached.
    pub xdp_attached: Option<u32>,
}

/// Counters of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Frames received.
    pub received: u64,
    /// Frames lost.
    pub lost: Lost,
    /// Frames refused for their length.
    pub too_long: u64,
}

/// What is known of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The kernel's release, as it says it.
    pub kernel: String,
    /// What this process may do.
    pub rights: Rights,
    /// Bytes that it may lock in memory; `None`: as many as it likes.
    pub memlock_bytes: Option<u64>,
    /// How the wall clock is kept.
    pub clock: Option<ClockState>,
    /// Whether the kernel gives huge pages to who asks for them.
    pub huge_pages: Option<bool>,
}

/// Capabilities that capturing needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// CAP_NET_RAW.
    pub net_raw: bool,
    /// CAP_NET_ADMIN.
    pub net_admin: bool,
    /// CAP_BPF, or CAP_SYS_ADMIN, which holds it.
    pub bpf: bool,
    /// CAP_IPC_LOCK: RLIMIT_MEMLOCK does not bind.
    pub ipc_lock: bool,
}

impl Facts {
    /// Asks the machine. What was seen of traffic is added by who watches.
    pub fn gather(wanted: Wanted, config: &Config, faults: Vec<Fault>) -> Facts {
        let interface = Interface::named(&wanted.interface).ok();
        Facts {
            port: interface.as_ref().map(port),
            machine: machine(),
            places: Place::all(config),
            keys: Key::all(config),
            wanted,
            faults,
            watched: None,
        }
    }
}

fn port(interface: &Interface) -> Port {
    let (index, name) = (interface.index(), interface.name());
    Port {
        up: interface.is_up(),
        carrier: number(name, "carrier").map(|signal| signal != 0),
        mtu: number(name, "mtu").and_then(|mtu| u32::try_from(mtu).ok()).unwrap_or_default(),
        queues: interface.queues().unwrap_or_default(),
        uses: interface.uses().ok(),
        card: Path::new("/sys/class/net").join(name).join("device").exists(),
        driver: interface.driver(),
        ring: interface.receive_ring(),
        channels: interface.channels(),
        offloads: interface.offloads(),
        xdp_native: netlink::has_native_xdp(index),
        xdp_attached: netlink::xdp_attached(index),
    }
}

/// A number that `/sys` has of an interface.
fn number(interface: &str, file: &str) -> Option<u64> {
    let path = Path::new("/sys/class/net").join(interface).join(file);
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether an interface takes frames for others now.
pub(super) fn is_promiscuous(interface: &str) -> Option<bool> {
    const IFF_PROMISC: u32 = 0x100;
    let path = Path::new("/sys/class/net").join(interface).join("flags");
    let flags = fs::read_to_string(path).ok()?;
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok()?;
    Some(flags & IFF_PROMISC != 0)
}

/// What an interface has counted.
pub(super) fn counted(interface: &str) -> Counted {
    let count = |name: &str| number(interface, &format!("statistics/{name}")).unwrap_or_default();
    Counted {
        received: count("rx_packets"),
        lost: Lost { dropped: count("rx_dropped"), missed: count("rx_missed_errors") },
        too_long: count("rx_length_errors") + count("rx_over_errors"),
    }
}

fn machine() -> Machine {
    let text = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let has = |one| held.contains(one);
    // `always [madvise] never`: what is in brackets holds
    let huge = text("/sys/kernel/mm/transparent_hugepage/enabled").map(|text| !text.contains("[never]"));
    Machine {
        kernel: text("/proc/sys/kernel/osrelease").unwrap_or_default(),
        rights: Rights {
            net_raw: has(CapabilitySet::NET_RAW),
            net_admin: has(CapabilitySet::NET_ADMIN),
            bpf: has(CapabilitySet::BPF) || has(CapabilitySet::SYS_ADMIN),
            ipc_lock: has(CapabilitySet::IPC_LOCK),
        },
        memlock_bytes: getrlimit(Resource::Memlock).current,
        clock: af_xdp::clock_state().ok(),
        huge_pages: huge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_the_configuration_that_names_the_port_is_what_is_wanted() {
        let xdp = Source::Interface { name: "tap1".into(), backend: Backend::AfXdp };
        let capture = vec![
            Capture { ring_bytes: 1 << 20, ..Capture::of_interface("tap0", None) },
            Capture { source: xdp, ..Capture::of_interface("tap1", None) },
        ];
        let config = Config { capture, ..Config::default() };
        let zero = Wanted::of("tap0", &config, true, 2);
        assert_eq!(
            (zero.configured, zero.af_xdp, zero.capture.ring_bytes, zero.interfaces),
            (Some(true), false, 1 << 20, 2)
        );
        assert!(Wanted::of("tap1", &config, true, 2).af_xdp);
        assert_eq!(Wanted::of("tap2", &config, true, 2).configured, Some(false));
        assert_eq!(Wanted::of("tap2", &Config::default(), false, 2).configured, None);
    }

    #[test]
    fn every_machine_says_something() {
        let facts = Facts::gather(Wanted::of("lo", &Config::default(), false, 1), &Config::default(), Vec::new());
        let port = facts.port.expect("every machine has one");
        assert!(!port.card && port.queues == 1 && port.mtu > 0 && port.uses.is_some(), "{port:?}");
        assert!(!facts.machine.kernel.is_empty() && facts.machine.clock.is_some());
        let absent = Wanted::of("nosuchtap9", &Config::default(), false, 1);
        assert!(Facts::gather(absent, &Config::default(), Vec::new()).port.is_none());
    }
}
