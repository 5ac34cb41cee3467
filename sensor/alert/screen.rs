//! An alert on a person's screen: two lines.
//!
//! In: an alert and the site's reading of it. Out: plain text without colours, safe to print; alerts that would read the
//! same to a person are printed once and counted. Never here: a terminal.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::language::{Texts, filled, padded};
use super::reading::{self, Reading};
use super::record::Desk;
use super::{Alert, eve, words};
use crate::indicator::{Ioc, Severity};
use crate::limits::SCREEN_ALERTS_MAX;
use crate::networks::Direction;
use crate::observable::{Side, Stage};

/// Bytes of any one value on the screen: a URL may be long, the line should stay one.
const VALUE_BYTES_MAX: usize = 100;

/// Columns of the severity: the longest word.
const SEVERITY_COLUMNS: usize = 8;

/// Columns of the category: most labels; a longer one moves what is behind it.
const CATEGORY_COLUMNS: usize = 12;

/// What a person has been shown, over all captures of a replay.
#[derive(Default)]
pub struct Shown {
    likes: BTreeSet<String>,
    /// Alerts that were not printed because one like them had been.
    pub more: u64,
}

impl Shown {
    /// Prints an alert unless it is like one that was: the same host, far end, stage and indicator.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn show(&mut self, alert: &Alert, desk: &Desk, out: &mut dyn Write) -> io::Result<()> {
        let like = likeness(&desk.reading(alert), alert);
        if self.likes.contains(&like) {
            self.more += 1;
            return Ok(());
        }
        if self.likes.len() < SCREEN_ALERTS_MAX {
            self.likes.insert(like);
        }
        writeln!(out, "{}", line(alert, desk))
    }
}

/// All that a person tells two alerts apart by, ports and sizes left out.
fn likeness(reading: &Reading<'_>, alert: &Alert) -> String {
    let (near, _, far, _) = alert.flow.endpoints(reading.near);
    let near = reading.asset.map_or(near, |asset| asset.address);
    // whoever knocks is told one by one; behind a name addresses may change
    let far = if reading.near == Side::Server { far.to_string() } else { String::new() };
    let target = reading.target.to_ascii_lowercase();
    let why = reading.worst.map(|ioc| why(ioc, Texts::of(""))).unwrap_or_default();
    format!("{near} {:?} {far} {target} {} {why}", reading.near, reading.stage.name())
}

/// The two lines, without an end of line behind the second:
///
/// ```text
/// CRITICAL ransomware   10.77.0.2 -> c2.bad.example (203.0.113.66:443)   data, 18.4 kB out
///          why: bad.example (+subdomains), source example, amber, valid to 2027-01-31
/// ```
pub fn line(alert: &Alert, desk: &Desk) -> String {
    let reading = desk.reading(alert);
    let severity = reading.worst.map_or(Severity::default(), |ioc| ioc.statement.severity);
    let texts = desk.texts();
    let category = words::printable(reading.category().as_bytes(), VALUE_BYTES_MAX);
    format!(
        "{} {} {}   {}\n{:9}{}",
        padded((texts.severity)(severity).short, SEVERITY_COLUMNS),
        padded(&category, CATEGORY_COLUMNS),
        ends(alert, &reading, texts),
        far(&reading, texts),
        "",
        filled(texts.why, &[&reading.worst.map(|ioc| why(ioc, texts)).unwrap_or_default()]),
    )
}

fn ends(alert: &Alert, reading: &Reading<'_>, texts: &Texts) -> String {
    let flow = &alert.flow;
    let (near, near_port, far, far_port) = flow.endpoints(reading.near);
    let with_port = |address: std::net::IpAddr, port: u16| {
        if eve::protocol::has_ports(flow.protocol) {
            std::net::SocketAddr::new(address, port).to_string()
        } else {
            address.to_string()
        }
    };
    let target = cut(&reading.target);
    if reading.near == Side::Server {
        let about = if reading.target_is_address { String::new() } else { format!(" ({target})") };
        return format!("{far} -> {}{about}", with_port(near, near_port));
    }
    let near = reading.asset.map_or(near, |asset| asset.address);
    let arrow = if reading.direction == Direction::Unknown { "--" } else { "->" };
    let far = match (alert.is_of_a_name(), reading.target_is_address) {
        (true, _) => filled(texts.asked_of, &[&target, &far.to_string()]),
        (false, true) => with_port(far, far_port),
        (false, false) => format!("{target} ({})", with_port(far, far_port)),
    };
    format!("{near} {arrow} {far}")
}

/// How far it went.
fn far(reading: &Reading<'_>, texts: &Texts) -> String {
    let stage = (texts.stage)(reading.stage).short;
    match (reading.stage, reading.bytes_out, reading.bytes_in) {
        (Stage::Data, 0, bytes_in) => filled(texts.bytes_in, &[stage, &words::size(bytes_in)]),
        (Stage::Data, bytes_out, _) => filled(texts.bytes_out, &[stage, &words::size(bytes_out)]),
        _ => stage.to_owned(),
    }
}

