//! `haetae doctor` on real ports: for each finding a namespace that has the fault and one that has it not. What no veth has
//! (rings of a card, LRO, an old kernel, a clock that is kept) is put into facts that were gathered from a real port.

mod network;

use std::io::Read;

use haetae::config::{Config, load};
use haetae::doctor::facts::{Adjusted, ClockState, Facts};
use haetae::doctor::judge::judge;
use haetae::doctor::{Order, examine};

use super::*;
use network::{Mirror, Network};

/// What the machine that runs the tests may well have.
const OF_THE_MACHINE: [&str; 4] = ["clock-unsynchronised", "no-huge-pages", "kernel-old", "disk-small"];

const NETWORKS: &str = "networks: { home: [10.20.0.0/16] }\n";

const AF_XDP: &str = "capture=[{interface: b0, backend: af_xdp, ring: 16MiB}]";

/// What the doctor said and how it ended.
struct Told {
    code: Option<i32>,
    report: Value,
    complaints: String,
}

impl Told {
    /// Findings as `code severity`, without those of this machine.
    fn findings(&self) -> Vec<String> {
        let findings = self.report["findings"].as_array().unwrap_or_else(|| panic!("no findings: {}", self.complaints));
        let word = |finding: &Value, name: &str| finding[name].as_str().expect("text").to_owned();
        let ours = findings.iter().filter(|finding| !OF_THE_MACHINE.contains(&word(finding, "code").as_str()));
        ours.map(|finding| format!("{} {}", word(finding, "code"), word(finding, "severity"))).collect()
    }

    /// Exactly these, in any order; an error among them is an exit of 1, none is one of 0.
    fn is(&self, wanted: &[&str]) {
        let (mut found, mut wanted) = (self.findings(), wanted.to_vec());
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{:#}", self.report);
        let errors = self.report["errors"].as_u64().expect("a number");
        assert_eq!(self.code, Some(i32::from(errors > 0)), "{}", self.report);
        assert_eq!(errors > 0, self.report.to_string().contains("\"severity\":\"error\""));
    }

    fn healthy(&self) {
        self.is(&[]);
    }

    fn has(&self, finding: &str) -> bool {
        self.findings().iter().any(|found| found == finding)
    }
}

/// The doctor of a port, begun by the words before it, while `during` goes on.
fn told_by(link: &Link, folder: &Path, before: &[&str], words: &[&str], during: impl FnOnce(&Child)) -> Told {
    let mut all = before.to_vec();
    all.extend([env!("CARGO_BIN_EXE_haetae"), "doctor"]);
    all.extend(words);
    all.extend(["-c", "haetae.yaml", "--json"]);
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).current_dir(folder);
    let mut command = link.at_sensor(&command);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the doctor");
    let (mut out, mut complaints) =
        (child.stdout.take().expect("a pipe"), BufReader::new(child.stderr.take().expect("a pipe")));
    let mut said = String::new();
    // without a port to be watched it says nothing, and ends
    while !said.contains("watching") && complaints.read_line(&mut said).expect("text") > 0 {}
    if said.contains("watching") {
        during(&child);
    }
    let mut text = String::new();
    out.read_to_string(&mut text).expect("text");
    complaints.read_to_string(&mut said).expect("text");
    let code = child.wait().expect("it ends").code();
    Told { code, report: serde_json::from_str(&text).unwrap_or_default(), complaints: said }
}

/// The same of `b0`, two seconds long.
fn told(link: &Link, folder: &Path, words: &[&str]) -> Told {
    told_by(link, folder, &[], &[&["b0", "--seconds", "2"], words].concat(), |_| {})
}

/// Connections between hosts inside and one outside, a question and an answer in each.
fn talk(count: u8, wrap: Wrap) -> Vec<Frame> {
    let mut frames = Vec::new();
    for number in 0..count {
        let ends = Ends { from: ([10, 20, 0, number + 1].into(), 30_000), to: ([198, 51, 100, 10].into(), 443) };
        let mut say = |ends: Ends, sequence: u32, acknowledged: u32, flags: u8, data: &[u8]| {
            let bytes = wire::framed(&wire::ip(ends, 6, &wire::tcp(ends, sequence, acknowledged, flags, data)), wrap);
            frames.push(Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes });
        };
        let (question, answer) = ([number; 40], [number; 300]);
        say(ends, 100, 0, wire::SYN, &[]);
        say(ends.turned(), 500, 101, wire::SYN | wire::ACK, &[]);
        say(ends, 101, 501, wire::ACK, &[]);
        say(ends, 101, 501, wire::PUSH_ACK, &question);
        say(ends.turned(), 501, 141, wire::PUSH_ACK, &answer);
    }
    frames
}

