//! A tree in, a section type out, through serde, with *every* fault and not only the first.
//!
//! Serde stops at the first fault. So a faulty option is noted, left out, and the tree is read again, until nothing new is
//! found: the rooms' section types stay plain `#[derive(Deserialize)]` structs. Never here: what an option means.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::fault::{Fault, join};
use super::tree::{Key, Node, Value};
use super::trouble::Trouble;

/// The sections that were visited, with the options that each one knows.
pub(crate) type Visited = Vec<(String, &'static [&'static str])>;

/// What reading gave: the value if enough of it was sound, and what was left out because it was not.
pub(crate) struct Outcome<T> {
    pub(crate) value: Option<T>,
    pub(crate) left_out: BTreeSet<String>,
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) visited: Visited,
}

/// Reads a section type from a tree.
pub(crate) fn read<T: DeserializeOwned>(root: &Node, faults: &mut Vec<Fault>) -> Outcome<T> {
    let mut left_out = BTreeSet::new();
    loop {
        let notes = Notes { left_out: &left_out, visited: RefCell::default() };
        let trouble = match T::deserialize(Cursor { node: root, path: String::new(), notes: &notes }) {
            Ok(value) => {
                let visited = notes.visited.into_inner();
                return Outcome { value: Some(value), left_out, visited };
            }
            Err(trouble) => trouble,
        };
        let whole = trouble.whole().to_string();
        if !trouble.follows_from(faults) {
            faults.push(trouble.into_fault());
        }
        // A section that lacks something cannot be had at all; the root as little as any other.
        if whole.is_empty() || !left_out.insert(whole) {
            return Outcome { value: None, left_out, visited: Visited::new() };
        }
    }
}

struct Notes<'a> {
    left_out: &'a BTreeSet<String>,
    visited: RefCell<Visited>,
}

struct Cursor<'a> {
    node: &'a Node,
    path: String,
    notes: &'a Notes<'a>,
}

impl<'a> Cursor<'a> {
    fn wrong<T>(&self, expected: &dyn de::Expected) -> Result<T, Trouble> {
        let found = match &self.node.value {
            Value::Null => de::Unexpected::Other("nothing"),
            Value::Bool(value) => de::Unexpected::Bool(*value),
            Value::Number { value, .. } => match i64::try_from(*value) {
                Ok(value) => de::Unexpected::Signed(value),
                Err(_) => de::Unexpected::Other("a number this large"),
            },
            Value::Fraction(value) => de::Unexpected::Float(*value),
            Value::Text(text) => de::Unexpected::Str(text),
            Value::List(_) => de::Unexpected::Other("a list"),
            Value::Map(_) => de::Unexpected::Other("a section"),
        };
        Err(de::Error::invalid_type(found, expected))
    }

    fn number<V: Visitor<'a>>(self, max: u64, visitor: V) -> Result<V::Value, Trouble> {
        let range = if max == u64::MAX { "a whole number".to_string() } else { format!("a whole number, 0 to {max}") };
        self.visit(|cursor| match &cursor.node.value {
            Value::Number { value, .. } => match u64::try_from(*value) {
                Ok(value) if value <= max => visitor.visit_u64(value),
                _ => Err(Trouble::new(format!("{value} is out of range"), range)),
            },
            Value::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let help = format!("{range}, without quotes and without zeros before it");
                Err(Trouble::new(format!("`{text}` is a text and no number"), help))
            }
            _ => cursor.wrong(&range.as_str()),
        })
    }

    fn visit<T>(&self, work: impl FnOnce(&Self) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let done = match &self.node.value {
            Value::Null => Err(Trouble::nothing()),
            Value::Text(text) if text.contains('\0') => {
                Err(Trouble::new("has a NUL character in it".into(), "no option takes one".into()))
            }
            _ => work(self),
        };
        done.map_err(|trouble| trouble.at(&self.path, &self.node.place))
    }

    fn children(&self) -> Children<'a> {
        let (entries, items): (&'a [_], &'a [_]) = match &self.node.value {
            Value::Map(entries) => (entries, &[]),
            Value::List(items) => (&[], items),
            _ => (&[], &[]),
        };
        Children { entries, items, at: 0, path: self.path.clone(), notes: self.notes }
    }
}

fn number<'a, V: Visitor<'a>>(value: i128, visitor: V) -> Result<V::Value, Trouble> {
    match (u64::try_from(value), i64::try_from(value)) {
        (Ok(value), _) => visitor.visit_u64(value),
        (_, Ok(value)) => visitor.visit_i64(value),
        _ => visitor.visit_i128(value),
    }
}