fn why(ioc: &Ioc, texts: &Texts) -> String {
    let kind = if reading::names_the_far_end(ioc) { String::new() } else { format!("{} ", ioc.kind) };
    let value = format!("{kind}{}", cut(&ioc.value));
    let subdomains = reading::takes_in_subdomains(ioc);
    let mut said = vec![if subdomains { filled(texts.subdomains, &[&value]) } else { value }];
    let statement = &ioc.statement;
    if !statement.source.is_empty() {
        said.push(filled(texts.source, &[&cut(&statement.source)]));
    }
    said.push(statement.tlp.name().to_owned());
    if let Some(until) = statement.valid_until {
        said.push(filled(texts.valid_to, &[until.rfc3339().split('T').next().unwrap_or_default()]));
    }
    said.join(", ")
}

fn cut(value: &str) -> String {
    words::printable(value.as_bytes(), VALUE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Contacts;
    use super::super::record::Site;
    use super::super::sample::{DESTINATION, DNS, FLOW, RRNAME, flow, ioc, resolver_flow, scene, sighted, tls_met};
    use super::*;
    use crate::flow::FlowView;

    fn shown(alert: &Alert) -> String {
        line(alert, &Desk::new(Site::default()))
    }

    #[test]
    fn the_screen_says_who_which_way_how_far_and_why() {
        let alert = tls_met(&mut Contacts::default(), &scene(flow(7), 5)).expect("an alert");
        let want = "\
CRITICAL ransomware   10.77.0.2 -> c2.bad.example (203.0.113.66:443)   data, 18.4 kB out
         why: bad.example (+subdomains), source example, amber, valid to 2027-01-31";
        assert_eq!(shown(&alert), want);
    }

    #[test]
    fn the_screen_says_it_in_the_language_of_the_site_and_stays_in_columns() {
        let alert = tls_met(&mut Contacts::default(), &scene(flow(7), 5)).expect("an alert");
        let korean = Desk::new(Site { language: "ko".to_owned(), ..Site::default() });
        let want = "\
심각     ransomware   10.77.0.2 -> c2.bad.example (203.0.113.66:443)   데이터 18.4 kB 송신
         근거: bad.example (하위 도메인 포함), 출처 example, amber, 2027-01-31까지 유효";
        assert_eq!(line(&alert, &korean), want);
        let of = FlowView { stage: Stage::Attempted, ..flow(7) };
        let alert = sighted(&mut Contacts::default(), (1, ioc("ip", "203.0.113.66")), &scene(of, 5), &FLOW, |say| {
            say.address(&DESTINATION, &[203, 0, 113, 66]);
        });
        let said = line(&alert.expect("an alert"), &korean);
        assert!(said.contains("10.77.0.2 -> 203.0.113.66:443   접속 시도\n"), "{said}");
    }

    #[test]
    fn what_reads_the_same_is_printed_once_and_counted() {
        let (mut shown, desk, mut out) = (Shown::default(), Desk::new(Site::default()), Vec::new());
        for port in [50_000, 50_001, 50_002] {
            let of = FlowView { client_port: port, ..flow(7) };
            let alert = tls_met(&mut Contacts::default(), &scene(of, 5)).expect("an alert");
            shown.show(&alert, &desk, &mut out).expect("a vector takes it");
        }
        assert_eq!((out.iter().filter(|&&byte| byte == b'\n').count(), shown.more), (2, 2));
    }

    #[test]
    fn a_scan_points_at_the_asset() {
        let of = flow(7);
        let scan = FlowView { client: of.server, server: of.client, server_port: 22, stage: Stage::Refused, ..of };
        let alert = sighted(&mut Contacts::default(), (1, ioc("ip", "203.0.113.66")), &scene(scan, 5), &FLOW, |say| {
            say.address(&DESTINATION, &[203, 0, 113, 66]);
        });
        let shown = shown(&alert.expect("an alert"));
        assert!(shown.starts_with("CRITICAL ransomware   203.0.113.66 -> 10.77.0.2:22   refused\n"), "{shown}");
        assert!(shown.contains("why: 203.0.113.66, source example"));
    }

    #[test]
    fn a_question_shows_whom_it_was_asked_of_and_cannot_move_the_cursor() {
        let ioc = ioc("domain", "bad.example");
        let alert = sighted(&mut Contacts::default(), (1, ioc), &scene(resolver_flow(7), 5), &DNS, |say| {
            say.field(&RRNAME, b"\x1b[2Jbad.example").stage(Stage::Nxdomain);
        });
        let shown = shown(&alert.expect("an alert"));
        assert!(shown.contains(r"10.77.0.2 -> \u{1b}[2Jbad.example (asked of 10.77.0.53)   nxdomain"), "{shown}");
    }
}
