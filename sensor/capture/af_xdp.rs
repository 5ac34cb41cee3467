//! A link through AF_XDP: the driver hands over every packet of the interface, in frames that are ours until the next batch.
//!
//! In: an interface that this machine does not live by. Out: a [`Whole`], that holds the interface and knows what it lost, and
//! its receive queues in [`Part`]s, which give frames of the time that the caller gives (nobody stamps them), descriptors to
//! wait on, and counters of which the kernel's add up. Never here: the generic mode of XDP, which is no faster than libpcap;
//! a clock, a wait, a thread.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use ::af_xdp::{Counted, Error, FRAME_BYTES, Hold, Lost, Packets, Rights, Shunts, State, Use};

use super::live::{Counters, Options, Queue, Refused};
use super::{Link, Record};
use crate::limits::{PORT_BYTES_MAX, SHUNTS_PORT_MAX};
use crate::time::Timestamp;

// the program was written for so many
const _: () = assert!(SHUNTS_PORT_MAX == ::af_xdp::SHUNTS);

/// An interface that is taken.
pub(super) struct Whole {
    hold: Hold,
    promiscuous: bool,
    busy_poll: Option<u32>,
    /// What the interface had lost before it was taken.
    lost_before: Lost,
    /// What it alone lost since then, as of the last count.
    lost: u64,
    /// What came by no queue that is read, as of the last count.
    unclaimed: u64,
    /// What was shunted, as of the last count.
    shunted: Counted,
    /// Whether the driver counts as lost what the program drops; it does until it has counted less.
    repeats_shunted: bool,
}

/// Takes an interface. `allow_cut_off`: also one by which this machine lives. No part is without a queue.
pub(super) fn open(
    options: &Options,
    parts: usize,
    allow_cut_off: bool,
    rights: &mut dyn Rights,
) -> Result<(Whole, Vec<Part>), Refused> {
    let name = &options.interface;
    let told = |error: Error| refused(name, &error);
    // first of all: whether there is such an interface
    let before = rights.state(name).map_err(told)?;
    if !allow_cut_off {
        let uses = rights.uses(name).map_err(told)?;
        uses.first().map_or(Ok(()), |first| Err(in_use(first)))?;
    }
    let wanted = ::af_xdp::Options {
        queue_bytes: options.ring_bytes,
        port_bytes: PORT_BYTES_MAX.max(options.ring_bytes),
        promiscuous: options.promiscuous,
        busy_poll: options.busy_poll,
        shunts: options.shunt_port != 0,
    };
    let (hold, parts) = Hold::take(rights, name, wanted, parts).map_err(told)?;
    let (promiscuous, busy_poll) = (options.promiscuous, options.busy_poll);
    let (lost_before, shunted) = (before.lost, Counted::default());
    let whole =
        Whole { hold, promiscuous, busy_poll, lost_before, lost: 0, unclaimed: 0, shunted, repeats_shunted: true };
    let (busy, places) = (busy_poll.is_some(), whole.hold.frames() / 2);
    let parts = parts.into_iter().map(|part| Part { part, busy, places, seen: Vec::new(), ask: false });
    Ok((whole, parts.collect()))
}

impl Whole {
    /// In words, for whoever starts it.
    pub(super) fn manner(&self) -> String {
        let copies = if self.hold.is_zero_copy() { "zero-copy" } else { "copy" };
        let promiscuous = if self.promiscuous { "promiscuous" } else { "not promiscuous" };
        let (queues, frames) = (self.hold.queues(), self.hold.frames());
        let busy = self.busy_poll.map_or(String::new(), |time| format!(", polled busily for {time} us"));
        let shunts = if self.hold.shunts().is_some() { ", flows can be shunted" } else { "" };
        format!(
            "native, {copies}, {promiscuous}, receive queues: {queues}, each of {frames} frames of {FRAME_BYTES} bytes{busy}{shunts}"
        )
    }

    /// Where its flows are shunted, if they can be.
    pub(super) fn shunts(&self) -> Option<Arc<Shunts>> {
        self.hold.shunts().map(Arc::clone)
    }

    /// From now on packets go their old way.
    pub(super) fn release(&mut self) {
        self.hold.release();
    }

