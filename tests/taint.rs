//! Markers planted wherever a site has something that is nobody else's: none of them leaves, and nobody who reads all that leaves
//! can work out an inside address or name.
//!
//! In: traffic whose payloads, names and people are markers; keys, tokens and folders that are; the real program. Out: what an
//! attacker finds in every byte of the uplink who knows everything but the key. The searcher and the attacker are tried on what
//! they must find. `live/taint.rs` does the same to the running service.

pub mod searcher;
pub mod uplink;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;

use haetae::gate::SiteKey;
use ring::{digest, hmac};
use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::delivery::centre::running::{TOKEN, write_token};
use crate::wire::{self, Ends, Frame, Wrap};
use searcher::found;
use uplink::Uplink;

/// The inside host of all stories, and its resolver.
pub const HOST: [u8; 4] = [10, 77, 123, 45];
pub const RESOLVER: [u8; 4] = [10, 77, 201, 53];

/// The site's key: text, so that it can be looked for.
pub const KEY: &[u8; 32] = b"leak-key-51d0-of-32-bytes-a-site";

/// What is planted in traffic and must be in no byte that leaves, no log line, no metric.
pub const PLANTED: [(&str, &str); 17] = [
    ("the query of a URL", "leakquery7f3a"),
    ("a path of a request", "leakpath19e2"),
    ("a payload", "leakpayload91c4"),
    ("a user agent", "leakagent22b1"),
    ("a cookie", "leakcookie40ce"),
    ("a user's name", "leakuser5d0e"),
    ("a password", "leakpassword6a77"),
    ("a sender of mail", "leaksender2c81"),
    ("a recipient of mail", "leakrecipient83d2"),
    ("a subject of mail", "leaksubject4c19"),
    ("an inside name in a Host header", "leakhost0a5b"),
    ("an inside name in TLS", "leaksni6e77"),
    ("a name given by DHCP", "leakdhcp3391"),
    ("data in a tunnel of names", "leaktunnel8b60"),
    ("a network's name", "leaknetwork8d2f"),
    ("a TLP:RED indicator", "leakred44aa"),
    ("a PAP:RED indicator", "leakpap55bb"),
];

/// What is planted where the site keeps its things, and must not leave or be in a metric; a log may name a file.
pub const PLACES: [(&str, &str); 2] = [("a rule file's name", "leakrules77cc"), ("a folder", "leakfolder66dd")];

/// What must be nowhere at all.
pub fn secrets() -> Vec<(&'static str, Vec<u8>)> {
    vec![("the site's key", KEY.to_vec()), ("the centre's token", TOKEN.as_bytes().to_vec())]
}

