//! Credentials: the files that say whom to trust and who we are go in, what a connection needs comes out. They are read again
//! when they change on the disk, so that a renewed key needs no restart; what cannot be used leaves in force what was read
//! before, and that is said. Never here: a certificate that is not verified.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::validity;
use crate::gate::read_secret;
use crate::limits::CREDENTIAL_BYTES_MAX;

/// Where systems keep the authorities they trust: Debian, Fedora, SUSE, Alpine.
static SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The files that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// One line: the bearer token. Not for everyone to read.
    pub token: Option<PathBuf>,
    /// Authorities to trust instead of the system's, PEM.
    pub authority: Option<PathBuf>,
    /// Our certificate and those between it and its authority, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM. Not for everyone to read.
    pub key: Option<PathBuf>,
    /// What authorities have revoked, PEM.
    pub revocations: Option<PathBuf>,
}

/// What is wrong with them: the option, and why.
pub(super) type Wrong = (&'static str, String);

/// What was read of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// For `https://`.
    pub tls: Option<Arc<ClientConfig>>,
    /// The header.
    pub authorization: Option<String>,
    /// Until when our certificate holds, in seconds since 1970; `None`: we have none.
    pub until: Option<u64>,
}

/// How the configuration calls them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of {
    /// The section that names the files.
    pub section: &'static str,
    /// What it calls the file that is [`Named::token`].
    pub token: &'static str,
}

impl Of {
    /// The way to the centre.
    pub(super) const CENTRE: Of = Of { section: "centre", token: "token" };

    /// What is wrong, for a person.
    fn said(self, wrong: &[Wrong]) -> String {
        let key = |key: &'static str| if key == "token" { self.token } else { key };
        let said: Vec<String> =
            wrong.iter().map(|(named, why)| format!("{}.{}: {why}", self.section, key(named))).collect();
        said.join("; ")
    }
}

/// The files, and what they said when they could last be used.
#[derive(Debug)]
pub(super) struct Credentials {
    of: Of,
    named: Named,
    secured: bool,
    held: Held,
    /// How the files were when they were last read.
    seen: [Option<Stamp>; 5],
    /// Goes up with everything that is read anew.
    generation: u64,
    trouble: Option<String>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([i64; 6]);

impl Credentials {
    /// Reads them; `secured`: there is a connection over TLS to be made.
    ///
    /// # Errors
    /// What is wrong with each, for a person.
    pub(super) fn open(of: Of, named: Named, secured: bool) -> Result<Credentials, String> {
        let seen = named.stamps();
        let held = named.read(secured).map_err(|wrong| of.said(&wrong))?;
        Ok(Credentials { of, named, secured, held, seen, generation: 0, trouble: None })
    }

    /// Reads them again if they changed, or if `anyway`. What cannot be used changes nothing and is said, once.
    pub(super) fn refresh(&mut self, anyway: bool) {
        let now = self.named.stamps();
        let changed = now != self.seen;
        if !changed && !anyway {
            return;
        }
        // Taken before the reading: what changes meanwhile is read the next time.
        self.seen = now;
        match self.named.read(self.secured) {
            Ok(held) => {
                (self.held, self.trouble) = (held, None);
                self.generation += 1;
                if changed {
                    let section = self.of.section;
                    tracing::info!(section, "token, certificates or key changed on the disk and were read again");
                }
            }
            Err(wrong) => {
                let said = self.of.said(&wrong);
                if self.trouble.as_ref() != Some(&said) {
                    tracing::warn!(
                        reason = said,
                        "what changed on the disk cannot be used; what was read before holds"
                    );
                }
                self.trouble = Some(said);
            }
        }
    }

    /// What holds, and its number: another number, another thing.
    pub(super) fn held(&self) -> (&Held, u64) {
        (&self.held, self.generation)
    }

    /// Why what is on the disk is not what holds.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

impl Named {
    /// All that are named.
    pub fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.token, &self.authority, &self.certificate, &self.key, &self.revocations].into_iter().flatten()
    }

