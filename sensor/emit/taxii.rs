//! The TAXII 2.1 sink: an envelope is posted to a collection, and what the server says that it made of it is held against what the
//! collection then holds. Servers disagree: one calls what it has already a success, another a failure, a third takes its time.
//! `taxii_served.rs` has what is read from them.
//!
//! Never here: a failure believed before the collection was looked at, a body taken for TAXII that does not say so, our secret sent
//! to another host than the one in the configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::answer::Answer;
use super::credentials::{Named, Of};
use super::taxii_place::{self, Place};
use super::taxii_served::{self, Listed, Named as Object, State, Status};
use super::web::{self, Ask, Web};
use super::{Delivery, Facts, Problem, Secrets, Sink, Trouble};
use crate::gate::{Batch, Heartbeat};
use crate::ledger::Kind;
use crate::limits::{TAXII_IDS_MAX, TAXII_PAGES_MAX, TAXII_PENDING_MAX, TAXII_PENDING_TIME_MAX};
use crate::spool::Position;

/// TAXII 2.1 section 1.6.8.
const MEDIA_TYPE: &str = "application/taxii+json;version=2.1";

/// How soon a server that takes its time is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The `taxii:` section as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The server's discovery or an API root: `https://...`; `http://` for loopback only.
    pub url: String,
    /// The collection's id.
    pub collection: String,
    /// The user that the secret is the password of. Absent: the secret is a bearer token.
    pub user: Option<String>,
    /// A file with a password or a token; not readable by everyone.
    pub secret: Option<PathBuf>,
    /// A PEM file of authorities to trust instead of the system's.
    pub authority: Option<PathBuf>,
    /// A PEM file with the sensor's own certificate, for mutual TLS.
    pub certificate: Option<PathBuf>,
    /// A PEM file with its key; not readable by everyone.
    pub key: Option<PathBuf>,
}

/// The `taxii:` section, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// With a slash at its end.
    pub url: String,
    /// The collection's id.
    pub collection: String,
    /// Whose password the secret is; `None`: it is a token.
    pub user: Option<String>,
    /// Whom to trust, and who we are.
    pub files: Named,
}

impl Section {
    /// Checks what is written; paths are relative to `base`.
    ///
    /// # Errors
    /// The keys and what is wrong with them.
    pub fn check(written: Written, base: &Path, secrets: Secrets) -> Result<Section, Vec<Problem>> {
        let at = |path: PathBuf| base.join(path);
        let files = Named {
            token: written.secret.map(at),
            authority: written.authority.map(at),
            certificate: written.certificate.map(at),
            key: written.key.map(at),
            revocations: None,
        };
        let url = format!("{}/", written.url.trim_end_matches('/'));
        let section = Section { url, collection: written.collection, user: written.user, files };
        let mut problems = web::problems(&section.url, &section.files, secrets, "secret");
        if !taxii_served::is_id(&section.collection) {
            problems.push(("collection", format!("`{}` is no collection's id", section.collection)));
        }
        match &section.user {
            Some(_) if section.files.token.is_none() => problems.push(("user", "has no `secret` beside it".to_owned())),
            // RFC 7617 section 2
            Some(user) if user.is_empty() || user.contains(|letter: char| letter == ':' || letter.is_control()) => {
                problems.push(("user", format!("`{user}` is no user's name")));
            }
            _ => {}
        }
        if problems.is_empty() { Ok(section) } else { Err(problems) }
    }
}

/// How the configuration calls its files.
const OF: Of = Of { section: "sinks.taxii", token: "secret" };

/// See the head of this file.
pub struct Taxii {
    section: Section,
    web: Web,
    /// Where the collection is; `None`: to be asked for.
    place: Option<Place>,
    pending: Vec<Pending>,
}

/// An envelope that the server is still at work on.
struct Pending {
    after: Position,
    through: Position,
    objects: BTreeSet<Object>,
    status: String,
    since: Instant,
}

