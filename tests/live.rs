//! The service on a real link, in network namespaces that each test makes and removes: what it sees, loses, says and
//! survives. Needs root; where it cannot run it says so, and fails where `CI` is set.

mod asked;
mod changed;
mod clock;
mod disk;
mod doctor;
mod full;
mod killed;
mod light;
mod links;
mod load;
mod notify;
mod ready;
mod restart;
mod rotated;
mod sandbox;
mod scraped;
mod shunt;
mod sinks;
mod soak;
mod socket;
mod squeezed;
mod taint;
mod unit;
mod urgent;
mod xdp;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::binary::{self, Replay};
use crate::support::namespaces::{Link, possible};
use crate::wire::{self, Ends, Frame, Wrap};

/// Long enough for any machine; only failing tests wait so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a site waits for the service to end, whatever it is doing.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Captures whose story does not hang on when their packets came: no validity, no time-outs.
const CASES: [&str; 11] = [
    "dns-cname",
    "dns-mixed",
    "dns-tcp",
    "fragments",
    "http-body-digest",
    "http1",
    "http1-chunked",
    "qinq",
    "tls-split",
    "tls12",
    "vxlan",
];

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps").join(name)
}

/// A service on `b0`, its log read along.
struct Service {
    child: Child,
    said: Receiver<Value>,
    heard: Vec<Value>,
}

impl Service {
    fn start(link: &Link, folder: &Path, words: &[&str]) -> Service {
        Service::start_among(link, folder, words, &[])
    }

    /// With these variables in its environment.
    fn start_among(link: &Link, folder: &Path, words: &[&str], environment: &[(&str, &str)]) -> Service {
        let mut command = binary::haetae();
        command.envs(environment.iter().copied());
        Service::start_by(link, folder, command, words)
    }

    /// By a command that is the service, or becomes it.
    fn start_by(link: &Link, folder: &Path, mut command: Command, words: &[&str]) -> Service {
        Service::runs(&mut command, folder, words);
        Service::of(link, &command)
    }

    /// What is asked of a command that is the service.
    fn runs(command: &mut Command, folder: &Path, words: &[&str]) {
        command.arg("run").args(["-c", "haetae.yaml"]).args(words).env("HAETAE_LOG", "json").current_dir(folder);
    }

    /// What a command on the sensor's side becomes; its log is JSON.
    fn of(link: &Link, command: &Command) -> Service {
        let mut service = Service::launched(link, command);
        service.hear("started");
        service
    }

