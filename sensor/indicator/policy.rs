//! Policy, asked after a hit: who stands by an entry here and now, or why nobody does.
//!
//! In: an entry, the value that met it with its field, packet time and port. Out: the admitted words, or one named refusal.
//! Never here: a clock, a file of policy.

use std::sync::Arc;

use super::index::Index;
use super::{Admitted, Circumstances, Entry, IndicatorSet, Ioc, Iocs, Refusal, Statement, Tlp, pattern, signature_id};
use crate::observable::address::{Port, with_port};
use crate::observable::pattern::PATTERN;
use crate::observable::{Kind, Shape, Value, address, digest, domain, plain, url};
use crate::time::Timestamp;

/// What the site asks of every indicator.
#[derive(Default)]
pub(super) struct Site {
    /// Less than this raises nothing.
    pub(super) confidence_min: u8,
    /// What is held closer than this raises nothing.
    pub(super) tlp_max: Tlp,
    /// Its sectors, in lower case; empty: it does not say.
    pub(super) sectors: Vec<String>,
}

/// What is known of one entry, for a person who asks why something fires or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The kind's name.
    pub kind: &'static str,
    /// The listed value as a person reads it.
    pub value: String,
    /// See [`signature_id`].
    pub signature_id: u64,
    /// What each source says, and whether it counts.
    pub words: Vec<Word>,
}

/// One source's word on an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The source's own name for it.
    pub id: Option<String>,
    /// What is said.
    pub statement: Arc<Statement>,
    /// Whether it would raise an alert on its own port, or why not.
    pub verdict: Result<(), Refusal>,
}

/// One source's word on a hit, with everything that policy holds against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What is said, and the verdict.
    pub word: Word,
    /// All grounds on which it raises nothing, and not only the first.
    pub against: Vec<Refusal>,
}

/// Kinds by the form that they share: a text that has the form is asked of all of them.
static FORMS: [&[&Kind]; 12] = [
    &address::KINDS,
    &[&address::CIDR],
    &domain::KINDS,
    &url::KINDS,
    &[&digest::SHA256],
    &[&digest::JA3],
    &[&digest::MD5],
    &[&digest::SHA1],
    &[&digest::CERT_SHA1],
    &[&digest::CERT_SHA256],
    &[&plain::USER_AGENT],
    &[&plain::JA4],
];

