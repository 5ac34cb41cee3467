//! A healthy sensor in facts, and every fault in them: judged right each by itself, under its code and as grave as it is.

use std::path::PathBuf;
use std::time::Duration;

use af_xdp::{Adjusted, ClockState, Lost, Offloads, Use};

use super::codes::{ALL, Code};
use super::facts::{Facts, Fault, Machine, Port, Rights, Wanted};
use super::judge::Severity::{Error, Note, Warning};
use super::judge::{Severity, judge};
use super::places::{Key, Place};
use super::seen::Seen;
use super::watch::Watched;
use super::{Report, say};
use crate::capture::live::Refused;
use crate::config::{Capture, Config};
use crate::time::Span;

fn healthy() -> Facts {
    let capture = Capture::of_interface("tap0", None);
    let wanted = Wanted {
        configured: Some(true),
        capture,
        workers: 2,
        interfaces: 1,
        networks_given: true,
        ..Wanted::of("tap0", &Config::default(), true, 2)
    };
    let off = Some(false);
    let full = Some(Adjusted { now: 4_096, max: 4_096 });
    let port = Port {
        up: true,
        carrier: Some(true),
        mtu: 1_500,
        queues: 2,
        uses: Some(Vec::new()),
        card: true,
        driver: Some("ice".into()),
        ring: full,
        channels: full,
        offloads: Offloads { gro: off, lro: off, gso: off, rx_vlan: off },
        xdp_native: Some(true),
        xdp_attached: None,
    };
    let rights = Rights { net_raw: true, net_admin: true, bpf: true, ipc_lock: false };
    let machine = Machine {
        kernel: "6.12.1".into(),
        rights,
        memlock_bytes: None,
        clock: Some(ClockState { synchronised: true, error_max_micros: 900 }),
        huge_pages: Some(true),
    };
    let place = Place {
        what: "the spool",
        folder: "/var/lib/haetae/spool".into(),
        made: true,
        exists: true,
        writable: true,
        free_bytes: 9 << 30,
        wanted_bytes: 1 << 30,
        ..Place::default()
    };
    let key = Key { option: "site.key", path: "/etc/haetae/site.key".into(), mode: 0o640 };
    let (places, keys, watched) = (vec![place], vec![key], Some(Ok(healthy_traffic())));
    Facts { wanted, faults: Vec::new(), port: Some(port), machine, places, keys, watched }
}

fn healthy_traffic() -> Watched {
    let seen = Seen {
        frames: 100_000,
        bytes: 60_000_000,
        bytes_second_max: 9_000_000,
        packet_bytes_max: 1_500,
        segment_bytes_max: 1_460,
        comparable: 80_000,
        copies: 100,
        checksums: 10_000,
        checksums_wrong: 3,
        queues: vec![48_000, 52_000],
        answered: 1_000,
        one_way: 30,
        paired: 900,
        split: 9,
        outside: 20,
        crossing: 900,
        inside: 100,
        strangers: vec![("10.9.0.0/16".into(), 12)],
        ..Seen::default()
    };
    let mut watched = Watched { seen, time: Duration::from_secs(10), promiscuous: Some(true), ..Watched::default() };
    watched.counted.received = 100_000;
    watched.clock_moved = Span::nanos(2_000_000);
    watched.stamps_off = Some(Span::nanos(40_000));
    watched
}

/// A fault in the facts of a healthy sensor.
type Fault1 = fn(&mut Facts);

fn port(facts: &mut Facts) -> &mut Port {
    facts.port.as_mut().expect("a port")
}

fn seen(facts: &mut Facts) -> &mut Seen {
    &mut watched(facts).seen
}

fn watched(facts: &mut Facts) -> &mut Watched {
    facts.watched.as_mut().and_then(|watched| watched.as_mut().ok()).expect("it was watched")
}

fn no_traffic(facts: &mut Facts) {
    *watched(facts) = Watched { time: Duration::from_secs(10), promiscuous: Some(true), ..Watched::default() };
}

