//! What a flood of connections that never come about costs: its own room, and nobody else's.

use super::*;
use crate::flow::half_open::HalfOpen;

fn host(at: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0B00_0000 | at)
}

/// A scan's SYN, each from somebody else.
fn knock(at: u32) -> Said {
    let from = (Ipv4Addr::from(0x5000_0000 | at.wrapping_mul(0x9E37_79B1) >> 6), 1024 + (at % 60_000) as u16);
    Said { seq: at, ..between(from, (SERVER.0, 443)) }.syn()
}

/// One packet of a real connection of one client.
fn real(at: u32, said: Said) -> Said {
    let swap = |end: End| if end == CLIENT { (host(at), 50_000) } else { end };
    Said { from: swap(said.from), to: swap(said.to), ..said }
}

proptest! {
    #[test]
    fn a_half_open_connection_is_what_its_syn_makes_of_any_flow(
        from: u32, to: u32, ports: (u16, u16), seq: u32, more_flags in 0..4u8, vlan in 0..4095u16, repeats in 0..4,
    ) {
        let ends = ((Ipv4Addr::from(from), ports.0), (Ipv4Addr::from(to), ports.1));
        let said = Said { seq, ..between(ends.0, ends.1) }.syn().flag(more_flags << 6).on(Wrap::Vlan(vlan));
        let bytes = said.frame();
        let moment = Moment { packet: 7, time: Timestamp::from_parts(1_795_262_400, 5) };
        let frame = Frame { number: 7, time: moment.time, bytes: &bytes, length: 99, link: Link::ETHERNET };
        let packet = decode(&frame, &mut Fragments::new((1, 2))).expect("a packet");
        let mut tap = Tap::new();
        let ticket = tap.flows.ticket(&packet, None);

        let mut whole = new_flow(moment, &packet, &ticket);
        whole.seen = moment.time.moved(Span::seconds(-1));
        whole.count(&packet, 0, ticket.direction, moment.time);
        let wants = tap.flows.settings.wants;
        let mut reading = Reading { wants, out: &mut tap.trail.observations };
        tcp(&mut whole, &mut tap.flows.shards[0].streams, &packet, ticket.direction, (&[], 0), &mut reading);

        let half_open = HalfOpen::of(moment, &packet, &ticket, whole.seen).expect("it is one");
        prop_assert_eq!(format!("{:?}", half_open.flow()), format!("{:?}", whole));
        prop_assert_eq!(format!("{:?}", half_open.view()), format!("{:?}", whole.view()));
        prop_assert_eq!(HalfOpen::gap_max(), whole.gap_max());

        // and so it is when the SYN is repeated
        let mut half_open = half_open;
        let later = moment.time.moved(Span::seconds(1));
        for _ in 0..repeats {
            whole.seen = later;
            whole.count(&packet, 0, ticket.direction, later);
            let mut reading = Reading { wants, out: &mut tap.trail.observations };
            tcp(&mut whole, &mut tap.flows.shards[0].streams, &packet, ticket.direction, (&[], 0), &mut reading);
            prop_assert!(half_open.repeated(&packet, ticket.direction, later, later));
        }
        prop_assert_eq!(format!("{:?}", half_open.flow()), format!("{:?}", whole));
        prop_assert_eq!(format!("{:?}", half_open.view()), format!("{:?}", whole.view()));
    }
}

/// Clients of whom 4,000 have asked half of something, in room for twice as many flows.
const CLIENTS: u32 = 4_000;

fn busy() -> Tap {
    let mut tap = Tap::with(32 * SHARDS, 16 << 20);
    for at in 0..CLIENTS {
        tap.all([client(0).syn(), server(0).syn().acks(1), client(1).says(&GET[..20])].map(|said| real(at, said)));
    }
    tap
}

/// How many of them are still read when they ask the rest.
fn still_read(mut tap: Tap) -> u32 {
    tap.told.clear();
    tap.all((0..CLIENTS).map(|at| real(at, client(21).says(&GET[20..]))));
    tap.told.iter().filter(|told| *told == ASKED).count() as u32
}

#[test]
fn a_flood_of_repeated_syns_pushes_out_nothing_that_was_answered() {
    let mut tap = busy();
    (0..20_000).for_each(|at| tap.all([knock(at), knock(at)]));
    assert_eq!(tap.flows.counts().midstream, 0);
    assert_eq!(still_read(tap), CLIENTS);
}

#[test]
fn connections_that_were_answered_live_through_a_flood_of_those_that_were_not() {
    let mut tap = busy();
    tap.all((0..60_000).map(knock));
    assert_eq!(tap.flows.open(), tap.flows.counts().began as usize - tap.flows.counts().evicted as usize);
    assert!(tap.flows.open() <= 32 * SHARDS && tap.flows.counts().evicted > 50_000);
    assert_eq!(still_read(tap), CLIENTS);
}

