//! The two ends of the bench of a tap (`tests/bench/tap`): frames that the kernel makes, and the empty loop that a sensor is
//! measured against. The two run in network namespaces of their own; see README.md beside this file.
//!
//! usage: tap-bench send INTERFACE SECONDS [FLOWS [BYTES]]    sends 64-byte UDP frames of so many flows; says how many
//!        tap-bench drop INTERFACE SECONDS [spin]             receives and drops until then or until SIGTERM; says what came

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use af_xdp::{Error, Flood, Hold, Options, OwnRights};

/// Ethernet, IPv4, UDP: the source port is at 34.
fn frame(len: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    let bytes = (len - 14) as u16;
    frame.extend([0x45, 0]);
    frame.extend(bytes.to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, 17, 0, 0, 10, 9, 9, 9, 10, 77, 255, 80]);
    frame.extend([0, 1, 0x23, 0x8b]);
    frame.extend((bytes - 20).to_be_bytes());
    frame.extend([0, 0]);
    frame.resize(len, 0x61);
    frame
}

/// Frames of one call: each call costs the kernel some milliseconds to set up.
const CALL: u32 = 1 << 20;

fn send(interface: &str, time: Duration, flows: u16, len: usize) -> Result<(), Error> {
    let flood = Flood::new(interface, &frame(len), 34, flows)?;
    let (began, mut sent) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        flood.send(CALL)?;
        sent += u64::from(CALL);
    }
    println!("{{\"sent\": {sent}, \"seconds\": {}}}", began.elapsed().as_secs_f64());
    Ok(())
}

/// What the sensor's own worker does between frames.
const NAP: Duration = Duration::from_millis(1);

fn drop_all(interface: &str, time: Duration, spins: bool) -> Result<(), Error> {
    let options =
        Options { queue_bytes: 64 << 20, port_bytes: 1 << 30, promiscuous: true, busy_poll: None, shunts: false };
    let (_hold, mut parts) = Hold::take(&mut OwnRights::default(), interface, options, 1)?;
    let part = &mut parts[0];
    eprintln!("ready");
    let (began, mut bytes, mut first) = (Instant::now(), 0_u64, None);
    let (mut last, mut received) = (Instant::now(), 0_u64);
    let told = Arc::new(AtomicBool::new(false));
    let heard = signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&told));
    heard.map_err(|error| Error::Call { what: "sigaction", error })?;
    while began.elapsed() < time && !told.load(Ordering::Relaxed) {
        let packets = part.receive(256);
        if packets.is_empty() {
            if !spins {
                std::thread::sleep(NAP);
            }
            continue;
        }
        for at in 0..packets.len() {
            bytes += u64::from(packets.get(at)[12]);
        }
        received += packets.len() as u64;
        first.get_or_insert_with(Instant::now);
        last = Instant::now();
    }
    let seconds = first.map_or(0.0, |first| last.duration_since(first).as_secs_f64());
    let lost: u64 = part.counters()?.iter().map(|(_, counters)| counters.ring_full + counters.no_frame).sum();
    println!("{{\"received\": {received}, \"lost\": {lost}, \"seconds\": {seconds}, \"sum\": {bytes}}}");
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let seconds = |text: &str| Duration::from_secs_f64(text.parse().unwrap_or(1.0));
    let number = |at: usize, or: usize| words.get(at).and_then(|text| text.parse().ok()).unwrap_or(or);
    let done = match words[..] {
        ["send", interface, time, ..] => send(interface, seconds(time), number(3, 1_024) as u16, number(4, 64).max(60)),
        ["drop", interface, time, ..] => drop_all(interface, seconds(time), words.get(3) == Some(&"spin")),
        _ => {
            eprintln!("usage: tap-bench send|drop INTERFACE SECONDS");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