static OF_PORT: &[(&str, Severity, Fault1)] = &[
    ("interface-absent", Error, |facts| (facts.port, facts.watched) = (None, None)),
    ("interface-down", Error, |facts| (port(facts).up, facts.watched) = (false, None)),
    ("no-carrier", Error, |facts| {
        port(facts).carrier = Some(false);
        no_traffic(facts);
    }),
    ("port-in-use", Note, |facts| port(facts).uses = Some(vec![Use::DefaultRoute])),
    ("port-in-use", Error, |facts| {
        port(facts).uses = Some(vec![Use::Below("br0".into())]);
        facts.wanted.af_xdp = true;
    }),
    ("port-in-use", Warning, |facts| {
        port(facts).uses = Some(vec![Use::DefaultRoute]);
        (facts.wanted.af_xdp, facts.wanted.capture.allow_cut_off) = (true, true);
    }),
    ("not-promiscuous", Error, |facts| watched(facts).promiscuous = Some(false)),
    ("not-promiscuous", Warning, |facts| {
        watched(facts).promiscuous = Some(false);
        facts.wanted.capture.promiscuous = false;
    }),
    ("no-native-xdp", Note, |facts| port(facts).xdp_native = Some(false)),
    ("no-native-xdp", Error, |facts| (port(facts).xdp_native, facts.wanted.af_xdp) = (Some(false), true)),
    ("xdp-attached", Warning, |facts| {
        port(facts).xdp_attached = Some(7);
        no_traffic(facts);
    }),
    ("nic-ring-small", Warning, |facts| port(facts).ring = Some(Adjusted { now: 512, max: 4_096 })),
    ("lro-on", Warning, |facts| port(facts).offloads.lro = Some(true)),
    ("gro-on", Note, |facts| port(facts).offloads.gro = Some(true)),
    ("vlan-stripped", Warning, |facts| (port(facts).offloads.rx_vlan, facts.wanted.af_xdp) = (Some(true), true)),
    ("vlan-stripped", Error, |facts| {
        (port(facts).offloads.rx_vlan, facts.wanted.af_xdp) = (Some(true), true);
        seen(facts).tagged = 7;
    }),
    ("vlan-stripped", Note, |facts| {
        port(facts).offloads.rx_vlan = Some(true);
        seen(facts).tagged = 7;
    }),
    ("queues-over-workers", Note, |facts| port(facts).queues = 3),
    ("watch-failed", Error, |facts| facts.watched = Some(Err(Refused::Other("no such thing".into())))),
];

static OF_TRAFFIC: &[(&str, Severity, Fault1)] = &[
    ("no-traffic", Error, no_traffic),
    ("frames-lost", Warning, |facts| watched(facts).counted.lost.missed = 5),
    ("frames-lost", Error, |facts| watched(facts).counted.lost = Lost { dropped: 5_000, missed: 0 }),
    ("ring-overrun", Warning, |facts| watched(facts).overrun = 1),
    ("ring-short", Warning, |facts| seen(facts).bytes_second_max = 3 << 30),
    ("frames-cut", Warning, |facts| seen(facts).cut = 1),
    ("super-frames", Warning, |facts| (seen(facts).beyond_mtu, seen(facts).packet_bytes_max) = (8, 65_000)),
    ("mtu-small", Error, |facts| watched(facts).counted.too_long = 9),
    ("checksums-unfinished", Note, |facts| seen(facts).checksums_wrong = 4_000),
    ("vlan-trunk", Note, |facts| (seen(facts).tagged, seen(facts).vlans) = (70_000, 3)),
    ("one-way-mirror", Error, |facts| seen(facts).one_way = 950),
    ("one-way-mirror", Warning, |facts| seen(facts).one_way = 600),
    ("one-way-mirror", Note, |facts| (seen(facts).one_way, facts.wanted.interfaces) = (1_000, 2)),
    ("duplicate-frames", Warning, |facts| seen(facts).copies = 39_000),
    ("queues-asymmetric", Warning, |facts| seen(facts).split = 440),
    ("queue-skew", Warning, |facts| seen(facts).queues = vec![99_000, 1_000]),
    ("networks-elsewhere", Error, |facts| (seen(facts).outside, seen(facts).crossing) = (970, 0)),
    ("networks-elsewhere", Warning, |facts| (seen(facts).outside, seen(facts).crossing) = (600, 300)),
    ("networks-too-wide", Warning, |facts| (seen(facts).inside, seen(facts).crossing) = (1_000, 0)),
    ("networks-incomplete", Warning, |facts| seen(facts).strangers[0].1 = 200),
    ("clock-jumped", Warning, |facts| watched(facts).clock_moved = Span::seconds(-3)),
    ("clock-stamps-off", Error, |facts| watched(facts).stamps_off = Some(Span::seconds(3_600))),
];

