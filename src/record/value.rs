//! Values, and named values in the order of the source.

use std::borrow::Cow;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::number_from_text;

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

    /// Names and values in order, taken out.
    pub fn into_members(self) -> impl Iterator<Item = (Arc<str>, Value)> {
        self.entries.into_iter()
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
        Seen::from(self).kind()
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
}

/// A value that is borrowed from where it stands, as far as it stands somewhere.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Seen<'a> {
    /// Absent or empty.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An exact decimal.
    Number(Decimal),
    /// Text.
    Text(Cow<'a, str>),
    /// A list.
    List(Cow<'a, [Value]>),
    /// Named values.
    Map(Cow<'a, Map>),
}

impl Seen<'_> {
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

    /// The value by itself.
    pub fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Number(n) => Value::Number(n),
            Self::Text(text) => Value::Text(text.into_owned()),
            Self::List(items) => Value::List(items.into_owned()),
            Self::Map(map) => Value::Map(map.into_owned()),
        }
    }
}

impl<'a> From<&'a Value> for Seen<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => Self::Number(*n),
            Value::Text(text) => Self::Text(Cow::Borrowed(text)),
            Value::List(items) => Self::List(Cow::Borrowed(items)),
            Value::Map(map) => Self::Map(Cow::Borrowed(map)),
        }
    }
}

impl From<Value> for Seen<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(b),
            Value::Number(n) => Self::Number(n),
            Value::Text(text) => Self::Text(Cow::Owned(text)),
            Value::List(items) => Self::List(Cow::Owned(items)),
            Value::Map(map) => Self::Map(Cow::Owned(map)),
        }
    }
}
