//! The service in its sandbox: what each thread is left with, and that everything goes on with it. All other tests of the
//! service run in it too.

use std::collections::BTreeSet;

use super::*;
use crate::delivery::centre::{Running, Setting};

/// What the kernel says of each thread of a process: its name, and its fields.
fn threads(process: u32) -> Vec<(String, BTreeMap<String, String>)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let read = |task: &Path| -> Option<(String, BTreeMap<String, String>)> {
        let status = std::fs::read_to_string(task.join("status")).ok()?;
        let fields = status.lines().filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Some((std::fs::read_to_string(task.join("comm")).ok()?.trim().to_owned(), fields))
    };
    tasks.filter_map(|task| read(&task.expect("listed").path())).collect()
}

/// No thread has a right left, or can get one.
fn has_no_rights(service: &Service) -> BTreeSet<String> {
    let threads = threads(service.child.id());
    for (name, fields) in &threads {
        for field in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(fields[field].trim_start_matches('0'), "", "{name}: {field}");
        }
        assert_eq!((&*fields["NoNewPrivs"], &*fields["Seccomp"]), ("1", "2"), "{name}");
    }
    threads.into_iter().map(|(name, _)| name).collect()
}

/// A link that needs no right to be opened again.
const ALONE: [&str; 4] = ["--workers", "1", "--set", "capture=[{interface: b0, backend: libpcap}]"];

/// A link that workers share.
const SHARED: [&str; 6] =
    ["--workers", "2", "--set", "capture=[{interface: b0, backend: libpcap}]", "--set", "sandbox=required"];

const REQUIRED: &str = "sandbox: required\nmetrics: { listen: \"127.0.0.1:9920\" }\n";

#[test]
fn every_thread_keeps_what_its_role_needs_and_alerts_still_arrive() {
    if !possible("every_thread_keeps_what_its_role_needs_and_alerts_still_arrive") {
        return;
    }
    let link = Link::new();
    let (centre, home) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            link.enter();
            let running = Running::start(centre.path(), &Setting::default());
            let more = format!(
                "{REQUIRED}networks: {{ home: [10.0.0.0/8] }}\ncentre: {{ url: \"{}\", token: {}, authority: {}, spool: {} }}\n",
                running.url(),
                running.token().display(),
                running.authority().display(),
                home.path().join("spool").display(),
            );
            let folder = site(BAD_EXAMPLE, &more);
            let capture = folder.path().join("questions.pcap");
            std::fs::write(&capture, wire::pcap(&questions(20))).expect("a capture");
            let environment = [("WATCHDOG_USEC", "60000000")];
            let mut service = Service::start_among(&link, folder.path(), &ALONE, &environment);
            assert_eq!(service.hear("sandboxed")["findings"], 0);
            let names = has_no_rights(&service);
            let wanted = ["collector", "haetae", "keeper", "metrics", "tender", "uplink", "watchdog", "worker"];
            let wanted = wanted.map(str::to_owned);
            assert_eq!(names, BTreeSet::from(wanted));
            link.send(&capture, 1, None);
            let until = Instant::now() + PATIENCE;
            while running.book().identities.len() < 20 {
                assert!(Instant::now() < until, "{} have arrived: {:?}", running.book().identities.len(), service.heard);
                std::thread::sleep(Duration::from_millis(50));
            }
            let page = crate::metrics::page(([127, 0, 0, 1], 9920).into(), "/metrics");
            for layer in ["capabilities", "landlock", "seccomp"] {
                let line = format!("haetae_sandbox_enforced{{layer=\"{layer}\"}} 1");
                assert!(page.lines().any(|one| one == line), "{page}");
            }
            let (_, account, status, _) = service.end();
            assert!(status.success() && number(&account, "alerts") == 20, "{account}");
        });
    });
}

#[test]
fn a_link_that_comes_back_is_read_again_without_any_right() {
    if !possible("a_link_that_comes_back_is_read_again_without_any_right") {
        return;
    }
    // one socket is bound again; several that share are made anew, by the broker
    for words in [&ALONE[..], &SHARED] {
        comes_back(words);
    }
}

