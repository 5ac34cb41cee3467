//! All formats on small files with known outcome, and on any bytes at all.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::indicator::{Refusal as Why, Severity};
use crate::observable::address::Port;

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
        (9, "domain: empty label"),
        (10, "unknown key `colour`"),
        (11, "`ip` beside `domain`"),
        (12, "not a map"),
        (13, "`id` twice"),
        (14, "port: only for ip and cidr"),
        (15, "no value: one of domain, ip, cidr, url, ..."),
    ];
    assert_eq!(reasons(&loaded), expected);
    assert_eq!((loaded.taken, loaded.set.len()), (4, 4));
    let word = &loaded.set.explain("x.bad.example", None)[0].words[0];
    assert_eq!(word.id.as_deref(), Some("indicator--6c0f"));
    assert_eq!((word.statement.source.as_str(), word.statement.confidence), ("S2W", 85));
    assert_eq!((word.statement.severity, word.statement.tlp), (Severity::Critical, Tlp::Amber));
    assert_eq!(word.statement.next[0], ("en".to_owned(), "Isolate the host.".to_owned()));
    let narrowed = &loaded.set.explain("203.0.113.66", None)[0].words[0];
    assert_eq!(
        (narrowed.statement.port, narrowed.statement.labels[0].as_str()),
        (Port::read("3333/tcp"), "crypto-heist")
    );
}

#[test]
fn every_format_says_what_may_be_done_with_an_indicator_and_tags_make_it_stricter() {
    let marking = |name: &str, text: &str| {
        let loaded = loaded(name, text.as_bytes());
        assert_eq!(reasons(&loaded), []);
        let said = &loaded.set.explain("bad.example", None)[0].words[0].statement;
        (said.tlp, said.pap, loaded.set.version().to_owned())
    };
    let unsaid = marking("a.csv", "type,value\ndomain,bad.example\n");
    assert_eq!((unsaid.0, unsaid.1), (Tlp::Amber, Pap::Amber));
    let files = [
        ("a.csv", "type,value,pap\ndomain,bad.example,RED\n"),
        ("a.csv", "type,value,pap,labels\ndomain,bad.example,clear,c2;PAP:RED\n"),
        ("a.jsonl", "{\"type\":\"domain\",\"value\":\"bad.example\",\"pap\":\"PAP:RED\"}\n"),
        ("a.jsonl", "{\"type\":\"domain\",\"value\":\"bad.example\",\"labels\":[\"pap:red\"]}\n"),
        ("a.yaml", "format: haetae/1\nindicators:\n  - { domain: bad.example, pap: red }\n"),
        ("a.yaml", "format: haetae/1\nindicators:\n  - { domain: bad.example, labels: [\"PAP:RED\"], pap: clear }\n"),
        (
            "a.yaml",
            "format: haetae/1\ndefaults: { labels: [\"pap:red\"] }\nindicators:\n  - { domain: bad.example, labels: [c2] }\n",
        ),
    ];
    for (name, text) in files {
        let (tlp, pap, version) = marking(name, text);
        assert_eq!((tlp, pap), (Tlp::Amber, Pap::Red), "{text}");
        assert_ne!(version, unsaid.2, "another marking is another set: {text}");
    }
    let wrong = loaded("a.csv", b"type,value,labels\ndomain,bad.example,pap:purple\nip,203.0.113.9,tlp:ex\n");
    let expected = [(2, "labels: one of clear, green, amber, red"), (3, "labels: no TLP of version 2")];
    assert_eq!(reasons(&wrong), expected);
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

/// Why a folder with this YAML file and a sound list beside it is not loaded; nothing if it is.
fn broken(content: &[u8]) -> Option<Refusal> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), content).unwrap();
    fs::write(folder.path().join("b.txt"), "203.0.113.66\n").unwrap();
    match load(&[folder.path().to_owned()], &Policy::default()) {
        Ok(_) => None,
        Err(NotLoaded::Broken(refusal)) => Some(refusal),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_file_that_is_broken_as_a_whole_loads_nothing_and_says_where() {
    let cases: [(&[u8], u64, &str); 8] = [
        (b"", 1, "not a map of format, defaults, indicators"),
        (b"format: haetae/2\nindicators: [{ ip: 192.0.2.1 }]\n", 1, "format: this version reads haetae/1"),
        (b"indicators: []\n", 1, "no `format: haetae/1`"),
        (b"format: haetae/1\nindicators:\n  - { ip: 192.0.2.1 }\n  - ]\n", 4, "YAML: "),
        (b"format: haetae/1\n# \xff\n", 2, "not UTF-8"),
        (
            b"format: haetae/1\ndefaults: { valid_until: soon }\nindicators: [{ ip: 192.0.2.1 }]\n",
            2,
            "valid_until: a date",
        ),
        (b"format: haetae/1\nindicators: [{ ip: 192.0.2.1 }]\ndefaults: { colour: red }\n", 3, "unknown key `colour`"),
        (b"format: haetae/1\ndefaults: red\n", 2, "defaults: not a map"),
    ];
    for (content, line, why) in cases {
        let refusal = broken(content).unwrap_or_else(|| panic!("loaded: {}", content.escape_ascii()));
        assert_eq!(refusal.line, line, "{refusal}");
        assert!(refusal.reason.starts_with(why), "{refusal}");
    }
    let large = [b"format: haetae/1\n".to_vec(), vec![b'#'; crate::limits::FEED_YAML_BYTES_MAX as usize]].concat();
    assert!(broken(&large).expect("a reason").reason.starts_with("file larger than 8 MiB"));
    assert_eq!(broken(b"format: haetae/1\nindicators: [{ ip: 192.0.2.1 }, { ip: x }, { colour: red }]\n"), None);
}

#[test]
fn a_copy_that_is_cut_within_its_indicators_is_never_taken_for_fewer_of_them() {
    let whole = &YAML[..YAML.find("  - domain: a..b").unwrap()];
    let unclosed = |text: &str| text.matches('{').count() > text.matches('}').count();
    let cuts = (0..whole.len()).filter_map(|cut| whole.get(..cut)).filter(|before| unclosed(before));
    assert!(cuts.clone().count() > 300);
    cuts.for_each(|before| assert!(broken(before.as_bytes()).is_some(), "{before}"));
    assert_eq!(broken(whole.as_bytes()), None);
}

#[test]
fn tests_of_a_broken_file_are_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("set.yaml"), &YAML[..150]).unwrap();
    assert!(matches!(tests(&[folder.path().to_owned()]), Err(NotLoaded::Broken(_))));
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
    assert_eq!((loaded.files.len(), loaded.taken, loaded.set.len()), (5, 23, 22));
    assert_eq!(loaded.set.explain("C2.bad.example", None)[0].words[0].verdict, Ok(()));
    let allowed = loaded.set.explain("www.example.test", None);
    let silent = ["notbad.example", "bad.example.test"].iter().all(|name| loaded.set.explain(name, None).is_empty());
    assert!(allowed.is_empty() && silent && tests(&[rules]).unwrap().len() == 9);
}

