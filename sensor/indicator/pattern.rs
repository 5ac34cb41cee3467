//! Patterns: one automaton for each field that some pattern names, none where no pattern is loaded.
//!
//! In: at building, patterns with the fields that they are looked for in; then values as the wire has them. Out: entries
//! whose bytes the value holds. Never here: a value's canonical form, a field that no pattern names.

use std::collections::HashSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::cold::Records;
use super::index::{Asker, Index, Questions};
use super::{Entry, Hit, Statement};
use crate::limits::{
    PATTERN_AUTOMATA_BYTES_MAX, PATTERN_COST_BYTES, PATTERN_HITS_MAX, PATTERN_PLACES_MAX, PATTERN_STATE_BYTES,
    PATTERNS_MAX,
};
use crate::observable::{Field, Form, Refused, Value, pattern};

/// What patterns cost so far, told before any automaton is made: whoever adds the one too many hears of it.
#[derive(Default)]
pub(super) struct Cost {
    known: HashSet<(&'static str, Vec<u8>)>,
    bytes: usize,
}

impl Cost {
    /// Adds a pattern in a field, unless it is there.
    pub(super) fn add(&mut self, field: &'static str, needle: &[u8]) -> Result<(), Refused> {
        let key = (field, needle.to_vec());
        if self.known.contains(&key) {
            return Ok(());
        }
        let bytes = self.bytes + cost(needle);
        if self.known.len() >= PATTERNS_MAX {
            return Err(Refused("more than 8192 patterns"));
        }
        if bytes > PATTERN_AUTOMATA_BYTES_MAX {
            return Err(Refused("all patterns together would take more than 64 MiB of memory"));
        }
        self.known.insert(key);
        self.bytes = bytes;
        Ok(())
    }
}

fn cost(needle: &[u8]) -> usize {
    PATTERN_COST_BYTES + needle.len() * PATTERN_STATE_BYTES
}

/// Every automaton of a set.
#[derive(Default)]
pub(super) struct Automata {
    places: Vec<Place>,
    lengths: u128, // bit n: there is a named field with a name of n bytes
}

/// What is looked for in one field.
struct Place {
    field: &'static str,
    automaton: AhoCorasick,
    needles: Vec<Needle>,
    nocase: bool, // the automaton takes either case for all of them
}

#[derive(Clone, Copy)]
struct Needle {
    entry: Entry,
    nocase: bool,
}

/// Room for one value, used again: which needles it met.
#[derive(Default)]
pub(super) struct Met(Vec<u64>);

impl Met {
    fn clear(&mut self, needles: usize) {
        self.0.clear();
        self.0.resize(needles.div_ceil(64), 0);
    }

    fn holds(&self, needle: usize) -> bool {
        self.0[needle / 64] >> (needle % 64) & 1 == 1
    }

