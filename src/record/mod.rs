//! A source record as a connector read it, before any mapping: names and values, nothing canonical.
//!
//! What does not live here: the canonical types (`model`) and the reading itself (`connector`).

mod digest;
mod json;
mod row;
mod value;

use std::sync::Arc;

use rust_decimal::Decimal;

pub use digest::Salt;
pub use json::{write_text, write_value};
pub use row::{Columns, Row};
pub use value::{Map, Seen, Value};

/// One record of a stream, with the place it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The record's fields in the order of the source.
    pub fields: Fields,
    /// Where the record stands, for messages.
    pub place: Place,
}

/// The fields of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Fields {
    /// Values of any kind.
    Map(Map),
    /// Texts of a table.
    Row(Row),
}

/// The fields of a record, borrowed.
#[derive(Debug, Clone, Copy)]
pub enum FieldsRef<'a> {
    /// Values of any kind.
    Map(&'a Map),
    /// Texts of a table.
    Row(&'a Row),
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

impl Fields {
    /// The fields, borrowed.
    pub fn borrowed(&self) -> FieldsRef<'_> {
        match self {
            Self::Map(map) => FieldsRef::Map(map),
            Self::Row(row) => FieldsRef::Row(row),
        }
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<Seen<'_>> {
        self.borrowed().get(name)
    }

    /// The fields as named values.
    pub fn into_map(self) -> Map {
        match self {
            Self::Map(map) => map,
            Self::Row(row) => row.to_map(),
        }
    }

    /// The fields as JSON, numbers as strings ([`Value::to_json`]).
    pub fn to_json(&self) -> serde_json::Value {
        Value::Map(self.borrowed().to_map()).to_json()
    }
}

impl<'a> FieldsRef<'a> {
    /// The value of a name.
    pub fn get(self, name: &str) -> Option<Seen<'a>> {
        self.get_near(name, 0).map(|(_, value)| value)
    }

    /// The value of a name that stood at position `hint` in an earlier record of the same shape: one comparison
    /// instead of a search. Returns the value with the position it was found at.
    #[inline]
    pub fn get_near(self, name: &str, hint: usize) -> Option<(usize, Seen<'a>)> {
        match self {
            Self::Map(map) => map.get_near(name, hint).map(|(at, value)| (at, Seen::from(value))),
            Self::Row(row) => row.get_near(name, hint),
        }
    }

    /// The fields as named values.
    pub fn to_map(self) -> Map {
        match self {
            Self::Map(map) => map.clone(),
            Self::Row(row) => row.to_map(),
        }
    }
}

impl From<Map> for Fields {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl<'a> From<&'a Map> for FieldsRef<'a> {
    fn from(map: &'a Map) -> Self {
        Self::Map(map)
    }
}

impl<'a> From<&'a Fields> for FieldsRef<'a> {
    fn from(fields: &'a Fields) -> Self {
        fields.borrowed()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Value::from_json(serde_json::from_str(text).unwrap())
    }

    fn row(names: &[&str], texts: &[&str]) -> Fields {
        let columns = Columns::new(names.iter().map(|name| Arc::from(*name)).collect());
        let mut ends = Vec::new();
        let mut text = String::new();
        for one in texts {
            text.push_str(one);
            ends.push(u32::try_from(text.len()).unwrap());
        }
        Fields::Row(Row::new(Arc::new(columns), text.into(), ends.into()))
    }

    fn map(text: &str) -> Fields {
        match json(text) {
            Value::Map(map) => Fields::Map(map),
            other => panic!("{other:?}"),
        }
    }

    fn digest(fields: &Fields, salt: &str) -> [u8; 16] {
        fields.digest(&Salt::new(salt.as_bytes()), &mut Vec::new())
    }

    #[test]
    fn json_numbers_keep_every_digit() {
        assert_eq!(json("12.50"), Value::Number("12.50".parse().unwrap()));
        assert_eq!(json("1.5e3"), Value::Number("1500".parse().unwrap()));
        assert_eq!(
            json("0.1000000000000000055511151231257827"),
            Value::Text("0.1000000000000000055511151231257827".into())
        );
        assert_eq!(json("1e400"), Value::Text("1e+400".into()));
    }

    #[test]
    fn a_digest_tells_neighbouring_texts_names_and_kinds_apart() {
        let differing = [
            row(&["a", "b"], &["1", "23"]),
            row(&["a", "b"], &["12", "3"]),
            row(&["b", "a"], &["1", "23"]),
            row(&["ab", ""], &["1", "23"]),
            row(&["a", "b"], &["", "123"]),
            map(r#"{"a": 1, "b": "23"}"#),
            map(r#"{"a": "1", "b": ["23"]}"#),
            map(r#"{"a": "1", "b": ["2", "3"]}"#),
            map(r#"{"a": "1", "b": {"2": "3"}}"#),
            map(r#"{"a": 1.0, "b": true}"#),
            map(r#"{"a": 1, "b": true}"#),
        ];
        let digests: std::collections::BTreeSet<_> = differing.iter().map(|fields| digest(fields, "x")).collect();
        assert_eq!(digests.len(), differing.len());
        assert_ne!(digest(&differing[0], "x"), digest(&differing[0], "y"));
    }

    #[test]
    fn a_row_is_what_its_named_values_are() {
        let long = "x".repeat(300);
        let row = row(&["Nr", "Naam", "Leeg"], &["1", &long, ""]);
        let named = Fields::Map(row.clone().into_map());
        assert_eq!(row.get("Naam"), Some(Seen::Text(long.as_str().into())));
        assert_eq!((row.get("Leeg"), row.get("Nergens")), (Some(Seen::Null), None));
        assert_eq!(digest(&row, "x"), digest(&named, "x"));
        assert_eq!(row.to_json(), named.to_json());
    }

    #[test]
    fn a_kept_record_comes_back_as_it_was() {
        let kept = |fields: &Fields| {
            let mut text = Vec::new();
            fields.write_json(&mut text);
            (Fields::from_json_text(&text).unwrap(), String::from_utf8(text).unwrap())
        };
        let table = row(&["Nr", "Naam\"", "Leeg"], &["1", "Café \"De\\Hoek\"\n\u{1}\u{1f}\t", ""]);
        let (back, text) = kept(&table);
        assert_eq!(text, table.to_json().to_string(), "as serde_json writes it");
        assert_eq!((digest(&back, "x"), back), (digest(&table, "x"), Fields::Map(table.clone().into_map())));

        let typed = map(r#"{"n": 12.50, "z": -0.0, "big": 1e400, "t": "12.50", "l": [1, null, {"b": true}], "e": {}}"#);
        let (back, _) = kept(&typed);
        assert_eq!((digest(&back, "x"), back), (digest(&typed, "x"), typed.clone()));
    }

    #[test]
    fn of_columns_without_a_name_the_first_is_kept() {
        let table = row(&["Nr", "", ""], &["1", "a", "b"]);
        assert_eq!(table.to_json(), serde_json::json!({"Nr": "1", "": "a"}));
    }
}
