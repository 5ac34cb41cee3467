//! What others do to an interface that is read: it gets another name, or its name another interface; larger frames; its
//! promiscuity is taken back. What has to be noticed is noticed within two seconds, with its reason; the books hold.

use super::links::Asking;
use super::xdp::large_requests;
use super::*;

/// From a change until the sensor has said that it noticed, or is back.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);

/// By each way of reading it: a link of two queues for two workers, and whatever is done to it.
fn by_each_backend(test: &str, change: impl Fn(&Link, &Path, &mut Service, &mut Asking<'_>)) {
    if !possible(test) {
        return;
    }
    for backend in ["af_xdp", "libpcap"] {
        let (link, folder) = (Link::of_queues(2), site(BAD_EXAMPLE, ""));
        let capture = format!("capture=[{{interface: b0, backend: {backend}, ring: 16MiB}}]");
        let mut service = Service::start(&link, folder.path(), &["--workers", "2", "--set", &capture]);
        let mut asking = Asking::new(&link, folder.path());
        asking.until_heard("at first");
        change(&link, folder.path(), &mut service, &mut asking);
        let (kernel, account, status, _) = service.end();
        let count = |name| number(&kernel, name);
        assert!(status.success() && account["unaccounted"] == 0, "{backend}: {account}");
        assert_eq!((number(&account, "packets"), count("left_in_ring")), (count("received"), 0), "{kernel}");
        assert_eq!(count("offered"), count("received") + count("kernel_drops"), "{kernel}");
    }
}

/// Waits for these words, and for no longer than a site may.
fn hear_soon(service: &mut Service, words: &str) -> Value {
    let began = Instant::now();
    let said = service.hear(words);
    assert!(began.elapsed() < NOTICED_WITHIN, "{:?}: {said}", began.elapsed());
    said
}

#[test]
fn an_interface_that_is_renamed_is_gone_until_its_name_is_back() {
    by_each_backend("an_interface_that_is_renamed_is_gone_until_its_name_is_back", |link, _, service, asking| {
        for down in [true, false] {
            let rename = |from, to| {
                let bring = |name, how| drop(link.ip_at_sensor(&["link", "set", name, how]));
                let words = ["link", "set", from, "name", to];
                down.then(|| bring(from, "down"));
                let mut command = Command::new("ip");
                let renamed = link.at_sensor(command.args(words)).output().expect("ip").status.success();
                down.then(|| bring(to, "up"));
                renamed
            };
            if !rename("b0", "c0") {
                // only newer kernels rename what is up
                assert!(!down, "it cannot be renamed");
                eprintln!("\n*** renamed while it is up: NOT TESTED: this kernel does not do that ***\n");
                continue;
            }
            let said = hear_soon(service, "cannot be read");
            assert!(said["reason"].as_str().is_some_and(|reason| reason.contains("interface")), "{said}");
            assert!(rename("c0", "b0"));
            let back = asking.until_heard("it has its name again");
            hear_soon(service, "read again");
            eprintln!("renamed (down first: {down}): {}; back after {back:?}", said["reason"]);
        }
    });
}

#[test]
fn a_name_that_passes_to_another_interface_is_read_there() {
    by_each_backend("a_name_that_passes_to_another_interface_is_read_there", |link, _, service, _| {
        // as where two ports are named anew, one after the other
        for words in ["link add b1 type veth peer name a1", "link set a1 up", "link set b0 down"] {
            link.ip_at_sensor(&words.split(' ').collect::<Vec<_>>());
        }
        for words in ["link set b0 name old", "link set old up", "link set b1 name b0", "link set b0 arp off up"] {
            link.ip_at_sensor(&words.split(' ').collect::<Vec<_>>());
        }
        hear_soon(service, "cannot be read");
        hear_soon(service, "read again");
        // what still comes by the old one is nobody's
        let ours = |name: &str| {
            let path = format!("/sys/class/net/{name}/statistics/rx_packets");
            link.run_at_sensor("cat", &[&path]).trim().parse::<u64>().expect("a number")
        };
        assert_eq!(ours("b0"), 0, "nothing was sent by it");
        assert!(link.ip_at_sensor(&["-d", "link", "show", "b0"]).contains("promiscuity"));
        let promiscuity = |name| link.ip_at_sensor(&["-d", "link", "show", name]).contains("promiscuity 0");
        assert_eq!((promiscuity("b0"), promiscuity("old")), (false, true), "which of the two is held");
    });
}

#[test]
fn larger_frames_than_at_the_start_are_read_whole() {
    by_each_backend("larger_frames_than_at_the_start_are_read_whole", |link, folder, service, asking| {
        let mtu = |bytes: &str| {
            link.ip_at_sensor(&["link", "set", "b0", "mtu", bytes]);
            link.run_at_sender("ip", &["link", "set", "a0", "mtu", bytes]);
        };
        mtu("1500");
        let back = asking.until_heard("with the usual frames");
        mtu("9000");
        let again = asking.until_heard("with large ones allowed");
        let (capture, log) = (folder.join("large.pcap"), folder.join("eve.json"));
        std::fs::write(&capture, wire::pcap(&large_requests(100))).expect("a capture");
        link.send(&capture, 1, Some(2_000));
        let requests = || {
            let lines = binary::lines(&std::fs::read(&log).expect("a log")).unwrap_or_default();
            lines.iter().filter(|line| line["proto"] == "TCP" && line.pointer(FINAL) == Some(&false.into())).count()
        };
        let until = Instant::now() + NOTICED_WITHIN;
        while requests() < 100 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(requests(), 100, "each name stands behind 8,400 bytes");
        assert!(service.said.try_iter().all(|line| line["message"] != "cannot be read"));
        eprintln!("1500: heard after {back:?}; 9000: after {again:?}");
    });
}

/// Whether an alert's line is its last.
const FINAL: &str = "/alert/context/haetae/final";

#[test]
fn promiscuity_that_somebody_takes_back_is_kept() {
    by_each_backend("promiscuity_that_somebody_takes_back_is_kept", |link, _, _, asking| {
        let held = || {
            let said = link.ip_at_sensor(&["-d", "link", "show", "b0"]);
            let count = said.split("promiscuity ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
            count.unwrap_or_else(|| panic!("{said}"))
        };
        let before = held();
        assert!(before >= 1, "it asked for it");
        for how in ["on", "off", "off"] {
            link.ip_at_sensor(&["link", "set", "b0", "promisc", how]);
        }
        assert_eq!(held(), before, "the sensor's own share stays");
        asking.until_heard("after somebody took it back");
        link.unplug();
        link.plug();
        asking.until_heard("made anew");
        assert_eq!(held(), before, "and is asked for anew with the interface");
    });
}
