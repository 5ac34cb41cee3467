//! Flows of which a kernel counts what nobody hears: when they are given to it, and what comes back.

use std::sync::Mutex;

use super::*;
use crate::flow::{Direction, Shunted, Shunter, Unheard};

const PORT: u8 = 3;
const PAYLOAD_MIN: u64 = 50_000;
const BULK: usize = 1_000;
/// More than recognisers are shown.
const ROUNDS: usize = 25;
/// Where both streams are after that.
const AFTER: usize = 1 + ROUNDS * 20;
/// Packets up to there.
const BEFORE: u64 = 3 + 2 * ROUNDS as u64;

/// What the kernel would know: who is shunted, and what has come of him since.
#[derive(Default)]
struct Kernel {
    slots: Mutex<Vec<(Direction, Unheard)>>,
    is_over: std::sync::atomic::AtomicBool,
    asked: Mutex<Vec<u8>>,
    full: bool,
}

struct Held(Arc<Kernel>, Direction);

impl Kernel {
    fn shunted(&self) -> usize {
        self.slots.lock().expect("nobody panicked").len()
    }

    /// A packet on the wire: whether the kernel keeps it.
    fn takes(&self, said: &Said) -> bool {
        let mut slots = self.slots.lock().expect("nobody panicked");
        let is_his = |of: &Direction| {
            of.ports == (said.from.1, said.to.1)
                && of.source[12..] == said.from.0.octets()
                && said.flags & !of.flags == 0
        };
        let Some((_, unheard)) = slots.iter_mut().find(|(of, _)| is_his(of)) else { return false };
        unheard.packets += 1;
        unheard.bytes += said.frame().len() as u64;
        unheard.payload += said.bytes.len() as u64;
        true
    }
}

struct Site(Arc<Kernel>);

impl Shunter for Site {
    fn payload_min(&self, port: u8) -> u64 {
        self.0.asked.lock().expect("nobody panicked").push(port);
        PAYLOAD_MIN
    }

    fn shunt(&self, port: u8, direction: &Direction) -> Option<Box<dyn Shunted>> {
        assert_eq!(port, PORT);
        if self.0.full {
            return None;
        }
        let mut slots = self.0.slots.lock().expect("nobody panicked");
        assert!(slots.iter().all(|(of, _)| of != direction), "nobody asks twice");
        slots.push((*direction, Unheard::default()));
        Some(Box::new(Held(Arc::clone(&self.0), *direction)))
    }
}

impl Shunted for Held {
    fn more(&mut self) -> Unheard {
        let mut slots = self.0.slots.lock().expect("nobody panicked");
        let slot = slots.iter_mut().find(|(of, _)| *of == self.1).expect("it is held");
        std::mem::take(&mut slot.1)
    }

    fn is_over(&self) -> bool {
        self.0.is_over.load(std::sync::atomic::Ordering::Acquire)
    }

    fn withdraw(mut self: Box<Self>) -> (Unheard, bool) {
        (self.more(), true)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.slots.lock().expect("nobody panicked").retain(|(of, _)| *of != self.1);
    }
}

/// A connection that speaks nothing we read: both sides have said so, and nothing is to be learned of it.
fn opaque(wrap: Wrap) -> Vec<Said> {
    let mut all = handshake();
    for at in 0..ROUNDS {
        all.push(client(1 + at * 20).says([0xF1; 20]).acks(1 + at * 20));
        all.push(server(1 + at * 20).says([0xF2; 20]).acks(21 + at * 20));
    }
    all.into_iter().map(|said| said.on(wrap)).collect()
}

/// What the server sends next, so many segments.
fn bulk(from: usize, count: usize) -> impl Iterator<Item = Said> {
    (from..from + count).map(|at| server(AFTER + at * BULK).says([0xF3; BULK]).acks(AFTER))
}

/// A tap on a wire whose kernel may take packets first.
struct Wire {
    tap: Tap,
    kernel: Arc<Kernel>,
    heard: u64,
}

impl Wire {
    fn new(kernel: Kernel) -> Wire {
        let kernel = Arc::new(kernel);
        let mut tap = Tap::new();
        tap.port = PORT;
        tap.flows.shunt_by(Arc::new(Site(Arc::clone(&kernel))));
        Wire { tap, kernel, heard: 0 }
    }

    fn carries(&mut self, said: impl IntoIterator<Item = Said>) {
        for one in said {
            if !self.kernel.takes(&one) {
                self.tap.see(&one);
                self.heard += 1;
            }
        }
    }
}

fn numbers(flow: &FlowView) -> ([u64; 2], [u64; 2], [u64; 2], [u8; 2]) {
    (flow.packets, flow.bytes, flow.payload, flow.tcp_flags)
}

#[test]
fn a_flow_that_is_not_heard_counts_as_one_that_is() {
    let all = || {
        let end = [server(AFTER + 2_000 * BULK).fin().acks(AFTER), client(AFTER).fin().acks(1 + AFTER + 2_000 * BULK)];
        opaque(Wrap::Plain).into_iter().chain(bulk(0, 2_000)).chain(end)
    };
    let mut heard = Tap::hears(all());
    let told = heard.end();
    let mut wire = Wire::new(Kernel::default());
    wire.carries(all());
    assert!(wire.heard < 200, "{} ", wire.heard);
    assert_eq!(wire.kernel.shunted(), 0, "the first FIN gave it back");
    assert_eq!((wire.tap.end(), wire.tap.flows.counts().shunted), (told, 1));
    assert_eq!(numbers(&wire.tap.views[0]), numbers(&heard.views[0]));
}