pub fn marked(markers: &[(&'static str, &str)]) -> Vec<(&'static str, Vec<u8>)> {
    markers.iter().map(|(what, marker)| (*what, marker.as_bytes().to_vec())).collect()
}

const RULES: &str = "format: haetae/1\n\
    defaults: { confidence: 85, labels: [ransomware] }\n\
    indicators:\n\
    \x20 - { ip: 203.0.113.66, tlp: green, source: S2W, id: i-1 }\n\
    \x20 - { domain: bad.example, reach: subdomains, id: i-2 }\n\
    \x20 - { url: \"http://drop.example/gate.php\", source: S2W, id: i-3 }\n\
    \x20 - { pattern: \"/upload.php?cmd=\", in: http.url, source: S2W, id: i-4 }\n\
    \x20 - { domain: leakred44aa.example, tlp: red, source: S2W, id: i-5 }\n\
    \x20 - { domain: leakpap55bb.example, pap: red, source: S2W, id: i-6 }\n";

/// A TCP conversation: who speaks, and what; the first speaks to the second.
fn conversation(frames: &mut Vec<Frame>, ends: Ends, said: &[(bool, Vec<u8>)]) {
    let mut next = [1_000u32, 9_000];
    let mut push = |ends: Ends, segment: Vec<u8>| {
        let bytes = wire::framed(&wire::ip(ends, 6, &segment), Wrap::Plain);
        let micros = 1_795_262_400_000_000 + frames.len() as u64 * 1_000;
        frames.push(Frame { micros, wire_bytes: bytes.len() as u32, bytes });
    };
    push(ends, wire::tcp(ends, next[0] - 1, 0, wire::SYN, b""));
    push(ends.turned(), wire::tcp(ends.turned(), next[1] - 1, next[0], wire::SYN | wire::ACK, b""));
    push(ends, wire::tcp(ends, next[0], next[1], wire::ACK, b""));
    for (client, bytes) in said {
        let (ends, mine, theirs) = if *client { (ends, 0, 1) } else { (ends.turned(), 1, 0) };
        push(ends, wire::tcp(ends, next[mine], next[theirs], wire::PUSH_ACK, bytes));
        next[mine] += bytes.len() as u32;
    }
    push(ends, wire::tcp(ends, next[0], next[1], wire::FIN | wire::ACK, b""));
    push(ends.turned(), wire::tcp(ends.turned(), next[1], next[0] + 1, wire::FIN | wire::ACK, b""));
}

fn datagram(frames: &mut Vec<Frame>, ends: Ends, payload: &[u8]) {
    let bytes = wire::framed(&wire::ip(ends, 17, &wire::udp(ends, payload)), Wrap::Plain);
    let micros = 1_795_262_400_000_000 + frames.len() as u64 * 1_000;
    frames.push(Frame { micros, wire_bytes: bytes.len() as u32, bytes });
}

/// A hello that names a server (RFC 8446 section 4.1.2, RFC 6066 section 3).
fn hello(name: &str) -> Vec<u8> {
    let long = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let listed = long(&[&[0][..], &long(name.as_bytes())].concat());
    let extensions = long(&[&[0, 0][..], &long(&listed)].concat());
    let body = [&[3, 3][..], &[7; 32], &[0], &long(&[0x13, 1]), &[1, 0], &extensions].concat();
    let message = [&[1, 0][..], &long(&body)].concat();
    [&[22, 3, 1][..], &long(&message)].concat()
}

/// Requests to boot, with a host's own name (RFC 2131, option 12 of RFC 2132).
fn dhcp(name: &str) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 0, 0, 0, 9, 0, 0, 0, 0];
    message.resize(28, 0);
    message.extend_from_slice(&[2, 0, 0, 0, 0, 1]);
    message.resize(236, 0);
    message.extend_from_slice(&[99, 130, 83, 99, 53, 1, 3, 12, name.len() as u8]);
    message.extend_from_slice(name.as_bytes());
    message.push(255);
    message
}

