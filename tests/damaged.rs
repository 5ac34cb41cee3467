//! Captures that are cut, mutated, empty or odd: every whole packet is processed, what is skipped is said, nothing panics.
//!
//! In: captures of every container, made here, and every way to damage them. Out: how many were tried. The reader alone is
//! shown all of them; the binary, with workers and all that is behind the reader, is shown those that it can be shown together.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use haetae::capture::file::{Cut, Reader};
use haetae::capture::pieces::{Piece, Pieces};

use crate::binary;
use crate::crafted;
use crate::wire::{self, Frame};

/// Bytes at the end of a capture that are each a place to cut it.
const CUTS: usize = 65_536;

/// A capture with what is known of it from how it was made.
struct Made {
    name: &'static str,
    bytes: Vec<u8>,
    /// Where the file header and each record end.
    ends: Vec<usize>,
}

/// Where records end that have `header` bytes before each frame, and frames padded to `pad`.
fn ends(first: usize, header: usize, pad: usize, frames: &[Frame]) -> Vec<usize> {
    let add = |at: &mut usize, frame: &Frame| {
        *at += header + frame.bytes.len().next_multiple_of(pad);
        Some(*at)
    };
    [first].into_iter().chain(frames.iter().scan(first, add)).collect()
}

/// The same frames in every container.
fn made(frames: &[Frame]) -> [Made; 3] {
    let classic = || ends(24, 16, 1, frames);
    let made = [
        Made { name: "pcap", bytes: wire::pcap(frames), ends: classic() },
        Made { name: "big-endian", bytes: wire::pcap_big_endian_nanoseconds(frames), ends: classic() },
        // a section of 28 bytes, an interface of 20, and 32 around each packet
        Made { name: "pcapng", bytes: wire::pcapng(frames), ends: ends(48, 32, 4, frames) },
    ];
    made.iter().for_each(|made| assert_eq!(made.ends.last(), Some(&made.bytes.len()), "{}", made.name));
    made
}

/// Frames that fill somewhat more than [`CUTS`] bytes in every container.
fn frames() -> Vec<Frame> {
    let all = crafted::frames(5);
    let mut bytes = 0;
    let wanted = all.iter().take_while(|frame| {
        bytes += 16 + frame.bytes.len();
        bytes < CUTS + 2_000
    });
    wanted.cloned().collect()
}

/// How many frames there were, how many bytes they had, and what was not read.
fn read(bytes: &[u8]) -> (usize, usize, Option<Cut>) {
    let mut reader = Reader::new(bytes).expect("a capture");
    let (mut frames, mut len) = (0, 0);
    loop {
        let batch = reader.poll(64).expect("readable");
        if batch.is_empty() {
            return (frames, len, reader.cut().cloned());
        }
        frames += batch.len();
        len += batch.frames().map(|frame| frame.bytes.len()).sum::<usize>();
    }
}

#[test]
fn cut_at_each_of_its_last_bytes_a_capture_gives_every_whole_packet_and_says_how_much_it_lost() {
    let (frames, mut tried) = (frames(), 0);
    for made in made(&frames) {
        assert!(made.bytes.len() > CUTS);
        for end in made.bytes.len() - CUTS..made.bytes.len() {
            let whole = made.ends.partition_point(|&edge| edge <= end);
            let (got, _, cut) = read(&made.bytes[..end]);
            let behind = (end - made.ends[whole - 1]) as u64;
            assert_eq!(got, whole - 1, "{} cut at {end}", made.name);
            assert_eq!(cut.map_or(0, |cut| cut.bytes), behind, "{} cut at {end}", made.name);
            tried += 1;
        }
    }
    assert_eq!(tried, 3 * CUTS);
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a capture");
    path
}

/// Runs the binary on captures together: its exit code, and what it counted.
fn run(captures: &[PathBuf], options: &[&str]) -> (Option<i32>, serde_json::Value) {
    let mut command = binary::haetae();
    let output = command.arg("-r").args(captures).args(options).args(["--stats", "-"]).output().expect("a run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some() && !said.contains("panicked at"), "{} {said}", output.status);
    let stats = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    binary::balanced(&stats).expect("books that balance");
    (output.status.code(), stats)
}

#[test]
fn the_sensor_processes_what_is_before_a_cut_and_its_exit_code_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let (frames, mut tried) = (frames(), 0);
    for made in made(&frames) {
        let last = made.bytes.len();
        let places: Vec<usize> = (last - CUTS..last).step_by(1_021).chain([0, 3, 10, 23, 34, last - 1]).collect();
        let cut = |&end: &usize| written(folder.path(), &format!("{end:06}"), &made.bytes[..end]);
        let captures: Vec<PathBuf> = places.iter().map(cut).collect();
        for workers in ["1", "3"] {
            let (code, stats) = run(&captures, &["--strict", "--workers", workers]);
            assert_eq!(code, Some(65));
            for (end, capture) in places.iter().zip(stats["captures"].as_array().expect("captures")) {
                let whole = made.ends.partition_point(|edge| edge <= end);
                let behind = end - whole.checked_sub(1).map_or(0, |before| made.ends[before]);
                // sections and interfaces are whole blocks too
                let behind = if made.name == "pcapng" && *end < 48 { end % 28 } else { behind };
                assert_eq!(capture["packets"], whole.saturating_sub(1), "{} cut at {end}", made.name);
                assert_eq!(capture["cut"][0]["bytes"].as_u64().unwrap_or(0), behind as u64, "{} {end}", made.name);
                tried += 1;
            }
        }
        assert_eq!(run(&captures, &[]).0, Some(0), "without --strict it is no error");
    }
    assert!(tried > 400, "{tried}");
}