impl<'de> de::Deserializer<'de> for Cursor<'de> {
    type Error = Trouble;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.visit(|cursor| match &cursor.node.value {
            Value::Null => Err(Trouble::nothing()),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number { value, .. } => number(*value, visitor),
            Value::Fraction(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(_) => visitor.visit_seq(cursor.children()),
            Value::Map(_) => visitor.visit_map(cursor.children()),
        })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.visit(|cursor| match &cursor.node.value {
            Value::Text(text) => visitor.visit_str(text),
            // `id: 17` is a text that looks like a number; `0x11` and `1.0` would not come back as they were written.
            Value::Number { value, plain: true } => visitor.visit_str(&value.to_string()),
            Value::Number { .. } | Value::Bool(_) | Value::Fraction(_) => {
                Err(Trouble::new("must be a text".into(), "put it in quotes".into()))
            }
            _ => cursor.wrong(&visitor),
        })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_string(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.visit(|cursor| match cursor.node.value {
            Value::Bool(value) => visitor.visit_bool(value),
            _ => Err(Trouble::new("must be `true` or `false`".into(), "one of true, false, without quotes".into())),
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_some(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.notes.visited.borrow_mut().push((self.path.clone(), fields));
        self.visit(|cursor| match cursor.node.value {
            Value::Map(_) => visitor.visit_map(cursor.children()),
            _ => Err(Trouble::new("must be a section of options".into(), format!("with {}", fields.join(", ")))),
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.visit(|cursor| match cursor.node.value {
            Value::List(_) => visitor.visit_seq(cursor.children()),
            _ => Err(Trouble::new("must be a list".into(), "write [a, b]".into())),
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.visit(|cursor| match cursor.node.value {
            Value::Map(_) => visitor.visit_map(cursor.children()),
            _ => Err(Trouble::new("must be a section of names".into(), "write { name: value }".into())),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.visit(|cursor| match &cursor.node.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(Trouble::new("must be a word".into(), format!("one of {}", words.join(", ")))),
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.number(u8::MAX.into(), visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.number(u16::MAX.into(), visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.number(u32::MAX.into(), visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.number(u64::MAX, visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The entries of a section or the items of a list, without those that are left out.
struct Children<'a> {
    entries: &'a [(Key, Node)],
    items: &'a [Node],
    at: usize,
    path: String,
    notes: &'a Notes<'a>,
}

impl<'a> MapAccess<'a> for Children<'a> {
    type Error = Trouble;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Trouble> {
        while let Some((key, _)) = self.entries.get(self.at) {
            let path = join(&self.path, &key.name);
            if self.notes.left_out.contains(&path) {
                self.at += 1;
                continue;
            }
            let name = de::value::StrDeserializer::<Trouble>::new(&key.name);
            return seed.deserialize(name).map(Some).map_err(|trouble| trouble.at(&path, &key.place));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Trouble> {
        let Some((key, node)) = self.entries.get(self.at) else {
            return Err(Trouble::new("a value is missing".into(), "write `name: value`".into()));
        };
        self.at += 1;
        let path = join(&self.path, &key.name);
        let result = seed.deserialize(Cursor { node, path: path.clone(), notes: self.notes });
        result.map_err(|trouble| trouble.at(&path, &node.place))
    }
}

impl<'a> SeqAccess<'a> for Children<'a> {
    type Error = Trouble;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Trouble> {
        while let Some(node) = self.items.get(self.at) {
            let path = format!("{}[{}]", self.path, self.at);
            self.at += 1;
            if self.notes.left_out.contains(&path) {
                continue;
            }
            let result = seed.deserialize(Cursor { node, path: path.clone(), notes: self.notes });
            return result.map(Some).map_err(|trouble| trouble.at(&path, &node.place));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pond {
        name: String,
        depth: Option<u8>,
        #[serde(default)]
        fish: Vec<u8>,
    }

    fn read_pond(text: &str) -> (Option<Pond>, Vec<String>) {
        let tree = Tree::parse("f", text).expect("it is YAML");
        let mut faults = Vec::new();
        let outcome = read::<Pond>(&tree.root, &mut faults);
        (outcome.value, faults.iter().map(|fault| format!("{} {}", fault.place, fault.path)).collect())
    }

    #[test]
    fn a_sound_section_is_read() {
        let (pond, faults) = read_pond("name: 17\nfish: [1, 2]\n");
        assert_eq!(pond, Some(Pond { name: "17".into(), depth: None, fish: vec![1, 2] }));
        assert!(faults.is_empty());
    }

    #[test]
    fn every_fault_is_told_not_only_the_first() {
        let (pond, faults) = read_pond("name: a\ndepht: 3\ndepth: 300\nfish: [1, x, 3, -4]\n");
        assert_eq!(faults, ["f:2:1 depht", "f:3:8 depth", "f:4:11 fish[1]", "f:4:17 fish[3]"]);
        assert_eq!(pond.map(|pond| pond.fish), Some(vec![1, 3]));
    }

    #[test]
    fn what_is_faulty_is_not_called_missing_too() {
        let (pond, faults) = read_pond("name: [1]\n");
        assert_eq!(faults, ["f:1:7 name"]);
        assert_eq!(pond, None);
        assert_eq!(read_pond("depth: 1\n").1, ["f:1:1 name"]);
    }
}
