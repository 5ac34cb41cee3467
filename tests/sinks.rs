//! Sinks beside the centre, each with what hears it in the field.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haetae::emit::syslog::{Section, Written};
use haetae::emit::{Delivery, Secrets, Sink, Syslog};
use haetae::gate::{self, Batch, Gate, Mode, Policy, Sender, SiteKey};
use haetae::ledger::Head;
use haetae::spool::{Position, SpoolId};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::delivery::centre::certificates;
use super::delivery::centre::issuer::{ALWAYS, CLIENT, CLIENT_KEY, Issuer};

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// An alert with everything in it that a line could trip over.
fn alert(number: u64) -> Value {
    json!({"event_type": "alert", "timestamp": "2026-11-21T14:02:31.118204+0900", "proto": "TCP", "app_proto": "http",
        "direction": "to_server",
        "src_ip": "10.20.4.17", "src_port": 51544, "dest_ip": "203.0.113.66", "dest_port": 443,
        "alert": {"severity": 1, "category": "ransomware: one/two",
            "metadata": {"tlp": ["green"], "pap": ["green"], "confidence": ["85"]},
        "context": {"ioc": [{"type": "url", "value": "http://bad.example/a|b=c\\d]e\"f", "id": "i|=\\]\"",
            "seen_in": "http.url", "seen": "http://bad.example/a|b=c\\d]e\"f", "tlp": "green", "pap": "green"}],
        "haetae": {"id": format!("id-{number:06}"), "revision": 2, "final": true, "direction": "outbound",
            "mode": "live", "asset": {"ip": "10.20.4.17", "role": "client"},
            "contact": {"stage": "data", "bytes_out": 5, "bytes_in": 6, "count": 7,
                "first": "2026-11-21T14:02:31.118204+0900", "last": "2026-11-21T14:02:32.000000+0900"}}}}})
}

fn batch(sink: &'static gate::Sink, count: u64) -> Batch {
    let key = SiteKey::fixed(&[1; 32]);
    let sender = Sender::new("site-0017", "tap-a", Mode::Live).unwrap();
    let gate = Gate::of(sink, &Policy::default(), key, sender, Arc::new(|_| false));
    let project = |number| gate.project(Position(number), alert(number).to_string().as_bytes()).expect("it may leave");
    let records: Vec<_> = (1..=count).map(project).collect();
    gate.batch(Head::NONE, SpoolId::of(0x0011_2233_4455_6677), (Position(0), Position(count)), &records)
}

/// rsyslog with one input, which writes each message's parts as JSON lines.
pub struct Rsyslog {
    /// Its configuration, its certificates, what it has written down.
    pub folder: TempDir,
    child: Child,
    /// Where it listens on loopback.
    pub port: u16,
}

impl Rsyslog {
    /// Over TLS or without; it listens when this returns.
    pub fn start(tls: bool) -> Rsyslog {
        let prepare = |folder: &Path| certificates::server(folder).map(drop).expect("certificates");
        Rsyslog::prepared(tls.then_some("anon"), prepare)
    }