/// A day of one host: it boots, asks, browses, uploads, mails, and moves files, to listed places.
pub fn traffic(host: [u8; 4], resolver: [u8; 4]) -> Vec<u8> {
    let mut frames = Vec::new();
    let to =
        |port: u16, address: [u8; 4], served: u16| Ends { from: (host.into(), port), to: (address.into(), served) };
    datagram(&mut frames, Ends { from: ([0; 4].into(), 68), to: ([255; 4].into(), 67) }, &dhcp("leakdhcp3391"));
    let tunnelled = format!("{}.{}.bad.example", "leaktunnel8b60".repeat(2), "leaktunnel8b60".repeat(3));
    for (at, name) in ["c2.bad.example", &tunnelled, "leakred44aa.example", "leakpap55bb.example"].iter().enumerate() {
        datagram(&mut frames, to(40_000 + at as u16, resolver, 53), &wire::question(name, 7));
    }
    let form = "leakpayload91c4";
    let request = format!(
        "POST /leakpath19e2?a=leakquery7f3a HTTP/1.1\r\nHost: leakhost0a5b.corp.example\r\nUser-Agent: leakagent22b1\r\n\
         Cookie: s=leakcookie40ce\r\nAuthorization: Basic bGVha3VzZXI1ZDBlOmE=\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nleakpayload91c4".to_vec();
    conversation(&mut frames, to(41_000, [203, 0, 113, 66], 80), &[(true, request.into()), (false, answer.clone())]);
    let drop = "GET http://leakuser5d0e:leakpassword6a77@drop.example/gate.php HTTP/1.1\r\nHost: drop.example\r\n\r\n";
    conversation(&mut frames, to(41_001, [198, 51, 100, 9], 80), &[(true, drop.into()), (false, answer.clone())]);
    let upload = "GET /upload.php?cmd=leakquery7f3a HTTP/1.1\r\nHost: leakhost0a5b.corp.example\r\n\r\n";
    conversation(&mut frames, to(41_002, [198, 51, 100, 10], 80), &[(true, upload.into()), (false, answer)]);
    conversation(&mut frames, to(41_003, [203, 0, 113, 66], 443), &[(true, hello("leaksni6e77.corp.example"))]);
    let mail = [
        (false, "220 mx ESMTP\r\n"),
        (true, "EHLO leakhost0a5b\r\n"),
        (false, "250 mx\r\n"),
        (true, "MAIL FROM:<leaksender2c81@corp.example>\r\n"),
        (false, "250 ok\r\n"),
        (true, "RCPT TO:<leakrecipient83d2@bad.example>\r\n"),
        (false, "250 ok\r\n"),
        (true, "DATA\r\n"),
        (false, "354 go\r\n"),
        (
            true,
            "From: leaksender2c81@corp.example\r\nTo: leakrecipient83d2@bad.example\r\nSubject: leaksubject4c19\r\n\r\nleakpayload91c4\r\n.\r\n",
        ),
        (false, "250 ok\r\n"),
    ];
    let said =
        |talk: &[(bool, &str)]| talk.iter().map(|(who, text)| (*who, text.as_bytes().to_vec())).collect::<Vec<_>>();
    conversation(&mut frames, to(41_004, [203, 0, 113, 66], 25), &said(&mail));
    let files = [
        (false, "220 ftp\r\n"),
        (true, "USER leakuser5d0e\r\n"),
        (false, "331 go on\r\n"),
        (true, "PASS leakpassword6a77\r\n"),
        (false, "230 in\r\n"),
    ];
    conversation(&mut frames, to(41_005, [203, 0, 113, 66], 21), &said(&files));
    wire::pcap(&frames)
}

/// A site whose every secret is a marker.
pub struct Site {
    _folder: TempDir,
    /// Where its things are.
    pub home: PathBuf,
}

impl Site {
    pub fn new(key: &[u8; 32], traffic: &[u8], centre: &Uplink, more: &str) -> Site {
        let folder = TempDir::new().expect("a folder");
        let home = folder.path().join("leakfolder66dd");
        std::fs::create_dir(&home).expect("a folder");
        let write = |name: &str, bytes: &[u8]| std::fs::write(home.join(name), bytes).expect("a file");
        write("traffic.pcap", traffic);
        write("leakrules77cc.yaml", RULES.as_bytes());
        write("site.key", key);
        std::process::Command::new("chmod").arg("600").arg(home.join("site.key")).status().expect("chmod");
        write_token(&home.join("token"), TOKEN);
        let config = format!(
            "site: {{ id: site-0017 }}\nnetworks: {{ home: [10.77.0.0/16], named: {{ leaknetwork8d2f: 10.77.0.0/16 }}, resolvers: [10.77.201.53] }}\n\
             rules: {{ local: [leakrules77cc.yaml] }}\noutputs: {{ eve: {{ path: eve.json }} }}\n\
             centre: {{ url: \"{}\", token: token, spool: spool }}\n{more}",
            centre.url()
        );
        write("haetae.yaml", config.as_bytes());
        Site { _folder: folder, home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }
}

/// What a replay gave: what it sent, what it said to whoever runs it, what it wrote down here, what the system shows of it.
struct Told {
    uplink: Uplink,
    complaints: Vec<u8>,
    local: String,
    surroundings: Vec<u8>,
    site: Site,
}

/// What everybody on the machine may see of a process.
pub fn surroundings(process: u32) -> Vec<u8> {
    let read = |name: &str| std::fs::read(format!("/proc/{process}/{name}")).unwrap_or_default();
    ["cmdline", "environ", "comm", "status", "maps"].into_iter().flat_map(read).collect()
}

fn replayed(key: &[u8; 32], traffic: &[u8]) -> Told {
    let uplink = Uplink::start();
    let site = Site::new(key, traffic, &uplink, "");
    let mut command = binary::haetae();
    command.current_dir(&site.home).args(["-r", "traffic.pcap", "-c", "haetae.yaml", "-l", "log", "--as", "exercise"]);
    command.args(["--spool", "exercise"]).env("HAETAE_LOG", "debug,json").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it runs");
    let surroundings = surroundings(child.id());
    let output = child.wait_with_output().expect("it ends");
    binary::healthy(&output).expect("it is well");
    let local = std::fs::read_to_string(site.path("log/eve.json")).expect("a log");
    Told { uplink, complaints: output.stderr, local, surroundings, site }
}

/// What must be there, or nothing was tried: alerts of every story, at the site and, but for two, at the centre.
pub fn all_stories_are_told(local: &str, records: &[Value]) {
    let ids = |text: &str| (1..=6).filter(|at| text.contains(&format!("\"i-{at}\""))).collect::<Vec<_>>();
    assert_eq!(ids(local), [1, 2, 3, 4, 5, 6], "at the site");
    let text: String = records.iter().map(Value::to_string).collect();
    assert_eq!(ids(&text), [1, 2, 3, 4], "at the centre");
    for marker in [
        "leakquery7f3a",
        "leakhost0a5b",
        "leaksni6e77",
        "leaktunnel8b60",
        "leaknetwork8d2f",
        "leakred44aa",
        "10.77.123.45",
    ] {
        assert!(local.contains(marker), "{marker} is not even at the site");
    }
}

#[test]
fn nothing_that_is_the_sites_own_leaves_or_is_said() {
    let told = replayed(KEY, &traffic(HOST, RESOLVER));
    all_stories_are_told(&told.local, &told.uplink.records());
    let addresses = [("an inside address", HOST), ("a resolver's address", RESOLVER)];
    let addresses = addresses.map(|(what, address)| (what, IpAddr::from(address).to_string()));
    let addresses: Vec<_> = addresses.iter().map(|(what, text)| (*what, text.clone().into_bytes())).collect();
    let planted = marked(&PLANTED);
    let in_uplink = [planted.clone(), marked(&PLACES), secrets(), addresses].concat();
    assert_eq!(found(&in_uplink, &told.uplink.bytes()), Vec::<String>::new(), "in what was sent");
    assert_eq!(found(&[planted.clone(), secrets()].concat(), &told.complaints), Vec::<String>::new(), "in the log");
    assert_eq!(found(&[planted, secrets()].concat(), &told.surroundings), Vec::<String>::new(), "in the surroundings");
    // and the same search finds what is planted where it may be
    assert!(found(&in_uplink, told.local.as_bytes()).len() > 10);
    assert_eq!(found(&secrets(), &std::fs::read(told.site.path("site.key")).expect("a key")).len(), 1);
}

/// Tokens, ids and incidents of what was sent.
fn names(uplink: &Uplink) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for record in uplink.records() {
        for path in ["/asset/token", "/asset/network", "/contact/resolver", "/id", "/incident"] {
            all.extend(record.pointer(path).and_then(Value::as_str).map(str::to_owned));
        }
    }
    all
}

/// All that was sent, with each token, id and incident in the order of its first appearance instead of itself.
fn unnamed(uplink: &Uplink) -> Vec<String> {
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let names = names(uplink);
    let mut text: Vec<String> = uplink.records().iter().map(Value::to_string).collect();
    for record in &mut text {
        let mut found: Vec<(usize, &String)> =
            names.iter().flat_map(|name| record.find(name.as_str()).map(|at| (at, name))).collect();
        found.sort();
        for (_, name) in found {
            let next = known.len();
            let number = *known.entry(name.clone()).or_insert(next);
            *record = record.replace(name.as_str(), &format!("#{number}"));
        }
    }
    text
}

#[test]
fn two_sites_have_no_name_in_common_and_nothing_else_tells_one_inside_address_from_another() {
    let first = replayed(KEY, &traffic(HOST, RESOLVER));
    let other_key = replayed(b"another-key-of-32-bytes-for-test", &traffic(HOST, RESOLVER));
    assert!(names(&first.uplink).len() >= 8, "{:?}", names(&first.uplink));
    let both: Vec<String> = names(&first.uplink).intersection(&names(&other_key.uplink)).cloned().collect();
    assert_eq!(both, Vec::<String>::new(), "two sites with the same host and the same traffic");
    let other_hosts = replayed(KEY, &traffic([10, 77, 4, 200], [10, 77, 201, 53]));
    let told = unnamed(&first.uplink);
    assert!(told.iter().any(|record| record.contains('#')));
    // times, ports, lengths, order, counts: the same to the byte whichever host it was and whatever the key is
    assert_eq!(told, unnamed(&other_key.uplink));
    assert_eq!(told, unnamed(&other_hosts.uplink));
    assert!(names(&first.uplink) != names(&other_hosts.uplink));
}

/// Who has read the source, every byte of the uplink and all that is public about the site, and has no key.
#[derive(Default)]
struct Attacker {
    hosts: HashSet<u64>,
    names: HashSet<u64>,
    incidents: BTreeSet<String>,
}

/// Keys that one might be tempted to use.
fn guesses() -> Vec<Vec<u8>> {
    let words =
        ["", "site-0017", "replay", "site-0017/replay", "haetae", "host", "name", "alert", "derive", "local", TOKEN];
    let mut all: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    all.extend([vec![0; 32], vec![1; 32], vec![0xff; 32], vec![0; 16]]);
    all.extend(words.iter().map(|word| digest::digest(&digest::SHA256, word.as_bytes()).as_ref().to_vec()));
    all
}

fn tag(key: &hmac::Key, purpose: &str, value: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    [purpose.as_bytes(), &[0], value].into_iter().for_each(|part| context.update(part));
    context.sign()
}

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The 60 bits of a token, read from its letters.
fn bits(token: &str, before: &str) -> Option<u64> {
    let five = |letter: u8| LETTERS.iter().position(|known| *known == letter).map(|at| at as u64);
    token.strip_prefix(before)?.bytes().try_fold(0, |bits, letter| Some(bits << 5 | five(letter)?))
}

/// The same of what it is made of, as `sensor/gate/token.rs` does it.
fn first(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte)) >> 4
}

