//! `--report`: one page that says what happened, asks nothing of anybody, and lets nothing of the traffic do anything. What it
//! does is seen in a browser; `HAETAE_PICTURES` names a folder for pictures of it.

#[path = "report/browser.rs"]
mod browser;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::binary::{self, haetae, healthy};
use crate::crafted;
use crate::wire::{self, ACK, Ends, Frame, PUSH_ACK, SYN, Wrap};
use browser::Browser;

/// More than a page may weigh, whatever it tells of.
const PAGE_BYTES_MAX: usize = 3 << 20;
/// Noon of 2026-11-21.
const NOON_MICROS: u64 = 1_795_262_400_000_000;
/// Contrast of text that WCAG 2.2 wants at its level AA (section 1.4.3).
const CONTRAST_MIN: f64 = 4.5;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A report and what else was written in the same run.
struct Told {
    page: PathBuf,
    text: String,
    alerts: Vec<Value>,
    stats: Value,
}

/// Replays captures and tells of them, in `folder`.
fn told(folder: &Path, captures: &[&Path], rules: &Path, options: &[&str]) -> Told {
    let file = |name: &str| folder.join(name);
    let mut command = haetae();
    command.current_dir(folder).arg("replay").args(captures).arg("-S").arg(rules).args(options);
    command
        .arg("--report")
        .arg(file("report.html"))
        .arg("--alerts")
        .arg(file("alerts"))
        .arg("--stats")
        .arg(file("stats"));
    healthy(&command.output().expect("a run")).expect("a sound run");
    let read = |name: &str| std::fs::read(file(name)).expect(name);
    Told {
        page: file("report.html"),
        text: String::from_utf8(read("report.html")).expect("text"),
        alerts: binary::lines(&read("alerts")).expect("alerts"),
        stats: serde_json::from_slice(&read("stats")).expect("stats"),
    }
}

/// The captures and rules of this repository.
fn of_pcaps(folder: &Path, options: &[&str]) -> Told {
    told(folder, &[&root().join("pcaps")], &root().join("rules"), options)
}

fn grouped(number: u64) -> String {
    haetae::cli::screen::grouped(number).replace(' ', "\u{202f}")
}

/// Host, indicator and direction of an alert: what makes an incident.
fn incident(alert: &Value) -> [String; 4] {
    let context = &alert["alert"]["context"];
    let host = context["haetae"]["asset"]["ip"].as_str().or(alert["src_ip"].as_str());
    let rest = [&context["ioc"][0]["type"], &context["ioc"][0]["value"], &context["haetae"]["direction"]];
    let [kind, value, direction] = rest.map(|text| text.as_str().unwrap_or_default().to_owned());
    [host.unwrap_or_default().to_owned(), kind, value, direction]
}

fn quiet(browser: &Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(browser.requests(), 1, "the page itself and nothing else");
}

