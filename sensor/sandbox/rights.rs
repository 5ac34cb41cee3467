//! Capabilities: given up before the first thread starts, and by each thread again.
//!
//! In: what is kept. Out: nothing else, in any set, and no way to get it back. Never here: another user: a sensor that runs as
//! root stays user 0, and owns what root owns.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Rights that may be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rights {
    /// None at all.
    #[default]
    None,
    /// What it takes to lock memory for the packets of a port, where a bound (RLIMIT_MEMLOCK) is in force.
    Memory,
    /// And what it takes to open links through libpcap.
    Sockets,
    /// And what it takes to take ports for AF_XDP.
    Ports,
    /// What it takes to take ports for another process.
    Broker,
}

impl Rights {
    /// As a thread has them that keeps no more than these.
    fn set(self) -> CapabilitySet {
        let bound = getrlimit(Resource::Memlock).current.is_some();
        let memory = if bound { CapabilitySet::IPC_LOCK } else { CapabilitySet::empty() };
        let ports = CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN | CapabilitySet::BPF;
        match self {
            Rights::None => CapabilitySet::empty(),
            Rights::Memory => memory,
            Rights::Sockets => memory | CapabilitySet::NET_RAW,
            Rights::Ports => memory | ports,
            Rights::Broker => ports,
        }
    }
}

/// Gives up all rights of the calling thread but these, also those that a program that it starts could have; the names of
/// those that it still has.
pub(super) fn give_up(but: Rights) -> io::Result<Vec<String>> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let now = capabilities(None)?;
    // only who has this right can empty the set that bounds all others; without it there is nothing to be gained there
    if now.effective.contains(CapabilitySet::SETPCAP) {
        for right in CapabilitySet::all().iter() {
            // an older kernel does not know the youngest
            if capability_is_in_bounding_set(right).unwrap_or(false) {
                remove_capability_from_bounding_set(right)?;
            }
        }
    }
    let kept = now.permitted & but.set();
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)?;
    Ok(kept.iter_names().map(|(name, _)| format!("CAP_{name}")).collect())
}

/// As much memory for packets may be locked as the process has a right to: a port of AF_XDP that comes back locks its memory
/// anew, when the right to lock any amount (CAP_IPC_LOCK) is gone.
pub(super) fn unbind_memory() {
    let highest = getrlimit(Resource::Memlock).maximum;
    // who may not raise the higher bound raises the lower one to it
    let _as_far_as_it_goes = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None })
        .or_else(|_| setrlimit(Resource::Memlock, Rlimit { current: highest, maximum: highest }));
}

/// No core dump, no debugger: keys and tokens lie in memory.
///
/// # Errors
/// What the kernel says.
pub fn hide() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_without_rights_has_none_to_give_up() {
        let thread = std::thread::spawn(|| {
            give_up(Rights::None).expect("it may always have less");
            assert!(give_up(Rights::Ports).expect("again").is_empty(), "and it gets nothing back");
            capabilities(None).expect("they are known")
        });
        let left = thread.join().expect("it ends");
        assert!(left.effective.is_empty() && left.permitted.is_empty() && left.inheritable.is_empty(), "{left:?}");
    }
}
