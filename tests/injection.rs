//! Texts of strangers in every place that reaches an output: what is written stays one JSON object a line, the bytes of the
//! wire can be had back, and a person's screen and page show text and nothing else.
//!
//! In: traffic and indicators made here, of texts that mean something to a log, a terminal, a browser. Out: what the built
//! binary wrote. Never here: whether an alert is right.

use std::path::Path;

use haetae::limits::{CONTEXT_VALUE_BYTES_MAX, PRINTED_BYTES_MAX, SEEN_BYTES_MAX};
use serde_json::Value;

use crate::binary;
use crate::wire::{self, ACK, Ends, FIN, Frame, PUSH_ACK, SYN, Wrap};

/// A line that would be taken for one of ours if a line could be begun.
const FORGED: &str = r#"{"timestamp":"2026-11-22T00:00:00.000000+0000","event_type":"alert","forged":true}"#;

/// Longer than any place keeps.
const LONG_BYTES: usize = 64 << 10;

/// What strangers write.
fn texts() -> Vec<Vec<u8>> {
    let around = |separator: &str| format!("a{separator}{FORGED}{separator}").into_bytes();
    vec![
        (1..0x20).filter(|byte| !b"\t\n\r".contains(byte)).chain([0x7f]).collect(),
        b"nul\0nul".to_vec(),
        b"\xff\xfe\xc3(\xe2\x80\xf0\x9f\x92".to_vec(),
        br#"'"'"\"#.to_vec(),
        br#"\xff\u0041\"\\x5c"#.to_vec(),
        around("\r\n"),
        around("\n"),
        around("\r"),
        around("\u{2028}"),
        around("\u{2029}"),
        around("\u{85}"),
        around("\u{b}"),
        "\u{202e}gnp.exe\u{2066}\u{2069}\u{202c}\u{200f}".into(),
        b"</script><script>alert(1)</script><!--".to_vec(),
        b"'\"><img src=x onerror=alert(2)>".to_vec(),
        b"\x1b]0;owned\x07\x1b[2J\x1b[31m\x1b[8m\x9b2J".to_vec(),
        "\u{9b}2J \u{feff}\u{fffe}".into(),
        b"%s%n${jndi:ldap://x/}{{7*7}}=cmd|' /C calc'!A0".to_vec(),
    ]
}

/// Where a stranger's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Method,
    Url,
    Host,
    UserAgent,
    Referer,
    ForwardedFor,
    ContentType,
    Location,
    Question,
    Txt,
    ServerName,
    Subject,
    Issuer,
}

const PLACES: [Place; 13] = [
    Place::Method,
    Place::Url,
    Place::Host,
    Place::UserAgent,
    Place::Referer,
    Place::ForwardedFor,
    Place::ContentType,
    Place::Location,
    Place::Question,
    Place::Txt,
    Place::ServerName,
    Place::Subject,
    Place::Issuer,
];

impl Place {
    /// Whether the protocol can carry these bytes there at all: the end of a line ends a header, a space a word of the
    /// first line. What it cannot carry is sent nevertheless; only nobody expects to read it in one piece.
    fn carries(self, text: &[u8]) -> bool {
        let has = |bytes: &[u8]| text.iter().any(|byte| bytes.contains(byte));
        match self {
            Place::Method => text.len() <= 16 && text.iter().all(|byte| byte.is_ascii_alphanumeric()),
            Place::Url => !has(b" \t\r\n\0"),
            Place::Host | Place::UserAgent | Place::Referer | Place::ForwardedFor => !has(b"\r\n\0"),
            Place::Location => !has(b"\r\n\0"),
            // what stands behind a semicolon is no type
            Place::ContentType => !has(b"\r\n\0;"),
            Place::Question => text.len() < 190,
            Place::Txt => text.len() < 240,
            Place::ServerName | Place::Subject | Place::Issuer => true,
        }
    }
}

