//! The spool as an operator sees it: what waits is shown, damage is found beside a sensor that writes, and what the centre lost after
//! its word is there again, by the real binary, stopped and running.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haetae::spool::{Lane, Options, Position, Spool};
use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::delivery::centre::ledger::{self, Identity};
use crate::delivery::centre::{Running, Setting};
use crate::delivery::{Site, alert, all};

/// Long enough for any machine; only failing tests wait so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn spool(words: &[&str]) -> Output {
    binary::haetae().arg("spool").args(words).output().expect("the binary runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// All files below, with their bytes: what must not change.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(everything(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).expect("a file"))),
        }
    }
    found
}

fn segment(spool: &Path, lane: Lane) -> PathBuf {
    let entries = std::fs::read_dir(spool.join(lane.name())).expect("a lane").map(|entry| entry.expect("it").path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "segment")).collect();
    found.sort();
    found.remove(0)
}

/// What the centre has, by identity, as it came.
fn held(directory: &Path) -> BTreeMap<Identity, Value> {
    let book = ledger::Book::read(directory).expect("a ledger");
    assert_eq!(book.identities.len(), book.records.len());
    let identity = |record: &Value| {
        let id = record["id"].as_str().expect("an id").to_owned();
        ("site-0017".to_owned(), id, record["revision"].as_u64().expect("a revision"))
    };
    book.records.into_iter().map(|record| (identity(&record), record)).collect()
}

#[test]
fn what_waits_is_shown_by_lane_and_nothing_is_touched() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("spool");
    let mut writer = Spool::open(&path, Options::default()).expect("a spool");
    for number in 1..=5 {
        writer.append(Lane::Critical, alert(number).to_string().as_bytes()).expect("room");
        writer.append(Lane::Low, b"not \x1b[2J JSON").expect("room");
    }
    writer.sync().expect("a disk");
    let mut other = writer.readers_of("syslog");
    writer.reader(Lane::Critical).commit(Position(2)).expect("a disk");
    other.lanes()[0].commit(Position(1)).expect("a disk");
    let before = everything(&path);
    let shown = spool(&["show", "--spool", text(&path), "--json"]);
    let lanes: Vec<Value> =
        said(&shown).lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert_eq!((shown.status.code(), lanes.len()), (Some(0), 3), "{}", said(&shown));
    let critical = &lanes[0];
    let number = |name: &str| critical[name].as_u64().unwrap_or_else(|| panic!("{name}: {critical}"));
    let counted = ["records", "first", "last", "watermark", "waiting", "kept", "lost", "given_up"].map(number);
    assert_eq!(counted, [5, 1, 5, 2, 3, 2, 0, 0]);
    assert_eq!(critical["readers"][0], serde_json::json!({"name": "syslog", "watermark": 1, "behind": 4, "missed": 0}));
    assert_eq!(lanes[1]["records"], 0);
    let told = said(&spool(&["show", "--spool", text(&path)]));
    for line in [
        "3 waiting, the oldest ",
        "2 settled and kept to be sent again, since 20",
        "syslog stands at 1: 4 behind, 0 missed",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let records = said(&spool(&["show", "--records", "--lane", "critical", "--json", "--spool", text(&path)]));
    let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(records.len(), 5);
    assert_eq!((&records[0]["state"], &records[4]["state"]), (&"settled".into(), &"waiting".into()));
    assert_eq!((&records[2]["sequence"], &records[2]["record"]), (&3.into(), &alert(3)));
    let low = said(&spool(&["show", "--records", "--lane", "low", "--spool", text(&path)]));
    assert!(low.lines().count() == 5 && !low.contains('\x1b'), "nothing moves a terminal's cursor: {low}");
    let verified = spool(&["verify", "--spool", text(&path)]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    assert!(said(&verified).starts_with("10 records in 2 segments of ") && said(&verified).ends_with("it holds\n"));
    assert!(before == everything(&path), "who only looks changes nothing");
}

#[test]
fn damage_is_told_with_its_file_its_offset_and_how_many_records_are_gone() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("spool");
    let mut writer = Spool::open(&path, Options::default()).expect("a spool");
    for number in 1..=20 {
        writer.append(Lane::Normal, alert(number).to_string().as_bytes()).expect("room");
        writer.sync().expect("a disk");
    }
    writer.reader(Lane::Normal).commit(Position(15)).expect("a disk");
    drop(writer);
    let file = segment(&path, Lane::Normal);
    let sound = std::fs::read(&file).expect("a segment");
    // one of what is only kept, one of what waits
    let mut flipped = sound.clone();
    let places = [3, 17].map(|number| {
        let id = crate::delivery::id(number);
        sound.windows(id.len()).position(|bytes| bytes == id.as_bytes()).expect("it is there")
    });
    places.into_iter().for_each(|at| flipped[at] ^= 1);
    std::fs::write(&file, &flipped).expect("to write");
    let before = everything(&path);
    let verified = spool(&["verify", "--spool", text(&path)]);
    assert_eq!(verified.status.code(), Some(65), "{}", said(&verified));
    let findings: Vec<u64> = String::from_utf8_lossy(&verified.stderr)
        .lines()
        .filter_map(|line| {
            line.strip_prefix(&format!("{}:", file.display()))?.strip_suffix(": 1 record is gone")?.parse().ok()
        })
        .collect();
    assert_eq!(findings.len(), 2, "{}", said(&verified));
    for (found, at) in findings.iter().zip(places) {
        assert!(*found < at as u64 && at as u64 - found < 1_000, "{findings:?}: {places:?}");
    }
    assert!(said(&verified).contains("it does not hold: 2 findings, 2 records are gone"), "{}", said(&verified));
    let judged = spool(&["verify", "--json", "--spool", text(&path)]);
    let judged: Value = serde_json::from_slice(&judged.stdout).expect("an object");
    assert_eq!(
        (&judged["holds"], &judged["lost"], &judged["findings"][0]["records"]),
        (&false.into(), &2.into(), &1.into())
    );
    assert!(before == everything(&path), "who only looks changes nothing");
    std::fs::write(&file, &sound[..sound.len() - 1]).expect("to write");
    let cut = spool(&["verify", "--spool", text(&path)]);
    assert!(said(&cut).contains("1 finding, 1 record is gone"), "{}", said(&cut));
    std::fs::write(&file, &sound).expect("to write");
    assert_eq!(spool(&["verify", "--spool", text(&path)]).status.code(), Some(0));
    std::fs::write(path.join("normal/letter.txt"), "dear spool").expect("to write");
    let foreign = spool(&["verify", "--spool", text(&path)]);
    assert!(foreign.status.code() == Some(65) && said(&foreign).contains("letter.txt:0: "), "{}", said(&foreign));
    assert_eq!(spool(&["verify", "--spool", text(folder.path())]).status.code(), Some(74), "no spool is there");
}