    /// Over TLS with this much asked of clients, with the certificates that were put into its folder.
    pub fn prepared(asked: Option<&str>, prepare: impl FnOnce(&Path)) -> Rsyslog {
        let folder = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        prepare(folder.path());
        let driver = if let Some(asked) = asked {
            format!(
                "streamdriver.name=\"ossl\" streamdriver.mode=\"1\" streamdriver.authmode=\"{asked}\"\n\
                 global(defaultNetstreamDriverCAFile=\"{}\" defaultNetstreamDriverCertFile=\"{}\" defaultNetstreamDriverKeyFile=\"{}\")",
                at(certificates::AUTHORITY),
                at("server.pem"),
                at("server.key")
            )
        } else {
            String::new()
        };
        let (module, global) = driver.split_once('\n').unwrap_or((&driver, ""));
        let configuration = format!(
            "{global}\nmodule(load=\"imtcp\" {module})\nmodule(load=\"mmjsonparse\")\nglobal(workDirectory=\"{}\")\n\
             template(name=\"parts\" type=\"list\" option.jsonf=\"on\") {{\n\
               property(outname=\"priority\" name=\"pri\" format=\"jsonf\")\n\
               property(outname=\"time\" name=\"timereported\" dateFormat=\"rfc3339\" format=\"jsonf\")\n\
               property(outname=\"host\" name=\"hostname\" format=\"jsonf\")\n\
               property(outname=\"app\" name=\"app-name\" format=\"jsonf\")\n\
               property(outname=\"process\" name=\"procid\" format=\"jsonf\")\n\
               property(outname=\"kind\" name=\"msgid\" format=\"jsonf\")\n\
               property(outname=\"data\" name=\"structured-data\" format=\"jsonf\")\n\
               property(outname=\"message\" name=\"msg\" format=\"jsonf\")\n\
               property(outname=\"parsed\" name=\"$!\" format=\"jsonf\") }}\n\
             ruleset(name=\"all\") {{ action(type=\"mmjsonparse\")\n\
               action(type=\"omfile\" file=\"{}\" template=\"parts\" asyncWriting=\"off\" flushOnTXEnd=\"on\") }}\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"all\")\n",
            at(""),
            at("out")
        );
        std::fs::write(folder.path().join("conf"), configuration).unwrap();
        let child = Rsyslog::running(folder.path(), port);
        Rsyslog { folder, child, port }
    }

