//! The making of a set: what feeds say, sorted and frozen.
//!
//! In: kinds, texts and statements, in any order. Out: an [`IndicatorSet`] that is the same for every order.
//! Never here: a file. Nothing is allocated per entry; a kind's raw values are dropped as soon as they are sorted.

use std::collections::HashMap;
use std::sync::Arc;

use ring::digest::{Context, SHA256};

use super::cold::{Record, Records, Shelf};
use super::index::Index;
use super::pattern::{Automata, Cost};
use super::policy::Site;
use super::{Entry, IndicatorSet, Statement, Tlp};
use crate::limits::{SET_KIND_BYTES_MAX, SET_RECORDS_MAX, SET_STATEMENTS_MAX};
use crate::observable::{KINDS, Kind, Refused, Shape};

/// A statement known to a [`Builder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Said(u32);

/// Values of one kind as they came.
#[derive(Default)]
struct Raw {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    records: Vec<u32>, // the statement of each
    ids: Vec<u32>,     // ends early: the rest has no name
}

impl Raw {
    fn value(&self, at: u32) -> &[u8] {
        let at = at as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.bytes[start..self.ends[at] as usize]
    }

    fn record(&self, at: u32) -> Record {
        Record { said: self.records[at as usize], id: self.ids.get(at as usize).copied().unwrap_or(0) }
    }

    /// Adds a value's canonical form, unless it is none of its kind or `check` refuses it.
    fn push(&mut self, kind: &Kind, text: &[u8], check: fn(&[u8]) -> Result<(), Refused>) -> Result<(), Refused> {
        let start = self.bytes.len();
        (kind.canonical)(text, &mut self.bytes)?;
        let full = self.bytes.len() > SET_KIND_BYTES_MAX;
        let checked = if full { Err(Refused("the set is full")) } else { check(&self.bytes[start..]) };
        match checked {
            Ok(()) => self.ends.push(self.bytes.len() as u32),
            Err(_) => self.bytes.truncate(start),
        }
        checked
    }

    /// The value that was pushed last.
    fn last_mut(&mut self) -> &mut [u8] {
        let start = self.ends.len().checked_sub(2).map_or(0, |before| self.ends[before] as usize);
        &mut self.bytes[start..]
    }

    fn pop(&mut self) {
        self.ends.pop();
        self.bytes.truncate(self.ends.last().map_or(0, |&end| end as usize));
    }

    /// All places, in the order of their values. Most comparisons see only the 16 bytes behind what all values
    /// share (`http://`, the twelve bytes before an IPv4 address), which lie side by side.
    fn sorted(&self) -> Vec<u32> {
        let places = 0..self.ends.len() as u32;
        let shared = places.clone().fold(usize::MAX, |shared, at| common(self.value(0), self.value(at), shared));
        let mut keys: Vec<([u64; 2], u32)> = places.map(|at| (key(self.value(at), shared), at)).collect();
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| (self.value(a.1), a.1).cmp(&(self.value(b.1), b.1))));
        keys.into_iter().map(|(_, at)| at).collect()
    }
}

fn common(a: &[u8], b: &[u8], at_most: usize) -> usize {
    a.iter().zip(b).take(at_most).take_while(|(a, b)| a == b).count()
}

