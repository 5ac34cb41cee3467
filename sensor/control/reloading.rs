//! A reload that somebody asks for and waits for: how the word comes to the thread that reloads, and what came of it back.
//!
//! In: askers, several at once. Out: one reload for all who wait together, the same answer for each.

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::CONTROL_RELOADS_WAITING_MAX;

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reloaded {
    /// All of it holds.
    Taken {
        /// Entries of the set.
        indicators: u64,
        /// Entries of its files that were refused.
        refused: u64,
        /// The set's version.
        set: u64,
    },
    /// None of it holds, and why.
    Refused(String),
}

/// Where askers put their questions.
#[derive(Clone)]
pub(super) struct Bell(Sender<Sender<Reloaded>>);

/// Where the control thread finds them.
pub(super) struct Wishes(Receiver<Sender<Reloaded>>);

/// A bell, and what is rung with it.
pub(super) fn bell() -> (Bell, Wishes) {
    let (send, receive) = bounded(CONTROL_RELOADS_WAITING_MAX);
    (Bell(send), Wishes(receive))
}

impl Bell {
    /// Asks for a reload that begins from now on; `None`: too many wait already.
    pub(super) fn ring(&self) -> Option<Receiver<Reloaded>> {
        let (send, receive) = bounded(1);
        self.0.try_send(send).ok().map(|()| receive)
    }
}

impl Wishes {
    /// Grants what was wished so far by one reload.
    pub(super) fn grant(&self, reload: impl FnOnce() -> Reloaded) {
        let asked: Vec<_> = self.0.try_iter().collect();
        if asked.is_empty() {
            return;
        }
        let reloaded = reload();
        for asker in asked {
            let _gone_meanwhile = asker.send(reloaded.clone());
        }
    }
}

/// A refusal up to its first quotation: where rules are refused, that may be an indicator which nobody may pass on.
pub(super) fn unquoted(reason: &str) -> String {
    match reason.find(['`', '"', '\'', '\u{2018}', '\u{201c}']) {
        Some(at) => format!("{}... (the sensor's own log says all of it)", &reason[..at]),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_wait_together_get_one_reload() {
        let (bell, wishes) = bell();
        let waiting: Vec<_> = (0..CONTROL_RELOADS_WAITING_MAX).map(|_| bell.ring().expect("room")).collect();
        assert!(bell.ring().is_none(), "there is a bound");
        let mut reloads = 0;
        let taken = Reloaded::Taken { indicators: 7, refused: 1, set: 3 };
        for _ in 0..3 {
            wishes.grant(|| {
                reloads += 1;
                taken.clone()
            });
        }
        assert_eq!(reloads, 1);
        assert!(waiting.into_iter().all(|asker| asker.try_recv() == Ok(taken.clone())));
        assert!(bell.ring().is_some(), "and room again");
    }

    #[test]
    fn a_refusal_quotes_nothing_of_the_rules() {
        let told = unquoted("apt.yaml:3: YAML: key `c2.red.example` twice beside \"evil.example\" and it's 'x.example");
        assert_eq!(told, "apt.yaml:3: YAML: key ... (the sensor's own log says all of it)");
        let plain = "rules/a.csv:17: domain: label longer than 63 bytes";
        assert_eq!(unquoted(plain), plain);
    }
}
