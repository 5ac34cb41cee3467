//! Sightings on real TAXII 2.1 servers: what a replay of captures raises arrives there, clean to the validator and with the identities
//! that the standard's library gives; and whatever happens to a server, nothing is lost and nothing is there twice.
//!
//! medallion, OpenTAXII, stix2 and stix2-validator are not part of the repository: without them these tests say so and pass, where
//! `CI` is set they fail. What neither server does (to take its time) is asked of a script.

pub mod relay;
pub mod server;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haetae::emit::{Courier, DeadLetters, Outcome, Secrets, Sink, Taxii, Way, taxii};
use haetae::gate::{Gate, Mode, Policy, Pulse, Sender, SiteKey, TAXII, Written};
use haetae::ledger::Head;
use haetae::spool::{DEAD_LETTERS, Options, Position, Spool};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::Replay;
use crate::delivery::ledger_in;
use relay::Relay;
use server::{BOTH, Kind, PASSWORD, Server, Setting, USER, tool};

/// Long enough for any machine; only failing tests wait so long.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything that the form has a place for.
const POLICY: &str = "sinks: { taxii: { tlp_max: amber, leave: [time, protocol, peer, seen, contact] } }";

fn alert(number: u64) -> Value {
    let name = format!("c{number}.bad.example");
    json!({"event_type": "alert", "timestamp": "2026-11-21T14:02:31.118204+0000", "proto": "TCP",
        "src_ip": "10.20.4.17", "src_port": 51544, "dest_ip": "203.0.113.66", "dest_port": 443,
        "alert": {"severity": 1, "category": "ransomware", "metadata": {"tlp": ["green"]},
        "context": {"ioc": [{"type": "domain", "value": name, "seen_in": "tls.sni", "seen": name}],
        "haetae": {"id": format!("id-{number:06}"), "revision": 1, "direction": "outbound", "mode": "exercise",
        "asset": {"ip": "10.20.4.17", "name": "PC-ACCT-04", "role": "client"},
        "contact": {"stage": "data", "bytes_out": 5}}}}})
}

/// A site: its spool holds these alerts.
struct Site {
    directory: TempDir,
    spool: Spool,
}

impl Site {
    fn of(records: &[Value]) -> Site {
        let directory = TempDir::new().unwrap();
        let mut spool = Spool::open(&directory.path().join("spool"), Options::default()).unwrap();
        for record in records {
            spool.append(haetae::spool::Lane::Normal, record.to_string().as_bytes()).unwrap();
        }
        spool.sync().unwrap();
        Site { directory, spool }
    }

    fn with(count: u64) -> Site {
        Site::of(&(1..=count).map(alert).collect::<Vec<_>>())
    }

    fn gate(policy: &str) -> Gate {
        let written: Written = serde_yaml::from_str(policy).unwrap();
        let policy = Policy::check(written, Path::new("/")).unwrap();
        let sender = Sender::new("site-0017", "tap-a", Mode::Exercise).unwrap();
        Gate::of(&TAXII, &policy, SiteKey::fixed(&[7; 32]), sender, Arc::new(|_| false))
    }

    /// The envelope that all of these make, and how many stay here.
    fn envelope(records: &[Value]) -> (Value, usize) {
        Site::envelope_by(records, POLICY)
    }

    fn envelope_by(records: &[Value], policy: &str) -> (Value, usize) {
        let gate = Site::gate(policy);
        let project =
            |(at, record): (usize, &Value)| gate.project(Position(1 + at as u64), record.to_string().as_bytes()).ok();
        let projected: Vec<_> = records.iter().enumerate().filter_map(project).collect();
        let id =
            Spool::open(TempDir::new().unwrap().path(), Options::default()).unwrap().id(haetae::spool::Lane::Normal);
        let batch = gate.batch(Head::NONE, id, (Position(0), Position(records.len() as u64)), &projected);
        (serde_json::from_slice(batch.json()).unwrap(), records.len() - projected.len())
    }

    fn secret(&self, word: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.path().join("secret");
        std::fs::write(&path, word).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn courier_to(&self, url: &str, collection: &str, user: Option<&str>, secret: &str) -> Courier {
        let written = taxii::Written {
            url: url.to_owned(),
            collection: collection.to_owned(),
            user: user.map(str::to_owned),
            secret: Some(self.secret(secret)),
            ..taxii::Written::default()
        };
        let section = taxii::Section::check(written, Path::new("/"), Secrets::Opened).unwrap();
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Taxii::open(section).unwrap())];
        let dead = DeadLetters::beside(&self.directory.path().join("spool"));
        let ledger = ledger_in(self.directory.path());
        Courier::new(
            self.spool.readers(),
            Way { gate: Site::gate(POLICY), sinks, dead, ledger, pulse: Pulse::default() },
        )
    }

    fn courier(&self, server: &Server) -> Courier {
        self.courier_to(&server.url(), &server.collection, Some(USER), PASSWORD)
    }

    /// By way of a relay that stands before the server's API root.
    fn courier_by(&self, relay: &Relay, server: &Server) -> Courier {
        let url = format!("http://127.0.0.1:{}/taxii2/", relay.port);
        self.courier_to(&url, &server.collection, Some(USER), PASSWORD)
    }
}

