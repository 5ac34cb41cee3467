//! Files, ports and signals: Landlock.
//!
//! In: the places and ports that a thread may reach. Out: a thread that reaches no other, sends no signal beyond this process
//! and speaks to no abstract socket. Descriptors that are open stay as they are.

use landlock::{
    ABI, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::{Access, Reach};

/// The youngest version whose rights are asked for: what a kernel lacks of them it does not bound.
const KNOWN: ABI = ABI::V6;

impl Access {
    fn rights(self) -> BitFlags<AccessFs> {
        let write = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::Truncate;
        match self {
            Access::Read => AccessFs::ReadFile | AccessFs::ReadDir,
            Access::Write => write,
            Access::Rotate => write | AccessFs::RemoveFile,
            Access::Listen => AccessFs::RemoveFile | AccessFs::MakeSock,
            Access::Keep => write | AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::RemoveFile,
        }
    }
}

/// Bounds the calling thread; the version of Landlock that does it.
///
/// # Errors
/// Why it is not bounded.
pub(super) fn bound(reaches: &[Reach<'_>], ports: &[u16]) -> Result<u32, String> {
    use landlock::Access as _;

    let said = |error: &dyn std::fmt::Display| error.to_string();
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(|rules| rules.scope(Scope::from_all(KNOWN)))
        .and_then(Ruleset::create)
        .map_err(|error| said(&error))?;
    for reach in reaches {
        // what is not there is not reached
        let Ok(place) = PathFd::new(reach.path) else { continue };
        let mut rights = reach.access.rights();
        if !reach.path.is_dir() {
            rights &= AccessFs::from_file(KNOWN);
        }
        rules = rules.add_rule(PathBeneath::new(place, rights)).map_err(|error| said(&error))?;
    }
    for port in ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(|error| said(&error))?;
    }
    let status = rules.restrict_self().map_err(|error| said(&error))?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            Ok(effective_abi as u32)
        }
        LandlockStatus::NotEnabled => {
            Err("the kernel has Landlock, and it is not enabled (boot with lsm=landlock,...)".into())
        }
        _ => Err("the kernel has no Landlock (Linux 5.13 or later is needed)".into()),
    }
}
