//! Who may be delivered to, and who delivers: certificates of either side that do not hold, authorities and keys that change
//! while the sensor runs. What cannot be delivered waits; nothing is delivered to a stranger.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use haetae::emit::{Attempt, Courier, Secrets, Section, Written};
use tempfile::TempDir;

use crate::delivery::centre::certificates::{AUTHORITY, CLIENTS};
use crate::delivery::centre::issuer::{ALWAYS, CLIENT, CLIENT_KEY, Issuer};
use crate::delivery::centre::{Running, Setting};
use crate::delivery::{Site, identities, once};

/// A centre with a certificate of this issuer.
struct Scene {
    centre: Running,
    folder: TempDir,
}

impl Scene {
    fn with(issuer: &Issuer, host: &str, years: Range<i32>) -> Scene {
        Scene::prepared(|folder| issuer.serve(folder, host, years, 77))
    }

    fn prepared(prepare: impl FnOnce(&Path)) -> Scene {
        let folder = TempDir::new().expect("a folder");
        prepare(folder.path());
        Scene { centre: Running::start(folder.path(), &Setting::default()), folder }
    }

    /// What is written for it, with the sensor's own files in this folder.
    fn written(&self, site: &Site) -> Written {
        Written {
            url: self.centre.url(),
            token: Some(self.centre.token()),
            authority: Some(self.centre.authority()),
            spool: Some(site.directory.path().join("spool")),
            ..Written::default()
        }
    }

    fn arrived(&self) -> usize {
        self.centre.book().records.len()
    }
}

/// Nothing is delivered, and this is the reason.
fn refused(courier: &mut Courier, waiting: u64, why: &str) {
    // The first attempt may come before its turn: a failure before this one asked for a wait.
    let deadline = std::time::Instant::now() + std::time::Duration::from_millis(300);
    let outcome = courier.drain(deadline);
    assert_eq!((outcome.delivered, outcome.left, outcome.dead), (0, waiting, 0));
    let reason = outcome.reason.expect("a reason");
    assert!(reason.contains(why), "{why}: {reason}");
}

fn arrives(courier: &mut Courier) {
    let outcome = courier.drain(std::time::Instant::now() + std::time::Duration::from_secs(60));
    assert_eq!((outcome.left, outcome.reason), (0, None));
}

#[test]
fn a_centre_whose_certificate_does_not_hold_gets_nothing_and_the_reason_is_said() {
    let (ours, others) = (Issuer::new("ours"), Issuer::new("others"));
    let cases = [
        (&ours, "127.0.0.1", 1990..2001, "ended at 2001-01-01T00:00:00Z, and our clock says 20"),
        (&ours, "127.0.0.1", 2190..2200, "begins at 2190-01-01T00:00:00Z, and our clock says 20"),
        (&ours, "centre.example", ALWAYS, "is another's"),
        (&others, "127.0.0.1", ALWAYS, "of an authority that is not trusted here"),
    ];
    for (issuer, host, years, why) in cases {
        let (scene, site) = (Scene::with(issuer, host, years), Site::with(2));
        fs::write(scene.folder.path().join(AUTHORITY), ours.pem()).expect("a file");
        let mut courier = site.courier_as(scene.written(&site));
        refused(&mut courier, 2, why);
        assert!(courier.counts().attempts(Attempt::Certificate) > 0);
        assert_eq!(scene.arrived(), 0, "{why}");
    }
}

#[test]
fn a_revoked_centre_gets_nothing_from_the_moment_that_the_list_says_so() {
    let (issuer, others) = (Issuer::new("ours"), Issuer::new("others"));
    let scene = Scene::with(&issuer, "127.0.0.1", ALWAYS);
    let mut site = Site::with(1);
    let list = site.directory.path().join("revoked.pem");
    fs::write(&list, issuer.revoke(&[76, 78])).expect("a list");
    let mut courier = site.courier_as(Written { revocations: Some(list.clone()), ..scene.written(&site) });
    arrives(&mut courier);

    site.append(2..=3);
    fs::write(&list, issuer.revoke(&[76, 77])).expect("a list");
    let before = scene.arrived();
    let outcome = once(&mut courier);
    assert_eq!((outcome.left, scene.arrived()), (2, before), "although the connection was there before");
    assert!(outcome.reason.expect("a reason").contains("revoked"));

    fs::write(&list, others.revoke(&[])).expect("a list");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let outcome = once(&mut courier);
    assert_eq!(outcome.left, 2, "a list of somebody else's is no list");
    assert!(outcome.reason.expect("a reason").contains("does not speak of the authority"));

    fs::write(&list, issuer.revoke(&[]) + &others.revoke(&[])).expect("lists");
    arrives(&mut courier);
    assert_eq!(scene.centre.book().identities, identities(1..=3));
}

