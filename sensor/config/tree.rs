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
    Number(i128),
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
        let options = serde_yaml::options! { leading_zero_numbers_as_strings: true, with_snippet: false };
        match serde_yaml::from_str_with_options::<Spanned<Read>>(text, options) {
            Ok(read) => Ok(Tree { root: placed(read, &place) }),
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
        let value = match serde_yaml::from_str::<Spanned<Read>>(text) {
            _ if text.is_empty() => Value::Text(String::new()),
            Ok(read) => placed(read, &|_| place.clone()).value,
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
        let mut node = &self.root;
        for step in path.split(['.', '[']) {
            let next = match &node.value {
                Value::Map(entries) => entries.iter().find(|(key, _)| key.name == step).map(|(_, node)| node),
                Value::List(items) => step.trim_end_matches(']').parse().ok().and_then(|at: usize| items.get(at)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.place.clone()
    }
}

impl Node {
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

fn refused(error: &Error, place: Place) -> Fault {
    let problem = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
    let help = match error.without_snippet() {
        Error::DuplicateMappingKey { .. } => "each option is given once",
        _ if problem.contains("tab") => "indent with spaces",
        _ => "the file is not valid YAML here",
    };
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

fn placed(read: Spanned<Read>, place: &dyn Fn(Location) -> Place) -> Node {
    let value = match read.value {
        Read::Leaf(value) => value,
        Read::List(items) => Value::List(items.into_iter().map(|item| placed(item, place)).collect()),
        Read::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (Key { name: key.value, place: place(key.referenced) }, placed(value, place)))
                .collect(),
        ),
    };
    Node { value, place: place(read.referenced) }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

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
        Ok(Read::Leaf(Value::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Read, E> {
        Ok(Read::Leaf(Value::Number(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Read, E> {
        Ok(Read::Leaf(Value::Number(value)))
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
        assert_eq!(parsed("1_000").root.value, Value::Number(1000));
    }
}