    /// The same, and it may not have started yet.
    fn launched(link: &Link, command: &Command) -> Service {
        let mut child = link.at_sensor(command).stderr(Stdio::piped()).spawn().expect("the service");
        let (send, said) = channel();
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if send.send(value).is_err() {
                    return;
                }
            }
        });
        Service { child, said, heard: Vec::new() }
    }

    /// Waits for a log line with these words in its message.
    fn hear(&mut self, words: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let line = self.said.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("never said `{words}`, but {:?}", self.heard));
            self.heard.push(line.clone());
            if line["message"].as_str().is_some_and(|message| message.contains(words)) {
                return line;
            }
        }
    }

    /// Waits for a log line with this message.
    fn hear_exactly(&mut self, message: &str) -> Value {
        loop {
            let line = self.hear(message);
            if line["message"] == message {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        // the service is the only child of `ip netns exec`, which becomes it
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// Ends it; its account, its exit and how long it took.
    fn end(mut self) -> (Value, Value, ExitStatus, Duration) {
        let began = Instant::now();
        self.signal("TERM");
        let link = self.hear_exactly("link");
        let account = self.hear("ended");
        let status = self.child.wait().expect("it ends");
        (link, account, status, began.elapsed())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("no {name} in {of}"))
}

fn site(rules: &str, more: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("rules.yaml"), rules).expect("rules");
    let text = format!(
        "capture: [{{ interface: b0, backend: libpcap }}]\nrules: {{ local: [rules.yaml] }}\n\
         outputs: {{ eve: {{ path: eve.json, events: [alert] }} }}\n{more}"
    );
    std::fs::write(folder.path().join("haetae.yaml"), text).expect("a configuration");
    folder
}

/// What a process holds: descriptors, mappings, threads.
fn held(process: u32) -> [usize; 3] {
    let of = |name: &str| format!("/proc/{process}/{name}");
    let entries = |name: &str| std::fs::read_dir(of(name)).expect("it runs").count();
    [entries("fd"), std::fs::read_to_string(of("maps")).expect("it runs").lines().count(), entries("task")]
}

/// Resident memory in bytes, without what is shared with others.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Alerts without what two runs may not share: their last revisions by indicator, place and ends.
fn stories(lines: &[Value]) -> BTreeMap<String, u64> {
    let mut stories = BTreeMap::new();
    for line in lines.iter().filter(|line| line.pointer("/alert/context/haetae/final") == Some(&Value::Bool(true))) {
        let contact = &line["alert"]["context"]["haetae"]["contact"];
        for ioc in line["alert"]["context"]["ioc"].as_array().into_iter().flatten() {
            let ends = [&line["src_ip"], &line["src_port"], &line["dest_ip"], &line["dest_port"], &line["proto"]];
            let story = format!("{} {} {} {ends:?} {}", ioc["type"], ioc["value"], ioc["seen_in"], contact["stage"]);
            *stories.entry(story).or_default() += 1;
        }
    }
    stories
}

#[test]
fn a_link_tells_what_a_replay_of_its_packets_tells() {
    if !possible("a_link_tells_what_a_replay_of_its_packets_tells") {
        return;
    }
    tells_as_replayed(
        Link::new,
        |link, folder, workers| Service::start(link, folder, &["--workers", workers]),
        |service, sent| {
            let (kernel, account, status, _) = service.end();
            assert!(status.success(), "{account}");
            let counts = ["offered", "received", "kernel_drops", "left_in_ring"].map(|count| number(&kernel, count));
            assert_eq!(counts, [sent, sent, 0, 0], "{kernel}");
            account
        },
    );
}

/// Sends each case over a link of its own, and holds what the service says of it against a replay of the same packets. `end`
/// is told how many were sent, and gives the account.
fn tells_as_replayed(
    link: impl Fn() -> Link,
    start: impl Fn(&Link, &Path, &str) -> Service,
    end: impl Fn(Service, u64) -> Value,
) {
    for (at, name) in CASES.iter().enumerate() {
        let workers = ["1", "2", "4"][at % 3];
        let (case, rules) = (case(name), std::fs::read_to_string(case(name).join("indicators.yaml")).expect("rules"));
        let replay = Replay {
            folder: &case,
            captures: vec!["traffic.pcap".into()],
            rules: Some("indicators.yaml".into()),
            options: Vec::new(),
        };
        let wanted = stories(&binary::lines(&replay.run(1, 64).expect(name).alerts).expect(name));
        let (link, folder) = (link(), site(&rules, ""));
        let service = start(&link, folder.path(), workers);
        let sent = link.send(&case.join("traffic.pcap"), 1, Some(2_000));
        let account = end(service, sent);
        assert_eq!((number(&account, "packets"), &account["unaccounted"]), (sent, &0.into()), "{name}: {account}");
        let found = stories(&binary::lines(&std::fs::read(folder.path().join("eve.json")).expect(name)).expect(name));
        assert_eq!(found, wanted, "{name} with {workers} workers");
        assert!(!wanted.is_empty(), "{name} has a story");
    }
}

/// Names asked for below a listed one, each in a flow of its own.
fn questions(count: u32) -> Vec<Frame> {
    let question = |number: u32| {
        let message = [&b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03bad\x07example\0\0\x01\0\x01"[..]].concat();
        let [_, high, middle, low] = number.to_be_bytes();
        let ends = Ends { from: ([10, high, middle, low].into(), 40_000), to: ([10, 77, 255, 53].into(), 53) };
        let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, &message)), Wrap::Plain);
        Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes }
    };
    (0..count).map(question).collect()
}

const BAD_EXAMPLE: &str = "format: haetae/1\nindicators:\n  - { domain: bad.example, severity: high }\n";