    /// Whether what is there is still what was taken.
    pub(super) fn is_of(&self, state: &State) -> bool {
        self.hold.is_of(state)
    }

    /// Adds what was counted of the whole since it was last asked. `lost`: by the interface, asked before, so that what it is
    /// compared with has not grown less.
    pub(super) fn count(&mut self, lost: Option<Lost>, counters: &mut Counters) {
        let shunted = self.hold.shunts().map(|shunts| shunts.total()).unwrap_or_default();
        if let (Some(lost), Ok(dropped_by_sockets)) = (lost, self.hold.dropped()) {
            let dropped = lost.dropped.saturating_sub(self.lost_before.dropped);
            self.repeats_shunted &= dropped >= self.shunted.packets;
            let repeated = if self.repeats_shunted { shunted.packets } else { 0 };
            let lost = lost_alone(self.lost_before, lost, dropped_by_sockets + repeated);
            counters.interface += lost.saturating_sub(self.lost);
            self.lost = self.lost.max(lost);
        }
        let unclaimed = self.hold.unclaimed();
        let more = unclaimed.saturating_sub(std::mem::replace(&mut self.unclaimed, unclaimed));
        counters.unclaimed += more;
        counters.offered += more;
        let before = std::mem::replace(&mut self.shunted, shunted);
        let more = shunted.packets - before.packets;
        counters.shunted += more;
        counters.offered += more;
        counters.shunted_bytes += shunted.bytes - before.bytes;
    }
}

/// Some of its queues, for one worker.
pub(super) struct Part {
    part: ::af_xdp::Part,
    busy: bool,
    /// Packets that the ring of one queue holds.
    places: u32,
    /// What was counted of each queue when it was last asked.
    seen: Vec<(u32, ::af_xdp::Counters)>,
    /// Whether the sockets are asked for complaints when the rings are empty: a call that is not made for every batch.
    ask: bool,
}

impl Part {
    pub(super) fn polls_busily(&self) -> bool {
        self.busy
    }

    pub(super) fn places(&self) -> u32 {
        self.places
    }

    pub(super) fn fill(&mut self) -> u32 {
        self.part.fill()
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.part.descriptors()
    }

    /// Up to `budget` frames, at once; [`Part::packets`] has their bytes.
    pub(super) fn poll(
        &mut self,
        budget: usize,
        time: Timestamp,
        snap_bytes: usize,
        records: &mut Vec<Record>,
    ) -> Result<(), Refused> {
        let packets = self.part.receive(budget);
        records.extend((0..packets.len()).map(|at| {
            let len = packets.get(at).len();
            Record { start: 0, len: len.min(snap_bytes), length: len as u32, time, link: Link::ETHERNET }
        }));
        if !records.is_empty() || !std::mem::take(&mut self.ask) {
            return Ok(());
        }
        let complaint = self.part.complaint();
        complaint.map_or(Ok(()), |error| Err(refused("", &error)))
    }

    /// The packets of the last poll.
    pub(super) fn packets(&self) -> Packets<'_> {
        self.part.packets()
    }

    /// Adds what was counted since it was last asked.
    pub(super) fn count(&mut self, counters: &mut Counters, queues: &mut Vec<Queue>) {
        self.ask = true;
        let Ok(now) = self.part.counters() else { return };
        for (number, now) in now {
            let at = queues.iter().position(|queue| queue.number == number).unwrap_or_else(|| {
                queues.push(Queue { number, ..Queue::default() });
                queues.len() - 1
            });
            let seen = self.seen.iter().position(|(seen, _)| *seen == number).unwrap_or_else(|| {
                self.seen.push((number, ::af_xdp::Counters::default()));
                self.seen.len() - 1
            });
            let (queue, before) = (&mut queues[at], std::mem::replace(&mut self.seen[seen].1, now));
            let (full, none) = (now.ring_full - before.ring_full, now.no_frame - before.no_frame);
            queue.received += now.received - before.received;
            queue.ring_full += full;
            queue.no_frame += none;
            counters.offered += now.came().saturating_sub(before.came());
            counters.ring_full += full;
            counters.no_frame += none;
        }
    }
}

