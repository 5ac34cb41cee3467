//! Sinks: what the gate let out goes in, one attempt goes out, and an answer comes back: delivered, later or never.
//! The [`Courier`] owns waiting, repeating and the watermark. Never here: a byte that did not come through the gate, and
//! a record given up because somebody did not answer.

mod answer;
mod counts;
mod courier;
mod credentials;
mod dead;
mod delays;
mod endpoints;
mod entered;
mod https;
mod lane;
pub mod misp;
pub mod nats;
mod nats_answers;
mod nats_connection;
mod nats_handed;
mod nats_section;
mod nats_wire;
pub mod sinks;
mod stream;
pub mod syslog;
pub mod taxii;
mod taxii_place;
mod taxii_served;
mod tls;
mod url;
mod validity;
mod web;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::gate::{self, Batch, Heartbeat, Policy, Pulse};
use crate::ledger::{Keys, Kind, Ledger, Receipt};
use crate::limits::{ENDPOINTS_MAX, MERGE_DEFAULT, MERGE_SECONDS_MAX};
use crate::spool::Position;
use crate::time::Span;

pub use counts::{Attempt, Counts, Outcome};
pub use courier::Courier;
pub use credentials::Named;
pub use dead::DeadLetters;
pub use delays::{CLASSES_MS, Delayed, Delays};
pub use https::Https;
pub use misp::Misp;
pub use syslog::Syslog;
pub use taxii::Taxii;
pub use url::check_url;

/// The `centre:` section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Where alerts go: `https://...`; `http://` for loopback only. Alerts are posted to `<url>/alerts`, signs of life
    /// to `<url>/heartbeat`.
    #[serde(default)]
    pub url: String,
    /// The centre's NATS JetStream, instead of `url`.
    pub nats: Option<nats::Written>,
    /// Other endpoints of the same centre, tried in this order while `url` gives trouble. Absent: none.
    pub fallbacks: Option<Vec<String>>,
    /// The member's gate file. Absent: the safe defaults of `deploy/gate.yaml`.
    pub gate: Option<PathBuf>,
    /// A file with the bearer token; not readable by everyone.
    pub token: Option<PathBuf>,
    /// A PEM file of authorities to trust instead of the system's.
    pub authority: Option<PathBuf>,
    /// A PEM file with the sensor's own certificate, for mutual TLS.
    pub certificate: Option<PathBuf>,
    /// A PEM file with its key; not readable by everyone.
    pub key: Option<PathBuf>,
    /// A PEM file of lists of revoked certificates, one for every authority of the centre's chain.
    pub revocations: Option<PathBuf>,
    /// A file with the public keys of the centre's receipts. Absent: nobody checks them.
    pub receipt_keys: Option<PathBuf>,
    /// The spool's directory. Absent: `/var/lib/haetae/spool`.
    pub spool: Option<PathBuf>,
    /// Repeats of a contact within so many seconds are delivered as updates, 0 (none are) to 86,400. Absent: 600.
    pub merge_seconds: Option<u64>,
}

/// Where the spool is when the configuration does not say.
const SPOOL: &str = "/var/lib/haetae/spool";

/// The ledger's folder in the spool's directory.
const LEDGER: &str = "ledger";

/// The `centre:` section, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Without a slash at its end; of NATS, the first server.
    pub url: String,
    /// Where alerts go if not to `url`.
    pub nats: Option<nats::Section>,
    /// As `url`.
    pub fallbacks: Vec<String>,
    /// What may leave.
    pub policy: Policy,
    /// The file that says so; `None`: the defaults.
    pub gate: Option<PathBuf>,
    /// Whom to trust, and who we are.
    pub files: Named,
    /// The file of the receipts' keys.
    pub receipt_keys: Option<PathBuf>,
    /// The spool's directory.
    pub spool: PathBuf,
    /// How long repeats of a contact are merged ([`crate::merge`]); none: each is delivered.
    pub merge: Span,
}

