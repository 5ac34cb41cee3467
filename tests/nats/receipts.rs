//! Receipts over NATS: the real ingest signs for what its database has, the binary verifies, and so does a script that shares no
//! code with either.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use haetae::emit::nats::Written as Nats;
use haetae::emit::{Courier, DeadLetters, Secrets, Section, Way, Written};
use haetae::gate::{Gate, Mode, Pulse, Sender, SiteKey};
use haetae::ledger::{Keys, Ledger};
use haetae::spool::{Options, Spool};
use tempfile::TempDir;

use super::world::{Wanted, World};
use super::{all, briefly, fill, heads_agree, ids, patiently, spool};
use crate::ledger::{anew, by_others, ledger, said, text};

/// A courier of the site that settles nothing without the centre's signature.
fn pinned(world: &World, spool: &Spool, folder: &Path) -> (Courier, Arc<Ledger>) {
    let written = Written {
        nats: Some(Nats { servers: world.servers(), stream: None }),
        authority: Some(world.path("authority.pem")),
        certificate: Some(world.path("site.pem")),
        key: Some(world.path("site.key")),
        receipt_keys: Some(world.path("receipts.pem")),
        spool: Some(folder.to_owned()),
        ..Written::default()
    };
    let section = Section::check(written, Path::new("/"), Secrets::Opened).expect("a section");
    let sender = Sender::new("site-0017", "tap-a.example", Mode::Exercise).expect("names");
    let keys = Keys::read(&world.path("receipts.pem")).expect("keys");
    let ledger = Ledger::open(&section.ledger(), Default::default(), sender.names(), Some(keys)).expect("a ledger");
    let ledger = Arc::new(ledger);
    let (row, sinks) = section.ways(&sender).expect("ways");
    let gate =
        Gate::of(row, &section.policy, SiteKey::open(&section.key()).expect("a key"), sender, Arc::new(|_| false));
    let dead = DeadLetters::beside(folder);
    let way = Way { gate, sinks, dead, ledger: Arc::clone(&ledger), pulse: Pulse::default() };
    (Courier::new(spool.readers(), way), ledger)
}

#[test]
fn what_was_delivered_is_signed_for_and_others_can_check_it() {
    let Some(mut world) = World::start(Wanted { signs: Some("receipts"), ..Wanted::default() }) else { return };
    let folder = TempDir::new().expect("a folder");
    let at = folder.path().join("spool");
    let mut spool = spool(&at, Options::default());
    fill(&mut spool, 1..=700);
    // killed when it has a part of a batch, most likely: another goes on with it
    world.start_ingest(true);
    world.wait_for_ingest(1);
    let (mut courier, open) = pinned(&world, &spool, &at);
    assert_eq!(briefly(&mut courier).delivered, 0);
    world.ingest_ended();
    world.start_ingest(false);
    assert_eq!(patiently(&mut courier), all(700));
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counts = open.counts();
    assert!(count(&counts.valid) >= 3, "two batches and a sign of life: {counts:?}");
    assert_eq!((count(&counts.wrong), count(&counts.missing)), (0, 0), "{counts:?}");
    // handed over by one process, and sent again by the next in a batch of its own
    world.kill_ingest();
    fill(&mut spool, 701..=800);
    assert_eq!(briefly(&mut courier).left, 100);
    drop((courier, open));
    let (mut courier, open) = pinned(&world, &spool, &at);
    world.start_ingest(false);
    assert_eq!(patiently(&mut courier), all(100));
    drop((courier, open));
    assert_eq!(world.alerts(), ids(1..=800));
    assert_eq!(world.asked("select count(*) from piece"), ["0"], "of what was receipted nothing is kept twice");
    heads_agree(&world, &at);
    is_proof(&world, &at.join("ledger"), folder.path());
}

/// A ledger holds, and no entry before a receipt can be written anew without being found.
fn is_proof(world: &World, entries: &Path, folder: &Path) {
    let keys = world.path("receipts.pem");
    let verified = ledger(&["verify", "--ledger", text(entries), "--receipt-keys", text(&keys)]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    assert!(said(&verified).contains(" valid, 0 wrong, 0 missing"), "{}", said(&verified));
    let export = folder.join("export.jsonl");
    assert_eq!(ledger(&["export", "--ledger", text(entries), "-o", text(&export)]).status.code(), Some(0));
    let checked = by_others(&export, &keys);
    assert!(checked.status.success(), "{}", said(&checked));
    let sound = std::fs::read_to_string(&export).expect("an export");
    std::fs::write(&export, anew(&sound, 1)).expect("to write");
    assert!(!by_others(&export, &keys).status.success());
    let found = ledger(&["verify", text(&export), "--receipt-keys", text(&keys)]);
    assert_eq!(found.status.code(), Some(65), "{}", said(&found));
    assert!(said(&found).contains("the receipt for entry 2"), "{}", said(&found));
}

#[test]
fn an_ingest_that_signs_nothing_or_with_another_key_settles_nothing_and_nothing_is_lost() {
    let Some(mut world) = World::start(Wanted::default()) else { return };
    let folder = TempDir::new().expect("a folder");
    let at = folder.path().join("spool");
    let mut spool = spool(&at, Options::default());
    fill(&mut spool, 1..=3);
    for (times, (key, seconds)) in [(None, 13), (Some("another"), 5)].into_iter().enumerate() {
        world.kill_ingest();
        world.sign_with(key);
        world.start_ingest(false);
        world.wait_for_ingest(times + 1);
        let (mut courier, open) = pinned(&world, &spool, &at);
        let (outcome, counts) = (courier.drain(Instant::now() + Duration::from_secs(seconds)), open.counts());
        assert_eq!((outcome.delivered, outcome.left), (0, 3), "{key:?}");
        assert!(outcome.reason.as_ref().is_some_and(|reason| reason.contains("receipt")), "{key:?}: {outcome:?}");
        let counter = if key.is_none() { &counts.missing } else { &counts.wrong };
        assert!(counter.load(Ordering::Relaxed) > 0, "{key:?}: {counts:?}");
        assert_eq!(world.alerts(), ids(1..=3), "it had them all the time");
    }
    world.kill_ingest();
    world.sign_with(Some("receipts"));
    world.start_ingest(false);
    assert_eq!(patiently(&mut pinned(&world, &spool, &at).0), all(3));
    assert_eq!(world.alerts(), ids(1..=3));
    let keys = world.path("receipts.pem");
    let verified = ledger(&["verify", "--ledger", text(&at.join("ledger")), "--receipt-keys", text(&keys)]);
    assert_eq!(verified.status.code(), Some(65), "a signature of somebody else is told: {}", said(&verified));
    assert!(said(&verified).contains("the sensor says so too, and did not believe it"), "{}", said(&verified));
}
