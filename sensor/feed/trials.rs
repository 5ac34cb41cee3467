//! All formats on small files with known outcome, and on any bytes at all.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::indicator::{Severity, Tlp};

/// Loads one file of this name.
fn loaded(name: &str, content: &[u8]) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    File::create(&path).unwrap().write_all(content).unwrap();
    load(&[folder.path().to_owned()], &Policy::default()).unwrap()
}

fn reasons(loaded: &Loaded) -> Vec<(u64, &str)> {
    loaded.refusals.iter().map(|refusal| (refusal.line, refusal.reason.as_str())).collect()
}

const YAML: &str = r#"format: haetae/1
defaults: { source: S2W, tlp: amber, confidence: 85, labels: [ransomware], valid_until: 2027-01-31 }
indicators:
  - { domain: bad.example, reach: subdomains, severity: critical, id: indicator--6c0f,
      next: { en: "Isolate the host.", ko: "호스트를 격리하십시오." } }
  - { ip: 203.0.113.66, port: 3333/tcp, labels: [crypto-heist] }
  - { url: "http://drop.example/gate.php?id=7" }
  - { pattern: "EvilUA/", in: http.http_user_agent, severity: low }
  - domain: a..b
  - { domain: good.example, colour: red }
  - { domain: one.example, ip: 192.0.2.1 }
  - just a text
  - { domain: twice.example, id: a, id: b }
  - { domain: port.example, port: 53/udp }
  - { severity: low }
tests:
  - { pcap: ../pcaps/tls13-h2/traffic.pcap, fires: [bad.example], silent: [www.example.test] }
"#;

#[test]
fn a_yaml_file_gives_its_good_indicators_and_a_line_for_each_bad_one() {
    let loaded = loaded("set.yaml", YAML.as_bytes());
    let expected = [
        (8, "kind not supported yet: pattern"),
        (9, "domain: empty label"),
        (10, "unknown key `colour`"),
        (11, "`ip` beside `domain`"),
        (12, "not a map"),
        (13, "`id` twice"),
        (14, "port: only for ip and cidr"),
        (15, "no value: one of domain, ip, cidr, url, ..."),
    ];
    assert_eq!(reasons(&loaded), expected);
    assert_eq!((loaded.taken, loaded.set.len()), (3, 3));
    let word = &loaded.set.explain("x.bad.example", None)[0].words[0];
    assert_eq!(word.id.as_deref(), Some("indicator--6c0f"));
    assert_eq!((word.statement.source.as_str(), word.statement.confidence), ("S2W", 85));
    assert_eq!((word.statement.severity, word.statement.tlp), (Severity::Critical, Tlp::Amber));
    assert_eq!(word.statement.next[0], ("en".to_owned(), "Isolate the host.".to_owned()));
    let narrowed = &loaded.set.explain("203.0.113.66", None)[0].words[0];
    assert_eq!((narrowed.statement.port, narrowed.statement.labels[0].as_str()), (Some((3333, 6)), "crypto-heist"));
}

#[test]
fn a_yaml_file_carries_its_tests() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("set.yaml"), YAML).unwrap();
    let tests = tests(&[folder.path().to_owned()]).unwrap();
    assert_eq!((tests.len(), tests[0].line), (1, 17));
    assert_eq!(tests[0].pcap, folder.path().join("../pcaps/tls13-h2/traffic.pcap"));
    assert_eq!(
        (&tests[0].fires[..], &tests[0].silent[..]),
        (&["bad.example".into()][..], &["www.example.test".into()][..])
    );
}

#[test]
fn yaml_that_cannot_be_trusted_is_refused_whole_with_a_line() {
    let first = |content: &str| reasons(&loaded("a.yaml", content.as_bytes())).first().map(|&(line, _)| line);
    assert_eq!(first("format: haetae/2\nindicators: [{ ip: 192.0.2.1 }]\n"), Some(1));
    assert_eq!(first("indicators: []\n"), Some(1));
    assert!(first("format: haetae/1\nindicators:\n  - { ip: 192.0.2.1\n  - }\n").is_some());
    let bad = loaded("a.yaml", b"format: haetae/1\ndefaults: { valid_until: soon }\nindicators: [{ ip: 192.0.2.1 }]\n");
    assert_eq!((bad.taken, reasons(&bad)[0].0, reasons(&bad).len()), (0, 2, 2));
}

#[test]
fn a_table_is_read_by_its_header_in_any_order() {
    let table = "\u{feff}value,type,id,labels,ignored\r\n\
        bad.example,domain_suffix,i-1,\"c2;apt\",x\r\n\
        \"http://a.example/1,2\",url,,,\r\n\
        http://a.example/1,2,url\r\n\
        # a comment\r\n\
        a@b.example,email,,,\r\n\
        x,colour,,,\r\n\
        00ff,sha256";
    let loaded = loaded("t.csv", table.as_bytes());
    let expected = [
        (4, "unknown kind 2"),
        (6, "kind not supported yet: email"),
        (7, "unknown kind colour"),
        (8, "sha256: wrong number of hexadecimal digits"),
    ];
    assert_eq!(reasons(&loaded), expected);
    assert_eq!(loaded.refused["kind not supported yet: email"], 1);
    let word = &loaded.set.explain("bad.example", None)[0].words[0];
    assert_eq!(
        (word.id.as_deref(), &word.statement.labels[..]),
        (Some("i-1"), &["c2".to_owned(), "apt".to_owned()][..])
    );
    assert_eq!(word.statement.source, "t.csv");
    assert_eq!(loaded.set.explain("http://a.example/1,2", None).len(), 1);
}

