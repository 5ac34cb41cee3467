//! Where a collection is: from what the configuration names, a server's discovery or one of its API roots, to the collection's URLs.
//! In: answers to what is asked for. Out: a place. Never here: another host than the one in the configuration.

use ureq::http::Uri;

use super::served::{self, Named as Object};
use crate::emit::answer::Answer;
use crate::emit::{Delivery, Trouble, web};
use crate::limits::TAXII_ROOTS_MAX;

/// A collection that may be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The API root, with a slash at its end.
    root: String,
    collection: String,
    /// The largest envelope that it takes.
    pub bytes_max: u64,
}

impl Place {
    /// TAXII 2.1 section 5.4.
    pub(super) fn objects(&self) -> String {
        format!("{}collections/{}/objects/", self.root, self.collection)
    }

    /// Section 5.3, of these objects in all their versions. Nobody's page size is relied upon.
    pub(super) fn manifest(&self, objects: &[&Object], next: Option<&str>) -> String {
        let mut ids: Vec<&str> = objects.iter().map(|object| object.id.as_str()).collect();
        ids.dedup();
        let (root, collection, ids, limit) = (&self.root, &self.collection, ids.join(","), objects.len() * 2);
        let next = next.map(|next| format!("&next={}", encoded(next))).unwrap_or_default();
        format!(
            "{root}collections/{collection}/manifest/?match%5Bid%5D={ids}&match%5Bversion%5D=all&limit={limit}{next}"
        )
    }

    /// Section 4.3.
    pub(super) fn status(&self, id: &str) -> String {
        format!("{}status/{id}/", self.root)
    }
}

/// Finds the collection.
///
/// # Errors
/// What it means that it is not found.
pub(super) fn find(
    url: &str,
    collection: &str,
    get: &mut dyn FnMut(&str) -> Result<Answer, Delivery>,
) -> Result<Place, Delivery> {
    let later = |reason: String| Delivery::Later { trouble: Trouble::Other, reason, after: None };
    let answer = get(url)?;
    if answer.status != 200 {
        return Err(web::not_now(url, &answer));
    }
    let entry = served::Entry::of(&answer).ok_or_else(|| later(format!("{url}: speaks no TAXII 2.1")))?;
    let roots = match entry.roots() {
        // It is an API root itself.
        None => vec![url.to_owned()],
        Some(roots) => {
            let resolved = |root: &String| resolved(url, root).ok_or_else(|| elsewhere(url, root));
            roots.iter().take(TAXII_ROOTS_MAX).map(resolved).collect::<Result<_, _>>().map_err(later)?
        }
    };
    for root in &roots {
        let bytes_max = match entry.roots() {
            None => entry.bytes_max(),
            Some(_) => {
                let answer = get(root)?;
                served::Entry::of(&answer).filter(|_| answer.status == 200).map(|entry| entry.bytes_max())
            }
            .flatten(),
        };
        let answer = get(&format!("{root}collections/{collection}/"))?;
        match (answer.status, served::Collection::of(&answer)) {
            (200, Some(found)) if found.can_write => {
                let (root, collection) = (root.clone(), collection.to_owned());
                return Ok(Place { root, collection, bytes_max: bytes_max.unwrap_or(u64::MAX) });
            }
            (200, Some(_)) => return Err(later(format!("the collection {collection} gives no right to write"))),
            // Another root may have it.
            (403 | 404, _) => {}
            _ => return Err(web::not_now("the server", &answer)),
        }
    }
    Err(later(format!("{url}: no collection {collection}, or no right to it")))
}

fn elsewhere(url: &str, root: &str) -> String {
    let root: String = root.chars().filter(|letter| letter.is_ascii_graphic()).take(200).collect();
    format!("{url} leads to another host (`{root}`): the secret is not for that; name the API root itself")
}

/// A reference resolved against the URL it was found at (RFC 3986 section 5.2, of what discoveries hold: whole URLs, absolute and
/// relative paths), with a slash at its end; `None`: it leads to another scheme, host or port.
fn resolved(base: &str, reference: &str) -> Option<String> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['?', '#', '\\']);
    if reference.is_empty() || !plain(reference) || reference.starts_with("//") {
        return None;
    }
    let at: Uri = base.parse().ok()?;
    let origin = format!("{}://{}", at.scheme_str()?, at.authority()?);
    let whole = match reference {
        path if path.starts_with('/') => format!("{origin}{path}"),
        whole if whole.contains("://") => {
            let to: Uri = whole.parse().ok()?;
            let same = to.scheme() == at.scheme() && to.host() == at.host() && port(&to) == port(&at);
            let path = to.path().to_owned();
            let clean = to.authority().is_some_and(|authority| !authority.as_str().contains('@'));
            (same && clean).then(|| format!("{origin}{path}"))?
        }
        relative => format!("{}{relative}", &base[..=base.rfind('/')?]),
    };
    let whole = format!("{}/", whole.trim_end_matches('/'));
    // No step upwards: where it leads is what is written.
    (!whole.contains("/../") && whole.parse::<Uri>().is_ok()).then_some(whole)
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