    /// Those that not everyone may read.
    pub fn secrets(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.token, &self.key].into_iter().flatten()
    }

    fn stamps(&self) -> [Option<Stamp>; 5] {
        let files = [&self.token, &self.authority, &self.certificate, &self.key, &self.revocations];
        files.map(|file| {
            let there = std::fs::metadata(file.as_deref()?).ok()?;
            let inode = [there.dev().cast_signed(), there.ino().cast_signed(), there.size().cast_signed()];
            Some(Stamp([inode[0], inode[1], inode[2], there.mtime(), there.mtime_nsec(), there.ctime_nsec()]))
        })
    }

    /// Reads all of them.
    ///
    /// # Errors
    /// What is wrong with each.
    pub(super) fn read(&self, secured: bool) -> Result<Held, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let token = noted(&mut wrong, "token", self.token.as_deref().map(read_token).transpose()).flatten();
        let authorities = match secured || self.authority.is_some() {
            true => noted(&mut wrong, "authority", authorities(self.authority.as_deref())),
            false => None,
        };
        let revoked = self.revocations.as_deref().map(revocations).transpose();
        let revoked = noted(&mut wrong, "revocations", revoked).flatten().unwrap_or_default();
        let own = self.own().map_err(|one| wrong.push(one)).ok().flatten();
        let until = own.as_ref().and_then(|(chain, _)| validity::of(chain.first()?)).map(|held| held.end);
        let tls = authorities.and_then(|roots| client(roots, revoked, own).map_err(|one| wrong.push(one)).ok());
        let authorization = token.map(|token| format!("Bearer {token}"));
        if wrong.is_empty() { Ok(Held { tls, authorization, until }) } else { Err(wrong) }
    }

    /// Our certificate with its chain, and its key.
    fn own(&self) -> Result<Option<Own>, Wrong> {
        let (certificate, key) = match (&self.certificate, &self.key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return Err(("certificate", "has no `key` beside it".to_owned())),
            (None, Some(_)) => return Err(("key", "has no `certificate` beside it".to_owned())),
        };
        let said = |error: &dyn std::fmt::Display| ("key", format!("{}: {error}", key.display()));
        let bytes = read_secret(key).map_err(|error| said(&error))?;
        let chain = certificates(certificate).map_err(|why| ("certificate", why))?;
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| said(&format!("no PEM key: {error}")))?;
        Ok(Some((chain, key)))
    }
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn noted<T>(wrong: &mut Vec<Wrong>, key: &'static str, read: Result<T, String>) -> Option<T> {
    read.map_err(|why| wrong.push((key, why))).ok()
}

/// Whom to trust, whom no more, and who we are.
fn client(
    authorities: Vec<CertificateDer<'static>>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    own: Option<Own>,
) -> Result<Arc<ClientConfig>, Wrong> {
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(authorities).0 == 0 {
        return Err(("authority", "none of its certificates is an authority's".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // With revocations, every certificate of the chain has to be known not to be among them.
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .with_crls(revoked)
        .build()
        .map_err(|error| ("revocations", error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ("authority", error.to_string()))?
        .with_webpki_verifier(verifier);
    let mut config = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => ("key", "is not the key of `certificate`".to_owned()),
            error => ("certificate", error.to_string()),
        })?,
        None => builder.with_no_client_auth(),
    };
    // A session taken up again is one whose certificate nobody looks at.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The token in a file: one line of visible characters.
fn read_token(path: &Path) -> Result<String, String> {
    let bytes = read_secret(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let token = std::str::from_utf8(&bytes).unwrap_or_default().trim().to_owned();
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    visible.then_some(token).ok_or_else(|| format!("{}: not one line of visible characters", path.display()))
}

/// The authorities in a PEM file, or the system's.
fn authorities(path: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let system = || SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
    certificates(path.or_else(system).ok_or("the system has no bundle of authorities; name one")?)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_reader_iter(reader(path).map_err(|error| said(&error))?).collect();
    let found = found.map_err(|error| said(&error))?;
    if found.is_empty() { Err(said(&"no certificate in it")) } else { Ok(found) }
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let reader = reader(path).map_err(|error| said(&error))?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_reader_iter(reader).collect();
    let found = found.map_err(|error| said(&error))?;
    if found.is_empty() { Err(said(&"no list of revocations in it")) } else { Ok(found) }
}

fn reader(path: &Path) -> std::io::Result<impl BufRead> {
    Ok(BufReader::new(std::fs::File::open(path)?.take(CREDENTIAL_BYTES_MAX)))
}
