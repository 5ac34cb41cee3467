//! The log that the service rotates itself, in its sandbox and under load: every line is in one of its files, whole.

use super::*;

/// Small, so that a few seconds of alerts fill several.
const BYTES_MAX: u64 = 1 << 20;

/// The last line is written where nothing may be renamed any more.
const LAST_LINE_BYTES: u64 = 16 << 10;

/// Its files, the oldest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let older = (1..100).map(|number| folder.join(format!("eve.json.{number}"))).take_while(|path| path.exists());
    let mut all: Vec<PathBuf> = older.collect();
    all.reverse();
    all.push(folder.join("eve.json"));
    all
}

#[test]
fn a_log_that_the_service_rotates_loses_no_line_and_tears_none() {
    if !possible("a_log_that_the_service_rotates_loses_no_line_and_tears_none") {
        return;
    }
    let (link, folder) = (Link::new(), site(BAD_EXAMPLE, "sandbox: required\n"));
    let capture = folder.path().join("load.pcap");
    std::fs::write(&capture, wire::pcap(&questions(3_000))).expect("a capture");
    let eve = "outputs.eve={path: eve.json, rotate_bytes: 1MiB, rotate_seconds: 60, keep: 90, events: [alert, stats]}";
    let mut service = Service::start(&link, folder.path(), &["--workers", "1", "--set", eve]);
    assert_eq!(service.hear("sandboxed")["findings"], 0);
    link.send(&capture, 1, Some(1_000));
    let until = Instant::now() + PATIENCE;
    while !folder.path().join("eve.json.1").exists() {
        assert!(Instant::now() < until, "nothing was rotated");
        std::thread::sleep(Duration::from_millis(20));
    }
    // who rotates besides, as somebody who forgot to take logrotate away
    service.signal("USR1");
    service.hear("opened again");
    let told = service.heard.iter().any(|line| line["message"].to_string().contains("was rotated"));
    assert!(!told, "what happens every so many bytes is no news: {:?}", service.heard);
    let (_, account, status, took) = service.end();
    assert!(status.success() && took < END_WITHIN, "{status} after {took:?}");
    let files = files(folder.path());
    assert!(files.len() >= 4, "{files:?}");
    let mut lines = Vec::new();
    for file in &files {
        let bytes = std::fs::read(file).expect("there");
        let more = if file.extension().is_some_and(|name| name == "json") { LAST_LINE_BYTES } else { 0 };
        assert!(bytes.len() as u64 <= BYTES_MAX + more, "{}: {} bytes", file.display(), bytes.len());
        lines.extend(binary::lines(&bytes).expect("whole lines"));
    }
    let first = lines.iter().filter(|line| line.pointer("/alert/context/haetae/revision") == Some(&1.into())).count();
    assert_eq!(first as u64 + number(&account, "alerts_shed"), number(&account, "alerts"), "{account}");
    assert_eq!((number(&account, "alerts"), &account["log_lines_lost"]), (3_000, &0.into()), "{account}");
    assert_eq!(lines.last().map(|line| &line["event_type"]), Some(&"stats".into()));
}