fn comes_back(words: &[&str]) {
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let capture = folder.path().join("question.pcap");
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all,+net_raw,+setpcap", env!("CARGO_BIN_EXE_haetae")]);
    let mut service = Service::start_by(&link, folder.path(), command, words);
    assert_eq!(service.hear("sandboxed")["findings"], 0);
    has_no_rights(&service);
    for round in 0..3 {
        std::fs::write(&capture, wire::pcap(&questions(round + 1)[round as usize..])).expect("a capture");
        link.unplug();
        service.hear("cannot be read");
        link.plug();
        service.hear("read again");
        link.send(&capture, 1, None);
        // frames for others are taken as before
        let flags = link.ip_at_sensor(&["-d", "link", "show", "b0"]);
        assert!(flags.contains("promiscuity") && !flags.contains("promiscuity 0"), "{flags}");
    }
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", service.child.id())).expect("it runs").count();
    let (kernel, account, status, _) = service.end();
    assert!(status.success() && descriptors < 20, "{account}, {descriptors} descriptors");
    assert_eq!((number(&kernel, "reopened"), number(&account, "alerts")), (3, 3), "{kernel} {account}");
}

#[test]
fn a_reload_that_names_a_place_out_of_reach_is_refused_and_says_so() {
    if !possible("a_reload_that_names_a_place_out_of_reach_is_refused_and_says_so") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, "sandbox: required\n"));
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::fs::write(elsewhere.path().join("more.yaml"), BAD_EXAMPLE).expect("rules");
    let path = folder.path().join("haetae.yaml");
    let sound = std::fs::read_to_string(&path).expect("there");
    let mut service = Service::start(&link, folder.path(), &ALONE);
    service.hear("sandboxed");
    let more = format!("[rules.yaml, {}]", elsewhere.path().join("more.yaml").display());
    std::fs::write(&path, sound.replace("[rules.yaml]", &more)).expect("a configuration");
    service.signal("HUP");
    let said = service.hear("not reloaded");
    assert!(said["reason"].as_str().is_some_and(|reason| reason.contains("needs a restart")), "{said}");
    // as editors do it: another file of the same name, and one more beside it
    std::fs::write(folder.path().join("more.yaml"), BAD_EXAMPLE).expect("rules");
    std::fs::write(folder.path().join("new"), sound.replace("[rules.yaml]", "[rules.yaml, more.yaml]"))
        .expect("a file");
    std::fs::rename(folder.path().join("new"), &path).expect("the same folder");
    service.signal("HUP");
    service.hear("reloaded");
    assert!(service.end().2.success());
}

/// The broker of a service.
pub(super) fn broker(service: &Service) -> u32 {
    let process = service.child.id();
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).expect("it runs");
    children.trim().parse().expect("one child")
}

/// CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF.
const OF_BROKER: &str = "0000008000003000";

/// By AF_XDP, with little memory: it counts against RLIMIT_MEMLOCK.
const BY_DRIVER: [&str; 4] = ["--workers", "2", "--set", "capture=[{interface: b0, backend: af_xdp, ring: 1MiB}]"];

#[test]
fn an_interface_that_is_made_again_comes_back_and_the_broker_alone_has_rights() {
    if !possible("an_interface_that_is_made_again_comes_back_and_the_broker_alone_has_rights") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, REQUIRED));
    let capture = folder.path().join("question.pcap");
    // what a unit gives; and what empties the set that bounds all others
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all,+net_raw,+net_admin,+bpf,+setpcap", env!("CARGO_BIN_EXE_haetae")]);
    let mut service = Service::start_by(&link, folder.path(), command, &BY_DRIVER);
    assert_eq!(service.hear("sandboxed")["findings"], 0);
    has_no_rights(&service);
    let broker = broker(&service);
    let [(name, fields)] = &threads(broker)[..] else { panic!("one thread") };
    assert_eq!((&**name, &*fields["CapPrm"], &*fields["CapEff"]), ("haetae-broker", OF_BROKER, OF_BROKER));
    assert_eq!((&*fields["CapBnd"], &*fields["NoNewPrivs"], &*fields["Seccomp"]), ("0000000000000000", "1", "2"));
    for round in 0..3 {
        std::fs::write(&capture, wire::pcap(&questions(round + 1)[round as usize..])).expect("a capture");
        link.unplug();
        service.hear("cannot be read");
        link.plug();
        service.hear("read again");
        link.send(&capture, 1, None);
        std::thread::sleep(Duration::from_millis(300));
    }
    let (kernel, account, status, _) = service.end();
    assert!(status.success(), "{account}");
    assert_eq!((number(&kernel, "reopened"), number(&account, "alerts")), (3, 3), "{kernel} {account}");
    gone(broker);
}

