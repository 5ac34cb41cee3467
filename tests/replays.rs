//! Replays as a user asks for them: captures in pieces, in folders, cut short.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory")
}

#[test]
fn a_packed_capture_says_what_the_plain_one_says_whatever_the_schedule_and_the_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames = &crafted::frames(5)[..40_000];
    let plain = capture(folder.path(), "plain", "a.pcap", frames);
    let bytes = std::fs::read(&plain).expect("a capture");
    let first = replay(folder.path(), vec![plain], &[]).run(1, 64).expect("a replay");
    let halves = wire::pcapng(frames);
    let members = halves.chunks(1_000_001).map(gzip).collect::<Vec<_>>().concat();
    for (place, packed, exact) in [("gz", gzip(&bytes), true), ("zst", zstd(&bytes), true), ("ng", members, false)] {
        std::fs::create_dir_all(folder.path().join(place)).expect("a folder");
        let path = folder.path().join(place).join("a.pcap");
        std::fs::write(&path, packed).expect("a capture");
        for (workers, batch) in [(1, 7), (2, 64), (3, 1)] {
            let run = replay(folder.path(), vec![path.clone()], &[]).run(workers, batch).expect(place);
            let difference = binary::difference("alerts", &first.alerts, &run.alerts);
            assert!(difference.is_none(), "{place}, {workers}, {batch}: {}", difference.unwrap_or_default());
            assert!(!exact || first.events == run.events, "{place}, {workers}, {batch}: events");
            assert_eq!(run.stats["captures"][0]["cut"], serde_json::json!([]));
        }
    }
}

#[test]
fn packed_pieces_and_plain_ones_are_one_capture_and_a_folder_finds_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames = &crafted::frames(5)[..3_000];
    let whole = capture(folder.path(), "whole", "a.pcap", frames);
    let place = folder.path().join("pieces");
    std::fs::create_dir(&place).expect("a folder");
    std::fs::write(place.join("a.pcap.gz"), gzip(&wire::pcap(&frames[..999]))).expect("a piece");
    std::fs::write(place.join("b.pcap"), wire::pcap(&frames[999..2_000])).expect("a piece");
    std::fs::write(place.join("c.pcap.zst"), zstd(&wire::pcap(&frames[2_000..]))).expect("a piece");
    std::fs::write(place.join("notes.gz"), gzip(b"no capture")).expect("a file");
    let one = replay(folder.path(), vec![whole], &[]).run(1, 64).expect("a replay");
    let joined = replay(folder.path(), vec![place.clone()], &["--continuous"]).run(2, 64).expect("a replay");
    assert!(one.events == joined.events && one.stats["packets"] == joined.stats["packets"]);
}

#[test]
fn a_packed_capture_that_is_cut_or_packed_twice_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = wire::pcap(&crafted::frames(5)[..1_000]);
    let path = folder.path().join("a.pcap.zst");
    let packed = zstd(&bytes);
    std::fs::write(&path, &packed[..packed.len() - 9]).expect("a capture");
    let run = replay(folder.path(), vec![path.clone()], &[]).run(2, 64).expect("a cut capture is no failure");
    assert!(run.stats["packets"].as_u64().is_some_and(|packets| packets < 1_000));
    let reason = run.stats["captures"][0]["cut"][0]["reason"].as_str().map(str::to_owned).expect("a reason");
    assert_eq!(reason, "the Zstandard data ends in its middle");
    let strict = binary::haetae().arg("-r").arg(&path).arg("--strict").output().expect("a run");
    assert_eq!(strict.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&strict.stdout).contains(&reason));
    std::fs::write(&path, gzip(&packed)).expect("a capture");
    let twice = binary::haetae().arg("-r").arg(&path).arg("--workers").arg("3").output().expect("a run");
    let said = String::from_utf8_lossy(&twice.stderr);
    assert!(twice.status.code() == Some(74) && said.contains("compressed twice (Zstandard inside)"), "{said}");
}

