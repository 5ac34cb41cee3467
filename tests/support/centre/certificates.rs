//! Certificates: a directory in, an authority of its own and a server certificate for loopback out. Made on first use,
//! used again after. For trying and testing only.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What a client is to trust.
pub const AUTHORITY: &str = "authority.pem";
/// The server's certificate.
pub const CERTIFICATE: &str = "server.pem";
/// And its key.
pub const KEY: &str = "server.key";
/// Authorities of clients. If it is there, a client has to show a certificate of one of them.
pub const CLIENTS: &str = "clients.pem";

/// A server's TLS configuration with the certificate in `directory`.
pub fn server(directory: &Path) -> io::Result<Arc<ServerConfig>> {
    if !directory.join(KEY).exists() {
        make(directory)?;
    }
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(directory.join(CERTIFICATE)).and_then(Iterator::collect);
    let chain = chain.map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(directory.join(KEY)).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match directory.join(CLIENTS).exists() {
        true => builder.with_client_cert_verifier(clients(&directory.join(CLIENTS), provider)?),
        false => builder.with_no_client_auth(),
    };
    Ok(Arc::new(builder.with_single_cert(chain, key).map_err(io::Error::other)?))
}

fn clients(path: &Path, provider: Arc<CryptoProvider>) -> io::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
        roots.add(authority.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(io::Error::other)
}

fn make(directory: &Path) -> io::Result<()> {
    let mut authority = CertificateParams::new(Vec::<String>::new()).map_err(io::Error::other)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "stand-in centre's own authority");
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let authority = CertifiedIssuer::self_signed(authority, key).map_err(io::Error::other)?;
    let names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let mut server = CertificateParams::new(names).map_err(io::Error::other)?;
    server.distinguished_name.push(DnType::CommonName, "stand-in centre");
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = server.signed_by(&key, &authority).map_err(io::Error::other)?;
    fs::write(directory.join(AUTHORITY), authority.pem())?;
    fs::write(directory.join(CERTIFICATE), certificate.pem())?;
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(directory.join(KEY))?;
    io::Write::write_all(&mut file, key.serialize_pem().as_bytes())
}
