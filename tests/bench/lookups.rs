//! Look-ups alone: values of one kind that are all listed, or none, in sets that fit a cache and in sets that do not.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use haetae::indicator::{AddressQuestion, IndicatorSet, Questions};
use haetae::observable::{Event, Field, Kind, Observations, Side, address, digest, domain, url};

use crate::dice::Dice;
use crate::path::set_of;

static EVENT: Event = Event { name: "bench", app_proto: None };
static NAME: Field = Field::sought("name", &domain::KINDS);
static DIGEST: Field = Field::sought("digest", &[&digest::SHA256]);
static LINK: Field = Field::sought("url", &url::KINDS);

/// Values asked at once, as many as a busy batch has.
const BATCH: usize = 256;

/// Batches of one round: different values, so that what they need is not near by itself.
const BATCHES: usize = 256;

/// A kind that is looked up.
#[derive(Clone, Copy)]
pub enum What {
    Names,
    Addresses,
    Digests,
    Urls,
}

impl What {
    fn kind(self) -> &'static Kind {
        match self {
            What::Names => &domain::DOMAIN_SUFFIX,
            What::Addresses => &address::IP,
            What::Digests => &digest::SHA256,
            What::Urls => &url::URL,
        }
    }

    /// Listed values are even, others odd.
    pub fn value(self, number: u64) -> (&'static Kind, String) {
        let value = match self {
            What::Names => format!("h{number}.example{}.test", number % 97),
            What::Addresses => address(number).to_string(),
            What::Digests => {
                let mut dice = Dice(number);
                (0..4).map(|_| format!("{:016x}", dice.roll())).collect()
            }
            What::Urls => format!("http://h{}.example.test/path/{number}", number % 997),
        };
        (self.kind(), value)
    }
}

fn address(number: u64) -> IpAddr {
    // a step that is odd goes through all addresses without meeting one twice
    Ipv4Addr::from((number as u32).wrapping_mul(0x9E37_79B1)).into()
}

/// The set of the first so many even values.
pub fn set(what: What, entries: u64) -> Rc<IndicatorSet> {
    Rc::new(set_of((0..entries).map(|number| what.value(2 * number))))
}

/// Look-ups of values that are all in that set, or all not.
pub fn asked(what: What, set: &Rc<IndicatorSet>, hit: bool) -> Box<dyn FnMut() -> u64> {
    let (set, entries) = (Rc::clone(set), set.len() as u64);
    let mut dice = Dice(entries);
    let mut number = move || 2 * dice.below(entries) + u64::from(!hit);
    let expected = if hit { BATCH * BATCHES } else { 0 };
    let (mut room, mut hits) = (Questions::default(), Vec::new());
    if let What::Addresses = what {
        let question = |asked| AddressQuestion { asked: asked as u32, field: 0, address: address(number()) };
        let questions: Vec<_> = (0..BATCH * BATCHES).map(question).collect();
        return Box::new(move || {
            hits.clear();
            questions.chunks(BATCH).for_each(|batch| set.look_up_addresses(batch, &mut room, &mut hits));
            assert_eq!(hits.len(), expected, "hits");
            questions.len() as u64
        });
    }
    let field = match what {
        What::Digests => &DIGEST,
        What::Urls => &LINK,
        What::Names | What::Addresses => &NAME,
    };
    let mut batch = || {
        let mut seen = Observations::default();
        for _ in 0..BATCH {
            seen.begin(&EVENT, Side::Client).field(field, what.value(number()).1.as_bytes());
        }
        seen
    };
    let batches: Vec<Observations> = (0..BATCHES).map(|_| batch()).collect();
    Box::new(move || {
        hits.clear();
        batches.iter().for_each(|batch| set.look_up(batch, &mut room, &mut hits));
        assert_eq!(hits.len(), expected, "hits");
        (BATCH * BATCHES) as u64
    })
}

/// The making of a set, from values as feeds write them.
pub fn building(kinds: &'static [What], entries: u64) -> Box<dyn FnMut() -> u64> {
    let value = |number: u64| kinds[number as usize % kinds.len()].value(number);
    let values: Vec<(&'static Kind, String)> = (0..entries).map(value).collect();
    Box::new(move || {
        let set = set_of(values.iter().map(|(kind, value)| (*kind, value.as_bytes())));
        assert_eq!(set.len(), values.len(), "entries");
        set.len() as u64
    })
}
