//! Puts the frames of a capture on a link: `send-frames IFACE FILE.pcap [TIMES [FRAMES-PER-SECOND]]`. It says how many.
//!
//! For tests in namespaces of their own; the sensor itself has no code that can send.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use haetae::capture::file::{Piece, Pieces};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (Some(interface), Some(file)) = (words.first(), words.get(1)) else {
        eprintln!("usage: send-frames IFACE FILE.pcap [TIMES [FRAMES-PER-SECOND]]");
        return ExitCode::from(2);
    };
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    match send(interface, file, number(2).unwrap_or(1), number(3)) {
        Ok(sent) => {
            println!("{sent}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
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
    let mut pieces = Pieces::open(&[piece]).map_err(|(_, error)| says(error))?;
    let mut frames = Vec::new();
    loop {
        let batch = pieces.poll(64).map_err(|(_, error)| says(error))?;
        if batch.is_empty() {
            return Ok(frames);
        }
        frames.extend(batch.frames().map(|frame| frame.bytes.to_vec()));
    }
}