fn patiently(mut courier: Courier) -> Outcome {
    courier.drain(Instant::now() + PATIENCE)
}

fn all(delivered: u64) -> Outcome {
    Outcome { delivered, ..Outcome::default() }
}

/// Ids with their versions.
fn identities(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(|one| format!("{} {}", one["id"], one["modified"])).collect()
}

/// Alerts of some captures, as the real binary writes them where a replay is meant as an exercise.
fn raised() -> Vec<Value> {
    let mut records = Vec::new();
    for case in [
        "http1",
        "http1-ipv6",
        "tls12-certificate",
        "dns-mixed",
        "smtp",
        "http-body-digest",
        "policy-tlp",
        "quic",
        "icmp",
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps").join(case);
        if !folder.exists() {
            continue;
        }
        let (captures, rules) = (vec![folder.join("traffic.pcap")], Some(folder.join("indicators.yaml")));
        let replay = Replay { folder: &folder, captures, rules, options: Vec::new() };
        let run = replay.run(1, 64).unwrap_or_else(|error| panic!("{case}: {error}"));
        for line in run.alerts.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut record: Value = serde_json::from_slice(line).unwrap();
            record["alert"]["context"]["haetae"]["mode"] = "exercise".into();
            records.push(record);
        }
    }
    assert!(records.len() > 20, "{} alerts", records.len());
    records
}

#[test]
fn what_captures_raise_is_clean_to_the_validator_and_has_the_librarys_identities() {
    let name = "what_captures_raise_is_clean_to_the_validator_and_has_the_librarys_identities";
    let Some(python) = tool(name, "stix", "python3") else { return };
    let mut records = raised();
    records.extend((1..=3).map(alert));
    let (envelope, _) = Site::envelope(&records);
    let kinds: BTreeSet<&str> =
        envelope["objects"].as_array().unwrap().iter().filter_map(|one| one["type"].as_str()).collect();
    for kind in [
        "sighting",
        "indicator",
        "observed-data",
        "identity",
        "ipv4-addr",
        "ipv6-addr",
        "domain-name",
        "url",
        "file",
        "x509-certificate",
        "network-traffic",
        "marking-definition",
    ] {
        assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
    }
    judged(&python, &envelope, &["uuid", "ports"]);
    let (usual, _) = Site::envelope_by(&records, "sinks: { taxii: { tlp_max: amber } }");
    judged(&python, &usual, &["uuid"]);
}

/// Nothing is found in an envelope but recommendations that are not followed on purpose.
fn judged(python: &Path, envelope: &Value, passed: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/stix.py");
    let mut command = Command::new(python);
    let mut child = command.arg(script).args(passed).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(envelope.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains("finding:"), "{said}");
    let count = envelope["objects"].as_array().unwrap().len();
    assert!(said.contains(&format!("looked at {count} objects")), "{said}");
    eprintln!("{said}");
}

#[test]
fn what_captures_raise_is_on_both_servers_once_and_as_it_was_sent() {
    let name = "what_captures_raise_is_on_both_servers_once_and_as_it_was_sent";
    let records = raised();
    let (envelope, kept) = Site::envelope(&records);
    let sent = envelope["objects"].as_array().unwrap();
    for kind in BOTH {
        let Some(server) = Server::start(name, kind, Setting::default()) else { return };
        let site = Site::of(&records);
        let outcome = Outcome { withheld: kept as u64, ..all((records.len() - kept) as u64) };
        assert_eq!(patiently(site.courier(&server)), outcome, "{kind:?}");
        let there = server.objects();
        assert_eq!(identities(&there), identities(sent), "{kind:?}");
        assert_eq!(there.len(), sent.len(), "{kind:?}: each once");
        for one in sent.iter().filter(|one| one["type"] == "sighting") {
            let found = there.iter().find(|other| other["id"] == one["id"] && same_version(other, one)).unwrap();
            for member in
                ["sighting_of_ref", "observed_data_refs", "where_sighted_refs", "description", "object_marking_refs"]
            {
                assert_eq!(found[member], one[member], "{kind:?}: {member}");
            }
        }
        // The same again, from a spool that was made anew: the servers have all of it, and one of them calls that a failure.
        let again = Site::of(&records);
        assert_eq!(patiently(again.courier(&server)), outcome, "{kind:?}");
        assert_eq!(server.objects().len(), sent.len(), "{kind:?}: nothing is there twice");
        assert!(!again.directory.path().join("spool").join(DEAD_LETTERS).exists(), "{kind:?}: no poison");
    }
}

