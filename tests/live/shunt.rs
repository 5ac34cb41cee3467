//! Flows with nothing more to learn, counted by the kernel: what is said of them is the same to the last byte, and their
//! packets are not heard.

use super::xdp::{adds_up, ended, on_af_xdp};
use super::*;

const LISTED: &str = "format: haetae/1\nindicators:\n  - { ip: 10.77.255.90, severity: high }\n";

/// Behind these nothing is read any more (RFC 6455).
const UPGRADE: &[u8] = b"GET /feed HTTP/1.1\r\nHost: h.example\r\nUpgrade: websocket\r\n\r\n";
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

/// Segments of one capture of bulk, and their bytes.
const SEGMENTS: u32 = 1_000;
const SEGMENT_BYTES: usize = 1_400;

/// A conversation in three captures: its beginning, its bulk (which may be sent as often as one likes), and its end.
struct Bulk {
    begin: PathBuf,
    bulk: PathBuf,
    end: PathBuf,
}

impl Bulk {
    fn new(folder: &Path, wrap: Wrap) -> Bulk {
        let client = Ends { from: ([10, 0, 9, 9].into(), 40_000), to: ([10, 77, 255, 90].into(), 9_999) };
        let server = client.turned();
        let frame = |ends: Ends, sequence, acknowledged, flags, payload: &[u8]| {
            let bytes =
                wire::framed(&wire::ip(ends, 6, &wire::tcp(ends, sequence, acknowledged, flags, payload)), wrap);
            Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes }
        };
        let (here, there) = (1_001 + UPGRADE.len() as u32, 5_001 + UPGRADED.len() as u32);
        let begin = [
            frame(client, 1_000, 0, wire::SYN, &[]),
            frame(server, 5_000, 1_001, wire::SYN | wire::ACK, &[]),
            frame(client, 1_001, 5_001, wire::ACK, &[]),
            frame(client, 1_001, 5_001, wire::PUSH_ACK, UPGRADE),
            frame(server, 5_001, here, wire::PUSH_ACK, UPGRADED),
        ];
        let mut bulk = Vec::new();
        for at in 0..SEGMENTS {
            let next = there + at * SEGMENT_BYTES as u32;
            bulk.push(frame(server, next, here, wire::ACK, &[0xF3; SEGMENT_BYTES]));
            if at % 2 == 1 {
                bulk.push(frame(client, here, next + SEGMENT_BYTES as u32, wire::ACK, &[]));
            }
        }
        let end = [
            frame(server, there, here, wire::FIN | wire::ACK, &[]),
            frame(client, here, there + 1, wire::FIN | wire::ACK, &[]),
            frame(server, there + 1, here + 1, wire::ACK, &[]),
        ];
        let put = |name: &str, frames: &[Frame]| {
            let path = folder.join(name);
            std::fs::write(&path, wire::pcap(frames)).expect("a capture");
            path
        };
        Bulk { begin: put("begin.pcap", &begin), bulk: put("bulk.pcap", &bulk), end: put("end.pcap", &end) }
    }
}

/// Processor time that a process has taken so far, in ticks.
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}

struct Told {
    link: Value,
    /// What is said of the flow, without times.
    flow: Value,
    contact: Value,
    sent: u64,
    ticks: u64,
}

/// The same conversation, once more.
fn told(wrap: Wrap, times: u64, workers: &str, shunt: &str) -> Told {
    let (link, folder) = (Link::new(), site(LISTED, ""));
    let bulk = Bulk::new(folder.path(), wrap);
    let capture = format!("capture=[{{interface: b0, backend: af_xdp, ring: 32MiB{shunt}}}]");
    let words = ["--workers", workers, "--set", &capture, "--set", "outputs.eve.events=[alert, flow]"];
    let service = Service::start(&link, folder.path(), &words);
    let before = ticks(service.child.id());
    let mut sent = link.send(&bulk.begin, 1, None);
    sent += link.send(&bulk.bulk, times, Some(10_000));
    // the last look at what the kernel counted is a moment ago
    std::thread::sleep(Duration::from_millis(700));
    sent += link.send(&bulk.end, 1, None);
    std::thread::sleep(Duration::from_millis(300));
    let ticks = ticks(service.child.id()) - before;
    let (_, counted, account) = ended(service);
    assert_eq!((number(&account, "flows"), number(&account, "alerts")), (1, 1), "{account}");
    let lines = binary::lines(&std::fs::read(folder.path().join("eve.json")).expect("a log")).expect("whole lines");
    let mut flow = lines.iter().find(|line| line["event_type"] == "flow").expect("its record").clone();
    for time in ["timestamp", "flow_id"] {
        flow.as_object_mut().expect("a record").remove(time);
    }
    for time in ["start", "end", "age"] {
        flow["flow"].as_object_mut().expect("its numbers").remove(time);
    }
    let last = lines.iter().find(|line| line.pointer("/alert/context/haetae/final") == Some(&Value::Bool(true)));
    let mut contact = last.expect("the alert's last revision")["alert"]["context"]["haetae"]["contact"].clone();
    for time in ["first", "last"] {
        contact.as_object_mut().expect("how far it went").remove(time);
    }
    Told { link: counted, flow, contact, sent, ticks }
}

