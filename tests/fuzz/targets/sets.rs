//! The set against an oracle that compares everything with everything: no hit is missed, none is made up.

use haetae::indicator::{AddressQuestion, Builder, Questions, Statement};
use haetae::observable::{Event, Field, KINDS, Kind, Observations, Shape, Side, address, digest, domain, plain, url};

use super::number;

static EVENT: Event = Event { name: "fuzz", app_proto: None };

/// Fields by the form that their kinds share.
static FIELDS: [Field; 5] = [
    Field::sought("name", &domain::KINDS),
    Field::sought("address", &address::KINDS),
    Field::sought("url", &url::KINDS),
    Field::sought("digest", &[&digest::SHA256]),
    Field::sought("agent", &[&plain::USER_AGENT]),
];

/// Lines that are looked at; the oracle's work is their square.
const LINES_MAX: usize = 64;

/// `[how many are listed]`, then lines `[row, value...]`: the first ones are listed, all are seen.
pub fn asked(mut input: &[u8]) -> usize {
    let Some(listed_max) = number(&mut input) else { return 0 };
    let lines: Vec<(u8, &[u8])> = input
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split_first().map(|(row, value)| (*row, value)))
        .take(LINES_MAX)
        .collect();
    let mut builder = Builder::new(*b"0123456789abcdef", 0);
    let Ok(said) = builder.say(Statement { confidence: 50, ..Statement::default() }) else { return 0 };
    let mut listed: Vec<(&'static Kind, Vec<u8>)> = Vec::new();
    for (row, value) in lines.iter().take(usize::from(listed_max) % LINES_MAX) {
        let kind = KINDS[usize::from(*row) % KINDS.len()];
        let mut canonical = Vec::new();
        let takes = kind.shape != Shape::Contained && (kind.canonical)(value, &mut canonical).is_ok();
        if takes && builder.take(kind, value, said, None, |_| Ok(())).is_ok() {
            listed.push((kind, canonical));
        }
    }
    let set = builder.build();
    let mut seen = Observations::default();
    for (row, value) in &lines {
        seen.begin(&EVENT, Side::Client).field(&FIELDS[usize::from(*row) % FIELDS.len()], value);
    }
    let (mut room, mut hits) = (Questions::default(), Vec::new());
    set.look_up(&seen, &mut room, &mut hits);
    let found: Vec<(u32, &'static str, Vec<u8>)> = hits
        .iter()
        .map(|hit| (hit.asked, set.value(hit.entry)))
        .map(|(asked, (kind, value))| (asked, kind.name, value.to_vec()))
        .collect();
    assert_eq!(sorted(found), sorted(expected(&seen, &listed)), "the set and the oracle differ");
    addresses_are_found(&set, &seen);
    hits.len()
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all.dedup();
    all
}

/// Every listed value that a seen one meets.
fn expected(seen: &Observations, listed: &[(&'static Kind, Vec<u8>)]) -> Vec<(u32, &'static str, Vec<u8>)> {
    let mut met = Vec::new();
    for (asked, observation) in (0..).zip(seen.list()) {
        for field in seen.fields(observation) {
            let canonical = seen.canonical(field);
            let meets = |(kind, value): &&(&'static Kind, Vec<u8>)| {
                !canonical.is_empty() && field.field.kinds.contains(kind) && meets(kind.shape, value, canonical)
            };
            met.extend(listed.iter().filter(meets).map(|(kind, value)| (asked, kind.name, value.clone())));
        }
    }
    met
}

fn meets(shape: Shape, listed: &[u8], seen: &[u8]) -> bool {
    match shape {
        Shape::Equal => listed == seen,
        Shape::AtOrBelow => seen == listed || seen.strip_suffix(listed).is_some_and(|before| before.ends_with(b".")),
        Shape::Prefix => is_within(listed, seen),
        Shape::Contained => false,
    }
}

/// 16 bytes of address and one of length on both sides; bits beyond the listed length do not count.
fn is_within(listed: &[u8], seen: &[u8]) -> bool {
    let (Some((&long, network)), Some((&short, address))) = (listed.split_last(), seen.split_last()) else {
        return false;
    };
    let same = |bit: usize| (network[bit / 8] ^ address[bit / 8]) >> (7 - bit % 8) & 1 == 0;
    // ::ffff:0:0/96 is IPv4: no network of IPv6 holds it, however short
    let family = |bytes: &[u8]| bytes[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF];
    long <= short && family(network) == family(address) && (0..usize::from(long)).all(same)
}

/// Addresses of flows are asked by another door, and it must find the same.
fn addresses_are_found(set: &haetae::indicator::IndicatorSet, seen: &Observations) {
    let (mut questions, mut asked_of) = (Vec::new(), Vec::new());
    for (at, observation) in (0..).zip(seen.list()) {
        for field in seen.fields(observation).iter().filter(|field| field.field.name == "address") {
            let canonical = seen.canonical(field);
            // a network that was seen is no address of a flow
            if let (Some(bytes), Some(&128)) = (canonical.first_chunk::<16>(), canonical.last()) {
                questions.push(AddressQuestion { asked: at, field: 0, address: haetae::decode::ip(bytes) });
                asked_of.push(at);
            }
        }
    }
    let (mut room, mut hits, mut others) = (Questions::default(), Vec::new(), Vec::new());
    set.look_up_addresses(&questions, &mut room, &mut hits);
    room = Questions::default();
    set.look_up(seen, &mut room, &mut others);
    others.retain(|hit| asked_of.contains(&hit.asked));
    let pairs = |hits: &[haetae::indicator::Hit]| sorted(hits.iter().map(|hit| (hit.asked, hit.entry)).collect());
    assert_eq!(pairs(&hits), pairs(&others), "the two doors for addresses differ");
}
