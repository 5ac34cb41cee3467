//! Which listed values a seen value meets: hot tables over cold shelves, asked in batches.
//!
//! In: canonical values. Out: entries, each confirmed byte by byte. Never here: what is said of an entry.

use siphasher::sip::SipHasher13;

use super::cold::Shelf;
use super::hot::Hot;
use super::pattern::Met;
use super::{Entry, Hit};
use crate::limits::QUESTIONS_AHEAD;
use crate::observable::address::{self, CANONICAL_BYTES};
use crate::observable::{KINDS, Kind, Shape};
use crate::pages::{Pages, prefetch};

/// One value that may be listed, as asked of one table.
#[derive(Clone, Copy)]
pub(super) struct Question {
    hash: u64,
    /// Counts the seen values in the order of asking.
    pub(super) value: u32,
    /// As in [`Hit`].
    pub(super) asked: u32,
    /// As in [`Hit`].
    pub(super) field: u32,
    kind: u8,
    cut: u8, // of a name: where the asked part begins; of a network: its prefix length
}

/// Who asks: what a hit gives back.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    /// See [`Question::value`].
    pub(super) value: u32,
    /// As in [`Hit`].
    pub(super) asked: u32,
    /// As in [`Hit`].
    pub(super) field: u32,
}

/// Room for the questions of one batch, used again.
#[derive(Default)]
pub struct Questions {
    open: Vec<Question>,
    pub(super) found: Vec<(u32, Hit)>,
    pub(super) met: Met,
    pub(super) shed: u64,
    pub(super) addresses: Vec<[u8; CANONICAL_BYTES]>,
}

/// Values of one kind.
#[derive(Default)]
struct Table {
    first: u32, // the entry number of its first value
    shelf: Shelf,
    hot: Hot,
}

/// All values of a set.
pub(super) struct Index {
    key: (u64, u64),
    tables: [Table; KINDS.len()],
    count: usize,
    touched: Touched,
    depths: u128,          // bit n: there is a name to be met at or below with n + 1 labels
    lengths: [Vec<u8>; 2], // prefix lengths out of 128 that occur, IPv4 and IPv6 apart
}

impl Default for Index {
    fn default() -> Self {
        Index::of((0, 0), Default::default())
    }
}

impl Index {
    /// Over one shelf of sorted, distinct values per kind. The key decides who can predict which values share a line.
    pub(super) fn of(key: (u64, u64), shelves: [Shelf; KINDS.len()]) -> Self {
        let mut index = Index {
            key,
            tables: Default::default(),
            count: 0,
            touched: Touched::default(),
            depths: 0,
            lengths: Default::default(),
        };
        let mut first = 0;
        for (kind, shelf) in KINDS.iter().zip(shelves) {
            let count = shelf.len() as u32;
            index.tables[usize::from(kind.index)] = index.table(kind, first, shelf);
            first += count;
        }
        index.count = first as usize;
        index
    }

    fn table(&mut self, kind: &Kind, first: u32, shelf: Shelf) -> Table {
        if kind.shape == Shape::Contained {
            return Table { first, shelf, hot: Hot::default() }; // found by automata
        }
        let mut hot = Hot::with_room(shelf.len());
        for (number, value) in shelf.values().enumerate() {
            hot.insert(self.hash(value), number as u32);
            match kind.shape {
                Shape::AtOrBelow => self.depths |= 1 << labels(value).saturating_sub(1).min(127),
                Shape::Prefix => self.note_network(value),
                Shape::Equal if *kind == address::IP => self.touched.note(value),
                Shape::Equal | Shape::Contained => {}
            }
        }
        self.lengths.iter_mut().for_each(|lengths| lengths.sort_unstable());
        Table { first, shelf, hot }
    }

    fn note_network(&mut self, value: &[u8]) {
        let Ok(network) = <&[u8; CANONICAL_BYTES]>::try_from(value) else { return };
        let lengths = &mut self.lengths[family(network)];
        if !lengths.contains(&network[16]) {
            lengths.push(network[16]);
        }
        self.touched.note(value);
    }

    /// How many values.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether there are values of this kind.
    pub(super) fn holds(&self, kind: &Kind) -> bool {
        self.table_of(kind).shelf.len() > 0
    }

    /// Whether an entry is of that kind.
    pub(super) fn is_of(&self, entry: Entry, kind: &Kind) -> bool {
        let table = self.table_of(kind);
        entry.0.checked_sub(table.first).is_some_and(|number| (number as usize) < table.shelf.len())
    }

