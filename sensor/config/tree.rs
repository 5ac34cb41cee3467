//! A configuration file as a tree in which every node knows its place.
//!
//! In: YAML text, the environment, `--set` arguments. Out: a [`Tree`], or faults with their places. `${NAME}` in a text
//! is replaced here. Never here: what an option means.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_yaml::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::fault::{Fault, Place, join};

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number {
        value: i128,
        /// Whether it is written as its digits alone: neither `0x1f` nor `1_000`.
        plain: bool,
    },
    Fraction(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// A whole configuration.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) root: Node,
}

impl Tree {
    /// Reads YAML. An empty file is an empty configuration.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Tree, Fault> {
        let absent = Place::Absent(file.to_string());
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Tree { root: Node { value: Value::Map(Vec::new()), place: absent } });
        }
        let place = |at: Location| Place::File { file: file.to_string(), line: at.line(), column: at.column() };
        match yaml(text) {
            Ok(read) => {
                let mut root = placed(read, text, &place);
                if root.value == Value::Null {
                    root.value = Value::Map(Vec::new());
                }
                Ok(Tree { root })
            }
            Err(error) => Err(refused(&error, error.location().map_or(absent, place))),
        }
    }

    /// Puts the value of a `--set a.b=c` argument into the tree; lists are written as YAML lists.
    pub(crate) fn set(&mut self, argument: &str) -> Result<(), Fault> {
        let place = Place::Set(argument.to_string());
        let fault = |problem: &str, help: &str| Fault {
            path: String::new(),
            problem: problem.to_string(),
            place: place.clone(),
            help: help.to_string(),
        };
        let (path, text) =
            argument.split_once('=').ok_or_else(|| fault("`=` is missing", "--set limits.flows_max=50000"))?;
        if path.split('.').any(|key| key.trim().is_empty()) {
            return Err(fault("an option's name is missing", "--set limits.flows_max=50000"));
        }
        let value = match yaml(text) {
            _ if text.is_empty() => Value::Text(String::new()),
            Ok(read) => placed(read, text, &|_| place.clone()).value,
            Err(_) => return Err(fault("the value is not valid YAML", "quote it: --set 'site.id=\"a: b\"'")),
        };
        self.entry(path, &place).value = value;
        Ok(())
    }

    /// Puts a text into the tree.
    pub(crate) fn put(&mut self, path: &str, text: &str, place: &Place) {
        self.entry(path, place).value = Value::Text(text.to_string());
    }

    /// The node of an option, made if it is not there, and placed anew.
    fn entry(&mut self, path: &str, place: &Place) -> &mut Node {
        let node = path.split('.').fold(&mut self.root, |node, key| node.entry(key, place));
        node.place = place.clone();
        node
    }

    /// Replaces `${NAME}` in every text by what `environment` knows.
    pub(crate) fn expand(&mut self, environment: &dyn Fn(&str) -> Option<String>, faults: &mut Vec<Fault>) {
        expand(&mut self.root, String::new(), environment, faults);
    }

    /// Where an option is written, or the nearest thing above it.
    pub(crate) fn place(&self, path: &str) -> Place {
        let (mut node, mut rest) = (&self.root, path);
        while let Some((next, behind)) = node.step(rest) {
            (node, rest) = (next, behind);
        }
        node.place.clone()
    }
}

impl Node {
    /// The value of an option of a section.
    pub(crate) fn child(&self, name: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The node that a path leads to first, and the path from there. A name may have dots in it.
    fn step<'a>(&self, path: &'a str) -> Option<(&Node, &'a str)> {
        match &self.value {
            _ if path.is_empty() => None,
            Value::Map(entries) => {
                let fitting = entries.iter().filter_map(|(key, node)| {
                    let behind = path.strip_prefix(key.name.as_str())?;
                    let ends = behind.is_empty() || behind.starts_with(['.', '[']);
                    ends.then(|| (node, behind.strip_prefix('.').unwrap_or(behind)))
                });
                fitting.min_by_key(|(_, behind)| behind.len())
            }
            Value::List(items) => {
                let (at, behind) = path.strip_prefix('[')?.split_once(']')?;
                Some((items.get(at.parse::<usize>().ok()?)?, behind.strip_prefix('.').unwrap_or(behind)))
            }
            _ => None,
        }
    }

