//! A frame on paper: its headers one by one, its bytes in hexadecimal, and the place of a value in them.
//!
//! In: a kept frame. Out: lines. Never here: a capture, an indicator.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::control::{Kept, Said};
use crate::decode::Layer;
use crate::limits::EXPLAIN_DUMP_LINES_MAX;
use crate::observable::{Form, address};

/// Bytes of one line of the dump.
const LINE_BYTES: usize = 16;

/// Layers whose bytes are the conversation's and not a header's.
static CONTENT: [&str; 2] = ["payload", "fragment"];

/// Kinds that are worked out from what passed: none of their bytes ever was on the wire.
static WORKED_OUT: [&str; 7] = ["sha256", "sha1", "md5", "ja3", "ja4", "cert_sha1", "cert_sha256"];

/// Where a value lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In these bytes of the frame, as it is.
    Here(Range<usize>),
    /// In these, as labels with their lengths between (RFC 1035, 3.1).
    Labels(Range<usize>),
    /// Its path is in these; the host that makes it whole is another line's.
    Path(Range<usize>),
    /// In these bytes of a datagram that was put together from fragments; this frame has the last of them.
    Datagram(Range<usize>),
    /// It was worked out: a digest or a fingerprint.
    WorkedOut,
    /// Elsewhere: put together from several parts or segments, or decoded.
    Elsewhere,
}

/// Where the value lies in the frame.
pub(super) fn place(kept: &Kept, said: &Said) -> Place {
    if said.field.kinds.iter().any(|kind| WORKED_OUT.contains(&kind.name)) {
        return Place::WorkedOut;
    }
    if said.field.form == Form::Address {
        return place_of_address(kept, said).map_or(Place::Elsewhere, Place::Here);
    }
    let start = kept.layers.iter().rev().find(|layer| CONTENT.contains(&layer.name)).map_or(0, |layer| layer.start);
    let content = kept.bytes.get(start..).unwrap_or_default();
    let datagram = kept.packet.as_ref().map_or(&[][..], |(_, payload)| payload);
    let moved = |at: Range<usize>| at.start + start..at.end + start;
    if let Some(at) = find(content, &said.raw) {
        return Place::Here(moved(at));
    }
    if let Some(at) = find_labels(content, &said.raw) {
        return Place::Labels(moved(at));
    }
    if let Some(at) = path(&said.raw).and_then(|path| find(content, path)) {
        return Place::Path(moved(at));
    }
    match find(datagram, &said.raw).or_else(|| find_labels(datagram, &said.raw)) {
        Some(at) => Place::Datagram(at),
        None => Place::Elsewhere,
    }
}

/// The same in words.
pub(super) fn where_it_lies(place: &Place, kept: &Kept) -> String {
    match place {
        Place::Here(at) => format!("bytes {}..{} of this frame, as it is", at.start, at.end),
        Place::Labels(at) => format!("bytes {}..{} of this frame, as labels with their lengths", at.start, at.end),
        Place::Path(at) => {
            format!("put together of its host and its path; the path is bytes {}..{} of this frame", at.start, at.end)
        }
        Place::Datagram(at) => format!(
            "bytes {}..{} of a datagram of {} bytes that was put together from fragments; this frame is the last of them",
            at.start,
            at.end,
            kept.packet.as_ref().map_or(0, |(_, payload)| payload.len())
        ),
        Place::WorkedOut => "worked out from what passed until here: no bytes on the wire are it".to_owned(),
        Place::Elsewhere => {
            "not in this frame as such: put together from parts (host and path, segments) or decoded".to_owned()
        }
    }
}