static OF_MACHINE: &[(&str, Severity, Fault1)] = &[
    ("memlock-small", Error, |facts| (facts.machine.memlock_bytes, facts.wanted.af_xdp) = (Some(8 << 20), true)),
    ("no-huge-pages", Note, |facts| facts.machine.huge_pages = Some(false)),
    ("networks-absent", Note, |facts| facts.wanted.networks_given = false),
    ("clock-unsynchronised", Warning, |facts| facts.machine.clock = Some(ClockState::default())),
    ("disk-missing", Error, |facts| (facts.places[0].exists, facts.places[0].made) = (false, false)),
    ("disk-not-writable", Error, |facts| facts.places[0].writable = false),
    ("disk-read-only", Error, |facts| (facts.places[0].read_only, facts.places[0].writable) = (true, false)),
    ("disk-small", Warning, |facts| facts.places[0].free_bytes = 500 << 20),
    ("disk-small", Error, |facts| facts.places[0].free_bytes = 1 << 20),
    ("disk-no-sync", Warning, |facts| facts.places[0].forgets = Some("tmpfs")),
    ("rights-missing", Error, |facts| {
        facts.machine.rights.net_raw = false;
        facts.watched = Some(Err(Refused::Permission("cap_net_raw")));
    }),
    ("rights-missing", Error, |facts| (facts.machine.rights.bpf, facts.wanted.af_xdp) = (false, true)),
    ("key-readable", Error, |facts| facts.keys[0].mode = 0o644),
    ("key-readable", Warning, |facts| facts.keys[0].mode = 0o660),
    ("kernel-old", Note, |facts| facts.machine.kernel = "5.15.0-91-generic".into()),
    ("kernel-old", Error, |facts| (facts.machine.kernel, facts.wanted.af_xdp) = ("5.15.0".into(), true)),
    ("configuration", Error, |facts| facts.faults = vec![Fault { option: "limits".into(), ..Fault::default() }]),
    ("key-readable", Error, |facts| {
        let problem = "everyone may read it (mode 644)".to_owned();
        facts.faults = vec![Fault { option: "site.key".into(), problem, ..Fault::default() }];
    }),
    ("disk-missing", Error, |facts| {
        facts.faults = vec![Fault { option: "outputs.eve.path".into(), ..Fault::default() }]
    }),
    ("not-configured", Warning, |facts| facts.wanted.configured = Some(false)),
];

fn all_faults() -> impl Iterator<Item = &'static (&'static str, Severity, Fault1)> {
    OF_PORT.iter().chain(OF_TRAFFIC).chain(OF_MACHINE)
}

#[test]
fn nothing_is_wrong_with_a_healthy_sensor() {
    assert_eq!(judge(&healthy()), []);
    let mut facts = healthy();
    facts.wanted.af_xdp = true;
    assert_eq!(judge(&facts), [], "nor with AF_XDP");
}

#[test]
fn each_fault_is_found_alone_under_its_code_and_as_grave_as_it_is() {
    for (code, severity, fault) in all_faults() {
        let mut facts = healthy();
        fault(&mut facts);
        let found = judge(&facts);
        let told: Vec<_> = found.iter().map(|finding| (finding.code.name, finding.severity)).collect();
        assert_eq!(told, [(*code, *severity)], "{found:?}");
        assert!(!found[0].advice.is_empty(), "{code} says what to do");
    }
}

#[test]
fn every_code_has_a_fault_that_leads_to_it() {
    let never: Vec<_> = ALL.iter().filter(|code| !all_faults().any(|(name, ..)| *name == code.name)).collect();
    assert!(never.is_empty(), "{never:?}");
}

