//! The running service and those who ask it how it is: politely, all at once, and a real Prometheus with every rule and panel.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::metrics::tools::{Prometheus, is_there, promtool};
use crate::metrics::{dashboard, deployed, expressions, flood, names, page, rules};

const METRICS: &str = "metrics: { listen: \"127.0.0.1:9920\" }\n";

/// Where the service of each namespace is asked.
fn address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 9920).into()
}

/// What a sensor has nothing to show of when it has no centre and nothing goes ill.
const ABSENT: [&str; 6] =
    ["haetae_spool_", "haetae_merge_", "haetae_sink_", "haetae_delivery_", "haetae_ledger_", "haetae_receipt"];

/// Panels that are empty because nothing goes ill.
const EMPTY: [&str; 2] = ["Malformed frames", "Restarts"];

/// How much memory a flood of questions may cost the service, for answers that wait to be read.
const FLOOD_KIB_MAX: u64 = 8 * 1024;

/// A service on one side of a link, the body of a test on the same side, and what the service came to.
fn beside(test: impl FnOnce(&Link, &mut Service, &Path) + Send) -> (Value, Value) {
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, METRICS));
    let capture = "capture=[{interface: b0, backend: af_xdp, ring: 16MiB}]";
    let mut service = Service::start(&link, folder.path(), &["--workers", "2", "--set", capture]);
    service.hear("metrics are served");
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            link.enter();
            test(&link, &mut service, folder.path());
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let (kernel, account, status, _) = service.end();
    assert!(status.success(), "{account}");
    (kernel, account)
}

/// One number of an exposition.
fn shown(exposition: &str, series: &str) -> f64 {
    let line = exposition.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in {exposition}"))
}

/// Resident memory of a process, in KiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_flood_of_questions_costs_no_frame_and_no_memory() {
    if !possible("a_flood_of_questions_costs_no_frame_and_no_memory") {
        return;
    }
    let mut sent = 0;
    let (kernel, account) = beside(|link, service, folder| {
        std::fs::write(folder.join("load.pcap"), wire::pcap(&questions(2_000))).expect("a capture");
        sent = link.send(&folder.join("load.pcap"), 1, Some(2_000)); // what flows cost is there already
        let before = (page(address(), "/metrics").lines().count(), resident(service.child.id()));
        let stop = AtomicBool::new(false);
        let slow: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(address()).ok()).collect();
        thread::scope(|scope| {
            // what a thread starts is where the thread is
            let floods: Vec<_> = (0..4).map(|_| scope.spawn(|| flood(address(), &stop))).collect();
            sent += link.send(&folder.join("load.pcap"), 4, Some(2_000));
            stop.store(true, Ordering::Relaxed);
            let answers: u64 = floods.into_iter().map(|flood| flood.join().expect("a flood")).sum();
            assert!(answers > 100, "{answers} answers are no flood");
        });
        drop(slow);
        let after = page(address(), "/metrics");
        assert!(after.lines().count() <= before.0, "what is asked makes no series:\n{after}");
        let grown = resident(service.child.id()).saturating_sub(before.1);
        eprintln!("{grown} KiB more after the flood");
        assert!(grown <= FLOOD_KIB_MAX, "{grown} KiB");
        assert_eq!(shown(&after, "haetae_accounting_error"), 0.0);
    });
    let counts = ["offered", "kernel_drops", "left_in_ring"].map(|count| number(&kernel, count));
    assert_eq!(counts, [sent, 0, 0], "{kernel}");
    assert_eq!((number(&account, "packets"), &account["unaccounted"]), (sent, &0.into()));
}

#[test]
fn every_rule_and_every_panel_is_answered_by_the_running_service() {
    let possible = possible("every_rule_and_every_panel_is_answered_by_the_running_service");
    if !possible || !is_there("prometheus") || !is_there("promtool") {
        return;
    }
    beside(|link, _, folder| {
        std::fs::write(folder.join("load.pcap"), wire::pcap(&questions(500))).expect("a capture");
        let prometheus = Prometheus::start(&[address().to_string()], &deployed("prometheus/haetae.rules.yml"));
        prometheus.wait_for("count_over_time(haetae_ready[1m]) >= 2", 1);
        let sent = link.send(&folder.join("load.pcap"), 4, Some(500));
        prometheus.wait_for(&format!("sum(haetae_worker_frames_total) == {sent}"), 1);
        let exposition = page(address(), "/metrics");
        assert_eq!(promtool(folder, &["check", "metrics"], &exposition), "");
        described_as_it_is(&exposition);
        for (name, expression, _) in rules() {
            let fires = prometheus.ask(&expression).unwrap_or_else(|why| panic!("rule {name}: {why}"));
            assert!(fires.is_empty(), "rule {name}: {fires:?}");
        }
        for (title, expression) in expressions(&dashboard()) {
            let asked =
                expression.replace("$__rate_interval", "10s").replace("$job", "haetae").replace("$instance", ".+");
            let series = prometheus.ask(&asked).unwrap_or_else(|why| panic!("panel {title}: {why}"));
            let absent = EMPTY.contains(&&title[..]) || ABSENT.iter().any(|prefix| expression.contains(prefix));
            assert_eq!(series.is_empty(), absent, "panel {title}: {asked}: {series:?}");
        }
    });
}

/// The service shows all that the README says and nothing else.
fn described_as_it_is(exposition: &str) {
    let readme = std::fs::read_to_string(deployed("prometheus/README.md")).expect("a README");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let absent = |name: &&str| ABSENT.iter().any(|prefix| name.starts_with(prefix));
    let described: BTreeSet<&str> = rows.filter(|name| name.starts_with("haetae_") && !absent(name)).collect();
    let lines = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert_eq!(lines.collect::<BTreeSet<_>>(), described);
    assert!(names(exposition).is_superset(&described));
}