/// Traffic that is being made: each conversation from a port of its own.
struct Story {
    frames: Vec<Frame>,
    port: u16,
}

impl Story {
    fn say(&mut self, packet: &[u8]) {
        let bytes = wire::framed(packet, Wrap::Plain);
        let micros = 1_795_262_400_000_000 + self.frames.len() as u64 * 1_000;
        self.frames.push(Frame { micros, wire_bytes: bytes.len() as u32, bytes });
    }

    fn ends(&mut self, to: [u8; 4], port: u16) -> Ends {
        self.port += 1;
        Ends { from: ([10, 77, 0, 2].into(), self.port), to: (to.into(), port) }
    }

    /// A connection in which both say what they have to.
    fn converse(&mut self, port: u16, asked: &[u8], answered: &[u8]) {
        let ends = self.ends([203, 0, 113, 66], port);
        let mut sent = [1, 1];
        self.say(&wire::ip(ends, 6, &wire::tcp(ends, 0, 0, SYN, b"")));
        self.say(&wire::ip(ends.turned(), 6, &wire::tcp(ends.turned(), 0, 1, SYN | ACK, b"")));
        for (who, bytes) in [asked, answered].into_iter().enumerate() {
            let ends = if who == 0 { ends } else { ends.turned() };
            for piece in bytes.chunks(1_400) {
                self.say(&wire::ip(ends, 6, &wire::tcp(ends, sent[who], sent[1 - who], PUSH_ACK, piece)));
                sent[who] += piece.len() as u32;
            }
        }
        self.say(&wire::ip(ends, 6, &wire::tcp(ends, sent[0], sent[1], FIN | ACK, b"")));
        self.say(&wire::ip(ends.turned(), 6, &wire::tcp(ends.turned(), sent[1], sent[0] + 1, FIN | ACK, b"")));
    }

    fn web(&mut self, place: Place, text: &[u8]) {
        let at = |one: Place, otherwise: &str| if one == place { text.to_vec() } else { otherwise.as_bytes().to_vec() };
        let asked = [
            at(Place::Method, "GET"),
            b" /".to_vec(),
            at(Place::Url, "x"),
            b" HTTP/1.1\r\nHost: ".to_vec(),
            at(Place::Host, "www.bad.example"),
            b"\r\nUser-Agent: ".to_vec(),
            at(Place::UserAgent, "agent"),
            b"\r\nReferer: ".to_vec(),
            at(Place::Referer, "http://a.example/"),
            b"\r\nX-Forwarded-For: ".to_vec(),
            at(Place::ForwardedFor, "10.0.0.1"),
            b"\r\n\r\n".to_vec(),
        ];
        let answered = [
            b"HTTP/1.1 302 Found\r\nContent-Type: ".to_vec(),
            at(Place::ContentType, "text/html"),
            b"\r\nLocation: ".to_vec(),
            at(Place::Location, "/y"),
            b"\r\nContent-Length: 2\r\n\r\nhi".to_vec(),
        ];
        self.converse(80, &asked.concat(), &answered.concat());
    }

