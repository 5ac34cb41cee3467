//! A replay of the spool that somebody asks for and waits for: how the word comes to whoever tends the spool, and what came of it
//! back.
//!
//! In: askers, several at once. Out: watermarks set back, one asker after the other. Never here: a record.

use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::REPLAYS_WAITING_MAX;
use crate::spool::{Rewound, Tender};

/// What came of it: what is sent again, or why not.
pub(super) type Replayed = Result<Rewound, String>;

/// Since when, and who waits for it.
struct Wish {
    since: SystemTime,
    asker: Sender<Replayed>,
}

/// Where askers put their questions.
#[derive(Clone)]
pub(super) struct Bell(Sender<Wish>);

/// Where whoever tends the spool finds them.
pub(super) struct Wishes(Receiver<Wish>);

/// A bell where there is a spool, and what is rung with it.
pub(super) fn bell(has_spool: bool) -> (Option<Bell>, Wishes) {
    let (send, receive) = bounded(REPLAYS_WAITING_MAX);
    (has_spool.then_some(Bell(send)), Wishes(receive))
}

impl Bell {
    /// Asks for what was raised since then; `None`: too many wait already.
    pub(super) fn ring(&self, since: SystemTime) -> Option<Receiver<Replayed>> {
        let (asker, came) = bounded(1);
        self.0.try_send(Wish { since, asker }).ok().map(|()| came)
    }
}

impl Wishes {
    /// Grants what was wished so far.
    pub(super) fn grant(&self, tender: &Tender) {
        for Wish { since, asker } in self.0.try_iter() {
            let rewound = tender.rewind(since);
            match &rewound {
                Ok(rewound) => {
                    let records: u64 = rewound.records.iter().sum();
                    tracing::warn!(
                        records,
                        "the centre is sent again what it has committed: somebody has asked for that"
                    );
                }
                Err(error) => tracing::error!(%error, "what the centre has committed is not all sent again"),
            }
            let _gone_meanwhile = asker.send(rewound.map_err(|error| format!("the spool: {error}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Lane, Options, Position, Spool};

    #[test]
    fn what_is_wished_is_granted_by_whoever_tends_and_there_is_a_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::open(folder.path(), Options::default()).expect("a spool");
        (0..3).for_each(|_| assert!(spool.append(Lane::Normal, b"one").is_ok()));
        spool.sync().expect("a disk");
        spool.reader(Lane::Normal).commit(Position(3)).expect("a disk");
        let (bell, wishes) = bell(true);
        let bell = bell.expect("there is a spool");
        let waiting: Vec<_> =
            (0..REPLAYS_WAITING_MAX).map(|_| bell.ring(SystemTime::UNIX_EPOCH).expect("room")).collect();
        assert!(bell.ring(SystemTime::UNIX_EPOCH).is_none(), "there is a bound");
        wishes.grant(&spool.tender());
        let came: Vec<_> =
            waiting.iter().map(|came| came.try_recv().expect("an answer").expect("a disk").records).collect();
        assert_eq!((came[0], came[1]), ([0, 3, 0], [0, 0, 0]), "the second finds them waiting");
        assert_eq!(spool.reader(Lane::Normal).waiting().records(), 3);
    }
}