    fn running(folder: &Path, port: u16) -> Child {
        let at = |name: &str| folder.join(name).display().to_string();
        // what was killed has left it
        let _none = std::fs::remove_file(at("pid"));
        let child = Command::new("rsyslogd")
            .args(["-n", "-f", &at("conf"), "-i", &at("pid")])
            .stderr(std::fs::File::create(at("said")).unwrap())
            .spawn()
            .expect("rsyslogd");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", std::fs::read_to_string(at("said")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }

    /// Another one in its place, with what now lies in its folder.
    fn again(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
        self.child = Rsyslog::running(self.folder.path(), self.port);
    }

    /// Stops it where it is, or lets it go on: whoever connects meanwhile is connected to and hears nothing.
    pub fn stand_still(&self, still: bool) {
        let signal = if still { Signal::STOP } else { Signal::CONT };
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// What it has written down, once there are so many lines.
    pub fn lines(&self, count: usize) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let mut text = std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default();
            // what has no end yet is being written
            text.truncate(text.rfind('\n').map_or(0, |last| last + 1));
            if text.lines().count() >= count {
                return text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

fn syslog(to: &str, authority: Option<&Path>) -> Syslog {
    syslog_by(Written { to: to.to_owned(), authority: authority.map(Into::into), ..Written::default() })
}

fn syslog_by(written: Written) -> Syslog {
    let section = Section::check(written, Path::new("/"), Secrets::Opened).expect("it is sound");
    Syslog::open(("syslog", "sinks.syslog"), section).expect("files that can be read")
}

fn delivered(count: u64) -> Delivery {
    Delivery::Delivered { committed: Some(Position(count)) }
}

/// Whether there is no rsyslog to ask; says so.
///
/// # Panics
/// Where `CI` is set: there, a test that does not look is a test that fails.
pub fn rsyslog_is_missing(test: &str) -> bool {
    let asked = Command::new("rsyslogd").arg("-v").stdout(Stdio::null()).status();
    let here = asked.is_ok_and(|status| status.success());
    assert!(here || std::env::var_os("CI").is_none(), "{test}: no rsyslogd");
    if !here {
        eprintln!("\n*** {test}: NOT TESTED: no rsyslogd here (deploy/needs tests installs it) ***\n");
    }
    !here
}

#[test]
fn rsyslog_reads_every_part_of_a_line_and_the_alert_in_it() {
    if rsyslog_is_missing("rsyslog_reads_every_part_of_a_line_and_the_alert_in_it") {
        return;
    }
    let rsyslog = Rsyslog::start(false);
    let mut sink = syslog(&format!("tcp://127.0.0.1:{}", rsyslog.port), None);
    let batch = batch(&gate::SYSLOG, 300);
    assert_eq!(sink.deliver(&batch, PATIENCE), delivered(300));
    let lines = rsyslog.lines(300);
    assert_eq!(lines.len(), 300);
    let line = &lines[0];
    assert_eq!(line["priority"], "170");
    assert_eq!((&line["time"], &line["host"]), (&json!("2026-11-21T14:02:31.118204+09:00"), &json!("site-0017")));
    assert_eq!((&line["app"], &line["process"], &line["kind"]), (&json!("haetae"), &json!("tap-a"), &json!("alert")));
    let data = line["data"].as_str().unwrap();
    assert!(data.starts_with("[alert@32473 id=\"id-000001\" tlp=\"green\"") && data.ends_with("]"), "{data}");
    let parsed = |line: &Value| serde_json::from_str::<Value>(line["parsed"].as_str().unwrap()).expect("JSON");
    assert_eq!(parsed(line)["id"], "id-000001");
    assert_eq!(parsed(line)["indicators"][0]["value"], "http://bad.example/a|b=c\\d]e\"f");
    assert_eq!(parsed(&lines[299])["id"], "id-000300");
}

#[test]
fn rsyslog_reads_cef_over_tls_and_no_value_begins_another() {
    if rsyslog_is_missing("rsyslog_reads_cef_over_tls_and_no_value_begins_another") {
        return;
    }
    let rsyslog = Rsyslog::start(true);
    let authority = rsyslog.folder.path().join(certificates::AUTHORITY);
    let mut sink = syslog(&format!("tls://localhost:{}", rsyslog.port), Some(&authority));
    assert_eq!(sink.deliver(&batch(&gate::CEF, 2), PATIENCE), delivered(2));
    let lines = rsyslog.lines(2);
    let message = lines[0]["message"].as_str().unwrap().trim_start();
    let heads: Vec<&str> = split(message, '|');
    assert_eq!((heads[0], heads[1], heads[2], heads[4], heads[6]), ("CEF:0", "haetae", "haetae", "url", "10"));
    // behind the header a bar is a character like any other
    let extension = heads[7..].join("|");
    let extension = &extension[..];
    let pairs = split(extension, '=');
    let names: Vec<&str> = pairs[..pairs.len() - 1].iter().map(|text| text.rsplit(' ').next().unwrap()).collect();
    let known = [
        "externalId",
        "cat",
        "deviceExternalId",
        "rt",
        "start",
        "end",
        "proto",
        "app",
        "deviceDirection",
        "dst",
        "dpt",
        "in",
        "out",
        "cnt",
        "cs1Label",
        "cs1",
        "cs2Label",
        "cs2",
        "cs3Label",
        "cs3",
        "cs4Label",
        "cs4",
        "cs5Label",
        "cs5",
        "cs6Label",
        "cs6",
        "cn1Label",
        "cn1",
    ];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    assert!(extension.contains("rt=1795237351118 ") && extension.contains(" dpt=443 "), "{extension}");
    assert!(extension.contains(r"cs1=http://bad.example/a|b\=c\\d]e"), "{extension}");
}

/// At this character, where no backslash stands before it.
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (index, character) in text.char_indices() {
        if character == at && !escaped {
            parts.push(&text[start..index]);
            start = index + 1;
        }
        escaped = character == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

#[test]
fn a_stranger_with_a_certificate_of_his_own_hears_nothing() {
    if rsyslog_is_missing("a_stranger_with_a_certificate_of_his_own_hears_nothing") {
        return;
    }
    let (rsyslog, other) = (Rsyslog::start(true), TempDir::new().unwrap());
    certificates::server(other.path()).expect("certificates");
    let authority = other.path().join(certificates::AUTHORITY);
    let mut sink = syslog(&format!("tls://localhost:{}", rsyslog.port), Some(&authority));
    assert!(matches!(sink.deliver(&batch(&gate::CEF, 1), PATIENCE), Delivery::Later { .. }));
    assert!(!rsyslog.folder.path().join("out").exists());
}

/// Why it was not delivered.
fn refused(sink: &mut Syslog, batch: &Batch) -> String {
    match sink.deliver(batch, PATIENCE) {
        Delivery::Later { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_collector_that_asks_who_it_is_hears_who_has_the_right_key_and_a_renewed_one_needs_no_restart() {
    if rsyslog_is_missing(
        "a_collector_that_asks_who_it_is_hears_who_has_the_right_key_and_a_renewed_one_needs_no_restart",
    ) {
        return;
    }
    let (ours, others) = (Issuer::new("ours"), Issuer::new("others"));
    let mut rsyslog = Rsyslog::prepared(Some("x509/certvalid"), |folder| ours.serve(folder, "localhost", ALWAYS, 77));
    let own = TempDir::new().unwrap();
    let at = |name: &str| Some(own.path().join(name));
    std::fs::write(own.path().join("ca.pem"), ours.pem()).unwrap();
    let to = format!("tls://localhost:{}", rsyslog.port);
    let unknown = Written { to: to.clone(), authority: at("ca.pem"), ..Written::default() };
    let batch = batch(&gate::SYSLOG, 3);
    refused(&mut syslog_by(unknown.clone()), &batch);

    others.enrol(own.path(), ALWAYS);
    let mut sink = syslog_by(Written { certificate: at(CLIENT), key: at(CLIENT_KEY), ..unknown.clone() });
    refused(&mut sink, &batch);
    assert!(!rsyslog.folder.path().join("out").exists(), "nobody was heard");
    ours.enrol(own.path(), ALWAYS);
    assert_eq!(sink.deliver(&batch, PATIENCE), delivered(3));
    assert_eq!(rsyslog.lines(3).len(), 3);
    assert!(sink.facts().own_until.is_some_and(|until| until > 4_000_000_000), "{:?}", sink.facts());
    assert_eq!(sink.facts().own_until, sink.facts().centre_until, "both hold as long");

    // half a pair changes nothing, and it is said where there is trouble anyway
    std::fs::write(own.path().join(CLIENT_KEY), "half of it").unwrap();
    assert_eq!(sink.deliver(&batch, PATIENCE), delivered(3));
    // what it has read and not written yet goes with it
    assert_eq!(rsyslog.lines(6).len(), 6);
    ours.serve(rsyslog.folder.path(), "localhost", 1990..2001, 78);
    rsyslog.again();
    let why = refused(&mut sink, &batch);
    assert!(why.contains("xpired") && why.contains("sinks.syslog.key"), "{why}");
    others.serve(rsyslog.folder.path(), "localhost", ALWAYS, 79);
    rsyslog.again();
    refused(&mut sink, &batch);
    ours.enrol(own.path(), ALWAYS);
    ours.serve(rsyslog.folder.path(), "localhost", ALWAYS, 80);
    rsyslog.again();
    assert_eq!(sink.deliver(&batch, PATIENCE), delivered(3));
    assert_eq!(rsyslog.lines(9).len(), 9, "and nothing of what was refused");

    // a collector whose certificate was revoked
    std::fs::write(own.path().join("revoked.pem"), ours.revoke(&[79])).unwrap();
    let (certificate, key) = (at(CLIENT), at(CLIENT_KEY));
    let mut sink = syslog_by(Written { certificate, key, revocations: at("revoked.pem"), ..unknown });
    assert_eq!(sink.deliver(&batch, PATIENCE), delivered(3));
    std::fs::write(own.path().join("revoked.pem"), ours.revoke(&[79, 80])).unwrap();
    let why = refused(&mut sink, &batch);
    assert!(why.contains("evoked"), "{why}");
}

/// Takes lines and dies before it has read them all.
#[test]
fn a_collector_that_goes_before_it_has_read_everything_has_received_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        drop(stream); // with bytes unread: the kernel resets
    });
    let mut sink = syslog(&format!("tcp://127.0.0.1:{port}"), None);
    assert!(matches!(sink.deliver(&batch(&gate::SYSLOG, 200), PATIENCE), Delivery::Later { .. }));
    server.join().unwrap();
    assert!(
        matches!(sink.deliver(&batch(&gate::SYSLOG, 1), PATIENCE), Delivery::Later { .. }),
        "nobody listens any more"
    );
}