#[test]
fn a_path_that_is_not_there_is_an_error_that_names_it() {
    let error = load(&[PathBuf::from("/nowhere/at/all")], &Policy::default()).err().unwrap();
    assert!(error.to_string().starts_with("/nowhere/at/all: "));
}

/// What was taken, as `kind value port`, in the order of entries.
fn taken(loaded: &Loaded, texts: &[&str]) -> Vec<String> {
    let all = texts.iter().flat_map(|text| loaded.set.explain(text, None));
    let ports = |words: &[crate::indicator::Word]| {
        words.iter().filter_map(|word| word.statement.port).map(|port| format!(" {port}")).collect::<String>()
    };
    all.map(|one| format!("{} {}{}", one.kind, one.value, ports(&one.words))).collect()
}

const MD5: &str = "00112233445566778899aabbccddeeff";
const SHA1: &str = "00112233445566778899aabbccddeeff00112233";
const SHA256: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn an_address_with_its_port_is_read_wherever_people_write_it() {
    let expected = ["ip 203.0.113.66 3333/tcp", "ip 203.0.113.67 53/udp", "ip 2001:db8::1 443"];
    let yaml = "format: haetae/1\nindicators:\n  - { ip: 203.0.113.66, port: 3333/tcp }\n  \
                - { 'ip:port': '203.0.113.67:53/udp' }\n  - { ip: '[2001:db8::1]:443' }\n";
    let csv = "type,value,port\nip,203.0.113.66,3333/tcp\nip-dst|port,203.0.113.67|53/udp,\nip:port,2001:db8::1|443,\n";
    let json = "{\"type\": \"ip:port\", \"value\": \"203.0.113.66:3333/tcp\"}\n\
                {\"type\": \"ip-src|port\", \"value\": \"203.0.113.67|53/UDP\"}\n\
                {\"type\": \"ipv6-addr\", \"value\": \"2001:DB8::1\", \"port\": 443}\n";
    let list = "203.0.113.66:3333/tcp # one\n203.0.113.67:53/udp\n[2001:db8::1]:443\n";
    for (name, text) in [("a.yaml", yaml), ("a.csv", csv), ("a.jsonl", json), ("a.txt", list)] {
        let loaded = loaded(name, text.as_bytes());
        assert_eq!(reasons(&loaded), [], "{name}");
        assert_eq!(taken(&loaded, &["203.0.113.66", "203.0.113.67", "2001:db8::1"]), expected, "{name}");
        let verdict = |text: &str| loaded.set.explain(text, None)[0].words[0].verdict;
        assert_eq!(verdict("203.0.113.66:3333"), Ok(()));
        assert_eq!(verdict("203.0.113.66:3333/udp"), Err(Why::OtherPort));
        assert_eq!(verdict("203.0.113.67:54"), Err(Why::OtherPort));
        assert_eq!(verdict("[2001:db8::1]:443/udp"), Ok(()));
    }
    let bad = loaded(
        "b.csv",
        b"type,value,port\nip,203.0.113.66:80,81\nip:port,203.0.113.66:99999,\nip,bad.example:80,\n\
                                ip,203.0.113.66:80,80\nmd5,00112233445566778899aabbccddeeff,80\n",
    );
    let expected = [
        (2, "port: another one than the value has"),
        (3, "ip: not an address"),
        (4, "ip: not an address"),
        (6, "port: only for ip and cidr"),
    ];
    assert_eq!((reasons(&bad), bad.taken), (expected.to_vec(), 1));
}

