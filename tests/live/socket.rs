//! The running service and those who ask it over its control socket: each command, who may ask, what nobody is told, reloads good
//! and bad, a sensor that was killed, and a crowd that means no good.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::Output;

use super::*;

/// Somebody who is in no group of ours.
const STRANGER: &str = "65534";

/// A group that no machine has by that number but ours may use: numbers of groups need no name.
const GROUP: &str = "64123";

const RULES: &str = "format: haetae/1\nindicators:\n  - { domain: bad.example, tlp: green, severity: high, id: open-1, source: S2W }\n\
    \x20 - { domain: quiet.example, tlp: red, id: hidden-1, source: Hidden }\n";

/// What of the rules nobody may be told.
const RED: [&str; 3] = ["quiet", "hidden-1", "Hidden"];

struct Asked {
    code: i32,
    out: String,
    said: String,
}

impl Asked {
    fn of(output: Output) -> Asked {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let (code, out, said) = (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr));
        assert!(RED.iter().all(|word| !out.contains(word) && !said.contains(word)), "{out}{said}");
        Asked { code, out, said }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {} {}", self.out, self.said))
    }
}

/// A folder that strangers can walk through, with a socket in a folder of the group's own.
fn site_with_socket() -> (TempDir, String) {
    let control = format!("control: {{ socket: run/control.sock, group: \"{GROUP}\" }}\n");
    let folder = site(RULES, &control);
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let socket = folder.path().join("run/control.sock").display().to_string();
    (folder, socket)
}

fn ask(words: &[&str], socket: &str) -> Asked {
    Asked::of(binary::haetae().args(words).args(["--socket", socket]).output().expect("it runs"))
}