/// Whether files with secrets are opened, to see whether they can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Now is when it matters.
    Opened,
    /// They hold already, and who asks may not read them.
    Unopened,
}

/// The key within the section, and what is wrong with it.
pub type Problem = (&'static str, String);

impl Section {
    /// Checks what is written, the files it names included; paths are relative to `base`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(written: Written, base: &Path, secrets: Secrets) -> Result<Section, Vec<Problem>> {
        let nats = written.nats.as_ref().map(|nats| nats::Section::check(nats, &written));
        let (nats, wrong) = nats.transpose().map_or_else(|wrong| (None, wrong), |nats| (nats, Vec::new()));
        let url = written.nats.iter().flat_map(|nats| nats.servers.first()).next().unwrap_or(&written.url).clone();
        let gate_file = written.gate.map(|path| base.join(path));
        let gate = gate_file.as_deref().map(Policy::read);
        let (policy, gate) = match gate.transpose() {
            Ok(policy) => (policy.unwrap_or_default(), None),
            Err(why) => (Policy::default(), Some(("gate", why))),
        };
        let (bare, at) = (|url: &str| url.trim_end_matches('/').to_owned(), |path: PathBuf| base.join(path));
        let section = Section {
            url: bare(&url),
            nats,
            fallbacks: written.fallbacks.iter().flatten().map(|url| bare(url)).collect(),
            policy,
            gate: gate_file,
            files: Named {
                token: written.token.map(at),
                authority: written.authority.map(at),
                certificate: written.certificate.map(at),
                key: written.key.map(at),
                revocations: written.revocations.map(at),
            },
            receipt_keys: written.receipt_keys.map(at),
            spool: base.join(written.spool.unwrap_or_else(|| PathBuf::from(SPOOL))),
            merge: written
                .merge_seconds
                .map_or(MERGE_DEFAULT, |seconds| Span::seconds(seconds.min(MERGE_SECONDS_MAX) as i64)),
        };
        let window = written.merge_seconds.filter(|seconds| *seconds > MERGE_SECONDS_MAX);
        let window = window.map(|seconds| ("merge_seconds", format!("{seconds} is out of range")));
        let mut problems = if wrong.is_empty() { section.problems(secrets) } else { wrong };
        problems.extend(gate.into_iter().chain(window));
        if problems.is_empty() { Ok(section) } else { Err(problems) }
    }

    /// What is wrong with the URLs and the files that are named, as of now.
    pub fn problems(&self, secrets: Secrets) -> Vec<Problem> {
        // What is said of NATS was checked when it was read.
        let of_url = match &self.nats {
            Some(_) => Ok(()),
            None if self.url.is_empty() => Err("is missing, and so is `nats`".to_owned()),
            None => check_url(&self.url),
        };
        let mut problems: Vec<Problem> = of_url.err().into_iter().map(|why| ("url", why)).collect();
        for (at, url) in self.fallbacks.iter().enumerate() {
            match check_url(url) {
                Err(why) => problems.push(("fallbacks", why)),
                Ok(()) if self.endpoints().take(1 + at).any(|before| before == url) => {
                    problems.push(("fallbacks", format!("`{url}` is given twice")));
                }
                Ok(()) => {}
            }
        }
        if self.fallbacks.len() >= ENDPOINTS_MAX {
            problems.push(("fallbacks", format!("more than {} in all", ENDPOINTS_MAX - 1)));
        }
        if self.spool.is_file() {
            problems.push(("spool", format!("{}: is a file", self.spool.display())));
        }
        if secrets == Secrets::Opened {
            problems.extend(self.files.read(self.secured()).err().into_iter().flatten());
            let keys = self.receipt_keys.as_deref().map(Keys::read);
            problems.extend(keys.and_then(Result::err).map(|why| ("receipt_keys", why)));
        }
        problems
    }

    /// Where alerts go: the first, and what stands in for it.
    pub fn endpoints(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.url).chain(&self.fallbacks)
    }

    /// Whether there is a connection over TLS to be made. The system's authorities are asked for only then.
    pub fn secured(&self) -> bool {
        let by_url = || self.endpoints().any(|url| url.starts_with("https:") && check_url(url).is_ok());
        self.nats.as_ref().map_or_else(by_url, nats::Section::is_secured)
    }

    /// The ports of the endpoints.
    pub fn ports(&self) -> Vec<u16> {
        self.nats.as_ref().map_or_else(|| self.endpoints().map(|url| url::port_of(url)).collect(), nats::Section::ports)
    }

    /// The ways to the centre, and the row of the gate's table that says what may go there.
    ///
    /// # Errors
    /// What is wrong with a file or a name, for a person.
    pub fn ways(&self, sender: &gate::Sender) -> Result<(&'static gate::Sink, Sinks), String> {
        match &self.nats {
            Some(nats) => Ok((&gate::NATS, vec![Box::new(nats::Nats::open(self, nats, sender)?)])),
            None => Ok((&gate::CENTRE, Https::open(self)?)),
        }
    }

    /// The ledger's directory.
    pub fn ledger(&self) -> PathBuf {
        self.spool.join(LEDGER)
    }

    /// The file with the site's key: the policy's, or `site.key` beside the spool.
    pub fn key(&self) -> PathBuf {
        let beside = || self.spool.parent().unwrap_or(&self.spool).join("site.key");
        self.policy.key.clone().unwrap_or_else(beside)
    }
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The centre has it on its disk.
    Delivered {
        /// Up to where; `None`: it did not say, so nothing is settled.
        committed: Option<Position>,
    },
    /// Handed over, and not committed yet, as far as is known: to be asked again, and not sent again.
    Taken,
    /// Not now.
    Later {
        /// What kind of trouble it is.
        trouble: Trouble,
        /// Why, for a person.
        reason: String,
        /// When the centre wants to be asked again.
        after: Option<Duration>,
    },
    /// At once, for the sink has learned how the centre wants it.
    Again {
        /// What it learned, for a person.
        reason: String,
    },
    /// Too much at once.
    Smaller {
        /// What the centre said, for a person.
        reason: String,
    },
    /// One of these, never; but which, it does not say. It may as well be somebody on the way who takes nothing at all.
    Unclear {
        /// What it said, for a person.
        reason: String,
    },
    /// This record, never; the others of the batch were not taken either.
    Never {
        /// Why, for a person.
        reason: String,
        /// Which of the batch's records, from 0.
        which: usize,
    },
}

