//! JSON objects as records, for the formats that hold them.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::origin::{cut, field};
use super::{Encoding, MOST_COLUMNS, MOST_VALUES};
use crate::record::{Map, Value, number_from_text};

/// Most names that are remembered.
const MOST_KNOWN: usize = 10_000;

/// How JSON is written whose records stand at a place of their own: one a line, or where `OData` has them.
#[derive(Debug, Clone)]
pub struct Format {
    /// The encoding.
    pub encoding: Encoding,
    /// Texts that mean "no value", besides the empty one.
    pub null: Vec<String>,
}

impl Default for Format {
    fn default() -> Self {
        Self { encoding: Encoding::utf8(), null: Vec::new() }
    }
}

/// What is wrong with a JSON text, the first byte of which stands on a line.
pub(super) fn not_json(error: &serde_json::Error, line: u64) -> String {
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    // A value that the reader itself refuses has no place of its own.
    if error.is_data() {
        return message.to_owned();
    }
    let line = line + (error.line().max(1) - 1) as u64;
    format!("is not JSON: {message}, on line {line}, column {}", error.column())
}

/// Reads objects as records.
pub(super) struct Objects {
    null: Vec<String>,
    names: RefCell<HashSet<Arc<str>>>,
}

impl Objects {
    pub fn new(null: &[String]) -> Self {
        Self { null: null.to_vec(), names: RefCell::new(HashSet::new()) }
    }

    /// The record of an object's bytes, the first of which stands on a line.
    pub fn read(&self, bytes: &[u8], line: u64) -> Result<Map, String> {
        let values = Cell::new(0);
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let seed = Seed { objects: self, values: &values, name: "" };
        let value = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
        match value.map_err(|e| not_json(&e, line))? {
            Value::Map(fields) => Ok(fields),
            other => Err(format!("is a {}, not an object", other.kind())),
        }
    }

    fn name(&self, name: &str) -> Arc<str> {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(name);
        if names.len() < MOST_KNOWN {
            names.insert(Arc::clone(&new));
        }
        new
    }
}

/// Reads one value; `name` is the field it stands in.
#[derive(Clone, Copy)]
struct Seed<'a> {
    objects: &'a Objects,
    values: &'a Cell<usize>,
    name: &'a str,
}

/// The name under which `serde_json` gives a number with all its digits.
const NUMBER: &str = "$serde_json::private::Number";

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > MOST_VALUES {
            return Err(D::Error::custom(format!("has more than {MOST_VALUES} values")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        field(self.name, text, &self.objects.null).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            list.push(element);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::default();
        while let Some(name) = members.next_key::<std::borrow::Cow<str>>()? {
            if name == NUMBER {
                let digits: String = members.next_value()?;
                return Ok(number_from_text(&digits).map_or(Value::Text(digits), Value::Number));
            }
            if map.get(&name).is_some() {
                return Err(A::Error::custom(format!("the object has '{}' twice", cut(&name))));
            }
            if map.len() == MOST_COLUMNS {
                return Err(A::Error::custom(format!("an object has more than {MOST_COLUMNS} fields")));
            }
            let name = self.objects.name(&name);
            let value = members.next_value_seed(Seed { name: &name, ..self })?;
            map.push(name, value);
        }
        Ok(Value::Map(map))
    }
}
