//! Replays as a user asks for them: captures in pieces, in folders, cut short.

use std::path::{Path, PathBuf};

use crate::binary::{self, Replay};
use crate::crafted;
use crate::wire;

/// Writes `frames` as a capture of this name, in a folder of its own.
fn capture(folder: &Path, place: &str, name: &str, frames: &[wire::Frame]) -> PathBuf {
    let place = folder.join(place);
    std::fs::create_dir_all(&place).expect("a folder");
    std::fs::write(place.join(name), wire::pcap(frames)).expect("a capture");
    place.join(name)
}

fn replay<'a>(folder: &'a Path, captures: Vec<PathBuf>, options: &[&str]) -> Replay<'a> {
    std::fs::write(folder.join("indicators.yaml"), crafted::indicators()).expect("indicators");
    let options = options.iter().map(ToString::to_string).collect();
    Replay { folder, captures, rules: Some("indicators.yaml".into()), options }
}

#[test]
fn rotated_pieces_joined_say_what_the_whole_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames = &crafted::frames(5)[..40_000];
    let whole = capture(folder.path(), "whole", "a.pcap", frames);
    let pieces: Vec<_> = [("a.pcap", 0..9_999), ("b.pcap", 9_999..10_001), ("c.pcap", 10_001..40_000)]
        .map(|(name, range)| capture(folder.path(), "pieces", name, &frames[range]))
        .into();
    let one = replay(folder.path(), vec![whole], &[]).run(2, 64).expect("a replay");
    let joined = replay(folder.path(), pieces.clone(), &["--continuous"]).run(2, 64).expect("a replay");
    assert!(one.alerts == joined.alerts && one.events == joined.events);
    let apart = replay(folder.path(), pieces, &[]).run(2, 64).expect("a replay");
    assert!(one.events != apart.events, "each capture should have had fresh state");
    assert_eq!(binary::balanced(&apart.stats), Ok(4), "three captures and their sum");
}

#[test]
fn a_capture_cut_short_is_read_to_its_last_whole_packet_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = capture(folder.path(), "cut", "a.pcap", &crafted::frames(5)[..100]);
    let bytes = std::fs::read(&path).expect("a capture");
    std::fs::write(&path, &bytes[..bytes.len() - 3]).expect("a capture");
    let run = replay(folder.path(), vec![path.clone()], &[]).run(1, 64).expect("a cut capture is no failure");
    assert_eq!(run.stats["packets"], 99);
    let rest = run.stats["captures"][0]["cut"][0]["bytes"].as_u64().expect("how much was cut");
    assert!((16..bytes.len() as u64).contains(&rest));
    let strict = binary::haetae().arg("-r").arg(&path).arg("--strict").output().expect("a run");
    assert_eq!(strict.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&strict.stdout).contains("a.pcap"), "the screen should name the file");
}

#[test]
fn a_folder_is_its_captures_by_name_and_what_is_none_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames = crafted::frames(5);
    capture(folder.path(), "folder/b", "two.pcap", &frames[..20]);
    capture(folder.path(), "folder", "one.pcap", &frames[..10]);
    std::fs::write(folder.path().join("folder/README.md"), "no capture").expect("a file");
    let run = replay(folder.path(), vec![folder.path().join("folder")], &[]).run(1, 7).expect("a replay");
    let counts: Vec<_> =
        run.stats["captures"].as_array().expect("captures").iter().map(|c| c["packets"].clone()).collect();
    assert_eq!(counts, [20, 10], "b/two.pcap comes before one.pcap");
}

#[test]
fn every_event_carries_what_it_is_an_event_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let captures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/pcaps"));
    let run = replay(folder.path(), vec![captures.to_path_buf()], &[]).run(2, 64).expect("a replay");
    let events = binary::lines(&run.events).expect("events");
    assert!(events.iter().any(|event| event["event_type"] == "tls"));
    for event in events {
        let kind = event["event_type"].as_str().expect("a type");
        assert!(event[kind].is_object(), "{event}");
    }
}
