//! What is matched on the wire arrives at the centre, over HTTPS or NATS, and at each sink beside it that somebody in the field
//! runs, while the service is in its sandbox; who does not answer holds nobody else up, and not the end.

use std::collections::BTreeSet;

use super::*;
use crate::delivery::centre::running::write_token;
use crate::delivery::centre::{Running, Setting, certificates};
use crate::misp::{self, Prism};
use crate::nats::world::{Wanted, World};
use crate::sinks::{Rsyslog, rsyslog_is_missing};
use crate::taxii::relay::Relay;
use crate::taxii::server::{Kind, PASSWORD, Server, Setting as Collection, USER};

/// An indicator that may go to every sink.
pub(super) const SHARED: &str =
    "format: haetae/1\nindicators:\n  - { domain: bad.example, severity: high, tlp: green, pap: green }\n";

/// What all of it has to hold in.
pub(super) const SANDBOXED: &str = "sandbox: required\nnetworks: { home: [10.0.0.0/8] }\nsite: { id: site-0017 }\n";

/// A link that needs no right to be opened again.
pub(super) const WORDS: [&str; 4] = ["--workers", "1", "--set", "capture=[{interface: b0, backend: libpcap}]"];

/// Waits until so many are there: an alert counts once, however often its last revision comes.
fn counted(what: &str, wanted: usize, there: impl Fn() -> usize) {
    let until = Instant::now() + PATIENCE;
    while there() < wanted {
        assert!(Instant::now() < until, "{what}: {} of {wanted}", there());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Alerts in lines of JSON.
fn of_lines(collector: &Rsyslog) -> usize {
    let id =
        |line: &Value| serde_json::from_str::<Value>(line["parsed"].as_str()?).ok()?["id"].as_str().map(str::to_owned);
    collector.lines(0).iter().filter_map(id).collect::<BTreeSet<_>>().len()
}

/// Alerts in lines of CEF.
fn of_cef(collector: &Rsyslog) -> usize {
    let id = |line: &Value| {
        let (_, rest) = line["message"].as_str()?.split_once("externalId=")?;
        rest.split(' ').next().map(str::to_owned)
    };
    collector.lines(0).iter().filter_map(id).collect::<BTreeSet<_>>().len()
}

/// Sightings in a collection.
fn of_collection(server: &Server) -> usize {
    let id = |one: Value| (one["type"] == "sighting").then(|| one["id"].to_string());
    server.objects().into_iter().filter_map(id).collect::<BTreeSet<_>>().len()
}

/// What is asked for from this number up to that.
fn send(link: &Link, folder: &Path, range: std::ops::Range<u32>) {
    let capture = folder.join("questions.pcap");
    std::fs::write(&capture, wire::pcap(&questions(range.end)[range.start as usize..])).expect("a capture");
    link.send(&capture, 1, None);
}

/// Ended in time, and in order.
fn ends(service: Service) {
    let (_, account, status, took) = service.end();
    assert!(status.success() && took < END_WITHIN, "{status} after {took:?}: {account}");
}

#[test]
fn a_match_on_the_wire_reaches_every_sink_and_one_that_is_dead_holds_nobody_up() {
    let test = "a_match_on_the_wire_reaches_every_sink_and_one_that_is_dead_holds_nobody_up";
    if !possible(test) || rsyslog_is_missing(test) {
        return;
    }
    let link = Link::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            link.enter();
            every_sink(test, &link);
        });
    });
}

/// The section that names all of them; their secrets are put into `home`.
fn all_sinks(home: &Path, (lines, cef): (&Rsyslog, &Rsyslog), collection: &Server, misp: u16) -> String {
    let (secret, key) = (home.join("taxii.secret"), home.join("misp.key"));
    write_token(&secret, PASSWORD);
    write_token(&key, misp::KEY);
    format!(
        "sinks:\n  syslog: {{ to: \"tcp://localhost:{}\" }}\n  cef: {{ to: \"tls://localhost:{}\", authority: {} }}\n  \
         taxii: {{ url: \"{}\", collection: {}, user: {USER}, secret: {} }}\n  \
         misp: {{ url: \"http://127.0.0.1:{misp}\", key: {} }}\n",
        lines.port,
        cef.port,
        cef.folder.path().join(certificates::AUTHORITY).display(),
        collection.url(),
        collection.collection,
        secret.display(),
        key.display(),
    )
}

