//! The HTTPS sink: one POST to one endpoint of the centre, its answer read as `deploy/ingest.yaml` says. Never here: a redirect
//! followed, a proxy taken from the environment, a certificate not verified, or a second attempt.

use std::error::Error as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::{AlertDescription, CertificateError};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};
use ureq::{Agent, Error};
use zstd::bulk::Compressor;

use super::answer::Answer;
use super::credentials::{Credentials, Of};
use super::{Delivery, Facts, Section, Sink, Trouble};
use crate::gate::{Batch, Heartbeat};
use crate::ledger::{Kind, Receipt};
use crate::limits::ANSWER_BYTES_MAX;

/// An endpoint that does not take the connection by then, TLS included, is down: another may be tried before ten seconds are
/// over.
const CONNECT_MAX: Duration = Duration::from_secs(4);

/// A connection is made anew after this long: a certificate is looked at when a connection begins, and not again.
pub(super) const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);

/// What is smaller is not worth the packing.
const PACKED_BYTES_MIN: usize = 512;

/// Of zstd's levels the fastest that packs alerts tenfold.
const PACKING_LEVEL: i32 = 1;

/// One endpoint of the centre, over HTTPS.
pub struct Https {
    url: String,
    credentials: Arc<Mutex<Credentials>>,
    line: Option<Line>,
    packing: Packing,
    /// Until when the centre's certificate holds, in seconds since 1970; 0: none was seen.
    until: Arc<AtomicU64>,
    clock_ahead: Option<i64>,
    receipt: Option<Receipt>,
}

/// Connections made with what held at that time.
struct Line {
    agent: Agent,
    authorization: Option<String>,
    generation: u64,
    since: Instant,
}