    fn name(&mut self, place: Place, text: &[u8]) {
        let (question, txt): (&[u8], &[u8]) = if place == Place::Question { (text, b"hi") } else { (b"www", text) };
        let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        for label in question.chunks(60).take(3).chain([&b"bad"[..], b"example"]) {
            message.push(label.len() as u8);
            message.extend_from_slice(label);
        }
        message.extend_from_slice(&[0, 0, 16, 0, 1, 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
        let txt = &txt[..txt.len().min(255)];
        message.extend_from_slice(&(txt.len() as u16 + 1).to_be_bytes());
        message.push(txt.len() as u8);
        message.extend_from_slice(txt);
        let ends = self.ends([198, 51, 100, 53], 53).turned();
        self.say(&wire::ip(ends, 17, &wire::udp(ends, &message)));
    }

    fn secret(&mut self, place: Place, text: &[u8]) {
        let of = |one: Place| if one == place { text } else { b"www.bad.example" };
        let certificate = certificate(of(Place::Subject), of(Place::Issuer));
        let hello = message(2, &[&[3, 3][..], &[9; 32], &[0, 0xc0, 0x2f, 0]].concat());
        let list = [&length3(certificate.len())[..], &certificate].concat();
        let chain = message(11, &[&length3(list.len())[..], &list].concat());
        let name = &of(Place::ServerName)[..of(Place::ServerName).len().min(16 << 10)];
        self.converse(443, &records(&client_hello(name)), &records(&[hello, chain].concat()));
    }
}

fn length2(length: usize) -> [u8; 2] {
    (length as u16).to_be_bytes()
}

fn length3(length: usize) -> [u8; 3] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    [a, b, c]
}

/// A handshake message (RFC 5246 section 7.4).
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &length3(body.len()), body].concat()
}

fn records(messages: &[u8]) -> Vec<u8> {
    messages.chunks(16_000).flat_map(|piece| [&[22, 3, 3][..], &length2(piece.len()), piece].concat()).collect()
}

fn client_hello(name: &[u8]) -> Vec<u8> {
    let list = [&[0][..], &length2(name.len()), name].concat();
    let extension = [&[0, 0][..], &length2(list.len() + 2), &length2(list.len()), &list].concat();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2f, 1, 0], &length2(extension.len()), &extension].concat();
    message(1, &body)
}

/// An element of DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&[tag, 0x83][..], &length3(content.len()), &content].concat()
}

/// A certificate as far as a passer-by reads it; nobody has signed it.
fn certificate(subject: &[u8], issuer: &[u8]) -> Vec<u8> {
    let named = |text: &[u8]| {
        let common_name = der(0x30, &[&[6, 3, 0x55, 4, 3], &der(0x0c, &[text])]);
        der(0x30, &[&der(0x31, &[&common_name])])
    };
    let algorithm = der(0x30, &[&[6, 3, 0x2a, 3, 4]]);
    let times = der(0x30, &[&der(0x17, &[b"260101000000Z"]), &der(0x17, &[b"270101000000Z"])]);
    let fields = [vec![2, 1, 7], algorithm.clone(), named(issuer), times, named(subject), algorithm.clone()];
    der(0x30, &[&der(0x30, &[&fields.concat()]), &algorithm, &[3, 1, 0]])
}

/// What tells one text in one place from all others.
fn marker(place: usize, text: usize) -> String {
    format!("m{place:02}x{text:02}z")
}

/// The capture of all texts in all places.
fn traffic() -> Vec<u8> {
    let mut story = Story { frames: Vec::new(), port: 10_000 };
    let texts = texts();
    for (at, place) in PLACES.into_iter().enumerate() {
        let long = (texts.len(), vec![b'A'; LONG_BYTES - 200]);
        for (number, text) in texts.iter().cloned().enumerate().chain([long]) {
            let text = [marker(at, number).as_bytes(), &text, b"!"].concat();
            match place {
                Place::Question | Place::Txt => story.name(place, &text),
                Place::ServerName | Place::Subject | Place::Issuer => story.secret(place, &text),
                _ => story.web(place, &text),
            }
        }
    }
    wire::pcap(&story.frames)
}

/// A text in double quotes as YAML takes any: nothing but printable ASCII stands for itself.
fn quoted(text: &str) -> String {
    let spelled = |letter: char| match letter {
        '"' | '\\' => format!("\\{letter}"),
        ' '..='~' => letter.to_string(),
        _ => format!("\\U{:08x}", u32::from(letter)),
    };
    format!("\"{}\"", text.chars().map(spelled).collect::<String>())
}