#[test]
fn a_spool_that_is_written_delivered_and_given_up_meanwhile_holds_at_every_look() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("spool");
    let options = Options { sheds: true, segment_bytes_max: 64 << 10, ..Options::sized(1 << 20) };
    let mut writer = Spool::open(&path, options).expect("a spool");
    let (stop, tender) = (AtomicBool::new(false), writer.tender());
    std::thread::scope(|scope| {
        scope.spawn(|| tender.run(&stop, |_| ()));
        scope.spawn(|| {
            let mut readers = writer.readers();
            for round in 0_u64.. {
                if stop.load(Ordering::Acquire) {
                    break;
                }
                for lane in Lane::ALL {
                    writer.append(lane, &vec![b'x'; 200 + round as usize % 700]).expect("something goes for it");
                }
                if round % 7 == 0 {
                    writer.sync().expect("a disk");
                }
                if round % 50 == 0 {
                    let reader = &mut readers.lanes()[round as usize / 50 % 2];
                    let last = reader.waiting().last;
                    reader.read(last, 1, 1).expect("to read");
                    reader.commit(last).expect("a disk");
                }
            }
        });
        let looks: Vec<Output> = (0..25).map(|_| spool(&["verify", "--spool", text(&path)])).collect();
        stop.store(true, Ordering::Release);
        for (at, look) in looks.iter().enumerate() {
            assert_eq!(look.status.code(), Some(0), "look {at}: {}", said(look));
        }
        let read =
            said(&looks[24]).split(" record").next().and_then(|count| count.replace(' ', "").parse::<u64>().ok());
        assert!(read > Some(100), "it was at work: {}", said(&looks[24]));
    });
}