fn key(value: &[u8], shared: usize) -> [u64; 2] {
    let rest = value.get(shared..).unwrap_or_default();
    let mut key = [0; 16];
    let len = rest.len().min(16);
    key[..len].copy_from_slice(&rest[..len]);
    let (high, low) = key.split_at(8);
    [high, low].map(|half| half.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
}

/// Takes what feeds say, in any order.
pub struct Builder {
    key: (u64, u64),
    site: Site,
    patterns: Cost,
    raw: [Raw; KINDS.len()],
    allow: [Raw; KINDS.len()],
    known: HashMap<Arc<Statement>, u32>,
    statements: Vec<Arc<Statement>>,
    ids: Shelf,
    id_bytes: usize,
    taken: usize,
}

impl Builder {
    /// `key` decides where values lie in the tables: fixed for replay, random where strangers send traffic.
    pub fn new(key: [u8; 16], confidence_min: u8) -> Self {
        let (low, high) = key.split_at(8);
        let half = |bytes: &[u8]| bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        Builder {
            key: (half(low), half(high)),
            site: Site { confidence_min, tlp_max: Tlp::Red, sectors: Vec::new() },
            patterns: Cost::default(),
            raw: Default::default(),
            allow: Default::default(),
            known: HashMap::new(),
            statements: Vec::new(),
            ids: Shelf::default(),
            id_bytes: 0,
            taken: 0,
        }
    }

    /// Says which sectors the site belongs to (none: it does not say) and the strictest TLP that may raise an alert
    /// here. Unsaid, neither keeps an indicator silent.
    pub fn site(&mut self, sectors: &[String], tlp_max: Tlp) {
        self.site.sectors = sectors.iter().map(|sector| sector.to_lowercase()).collect();
        self.site.tlp_max = tlp_max;
    }

    /// What a known statement says.
    pub fn statement(&self, said: Said) -> &Statement {
        &self.statements[said.0 as usize]
    }

    /// Makes a statement known; equal ones are one.
    ///
    /// # Errors
    /// There is no room for another.
    pub fn say(&mut self, statement: Statement) -> Result<Said, Refused> {
        if let Some(&known) = self.known.get(&statement) {
            return Ok(Said(known));
        }
        if self.statements.len() >= SET_STATEMENTS_MAX {
            return Err(Refused("too many distinct statements"));
        }
        let statement = Arc::new(statement);
        let number = self.statements.len() as u32;
        self.known.insert(Arc::clone(&statement), number);
        self.statements.push(statement);
        Ok(Said(number))
    }

    /// Takes one record: a value as a feed writes it, what is said of it, and the source's own name for it if it has
    /// one. `check` sees the canonical value and may refuse it.
    ///
    /// # Errors
    /// The value is none of its kind, was refused by `check`, or there is no room.
    pub fn take(
        &mut self,
        kind: &Kind,
        text: &[u8],
        said: Said,
        id: Option<&str>,
        check: fn(&[u8]) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        if self.taken >= SET_RECORDS_MAX || self.id_bytes > SET_KIND_BYTES_MAX {
            return Err(Refused("the set is full"));
        }
        let raw = &mut self.raw[usize::from(kind.index)];
        raw.push(kind, text, check)?;
        if kind.shape == Shape::Contained {
            let statement = &self.statements[said.0 as usize];
            if statement.nocase {
                raw.last_mut().make_ascii_lowercase();
            }
            let field = statement.field.ok_or(Refused("says not in which field"));
            let added = field.and_then(|field| self.patterns.add(field, raw.last_mut()));
            added.inspect_err(|_| raw.pop())?;
        }
        raw.records.push(said.0);
        if let Some(id) = id {
            self.id_bytes += id.len();
            self.ids.push(id.as_bytes());
            raw.ids.resize(raw.records.len() - 1, 0);
            raw.ids.push(self.ids.len() as u32);
        }
        self.taken += 1;
        Ok(())
    }

    /// Puts a value on the allow-list: nothing that it equals or contains will raise an alert.
    ///
    /// # Errors
    /// The value is none of its kind, or there is no room.
    pub fn allow(&mut self, kind: &Kind, text: &[u8]) -> Result<(), Refused> {
        let raw = &mut self.allow[usize::from(kind.index)];
        if raw.ends.len() >= SET_RECORDS_MAX {
            return Err(Refused("the allow-list is full"));
        }
        raw.push(kind, text, |_| Ok(()))
    }

    /// How many records were taken.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Sorts and freezes.
    pub fn build(self) -> IndicatorSet {
        let Builder { key, site, raw, allow, known, statements, ids, taken, patterns, .. } = self;
        drop((known, patterns));
        let mut records = Records::around(statements, ids, taken);
        let mut next = 0;
        let shelves = raw.map(|raw| {
            shelved(raw, |group| {
                order(group, &records);
                records.push(Entry(next), group);
                next += 1;
            })
        });
        records.close();
        let index = Index::of(key, shelves);
        let allow = Index::of(key, allow.map(|raw| shelved(raw, |_| ())));
        let version = version(&index, &records);
        let automata = Automata::of(&index, &records);
        IndicatorSet { index, records, automata, allow, site, version }
    }
}

/// Sorts one kind: each distinct value once; `each` gets the records of a value.
fn shelved(raw: Raw, mut each: impl FnMut(&mut Vec<Record>)) -> Shelf {
    let order = raw.sorted();
    let mut shelf = Shelf::with_room(order.len(), raw.bytes.len());
    let mut group = Vec::new();
    for places in order.chunk_by(|&a, &b| raw.value(a) == raw.value(b)) {
        shelf.push(raw.value(places[0]));
        group.clear();
        if !raw.records.is_empty() {
            group.extend(places.iter().map(|&at| raw.record(at)));
        }
        each(&mut group);
    }
    shelf.close();
    shelf
}

/// Records of one entry in an order that no order of files can change; equal ones are one.
fn order(group: &mut Vec<Record>, records: &Records) {
    if group.len() > 1 {
        let read = |record: &Record| {
            let id = record.id.checked_sub(1).map(|id| records.ids.value(id));
            (&records.statements[record.said as usize], id)
        };
        group.sort_by(|a, b| read(a).cmp(&read(b)));
        group.dedup_by(|a, b| read(a) == read(b));
    }
}

/// See [`IndicatorSet::version`].
fn version(index: &Index, records: &Records) -> String {
    const FLUSH_BYTES: usize = 1 << 16;
    let digests: Vec<[u8; 16]> = records.statements.iter().map(|statement| digest(statement)).collect();
    let mut context = Context::new(&SHA256);
    let mut room = Vec::with_capacity(2 * FLUSH_BYTES);
    for (entry, (kind, value)) in (0..).zip(index.values()) {
        room.push(kind.index);
        push_part(&mut room, value);
        for record in records.of(Entry(entry)) {
            room.extend_from_slice(&digests[record.said as usize]);
            push_part(&mut room, record.id.checked_sub(1).map_or(b"", |id| records.ids.value(id)));
        }
        if room.len() > FLUSH_BYTES {
            context.update(&room);
            room.clear();
        }
    }
    context.update(&room);
    context.finish().as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(said: &Statement) -> [u8; 16] {
    let mut room = vec![
        said.tlp as u8,
        said.pap as u8,
        said.confidence,
        said.severity as u8,
        u8::from(said.revoked),
        u8::from(said.source_is_file),
    ];
    push_part(&mut room, said.source.as_bytes());
    push_part(&mut room, format!("{:?} {:?} {:?}", said.valid_from, said.valid_until, said.port).as_bytes());
    push_part(&mut room, format!("{:?} {}", said.field, said.nocase).as_bytes());
    for list in [&said.labels, &said.sectors] {
        push_part(&mut room, &(list.len() as u32).to_le_bytes());
        list.iter().for_each(|text| push_part(&mut room, text.as_bytes()));
    }
    for text in said.next.iter().flat_map(|(language, text)| [language, text]) {
        push_part(&mut room, text.as_bytes());
    }
    let whole = ring::digest::digest(&SHA256, &room);
    let mut half = [0; 16];
    half.copy_from_slice(&whole.as_ref()[..16]);
    half
}

fn push_part(room: &mut Vec<u8>, part: &[u8]) {
    room.extend_from_slice(&(part.len() as u32).to_le_bytes());
    room.extend_from_slice(part);
}
