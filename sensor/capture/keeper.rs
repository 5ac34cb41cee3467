//! A link as a whole: opened, dealt out to the workers that read it, watched, and opened again when it went away.
//!
//! In: how it is read, how many workers there are, and who has the right to take interfaces. Out: a [`Live`] for each of
//! them; what belongs to no part: what reads it, what the interface itself lost, why it cannot be read. All parts of a link
//! are opened and given up together. Never here: a frame; a clock; a wait: whoever owns it looks now and then.

use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::af_xdp::{Rights, Shunts};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::af_xdp::{self, Whole};
use super::libpcap::{self, ANY, Libpcap};
use super::live::{Backend, Counters, Live, Opened, Options, Refused};

/// A worker's end of where it meets its keeper. Neither waits for the other, and no packet passes here.
pub(super) struct Ends<T = Opened> {
    taken: Receiver<T>,
    back: Sender<(T, Option<Refused>)>,
    recalled: Arc<AtomicBool>,
}

impl<T> Ends<T> {
    /// Whether the keeper wants back what it gave.
    pub(super) fn is_recalled(&self) -> bool {
        self.recalled.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> Option<T> {
        self.taken.try_recv().ok()
    }

    /// With the reason, if it cannot be read any more.
    pub(super) fn hand_back(&self, part: T, why: Option<Refused>) {
        // there is room: a keeper gives no second part before it has the first back
        let _keeper_is_gone = self.back.try_send((part, why));
    }
}

/// The keeper's end.
struct Slot<T = Opened> {
    give: Sender<T>,
    back: Receiver<(T, Option<Refused>)>,
    recalled: Arc<AtomicBool>,
    /// Whether the worker has a part.
    is_out: bool,
    /// What it handed back last.
    kept: Option<T>,
}

impl<T> Slot<T> {
    fn new() -> (Slot<T>, Ends<T>) {
        let ((give, taken), (hand, back), recalled) = (bounded(1), bounded(1), Arc::new(AtomicBool::new(false)));
        let ends = Ends { taken, back: hand, recalled: Arc::clone(&recalled) };
        (Slot { give, back, recalled, is_out: false, kept: None }, ends)
    }

    fn give(&mut self, part: T) {
        self.recalled.store(false, Ordering::Release);
        self.is_out = self.give.try_send(part).is_ok();
    }

    /// What the worker handed back since it was last asked: the reason, if there was one.
    fn ask_back(&mut self) -> Option<Option<Refused>> {
        let (part, why) = self.back.try_recv().ok()?;
        (self.is_out, self.kept) = (false, Some(part));
        Some(why)
    }
}

/// What a look at a link found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// All is as it was.
    Same,
    /// It cannot be read any more; or still not, and for another reason than was told.
    Gone(Refused),
    /// It is read again, in this manner.
    Back(String),
}

/// What is open of a link beside its parts.
enum Held {
    Libpcap {
        members: usize,
        /// Which interface it is: one that is renamed goes on giving frames, and its name may be another's by now. `None`:
        /// nobody says.
        number: Option<u32>,
        /// What the interface had no room for when that was last asked.
        missed: Option<u64>,
    },
    AfXdp(Whole),
}

impl Held {
    fn of_libpcap(interface: &str, members: usize) -> Held {
        let number = libpcap::number(interface).ok().flatten();
        Held::Libpcap { members, number, missed: libpcap::missed(interface) }
    }
}

/// See the head of this file.
pub struct Keeper {
    options: Options,
    slots: Vec<Slot>,
    held: Option<Held>,
    /// What reads it, in a word; while it is gone, what read it; before it was there, what is to.
    backend: &'static str,
    /// Why the best way to read it was not taken.
    instead: Option<Refused>,
    /// Why it is not open, as it was last told.
    told: Option<Refused>,
    counters: Counters,
}