#[test]
fn what_a_centre_lost_is_there_again_as_it_was_after_a_replay_of_the_stopped_sensor() {
    let directory = TempDir::new().expect("a folder");
    let mut centre = Running::start(directory.path(), &Setting::default());
    let mut site = Site::with(700);
    let mut courier = site.courier(&centre);
    courier.drain(Instant::now() + PATIENCE);
    site.append(701..=1500);
    assert_eq!(courier.drain(Instant::now() + PATIENCE), all(1500));
    let before = held(directory.path());
    let path = site.directory.path().join("spool");
    let refused = spool(&["replay", "--since", "1h", "--spool", text(&path)]);
    assert_eq!(refused.status.code(), Some(69), "a sensor runs: {}", said(&refused));
    assert!(said(&refused).contains("a sensor runs, and cannot be asked: --socket PATH"), "{}", said(&refused));
    centre.kill();
    let lost = ledger::forget(directory.path(), 2).expect("a ledger");
    assert!(!lost.is_empty() && lost.len() < 1500, "{}", lost.len());
    let centre = Running::start(directory.path(), &Setting { port: centre.address.port(), ..Setting::default() });
    assert_eq!(courier.drain(Instant::now() + PATIENCE), all(1500), "nobody knows that they are gone");
    drop(courier);
    let Site { directory: of_site, spool: open } = site;
    drop(open);
    let replayed = spool(&["replay", "--since", "1h", "--spool", text(&path)]);
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
    let told = "1 500 records go again when the sensor starts: 0 critical, 1 500 normal, 0 low";
    assert!(said(&replayed).contains(told) && said(&replayed).lines().count() == 1, "{}", said(&replayed));
    let site = Site { spool: Spool::open(&path, Options::default()).expect("a spool"), directory: of_site };
    assert_eq!(site.courier(&centre).drain(Instant::now() + PATIENCE), all(1500));
    assert!(held(directory.path()) == before, "the same identities, the same bytes");
    assert_eq!(centre.book().repeats, 1500 - lost.len() as u64, "what it had it heard once more");
}

#[test]
fn a_window_that_does_not_reach_back_so_far_is_told() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("spool");
    let options = Options { segment_bytes_max: 4096, ..Options::default() };
    let mut writer = Spool::open(&path, options).expect("a spool");
    for number in 1..=60 {
        writer.append(Lane::Normal, alert(number).to_string().as_bytes()).expect("room");
        writer.sync().expect("a disk");
    }
    writer.reader(Lane::Normal).commit(Position(60)).expect("a disk");
    drop(writer);
    std::fs::remove_file(segment(&path, Lane::Normal)).expect("to remove");
    let replayed = spool(&["replay", "--since", "2h", "--json", "--spool", text(&path)]);
    let came: Value = serde_json::from_slice(&replayed.stdout).unwrap_or_else(|_| panic!("{}", said(&replayed)));
    let (records, through) = (came["normal"]["records"].as_u64(), came["normal"]["short"]["through"].as_u64());
    assert!(through > Some(0) && records.zip(through).map(|(one, other)| one + other) == Some(60), "{came}");
    assert!(came["critical"]["short"].is_null() && came["normal"]["short"]["from"].is_string(), "{came}");
    let again = spool(&["replay", "--since", "2h", "--spool", text(&path)]);
    assert!(said(&again).contains("normal: what is kept begins at 20"), "{}", said(&again));
    assert!(said(&again).contains("cannot be sent again"), "{}", said(&again));
    let late = spool(&["replay", "--since", "2099-01-01", "--spool", text(&path)]);
    let why = "invalid value '2099-01-01' for '--since <TIME>': that time has not come yet";
    assert!(late.status.code() == Some(2) && said(&late).contains(why), "{}", said(&late));
    let nowhere = spool(&["replay", "--since", "2h", "--spool", text(folder.path())]);
    assert_eq!(nowhere.status.code(), Some(74), "{}", said(&nowhere));
    let once = format!("error: {}: no spool of this version of the program\n", folder.path().display());
    assert_eq!(said(&nowhere), once, "its path is told once");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "no spool is made where there is none");
}

#[cfg(feature = "libpcap")]
fn started(configuration: &Path) -> Child {
    let mut sensor = binary::haetae();
    sensor.args(["run", "--workers", "1", "-c"]).arg(configuration).env("HAETAE_LOG", "json");
    sensor.stderr(Stdio::piped()).spawn().expect("it runs")
}

