//! Sightings told to MISP, as far as its published contract goes: Prism plays an instance from it and refuses what does not fit. And
//! whatever an instance says otherwise, by a script.
//!
//! Neither Prism nor the contract is part of the repository: without them these tests say so and pass, where `CI` is set they fail.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haetae::emit::misp::{Section, Told, Written};
use haetae::emit::{Courier, DeadLetters, Misp, Outcome, Secrets, Sink, Way};
use haetae::gate::{Gate, MISP, Mode, Policy, Pulse, Sender, SiteKey};
use haetae::spool::{Options, Position, Spool};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::delivery::ledger_in;
use crate::support::shared;
use crate::taxii::relay::{Relay, Request};
use crate::taxii::server::free_port;

/// Long enough for any machine; only failing tests wait so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key of the length that such keys have.
pub const KEY: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCD";

fn alert(number: u64, revision: u64) -> Value {
    let name = format!("c{number}.bad.example");
    json!({"event_type": "alert", "timestamp": "2026-11-21T14:02:31.118204+0000", "proto": "TCP",
        "src_ip": "10.20.4.17", "src_port": 51544, "dest_ip": "203.0.113.66", "dest_port": 443,
        "alert": {"severity": 1, "metadata": {"tlp": ["green"]},
        "context": {"ioc": [{"type": "domain", "value": name, "seen_in": "tls.sni", "seen": name}],
        "haetae": {"id": format!("id-{number:06}"), "revision": revision, "mode": "exercise"}}}})
}

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

    fn gate() -> Gate {
        let sender = Sender::new("site-0017", "tap-a", Mode::Exercise).unwrap();
        Gate::of(&MISP, &Policy::default(), SiteKey::fixed(&[7; 32]), sender, Arc::new(|_| false))
    }

    fn courier(&self, port: u16) -> (Courier, Arc<Told>) {
        use std::os::unix::fs::PermissionsExt;
        let key = self.directory.path().join("misp.key");
        std::fs::write(&key, KEY).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let written = Written { url: format!("http://127.0.0.1:{port}/"), key: Some(key), authority: None };
        let section = Section::check(written, Path::new("/"), Secrets::Opened).unwrap();
        let gate = Site::gate();
        let misp = Misp::open(&section).unwrap();
        let told = misp.told();
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(misp)];
        let dead = DeadLetters::beside(&self.directory.path().join("spool"));
        let ledger = ledger_in(self.directory.path());
        (Courier::new(self.spool.readers(), Way { gate, sinks, dead, ledger, pulse: Pulse::default() }), told)
    }
}

/// An instance of what the contract says.
pub struct Prism(Child, pub u16);

