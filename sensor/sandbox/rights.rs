//! Capabilities: given up before the first thread starts, and by each thread again.
//!
//! In: what is kept. Out: nothing else, in any set, and no way to get it back. Never here: another user: a sensor that runs as
//! root stays user 0, and owns what root owns.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Rights that may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// None at all.
    None,
    /// What it takes to take a port for AF_XDP again.
    Ports,
}

impl Rights {
    fn set(self) -> CapabilitySet {
        match self {
            Rights::None => CapabilitySet::empty(),
            Rights::Ports => CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN | CapabilitySet::BPF,
        }
    }
}

/// Gives up all rights of the calling thread but these, also those that a program that it starts could have.
pub(super) fn give_up(but: Rights) -> io::Result<()> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let now = capabilities(None)?;
    // only who has this right can empty the set that bounds all others; without it there is nothing to be gained there
    if now.effective.contains(CapabilitySet::SETPCAP) {
        for right in CapabilitySet::all().iter().filter(|right| !but.set().contains(*right)) {
            // an older kernel does not know the youngest
            if capability_is_in_bounding_set(right).unwrap_or(false) {
                remove_capability_from_bounding_set(right)?;
            }
        }
    }
    let kept = now.permitted & but.set();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })?;
    Ok(())
}

/// No core dump, no debugger: keys and tokens lie in memory.
pub(super) fn hide() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_without_rights_has_none_to_give_up() {
        let thread = std::thread::spawn(|| {
            give_up(Rights::None).expect("it may always have less");
            give_up(Rights::Ports).expect("again, and it gets nothing back");
            capabilities(None).expect("they are known")
        });
        let left = thread.join().expect("it ends");
        assert!(left.effective.is_empty() && left.permitted.is_empty() && left.inheritable.is_empty(), "{left:?}");
    }
}