#[cfg(feature = "libpcap")]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A site with so many records in all lanes, from an earlier run; its configuration.
#[cfg(feature = "libpcap")]
fn site_of(folder: &Path, centre: &Running, count: u64) -> PathBuf {
    std::fs::create_dir(folder.join("captures")).expect("a folder");
    std::fs::write(folder.join("rules.yaml"), "format: haetae/1\ndefaults: { source: s, tlp: amber, confidence: 85 }\nindicators:\n  - { domain: bad.example }\n")
        .expect("rules");
    let configuration = format!(
        "site: {{ id: site-0017 }}\nnetworks: {{ home: [10.0.0.0/8] }}\ncapture: [{{ directory: captures }}]\n\
         rules: {{ local: [rules.yaml] }}\ncontrol: {{ socket: control.sock }}\n\
         centre: {{ url: {:?}, token: {:?}, authority: {:?}, spool: spool }}\n",
        centre.url(),
        centre.token(),
        centre.authority(),
    );
    let mut writer = Spool::open(&folder.join("spool"), Options::default()).expect("a spool");
    for number in 1..=count {
        let lane = Lane::ALL[(number % 3) as usize];
        writer.append(lane, alert(number).to_string().as_bytes()).expect("room");
    }
    writer.sync().expect("a disk");
    let config = folder.join("haetae.yaml");
    std::fs::write(&config, configuration).expect("a configuration");
    config
}

#[cfg(feature = "libpcap")]
#[test]
fn a_running_sensor_sends_again_what_the_centre_lost_also_if_it_is_killed_right_after_its_word() {
    let (directory, folder) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let mut centre = Running::start(directory.path(), &Setting::default());
    let (port, count) = (centre.address.port(), 900);
    let config = site_of(folder.path(), &centre, count);
    let mut sensor = started(&config);
    let has = |records: u64| held(directory.path()).len() as u64 == records;
    let show = || {
        let shown = spool(&["show", "--json", "-c", text(&config)]);
        let lanes = said(&shown).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>();
        lanes.iter().filter_map(|lane| lane["waiting"].as_u64()).sum::<u64>()
    };
    until("the centre has all", || has(count));
    until("the sensor knows", || show() == 0);
    let before = held(directory.path());
    centre.kill();
    let lost = ledger::forget(directory.path(), 2).expect("a ledger").len();
    assert!(lost > 0);
    let asked = spool(&["replay", "--since", "1h", "-c", text(&config)]);
    sensor.kill().expect("to kill");
    sensor.wait().expect("its end");
    assert_eq!(asked.status.code(), Some(0), "{}", said(&asked));
    assert!(said(&asked).contains("900 records go again now: 300 critical, 300 normal, 300 low"), "{}", said(&asked));
    assert_eq!(show(), count, "its word holds");
    let mut centre = Running::start(directory.path(), &Setting { port, ..Setting::default() });
    let sensor = started(&config);
    until("the centre has all again", || has(count));
    assert!(held(directory.path()) == before, "the same identities, the same bytes");
    until("the sensor knows", || show() == 0);
    // and without a kill
    centre.kill();
    assert!(!ledger::forget(directory.path(), 1).expect("a ledger").is_empty());
    let _centre = Running::start(directory.path(), &Setting { port, ..Setting::default() });
    let socket = folder.path().join("control.sock");
    let asked = spool(&["replay", "--since", "1h", "--json", "--socket", text(&socket)]);
    let came: Value = serde_json::from_slice(&asked.stdout).unwrap_or_else(|_| panic!("{}", said(&asked)));
    assert_eq!(came["critical"], serde_json::json!({"records": 300, "short": null}), "{came}");
    until("the centre has all once more", || has(count));
    assert!(held(directory.path()) == before);
    let verified = spool(&["verify", "-c", text(&config)]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    until("the sensor knows that, too", || show() == 0);
    rustix::process::kill_process(rustix::process::Pid::from_child(&sensor), rustix::process::Signal::TERM)
        .expect("it can be told to end");
    let ended = sensor.wait_with_output().expect("it ends");
    let lines = String::from_utf8_lossy(&ended.stderr).into_owned();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut closing = lines.filter(|line| line["message"].to_string().contains("what waits is in the spool"));
    let closing = closing.next().expect("a last word");
    let number = |name: &str| closing[name].as_u64().unwrap_or_else(|| panic!("{name}: {closing}"));
    assert_eq!((number("again"), number("found"), number("waiting")), (count, count, 0), "{closing}");
    let [came, went] = [["records", "found", "again"], ["committed", "held_back", "shed"]].map(|of| of.map(number));
    assert_eq!(came.iter().sum::<u64>(), went.iter().sum::<u64>(), "what came is what became of it: {closing}");
}