    /// The node under `key`, made if it is not there.
    fn entry(&mut self, key: &str, place: &Place) -> &mut Node {
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else { unreachable!("it was made a map above") };
        let at = entries.iter().position(|(known, _)| known.name == key).unwrap_or(entries.len());
        if at == entries.len() {
            let node = Node { value: Value::Null, place: place.clone() };
            entries.push((Key { name: key.to_string(), place: place.clone() }, node));
        }
        &mut entries[at].1
    }
}

/// Reads YAML 1.2: `yes` is a word, a leading zero makes a text, a tag that nobody knows is refused.
fn yaml(text: &str) -> Result<Spanned<Read>, Error> {
    let options = serde_yaml::options! {
        leading_zero_numbers_as_strings: true,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options(text, options)
}

/// Parts of what the YAML reader says, each with a way out.
static YAML_HELP: &[(&str, &str)] = &[
    ("duplicate", "each option is given once"),
    ("tab", "indent with spaces"),
    ("multiple", "one document for each file: take the `---` away"),
    ("limits breached", "a configuration is not as large or as deep, and repeats itself less"),
    ("unclosed quote", "close the quote"),
    ("quoted", "in single quotes a quote is written twice; in double quotes `\\\\` is a backslash"),
    ("bracket", "each [ and { has its own ] and }"),
    ("unexpected character: `\\u{", "a text file has no such character"),
    ("unexpected character", "put the value in quotes"),
    ("\"-\" is only valid", "write a list as [a, b], or each item on a line of its own"),
    ("mapping values", "put a text with a colon in it in quotes, and each option on a line of its own"),
    ("comment intercepting", "put the text in quotes, or its comment on another line"),
    ("string scalar", "an option's name is one word"),
    ("finite number", "write the number in digits"),
    ("document start", "take the line with `%` away"),
    ("unknown value", "`*name` repeats what `&name` has marked above; a text that begins with `*` stands in quotes"),
    ("expected key", "begin the options of a section in the same column, and put a value with signs in it in quotes"),
    ("anchor", "`*name` repeats what `&name` has marked above; a text that begins with `*` stands in quotes"),
    ("tag", "take the `!tag` away; a text that begins with `!` stands in quotes"),
];

fn refused(error: &Error, place: Place) -> Fault {
    let problem = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
    let known = YAML_HELP.iter().find(|(part, _)| problem.contains(part));
    let help = known.map_or("the file is not valid YAML here", |(_, help)| help);
    Fault { path: String::new(), problem, place, help: help.to_string() }
}

fn expand(node: &mut Node, path: String, environment: &dyn Fn(&str) -> Option<String>, faults: &mut Vec<Fault>) {
    match &mut node.value {
        Value::Text(text) if text.contains("${") => match expanded(text, environment) {
            Ok(expanded) => *text = expanded,
            Err((problem, help)) => faults.push(Fault { path, problem, place: node.place.clone(), help }),
        },
        Value::List(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                expand(item, format!("{path}[{at}]"), environment, faults);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                expand(value, join(&path, &key.name), environment, faults);
            }
        }
        _ => {}
    }
}

/// A text with its `${NAME}`s replaced, or what is wrong and a way out.
fn expanded(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) =
            after.split_once('}').ok_or_else(|| ("`${` without `}`".to_string(), "write ${NAME}".to_string()))?;
        let value = environment(name)
            .ok_or_else(|| (format!("`{name}` is not set"), format!("set {name} in the environment")))?;
        if value.contains("${") {
            return Err((format!("`{name}` has `${{` in its value"), format!("set {name} to what is meant")));
        }
        out.push_str(before);
        out.push_str(&value);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// A node as the YAML reader gives it, before places know their file.
enum Read {
    Leaf(Value),
    List(Vec<Spanned<Read>>),
    Map(Vec<(Spanned<String>, Spanned<Read>)>),
}

fn placed(read: Spanned<Read>, text: &str, place: &dyn Fn(Location) -> Place) -> Node {
    let value = match read.value {
        Read::Leaf(Value::Number { value, .. }) => {
            let behind = read.defined.span().byte_offset().and_then(|at| text.get(at as usize..)).unwrap_or_default();
            let spelled = behind.split([',', ']', '}', ' ', '\t', '\r', '\n']).next().unwrap_or_default();
            Value::Number { value, plain: spelled == value.to_string() }
        }
        Read::Leaf(value) => value,
        Read::List(items) => Value::List(items.into_iter().map(|item| placed(item, text, place)).collect()),
        Read::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| entry(key, value, text, place)).collect())
        }
    };
    Node { value, place: place(read.referenced) }
}