#[test]
fn whoever_talks_to_the_kernel_alone_is_not_idle() {
    let mut wire = Wire::new(Kernel::default());
    wire.carries(opaque(Wrap::Plain));
    wire.carries(bulk(0, 200));
    assert_eq!(wire.kernel.shunted(), 1);
    for round in 1..10 {
        wire.tap.wait(400);
        wire.carries(bulk(round * 200, 1));
        wire.tap.flows.pass(wire.tap.now);
        for _ in 0..100 {
            wire.tap.flows.pass(wire.tap.now); // a step at a time
        }
        wire.tap.sweep();
        assert_eq!(wire.tap.flow().packets.iter().sum::<u64>(), BEFORE + 200 + round as u64);
    }
    assert_eq!((wire.kernel.shunted(), wire.tap.views.len()), (1, 0));
    wire.tap.wait(700);
    for _ in 0..200 {
        wire.tap.flows.pass(wire.tap.now);
    }
    wire.tap.sweep();
    assert_eq!((wire.kernel.shunted(), wire.tap.views.len()), (0, 1), "and who falls silent is");
    assert_eq!(wire.tap.views[0].packets.iter().sum::<u64>(), BEFORE + 209);
}

#[test]
fn what_is_still_to_be_learned_or_travels_otherwise_is_heard() {
    let mut wire = Wire::new(Kernel::default());
    wire.carries(handshake());
    wire.carries((0..200).map(|at| server(1 + at * BULK).says([b'H'; BULK]).acks(1)));
    assert_eq!(wire.kernel.shunted(), 0, "one side has not spoken");
    for wrap in [Wrap::Vxlan(7), Wrap::Gre(CLIENT, SERVER)] {
        let mut wire = Wire::new(Kernel::default());
        wire.carries(opaque(wrap));
        wire.carries(bulk(0, 200).map(|said| said.on(wrap)));
        assert_eq!(wire.kernel.shunted(), 0, "in a tunnel");
    }
    let mut wire = Wire::new(Kernel::default());
    wire.tap.port = 0;
    wire.carries(opaque(Wrap::Plain));
    wire.carries(bulk(0, 200));
    assert_eq!((wire.kernel.shunted(), wire.kernel.asked.lock().expect("sound").len()), (0, 0), "another port");
    let mut wire = Wire::new(Kernel::default());
    wire.carries(opaque(Wrap::Plain));
    wire.carries(bulk(0, 40));
    assert_eq!(wire.kernel.shunted(), 0, "too small");
}

#[test]
fn a_syn_or_a_reset_gives_both_directions_back() {
    for (said, again) in [(client(0).syn(), 1), (client(7_000).syn(), 0), (client(AFTER).rst(), 0)] {
        let mut wire = Wire::new(Kernel::default());
        wire.carries(opaque(Wrap::Plain));
        wire.carries(bulk(0, 300));
        wire.carries((0..300).map(|_| client(AFTER).acks(AFTER + 300 * BULK)));
        assert_eq!(wire.kernel.shunted(), 2, "acknowledgements too");
        wire.carries([said.clone()]);
        assert_eq!(wire.kernel.shunted(), 0, "{said:?}");
        wire.carries(bulk(300, 200));
        assert_eq!(wire.kernel.shunted(), again, "only what goes on as before is taken again: {said:?}");
        assert_eq!(wire.tap.flow().packets.iter().sum::<u64>(), BEFORE + 801);
    }
}

#[test]
fn a_kernel_without_room_is_asked_again_now_and_then() {
    let mut wire = Wire::new(Kernel { full: true, ..Kernel::default() });
    wire.carries(opaque(Wrap::Plain));
    wire.carries(bulk(0, 1_000));
    let counts = wire.tap.flows.counts();
    assert_eq!((counts.shunted, wire.heard), (0, BEFORE + 1_000));
    assert!((10..=16).contains(&counts.shunts_refused), "{counts:?}");
}

#[test]
fn a_port_that_is_given_up_gives_back_what_it_counted() {
    let mut wire = Wire::new(Kernel::default());
    wire.carries(opaque(Wrap::Plain));
    wire.carries(bulk(0, 200));
    wire.kernel.is_over.store(true, std::sync::atomic::Ordering::Release);
    wire.tap.sweep();
    assert_eq!(wire.kernel.shunted(), 0);
    assert_eq!(wire.tap.flow().packets.iter().sum::<u64>(), BEFORE + 200);
    drop(wire.tap);
}

#[test]
fn whoever_gives_up_its_flows_gives_back_what_is_shunted() {
    let mut wire = Wire::new(Kernel::default());
    wire.carries(opaque(Wrap::Plain));
    wire.carries(bulk(0, 200));
    assert_eq!(wire.kernel.shunted(), 1);
    drop(wire.tap);
    assert_eq!(wire.kernel.shunted(), 0);
}