impl IndicatorSet {
    /// The sources that stand by the entry under these circumstances, or why none does. `seen` is the value that
    /// matched, for the allow-list and for patterns. Where sources differ, the refusal that may pass soonest is the one
    /// named: the order of [`Refusal`]'s variants. `kept`: what this set admitted before.
    ///
    /// # Errors
    /// The one refusal to count.
    pub fn admit<'k>(
        &self,
        entry: Entry,
        seen: Value<'_>,
        at: Circumstances,
        kept: &'k mut Admitted,
    ) -> Result<&'k Iocs, Refusal> {
        if allowed(&self.allow, seen.field.kinds, seen.canonical) {
            return Err(Refusal::Allowed);
        }
        let port = at.port.map(|(number, protocol)| Port::of(number, protocol));
        let Some(standing) = self.standing(entry, at.at, port) else {
            let iocs = self.admit_each(entry, seen, at.at, port)?;
            return Ok(kept.of(entry, None, || iocs));
        };
        let standing = standing?;
        Ok(kept.of(entry, Some(standing), || {
            let records = (0..).zip(self.records.of(entry)).filter(|(bit, _)| standing >> bit & 1 == 1);
            let said = records.map(|(_, record)| self.records.read(record));
            let (kind, value) = self.index.value(entry);
            said.map(|(statement, id)| Ioc { kind: kind.name, value: (kind.text)(value), id, statement }).collect()
        }))
    }

    /// Which words stand by an entry, a bit for each, without a copy of one. `None`: that cannot be said of each by itself, as in patterns
    /// and where a source withdrew what it said; or there are more than bits.
    fn standing(&self, entry: Entry, at: Timestamp, port: Option<Port>) -> Option<Result<u64, Refusal>> {
        if self.index.is_of(entry, &PATTERN) {
            return None;
        }
        let (mut standing, mut refusal) = (0, None);
        for (bit, record) in (0..).zip(self.records.of(entry)) {
            let said = &self.records.statements[record.said as usize];
            if said.revoked || bit >= u64::BITS {
                return None;
            }
            match self.verdict(said, Some(at), Some(port)) {
                Ok(()) => standing |= 1_u64 << bit,
                Err(reason) => refusal = named(refusal, reason),
            }
        }
        Some(refusal.filter(|_| standing == 0).map_or(Ok(standing), Err))
    }

    fn admit_each(
        &self,
        entry: Entry,
        seen: Value<'_>,
        at: Timestamp,
        port: Option<Port>,
    ) -> Result<Vec<Ioc>, Refusal> {
        let (kind, value) = self.index.value(entry);
        let (mut iocs, mut refusal) = (Vec::new(), None);
        for Word { id, statement, verdict } in self.words_on(entry, seen, at, port) {
            match verdict {
                Ok(()) => iocs.push(Ioc { kind: kind.name, value: (kind.text)(value), id, statement }),
                Err(reason) => refusal = named(refusal, reason),
            }
        }
        refusal.filter(|_| iocs.is_empty()).map_or(Ok(iocs), Err)
    }

    /// Each word on a hit with everything that [`IndicatorSet::admit`] holds against it, for a person who asks why.
    pub fn judge(&self, entry: Entry, seen: Value<'_>, at: Circumstances) -> Vec<Judged> {
        let port = at.port.map(|(number, protocol)| Port::of(number, protocol));
        let allowed = allowed(&self.allow, seen.field.kinds, seen.canonical);
        let judged = |word: Word| {
            let grounds = self.grounds(&word.statement, Some(at.at), Some(port)).into_iter();
            let mut against: Vec<Refusal> = grounds.filter(|(refused, _)| *refused).map(|(_, why)| why).collect();
            let withdrawn = word.verdict == Err(Refusal::Revoked) && !against.contains(&Refusal::Revoked);
            against.extend(withdrawn.then_some(Refusal::Revoked));
            against.extend(allowed.then_some(Refusal::Allowed));
            Judged { word, against }
        };
        self.words_on(entry, seen, at.at, port).into_iter().map(judged).collect()
    }

    /// How many entries at least one source holds for the recipients' eyes only (TLP:RED).
    pub fn held_as_red(&self) -> usize {
        let red = |entry: &u32| {
            let mut records = self.records.of(Entry(*entry));
            records.any(|record| self.records.statements[record.said as usize].tlp == Tlp::Red)
        };
        (0..self.len() as u32).filter(red).count()
    }

    /// The words on an entry, of a pattern those that speak of the field it was met in.
    fn words_on(&self, entry: Entry, seen: Value<'_>, at: Timestamp, port: Option<Port>) -> Vec<Word> {
        let (kind, value) = self.index.value(entry);
        let mut words = self.words(entry, Some(at), Some(port));
        if kind.shape == Shape::Contained {
            let statements: Vec<&Statement> = words.iter().map(|word| &*word.statement).collect();
            let mut speaks = pattern::speaks(&statements, value, seen).into_iter();
            words.retain(|_| speaks.next() == Some(true));
        }
        words
    }

    /// Every entry that a value would meet, whatever kind of value it is, with what is said of it; `at`: judged at this
    /// time, else validity is not judged. A port is judged if the text has one. Patterns are met as if in their field.
    pub fn explain(&self, text: &str, at: Option<Timestamp>) -> Vec<Explained> {
        let text = text.trim().as_bytes();
        let (value, port) = with_port(text).map_or((text, None), |(address, port)| (address, Some(Some(port))));
        let mut explained = Vec::new();
        for kinds in FORMS {
            self.explain_as(kinds, value, (at, port), &mut explained);
        }
        if !text.windows(3).any(|part| part == b"://") {
            self.explain_as(&url::KINDS, &[b"http://", text].concat(), (at, None), &mut explained); // as feeds read it
        }
        explained.extend(self.patterns_in(text).map(|entry| self.explained(entry, false, at, None)));
        explained
    }

    fn explain_as(
        &self,
        kinds: &'static [&'static Kind],
        value: &[u8],
        (at, port): (Option<Timestamp>, Option<Option<Port>>),
        explained: &mut Vec<Explained>,
    ) {
        let mut canonical = Vec::new();
        if kinds.first().is_some_and(|kind| (kind.canonical)(value, &mut canonical).is_ok()) {
            let allowed = allowed(&self.allow, kinds, &canonical);
            let entries = self.index.meet(kinds, &canonical).into_iter();
            explained.extend(entries.map(|entry| self.explained(entry, allowed, at, port)));
        }
    }

    /// Patterns that a text holds, as it is or as a pattern spells it.
    fn patterns_in<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Entry> + 'a {
        let mut bytes = Vec::new();
        let spelled = (PATTERN.canonical)(text, &mut bytes).is_ok() && bytes != text;
        self.index.entries(&PATTERN).filter(move |&entry| {
            let needle = self.index.value(entry).1;
            let nocase = self.records.of(entry).any(|record| self.records.statements[record.said as usize].nocase);
            pattern::contains(text, needle, nocase) || spelled && pattern::contains(&bytes, needle, nocase)
        })
    }

    fn explained(&self, entry: Entry, allowed: bool, at: Option<Timestamp>, port: Option<Option<Port>>) -> Explained {
        let (kind, value) = self.index.value(entry);
        let value = (kind.text)(value);
        let mut words = self.words(entry, at, port);
        if allowed {
            words.iter_mut().for_each(|word| word.verdict = Err(Refusal::Allowed));
        }
        Explained { kind: kind.name, signature_id: signature_id(kind.name, &value), value, words }
    }

    /// What each source says, judged. A source that withdraws an indicator withdraws what it said of it before.
    fn words(&self, entry: Entry, at: Option<Timestamp>, port: Option<Option<Port>>) -> Vec<Word> {
        let word = |(statement, id): (Arc<Statement>, Option<String>)| Word {
            verdict: self.verdict(&statement, at, port),
            statement,
            id,
        };
        let mut words: Vec<Word> = self.records.of(entry).map(|record| word(self.records.read(record))).collect();
        let name = |word: &Word| (word.statement.source.clone(), word.id.clone());
        let withdrawn: Vec<_> = words.iter().filter(|word| word.statement.revoked).map(name).collect();
        if !withdrawn.is_empty() {
            let gone = words.iter_mut().filter(|word| withdrawn.contains(&name(word)));
            gone.for_each(|word| word.verdict = Err(Refusal::Revoked));
        }
        words
    }

    fn verdict(&self, said: &Statement, at: Option<Timestamp>, port: Option<Option<Port>>) -> Result<(), Refusal> {
        let grounds = self.grounds(said, at, port);
        grounds.iter().find(|(refused, _)| *refused).map_or(Ok(()), |(_, refusal)| Err(*refusal))
    }

    /// Everything that may be held against a word, in the order in which it is asked.
    fn grounds(&self, said: &Statement, at: Option<Timestamp>, port: Option<Option<Port>>) -> [(bool, Refusal); 7] {
        let before = |limit: Option<Timestamp>| at.zip(limit).is_some_and(|(at, limit)| at < limit);
        let from = |limit: Option<Timestamp>| at.zip(limit).is_some_and(|(at, limit)| at >= limit);
        let agrees = |only: Port, port: Option<Port>| port.is_some_and(|port| only.agrees(port));
        let other_port = said.port.zip(port).is_some_and(|(only, port)| !agrees(only, port));
        let Site { confidence_min, tlp_max, sectors } = &self.site;
        let ours = |meant: &String| sectors.contains(meant);
        let other_sector = !sectors.is_empty() && !said.sectors.is_empty() && !said.sectors.iter().any(ours);
        [
            (said.revoked, Refusal::Revoked),
            (from(said.valid_until), Refusal::Expired),
            (before(said.valid_from), Refusal::NotYetValid),
            (said.confidence < *confidence_min, Refusal::LowConfidence),
            (other_port, Refusal::OtherPort),
            (other_sector, Refusal::OtherSector),
            (said.tlp > *tlp_max, Refusal::AboveTlp),
        ]
    }
}

/// Of several refusals the one that may pass soonest.
fn named(before: Option<Refusal>, reason: Refusal) -> Option<Refusal> {
    Some(before.map_or(reason, |before| before.min(reason)))
}

/// Whether the site's allow-list has the seen value: itself, a name above it, or a network around it.
fn allowed(allow: &Index, kinds: &[&'static Kind], seen: &[u8]) -> bool {
    allow.len() > 0 && !seen.is_empty() && !allow.meet(kinds, seen).is_empty()
}