impl Taxii {
    /// Reads the secret and the authorities; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with a file, for a person.
    pub fn open(section: Section) -> Result<Taxii, String> {
        let user = section.user.clone();
        let authorization = move |secret: &str| match &user {
            Some(user) => format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))),
            None => format!("Bearer {secret}"),
        };
        let web = Web::open(OF, &section.url, section.files.clone(), Box::new(authorization))?;
        Ok(Taxii { section, web, place: None, pending: Vec::new() })
    }

    /// One GET.
    fn get(&mut self, url: &str, end: Instant) -> Result<Answer, Delivery> {
        self.web.ask(&Ask { url, accept: MEDIA_TYPE, body: None }, end)
    }

    fn try_to(&mut self, batch: &Batch, end: Instant) -> Result<Delivery, Delivery> {
        let objects = taxii_served::objects_of(batch.json());
        let place = self.place(end)?;
        if let Some(pending) = self.take_pending(batch, &objects) {
            return self.ask_again(&place, pending, end);
        }
        let bytes = batch.json().len() as u64;
        if bytes > place.bytes_max {
            let reason = format!("{bytes} bytes are more than the server takes ({})", place.bytes_max);
            return Err(Delivery::Smaller { reason });
        }
        let ask = Ask { url: &place.objects(), accept: MEDIA_TYPE, body: Some((MEDIA_TYPE, batch.json())) };
        let answer = self.web.ask(&ask, end)?;
        if !matches!(answer.status, 200..=202) {
            return Err(self.refused(&answer));
        }
        let status = Status::of(&answer).ok_or_else(|| self.odd(&answer))?;
        self.judge(&place, batch.after(), batch.through(), objects, &status, Instant::now(), end)
    }

    /// Where the collection is.
    fn place(&mut self, end: Instant) -> Result<Place, Delivery> {
        if let Some(place) = &self.place {
            return Ok(place.clone());
        }
        let section = self.section.clone();
        let found = taxii_place::find(&section.url, &section.collection, &mut |url| self.get(url, end))?;
        Ok(self.place.insert(found).clone())
    }

    /// What an answer that is no yes means.
    fn refused(&mut self, answer: &Answer) -> Delivery {
        let said = || web::said(answer).map(|said| format!(": {said}")).unwrap_or_default();
        match answer.status {
            413 => {
                // It may have been told to take less since.
                self.place = None;
                Delivery::Smaller { reason: format!("too much for the server (413){}", said()) }
            }
            400 | 422 => Delivery::Unclear {
                reason: format!("the server takes it for no envelope ({}){}", answer.status, said()),
            },
            _ => {
                if matches!(answer.status, 301..=308 | 403 | 404) {
                    self.place = None;
                }
                web::not_now("the server", answer)
            }
        }
    }

    /// An answer that says yes and is no TAXII: who is on the way may have given it.
    fn odd(&self, answer: &Answer) -> Delivery {
        let reason = format!("{}: the answer ({}) is no TAXII 2.1", self.section.url, answer.status);
        Delivery::Later { trouble: Trouble::Other, reason, after: None }
    }

    /// What a status means for the objects that were sent.
    #[allow(clippy::too_many_arguments)] // one line of reasoning, and each is another thing
    fn judge(
        &mut self,
        place: &Place,
        after: Position,
        through: Position,
        objects: BTreeSet<Object>,
        status: &Status,
        since: Instant,
        end: Instant,
    ) -> Result<Delivery, Delivery> {
        if status.state == State::Pending {
            if since.elapsed() >= TAXII_PENDING_TIME_MAX {
                return Err(Delivery::Later {
                    trouble: Trouble::Slow,
                    reason: "the server never ends".to_owned(),
                    after: None,
                });
            }
            self.pending.truncate(TAXII_PENDING_MAX - 1);
            self.pending.insert(0, Pending { after, through, objects, status: status.id.clone(), since });
            let reason = "the server has not ended its work on it".to_owned();
            return Err(Delivery::Later { trouble: Trouble::Busy, reason, after: Some(ASK_AGAIN) });
        }
        let doubtful: Vec<&Object> = objects.iter().filter(|object| !status.has_taken(object)).collect();
        if let Some(missing) = self.missing(place, &doubtful, end)? {
            let why = status.why(&missing).unwrap_or_else(|| "it does not say why".to_owned());
            return Err(Delivery::Unclear { reason: format!("the server does not take {missing}: {why}") });
        }
        Ok(Delivery::Delivered { committed: Some(through) })
    }

    /// The first of these that the collection does not hold. Where it may not be looked at, what several envelopes have in common is
    /// taken to be there: only a sighting and what was observed for it are of one alone.
    fn missing(&mut self, place: &Place, doubtful: &[&Object], end: Instant) -> Result<Option<String>, Delivery> {
        for some in doubtful.chunks(TAXII_IDS_MAX) {
            let mut there = Listed::default();
            let mut next = None;
            for _ in 0..TAXII_PAGES_MAX {
                let answer = self.get(&place.manifest(some, next.as_deref()), end)?;
                match answer.status {
                    200 => {}
                    403..=405 => {
                        return Ok(some.iter().find(|one| one.is_of_one_alert()).map(|one| one.id.clone()));
                    }
                    _ => return Err(web::not_now("the server", &answer)),
                }
                next = there.read(&answer).ok_or_else(|| self.odd(&answer))?;
                if next.is_none() {
                    break;
                }
            }
            if let Some(one) = some.iter().find(|one| !there.holds(one)) {
                return Ok(Some(one.id.clone()));
            }
        }
        Ok(None)
    }

    /// An envelope that the server was given before and that this batch begins with.
    fn take_pending(&mut self, batch: &Batch, objects: &BTreeSet<Object>) -> Option<Pending> {
        self.pending.retain(|pending| pending.since.elapsed() < TAXII_PENDING_TIME_MAX);
        let same = |pending: &Pending| {
            pending.after == batch.after() && pending.through <= batch.through() && pending.objects.is_subset(objects)
        };
        let at = self.pending.iter().position(same)?;
        Some(self.pending.remove(at))
    }

    /// Asks what became of it. A server that has forgotten is told again.
    fn ask_again(&mut self, place: &Place, pending: Pending, end: Instant) -> Result<Delivery, Delivery> {
        let answer = match self.get(&place.status(&pending.status), end) {
            Ok(answer) => answer,
            Err(delivery) => {
                self.pending.insert(0, pending);
                return Err(delivery);
            }
        };
        match (answer.status, Status::of(&answer)) {
            (200, Some(status)) => {
                let Pending { after, through, objects, since, .. } = pending;
                self.judge(place, after, through, objects, &status, since, end)
            }
            (404 | 410, _) => Err(Delivery::Again { reason: "the server has forgotten what it was given".to_owned() }),
            (200, None) => Err(self.odd(&answer)),
            _ => {
                self.pending.insert(0, pending);
                Err(web::not_now("the server", &answer))
            }
        }
    }
}