impl Attacker {
    fn of(uplink: &Uplink) -> Attacker {
        let names = names(uplink);
        let read = |before: &str| names.iter().filter_map(|name| bits(name, before)).collect();
        let (hosts, named) = (read("h-"), read("n-"));
        Attacker { hosts, names: named, incidents: names.into_iter().filter(|name| name.len() == 8).collect() }
    }

    /// Tries one key on addresses and names; what it recovers.
    fn recovered(&self, key: &[u8], addresses: impl Iterator<Item = u32>) -> Vec<String> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let host = |four: &u32| self.hosts.contains(&first(tag(&key, "host", &four.to_be_bytes()).as_ref()));
        let mut all: Vec<String> =
            addresses.filter(host).map(|four| std::net::Ipv4Addr::from(four).to_string()).collect();
        let name = |name: &String| self.names.contains(&first(tag(&key, "name", name.as_bytes()).as_ref()));
        all.extend(usual_names().filter(name));
        all
    }

    /// The same without any key: digests of what an address is and how it is written.
    fn recovered_without(&self, addresses: impl Iterator<Item = u32>) -> Vec<String> {
        let hit = |bytes: &[u8]| self.hosts.contains(&first(digest::digest(&digest::SHA256, bytes).as_ref()));
        let spelled = |four: &u32| {
            let (octets, text) = (four.to_be_bytes(), std::net::Ipv4Addr::from(*four).to_string());
            hit(&octets)
                || hit(text.as_bytes())
                || hit(&[b"host\0", &octets[..]].concat())
                || hit(format!("host\0{text}").as_bytes())
        };
        addresses.filter(spelled).map(|four| std::net::Ipv4Addr::from(four).to_string()).collect()
    }

    /// Incidents name an asset and an indicator: the attacker knows the indicator.
    fn incidents(&self, key: &[u8], addresses: impl Iterator<Item = u32>) -> Vec<String> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let hit = |four: &u32| {
            let address = std::net::Ipv4Addr::from(*four).to_string();
            [("ip", "203.0.113.66"), ("domain_suffix", "bad.example")].iter().any(|(kind, value)| {
                let mut context = hmac::Context::with_key(&key);
                for part in ["incident", &address, kind, value] {
                    context.update(&(part.len() as u64).to_be_bytes());
                    context.update(part.as_bytes());
                }
                let tag: String = context.sign().as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
                self.incidents.contains(&tag)
            })
        };
        addresses.filter(hit).map(|four| std::net::Ipv4Addr::from(four).to_string()).collect()
    }
}