#[test]
fn a_connection_that_begins_in_a_flood_lives_until_it_is_answered() {
    let mut tap = Tap::with(32 * SHARDS, 16 << 20);
    tap.all((0..20_000).map(knock));
    for round in 0..50 {
        // an answer takes a while, here that of as many SYNs as a shard keeps for such connections and more
        tap.see(&real(round, client(0).syn()));
        tap.all((0..400).map(|at| knock(20_000 + round * 400 + at)));
        tap.all([server(0).syn().acks(1), client(1).says(GET)].map(|said| real(round, said)));
    }
    assert_eq!(tap.told.iter().filter(|told| *told == ASKED).count(), 50);
    assert_eq!(tap.flows.counts().midstream, 0);
}

#[test]
fn a_scan_that_stops_is_forgotten_after_its_gap_and_not_before() {
    let mut tap = Tap::new();
    tap.all((0..3_000).map(knock));
    let open = tap.flows.open();
    tap.wait(50);
    tap.see(&client(0).syn());
    tap.sweep();
    assert_eq!(tap.flows.open(), open + 1);
    // the clocks of shards move a step at a time
    for _ in 0..40 {
        tap.wait(1);
        tap.flows.pass(tap.now);
    }
    tap.sweep();
    assert_eq!((tap.flows.open(), tap.flows.counts().evicted), (1, 0));
    assert_eq!(tap.told.iter().filter(|told| *told == "timeout attempted").count(), open);
}

#[test]
fn a_clock_that_is_vouched_for_ends_no_flow() {
    let mut tap = busy();
    tap.all((0..100).map(knock));
    let open = tap.flows.open();
    for year in [400, -800, 400] {
        tap.flows.shift(Span::seconds(year * 86_400));
        tap.now = tap.now.moved(Span::seconds(year * 86_400));
        tap.sweep();
        assert_eq!(tap.flows.open(), open);
    }
    assert_eq!(still_read(tap), CLIENTS);
}

/// Ends of 4,096 flows to one server whose keys all have the same lower bits under a hash that a stranger can compute.
fn colliding(hash: fn(&[u8; 12]) -> u32) -> Vec<End> {
    let tuple = |at: u32| {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&(0x0B00_0000 | at >> 4).to_be_bytes());
        bytes[4..8].copy_from_slice(&SERVER.0.octets());
        bytes[8..10].copy_from_slice(&(50_000 + (at & 15) as u16).to_be_bytes());
        bytes[10..].copy_from_slice(&SERVER.1.to_be_bytes());
        bytes
    };
    let wanted = hash(&tuple(0)) & 0xFF;
    let same = (0..1 << 22).filter(|&at| hash(&tuple(at)) & 0xFF == wanted);
    same.take(4_096).map(|at| (host(at >> 4), 50_000 + (at & 15) as u16)).collect()
}

/// CRC-32 as Ethernet has it.
fn crc(bytes: &[u8; 12]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// What network cards spread flows by; the key is the one in every driver.
fn toeplitz(bytes: &[u8; 12]) -> u32 {
    let mut key = 0x6d5a_56da_255b_0ec2_4167_253d_43a3_8fb0_u128;
    let mut sum = 0;
    for bit in (0..96).map(|at| bytes[at / 8] >> (7 - at % 8) & 1) {
        sum ^= if bit == 1 { (key >> 96) as u32 } else { 0 };
        key = key.rotate_left(1);
    }
    sum
}

/// Jenkins' one at a time.
fn jenkins(bytes: &[u8; 12]) -> u32 {
    let mixed = bytes.iter().fold(0_u32, |sum, byte| {
        let sum = sum.wrapping_add(u32::from(*byte));
        let sum = sum.wrapping_add(sum << 10);
        sum ^ sum >> 6
    });
    let mixed = mixed.wrapping_add(mixed << 3);
    let mixed = mixed ^ mixed >> 11;
    mixed.wrapping_add(mixed << 15)
}

/// The slots that 999 of 1,000 look-ups touch at most, and how unevenly the shards are filled: the fullest.
fn cost(ends: &[End]) -> (usize, usize) {
    let mut tap = Tap::new();
    tap.all(ends.iter().map(|&end| between(end, SERVER).syn()));
    let Flows { shards, room, .. } = &tap.flows;
    let hash = |shard: &ShardState| -> Vec<u32> { shard.table.by_age(room).map(|(_, one)| one.hash).collect() };
    let mut touched: Vec<usize> =
        shards.iter().flat_map(|shard| shard.table.touched(hash(shard).into_iter())).collect();
    touched.sort_unstable();
    let fullest = shards.iter().map(|shard| shard.table.len()).max();
    (touched[touched.len() * 999 / 1000], fullest.unwrap_or(0))
}

#[test]
fn flows_that_collide_under_a_hash_that_others_use_cost_what_random_flows_cost() {
    let random: Vec<End> = (0..4_096_u32).map(|at| (host(at.wrapping_mul(0x9E37_79B1) >> 8), 50_000)).collect();
    let (usual, fullest) = cost(&random);
    for (name, hash) in [("CRC", crc as fn(&[u8; 12]) -> u32), ("Toeplitz", toeplitz), ("Jenkins", jenkins)] {
        let ends = colliding(hash);
        assert_eq!(ends.len(), 4_096, "{name}");
        let (slots, most) = cost(&ends);
        assert!(
            slots <= 2 * usual && most <= 2 * fullest,
            "{name}: {slots} slots of {usual}, {most} flows of {fullest}"
        );
    }
}
