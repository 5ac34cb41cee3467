//! Secrets of the site: a token from a file, and the key behind the names that inside hosts get outside. In: paths.
//! Out: secrets, which leave no trace in memory when they are dropped. Never here: a secret from a file that everyone may read,
//! and a secret in a message.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Read, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::token::Token;
use crate::limits::SMALL_FILE_BYTES_MAX;

/// Length of the site key.
const KEY_BYTES: usize = 32;

/// What a signature leaves behind on the stack lies within so many bytes below its caller.
const STACK_BYTES: usize = 8 << 10;

/// Reads a small file that must not be readable by everyone.
///
/// # Errors
/// It cannot be read, is too long, or everyone may read it.
pub fn read_secret(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.mode();
    if mode & 0o007 != 0 {
        let what = format!("everyone may read it (mode {:03o}); chmod o-rwx it, and renew what is in it", mode & 0o777);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    // With room to spare: whoever grows leaves what it had behind.
    let room = metadata.len().min(SMALL_FILE_BYTES_MAX) as usize + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(SMALL_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The site's own key. It never leaves the site; whoever has it can tell which host a token means.
#[derive(Clone)]
pub struct SiteKey(Arc<Zeroizing<[u8; KEY_BYTES]>>);

impl SiteKey {
    /// A key of known bytes, for replays that must repeat themselves.
    pub fn fixed(bytes: &[u8; KEY_BYTES]) -> SiteKey {
        SiteKey(Arc::new(Zeroizing::new(*bytes)))
    }

    /// The key in `path`; made from the system's random bytes, readable by the owner alone, if there is none.
    ///
    /// # Errors
    /// The file cannot be read or made, everyone may read it, or it is no key.
    pub fn open(path: &Path) -> io::Result<SiteKey> {
        if !path.exists() {
            create(path)?;
        }
        SiteKey::read(path)
    }

    /// The key in `path`, which is there.
    ///
    /// # Errors
    /// The file cannot be read, everyone may read it, or it is no key.
    pub fn read(path: &Path) -> io::Result<SiteKey> {
        let bytes = read_secret(path)?;
        let what = || io::Error::new(io::ErrorKind::InvalidData, format!("not a key of {KEY_BYTES} bytes"));
        if bytes.len() != KEY_BYTES {
            return Err(what());
        }
        // filled where it stays: what is moved leaves what it was
        let mut key = Arc::new(Zeroizing::new([0; KEY_BYTES]));
        Arc::get_mut(&mut key).ok_or_else(what)?.copy_from_slice(&bytes);
        Ok(SiteKey(key))
    }

    /// A key for another purpose, from which neither this one nor any third can be worked out.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        self.with(|key| out.copy_from_slice(tag(key, "derive", purpose.as_bytes()).as_ref()));
        out
    }

    /// The name of a host outside its site: the same host has the same name, and without the key no table of all
    /// addresses tells which.
    pub fn host(&self, address: IpAddr) -> Token {
        self.with(|key| host(key, address))
    }

    /// The same of a name: a host's own, a network's. Case means nothing in it.
    pub fn name(&self, name: &str) -> Token {
        self.with(|key| self::name(key, name))
    }

    /// Does something with the key, and wipes what that left on the stack.
    pub(super) fn with<T>(&self, what: impl FnOnce(&hmac::Key) -> T) -> T {
        let come = signing(&self.0, what);
        wipe_stack();
        come
    }
}

/// A frame of its own, so that what is in it lies below whoever wipes.
#[inline(never)]
fn signing<T>(key: &[u8; KEY_BYTES], what: impl FnOnce(&hmac::Key) -> T) -> T {
    what(&hmac::Key::new(hmac::HMAC_SHA256, key))
}

/// Writes over what calls before this one left below it.
#[inline(never)]
fn wipe_stack() {
    black_box(&mut [0u8; STACK_BYTES]);
}

/// The token of an address under a key.
pub(super) fn host(key: &hmac::Key, address: IpAddr) -> Token {
    Token::of_host(match address.to_canonical() {
        IpAddr::V4(v4) => tag(key, "host", &v4.octets()),
        IpAddr::V6(v6) => tag(key, "host", &v6.octets()),
    })
}

/// The token of a name under a key.
pub(super) fn name(key: &hmac::Key, name: &str) -> Token {
    Token::of_name(tag(key, "name", name.trim_end_matches('.').to_lowercase().as_bytes()))
}

fn tag(key: &hmac::Key, purpose: &str, value: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(purpose.as_bytes());
    context.update(&[0]);
    context.update(value);
    context.sign()
}

/// Makes a new key. It gets its name only once it is whole, so that a crash leaves no half key, and never replaces one.
fn create(path: &Path) -> io::Result<()> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let new = path.with_extension(format!("new.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let made = file.write_all(key.as_slice()).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&new, path));
    fs::remove_file(&new)?;
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::os::unix::fs::{FileExt, PermissionsExt};

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
        let tokens: HashSet<Token> = hosts().map(|host| one.host(host)).collect();
        assert_eq!(tokens.len(), hosts().count());
        assert!(hosts().all(|host| !tokens.contains(&other.host(host))));
        assert_eq!(one.host("::ffff:10.0.0.1".parse().unwrap()), one.host("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_name_means_the_same_in_any_case_and_is_no_address() {
        let key = SiteKey::fixed(&[1; 32]);
        assert_eq!(key.name("PC-ACCT-04.corp.example."), key.name("pc-acct-04.CORP.example"));
        assert_ne!(key.name("pc-acct-04"), key.name("pc-acct-05"));
        assert_ne!(key.name("10.0.0.1").to_string()[2..], key.host([10, 0, 0, 1].into()).to_string()[2..]);
    }

    /// The variable that makes this test binary the one that is looked into.
    const LOOKED_INTO: &str = "HAETAE_TEST_MEMORY";

    /// How often a text is in what this process may write, its own copy of the needle not counted: that is turned around.
    fn in_memory(needle: &[u8], mask: u8) -> usize {
        let unmasked = |at: usize| needle[at] ^ mask;
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let memory = File::open("/proc/self/mem").unwrap();
        let edges = |line: &str| {
            let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            [from, to].map(|text| u64::from_str_radix(text, 16).unwrap())
        };
        let mut room = vec![0; 1 << 16];
        let own = room.as_ptr() as u64..room.as_ptr() as u64 + room.len() as u64;
        let mut found = 0;
        for [from, to] in maps.lines().filter(|line| line.contains(" rw")).map(edges) {
            let mut at = from;
            while at < to {
                // what is being read into would be found again in itself
                if own.contains(&at) {
                    at = own.end;
                    continue;
                }
                let end = if at < own.start { to.min(own.start) } else { to };
                let size = (end - at).min(room.len() as u64) as usize;
                // what cannot be read is no memory of ours
                let _unreadable = memory.read_exact_at(&mut room[..size], at);
                let all = |window: &[u8]| window.iter().enumerate().all(|(at, byte)| *byte == unmasked(at));
                found += room[..size].windows(needle.len()).filter(|window| all(window)).count();
                room.fill(0);
                // pieces overlap, or what lies across two of them would not be found
                at = if at + size as u64 == end { end } else { at + (size - needle.len() + 1) as u64 };
            }
        }
        found
    }

    /// The child's whole life. Without the variable it is a test of nothing.
    #[test]
    fn the_process_that_is_looked_into() {
        let Ok(path) = std::env::var(LOOKED_INTO) else { return };
        let bytes = fs::read(&path).unwrap();
        // as it is, and as HMAC puts it into its first and its second digest (RFC 2104)
        let needles = [0x5a, 0x5a ^ 0x36, 0x5a ^ 0x5c]
            .map(|mask| (bytes.iter().map(|byte| byte ^ 0x5a).collect::<Vec<_>>(), mask));
        let mut bytes = Zeroizing::new(bytes);
        let key = SiteKey::read(Path::new(&path)).unwrap();
        // signed far down the stack of a thread that then stands still, so that nothing else writes over what is left there
        let (say, hear) = std::sync::mpsc::channel();
        let signer = key.clone();
        let standing = std::thread::spawn(move || {
            far_down(&signer);
            drop(signer);
            say.send(()).unwrap();
            std::thread::park();
        });
        hear.recv().unwrap();
        let look = || needles.each_ref().map(|(needle, mask)| in_memory(needle, *mask));
        let held = look();
        zeroize::Zeroize::zeroize(&mut *bytes);
        let once = look();
        standing.thread().unpark();
        standing.join().unwrap();
        drop(key);
        println!("looked into: {held:?} {once:?} {:?}", look());
    }

    #[inline(never)]
    fn far_down(key: &SiteKey) {
        let mut room = [0u8; 4096];
        black_box(&mut room);
        black_box((key.host([10, 0, 0, 1].into()), key.name("a"), key.derive("b")));
        black_box(&mut room);
    }

    #[test]
    fn the_key_is_in_memory_once_while_it_is_held_and_not_at_all_when_it_is_dropped() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("site.key");
        create(&path).unwrap();
        let name = format!("{}::the_process_that_is_looked_into", module_path!().split_once("::").unwrap().1);
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &name, "--nocapture", "--test-threads=1"]).env(LOOKED_INTO, &path);
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(said.contains("looked into: [2, 0, 0] [1, 0, 0] [0, 0, 0]"), "{said}");
    }
}