/// What hosts and networks are called.
fn usual_names() -> impl Iterator<Item = String> {
    let words = [
        "office",
        "servers",
        "dmz",
        "guest",
        "lan",
        "wifi",
        "vpn",
        "dc01",
        "localhost",
        "router",
        "gateway",
        "ns1",
        "mail",
    ];
    let numbered = ["pc", "pc-", "desktop-", "laptop-", "srv", "web", "db", "dc", "vlan", "acct-"];
    let numbered = numbered.into_iter().flat_map(|word| {
        (0..1_000).flat_map(move |at| [format!("{word}{at}"), format!("{word}{at:02}"), format!("{word}{at:03}")])
    });
    words.into_iter().map(str::to_owned).chain(numbered).flat_map(|name| [format!("{name}.corp.example"), name])
}

fn home() -> impl Iterator<Item = u32> {
    0x0a4d_0000..=0x0a4d_ffff
}

/// 10/8, 172.16/12 and 192.168/16, whole.
fn private() -> impl Iterator<Item = u32> {
    (0x0a00_0000..=0x0aff_ffff).chain(0xac10_0000..=0xac1f_ffff).chain(0xc0a8_0000..=0xc0a8_ffff)
}

#[test]
fn whoever_has_every_byte_and_not_the_key_recovers_no_inside_address_and_no_name() {
    let told = replayed(KEY, &traffic(HOST, RESOLVER));
    let attacker = Attacker::of(&told.uplink);
    assert!(
        attacker.hosts.len() >= 2 && !attacker.names.is_empty() && attacker.incidents.len() >= 2,
        "there is something to be recovered"
    );
    let key = SiteKey::fixed(KEY).derive("alert");
    // with the key the attack works, or it proves nothing
    let expected = [HOST, RESOLVER].map(|address| IpAddr::from(address).to_string());
    assert_eq!(attacker.recovered(KEY, home()), expected);
    assert!(attacker.incidents(key.as_slice(), home()).contains(&expected[0]));
    let named = Attacker {
        names: HashSet::from([first(tag(&hmac::Key::new(hmac::HMAC_SHA256, KEY), "name", b"pc-042").as_ref())]),
        ..Attacker::default()
    };
    assert_eq!(named.recovered(KEY, 0..0), ["pc-042"]);
    for guess in guesses() {
        assert_eq!(attacker.recovered(&guess, home()), Vec::<String>::new(), "{guess:?}");
        assert_eq!(attacker.incidents(&guess, home()), Vec::<String>::new(), "{guess:?}");
    }
    assert_eq!(attacker.recovered_without(home()), Vec::<String>::new());
    // the likeliest keys over all private addresses
    std::thread::scope(|scope| {
        for guess in [b"".as_slice(), b"site-0017"] {
            let attacker = &attacker;
            scope.spawn(move || assert_eq!(attacker.recovered(guess, private()), Vec::<String>::new(), "{guess:?}"));
        }
    });
}