#[test]
fn the_page_has_the_numbers_of_the_alerts_and_counters_and_asks_for_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = of_pcaps(folder.path(), &[]);
    let Some(mut browser) = browser::open() else { return };
    browser.window(1280, 900);
    browser.visit(&told.page);
    quiet(&browser);
    let incidents: BTreeSet<_> = told.alerts.iter().map(incident).collect();
    let hosts: BTreeSet<_> = incidents.iter().map(|incident| &incident[0]).collect();
    let indicators: BTreeSet<_> = incidents.iter().map(|incident| &incident[1..3]).collect();
    let count = |selector: &str| format!("String(document.querySelectorAll('{selector}').length)");
    let number = |id: &str| format!("document.getElementById('{id}').textContent");
    let packets = told.stats["packets"].as_u64().expect("packets");
    let files = told.stats["captures"].as_array().expect("captures").len();
    let loaded = told.stats["indicators"]["loaded"].as_u64().expect("indicators");
    for (asked, want) in [
        (number("n-alerts"), told.alerts.len() as u64),
        (number("n-incidents"), incidents.len() as u64),
        (number("n-packets"), packets),
        (number("n-files"), files as u64),
        (number("n-indicators"), loaded),
        (number("accounted"), told.stats["accounting"]["accounted"].as_u64().expect("accounted")),
        (count(".incident"), incidents.len() as u64),
        (count("#hosts tbody tr"), hosts.len() as u64),
        (count("#indicators tbody tr"), indicators.len() as u64),
        (count("#captures tbody tr"), files as u64),
    ] {
        assert_eq!(browser.text(&asked), grouped(want), "{asked}");
    }
    let sum =
        "String([...document.querySelectorAll('.incident')].reduce((sum, one) => sum + Number(one.dataset.alerts), 0))";
    assert_eq!(browser.text(sum), told.alerts.len().to_string());
    let window = browser.text("document.getElementById('window').textContent");
    assert!(window.contains(&format!("{} packets", grouped(packets))), "{window}");
    assert!(window.ends_with(&format!("{} alerts", told.alerts.len())), "{window}");
    let headline = browser.text("document.querySelector('h1').innerText");
    assert!(told.alerts.iter().any(|alert| alert["alert"]["signature"] == *headline), "{headline}");
    assert!(browser.text("document.querySelector('.brand .tlp').innerText").starts_with("TLP:AMBER"));
    browser.picture("wide-light-en.png");
}

#[test]
fn the_timeline_zooms_and_moves_and_the_alerts_follow() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = of_pcaps(folder.path(), &[]);
    let Some(mut browser) = browser::open() else { return };
    browser.window(1280, 900);
    browser.visit(&told.page);
    let window = |browser: &mut Browser| browser.text("document.getElementById('window').textContent");
    let shown = |browser: &mut Browser| {
        browser.value("document.querySelectorAll('.incident:not([hidden])').length").as_u64().expect("a number")
    };
    let (whole, all) = (window(&mut browser), shown(&mut browser));
    browser.click("#zoom-in");
    let nearer = window(&mut browser);
    assert_ne!(whole, nearer);
    browser.click("#move-right");
    assert_ne!(nearer, window(&mut browser));
    browser.click("#reset");
    assert_eq!(whole, window(&mut browser));
    browser.value("document.getElementById('chart').focus()");
    for key in ["+", "ArrowRight", "-"] {
        let before = window(&mut browser);
        browser.key(key);
        assert_ne!(before, window(&mut browser), "{key}");
    }
    browser.key("0");
    assert_eq!(whole, window(&mut browser));
    let (x, y) = browser.middle("#chart");
    browser.mouse("mousePressed", (x + 180.0, y), json!({"button": "left", "buttons": 1, "clickCount": 1}));
    browser.mouse("mouseMoved", (x + 300.0, y), json!({"button": "left", "buttons": 1}));
    browser.mouse("mouseReleased", (x + 380.0, y), json!({"button": "left", "clickCount": 1}));
    browser.settle();
    let dragged = window(&mut browser);
    assert_ne!(whole, dragged);
    assert!((1..all).contains(&shown(&mut browser)), "some alerts lie outside: {} of {all}", shown(&mut browser));
    browser.picture("zoomed.png");
    browser.mouse("mouseWheel", (x, y), json!({"deltaX": 0, "deltaY": -240, "modifiers": 2}));
    browser.settle();
    assert_ne!(dragged, window(&mut browser));
    browser.key("0");
    assert_eq!((whole, all), (window(&mut browser), shown(&mut browser)));
    quiet(&browser);
}

