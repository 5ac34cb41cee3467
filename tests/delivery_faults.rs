//! A centre that is slow, half dead, lying or picky, and lines to it that break: what waits arrives in the end, once, and what
//! was not committed is never given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haetae::emit::{Attempt, Counts, Outcome, Written};
use haetae::spool::Lane;
use serde_json::json;
use tempfile::TempDir;

use crate::delivery::centre::proxy::{Line, Proxy};
use crate::delivery::centre::server::Behaviour;
use crate::delivery::centre::{Running, Setting, ledger};
use crate::delivery::{Site, all, behaving, id, identities, patiently};

/// A centre behind as many lines as there are endpoints.
struct Scene {
    centre: Running,
    lines: Vec<Proxy>,
    _folder: TempDir,
}

impl Scene {
    fn with(lines: usize, behaviour: Behaviour) -> Scene {
        let folder = TempDir::new().expect("a folder");
        let centre = Running::start(folder.path(), &behaving(behaviour));
        let lines = (0..lines).map(|_| Proxy::to(centre.address)).collect();
        Scene { centre, lines, _folder: folder }
    }

    fn written(&self, site: &Site) -> Written {
        let mut urls = self.lines.iter().map(Proxy::url);
        Written {
            url: urls.next().unwrap_or_else(|| self.centre.url()),
            fallbacks: Some(urls.collect()),
            token: Some(self.centre.token()),
            authority: Some(self.centre.authority()),
            spool: Some(site.directory.path().join("spool")),
            ..Written::default()
        }
    }
}

#[test]
fn whatever_way_the_first_endpoint_dies_the_second_has_the_alerts_within_ten_seconds() {
    let dying = |line: Line, connected: bool| {
        let (scene, mut site) = (Scene::with(2, Behaviour::default()), Site::with(u64::from(connected)));
        let mut courier = site.courier_as(scene.written(&site));
        if connected {
            assert_eq!(courier.drain(Instant::now() + Duration::from_secs(60)).left, 0);
            site.append(2..=2);
        }
        scene.lines[0].becomes(line);
        if !connected {
            site.append(1..=2);
        }
        let began = Instant::now();
        let outcome = courier.drain(began + Duration::from_secs(60));
        let took = began.elapsed();
        assert_eq!((outcome.left, outcome.reason), (0, None), "{line:?}");
        assert!(took < Duration::from_secs(10), "{line:?}, connected {connected}: {took:?}");
        let book = scene.centre.book();
        assert_eq!(book.identities, identities(1..=2));
        assert!(book.repeats <= 1, "what was committed and not heard of");
        assert_eq!(courier.counts().endpoint.load(Ordering::Relaxed), 1);
        println!("{line:?}, connected {connected}: with the second after {took:?}");
    };
    std::thread::scope(|scope| {
        for line in [Line::Silent, Line::Mute, Line::Cut, Line::Slow(10)] {
            for connected in [false, true] {
                scope.spawn(move || dying(line, connected));
            }
        }
    });
}

#[test]
fn a_megabit_a_second_and_answers_that_take_ten_seconds_deliver_all_the_same() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (scene, site) = (Scene::with(1, Behaviour::default()), Site::with(2_000));
            scene.lines[0].becomes(Line::Slow(1_000_000 / 8));
            let began = Instant::now();
            assert_eq!(patiently(site.courier_as(scene.written(&site))), all(2_000));
            println!("2000 alerts over 1 Mbit/s: {:?}", began.elapsed());
            assert_eq!(scene.centre.book().repeats, 0);
        });
        scope.spawn(|| {
            let slow = Behaviour { slow: Duration::from_secs(10), ..Behaviour::default() };
            let (scene, site) = (Scene::with(0, slow), Site::with(3));
            let courier = site.courier_as(scene.written(&site));
            let counts = courier.counts();
            assert_eq!(patiently(courier), all(3));
            assert_eq!(counts.attempts(Attempt::Slow), 1, "the second attempt had more time");
            assert_eq!(scene.centre.book().repeats, 3, "the answer to the first came too late");
        });
    });
}

