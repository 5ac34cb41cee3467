//! haetae's own format, `haetae/1`: what a person writes. One bad indicator loses itself, not the file; what is no YAML to
//! its end, says no `format:` or has `defaults` that cannot be read is refused as a whole.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::Spanned;

use super::intake::{Intake, bounded, names_kind, shown};
use super::names::Reading;
use super::{NotLoaded, Refusal, RuleTest, words};
use crate::indicator::Statement;
use crate::limits::FEED_YAML_BYTES_MAX;
use crate::observable::domain;

/// A node and the line that it begins in.
struct At {
    line: u64,
    node: Node,
}

/// What YAML can say, every scalar as text.
enum Node {
    Text(String),
    List(Vec<At>),
    Map(Vec<(String, At)>),
}

/// Recognises the first key of the format.
pub(super) fn recognise(first: &[u8]) -> bool {
    first.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"format:"))
}

/// Reads the indicators of a file.
pub(super) fn read(from: &mut dyn BufRead, intake: &mut Intake<'_>) -> io::Result<()> {
    match parse(from)? {
        Err((line, reason)) => intake.refuse_file(line, reason),
        Ok(root) => read_root(root, intake),
    }
    Ok(())
}

/// Reads the tests of a file; what is wrong in its entries is [`read`]'s to say.
pub(super) fn read_tests(from: &mut dyn BufRead, file: &std::path::Path) -> Result<Vec<RuleTest>, NotLoaded> {
    let broken = |(line, reason)| NotLoaded::Broken(Refusal { file: file.to_owned(), line, reason });
    let Node::Map(entries) = parse(from)?.map_err(broken)?.node else { return Ok(Vec::new()) };
    let tests = entries.into_iter().filter(|(key, _)| key == "tests").flat_map(|(_, tests)| list(tests));
    Ok(tests.filter_map(|test| read_test(test, file).ok()).collect())
}