#[test]
fn what_the_kernel_counts_is_told_as_what_is_heard() {
    if !possible("what_the_kernel_counts_is_told_as_what_is_heard") {
        return;
    }
    for (wrap, times, workers) in [(Wrap::Plain, 36, "2"), (Wrap::QinQ(100, 200), 4, "1"), (Wrap::Vlan(7), 4, "2")] {
        let off = told(wrap, times, workers, "");
        let on = told(wrap, times, workers, ", shunt: 1MiB");
        let count = |name| number(&on.link, name);
        assert_eq!(on.sent, off.sent);
        adds_up(&off.link, off.sent);
        adds_up(&on.link, on.sent);
        assert_eq!((number(&off.link, "received"), number(&off.link, "shunted")), (off.sent, 0), "{}", off.link);
        assert_eq!(count("received") + count("shunted"), on.sent, "nothing was lost: {}", on.link);
        // 1 MiB is half of one capture of bulk, and one is at most so much more until both directions are taken
        assert!(count("received") < 5 + 3 + 2 * u64::from(SEGMENTS), "{}", on.link);
        let (frames, bytes) = (count("shunted"), count("shunted_bytes"));
        assert!(bytes > frames * 60 && bytes < frames * 1_500, "{}", on.link);
        assert_eq!(on.flow, off.flow, "{} {}", on.link, off.link);
        assert_eq!(on.contact, off.contact);
        let total: u64 = ["pkts_toserver", "pkts_toclient"].iter().map(|name| number(&on.flow["flow"], name)).sum();
        assert_eq!(total, on.sent, "{}", on.flow);
        eprintln!("shunted: {} of {} frames; {} ticks instead of {}", frames, on.sent, on.ticks, off.ticks);
    }
}

#[test]
fn what_travels_in_a_tunnel_is_heard() {
    if !possible("what_travels_in_a_tunnel_is_heard") {
        return;
    }
    for wrap in [Wrap::Gre, Wrap::Vxlan(7)] {
        let on = told(wrap, 2, "1", ", shunt: 64KiB");
        adds_up(&on.link, on.sent);
        assert_eq!((number(&on.link, "received"), number(&on.link, "shunted")), (on.sent, 0), "{}", on.link);
    }
}

#[test]
fn an_interface_that_goes_away_takes_no_count_with_it() {
    if !possible("an_interface_that_goes_away_takes_no_count_with_it") {
        return;
    }
    let (link, folder) = (Link::new(), site(LISTED, ""));
    let bulk = Bulk::new(folder.path(), Wrap::Plain);
    let mut service = on_af_xdp(&link, folder.path(), "2", ", shunt: 1MiB");
    let mut sent = link.send(&bulk.begin, 1, None) + link.send(&bulk.bulk, 4, Some(10_000));
    std::thread::sleep(Duration::from_millis(500));
    link.unplug();
    service.hear("cannot be read");
    link.plug();
    service.hear("read again");
    sent += link.send(&bulk.bulk, 4, Some(10_000)) + link.send(&bulk.end, 1, None);
    std::thread::sleep(Duration::from_millis(300));
    let (_, counted, account) = ended(service);
    adds_up(&counted, sent);
    assert_eq!((number(&account, "flows"), number(&account, "alerts")), (1, 1), "{account}");
    assert_eq!(number(&counted, "received") + number(&counted, "shunted"), sent, "{counted}");
    assert!(number(&counted, "shunted") > 6_000, "on both sides of the gap: {counted}");
}