/// Indicators whose words are no better; and a list of which most lines are refused.
fn write_rules(folder: &Path) {
    let texts = texts().into_iter().filter_map(|text| String::from_utf8(text).ok());
    let mut rules = "format: haetae/1\nindicators:\n".to_owned();
    for (at, text) in texts.enumerate() {
        let text = quoted(&text);
        let value = ["ip: 203.0.113.66", "ip: 198.51.100.53", "domain: bad.example, reach: subdomains"][at % 3];
        let next = format!("next: {{ en: {text}, ko: {text} }}");
        rules += &format!("  - {{ {value}, source: {text}, labels: [{text}], id: {text}, {next} }}\n");
    }
    std::fs::write(folder.join("rules/words.yaml"), rules).expect("rules");
    let plain = "format: haetae/1\nindicators:\n  - { ip: 203.0.113.66, severity: high, source: plain }\n";
    std::fs::write(folder.join("rules/plain.yaml"), plain).expect("rules");
    let list: Vec<u8> = self::texts().into_iter().flat_map(|text| [&b"domain "[..], &text, b"\n"].concat()).collect();
    std::fs::write(folder.join("rules/list.txt"), list).expect("rules");
}

/// What a reader makes of a value of the wire: each `\xNN` is a byte.
fn bytes_of(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        let digits = behind.strip_prefix(b"x").and_then(|digits| digits.get(..2));
        let digits = digits.filter(|two| *first == b'\\' && two.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|two| u8::from_str_radix(str::from_utf8(two).ok()?, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[3..] } else { behind };
    }
    out
}

/// Each text of a value, with the names that lead to it.
fn each_text(value: &Value, path: &str, see: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => see(path, text),
        Value::Array(list) => list.iter().for_each(|one| each_text(one, path, see)),
        Value::Object(members) => {
            for (name, member) in members {
                assert_ne!(name, "forged", "a line of a stranger: {value}");
                each_text(member, &format!("{path}/{name}"), see);
            }
        }
        _ => {}
    }
}

/// The objects of a file in which every line is one, however a reader tells lines apart.
fn objects(path: &Path) -> Vec<Value> {
    let text = String::from_utf8(std::fs::read(path).expect("written")).expect("UTF-8");
    for (at, line) in text.split('\n').enumerate() {
        let odd = line.chars().find(|&letter| letter.is_control() || moves(letter));
        assert_eq!(odd, None, "{}:{}: {line}", path.display(), at + 1);
    }
    let lines: Vec<&str> = text.split_terminator('\n').collect();
    assert!(text.ends_with('\n') && !lines.is_empty(), "{} ends in a whole line", path.display());
    let read = |line: &&str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let objects: Vec<Value> = lines.iter().map(read).collect();
    assert!(objects.iter().all(Value::is_object));
    objects
}

/// Ends a line to some reader, or turns it around.
fn moves(letter: char) -> bool {
    matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("rules")).expect("a folder");
    write_rules(folder.path());
    std::fs::write(folder.path().join("a.pcap"), traffic()).expect("a capture");
    folder
}

