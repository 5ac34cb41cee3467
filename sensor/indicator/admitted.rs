//! The words that stand by a hit, as alerts hold them: one list for all alerts of an indicator, and no copy for each.
//!
//! In: words that policy admitted. Out: [`Iocs`], which a worker keeps from one hit to the next. Never here: a verdict.

use std::hash::Hasher;
use std::ops::Deref;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use super::{Entry, Ioc, Severity};
use crate::limits::ADMITTED_LISTS_MAX;

/// The sources that stand by an entry, shared by whoever speaks of it.
#[derive(Clone, Debug, Default)]
pub struct Iocs(Arc<Listed>);

#[derive(Debug, Default)]
struct Listed {
    number: u64,
    severity: Severity,
    list: Vec<Ioc>,
}

impl Iocs {
    /// What these say of an entry.
    pub fn new(entry: Entry, list: Vec<Ioc>) -> Iocs {
        let severity = list.iter().map(|ioc| ioc.statement.severity).max().unwrap_or_default();
        Iocs(Arc::new(Listed { number: number(&list, entry), severity, list }))
    }

    /// The same for the same indicator in every generation of the set, which an [`Entry`] is not: a flow that lives
    /// through a reload does not raise twice, nor hides behind another indicator's number.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// How bad the worst of them says it is.
    pub fn severity(&self) -> Severity {
        self.0.severity
    }
}

impl Deref for Iocs {
    type Target = [Ioc];

    fn deref(&self) -> &[Ioc] {
        &self.0.list
    }
}

/// All sources speak of one value.
fn number(iocs: &[Ioc], entry: Entry) -> u64 {
    let Some(ioc) = iocs.first() else { return u64::from(entry.0) };
    let mut hasher = SipHasher13::new();
    hasher.write(ioc.kind.as_bytes());
    hasher.write_u8(0);
    hasher.write(ioc.value.as_bytes());
    hasher.finish()
}

/// Lists that a set admitted lately, for the hits to come. Of one set alone: in another, entries have other numbers.
#[derive(Default)]
pub struct Admitted {
    /// By entry, as far as there is room; nothing before the first hit.
    lists: Vec<Option<Kept>>,
}

struct Kept {
    entry: Entry,
    /// Which of the entry's words stood by it: a bit for each. `None`: that is to be asked each time.
    words: Option<u64>,
    iocs: Iocs,
}

impl Admitted {
    /// The list of these words of an entry, which is made if it is not the one that was asked for last in its place.
    pub(super) fn of(&mut self, entry: Entry, words: Option<u64>, make: impl FnOnce() -> Vec<Ioc>) -> &Iocs {
        if self.lists.is_empty() {
            self.lists.resize_with(ADMITTED_LISTS_MAX, || None);
        }
        let place = &mut self.lists[entry.0 as usize % ADMITTED_LISTS_MAX];
        if place.as_ref().is_some_and(|kept| kept.entry != entry || kept.words != words || words.is_none()) {
            *place = None;
        }
        &place.get_or_insert_with(|| Kept { entry, words, iocs: Iocs::new(entry, make()) }).iocs
    }
}

#[cfg(test)]
mod tests {
    use super::super::Statement;
    use super::*;

    fn ioc(value: &str, severity: Severity) -> Ioc {
        let statement = Arc::new(Statement { severity, ..Statement::default() });
        Ioc { kind: "domain", value: value.to_owned(), id: None, statement }
    }

    #[test]
    fn one_list_serves_until_other_words_stand_by_the_entry() {
        let mut admitted = Admitted::default();
        let made = || vec![ioc("a.example", Severity::Low)];
        let first = admitted.of(Entry(1), Some(0b01), made).clone();
        let again = admitted.of(Entry(1), Some(0b01), || panic!("it is there")).clone();
        assert!(Arc::ptr_eq(&first.0, &again.0));
        let both = admitted
            .of(Entry(1), Some(0b11), || vec![ioc("a.example", Severity::Low), ioc("a.example", Severity::High)]);
        assert_eq!((both.len(), both.severity(), both.number()), (2, Severity::High, first.number()));
    }

    #[test]
    fn entries_that_share_a_place_do_not_share_a_list() {
        let mut admitted = Admitted::default();
        let other = Entry(1 + ADMITTED_LISTS_MAX as u32);
        let first = admitted.of(Entry(1), Some(1), || vec![ioc("a.example", Severity::Low)]).clone();
        let second = admitted.of(other, Some(1), || vec![ioc("b.example", Severity::Low)]).clone();
        assert_eq!((&*first[0].value, &*second[0].value), ("a.example", "b.example"));
        assert_eq!(admitted.of(Entry(1), Some(1), || vec![ioc("a.example", Severity::Low)]).number(), first.number());
    }

    #[test]
    fn a_list_that_depends_on_more_than_its_words_is_made_each_time() {
        let mut admitted = Admitted::default();
        assert_eq!(admitted.of(Entry(1), None, || vec![ioc("a.example", Severity::Low)]).len(), 1);
        assert_eq!(admitted.of(Entry(1), None, Vec::new).len(), 0);
    }
}