/// Frames that pass again and again, until this is dropped.
struct Passing(Child);

impl Passing {
    fn of(link: &Link, folder: &Path, frames: &[Frame], per_second: Option<u64>) -> Passing {
        let capture = folder.join("passing.pcap");
        std::fs::write(&capture, wire::pcap(frames)).expect("a capture");
        Passing(link.sending(&capture, 1_000_000, per_second))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A link with a site beside it, on which conversations pass.
fn talking() -> (Link, TempDir, Passing) {
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, NETWORKS));
    let passing = Passing::of(&link, folder.path(), &talk(60, Wrap::Plain), Some(1_000));
    (link, folder, passing)
}

#[test]
fn a_port_that_is_there_has_a_signal_and_shows_frames_is_healthy() {
    if !possible("a_port_that_is_there_has_a_signal_and_shows_frames_is_healthy") {
        return;
    }
    let (link, folder, passing) = talking();
    told(&link, folder.path(), &[]).healthy();
    told(&link, folder.path(), &["--set", "limits.workers=1"]).healthy();
    drop(passing);
    told(&link, folder.path(), &[]).is(&["no-traffic error"]);
    link.run_at_sender("ip", &["link", "set", "a0", "down"]);
    told(&link, folder.path(), &[]).is(&["no-carrier error"]);
    link.ip_at_sensor(&["link", "set", "b0", "down"]);
    told(&link, folder.path(), &[]).is(&["interface-down error"]);
    link.unplug();
    told(&link, folder.path(), &[]).is(&["interface-absent error"]);
}

#[test]
fn nothing_is_changed_and_nothing_is_sent() {
    if !possible("nothing_is_changed_and_nothing_is_sent") {
        return;
    }
    let (link, folder, _passing) = talking();
    let state = || {
        let cat = |file: &str| link.run_at_sensor("cat", &[&format!("/sys/class/net/b0/{file}")]);
        let entries = std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("one").file_name());
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        let offloads = link.run_at_sensor("ethtool", &["-k", "b0"]);
        (link.ip_at_sensor(&["-d", "link", "show"]), offloads, cat("statistics/tx_packets"), entries)
    };
    // that a link has come up is told a moment after it has
    let until = Instant::now() + PATIENCE;
    while !state().0.contains("state UP") {
        assert!(Instant::now() < until, "{}", state().0);
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = state();
    assert_eq!(before.2, "0\n");
    told_by(&link, folder.path(), &[], &["b0", "--seconds", "1", "--set", "outputs.eve.path=eve.json"], |_| {
        assert!(link.ip_at_sensor(&["-d", "link", "show", "b0"]).contains("promiscuity 1"));
    })
    .healthy();
    assert_eq!(state(), before);
}

#[test]
fn a_text_says_what_was_seen_why_it_matters_and_what_to_type() {
    if !possible("a_text_says_what_was_seen_why_it_matters_and_what_to_type") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, NETWORKS));
    link.ip_at_sensor(&["link", "set", "b0", "down"]);
    let mut command = binary::haetae();
    command.args(["doctor", "b0", "-c", "haetae.yaml"]).current_dir(folder.path());
    let output = link.at_sensor(&command).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let words = [
        "b0: the traffic could not be watched\n\nerror: interface-down: ",
        "\n  why:  ",
        "\n  type: `ip link set b0 up`\n",
    ];
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[test]
fn a_port_that_the_machine_lives_by_is_told_as_grave_as_it_is() {
    if !possible("a_port_that_the_machine_lives_by_is_told_as_grave_as_it_is") {
        return;
    }
    let (link, folder, _passing) = talking();
    // a link without a card takes no tag off, and none is seen
    link.run_at_sensor("ethtool", &["-K", "b0", "rxvlan", "on"]);
    told(&link, folder.path(), &["--set", AF_XDP]).healthy();
    link.ip_at_sensor(&["addr", "add", "10.99.0.1/24", "dev", "b0"]);
    told(&link, folder.path(), &["--set", AF_XDP]).is(&["port-in-use error"]);
    let meant = AF_XDP.replace("ring", "allow_cut_off: true, ring");
    told(&link, folder.path(), &["--set", &meant]).is(&["port-in-use warning"]);
    told(&link, folder.path(), &[]).is(&["port-in-use note"]);
}