fn parse(from: &mut dyn BufRead) -> io::Result<Result<At, (u64, String)>> {
    let mut bytes = Vec::new();
    from.take(FEED_YAML_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FEED_YAML_BYTES_MAX {
        return Ok(Err((1, "file larger than 8 MiB: big sets are CSV or JSON lines".to_owned())));
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = bytes.iter().take(error.valid_up_to()).filter(|&&byte| byte == b'\n').count() as u64;
            return Ok(Err((before + 1, "not UTF-8".to_owned())));
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = serde_yaml::options! {
        duplicate_keys: serde_yaml::options::DuplicateKeyPolicy::PassThrough,
        budget: serde_yaml::budget! { max_nodes: 1_500_000, max_events: 3_000_000, max_depth: 16 },
    };
    Ok(serde_yaml::from_str_with_options::<At>(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let reason = error.without_snippet().to_string();
        (line.max(1), format!("YAML: {}", bounded(reason.lines().next().unwrap_or_default(), 200)))
    }))
}

fn read_root(root: At, intake: &mut Intake<'_>) {
    let Node::Map(entries) = root.node else {
        return intake.refuse_file(root.line, "not a map of format, defaults, indicators");
    };
    let format = entries.iter().find(|(key, _)| key == "format").map(|(_, at)| (at.line, text(at)));
    match format {
        Some((_, Some("haetae/1"))) => {}
        Some((line, _)) => return intake.refuse_file(line, "format: this version reads haetae/1"),
        None => return intake.refuse_file(root.line, "no `format: haetae/1`"),
    }
    let mut defaults = intake.unsaid();
    let (mut good, mut indicators) = (true, Vec::new());
    for (key, at) in entries {
        match key.as_str() {
            "format" => {}
            "defaults" => good &= intake.for_all(|intake| read_defaults(at, &mut defaults, intake)),
            "indicators" => indicators.extend(list(at)),
            "tests" => list(at).into_iter().for_each(|test| {
                if let Err((line, reason)) = read_test(test, intake.file()) {
                    intake.refuse(line, reason);
                }
            }),
            _ => intake.refuse(at.line, format!("unknown key `{}`", shown(&key))),
        }
    }
    // A default that cannot be read could be the one that ends their validity: none of them is taken.
    if good {
        indicators.into_iter().for_each(|at| read_indicator(at, &defaults, intake));
    }
}

fn read_defaults(at: At, into: &mut Statement, intake: &mut Intake<'_>) -> bool {
    let line = at.line;
    let Node::Map(entries) = at.node else {
        intake.refuse(line, "defaults: not a map");
        return false;
    };
    let good = entries.iter().fold(true, |good, (key, value)| read_word(key, value, into, intake) && good);
    // before an indicator puts other labels in the place of these
    let marked = words::mark(into);
    if let Err(reason) = &marked {
        intake.refuse(line, format!("labels: {reason}"));
    }
    good && marked.is_ok()
}

/// One word in YAML: lists are labels and sectors, `next` is a map by language.
fn read_word(key: &str, value: &At, into: &mut Statement, intake: &mut Intake<'_>) -> bool {
    let result = match (key, &value.node) {
        ("next", Node::Map(texts)) => texts.iter().try_for_each(|(language, at)| {
            text(at).ok_or("not a text").and_then(|text| words::next(into, language, text))
        }),
        ("labels" | "sectors", Node::List(parts)) => {
            let joined = parts.iter().filter_map(text).collect::<Vec<_>>().join(";");
            return intake.word(value.line, key, &joined, into);
        }
        (_, Node::Text(text)) => return intake.word(value.line, key, text, into),
        _ => Err("not a text"),
    };
    if let Err(reason) = result {
        intake.refuse(value.line, format!("{}: {reason}", shown(key)));
    }
    result.is_ok()
}

fn read_indicator(at: At, defaults: &Statement, intake: &mut Intake<'_>) {
    let line = at.line;
    let Node::Map(entries) = at.node else { return intake.refuse(line, "not a map") };
    let mut statement = defaults.clone();
    let (mut named, mut id, mut reach) = (None, None, None);
    for (place, (key, value)) in entries.iter().enumerate() {
        if entries[..place].iter().any(|(before, _)| before == key) {
            return intake.refuse(value.line, format!("`{}` twice", shown(key)));
        }
        match key.as_str() {
            "id" => id = text(value),
            "reach" => reach = Some(value),
            key if names_kind(key) => {
                if let Some((before, _)) = named {
                    return intake.refuse(value.line, format!("`{}` beside `{}`", shown(key), shown(before)));
                }
                named = Some((key, value));
            }
            key => {
                if !read_word(key, value, &mut statement, intake) {
                    return;
                }
            }
        }
    }
    let Some((name, value)) = named else { return intake.refuse(line, "no value: one of domain, ip, cidr, url, ...") };
    let Some(found) = intake.reading(value.line, name) else { return };
    let Some(found) = reached(found, reach, intake) else { return };
    let Some(written) = text(value) else { return intake.refuse(value.line, format!("{name}: not a text")) };
    let Some(said) = intake.say(value.line, statement) else { return };
    intake.take(value.line, found, written.as_bytes(), said, id);
}

/// A domain says how far it reaches; nothing said is exactly this name.
fn reached(kind: Reading, reach: Option<&At>, intake: &mut Intake<'_>) -> Option<Reading> {
    let Some(reach) = reach else { return Some(kind) };
    let is_domain = kind == Reading::As(&domain::DOMAIN);
    match text(reach) {
        Some("exact") if is_domain => Some(kind),
        Some("subdomains") if is_domain => Some(Reading::As(&domain::DOMAIN_SUFFIX)),
        _ => {
            intake.refuse(reach.line, "reach: exact or subdomains, of a domain");
            None
        }
    }
}

fn read_test(at: At, file: &std::path::Path) -> Result<RuleTest, (u64, String)> {
    let line = at.line;
    let Node::Map(entries) = at.node else { return Err((line, "tests: not a map".to_owned())) };
    let folder = file.parent().unwrap_or(std::path::Path::new("."));
    let mut test = RuleTest { file: file.to_owned(), line, pcap: PathBuf::new(), fires: vec![], silent: vec![] };
    for (key, value) in entries {
        match key.as_str() {
            "pcap" => test.pcap = folder.join(text(&value).ok_or((value.line, "pcap: not a text".to_owned()))?),
            "fires" => test.fires = texts(value),
            "silent" => test.silent = texts(value),
            _ => return Err((value.line, format!("tests: unknown key `{}`", shown(&key)))),
        }
    }
    if test.pcap.as_os_str().is_empty() { Err((line, "tests: no `pcap`".to_owned())) } else { Ok(test) }
}

fn text(at: &At) -> Option<&str> {
    if let Node::Text(text) = &at.node { Some(text) } else { None }
}

fn texts(at: At) -> Vec<String> {
    list(at).iter().filter_map(text).map(str::to_owned).collect()
}

/// The items of a list; a single item is a list of one, nothing a list of none.
fn list(at: At) -> Vec<At> {
    match at.node {
        Node::List(items) => items,
        Node::Text(text) if text.is_empty() => Vec::new(),
        _ => vec![at],
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(from)?;
        Ok(At { line: spanned.referenced.line(), node: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text, a list or a map")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Text(String::new()))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Text(String::new()))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        Node::deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = from.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}
