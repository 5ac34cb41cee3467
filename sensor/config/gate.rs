//! The member's gate file, read with the same care as the configuration that names it: every fault with its place.
//!
//! In: a path. Out: faults. Never here: what may leave; `crate::gate` says that.

use std::path::Path;

use super::check::{Desk, KEY_HELP};
use super::fault::Fault;
use super::read::read;
use super::tree::Tree;
use crate::emit::Secrets;
use crate::gate::{Policy, SiteKey, Written};

/// What stands before an option of the gate file.
pub(super) const NAME: &str = "gate";

impl Desk<'_> {
    /// What is wrong within a gate file; whether it is there has been told by others.
    pub(super) fn gate(&mut self, file: &Path) {
        if !file.is_file() {
            return;
        }
        let Ok(bytes) = super::bytes(file) else { return };
        let name = file.display().to_string();
        let mut faults = Vec::new();
        match super::text(&name, bytes).and_then(|text| Tree::parse(&name, &text)) {
            Ok(tree) => within(&tree, file, self.secrets, &mut faults),
            Err(fault) => faults.push(fault),
        }
        self.faults.extend(faults.into_iter().map(|fault| {
            let dot = if fault.path.is_empty() { "" } else { ": " };
            Fault { path: format!("{NAME}{dot}{}", fault.path), ..fault }
        }));
    }
}

fn within(tree: &Tree, file: &Path, secrets: Secrets, faults: &mut Vec<Fault>) {
    let read = read::<Written>(&tree.root, faults);
    let Some(written) = read.value.filter(|_| faults.is_empty()) else { return };
    let mut fault = |path: &str, problem: String, help: &str| {
        let place = tree.place(path);
        faults.push(Fault { path: path.to_string(), problem, place, help: help.to_string() });
    };
    match Policy::check(written, file.parent().unwrap_or(Path::new(""))) {
        Ok(policy) => {
            // One that is not there yet is made.
            if let Some(Err(error)) =
                policy.key.filter(|key| secrets == Secrets::Opened && key.exists()).map(|key| SiteKey::open(&key))
            {
                fault("key", error.to_string(), KEY_HELP);
            }
        }
        Err(mistakes) => mistakes.iter().for_each(|wrong| fault(&wrong.key, wrong.problem.clone(), &wrong.help)),
    }
}