/// What an interface lost beside what its sockets say. Whether a driver's drops hold theirs depends on the driver (veth's
/// do); taking them off counts no frame twice, and on the other drivers tells too little only where both lose.
fn lost_alone(before: Lost, now: Lost, dropped_by_sockets: u64) -> u64 {
    let dropped = now.dropped.saturating_sub(before.dropped).saturating_sub(dropped_by_sockets);
    dropped + now.missed.saturating_sub(before.missed)
}

fn in_use(by: &Use) -> Refused {
    let what = match by {
        Use::Address(address) => format!("has the address {address}"),
        Use::DefaultRoute => "carries the default route".to_owned(),
        Use::Below(other) => format!("is a part of {other}"),
    };
    Refused::InUse(format!(
        "the interface {what}, and AF_XDP takes all that comes to it: this machine would be cut off there; \
         set `backend: libpcap`, or `allow_cut_off: true` if that is what you want"
    ))
}

fn refused(interface: &str, error: &Error) -> Refused {
    let text = error.to_string();
    match error {
        Error::Absent => Refused::Absent(text),
        Error::Down => Refused::Down(text),
        Error::Permission(_) => Refused::Permission("cap_net_raw,cap_net_admin,cap_bpf"),
        Error::QueueTaken(_) => Refused::Busy(format!("{text} (`ss --xdp -p` tells which)")),
        Error::Occupied => Refused::Other(format!(
            "{text} (`ip -d link show {interface}` names it, `ip link set {interface} xdp off` removes it)"
        )),
        Error::NotNative => Refused::Other(format!("{text}: set `backend: libpcap`")),
        Error::Memory { .. } => Refused::Other(format!(
            "{text}: raise it (`LimitMEMLOCK=infinity` in the service's unit), or set a smaller `ring`"
        )),
        Error::Strange | Error::Call { .. } => Refused::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_and_what_to_type() {
        for (by, why) in [
            (Use::Address([10, 0, 0, 1].into()), "has the address 10.0.0.1"),
            (Use::DefaultRoute, "carries the default route"),
            (Use::Below("br0".into()), "is a part of br0"),
        ] {
            let said = in_use(&by).to_string();
            let words = [why, "cut off", "`backend: libpcap`", "`allow_cut_off: true`"];
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
        let of = |error| refused("tap0", &error).to_string();
        assert!(of(Error::QueueTaken(2)).starts_with("another program holds queue 2 ("));
        assert!(of(Error::Occupied).contains("`ip link set tap0 xdp off`"));
        assert!(of(Error::Memory { bytes: 1 }).contains("RLIMIT_MEMLOCK"));
        assert!(of(Error::NotNative).contains("`backend: libpcap`"));
        assert!(of(Error::Permission("bind")).contains("CAP_BPF"));
    }

    #[test]
    fn a_drop_that_driver_and_socket_both_count_is_one() {
        let before = Lost { dropped: 1_000, missed: 5 };
        let alone = |dropped, missed| lost_alone(before, Lost { dropped, missed }, 70);
        assert_eq!(alone(1_070, 5), 0, "the driver repeats the sockets");
        assert_eq!(alone(1_090, 8), 23, "and lost some by itself");
        assert_eq!(alone(1_000, 5), 0, "the driver keeps to its own");
    }

    #[test]
    fn an_interface_that_the_machine_lives_by_is_not_taken() {
        let mut rights = ::af_xdp::OwnRights::default();
        let options = Options {
            interface: "lo".to_owned(),
            backend: super::super::live::Backend::AfXdp { allow_cut_off: false },
            filter: None,
            ring_bytes: 1 << 20,
            snap_bytes: 1 << 16,
            promiscuous: true,
            busy_poll: None,
            shunt_port: 0,
        };
        if ::af_xdp::Interface::named("lo").is_ok_and(|lo| lo.is_up()) {
            assert!(matches!(open(&options, 1, false, &mut rights), Err(Refused::InUse(_))));
        }
        let absent = Options { interface: "nosuchtap9".to_owned(), ..options };
        assert!(matches!(open(&absent, 1, false, &mut rights), Err(Refused::Absent(_))));
    }
}