fn entry(key: Spanned<String>, value: Spanned<Read>, text: &str, place: &dyn Fn(Location) -> Place) -> (Key, Node) {
    let key = Key { name: key.value, place: place(key.referenced) };
    let mut node = placed(value, text, place);
    // A value that is not there is somewhere only by its name.
    if node.value == Value::Null {
        node.place = key.place.clone();
    }
    (key, node)
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

fn whole(value: i128) -> Read {
    Read::Leaf(Value::Number { value, plain: false })
}

impl<'de> Visitor<'de> for Reader {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(Read::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Read, E> {
        Ok(Read::Leaf(Value::Null))
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Read, D::Error> {
        deserializer.deserialize_any(Reader)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Read, E> {
        Ok(Read::Leaf(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Read, E> {
        Ok(whole(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Read, E> {
        Ok(whole(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Read, E> {
        Ok(whole(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Read, E> {
        Ok(Read::Leaf(Value::Fraction(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Read, E> {
        Ok(Read::Leaf(Value::Text(value.to_string())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Read, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Read::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let mut entries: Vec<(Spanned<String>, Spanned<Read>)> = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Read::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Tree {
        Tree::parse("f.yaml", text).expect("it is YAML")
    }

    fn at(line: u64, column: u64) -> Place {
        Place::File { file: "f.yaml".into(), line, column }
    }

    #[test]
    fn every_value_knows_its_place() {
        let tree = parsed("site: { id: a }\nlist:\n  - one\n  - { b: 2 }\n");
        assert_eq!(tree.place("site.id"), at(1, 13));
        assert_eq!(tree.place("list[1].b"), at(4, 10));
        assert_eq!(tree.place("site.key"), at(1, 7), "the nearest thing above");
        assert_eq!(parsed("{ a.b: 1, a: 2, a.c: [3] }").place("a.c[0]"), at(1, 23), "a name may have dots");
    }

    #[test]
    fn the_environment_fills_in_and_what_is_unset_is_a_fault() {
        let mut tree = parsed("a: [\"x ${ONE} y ${ONE}\", \"${TWO}\", \"${THREE\"]\n");
        let mut faults = Vec::new();
        tree.expand(&|name| (name == "ONE").then(|| "1".to_string()), &mut faults);
        let Value::Map(entries) = &tree.root.value else { panic!("a map") };
        let Value::List(items) = &entries[0].1.value else { panic!("a list") };
        assert_eq!(items[0].value, Value::Text("x 1 y 1".into()));
        let told: Vec<_> = faults.iter().map(|fault| (fault.path.as_str(), fault.problem.as_str())).collect();
        assert_eq!(told, [("a[1]", "`TWO` is not set"), ("a[2]", "`${` without `}`")]);
    }

    #[test]
    fn an_argument_overrides_the_file_and_is_its_own_place() {
        let mut tree = parsed("site: { id: a, language: en }\n");
        tree.set("site.id=b").expect("it is an assignment");
        tree.set("limits.workers=2").expect("it is an assignment");
        assert_eq!(tree.place("site.id"), Place::Set("site.id=b".into()));
        assert_eq!(tree.place("site.language"), at(1, 26));
        assert!(tree.set("site.id").is_err());
        assert!(tree.set("site..id=3").is_err());
    }

    #[test]
    fn broken_yaml_has_a_line() {
        let fault = Tree::parse("f.yaml", "site: { id: a\nrules: x\n").expect_err("the brace is open");
        assert!(matches!(fault.place, Place::File { line: 1.., .. }), "{fault}");
        let twice = Tree::parse("f.yaml", "site: {}\nsite: {}\n").expect_err("twice");
        assert_eq!(twice.place, at(2, 1));
    }

    #[test]
    fn a_leading_zero_stays_text() {
        assert_eq!(parsed("0017").root.value, Value::Text("0017".into()));
        assert_eq!(parsed("1_000").root.value, Value::Number { value: 1000, plain: false });
        assert_eq!(parsed("17 # of them").root.value, Value::Number { value: 17, plain: true });
    }
}