#[test]
fn two_ports_of_one_address_are_two_words_on_one_indicator() {
    let loaded = loaded("a.txt", b"203.0.113.66:80\n203.0.113.66:443/tcp\n203.0.113.66:80\n");
    assert_eq!((loaded.taken, loaded.set.len()), (3, 1));
    assert_eq!(taken(&loaded, &["203.0.113.66"]), ["ip 203.0.113.66 80 443/tcp"]);
}

#[test]
fn digests_and_fingerprints_are_taken_by_every_usual_name() {
    let fingerprint = "t13d1516h2_8daaf6152771_02713d6af862";
    let table = format!(
        "type,value\nfile-sha1,{SHA1}\nfilename|sha256,a|b.exe|{SHA256}\nx509-fingerprint-sha1,{SHA1}\n\
         ja3-fingerprint-md5,{MD5}\nFileHash-MD5,{MD5}\nuser-agent,\"Evil, UA/1.0\"\nJA4,{fingerprint}\n\
         hash,{SHA256}\ndomain|ip,pair.example|203.0.113.9\nx509-fingerprint-sha256,{SHA256}\nip-dst,203.0.113.0/24\n"
    );
    let good = loaded("misp.csv", table.as_bytes());
    assert_eq!(reasons(&good), []);
    let texts = [SHA256, SHA1, MD5, "Evil, UA/1.0", fingerprint, "pair.example", "203.0.113.9"];
    let kinds: Vec<&str> = texts.iter().flat_map(|text| good.set.explain(text, None)).map(|one| one.kind).collect();
    let expected =
        ["sha256", "cert_sha256", "sha1", "cert_sha1", "ja3", "md5", "user_agent", "ja4", "domain", "ip", "cidr"];
    assert_eq!(kinds, expected);
    for near in ["evil, UA/1.0", "Evil, UA/1.0.1", &SHA1[1..], "t13d1516h2_8daaf6152771_02713d6af863"] {
        assert_eq!(good.set.explain(near, None), [], "{near}");
    }
    let bad = loaded(
        "misp.csv",
        b"type,value\nfilename|sha256,a.exe\nfilename|md5,a|zz\nhash,00ff\nhostname|port,a.example|80\nja4,t13\nuser-agent,\n",
    );
    let expected = [
        (2, "two values with `|` between them"),
        (3, "md5: wrong number of hexadecimal digits"),
        (4, "no digest: 32, 40 or 64 hexadecimal digits"),
        (5, "kind not supported yet: hostname|port"),
        (6, "ja4: not a JA4 fingerprint, which looks like t13d1516h2_8daaf6152771_02713d6af862"),
        (7, "user_agent: empty"),
    ];
    assert_eq!(reasons(&bad), expected);
}

#[test]
fn tables_of_others_name_their_columns_otherwise() {
    let table = format!(
        "\"ioc_id\",\"ioc_value\",\"ioc_type\"\n\"1\",\"203.0.113.66:3333\",\"ip:port\"\n\"2\",\"{MD5}\",\"md5_hash\"\n"
    );
    let loaded = loaded("threats.csv", table.as_bytes());
    assert_eq!((reasons(&loaded), loaded.taken), (vec![], 2));
}

