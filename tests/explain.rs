//! `haetae explain`: every alert of a case is explained, and what the page says of it is what the capture and the record say.
//! `UPDATE_CASES=1` writes the page of `tests/explain/page.txt` anew: read the difference before committing it.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::binary::{self, Replay, haetae, healthy};

/// Cases with a value in a URL, a name, an address, a digest, in a tunnel, in fragments, and beside refused ones.
static CASES: [&str; 7] = ["http1", "tls13", "dns-mixed", "vxlan", "fragments", "http1-chunked", "policy"];

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps").join(name)
}

fn alerts(folder: &Path, capture: &Path, rules: &Path) -> Vec<Value> {
    let replay = Replay { folder, captures: vec![capture.into()], rules: Some(rules.into()), options: Vec::new() };
    binary::lines(&replay.run(1, 64).expect("a run").alerts).expect("alerts")
}

fn explain(folder: &Path, capture: &Path, rules: &Path, words: &[&str]) -> Output {
    let mut command = haetae();
    command.current_dir(folder).arg("explain").args(words).arg("-r").arg(capture).arg("-S").arg(rules);
    command.output().expect("the binary runs")
}

fn page(folder: &Path, capture: &Path, rules: &Path, id: &str) -> String {
    let output = explain(folder, capture, rules, &[id]);
    healthy(&output).expect("explained");
    String::from_utf8(output.stdout).expect("text")
}

/// Seconds and bytes of a capture's packets (little-endian microseconds), read by nothing of the sensor's.
fn packets(capture: &Path) -> Vec<(u32, Vec<u8>)> {
    let bytes = std::fs::read(capture).expect("a capture");
    assert_eq!(bytes[..4], [0xd4, 0xc3, 0xb2, 0xa1], "{}", capture.display());
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let (mut packets, mut at) = (Vec::new(), 24);
    while at + 16 <= bytes.len() {
        let length = number(at + 8) as usize;
        packets.push((number(at), bytes[at + 16..at + 16 + length].to_vec()));
        at += 16 + length;
    }
    packets
}

fn text<'a>(record: &'a Value, place: &str) -> &'a str {
    record.pointer(place).and_then(Value::as_str).unwrap_or_else(|| panic!("no {place} in {record}"))
}

#[test]
fn every_alert_of_a_case_is_explained_by_what_is_there() {
    for name in CASES {
        let folder = case(name);
        let (capture, rules) = (folder.join("traffic.pcap"), folder.join("indicators.yaml"));
        let (alerts, packets) = (alerts(&folder, &capture, &rules), packets(&capture));
        assert!(!alerts.is_empty(), "{name}");
        for alert in &alerts {
            let id = text(alert, "/alert/context/haetae/id");
            let page = page(&folder, &capture, &rules, id);
            let ioc = |member: &str| text(alert, &format!("/alert/context/ioc/0/{member}")).to_owned();
            let met = format!("\n>> {} {}  [admitted]\n", ioc("type"), ioc("value"));
            let seen = format!("\n>> {} = {}\n", ioc("seen_in"), ioc("seen"));
            for part in [&format!("Alert {id}: {}\n", text(alert, "/alert/signature")), &met, &seen] {
                assert!(page.contains(part), "{name} {id}: no {part:?} in\n{page}");
            }
            let line = page.lines().find(|line| line.starts_with("   packet ")).expect("a packet");
            let number = line.split_whitespace().nth(1).and_then(|word| word.trim_end_matches(',').parse().ok());
            let (_, bytes) = &packets[number.unwrap_or(0_usize) - 1];
            let first = text(alert, "/alert/context/haetae/contact/first");
            assert!(line.ends_with(first), "{name} {id}: {line} is not at {first}");
            let length = format!("   length      {} bytes", bytes.len());
            let begins: Vec<String> = bytes[..14].iter().map(|byte| format!("{byte:02x}")).collect();
            for part in [length, format!("0000  {}", begins.join(" "))] {
                assert!(page.contains(&part), "{name} {id}: no {part:?} in\n{page}");
            }
        }
    }
}

#[test]
fn a_page_is_a_page() {
    let folder = case("http1");
    let page = page(&folder, Path::new("traffic.pcap"), Path::new("indicators.yaml"), "a000");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain/page.txt");
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(&golden, &page).expect("written");
    }
    assert_eq!(page, std::fs::read_to_string(&golden).expect("the page"));
}

#[test]
fn what_strangers_send_moves_no_cursor() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = std::fs::read(case("http1").join("traffic.pcap")).expect("a capture");
    let agents: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(b"curl/7.")).collect();
    for at in agents {
        bytes[at + 7..at + 11].copy_from_slice(b"\x1b[2J");
    }
    let (capture, rules) = (folder.path().join("hostile.pcap"), case("http1").join("indicators.yaml"));
    std::fs::write(&capture, bytes).expect("a file");
    let alerts = alerts(folder.path(), &capture, &rules);
    let of_agent = alerts.iter().filter(|alert| text(alert, "/alert/context/ioc/0/value") == "curl/7.");
    let ids: Vec<&str> = of_agent.map(|alert| text(alert, "/alert/context/haetae/id")).collect();
    assert!(!ids.is_empty());
    for id in ids {
        let page = page(folder.path(), &capture, &rules, id);
        assert!(page.contains(r"curl/7.\u{1b}[2J"), "{page}");
        assert!(!page.chars().any(|letter| letter.is_control() && letter != '\n'), "{page:?}");
    }
}

#[test]
fn an_id_that_is_not_there_is_told_with_those_that_are() {
    let folder = case("http1");
    let (capture, rules) = (Path::new("traffic.pcap"), Path::new("indicators.yaml"));
    let output = explain(&folder, capture, rules, &["a0000fffffffffff"]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("8 alerts") && said.contains("a0006fcd3d107ac8") && said.contains("--list"), "{said}");
    let listed = explain(&folder, capture, rules, &["--list"]);
    healthy(&listed).expect("listed");
    let text = String::from_utf8(listed.stdout).expect("text");
    assert_eq!((text.lines().count(), text.contains("\na0006fcd3d107ac8  ")), (8, true), "{text}");
    for wrong in ["a00", "no-id", "a0006fcd3d107ac8a"] {
        assert_eq!(explain(&folder, capture, rules, &[wrong]).status.code(), Some(2), "{wrong}");
    }
}