/// The same, as somebody else. The binary is copied to where he can run it.
fn ask_as(group: &str, folder: &Path, words: &[&str], socket: &str) -> Asked {
    let binary = folder.join("haetae");
    if !binary.exists() {
        std::fs::copy(binary::haetae().get_program(), &binary).expect("a copy");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", STRANGER, "--regid", group, "--clear-groups"]).arg(binary).args(words);
    Asked::of(command.args(["--socket", socket]).env_remove("HAETAE_CONFIG").output().expect("setpriv runs"))
}

#[test]
fn the_running_sensor_answers_every_question_and_keeps_what_is_red() {
    if !possible("the_running_sensor_answers_every_question_and_keeps_what_is_red") {
        return;
    }
    let (link, (folder, socket)) = (Link::new(), site_with_socket());
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&questions(50))).expect("a capture");
    let service = Service::start(&link, folder.path(), &["--workers", "2"]);
    let before = ask(&["status", "--json"], &socket).json();
    assert_eq!((&before["ready"], &before["links"][0]["last_frame_seconds"]), (&true.into(), &Value::Null), "{before}");
    let sent = link.send(&capture, 1, None);
    let until = Instant::now() + PATIENCE;
    let counters = loop {
        let counters = ask(&["counters", "--json"], &socket).json();
        if counters["packets"] == sent {
            break counters;
        }
        assert!(Instant::now() < until, "{counters}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!((&counters["fates"]["processed"], &counters["accounting"]["balanced"]), (&sent.into(), &true.into()));
    assert_eq!((&counters["links"][0]["received"], &counters["alerts"]), (&sent.into(), &sent.into()), "{counters}");
    let lines = ask(&["counters"], &socket).out;
    assert!(lines.lines().any(|line| line == format!("fates.processed {sent}")), "{lines}");

    let status = ask(&["status", "--json"], &socket).json();
    assert!(status["links"][0]["last_frame_seconds"].as_f64().is_some_and(|ago| ago < 30.0), "{status}");
    assert_eq!((&status["set"]["entries"], &status["links"][0]["backend"]), (&2.into(), &"libpcap".into()), "{status}");
    says_what_the_sandbox_holds(&status);
    let text = ask(&["status"], &socket);
    assert!(
        text.code == 0 && text.out.contains(": ready, up ") && text.out.contains("b0: libpcap, open"),
        "{}",
        text.out
    );

    let known = ask(&["lookup", "bad.example"], &socket);
    assert!(known.out.contains("TLP:GREEN") && known.out.contains("open-1"), "{}", known.out);
    looks_up_what_is_red(&socket);

    link.unplug();
    let until = Instant::now() + PATIENCE;
    while ask(&["status"], &socket).code != 1 {
        assert!(Instant::now() < until, "a link that is gone is a reason not to be ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (_, account, status, _) = service.end();
    assert!(status.success() && !Path::new(&socket).exists(), "{account}");
    let nobody = ask(&["status"], &socket);
    assert!(nobody.code == 69 && nobody.said.contains("systemctl status haetae"), "{} {}", nobody.code, nobody.said);
}

/// As if it were not there.
fn looks_up_what_is_red(socket: &str) {
    let [red, absent] = ["QUIET.example", "good.example"].map(|value| ask(&["lookup", value], socket));
    let told = |asked: &Asked| (asked.code, asked.out.split_once(':').map(|(_, told)| told.to_owned()));
    assert_eq!(told(&red), (0, Some(" not listed (2 indicators searched)\n".to_owned())));
    assert_eq!(told(&red), told(&absent));
    let red = ask(&["lookup", "quiet.example", "--json"], socket).json();
    assert_eq!(red, ask(&["lookup", "good.example", "--json"], socket).json());
    assert_eq!(ask(&["status", "--json"], socket).json()["set"]["tlp_red"], 1);
}

fn says_what_the_sandbox_holds(status: &Value) {
    let roles = status["sandbox"]["roles"].as_array().expect("roles");
    let of = |name: &str| roles.iter().find(|role| role["role"] == name).unwrap_or_else(|| panic!("{name}: {status}"));
    for name in ["control", "collector", "worker", "answers", "watchdog", "broker"] {
        assert_eq!((&of(name)["holds"], &of(name)["why"]), (&"full".into(), &serde_json::json!([])), "{status}");
    }
    assert_eq!((&of("worker")["threads"], &status["broker"]), (&2.into(), &true.into()), "{status}");
    // where memory may be locked without bound it keeps nothing
    let keeps = of("caller")["why"].as_array().expect("reasons");
    assert!(keeps.iter().all(|why| why.as_str().is_some_and(|why| why.contains("keeps CAP_IPC_LOCK"))), "{status}");
    assert_eq!(of("caller")["holds"], if keeps.is_empty() { "full" } else { "partly" }, "{status}");
}

#[test]
fn only_the_group_may_ask() {
    if !possible("only_the_group_may_ask") {
        return;
    }
    let (link, (folder, socket)) = (Link::new(), site_with_socket());
    let service = Service::start(&link, folder.path(), &["--workers", "1"]);
    let (file, above) = (std::fs::metadata(&socket).expect("there"), folder.path().join("run"));
    assert_eq!((file.mode() & 0o7777, file.gid().to_string()), (0o660, GROUP.to_owned()));
    assert_eq!(std::fs::metadata(&above).expect("there").mode() & 0o7777, 0o750);
    let refused = ask_as(STRANGER, folder.path(), &["status"], &socket);
    assert!(refused.code == 77 && refused.said.contains("control.group"), "{} {}", refused.code, refused.said);
    // the folder alone must not be what keeps strangers out
    std::fs::set_permissions(&above, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    for words in [&["status"][..], &["counters"], &["reload"], &["lookup", "bad.example"]] {
        assert_eq!(ask_as(STRANGER, folder.path(), words, &socket).code, 77, "{words:?}");
    }
    let member = ask_as(GROUP, folder.path(), &["status"], &socket);
    assert_eq!((member.code, member.out.contains("ready")), (0, true), "{}", member.said);
    assert!(service.end().2.success());
}

#[test]
fn a_reload_says_what_came_of_it() {
    if !possible("a_reload_says_what_came_of_it") {
        return;
    }
    let (link, (folder, socket)) = (Link::new(), site_with_socket());
    let path = |name: &str| folder.path().join(name);
    let service = Service::start(&link, folder.path(), &["--workers", "2"]);
    let sound = std::fs::read_to_string(path("haetae.yaml")).expect("there");
    let set = || ask(&["status", "--json"], &socket).json()["set"].take();
    let before = set();
    for (broken, why) in
        [("limits: { flows: 7 }\n", "limits.flows"), ("limits: { flows_max: 512 }\n", "needs a restart")]
    {
        std::fs::write(path("haetae.yaml"), sound.clone() + broken).expect("a configuration");
        let told = ask(&["reload"], &socket);
        assert!(told.code == 1 && told.out.contains(why), "{} {}", told.code, told.out);
        assert_eq!(set()["version"], before["version"]);
    }
    std::fs::write(path("haetae.yaml"), &sound).expect("a configuration");
    // the fault quotes what its source holds as red: `ask` sees to it that nobody is told
    std::fs::write(path("rules.yaml"), RULES.to_owned() + "  - { domain: \"quiet.example }\n").expect("rules");
    let told = ask(&["reload"], &socket);
    assert!(told.code == 1 && told.out.contains("rules.yaml"), "{} {}", told.code, told.out);
    std::fs::write(path("rules.yaml"), RULES.to_owned() + "  - { domain: more.example }\n  - { quiet.example: x }\n")
        .expect("rules");
    let told = ask(&["reload"], &socket);
    assert_eq!(
        (told.code, told.out.starts_with("reloaded: 3 indicators, 1 refused; set version ")),
        (0, true),
        "{}",
        told.out
    );
    let after = set();
    assert_ne!(after["version"], before["version"]);
    assert_eq!((&after["entries"], &after["reloads"], &after["reloads_refused"]), (&3.into(), &1.into(), &3.into()));
    assert!(ask(&["lookup", "more.example"], &socket).out.contains("raises an alert"));
    assert!(service.end().2.success());
}

#[test]
fn a_killed_sensor_leaves_nothing_in_the_way_and_a_live_one_keeps_its_socket() {
    if !possible("a_killed_sensor_leaves_nothing_in_the_way_and_a_live_one_keeps_its_socket") {
        return;
    }
    let (link, (folder, socket)) = (Link::new(), site_with_socket());
    let mut first = Service::start(&link, folder.path(), &["--workers", "1"]);
    let mut second = binary::haetae();
    second.args(["run", "-c", "haetae.yaml", "--workers", "1"]).current_dir(folder.path());
    let refused = Asked::of(link.at_sensor(&second).output().expect("it ends at once"));
    assert!(refused.code == 74 && refused.said.contains("another running program listens there"), "{}", refused.said);
    assert_eq!(ask(&["status"], &socket).code, 0, "the first one still answers");
    first.child.kill().and_then(|()| first.child.wait()).expect("killed");
    let ended = ask(&["status"], &socket);
    assert!(ended.code == 69 && ended.said.contains("has ended"), "{} {}", ended.code, ended.said);
    let again = Service::start(&link, folder.path(), &["--workers", "1"]);
    assert_eq!(ask(&["status"], &socket).code, 0);
    assert!(again.end().2.success());
}

#[test]
fn a_socket_that_is_taken_away_comes_back_in_the_sandbox_too() {
    if !possible("a_socket_that_is_taken_away_comes_back_in_the_sandbox_too") {
        return;
    }
    let link = Link::new();
    // its own group, which needs no right to be given to
    let folder = site(RULES, "control: { socket: run/control.sock, group: \"0\" }\nsandbox: required\n");
    let socket = folder.path().join("run/control.sock");
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all,+net_raw,+setpcap", env!("CARGO_BIN_EXE_haetae")]);
    let mut service = Service::start_by(&link, folder.path(), command, &["--workers", "1"]);
    assert_eq!(service.hear("sandboxed")["findings"], 0);
    for _ in 0..2 {
        std::fs::remove_file(&socket).expect("it is there");
        service.hear("it is made again");
        assert_eq!(ask(&["status"], &socket.display().to_string()).code, 0);
        let file = std::fs::metadata(&socket).expect("there");
        assert_eq!((file.mode() & 0o7777, file.gid()), (0o660, 0));
    }
    std::fs::remove_dir_all(folder.path().join("run")).expect("it is there");
    service.hear("the control socket is not at its place");
    assert!(service.end().2.success());
}

#[test]
fn a_thousand_who_mean_no_good_harm_nobody() {
    if !possible("a_thousand_who_mean_no_good_harm_nobody") {
        return;
    }
    let (link, (folder, socket)) = (Link::new(), site_with_socket());
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&questions(500))).expect("a capture");
    let service = Service::start(&link, folder.path(), &["--workers", "2"]);
    let descriptors = || {
        let listed = std::fs::read_dir(format!("/proc/{}/fd", service.child.id())).expect("it runs");
        listed.count()
    };
    let (before, began) = (descriptors(), Instant::now());
    let mut sending = link.sending(&capture, 4, Some(2_000));
    let (mut held, mut answered) = (Vec::new(), 0);
    for at in 0..1_000_u32 {
        let mut stream = UnixStream::connect(&socket).expect("somebody listens");
        stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a bound");
        let noise: Vec<u8> = (0..2_000_u32).map(|byte| (byte.wrapping_mul(at | 1) >> 3) as u8 & 0xf7).collect();
        let bytes: &[u8] = match at % 5 {
            0 => b"",
            1 => b"{\"ask\":\"counters\"}\n",
            2 => &noise,
            3 => &[b'['; 9_000],
            _ => b"\n\n\n\n\n\n\n\n",
        };
        let _refused_already = stream.write_all(bytes);
        if at % 50 == 1 {
            let asked = Instant::now();
            assert_eq!(ask(&["status"], &socket).code, 0, "at {at}");
            assert!(asked.elapsed() < Duration::from_secs(10), "{:?} at {at}", asked.elapsed());
            answered += 1;
        }
        if at % 3 == 0 {
            held.push(stream);
        }
    }
    eprintln!("1 000 connections in {:?}, {answered} honest answers meanwhile", began.elapsed());
    let most =
        held.iter_mut().filter_map(|stream| stream.set_nonblocking(true).and_then(|()| stream.read(&mut [0; 1])).ok());
    let _whatever_came = most.count();
    drop(held);
    let counters = ask(&["counters", "--json"], &socket).json();
    let control = &counters["control"];
    assert!(number(control, "refused") >= 200 && number(control, "displaced") > 0, "{control}");
    assert!(sending.wait().expect("it ends").success());
    std::thread::sleep(Duration::from_secs(1));
    let after = descriptors();
    assert!(after <= before + 20, "{before} descriptors, then {after}");
    let (kernel, account, status, _) = service.end();
    assert!(status.success(), "{account}");
    assert_eq!((number(&kernel, "offered"), number(&kernel, "kernel_drops")), (2_000, 0), "{kernel}");
    assert_eq!((number(&account, "packets"), &account["unaccounted"]), (2_000, &0.into()));
}