#[test]
fn a_table_without_header_is_type_and_value() {
    let loaded = loaded("t.csv", b"ip,203.0.113.66\nurl,c2.example\nurl,http://a.example/,b\ndomain,*.bad.example\n");
    assert_eq!(reasons(&loaded), [(3, "more fields than columns: a value with commas stands in quotes")]);
    assert_eq!(loaded.set.explain("http://c2.example/", None).len(), 1);
    assert_eq!(loaded.set.explain("x.bad.example", None)[0].kind, "domain_suffix");
}

#[test]
fn json_lines_say_the_same_words() {
    let lines =
        br#"{"id": 7, "type": "ip", "value": "203.0.113.66", "confidence": 90, "labels": ["a", "b"], "revoked": true}
{"type": "email", "value": "a@b.example"}
[1]
{"type": "ip"}
{"type": "cidr", "value": "0.0.0.0/0", "extra": {}}
"#;
    let loaded = loaded("x.jsonl", lines);
    let expected = [
        (2, "kind not supported yet: email"),
        (3, "not a JSON object"),
        (4, "no `value`"),
        (5, "cidr: network wider than /8"),
    ];
    assert_eq!(reasons(&loaded), expected);
    let word = &loaded.set.explain("203.0.113.66", None)[0].words[0];
    assert_eq!((word.id.as_deref(), word.statement.confidence, word.statement.labels.len()), (Some("7"), 90, 2));
    assert!(word.verdict.is_err());
}

#[test]
fn lists_and_allow_lists_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.txt"), "*.bad.example\nhxxp://a.example/\n203.0.113.0/24 # seen\n").unwrap();
    fs::write(folder.path().join("allow.txt"), "ours.bad.example\n203.0.113.7\n").unwrap();
    fs::write(folder.path().join("README.md"), "not a feed").unwrap();
    let loaded = load(&[folder.path().to_owned()], &Policy::default()).unwrap();
    assert_eq!((loaded.files.len(), loaded.taken, loaded.refusals.len()), (2, 2, 1));
    assert!(
        loaded.refusals[0]
            .to_string()
            .ends_with("bad.txt:2: url: written so that it does not work (hxxp, [.]): write the value itself")
    );
    let verdict = |value: &str| loaded.set.explain(value, None)[0].words[0].verdict.is_ok();
    assert!(verdict("c2.bad.example") && !verdict("www.ours.bad.example"));
    assert!(verdict("203.0.113.66") && !verdict("203.0.113.7"));
}

#[test]
fn the_examples_that_we_ship_load_without_a_refusal() {
    let rules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rules");
    let loaded = load(std::slice::from_ref(&rules), &Policy::default()).unwrap();
    assert_eq!(loaded.refusals, []);
    assert_eq!((loaded.files.len(), loaded.taken, loaded.set.len()), (5, 15, 14));
    assert_eq!(loaded.set.explain("C2.bad.example", None)[0].words[0].verdict, Ok(()));
    let allowed = loaded.set.explain("www.example.test", None);
    let silent = ["notbad.example", "bad.example.test"].iter().all(|name| loaded.set.explain(name, None).is_empty());
    assert!(allowed.is_empty() && silent && tests(&[rules]).unwrap().len() == 4);
}

#[test]
fn a_path_that_is_not_there_is_an_error_that_names_it() {
    let error = load(&[PathBuf::from("/nowhere/at/all")], &Policy::default()).err().unwrap();
    assert!(error.to_string().starts_with("/nowhere/at/all: "));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_in_any_format_are_read_to_the_end(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        words in prop::collection::vec(prop::sample::select(vec![
            "format: haetae/1\n", "defaults: {", "indicators:\n", "  - { ", "domain: ", "bad.example", ", ", " }", "\n",
            "type,value\n", "type", "value", "\"", "{", "}", "[", "]", ":", "ip", "203.0.113.66", "/24", "#", "\r", "&a", "*a",
            "tlp: ", "next: ", "\u{0}", "{\"type\":\"ip\",\"value\":\"::1\"}\n", "- ", "? ", "|", "http://",
        ]), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut content = words.concat().into_bytes();
        let at = cut.index(content.len() + 1);
        content.splice(at..at, bytes.iter().copied().take(if bytes.len() % 3 == 0 { 300 } else { 2 }));
        for format in &FORMATS {
            let mut builder = Builder::new([0; 16], 0);
            let mut refusals = Refusals::default();
            let mut intake = Intake::of(Path::new("any"), &mut builder, &mut refusals);
            let mut from = content.as_slice();
            (format.recognise)(&content);
            (format.read)(&mut from, &mut intake).unwrap();
            list::read_allowed(&mut content.as_slice(), &mut intake).unwrap();
            builder.build();
        }
        yaml::read_tests(&mut content.as_slice(), Path::new("any")).unwrap();
    }
}
