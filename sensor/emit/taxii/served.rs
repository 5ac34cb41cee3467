//! What TAXII 2.1 servers answer, read: discoveries, API roots, collections, statuses, manifests. In: answers. Out: what of them this
//! sink lives by. A member that is missing is no error where servers are known to leave it out; a body that does not say that it is
//! TAXII is not read at all.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::emit::answer::Answer;

/// An object by its name, and its version where it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Named {
    /// Its STIX id.
    pub id: String,
    /// As it was sent.
    pub modified: Option<String>,
}

impl Named {
    /// Whether no other alert has it.
    pub(super) fn is_of_one_alert(&self) -> bool {
        ["sighting--", "observed-data--"].iter().any(|kind| self.id.starts_with(kind))
    }
}

/// The objects of an envelope of ours.
pub(super) fn objects_of(envelope: &[u8]) -> BTreeSet<Named> {
    #[derive(Deserialize)]
    struct Envelope {
        objects: BTreeSet<Named>,
    }
    serde_json::from_slice::<Envelope>(envelope).map(|envelope| envelope.objects).unwrap_or_default()
}

/// Whether a text can be a part of a path: what ids of collections and statuses are made of.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The body, where it says that it is TAXII.
fn read<T: DeserializeOwned>(answer: &Answer) -> Option<T> {
    let kind = answer.headers.get("content-type")?.to_str().ok()?;
    let taxii = kind.split(';').next()?.trim().eq_ignore_ascii_case("application/taxii+json");
    serde_json::from_slice(&answer.body).ok().filter(|_| taxii)
}

/// A discovery (section 4.1) or an API root (section 4.2).
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    default: Option<String>,
    api_roots: Option<Vec<String>>,
    versions: Option<Vec<String>>,
    max_content_length: Option<u64>,
}

impl Entry {
    /// `None`: it is neither.
    pub(super) fn of(answer: &Answer) -> Option<Entry> {
        read(answer).filter(|entry: &Entry| entry.roots().is_some() || entry.versions.is_some())
    }

    /// Of a discovery, its roots, the default first.
    pub(super) fn roots(&self) -> Option<Vec<String>> {
        if self.api_roots.is_none() && self.default.is_none() {
            return None;
        }
        let mut roots: Vec<String> = self.default.iter().chain(self.api_roots.iter().flatten()).cloned().collect();
        let mut seen = BTreeSet::new();
        roots.retain(|root| seen.insert(root.clone()));
        Some(roots)
    }

    /// Of a root, the largest envelope that it takes.
    pub(super) fn bytes_max(&self) -> Option<u64> {
        self.max_content_length
    }
}

/// A collection (section 5.2).
#[derive(Debug, Deserialize)]
pub(super) struct Collection {
    pub can_write: bool,
}

impl Collection {
    pub(super) fn of(answer: &Answer) -> Option<Collection> {
        read(answer)
    }
}

/// Whether a server has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It has.
    Complete,
    /// It has not.
    Pending,
}

/// What it made of an envelope (section 4.3).
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub id: String,
    #[serde(rename = "status")]
    pub state: State,
    #[serde(default)]
    successes: Vec<Detail>,
    #[serde(default)]
    failures: Vec<Detail>,
}

/// Of one object.
#[derive(Debug, Deserialize)]
struct Detail {
    id: String,
    version: Option<String>,
    message: Option<String>,
}

impl Status {
    pub(super) fn of(answer: &Answer) -> Option<Status> {
        read(answer).filter(|status: &Status| is_id(&status.id))
    }

    /// Whether it says so of an object by name, and nothing against it. A mere count of successes is of some objects or other.
    pub(super) fn has_taken(&self, object: &Named) -> bool {
        let of = |list: &[Detail]| list.iter().any(|detail| detail.id == object.id && detail.is_of(object));
        of(&self.successes) && !of(&self.failures)
    }

    /// What it says of a failure.
    pub(super) fn why(&self, id: &str) -> Option<String> {
        let message = self.failures.iter().find(|detail| detail.id == id)?.message.as_deref()?;
        Some(message.chars().filter(|letter| !letter.is_control()).take(200).collect())
    }
}

impl Detail {
    fn is_of(&self, object: &Named) -> bool {
        match (&self.version, &object.modified) {
            (Some(version), Some(modified)) => same_time(version, modified),
            _ => true,
        }
    }
}

/// Servers write the same version with three digits of a second or with six.
fn same_time(one: &str, two: &str) -> bool {
    one == two || matches!((one.parse::<Timestamp>(), two.parse::<Timestamp>()), (Ok(one), Ok(two)) if one == two)
}

