//! Policy, asked after a hit: who stands by an entry here and now, or why nobody does.
//!
//! In: an entry, the value that met it, packet time and port. Out: the admitted words, or one named refusal.
//! Never here: a clock, a file of policy.

use std::sync::Arc;

use super::index::Index;
use super::{Circumstances, Entry, IndicatorSet, Ioc, Refusal, Statement, signature_id};
use crate::observable::{Kind, address, digest, domain, url};
use crate::time::Timestamp;

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

/// Kinds by the form that they share: a text that has the form is asked of all of them.
static FORMS: [&[&Kind]; 6] =
    [&address::KINDS, &[&address::CIDR], &domain::KINDS, &url::KINDS, &[&digest::SHA256], &[&digest::JA3]];

impl IndicatorSet {
    /// The sources that stand by the entry under these circumstances, or why none does. `seen` is the canonical value
    /// that matched, for the allow-list. Where sources differ, the refusal that may pass soonest is the one named:
    /// the order of [`Refusal`]'s variants.
    ///
    /// # Errors
    /// The one refusal to count.
    pub fn admit(&self, entry: Entry, seen: &[u8], at: Circumstances) -> Result<Vec<Ioc>, Refusal> {
        let (kind, value) = self.index.value(entry);
        if allowed(&self.allow, kind, seen) {
            return Err(Refusal::Allowed);
        }
        let mut iocs = Vec::new();
        let mut refusal = None;
        for Word { id, statement, verdict } in self.words(entry, Some(at.at), Some(at.port)) {
            match verdict {
                Ok(()) => iocs.push(Ioc { kind: kind.name, value: (kind.text)(value), id, statement }),
                Err(reason) => refusal = Some(refusal.map_or(reason, |before: Refusal| before.min(reason))),
            }
        }
        match refusal {
            Some(reason) if iocs.is_empty() => Err(reason),
            _ => Ok(iocs),
        }
    }

    /// Every entry that a value would meet, with what is said of it; `at`: judged at this time, else validity is not
    /// judged. Ports are not judged.
    pub fn explain(&self, value: &str, at: Option<Timestamp>) -> Vec<Explained> {
        let mut explained = Vec::new();
        for kinds in FORMS {
            let mut canonical = Vec::new();
            if kinds.first().is_none_or(|kind| (kind.canonical)(value.trim().as_bytes(), &mut canonical).is_err()) {
                continue;
            }
            let entries = self.index.meet(kinds, &canonical);
            explained.extend(entries.into_iter().map(|entry| self.explained(entry, &canonical, at)));
        }
        explained
    }

    fn explained(&self, entry: Entry, seen: &[u8], at: Option<Timestamp>) -> Explained {
        let (kind, value) = self.index.value(entry);
        let allowed = allowed(&self.allow, kind, seen);
        let value = (kind.text)(value);
        let mut words = self.words(entry, at, None);
        if allowed {
            words.iter_mut().for_each(|word| word.verdict = Err(Refusal::Allowed));
        }
        Explained { kind: kind.name, signature_id: signature_id(kind.name, &value), value, words }
    }

    /// What each source says, judged. A source that withdraws an indicator withdraws what it said of it before.
    fn words(&self, entry: Entry, at: Option<Timestamp>, port: Option<Option<(u16, u8)>>) -> Vec<Word> {
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

    fn verdict(&self, said: &Statement, at: Option<Timestamp>, port: Option<Option<(u16, u8)>>) -> Result<(), Refusal> {
        let before = |limit: Option<Timestamp>| at.zip(limit).is_some_and(|(at, limit)| at < limit);
        let from = |limit: Option<Timestamp>| at.zip(limit).is_some_and(|(at, limit)| at >= limit);
        let other_port = said.port.zip(port).is_some_and(|(only, port)| port != Some(only));
        let grounds = [
            (said.revoked, Refusal::Revoked),
            (from(said.valid_until), Refusal::Expired),
            (before(said.valid_from), Refusal::NotYetValid),
            (said.confidence < self.confidence_min, Refusal::LowConfidence),
            (other_port, Refusal::OtherPort),
        ];
        grounds.iter().find(|(refused, _)| *refused).map_or(Ok(()), |(_, refusal)| Err(*refusal))
    }
}

/// Whether the site's allow-list has the seen value: itself, a name above it, or a network around it.
fn allowed(allow: &Index, kind: &Kind, seen: &[u8]) -> bool {
    let kinds = FORMS.iter().find(|kinds| kinds.contains(&kind));
    allow.len() > 0 && kinds.is_some_and(|kinds| !allow.meet(kinds, seen).is_empty())
}
