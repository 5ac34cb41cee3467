//! A ledger as its users meet it: entered, read, tampered with, filled, forgotten.

use std::fs;
use std::path::PathBuf;

use ring::signature::{Ed25519KeyPair, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::limits::LEDGER_TORN_BYTES_MAX;

/// Whom everything goes to.
pub(super) const TO: (&str, &str) = ("https", "https://c/v1/alerts");

/// A centre that signs.
pub(super) struct Centre(Ed25519KeyPair);

impl Centre {
    pub(super) fn new(seed: u8) -> Centre {
        Centre(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key"))
    }

    pub(super) fn keys(&self) -> Keys {
        let directory = TempDir::new().expect("a folder");
        let path = directory.path().join("keys");
        let digits: String = self.0.public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(&path, digits).expect("to write");
        Keys::read(&path).expect("a key")
    }

    pub(super) fn sign(&self, before: Head, body: &[u8], committed: u64) -> Receipt {
        let (key, time) = (key_id(self.0.public_key().as_ref()), "2026-11-22T14:06:10Z");
        let text = text(("site", "tap"), before, Digest::of(body), committed, (time, &key));
        let signature: String =
            self.0.sign(text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        serde_json::from_value(serde_json::json!({"key": key, "time": time, "signature": signature})).expect("one")
    }
}

pub(super) fn leaving(through: u64) -> Leaving<'static> {
    let run = Some(Run { spool: "9b1c33a0d4e5f607".into(), after: through - 1, through });
    Leaving { site: "site", sensor: "tap", kind: Kind::Alerts, is_receipted: true, run, records: 1 }
}

/// Enters a message and its answer, signed or not.
pub(super) fn send(ledger: &Ledger, through: u64, centre: Option<&Centre>) -> io::Result<Answer> {
    let body = |head: Head| format!("{{\"through\":{through},\"head\":\"{}\"}}", head.head).into_bytes();
    let mut before = None;
    let message = |head| {
        before = Some(head);
        body(head)
    };
    let (ticket, sent) = ledger.enter(&leaving(through), TO, message, |bytes| bytes)?;
    let receipt = centre.zip(before).map(|(centre, before)| centre.sign(before, &sent, through));
    Ok(ledger.settle(ticket, Answer::Committed, Some(through), receipt))
}

const SMALL: Options = Options { bytes_max: 12_000, file_bytes_max: 3_000, time_max: DAY, keep_bytes_max: 0 };

fn open(directory: &Path, keys: Option<Keys>) -> Ledger {
    let options = Options { file_bytes_max: 3_000, ..Options::default() };
    Ledger::open(directory, options, ("site", "tap"), keys).expect("it opens")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    list(&Disk, directory).expect("they can be listed")
}

pub(super) fn check(storage: &dyn Storage, directory: &Path, keys: Option<&Keys>, known: &[(u64, Digest)]) -> Report {
    let mut chain = Chain::new(keys, known);
    let files = list(storage, directory).expect("they can be listed");
    for (at, path) in files.iter().enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        chain.file(&name, 1, &read(storage, path).expect("it can be read"), at + 1 == files.len());
    }
    chain.end()
}

/// A ledger of twelve messages, all receipted, in several files; then one that nobody answered for.
fn scene() -> (TempDir, Centre) {
    scene_of(12)
}

fn scene_of(messages: u64) -> (TempDir, Centre) {
    let (directory, centre) = (TempDir::new().expect("a folder"), Centre::new(7));
    let ledger = open(directory.path(), Some(centre.keys()));
    for through in 1..=messages {
        assert_eq!(send(&ledger, through, Some(&centre)).expect("there is room"), Answer::Committed);
    }
    assert!(files(directory.path()).len() > 1, "it is to have several files");
    (directory, centre)
}

fn lines(directory: &Path) -> Vec<(PathBuf, Vec<Vec<u8>>)> {
    let split = |path: &PathBuf| {
        let bytes = fs::read(path).expect("it can be read");
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    files(directory).into_iter().map(|path| (path.clone(), split(&path))).collect()
}

#[test]
fn what_was_entered_holds_and_is_covered_up_to_the_last_receipt() {
    let (directory, centre) = scene();
    let report = check(&Disk, directory.path(), Some(&centre.keys()), &[]);
    assert_eq!((report.wrong, report.attempts, report.receipts.valid), (0, 12, 12), "{:?}", report.findings);
    assert_eq!((report.entries, report.range, report.covered), (25, Some((1, 25)), Some(23)));
    let strangers = Centre::new(8).keys();
    assert_eq!(check(&Disk, directory.path(), Some(&strangers), &[]).receipts.wrong, 12);
    let unchecked = check(&Disk, directory.path(), None, &[]);
    assert_eq!((unchecked.receipts.unchecked, unchecked.covered, unchecked.wrong), (12, None, 0));
}

#[test]
fn a_message_is_in_the_ledger_before_its_caller_has_it() {
    let directory = TempDir::new().expect("a folder");
    let ledger = open(directory.path(), None);
    let (ticket, bytes) = ledger.enter(&leaving(1), TO, |_| b"{}".to_vec(), |bytes| bytes).expect("there is room");
    let all = lines(directory.path());
    let last = all.last().and_then(|(_, lines)| lines.last()).expect("a line");
    let entry = Entry::read(last.strip_suffix(b"\n").expect("whole")).expect("an entry");
    assert!(matches!(entry.said, Said::Attempt(attempt) if attempt.sha256 == Digest::of(&bytes)));
    assert_eq!(ledger.settle(ticket, Answer::Later, None, None), Answer::Later);
}

#[test]
fn where_keys_are_known_an_answer_without_a_receipt_counts_for_nothing() {
    let (directory, centre, other) = (TempDir::new().expect("a folder"), Centre::new(1), Centre::new(2));
    let ledger = open(directory.path(), Some(centre.keys()));
    assert_eq!(send(&ledger, 1, None).expect("there is room"), Answer::Unbelieved);
    assert_eq!(send(&ledger, 2, Some(&other)).expect("there is room"), Answer::Unbelieved);
    assert_eq!(send(&ledger, 3, Some(&centre)).expect("there is room"), Answer::Committed);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counts = ledger.counts();
    assert_eq!([&counts.missing, &counts.wrong, &counts.valid].map(count), [1, 1, 1]);
    assert!(ledger.since_valid().is_some_and(|since| since < DAY));
    drop(ledger);
    let ledger = open(directory.path(), None);
    assert_eq!(send(&ledger, 4, None).expect("there is room"), Answer::Committed, "nobody asked for any");
}

/// A proxy that says more than the centre signed.
#[test]
fn what_the_centre_committed_is_signed_too() {
    let (directory, centre) = (TempDir::new().expect("a folder"), Centre::new(1));
    let ledger = open(directory.path(), Some(centre.keys()));
    let mut head = ledger.head();
    let (ticket, sent) = ledger
        .enter(
            &leaving(9),
            TO,
            |before| {
                head = before;
                b"{}".to_vec()
            },
            |bytes| bytes,
        )
        .expect("there is room");
    let receipt = centre.sign(head, &sent, 3);
    assert_eq!(ledger.settle(ticket, Answer::Committed, Some(9), Some(receipt)), Answer::Unbelieved);
}

#[test]
fn every_byte_that_is_changed_before_the_last_receipt_is_found() {
    let (directory, centre) = scene_of(4);
    let keys = centre.keys();
    let last = files(directory.path()).pop().expect("a file");
    for path in files(directory.path()) {
        let sound = fs::read(&path).expect("it can be read");
        // the last line of all says the last receipt, and nothing stands behind it that would show
        let end = match path == last {
            true => sound[..sound.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
            false => sound.len(),
        };
        for at in 0..end {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).expect("to write");
            assert!(check(&Disk, directory.path(), Some(&keys), &[]).wrong > 0, "byte {at} of {}", path.display());
        }
        fs::write(&path, &sound).expect("to write");
    }
    assert_eq!(check(&Disk, directory.path(), Some(&keys), &[]).wrong, 0);
}

#[test]
fn a_line_taken_away_doubled_or_swapped_is_found_and_so_is_a_file() {
    let (directory, centre) = scene();
    let keys = centre.keys();
    let found = || check(&Disk, directory.path(), Some(&keys), &[]);
    let all = lines(directory.path());
    let files = all.len();
    for (at, (path, sound)) in all.iter().enumerate() {
        let put = |lines: &[Vec<u8>]| fs::write(path, lines.concat()).expect("to write");
        // what stands behind the last receipt that is left is not known to be gone
        let behind = if at + 1 == files { 2 } else { 0 };
        for line in 0..sound.len() - behind {
            let mut lines = sound.clone();
            lines.remove(line);
            put(&lines);
            assert!(found().wrong > 0, "without line {} of {}", line + 1, path.display());
            lines.insert(line, sound[line].clone());
            lines.insert(line, sound[line].clone());
            put(&lines);
            assert!(found().wrong > 0, "line {} of {} twice", line + 1, path.display());
        }
        for line in 1..sound.len() {
            let mut lines = sound.clone();
            lines.swap(line - 1, line);
            put(&lines);
            assert!(found().wrong > 0, "lines {line} and the next of {} swapped", path.display());
        }
        put(sound);
        if at + 1 < files {
            fs::remove_file(path).expect("to remove");
            assert!(found().wrong > 0, "without {}", path.display());
            put(sound);
        }
    }
    assert_eq!(found().wrong, 0);
}

/// Root changes one entry and makes all later ones anew, digests included.
#[test]
fn a_chain_that_was_written_anew_does_not_match_its_receipts() {
    let (directory, centre) = scene();
    let keys = centre.keys();
    let all = lines(directory.path());
    let head = check(&Disk, directory.path(), None, &[]).head.expect("a head");
    let entries: Vec<Entry> = all
        .iter()
        .flat_map(|(_, lines)| lines)
        .map(|line| Entry::read(&line[..line.len() - 1]).expect("one"))
        .collect();
    for victim in 0..entries.len() {
        let (mut previous, mut at) = (Digest::NONE, 0);
        for (path, lines) in &all {
            let mut text = Vec::new();
            for _ in lines {
                let mut entry = Entry { previous, ..entries[at].clone() };
                if at == victim {
                    entry.time = "2026-01-01T00:00:00.000000Z".to_owned();
                }
                previous = Digest::of(&entry.line());
                text.extend(entry.line());
                text.push(b'\n');
                at += 1;
            }
            fs::write(path, text).expect("to write");
        }
        assert_eq!(check(&Disk, directory.path(), None, &[]).wrong, 0, "without keys nobody can tell");
        let report = check(&Disk, directory.path(), Some(&keys), &[]);
        // entry 24 is the last attempt: its receipt covers 23 and, of 24 itself, what was sent
        assert_eq!(report.wrong > 0, victim < 23, "entry {}: {:?}", victim + 1, report.findings);
        let elsewhere = check(&Disk, directory.path(), None, &[(25, head)]);
        assert_eq!(elsewhere.wrong, 1, "who has kept the head sees it without a key");
    }
}

#[test]
fn a_torn_line_is_cut_and_said_and_its_attempt_ends_unknown() {
    let directory = TempDir::new().expect("a folder");
    let ledger = open(directory.path(), None);
    let (ticket, _) = ledger.enter(&leaving(1), TO, |_| b"{}".to_vec(), |bytes| bytes).expect("there is room");
    drop((ticket, ledger));
    let path = files(directory.path()).pop().expect("a file");
    let mut bytes = fs::read(&path).expect("it can be read");
    bytes.extend_from_slice(br#"{"sequence":3,"time":"20"#);
    fs::write(&path, &bytes).expect("to write");
    let torn = check(&Disk, directory.path(), None, &[]);
    assert_eq!((torn.wrong, torn.torn), (0, true));
    drop(open(directory.path(), None));
    let report = check(&Disk, directory.path(), None, &[]);
    assert_eq!((report.wrong, report.torn, report.range), (0, false, Some((1, 4))), "{:?}", report.findings);
    let text = fs::read_to_string(files(directory.path()).pop().expect("a file")).expect("text");
    assert!(text.contains("\"cut_bytes\":24}") && text.contains(r#""outcome":{"of":2,"answer":"unknown"}"#), "{text}");
}

/// An answer and the next attempt are synced together, and power may spoil the first alone.
#[test]
fn an_answer_that_power_spoilt_goes_with_the_attempt_behind_it_and_an_older_line_does_not() {
    for (spoilt, is_cut) in [(3, true), (2, false), (1, false)] {
        let directory = TempDir::new().expect("a folder");
        let centre = Centre::new(7);
        let ledger = open(directory.path(), Some(centre.keys()));
        send(&ledger, 1, Some(&centre)).expect("there is room");
        let (ticket, _) = ledger.enter(&leaving(2), TO, |_| b"{}".to_vec(), |bytes| bytes).expect("there is room");
        let (path, mut lines) = lines(directory.path()).pop().expect("a file");
        drop((ticket, ledger));
        assert_eq!(lines.len(), 4, "opened, an attempt, its outcome, an attempt");
        let line = &mut lines[spoilt - 1];
        let (middle, end) = (line.len() / 2, line.len() - 1);
        line[middle..end].fill(0);
        fs::write(&path, lines.concat()).expect("to write");
        drop(open(directory.path(), Some(centre.keys())));
        let report = check(&Disk, directory.path(), Some(&centre.keys()), &[]);
        assert_eq!((report.wrong == 0, report.torn), (is_cut, false), "{spoilt}: {:?}", report.findings);
    }
}

#[test]
fn a_start_does_not_cut_what_no_crash_has_left() {
    let (directory, _) = scene();
    let path = files(directory.path()).pop().expect("a file");
    let mut bytes = fs::read(&path).expect("it can be read");
    let length = bytes.len();
    bytes.extend_from_slice(&vec![b'x'; LEDGER_TORN_BYTES_MAX + 1]);
    fs::write(&path, &bytes).expect("to write");
    drop(open(directory.path(), None));
    assert_eq!(fs::read(&path).expect("it can be read").len(), length + LEDGER_TORN_BYTES_MAX + 1);
    assert!(check(&Disk, directory.path(), None, &[]).wrong > 0);
}

#[test]
fn the_oldest_go_when_there_is_no_more_room_and_the_rest_still_holds() {
    let (directory, centre) = (TempDir::new().expect("a folder"), Centre::new(7));
    let keys = centre.keys();
    let ledger = Ledger::open(directory.path(), SMALL, ("site", "tap"), Some(keys.clone())).expect("it opens");
    for through in 1..=200 {
        send(&ledger, through, Some(&centre)).expect("there is room");
        let bytes: u64 =
            files(directory.path()).iter().map(|path| fs::metadata(path).expect("it is there").len()).sum();
        assert!(bytes <= SMALL.bytes_max + 2 * LEDGER_FILE_BYTES_MAX.min(3_000), "{bytes}");
    }
    let report = check(&Disk, directory.path(), Some(&keys), &[]);
    assert_eq!((report.wrong, report.receipts.wrong), (0, 0), "{:?}", report.findings);
    assert!(report.range.expect("entries").0 > 300, "{:?}", report.range);
    // one more that goes unsaid
    fs::remove_file(&files(directory.path())[0]).expect("to remove");
    let report = check(&Disk, directory.path(), Some(&keys), &[]);
    assert!(report.findings[0].what.contains("nothing says that it went"), "{:?}", report.findings);
}

#[test]
fn what_is_too_old_goes() {
    let directory = TempDir::new().expect("a folder");
    let options = Options { file_bytes_max: 3_000, time_max: Duration::ZERO, ..Options::default() };
    let ledger = Ledger::open(directory.path(), options, ("site", "tap"), None).expect("it opens");
    for through in 1..=40 {
        send(&ledger, through, None).expect("there is room");
    }
    assert!(files(directory.path()).len() <= 2);
    assert_eq!(check(&Disk, directory.path(), None, &[]).wrong, 0);
}

#[test]
fn a_second_process_is_kept_out() {
    let directory = TempDir::new().expect("a folder");
    let _first = open(directory.path(), None);
    let second = Ledger::open(directory.path(), Options::default(), ("site", "tap"), None);
    assert_eq!(second.err().expect("it is refused").kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn messages_are_kept_as_they_left_as_long_as_there_is_room() {
    let directory = TempDir::new().expect("a folder");
    let options = Options { keep_bytes_max: 300, ..Options::default() };
    let sent = |through: u64, head: Head| format!("{{\"through\":{through},\"head\":\"{}\"}}", head.head);
    let open = || Ledger::open(directory.path(), options, ("site", "tap"), None).expect("it opens");
    let ledger = open();
    let head = ledger.head();
    send(&ledger, 1, None).expect("there is room");
    assert_eq!(message(directory.path(), 2).expect("it was kept"), sent(1, head).into_bytes());
    for through in 2..=9 {
        send(&ledger, through, None).expect("there is room");
    }
    let there = |ledger: &Path| (1..=40).filter(|sequence| message(ledger, *sequence).is_ok()).collect::<Vec<u64>>();
    assert_eq!(there(directory.path()), [14, 16, 18], "a hundred bytes each");
    drop(ledger);
    send(&open(), 10, None).expect("there is room");
    assert_eq!(there(directory.path()), [16, 18, 21]);
    let kept = |sequence| digest(directory.path(), sequence);
    let compared = || {
        let mut chain = Chain::new(None, &[]).with_kept(&kept);
        let files = files(directory.path());
        for (at, path) in files.iter().enumerate() {
            chain.file("f", 1, &fs::read(path).expect("it can be read"), at + 1 == files.len());
        }
        chain.end()
    };
    assert_eq!((compared().kept, compared().wrong), (3, 0));
    fs::write(directory.path().join("sent/000000000018.json"), "{}").expect("to write");
    assert!(compared().findings[0].what.contains("the message that was kept of entry 18 is another"));
}
