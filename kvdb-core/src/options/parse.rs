//! A serde deserializer over a map of texts.

use std::cell::Cell;
use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::unknown_option;
use crate::{Error, ErrorKind, Result};

/// Reads the pairs into `T`; `more` are names that are known beside the fields of `T`.
pub(super) fn read<'a, T: DeserializeOwned>(
    pairs: impl Iterator<Item = (&'a String, &'a String)>,
    more: &[&str],
) -> Result<T> {
    let fields = Cell::new(&[] as &[&str]);
    let current = Cell::new("");
    let entries = pairs.map(|(name, value)| (Name { name, current: &current }, Text { name, text: value }));
    T::deserialize(Struct { entries: MapDeserializer::new(entries), fields: &fields }).map_err(
        |problem| match problem {
            Problem::Unknown(name) => {
                let known: Vec<&str> = fields.get().iter().chain(more).copied().collect();
                unknown_option(&name, &known)
            }
            Problem::Value(message) => {
                Error::new(ErrorKind::InvalidConfig, format!("option `{}`: {message}", current.get()))
            }
        },
    )
}

#[derive(Debug)]
enum Problem {
    Unknown(String),
    Value(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(text) | Self::Value(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }

    fn unknown_field(field: &str, _expected: &'static [&'static str]) -> Self {
        Self::Unknown(field.to_owned())
    }
}

/// The whole map; notes the names of the struct's fields for messages.
struct Struct<'f, D> {
    entries: D,
    fields: &'f Cell<&'static [&'static str]>,
}

impl<'de, D: de::MapAccess<'de, Error = Problem>> Deserializer<'de> for Struct<'_, D> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_map(self.entries)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.fields.set(fields);
        visitor.visit_map(self.entries)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// An option's name; notes it as the one being read.
struct Name<'a, 'c> {
    name: &'a str,
    current: &'c Cell<&'a str>,
}

impl<'de> IntoDeserializer<'de, Problem> for Name<'_, '_> {
    type Deserializer = de::value::StringDeserializer<Problem>;

    fn into_deserializer(self) -> Self::Deserializer {
        self.current.set(self.name);
        self.name.to_owned().into_deserializer()
    }
}

/// An option's value.
struct Text<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'de> IntoDeserializer<'de, Problem> for Text<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $what:literal,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            match self.text.trim().parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Problem::Value(format!(concat!("`{}` is not ", $what), self.shown()))),
            }
        }
    )*};
}

impl Text<'_> {
    fn shown(&self) -> String {
        if super::SECRETS.contains(&self.name) { "(hidden)".to_owned() } else { self.text.escape_debug().to_string() }
    }
}

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = Problem;

    parsed! {
        deserialize_i8 visit_i8 "a whole number",
        deserialize_i16 visit_i16 "a whole number",
        deserialize_i32 visit_i32 "a whole number",
        deserialize_i64 visit_i64 "a whole number",
        deserialize_u8 visit_u8 "a whole number",
        deserialize_u16 visit_u16 "a whole number",
        deserialize_u32 visit_u32 "a whole number",
        deserialize_u64 visit_u64 "a whole number",
        deserialize_f32 visit_f32 "a number",
        deserialize_f64 visit_f64 "a number",
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => visitor.visit_bool(true),
            "false" | "0" | "no" | "off" => visitor.visit_bool(false),
            _ => Err(Problem::Value(format!("`{}` is not true or false", self.shown()))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let text: de::value::StrDeserializer<'_, Problem> = self.text.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_str(self.text)
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
