//! The MISP sink: one POST to `/sightings/add` for each thing to be told, in order, for as long as there is time; what was told is
//! settled. MISP cannot be told that something is a repeat: a sighting whose answer was lost is there twice. Never here: an attribute
//! made, a login page taken for an answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::answer::Answer;
use super::credentials::{Named, Of};
use super::web::{self, Ask, Web};
use super::{Delivery, Facts, Problem, Secrets, Sink};
use crate::gate::{Batch, Heartbeat};
use crate::ledger::Kind;
use crate::spool::Position;

const JSON: &str = "application/json";

/// What MISP says, with one status or another, where no attribute has the value.
const UNMATCHED: &str = "No valid attributes";

/// The `misp:` section as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The instance: `https://...`; `http://` for loopback only.
    pub url: String,
    /// A file with the authorization key of a user who may add sightings; not readable by everyone.
    pub key: Option<PathBuf>,
    /// A PEM file of authorities to trust instead of the system's.
    pub authority: Option<PathBuf>,
}

/// The `misp:` section, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Without a slash at its end.
    pub url: String,
    /// The key and whom to trust.
    pub files: Named,
}

impl Section {
    /// Checks what is written; paths are relative to `base`.
    ///
    /// # Errors
    /// The keys and what is wrong with them.
    pub fn check(written: Written, base: &Path, secrets: Secrets) -> Result<Section, Vec<Problem>> {
        let files = Named {
            token: written.key.map(|path| base.join(path)),
            authority: written.authority.map(|path| base.join(path)),
            ..Named::default()
        };
        let section = Section { url: written.url.trim_end_matches('/').to_owned(), files };
        let mut problems = web::problems(&section.url, &section.files, secrets, "key");
        if section.files.token.is_none() {
            problems.push(("key", "is needed".to_owned()));
        }
        if problems.is_empty() { Ok(section) } else { Err(problems) }
    }
}

/// How the configuration calls its files.
const OF: Of = Of { section: "sinks.misp", token: "key" };

/// What MISP did with what it was told.
#[derive(Debug, Default)]
pub struct Told {
    /// Sightings that it keeps.
    pub saved: AtomicU64,
    /// Values that none of its attributes has.
    pub unmatched: AtomicU64,
}

/// See the head of this file.
pub struct Misp {
    url: String,
    web: Web,
    told: Arc<Told>,
}

/// What became of one thing to be told.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Saved,
    Unmatched,
    Not(Delivery),
}

impl Misp {
    /// Reads the key and the authorities; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with a file, for a person.
    pub fn open(section: &Section) -> Result<Misp, String> {
        let web = Web::open(OF, &section.url, section.files.clone(), Box::new(str::to_owned))?;
        Ok(Misp { url: format!("{}/sightings/add", section.url), web, told: Arc::default() })
    }

    /// What MISP did; to be read from any thread.
    pub fn told(&self) -> Arc<Told> {
        Arc::clone(&self.told)
    }

    fn tell(&mut self, bytes: &[u8], end: Instant) -> Heard {
        let ask = Ask { url: &self.url, accept: JSON, body: Some((JSON, bytes)) };
        match self.web.ask(&ask, end) {
            Ok(answer) => heard(&answer),
            Err(delivery) => Heard::Not(delivery),
        }
    }
}

impl Sink for Misp {
    fn told(&self) -> Option<Arc<Told>> {
        Some(Misp::told(self))
    }

    fn deliver(&mut self, batch: &Batch, patience: Duration) -> Delivery {
        let end = Instant::now() + patience;
        let mut settled: Option<Position> = None;
        let mut messages = batch.messages().iter().peekable();
        while let Some(message) = messages.next() {
            let count = match self.tell(message.bytes(), end) {
                Heard::Saved => &self.told.saved,
                Heard::Unmatched => &self.told.unmatched,
                // What was told before it is settled first; it comes again, as the first.
                Heard::Not(_) if settled.is_some() => return Delivery::Delivered { committed: settled },
                Heard::Not(delivery) => return delivery,
            };
            count.fetch_add(1, Ordering::Relaxed);
            let last = message.positions().last().copied();
            if messages.peek().is_none_or(|next| next.positions().last().copied() != last) {
                settled = last;
            }
            if Instant::now() >= end && settled.is_some() && messages.peek().is_some() {
                return Delivery::Delivered { committed: settled };
            }
        }
        Delivery::Delivered { committed: Some(batch.through()) }
    }