#[test]
fn tags_that_a_card_strips_matter_with_af_xdp() {
    if !possible("tags_that_a_card_strips_matter_with_af_xdp") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, NETWORKS));
    let _passing = Passing::of(&link, folder.path(), &talk(60, Wrap::Vlan(7)), Some(1_000));
    link.run_at_sensor("ethtool", &["-K", "b0", "rxvlan", "on"]);
    told(&link, folder.path(), &["--set", AF_XDP]).is(&["vlan-stripped error", "vlan-trunk note"]);
    told(&link, folder.path(), &[]).is(&["vlan-stripped note", "vlan-trunk note"]);
    link.run_at_sensor("ethtool", &["-K", "b0", "rxvlan", "off"]);
    told(&link, folder.path(), &["--set", AF_XDP]).is(&["vlan-trunk note"]);
}

#[test]
fn what_the_kernel_joins_is_told_where_it_may() {
    if !possible("what_the_kernel_joins_is_told_where_it_may") {
        return;
    }
    let (link, folder, _passing) = talking();
    link.run_at_sensor("ethtool", &["-K", "b0", "gro", "on"]);
    told(&link, folder.path(), &[]).is(&["gro-on note"]);
    link.run_at_sensor("ethtool", &["-K", "b0", "gro", "off"]);
    told(&link, folder.path(), &[]).healthy();
}

#[test]
fn a_port_that_is_not_promiscuous_is_told() {
    if !possible("a_port_that_is_not_promiscuous_is_told") {
        return;
    }
    let (link, folder, _passing) = talking();
    let told = told(&link, folder.path(), &["--set", "capture=[{interface: b0, promiscuous: false}]"]);
    told.is(&["not-promiscuous warning"]);
}

#[test]
fn a_port_without_native_xdp_and_one_that_another_program_holds_are_told() {
    if !possible("a_port_without_native_xdp_and_one_that_another_program_holds_are_told") {
        return;
    }
    let (link, folder, _passing) = talking();
    link.ip_at_sensor(&["link", "add", "br0", "type", "bridge"]);
    link.ip_at_sensor(&["link", "set", "br0", "up"]);
    let wanted = AF_XDP.replace("b0", "br0");
    let told_of =
        |port: &str, set: &str| told_by(&link, folder.path(), &[], &[port, "--seconds", "1", "--set", set], |_| {});
    assert!(told_of("br0", &wanted).has("no-native-xdp error"));
    assert!(!told_of("b0", AF_XDP).has("no-native-xdp error"));
    let service = xdp::on_af_xdp(&link, folder.path(), "1", "");
    let held = told_of("b0", "limits.workers=1");
    assert!(held.has("xdp-attached warning") && !held.has("no-traffic error"), "{:#}", held.report);
    xdp::ended(service);
    assert!(!told_of("b0", "limits.workers=1").has("xdp-attached warning"));
}

#[test]
fn frames_that_are_cut_are_told() {
    if !possible("frames_that_are_cut_are_told") {
        return;
    }
    let (link, folder, _passing) = talking();
    told(&link, folder.path(), &["--set", "capture=[{interface: b0, snaplen: 128}]"]).is(&["frames-cut warning"]);
}

#[test]
fn an_mtu_below_what_ends_send_is_told_with_what_was_lost() {
    if !possible("an_mtu_below_what_ends_send_is_told_with_what_was_lost") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, NETWORKS));
    let _network = Network::beside(&link, Mirror::Both, true, 9_000);
    told(&link, folder.path(), &[]).healthy();
    link.ip_at_sensor(&["link", "set", "b0", "mtu", "1500"]);
    told(&link, folder.path(), &[]).is(&["frames-lost error", "mtu-small error"]);
}