#[test]
fn an_authority_that_changes_is_followed_without_a_restart() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let (scene, mut site) = (Scene::with(&old, "127.0.0.1", ALWAYS), Site::with(1));
    let authority = site.directory.path().join("authorities.pem");
    fs::write(&authority, old.pem()).expect("a file");
    let mut courier = site.courier_as(Written { authority: Some(authority.clone()), ..scene.written(&site) });
    arrives(&mut courier);
    let Scene { mut centre, folder } = scene;
    centre.kill();
    new.serve(folder.path(), "127.0.0.1", ALWAYS, 78);
    let centre = Running::start(folder.path(), &Setting { port: centre.address.port(), ..Setting::default() });
    site.append(2..=2);
    let outcome = courier.drain(std::time::Instant::now() + std::time::Duration::from_millis(500));
    assert_eq!(outcome.left, 1);
    fs::write(&authority, old.pem() + &new.pem()).expect("a file");
    arrives(&mut courier);
    assert_eq!(centre.book().identities, identities(1..=2));
}

/// A centre that asks for certificates of `clients`, and a sensor with one of `issuer`.
fn mutual(clients: &Issuer) -> (Scene, Site, Written) {
    let scene = Scene::prepared(|folder| {
        Issuer::new("centre").serve(folder, "127.0.0.1", ALWAYS, 77);
        fs::write(folder.join(CLIENTS), clients.pem()).expect("a file");
    });
    let site = Site::with(1);
    let own = |name| Some(site.directory.path().join(name));
    let written = Written { certificate: own(CLIENT), key: own(CLIENT_KEY), ..scene.written(&site) };
    (scene, site, written)
}

#[test]
fn a_centre_that_asks_for_a_certificate_is_shown_it_and_a_new_one_needs_no_restart() {
    let (ours, others) = (Issuer::new("sensors"), Issuer::new("somebody"));
    let (scene, mut site, written) = mutual(&ours);
    let folder = site.directory.path().to_owned();
    others.enrol(&folder, ALWAYS);
    let mut courier = site.courier_as(written);
    refused(&mut courier, 1, "127.0.0.1");
    assert_eq!(scene.arrived(), 0);

    ours.enrol(&folder, 1990..2001); // its own, and out of date
    std::thread::sleep(std::time::Duration::from_millis(300));
    refused(&mut courier, 1, "127.0.0.1");

    ours.enrol(&folder, ALWAYS);
    arrives(&mut courier);
    assert_eq!(scene.arrived(), 1);
    let counts = courier.counts();
    let until = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((until(&counts.own_until), until(&counts.centre_until)), (7_258_118_400, 7_258_118_400), "2200-01-01");
    assert!(counts.clock_ahead.load(Ordering::Relaxed).abs() <= 2);

    // Half of a new pair changes nothing.
    let certificate = folder.join(CLIENT);
    let (key_before, new) = (fs::read(folder.join(CLIENT_KEY)).expect("a key"), Issuer::new("new"));
    new.enrol(&folder, ALWAYS);
    let key_after = fs::read(folder.join(CLIENT_KEY)).expect("a key");
    fs::write(folder.join(CLIENT_KEY), &key_before).expect("a file");
    site.append(2..=2);
    arrives(&mut courier);
    fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nMIIB").expect("half a file");
    site.append(3..=3);
    arrives(&mut courier);
    assert_eq!(scene.centre.book().identities, identities(1..=3));

    // The whole of it is another sensor's, and that shows: it was read.
    new.enrol(&folder, ALWAYS);
    fs::write(folder.join(CLIENT_KEY), fs::read(folder.join(CLIENT_KEY)).expect("a key")).expect("a file");
    assert_ne!(key_after, key_before);
    site.append(4..=4);
    let outcome = courier.drain(std::time::Instant::now() + std::time::Duration::from_millis(300));
    assert_eq!((outcome.left, scene.arrived()), (1, 3));
}