    fn add(&mut self, needle: usize) {
        self.0[needle / 64] |= 1 << (needle % 64);
    }
}

impl Automata {
    /// From all entries that are patterns and what is said of them.
    pub(super) fn of(index: &Index, records: &Records) -> Automata {
        let mut named: Vec<(&'static str, Needle)> = Vec::new();
        for entry in index.entries(&pattern::PATTERN) {
            let statements = records.of(entry).map(|record| &records.statements[record.said as usize]);
            for (field, nocase) in statements.filter_map(|said| said.field.map(|field| (field, said.nocase))) {
                match named.iter_mut().rev().take_while(|(_, of)| of.entry == entry).find(|(of, _)| *of == field) {
                    Some((_, needle)) => needle.nocase |= nocase,
                    None => named.push((field, Needle { entry, nocase })),
                }
            }
        }
        named.sort_by_key(|(field, needle)| (*field, needle.entry));
        let places: Vec<Place> =
            named.chunk_by(|one, other| one.0 == other.0).map(|needles| Place::of(index, needles)).collect();
        let lengths = places.iter().fold(0, |bits, place| bits | 1 << place.field.len().min(127));
        Automata { places, lengths }
    }

    /// Whether no pattern is loaded.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Searches a value if its field is one that patterns name.
    #[inline]
    pub(super) fn ask(&self, index: &Index, field: &Field, raw: &[u8], asker: Asker, room: &mut Questions) {
        if self.lengths >> field.name.len().min(127) & 1 == 0 || field.form != Form::Text {
            return;
        }
        if let Ok(at) = self.places.binary_search_by_key(&field.name, |place| place.field) {
            self.places[at].search(index, raw, asker, room);
        }
    }
}

impl Place {
    fn of(index: &Index, needles: &[(&'static str, Needle)]) -> Place {
        let nocase = needles.iter().any(|(_, needle)| needle.nocase);
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .ascii_case_insensitive(nocase)
            .dense_depth(2)
            .build(needles.iter().map(|(_, needle)| index.value(needle.entry).1))
            .expect("automata of this size have room for their numbers");
        Place { field: needles[0].0, automaton, needles: needles.iter().map(|(_, needle)| *needle).collect(), nocase }
    }

    fn search(&self, index: &Index, raw: &[u8], asker: Asker, room: &mut Questions) {
        let Asker { value, asked, field } = asker;
        let mut hits = 0;
        for (places, found) in self.automaton.find_overlapping_iter(raw).enumerate() {
            if places == PATTERN_PLACES_MAX {
                room.shed += 1;
                return;
            }
            if places == 0 {
                room.met.clear(self.needles.len());
            }
            let at = found.pattern().as_usize();
            let needle = self.needles[at];
            let exact = || raw.get(found.range()) == Some(index.value(needle.entry).1);
            if room.met.holds(at) || self.nocase && !needle.nocase && !exact() {
                continue;
            }
            if hits == PATTERN_HITS_MAX {
                room.shed += 1;
                return;
            }
            room.met.add(at);
            room.found.push((value, Hit { asked, field, entry: needle.entry }));
            hits += 1;
        }
    }
}

/// Which of several words on one pattern speak of this value: those that name its field, and of these, those with this
/// case where others are for either.
pub(super) fn speaks(statements: &[&Statement], needle: &[u8], seen: Value<'_>) -> Vec<bool> {
    let here = |said: &&Statement| said.field == Some(seen.field.name);
    let either = statements.iter().filter(|said| here(said)).any(|said| said.nocase);
    // where no word takes either case, the hit itself says that the case is right
    let exact = !either || contains(seen.raw, needle, false);
    statements.iter().map(|said| here(said) && (said.nocase || exact)).collect()
}

/// Whether bytes occur in a value, found the slow and obvious way.
pub(super) fn contains(value: &[u8], needle: &[u8], nocase: bool) -> bool {
    value.windows(needle.len().max(1)).any(|part| part == needle || nocase && part.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::super::Builder;
    use super::*;

    fn statement(field: &'static str, nocase: bool) -> Statement {
        Statement { field: Some(field), nocase, ..Statement::default() }
    }

    fn built(
        patterns: impl Iterator<Item = (&'static str, Vec<u8>)>,
        nocase: bool,
    ) -> (super::super::IndicatorSet, usize) {
        let (mut builder, mut costs) = (Builder::new([0; 16], 0), 0);
        for (field, needle) in patterns {
            let said = builder.say(statement(field, nocase)).unwrap();
            let text = (pattern::PATTERN.text)(&needle);
            builder.take(&pattern::PATTERN, text.as_bytes(), said, None, |_| Ok(())).unwrap();
            costs += cost(&needle);
        }
        (builder.build(), costs)
    }

    #[test]
    fn automata_never_take_more_than_their_patterns_were_charged_for() {
        let scattered = |seed: u64| (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        let fields = ["http.url", "http.http_user_agent", "tls.sni"];
        let long = (0..400).map(|n: u64| (0..32).flat_map(|at| scattered(n * 32 + at)).collect::<Vec<u8>>());
        let short = (0..2_000_u64).map(|n| scattered(n)[4..7].to_vec());
        let letters = (0..2_000_u64).map(|n| scattered(n).iter().map(|byte| b'a' + byte % 26).collect());
        let alone = (0..3).map(|n| vec![n, n + 1]);
        let sets: [Vec<Vec<u8>>; 4] = [long.collect(), short.collect(), letters.collect(), alone.collect()];
        for (needles, nocase) in sets.into_iter().flat_map(|needles| [(needles.clone(), false), (needles, true)]) {
            let count = needles.len();
            let (set, costs) =
                built(needles.into_iter().enumerate().map(|(at, needle)| (fields[at % 3], needle)), nocase);
            let taken: usize = set.automata.places.iter().map(|place| place.automaton.memory_usage()).sum();
            assert!(taken <= costs, "{count} patterns take {taken} bytes, were charged {costs}");
        }
    }

    #[test]
    fn patterns_beyond_the_bounds_are_refused_and_known_ones_are_not() {
        let mut cost = Cost::default();
        for n in 0..PATTERNS_MAX {
            assert_eq!(cost.add("http.url", &n.to_le_bytes()), Ok(()));
        }
        assert_eq!(cost.add("http.url", b"one more"), Err(Refused("more than 8192 patterns")));
        assert_eq!(cost.add("http.url", &7_usize.to_le_bytes()), Ok(()));
        let mut cost = Cost::default();
        let long = (0..PATTERNS_MAX).map(|n| [n.to_le_bytes().as_slice(), &[0; 248]].concat());
        let taken = long.take_while(|needle| cost.add("http.url", needle).is_ok()).count();
        assert!(taken < PATTERNS_MAX && cost.bytes <= PATTERN_AUTOMATA_BYTES_MAX);
    }
}
