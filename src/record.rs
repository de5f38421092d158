//! A source record as a connector read it, before any mapping: names and values, nothing canonical.
//!
//! What does not live here: the canonical types (`model`) and the reading itself (`connector`).

use std::fmt::Write as _;
use std::sync::Arc;

use rust_decimal::Decimal;

/// One record of a stream, with the place it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The record's fields in the order of the source.
    pub fields: Map,
    /// Where the record stands, for messages.
    pub place: Place,
}

/// Where a record stands in its source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file or resource, as an operator would name it.
    pub source: Option<Arc<str>>,
    /// The record's number in the source, counted from 1.
    pub record: u64,
    /// The line the record begins on, counted from 1, where the format has lines.
    pub line: Option<u64>,
}

/// A value of a source record.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Absent or empty in the source.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An exact decimal. A source number that no `Decimal` holds exactly stays [`Value::Text`].
    Number(Decimal),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Named values.
    Map(Map),
}

/// Named values in the order of the source. Names are shared between the records of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    entries: Vec<(Arc<str>, Value)>,
}

impl Map {
    /// An empty map with room for `capacity` entries.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { entries: Vec::with_capacity(capacity) }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry at the end without looking whether the name is there already.
    pub fn push(&mut self, name: Arc<str>, value: Value) {
        self.entries.push((name, value));
    }

    /// Sets an entry, replacing the value of a name that is there already.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.entries.iter_mut().find(|(n, _)| &**n == name) {
            Some((_, old)) => *old = value,
            None => self.entries.push((Arc::from(name), value)),
        }
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)
    }

    /// The value of a name that stood at position `hint` in an earlier record of the same shape:
    /// one comparison instead of a search. Returns the value with the position it was found at.
    pub fn get_near(&self, name: &str, hint: usize) -> Option<(usize, &Value)> {
        if let Some((n, v)) = self.entries.get(hint)
            && &**n == name
        {
            return Some((hint, v));
        }
        self.entries.iter().enumerate().find(|(_, (n, _))| &**n == name).map(|(i, (_, v))| (i, v))
    }

    /// The value of a name, for changing it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.entries.iter_mut().find(|(n, _)| &**n == name).map(|(_, v)| v)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(n, v)| (&**n, v))
    }
}

impl FromIterator<(Arc<str>, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Value)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

impl<'a> FromIterator<(&'a str, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (&'a str, Value)>>(entries: I) -> Self {
        entries.into_iter().map(|(n, v)| (Arc::from(n), v)).collect()
    }
}

impl Value {
    /// Whether the value counts as absent: null or empty text.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            _ => false,
        }
    }

    /// What kind of value this is, as messages name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::Text(_) => "text",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }

    /// The value of a JSON value. Needs `serde_json` with `arbitrary_precision`, so that a number is
    /// taken by its digits; one that no `Decimal` holds exactly becomes text, never another number.
    pub fn from_json(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(b) => Self::Bool(b),
            serde_json::Value::Number(n) => {
                number_from_text(n.as_str()).map_or_else(|| Self::Text(n.to_string()), Self::Number)
            }
            serde_json::Value::String(s) => Self::Text(s),
            serde_json::Value::Array(items) => Self::List(items.into_iter().map(Self::from_json).collect()),
            serde_json::Value::Object(fields) => {
                Self::Map(fields.into_iter().map(|(n, v)| (Arc::from(n), Self::from_json(v))).collect())
            }
        }
    }

    /// The value as JSON. A number is written as a string, as everywhere on Tradebridge's wire.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(b) => serde_json::Value::Bool(*b),
            Self::Number(n) => serde_json::Value::String(n.to_string()),
            Self::Text(s) => serde_json::Value::String(s.clone()),
            Self::List(items) => serde_json::Value::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(map) => serde_json::Value::Object(map.iter().map(|(n, v)| (n.to_owned(), v.to_json())).collect()),
        }
    }

    fn digest_into(&self, hasher: &mut blake3::Hasher) {
        match self {
            Self::Null => {
                hasher.update(b"0");
            }
            Self::Bool(b) => {
                hasher.update(if *b { b"t" } else { b"f" });
            }
            Self::Number(n) => {
                let mut text = String::with_capacity(24);
                // Writing into a String cannot fail.
                let _ = write!(text, "{n}");
                tagged(hasher, b'n', text.as_bytes());
            }
            Self::Text(s) => tagged(hasher, b's', s.as_bytes()),
            Self::List(items) => {
                tagged(hasher, b'l', &(items.len() as u64).to_le_bytes());
                for item in items {
                    item.digest_into(hasher);
                }
            }
            Self::Map(map) => map.digest_into(hasher),
        }
    }
}

impl Map {
    fn digest_into(&self, hasher: &mut blake3::Hasher) {
        tagged(hasher, b'm', &(self.entries.len() as u64).to_le_bytes());
        for (name, value) in &self.entries {
            tagged(hasher, b'k', name.as_bytes());
            value.digest_into(hasher);
        }
    }
}

impl Record {
    /// A digest of the record's fields, for recognising an unchanged record before it is mapped.
    /// `salt` stands for whatever else decides the outcome: the mapping with its lookups.
    pub fn digest(&self, salt: &[u8]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(salt);
        self.fields.digest_into(&mut hasher);
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        digest
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source}, ")?;
        }
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        write!(f, "record {}", self.record)
    }
}

/// An exact decimal of a number written in JSON or TOML notation (an exponent included), or nothing
/// where no `Decimal` (28 significant digits) holds it exactly.
pub fn number_from_text(text: &str) -> Option<Decimal> {
    let number = if text.contains(['e', 'E']) {
        Decimal::from_scientific(text).ok()?
    } else {
        Decimal::from_str_exact(text).ok()?
    };
    Some(number)
}

fn tagged(hasher: &mut blake3::Hasher, tag: u8, bytes: &[u8]) {
    hasher.update(&[tag]);
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Value::from_json(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn json_numbers_keep_every_digit() {
        assert_eq!(json("12.50"), Value::Number("12.50".parse().unwrap()));
        assert_eq!(json("1.5e3"), Value::Number("1500".parse().unwrap()));
        assert_eq!(
            json("0.1000000000000000055511151231257827"),
            Value::Text("0.1000000000000000055511151231257827".into())
        );
        assert_eq!(json("1e400"), Value::Text("1e400".into()));
    }

    #[test]
    fn digest_tells_neighbouring_texts_apart() {
        let record = |a: &str, b: &str| Record {
            fields: [("a", Value::Text(a.into())), ("b", Value::Text(b.into()))].into_iter().collect(),
            place: Place::default(),
        };
        assert_ne!(record("1", "23").digest(b""), record("12", "3").digest(b""));
        assert_ne!(record("1", "2").digest(b"x"), record("1", "2").digest(b"y"));
        assert_eq!(record("1", "2").digest(b"x"), record("1", "2").digest(b"x"));
    }
}