/// Waits until a process has ended.
fn gone(process: u32) {
    let until = Instant::now() + END_WITHIN;
    while Path::new(&format!("/proc/{process}/exe")).read_link().is_ok() {
        assert!(Instant::now() < until, "the broker outlives its sensor");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_broker_that_is_killed_is_missed_and_capture_goes_on() {
    if !possible("a_broker_that_is_killed_is_missed_and_capture_goes_on") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, "metrics: { listen: \"127.0.0.1:9920\" }\n"));
    let capture = folder.path().join("questions.pcap");
    std::fs::write(&capture, wire::pcap(&questions(20))).expect("a capture");
    let mut service = Service::start(&link, folder.path(), &BY_DRIVER);
    service.hear("sandboxed");
    let broker = broker(&service);
    let killed = Command::new("kill").args(["-9", &broker.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    service.hear("the broker is gone");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            link.enter();
            let page = crate::metrics::page(([127, 0, 0, 1], 9920).into(), "/metrics");
            assert!(page.contains("\nhaetae_broker_up 0\n") && page.contains("\nhaetae_ready 0\n"), "{page}");
        });
    });
    link.send(&capture, 1, Some(1_000));
    std::thread::sleep(Duration::from_millis(300));
    link.unplug();
    service.hear("cannot be read");
    let (kernel, account, status, took) = service.end();
    assert!(status.success() && took < END_WITHIN, "{account}");
    assert_eq!((number(&kernel, "received"), number(&account, "alerts")), (20, 20), "{kernel} {account}");
}

#[test]
fn a_sensor_that_is_killed_takes_its_broker_along_and_leaves_the_interface_clean() {
    if !possible("a_sensor_that_is_killed_takes_its_broker_along_and_leaves_the_interface_clean") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let mut service = Service::start(&link, folder.path(), &BY_DRIVER);
    service.hear("sandboxed");
    let broker = broker(&service);
    // signals that the whole of a service gets, or that somebody sends to all of its name, are not the broker's
    for signal in ["HUP", "TERM", "INT", "USR1"] {
        let sent = Command::new("kill").args([&format!("-{signal}"), &broker.to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }
    assert!(link.ip_at_sensor(&["link", "show", "b0"]).contains("xdp"));
    service.signal("KILL");
    service.child.wait().expect("it ends");
    gone(broker);
    let shown = link.ip_at_sensor(&["-d", "link", "show", "b0"]);
    assert!(!shown.contains("xdp") && shown.contains("promiscuity 0"), "{shown}");
}

/// A program that runs another on a kernel that knows no Landlock: its calls are answered so by a filter.
const WITHOUT_LANDLOCK: &str = r#"
import ctypes, os, struct, sys
CREATE, ALLOW, NO_SUCH_CALL = 444, 0x7fff0000, 0x00050000 | 38
code = [(0x20, 0, 0, 0), (0x15, 0, 1, CREATE), (0x06, 0, 0, NO_SUCH_CALL), (0x06, 0, 0, ALLOW)]
filled = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(filled)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn a_kernel_that_lacks_a_layer_is_told_of_or_not_run_on() {
    if !possible("a_kernel_that_lacks_a_layer_is_told_of_or_not_run_on") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, "logs: { format: json }\n"));
    let ran = |sandbox: &str| {
        let mut command = Command::new("timeout");
        command.args(["-s", "TERM", "2", "python3", "-c", WITHOUT_LANDLOCK, env!("CARGO_BIN_EXE_haetae")]);
        command.args(["run", "-c"]).arg(folder.path().join("haetae.yaml"));
        command.args(ALONE).args(["--set", &format!("sandbox={sandbox}")]);
        let output = link.at_sensor(&command).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = ran("best-effort");
    assert_eq!(code, Some(124), "it ran until it was told to end: {said}");
    assert!(said.contains("the kernel has no Landlock") && said.contains("\"landlock\":false"), "{said}");
    assert!(said.contains("\"findings\":0") && said.contains("\"message\":\"ended\""), "{said}");
    let (code, said) = ran("required");
    assert_eq!(code, Some(71), "{said}");
    assert!(said.contains("sandbox: required") && said.contains("no Landlock"), "{said}");
    let (_, said) = ran("off");
    assert!(said.contains("switched off"), "{said}");
}