/// What a byte of a header is made into.
fn mutations(byte: u8) -> Vec<u8> {
    let mut all: Vec<u8> = (0..8).map(|bit| byte ^ 1 << bit).collect();
    all.extend([0, 1, 0x7F, 0x80, 0xFF, byte.wrapping_add(1), byte.wrapping_sub(1)]);
    all.retain(|other| *other != byte);
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn every_byte_of_every_header_may_be_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames = &frames()[..40];
    let (mut tried, mut refused) = (0, 0);
    for made in made(frames) {
        // the file header, and the headers of the first, a middle and the last record
        let headers = [0, 20, 39].map(|record| made.ends[record]..made.ends[record] + 28);
        let places = (0..made.ends[0]).chain(headers.into_iter().flatten());
        let mut captures = Vec::new();
        for at in places.filter(|&at| at < made.bytes.len()) {
            for byte in mutations(made.bytes[at]) {
                let mut bytes = made.bytes.clone();
                bytes[at] = byte;
                tried += 1;
                if Reader::new(&bytes[..]).is_err() {
                    assert!(at < 12, "{}: byte {at} made {byte}: refused", made.name);
                    refused += 1;
                    continue;
                }
                let (got, len, cut) = read(&bytes);
                let before = made.ends.partition_point(|&end| end <= at).saturating_sub(1);
                assert!(at < made.ends[0] || got >= before, "{}: byte {at} made {byte}: {got} frames", made.name);
                let lost = cut.map_or(0, |cut| cut.bytes) as usize;
                assert!(len + lost <= bytes.len(), "{}: byte {at} made {byte}: bytes from nowhere", made.name);
                captures.push(written(folder.path(), &format!("{}-{at}-{byte}", made.name), &bytes));
            }
        }
        for group in captures.chunks(250) {
            let (code, stats) = run(group, &["--workers", "2"]);
            assert_eq!((code, stats["captures"].as_array().map(Vec::len)), (Some(0), Some(group.len())));
        }
    }
    assert!(tried > 3_500 && refused > 50 && refused < tried / 10, "{refused} of {tried} refused");
}

#[test]
fn frames_of_no_length_and_frames_cut_by_the_snap_length_are_packets() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut frames = frames()[..9].to_vec();
    frames[2].bytes.clear();
    frames[8].bytes.clear();
    frames[5].bytes.truncate(20);
    for made in made(&frames) {
        assert_eq!(read(&made.bytes).0, 9, "{}", made.name);
        let (code, stats) = run(&[written(folder.path(), made.name, &made.bytes)], &["--strict"]);
        assert_eq!((code, &stats["packets"]), (Some(0), &9.into()), "{}", made.name);
    }
}

#[test]
fn an_empty_capture_is_no_error_and_takes_no_time() {
    let folder = tempfile::tempdir().expect("a folder");
    for made in made(&[]) {
        let began = Instant::now();
        let (code, stats) = run(&[written(folder.path(), made.name, &made.bytes)], &["--strict"]);
        assert_eq!((code, &stats["packets"]), (Some(0), &0.into()), "{}", made.name);
        assert!(began.elapsed() < Duration::from_secs(1), "{}: {:?}", made.name, began.elapsed());
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_only_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames: Vec<Frame> = frames().into_iter().cycle().take(20_000).collect();
    let made = &made(&frames)[0];
    let path = written(folder.path(), "a.pcap", &made.bytes);
    let mut pieces = Pieces::open(&[Piece::measured(&path).expect("there")], None).expect("a capture");
    let mut got = pieces.poll(64).expect("readable").len();
    let end = made.bytes.len() / 2 + 7;
    std::fs::File::options().write(true).open(&path).and_then(|file| file.set_len(end as u64)).expect("cut");
    loop {
        match pieces.poll(64).expect("readable").len() {
            0 => break,
            frames => got += frames,
        }
    }
    assert!(!pieces.advance().expect("the end"));
    assert_eq!(got, made.ends.partition_point(|&edge| edge <= end) - 1);
    let cuts = pieces.into_cuts();
    assert_eq!(cuts.len(), usize::from(!made.ends.contains(&end)));
}
