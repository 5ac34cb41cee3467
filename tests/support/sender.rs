//! Puts the frames of a capture on a link, from inside a namespace: this test binary, run again as a program of its own. The
//! sensor itself has no code that can send.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use haetae::capture::pieces::{Piece, Pieces};

/// What to send: interface, file, times, frames a second (0: as fast as they go).
const ORDER: &str = "HAETAE_TEST_SEND";

/// A command that sends, and prints how many frames it sent.
pub fn sender(interface: &str, capture: &Path, times: u64, per_second: Option<u64>) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    let order = format!("{interface}\n{}\n{times}\n{}", capture.display(), per_second.unwrap_or(0));
    command.args(["--exact", "support::sender::puts_frames_on_a_link", "--nocapture"]).env(ORDER, order);
    command
}

/// No test by itself: without an order it has nothing to do.
#[test]
fn puts_frames_on_a_link() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let words: Vec<&str> = order.split('\n').collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let rate = Some(number(3)).filter(|rate| *rate > 0);
    let sent = send(words[0], words[1], number(2), rate).unwrap_or_else(|why| panic!("{why}"));
    println!("sent {sent} frames");
}

fn send(interface: &str, file: &str, times: u64, per_second: Option<u64>) -> Result<u64, String> {
    let link = pcap::Capture::from_device(interface).and_then(pcap::Capture::open);
    let mut link = link.map_err(|error| format!("{interface}: {error}"))?;
    let frames = frames(file)?;
    let (began, mut sent) = (Instant::now(), 0);
    for _ in 0..times {
        for frame in &frames {
            if let Some(rate) = per_second {
                let due = began + Duration::from_nanos(sent * 1_000_000_000 / rate.max(1));
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            put(&mut link, frame)?;
            sent += 1;
        }
    }
    Ok(sent)
}

/// A full queue is waited for: every frame that is counted was sent.
fn put(link: &mut pcap::Capture<pcap::Active>, frame: &[u8]) -> Result<(), String> {
    let give_up = Instant::now() + Duration::from_secs(5);
    loop {
        match link.sendpacket(frame) {
            Ok(()) => return Ok(()),
            Err(error) if error.to_string().contains("buffer") && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(error) => return Err(format!("{error}, at a frame of {} bytes", frame.len())),
        }
    }
}

fn frames(file: &str) -> Result<Vec<Vec<u8>>, String> {
    let says = |error: std::io::Error| format!("{file}: {error}");
    let piece = Piece::measured(file.as_ref()).map_err(says)?;
    let mut pieces = Pieces::open(&[piece], None).map_err(|(_, error)| says(error))?;
    let mut frames = Vec::new();
    loop {
        let batch = pieces.poll(64).map_err(|(_, error)| says(error))?;
        if batch.is_empty() {
            return Ok(frames);
        }
        frames.extend(batch.frames().map(|frame| frame.bytes.to_vec()));
    }
}