/// Why an attempt has to be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no connection.
    Unreachable,
    /// One of the two certificates does not hold.
    Certificate,
    /// No answer in time.
    Slow,
    /// The token is not taken.
    Token,
    /// The centre asks this sensor for patience: the other endpoints need not be asked.
    Busy,
    /// The endpoint says that it is not there for anybody.
    Down,
    /// There is no room for all of it: less is tried next.
    Full,
    /// Any other answer.
    Other,
}

/// What a sink has learned of the other side and of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Until when our certificate holds, in seconds since 1970; `None`: we have none.
    pub own_until: Option<u64>,
    /// Until when the certificate held that the centre last showed.
    pub centre_until: Option<u64>,
    /// How far our clock is ahead of the centre's, in seconds, if it told its own.
    pub clock_ahead: Option<i64>,
}

/// A way out to one endpoint. It tries once and never waits beyond its time limits.
pub trait Sink: Send {
    /// Tries to deliver; gives up when `patience` is over.
    fn deliver(&mut self, batch: &Batch, patience: Duration) -> Delivery;

    /// What became of a batch that it has taken ([`Delivery::Taken`]), asked without sending any of it again; `None`: it has to be
    /// sent again.
    fn poll(&mut self, _: &Batch, _: Duration) -> Option<Delivery> {
        None
    }

    /// Says that the sensor lives; gives up when `patience` is over.
    ///
    /// # Errors
    /// Why it could not be said, for a person.
    fn beat(&mut self, heartbeat: &Heartbeat, patience: Duration) -> Result<(), String>;