#[test]
fn a_ring_that_is_too_small_is_told_and_so_is_what_it_lost() {
    if !possible("a_ring_that_is_too_small_is_told_and_so_is_what_it_lost") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, NETWORKS));
    let ends = |number: u8| Ends { from: ([10, 20, 0, number].into(), 30_000), to: ([198, 51, 100, 10].into(), 443) };
    let large = (0..100_u8).map(|number| {
        let bytes = wire::framed(&wire::ip(ends(number), 17, &wire::udp(ends(number), &[number; 8_700])), Wrap::Plain);
        Frame { micros: 0, wire_bytes: bytes.len() as u32, bytes }
    });
    let _passing = Passing::of(&link, folder.path(), &large.collect::<Vec<_>>(), None);
    let words = ["b0", "--seconds", "3", "--set", "capture=[{interface: b0, ring: 1MiB}]"];
    let told = told_by(&link, folder.path(), &[], &words, |doctor| {
        let signal = |name: &str| Command::new("kill").args([name, &doctor.id().to_string()]).status();
        std::thread::sleep(Duration::from_millis(300));
        assert!(signal("-STOP").is_ok_and(|status| status.success()));
        std::thread::sleep(Duration::from_millis(700));
        assert!(signal("-CONT").is_ok_and(|status| status.success()));
    });
    assert!(told.has("ring-short warning") && told.has("ring-overrun warning"), "{:#}", told.report);
}

#[test]
fn queues_are_told_apart_frame_by_frame() {
    if !possible("queues_are_told_apart_frame_by_frame") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, NETWORKS));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/queues.py");
    let manner = |manner: &str, workers: &str| {
        let mut command = Command::new("python3");
        command.arg(&script).args(["q0", manner, "30"]);
        let mut child = link.at_sensor(&command).stdout(Stdio::piped()).spawn().expect("python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
        assert_eq!(line, "ready\n");
        link.run_at_sensor("ethtool", &["-K", "q0", "gro", "off"]);
        let set = format!("limits.workers={workers}");
        let words = ["q0", "--seconds", "2", "--set", "capture=[{interface: q0}]", "--set", &set];
        let told = told_by(&link, folder.path(), &[], &words, |_| {});
        child.kill().and_then(|()| child.wait()).expect("it ends");
        told
    };
    manner("even", "2").healthy();
    manner("even", "1").is(&["queues-over-workers note"]);
    manner("split", "2").is(&["queues-asymmetric warning"]);
    manner("skewed", "2").is(&["queue-skew warning"]);
}

#[test]
fn networks_that_do_not_fit_are_told() {
    if !possible("networks_that_do_not_fit_are_told") {
        return;
    }
    let (link, folder, _passing) = talking();
    for (home, wanted) in [
        ("[10.20.0.0/16]", &[][..]),
        ("[192.168.0.0/16]", &["networks-elsewhere error", "networks-incomplete warning"]),
        ("[\"0.0.0.0/0\"]", &["networks-too-wide warning"]),
        ("[198.51.100.0/24]", &["networks-incomplete warning"]),
    ] {
        told(&link, folder.path(), &["--set", &format!("networks.home={home}")]).is(wanted);
    }
    let path = folder.path().join("haetae.yaml");
    let text = std::fs::read_to_string(&path).expect("there").replace(NETWORKS, "");
    std::fs::write(&path, text).expect("a configuration");
    told(&link, folder.path(), &[]).is(&["networks-absent note"]);
}

#[test]
fn a_clock_that_is_set_and_one_that_is_not_that_of_the_frames_are_told() {
    let name = "a_clock_that_is_set_and_one_that_is_not_that_of_the_frames_are_told";
    let Some(library) = clock::library().filter(|_| possible(name)) else { return };
    let (link, folder, _passing) = talking();
    let set = |text: &str| {
        let (whole, part) = (folder.path().join("clock"), folder.path().join("clock.part"));
        std::fs::write(&part, text).and_then(|()| std::fs::rename(part, whole)).expect("a file");
    };
    let faked = [
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", folder.path().join("clock").display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        "DONT_FAKE_MONOTONIC=1".to_owned(),
        "NO_FAKE_STAT=1".to_owned(),
    ];
    let before: Vec<&str> = std::iter::once("env").chain(faked.iter().map(String::as_str)).collect();
    let words = ["b0", "--seconds", "2"];
    set("+0\n");
    told_by(&link, folder.path(), &before, &words, |_| {}).healthy();
    told_by(&link, folder.path(), &before, &words, |_| {
        std::thread::sleep(Duration::from_secs(1));
        set("+3600\n");
    })
    .is(&["clock-jumped warning"]);
    told_by(&link, folder.path(), &before, &words, |_| {}).is(&["clock-stamps-off error"]);
}