#[test]
fn the_word_to_end_under_load_loses_nothing_that_was_raised() {
    if !possible("the_word_to_end_under_load_loses_nothing_that_was_raised") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&questions(20_000))).expect("a capture");
    let words = ["--workers", "2", "--set", "outputs.eve.events=[alert, stats]"];
    let service = Service::start(&link, folder.path(), &words);
    let mut sender = link.sending(&capture, 1_000, None);
    std::thread::sleep(Duration::from_secs(2));
    let (kernel, account, status, took) = service.end();
    sender.kill().and_then(|()| sender.wait()).expect("the sender");
    assert!(status.success() && took < END_WITHIN, "{status} after {took:?}");
    let count = |name| number(&kernel, name);
    assert_eq!(count("offered"), count("received") + count("kernel_drops") + count("left_in_ring"), "{kernel}");
    assert_eq!((number(&account, "packets"), &account["unaccounted"]), (count("received"), &0.into()));
    let lines = binary::lines(&std::fs::read(folder.path().join("eve.json")).expect("a log")).expect("whole lines");
    let of_revision = |wanted: u64| {
        let revisions = lines.iter().filter_map(|line| line.pointer("/alert/context/haetae/revision")?.as_u64());
        revisions.filter(|revision| *revision == wanted).count() as u64
    };
    let raised = number(&account, "alerts");
    assert!(raised >= 1_000, "there was load: {account}");
    assert_eq!(of_revision(1) + number(&account, "alerts_shed"), raised, "{account}");
    last_stats_are_the_account(&lines, &kernel, &account);
}

/// The log ends with what the account says, to the last frame.
fn last_stats_are_the_account(lines: &[Value], kernel: &Value, account: &Value) {
    let last = lines.last().filter(|line| line["event_type"] == "stats").expect("a last record of stats");
    for (path, of, name) in [
        ("/stats/capture/kernel_packets", kernel, "offered"),
        ("/stats/capture/kernel_drops", kernel, "kernel_drops"),
        ("/stats/decoder/pkts", account, "packets"),
        ("/stats/decoder/bytes", account, "bytes"),
        ("/stats/decoder/invalid", account, "malformed"),
        ("/stats/flow/total", account, "flows"),
        ("/stats/detect/alert", account, "alerts"),
    ] {
        assert_eq!(last.pointer(path), Some(&number(of, name).into()), "{path}: {last} {account}");
    }
    let seconds = account["seconds"].as_f64().expect("how long it ran");
    assert_eq!(last.pointer("/stats/uptime"), Some(&(seconds as u64).into()), "{last} {account}");
}