/// An address lies in the IP header that says it (the outer one for the end of a tunnel), or in what a resolver answered.
fn place_of_address(kept: &Kept, said: &Said) -> Option<Range<usize>> {
    let bytes = match address::from_bytes(&said.raw)?.to_canonical() {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    };
    let headers = kept.layers.iter().filter(|layer| ["ipv4", "ipv6"].contains(&layer.name));
    let mut headers: Vec<&Layer> = headers.collect();
    if !said.field.name.starts_with("tunnel.") {
        headers.reverse();
    }
    let of_flow = said.field.path.is_empty();
    let contents = kept.layers.iter().filter(|layer| CONTENT.contains(&layer.name));
    let searched: Vec<&Layer> = if of_flow { headers } else { contents.collect() };
    let in_layer = |layer: &&Layer| {
        let at = find(kept.bytes.get(layer.start..layer.end)?, &bytes)?;
        Some(at.start + layer.start..at.end + layer.start)
    };
    searched.iter().find_map(in_layer)
}

/// The path of a URL that was put together, with what follows it; a bare `/` would be found anywhere.
fn path(url: &[u8]) -> Option<&[u8]> {
    let host = find(url, b"://")?.end;
    let start = host + url.get(host..)?.iter().position(|&byte| byte == b'/')?;
    url.get(start..).filter(|path| path.len() > 1)
}

fn find(all: &[u8], value: &[u8]) -> Option<Range<usize>> {
    let at = all.windows(value.len().max(1)).position(|part| part == value)?;
    (!value.is_empty()).then_some(at..at + value.len())
}

/// A name as DNS writes it: before each label its length.
fn find_labels(all: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut wire = Vec::with_capacity(name.len() + 1);
    for label in name.split(|&byte| byte == b'.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).ok()?);
        wire.extend_from_slice(label);
    }
    let same = |part: &[u8]| part.eq_ignore_ascii_case(&wire);
    let at = all.windows(wire.len().max(1)).position(same)?;
    (!wire.is_empty()).then_some(at..at + wire.len())
}

/// The dump: each layer begins on a line of its own, the value stands between brackets.
pub(super) fn dump(kept: &Kept, value: Option<&Range<usize>>) -> Vec<String> {
    let mut lines = Vec::new();
    for layer in &kept.layers {
        dump_layer(kept, layer, value, &mut lines);
    }
    lines
}

fn dump_layer(kept: &Kept, layer: &Layer, value: Option<&Range<usize>>, lines: &mut Vec<String>) {
    let inside = value.filter(|value| value.start >= layer.start && value.start < layer.end);
    let begins = (layer.start..layer.end).step_by(LINE_BYTES);
    let all = begins.len();
    // of a long layer, what is shown begins a line before the value
    let skipped = inside.map_or(0, |value| ((value.start - layer.start) / LINE_BYTES).saturating_sub(1));
    let skipped = if all <= EXPLAIN_DUMP_LINES_MAX { 0 } else { skipped.min(all - EXPLAIN_DUMP_LINES_MAX) };
    let wanted = if inside.is_none() && CONTENT.contains(&layer.name) { 4 } else { EXPLAIN_DUMP_LINES_MAX };
    if skipped > 0 {
        lines.push(format!("     ... {} bytes before", skipped * LINE_BYTES));
    }
    for (number, start) in begins.enumerate().skip(skipped).take(wanted) {
        let bytes = start..(start + LINE_BYTES).min(layer.end);
        let name = if number == skipped { layer.name } else { "" };
        lines.push(dumped(&kept.bytes, bytes, value, name));
    }
    let left = all.saturating_sub(skipped + wanted);
    if left > 0 {
        let from = layer.start + (skipped + wanted) * LINE_BYTES;
        lines.push(format!("     ... {} bytes more", layer.end - from));
    }
}

