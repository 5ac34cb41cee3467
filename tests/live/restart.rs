//! A worker that dies of a packet: it alone begins again, the others lose nothing, the packet is kept, and the third time its
//! flow is skipped. What is provoked is a payload with a text in it, on real links, by both backends.

use super::load::{metrics, sum};
use super::*;

/// Long since answered.
const BACK_WITHIN: f64 = 1.0;

/// Datagrams that kill, all of one flow.
fn poison() -> Frame {
    let ends = Ends { from: ([10, 66, 6, 6].into(), 6_666), to: ([10, 77, 255, 9].into(), 9_999) };
    let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, b"this is POISON to whoever reads it")), Wrap::Plain);
    Frame { micros: 1_795_262_400_000_000, wire_bytes: bytes.len() as u32, bytes }
}

/// So many questions, each an alert, with one poisonous datagram in their midst.
fn poisoned(questions: Vec<Frame>) -> Vec<Frame> {
    let mut frames = questions;
    frames.insert(frames.len() / 2, poison());
    frames
}

/// What a service is started with, so that its workers fail this way.
fn start(link: &Link, folder: &Path, backend: &str, way: &str, more: &[&str]) -> Service {
    let capture = format!("capture=[{{interface: b0, backend: {backend}, ring: 16MiB}}]");
    let provoke = format!("{way}=POISON");
    let words = ["--workers", "2", "--set", &capture, "--provoke", &provoke];
    Service::start(link, folder, &[&words[..], more].concat())
}

/// What the service shows of itself, asked on its own side of the link.
fn shown(link: &Link) -> BTreeMap<String, f64> {
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            link.enter();
            metrics(9920)
        });
        asked.join().expect("it answers")
    })
}

const KEPT: &str = "metrics: { listen: \"127.0.0.1:9920\" }\nquarantine: { directory: kept, files: 4 }\n";

/// Sends poison among questions, twice, and a third time; whatever way the workers fail, and whoever reads the link.
fn dies_twice_and_is_wary(backend: &str, way: &str, cause: &str) {
    const QUESTIONS: u32 = 2_000;
    let (link, folder) = (Link::of_queues(2), site(BAD_EXAMPLE, KEPT));
    let mut service = start(&link, folder.path(), backend, way, &[]);
    let all = questions(3 * QUESTIONS);
    let capture = folder.path().join("part.pcap");
    let mut sent = 0;
    for (round, part) in all.chunks(QUESTIONS as usize).enumerate() {
        std::fs::write(&capture, wire::pcap(&poisoned(part.to_vec()))).expect("a capture");
        sent += link.send(&capture, 1, Some(4_000));
        if round == 2 {
            break;
        }
        let said = service.hear("has begun again");
        assert_eq!((&said["cause"], &said["doing"]), (&cause.into(), &"a packet".into()), "{said}");
        assert!(said["seconds"].as_f64().is_some_and(|seconds| seconds < BACK_WITHIN), "{said}");
        service.hear("is kept");
        eprintln!("{backend} {way}: {said}");
    }
    std::thread::sleep(Duration::from_millis(700));
    let seen = shown(&link);
    let deaths =
        |worker: usize| seen[&format!("haetae_worker_restarts_total{{worker=\"{worker}\",cause=\"{cause}\"}}")] as u64;
    let (a, b) = (deaths(0).max(deaths(1)), deaths(0).min(deaths(1)));
    assert_eq!((a, b, sum(&seen, "haetae_worker_restarts_total")), (2, 0, 2), "one of them died: {seen:?}");
    assert_eq!((sum(&seen, "haetae_ready"), sum(&seen, "haetae_accounting_error")), (1, 0), "{seen:?}");
    assert_eq!(seen["haetae_quarantined_packets_total{outcome=\"saved\"}"] as u64, 2, "{seen:?}");
    let (kernel, account, status, _) = service.end();
    assert!(status.success(), "{account}");
    let count = |name| number(&account, name);
    assert_eq!((number(&kernel, "received"), count("packets"), count("unaccounted")), (sent, sent, 0), "{account}");
    assert_eq!((count("restarts"), count("skipped_poisonous")), (2, 1), "{account}");
    // every question that was not in hand with the poison is an alert: the other worker lost none, and this one went on
    assert_eq!(count("alerts") + count("lost_in_restart"), u64::from(3 * QUESTIONS) + 2, "{account}");
    assert!((2..=512).contains(&count("lost_in_restart")), "{account}");
    assert_eq!((count("alerts_shed"), count("hand_off_full")), (0, 0), "{account}");
    let lines = binary::lines(&std::fs::read(folder.path().join("eve.json")).expect("a log")).expect("whole lines");
    let first = lines.iter().filter(|line| line.pointer("/alert/context/haetae/revision") == Some(&1.into()));
    assert_eq!(first.count() as u64, count("alerts"), "what was raised was delivered");
    what_is_kept_shows_it_again(folder.path(), 2);
}

/// A replay of each packet that was kept dies the same way, and says of which frame; without provocation it does not.
fn what_is_kept_shows_it_again(folder: &Path, files: usize) {
    let kept: Vec<PathBuf> = std::fs::read_dir(folder.join("kept"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(kept.len(), files, "{kept:?}");
    for packet in kept {
        let mut command = binary::haetae();
        let provoked = command.arg("-r").arg(&packet).args(["--provoke", "panic=POISON"]).output().expect("it runs");
        let said = String::from_utf8_lossy(&provoked.stderr);
        assert!(said.contains("a thread died of frame 1: provoked"), "{said}");
        assert_eq!(provoked.status.code(), Some(70), "{said}");
        let sound = binary::haetae().arg("-r").arg(&packet).output().expect("it runs");
        assert!(sound.status.success());
    }
}

#[test]
fn a_worker_that_panics_begins_again_and_the_other_does_not_notice() {
    if !possible("a_worker_that_panics_begins_again_and_the_other_does_not_notice") {
        return;
    }
    dies_twice_and_is_wary("libpcap", "panic", "panic");
    dies_twice_and_is_wary("af_xdp", "panic", "panic");
}