#[test]
fn a_bomb_costs_time_and_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    // 256 MiB of records that hold nothing, in a few kilobytes; and one record that claims 256 MiB and has them
    let mut bytes = wire::pcap(&[]);
    let mut encoder =
        zstd::Encoder::new(File::create(folder.path().join("a.zst")).expect("a file"), 3).expect("memory");
    encoder.write_all(&bytes).expect("a file");
    let block = vec![0; 1 << 20];
    (0..256).for_each(|_| encoder.write_all(&block).expect("a file"));
    encoder.finish().expect("a file");
    bytes.extend([0, 0, (256_u32 << 20).to_le(), 0].iter().flat_map(|word| word.to_le_bytes()));
    let mut encoder =
        zstd::Encoder::new(File::create(folder.path().join("b.zst")).expect("a file"), 3).expect("memory");
    encoder.write_all(&bytes).expect("a file");
    (0..256).for_each(|_| encoder.write_all(&block).expect("a file"));
    encoder.finish().expect("a file");
    let sizes = ["a.zst", "b.zst"].map(|name| folder.path().join(name).metadata().expect("a file").len());
    assert!(sizes.iter().all(|size| *size < 64 << 10), "{sizes:?}");
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 3000000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_haetae"), "-r"])
        .args([folder.path().join("a.zst"), folder.path().join("b.zst")])
        .args(["--workers", "2", "--stats", "-"])
        .output()
        .expect("a run");
    binary::healthy(&output).expect("healthy");
    let stats: serde_json::Value = serde_json::from_slice(&output.stdout).expect("stats");
    assert_eq!((&stats["captures"][0]["packets"], &stats["captures"][1]["packets"]), (&16_777_216.into(), &1.into()));
}

/// A run that reads standard input; its alerts go to standard output.
fn listening(folder: &Path, workers: &str) -> Child {
    std::fs::write(folder.join("indicators.yaml"), crafted::indicators()).expect("indicators");
    let mut command = binary::haetae();
    command.current_dir(folder).args(["-r", "-", "-S", "indicators.yaml", "--workers", workers, "--alerts", "-"]);
    command.args(["--stats", "stats.json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

#[test]
fn standard_input_says_what_a_file_says_however_it_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = wire::pcap(&crafted::frames(5)[..20_000]);
    let mut runs = Vec::new();
    for (workers, packed, piece) in [("1", false, 64 << 10), ("3", false, 4_999), ("2", true, 1_003)] {
        let mut child = listening(folder.path(), workers);
        let mut input = child.stdin.take().expect("a pipe");
        let sent = if packed { gzip(&bytes) } else { bytes.clone() };
        let writer = std::thread::spawn(move || sent.chunks(piece).try_for_each(|part| input.write_all(part)));
        let output = child.wait_with_output().expect("an end");
        binary::healthy(&output).expect("healthy");
        writer.join().expect("no panic").expect("all was read");
        runs.push(output.stdout);
    }
    assert!(runs[0].len() > 1_000 && runs.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn an_empty_standard_input_is_no_error_but_is_said() {
    let run = |strict: &[&str]| {
        let mut command = binary::haetae();
        command.args(["-r", "-"]).args(strict).stdin(Stdio::null()).output().expect("a run")
    };
    let (plain, strict) = (run(&[]), run(&["--strict"]));
    let said = String::from_utf8_lossy(&plain.stdout);
    assert_eq!((plain.status.code(), strict.status.code()), (Some(0), Some(65)), "{said}");
    assert!(said.contains("1 file, 0 packets") && said.contains("nothing came, not even a header"), "{said}");
    let twice = binary::haetae().args(["-r", "-", "a.pcap", "-"]).output().expect("a run");
    assert_eq!(twice.status.code(), Some(2));
}

#[test]
fn a_named_pipe_is_read_like_a_file_and_together_with_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames = &crafted::frames(5)[..2_000];
    let path = capture(folder.path(), "files", "a.pcap", &frames[..500]);
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let (into, rest) = (pipe.clone(), wire::pcap(&frames[500..]));
    let writer = std::thread::spawn(move || File::options().write(true).open(into)?.write_all(&rest));
    let run = replay(folder.path(), vec![path, pipe], &["--continuous"]).run(3, 64).expect("a replay");
    writer.join().expect("no panic").expect("all was read");
    assert_eq!(run.stats["packets"], 2_000);
    let whole = capture(folder.path(), "whole", "a.pcap", frames);
    let one = replay(folder.path(), vec![whole], &[]).run(1, 64).expect("a replay");
    assert!(one.alerts == run.alerts && one.events == run.events);
}

#[test]
fn outputs_that_nobody_reads_end_a_replay_whose_input_never_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = listening(folder.path(), "2");
    drop(child.stdout.take());
    let mut input = child.stdin.take().expect("a pipe");
    let frames = wire::pcap(&crafted::frames(5));
    let began = Instant::now();
    input.write_all(&frames[..24]).expect("a header");
    // the pipe stays open: the sensor ends although its input does not
    while input.write_all(&frames[24..]).is_ok() && began.elapsed() < Duration::from_secs(60) {}
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(60));
}