#[test]
fn language_and_colours_switch_with_a_script_and_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = of_pcaps(folder.path(), &["--set", "site.language=ko"]);
    let Some(mut browser) = browser::open() else { return };
    browser.window(1280, 900);
    for scripts in [true, false] {
        browser.scripts(scripts);
        browser.visit(&told.page);
        let heading = "document.querySelector('#alerts-h').innerText";
        let paper = "getComputedStyle(document.documentElement).backgroundColor";
        assert_eq!(browser.text(heading), "경보", "the site's language, scripts: {scripts}");
        browser.click("#en");
        assert_eq!(browser.text(heading), "Alerts");
        assert_eq!(browser.text("document.documentElement.lang"), if scripts { "en" } else { "ko" });
        browser.click("#light");
        let light = browser.text(paper);
        browser.click("#dark");
        assert_ne!(light, browser.text(paper));
        browser.picture(if scripts { "dark-en.png" } else { "no-script-dark-en.png" });
        browser.click("#auto");
        assert_eq!(light, browser.text(paper), "the system is light here");
        let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
        browser.ask("Emulation.setEmulatedMedia", dark);
        assert_ne!(light, browser.text(paper));
        browser.ask("Emulation.setEmulatedMedia", json!({"features": []}));
        browser.click("#ko");
        assert_eq!(browser.text(heading), "경보");
        quiet(&browser);
    }
    assert!(browser.value("document.querySelectorAll('#chart svg circle').length").as_u64() > Some(0));
    assert!(browser.text("document.querySelector('main').innerText").contains("10.77.0.2"));
}