#[test]
fn a_disk_that_cannot_keep_what_is_written_is_told() {
    if !possible("a_disk_that_cannot_keep_what_is_written_is_told") {
        return;
    }
    let (link, folder, _passing) = talking();
    std::fs::create_dir(folder.path().join("log")).expect("a folder");
    let of_log = |mount: &str, log: &str| {
        // mounted where nobody else sees it
        let script = format!("{mount} && exec \"$0\" \"$@\"");
        let set = format!("outputs.eve.path={log}/eve.json");
        told_by(&link, folder.path(), &["sh", "-c", &script], &["b0", "--seconds", "1", "--set", &set], |_| {})
    };
    of_log("true", "log").healthy();
    of_log("true", "gone").is(&["disk-missing error"]);
    of_log("mount -t tmpfs -o ro,size=1g none log", "log").is(&["disk-read-only error"]);
    of_log("mount -t tmpfs -o size=1g none log", "log").is(&["disk-no-sync warning"]);
    let small = of_log("mount -t tmpfs -o size=1m none log", "log");
    assert!(small.report.to_string().contains("\"disk-small\",\"severity\":\"error\""), "{:#}", small.report);
    let spool = "centre={url: \"http://127.0.0.1:9\", spool: log/spool}";
    told(&link, folder.path(), &["--set", spool]).healthy();
}

#[test]
fn rights_that_are_missing_are_named() {
    if !possible("rights_that_are_missing_are_named") {
        return;
    }
    let (link, folder, _passing) = talking();
    link.run_at_sensor("ethtool", &["-K", "b0", "rxvlan", "off"]);
    let with = |rights: &str, more: &[&str], words: &[&str]| {
        let sets = [format!("--bounding-set=-all{rights}"), format!("--inh-caps=-all{rights}")];
        let before = [more, &["setpriv", &sets[0], &sets[1]]].concat();
        told_by(&link, folder.path(), &before, &[&["b0", "--seconds", "1"], words].concat(), |_| {})
    };
    with(",+net_raw", &[], &[]).healthy();
    with("", &[], &[]).is(&["rights-missing error"]);
    // no more than any machine lets a process lock
    let set = AF_XDP.replace("16MiB", "1MiB");
    let (enough, short) = (["prlimit", "--memlock=2097152"], ["prlimit", "--memlock=524288"]);
    with(",+net_raw,+net_admin,+bpf", &enough, &["--set", &set]).healthy();
    with(",+net_raw,+net_admin", &enough, &["--set", &set]).is(&["rights-missing error"]);
    with(",+net_raw,+bpf", &enough, &["--set", &set]).is(&["rights-missing error"]);
    with(",+net_raw,+net_admin,+bpf", &short, &["--set", &set]).is(&["memlock-small error"]);
    // a user of its own, and a folder of somebody else's
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=+net_raw",
        "--ambient-caps=+net_raw",
    ];
    told_by(&link, folder.path(), &nobody, &["b0", "--seconds", "1"], |_| {}).is(&["disk-not-writable error"]);
}

#[test]
fn secrets_and_a_configuration_that_the_sensor_would_refuse_are_findings() {
    if !possible("secrets_and_a_configuration_that_the_sensor_would_refuse_are_findings") {
        return;
    }
    let (link, folder, _passing) = talking();
    let key = folder.path().join("site.key");
    std::fs::write(&key, [7; 32]).expect("a key");
    let mode = |mode| std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("ours");
    mode(0o600);
    told(&link, folder.path(), &["--set", "site.key=site.key"]).healthy();
    mode(0o644);
    // the rest is judged by the defaults, which know no networks
    told(&link, folder.path(), &["--set", "site.key=site.key"]).is(&["key-readable error"]);
    mode(0o660);
    told(&link, folder.path(), &["--set", "site.key=site.key"]).is(&["key-readable warning"]);
    told(&link, folder.path(), &["--set", "limits.workers=many"]).is(&["configuration error"]);
    told(&link, folder.path(), &["--set", "capture=[{interface: tap7}]"]).is(&["not-configured warning"]);
}