/// Whether the endpoint takes packed batches.
enum Packing {
    /// It was sent one, and nothing is known yet.
    Tried(Compressor<'static>),
    /// It has taken one.
    Taken(Compressor<'static>),
    /// It does not.
    Refused,
}

impl Https {
    /// A sink for each endpoint of the section, in its order; token, authorities and our certificate are read, and nothing is
    /// connected to yet.
    ///
    /// # Errors
    /// What is wrong with a file, for a person.
    pub fn open(section: &Section) -> Result<Vec<Box<dyn Sink>>, String> {
        let credentials = Credentials::open(Of::CENTRE, section.files.clone(), section.secured())?;
        let credentials = Arc::new(Mutex::new(credentials));
        let sink = |url: &String| -> Result<Box<dyn Sink>, String> {
            let packer = Compressor::new(PACKING_LEVEL).map_err(|error| format!("zstd: {error}"))?;
            Ok(Box::new(Https {
                url: url.clone(),
                credentials: Arc::clone(&credentials),
                line: None,
                packing: Packing::Tried(packer),
                until: Arc::default(),
                clock_ahead: None,
                receipt: None,
            }))
        };
        section.endpoints().map(sink).collect()
    }

    fn credentials(&self) -> MutexGuard<'_, Credentials> {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections by what the files say now.
    fn line(&mut self) -> &Line {
        let (held, generation) = {
            let mut credentials = self.credentials();
            credentials.refresh(false);
            let (held, generation) = credentials.held();
            (held.clone(), generation)
        };
        let good = |line: &Line| line.generation == generation && line.since.elapsed() < CONNECTION_AGE_MAX;
        let line = self.line.take().filter(good).unwrap_or_else(|| Line {
            agent: agent(held.tls.filter(|_| self.url.starts_with("https:")), &self.until),
            authorization: held.authorization,
            generation,
            since: Instant::now(),
        });
        self.line.insert(line)
    }

    fn post(&mut self, to: &str, body: &[u8], packed: bool, patience: Duration) -> Result<Answer, Delivery> {
        self.receipt = None;
        let url = format!("{}/{to}", self.url);
        let line = self.line();
        let mut request = line.agent.post(url).header("Content-Type", "application/json");
        if packed {
            request = request.header("Content-Encoding", "zstd");
        }
        if let Some(authorization) = &line.authorization {
            request = request.header("Authorization", authorization);
        }
        let answer = request.config().timeout_global(Some(patience)).build().send(body).and_then(|response| {
            let (parts, mut body) = response.into_parts();
            let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        });
        match answer {
            Ok(answer) => {
                self.clock_ahead = answer.clock_ahead().or(self.clock_ahead);
                self.receipt = answer.receipt();
                if matches!(answer.status, 401 | 403) {
                    self.credentials().refresh(true);
                }
                Ok(answer)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&mut self, error: &Error) -> Delivery {
        let (trouble, why) = why(error);
        self.line = None;
        let mut reason = format!("{}: {why}", self.url);
        let mut credentials = self.credentials();
        if trouble == Trouble::Certificate {
            credentials.refresh(true);
        }
        if let Some(trouble) = credentials.trouble() {
            reason = format!("{reason} (and {trouble})");
        }
        Delivery::Later { trouble, reason, after: None }
    }

    /// The bytes packed, where that pays and the endpoint is not known to refuse them.
    fn packed(&mut self, json: &[u8]) -> Option<Vec<u8>> {
        match &mut self.packing {
            Packing::Tried(packer) | Packing::Taken(packer) if json.len() >= PACKED_BYTES_MIN => {
                packer.compress(json).ok()
            }
            _ => None,
        }
    }

    /// What the answer to a packed batch says of packing; whether the batch is to go again as it is.
    fn learn_of_packing(&mut self, status: u16) -> bool {
        let known = std::mem::replace(&mut self.packing, Packing::Refused);
        self.packing = match (known, status) {
            // Whoever does not know what packing is finds no JSON (400).
            (_, 415) | (Packing::Tried(_), 400) => return true,
            (Packing::Tried(packer) | Packing::Taken(packer), 200) => Packing::Taken(packer),
            (known, _) => known,
        };
        false
    }
}

impl Sink for Https {
    fn deliver(&mut self, batch: &Batch, patience: Duration) -> Delivery {
        let packed = self.packed(batch.json());
        let is_packed = packed.is_some();
        let answer = match self.post("alerts", packed.as_deref().unwrap_or(batch.json()), is_packed, patience) {
            Ok(answer) => answer,
            Err(failed) => return failed,
        };
        if is_packed && self.learn_of_packing(answer.status) {
            return Delivery::Again { reason: format!("{} takes nothing packed", self.url) };
        }
        answer.understood(batch.positions().len())
    }

    fn beat(&mut self, heartbeat: &Heartbeat, patience: Duration) -> Result<(), String> {
        match self.post("heartbeat", heartbeat.json(), false, patience) {
            Ok(Answer { status: 200..=299, .. }) => Ok(()),
            Ok(answer) => Err(format!("{}: the centre answers {}", self.url, answer.status)),
            Err(Delivery::Later { reason, .. }) => Err(reason),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    fn destination(&self, kind: Kind) -> (&'static str, String) {
        let place = match kind {
            Kind::Alerts => "alerts",
            Kind::Heartbeat => "heartbeat",
        };
        ("https", format!("{}/{place}", self.url))
    }

    fn is_told_of_life(&self) -> bool {
        true
    }

    fn gives_receipts(&self) -> bool {
        true
    }

    fn receipt(&mut self) -> Option<Receipt> {
        self.receipt.take()
    }

    fn facts(&self) -> Facts {
        Facts {
            own_until: self.credentials().held().0.until,
            centre_until: Some(self.until.load(Ordering::Acquire)).filter(|until| *until > 0),
            clock_ahead: self.clock_ahead,
        }
    }
}

/// Whoever speaks HTTP for us.
pub(super) fn agent(tls: Option<Arc<rustls::ClientConfig>>, until: &Arc<AtomicU64>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_connect(Some(CONNECT_MAX))
        .max_idle_connections(1)
        .user_agent(concat!("haetae/", env!("CARGO_PKG_VERSION")))
        .build();
    let (resolver, tcp) = (DefaultResolver::default(), ().chain(TcpConnector::default()));
    match tls {
        Some(config_of_tls) => {
            let tls = super::tls::Tls { config: config_of_tls, until: Arc::clone(until) };
            Agent::with_parts(config, tcp.chain(tls), resolver)
        }
        None => Agent::with_parts(config, tcp, resolver),
    }
}

/// What kept a request from an answer, and the same for a person.
pub(super) fn why(error: &Error) -> (Trouble, String) {
    let of_tls = match error {
        Error::Rustls(of_tls) => Some(of_tls),
        Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => error.source().and_then(|inner| inner.downcast_ref()),
    };
    match (error, of_tls) {
        (_, Some(of_tls)) => (Trouble::Certificate, why_not_trusted(of_tls)),
        (Error::Tls(why), _) => (Trouble::Certificate, (*why).to_owned()),
        (Error::Timeout(at), _) => (Trouble::Slow, format!("no answer in time ({at})")),
        (Error::HostNotFound, _) => (Trouble::Unreachable, "the name does not resolve".to_owned()),
        (Error::Io(error), _) if error.kind() == std::io::ErrorKind::TimedOut => (Trouble::Slow, error.to_string()),
        (Error::Io(_) | Error::ConnectionFailed, _) => (Trouble::Unreachable, error.to_string()),
        _ => (Trouble::Other, error.to_string()),
    }
}

fn why_not_trusted(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate};
    let day = |seconds: u64| {
        let at = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        at.map_or_else(|| "?".to_owned(), |at| at.to_string())
    };
    match error {
        InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => format!(
            "the centre's certificate ended at {}, and our clock says {}: one of the two is wrong",
            day(not_after.as_secs()),
            day(time.as_secs())
        ),
        InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => format!(
            "the centre's certificate begins at {}, and our clock says {}: one of the two is wrong",
            day(not_before.as_secs()),
            day(time.as_secs())
        ),
        InvalidCertificate(CertificateError::Revoked) => "the centre's certificate is revoked".to_owned(),
        InvalidCertificate(CertificateError::UnknownRevocationStatus) => {
            "`revocations` does not speak of the authority that issued the centre's certificate".to_owned()
        }
        InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the centre's certificate is of an authority that is not trusted here".to_owned()
        }
        InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            format!("the centre's certificate is another's: {error}")
        }
        AlertReceived(AlertDescription::CertificateRequired) => "the centre asks for our certificate".to_owned(),
        AlertReceived(alert) => format!("the centre ends the connection: {alert:?} (is our certificate in order?)"),
        _ => error.to_string(),
    }
}
