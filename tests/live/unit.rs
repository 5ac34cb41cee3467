//! The service with no more than its unit leaves to it: neither root nor any right that the unit does not name, and each call to
//! the system held against the unit's filter.

use std::collections::BTreeSet;
use std::os::unix::fs::chown;

use super::*;
use crate::deployed::{deployed, is_there};

/// Somebody who is nobody.
const NOBODY: u32 = 65_534;

/// What a unit and its drop-ins say of an option, word by word.
fn words(option: &str, files: &[&str]) -> Vec<String> {
    let texts = files.iter().map(|file| std::fs::read_to_string(deployed(file)).expect("a unit"));
    let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let values = lines.iter().filter_map(|line| line.strip_prefix(option)?.strip_prefix('='));
    values.flat_map(|value| value.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The calls of a set as systemd knows it, those of its sets included.
fn calls_of(set: &str, calls: &mut BTreeSet<String>) {
    let output = Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", set]).output().expect("it runs");
    assert!(output.status.success(), "{set}");
    let listed = String::from_utf8(output.stdout).expect("text");
    for word in listed.lines().skip(1).map(str::trim).filter(|word| !word.is_empty() && !word.starts_with('#')) {
        match word.starts_with('@') {
            true => calls_of(word, calls),
            false => drop(calls.insert(word.to_owned())),
        }
    }
}

/// What a unit's filter lets through: its lines in their order.
fn allowed(files: &[&str]) -> BTreeSet<String> {
    // what a service is started with is its manager's own
    let mut allowed = BTreeSet::from(["execve".to_owned()]);
    let lines = files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(deployed(file)).expect("a unit");
        text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=").map(str::to_owned)).collect::<Vec<_>>()
    });
    for line in lines {
        let (taken_away, sets) = line.strip_prefix('~').map_or((false, &line[..]), |sets| (true, sets));
        let mut calls = BTreeSet::new();
        for word in sets.split(' ') {
            match word.starts_with('@') {
                true => calls_of(word, &mut calls),
                false => drop(calls.insert(word.to_owned())),
            }
        }
        match taken_away {
            true => allowed.retain(|call| !calls.contains(call)),
            false => allowed.extend(calls),
        }
    }
    allowed
}

/// Starts the service as nobody with the unit's capabilities, each of its calls written down.
fn start(link: &Link, folder: &Path, files: &[&str]) -> Service {
    let binary = folder.join("haetae");
    std::fs::copy(binary::haetae().get_program(), &binary).expect("a copy");
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        chown(entry, Some(NOBODY), Some(NOBODY)).expect("root");
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).expect("root");
    let named = words("AmbientCapabilities", files);
    assert_eq!(named, words("CapabilityBoundingSet", files), "what is ambient is bounded by itself");
    let held: String =
        named.iter().map(|name| format!(",+{}", name.to_lowercase().trim_start_matches("cap_"))).collect();
    let nobody = NOBODY.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--no-new-privs"]);
    for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
        command.arg(format!("{set}=-all{held}"));
    }
    // `-D`: the tracer stands aside, and the service is who is started
    command.args(["strace", "-D", "-f", "-qq", "-o", "trace"]).arg(&binary);
    command.args(["run", "-c", "haetae.yaml", "--workers", "2"]).env("HAETAE_LOG", "json").current_dir(folder);
    Service::of(link, &command)
}

/// The names of all calls in a trace, which may still be written; without those that were refused: the sandbox tries them.
fn called(trace: &Path) -> BTreeSet<String> {
    let mut length = 0;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let text = std::fs::read_to_string(trace).expect("a trace");
        if text.len() > length {
            length = text.len();
            continue;
        }
        return made(&text);
    }
}

/// The calls of a trace that were made and not refused, each at its end: `1234 close(3) = 0`, `1234 <... poll resumed>) = 1`.
fn made(trace: &str) -> BTreeSet<String> {
    let refused = ["EPERM (", "EACCES (", "ENOSYS ("];
    let lines = trace.lines().filter(|line| !refused.iter().any(|why| line.contains(why)));
    let name = |line: &str| {
        let call = line.split_once(' ')?.1.trim_start();
        let resumed = call.strip_prefix("<... ").and_then(|call| call.split_once(' '));
        let name = resumed.or_else(|| call.split_once('('))?.0;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (is_name && !line.ends_with("<unfinished ...>")).then(|| name.to_owned())
    };
    lines.filter_map(name).collect()
}

fn lives_by_its_unit(test: &str, backend: &str, files: &[&str]) {
    if !possible(test) || !is_there(test, "systemd-analyze") || !is_there(test, "strace") {
        return;
    }
    let more = "metrics: { listen: \"127.0.0.1:9920\" }\ncontrol: { socket: run/control.sock }\n\
                networks: { home: [10.0.0.0/8] }\ncentre: { url: \"http://127.0.0.1:9/\", spool: spool }\n";
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, more));
    let path = |name: &str| folder.path().join(name);
    // a small ring: not every machine that runs tests lets root lift the limit of locked memory as the unit does
    let config = std::fs::read_to_string(path("haetae.yaml")).expect("there");
    std::fs::write(
        path("haetae.yaml"),
        config.replace("interface: b0, backend: libpcap", &format!("interface: b0, ring: 1MiB, backend: {backend}")),
    )
    .expect("a configuration");
    std::fs::write(path("load.pcap"), wire::pcap(&questions(50))).expect("a capture");
    let mut service = start(&link, folder.path(), files);
    let sent = link.send(&path("load.pcap"), 1, Some(200));
    let ask = |words: &[&str]| {
        let socket = path("run/control.sock");
        let output = binary::haetae().args(words).arg("--json").arg("--socket").arg(socket).output().expect("it runs");
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|why| panic!("{why}: {output:?}"))
    };
    let sandbox = ask(&["status"])["sandbox"].take();
    let roles = sandbox["roles"].as_array().expect("roles");
    assert!(roles.len() >= 6 && roles.iter().all(|role| role["layers"]["capabilities"] == "full"), "{sandbox}");
    assert_eq!(ask(&["reload"])["indicators"], 1);
    ask(&["counters"]);
    service.signal("USR1");
    service.hear("opened again");
    let (_, account, status, _) = service.end();
    assert!(status.success() && number(&account, "packets") == sent, "{account}");
    let (called, allowed) = (called(&path("trace")), allowed(files));
    assert!(called.len() > 30 && called.contains("poll"), "{called:?}");
    let refused: Vec<_> = called.difference(&allowed).collect();
    assert!(refused.is_empty(), "{backend} calls what the unit does not allow: {refused:?}");
}

#[test]
fn reading_by_libpcap_takes_no_more_than_the_unit_leaves() {
    lives_by_its_unit("reading_by_libpcap_takes_no_more_than_the_unit_leaves", "libpcap", &["haetae.service"]);
}

#[test]
fn reading_by_af_xdp_takes_no_more_than_its_drop_in_leaves() {
    let files = ["haetae.service", "drop-ins/af_xdp.conf"];
    lives_by_its_unit("reading_by_af_xdp_takes_no_more_than_its_drop_in_leaves", "af_xdp", &files);
}
