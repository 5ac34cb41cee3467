//! The cold part: sorted values with the records of those who speak of them. Touched only after a fingerprint agreed.
//!
//! In: values and records in order, at building. Out: the value that confirms a hit, and what is said of it.

use std::sync::Arc;

use super::{Entry, Statement};

/// Values of one kind, sorted; a value's place is its number.
#[derive(Default)]
pub(super) struct Shelf {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Shelf {
    /// Room for this many values and bytes.
    pub(super) fn with_room(values: usize, bytes: usize) -> Self {
        Shelf { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(values) }
    }

    /// Adds a value behind all others. All bytes together stay below 4 GiB: the builder sees to it.
    pub(super) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Gives back what was reserved in vain.
    pub(super) fn close(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// How many values.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The value with this number; empty if there is none.
    pub(super) fn value(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |&end| end as usize);
        let end = self.ends.get(number).map_or(start, |&end| end as usize);
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// All values in order.
    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len() as u32).map(|number| self.value(number))
    }
}

/// One source's word on an entry, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Which statement.
    pub(super) said: u32,
    /// Which of the sources' own names, plus 1; 0: none.
    pub(super) id: u32,
}

/// What is said of all entries.
#[derive(Default)]
pub(super) struct Records {
    firsts: Vec<u32>, // by entry: its first record; empty while every entry has just one
    said: Vec<u32>,
    id: Vec<u32>, // empty while nobody gave a name
    pub(super) statements: Vec<Arc<Statement>>,
    pub(super) ids: Shelf,
}

impl Records {
    /// Around the statements and names that records will point to.
    pub(super) fn around(statements: Vec<Arc<Statement>>, ids: Shelf, room: usize) -> Self {
        Records { statements, ids, said: Vec::with_capacity(room), ..Records::default() }
    }

    /// Adds the records of the entry behind all others.
    pub(super) fn push(&mut self, entry: Entry, records: &[Record]) {
        if records.len() != 1 && self.firsts.is_empty() {
            self.firsts.extend(0..entry.0);
        }
        if records.len() != 1 || !self.firsts.is_empty() {
            self.firsts.push(self.said.len() as u32);
        }
        for record in records {
            if record.id != 0 && self.id.is_empty() {
                self.id.resize(self.said.len(), 0);
            }
            if record.id != 0 || !self.id.is_empty() {
                self.id.push(record.id);
            }
            self.said.push(record.said);
        }
    }

    /// Gives back what was reserved in vain.
    pub(super) fn close(&mut self) {
        self.firsts.shrink_to_fit();
        self.said.shrink_to_fit();
        self.id.shrink_to_fit();
        self.ids.close();
    }

    /// The records of an entry.
    pub(super) fn of(&self, entry: Entry) -> impl Iterator<Item = Record> + '_ {
        let entry = entry.0 as usize;
        let range = match self.firsts.get(entry) {
            Some(&first) => first as usize..self.firsts.get(entry + 1).map_or(self.said.len(), |&next| next as usize),
            None if self.firsts.is_empty() => entry..(entry + 1).min(self.said.len()),
            None => 0..0,
        };
        range.map(|at| Record { said: self.said[at], id: self.id.get(at).copied().unwrap_or(0) })
    }

    /// A record's statement and the source's own name.
    pub(super) fn read(&self, record: Record) -> (Arc<Statement>, Option<String>) {
        let id = record.id.checked_sub(1).map(|id| String::from_utf8_lossy(self.ids.value(id)).into_owned());
        (Arc::clone(&self.statements[record.said as usize]), id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(said: u32, id: u32) -> Record {
        Record { said, id }
    }

    #[test]
    fn a_shelf_gives_back_its_values_by_number() {
        let mut shelf = Shelf::with_room(3, 9);
        [b"a".as_slice(), b"", b"ccc"].iter().for_each(|value| shelf.push(value));
        assert!(shelf.values().eq([b"a".as_slice(), b"", b"ccc"]));
        assert_eq!(shelf.value(3), b"");
    }

    #[test]
    fn entries_with_one_record_need_no_index_until_one_has_two() {
        let mut records = Records::default();
        records.push(Entry(0), &[record(0, 0)]);
        records.push(Entry(1), &[record(1, 0)]);
        assert!(records.firsts.is_empty() && records.id.is_empty());
        records.push(Entry(2), &[record(0, 0), record(1, 1)]);
        records.push(Entry(3), &[record(2, 0)]);
        assert!(records.of(Entry(1)).eq([record(1, 0)]));
        assert!(records.of(Entry(2)).eq([record(0, 0), record(1, 1)]));
        assert!(records.of(Entry(3)).eq([record(2, 0)]));
        assert_eq!(records.of(Entry(4)).count(), 0);
    }
}