fn same_version(one: &Value, two: &Value) -> bool {
    let time = |value: &Value| value["modified"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    time(one) == time(two)
}

fn sightings(server: &Server) -> usize {
    server.objects().iter().filter(|one| one["type"] == "sighting").count()
}

#[test]
fn a_server_that_is_down_slow_or_has_small_hands_gets_everything() {
    let name = "a_server_that_is_down_slow_or_has_small_hands_gets_everything";
    for kind in BOTH {
        let setting = Setting { bytes_max: 20_000, ..Setting::default() };
        let Some(mut server) = Server::start(name, kind, setting) else { return };
        server.kill();
        let site = Site::with(60);
        let courier = site.courier(&server);
        let counts = courier.counts();
        let courier = std::thread::spawn(move || patiently(courier));
        while counts.later.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        server.up();
        assert_eq!(courier.join().unwrap(), all(60), "{kind:?}");
        assert_eq!(sightings(&server), 60, "{kind:?}");
        // Answers that take half a second and are then lost, three times: all is there, and none of it twice.
        let slow = Relay::to(server.port, 3, Duration::from_millis(300));
        if kind == Kind::OpenTaxii {
            let site = Site::of(&(61..=80).map(alert).collect::<Vec<_>>());
            assert_eq!(patiently(site.courier_by(&slow, &server)), all(20), "{kind:?}");
            assert_eq!(sightings(&server), 80, "{kind:?}");
        }
    }
}

#[test]
fn a_server_killed_in_the_middle_has_everything_once_when_it_is_up_again() {
    let name = "a_server_killed_in_the_middle_has_everything_once_when_it_is_up_again";
    let Some(mut server) = Server::start(name, Kind::OpenTaxii, Setting { bytes_max: 30_000, ..Setting::default() })
    else {
        return;
    };
    let site = Site::with(200);
    let courier = site.courier(&server);
    let counts = courier.counts();
    let courier = std::thread::spawn(move || patiently(courier));
    for part in [20, 80] {
        while counts.delivered.load(Ordering::Relaxed) < part {
            std::thread::yield_now();
        }
        server.kill();
        server.up();
    }
    assert_eq!(courier.join().unwrap(), all(200));
    assert_eq!(sightings(&server), 200, "none is lost, none is there twice");
}

#[test]
fn a_wrong_secret_delivers_nothing_and_the_right_one_needs_no_restart() {
    let name = "a_wrong_secret_delivers_nothing_and_the_right_one_needs_no_restart";
    for kind in BOTH {
        let Some(server) = Server::start(name, kind, Setting::default()) else { return };
        let site = Site::with(2);
        let mut courier = site.courier_to(&server.url(), &server.collection, Some(USER), "not-the-secret");
        let outcome = courier.drain(Instant::now());
        assert_eq!((outcome.delivered, outcome.left), (0, 2), "{kind:?}");
        let reason = outcome.reason.unwrap();
        assert!(reason.contains("secret") && !reason.contains("not-the-secret"), "{kind:?}: {reason}");
        site.secret(PASSWORD);
        assert_eq!(patiently(courier), all(2), "{kind:?}");
        if let Some(token) = &server.token {
            let site = Site::with(3);
            assert_eq!(
                patiently(site.courier_to(&server.url(), &server.collection, None, token)),
                all(3),
                "a bearer token"
            );
        }
    }
}

#[test]
fn a_collection_that_may_not_be_written_to_is_said() {
    let name = "a_collection_that_may_not_be_written_to_is_said";
    let Some(server) = Server::start(name, Kind::Medallion, Setting { can_write: false, ..Setting::default() }) else {
        return;
    };
    let site = Site::with(1);
    let outcome = site.courier(&server).drain(Instant::now());
    assert!(outcome.left == 1 && outcome.reason.as_ref().unwrap().contains("no right to write"), "{outcome:?}");
    let outcome = site.courier_to(&server.url(), "0f5b1a3c-7e0e-4c39-9a54-1f1c6b7d2e01", Some(USER), PASSWORD);
    let outcome = { outcome }.drain(Instant::now());
    assert!(outcome.reason.as_ref().unwrap().contains("no collection"), "{outcome:?}");
}

const ROOT: &str = r#"{"title":"r","versions":["application/taxii+json;version=2.1"],"max_content_length":10000000}"#;
const COLLECTION: &str = r#"{"id":"c","title":"c","can_read":true,"can_write":true}"#;

/// A server as it could be: `rest` answers what is neither its root nor its collection.
fn scripted(rest: impl Fn(&relay::Request) -> Option<Vec<u8>> + Send + Sync + 'static) -> Relay {
    Relay::scripted(move |request| match request.head.split(' ').nth(1) {
        Some("/r/") => relay::taxii("200 OK", ROOT),
        Some("/r/collections/c/") => relay::taxii("200 OK", COLLECTION),
        _ => rest(request),
    })
}

fn ids(request: &relay::Request) -> Vec<Value> {
    let envelope: Value = serde_json::from_slice(&request.body).unwrap();
    envelope["objects"].as_array().unwrap().clone()
}

fn courier_to_script(site: &Site, relay: &Relay) -> Courier {
    site.courier_to(&format!("http://127.0.0.1:{}/r", relay.port), "c", None, "t0ken")
}

#[test]
fn a_server_that_takes_its_time_is_asked_until_it_has_ended_and_is_not_told_again() {
    let (posts, polls) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (told, asked) = (Arc::clone(&posts), Arc::clone(&polls));
    let objects = std::sync::Mutex::new(Vec::new());
    let relay = scripted(move |request| {
        if request.head.starts_with("POST /r/collections/c/objects/ ") {
            told.fetch_add(1, Ordering::SeqCst);
            *objects.lock().unwrap() = ids(request);
            return relay::taxii("202 Accepted", r#"{"id":"s1","status":"pending","total_count":9}"#);
        }
        assert!(request.head.starts_with("GET /r/status/s1/ "), "{}", request.head);
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            return relay::taxii("200 OK", r#"{"id":"s1","status":"pending"}"#);
        }
        let named: Vec<Value> = objects.lock().unwrap().iter().map(|one| json!({"id": one["id"]})).collect();
        relay::taxii("200 OK", &json!({"id": "s1", "status": "complete", "successes": named}).to_string())
    });
    let site = Site::with(5);
    assert_eq!(patiently(courier_to_script(&site, &relay)), all(5));
    assert_eq!((posts.load(Ordering::SeqCst), polls.load(Ordering::SeqCst)), (1, 2));
}

#[test]
fn what_a_server_refuses_and_does_not_have_is_found_and_kept_and_the_rest_goes() {
    let held = std::sync::Mutex::new(BTreeSet::<(String, String)>::new());
    let relay = scripted(move |request| {
        let mut held = held.lock().unwrap();
        if request.head.starts_with("POST ") {
            let (mut taken, mut failed) = (Vec::new(), Vec::new());
            for one in ids(request) {
                let (id, version) =
                    (one["id"].as_str().unwrap().to_owned(), one["modified"].as_str().unwrap_or("-").to_owned());
                let of_poison = one["description"].as_str().is_some_and(|text| text.contains("c3.bad"));
                match !of_poison && held.insert((id.clone(), version)) {
                    true => taken.push(json!({"id": id})),
                    false => failed.push(json!({"id": id, "message": "Unable to process object"})),
                }
            }
            let status = json!({"id": "s", "status": "complete", "successes": taken, "failures": failed});
            return relay::taxii("202 Accepted", &status.to_string());
        }
        let listed: Vec<Value> = held.iter().map(|(id, version)| json!({"id": id, "version": version})).collect();
        relay::taxii("200 OK", &json!({"objects": listed}).to_string())
    });
    let site = Site::with(5);
    assert_eq!(patiently(courier_to_script(&site, &relay)), Outcome { dead: 1, ..all(4) });
    let letters = std::fs::read_to_string(site.directory.path().join("spool").join(DEAD_LETTERS)).unwrap();
    assert!(letters.contains("id-000003") && letters.contains("Unable to process object"), "{letters}");
}

#[test]
fn nothing_is_settled_by_what_is_no_answer_of_taxii() {
    let page = |status: &str, kind: &str, body: &str| {
        Some(
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
            .into_bytes(),
        )
    };
    for (status, kind, body) in [
        ("200 OK", "text/html", "<html>welcome</html>"),
        ("202 Accepted", "application/json", r#"{"id":"s","status":"complete"}"#),
        ("202 Accepted", "application/taxii+json;version=2.1", r#"{"status":"complete"}"#),
        ("302 Found", "text/html", ""),
        ("400 Bad Request", "text/html", "<html>"),
        ("406 Not Acceptable", "application/taxii+json", "{}"),
        ("429 Too Many Requests", "text/plain", ""),
        ("500 Internal Server Error", "text/html", "\u{0}\u{1}"),
    ] {
        let body = body.to_owned();
        let (status, kind) = (status.to_owned(), kind.to_owned());
        let relay = scripted(move |_| page(&status, &kind, &body));
        let site = Site::with(1);
        let outcome = courier_to_script(&site, &relay).drain(Instant::now());
        assert_eq!((outcome.delivered, outcome.dead, outcome.left), (0, 0, 1), "{outcome:?}");
        assert!(relay.requests.load(Ordering::SeqCst) >= 3);
    }
}