#[test]
fn a_certificate_without_its_key_is_refused_with_words() {
    let (ours, site) = (Issuer::new("sensors"), Site::with(0));
    let folder = site.directory.path();
    ours.enrol(folder, ALWAYS);
    fs::rename(folder.join(CLIENT_KEY), folder.join("first.key")).expect("a key");
    ours.enrol(folder, ALWAYS);
    fs::write(folder.join("authority.pem"), ours.pem()).expect("a file");
    fs::write(folder.join("everybody.key"), fs::read(folder.join(CLIENT_KEY)).expect("a key")).expect("a file");
    let check = |certificate: Option<&str>, key: Option<&str>, revocations: Option<&str>| {
        let file = |name: Option<&str>| name.map(PathBuf::from);
        let written = Written {
            url: "https://127.0.0.1:1/v1".into(),
            authority: file(Some("authority.pem")),
            certificate: file(certificate),
            key: file(key),
            revocations: file(revocations),
            ..Written::default()
        };
        Section::check(written, folder, Secrets::Opened).map(|_| ()).map_err(|problems| problems[0].clone())
    };
    assert_eq!(check(Some(CLIENT), Some(CLIENT_KEY), None), Ok(()));
    for (certificate, key, revocations, option, why) in [
        (Some(CLIENT), None, None, "certificate", "has no `key` beside it"),
        (None, Some(CLIENT_KEY), None, "key", "has no `certificate` beside it"),
        (Some(CLIENT), Some("first.key"), None, "key", "is not the key of `certificate`"),
        (Some(CLIENT), Some("everybody.key"), None, "key", "everyone may read it"),
        (Some(CLIENT), Some(CLIENT), None, "key", "no PEM key"),
        (Some(CLIENT_KEY), Some(CLIENT_KEY), None, "certificate", "no certificate in it"),
        (None, None, Some(CLIENT), "revocations", "no list of revocations in it"),
    ] {
        let (named, said) = check(certificate, key, revocations).expect_err(why);
        assert_eq!(named, option, "{said}");
        assert!(said.contains(why), "{said}");
    }
}

/// The variable that makes this test binary a sensor that delivers what the spool it names holds.
const SENSOR: &str = "HAETAE_TEST_SENSOR";

/// The child's whole life: one attempt, and what came of it. Without the variable it is a test of nothing.
#[test]
fn the_sensor_with_another_clock() {
    let Ok(told) = std::env::var(SENSOR) else { return };
    let [spool, url, authority] = told.split('|').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let written = Written {
        url: url.to_owned(),
        authority: Some(authority.into()),
        token: Some(Path::new(authority).with_file_name("token")),
        spool: Some(spool.into()),
        ..Written::default()
    };
    let outcome = once(&mut Site::reopened(Path::new(spool)).courier_as(written));
    println!("outcome {} {} {}", outcome.delivered, outcome.left, outcome.reason.unwrap_or_default());
}

#[test]
fn a_clock_that_is_wrong_is_said_and_nothing_is_lost() {
    let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|machine| Path::new("/usr/lib").join(machine).join("faketime/libfaketimeMT.so.1"));
    let Some(library) = library.iter().find(|path| path.exists()) else {
        assert!(std::env::var_os("CI").is_none(), "needs libfaketime, and CI has it");
        return eprintln!("\n*** a wrong clock: NOT TESTED: no libfaketime ***\n");
    };
    let (scene, site) = (Scene::with(&Issuer::new("ours"), "127.0.0.1", ALWAYS), Site::with(2));
    let folder = site.directory.path().to_owned();
    scene.centre.token();
    let Site { directory: _kept, spool } = site;
    drop(spool);
    let tried = |clock: Option<&str>| {
        let spool = folder.join("spool").display().to_string();
        let authority = scene.centre.authority().display().to_string();
        let mut child = std::process::Command::new(std::env::current_exe().expect("this binary"));
        child.args(["--exact", "delivery_tls::the_sensor_with_another_clock", "--nocapture"]);
        child.env(SENSOR, [spool, scene.centre.url(), authority].join("|"));
        if let Some(clock) = clock {
            child.env("LD_PRELOAD", library).env("FAKETIME", clock).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let output = child.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = said.lines().find_map(|line| Some(line.split_once("outcome ")?.1.to_owned()));
        line.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    };
    for (clock, why) in
        [("@2210-06-01 00:00:00", "ended at 2200-01-01"), ("@1980-06-01 00:00:00", "begins at 1990-01-01")]
    {
        let said = tried(Some(clock));
        assert!(said.starts_with("0 2 ") && said.contains(why) && said.contains("our clock says"), "{said}");
    }
    assert_eq!(scene.arrived(), 0);
    assert_eq!(tried(None), "2 0 ");
    assert_eq!(scene.centre.book().identities, identities(1..=2));
}