fn dumped(frame: &[u8], at: Range<usize>, value: Option<&Range<usize>>, name: &str) -> String {
    let mut line = format!("     {:04x} ", at.start);
    let mark = |place: usize, first: bool| match value {
        Some(value) if value.start == place && place < at.end => '[',
        Some(value) if value.end == place && !first => ']',
        _ => ' ',
    };
    let mut text = String::new();
    for place in at.clone() {
        let byte = frame.get(place).copied().unwrap_or_default();
        let _ = write!(line, "{}{byte:02x}", mark(place, place == at.start));
        text.push(if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' });
    }
    line.push(mark(at.end, false));
    format!("{line:<60}  {text:<16}  {name}").trim_end().to_owned()
}

/// What a header says, in a line; only of those that most frames have.
pub(super) fn header(kept: &Kept, layer: &Layer) -> String {
    let bytes = kept.bytes.get(layer.start..layer.end).unwrap_or_default();
    told(layer.name, bytes).unwrap_or_default()
}

fn told(name: &str, bytes: &[u8]) -> Option<String> {
    let two = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let four = |at: usize| Some(u32::from(two(at)?) << 16 | u32::from(two(at + 2)?));
    let told = match name {
        "ethernet" => {
            format!("{} to {}, type 0x{:04x}", hardware(bytes.get(6..12)?), hardware(bytes.get(..6)?), two(12)?)
        }
        "vlan tag" => format!("VLAN {}, priority {}", two(0)? & 0x0fff, two(0)? >> 13),
        "ipv4" => {
            let [source, target] = [four(12)?, four(16)?].map(Ipv4Addr::from);
            let (ttl, protocol, cut) = (*bytes.get(8)?, *bytes.get(9)?, two(6)?);
            let offset = usize::from(cut & 0x1fff) * 8;
            let more = if cut & 0x2000 != 0 { ", more follow" } else { "" };
            let piece = if cut & 0x3fff == 0 { String::new() } else { format!(", fragment at byte {offset}{more}") };
            format!("{source} to {target}, protocol {protocol}, TTL {ttl}, {} bytes{piece}", two(2)?)
        }
        "ipv6" => {
            let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?));
            let (next, hops) = (*bytes.get(6)?, *bytes.get(7)?);
            format!(
                "{} to {}, next header {next}, hop limit {hops}, {} bytes behind it",
                address(8)?,
                address(24)?,
                two(4)?
            )
        }
        "tcp" => {
            let flags = flags(*bytes.get(13)?);
            format!("port {} to {}, {flags}, seq {}, ack {}, window {}", two(0)?, two(2)?, four(4)?, four(8)?, two(14)?)
        }
        "udp" => format!("port {} to {}, {} bytes", two(0)?, two(2)?, two(4)?),
        "vxlan" => format!("network {}", four(4)? >> 8),
        _ => return None,
    };
    Some(told)
}

fn hardware(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

/// RFC 9293, 3.1: from the lowest bit.
fn flags(bits: u8) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> =
        names.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, name)| *name).collect();
    if set.is_empty() { "no flags".to_owned() } else { set.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_as_it_is_or_as_labels() {
        assert_eq!(find(b"GET /drop.php", b"/drop."), Some(4..10));
        assert_eq!(find(b"GET", b"longer than that"), None);
        assert_eq!(find(b"GET", b""), None);
        assert_eq!(find_labels(b"\x00\x02C2\x03bad\x07example\x00", b"c2.bad.example"), Some(1..16));
        assert_eq!(path(b"http://www.example.test/gate.php?id=7"), Some(&b"/gate.php?id=7"[..]));
        assert_eq!((path(b"http://www.example.test/"), path(b"/gate.php")), (None, None));
        assert_eq!(find_labels(b"\x03bad", b""), None);
    }

    #[test]
    fn the_dump_puts_the_value_between_brackets() {
        let line = dumped(b"GET /drop.php", 0..13, Some(&(4..10)), "payload");
        assert!(line.contains("47 45 54 20[2f 64 72 6f 70 2e]70 68 70"), "{line}");
        assert!(line.ends_with("payload") && line.contains("GET /drop.php"), "{line}");
        assert!(dumped(b"\x1b[2J", 0..4, None, "").ends_with(".[2J"));
    }

    #[test]
    fn a_cut_header_says_nothing() {
        for name in ["ethernet", "vlan tag", "ipv4", "ipv6", "tcp", "udp", "vxlan"] {
            assert_eq!(told(name, &[0]), None, "{name}");
        }
        assert_eq!(told("udp", &[0, 53, 0x90, 0, 0, 20, 0, 0]).as_deref(), Some("port 53 to 36864, 20 bytes"));
    }
}
