//! The running service among planted markers: what it sends, logs, shows on its metrics page and to the system; and no core when it
//! dies.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{PATIENCE, Service};
use crate::support::namespaces::{Link, possible};
use crate::taint::searcher::found;
use crate::taint::uplink::Uplink;
use crate::taint::{self, HOST, KEY, PLACES, PLANTED, RESOLVER, Site};

const MORE: &str = "metrics: { listen: \"127.0.0.1:9920\" }\ncapture: [{ interface: b0, backend: libpcap }]\n";

/// A program that may leave a core of any size, if the kernel has it so.
fn with_cores(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\"", program]);
    command
}

#[test]
fn a_running_service_says_nothing_that_is_the_sites_own_and_leaves_no_core() {
    let name = "a_running_service_says_nothing_that_is_the_sites_own_and_leaves_no_core";
    if !possible(name) {
        return;
    }
    let link = Link::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            link.enter();
            let uplink = Uplink::start();
            let site = Site::new(KEY, &taint::traffic(HOST, RESOLVER), &uplink, MORE);
            let words = ["--workers", "1"];
            let mut service = Service::start_by(&link, &site.home, with_cores(env!("CARGO_BIN_EXE_haetae")), &words);
            let capture = site.home.join("traffic.pcap");
            let until = Instant::now() + PATIENCE;
            let came = |wanted: &str| uplink.records().iter().any(|record| record.to_string().contains(wanted));
            link.send(&capture, 1, None);
            while !["\"i-1\"", "\"i-2\"", "\"i-3\"", "\"i-4\""].into_iter().all(came) {
                assert!(Instant::now() < until, "{:?}, {:?}", uplink.records(), service.heard);
                std::thread::sleep(Duration::from_millis(50));
            }
            let page = crate::metrics::page(([127, 0, 0, 1], 9920).into(), "/metrics");
            assert!(page.contains("haetae_"), "{page}");
            let shown = taint::surroundings(service.child.id());
            assert!(String::from_utf8_lossy(&shown).contains("haetae"));
            let status = {
                service.signal("ABRT");
                service.child.wait().expect("it ends")
            };
            while let Ok(line) = service.said.recv_timeout(Duration::from_secs(5)) {
                service.heard.push(line);
            }
            let log: String = service.heard.iter().map(|line| format!("{line}\n")).collect();
            let local = std::fs::read_to_string(site.home.join("eve.json")).expect("a log");
            taint::all_stories_are_told(&local, &uplink.records());
            let (planted, secrets) = (taint::marked(&PLANTED), taint::secrets());
            let own = [planted.clone(), secrets.clone()].concat();
            let all = [own.clone(), taint::marked(&PLACES)].concat();
            assert_eq!(found(&all, &uplink.bytes()), Vec::<String>::new(), "in what was sent");
            assert_eq!(found(&all, page.as_bytes()), Vec::<String>::new(), "in the metrics");
            assert_eq!(found(&own, log.as_bytes()), Vec::<String>::new(), "in the log");
            assert_eq!(found(&own, &shown), Vec::<String>::new(), "in the surroundings");
            no_core(name, status, &site);
        });
    });
}

/// A program that may leave a core does, here; this one, which may as well, did not.
fn no_core(test: &str, status: std::process::ExitStatus, site: &Site) {
    assert_eq!(status.signal(), Some(6), "{status}");
    assert!(!status.core_dumped(), "its memory was written down");
    let cores = std::fs::read_dir(&site.home).expect("a folder").flatten();
    assert_eq!(cores.filter(|file| file.file_name().to_string_lossy().starts_with("core")).count(), 0);
    let folder = tempfile::tempdir().expect("a folder");
    let mut other = with_cores("sh");
    let other = other.args(["-c", "kill -ABRT $$"]).current_dir(folder.path()).status().expect("it runs");
    assert_eq!(other.signal(), Some(6));
    if !other.core_dumped() {
        eprintln!(
            "\n*** {test}: this kernel writes no core for anybody: that ours leaves none is not shown by it ***\n"
        );
    }
}