/// What a collection holds of what was asked for (section 5.3).
#[derive(Debug, Default)]
pub(super) struct Listed {
    there: BTreeSet<(String, String)>,
}

impl Listed {
    /// Reads a page; gives what the next is called by, if there is one. An empty list may be left out altogether.
    pub(super) fn read(&mut self, answer: &Answer) -> Option<Option<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            more: bool,
            next: Option<String>,
            #[serde(default)]
            objects: Vec<Record>,
        }
        #[derive(Deserialize)]
        struct Record {
            id: String,
            version: String,
        }
        let page: Page = read(answer)?;
        self.there.extend(page.objects.into_iter().map(|record| (record.id, record.version)));
        Some(page.next.filter(|_| page.more))
    }

    /// Whether an object is there, in its version.
    pub(super) fn holds(&self, object: &Named) -> bool {
        let version = |version: &str| object.modified.as_ref().is_none_or(|modified| same_time(version, modified));
        self.there.iter().any(|(id, of)| *id == object.id && version(of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: &str, body: &str) -> Answer {
        let kind = ("content-type".parse().unwrap(), kind.parse().unwrap());
        Answer { status: 200, headers: [kind].into_iter().collect(), body: body.as_bytes().to_vec() }
    }

    fn taxii(body: &str) -> Answer {
        answer("application/taxii+json;version=2.1", body)
    }

    fn sighting(modified: &str) -> Named {
        Named { id: "sighting--1".into(), modified: Some(modified.into()) }
    }

    #[test]
    fn what_does_not_say_that_it_is_taxii_is_not_read() {
        let body = r#"{"id":"a","status":"complete"}"#;
        assert!(Status::of(&taxii(body)).is_some());
        for kind in ["text/html", "application/json", "application/vnd.oasis.taxii+json", ""] {
            assert!(Status::of(&answer(kind, body)).is_none(), "{kind}");
        }
        for body in ["", "<html>", "[]", "{}", r#"{"id":"a","status":"done"}"#, r#"{"id":"../x","status":"complete"}"#]
        {
            assert!(Status::of(&taxii(body)).is_none(), "{body}");
        }
    }

    #[test]
    fn a_success_is_believed_only_of_an_object_that_is_named() {
        let status = |body: &str| Status::of(&taxii(body)).unwrap();
        let one = sighting("2026-11-21T04:40:02.511Z");
        let named = r#"{"id":"a","status":"complete","successes":[{"id":"sighting--1","version":"2026-11-21T04:40:02.511000Z"}]}"#;
        assert!(status(named).has_taken(&one), "whatever the digits");
        assert!(!status(named).has_taken(&sighting("2026-11-21T04:40:02.512Z")), "another version");
        assert!(!status(r#"{"id":"a","status":"complete","success_count":1}"#).has_taken(&one), "of which?");
        let both = r#"{"id":"a","status":"complete","successes":[{"id":"sighting--1"}],"failures":[{"id":"sighting--1","message":"no"}]}"#;
        assert!(!status(both).has_taken(&one));
        assert_eq!(status(both).why("sighting--1").as_deref(), Some("no"));
    }

    #[test]
    fn a_manifest_is_read_page_by_page_and_may_be_empty() {
        let mut listed = Listed::default();
        assert_eq!(listed.read(&taxii("{}")), Some(None));
        let page = r#"{"more":true,"next":"x","objects":[{"id":"sighting--1","date_added":"2026-11-21T04:40:02Z","version":"2026-11-21T04:40:02.511000Z"}]}"#;
        assert_eq!(listed.read(&taxii(page)), Some(Some("x".to_owned())));
        assert!(
            listed.holds(&sighting("2026-11-21T04:40:02.511Z")) && !listed.holds(&sighting("2026-11-21T04:40:02.512Z"))
        );
        assert!(listed.holds(&Named { id: "sighting--1".into(), modified: None }));
        assert_eq!(listed.read(&answer("text/html", "{}")), None);
    }

    #[test]
    fn an_entry_is_a_discovery_or_a_root_and_the_default_comes_first() {
        let discovery = Entry::of(&taxii(r#"{"title":"t","default":"/b/","api_roots":["/a/","/b/"]}"#)).unwrap();
        assert_eq!(discovery.roots(), Some(vec!["/b/".to_owned(), "/a/".to_owned()]));
        assert!(Entry::of(&taxii(r#"{"title":"t"}"#)).is_none());
    }
}