fn every_sink(test: &str, link: &Link) {
    let Some(mut collection) = Server::start(test, Kind::Medallion, Collection::default()) else { return };
    let Some(prism) = Prism::start(test) else { return };
    let home = tempfile::tempdir().expect("a folder");
    let centre = Running::start(home.path(), &Setting::default());
    let (lines, cef, misp) = (Rsyslog::start(false), Rsyslog::start(true), Relay::to(prism.1, 0, Duration::ZERO));
    let told = || misp.requests.load(std::sync::atomic::Ordering::SeqCst) as usize;
    let more = format!(
        "{SANDBOXED}centre: {{ url: \"{}\", token: {}, authority: {}, spool: {} }}\n{}",
        centre.url(),
        centre.token().display(),
        centre.authority().display(),
        home.path().join("spool").display(),
        all_sinks(home.path(), (&lines, &cef), &collection, misp.port),
    );
    let folder = site(SHARED, &more);
    let mut service = Service::start(link, folder.path(), &WORDS);
    assert_eq!(service.hear("sandboxed")["findings"], 0);
    let committed = || centre.book().latest().len();
    send(link, folder.path(), 0..20);
    counted("centre", 20, committed);
    counted("syslog", 20, || of_lines(&lines));
    counted("cef", 20, || of_cef(&cef));
    counted("taxii", 20, || of_collection(&collection));
    counted("misp", 20, told);

    // One is gone: all others go on, and it has what it missed when it is back.
    collection.kill();
    send(link, folder.path(), 20..40);
    let began = Instant::now();
    counted("centre", 40, committed);
    counted("syslog", 40, || of_lines(&lines));
    counted("cef", 40, || of_cef(&cef));
    counted("misp", 40, told);
    assert!(began.elapsed() < Duration::from_secs(20), "somebody waited: {:?}", began.elapsed());
    collection.up();
    counted("taxii, which has forgotten what it had,", 20, || of_collection(&collection));

    // One takes connections and nothing else: the end does not wait for it, and the next run brings it what it missed.
    lines.stand_still(true);
    send(link, folder.path(), 40..45);
    counted("centre", 45, committed);
    ends(service);
    lines.stand_still(false);
    let mut service = Service::start(link, folder.path(), &WORDS);
    assert_eq!(service.hear("sandboxed")["findings"], 0);
    counted("syslog", 45, || of_lines(&lines));
    // the end of the run was the end of all its flows: of each alert came the last revision, which MISP is not told
    counted("taxii", 45, || of_collection(&collection));
    counted("cef", 45, || of_cef(&cef));
    counted("misp", 45, told);
    assert_eq!(told(), 45);
    assert_eq!(centre.book().repeats, 0, "the centre has no part in what others miss");
    ends(service);
}

#[test]
fn a_match_on_the_wire_is_committed_over_nats_whichever_of_its_servers_lives() {
    let test = "a_match_on_the_wire_is_committed_over_nats_whichever_of_its_servers_lives";
    if !possible(test) || rsyslog_is_missing(test) {
        return;
    }
    let link = Link::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            link.enter();
            over_nats(&link);
        });
    });
}

fn over_nats(link: &Link) {
    let Some(mut world) = World::start(Wanted::default()) else { return };
    world.start_ingest(false);
    world.wait_for_ingest(1);
    let (home, lines) = (tempfile::tempdir().expect("a folder"), Rsyslog::start(false));
    let at = |name: &str| world.path(name).display().to_string();
    let more = format!(
        "{SANDBOXED}centre: {{ nats: {{ servers: {:?} }}, authority: {}, certificate: {}, key: {}, spool: {} }}\n\
         sinks: {{ syslog: {{ to: \"tcp://127.0.0.1:{}\" }} }}\n",
        world.servers(),
        at("authority.pem"),
        at("site.pem"),
        at("site.key"),
        home.path().join("spool").display(),
        lines.port,
    );
    let folder = site(SHARED, &more);
    let mut service = Service::start(link, folder.path(), &WORDS);
    assert_eq!(service.hear("sandboxed")["findings"], 0);
    let committed = |world: &World| world.asked("select distinct id from alert where site = 'site-0017'").len();
    send(link, folder.path(), 0..20);
    counted("nats", 20, || committed(&world));
    counted("syslog", 20, || of_lines(&lines));
    world.kill_server(0);
    send(link, folder.path(), 20..40);
    counted("nats", 40, || committed(&world));
    // Nobody commits: nothing is settled, the collector beside hears of it, and the end does not wait.
    world.kill_ingest();
    send(link, folder.path(), 40..45);
    counted("syslog", 45, || of_lines(&lines));
    ends(service);
    world.start_ingest(false);
    let service = Service::start(link, folder.path(), &WORDS);
    counted("nats", 45, || committed(&world));
    ends(service);
}