/// RFC 3986 section 2.1: a server's own word goes back to it and to nobody else.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLLECTION: &str = "91a7b528-80eb-42ed-a74d-c6fbd5a26116";

    fn answer(status: u16, body: &str) -> Answer {
        let kind = ("content-type".parse().unwrap(), "application/taxii+json;version=2.1".parse().unwrap());
        Answer { status, headers: [kind].into_iter().collect(), body: body.as_bytes().to_vec() }
    }

    /// A server of these pages.
    fn found(url: &str, pages: &[(&str, u16, &str)]) -> Result<Place, Delivery> {
        find(url, COLLECTION, &mut |asked| {
            let page = pages.iter().find(|(url, ..)| *url == asked);
            Ok(page.map_or_else(|| answer(404, "{}"), |(_, status, body)| answer(*status, body)))
        })
    }

    const ROOT: &str = r#"{"title":"r","versions":["application/taxii+json;version=2.1"],"max_content_length":1000}"#;
    const WRITABLE: &str = r#"{"id":"91a7b528-80eb-42ed-a74d-c6fbd5a26116","can_read":true,"can_write":true}"#;

    #[test]
    fn a_discovery_leads_to_the_root_that_has_the_collection() {
        let collection = format!("https://t.example/taxii2/two/collections/{COLLECTION}/");
        for roots in [
            r#"["/taxii2/one/","/taxii2/two/"]"#,
            r#"["https://t.example/taxii2/one","https://t.example:443/taxii2/two/"]"#,
            r#"["one/","two"]"#,
        ] {
            let discovery = format!(r#"{{"title":"t","api_roots":{roots}}}"#);
            let pages = [
                ("https://t.example/taxii2/", 200, discovery.as_str()),
                ("https://t.example/taxii2/one/", 200, ROOT),
                ("https://t.example/taxii2/two/", 200, ROOT),
                (collection.as_str(), 200, WRITABLE),
            ];
            let place = found("https://t.example/taxii2/", &pages).unwrap();
            assert_eq!((place.root.as_str(), place.bytes_max), ("https://t.example/taxii2/two/", 1000), "{roots}");
        }
    }

    #[test]
    fn an_api_root_is_taken_as_it_is() {
        let collection = format!("https://t.example/a/collections/{COLLECTION}/");
        let pages = [("https://t.example/a/", 200, ROOT), (collection.as_str(), 200, WRITABLE)];
        let place = found("https://t.example/a/", &pages).unwrap();
        assert_eq!(place.objects(), format!("{collection}objects/"));
        let ids = [&Object { id: "a--1".into(), modified: None }, &Object { id: "b--2".into(), modified: None }];
        let url = format!("{collection}manifest/?match%5Bid%5D=a--1,b--2&match%5Bversion%5D=all&limit=4&next=a%2B%26b");
        assert_eq!(place.manifest(&ids, Some("a+&b")), url);
    }

    #[test]
    fn the_secret_goes_to_no_other_host() {
        let base = "https://t.example/taxii2/";
        for reference in [
            "https://other.example/a/",
            "http://t.example/a/",
            "https://t.example:8443/a/",
            "https://t.example@other.example/",
            "https://other.example@t.example/",
            "//other.example/a/",
            "/a/../b/",
            "/a b/",
            "/a\r\nX: y/",
            "\\\\other.example/",
            "/a/?x=y",
            "",
        ] {
            assert_eq!(resolved(base, reference), None, "{reference}");
            let discovery = serde_json::json!({"title": "t", "api_roots": [reference]}).to_string();
            let said = found(base, &[(base, 200, &discovery)]).unwrap_err();
            assert!(matches!(&said, Delivery::Later { reason, .. } if reason.contains("another host")), "{said:?}");
        }
    }

    #[test]
    fn what_cannot_be_written_to_is_said() {
        let collection = format!("https://t.example/a/collections/{COLLECTION}/");
        let mut pages = vec![("https://t.example/a/", 200, ROOT)];
        let reason = |pages: &[(&str, u16, &str)]| match found("https://t.example/a/", pages) {
            Err(Delivery::Later { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert!(reason(&pages).contains("no collection"));
        pages.push((collection.as_str(), 200, r#"{"id":"x","can_read":true,"can_write":false}"#));
        assert!(reason(&pages).contains("no right to write"));
        assert!(reason(&[("https://t.example/a/", 200, "{}")]).contains("no TAXII"));
        assert!(reason(&[("https://t.example/a/", 401, "{}")]).contains("secret"));
    }
}