#[test]
fn the_manual_has_every_code_with_its_severities_and_its_reason() {
    let manual = include_str!("../../deploy/doctor.md");
    let rows: Vec<&str> = manual.lines().filter(|line| line.starts_with("| `")).collect();
    let row = |code: &&Code| {
        let is = |wanted| all_faults().any(|(name, severity, _)| (*name, *severity) == (code.name, wanted));
        let severities: Vec<_> = [Error, Warning, Note].into_iter().filter(|severity| is(*severity)).collect();
        let names: Vec<_> = severities.iter().map(|severity| severity.name()).collect();
        format!("| `{}` | {} | {} |", code.name, names.join(", "), code.why)
    };
    assert_eq!(rows, ALL.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn tags_that_the_card_strips_and_libpcap_never_shows_are_no_finding() {
    let mut facts = healthy();
    port(&mut facts).offloads.rx_vlan = Some(true);
    assert_eq!(judge(&facts), []);
}

#[test]
fn tags_that_nobody_takes_off_and_nobody_sent_are_no_finding() {
    let mut facts = healthy();
    (port(&mut facts).offloads.rx_vlan, facts.wanted.af_xdp) = (Some(true), true);
    (port(&mut facts).card, port(&mut facts).driver) = (false, Some("veth".into()));
    assert_eq!(judge(&facts), []);
    seen(&mut facts).tagged = 7;
    let found = judge(&facts);
    assert!(found.iter().any(|finding| (finding.code.name, finding.severity) == ("vlan-stripped", Error)), "{found:?}");
}

#[test]
fn ends_that_ask_for_more_than_the_mtu_matter_where_frames_are_lost() {
    let mut facts = healthy();
    seen(&mut facts).segment_bytes_max = 8_960;
    assert_eq!(judge(&facts), []);
    watched(&mut facts).counted.lost.dropped = 50_000;
    let found = judge(&facts);
    assert!(found.iter().any(|finding| finding.code.name == "mtu-small" && finding.seen.contains("9000")), "{found:?}");
}

#[test]
fn a_few_of_anything_prove_nothing() {
    let mut facts = healthy();
    *seen(&mut facts) = Seen {
        frames: 60,
        queues: vec![60, 0],
        answered: 19,
        one_way: 19,
        paired: 19,
        split: 19,
        outside: 19,
        strangers: vec![("10.9.0.0/16".into(), 19)],
        ..Seen::default()
    };
    assert_eq!(judge(&facts), []);
}

#[test]
fn a_filter_that_leaves_out_everything_is_named() {
    let mut facts = healthy();
    no_traffic(&mut facts);
    watched(&mut facts).counted.received = 4_000;
    facts.wanted.capture.filter = Some("port 7".into());
    assert!(judge(&facts)[0].advice[0].contains("`filter:`"));
}

#[test]
fn a_report_reads_the_same_to_a_person_and_to_a_machine() {
    let mut facts = healthy();
    seen(&mut facts).one_way = 950;
    facts.places[0].folder = PathBuf::from("/srv/a b\u{1b}[2J");
    facts.places[0].writable = false;
    facts.wanted.networks_given = false;
    let report = Report { findings: judge(&facts), facts };
    let (mut text, mut json) = (Vec::new(), Vec::new());
    say::text(&report, &mut text).expect("a vector takes it");
    say::json(&report, &mut json).expect("a vector takes it");
    let text = String::from_utf8(text).expect("text");
    assert!(
        text.starts_with("tap0: watched for 10 s: 100 000 frames, 60.0 MB\n\nerror: one-way-mirror: 950 of 1 000 "),
        "{text}"
    );
    assert!(text.contains("\n  why:  With one direction of") && text.contains("\n  type: on a switch"), "{text}");
    assert!(text.ends_with("\n\ntap0: 2 errors, 0 warnings, 1 note\n"), "{text}");
    assert!(text.contains("'/srv/a b\u{fffd}[2J'") && !text.contains('\u{1b}'), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!((&json["errors"], &json["notes"], &json["frames"]), (&2.into(), &1.into(), &100_000.into()));
    assert_eq!(json["findings"][0]["code"], "one-way-mirror");
    assert!(!json.to_string().contains("\\u001b"), "{json}");
}