    /// Kind and value of an entry.
    pub(super) fn value(&self, entry: Entry) -> (&'static Kind, &[u8]) {
        let at = self.tables.partition_point(|table| table.first <= entry.0).saturating_sub(1);
        // Tables without values share their first number with the next one, and the last of them was found.
        (KINDS[at], self.tables[at].shelf.value(entry.0 - self.tables[at].first))
    }

    /// The entries of one kind.
    pub(super) fn entries(&self, kind: &Kind) -> impl Iterator<Item = Entry> + use<> {
        let table = self.table_of(kind);
        (table.first..table.first + table.shelf.len() as u32).map(Entry)
    }

    /// All kinds and values, in the order of entries.
    pub(super) fn values(&self) -> impl Iterator<Item = (&'static Kind, &[u8])> {
        KINDS.iter().zip(&self.tables).flat_map(|(kind, table)| table.shelf.values().map(move |value| (*kind, value)))
    }

    /// Opens the questions that one seen value raises.
    #[inline]
    pub(super) fn ask(&self, kinds: &[&'static Kind], canonical: &[u8], asker: Asker, room: &mut Questions) {
        for kind in kinds {
            if !self.holds(kind) {
                continue;
            }
            match kind.shape {
                Shape::Equal if **kind == address::IP && !self.touched.near(canonical) => {}
                Shape::Equal => self.open(kind, 0, self.hash(canonical), asker, room),
                Shape::Prefix => self.ask_networks(kind, canonical, asker, room),
                Shape::AtOrBelow => self.ask_parents(kind, canonical, asker, room),
                Shape::Contained => {} // automata are asked apart: they read what the wire has
            }
        }
    }

    fn ask_networks(&self, kind: &Kind, canonical: &[u8], asker: Asker, room: &mut Questions) {
        let Ok(network) = <&[u8; CANONICAL_BYTES]>::try_from(canonical) else { return };
        if !self.touched.near(canonical) {
            return;
        }
        for &length in self.lengths[family(network)].iter().filter(|&&length| length <= network[16]) {
            self.open(kind, length, self.hash(&within(network, length)), asker, room);
        }
    }

    /// Right to left, one question per label boundary at a depth that the set has.
    fn ask_parents(&self, kind: &Kind, name: &[u8], asker: Asker, room: &mut Questions) {
        let mut depth = 0;
        for at in (0..name.len()).rev() {
            if at > 0 && name[at - 1] != b'.' {
                continue;
            }
            if self.depths >> depth & 1 == 1 && at <= usize::from(u8::MAX) {
                self.open(kind, at as u8, self.hash(&name[at..]), asker, room);
            }
            depth = (depth + 1).min(127);
        }
    }

    #[inline]
    fn open(&self, kind: &Kind, cut: u8, hash: u64, asker: Asker, room: &mut Questions) {
        self.table_of(kind).hot.prefetch_filter(hash);
        let Asker { value, asked, field } = asker;
        room.open.push(Question { hash, value, asked, field, kind: kind.index, cut });
    }

    /// Answers the open questions if there are enough to hide the memory's latency, but few enough that what was
    /// asked for is still near.
    #[inline]
    pub(super) fn settle_when_full<'a>(&self, room: &mut Questions, seen: impl Fn(&Question) -> &'a [u8]) {
        if room.open.len() >= QUESTIONS_AHEAD {
            let Questions { open, found, .. } = room;
            self.settle(open, found, seen);
        }
    }

    /// Answers all open questions. `seen` gives the canonical value that a question is about.
    pub(super) fn settle<'a>(
        &self,
        open: &mut Vec<Question>,
        found: &mut Vec<(u32, Hit)>,
        seen: impl Fn(&Question) -> &'a [u8],
    ) {
        open.retain(|question| {
            let hot = &self.tables[usize::from(question.kind)].hot;
            let may = hot.may_hold(question.hash);
            if may {
                hot.prefetch_line(question.hash);
            }
            may
        });
        for question in open.drain(..) {
            let table = &self.tables[usize::from(question.kind)];
            for number in table.hot.candidates(question.hash) {
                if confirmed(&question, seen(&question), table.shelf.value(number)) {
                    let Question { value, asked, field, .. } = question;
                    found.push((value, Hit { asked, field, entry: Entry(table.first + number) }));
                }
            }
        }
    }

    /// Everything that one value meets, outside of batches.
    pub(super) fn meet(&self, kinds: &[&'static Kind], canonical: &[u8]) -> Vec<Entry> {
        let mut room = Questions::default();
        self.ask(kinds, canonical, Asker { value: 0, asked: 0, field: 0 }, &mut room);
        self.settle(&mut room.open, &mut room.found, |_| canonical);
        let mut entries: Vec<Entry> = room.found.iter().map(|(_, hit)| hit.entry).collect();
        entries.sort_unstable();
        entries
    }

    /// Asks for the line that tells whether an address is near anything listed.
    #[inline]
    pub(super) fn prefetch_near(&self, canonical: &[u8; CANONICAL_BYTES]) {
        self.touched.prefetch(canonical);
    }

    fn table_of(&self, kind: &Kind) -> &Table {
        &self.tables[usize::from(kind.index)]
    }

    fn hash(&self, value: &[u8]) -> u64 {
        SipHasher13::new_with_keys(self.key.0, self.key.1).hash(value)
    }
}