impl Keeper {
    /// Opens a link for `workers` workers; frames of each are numbered from the number that `first` gives.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open(
        options: Options,
        workers: usize,
        first: impl Fn(usize) -> u64,
        rights: &mut dyn Rights,
    ) -> Result<(Keeper, Vec<Live>), Refused> {
        let (mut keeper, ends) = Keeper::new(options, workers);
        keeper.open_all(rights)?;
        // whoever has nothing to read now has no way to hand on what it reads, and gets nothing later
        keeper.slots.retain(|slot| slot.is_out);
        let lives = keeper.lives(ends, first);
        Ok((keeper, lives))
    }

    /// One of a link that `why` keeps from being opened: it is looked for from now on. How many parts it will have nobody
    /// knows, so every worker is ready for one.
    pub fn awaiting(
        options: Options,
        workers: usize,
        first: impl Fn(usize) -> u64,
        why: Refused,
    ) -> (Keeper, Vec<Live>) {
        let (mut keeper, ends) = Keeper::new(options, workers);
        keeper.told = Some(why);
        let lives = keeper.lives(ends, first);
        (keeper, lives)
    }

    fn new(options: Options, workers: usize) -> (Keeper, Vec<Ends>) {
        let (slots, ends) = (0..workers.max(1)).map(|_| Slot::new()).unzip();
        let backend = match options.backend {
            Backend::Auto => "auto",
            Backend::Libpcap => "libpcap",
            Backend::AfXdp { .. } => "af_xdp",
        };
        let counters = Counters::default();
        (Keeper { options, slots, held: None, backend, instead: None, told: None, counters }, ends)
    }

    fn lives(&self, ends: Vec<Ends>, first: impl Fn(usize) -> u64) -> Vec<Live> {
        let Options { snap_bytes, shunt_port, .. } = self.options;
        let lives = ends.into_iter().take(self.slots.len()).enumerate();
        lives.map(|(at, ends)| Live::new(ends, snap_bytes, first(at), shunt_port)).collect()
    }

    fn open_all(&mut self, rights: &mut dyn Rights) -> Result<(), Refused> {
        if self.open_again()? {
            return Ok(());
        }
        self.slots.iter_mut().for_each(|slot| slot.kept = None);
        let (held, parts, instead) = open(&self.options, self.slots.len(), rights)?;
        self.backend = match held {
            Held::Libpcap { .. } => "libpcap",
            Held::AfXdp(_) => "af_xdp",
        };
        (self.held, self.instead) = (Some(held), instead);
        self.slots.iter_mut().zip(parts).for_each(|(slot, part)| slot.give(part));
        Ok(())
    }

    /// Reads the interface through the one socket that there was: to make another may take a right that is gone.
    fn open_again(&mut self) -> Result<bool, Refused> {
        let [Slot { kept: Some(Opened::Libpcap(libpcap)), .. }] = &self.slots[..] else { return Ok(false) };
        match libpcap.reopen() {
            Ok(()) => {}
            // it came back as another kind of link
            Err(Refused::Other(_)) => return Ok(false),
            Err(why) => return Err(why),
        }
        self.held = Some(Held::of_libpcap(&self.options.interface, 1));
        let kept = self.slots[0].kept.take();
        self.slots.iter_mut().zip(kept).for_each(|(slot, part)| slot.give(part));
        Ok(true)
    }

    /// The interface.
    pub fn name(&self) -> &str {
        &self.options.interface
    }

    /// What reads it, in a word.
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// How it is read, in words for whoever starts it.
    pub fn manner(&self) -> String {
        let manner = match &self.held {
            Some(Held::AfXdp(whole)) => whole.manner(),
            Some(Held::Libpcap { members: 1, .. }) => {
                format!("copied by the kernel, ring of {} bytes", self.options.ring_bytes)
            }
            Some(Held::Libpcap { members, .. }) => {
                format!("copied by the kernel, shared by {members} workers, rings of {} bytes", self.options.ring_bytes)
            }
            None => "not open".to_owned(),
        };
        match &self.instead {
            Some(why) => format!("{manner}; not AF_XDP: {why}"),
            None => manner,
        }
    }

    /// Whether it takes no right to open it again.
    pub fn opens_without_rights(&self) -> bool {
        matches!(self.held, Some(Held::Libpcap { members: 1, .. }))
    }

    /// Whether it is read.
    pub fn is_open(&self) -> bool {
        self.held.is_some()
    }

    /// Looks after it: what its parts complain of, whether the interface is still the one that was taken; and when it went
    /// away, whether it can be had again.
    pub fn look(&mut self, rights: &mut dyn Rights) -> Seen {
        if self.held.is_some() {
            return match self.complaint(rights) {
                Some(why) => {
                    self.let_go();
                    self.told = Some(why.clone());
                    Seen::Gone(why)
                }
                None => Seen::Same,
            };
        }
        for slot in &mut self.slots {
            let _complained_of_before = slot.ask_back();
        }
        self.forget();
        if self.slots.iter().any(|slot| slot.is_out) {
            return Seen::Same;
        }
        match self.open_all(rights) {
            Ok(()) => {
                self.counters.reopened += 1;
                Seen::Back(self.manner())
            }
            // it stays away as it went away
            Err(why) if self.told.as_ref().is_some_and(|told| discriminant(told) == discriminant(&why)) => Seen::Same,
            Err(why) => {
                self.told = Some(why.clone());
                Seen::Gone(why)
            }
        }
    }

    /// It ends: from now on packets go their old way, where they have one. What the kernel has taken before is still read.
    pub fn detach(&mut self, rights: &mut dyn Rights) {
        let _all_is_over = self.complaint(rights);
        self.close();
    }

    /// What the program counts until its last moment counts.
    fn close(&mut self) {
        if let Some(Held::AfXdp(mut whole)) = self.held.take() {
            whole.release();
            whole.count(None, &mut self.counters);
        }
    }

    /// What was handed back is closed, unless it may be read again as it is: sockets that share cannot be bound anew.
    fn forget(&mut self) {
        let alone = self.slots.len() == 1;
        for slot in &mut self.slots {
            slot.kept.take_if(|part| !alone || !matches!(part, Opened::Libpcap(_)));
        }
    }

    fn let_go(&mut self) {
        self.forget();
        self.close();
        self.slots.iter().for_each(|slot| slot.recalled.store(true, Ordering::Release));
    }

    /// Where its flows are shunted, while they can be.
    pub fn shunts(&self) -> Option<Arc<Shunts>> {
        match self.held.as_ref()? {
            Held::AfXdp(whole) => whole.shunts(),
            Held::Libpcap { .. } => None,
        }
    }

    /// What was counted of the whole link.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn complaint(&mut self, rights: &mut dyn Rights) -> Option<Refused> {
        let back = self.slots.iter_mut().find_map(Slot::ask_back);
        let state = match &self.held {
            Some(Held::AfXdp(_)) => Some(rights.state(&self.options.interface)),
            _ => None,
        };
        if let Some(Held::Libpcap { missed, number, .. }) = &mut self.held {
            let named = libpcap::number(&self.options.interface);
            if let (Some(number), Ok(named)) = (number, named)
                && named != Some(*number)
            {
                // its own socket may have said more
                return back.flatten().or_else(|| Some(renamed(named)));
            }
            if let Some(now) = libpcap::missed(&self.options.interface) {
                self.counters.interface += missed.replace(now).map_or(0, |before| now.saturating_sub(before));
            }
        }
        if let Some(Held::AfXdp(whole)) = &mut self.held {
            let lost = state.as_ref().and_then(|state| state.as_ref().ok()).filter(|state| whole.is_of(state));
            whole.count(lost.map(|state| state.lost), &mut self.counters);
            let other = state.and_then(|state| match state {
                Ok(state) if whole.is_of(&state) => None,
                Ok(_) => Some(Refused::Other("the interface is another, or its queues are".to_owned())),
                Err(::af_xdp::Error::Absent) => Some(Refused::Absent(String::new())),
                // whoever is asked does not answer: the sockets will tell
                Err(_) => None,
            });
            if let Some(other) = other {
                return Some(other);
            }
        }
        back.map(|why| why.unwrap_or_else(|| Refused::Other("it was handed back".to_owned())))
    }
}