fn run(folder: &Path, words: &[&str]) -> std::process::Output {
    let mut command = binary::haetae();
    command.current_dir(folder).args(["-r", "a.pcap", "-S", "rules"]).args(words);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn every_line_is_one_object_and_the_bytes_of_the_wire_can_be_had_back() {
    let site = site();
    let folder = site.path();
    run(folder, &["--events-dir", "events", "--alerts", "alerts.json", "--events", "all.json", "-l", "log"]);
    let mut seen = Vec::new();
    for file in ["events/a.eve.json", "all.json", "log/eve.json"] {
        for object in objects(&folder.join(file)) {
            each_text(&object, "", &mut |path, text| {
                let bytes = bytes_of(text);
                // the context of an alert has bounds of its own, and advice is the feed's
                assert!(bytes.len() <= PRINTED_BYTES_MAX + "...".len(), "{path}: {} bytes", bytes.len());
                if file == "all.json" {
                    seen.push((path.to_owned(), bytes));
                }
            });
        }
    }
    let mut lost = Vec::new();
    for (at, place) in PLACES.into_iter().enumerate() {
        for (number, text) in texts().into_iter().enumerate().filter(|(_, text)| place.carries(text)) {
            let whole = [marker(at, number).as_bytes(), &text, b"!"].concat();
            // a name is shown with dots between its labels
            let whole = if place == Place::Question { whole.chunks(60).collect::<Vec<_>>().join(&b'.') } else { whole };
            if !seen.iter().any(|(_, bytes)| bytes.windows(whole.len()).any(|part| part == whole)) {
                let begun = marker(at, number).into_bytes();
                let near = seen.iter().filter(|(_, bytes)| bytes.windows(begun.len()).any(|part| part == begun));
                let near: Vec<_> = near.map(|(path, bytes)| (path, String::from_utf8_lossy(bytes))).take(3).collect();
                lost.push(format!("{place:?} {:?}: {near:?}", String::from_utf8_lossy(&text)));
            }
        }
    }
    assert!(lost.is_empty(), "not to be had back:\n{}", lost.join("\n"));
}

#[test]
fn what_is_longer_than_its_bound_is_cut_and_says_so() {
    let site = site();
    run(site.path(), &["--alerts", "alerts.json", "--events", "all.json"]);
    let mut cut = 0;
    for (file, bound) in [("all.json", PRINTED_BYTES_MAX), ("alerts.json", CONTEXT_VALUE_BYTES_MAX)] {
        for object in objects(&site.path().join(file)) {
            each_text(&object, "", &mut |path, text| {
                let long = text.contains("AAAAAAAA");
                let said = text.ends_with("...") || text.len() <= SEEN_BYTES_MAX;
                assert!(!long || said, "{path}: {} bytes do not say that there were more", text.len());
                assert!(!long || text.len() <= bound + 3, "{file} {path}: {} bytes", text.len());
                cut += usize::from(long);
            });
        }
    }
    assert!(cut > 10, "only {cut} long values came through");
}

#[test]
fn an_alert_keeps_the_words_of_its_feed_as_they_were() {
    let site = site();
    run(site.path(), &["--alerts", "alerts.json"]);
    let mut words = Vec::new();
    for object in objects(&site.path().join("alerts.json")) {
        each_text(&object["alert"], "", &mut |_, text| words.push(text.to_owned()));
    }
    let texts: Vec<String> = texts().into_iter().filter_map(|text| String::from_utf8(text).ok()).collect();
    // a word ends where its last letter does
    let lost: Vec<_> = texts.iter().filter(|text| !words.iter().any(|word| word == text.trim())).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn a_screen_shows_text_and_nothing_that_moves_it() {
    let site = site();
    let output = run(site.path(), &["-v"]);
    for (name, bytes) in [("screen", output.stdout), ("complaints", output.stderr)] {
        let text = String::from_utf8(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let odd = text.lines().find(|line| line.chars().any(|letter| letter.is_control() || moves(letter)));
        assert_eq!(odd, None, "{name}");
        assert!(text.lines().count() > 5 && !text.contains(&format!("\n{FORGED}")), "{name}: {text}");
    }
}

#[test]
fn a_page_has_no_element_of_a_stranger() {
    let site = site();
    run(site.path(), &["--report", "page.html"]);
    let page = String::from_utf8(std::fs::read(site.path().join("page.html")).expect("a page")).expect("UTF-8");
    for (element, own) in [("<script", 2), ("</script", 2), ("<img", 0), ("<svg on", 0)] {
        assert_eq!(page.matches(element).count(), own, "{element}");
    }
    let odd = page.chars().find(|&letter| letter != '\n' && letter.is_control() || moves(letter));
    assert_eq!(odd, None);
    assert!(page.contains("&lt;/script&gt;"), "the texts are there to be read");
}