impl Sink for Taxii {
    fn deliver(&mut self, batch: &Batch, patience: Duration) -> Delivery {
        self.try_to(batch, Instant::now() + patience).unwrap_or_else(|delivery| delivery)
    }

    fn poll(&mut self, batch: &Batch, patience: Duration) -> Option<Delivery> {
        let end = Instant::now() + patience;
        let place = self.place.clone()?;
        let pending = self.take_pending(batch, &taxii_served::objects_of(batch.json()))?;
        Some(self.ask_again(&place, pending, end).unwrap_or_else(|delivery| delivery))
    }

    fn destination(&self, _: Kind) -> (&'static str, String) {
        ("taxii", self.section.url.clone())
    }

    fn facts(&self) -> Facts {
        self.web.facts()
    }

    fn beat(&mut self, _: &Heartbeat, _: Duration) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: Written) -> Result<Section, Vec<Problem>> {
        Section::check(written, Path::new("/nowhere"), Secrets::Unopened)
    }

    fn written() -> Written {
        Written {
            url: "https://taxii.example/taxii2".into(),
            collection: "91a7b528-80eb-42ed-a74d-c6fbd5a26116".into(),
            user: Some("site-0017".into()),
            secret: Some("taxii.secret".into()),
            ..Written::default()
        }
    }

    #[test]
    fn a_section_is_checked_and_its_mistakes_are_named() {
        let section = check(written()).unwrap();
        assert_eq!(section.url, "https://taxii.example/taxii2/");
        assert_eq!(section.files.token, Some("/nowhere/taxii.secret".into()));
        for (wrong, key) in [
            (Written { url: "http://taxii.example/".into(), ..written() }, "url"),
            (Written { collection: "../x".into(), ..written() }, "collection"),
            (Written { collection: String::new(), ..written() }, "collection"),
            (Written { secret: None, ..written() }, "user"),
            (Written { user: Some("a:b".into()), ..written() }, "user"),
        ] {
            assert_eq!(check(wrong).unwrap_err()[0].0, key);
        }
    }
}