/// Why what was opened by a name is not what it names now.
fn renamed(named: Option<u32>) -> Refused {
    match named {
        Some(_) => Refused::Other("the interface is another".to_owned()),
        None => Refused::Absent(String::new()),
    }
}

/// Opens a link in the best way that there is, for at most so many workers; and why that is not AF_XDP, where it might be.
fn open(
    options: &Options,
    workers: usize,
    rights: &mut dyn Rights,
) -> Result<(Held, Vec<Opened>, Option<Refused>), Refused> {
    let by_driver = |rights: &mut dyn Rights, allow_cut_off| {
        let (whole, parts) = af_xdp::open(options, workers, allow_cut_off, rights)?;
        Ok((Held::AfXdp(whole), parts.into_iter().map(Opened::AfXdp).collect(), None))
    };
    let by_library = |instead| {
        let members = Libpcap::open(options, workers)?;
        let held = Held::of_libpcap(&options.interface, members.len());
        Ok((held, members.into_iter().map(Opened::Libpcap).collect(), instead))
    };
    match options.backend {
        Backend::AfXdp { allow_cut_off } => by_driver(rights, allow_cut_off),
        Backend::Auto if options.interface != ANY && options.filter.is_none() => match by_driver(rights, false) {
            // these libpcap would meet too, and a queue is free again soon
            Err(why) if !matches!(why, Refused::Absent(_) | Refused::Down(_) | Refused::Busy(_)) => {
                by_library(Some(why))
            }
            opened => opened,
        },
        Backend::Auto | Backend::Libpcap => by_library(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_goes_to_its_worker_and_back_with_the_reason() {
        let (mut slot, ends) = Slot::new();
        assert!(ends.take().is_none() && !slot.is_out);
        slot.give("a part");
        assert!(slot.is_out && slot.ask_back().is_none());
        let part = ends.take().expect("it was given");
        ends.hand_back(part, Some(Refused::Down("tap0".to_owned())));
        assert_eq!(slot.ask_back(), Some(Some(Refused::Down("tap0".to_owned()))));
        assert!(!slot.is_out && slot.ask_back().is_none(), "told once");
    }

    #[test]
    fn what_is_recalled_comes_back_and_what_is_given_next_stays() {
        let (mut slot, ends) = Slot::new();
        slot.give("a part");
        slot.recalled.store(true, Ordering::Release);
        assert!(ends.is_recalled());
        ends.hand_back(ends.take().expect("it was given"), None);
        assert_eq!(slot.ask_back(), Some(None));
        slot.give("a part");
        assert!(!ends.is_recalled() && ends.take().is_some());
    }
}