#[test]
fn a_reload_is_all_or_nothing() {
    if !possible("a_reload_is_all_or_nothing") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let path = |name: &str| folder.path().join(name);
    let sound = std::fs::read_to_string(path("haetae.yaml")).expect("there");
    let capture = path("question.pcap");
    std::fs::write(&capture, wire::pcap(&questions(1))).expect("a capture");
    let mut service = Service::start(&link, folder.path(), &["--workers", "2"]);
    let alerts = || {
        let lines = binary::lines(&std::fs::read(path("eve.json")).expect("a log")).expect("whole lines");
        lines.iter().filter(|line| line["event_type"] == "alert").count()
    };
    let waits_for = |count: usize| {
        let until = Instant::now() + PATIENCE;
        while alerts() < count {
            assert!(Instant::now() < until, "{} alerts, {count} were expected", alerts());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    link.send(&capture, 1, None);
    waits_for(1);
    for (broken, why) in [
        ("limits: { flows: 7 }\n", "limits.flows"),
        ("limits: { flows_max: 512 }\n", "needs a restart"),
        ("rules: { local: [gone.yaml] }\n", "gone.yaml"),
    ] {
        let kept = if broken.starts_with("rules") { sound.replace("rules: {", "#") } else { sound.clone() };
        std::fs::write(path("haetae.yaml"), kept + broken).expect("a configuration");
        service.signal("HUP");
        let said = service.hear("not reloaded");
        assert!(said["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{said}");
    }
    std::fs::write(path("haetae.yaml"), &sound).expect("a configuration");
    // a copy that is half done: what of it can be read is fewer indicators, and nobody would be told
    let more = "format: haetae/1\nindicators:\n  - { ip: 10.0.0.1 }\n";
    std::fs::write(path("rules.yaml"), &more[..more.len() - 4]).expect("rules");
    std::fs::write(path("more.yaml"), more).expect("rules");
    std::fs::write(path("haetae.yaml"), sound.replace("[rules.yaml]", "[more.yaml, rules.yaml]")).expect("a file");
    service.signal("HUP");
    let said = service.hear("not reloaded");
    assert!(said["reason"].as_str().is_some_and(|reason| reason.contains("rules.yaml:3: YAML: ")), "{said}");
    std::fs::write(path("haetae.yaml"), &sound).expect("a configuration");
    std::fs::write(path("rules.yaml"), more).expect("rules");
    service.signal("HUP");
    assert_eq!(service.hear("reloaded")["indicators"], 1);
    std::fs::write(&capture, wire::pcap(&questions(2)[1..])).expect("a capture");
    link.send(&capture, 1, None);
    waits_for(2);
    let (_, account, status, _) = service.end();
    assert!(status.success() && number(&account, "alerts") == 2, "{account}");
    let lines = binary::lines(&std::fs::read(path("eve.json")).expect("a log")).expect("whole lines");
    let version = |line: &Value| line.pointer("/alert/context/haetae/set/version").cloned();
    let kinds: Vec<_> = lines.iter().map(|line| line.pointer("/alert/context/ioc/0/type").cloned()).collect();
    assert!(kinds.contains(&Some("domain".into())) && kinds.contains(&Some("ip".into())), "{kinds:?}");
    assert_ne!(version(&lines[0]), version(&lines[1]), "each alert says which set it is of");
}

#[test]
fn a_folder_that_is_written_to_is_read_once_even_over_a_restart() {
    if !possible("a_folder_that_is_written_to_is_read_once_even_over_a_restart") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let path = |name: &str| folder.path().join(name);
    let rotated = path("rotated");
    std::fs::create_dir(&rotated).expect("a folder");
    let text = std::fs::read_to_string(path("haetae.yaml")).expect("there");
    std::fs::write(path("haetae.yaml"), text.replace("interface: b0, backend: libpcap", "directory: rotated"))
        .expect("a configuration");
    let frames = questions(40);
    for round in 0..2 {
        let service = Service::start(&link, folder.path(), &["--workers", "2"]);
        for part in 0..2 {
            let at = (round * 2 + part) * 10;
            let capture = wire::pcap(&frames[at..at + 10]);
            // as a writer does it: the end of a record comes later
            let name = rotated.join(format!("ring.{round}{part}.pcap"));
            std::fs::write(&name, &capture[..capture.len() - 7]).expect("half a record");
            std::thread::sleep(Duration::from_millis(400));
            std::fs::write(&name, &capture).expect("the rest");
            std::thread::sleep(Duration::from_millis(400));
        }
        std::thread::sleep(Duration::from_secs(1));
        let (kernel, account, status, _) = service.end();
        assert!(status.success(), "{account}");
        let counts = [number(&kernel, "received"), number(&account, "packets"), number(&account, "alerts")];
        assert_eq!(counts, [20, 20, 20], "round {round}: {kernel} {account}");
    }
}

#[test]
fn a_log_that_was_rotated_is_opened_again() {
    if !possible("a_log_that_was_rotated_is_opened_again") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let path = |name: &str| folder.path().join(name);
    let capture = path("question.pcap");
    std::fs::write(&capture, wire::pcap(&questions(1))).expect("a capture");
    let mut service = Service::start(&link, folder.path(), &[]);
    std::fs::rename(path("eve.json"), path("eve.json.1")).expect("rotated");
    service.signal("USR1");
    service.hear("opened again");
    link.send(&capture, 1, None);
    let (_, account, _, _) = service.end();
    assert_eq!(number(&account, "alerts"), 1);
    assert_eq!(std::fs::read(path("eve.json.1")).expect("there"), b"");
    let lines = binary::lines(&std::fs::read(path("eve.json")).expect("a new log")).expect("whole lines");
    assert_eq!(lines.len(), 2, "a first and a last revision");
}

#[test]
fn a_link_that_goes_and_comes_back_is_read_again() {
    if !possible("a_link_that_goes_and_comes_back_is_read_again") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let capture = folder.path().join("question.pcap");
    let mut service = Service::start(&link, folder.path(), &["--workers", "2"]);
    for round in 0..3 {
        std::fs::write(&capture, wire::pcap(&questions(round + 1)[round as usize..])).expect("a capture");
        link.send(&capture, 1, None);
        std::thread::sleep(Duration::from_millis(300));
        link.unplug();
        service.hear("cannot be read");
        link.plug();
        service.hear("read again");
    }
    let (kernel, account, status, _) = service.end();
    assert!(status.success(), "{account}");
    assert_eq!((number(&kernel, "reopened"), number(&account, "alerts")), (3, 3), "{kernel} {account}");
}

#[test]
fn what_is_missing_is_said_at_once() {
    if !possible("what_is_missing_is_said_at_once") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let path = |name: &str| folder.path().join(name);
    let program = env!("CARGO_BIN_EXE_haetae");
    let unable = ["setpriv", "--bounding-set=-net_raw,-net_admin", "--inh-caps=-net_raw,-net_admin", program];
    let poor = ["prlimit", "--nofile=8", program];
    let tries: [(&[&str], &str, &str, i32); 7] = [
        (&unable, "", "CAP_NET_RAW", 77),
        (&[program], "capture=[{interface: b7}]", "no such interface", 74),
        (&[program], "capture=[{interface: b7}, {interface: b8}]", "no such interface", 74),
        // what does not pass by itself is not waited for
        (&[program], "capture=[{interface: b0}, {interface: lo, backend: af_xdp}]", "has the address 127.0.0.1", 78),
        (&[program], "capture=[{interface: b0, filter: \"not a filter\"}]", "filter", 78),
        (&[program], "outputs.eve.path=/proc/none/eve.json", "/proc/none/eve.json", 74),
        (&poor, "", "open files", 74),
    ];
    for (words, set, said, code) in tries {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["run", "--workers", "4", "-c"]).arg(path("haetae.yaml"));
        if !set.is_empty() {
            command.args(["--set", set]);
        }
        let began = Instant::now();
        let output = link.at_sensor(&command).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(began.elapsed() < Duration::from_secs(3), "{words:?} took {:?}", began.elapsed());
        assert_eq!(output.status.code(), Some(code), "{words:?} {set}: {stderr}");
        assert!(stderr.contains(said), "{words:?} {set}: {stderr}");
    }
}

/// What `promtool query` prints of one instant vector: the values.
fn asked(link: &Link, expression: &str) -> Vec<f64> {
    let mut command = Command::new("promtool");
    command.args(["query", "instant", "http://127.0.0.1:9090", expression]);
    let output = link.at_sensor(&command).output().expect("promtool");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = |line: &str| line.rsplit("=> ").next()?.split(" @").next()?.trim().parse().ok();
    text.lines().filter_map(value).collect()
}

#[test]
fn a_real_prometheus_reads_the_running_service() {
    let there = Command::new("prometheus").arg("--version").output().is_ok_and(|output| output.status.success());
    if !possible("a_real_prometheus_reads_the_running_service") || !there {
        assert!(there || std::env::var_os("CI").is_none(), "needs prometheus, and CI has it");
        eprintln!("\n*** a_real_prometheus_reads_the_running_service: NOT TESTED: no prometheus ***\n");
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, "metrics: { listen: \"127.0.0.1:9920\" }\n"));
    let path = |name: &str| folder.path().join(name);
    let scrape = "global: { scrape_interval: 200ms, scrape_timeout: 200ms }\n\
        scrape_configs: [{ job_name: haetae, static_configs: [{ targets: [\"127.0.0.1:9920\"] }] }]\n";
    std::fs::write(path("prometheus.yml"), scrape).expect("a file");
    std::fs::write(path("load.pcap"), wire::pcap(&questions(500))).expect("a capture");
    let mut service = Service::start(&link, folder.path(), &["--workers", "2"]);
    service.hear("metrics are served");
    let mut command = Command::new("prometheus");
    command.arg("--config.file").arg(path("prometheus.yml")).arg("--storage.tsdb.path").arg(path("data"));
    command.args(["--web.listen-address", "127.0.0.1:9090", "--log.level", "error"]);
    let mut prometheus = link.at_sensor(&command).spawn().expect("prometheus");
    let sent = link.send(&path("load.pcap"), 1, Some(5_000)) as f64;
    let until = Instant::now() + PATIENCE;
    while asked(&link, "sum(haetae_link_received_frames_total)") != [sent] {
        assert!(Instant::now() < until, "{:?}", asked(&link, "{__name__=~\"haetae_.*\"}"));
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_secs(1)); // one more scrape of everything
    assert_eq!(asked(&link, "sum(haetae_frames_total{fate=\"processed\"})"), [sent]);
    assert_eq!(asked(&link, "sum(haetae_accounting_error)"), [0.0]);
    assert_eq!(asked(&link, "sum(haetae_alerts_total)"), [sent]);
    assert_eq!(asked(&link, "haetae_link_up"), [1.0]);
    assert_eq!(asked(&link, "haetae_ready"), [1.0]);
    link.unplug();
    service.hear("cannot be read");
    let until = Instant::now() + PATIENCE;
    while asked(&link, "haetae_ready") != [0.0] {
        assert!(Instant::now() < until, "a link that is gone is a reason not to be ready");
        std::thread::sleep(Duration::from_millis(200));
    }
    prometheus.kill().and_then(|()| prometheus.wait()).expect("it ends");
    let (_, account, status, _) = service.end();
    assert!(status.success(), "{account}");
}