impl Prism {
    /// It listens when this returns; `None`, loudly, where it is not installed.
    pub fn start(test: &str) -> Option<Prism> {
        let contract = shared("reference/contracts/misp-openapi.yaml")?;
        let program: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/prism/node_modules/.bin/prism");
        if !program.exists() {
            assert!(std::env::var_os("CI").is_none(), "{test}: needs Prism, and CI has it (deploy/needs tests)");
            eprintln!("\n*** {test}: NOT TESTED: no {} (deploy/needs tests installs it) ***\n", program.display());
            return None;
        }
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["mock", "-h", "127.0.0.1", "-p", &port.to_string()]).arg(contract);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let prism = Prism(command.process_group(0).spawn().unwrap(), port);
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "Prism does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(prism)
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_told_is_what_the_contract_asks_for() {
    let Some(prism) = Prism::start("what_is_told_is_what_the_contract_asks_for") else { return };
    let site = Site::of(&[alert(1, 1), alert(1, 2), alert(2, 1), alert(3, 1)]);
    let (mut courier, told) = site.courier(prism.1);
    let outcome = courier.drain(Instant::now() + PATIENCE);
    assert_eq!(outcome, Outcome { delivered: 3, withheld: 1, ..Outcome::default() });
    assert_eq!((told.saved.load(Ordering::Relaxed), told.unmatched.load(Ordering::Relaxed)), (3, 0));
    // Prism does look: without a key it refuses. It looks at no body; the contract's own schema is held against that here.
    let url = format!("http://127.0.0.1:{}/sightings/add", prism.1);
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let answer = agent.post(&url).header("Content-Type", "application/json").send(r#"{"values":["a"]}"#).unwrap();
    assert_eq!(answer.status().as_u16(), 401);
}

#[test]
fn what_is_told_has_the_shape_that_the_contract_gives_it() {
    let Some(contract) = shared("reference/contracts/misp-openapi.yaml") else { return };
    let text = std::fs::read_to_string(contract).unwrap();
    let mut whole: Value = serde_yaml::from_str(&text).unwrap();
    let asked = "#/components/requestBodies/AddSightingsRequest/content/application~1json/schema";
    let schema = json!({"$ref": asked, "components": whole["components"].take()});
    let judge = jsonschema::draft4::new(&schema).unwrap();
    let gate = Site::gate();
    let projected = gate.project(Position(1), alert(1, 1).to_string().as_bytes()).unwrap();
    let id = Spool::open(TempDir::new().unwrap().path(), Options::default()).unwrap().id(haetae::spool::Lane::Normal);
    let batch = gate.batch(haetae::ledger::Head::NONE, id, (Position(0), Position(1)), &[projected]);
    let body: Value = serde_json::from_slice(batch.messages()[0].bytes()).unwrap();
    assert!(judge.is_valid(&body), "{body}");
    for wrong in [json!({"values": "a"}), json!({"values": [{"a": 1}]}), json!({"timestamp": 1})] {
        assert!(!judge.is_valid(&wrong), "{wrong}");
    }
}

fn json_page(status: &str, body: &str) -> Option<Vec<u8>> {
    let head = "Content-Type: application/json\r\nConnection: close";
    Some(format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

fn values(request: &Request) -> Value {
    assert!(request.head.starts_with("POST /sightings/add "), "{}", request.head);
    assert!(request.head.to_ascii_lowercase().contains(&format!("authorization: {}", KEY.to_ascii_lowercase())));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["source"], &body["type"]), (&json!("site-0017"), &json!("0")));
    assert_eq!(body["timestamp"], "1795269751");
    body["values"].clone()
}

#[test]
fn what_matches_nothing_is_settled_what_is_refused_is_kept_and_trouble_loses_nothing() {
    let trouble = AtomicU64::new(0);
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let relay = Relay::scripted(move |request| {
        let value = values(request)[0].as_str().unwrap().to_owned();
        match (trouble.fetch_add(1, Ordering::SeqCst), value.as_str()) {
            (0, _) => json_page("503 Service Unavailable", "{}"),
            (1, _) => json_page("429 Too Many Requests", "{}"),
            (_, "c2.bad.example") => {
                let text = "Could not add the Sighting. Reason: No valid attributes found that match the criteria.";
                json_page("200 OK", &json!({"message": text}).to_string())
            }
            (_, "c3.bad.example") => json_page("422 Unprocessable Entity", "{}"),
            _ => {
                hears.lock().unwrap().push(value);
                json_page("200 OK", r#"{"Sighting":{"id":"1"}}"#)
            }
        }
    });
    let site = Site::of(&(1..=5).map(|number| alert(number, 1)).collect::<Vec<_>>());
    let (mut courier, told) = site.courier(relay.port);
    let outcome = courier.drain(Instant::now() + PATIENCE);
    assert_eq!((outcome.delivered, outcome.dead, outcome.left), (4, 1, 0), "{outcome:?}");
    assert_eq!(told.unmatched.load(Ordering::Relaxed), 1);
    let mut heard = heard.lock().unwrap().clone();
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard, ["c1.bad.example", "c4.bad.example", "c5.bad.example"]);
}
