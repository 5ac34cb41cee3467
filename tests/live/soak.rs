//! Hours, in small: traffic of many kinds, reloads and rotations, and a look at what the service holds every second. Three
//! minutes; `HAETAE_SOAK_SECONDS` says otherwise.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Until everything that is made once has been made, and the rings between the workers have gone round: their pages are
/// there only once they have been used.
const WARM_UP: Duration = Duration::from_secs(45);

/// In which frames come as fast as they go.
const RUSH: Duration = Duration::from_secs(30);

/// Bytes an hour that a line through the samples (seconds, bytes) rises by.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let (time, bytes) = samples.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0 / count, sum.1 + one.1 / count));
    let (both, squares) = samples.iter().fold((0.0, 0.0), |sum, one| {
        (sum.0 + (one.0 - time) * (one.1 - bytes), sum.1 + (one.0 - time) * (one.0 - time))
    });
    both / squares * 3_600.0
}

#[test]
fn a_slope_is_told_by_the_hour() {
    let samples: Vec<(f64, f64)> = (0..60).map(|second| (f64::from(second), 1e6 + f64::from(second) * 100.0)).collect();
    assert!((slope(&samples) - 360_000.0).abs() < 1e-3);
}

/// What goes on at a site every now and then.
fn housekeeping(service: &mut Service, folder: &Path, second: u64) {
    if second % 20 == 0 {
        service.signal("HUP");
        service.hear("reloaded");
    }
    if second % 7 == 0 {
        // it is there again with the first line after the last rotation
        let _not_yet = std::fs::rename(folder.join("eve.json"), folder.join("eve.json.1"));
        service.signal("USR1");
    }
}

/// Says stop when it goes.
struct Stopped<'a>(&'a AtomicBool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn minutes_of_traffic_reloads_and_rotations_leave_nothing_behind() {
    if !possible("minutes_of_traffic_reloads_and_rotations_leave_nothing_behind") {
        return;
    }
    let seconds = std::env::var("HAETAE_SOAK_SECONDS").map_or(180, |text| text.parse().expect("seconds"));
    let time = Duration::from_secs(seconds);
    let (link, folder) = (Link::of_queues(2), site(BAD_EXAMPLE, ""));
    // as on a real tap: what is raised goes to a log that is rotated away
    let words = ["--workers", "2", "--set", "capture=[{interface: b0, backend: af_xdp, ring: 16MiB}]"];
    let mut service = Service::start(&link, folder.path(), &words);
    let process = service.child.id();
    let (stop, mut samples, mut holds) = (AtomicBool::new(false), Vec::new(), Vec::new());
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let (mut sent, began) = (0, Instant::now());
            for name in CASES.iter().cycle().take_while(|_| !stop.load(Ordering::Acquire)) {
                let per_second = (began.elapsed() > RUSH.min(time / 4)).then_some(8_000);
                sent += link.send(
                    &case(name).join("traffic.pcap"),
                    if per_second.is_some() { 200 } else { 4_000 },
                    per_second,
                );
            }
            sent
        });
        // whatever fails here: nobody sends for ever
        let _stopped = Stopped(&stop);
        let began = Instant::now();
        for second in 1.. {
            std::thread::sleep((began + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
            housekeeping(&mut service, folder.path(), second);
            if began.elapsed() >= WARM_UP.min(time / 3) {
                samples.push((began.elapsed().as_secs_f64(), resident(process) as f64));
                holds.push(held(process));
            }
            if began.elapsed() >= time {
                break;
            }
        }
        stop.store(true, Ordering::Release);
        sender.join().expect("it sends")
    });
    std::thread::sleep(Duration::from_millis(500));
    let (kernel, account, status, _) = service.end();
    let (first, last) = (samples[0].1, samples[samples.len() - 1].1);
    eprintln!(
        "{seconds} s, {sent} frames: {:.2} MiB at first, {:.2} MiB at last, a line through {} samples rises by {:.2} MiB an hour",
        first / f64::from(1 << 20),
        last / f64::from(1 << 20),
        samples.len(),
        slope(&samples) / f64::from(1 << 20)
    );
    assert!(status.success() && account["unaccounted"] == 0, "{account}");
    assert_eq!(sent, number(&kernel, "offered") + number(&kernel, "interface_drops"), "{kernel}");
    let (least, most) = (holds.iter().min().expect("samples"), holds.iter().max().expect("samples"));
    // a log that is being opened, a reload that is being read
    assert!(
        most[0] <= least[0] + 3 && most[2] <= least[2] + 1,
        "descriptors, mappings, threads: {least:?} to {most:?}"
    );
    assert!(last < first + f64::from(4 << 20), "{first} bytes became {last}");
}