#[test]
fn a_list_may_declare_its_kind() {
    let text = format!(
        "# Feed of hellos: fresh\n# kind: ja3\n{MD5} # seen in May\n# kind: user_agent\nEvil #1 UA\n\
                        #kind: pattern\n# in: http.url\n# nocase: true\n/Gate.php # \n# kind: email\na@b.example\nc@b.example\n\
                        # kind: pattern\nno-field\n# in: http.uri\nEvil\n"
    );
    let loaded = loaded("a.txt", text.as_bytes());
    let expected = [
        (11, "under `kind: email`, which is none"),
        (12, "under `kind: email`, which is none"),
        (14, "pattern: no `in`, the field that it is looked for in"),
    ];
    assert_eq!(reasons(&loaded)[..3], expected);
    let (line, reason) = reasons(&loaded)[3];
    assert!(line == 15 && reason.starts_with("in: no field of this name holds text; near it: http.url"), "{reason}");
    assert_eq!(reasons(&loaded)[4..], [(16, "under a refused `in:`")]);
    let texts = [MD5, "Evil #1 UA", "http://x.example/GATE.php # "];
    let kinds: Vec<&str> = texts.iter().flat_map(|text| loaded.set.explain(text, None)).map(|one| one.kind).collect();
    assert_eq!(kinds, ["ja3", "user_agent", "pattern"], "`#` is part of what may be anything");
    assert_eq!(loaded.set.explain("/GATE.php # .", None)[0].value, "/gate.php #");
}