    fn destination(&self, _: Kind) -> (&'static str, String) {
        ("misp", self.url.clone())
    }

    fn facts(&self) -> Facts {
        self.web.facts()
    }

    fn beat(&mut self, _: &Heartbeat, _: Duration) -> Result<(), String> {
        Ok(())
    }
}

/// What an answer means. MISP says the same with several statuses, by its version: that nothing matched with 200, 403 or 404.
fn heard(answer: &Answer) -> Heard {
    let said = web::said(answer);
    let unmatched = said.as_ref().is_some_and(|said| said.contains(UNMATCHED));
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let refused = |said: Option<String>| {
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        Heard::Not(Delivery::Unclear { reason: format!("MISP does not take it ({}){said}", answer.status) })
    };
    match (answer.status, body) {
        (200 | 403 | 404, Some(Value::Object(_))) if unmatched => Heard::Unmatched,
        // An attribute that it was asked for by name, and has no more.
        (404, Some(Value::Object(body))) if body.get("name").is_some_and(|name| name == "Invalid attribute") => {
            Heard::Unmatched
        }
        (200 | 201, Some(Value::Object(_))) => match said {
            Some(said) if said.starts_with("Could not") => refused(Some(said)),
            _ => Heard::Saved,
        },
        (400 | 413 | 422, _) => refused(said),
        _ => Heard::Not(web::not_now("MISP", answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: &str, body: &str) -> Heard {
        let headers = [("content-type".parse().unwrap(), kind.parse().unwrap())].into_iter().collect();
        heard(&Answer { status, headers, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn a_saved_sighting_is_what_the_contract_or_an_older_misp_says_of_one() {
        for body in [
            r#"{"Sighting":{"id":"1","attribute_id":"7"}}"#,
            r#"{"id":"1","attribute_id":"7","type":"0"}"#,
            r#"{"message":"Sighting added"}"#,
            r#"{"name":"2 sightings successfuly added.","message":"2 sightings successfuly added."}"#,
        ] {
            assert_eq!(answer(200, "application/json; charset=UTF-8", body), Heard::Saved, "{body}");
        }
    }

    #[test]
    fn what_none_of_its_attributes_has_is_settled_whatever_status_says_so() {
        let late =
            r#"{"message":"Could not add the Sighting. Reason: No valid attributes found that match the criteria."}"#;
        let early = r#"{"name":"Could not add Sighting","message":"Could not add Sighting","errors":"No valid attributes found that match the criteria."}"#;
        assert_eq!(answer(200, "application/json", late), Heard::Unmatched);
        assert_eq!(answer(403, "application/json", early), Heard::Unmatched);
        assert_eq!(answer(404, "application/json", r#"{"name":"Invalid attribute"}"#), Heard::Unmatched);
    }

    #[test]
    fn what_is_no_answer_of_misps_settles_nothing() {
        for (status, kind, body) in [
            (200, "text/html", "<html>log in</html>"),
            (200, "application/json", "[]"),
            (302, "text/html", ""),
            (401, "application/json", "{}"),
            (403, "application/json", r#"{"name":"Authentication failed."}"#),
            (404, "text/html", "No valid attributes"),
            (404, "application/json", r#"{"name":"Not Found"}"#),
            (405, "application/json", "{}"),
            (429, "application/json", "{}"),
            (500, "application/json", "{}"),
        ] {
            let heard = answer(status, kind, body);
            assert!(matches!(heard, Heard::Not(Delivery::Later { .. })), "{status} {body}: {heard:?}");
        }
    }

    #[test]
    fn what_it_refuses_is_looked_into() {
        let other = r#"{"message":"Could not add the Sighting. Reason: Invalid type"}"#;
        for (status, body) in [(200, other), (400, ""), (422, "{}")] {
            assert!(matches!(answer(status, "application/json", body), Heard::Not(Delivery::Unclear { .. })), "{body}");
        }
    }
}
