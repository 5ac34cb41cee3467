//! The service and its manager: what is told when, and that the watchdog is fed as long as the workers go on.

use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// What the manager was told, a datagram each.
pub(super) struct Manager {
    socket: UnixDatagram,
    told: Vec<String>,
}

impl Manager {
    pub(super) fn new(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a bound");
        Manager { socket, told: Vec::new() }
    }

    /// Waits for a datagram with this assignment in it.
    pub(super) fn hear(&mut self, assignment: &str) -> String {
        let mut bytes = [0; 1_024];
        loop {
            let Ok(length) = self.socket.recv(&mut bytes) else { panic!("never `{assignment}`, but {:?}", self.told) };
            self.told.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            if self.told.last().is_some_and(|told| told.lines().any(|line| line == assignment)) {
                return self.told.last().expect("one was pushed").clone();
            }
        }
    }

    /// How many signs of life come within this time.
    pub(super) fn count_for(&mut self, time: Duration) -> usize {
        let (until, mut count, mut bytes) = (Instant::now() + time, 0, [0; 1_024]);
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left)).expect("a bound");
            let heard = self.socket.recv(&mut bytes).unwrap_or_default();
            count += usize::from(bytes[..heard].starts_with(b"WATCHDOG=1"));
        }
        count
    }

    /// The longest time without a sign of life, until told to stop.
    pub(super) fn longest_silence(&self, stop: &AtomicBool) -> Duration {
        let (mut last, mut longest, mut bytes) = (Instant::now(), Duration::ZERO, [0; 1_024]);
        self.socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a bound");
        while !stop.load(Ordering::Acquire) {
            let heard = self.socket.recv(&mut bytes).unwrap_or_default();
            longest = longest.max(last.elapsed());
            if bytes[..heard].starts_with(b"WATCHDOG=1") {
                last = Instant::now();
            }
        }
        longest
    }

    /// Hears whatever comes, until nothing has come for so long.
    pub(super) fn hear_out(&mut self, silence: Duration) {
        self.socket.set_read_timeout(Some(silence)).expect("a bound");
        while self.socket.recv(&mut [0; 1_024]).is_ok() {}
    }
}

#[test]
fn the_service_manager_is_told_what_the_service_does_and_that_it_lives() {
    if !possible("the_service_manager_is_told_what_the_service_does_and_that_it_lives") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, ""));
    let path = folder.path().join("notify");
    let mut manager = Manager::new(&path);
    let environment = [("NOTIFY_SOCKET", path.to_str().expect("text")), ("WATCHDOG_USEC", "600000")];
    let mut service = Service::start_among(&link, folder.path(), &["--workers", "2"], &environment);
    assert!(manager.hear("READY=1").contains("STATUS=1 indicators, 2 workers"));
    (0..3).for_each(|_| drop(manager.hear("WATCHDOG=1")));

    service.signal("HUP");
    assert!(manager.hear("RELOADING=1").contains("MONOTONIC_USEC="));
    manager.hear("READY=1");
    // what is refused is over as well, and the old configuration goes on
    std::fs::write(folder.path().join("haetae.yaml"), "nonsense: 1\n").expect("a mistake");
    service.signal("HUP");
    manager.hear("RELOADING=1");
    service.hear("not reloaded");
    manager.hear("READY=1");

    let (_, _, status, _) = service.end();
    assert!(status.success());
    manager.hear("STOPPING=1");
}