#[test]
fn patterns_are_taken_from_every_format_or_refused_with_a_reason() {
    let yaml = "format: haetae/1\nindicators:\n  - { pattern: 'Evil\\x00UA', in: http.http_user_agent, nocase: true }\n  \
                - { pattern: 'hex:4d5a90', in: http.http_user_agent }\n  - { pattern: Evil }\n  - { pattern: x, in: http.url }\n  \
                - { pattern: '', in: http.url }\n  - { pattern: Evil, in: user_agent }\n  - { domain: a.example, in: http.url }\n  \
                - { domain: a.example, nocase: true }\n  - { pattern: 'C:\\Temp', in: http.url }\n  \
                - { pattern: 'hxxp[.]', in: http.url }\n";
    let patterns = loaded("a.yaml", yaml.as_bytes());
    let near =
        patterns.refusals.iter().find(|refusal| refusal.line == 8).map(|refusal| refusal.reason.clone()).unwrap();
    assert!(near.starts_with("in: no field of this name holds text; near it: http.http_user_agent"), "{near}");
    let expected = [
        (5, "pattern: no `in`, the field that it is looked for in"),
        (6, "pattern: one byte alone is everywhere"),
        (7, "pattern: empty"),
        (8, near.as_str()),
        (9, "in and nocase: only for a pattern"),
        (10, "in and nocase: only for a pattern"),
        (11, r"pattern: a backslash begins \xNN or \\"),
    ];
    assert_eq!(reasons(&patterns), expected);
    let values = |loaded: &Loaded, text: &str| -> Vec<String> {
        loaded.set.explain(text, None).into_iter().map(|one| one.value).collect()
    };
    assert_eq!(values(&patterns, "so EVIL\0UA"), [r"evil\x00ua"]);
    assert_eq!(values(&patterns, r"\x4d\x5a\x90"), [r"MZ\x90"]);
    assert_eq!(values(&patterns, "MZ"), Vec::<String>::new());
    let table = loaded("a.csv", b"type,value,in,nocase\npattern,EvilUA/,http.http_user_agent,\npattern,EvilUA/,http.url,yes\ndomain,a.example,,\n");
    assert_eq!((reasons(&table), table.taken), (vec![], 3));
    let lines =
        loaded("a.jsonl", br#"{"type": "pattern", "value": "EvilUA/", "in": "http.http_user_agent", "nocase": true}"#);
    assert_eq!((reasons(&lines), values(&lines, "an evilua/1")), (vec![], vec!["evilua/".to_owned()]));
}

#[test]
fn patterns_beyond_the_bound_are_refused_with_their_line_and_the_rest_holds() {
    let most = crate::limits::PATTERNS_MAX;
    let rows = (0..most + 2).map(|n| format!("pattern,p{n:05},http.url\n"));
    let table = format!("type,value,in\n{}pattern,p00007,http.url\n", rows.collect::<String>());
    let loaded = loaded("a.csv", table.as_bytes());
    let full = "pattern: more than 8192 patterns";
    assert_eq!(reasons(&loaded), [(most as u64 + 2, full), (most as u64 + 3, full)]);
    assert_eq!((loaded.set.len(), loaded.taken), (most, most + 1));
}

#[test]
fn names_in_every_script_are_one_in_feeds() {
    let loaded = loaded(
        "a.txt",
        "사이트。한국\n*.ＢＡＤ．example\nhttp://bücher.example/x\nxn--99999999.example\n\u{200d}.example\n".as_bytes(),
    );
    assert_eq!(reasons(&loaded), [(5, "domain: not a name in any script: IDNA (UTS 46) refuses it")]);
    let kinds = |text: &str| loaded.set.explain(text, None).iter().map(|one| one.kind).collect::<Vec<_>>();
    assert_eq!(kinds("XN--VF4B27JHRK.xn--3e0b707e"), ["domain"]);
    assert_eq!(kinds("사이트.한국."), ["domain"]);
    assert_eq!(kinds("c2.bad.example"), ["domain_suffix"]);
    assert_eq!(kinds("http://xn--bcher-kva.example/x"), ["url"]);
    assert_eq!(kinds("xn--99999999.example"), ["domain"]);
}

#[test]
fn what_ends_before_it_begins_is_refused_in_every_format_with_its_line() {
    let yaml = "format: haetae/1\ndefaults: { valid_until: 2027-01-31 }\nindicators:\n  \
        - { ip: 192.0.2.1, valid_from: 2027-01-30 }\n  - { ip: 192.0.2.2, valid_from: 2027-02-01 }\n  \
        - { ip: 192.0.2.3, valid_from: 2027-01-31 }\n";
    let csv = "type,value,valid_from,valid_until\nip,192.0.2.1,2027-01-30,2027-01-31\nip,192.0.2.9,2027-01-30,\n\
        \n ip,192.0.2.2,2027-02-01,2027-01-31\nip,192.0.2.3,2027-02-01,2027-01-31\n";
    let line = |ip: &str, from: &str| {
        let text = r#"{"type":"ip","value":"IP","valid_from":"FROM","valid_until":"2027-01-31T00:00:00Z"}"#;
        text.replace("IP", ip).replace("FROM", from) + "\n"
    };
    let json = ["2027-01-30T23:59:59Z", "2027-01-31T00:00:01Z"].map(|from| line("192.0.2.1", from)).concat();
    for (name, content, lines) in [("a.yaml", yaml, &[5, 6][..]), ("a.csv", csv, &[5, 6]), ("a.jsonl", &json, &[2])] {
        let loaded = loaded(name, content.as_bytes());
        let expected: Vec<_> = lines.iter().map(|&line| (line, "valid_from: not before valid_until")).collect();
        assert_eq!(reasons(&loaded), expected, "{name}");
        assert!(!loaded.set.explain("192.0.2.1", None).is_empty(), "{name}");
    }
}

#[test]
fn sectors_are_a_word_in_every_format() {
    let yaml = "format: haetae/1\nindicators: [{ ip: 203.0.113.66, sectors: [Finance, energy] }]\n";
    let csv = "type,value,sectors\nip,203.0.113.66,finance;energy\n";
    let json = "{\"type\": \"ip\", \"value\": \"203.0.113.66\", \"sectors\": [\"energy\", \"finance\"]}\n";
    for (name, text) in [("a.yaml", yaml), ("a.csv", csv), ("a.jsonl", json)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let verdict = |sectors: &[&str]| {
            let sectors = sectors.iter().map(|sector| sector.to_string()).collect();
            let loaded = load(&[folder.path().to_owned()], &Policy { sectors, ..Policy::default() }).unwrap();
            loaded.set.explain("203.0.113.66", None)[0].words[0].verdict
        };
        assert_eq!(verdict(&["FINANCE", "health"]), Ok(()), "{name}");
        assert_eq!(verdict(&["health"]), Err(Why::OtherSector), "{name}");
        assert_eq!(verdict(&[]), Ok(()), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_in_any_format_are_read_to_the_end(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        words in prop::collection::vec(prop::sample::select(vec![
            "format: haetae/1\n", "defaults: {", "indicators:\n", "  - { ", "domain: ", "bad.example", ", ", " }", "\n",
            "type,value\n", "type", "value", "\"", "{", "}", "[", "]", ":", "ip", "203.0.113.66", "/24", "#", "\r", "&a", "*a",
            "# kind: pattern\n", "# in: http.url\n", "pattern: ", "in: ", "nocase: ", "\\x", "hex:", ":53/udp", "한국。",
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
        let tests = yaml::read_tests(&mut content.as_slice(), Path::new("any"));
        assert!(!matches!(tests, Err(NotLoaded::Unusable(_))));
    }
}