#[test]
fn the_site_can_reveal_what_others_cannot_and_refuses_who_has_no_key() {
    let told = replayed(KEY, &traffic(HOST, RESOLVER));
    let records = told.uplink.records();
    let of = |path: &str| {
        let found = records.iter().find_map(|record| record.pointer(path)?.as_str());
        found.unwrap_or_else(|| panic!("no {path} in {records:?}")).to_owned()
    };
    let reveal = |token: &str, key: &str| {
        let mut command = binary::haetae();
        let log = "outputs.eve.path=log/eve.json";
        command.current_dir(&told.site.home).args(["reveal", token, "-c", "haetae.yaml", "--set", key, "--set", log]);
        let output = command.output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let host = of("/asset/token");
    let begun = std::time::Instant::now();
    let answer = (Some(0), format!("{host} is 10.77.123.45 (leaknetwork8d2f)\n"), String::new());
    assert_eq!(reveal(&host, "site.key=site.key"), answer);
    let resolver = of("/contact/resolver");
    assert_eq!(reveal(&resolver, "site.key=site.key").1, format!("{resolver} is 10.77.201.53 (leaknetwork8d2f)\n"));
    let network = of("/asset/network");
    assert_eq!(
        reveal(&network, "site.key=site.key").1,
        format!("{network} is leaknetwork8d2f (a network of the configuration)\n")
    );
    // what cannot be counted is found where it was written down
    let name = SiteKey::fixed(KEY).name("LEAKSNI6e77.corp.example").to_string();
    assert_eq!(reveal(&name, "site.key=site.key").1, format!("{name} is leaksni6e77.corp.example\n"));
    eprintln!("four tokens revealed in {:?}", begun.elapsed());
    let stranger = SiteKey::fixed(&[7; 32]).host(HOST.into()).to_string();
    let (code, out, complaints) = reveal(&stranger, "site.key=site.key");
    assert_eq!((code, out.as_str()), (Some(1), ""), "{complaints}");
    assert!(complaints.contains("537 IPv4 addresses of") && complaints.contains("local file"), "{complaints}");
    std::fs::write(told.site.path("short.key"), b"short").expect("a file");
    for key in ["site.key=short.key", "site.key=leakrules77cc.yaml", "centre.spool=gone/spool"] {
        let refused = (Some(77), String::new(), "error: this takes the site's key\n".to_owned());
        assert_eq!(reveal(&host, key), refused, "{key}");
        assert!(!told.site.path("gone").exists(), "no key is made");
    }
    assert_eq!(reveal("h-short", "site.key=site.key").0, Some(2));
}