impl Questions {
    /// Empties the room, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.found.clear();
        self.addresses.clear();
    }

    /// How many values met more patterns than are kept of one, ever.
    pub fn shed(&self) -> u64 {
        self.shed
    }

    /// Answers what is open and appends all hits in the order of asking, then by entry.
    pub(super) fn finish<'a>(&mut self, index: &Index, seen: impl Fn(&Question) -> &'a [u8], hits: &mut Vec<Hit>) {
        index.settle(&mut self.open, &mut self.found, seen);
        self.found.sort_unstable_by_key(|(value, hit)| (*value, hit.entry));
        hits.extend(self.found.drain(..).map(|(_, hit)| hit));
    }

    /// Answers the open questions about addresses, once there are enough of them.
    pub(super) fn settle_addresses(&mut self, index: &Index) {
        let Questions { open, found, addresses, .. } = self;
        if open.len() >= QUESTIONS_AHEAD {
            index.settle(open, found, |question| &addresses[question.value as usize]);
        }
    }

    /// As [`Questions::finish`], about addresses.
    pub(super) fn finish_addresses(&mut self, index: &Index, hits: &mut Vec<Hit>) {
        let addresses = std::mem::take(&mut self.addresses);
        self.finish(index, |question| &addresses[question.value as usize], hits);
        self.addresses = addresses;
    }
}

/// No alert rests on a fingerprint: the listed bytes are the seen ones, cut as the question says.
fn confirmed(question: &Question, seen: &[u8], listed: &[u8]) -> bool {
    match KINDS[usize::from(question.kind)].shape {
        Shape::Equal | Shape::Contained => seen == listed,
        Shape::AtOrBelow => seen.get(usize::from(question.cut)..) == Some(listed),
        Shape::Prefix => match <&[u8; CANONICAL_BYTES]>::try_from(seen) {
            Ok(network) => within(network, question.cut) == listed,
            Err(_) => false,
        },
    }
}

/// The network of this length that an address lies in.
fn within(network: &[u8; CANONICAL_BYTES], length: u8) -> [u8; CANONICAL_BYTES] {
    let mut wider = *network;
    wider[16] = length;
    address::masked(&wider)
}

fn labels(name: &[u8]) -> usize {
    1 + name.iter().filter(|&&byte| byte == b'.').count()
}

/// The twelve bytes before an IPv4 address in canonical form.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// 0 for IPv4, 1 for IPv6.
fn family(network: &[u8; CANONICAL_BYTES]) -> usize {
    usize::from(!(network[..12] == MAPPED && network[16] >= 96))
}

/// One bit for each of IPv4's /24 networks that any listed address or network touches: 2 MiB, one huge page.
#[derive(Default)]
struct Touched {
    words: Pages<u64>,
}

impl Touched {
    fn note(&mut self, value: &[u8]) {
        let Ok(network) = <&[u8; CANONICAL_BYTES]>::try_from(value) else { return };
        let Some(first) = block(network) else { return };
        if self.words.is_empty() {
            self.words = Pages::filled(1 << 18, 0);
        }
        let blocks = 1 << 120_u8.saturating_sub(network[16]); // of a /24 or longer: one
        for block in first..(first + blocks).min(1 << 24) {
            self.words[block >> 6] |= 1 << (block & 63);
        }
    }

    /// Whether anything is listed near an address of IPv4; of IPv6 it always says yes.
    #[inline]
    fn near(&self, canonical: &[u8]) -> bool {
        match <&[u8; CANONICAL_BYTES]>::try_from(canonical).ok().and_then(block) {
            Some(block) => self.words.get(block >> 6).is_some_and(|word| word >> (block & 63) & 1 == 1),
            None => true,
        }
    }

    #[inline]
    fn prefetch(&self, canonical: &[u8; CANONICAL_BYTES]) {
        if let Some(block) = block(canonical) {
            prefetch(&self.words, block >> 6);
        }
    }
}

/// The number of the /24 that an IPv4 address or network begins in.
fn block(network: &[u8; CANONICAL_BYTES]) -> Option<usize> {
    let [.., a, b, c, _, _] = *network;
    (family(network) == 0).then_some(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
}
