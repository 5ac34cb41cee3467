//! Secrets of the site: a token from a file, and the key behind the names that inside hosts get outside. In: paths.
//! Out: secrets. Never here: a secret from a file that everyone may read, and a secret in a message.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::limits::SMALL_FILE_BYTES_MAX;

/// Length of the site key.
const KEY_BYTES: usize = 32;

/// Letters of a token after `h-`: 60 bits, so that a million hosts of one site hardly ever share one.
const TOKEN_LETTERS: usize = 12;

/// RFC 4648 section 6, in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Reads a small file that must not be readable by everyone.
///
/// # Errors
/// It cannot be read, is too long, or everyone may read it.
pub fn read_secret(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    if mode & 0o007 != 0 {
        let what = format!("everyone may read it (mode {:03o}); chmod o-rwx it, and renew what is in it", mode & 0o777);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    let mut bytes = Vec::new();
    file.take(SMALL_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The site's own key. It never leaves the site; whoever has it can tell which host a token means.
#[derive(Clone)]
pub struct SiteKey(hmac::Key);

impl SiteKey {
    /// A key of known bytes, for replays that must repeat themselves.
    pub fn fixed(bytes: &[u8; KEY_BYTES]) -> SiteKey {
        SiteKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The key in `path`; made from the system's random bytes, readable by the owner alone, if there is none.
    ///
    /// # Errors
    /// The file cannot be read or made, everyone may read it, or it is no key.
    pub fn open(path: &Path) -> io::Result<SiteKey> {
        if !path.exists() {
            create(path)?;
        }
        let bytes = read_secret(path)?;
        let what = || io::Error::new(io::ErrorKind::InvalidData, format!("not a key of {KEY_BYTES} bytes"));
        let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| what())?;
        Ok(SiteKey::fixed(&bytes))
    }

    /// A key for another purpose, from which neither this one nor any third can be worked out.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.tag("derive", purpose.as_bytes()).as_ref());
        out
    }

    /// The name of a host outside its site: the same host has the same name, and without the key no table of all
    /// addresses tells which.
    pub(super) fn host(&self, address: IpAddr) -> String {
        let address = address.to_canonical();
        let tag = match address {
            IpAddr::V4(v4) => self.tag("host", &v4.octets()),
            IpAddr::V6(v6) => self.tag("host", &v6.octets()),
        };
        let mut out = String::from("h-");
        push_base32(&mut out, tag.as_ref());
        out
    }

    fn tag(&self, purpose: &str, value: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(value);
        context.sign()
    }
}

fn push_base32(out: &mut String, tag: &[u8]) {
    let bits = tag.iter().take(8).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    for letter in 0..TOKEN_LETTERS {
        let five = (bits >> (59 - 5 * letter)) & 31;
        let _ = out.write_char(char::from(BASE32[five as usize]));
    }
}

/// Makes a new key. It gets its name only once it is whole, so that a crash leaves no half key, and never replaces one.
fn create(path: &Path) -> io::Result<()> {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let new = path.with_extension(format!("new.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let made = file.write_all(&key).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&new, path));
    fs::remove_file(&new)?;
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hosts() -> impl Iterator<Item = IpAddr> {
        (0..=255u8).flat_map(|c| (0..=255u8).step_by(16).map(move |d| IpAddr::from([10, 20, c, d])))
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("site.key");
        let token = SiteKey::open(&path).unwrap().host([10, 20, 4, 17].into());
        assert_eq!(SiteKey::open(&path).unwrap().host([10, 20, 4, 17].into()), token);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_everyone_may_read_or_that_is_none_is_refused() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("site.key");
        fs::write(&path, [7; 32]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        assert_eq!(SiteKey::open(&path).err().unwrap().kind(), io::ErrorKind::PermissionDenied);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(SiteKey::open(&path).is_ok());
        fs::write(&path, "short").unwrap();
        assert_eq!(SiteKey::open(&path).err().unwrap().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_token_means_one_host_under_one_key() {
        let (one, other) = (SiteKey::fixed(&[1; 32]), SiteKey::fixed(&[2; 32]));
        let tokens: HashSet<String> = hosts().map(|host| one.host(host)).collect();
        assert_eq!(tokens.len(), hosts().count());
        assert!(hosts().all(|host| !tokens.contains(&other.host(host))));
        assert_eq!(one.host("::ffff:10.0.0.1".parse().unwrap()), one.host("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn whoever_hashes_all_addresses_without_the_key_finds_no_token() {
        let key = SiteKey::fixed(&[1; 32]);
        let tokens: HashSet<String> = hosts().map(|host| key.host(host)).collect();
        for host in hosts() {
            let spellings = [host.to_string().into_bytes(), b"host\0".iter().copied().chain(octets(host)).collect()];
            for spelling in spellings {
                let mut guess = String::from("h-");
                push_base32(&mut guess, ring::digest::digest(&ring::digest::SHA256, &spelling).as_ref());
                assert!(!tokens.contains(&guess));
                let mut guess = String::from("h-");
                push_base32(&mut guess, hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[0; 32]), &spelling).as_ref());
                assert!(!tokens.contains(&guess));
            }
        }
    }

    fn octets(host: IpAddr) -> Vec<u8> {
        match host {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        }
    }
}
