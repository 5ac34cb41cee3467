//! An authority of the tests: names and years in, certificates, keys and lists of revocations out, as files.

use std::ops::Range;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::certificates::{AUTHORITY, CERTIFICATE, KEY};

/// Years in which any clock of a test is.
pub const ALWAYS: Range<i32> = 1990..2200;

/// Where a client's certificate is put.
pub const CLIENT: &str = "sensor.pem";
/// And its key.
pub const CLIENT_KEY: &str = "sensor.key";

/// An authority.
pub struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    /// A new one of this name, with a key of its own.
    pub fn new(name: &str) -> Issuer {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Issuer(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// The certificate of a centre in `directory`, for this host and these years; the authority beside it.
    pub fn serve(&self, directory: &Path, host: &str, years: Range<i32>, serial: u64) {
        self.issue(host, years, serial, &directory.join(CERTIFICATE), &directory.join(KEY));
        write(&directory.join(AUTHORITY), &self.pem());
    }

    /// The certificate of a sensor in `directory`, for these years.
    pub fn enrol(&self, directory: &Path, years: Range<i32>) {
        self.issue("tap-a", years, 7, &directory.join(CLIENT), &directory.join(CLIENT_KEY));
    }

    /// A list of the certificates with these numbers.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(ALWAYS.start, 1, 2),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(ALWAYS.start, 1, 2),
            next_update: date_time_ymd(ALWAYS.end, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).expect("a list").pem().expect("it is text")
    }

    fn issue(&self, host: &str, years: Range<i32>, serial: u64, certificate: &Path, key_file: &Path) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, host);
        params.serial_number = Some(SerialNumber::from(serial));
        (params.not_before, params.not_after) = (date_time_ymd(years.start, 1, 1), date_time_ymd(years.end, 1, 1));
        let key = KeyPair::generate().expect("a key");
        write(certificate, &params.signed_by(&key, &self.0).expect("a certificate").pem());
        write(key_file, &key.serialize_pem());
    }
}

/// Writes a file for its owner alone.
fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
}
