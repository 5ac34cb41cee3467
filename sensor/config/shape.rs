//! What a section type asks for, learnt from the same `Deserialize` that reads it: every visitor is offered what it wants,
//! and what it wanted is noted down.
//!
//! In: a section type. Out: its [`Shape`]. Never here: a second list of options.

use std::cell::RefCell;

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::trouble::Trouble;
use super::written::{Size, Workers};

/// What may stand somewhere.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// `true` or `false`.
    Flag,
    /// A whole number up to this.
    Number(u64),
    /// A text.
    Text,
    /// The path of a file or folder.
    Path,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text with a form of its own, by its type's name.
    Formed(&'static str),
    /// A text, or a list of texts.
    OneOrMany,
    /// A list of these.
    List(Box<Shape>),
    /// Names that the site chooses, each with one of these.
    Names(Box<Shape>),
    /// Options.
    Section(Vec<Member>),
}

/// An option of a section.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// Whether the section is read differently without it than with nothing in it: `Option` in its type.
    pub(super) optional: bool,
}

/// The shape of a section type; `None` if it asks for what no configuration holds.
pub(super) fn shape<T: DeserializeOwned>() -> Option<Shape> {
    let noted = Noted::default();
    T::deserialize(Offer(&noted)).ok()?;
    noted.into_inner().map(|(shape, _)| shape)
}

/// What was asked for, and whether it may be absent.
type Noted = RefCell<Option<(Shape, bool)>>;

struct Offer<'a>(&'a Noted);

impl Offer<'_> {
    fn note(&self, shape: Shape) {
        let optional = self.0.borrow().as_ref().is_some_and(|(_, optional)| *optional);
        *self.0.borrow_mut() = Some((shape, optional));
    }
}

/// Gives one value the chance to say what it wants.
fn ask<'de, S: DeserializeSeed<'de>>(seed: S) -> Result<(S::Value, Shape, bool), Trouble> {
    let noted = Noted::default();
    let value = seed.deserialize(Offer(&noted))?;
    let (shape, optional) = noted.into_inner().unwrap_or((Shape::Text, false));
    Ok((value, shape, optional))
}

impl<'de> Deserializer<'de> for Offer<'_> {
    type Error = Trouble;

    /// Only [`crate::networks::OneOrMany`] asks for anything at all.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.note(Shape::OneOrMany);
        visitor.visit_str("")
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.note(Shape::Flag);
        visitor.visit_bool(false)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.note(Shape::Number(u8::MAX.into()));
        visitor.visit_u64(0)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.note(Shape::Number(u16::MAX.into()));
        visitor.visit_u64(0)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.note(Shape::Number(u32::MAX.into()));
        visitor.visit_u64(0)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.note(Shape::Number(u64::MAX));
        visitor.visit_u64(0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        // Serde asks for a path as for any text, and says the difference only here.
        let expected = format!("{}", &visitor as &dyn serde::de::Expected);
        self.note(if expected == "path string" { Shape::Path } else { Shape::Text });
        visitor.visit_str("")
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        *self.0.borrow_mut() = Some((Shape::Text, true));
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Trouble> {
        let sound = match name {
            Workers::NAME => "auto",
            Size::NAME => "1MiB",
            _ => return visitor.visit_newtype_struct(self),
        };
        self.note(Shape::Formed(name));
        visitor.visit_newtype_struct(StrDeserializer::new(sound))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let mut item = OneItem(None);
        let value = visitor.visit_seq(&mut item)?;
        self.note(Shape::List(Box::new(item.0.unwrap_or(Shape::Text))));
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let mut members = Members::of(&["name"]);
        let value = visitor.visit_map(&mut members)?;
        let shape = members.found.pop().map_or(Shape::Text, |member| member.shape);
        self.note(Shape::Names(Box::new(shape)));
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        let mut members = Members::of(fields);
        let value = visitor.visit_map(&mut members)?;
        self.note(Shape::Section(members.found));
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.note(Shape::Word(words));
        let first: StringDeserializer<Trouble> =
            words.first().copied().unwrap_or_default().to_string().into_deserializer();
        visitor.visit_enum(first)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The options of a section, each offered once.
struct Members {
    names: &'static [&'static str],
    found: Vec<Member>,
}

impl Members {
    fn of(names: &'static [&'static str]) -> Self {
        Members { names, found: Vec::new() }
    }
}

impl<'de> MapAccess<'de> for &mut Members {
    type Error = Trouble;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Trouble> {
        let name = self.names.get(self.found.len());
        name.map(|name| seed.deserialize(StrDeserializer::<Trouble>::new(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Trouble> {
        let (value, shape, optional) = ask(seed)?;
        let name = self.names.get(self.found.len()).copied().unwrap_or_default();
        self.found.push(Member { name, shape, optional });
        Ok(value)
    }
}

struct OneItem(Option<Shape>);

impl<'de> SeqAccess<'de> for &mut OneItem {
    type Error = Trouble;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Trouble> {
        if self.0.is_some() {
            return Ok(None);
        }
        let (value, shape, _) = ask(seed)?;
        self.0 = Some(shape);
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::super::written::Written;
    use super::*;

    fn member<'a>(shape: &'a Shape, path: &str) -> &'a Shape {
        path.split('.').fold(shape, |shape, name| {
            let Shape::Section(members) = shape else { panic!("{path}: a section") };
            &members.iter().find(|member| member.name == name).expect("it is there").shape
        })
    }

    #[test]
    fn a_type_says_itself_what_it_is_read_from() {
        let written = shape::<Written>().expect("it has a shape");
        assert_eq!(*member(&written, "site.key"), Shape::Path);
        assert_eq!(*member(&written, "site.sectors"), Shape::List(Box::new(Shape::Text)));
        assert_eq!(*member(&written, "site.language"), Shape::Word(&["en", "ko"]));
        assert_eq!(*member(&written, "rules.answers"), Shape::Flag);
        assert_eq!(*member(&written, "rules.local"), Shape::List(Box::new(Shape::Path)));
        assert_eq!(*member(&written, "limits.workers"), Shape::Formed("Workers"));
        assert_eq!(*member(&written, "limits.flows_max"), Shape::Number(u64::MAX));
        assert_eq!(*member(&written, "networks.named"), Shape::Names(Box::new(Shape::OneOrMany)));
        let Shape::List(capture) = member(&written, "capture") else { panic!("a list") };
        assert_eq!(*member(capture, "backend"), Shape::Word(&["auto", "af_xdp", "libpcap"]));
    }
}
