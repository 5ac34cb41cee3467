//! What a thread found when it entered its role.
//!
//! In: how much of each layer holds for it, and what it tried. Out: the same of all threads, alike ones together. Never here:
//! a system call.

use super::Role;

/// How much of a layer holds for a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// All of it.
    Full,
    /// Less than that, and why.
    Partly(String),
    /// Nothing, and why.
    Off(String),
}

/// What threads of a role found when they entered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What they are for.
    pub role: Role,
    /// How many found just this.
    pub threads: usize,
    /// By layer, in the order of [`super::Layer::ALL`].
    pub layers: [Hold; 3],
    /// What they tried and were not refused.
    pub findings: Vec<String>,
}

impl Standing {
    /// Adds it to those of its role that found the same, or behind all others.
    pub(super) fn join(self, all: &mut Vec<Standing>) {
        let of = |one: &Standing| (one.role, one.layers.clone(), one.findings.clone());
        match all.iter_mut().find(|other| of(other) == of(&self)) {
            Some(other) => other.threads += self.threads,
            None => all.push(self),
        }
    }
}