/// Everything that a page must survive in one value.
const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`&amp;<!--\u{202e}gpj.exe\u{0}";

/// A hostile name, URL, agent, feed and file: what of them reaches the page is text.
fn hostile(folder: &Path) -> Told {
    let ends = |port: u16, to: [u8; 4], to_port| Ends { from: ([10, 77, 0, 2].into(), port), to: (to.into(), to_port) };
    let mut frames = Vec::new();
    let mut say = |packet: Vec<u8>| {
        let bytes = wire::framed(&packet, Wrap::Plain);
        let micros = NOON_MICROS + frames.len() as u64 * 20_000;
        frames.push(Frame { micros, wire_bytes: bytes.len() as u32, bytes });
    };
    let labels: [&[u8]; 5] = [
        b"<script>alert(3)</script>",
        b"\"'><svg/onload=alert(4)>",
        "\u{202e}moc".as_bytes(),
        b"nul\0nul",
        b"\xff\xfe\xc3(",
    ];
    for (at, label) in labels.iter().enumerate() {
        let mut question = vec![0, at as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for part in [label, &b"bad"[..], b"example"] {
            question.push(part.len() as u8);
            question.extend_from_slice(part);
        }
        question.extend_from_slice(&[0, 0, 1, 0, 1]);
        let ends = ends(40_000 + at as u16, [198, 51, 100, 53], 53);
        say(wire::ip(ends, 17, &wire::udp(ends, &question)));
    }
    let agent = HOSTILE.replace('\0', "\u{1}");
    let target = "/<script>alert(5)</script>?q=\"'><b>";
    for (at, host) in ["www.bad.example", "<script>alert(6)</script>.bad.example"].into_iter().enumerate() {
        let ends = ends(50_000 + at as u16, [203, 0, 113, 66], 80);
        let head =
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nX-Forwarded-For: {agent}\r\n\r\n");
        say(wire::ip(ends, 6, &wire::tcp(ends, 1, 0, SYN, &[])));
        say(wire::ip(ends, 6, &wire::tcp(ends, 2, 1, PUSH_ACK, head.as_bytes())));
    }
    let text = |text: &str| serde_json::to_string(&text.replace('\0', "\u{1}")).expect("JSON");
    let (evil, agent) = (text(HOSTILE), text(&agent));
    let rules = format!(
        "format: haetae/1\nindicators:\n\
         \x20 - {{ domain: bad.example, reach: subdomains, severity: critical, tlp: red, source: {evil}, labels: [{evil}], id: {evil}, next: {{ en: {evil}, ko: {evil} }} }}\n\
         \x20 - {{ ip: 203.0.113.66, source: {evil}, labels: [{evil}] }}\n\
         \x20 - {{ user_agent: {agent}, source: {evil} }}\n\
         \x20 - {{ url: {url} }}\n\
         \x20 - {{ domain: {evil} }}\n",
        url = text(&format!("http://www.bad.example{target}")),
    );
    let capture = folder.join("<img src=x onerror=alert(7)>\u{202e}.pcap");
    std::fs::write(&capture, wire::pcap(&frames)).expect("a capture");
    let file = folder.join("rules \"><script>alert(8)<").join("rules.yaml");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(&file, rules).expect("rules");
    told(folder, &[&capture], &file, &[])
}

#[test]
fn nothing_that_traffic_feeds_or_file_names_say_does_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = hostile(folder.path());
    assert!(told.alerts.len() >= 6, "only {} alerts: the traffic is not as hostile as it should be", told.alerts.len());
    assert_eq!(told.text.matches("<script").count(), 2, "the data and the script");
    assert_eq!(told.text.matches("</script").count(), 2);
    for forbidden in
        ["<img", "<svg on", "\u{202e}", "\u{0}", "\u{1}", "\u{fffd}", "url(", "@import", "src=\"", "href=\"http"]
    {
        assert!(!told.text.contains(forbidden), "{forbidden:?} in the page");
    }
    for shown in [
        "&lt;script&gt;alert(3)",
        "&lt;svg/onload=alert(4)&gt;",
        "&lt;script&gt;alert(5)",
        "&lt;script&gt;alert(6)",
        "&lt;img src=x onerror=alert(7)&gt;\\u{202e}",
        "&lt;script&gt;alert(8)&lt;",
        "\\u{202e}gpj.exe\\u{1}",
    ] {
        assert!(told.text.contains(shown), "{shown:?} should be there to be read");
    }
    let Some(mut browser) = browser::open() else { return };
    browser.window(1280, 900);
    browser.visit(&told.page);
    browser.value("document.querySelectorAll('details').forEach(one => { one.open = true; })");
    browser.click("#ko");
    browser.click("#zoom-in");
    quiet(&browser);
    let strange = "[...document.querySelectorAll('body *')].filter(one => /^(img|iframe|object|embed|link|b|base|form)$/i.test(one.tagName) && !one.closest('.switches') || [...one.attributes].some(a => /^on|^style$/i.test(a.name))).length";
    assert_eq!(browser.value(strange), 0, "an element that the page did not mean to have");
    assert_eq!(browser.text("document.querySelector('footer .tlp').innerText"), "TLP:RED");
    browser.picture("hostile.png");
}

#[test]
fn the_pages_own_policy_stops_what_is_not_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = hostile(folder.path());
    let Some(mut browser) = browser::open() else { return };
    browser.visit(&told.page);
    quiet(&browser);
    browser.value(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}));\
         document.body.append(Object.assign(document.createElement('img'), {src: 'https://example.test/x.png'})); 1",
    );
    browser.settle();
    assert_eq!(browser.value("typeof window.ran"), "undefined");
    assert!(browser.complaints().len() >= 2, "the browser should have complained of both: {:?}", browser.complaints());
}

#[test]
fn the_page_is_the_same_for_any_number_of_workers_and_any_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("hard.pcap");
    std::fs::write(&capture, crafted::hard(9)).expect("a capture");
    std::fs::write(folder.path().join("indicators.yaml"), crafted::indicators()).expect("indicators");
    let rules = folder.path().join("indicators.yaml");
    let pages = |captures: &[&Path], options: &[&str]| told(folder.path(), captures, &rules, options).text;
    let pcaps = root().join("pcaps");
    let first = pages(&[&capture, &pcaps], &["--workers", "1"]);
    for (workers, batch) in [(2, 1), (3, 7), (4, 64), (7, 256)] {
        let (workers, batch) = (workers.to_string(), batch.to_string());
        let page = pages(&[&capture, &pcaps], &["--workers", &workers, "--batch-size", &batch]);
        let parted = binary::difference("pages", first.as_bytes(), page.as_bytes());
        assert!(parted.is_none(), "{workers} workers, batches of {batch}");
    }
    assert!(first.len() < PAGE_BYTES_MAX, "{} bytes", first.len());
}

/// 100 000 connections that nobody answered, from 60 000 hosts, to five listed addresses; behind them one that was answered,
/// and the address of a grave name.
fn flood() -> Vec<u8> {
    let attempt = |n: u32| {
        let [_, high, middle, low] = (n % 60_000).to_be_bytes();
        let from = ([10, high, middle, low].into(), 1_024 + (n / 60_000) as u16);
        let ends = Ends { from, to: ([203, 0, 113, 16 + (n % 5) as u8].into(), 443) };
        wire::ip(ends, 6, &wire::tcp(ends, 1, 0, SYN, &[]))
    };
    let answered = Ends { from: ([10, 99, 0, 1].into(), 50_000), to: ([203, 0, 113, 17].into(), 443) };
    let segment = |ends, sequence, acknowledged, flags, bytes: &[u8]| {
        wire::ip(ends, 6, &wire::tcp(ends, sequence, acknowledged, flags, bytes))
    };
    let asked = Ends { from: ([10, 99, 0, 2].into(), 50_000), to: ([198, 51, 100, 53].into(), 53) };
    let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x02c2\x03bad\x07example\0\0\x01\0\x01";
    let last = [
        segment(answered, 1, 0, SYN, &[]),
        segment(answered.turned(), 1, 2, SYN | ACK, &[]),
        segment(answered, 2, 2, PUSH_ACK, b"0123456789"),
        wire::ip(asked, 17, &wire::udp(asked, question)),
    ];
    let frames = (0..100_000).map(attempt).chain(last).enumerate().map(|(n, packet)| {
        let bytes = wire::framed(&packet, Wrap::Plain);
        Frame { micros: NOON_MICROS + n as u64 * 100, wire_bytes: bytes.len() as u32, bytes }
    });
    wire::pcap(&frames.collect::<Vec<_>>())
}

#[test]
fn a_hundred_thousand_alerts_are_a_page_that_opens_and_says_what_it_leaves_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("flood.pcap");
    std::fs::write(&capture, flood()).expect("a capture");
    let rules = folder.path().join("indicators.yaml");
    std::fs::write(&rules, crafted::indicators()).expect("indicators");
    let told = told(folder.path(), &[&capture], &rules, &[]);
    assert_eq!(told.alerts.len(), 100_002);
    assert!(told.text.len() < PAGE_BYTES_MAX, "{} bytes", told.text.len());
    let Some(mut browser) = browser::open() else { return };
    browser.window(1280, 900);
    browser.visit(&told.page);
    quiet(&browser);
    assert_eq!(browser.text("document.getElementById('n-alerts').textContent"), grouped(100_002));
    assert_eq!(
        browser.text("document.getElementById('n-incidents').textContent"),
        format!("≥\u{a0}{}", grouped(1_002))
    );
    assert_eq!(browser.value("document.querySelectorAll('.incident').length"), 200);
    assert!(browser.text("document.getElementById('rest').innerText").contains(&grouped(802)));
    assert!(
        browser
            .text("document.getElementById('window').textContent")
            .ends_with(&format!("{} alerts", grouped(100_002)))
    );
    let sentence = |at: u32| format!("document.querySelector('#i{at} h3').innerText");
    assert_eq!(browser.text(&sentence(0)), "10.99.0.2 asked for c2.bad.example (crafted)", "slight ones took its room");
    assert_eq!(
        browser.text(&sentence(1)),
        "10.99.0.1 sent 10 B to 203.0.113.17 (crafted)",
        "unanswered ones took its room"
    );
    browser.picture("flood.png");
}

#[test]
fn a_page_without_alerts_or_packets_is_a_page_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = root().join("rules");
    let empty = folder.path().join("empty.pcap");
    std::fs::write(&empty, wire::pcap(&[])).expect("a capture");
    let Some(mut browser) = browser::open() else { return };
    browser.window(1280, 900);
    for (capture, said) in [(root().join("pcaps/near-misses"), "No listed indicator was met"), (empty, "in 0 packets")]
    {
        let told = told(folder.path(), &[&capture], &rules, &[]);
        assert!(told.alerts.is_empty());
        browser.visit(&told.page);
        quiet(&browser);
        let headline = browser.text("document.querySelector('h1').innerText");
        assert!(headline.contains(said), "{headline}");
        browser.click("#ko");
        quiet(&browser);
    }
    browser.picture("empty.png");
}

#[test]
fn whoever_cannot_see_colours_or_use_a_mouse_can_read_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = of_pcaps(folder.path(), &[]);
    let Some(mut browser) = browser::open() else { return };
    browser.window(1280, 900);
    browser.visit(&told.page);
    for (asked, want) in [
        ("document.querySelectorAll('main, header.top, nav, footer').length", 4),
        ("document.querySelectorAll('h1').length", 1),
        ("[...document.querySelectorAll('table')].filter(one => !one.caption).length", 0),
        ("[...document.querySelectorAll('th')].filter(one => !one.scope).length", 0),
        (
            "[...document.querySelectorAll('[id]')].length - new Set([...document.querySelectorAll('[id]')].map(one => one.id)).size",
            0,
        ),
        (
            "[...document.querySelectorAll('[aria-labelledby], [aria-describedby]')].flatMap(one => [one.getAttribute('aria-labelledby'), one.getAttribute('aria-describedby')].join(' ').split(' ')).filter(id => id && !document.getElementById(id)).length",
            0,
        ),
        (
            "[...document.querySelectorAll('a[href^=\"#\"]')].filter(one => !document.querySelector(one.getAttribute('href'))).length",
            0,
        ),
        (
            "[...document.querySelectorAll('input, button')].filter(one => !(one.labels && one.labels.length || one.innerText.trim())).length",
            0,
        ),
    ] {
        assert_eq!(browser.value(asked), want, "{asked}");
    }
    browser.value("document.querySelectorAll('details').forEach(one => { one.open = true; })");
    for theme in ["#light", "#dark"] {
        browser.click(theme);
        let faint = browser.value(FAINT);
        let faint: Vec<_> =
            faint.as_array().expect("a list").iter().filter(|one| one[0].as_f64() < Some(CONTRAST_MIN)).collect();
        assert!(faint.is_empty(), "{theme}: {faint:?}");
    }
    for (width, name) in [(1280, "open-dark.png"), (390, "phone-dark-en.png")] {
        browser.window(width, 844);
        let over = browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(over, 0, "{width} pixels: something hangs over");
        browser.picture(name);
    }
    browser.click("#light");
    browser.click("#ko");
    browser.picture("phone-light-ko.png");
    browser.window(1280, 900);
    browser.picture("wide-light-ko.png");
    browser.ask("Emulation.setEmulatedMedia", json!({"media": "print"}));
    browser.picture("print.png");
    quiet(&browser);
}

/// Contrast of each text with what lies behind it, with its place: what WCAG 2.2 calls contrast ratio.
const FAINT: &str = "(() => {
  const part = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); const s = text.startsWith('color(') ? 1 : 255; return [n[0] / s, n[1] / s, n[2] / s, n.length > 3 ? n[3] : 1]; };
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const behind = (one) => { for (; one; one = one.parentElement) { const c = parse(getComputedStyle(one).backgroundColor); if (c[3] > 0.99) return c; } return [1, 1, 1, 1]; };
  const found = new Map();
  for (const one of document.querySelectorAll('body *')) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || one.closest('svg, script, .quiet, .skip, legend') || !one.getClientRects().length || one.disabled || one.closest('button:disabled')) continue;
    const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = one.tagName + '.' + one.className + ' in ' + one.parentElement.className;
    if (!found.has(name) || found.get(name) > ratio) found.set(name, ratio);
  }
  return [...found].map(([name, ratio]) => [ratio, name]);
})()";