#[test]
fn a_first_endpoint_that_flaps_makes_no_storm_of_repeats() {
    const FLAPS: u64 = 12;
    let (scene, mut site) = (Scene::with(3, Behaviour::default()), Site::with(0));
    let mut courier = site.courier_as(scene.written(&site)).beating(Duration::from_millis(50));
    let (stop, counts) = (Arc::new(AtomicBool::new(false)), courier.counts());
    let told = Arc::clone(&stop);
    let running = std::thread::spawn(move || courier.run(&told));
    let mut number = 0;
    for flap in 0..2 * FLAPS {
        scene.lines[0].becomes(if flap % 2 == 0 { Line::Cut } else { Line::Good });
        for _ in 0..10 {
            site.append(number + 1..=number + 20);
            number += 20;
            std::thread::sleep(Duration::from_millis(15));
        }
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while counts.delivered.load(Ordering::Relaxed) < number && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    stop.store(true, Ordering::Release);
    running.join().expect("it ends");
    let book = scene.centre.book();
    assert_eq!(book.identities, identities(1..=number));
    println!("{FLAPS} flaps, {number} alerts: {} repeats", book.repeats);
    assert!(book.repeats <= FLAPS * 512, "a batch for each flap at most");
}

#[test]
fn poison_that_the_centre_does_not_name_is_the_only_dead_letter() {
    let poison = Behaviour { poison: vec![id(3), id(250)], ..Behaviour::default() };
    let (scene, site) = (Scene::with(0, poison), Site::with(300));
    assert_eq!(patiently(site.courier_as(scene.written(&site))), Outcome { dead: 2, ..all(298) });
    let expected = identities((1..=300).filter(|number| ![3, 250].contains(number)));
    assert_eq!(scene.centre.book().identities, expected);
}

#[test]
fn a_centre_that_refuses_everything_makes_no_dead_letter() {
    let (scene, site) = (Scene::with(0, Behaviour { refuse_all: true, ..Behaviour::default() }), Site::with(300));
    let outcome = site.courier_as(scene.written(&site)).drain(Instant::now() + Duration::from_secs(2));
    assert_eq!((outcome.delivered, outcome.dead, outcome.left), (0, 0, 300));
}

#[test]
fn what_a_centre_claims_that_cannot_be_settles_nothing() {
    let lies = vec![json!({"committed": 0}), json!({"committed": 99}), json!({}), json!({"committed": -4}), json!([])];
    let count = lies.len() as u64;
    let (scene, site) = (Scene::with(0, Behaviour { lies, ..Behaviour::default() }), Site::with(3));
    let courier = site.courier_as(scene.written(&site));
    let counts = courier.counts();
    assert_eq!(patiently(courier), all(3));
    let book = scene.centre.book();
    assert_eq!((book.identities, book.repeats), (identities(1..=3), 0), "it had nothing of what it claimed");
    assert_eq!(counts.attempts_all(), count + 1);
}

#[test]
fn a_centre_that_takes_nothing_packed_is_sent_plain_batches_and_asked_once() {
    let (scene, mut site) = (Scene::with(0, Behaviour { plain: true, ..Behaviour::default() }), Site::with(10));
    let mut courier = site.courier_as(scene.written(&site));
    let counts = courier.counts();
    for expected in [10, 20] {
        assert_eq!(courier.drain(Instant::now() + Duration::from_secs(60)), all(expected));
        site.append(11..=20);
    }
    assert_eq!((counts.attempts(Attempt::Otherwise), counts.attempts(Attempt::Committed)), (1, 2));
    assert_eq!(scene.centre.book().identities, identities(1..=20));
}

/// The harness of a centre that acknowledges what is on no disk: what it lost is known, and is on the sensor's disk no more
/// than its window says.
#[test]
fn what_a_centre_lost_after_its_word_is_known_by_identity() {
    let folder = TempDir::new().expect("a folder");
    let mut centre = Running::start(folder.path(), &Setting::default());
    let mut site = Site::with(3);
    let mut courier = site.courier(&centre);
    courier.drain(Instant::now() + Duration::from_secs(60));
    site.append(4..=5);
    assert_eq!(courier.drain(Instant::now() + Duration::from_secs(60)), all(5));
    centre.kill();
    assert_eq!(ledger::forget(folder.path(), 1).expect("a ledger"), identities(4..=5));
    let centre = Running::start(folder.path(), &Setting { port: centre.address.port(), ..Setting::default() });
    site.append(6..=6);
    courier.drain(Instant::now() + Duration::from_secs(60));
    assert_eq!(centre.book().identities, identities((1..=3).chain(6..=6)));
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("the kernel says");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// `HAETAE_DOWN_SECONDS` sets for how long; 600 is ten minutes at 5 000 alerts a second.
#[test]
fn a_centre_that_is_down_costs_disk_and_no_memory_and_has_all_when_it_is_back() {
    const RATE: u64 = 5_000;
    let seconds = std::env::var("HAETAE_DOWN_SECONDS").map_or(3, |text| text.parse().expect("a number of seconds"));
    let folder = TempDir::new().expect("a folder");
    let unread = Behaviour { unread: true, ..Behaviour::default() };
    let mut centre = Running::start(folder.path(), &behaving(unread.clone()));
    let port = centre.address.port();
    let mut site = Site::bounded(64 << 30);
    let mut courier = site.courier(&centre);
    centre.kill();
    let (stop, counts) = (Arc::new(AtomicBool::new(false)), courier.counts());
    let told = Arc::clone(&stop);
    let running = std::thread::spawn(move || courier.run(&told));
    let (began, mut number, mut warm) = (Instant::now(), 0, resident());
    for tick in 1..=seconds * 100 {
        site.append(number + 1..=number + RATE / 100);
        number += RATE / 100;
        std::thread::sleep((began + Duration::from_millis(10 * tick)).saturating_duration_since(Instant::now()));
        if tick == seconds * 25 {
            warm = resident();
        }
    }
    let (late, wrote) = (resident(), began.elapsed());
    println!(
        "down for {wrote:?}, {number} alerts waiting, {} attempts: memory {} KiB, {} KiB more at the end",
        counts.attempts_all(),
        warm / 1024,
        late.saturating_sub(warm) / 1024
    );
    let _centre = Running::start(folder.path(), &Setting { port, behaviour: unread });
    let last = drained(&mut site, &counts, number);
    stop.store(true, Ordering::Release);
    running.join().expect("it ends");
    assert!(late.saturating_sub(warm) <= 16 << 20, "{} bytes more", late - warm);
    let (found, repeats) = ledger::identities(folder.path()).expect("a ledger");
    assert!(found == identities(1..=last), "{} of {last} arrived", found.len());
    println!("{repeats} repeats");
}

/// Waits until the centre has all of them, while what is critical goes on being raised; the number of the last alert.
fn drained(site: &mut Site, counts: &Counts, mut number: u64) -> u64 {
    let delivered = || counts.delivered.load(Ordering::Relaxed);
    let back = Instant::now();
    while delivered() == 0 && back.elapsed() < Duration::from_secs(150) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (noticed, began, before) = (back.elapsed(), Instant::now(), delivered());
    let (urgent, mut fresh, mut passed) = (site.spool.reader(Lane::Critical), Vec::new(), 0);
    while delivered() < number && began.elapsed() < Duration::from_secs(900) {
        number += 1;
        let raised = Instant::now();
        site.append_to(Lane::Critical, number..=number);
        while urgent.waiting().records() > 0 && raised.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_micros(200));
        }
        fresh.push(raised.elapsed());
        passed += u64::from(urgent.waiting().records() == 0 && delivered() < number);
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = began.elapsed();
    assert_eq!(delivered(), number, "{:?}", counts.reason());
    assert!(passed > 0, "what is critical waits for nobody");
    fresh.sort_unstable();
    println!(
        "back: heard of after {noticed:?}, drained in {took:?}, {:.0} a second; {} fresh critical alerts meanwhile, p99 {:?}; \
         {} KiB then",
        (number - before) as f64 / took.as_secs_f64(),
        fresh.len(),
        fresh[(fresh.len() - 1) * 99 / 100],
        resident() / 1024
    );
    number
}