    /// Its name, and where the next message of a kind goes: for the ledger, so without a secret.
    fn destination(&self, kind: Kind) -> (&'static str, String);

    /// Whether signs of life go this way at all.
    fn is_told_of_life(&self) -> bool {
        false
    }

    /// Whether the other side signs for what it takes.
    fn gives_receipts(&self) -> bool {
        false
    }

    /// What became of what it was told, where it says so.
    fn told(&self) -> Option<Arc<misp::Told>> {
        None
    }

    /// The receipt that came with the last answer; it is given once.
    fn receipt(&mut self) -> Option<Receipt> {
        None
    }

    /// What it has learned.
    fn facts(&self) -> Facts {
        Facts::default()
    }
}

/// The ways out, the preferred one first.
pub type Sinks = Vec<Box<dyn Sink>>;

/// What a courier needs besides a spool.
pub struct Way {
    /// The gate.
    pub gate: gate::Gate,
    /// The ways out, the preferred one first; all lead to one centre.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Where refused records are kept.
    pub dead: DeadLetters,
    /// What leaves is entered here before it leaves; other ways out may share it.
    pub ledger: Arc<Ledger>,
    /// What control knows of the sensor, for the signs of life.
    pub pulse: Pulse,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> Result<Section, Vec<Problem>> {
        Section::check(Written { url: url.into(), ..Written::default() }, Path::new("/nowhere"), Secrets::Opened)
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in ["http://127.0.0.1:8443/v1/", "http://[::1]:1/", "http://localhost/v1"] {
            assert!(check(url).is_ok(), "{url}");
        }
        for url in ["http://ingest.example/v1", "ftp://127.0.0.1/", "ingest.example", "", "http://a:b@localhost/"] {
            assert_eq!(check(url).unwrap_err()[0].0, "url", "{url}");
        }
        assert_eq!(check("http://127.0.0.1:1/v1/").unwrap().url, "http://127.0.0.1:1/v1");
    }

    #[test]
    fn fallbacks_are_checked_as_the_first_is_and_are_others() {
        let problems = |fallbacks: &[&str]| {
            let fallbacks = Some(fallbacks.iter().map(|url| (*url).to_owned()).collect());
            let written = Written { url: "http://localhost/v1".into(), fallbacks, ..Written::default() };
            Section::check(written, Path::new("/nowhere"), Secrets::Opened).map(|section| section.ports())
        };
        assert_eq!(problems(&["http://localhost:81/v1/", "http://[::1]:82"]), Ok(vec![80, 81, 82]));
        for fallbacks in [&["http://localhost/v1/"][..], &["http://there/"], &["http://[::1]"; 9], &[""]] {
            assert_eq!(problems(fallbacks).unwrap_err()[0].0, "fallbacks", "{fallbacks:?}");
        }
    }

    #[test]
    fn the_key_lies_beside_the_spool() {
        assert_eq!(check("http://localhost").unwrap().key(), Path::new("/var/lib/haetae/site.key"));
    }

    #[test]
    fn files_that_are_not_there_are_named_by_their_key() {
        let written = |gate: Option<&str>, token: Option<&str>, authority: Option<&str>| Written {
            url: "https://centre.example".into(),
            gate: gate.map(Into::into),
            token: token.map(Into::into),
            authority: authority.map(Into::into),
            ..Written::default()
        };
        let key = |written| Section::check(written, Path::new("/nowhere"), Secrets::Opened).unwrap_err()[0].0;
        assert_eq!(key(written(Some("gate.yaml"), None, None)), "gate");
        assert_eq!(key(written(None, Some("token"), None)), "token");
        assert_eq!(key(written(None, None, Some("ca.pem"))), "authority");
        let all = Section::check(written(Some("g"), Some("t"), Some("a")), Path::new("/nowhere"), Secrets::Opened)
            .unwrap_err();
        assert_eq!(all.iter().map(|problem| problem.0).collect::<Vec<_>>(), ["token", "authority", "gate"]);
    }
}