/// Where the site of the facts is that are to be judged.
const FACTS: &str = "HAETAE_TEST_DOCTOR";

#[test]
fn what_no_veth_has_is_judged_in_the_facts_of_one() {
    if !possible("what_no_veth_has_is_judged_in_the_facts_of_one") {
        return;
    }
    let Some(folder) = std::env::var_os(FACTS) else {
        // `/sys` shows the namespace in which it was mounted: this test again, as a program of that namespace
        let (link, folder, _passing) = talking();
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        let name = "live::doctor::what_no_veth_has_is_judged_in_the_facts_of_one";
        command.args(["--exact", name, "--nocapture"]).env(FACTS, folder.path());
        let output = link.at_sensor(&command).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    };
    let config: Config = load(Some(&Path::new(&folder).join("haetae.yaml")), &[], &|_| None).expect("it is sound");
    let order = Order { interface: "b0", seconds: 2, config: &config, given: true, faults: Vec::new(), workers: 2 };
    let facts = examine(order, &mut || {}).facts;
    let mut sound = facts.clone();
    sound.machine.kernel = "6.12.0".into();
    sound.machine.clock = Some(clock_kept(true));
    sound.machine.huge_pages = Some(true);
    sound.places.clear();
    assert_eq!(judge(&sound), []);
    let judged = |change: fn(&mut Facts)| {
        let mut facts = sound.clone();
        change(&mut facts);
        judge(&facts)
            .iter()
            .map(|finding| format!("{} {}", finding.code.name, finding.severity.name()))
            .collect::<Vec<_>>()
    };
    assert_eq!(judged(|facts| facts.machine.clock = Some(clock_kept(false))), ["clock-unsynchronised warning"]);
    assert_eq!(judged(|facts| facts.machine.kernel = "5.15.0".into()), ["kernel-old note"]);
    assert_eq!(judged(|facts| facts.machine.huge_pages = Some(false)), ["no-huge-pages note"]);
    assert_eq!(judged(|facts| facts.port.as_mut().expect("a port").offloads.lro = Some(true)), ["lro-on warning"]);
    assert_eq!(
        judged(|facts| {
            let ring = Adjusted { now: 512, max: 4_096 };
            facts.port.as_mut().expect("a port").ring = Some(ring);
        }),
        ["nic-ring-small warning"]
    );
    assert_eq!(
        judged(|facts| {
            let ring = Adjusted { now: 4_096, max: 4_096 };
            facts.port.as_mut().expect("a port").ring = Some(ring);
        }),
        [""; 0]
    );
}

fn clock_kept(synchronised: bool) -> ClockState {
    ClockState { synchronised, error_max_micros: 1_000 }
}

#[test]
fn a_mirror_of_a_real_network_is_judged_right_whatever_it_lacks() {
    if !possible("a_mirror_of_a_real_network_is_judged_right_whatever_it_lacks") {
        return;
    }
    for (mirror, as_on_a_wire, wanted) in [
        (Mirror::Both, true, &[][..]),
        (Mirror::InAlone, true, &["one-way-mirror error"]),
        (Mirror::BothTwice, true, &["duplicate-frames warning"]),
        (Mirror::Both, false, &["checksums-unfinished note", "super-frames warning"]),
    ] {
        let (link, folder) = (Link::new(), site(BAD_EXAMPLE, NETWORKS));
        link.ip_at_sensor(&["link", "set", "b0", "mtu", "1500"]);
        let network = Network::beside(&link, mirror, as_on_a_wire, 1_500);
        let told = told(&link, folder.path(), &[]);
        drop(network);
        let found = told.findings();
        assert!(told.report["frames"].as_u64() > Some(500), "{:#}", told.report);
        assert_eq!(
            found,
            wanted.iter().map(|finding| finding.to_string()).rev().collect::<Vec<_>>(),
            "{:#}",
            told.report
        );
    }
}
