//! The HTTPS sink: one POST to the centre, its answer read as `deploy/ingest.yaml` says. Never here: a redirect
//! followed, a proxy taken from the environment, a certificate not verified, or a second attempt.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use ureq::Agent;
use ureq::http::{HeaderMap, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{Delivery, Section, Sink};
use crate::gate::{Batch, Heartbeat, read_secret};
use crate::ledger::{Kind, Receipt};
use crate::limits::ANSWER_BYTES_MAX;
use crate::spool::Position;

/// Where systems keep the authorities they trust: Debian, Fedora, SUSE, Alpine.
static SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A centre that does not take the connection by then is down.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A whole attempt. Longer than a slow disk at the centre takes, short enough to notice a connection gone dead.
const ATTEMPT_MAX: Duration = Duration::from_secs(60);

/// The centre may ask for patience, but not for ever.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The centre, over HTTPS.
pub struct Https {
    agent: Agent,
    url: String,
    token: Option<PathBuf>,
    authorization: Option<String>,
    receipt: Option<Receipt>,
}

/// What the centre answers.
#[derive(Deserialize)]
struct Answer {
    committed: Option<u64>,
    index: Option<usize>,
    error: Option<String>,
    receipt: Option<Receipt>,
}

impl Https {
    /// Reads token and authorities; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with a file, for a person.
    pub fn open(section: &Section) -> Result<Https, String> {
        let roots = match section.url.starts_with("https:") {
            true => authorities(section.authority.as_deref())?,
            false => Vec::new(),
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(ATTEMPT_MAX))
            .user_agent(concat!("haetae/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build()
            .new_agent();
        let mut sink =
            Https { agent, url: section.url.clone(), token: section.token.clone(), authorization: None, receipt: None };
        sink.read_token()?;
        Ok(sink)
    }

    fn read_token(&mut self) -> Result<(), String> {
        let token = self.token.as_deref().map(read_token).transpose()?;
        self.authorization = token.map(|token| format!("Bearer {token}"));
        Ok(())
    }

    fn post(&self, to: &str, body: &[u8]) -> Result<(u16, HeaderMap, Vec<u8>), String> {
        let mut request = self.agent.post(format!("{}/{to}", self.url)).header("Content-Type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let response = request.send(body).map_err(|error| format!("{}: {error}", self.url))?;
        let (parts, mut body): (_, ureq::Body) = Response::into_parts(response);
        let bytes = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        Ok((parts.status.as_u16(), parts.headers, bytes.map_err(|error| format!("{}: {error}", self.url))?))
    }
}

impl Sink for Https {
    fn deliver(&mut self, batch: &Batch) -> Delivery {
        self.receipt = None;
        let (status, headers, body) = match self.post("alerts", batch.json()) {
            Ok(answer) => answer,
            Err(reason) => return Delivery::Later { reason, after: None },
        };
        if matches!(status, 401 | 403) {
            // A token renewed on the disk takes effect without a restart; a broken one shows at the next attempt too.
            let _ = self.read_token();
        }
        self.receipt = receipt_in(&body);
        understand(status, &headers, &body, batch.positions().len())
    }

    fn beat(&mut self, heartbeat: &Heartbeat) -> Result<(), String> {
        self.receipt = None;
        let (status, _, body) = self.post("heartbeat", heartbeat.json())?;
        self.receipt = receipt_in(&body);
        if (200..=299).contains(&status) { Ok(()) } else { Err(format!("the centre answers {status}")) }
    }

    fn destination(&self, kind: Kind) -> (&'static str, String) {
        let place = match kind {
            Kind::Alerts => "alerts",
            Kind::Heartbeat => "heartbeat",
        };
        ("https", format!("{}/{place}", self.url))
    }

    fn receipt(&mut self) -> Option<Receipt> {
        self.receipt.take()
    }
}

/// What an answer means. Whatever is not clearly one of the other three means later: nothing is ever given up for an
/// answer that could come from a proxy on the way.
fn understand(status: u16, headers: &HeaderMap, body: &[u8], records: usize) -> Delivery {
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    let after = retry_after(headers);
    match (status, answer) {
        (200, Some(answer)) => Delivery::Delivered { committed: answer.committed.map(Position) },
        (413, _) => Delivery::Smaller,
        (422, Some(Answer { index: Some(which), error, .. })) if which < records => {
            Delivery::Never { reason: error.unwrap_or_else(|| "refused by the centre".to_owned()), which }
        }
        (401 | 403, _) => Delivery::Later { reason: format!("the centre refuses the token ({status})"), after },
        (_, answer) => {
            let said = answer.and_then(|answer| answer.error).map(|error| format!(": {error}")).unwrap_or_default();
            Delivery::Later { reason: format!("the centre answers {status}{said}"), after }
        }
    }
}

/// The receipt of an answer, if it has one that is spelled as receipts are.
fn receipt_in(body: &[u8]) -> Option<Receipt> {
    serde_json::from_slice::<Answer>(body).ok()?.receipt
}

/// RFC 9110 section 10.2.3, the form in seconds; a date would need two clocks to agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The token in a file: one line of visible characters.
pub(super) fn read_token(path: &Path) -> Result<String, String> {
    let bytes = read_secret(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let token = String::from_utf8(bytes).unwrap_or_default().trim().to_owned();
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    visible.then_some(token).ok_or_else(|| format!("{}: not one line of visible characters", path.display()))
}

/// The authorities in a PEM file, or the system's.
pub(super) fn authorities(path: Option<&Path>) -> Result<Vec<Certificate<'static>>, String> {
    let system = || SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
    let path = path.or_else(system).ok_or("the system has no bundle of authorities; name one")?;
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(|error| said(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(BufReader::new(file)).collect();
    let found = found.map_err(|error| said(&error))?;
    if found.is_empty() {
        return Err(said(&"no certificate in it"));
    }
    Ok(found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn answer(status: u16, retry: Option<&str>, body: &str) -> Delivery {
        let mut headers = HeaderMap::new();
        if let Some(retry) = retry {
            headers.insert("retry-after", retry.parse().unwrap());
        }
        understand(status, &headers, body.as_bytes(), 2)
    }

    fn is_later(delivery: &Delivery) -> bool {
        matches!(delivery, Delivery::Later { .. })
    }

    #[test]
    fn only_a_number_settles_anything() {
        assert_eq!(answer(200, None, r#"{"committed":7}"#), Delivery::Delivered { committed: Some(Position(7)) });
        assert_eq!(answer(200, None, "{}"), Delivery::Delivered { committed: None });
        for (status, body) in [(200, ""), (200, "<html>"), (204, ""), (302, ""), (404, ""), (400, "{}"), (500, "")] {
            assert!(is_later(&answer(status, None, body)), "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_counts_only_if_it_names_a_record_of_the_batch() {
        let never = Delivery::Never { reason: "src_ip".into(), which: 1 };
        assert_eq!(answer(422, None, r#"{"error":"src_ip","index":1}"#), never);
        assert!(is_later(&answer(422, None, r#"{"error":"src_ip","index":2}"#)));
        assert!(is_later(&answer(422, None, "")));
        assert_eq!(answer(413, None, ""), Delivery::Smaller);
    }

    #[test]
    fn the_centre_says_when_to_come_again() {
        let after = |retry| match answer(503, Some(retry), "") {
            Delivery::Later { after, .. } => after,
            _ => None,
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("99999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    #[test]
    fn a_token_is_one_line_and_not_for_everyone() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("token");
        let put = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read_token(&path)
        };
        assert_eq!(put("s3cret\n", 0o640), Ok("s3cret".to_owned()));
        assert!(put("s3cret\n", 0o644).unwrap_err().contains("everyone may read it"));
        assert!(put("two\nlines\n", 0o600).is_err());
        assert!(put("", 0o600).is_err());
    }
}
