//! The thread that looks after the links: it opens again what went away, and asks interfaces what they lost themselves.
//!
//! In: the keepers of all links, and who has the right to take interfaces. Out: words in the log, numbers for others to read.
//! Never here: a frame; no worker waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use af_xdp::Rights;

use super::shared::Shared;
use super::shunting::Ports;
use crate::capture::live::{Keeper, Seen};
use crate::sandbox::{Role, Sandbox};

/// How often links are looked at: each look asks the system a few things.
const LOOK: Duration = Duration::from_millis(100);

/// See the head of this file.
pub(super) struct Keep {
    pub(super) keepers: Vec<(usize, Keeper)>,
    pub(super) rights: Box<dyn Rights>,
    pub(super) ports: Arc<Ports>,
    pub(super) shared: Arc<Shared>,
}

impl Keep {
    /// What is known of the links before anybody looks.
    pub(super) fn tell(&self) {
        for (link, keeper) in &self.keepers {
            self.ports.set(*link, keeper.shunts());
            self.shared.set_whole(*link, keeper.backend(), keeper.is_open(), keeper.counters());
        }
    }

    /// What this thread is for: where it would need a right to make packet sockets, they are passed to it, if that can be.
    pub(super) fn role(&mut self, sandbox: &Sandbox) -> Role {
        match sandbox.keeper() {
            Role::Opener if sandbox.is_bounding() && self.rights.pass_packet_sockets().is_ok() => Role::Caller,
            role => role,
        }
    }

    /// Looks until all is over, of which somebody wakes it; then lets go of all links, so that workers find an end of what comes.
    pub(super) fn run(mut self, over: &AtomicBool) {
        let mut next = Instant::now();
        while !over.load(Ordering::Acquire) {
            let now = Instant::now();
            if now >= next {
                next = now + LOOK;
                self.look();
            }
            thread::park_timeout(next.saturating_duration_since(now));
        }
        for (_, keeper) in &mut self.keepers {
            keeper.detach(self.rights.as_mut());
        }
        self.tell();
    }

    fn look(&mut self) {
        // whoever misses it says so, and keeps that for others to read
        let _told = self.rights.are_there();
        for (_, keeper) in &mut self.keepers {
            match keeper.look(self.rights.as_mut()) {
                Seen::Same => {}
                // a link that stays away is complained of once for each reason
                Seen::Gone(reason) => {
                    tracing::error!(interface = keeper.name(), %reason, "the link cannot be read; it is tried again");
                }
                Seen::Back(manner) => {
                    let (interface, backend) = (keeper.name(), keeper.backend());
                    tracing::info!(interface, backend, manner, "the link is read again");
                }
            }
        }
        self.tell();
    }
}
